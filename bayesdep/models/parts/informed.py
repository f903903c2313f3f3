"""Effects of units whose own data can be summarised: sampled as what is left to learn about each."""

from typing import Any

import numpy as np

_LOG_2_PI = np.log(2 * np.pi)


def informed(
    name: str,
    centre: Any,
    spread: Any,
    estimate: Any,
    se: np.ndarray,
    *,
    dims: str | tuple[str, ...],
    shift: Any = None,
) -> Any:
    r"""Return effects ``N(centre, spread)`` inside a PyMC model context, in a form their own data make easy to sample.

    Were unit k's data an estimate :math:`y_k` with standard error :math:`s_k`, its effect would be normal given
    centre and spread, with mean :math:`m_k` and standard deviation :math:`v_k`; what is sampled is
    :math:`(\theta_k - m_k) / v_k`. Its posterior is then nearly standard normal whatever the spread is, where a
    centred effect suits only units with much data and a non-centred one only units with little (Papaspiliopoulos,
    Roberts and Skoeld 2007, doi:10.1214/088342307000000014). The estimates only choose coordinates: the effects'
    density is ``N(centre, spread)`` whatever they are.

    With :math:`r^2 = \tau^2 + s_k^2` and x what is sampled, :math:`\theta_k = centre + \tau z`,
    :math:`z = \tau (y_k - centre) / r^2 + s_k x / r`, so that x has the density of :math:`z \sim N(0, 1)` times
    :math:`s_k / r`; nothing is divided by a spread that may be zero.

    Parameters
    ----------
    name
        Name of the effects; what is sampled is ``name_latent``.
    centre, spread
        Mean and standard deviation of the effects, broadcastable to ``dims``.
    estimate, se
        Rough estimates of the effects from their own data, and their standard errors, with the shape of ``dims``; an
        estimate may depend on parameters of the model that come before.
    dims
        Named dim of the effects, or several.
    shift
        What the effects hold beside themselves (:mod:`~bayesdep.models.parts.panel.split`): it is taken off what is
        registered under their name.

    Returns
    -------
    pytensor.tensor.TensorVariable
        The effects, shift included; without it they are registered as a deterministic.
    """
    import pymc as pm
    import pytensor.tensor as pt

    y = pm.Data(f"{name}_estimate", np.asarray(estimate, dtype=float), dims=dims) if _is_data(estimate) else estimate
    s = pm.Data(f"{name}_se", np.asarray(se, dtype=float), dims=dims)

    def standardised(value: Any, centre: Any, spread: Any, y: Any, s: Any) -> Any:
        r2 = spread**2 + s**2
        return spread * (y - centre) / r2 + s / pt.sqrt(r2) * value

    def logp(value: Any, centre: Any, spread: Any, y: Any, s: Any) -> Any:
        z = standardised(value, centre, spread, y, s)
        return -(z**2 + pt.log1p((spread / s) ** 2) + _LOG_2_PI) / 2

    def random(centre: Any, spread: Any, y: Any, s: Any, rng: Any = None, size: Any = None) -> Any:
        r = np.hypot(spread, s)
        return (rng.standard_normal(size) - spread * (y - centre) / r**2) * r / s

    given = (centre, spread, y, s)
    latent = pm.CustomDist(f"{name}_latent", *given, logp=logp, random=random, dims=dims)
    effects = centre + spread * standardised(latent, *given)
    pm.Deterministic(name, effects if shift is None else effects - shift, dims=dims)
    return effects


def _is_data(estimate: Any) -> bool:
    return isinstance(estimate, (np.ndarray, float, int))
