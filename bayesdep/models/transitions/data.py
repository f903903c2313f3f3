"""From a table of patients and visits, or of published transitions, to what a model of transitions takes."""

import itertools
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.labels import as_label
from bayesdep.data.tables import (
    Column,
    Kind,
    as_frame,
    is_blank,
    note,
    note_lone,
    provenance,
    read_columns,
    refuse_duplicates,
    role_of,
)
from bayesdep.data.times import Times, number_names, order_of_column, order_of_times, refuse_actual_times
from bayesdep.models.parts.covariates import Covariates, columns_of, read_covariates
from bayesdep.models.parts.people import rows_of_people
from bayesdep.models.parts.settings import column_fields
from bayesdep.models.transitions.published_cells import read_cells
from bayesdep.models.transitions.settings import EVERYBODY, TransitionsSettings

_NEAR = 1e-6  # share of a step by which a time may be off a whole number of steps
_MOST_STEPS = 500  # between two visits, or up to the horizon


def prepare(settings: TransitionsSettings, table: Any) -> xr.Dataset:
    """Turn a table into states of patients over visits, or counts of transitions.

    Parameters
    ----------
    settings
        The model's settings.
    table
        A dataframe: a row is a patient's visit, or, for ``input = "counts"`` and ``"shares"``, people who had one state
        before and one after.

    Returns
    -------
    xarray.Dataset
        Of patients: ``state_at_visit`` (subject, visit; its place among the states, -1 where missed), ``first``
        (subject; the first state seen), ``gap`` (subject, visit; steps since the previous visit seen, 0 at the first
        one, -1 where missed) and ``previous`` (its place, -1 at the first one), ``arm_of``, ``profile_of`` and
        ``last_step`` (subject; the step of the last visit seen). Of counts: ``transition_count`` and ``group`` (cell,
        after), ``people``, ``before_of``, ``gap`` and ``arm_of`` (cell). Always: ``covariates`` (profile, covariate),
        ``covariate_sd``, ``start`` (profile, after; where patients are at the beginning, as shares of all),
        ``arm_code`` (arm, comparison), ``elapsed`` (time; in steps) and ``step`` (its length); dims ``arm`` (the
        reference first), ``comparison``, ``before`` (states that can be left) and ``after``.

    Raises
    ------
    BadInput
        Naming column, row and remedy.
    """
    frame = as_frame(table)
    data, people = _read_patients(settings, frame) if settings.input == "patients" else _read_counts(settings, frame)
    arms = data["arm"].values
    in_arm = np.bincount(data["arm_of"].values, weights=people, minlength=len(arms)) / people.sum()
    code = np.eye(len(arms))[:, 1:] - in_arm[1:]  # each arm's indicator, less the share of people in the arm
    if settings.start is not None:
        weight = data["start"].sum("after")
        start = np.eye(len(settings.states))[list(settings.states).index(settings.start)]
        data["start"] = (("profile", "after"), weight.values[:, None] * start)
    coords = {"comparison": arms[1:], "before": settings.left_states, "after": list(settings.states)}
    data = data.assign_coords(coords).assign(arm_code=(("arm", "comparison"), code))
    data.attrs |= provenance(frame)
    return data


# Patients


