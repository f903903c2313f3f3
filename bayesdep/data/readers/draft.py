"""Measurements as they were found in files, with their cells, on the way to a tidy table."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesdep.data.cell_origins import CELL
from bayesdep.data.errors import BadInput, did_you_mean, setting
from bayesdep.data.labels import alike, as_label
from bayesdep.data.limit_text import ACCEPTED, BLANK, Refusal, read_cell
from bayesdep.data.missing import as_numbers
from bayesdep.data.readers.decimals import Mark, find_mark, with_point
from bayesdep.data.readers.grids import Odd, is_blank, is_unmeasured, kind_of, shown
from bayesdep.data.readers.layout import Found, quoted

type Extrapolated = Literal["censor", "number"]

KEYS = ("subject", "sample", "group", "arm", "time", "visit", "plate", "well", "analyte")  # labels of a measurement
LIMIT_COLUMNS = ("lod", "lloq", "uloq")
_CALIBRATOR = ("std*", "standard*", "blank*", "background*", "bkgd*", "cal[0-9]*", "cal-[0-9]*", "calibrator*")


@dataclass
class Draft:
    """Measurements before they are checked.

    Parameters
    ----------
    frame
        One row per cell of a measurement: labels, ``concentration`` as it stands, and ``read_from``.
    layout
        What kind of file it is, in words.
    source
        Where the form of that layout is documented; "" for layouts that need no document.
    is_verified
        Whether the reader was tested on a file of that form.
    notes
        What was read differently than it stands, without labels of people.
    settings
        What a model must know about this layout, such as ``beyond_limit``.
    """

    frame: pd.DataFrame
    layout: str
    source: str = ""
    is_verified: bool = True
    notes: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)


def place_of(frame: pd.DataFrame, row: int) -> str:
    """Return how a message names a measurement: "sheet 'Plate 1', cell F17 (IL-6, sample P012)"."""
    record = frame.iloc[row]
    parts = [str(record["analyte"])] if "analyte" in frame else []
    name = next((word for word in ("sample", "subject") if word in frame and not is_blank(record[word])), None)
    parts += [f"sample {as_label(record[name])}"] if name else []
    return f"{record[CELL]} ({', '.join(parts)})" if parts else str(record[CELL])


def leave_out_samples(draft: Draft, ids: Sequence[str]) -> None:
    """Leave out samples that the user names, by pattern or in full.

    Parameters
    ----------
    draft
        The measurements, changed in place.
    ids
        Samples, such as ``["Standard*", "Blank"]``.

    Raises
    ------
    BadInput
        When one is of no sample.
    """
    name = "sample" if "sample" in draft.frame else "subject"
    labels = [as_label(cell) for cell in draft.frame[name]]
    gone = _matching(labels, ids, "leave_out", "no sample")
    if gone.all():
        raise BadInput("leave_out leaves no sample; name fewer of them")
    if gone.any():
        count = len({label for label, out in zip(labels, gone, strict=True) if out})
        draft.notes.append(f"{count} sample{'s' if count > 1 else ''} left out as stated (leave_out)")
    draft.frame = draft.frame[~gone].reset_index(drop=True)


def keep_analytes(draft: Draft, analytes: Sequence[str]) -> None:
    """Keep the analytes that the user names, by pattern or in full; the draft is changed in place."""
    labels = [as_label(cell) for cell in draft.frame["analyte"]]
    draft.frame = draft.frame[_matching(labels, analytes, "analytes", "no analyte of the file")].reset_index(drop=True)


def _matching(labels: Sequence[str], patterns: Sequence[str], argument: str, none: str) -> np.ndarray:
    """Which labels are of one of the patterns of a setting; refuse a pattern that none is of."""
    found = np.zeros(len(labels), dtype=bool)
    for pattern in map(str, patterns):
        hit = np.array([fnmatchcase(label.casefold(), pattern.casefold()) for label in labels], dtype=bool)
        if not hit.any():
            known = dict.fromkeys(labels)
            raise BadInput(f"{setting(argument, [pattern])} names {none}; {did_you_mean(pattern, known)}")
        found |= hit
    return found


def note_unread(draft: Draft, found: Found, read: Collection[str]) -> None:
    """Note the columns that were not read."""
    unread = [name for name in found.names if name and name not in read]
    if unread:
        what = f"column{'s' if len(unread) > 1 else ''} {quoted(unread)}"
        draft.notes.append(f"{what} not read (name them in covariates to keep them)")


def refuse_calibrators(draft: Draft) -> None:
    """Refuse rows that are named like standards or blanks of the plate, of which nothing else says what they are."""
    name = "sample" if "sample" in draft.frame else "subject"
    labels = list(dict.fromkeys(as_label(cell) for cell in draft.frame[name]))
    found = [label for label in labels if any(fnmatchcase(label.casefold(), pattern) for pattern in _CALIBRATOR)]
    if found:
        row = [as_label(cell) for cell in draft.frame[name]].index(found[0])
        raise BadInput(
            f"{draft.frame[CELL].iloc[row]}: '{found[0]}' is named like a standard or blank of the plate, not like a "
            f"person; leave it out with {setting('leave_out', found[:6])}, or keep all with {setting('leave_out', [])}"
        )


def read_concentrations(
    draft: Draft, *, decimal: Mark | None, missing: Sequence[str], extrapolated: Extrapolated | None
) -> None:
    """Turn cells of measurements into numbers, and text of values beyond a limit; leave out those that are empty.

    Parameters
    ----------
    draft
        The measurements, changed in place.
    decimal
        The decimal mark as stated; None to find it.
    missing
        Texts that stand for a missing value.
    extrapolated
        What to do with numbers marked ``*`` as beyond the standard curve.

    Raises
    ------
    BadInput
        At the first cell that is no concentration, or whose decimal mark is ambiguous.
    """
    frame = draft.frame
    cells = measured(frame["concentration"], missing)
    for row, cell in enumerate(cells):
        _refuse_odd(frame, row, cell)
    flagged = (
        frame["censored"].map(lambda c: not is_blank(c)).to_numpy()
        if "censored" in frame
        else np.zeros(len(cells), bool)
    )
    empty = np.array([cell is None for cell in cells], dtype=bool)
    gone = empty & ~flagged
    if gone.all():
        raise BadInput(f"{frame[CELL].iloc[0]} and all other cells of measurements are empty; name the right columns")
    mark, has_any = find_mark(cells, lambda row: place_of(frame, row), decimal)
    if has_any:
        draft.notes.append(f"decimal mark of numbers written as text: {'comma' if mark == ',' else 'point'}")
    read = [with_point(cell, mark) for cell in cells]
    for word in LIMIT_COLUMNS:
        if word in frame:
            frame[word] = [_limit(frame, row, cell, word, mark) for row, cell in enumerate(frame[word])]
    read = [_extrapolated(frame, row, cell, extrapolated) for row, cell in enumerate(read)]
    values = [_value(frame, row, cell, cells[row]) for row, cell in enumerate(read)]
    if gone.any():
        by = frame.loc[gone, "analyte"].value_counts()
        listed = ", ".join(f"{name} {count}" for name, count in by.head(5).items())
        draft.notes.append(f"{gone.sum()} of {len(gone)} measurements are empty and were left out ({listed})")
    all_numbers = all(isinstance(value, float) for value in values)
    frame = frame.assign(concentration=pd.Series(values, index=frame.index, dtype=float if all_numbers else object))
    draft.frame = frame[~gone].reset_index(drop=True)


def measured(cells: Iterable[Any], missing: Sequence[str]) -> list[Any]:
    """Return cells as they stand, None where they say that nothing was measured, by text or by the user's codes."""
    codes = {alike(str(code)) for code in missing}
    return [
        None if is_unmeasured(cell) or (not isinstance(cell, Odd) and alike(as_label(cell)) in codes) else cell
        for cell in cells
    ]


