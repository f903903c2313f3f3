"""The predictive checks of an ordinal outcome: shares, proportional odds, and agreement between visits."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from bayesdep.models.model import Check
from bayesdep.models.ordinal.likelihood import CATEGORY, COUNTS
from bayesdep.models.ordinal.settings import OrdinalSettings


def checks(settings: OrdinalSettings, data: xr.Dataset) -> Sequence[Check]:
    """Name the test quantities.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    list of Check
        As :meth:`bayesdep.models.ordinal.model.Ordinal.checks` returns them.
    """
    variable = CATEGORY if settings.has_patient_effects else COUNTS
    visits, arms, names = data["visit"].values, data["arm"].values, data["up_to"].values
    named = []
    for v in dict.fromkeys((0, len(visits) - 1)):
        for a, arm in enumerate(arms):
            for k, name in enumerate(names):
                where = [*([str(arm)] if settings.reference is not None else [])]
                where += [f"visit {visits[v]}"] if settings.visit is not None else []
                share = partial(_share, data=data, arm=a, visit=v, up_to=k)
                title = f"share with {name}{' or better' if k else ''}" + (f" ({', '.join(where)})" if where else "")
                named.append(Check(title, variable, share, "share of people"))
    if settings.reference is not None and len(names) > 1 and "arm" not in settings.by_threshold:
        for a in range(1, len(arms)):
            title = f"proportional odds: log odds ratio at the last threshold less at the first, {arms[a]}"
            named.append(Check(title, variable, partial(_odds_over_thresholds, data=data, arm=a), "log odds ratio"))
    if settings.has_patient_effects:
        same = partial(_same_as_before, pairs=_pairs_of_visits(data))
        named.append(Check("share of patients in the same category as at the visit before", variable, same, "share"))
    return named


def _cells(y: np.ndarray, data: xr.Dataset) -> np.ndarray:
    """People by arm, visit and category, shape (..., arm, visit, category)."""
    arm, visit = data["arm_of"].values[data["unit_of"].values], data["visit_of"].values
    visits, categories = data.sizes["visit"], data.sizes["category"]
    cell = np.eye(data.sizes["arm"] * visits)[arm * visits + visit]
    if "counts" in data:
        by_cell = np.einsum("...rk,rc->...ck", y, cell)
    else:
        by_cell = np.stack([(y == k) @ cell for k in range(categories)], axis=-1)
    return np.asarray(by_cell.reshape(*by_cell.shape[:-2], data.sizes["arm"], visits, categories))


def _share(y: np.ndarray, data: xr.Dataset, arm: int, visit: int, up_to: int) -> np.ndarray:
    """The share of an arm at a visit with a category or better."""
    counts = _cells(y, data)[..., arm, visit, :]
    return np.asarray(counts[..., : up_to + 1].sum(axis=-1) / np.maximum(counts.sum(axis=-1), 1))


def _odds_over_thresholds(y: np.ndarray, data: xr.Dataset, arm: int) -> np.ndarray:
    """By how much the arms' log odds ratio of a worse category is larger at the last threshold, all visits together."""
    counts = _cells(y, data).sum(axis=-2)
    better = np.cumsum(counts, axis=-1)[..., :-1]
    log_odds = np.log((counts.sum(axis=-1, keepdims=True) - better + 0.5) / (better + 0.5))
    ratio = log_odds[..., arm, :] - log_odds[..., 0, :]
    return np.asarray(ratio[..., -1] - ratio[..., 0])


def _pairs_of_visits(data: xr.Dataset) -> np.ndarray:
    """Rows of a patient's neighbouring visits, shape (pairs,): the second of each."""
    unit = data["unit_of"].values
    return np.flatnonzero(unit[1:] == unit[:-1]) + 1


def _same_as_before(y: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The share of neighbouring visits with one category."""
    return np.asarray((y[..., pairs] == y[..., pairs - 1]).mean(axis=-1))
