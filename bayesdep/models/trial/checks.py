"""The predictive checks of a trial over visits: means, sds and correlations by visit, and how normal residuals are."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from scipy import stats

from bayesdep.models.model import Check
from bayesdep.models.trial.residuals import NAME

if TYPE_CHECKING:
    from bayesdep.models.trial.model import Trial


def checks(model: "Trial", data: xr.Dataset) -> Sequence[Check]:
    """Name the predictive checks of a trial; replicates miss the visits that the data miss.

    Parameters
    ----------
    model
        The model.
    data
        The prepared trial.

    Returns
    -------
    list of Check
        See :meth:`~bayesdep.models.trial.model.Trial.checks`.
    """
    seen, arm, names = ~np.isnan(data["outcome"].values), data["arm_of"].values, data["visit"].values
    found = []
    for j in dict.fromkeys((0, len(names) - 1)):
        for k, label in enumerate(data["arm"].values):
            rows = np.flatnonzero(seen[:, j] & (arm == k))
            at = f"visit {names[j]}, {label}"
            found.append(Check(f"mean at {at}", NAME, partial(_mean, rows=rows, j=j), model.units))
            if len(rows) > 1:
                found.append(Check(f"sd at {at}", NAME, partial(_sd, rows=rows, j=j), model.units))
    pairs = [*((j, j + 1) for j in range(len(names) - 1)), *([(0, len(names) - 1)] if len(names) > 1 else [])]
    for j, k in dict.fromkeys(pairs):
        rows = np.flatnonzero(seen[:, j] & seen[:, k])
        if len(rows) > 2:
            name = f"correlation of visits {names[j]} and {names[k]}"
            found.append(Check(name, NAME, partial(_pearson, rows=rows, j=j, k=k), "correlation"))
    designs = list(_designs(model, data))
    if designs:
        found.append(Check("skewness of residuals", NAME, partial(_moment, designs=designs, of=stats.skew), ""))
        found.append(
            Check("excess kurtosis of residuals", NAME, partial(_moment, designs=designs, of=stats.kurtosis), "")
        )
    return found


def _designs(model: "Trial", data: xr.Dataset) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For each visit, who was seen, and an orthonormal basis of the least-squares regression that the model's is."""
    arm = data["arm_code"].values
    columns = [np.ones((len(arm), 1)), arm, data["covariates"].values]
    if model.baseline is not None:
        columns.append(data["baseline"].values[:, None])
    if model.moderator is not None:
        terms = data["moderator_terms"].values
        columns += [terms, *(arm[:, [k]] * terms for k in range(arm.shape[1]))]
    design = np.column_stack(columns)
    for j, seen in enumerate(~np.isnan(data["outcome"].values.T)):
        rows = np.flatnonzero(seen)
        if len(rows) < 2 * design.shape[1]:  # what so few leave of their residuals says little of their shape
            continue
        left, sizes, _ = np.linalg.svd(design[rows], full_matrices=False)
        yield j, rows, left[:, sizes > 1e-10 * sizes[0]]


def _moment(
    y: np.ndarray, designs: Sequence[tuple[int, np.ndarray, np.ndarray]], of: Callable[..., np.ndarray]
) -> np.ndarray:
    """A moment of least-squares residuals, each visit's over their own sd, all visits together."""
    found = []
    for j, rows, basis in designs:
        at = y[..., rows, j]
        left = at - (at @ basis) @ basis.T
        found.append(left / left.std(-1, keepdims=True))
    return np.asarray(of(np.concatenate(found, axis=-1), axis=-1))


def _mean(y: np.ndarray, rows: np.ndarray, j: int) -> np.ndarray:
    return np.asarray(y[..., rows, j].mean(-1))


def _sd(y: np.ndarray, rows: np.ndarray, j: int) -> np.ndarray:
    return np.asarray(y[..., rows, j].std(-1, ddof=1))


def _pearson(y: np.ndarray, rows: np.ndarray, j: int, k: int) -> np.ndarray:
    a, b = (y[..., rows, v] - y[..., rows, v].mean(-1, keepdims=True) for v in (j, k))
    return np.asarray((a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1)))
