"""A table with one row per patient and time, of several studies, becomes patients and sums of their products."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput, did_you_mean, in_words
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
from bayesdep.data.times import order_of_column, order_of_times, refuse_actual_times
from bayesdep.models.parts.outcomes import refuse_without_news
from bayesdep.models.parts.people import rows_of_people
from bayesdep.models.parts.settings import column_fields
from bayesdep.models.patient_meta.events import as_events, count_events
from bayesdep.models.patient_meta.interactions import design_errors
from bayesdep.models.patient_meta.moderators import Complete, read_moderators, refuse_collinear
from bayesdep.models.patient_meta.products import sum_products
from bayesdep.models.patient_meta.settings import PatientMetaSettings
from bayesdep.numerics.exact_fit import is_explained_exactly

ONLY_TIME = "all"  # the time of a table that has no other


def prepare(settings: PatientMetaSettings, table: Any) -> xr.Dataset:
    """Turn a table into patients, and these into sums of products or counts of events.

    Parameters
    ----------
    settings
        The model's settings.
    table
        A dataframe with one row per patient and time.

    Returns
    -------
    xarray.Dataset
        As :meth:`~bayesdep.PatientMeta.prepare` returns it.

    Raises
    ------
    BadInput
        Naming the column, row and remedy.
    """
    data = read_patients(settings, as_frame(table))
    if settings.effects == "none":
        refuse_collinear(data)
    count = data.sizes["part"] * data.sizes["time"]
    if settings.expected_nonzero is not None and settings.expected_nonzero >= count:
        raise BadInput(
            f"expected_nonzero = {settings.expected_nonzero:g}, but there are {count} interactions; a smaller "
            "number is needed, or effects = 'normal'"
        )
    data["share_treated"] = ((), float(data["arm_of"].mean()))
    data = data.merge(_summed_up(settings, data), combine_attrs="override")
    if settings.moderators:  # part of the prior, so it stays as it is in versions of the data and without a study
        data["interaction_error"] = (("part", "time"), design_errors(settings, data))
    return data


def _summed_up(settings: PatientMetaSettings, data: xr.Dataset) -> xr.Dataset:
    return count_events(data) if settings.is_binary else sum_products(data, free=settings.has_free_levels)


def imputations_of(settings: PatientMetaSettings, data: xr.Dataset) -> Sequence[xr.Dataset]:
    """Give the data once for each draw of the moderators that are missing.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    list of xarray.Dataset
        Like ``data``, with one imputation's ``parts`` each; ``data`` alone where nothing was drawn.
    """
    if "imputed" not in data:
        return [data]
    versions = []
    for parts in data["imputed"].values:
        one = data.drop_vars("imputed").assign(parts=(("subject", "part"), parts))
        summed = _summed_up(settings, one)
        one = one.drop_vars([name for name in summed.variables if name in one.variables])
        versions.append(one.merge(summed, combine_attrs="override"))
    return versions


@dataclass(frozen=True)
class _People:
    """Patients as the table has them, before any is left out.

    Parameters
    ----------
    table
        One row per patient.
    names
        Their subjects' labels, with the study's where two studies have the same.
    study, arm
        By patient: the study's label, and 1 for the treatment, 0 for the reference.
    arms
        Labels of the reference and the treatment.
    times
        Labels of the times used.
    outcome
        Shape (patients, times), NaN where missing.
    """

    table: pd.DataFrame
    names: np.ndarray
    study: np.ndarray
    arm: np.ndarray
    arms: tuple[str, str]
    times: list[str]
    outcome: np.ndarray


def read_patients(settings: PatientMetaSettings, frame: pd.DataFrame) -> xr.Dataset:
    """Read patients of several studies.

    Parameters
    ----------
    settings
        The model's settings. A patient is a subject of a study: two studies may number theirs alike.
    frame
        The user's table. An empty outcome, like a time without a row, is missing.

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
    people = _read_people(settings, frame)
    empty = np.isnan(people.outcome).all(axis=1)
    without_outcome = [f"{empty.sum()} of {len(empty)} patients have no outcome"] if empty.any() else []
    left_out: list[str] = []
    recorded = _those_compared(people.outcome, people, left_out)
    y = recorded
    if settings.is_binary:
        y = as_events(recorded, at_least=settings.at_least, at_most=settings.at_most)
    mean, sd = _scale_of_outcomes(settings, y, people.times)
    severity = _read_severity(settings, people, recorded)
    y, moderators, kept = _read_moderators(settings, people, y, recorded, severity, left_out)
    for sentence in left_out:
        note(frame, sentence)
    of, studies = pd.factorize(people.study[kept])
    _refuse_one_study(settings, studies, is_short=bool(without_outcome or left_out))
    if not settings.is_binary:
        _refuse_no_residual(settings, y[kept], of * 2 + people.arm[kept], people.times)
    data = xr.Dataset(
        {
            "outcome": (("subject", "time"), y[kept], {"units": settings.units}),
            "outcome_mean": ("time", mean),
            "outcome_sd": ("time", sd),
            "study_of": ("subject", of),
            "arm_of": ("subject", people.arm[kept]),
        },
        {
            "subject": people.names[kept],
            "time": np.array(people.times, dtype=str),
            "study": np.array(studies, dtype=str),
            "arm": list(people.arms),
        },
        provenance(frame),
    ).merge(moderators, combine_attrs="no_conflicts")
    if severity is not None:
        data["baseline"] = _standardised_baseline(settings, severity[kept])
    data.attrs["left_out"] = "; ".join([x for x in (data.attrs["left_out"], *without_outcome, *left_out) if x])
    return data


