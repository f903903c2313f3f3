"""A table of item scores at visits becomes assessments by items, and what belongs to patients and visits."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput, did_you_mean
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
from bayesdep.data.times import Times, number_names, order_of_times, refuse_actual_times
from bayesdep.models.items.rough import UNKNOWN, rough_severities
from bayesdep.models.items.settings import ItemsSettings
from bayesdep.models.parts.contrasts import arm_codes, refuse_without_correlation
from bayesdep.models.parts.people import rows_of_people
from bayesdep.models.parts.settings import column_fields

MISSING = -1


def prepare(settings: ItemsSettings, table: Any) -> xr.Dataset:
    """Turn a table of item scores into assessments by items.

    Parameters
    ----------
    settings
        The model's settings.
    table
        A dataframe: one row a patient and visit with a column for every item, or, where ``item`` names a column, one
        row a patient, visit and item. An empty score is missing.

    Returns
    -------
    xarray.Dataset
        ``score`` (assessment, item; -1 where missing), ``subject_of`` and ``visit_of`` (assessment), ``columns``
        (assessment, column: of what effects on single items are multiplied with), ``highest`` (item), ``time`` (visit;
        since the start, over that of the last visit) and ``course`` (visit; the share of the arms' effects that is
        there), ``arm_of`` and ``moderator`` (subject; standardised, its ``mean`` and ``sd`` in attrs), ``arm_code``
        (comparison, arm), ``seen``, ``severity_estimate`` and ``severity_se`` (subject, visit).

    Raises
    ------
    BadInput
        Naming column, row and remedy.
    """
    frame = as_frame(table)
    frame, scores = _scores(settings, frame)
    contracts = {w: _column(settings, w, "label") for w in ("subject", "visit", "arm")}
    read = read_columns(frame, contracts)
    read["visit"] = number_names(read["visit"])
    people = list(dict.fromkeys(read["subject"]))
    subject = np.array([people.index(x) for x in read["subject"]], dtype=int)
    visits = _visits(frame, read["visit"], contracts["visit"], subject)
    visit = np.array([visits.labels.index(x) for x in read["visit"]], dtype=int)
    score, subject_of, visit_of = _assessments(settings, read, contracts, scores, subject, visit)
    about = {settings.arm: _meaning(settings, "arm")}
    if settings.moderator is not None:
        about[settings.moderator] = _meaning(settings, "moderator")
    patients = rows_of_people(frame, about, subject)
    arm_of, arms = _arms(settings, frame, read["arm"][np.unique(subject, return_index=True)[1]], contracts["arm"])
    for name in ("arm_effect", "arm_by_moderator"):
        if name in settings.priors:
            refuse_without_correlation(settings.priors[name], name, len(arms) - 1, f"{len(arms)} arms")
    time, course = _times(settings, visits)
    _refuse_arms_not_seen_after_start(settings, arms, arm_of[subject_of], course[visit_of])
    _note_items_without_news(frame, settings, score)
    data = xr.Dataset(
        {
            "score": (("assessment", "item"), score),
            "subject_of": ("assessment", subject_of),
            "visit_of": ("assessment", visit_of),
            "highest": ("item", np.array(list(settings.items.values()), dtype=int)),
            "time": ("visit", time),
            "course": ("visit", course),
            "arm_of": ("subject", arm_of),
            "moderator": _moderator(settings, patients),
            "arm_code": (("comparison", "arm"), arm_codes(len(arms))),
        },
        {
            "subject": np.array(people, dtype=str),
            "visit": np.array(visits.labels, dtype=str),
            "item": np.array(list(settings.items), dtype=str),
            "arm": np.array(arms, dtype=str),
            "comparison": np.array(arms[1:], dtype=str),
            "assessment": [f"{people[i]} / {visits.labels[j]}" for i, j in zip(subject_of, visit_of, strict=True)],
        },
    )  # fmt: skip
    data = data.assign(columns=_columns(settings, data))
    data = with_scores(data, score)
    data.attrs = provenance(frame)
    return data


def with_scores(data: xr.Dataset, score: np.ndarray) -> xr.Dataset:
    """Return prepared data with other scores of the same assessments.

    Parameters
    ----------
    data
        The prepared data.
    score
        Shape (assessment, item); where the data have none, none is put.

    Returns
    -------
    xarray.Dataset
        With the severities that these scores suggest.
    """
    if "score" in data:
        score = np.where(data["score"].values < 0, MISSING, score)
    estimate = np.zeros((data.sizes["subject"], data.sizes["visit"]))
    error, seen = np.full(estimate.shape, UNKNOWN), np.zeros(estimate.shape, dtype=bool)
    at = data["subject_of"].values, data["visit_of"].values
    estimate[at], error[at] = rough_severities(score, data["highest"].values)
    seen[at] = True
    by_visit = ("subject", "visit")
    return data.assign(
        score=(("assessment", "item"), score),
        severity_estimate=(by_visit, estimate), severity_se=(by_visit, error), seen=(by_visit, seen),
    )  # fmt: skip


# Scores


def _scores(settings: ItemsSettings, frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Scores by item of every row, NaN where missing; rows without any score are left out, and noted."""
    if settings.item is not None:
        return _long_scores(settings, frame)
    for name in settings.items:
        if name not in frame.columns:
            raise BadInput(
                f"column '{name}' (score of an item) is not in the table; leave it out of items, or name the column "
                f"of items as item if every score has a row; {did_you_mean(name, map(str, frame.columns))}"
            )
    kept = np.flatnonzero(~np.all([is_blank(frame[name]) for name in settings.items], axis=0))
    if not len(kept):
        raise BadInput(
            f"column '{next(iter(settings.items))}' and the other items are empty throughout; name the right columns "
            "in items"
        )
    if len(kept) < len(frame):
        note(frame, f"{len(frame) - len(kept)} rows without any item are visits that were missed")
        frame = rows_with_notes(frame, kept)
    return frame, {name: _checked(settings, frame, name, name) for name in settings.items}


