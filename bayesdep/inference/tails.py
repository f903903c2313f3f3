"""Tail probabilities of a distribution that is known by draws, also beyond the most extreme draw."""

import numpy as np
from scipy import special

FEWEST = 200  # draws; with fewer, no tail probability is given
_TAIL = 0.1  # share of the draws, on either side, from which a tail's shape is estimated
_ENOUGH = 20  # with this many draws beyond a number, their share is precise enough
_SHAPES = (-0.2, 0.7)  # from shorter than the normal's at its 90% quantile to heavier than that of a t with two df
_NORMAL = -0.1  # the shape of a normal tail beyond its 90% quantile, by moments
_WORTH = 10  # prior weight of that shape, in draws


class Distribution:
    """A distribution known by draws, with a model of its tails.

    Between the draws it is the empirical distribution. Where fewer than 20 draws lie beyond a number, the excess over
    the 90% quantile (below: over the 10% quantile) is generalised Pareto, its shape and scale by probability-weighted
    moments (Hosking and Wallis 1987, doi:10.1080/00401706.1987.10488243). The shape is shrunk towards that of a normal
    tail with the weight of 10 draws, and bounded. So a tail that is shorter than the normal's is treated as about as
    long, and probabilities beyond it are overestimated rather than underestimated.

    Parameters
    ----------
    draws
        Shape (draws,); values that are not finite are left out.
    """

    def __init__(self, draws: np.ndarray) -> None:
        flat = np.asarray(draws, float).ravel()
        self._sorted = np.sort(flat[np.isfinite(flat)])
        self._upper, self._lower = (_Tail(x) for x in (self._sorted, -self._sorted[::-1]))

    @property
    def is_known(self) -> bool:
        """Whether there are enough draws, and they are not all the same."""
        return len(self._sorted) >= FEWEST and bool(self._sorted[0] < self._sorted[-1])

    def log_sf(self, x: np.ndarray) -> np.ndarray:
        """Log probability at or above x, elementwise."""
        return self._upper.log_beyond(np.asarray(x, float))

    def log_cdf(self, x: np.ndarray) -> np.ndarray:
        """Log probability at or below x, elementwise."""
        return self._lower.log_beyond(-np.asarray(x, float))

    def two_sided(self, x: float) -> float:
        """Twice the smaller tail probability of x; at most 1."""
        log_p = min(float(self.log_sf(np.array(x))), float(self.log_cdf(np.array(x))))
        return float(min(2 * np.exp(log_p), 1.0))

    def normal_scores(self, x: np.ndarray) -> np.ndarray:
        """Return x on the scale on which the distribution is standard normal, with mean ranks for ties.

        Parameters
        ----------
        x
            Any shape.

        Returns
        -------
        numpy.ndarray
            The same shape; values beyond the end of a short tail are 38.
        """
        x = np.asarray(x, float)
        ends = [np.searchsorted(self._sorted, x, side=side) for side in ("left", "right")]
        half = (ends[1] - ends[0]) / (2 * len(self._sorted))
        above, below = (np.exp(p) - half for p in (self.log_sf(x), self.log_cdf(x)))
        with np.errstate(divide="ignore"):  # the probability is 0 beyond the end of a short tail
            upper, lower = (np.log(np.maximum(p, 0.0)) for p in (above, below))
        scores = np.where(upper < lower, -special.ndtri_exp(upper), special.ndtri_exp(lower))
        return np.asarray(np.clip(scores, -38.0, 38.0))


class _Tail:
    """The upper tail of sorted draws."""

    def __init__(self, ordered: np.ndarray) -> None:
        self._sorted = ordered
        self._count = len(ordered)
        size = max(int(_TAIL * self._count), 1)
        self._share = size / max(self._count, 1)
        self._start = ordered[-size - 1] if self._count > size else np.inf
        excess = ordered[-size:] - self._start if self._count > size else np.zeros(1)
        ranks = np.arange(1, len(excess) + 1)
        mean = excess.mean()
        weighted = ((len(excess) - ranks) * excess).sum() / (len(excess) * max(len(excess) - 1, 1))
        shape = 2 - mean / (mean - 2 * weighted) if mean > 2 * weighted else -np.inf
        shrunk = (shape * len(excess) + _NORMAL * _WORTH) / (len(excess) + _WORTH)
        self._shape = float(np.clip(shrunk, *_SHAPES))
        self._scale = mean * (1 - self._shape)  # so that a bounded shape keeps the mean excess

    def log_beyond(self, x: np.ndarray) -> np.ndarray:
        """Log probability at or above x."""
        at_or_above = self._count - np.searchsorted(self._sorted, x, side="left")
        with np.errstate(divide="ignore", invalid="ignore"):
            counted = np.log(at_or_above / self._count)
            over = np.maximum(x - self._start, 0.0) / self._scale
            if abs(self._shape) < 1e-9:
                beyond = -over
            else:
                beyond = -np.log(np.maximum(1 + self._shape * over, 0.0)) / self._shape
            modelled = np.log(self._share) + (beyond if self._scale > 0 else np.where(x > self._start, -np.inf, 0.0))
        return np.asarray(np.where(at_or_above >= min(_ENOUGH, self._share * self._count), counted, modelled))
