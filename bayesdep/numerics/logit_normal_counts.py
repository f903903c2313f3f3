r"""Binomial counts whose log odds are normal: the probability of a count or less, and its quantiles.

With B a Beta variable of parameters :math:`k + 1` and :math:`n - k`, a count is at most k where the risk lies below B,
so with X the log odds of B and L the normal log odds

.. math:: P(\mathrm{count} \le k) = P(L < X) = \int f_X(x)\, \Phi((x - location) / scale)\, dx
          = \int \phi(z)\, P(X > location + scale\, z)\, dz .

Both integrands are smooth on the whole line, where the trapezoidal rule errs by about ``exp(-2 (pi w / step)^2)``, w
the width of what is integrated (Trefethen and Weideman 2014, doi:10.1137/130932132). The first costs less, and is taken
unless the normal is much narrower than X.
"""

import numpy as np
from scipy import special

from bayesdep.numerics.types import Draws

_TAIL = 1e-11  # of X beyond either end
_STEPS = (72, 288, 1152)  # along X; beyond, the second integral costs less
_IN_A_SCALE = 1.1  # steps along X in the normal's scale, at least
_AT_ONCE = 200_000  # numbers, few enough for a processor's cache
_Z = np.arange(-6.75, 7.0, 0.75)
_WEIGHT = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()


def probability_up_to(count: np.ndarray, n: np.ndarray, location: Draws, scale: Draws) -> Draws:
    """Return the probability of a count or less.

    Parameters
    ----------
    count
        Whole numbers, below zero too, of a shape that broadcasts.
    n
        Of how many people.
    location, scale
        Mean and standard deviation of the log odds.

    Returns
    -------
    numpy.ndarray
        Of the common shape.

    Examples
    --------
    >>> count, n = np.arange(-1, 4), np.array(3)
    >>> probability_up_to(count, n, np.zeros(5), np.full(5, 1e-9)).round(9).tolist()  # of three coins
    [0.0, 0.125, 0.5, 0.875, 1.0]
    """
    count, n, location, scale = np.broadcast_arrays(count, n, location, scale)
    found = np.where(count >= n, 1.0, 0.0)
    inside = (count >= 0) & (count < n)
    centre, sd = location[inside], scale[inside]
    pairs, which = np.unique(np.stack([count[inside], n[inside]]), axis=1, return_inverse=True)
    sizes = np.bincount(which.ravel(), minlength=pairs.shape[1])
    order, last = np.argsort(which.ravel(), kind="stable"), np.cumsum(sizes)
    within = np.empty(len(centre))
    for (k, people), start, end in zip(pairs.T, last - sizes, last, strict=True):
        rows = order[start:end]
        within[rows] = _probability(k + 1, people - k, centre[rows], sd[rows])
    found[inside] = within
    return found


def _probability(above: int, below: int, location: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Probability that normal log odds are less than X, whose Beta's parameters are given; shape (numbers,)."""
    low, high = (
        special.logit(special.betaincinv(above, below, _TAIL)),
        -special.logit(special.betaincinv(below, above, _TAIL)),
    )
    needed = _IN_A_SCALE * (high - low) / scale
    found, steps = np.empty(len(location)), np.array(_STEPS)
    tier = np.searchsorted(steps, needed)
    for t in np.unique(tier):
        if t < len(steps):
            x = np.linspace(low, high, steps[t] + 1)
            weight = special.softmax(above * special.log_expit(x) + below * special.log_expit(-x))
        else:
            x, weight = _Z, _WEIGHT
        rows, at_once = np.flatnonzero(tier == t), _AT_ONCE // len(x)
        for some in np.split(rows, range(at_once, len(rows), at_once)):
            if t < len(steps):
                found[some] = weight @ special.ndtr((x[:, None] - location[some]) / scale[some])
            else:
                found[some] = weight @ special.betaincc(
                    above, below, special.expit(location[some] + scale[some] * x[:, None])
                )
    return found


def quantile(share: Draws, n: np.ndarray, location: Draws, scale: Draws) -> Draws:
    """Return the least counts whose probability of as many or fewer exceeds a share.

    Parameters
    ----------
    share
        From 0 to below 1.
    n, location, scale
        As :func:`probability_up_to` takes them, of the shape of ``share`` or one that broadcasts.

    Returns
    -------
    numpy.ndarray
        Whole numbers, of the shape of ``share``.

    Examples
    --------
    >>> quantile(np.array([0.124, 0.126, 0.9]), np.array(3), np.zeros(3), np.full(3, 1e-9)).tolist()
    [0, 1, 3]
    """
    low, high = np.zeros(share.shape, dtype=int), np.broadcast_to(n, share.shape).astype(int)
    while (low < high).any():
        middle = (low + high) // 2
        enough = probability_up_to(middle, n, location, scale) > share
        low, high = np.where(enough | (low == high), low, middle + 1), np.where(enough, middle, high)
    return low
