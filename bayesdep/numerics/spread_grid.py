"""The posterior of one or two spreads on an even grid, everything else integrated out in closed form."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special

from bayesdep.data.errors import BadInput
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.grid_posterior import ends_of
from bayesdep.numerics.marginals import Gridded
from bayesdep.numerics.mixtures import Grids
from bayesdep.numerics.spread_scale import Scale, scale_of

_GRID = 401
_GRID_OF_TWO = 61  # along each of two spreads: integrals to 1e-13, quantiles of the spreads to 1e-5
_NEGLIGIBLE = 36.0  # nats below the peak of the density: 2e-16 of it


@dataclass(frozen=True)
class Coefficients:
    """Posterior of the coefficients given the spreads: normal.

    Parameters
    ----------
    mean
        Shape (subsets, nodes, coefficients): the pooled effect (where there is one), then the slopes.
    covariance
        Shape (subsets, nodes, coefficients, coefficients).
    log_density
        Log density of the effects given the spreads, coefficients integrated out, shape (subsets, nodes).
    """

    mean: np.ndarray
    covariance: np.ndarray
    log_density: np.ndarray


class OnSpreads:
    """A hierarchy whose density given its spreads is known: the posterior of the spreads, on a grid.

    Attributes ``se``, ``cluster``, ``tau_prior`` and ``cluster_prior`` are those of the hierarchy that derives from it.
    """

    se: np.ndarray
    cluster: np.ndarray | None
    tau_prior: Prior | None
    cluster_prior: Prior | None

    @abstractmethod
    def coefficients_given(self, tau: np.ndarray, tau_cluster: np.ndarray | float = 0.0) -> Coefficients:
        """Return the coefficients' posterior given the spreads, for every subset."""

    @cached_property
    def _scales(self) -> list[tuple[Any, Scale]]:
        """Prior and scale of each spread that is not zero for certain, tau first."""
        typical = float(np.median(self.se))
        priors = [self.tau_prior, None if self.cluster is None else self.cluster_prior]
        frozen = [prior.scipy for prior in priors if prior is not None]  # once: scipy takes milliseconds to make one
        scales = []
        for prior in frozen:
            lower, upper = prior.support()
            scales.append((prior, scale_of(float(lower), float(upper), typical)))
        return scales

    def _spreads(self, u: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Standard deviations within and between clusters at points of the grids' scales, shape (points,)."""
        x = [scale.to_x(points) for (_, scale), points in zip(self._scales, u, strict=True)]
        zero = np.zeros_like(u[0]) if u else np.zeros(1)
        return (zero if self.tau_prior is None else x[0], zero if self.cluster is None else x[-1])

    def _log_joint(self, u: list[np.ndarray]) -> np.ndarray:
        """Log density of the effects and of the spreads at points of the grids' scales, shape (subsets, points)."""
        height = self.coefficients_given(*self._spreads(u)).log_density
        for (prior, scale), x in zip(self._scales, u, strict=True):
            height = height + prior.logpdf(scale.to_x(x)) + scale.log_jacobian(x)
        return np.asarray(height)

    @cached_property
    def _grid(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Even grid along each spread, as wide as some subset's density; and the log density (subsets, nodes) there."""
        size = _GRID if len(self._scales) < 2 else _GRID_OF_TWO
        axes = [np.linspace(*scale.ends, size) for _, scale in self._scales]
        while True:
            height = self._log_joint([g.ravel() for g in np.meshgrid(*axes, indexing="ij")])
            inside = (height > height.max(axis=1, keepdims=True) - _NEGLIGIBLE).any(axis=0)
            if not inside.any():
                raise BadInput(
                    "some effects are so many standard errors apart that no spread between them has a density to "
                    "compute; correct the effect or the standard error that is out of line, or the prior of tau"
                )
            inside = inside.reshape([size] * len(axes))
            closer = [np.linspace(*ends, size) for ends in ends_of(inside, axes)]
            if all(np.ptp(new) > 0.7 * np.ptp(old) for new, old in zip(closer, axes, strict=True)):
                return axes, height
            axes = closer

    @property
    def log_marginals(self) -> np.ndarray:
        """Log marginal likelihood of each subset: the density of its effects with everything integrated out."""
        axes, height = self._grid
        return np.asarray(special.logsumexp(height, axis=1) + sum(np.log(u[1] - u[0]) for u in axes))

    @property
    def log_marginal(self) -> float:
        """Log marginal likelihood: the density of all effects with everything integrated out."""
        return float(self.log_marginals[0])

    def _spread(self, axis: int) -> Grids:
        """Marginal densities of one spread."""
        axes, height = self._grid
        density = np.exp(height - height.max(axis=1, keepdims=True)).reshape(-1, *(len(u) for u in axes))
        others = tuple(i + 1 for i in range(len(axes)) if i != axis)
        return Grids(axes[axis], density.sum(axis=others), self._scales[axis][1].to_x)

    @property
    def taus(self) -> Grids:
        """Posteriors of tau, one for each subset; tau must have a prior."""
        return self._spread(0)

    def _gridded(self, axis: int) -> Gridded:
        grids = self._spread(axis)
        return Gridded(grids.u, grids.density[0], grids.to_x, self._scales[axis][1].to_u)

    @cached_property
    def tau(self) -> Gridded:
        """Posterior of tau; it must have a prior."""
        return self._gridded(0)

    @cached_property
    def tau_cluster(self) -> Gridded:
        """Posterior of the standard deviation between clusters; there must be some."""
        return self._gridded(len(self._scales) - 1)

    @property
    def tau_clusters(self) -> Grids:
        """Posteriors of the standard deviation between clusters, one for each subset."""
        return self._spread(len(self._scales) - 1)

    def _draw_spreads(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw the spreads: one by its distribution function, two by rejection from the grid's cells."""
        if len(self._scales) < 2:
            u = [self._scales[0][1].to_u(self._gridded(0).quantile(rng.uniform(size=n)))] if self._scales else []
            tau, between = self._spreads(u)
            return np.broadcast_to(tau, n), np.broadcast_to(between, n)
        axes, height = self._grid
        weights = np.exp(height[0] - height[0].max())
        accepted: list[np.ndarray] = []
        bound = 0.0
        while sum(map(len, accepted)) < n:
            cell = rng.choice(len(weights), size=2 * n, p=weights / weights.sum())
            node = np.unravel_index(cell, [len(u) for u in axes])
            points = [u[i] + (u[1] - u[0]) * rng.uniform(-0.5, 0.5, 2 * n) for u, i in zip(axes, node, strict=True)]
            ratio = np.exp(self._log_joint(points)[0] - height[0][cell])
            bound = bound or 1.1 * ratio.max()  # the density over that of the cell: hardly above one on so fine a grid
            kept = rng.uniform(size=2 * n) * bound < ratio
            accepted.append(np.stack(points)[:, kept].T)
        return self._spreads(list(np.concatenate(accepted)[:n].T))
