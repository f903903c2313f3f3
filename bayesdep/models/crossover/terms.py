"""How PyMC builds the effects of a crossover trial, and the covariances over days."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesdep.models.crossover.settings import CrossoverSettings
from bayesdep.models.parts.contrasts import contrast_root, contrasts, shared_root
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.types import Tensor

BETWEEN_DAYS = 0.75  # prior correlation of an effect on two days


def days_correlate(settings: CrossoverSettings, data: xr.Dataset) -> bool:
    """Whether there are several days, and outcomes and effects on them are correlated."""
    return settings.days == "joint" and data.sizes["day"] > 1


def roots_of_effects(settings: CrossoverSettings, data: xr.Dataset) -> dict[str, list[np.ndarray]]:
    """Return roots of the prior correlations of effects.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared trial.

    Returns
    -------
    dict of list of numpy.ndarray
        By effect: the root over treatments or periods, and that over days.
    """
    days = data.sizes["day"]
    by_day = shared_root(days, BETWEEN_DAYS) if days_correlate(settings, data) else np.eye(days)
    dims = {"treatment_effect": "comparison", "period_effect": "later"}
    dims |= {"carry_over": "comparison"} if settings.carry_over else {}
    return {name: [contrast_root(data.sizes[dim]), by_day] for name, dim in dims.items()}


def effects_by_day(settings: CrossoverSettings, data: xr.Dataset, prior: Mapping[str, Prior]) -> dict[str, Tensor]:
    """Build the effects of treatment, period and, where asked for, what carries over, inside a PyMC model context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared trial.
    prior
        Priors in the outcome's units.

    Returns
    -------
    dict of pytensor.tensor.TensorVariable
        By name: (comparison or later, day).
    """
    return {
        name: contrasts(
            prior[name], name, dims=("later" if name == "period_effect" else "comparison", "day"), roots=roots
        )
        for name, roots in roots_of_effects(settings, data).items()
    }


def covariance_root(name: str, settings: CrossoverSettings, data: xr.Dataset, prior: Mapping[str, Prior]) -> Tensor:
    """Build the root of a covariance over days from its sds and correlations, inside a PyMC model context.

    Parameters
    ----------
    name
        ``"patient"`` or ``"residual"``.
    settings
        The model's settings.
    data
        The prepared trial.
    prior
        Priors in the outcome's units.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Lower triangular, (day, day).
    """
    import pymc as pm
    import pytensor.tensor as pt

    from bayesdep.numerics.covariance import vine_root

    days = data.sizes["day"]
    sd = prior[f"{name}_sd"].rv(f"{name}_sd", dims="day", in_widths=True)
    if not days_correlate(settings, data):
        return np.eye(days) * sd[:, None]
    rows, columns = np.tril_indices(days, -1)
    # partial correlations given the days before, each a scaled Beta: LKJ by its vine, as in Trial
    shape = settings.lkj + (days - 2 - columns) / 2
    share = pm.Beta(f"{name}_partial_share", shape, shape, dims="pair")
    root = vine_root(pt.set_subtensor(pt.eye(days)[rows, columns], 2 * share - 1))
    pm.Deterministic(f"{name}_correlation", (root[rows] * root[columns]).sum(axis=1), dims="pair")
    return sd[:, None] * root


def sum_of_products(codes: Tensor, effects: Tensor, count: int) -> Tensor:
    """Return ``codes @ effects`` for a few codes, written out: numba takes half a minute to compile a matrix product.

    Parameters
    ----------
    codes
        Shape (..., count).
    effects
        Shape (count, day).
    count
        How many codes there are.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (..., day).
    """
    return sum(codes[..., k, None] * effects[k] for k in range(count))
