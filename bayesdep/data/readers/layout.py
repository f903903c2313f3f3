"""Where the table of a sheet is: its header, its rows, its rows of units and of limits, and what is no part of it."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bayesdep.data.errors import BadInput, setting
from bayesdep.data.labels import alike, clean_label
from bayesdep.data.readers.grids import Grid, is_blank, kind_of, text_of

_SEARCHED = 300  # rows in which a header is sought
_MEASURED = ("number", "bound", "date", "odd")
_HEAD = 20  # rows in which a header of two rows is sought
_TWO = 2
_SAME_SIZE = 0.6  # width of a second header over the first's, from which on it is a table of its own

_AMOUNT = r"(?:[fpnuµμm]?g|[kmµμu]?I?U|A\.?U\.?|[fpnµμum]?mol|RFU|MFI)"
_VOLUME = r"(?:[µμumdc]?[lL]|mg|g|g protein|mg protein)"
_UNIT = rf"(?:{_AMOUNT} ?(?:/ ?(?:{_VOLUME})|\*? ?{_VOLUME}(?:\^?-1|⁻¹)) ?|[fpnµμum]M|RFU|MFI|A\.?U\.?|%)"
_ONLY_UNIT = re.compile(rf"[\[(]? ?({_UNIT}) ?[\])]?")
_WITH_UNIT = re.compile(rf"(.+?)(?:[ ,;_:]+in[ ]|[ ,;_:]*)(?:\(|\[| |,|_|/)[ ]?({_UNIT})[ ]?(?:\)|\])?")
_LIMIT = re.compile(
    r"(?P<lod>l?lod|min\w* detect\w*(?: (?:dose|conc\w*))?|m\.?d\.?d\.?|(?:lower )?limit of detection|"
    r"(?:lower )?detection limit|nachweisgrenze)"
    r"|(?P<lloq>l?loq|lower limit of quanti\w+|limit of quanti\w+|bestimmungsgrenze)"
    r"|(?P<uloq>uloq|ulod|upper limit(?: of (?:quanti\w+|detection))?)",
    re.IGNORECASE,
)
_SUMMARY = re.compile(
    r"(?:(?:group |overall |grand )?(?:mean|average|geo\w*\.? ?mean|median|mittelwert|std\.?(?: ?dev\w*)?|sem|"
    r"standard deviation)(?: [^\W\d]\D{0,25})?|s\.?d\.?|min(?:imum)?|max(?:imum)?|n|count|sum|total|range|iqr|"
    r"(?:intra|inter)\W?(?:assay)? ?%? ?cv.*|%? ?cv ?%?|reference (?:range|interval|values?)|normal range|cut-?off|"
    r"p-?values?|t-?test|(?:percent|%) (?:detected|detectable))(?: ?[(\[].*|:.*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Found:
    """The table of a sheet.

    Parameters
    ----------
    grid
        The sheet.
    header
        Position of the header's row, counted from 0.
    names
        By column, without units; "" where the header is empty.
    units
        By column; "" where none is stated.
    rows
        Positions of the table's rows.
    limits
        Rows of limits: ``"lod"``, ``"lloq"`` or ``"uloq"``, the words that follow it (a plate), and the position.
    notes
        What was left out, or read differently than it stands.
    """

    grid: Grid
    header: int
    names: tuple[str, ...]
    units: tuple[str, ...]
    rows: tuple[int, ...]
    limits: tuple[tuple[str, str, int], ...] = ()
    notes: tuple[str, ...] = field(default=())

    def column(self, name: str) -> int:
        """Return the position of a column by its name."""
        return self.names.index(name)

    def cells(self, name: str, *, fill_down: bool = False) -> list[object]:
        """Return a column's cells, one per row of the table; empty ones, if asked, with what stands above them."""
        at = self.column(name)
        cells = [self.grid.cell(row, at) for row in self.rows]
        for row in range(1, len(cells) if fill_down else 0):
            cells[row] = cells[row - 1] if is_blank(cells[row]) else cells[row]
        return cells


def split_unit(name: str) -> tuple[str, str]:
    """Return a header's name and its unit.

    Examples
    --------
    >>> split_unit("IL-6 (pg/mL)"), split_unit("hs-CRP [mg/L]"), split_unit("TNF pg/ml"), split_unit("IL-6")
    (('IL-6', 'pg/mL'), ('hs-CRP', 'mg/L'), ('TNF', 'pg/ml'), ('IL-6', ''))
    """
    name = " ".join(clean_label(name).split())
    found = _WITH_UNIT.fullmatch(name)
    return (found[1].rstrip(" ,;:_"), found[2].strip()) if found else (name, "")


def unit_alone(cell: object) -> str:
    """Return a cell that is nothing but a unit, without brackets; "" if it is none."""
    found = _ONLY_UNIT.fullmatch(" ".join(clean_label(cell).split())) if isinstance(cell, str) else None
    return found[1].strip() if found else ""


