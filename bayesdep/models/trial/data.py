"""A table with one row per patient and visit becomes patients by visits, with what belongs to patients."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

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
from bayesdep.data.times import Times, number_names, order_of_column, order_of_times, refuse_actual_times
from bayesdep.models.parts.covariates import columns_of, read_covariates
from bayesdep.models.parts.outcomes import refuse_without_news
from bayesdep.models.parts.people import rows_of_people
from bayesdep.models.trial import refusals


def read_visits(
    frame: pd.DataFrame,
    columns: Mapping[str, str | None],
    meanings: Mapping[str, str],
    *,
    reference: str,
    formula: str | None,
    level: str | None,
    units: str,
    order: Sequence[str] = (),
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Read a trial: outcomes at visits, arms and baseline values.

    Parameters
    ----------
    frame
        The user's table. An empty outcome, like a visit without a row, is a missing visit.
    columns
        The column for each of ``subject``, ``arm``, ``visit`` and ``outcome``, and the column or None for ``baseline``,
        ``day`` and ``moderator``.
    meanings
        What each holds, for messages.
    reference
        The arm the others are compared with.
    formula
        Covariates of patients, as :func:`~bayesdep.models.parts.covariates.read_covariates` reads them.
    level
        A column of many levels that have a random effect, or None.
    units
        Units of the outcome.
    order
        The visits in order, where their names do not say it.

    Returns
    -------
    xarray.Dataset
        ``outcome`` (subject, visit; NaN where missing), ``day`` (subject, visit; the visit's own time where there is no
        column of days; where the visit would have been if it was missed), ``visit_number`` (visit; the time that its
        name says, NaN where it says none), ``baseline`` (subject; less its mean) and ``baseline_sd`` where there is
        one, ``arm_of`` (subject), ``covariates`` (subject, covariate; standardised), ``covariate_sd`` and, with a
        level, ``site_of`` (subject). Dims ``visit`` in order, ``arm``, the reference first, and ``site``.
    pandas.DataFrame
        One row per patient, in the dataset's order.

    Raises
    ------
    BadInput
        Naming the column, row and remedy.
    """
    labels_of: dict[str, Kind] = {"subject": "label", "arm": "label", "visit": "label"}
    contracts = {
        word: Column(str(columns[word]), kind, meanings[word], role_of(word)) for word, kind in labels_of.items()
    }
    read = read_columns(frame, contracts)
    baseline = None
    if columns["baseline"] is not None:
        contract = Column(str(columns["baseline"]), "number", meanings["baseline"])
        baseline = read_columns(frame, {"baseline": contract})["baseline"]
    read["visit"] = number_names(read["visit"])
    visits = _visits(frame, read["visit"], contracts["visit"], order)
    names = visits.labels
    of_row = np.array([names.index(label) for label in read["visit"]])
    refuse_duplicates({word: read[word] for word in ("subject", "visit")}, contracts, "outcome of")
    outcome = numbers_or_empty(frame, Column(str(columns["outcome"]), "number", meanings["outcome"]))
    people = list(dict.fromkeys(read["subject"]))
    where = {person: i for i, person in enumerate(people)}
    person = np.array([where[p] for p in read["subject"]])
    first = np.unique(person, return_index=True)[1]
    refuse_actual_times(read["visit"], person, str(columns["visit"]), "visit", "day")
    refusals.subject_as_covariate(str(columns["subject"]), (*columns_of(formula), *([level] if level else [])))
    fixed = {str(columns[w]): meanings[w] for w in ("arm", "baseline", "moderator") if columns[w] is not None}
    others = dict.fromkeys([*columns_of(formula), *([level] if level else [])], "covariate")
    patients = rows_of_people(frame, fixed | others, person)
    note_lone(frame, read["arm"][first], contracts["arm"])
    arm_of, arms = _arms(read["arm"][first], reference, contracts["arm"])
    shape = (len(people), len(names))
    y = np.full(shape, np.nan)
    y[person, of_row] = outcome
    place = f"column '{columns['outcome']}' ({meanings['outcome']})"
    refusals.visits_without_an_arm(y, arm_of, arms, names, place)
    found = read_covariates(patients, formula, levels=True)
    days, known = _days(frame, columns, meanings, visits, (person, of_row), people)
    variables: dict[str, Any] = {
        "outcome": (("subject", "visit"), y, {"units": units}),
        "day": (("subject", "visit"), days, {"known": int(known)}),
        "visit_number": ("visit", _values(visits, "time")),
        "arm_of": ("subject", arm_of),
        "covariates": (("subject", "covariate"), found.values),
        "covariate_sd": ("covariate", found.sds),
    }
    coords = {
        "subject": np.array(people, dtype=str),
        "visit": np.array(names, dtype=str),
        "arm": np.array(arms, dtype=str),
        "covariate": np.array(found.names, dtype=str),
    }
    if baseline is not None:
        baseline = baseline[first]
        refusals.constant_baseline(baseline, contract)
        attrs = {"units": units, "mean": float(baseline.mean())}
        variables["baseline"] = ("subject", baseline - baseline.mean(), attrs)
        variables["baseline_sd"] = ((), float(baseline.std()))
    refuse_without_news(y, baseline, names, place, columns["visit"], "visit")
    refusals.aliased_covariates(found, arm_of, baseline, formula)
    if level is not None:
        levels = read_columns(patients, {"level": Column(level, "label", "levels of a random effect")})["level"]
        of_patient, sites = pd.factorize(levels, sort=True)
        refusals.levels_that_tell_nothing(of_patient, level)
        variables["site_of"] = ("subject", of_patient)
        coords["site"] = np.array(sites, dtype=str)
    return xr.Dataset(variables, coords, provenance(frame)), patients


