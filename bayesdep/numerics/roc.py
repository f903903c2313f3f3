"""Accuracy of a normal marker for an outcome that is logistic in it: population quantities by quadrature.

The standardised marker is t ~ N(0, 1), the chance of the outcome at t is the mean over people i of
``logit^-1(intercept_i + steepness t)``, and a test is positive below a cutoff. All functions work on every draw at
once.
"""

import numpy as np
from scipy import integrate, special

from bayesdep.numerics.draws import slices_of_draws
from bayesdep.numerics.normal import LOG_2_PI

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(61)
_REACH = 80.0  # z^2 at which the normal distribution is cut off: a density of exp(-40) of its largest
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
    flip = lower > 0  # on the left of 0, so that the density is largest at the upper end
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
        Standardised markers, shape (draws, points).
    intercepts
        Each person's log odds of the outcome at t = 0, shape (draws, people).
    steepness
        Change of the log odds per standard deviation of the marker, shape (draws,).

    Returns
    -------
    tuple of numpy.ndarray
        Shape (draws, points) each, means over people; both are accurate where they are small.
    """
    yes, no = np.zeros((2, *t.shape))
    for intercept in intercepts.T:
        yes += special.expit(intercept[:, None] + steepness[:, None] * t)
        no += special.expit(-intercept[:, None] - steepness[:, None] * t)
    return yes / intercepts.shape[1], no / intercepts.shape[1]


def shares_at_cutoff(
    cutoff: np.ndarray, intercepts: np.ndarray, steepness: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the shares of true and false positives and negatives of a test.

    Parameters
    ----------
    cutoff
        Standardised cutoff, shape (draws,); the test is positive below it.
    intercepts
        Each person's log odds of the outcome at t = 0, shape (draws, people).
    steepness
        Change of the log odds per standard deviation of the marker, shape (draws,).

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
    intercepts
        Each person's log odds of the outcome at t = 0, shape (draws, people).
    steepness
        Change of the log odds per standard deviation of the marker, shape (draws,).
    rates
        False-positive rates, strictly between 0 and 1.

    Returns
    -------
    tuple of numpy.ndarray
        The probability that a person with the outcome has the lower marker, shape (draws,); the sensitivity at each
        rate, shape (draws, rates).
    """
    slices = slices_of_draws(len(steepness), elements=len(_GRID))
    parts = [_area_and_curve(intercepts[i], steepness[i], rates) for i in slices]
    areas, curves = zip(*parts, strict=True)
    return np.concatenate(areas), np.concatenate(curves)