def _read_people(settings: PatientMetaSettings, frame: pd.DataFrame) -> _People:
    """Read labels and outcomes, and set them out by patient and time."""
    meanings = column_fields(settings)
    kinds: dict[str, Kind] = {"study": "label", "subject": "label", "arm": "label"}
    if settings.time is not None:
        kinds["time"] = "label"
    contracts = {w: Column(str(getattr(settings, w)), kind, meanings[w], role_of(w)) for w, kind in kinds.items()}
    read = read_columns(frame, contracts)
    if settings.time is None:
        read["time"] = np.full(len(frame), ONLY_TIME, dtype=object)
    labels: dict[str, np.ndarray] = {w: read[w] for w in ("study", "subject", "time") if w in contracts}
    refuse_duplicates(labels, contracts, "outcome of")
    outcome = numbers_or_empty(frame, Column(settings.outcome, "number", meanings["outcome"]))
    person, people = pd.factorize(pd.MultiIndex.from_arrays([read["study"], read["subject"]]))
    if settings.time is not None:
        refuse_actual_times(read["time"], person, settings.time, "time")
    fixed = {settings.arm: meanings["arm"]}
    if settings.baseline is not None:
        fixed[settings.baseline] = meanings["baseline"]
    first = rows_of_people(frame, fixed | dict.fromkeys(settings.moderators, "moderator"), person)
    row_of = np.unique(person, return_index=True)[1]
    times = _times(frame, read["time"], settings.times, settings.time)
    y = np.full((len(people), len(times)), np.nan)
    time_of = pd.Index(times).get_indexer(pd.Index(read["time"]))
    y[person[time_of >= 0], time_of[time_of >= 0]] = outcome[time_of >= 0]
    note_lone(frame, read["arm"][row_of], contracts["arm"])
    arm = _two_arms(read["arm"][row_of], settings.reference, contracts["arm"])
    _refuse_no_outcome(settings, y, times)
    names = people.get_level_values(1).to_numpy(dtype=str)
    if len(np.unique(names)) < len(names):
        names = np.char.add(np.char.add(people.get_level_values(0).to_numpy(dtype=str), " / "), names)
    arms = (settings.reference, next(a for a in read["arm"] if a != settings.reference))
    return _People(first, names, read["study"][row_of], arm, arms, times, y)


