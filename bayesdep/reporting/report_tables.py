"""Tables and sentences of a report, from a fit: all text, rounded."""

from math import prod
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.criticism.checks import check_predictions
from bayesdep.criticism.each_prior import ALL
from bayesdep.criticism.missing_information import check_missing_information
from bayesdep.criticism.sensitivity import THRESHOLD
from bayesdep.inference.fit import Fit
from bayesdep.reporting.estimands import oracle, summarise, summarise_parameters
from bayesdep.reporting.evidence import rank_evidence
from bayesdep.reporting.priors import priors
from bayesdep.reporting.sample import is_personal

_LONG = 40  # longest table; longer ones are cut
_FEW = 20  # most rows of an estimand that a cut table shows
_MOST_DEPENDENT = 30


def oracle_sentence(fit: Fit) -> str:
    """Say in one sentence how far the sampled posterior is from the exact one, if that is known.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    str
        Empty if there is nothing to compare.
    """
    table = oracle(fit)
    if table is None:
        return ""
    z = table["z"].abs()
    worst = table.iloc[int(np.argmax(z))]
    what = f"{worst['statistic']} of {worst['estimand']} {worst['at']}".strip()
    return (
        f"This posterior is also known exactly, by quadrature: of {len(table)} means, standard deviations and "
        f"interval ends, {(z < 2).mean():.0%} agree within 2 Monte Carlo standard errors and the worst ({what}) "
        f"is {abs(worst['z']):.1f} away."
    )


def priors_table(fit: Fit) -> pd.DataFrame:
    """List the priors of a fit's parameters in the outcome's units.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    pandas.DataFrame
        As :func:`~bayesdep.reporting.priors.priors` prints it; all text.
    """
    printed = priors(fit.model, fit.data).printed
    table = pd.DataFrame(list(printed.rows), columns=pd.Index([own for _, own in printed.head]))
    return table[table["Parameter"].isin(list(fit.posterior))]  # without those of terms that these data do not have


def sampling_sentence(fit: Fit) -> str:
    """Say how the draws were made.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    str
        One to three sentences.
    """
    m = fit.manifest
    if fit.is_exact:
        return (
            f"No sampler was needed: the posterior is known, and {m['chains'] * m['draws']} independent draws were "
            f"taken from it (seed {m['seed']}) for predictive checks. Estimands are computed exactly wherever their "
            "distribution is known."
        )
    each, open_ = "", ""
    if fit.tables > 1:
        each = f" for each of {fit.tables} versions of the data, all draws together"
        missing = check_missing_information(fit)
        worst = missing.iloc[int(missing["fraction_missing"].argmax())]
        coordinates = ", ".join(str(worst[dim]) for dim in missing.attrs["dims"] if pd.notna(worst[dim]))
        open_ = (
            f" Versions differ in imputed values. The fraction of missing information is largest for "
            f"{worst['estimand']}{f'[{coordinates}]' if coordinates else ''}: {worst['fraction_missing']:.0%}."
        )
    return (
        f"No-U-turn sampler of {m['sampler']}, {m['chains']} chains of {m['draws']} draws after {m['tune']} for "
        f"tuning{each}, seed {m['seed']}.{open_}"
    )


def is_ranked(fit: Fit) -> bool:
    """Tell whether a fit's units are ranked by evidence.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    bool
        Whether :func:`evidence_table` has rows.
    """
    return fit.model.forest.by_evidence


def evidence_table(fit: Fit) -> pd.DataFrame | None:
    """Rank the model's units by evidence, rounded.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    pandas.DataFrame or None
        None for models without such a table.
    """
    if not is_ranked(fit):
        return None
    table = rank_evidence(fit, fit.model.forest.rows[0])
    dims = list(table.columns[: table.columns.get_loc("median")])
    dims = [d for d in dims if table[d].nunique() > 1] or dims[:1]
    words = {d.replace("_", " ").capitalize(): table[d] for d in dims}
    words["Median"] = table["median"].map("{:.2f}".format)
    words["95% interval"] = table["lower"].map("{:.2f}".format) + " to " + table["upper"].map("{:.2f}".format)
    for heading, column in (
        ("P(above)", "prob_above"),
        ("False sign", "false_sign_rate"),
        ("P(practically equal)", "prob_in_rope"),
        ("All so far", "joint"),
    ):
        if table[column].notna().any():
            words[heading] = table[column].map("{:.3f}".format)
    return pd.DataFrame(words)