def _area_and_curve(intercepts: np.ndarray, steepness: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The marker's distributions with and without the outcome on a grid; the curve sets one against the other."""
    yes, no = chance(np.broadcast_to(_GRID, (len(steepness), len(_GRID))), intercepts, steepness)
    normal = np.exp(-(_GRID**2) / 2)
    density_with, sensitivity = _distribution_on_grid(normal * yes)
    density_without, false_positive = _distribution_on_grid(normal * no)
    area = np.trapezoid(sensitivity * density_without, _GRID, axis=-1)
    slope = density_with / np.maximum(density_without, 1e-300)  # of the curve
    return area, _hermite(rates, false_positive, sensitivity, slope)


def _distribution_on_grid(density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Density and distribution function on the grid, from a density that need not integrate to one."""
    cumulative = integrate.cumulative_simpson(density, x=_GRID, axis=-1, initial=0)
    cumulative = np.maximum.accumulate(cumulative, axis=-1)  # where it rounds to nothing, it may fall
    return density / cumulative[:, -1:], cumulative / cumulative[:, -1:]


def _hermite(at: np.ndarray, x: np.ndarray, y: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Curves between known points: on each interval the cubic with the values and slopes of its two ends.

    Shape of ``at`` (rates,), of the curves' points x, y and slopes (draws, grid), of the result (draws, rates). x is
    between 0 and 1 and does not decrease along a row.
    """
    # The interval in which each rate lies, in every row. With 2 added per row, all rows one after the other do not
    # decrease either, so that one search serves them all.
    row = np.arange(len(x))[:, None]
    left = np.searchsorted((x + 2 * row).ravel(), (at + 2 * row).ravel(), side="right").reshape(len(row), -1) - 1
    left = np.clip(left - x.shape[1] * row, 0, x.shape[1] - 2)

    def ends(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.take_along_axis(values, left, -1), np.take_along_axis(values, left + 1, -1)

    (x0, x1), (y0, y1), (slope0, slope1) = ends(x), ends(y), ends(slope)
    width = np.maximum(x1 - x0, 1e-300)
    u = np.clip((at - x0) / width, 0, 1)  # place in the interval, 0 to 1
    cubic = y0 + u**2 * (3 - 2 * u) * (y1 - y0) + width * u * (1 - u) * ((1 - u) * slope0 - u * slope1)
    return np.clip(cubic, y0, y1)


def best_cutoff(
    lowest: np.ndarray, highest: np.ndarray, intercepts: np.ndarray, steepness: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cutoff with the largest Youden index (sensitivity + specificity - 1) in a range, and that index.

    The index stops growing where the chance of the outcome equals its overall chance. As that chance is monotone in
    the marker there is one such point: the maximum where low markers go with the outcome, else the minimum, and then
    the best cutoff is an end of the range.

    Parameters
    ----------
    lowest, highest
        The range, standardised, shape (draws,).
    intercepts
        Each person's log odds of the outcome at t = 0, shape (draws, people).
    steepness
        Change of the log odds per standard deviation of the marker, shape (draws,).

    Returns
    -------
    tuple of numpy.ndarray
        Standardised cutoff and index, shape (draws,).
    """
    tp, _, fn, _ = shares_at_cutoff(np.zeros_like(lowest), intercepts, steepness)
    overall = tp + fn
    # The point where the chance is the overall one, by bisection.
    low, high = lowest.copy(), highest.copy()
    for _ in range(45):
        middle = (low + high) / 2
        is_right_of_it = (chance(middle[:, None], intercepts, steepness)[0][:, 0] > overall) == (steepness > 0)
        low, high = np.where(is_right_of_it, low, middle), np.where(is_right_of_it, middle, high)
    candidates = [(low + high) / 2, lowest, highest]
    indices = [youden(t, intercepts, steepness) for t in candidates]
    best = np.argmax(indices, axis=0)[None]
    return np.take_along_axis(np.array(candidates), best, 0)[0], np.take_along_axis(np.array(indices), best, 0)[0]


def youden(cutoff: np.ndarray, intercepts: np.ndarray, steepness: np.ndarray) -> np.ndarray:
    """Return the Youden index at a standardised cutoff, shape (draws,)."""
    tp, fp, fn, tn = shares_at_cutoff(cutoff, intercepts, steepness)
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
    order = np.argsort(reach)  # draws that need few steps first, in parts that stay in the processor's cache
    expectation = np.empty(len(fixed))
    for i in range(0, len(fixed), _DRAWS_AT_ONCE):
        part = order[i : i + _DRAWS_AT_ONCE]
        expectation[part] = _mean_logistic(fixed[part], values[part], weights[part], float(reach[part[-1]]))
    return expectation


def _mean_logistic(fixed: np.ndarray, values: np.ndarray, weights: np.ndarray, reach: float) -> np.ndarray:
    """The midpoint rule of :func:`mean_logistic` for draws of which none lies further out than ``reach``."""
    step = 2 * np.pi / (reach + 22)
    # exp(i t x) at equal steps of t is a power: multiplied, not exponentiated anew
    of_values, factor_of_values = np.exp(0.5j * step * values), np.exp(1j * step * values)
    of_fixed, factor_of_fixed = np.exp(0.5j * step * fixed), np.exp(1j * step * fixed)
    total = np.full(len(fixed), 0.5)
    for j in range(int(np.ceil(7 / step))):
        of_sum = of_fixed * (weights * of_values).sum(axis=-1).prod(axis=-1)  # E exp(i t (fixed + S))
        total += of_sum.imag * step / np.sinh(np.pi * (j + 0.5) * step)
        of_values *= factor_of_values
        of_fixed *= factor_of_fixed
    return np.clip(total, 1e-12, 1.0)
