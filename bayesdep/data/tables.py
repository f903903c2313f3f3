"""Column contracts: the requirements on a table's columns, checked before a model reads them.

Every model reads its columns with :func:`read_columns`, and messages about a bad column or row are raised here, so that
all have the same form: the column, the row, what is wrong with it, and the remedy.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput, Faults, column_setting, in_words, nearest
from bayesdep.data.labels import as_label, clean_label, clean_text, join_lookalikes, lone_labels, refuse_lookalikes
from bayesdep.data.magnitude import SIZES, is_workable
from bayesdep.data.missing import suspected_codes

Role = Literal["name", "subject", "free"]
Kind = Literal["label", "number", "positive", "count", "probability"]

_MUST_BE = {
    "number": "a number",
    "positive": "a number above zero",
    "count": "a whole number of at least zero",
    "probability": "a number above 0 and at most 1",
}
_TOTAL = re.compile("(grand |sub-?)?total|overall|pooled|summary|all( studies| trials| patients)?|combined")
_SHOWN_ROWS = 5
# The largest number of different values of a column, by the model's word for it: of units that are crossed with one
# another, or that have a parameter each. A column with more is probably the wrong one. People are not limited.
MOST_DIFFERENT = {
    "visit": 200,
    "time": 100,
    "period": 100,
    "day": 500,
    "arm": 100,
    "treatment": 50,
    "group": 100,
    "plate": 1000,
    "subgroup": 2000,
    "analyte": 5000,
    "study": 5000,
}


@dataclass(frozen=True)
class Column:
    """The requirements on one column of a table.

    Parameters
    ----------
    name
        The column's name in the user's table.
    kind
        ``"label"`` (text or numbers used as names), ``"number"`` (finite), ``"positive"`` (finite, above
        zero), ``"count"`` (whole, at least zero) or ``"probability"`` (above 0, at most 1).
    what
        What the column contains, for messages.
    role
        What the labels stand for: ``"name"`` (arms, groups, studies, analytes, visits: labels that differ only in case
        or inner spaces are refused), ``"subject"`` (people: such labels are read as one, and noted) or ``"free"``.
    """

    name: str
    kind: Kind
    what: str
    role: Role = "name"


def role_of(word: str) -> Role:
    """Return the role of labels by the model's word for their column: subjects if people, names otherwise."""
    return "subject" if word == "subject" else "name"


def as_frame(table: Any) -> pd.DataFrame:
    """Return any dataframe that narwhals reads (pandas, polars, pyarrow, ...) as pandas, with a plain index.

    Parameters
    ----------
    table
        The user's table.

    Returns
    -------
    pandas.DataFrame
        The same columns, with the original ``attrs`` where there are any, and the same rows except empty ones, which
        are noted. Labels are cleaned (:func:`~bayesdep.data.labels.clean_label`); ``attrs["spaces"]`` says
        for each column where this changed a label.

    Raises
    ------
    BadInput
        When it is not a dataframe, has no rows, or has two columns with the same name.
    """
    try:
        frame = nw.from_native(table, eager_only=True).to_pandas()
    except TypeError:
        raise BadInput(
            f"the data are a {type(table).__name__}, not a table; "
            "pass a dataframe (pandas, polars, pyarrow) with one row per unit"
        ) from None
    except nw.exceptions.DuplicateError as problem:
        names = ", ".join(line.removeprefix("- ") for line in str(problem).splitlines()[1:])
        raise BadInput(f"two columns of the table have one name ({names}); rename all but one") from None
    named = [name for name in frame.index.names if name is not None and name not in frame.columns]
    frame = frame.reset_index(named).reset_index(drop=True)  # a named index becomes a column
    written = frame.columns.map(str)  # settings name columns by text, even if the names are numbers
    frame.columns = written.map(clean_label)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise BadInput(f"two columns of the table have one name ('{twice}'); rename all but one")
    frame.attrs = dict(getattr(table, "attrs", {}))
    if "notes" in frame.attrs:
        frame.attrs["notes"] = list(frame.attrs["notes"])  # the attrs of the user's own table stay unchanged
    odd = [(a, b) for a, b in zip(written, frame.columns, strict=True) if a != b]
    if odd:
        note(frame, f"spaces around names of columns were removed, first {odd[0][0]!r}, read as '{odd[0][1]}'")
    if spaces := clean_text(frame):
        frame.attrs["spaces"] = {**frame.attrs.get("spaces", {}), **spaces}
    frame = _without_blank_rows(frame)
    if frame.empty:
        by = in_words(toml="[data] require", python="require")
        raise BadInput(f"the table has no rows; check the file, or the rows left out by {by}")
    return frame