def _read_patients(settings: TransitionsSettings, frame: pd.DataFrame) -> tuple[xr.Dataset, np.ndarray]:
    """Read one row a patient and visit; also how many people each of the dataset's patients is."""
    words = ("subject", "visit", *(("arm",) if settings.reference is not None else ()))
    contracts = {word: _column(settings, word, "label") for word in words}
    labels = read_columns(frame, contracts)
    labels["visit"] = number_names(labels["visit"])
    visits = _visits(settings, frame, labels["visit"], contracts["visit"])
    refuse_duplicates({word: labels[word] for word in ("subject", "visit")}, contracts, "state of")
    people = list(dict.fromkeys(labels["subject"]))
    patient = np.array([people.index(person) for person in labels["subject"]])
    refuse_actual_times(labels["visit"], patient, settings.visit, "visit")
    states = np.full((len(people), len(visits.labels)), -1)
    states[patient, [visits.labels.index(label) for label in labels["visit"]]] = _states_of(settings, frame)
    elapsed, step, units = _steps(settings, visits)
    _refuse_change_after_absorbing(settings, states, people, visits)
    _refuse_states_nobody_has(settings, set(states.ravel()))
    patients = _rows_of_patients(settings, frame, patient)
    kept = _seen(settings, frame, states)
    patients, states, people = patients[kept], states[kept], [people[k] for k in np.flatnonzero(kept).tolist()]
    _note_states_never_left(settings, frame, {int(x) for row in states for x in row[row >= 0][:-1]})
    arm_of, arms = _arms(settings, frame, patients)
    profile_of, values, covariates = _profiles(settings, patients, arm_of)
    first, gap, previous, last = _gaps(states, elapsed)
    start = _start(settings, states[:, 0], profile_of, len(values), visits)
    by_visit = ("subject", "visit")
    variables = {
        "state_at_visit": (by_visit, states), "gap": (by_visit, gap), "previous": (by_visit, previous),
        "first": ("subject", first), "last_step": ("subject", last), "arm_of": ("subject", arm_of),
        "profile_of": ("subject", profile_of), "covariates": (("profile", "covariate"), values),
        "covariate_sd": ("covariate", covariates.sds), "start": (("profile", "after"), start),
        "elapsed": ("time", elapsed[1:]), "step": ((), step, {"units": units}),
    }  # fmt: skip
    names = np.array(visits.labels, dtype=str)
    coords = {
        "subject": np.array(people, dtype=str), "visit": names, "time": names[1:], "arm": np.array(arms, dtype=str),
        "covariate": np.array(covariates.names, dtype=str),
    }  # fmt: skip
    return xr.Dataset(variables, coords), np.ones(len(people))


def _states_of(settings: TransitionsSettings, frame: pd.DataFrame) -> np.ndarray:
    """The place of every row's state among the states; -1 where it is empty."""
    if settings.state not in frame.columns:
        read_columns(frame, {"state": _column(settings, "state", "label")})  # refuses a missing column
    cells = frame[settings.state]
    codes = np.full(len(frame), -1)
    for k in np.flatnonzero(~is_blank(cells)).tolist():
        codes[k] = settings.place_of(as_label(cells.iloc[k]), settings.state, int(frame.index[k]))
    return codes


def _visits(settings: TransitionsSettings, frame: pd.DataFrame, labels: np.ndarray, column: Column) -> Times:
    """Visits in their order."""
    levels = list(dict.fromkeys(labels))
    order = order_of_column(frame, column.name)
    if settings.visit_order:
        order = [x for x in number_names(np.array(settings.visit_order, dtype=object)) if x in levels]
    place = f"column '{column.name}' ({column.what})"
    setting = "visit_order" if settings.visit_order else "the column's order"
    remedy = f"state it, first visit first, as visit_order = [{', '.join(map(repr, levels[:6]))}]"
    visits = order_of_times(labels, order=order, place=place, setting=setting, remedy=remedy)
    if visits.note:
        note(frame, f"{place}: {visits.note}")
    if len(visits.labels) < 2:
        raise BadInput(f"{place} is '{visits.labels[0]}' in every row, so nothing can have changed; add a later visit")
    return visits


def _steps(settings: TransitionsSettings, visits: Times) -> tuple[np.ndarray, float, str]:
    """Steps from the first visit to each, the length of a step, and its units."""
    if visits.values is None or visits.kind == "place":
        if settings.step is not None:
            raise BadInput(
                f"step = {settings.step:g}, but visits such as '{visits.labels[0]}' carry no time; leave step out, and "
                "every visit is one step after the one before"
            )
        return np.arange(len(visits.labels)), 1.0, settings.time_units or "steps"
    since = np.array(visits.values) - visits.values[0]
    step = settings.step if settings.step is not None else float(np.diff(since).min())
    names = [f"visit {label}" for label in visits.labels]
    units = settings.time_units or (f"{visits.unit}s" if visits.unit else "units of time")
    return whole_steps(since, step, names, f"column '{settings.visit}'"), step, units


