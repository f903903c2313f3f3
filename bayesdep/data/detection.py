"""Measurements beyond detection limits, in every form in which laboratories report them, as intervals."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput
from bayesdep.data.flags import read_flags, refuse_reversed_codes
from bayesdep.data.limit_text import (
    BOUNDS,
    KINDS,
    LIMITS,
    Cells,
    Reading,
    Rows,
    column_of,
    differ,
    less,
    read_limits,
    read_values,
    refuse_mixed_units,
    refuse_two_limits,
    same,
    shown,
)
from bayesdep.data.tables import Column, as_frame, leave_rows_out, read_columns, refuse_code


@dataclass(frozen=True)
class Detection:
    """For every measurement, the interval in which its log concentration lies, and the assay's limits.

    Parameters
    ----------
    kind
        Shape (rows,): ``"detected"``, ``"left"`` (below a limit), ``"right"`` (above one) or ``"interval"``.
    lower, upper
        Shape (rows,), natural logarithm of the concentration: equal where detected; (-inf, limit) below;
        (limit, inf) above; both ends of an interval.
    lod, uloq
        Shape (rows,), natural logarithm: the limits below and above which this measurement would not have been
        detected; NaN where they are not known.
    """

    kind: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    lod: np.ndarray
    uloq: np.ndarray


def read_detection(
    frame: pd.DataFrame,
    *,
    value: str,
    analyte: np.ndarray,
    plate: np.ndarray | None = None,
    flag: str | None = None,
    lod: str | None = None,
    lloq: str | None = None,
    uloq: str | None = None,
    unit: str | None = None,
    flag_codes: Mapping[str, str] | None = None,
    beyond_limit: Literal["refuse", "censor"] = "refuse",
) -> Detection:
    """Read concentrations, some of them beyond a detection limit, in any of the usual notations.

    The forms may be mixed: numbers; text such as ``"<0.64"``, ``"OOR <"`` or ``"0.13-0.64"``; a flag beside a
    number; a number beside the limits of its row.

    Parameters
    ----------
    frame
        The user's table.
    value
        The column of concentrations, as measured (not logged).
    analyte, plate
        Labels of shape (rows,). With ``plate``, an analyte must have one limit on a plate.
    flag
        The column that says which values are not detected.
    lod, lloq, uloq
        The columns of each row's limit of detection, lower limit and upper limit of quantification, in the
        units of ``value``; a cell may be blank.
    unit
        The column of units, which must be the same within an analyte.
    flag_codes
        What codes in ``flag`` mean: ``"detected"``, ``"left"``, ``"right"`` or ``"interval"``.
    beyond_limit
        What to do with a number beyond the limits of its row: refuse it as a mistake, or treat it as censored at the
        limit. Only with ``"censor"`` is a zero read as a value below its limit.

    Returns
    -------
    Detection
        An interval per row. For a row without a limit, its analyte's limit (on its plate) is used if there is only one.

    Raises
    ------
    BadInput
        At the first cell that is missing, contradictory or ambiguous.

    Examples
    --------
    >>> frame = pd.DataFrame({"pg_ml": ["1.5", "<0.64", "> 10000"]})
    >>> read = read_detection(frame, value="pg_ml", analyte=np.array(["IL-6"] * 3, dtype=object))
    >>> list(read.kind)
    ['detected', 'left', 'right']
    >>> [float(round(x, 2)) for x in np.exp(read.lod)]
    [0.64, 0.64, 0.64]
    """
    if beyond_limit not in ("refuse", "censor"):
        raise BadInput(f"beyond_limit = {beyond_limit!r} is not understood; write 'refuse' or 'censor'")
    rows = Rows(analyte, frame.index.to_numpy())  # of some rows of a table, their places in all of it
    refuse_mixed_units(frame, unit, rows)
    columns = {"lod": lod, "lloq": lloq, "uloq": uloq}
    in_columns = {word: read_limits(frame, name, word, rows) for word, name in columns.items()}
    cells = Cells(rows, value, column_of(frame, value, "concentration", "value"))
    readings = read_values(cells.cells, value, rows)
    flags, marks = read_flags(frame, flag, flag_codes, rows)
    kind, flagged = _kind_of_each_row(readings, flags, marks, cells)
    by = list(analyte if plate is None else zip(analyte, plate, strict=True))
    if flag is not None:
        refuse_reversed_codes(readings, flags, marks, flag, by, flag_codes or {}, rows)
    if beyond_limit == "censor":
        zero = (kind == "detected") & (np.array([r.low for r in readings]) == 0)
        for word in ("lod", "lloq"):  # the limit of its row, or of its analyte if there is only one
            in_columns[word] = np.where(
                zero & np.isnan(in_columns[word]), _limit_of_key(in_columns[word], by), in_columns[word]
            )
        zero &= ~np.isnan(_first_known(in_columns["lod"], in_columns["lloq"]))
        kind[zero], flagged = "left", flagged | zero
    numbers = np.where((kind == "detected") & ~flagged, [r.low for r in readings], np.nan)
    refuse_code(frame, numbers, Column(value, "positive", "concentration"))
    low, high = _ends(readings, kind, flagged, in_columns, cells)

    stated = _limits_in_row(kind, low, high, in_columns, by)
    if plate is not None:
        for word in LIMITS:
            refuse_two_limits(stated[word], columns[word] or value, LIMITS[word], by, rows)
    limits = {word: np.where(np.isnan(stated[word]), _limit_of_key(stated[word], by), stated[word]) for word in LIMITS}
    held = stated if plate is None else limits  # limits of another plate do not contradict this row's number
    _refuse_disorder(held, {word: name or value for word, name in columns.items()}, rows)
    floor = _first_known(held["lod"], held["lloq"])
    below, above = (kind == "detected") & less(low, floor), (kind == "detected") & less(held["uloq"], low)
    if beyond_limit == "refuse":
        _refuse_beyond(below, above, held, in_columns, cells)
    else:
        between = (kind == "detected") & ~below & less(low, held["lloq"])
        kind[below], kind[between], kind[above] = "left", "interval", "right"
        low = np.select([below, between, above], [0.0, held["lod"], held["uloq"]], low)
        high = np.select([below, between, above], [floor, held["lloq"], np.inf], high)

    lowest = np.where(kind == "left", high, _first_known(limits["lod"], limits["lloq"]))
    highest = np.where(kind == "right", low, limits["uloq"])
    number = kind == "detected"  # a number beyond a limit that only other rows have was measured with another limit
    lowest[number & less(low, lowest)] = np.nan
    highest[number & less(highest, low)] = np.nan
    with np.errstate(divide="ignore"):  # an open lower end is zero, and its log minus infinity
        return Detection(kind, *map(np.log, (low, high, lowest, highest)))


def add_limits(
    table: pd.DataFrame, limits: pd.DataFrame, *, analyte: str = "analyte", plate: str = "plate"
) -> pd.DataFrame:
    """Join a table of detection limits onto the measurements.

    Parameters
    ----------
    table
        One row per measurement: any dataframe.
    limits
        One row per analyte, per plate or per analyte and plate, with any of the columns ``lod``, ``lloq`` and
        ``uloq``, in the units of the measurements.
    analyte, plate
        The key columns' names in ``table``; in ``limits`` they may also be called "analyte" and "plate".

    Returns
    -------
    pandas.DataFrame
        The table with the columns of limits added, in the same order and with the same ``attrs``.

    Raises
    ------
    BadInput
        When a key is missing or repeated, when a row has no limit, when a limit is not a positive number, or when the
        table has such a column already.

    Examples
    --------
    >>> table = pd.DataFrame({"analyte": ["IL-6", "IL-8"], "concentration": ["ND", "3.1"]})
    >>> add_limits(table, pd.DataFrame({"analyte": ["IL-8", "IL-6"], "lod": [0.2, 0.64]}))["lod"].tolist()
    [0.64, 0.2]
    """
    table, limits = as_frame(table), as_frame(limits)
    words = [word for word in LIMITS if word in limits]
    both = (("analyte", analyte), ("plate", plate))
    keys = {name: name if name in limits else word for word, name in both if name in limits or word in limits}
    if not keys:
        raise BadInput(f"the limits have no column '{analyte}' or '{plate}' to say whose they are; add one or both")
    if not words:
        raise BadInput("the limits have none of the columns 'lod', 'lloq' and 'uloq'; name at least one of them so")
    for word in words:
        if word in table:
            raise BadInput(f"column '{word}' is in the table and in its limits; leave it out of one of them")
    mine = read_columns(table, {name: Column(name, "label", "key of the limits") for name in keys})
    theirs = read_columns(limits, {name: Column(key, "label", "key of the limits") for name, key in keys.items()})
    row_of: dict[tuple[str, ...], int] = {}
    for row, key in enumerate(zip(*theirs.values(), strict=True)):
        if key in row_of:
            raise BadInput(
                f"the limits have {' / '.join(key)!r} in rows {row_of[key] + 1} and {row + 1}; keep one of them"
            )
        row_of[key] = row
    sought = list(zip(*mine.values(), strict=True))
    matches = np.array([row_of.get(key, -1) for key in sought])
    _named(sought).refuse(
        matches < 0, next(iter(keys)), lambda _: "has no row in the limits", "add one, with blanks where unknown"
    )
    joined = table.assign(**{word: read_limits(limits, word, word, _named(row_of))[matches] for word in words})
    joined.attrs = table.attrs
    return joined


def _named(keys: Iterable[tuple[str, ...]]) -> Rows:
    return Rows(np.array([" / ".join(key) for key in keys], dtype=object))


def count_detected(
    table: Any,
    *,
    value: str = "concentration",
    analyte: str = "analyte",
    group: str | None = None,
    plate: str | None = None,
    flag: str | None = None,
    lod: str | None = None,
    lloq: str | None = None,
    uloq: str | None = None,
    unit: str | None = None,
    flag_codes: Mapping[str, str] | None = None,
    beyond_limit: Literal["refuse", "censor"] = "refuse",
) -> pd.DataFrame:
    """Count what was detected, by analyte and, where these are named, by group and plate.

    Parameters
    ----------
    table
        One row per measurement: any dataframe.
    value, analyte, group, plate, flag, lod, lloq, uloq, unit, flag_codes, beyond_limit
        The columns, and how to read them: see :func:`read_detection`.

    Returns
    -------
    pandas.DataFrame
        One row per analyte (and group, and plate): ``n``, the shares of rows below, between and above limits, and
        the lowest and the highest limit of detection in the units of ``value`` (NaN where unknown).

    Raises
    ------
    BadInput
        At the first row that cannot be read.

    Examples
    --------
    >>> count_detected(pd.DataFrame({"analyte": ["IL-2", "IL-2"], "concentration": ["<0.64", "7"]}))
      analyte  n  share_below  share_between  share_above  lod_lowest  lod_highest
    0    IL-2  2          0.5            0.0          0.0        0.64         0.64
    """
    frame = as_frame(table)
    by = {word: name for word, name in (("analyte", analyte), ("group", group), ("plate", plate)) if name is not None}
    labels = read_columns(frame, {word: Column(name, "label", word) for word, name in by.items()})
    read = read_detection(
        frame,
        value=value,
        analyte=labels["analyte"],
        plate=labels.get("plate"),
        flag=flag,
        lod=lod,
        lloq=lloq,
        uloq=uloq,
        unit=unit,
        flag_codes=flag_codes,
        beyond_limit=beyond_limit,
    )
    shares = {"share_below": "left", "share_between": "interval", "share_above": "right"}
    rows = pd.DataFrame(
        {
            **{word: pd.Categorical(names, categories=pd.unique(names)) for word, names in labels.items()},
            **{share: read.kind == kind for share, kind in shares.items()},
            "lod": [float(f"{limit:.12g}") for limit in np.exp(read.lod)],  # undo the logarithm's rounding
        }
    )
    groups = rows.groupby(list(labels), observed=True)
    counted = pd.concat({"n": groups.size(), **{share: groups[share].mean() for share in shares}}, axis=1)
    counted = counted.assign(lod_lowest=groups["lod"].min(), lod_highest=groups["lod"].max()).reset_index()
    return counted.astype(dict.fromkeys(labels, object))


def _kind_of_each_row(
    readings: list[Reading], flags: np.ndarray, marks: list[Any], cells: Cells
) -> tuple[np.ndarray, np.ndarray]:
    """Return the kind of every row, and whether its flag decided it (text such as '<0.64' decides first)."""
    by_text = np.array([r.says for r in readings], dtype=object)
    text_decides = (by_text != "detected") & (by_text != "blank")
    cells.refuse(
        (flags != "") & text_decides & (flags != by_text),
        lambda row: f"which contradicts its flag {shown(marks[row])}",
        "correct one of the two, or leave the flag blank",
    )
    flagged = (flags != "") & (flags != "detected") & ~text_decides
    cells.refuse(
        (by_text == "blank") & ~flagged,
        "and missing is not the same as not detected",
        f"write 'OOR <' where nothing was detected, or {leave_rows_out(cells.name)}",
    )
    return np.where(flagged, flags, by_text).astype(object), flagged


def _ends(
    readings: list[Reading], kind: np.ndarray, flagged: np.ndarray, own: Mapping[str, np.ndarray], cells: Cells
) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of every row's interval, not logged: 0 or inf where it is open, never NaN."""
    a, b = np.array([r.low for r in readings]), np.array([r.high for r in readings])
    word = np.array([r.limit for r in readings], dtype=object)
    lod, lloq, uloq = own["lod"], own["lloq"], own["uloq"]
    left, right, interval = (kind == k for k in KINDS[1:])
    by_columns = np.select([left & (word == "lloq"), left, right], [lloq, _first_known(lod, lloq), uloq], np.nan)
    number = np.where(flagged | (word != ""), _first_known(by_columns, a), a)  # the limit, or the measured value
    low = np.select([left, interval & flagged], [0.0, lod], number)
    high = np.select([right, interval & flagged, interval], [np.inf, lloq, b], number)
    lacking = np.isnan(low) | np.isnan(high)
    for bad, name in ((word == "lloq", "lloq"), (left, "lod (or lloq)"), (right, "uloq"), (interval, "lod and lloq")):
        cells.refuse(
            lacking & bad,
            "a non-detect without a limit",
            f"name the column of its limit as {name} and fill it in, or write the limit itself, as in {BOUNDS}",
        )

    fill = flagged & (interval | ~np.isnan(by_columns))  # the number stands for the limit and is not used
    a, b = np.where(fill, np.nan, a), np.where(fill, np.nan, b)
    cells.refuse(interval & (a <= 0), "a range from zero or below", "write a range from 0 to 0.64 as '<0.64'")
    cells.refuse(
        (a <= 0) | (b <= 0),
        "where a concentration above zero is needed",
        "correct it, write a non-detect with its limit as '<0.64' (or name the column of limits as lod, with "
        "beyond_limit = 'censor'), and exponentiate values that were logged",
    )
    cells.refuse(np.isinf(a) | np.isinf(b), "which is infinite", "correct it, or write the limit as in '>10000'")
    cells.refuse(
        interval & (low >= high),
        lambda row: f"an interval from {low[row]:.6g} to {high[row]:.6g}",
        "give a lower end that is below the upper end",
    )
    column = np.select([left, right], [lod, uloq], np.nan)
    cells.refuse(
        differ(a, column) & ~(left & same(a, lloq)),
        lambda row: f"which contradicts the limit {column[row]:.6g} in its row",
        "correct one of the two",
    )
    filled = np.where(fill, [r.low for r in readings], np.nan)
    cells.refuse(
        less(np.fmax(lod, lloq), filled) & ~right | less(filled, uloq) & right & (filled > 0),
        lambda row: f"flagged as {kind[row]}, but on the other side of the limit in its row",
        "correct one of the two, or say what the flags mean with flag_codes",
    )
    return low, high


