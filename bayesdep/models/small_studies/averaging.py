"""Averages over models of published effects: the models' probabilities, and the posterior over all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from scipy import special

from bayesdep.models.small_studies.selection import Published
from bayesdep.models.small_studies.settings import Kind
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.grid_posterior import GridPosterior
from bayesdep.numerics.marginals import Marginal

_HALVINGS = 80


@dataclass(frozen=True)
class MixtureWithZero:
    """A mixture of known distributions and of the number zero.

    Parameters
    ----------
    weights
        Of the parts, shape (parts,); they sum to one.
    parts
        Distributions; None for zero.
    """

    weights: np.ndarray
    parts: Sequence[Marginal | None]

    def _weighted(self, value: Callable[[Marginal], Any], of_zero: Any) -> Any:
        """Weighted sum of a value of each part; that of the number zero is given."""
        pairs = zip(self.weights, self.parts, strict=True)
        return sum(w * (of_zero if part is None else value(part)) for w, part in pairs if w > 0)

    @property
    def mean(self) -> float:
        """Mean."""
        return float(self._weighted(lambda part: part.mean, 0.0))

    @property
    def sd(self) -> float:
        """Standard deviation."""
        second = self._weighted(lambda part: part.sd**2 + part.mean**2, 0.0)
        return float(np.sqrt(max(second - self.mean**2, 0.0)))

    def cdf(self, x: Any) -> Any:
        """Distribution function."""
        x = np.asarray(x, float)
        return self._weighted(lambda part: np.asarray(part.cdf(x)), (x >= 0).astype(float))

    def quantile(self, p: Any) -> np.ndarray:
        """Quantiles, by halving between the least and the greatest of the parts'."""
        p = np.asarray(p, float)
        ends = [np.zeros_like(p) if q is None else np.asarray(q.quantile(p)) for q in self.parts]
        used = np.stack([end for end, w in zip(ends, self.weights, strict=True) if w > 1e-12])
        low, high = used.min(axis=0), used.max(axis=0)
        spike = sum(w for w, part in zip(self.weights, self.parts, strict=True) if part is None)
        at_zero = (self.cdf(np.zeros(())) >= p) & (self.cdf(np.zeros(())) - spike < p)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            below = self.cdf(middle) < p
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(np.where(at_zero, 0.0, (low + high) / 2))


@dataclass(frozen=True)
class ModelAverage:
    """The posterior over kinds of models, and of each one's parameters.

    Parameters
    ----------
    kinds
        The models.
    prior
        Their prior probabilities, shape (kinds,).
    posteriors
        One for each.
    """

    kinds: tuple[Kind, ...]
    prior: np.ndarray
    posteriors: tuple[GridPosterior, ...]

    @cached_property
    def log_marginals(self) -> np.ndarray:
        """Log marginal likelihood of each kind."""
        return np.array([posterior.log_marginal for posterior in self.posteriors])

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Posterior probability of each kind."""
        height = np.log(self.prior) + self.log_marginals
        return np.asarray(np.exp(height - special.logsumexp(height)))

    @property
    def log_marginal(self) -> float:
        """Log marginal likelihood of all of them together."""
        return float(special.logsumexp(np.log(self.prior) + self.log_marginals))

    def inclusion(self, component: str) -> tuple[float, float, float]:
        """Return prior and posterior probability of a component, and the Bayes factor for it.

        Parameters
        ----------
        component
            One of :data:`~bayesdep.models.small_studies.settings.COMPONENTS`.

        Returns
        -------
        tuple of float
            Posterior odds over prior odds come last; NaN where the component is in all models or in none.
        """
        has = np.array([kind.has(component) for kind in self.kinds])
        before, after = self.prior[has].sum(), self.probabilities[has].sum()
        if not 0 < before < 1:
            return float(before), float(after), np.nan
        height = np.log(self.prior) + self.log_marginals
        log_odds = special.logsumexp(height[has]) - special.logsumexp(height[~has])
        return float(before), float(after), float(np.exp(log_odds - np.log(before / (1 - before))))

    def marginal(self, name: str) -> MixtureWithZero:
        """Return the posterior of a parameter that is zero where it is absent."""
        parts = [p.marginal(name) if name in p.axes else None for p in self.posteriors]
        return MixtureWithZero(self.probabilities, parts)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Draw kinds and their parameters; NaN where a kind lacks a parameter.

        Parameters
        ----------
        n
            How many draws.
        rng
            Generator.

        Returns
        -------
        tuple
            Number of the kind of each draw, and the parameters by name, shape (n,).
        """
        kind_of = rng.choice(len(self.kinds), size=n, p=self.probabilities)
        names = list(dict.fromkeys(name for posterior in self.posteriors for name in posterior.axes))
        drawn = {name: np.full(n, np.nan) for name in names}
        for i, posterior in enumerate(self.posteriors):
            of_kind = np.flatnonzero(kind_of == i)
            for name, values in posterior.draw(len(of_kind), rng).items():
                drawn[name][of_kind] = values
        return kind_of, drawn


@lru_cache(maxsize=8)
def average(
    y: tuple[float, ...],
    se: tuple[float, ...],
    sign: float,
    steps: tuple[float, ...],
    priors: tuple[tuple[str, Prior], ...],
    kinds: tuple[tuple[Kind, float], ...],
) -> ModelAverage:
    """Average kinds of models; remembered, because a fit asks for it several times.

    Parameters
    ----------
    y, se
        Effects and standard errors.
    sign, steps, priors
        As in :class:`~bayesdep.models.small_studies.selection.Published`.
    kinds
        The models and their prior probabilities.

    Returns
    -------
    ModelAverage
        Computed as far as it is asked for.
    """
    published = Published(np.array(y), np.array(se), sign, steps, dict(priors))
    return ModelAverage(
        tuple(kind for kind, _ in kinds),
        np.array([probability for _, probability in kinds]),
        tuple(published.posterior(kind) for kind, _ in kinds),
    )