def find_table(grid: Grid, *, header: int | None = None, last_row: int | None = None, loose: bool = False) -> Found:
    """Find the table of a sheet.

    The header is the row of different texts whose columns hold the most beneath it. What stands below, with an empty
    row before it or not, is read by what it is: rows of units, of limits and of summaries, lines of notes.

    Parameters
    ----------
    grid
        The sheet.
    header
        The number of the header's row as a spreadsheet counts; None to find it.
    last_row
        The number of the table's last row; None to find it.
    loose
        Whether a header may have numbers, as columns of visits have, and a table none.

    Returns
    -------
    Found
        The table.

    Raises
    ------
    BadInput
        When there is none, or two that are as wide, or the header has one name twice.
    """
    if header is None:
        _refuse_two_rows(grid)
    at = _stated(grid, header) if header is not None else _find_header(grid, loose=loose)
    names, units = _names(grid, at)
    end = len(grid.rows) if last_row is None else min(len(grid.rows), last_row - grid.first + 1)
    rows: list[int] = []
    limits: list[tuple[str, str, int]] = []
    notes: list[str] = []
    summaries, lines, repeated = [], [], []
    ended = False
    columns = [i for i, name in enumerate(names) if name]
    for row in range(at + 1, end):
        cells = [grid.cell(row, column) for column in columns]
        filled = [cell for cell in cells if not is_blank(cell)]
        if not filled:
            ended = ended or bool(rows)
            continue
        label = next((text_of(cell) for cell in cells if kind_of(cell) == "text"), "")
        measured = sum(kind_of(cell) in _MEASURED for cell in cells)
        word = _LIMIT.match(label) if measured else None
        if _is_units(filled):
            units = [unit or unit_alone(grid.cell(row, i)) for i, unit in enumerate(units)]
        elif word and not re.match(r"[\w-]", label[word.end() :] or " "):
            limits.append((str(word.lastgroup), label[word.end() :], row))
        elif measured and _SUMMARY.fullmatch(label):
            summaries.append(row)
        elif [text_of(c) for c in filled] == [
            text_of(grid.cell(at, i)) for i in columns if not is_blank(grid.cell(row, i))
        ]:
            repeated.append(row)
        elif not measured and (ended or len(filled) == 1):
            lines.append(row)
        elif ended and len(filled) * 2 <= len(columns):
            raise BadInput(
                f"{grid.place(row, columns[0])}: row {row + grid.first} stands below an empty row and holds numbers, "
                f"but fills {len(filled)} of {len(columns)} columns; end the table with "
                f"{setting('last_row', rows[-1] + grid.first)}, or fill in the row"
            )
        else:
            rows.append(row)
    if not rows:
        raise BadInput(f"{grid.title} has a header in row {at + grid.first} and no rows below it; check the file")
    notes += _say_rows(grid, summaries, "of summaries (mean, sd, range, ...) left out")
    notes += _say_rows(grid, repeated, "that repeat the header left out")
    notes += _say_rows(grid, lines, "of text alone not read")
    if at:
        above = sum(any(not is_blank(cell) for cell in grid.rows[row]) for row in range(at))
        if above:
            notes.insert(0, f"{above} line{'s' if above > 1 else ''} above the header not read")
    return Found(grid, at, tuple(names), tuple(units), tuple(rows), tuple(limits), tuple(notes))


def _say_rows(grid: Grid, rows: Sequence[int], what: str) -> list[str]:
    if not rows:
        return []
    listed = ", ".join(str(row + grid.first) for row in rows[:5]) + (", ..." if len(rows) > 5 else "")
    return [f"row{'s' if len(rows) > 1 else ''} {listed} {what}"]


def _stated(grid: Grid, header: int) -> int:
    at = header - grid.first
    if not 0 <= at < len(grid.rows) or all(is_blank(cell) for cell in grid.rows[at]):
        raise BadInput(
            f"{setting('header', header)}, but {grid.title} has nothing in that row; give the number of its header's"
        )
    return at


def _is_units(filled: Sequence[object]) -> bool:
    words = [cell for cell in filled if not (isinstance(cell, str) and alike(cell) in ("unit", "units", "einheit"))]
    return bool(words) and all(unit_alone(cell) for cell in words)


def _names(grid: Grid, at: int) -> tuple[list[str], list[str]]:
    """Names of the columns and their units; refuse a name that stands twice."""
    names, units = [], []
    first: dict[str, int] = {}
    for column in range(grid.width):
        cell = grid.cell(at, column)
        name, unit = split_unit(text_of(cell)) if not is_blank(cell) else ("", "")
        if name and alike(name) in first:
            raise BadInput(
                f"the header has '{name}' twice, in {grid.place(at, first[alike(name)])} and "
                f"{grid.address(at, column)}; rename one of the two columns, or name another row as header"
            )
        if name:
            first[alike(name)] = column
        names.append(name)
        units.append(unit)
    for column, name in enumerate(names):
        if not name:
            filled = next((r for r in range(at + 1, len(grid.rows)) if kind_of(grid.cell(r, column)) == "number"), None)
            if filled is not None and not is_blank(grid.cell(filled, 0)):
                raise BadInput(
                    f"{grid.place(filled, column)} holds a number, and its column has no name in row "
                    f"{at + grid.first}; name the column, or empty it"
                )
    return names, units


