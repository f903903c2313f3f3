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

_HERMITE = np.polynomial.hermite_e.hermegauss(61)
_LEGENDRE = np.polynomial.legendre.leggauss(20)


class Marginal(Protocol):
    """A one-dimensional distribution that can be summarised exactly."""

    @property
    def mean(self) -> float: ...  # noqa: D102  (explained by the class)

    @property
    def sd(self) -> float: ...  # noqa: D102

    def cdf(self, x: float) -> float: ...  # noqa: D102

    def quantile(self, p: np.ndarray) -> np.ndarray: ...  # noqa: D102


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

    def expect(self, f: Callable[[np.ndarray], np.ndarray]) -> float:
        """Expectation of a smooth function, by Gauss-Hermite quadrature within each component."""
        nodes, w = _HERMITE
        values = f(self.means[:, None] + self.sds[:, None] * nodes)
        return float(self.weights @ (values @ (w / w.sum())))

    @property
    def mean(self) -> float:  # noqa: D102
        return float(self.weights @ self.means)

    @property
    def sd(self) -> float:  # noqa: D102
        return float(np.sqrt(self.weights @ (self.sds**2 + (self.means - self.mean) ** 2)))

    def cdf(self, x: Any) -> Any:  # noqa: D102
        z = (np.asarray(x, dtype=float)[..., None] - self.means) / self.sds
        return special.ndtr(z) @ self.weights

    def quantile(self, p: Any) -> np.ndarray:  # noqa: D102
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
    def mean(self) -> float:  # noqa: D102
        return self.expect(lambda x: x)

    @property
    def sd(self) -> float:  # noqa: D102
        mean = self.mean
        return float(np.sqrt(self.expect(lambda x: (x - mean) ** 2)))

    @cached_property
    def _cumulative(self) -> Any:
        return interpolate.CubicSpline(self.u, self.weights / (self.u[1] - self.u[0])).antiderivative()

    def cdf(self, x: Any) -> Any:  # noqa: D102
        return self._cumulative(np.clip(self.to_u(np.asarray(x, float)), self.u[0], self.u[-1]))

    def quantile(self, p: Any) -> np.ndarray:  # noqa: D102
        return self.to_x(_invert(self._cumulative, p, self.u[0], self.u[-1]))


@dataclass(frozen=True)
class Function:
    """An increasing function of a distribution whose expectations are known.

    Parameters
    ----------
    of
        The distribution of the argument: a :class:`NormalMixture` or a :class:`Gridded`.
    f, inverse
        The function and its inverse, on arrays.
    """

    of: NormalMixture | Gridded
    f: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray]

    @property
    def mean(self) -> float:  # noqa: D102
        return self.of.expect(self.f)

    @property
    def sd(self) -> float:  # noqa: D102
        mean = self.mean
        return float(np.sqrt(self.of.expect(lambda x: (self.f(x) - mean) ** 2)))

    def cdf(self, x: Any) -> Any:  # noqa: D102
        with np.errstate(divide="ignore"):  # log(0) is the lower end of the support
            return self.of.cdf(self.inverse(np.asarray(x, float)))

    def quantile(self, p: Any) -> np.ndarray:  # noqa: D102
        return self.f(self.of.quantile(p))


