r"""The posterior density of one parameter at one point, from conditional densities given draws of all the others.

With :math:`\theta` the parameter and :math:`\psi` the others, :math:`p(\theta_0 \mid y) = E[p(\theta_0 \mid \psi, y)]`
over the posterior of :math:`\psi` (Gelfand and Smith 1990, doi:10.2307/2289776). Each conditional is the joint density
along :math:`\theta`, normalised in one dimension, so there is no bandwidth and no bias, and the Monte Carlo error is
that of a mean of bounded numbers. Where the joint log density is a parabola in :math:`\theta`, as of a mean of normal
outcomes under a normal prior, the conditional is a normal and three points fix it; otherwise it is integrated by the
trapezoidal rule over a grid of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from bayesdep.numerics.normal import log_normal

LogDensity = Callable[[np.ndarray], np.ndarray]

_PARABOLA = 1e-6  # largest distance from a parabola, relative to its fall over the same points
_REACH, _SPACING = 6.4, 0.4  # of the grid, in conditional sds: the rule's error is below 1e-9 for a normal
_DIED_OUT = 14.0  # how far the log density must have fallen at both ends of a grid
_WIDENINGS = 6


@dataclass(frozen=True)
class Normals:
    """Normal conditionals, one for each draw.

    Parameters
    ----------
    means, sds
        Shape (draws,).
    """

    means: np.ndarray
    sds: np.ndarray

    def density(self, x: float) -> np.ndarray:
        """Return each conditional's density at a point, shape (draws,)."""
        return np.asarray(np.exp(log_normal(x, self.means, self.sds)))


@dataclass(frozen=True)
class Grids:
    """Conditionals known on grids, one for each draw.

    Parameters
    ----------
    point
        Where the density is known.
    at_point
        The densities there, shape (draws,).
    """

    point: float
    at_point: np.ndarray

    def density(self, x: float) -> np.ndarray:
        """Return each conditional's density at the point, shape (draws,)."""
        if x != self.point:
            raise ValueError(f"the conditionals are known at {self.point}, not at {x}")
        return self.at_point


def conditionals(log_density: LogDensity, start: np.ndarray, sd: float, point: float) -> Normals | Grids:
    """Find the conditional distributions of a parameter, given each draw of the others.

    Parameters
    ----------
    log_density
        From values of the parameter, shape (draws, n), to the joint log density with each draw of the others, the same
        shape, up to a number for each draw.
    start
        The parameter's own draws, shape (draws,).
    sd
        Their standard deviation: steps are multiples of it.
    point
        Where the density is asked for.

    Returns
    -------
    Normals or Grids
        Normals where the log density is a parabola of the parameter.

    Raises
    ------
    ValueError
        When a conditional does not die out within reach, so that it cannot be normalised.

    Examples
    --------
    >>> found = conditionals(lambda x: -(x - 1.0) ** 2 / 8, np.array([0.3, 2.0]), 1.5, 0.0)
    >>> found.means.round(6).tolist(), found.sds.round(6).tolist()
    ([1.0, 1.0], [2.0, 2.0])
    """
    steps = sd * np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    values = log_density(start[:, None] + steps)
    slope, bend = (values[:, 3] - values[:, 1]) / 2, values[:, 3] - 2 * values[:, 2] + values[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):  # flat: handled as a grid
        mode, width = start - sd * slope / bend, sd / np.sqrt(-bend)
    ends = values[:, 2, None] + slope[:, None] * [-2, 2] + bend[:, None] * 2
    apart = np.abs(values[:, [0, 4]] - ends).max(axis=1)
    if (bend < 0).all() and (apart <= _PARABOLA * (np.abs(bend) + np.abs(slope))).all():
        return Normals(mode, width)
    usable = (bend < 0) & np.isfinite(mode) & (np.abs(mode - start) < 5 * sd)
    return _on_grids(log_density, np.where(usable, mode, start), np.where(usable, np.minimum(width, sd), sd), point)


