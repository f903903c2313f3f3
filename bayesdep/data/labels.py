"""Labels: how they are cleaned, when two of them are the same, and which are refused as too similar."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput, in_words

# byte order mark, zero-width characters, soft hyphen; marks of writing direction
_INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060\u00ad\u180e\u200e\u200f\u061c"))
_INVISIBLE |= dict.fromkeys([*range(0x202A, 0x202F), *range(0x2061, 0x206A)])
# control characters other than white space, lone surrogates, and non-characters
_NONE = "".join(map(chr, (plane + end for plane in range(0, 0x110000, 0x10000) for end in (0xFFFE, 0xFFFF))))
_NO_TEXT = re.compile(f"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef{_NONE}]")
_DECIMAL = re.compile(r"[+-]?[0-9]+\.[0-9]*")
_FULL_WIDTH = {0xFF01 + i: 0x21 + i for i in range(94)}
_FEWEST_LETTERS = 2
_SHOWN = 60  # characters of a text in a message
# Words for those whom the others are compared with.
_CONTROLS = ("placebo", "control", "controls", "saline", "sham", "hc", "healthy", "healthy control", "midazolam", "tau",
             "usual care", "treatment as usual", "waitlist", "waiting list", "well", "ctrl", "c", "2", "pbo", "vehicle",
             "comparator", "active control", "none", "no treatment")  # fmt: skip


def clean_label(text: str) -> str:
    r"""Return a label as it is compared and shown.

    Surrounding spaces and invisible characters are removed; every kind of space becomes a plain one; full-width letters
    become plain ones; letters with accents become one character (NFC). Inner spaces and the case stay.

    Parameters
    ----------
    text
        The label as it is written.

    Returns
    -------
    str
        The label.

    Examples
    --------
    >>> clean_label(" IL-6\u00a0")
    'IL-6'
    >>> clean_label("week\u00a02")
    'week 2'
    """
    if text.isascii() and text.isprintable():  # most are, and tables have thousands of rows
        return text.strip()
    plain = text.translate(_INVISIBLE).translate(_FULL_WIDTH)
    plain = "".join(" " if c.isspace() and not _NO_TEXT.match(c) else c for c in plain)
    return unicodedata.normalize("NFC", plain).strip()


def refuse_no_text(text: str, where: str) -> None:
    """Refuse text with control characters, which cannot be shown or exported.

    White space (a tab, a line break) is allowed.

    Parameters
    ----------
    text
        Any text.
    where
        Where it stands, for the message: ``"column 'arm': row 3"``.

    Raises
    ------
    BadInput
        Naming the first such character.

    Examples
    --------
    >>> refuse_no_text("IL-6", "units")
    """
    odd = _NO_TEXT.search(text)
    if odd:
        raise BadInput(
            f"{where} is {shortly(text)}, which holds a control character (U+{ord(odd[0]):04X}) where text is meant; "
            "take it out, and check that the file is not damaged"
        )


def shortly(text: str) -> str:
    """Return the beginning of a text as Python writes it, for messages."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def alike(label: str) -> str:
    """Return a key that is the same for labels that differ only in case, inner spaces or the form of their letters.

    Examples
    --------
    >>> alike("IL 6") == alike("il6")
    True
    """
    return "".join(unicodedata.normalize("NFKC", label).casefold().split())


def as_label(cell: Any) -> str:
    """Return a cell as a label: a whole number without a decimal point, and with all its digits.

    Examples
    --------
    >>> as_label(20260112.0), as_label(2.5), as_label("007 ")
    ('20260112', '2.5', '007')
    """
    if isinstance(cell, str):
        return clean_label(cell)
    if isinstance(cell, (float, np.floating)) and float(cell).is_integer():
        return str(int(cell))
    if isinstance(cell, pd.Timestamp) and cell == cell.normalize():
        return str(cell.date())
    return clean_label(str(cell))


