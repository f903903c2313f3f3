"""A table of patients, or of counts of people, becomes units, rows of outcomes and what each unit is like."""

from collections.abc import Sequence
from dataclasses import dataclass
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
    provenance,
    read_columns,
    refuse_duplicates,
    role_of,
    rows_with_notes,
)
from bayesdep.data.times import number_names, order_of_column, order_of_times, refuse_actual_times
from bayesdep.models.ordinal.settings import OrdinalSettings
from bayesdep.models.parts.categories import places_of_categories
from bayesdep.models.parts.contrasts import arm_codes, refuse_without_correlation
from bayesdep.models.parts.covariates import Covariates, columns_of, read_covariates, refuse_covariates_of
from bayesdep.models.parts.monotone import Ordered, Slope, read_ordered, read_slopes, split_monotone
from bayesdep.models.parts.people import rows_of_people
from bayesdep.models.parts.settings import column_fields

ALONE = "all"  # the arm, and the visit, of a table that has no other


def prepare(settings: OrdinalSettings, table: Any) -> xr.Dataset:
    """Turn a table of patients' categories, or of counts, into units and rows.

    Parameters
    ----------
    settings
        The model's settings.
    table
        A dataframe. A visit without a row, or with an empty outcome, was missed.

    Returns
    -------
    xarray.Dataset
        A unit is a patient where patients have effects of their own, else people who are alike in arm and predictors.
        By ``unit``: ``arm_of``, ``weight`` (people), ``covariates`` (standardised), ``reached`` (by ``step``: whether a
        step of an ordered predictor lies below the unit's level, less its mean), ``slope_column`` (by ``slope``) and
        ``moderator``. By ``row``, a unit at a visit: ``unit_of``, ``visit_of``, ``term_value`` (by ``term``, of effects
        that differ between thresholds), and ``category_of`` or ``counts`` (by ``category``). Dim ``up_to`` has the
        categories but the worst, ``comparison`` the arms but the reference.

    Raises
    ------
    BadInput
        Naming column, row and remedy.
    """
    frame = as_frame(table)
    rows = _read_rows(settings, frame)
    predictors = _read_predictors(settings, rows)
    by_patient = settings.has_patient_effects
    data = _by_patient(rows, predictors) if by_patient else _by_pattern(settings, rows, predictors)
    data = data.merge(_constants(settings, rows, predictors), combine_attrs="override")
    data = data.merge(_terms_by_threshold(settings, data), combine_attrs="override")
    data.attrs = provenance(frame)
    return data


# Rows of the table


@dataclass(frozen=True)
class _Rows:
    """What rows with an outcome hold: by row ``unit``, ``visit``, ``category`` and ``people``; ``arm`` by unit.

    ``units`` is a table with one row per patient, or per row where there are no patients; ``weight`` its people.
    """

    units: pd.DataFrame
    names: list[str]
    weight: np.ndarray
    arm: np.ndarray
    arms: list[str]
    unit: np.ndarray
    visit: np.ndarray
    visits: tuple[str, ...]
    category: np.ndarray
    people: np.ndarray


