"""From a long table of outcomes and measurements to patients by visits, and patients by markers by times.

A row has an outcome, a measurement of a marker, or both: so the tables of the clinic and of the laboratory can be put
one below the other (:func:`bayesdep.data.visits.join_markers`), or be merged. A measurement is a row that names a
marker; where there is no column of markers, one whose concentration or flag is filled in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.detection import Detection, read_detection
from bayesdep.data.errors import BadInput
from bayesdep.data.tables import (
    Column,
    Kind,
    as_frame,
    is_blank,
    note,
    note_lone,
    numbers_or_empty,
    provenance,
    read_columns,
    refuse_duplicates,
    role_of,
    rows_with_notes,
)
from bayesdep.data.times import order_of_times
from bayesdep.models.parts.categories import places_of_categories
from bayesdep.models.parts.contrasts import refuse_without_correlation
from bayesdep.models.parts.covariates import columns_of, read_covariates, refuse_covariates_of
from bayesdep.models.parts.people import rows_of_people
from bayesdep.models.parts.scale import scale_of
from bayesdep.models.parts.settings import column_fields
from bayesdep.models.trajectories import refusals
from bayesdep.models.trajectories.courses import Basis, basis_of
from bayesdep.models.trajectories.factor import coords_of_factor
from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.models.trajectories.subgroups import read_subgroups

KINDS = ("detected", "left", "right", "interval")  # of a measurement; -1 where there was none
UNMEASURED = 4  # of a value that there was no measurement of, and that is a parameter
_MANY_PER_PERSON = 2  # times of the table over the most of any patient; above this, times are actual ones
_FEW_TIMES = 3  # which are planned ones in any case
_DEFAULT_TIMES = 5  # at which means are reported where times are actual ones


def prepare(settings: TrajectoriesSettings, table: Any) -> xr.Dataset:
    """Turn a long table into patients by visits, and patients by markers by times.

    Parameters
    ----------
    settings
        The model's settings.
    table
        A dataframe.

    Returns
    -------
    xarray.Dataset
        As :meth:`bayesdep.models.trajectories.model.Trajectories.prepare` returns it.

    Raises
    ------
    BadInput
        Naming column, row and remedy.
    """
    frame = as_frame(table)
    rows = _read_rows(settings, frame)
    patients = _rows_of_patients(settings, frame, rows.patient)
    arm_of, arms = _arms(settings, frame, patients)
    for name in ("arm_effect", "marker_arm_effect", "arm_change", "marker_arm_change"):
        if name in settings.priors:
            refuse_without_correlation(settings.priors[name], name, len(arms) - 1, f"{len(arms)} arms")
    beside = {} if settings.arm is None else {f"column '{settings.arm}' (arm)": np.array(arms, dtype=object)[arm_of]}
    covariates = read_covariates(patients, settings.covariates, beside=beside)
    first, last = float(rows.time.min()), float(rows.time.max())
    if first == last:
        raise BadInput(
            f"column '{settings.time}' ({_meaning(settings, 'time')}) is {first:g} in every row, so there is no course "
            "over time; name the right column, or use family = 'trial' for one visit"
        )
    indicator = np.eye(len(arms))[arm_of, 1:]
    variables: dict[str, Any] = {
        "arm_of": ("subject", arm_of),
        "arm_code": (("subject", "comparison"), indicator - indicator.mean(axis=0)),
        "covariates": (("subject", "covariate"), covariates.values),
        "covariate_mean": ("covariate", covariates.means),
        "covariate_sd": ("covariate", covariates.sds),
    }
    coords: dict[str, Any] = {
        "subject": np.array(rows.people, dtype=str),
        "arm": np.array(arms, dtype=str),
        "comparison": np.array(arms[1:], dtype=str),
        "covariate": np.array(covariates.names, dtype=str),
        "power": list(settings.powers),
    }
    data = xr.Dataset(variables, coords).merge(_outcomes(settings, frame, rows, (first, last), arm_of, arms))
    if settings.has_markers:
        data = data.merge(_markers(settings, frame, rows, (first, last), arm_of, arms))
        if settings.exact:
            data = data.assign(_values_that_outcomes_need(settings, data))
    if settings.subgroups:
        known = ~np.isnan(data["outcome"].values).all(axis=1)
        if settings.has_markers:
            known &= (data["detection"].values >= 0).any(axis=(1, 2))
        data = data.merge(read_subgroups(settings, frame, rows.patient, known, arm_of, arms))
    refusals.note_patients_without(frame, data, settings)
    return data.assign_attrs(provenance(frame))


# Rows of the table


@dataclass(frozen=True)
class _Rows:
    """What the table's rows hold.

    ``people`` in the order of their first rows. By row: ``patient``, which of these it is of; ``time``, a number, and
    ``label``, as it is written; ``outcome``, NaN where there is none; ``is_marker``, whether it has a measurement.
    """

    people: list[str]
    patient: np.ndarray
    time: np.ndarray
    label: np.ndarray
    outcome: np.ndarray
    is_marker: np.ndarray


def _read_rows(settings: TrajectoriesSettings, frame: pd.DataFrame) -> _Rows:
    """Read the columns of patients, times and outcomes, and find the measurements."""
    subject_column = _column(settings, "subject", "label")
    subject = read_columns(frame, {"subject": subject_column})["subject"]
    people = list(dict.fromkeys(subject))
    order = {person: i for i, person in enumerate(people)}
    patient = np.array([order[person] for person in subject])
    time, label = _times(settings, frame)
    is_marker = _is_marker(settings, frame)
    outcome = np.full(len(frame), np.nan)
    if settings.outcome in frame.columns:  # else refused where it is read
        rows = np.flatnonzero(~is_marker | ~is_blank(frame[settings.outcome]))
    else:
        rows = np.arange(len(frame))
    place = f"column '{settings.outcome}' ({_meaning(settings, 'outcome')})"
    if settings.kind == "ordinal":
        rows = rows[~is_blank(frame[settings.outcome].iloc[rows])] if settings.outcome in frame.columns else rows
        outcome[rows] = _categories_of_rows(settings, rows_with_notes(frame, rows), place)
    else:
        outcome[rows] = numbers_or_empty(rows_with_notes(frame, rows), _column(settings, "outcome", "number"))
    if settings.kind in ("response", "event"):
        refusals.refuse_other_than_yes_or_no(outcome, place, settings.kind)
    return _Rows(people, patient, time, label, outcome, is_marker)


def _categories_of_rows(settings: TrajectoriesSettings, part: pd.DataFrame, place: str) -> np.ndarray:
    """Places of the rows' categories, the best first."""
    if not len(part):
        raise BadInput(f"{place} is empty throughout; name the right one")
    labels = read_columns(part, {"outcome": _column(settings, "outcome", "label")})["outcome"]
    numbers = [int(index) + 1 for index in part.index]
    return places_of_categories(labels, settings.categories, np.ones(len(part)), numbers, place)