def is_blank(cells: pd.Series) -> np.ndarray:
    """Return which cells are empty: missing, or text of spaces; shape (rows,)."""
    blank = cells.isna().to_numpy(dtype=bool)
    if not pd.api.types.is_numeric_dtype(cells):  # arrow reads empty text as ""
        blank = blank | np.array([isinstance(v, str) and not v.strip() for v in cells], dtype=bool)
    return blank


def _without_blank_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out rows whose cells are all empty, which spreadsheets write, and note it."""
    blank = np.full(len(frame), len(frame.columns) > 1)  # in a table of one column, an empty cell is a missing value
    for at in range(len(frame.columns)):
        if not blank.any():
            return frame
        blank &= is_blank(frame.iloc[:, at])
    if not blank.any():
        return frame
    attrs = frame.attrs
    kept = frame.loc[~blank].infer_objects().reset_index(drop=True)
    kept.attrs = attrs
    at_rows = np.flatnonzero(blank)
    note(kept, f"{_rows(at_rows.tolist())} with nothing in {'them' if len(at_rows) > 1 else 'it'} left out")
    return kept


def read_columns(
    frame: pd.DataFrame, columns: Mapping[str, Column], *, many: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Read the columns a model needs, each checked against its contract.

    Parameters
    ----------
    frame
        The user's table.
    columns
        The column for each of the model's words.
    many
        Words whose columns may have any number of different values.

    Returns
    -------
    dict of numpy.ndarray
        One array of shape (rows,) per word: text for labels, float64 for everything else.

    Raises
    ------
    BadInput
        At the first column that is missing or does not meet its requirements.

    Examples
    --------
    >>> frame = pd.DataFrame({"trial": ["a", "b"], "sei": [0.1, -0.2]})
    >>> read_columns(frame, {"se": Column("sei", "positive", "standard error")})
    Traceback (most recent call last):
    ...
    bayesdep.data.errors.BadInput: column 'sei' (standard error): row 2 is -0.2, ...
    """
    refuse_missing_columns(frame, {word: (column.name, column.what) for word, column in columns.items()})
    faults, read = Faults(), {}
    for word, column in columns.items():
        with faults:
            read[word] = _read(frame, column)
    faults.refuse()
    for word, values in read.items():
        most = len(values) if word in many else MOST_DIFFERENT.get(word, len(values))
        if len(values) > most and (found := len(set(values))) > most:
            raise BadInput(
                f"column '{columns[word].name}' ({columns[word].what}) has {found:,} values, and {most:,} are "
                f"the most; name the right column as {word}, or split the table"
            )
    return read


def refuse_missing_columns(frame: pd.DataFrame, columns: Mapping[str, tuple[str, str]]) -> None:
    """Refuse a table that lacks columns, naming all of them and what the table has instead.

    Parameters
    ----------
    frame
        The table.
    columns
        Name and content of each needed column, by the model's word for it.

    Raises
    ------
    BadInput
        In one sentence.

    Examples
    --------
    >>> refuse_missing_columns(pd.DataFrame({"HAMD": [3]}), {"outcome": ("hamd", "outcome")})
    Traceback (most recent call last):
    ...
    bayesdep.data.errors.BadInput: column 'hamd' (outcome) is not in the table; did you mean 'HAMD'? then write ...
    """
    known = [str(name) for name in frame.columns]
    missing = {word: pair for word, pair in columns.items() if pair[0] not in known}
    if not missing:
        return
    listed = " and ".join(f"'{name}' ({what})" for name, what in missing.values())
    start, verb = ("column", "is") if len(missing) == 1 else ("columns", "are")
    taken = {name for name, _ in columns.values()}
    near = {word: nearest(name, [x for x in known if x not in taken]) for word, (name, _) in missing.items()}
    meant = list(dict.fromkeys(name for name in near.values() if name is not None))
    how = " and ".join(column_setting(word, near[word] or "NAME") for word in missing)
    if None in near.values():
        remedy = f"write {how}, NAME being the table's; known: {', '.join(sorted(known))}"
    else:
        remedy = f"did you mean {' and '.join(map(repr, meant))}? then write {how}"
    raise BadInput(f"{start} {listed} {verb} not in the table; {remedy}")


