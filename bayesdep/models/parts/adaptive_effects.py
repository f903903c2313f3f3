"""Effects reparametrised by their approximate conditional posterior: data-adaptive partial non-centring."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesdep.numerics.normal import LOG_2_PI
from bayesdep.numerics.student import log_t_density
from bayesdep.numerics.types import Tensor

_WALL = ("side", "at", "width")
_FURTHEST = 700.0  # the largest number whose exponential is finite


@dataclass(frozen=True)
class Wall:
    """Where the likelihood of a unit with no detected value falls off, on one side of its effect.

    Of a unit whose every value lies below its limits only that is known: any effect well below them is compatible with
    the data, and none above. A step size that suits the wide side leads far beyond the wall.

    Parameters
    ----------
    side
        1 where the likelihood falls above ``at``, -1 where it falls below, 0 where there is no wall.
    at
        Where it begins to fall.
    width
        Over what distance.
    """

    side: Tensor
    at: Tensor
    width: Tensor


def adaptive_effects(
    name: str,
    centre: Tensor,
    spread: Tensor,
    estimate: Tensor,
    se: Tensor,
    *,
    dims: str | tuple[str, ...],
    shift: Tensor = None,
    nu: Tensor = None,
    wall: Wall | None = None,
) -> Tensor:
    r"""Return effects ``N(centre, spread)`` inside a PyMC model context, in a form their own data make easy to sample.

    Were unit k's data an estimate :math:`y_k` with standard error :math:`s_k`, its effect would be normal given
    centre and spread, with mean :math:`m_k` and standard deviation :math:`v_k`: its approximate conditional posterior.
    What is sampled is the effect standardised by it, :math:`(\theta_k - m_k) / v_k`. Its posterior is then nearly
    standard normal whatever the spread is, where a centred effect suits only units with much data and a non-centred one
    only units with little (Papaspiliopoulos, Roberts and Skoeld 2007, doi:10.1214/088342307000000014). The estimates
    only choose coordinates: the effects' density is ``N(centre, spread)`` whatever they are.

    With :math:`r^2 = \tau^2 + s_k^2` and x what is sampled, :math:`\theta_k = centre + \tau z`,
    :math:`z = \tau (y_k - centre) / r^2 + s_k x / r`, so that x has the density of :math:`z \sim N(0, 1)` times
    :math:`s_k / r`; nothing is divided by a spread that may be zero.

    Beyond a wall at b of width w, effects are compressed: :math:`\theta = b + w \log(1 + u)` instead of
    :math:`b + w u`. There too the density of the effects stays what it is.

    Parameters
    ----------
    name
        Name of the effects; what is sampled is ``name_latent``.
    centre, spread
        Mean and standard deviation of the effects, broadcastable to ``dims``.
    estimate, se
        Rough estimates of the effects from their own data, and their standard errors, with the shape of ``dims``; an
        error far larger than any spread says that nothing is known. Both may depend on parameters.
    dims
        Named dims of the effects.
    shift
        A term that the returned effects contain and the effects registered under their name do not: it is subtracted
        there. None where there is no such term.
    nu
        Degrees of freedom, where effects are Student t with scale ``spread``; None for normal ones.
    wall
        Where the likelihood falls off on one side, by unit; None where it does so nowhere.

    Returns
    -------
    pytensor.tensor.TensorVariable
        The effects, shift included; without it they are registered as a deterministic.
    """
    import pymc as pm
    import pytensor.tensor as pt

    y = pm.Data(f"{name}_estimate", np.asarray(estimate, dtype=float), dims=dims) if _is_data(estimate) else estimate
    s = pm.Data(f"{name}_se", np.asarray(se, dtype=float), dims=dims) if _is_data(se) else se

    def straight(x: Any, centre: Any, spread: Any, y: Any, s: Any) -> Any:
        r2 = spread**2 + s**2
        return spread * (y - centre) / r2 + s / pt.sqrt(r2) * x

    def compressed(z: Any, centre: Any, spread: Any, side: Any, at: Any, width: Any) -> tuple[Any, Any]:
        u = pt.maximum(side * (centre + spread * z - at) / width, 0.0)
        # written anew, not as a difference: u may be so large that nothing of a difference is left
        return pt.switch(u > 0, at + side * width * pt.log1p(u), centre + spread * z), u

    def logp(x: Any, centre: Any, spread: Any, y: Any, s: Any, *rest: Any) -> Any:
        given = dict(zip(optional, rest, strict=True))
        z = straight(x, centre, spread, y, s)
        jacobian = -pt.log1p((spread / s) ** 2) / 2
        if wall is not None:
            theta, u = compressed(z, centre, spread, *(given[k] for k in _WALL))
            z = pt.switch(u > 0, (theta - centre) / spread, z)
            jacobian = jacobian - pt.log1p(u)
        return jacobian + (-(z**2 + LOG_2_PI) / 2 if nu is None else log_t_density(z, given["nu"]))

    def random(centre: Any, spread: Any, y: Any, s: Any, *rest: Any, rng: Any = None, size: Any = None) -> Any:
        given = dict(zip(optional, rest, strict=True))
        z = rng.standard_normal(size) if nu is None else rng.standard_t(given["nu"], size)
        if wall is not None:
            side, at, width = (given[k] for k in _WALL)
            u = np.maximum(side * (centre + spread * z - at) / width, 0.0)
            stretched = at + side * width * np.expm1(np.minimum(u, _FURTHEST))
            z = np.where(u > 0, (stretched - centre) / spread, z)
        r = np.hypot(spread, s)
        return (z - spread * (y - centre) / r**2) * r / s

    optional = ({} if nu is None else {"nu": nu}) | ({} if wall is None else {k: getattr(wall, k) for k in _WALL})
    given = (centre, spread, y, s)
    latent = pm.CustomDist(f"{name}_latent", *given, *optional.values(), logp=logp, random=random, dims=dims)
    z = straight(latent, *given)
    effects = centre + spread * z
    if wall is not None:
        effects, _ = compressed(z, centre, spread, wall.side, wall.at, wall.width)
    pm.Deterministic(name, effects if shift is None else effects - shift, dims=dims)
    return effects


def _is_data(estimate: Any) -> bool:
    return isinstance(estimate, (np.ndarray, float, int))
