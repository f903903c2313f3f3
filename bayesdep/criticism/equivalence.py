"""Evidence that an effect is absent, or present: probabilities of regions of practical equivalence."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.base import array_stats

from bayesdep.criticism.bayes_factor import bayes_factor
from bayesdep.data.errors import BadInput
from bayesdep.inference.diagnostics import diagnose
from bayesdep.inference.fit import Fit, cached_on_fit
from bayesdep.inference.ropes import Rope, refuse_unknown_ropes, values_at

PRESENT, ABSENT, UNDECIDED = "present", "absent", "undecided"
MOST_FACTORS = 20  # values of a region for which Bayes factors are computed unasked
_SIDES = ("below", "inside", "above")
_COLUMNS = (
    "lower", "upper", "units", "median", "prob_below", "prob_inside", "prob_above", "mcse_below", "mcse_inside",
    "mcse_above", "level", "conclusion", "is_close", "bayes_factor", "bayes_factor_error", "bayes_factor_prior",
    "bayes_factor_note", "reason", "description",
)  # fmt: skip


def check_equivalence(fit: Fit, *ropes: Rope) -> pd.DataFrame:
    """Ask of named estimands whether an effect that matters is present, absent, or undecided.

    An effect is *present* where the probability of lying beyond the region of practical equivalence, on one and the
    same side, is above the level; *absent* where that of lying inside it is; *undecided* otherwise. Both sides are not
    added up: a wide posterior, half above and half below, would be called present although the data say nothing. That
    an interval includes zero, or that P is above 0.05, is no evidence of absence.

    Parameters
    ----------
    fit
        Any fit.
    *ropes
        Regions of practical equivalence; those that the plan stated (``fit.ropes``) unless given.

    Returns
    -------
    pandas.DataFrame
        One row per value, without those that the model fixes (arms' difference before treatment where baselines are
        equal) unless a region has no other: ``estimand``, one column per dim, ``lower`` and ``upper`` (ends of the
        region), ``units``,
        ``median``, ``prob_below``, ``prob_inside``, ``prob_above`` and their Monte Carlo standard errors
        ``mcse_below``, ... (0 where they are known exactly), ``level``, ``conclusion`` (``"present, above"``,
        ``"present, below"``, ``"absent"`` or ``"undecided"``), ``is_close`` (the deciding probability is within two
        Monte Carlo errors of the level: take more draws), ``bayes_factor`` for no effect (NaN where there is none),
        ``bayes_factor_error``, ``bayes_factor_prior`` (its prior, in the estimand's units), ``bayes_factor_note`` (why
        there is none; a region of more than 20 values has none), ``reason`` (of the margin) and ``description``.

    Raises
    ------
    BadInput
        When no region is stated, or one is of an estimand or coordinates that the fit does not have.

    Examples
    --------
    >>> import bayesdep as bd
    >>> trials = pd.DataFrame({"study": ["a", "b", "c"], "effect": [0.1, -0.2, 0.15], "se": [0.05, 0.05, 0.06]})
    >>> fitted = bd.fit(bd.Meta(measure="standardised-difference"), trials)
    >>> table = bd.check_equivalence(fitted, bd.Rope(estimand="mu", margin=0.5, reason="a medium effect"))
    >>> table[["prob_inside", "conclusion"]].round(2).to_numpy().tolist()
    [[0.97, 'absent']]
    """
    if ropes:
        refuse_unknown_ropes(ropes, fit.estimands)
        return _table(fit, ropes)
    if not fit.ropes:
        raise BadInput(
            "no region of practical equivalence is stated; give bd.Rope(estimand=..., margin=..., reason=...), or "
            "write [[rope]] in the plan"
        )
    return _of_plan(fit)


@cached_on_fit
def _of_plan(fit: Fit) -> pd.DataFrame:
    return _table(fit, fit.ropes)


def _table(fit: Fit, ropes: tuple[Rope, ...]) -> pd.DataFrame:
    marginals = dict(fit.exact.marginals) if fit.is_exact and fit.exact is not None else {}
    rows: list[dict[str, Any]] = []
    dims: dict[str, str] = {}
    for rope in ropes:
        values = list(values_at(fit.estimands, rope.estimand, rope.at))
        values = [x for x in values if not _is_fixed(x[1])] or values
        for coordinates, draws in values:
            dims |= {dim: "" for dim, _ in coordinates}
            marginal = marginals.get((rope.estimand, coordinates))
            found = _of_draws(draws, rope, fit.tables) if marginal is None else _of_marginal(marginal, rope)
            about = {"estimand": rope.estimand, **dict(coordinates), "lower": rope.ends[0], "upper": rope.ends[1]}
            attrs = fit.estimands[rope.estimand].attrs
            words = {key: str(attrs.get(key, "")) for key in ("units", "description")}
            rows.append(
                about | words | found | _verdict(found, rope.level) | {"level": rope.level, "reason": rope.reason}
                | _bayes_factor(fit, rope.estimand, dict(coordinates), asked=len(values) <= MOST_FACTORS)
            )  # fmt: skip
    table = pd.DataFrame(rows).reindex(columns=["estimand", *dims, *_COLUMNS])
    table[list(dims)] = table[list(dims)].fillna("")
    table.attrs = fit.attrs
    return table


def _is_fixed(draws: xr.DataArray) -> bool:
    """Whether the model fixes a value, as arms' difference before treatment is zero where baselines are equal."""
    return bool((draws == draws.values.flat[0]).all())


