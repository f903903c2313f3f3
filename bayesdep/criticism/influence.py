"""Influence of single studies on a meta-analysis: leave-one-out, cumulative analysis and influence, by quadrature."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ndtri

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.tables import as_frame
from bayesdep.inference.numbers import check_level
from bayesdep.models.model import HasHierarchy
from bayesdep.numerics.normal_normal import NormalNormal

_NOTHING = "nothing"


def leave_out_each_study(model: HasHierarchy, table: Any, *, level: float = 0.95) -> pd.DataFrame:
    """Repeat a meta-analysis without each of its studies in turn: exactly, all at once.

    Parameters
    ----------
    model
        A Gaussian meta-analysis with normal effects and normal priors on ``mu`` and slopes.
    table
        A dataframe as the model reads it, or what it made of one (``fit.data``).
    level
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        For nothing left out, then for each unit (with clusters: each cluster), one row per estimand: ``left_out``
        (``"nothing"`` first; ``"nothing (all 7 kept)"`` where a unit has that name),
        ``estimand`` (``mu``, ``tau``, ``theta_new``, and what covariates and clusters add), ``covariate`` (of slopes),
        ``mean``, ``sd``, ``median``, ``lower``, ``upper``, ``level``, ``shift`` (mean less the mean of all units),
        ``shift_sd`` (the same in posterior sds of all units) and ``units``.

    Raises
    ------
    BadInput
        When the posterior is not known by quadrature under the model's settings, or the level is no probability.

    Examples
    --------
    >>> import bayesdep as bd
    >>> model = bd.Meta(measure="difference", units="points", study="school",
    ...     priors={"mu": bd.Prior("Normal", mu=0, sigma=50), "tau": bd.Prior("HalfNormal", sigma=25)})
    >>> found = leave_out_each_study(model, bd.load("eight_schools_rubin1981"))
    >>> found[found.estimand == "mu"].set_index("left_out")["mean"].round(2).loc[["nothing", "A"]].tolist()
    [7.83, 6.01]
    """
    data, group = _read(model, table)
    kept = np.vstack([np.ones(len(group), bool), group != np.unique(group)[:, None]])
    rows = _tabulate(model, data, _engine(model, data, kept), level)
    names = [str(name) for name in data[model.left_out].values]
    labels = [_NOTHING if _NOTHING not in names else f"{_NOTHING} (all {len(names)} kept)", *names]
    estimands = len(rows) // len(labels)
    rows.insert(0, "left_out", np.repeat(labels, estimands))
    mean_of_all, sd_of_all = (np.tile(rows[word].to_numpy()[:estimands], len(labels)) for word in ("mean", "sd"))
    shift = rows["mean"].to_numpy() - mean_of_all
    rows.insert(len(rows.columns) - 1, "shift", shift)
    rows.insert(len(rows.columns) - 1, "shift_sd", shift / sd_of_all)
    return rows


def accumulate_studies(
    model: HasHierarchy, table: Any, by: str | None = None, *, descending: bool = False, level: float = 0.95
) -> pd.DataFrame:
    """Repeat a meta-analysis with the first study, the first two, and so on: exactly, all at once.

    Parameters
    ----------
    model
        As in :func:`leave_out_each_study`.
    table
        A dataframe as the model reads it.
    by
        Column whose order the studies enter in, such as the year; the table's own order unless given. Ties enter in
        the table's order.
    descending
        Whether the largest enter first.
    level
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        For each study added, one row per estimand: ``added``, ``studies`` (how many there are by then), the column
        ``by``, and the columns of :func:`leave_out_each_study` from ``estimand`` to ``level``, and ``units``.

    Raises
    ------
    BadInput
        As :func:`leave_out_each_study`, and when there is no such column or it has empty cells.

    Examples
    --------
    >>> import bayesdep as bd
    >>> model = bd.Meta(measure="log-risk-ratio", input="counts", study="trial", events_treated="tb_vaccinated",
    ...     n_treated="n_vaccinated", events_control="tb_control", n_control="n_control")
    >>> found = accumulate_studies(model, bd.load("bcg_colditz1994"), by="year")
    >>> found[found.estimand == "mu"]["upper"].round(2).tolist()[:4]
    [0.62, -0.23, -0.36, -0.49]
    """
    data, _ = _read(model, table)
    order = np.arange(data.sizes[model.unit])
    column = None if by is None else _column(table, by)
    if column is not None:
        order = column.sort_values(ascending=not descending, kind="stable").index.to_numpy()
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    kept = rank <= np.arange(len(order))[:, None]
    rows = _tabulate(model, data, _engine(model, data, kept), level)
    estimands = len(rows) // len(order)
    rows.insert(0, "added", np.repeat(data[model.unit].values[order].astype(str), estimands))
    rows.insert(1, "studies", np.repeat(np.arange(1, len(order) + 1), estimands))
    if column is not None:
        rows.insert(2, by, np.repeat(column.to_numpy()[order], estimands))
    return rows


def _column(table: Any, by: str) -> pd.Series:
    """A column of the table without empty cells, its rows numbered from zero."""
    if isinstance(table, xr.Dataset):
        raise BadInput(f"by = '{by}' is a column of the table, which prepared data no longer have; give the table")
    frame = as_frame(table)
    if by not in frame.columns:
        raise BadInput(f"by = '{by}': there is no such column in the table; {did_you_mean(by, frame.columns)}")
    if frame[by].isna().any():
        row = int(np.flatnonzero(frame[by].isna())[0]) + 1
        raise BadInput(f"by = '{by}': the column is empty in row {row}; fill it in, or leave the row out")
    return frame[by].reset_index(drop=True)


def check_influence(model: HasHierarchy, table: Any, *, level: float = 0.95) -> pd.DataFrame:
    """Say what each study does to a meta-analysis, and how far it is from what the others predict.

    Parameters
    ----------
    model, table, level
        As in :func:`leave_out_each_study`.

    Returns
    -------
    pandas.DataFrame
        One row per unit, the columns:

        the unit, ``effect`` and ``se``
            As they entered.
        ``weight``
            How far the pooled effect's posterior mean follows the study's own effect, in percent; what the sum lacks
            of 100 is the prior's share.
        ``predicted``, ``predicted_lower``, ``predicted_upper``
            Median and interval of the observed effect that the other studies predict for its standard error.
        ``pit``, ``z``
            Probability that the prediction lies below the observed effect, and the same as a normal quantile: 2 is
            unusual (metafor's externally studentised residual, with tau's uncertainty).
        ``elpd``
            Log density of the observed effect given the others: what leave-one-out cross-validation adds up.
        ``shift_sd``, ``sd_ratio``
            Mean of the pooled effect without the study less with it, in sds with it; and its sd without over with it.
        ``tau_without``
            Posterior mean of tau without it.

    Raises
    ------
    BadInput
        As :func:`leave_out_each_study`.

    Notes
    -----
    With clusters, each row is predicted without any of its cluster.

    Examples
    --------
    >>> import bayesdep as bd
    >>> model = bd.Meta(measure="log-risk-ratio", input="counts", study="trial", events_treated="tb_vaccinated",
    ...     n_treated="n_vaccinated", events_control="tb_control", n_control="n_control")
    >>> found = check_influence(model, bd.load("bcg_colditz1994")).set_index("study")
    >>> found.loc["TPT Madras 1980", ["weight", "z"]].astype(float).round(2).tolist()
    [10.21, 1.39]
    """
    data, group = _read(model, table)
    tail = _tail(level)
    of_all, without = _engine(model, data), _engine(model, data, group != group[:, None])
    y = data["effect"].values
    predicted = without.predictions
    median, lower, upper = predicted.quantile(np.array([0.5, tail, 1 - tail])).T
    pit = predicted.cdf(y[:, None])[:, 0]
    mu, mus = of_all.mu, without.mus
    return pd.DataFrame(
        {
            model.unit: data[model.unit].values.astype(str),
            "effect": y,
            "se": data["se"].values,
            "weight": 100 * of_all.pulls,
            "predicted": median,
            "predicted_lower": lower,
            "predicted_upper": upper,
            "pit": pit,
            "z": ndtri(pit),
            "elpd": np.log(predicted.density(y[:, None])[:, 0]),
            "shift_sd": (mus.mean - mu.mean) / mu.sd,
            "sd_ratio": mus.sd / mu.sd,
            "tau_without": without.taus.mean,
        }
    )


def sensitivity_grid(models: Mapping[str, HasHierarchy], table: Any, *, level: float = 0.95) -> pd.DataFrame:
    """Repeat a meta-analysis under other settings: priors, correlations of crossover trials, covariates.

    Parameters
    ----------
    models
        Meta-analyses of the table, by name; each as in :func:`leave_out_each_study`.
    table
        A dataframe as the models read it.
    level
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        For each model, one row per estimand: ``model``, the columns of :func:`leave_out_each_study` from ``estimand``
        to ``level``, ``units``, and ``log_marginal``, the log marginal likelihood of the model's effects (comparable
        only between models that make the same effects and standard errors of the table).

    Raises
    ------
    BadInput
        As :func:`leave_out_each_study`.

    Examples
    --------
    >>> import bayesdep as bd
    >>> def with_tau(sigma):
    ...     return bd.Meta(measure="difference", units="points", study="school", priors={
    ...         "mu": bd.Prior("Normal", mu=0, sigma=50), "tau": bd.Prior("HalfNormal", sigma=sigma)})
    >>> found = sensitivity_grid({f"N+({s})": with_tau(s) for s in (5, 25)}, bd.load("eight_schools_rubin1981"))
    >>> found[found.estimand == "mu"]["sd"].round(2).tolist()
    [4.35, 4.97]
    """
    parts = []
    for name, model in models.items():
        data, _ = _read(model, table)
        engine = _engine(model, data)
        part = _tabulate(model, data, engine, level)
        part.insert(0, "model", name)
        parts.append(part.assign(log_marginal=engine.log_marginal))
    if not parts:
        raise BadInput("there is no model to compare; give at least one, by name")
    return pd.concat(parts, ignore_index=True)


def _read(model: HasHierarchy, table: Any) -> tuple[xr.Dataset, np.ndarray]:
    """Prepare the table, and number the groups of rows that are left out together."""
    if not isinstance(model, HasHierarchy):
        raise BadInput(
            f"the model is a {type(model).__name__}, and only a meta-analysis such as bd.Meta has studies to leave out "
            "at once; bd.compare scores the left-out units of any fit"
        )
    data = table if isinstance(table, xr.Dataset) else model.prepare(table)
    return data, np.arange(data.sizes[model.unit]) if model.cluster is None else data["cluster_of"].values


def _engine(model: HasHierarchy, data: xr.Dataset, kept: np.ndarray | None = None) -> NormalNormal:
    engine = model.hierarchy(data, kept)
    if engine is None:
        raise BadInput(
            "the posterior is known by quadrature only for likelihood = 'gaussian', heterogeneity = 'normal' and "
            "Normal priors on mu and slope; change the model, or fit it once without each study"
        )
    return engine


def _tail(level: float) -> float:
    check_level(level)
    return (1 - level) / 2


def _tabulate(model: HasHierarchy, data: xr.Dataset, engine: NormalNormal, level: float) -> pd.DataFrame:
    """One row per subset and estimand, subsets outermost."""
    tail = _tail(level)
    distributions: dict[tuple[str, str], Any] = {
        ("mu", ""): engine.mus,
        ("tau", ""): engine.taus,
        ("theta_new", ""): engine.theta_news,
    }
    if model.cluster is not None:
        distributions["tau_cluster", ""] = engine.tau_clusters
    if model.covariates is not None:
        for j, (name, sd) in enumerate(zip(data["covariate"].values, data["covariate_sd"].values, strict=True)):
            weights = np.eye(1 + data.sizes["covariate"])[1 + j] / sd
            distributions["slope", str(name)] = engine.contrasts(weights)
    parts = []
    for (name, covariate), posterior in distributions.items():
        lower, median, upper = posterior.quantile(np.array([tail, 0.5, 1 - tail])).T
        units = model.effect_units + (" per unit" if name == "slope" else "")
        parts.append(
            pd.DataFrame(
                {
                    "estimand": name, "covariate": covariate, "mean": posterior.mean, "sd": posterior.sd,
                    "median": median,
                    "lower": lower, "upper": upper, "level": level, "units": units,
                }
            )
        )  # fmt: skip
    table = pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)
    return table if model.covariates is not None else table.drop(columns="covariate")