def clean_text(frame: pd.DataFrame) -> dict[str, str]:
    """Clean the text of a table in place, and say which columns of it were not clean.

    Parameters
    ----------
    frame
        A table, which is changed.

    Returns
    -------
    dict of str
        By column, one sentence on what was removed; empty where nothing was.

    Raises
    ------
    BadInput
        When a label or a column's name holds a control character.
    """
    notes = {}
    for at, name in enumerate(frame.columns):
        refuse_no_text(str(name), f"the name of column {at + 1}")
        series = frame.iloc[:, at]
        _refuse_no_labels(series, str(name))
        if isinstance(series.dtype, pd.CategoricalDtype):
            kinds = series.cat.categories
            if not any(isinstance(k, str) and clean_label(k) != k for k in kinds):
                continue
            order = list(dict.fromkeys(clean_label(k) if isinstance(k, str) else k for k in kinds))
            ordered = series.cat.ordered
        elif pd.api.types.is_numeric_dtype(series) or pd.api.types.is_datetime64_any_dtype(series):
            continue
        else:
            order = None
            ordered = False
        cells = series.astype(object).tolist()
        cleaned = [clean_label(cell) if isinstance(cell, str) else cell for cell in cells]
        odd = [row for row, (a, b) in enumerate(zip(cells, cleaned, strict=True)) if isinstance(a, str) and a != b]
        odd = [row for row in odd if cleaned[row]]  # blank cells are handled elsewhere
        changed = pd.Series(cleaned, index=series.index, dtype=object)
        if order is not None:
            changed = pd.Series(pd.Categorical(cleaned, categories=order, ordered=ordered), index=series.index)
        elif not odd:
            continue
        frame.isetitem(at, changed.array)
        if odd:
            first = cells[odd[0]]
            notes[str(name)] = (
                f"column '{name}': spaces or invisible characters around or inside {len(odd)} "
                f"label{'s' if len(odd) > 1 else ''} were removed, first {first!r} in row {odd[0] + 1}, read as "
                f"{cleaned[odd[0]]!r}"
            )
    return notes


def _refuse_no_labels(cells: pd.Series, name: str) -> None:
    """Refuse a column with a label that is not valid text, naming its row."""
    if pd.api.types.is_numeric_dtype(cells) or pd.api.types.is_datetime64_any_dtype(cells):
        return
    for label in pd.unique(cells.astype(object)):
        if isinstance(label, str) and _NO_TEXT.search(label):
            row = next(at for at, cell in enumerate(cells) if isinstance(cell, str) and cell == label)
            refuse_no_text(label, f"column '{name}': row {row + 1}")


def refuse_lookalikes(labels: Sequence[str], where: str, rows: Sequence[int] | None = None) -> None:
    """Refuse labels that differ only in case, inner spaces or the form of their letters, or are the same number.

    Parameters
    ----------
    labels
        Shape (rows,).
    where
        The column and what it holds, for messages.
    rows
        The row of the table of each, counted from 0; None if in order.

    Raises
    ------
    BadInput
        Naming two labels, and their first rows.
    """
    row_of = range(len(labels)) if rows is None else rows
    for pair in _pairs(labels):
        one, other = (f"'{label}' in row {row_of[list(labels).index(label)] + 1}" for label in pair)
        if alike(pair[0]) != alike(pair[1]):
            raise BadInput(f"{where}: {one} and {other} are the same number; write them alike")
        raise BadInput(
            f"{where}: {one} and {other} differ only in case, in spaces or in the form of their letters; if they are "
            "the same, write them alike, and if not, give them names that differ more"
        )


