"""Effects reparametrised by their approximate conditional posterior: data-adaptive partial non-centring."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from bayesdep.numerics.normal import LOG_2_PI
from bayesdep.numerics.student import log_t_density
from bayesdep.numerics.types import Tensor

_WALL = ("side", "at", "width")
_FURTHEST = 250.0  # whose exponential is finite, and its square
_NEWTON = 12  # steps, to the last digits
_LEAST = 1e-12  # beside 1; nothing is divided by zero
_SMALL = 1e-3  # below it a series has all digits, and its slope has them where that of the formula loses them


@dataclass(frozen=True)
class Wall:
    """Where the likelihood of a unit falls off on one side of its effect, since values of it lie beyond a limit.

    Any effect well below the limits is compatible with values that lie below them, and none above. A step size that
    suits the wide side leads far beyond the wall.

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

    Where a unit's likelihood also has a wall at b of width w, its conditional mean and standard deviation are about
    :math:`m - v^2 p / R` and :math:`v u`, where :math:`R^2 = v^2 + w^2`, :math:`p = \log(1 + e^{(m - b) / R})` and
    :math:`u^2 = 1 - v^2 / R^2 \cdot p^2 / (1 + p^2)`. With :math:`d^2 = v^2 u^2 + w^2` and :math:`d q` the distance
    beyond the wall of that mean plus :math:`v u x`, the effect is
    :math:`b - d \log(1 + e^{-q}) + w / k \cdot \log(1 + h + h^2 / 2)`, :math:`h = k \log(1 + e^q)`,
    :math:`k = 1 - w / d`: far below the wall it is not changed, beyond it it is compressed to steps of the wall's
    width, and nowhere is it changed where v is small beside that. The effects' density stays what it is.

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

    def conditional(centre: Any, spread: Any, y: Any, s: Any) -> tuple[Any, Any]:
        r2 = spread**2 + s**2
        return centre + spread**2 * (y - centre) / r2, spread * s / r2**0.5

    def logp(x: Any, centre: Any, spread: Any, y: Any, s: Any, *rest: Any) -> Any:
        given = dict(zip(optional, rest, strict=True))
        z = straight(x, centre, spread, y, s)
        jacobian = -pt.log1p((spread / s) ** 2) / 2
        if wall is not None:
            theta, slope = walled(x, *conditional(centre, spread, y, s), *(given[k] for k in _WALL))
            z = pt.switch(pt.eq(given["side"], 0), z, (theta - centre) / spread)
            jacobian = jacobian + pt.switch(pt.eq(given["side"], 0), 0.0, pt.log(slope))
        return jacobian + (-(z**2 + LOG_2_PI) / 2 if nu is None else log_t_density(z, given["nu"]))

    def random(centre: Any, spread: Any, y: Any, s: Any, *rest: Any, rng: Any = None, size: Any = None) -> Any:
        given = dict(zip(optional, rest, strict=True))
        z = rng.standard_normal(size) if nu is None else rng.standard_t(given["nu"], size)
        r = np.hypot(spread, s)
        x = (z - spread * (y - centre) / r**2) * r / s
        if wall is None or not np.any(given["side"]):
            return x
        around = conditional(centre, spread, y, s)
        return np.where(given["side"] == 0, x, unwalled(centre + spread * z, *around, *(given[k] for k in _WALL)))

    optional = ({} if nu is None else {"nu": nu}) | ({} if wall is None else {k: getattr(wall, k) for k in _WALL})
    given = (centre, spread, y, s)
    latent = pm.CustomDist(f"{name}_latent", *given, *optional.values(), logp=logp, random=random, dims=dims)
    z = straight(latent, *given)
    effects = centre + spread * z
    if wall is not None:
        beyond, _ = walled(latent, *conditional(*given), wall.side, wall.at, wall.width)
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
        Mean and standard deviation of the effects, the wall aside.
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
    u = pt.sqrt(1 - spread**2 / r2 * p**2 / (1 + p**2))
    d = pt.sqrt((spread * u) ** 2 + width**2)
    q = (side * (centre - at + spread * u * x) - spread**2 * p / pt.sqrt(r2)) / d
    k = (spread * u) ** 2 / (d * (d + width))  # 1 - width / d, without a difference of like numbers
    h = k * pt.softplus(q)
    more = h / 2 * (h / (1 + h))  # 1 + h + h^2 / 2 = (1 + h) (1 + more), without a square that overflows
    small = pt.minimum(h, _SMALL)
    series = 1 - small**2 / 6 + small**3 / 8 - small**4 / 20
    large = pt.maximum(h, _SMALL)
    beside = large / 2 * (large / (1 + large))
    compressed = pt.switch(h < _SMALL, series, (pt.log1p(large) + pt.log1p(beside)) / large)  # log(1 + h + h^2 / 2) / h
    effects = at + side * (width * pt.softplus(q) * compressed - d * pt.softplus(-q))
    return effects, u * (pt.sigmoid(-q) + width / d * pt.sigmoid(q) / (1 + more))


def unwalled(theta: Any, centre: Any, spread: Any, side: Any, at: Any, width: Any) -> np.ndarray:
    """Return what is sampled of units with a wall, given their effects: the inverse of :func:`walled`.

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
    u = np.sqrt(1 - (spread / r) ** 2 * p**2 / (1 + p**2))
    d = np.hypot(spread * u, width)
    k = np.maximum((spread * u) ** 2 / (d * (d + width)), _LEAST)
    beyond = np.minimum(side * (theta - at), 2 * _FURTHEST * width / k)
    # the distance beyond the wall is concave in q: from below, Newton's steps do not go past the solution
    at_0 = width / k * np.log1p(k * np.log(2) + (k * np.log(2)) ** 2 / 2) - d * np.log(2)
    furthest = np.expm1(beyond * k / (2 * width)) / k - np.log(2)
    q = np.where(beyond > at_0, np.maximum((beyond - at_0) / d, furthest), 2 * (beyond - at_0) / d)
    for _ in range(_NEWTON):
        h = k * np.logaddexp(0, q)
        more = h / 2 * (h / (1 + h))
        reached = width / k * (np.log1p(h) + np.log1p(more)) - d * np.logaddexp(0, -q)
        q = q + (beyond - reached) / (d * special.expit(-q) + width * special.expit(q) / (1 + more))
    distance = d * q + spread**2 * p / r
    return np.asarray((side * distance - (centre - at)) / (spread * u))


def _is_data(estimate: Any) -> bool:
    return isinstance(estimate, (np.ndarray, float, int))
