"""The normal-normal hierarchy without sampling: quadrature over the spreads, everything else in closed form.

Given the spreads everything is normal, so the posterior of the pooled effect, of slopes, of each study's effect and
of a new study's effect is a mixture of normals over the posterior of the spreads, which has one dimension (two where
studies hold several effects) and is integrated on a grid (Roever 2020, doi:10.18637/jss.v093.i06, section 2).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayesdep.numerics.dependent_effects import Block, groups_of, turned
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.mixtures import Mixture, Mixtures
from bayesdep.numerics.spread_grid import Given, OnSpreads

_WEIGHTLESS = 1e-15  # of the greatest weight


@dataclass(frozen=True)
class NormalNormal(OnSpreads):
    r"""Posterior of ``y ~ N(theta, V)``, ``theta_k ~ N(mu + x_k' slope + u_c, tau)`` by quadrature.

    V is ``diag(se^2)`` unless effects share people. Deviations ``u_c ~ N(0, tau_cluster)`` of clusters, like covariates
    x, only where there are some. With :math:`X` the design (ones, covariates), independent normal priors with
    precisions :math:`P` on the coefficients, and :math:`M = V + \tau^2 I + \tau_c^2 Z Z^\top`, Z saying which effect is
    of which cluster: given the spreads the coefficients b are normal with precision :math:`P + X^\top M^{-1} X`, and
    theta given b and u is normal with mean :math:`B y + (I - B)(X b + Z u)` and covariance :math:`B V`, where
    :math:`B = \tau^2 (V + \tau^2 I)^{-1}`. :mod:`bayesdep.numerics.dependent_effects` makes M diagonal for every tau.

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
    covariance
        Sampling covariance of the effects, shape (studies, studies), positive definite, with ``se**2`` on its diagonal
        and zeros between clusters; None where their errors are independent.

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
    covariance: np.ndarray | None = None

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

    @cached_property
    def _lone(self) -> np.ndarray:
        """Rows whose effects are independent of all others given the coefficients, shape (rows,)."""
        lone = np.ones(len(self.y), bool)
        for rows in groups_of(self.covariance, self.cluster):
            lone[rows] = False
        return np.flatnonzero(lone)

    @cached_property
    def _blocks(self) -> list[tuple[Block, np.ndarray]]:
        """Dependent effects as each subset keeps them: a block for every way in which some are kept, and by which."""
        found = []
        for rows in groups_of(self.covariance, self.cluster):
            patterns, of = np.unique(self._subsets[:, rows] > 0, axis=0, return_inverse=True)
            for i, pattern in enumerate(patterns):
                if pattern.any():
                    found.append((self._block(rows[pattern]), of.ravel() == i))
        return found

    def _block(self, rows: np.ndarray) -> Block:
        inside = None if self.covariance is None else self.covariance[np.ix_(rows, rows)]
        turn, variance = turned(inside, self.se[rows], [np.arange(len(rows))])
        columns = self._columns[rows]
        residual = self.y[rows] - columns @ self._reference
        shared = np.full(len(rows), float(self.cluster is not None))
        return Block(rows, turn, variance, turn.T @ columns, turn.T @ residual, turn.T @ shared)

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
        kept, x = self._subsets[:, self._lone], self._columns[self._lone]
        count = x.shape[1]
        residual = self.y[self._lone] - x @ self._reference
        w = 1 / (self.se[self._lone] ** 2 + tau[:, None] ** 2)

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
        for block, subsets in self._blocks:
            sums = block.sums(tau, tau_cluster)
            gram[subsets] += sums.gram
            score[subsets] += sums.score
            square[subsets] += sums.square
            log_density[subsets] += sums.log_density
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

        There must be a subset for each study, which lacks all of its cluster. Where a study shares people with others
        that are kept, their sampling errors say something of its own.
        """
        weights, tau, between, given = self._nodes
        x = np.broadcast_to(self._columns[:, None], (len(self.y), len(tau), self._columns.shape[1])).copy()
        told = np.tile((self._columns @ self._reference)[:, None], len(tau))
        own = tau**2 + between**2 + self.se[:, None] ** 2
        if self.covariance is not None:
            for block, subsets in self._blocks:
                w = block.weights(tau)
                for k in np.flatnonzero(subsets):
                    shared = block.turn.T @ self.covariance[block.members, k]
                    if shared.any():
                        solved = block.solve(w, between, shared)
                        x[k] -= solved @ block.columns
                        told[k] += solved @ block.residual
                        own[k] -= solved @ shared
        variance = np.einsum("kgi,kgij,kgj->kg", x, given.covariance, x) + own
        mean = told + ((given.mean - self._reference) * x).sum(-1)
        return Mixtures(weights, mean, np.sqrt(variance))

    @property
    def pulls(self) -> np.ndarray:
        """How far the pooled effect's posterior mean follows each study's effect, per unit, tau's posterior as it is.

        Shape (studies,); what the sum lacks of one is the prior's share.
        """
        weights, tau, between, given = self._nodes
        towards = given.covariance[0, :, 0]
        pull = np.zeros((len(tau), len(self.y)))
        lone = self._lone
        w = self._subsets[0, lone] / (self.se[lone] ** 2 + tau[:, None] ** 2)
        pull[:, lone] = w * (towards @ self._columns[lone].T)
        for block in self._first:
            pull[:, block.members] = block.solve(block.weights(tau), between, towards @ block.columns.T) @ block.turn.T
        return np.asarray(weights[0] @ pull)

    @property
    def _first(self) -> list[Block]:
        """Dependent effects as the first subset keeps them."""
        return [block for block, subsets in self._blocks if subsets[0]]

    @property
    def thetas(self) -> Mixtures:
        """Posteriors of the studies' own effects, in the order of ``y``, also of those that the first subset lacks."""
        weights, tau, between, given = self._nodes
        mean, covariance = given.mean[0] - self._reference, given.covariance[0]
        x, kept = self._columns, self._subsets[0]
        # What a study is expected to be, x b + u: linear in b, with a variance of its own where it has a cluster; and
        # how far its own effect pulls it from there.
        shrink = kept * tau[:, None] ** 2 / (self.se**2 + tau[:, None] ** 2)
        towards = (1 - shrink)[..., None] * x
        centre = x @ self._reference + shrink * (self.y - x @ self._reference)
        own = np.where(kept > 0, shrink * self.se**2, tau[:, None] ** 2)
        if self.cluster is not None:  # where nothing of a cluster is kept, its deviation is any
            own = own + np.where(kept > 0, 0.0, between[:, None] ** 2)
        for block in self._first:
            w = block.weights(tau)
            variance, third, last = block.deviation(w, between)
            if self.cluster is not None:
                absent = np.flatnonzero((self.cluster == self.cluster[block.members[0]]) & (kept == 0))
                towards[:, absent] = x[absent] - (variance[:, None] * third)[:, None, :]
                centre[:, absent] = x[absent] @ self._reference + (variance * last)[:, None]
                own[:, absent] = tau[:, None] ** 2 + variance[:, None]
            back = block.variance * w  # 1 - shrink, in the block's directions
            u = back * block.shared
            rows = block.members
            expected = back[..., None] * block.columns - u[..., None] * (variance[:, None] * third)[:, None, :]
            towards[:, rows] = np.einsum("kj,gji->gki", block.turn, expected)
            pulled = (1 - back) * block.residual + u * (variance * last)[:, None]
            centre[:, rows] = x[rows] @ self._reference + pulled @ block.turn.T
            noise = (tau[:, None] ** 2 * back) @ (block.turn**2).T
            own[:, rows] = noise + variance[:, None] * (u @ block.turn.T) ** 2
        means = centre + (towards * mean[:, None, :]).sum(-1)
        sds = np.sqrt(own + np.einsum("gki,gij,gkj->gk", towards, covariance, towards))
        return Mixtures(np.broadcast_to(weights[0], means.T.shape), means.T, sds.T)

    @property
    def theta(self) -> list[Mixture]:
        """Posterior of each study's own effect, in the order of ``y``."""
        return list(self.thetas)

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
            clusters = np.unique(self.cluster)
            deviation = between[:, None] * rng.standard_normal((n, len(clusters)))
            for block in self._first:
                variance, third, last = block.deviation(block.weights(tau), between)
                centre = variance * (last - (third * (b - self._reference)).sum(-1))
                of = np.searchsorted(clusters, self.cluster[block.members[0]])
                deviation[:, of] = rng.normal(centre, np.sqrt(variance))
            drawn |= {"tau_cluster": between, "deviation": deviation}
        return drawn


def _inverse(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverses and log determinants of many small matrices; one by one is a hundred thousand calls' worth faster."""
    if gram.shape[-1] == 1:
        return 1 / gram, np.log(gram[..., 0, 0])
    return np.linalg.inv(gram), np.linalg.slogdet(gram)[1]
