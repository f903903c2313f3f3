"""Exports of Luminex xPONENT: blocks of one statistic each, a row per well, a column per analyte."""

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bayesdep.data.cell_origins import CELL
from bayesdep.data.errors import BadInput, did_you_mean, setting
from bayesdep.data.labels import alike
from bayesdep.data.readers.draft import Draft
from bayesdep.data.readers.grids import Grid, is_blank, text_of
from bayesdep.data.readers.layout import quoted, wells

NAME = "xponent"
LAYOUT = "Luminex xPONENT"
SOURCE = (
    "github.com/mini-pw/SerolyzeR, inst/extdata/random.csv; github.com/Benchling-Open-Source/allotropy, "
    "tests/parsers/luminex_xponent/testdata/; block Result: github.com/albacamino/boostrix, main_citoquines.py"
)
_BLOCK = "datatype:"
_CONCENTRATIONS = ("Result", "Test Result", "Obs Concentration")
_OF_WELLS = ("median", "netmfi", "result", "testresult", "obsconcentration", "mean", "trimmedmean", "peak")
_LOCATION = re.compile(r"(\d+)\((\d+),([A-P]\d{1,2})\)")
_NO_PERSON = re.compile(r"(?:background|standard|control|blank|qc|std|cal)[ _-]?\d*", re.IGNORECASE)
_NO_ANALYTE = ("location", "sample", "totalevents", "notes", "")


def recognise(grids: Sequence[Grid]) -> bool:
    """Tell whether a file is an export of xPONENT."""
    return any(
        text_of(grid.cell(row, 0)).casefold().startswith(_BLOCK) for grid in grids for row in range(len(grid.rows))
    )


def read(grids: Sequence[Grid], block: str | None) -> Draft:
    """Read one block of an xPONENT export.

    Parameters
    ----------
    grids
        The file's sheets.
    block
        The block (``DataType:``), such as ``"Net MFI"``; None for the one of concentrations (``Result``).

    Returns
    -------
    Draft
        The measurements: standards, backgrounds and controls left out.

    Raises
    ------
    BadInput
        When there is no such block, or no block of concentrations and none was named.
    """
    grid = next(grid for grid in grids if recognise([grid]))
    starts: dict[str, int] = {}
    for row in range(len(grid.rows)):
        if (first := text_of(grid.cell(row, 0))).casefold().startswith(_BLOCK):
            starts.setdefault(text_of(grid.cell(row, 1)) or first.split(":", 1)[1].strip(), row)
    name = _choose(grid, starts, block)
    head = starts[name] + 1
    names = [text_of(cell) for cell in grid.rows[head]] if head < len(grid.rows) else []
    columns = {column: n for column, n in enumerate(names) if alike(n) not in _NO_ANALYTE}
    where = {alike(n): column for column, n in enumerate(names) if n}
    if "sample" not in where or "location" not in where or not columns:
        raise BadInput(
            f"{grid.title}: block '{name}' in row {head + grid.first} has no columns Location, Sample and analytes; "
            f"name another with {setting('block', next(iter(starts)))}"
        )
    units, batch = _units(grid, starts), _batch(grid)
    records, left_out = [], 0
    for row in range(head + 1, len(grid.rows)):
        if all(is_blank(cell) for cell in grid.rows[row]):
            break
        sample = text_of(grid.cell(row, where["sample"]))
        if _NO_PERSON.fullmatch(sample):
            left_out += 1
            continue
        location = text_of(grid.cell(row, where["location"]))
        placed = _LOCATION.fullmatch(location.replace(" ", ""))
        for column, analyte in columns.items():
            records.append(
                {
                    "sample": sample,
                    "plate": f"{batch}, plate {placed[2]}".lstrip(", ") if placed else batch or None,
                    "well": placed[3] if placed else location,
                    "analyte": analyte,
                    "concentration": grid.cell(row, column),
                    "unit": units.get(
                        analyte, "MFI" if "mfi" in alike(name) or alike(name) in ("median", "mean") else None
                    ),
                    CELL: grid.place(row, column),
                }
            )
    if not records:
        raise BadInput(
            f"{grid.title}: block '{name}' holds standards, backgrounds and controls only; export the samples"
        )
    return Draft(_frame(records), LAYOUT, SOURCE, notes=_notes(name, left_out))


def _notes(name: str, left_out: int) -> list[str]:
    notes = [f"block '{name}' read"]
    if left_out:
        notes.append(f"{wells(left_out)} of standards, backgrounds and controls left out")
    if alike(name) not in map(alike, _CONCENTRATIONS):
        notes.append("values are fluorescence (MFI), not concentrations: their ratios are not ratios of concentrations")
    return notes


def _frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(records).astype(object)
    return frame.drop(columns=[word for word in ("plate", "unit") if frame[word].isna().all()])


def _choose(grid: Grid, starts: dict[str, int], block: str | None) -> str:
    of = {alike(name): name for name in starts}
    if block is not None:
        if alike(block) in of:
            return of[alike(block)]
        raise BadInput(f"{setting('block', block)} is not in {grid.title}; {did_you_mean(block, starts)}")
    for name in _CONCENTRATIONS:
        if alike(name) in of:
            return of[alike(name)]
    wells = [name for key, name in of.items() if key in _OF_WELLS]
    raise BadInput(
        f"{grid.title} has no block of concentrations (Result), but {quoted(wells or list(starts))}; export "
        f"concentrations, or read fluorescence with {setting('block', (wells or list(starts))[0])}"
    )


def _units(grid: Grid, starts: dict[str, int]) -> dict[str, str]:
    """Units by analyte, from the block Units, where there is one."""
    at = next((row for name, row in starts.items() if alike(name) == "units"), None)
    if at is None:
        return {}
    rows = {
        text_of(grid.cell(row, 0)).casefold().rstrip(":"): row for row in range(at + 1, min(at + 6, len(grid.rows)))
    }
    names, units = (
        next((rows[w] for w in words if w in rows), None) for words in (("analyte", "alyte"), ("units", "unit"))
    )
    if names is None or units is None:
        return {}
    pairs = zip(grid.rows[names][1:], grid.rows[units][1:], strict=False)
    return {text_of(name): text_of(unit) for name, unit in pairs if text_of(name) and text_of(unit)}


def _batch(grid: Grid) -> str:
    for row in range(min(len(grid.rows), 60)):
        if text_of(grid.cell(row, 0)).casefold() == "batch":
            return text_of(grid.cell(row, 1))
    return ""
