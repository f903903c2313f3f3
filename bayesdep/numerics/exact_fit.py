"""Whether least squares explains values exactly, so that a residual standard deviation has no posterior."""

import numpy as np

_EXACT = 1e-9  # of the values' range: a residual of rounding


def is_explained_exactly(
    y: np.ndarray, columns: np.ndarray, member: np.ndarray | None = None, own: np.ndarray | None = None
) -> bool:
    r"""Tell whether values have no residual although there are more of them than coefficients.

    With r values more than coefficients, the likelihood of a residual sd s grows as :math:`s^{-r}` towards zero where
    coefficients explain all values: its integral is infinite, and so is a posterior's under a prior that is above zero
    there.

    Parameters
    ----------
    y
        Values, shape (values,).
    columns
        What explains them all alike, shape (values, columns).
    member
        Group of each value, such as its patient; None where there are no groups.
    own
        Columns whose coefficients each group has for itself, shape (values, own columns); by default a constant.

    Returns
    -------
    bool
        Whether the largest residual is one of rounding.

    Examples
    --------
    >>> time, patient = np.array([0.0, 1, 2, 0, 1, 2]), np.array([0, 0, 0, 1, 1, 1])
    >>> own = np.column_stack([np.ones(6), time])
    >>> is_explained_exactly(np.array([1.0, 2, 3, 5, 3, 1]), own[:, :0], patient, own)
    True
    >>> is_explained_exactly(np.array([1.0, 2, 3, 5, 3, 1]), own)
    False
    """
    rest, rank = np.column_stack([y, columns]), 0
    if member is not None:
        own = np.ones((len(y), 1)) if own is None else own
        order = np.argsort(member, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(member[order])) + 1):
            basis, sizes, _ = np.linalg.svd(own[rows], full_matrices=False)
            basis = basis[:, sizes > _EXACT * sizes.max()]
            rest[rows] -= basis @ (basis.T @ rest[rows])
            rank += basis.shape[1]
    left = rest[:, 0]
    if columns.shape[1]:
        coefficients, _, more, _ = np.linalg.lstsq(rest[:, 1:], left, rcond=None)
        left, rank = left - rest[:, 1:] @ coefficients, rank + int(more)
    return bool(len(y) > rank and np.abs(left).max() <= _EXACT * np.ptp(y))
