"""Rough severities from scores alone: where a patient's severity at a visit lies, and how well that is known.

They only choose the coordinates in which severities are sampled (``models/parts/adaptive_effects.py``), so they need
not be right, but chains mix slowly where they are off by more than their errors. A graded response model in which every
assessment is somebody else, with a standard normal severity that is integrated out: were severities parameters, as many
as assessments, one item's discrimination would grow until the severities followed that item alone (Neyman and Scott
1948, doi:10.2307/1914288).
"""

import numpy as np
from scipy import optimize, special

from bayesdep.numerics.graded import ends, graded_log_probabilities

_SD_OF_LOG_DISCRIMINATION, _SD_OF_MEAN, _SD_OF_LOG_GAP, _SD_OF_FIRST = 0.5, 1.0, 1.5, 5.0
_ROUNDS, _ITERATIONS, _NEWTON, _FARTHEST_STEP = 5, 40, 20, 2.0
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
UNKNOWN = 1e3  # standard error of a severity at a visit that was missed
_LEAST_INFORMATION = 1e-2


def rough_severities(score: np.ndarray, highest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the severity of every assessment, on a scale on which the typical item has discrimination 1.

    Parameters
    ----------
    score
        Whole numbers, -1 where missing; shape (assessments, items).
    highest
        Highest score of each item.

    Returns
    -------
    tuple of numpy.ndarray
        Estimates and standard errors, shape (assessments,).

    Examples
    --------
    >>> score = np.array([[0, 0, 0], [1, 1, 1], [2, 2, 2]])
    >>> estimate, error = rough_severities(score, np.array([2, 2, 2]))
    >>> bool(np.all(np.diff(estimate) > 0)), error.shape
    (True, (3,))
    """
    items, most = score.shape[1], int(highest.max())
    free = np.concatenate([np.zeros(items), _start_of_thresholds(score, highest, most).ravel()])
    for _ in range(_ROUNDS):  # the nodes of the quadrature follow the items
        theta, _, information = _modes(free, score, highest)
        places, log_weights = _places(theta, 1 / np.sqrt(1 + information))
        given = (places, log_weights, score, highest)
        free = optimize.minimize(
            _minus_log_posterior, free, given, "L-BFGS-B", jac=True, options={"maxiter": _ITERATIONS}
        ).x
    theta, slope, information = _modes(free, score, highest)
    unit = np.exp(free[:items].mean())
    information = np.maximum(information, _LEAST_INFORMATION)
    return (theta + slope / information) * unit, unit / np.sqrt(information)  # without the pull of the prior


def _start_of_thresholds(score: np.ndarray, highest: np.ndarray, most: int) -> np.ndarray:
    """The first threshold and log distances of each item, from how often its scores are had."""
    start = np.zeros((score.shape[1], most))
    for m, top in enumerate(highest):
        counts = np.bincount(score[score[:, m] >= 0, m], minlength=top + 1) + 0.5
        up_to = np.cumsum(counts)[:-1] / counts.sum()
        logits = special.logit(up_to)
        start[m, 0] = logits[0]
        start[m, 1:top] = np.log(np.diff(logits))
    return start


def _of_items(free: np.ndarray, items: int) -> tuple[np.ndarray, np.ndarray]:
    """Discriminations, and thresholds from the first and log distances."""
    of_items = free[items:].reshape(items, -1)
    steps = np.cumsum(np.exp(of_items[:, 1:]), axis=1)
    return np.exp(free[:items]), of_items[:, :1] + np.concatenate([np.zeros((items, 1)), steps], axis=1)


def _modes(free: np.ndarray, score: np.ndarray, highest: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mode of every assessment's severity, and slope and information of its scores there."""
    a, thresholds = _of_items(free, score.shape[1])
    theta = np.zeros(len(score))
    for step in range(_NEWTON + 1):
        above, below = ends(theta[:, None] * a, thresholds, score, highest)
        slope = (a * (below - above)).sum(axis=1)
        information = (a**2 * (above * (1 - above) + below * (1 - below))).sum(axis=1)
        if step < _NEWTON:
            theta = theta + np.clip((slope - theta) / (1 + information), -_FARTHEST_STEP, _FARTHEST_STEP)
    return theta, slope, information


def _places(mode: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of adaptive quadrature over a standard normal severity, shape (node, assessment), and log weights."""
    places = mode + width * _NODES[:, None]
    return places, np.log(_WEIGHTS / np.sqrt(2 * np.pi) * width[:, None]).T + (_NODES[:, None] ** 2 - places**2) / 2


def _minus_log_posterior(
    free: np.ndarray, places: np.ndarray, log_weights: np.ndarray, score: np.ndarray, highest: np.ndarray
) -> tuple[float, np.ndarray]:
    """Minus the log density of scores, discriminations and thresholds, severities integrated out, and its gradient."""
    items = score.shape[1]
    a, thresholds = _of_items(free, items)
    log_a, of_items = free[:items], free[items:].reshape(items, -1)
    gaps = np.diff(thresholds, axis=1, append=thresholds[:, -1:] + 1)
    inside, by_gap = np.log(-np.expm1(-gaps)), 1 / np.expm1(np.minimum(gaps, 500.0))
    level = places[..., None] * a
    log_p = graded_log_probabilities(level, thresholds, inside, score, highest).sum(axis=-1) + log_weights
    log_integral = special.logsumexp(log_p, axis=0)
    share = np.exp(log_p - log_integral)  # of each node: slopes are means over the integrand (Fisher's identity)
    above, below = ends(level, thresholds, score, highest)
    by_log_a = np.einsum("qr,qrm,qrm->m", share, below - above, level)
    above, below = (np.einsum("qr,qrm->rm", share, x) for x in (above, below))
    by_threshold = np.zeros(thresholds.shape)
    for m, top in enumerate(highest):
        y = score[:, m]
        by_threshold[m] += np.bincount(np.clip(y, 0, top - 1), above[:, m], minlength=thresholds.shape[1])
        by_threshold[m] -= np.bincount(np.clip(y - 1, 0, top - 1), below[:, m], minlength=thresholds.shape[1])
        between = np.bincount(y[y >= 0], minlength=top + 1)[1:top] * by_gap[m, : top - 1]
        by_threshold[m, 1:top] += between
        by_threshold[m, : top - 1] -= between
    from_above = np.cumsum(by_threshold[:, ::-1], axis=1)[:, ::-1]
    by_free = np.concatenate([from_above[:, :1], from_above[:, 1:] * np.exp(of_items[:, 1:])], axis=1)
    sds = np.where(np.arange(of_items.shape[1]) == 0, _SD_OF_FIRST, _SD_OF_LOG_GAP)
    mean = log_a.mean()
    of_mean, around = mean / _SD_OF_MEAN**2, (log_a - mean) / _SD_OF_LOG_DISCRIMINATION**2
    prior = mean * of_mean + ((log_a - mean) * around).sum() + ((of_items / sds) ** 2).sum()
    gradient = np.concatenate([by_log_a - around - of_mean / items, (by_free - of_items / sds**2).ravel()])
    return float(prior / 2 - log_integral.sum()), -gradient
