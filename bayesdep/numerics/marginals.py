"""Distributions known without sampling: the marginals of an exact posterior.

Each has ``mean``, ``sd``, ``cdf`` and ``quantile``; :class:`Function` carries one through a monotone
function. A model that knows its posterior returns these, and they are summarised by the same table as
draws are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from scipy import interpolate, special
from scipy.optimize import elementwise

_DIED_OUT = 1e-6  # share of a moment at the end of its grid below which the moment counts as finite


class Marginal(Protocol):
    """A one-dimensional distribution that can be summarised exactly."""

    @property
    def mean(self) -> float: ...

    @property
    def sd(self) -> float: ...

    def cdf(self, x: float) -> float: ...

    def quantile(self, p: np.ndarray) -> np.ndarray: ...


def invert(cdf: Callable[[np.ndarray], np.ndarray], p: np.ndarray, lower: float, upper: float) -> np.ndarray:
    """Solve ``cdf(x) = p`` between two bounds, all p at once (Chandrupatla's bracketing method)."""
    p = np.asarray(p, float)
    found = elementwise.find_root(lambda x, target: cdf(x) - target, (lower, upper), args=(p,))
    return np.asarray(found.x)


@dataclass(frozen=True)
class NormalMixture:
    """A mixture of normals, such as a normal integrated over a grid of another parameter.

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
        return invert(self.cdf, np.asarray(p, float), (self.means - reach).min(), (self.means + reach).max())


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
        return self.to_x(invert(self._cumulative, p, self.u[0], self.u[-1]))


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
        Whether the mixture's last component is at the end of a grid for a parameter without an upper limit. A moment
        then counts as infinite unless its integrand is negligible there: under a wide prior on tau the ratio in a new
        study has quantiles but no mean.
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


Ends = tuple[float | None, float | None]


def interval(marginal: Marginal, level: float) -> tuple[float, float]:
    """Return the equal-tailed interval; where no event, or nothing but events, was observed, it reaches 0 or 1.

    Brown, Cai and DasGupta (2001, doi:10.1214/ss/1009213286, equations 7 and 8): without an observed event a lower
    bound above 0 would exclude the value that the data support most.

    Parameters
    ----------
    marginal
        Any distribution; one with ``ends`` says where its interval reaches.
    level
        Its probability.

    Returns
    -------
    tuple of float
        Lower and upper bound.

    Examples
    --------
    >>> from bayesdep.numerics.betas import BetaMarginal
    >>> lower, upper = interval(BetaMarginal(0.5, 20.5, counted=(0, 20)), 0.95)
    >>> lower, round(upper, 4)
    (0.0, 0.1166)
    """
    tail = (1 - level) / 2
    lower, upper = marginal.quantile(np.array([tail, 1 - tail]))
    low, high = getattr(marginal, "ends", (None, None))
    return float(lower if low is None else low), float(upper if high is None else high)
