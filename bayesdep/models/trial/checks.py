"""The predictive checks of a trial over visits: means, sds and correlations by visit, and normal residuals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr
from scipy import stats

from bayesdep.models.model import Check
from bayesdep.models.trial.censored_moderator import OBSERVED, is_latent
from bayesdep.models.trial.residuals import NAME
from bayesdep.models.trial.settings import TrialSettings


def checks(settings: TrialSettings, data: xr.Dataset) -> Sequence[Check]:
    """Name the predictive checks of a trial; replicates miss the visits that the data miss.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared trial.

    Returns
    -------
    list of Check
        See :meth:`~bayesdep.models.trial.model.Trial.checks`.
    """
    of_outcomes = [*_by_visit_and_arm(settings, data), *_of_pairs_of_visits(data), *_of_residuals(settings, data)]
    return [*of_outcomes, *(_of_moderator(data) if is_latent(data) else [])]


def _of_moderator(data: xr.Dataset) -> list[Check]:
    """The moderator's share below its limits and its largest detected value: whether it is log-normal."""
    limits = data["moderator_lod"].values
    known = np.flatnonzero(np.isfinite(limits))
    share = partial(_share_below, rows=known, limits=limits[known])
    checks = [Check("moderator: share below its limit", OBSERVED, share, "share")] if len(known) else []
    largest = partial(_largest, limits=np.where(np.isfinite(limits), limits, -np.inf))
    return [*checks, Check("moderator: largest log", OBSERVED, largest, "log")]


def _share_below(logs: np.ndarray, rows: np.ndarray, limits: np.ndarray) -> np.ndarray:
    return np.asarray((logs[..., rows] <= limits).mean(axis=-1))


def _largest(logs: np.ndarray, limits: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(logs, limits).max(axis=-1))


def _by_visit_and_arm(settings: TrialSettings, data: xr.Dataset) -> list[Check]:
    """Means and sds at the first and the last visit, arm by arm."""
    observed, arm, visits = ~np.isnan(data["outcome"].values), data["arm_of"].values, data["visit"].values
    checks = []
    for j in dict.fromkeys((0, len(visits) - 1)):
        for k, label in enumerate(data["arm"].values):
            rows = np.flatnonzero(observed[:, j] & (arm == k))
            where = f"visit {visits[j]}, {label}"
            checks.append(Check(f"mean at {where}", NAME, partial(_mean, rows=rows, j=j), settings.units))
            if len(rows) > 1:
                checks.append(Check(f"sd at {where}", NAME, partial(_sd, rows=rows, j=j), settings.units))
    return checks


def _of_pairs_of_visits(data: xr.Dataset) -> list[Check]:
    """Correlations of neighbouring visits, and of the first with the last."""
    observed, visits = ~np.isnan(data["outcome"].values), data["visit"].values
    pairs = [*((j, j + 1) for j in range(len(visits) - 1)), *([(0, len(visits) - 1)] if len(visits) > 1 else [])]
    checks = []
    for j, k in dict.fromkeys(pairs):
        rows = np.flatnonzero(observed[:, j] & observed[:, k])
        if len(rows) > 2:
            name = f"correlation of visits {visits[j]} and {visits[k]}"
            checks.append(Check(name, NAME, partial(_correlation, rows=rows, j=j, k=k), "correlation"))
    return checks


def _of_residuals(settings: TrialSettings, data: xr.Dataset) -> list[Check]:
    """Skewness and kurtosis of residuals, where there are patients enough."""
    regressions = _regressions(settings, data)
    moments = {"skewness of residuals": stats.skew, "excess kurtosis of residuals": stats.kurtosis}
    return [
        Check(name, NAME, partial(_moment, regressions=regressions, moment=moment), "")
        for name, moment in moments.items()
        if regressions
    ]


@dataclass(frozen=True)
class _Regression:
    """The least-squares regression at a visit: who was observed, and an orthonormal basis of the design."""

    visit: int
    rows: np.ndarray
    basis: np.ndarray


def _regressions(settings: TrialSettings, data: xr.Dataset) -> list[_Regression]:
    """For each visit with patients enough, the least-squares regression on the terms of the model's mean."""
    arm = data["arm_code"].values
    columns = [np.ones((len(arm), 1)), arm, data["covariates"].values]
    if settings.baseline is not None:
        columns.append(data["baseline"].values[:, None])
    if settings.moderator is not None:
        terms = data["moderator_terms"].values
        columns += [terms, *(arm[:, [k]] * terms for k in range(arm.shape[1]))]
    design = np.column_stack(columns)
    regressions = []
    for j, observed in enumerate(~np.isnan(data["outcome"].values.T)):
        rows = np.flatnonzero(observed)
        if len(rows) >= 2 * design.shape[1]:  # residuals of fewer have lost much of their shape to the fit
            basis, sizes, _ = np.linalg.svd(design[rows], full_matrices=False)
            regressions.append(_Regression(j, rows, basis[:, sizes > 1e-10 * sizes[0]]))
    return regressions


def _moment(y: np.ndarray, regressions: Sequence[_Regression], moment: Callable[..., np.ndarray]) -> np.ndarray:
    """A moment of least-squares residuals, each visit's over their own sd, all visits together."""
    residuals = []
    for regression in regressions:
        outcome, basis = y[..., regression.rows, regression.visit], regression.basis
        residual = outcome - (outcome @ basis) @ basis.T
        residuals.append(residual / residual.std(-1, keepdims=True))
    return np.asarray(moment(np.concatenate(residuals, axis=-1), axis=-1))


def _mean(y: np.ndarray, rows: np.ndarray, j: int) -> np.ndarray:
    return np.asarray(y[..., rows, j].mean(-1))


def _sd(y: np.ndarray, rows: np.ndarray, j: int) -> np.ndarray:
    return np.asarray(y[..., rows, j].std(-1, ddof=1))


def _correlation(y: np.ndarray, rows: np.ndarray, j: int, k: int) -> np.ndarray:
    a, b = (y[..., rows, v] - y[..., rows, v].mean(-1, keepdims=True) for v in (j, k))
    return np.asarray((a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1)))
