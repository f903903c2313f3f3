"""Estimands of an individual-patient meta-analysis: the effect, how it differs between studies and by moderators."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesdep.models.model import OwnPrior, estimand
from bayesdep.models.patient_meta import combined, event_estimands
from bayesdep.models.patient_meta.effects import along_moderators, effects_of, of_levels, ordered
from bayesdep.models.patient_meta.moderators import within_studies
from bayesdep.models.patient_meta.products import means_by_arm
from bayesdep.models.patient_meta.settings import REMEDY, PatientMetaSettings

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
        Estimands by name. Attrs ``refused`` and ``remedy`` name those that free levels leave unknown, and what helps.
    """
    derive = event_estimands.estimands if settings.is_binary else _of_outcomes
    asked = derive(settings, posterior, data)
    if refused := _refused(settings, data):
        asked.attrs |= {"refused": "; ".join(refused), "remedy": REMEDY}
    return asked


def _of_outcomes(settings: PatientMetaSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Estimands of outcomes, in their sds."""
    against, sds = f"less {settings.reference}", "sd"
    at_mean = " at the patients' mean moderators" if settings.moderators else ""
    effect, new, study_effect = effects_of(settings, posterior, data)
    scale = xr.DataArray(data["outcome_sd"].values, {"time": data["time"].values}, ("time",))
    asked = {
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
    asked |= of_levels(settings, posterior, sds)
    if data.sizes["time"] > 1:
        first, last = data["time"].values
        asked["effect_change"] = estimand(
            effect.isel(time=1, drop=True) - effect.isel(time=0, drop=True),
            f"pooled effect, {last} less {first}", sds,
        )  # fmt: skip
        asked["time_correlation"] = estimand(
            posterior["time_correlation"], "correlation of a study's deviations at the two times", "correlation"
        )
        asked["residual_correlation"] = estimand(
            posterior["residual_correlation"], "correlation of a patient's residuals at the two times", "correlation"
        )
    if settings.baseline is not None:
        asked["baseline_slope"] = estimand(
            ordered(posterior["baseline_slope"], "time"), "difference per sd of the baseline", "sd per sd"
        )
    if settings.moderators:
        asked |= along_moderators(settings, posterior, data, sds)
    if settings.combined:
        asked |= combined.estimands(settings, posterior, data)
    return xr.Dataset(asked)


def _refused(settings: PatientMetaSettings, data: xr.Dataset) -> list[str]:
    """Estimands that free levels leave unknown: what compares studies' levels, or needs a prior on them."""
    if not settings.has_free_levels:
        return []
    unknown = [*_NEED_RANDOM_LEVELS, *(_NEED_RANDOM_LEVELS_OF_EVENTS if settings.is_binary else ())]
    return unknown + [f"slope_in of {part}" for part in data["part"].values[~within_studies(data)]]


def own_prior(settings: PatientMetaSettings, name: str, at: Mapping[str, str], data: xr.Dataset) -> OwnPrior | str:
    """Return the prior of an estimand that is a parameter with a prior of its own, or why there is none, as a clause.

    Parameters
    ----------
    settings
        The model's settings.
    name, at
        The estimand and its coordinates.
    data
        The prepared data.

    Returns
    -------
    OwnPrior or str
        Of the pooled effect at one time, its change between two, the baseline, and interactions that are not pooled.
    """
    prior = settings.priors
    times = list(map(str, data["time"].values))
    at_time = times.index(at["time"]) if "time" in at else 0
    if name == "effect_change":
        return OwnPrior("effect_change", prior["effect_change"])
    if name == "baseline_slope":
        return OwnPrior("baseline_slope", prior["baseline_slope"], (at_time,))
    if name in ("effect", "effect_in_units"):
        if len(times) > 1:
            return "effects at two times are made of their mean and their change; effect_change has a prior of its own"
        sd = float(data["outcome_sd"][0]) if name == "effect_in_units" else 1.0
        return OwnPrior("effect", prior["effect"], (0,), sd)
    if name == "interaction":
        if settings.effects != "none":
            return (
                "interactions are pooled with a spread that may be zero, where the prior density of no interaction is "
                "infinite"
            )
        part = list(map(str, data["part"].values)).index(at["part"])
        return OwnPrior("interaction", prior["interaction"], (part, at_time))
    if name in ("study_effect", "effect_new"):
        return "it is pooled: without an effect in one study, the others would have another prior than without any"
    return "it is a function of several parameters"
