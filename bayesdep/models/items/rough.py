"""Rough severities from scores alone: where a patient's severity at a visit lies, and how well that is known.

They only choose the coordinates in which severities are sampled (``models/parts/adaptive_effects.py``), so they need
not be right: the mode of a graded response model in which every assessment is somebody else.
"""

import numpy as np
from scipy import optimize, special

from bayesdep.numerics.graded import ends, graded_log_probabilities

_SD_OF_SEVERITY, _SD_OF_LOG_DISCRIMINATION, _SD_OF_LOG_GAP, _SD_OF_FIRST = 2.0, 0.5, 1.5, 5.0
_ITERATIONS = 80
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
    rows, items = score.shape
    most = int(highest.max())
    start = np.concatenate([np.zeros(rows + items), _start_of_thresholds(score, highest, most).ravel()])
    found = optimize.minimize(
        _minus_log_posterior, start, (score, highest), "L-BFGS-B", jac=True, options={"maxiter": _ITERATIONS}
    )
    theta, log_a = found.x[:rows], found.x[rows : rows + items]
    a, unit = np.exp(log_a), np.exp(log_a.mean())
    cuts = _thresholds(found.x[rows + items :].reshape(items, most))
    above, below = ends(theta[:, None] * a, cuts, score, highest)
    curvature = above * (1 - above) + below * (1 - below)
    information = np.maximum((a**2 * curvature).sum(axis=1), _LEAST_INFORMATION)
    estimate = theta + (a * (below - above)).sum(axis=1) / information  # without the pull of the prior
    return estimate * unit, unit / np.sqrt(information)


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


def _thresholds(free: np.ndarray) -> np.ndarray:
    """Thresholds from the first and log distances."""
    return np.asarray(free[:, :1] + np.concatenate([np.zeros_like(free[:, :1]), np.cumsum(np.exp(free[:, 1:]), 1)], 1))


def _minus_log_posterior(free: np.ndarray, score: np.ndarray, highest: np.ndarray) -> tuple[float, np.ndarray]:
    """Minus the log density of scores, severities, discriminations and thresholds, and its gradient."""
    rows, items = score.shape
    theta, log_a = free[:rows], free[rows : rows + items]
    of_items = free[rows + items :].reshape(items, -1)
    a, thresholds = np.exp(log_a), _thresholds(of_items)
    gaps = np.diff(thresholds, axis=1, append=thresholds[:, -1:] + 1)
    inside, by_gap = np.log(-np.expm1(-gaps)), 1 / np.expm1(np.minimum(gaps, 500.0))
    level = theta[:, None] * a
    log_p = graded_log_probabilities(level, thresholds, inside, score, highest)
    above, below = ends(level, thresholds, score, highest)
    slope = below - above
    by_threshold = np.zeros(thresholds.shape)
    for m, top in enumerate(highest):
        y = score[:, m]
        by_threshold[m] += np.bincount(np.clip(y, 0, top - 1), above[:, m], minlength=thresholds.shape[1])
        by_threshold[m] -= np.bincount(np.clip(y - 1, 0, top - 1), below[:, m], minlength=thresholds.shape[1])
        between = np.bincount(y[y >= 0], minlength=top + 1)[1:top] * by_gap[m, : top - 1]
        by_threshold[m, 1:top] += between
        by_threshold[m, : top - 1] -= between
    from_above = np.cumsum(by_threshold[:, ::-1], axis=1)[:, ::-1]
    gradient_items = np.concatenate([from_above[:, :1], from_above[:, 1:] * np.exp(of_items[:, 1:])], axis=1)
    centres = np.where(np.arange(of_items.shape[1]) == 0, _SD_OF_FIRST, _SD_OF_LOG_GAP)
    prior = (theta**2).sum() / _SD_OF_SEVERITY**2 + (log_a**2).sum() / _SD_OF_LOG_DISCRIMINATION**2
    prior += ((of_items / centres) ** 2).sum()
    gradient = np.concatenate([
        (slope * a).sum(axis=1) - theta / _SD_OF_SEVERITY**2,
        (slope * theta[:, None] * a).sum(axis=0) - log_a / _SD_OF_LOG_DISCRIMINATION**2,
        (gradient_items - of_items / centres**2).ravel(),
    ])  # fmt: skip
    return float(prior / 2 - log_p.sum()), -gradient