def _scale_of_outcomes(
    settings: PatientMetaSettings, y: np.ndarray, times: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """What is subtracted from outcomes at each time, and what they are divided by; events stay as they are."""
    mean, sd = np.nanmean(y, axis=0), np.nanstd(y, axis=0)
    column = f"column '{settings.outcome}' ({column_fields(settings)['outcome']})"
    for t, time in enumerate(times):
        if not sd[t] > 0 and settings.is_binary:
            raise BadInput(
                f"{column}: {'everybody' if mean[t] else 'nobody'} had "
                f"the event at time '{time}'; give another at_least or at_most"
            )
        if not sd[t] > 0:
            raise BadInput(f"{column} is {mean[t]:g} in everybody at time '{time}'; name the right column")
    if settings.is_binary:
        return 0 * mean, np.ones_like(sd)
    return mean, sd if settings.scale is None else np.full_like(sd, settings.scale)


def _read_severity(settings: PatientMetaSettings, people: _People, recorded: np.ndarray) -> np.ndarray | None:
    """Every patient's baseline, as the table has it; None where there is none."""
    if settings.baseline is None:
        return None
    meanings = column_fields(settings)
    contract = Column(settings.baseline, "number", meanings["baseline"])
    severity = read_columns(people.table, {"baseline": contract})["baseline"]
    if not settings.is_binary:
        place = f"column '{settings.outcome}' ({meanings['outcome']})"
        refuse_without_news(recorded, severity, people.times, place, settings.time, "time")
    return severity


def _read_moderators(
    settings: PatientMetaSettings,
    people: _People,
    y: np.ndarray,
    recorded: np.ndarray,
    severity: np.ndarray | None,
    left_out: list[str],
) -> tuple[np.ndarray, xr.Dataset, np.ndarray]:
    """Outcomes, moderators, and which patients are used: those who have both, and somebody to be compared with."""
    kept = ~np.isnan(y).all(axis=1)
    complete = _imputer(settings, people, kept, recorded, severity) if settings.imputes else None
    how: dict[str, Any] = {"split": settings.split, "left_out": left_out, "complete": complete}
    names, study, arm = settings.moderators, people.study, people.arm
    moderators, kept = read_moderators(people.table, names, kept, study, arm, **how)
    still = _those_compared(np.where(kept[:, None], y, np.nan), people, left_out)
    if not np.array_equal(np.isnan(still), np.isnan(y) | ~kept[:, None]):  # an arm had nobody with the moderators
        y, kept = still, ~np.isnan(still).all(axis=1)
        moderators, kept = read_moderators(people.table, names, kept, study, arm, **how)
    return y, moderators, kept


def _imputer(
    settings: PatientMetaSettings, people: _People, kept: np.ndarray, recorded: np.ndarray, severity: np.ndarray | None
) -> Complete:
    """What draws missing moderators of the patients kept, given all that is recorded of them."""
    from bayesdep.models.patient_meta.imputation import impute

    return partial(
        impute, names=settings.moderators, outcome=recorded[kept], treated=people.arm[kept],
        study=pd.factorize(people.study[kept])[0],
        baseline=np.empty((kept.sum(), 0)) if severity is None else severity[kept, None],
        shrunken=settings.effects != "none", imputations=settings.imputations,
    )  # fmt: skip


def _standardised_baseline(
    settings: PatientMetaSettings, baseline: np.ndarray
) -> tuple[str, np.ndarray, dict[str, float]]:
    if not baseline.std() > 0:
        meaning = column_fields(settings)["baseline"]
        raise BadInput(f"column '{settings.baseline}' ({meaning}) is {baseline[0]:g} in everybody; leave it out")
    attrs = {"mean": float(baseline.mean()), "sd": float(baseline.std())}
    return "subject", (baseline - attrs["mean"]) / attrs["sd"], attrs


def _refuse_one_study(settings: PatientMetaSettings, studies: Sequence[str], *, is_short: bool) -> None:
    if len(studies) > 1:
        return
    gone = " with both arms and what is needed," if is_short else ""
    raise BadInput(
        f"column '{settings.study}' ({column_fields(settings)['study']}): there is one study, '{studies[0]}',{gone} so "
        "effects cannot be seen to differ between studies; give more, or use family = 'trial'"
    )


def _refuse_no_residual(settings: PatientMetaSettings, y: np.ndarray, group: np.ndarray, times: Sequence[str]) -> None:
    """Refuse outcomes that are the same in everybody of an arm: their residual sd has no posterior."""
    for t, time in enumerate(times):
        seen = ~np.isnan(y[:, t])
        if is_explained_exactly(y[seen, t], np.empty((int(seen.sum()), 0)), group[seen]):
            raise BadInput(
                f"column '{settings.outcome}' ({column_fields(settings)['outcome']}) at time '{time}' is the same in "
                "everybody of a study's arm, in every study, so that no residual is left whose sd could be estimated; "
                "name the column of what was measured"
            )


def _times(frame: pd.DataFrame, labels: np.ndarray, wanted: Sequence[str], column: str | None) -> list[str]:
    in_table = list(dict.fromkeys(labels))
    if column is None and wanted:
        raise BadInput(f"times = {list(wanted)}, but no column of times is named; name it in time, or leave times out")
    for time in wanted:
        if time not in in_table:
            raise BadInput(f"times: '{time}' is not in column '{column}'; {did_you_mean(time, in_table)}")
    chosen = list(wanted)
    if column is not None and not chosen and len(in_table) <= 2:
        order, place = order_of_column(frame, column), f"column '{column}' (time)"
        ordered = order_of_times(labels, order=order, place=place, remedy="name them in their order in times")
        if ordered.note:
            note(frame, f"{place}: {ordered.note}")
        chosen = list(ordered.labels)
    chosen = chosen or in_table
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
            f"keep two of them ({in_words(toml='[data.keep]', python='bd.read_table(table, keep=...)')})"
        )
    return (labels != reference).astype(int)


