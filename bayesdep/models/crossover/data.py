"""A table with one row per patient, period and day becomes patients by periods by days, with treatments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.data.labels import as_label
from bayesdep.data.tables import (
    Column,
    Kind,
    as_frame,
    note,
    note_lone,
    numbers_or_empty,
    provenance,
    read_columns,
    refuse_duplicates,
    role_of,
)
from bayesdep.data.times import number_names, order_of_column, order_of_times, refuse_actual_times
from bayesdep.models.crossover.design import code_design, refuse_unknowable, within_cells
from bayesdep.models.crossover.settings import CrossoverSettings
from bayesdep.models.crossover.terms import roots_of_effects
from bayesdep.models.parts.contrasts import refuse_without_correlation
from bayesdep.models.parts.outcomes import refuse_without_news
from bayesdep.models.parts.people import rows_of_people
from bayesdep.models.parts.scale import scale_of
from bayesdep.models.parts.settings import column_fields

ONLY_DAY = "all"  # the day of a table that has no column of days


def prepare(settings: CrossoverSettings, table: Any) -> xr.Dataset:
    """Turn a table into patients by periods by days, with the codes of the design and the scale of priors.

    Parameters
    ----------
    settings
        The model's settings.
    table
        A dataframe with one row per patient, period and day.

    Returns
    -------
    xarray.Dataset
        As :meth:`bayesdep.Crossover.prepare` returns it.

    Raises
    ------
    BadInput
        Naming the column, row and remedy.
    """
    data = code_design(read_periods(settings, as_frame(table)), carry_over=settings.carry_over)
    refuse_unknowable(data, joint=settings.days == "joint")
    _refuse_priors(settings, data)
    where = f"column '{settings.outcome}' ({column_fields(settings)['outcome']})"
    scale = scale_of(*within_cells(data), stated=settings.scale, where=where)
    return data.assign(scale=((), scale, {"units": settings.units}))


def _refuse_priors(settings: CrossoverSettings, data: xr.Dataset) -> None:
    for name, roots in roots_of_effects(settings, data).items():
        count = int(np.prod([len(root) for root in roots]))
        if any(len(root) > 1 and (root != np.eye(len(root))).any() for root in roots):
            of = f"{count} differences between treatments, periods or days"
            refuse_without_correlation(settings.priors[name], name, count, of)


@dataclass(frozen=True)
class _Rows:
    """The rows of a table.

    Parameters
    ----------
    subject, treatment
        Labels.
    period
        Numbers; of no meaning before the first treatment.
    day
        Labels; None where there is one day only.
    outcome
        Numbers, NaN where missing.
    is_before
        Whether a row is from before the first treatment.
    contracts
        The columns, by what they hold.
    """

    subject: np.ndarray
    treatment: np.ndarray
    period: np.ndarray
    day: np.ndarray | None
    outcome: np.ndarray
    is_before: np.ndarray
    contracts: Mapping[str, Column]

    @property
    def treated(self) -> np.ndarray:
        """The rows after a treatment, by their numbers."""
        return np.flatnonzero(~self.is_before)


def read_periods(settings: CrossoverSettings, frame: pd.DataFrame) -> xr.Dataset:
    """Read a crossover trial: outcomes, and the treatment of each patient in each period.

    Parameters
    ----------
    settings
        The model's settings.
    frame
        The user's table. An empty outcome, like a row that is not there, is a missing one.

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
    rows = _read_rows(settings, frame)
    treated, contracts = rows.treated, rows.contracts
    people = list(dict.fromkeys(rows.subject[treated]))
    person = pd.Index(people).get_indexer(pd.Index(rows.subject[treated]))
    treatments = _treatments(rows.treatment[treated], settings.reference, contracts["treatment"])
    periods, period = np.unique(rows.period[treated], return_inverse=True)
    _refuse_periods(periods, treatments, contracts["period"])
    treatment_of = _who_had_what(treated, person, period, rows.treatment, people, periods, treatments, contracts)
    days, day = _days(frame, rows, person)
    y = np.full((len(people), len(periods), len(days)), np.nan)
    y[person, period, day] = rows.outcome[treated]
    _refuse_outcomes_without_news(settings, y, days, None)
    had = [(treatment_of == k).any(axis=1).sum() for k in range(len(treatments))]
    note_lone(frame, np.repeat(np.array(treatments, dtype=object), had), contracts["treatment"])
    names = [as_label(p) for p in periods]
    data = xr.Dataset(
        {
            "outcome": (("subject", "period", "day"), y, {"units": settings.units}),
            "treatment_of": (("subject", "period"), treatment_of),
        },
        {
            "subject": np.array(people, dtype=str),
            "period": np.array(names, dtype=str),
            "day": np.array(days, dtype=str),
            "treatment": np.array(treatments, dtype=str),
            "comparison": np.array(treatments[1:], dtype=str),
            "later": np.array(names[1:], dtype=str),
        },
        provenance(frame),
    )
    baseline = _read_baseline(settings, frame, rows, people, person, data)
    return data if baseline is None else _with_baseline(settings, data, baseline, len(set(rows.subject)))


