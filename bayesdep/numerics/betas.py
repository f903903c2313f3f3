"""Beta posteriors of probabilities, and their differences and ratios by one-dimensional integrals."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special, stats

from bayesdep.numerics.marginals import Ends, invert

_LEGENDRE = np.polynomial.legendre.leggauss(10)
_TAIL = np.array([1e-14, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5])
_FAR = 500.0  # log odds beyond which a Beta's tail is a power law to double precision


@dataclass(frozen=True)
class BetaMarginal:
    """A Beta posterior.

    Parameters
    ----------
    a, b
        Its parameters.
    counted
        Events and people behind it, where it is the posterior of a probability given these.
    """

    a: float
    b: float
    counted: tuple[int, int] | None = None

    @property
    def ends(self) -> Ends:
        """Where an interval reaches: 0 where nobody had the event, 1 where everybody had it."""
        if self.counted is None:
            return None, None
        events, n = self.counted
        return (0.0 if events == 0 else None), (1.0 if events == n else None)

    def exact_interval(self, level: float) -> tuple[float, float]:
        """Return the interval of Clopper and Pearson (1934, doi:10.1093/biomet/26.4.404): never below its level.

        Parameters
        ----------
        level
            Its coverage at least, whatever the probability.

        Returns
        -------
        tuple of float
            Lower and upper bound; NaN where the counts are not known.

        Examples
        --------
        >>> [round(x, 3) for x in BetaMarginal(0.5, 20.5, counted=(0, 20)).exact_interval(0.95)]
        [0.0, 0.168]
        """
        if self.counted is None:
            return np.nan, np.nan
        events, n = self.counted
        tail = (1 - level) / 2
        lower = 0.0 if events == 0 else stats.beta.ppf(tail, events, n - events + 1)
        upper = 1.0 if events == n else stats.beta.ppf(1 - tail, events + 1, n - events)
        return float(lower), float(upper)

    @property
    def mean(self) -> float:
        return self.a / (self.a + self.b)

    @property
    def sd(self) -> float:
        return float(stats.beta(self.a, self.b).std())

    def cdf(self, x: Any) -> Any:
        return stats.beta.cdf(x, self.a, self.b)

    def quantile(self, p: Any) -> np.ndarray:
        return np.asarray(stats.beta.ppf(p, self.a, self.b))

    @property
    def complement(self) -> "BetaMarginal":
        """The distribution of one minus this."""
        counted = None if self.counted is None else (self.counted[1] - self.counted[0], self.counted[1])
        return BetaMarginal(self.b, self.a, counted)

    def density_of_logit(self, y: np.ndarray) -> np.ndarray:
        """Density of the log odds."""
        log_density = self.a * special.log_expit(y) + self.b * special.log_expit(-y) - special.betaln(self.a, self.b)
        return np.asarray(np.exp(log_density))

    def cdf_of_logit(self, y: np.ndarray) -> np.ndarray:
        """Distribution function at log odds, which may be far beyond those of any float between 0 and 1."""
        left = y <= 0
        a, b = np.where(left, self.a, self.b), np.where(left, self.b, self.a)
        far = np.minimum(a * -np.abs(y) - np.log(a) - special.betaln(self.a, self.b), 0.0)  # a power law out there
        tail = np.where(np.abs(y) > _FAR, np.exp(far), special.betainc(a, b, special.expit(-np.abs(y))))
        return np.where(left, tail, 1 - tail)

    @cached_property
    def logit_edges(self) -> np.ndarray:
        """Log odds at quantiles from 1e-14 to 1 - 1e-14: where to divide an integral over this distribution."""
        return np.concatenate([self._lower_edges, -self.complement._lower_edges[::-1]])

    @property
    def _lower_edges(self) -> np.ndarray:
        log_beta = special.betaln(self.a, self.b)

        def log_of(x: np.ndarray, log_p: np.ndarray, a: float) -> np.ndarray:
            with np.errstate(divide="ignore"):  # log(0) is in the branch that is not taken
                return np.where(x < np.exp(-_FAR), (log_p + np.log(a) + log_beta) / a, np.log(x))

        return log_of(stats.beta.ppf(_TAIL, self.a, self.b), np.log(_TAIL), self.a) - log_of(
            stats.beta.isf(_TAIL, self.b, self.a), np.log1p(-_TAIL), self.b
        )

    def odds_moment(self, k: int) -> float:
        """Expectation of the k-th power of the odds; infinite where it does not exist."""
        if self.a + k <= 0 or self.b - k <= 0:
            return np.inf
        return float(np.exp(special.betaln(self.a + k, self.b - k) - special.betaln(self.a, self.b)))

    def moment(self, k: int) -> float:
        """Expectation of ``x**k``, for negative k too; infinite where it does not exist."""
        if self.a + k <= 0:
            return np.inf
        return float(np.exp(special.betaln(self.a + k, self.b) - special.betaln(self.a, self.b)))


@dataclass(frozen=True)
class BetaCombination:
    """A function of two independent Beta variables, increasing in the first and decreasing in the second.

    The distribution function is one integral over the log odds of V, ``P(f(U, V) <= t) = E_V[F_U(g(t, V))]``, by
    Gauss-Legendre panels whose edges are quantiles of V and the places where ``F_U(g(t, .))`` crosses its own.

    Parameters
    ----------
    u, v
        The two Beta posteriors.
    u_at, v_at
        ``g(t, v)``, the u at which ``f(u, v) = t``, and the v at which it is; from and to log odds.
    moments
        First and second moment; infinite where they do not exist.
    span
        Bounds between which quantiles are looked for; below a positive lower bound they are 0, above infinite.
    ends
        Where an interval reaches if U or V can be at an end of its range; None where they cannot.
    """

    u: BetaMarginal
    v: BetaMarginal
    u_at: Callable[[np.ndarray, np.ndarray], np.ndarray]
    v_at: Callable[[np.ndarray, np.ndarray], np.ndarray]
    moments: tuple[float, float]
    span: tuple[float, float]
    ends: Ends = (None, None)

    @property
    def mean(self) -> float:
        return self.moments[0]

    @property
    def sd(self) -> float:
        first, second = self.moments
        return float(np.sqrt(second - first**2)) if np.isfinite(second) else np.inf

    def cdf(self, x: Any) -> Any:
        t = np.asarray(x, float)[..., None]
        quantiles = self.v.logit_edges
        nodes, w = _LEGENDRE
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # what leaves the support is clipped
            steps = np.clip(self.v_at(t, self.u.logit_edges), quantiles[0], quantiles[-1])
            quantiles = np.broadcast_to(quantiles, (*t.shape[:-1], quantiles.size))
            edges = np.sort(np.concatenate([quantiles, steps], axis=-1), axis=-1)
            half = np.diff(edges)[..., None] / 2
            v = edges[..., :-1, None] + half * (1 + nodes)
            below = self.u.cdf_of_logit(self.u_at(t[..., None], v))
        return (below * self.v.density_of_logit(v) * half * w).sum((-2, -1))

    def quantile(self, p: Any) -> np.ndarray:
        lower, upper = self.span
        p = np.asarray(p, float)
        if lower > 0:  # ratios span many orders of magnitude: bisect on the logarithm
            below, above = self.cdf(np.array([lower, upper]))
            inside = invert(lambda x: self.cdf(np.exp(x)), np.clip(p, below, above), np.log(lower), np.log(upper))
            # With an empty cell and a weak prior a ratio can lie beyond what a float can tell from 0 or infinity.
            return np.where(p < below, 0.0, np.where(p > above, np.inf, np.exp(inside)))
        return invert(self.cdf, p, lower, upper)


_WIDE = (1e-300, 1e300)


def _logit_of_log(log_x: np.ndarray) -> np.ndarray:
    """Log odds from the log of a probability; infinite at and above probability one."""
    return np.where(log_x < 0, log_x - np.log(-np.expm1(np.minimum(log_x, 0.0))), np.inf)


def ratio(u: BetaMarginal, v: BetaMarginal) -> BetaCombination:
    """Return the distribution of ``u / v``: a risk ratio, or a likelihood ratio."""
    first, second = (u.moment(k) * v.moment(-k) for k in (1, 2))
    return BetaCombination(
        u,
        v,
        lambda t, y: _logit_of_log(np.log(np.maximum(t, 0)) + special.log_expit(y)),
        lambda t, y: _logit_of_log(special.log_expit(y) - np.log(np.maximum(t, 0))),
        (first, second),
        _WIDE,
        (u.ends[0], None if v.ends[0] is None else np.inf),
    )


def odds_ratio(u: BetaMarginal, v: BetaMarginal) -> BetaCombination:
    """Return the distribution of the odds of u over the odds of v."""
    first, second = (u.odds_moment(k) * v.odds_moment(-k) for k in (1, 2))
    return BetaCombination(
        u,
        v,
        lambda t, y: y + np.log(np.maximum(t, 0)),
        lambda t, y: y - np.log(np.maximum(t, 0)),
        (first, second),
        _WIDE,
        (
            None if u.ends[0] is None and v.ends[1] is None else 0.0,
            None if u.ends[1] is None and v.ends[0] is None else np.inf,
        ),
    )


def difference(u: BetaMarginal, v: BetaMarginal) -> BetaCombination:
    """Return the distribution of ``u - v``: a risk difference, or Youden's index."""
    mean = u.mean - v.mean
    return BetaCombination(
        u,
        v,
        lambda t, y: special.logit(np.clip(special.expit(y) + t, 0, 1)),
        lambda t, y: special.logit(np.clip(special.expit(y) - t, 0, 1)),
        (mean, u.sd**2 + v.sd**2 + mean**2),
        (-1.0, 1.0),
        (
            None if u.ends[0] is None or v.ends[1] is None else -1.0,
            None if u.ends[1] is None or v.ends[0] is None else 1.0,
        ),
    )
