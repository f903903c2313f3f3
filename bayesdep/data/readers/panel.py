"""Measurements of analytes, as laboratories and instruments write them, read as a tidy table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesdep.data.cell_origins import CELL
from bayesdep.data.errors import BadInput, did_you_mean, setting
from bayesdep.data.readers import bioplex, msd, olink, olink_wide, xponent
from bayesdep.data.readers.decimals import Mark
from bayesdep.data.readers.draft import (
    LIMIT_COLUMNS,
    Draft,
    Extrapolated,
    keep_analytes,
    leave_out_samples,
    note_unread,
    place_of,
    read_concentrations,
    read_covariates,
    read_labels,
    refuse_calibrators,
)
from bayesdep.data.readers.files import Opened, choose_sheets, open_file
from bayesdep.data.readers.grids import kind_of, text_of
from bayesdep.data.readers.joining import join_limits, join_people, spread_limits
from bayesdep.data.readers.layout import Found, find_table, quoted
from bayesdep.data.readers.result import ReadTable, with_origin
from bayesdep.data.readers.roles import choose_analytes, is_covariate, only_column_of_labels, pick, stated_column

type Layout = Literal["wide", "long", "bioplex", "xponent", "msd", "olink", "olink-wide"]

INSTRUMENTS: dict[str, ModuleType] = {module.NAME: module for module in (olink, olink_wide, xponent, bioplex, msd)}
_ORDER = (
    "subject", "sample", "group", "time", "plate", "well", "analyte", "concentration", "unit", *LIMIT_COLUMNS,
    "censored",
)  # fmt: skip
_LABELS = {"group": "groups", "time": "times", "plate": "plates", "well": "wells"}
_OF_LONG = {
    "unit": "units", "lod": "limits of detection", "lloq": "lower limits", "uloq": "upper limits", "censored": "flags",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _How:
    """The settings of :func:`read_panel` that concern one sheet."""

    layout: Layout | None
    header: int | None
    last_row: int | None
    analytes: Sequence[str] | str | None
    columns: Mapping[str, str | None]
    covariates: Sequence[str]
    fill_down: bool


def read_panel(
    file: Any,
    *,
    sheet: str | Sequence[str] | None = None,
    layout: Layout | None = None,
    header: int | None = None,
    last_row: int | None = None,
    delimiter: str | None = None,
    decimal: Mark | None = None,
    encoding: str | None = None,
    analytes: Sequence[str] | str | None = None,
    subject: str | None = None,
    sample: str | None = None,
    group: str | None = None,
    time: str | None = None,
    plate: str | None = None,
    analyte: str | None = None,
    value: str | None = None,
    unit: str | None = None,
    covariates: Sequence[str] = (),
    people: Any = None,
    limits: Any = None,
    block: str | None = None,
    leave_out: Sequence[str] | None = None,
    missing: Sequence[str] = (),
    extrapolated: Extrapolated | None = None,
    replicates: bool | None = None,
    fill_down: bool = False,
) -> ReadTable:
    """Read a panel of analytes from a laboratory's file.

    What is certain is found: the encoding, the delimiter, the decimal mark, lines above and below the table, the
    columns by their names, units in the header, rows of limits, the layout of an instrument. What could be read in two
    ways is refused in one sentence that names the setting which decides. docs/howto/reading.md shows each layout.

    Parameters
    ----------
    file
        A .csv, .tsv, .txt, .xlsx or .parquet file, a dataframe, or a list of these (plates of one panel).
    sheet
        The sheet of a workbook, several, or ``"all"`` for all visible ones; needed where it has several.
    layout
        ``"wide"`` (a column per analyte), ``"long"`` (a row per measurement), or an instrument's export:
        ``"bioplex"``, ``"xponent"``, ``"msd"``, ``"olink"`` or ``"olink-wide"``; None to recognise it.
    header, last_row
        Numbers of the header's row and of the table's last, as a spreadsheet counts; None to find them.
    delimiter, encoding
        Of text files; None to find them.
    decimal
        The decimal mark of numbers that are written as text, ``"."`` or ``","``; None to find it.
    analytes
        Of a wide sheet: columns of analytes, by name or pattern, as in ``["IL*", "TNF"]``; None to find them. Of other
        layouts: the analytes to keep.
    subject, sample, group, time, plate
        Columns of people, samples, groups, times and plates; None to find them by their names.
    analyte, value, unit
        Of a long sheet: columns of analytes, concentrations and units.
    covariates
        Columns to keep beside these; known ones such as age, sex and BMI are kept anyway.
    people
        A table of what is known of the samples (groups, times, covariates), joined by sample: a file or a dataframe.
    limits
        Limits of detection, ``{"IL-6": 0.64}`` or a dataframe as :func:`bayesdep.add_limits` takes it.
    block
        Of an xPONENT export: the block, such as ``"Net MFI"``; None for concentrations (``Result``).
    leave_out
        Samples to leave out, by name or pattern, as in ``["Standard*", "Blank"]``; ``[]`` keeps samples that are named
        like standards.
    missing
        Texts that stand for a missing value, as in ``["insufficient"]``.
    extrapolated
        What to do with numbers marked ``*`` as beyond the standard curve: ``"number"``, or ``"censor"`` them.
    replicates
        Whether several measurements of a sample are wells of it; None to know it from the wells of an export.
    fill_down
        Whether an empty cell of a label means the one above it.

    Returns
    -------
    ReadTable
        ``table`` is what :class:`~bayesdep.Cytokines` takes: ``subject``, ``analyte``, ``concentration`` and, where
        known, ``sample``, ``group``, ``time``, ``plate``, ``well``, ``unit``, ``lod``, ``lloq``, ``uloq``,
        ``censored``, covariates, and ``read_from``, the cell that each row was read from.

    Raises
    ------
    BadInput
        When a file cannot be read, or can be read in two ways.

    Examples
    --------
    >>> sheet = pd.DataFrame({"Patient": ["P1", "P2"], "IL-6 (pg/mL)": ["<0,64", "2,1"], "Age": [31, 40]})
    >>> read = read_panel(sheet)
    >>> read.table[["subject", "analyte", "concentration", "unit", "Age", "read_from"]].values.tolist()[0]
    ['P1', 'IL-6', '<0.64', 'pg/mL', 31, "'a dataframe', cell B2"]
    """
    how = _How(
        layout=layout, header=header, last_row=last_row, analytes=analytes, covariates=covariates, fill_down=fill_down,
        columns={
            "subject": subject, "sample": sample, "group": group, "time": time, "plate": plate, "analyte": analyte,
            "value": value, "unit": unit,
        },
    )  # fmt: skip
    _refuse_unknown(layout, extrapolated)
    opened = [open_file(one, delimiter=delimiter, encoding=encoding) for one in _each(file)]
    draft = _combined(opened, [_draft_of(one, sheet, how, block) for one in opened], analytes)
    if leave_out:
        leave_out_samples(draft, leave_out)
    read_labels(draft)
    if people is not None:
        join_people(draft, _only_table(people))
        read_labels(draft)
    elif "subject" not in draft.frame:
        draft.frame["subject"] = draft.frame["sample"]
    if leave_out is None and draft.layout not in [module.LAYOUT for module in INSTRUMENTS.values()]:
        refuse_calibrators(draft)
    if limits is not None:
        join_limits(draft, limits)
    read_concentrations(draft, decimal=decimal, missing=missing, extrapolated=extrapolated)
    known = {*_ORDER, CELL}
    read_covariates(draft, [str(name) for name in draft.frame.columns if name not in known], decimal)
    _settle_replicates(draft, replicates)
    return _result(draft, opened)


def _each(file: Any) -> list[Any]:
    files = list(file) if isinstance(file, (list, tuple)) else [file]
    if not files:
        raise BadInput("no file is given; name one")
    return files


def _refuse_unknown(layout: str | None, extrapolated: str | None) -> None:
    layouts = ("wide", "long", *INSTRUMENTS)
    if layout is not None and layout not in layouts:
        raise BadInput(f"{setting('layout', layout)} is not known; {did_you_mean(layout, layouts)}")
    if extrapolated not in (None, "censor", "number"):
        raise BadInput(f"{setting('extrapolated', extrapolated)} is not understood; write 'number' or 'censor'")


def _draft_of(opened: Opened, sheet: Any, how: _How, block: str | None) -> Draft:
    """Read one file: an instrument's export, or sheets of a plain layout."""
    visible = [grid for grid in opened.grids if not grid.is_hidden]
    name: str | None = how.layout
    if name is None and sheet is None and how.header is None:
        name = next((word for word, module in INSTRUMENTS.items() if module.recognise(visible)), None)
    if name in INSTRUMENTS:
        module = INSTRUMENTS[name]
        grids = visible if sheet is None else choose_sheets(opened, sheet)[0]
        if not module.recognise(grids):
            raise BadInput(f"'{opened.name}' is not of the form of {module.LAYOUT}; leave layout out, or name another")
        draft: Draft = module.read(grids, block)
        draft.notes[:0] = grids[0].notes
        return draft
    if block is not None:
        raise BadInput(
            f"{setting('block', block)} is for exports of xPONENT, which '{opened.name}' is not; leave block out"
        )
    grids, notes = choose_sheets(opened, sheet)
    drafts = []
    for grid in grids:
        found = find_table(grid, header=how.header, last_row=how.last_row)
        draft = _plain(found, how)
        draft.notes[:0] = [*grid.notes, *found.notes]
        if len(grids) > 1:
            _default_plate(draft, str(grid.sheet))
        drafts.append(draft)
    merged = _merge(drafts)
    merged.notes[:0] = notes
    return merged


