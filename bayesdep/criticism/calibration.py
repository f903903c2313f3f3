"""Calibration of a model: many simulated data sets are analysed, and posteriors compared with the truths behind them.

If the mathematics and the sampler are right, the rank of a true value among independent posterior draws is uniform, and
95% intervals contain 95% of the true values (Talts et al. 2018, arXiv:1804.06788). A quantity is judged by the
empirical distribution function of its ranks, which lies within a simultaneous band with a stated probability
(Saeilynoja, Buerkner and Vehtari 2022, doi:10.1007/s11222-022-10090-6; :mod:`bayesdep.numerics.uniform_bands`). Around
a stated truth ranks are not uniform: intervals are described, and the gate alone is judged.
"""

import dataclasses
import functools
import hashlib
import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from bayesdep.criticism.simulated_fits import AROUND, RANKS, Around, SimulatedFit, hidden_dims
from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.inference.finished_chains import VERSIONS, fingerprint
from bayesdep.inference.many_fits import Arrays, FinishedFits, numbered_fits
from bayesdep.inference.numbers import check_least, check_numbers
from bayesdep.inference.sample import sample_again
from bayesdep.models.model import Imputes, Model, Replicates
from bayesdep.models.register import code_of, settings_of
from bayesdep.numerics.draws import stack_draws
from bayesdep.numerics.uniform_bands import exceeds, minimum_probability

LEVEL = 0.95  # of intervals and of the band
STRICT = 0.01  # over the number of quantities: no quantity is to lie outside the band at this level
GATE_SHARE = 0.02  # of fits that may fail the gate
_TAIL = 0.99  # of the binomial distribution of how many lie outside by chance


@dataclass(frozen=True)
class Calibration:
    """What many fits say of their truths.

    Parameters
    ----------
    around
        Where the truths came from: ``"prior"``, ``"data"`` or ``"design"``.
    about
        Model, sampling, seed and versions.
    fits
        One row a fit: ``fit``, ``passed`` (the gate), ``gate`` (its sentence), ``seconds``, ``compilations`` and
        ``compiling`` (seconds).
    values
        One row a fit and quantity: ``fit``, ``quantity``, ``kind``, ``truth``, ``rank`` among ``ranked_among``
        independent draws, ``place`` (0 to 1), ``ess``, ``mean``, ``sd`` and the ends of 95% and 50% intervals.
    store
        The folder of the finished fits; None where they were kept in memory alone.
    """

    around: Around
    about: Mapping[str, Any]
    fits: pd.DataFrame
    values: pd.DataFrame
    store: Path | None = None

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """One row a quantity.

        ``fits``; ``p_uniform`` of its ranks, ``outside`` the 95% band and ``far_outside`` (the band at 0.01 over the
        number of quantities); ``coverage`` of 95% and ``coverage_half`` of 50% intervals with ``coverage_se``, the
        standard error of a share of 0.95, and ``coverage_p`` (binomial); ``coverage_passed`` among fits that passed the
        gate; ``bias`` in posterior sds; ``width`` of the 95% interval (median) in ``units``; ``excludes_null``, the
        share of intervals without the value of no effect, and ``wrong_sign``, how many of these lie on the wrong side;
        ``few_draws``, the fits in which fewer than 100 draws were independent.
        """
        passed = self.fits.set_index("fit")["passed"]
        groups = self.values.groupby("quantity", sort=False)
        rows = [_judge(str(name), group, passed, ranked=self.around != "design") for name, group in groups]
        table = pd.DataFrame([row for row in rows if row is not None])
        if len(table):
            table["outside"] = table["p_uniform"] < 1 - LEVEL
            table["far_outside"] = table["p_uniform"] < STRICT / len(table)
        return table

    @property
    def left_out(self) -> list[str]:
        """Quantities that are not compared: constant, or undefined in some fits."""
        compared = set(self.table["quantity"]) if len(self.table) else set()
        return [name for name in self.values["quantity"].unique() if name not in compared]

    @property
    def outside(self) -> int:
        """How many quantities lie outside the 95% band."""
        return int(self.table["outside"].sum())

    @property
    def most_outside(self) -> int:
        """How many would lie outside at most by chance, with probability 0.99, were quantities independent."""
        return int(stats.binom.ppf(_TAIL, len(self.table), 1 - LEVEL))

    @property
    def failed(self) -> int:
        """How many fits failed the gate."""
        return int((~self.fits["passed"]).sum())

    @property
    def passed(self) -> bool:
        """Whether no more quantities lie outside than by chance, none far outside, and few fits failed the gate."""
        is_even = self.around == "design" or (
            self.outside <= self.most_outside and not bool(self.table["far_outside"].any())
        )
        return bool(is_even and self.failed <= GATE_SHARE * len(self.fits))

    @property
    def verdict(self) -> str:
        """The verdict in one sentence; around a stated truth intervals are described, and the gate alone is judged."""
        if not self.passed:
            return (
                "TOO MANY FITS FAILED THEIR GATE."
                if self.around == "design"
                else "NOT CALIBRATED, or too many fits failed their gate."
            )
        if self.around == "design":
            return "Few fits failed their gate; how often intervals contain this truth is described, not judged."
        return "Calibrated, as far as these fits tell."

    @property
    def sentences(self) -> list[str]:
        """What was found, in sentences."""
        table, n, fits = self.table, len(self.table), len(self.fits)
        found = []
        if self.around != "design":
            far = table.loc[table["far_outside"], "quantity"].tolist()
            found.append(
                f"Ranks of {n} quantities in {fits} fits: {self.outside} lie outside the 95% band; by chance "
                f"{n * (1 - LEVEL):.1f} would, and more than {self.most_outside} with a probability below 1% (were "
                "quantities independent)."
            )
            found.append(
                f"Far outside (at {STRICT:g} over the number of quantities): {', '.join(far)}."
                if far
                else "None lies far outside (at 0.01 over the number of quantities)."
            )
        covered = table["coverage"].dropna()
        if len(covered):
            found.append(
                f"95% intervals contain the truth in {covered.mean():.1%} of cases; of single quantities, "
                f"{covered.min():.1%} to {covered.max():.1%} (standard error {table['coverage_se'].iloc[0]:.1%})."
            )
        share = self.failed / fits
        bound = "within" if share <= GATE_SHARE else "ABOVE"
        found.append(
            f"{self.failed} of {fits} fits failed the gate ({share:.1%}, {bound} the {GATE_SHARE:.0%} allowed); they "
            "stay in the ranks."
        )
        few = int((table["few_draws"] > 0).sum())
        if few:
            found.append(
                f"{few} quantities had fewer than {RANKS} independent draws in some fits, and were ranked among fewer."
            )
        return found

    @property
    def timing(self) -> str:
        """Seconds a fit, and the share of them spent compiling."""
        total, compiling = float(self.fits["seconds"].sum()), float(self.fits["compiling"].sum())
        median = float(self.fits["seconds"].median())
        number = int(self.fits["compilations"].sum())
        return (
            f"{median:.2g} s a fit (median), {total:.0f} s in all; {number} compilations took {compiling:.0f} s "
            f"({compiling / total:.0%})"
        )

    def __repr__(self) -> str:
        return "\n".join([*self.sentences, self.timing])