def whole_steps(times: np.ndarray, step: float, names: Sequence[str], where: str) -> np.ndarray:
    """Count times in steps, and refuse one that is between two steps.

    Parameters
    ----------
    times
        Shape (times,).
    step
        The length of a step.
    names
        What each time is called.
    where
        Where they stand, for messages.

    Returns
    -------
    numpy.ndarray
        Whole numbers.

    Raises
    ------
    BadInput
        When one is not a whole number of steps, or there are too many steps.

    Examples
    --------
    >>> whole_steps(np.array([0.0, 4.0, 12.0]), 4.0, ["0", "4", "12"], "column 'week'").tolist()
    [0, 1, 3]
    """
    with np.errstate(all="ignore"):  # times that differ by no more than rounding have infinitely many steps
        ratio = np.where(times == 0, 0.0, times / step)
    if not ratio.max() <= _MOST_STEPS:
        raise BadInput(
            f"{where}: {names[int(ratio.argmax())]} is {ratio.max():.4g} steps of {step:g} after the first, and "
            f"{_MOST_STEPS} are the most; state a longer step"
        )
    steps = np.round(ratio)
    for k in np.flatnonzero(np.abs(ratio - steps) > _NEAR * np.maximum(1.0, ratio)).tolist():
        raise BadInput(
            f"{where}: {names[k]} is {ratio[k]:.4g} steps of {step:g} after the first, but a whole number is needed; "
            "state as step a length that divides all of them"
        )
    return steps.astype(int)


def _refuse_change_after_absorbing(
    settings: TransitionsSettings, states: np.ndarray, people: Sequence[str], visits: Times
) -> None:
    """Refuse a patient who leaves a state that cannot be left."""
    ends = [k for k, state in enumerate(settings.states) if state in settings.absorbing]
    for i, row in enumerate(states):
        (seen,) = np.nonzero(row >= 0)
        for j, k in itertools.pairwise(seen.tolist()):
            if row[j] in ends and row[k] != row[j]:
                end, other = settings.states[row[j]], settings.states[row[k]]
                raise BadInput(
                    f"column '{settings.state}': '{people[i]}' has '{other}' at visit {visits.labels[k]}, after the "
                    f"absorbing state '{end}' at visit {visits.labels[j]}; correct one of them, or leave '{end}' "
                    "out of absorbing"
                )


def _refuse_states_nobody_has(settings: TransitionsSettings, present: Collection[int]) -> None:
    """Refuse a state that nobody ever has: nothing is known of it."""
    for k, state in enumerate(settings.states):
        if k not in present:
            raise BadInput(f"states has '{state}', which nobody in the table ever has; leave it out of states")


def _note_states_never_left(settings: TransitionsSettings, frame: pd.DataFrame, before: Collection[int]) -> None:
    """Note states after which nobody was seen again: what follows them is known from the prior alone."""
    for k in settings.left:
        if k not in before:
            note(
                frame,
                f"nobody was seen again after the state '{settings.states[k]}': the prior alone says what follows",
            )


def _rows_of_patients(settings: TransitionsSettings, frame: pd.DataFrame, patient: np.ndarray) -> pd.DataFrame:
    """One row per patient, of columns that must not differ between a patient's rows."""
    columns: dict[str, str] = {} if settings.reference is None else {settings.arm: column_fields(settings)["arm"]}
    return rows_of_people(frame, columns | dict.fromkeys(columns_of(settings.covariates), "covariate"), patient)


def _seen(settings: TransitionsSettings, frame: pd.DataFrame, states: np.ndarray) -> np.ndarray:
    """Which patients were ever seen; note the others, and refuse a table in which nobody was seen twice."""
    seen = (states >= 0).sum(axis=1)
    if (seen == 0).any():
        note(frame, f"{int((seen == 0).sum())} of {len(seen)} patients have no state at any visit and are left out")
    if not (seen > 1).any():
        raise BadInput(
            f"column '{settings.state}' (state): nobody has one at two visits, so no change was seen; check which rows "
            "are kept"
        )
    return seen > 0


