"""Staging of treatment resistance: a table of patients, or of their treatment trials -> scores, with what is missing.

Published rules differ, and so do their answers for the same patient. Each is here as printed, with its source; where
an item is missing the answer is the interval of scores that the patient could have, never a guess.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.labels import as_label
from bayesdep.data.staging_systems import SEVERITIES, SYSTEMS, Item, NoScore, System, possible_scores, score_thase_rush
from bayesdep.data.tables import Column, as_frame, is_blank, note, read_columns, refuse_code, refuse_duplicates
from bayesdep.data.treatment_trials import TreatmentTrial, count_trials, failed_trials_named, read_class

Reading = Literal["strict", "highest"]
_YES, _NO = ("yes", "true", "1", "1.0", "used"), ("no", "false", "0", "0.0", "not used")
_BY_POINTS = "dm-trd"
_TRIAL_ITEMS = {  # column of a treatment trial: what it holds
    "drug": "drug of the treatment trial",
    "class": "major class of the drug",
    "weeks": "weeks of the treatment trial",
    "adequate": "whether dose and duration were adequate",
    "response": "whether the patient responded",
    "augmentation": "whether the trial was augmented",
    "optimisation": "whether the dose was optimised",
    "ect": "whether the trial was electroconvulsive therapy",
}
_OF_EVERY_TRIAL = ("adequate", "response", "ect")
_OF_TRIALS = {  # what a system needs of every treatment trial beside these
    "maudsley": ("drug", "augmentation"),
    "thase-rush": ("class",),
    "mgh": ("augmentation", "optimisation"),
    "european": ("weeks",),
    "gsrd": (),
}
_COUNTED = {"failed_antidepressants", "failed_trials", "failed_classes", "failed_tca", "failed_maoi", "failed_ect",
            "failed_weeks", "augmentation", "augmentations", "optimisations", "ect"}  # fmt: skip


def stage(
    table: Any,
    *,
    system: str,
    rows: Literal["patients", "trials"] = "patients",
    reading: Reading | None = None,
    points: Any = None,
    columns: Mapping[str, str] | None = None,
    subject: str = "subject",
) -> pd.DataFrame:
    """Score patients by a staging system of treatment-resistant depression.

    ================ ================================================================================================
    system           what it needs of a patient
    ================ ================================================================================================
    ``"maudsley"``   ``duration_months``, ``severity`` (subsyndromal, mild, moderate, severe, severe with psychosis),
                     ``failed_antidepressants``, ``augmentation``, ``ect``: 3 to 15, mild, moderate or severe
    ``"thase-rush"`` ``failed_classes``, ``failed_tca``, ``failed_maoi``, ``failed_ect`` (bilateral): 0 to V
    ``"mgh"``        ``failed_trials``, ``augmentations``, ``optimisations``, ``ect``: points from 0
    ``"european"``   ``failed_trials``, ``failed_weeks``: non-responder, TRD1 to TRD5, chronic
    ``"gsrd"``       ``failed_trials``, ``madrs``: resistant or not
    ``"dm-trd"``     a column for every item of ``points``, the table of points that you supply
    ================ ================================================================================================

    The rules and their sources are in :mod:`bayesdep.data.staging_systems`. The points of the Dutch measure (DM-TRD,
    Peeters et al. 2016, J Affect Disord 205:365) could not be verified, so none are built in.

    Parameters
    ----------
    table
        One row a patient with the columns above, or, with ``rows = "trials"``, one row a treatment trial, from which
        failures are counted: ``subject``, ``adequate``, ``response`` and ``ect`` (yes, no, bilateral or unilateral),
        and as the system asks ``drug``, ``class`` (SSRI, SNRI, TCA, MAOI, other), ``weeks``, ``augmentation`` and
        ``optimisation``; what belongs to the patient (``duration_months``, ``severity``, ``madrs``) stands in each of
        the patient's rows. An empty cell is missing.
    system
        One of the table above.
    rows
        What a row is.
    reading
        Of ``"thase-rush"``, whose order of treatments is assumed: ``"strict"`` (default), every stage after the ones
        before, or ``"highest"``, the highest stage whose own treatment failed.
    points
        Of ``"dm-trd"``: one row per item and level, columns ``item``, ``level`` and ``points``.
    columns
        Names of columns that are called otherwise, by the names above.
    subject
        The patients' column; it may be absent where a row is a patient.

    Returns
    -------
    pandas.DataFrame
        One row a patient: ``lowest`` and ``highest``, the ends of the interval of scores that the patient could have,
        ``score`` where they are the same (else missing), ``stage`` where the system has names, and ``missing``, the
        items that were not known. ``attrs`` hold ``system``, ``source``, the ends of the scale and the notes.

    Raises
    ------
    BadInput
        Naming the column, the row or the patient: where the system needs a column that is absent, a cell is not
        understood, or a patient cannot be scored (no failed drug, by a scale that begins at one).

    Examples
    --------
    >>> patients = pd.DataFrame({
    ...     "duration_months": [8, 30], "severity": ["moderate", None], "failed_antidepressants": [2, 5],
    ...     "augmentation": ["no", "yes"], "ect": ["no", "no"],
    ... })
    >>> stage(patients, system="maudsley")[["lowest", "highest", "stage", "missing"]].values.tolist()
    [[5.0, 5.0, 'mild', ''], [8.0, 12.0, 'moderate to severe', 'severity']]
    """
    frame = as_frame(table)
    rule = _system(system, reading, points)
    named = _names(rule, columns or {}, rows)
    if rows == "trials":
        people, scenarios = _read_trials(frame, rule, named, subject)
    elif rows == "patients":
        people, scenarios = _read_patients(frame, rule, named, subject)
    else:
        raise BadInput(f"rows = {rows!r} is not a choice; write 'patients' or 'trials'")
    return _scored(frame, rule, people, scenarios)


def _scored(
    frame: pd.DataFrame, rule: System, people: pd.DataFrame, scenarios: Sequence[list[dict[str, float | None]]]
) -> pd.DataFrame:
    """Score every patient in each of the possible histories."""
    spans, missing = [], []
    for row, histories in enumerate(scenarios):
        try:
            spans.append(possible_scores(rule, histories))
        except NoScore as why:
            raise BadInput(f"{people['place'].iloc[row]} has no score by system = '{rule.name}': {why}") from None
        unknown = [
            item.name for item in rule.items if len({history[item.name] for history in histories} | {None}) > 2
            or histories[0][item.name] is None
        ]  # fmt: skip
        missing.append(", ".join(unknown))
    low, high = np.array(spans).T
    found = people.drop(columns="place").assign(lowest=low, highest=high, score=np.where(low == high, low, np.nan))
    if rule.label is not None:
        ends = [[rule.label(score) for score in end] for end in (low, high)]
        found["stage"] = [a if a == b else f"{a} to {b}" for a, b in zip(*ends, strict=True)]
    found["missing"] = missing
    if between := int((low < high).sum()):
        note(frame, f"{between} of {len(found)} patients have an interval of possible scores")
    found.attrs = dict(frame.attrs) | {
        "system": rule.name, "title": rule.title, "rule": rule.source, "range": (rule.lowest, rule.highest),
    }  # fmt: skip
    return found


# Systems


def _system(name: str, reading: Reading | None, points: Any) -> System:
    """The system asked for, in the reading asked for."""
    known = [*SYSTEMS, _BY_POINTS]
    if name not in known:
        raise BadInput(f"system = '{name}' is not a staging system here; {did_you_mean(str(name), known)}")
    if reading is not None and name != "thase-rush":
        raise BadInput(f"reading = '{reading}' belongs to system = 'thase-rush'; leave it out for '{name}'")
    if reading not in (None, "strict", "highest"):
        raise BadInput(f"reading = {reading!r} is not a choice; write 'strict' or 'highest'")
    if (points is not None) != (name == _BY_POINTS):
        raise BadInput(
            "system = 'dm-trd' has no points of its own, as the published ones could not be verified; give a table "
            "of them as points, columns item, level and points"
            if name == _BY_POINTS
            else f"points belong to system = 'dm-trd'; leave them out for '{name}'"
        )
    if name == _BY_POINTS:
        return _read_points(points)
    rule = SYSTEMS[name]
    return dataclasses.replace(rule, score=partial(score_thase_rush, reading=reading)) if reading else rule


@dataclasses.dataclass(frozen=True)
class _Levels(Item):
    """An item whose levels are named, with the points of each."""

    levels: Mapping[str, float] = dataclasses.field(default_factory=dict)


def _read_points(points: Any) -> System:
    """Make a system of a table of points: the score is their sum."""
    frame = as_frame(points)
    contracts = {
        "item": Column("item", "label", "item of the table of points"),
        "level": Column("level", "label", "level of the item", "free"),
        "points": Column("points", "number", "points of the level"),
    }
    read = read_columns(frame, contracts)
    refuse_duplicates({word: read[word] for word in ("item", "level")}, contracts, "points of")
    items = []
    for name in dict.fromkeys(read["item"]):
        own = read["item"] == name
        levels = dict(
            zip((str(x).casefold() for x in read["level"][own]), map(float, read["points"][own]), strict=True)
        )
        items.append(
            _Levels(name, f"item '{name}' of the table of points", "level", (*levels.values(),), levels=levels)
        )
    least, most = (float(sum(end(item.candidates) for item in items)) for end in (min, max))

    def score(values: Mapping[str, float]) -> tuple[float, float]:
        total = float(sum(values.values()))
        return total, total

    title = "Dutch measure for treatment resistance in depression, by the points given"
    return System(_BY_POINTS, title, tuple(items), score, least, most, None, "the table of points given")


# Columns


def _names(rule: System, columns: Mapping[str, str], rows: str) -> dict[str, str]:
    """The column of every item."""
    known = {item.name for item in rule.items}
    if rows == "trials":
        known = (known - _COUNTED) | {*_OF_EVERY_TRIAL, *_OF_TRIALS.get(rule.name, ()), "weeks"}
    for name in columns:
        if name not in known:
            raise BadInput(f"columns names '{name}', which system = '{rule.name}' does not use; "
                           f"{did_you_mean(name, sorted(known))}")  # fmt: skip
    return {name: columns.get(name, name) for name in known}


def _refuse_absent(frame: pd.DataFrame, rule: System, column: str, what: str, rows: str) -> None:
    """Refuse a table without a column, naming the systems that it could be scored by."""
    if column in frame.columns:
        return
    able = [
        other.name for other in SYSTEMS.values()
        if other is not rule and all(name in frame.columns for name in _needed(other, rows))
    ]  # fmt: skip
    instead = f", or use system = '{able[0]}', whose columns are all there" if able else ""
    raise BadInput(
        f"column '{column}' ({what}) is not in the table, and system = '{rule.name}' needs it; name it in columns, add "
        f"it empty for the interval of scores that a patient could have{instead}"
    )


def _needed(rule: System, rows: str) -> list[str]:
    """The columns that a system needs, by their own names."""
    names = [item.name for item in rule.items]
    if rows == "patients":
        return names
    return [*_OF_EVERY_TRIAL, *_OF_TRIALS[rule.name], *(name for name in names if name not in _COUNTED)]


def _read_patients(
    frame: pd.DataFrame, rule: System, named: Mapping[str, str], subject: str
) -> tuple[pd.DataFrame, list[list[dict[str, float | None]]]]:
    """Read one row a patient."""
    people = pd.DataFrame({"place": [f"row {row + 1}" for row in frame.index]})
    if subject in frame.columns:
        contracts = {"subject": Column(subject, "label", "patient", "subject")}
        labels = read_columns(frame, contracts)
        refuse_duplicates(labels, contracts, "patient", "keep one row, or say rows = 'trials' if rows are trials")
        people = pd.DataFrame({subject: labels["subject"], "place": [f"patient '{one}'" for one in labels["subject"]]})
    read = {item.name: _cells(frame, rule, item, named[item.name], "patients") for item in rule.items}
    return people, [[{name: cells[row] for name, cells in read.items()}] for row in range(len(frame))]


def _cells(frame: pd.DataFrame, rule: System, item: Item, column: str, rows: str) -> list[float | None]:
    """The values of an item by row; None where it is missing."""
    _refuse_absent(frame, rule, column, item.what, rows)
    texts = _texts(frame[column])
    values = [
        None if text is None else _value(text, item, f"column '{column}' ({item.what}), row {row + 1}")
        for text, row in zip(texts, frame.index, strict=True)
    ]
    if item.kind in ("count", "number"):
        filled = np.array([np.nan if value is None else value for value in values])
        refuse_code(frame, filled, Column(column, "number", item.what), may_be_empty=True)
    return values


def _texts(cells: pd.Series) -> list[str | None]:
    """The cells as labels; None where they are empty."""
    return [None if empty else as_label(cell) for cell, empty in zip(cells, is_blank(cells), strict=True)]


def _value(text: str, item: Item, where: str) -> float:
    """The value that a cell says."""
    folded = text.casefold()
    if item.kind == "yes-no":
        return float(_yes_or_no(folded, where))
    if item.kind == "severity":
        if folded not in SEVERITIES:
            raise BadInput(f"{where} is '{text}', which is not a severity here; {did_you_mean(text, SEVERITIES)}")
        return float(SEVERITIES.index(folded) + 1)
    if isinstance(item, _Levels):
        if folded not in item.levels:
            raise BadInput(f"{where} is '{text}', which has no points; {did_you_mean(text, item.levels)}")
        return item.levels[folded]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    readable = math.isfinite(value) and (item.kind != "count" or value == math.floor(value))
    if not readable or not 0 <= value <= item.highest:
        most = f"from 0 to {item.highest:g}" if math.isfinite(item.highest) else "of at least 0"
        kind = "whole number" if item.kind == "count" else "number"
        raise BadInput(f"{where} is '{text}' where a {kind} {most} is needed; correct it, or empty it if it is missing")
    return value


def _yes_or_no(text: str, where: str) -> bool:
    """Whether a cell says yes."""
    if text not in (*_YES, *_NO):
        raise BadInput(f"{where} is '{text}' where yes or no is needed; write that, or empty it if it is missing")
    return text in _YES


# Treatment trials


def _read_trials(
    frame: pd.DataFrame, rule: System, named: Mapping[str, str], subject: str
) -> tuple[pd.DataFrame, list[list[dict[str, float | None]]]]:
    """Read one row a treatment trial, and count what each patient's trials add up to."""
    if rule.name == _BY_POINTS:
        raise BadInput("system = 'dm-trd' takes its items as they are and counts no trials; use rows = 'patients'")
    labels = read_columns(frame, {"subject": Column(subject, "label", "patient", "subject")})["subject"]
    trials = _trials(frame, rule, named)
    own = [item for item in rule.items if item.name not in _COUNTED]
    of_patients = {item.name: _cells(frame, rule, item, named[item.name], "trials") for item in own}
    names = list(dict.fromkeys(labels))
    scenarios = []
    for name in names:
        rows = np.flatnonzero(labels == name)
        place = f"patient '{name}'"
        fixed = {item.name: _of_patient(of_patients[item.name], rows, named[item.name], place) for item in own}
        counted = count_trials([trials[row] for row in rows], place)
        every = [failed_trials_named(items, rule.name) | fixed for items in counted]
        kept = {tuple(items[item.name] for item in rule.items) for items in every}  # many histories count the same
        scenarios.append([dict(zip((item.name for item in rule.items), one, strict=True)) for one in kept])
    return pd.DataFrame({subject: names, "place": [f"patient '{name}'" for name in names]}), scenarios