def _read(frame: pd.DataFrame, column: Column) -> np.ndarray:
    series = frame[column.name]
    _refuse(is_blank(series), column, series, "is empty", f"fill it in, or {leave_rows_out(column.name)}")
    if column.kind == "label":
        return _labels(frame, series, column)
    no_number = np.array([isinstance(v, (bool, np.bool_, complex)) for v in series], dtype=bool)
    values = pd.to_numeric(series.astype(object).mask(no_number), errors="coerce").to_numpy(dtype=float)
    must = f"where {_MUST_BE[column.kind]} is needed"
    _refuse(np.isnan(values), column, series, must, "write numbers only, with a decimal point")
    _refuse(~np.isfinite(values), column, series, must, "correct it or leave the row out")
    bad = {
        "number": np.zeros(len(values), bool),
        "positive": values <= 0,
        "count": (values < 0) | (values != np.round(values)),
        "probability": (values <= 0) | (values > 1),
    }[column.kind]
    refuse_code(frame, values, column)
    _refuse(bad, column, series, must, "correct it or leave the row out")
    if column.kind != "probability":  # probabilities are never squared, and very small ones are valid
        must, remedy = f"where a size of {SIZES}, or 0, is needed", "correct it, or change the unit of the column"
        _refuse(~is_workable(values), column, series, must, remedy)
    return values


def _labels(frame: pd.DataFrame, series: pd.Series, column: Column) -> np.ndarray:
    labels = np.array([as_label(cell) for cell in series], dtype=object)
    where = f"column '{column.name}' ({column.what})"
    note_spaces(frame, column.name)
    if column.role == "name":
        refuse_lookalikes(labels.tolist(), where)
    elif column.role == "subject":
        written = labels
        labels, pairs = join_lookalikes(written)
        for _, other in pairs:  # by its row: notes are printed and reported, where no label of a person stands
            row = list(written).index(other) + 1
            note(
                frame,
                f"{where}: the label in row {row} differs from an earlier one only in case or spaces, or in how a "
                "number is written, and counts as it",
            )
    return labels


def note_spaces(frame: pd.DataFrame, column: str) -> None:
    """Note where spaces were removed from labels of a column."""
    if sentence := frame.attrs.get("spaces", {}).get(column):
        note(frame, sentence)


def note_lone(frame: pd.DataFrame, labels: np.ndarray, column: Column) -> None:
    """Note arms or groups of one person; refuse likely misspellings (see :func:`lone_labels`).

    Parameters
    ----------
    frame
        The user's table.
    labels
        The arm or group of every person, shape (people,).
    column
        Its column.
    """
    meant = frame.attrs.get("labels_meant", ())
    for sentence in lone_labels(labels, f"column '{column.name}' ({column.what})", meant=meant):
        note(frame, sentence)


def refuse_totals(labels: np.ndarray, column: Column, counts: np.ndarray | None = None) -> None:
    """Refuse a row that is the total of the others, by its name or its counts: its people would count twice.

    Parameters
    ----------
    labels
        Shape (rows,).
    column
        Their column.
    counts
        People and events of each row, shape (rows, counts), where there are any.

    Raises
    ------
    BadInput
        Naming the row.
    """
    sums = np.zeros(len(labels), dtype=bool)
    if counts is not None and len(labels) > 3 and counts.all():  # of three small ones, one may be the sum by chance
        sums = (counts == counts.sum(axis=0) - counts).all(axis=1)
    for row, label in enumerate(labels):
        if sums[row] or (len(labels) > 2 and _TOTAL.fullmatch(label.casefold())):
            why = "is the sum of the others" if sums[row] else "is named like a total"
            remedy = "leave it out" if sums[row] else "leave it out, or rename it if it is not a total"
            raise BadInput(
                f"column '{column.name}' ({column.what}): '{label}' {why}, whose people would count twice; {remedy}"
            )


def leave_rows_out(column: str) -> str:
    """Return a clause on how to leave out rows without a value in a column: in a plan, or in Python."""
    listed = f'["{column}"]'
    how = in_words(toml=f"[data] require = {listed}", python=f"bd.read_table(table, require={listed})")
    return f"leave such rows out with {how}"