def exponential(of: NormalMixture) -> Function:
    """Return the distribution of ``exp(x)``: a ratio, from its logarithm."""
    return Function(of, np.exp, np.log)


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
    def mean(self) -> float:  # noqa: D102
        return self.a / (self.a + self.b)

    @property
    def sd(self) -> float:  # noqa: D102
        return float(stats.beta(self.a, self.b).std())

    def cdf(self, x: Any) -> Any:  # noqa: D102
        return stats.beta.cdf(x, self.a, self.b)

    def quantile(self, p: Any) -> np.ndarray:  # noqa: D102
        return np.asarray(stats.beta.ppf(p, self.a, self.b))

    @property
    def complement(self) -> "BetaMarginal":
        """The distribution of one minus this."""
        return BetaMarginal(self.b, self.a)

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
    """A function of two independent Beta variables, increasing in the first.

    The distribution function is one integral, ``P(f(U, V) <= t) = E_V[F_U(g(t, V))]``, taken over the
    probabilities of V by Gauss-Legendre panels that crowd towards both tails.

    Parameters
    ----------
    u, v
        The two Beta posteriors.
    inverse
        ``g(t, v)``: the u at which ``f(u, v) = t``.
    moments
        First and second moment; infinite where they do not exist.
    span
        Bounds between which quantiles are looked for; below a positive lower bound they are 0, above infinite.
    """

    u: BetaMarginal
    v: BetaMarginal
    inverse: Callable[[np.ndarray, np.ndarray], np.ndarray]
    moments: tuple[float, float]
    span: tuple[float, float]

    @cached_property
    def _nodes(self) -> tuple[np.ndarray, np.ndarray]:
        tails = np.logspace(-12, -1, 12)
        edges = np.concatenate([[0.0], tails, np.linspace(0.1, 0.9, 9)[1:-1], 1 - tails[::-1], [1.0]])
        x, w = _LEGENDRE
        half = np.diff(edges)[:, None] / 2
        p = edges[:-1, None] + half * (1 + x)
        return self.v.quantile(p.ravel()), (half * w).ravel()

    @property
    def mean(self) -> float:  # noqa: D102
        return self.moments[0]

    @property
    def sd(self) -> float:  # noqa: D102
        first, second = self.moments
        return float(np.sqrt(second - first**2)) if np.isfinite(second) else np.inf

    def cdf(self, x: Any) -> Any:  # noqa: D102
        v, w = self._nodes
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            at = np.clip(np.nan_to_num(self.inverse(np.asarray(x, float)[..., None], v), nan=0.0), 0.0, 1.0)
        return self.u.cdf(at) @ w

    def quantile(self, p: Any) -> np.ndarray:  # noqa: D102
        lower, upper = self.span
        p = np.asarray(p, float)
        if lower > 0:  # ratios span many orders of magnitude: bisect on the logarithm
            below, above = self.cdf(np.array([lower, upper]))
            inside = _invert(lambda x: self.cdf(np.exp(x)), np.clip(p, below, above), np.log(lower), np.log(upper))
            # With an empty cell and a weak prior a ratio can lie beyond what a float can tell from 0 or infinity.
            return np.where(p < below, 0.0, np.where(p > above, np.inf, np.exp(inside)))
        return _invert(self.cdf, p, lower, upper)


_WIDE = (1e-300, 1e300)


def ratio(u: BetaMarginal, v: BetaMarginal) -> BetaCombination:
    """Return the distribution of ``u / v``: a risk ratio, or a likelihood ratio."""
    first, second = (u.moment(k) * v.moment(-k) for k in (1, 2))
    return BetaCombination(u, v, lambda t, x: t * x, (first, second), _WIDE)


def odds_ratio(u: BetaMarginal, v: BetaMarginal) -> BetaCombination:
    """Return the distribution of the odds of u over the odds of v."""

    def inverse(t: np.ndarray, x: np.ndarray) -> np.ndarray:
        odds = t * x / (1 - x)
        return np.where(np.isinf(odds), 1.0, odds / (1 + odds))

    first, second = (u.odds_moment(k) * v.odds_moment(-k) for k in (1, 2))
    return BetaCombination(u, v, inverse, (first, second), _WIDE)


def difference(u: BetaMarginal, v: BetaMarginal) -> BetaCombination:
    """Return the distribution of ``u - v``: a risk difference, or Youden's index."""
    mean = u.mean - v.mean
    return BetaCombination(u, v, lambda t, x: t + x, (mean, u.sd**2 + v.sd**2 + mean**2), (-1.0, 1.0))
