"""An .xlsx workbook -> its sheets as grids; hostile and damaged files are refused before they are unpacked."""

import datetime
import io
import re
import zipfile
import zlib
from collections.abc import Iterable
from typing import Any

from bayesdep.data.budget import refuse_beyond_memory, size
from bayesdep.data.readers.grids import Grid, Odd, letters

_LARGEST = 400 * 2**20  # bytes of a workbook when unpacked
_MOST_CELLS = 5_000_000  # of a sheet's rectangle, most of them empty where one cell stands far away
_MOST_PARTS = 5_000
_PER_BYTE = 12  # bytes of memory while a byte of XML is read: a cell of 40 characters is an object of some 500 bytes
_RESAVE = "open it in a spreadsheet, copy the table alone into a new workbook and save that"
_CODINGS = ("utf-8", "utf-16-le", "utf-16-be")
_DECLARATIONS = tuple(word.encode(coding) for word in ("<!DOCTYPE", "<!ENTITY") for coding in _CODINGS)
_AT_ONCE = 2**20
_ZIP_FAULTS = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError,
)  # fmt: skip


def read_workbook(content: bytes, file: str) -> list[Grid]:
    """Read every sheet of an .xlsx workbook.

    Formulas are never computed: the values stored beside them are read. A merged cell's value stands in all its cells.
    Links, macros, images and everything else that a workbook may hold are not read.

    Parameters
    ----------
    content
        The file's bytes.
    file
        Its name, for messages.

    Returns
    -------
    list of Grid
        The sheets with cells, hidden ones included and marked.

    Raises
    ------
    ValueError
        When it is damaged, protected by a password, or no .xlsx workbook.
    BadInput
        When it would need more memory than is free.
    """
    _refuse_hostile(content)
    import openpyxl

    def load(data_only: bool) -> Any:
        return openpyxl.load_workbook(io.BytesIO(content), data_only=data_only, keep_links=False)

    try:
        values = load(data_only=True)
        has_formulas = _has_formulas(content)
        formulas = load(data_only=False) if has_formulas else None
        return [
            grid
            for sheet in values.worksheets
            if (grid := _grid_of(sheet, None if formulas is None else formulas[sheet.title], file)).rows
        ]
    except ValueError:
        raise
    except Exception as problem:  # whatever the reader of a damaged workbook runs into
        raise ValueError(f"{type(problem).__name__}: {_first_line(problem)}") from None


def _first_line(problem: Exception) -> str:
    return next(iter(str(problem).splitlines()), "")[:200]


def _refuse_hostile(content: bytes) -> None:
    """Refuse a workbook that would fill the memory when unpacked, or whose XML declares entities."""
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise ValueError("it is an .xls workbook or has a password: save it as .xlsx without one")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
            if len(parts) > _MOST_PARTS:
                raise ValueError(f"it has {len(parts):,} parts, and {_MOST_PARTS:,} are the most: {_RESAVE}")
            if len({part.filename for part in parts}) < len(parts):
                raise ValueError(f"it holds two parts of one name: {_RESAVE}")
            if any(part.flag_bits & 1 for part in parts):
                raise ValueError("it has a password: save it without one")
            unpacked = 0
            for part in parts:
                with archive.open(part) as stream:
                    unpacked = _refuse_part(stream, unpacked, is_xml=part.filename.endswith((".xml", ".rels")))
    except _ZIP_FAULTS as problem:
        raise ValueError(f"it is damaged or no .xlsx workbook: {_first_line(problem)}") from None
    refuse_beyond_memory(_PER_BYTE * unpacked, f"an .xlsx workbook of {size(unpacked)} when unpacked", _RESAVE)


def _refuse_part(stream: Any, unpacked: int, *, is_xml: bool) -> int:
    """Count the bytes of a part, which its directory may misstate; refuse declarations in XML."""
    before = b""
    while chunk := stream.read(_AT_ONCE):
        unpacked += len(chunk)
        if unpacked > _LARGEST:
            raise ValueError(f"it has more than {size(_LARGEST)} when unpacked: {_RESAVE}")
        if is_xml:
            both = before + chunk
            if any(word in both for word in _DECLARATIONS):
                raise ValueError(f"its XML declares a document type, which no spreadsheet writes: {_RESAVE}")
            before = chunk[-32:]
    return unpacked


def _has_formulas(content: bytes) -> bool:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return any(
            re.search(rb"<(?:\w+:)?f[ />]", archive.read(part))
            for part in archive.namelist()
            if "worksheets/" in part and part.endswith(".xml")
        )


def _grid_of(sheet: Any, formulas: Any, file: str) -> Grid:
    """One sheet's cells, without the empty rows and columns at its end."""
    if sheet.max_row * sheet.max_column > _MOST_CELLS:
        raise ValueError(
            f"sheet '{sheet.title}' reaches to cell {letters(sheet.max_column - 1)}{sheet.max_row}, which is more than "
            f"{_MOST_CELLS:,} cells: delete what stands far from the table"
        )
    rows = [
        [_value_of(cell, formulas) for cell in row] for row in sheet.iter_rows(max_row=sheet.max_row)
    ]  # fmt: skip
    notes = [*_spread_merged(sheet, rows), *_hidden_parts(sheet)]
    while rows and all(cell is None for cell in rows[-1]):
        rows.pop()
    return Grid(file, sheet.title, rows, 1, tuple(notes), sheet.sheet_state != "visible")


def _value_of(cell: Any, formulas: Any) -> Any:
    """One cell's value, or what is odd about it."""
    value = cell.value
    if value is None:
        formula = None if formulas is None else formulas.cell(cell.row, cell.column).value
        if formula is not None and (not isinstance(formula, str) or formula.startswith("=")):
            return Odd(
                "holds a formula whose value is not stored in the file",
                "open the file in a spreadsheet and save it, or replace formulas by their values",
                "formula",
            )
        return None
    if cell.data_type == "e":
        return Odd(f"holds the error {value}", "correct the formula, or leave the cell empty", str(value))
    if isinstance(value, (datetime.date, datetime.time, datetime.timedelta)):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and "%" in _plain(cell.number_format):
        looks = f"{100 * value:.6g} %"
        return Odd(
            f"shows {looks} and holds {value:.6g}",
            "give the cells a number format without percent in the spreadsheet, and check their values",
            looks,
        )
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def _plain(number_format: Any) -> str:
    """A number format without its quoted text."""
    return re.sub(r'"[^"]*"|\\.', "", str(number_format))


def _spread_merged(sheet: Any, rows: list[list[Any]]) -> Iterable[str]:
    """Write the value of merged cells into all of them."""
    ranges = [area for area in sheet.merged_cells.ranges if area.min_row <= len(rows)]
    for area in ranges:
        value = rows[area.min_row - 1][area.min_col - 1] if area.min_col <= len(rows[area.min_row - 1]) else None
        for row in rows[area.min_row - 1 : area.max_row]:
            row[area.min_col - 1 : area.max_col] = [value] * len(row[area.min_col - 1 : area.max_col])
    if ranges:
        yield f"{len(ranges)} merged cell{'s' if len(ranges) > 1 else ''}, whose value was read in every cell of them"


def _hidden_parts(sheet: Any) -> Iterable[str]:
    for what, parts in (("row", sheet.row_dimensions), ("column", sheet.column_dimensions)):
        hidden = sum(1 for part in parts.values() if part.hidden)
        if hidden:
            yield f"{hidden} hidden {what}{'s' if hidden > 1 else ''}, read like the others"
