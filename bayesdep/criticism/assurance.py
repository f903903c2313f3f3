"""Assurance of a planned study: how often its analysis reaches a stated decision, before there are data.

Studies are simulated: parameters are drawn from a *design prior*, what is believed of them before the study, and data
given them. Each is analysed by the model with its own prior, the *analysis prior*. The share of studies that reach the
decision is the assurance (O'Hagan, Stevens and Campbell 2005, doi:10.1002/pst.175), the power averaged over what the
truth may be; with all mass of the design prior at one point it is the power there. Two priors are kept apart since
a study has to convince those who believe less than its designers (Wang and Gelfand 2002, doi:10.1214/ss/1030550861).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pytensor
import xarray as xr
from scipy import stats

from bayesdep.criticism.calibration import GATE_SHARE
from bayesdep.criticism.decisions import Decision
from bayesdep.criticism.simulated_fits import with_detached
from bayesdep.data.errors import BadInput
from bayesdep.inference.many_fits import Arrays
from bayesdep.inference.primary import read_primary
from bayesdep.inference.sample import sample_again
from bayesdep.models.model import Model

EFFECTS, NO_EFFECT = "design", "no effect"
_INTERVAL = (0.025, 0.975)
_WILSON = 0.95
_FIXED = 1e-6  # sd below which true values are one value


class DrawsStudies(Protocol):
    """Draws simulated studies of one size."""

    @property
    def fingerprint(self) -> str:
        """What the drawn studies depend on, hashed."""

    def __call__(self, seeds: Sequence[int]) -> tuple[xr.Dataset, xr.Dataset | Mapping[str, Any]]:
        """Draw prepared data and their truth: parameters with dims (chain, draw) of one, or true values by name."""


@dataclass(frozen=True)
class PlannedStudy:
    """From the number of a fit to whether that simulated study reaches the decisions.

    Parameters
    ----------
    model
        The model of the analysis.
    draw
        From three seeds to prepared data and their truth.
    decisions
        What is decided.
    sampling
        ``draws``, ``tune``, ``chains`` and the sampler's other settings.
    key
        What a study's random numbers follow from, beside its number.
    """

    model: Model
    draw: DrawsStudies
    decisions: tuple[Decision, ...]
    sampling: Mapping[str, Any]
    key: tuple[int, ...]

    @property
    def targets(self) -> tuple[str, ...]:
        """Values that decisions speak of, each once."""
        return tuple(dict.fromkeys(target for decision in self.decisions for target in decision.targets))

    def __call__(self, number: int) -> Arrays:
        """Simulate a study, analyse it and decide."""
        with pytensor.config.change_flags(traceback__limit=0):  # a tenth of the time of small fits
            return self._study(number)

    def _study(self, number: int) -> Arrays:
        began = time.perf_counter()
        sequence = np.random.SeedSequence(self.key[0], spawn_key=(*self.key[1:], number))
        seeds = [int(s) for s in sequence.generate_state(5)]
        try:
            data, truth = self.draw(seeds[:3])
        except BadInput as problem:
            raise problem.within(f"simulated study {number}") from None
        sampled = sample_again(self.model, data, seed=seeds[3], cores=1, **self.sampling)
        estimands = self.model.estimands(sampled.posterior, data)
        gate = sampled.check(estimands)
        draws = values_of(estimands, self.targets)
        if isinstance(truth, xr.Dataset):
            true = values_of(self.model.estimands(with_detached(truth, sampled, seeds[4]), data), self.targets)
            known = {target: float(x.ravel()[0]) for target, x in true.items()}
        else:
            known = {target: _stated(truth, target) for target in self.targets}
        so = [decision.is_true(known) for decision in self.decisions]
        lower, upper = np.quantile([draws[t].ravel() for t in self.targets], _INTERVAL, axis=-1)
        return {
            "reached": np.array([decision.is_reached(draws) for decision in self.decisions]),
            "is_true": np.array([np.nan if x is None else float(x) for x in so]),
            "truth": np.array([known[t] for t in self.targets]),
            "mean": np.array([draws[t].mean() for t in self.targets]),
            "lower": lower,
            "upper": upper,
            "passed": np.array(gate.passed),
            "gate": np.array(gate.sentence),
            "seconds": np.array(time.perf_counter() - began),
        }


def _stated(truth: Mapping[str, Any], target: str) -> float:
    try:
        return float(truth.get(target, np.nan))
    except (TypeError, ValueError):  # an array, of which the target does not name one
        return np.nan


def values_of(estimands: xr.Dataset, targets: Sequence[str]) -> dict[str, np.ndarray]:
    """Find the draws of the values that decisions speak of.

    Parameters
    ----------
    estimands
        Of a fit.
    targets
        As tables print them: a name, of an estimand with one value, or a name and its labels in brackets.

    Returns
    -------
    dict of numpy.ndarray
        By target, shape (chain, draw).

    Raises
    ------
    BadInput
        When there is no such estimand, or it has several values.
    """
    found = {}
    for target, one in zip(targets, read_primary(list(targets), estimands, place="decision"), strict=True):
        values = estimands[one.estimand].sel(one.at).transpose("chain", "draw", ...).values
        if values[0, 0].size > 1:
            dims = ", ".join(str(d) for d in estimands[one.estimand].dims if d not in ("chain", "draw"))
            raise BadInput(
                f"decision: '{target}' has {values[0, 0].size} values; name one as {one.estimand}[...], by its {dims}"
            )
        found[target] = values.reshape(values.shape[:2])
    return found


@dataclass(frozen=True)
class Assurance:
    """What many simulated studies of several sizes say of their decisions.

    Parameters
    ----------
    about
        Model, design prior, sampling, seed and versions.
    decisions
        As they were written.
    fits
        One row a study: ``n``, ``effects`` (``"design"``, or ``"no effect"``), ``fit``, ``passed`` (the gate), ``gate``
        and ``seconds``.
    reached
        One row a study and decision: ``n``, ``effects``, ``fit``, ``decision``, ``reached``, and ``is_true``, whether
        what it claims is so (NaN where it claims nothing, or the truth is not stated).
    values
        One row a study and value: ``n``, ``effects``, ``fit``, ``value``, ``truth``, ``mean``, and the 95% interval
        ``lower`` and ``upper``.
    store
        The folder of the finished fits; None where they were kept in memory alone.
    """

    about: Mapping[str, Any]
    decisions: tuple[str, ...]
    fits: pd.DataFrame
    reached: pd.DataFrame
    values: pd.DataFrame
    store: Path | None = None

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a size and decision.

        ``n``, ``decision``, ``studies``, ``assurance`` (the share that reach it), ``error`` (its Monte Carlo standard
        error), ``lower`` and ``upper`` (95% interval of Wilson), ``wrong`` (the share that reach it although what it
        claims is not so), ``no_effect`` (the share of studies without effect that reach it; not of decisions on widths
        alone), ``no_effect_lower``, ``no_effect_upper``, and ``failed`` (fits that failed the gate, which stay among
        the studies).
        """
        rows = []
        for (n, decision), group in self.reached.groupby(["n", "decision"], sort=False):
            design, none = (group[group["effects"] == effects] for effects in (EFFECTS, NO_EFFECT))
            claims = any(statement.level is not None for statement in Decision.read(str(decision)).statements)
            share, lower, upper = _share(design["reached"])
            wrong = design["reached"] & (design["is_true"] == 0)
            failed = ~self.fits.loc[(self.fits["n"] == n) & (self.fits["effects"] == EFFECTS), "passed"]
            without = _share(none["reached"]) if len(none) and claims else (np.nan,) * 3
            rows.append(
                {
                    "n": n, "decision": decision, "studies": len(design), "assurance": share,
                    "error": np.sqrt(share * (1 - share) / len(design)), "lower": lower, "upper": upper,
                    "wrong": np.nan if design["is_true"].isna().any() else float(wrong.mean()),
                    **dict(zip(("no_effect", "no_effect_lower", "no_effect_upper"), without, strict=True)),
                    "failed": int(failed.sum()),
                }
            )  # fmt: skip
        return pd.DataFrame(rows)

    @cached_property
    def widths(self) -> pd.DataFrame:
        """One row a size and value: ``n``, ``value``, and ``mean``, ``lower``, ``upper`` of the width (95% of them)."""
        design = self.values[self.values["effects"] == EFFECTS]
        rows = []
        for (n, value), group in design.groupby(["n", "value"], sort=False):
            width = (group["upper"] - group["lower"]).to_numpy()
            lower, upper = np.quantile(width, _INTERVAL)
            rows.append({"n": n, "value": value, "mean": width.mean(), "lower": lower, "upper": upper})
        return pd.DataFrame(rows)

    @property
    def passed(self) -> bool:
        """Whether no more than 2% of the fits of any size failed the gate."""
        return bool((self.fits.groupby(["n", "effects"])["passed"].mean() >= 1 - GATE_SHARE).all())

    @property
    def sentences(self) -> list[str]:
        """What was found, decision by decision; then how many fits failed their gate."""
        found = []
        for decision in self.decisions:
            rows = self.table[self.table["decision"] == decision]
            each = [f"{row.assurance:.0%} with {row.n} (standard error {row.error:.1%})" for row in rows.itertuples()]
            text = f"Assurance of {decision}, by number of patients: {', '.join(each)}."
            if rows["no_effect"].notna().all():
                shares = ", ".join(f"{r.no_effect:.1%} with {r.n}" for r in rows.itertuples())
                text += f" Without effect, {self._true_without_effect(decision)}: {shares}."
            if rows["wrong"].notna().all():
                text += f" It is reached wrongly in {rows['wrong'].max():.1%} of studies at most."
            found.append(text)
        failed, count = int((~self.fits["passed"]).sum()), len(self.fits)
        more = "" if self.passed else f", for one size MORE than the {GATE_SHARE:.0%} allowed: use more draws"
        found.append(f"{failed} of {count} fits failed the gate{more}; they stay among the studies.")
        return found

    def _true_without_effect(self, decision: str) -> str:
        """What values are in studies without effect, so that a parameter that was forgotten is seen."""
        found = []
        for target in Decision.read(decision).targets:
            rows = self.values[(self.values["effects"] == NO_EFFECT) & (self.values["value"] == target)]
            mean, sd = float(rows["truth"].mean()), float(rows["truth"].std())
            about = f"about {mean:.3g} (sd {sd:.2g})" if sd > _FIXED * max(1.0, abs(mean)) else f"{round(mean, 6):g}"
            found.append(f"where {target} is {about}")
        return " and ".join(found)

    def __repr__(self) -> str:
        return "\n".join(self.sentences)


