"""The exact posterior of rows of their own, where every state followed one step after the one before: Dirichlet."""

import numpy as np
import xarray as xr

from bayesdep.models.model import ExactPosterior
from bayesdep.models.transitions.estimands import count_single_steps
from bayesdep.models.transitions.settings import TransitionsSettings
from bayesdep.numerics.betas import BetaMarginal
from bayesdep.numerics.marginals import Marginal


def exact(settings: TransitionsSettings, data: xr.Dataset) -> ExactPosterior | None:
    """Return the posterior of independent rows: Dirichlet distributions, whose elements are Betas.

    Where states after were not told apart, the probability of all of them together has its posterior, and how it is
    divided among them is still as the prior says; both are independent.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    ExactPosterior or None
        None where arms or covariates shift rows, or steps were missed. What follows after several steps, and states
        that were not told apart, have no marginal and come from the draws.
    """
    if not settings.has_own_rows or data["gap"].values.max() > 1:
        return None
    counts, group = _counts_and_groups(data)
    if (np.bincount(_cells(data), minlength=1) > 1).any() and (group != np.arange(counts.shape[-1])).any():
        return None  # two rows of one state before, over other groups of states
    counts, group = counts[:, settings.left], group[:, settings.left]
    alpha = settings.concentration
    belongs = group[..., None, :] == np.arange(counts.shape[-1])[:, None]  # (arm, before, group, after)
    a = alpha * belongs.sum(axis=-1) + counts  # of groups, at the first of their states; 0 at the others
    marginals: dict[tuple[str, tuple[tuple[str, str], ...]], Marginal] = {}
    dims = ("arm", "before", "after")
    for index in zip(*np.nonzero(belongs.sum(axis=-1) == 1), strict=True):
        where = tuple((dim, str(data[dim].values[k])) for dim, k in zip(dims, index, strict=True))
        of_row = float(a[index[:2]].sum())
        marginals["transition", where] = BetaMarginal(float(a[index]), of_row - float(a[index]))

    def draw(size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        share = rng.standard_gamma(alpha, (size, *counts.shape))  # within groups, as the prior says
        within = (share[..., None, :] * belongs).sum(axis=-1)
        total = rng.standard_gamma(np.maximum(a, 1e-12), (size, *a.shape))
        at = np.broadcast_to(group, share.shape)
        row = share * np.take_along_axis(total, at, -1) / np.take_along_axis(within, at, -1)
        row = row / row.sum(axis=-1, keepdims=True)
        return {"row": row if settings.reference is not None else row[:, 0]}

    return ExactPosterior(marginals, draw)


def _cells(data: xr.Dataset) -> np.ndarray:
    """Which arm and state before each row of counts is of; nothing for patients, whose states are all told apart."""
    if "people" not in data:
        return np.zeros(0, dtype=int)
    return np.asarray(data["arm_of"].values * data.sizes["after"] + data["before_of"].values)


def _counts_and_groups(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Counts by arm, state before and state after, those of a group at its first state; and the first states."""
    states = data.sizes["after"]
    group = np.tile(np.arange(states), (data.sizes["arm"], states, 1))
    if "people" not in data:
        return count_single_steps(data), group
    counts = np.zeros(group.shape)
    for k in range(data.sizes["cell"]):
        row = data["arm_of"].values[k], data["before_of"].values[k]
        counts[row] += data["transition_count"].values[k]
        group[row] = data["group"].values[k]
    return counts, group