def _is_marker(settings: TrajectoriesSettings, frame: pd.DataFrame) -> np.ndarray:
    """Whether each row has a measurement of a marker."""
    if not settings.has_markers:
        return np.zeros(len(frame), dtype=bool)
    for word in ("analyte", "value", "censored"):
        name = getattr(settings, word)
        if name is not None and name not in frame.columns:
            read_columns(frame, {word: _column(settings, word, "label")})  # refuses a missing column
    if settings.analyte is not None:
        found = ~is_blank(frame[settings.analyte])
    else:
        found = ~is_blank(frame[str(settings.value)])
        if settings.censored is not None:
            found |= ~is_blank(frame[settings.censored])
    if not found.any():
        raise BadInput(
            f"column '{settings.analyte or settings.value}' ({_meaning(settings, 'analyte')}) is empty throughout, so "
            "there are no markers; name the right column, or leave value out"
        )
    return np.asarray(found)


def _times(settings: TrajectoriesSettings, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The time of every row as a number, and as it is written."""
    column = _column(settings, "time", "label")
    written = read_columns(frame, {"time": column}, many=("time",))["time"]
    try:
        numbers = np.array([float(x) for x in written])
    except ValueError:
        times = order_of_times(written, place=f"column '{column.name}' ({column.what})", remedy="")
        if times.values is None or times.kind == "place":
            raise BadInput(
                f"column '{column.name}' ({column.what}): labels such as '{times.labels[0]}' carry no time; write "
                "numbers, dates, or numbers with a unit like 'week 4'"
            ) from None
        if times.note:
            note(frame, f"column '{column.name}' ({column.what}): {times.note}")
        value_of = dict(zip(times.labels, times.values, strict=True))
        numbers = np.array([value_of[x] for x in written])
    else:
        numbers = read_columns(frame, {"time": _column(settings, "time", "number")}, many=("time",))["time"]
        written = np.array([f"{x:g}" for x in numbers], dtype=object)
    early = np.flatnonzero(numbers < 0)
    if len(early):
        raise BadInput(
            f"column '{column.name}' ({column.what}): row {early[0] + 1} is at {written[early[0]]}, before baseline at "
            "0; leave such rows out, or count time from the first of them"
        )
    return numbers, written


def _rows_of_patients(settings: TrajectoriesSettings, frame: pd.DataFrame, patient: np.ndarray) -> pd.DataFrame:
    """One row per patient, of columns that must not differ between a patient's rows."""
    words = ("outcome", "subject", "time", "arm", "value", "analyte")
    roles = {getattr(settings, w): _meaning(settings, w) for w in words}
    refuse_covariates_of(settings.covariates, roles, list(frame.columns))
    names = {} if settings.arm is None else {str(settings.arm): _meaning(settings, "arm")}
    return rows_of_people(frame, names | dict.fromkeys(columns_of(settings.covariates), "covariate"), patient)


def _arms(settings: TrajectoriesSettings, frame: pd.DataFrame, patients: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Which arm every patient was in, and the arms' names, the reference first."""
    if settings.arm is None:
        return np.zeros(len(patients), dtype=int), ["all"]
    column = _column(settings, "arm", "label")
    labels = read_columns(patients, {"arm": column})["arm"]
    note_lone(frame, labels, column)
    names = list(dict.fromkeys(labels))
    if settings.reference not in names:
        raise BadInput(
            f"reference = '{settings.reference}', but column '{column.name}' ({column.what}) has only "
            f"{', '.join(map(repr, sorted(names)))}; name one of these"
        )
    if len(names) == 1:
        raise BadInput(
            f"column '{column.name}' ({column.what}) is '{names[0]}' in everybody, so there is nothing to compare; "
            "check which rows are kept, or leave arms out with arm = None (in a plan: arm = false)"
        )
    arms = [settings.reference, *sorted(n for n in names if n != settings.reference)]
    return np.array([arms.index(n) for n in labels]), arms


# Times of patients


@dataclass(frozen=True)
class _Slots:
    """Times side by side: planned ones, the same for all, or each patient's own first, second, and so on.

    ``of`` is the place of every row among them, ``labels`` their names, ``time`` (patients, slots) when they were, with
    a time for those that a patient does not have, and ``planned`` the planned times, None where times are actual.
    """

    of: np.ndarray
    labels: list[str]
    time: np.ndarray
    planned: np.ndarray | None


def _slots(people: int, patient: np.ndarray, time: np.ndarray, label: np.ndarray) -> _Slots:
    """Put times of patients side by side."""
    pairs = pd.DataFrame({"patient": patient, "time": time})
    distinct = np.unique(time)
    most = int(pairs.drop_duplicates().groupby("patient").size().max())
    if len(distinct) <= max(_FEW_TIMES, _MANY_PER_PERSON * most):
        name_of = dict(zip(time, label, strict=True))
        of = np.searchsorted(distinct, time)
        labels = [str(name_of[t]) for t in distinct]
        return _Slots(of, labels, np.broadcast_to(distinct, (people, len(distinct))).copy(), distinct)
    of = pairs.groupby("patient")["time"].rank(method="dense").to_numpy().astype(int) - 1
    at = np.full((people, most), np.nan)
    at[patient, of] = time
    gap = np.ptp(distinct) / max(most - 1, 1)
    for row in at:  # times that a patient does not have: after the last one, evenly
        seen = ~np.isnan(row)
        start = row[seen].max() if seen.any() else distinct[0]
        row[~seen] = start + gap * np.arange(1, (~seen).sum() + 1)
    return _Slots(of, [str(k + 1) for k in range(most)], at, None)


def _course(
    settings: TrajectoriesSettings, word: str, slots: _Slots, observed: np.ndarray, ends: tuple[float, float]
) -> Basis:
    """The columns of a course; visits need planned times."""
    course = getattr(settings, word)
    if course == "visits" and slots.planned is None:
        raise BadInput(
            f"{word} = 'visits' gives every time a mean of its own, but column '{settings.time}' "
            f"({_meaning(settings, 'time')}) has {len(np.unique(observed)):,} different times and nobody has more than "
            f"{slots.time.shape[1]}; use {word} = 'linear' or 'spline', or write the planned times"
        )
    least = {"linear": 2, "quadratic": 3, "spline": settings.knots, "cyclic": 5, "visits": 1}[course]
    found = len(np.unique(observed))
    if found < least:
        raise BadInput(
            f"{word} = '{course}' needs {least} different times, but column '{settings.time}' "
            f"({_meaning(settings, 'time')}) has {found} there; use {word} = 'visits'"
        )
    if settings.equal_baseline and course == "visits" and observed.min() > ends[0]:
        raise BadInput(
            f"equal_baseline makes arms equal at time {ends[0]:g}, but with {word} = 'visits' the first of column "
            f"'{settings.time}' ({_meaning(settings, 'time')}) there is {observed.min():g}; use {word} = 'linear', or "
            "leave equal_baseline out"
        )
    return basis_of(course, *ends, observed, knots=settings.knots, period=settings.period)


def _columns_over_time(
    settings: TrajectoriesSettings, basis: Basis, time: np.ndarray, prefix: str, slot: str, first: int = 0
) -> dict[str, Any]:
    """The columns of a course, from its ``first``, of arms' differences and of patients' deviations."""
    of_arms = basis.since_first(time) if settings.equal_baseline else basis.columns(time)[..., 1:]
    powers = np.stack([basis.share(time) ** k for k in range(len(settings.powers))], axis=-1)
    return {
        f"{prefix}time": (("subject", slot), time),
        f"{prefix}course_columns": (
            ("subject", slot, f"{prefix}term"),
            basis.columns(time)[..., first:],
            basis.to_attrs(),
        ),
        f"{prefix}arm_columns": (("subject", slot, f"{prefix}change"), of_arms),
        f"{prefix}deviation_columns": (("subject", slot, "power"), powers),
    }


# The outcome


def _outcomes(
    settings: TrajectoriesSettings,
    frame: pd.DataFrame,
    rows: _Rows,
    ends: tuple[float, float],
    arm_of: np.ndarray,
    arms: Sequence[str],
) -> xr.Dataset:
    """Outcomes by patient and visit, and the columns of their course."""
    used = np.flatnonzero(~np.isnan(rows.outcome))
    _refuse_two_outcomes(settings, frame, rows, used)
    slots = _slots(len(rows.people), rows.patient[used], rows.time[used], rows.label[used])
    outcome = np.full(slots.time.shape, np.nan)
    outcome[rows.patient[used], slots.of] = rows.outcome[used]
    place = f"column '{settings.outcome}' ({_meaning(settings, 'outcome')})"
    if settings.kind == "event":
        _refuse_no_intervals(settings, slots)
        refusals.refuse_after_event(outcome, rows.people, slots.labels, place)
    each = slots.labels if slots.planned is not None and settings.course == "visits" else None
    refusals.refuse_arms_without(outcome, arm_of, arms, each, place)
    basis = _course(settings, "course", slots, rows.time[used], ends)
    over_time = _columns_over_time(settings, basis, slots.time, "", "visit", settings.first_term)
    scale, centre = 1.0, 0.0
    if settings.kind == "score":
        columns = tuple(over_time[f"{word}_columns"][1] for word in ("course", "arm", "deviation"))
        refusals.refuse_no_residual(outcome, columns, arm_of, place, "name the column of what was measured")
        centre = float(np.nanmean(outcome))
        initial = np.array([row[~np.isnan(row)][0] if (~np.isnan(row)).any() else np.nan for row in outcome])
        scale = scale_of(initial, arm_of, stated=settings.scale, where=f"{place} at a patient's first time")
    gaps = np.concatenate([np.diff(np.unique(rows.time[used][rows.patient[used] == i])) for i in range(len(arm_of))])
    variables = {
        "outcome": (("subject", "visit"), outcome, {"units": settings.units}),
        **over_time,
        "centre": ((), centre),
        "scale": ((), scale, {"units": settings.units}),
        "typical_gap": ((), float(np.median(gaps)) if len(gaps) else ends[1] - ends[0]),
    }
    if settings.autocorrelation and not len(gaps):
        raise BadInput("autocorrelation is between visits of a patient, but nobody has two; leave it out")
    reported = _reported(settings, slots, rows.time[used])
    labels = _labels_of(reported, slots)
    variables["reported_time"] = ("reported", reported)
    coords = {
        "visit": np.array(slots.labels, dtype=str),
        "term": ["mean", *basis.terms][settings.first_term :],
        "change": basis.terms,
        "reported": np.array(labels, dtype=str),
    }
    if settings.kind == "ordinal":
        coords |= {
            "category": np.array(settings.categories, dtype=str), "up_to": np.array(settings.categories[:-1], dtype=str)
        }  # fmt: skip
    return xr.Dataset(variables, coords)


def _refuse_no_intervals(settings: TrajectoriesSettings, slots: _Slots) -> None:
    """Refuse times that are no ends of intervals."""
    if slots.planned is None:
        raise BadInput(
            f"kind = 'event' counts events in intervals that are the same for everybody, but column '{settings.time}' "
            f"({_meaning(settings, 'time')}) has times of each patient's own; write the end of the planned interval in "
            "every row"
        )


def _refuse_two_outcomes(settings: TrajectoriesSettings, frame: pd.DataFrame, rows: _Rows, used: np.ndarray) -> None:
    """Refuse two outcomes of a patient at one time; the same number beside several markers is one outcome."""
    first: dict[tuple[int, float], int] = {}

    def written(row: int) -> str:
        outcome = rows.outcome[row]
        return f"'{settings.categories[int(outcome)]}'" if settings.kind == "ordinal" else f"{outcome:g}"

    for row in used:
        key = (int(rows.patient[row]), float(rows.time[row]))
        before = first.setdefault(key, int(row))
        if before == row:
            continue
        alone = not (rows.is_marker[row] or rows.is_marker[before])
        if alone or rows.outcome[row] != rows.outcome[before]:
            raise BadInput(
                f"column '{settings.outcome}' ({_meaning(settings, 'outcome')}): patient '{rows.people[key[0]]}' has "
                f"{written(before)} in row {frame.index[before] + 1} and {written(row)} in row "
                f"{frame.index[row] + 1}, both at time {rows.label[row]}; keep one of them"
            )


def _reported(settings: TrajectoriesSettings, slots: _Slots, observed: np.ndarray) -> np.ndarray:
    """Times at which means are reported."""
    if settings.at:
        return np.array(settings.at)
    if slots.planned is not None:
        return slots.planned[np.isin(slots.planned, observed)]
    return np.linspace(observed.min(), observed.max(), _DEFAULT_TIMES)


def _labels_of(times: np.ndarray, slots: _Slots) -> list[str]:
    """Names of reported times: as planned ones are written, else numbers."""
    written = {} if slots.planned is None else dict(zip(slots.planned.tolist(), slots.labels, strict=True))
    return [written.get(float(t), f"{t:.4g}") for t in times]


# The markers


def _markers(
    settings: TrajectoriesSettings,
    frame: pd.DataFrame,
    rows: _Rows,
    ends: tuple[float, float],
    arm_of: np.ndarray,
    arms: Sequence[str],
) -> xr.Dataset:
    """Log2 concentrations, or the intervals they lie in, by patient, marker and time."""
    used = np.flatnonzero(rows.is_marker)
    part = rows_with_notes(frame, used)
    analyte, detection = _measurements(settings, part)
    names = list(dict.fromkeys(analyte))
    marker = np.array([names.index(a) for a in analyte])
    refusals.refuse_unknown_exact(settings, names)
    refusals.refuse_inexact(settings, part, analyte, detection.kind)
    refusals.refuse_two_values(settings, part, analyte, np.column_stack([rows.patient[used], rows.time[used]]), names)
    slots = _slots(len(rows.people), *_times_of_markers(settings, rows, used))
    shape = (len(rows.people), len(names), slots.time.shape[1])
    at = (rows.patient[used], marker, slots.of[: len(used)])

    def spread(values: np.ndarray, empty: float) -> np.ndarray:
        found = np.full(shape, empty)
        found[at] = values
        return found

    by_row = {w: getattr(detection, w) / np.log(2) for w in ("lower", "upper", "lod", "uloq")}
    for limit in ("lod", "uloq"):
        by_row[limit] = np.where(np.isin(analyte, settings.exact), np.nan, by_row[limit])
    kind = spread(np.array([KINDS.index(k) for k in detection.kind]), -1).astype(int)
    lower, upper = spread(by_row["lower"], np.nan), spread(by_row["upper"], np.nan)
    place = f"column '{settings.value}' ({_meaning(settings, 'value')})"
    refusals.refuse_markers(kind, recorded(lower, upper), names, place)
    when = (kind >= 0).any(axis=(0, 1))  # beside exact markers there are times of the outcome alone
    has_means = slots.planned is not None and settings.marker_course == "visits"
    labels_of_slots = [label for label, there in zip(slots.labels, when, strict=True) if there] if has_means else None
    for k, name in enumerate(names):
        seen = np.where(kind[:, k][:, when] >= 0, 1.0, np.nan)
        refusals.refuse_arms_without(seen, arm_of, arms, labels_of_slots, f"{place}, marker '{name}'", "the marker")
    basis = _course(settings, "marker_course", slots, rows.time[used], ends)
    over_time = _columns_over_time(settings, basis, slots.time, "marker_", "marker_visit")
    columns = tuple(over_time[f"marker_{word}_columns"][1] for word in ("course", "arm", "deviation"))
    refusals.refuse_markers_without_residual(np.where(kind > 0, np.inf, lower), columns, arm_of, names, place)
    dims = ("subject", "analyte", "marker_visit")
    units = part[settings.unit].astype(str).to_numpy() if settings.unit else np.full(len(part), "concentration units")
    first = [int(np.flatnonzero(marker == k)[0]) for k in range(len(names))]
    log2 = {"units": "log2 concentration"}
    reported = _reported(settings, slots, rows.time[used])
    return xr.Dataset(
        {
            "lower": (dims, lower, log2),
            "upper": (dims, upper, log2),
            "lod": (dims, spread(by_row["lod"], np.nan), log2),
            "uloq": (dims, spread(by_row["uloq"], np.nan), log2),
            "detection": (dims, kind),
            **over_time,
            "marker_centre": ("analyte", np.nanmean(recorded(lower, upper), axis=(0, 2)), log2),
            "unit": ("analyte", units[first].astype(str)),
            "marker_reported_time": ("marker_reported", reported),
        },
        {
            "analyte": np.array(names, dtype=str),
            "marker_visit": np.array(slots.labels, dtype=str),
            "marker_term": ["mean", *basis.terms],
            "marker_change": basis.terms,
            "marker_reported": np.array(_labels_of(reported, slots), dtype=str),
            **coords_of_factor(settings, names),
        },
    )


def _times_of_markers(
    settings: TrajectoriesSettings, rows: _Rows, used: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patients, times and labels of measurements; then those of outcomes, which exact markers need values for."""
    seen = np.flatnonzero(~np.isnan(rows.outcome)) if settings.exact else np.array([], dtype=int)
    at = np.concatenate([used, seen])
    patient, time, label = rows.patient[at], rows.time[at], rows.label[at]
    if settings.needs_first:
        people, first = np.unique(rows.patient[seen]), int(rows.time.argmin())
        patient = np.concatenate([patient, people])
        time, label = (np.concatenate([x, np.repeat(x0, len(people))]) for x, x0 in
                       ((time, rows.time[first]), (label, rows.label[first])))  # fmt: skip
    return patient, time, label


def _values_that_outcomes_need(settings: TrajectoriesSettings, data: xr.Dataset) -> dict[str, Any]:
    """Which markers are exact, where the values stand that the outcome goes with, and which of these are missing."""
    is_exact, seen = np.isin(data["analyte"].values, settings.exact), ~np.isnan(data["outcome"].values)
    when = data["marker_time"].values
    same = when[:, None, :] == data["time"].values[:, :, None]  # (subject, visit, marker_visit)
    first = when == data["course_columns"].attrs["first"]
    needed = (same & seen[:, :, None]).any(axis=1)
    if settings.needs_first:
        needed |= first & seen.any(axis=1)[:, None]
    missing = needed[:, None, :] & is_exact[:, None] & (data["detection"].values < 0)
    return {
        "is_exact": ("analyte", is_exact.astype(int)),
        "slot_of_visit": (("subject", "visit"), same.argmax(axis=-1)),
        "slot_of_first": ("subject", first.argmax(axis=-1)),
        "is_unmeasured": (("subject", "analyte", "marker_visit"), missing.astype(int)),
    }


def kinds_of(data: xr.Dataset) -> np.ndarray:
    """Return what is known of every marker at every time, parameters that were not measured included.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    numpy.ndarray
        Shape (subject, analyte, marker_visit): places in ``KINDS``, ``UNMEASURED``, or -1 where there is nothing.
    """
    kind = data["detection"].values
    return np.where(data["is_unmeasured"].values == 1, UNMEASURED, kind) if "is_unmeasured" in data else kind


def _measurements(settings: TrajectoriesSettings, part: pd.DataFrame) -> tuple[np.ndarray, Detection]:
    """The marker of every measurement, and the interval that it lies in."""
    words = [w for w in ("subject", "time", "analyte", "plate") if getattr(settings, w) is not None]
    contracts = {w: _column(settings, w, "label") for w in words}
    labels = read_columns(part, contracts, many=("time",))
    analyte = labels.get("analyte", np.full(len(part), str(settings.value), dtype=object))
    refuse_duplicates({w: labels[w] for w in words if w != "plate"}, contracts, "measurement of")
    detection = read_detection(
        part,
        value=str(settings.value),
        analyte=analyte,
        plate=labels.get("plate"),
        flag=settings.censored,
        flag_codes=settings.flag_codes,
        beyond_limit=settings.beyond_limit,
        **{w: getattr(settings, w) for w in ("lod", "lloq", "uloq", "unit")},
    )
    return analyte, detection


def recorded(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Return log values, limits for what lies beyond one, middles of intervals, NaN for what was not measured.

    Parameters
    ----------
    lower, upper
        Ends of the intervals that values lie in, equal where detected.

    Returns
    -------
    numpy.ndarray
        With their shape.
    """
    with np.errstate(invalid="ignore"):  # the middle of an open interval is not used
        return np.where(np.isinf(lower), upper, np.where(np.isinf(upper), lower, (lower + upper) / 2))


# Columns


def _meaning(settings: TrajectoriesSettings, word: str) -> str:
    """What the column for a word of the model holds, for messages."""
    return column_fields(settings)[word]


def _column(settings: TrajectoriesSettings, word: str, kind: Kind) -> Column:
    """What the column for a word of the model must hold."""
    return Column(str(getattr(settings, word)), kind, _meaning(settings, word), role_of(word))