def refuse_code(frame: pd.DataFrame, values: np.ndarray, column: Column, *, may_be_empty: bool = False) -> None:
    """Refuse a number that looks like a code for a missing value, unless the user declared the codes.

    Parameters
    ----------
    frame
        The user's table. If it was read with ``missing = []``, no code is suspected; if it was read with some codes,
        other suspected codes are noted.
    values
        Shape (rows,), NaN where missing.
    column
        The column.
    may_be_empty
        Whether the model uses rows without a value, so that none need to be left out.

    Raises
    ------
    BadInput
        When :func:`~bayesdep.data.missing.suspected_codes` finds one.
    """
    stated = frame.attrs.get("missing")
    suspected = [] if stated is not None and not stated else suspected_codes(values)
    if not suspected:
        return
    listed = ", ".join(f"{code:.17g} in {_rows(frame.index[values == code])}" for code, _, _ in suspected)
    claim = f"column '{column.name}' ({column.what}): {listed}"
    codes = f"[{', '.join(f'"{code:.17g}"' for code, _, _ in suspected)}]"
    require = "" if may_be_empty else f'["{column.name}"]'
    in_plan = f"missing = {codes}" + (f" and require = {require}" if require else "")
    if stated or not any(often for _, _, often in suspected):
        note(frame, f"{claim}, far from all other numbers; if that means missing, state {in_plan}")
        return
    in_python = f"missing={codes}" + (f", require={require}" if require else "")
    how = in_words(toml=f"[data] {in_plan}", python=f"bd.read_table(table, {in_python})")
    like = "looks like a code for a missing value" if len(suspected) == 1 else "look like codes for missing values"
    raise BadInput(f"{claim}, which {like}; say so with {how}, or state missing = [] if these were measured")


def numbers_or_empty(frame: pd.DataFrame, column: Column, word: str = "outcome") -> np.ndarray:
    """Read a column of numbers with possibly empty cells, and note how many are empty; true and false are 1 and 0.

    Parameters
    ----------
    frame
        The table.
    column
        The column.
    word
        The model's word for it.

    Returns
    -------
    numpy.ndarray
        Shape (rows,), NaN where empty.

    Raises
    ------
    BadInput
        When it is missing, entirely empty, or has a cell that is not a number.
    """
    refuse_missing_columns(frame, {word: (column.name, column.what)})
    cells = frame[column.name]
    if cells.dtype == bool:
        cells = cells.astype(float)
    empty = is_blank(cells)
    if empty.all():
        raise BadInput(f"column '{column.name}' ({column.what}) is empty throughout; name the right column")
    cells = cells.astype(object)
    filled = pd.DataFrame({column.name: cells.where(~empty, cells[~empty].iloc[0])})
    filled.attrs = {"missing": ()}  # filled with the first number, so that gaps are not suspected
    values = np.where(empty, np.nan, _read(filled, column))
    refuse_code(frame, values, column, may_be_empty=True)
    if empty.any():
        note(frame, f"column '{column.name}' ({column.what}): {empty.sum()} of {len(empty)} cells are missing")
    return values


def _refuse(bad: np.ndarray, column: Column, series: pd.Series, problem: str, remedy: str) -> None:
    """Raise an error about the rows where ``bad`` is true, if any."""
    if not bad.any():
        return
    rows = series.index[bad]
    first = series[rows[0]]
    value = "" if problem == "is empty" else f" is {first!r}," if isinstance(first, str) else f" is {first},"
    more = "" if len(rows) == 1 else f" (and {len(rows) - 1} more: {_rows(rows[1:].tolist())})"
    raise BadInput(f"column '{column.name}' ({column.what}): row {rows[0] + 1}{value} {problem}{more}; {remedy}")


def _rows(rows: Sequence[int]) -> str:
    shown = ", ".join(str(r + 1) for r in rows[:_SHOWN_ROWS])
    return f"row{'s' if len(rows) > 1 else ''} {shown}{', ...' if len(rows) > _SHOWN_ROWS else ''}"


def refuse_duplicates(
    labels: Mapping[str, np.ndarray],
    columns: Mapping[str, Column],
    what: str,
    remedy: str = "keep one row, or correct the label of one",
) -> None:
    """Refuse a table with the same combination of labels in two rows.

    Parameters
    ----------
    labels
        Label arrays of shape (rows,), by the model's word.
    columns
        The columns they came from.
    what
        What must be unique, for messages.
    remedy
        What to do.

    Raises
    ------
    BadInput
        Naming the first repeated combination and both of its rows.
    """
    row_of: dict[tuple[str, ...], int] = {}
    for row, key in enumerate(zip(*labels.values(), strict=True)):
        if key in row_of:
            names = " and ".join(f"'{columns[word].name}'" for word in labels)
            raise BadInput(
                f"column {names}: {what} {' / '.join(key)!r} stands in rows {row_of[key] + 1} and {row + 1}; {remedy}"
            )
        row_of[key] = row