def _default_plate(draft: Draft, name: str) -> None:
    if "plate" not in draft.frame:
        draft.frame["plate"] = name
        draft.notes.append("plates are named by their sheets or files")


def _merge(drafts: Sequence[Draft]) -> Draft:
    if len(drafts) == 1:
        return drafts[0]
    if len({draft.layout for draft in drafts}) > 1:
        raise BadInput(
            f"the files are of different layouts ({quoted(sorted({d.layout for d in drafts}))}); read them one by one"
        )
    columns: list[set[str]] = [
        set(map(str, draft.frame.columns)) - {*LIMIT_COLUMNS, "unit", "censored", "well"} for draft in drafts
    ]
    differ = {name for some in columns for name in some if not all(name in others for others in columns)}
    if differ:
        raise BadInput(
            f"the sheets or files differ in their columns, {quoted(sorted(differ))}; add what is missing in some, or "
            "read them one by one"
        )
    notes = list(dict.fromkeys(note for draft in drafts for note in draft.notes))
    frame = pd.concat([draft.frame.astype(object) for draft in drafts], ignore_index=True)
    one = drafts[0]
    settings = {key: value for draft in drafts for key, value in draft.settings.items()}
    return Draft(frame, one.layout, one.source, all(d.is_verified for d in drafts), notes, settings)