def _judge(name: str, group: pd.DataFrame, passed: pd.Series, *, ranked: bool) -> dict[str, Any] | None:
    """Judge one quantity; None where it cannot be compared: constant in every fit, or undefined in one."""
    if (group["sd"] == 0).all() or group["place"].isna().any() or len(group) < len(passed):
        return None
    fits, truth = len(group), group["truth"].to_numpy()
    inside = (group["lower"].to_numpy() <= truth) & (truth <= group["upper"].to_numpy())
    half = (group["lower_half"].to_numpy() <= truth) & (truth <= group["upper_half"].to_numpy())
    good = passed.loc[group["fit"]].to_numpy()
    first = group.iloc[0]
    is_discrete = bool(first["is_discrete"])  # then intervals hold more than their probability
    excludes, wrong = _signs(group, truth)
    with np.errstate(all="ignore"):
        error = (group["mean"].to_numpy() - truth) / group["sd"].to_numpy()
    return {
        "quantity": name,
        "kind": first["kind"],
        "fits": fits,
        "p_uniform": exceeds(fits, minimum_probability(group["place"].to_numpy())) if ranked else np.nan,
        "coverage": np.nan if is_discrete else float(inside.mean()),
        "coverage_half": np.nan if is_discrete else float(half.mean()),
        "coverage_se": float(np.sqrt(LEVEL * (1 - LEVEL) / fits)),
        "coverage_p": np.nan if is_discrete else float(stats.binomtest(int(inside.sum()), fits, LEVEL).pvalue),
        "coverage_passed": np.nan if is_discrete or not good.any() else float(inside[good].mean()),
        "bias": float(np.mean(error[np.isfinite(error)])) if np.isfinite(error).any() else np.nan,
        "width": float(np.median(group["upper"] - group["lower"])),
        "units": first["units"],
        "excludes_null": excludes,
        "wrong_sign": wrong,
        "few_draws": int((group["ranked_among"] < RANKS).sum()),
    }


def _signs(group: pd.DataFrame, truth: np.ndarray) -> tuple[float, float]:
    """Share of intervals without the value of no effect, and how many of these lie on the wrong side of it."""
    null = group["null"].to_numpy()
    if not np.isfinite(null).all():
        return np.nan, np.nan
    above, below = group["lower"].to_numpy() > null, group["upper"].to_numpy() < null
    one_side = ((truth > null).all() and above.all()) or ((truth < null).all() and below.all())
    if one_side and np.ptp(truth) > 0:
        return np.nan, np.nan  # a spread or a probability is never zero
    wrong = (above & (truth < null)) | (below & (truth > null))
    return float((above | below).mean()), float(wrong.sum())


