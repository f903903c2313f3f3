"""The predictive checks of a scale item by item: sums, how strongly items are correlated, and pairs of items."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import xarray as xr

from bayesdep.models.items.settings import ItemsSettings
from bayesdep.models.model import Check

_VARIABLE = "item_score"


def checks(settings: ItemsSettings, data: xr.Dataset) -> Sequence[Check]:  # noqa: ARG001  (every model's)
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
        As :meth:`bayesdep.models.items.model.Items.checks` returns them.
    """
    last = data.sizes["visit"] - 1
    arm = data["arm_of"].values[data["subject_of"].values]
    named = []
    for a, name in enumerate(data["arm"].values):
        rows = np.flatnonzero((data["visit_of"].values == last) & (arm == a))
        if len(rows):
            mean = partial(_mean_sum, rows=rows)
            named.append(Check(f"mean sum of all items ({name}, last visit)", _VARIABLE, mean, "points"))
    for which, function in (("lowest", np.min), ("highest", np.max)):
        rest = partial(_correlation_with_rest, extreme=function)
        named.append(Check(f"{which} correlation of an item with the others", _VARIABLE, rest, "correlation"))
    named.append(Check("highest correlation of two items", _VARIABLE, _largest_of_pairs, "correlation"))
    tops = partial(_share_of_top, data=data)
    return [*named, Check("share of scores that are their item's highest", _VARIABLE, tops, "share")]


def _mean_sum(y: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The mean of every item at some assessments, added up: items that are missing are not zeros."""
    scores = y[..., rows, :]
    n = np.maximum((scores >= 0).sum(axis=-2), 1)
    return np.asarray((np.maximum(scores, 0).sum(axis=-2) / n).sum(axis=-1))


def _standardised(y: np.ndarray) -> np.ndarray:
    """Scores less their item's mean over its sd, 0 where missing."""
    seen = y >= 0
    n = np.maximum(seen.sum(axis=-2, keepdims=True), 1)
    mean = np.where(seen, y, 0).sum(axis=-2, keepdims=True) / n
    residual = np.where(seen, y - mean, 0.0)
    sd = np.sqrt((residual**2).sum(axis=-2, keepdims=True) / n)
    return np.asarray(np.where(sd > 0, residual / np.where(sd > 0, sd, 1.0), 0.0))


def _correlation_with_rest(y: np.ndarray, extreme: Callable[..., np.ndarray]) -> np.ndarray:
    """The lowest or highest correlation of an item with the sum of the others."""
    z = _standardised(y)
    rest = z.sum(axis=-1, keepdims=True) - z
    rest = rest - rest.mean(axis=-2, keepdims=True)
    size = np.sqrt((z**2).sum(axis=-2) * (rest**2).sum(axis=-2))
    return np.asarray(extreme((z * rest).sum(axis=-2) / np.where(size > 0, size, 1.0), axis=-1))


def _largest_of_pairs(y: np.ndarray) -> np.ndarray:
    """The highest correlation of two items over all assessments."""
    z = _standardised(y)
    products = np.swapaxes(z, -1, -2) @ z / z.shape[-2]
    items = np.arange(z.shape[-1])
    products[..., items, items] = -1.0
    return np.asarray(products.max(axis=(-1, -2)))


def _share_of_top(y: np.ndarray, data: xr.Dataset) -> np.ndarray:
    """The share of scores that are their item's highest."""
    return np.asarray((y == data["highest"].values).sum(axis=(-1, -2)) / np.maximum((y >= 0).sum(axis=(-1, -2)), 1))
