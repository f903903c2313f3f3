"""Accuracy of a normal marker for an outcome that is logistic in it: population quantities by quadrature.

Everywhere t ~ N(0, 1) is the standardised marker, the chance of the outcome at t is the mean over people i of
``logit^-1(intercept_i + steepness t)``, and a test is positive below a cutoff. All functions work on every draw at
once: ``intercepts`` has shape (draws, people), ``steepness`` (draws,).
"""

import numpy as np
from scipy import integrate, special

from bayesdep.numerics.draws import slices_of_draws
from bayesdep.numerics.normal import LOG_2_PI

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(61)
_REACH = 80.0  # twice the log density at which the normal distribution is cut off: exp(-40)
_GRID = np.linspace(-6.5, 6.5, 261)
_DRAWS_AT_ONCE = 200


def normal_nodes(lower: np.ndarray, upper: np.ndarray, nodes: int = 61) -> tuple[np.ndarray, np.ndarray]:
    """Return a quadrature rule for the standard normal distribution on intervals.

    Gauss-Legendre on the part of the interval where the density is above exp(-40) of its largest value there.

    Parameters
    ----------
    lower, upper
        Ends, shape (...), possibly infinite.
    nodes
        Number of nodes.

    Returns
    -------
    tuple of numpy.ndarray
        Nodes and logs of their weights, shape (..., nodes): the weights sum to the interval's probability.

    Examples
    --------
    >>> z, log_weight = normal_nodes(np.array(-np.inf), np.array(-1.96))
    >>> round(float(np.exp(log_weight).sum()), 4)
    0.025
    """
    flip = lower > 0  # work on the left, where the upper end is where the density is largest
    a, b = np.where(flip, -upper, lower), np.where(flip, -lower, upper)
    b = np.minimum(b, np.sqrt(_REACH))
    a = np.maximum(a, np.where(b > 0, -np.sqrt(_REACH), -np.sqrt(np.minimum(b, 0) ** 2 + _REACH)))
    x, w = (_NODES, _WEIGHTS) if nodes == len(_NODES) else np.polynomial.legendre.leggauss(nodes)
    half = ((b - a) / 2)[..., None]
    z = ((a + b) / 2)[..., None] + half * x
    log_weight = np.log(half * w) - z**2 / 2 - LOG_2_PI / 2
    return np.where(flip[..., None], -z, z), log_weight