def _of_draws(values: xr.DataArray, rope: Rope, tables: int) -> dict[str, Any]:
    """Shares of draws, with Monte Carlo errors; where all draws agree, the sd of what n effective draws leave open."""
    draws = np.ascontiguousarray(values.values, dtype=float)
    lower, upper = rope.ends
    if np.isnan(draws).any():
        return {"median": np.nan} | {f"{what}_{side}": np.nan for side in _SIDES for what in ("prob", "mcse")}
    where = {"below": draws < lower, "inside": (draws >= lower) & (draws <= upper), "above": draws > upper}
    found: dict[str, Any] = {"median": float(np.median(draws))}
    if _is_fixed(values):
        known = {f"prob_{side}": float(holds.all()) for side, holds in where.items()}
        return found | known | {f"mcse_{side}": 0.0 for side in _SIDES}
    effective = diagnose(draws, tables)[1]
    for side, holds in where.items():
        share = float(holds.mean())
        if share in (0.0, 1.0):  # the sd of a Beta(1/2, n + 1/2): nothing, or everything, of n effective draws
            error = float(np.sqrt(0.5 * (effective + 0.5) / ((effective + 1) ** 2 * (effective + 2))))
        else:
            each = [
                float(array_stats.mcse(x, chain_axis=0, draw_axis=1, method="mean"))
                for x in np.split(holds.astype(float), tables)
            ]
            error = float(np.linalg.norm(np.nan_to_num(each))) / tables
        found |= {f"prob_{side}": share, f"mcse_{side}": error}
    return found


def _of_marginal(marginal: Any, rope: Rope) -> dict[str, Any]:
    """Probabilities of a distribution that is known exactly."""
    lower, upper = (float(marginal.cdf(end)) for end in rope.ends)
    probabilities = {"prob_below": lower, "prob_inside": upper - lower, "prob_above": 1 - upper}
    median = float(marginal.quantile(np.array([0.5]))[0])
    return {"median": median} | probabilities | {f"mcse_{side}": 0.0 for side in _SIDES}


def _verdict(found: dict[str, Any], level: float) -> dict[str, Any]:
    """The verdict in words, and whether more draws could change it."""
    decided = {"inside": ABSENT, "above": f"{PRESENT}, above", "below": f"{PRESENT}, below"}
    likeliest = max(decided, key=lambda side: found[f"prob_{side}"])
    p, error = found[f"prob_{likeliest}"], found[f"mcse_{likeliest}"]
    return {"conclusion": decided[likeliest] if p > level else UNDECIDED, "is_close": bool(abs(p - level) < 2 * error)}


def _bayes_factor(fit: Fit, name: str, at: dict[str, str], *, asked: bool) -> dict[str, Any]:
    """The Bayes factor of one value; of a region with many values none is computed, as each takes seconds."""
    if not asked:
        note = f"a region of more than {MOST_FACTORS} values has none computed; bd.check_null computes them"
        return {
            "bayes_factor": np.nan,
            "bayes_factor_error": np.nan,
            "bayes_factor_prior": "",
            "bayes_factor_note": note,
        }
    found = bayes_factor(fit, name, at)
    note = found.reason if np.isnan(found.bound) else f"below {found.bound:.2g}: {found.reason}"
    return {
        "bayes_factor": found.value,
        "bayes_factor_error": found.error,
        "bayes_factor_prior": "" if found.prior is None else str(found.prior),
        "bayes_factor_note": note,
    }


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of :func:`check_equivalence` for readers, one line per value.

    Parameters
    ----------
    table
        As :func:`check_equivalence` returns it.

    Returns
    -------
    pandas.DataFrame
        Columns ``Estimand``, ``Too small to matter``, ``P(below)``, ``P(inside)``, ``P(above)``, ``Verdict``, ``Bayes
        factor for no effect`` and ``Reason for the margin``.
    """
    dims = list(table.columns[1 : table.columns.get_loc("lower")])
    rows = []
    for _, row in table.iterrows():
        labels = ", ".join(str(row[d]) for d in dims if row[d] != "")
        close = " (within Monte Carlo error of the level)" if row["is_close"] else ""
        line = {
            "Estimand": f"{row['estimand']}[{labels}]" if labels else str(row["estimand"]),
            "Too small to matter": f"{row['lower']:g} to {row['upper']:g} {row['units']}",
            **{f"P({side})": _probability(row[f"prob_{side}"], row[f"mcse_{side}"]) for side in _SIDES},
            "Verdict": f"{row['conclusion']} at {row['level']:g}{close}",
            "Bayes factor for no effect": _factor(row),
            "Reason for the margin": row["reason"],
        }
        rows.append(line)
    return pd.DataFrame(rows)


def _probability(p: float, error: float) -> str:
    """A probability with as many digits as its Monte Carlo error allows."""
    if np.isnan(p):
        return "not known"
    digits = 3 if error == 0 else int(np.clip(1 - np.floor(np.log10(error)), 2, 4))
    return f"{p:.{digits}f}" + (f" ({error:.{digits}f})" if error else "")


def _factor(row: "pd.Series[Any]") -> str:
    if np.isfinite(row["bayes_factor"]):
        error = f" ± {row['bayes_factor_error']:.2g}" if row["bayes_factor_error"] else ""
        return f"{row['bayes_factor']:.3g}{error} under {row['bayes_factor_prior']}"
    if row["bayes_factor_prior"]:
        return f"{row['bayes_factor_note']}, under {row['bayes_factor_prior']}"
    return f"none, because {row['bayes_factor_note']}"