def _read_rows(settings: OrdinalSettings, frame: pd.DataFrame) -> _Rows:
    """Read the columns of outcomes, patients, arms, visits and counts."""
    frame = _with_outcome(settings, frame)
    words = ["outcome", *(w for w in ("subject", "visit") if getattr(settings, w) is not None)]
    words += ["arm"] if settings.reference is not None else []
    contracts = {w: _column(settings, w, "label") for w in words}
    if settings.count is not None:
        contracts["count"] = _column(settings, "count", "count")
    read = read_columns(frame, contracts)
    people = read.get("count", np.ones(len(frame)))
    where = f"column '{settings.outcome}' ({_meaning(settings, 'outcome')})"
    numbers = range(1, len(frame) + 1)
    category = places_of_categories(read["outcome"], settings.categories, people, numbers, where)
    unit, units, names = np.arange(len(frame)), frame, [str(i + 1) for i in range(len(frame))]
    if "subject" in read:
        names = list(dict.fromkeys(read["subject"]))
        place = {name: i for i, name in enumerate(names)}
        unit = np.array([place[name] for name in read["subject"]])
    labels, visits = _visits(settings, frame, read, contracts, unit)
    if "subject" in read:
        refuse_duplicates({w: read[w] for w in ("subject", "visit") if w in read}, contracts, "outcome of")
        units = _units(settings, frame, unit)
    first = np.unique(unit, return_index=True)[1]
    arm, arms = _arms(settings, frame, read["arm"][first] if "arm" in read else None)
    if settings.reference is not None:
        refuse_without_correlation(settings.priors["arm_effect"], "arm_effect", len(arms) - 1, f"{len(arms)} arms")
    weight = np.ones(len(units)) if "subject" in read else people
    rows = _Rows(units, names, weight, arm, arms, unit, labels, visits, category, people)
    _refuse_empty_cells(settings, rows)
    return rows


