"""The normal-normal hierarchy without sampling: quadrature over the spreads, everything else in closed form.

Given the spreads everything is normal, so the posterior of the pooled effect, of slopes, of each study's effect and
of a new study's effect is a mixture of normals over the posterior of the spreads, which has one dimension (two where
studies hold several effects) and is integrated on a grid (Roever 2020, doi:10.18637/jss.v093.i06, section 2).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayesdep.numerics.dependent_effects import Block, Sums, groups_of, independent_directions
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.mixtures import Mixture, Mixtures
from bayesdep.numerics.spread_grid import Coefficients, OnSpreads

_WEIGHTLESS = 1e-15  # of the greatest weight


@dataclass(frozen=True)
class Nodes:
    """The posterior of the spreads on the nodes of a grid that carry any of it, and the coefficients given these.

    Parameters
    ----------
    weights
        Posterior probability of each node, shape (subsets, nodes); each row sums to one.
    tau, tau_cluster
        Standard deviations within and between clusters, shape (nodes,).
    coefficients
        Posterior of the coefficients given the spreads.
    """

    weights: np.ndarray
    tau: np.ndarray
    tau_cluster: np.ndarray
    coefficients: Coefficients


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
        Which studies each subset keeps, shape (subsets, studies): all subsets are computed at once. All studies in one
        subset unless given. Properties in the singular, such as ``mu``, are of the first subset.
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
        pairs = [(p["mu"], 1 / p["sigma"] ** 2) for p in priors if p is not None]
        mean, precision = np.array(pairs, dtype=float).reshape(-1, 2).T
        return mean, precision

    @cached_property
    def _subsets(self) -> np.ndarray:
        return np.ones((1, len(self.y))) if self.kept is None else np.asarray(self.kept, float)

    @cached_property
    def _reference(self) -> np.ndarray:
        """Coefficients from which all are measured: beside a large mean, digits of small residuals would be lost."""
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
        blocks = []
        for rows in groups_of(self.covariance, self.cluster):
            patterns, pattern_of = np.unique(self._subsets[:, rows] > 0, axis=0, return_inverse=True)
            for i, pattern in enumerate(patterns):
                if pattern.any():
                    blocks.append((self._block(rows[pattern]), pattern_of.ravel() == i))
        return blocks

    def _block(self, rows: np.ndarray) -> Block:
        inside = None if self.covariance is None else self.covariance[np.ix_(rows, rows)]
        turn, variance = independent_directions(inside, self.se[rows], [np.arange(len(rows))])
        columns = self._columns[rows]
        residual = self.y[rows] - columns @ self._reference
        shared = np.full(len(rows), float(self.cluster is not None))
        return Block(rows, turn, variance, turn.T @ columns, turn.T @ residual, turn.T @ shared)

    def coefficients_given(self, tau: np.ndarray, tau_cluster: np.ndarray | float = 0.0) -> Coefficients:
        """Return the coefficients' posterior given the spreads, for every subset.

        Parameters
        ----------
        tau, tau_cluster
            Standard deviations within and between clusters, shape (nodes,).

        Returns
        -------
        Coefficients
            Means, covariances and the density of the effects.
        """
        sums = self._sums_of_lone_effects(tau)
        for block, subsets in self._blocks:
            of_block = block.sums(tau, tau_cluster)
            sums.gram[subsets] += of_block.gram
            sums.score[subsets] += of_block.score
            sums.square[subsets] += of_block.square
            sums.log_density[subsets] += of_block.log_density
        prior_mean, precision = self._prior
        offset = prior_mean - self._reference
        gram = sums.gram + np.diag(precision)
        score = sums.score + precision * offset
        covariance, log_determinant = _inverse(gram)
        mean = (covariance @ score[..., None])[..., 0]  # less the reference
        square = (score * mean).sum(-1) - sums.square - (precision * offset**2).sum()
        log_density = sums.log_density + (square + np.log(precision).sum() - log_determinant) / 2
        return Coefficients(self._reference + mean, covariance, log_density)

    def _sums_of_lone_effects(self, tau: np.ndarray) -> Sums:
        """Normal equations of the effects that are independent of all others, by subset and node."""
        kept, x = self._subsets[:, self._lone], self._columns[self._lone]
        count = x.shape[1]
        residual = self.y[self._lone] - x @ self._reference
        w = 1 / (self.se[self._lone] ** 2 + tau[:, None] ** 2)

        def total(values: np.ndarray) -> np.ndarray:
            """Weighted sum over a subset's studies, shape (subsets, nodes)."""
            return np.asarray(kept @ (w * values).T)

        gram = np.empty((len(kept), len(tau), count, count))
        score = np.empty((len(kept), len(tau), count))
        for i in range(count):
            score[..., i] = total(x[:, i] * residual)
            for j in range(i + 1):
                gram[..., i, j] = gram[..., j, i] = total(x[:, i] * x[:, j])
        return Sums(gram, score, total(residual**2), kept @ np.log(w / (2 * np.pi)).T / 2)

    @cached_property
    def nodes(self) -> Nodes:
        """The posterior of the spreads on a grid, and the coefficients given these."""
        axes, height = self._grid
        weights = np.exp(height - height.max(axis=1, keepdims=True))
        counts = (weights > _WEIGHTLESS).any(axis=0)
        tau, tau_cluster = self._spreads([g.ravel()[counts] for g in np.meshgrid(*axes, indexing="ij")])
        weights = weights[:, counts]
        weights = weights / weights.sum(axis=1, keepdims=True)
        return Nodes(weights, tau, tau_cluster, self.coefficients_given(tau, tau_cluster))

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
        b = self.nodes.coefficients
        variance = np.einsum("i,sgij,j->sg", weights, b.covariance, weights)
        return Mixtures(self.nodes.weights, b.mean @ weights, np.sqrt(variance))

    @property
    def theta_news(self) -> Mixtures:
        """Posteriors of the effect in a new study with all covariates zero, one for each subset."""
        nodes, b = self.nodes, self.nodes.coefficients
        spread = np.broadcast_to(np.hypot(nodes.tau, nodes.tau_cluster), nodes.weights.shape)
        if self.mu_prior is None:
            return Mixtures(nodes.weights, np.zeros_like(spread), spread)
        return Mixtures(nodes.weights, b.mean[..., 0], np.hypot(np.sqrt(b.covariance[..., 0, 0]), spread))

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
        that are kept, these also tell something of its sampling error.
        """
        nodes, b = self.nodes, self.nodes.coefficients
        tau, tau_cluster = nodes.tau, nodes.tau_cluster
        # An effect given the coefficients b: mean ``expected + x (b - reference)``, variance ``noise``.
        x = np.broadcast_to(self._columns[:, None], (len(self.y), len(tau), self._columns.shape[1])).copy()
        expected = np.tile((self._columns @ self._reference)[:, None], len(tau))
        noise = tau**2 + tau_cluster**2 + self.se[:, None] ** 2
        if self.covariance is not None:
            for block, subsets in self._blocks:
                w = block.weights(tau)
                for k in np.flatnonzero(subsets):
                    shared = block.turn.T @ self.covariance[block.members, k]
                    if shared.any():
                        solved = block.solve(w, tau_cluster, shared)
                        x[k] -= solved @ block.columns
                        expected[k] += solved @ block.residual
                        noise[k] -= solved @ shared
        variance = np.einsum("kgi,kgij,kgj->kg", x, b.covariance, x) + noise
        mean = expected + ((b.mean - self._reference) * x).sum(-1)
        return Mixtures(nodes.weights, mean, np.sqrt(variance))

    @property
    def pulls(self) -> np.ndarray:
        """Derivative of the pooled effect's posterior mean by each study's effect, given the posterior of the spreads.

        Shape (studies,); what their sum lacks of one is the share of the prior.
        """
        nodes, tau = self.nodes, self.nodes.tau
        towards = nodes.coefficients.covariance[0, :, 0]
        pull = np.zeros((len(tau), len(self.y)))
        lone = self._lone
        w = self._subsets[0, lone] / (self.se[lone] ** 2 + tau[:, None] ** 2)
        pull[:, lone] = w * (towards @ self._columns[lone].T)
        for block in self._blocks_of_first:
            solved = block.solve(block.weights(tau), nodes.tau_cluster, towards @ block.columns.T)
            pull[:, block.members] = solved @ block.turn.T
        return np.asarray(nodes.weights[0] @ pull)

    @property
    def _blocks_of_first(self) -> list[Block]:
        """Dependent effects as the first subset keeps them."""
        return [block for block, subsets in self._blocks if subsets[0]]

    @cached_property
    def thetas(self) -> Mixtures:
        """Posteriors of the studies' own effects, in the order of ``y``, also of those that the first subset lacks."""
        nodes, b = self.nodes, self.nodes.coefficients
        effects = self._lone_effects_given()
        for block in self._blocks_of_first:
            self._replace_by_block(effects, block)
        mean, covariance = b.mean[0] - self._reference, b.covariance[0]
        means = effects.centre + (effects.x * mean[:, None, :]).sum(-1)
        sds = np.sqrt(effects.noise + np.einsum("gki,gij,gkj->gk", effects.x, covariance, effects.x))
        return Mixtures(np.broadcast_to(nodes.weights[0], means.T.shape), means.T, sds.T)

    def _lone_effects_given(self) -> "_EffectsGiven":
        """The studies' own effects given the coefficients, as if each were independent of all others.

        Shrinkage is ``tau^2 / (tau^2 + se^2)``, zero for studies that the first subset lacks.
        """
        tau, x, kept = self.nodes.tau, self._columns, self._subsets[0]
        shrink = kept * tau[:, None] ** 2 / (self.se**2 + tau[:, None] ** 2)
        centre = x @ self._reference + shrink * (self.y - x @ self._reference)
        noise = np.where(kept > 0, shrink * self.se**2, tau[:, None] ** 2)
        if self.cluster is not None:  # of a cluster with no study kept, the deviation has its prior
            noise = noise + np.where(kept > 0, 0.0, self.nodes.tau_cluster[:, None] ** 2)
        return _EffectsGiven((1 - shrink)[..., None] * x, centre, noise)

    def _replace_by_block(self, effects: "_EffectsGiven", block: Block) -> None:
        """Put in the effects of a block, and those of its cluster that the first subset lacks."""
        tau, x, kept = self.nodes.tau, self._columns, self._subsets[0]
        w = block.weights(tau)
        u = block.deviation(w, self.nodes.tau_cluster)
        if self.cluster is not None:
            absent = np.flatnonzero((self.cluster == self.cluster[block.members[0]]) & (kept == 0))
            effects.x[:, absent] = x[absent] - u.mean_slope[:, None, :]
            effects.centre[:, absent] = x[absent] @ self._reference + u.mean_at_reference[:, None]
            effects.noise[:, absent] = tau[:, None] ** 2 + u.variance[:, None]
        rows, turn = block.members, block.turn
        unshrunken = block.variance * w  # one less the shrinkage, in the block's directions
        shared = unshrunken * block.shared
        towards = unshrunken[..., None] * block.columns - shared[..., None] * u.mean_slope[:, None, :]
        effects.x[:, rows] = np.einsum("kj,gji->gki", turn, towards)
        pulled = (1 - unshrunken) * block.residual + shared * u.mean_at_reference[:, None]
        effects.centre[:, rows] = x[rows] @ self._reference + pulled @ turn.T
        of_errors = (tau[:, None] ** 2 * unshrunken) @ (turn**2).T
        effects.noise[:, rows] = of_errors + u.variance[:, None] * (shared @ turn.T) ** 2

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
        tau, tau_cluster = self._draw_spreads(n, rng)
        posterior = self.coefficients_given(tau, tau_cluster)
        root = np.linalg.cholesky(posterior.covariance[0])
        b = posterior.mean[0] + (root @ rng.standard_normal((*root.shape[:2], 1)))[..., 0]
        first = int(self.mu_prior is not None)
        drawn = {"mu": b[:, 0]} if first else {}
        drawn |= {"tau": tau} if self.tau_prior is not None else {}
        drawn |= {"slope": b[:, first:]} if self.design is not None else {}
        if self.cluster is not None:
            clusters = np.unique(self.cluster)
            deviation = tau_cluster[:, None] * rng.standard_normal((n, len(clusters)))
            for block in self._blocks_of_first:
                u = block.deviation(block.weights(tau), tau_cluster)
                centre = u.variance * (u.pull - (u.slope * (b - self._reference)).sum(-1))
                number = np.searchsorted(clusters, self.cluster[block.members[0]])
                deviation[:, number] = rng.normal(centre, np.sqrt(u.variance))
            drawn |= {"tau_cluster": tau_cluster, "deviation": deviation}
        return drawn


@dataclass(frozen=True)
class _EffectsGiven:
    """Studies' own effects given the coefficients b: normal with mean ``centre + x (b - reference)``.

    Parameters
    ----------
    x
        Shape (nodes, studies, coefficients).
    centre, noise
        Mean at the reference and variance, shape (nodes, studies).
    """

    x: np.ndarray
    centre: np.ndarray
    noise: np.ndarray


def _inverse(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverses and log determinants of many small matrices; those of one row by division, which is much faster."""
    if gram.shape[-1] == 1:
        return 1 / gram, np.log(gram[..., 0, 0])
    return np.linalg.inv(gram), np.linalg.slogdet(gram)[1]
