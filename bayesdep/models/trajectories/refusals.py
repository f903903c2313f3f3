"""Tables of trajectories that cannot answer what is asked: refused before anything is sampled."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.tables import note
from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.numerics.exact_fit import is_explained_exactly


def refuse_arms_without(
    values: np.ndarray,
    arm_of: np.ndarray,
    arms: Sequence[str],
    times: Sequence[str] | None,
    place: str,
    what: str = "that arm",
) -> None:
    """Refuse an arm of which nothing is known, or nothing at a time that has a mean of its own.

    Parameters
    ----------
    values
        Shape (subjects, times), NaN where missing.
    arm_of
        The arm of every patient.
    arms
        Their names.
    times
        Names of planned times, of which every arm needs some; None where a course joins all times.
    place
        The column, for messages.
    what
        What can be left out where an arm has nothing at all.

    Raises
    ------
    BadInput
        Naming the arm and the time.
    """
    for a, arm in enumerate(arms):
        of_arm = ~np.isnan(values[arm_of == a])
        who = "nobody" if len(arms) == 1 else f"nobody in arm '{arm}'"
        if not of_arm.any():
            raise BadInput(f"{place}: {who} has any, so the course there cannot be known; leave {what} out")
        for v, time in enumerate(times or ()):
            if not of_arm[:, v].any():
                raise BadInput(
                    f"{place}: {who} has one at time {time}, so the mean there cannot be known; leave the rows of that "
                    "time out, or use a course that joins the times, such as 'linear'"
                )


def refuse_markers(kind: np.ndarray, logs: np.ndarray, names: Sequence[str], place: str) -> None:
    """Refuse a marker that was never detected, or that has one value.

    Parameters
    ----------
    kind
        Shape (subjects, markers, times): 0 where detected, -1 where not measured.
    logs
        Log values and log limits, NaN where not measured.
    names
        The markers' names.
    place
        The column, for messages.

    Raises
    ------
    BadInput
        Naming the marker.
    """
    for k, name in enumerate(names):
        if not (kind[:, k] == 0).any():
            raise BadInput(
                f"{place}: marker '{name}' was detected in nobody, so nothing can be known of it; leave it out"
            )
        measured = logs[:, k][kind[:, k] >= 0]
        if np.ptp(measured) < 1e-9:
            raise BadInput(f"{place}: marker '{name}' has one value throughout; leave it out")


def refuse_no_residual(
    values: np.ndarray, columns: tuple[np.ndarray, np.ndarray, np.ndarray], arm_of: np.ndarray, place: str, remedy: str
) -> None:
    """Refuse values that patients' own deviations and arms' courses explain exactly: their sd has no posterior.

    Parameters
    ----------
    values
        Shape (subjects, times), NaN where missing.
    columns
        Of the mean course, of arms' differences from it, and of patients' deviations: shapes (subjects, times, ...).
    arm_of
        The arm of every patient.
    place
        The column, for messages.
    remedy
        What helps.

    Raises
    ------
    BadInput
        Naming the column, and the marker if it is one.
    """
    i, t = np.nonzero(~np.isnan(values))
    course, of_arms, own = (x[i, t] for x in columns)
    by_arm = [(arm_of[i] == arm)[:, None] * of_arms for arm in range(1, arm_of.max() + 1)]
    if is_explained_exactly(values[i, t], np.hstack([course, *by_arm]), i, own):
        raise BadInput(
            f"{place}: the course over time and each patient's deviation from it explain every value exactly, so that "
            f"no residual is left whose sd could be estimated; {remedy}"
        )


def refuse_markers_without_residual(
    logs: np.ndarray,
    columns: tuple[np.ndarray, np.ndarray, np.ndarray],
    arm_of: np.ndarray,
    names: Sequence[str],
    place: str,
) -> None:
    """Refuse a marker without a residual. Were one of its values beyond a limit, the residual sd could not be zero.

    Parameters
    ----------
    logs
        Shape (subjects, markers, times): NaN where not measured, infinite beyond a limit.
    columns, arm_of
        As :func:`refuse_no_residual` takes them.
    names
        The markers' names.
    place
        The column, for messages.

    Raises
    ------
    BadInput
        Naming the marker.
    """
    remedy = "leave the marker out" if len(names) > 1 else "name the column of what was measured"
    for k, name in enumerate(names):
        if not np.isinf(logs[:, k]).any():
            refuse_no_residual(logs[:, k], columns, arm_of, f"{place}, marker '{name}'", remedy)


def refuse_unknown_exact(settings: TrajectoriesSettings, known: Sequence[str]) -> None:
    """Refuse exact markers that are not in the table.

    Parameters
    ----------
    settings
        The model's settings.
    known
        The table's markers.

    Raises
    ------
    BadInput
        Naming the marker.
    """
    for name in settings.exact:
        if name not in known:
            raise BadInput(
                f"exact = {list(settings.exact)} has '{name}', which is not a marker of the table; "
                f"{did_you_mean(name, known)}"
            )


def refuse_inexact(settings: TrajectoriesSettings, part: pd.DataFrame, analyte: np.ndarray, kind: np.ndarray) -> None:
    """Refuse values of exact markers beyond a limit: a value is what the outcome goes with, so it is a number.

    Parameters
    ----------
    settings
        The model's settings.
    part
        The rows with measurements.
    analyte
        The marker of each.
    kind
        What is known of each: ``"detected"``, or how it lies beyond a limit.

    Raises
    ------
    BadInput
        Naming the marker and the row.
    """
    for row in np.flatnonzero(np.isin(analyte, settings.exact)):
        if kind[row] != "detected":
            raise BadInput(
                f"column '{settings.value}' (concentration): row {part.index[int(row)] + 1} has '{analyte[row]}' "
                f"beyond a limit, but exact = {list(settings.exact)} needs numbers; leave the row out, or leave "
                f"'{analyte[row]}' out of exact"
            )


def refuse_two_values(
    settings: TrajectoriesSettings, part: pd.DataFrame, analyte: np.ndarray, time: np.ndarray, of: Sequence[str]
) -> None:
    """Refuse two measurements of a marker in a patient at one time, however the time is written.

    Parameters
    ----------
    settings
        The model's settings.
    part
        The rows with measurements.
    analyte
        The marker of each.
    time
        When each was; of one patient, or with the patient as first of two columns.
    of
        The markers of which there can be one.

    Raises
    ------
    BadInput
        Naming the marker and both rows.
    """
    first: dict[tuple[object, ...], int] = {}
    for row in np.flatnonzero(np.isin(analyte, of)):
        before = first.setdefault((analyte[row], *np.atleast_1d(time[row]).tolist()), int(row))
        if before != row:
            raise BadInput(
                f"column '{settings.value}' (concentration): rows {part.index[before] + 1} and "
                f"{part.index[int(row)] + 1} have '{analyte[row]}' of one patient at one time; keep one of them"
            )


def refuse_other_than_yes_or_no(outcome: np.ndarray, place: str, kind: str) -> None:
    """Refuse a response or event that is neither 0 nor 1, or the same in everybody.

    Parameters
    ----------
    outcome
        Shape (rows,), NaN where missing.
    place
        The column, for messages.
    kind
        What the outcome is.

    Raises
    ------
    BadInput
        Naming the value.
    """
    seen = outcome[~np.isnan(outcome)]
    other = seen[(seen != 0) & (seen != 1)]
    if len(other):
        raise BadInput(
            f"{place} has {other[0]:g}, but kind = '{kind}' needs 0 (no) and 1 (yes) only; correct it, or use "
            "kind = 'score'"
        )
    if np.ptp(seen) == 0:
        raise BadInput(f"{place} is {seen[0]:g} in everybody at all times, so there is nothing to estimate; check it")


def refuse_after_event(outcome: np.ndarray, people: Sequence[str], labels: Sequence[str], place: str) -> None:
    """Refuse rows of a patient after the event.

    Parameters
    ----------
    outcome
        Shape (subjects, intervals): 1 with the event, 0 without, NaN where there is no row.
    people
        Names of the patients.
    labels
        Names of the intervals' ends.
    place
        The column, for messages.

    Raises
    ------
    BadInput
        Naming the patient and the times.
    """
    came = np.where((outcome == 1).any(axis=1), (outcome == 1).argmax(axis=1), outcome.shape[1])
    after = ~np.isnan(outcome) & (np.arange(outcome.shape[1]) > came[:, None])
    if after.any():
        i, v = (int(x) for x in np.argwhere(after)[0])
        raise BadInput(
            f"{place}: patient '{people[i]}' has the event at time {labels[came[i]]} and a row at time {labels[v]}; "
            "leave rows after the event out, or use kind = 'response' for what may come and go"
        )


def note_patients_without(frame: pd.DataFrame, data: xr.Dataset, settings: TrajectoriesSettings) -> None:
    """Note patients of whom nothing is known in one of the two parts.

    Parameters
    ----------
    frame
        The table, whose notes these are.
    data
        The prepared data.
    settings
        The model's settings.
    """
    seen = {f"column '{settings.outcome}' (outcome)": ~np.isnan(data["outcome"].values).all(axis=1)}
    if settings.has_markers:
        seen[f"column '{settings.value}' (concentration)"] = (data["detection"].values >= 0).any(axis=(1, 2))
    for place, has_any in seen.items():
        without = data["subject"].values[~has_any]
        if len(without):
            note(frame, f"{place}: {len(without)} of {len(has_any)} patients have none, first '{without[0]}'")