def _share(reached: pd.Series) -> tuple[float, float, float]:
    """A share with its 95% interval."""
    interval = stats.binomtest(int(reached.sum()), len(reached)).proportion_ci(_WILSON, method="wilson")
    return float(reached.mean()), float(interval.low), float(interval.high)


def summarised(
    made: Mapping[tuple[int, str], Sequence[Arrays]],
    decisions: Sequence[Decision],
    targets: Sequence[str],
    about: Mapping[str, Any],
    store: Path | None,
) -> Assurance:
    """Put the results of studies together.

    Parameters
    ----------
    made
        By size and kind of effects, in the order of the fits' numbers.
    decisions, targets
        What was decided, and the values it speaks of.
    about, store
        As :class:`Assurance` has them.

    Returns
    -------
    Assurance
        The same, as tables.
    """
    fits, reached, values = list[Any](), list[Any](), list[Any]()
    for (n, effects), studies in made.items():
        for number, study in enumerate(studies):
            which = {"n": n, "effects": effects, "fit": number}
            fits.append(which | {name: study[name].item() for name in ("passed", "gate", "seconds")})
            for d, decision in enumerate(decisions):
                found = {"reached": bool(study["reached"][d]), "is_true": float(study["is_true"][d])}
                reached.append(which | {"decision": decision.text} | found)
            for t, target in enumerate(targets):
                numbers = {name: float(study[name][t]) for name in ("truth", "mean", "lower", "upper")}
                values.append(which | {"value": target} | numbers)
    of_fits, of_decisions, of_values = (pd.DataFrame(rows) for rows in (fits, reached, values))
    texts = tuple(decision.text for decision in decisions)
    return Assurance(about, texts, of_fits, of_decisions, of_values, store)
