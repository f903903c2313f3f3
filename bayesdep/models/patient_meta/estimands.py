"""What a pooled analysis is asked for: the effect, how it differs between studies, and along moderators; its checks."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.models.model import Check, estimand
from bayesdep.models.patient_meta import combined as pooled_combined
from bayesdep.models.patient_meta.moderators import BETWEEN, WITHIN
from bayesdep.models.patient_meta.products import statistics_of
from bayesdep.models.patient_meta.scores import within_studies

if TYPE_CHECKING:
    from bayesdep.models.patient_meta.model import PatientMeta

NAME = "outcomes"


def crude_effects(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return every study's own difference of means and its standard error, in sds of the outcome.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        Shape (time x study,); NaN where an arm has fewer than two patients.
    """
    mean, squares, count = _by_arm(data["outcomes"].values, data)
    variance = np.where(count > 1, squares / np.maximum(count - 1, 1) / np.maximum(count, 1), np.nan).sum(axis=1)
    effect = np.where(np.isnan(variance), np.nan, mean[:, 1] - mean[:, 0])
    return effect.T.ravel(), np.sqrt(variance).T.ravel()


def _by_arm(y: np.ndarray, data: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From summaries to means, sums of squares about them and patients, by study, arm and time, of all patterns."""
    times = data.sizes["time"]
    kept = statistics_of(times)
    squares = [kept.index((t, t)) for t in range(times)]
    n = data["cross"].values[..., 0, 0][..., None] * data["seen"].values[:, None, :]
    count = n.sum(axis=1)
    mean = (n * y[..., :times]).sum(axis=-3) / np.maximum(count, 1)
    away = y[..., :times] - mean[..., :, None, :, :]
    return mean, (y[..., squares] + n * away**2).sum(axis=-3), count


def estimands(model: "PatientMeta", posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive every estimand of :class:`~bayesdep.PatientMeta`.

    Parameters
    ----------
    model
        The model.
    posterior
        Draws of its parameters.
    data
        The prepared data.

    Returns
    -------
    xarray.Dataset
        Estimands by name.
    """
    against, sds = f"less {model.reference}", "sd"
    at_mean = " at the patients' mean moderators" if model.moderators else ""
    effect, new, study_effect = effects_of(model, posterior, data)
    scale = xr.DataArray(data["outcome_sd"].values, {"time": data["time"].values}, ("time",))
    found = {
        "effect": estimand(effect, f"pooled effect, {against}{at_mean}", sds),
        "effect_in_units": estimand(
            ordered(effect * scale, "time"), f"pooled effect, {against}{at_mean}", model.units
        ),
        "effect_new": estimand(new, f"effect in a new study, {against}{at_mean}", sds),
        "study_effect": estimand(study_effect, f"effect in a study, {against}, at its own patients' mean", sds),
        "tau_effect": estimand(
            ordered(posterior["tau_effect"], "time"), "spread of effects between studies", sds, null=np.nan
        ),
        "residual_sd": estimand(
            ordered(posterior["residual_sd"], "time"), "typical residual sd of a study", sds, null=np.nan
        ),
        "residual_spread": estimand(
            posterior["residual_spread"], "spread of log residual sds between studies", "log sd", null=np.nan
        ),
    }  # fmt: skip
    found |= of_levels(model, posterior, sds)
    if data.sizes["time"] > 1:
        first, last = data["time"].values
        found["effect_change"] = estimand(
            effect.isel(time=1, drop=True) - effect.isel(time=0, drop=True),
            f"pooled effect, {last} less {first}", sds,
        )  # fmt: skip
        found["time_correlation"] = estimand(
            posterior["time_correlation"], "correlation of a study's deviations at the two times", "correlation"
        )
        found["residual_correlation"] = estimand(
            posterior["residual_correlation"], "correlation of a patient's residuals at the two times", "correlation"
        )
    if model.baseline is not None:
        found["baseline_slope"] = estimand(
            ordered(posterior["baseline_slope"], "time"), "difference per sd of the baseline", "sd per sd"
        )
    if model.moderators:
        found |= along_moderators(model, posterior, data, "sd")
    return xr.Dataset(found)


def of_levels(model: "PatientMeta", posterior: xr.Dataset, units: str) -> dict[str, xr.DataArray]:
    """Derive how studies' levels differ and go with effects; nothing where levels are free.

    Parameters
    ----------
    model
        The model.
    posterior
        Draws of its parameters.
    units
        Units of the effect.

    Returns
    -------
    dict of xarray.DataArray
        Estimands by name.
    """
    if model.has_free_levels:
        return {}
    return {
        "tau_intercept": estimand(
            ordered(posterior["tau_intercept"], "time"),
            "spread of studies' levels, midway between the arms", units, null=np.nan,
        ),
        "effect_correlation": estimand(
            posterior["effect_correlation"],
            "correlation, between studies, of the effect with the level midway between the arms", "correlation",
        ),
    }  # fmt: skip


def effects_of(
    model: "PatientMeta", posterior: xr.Dataset, data: xr.Dataset
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Return effects on the scale of the linear predictor: the pooled one, a new study's, and every study's.

    Parameters
    ----------
    model
        The model.
    posterior
        Draws of its parameters.
    data
        The prepared data.

    Returns
    -------
    tuple of xarray.DataArray
        Two of dims (chain, draw, time), at the patients' mean moderators, and one of (chain, draw, time, study), at
        the study's own patients' mean.
    """
    effect = ordered(posterior["effect"], "time")
    own = posterior["deviation"].sel(which="effect", drop=True)
    new = posterior["new_deviation"].sel(new_which="effect", drop=True)
    study_effect = effect + own
    if model.moderators:
        study_effect = study_effect + xr.dot(posterior["interaction"], mean_parts(data), dim="part")
    return effect, ordered(effect + new, "time"), ordered(study_effect, "time", "study")


def mean_parts(data: xr.Dataset) -> xr.DataArray:
    """Return the mean of every part of a moderator among the patients of every study: (study, part)."""
    of, x = data["study_of"].values, data["parts"].values
    size = np.bincount(of)
    mean = np.column_stack([np.bincount(of, column) / size for column in x.T])
    return xr.DataArray(mean, {"study": data["study"].values, "part": data["part"].values}, ("study", "part"))


def ordered(values: xr.DataArray, *dims: str) -> xr.DataArray:
    """Return draws with chain and draw first, then the dims named."""
    return values.transpose("chain", "draw", *dims)


def along_moderators(
    model: "PatientMeta", posterior: xr.Dataset, data: xr.Dataset, units: str
) -> dict[str, xr.DataArray]:
    """Derive the estimands of moderators.

    Parameters
    ----------
    model
        The model, with moderators.
    posterior
        Draws of its parameters.
    data
        The prepared data.
    units
        Units of the effect.

    Returns
    -------
    dict of xarray.DataArray
        Estimands by name.
    """
    rope = {"rope_lower": -model.margin, "rope_upper": model.margin}
    interaction = ordered(posterior["interaction"], "part", "time")
    code = xr.DataArray(np.array([0.0, 1.0]) - float(data["share_treated"]), {"arm": data["arm"].values}, ("arm",))
    found = {
        "interaction": estimand(
            interaction,
            "change of the effect per unit of a moderator (sd, or yes against no)",
            f"{units} per unit",
            **rope,
        )
    }
    if "moderator_effect" in posterior:
        main, dim = posterior["moderator_effect"], "part"
        if model.has_free_levels:
            here = within_studies(data)
            main, dim = (main.rename(within_part="part"), "part") if here.all() else (main, "within_part")
            interaction = interaction.isel(part=here).rename(part=dim) if dim != "part" else interaction
        slope = ordered(xr.DataArray(main + code * interaction), "arm", dim, "time")
        found["slope_in"] = estimand(
            slope, "difference in outcome per unit of a moderator, in an arm", f"{units} per unit"
        )
    level, of = data["level"].values, data["moderator_of"].values
    both = [m for m in data["moderator"].values if {WITHIN, BETWEEN} <= set(level[of == m])]
    if both:
        within, between = (
            found["interaction"].isel(part=[int(np.flatnonzero((of == m) & (level == word))[0]) for m in both])
            .rename(part="moderator").assign_coords(moderator=both)
            for word in (WITHIN, BETWEEN)
        )  # fmt: skip
        found["ecological_bias"] = estimand(
            between - within, "interaction between studies less that within studies", f"{units} per unit"
        )
    if model.effects in ("normal", "student"):
        found["interaction_sd"] = estimand(
            posterior["interaction_sd"], "spread of interactions", f"{units} per unit", null=np.nan
        )
    if model.combined:
        found |= pooled_combined.estimands(model, posterior, data)
    return found


def checks(data: xr.Dataset) -> Sequence[Check]:
    """Name the predictive checks: replicates are of new studies with the same patients.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    list of Check
        See :meth:`~bayesdep.models.patient_meta.model.PatientMeta.checks`.
    """
    found = []
    for t, time in enumerate(data["time"].values):
        for a, arm in enumerate(data["arm"].values):
            found.append(Check(f"mean on {arm}, {time}", NAME, partial(_mean, data=data, arm=a, t=t), "sd"))
            found.append(Check(f"sd on {arm}, {time}", NAME, partial(_sd, data=data, arm=a, t=t), "sd"))
        found += [
            Check(f"sd of studies' effects, {time}", NAME, partial(_spread, data=data, t=t), "sd"),
            Check(f"smallest effect of a study, {time}", NAME, partial(_end, data=data, t=t, of=np.min), "sd"),
            Check(f"largest effect of a study, {time}", NAME, partial(_end, data=data, t=t, of=np.max), "sd"),
            Check(f"largest over smallest sd within a study, {time}", NAME, partial(_ratio, data=data, t=t), ""),
        ]
    if data.sizes["time"] > 1:
        found.append(Check("correlation of the times within arms", NAME, partial(_pearson, data=data), "correlation"))
    return found


def _mean(y: np.ndarray, data: xr.Dataset, arm: int, t: int) -> np.ndarray:
    mean, _, n = (x[..., arm, t] for x in _by_arm(y, data))
    return np.asarray((n * mean).sum(-1) / n.sum())


def _sd(y: np.ndarray, data: xr.Dataset, arm: int, t: int) -> np.ndarray:
    mean, squares, n = (x[..., arm, t] for x in _by_arm(y, data))
    whole = _mean(y, data, arm, t)[..., None]
    return np.asarray(np.sqrt((squares + n * (mean - whole) ** 2).sum(-1) / (n.sum() - 1)))


def _effects(y: np.ndarray, data: xr.Dataset, t: int) -> np.ndarray:
    mean, _, n = _by_arm(y, data)
    return np.asarray((mean[..., 1, t] - mean[..., 0, t])[..., (n[..., t] > 0).all(axis=1)])


def _spread(y: np.ndarray, data: xr.Dataset, t: int) -> np.ndarray:
    return np.asarray(_effects(y, data, t).std(-1, ddof=1))


def _end(y: np.ndarray, data: xr.Dataset, t: int, of: Any) -> np.ndarray:
    return np.asarray(of(_effects(y, data, t), axis=-1))


def _ratio(y: np.ndarray, data: xr.Dataset, t: int) -> np.ndarray:
    _, squares, n = (x[..., t] for x in _by_arm(y, data))
    free = np.maximum(n - 1, 0).sum(axis=-1)
    several = free > 2  # two patients have a variance of nothing, at times
    variance = squares.sum(axis=-1)[..., several] / free[several]
    return np.asarray(np.sqrt(variance.max(-1) / variance.min(-1)))


def _pearson(y: np.ndarray, data: xr.Dataset) -> np.ndarray:
    kept, both = statistics_of(2), data["seen"].values.all(axis=1)
    products = {k: y[..., i][..., both, :].sum(axis=(-3, -2, -1)) for i, k in enumerate(kept) if len(k) == 2}
    return np.asarray(products[1, 0] / np.sqrt(products[0, 0] * products[1, 1]))
