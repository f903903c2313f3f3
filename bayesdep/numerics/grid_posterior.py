"""A posterior of up to four parameters on an even grid: marginal likelihood, marginals and independent draws."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special

from bayesdep.numerics.marginals import Gridded
from bayesdep.numerics.spread_scale import Scale

# Nodes along each axis by how many axes there are: some half a million points at most. The trapezoidal rule converges
# exponentially; twice as many nodes change log marginal likelihoods by less than 1e-5 (tests/test_selection.py).
_NODES = {1: 201, 2: 101, 3: 49, 4: 29}
_NEGLIGIBLE = 32.0  # nats below the peak
_ROUNDS = 12


@dataclass(frozen=True)
class Axis:
    """A parameter of a grid.

    Parameters
    ----------
    prior
        Its prior, a frozen scipy distribution.
    scale
        Where and on which scale its grid is even.
    """

    prior: Any
    scale: Scale


@dataclass(frozen=True)
class GridPosterior:
    """The posterior of a few parameters by the trapezoidal rule on a grid that closes in on it.

    Parameters
    ----------
    axes
        The parameters by name; may be none.
    log_likelihood
        From values by name, arrays that broadcast, to the log likelihood of that shape.
    nodes
        Nodes along each axis; by the number of axes unless given.
    """

    axes: Mapping[str, Axis]
    log_likelihood: Callable[[Mapping[str, np.ndarray]], np.ndarray]
    nodes: int | None = None

    def _log_joint(self, u: list[np.ndarray]) -> np.ndarray:
        """Log density on the grids' scales at points that broadcast."""
        values = {name: axis.scale.to_x(points) for (name, axis), points in zip(self.axes.items(), u, strict=True)}
        height = np.asarray(self.log_likelihood(values))
        for (name, axis), points in zip(self.axes.items(), u, strict=True):
            height = height + axis.prior.logpdf(values[name]) + axis.scale.log_jacobian(points)
        return np.nan_to_num(height, nan=-np.inf, posinf=-np.inf)

    @cached_property
    def _grid(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Even grid along each axis, as wide as the density is; and the log density on it."""
        size = self.nodes or _NODES.get(len(self.axes), 0)
        ends = [axis.scale.ends for axis in self.axes.values()]
        for _ in range(_ROUNDS):
            u = [np.linspace(low, high, size) for low, high in ends]
            height = self._log_joint(list(np.ix_(*u)) if u else [])
            inside = height > height.max() - _NEGLIGIBLE
            closer = ends_of(inside, u)
            if all(new[1] - new[0] > 0.8 * (old[1] - old[0]) for new, old in zip(closer, ends, strict=True)):
                break
            ends = closer
        return u, height

    @property
    def log_marginal(self) -> float:
        """Log marginal likelihood."""
        u, height = self._grid
        return float(special.logsumexp(height) + sum(np.log(nodes[1] - nodes[0]) for nodes in u))

    @cached_property
    def _density(self) -> np.ndarray:
        height = self._grid[1]
        return np.asarray(np.exp(height - height.max()))

    def marginal(self, name: str) -> Gridded:
        """Return the marginal posterior of one parameter."""
        i = list(self.axes).index(name)
        density = self._density.sum(axis=tuple(j for j in range(len(self.axes)) if j != i))
        scale = self.axes[name].scale
        return Gridded(self._grid[0][i], density, scale.to_x, scale.to_u)

    def draw(self, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw independently from the joint posterior, by rejection from the grid's cells."""
        u = self._grid[0]
        if not u or n == 0:
            return {name: np.empty(n) for name in self.axes}
        flat = self._density.ravel()
        height = self._grid[1].ravel()
        accepted: list[np.ndarray] = []
        bound = 0.0
        while sum(map(len, accepted)) < n:
            cell = rng.choice(len(flat), size=2 * n + 100, p=flat / flat.sum())
            node = np.unravel_index(cell, self._density.shape)
            points = [a[i] + (a[1] - a[0]) * rng.uniform(-0.5, 0.5, len(cell)) for a, i in zip(u, node, strict=True)]
            ratio = np.exp(self._log_joint(points) - height[cell])
            bound = bound or 1.2 * float(np.quantile(ratio, 0.999))  # hardly any probability lies beyond it
            kept = rng.uniform(size=len(cell)) * bound < ratio
            accepted.append(np.stack(points)[:, kept].T)
        drawn = np.concatenate(accepted)[:n].T
        return {name: axis.scale.to_x(x) for (name, axis), x in zip(self.axes.items(), drawn, strict=True)}


def ends_of(inside: np.ndarray, axes: Sequence[np.ndarray]) -> list[tuple[float, float]]:
    """Find how far a grid reaches along each axis: to one node beyond the outermost nodes that count.

    Parameters
    ----------
    inside
        Which nodes count, shape (nodes of the first axis, nodes of the second, ...).
    axes
        Nodes along each axis.

    Returns
    -------
    list of tuple of float
        The least and the greatest node of each axis, one further out than the last that counts where there is one.

    Examples
    --------
    >>> ends_of(np.array([False, False, True, False, False]), [np.arange(5.0)])
    [(1.0, 3.0)]
    """
    ends = []
    for i, nodes in enumerate(axes):
        counts = np.flatnonzero(inside.any(axis=tuple(j for j in range(len(axes)) if j != i)))
        ends.append((float(nodes[max(counts[0] - 1, 0)]), float(nodes[min(counts[-1] + 1, len(nodes) - 1)])))
    return ends


def around(centre: float, width: float) -> Scale:
    """Return a scale for a parameter on the real line that is fine where the parameter is expected.

    ``x = centre + width sinh u``: from 200 widths below to 200 above.

    Parameters
    ----------
    centre, width
        Where the parameter is expected, and how far around.

    Returns
    -------
    Scale
        The change of variables.

    Examples
    --------
    >>> scale = around(1.0, 0.2)
    >>> scale.to_x(scale.to_u(np.array([-3.0, 1.0, 1.1]))).round(12).tolist()
    [-3.0, 1.0, 1.1]
    """
    return Scale(
        lambda u: centre + width * np.sinh(u),
        lambda x: np.arcsinh((np.asarray(x, float) - centre) / width),
        lambda u: np.log(width * np.cosh(u)),
        (-6.0, 6.0),
    )
