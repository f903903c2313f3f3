"""The convergence check of a fit, called its gate: did the sampler converge, with enough effective draws?

It stands beside the sampler, not with the criticism of the model, because every fit contains its verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from scipy import special

R_HAT, ESS, E_BFMI = 1.01, 400.0, 0.3
INDEPENDENT = "independent draws"  # the only criterion for draws from a posterior that is known exactly
_SHOWN = 3  # units named in a failed verdict
R_HAT_OF_ONE = 1.05  # for each of several versions of the data
MAX_TREE_DEPTH_REACHED = "maximum tree depth reached"  # transitions
_AXES = {"chain_axis": 0, "draw_axis": 1}


@dataclass(frozen=True)
class Criterion:
    """One condition a fit must meet.

    Parameters
    ----------
    name
        What is measured.
    value
        The worst value found.
    threshold
        The maximum, or minimum, allowed.
    passed
        Whether it is met.
    where
        The estimand (with its coordinates) or chain with the worst value.
    """

    name: str
    value: float
    threshold: float
    passed: bool
    where: str = ""

    def __str__(self) -> str:
        bound = ">=" if self.name.startswith(("ESS", "E-BFMI", INDEPENDENT)) else "<="
        place = f" ({self.where})" if self.where else ""
        return f"{self.name} {self.printed}{place}, needs {bound} {self.threshold:g}"

    @property
    def printed(self) -> str:
        """The value with four digits, or all of those of a large number."""
        return f"{self.value:.4g}" if not 1e4 <= abs(self.value) < 1e9 else f"{self.value:.0f}"


@dataclass(frozen=True)
class Gate:
    """The result of the convergence check of a fit.

    Parameters
    ----------
    criteria
        Every criterion with its value and threshold.
    units
        Where it failed most: up to three analytes, studies, visits or the like.
    remedy
        A setting that is known to help.
    note
        What was done before, such as sampling with longer steps that diverged.
    """

    criteria: tuple[Criterion, ...]
    units: tuple[str, ...] = ()
    remedy: str = ""
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether every criterion is met."""
        return all(c.passed for c in self.criteria)

    @property
    def sentence(self) -> str:
        """The verdict in one sentence: the first line of every table, figure and report made from the fit."""
        note = f"; {self.note}" if self.note else ""
        if self.passed:
            return "passed the gate: " + "; ".join(_short(c) for c in self.criteria) + note
        failed = "; ".join(str(c) for c in self.criteria if not c.passed)
        units = f"; worst in {', '.join(self.units)}" if self.units else ""
        remedy = f"; what helps: {self.remedy}" if self.remedy else ""
        return f"FAILED THE GATE, do not use these numbers: {failed}{units}{note}{remedy}"

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON can hold it."""
        return {
            "passed": self.passed,
            "sentence": self.sentence,
            "criteria": [asdict(c) for c in self.criteria],
            "units": list(self.units),
            "remedy": self.remedy,
            "note": self.note,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Gate":
        """Restore a verdict from :meth:`to_dict`."""
        criteria = tuple(Criterion(**c) for c in value["criteria"])
        # earlier versions saved none of the three
        return cls(criteria, tuple(value.get("units", ())), value.get("remedy", ""), value.get("note", ""))


def _short(criterion: Criterion) -> str:
    return f"{criterion.name} {criterion.printed}"


def check_convergence(estimands: xr.Dataset, sample_stats: xr.Dataset | None, tables: int = 1) -> Gate:
    """Check convergence by the estimands' chains and by the sampler's own statistics.

    R-hat is the rank-normalised split R-hat and ESS the bulk and tail effective sample sizes of Vehtari et
    al. (2021, doi:10.1214/20-BA1221); E-BFMI is Betancourt's (2016). An estimand that is one over another is
    checked on the other's scale, where it is continuous. Constant estimands are left out, since they have no Monte
    Carlo error; so are those that the data leave undefined (a share below an unknown limit). Draws that are zeros and
    ones have no tails, so tail ESS is not computed for them.

    Chains of M versions of the data (imputations, say) have M different posteriors, so R-hat is computed within each
    version and averaged over versions, ESS is summed, and no version may have an R-hat above 1.05.

    Parameters
    ----------
    estimands
        Draws with dims chain and draw.
    sample_stats
        The sampler's statistics; None where there are none.
    tables
        How many versions of the data the chains are of.

    Returns
    -------
    Gate
        The verdict.
    """
    worst = {"R-hat": (-np.inf, ""), "ESS bulk": (np.inf, ""), "ESS tail": (np.inf, "")}
    failing: dict[str, float] = {}
    of_tables: list[tuple[float, str]] = []
    for name, label, draws in chains_of(estimands):
        each, where = _diagnose_each(draws, tables), f"{name}{label}"
        r_hat, bulk, tail = _together(each)
        of_tables += [
            (x[0], f"{where}, table {k + 1}") for k, x in enumerate(each) if not _is_constant(draws, tables, k)
        ]
        if not np.isfinite(r_hat):
            r_hat, bulk, tail = np.inf, 0.0, 0.0
        if "probability" in estimands[name].attrs:
            tail = np.inf
        # ratio to the threshold, the worst of three: above 1 fails
        excess = max((r_hat - 1) / (R_HAT - 1), ESS / max(bulk, 1e-9), ESS / max(tail, 1e-9))
        unit = _unit(estimands[name], label) if excess > 1 else ""
        if unit:
            failing[unit] = max(failing.get(unit, 0.0), excess)
        worst["R-hat"] = max(worst["R-hat"], (r_hat, where))
        worst["ESS bulk"] = min(worst["ESS bulk"], (bulk, where))
        worst["ESS tail"] = min(worst["ESS tail"], (tail, where))
    criteria = [
        Criterion("R-hat", worst["R-hat"][0], R_HAT, worst["R-hat"][0] <= R_HAT, worst["R-hat"][1]),
        *(Criterion(k, worst[k][0], ESS, worst[k][0] >= ESS, worst[k][1]) for k in ("ESS bulk", "ESS tail")),
    ]
    if tables > 1:
        r_hat, where = max(((np.inf if np.isnan(r) else r, at) for r, at in of_tables), default=(-np.inf, ""))
        criteria.append(Criterion("R-hat of one table", r_hat, R_HAT_OF_ONE, r_hat <= R_HAT_OF_ONE, where))
    if sample_stats is not None:
        divergences = int(sample_stats["diverging"].sum())
        at_maximum = int(sample_stats["reached_max_treedepth"].sum())
        energy = sample_stats["energy"].transpose("chain", "draw").values
        e_bfmi = np.array([np.square(np.diff(e)).mean() / e.var() for e in energy])
        criteria += [
            Criterion("divergences", divergences, 0, divergences == 0),
            Criterion(
                "E-BFMI",
                float(e_bfmi.min()),
                E_BFMI,
                bool(e_bfmi.min() >= E_BFMI),
                f"chain {e_bfmi.argmin()}",
            ),
            Criterion(MAX_TREE_DEPTH_REACHED, at_maximum, 0, at_maximum == 0),
        ]
    return Gate(tuple(criteria), tuple(sorted(failing, key=failing.__getitem__, reverse=True)[:_SHOWN]))


def _unit(values: xr.DataArray, label: str) -> str:
    """The label of an estimand's unit (an analyte, a study, a visit): that of its longest dim."""
    dims = [str(d) for d in values.dims if d not in ("chain", "draw")]
    if not dims:
        return ""
    longest = int(np.argmax([values.sizes[d] for d in dims]))
    for index in np.ndindex(*(values.sizes[d] for d in dims)):
        labels = [str(values[d].values[i]) for d, i in zip(dims, index, strict=True)]
        if f"[{', '.join(labels)}]" == label:
            return labels[longest] if values.sizes[dims[longest]] > 1 else ""
    return ""


