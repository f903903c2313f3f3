"""Estimands of an individual-patient meta-analysis: the effect, between studies and along moderators."""

import numpy as np
import xarray as xr

from bayesdep.models.model import estimand
from bayesdep.models.patient_meta import combined
from bayesdep.models.patient_meta.moderators import BETWEEN, WITHIN, within_studies
from bayesdep.models.patient_meta.products import means_by_arm
from bayesdep.models.patient_meta.settings import PatientMetaSettings

# what free levels leave unknown
_NEED_RANDOM_LEVELS = ("tau_intercept", "effect_correlation")
_NEED_RANDOM_LEVELS_OF_EVENTS = ("risk", "risk_difference", "nnt")


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
    mean, squares, count = means_by_arm(data["outcomes"].values, data)
    variance = np.where(count > 1, squares / np.maximum(count - 1, 1) / np.maximum(count, 1), np.nan).sum(axis=1)
    effect = np.where(np.isnan(variance), np.nan, mean[:, 1] - mean[:, 0])
    return effect.T.ravel(), np.sqrt(variance).T.ravel()


def estimands(settings: PatientMetaSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive every estimand of :class:`~bayesdep.PatientMeta`.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of its parameters.
    data
        The prepared data.

    Returns
    -------
    xarray.Dataset
        Estimands by name.
    """
    against, sds = f"less {settings.reference}", "sd"
    at_mean = " at the patients' mean moderators" if settings.moderators else ""
    effect, new, study_effect = effects_of(settings, posterior, data)
    scale = xr.DataArray(data["outcome_sd"].values, {"time": data["time"].values}, ("time",))
    found = {
        "effect": estimand(effect, f"pooled effect, {against}{at_mean}", sds),
        "effect_in_units": estimand(
            ordered(effect * scale, "time"), f"pooled effect, {against}{at_mean}", settings.units
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
    found |= of_levels(settings, posterior, sds)
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
    if settings.baseline is not None:
        found["baseline_slope"] = estimand(
            ordered(posterior["baseline_slope"], "time"), "difference per sd of the baseline", "sd per sd"
        )
    if settings.moderators:
        found |= along_moderators(settings, posterior, data, "sd")
    return xr.Dataset(found)


def of_levels(settings: PatientMetaSettings, posterior: xr.Dataset, units: str) -> dict[str, xr.DataArray]:
    """Derive how studies' levels differ and go with effects; nothing where levels are free.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of its parameters.
    units
        Units of the effect.

    Returns
    -------
    dict of xarray.DataArray
        Estimands by name.
    """
    if settings.has_free_levels:
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
    settings: PatientMetaSettings, posterior: xr.Dataset, data: xr.Dataset
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Return effects on the scale of the linear predictor: the pooled one, a new study's, and every study's.

    Parameters
    ----------
    settings
        The model's settings.
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
    if settings.moderators:
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
    settings: PatientMetaSettings, posterior: xr.Dataset, data: xr.Dataset, units: str
) -> dict[str, xr.DataArray]:
    """Derive the estimands of moderators.

    Parameters
    ----------
    settings
        The model's settings, with moderators.
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
    rope = {"rope_lower": -settings.margin, "rope_upper": settings.margin}
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
        if settings.has_free_levels:
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
    if settings.effects in ("normal", "student"):
        found["interaction_sd"] = estimand(
            posterior["interaction_sd"], "spread of interactions", f"{units} per unit", null=np.nan
        )
    if settings.combined:
        found |= combined.estimands(settings, posterior, data)
    return found


def refused_of(settings: PatientMetaSettings, data: xr.Dataset) -> list[str]:
    """Name the estimands that free levels leave unknown: what compares studies' levels, or needs a prior on them.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    list of str
        None where levels are random.
    """
    if not settings.has_free_levels:
        return []
    unknown = [*_NEED_RANDOM_LEVELS, *(_NEED_RANDOM_LEVELS_OF_EVENTS if settings.is_binary else ())]
    return unknown + [f"slope_in of {part}" for part in data["part"].values[~within_studies(data)]]