def chance(t: np.ndarray, intercepts: np.ndarray, steepness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the chance of the outcome at standardised markers, and of its absence.

    Parameters
    ----------
    t
        Shape (draws, points).
    intercepts, steepness
        As everywhere in this module.

    Returns
    -------
    tuple of numpy.ndarray
        Shape (draws, points) each; both are right where they are small.
    """
    yes, no = np.zeros((2, *t.shape))
    for intercept in intercepts.T:
        yes += special.expit(intercept[:, None] + steepness[:, None] * t)
        no += special.expit(-intercept[:, None] - steepness[:, None] * t)
    return yes / intercepts.shape[1], no / intercepts.shape[1]


def at_cutoff(
    cutoff: np.ndarray, intercepts: np.ndarray, steepness: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the shares of true and false positives and negatives of a test.

    Parameters
    ----------
    cutoff
        Standardised cutoff, shape (draws,); the test is positive below it.
    intercepts, steepness
        As everywhere in this module.

    Returns
    -------
    tuple of numpy.ndarray
        Positive with the outcome, positive without it, negative with it, negative without it: shares of all people.
    """
    infinite = np.full_like(cutoff, np.inf)
    shares = []
    for lower, upper in ((-infinite, cutoff), (cutoff, infinite)):
        t, log_weight = normal_nodes(lower, upper)
        yes, no = chance(t, intercepts, steepness)
        shares += [(np.exp(log_weight) * p).sum(axis=-1) for p in (yes, no)]
    return shares[0], shares[1], shares[2], shares[3]


def roc(intercepts: np.ndarray, steepness: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the area under the ROC curve and the curve.

    Parameters
    ----------
    intercepts, steepness
        As everywhere in this module.
    rates
        False-positive rates, strictly between 0 and 1.

    Returns
    -------
    tuple of numpy.ndarray
        The probability that a person with the outcome has the lower marker, shape (draws,); the sensitivity at each
        rate, shape (draws, rates).
    """
    parts = [_roc(intercepts[i], steepness[i], rates) for i in slices_of_draws(len(steepness), elements=len(_GRID))]
    areas, curves = zip(*parts, strict=True)
    return np.concatenate(areas), np.concatenate(curves)


def _roc(intercepts: np.ndarray, steepness: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    yes, no = chance(np.broadcast_to(_GRID, (len(steepness), len(_GRID))), intercepts, steepness)
    normal = np.exp(-(_GRID**2) / 2)

    def distribution(density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cumulative = integrate.cumulative_simpson(density, x=_GRID, axis=-1, initial=0)
        cumulative = np.maximum.accumulate(cumulative, axis=-1)
        return density / cumulative[:, -1:], cumulative / cumulative[:, -1:]

    (f1, true), (f0, false) = distribution(normal * yes), distribution(normal * no)
    area = np.trapezoid(true * f0, _GRID, axis=-1)

    # The curve between two points of the grid: the cubic with their values and slopes, both known.
    row = np.arange(len(steepness))[:, None]
    lifted = (false + 2 * row).ravel()  # rows one after the other, so that one search serves all
    left = np.searchsorted(lifted, (rates + 2 * row).ravel(), side="right").reshape(len(row), -1) - 1
    left = np.clip(left - len(_GRID) * row, 0, len(_GRID) - 2)

    def ends(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.take_along_axis(values, left, -1), np.take_along_axis(values, left + 1, -1)

    (x0, x1), (y0, y1), (slope0, slope1) = ends(false), ends(true), ends(f1 / np.maximum(f0, 1e-300))
    width = np.maximum(x1 - x0, 1e-300)
    u = np.clip((rates - x0) / width, 0, 1)
    cubic = y0 + u**2 * (3 - 2 * u) * (y1 - y0) + width * u * (1 - u) * ((1 - u) * slope0 - u * slope1)
    return area, np.clip(cubic, y0, y1)


def best_cutoff(
    lowest: np.ndarray, highest: np.ndarray, intercepts: np.ndarray, steepness: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cutoff with the largest Youden index (sensitivity + specificity - 1) in a range, and that index.

    The index stops growing where the chance of the outcome equals its overall chance. As that chance is monotone in
    the marker there is one such point: the largest index where low markers go with the outcome, else the smallest, and
    then the best cutoff is an end of the range.

    Parameters
    ----------
    lowest, highest
        The range, standardised, shape (draws,).
    intercepts, steepness
        As everywhere in this module.

    Returns
    -------
    tuple of numpy.ndarray
        Standardised cutoff and index, shape (draws,).
    """
    tp, _, fn, _ = at_cutoff(np.zeros_like(lowest), intercepts, steepness)
    overall = tp + fn

    def beyond(t: np.ndarray) -> np.ndarray:
        """Whether t lies to the right of where the chance is the overall one."""
        return (chance(t[:, None], intercepts, steepness)[0][:, 0] > overall) == (steepness > 0)

    low, high = lowest.copy(), highest.copy()
    for _ in range(45):
        middle = (low + high) / 2
        right = beyond(middle)
        low, high = np.where(right, low, middle), np.where(right, middle, high)
    candidates = [(low + high) / 2, lowest, highest]
    indices = [youden(t, intercepts, steepness) for t in candidates]
    best = np.argmax(indices, axis=0)[None]
    return np.take_along_axis(np.array(candidates), best, 0)[0], np.take_along_axis(np.array(indices), best, 0)[0]


def youden(cutoff: np.ndarray, intercepts: np.ndarray, steepness: np.ndarray) -> np.ndarray:
    """Return the Youden index at a standardised cutoff, shape (draws,)."""
    tp, fp, fn, tn = at_cutoff(cutoff, intercepts, steepness)
    return tp / (tp + fn) - fp / (fp + tn)


def mean_logistic(fixed: np.ndarray, values: np.ndarray, log_weights: np.ndarray) -> np.ndarray:
    """Return E logit^-1(fixed + S) where S is a sum of independent terms, exactly whatever their number.

    As ``tanh(y / 2) = 2 integral_0^inf sin(t y) / sinh(pi t) dt``, the expectation is
    ``1/2 + integral_0^inf Im(exp(i t fixed) prod_k E exp(i t S_k)) / sinh(pi t) dt``. The midpoint rule with step h
    adds up copies of tanh at distances 2 pi / h: an error of exp(-22) with the step below. Cutting off costs
    exp(-7 pi).

    Parameters
    ----------
    fixed
        Shape (draws,).
    values, log_weights
        A quadrature rule for each term, shape (draws, terms, nodes); weights need not sum to one.

    Returns
    -------
    numpy.ndarray
        Shape (draws,).

    Examples
    --------
    >>> value = mean_logistic(np.array([0.3]), np.array([[[1.0], [-0.5]]]), np.zeros((1, 2, 1)))
    >>> bool(abs(value[0] - special.expit(0.8)) < 1e-8)
    True
    """
    weights = np.exp(log_weights - special.logsumexp(log_weights, axis=-1, keepdims=True))
    mean = (weights * values).sum(axis=-1, keepdims=True)
    spread = np.sqrt((weights * (values - mean) ** 2).sum(axis=(-2, -1)))
    reach = np.abs(fixed + mean.sum(axis=(-2, -1))) + 8 * spread
    order = np.argsort(reach)  # draws that need few steps go together, and each part stays in the processor's cache
    found = np.empty(len(fixed))
    for i in range(0, len(fixed), _DRAWS_AT_ONCE):
        part = order[i : i + _DRAWS_AT_ONCE]
        found[part] = _mean_logistic(fixed[part], values[part], weights[part], float(reach[part[-1]]))
    return found


def _mean_logistic(fixed: np.ndarray, values: np.ndarray, weights: np.ndarray, reach: float) -> np.ndarray:
    step = 2 * np.pi / (reach + 22)
    # exp(i t x) at equal steps of t is a power: multiplied, not exponentiated anew
    turned, turn = np.exp(0.5j * step * values), np.exp(1j * step * values)
    whole, turn_whole = np.exp(0.5j * step * fixed), np.exp(1j * step * fixed)
    total = np.full(len(fixed), 0.5)
    for j in range(int(np.ceil(7 / step))):
        together = whole * (weights * turned).sum(axis=-1).prod(axis=-1)
        total += together.imag * step / np.sinh(np.pi * (j + 0.5) * step)
        turned *= turn
        whole *= turn_whole
    return np.clip(total, 1e-12, 1.0)
