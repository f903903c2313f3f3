"""A table with one row per patient and time, of several studies, becomes patients: arms, outcomes and moderators."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.tables import (
    Column,
    Kind,
    note,
    note_lone,
    numbers_or_empty,
    provenance,
    read_columns,
    refuse_duplicates,
    role_of,
)
from bayesdep.data.times import order_of_column, order_of_times, refuse_actual_times
from bayesdep.models.parts.outcomes import refuse_without_news
from bayesdep.models.parts.people import rows_of_people
from bayesdep.models.patient_meta.moderators import read_moderators

ONLY_TIME = "the only time"


def read_patients(
    frame: pd.DataFrame,
    columns: Mapping[str, str | None],
    meanings: Mapping[str, str],
    *,
    reference: str,
    times: Sequence[str],
    moderators: Sequence[str],
    split: bool,
    units: str,
    scale: float | None = None,
    event: Callable[[np.ndarray], np.ndarray] | None = None,
    draw: Callable[..., tuple[np.ndarray, float, str]] | None = None,
) -> xr.Dataset:
    """Read patients of several studies.

    Parameters
    ----------
    frame
        The user's table. An empty outcome, like a time without a row, is missing.
    columns
        The column for each of ``outcome``, ``study``, ``subject`` and ``arm``, and the column or None for ``time`` and
        ``baseline``. A patient is a subject of a study: two studies may number theirs alike.
    meanings
        What each holds, for messages.
    reference
        The control arm.
    times
        The times to use, in order; where empty all of them, in the order of what their labels say
        (:func:`~bayesdep.data.times.order_of_times`).
    moderators
        Columns of moderators, numbers; a patient without one of them is left out, and counted.
    split
        Whether moderators of patients enter by their study's mean and the patient's deviation from it.
    units
        Units of the outcome.
    scale
        What one sd of the outcome is taken to be, in these units; None for that of all patients, time by time.
    event
        From outcomes to whether there was the event, 1 or 0; then nothing is standardised.
    draw
        Draws missing moderators, as :func:`~bayesdep.models.patient_meta.imputation.impute` does, given
        outcomes as they stand in the table; None where a patient without a moderator is left out.

    Returns
    -------
    xarray.Dataset
        ``outcome`` (subject, time; NaN where missing), ``outcome_mean`` and ``outcome_sd`` (time; of all patients, also
        of those left out for a moderator, so that effects of several analyses are in the same units), ``study_of``
        and ``arm_of`` (subject), ``baseline`` (subject; standardised) where there is one, what
        :func:`~bayesdep.models.patient_meta.moderators.read_moderators` returns, and in attrs ``left_out``, who was
        and why.

    Raises
    ------
    BadInput
        Naming the column, row and remedy.
    """
    kinds: dict[str, Kind] = {"study": "label", "subject": "label", "arm": "label"}
    if columns["time"] is not None:
        kinds["time"] = "label"
    contracts = {word: Column(str(columns[word]), kind, meanings[word], role_of(word)) for word, kind in kinds.items()}
    read = read_columns(frame, contracts)
    if columns["time"] is None:
        read["time"] = np.full(len(frame), ONLY_TIME, dtype=object)
    labels: dict[str, np.ndarray] = {w: read[w] for w in ("study", "subject", "time") if w in contracts}
    refuse_duplicates(labels, contracts, "outcome of")
    outcome = numbers_or_empty(frame, Column(str(columns["outcome"]), "number", meanings["outcome"]))
    keys = pd.MultiIndex.from_arrays([read["study"], read["subject"]])
    person, people = pd.factorize(keys)
    if columns["time"] is not None:
        refuse_actual_times(read["time"], person, columns["time"], "time")
    fixed = {str(columns[w]): meanings[w] for w in ("arm", "baseline") if columns[w] is not None}
    first = rows_of_people(frame, fixed | dict.fromkeys(moderators, "moderator"), person)
    at = np.unique(person, return_index=True)[1]
    chosen = _times(frame, read["time"], times, columns["time"])
    y = np.full((len(people), len(chosen)), np.nan)
    at_time = pd.Index(chosen).get_indexer(pd.Index(read["time"]))
    y[person[at_time >= 0], at_time[at_time >= 0]] = outcome[at_time >= 0]
    note_lone(frame, read["arm"][at], contracts["arm"])
    arms = _two_arms(read["arm"][at], reference, contracts["arm"])
    _refuse_no_outcome(y, chosen, columns, meanings)
    study, empty = read["study"][at], np.isnan(y).all(axis=1)
    left_out = [f"{empty.sum()} of {len(y)} patients have no outcome"] if empty.any() else []
    labels_of_arms = (reference, next(a for a in read["arm"] if a != reference))
    y = _those_compared(y, study, arms, labels_of_arms, chosen, left_out)
    recorded = y
    if event is not None:
        y = event(y)
    mean, sd = np.nanmean(y, axis=0), np.nanstd(y, axis=0)
    for t, time in enumerate(chosen):
        if not sd[t] > 0 and event is not None:
            raise BadInput(
                f"column '{columns['outcome']}' ({meanings['outcome']}): {'everybody' if mean[t] else 'nobody'} had "
                f"the event at time '{time}'; give another at_least or at_most"
            )
        if not sd[t] > 0:
            raise BadInput(
                f"column '{columns['outcome']}' ({meanings['outcome']}) is {mean[t]:g} in everybody at time '{time}'; "
                "name the right column"
            )
    if event is not None:
        mean, sd = 0 * mean, np.ones_like(sd)
    elif scale is not None:
        sd = np.full_like(sd, scale)
    kept = ~np.isnan(y).all(axis=1)
    severity = None
    if columns["baseline"] is not None:
        contract = Column(columns["baseline"], "number", meanings["baseline"])
        severity = read_columns(first, {"baseline": contract})["baseline"]
        if event is None:
            place = f"column '{columns['outcome']}' ({meanings['outcome']})"
            refuse_without_news(recorded, severity, chosen, place, columns["time"], "time")
    complete = None
    if draw is not None:
        complete = partial(
            draw, names=moderators, outcome=recorded[kept], treated=arms[kept],
            study=pd.factorize(study[kept])[0],
            baseline=np.empty((kept.sum(), 0)) if severity is None else severity[kept, None],
        )  # fmt: skip
    how: dict[str, Any] = {"split": split, "left_out": left_out, "complete": complete}
    found, kept = read_moderators(first, moderators, kept, study, arms, **how)
    still = _those_compared(np.where(kept[:, None], y, np.nan), study, arms, labels_of_arms, chosen, left_out)
    if not np.array_equal(np.isnan(still), np.isnan(y) | ~kept[:, None]):  # an arm had nobody with the moderators
        y, kept = still, ~np.isnan(still).all(axis=1)
        found, kept = read_moderators(first, moderators, kept, study, arms, **how)
    for sentence in left_out[bool(empty.any()) :]:
        note(frame, sentence)
    of, studies = pd.factorize(study[kept])
    if len(studies) < 2:
        gone = " with both arms and what is needed," if left_out else ""
        raise BadInput(
            f"column '{columns['study']}' ({meanings['study']}): there is one study, '{studies[0]}',{gone} so effects "
            "cannot be seen to differ between studies; give more, or use family = 'trial'"
        )
    values = {
        "outcome": (("subject", "time"), y[kept], {"units": units}),
        "outcome_mean": ("time", mean),
        "outcome_sd": ("time", sd),
        "study_of": ("subject", of),
        "arm_of": ("subject", arms[kept]),
    }
    names = people.get_level_values(1).to_numpy(dtype=str)
    if len(np.unique(names)) < len(names):
        names = np.char.add(np.char.add(people.get_level_values(0).to_numpy(dtype=str), " / "), names)
    data = xr.Dataset(
        values,
        {
            "subject": names[kept],
            "time": np.array(chosen, dtype=str),
            "study": np.array(studies, dtype=str),
            "arm": list(labels_of_arms),
        },
        provenance(frame),
    ).merge(found, combine_attrs="no_conflicts")
    if severity is not None:
        baseline = severity[kept]
        if not baseline.std() > 0:
            raise BadInput(
                f"column '{columns['baseline']}' ({meanings['baseline']}) is {baseline[0]:g} in everybody; leave it out"
            )
        about = {"mean": float(baseline.mean()), "sd": float(baseline.std())}
        data["baseline"] = ("subject", (baseline - about["mean"]) / about["sd"], about)
    data.attrs["left_out"] = "; ".join([x for x in (data.attrs["left_out"], *left_out) if x])
    return data


def _times(frame: pd.DataFrame, labels: np.ndarray, wanted: Sequence[str], column: str | None) -> list[str]:
    known = list(dict.fromkeys(labels))
    if column is None and wanted:
        raise BadInput(f"times = {list(wanted)}, but no column of times is named; name it in time, or leave times out")
    for time in wanted:
        if time not in known:
            raise BadInput(f"times: '{time}' is not in column '{column}'; {did_you_mean(time, known)}")
    chosen = list(wanted)
    if column is not None and not chosen and len(known) <= 2:
        order, place = order_of_column(frame, column), f"column '{column}' (time)"
        found = order_of_times(labels, order=order, place=place, remedy="name them in their order in times")
        if found.note:
            note(frame, f"{place}: {found.note}")
        chosen = list(found.labels)
    chosen = chosen or known
    if len(chosen) > 2:
        shown = ", ".join(chosen[:6]) + (", ..." if len(chosen) > 6 else "")
        raise BadInput(
            f"column '{column}' has {len(chosen)} times ({shown}), and two at most can be modelled "
            "jointly; name one or two in times"
        )
    return chosen


def _two_arms(labels: np.ndarray, reference: str, column: Column) -> np.ndarray:
    names = sorted(dict.fromkeys(labels))
    if reference not in names:
        raise BadInput(
            f"reference = '{reference}', but column '{column.name}' ({column.what}) has only "
            f"{', '.join(map(repr, names))}; name one of these"
        )
    if len(names) != 2:
        raise BadInput(
            f"column '{column.name}' ({column.what}) has {len(names)} arms ({', '.join(names)}), but two are compared; "
            "keep two of them ([data.keep])"
        )
    return (labels != reference).astype(int)


def _those_compared(
    y: np.ndarray, study: np.ndarray, arm: np.ndarray, arms: tuple[str, str], times: Sequence[str], left_out: list[str]
) -> np.ndarray:
    """Return outcomes without those of a study and time at which one arm alone was seen: nobody there is compared."""
    found = y.copy()
    for name in dict.fromkeys(study):
        here = study == name
        lone: dict[str, list[str]] = {}
        for t, time in enumerate(times):
            seen = {int(a) for a in arm[here & ~np.isnan(y[:, t])]}
            if len(seen) == 1:
                lone.setdefault(arms[1 - seen.pop()], []).append(time)
                found[here, t] = np.nan
        gone = int((here & ~np.isnan(y).all(axis=1) & np.isnan(found).all(axis=1)).sum())
        for lacking, when in lone.items():
            at = f" at {' and '.join(map(repr, when))}" if len(times) > 1 else ""
            what = f"its {gone} patients are" if gone else "its outcomes then are"
            left_out.append(f"study '{name}' has nobody on {lacking}{at} to compare with, so {what} left out")
    for t, time in enumerate(times):
        if np.isnan(found[:, t]).all():
            at, other = (f" at time '{time}'", ", or leave that time out of times") if len(times) > 1 else ("", "")
            raise BadInput(
                f"no study has patients of both arms, {arms[0]} and {arms[1]}, with an outcome{at}, so nobody is "
                f"compared with patients randomised together; give studies with both arms{other}"
            )
    return found


def _refuse_no_outcome(
    y: np.ndarray, times: Sequence[str], columns: Mapping[str, str | None], meanings: Mapping[str, str]
) -> None:
    for t, time in enumerate(times):
        if np.isnan(y[:, t]).all():
            raise BadInput(
                f"column '{columns['outcome']}' ({meanings['outcome']}) is empty throughout at time '{time}'; "
                "leave that time out of times"
            )
