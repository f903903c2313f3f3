"""Olink files in wide form: an assay per column, what is known of it above and below its values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.data.cell_origins import CELL
from bayesdep.data.errors import BadInput
from bayesdep.data.labels import as_label
from bayesdep.data.readers.draft import Draft
from bayesdep.data.readers.grids import Grid, is_blank, text_of
from bayesdep.data.readers.olink import UNIT, read_logs
from bayesdep.data.readers.roles import key

NAME = "olink-wide"
LAYOUT = "Olink, wide"
SOURCE = "github.com/Olink-Proteomics/OlinkRPackage, OlinkAnalyze/R/Read_NPX_data.R (read_NPX_target)"
_SEARCHED = 20  # rows in which the head is sought
_ABOVE = ("panel", "assay", "uniprotid", "uniprot", "olinkid", "unit")
_LIMITS = ("lod", "maxlod", "platelod")
_BELOW = (*_LIMITS, "lloq", "uloq", "missingdatafreq", "normalization", "assaywarning",  # no spelling check
          "lowestquantifiablelevel")  # fmt: skip
_NO_ASSAY = ("ctrl", "qc deviation", "qc warning", "plate id")
_BEYOND = {"> ULOQ": "right", "< LLOQ": "left"}


@dataclass(frozen=True)
class _Sheet:
    """A wide sheet: positions of rows above and below the values, of samples' rows and assays' columns."""

    grid: Grid
    above: dict[str, int]
    below: tuple[tuple[str, int], ...]
    samples: tuple[int, ...]
    assays: tuple[int, ...]

    def head(self, word: str, column: int) -> str:
        return text_of(self.grid.cell(self.above[word], column)) if word in self.above else ""

    def column_of(self, name: str, panel: str) -> int | None:
        """The column of plates, or of warnings, of a panel."""
        known = [c for c in range(1, self.grid.width) if self.head("assay", c).casefold() == name]
        of_panel = [c for c in known if self.head("panel", c) == panel]
        return next(iter(of_panel or known), None)


def recognise(grids: Sequence[Grid]) -> bool:
    """Tell whether a file is a wide Olink file."""
    return any(_above(grid) is not None for grid in grids)


def _above(grid: Grid) -> dict[str, int] | None:
    """Rows of panels, assays and Olink's numbers, by their names in the first column."""
    found: dict[str, int] = {}
    for row in range(min(len(grid.rows), _SEARCHED)):
        word = key(text_of(grid.cell(row, 0)))
        if word in _ABOVE and word not in found:
            found[word] = row
    return found if {"panel", "assay", "olinkid"} <= set(found) else None


def _sheet(grid: Grid, above: dict[str, int]) -> _Sheet:
    samples, below = [], []
    for row in range(max(above.values()) + 1, len(grid.rows)):
        if all(is_blank(cell) for cell in grid.rows[row]):
            continue
        word = key(text_of(grid.cell(row, 0))).rstrip(".")
        if word in _BELOW:
            below.append((word, row))
        elif not below:
            samples.append(row)
    assays = [
        column
        for column in range(1, grid.width)
        if text_of(grid.cell(above["olinkid"], column))
        and not any(word in text_of(grid.cell(above["assay"], column)).casefold() for word in _NO_ASSAY)
    ]
    if not samples or not assays:
        raise BadInput(
            f"{grid.title} has the head of an Olink file and no {'samples' if assays else 'assays with an OlinkID'}; "
            "export it again with the people's samples"
        )
    return _Sheet(grid, above, tuple(below), tuple(samples), tuple(assays))


def read(grids: Sequence[Grid], _: str | None) -> Draft:
    """Read a wide Olink file.

    NPX are turned into relative concentrations, ``2**NPX``, as in long files; quantified values are concentrations in
    the unit above them. Limits are the row ``LOD``, else ``Max LOD``, else the ``Plate LOD`` of the sample's plate;
    quantified values also have ``LLOQ`` and ``ULOQ``, and ``< LLOQ`` and ``> ULOQ`` are read as values beyond them.

    Parameters
    ----------
    grids
        The file's sheets.

    Returns
    -------
    Draft
        The measurements.

    Raises
    ------
    BadInput
        When a value or a limit is no number, the kind of values is not stated, or a plate has no limit.
    """
    grid, above = next((grid, above) for grid in grids if (above := _above(grid)) is not None)
    sheet = _sheet(grid, above)
    is_log = _is_npx(sheet)
    names = _assays(sheet)
    cells = [(row, column) for column in sheet.assays for row in sheet.samples if not _is_control(sheet, row)]
    if not cells:
        raise BadInput(f"{grid.title} holds control samples only; read the file of the people's samples")
    values = [grid.cell(row, column) for row, column in cells]
    plates = {column: sheet.column_of("plate id", sheet.head("panel", column)) for column in sheet.assays}
    columns: dict[str, Any] = {
        "sample": [grid.cell(row, 0) for row, _ in cells],
        "analyte": [names[column] for _, column in cells],
        "concentration": _concentrations(sheet, cells, values, is_log=is_log),
        CELL: [grid.place(row, column) for row, column in cells],
        "unit": UNIT if is_log else [sheet.head("unit", column) or None for _, column in cells],
    }
    if all(column is not None for column in plates.values()):
        columns["plate"] = [grid.cell(row, plates[column] or 0) for row, column in cells]
    limit = next((word for word in _LIMITS if word in dict(sheet.below)), None)
    words = {limit: "lod"} if limit else {}
    words |= {} if is_log else {word: word for word in ("lloq", "uloq") if word in dict(sheet.below)}
    for word, name in words.items():
        columns[name] = _limits(sheet, word, cells, plates, is_log=is_log)
    flags = [_BEYOND.get(text_of(cell), "") for cell in values]
    if any(flags):
        columns["censored"] = flags
    return Draft(
        pd.DataFrame(columns), LAYOUT, SOURCE, notes=_notes(sheet, values, limit, is_log=is_log),
        settings={"beyond_limit": "censor"} if limit else {},
    )  # fmt: skip