def check_independent_draws(estimands: xr.Dataset) -> Gate:
    """Check independent draws of a posterior that is known exactly: only their number matters.

    Independent draws have no autocorrelation and no chains that could differ, so R-hat says nothing about them. Where a
    ratio has heavy tails or a cell has no events, draws may correctly be infinite. Estimands whose marginal is not
    known exactly are summarised from these draws; their effective sample size is their number.

    Parameters
    ----------
    estimands
        Draws with dims chain and draw.

    Returns
    -------
    Gate
        The verdict, of one criterion.
    """
    draws = estimands.sizes["chain"] * estimands.sizes["draw"]
    return Gate((Criterion(INDEPENDENT, draws, ESS, draws >= ESS),))


def chains_of(draws: xr.Dataset) -> list[tuple[str, str, np.ndarray]]:
    """List every scalar quantity of a dataset of draws that has something to diagnose.

    Parameters
    ----------
    draws
        With dims chain and draw.

    Returns
    -------
    list of tuple
        Name, its coordinates as ``[a, b]`` (empty for a scalar) and draws of shape (chain, draw), on the
        reciprocal scale where ``attrs["reciprocal_of"]`` says so; constants, what the data leave undefined (every
        draw NaN), and increasing functions of others (``attrs["monotone_of"]``), left out.
    """
    quantities = []
    for name, values in draws.data_vars.items():
        if "monotone_of" in values.attrs:
            continue
        flat = 1 / values if "reciprocal_of" in values.attrs else values
        dims = [d for d in flat.dims if d not in ("chain", "draw")]
        stacked = flat.transpose("chain", "draw", *dims).values
        for index in np.ndindex(*stacked.shape[2:]):
            labels = ", ".join(str(flat[d].values[i]) for d, i in zip(dims, index, strict=True))
            chain = stacked[(slice(None), slice(None), *index)]
            if not (chain == chain.flat[0]).all() and not np.isnan(chain).all():
                quantities.append(
                    (str(name), f"[{labels}]" if labels else "", np.ascontiguousarray(chain, dtype=float))
                )
    return quantities


