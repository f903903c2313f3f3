"""Severities, discriminations, thresholds and effects on single items, as PyMC builds them."""

import numpy as np
import xarray as xr

from bayesdep.models.items.settings import ItemsSettings
from bayesdep.models.parts.adaptive_effects import adaptive_effects
from bayesdep.models.parts.contrasts import contrast_root, contrasts
from bayesdep.models.parts.pooling import non_centred_effects
from bayesdep.models.parts.unit_spreads import student_spreads
from bayesdep.numerics.ordinal import thresholds_of
from bayesdep.numerics.types import Tensor

_LITTLE = 1e-6  # information on a patient's level or change that is added, so that nothing is divided by zero


def severities(settings: ItemsSettings, data: xr.Dataset) -> Tensor:
    """Add patients' severities to a PyMC model, inside its context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (subject, visit); of visits that were missed as well.
    """
    import pymc as pm

    prior = settings.priors
    time = pm.Data("time", data["time"].values, dims="visit")
    mean = _means(settings, data)
    level_sd, slope_sd, visit_sd = (prior[name].rv(name) for name in ("level_sd", "slope_sd", "visit_sd"))
    correlation = _correlation(settings)
    estimate = pm.Data("rough_severity", data["severity_estimate"].values, dims=("subject", "visit"))
    error = pm.Data("rough_severity_se", data["severity_se"].values, dims=("subject", "visit"))
    precision = 1 / (visit_sd**2 + error**2)
    p11, p12, p22 = (precision.sum(axis=1), (precision * time).sum(axis=1), (precision * time**2).sum(axis=1))
    residual = precision * (estimate - mean)
    s1, s2 = residual.sum(axis=1), (residual * time).sum(axis=1)
    # slope given level: N(b level, rest); what the data say of the level once the slope is integrated out
    b, rest = correlation * slope_sd / level_sd, slope_sd * (1 - correlation**2) ** 0.5
    shrunk = 1 + p22 * rest**2
    known = p11 + (b**2 * p22 + 2 * b * p12 - p12**2 * rest**2) / shrunk + _LITTLE
    of_level = (s1 + s2 * (b - p12 * rest**2) / shrunk) / known
    level = adaptive_effects("level", 0.0, level_sd, of_level, known**-0.5, dims="subject")
    of_slope = (s2 - p12 * level) / (p22 + _LITTLE)
    slope = adaptive_effects("slope", b * level, rest, of_slope, (p22 + _LITTLE) ** -0.5, dims="subject")
    centre = mean + level[:, None] + slope[:, None] * time
    return adaptive_effects("severity", centre, visit_sd, estimate, error, dims=("subject", "visit"))


def _correlation(settings: ItemsSettings) -> Tensor:
    """The correlation of patients' level and change, ``LKJ``: of two, a Beta distribution on -1 to 1."""
    import pymc as pm

    share = pm.Beta("correlation_share", settings.lkj, settings.lkj)
    return pm.Deterministic("correlation", 2 * share - 1)


def _means(settings: ItemsSettings, data: xr.Dataset) -> Tensor:
    """Expected severity of every patient at every visit."""
    import pymc as pm
    import pytensor.tensor as pt

    prior = settings.priors
    course = pm.Data("course", data["course"].values, dims="visit")
    visit_effect = _around_zero(settings, data.sizes["visit"])
    root = [contrast_root(data.sizes["comparison"])]
    effect = contrasts(prior["arm_effect"], "arm_effect", dims="comparison", roots=root)
    code = pm.Data("code_of", data["arm_code"].values[:, data["arm_of"].values].T, dims=("subject", "comparison"))
    along = effect[None, :]
    growing = pt.zeros((1,))
    at_start = pt.zeros((1,))
    if settings.moderator is not None:
        moderator = pm.Data("moderator", data["moderator"].values, dims="subject")
        by_arm = contrasts(prior["arm_by_moderator"], "arm_by_moderator", dims="comparison", roots=root)
        along = along + by_arm[None, :] * moderator[:, None]
        at_start = prior["moderator_effect"].rv("moderator_effect") * moderator
        growing = prior["moderator_change"].rv("moderator_change") * moderator
    growing = growing + (along * code).sum(axis=1)
    return visit_effect[None, :] + at_start[:, None] + growing[:, None] * course


