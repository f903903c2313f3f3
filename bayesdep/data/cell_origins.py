"""The cell of a laboratory's file that a row of a table was read from, named in messages about that row."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pandas as pd

from bayesdep.data.errors import BadInput
from bayesdep.data.labels import as_label
from bayesdep.data.tables import as_frame

CELL = "read_from"  # the column in which the readers write it
_ROWS = re.compile(r"\brows? (\d+)(?: \(([^()]*)\))?(?:( and )(\d+)\b)?")
_MOST = 2  # rows of a message whose cells are named


@contextmanager
def naming_cells(table: Any) -> Iterator[None]:
    """Add the cells of origin to messages about rows of a table that a reader has made.

    Parameters
    ----------
    table
        The user's table. Without a column ``read_from``, messages stay as they are.

    Raises
    ------
    BadInput
        As raised inside: "row 7 (IL-6) is ..." becomes "row 7 (sheet 'Plate 1', cell F17, sample P012; IL-6) is ...".

    Examples
    --------
    >>> table = pd.DataFrame({"subject": ["P011", "P012"], "read_from": ["cell F16", "cell F17"]})
    >>> with naming_cells(table):
    ...     raise BadInput("column 'concentration': row 2 is empty; fill it in")
    Traceback (most recent call last):
    ...
    bayesdep.data.errors.BadInput: column 'concentration': row 2 (cell F17, sample P012) is empty; fill it in
    """
    try:
        yield
    except BadInput as problem:
        frame = pd.DataFrame()
        with suppress(BadInput):  # the table itself may be what was refused
            frame = as_frame(table)
        if CELL not in frame.columns:
            raise
        raise problem.reworded(lambda sentence: _with_cells(sentence, frame)) from None


def _with_cells(message: str, frame: pd.DataFrame) -> str:
    named = 0

    def rewrite(found: re.Match[str]) -> str:
        nonlocal named
        named += 1
        if named > _MOST:
            return found[0]
        word, first, what = found[0].split(" ")[0], found[1], found[2]
        told = _cell(frame, first)
        inside = "; ".join(part for part in (told, what) if part)
        text = f"{word} {first}" + (f" ({inside})" if inside else "")
        if found[4]:
            other = _cell(frame, found[4])
            text += f"{found[3]}{found[4]}" + (f" ({other})" if other else "")
        return text

    return _ROWS.sub(rewrite, message)


def _cell(frame: pd.DataFrame, number: str) -> str:
    """Where a row of that number was read, and of which sample."""
    row = int(number) - 1 if len(number) < 10 else -1
    if not 0 <= row < len(frame):
        return ""
    cell: Any = frame[CELL].iloc[row]
    if not isinstance(cell, str) or not cell:
        return ""
    name = next((column for column in ("sample", "subject") if column in frame.columns), None)
    sample = "" if name is None or pd.isna(frame[name].iloc[row]) else f", sample {as_label(frame[name].iloc[row])}"
    return f"{cell}{sample}"
