"""A sheet as it stands in a file: a grid of cells, each with its address."""

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesdep.data.labels import as_label, clean_label
from bayesdep.data.limit_text import Refusal, read_cell
from bayesdep.data.missing import WORDS

type Kind = Literal["blank", "number", "bound", "date", "odd", "text"]

_LONGEST = 40  # characters of a cell that a message quotes
_NOT_MEASURED = {word.casefold() for word in WORDS} | {
    "",
    "-",
    "--",
    "---",
    "***",
    "n.a.",
    "nan",
    "none",
    "null",
    "#n/a",
}
_COMMA_IN_IT = re.compile(r"[+-]?[0-9]{1,3}(?:[.,' \u00a0][0-9]{3})*(?:[.,][0-9]+)?")


@dataclass(frozen=True)
class Odd:
    """A cell whose value is not what it shows: the end of the sentence "cell F17 ...", and what to do."""

    problem: str
    remedy: str
    looks: str = ""

    def __str__(self) -> str:
        return self.looks


@dataclass(frozen=True)
class Grid:
    """One sheet of a file, or the only one of a text file.

    Parameters
    ----------
    file
        The file's name without its folder.
    sheet
        The sheet's name; None for a file without sheets.
    rows
        Cells by row and column: text, numbers, dates, None, or :class:`Odd`. Rows may differ in length.
    first
        The number of the first row, as a spreadsheet counts.
    notes
        What was found while reading: encoding, delimiter, merged cells.
    is_hidden
        Whether the sheet is hidden in its workbook.
    """

    file: str
    sheet: str | None
    rows: Sequence[Sequence[Any]]
    first: int = 1
    notes: tuple[str, ...] = ()
    is_hidden: bool = False

    def cell(self, row: int, column: int) -> Any:
        """Return a cell by position, counted from 0; None beyond the sheet's end."""
        if not 0 <= row < len(self.rows):
            return None
        cells = self.rows[row]
        return cells[column] if 0 <= column < len(cells) else None

    def address(self, row: int, column: int) -> str:
        """Return a cell's address as a spreadsheet has it, such as F17; positions are counted from 0."""
        return f"{letters(column)}{row + self.first}"

    def place(self, row: int, column: int) -> str:
        """Return where a cell is, in words: "sheet 'Plate 1', cell F17"."""
        return f"{self.prefix}cell {self.address(row, column)}"

    @property
    def prefix(self) -> str:
        """What stands before a cell's address: the sheet where there are sheets, the file's name elsewhere."""
        return f"'{self.file}', " if self.sheet is None else f"sheet '{self.sheet}', "

    @property
    def title(self) -> str:
        """What messages call the sheet."""
        return f"'{self.file}'" if self.sheet is None else f"sheet '{self.sheet}' of '{self.file}'"

    @property
    def width(self) -> int:
        """How many columns the widest row has."""
        return max((len(row) for row in self.rows), default=0)


def letters(column: int) -> str:
    """Return a column's letters, counted from 0.

    Examples
    --------
    >>> letters(0), letters(25), letters(26), letters(701), letters(702)
    ('A', 'Z', 'AA', 'ZZ', 'AAA')
    """
    word = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        word = chr(ord("A") + rest) + word
    return word


def is_blank(cell: Any) -> bool:
    """Tell whether a cell is empty or holds nothing but spaces."""
    if isinstance(cell, str):
        return not cell[:1].isalnum() and not clean_label(cell)
    return cell is None or (isinstance(cell, float) and cell != cell)


def is_unmeasured(cell: Any) -> bool:
    """Tell whether a cell of measurements says that there is no value: blank, NA, a dash."""
    return is_blank(cell) or (isinstance(cell, str) and clean_label(cell).casefold() in _NOT_MEASURED)


def text_of(cell: Any) -> str:
    """Return a cell as the label that it is; "" where it is blank."""
    return "" if is_blank(cell) else as_label(cell)


def shown(cell: Any) -> str:
    """Return a cell as a message quotes it."""
    if isinstance(cell, Odd):
        return f"'{cell.looks}'"
    text = repr(clean_label(cell)) if isinstance(cell, str) else str(cell)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}...{text[-1] if text[-1] in '"\'' else ''}"


def kind_of(cell: Any) -> Kind:
    """Tell what a cell holds.

    Parameters
    ----------
    cell
        As it stands in a :class:`Grid`.

    Returns
    -------
    str
        ``"blank"``; ``"number"``, also as text with any decimal mark; ``"bound"``, a value beyond a limit such as
        ``"<0.5"`` or ``"OOR <"``; ``"date"``; ``"odd"``, of which the value is not what it shows; or ``"text"``.

    Examples
    --------
    >>> [kind_of(cell) for cell in (None, 2.5, "0,52", "<0,5", "OOR >", "P012")]
    ['blank', 'number', 'number', 'bound', 'bound', 'text']
    """
    if is_blank(cell):
        return "blank"
    if isinstance(cell, Odd):
        return "odd"
    if isinstance(cell, (datetime.date, datetime.time, datetime.timedelta, pd.Timestamp)):
        return "date"
    if isinstance(cell, (bool, np.bool_)):
        return "text"
    if isinstance(cell, (int, float, np.number)):
        return "number"
    if not isinstance(cell, str):
        return "text"
    return _kind_of_short(cell) if len(cell) <= _LONGEST else _kind_of_text(cell)


def _kind_of_text(cell: str) -> Kind:
    text = clean_label(cell)
    if _COMMA_IN_IT.fullmatch(text):
        return "number"
    reading = read_cell(text.strip("*"))
    if isinstance(reading, Refusal):
        return "bound" if reading.problem.startswith("which could be a decimal comma") else "text"
    return "number" if reading.says == "detected" else "blank" if reading.says == "blank" else "bound"


_kind_of_short = lru_cache(maxsize=100_000)(_kind_of_text)  # a sheet's cells are looked at several times
