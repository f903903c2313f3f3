"""Partial pooling of effects that their own data tell little of."""

from typing import Any


def pooled(name: str, centre: Any, spread: Any, *, dims: str | tuple[str, ...]) -> Any:
    """Return effects ``N(centre, spread)``, sampled as standardised deviations, inside a PyMC model context.

    Non-centred, as effects that are small beside their errors sample well (Papaspiliopoulos, Roberts and Skoeld 2007,
    doi:10.1214/088342307000000014). Where units' own data can be summarised,
    :func:`~bayesdep.models.parts.informed.informed` serves any.

    Parameters
    ----------
    name
        Name of the effects; the latent vector is ``name_latent``.
    centre, spread
        Mean and standard deviation of the effects, broadcastable to ``dims``.
    dims
        Named dims of the effects.

    Returns
    -------
    pytensor.tensor.TensorVariable
        The effects, registered as a deterministic.
    """
    import pymc as pm

    return pm.Deterministic(name, centre + spread * pm.Normal(f"{name}_latent", dims=dims), dims=dims)