def _read_rows(settings: CrossoverSettings, frame: pd.DataFrame) -> _Rows:
    """Read labels, numbers of periods and outcomes, row by row."""
    meanings, before = column_fields(settings), settings.before
    labels: dict[str, Kind] = {"subject": "label", "treatment": "label"}
    numbers: dict[str, Kind] = {"period": "count"}
    if settings.day is not None:
        numbers["day"] = "label"
    kinds = labels | numbers
    contracts = {w: Column(str(getattr(settings, w)), kind, meanings[w], role_of(w)) for w, kind in kinds.items()}
    read = read_columns(frame, {word: contracts[word] for word in labels})
    is_before = read["treatment"] == before
    if before is not None and not is_before.any():
        raise BadInput(
            f"before = '{before}', but column '{settings.treatment}' ({meanings['treatment']}) has only "
            f"{_listed(read['treatment'])}; name one of these, or leave before out"
        )
    filled = frame.copy()
    for word in numbers:  # rows from before the first treatment may have anything there
        name = contracts[word].name
        if name in filled:
            filled[name] = filled[name].astype(object).mask(is_before, 0)
    read |= read_columns(filled, {word: contracts[word] for word in numbers})
    for line in filled.attrs.get("notes", []):
        note(frame, line)
    names = {"period": np.array([as_label(v) for v in read["period"]], dtype=object)}
    if "day" in read:
        names["day"] = read["day"]
        names["day"][~is_before] = number_names(read["day"][~is_before])
    shown = {"subject": read["subject"]} | {word: np.where(is_before, "before", names[word]) for word in numbers}
    refuse_duplicates(shown, contracts, "outcome of")
    outcome = numbers_or_empty(frame, Column(settings.outcome, "number", meanings["outcome"]))
    day = names.get("day")
    return _Rows(read["subject"], read["treatment"], read["period"], day, outcome, is_before, contracts)


def _refuse_outcomes_without_news(
    settings: CrossoverSettings, y: np.ndarray, days: Sequence[str], baseline: np.ndarray | None
) -> None:
    where = f"column '{settings.outcome}' ({column_fields(settings)['outcome']})"
    by_day = None if baseline is None else np.repeat(baseline, y.shape[1])
    refuse_without_news(y.reshape(-1, len(days)), by_day, days, where, settings.day, "day")


def _read_baseline(
    settings: CrossoverSettings,
    frame: pd.DataFrame,
    rows: _Rows,
    people: Sequence[str],
    person: np.ndarray,
    data: xr.Dataset,
) -> np.ndarray | None:
    """Every patient's baseline, from its column or from rows before the first treatment; None where there is none."""
    if settings.baseline is not None:
        contract = Column(settings.baseline, "number", column_fields(settings)["baseline"])
        everybody = read_columns(frame, {"baseline": contract})["baseline"]
        number = {who: i for i, who in enumerate(dict.fromkeys(rows.subject))}
        rows_of_people(frame, {contract.name: contract.what}, np.array([number[who] for who in rows.subject]))
        baseline = everybody[rows.treated][np.unique(person, return_index=True)[1]]
        _refuse_outcomes_without_news(settings, data["outcome"].values, list(data["day"].values), baseline)
        return np.asarray(baseline)
    if settings.before is not None:
        is_before = rows.is_before
        outcomes = dict(zip(rows.subject[is_before], rows.outcome[is_before], strict=True))
        return _baseline_of(people, outcomes, settings.before, settings.outcome)
    return None


