"""Effects that share people or a cluster, in the directions in which their sampling errors are independent."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True)
class Sums:
    """What a block of effects adds to the normal equations of the coefficients.

    With the design X, the residuals r and the covariance M of the effects given the coefficients.

    Parameters
    ----------
    gram
        :math:`X^T M^{-1} X`, shape (nodes, coefficients, coefficients).
    score
        :math:`X^T M^{-1} r`, shape (nodes, coefficients).
    square
        :math:`r^T M^{-1} r`, shape (nodes,).
    log_density
        Log of the normalising constant of the effects' density, shape (nodes,).
    """

    gram: np.ndarray
    score: np.ndarray
    square: np.ndarray
    log_density: np.ndarray


@dataclass(frozen=True)
class Block:
    r"""Effects that are dependent given the coefficients, in the directions in which their sampling errors are not.

    With the sampling covariance :math:`V = Q \Lambda Q^\top`, the covariance of the effects given coefficients and the
    cluster's deviation is :math:`V + \tau^2 I = Q (\Lambda + \tau^2 I) Q^\top`: in the directions Q it is diagonal for
    every tau at once. A cluster's deviation of variance :math:`\tau_c^2` adds :math:`\tau_c^2\, a a^\top` with
    :math:`a = Q^\top 1` there; its inverse follows from Woodbury's identity.

    Parameters
    ----------
    members
        Rows of the table, shape (rows,).
    turn, variance
        Q, shape (rows, rows), and the diagonal of Lambda, shape (rows,).
    columns, residual, shared
        Design (rows, coefficients), effects less what is expected at the reference (rows,) and ones where the rows have
        a deviation in common, zeros where not (rows,): all in the block's directions, ``Q.T @ ...``.
    """

    members: np.ndarray
    turn: np.ndarray
    variance: np.ndarray
    columns: np.ndarray
    residual: np.ndarray
    shared: np.ndarray

    def weights(self, tau: np.ndarray) -> np.ndarray:
        """Precisions in the directions of the block, shape (nodes, rows)."""
        return np.asarray(1 / (self.variance + tau[:, None] ** 2))

    def deviation(self, w: np.ndarray, tau_cluster: np.ndarray | float) -> "Deviation":
        """Return the conditional distribution of the cluster's deviation given the coefficients.

        Parameters
        ----------
        w
            As :meth:`weights` returns them.
        tau_cluster
            Standard deviation between clusters, shape (nodes,).

        Returns
        -------
        Deviation
            Its variance, and how its mean depends on the coefficients.
        """
        shared = w * self.shared
        prior = np.asarray(tau_cluster) ** 2
        variance = np.asarray(prior / (1 + prior * (shared @ self.shared)))
        return Deviation(variance, shared @ self.residual, shared @ self.columns)

    def solve(self, w: np.ndarray, tau_cluster: np.ndarray | float, vectors: np.ndarray) -> np.ndarray:
        """Multiply vectors by the inverse of the effects' covariance given the coefficients.

        Parameters
        ----------
        w, tau_cluster
            As in :meth:`deviation`.
        vectors
            In the block's directions, shape (nodes, rows) or (rows,).

        Returns
        -------
        numpy.ndarray
            Shape (nodes, rows).
        """
        variance = self.deviation(w, tau_cluster).variance
        shared = w * self.shared
        return np.asarray(w * vectors - (variance * (shared * vectors).sum(-1))[:, None] * shared)

    def sums(self, tau: np.ndarray, tau_cluster: np.ndarray | float) -> Sums:
        """Return what the block adds to the normal equations at every node.

        Parameters
        ----------
        tau, tau_cluster
            Standard deviations within and between clusters, shape (nodes,).

        Returns
        -------
        Sums
            Without the prior of the coefficients.
        """
        w = self.weights(tau)
        of = self.deviation(w, tau_cluster)
        x, count = self.columns, self.columns.shape[1]
        products = (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)
        gram = (w @ products).reshape(-1, count, count)
        gram = gram - of.variance[:, None, None] * of.slope[:, :, None] * of.slope[:, None]
        score = w @ (x * self.residual[:, None]) - (of.variance * of.pull)[:, None] * of.slope
        square = w @ self.residual**2 - of.variance * of.pull**2
        ratio = np.asarray(tau_cluster) ** 2 * (w @ self.shared**2)
        log_density = (np.log(w / (2 * np.pi)).sum(1) - np.log1p(ratio)) / 2
        return Sums(gram, score, square, log_density)


@dataclass(frozen=True)
class Deviation:
    """A cluster's deviation given the coefficients b: normal with mean ``variance * (pull - slope @ (b - reference))``.

    Parameters
    ----------
    variance
        Shape (nodes,).
    pull
        Weighted sum of the residuals at the reference, shape (nodes,).
    slope
        By how much that sum falls per unit of each coefficient, shape (nodes, coefficients).
    """

    variance: np.ndarray
    pull: np.ndarray
    slope: np.ndarray

    @property
    def mean_at_reference(self) -> np.ndarray:
        """Mean where the coefficients are those of the reference, shape (nodes,)."""
        return self.variance * self.pull

    @property
    def mean_slope(self) -> np.ndarray:
        """By how much the mean falls per unit of each coefficient, shape (nodes, coefficients)."""
        return self.variance[:, None] * self.slope


def groups_of(covariance: np.ndarray | None, cluster: np.ndarray | None) -> list[np.ndarray]:
    """Say which rows are dependent: those of a cluster or, without clusters, those that share sampling errors.

    Parameters
    ----------
    covariance
        Sampling covariance of the rows, shape (rows, rows); None where errors are independent. Rows of different
        clusters have none.
    cluster
        Number of the cluster of each row; None without clusters.

    Returns
    -------
    list of numpy.ndarray
        Rows of each group: every cluster in the order of its number, or every group of at least two rows.

    Examples
    --------
    >>> v = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0], [0.5, 0.0, 1.0]])
    >>> [rows.tolist() for rows in groups_of(v, None)]
    [[0, 2]]
    """
    if cluster is not None:
        return [np.flatnonzero(cluster == c) for c in np.unique(cluster)]
    if covariance is None:
        return []
    _, number = connected_components(coo_array(covariance != 0), directed=False)
    groups = [np.flatnonzero(number == c) for c in np.unique(number)]
    return [rows for rows in groups if len(rows) > 1]


def independent_directions(
    covariance: np.ndarray | None, se: np.ndarray, groups: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Find the directions in which the sampling errors of all rows are independent.

    Parameters
    ----------
    covariance
        Sampling covariance, shape (rows, rows); None where errors are independent.
    se
        Standard errors, shape (rows,).
    groups
        As :func:`groups_of` returns them.

    Returns
    -------
    tuple of numpy.ndarray
        The directions Q, shape (rows, rows), a column each, and the variances along them, shape (rows,).
    """
    turn, variance = np.eye(len(se)), np.asarray(se, float) ** 2
    if covariance is not None:
        for rows in groups:
            variance[rows], turn[np.ix_(rows, rows)] = np.linalg.eigh(covariance[np.ix_(rows, rows)])
    return turn, variance
