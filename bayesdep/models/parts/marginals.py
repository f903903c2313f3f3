"""Distributions known without sampling: the marginals of an exact posterior.

Each has ``mean``, ``sd``, ``cdf`` and ``quantile``; :class:`Function` carries one through a monotone
function. A story that knows its posterior returns these, and they are summarised by the same table as
draws are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from scipy import interpolate, special, stats
from scipy.optimize import elementwise

_DIED_OUT = 1e-6  # share of a moment at the end of its grid below which the rest counts as captured
_LEGENDRE = np.polynomial.legendre.leggauss(10)
_TAIL = np.array([1e-14, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5])
_FAR = 500.0  # log odds beyond which a Beta's tail is a power law to double precision


class Marginal(Protocol):
    """A one-dimensional distribution that can be summarised exactly."""

    @property
    def mean(self) -> float: ...

    @property
    def sd(self) -> float: ...

    def cdf(self, x: float) -> float: ...

    def quantile(self, p: np.ndarray) -> np.ndarray: ...


def _invert(cdf: Callable[[np.ndarray], np.ndarray], p: np.ndarray, lower: float, upper: float) -> np.ndarray:
    """Solve ``cdf(x) = p`` between two bounds, all p at once (Chandrupatla's bracketing method)."""
    p = np.asarray(p, float)
    found = elementwise.find_root(lambda x, target: cdf(x) - target, (lower, upper), args=(p,))
    return np.asarray(found.x)


@dataclass(frozen=True)
class NormalMixture:
    """A mixture of normals: what integrating a normal over a grid of one other parameter leaves.

    Parameters
    ----------
    weights, means, sds
        Shape (grid,); weights sum to one.
    """

    weights: np.ndarray
    means: np.ndarray
    sds: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.weights @ self.means)

    @property
    def sd(self) -> float:
        return float(np.sqrt(self.weights @ (self.sds**2 + (self.means - self.mean) ** 2)))

    def cdf(self, x: Any) -> Any:
        z = (np.asarray(x, dtype=float)[..., None] - self.means) / self.sds
        return special.ndtr(z) @ self.weights

    def quantile(self, p: Any) -> np.ndarray:
        reach = 40 * self.sds
        return _invert(self.cdf, np.asarray(p, float), (self.means - reach).min(), (self.means + reach).max())


@dataclass(frozen=True)
class Gridded:
    """A density known on an even grid of a transformed scale, such as the logarithm.

    Parameters
    ----------
    u
        Even grid on the transformed scale, shape (grid,), reaching far into both tails.
    density
        Density on that scale (Jacobian included), not necessarily normalised.
    to_x, to_u
        From the transformed scale to the natural one, and back.
    """

    u: np.ndarray
    density: np.ndarray
    to_x: Callable[[np.ndarray], np.ndarray]
    to_u: Callable[[np.ndarray], np.ndarray]

    @cached_property
    def weights(self) -> np.ndarray:
        """Probability carried by each grid point (trapezoidal rule: exponentially accurate for such densities)."""
        return self.density / self.density.sum()

    def expect(self, f: Callable[[np.ndarray], np.ndarray]) -> float:
        """Expectation of a function."""
        return float(self.weights @ f(self.to_x(self.u)))

    @property
    def mean(self) -> float:
        return self.expect(lambda x: x)

    @property
    def sd(self) -> float:
        mean = self.mean
        return float(np.sqrt(self.expect(lambda x: (x - mean) ** 2)))

    @cached_property
    def _cumulative(self) -> Any:
        return interpolate.CubicSpline(self.u, self.weights / (self.u[1] - self.u[0])).antiderivative()

    def cdf(self, x: Any) -> Any:
        return self._cumulative(np.clip(self.to_u(np.asarray(x, float)), self.u[0], self.u[-1]))

    def quantile(self, p: Any) -> np.ndarray:
        return self.to_x(_invert(self._cumulative, p, self.u[0], self.u[-1]))