def _refuse_odd(frame: pd.DataFrame, row: int, cell: Any) -> None:
    """Refuse a date, a percentage, an error or a formula without a value among measurements."""
    if isinstance(cell, Odd):
        raise BadInput(f"{place_of(frame, row)} {cell.problem}; {cell.remedy}")
    if kind_of(cell) == "date":
        raise BadInput(
            f"{place_of(frame, row)} is the date {str(cell)[:10]}, as a spreadsheet makes of numbers such as 3.5 or "
            "1-2; enter the concentration again in the original file, in a cell formatted as text"
        )


def _extrapolated(frame: pd.DataFrame, row: int, cell: Any, how: Extrapolated | None) -> Any:
    """A number marked with an asterisk as beyond the standard curve."""
    if not isinstance(cell, str) or "*" not in cell:
        return cell
    plain = cell.strip("* ")
    if kind_of(plain) != "number":
        return cell
    if how == "number":
        return plain
    ends = [frame[word].iloc[row] if word in frame else None for word in ("lod", "uloq")]
    low, high = (float(end) if isinstance(end, (int, float)) and end == end else None for end in ends)
    if how == "censor" and low is not None and float(plain) <= low:
        return f"<{low:.12g}"
    if how == "censor" and high is not None and float(plain) >= high:
        return f">{high:.12g}"
    if how == "censor":
        raise BadInput(
            f"{place_of(frame, row)}: '{cell}' is marked as beyond the standard curve, and no end of the curve is "
            f"known on its side; read such numbers as they are with {setting('extrapolated', 'number')}, or give limits"
        )
    raise BadInput(
        f"{place_of(frame, row)}: '{cell}' is marked as extrapolated beyond the standard curve; say "
        f"{setting('extrapolated', 'number')} to trust such numbers, "
        f"or 'censor' to count them as beyond the end of the curve"
    )