def diagnose(chain: np.ndarray, tables: int = 1) -> tuple[float, float, float]:
    """R-hat, bulk ESS and tail ESS of one quantity.

    Parameters
    ----------
    chain
        Draws of shape (chain, draw).
    tables
        How many versions of the data the chains are of; chains of the same version are adjacent. Each version is
        diagnosed on its own; the mean of their R-hats and the sums of their ESS are returned.

    Returns
    -------
    tuple of float
        R-hat, bulk ESS, tail ESS; NaN where a draw is not finite or undefined.
    """
    return _together(_diagnose_each(chain, tables))


def _together(each: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    """The mean R-hat of several versions of the data, and the sums of their effective sample sizes."""
    r_hats, bulk, tail = np.transpose(each)
    return float(r_hats.mean()), float(bulk.sum()), float(tail.sum())


def _is_constant(chain: np.ndarray, tables: int, k: int) -> bool:
    return not np.ptp(np.split(chain, tables)[k]) > 0


def _diagnose_each(chain: np.ndarray, tables: int) -> list[tuple[float, float, float]]:
    """R-hat, bulk ESS and tail ESS of each version of the data."""
    return [_diagnose_one(x) for x in np.split(chain, tables)]


def _diagnose_one(chain: np.ndarray) -> tuple[float, float, float]:
    if not np.isfinite(chain).all():
        return np.nan, np.nan, np.nan
    half = chain.shape[1] // 2
    split = np.vstack([chain[:, :half], chain[:, -half:]])
    bulk, folded = normal_scores(np.stack([split, np.abs(split - np.median(split))]))
    return (
        max(float(array_stats.rhat(scores, method="identity", **_AXES)) for scores in (bulk, folded)),
        float(array_stats.ess(bulk, method="identity", **_AXES)),
        float(array_stats.ess(chain, method="tail", prob=(0.05, 0.95), **_AXES)),
    )


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Return normal scores of the ranks (Blom 1958), row by row; ArviZ would compute them again for each diagnostic.

    Equal draws, which arise where a proposal is rejected, share the mean of their ranks.

    Parameters
    ----------
    values
        Draws, the first dimension the quantity.

    Returns
    -------
    numpy.ndarray
        With the shape of ``values``.
    """
    ranks = np.empty((len(values), values[0].size))
    for row, rank in zip(values.reshape(ranks.shape), ranks, strict=True):
        order = row.argsort()
        ordered = row[order]
        first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        ties = np.diff(first, append=row.size)
        rank[order] = np.repeat(first + (ties + 1) / 2, ties)
    return np.asarray(special.ndtri((ranks - 0.375) / (ranks.shape[-1] + 0.25))).reshape(values.shape)
