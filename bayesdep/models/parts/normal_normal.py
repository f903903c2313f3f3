"""The normal-normal hierarchy without sampling: quadrature over the spreads, everything else in closed form.

Given the spreads everything is normal, so the posterior of the pooled effect, of slopes, of each study's effect and
of a new study's effect is a mixture of normals over the posterior of the spreads, which has one dimension (two where
studies hold several effects) and is integrated on a grid (Roever 2020, doi:10.18637/jss.v093.i06, section 2).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special

from bayesdep.models.parts.marginals import Gridded
from bayesdep.models.parts.mixtures import Grids, Mixture, Mixtures
from bayesdep.models.parts.priors import Prior
from bayesdep.models.parts.spread_scale import Scale, scale_of

_GRID = 401
_GRID_OF_TWO = 61  # along each of two spreads: integrals to 1e-13, quantiles of the spreads to 1e-5
_NEGLIGIBLE = 36.0  # nats below the peak of the density: 2e-16 of it
_WEIGHTLESS = 1e-15  # of the greatest weight


@dataclass(frozen=True)
class Given:
    """What is known of the coefficients given the spreads.

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


@dataclass(frozen=True)
class NormalNormal:
    r"""Posterior of ``y_k ~ N(theta_k, se_k)``, ``theta_k ~ N(mu + x_k' slope + u_c, tau)`` by quadrature.

    Deviations ``u_c ~ N(0, tau_cluster)`` of clusters, like covariates x, only where there are some. With
    :math:`w_k = 1/(se_k^2 + \tau^2)`, :math:`X` the design (ones, covariates) and independent normal priors with
    precisions :math:`P` on the coefficients: given the spreads these are normal with precision
    :math:`A = P + X^\top V^{-1} X`, :math:`V^{-1}` being :math:`\mathrm{diag}(w)` less, for each cluster,
    :math:`\kappa_c\, w_c w_c^\top`, :math:`\kappa_c = \tau_c^2 / (1 + \tau_c^2 \sum w)` (Woodbury's identity);
    :math:`\theta_k` given everything else is normal with mean :math:`B_k y_k + (1 - B_k)(x_k^\top b + u_c)` and
    variance :math:`B_k se_k^2`, where :math:`B_k = \tau^2 w_k`.

    Parameters
    ----------
    y, se
        Effects and their standard errors, shape (studies,).
    mu_prior
        A Normal prior on the pooled effect; None where it is zero for certain.
    tau_prior
        A prior on the between-study standard deviation; None where it is zero for certain.
    design, slope_prior
        Covariates, shape (studies, covariates), and the Normal prior on every slope; None without covariates.
    cluster, cluster_prior
        Number of the cluster of each effect, shape (studies,), and the prior on the standard deviation between
        clusters; None where every effect stands alone.
    kept
        Which studies each subset keeps, shape (subsets, studies): the posterior of every subset is had at once. All
        studies in one subset unless given. What has no subset in its name is of the first.

    Examples
    --------
    >>> schools = NormalNormal(np.array([28.0, 8, -3, 7, -1, 1, 18, 12]), np.array([15.0, 10, 16, 11, 9, 11, 10, 18]),
    ...                        Prior("Normal", mu=0, sigma=50), Prior("HalfNormal", sigma=25))
    >>> round(schools.mu.mean, 3), round(schools.mu.sd, 3), round(schools.log_marginal, 3)
    (7.835, 4.972, -33.426)
    """

    y: np.ndarray
    se: np.ndarray
    mu_prior: Prior | None
    tau_prior: Prior | None
    design: np.ndarray | None = None
    slope_prior: Prior | None = None
    cluster: np.ndarray | None = None
    cluster_prior: Prior | None = None
    kept: np.ndarray | None = None

    @cached_property
    def _columns(self) -> np.ndarray:
        """Columns of the coefficients: ones for the pooled effect, then covariates; shape (studies, coefficients)."""
        ones = np.ones((len(self.y), 0 if self.mu_prior is None else 1))
        return ones if self.design is None else np.hstack([ones, self.design])

    @cached_property
    def _prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Prior means and precisions of the coefficients."""
        slopes = self._columns.shape[1] - (self.mu_prior is not None)
        priors = [p for p in (self.mu_prior,) if p is not None] + [self.slope_prior] * slopes
        given = [(p["mu"], 1 / p["sigma"] ** 2) for p in priors if p is not None]
        mean, precision = np.array(given, dtype=float).reshape(-1, 2).T
        return mean, precision

    @cached_property
    def _subsets(self) -> np.ndarray:
        return np.ones((1, len(self.y))) if self.kept is None else np.asarray(self.kept, float)

    @cached_property
    def _reference(self) -> np.ndarray:
        """Coefficients near which the arithmetic is done, lest a large mean cost digits of small residuals."""
        return np.asarray(np.linalg.lstsq(self._columns / self.se[:, None], self.y / self.se, rcond=None)[0])

    def given(self, tau: np.ndarray, tau_cluster: np.ndarray | float = 0.0) -> Given:
        """Return the coefficients' posterior given the spreads, for every subset.

        Parameters
        ----------
        tau, tau_cluster
            Standard deviations within and between clusters, shape (nodes,).

        Returns
        -------
        Given
            Means, covariances and the density of the effects.
        """
        kept, x = self._subsets, self._columns
        count = x.shape[1]
        residual = self.y - x @ self._reference
        w = 1 / (self.se**2 + tau[:, None] ** 2)

        def total(of: np.ndarray) -> np.ndarray:
            """Weighted sum over a subset's studies, shape (subsets, nodes)."""
            return np.asarray(kept @ (w * of).T)

        gram = np.empty((len(kept), len(tau), count, count))
        score = np.empty((len(kept), len(tau), count))
        for i in range(count):
            score[..., i] = total(x[:, i] * residual)
            for j in range(i + 1):
                gram[..., i, j] = gram[..., j, i] = total(x[:, i] * x[:, j])
        square, log_density = total(residual**2), kept @ np.log(w / (2 * np.pi)).T / 2
        for c in np.unique(self.cluster) if self.cluster is not None else ():
            members = self.cluster == c
            precision_of = total(members)
            shrink = _own_variance(tau_cluster, precision_of)
            a, b = np.stack([total(members * column) for column in x.T], axis=-1), total(members * residual)
            gram -= shrink[..., None, None] * a[..., :, None] * a[..., None, :]
            score -= (shrink * b)[..., None] * a
            square -= shrink * b**2
            log_density -= np.log1p(np.asarray(tau_cluster) ** 2 * precision_of) / 2
        prior_mean, precision = self._prior
        apart = prior_mean - self._reference
        gram += np.diag(precision)
        score += precision * apart
        covariance, log_determinant = _inverse(gram)
        found = (covariance @ score[..., None])[..., 0]
        log_density += (
            (score * found).sum(-1) - square - (precision * apart**2).sum() + np.log(precision).sum() - log_determinant
        ) / 2
        return Given(self._reference + found, covariance, log_density)

    @cached_property
    def _scales(self) -> list[tuple[Any, Scale]]:
        """Prior and scale of each spread that is not zero for certain, tau first."""
        typical = float(np.median(self.se))
        priors = [self.tau_prior, None if self.cluster is None else self.cluster_prior]
        frozen = [prior.scipy for prior in priors if prior is not None]  # once: scipy takes milliseconds to make one
        found = []
        for prior in frozen:
            lower, upper = prior.support()
            found.append((prior, scale_of(float(lower), float(upper), typical)))
        return found

    def _spreads(self, u: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Standard deviations within and between clusters at points of the grids' scales, shape (points,)."""
        x = [scale.to_x(at) for (_, scale), at in zip(self._scales, u, strict=True)]
        zero = np.zeros_like(u[0]) if u else np.zeros(1)
        return (zero if self.tau_prior is None else x[0], zero if self.cluster is None else x[-1])

    def _log_joint(self, u: list[np.ndarray]) -> np.ndarray:
        """Log density of the effects and of the spreads at points of the grids' scales, shape (subsets, points)."""
        height = self.given(*self._spreads(u)).log_density
        for (prior, scale), at in zip(self._scales, u, strict=True):
            height = height + prior.logpdf(scale.to_x(at)) + scale.log_jacobian(at)
        return np.asarray(height)

    @cached_property
    def _grid(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Even grid along each spread, as wide as some subset's density; and the log density (subsets, nodes) there."""
        size = _GRID if len(self._scales) < 2 else _GRID_OF_TWO
        axes = [np.linspace(*scale.ends, size) for _, scale in self._scales]
        while True:
            height = self._log_joint([g.ravel() for g in np.meshgrid(*axes, indexing="ij")])
            inside = (height > height.max(axis=1, keepdims=True) - _NEGLIGIBLE).any(axis=0)
            inside = inside.reshape([size] * len(axes))
            closer = []
            for i, u in enumerate(axes):
                seen = np.flatnonzero(inside.any(axis=tuple(j for j in range(len(axes)) if j != i)))
                closer.append(np.linspace(u[max(seen[0] - 1, 0)], u[min(seen[-1] + 1, size - 1)], size))
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

    @cached_property
    def _nodes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, Given]:
        """Weights (subsets, nodes) and spreads (nodes,) where any weight is, and the coefficients given these."""
        axes, height = self._grid
        weights = np.exp(height - height.max(axis=1, keepdims=True))
        seen = (weights > _WEIGHTLESS).any(axis=0)
        tau, between = self._spreads([g.ravel()[seen] for g in np.meshgrid(*axes, indexing="ij")])
        weights = weights[:, seen]
        return weights / weights.sum(axis=1, keepdims=True), tau, between, self.given(tau, between)

    @property
    def mus(self) -> Mixtures:
        """Posteriors of the pooled effect, one for each subset."""
        return self.contrasts(np.eye(self._columns.shape[1])[0])

    def contrasts(self, weights: np.ndarray) -> Mixtures:
        """Return the posteriors of a weighted sum of the coefficients, one for each subset.

        Parameters
        ----------
        weights
            Shape (coefficients,): of the pooled effect (where it is not zero for certain), then of the slopes.

        Returns
        -------
        Mixtures
            One row per subset.
        """
        at, _, _, given = self._nodes
        variance = np.einsum("i,sgij,j->sg", weights, given.covariance, weights)
        return Mixtures(at, given.mean @ weights, np.sqrt(variance))

    @property
    def theta_news(self) -> Mixtures:
        """Posteriors of the effect in a new study with all covariates zero, one for each subset."""
        weights, tau, between, given = self._nodes
        new = np.broadcast_to(np.hypot(tau, between), weights.shape)
        if self.mu_prior is None:
            return Mixtures(weights, np.zeros_like(new), new)
        return Mixtures(weights, given.mean[..., 0], np.hypot(np.sqrt(given.covariance[..., 0, 0]), new))

    @property
    def mu(self) -> Mixture:
        """Posterior of the pooled effect: where all covariates are zero."""
        return self.mus[0]

    @property
    def theta_new(self) -> Mixture:
        """Posterior of the effect in a new study with all covariates zero."""
        return self.theta_news[0]

    @property
    def slope(self) -> list[Mixture]:
        """Posterior of each slope, in the order of the covariates."""
        first = int(self.mu_prior is not None)
        return [self.contrasts(row)[0] for row in np.eye(self._columns.shape[1])[first:]]

    @property
    def predictions(self) -> Mixtures:
        """Distributions of the studies' observed effects, study k's given what the k-th subset keeps.

        There must be a subset for each study, which lacks all of its cluster.
        """
        weights, tau, between, given = self._nodes
        x = self._columns
        variance = np.einsum("ki,kgij,kj->kg", x, given.covariance, x) + tau**2 + between**2 + self.se[:, None] ** 2
        return Mixtures(weights, np.einsum("kgi,ki->kg", given.mean, x), np.sqrt(variance))

    @property
    def pulls(self) -> np.ndarray:
        """How far the pooled effect's posterior mean follows each study's effect, per unit, tau's posterior as it is.

        Shape (studies,); what the sum lacks of one is the prior's share.
        """
        weights, tau, between, given = self._nodes
        w = self._subsets[0] / (self.se**2 + tau[:, None] ** 2)
        towards = np.broadcast_to(self._columns, (len(tau), *self._columns.shape)).copy()
        for members, shrink, a, _ in self._deviations(w, between):
            towards[:, members] -= (shrink[:, None] * a)[:, None, :]
        return np.asarray(weights[0] @ (w * np.einsum("gi,gki->gk", given.covariance[0, :, 0], towards)))

    @property
    def tau_clusters(self) -> Grids:
        """Posteriors of the standard deviation between clusters, one for each subset."""
        return self._spread(len(self._scales) - 1)

    @property
    def thetas(self) -> Mixtures:
        """Posteriors of the studies' own effects, in the order of ``y``, also of those that the first subset lacks."""
        weights, tau, between, given = self._nodes
        mean, covariance = given.mean[0] - self._reference, given.covariance[0]
        kept = self._subsets[0]
        w = kept / (self.se**2 + tau[:, None] ** 2)
        # What a study is expected to be, x b + u: linear in b, with a variance of its own where it has a cluster.
        towards = np.broadcast_to(self._columns, (len(tau), *self._columns.shape)).copy()
        centre, own = np.tile(self._columns @ self._reference, (len(tau), 1)), np.zeros((len(tau), len(self.y)))
        for members, shrink, a, b in self._deviations(w, between):
            centre[:, members] += (shrink * b)[:, None]
            own[:, members] = shrink[:, None]
            towards[:, members] -= (shrink[:, None] * a)[:, None, :]
        centre += (towards * mean[:, None, :]).sum(-1)
        variance = own + np.einsum("gki,gij,gkj->gk", towards, covariance, towards)
        shrink = tau[:, None] ** 2 * w
        means = shrink * self.y + (1 - shrink) * centre
        noise = np.where(kept > 0, shrink * self.se**2, tau[:, None] ** 2)
        sds = np.sqrt(noise + (1 - shrink) ** 2 * variance)
        return Mixtures(np.broadcast_to(weights[0], means.T.shape), means.T, sds.T)

    @property
    def theta(self) -> list[Mixture]:
        """Posterior of each study's own effect, in the order of ``y``."""
        return list(self.thetas)

    def _deviations(
        self, w: np.ndarray, between: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """For each cluster: members, variance of its deviation given the coefficients b, and what its mean needs.

        The mean is ``variance * (last - third @ (b - reference))``; ``w`` (nodes, studies) are the precisions.
        """
        residual = self.y - self._columns @ self._reference
        for c in np.unique(self.cluster) if self.cluster is not None else ():
            members = np.flatnonzero(self.cluster == c)
            of = w[:, members]
            yield members, _own_variance(between, of.sum(axis=1)), of @ self._columns[members], of @ residual[members]

    def draw(self, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw independently from the joint posterior.

        Parameters
        ----------
        n
            How many draws.
        rng
            Generator.

        Returns
        -------
        dict of numpy.ndarray
            ``mu`` and ``tau``, shape (n,); ``slope`` (n, covariates) with covariates, and with clusters ``tau_cluster``
            (n,) and ``deviation`` (n, clusters), in the order of their numbers.
        """
        tau, between = self._draw_spreads(n, rng)
        given = self.given(tau, between)
        root = np.linalg.cholesky(given.covariance[0])
        b = given.mean[0] + (root @ rng.standard_normal((*root.shape[:2], 1)))[..., 0]
        first = int(self.mu_prior is not None)
        drawn = {"mu": b[:, 0]} if first else {}
        drawn |= {"tau": tau} if self.tau_prior is not None else {}
        drawn |= {"slope": b[:, first:]} if self.design is not None else {}
        if self.cluster is not None:
            w = self._subsets[0] / (self.se**2 + tau[:, None] ** 2)
            deviations = [
                rng.normal(variance * (last - (third * (b - self._reference)).sum(-1)), np.sqrt(variance))
                for _, variance, third, last in self._deviations(w, between)
            ]
            drawn |= {"tau_cluster": between, "deviation": np.stack(deviations, axis=1)}
        return drawn

    def _draw_spreads(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw the spreads: one by its distribution function, two by rejection from the grid's cells."""
        if len(self._scales) < 2:
            u = [self._scales[0][1].to_u(self._gridded(0).quantile(rng.uniform(size=n)))] if self._scales else []
            tau, between = self._spreads(u)
            return np.broadcast_to(tau, n), np.broadcast_to(between, n)
        axes, height = self._grid
        weights = np.exp(height[0] - height[0].max())
        found: list[np.ndarray] = []
        bound = 0.0
        while sum(map(len, found)) < n:
            cell = rng.choice(len(weights), size=2 * n, p=weights / weights.sum())
            at = np.unravel_index(cell, [len(u) for u in axes])
            points = [u[i] + (u[1] - u[0]) * rng.uniform(-0.5, 0.5, 2 * n) for u, i in zip(axes, at, strict=True)]
            ratio = np.exp(self._log_joint(points)[0] - height[0][cell])
            bound = bound or 1.1 * ratio.max()  # the density over the cell's: hardly above one on a grid this fine
            kept = rng.uniform(size=2 * n) * bound < ratio
            found.append(np.stack(points)[:, kept].T)
        return self._spreads(list(np.concatenate(found)[:n].T))


def _own_variance(between: np.ndarray | float, precision: np.ndarray) -> np.ndarray:
    """Variance of a cluster's deviation given the coefficients, from the sum of its studies' precisions."""
    variance = np.asarray(between) ** 2
    return np.asarray(variance / (1 + variance * precision))


def _inverse(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverses and log determinants of many small matrices; one by one is a hundred thousand calls' worth faster."""
    if gram.shape[-1] == 1:
        return 1 / gram, np.log(gram[..., 0, 0])
    return np.linalg.inv(gram), np.linalg.slogdet(gram)[1]