def _of_patient(cells: Sequence[float | None], rows: np.ndarray, column: str, place: str) -> float | None:
    """What all rows of a patient say; None where none says anything."""
    said = sorted({value for row in rows if (value := cells[row]) is not None})
    if len(said) > 1:
        raise BadInput(f"column '{column}' differs between the rows of {place}; write the same in each of them")
    return said[0] if said else None


def _trials(frame: pd.DataFrame, rule: System, named: Mapping[str, str]) -> list[TreatmentTrial]:
    """The treatment trials of a table, row by row; what the system does not ask for is settled, not missing."""
    needed = (*_OF_EVERY_TRIAL, *_OF_TRIALS[rule.name])
    texts: dict[str, list[str | None]] = {}
    for word in needed:
        _refuse_absent(frame, rule, named[word], _TRIAL_ITEMS[word], "trials")
        texts[word] = _texts(frame[named[word]])
    if rule.name == "mgh" and named["weeks"] in frame.columns:
        texts["weeks"] = _texts(frame[named["weeks"]])
    weeks = Item("weeks", _TRIAL_ITEMS["weeks"], "number", ())
    trials = []
    for k, row in enumerate(frame.index):
        said = {word: cells[k] for word, cells in texts.items()}
        where = {word: f"column '{named[word]}' ({_TRIAL_ITEMS[word]}), row {row + 1}" for word in said}

        def answer(word: str, said: Any = said, where: Any = where) -> bool | None:
            if word not in said:
                return False
            return None if said[word] is None else _yes_or_no(said[word].casefold(), where[word])

        ect, bilateral = _read_ect(said["ect"], where["ect"])
        long = said.get("weeks")
        trials.append(
            TreatmentTrial(
                drug=None if (drug := said.get("drug", "")) is None else drug.casefold(),
                group=read_class(said["class"], where["class"]) if "class" in said else "",
                weeks=None if long is None else _value(long, weeks, where["weeks"]),
                adequate=answer("adequate"), response=answer("response"), augmentation=answer("augmentation"),
                optimisation=answer("optimisation"), ect=ect,
                bilateral=bilateral if rule.name == "thase-rush" else False,
            )
        )  # fmt: skip
    return trials


def _read_ect(text: str | None, where: str) -> tuple[bool | None, bool | None]:
    """Whether a trial was electroconvulsive therapy, and whether bilateral."""
    if text is None:
        return None, None
    if text.casefold() in ("bilateral", "unilateral"):
        return True, text.casefold() == "bilateral"
    is_ect = _yes_or_no(text.casefold(), where)
    return is_ect, None if is_ect else False
