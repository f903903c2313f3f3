"""From a table with one row per patient and visit to patients by visits, and what belongs to each patient."""

import itertools
from collections.abc import Sequence
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
from bayesdep.data.times import Times, number_names, order_of_column, order_of_times, refuse_actual_times
from bayesdep.models.parts.covariates import columns_of, read_covariates
from bayesdep.models.parts.outcomes import refuse_without_news
from bayesdep.models.parts.people import rows_of_people
from bayesdep.models.parts.scale import scale_of
from bayesdep.models.parts.settings import column_fields
from bayesdep.models.trial import refusals
from bayesdep.models.trial.censored_moderator import read_with_limits
from bayesdep.models.trial.moderator import read_moderator, read_subgroups
from bayesdep.models.trial.response import visit_of
from bayesdep.models.trial.settings import TrialSettings


def prepare(settings: TrialSettings, table: Any) -> xr.Dataset:
    """Turn a table with one row per patient and visit into patients by visits.

    Parameters
    ----------
    settings
        The model's settings.
    table
        A dataframe. A visit without a row, or with an empty outcome, was missed.

    Returns
    -------
    xarray.Dataset
        As :func:`read_visits` returns it; with a moderator what
        :func:`~bayesdep.models.trial.moderator.read_moderator` and, for subgroups,
        :func:`~bayesdep.models.trial.moderator.read_subgroups` return; ``arm_code`` (subject, comparison), the arm's
        indicator less the share of patients in the arm; and the outcome's ``centre`` and ``scale``. Dim
        ``comparison`` has the arms but the reference.

    Raises
    ------
    BadInput
        Naming column, row and remedy.
    """
    frame = as_frame(table)
    data, patients = read_visits(settings, frame)
    refusals.refuse_priors_by_reference(settings.priors, data.sizes["arm"])
    refusals.refuse_unknown_correlations(data, settings.covariance, settings.by_arm)
    refusals.refuse_visits_without_time(settings, data)
    refusals.refuse_scores_for_changes(settings, data)
    if settings.response is not None:
        visit_of(settings.response_when, data, "response_when")
    if settings.remission is not None:
        visit_of(settings.remission_when, data, "remission_when")
    if settings.moderator is not None:
        moderator = _moderator(settings, patients, data["subject"].values)
        data = data.merge(moderator, combine_attrs="override")
        if settings.subgroups:
            data = data.merge(read_subgroups(data, settings.subgroups), combine_attrs="override")
    data.attrs["notes"] = provenance(frame)["notes"]  # with those of patients' columns
    indicator = np.eye(data.sizes["arm"])[data["arm_of"].values, 1:]
    first_visit = f"{_place(settings, 'outcome')} at visit {data['visit'].values[0]}"
    scale = scale_of(data["outcome"].values[:, 0], data["arm_of"].values, stated=settings.scale, where=first_visit)
    return data.assign_coords(comparison=data["arm"].values[1:]).assign(
        arm_code=(("subject", "comparison"), indicator - indicator.mean(axis=0)),
        centre=((), float(np.nanmean(data["outcome"].values))),
        scale=((), scale, {"units": settings.units}),
    )


def _moderator(settings: TrialSettings, patients: pd.DataFrame, subjects: np.ndarray) -> xr.Dataset:
    """Read the moderator: numbers, or intervals where its model is stated."""
    what = _meaning(settings, "moderator")
    if settings.moderator_model is not None:
        return read_with_limits(settings, patients, subjects, what)
    return read_moderator(
        patients, str(settings.moderator), what, settings.moderator_form, threshold=settings.threshold,
        knots=settings.knots,
    )  # fmt: skip


