"""The clinic's table of visits and the laboratory's table of markers, joined into one."""

from typing import Any

import numpy as np
import pandas as pd

from bayesdep.data.cell_origins import CELL
from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.labels import as_label
from bayesdep.data.tables import Column, as_frame, note, read_columns

_SHOWN = 4


def join_markers(
    visits: Any,
    markers: Any,
    *,
    subject: str = "subject",
    time: str = "time",
    tolerance: float | None = None,
) -> pd.DataFrame:
    """Put measurements of markers below a table of visits, as :class:`~bayesdep.Trajectories` reads both.

    What the visits' table says of a patient (arm, age, ...) is filled in for the patient's measurements; columns that
    differ between a patient's visits are left empty there.

    Parameters
    ----------
    visits
        A row per patient and visit.
    markers
        A row per measurement, with the columns of patients and times.
    subject, time
        The columns that both tables have.
    tolerance
        How far a measurement may be from its patient's nearest visit, in the unit of ``time``; it is then counted as of
        that visit. None to leave times as they are.

    Returns
    -------
    pandas.DataFrame
        The visits' rows, then the measurements'.

    Raises
    ------
    BadInput
        When a patient of the markers has no visit, a time matches no visit, or both tables have one more column of the
        same name that would mix two things.

    Examples
    --------
    >>> visits = pd.DataFrame({"subject": ["a", "a"], "arm": "drug", "time": [0, 7], "score": [30, 20]})
    >>> markers = pd.DataFrame({"subject": ["a"], "time": [6.5], "marker": ["CRP"], "mg_l": [2.1]})
    >>> join_markers(visits, markers, tolerance=1)[["arm", "time", "score", "marker"]].values.tolist()
    [['drug', 0.0, 30.0, nan], ['drug', 7.0, 20.0, nan], ['drug', 7.0, nan, 'CRP']]
    """
    clinic, laboratory = as_frame(visits), as_frame(markers)
    contract = {"subject": Column(subject, "label", "patient", "subject")}
    who, whose = (read_columns(frame, contract)["subject"] for frame in (clinic, laboratory))
    known = {str(p): np.flatnonzero(who == p) for p in dict.fromkeys(who)}
    strangers = [p for p in dict.fromkeys(whose) if p not in known]
    if strangers:
        raise BadInput(
            f"column '{subject}' (patient): the markers have {len(strangers)} patients without a visit, first "
            f"'{strangers[0]}'; {did_you_mean(strangers[0], known)}, or leave their rows out of the markers"
        )
    own = (subject, time, "origin", CELL)  # where a row comes from may differ
    both = [c for c in laboratory.columns if c in clinic.columns and c not in own]
    for column in both:
        _refuse_other_values(clinic, laboratory, column, who, whose)
    laboratory = laboratory.drop(columns=both)
    if tolerance is not None:
        laboratory[time] = _matched(clinic, laboratory, known, whose, time, tolerance)
    else:  # a file's text "0.0" and a number 0 are one time
        as_numbers = [pd.to_numeric(frame[time], errors="coerce") for frame in (clinic, laboratory)]
        if all(
            (n.notna() == frame[time].notna()).all() for n, frame in zip(as_numbers, (clinic, laboratory), strict=True)
        ):
            clinic, laboratory = clinic.assign(**{time: as_numbers[0]}), laboratory.assign(**{time: as_numbers[1]})
    for column in clinic.columns:
        if column in own:
            continue
        text = [as_label(v) if not pd.isna(v) else "" for v in clinic[column]]
        constant = {p: len({text[r] for r in rows}) == 1 for p, rows in known.items()}
        if all(constant.values()) and max(map(len, known.values())) > 1:
            laboratory[column] = [clinic[column].iloc[known[p][0]] for p in whose]
    laboratory[subject] = whose
    joined = pd.concat([clinic.assign(**{subject: who}), laboratory], ignore_index=True)
    joined.attrs = dict(clinic.attrs)
    note(joined, f"{len(laboratory)} measurements of markers were joined to {len(clinic)} visits")
    return joined


def _refuse_other_values(
    clinic: pd.DataFrame, laboratory: pd.DataFrame, column: str, who: np.ndarray, whose: np.ndarray
) -> None:
    """Refuse a column of both tables in which a patient has different values."""
    of: dict[str, set[str]] = {}
    for person, value in zip(who, clinic[column], strict=True):
        of.setdefault(person, set()).add("" if pd.isna(value) else as_label(value))
    for row, (person, value) in enumerate(zip(whose, laboratory[column], strict=True)):
        label = "" if pd.isna(value) else as_label(value)
        if label not in of[person] or len(of[person]) > 1:
            raise BadInput(
                f"column '{column}' is in both tables, and '{person}' has {label!r} in row {row + 1} of the markers "
                f"and {', '.join(map(repr, sorted(of[person])[:_SHOWN]))} among the visits; rename it in one of them, "
                "or correct it"
            )


def _matched(
    clinic: pd.DataFrame,
    laboratory: pd.DataFrame,
    known: dict[str, np.ndarray],
    whose: np.ndarray,
    time: str,
    tolerance: float,
) -> np.ndarray:
    """The time of the nearest visit of every measurement."""
    if not tolerance >= 0:
        raise BadInput(f"tolerance = {tolerance}, but a number of at least zero is needed, such as 0.5")
    column = {"time": Column(time, "number", "time")}
    planned, actual = (read_columns(frame, column, many=("time",))["time"] for frame in (clinic, laboratory))
    nearest = np.empty(len(actual))
    for row, (person, at) in enumerate(zip(whose, actual, strict=True)):
        own = planned[known[person]]
        nearest[row] = own[np.abs(own - at).argmin()]
        if abs(nearest[row] - at) > tolerance:
            raise BadInput(
                f"column '{time}' (time): row {row + 1} of the markers is of '{person}' at {at:g}, and the nearest "
                f"visit of that patient is at {nearest[row]:g}, further than tolerance = {tolerance:g}; widen it, "
                "correct the time, or leave tolerance out"
            )
    return nearest
