"""Net benefit of deciding by a normal marker: population quantities on a grid, every draw at once.

Where the outcome's chance at a marker x is p(x), the net benefit of treating the people in a set T of markers is

    integral over T of density(x) (p(x) - w (1 - p(x))) dx,   w = threshold / (1 - threshold)

true positives less false positives, per person, a false one weighed by the odds of the chance at which one would just
treat (Vickers and Elkin 2006, doi:10.1177/0272989X06295361).
"""

import numpy as np
from scipy import special

from bayesdep.numerics.draws import slices_of_draws
from bayesdep.numerics.roc import chance

_POINTS = 801
_REACH = 8.0  # standard deviations of a new person's marker on either side


def net_benefit(
    mean: np.ndarray, sd: np.ndarray, intercepts: np.ndarray, slope: np.ndarray, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the net benefit of treating by the marker, and of treating everybody.

    Treated are those whose marker gives them a chance above the threshold: the mean chance over all draws, which is
    what is known when one decides. So the rule is the same in every draw, and what it is worth differs between them.

    Parameters
    ----------
    mean, sd
        Of the marker in the population, shape (draws,).
    intercepts
        Each person's log odds of the outcome at the marker's mean, shape (draws, people).
    slope
        Change of the log odds per unit of the marker, shape (draws,).
    thresholds
        Chances at which one would just treat, strictly between 0 and 1.

    Returns
    -------
    tuple of numpy.ndarray
        Shape (draws, thresholds) each, true positives per person; treating nobody has 0.

    Examples
    --------
    >>> one = np.ones(1)
    >>> by_marker, everybody = net_benefit(0 * one, one, np.zeros((1, 1)), 2 * one, np.array([0.5]))
    >>> [round(float(x[0, 0]), 3) for x in (by_marker, everybody)]
    [0.278, 0.0]
    """
    centre, spread = mean.mean(), np.sqrt((sd**2).mean() + mean.var())
    grid = centre + spread * np.linspace(-_REACH, _REACH, _POINTS)
    inside = np.concatenate([[-np.inf], grid[1:-1], [np.inf]])  # the outer intervals have all that is beyond
    yes, no = np.empty((2, len(mean), _POINTS - 1))
    expected = np.zeros(_POINTS)
    for draws in slices_of_draws(len(mean), elements=_POINTS):
        t = grid - mean[draws, None]
        p, q = chance(t, intercepts[draws], slope[draws])
        mass = np.diff(special.ndtr((inside - mean[draws, None]) / sd[draws, None]), axis=-1)
        yes[draws], no[draws] = (mass * (v[:, 1:] + v[:, :-1]) / 2 for v in (p, q))
        expected += p.sum(axis=0)
    treated = np.array([_share_above(expected / len(mean), threshold) for threshold in thresholds]).T
    weight = thresholds / (1 - thresholds)
    everybody = yes.sum(axis=-1, keepdims=True) - weight * no.sum(axis=-1, keepdims=True)
    return yes @ treated - weight * (no @ treated), everybody


def _share_above(values: np.ndarray, limit: float) -> np.ndarray:
    """Which share of each interval between grid points lies above a limit, values linear between them."""
    a, b = values[:-1] - limit, values[1:] - limit
    crossing = np.abs(np.maximum(a, b)) / np.maximum(np.abs(a - b), 1e-300)  # of the part above, where they cross
    return np.where((a > 0) & (b > 0), 1.0, np.where((a <= 0) & (b <= 0), 0.0, np.minimum(crossing, 1.0)))
