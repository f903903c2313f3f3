"""Reading of .csv files: encoding, delimiter and decimal mark, and which columns are numbers."""

import csv
import io
import re
from collections import Counter

import pandas as pd

from bayesdep.data.budget import refuse_beyond_memory, size
from bayesdep.data.missing import as_numbers, decimal_comma
from bayesdep.data.tables import note

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
STATED_DELIMITER = re.compile(r"sep=([,;|\t])\r?\n")
_PER_BYTE = 40  # bytes of memory while a file is read: a cell of three letters is an object of 56 bytes, twice
_SPLIT = "leave out the rows and columns that are not needed, or save it as .parquet"


def read_csv(content: bytes) -> pd.DataFrame:
    """Read a .csv file.

    Text is UTF-8, or else Windows-1252; the delimiter is the comma, semicolon, tab or vertical bar that every row
    has as often as the header; the decimal mark is a point, or a comma if that is certain. Anything unusual is noted. A
    column is numeric if every cell is a number or a word for a missing one (NA, NaN, .); in other columns NA and None
    are text.

    Parameters
    ----------
    content
        The file's bytes.

    Returns
    -------
    pandas.DataFrame
        Its rows; None or NaN where a cell is empty, and ``attrs["notes"]``.

    Raises
    ------
    ValueError
        When it is ambiguous or cannot be read.
    BadInput
        When its cells would need more memory than is free.
    """
    refuse_beyond_memory(_PER_BYTE * len(content), f"a .csv file of {size(len(content))}", _SPLIT)
    text, encoding = decode(content)
    if not text.strip():
        raise ValueError("No columns to parse from file")
    stated = STATED_DELIMITER.match(text)  # what Excel writes, and reads, before the header
    text = text[stated.end() :] if stated else text
    delimiter = stated[1] if stated else _delimiter(text)
    rows = _split(text, delimiter)
    header, body = rows[0], rows[1:]
    repeated = [name for name, count in Counter(header).items() if name and count > 1]
    if repeated:
        raise ValueError(f"the header has '{repeated[0]}' twice: rename one of the two")
    while header and not any(cell.strip() for row in rows for cell in row[len(header) - 1 :]):
        header = header[:-1]  # a spreadsheet writes columns that once held something
    longer = [at for at, row in enumerate(body) if any(cell.strip() for cell in row[len(header) :])]
    if longer:
        raise ValueError(
            f"Expected {len(header)} fields in line {longer[0] + 2}, saw {len(body[longer[0]])}: the rows have more "
            "cells than the header: name every column"
        )
    names = [name or f"Unnamed: {at}" for at, name in enumerate(header)]
    cells = {name: [row[at] if at < len(row) else "" for row in body] for at, name in enumerate(names)}
    commas = decimal_comma(cells)
    columns, notes = {}, []
    for name, column in cells.items():
        numbers, words = as_numbers(column, comma=name in commas)
        columns[name] = _as_text(column) if numbers is None else numbers
        if words:
            listed = ", ".join(f"{count} '{word}'" for word, count in words.items())
            notes.append(f"column '{name}': {sum(words.values())} cells read as missing numbers ({listed})")
    frame = pd.DataFrame(columns, columns=names)
    if encoding != "UTF-8":
        note(frame, f"the file is not UTF-8 text and was read as {encoding}")
    if delimiter != ",":
        note(frame, f"cells were split at {DELIMITERS[delimiter]}")
    if commas:
        note(frame, f"decimal commas were found in column{'s' if len(commas) > 1 else ''} {_listed(commas)}")
    for line in notes:
        note(frame, line)
    return frame


def _as_text(cells: list[str]) -> pd.Series:
    text: list[str | None] = [c if c.strip() else None for c in cells]
    return pd.Series(text) if any(text) else pd.Series(text, dtype=float)


def decode(content: bytes) -> tuple[str, str]:
    """Decode text whose encoding is not stated.

    Parameters
    ----------
    content
        The file's bytes.

    Returns
    -------
    text : str
        The text, without a byte order mark.
    encoding : str
        "UTF-8", "UTF-16" or "Windows-1252".

    Raises
    ------
    UnicodeDecodeError
        When it is none of them.

    Examples
    --------
    >>> decode("µg".encode("cp1252")), decode("IL-6".encode("utf-16"))
    (('µg', 'Windows-1252'), ('IL-6', 'UTF-16'))
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # what spreadsheets call Unicode text
        return content.decode("utf-16"), "UTF-16"
    try:
        return content.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError as problem:
        try:
            text = content.decode("cp1252")
        except UnicodeDecodeError:
            raise problem from None
        if any(not c.isprintable() and not c.isspace() for c in text):
            raise problem from None
        return text, "Windows-1252"


def _split(text: str, delimiter: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row]
    except csv.Error as problem:
        reason = "EOF inside string" if "unexpected end" in str(problem) else str(problem)
        raise ValueError(f"{reason}: close every quotation mark") from None


def _delimiter(text: str) -> str:
    """Find the delimiter; refuse a file with two possible ones."""
    counts, problems = {}, []
    for delimiter in DELIMITERS:
        try:
            lengths = [len(row) for row in _split(text, delimiter)]
        except ValueError as problem:  # of text in quotes, after which another delimiter stands
            problems.append(problem)
            continue
        counts[delimiter] = (lengths[0], all(n == lengths[0] for n in lengths))
    if not counts:
        raise problems[0]
    several = [d for d, (columns, _) in counts.items() if columns > 1]
    if len(several) < 2:
        return several[0] if several else ","
    even = [d for d in several if counts[d][1]]
    if len(even) == 1:
        return even[0]
    readings = " and ".join(f"{counts[d][0]} columns split at {DELIMITERS[d]}" for d in several)
    raise ValueError(f"the header has {readings}: write it with one delimiter, and text that holds another in quotes")


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
