"""How far out a number lies among draws of a distribution, also beyond the last of them."""

import numpy as np
from scipy import special

FEWEST = 200  # draws below which nothing is said of a tail
_TAIL = 0.1  # share of the draws, on either side, that a tail's shape is taken from
_ENOUGH = 20  # draws beyond a number that make their share good enough by itself
_SHAPES = (-0.2, 0.7)  # from the normal's shape at its 90% quantile to heavier ones than a t with two degrees has
_NORMAL = -0.1  # the shape of a normal tail beyond its 90% quantile, as moments tell it
_WORTH = 10  # draws that this is worth beforehand


class Distribution:
    """A distribution known by draws: its distribution function, continued beyond them.

    Between the draws it is the empirical distribution. Where fewer than 20 draws lie beyond a number, the excess over
    the 90% quantile (below: over the 10% quantile) is generalised Pareto, its shape and scale by probability-weighted
    moments (Hosking and Wallis 1987, doi:10.1080/00401706.1987.10488243), the shape drawn to a normal tail's, by 10
    draws' worth, and held between that and those of tails without a variance. So a shorter tail than the normal's
    counts as one as long, which makes what lies beyond it less surprising than it is.

    Parameters
    ----------
    draws
        Shape (draws,); what is not finite is left out.
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
        """Twice the probability of lying as far out as x or further, on its side; 1 at most."""
        log_p = min(float(self.log_sf(np.array(x))), float(self.log_cdf(np.array(x))))
        return float(min(2 * np.exp(log_p), 1.0))

    def normal_scores(self, x: np.ndarray) -> np.ndarray:
        """Return x on the scale on which the distribution is standard normal, equal draws at the middle of their ranks.

        Parameters
        ----------
        x
            Any shape.

        Returns
        -------
        numpy.ndarray
            The same shape; what lies beyond the end of a short tail stands at 38 standard deviations.
        """
        x = np.asarray(x, float)
        ends = [np.searchsorted(self._sorted, x, side=side) for side in ("left", "right")]
        half = (ends[1] - ends[0]) / (2 * len(self._sorted))
        above, below = (np.exp(p) - half for p in (self.log_sf(x), self.log_cdf(x)))
        with np.errstate(divide="ignore"):  # nothing is left beyond the end of a short tail
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
        drawn = (shape * len(excess) + _NORMAL * _WORTH) / (len(excess) + _WORTH)
        self._shape = float(np.clip(drawn, *_SHAPES))
        self._scale = mean * (1 - self._shape)  # so that a shape held at an end keeps the mean excess

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
