"""A text file of cells (.csv, .tsv, .txt) -> a grid: encoding and delimiter found, lines above the table kept."""

import csv
import io
from collections import Counter

from bayesdep.data.budget import refuse_beyond_memory, size
from bayesdep.data.csv_files import DELIMITERS, STATED_DELIMITER, decode
from bayesdep.data.errors import BadInput, did_you_mean, setting
from bayesdep.data.readers.grids import Grid, kind_of

_PER_BYTE = 60  # bytes of memory while a file is read
_WORDS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "bar": "|"}
_LONGEST_CELL = 100_000
_MOST_COLUMNS = 16_384  # of a spreadsheet
_FEW = 0.05  # share of cells that may hold another delimiter: those of lines above the table


def read_text(content: bytes, file: str, delimiter: str | None = None, encoding: str | None = None) -> Grid:
    """Read a text file of cells.

    Parameters
    ----------
    content
        The file's bytes.
    file
        Its name, for messages.
    delimiter
        What separates cells; None to find it: the one by which most lines have the same number of cells.
    encoding
        Python's name of the encoding; None to find it: UTF-8, UTF-16 or Windows-1252.

    Returns
    -------
    Grid
        All lines, empty ones too, so that rows have the numbers that a spreadsheet shows. Cells are text.

    Raises
    ------
    ValueError
        When it cannot be decoded or has an open quotation mark.
    BadInput
        When two delimiters are possible, a setting is unknown, or it would need more memory than is free.
    """
    refuse_beyond_memory(_PER_BYTE * len(content), f"a text file of {size(len(content))}", "split it")
    text, found = _decoded(content, encoding)
    stated = STATED_DELIMITER.match(text)
    if delimiter is not None:
        delimiter = _WORDS.get(delimiter, delimiter)
        if delimiter not in DELIMITERS:
            raise BadInput(
                f"{setting('delimiter', delimiter)} is not understood; write one of {', '.join(map(repr, DELIMITERS))}"
            )
    elif stated:
        delimiter = stated[1]
    else:
        delimiter = _delimiter(text, file)
    rows = _split(text, delimiter)
    if stated:  # the line that says so is a row of the spreadsheet too
        rows[0] = []
    notes = (
        f"text in {found}",
        f"cells separated by {DELIMITERS[delimiter]}",
    )
    while rows and not any(cell.strip() for cell in rows[-1]):
        rows.pop()
    return Grid(file, None, rows, 1, notes)


def _decoded(content: bytes, encoding: str | None) -> tuple[str, str]:
    if encoding is None:
        return decode(content)
    try:
        return content.decode(encoding).removeprefix("\ufeff"), encoding
    except LookupError:
        known = ("utf-8", "utf-16", "cp1252", "latin-1", "mac-roman")
        raise BadInput(f"{setting('encoding', encoding)} is not known; {did_you_mean(encoding, known)}") from None
    except UnicodeError:
        raise BadInput(f"the file is not text in {encoding}; leave encoding out to have it found") from None


def _split(text: str, delimiter: str) -> list[list[str]]:
    """Cells by line; a line break inside quotation marks belongs to its cell."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as problem:
        reason = "a quotation mark is not closed" if "unexpected end" in str(problem) else str(problem)
        raise ValueError(f"{reason}: close every quotation mark") from None
    for row in rows:
        if len(row) > _MOST_COLUMNS:
            raise ValueError(f"a line has {len(row):,} cells, and {_MOST_COLUMNS:,} are the most: check the delimiter")
        for cell in row:
            if len(cell) > _LONGEST_CELL:
                raise ValueError(f"a cell has {len(cell):,} characters: check the quotation marks")
    return rows


def _delimiter(text: str, file: str) -> str:
    """The delimiter by which the most lines have one number of cells, few of which then hold another delimiter."""
    candidates = {}
    problem: ValueError | None = None
    for delimiter in DELIMITERS:
        try:
            rows = _split(text, delimiter)
        except ValueError as reason:
            problem = reason
            continue
        widths = Counter(len(row) for row in rows if len(row) > 1)
        if not widths:
            continue
        width, _ = max(widths.items(), key=lambda pair: (pair[1] * (pair[0] > 1), pair[0]))
        body = [row for row in rows if len(row) == width]
        others = [d for d in DELIMITERS if d != delimiter]
        spoilt = sum(any(d in cell for d in others) and kind_of(cell) == "text" for row in body for cell in row)
        candidates[delimiter] = (len(body), width, spoilt / (width * len(body)))
    if not candidates:
        if problem is not None:
            raise problem
        return ","
    whole = [d for d, (_, _, spoilt) in candidates.items() if spoilt <= _FEW] or list(candidates)
    most = max(candidates[d][0] for d in whole)
    best = [d for d in whole if candidates[d][0] * 2 > most]
    if len(best) > 1:
        readings = " or ".join(f"{candidates[d][1]} columns split at {DELIMITERS[d]}" for d in best)
        raise BadInput(f"'{file}' can be read as {readings}; say which with {setting('delimiter', best[0])}")
    return best[0]
