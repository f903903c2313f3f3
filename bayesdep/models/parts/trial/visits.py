"""A table with one row per patient and visit becomes patients by visits, with what belongs to patients."""

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import (
    Column,
    Kind,
    note_lone,
    numbers_or_empty,
    provenance,
    read_columns,
    refuse_duplicates,
    role_of,
)
from bayesdep.models.parts.covariates import columns_of, read_covariates
from bayesdep.models.parts.people import rows_of_people


def read_visits(
    frame: pd.DataFrame,
    columns: Mapping[str, str | None],
    meanings: Mapping[str, str],
    *,
    reference: str,
    formula: str | None,
    units: str,
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Read a trial: outcomes at visits, arms and baseline values.

    Parameters
    ----------
    frame
        The user's table. An empty outcome, like a visit without a row, is a missing visit.
    columns
        The column for each of ``subject``, ``arm``, ``visit``, ``outcome`` and ``baseline``, and the column or None
        for ``day`` and ``moderator``.
    meanings
        What each holds, for messages.
    reference
        The arm the others are compared with.
    formula
        Covariates of patients, as :func:`~bayesdep.models.parts.covariates.read_covariates` reads them.
    units
        Units of the outcome.

    Returns
    -------
    xarray.Dataset
        ``outcome`` (subject, visit; NaN where missing), ``day`` (subject, visit; the visit's number where there is no
        column of days; where the visit would have been if it was missed), ``baseline`` (subject; less its mean),
        ``arm_of`` (subject), ``covariates`` (subject, covariate; standardised) and ``covariate_sd``. Dims ``visit`` in
        order and ``arm``, the reference first.
    pandas.DataFrame
        One row per patient, in the dataset's order.

    Raises
    ------
    BadInput
        Naming the column, row and remedy.
    """
    kinds: dict[str, Kind] = {"subject": "label", "arm": "label", "visit": "number", "baseline": "number"}
    contracts = {word: Column(str(columns[word]), kind, meanings[word], role_of(word)) for word, kind in kinds.items()}
    read = read_columns(frame, contracts)
    labels = {"subject": read["subject"], "visit": np.array([f"{v:g}" for v in read["visit"]], dtype=object)}
    refuse_duplicates(labels, contracts, "outcome of")
    outcome = numbers_or_empty(frame, Column(str(columns["outcome"]), "number", meanings["outcome"]))
    people = list(dict.fromkeys(read["subject"]))
    where = {person: i for i, person in enumerate(people)}
    person = np.array([where[p] for p in read["subject"]])
    times = np.unique(read["visit"])
    visit = np.searchsorted(times, read["visit"])
    fixed = {str(columns[w]): meanings[w] for w in ("arm", "baseline", "moderator") if columns[w] is not None}
    patients = rows_of_people(frame, fixed | dict.fromkeys(columns_of(formula), "covariate"), person)
    note_lone(frame, read["arm"][np.unique(person, return_index=True)[1]], contracts["arm"])
    arm_of, arms = _arms(read["arm"][np.unique(person, return_index=True)[1]], reference, contracts["arm"])
    shape = (len(people), len(times))
    y = np.full(shape, np.nan)
    y[person, visit] = outcome
    for v, time in enumerate(times):
        for a, arm in enumerate(arms):
            if np.isnan(y[arm_of == a, v]).all():
                raise BadInput(
                    f"column '{columns['outcome']}' ({meanings['outcome']}): nobody in arm '{arm}' has one at visit "
                    f"{time:g}, so their difference there cannot be known; leave that visit out"
                )
    days = np.broadcast_to(times, shape).copy()
    if columns["day"] is not None:
        days = np.full(shape, np.nan)
        days[person, visit] = read_columns(frame, {"day": Column(columns["day"], "number", meanings["day"])})["day"]
        _refuse_unordered(days, people, times, columns["day"])
        days = _days_of_missed_visits(days)
    baseline = read["baseline"][np.unique(person, return_index=True)[1]]
    found = read_covariates(patients, formula)
    data = xr.Dataset(
        {
            "outcome": (("subject", "visit"), y, {"units": units}),
            "day": (("subject", "visit"), days),
            "baseline": ("subject", baseline - baseline.mean(), {"units": units, "mean": float(baseline.mean())}),
            "arm_of": ("subject", arm_of),
            "covariates": (("subject", "covariate"), found.values),
            "covariate_sd": ("covariate", found.sds),
        },
        {
            "subject": np.array(people, dtype=str),
            "visit": np.array([f"{t:g}" for t in times]),
            "arm": np.array(arms, dtype=str),
            "covariate": np.array(found.names, dtype=str),
        },
        provenance(frame),
    )
    return data, patients


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


def _refuse_unordered(days: np.ndarray, people: list[str], times: np.ndarray, name: str) -> None:
    """Refuse a patient whose days do not rise with the visits."""
    for i, row in enumerate(days):
        (known,) = np.nonzero(~np.isnan(row))
        for j, k in itertools.pairwise(known):
            if row[k] <= row[j]:
                raise BadInput(
                    f"column '{name}': '{people[i]}' has visit {times[k]:g} on day {row[k]:g}, not after visit "
                    f"{times[j]:g} on day {row[j]:g}; correct one of them"
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
