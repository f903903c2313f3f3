"""Patients' own deviations from a course: their sds, correlations and covariance, inside a PyMC model."""

from collections.abc import Mapping

import numpy as np

from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.types import Tensor


def covariance_of_deviations(
    settings: TrajectoriesSettings, prior: Mapping[str, Prior], prefix: str = "", dim: str | None = None
) -> Tensor:
    """Add sds and correlations of patients' deviations to a PyMC model, inside its context.

    A sd without a prior, that of the level of a shared factor, is 1. The correlation is ``LKJ(lkj)``, from its partial
    correlations on a vine (Lewandowski, Kurowicka and Joe 2009, doi:10.1016/j.jmva.2009.04.008).

    Parameters
    ----------
    settings
        The model's settings.
    prior
        Priors, in the outcome's units.
    prefix
        What the names begin with: empty for the outcome, ``"marker_"`` for markers, ``"factor_"`` for what they share.
    dim
        Dim of independent copies.

    Returns
    -------
    pytensor.tensor.TensorVariable
        The covariance, shape ([dim,] power, power).
    """
    import pymc as pm
    import pytensor.tensor as pt

    from bayesdep.numerics.covariance import vine_root

    powers, dims = settings.powers, () if dim is None else (dim,)
    names = [f"{prefix}{word}_sd" for word in powers]
    sd = pt.stack(
        [prior[n].rv(n, dims=dims or None, may_be_zero=True) if n in prior else pt.ones(()) for n in names], axis=-1
    )
    size = len(powers)
    if size == 1:
        return sd[..., None] ** 2
    rows, columns = np.tril_indices(size, -1)
    graph = pm.modelcontext(None)
    graph.add_coord("pair", pairs(powers))
    shape = settings.lkj + (size - 2 - columns) / 2
    copies = [len(graph.coords[d]) for d in dims]
    share = pm.Beta(
        f"{prefix}partial_share", *[np.broadcast_to(shape, (*copies, len(shape)))] * 2, dims=(*dims, "pair")
    )
    blank = pt.zeros((*copies, size, size)) + pt.eye(size)
    root = vine_root(
        pt.specify_shape(pt.set_subtensor(blank[..., rows, columns], 2 * share - 1), (*copies, size, size))
    )
    correlation = (root[..., :, None, :] * root[..., None, :, :]).sum(axis=-1)
    pm.Deterministic(f"{prefix}correlation_by_pair", correlation[..., rows, columns], dims=(*dims, "pair"))
    return sd[..., :, None] * correlation * sd[..., None, :]


def pairs(powers: tuple[str, ...]) -> list[str]:
    """Names of every two terms of a deviation, in the order of a matrix's lower triangle."""
    return [f"{powers[k]} and {powers[j]}" for j, k in zip(*np.tril_indices(len(powers), -1), strict=True)]
