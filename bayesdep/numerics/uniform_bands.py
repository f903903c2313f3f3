r"""Simultaneous bands for the empirical distribution function of independent uniform values, exactly.

Of n independent uniform values, the number up to z is Binomial(n, z). At each of the points z = 1/k, ..., (k - 1)/k
this count has a two-sided binomial probability. The test statistic is the minimum of these probabilities over the
points (Saeilynoja, Buerkner and Vehtari 2022, doi:10.1007/s11222-022-10090-6; ArviZ's ``plot_ecdf_pit`` draws the same
bands). ArviZ simulates the distribution of the minimum; here it is computed: counts in k intervals of equal length are
independent Poisson numbers given their sum, so the probability that all counts stay within bounds is a chain of k
convolutions, each cut at the bounds.
"""

from functools import lru_cache

import numpy as np
from scipy import stats

_MOST_POINTS = 100


def points_of(n: int) -> np.ndarray:
    """Return where the distribution function of n values is looked at.

    Parameters
    ----------
    n
        How many values.

    Returns
    -------
    numpy.ndarray
        Evenly spaced between 0 and 1, both left out; n - 1 of them, but at most 99.

    Examples
    --------
    >>> points_of(4)
    array([0.25, 0.5 , 0.75])
    """
    k = min(max(n, 2), _MOST_POINTS)
    return np.arange(1, k) / k


@lru_cache(maxsize=16)
def _pointwise(n: int) -> np.ndarray:
    """Two-sided probability of every count at every point, shape (points, n + 1)."""
    counts, z = np.arange(n + 1), points_of(n)[:, None]
    below = stats.binom.cdf(counts, n, z)
    above = stats.binom.sf(counts - 1, n, z)
    return np.asarray(np.minimum(1.0, 2 * np.minimum(below, above)))


def minimum_probability(values: np.ndarray) -> float:
    """Return the minimum two-sided pointwise probability of an empirical distribution function.

    Parameters
    ----------
    values
        Between 0 and 1, shape (n,).

    Returns
    -------
    float
        Under uniformity it is below g with a probability that :func:`exceeds` gives.
    """
    counts = np.searchsorted(np.sort(values), points_of(len(values)), side="right")
    return float(_pointwise(len(values))[np.arange(len(counts)), counts].min())


@lru_cache(maxsize=4096)
def exceeds(n: int, minimum: float) -> float:
    """Return the probability that n independent uniform values have this minimum or a lower one.

    Parameters
    ----------
    n
        How many values.
    minimum
        Their minimum pointwise probability.

    Returns
    -------
    float
        The P value of the test of uniformity, exact at these points.

    Examples
    --------
    >>> values = np.array([0.1, 0.35, 0.6, 0.85])
    >>> exceeds(4, minimum_probability(values))
    1.0
    """
    within = _pointwise(n) > minimum * (1 + 1e-9)
    # The counts' increments given their sum n are those of independent Poisson numbers with mean n / k.
    step = stats.poisson.pmf(np.arange(n + 1), n / (len(within) + 1))
    weight = np.zeros(n + 1)
    weight[0] = 1.0
    for allowed in within:
        weight = np.convolve(weight, step)[: n + 1] * allowed
    kept = float(weight @ step[::-1]) / float(stats.poisson.pmf(n, n))
    return float(np.clip(1 - kept, 0.0, 1.0))


def band(n: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the band that holds the whole empirical distribution function with a probability.

    Parameters
    ----------
    n
        How many values.
    level
        That probability, or a little more since counts are whole numbers.

    Returns
    -------
    tuple of numpy.ndarray
        Its lower and upper ends at :func:`points_of`, as shares of the values.
    """
    pointwise = _pointwise(n)
    candidates = np.unique(pointwise)
    low, high = (
        -1,
        len(candidates),
    )  # bisection for the highest pointwise probability whose exclusion costs at most 1 - level
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if exceeds(n, float(candidates[middle])) <= 1 - level else (low, middle)
    within = pointwise > (candidates[low] * (1 + 1e-9) if low >= 0 else -1.0)
    return within.argmax(axis=1) / n, (n - within[:, ::-1].argmax(axis=1)) / n