def shown_estimands(fit: Fit) -> pd.DataFrame:
    """Choose the estimands to show: all, or of a long table those with few values.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    pandas.DataFrame
        Rows of :func:`~bayesdep.reporting.estimands.summarise`; the forest plot shows the others.
    """
    table = summarise(fit)
    if len(table) <= _LONG:
        return table
    few = {
        str(name)
        for name, values in fit.estimands.data_vars.items()
        if prod(size for dim, size in values.sizes.items() if dim not in ("chain", "draw")) <= _FEW
    }
    return table[table["estimand"].isin(few)]


def rest_sentence(table: pd.DataFrame, shown: pd.DataFrame) -> str:
    """Say which estimands are not shown, and where they are.

    Parameters
    ----------
    table, shown
        All estimands, and those shown.

    Returns
    -------
    str
        Empty if all are.
    """
    names = [name for name in table["estimand"].unique() if name not in set(shown["estimand"])]
    if not names:
        return ""
    return (
        f"{len(shown)} of {len(table)} numbers. The others ({', '.join(names)}) are in estimands.csv beside this "
        "report, or in bayesdep.summarise(fit)."
    )


def criteria_table(fit: Fit, *, people: bool = False) -> pd.DataFrame:
    """List the criteria of the convergence check, with their values and thresholds.

    Parameters
    ----------
    fit
        Any fit.
    people
        Whether single people are named.

    Returns
    -------
    pandas.DataFrame
        All text.
    """
    rows = [
        {
            "Criterion": c.name,
            "Value": c.printed,
            "Needs": str(c).rsplit("needs ", 1)[1],
            "Worst in": c.where if people else without_people(fit, c.where),
            "Met": "yes" if c.passed else "no",
        }
        for c in fit.gate.criteria
    ]
    return pd.DataFrame(rows)


def checks_table(fit: Fit) -> pd.DataFrame:
    """List the predictive checks, rounded.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    pandas.DataFrame
        All text.
    """
    rows = [
        {
            "Statistic": row["check"],
            "Data": f"{row['observed']:.3g}",
            "Replicates": f"{row['median']:.3g} ({row['lower']:.3g}, {row['upper']:.3g})",
            "Units": row["units"],
            "p": f"{row['p']:.3f}",
            "Prior p": f"{row['prior_p']:.3f}",
        }
        for _, row in check_predictions(fit).iterrows()
    ]
    return pd.DataFrame(rows)


def sensitivity_table(moved: pd.DataFrame) -> pd.DataFrame:
    """List how much estimands move with their priors, the most dependent first where there are many.

    Parameters
    ----------
    moved
        As :func:`~bayesdep.criticism.sensitivity.check_prior_sensitivity` returns it.

    Returns
    -------
    pandas.DataFrame
        All text.
    """
    if len(moved) > _LONG:
        moved = moved.sort_values("prior", ascending=False, kind="stable").head(_MOST_DEPENDENT)
    shown: dict[str, Any] = {
        "Estimand": _named(moved),
        "Prior": moved["prior"].map("{:.3f}".format),
        "Likelihood": moved["likelihood"].map("{:.3f}".format),
        "Diagnosis": moved["diagnosis"],
    }
    return pd.DataFrame(shown)


def each_prior_table(checked: pd.DataFrame) -> pd.DataFrame | None:
    """Say of each primary estimand on which priors it depends, the most dependent first where there are many.

    Parameters
    ----------
    checked
        As :func:`~bayesdep.criticism.each_prior.check_each_prior` returns it.

    Returns
    -------
    pandas.DataFrame or None
        Columns ``Estimand``, ``Depends on`` (priors with their sensitivities, or none) and ``Largest of the others``;
        None where there is nothing to scale, or one prior only.
    """
    alone = checked[checked["prior"] != ALL]
    if alone.empty or len(alone) == len(checked):
        return None
    order = alone.groupby(["estimand", "at"], sort=False)["sensitivity"].max()
    if len(order) > _LONG:
        order = order.sort_values(ascending=False, kind="stable").head(_MOST_DEPENDENT)
    rows = []
    for name, at in order.index:
        those = alone[(alone["estimand"] == name) & (alone["at"] == at)]
        ranked = those.sort_values("sensitivity", ascending=False, kind="stable")
        told = [f"{row.prior} ({row.sensitivity:.3f})" for row in ranked.itertuples()]
        many = int((ranked["sensitivity"] > THRESHOLD).sum())
        rows.append(
            {
                "Estimand": f"{name}[{at}]" if at else name,
                "Depends on": ", ".join(told[:many]) or "none",
                "Largest of the others": told[many] if many < len(told) else "",
            }
        )
    return pd.DataFrame(rows)


def _named(moved: pd.DataFrame) -> list[str]:
    """Estimands with their labels, as ``difference[infliximab, 12]``."""
    return [f"{name}[{at}]" if at else name for name, at in zip(moved["estimand"], moved["at"], strict=True)]


