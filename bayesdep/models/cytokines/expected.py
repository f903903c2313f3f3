"""Expected log concentrations: inside the PyMC model, and of posterior draws."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr

from bayesdep.models.cytokines.effects import effect_of
from bayesdep.models.cytokines.rough_effects import Rough, wall_of
from bayesdep.models.cytokines.settings import CytokinesSettings
from bayesdep.models.cytokines.split import Mean
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.draws import draws_of
from bayesdep.numerics.types import Tensor


def expected_levels(
    settings: CytokinesSettings,
    data: xr.Dataset,
    log_sd: Tensor,
    people_sd: Tensor | None,
    *,
    means: Mapping[str, Mean],
    rough: Rough | None,
    before: list[Tensor],
) -> Tensor:
    """Return ``level_a + group_effect_a x_i + time_effect_{a,t} + interaction_{a,t} x_i + plate_{a,p}``.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.
    log_sd
        Log residual sds by analyte.
    people_sd
        Standard deviation between people, a scalar tensor; None without people.
    means, rough, before
        As :func:`~bayesdep.models.cytokines.effects.effect_of` takes them.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (measurement,), inside a PyMC model context: looked up in a small table by group, time, plate and analyte.
    """
    import pymc as pm
    import pytensor.tensor as pt

    table = pm.Data("centre", data["centre"].values, dims="analyte")[None, None, None, :]
    code: Tensor = None  # x of each group; None without groups
    if settings.group is not None:
        group_effect = effect_of(settings, "group", data, "comparison", means=means, rough=rough, before=before)
        code = pm.Data("group_code", data["group_code"].values, dims=("group", "comparison"))
        table = table + (code[:, :, None] * group_effect.T).sum(axis=1)[:, None, None, :]
    wall = wall_of(data, log_sd, people_sd, before[1:], code) if settings.is_pooled else None
    table = table + effect_of(settings, "level", data, means=means, rough=rough, before=before, wall=wall)
    if settings.time is not None:
        time_effect = effect_of(settings, "time", data, "later")
        is_time = pm.Data("is_time", np.eye(data.sizes["time"])[:, 1:], dims=("time", "later"))
        table = table + (is_time[:, :, None] * time_effect.T).sum(axis=1)[None, :, None, :]
    if settings.group_by_time:
        interaction = effect_of(settings, "interaction", data, "comparison", "later")
        both = code[:, None, :, None, None] * is_time[None, :, None, :, None]
        table = table + (both * interaction.transpose(1, 2, 0)).sum(axis=(2, 3))[:, :, None, :]
    if settings.plate is not None:
        plate_sd = settings.priors["plate_sd"].rv("plate_sd")
        plate = plate_sd * pm.ZeroSumNormal("plate_latent", dims=("analyte", "plate"))
        table = table + plate.T
    sizes = [1 if getattr(settings, d) is None else data.sizes[d] for d in ("group", "time", "plate")]
    table = pt.broadcast_to(table, (*sizes, data.sizes["analyte"]))
    return table.reshape((-1,))[pm.Data("place", _places(data, sizes), dims="measurement")]


def _places(data: xr.Dataset, sizes: list[int]) -> np.ndarray:
    """Where each measurement looks up its expected level in the flattened table."""
    place = np.zeros(data.sizes["measurement"], dtype=int)
    for word, size in zip(("group", "time", "plate"), sizes, strict=True):
        place = place * size + (data[f"{word}_of"].values if size > 1 else 0)
    return np.asarray(place * data.sizes["analyte"] + data["analyte_of"].values)


def shared_factor(settings: CytokinesSettings, data: xr.Dataset, subject_of: Tensor) -> Tensor:
    """Return ``loading_a factor_i``, shape (measurement,), inside a PyMC model context."""
    import pymc as pm

    loading_sd = settings.priors["loading_sd"].rv("loading_sd")
    loading = loading_sd * Prior("HalfNormal", sigma=1.0).rv("loading_latent", dims="analyte")
    pm.Deterministic("loading", loading, dims="analyte")
    factor = pm.Normal("factor", dims="subject")
    analyte_of = pm.Data("loading_of", data["analyte_of"].values, dims="measurement")
    return loading[analyte_of] * factor[subject_of]


def covariates(settings: CytokinesSettings, data: xr.Dataset) -> Tensor:
    """Return ``z_m' covariate_effect_a``, shape (measurement,), inside a PyMC model context."""
    import pymc as pm

    slope = effect_of(settings, "covariate", data, "covariate")
    z = pm.Data("covariates", data["covariates"].values, dims=("measurement", "covariate"))
    analyte_of = pm.Data("slope_of", data["analyte_of"].values, dims="measurement")
    return (z * slope[analyte_of]).sum(axis=1)


def expected_of_draws(settings: CytokinesSettings, posterior: xr.Dataset, data: xr.Dataset) -> np.ndarray:
    """Return the expected log concentration of each measurement, without the cells' own effects.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws with dim ``sample`` first.
    data
        The prepared data.

    Returns
    -------
    numpy.ndarray
        Shape (samples, measurements).
    """
    analyte, subject = data["analyte_of"].values, data["subject_of"].values
    group, time = data["group_of"].values, data["time_of"].values

    draws = partial(draws_of, posterior)

    eta = (draws("level", "analyte") + data["centre"].values)[:, analyte]
    code, later = data["group_code"].values[group], np.eye(data.sizes["time"])[time, 1:]
    if settings.group is not None:
        effect = draws("group_effect", "comparison", "analyte")
        for k in range(code.shape[1]):
            eta += code[:, k] * effect[:, k][:, analyte]
    if settings.time is not None:
        effect = draws("time_effect", "later", "analyte")
        for t in range(later.shape[1]):
            eta += later[:, t] * effect[:, t][:, analyte]
    if settings.group_by_time:
        effect = draws("interaction", "comparison", "later", "analyte")
        for k in range(code.shape[1]):
            for t in range(later.shape[1]):
                eta += code[:, k] * later[:, t] * effect[:, k, t][:, analyte]
    if settings.covariates is not None:
        effect = draws("covariate_effect", "covariate", "analyte")
        for j, x in enumerate(data["covariates"].values.T):
            eta += x * effect[:, j][:, analyte]
    if settings.plate is not None:
        plate = posterior["plate_sd"] * posterior["plate_latent"]
        eta += plate.transpose("sample", "analyte", "plate").values[:, analyte, data["plate_of"].values]
    if settings.has_subjects:
        eta += draws("subject_effect", "subject")[:, subject]
    if settings.shared_factor:
        eta += draws("loading", "analyte")[:, analyte] * draws("factor", "subject")[:, subject]
    return np.asarray(eta)
