"""A table with one row per patient, period and day becomes patients by periods by days, with who had what when."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.data.labels import as_label
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
from bayesdep.data.times import number_names, order_of_column, order_of_times, refuse_actual_times
from bayesdep.models.parts.outcomes import refuse_without_news
from bayesdep.models.parts.people import rows_of_people

ONLY_DAY = "all"  # the day of a table that has no column of days


def read_periods(
    frame: pd.DataFrame,
    columns: Mapping[str, str | None],
    meanings: Mapping[str, str],
    *,
    reference: str,
    before: str | None,
    units: str,
) -> xr.Dataset:
    """Read a crossover trial: outcomes, and the treatment of each patient in each period.

    Parameters
    ----------
    frame
        The user's table. An empty outcome, like a row that is not there, is a missing one.
    columns
        The column for each of ``subject``, ``treatment``, ``period`` and ``outcome``, and the column or None for
        ``day`` and ``baseline``.
    meanings
        What each holds, for messages.
    reference
        The treatment the others are compared with.
    before
        What the column of treatments says in rows from before the first treatment, whose outcome is the baseline; None
        where there are no such rows.
    units
        Units of the outcome.

    Returns
    -------
    xarray.Dataset
        ``outcome`` (subject, period, day; NaN where missing), ``treatment_of`` (subject, period; -1 where unknown) and,
        where there is one, ``baseline`` (subject; less its mean) and ``baseline_sd``. Dims ``period`` and ``day`` in
        order, ``treatment`` with the reference first; ``comparison``, the treatments but the reference; ``later``, the
        periods but the first. Patients with nothing but a baseline are left out.

    Raises
    ------
    BadInput
        Naming the column, row and remedy.
    """
    kinds: dict[str, Kind] = {"subject": "label", "treatment": "label"}
    numbers: dict[str, Kind] = {"period": "count"}
    if columns["day"] is not None:
        numbers["day"] = "label"
    contracts = {
        word: Column(str(columns[word]), kind, meanings[word], role_of(word))
        for word, kind in (kinds | numbers).items()
    }
    read = read_columns(frame, {word: contracts[word] for word in kinds})
    is_before = read["treatment"] == before
    if before is not None and not is_before.any():
        raise BadInput(
            f"before = '{before}', but column '{columns['treatment']}' ({meanings['treatment']}) has only "
            f"{_listed(read['treatment'])}; name one of these, or leave before out"
        )
    filled = frame.copy()
    for word in numbers:  # what stands there in rows from before the first treatment is nobody's business
        name = str(columns[word])
        if name in filled:
            filled[name] = filled[name].astype(object).mask(is_before, 0)
    read |= read_columns(filled, {word: contracts[word] for word in numbers})
    for line in filled.attrs.get("notes", []):
        note(frame, line)
    names = {"period": np.array([as_label(v) for v in read["period"]], dtype=object)}
    if "day" in read:
        names["day"] = read["day"]
        names["day"][~is_before] = number_names(read["day"][~is_before])
    labels = {"subject": read["subject"]} | {word: np.where(is_before, "before", names[word]) for word in numbers}
    refuse_duplicates(labels, contracts, "outcome of")
    outcome = numbers_or_empty(frame, Column(str(columns["outcome"]), "number", meanings["outcome"]))

    rows = np.flatnonzero(~is_before)
    people = list(dict.fromkeys(read["subject"][rows]))
    place = {person: i for i, person in enumerate(people)}
    person = np.array([place[p] for p in read["subject"][rows]])
    treatments = _treatments(read["treatment"][rows], reference, contracts["treatment"])
    periods, period = np.unique(read["period"][rows], return_inverse=True)
    _refuse_periods(periods, treatments, contracts["period"])
    treatment_of = _who_had_what(rows, person, period, read["treatment"], people, periods, treatments, contracts)
    if "day" in names:
        refuse_actual_times(names["day"][rows], person, contracts["day"].name, "day")
    day_names = _days(frame, names["day"][rows], contracts["day"]) if "day" in names else [ONLY_DAY]
    day = np.array([day_names.index(d) for d in names["day"][rows]]) if "day" in names else np.zeros_like(period)
    y = np.full((len(people), len(periods), len(day_names)), np.nan)
    y[person, period, day] = outcome[rows]
    period_names = [as_label(p) for p in periods]
    by_day = y.reshape(-1, len(day_names))
    at_days = day_names, f"column '{columns['outcome']}' ({meanings['outcome']})", columns["day"], "day"
    refuse_without_news(by_day, None, *at_days)
    had = [(treatment_of == at).any(axis=1).sum() for at in range(len(treatments))]
    note_lone(frame, np.repeat(np.array(treatments, dtype=object), had), contracts["treatment"])
    data = xr.Dataset(
        {
            "outcome": (("subject", "period", "day"), y, {"units": units}),
            "treatment_of": (("subject", "period"), treatment_of),
        },
        {
            "subject": np.array(people, dtype=str),
            "period": np.array(period_names, dtype=str),
            "day": np.array(day_names, dtype=str),
            "treatment": np.array(treatments, dtype=str),
            "comparison": np.array(treatments[1:], dtype=str),
            "later": np.array(period_names[1:], dtype=str),
        },
        provenance(frame),
    )
    if columns["baseline"] is not None:
        contract = Column(columns["baseline"], "number", meanings["baseline"])
        everybody = read_columns(frame, {"baseline": contract})["baseline"]
        number = {who: i for i, who in enumerate(dict.fromkeys(read["subject"]))}
        rows_of_people(frame, {contract.name: contract.what}, np.array([number[who] for who in read["subject"]]))
        baseline = everybody[rows][np.unique(person, return_index=True)[1]]
        refuse_without_news(by_day, np.repeat(baseline, len(periods)), *at_days)
    elif before is not None:
        baseline = _baseline_of(people, read["subject"][is_before], outcome[is_before], before, str(columns["outcome"]))
    else:
        return data
    if np.ptp(baseline) == 0:
        raise BadInput(
            f"the baseline is {baseline[0]:g} in everybody, so nothing goes with it; leave it out, or check which rows "
            "are kept"
        )
    attrs = {"units": units, "mean": float(baseline.mean())}
    data["baseline_sd"] = ((), float(baseline.std(ddof=1)), {"units": units})
    left = len(set(read["subject"])) - len(people)
    if left:
        sentence = f"{left} patient{'s' if left > 1 else ''} with nothing but a baseline"
        said = data.attrs["left_out"]
        data.attrs["left_out"] = f"{said}; {sentence}" if said else sentence
    return data.assign(baseline=("subject", baseline - baseline.mean(), attrs))


def _days(frame: pd.DataFrame, labels: np.ndarray, column: Column) -> list[str]:
    """Days in their order."""
    order = order_of_column(frame, column.name)
    if order is not None:
        order = [d for d in order if d in set(labels)]  # rows from before the first treatment may name others
    place = f"column '{column.name}' ({column.what})"
    found = order_of_times(labels, order=order, place=place, remedy="")
    if found.note:
        note(frame, f"{place}: {found.note}")
    return list(found.labels)


def _listed(labels: np.ndarray) -> str:
    return ", ".join(map(repr, sorted(set(labels))))


def _treatments(labels: np.ndarray, reference: str, column: Column) -> list[str]:
    """Names of the treatments, the reference first."""
    names = sorted(set(labels))
    if reference not in names:
        raise BadInput(
            f"reference = '{reference}', but column '{column.name}' ({column.what}) has only {_listed(labels)}; name "
            "one of these"
        )
    if len(names) == 1:
        raise BadInput(
            f"column '{column.name}' ({column.what}) is '{names[0]}' in every row, so there is nothing to compare; "
            "check which rows are kept"
        )
    return [reference, *(name for name in names if name != reference)]


def _refuse_periods(periods: np.ndarray, treatments: list[str], column: Column) -> None:
    if len(periods) == 1:
        raise BadInput(
            f"column '{column.name}' ({column.what}) is {periods[0]:g} in every row, so nobody crossed over; check "
            "which rows are kept, or use the trial family"
        )
    if len(periods) > len(treatments):
        raise BadInput(
            f"column '{column.name}' ({column.what}) has {len(periods)} periods "
            f"({', '.join(f'{p:g}' for p in periods)}) for {len(treatments)} treatments, of which a patient has each "
            "once; correct the numbers"
        )


def _who_had_what(
    rows: np.ndarray,
    person: np.ndarray,
    period: np.ndarray,
    labels: np.ndarray,
    people: list[str],
    periods: np.ndarray,
    treatments: list[str],
    contracts: Mapping[str, Column],
) -> np.ndarray:
    """The treatment of each patient in each period (-1: unknown), refusing what is no crossover."""
    column, by = contracts["treatment"], contracts["period"].name
    found = np.full((len(people), len(periods)), -1)
    first = np.zeros(found.shape, dtype=int)
    for row, i, p in zip(rows, person, period, strict=True):
        at = treatments.index(labels[row])
        if found[i, p] not in (-1, at):
            raise BadInput(
                f"column '{column.name}' ({column.what}): rows {first[i, p] + 1} and {row + 1} are both of "
                f"'{people[i]}' in '{by}' {periods[p]:g}, but have '{treatments[found[i, p]]}' and '{labels[row]}'; "
                "correct one of them"
            )
        if found[i, p] == -1:
            found[i, p], first[i, p] = at, row
    for i, had in enumerate(found):
        for at, name in enumerate(treatments):
            twice = periods[had == at]
            if len(twice) > 1:
                raise BadInput(
                    f"column '{column.name}' ({column.what}): '{people[i]}' had '{name}' in '{by}' {twice[0]:g} and "
                    f"{twice[1]:g}, but a patient has each treatment once; correct one of the two"
                )
    for p, had in zip(periods, found.T, strict=True):
        names = np.unique(had[had >= 0])
        if len(names) == 1:
            raise BadInput(
                f"column '{column.name}' ({column.what}): everybody had '{treatments[names[0]]}' in '{by}' {p:g}, so "
                "period and treatment cannot be told apart; check which rows are kept"
            )
    return found


def _baseline_of(people: list[str], who: np.ndarray, values: np.ndarray, before: str, outcome: str) -> np.ndarray:
    """The baseline of each patient, from rows before the first treatment."""
    known = dict(zip(who, values, strict=True))
    for person in people:
        if np.isnan(known.get(person, np.nan)):
            raise BadInput(
                f"'{person}' has no '{outcome}' in a row with '{before}', so no baseline; fill it in, leave the "
                "patient out, or leave before out"
            )
    return np.array([known[person] for person in people])
