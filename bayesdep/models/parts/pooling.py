"""Partial pooling with the parameterisation that the data of each unit deserve."""

from typing import Any

import numpy as np


def pooled(name: str, centre: Any, spread: Any, *, centred: np.ndarray, dims: str | tuple[str, ...]) -> Any:
    """Return effects ``N(centre, spread)``, each centred or non-centred, inside a PyMC model context.

    One latent vector serves both: with ``w = 1`` (centred) ``x ~ N(centre, spread)`` and the effect is ``x``;
    with ``w = 0`` (non-centred) ``x ~ N(0, 1)`` and the effect is ``centre + spread x``. Units whose own
    data pin the effect down sample well centred, the others non-centred (Papaspiliopoulos, Roberts and
    Skoeld 2007, doi:10.1214/088342307000000014).

    Parameters
    ----------
    name
        Name of the effects; the latent vector is ``name_latent``.
    centre, spread
        Mean and standard deviation of the effects, broadcastable to ``dims``.
    centred
        1.0 where centred, 0.0 where not, with the shape of ``dims``.
    dims
        Named dims of the effects.

    Returns
    -------
    pytensor.tensor.TensorVariable
        The effects, registered as a deterministic.
    """
    import pymc as pm

    w = pm.Data(f"{name}_centred", np.asarray(centred, dtype=float), dims=dims)
    latent = pm.Normal(f"{name}_latent", mu=w * centre, sigma=w * spread + (1 - w), dims=dims)
    return pm.Deterministic(name, w * latent + (1 - w) * (centre + spread * latent), dims=dims)