def _first_known(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a, or b where a is NaN."""
    return np.where(np.isnan(a), b, a)


def _limits_in_row(
    kind: np.ndarray, low: np.ndarray, high: np.ndarray, own: Mapping[str, np.ndarray], by: list[Any]
) -> dict[str, np.ndarray]:
    """Return the limits given in each row, in its columns or as the end of its interval."""
    lloq = np.where(np.isnan(own["lloq"]), _limit_of_key(own["lloq"], by), own["lloq"])
    at_lod = (kind == "left") & np.isnan(own["lod"]) & ~same(high, lloq)
    at_uloq = (kind == "right") & np.isnan(own["uloq"])
    return {
        "lod": np.where(at_lod, high, own["lod"]),
        "lloq": own["lloq"],
        "uloq": np.where(at_uloq, low, own["uloq"]),
    }


def _limit_of_key(limits: np.ndarray, by: list[Any]) -> np.ndarray:
    """Return for every row the limit given in the rows of its key if that is the same in all, or NaN."""
    frame = pd.DataFrame({"limit": limits, "key": pd.factorize(pd.Series(by, dtype=object))[0]})
    groups = frame.groupby("key")["limit"]
    lowest, highest = groups.transform("min").to_numpy(float), groups.transform("max").to_numpy(float)
    return np.where(same(lowest, highest), groups.transform("first").to_numpy(float), np.nan)


def _refuse_disorder(limits: Mapping[str, np.ndarray], columns: Mapping[str, str], rows: Rows) -> None:
    for word, other in (("lod", "lloq"), ("lod", "uloq"), ("lloq", "uloq")):
        a, b = limits[word], limits[other]
        say = f"has the {LIMITS[word]} {{:.6g}}, which is not below its {LIMITS[other]} {{:.6g}}"
        rows.refuse(
            less(b, a) | (same(a, b) & (other == "uloq")),
            columns[word],
            lambda row: say.format(a[row], b[row]),  # noqa: B023  (called within this iteration of the loop)
            "correct one of the two",
        )


def _refuse_beyond(
    below: np.ndarray, above: np.ndarray, limits: Mapping[str, np.ndarray], own: Mapping[str, np.ndarray], cells: Cells
) -> None:
    """Refuse numbers beyond their limits, which may be substituted values, extrapolations or mistakes."""

    def problem(row: int) -> str:
        word = "uloq" if above[row] else "lloq" if np.isnan(limits["lod"][row]) else "lod"
        whose = "its plate's" if np.isnan(own[word][row]) else "its own"
        side = "above" if above[row] else "below"
        return f"{side} {whose} {LIMITS[word]} {limits[word][row]:.6g}, and not flagged"

    remedy = "set beyond_limit = 'censor' to treat such numbers as non-detects, or correct it"
    cells.refuse(below, problem, remedy)
    cells.refuse(above, problem, remedy)