def _around_zero(settings: ItemsSettings, visits: int) -> Tensor:
    """Effects of visits that sum to zero, of a normal prior; else independent ones less their mean."""
    import pymc as pm

    prior = settings.priors["visit_effect"]
    if prior.dist == "Normal" and prior["mu"] == 0:
        return prior.sum_to_zero("visit_effect", dims=("visit",))
    free = prior.rv("visit_effect_free", dims="visit")
    return pm.Deterministic("visit_effect", free - free.sum() / visits, dims="visit")


def discriminations(settings: ItemsSettings) -> Tensor:
    """Add discriminations to a PyMC model: their logarithms sum to zero over items.

    Parameters
    ----------
    settings
        The model's settings.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (item,).
    """
    import pymc as pm
    import pytensor.tensor as pt

    sd = settings.priors["log_discrimination_sd"].rv("log_discrimination_sd")
    latent = pm.ZeroSumNormal("log_discrimination_latent", dims="item")
    return pm.Deterministic("discrimination", pt.exp(sd * latent), dims="item")


def item_effects(settings: ItemsSettings, data: xr.Dataset) -> Tensor:
    """Add what arms change in single items beyond severity to a PyMC model.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (column, item).
    """
    import pytensor.tensor as pt

    names = ["departure", *(["departure_by_moderator"] if settings.moderator is not None else [])]
    dims = ("comparison", "item")
    comparisons = data.sizes["comparison"]
    root = contrast_root(comparisons) if comparisons > 1 else None
    effects = []
    for name in names:
        spread = settings.priors[f"{name}_sd"].rv(f"{name}_sd")
        if settings.pooling == "student-t":
            spread = student_spreads(name, spread, dims=dims)
        effects.append(non_centred_effects(name, 0.0, spread, dims=dims, root=root, axis=0))
    return effects[0] if len(effects) == 1 else pt.concatenate(effects, axis=0)


def thresholds(settings: ItemsSettings, data: xr.Dataset) -> tuple[Tensor, Tensor]:
    """Add thresholds to a PyMC model: those of category probabilities at level 0.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    tuple of pytensor.tensor.TensorVariable
        Thresholds and ``log(1 - exp(-gap))`` of neighbouring ones, shape (item, T); zeros where an item has fewer.
    """
    import pymc as pm
    import pytensor.tensor as pt

    highest = data["highest"].values
    most, places, found, inside = int(highest.max()), [], [], []
    for top in np.unique(highest):
        items = np.flatnonzero(highest == top)
        shape = (len(items), int(top) + 1)
        p = pm.Dirichlet(
            f"typical_probability_{top}", a=np.full(shape, settings.concentration), dims=(f"item_{top}", f"score_{top}")
        )
        values, gaps = thresholds_of(pt.specify_shape(p, shape))
        found.append(
            pt.concatenate([values, pt.zeros((len(items), most - int(top)))], axis=1) if top < most else values
        )
        logs = pt.log1mexp(-gaps)
        inside.append(pt.concatenate([logs, pt.zeros((len(items), most - int(top) + 1))], axis=1))
        places += items.tolist()
    order = np.argsort(places)
    padded = pt.concatenate(found, axis=0)[order] if len(found) > 1 else found[0]
    logs = pt.concatenate(inside, axis=0)[order] if len(inside) > 1 else inside[0]
    item, step = np.nonzero(np.arange(most) < highest[:, None])
    pm.Deterministic("threshold", padded[item, step], dims="step")
    return padded, logs


def steps_of(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return item and place of every threshold, and their names."""
    highest = data["highest"].values
    item, step = np.nonzero(np.arange(int(highest.max())) < highest[:, None])
    return item, step, [f"{data['item'].values[m]}: above {k}" for m, k in zip(item, step, strict=True)]