def _combined(opened: Sequence[Opened], drafts: Sequence[Draft], analytes: Sequence[str] | str | None) -> Draft:
    """All files' measurements; of a layout with a column of analytes, those that were asked for."""
    if len(drafts) > 1:
        stems = [Path(one.name).stem for one in opened]
        if len(set(stems)) < len(stems):
            stems = [f"{stem} {at + 1}" for at, stem in enumerate(stems)]
        for stem, draft in zip(stems, drafts, strict=True):
            _default_plate(draft, stem)
        for one, draft in zip(opened, drafts, strict=True):
            draft.frame[CELL] = [
                f"file '{one.name}', {cell.removeprefix(f"'{one.name}', ")}" for cell in draft.frame[CELL]
            ]
    draft = _merge(drafts)
    if analytes is not None and draft.layout != "wide":
        keep_analytes(draft, [analytes] if isinstance(analytes, str) else analytes)
    return draft


def _plain(found: Found, how: _How) -> Draft:
    """A sheet of a plain layout: a column per analyte, or a row per measurement."""
    stated = how.columns
    labels = _columns_of_people(found, stated)
    for word, what in _LABELS.items():
        name = pick(found, word, stated.get(word), what, taken=set(labels.values()))
        if name is not None:
            labels[word] = name
    if how.layout != "wide":
        taken = set(labels.values())
        analyte = pick(found, "analyte", stated["analyte"], "analytes", taken=taken)
        value = pick(found, "value", stated["value"], "concentrations", taken={*taken, analyte or ""})
        if analyte is not None and value is not None:
            return _long(found, how, labels, analyte, value)
        if how.layout == "long":
            lacks = "analytes (analyte)" if analyte is None else "concentrations (value)"
            raise BadInput(f"{found.grid.title} has no column of {lacks}; name it, or leave layout out")
    return _wide(found, how, labels)


def _columns_of_people(found: Found, stated: Mapping[str, str | None]) -> dict[str, str]:
    """The columns of people and of samples; where only samples are named, each is a person's."""
    subject = pick(found, "subject", stated["subject"], "people")
    sample = pick(found, "sample", stated["sample"], "samples", taken=(subject or "",))
    if subject is None and sample is None:
        subject = only_column_of_labels(found, taken=())
    if subject is None and sample is None:
        names = [name for name in found.names if name]
        raise BadInput(
            f"{found.grid.title} has no column that is known as that of people; name it, as in "
            f"{setting('subject', names[0])}"
        )
    return {word: name for word, name in (("subject", subject), ("sample", sample)) if name is not None}


def _wide(found: Found, how: _How, labels: Mapping[str, str]) -> Draft:
    """A row per sample, a column per analyte."""
    analytes, covariates = choose_analytes(found, how.analytes, how.covariates, set(labels.values()))
    at = {name: found.column(name) for name in analytes}
    rows = np.repeat(np.arange(len(found.rows)), len(analytes))
    frame = pd.DataFrame(
        {
            **{
                word: pd.Series(found.cells(name, fill_down=how.fill_down), dtype=object)[rows].array
                for word, name in labels.items()
            },
            "analyte": np.tile(np.array(analytes, dtype=object), len(found.rows)),
            "concentration": pd.Series(
                [found.grid.cell(row, at[name]) for row in found.rows for name in analytes], dtype=object
            ),
            CELL: [found.grid.place(row, at[name]) for row in found.rows for name in analytes],
        }
    )
    units = {name: found.units[at[name]] for name in analytes}
    if any(units.values()):
        frame["unit"] = [units[name] or "not stated" for name in frame["analyte"]]
    for name in covariates:
        frame[name] = pd.Series(found.cells(name), dtype=object)[rows].array
    draft = Draft(frame, "wide")
    spread_limits(draft, found, at)
    note_unread(draft, found, {*labels.values(), *analytes, *covariates})
    return draft


