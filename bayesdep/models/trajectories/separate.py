r"""Separate fits of every subgroup by least squares: what is found where each subgroup is looked at alone.

Each question is asked of a subgroup's members only, and of one marker at a time, in closed form:

- a difference between arms: of the mean of patients' last value less their first (or of the last value alone, where
  arms may differ at the first time), with the residual variance pooled over arms;
- an association: the regression, by arm and with one residual variance, of a patient's least-squares slope of the
  outcome over the follow-up (for the link ``"slope"`` and where patients differ by a level only: of the patient's mean)
  on what the link has of the marker: its least-squares slope, half of it for ``"area"``, its first value for
  ``"baseline"``, its mean where there is a level only.

Values beyond a limit stand at the limit, and the marker's error weakens associations: these are not estimates to report
but a record of how many of them look like findings. Intervals are Student's t.
"""

import numpy as np
import xarray as xr
from scipy import stats

from bayesdep.models.trajectories.data import recorded
from bayesdep.models.trajectories.own_lines import marker_for, outcome_for, slopes_by_group
from bayesdep.models.trajectories.settings import TrajectoriesSettings

LEVEL = 0.95


def separate_fits(settings: TrajectoriesSettings, data: xr.Dataset) -> xr.Dataset:
    """Fit every subgroup on its own.

    Parameters
    ----------
    settings
        The model's settings, with subgroups.
    data
        The prepared data.

    Returns
    -------
    xarray.Dataset
        For each question ``q``: ``q``, ``q_lower`` and ``q_upper`` (95%), with the dims of the estimand ``q_in``; NaN
        where a subgroup has too few patients with values, and for responses and events.
    """
    found = {}
    for question in settings.questions:
        if question.startswith("association"):
            found[question] = _associations(settings, data, question)
        else:
            found[question] = _differences(settings, data, question)
    variables = {}
    for question, (dims, estimate, error, freedom) in found.items():
        half = stats.t.ppf((1 + LEVEL) / 2, np.maximum(freedom, 1)) * error
        variables[question] = (dims, estimate)
        variables[f"{question}_lower"], variables[f"{question}_upper"] = (
            (dims, estimate - half),
            (dims, estimate + half),
        )
    coords = {d: data[d].values for d in ("subgroup", "arm", "comparison", "analyte") if d in data.coords}
    return xr.Dataset(variables, coords | ({"link": list(settings.association)} if settings.association else {}))


def looked_at(settings: TrajectoriesSettings, estimands: xr.Dataset, data: xr.Dataset) -> str:
    """Say how many effects were looked at, and of how many the 95% interval excludes none.

    Parameters
    ----------
    settings
        The model's settings.
    estimands
        Of a fit.
    data
        The prepared data.

    Returns
    -------
    str
        Sentences; empty where there are no markers and no subgroups.
    """
    if not settings.questions or not (settings.has_markers or settings.subgroups):
        return ""
    markers = f"{_counted(data.sizes['analyte'], 'marker')} x " if settings.has_markers else ""
    if settings.shared_factor and settings.association:
        markers = f"one factor of {markers.removesuffix(' x ')} x "
    questions = _counted(len(settings.questions), "question")
    asked = " and ".join(name.replace("_", " ") for name in settings.questions)
    number, found = _exclude_zero([estimands[name] for name in settings.questions])
    text = (
        f"Looked at in all patients: {markers}{questions} ({asked}), in {number} intervals of "
        f"{LEVEL:.0%}, of which {found} exclude no effect."
    )
    if not settings.subgroups:
        return text
    number, found = _exclude_zero([estimands[f"{name}_in"] for name in settings.questions])
    alone = separate_fits(settings, data)
    ends = [(alone[f"{name}_lower"], alone[f"{name}_upper"]) for name in settings.questions]
    possible = sum(int(lower.notnull().sum()) for lower, _ in ends)
    striking = sum(int(((lower > 0) | (upper < 0)).sum()) for lower, upper in ends)
    return (
        f"{text} In subgroups: {_counted(data.sizes['subgroup'], 'subgroup')} x {markers}{questions}, "
        f"{number} intervals, of which {found} exclude no effect. Fitted separately by least squares, each subgroup "
        f"alone and one marker at a time, {striking} of {possible} would: without any effect about "
        f"{(1 - LEVEL) * possible:.0f} are expected."
    )


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _exclude_zero(effects: list[xr.DataArray]) -> tuple[int, int]:
    """How many effects there are, and of how many the interval excludes zero; those that cannot vary are none."""
    number = found = 0
    for effect in effects:
        values = effect.transpose("chain", "draw", ...).values
        lower, upper = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=(0, 1))
        varies = np.ptp(values, axis=(0, 1)) > 0
        number += int(varies.sum())
        found += int((varies & ((lower > 0) | (upper < 0))).sum())
    return number, found


