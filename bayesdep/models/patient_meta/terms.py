"""How PyMC builds the coefficients and the spreads of an individual-patient meta-analysis."""

import numpy as np
import xarray as xr

from bayesdep.models.parts.adaptive_effects import adaptive_effects
from bayesdep.models.patient_meta.interactions import build_interactions
from bayesdep.models.patient_meta.likelihood import log_sds_of_studies
from bayesdep.models.patient_meta.moderators import within_studies
from bayesdep.models.patient_meta.settings import FREE_LEVEL_SD, PatientMetaSettings
from bayesdep.numerics.types import Tensor


def coefficients(settings: PatientMetaSettings, data: xr.Dataset) -> Tensor:
    """Build the coefficient of every column in each arm, inside a PyMC model context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (arm, column, time): what a column has in both arms, and what it has by treatment.
    """
    import pymc as pm
    import pytensor.tensor as pt

    prior = settings.priors
    by_treatment = [_effects(settings, data)[None]]
    in_both = [prior["intercept"].rv("intercept", dims="time")[None]] if "intercept" in prior else [0 * by_treatment[0]]
    if settings.baseline is not None:
        slope = prior["baseline_slope"].rv("baseline_slope", dims="time")[None]
        in_both.append(slope)
        by_treatment.append(pt.zeros_like(slope))
    if settings.moderators:
        in_both.append(_moderator_effects(settings, data))
        by_treatment.append(build_interactions(settings, data))
    treated = pm.Data("arm_code", np.array([0.0, 1.0]) - float(data["share_treated"]), dims="arm")
    columns, contrasts = (pt.concatenate(x) if len(x) > 1 else x[0] for x in (in_both, by_treatment))
    return columns + treated[:, None, None] * contrasts


def _effects(settings: PatientMetaSettings, data: xr.Dataset) -> Tensor:
    """Effects by time; the mean of two has the prior that one alone would have."""
    import pymc as pm

    prior = settings.priors
    if data.sizes["time"] == 1:
        return prior["effect"].rv("effect", dims="time")
    change = prior["effect_change"].rv("effect_change")
    effect = prior["effect"].rv("effect_overall") + change * np.array([-0.5, 0.5])
    return pm.Deterministic("effect", effect, dims="time")


def _moderator_effects(settings: PatientMetaSettings, data: xr.Dataset) -> Tensor:
    """Main effects of moderators; with free levels, those of parts that differ between patients of a study."""
    import pymc as pm
    import pytensor.tensor as pt

    prior = settings.priors["moderator_effect"]
    if not settings.has_free_levels:
        return prior.rv("moderator_effect", dims=("part", "time"))
    within = within_studies(data)
    if not within.any():
        return pt.zeros((data.sizes["part"], data.sizes["time"]))
    pm.modelcontext(None).add_coord("within_part", data["part"].values[within])
    place = pm.Data("place_of_part", np.eye(len(within))[:, within], dims=("part", "within_part"))
    return place @ prior.rv("moderator_effect", dims=("within_part", "time"))


def root_between(settings: PatientMetaSettings, data: xr.Dataset) -> Tensor:
    """Build the root of the covariance of a study's own deviations, inside a PyMC model context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Lower triangular, by time a study's level before its effect. The correlation matrix is the Kronecker product of
        that of times and that of level and effect, and so is its root. A free level is independent of all others: its
        row has one number, 1 where its prior is flat.
    """
    import pytensor.tensor as pt

    times, lkj = data.sizes["time"], settings.lkj
    by_time = _correlation_root("time_share", "time_correlation", lkj) if times > 1 else np.ones((1, 1))
    tau = settings.priors["tau_effect"].rv("tau_effect", dims="time")
    if settings.has_free_levels:
        level = FREE_LEVEL_SD if settings.is_binary else 1.0
        free, effect = np.kron(np.eye(times), np.diag([level, 0.0])), np.diag([0.0, 1.0])
        spread = (tau[:, None] * by_time)[:, None, :, None] * effect[None, :, None, :]
        return free + spread.reshape((2 * times, 2 * times))
    sds = pt.stack([settings.priors["tau_intercept"].rv("tau_intercept", dims="time"), tau], axis=-1).ravel()
    root = _correlation_root("effect_share", "effect_correlation", lkj)
    return sds[:, None] * (by_time[:, None, :, None] * root[None, :, None, :]).reshape((2 * times, 2 * times))


def _correlation_root(share: str, name: str, lkj: float) -> Tensor:
    """The root of a correlation matrix of two by two, for which LKJ is a Beta."""
    import pymc as pm
    import pytensor.tensor as pt

    rho = pm.Deterministic(name, 2 * pm.Beta(share, lkj, lkj) - 1)
    below, last = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 0.0], [0.0, 1.0]])
    return np.array([[1.0, 0.0], [0.0, 0.0]]) + rho * below + pt.sqrt(1 - rho**2) * last


def residual_sds(settings: PatientMetaSettings, data: xr.Dataset) -> Tensor:
    """Build the residual sd of every study at every time, inside a PyMC model context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (study, time).
    """
    import pymc as pm
    import pytensor.tensor as pt

    typical = settings.priors["residual_sd"].rv("residual_sd", dims="time")
    spread = settings.priors["residual_spread"].rv("residual_spread")
    estimate, se = log_sds_of_studies(data)
    logs = adaptive_effects("log_study_sd", pt.log(typical), spread, estimate=estimate, se=se, dims=("study", "time"))
    return pm.Deterministic("study_sd", pt.exp(logs), dims=("study", "time"))


def residual_correlation(settings: PatientMetaSettings, data: xr.Dataset) -> Tensor:
    """Build the correlation of a patient's residuals at two times, inside a PyMC model context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        A scalar, zero where there is one time.
    """
    import pymc as pm
    import pytensor.tensor as pt

    if data.sizes["time"] == 1:
        return pt.zeros(())
    share = pm.Beta("residual_share", settings.lkj, settings.lkj)
    return pm.Deterministic("residual_correlation", 2 * share - 1)
