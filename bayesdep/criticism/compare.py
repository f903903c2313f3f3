"""Rank fits by leave-one-out cross-validation, and refuse comparisons that have no meaning."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import arviz_stats
import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.criticism.refit import score_groups, score_left_out_units
from bayesdep.data.errors import BadInput, CannotCompare
from bayesdep.inference.fit import Fit
from bayesdep.inference.observations import at_one_draw
from bayesdep.models.model import HasHierarchy
from bayesdep.numerics.importance import GOOD_K

CLUSTER = "cluster"  # what a meta-analysis with clusters leaves out
CLEAR = 4  # difference of scores below which models predict alike
MANY = 100  # units from which on the standard error of a difference is about right
_FEW = 3  # units that a difference can be said to depend on


@dataclass(frozen=True)
class Comparison:
    """A ranking by expected log predictive density of left-out units.

    Parameters
    ----------
    table
        One row per fit, best first: ``model``, ``elpd``, ``se``, ``p_loo`` (effective parameters),
        ``elpd_diff``, ``diff_se``, ``weight`` (stacking), ``worst_pareto_k``, ``refits`` (units left out by sampling
        again).
    left_out
        What a left-out unit is (a patient, a study).
    units
        The number of units.
    by_unit
        One row per unit: ``unit``, a column of expected log densities for each fit, best first, and ``difference``,
        the best less the second: the units that speak most for the best come first, those for the second last.
    """

    table: pd.DataFrame
    left_out: str
    units: int
    by_unit: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def reliable(self) -> bool:
        """Whether every Pareto k is below 0.7, so that importance sampling can be trusted."""
        return bool((self.table["worst_pareto_k"] < GOOD_K).all())

    @property
    def sentence(self) -> str:
        """The comparison in one sentence, which says no more than the numbers allow.

        Fits are told apart where the difference of their scores is 4 or more and exceeds two standard errors, or four
        among fewer than 100 units, where standard errors can be half of what they should be (Sivula, Magnusson,
        Matamoros and Vehtari 2020, doi:10.48550/arXiv.2008.10296).
        """
        if not self.reliable:
            bad = self.table.loc[self.table["worst_pareto_k"] >= GOOD_K, "model"]
            return (
                f"UNRELIABLE: Pareto k reaches {self.table['worst_pareto_k'].max():.2f} "
                f"in {', '.join(bad)}, so leaving out one {self.left_out} changes the posterior too much for "
                "importance sampling"
            )
        best, second = self.table["model"].iloc[0], self.table.iloc[1]
        close = self.table[~self._is_told_apart].iloc[1:]
        if len(close):
            said = self._not_told_apart([best, *close["model"]], close)
        else:
            by, se = abs(second["elpd_diff"]), second["diff_se"]
            said = f"{best} predicts best, ahead of {second['model']} by {by:.1f} (standard error {se:.1f})"
            said += self._who_decides
        pairs = zip(self.table["model"], self.table["weight"], strict=True)
        weights = ", ".join(f"{weight:.2f} {name}" for name, weight in pairs)
        return f"{said}; leaving out one {self.left_out} of {self.units} at a time; stacking weights: {weights}"

    @property
    def _errors(self) -> int:
        """How many standard errors a difference must exceed."""
        return 4 if self.units < MANY else 2

    @property
    def _is_told_apart(self) -> pd.Series:
        """Of each fit, whether it is told apart from the best; the best itself is not."""
        by = self.table["elpd_diff"].abs()
        return (by >= CLEAR) & (by > self._errors * self.table["diff_se"])

    def _not_told_apart(self, names: list[str], close: pd.DataFrame) -> str:
        """That some fits are not told apart from the best, and why."""
        by, se = (close[name].abs().to_numpy(float) for name in ("elpd_diff", "diff_se"))
        farthest = int(by.argmax())
        said = (
            f"{', '.join(names[:-1])} and {names[-1]} cannot be told apart: their scores differ by {by[farthest]:.1f}"
        )
        if by[farthest] < CLEAR:
            return f"{said}, and differences below {CLEAR} say nothing"
        said += f" with a standard error of {se[farthest]:.1f}"
        if by[farthest] <= 2 * se[farthest]:
            return f"{said}, less than two of them"
        return f"{said}, and among fewer than {MANY} units the error can be twice as large"

    @property
    def _who_decides(self) -> str:
        """Up to three units without which the two best would not be told apart: a clause, empty if there are none.

        It does not name them, since they may be people and sentences are printed.
        """
        if self.by_unit.empty:
            return ""
        for k in range(1, min(_FEW, len(self.by_unit) - 2) + 1):
            rest = self.by_unit["difference"].iloc[k:]
            se = np.sqrt(len(rest) * rest.var(ddof=1))
            if not (rest.sum() >= CLEAR and rest.sum() > self._errors * se):
                who = f"one {self.left_out}" if k == 1 else f"{k} units"
                return f", which depends on {who} (first in by_unit): without, it is {rest.sum():.1f} ({se:.1f})"
        return ""


def compare(fits: Mapping[str, Fit]) -> Comparison:
    """Compare fits of the same data by leave-one-out (PSIS: Vehtari and others 2017, doi:10.1007/s11222-016-9696-4).

    A unit whose Pareto k is 0.7 or more is left out by sampling again without it, if such units are few and the model
    can score a unit outside the fit. A meta-analysis with clusters and one without are compared cluster by cluster: of
    the latter the joint density of a cluster's effects. Models of different families are compared where both score the
    same outcomes of the same units: a ``Trial`` and growth curves (``Trajectories`` without markers), patient by
    patient.

    Parameters
    ----------
    fits
        Two or more fits, by name.

    Returns
    -------
    Comparison
        The ranking.

    Raises
    ------
    BadInput
        When there are fewer than two fits, or they have no names.
    CannotCompare
        When the fits differ in the left-out units, the rows, the scale of the outcome, free or random levels of
        studies, or the treatment of values beyond a limit: then the difference of their scores has no meaning.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> import dataclasses
    >>> wide = {"mu": bd.Prior("Normal", mu=0, sigma=1000)}
    >>> other = bd.fit(dataclasses.replace(model, priors=wide), schools, draws=100, seed=1)
    >>> sorted(bd.compare({"default priors": fit, "a wide prior": other}).table["model"])
    ['a wide prior', 'default priors']
    """
    if not isinstance(fits, Mapping):
        raise BadInput(f"a comparison takes fits by name, and this is a {type(fits).__name__}; give a dict of fits")
    if len(fits) < 2:
        raise BadInput("a comparison needs two fits or more; give another fit (at the command line: another plan)")
    (first, reference), *others = fits.items()
    clusters = _clusters_of(list(fits.values()))
    for name, other in others:
        _refuse_incomparable(first, reference, name, other, may_group=clusters is not None)
    scores, worst = {}, {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Pareto.*")  # k is in the table and decides `reliable`
        for name, fit in fits.items():
            is_single = clusters is not None and fit.model.left_out != CLUSTER
            scores[name] = score_groups(fit, *clusters) if is_single and clusters else score_left_out_units(fit)
            scores[name] = _in_order_of(scores[name], scores[first])
            worst[name] = float(np.max(scores[name].pareto_k))
        ranked = arviz_stats.compare(scores, round_to="none")
    table = pd.DataFrame(
        {
            "model": ranked.index,
            "elpd": ranked["elpd"].to_numpy(float),
            "se": ranked["se"].to_numpy(float),
            "p_loo": ranked["p"].to_numpy(float),
            "elpd_diff": ranked["elpd_diff"].to_numpy(float),
            "diff_se": ranked["dse"].to_numpy(float),
            "weight": ranked["weight"].to_numpy(float),
            "worst_pareto_k": [worst[name] for name in ranked.index],
            "refits": [int(np.sum(scores[name].pareto_k.values == 0)) for name in ranked.index],
        }
    )
    by_unit = _by_unit({str(name): scores[name] for name in ranked.index})
    left_out = reference.model.left_out if clusters is None else CLUSTER
    return Comparison(table, left_out, scores[first].n_data_points, by_unit)


def _clusters_of(fits: Sequence[Fit]) -> tuple[xr.DataArray, np.ndarray] | None:
    """Number of each unit's cluster and the clusters, where some fits leave out these and others single units."""
    if len({fit.model.left_out for fit in fits}) > 1:
        for fit in fits:
            if fit.model.left_out == CLUSTER and isinstance(fit.model, HasHierarchy):
                return fit.data["cluster_of"], fit.data["cluster"].values
    return None


