"""Workbooks of Bio-Plex Manager: a sheet per analyte, or a sheet per statistic."""

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bayesdep.data.cell_origins import CELL
from bayesdep.data.errors import BadInput
from bayesdep.data.labels import alike
from bayesdep.data.readers.decimals import find_mark, with_point
from bayesdep.data.readers.draft import Draft
from bayesdep.data.readers.grids import Grid, is_blank, is_unmeasured, kind_of, text_of
from bayesdep.data.readers.layout import wells

NAME = "bioplex"
LAYOUT = "Bio-Plex Manager"
SOURCE = (
    "github.com/LabKey/commonAssays, luminex/src/org/labkey/luminex/LuminexExcelParser.java (a sheet per analyte); "
    "github.com/albacamino/boostrix, xlsx_to_csv_cytoquines.py (a sheet per statistic)"
)
_OF_ANALYTE = ("type", "well", "obsconc")
_SUMMARY_SHEETS = ("obsconc", "concinrange")
_REGION = re.compile(r"(.+?) ?\(\d{1,3}\)")
_WITH_RECOVERY = re.compile(r"recovery[^\d]*(\d+)\D+(\d+)", re.IGNORECASE)
_UNIT = re.compile(r"conc\.? ?units?:? ?(\S+/\S+)|units?:? ?(\S+/\S+)", re.IGNORECASE)
_USUAL_RECOVERY = (70.0, 130.0)  # per cent, the program's own default
_NOT_ANALYTES = frozenset(
    (
        "type",
        "well",
        "outlier",
        "description",
        "dilution",
        "group",
        "samplingerrors",
        "region",
        "gate",
        "totalevents",
        "",
    )
)


def recognise(grids: Sequence[Grid]) -> bool:
    """Tell whether a workbook is one of Bio-Plex Manager."""
    return any(_header(grid) is not None for grid in grids) or _summary(grids) is not None


def _words(grid: Grid, row: int) -> list[str]:
    return [alike(text_of(cell)) for cell in grid.rows[row]]


def _header(grid: Grid) -> int | None:
    """The header's row in a sheet of one analyte; the last, where means of wells stand above the wells."""
    rows = [row for row in range(min(len(grid.rows), 400)) if set(_words(grid, row)).issuperset(_OF_ANALYTE)]
    return rows[-1] if rows else None


def _summary(grids: Sequence[Grid]) -> Grid | None:
    for name in _SUMMARY_SHEETS:
        for grid in grids:
            if alike(grid.sheet or "") == name and _header_of_summary(grid) is not None:
                return grid
    return None


def _header_of_summary(grid: Grid) -> int | None:
    rows = (row for row in range(min(len(grid.rows), 100)) if set(_words(grid, row)).issuperset({"type", "well"}))
    return next(rows, None)


def read(grids: Sequence[Grid], _: str | None) -> Draft:
    """Read a workbook of Bio-Plex Manager: observed concentrations of samples (types X and U).

    The ends of the standard curve, by which ``OOR <`` and ``OOR >`` are censored, are the lowest and the highest
    expected concentration of a standard whose recovery lies within the range that the sheet states (70 to 130% where it
    states none). Where samples were diluted, no limit is derived.

    Parameters
    ----------
    grids
        The workbook's sheets.

    Returns
    -------
    Draft
        The measurements.

    Raises
    ------
    BadInput
        When it holds no samples.
    """
    records: list[dict[str, Any]] = []
    counts = {"standards": 0, "outliers": 0, "diluted": 0}
    sheets = [(grid, at) for grid in grids if (at := _header(grid)) is not None]
    if sheets:
        for grid, at in sheets:
            records += _of_analyte(grid, at, counts)
    else:
        summary = _summary(grids)
        assert summary is not None
        records = _of_summary(summary, counts)
    if not records:
        raise BadInput(f"'{grids[0].file}' holds no wells of samples (type X or U); export them with the standards")
    frame = pd.DataFrame(records).astype(object)
    frame = frame.drop(columns=[word for word in ("unit", "lod", "uloq") if word in frame and frame[word].isna().all()])
    notes = [f"{wells(counts['standards'])} of standards, blanks and controls left out"] if counts["standards"] else []
    if "lod" in frame:
        notes.append("limits are the ends of the standard curve: its lowest and highest standard with a good recovery")
    if counts["diluted"]:
        notes.append("samples were diluted, so the ends of the standard curve are no limits of theirs: give limits")
    if counts["outliers"]:
        notes.append(f"{wells(counts['outliers'])} marked as outliers left out")
    return Draft(frame, LAYOUT, SOURCE, notes=notes)


