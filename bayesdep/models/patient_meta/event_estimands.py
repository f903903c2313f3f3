"""Estimands of events: odds ratios, risks, numbers needed to treat."""

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.model import estimand
from bayesdep.models.patient_meta.effects import along_moderators, effects_of, of_levels, ordered
from bayesdep.models.patient_meta.scores import coefficients_of
from bayesdep.models.patient_meta.settings import PatientMetaSettings
from bayesdep.numerics.draws import over_draws

_UNITS, _RATIO = "log odds", "log odds ratio"


def crude_effects(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return every study's own log odds ratio and its standard error, half an event added to every count.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        Shape (study,); NaN where an arm has nobody.
    """
    e, n = data["study_events"].values, data["study_n"].values
    log_odds = np.log((e + 0.5) / (n - e + 0.5))
    variance = 1 / (e + 0.5) + 1 / (n - e + 0.5)
    there = (n > 0).all(axis=1)
    return np.where(there, log_odds[:, 1] - log_odds[:, 0], np.nan), np.where(there, np.sqrt(variance.sum(1)), np.nan)


def estimands(settings: PatientMetaSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive every estimand of :class:`~bayesdep.PatientMeta` with events.

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
    event, against = settings.event, f"less {settings.reference}"
    at_mean = " at the patients' mean moderators" if settings.moderators else ""
    effect, new, study_effect = effects_of(settings, posterior, data)
    asked = {
        "effect": estimand(effect, f"pooled log odds ratio of {event}, {against}{at_mean}", _RATIO),
        "effect_new": estimand(new, f"log odds ratio in a new study, {against}{at_mean}", _RATIO),
        "odds_ratio": estimand(
            xr.DataArray(np.exp(effect)), f"pooled odds ratio of {event}{at_mean}", "odds ratio",
            null=1.0, monotone_of="effect",
        ),
        "odds_ratio_new": estimand(
            xr.DataArray(np.exp(new)), f"odds ratio of {event} in a new study{at_mean}", "odds ratio",
            null=1.0, monotone_of="effect_new",
        ),
        "study_effect": estimand(
            study_effect, f"log odds ratio in a study, {against}, at its own patients' mean", _RATIO
        ),
        "tau_effect": estimand(
            ordered(posterior["tau_effect"], "time"), "spread of log odds ratios between studies", _UNITS, null=np.nan
        ),
    }  # fmt: skip
    asked |= of_levels(settings, posterior, _UNITS)
    if not settings.has_free_levels:
        risk = risks(settings, posterior, data)
        difference = risk.isel(arm=1, drop=True) - risk.isel(arm=0, drop=True)
        whole = f"risk of {event}, all patients of these studies treated, less all on {settings.reference}"
        of_arm = f"risk of {event}, had all patients of these studies been in an arm"
        asked["risk"] = estimand(risk, of_arm, "probability", null=np.nan)
        asked["risk_difference"] = estimand(difference, whole, "risk difference")
        asked["nnt"] = estimand(
            1 / difference, f"number needed to treat (above 0) or harm (below 0): {whole}", "people",
            reciprocal_of="risk_difference",
        )  # fmt: skip
    if settings.baseline is not None:
        asked["baseline_slope"] = estimand(
            ordered(posterior["baseline_slope"], "time"), "difference per sd of the baseline", f"{_UNITS} per sd"
        )
    if settings.moderators:
        asked |= along_moderators(settings, posterior, data, _UNITS)
    return xr.Dataset(asked)


def risks(settings: PatientMetaSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Return the mean risk over all patients, each in their own study, had all been in one arm.

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
    xarray.DataArray
        Dims (chain, draw, arm, time).
    """
    study, z, n = (data[v].values for v in ("cell_study", "z", "n"))
    coords = {"arm": data["arm"].values, "time": data["time"].values}

    def risks_of(part: xr.Dataset) -> xr.DataArray:
        gamma = coefficients_of(settings, part, data)[..., 0]
        deviation = part["deviation"].transpose("sample", "study", "time", "which").values[:, :, 0]
        by_arm = np.empty((len(gamma), 2, 1))
        for arm in (0, 1):
            of_study = deviation[..., 0] + (arm - 0.5) * deviation[..., 1]
            log_odds = gamma[:, arm] @ z.T + of_study[:, study]
            by_arm[:, arm, 0] = special.expit(log_odds) @ n / n.sum()
        return xr.DataArray(by_arm, coords, ("sample", "arm", "time"))

    return over_draws(posterior, risks_of, len(n))
