"""Sampling covariances of effects as the settings state them: read, matched with the rows of a table, and checked."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput

_SAME = 1e-6  # of a variance: how closely a stated matrix must have the standard errors' squares on its diagonal
_SINGULAR = 1e-9  # lowest eigenvalue of a correlation matrix

type StatedCovariance = dict[str, dict[str, float]] | list[list[float]]
"""Covariances by the labels of two rows, or a matrix in the order of the rows."""


def read_covariance(value: Any) -> StatedCovariance | None:
    """Read a sampling covariance as a call or a plan states it, in a form that JSON and TOML can hold.

    Parameters
    ----------
    value
        A dataframe or mapping of mappings by label of the rows; or rows of numbers in the order of the table.

    Returns
    -------
    dict of dict, list of list, or None
        Plain numbers; None where nothing was stated.

    Raises
    ------
    BadInput
        When it is neither.
    """
    if value is None:
        return None
    try:
        if isinstance(value, pd.DataFrame):
            value = {str(i): {str(j): float(v) for j, v in row.items()} for i, row in value.iterrows()}
        if isinstance(value, Mapping):
            return {str(i): {str(j): float(v) for j, v in row.items()} for i, row in value.items()}
        rows = [[float(v) for v in row] for row in value]
        if all(len(row) == len(rows) for row in rows):
            return rows
    except (TypeError, ValueError, AttributeError):
        pass
    raise BadInput(
        "covariance is neither a square matrix in the order of the rows nor a table of numbers by two labels; write it "
        'as { "trial A" = { "trial B" = 0.02 } }, or give a square matrix'
    )


def covariance_of_rows(stated: StatedCovariance, labels: Sequence[str], se: np.ndarray, unit: str) -> np.ndarray:
    """Match a stated sampling covariance with the rows of the table.

    Parameters
    ----------
    stated
        As :func:`read_covariance` returns it.
    labels
        Labels of the rows.
    se
        Standard errors, shape (rows,).
    unit
        What a row is.

    Returns
    -------
    numpy.ndarray
        Shape (rows, rows), the standard errors' squares on its diagonal.

    Raises
    ------
    BadInput
        When a label is unknown, the matrix is not symmetric, or its diagonal is not the standard errors' squares.
    """
    if isinstance(stated, Mapping):
        return _from_labels(stated, labels, se, unit)
    matrix = np.array(stated, dtype=float)
    if len(matrix) != len(se):
        raise BadInput(f"covariance has {len(matrix)} rows, but the table has {len(se)}; give one row for each")
    if not np.allclose(matrix, matrix.T, rtol=1e-9, atol=0):
        raise BadInput("covariance is not symmetric; give a covariance matrix in the order of the table's rows")
    for i, label in enumerate(labels):
        if abs(matrix[i, i] / se[i] ** 2 - 1) > _SAME:
            raise _not_the_square(label, matrix[i, i], se[i])
    return matrix


def _from_labels(
    stated: Mapping[str, Mapping[str, float]], labels: Sequence[str], se: np.ndarray, unit: str
) -> np.ndarray:
    """Covariances by the labels of two rows, zero where none is stated."""
    number = {label: i for i, label in enumerate(labels)}
    covariance = np.diag(se**2)
    for one, row in stated.items():
        for other, value in row.items():
            for label in (one, other):
                if label not in number:
                    raise BadInput(f"covariance: no {unit} is called '{label}'; use the labels of the table")
            i, j = number[one], number[other]
            reverse = stated.get(other, {}).get(one, value)
            if reverse != value:
                raise BadInput(
                    f"covariance of '{one}' and '{other}' is {value:g} one way and {reverse:g} the other; give it once"
                )
            if i == j and abs(value / se[i] ** 2 - 1) > _SAME:
                raise _not_the_square(one, value, se[i])
            if i != j:
                covariance[i, j] = covariance[j, i] = value
    return covariance


def _not_the_square(label: str, value: float, se: float) -> BadInput:
    return BadInput(
        f"covariance of '{label}' with itself is {value:g}, but its standard error is {se:g}, squared {se**2:g}; give "
        "covariances of the same effects, in the order of the rows or by their labels"
    )


def refuse_impossible_covariance(
    covariance: np.ndarray, se: np.ndarray, cluster: np.ndarray | None, setting: str
) -> None:
    """Refuse a sampling covariance that no data can have, or that links rows of different clusters.

    Parameters
    ----------
    covariance
        Shape (rows, rows).
    se
        Standard errors, shape (rows,).
    cluster
        Number of each row's cluster; None without clusters.
    setting
        The setting it comes from.

    Raises
    ------
    BadInput
        Naming the setting.
    """
    if cluster is not None and (covariance[cluster[:, None] != cluster] != 0).any():
        raise BadInput(
            f"{setting} links rows of different clusters, which are then not independent; name a coarser cluster, or "
            "leave cluster out"
        )
    if np.linalg.eigvalsh(covariance / np.outer(se, se)).min() < _SINGULAR:
        raise BadInput(
            f"{setting} makes a covariance matrix that is not positive definite: rows correlate so strongly that one "
            "follows from the others; leave one of such rows out, or correct the correlation"
        )