def _with_baseline(settings: CrossoverSettings, data: xr.Dataset, baseline: np.ndarray, subjects: int) -> xr.Dataset:
    """Add the baseline less its mean, and say how many of the table's patients have nothing else."""
    if np.ptp(baseline) == 0:
        raise BadInput(
            f"the baseline is {baseline[0]:g} in everybody, so nothing goes with it; leave it out, or check which rows "
            "are kept"
        )
    attrs = {"units": settings.units, "mean": float(baseline.mean())}
    data["baseline_sd"] = ((), float(baseline.std(ddof=1)), {"units": settings.units})
    gone = subjects - data.sizes["subject"]
    if gone:
        sentence = f"{gone} patient{'s' if gone > 1 else ''} with nothing but a baseline"
        others = data.attrs["left_out"]
        data.attrs["left_out"] = f"{others}; {sentence}" if others else sentence
    return data.assign(baseline=("subject", baseline - baseline.mean(), attrs))


def _days(frame: pd.DataFrame, rows: _Rows, person: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Days in their order, and the number of the day of each row after a treatment."""
    if rows.day is None:
        return [ONLY_DAY], np.zeros(len(person), dtype=int)
    column, labels = rows.contracts["day"], rows.day[rows.treated]
    refuse_actual_times(labels, person, column.name, "day")
    order = order_of_column(frame, column.name)
    if order is not None:
        order = [d for d in order if d in set(labels)]  # rows from before the first treatment may name others
    place = f"column '{column.name}' ({column.what})"
    ordered = order_of_times(labels, order=order, place=place, remedy="")
    if ordered.note:
        note(frame, f"{place}: {ordered.note}")
    days = list(ordered.labels)
    return days, np.array([days.index(d) for d in labels])


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
    treatment_of = np.full((len(people), len(periods)), -1)
    first = np.zeros(treatment_of.shape, dtype=int)
    for row, i, p in zip(rows, person, period, strict=True):
        given = treatments.index(labels[row])
        if treatment_of[i, p] not in (-1, given):
            other = treatments[treatment_of[i, p]]
            raise BadInput(
                f"column '{column.name}' ({column.what}): rows {first[i, p] + 1} and {row + 1} are both of "
                f"'{people[i]}' in '{by}' {periods[p]:g}, but have '{other}' and '{labels[row]}'; correct one of them"
            )
        if treatment_of[i, p] == -1:
            treatment_of[i, p], first[i, p] = given, row
    for i, had in enumerate(treatment_of):
        for k, name in enumerate(treatments):
            twice = periods[had == k]
            if len(twice) > 1:
                raise BadInput(
                    f"column '{column.name}' ({column.what}): '{people[i]}' had '{name}' in '{by}' {twice[0]:g} and "
                    f"{twice[1]:g}, but a patient has each treatment once; correct one of the two"
                )
    for p, had in zip(periods, treatment_of.T, strict=True):
        names = np.unique(had[had >= 0])
        if len(names) == 1:
            raise BadInput(
                f"column '{column.name}' ({column.what}): everybody had '{treatments[names[0]]}' in '{by}' {p:g}, so "
                "period and treatment cannot be told apart; check which rows are kept"
            )
    return treatment_of


def _baseline_of(people: Sequence[str], outcomes: Mapping[str, float], before: str, column: str) -> np.ndarray:
    """The baseline of each patient, from the outcomes of rows before the first treatment."""
    for person in people:
        if np.isnan(outcomes.get(person, np.nan)):
            raise BadInput(
                f"'{person}' has no '{column}' in a row with '{before}', so no baseline; fill it in, leave the "
                "patient out, or leave before out"
            )
    return np.array([outcomes[person] for person in people])