def _visits(frame: pd.DataFrame, labels: np.ndarray, column: Column, stated: Sequence[str]) -> Times:
    """Visits in their order; one that is stated may name visits that no row has."""
    levels = list(dict.fromkeys(labels))
    order = order_of_column(frame, column.name)
    if stated:
        order = [x for x in number_names(np.array([as_label(x) for x in stated], dtype=object)) if x in levels]
    place = f"column '{column.name}' ({column.what})"
    example = f"[{', '.join(map(repr, levels[:6]))}{', ...' if len(levels) > 6 else ''}]"
    remedy = f"state it, first visit first, as visit_order = {example}"
    found = order_of_times(
        labels, order=order, place=place, setting="visit_order" if stated else "the column's order", remedy=remedy
    )
    if found.note:
        note(frame, f"{place}: {found.note}")
    return found


def _values(visits: Times, kind: str) -> np.ndarray:
    """When each visit was, where the labels are of that kind; NaN where they are not."""
    unknown = visits.values is None or visits.kind != kind
    return np.full(len(visits.labels), np.nan) if unknown else np.array(visits.values, dtype=float)


def _days(
    frame: pd.DataFrame,
    columns: Mapping[str, str | None],
    meanings: Mapping[str, str],
    visits: Times,
    place: tuple[np.ndarray, np.ndarray],
    people: list[str],
) -> tuple[np.ndarray, bool]:
    """When every patient's visits were, as recorded or as their names say, and True; else their order, and False."""
    shape = (len(people), len(visits.labels))
    if columns["day"] is None:
        known = [t for t in (_values(visits, "time"), _values(visits, "date")) if np.isfinite(t).all()]
        return np.broadcast_to(known[0] if known else np.arange(shape[1], dtype=float), shape).copy(), bool(known)
    days = np.full(shape, np.nan)
    days[place] = read_columns(frame, {"day": Column(columns["day"], "number", meanings["day"])})["day"]
    _refuse_unordered(days, people, visits.labels, columns["day"])
    return _days_of_missed_visits(days), True


def _arms(labels: np.ndarray, reference: str, column: Column) -> tuple[np.ndarray, list[str]]:
    names = list(dict.fromkeys(labels))
    if reference not in names:
        raise BadInput(
            f"reference = '{reference}', but column '{column.name}' ({column.what}) has only "
            f"{', '.join(map(repr, sorted(names)))}; name one of these"
        )
    if len(names) == 1:
        raise BadInput(
            f"column '{column.name}' ({column.what}) is '{names[0]}' in everybody, so there is nothing to compare; "
            "check which rows are kept"
        )
    arms = [reference, *sorted(n for n in names if n != reference)]
    return np.array([arms.index(n) for n in labels]), arms


def _refuse_unordered(days: np.ndarray, people: list[str], names: Sequence[str], name: str) -> None:
    """Refuse a patient whose days do not rise with the visits."""
    for i, row in enumerate(days):
        (known,) = np.nonzero(~np.isnan(row))
        for j, k in itertools.pairwise(known):
            if row[k] <= row[j]:
                raise BadInput(
                    f"column '{name}': '{people[i]}' has visit {names[k]} on day {row[k]:g}, not after visit "
                    f"{names[j]} on day {row[j]:g}; correct one of them"
                )


def _days_of_missed_visits(days: np.ndarray) -> np.ndarray:
    """Put a missed visit where it would have been: as far between its neighbours as the visits' medians are."""
    usual = np.nanmedian(days, axis=0)
    found = days.copy()
    for row in found:
        known = ~np.isnan(row)
        first, last = np.flatnonzero(known)[[0, -1]]
        inside = np.interp(usual, usual[known], row[known])
        row[:] = np.where(
            usual < usual[first], usual + row[first] - usual[first],
            np.where(usual > usual[last], usual + row[last] - usual[last], inside),
        )  # fmt: skip
    return found
