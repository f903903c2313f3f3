"""Pareto-smoothed importance weights, from the logarithms of ratios of densities."""

import numpy as np
from arviz_stats.base import array_stats

GOOD_K = 0.7  # Pareto's k up to which means over the weights can be trusted
_FLAT = 1e-9  # range of log ratios that differ by rounding alone
_DEEPEST = 100.0  # below the largest log ratio, where a weight is zero in any sum
_TAIL = 5  # draws from which the shape of a tail can be estimated


def smooth_weights(log_ratio: np.ndarray, relative_ess: float = 1.0) -> tuple[np.ndarray, float]:
    """Smooth importance weights, and estimate how heavy their tail is.

    The largest weights are replaced by quantiles of a generalised Pareto distribution (Vehtari, Simpson, Gelman, Yao
    and Gabry 2024, Journal of Machine Learning Research 25, 72).

    Parameters
    ----------
    log_ratio
        Logarithms of target over sampled density, up to a constant: shape (draws,).
    relative_ess
        Effective number of draws over their number; fewer independent draws need a longer tail.

    Returns
    -------
    weights : numpy.ndarray
        Sum to one, shape (draws,).
    k : float
        Shape of the tail of the weights; above 0.7 means over them are not to be trusted. Minus infinity where all
        weights, or all of the tail, are the same; infinity where the draws are too few or a ratio is not a number.

    Examples
    --------
    >>> ratios = np.random.default_rng(1).pareto(1 / 0.9, 4000) + 1  # a tail of shape 0.9
    >>> bool(smooth_weights(np.log(ratios))[1] > GOOD_K)
    True
    >>> bool(smooth_weights(-np.log(ratios))[1] > GOOD_K)
    False
    """
    log_ratio = np.asarray(log_ratio, dtype=float)
    even = np.full(log_ratio.shape, 1 / len(log_ratio))
    if np.isnan(log_ratio).any() or np.isposinf(log_ratio).any() or np.isneginf(log_ratio).all():
        return even, float("inf")
    log_ratio = np.maximum(log_ratio - log_ratio.max(), -_DEEPEST)
    if np.ptp(log_ratio) < _FLAT:
        return even, -float("inf")
    raw = np.exp(log_ratio)
    raw /= raw.sum()
    tail = int(min(0.2 * len(raw), 3 * np.sqrt(len(raw) / relative_ess)))
    if tail < _TAIL:
        return raw, float("inf")
    if np.ptp(np.sort(log_ratio)[-tail:]) < _FLAT:
        return raw, -float("inf")
    # ArviZ takes log likelihoods of what is left out, whose negatives are the log ratios
    smoothed, k = array_stats.psislw(-log_ratio, r_eff=relative_ess)
    return np.exp(smoothed), float(k) if not np.isnan(k) else float("inf")