def _arms(settings: TransitionsSettings, frame: pd.DataFrame, patients: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Which arm every patient was in, and the arms' names, the reference first."""
    if settings.reference is None:
        return np.zeros(len(patients), dtype=int), [EVERYBODY]
    column = _column(settings, "arm", "label")
    labels = read_columns(patients, {"arm": column})["arm"]
    note_lone(frame, labels, column)
    return _places_of_arms(settings, labels)


def _places_of_arms(settings: TransitionsSettings, labels: Sequence[str] | np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Which arm each label is, and the arms' names, the reference first."""
    names = list(dict.fromkeys(map(str, labels)))
    if settings.reference not in names:
        raise BadInput(
            f"reference = '{settings.reference}' is no arm in column '{settings.arm}'; "
            f"{did_you_mean(str(settings.reference), names)}"
        )
    if len(names) == 1:
        raise BadInput(
            f"column '{settings.arm}' (arm) is '{names[0]}' in everybody, so there is nothing to compare; leave "
            "reference out for a cohort without arms"
        )
    arms = [settings.reference, *sorted(name for name in names if name != settings.reference)]
    return np.array([arms.index(label) for label in labels]), arms


def _profiles(
    settings: TransitionsSettings, patients: pd.DataFrame, arm_of: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Covariates]:
    """Which of the different rows of covariates every patient has; these rows; and the covariates."""
    beside = {} if settings.reference is None else {"the arm": arm_of.astype(str)}
    read = read_covariates(patients, settings.covariates, beside=beside)
    if not read.names:
        return np.zeros(len(patients), dtype=int), np.zeros((1, 0)), read
    values, profile_of = np.unique(read.values, axis=0, return_inverse=True)
    return profile_of.ravel(), values, read


def _gaps(states: np.ndarray, elapsed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """First states; steps since the previous visit seen and its place; and the step of the last visit seen."""
    gap, previous = np.full(states.shape, -1), np.full(states.shape, -1)
    first, last = np.zeros(len(states), dtype=int), np.zeros(len(states), dtype=int)
    for i, row in enumerate(states):
        (seen,) = np.nonzero(row >= 0)
        first[i], last[i] = row[seen[0]], elapsed[seen[-1]]
        gap[i, seen] = np.diff(elapsed[seen], prepend=elapsed[seen[0]])
        previous[i, seen[1:]] = seen[:-1]
    return first, gap, previous, last


def _start(
    settings: TransitionsSettings, at_first: np.ndarray, profile_of: np.ndarray, profiles: int, visits: Times
) -> np.ndarray:
    """Shares of the patients who were seen at the first visit, by profile and state."""
    seen = at_first >= 0
    if not seen.any():
        raise BadInput(
            f"column '{settings.state}' (state): nobody has one at visit {visits.labels[0]}, from which the states are "
            "followed; leave that visit out"
        )
    start = np.zeros((profiles, len(settings.states)))
    np.add.at(start, (profile_of[seen], at_first[seen]), 1 / seen.sum())
    return start


# Counts and shares


def _read_counts(settings: TransitionsSettings, frame: pd.DataFrame) -> tuple[xr.Dataset, np.ndarray]:
    """Read one row a state before and a state after; also how many people each of the cells is."""
    cells = read_cells(settings, frame)
    _refuse_states_nobody_has(settings, cells.present)
    _note_states_never_left(settings, frame, cells.before)
    arm_of, arms = np.zeros(len(cells.before), dtype=int), [EVERYBODY]
    if settings.reference is not None:
        arm_of, arms = _places_of_arms(settings, cells.arm)
    lengths = np.array(cells.interval)
    step = settings.step if settings.step is not None else float(lengths.min())
    gap = whole_steps(lengths, step, [f"an interval of {x:g}" for x in lengths], f"column '{settings.interval}'")
    horizon = settings.horizon if settings.horizon is not None else float(lengths.max())
    most = int(whole_steps(np.array([horizon]), step, [f"{horizon:g}"], "horizon")[0])
    start = np.bincount(cells.before, cells.people / cells.people.sum(), len(settings.states))[None, :]
    units = settings.time_units or ("steps" if settings.interval is None else "units of time")
    by_cell = ("cell", "after")
    variables = {
        "transition_count": (by_cell, cells.counts), "group": (by_cell, cells.group), "people": ("cell", cells.people),
        "before_of": ("cell", np.array(cells.before)), "gap": ("cell", gap), "arm_of": ("cell", arm_of),
        "covariates": (("profile", "covariate"), np.zeros((1, 0))), "covariate_sd": ("covariate", np.zeros(0)),
        "start": (("profile", "after"), start), "elapsed": ("time", np.arange(1, most + 1)),
        "step": ((), step, {"units": units}),
    }  # fmt: skip
    coords = {
        "cell": np.array(cells.names, dtype=str), "arm": np.array(arms, dtype=str), "covariate": np.zeros(0, dtype=str),
        "time": np.array([f"{step * k:g}" for k in range(1, most + 1)], dtype=str),
    }  # fmt: skip
    return xr.Dataset(variables, coords), cells.people.astype(float)


def _column(settings: TransitionsSettings, word: str, kind: Kind) -> Column:
    """What the column for a word of the model must hold."""
    return Column(str(getattr(settings, word)), kind, column_fields(settings)[word], role_of(word))