def calibrate_prepared(
    model: Model,
    data: xr.Dataset,
    *,
    fits: int,
    around: Around = "prior",
    seed: int = 1,
    elements: int = 5,
    sampling: Mapping[str, Any] | None = None,
    simulate: Callable[[int], tuple[xr.Dataset, Mapping[str, Any]]] | None = None,
    store: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    say: Callable[[str], Any] | None = None,
    text: str = "",
) -> Calibration:
    """Calibrate a model on prepared data; :func:`bayesdep.calibrate` for the arguments.

    Parameters
    ----------
    model, data, fits, around, seed, elements, store, workers, scheduler, say
        As :func:`bayesdep.calibrate` takes them.
    sampling
        Draws, tuning draws, chains and the sampler's other settings.
    simulate
        For ``around = "design"``.
    text
        Of a plan, which a store depends on.

    Returns
    -------
    Calibration
        Of all fits.
    """
    sampling = {"draws": 1000, "tune": 1000, "chains": 4} | dict(sampling or {})
    refuse_impossible(model, fits, around, seed, elements, workers, sampling)
    fit_one = SimulatedFit(model, data, around, sampling, seed, elements, simulate=simulate)
    about = {
        "around": around,
        "plan": hashlib.sha256(text.encode()).hexdigest()[:16] if text else "",
        "model": f"{model.family} {settings_of(model)}",
        "sampling": sampling,
        "seed": seed,
        "elements": elements,
        "versions": {name: version(name) for name in VERSIONS},
    }
    kept, said = None, ""
    if store is not None:
        code = code_of(model) + ("" if simulate is None else hashlib.sha256(pickle.dumps(simulate)).hexdigest())
        mark = fingerprint(text, data, {k: v for k, v in about.items() if k != "versions"}, code)
        kept, said = FinishedFits.find(Path(store), mark, about)
    say = say or (lambda _: None)
    if said:
        say(said)
    if around == "data":
        fit_one = dataclasses.replace(fit_one, truths=_posterior_truths(fit_one))
    made = numbered_fits(fit_one, fits, store=kept, workers=workers, scheduler=scheduler, say=say)
    return summarised(made, around, about, None if kept is None else kept.folder)


def refuse_impossible(
    model: Model,
    fits: int,
    around: str,
    seed: int,
    elements: int,
    workers: int | None,
    sampling: Mapping[str, Any],
) -> None:
    """Refuse what cannot be calibrated, before anything is fitted."""
    check_numbers(seed=seed, **{key: sampling[key] for key in ("draws", "tune", "chains")})
    check_least(fits=(fits, 2), elements=(elements, 1), workers=(workers, 1))
    if around not in AROUND:
        raise BadInput(f"around = {around!r} is not a choice; {did_you_mean(str(around), AROUND)}")
    if isinstance(model, Imputes) and model.imputes:
        raise BadInput("missing_moderators = 'impute' draws moderators, which calibration does not; use 'omit'")
    if around != "design" and not isinstance(model, Replicates):
        raise BadInput(
            f"{type(model).__name__} cannot put drawn outcomes into its data; give it a method replicate(data, drawn, "
            "rng), as the documentation's page on calibration shows"
        )


def _posterior_truths(fit_one: SimulatedFit) -> xr.Dataset:
    """Draws of the posterior of the data at hand, in random order."""
    model, data = fit_one.model, fit_one.data
    sampled = sample_again(model, data, seed=fit_one.seed, cores=None, **fit_one.sampling)
    own = [
        v.name
        for v in sampled.core.free_RVs
        if set(sampled.core.named_vars_to_dims.get(v.name, ())) & set(hidden_dims(model))
    ]
    if own:
        raise BadInput(
            f"around = 'data', but {own[0]} are values of the data beyond limits, of which every data set has its own; "
            "use around = 'prior'"
        )
    gate = sampled.check(model.estimands(sampled.posterior, data))
    if not gate.passed:
        raise BadInput(f"around = 'data', but the fit of the data {gate.sentence}; use around = 'prior'")
    every = stack_draws(sampled.posterior)
    rng = np.random.default_rng(np.random.SeedSequence(fit_one.seed, spawn_key=(0, 1)))
    return every.isel(sample=rng.permutation(every.sizes["sample"]))


def summarised(made: Sequence[Arrays], around: Around, about: Mapping[str, Any], store: Path | None) -> Calibration:
    """Put the results of fits together.

    Parameters
    ----------
    made
        In the order of the fits' numbers.
    around, about, store
        As :class:`Calibration` has them.

    Returns
    -------
    Calibration
        The same, as tables.
    """
    of_fit = ("passed", "gate", "seconds", "compilations", "compiling")
    fits = pd.DataFrame([{"fit": k} | {name: found[name].item() for name in of_fit} for k, found in enumerate(made)])
    parts = [
        pd.DataFrame({"fit": k} | {n: x for n, x in found.items() if n not in of_fit}) for k, found in enumerate(made)
    ]
    return Calibration(around, about, fits, pd.concat(parts, ignore_index=True), store)
