"""Missing numbers, as empty cells, words, and codes such as 999; numbers with decimal commas."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput, did_you_mean

WORDS = frozenset({"NA", "N/A", "NaN", "nan", "na", ".", "<NA>", "#N/A"})  # in a column of numbers, and in no other
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?inf")
_COMMA = re.compile(r"[+-]?(?:[0-9]+,[0-9]+|,[0-9]+)(?:[eE][+-]?[0-9]+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
_FEWEST_OTHERS = 3
_CODE = re.compile(r"9+|7{3,}|8{3,}")


def is_number(text: str) -> bool:
    """Tell whether text is a number with a decimal point.

    Examples
    --------
    >>> is_number("-0.52"), is_number("-0,52"), is_number("1e-3")
    (True, False, True)
    """
    return _NUMBER.fullmatch(text) is not None


def has_comma(text: str) -> bool:
    """Tell whether text is a number with a decimal comma, or a whole one with a thousands separator.

    Examples
    --------
    >>> has_comma("-0,52"), has_comma("1,234"), has_comma("0.52"), has_comma("a,b")
    (True, True, False, False)
    """
    return _COMMA.fullmatch(text) is not None


def numbers_with_commas(cells: Any) -> bool:
    """Tell whether a column of text holds numbers, some with a decimal comma (or a thousands separator).

    Parameters
    ----------
    cells
        The column; empty cells and words for missing numbers are passed over.

    Returns
    -------
    bool
        True where every cell is a number and at least one has a comma.

    Examples
    --------
    >>> numbers_with_commas(["0,52", "1", None]), numbers_with_commas(["0.52", "1"]), numbers_with_commas(["a,b", "1"])
    (True, False, False)
    """
    text = [c.strip() for c in cells if isinstance(c, str) and c.strip() and c.strip() not in WORDS]
    return any(map(has_comma, text)) and all(has_comma(c) or is_number(c) for c in text)


def decimal_comma(columns: Mapping[str, Sequence[str | None]]) -> list[str]:
    """Find the columns of a file whose commas are certainly decimal commas.

    They are if in at least one column a comma stands where no thousands separator can (``0,52``, ``12,5``), and no
    number of the file has a decimal point.

    Parameters
    ----------
    columns
        The text of every column.

    Returns
    -------
    list of str
        Names of the columns of numbers with decimal commas; empty if there are none, or if it is uncertain.

    Examples
    --------
    >>> decimal_comma({"effect": ["-0,52", "0,1"], "n": ["12", "15"]}), decimal_comma({"n": ["1,234", "1,500"]})
    (['effect'], [])
    """
    names = [name for name, cells in columns.items() if numbers_with_commas(cells)]
    text = [str(c).strip() for name in names for c in columns[name] if c]
    sure = any(has_comma(c) and not _THOUSANDS.fullmatch(c) for c in text)
    points = any(c and "." in str(c) and is_number(str(c).strip()) for cells in columns.values() for c in cells)
    return names if sure and not points else []


def as_numbers(cells: Sequence[str | None], *, comma: bool = False) -> tuple[pd.Series | None, dict[str, int]]:
    """Read a column of text as numbers, or as true and false, where all of it is.

    Digits with leading zeros, all of the same length, are identifiers (001, 002), not numbers.

    Parameters
    ----------
    cells
        The text; None or "" where empty.
    comma
        Whether the decimal mark is a comma.

    Returns
    -------
    column : pandas.Series or None
        Whole numbers, numbers or booleans; None where it is text.
    words : dict of int
        How often each word for a missing number occurs in it.

    Examples
    --------
    >>> as_numbers(["1", "NA", "2.5"])
    (0    1.0
    1    NaN
    2    2.5
    dtype: float64, {'NA': 1})
    >>> as_numbers(["001", "002"])[0] is None
    True
    """
    plain = [(c or "").strip() for c in cells]
    if comma:
        plain = [c.replace(",", ".") if has_comma(c) else c for c in plain]
    words = [c for c in plain if c in WORDS]
    filled = [c for c in plain if c and c not in WORDS]
    if not filled or not all(map(is_number, filled)):
        truth = {"true": True, "false": False}
        if filled and all(c.lower() in truth for c in plain):
            return pd.Series([truth[c.lower()] for c in plain]), {}
        return None, {}
    if any(c[0] == "0" and len(c) > 1 for c in filled) and all(
        c.isdigit() and len(c) == len(filled[0]) for c in filled
    ):
        return None, {}
    all_whole = all(re.fullmatch("[+-]?[0-9]+", c) for c in filled)
    longest = max(map(len, filled))
    if all_whole and (longest > 18 or (longest > 15 and len(filled) < len(plain))):
        return None, {}  # an identifier of many digits, which a float would round
    column: pd.Series
    if all_whole and len(filled) == len(plain):
        column = pd.Series([int(c) for c in plain], dtype="int64")
    else:
        column = pd.Series([float(c) if c and c not in WORDS else np.nan for c in plain], dtype=float)
    return column, {word: words.count(word) for word in dict.fromkeys(words)}


def declare_missing(
    frame: pd.DataFrame, codes: Sequence[Any] | Mapping[str, Sequence[Any]]
) -> tuple[pd.DataFrame, list[str]]:
    """Set cells to missing that hold a code declared by the user.

    Parameters
    ----------
    frame
        The table.
    codes
        Codes for all columns, or codes by column.

    Returns
    -------
    frame : pandas.DataFrame
        The table.
    said : list of str
        One sentence for each column in which there are any.

    Raises
    ------
    BadInput
        When codes are given for a column that is not in the table.
    """
    by = codes if isinstance(codes, Mapping) else dict.fromkeys(map(str, frame.columns), codes)
    frame, notes = frame.copy(), []
    for name, some in by.items():
        if name not in frame.columns:
            raise BadInput(
                f"missing names column '{name}', which is not in the table; "
                f"{did_you_mean(name, map(str, frame.columns))}"
            )
        some = [some] if isinstance(some, (str, int, float)) else list(some)
        texts = {str(code).strip() for code in some}
        values = {float(text) for text in texts if is_number(text)}
        cells = frame[name].astype(object)
        hit = np.array([_is_code(cell, texts, values) for cell in cells], dtype=bool)
        if hit.any():
            emptied = frame[name].mask(hit)
            frame[name] = emptied
            listed = ", ".join(repr(str(c)) for c in some)
            notes.append(
                f"column '{name}': {hit.sum()} cell{'s' if hit.sum() > 1 else ''} read as missing (missing = {listed})"
            )
    return frame, notes


def _is_code(cell: Any, texts: set[str], values: set[float]) -> bool:
    if isinstance(cell, str):
        text = cell.strip()
        return text in texts or (is_number(text) and float(text) in values)
    if isinstance(cell, (bool, np.bool_)) or not pd.api.types.is_scalar(cell) or pd.isna(cell):
        return False
    return isinstance(cell, (int, float, np.number)) and float(cell) in values


def suspected_codes(values: np.ndarray) -> list[tuple[float, int, bool]]:
    """Find numbers that look like codes for missing values.

    Codes consist of nines with any sign (9, 99, 999, ...), or of three or more sevens or eights (777, 888). A code is
    suspected if it lies far outside all other numbers, of which there must be at least three: more than twice their
    range (their size, if all are equal) from the nearest. 9 and -9 must occur three times. A negative code is also
    suspected if it occurs three times and no other number is negative. In real measurements a number of nines is seldom
    both repeated and far from all others.

    Parameters
    ----------
    values
        Numbers, NaN where missing.

    Returns
    -------
    list of tuple
        Each number, how often it occurs, and whether that is often enough for a refusal: twice, or three times as
        above; for a single 999 there is only a note.

    Examples
    --------
    >>> suspected_codes(np.array([12.0, 17, 999, 22, 999, 8, -99]))
    [(999.0, 2, True), (-99.0, 1, False)]
    >>> suspected_codes(np.array([990.0, 999, 1003, 999, 999, 1020]))
    []
    """
    finite = values[np.isfinite(values)]
    codes = [code for code in dict.fromkeys(finite.tolist()) if _CODE.fullmatch(f"{abs(code):.17g}")]
    others = finite[~np.isin(finite, codes)]
    if len(others) < _FEWEST_OTHERS:
        return []
    with np.errstate(over="ignore"):  # sizes near 1e308 are refused elsewhere, with their row
        spread = np.ptp(others) or np.abs(others).max()
    suspected = []
    for code in codes:
        count, small = int((finite == code).sum()), abs(code) < 10
        outside = np.abs(others - code).min() > 2.0 * float(spread)
        only_negative = code < 0 and bool((others >= 0).all()) and count >= 3
        often = (outside and count >= (3 if small else 2)) or only_negative
        if often or (outside and not small):
            suspected.append((code, count, often))
    return suspected