@dataclass(frozen=True)
class Function:
    """An increasing function of a gridded distribution.

    Parameters
    ----------
    of
        The distribution of the argument.
    f, inverse
        The function and its inverse, on arrays.
    """

    of: Gridded
    f: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray]

    @property
    def mean(self) -> float:
        return self.of.expect(self.f)

    @property
    def sd(self) -> float:
        mean = self.mean
        return float(np.sqrt(self.of.expect(lambda x: (self.f(x) - mean) ** 2)))

    def cdf(self, x: Any) -> Any:
        with np.errstate(divide="ignore"):  # log(0) is the lower end of the support
            return self.of.cdf(self.inverse(np.asarray(x, float)))

    def quantile(self, p: Any) -> np.ndarray:
        return self.f(self.of.quantile(p))


@dataclass(frozen=True)
class Exponential:
    """The exponential of a mixture of normals: a ratio, from its logarithm.

    Parameters
    ----------
    of
        The distribution of the logarithm.
    truncated
        Whether the mixture's last component is where a grid without an upper end was cut off. A moment then counts as
        infinite unless its integrand has died out there: under a wide prior on tau the ratio in a new study has
        quantiles but no mean.
    """

    of: NormalMixture
    truncated: bool = False

    def moment(self, k: int) -> float:
        """Expectation of the k-th power, exactly ``sum w exp(k m + k^2 s^2 / 2)``; infinite where it does not exist."""
        of = self.of
        with np.errstate(divide="ignore"):  # a component without weight adds nothing
            parts = np.log(of.weights) + k * of.means + k**2 * of.sds**2 / 2
        total = special.logsumexp(parts)
        if self.truncated and parts[-1] > total + np.log(_DIED_OUT):
            return np.inf
        return float(np.exp(total))

    @property
    def mean(self) -> float:
        return self.moment(1)

    @property
    def sd(self) -> float:
        second = self.moment(2)
        return float(np.sqrt(max(second - self.mean**2, 0.0))) if np.isfinite(second) else np.inf

    def cdf(self, x: Any) -> Any:
        with np.errstate(divide="ignore"):  # log(0) is the lower end of the support
            return self.of.cdf(np.log(np.asarray(x, float)))

    def quantile(self, p: Any) -> np.ndarray:
        return np.exp(self.of.quantile(p))


@dataclass(frozen=True)
class BetaMarginal:
    """A Beta posterior.

    Parameters
    ----------
    a, b
        Its parameters.
    """

    a: float
    b: float

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
        return BetaMarginal(self.b, self.a)

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
    """

    u: BetaMarginal
    v: BetaMarginal
    u_at: Callable[[np.ndarray, np.ndarray], np.ndarray]
    v_at: Callable[[np.ndarray, np.ndarray], np.ndarray]
    moments: tuple[float, float]
    span: tuple[float, float]

    @property
    def mean(self) -> float:
        return self.moments[0]

    @property
    def sd(self) -> float:
        first, second = self.moments
        return float(np.sqrt(second - first**2)) if np.isfinite(second) else np.inf

    def cdf(self, x: Any) -> Any:
        t = np.asarray(x, float)[..., None]
        own = self.v.logit_edges
        nodes, w = _LEGENDRE
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # what leaves the support is clipped
            steps = np.clip(self.v_at(t, self.u.logit_edges), own[0], own[-1])
            edges = np.sort(np.concatenate([np.broadcast_to(own, (*t.shape[:-1], own.size)), steps], axis=-1), axis=-1)
            half = np.diff(edges)[..., None] / 2
            v = edges[..., :-1, None] + half * (1 + nodes)
            below = self.u.cdf_of_logit(self.u_at(t[..., None], v))
        return (below * self.v.density_of_logit(v) * half * w).sum((-2, -1))

    def quantile(self, p: Any) -> np.ndarray:
        lower, upper = self.span
        p = np.asarray(p, float)
        if lower > 0:  # ratios span many orders of magnitude: bisect on the logarithm
            below, above = self.cdf(np.array([lower, upper]))
            inside = _invert(lambda x: self.cdf(np.exp(x)), np.clip(p, below, above), np.log(lower), np.log(upper))
            # With an empty cell and a weak prior a ratio can lie beyond what a float can tell from 0 or infinity.
            return np.where(p < below, 0.0, np.where(p > above, np.inf, np.exp(inside)))
        return _invert(self.cdf, p, lower, upper)


_WIDE = (1e-300, 1e300)


def _logit_of_log(log_x: np.ndarray) -> np.ndarray:
    """Log odds from the log of a probability; infinite at and above one."""
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
    )