def _value(frame: pd.DataFrame, row: int, cell: Any, as_written: Any) -> float | str | None:
    """A concentration: a number, or text that the models read as a bound, a range or a word."""
    if cell is None:
        return None
    reading = read_cell(cell)
    if isinstance(reading, Refusal):
        problem = reading.problem.removeprefix("which ").removeprefix("is ")
        raise BadInput(
            f"{place_of(frame, row)}: {shown(as_written)} {'is ' if problem.startswith('not') else ''}{problem}; write "
            f"{ACCEPTED}, or declare it missing with {setting('missing', [str(as_written)[:30]])}"
        )
    if reading == BLANK:
        return None
    return reading.low if reading.says == "detected" else str(cell)


def _limit(frame: pd.DataFrame, row: int, cell: Any, word: str, mark: Mark) -> float:
    if is_unmeasured(cell):
        return np.nan
    reading = read_cell(with_point(cell, mark))
    if isinstance(reading, Refusal) or not reading.low > 0 or not np.isfinite(reading.low):
        raise BadInput(
            f"{place_of(frame, row)}: its limit ({word}) is {shown(cell)}, where a number above zero is needed; "
            "correct it, or empty it"
        )
    return reading.low


def read_labels(draft: Draft) -> None:
    """Turn cells of labels into text, whole numbers without a point; refuse a measurement that is nobody's."""
    frame = draft.frame
    for word in KEYS:
        if word in frame:
            frame[word] = pd.Series([None if is_blank(c) else as_label(c) for c in frame[word]], dtype=object)
    who = "subject" if "subject" in frame else "sample"
    for row in np.flatnonzero(frame[who].isna().to_numpy()).tolist():
        raise BadInput(
            f"{place_of(frame, row)} is a measurement whose row has no name of a person; fill it in, or, where an "
            "empty cell means the person above, say fill_down = True"
        )
    for word in ("group", "arm", "time", "visit", "plate", "analyte"):
        if word in frame and frame[word].isna().any():
            if frame[word].isna().all():
                del frame[word]
                continue
            first = int(np.flatnonzero(frame[word].isna().to_numpy())[0])
            raise BadInput(
                f"{place_of(frame, first)} has no {word}: its cell is empty; fill it in, or leave the sample out with "
                f"{setting('leave_out', [str(frame[who].iloc[first])])}"
            )


def read_covariates(draft: Draft, names: Sequence[str], decimal: Mark | None) -> None:
    """Turn columns of covariates into numbers where all of their cells are, also with decimal commas."""
    for name in names:
        cells = draft.frame[name]
        for row, cell in enumerate(cells):
            if isinstance(cell, Odd):
                raise BadInput(f"'{name}' of {place_of(draft.frame, row)} {cell.problem}; {cell.remedy}")
        text = [None if is_unmeasured(cell) else as_label(cell) for cell in cells]
        kinds = {kind_of(cell) for cell in text if cell is not None}
        if kinds == {"number"}:
            mark, _ = find_mark(
                text,
                lambda row: f"'{name}' of {draft.frame[CELL].iloc[row]}",  # noqa: B023  (called within this iteration)
                decimal,
            )
            text = [with_point(cell, mark) for cell in text]
        numbers, _ = as_numbers(text)
        draft.frame[name] = pd.Series(text, dtype=object) if numbers is None else numbers.to_numpy()
