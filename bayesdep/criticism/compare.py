"""Rank fits by leave-one-out cross-validation, and refuse comparisons that have no meaning."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import arviz_stats
import numpy as np
import pandas as pd

from bayesdep.criticism.refit import score_left_out_units
from bayesdep.data.errors import BadInput, CannotCompare
from bayesdep.inference.fit import Fit
from bayesdep.numerics.importance import GOOD_K


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
    """

    table: pd.DataFrame
    left_out: str
    units: int

    @property
    def reliable(self) -> bool:
        """Whether every Pareto k is below 0.7, so that importance sampling can be trusted."""
        return bool((self.table["worst_pareto_k"] < GOOD_K).all())

    @property
    def sentence(self) -> str:
        """The comparison in one sentence."""
        if not self.reliable:
            bad = self.table.loc[self.table["worst_pareto_k"] >= GOOD_K, "model"]
            return (
                f"UNRELIABLE: Pareto k reaches {self.table['worst_pareto_k'].max():.2f} "
                f"in {', '.join(bad)}, so leaving out one {self.left_out} changes the posterior too much for "
                "importance sampling"
            )
        best, second = self.table["model"].iloc[0], self.table.iloc[1]
        clear = abs(second["elpd_diff"]) > 2 * second["diff_se"]
        verdict = "predicts best" if clear else "is ahead, but by less than two standard errors: no clear winner"
        return f"{best} {verdict} (leaving out one {self.left_out} of {self.units} at a time)"


def compare(fits: Mapping[str, Fit]) -> Comparison:
    """Compare fits of the same data by leave-one-out (PSIS: Vehtari and others 2017, doi:10.1007/s11222-016-9696-4).

    A unit whose Pareto k is 0.7 or more is left out by sampling again without it, if such units are few and the model
    can score a unit outside the fit.

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
    for name, other in others:
        _refuse_incomparable(first, reference, name, other)
    scores, worst = {}, {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Pareto.*")  # k is in the table and decides `reliable`
        for name, fit in fits.items():
            scores[name] = score_left_out_units(fit)
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
    return Comparison(table, reference.model.left_out, scores[first].n_data_points)


def _refuse_incomparable(first: str, one: Fit, second: str, other: Fit) -> None:
    pair = f"{first} and {second} cannot be compared"
    if _differ_in_censoring(one, other):
        raise CannotCompare(
            f"{pair}: one puts a number where the other says 'beyond the limit', and a density of the one cannot be "
            "compared with a probability of the other (half a limit against a censored likelihood); compare fits that "
            "treat non-detects alike, and check a substitution by predictive checks instead"
        )
    if one.model.left_out != other.model.left_out:
        raise CannotCompare(
            f"{pair}: one leaves out a {one.model.left_out}, the other a {other.model.left_out}; "
            "compare fits with the same unit"
        )
    a, b = (f.tree["observed_data"].to_dataset() for f in (one, other))
    if set(a.data_vars) != set(b.data_vars):
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


def _differ_in_censoring(one: Fit, other: Fit) -> bool:
    """Whether both are of the same measurements, but differ in which of them are beyond a limit."""
    if "kind" not in one.data or "kind" not in other.data:
        return False
    a, b = (fit.data["kind"].sortby("measurement") for fit in (one, other))
    same = np.array_equal(a["measurement"].values, b["measurement"].values)
    return same and not np.array_equal(a.values, b.values)