def _is_person(kind: str) -> bool:
    return kind.upper().startswith(("X", "U"))


def _of_analyte(grid: Grid, at: int, counts: dict[str, int]) -> list[dict[str, Any]]:
    """Wells of one analyte's sheet."""
    of = {word: column for column, word in enumerate(_words(grid, at)) if word}
    rows = []
    for row in range(at + 1, len(grid.rows)):
        if is_blank(grid.cell(row, of["type"])):
            break
        rows.append(row)
    name = text_of(grid.sheet)
    analyte = found[1].strip() if (found := _REGION.fullmatch(name)) else name
    diluted = "dilution" in of and any(
        _is_person(text_of(grid.cell(row, of["type"])))
        and text_of(grid.cell(row, of["dilution"])).removeprefix("1:") not in ("", "1", "1.0")
        for row in rows
    )
    counts["diluted"] += diluted
    low, high = (None, None) if diluted else _ends_of_curve(grid, of, rows)
    records = []
    for row in rows:
        if not _is_person(text_of(grid.cell(row, of["type"]))):
            counts["standards"] += 1
            continue
        if "outlier" in of and text_of(grid.cell(row, of["outlier"])) not in ("", "0"):
            counts["outliers"] += 1
            continue
        label = grid.cell(row, of["description"]) if "description" in of else None
        sample = text_of(label) or text_of(grid.cell(row, of["type"]))
        records.append(
            {
                "sample": sample,
                "well": text_of(grid.cell(row, of["well"])),
                "analyte": analyte,
                "concentration": grid.cell(row, of["obsconc"]),
                "unit": _unit(grid),
                "lod": low,
                "uloq": high,
                CELL: grid.place(row, of["obsconc"]),
            }
        )
    return records


def _ends_of_curve(grid: Grid, of: dict[str, int], rows: list[int]) -> tuple[float | None, float | None]:
    """The lowest and the highest standard's concentration whose recovery is good; None where there are none."""
    recovery = next((column for word, column in of.items() if word.startswith("(obs/exp)")), None)
    if "expconc" not in of or recovery is None:
        return None, None
    lowest, highest = _recovery(grid)
    good = []
    for row in rows:
        if text_of(grid.cell(row, of["type"])).upper().startswith(("S", "ES")):
            amount, share = (_number(grid, row, column) for column in (of["expconc"], recovery))
            if amount is not None and share is not None and lowest <= share <= highest and amount > 0:
                good.append(amount)
    return (min(good), max(good)) if good else (None, None)


def _number(grid: Grid, row: int, column: int) -> float | None:
    cell = grid.cell(row, column)
    if is_unmeasured(cell) or kind_of(cell) != "number":
        return None
    mark, _ = find_mark([cell], lambda _: grid.place(row, column))
    return float(with_point(cell, mark))


def _recovery(grid: Grid) -> tuple[float, float]:
    for row in range(len(grid.rows)):
        if stated := _WITH_RECOVERY.search(text_of(grid.cell(row, 0))):
            return float(stated[1]), float(stated[2])
    return _USUAL_RECOVERY


def _unit(grid: Grid) -> str | None:
    for row in range(len(grid.rows)):
        if stated := _UNIT.search(text_of(grid.cell(row, 0))):
            return stated[1] or stated[2]
    return None


def _of_summary(grid: Grid, counts: dict[str, int]) -> list[dict[str, Any]]:
    """Wells of a sheet of observed concentrations, a column per analyte."""
    at = _header_of_summary(grid)
    assert at is not None
    names = [text_of(cell) for cell in grid.rows[at]]
    of = {alike(name): column for column, name in enumerate(names) if name}
    analytes = {
        column: (found[1].strip() if (found := _REGION.fullmatch(name)) else name)
        for column, name in enumerate(names)
        if alike(name) not in _NOT_ANALYTES
    }
    records = []
    for row in range(at + 1, len(grid.rows)):
        kind = text_of(grid.cell(row, of["type"]))
        if not kind:
            continue
        if not _is_person(kind):
            counts["standards"] += 1
            continue
        sample = text_of(grid.cell(row, of["description"])) if "description" in of else ""
        records += [
            {
                "sample": sample or kind,
                "well": text_of(grid.cell(row, of["well"])),
                "analyte": analyte,
                "concentration": grid.cell(row, column),
                "unit": _unit(grid),
                CELL: grid.place(row, column),
            }
            for column, analyte in analytes.items()
        ]
    return records
