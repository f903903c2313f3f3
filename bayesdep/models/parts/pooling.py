"""Non-centred effects, for partial pooling where effects are small beside their own errors."""

import numpy as np

from bayesdep.numerics.types import Tensor


def non_centred_effects(
    name: str,
    centre: Tensor,
    spread: Tensor,
    *,
    dims: str | tuple[str, ...],
    root: np.ndarray | None = None,
    axis: int = -1,
) -> Tensor:
    """Return effects ``N(centre, spread)``, sampled as standardised deviations, inside a PyMC model context.

    Non-centred, as effects that are small beside their errors sample well (Papaspiliopoulos, Roberts and Skoeld 2007,
    doi:10.1214/088342307000000014). Where units' own data can be summarised,
    :func:`~bayesdep.models.parts.adaptive_effects.adaptive_effects` serves large and small effects alike.

    Parameters
    ----------
    name
        Name of the effects; the latent vector is ``name_latent``.
    centre, spread
        Mean and standard deviation of the effects, broadcastable to ``dims``.
    dims
        Named dims of the effects.
    root
        Lower-triangular root of the correlations along one dim, where effects are correlated.
    axis
        Which dim that is, the last by default.

    Returns
    -------
    pytensor.tensor.TensorVariable
        The effects, registered as a deterministic.
    """
    import pymc as pm
    import pytensor.tensor as pt

    latent = pm.Normal(f"{name}_latent", dims=dims)
    deviation = latent
    if root is not None:
        last = pt.moveaxis(latent, axis, -1)
        deviation = pt.moveaxis((last[..., None, :] * root).sum(axis=-1), -1, axis)  # compiled fast, unlike a product
    return pm.Deterministic(name, centre + spread * deviation, dims=dims)