def _is_grouped(fit: Fit) -> bool:
    """Whether a fit scores clusters, or units that are independent given its parameters, whose scores can be added."""
    if fit.model.left_out == CLUSTER:
        return True
    return isinstance(fit.model, HasHierarchy) and "covariance" not in fit.data


def _by_unit(scores: Mapping[str, Any]) -> pd.DataFrame:
    """The scores of every unit under every fit, best first."""
    each = [one.elpd_i for one in scores.values()]
    index = each[0].to_series().index
    labels = [" / ".join(map(str, label)) if isinstance(label, tuple) else str(label) for label in index]
    found = pd.DataFrame({"unit": labels, **{name: x.values.ravel() for name, x in zip(scores, each, strict=True)}})
    first, second = list(scores)[:2]
    found["difference"] = found[first] - found[second]
    return found.sort_values("difference", ascending=False, kind="stable", ignore_index=True)


def _refuse_incomparable(first: str, one: Fit, second: str, other: Fit, *, may_group: bool) -> None:
    pair = f"{first} and {second} cannot be compared"
    if _differ_in_censoring(one, other):
        raise CannotCompare(
            f"{pair}: one puts a number where the other says 'beyond the limit', and a density of the one cannot be "
            "compared with a probability of the other (half a limit against a censored likelihood); compare fits that "
            "treat non-detects alike, and check a substitution by predictive checks instead"
        )
    if one.model.left_out != other.model.left_out and not (may_group and _is_grouped(one) and _is_grouped(other)):
        raise CannotCompare(
            f"{pair}: one leaves out a {one.model.left_out}, the other a {other.model.left_out}; "
            "compare fits with the same unit"
        )
    a, b = (f.tree["observed_data"].to_dataset() for f in (one, other))
    if set(a.data_vars) != set(b.data_vars):
        units = [_units_of(fit) for fit in (one, other)]
        if all(units):
            _refuse_other_values(pair, (one, other), units)
            return
        raise CannotCompare(
            f"{pair}: their outcomes differ ({', '.join(map(str, a.data_vars))} against "
            f"{', '.join(map(str, b.data_vars))}), and a density of one cannot be compared with a probability of the "
            "other; compare fits of the same outcome"
        )
    levels = [getattr(f.model, "study_levels", None) for f in (one, other)]
    if levels[0] != levels[1]:
        raise CannotCompare(
            f"{pair}: study_levels are '{levels[0]}' in the one and '{levels[1]}' in the other, so one scores "
            "comparisons within studies and the other the outcomes; set study_levels alike in both"
        )
    for name in a.data_vars:
        x, y = a[name], b[name]
        if x.shape != y.shape or any(not np.array_equal(x[d].values, y[d].values) for d in x.dims if d in y.dims):
            raise CannotCompare(f"{pair}: they saw different rows of '{name}'; fit both to the same table")
        if x.dtype.kind != y.dtype.kind or not np.array_equal(x.values, y.values):
            raise CannotCompare(
                f"{pair}: '{name}' has different values in the two (another scale, or other data), so their "
                "scores are in different units; compare fits of the same outcome"
            )