def _long_scores(settings: ItemsSettings, frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Scores of a table with one row a score."""
    column = _column(settings, "item", "label")
    names = read_columns(frame, {"item": column})["item"]
    for row, name in enumerate(names):
        if name not in settings.items:
            raise BadInput(
                f"column '{column.name}' ({column.what}): row {frame.index[row] + 1} is '{name}', which items does not "
                f"name; add it there with its highest score; {did_you_mean(name, settings.items)}"
            )
    for name in settings.items:
        if name not in set(names):
            raise BadInput(f"column '{column.name}' ({column.what}) has no row of '{name}'; leave it out of items")
    scores = {}
    for name in settings.items:
        rows = np.flatnonzero(names == name)
        found = np.full(len(frame), np.nan)
        found[rows] = _checked(settings, rows_with_notes(frame, rows), settings.score, name)
        scores[name] = found
    kept = np.flatnonzero(~np.all([np.isnan(x) for x in scores.values()], axis=0))
    return rows_with_notes(frame, kept), {name: x[kept] for name, x in scores.items()}


def _checked(settings: ItemsSettings, frame: pd.DataFrame, column: str, item: str) -> np.ndarray:
    """An item's scores, refusing one that the item cannot have."""
    highest = settings.items[item]
    values = numbers_or_empty(frame, Column(column, "number", f"score of '{item}'"))
    bad = np.flatnonzero(~np.isnan(values) & ((values < 0) | (values > highest) | (values != np.round(values))))
    if len(bad):
        value = values[bad[0]]
        too_high = value > highest and value == round(value)
        remedy = "state the item's highest score in items" if too_high else "empty it if it is missing"
        raise BadInput(
            f"column '{column}' (score of '{item}'): row {frame.index[bad[0]] + 1} is {value:g}, but this item is "
            f"scored 0 to {highest} in whole numbers; correct it, or {remedy}"
        )
    return values


def _assessments(
    settings: ItemsSettings,
    read: dict[str, np.ndarray],
    contracts: dict[str, Column],
    scores: dict[str, np.ndarray],
    subject: np.ndarray,
    visit: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of every patient and visit, and which these are; in the order of patients and visits."""
    by_row = np.column_stack(list(scores.values()))
    words = ("subject", "visit")
    if settings.item is None:
        refuse_duplicates({w: read[w] for w in words}, {w: contracts[w] for w in words}, "items of")
    else:
        item = np.array(list(settings.items), dtype=object)[np.isfinite(by_row).argmax(axis=1)]
        labels = {w: read[w] for w in words} | {"item": item}
        refuse_duplicates(labels, contracts | {"item": _column(settings, "item", "label")}, "score of")
    pairs, place = np.unique(np.column_stack([subject, visit]), axis=0, return_inverse=True)
    found = np.full((len(pairs), by_row.shape[1]), MISSING)
    row, item_of = np.nonzero(np.isfinite(by_row))
    found[place.ravel()[row], item_of] = by_row[row, item_of].astype(int)
    return found, pairs[:, 0], pairs[:, 1]


def _note_items_without_news(frame: pd.DataFrame, settings: ItemsSettings, score: np.ndarray) -> None:
    """Note items that have one score throughout: their effects are those of other items."""
    for m, name in enumerate(settings.items):
        found = score[score[:, m] >= 0, m]
        if np.ptp(found) == 0:
            note(
                frame, f"item '{name}' is {found[0]} in every assessment: what is said of it comes from the other items"
            )


# Visits


def _visits(frame: pd.DataFrame, labels: np.ndarray, column: Column, subject: np.ndarray) -> Times:
    """Visits in their order, which must have times."""
    place = f"column '{column.name}' ({column.what})"
    visits = order_of_times(labels, place=place, remedy="write the time of every visit, in weeks or days")
    if visits.values is None or visits.kind == "place":
        raise BadInput(
            f"{place}: '{visits.labels[0]}' says no time, and effects are in proportion to time; write the time of "
            "every visit, such as 'week 4' or 4"
        )
    if visits.note:
        note(frame, f"{place}: {visits.note}")
    refuse_actual_times(labels, subject, column.name, "visit")
    return visits


def _times(settings: ItemsSettings, visits: Times) -> tuple[np.ndarray, np.ndarray]:
    """Time since the start over that of the last visit, and the share of the arms' effects that is there."""
    since = np.array(visits.values, dtype=float) - settings.start
    if since[-1] <= 0 or len(since) < 2:
        raise BadInput(
            f"column '{settings.visit}' ({_meaning(settings, 'visit')}) has no two visits of which the last is after "
            f"start = {settings.start:g}; add visits, or state in start when treatment began, such as "
            f"{visits.values[0] - 1 if visits.values else 0:g}"
        )
    time = since / since[-1]
    return time, np.maximum(time, 0.0) if settings.course == "proportional" else (time > 0) * 1.0


# Patients


def _arms(
    settings: ItemsSettings, frame: pd.DataFrame, labels: np.ndarray, column: Column
) -> tuple[np.ndarray, list[str]]:
    """The arm of every patient, and the arms' names, the reference first."""
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
            "check which rows are kept"
        )
    arms = [settings.reference, *sorted(n for n in names if n != settings.reference)]
    return np.array([arms.index(n) for n in labels]), arms


def _refuse_arms_not_seen_after_start(
    settings: ItemsSettings, arms: list[str], arm: np.ndarray, course: np.ndarray
) -> None:
    """Refuse an arm of which nobody was seen after the start of treatment."""
    for a, name in enumerate(arms):
        if not (course[arm == a] > 0).any():
            raise BadInput(
                f"column '{settings.arm}': nobody in '{name}' has a visit after start = {settings.start:g}, so its "
                "effect cannot be known; leave that arm out, or correct start"
            )


def _moderator(settings: ItemsSettings, patients: pd.DataFrame) -> tuple[str, np.ndarray, dict[str, Any]]:
    """The moderator of every patient, standardised on the scale on which it enters; zeros where there is none."""
    if settings.moderator is None:
        return "subject", np.zeros(len(patients)), {"mean": 0.0, "sd": 1.0}
    kind: Kind = "positive" if settings.moderator_form == "log" else "number"
    values = read_columns(patients, {"moderator": _column(settings, "moderator", kind)})["moderator"]
    if np.ptp(values) == 0:
        raise BadInput(
            f"column '{settings.moderator}' ({_meaning(settings, 'moderator')}) is {values[0]:g} in everybody; leave "
            "the moderator out"
        )
    entered = np.log(values) if settings.moderator_form == "log" else values
    mean, sd = float(entered.mean()), float(entered.std())
    return "subject", (entered - mean) / sd, {"mean": mean, "sd": sd}


def _columns(settings: ItemsSettings, data: xr.Dataset) -> tuple[tuple[str, str], np.ndarray]:
    """What effects on single items are multiplied with: the arms' codes over time, then the same by the moderator."""
    subject = data["subject_of"].values
    course = data["course"].values[data["visit_of"].values]
    codes = data["arm_code"].values[:, data["arm_of"].values[subject]].T * course[:, None]
    if settings.moderator is None:
        return ("assessment", "column"), codes
    return ("assessment", "column"), np.hstack([codes, codes * data["moderator"].values[subject][:, None]])


def standardised(settings: ItemsSettings, data: xr.Dataset, values: np.ndarray) -> np.ndarray:
    """Return values of the moderator as they enter the model."""
    attrs = data["moderator"].attrs
    entered = np.log(values) if settings.moderator_form == "log" else np.asarray(values, dtype=float)
    return np.asarray((entered - attrs["mean"]) / attrs["sd"])


# Columns


def _meaning(settings: ItemsSettings, word: str) -> str:
    """What the column for a word of the model holds, for messages."""
    return column_fields(settings)[word]


def _column(settings: ItemsSettings, word: str, kind: Kind) -> Column:
    """What the column for a word of the model must hold."""
    return Column(str(getattr(settings, word)), kind, _meaning(settings, word), role_of(word))