def _on_grids(log_density: LogDensity, centre: np.ndarray, width: np.ndarray, point: float) -> Grids:
    """Normalise conditionals over grids, which are widened until both ends have died out."""
    steps = np.arange(-_REACH, _REACH + _SPACING / 2, _SPACING)
    density, left = np.empty(len(centre)), np.arange(len(centre))
    width = width.copy()
    for _ in range(_WIDENINGS):
        grid = centre[:, None] + width[:, None] * steps
        values = log_density(np.column_stack([grid, np.full(len(centre), point)]))
        on_grid = values[left, :-1]
        total = special.logsumexp(on_grid, axis=1) + np.log(width[left] * _SPACING)
        density[left] = np.exp(values[left, -1] - total)
        highest = on_grid.max(axis=1)
        # the grid must reach into both tails, and its points must lie closer than the density's own width
        dead = np.maximum(on_grid[:, 0], on_grid[:, -1]) < highest - _DIED_OUT
        fine = (on_grid > highest[:, None] - 2).sum(axis=1) >= 4
        width[left] = np.where(~dead[:], width[left] * 2, np.where(~fine, width[left] / 3, width[left]))
        peak = grid[left, on_grid.argmax(axis=1)]
        centre = centre.copy()
        centre[left] = np.where(dead & fine, centre[left], peak)
        left = left[~(dead & fine)]
        if not len(left):
            return Grids(point, density)
    raise ValueError("a conditional density does not die out")


def bound_in_tail(draws: np.ndarray, point: float, effective: float) -> float:
    """Return a number that a unimodal density does not exceed at a point in or beyond the tail of its draws.

    From the mode to the point the density falls, so at the point it is below the mean density between the point and any
    place on the way: the probability there over the distance. The probability of lying beyond the k-th most extreme
    draw is taken as ``(k + 2 sqrt(k) + 3) / n``, the upper end of a 95% interval of a count and, at k = 0, the rule of
    three; the lowest of the bounds from all k is returned.

    Parameters
    ----------
    draws
        Shape (n,).
    point
        Where the density is asked for.
    effective
        The effective number of draws.

    Returns
    -------
    float
        In units of one over the parameter's.

    Examples
    --------
    >>> from scipy import stats
    >>> draws = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    >>> bool(bound_in_tail(draws, 5.0, 4000.0) > stats.norm.pdf(5.0))
    True
    """
    median = np.median(draws)
    away = np.sort((draws - point) * (1 if median > point else -1))  # from the point towards the mode
    between = (away > 0) & (away <= abs(median - point))  # where the density still falls
    count = effective * np.arange(len(away)) / len(draws)
    share = np.minimum((count + 2 * np.sqrt(count) + 3) / effective, 1.0)
    return float((share[between] / away[between]).min()) if between.any() else float("inf")


def ratio_of_normals(of: Normals, centre: float, sd: float, new_sd: float) -> np.ndarray:
    r"""Return the mean over normals of one normal density over another, both around one centre.

    :math:`E[N(\theta; c, w) / N(\theta; c, s)]` for :math:`\theta \sim N(m, v)` is
    :math:`(s / w) \exp(-a (m - c)^2 / (2 (1 + a v^2))) / \sqrt{1 + a v^2}` with :math:`a = 1 / w^2 - 1 / s^2`; it is
    infinite where v is as wide as s allows (:math:`1 + a v^2 \leq 0`).

    Parameters
    ----------
    of
        The normals.
    centre, sd
        Of the density below.
    new_sd
        Of the density above.

    Returns
    -------
    numpy.ndarray
        Shape (draws,).

    Examples
    --------
    >>> ratio_of_normals(Normals(np.zeros(1), np.ones(1)), 0.0, 2.0, 2.0).tolist()
    [1.0]
    """
    a = 1 / new_sd**2 - 1 / sd**2
    widened = 1 + a * of.sds**2
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        ratio = sd / new_sd * np.exp(-a * (of.means - centre) ** 2 / (2 * widened)) / np.sqrt(widened)
    return np.where(widened > 0, ratio, np.inf)