def _is_npx(sheet: _Sheet) -> bool:
    """What the line above the head says of the values: log2 or concentrations."""
    head = " ".join(text_of(cell) for row in sheet.grid.rows[: sheet.above["panel"]] for cell in row).casefold()
    if "quantified" in head:
        return False
    if "npx" not in head:
        raise BadInput(
            f"{sheet.grid.title} has the head of an Olink file, and no line above it says NPX or Quantified; write one "
            "of them into cell A2"
        )
    return True


def _is_control(sheet: _Sheet, row: int) -> bool:
    return text_of(sheet.grid.cell(row, 0)).upper().startswith("CONTROL_SAMPLE")


def _assays(sheet: _Sheet) -> dict[int, str]:
    """Names of assays by column; one that is on several panels has its OlinkID behind it."""
    names = {column: as_label(sheet.head("assay", column)) for column in sheet.assays}
    counts = pd.Series(list(names.values())).value_counts()
    return {c: f"{name} ({sheet.head('olinkid', c)})" if counts[name] > 1 else name for c, name in names.items()}


def _concentrations(sheet: _Sheet, cells: Sequence[tuple[int, int]], values: list[Any], *, is_log: bool) -> list[Any]:
    plain = [_plain(cell) for cell in values]
    if not is_log:
        return plain
    logs = read_logs(plain, lambda at: sheet.grid.place(*cells[at]), "NPX")
    return [None if np.isnan(x) else float(2.0**x) for x in logs]


def _plain(cell: Any) -> Any:
    """A value without Olink's mark ``#``; no value where it is beyond a limit."""
    if not isinstance(cell, str):
        return cell
    text = cell.replace("#", "").strip()
    return None if text in _BEYOND or text.casefold() == "no data" else text


def _limits(
    sheet: _Sheet, word: str, cells: Sequence[tuple[int, int]], plates: dict[int, int | None], *, is_log: bool
) -> list[Any]:
    """The limits of a row below the values, of the sample's plate where there is a row for each plate."""
    rows = [row for name, row in sheet.below if name == word]
    found: dict[tuple[str, int], Any] = {}
    for row in rows:
        values = _limits_in(sheet, row, is_log=is_log)
        found |= {
            (_plate(sheet, row, plates[column], rows), column): value
            for column, value in zip(sheet.assays, values, strict=True)
        }
    limits = []
    for row, column in cells:
        name = _plate(sheet, row, plates[column], rows)
        if (name, column) not in found:
            raise BadInput(
                f"{sheet.grid.place(row, plates[column] or 0)} names a plate for which there is no row "
                f"'{_written(sheet, rows[0])}'; write the plate's name into such a row, in the column of plates"
            )
        limits.append(found[name, column])
    return limits


def _limits_in(sheet: _Sheet, row: int, *, is_log: bool) -> list[Any]:
    """The limits that stand in a row, one for each assay."""
    values = [_plain(sheet.grid.cell(row, column)) for column in sheet.assays]
    if not is_log:
        return values
    logs = read_logs(values, lambda i: sheet.grid.place(row, sheet.assays[i]), _written(sheet, row))
    return [None if np.isnan(x) else float(2.0**x) for x in logs]


def _plate(sheet: _Sheet, row: int, column: int | None, rows: Sequence[int]) -> str:
    """The plate of a row, where limits differ between plates."""
    return text_of(sheet.grid.cell(row, column)) if column is not None and len(rows) > 1 else ""


def _written(sheet: _Sheet, row: int) -> str:
    return text_of(sheet.grid.cell(row, 0))


def _notes(sheet: _Sheet, values: list[Any], limit: str | None, *, is_log: bool) -> list[str]:
    notes = []
    if controls := sum(_is_control(sheet, row) for row in sheet.samples):
        notes.append(f"{controls} rows of control samples left out")
    if is_log:
        notes.append("values are NPX, on a log2 scale: concentrations are 2^NPX, in an arbitrary unit of each analyte")
    if marked := sum(isinstance(cell, str) and "#" in cell for cell in values):
        notes.append(f"{marked} of {len(values)} values are marked # and were read like the others")
    if limit:
        notes.append(f"values below their limit ({_written(sheet, dict(sheet.below)[limit])}) count as not detected")
    else:
        notes.append("the file has no limits: every value counts as detected")
    return [*notes, *sheet.grid.notes]
