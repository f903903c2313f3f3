r"""Interactions of moderators with the treatment: how they are pooled, and the scale that each of them has by design.

With ``effects = "horseshoe"`` an interaction is small or not small beside its own standard error, so that error sets
the scale (Piironen and Vehtari 2017, doi:10.1214/17-EJS1337SI, eq. 3.12: of p coefficients with standard errors
``s_j``, the scale :math:`\tau_0 = s_j p_0 / (p - p_0)` leaves p0 unshrunk in expectation). The paper writes ``sigma /
sqrt(n)`` for ``s_j``, which is right of a moderator that varies between n patients. The standard error of one that
varies between 17 studies depends on 17 effects, not on n patients. So ``s_j`` is taken from the inverse of the
information matrix of the design: residual sds at the outcome's scale, spreads between studies at the median of their
priors, correlations at zero; it does not depend on outcomes.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesdep.models.parts.adaptive_effects import adaptive_effects
from bayesdep.models.patient_meta.likelihood import log_sds_of_studies
from bayesdep.models.patient_meta.quadratic import least_squares, rough_interactions
from bayesdep.models.patient_meta.settings import FREE_LEVEL_SD, PatientMetaSettings
from bayesdep.numerics.types import Tensor

SCALES = {  # of an interaction, by how they are pooled: the parameters that it is made of
    "normal": ("interaction_sd",),
    "student": ("interaction_sd", "local_precision"),
    "horseshoe": ("global_scale", "local_scale", "slab_precision"),
}


def sd_of_interactions(settings: PatientMetaSettings, error: Tensor, values: Mapping[str, Tensor]) -> Tensor:
    """Return the sd of an interaction, given the parameters that it is made of.

    Parameters
    ----------
    settings
        The model's settings, its ``effects`` not ``"none"``.
    error
        Standard errors by design, as the last axes of the values have them.
    values
        Those parameters (:data:`SCALES`), as arrays or as PyTensor variables, broadcastable to each other.

    Returns
    -------
    numpy.ndarray or pytensor.tensor.TensorVariable
        As they are broadcast.
    """
    if settings.effects == "normal":
        return values["interaction_sd"]
    if settings.effects == "student":
        return values["interaction_sd"] * values["local_precision"] ** -0.5
    assert settings.expected_nonzero is not None  # checked with the settings
    p0, p = settings.expected_nonzero, error.size
    wide = values["global_scale"] * values["local_scale"] * (p0 / (p - p0) * error)
    return wide * (1 + values["slab_precision"] * wide**2) ** -0.5


def design_errors(settings: PatientMetaSettings, data: xr.Dataset) -> np.ndarray:
    """Return every interaction's standard error by design: (part, time).

    Parameters
    ----------
    settings
        The model's settings, with moderators.
    data
        The prepared data.

    Returns
    -------
    numpy.ndarray
        In units of the effect per unit of the moderator.
    """
    times = data.sizes["time"]
    priors = settings.priors
    median = {name: priors[name].scipy.median() for name in ("tau_intercept", "tau_effect") if name in priors}
    level = median.get("tau_intercept", FREE_LEVEL_SD if settings.is_binary else 1.0)
    root, none = np.diag([level, median["tau_effect"]] * times), np.zeros(1)
    if not settings.is_binary:
        return least_squares(data, root, none, np.ones((data.sizes["study"], times)))[1]
    share = data["events"].values.sum() / data["n"].values.sum()  # of all patients: it says nothing of their arms
    sd = np.full((data.sizes["study"], 1), (share * (1 - share)) ** -0.5)
    return least_squares(_as_products(data), root, none, sd)[1]


def _as_products(data: xr.Dataset) -> xr.Dataset:
    """Sums of products of the columns of patients who are counted in cells, without outcomes."""
    study, arm, z, n = (data[v].values for v in ("cell_study", "cell_arm", "z", "n"))
    cross = np.zeros((data.sizes["study"], 1, 2, z.shape[1], z.shape[1]))
    np.add.at(cross[:, 0], (study, arm), n[:, None, None] * z[:, :, None] * z[:, None, :])
    cells = ("study", "pattern", "arm")
    return data[["share_treated", "part", "time", "study", "column"]].assign(
        cross=((*cells, "column", "other"), cross),
        projected=((*cells, "column", "time"), np.zeros((*cross.shape[:-1], 1))),
        outcomes=((*cells, "statistic"), np.zeros((*cross.shape[:3], 2))),
        seen=(("pattern", "time"), np.ones((1, 1))),
        proper=(("study", "deviation"), np.ones((len(cross), 2))),
    )


def build_interactions(settings: PatientMetaSettings, data: xr.Dataset) -> Tensor:
    """Build interactions inside a PyMC model context.

    Parameters
    ----------
    settings
        The model's settings, with moderators.
    data
        The prepared data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (part, time).
    """
    import pymc as pm
    import pytensor.tensor as pt

    prior, dims = settings.priors, ("part", "time")
    if settings.effects == "none":
        return prior["interaction"].rv("interaction", dims=dims)
    values = {}
    for name in SCALES[settings.effects]:
        each = dims if name.startswith("local") else None
        is_scale = name in ("global_scale", "local_scale")
        values[name] = prior[name].rv(name, dims=each, logarithmic=is_scale)
    error = pm.Data("interaction_error", data["interaction_error"].values, dims=dims)
    scale = sd_of_interactions(settings, error, values)
    if settings.is_binary:
        raw = pm.Normal("interaction_raw", 0.0, 1.0, dims=dims)
        return pm.Deterministic("interaction", raw * scale, dims=dims)
    # some interactions are estimated well and others poorly: each is sampled in coordinates that suit its own data
    estimate, se = rough_interactions(data, log_sds_of_studies(data)[0])
    return adaptive_effects("interaction", pt.zeros(()), scale, estimate=estimate, se=se, dims=dims)
