"""Predictive checks of an individual-patient meta-analysis: replicates are of new studies with the same patients."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import xarray as xr

from bayesdep.models.model import Check
from bayesdep.models.patient_meta.events import NAME as EVENTS
from bayesdep.models.patient_meta.products import means_by_arm, statistics_of
from bayesdep.models.patient_meta.settings import PatientMetaSettings

OUTCOMES = "outcomes"  # the observed variable


def checks(settings: PatientMetaSettings, data: xr.Dataset) -> Sequence[Check]:
    """Name the predictive checks.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    list of Check
        See :meth:`bayesdep.PatientMeta.checks`.
    """
    return _of_events(data) if settings.is_binary else _of_outcomes(data)


def _of_outcomes(data: xr.Dataset) -> Sequence[Check]:
    named: list[Check] = []
    for t, time in enumerate(data["time"].values):
        for a, arm in enumerate(data["arm"].values):
            named.append(Check(f"mean on {arm}, {time}", OUTCOMES, partial(_mean, data=data, arm=a, t=t), "sd"))
            named.append(Check(f"sd on {arm}, {time}", OUTCOMES, partial(_sd, data=data, arm=a, t=t), "sd"))
        named += [
            Check(f"sd of studies' effects, {time}", OUTCOMES, partial(_spread, data=data, t=t), "sd"),
            Check(f"lowest effect of a study, {time}", OUTCOMES, partial(_end, data=data, t=t, of=np.min), "sd"),
            Check(f"highest effect of a study, {time}", OUTCOMES, partial(_end, data=data, t=t, of=np.max), "sd"),
            Check(f"highest over lowest sd within a study, {time}", OUTCOMES, partial(_ratio, data=data, t=t), ""),
        ]
    if data.sizes["time"] > 1:
        pearson = partial(_pearson, data=data)
        named.append(Check("correlation of the times within arms", OUTCOMES, pearson, "correlation"))
    return named


def _mean(y: np.ndarray, data: xr.Dataset, arm: int, t: int) -> np.ndarray:
    mean, _, n = (x[..., arm, t] for x in means_by_arm(y, data))
    return np.asarray((n * mean).sum(-1) / n.sum())


def _sd(y: np.ndarray, data: xr.Dataset, arm: int, t: int) -> np.ndarray:
    mean, squares, n = (x[..., arm, t] for x in means_by_arm(y, data))
    whole = _mean(y, data, arm, t)[..., None]
    return np.asarray(np.sqrt((squares + n * (mean - whole) ** 2).sum(-1) / (n.sum() - 1)))


def _effects(y: np.ndarray, data: xr.Dataset, t: int) -> np.ndarray:
    mean, _, n = means_by_arm(y, data)
    return np.asarray((mean[..., 1, t] - mean[..., 0, t])[..., (n[..., t] > 0).all(axis=1)])


def _spread(y: np.ndarray, data: xr.Dataset, t: int) -> np.ndarray:
    return np.asarray(_effects(y, data, t).std(-1, ddof=1))


def _end(y: np.ndarray, data: xr.Dataset, t: int, of: Callable[..., np.ndarray]) -> np.ndarray:
    return np.asarray(of(_effects(y, data, t), axis=-1))


def _ratio(y: np.ndarray, data: xr.Dataset, t: int) -> np.ndarray:
    _, squares, n = (x[..., t] for x in means_by_arm(y, data))
    free = np.maximum(n - 1, 0).sum(axis=-1)
    several = free > 2  # two patients have a variance of nothing, at times
    variance = squares.sum(axis=-1)[..., several] / free[several]
    return np.asarray(np.sqrt(variance.max(-1) / variance.min(-1)))


def _pearson(y: np.ndarray, data: xr.Dataset) -> np.ndarray:
    kept, both = statistics_of(2), data["seen"].values.all(axis=1)
    products = {k: y[..., i][..., both, :].sum(axis=(-3, -2, -1)) for i, k in enumerate(kept) if len(k) == 2}
    return np.asarray(products[1, 0] / np.sqrt(products[0, 0] * products[1, 1]))


def _of_events(data: xr.Dataset) -> Sequence[Check]:
    risks = [
        Check(f"risk on {arm}", EVENTS, partial(_risk, data=data, arm=a), "probability")
        for a, arm in enumerate(data["arm"].values)
    ]
    return [
        *risks,
        Check("sd of studies' log odds ratios", EVENTS, partial(_ratios, data=data, of=np.std), "log odds"),
        Check("lowest log odds ratio of a study", EVENTS, partial(_ratios, data=data, of=np.min), "log odds"),
        Check("highest log odds ratio of a study", EVENTS, partial(_ratios, data=data, of=np.max), "log odds"),
    ]


def _risk(y: np.ndarray, data: xr.Dataset, arm: int) -> np.ndarray:
    here = data["cell_arm"].values == arm
    return np.asarray(y[..., here].sum(axis=-1) / data["n"].values[here].sum())


def _ratios(y: np.ndarray, data: xr.Dataset, of: Callable[..., np.ndarray]) -> np.ndarray:
    """A summary over the studies with both arms; half an event is added to every count."""
    study, arm, n = (data[v].values for v in ("cell_study", "cell_arm", "study_n"))
    belongs = (2 * study + arm)[:, None] == np.arange(n.size)
    e = (y @ belongs).reshape(*y.shape[:-1], *n.shape)
    log_odds = np.log((e + 0.5) / (n - e + 0.5))
    return np.asarray(of((log_odds[..., 1] - log_odds[..., 0])[..., (n > 0).all(axis=1)], axis=-1))
