"""A trial's visits, as clinics write them: a row per visit, or a column per visit, read as a tidy table."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.data.cell_origins import CELL
from bayesdep.data.errors import BadInput, did_you_mean, setting
from bayesdep.data.labels import as_label
from bayesdep.data.readers.decimals import Mark, find_mark, with_point
from bayesdep.data.readers.draft import (
    Draft,
    leave_out_samples,
    measured,
    note_unread,
    place_of,
    read_covariates,
    read_labels,
)
from bayesdep.data.readers.files import choose_sheets, open_file
from bayesdep.data.readers.grids import Odd, is_unmeasured, kind_of, shown
from bayesdep.data.readers.layout import Found, find_table, quoted
from bayesdep.data.readers.result import ReadTable, with_origin
from bayesdep.data.readers.roles import is_covariate, key, pick, stated_column
from bayesdep.data.times import is_time_zero

_ORDER = ("subject", "arm", "visit", "day", "baseline", "outcome")
_WORD = r"(?:weeks?|wk|w|visit|v|days?|d|months?|mo|m|time|t|hours?|h)"
_LABEL = rf"(?:{_WORD}[ _.-]*\d+(?:\.\d+)?|\d+(?:\.\d+)?(?: ?{_WORD})?|baseline|bl|base|screening|pre)"
_NAMED = re.compile(
    rf"(?P<stem>.*?)(?:[ _.-]+(?:at[ _])?|(?<=\w)(?={_WORD}[ _]?\d)|^)(?P<label>{_LABEL})", re.IGNORECASE
)
_TURNED = re.compile(rf"(?P<label>{_LABEL})[ _.-]+(?P<stem>[^\W\d].*)", re.IGNORECASE)
_SCALES = frozenset(
    {
        "hamd", "hamd17", "hamd21", "hdrs", "hdrs17", "hrsd", "hrsd17", "madrs", "bdi", "bdiii", "phq9", "qids",
        "qidssr", "ids", "panss", "ymrs", "cgi", "cgis", "gaf", "ham", "hama", "gad7", "hads", "totalscore",
    }
)  # fmt: skip


def read_trial(
    file: Any,
    *,
    sheet: str | None = None,
    header: int | None = None,
    last_row: int | None = None,
    delimiter: str | None = None,
    decimal: Mark | None = None,
    encoding: str | None = None,
    subject: str | None = None,
    arm: str | None = None,
    visit: str | None = None,
    outcome: str | None = None,
    visits: Sequence[str] | None = None,
    baseline: str | None = None,
    covariates: Sequence[str] = (),
    leave_out: Sequence[str] | None = None,
    missing: Sequence[str] = (),
    fill_down: bool = False,
) -> ReadTable:
    """Read a trial from a clinic's table, with a row per visit or a column per visit.

    Parameters
    ----------
    file
        A .csv, .tsv, .txt, .xlsx or .parquet file, or a dataframe.
    sheet
        The sheet of a workbook that has several.
    header, last_row
        Numbers of the header's row and of the table's last, as a spreadsheet counts; None to find them.
    delimiter, encoding, decimal
        Of text; None to find them.
    subject, arm
        Columns of patients and arms; None to find them by their names.
    visit
        The column of visits, of a table with a row per visit.
    outcome
        With a row per visit the column of the outcome; with a column per visit what their names begin with, as
        ``"HAMD"`` of HAMD_w0, HAMD_w2.
    visits
        With a column per visit: these columns, in full; None to find them.
    baseline
        The column of the outcome at baseline, or the visit that is the baseline; None to take the column so named, or
        the visit at time zero.
    covariates
        Columns to keep; known ones such as age and sex are kept anyway.
    leave_out
        Patients to leave out, by name or pattern.
    missing
        Texts that stand for a missing value.
    fill_down
        Whether an empty cell of a patient or arm means the one above it.

    Returns
    -------
    ReadTable
        ``table`` is what :class:`~bayesdep.Trial` takes: ``subject``, ``arm``, ``visit``, ``outcome`` (empty where a
        visit was missed), ``baseline`` and ``day`` where known, covariates, and ``read_from``.

    Raises
    ------
    BadInput
        When the file cannot be read, or can be read in two ways.

    Examples
    --------
    >>> sheet = pd.DataFrame({"ID": ["P1", "P2"], "Arm": ["drug", "pbo"], "HAMD_w0": [24, 22], "HAMD_w2": [12, None]})
    >>> read_trial(sheet).table[["subject", "visit", "baseline", "outcome"]].values.tolist()
    [['P1', 'w2', 24.0, 12.0], ['P2', 'w2', 22.0, nan]]
    """
    opened = open_file(file, delimiter=delimiter, encoding=encoding)
    grids, notes = choose_sheets(opened, sheet)
    if len(grids) > 1:
        raise BadInput(
            f"'{opened.name}': a trial is read from one sheet; name it with {setting('sheet', grids[0].sheet)}"
        )
    found = find_table(grids[0], header=header, last_row=last_row, loose=True)
    roles = {"subject": _needed(found, "subject", subject, "patients"), "arm": _needed(found, "arm", arm, "arms")}
    visit_column = pick(found, "visit", visit, "visits", taken=set(roles.values())) if visits is None else None
    if visit_column is not None:
        draft = _long(found, {**roles, "visit": visit_column}, outcome, baseline, covariates, fill_down)
    else:
        draft = _wide(found, roles, outcome, visits, baseline, covariates, fill_down)
    draft.notes[:0] = [*notes, *grids[0].notes, *found.notes]
    if leave_out:
        leave_out_samples(draft, leave_out)
    read_labels(draft)
    for word in ("outcome", "baseline", "day"):
        if word in draft.frame:
            _read_numbers(draft, word, missing, decimal)
    _settle_baseline(draft, baseline)
    known = {*_ORDER, CELL}
    read_covariates(draft, [str(name) for name in draft.frame.columns if name not in known], decimal)
    frame = draft.frame
    columns = [*(word for word in _ORDER if word in frame), *(c for c in frame.columns if c not in known), CELL]
    return ReadTable(with_origin(frame[columns], [opened]), "trial", draft.layout, tuple(dict.fromkeys(draft.notes)))


def _needed(found: Found, role: str, stated: str | None, what: str) -> str:
    """The column of patients, or of arms: in a table of a trial samples are not sought."""
    name = pick(found, role, stated, what)
    if name is None and role == "subject":
        name = pick(found, "sample", None, what, argument="subject")
    if name is None:
        raise BadInput(
            f"{found.grid.title} has no column that is known as that of {what}; name it, as in "
            f"{setting(role, next(name for name in found.names if name))}"
        )
    return name


def _labels_of(found: Found, roles: Mapping[str, str], fill_down: bool) -> dict[str, pd.Series]:
    return {
        word: pd.Series(found.cells(name, fill_down=fill_down and word != "visit"), dtype=object)
        for word, name in roles.items()
    }


def _long(
    found: Found, roles: Mapping[str, str], outcome: str | None, baseline: str | None, covariates: Sequence[str],
    fill_down: bool,
) -> Draft:  # fmt: skip
    """A row per visit."""
    taken = set(roles.values())
    value = _outcome_of(found, outcome, taken)
    columns = dict(roles)
    at_baseline = pick(
        found, "baseline", baseline if baseline in found.names else None, "baseline", taken={*taken, value}
    )
    if at_baseline is not None:
        columns["baseline"] = at_baseline
    day = pick(found, "day_actual", None, "days", taken={*taken, value})
    if day is not None:
        columns["day"] = day
    frame = pd.DataFrame(_labels_of(found, columns, fill_down))
    frame["outcome"] = pd.Series(found.cells(value), dtype=object)
    column = found.column(value)
    frame[CELL] = [found.grid.place(row, column) for row in found.rows]
    draft = Draft(frame, "a row per visit")
    return _with_covariates(draft, found, covariates, {*columns.values(), value}, np.arange(len(found.rows)))


def _outcome_of(found: Found, stated: str | None, taken: set[str]) -> str:
    if stated is not None:
        return stated_column(found, stated, "outcome", "outcome")
    names = [name for name in found.names if name and name not in taken]
    plain = pick(found, "outcome", None, "outcome", taken=taken)
    scales = [name for name in names if key(name) in _SCALES]
    if plain is not None and not scales:
        return plain
    if plain is None and len(scales) == 1:
        return scales[0]
    candidates = [*([plain] if plain else []), *scales] or [n for n in names if _is_numeric(found, n)] or names
    raise BadInput(
        f"{found.grid.title}: which column is the outcome is not certain ({quoted(candidates)}); name it with outcome "
        f"= '{candidates[0]}'"
    )


def _is_numeric(found: Found, name: str) -> bool:
    kinds = [kind_of(cell) for cell in found.cells(name) if not is_unmeasured(cell)]
    return bool(kinds) and all(kind == "number" for kind in kinds)


def _wide(
    found: Found, roles: Mapping[str, str], outcome: str | None, visits: Sequence[str] | None, baseline: str | None,
    covariates: Sequence[str], fill_down: bool,
) -> Draft:  # fmt: skip
    """A column per visit."""
    taken = set(roles.values())
    chosen = _visits_of(found, outcome, visits, taken)
    columns = dict(roles)
    if baseline is not None and baseline in found.names and baseline not in chosen:
        columns["baseline"] = baseline
    elif baseline is None and (name := pick(found, "baseline", None, "baseline", taken={*taken, *chosen})) is not None:
        columns["baseline"] = name
    rows = np.repeat(np.arange(len(found.rows)), len(chosen))
    labels = _labels_of(found, columns, fill_down)
    frame = pd.DataFrame({word: cells[rows].array for word, cells in labels.items()})
    frame["visit"] = np.tile(np.array(list(chosen.values()), dtype=object), len(found.rows))
    at = [found.column(name) for name in chosen]
    frame["outcome"] = pd.Series([found.grid.cell(row, column) for row in found.rows for column in at], dtype=object)
    frame[CELL] = [found.grid.place(row, column) for row in found.rows for column in at]
    draft = Draft(frame, "a column per visit")
    draft.notes.append(f"columns of visits: {quoted(list(chosen))}")
    return _with_covariates(draft, found, covariates, {*columns.values(), *chosen}, rows)


def _visits_of(found: Found, outcome: str | None, visits: Sequence[str] | None, taken: set[str]) -> dict[str, str]:
    """Columns of visits and their labels; refuse several outcomes if none is named."""
    if visits is not None:
        columns = [stated_column(found, name, "visit", "visits") for name in visits]
        return {name: (split[1] if (split := _split(name)) else name) for name in columns}
    by_stem: dict[str, dict[str, str]] = {}
    for name in found.names:
        if name and name not in taken and not is_covariate(name) and (split := _split(name)):
            by_stem.setdefault(split[0], {})[name] = split[1]
    series = {stem: names for stem, names in by_stem.items() if len(names) > 1}
    if outcome is not None:
        of = {key(stem): stem for stem in series}
        if key(outcome) not in of:
            known = [stem or "(visits alone)" for stem in series] or [name for name in found.names if name]
            raise BadInput(
                f"{setting('outcome', outcome)} begins the names of no columns of visits in {found.grid.title}; "
                f"{did_you_mean(outcome, known)}"
            )
        return series[of[key(outcome)]]
    if len(series) == 1:
        return next(iter(series.values()))
    if series:
        some = [stem for stem in series if stem]
        raise BadInput(
            f"{found.grid.title} has columns of visits of {len(series)} outcomes ({quoted(some)}); name one with "
            f"{setting('outcome', some[0])}"
        )
    names = [name for name in found.names if name and name not in taken]
    raise BadInput(
        f"{found.grid.title} has neither a column of visits (visit) nor columns that are named by visits, such as "
        f"HAMD_w2; name them all, as in {setting('visits', names[:2] or ['HAMD_w0', 'HAMD_w2'])}"
    )


def _split(name: str) -> tuple[str, str] | None:
    """What a column of a visit measures, and the visit: HAMD_w2 -> ("HAMD", "w2"), Week 2 -> ("", "Week 2")."""
    found = _NAMED.fullmatch(name) or _TURNED.fullmatch(name)
    return (found["stem"].strip(" _.-"), found["label"]) if found else None


def _with_covariates(draft: Draft, found: Found, stated: Sequence[str], taken: set[str], rows: np.ndarray) -> Draft:
    named = [stated_column(found, name, "covariate", "covariates") for name in stated]
    known = [name for name in found.names if name and name not in taken and is_covariate(name)]
    kept = dict.fromkeys([*named, *known])
    for name in kept:
        draft.frame[name] = pd.Series(found.cells(name), dtype=object)[rows].array
    note_unread(draft, found, {*taken, *kept})
    return draft


def _read_numbers(draft: Draft, word: str, missing: Sequence[str], decimal: Mark | None) -> None:
    """Numbers of a column, NaN where empty; refuse anything else, naming its cell."""
    frame = draft.frame
    cells = measured(frame[word], missing)
    mark, _ = find_mark(cells, lambda row: place_of(frame, row), decimal)
    values = []
    for row, cell in enumerate(cells):
        kind = kind_of(cell)
        if isinstance(cell, Odd):
            raise BadInput(f"{place_of(frame, row)} {cell.problem}; {cell.remedy}")
        if kind not in ("blank", "number"):
            what = "the date " if kind == "date" else ""
            raise BadInput(
                f"{place_of(frame, row)}: the {word} is {what}{shown(cell)}, where a number is needed; correct it, or "
                f"declare it missing with {setting('missing', [str(cell)[:30]])}"
            )
        values.append(np.nan if kind == "blank" else float(with_point(cell, mark)))
    frame[word] = np.array(values, dtype=float)


def _settle_baseline(draft: Draft, stated: str | None) -> None:
    """Take the outcome at time zero for the baseline, and its rows out of the visits."""
    frame = draft.frame
    labels = list(dict.fromkeys(frame["visit"]))
    if stated is not None and stated not in labels and "baseline" not in frame:
        known = [str(label) for label in labels]
        raise BadInput(f"{setting('baseline', stated)} is no column and no visit; {did_you_mean(stated, known)}")
    zero = [label for label in labels if (label == stated if stated in labels else is_time_zero(str(label)))]
    if not zero:
        if "baseline" not in frame:
            draft.notes.append("no column and no visit is known as the baseline, so outcomes are not adjusted for it")
        return
    if len(zero) > 1:
        raise BadInput(
            f"{quoted([str(z) for z in zero])} are both visits at time zero; say which with "
            f"{setting('baseline', str(zero[0]))}"
        )
    is_zero = (frame["visit"] == zero[0]).to_numpy()
    if is_zero.all():
        raise BadInput(f"'{zero[0]}' is the baseline and the only visit; a trial needs a visit after it")
    if "baseline" not in frame:
        first = frame[is_zero]
        twice = first.duplicated("subject")
        if twice.any():
            row = int(np.flatnonzero(is_zero)[np.flatnonzero(twice.to_numpy())[0]])
            raise BadInput(f"{place_of(frame, row)} is a second baseline of one patient; keep one")
        of = dict(zip(first["subject"], first["outcome"], strict=True))
        frame["baseline"] = [of.get(who, np.nan) for who in frame["subject"]]
        draft.notes.append(f"visit '{as_label(zero[0])}' is the baseline")
    else:
        draft.notes.append(f"rows of visit '{as_label(zero[0])}', the baseline, left out of the visits")
    draft.frame = frame[~is_zero].reset_index(drop=True)