def _refuse_two_rows(grid: Grid) -> None:
    """Refuse columns that are named in two rows: analytes over times, or times over analytes."""
    for row in range(min(len(grid.rows) - 2, _HEAD)):
        columns = [c for c in range(grid.width) if kind_of(grid.cell(row + 2, c)) in ("number", "bound")]
        below = {c: text_of(grid.cell(row + 1, c)) for c in columns}
        if not all(kind_of(grid.cell(row + 1, c)) == "text" for c in columns) or len(set(below.values())) < _TWO:
            continue
        above, last = {}, ""
        for column in range(grid.width):  # a label stands for the empty or merged cells beside it
            last = text_of(grid.cell(row, column)) or last
            above[column] = last
        pairs = {(above[c], below[c]) for c in columns if above[c]}
        upper, lower = ({pair[k] for pair in pairs} for k in (0, 1))
        if len(pairs) == len(columns) == len(upper) * len(lower) and min(len(upper), len(lower)) >= _TWO:
            first, second = row + grid.first, row + 1 + grid.first
            raise BadInput(
                f"{grid.title} names its columns in two rows, {first} and {second} ({quoted(sorted(upper)[:2])} "
                f"over {quoted(sorted(lower)[:2])}); name each column in one row, with a row for each person and time "
                "and the times in a column of their own"
            )


def _find_header(grid: Grid, *, loose: bool) -> int:
    """The row of different texts whose columns hold the most below; refuse a second table of that width."""
    candidates = _candidates(grid, loose=False)
    if loose:
        mixed = _candidates(grid, loose=True)
        if mixed and max(candidates.values(), default=0) < _SAME_SIZE * max(mixed.values()):
            return min(row for row, width in mixed.items() if width >= _SAME_SIZE * max(mixed.values()))
    if not candidates:
        raise BadInput(
            f"{grid.title} has no row of names with numbers below it; say which row names the columns with "
            f"{setting('header', 1)}, "
            "or name another sheet"
        )
    widest = max(candidates.values())
    near = [row for row, width in candidates.items() if width >= max(2, _SAME_SIZE * widest)]
    blocks = [row for i, row in enumerate(near) if i + 1 == len(near) or _data_between(grid, row, near[i + 1])]
    names = {
        row: tuple(sorted(alike(text_of(cell)) for cell in grid.rows[row] if not is_blank(cell))) for row in blocks
    }
    if len(set(names.values())) > 1:
        rows = [row + grid.first for row in blocks]
        raise BadInput(
            f"{grid.title} holds {len(blocks)} tables, with headers in rows {', '.join(map(str, rows))}; read one with "
            f"{setting('header', rows[0])} and {setting('last_row', rows[1] - 1)}"
        )
    return max((row for row in near if row <= blocks[0]), key=lambda row: (candidates[row], row))


def _candidates(grid: Grid, *, loose: bool) -> dict[int, int]:
    """Rows that could be the header, and how many of their columns hold something below, of which some is measured."""
    last = min(len(grid.rows), 2 * _SEARCHED)
    filled = np.zeros((last, grid.width), dtype=bool)
    measured = np.zeros((last, grid.width), dtype=bool)
    for row in range(last):
        for column, cell in enumerate(grid.rows[row]):
            kind = kind_of(cell)
            filled[row, column] = kind != "blank"
            measured[row, column] = kind in _MEASURED
    found = {}
    for row in range(min(last, _SEARCHED)):
        if _could_be_header(grid, row, loose):
            columns, below = filled[row], slice(row + 1, row + 1 + _SEARCHED)
            if loose or measured[below][:, columns].any():
                found[row] = int(filled[below][:, columns].any(axis=0).sum())
    return found


def _could_be_header(grid: Grid, row: int, numbers: bool) -> bool:
    filled = [cell for cell in grid.rows[row] if not is_blank(cell)]
    kinds = Counter(kind_of(cell) for cell in filled)
    allowed = kinds["text"] + (kinds["number"] if numbers and kinds["text"] else 0)
    if len(filled) < 2 or allowed < len(filled) or _is_units(filled):
        return False
    return len({alike(text_of(cell)) for cell in filled}) == len(filled)


def _data_between(grid: Grid, row: int, other: int) -> bool:
    """Whether rows of two or more measured cells stand between two rows."""
    return any(
        sum(kind_of(cell) in ("number", "bound") for cell in grid.rows[between]) >= 1
        and sum(not is_blank(cell) for cell in grid.rows[between]) >= 2
        for between in range(row + 1, other)
    )


def quoted(names: Sequence[str]) -> str:
    """Return names in a sentence: 'a', 'b' and 'c'; at most eight of them."""
    some = [f"'{name}'" for name in names[:8]]
    if len(names) > len(some):
        return f"{', '.join(some)} and {len(names) - len(some)} more"
    return " and ".join([", ".join(some[:-1]), some[-1]] if len(some) > 1 else some)


def wells(number: int) -> str:
    """Return a number of wells in words.

    Examples
    --------
    >>> wells(1), wells(3)
    ('1 well', '3 wells')
    """
    return f"{number} well{'' if number == 1 else 's'}"