def read_visits(settings: TrialSettings, frame: pd.DataFrame) -> tuple[xr.Dataset, pd.DataFrame]:
    """Read a trial: outcomes at visits, arms, baseline values and covariates.

    Parameters
    ----------
    settings
        The model's settings.
    frame
        The user's table. An empty outcome, like a visit without a row, is a missing visit.

    Returns
    -------
    xarray.Dataset
        ``outcome`` (subject, visit; NaN where missing), ``day`` (subject, visit; the visit's own time where there is no
        column of days; where the visit would have been if it was missed), ``visit_number`` (visit; the time that its
        name says, NaN where it says none), ``baseline`` (subject; less its mean) and ``baseline_sd`` where there is
        one, ``arm_of`` (subject), ``covariates`` (subject, covariate; standardised), ``covariate_sd`` and, with a
        random effect, ``site_of`` (subject). Dims ``visit`` in order, ``arm``, the reference first, and ``site``.
    pandas.DataFrame
        One row per patient, in the dataset's order.

    Raises
    ------
    BadInput
        Naming the column, row and remedy.
    """
    rows = _read_rows(settings, frame)
    patients = _rows_of_patients(settings, frame, rows.patient)
    arm_column = _column(settings, "arm", "label")
    note_lone(frame, rows.of_patients(rows.arm), arm_column)
    arm_of, arms = _arms(rows.of_patients(rows.arm), settings.reference, arm_column)
    outcome = rows.by_visit(rows.outcome)
    place = _place(settings, "outcome")
    refusals.refuse_visits_without_an_arm(outcome, arm_of, arms, rows.visits.labels, place)
    covariates = read_covariates(patients, settings.covariates, levels=True)
    days, is_known = _days(settings, frame, rows)
    variables: dict[str, Any] = {
        "outcome": (("subject", "visit"), outcome, {"units": settings.units}),
        "day": (("subject", "visit"), days, {"known": int(is_known)}),
        "visit_number": ("visit", _times_of_visits(rows.visits, "time")),
        "arm_of": ("subject", arm_of),
        "covariates": (("subject", "covariate"), covariates.values),
        "covariate_mean": ("covariate", covariates.means),
        "covariate_sd": ("covariate", covariates.sds),
    }
    coords = {
        "subject": np.array(rows.people, dtype=str),
        "visit": np.array(rows.visits.labels, dtype=str),
        "arm": np.array(arms, dtype=str),
        "covariate": np.array(covariates.names, dtype=str),
    }
    baseline = None
    if rows.baseline is not None:
        baseline = rows.of_patients(rows.baseline)
        refusals.refuse_constant_baseline(baseline, _column(settings, "baseline", "number"))
        attrs = {"units": settings.units, "mean": float(baseline.mean())}
        variables["baseline"] = ("subject", baseline - baseline.mean(), attrs)
        variables["baseline_sd"] = ((), float(baseline.std()))
    refuse_without_news(outcome, baseline, rows.visits.labels, place, settings.visit, "visit")
    refusals.refuse_aliased_covariates(covariates, arm_of, baseline, settings.covariates)
    refusals.refuse_no_residual(outcome, arm_of, baseline, covariates.values, place)
    if settings.level is not None:
        level_of, levels = _levels(settings.level, patients)
        variables["site_of"] = ("subject", level_of)
        coords["site"] = levels
    return xr.Dataset(variables, coords, provenance(frame)), patients


# Rows of the table


@dataclass(frozen=True)
class _Rows:
    """What the table's rows hold.

    ``people`` in the order of their first rows, and ``visits`` in their own. By row: ``patient`` and ``visit``, which
    of these it is of; ``arm``, a label; ``outcome``, NaN where it is empty; ``baseline``, or None.
    """

    people: list[str]
    visits: Times
    patient: np.ndarray
    visit: np.ndarray
    arm: np.ndarray
    outcome: np.ndarray
    baseline: np.ndarray | None

    def by_visit(self, values: np.ndarray) -> np.ndarray:
        """Spread numbers by row over patients and visits; NaN where there is no row."""
        spread = np.full((len(self.people), len(self.visits.labels)), np.nan)
        spread[self.patient, self.visit] = values
        return spread

    def of_patients(self, values: np.ndarray) -> np.ndarray:
        """Take what every patient's first row has."""
        return values[np.unique(self.patient, return_index=True)[1]]


def _read_rows(settings: TrialSettings, frame: pd.DataFrame) -> _Rows:
    """Read the columns of patients, arms, visits, outcomes and baseline values."""
    contracts = {word: _column(settings, word, "label") for word in ("subject", "arm", "visit")}
    labels = read_columns(frame, contracts)
    baseline = None
    if settings.baseline is not None:
        baseline = read_columns(frame, {"baseline": _column(settings, "baseline", "number")})["baseline"]
    labels["visit"] = number_names(labels["visit"])
    visits = _visits(frame, labels["visit"], contracts["visit"], settings.visit_order)
    refuse_duplicates({word: labels[word] for word in ("subject", "visit")}, contracts, "outcome of")
    outcome = numbers_or_empty(frame, _column(settings, "outcome", "number"))
    people = list(dict.fromkeys(labels["subject"]))
    order = {person: i for i, person in enumerate(people)}
    patient = np.array([order[person] for person in labels["subject"]])
    refuse_actual_times(labels["visit"], patient, settings.visit, "visit", "day")
    visit = np.array([visits.labels.index(label) for label in labels["visit"]])
    return _Rows(people, visits, patient, visit, labels["arm"], outcome, baseline)


