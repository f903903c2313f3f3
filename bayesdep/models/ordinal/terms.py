"""The level of every row and its thresholds: as PyMC builds them, and from draws."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayesdep.models.ordinal.settings import OrdinalSettings
from bayesdep.models.parts.categories import add_thresholds
from bayesdep.models.parts.contrasts import contrast_root, contrasts, shared_root
from bayesdep.models.parts.monotone import increments
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.draws import draws_of
from bayesdep.numerics.ordinal import thresholds_of
from bayesdep.numerics.types import Draws, Tensor

SHARED_OVER_VISITS = 0.8  # correlation of an arm's effects at two visits, a priori


# In the model


def row_levels(settings: OrdinalSettings, data: xr.Dataset) -> Tensor:
    """Add the terms of the level to a PyMC model, inside its context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        The level of every row without its patient's own part, shape (row,).
    """
    import pymc as pm
    import pytensor.tensor as pt

    prior, cells = settings.priors, pt.zeros((data.sizes["arm"], data.sizes["visit"]))
    arm_of = pm.Data("arm_of", data["arm_of"].values, dims="unit")
    if settings.visit is not None and data.sizes["visit"] > 1:
        cells = cells + _around_zero(prior["visit_effect"], "visit_effect", data.sizes["visit"])
    if settings.reference is not None:
        arm_effect = _arm_effects(prior["arm_effect"], data)
        for k, code in enumerate(data["arm_code"].values):
            cells = cells + code[:, None] * arm_effect[k]
    values = ordered_values(data)
    parts = []
    if data.sizes["covariate"]:
        effect = prior["covariate_effect"].rv("covariate_effect", dims="covariate")
        parts.append(_sum_of_products(pm.Data("covariates", data["covariates"].values), effect))
    if settings.baseline is not None:
        parts.append(prior["baseline_effect"].rv("baseline_effect") * values[0])
    if data.sizes["slope"]:
        slope = prior["monotone_effect"].rv("monotone_effect", dims="slope")
        column = pm.Data("slope_column", data["slope_column"].values, dims=("unit", "slope"))
        parts += [slope[k] * column[:, k] * values[q] for k, q in enumerate(data["ordered_of_slope"].values)]
    if settings.moderator is not None:
        parts.append(_moderation(settings, data, arm_of, values))
    unit_of, visit_of = (pm.Data(name, data[name].values, dims="row") for name in ("unit_of", "visit_of"))
    level = cells[arm_of[unit_of], visit_of]
    return level + pt.add(*parts)[unit_of] if parts else level


def _around_zero(prior: Prior, name: str, count: int) -> Tensor:
    """Effects of visits that sum to zero, of a normal prior; else independent ones less their mean."""
    import pymc as pm

    if prior.dist == "Normal" and prior["mu"] == 0:
        return prior.sum_to_zero(name, dims=("visit",))
    free = prior.rv(f"{name}_free", dims="visit")
    return pm.Deterministic(name, free - free.sum() / count, dims="visit")


def _arm_effects(prior: Prior, data: xr.Dataset) -> Tensor:
    """Effects of arms against the reference at every visit: exchangeable arms, and visits that share much of them."""
    roots = [contrast_root(data.sizes["comparison"]), shared_root(data.sizes["visit"], SHARED_OVER_VISITS)]
    return contrasts(prior, "arm_effect", dims=("comparison", "visit"), roots=roots)


def _sum_of_products(columns: Tensor, effects: Tensor) -> Tensor:
    return (columns * effects).sum(axis=1)


def _moderation(settings: OrdinalSettings, data: xr.Dataset, arm_of: Tensor, values: list[Tensor]) -> Tensor:
    """What the moderator adds to every unit's level."""
    import pymc as pm

    main = settings.priors["moderator_effect"].rv("moderator_effect")
    root = contrast_root(data.sizes["comparison"])
    by_arm = contrasts(settings.priors["arm_by_moderator"], "arm_by_moderator", dims="comparison", roots=[root])
    slope = main + sum(by_arm[k] * code[arm_of] for k, code in enumerate(_codes(data)))
    if settings.moderator_form == "monotone":
        return slope * values[place_of_moderator(settings)]
    return slope * pm.Data("moderator", data["moderator"].values, dims="unit")


def _codes(data: xr.Dataset) -> list[Tensor]:
    import pytensor.tensor as pt

    return [pt.constant(code) for code in data["arm_code"].values]


def place_of_moderator(settings: OrdinalSettings) -> int:
    """Return the place of a monotone moderator among the ordered predictors."""
    return 0 if settings.baseline is None else 1


def ordered_values(data: xr.Dataset) -> list[Tensor]:
    """Add the increments of ordered predictors to a PyMC model, inside its context.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    list of pytensor.tensor.TensorVariable
        ``mo(x)`` less its mean of every unit, shape (unit,), for each ordered predictor.
    """
    import pymc as pm

    if not data.sizes["step"]:
        return []
    of_step = data["ordered_of_step"].values
    shares = increments("increment", np.bincount(of_step).tolist())
    reached = pm.Data("reached", data["reached"].values, dims=("unit", "step"))
    places = [np.flatnonzero(of_step == q) for q in range(of_step.max() + 1)]
    return [_sum_of_products(reached[:, p[0] : p[-1] + 1], shares[p[0] : p[-1] + 1]) for p in places]


