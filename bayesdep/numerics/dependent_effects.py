"""Effects that share people or a cluster: turned so that, given the spreads, their errors are independent."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True)
class Sums:
    """What a block of effects adds to the normal equations of the coefficients.

    Parameters
    ----------
    gram, score, square, log_density
        Shapes (nodes, coefficients, coefficients), (nodes, coefficients), (nodes,) and (nodes,).
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
    :math:`a = Q^\top 1` there, which Woodbury's identity takes apart.

    Parameters
    ----------
    members
        Rows of the table, shape (rows,).
    turn, variance
        Q, shape (rows, rows), and the diagonal of Lambda, shape (rows,).
    columns, residual, shared
        Design (rows, coefficients), effects less what is expected at the reference (rows,) and ones where the rows have
        a deviation in common, zeros where not (rows,): all turned, ``Q.T @ ...``.
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

    def deviation(self, w: np.ndarray, between: np.ndarray | float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Variance of the deviation given the coefficients b, and what its mean needs.

        The mean is ``variance * (last - third @ (b - reference))``.

        Parameters
        ----------
        w
            As :meth:`weights` returns them.
        between
            Standard deviation between clusters, shape (nodes,).

        Returns
        -------
        tuple of numpy.ndarray
            ``variance`` (nodes,), ``third`` (nodes, coefficients), ``last`` (nodes,).
        """
        of = w * self.shared
        prior = np.asarray(between) ** 2
        return np.asarray(prior / (1 + prior * (of @ self.shared))), of @ self.columns, of @ self.residual

    def solve(self, w: np.ndarray, between: np.ndarray | float, vectors: np.ndarray) -> np.ndarray:
        """Multiply turned vectors by the inverse of the effects' covariance given the coefficients.

        Parameters
        ----------
        w, between
            As in :meth:`deviation`.
        vectors
            Shape (nodes, rows) or (rows,).

        Returns
        -------
        numpy.ndarray
            Shape (nodes, rows).
        """
        variance, _, _ = self.deviation(w, between)
        of = w * self.shared
        return np.asarray(w * vectors - (variance * (of * vectors).sum(-1))[:, None] * of)

    def sums(self, tau: np.ndarray, between: np.ndarray | float) -> Sums:
        """Return what the block adds to the normal equations at every node.

        Parameters
        ----------
        tau, between
            Standard deviations within and between clusters, shape (nodes,).

        Returns
        -------
        Sums
            Without the prior of the coefficients.
        """
        w = self.weights(tau)
        variance, third, last = self.deviation(w, between)
        x, count = self.columns, self.columns.shape[1]
        products = (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)
        gram = (w @ products).reshape(-1, count, count) - variance[:, None, None] * third[:, :, None] * third[:, None]
        score = w @ (x * self.residual[:, None]) - (variance * last)[:, None] * third
        log_density = (np.log(w / (2 * np.pi)).sum(1) - np.log1p(np.asarray(between) ** 2 * (w @ self.shared**2))) / 2
        return Sums(gram, score, w @ self.residual**2 - variance * last**2, log_density)


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
    _, of = connected_components(coo_array(covariance != 0), directed=False)
    found = [np.flatnonzero(of == c) for c in np.unique(of)]
    return [rows for rows in found if len(rows) > 1]


def turned(covariance: np.ndarray | None, se: np.ndarray, groups: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
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