def refuse_more_events_than_people(
    events: np.ndarray, n: np.ndarray, names: np.ndarray, columns: tuple[Column, Column]
) -> None:
    """Refuse rows with no people, or with more events than people.

    Parameters
    ----------
    events, n
        Counts of shape (rows,).
    names
        Labels of shape (rows,), for messages.
    columns
        The columns of ``events`` and of ``n``.

    Raises
    ------
    BadInput
        Naming the first such row.
    """
    for row in np.flatnonzero(n == 0):
        raise BadInput(
            f"column '{columns[1].name}' ({columns[1].what}): row {row + 1} ({names[row]}) is 0; "
            "leave out rows without people"
        )
    for row in np.flatnonzero(events > n):
        raise BadInput(
            f"column '{columns[0].name}' ({columns[0].what}): row {row + 1} ({names[row]}) has "
            f"{events[row]:.0f} of {n[row]:.0f}; there cannot be more than '{columns[1].name}', so check both"
        )


def note(frame: pd.DataFrame, text: str) -> None:
    """Note how something in a table was read, where that differs from what is written or matters.

    Parameters
    ----------
    frame
        The table; the sentence is added to its ``attrs["notes"]``, a list, unless it is there already.
    text
        One sentence without full stop: what was read differently, where and how often.

    Examples
    --------
    >>> frame = pd.DataFrame({"arm": ["drug"]})
    >>> note(frame, "column 'arm': spaces around 1 label were removed")
    >>> frame.attrs["notes"]
    ["column 'arm': spaces around 1 label were removed"]
    """
    notes = frame.attrs.setdefault("notes", [])
    text = " ".join(text.split())
    if text not in notes:
        notes.append(text)


def rows_with_notes(frame: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """Return some rows of a table, with their index; notes on them are notes on the table.

    Parameters
    ----------
    frame
        The table.
    rows
        Positions of the rows, counted from 0.

    Returns
    -------
    pandas.DataFrame
        The rows; their ``attrs`` are the table's, with the same list of notes.

    Examples
    --------
    >>> frame = pd.DataFrame({"crp": [1.0, 1.0, 999.0]})
    >>> note(rows_with_notes(frame, np.array([0, 2])), "row 3 is far from all others")
    >>> frame.attrs["notes"]
    ['row 3 is far from all others']
    """
    frame.attrs.setdefault("notes", [])
    cut = frame.iloc[rows]
    cut.attrs = frame.attrs
    return cut


def provenance(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the provenance of a table, as attrs that a NetCDF file can hold.

    Parameters
    ----------
    frame
        A table, with or without the attrs that :mod:`bayesdep.data` sets.

    Returns
    -------
    dict
        ``title``, ``citation``, ``place``, ``source``, ``sha256``, ``left_out``, ``inconsistencies`` and ``notes``
        (of :func:`note`; both one per line), all text, and ``synthetic`` (0 or 1).
    """
    attrs = frame.attrs
    texts = {key: str(attrs.get(key, "")) for key in ("title", "citation", "place", "left_out")}
    texts["source"] = str(attrs.get("source", "a dataframe in memory"))
    texts["sha256"] = str(attrs.get("sha256") or hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest())
    texts["inconsistencies"] = "\n".join(attrs.get("inconsistencies", []))
    texts["notes"] = "\n".join(attrs.get("notes", []))
    return {**texts, "synthetic": int(bool(attrs.get("synthetic", False)) or says_synthetic(frame))}


def says_synthetic(frame: pd.DataFrame) -> bool:
    """Tell whether a table says of itself, in its column ``origin``, that rows of it are simulated.

    Attributes do not survive every operation on a table, such as putting two together; a column does.

    Examples
    --------
    >>> says_synthetic(pd.DataFrame({"effect": [0.1, 0.2], "origin": [None, "synthetic, seed 1"]}))
    True
    """
    return "origin" in frame and bool(frame["origin"].astype(str).str.startswith("synthetic").any())