@dataclass(frozen=True)
class _Scored:
    """What the score of a left-out unit is of: ends of the intervals of its outcomes, in their order."""

    lower: np.ndarray
    upper: np.ndarray


def _units_of(fit: Fit) -> dict[str, _Scored]:
    """What every left-out unit's score is of; empty where the model does not say of which unit its observations are."""
    found = list(at_one_draw(fit.model, fit.tree).values())
    if len(found) != 1 or fit.model.left_out not in found[0].labels:
        return {}
    (one,) = found
    unit = np.asarray(one.labels[fit.model.left_out]).astype(str)
    names, which = np.unique(unit, return_inverse=True)
    places = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))[:-1])
    return {str(name): _Scored(one.lower[at], one.upper[at]) for name, at in zip(names, places, strict=True)}


def _refuse_other_values(pair: str, fits: Sequence[Fit], units: Sequence[Mapping[str, _Scored]]) -> None:
    """Refuse models of different families unless they score the same outcomes of the same units."""
    unit = fits[0].model.left_out
    for fit in fits:
        observed = list(map(str, fit.tree["observed_data"].data_vars))
        if len(observed) > 1:
            raise CannotCompare(
                f"{pair}: one also models {' and '.join(observed[1:])} and scores the outcome given it; compare fits "
                "of the outcome alone"
            )
    a, b = units
    if set(a) != set(b):
        raise CannotCompare(
            f"{pair}: they are of different {unit}s ({len(set(a) ^ set(b))} in one of them only); fit both to the same "
            "rows"
        )
    x, y = (next(iter(of.values())).lower.dtype.kind for of in units)
    if x != y:
        raise CannotCompare(
            f"{pair}: the score of one is a density, that of the other a probability; compare fits of the same outcome"
        )
    for name in a:
        if not all(np.array_equal(getattr(a[name], end), getattr(b[name], end)) for end in ("lower", "upper")):
            raise CannotCompare(
                f"{pair}: the outcomes of a {unit} differ in number or value (other visits, another scale), so their "
                "scores are of different things; fit both to the same rows of the same outcome"
            )


def _in_order_of(score: Any, reference: Any) -> Any:
    """Put the scores of units into the order of another fit's, which a model of another family may not have."""
    (dim,) = reference.elpd_i.dims if reference.elpd_i.ndim == 1 else (None,)
    if dim is None or score.elpd_i.dims != (dim,) or dim not in score.elpd_i.coords:
        return score
    labels = reference.elpd_i[dim].values
    if not np.array_equal(score.elpd_i[dim].values, labels):
        score.elpd_i, score.pareto_k = (x.sel({dim: labels}) for x in (score.elpd_i, score.pareto_k))
    return score


def _differ_in_censoring(one: Fit, other: Fit) -> bool:
    """Whether both are of the same measurements, but differ in which of them are beyond a limit."""
    if "kind" not in one.data or "kind" not in other.data:
        return False
    a, b = (fit.data["kind"].sortby("measurement") for fit in (one, other))
    same = np.array_equal(a["measurement"].values, b["measurement"].values)
    return same and not np.array_equal(a.values, b.values)