def _with_outcome(settings: OrdinalSettings, frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out rows of patients who missed a visit, and rows of nobody, and note them."""
    name = settings.outcome
    if name in frame.columns and settings.subject is not None:
        missed = is_blank(frame[name])
        if missed.all():
            raise BadInput(f"column '{name}' ({_meaning(settings, 'outcome')}) is empty throughout; name the right one")
        if missed.any():
            note(frame, f"column '{name}': {missed.sum()} rows without a category are visits that were missed")
            frame = rows_with_notes(frame, np.flatnonzero(~missed))
    return frame


def _visits(
    settings: OrdinalSettings,
    frame: pd.DataFrame,
    read: dict[str, np.ndarray],
    contracts: dict[str, Column],
    unit: np.ndarray,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The visit of every row, and the visits in order."""
    if settings.visit is None:
        return np.zeros(len(frame), dtype=int), (ALONE,)
    read["visit"] = labels = number_names(read["visit"])
    levels, column = list(dict.fromkeys(labels)), contracts["visit"]
    order = order_of_column(frame, column.name)
    if settings.visit_order:
        order = [x for x in number_names(np.array(settings.visit_order, dtype=object)) if x in levels]
    place = f"column '{column.name}' ({column.what})"
    example = f"[{', '.join(map(repr, levels[:6]))}{', ...' if len(levels) > 6 else ''}]"
    visits = order_of_times(
        labels, order=order, place=place, setting="visit_order" if settings.visit_order else "the column's order",
        remedy=f"state it, first visit first, as visit_order = {example}",
    )  # fmt: skip
    if len(visits.labels) == 1:
        raise BadInput(
            f"{place} has one visit, '{visits.labels[0]}', and people need two or more for levels of their own; leave "
            "visit out"
        )
    if visits.note:
        note(frame, f"{place}: {visits.note}")
    if "subject" in read:
        refuse_actual_times(labels, unit, column.name, "visit")
    return np.array([visits.labels.index(x) for x in labels]), visits.labels


def _units(settings: OrdinalSettings, frame: pd.DataFrame, unit: np.ndarray) -> pd.DataFrame:
    """One row per patient, of columns that must not differ between a patient's rows."""
    words = [w for w in ("arm", "baseline", "moderator") if getattr(settings, w) is not None]
    words = [w for w in words if w != "arm" or settings.reference is not None]
    meanings = {str(getattr(settings, w)): _meaning(settings, w) for w in words}
    used = columns_of(settings.covariates, list(map(str, frame.columns)))
    return rows_of_people(frame, meanings | dict.fromkeys(used, "covariate"), unit)


def _arms(settings: OrdinalSettings, frame: pd.DataFrame, labels: np.ndarray | None) -> tuple[np.ndarray, list[str]]:
    """The arm of every unit, and the arms' names, the reference first."""
    if labels is None:
        return np.zeros(0, dtype=int), [ALONE]
    column, reference = _column(settings, "arm", "label"), str(settings.reference)
    if settings.subject is not None:
        note_lone(frame, labels, column)
    names = list(dict.fromkeys(labels))
    if reference not in names:
        raise BadInput(
            f"reference = '{reference}', but column '{column.name}' ({column.what}) has only "
            f"{', '.join(map(repr, sorted(names)))}; name one of these"
        )
    if len(names) == 1:
        raise BadInput(
            f"column '{column.name}' ({column.what}) is '{names[0]}' in everybody, so there is nothing to compare; "
            "leave reference out, or check which rows are kept"
        )
    arms = [reference, *sorted(n for n in names if n != reference)]
    return np.array([arms.index(n) for n in labels]), arms


def _refuse_empty_cells(settings: OrdinalSettings, rows: _Rows) -> None:
    """Refuse a visit at which nobody of an arm was observed."""
    if settings.reference is None:
        return
    for v, visit in enumerate(rows.visits):
        for a, arm in enumerate(rows.arms):
            if rows.people[(rows.arm[rows.unit] == a) & (rows.visit == v)].sum() == 0:
                at = f" at visit {visit}" if settings.visit is not None else ""
                raise BadInput(
                    f"column '{settings.outcome}': nobody in arm '{arm}' has one{at}, so the difference there cannot "
                    f"be known; leave that {'visit' if at else 'arm'} out"
                )


# What units are like


@dataclass(frozen=True)
class _Predictors:
    """Predictors of every unit: columns of covariates, ordered predictors and their effects, and the moderator."""

    covariates: Covariates
    ordered: list[Ordered]
    slopes: list[Slope]
    moderator: np.ndarray
    moderator_mean: float
    moderator_sd: float


def _read_predictors(settings: OrdinalSettings, rows: _Rows) -> _Predictors:
    """Read what every unit is like; ordered predictors are the baseline, the moderator and those of the formula."""
    units, formula = rows.units, settings.covariates
    used = {getattr(settings, w): _meaning(settings, w) for w in ("outcome", "subject", "count", "visit")}
    if settings.reference is not None:
        used[settings.arm] = _meaning(settings, "arm")
    refuse_covariates_of(formula, {k: v for k, v in used.items() if k is not None}, list(map(str, units.columns)))
    plain, terms = split_monotone(formula)
    beside = {"the arms": rows.arm} if settings.reference is not None else {}
    covariates = _weighted(read_covariates(units, plain, beside=beside), rows.weight)
    of_formula, slopes = read_slopes(units, terms, settings.level_order)
    ordered: list[Ordered] = []
    if settings.baseline is not None:
        order: dict[str, str | Sequence[str]] = {settings.baseline: settings.categories}
        order |= settings.level_order or {}
        ordered.append(read_ordered(units, settings.baseline, _meaning(settings, "baseline"), order))
    moderator, mean, sd = np.zeros(len(units)), 0.0, 1.0
    if settings.moderator is not None and settings.moderator_form == "monotone":
        what = _meaning(settings, "moderator")
        ordered.append(read_ordered(units, settings.moderator, what, settings.level_order))
    elif settings.moderator is not None:
        values = read_columns(units, {"moderator": _column(settings, "moderator", "number")})["moderator"]
        mean = float(np.average(values, weights=rows.weight))
        sd = float(np.sqrt(np.average((values - mean) ** 2, weights=rows.weight)))
        if sd <= 1e-12 * np.abs(values).max():
            raise BadInput(
                f"column '{settings.moderator}' ({_meaning(settings, 'moderator')}) is {values[0]:g} in everybody; "
                "leave the moderator out"
            )
        moderator = (values - mean) / sd
    slopes = [Slope(s.name, s.ordered + len(ordered), s.column) for s in slopes]
    return _Predictors(covariates, ordered + of_formula, slopes, moderator, mean, sd)


def _weighted(covariates: Covariates, weight: np.ndarray) -> Covariates:
    """Covariates standardised over people rather than rows."""
    if not covariates.names or np.ptp(weight) == 0:
        return covariates
    raw = covariates.values * covariates.sds + covariates.means
    means = np.average(raw, axis=0, weights=weight)
    sds = np.sqrt(np.average((raw - means) ** 2, axis=0, weights=weight))
    return Covariates(covariates.names, (raw - means) / sds, means, sds)


# The prepared data


def _by_patient(rows: _Rows, predictors: _Predictors) -> xr.Dataset:
    """Every patient is a unit, and every visit of one a row; rows of one patient stand together."""
    order = np.lexsort([rows.visit, rows.unit])
    labels = [f"{rows.names[i]} / {rows.visits[j]}" for i, j in zip(rows.unit[order], rows.visit[order], strict=True)]
    data = _units_of(rows, predictors, np.arange(len(rows.names)), rows.weight)
    return data.assign_coords(unit=np.array(rows.names, dtype=str), row=np.array(labels, dtype=str)).assign(
        unit_of=("row", rows.unit[order]),
        visit_of=("row", rows.visit[order]),
        category_of=("row", rows.category[order]),
    )


def _by_pattern(settings: OrdinalSettings, rows: _Rows, predictors: _Predictors) -> xr.Dataset:
    """People who are alike are a unit, and each visit of theirs a row with its counts of categories."""
    levels = [o.level_of for o in predictors.ordered]
    slopes = [s.column for s in predictors.slopes]
    arm = rows.arm if settings.reference is not None else np.zeros(len(rows.weight))
    design = np.column_stack([arm, *levels, predictors.covariates.values, *slopes, predictors.moderator])
    _, first, pattern = np.unique(design, axis=0, return_index=True, return_inverse=True)
    pattern = pattern.ravel()
    weight = np.bincount(pattern, weights=rows.weight)
    if settings.subject is None:
        weight = weight / len(rows.visits)
    cells, cell = np.unique(np.column_stack([pattern[rows.unit], rows.visit]), axis=0, return_inverse=True)
    counts = np.zeros((len(cells), len(settings.categories)), dtype="int64")
    np.add.at(counts, (cell.ravel(), rows.category), rows.people.astype("int64"))
    with_people = counts.sum(axis=1) > 0
    cells, counts = cells[with_people], counts[with_people]
    data = _units_of(rows, predictors, first, weight)
    labels = np.array([str(i + 1) for i in range(len(first))])
    data = data.assign_coords(unit=labels, row=[f"{i + 1} / {rows.visits[j]}" for i, j in cells])
    return data.assign(
        unit_of=("row", cells[:, 0]),
        visit_of=("row", cells[:, 1]),
        counts=(("row", "category"), counts, {"units": "people"}),
    )


def _units_of(rows: _Rows, predictors: _Predictors, at: np.ndarray, weight: np.ndarray) -> xr.Dataset:
    """What units are like, of some of the table's."""
    reached = [o.reached(rows.weight) for o in predictors.ordered]
    columns = [s.column for s in predictors.slopes]
    arm = rows.arm if len(rows.arm) else np.zeros(len(rows.weight), dtype=int)
    return xr.Dataset(
        {
            "arm_of": ("unit", arm[at]),
            "weight": ("unit", weight, {"units": "people"}),
            "covariates": (("unit", "covariate"), predictors.covariates.values[at]),
            "reached": (("unit", "step"), np.hstack([*reached, np.empty((len(rows.weight), 0))])[at]),
            "slope_column": (("unit", "slope"), np.column_stack([*columns, np.empty((len(rows.weight), 0))])[at]),
            "moderator": ("unit", predictors.moderator[at]),
        }
    )


def _constants(settings: OrdinalSettings, rows: _Rows, predictors: _Predictors) -> xr.Dataset:
    """Coordinates, and what belongs to covariates, steps and effects."""
    ordered = predictors.ordered
    steps = [step for o in ordered for step in o.steps]
    of_step = np.repeat(np.arange(len(ordered)), [len(o.steps) for o in ordered])
    levels = [f"{o.name}: {level}" for o in ordered for level in o.levels]
    of_level = np.repeat(np.arange(len(ordered)), [len(o.levels) for o in ordered])
    attrs = {"mean": predictors.moderator_mean, "sd": predictors.moderator_sd}
    codes = arm_codes(len(rows.arms)) if settings.reference is not None else np.zeros((0, 1))
    return xr.Dataset(
        {
            "arm_code": (("comparison", "arm"), codes),
            "covariate_sd": ("covariate", predictors.covariates.sds),
            "ordered_of_step": ("step", of_step),
            "ordered_of_level": ("level", of_level),
            "ordered_of_slope": ("slope", np.array([s.ordered for s in predictors.slopes], dtype=int)),
            "moderator_scale": ((), 1.0, attrs),
        },
        {
            "category": np.array(settings.categories, dtype=str),
            "up_to": np.array(settings.categories[:-1], dtype=str),
            "between": np.array(settings.categories[1:-1], dtype=str),
            "arm": np.array(rows.arms, dtype=str),
            "comparison": np.array(rows.arms[1:], dtype=str),
            "visit": np.array(rows.visits, dtype=str),
            "covariate": np.array(predictors.covariates.names, dtype=str),
            "step": np.array(steps, dtype=str),
            "level": np.array(levels, dtype=str),
            "slope": np.array([s.name for s in predictors.slopes], dtype=str),
        },
    )


def _terms_by_threshold(settings: OrdinalSettings, data: xr.Dataset) -> xr.Dataset:
    """Columns of terms whose effects differ between thresholds, by row."""
    terms: list[tuple[str, int, int]] = []  # name, kind (0 arm, 1 visit, 2 covariate), and which of these
    for term in settings.by_threshold:
        if term == "arm" and settings.reference is not None:
            terms += [(str(x), 0, k) for k, x in enumerate(data["comparison"].values)]
        elif term == "visit" and settings.visit is not None:
            terms += [(f"visit {x}", 1, j) for j, x in enumerate(data["visit"].values) if j > 0]
        else:
            covariates = list(enumerate(map(str, data["covariate"].values)))
            found = [(x, 2, k) for k, x in covariates if x == term or x.startswith(f"{term}[")]
            if not found:
                known = [*(["visit"] if settings.visit is not None else []), *(x for _, x in covariates)]
                known += ["arm"] if settings.reference is not None else []
                raise BadInput(f"by_threshold: '{term}' is no term of the model; {did_you_mean(term, known)}")
            terms += found
    names, kinds, indices = zip(*terms, strict=True) if terms else ((), (), ())
    described = xr.Dataset(
        {"term_kind": ("term", np.array(kinds, dtype=int)), "term_index": ("term", np.array(indices, dtype=int))},
        {"term": np.array(names, dtype=str)},
    )
    unit = data["unit_of"].values
    merged = data.merge(described)
    values = term_values(merged, data["arm_of"].values[unit], data["visit_of"].values, unit)
    return described.assign(term_value=(("row", "term"), values))


def term_values(data: xr.Dataset, arm: np.ndarray, visit: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the columns of terms whose effects differ between thresholds.

    Parameters
    ----------
    data
        The prepared data.
    arm, visit, unit
        Of every row, shape (rows,).

    Returns
    -------
    numpy.ndarray
        Shape (rows, terms): an arm's code, whether it is a visit less the mean over visits, or a covariate.
    """
    visits = data.sizes["visit"]
    columns = [
        data["arm_code"].values[index, arm] if kind == 0
        else (visit == index) - 1 / visits if kind == 1
        else data["covariates"].values[unit, index]
        for kind, index in zip(data["term_kind"].values, data["term_index"].values, strict=True)
    ]  # fmt: skip
    return np.column_stack([*columns, np.empty((len(unit), 0))]).astype(float)


# Columns


def _meaning(settings: OrdinalSettings, word: str) -> str:
    """What the column for a word of the model holds, for messages."""
    return column_fields(settings)[word]


def _column(settings: OrdinalSettings, word: str, kind: Kind) -> Column:
    """What the column for a word of the model must hold."""
    return Column(str(getattr(settings, word)), kind, _meaning(settings, word), role_of(word))