def _rows_of_patients(settings: TrialSettings, frame: pd.DataFrame, patient: np.ndarray) -> pd.DataFrame:
    """One row per patient, of columns that must not differ between a patient's rows."""
    used = [*columns_of(settings.covariates), *([settings.level] if settings.level else [])]
    used += columns_of(settings.moderator_covariates)
    refusals.refuse_subject_as_covariate(settings.subject, used)
    of_moderator = ("moderator", "moderator_censored", "moderator_lod", "moderator_uloq")
    words = [word for word in ("arm", "baseline", *of_moderator) if getattr(settings, word) is not None]
    meanings = {str(getattr(settings, word)): _meaning(settings, word) for word in words}
    return rows_of_people(frame, meanings | dict.fromkeys(used, "covariate"), patient)


def _levels(column: str, patients: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The level of every patient, and the levels' names, sorted."""
    read = read_columns(patients, {"level": Column(column, "label", "levels of a random effect")})
    level_of, levels = pd.factorize(read["level"], sort=True)
    refusals.refuse_uninformative_levels(level_of, column)
    return level_of, np.array(levels, dtype=str)


def _arms(labels: np.ndarray, reference: str, column: Column) -> tuple[np.ndarray, list[str]]:
    """Which arm every patient was in, and the arms' names, the reference first."""
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


# When visits were


def _visits(frame: pd.DataFrame, labels: np.ndarray, column: Column, stated: Sequence[str]) -> Times:
    """Visits in their order; one that is stated may name visits that no row has."""
    levels = list(dict.fromkeys(labels))
    order = order_of_column(frame, column.name)
    if stated:
        order = [x for x in number_names(np.array([as_label(x) for x in stated], dtype=object)) if x in levels]
    place = f"column '{column.name}' ({column.what})"
    example = f"[{', '.join(map(repr, levels[:6]))}{', ...' if len(levels) > 6 else ''}]"
    remedy = f"state it, first visit first, as visit_order = {example}"
    visits = order_of_times(
        labels, order=order, place=place, setting="visit_order" if stated else "the column's order", remedy=remedy
    )
    if visits.note:
        note(frame, f"{place}: {visits.note}")
    return visits


def _times_of_visits(visits: Times, kind: str) -> np.ndarray:
    """When each visit was, where the labels are of that kind; NaN where they are not."""
    unknown = visits.values is None or visits.kind != kind
    return np.full(len(visits.labels), np.nan) if unknown else np.array(visits.values, dtype=float)


def _days(settings: TrialSettings, frame: pd.DataFrame, rows: _Rows) -> tuple[np.ndarray, bool]:
    """When every patient's visits were, as recorded or as their names say, and True; else their order, and False."""
    visits = rows.visits
    if settings.day is None:
        times = [_times_of_visits(visits, kind) for kind in ("time", "date")]
        complete = [t for t in times if np.isfinite(t).all()]
        of_visits = complete[0] if complete else np.arange(len(visits.labels), dtype=float)
        return np.broadcast_to(of_visits, (len(rows.people), len(visits.labels))).copy(), bool(complete)
    recorded = rows.by_visit(read_columns(frame, {"day": _column(settings, "day", "number")})["day"])
    _refuse_unordered(recorded, rows.people, visits.labels, settings.day)
    return _with_days_of_missed_visits(recorded), True


def _refuse_unordered(days: np.ndarray, people: list[str], names: Sequence[str], name: str) -> None:
    """Refuse a patient whose days do not rise with the visits."""
    for i, row in enumerate(days):
        (recorded,) = np.nonzero(~np.isnan(row))
        for j, k in itertools.pairwise(recorded):
            if row[k] <= row[j]:
                raise BadInput(
                    f"column '{name}': '{people[i]}' has visit {names[k]} on day {row[k]:g}, not after visit "
                    f"{names[j]} on day {row[j]:g}; correct one of them"
                )


def _with_days_of_missed_visits(days: np.ndarray) -> np.ndarray:
    """Put a missed visit where it would have been: as far between its neighbours as the visits' medians are."""
    medians = np.nanmedian(days, axis=0)
    filled = days.copy()
    for row in filled:
        recorded = ~np.isnan(row)
        first, last = np.flatnonzero(recorded)[[0, -1]]
        between = np.interp(medians, medians[recorded], row[recorded])
        row[:] = np.where(
            medians < medians[first], medians + row[first] - medians[first],
            np.where(medians > medians[last], medians + row[last] - medians[last], between),
        )  # fmt: skip
    return filled


# Columns


def _meaning(settings: TrialSettings, word: str) -> str:
    """What the column for a word of the model holds, for messages."""
    return column_fields(settings)[word]


def _column(settings: TrialSettings, word: str, kind: Kind) -> Column:
    """What the column for a word of the model must hold."""
    return Column(str(getattr(settings, word)), kind, _meaning(settings, word), role_of(word))


def _place(settings: TrialSettings, word: str) -> str:
    """A column and what it holds, for messages."""
    return f"column '{getattr(settings, word)}' ({_meaning(settings, word)})"
