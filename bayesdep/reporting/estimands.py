"""Tidy tables of estimands and parameters: one row per number, with its uncertainty and units."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base import array_stats

from bayesdep.data.errors import BadInput
from bayesdep.inference.diagnostics import diagnose
from bayesdep.inference.fit import Fit, cached_on_fit
from bayesdep.inference.numbers import check_level
from bayesdep.models.model import ExactPosterior
from bayesdep.numerics.betas import BetaMarginal
from bayesdep.numerics.marginals import Marginal, interval

LEVEL = 0.95
_SAME = 1e-12  # tolerance, relative to a number or to its sd


def summarise(fit: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """Summarise every estimand of a fit.

    A number that is one over another (a number needed to treat) is summarised on the other's scale: its
    interval may run through infinity, and then ``lower`` is the bound among negative and ``upper`` the bound
    among positive values, the interval being everything outside them, as ``interval`` says (Altman 1998,
    doi:10.1136/bmj.317.7168.1309). It has no mean or standard deviation.

    Parameters
    ----------
    fit
        Any fit. Numbers that are known exactly replace those computed from draws.
    level
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        Columns ``estimand``, one per dim, ``mean``, ``sd``, ``median``, ``lower``, ``upper`` (equal-tailed), ``level``,
        ``prob_gt_0``, ``units``, ``hdi_lower``, ``hdi_upper``, ``null`` (value of no effect), ``prob_gt_null``,
        ``interval`` (in words where it passes through infinity), ``false_sign_rate``, ``prob_in_rope``, ``mcse`` (Monte
        Carlo standard error of the mean; 0 where that is known exactly), ``exact_lower`` and ``exact_upper`` (of a
        probability that has its own counts: the interval of Clopper and Pearson, whose coverage is never below the
        level), ``prior_p`` (of a primary estimand: the two-sided tail probability of its posterior mean, over data from
        the prior predictive; :func:`~bayesdep.inference.verdict.check_model`) and ``description``. ``attrs["gate"]``
        and ``attrs["model"]`` are the verdicts on sampling and model, ``attrs["gate_passed"]`` and
        ``attrs["model_passed"]`` whether they passed. ``false_sign_rate`` is the probability that the more probable
        side of the null is the wrong one (the local false-sign rate, Stephens 2017, doi:10.1093/biostatistics/kxw041);
        the probability of the null itself, which averaged models have, counts as wrong. ``prob_in_rope`` is the
        probability of lying within the estimand's region of practical equivalence; NaN where it has none. An estimand
        without a value of no effect (a rank, a spread) has NaN for ``null``, ``prob_gt_null`` and ``false_sign_rate``.
        An estimand that the data leave undefined (a share below an unknown limit) keeps its row, all NaN.

    Raises
    ------
    BadInput
        When the level is not between 0 and 1.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> bd.summarise(fit)["estimand"].unique().tolist()
    ['mu', 'tau', 'theta', 'theta_new', 'i2']
    """
    check_level(level)
    return _at_95(fit) if level == LEVEL else _summarise(fit, level)


@cached_on_fit
def _at_95(fit: Fit) -> pd.DataFrame:
    return _summarise(fit, LEVEL)


def _summarise(fit: Fit, level: float) -> pd.DataFrame:
    exact = fit.exact if fit.is_exact else None
    marginals = dict(exact.marginals) if exact else {}
    rows = []
    standing = {x.name: x.p for x in fit.verdict.judged if x.kind == "prior"}
    for name, at, draws, attrs in _scalars(fit.estimands):
        source = str(attrs.get("reciprocal_of", name))
        summary = (
            _of_marginal(marginals[source, at], level, attrs)
            if (source, at) in marginals
            else _of_draws(draws, level, attrs, fit.tables)
        )
        label = f"{name}[{', '.join(x for _, x in at)}]" if at else name
        rows.append({"estimand": name, **dict(at), **summary, "prior_p": standing.get(label, np.nan)})
    table = _arrange(rows, _dims(fit.estimands))
    table.attrs = fit.attrs
    return table


def summarise_draws(draws: xr.Dataset, tables: int = 1, *, level: float = LEVEL) -> pd.DataFrame:
    """Summarise draws of quantities that are no estimands of a fit, such as an arm's adjusted means.

    Parameters
    ----------
    draws
        Made by :func:`~bayesdep.models.model.estimand`.
    tables
        Versions of the data that they are of, in equal shares, one after the other.
    level
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        As :func:`summarise`, without ``attrs``.
    """
    rows = [
        {"estimand": name, **dict(at), **_of_draws(values, level, attrs, tables)}
        for name, at, values, attrs in _scalars(draws)
    ]
    return _arrange(rows, _dims(draws))


def summarise_exact(fit_or_exact: Fit | ExactPosterior, *, level: float = LEVEL) -> pd.DataFrame:
    """Summarise a posterior that is known exactly, without draws.

    Parameters
    ----------
    fit_or_exact
        A fit whose posterior is known exactly, or the result of a model's ``exact(data)``.
    level
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        As :func:`summarise`, without units and descriptions.

    Raises
    ------
    BadInput
        When the model's posterior is not known.

    Examples
    --------
    >>> import bayesdep as bd
    >>> model = bd.Screen(condition="responder", positives="below_34_pg_per_mL")
    >>> exact = model.exact(model.prepare(bd.load("kiraly2017_fgf2_roc")))
    >>> table = bd.summarise_exact(exact).set_index("estimand")
    >>> table.loc[["sensitivity", "specificity"], "median"].round(3).to_list()
    [0.784, 0.904]
    """
    check_level(level)
    exact = fit_or_exact.exact if isinstance(fit_or_exact, Fit) else fit_or_exact
    if exact is None:
        raise BadInput("the posterior of this model is not known exactly under these settings; use summarise")
    rows = [
        {"estimand": name, **dict(at), **_of_marginal(marginal, level, {})}
        for (name, at), marginal in exact.marginals.items()
    ]
    dims = list(dict.fromkeys(dim for _, at in exact.marginals for dim, _ in at))
    return _arrange(rows, dims)


def is_probability(row: "pd.Series[Any]") -> bool:
    """Tell whether a row of :func:`summarise` is of zeros and ones, whose mean is a probability."""
    return bool(np.isnan(row["median"]) and not np.isnan(row["mean"]))


def in_words(row: "pd.Series[Any]") -> str:
    """Return a probability of :func:`summarise` with its Monte Carlo error, rounded accordingly."""
    if row["mcse"] > 0:
        digits = int(np.clip(1 - np.floor(np.log10(row["mcse"])), 2, 6))
        return f"P = {row['mean']:.{digits}f}, Monte Carlo error {row['mcse']:.{digits}f}"
    return f"P = {row['mean']:g} in all draws"


@cached_on_fit
def summarise_parameters(fit: Fit) -> pd.DataFrame:
    """Summarise every parameter, with its diagnostics.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    pandas.DataFrame
        Columns ``name``, one per dim, ``mean``, ``sd``, ``median``, ``q2.5``, ``q97.5``, ``hdi_lower``,
        ``hdi_upper``, ``r_hat``, ``ess_bulk``, ``ess_tail`` and ``mcse`` (of the mean). The columns named by level are
        95% equal-tailed intervals and highest-density ones.

    Examples
    --------
    >>> import bayesdep as bd
    >>> model = bd.Screen(condition="responder", positives="below_34_pg_per_mL")
    >>> fit = bd.fit(model, bd.load("kiraly2017_fgf2_roc"), seed=1)
    >>> bd.summarise_parameters(fit)[["name", "median"]].round(1).to_numpy().tolist()
    [['sensitivity', 0.8], ['specificity', 0.9]]
    """
    rows = []
    latent = [name for name in fit.joint if name not in fit.posterior]
    for name, at, draws, _ in [*_scalars(fit.posterior), *_scalars(fit.joint[latent])]:
        lower, median, upper = np.quantile(draws, [0.025, 0.5, 0.975])
        hdi = array_stats.hdi(draws.ravel(), prob=LEVEL)
        r_hat, bulk, tail = diagnose(draws, fit.tables)
        rows.append(
            {
                "name": name,
                **dict(at),
                "mean": draws.mean(),
                "sd": draws.std(ddof=1),
                "median": median,
                "q2.5": lower,
                "q97.5": upper,
                "hdi_lower": hdi[0],
                "hdi_upper": hdi[1],
                "r_hat": r_hat,
                "ess_bulk": bulk,
                "ess_tail": tail,
                "mcse": _mcse(draws, fit.tables),
            }
        )
    table = pd.DataFrame(rows)
    table.attrs = fit.attrs
    return table


def _mcse(draws: np.ndarray, tables: int) -> float:
    """Monte Carlo standard error of the mean, for draws given these versions of the data."""
    each = [float(array_stats.mcse(x, chain_axis=0, draw_axis=1, method="mean")) for x in np.split(draws, tables)]
    return float(np.linalg.norm(each)) / tables


@cached_on_fit
def oracle(fit: Fit) -> pd.DataFrame | None:
    """Compare a sampled posterior with the exact one, in Monte Carlo standard errors.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    pandas.DataFrame or None
        One row per estimand, coordinates and statistic (``mean``, ``sd``, ``q2.5``, ``q97.5``): ``sampled``,
        ``exact``, ``mcse`` and ``z = (sampled - exact) / mcse``. None where nothing is known exactly, or
        nothing was sampled.
    """
    exact = None if fit.is_exact else fit.exact
    if exact is None:
        return None
    rows = []
    for name, at, draws, _ in _scalars(fit.estimands):
        marginal = exact.marginals.get((name, at))
        if marginal is None:
            continue
        lower, upper = marginal.quantile(np.array([0.025, 0.975]))
        sampled_lower, sampled_upper = np.quantile(draws, [0.025, 0.975])
        for statistic, sampled, truth, how in (
            ("mean", draws.mean(), marginal.mean, {"method": "mean"}),
            ("sd", draws.std(ddof=1), marginal.sd, {"method": "sd"}),
            ("q2.5", sampled_lower, lower, {"method": "quantile", "prob": 0.025}),
            ("q97.5", sampled_upper, upper, {"method": "quantile", "prob": 0.975}),
        ):
            error = float(array_stats.mcse(draws, chain_axis=0, draw_axis=1, **how))
            rows.append(
                {
                    "estimand": name,
                    "at": ", ".join(label for _, label in at),
                    "statistic": statistic,
                    "sampled": float(sampled),
                    "exact": float(truth),
                    "mcse": error,
                    "z": (float(sampled) - float(truth)) / error,
                }
            )
    return pd.DataFrame(rows)


def _scalars(
    draws: xr.Dataset,
) -> Iterator[tuple[str, tuple[tuple[str, str], ...], np.ndarray, dict[str, Any]]]:
    """Every scalar: name, coordinates, draws of shape (chain, draw) and attrs."""
    for name, values in draws.data_vars.items():
        dims = [str(d) for d in values.dims if d not in ("chain", "draw")]
        array = values.transpose("chain", "draw", *dims).values
        for index in np.ndindex(*array.shape[2:]):
            coordinates = tuple((d, str(values[d].values[i])) for d, i in zip(dims, index, strict=True))
            yield (
                str(name),
                coordinates,
                np.ascontiguousarray(array[(slice(None), slice(None), *index)], dtype=float),
                values.attrs,
            )


def _dims(draws: xr.Dataset) -> list[str]:
    return list(dict.fromkeys(str(d) for v in draws.data_vars.values() for d in v.dims if d not in ("chain", "draw")))


def _of_draws(draws: np.ndarray, level: float, attrs: dict[str, Any], tables: int) -> dict[str, Any]:
    tail = (1 - level) / 2
    null = float(attrs.get("null", 0.0))
    if np.isnan(draws).all():
        return _row(attrs=attrs, level=level, null=null)
    if "probability" in attrs:
        return _row(mean=draws.mean(), level=level, mcse=_mcse(draws, tables), attrs=attrs)
    on_own_scale = 1 / draws if "reciprocal_of" in attrs else draws
    sd = on_own_scale.std(ddof=1)

    def sides(of: float) -> tuple[float, float]:
        margin = _rounding(of, sd)
        return float((on_own_scale > of + margin).mean()), float((on_own_scale < of - margin).mean())

    if "reciprocal_of" in attrs:
        lower, median, upper = np.quantile(on_own_scale, [tail, 0.5, 1 - tail])
        return _through_infinity(lower, median, upper, sides(0.0), level, attrs)
    above, wrong = _against(null, sides)
    rope = [float(attrs.get(f"rope_{end}", np.nan)) for end in ("lower", "upper")]
    lower, median, upper = np.quantile(draws, [tail, 0.5, 1 - tail])
    hdi_lower, hdi_upper = array_stats.hdi(draws.ravel(), prob=level)
    return _row(
        mean=draws.mean(),
        sd=sd,
        median=median,
        lower=lower,
        upper=upper,
        level=level,
        prob_gt_0=sides(0.0)[0],
        hdi_lower=hdi_lower,
        hdi_upper=hdi_upper,
        null=null,
        prob_gt_null=above,
        false_sign_rate=wrong,
        prob_in_rope=np.nan if np.isnan(rope).any() else ((draws >= rope[0]) & (draws <= rope[1])).mean(),
        mcse=_mcse(draws, tables),
        attrs=attrs,
    )


def _of_marginal(marginal: Marginal, level: float, attrs: dict[str, Any]) -> dict[str, Any]:
    null = float(attrs.get("null", 0.0))
    lower, upper = interval(marginal, level)
    median = float(marginal.quantile(np.array([0.5]))[0])
    exact_lower, exact_upper = (
        marginal.exact_interval(level) if isinstance(marginal, BetaMarginal) else (np.nan, np.nan)
    )

    def sides(of: float) -> tuple[float, float]:
        margin = _rounding(of, marginal.sd)
        with np.errstate(invalid="ignore"):  # beyond the end of a scale its transformation is undefined
            below = float(marginal.cdf(of - margin))
        return 1 - float(marginal.cdf(of + margin)), 0.0 if np.isnan(below) else below

    if "reciprocal_of" in attrs:
        return _through_infinity(lower, median, upper, sides(0.0), level, attrs)
    hdi_lower, hdi_upper = _shortest(marginal, level)
    above, wrong = _against(null, sides)
    rope = [float(attrs.get(f"rope_{end}", np.nan)) for end in ("lower", "upper")]
    return _row(
        mean=marginal.mean,
        sd=marginal.sd,
        median=median,
        lower=lower,
        upper=upper,
        level=level,
        prob_gt_0=sides(0.0)[0],
        hdi_lower=hdi_lower,
        hdi_upper=hdi_upper,
        null=null,
        prob_gt_null=above,
        false_sign_rate=wrong,
        prob_in_rope=np.nan if np.isnan(rope).any() else float(marginal.cdf(rope[1]) - marginal.cdf(rope[0])),
        mcse=0.0,
        exact_lower=exact_lower,
        exact_upper=exact_upper,
        attrs=attrs,
    )


def _rounding(null: float, sd: float) -> float:
    """Tolerance within which two computed numbers are the same, after a logit and its inverse for example."""
    return _SAME * max(abs(null), sd if np.isfinite(sd) else 0.0)


def _against(null: float, sides: Callable[[float], tuple[float, float]]) -> tuple[float, float]:
    """The probability above a null value, and that of not lying on its more probable side."""
    above, below = (np.nan, np.nan) if np.isnan(null) else sides(null)
    return above, 1 - max(above, below)


def _shortest(marginal: Marginal, level: float) -> tuple[float, float]:
    """The shortest interval of a unimodal distribution, by a grid of lower tails refined around its best."""
    tails = (1 - level) * (1 - np.cos(np.linspace(0, np.pi, 17)[1:-1])) / 2  # denser towards both ends
    for _ in range(4):
        lower, upper = marginal.quantile(np.stack([tails, tails + level]))
        best = int(np.argmin(upper - lower))
        tails = np.linspace(tails[max(best - 1, 0)], tails[min(best + 1, len(tails) - 1)], 11)
    return float(lower[best]), float(upper[best])


def _through_infinity(
    lower: float, median: float, upper: float, sides: tuple[float, float], level: float, attrs: dict[str, Any]
) -> dict[str, Any]:
    """Turn an interval of x into one of 1/x, which may pass through infinity; x has these sides of zero."""
    if lower < 0 < upper:
        bounds = 1 / lower, 1 / upper
        words = f"harm {-bounds[0]:.1f} to ∞ to benefit {bounds[1]:.1f}"
    else:  # zero itself, which has a probability in averaged models, becomes infinite
        bounds = 1 / upper if upper != 0 else -np.inf, 1 / lower if lower != 0 else np.inf
        side, ends = ("benefit", bounds) if lower >= 0 else ("harm", (-bounds[1], -bounds[0]))
        words = f"{side} {ends[0]:.1f} to {ends[1]:.1f}".replace("inf", "∞")
    return _row(
        mean=np.nan,
        sd=np.nan,
        median=1 / median if median != 0 else np.inf,
        lower=bounds[0],
        upper=bounds[1],
        level=level,
        prob_gt_0=sides[0],
        hdi_lower=np.nan,
        hdi_upper=np.nan,
        null=0.0,
        prob_gt_null=sides[0],
        false_sign_rate=1 - max(sides),
        interval=words,
        attrs=attrs,
    )


def _row(*, attrs: dict[str, Any], interval: str = "", **numbers: Any) -> dict[str, Any]:
    row = {name: float(value) for name, value in numbers.items()}
    return row | {
        "interval": interval,
        "units": str(attrs.get("units", "")),
        "description": str(attrs.get("description", "")),
    }


# Columns of a table of estimands, in their order; before them are the estimand's name and its coordinates.
_FIRST = ("mean", "sd", "median", "lower", "upper", "level", "prob_gt_0", "units", "hdi_lower", "hdi_upper", "null")
_LAST = ("prob_gt_null", "interval", "false_sign_rate", "prob_in_rope", "mcse", "exact_lower", "exact_upper")
COLUMNS = (*_FIRST, *_LAST, "prior_p", "description")


def _arrange(rows: list[dict[str, Any]], dims: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows).reindex(columns=["estimand", *dims, *COLUMNS])
    table[dims] = table[dims].fillna("")
    return table
