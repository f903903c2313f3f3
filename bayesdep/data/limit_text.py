"""Cells of measurements read as a number, a bound, a range or a word; and their refusal."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import Column, read_columns, refuse_code, refuse_missing_columns

Says = Literal["detected", "left", "right", "interval", "blank"]

KINDS = ("detected", "left", "right", "interval")
LIMITS = {"lod": "limit of detection", "lloq": "lower limit of quantification", "uloq": "upper limit"}
BOUNDS = "'<0.64', '>10000' or '0.13-0.64'"
ACCEPTED = "a number, '<0.64', '>10000', '0.13-0.64', 'OOR <', 'OOR >', '<LOD', '<LLOQ', '>ULOQ', 'ND', 'BDL' or 'BLQ'"
_SAME = 1e-9  # relative difference below which two limits are the same
_MISSING = {"", ".", "na", "n/a", "nan", "none", "null", "<na>"}
_WORDS: dict[str, tuple[Says, str]] = {
    **dict.fromkeys(["oor<", "<lod", "<llod", "nd", "n.d.", "notdetected", "bdl", "blod"], ("left", "lod")),
    **dict.fromkeys(["<lloq", "<loq", "blq", "bloq", "bql"], ("left", "lloq")),
    **dict.fromkeys(["oor>", ">uloq"], ("right", "uloq")),
}
_UNSIGNED = r"(?:[0-9.,]+(?:e[+-]?[0-9]+)?|inf(?:inity)?)"
_BOUND = re.compile(rf"([<>]?) ?([+-]?{_UNSIGNED})")
_RANGE = re.compile(rf"([+-]?{_UNSIGNED}) ?- ?({_UNSIGNED})")
_WITH_UNIT = re.compile(rf"[<>]? ?[+-]?{_UNSIGNED} ?[^\W\d_%].*|[<>]? ?[+-]?{_UNSIGNED} ?%.*")
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—−", "-") | {"≤": "<", "⩽": "<", "≥": ">", "⩾": ">"})


@dataclass(frozen=True)
class Reading:
    """The content of a cell.

    Parameters
    ----------
    says
        ``"detected"`` (a number), ``"left"``, ``"right"``, ``"interval"`` or ``"blank"``.
    low
        The number, the limit, or the lower end of the range; NaN for a word.
    high
        The upper end of the range; NaN otherwise.
    limit
        For a word such as "ND", the limit that it refers to: ``"lod"``, ``"lloq"`` or ``"uloq"``.
    """

    says: Says
    low: float = math.nan
    high: float = math.nan
    limit: str = ""


@dataclass(frozen=True)
class Refusal:
    """Why a cell is refused: the end of a sentence that starts "row 3 is '1,234', ", and the remedy."""

    problem: str
    remedy: str


BLANK = Reading("blank")
_UNKNOWN = Refusal("which is not understood", f"write {ACCEPTED}")
_AMBIGUOUS = Refusal(
    "which could be a decimal comma or thousands",
    "write it with a decimal point and without separators, for example 1.234 or 1234",
)


def read_cell(cell: Any) -> Reading | Refusal:
    """Read one cell of a column of concentrations or limits.

    Parameters
    ----------
    cell
        A number, a text or a missing value.

    Returns
    -------
    Reading or Refusal
        Its content, in the cell's units; signs and sizes are not checked.

    Examples
    --------
    >>> read_cell("≤ 0,64")
    Reading(says='left', low=0.64, high=nan, limit='')
    >>> read_cell("0.13 – 0.64")
    Reading(says='interval', low=0.13, high=0.64, limit='')
    >>> read_cell("nd").limit
    'lod'
    >>> read_cell("1,234").problem
    'which could be a decimal comma or thousands'
    """
    if isinstance(cell, str):
        return _read_text(cell)
    if not pd.api.types.is_scalar(cell):  # parquet files can hold lists, for example
        return _UNKNOWN
    if pd.isna(cell):
        return BLANK
    if pd.api.types.is_bool(cell):
        return _UNKNOWN
    try:
        return Reading("detected", float(cell))
    except (TypeError, ValueError, OverflowError):
        return _UNKNOWN


def _read_text(text: str) -> Reading | Refusal:
    plain = " ".join(text.split()).lower().translate(_DASHES)
    plain = re.sub("([<>]) ?=", r"\1", plain)  # a concentration is continuous: "at most" is "below"
    if plain in _MISSING:
        return BLANK
    if (word := _WORDS.get(plain.replace(" ", ""))) is not None:
        return Reading(word[0], limit=word[1])
    if bound := _BOUND.fullmatch(plain):
        number = _number(bound[2])
        return number if isinstance(number, Refusal) else Reading(_SIDES[bound[1]], number)
    if ends := _RANGE.fullmatch(plain):
        low, high = _number(ends[1]), _number(ends[2])
        if isinstance(low, Refusal) or isinstance(high, Refusal):
            return low if isinstance(low, Refusal) else high  # type: ignore[return-value]  # one of the two is a Refusal
        return Reading("interval", low, high)
    if _BOUND.fullmatch(plain.strip("* ")):
        return Refusal(
            "which is marked as extrapolated beyond the standard curve",
            "write '<LIMIT' or '>LIMIT' with the limit it lies beyond, or remove the asterisk to trust the number",
        )
    if _WITH_UNIT.fullmatch(plain):
        return Refusal(
            "which has a unit, or other words, after the number",
            "write the number alone, and the unit in a column of its own, named as unit",
        )
    return _UNKNOWN


_SIDES: dict[str, Says] = {"": "detected", "<": "left", ">": "right"}


def _number(text: str) -> float | Refusal:
    """Return a number without padding, deciding whether dots and commas are decimal marks or separators."""
    if text.lstrip("+-").startswith("inf"):
        return float(text)
    size, e, power = text.lstrip("+-").partition("e")
    if re.fullmatch("[1-9][0-9]{0,2},[0-9]{3}", size):
        return _AMBIGUOUS
    if re.fullmatch(r"[1-9][0-9]{0,2}(?:,[0-9]{3})+\.[0-9]*|[1-9][0-9]{0,2}(?:,[0-9]{3}){2,}", size):
        size = size.replace(",", "")
    elif re.fullmatch("[0-9]+[.,]?[0-9]*|[.,][0-9]+", size):
        size = size.replace(",", ".")
    else:
        return _UNKNOWN
    return float(("-" if text.startswith("-") else "") + size + e + power)


@dataclass(frozen=True)
class Rows:
    """The rows of a table of measurements, which are refused in one sentence.

    Parameters
    ----------
    names
        Shape (rows,): what each row measures, for messages.
    numbers
        Shape (rows,): their places in the user's table, counted from 0; None where these are all its rows.
    """

    names: np.ndarray
    numbers: np.ndarray | None = None

    def number(self, row: int) -> int:
        """Return a row's number in the user's table, counted from 1."""
        return int(row if self.numbers is None else self.numbers[row]) + 1

    def refuse(self, bad: np.ndarray, column: str | None, problem: Callable[[int], str], remedy: str) -> None:
        """Raise one sentence about the first of the rows where ``bad`` is true, if any.

        Parameters
        ----------
        bad
            Shape (rows,), true where there is a problem.
        column
            The column.
        problem
            From a row, counted from 0, to the words that follow "row 7 (IL-6)".
        remedy
            What to do.

        Raises
        ------
        BadInput
            When there is any such row.
        """
        bad_at = np.flatnonzero(bad)
        if len(bad_at):
            row = int(bad_at[0])
            raise BadInput(
                f"column '{column}': row {self.number(row)} ({self.names[row]}) {problem(row)}"
                f"{and_more(len(bad_at))}; {remedy}"
            )


@dataclass(frozen=True)
class Cells:
    """A column of measurements, whose refusals quote the cell as it is written.

    Parameters
    ----------
    rows
        Their rows.
    name
        The column's name.
    cells
        Its cells.
    """

    rows: Rows
    name: str
    cells: list[Any]

    def refuse(self, bad: np.ndarray, problem: str | Callable[[int], str], remedy: str) -> None:
        """Raise one sentence about the first of the cells where ``bad`` is true, if any: see :class:`Rows`."""

        def say(row: int) -> str:
            cell = self.cells[row]
            text = "blank" if read_cell(cell) == BLANK else shown(cell)
            return f"is {text}, {problem if isinstance(problem, str) else problem(row)}"

        self.rows.refuse(bad, self.name, say, remedy)


def and_more(rows: int) -> str:
    """Return how many further rows have a problem, in words."""
    return f" (and {rows - 1} more row{'s' if rows > 2 else ''})" if rows > 1 else ""


def shown(cell: Any) -> str:
    """Return a cell as a message shows it."""
    text = repr(cell) if isinstance(cell, str) else str(cell)
    return text if len(text) <= 40 else text[:39] + "…"


def column_of(frame: pd.DataFrame, name: str, what: str, word: str) -> list[Any]:
    """Return the cells of a column; refuse a missing one, with ``what`` it holds and the setting ``word`` for it."""
    refuse_missing_columns(frame, {word: (name, what)})
    return frame[name].astype(object).tolist()


def read_values(cells: list[Any], column: str, rows: Rows) -> list[Reading]:
    """Read every cell of a column of concentrations, or refuse the first that is not understood and those like it."""
    read: list[Reading] = []
    refused: dict[int, Refusal] = {}
    for row, cell in enumerate(cells):
        reading = read_cell(cell)
        if isinstance(reading, Refusal):
            refused[row] = reading
        else:
            read.append(reading)
    for refusal in refused.values():
        bad = np.array([refused.get(row) == refusal for row in range(len(cells))])
        rows.refuse(bad, column, lambda row: f"is {shown(cells[row])}, {refused[row].problem}", refusal.remedy)
    return read


def read_limits(frame: pd.DataFrame, column: str | None, word: str, rows: Rows) -> np.ndarray:
    """Read a column of limits.

    Parameters
    ----------
    frame
        The user's table.
    column
        Its name; None where there is none.
    word
        ``"lod"``, ``"lloq"`` or ``"uloq"``.
    rows
        Its rows.

    Returns
    -------
    numpy.ndarray
        Shape (rows,), in the column's own units; NaN where blank.

    Raises
    ------
    BadInput
        At a limit that is not a number above zero.
    """
    if column is None:
        return np.full(len(frame), np.nan)
    cells = column_of(frame, column, LIMITS[word], word)
    read = [read_cell(cell) for cell in cells]
    limits = np.array([r.low if isinstance(r, Reading) and r.says == "detected" else np.nan for r in read])
    fine = np.array([r == BLANK for r in read]) | ((limits > 0) & np.isfinite(limits))
    rows.refuse(
        ~fine,
        column,
        lambda row: f"is {shown(cells[row])}, where a {LIMITS[word]} above zero is needed",
        "write a number with a decimal point, or leave the cell blank",
    )
    if word != "uloq":  # which may be 9999, a suspected code elsewhere
        refuse_code(frame, limits, Column(column, "positive", LIMITS[word]), may_be_empty=True)
    return limits


def refuse_mixed_units(frame: pd.DataFrame, column: str | None, rows: Rows) -> None:
    """Refuse a column of units with two units for one analyte (the analytes are the names of ``rows``)."""
    if column is None:
        return
    units = read_columns(frame, {"unit": Column(column, "label", "unit", "free")})["unit"]
    plain = ["".join(unit.split()).casefold() for unit in units]  # pg/mL is pg/ml
    at = first_rows(rows.names)
    first = np.array([at[name] for name in rows.names])
    rows.refuse(
        np.array([plain[row] != plain[start] for row, start in enumerate(first)]),
        column,
        lambda row: f"is in {units[row]} and row {rows.number(first[row])} in {units[first[row]]}",
        "convert the concentrations and limits of an analyte to one unit",
    )


def first_rows(keys: Any) -> dict[Any, int]:
    """Return the first row of every key, counted from 0."""
    first: dict[Any, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
    return first


def refuse_two_limits(limits: np.ndarray, column: str, what: str, by: list[Any], rows: Rows) -> None:
    """Refuse two different limits of one analyte on one plate (each row's ``by``); NaN where none is stated."""
    stated = np.flatnonzero(~np.isnan(limits)).tolist()
    at = first_rows(by[row] for row in stated)
    first = {row: stated[at[by[row]]] for row in stated}
    bad = [row for row in stated if differ(limits[row], limits[first[row]])]
    for row in bad[:1]:
        raise BadInput(
            f"column '{column}': the {what} of {by[row][0]} on plate {by[row][1]} is {limits[first[row]]:.6g} in row "
            f"{rows.number(first[row])} and {limits[row]:.6g} in row {rows.number(row)}{and_more(len(bad))}; correct "
            "one of them, or give the rows different plates"
        )


def same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two limits are the same up to rounding; False where one is NaN."""
    with np.errstate(invalid="ignore"):  # infinity minus infinity is NaN, which is not the same
        return np.abs(a - b) <= _SAME * np.abs(b)


def differ(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two limits differ; False where one is NaN."""
    return ~np.isnan(a) & ~np.isnan(b) & ~same(a, b)


def less(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where a number is below another by more than rounding; False where one is NaN."""
    return (a < b) & ~same(a, b)