def row_thresholds(settings: OrdinalSettings, data: xr.Dataset) -> tuple[Tensor, Tensor]:
    """Add the thresholds to a PyMC model, inside its context: those of a typical unit's category probabilities.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    tuple
        Thresholds and gaps as :func:`~bayesdep.numerics.ordinal.log_probability_of` takes them: shared by all rows, or
        with the rows first where a term's effect differs between thresholds.
    """
    import pymc as pm
    import pytensor.tensor as pt

    categories = data.sizes["category"]
    thresholds, gaps = add_thresholds(settings.concentration, settings.form)
    if not data.sizes["term"]:
        return thresholds, gaps
    value = pm.Data("term_value", data["term_value"].values, dims=("row", "term"))
    prior = settings.priors["threshold_effect"]
    if settings.link != "cumulative":
        effect = prior.sum_to_zero("threshold_effect", dims=("term", "up_to"))
        moved = thresholds - sum(value[:, k, None] * effect[k] for k in range(data.sizes["term"]))
        return pt.specify_shape(moved, (None, categories - 1)), None
    effect = prior.rv("threshold_effect", dims=("term", "between"))
    stretch = sum(value[:, k, None] * effect[k] for k in range(data.sizes["term"]))
    own = pt.specify_shape(gaps * pt.exp(stretch), (None, categories - 2))
    from_first = [pt.zeros_like(own[:, 0])]
    for k in range(categories - 2):
        from_first.append(from_first[-1] + own[:, k])
    place = pt.stack(from_first, axis=1)
    moved = thresholds.mean() + place - place.mean(axis=1)[:, None]
    return pt.specify_shape(moved, (None, categories - 1)), own


# From draws


@dataclass(frozen=True)
class Levels:
    """Levels from draws, without patients' own parts.

    Parameters
    ----------
    cells
        Of arms at visits, shape (samples, arms, visits).
    units
        What units' predictors add, in an arm each: shape (samples, arms, units).
    """

    cells: Draws
    units: Draws


def levels_from(settings: OrdinalSettings, posterior: xr.Dataset, data: xr.Dataset) -> Levels:
    """Return levels from draws.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws with dim ``sample``.
    data
        The prepared data.

    Returns
    -------
    Levels
        Of every arm and visit, and of every unit put into every arm.
    """
    samples, arms = posterior.sizes["sample"], data.sizes["arm"]
    cells = np.zeros((samples, arms, data.sizes["visit"]))
    code = data["arm_code"].values
    if "visit_effect" in posterior:
        cells += draws_of(posterior, "visit_effect", "visit")[:, None, :]
    if settings.reference is not None:
        cells += np.einsum("ka,skt->sat", code, draws_of(posterior, "arm_effect", "comparison", "visit"))
    common = np.zeros((samples, data.sizes["unit"]))
    ordered = ordered_from(posterior, data)
    if data.sizes["covariate"]:
        common += draws_of(posterior, "covariate_effect", "covariate") @ data["covariates"].values.T
    if settings.baseline is not None:
        common += draws_of(posterior, "baseline_effect")[:, None] * ordered[0]
    for k, q in enumerate(data["ordered_of_slope"].values):
        effect = draws_of(posterior, "monotone_effect", "slope")[:, k, None]
        common += effect * data["slope_column"].values[:, k] * ordered[q]
    units = np.repeat(common[:, None, :], arms, axis=1)
    if settings.moderator is not None:
        slope = draws_of(posterior, "arm_by_moderator", "comparison") @ code
        slope = slope + draws_of(posterior, "moderator_effect")[:, None]
        monotone = settings.moderator_form == "monotone"
        value = ordered[place_of_moderator(settings)] if monotone else data["moderator"].values
        units += slope[:, :, None] * (value[:, None, :] if monotone else value)
    return Levels(cells, units)


def ordered_from(posterior: xr.Dataset, data: xr.Dataset) -> list[Draws]:
    """Return ``mo(x)`` less its mean of every unit from draws, shape (samples, units), for each ordered predictor."""
    if not data.sizes["step"]:
        return []
    of_step, share = data["ordered_of_step"].values, draws_of(posterior, "increment", "step")
    places = [np.flatnonzero(of_step == q) for q in range(of_step.max() + 1)]
    return [share[:, p] @ data["reached"].values[:, p].T for p in places]


def thresholds_from(settings: OrdinalSettings, posterior: xr.Dataset, value: np.ndarray) -> tuple[Draws, Draws | None]:
    """Return thresholds and gaps from draws.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws with dim ``sample``.
    value
        Columns of the terms whose effects differ between thresholds, shape (rows, terms).

    Returns
    -------
    tuple of numpy.ndarray
        Shapes (samples, rows, K - 1) and (samples, rows, K - 2), one row where there are no such terms; no gaps where
        the link has none.
    """
    typical = draws_of(posterior, "typical_probability", "category")
    thresholds, gaps = thresholds_of(typical, **settings.form)
    if value.shape[1] == 0:
        return thresholds[:, None], None if gaps is None else gaps[:, None]
    if settings.link != "cumulative":
        effect = draws_of(posterior, "threshold_effect", "term", "up_to")
        return thresholds[:, None] - np.einsum("rt,stk->srk", value, effect), None
    effect = draws_of(posterior, "threshold_effect", "term", "between")
    own = gaps[:, None] * np.exp(np.einsum("rt,stk->srk", value, effect))
    place = np.concatenate([np.zeros_like(own[..., :1]), np.cumsum(own, axis=-1)], axis=-1)
    return thresholds.mean(axis=-1)[:, None, None] + place - place.mean(axis=-1, keepdims=True), own
