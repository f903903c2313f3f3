"""Effects reparametrised by their approximate conditional posterior: data-adaptive partial non-centring."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesdep.numerics.normal import LOG_2_PI
from bayesdep.numerics.student import log_t_density
from bayesdep.numerics.types import Tensor

_WALL = ("side", "at", "width")
_FURTHEST = 700.0  # whose hyperbolic sine is finite
_HALVINGS = 80  # of an interval, to the last digit
_TINY = 1e-12  # beside 1; nothing is divided by zero


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

    Of a unit with a wall at b of width w nothing else is known. With :math:`R^2 = \tau^2 + w^2`, its effect's
    conditional mean and standard deviation are about :math:`centre - \tau^2 p / R` and :math:`\tau v`, where
    :math:`p = \log(1 + e^{(centre - b) / R})` and :math:`v^2 = 1 - \tau^2 / R^2 \cdot p^2 / (1 + p^2)`. With d e the
    distance beyond the wall of that mean plus :math:`\tau v x`, :math:`d^2 = \tau^2 v^2 + w^2`, the effect is
    :math:`b - d \log(1 + e^{-e}) + w / k \cdot \log(1 + s + s^2 / 2)`, :math:`s = k \log(1 + e^e)`,
    :math:`k = 1 - w / d` (exponents are e's, not the distance's): far below the wall as it was, beyond it compressed
    to steps of the wall's width, and nowhere changed where the spread is small beside that. There too the effects'
    density stays what it is.

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

    def logp(x: Any, centre: Any, spread: Any, y: Any, s: Any, *rest: Any) -> Any:
        given = dict(zip(optional, rest, strict=True))
        z = straight(x, centre, spread, y, s)
        jacobian = -pt.log1p((spread / s) ** 2) / 2
        if wall is not None:
            theta, slope = walled(x, centre, spread, *(given[k] for k in _WALL))
            z = pt.switch(pt.eq(given["side"], 0), z, (theta - centre) / spread)
            jacobian = pt.switch(pt.eq(given["side"], 0), jacobian, pt.log(slope))
        return jacobian + (-(z**2 + LOG_2_PI) / 2 if nu is None else log_t_density(z, given["nu"]))

    def random(centre: Any, spread: Any, y: Any, s: Any, *rest: Any, rng: Any = None, size: Any = None) -> Any:
        given = dict(zip(optional, rest, strict=True))
        z = rng.standard_normal(size) if nu is None else rng.standard_t(given["nu"], size)
        r = np.hypot(spread, s)
        x = (z - spread * (y - centre) / r**2) * r / s
        if wall is None:
            return x
        return np.where(
            given["side"] == 0, x, unwalled(centre + spread * z, centre, spread, *(given[k] for k in _WALL))
        )

    optional = ({} if nu is None else {"nu": nu}) | ({} if wall is None else {k: getattr(wall, k) for k in _WALL})
    given = (centre, spread, y, s)
    latent = pm.CustomDist(f"{name}_latent", *given, *optional.values(), logp=logp, random=random, dims=dims)
    z = straight(latent, *given)
    effects = centre + spread * z
    if wall is not None:
        beyond, _ = walled(latent, centre, spread, wall.side, wall.at, wall.width)
        effects = pt.switch(pt.eq(wall.side, 0), effects, beyond)
    pm.Deterministic(name, effects if shift is None else effects - shift, dims=dims)
    return effects


def walled(x: Any, centre: Any, spread: Any, side: Any, at: Any, width: Any) -> tuple[Any, Any]:
    """Return effects of units with a wall from what is sampled, and their slope by it over the spread.

    Parameters
    ----------
    x
        What is sampled.
    centre, spread
        Mean and standard deviation of the effects.
    side, at, width
        As :class:`Wall` has them.

    Returns
    -------
    tuple of pytensor.tensor.TensorVariable
        As :func:`adaptive_effects` states them.
    """
    import pytensor.tensor as pt

    r2 = spread**2 + width**2
    p = pt.softplus(side * (centre - at) / pt.sqrt(r2))
    v = pt.sqrt(1 - spread**2 / r2 * p**2 / (1 + p**2))
    d = pt.sqrt((spread * v) ** 2 + width**2)
    e = (side * (centre - at + spread * v * x) - spread**2 * p / pt.sqrt(r2)) / d
    k = 1 - width / d + _TINY
    s = k * pt.softplus(e)
    q = s / 2 * (s / (1 + s))  # 1 + s + s^2 / 2 = (1 + s) (1 + q), without a square that has no number
    effects = at + side * (width / k * (pt.log1p(s) + pt.log1p(q)) - d * pt.softplus(-e))
    return effects, v * (pt.sigmoid(-e) + width / d * pt.sigmoid(e) / (1 + q))


def unwalled(theta: Any, centre: Any, spread: Any, side: Any, at: Any, width: Any) -> np.ndarray:
    """Return what is sampled of units with a wall, given their effects: the inverse of :func:`walled`, by bisection.

    Parameters
    ----------
    theta
        Effects.
    centre, spread, side, at, width
        As :func:`walled` takes them.

    Returns
    -------
    numpy.ndarray
        With the shape of the effects.
    """
    r = np.hypot(spread, width)
    p = np.logaddexp(0, side * (centre - at) / r)
    v = np.sqrt(1 - (spread / r) ** 2 * p**2 / (1 + p**2))
    d = np.hypot(spread * v, width)
    k = 1 - width / d + _TINY
    high = np.full(np.shape(theta), _FURTHEST)
    low = -high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        e = np.sinh(middle)
        s = k * np.logaddexp(0, e)
        reached = width / k * (np.log1p(s) + np.log1p(s / 2 * (s / (1 + s)))) - d * np.logaddexp(0, -e)
        above = reached > side * (theta - at)
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    distance = d * np.sinh((low + high) / 2) + spread**2 * p / r
    return np.asarray((side * distance - (centre - at)) / (spread * v))


def _is_data(estimate: Any) -> bool:
    return isinstance(estimate, (np.ndarray, float, int))