def join_lookalikes(labels: np.ndarray) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Read labels of people that differ only in case, inner spaces or the form of their letters as one.

    Parameters
    ----------
    labels
        Shape (rows,).

    Returns
    -------
    joined : numpy.ndarray
        Shape (rows,): each as it is written first.
    pairs : list of tuple
        The label that is kept, and one read as it.

    Examples
    --------
    >>> join_lookalikes(np.array(["P1", "p1", "P2"], dtype=object))
    (array(['P1', 'P1', 'P2'], dtype=object), [('P1', 'p1')])
    """
    pairs = _pairs(labels)
    same = {other: one for one, other in pairs}
    return (np.array([same.get(label, label) for label in labels], dtype=object) if pairs else labels), pairs


def _pairs(labels: Iterable[str]) -> list[tuple[str, str]]:
    first: dict[str, str] = {}
    return [(one, label) for label in dict.fromkeys(labels) if (one := first.setdefault(_key(label), label)) != label]


def _key(label: str) -> str:
    """What labels that mean the same have in common: "1.0" is "1", as a cell that is a number would be read."""
    key = alike(label)
    return key.rstrip("0").rstrip(".") if _DECIMAL.fullmatch(key) else key


def lone_labels(labels: Iterable[str], where: str, what: str = "person", *, meant: Sequence[str] = ()) -> list[str]:
    """List arms or groups of one person; refuse one whose label looks like a misspelling of another.

    A misspelling has the same digits as another label and differs from it by at most two edits (a letter inserted,
    deleted or replaced), and by no more than half the length of the longer: 'placebo' and 'placebp', but neither 'A'
    and 'B' nor '10 mg' and '20 mg'.

    Parameters
    ----------
    labels
        The arm or group of every person, shape (people,).
    where
        The column and what it holds, for messages.
    what
        What is counted.
    meant
        Labels that the user has confirmed, however few people have them.

    Returns
    -------
    list of str
        One sentence for each that has one person.

    Raises
    ------
    BadInput
        Naming the label, and the one probably meant.

    Examples
    --------
    >>> lone_labels(["drug", "drug", "wait list"], "column 'arm'")
    ["column 'arm': 'wait list' has one person"]
    """
    counts: dict[str, int] = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    alone = [label for label, n in counts.items() if n == 1]
    for label in (x for x in alone if x not in meant):
        for other in counts:
            if other != label and counts[other] > 1 and _misspelt(label, other):
                listed = f'["{label}"]'
                how = in_words(
                    toml=f"[data] labels_meant = {listed}", python=f"bd.read_table(table, labels_meant={listed})"
                )
                raise BadInput(
                    f"{where}: '{label}' has one {what}; did you mean '{other}'? correct it, or, if the label is "
                    f"right, confirm it with {how}"
                )
    return [f"{where}: '{label}' has one {what}" for label in alone]


def _misspelt(one: str, other: str) -> bool:
    digits = ["".join(c for c in label if c.isdigit()) for label in (one, other)]
    a, b = one.casefold(), other.casefold()
    longer = max(len(a), len(b))
    if digits[0] != digits[1] or longer <= _FEWEST_LETTERS or abs(len(a) - len(b)) > 2:
        return False
    edits = _edits(a, b)
    return edits <= 2 and 2 * edits <= longer


def _edits(a: str, b: str) -> int:
    """The edit distance of two words (Levenshtein)."""
    above = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (letter != other)))
        above = row
    return above[-1]


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case: ``"HAM-D total"`` has three."""
    return [word for word in re.split(r"[^a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()) if word]


def control_of(labels: Sequence[str]) -> str | None:
    """Return the label that names a control; None where none does.

    Examples
    --------
    >>> control_of(["infliximab", "placebo"]), control_of(["MDD", "HC"]), control_of(["a", "b"])
    ('placebo', 'HC', None)
    """
    for word in _CONTROLS:
        for label in labels:
            if " ".join(words_of(label)) == word:
                return label
    for word in _CONTROLS:
        for label in labels:
            if len(word) > 2 and word in words_of(label):
                return label
    return next((label for label in labels if label.lower().startswith(("no ", "non-", "not ", "without "))), None)