def _those_compared(y: np.ndarray, people: _People, left_out: list[str]) -> np.ndarray:
    """Return outcomes without those of a study and time at which one arm alone was observed: nobody is compared."""
    compared = y.copy()
    for study in dict.fromkeys(people.study):
        in_study = people.study == study
        times_without: dict[str, list[str]] = {}  # by arm that nobody has
        for t, time in enumerate(people.times):
            observed = {int(a) for a in people.arm[in_study & ~np.isnan(y[:, t])]}
            if len(observed) == 1:
                times_without.setdefault(people.arms[1 - observed.pop()], []).append(time)
                compared[in_study, t] = np.nan
        gone = int((in_study & ~np.isnan(y).all(axis=1) & np.isnan(compared).all(axis=1)).sum())
        for arm, times in times_without.items():
            when = f" at {' and '.join(map(repr, times))}" if len(people.times) > 1 else ""
            what = f"its {gone} patients are" if gone else "its outcomes then are"
            left_out.append(f"study '{study}' has nobody on {arm}{when} to compare with, so {what} left out")
    for t, time in enumerate(people.times):
        if np.isnan(compared[:, t]).all():
            several = len(people.times) > 1
            when, other = (f" at time '{time}'", ", or leave that time out of times") if several else ("", "")
            raise BadInput(
                f"no study has patients of both arms, {people.arms[0]} and {people.arms[1]}, with an outcome{when}, so "
                f"nobody is compared with patients randomised together; give studies with both arms{other}"
            )
    return compared


def _refuse_no_outcome(settings: PatientMetaSettings, y: np.ndarray, times: Sequence[str]) -> None:
    for t, time in enumerate(times):
        if np.isnan(y[:, t]).all():
            raise BadInput(
                f"column '{settings.outcome}' ({column_fields(settings)['outcome']}) is empty throughout at time "
                f"'{time}'; leave that time out of times"
            )