type _Found = tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray]


def _differences(settings: TrajectoriesSettings, data: xr.Dataset, question: str) -> _Found:
    """Differences between arms in patients' changes: estimates, standard errors and degrees of freedom."""
    if question == "difference":
        change = _last_less_first(settings, data["outcome"].values)[None]
        if settings.kind != "score":
            change = np.full_like(change, np.nan)
    else:
        logs = recorded(data["lower"].values, data["upper"].values)
        change = np.stack([_last_less_first(settings, logs[:, m]) for m in range(logs.shape[1])])
    shape = (len(change), data.sizes["comparison"], data.sizes["subgroup"])
    estimate, error, freedom = (np.full(shape, np.nan) for _ in range(3))
    arm = data["arm_of"].values
    for g, is_in in enumerate(data["subgroup_member"].values.astype(bool)):
        for m, values in enumerate(change):
            groups = [values[is_in & (arm == a) & np.isfinite(values)] for a in range(data.sizes["arm"])]
            left = sum(map(len, groups)) - len(groups)
            if left < 1 or min(map(len, groups)) < 1:
                continue
            variance = sum(float(((y - y.mean()) ** 2).sum()) for y in groups) / left
            for c, y in enumerate(groups[1:]):
                estimate[m, c, g] = y.mean() - groups[0].mean()
                error[m, c, g] = np.sqrt(variance * (1 / len(y) + 1 / len(groups[0])))
                freedom[m, c, g] = left
    dims = ("analyte", "comparison", "subgroup")
    if question == "difference":
        return dims[1:], estimate[0], error[0], freedom[0]
    return dims, estimate, error, freedom


def _last_less_first(settings: TrajectoriesSettings, values: np.ndarray) -> np.ndarray:
    """By patient, the last value less the first, or the last alone; NaN where there is none, shape (subjects,)."""
    seen = np.isfinite(values)
    count, rows = seen.sum(axis=1), np.arange(len(values))
    last = values[rows, values.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)]
    if not settings.equal_baseline:
        return np.where(count > 0, last, np.nan)
    return np.where(count > 1, last - values[rows, seen.argmax(axis=1)], np.nan)


def _associations(settings: TrajectoriesSettings, data: xr.Dataset, question: str) -> _Found:
    """Regressions of patients' outcomes on their markers, by arm: estimates, standard errors, degrees of freedom."""
    arms, arm = data.sizes["arm"], data["arm_of"].values
    shape = (len(settings.association), data.sizes["analyte"], arms, data.sizes["subgroup"])
    estimate, error, freedom = (np.full(shape, np.nan) for _ in range(3))
    logs = recorded(data["lower"].values, data["upper"].values)
    for k, link in enumerate(settings.association):
        y, (x, _) = outcome_for(settings, data, link), marker_for(settings, data, link, logs)
        for g, is_in in enumerate(data["subgroup_member"].values.astype(bool)):
            for m in range(shape[1]):
                used = is_in & np.isfinite(y) & np.isfinite(x[m])
                by_arm = [used & (arm == a) for a in range(arms)]
                estimate[k, m, :, g], error[k, m, :, g], freedom[k, m, :, g] = slopes_by_group(y, x[m], by_arm)
    dims = ("link", "analyte", "arm", "subgroup")
    if question == "association":
        return dims, estimate, error, freedom
    difference = estimate[:, :, 1:] - estimate[:, :, :1]
    return (
        ("link", "analyte", "comparison", "subgroup"),
        difference,
        np.sqrt(error[:, :, 1:] ** 2 + error[:, :, :1] ** 2),
        freedom[:, :, 1:],
    )