def sensitivity_sentence(moved: pd.DataFrame) -> str:
    """Say which estimands depend on the priors.

    Parameters
    ----------
    moved
        As :func:`~bayesdep.criticism.sensitivity.check_prior_sensitivity` returns it.

    Returns
    -------
    str
        One to three sentences.
    """
    dependent = moved[moved["diagnosis"] != "robust"].sort_values("prior", ascending=False, kind="stable")
    cut = f" The table shows the {_MOST_DEPENDENT} most dependent of {len(moved)}." if len(moved) > _LONG else ""
    if dependent.empty:
        return (
            "No estimand moves noticeably when the priors are strengthened or weakened a little (all below "
            f"{THRESHOLD})." + cut
        )
    names = _named(dependent)
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return (
        f"{len(dependent)} of {len(moved)} estimands depend on the priors (power-scaling sensitivity above "
        f"{THRESHOLD}): {shown}. Report them with another prior beside this one." + cut
    )


def without_people(fit: Fit, text: str) -> str:
    """Replace the labels of single people in the name of a value.

    Parameters
    ----------
    fit
        Any fit.
    text
        ``"level[P012]"`` or any other text.

    Returns
    -------
    str
        ``"level[one subject]"``.
    """
    name, bracket, labels = text.partition("[")
    if not bracket:
        return text
    shown = labels.removesuffix("]")
    for dim in map(str, fit.data.dims):
        if is_personal(fit.data, dim) and dim in fit.data.coords:
            known = set(map(str, fit.data[dim].values))
            shown = ", ".join(f"one {dim}" if part in known else part for part in shown.split(", "))
    return f"{name}[{shown}]"


def parameters_table(fit: Fit, *, people: bool = False) -> tuple[pd.DataFrame, str]:
    """List parameters with their R-hat, effective sample sizes and Monte Carlo errors; those of single people apart.

    Parameters
    ----------
    fit
        Any fit.
    people
        Whether those of single people are listed too.

    Returns
    -------
    table : pandas.DataFrame
        At most 40 rows, those with the lowest effective sample sizes; all text.
    sentence : str
        How many there are, and which are shown.
    """
    every = summarise_parameters(fit)
    dims = [str(d) for d in dict.fromkeys(d for v in fit.posterior.data_vars.values() for d in v.dims[2:])]
    of_people = [d for d in dims if is_personal(fit.data, d, list(every[d].dropna().unique()))]
    is_of_people = every[of_people].notna().any(axis=1) & (not people)
    table = every[~is_of_people]
    worst = (
        every.loc[is_of_people, ["ess_bulk", "ess_tail"]].to_numpy(dtype=float).min() if is_of_people.any() else np.nan
    )
    count = len(table)
    if count > _LONG:
        table = table.loc[table[["ess_bulk", "ess_tail"]].min(axis=1).sort_values(kind="stable").index[:_LONG]]
    rows = []
    for _, row in table.iterrows():
        labels = [str(row[d]) for d in dims if pd.notna(row[d]) and row[d] != ""]
        rows.append(
            {
                "Parameter": f"{row['name']}[{', '.join(labels)}]" if labels else row["name"],
                "Mean": f"{row['mean']:.3g}",
                "sd": f"{row['sd']:.2g}",
                "R-hat": "constant" if np.isnan(row["r_hat"]) else f"{row['r_hat']:.3f}",
                "ESS bulk": f"{row['ess_bulk']:.0f}",
                "ESS tail": f"{row['ess_tail']:.0f}",
                "MCSE": f"{row['mcse']:.2g}",
            }
        )
    said = f"{len(every)} parameters"
    said += f"; shown are the {_LONG} with the lowest effective sample sizes" if count > _LONG else ""
    if is_of_people.any():
        said += f". {int(is_of_people.sum())} are of single people and not shown; their lowest is {worst:.0f}"
    return pd.DataFrame(rows), said + ". All are in summary.csv of the run, or in bayesdep.summarise_parameters(fit)."


def meanings_table(fit: Fit) -> pd.DataFrame:
    """Say what each estimand is.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    pandas.DataFrame
        Columns ``Estimand``, ``Meaning``, ``Units``, ``No effect``.
    """
    rows = []
    for name, values in fit.estimands.data_vars.items():
        dims = [str(d) for d in values.dims if d not in ("chain", "draw")]
        null = float(values.attrs.get("null", 0.0))
        has_null = not np.isnan(null) and "reciprocal_of" not in values.attrs
        rows.append(
            {
                "Estimand": f"{name}, by {' and '.join(dims)}" if dims else str(name),
                "Meaning": str(values.attrs.get("description", "")),
                "Units": str(values.attrs.get("units", "")),
                "No effect": f"{null:g}" if has_null else "",
            }
        )
    return pd.DataFrame(rows)