def _long(found: Found, how: _How, labels: Mapping[str, str], analyte: str, value: str) -> Draft:
    """A row per measurement."""
    columns = {**labels, "analyte": analyte}
    for word, what in _OF_LONG.items():
        name = pick(found, word, how.columns.get(word), what, taken=set(columns.values()))
        if name is not None:
            columns[word] = name
    named = [stated_column(found, name, "covariate", "covariates") for name in how.covariates]
    taken = {*columns.values(), value}
    covariates = dict.fromkeys([*named, *(n for n in found.names if n and n not in taken and is_covariate(n))])
    frame = pd.DataFrame(
        {word: pd.Series(found.cells(name, fill_down=how.fill_down), dtype=object) for word, name in columns.items()}
        | {name: pd.Series(found.cells(name), dtype=object) for name in covariates}
    )
    frame["concentration"] = pd.Series(found.cells(value), dtype=object)
    column = found.column(value)
    frame[CELL] = [found.grid.place(row, column) for row in found.rows]
    if "unit" not in frame and found.units[column]:
        frame["unit"] = found.units[column]
    elif "unit" in frame:
        frame["unit"] = [text_of(cell) or "not stated" for cell in frame["unit"]]
    draft = Draft(frame, "long")
    note_unread(draft, found, {*taken, *covariates})
    return draft


def _only_table(file: Any) -> Found:
    """The table of people, which has one sheet."""
    grids, _ = choose_sheets(open_file(file), None)
    return find_table(grids[0], loose=True)


def _settle_replicates(draft: Draft, stated: bool | None) -> None:
    """Several measurements of a person's analyte at a time are wells of one sample, or a mistake."""
    frame = draft.frame
    key = [word for word in ("subject", "analyte", "time") if word in frame]
    twice = frame.duplicated(key, keep=False).to_numpy()
    if not twice.any():
        if stated:
            raise BadInput(
                f"{setting('replicates', True)}, but nobody has two measurements of an analyte; leave replicates out"
            )
        return
    counts = f"{frame.loc[twice, key].drop_duplicates().shape[0]} of {frame[key].drop_duplicates().shape[0]}"
    if stated is None and draft.source and "well" in frame:
        stated = not frame.duplicated([*key, "well", *(["plate"] if "plate" in frame else [])]).any()
    if stated:
        draft.settings["replicates"] = True
        draft.notes.append(f"{counts} samples were measured in several wells (replicates)")
        return
    first = int(np.flatnonzero(frame.duplicated(key).to_numpy())[0])
    same = (frame[key] == frame[key].iloc[first]).all(axis=1).to_numpy()
    before = int(np.flatnonzero(same)[0])
    raise BadInput(
        f"{place_of(frame, first)}: the same analyte of the same person{' and time' if 'time' in frame else ''} stands "
        f"in {frame[CELL].iloc[before]} too; say replicates = True if these are wells of one sample, name the column "
        "of times if they are not, or correct the label"
    )


def _result(draft: Draft, opened: Sequence[Opened]) -> ReadTable:
    frame = draft.frame
    if "sample" in frame and (frame["sample"] == frame["subject"]).all():
        frame = frame.drop(columns="sample")
    covariates = [name for name in frame.columns if name not in {*_ORDER, CELL}]
    frame = frame[[*(word for word in _ORDER if word in frame), *covariates, CELL]]
    for word in LIMIT_COLUMNS:
        if word in frame:
            frame = frame.assign(**{word: frame[word].astype(float)})
    frame = with_origin(frame, opened)
    if "unit" in frame and (frame["unit"] == "not stated").any():
        draft.notes.append("some analytes have no unit")
    is_kind = [kind_of(cell) for cell in frame["concentration"]]
    if "bound" in is_kind and "lod" not in frame and "lloq" not in frame:
        words = sum(
            kind == "bound" and not any(c.isdigit() for c in str(cell))
            for kind, cell in zip(is_kind, frame["concentration"], strict=True)
        )
        if words:
            draft.notes.append(
                f"{words} values are beyond a limit that the file does not state: give "
                f"{setting('limits', {'ANALYTE': 0.5})}"
            )
    return ReadTable(
        frame,
        "cytokines",
        draft.layout,
        tuple(dict.fromkeys(draft.notes)),
        draft.is_verified,
        draft.source,
        dict(draft.settings),
    )
