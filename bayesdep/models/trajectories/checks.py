"""The predictive checks of trajectories: the outcome's means, sds and correlation, and the markers' distribution."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from bayesdep.data.errors import truth
from bayesdep.models.model import Check
from bayesdep.models.trajectories.data import kinds_of
from bayesdep.models.trajectories.factor import FEWEST
from bayesdep.models.trajectories.markers import NAME as MARKERS
from bayesdep.models.trajectories.outcome import NAME
from bayesdep.models.trajectories.settings import TrajectoriesSettings, may_share

_FEWEST = 3  # patients for a correlation
_ONE_BY_ONE = (
    "markers go together more than the model says, so that an association may stand at the wrong one of them: fit each "
    "marker alone"
)


def checks(settings: TrajectoriesSettings, data: xr.Dataset) -> Sequence[Check]:
    """Name the predictive checks; replicates miss what the data miss.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    list of Check
        See :meth:`~bayesdep.models.trajectories.model.Trajectories.checks`.
    """
    if settings.kind == "score":
        found = _of_scores(settings, data)
    else:
        found = _of_categories(data) if settings.kind == "ordinal" else _of_responses(data)
    return [*found, *(_of_markers(settings, data) if settings.has_markers else [])]


def _of_scores(settings: TrajectoriesSettings, data: xr.Dataset) -> list[Check]:
    """Means and sds at the first and the last visit by arm, and the correlation of the two."""
    seen, arm, visits = ~np.isnan(data["outcome"].values), data["arm_of"].values, data["visit"].values
    found, ends = [], list(dict.fromkeys((0, len(visits) - 1)))
    for j in ends:
        for k, label in enumerate(data["arm"].values):
            rows = np.flatnonzero(seen[:, j] & (arm == k))
            where = f"visit {visits[j]}" + ("" if settings.arm is None else f", {label}")
            if len(rows):
                found.append(Check(f"mean at {where}", NAME, partial(_mean, rows=rows, j=j), settings.units))
            if len(rows) > 1:
                found.append(Check(f"sd at {where}", NAME, partial(_sd, rows=rows, j=j), settings.units))
    rows = np.flatnonzero(seen[:, ends].all(axis=1))
    if len(ends) > 1 and len(rows) >= _FEWEST:
        name = f"correlation of visits {visits[0]} and {visits[-1]}"
        found.append(Check(name, NAME, partial(_correlation, rows=rows, j=0, k=-1), "correlation"))
    return found


def _of_responses(data: xr.Dataset) -> list[Check]:
    """Shares with a response by arm, and the spread between patients of their own shares."""
    at = np.nonzero(~np.isnan(data["outcome"].values))
    arm = data["arm_of"].values[at[0]]
    found = []
    for k, label in enumerate(data["arm"].values):
        rows = np.flatnonzero(arm == k)
        found.append(Check(f"share of yes, {label}", NAME, partial(_share, rows=rows), "share"))
    number = np.bincount(at[0])
    statistic = partial(_spread_of_shares, of=at[0], number=np.maximum(number, 1))
    return [*found, Check("sd of patients' shares of yes", NAME, statistic, "share")]


def _of_categories(data: xr.Dataset) -> list[Check]:
    """Shares of every category by arm, and the spread between patients of their own shares of the best."""
    at = np.nonzero(~np.isnan(data["outcome"].values))
    arm, number = data["arm_of"].values[at[0]], np.bincount(at[0])
    found = [
        Check(f"share of {name}, {label}", NAME, partial(_share_of, rows=np.flatnonzero(arm == a), k=k), "share")
        for a, label in enumerate(data["arm"].values)
        for k, name in enumerate(data["category"].values)
    ]
    spread = partial(_spread_of_best, of=at[0], number=np.maximum(number, 1))
    return [*found, Check(f"sd of patients' shares of {data['category'].values[0]}", NAME, spread, "share")]


def _of_markers(settings: TrajectoriesSettings, data: xr.Dataset) -> list[Check]:
    """Shares below the limit, sds, the correlation of the first values with the last, and those between markers."""
    measured, lod = data["detection"].values >= 0, data["lod"].values
    centre = data["marker_centre"].values[:, None]
    found = []
    if (np.isfinite(lod) & measured).any():
        known = np.isfinite(lod) & measured
        found.append(Check("share below the limit", MARKERS, partial(_below, lod=lod, known=known), "share"))
    spread = partial(_spread, measured=measured, centre=centre)
    if not (data["detection"].values > 0).any():  # values beyond a limit are not in the data as they are in replicates
        found.append(Check("sd of log2 concentrations", MARKERS, spread, "doublings"))
        first, last = np.flatnonzero(measured.any(axis=(0, 1)))[[0, -1]]
        pairs = np.nonzero(measured[:, :, first] & measured[:, :, last])
        if first < last and len(pairs[0]) >= _FEWEST:
            name = "correlation of markers at {} and {}".format(*data["marker_visit"].values[[first, last]])
            statistic = partial(_correlation_of_times, pairs=pairs, first=first, last=last, centre=centre)
            found.append(Check(name, MARKERS, statistic, "correlation"))
    if settings.association and data.sizes["analyte"] > 1:  # courses of markers do not depend on how markers correlate
        found += _of_pairs(settings, data)
    return found


def _of_pairs(settings: TrajectoriesSettings, data: xr.Dataset) -> list[Check]:
    """How strongly markers correlate between patients, by levels and by changes from the first to the last time.

    In the model markers' deviations are independent, but for a shared factor. Values beyond a limit are put at it, in
    the data and in replicates; those beyond a limit that is not known are left out.
    """
    lod, uloq, kind = data["lod"].values, data["uloq"].values, kinds_of(data)
    low, high = np.where(np.isfinite(lod), lod, -np.inf), np.where(np.isfinite(uloq), uloq, np.inf)
    usable = (kind == 0) | ((kind == 1) & np.isfinite(low)) | ((kind == 2) & np.isfinite(high))
    if not usable.any():
        return []
    first, last = np.flatnonzero(usable.any(axis=(0, 1)))[[0, -1]]
    change = np.zeros(usable.shape)
    change[..., last] += usable[..., first] & usable[..., last]
    change[..., first] -= usable[..., first] & usable[..., last]
    remedy = _ONE_BY_ONE
    if may_share(settings) and data.sizes["analyte"] >= FEWEST:
        one = data["analyte"].values[0]
        remedy += f", or let them share a factor (shared_factor = {truth(True)}, positive_loading = '{one}')"
    about = {"low": low, "high": high, "centre": data["marker_centre"].values[:, None]}
    found = []
    for what, weights in (("levels", usable / np.maximum(usable.sum(axis=-1, keepdims=True), 1)), ("changes", change)):
        known = weights.any(axis=-1)
        enough = np.tril(known.T.astype(int) @ known >= _FEWEST, -1)
        if enough.any():
            pairs = np.nonzero(enough)
            statistic = partial(_between_markers, weights=weights, known=known.astype(float), pairs=pairs, **about)
            name = f"root mean square correlation between markers' {what}"
            found.append(Check(name, MARKERS, statistic, "correlation", remedy=remedy))
    return found


def _mean(y: np.ndarray, rows: np.ndarray, j: int) -> np.ndarray:
    return np.asarray(y[..., rows, j].mean(-1))


def _sd(y: np.ndarray, rows: np.ndarray, j: int) -> np.ndarray:
    return np.asarray(y[..., rows, j].std(-1, ddof=1))


def _correlation(y: np.ndarray, rows: np.ndarray, j: int, k: int) -> np.ndarray:
    return _correlated(y[..., rows, j], y[..., rows, k])


def _correlated(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = (x - x.mean(-1, keepdims=True) for x in (a, b))
    return np.asarray((a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1)))


def _share(y: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.asarray(y[..., rows].mean(-1))


def _share_of(y: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    return np.asarray((y[..., rows] == k).mean(-1))


def _spread_of_best(y: np.ndarray, of: np.ndarray, number: np.ndarray) -> np.ndarray:
    return _spread_of_shares((y == 0).astype(float), of, number)


def _spread_of_shares(y: np.ndarray, of: np.ndarray, number: np.ndarray) -> np.ndarray:
    member = (of[:, None] == np.arange(len(number))).astype(float)
    return np.asarray((y @ member / number)[..., np.unique(of)].std(-1))


def _below(z: np.ndarray, lod: np.ndarray, known: np.ndarray) -> np.ndarray:
    return np.asarray((z[..., known] <= lod[known]).mean(-1))


def _spread(z: np.ndarray, measured: np.ndarray, centre: np.ndarray) -> np.ndarray:
    return np.asarray((z - centre)[..., measured].std(-1))


def _correlation_of_times(
    z: np.ndarray, pairs: tuple[np.ndarray, ...], first: int, last: int, centre: np.ndarray
) -> np.ndarray:
    around = z - centre
    return _correlated(around[..., *pairs, first], around[..., *pairs, last])


def _between_markers(
    z: np.ndarray, weights: np.ndarray, known: np.ndarray, pairs: tuple[np.ndarray, ...], low: np.ndarray,
    high: np.ndarray, centre: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """The root mean square, over pairs of markers, of correlations of weighted sums over time in who has both."""
    x = np.where(weights != 0.0, (np.clip(z, low, high) - centre) * weights, 0.0).sum(axis=-1)
    x = (x - x.sum(axis=-2, keepdims=True) / np.maximum(known.sum(axis=0), 1)) * known  # for exact sums of squares
    flipped, count = np.swapaxes(x, -1, -2), known.T @ known
    total = flipped @ known
    other = np.swapaxes(total, -1, -2)
    products = flipped @ x - total * other / np.maximum(count, 1)
    squares = np.swapaxes(x**2, -1, -2) @ known - total**2 / np.maximum(count, 1)
    size = np.sqrt(np.maximum(squares * np.swapaxes(squares, -1, -2), 0.0))
    r = np.divide(products, size, out=np.zeros_like(products), where=size > 0.0)  # all at the limit: no correlation
    return np.asarray(np.sqrt((r[..., *pairs] ** 2).mean(axis=-1)))
