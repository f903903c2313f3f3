"""The visits of a trial: their names, their order, and when they were where that is known."""

import datetime
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput, did_you_mean

_NUMBERED = re.compile(r"^(?P<before>\D*?)\s*(?P<number>[+-]?\d+(?:\.\d+)?)\s*(?P<after>\D*)$")
_TIMES = frozenset({"", "day", "days", "d", "week", "weeks", "wk", "wks", "w", "month", "months", "mo", "m", "hour",
                    "hours", "h"})  # fmt: skip
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}([ T].*)?$")


@dataclass(frozen=True)
class Visits:
    """The visits of a table.

    Parameters
    ----------
    names
        In order.
    of_row
        The visit of every row, as a place among ``names``; shape (rows,).
    numbers
        When each was, as its name says (week 4: 4), shape (visits,); NaN where names carry no time.
    days
        Days since the first, where names are dates; NaN where not.
    """

    names: tuple[str, ...]
    of_row: np.ndarray
    numbers: np.ndarray
    days: np.ndarray


def name_of_number(value: float) -> str:
    """Name a visit that is a number, with all its digits.

    Parameters
    ----------
    value
        The number.

    Returns
    -------
    str
        ``"4"``, ``"0.951"``, ``"20260112"``.

    Examples
    --------
    >>> name_of_number(20260112.0), name_of_number(0.951), name_of_number(4.0)
    ('20260112', '0.951', '4')
    """
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def read_visit_names(cells: pd.Series, column: str, order: Sequence[str] = ()) -> Visits:
    """Find the visits of a column, in order: numbers, dates and "Week 4" by their value, others as stated.

    Parameters
    ----------
    cells
        The column of visits, none of them empty.
    column
        Its name, for messages.
    order
        The visits in order, where it is stated.

    Returns
    -------
    Visits
        Names and order.

    Raises
    ------
    BadInput
        When the order is not known, or the stated one does not hold the table's visits.

    Examples
    --------
    >>> read_visit_names(pd.Series(["Week 12", "Week 4", "Week 12"]), "visit").names
    ('Week 4', 'Week 12')
    """
    labels = np.array([_label(cell) for cell in cells], dtype=object)
    found = list(dict.fromkeys(labels))
    if order:
        return _stated(labels, found, column, order)
    values, is_time, is_date = _values(found)
    if values is None:
        raise BadInput(
            f"column '{column}': the order of visits {_listed(found)} is not known from their names; state it as "
            f"visit_order = [{', '.join(repr(str(n)) for n in found[:3])}{', ...' if len(found) > 3 else ''}], first "
            "visit first"
        )
    if len(set(values)) < len(found):
        first = next(v for v in values if values.count(v) > 1)
        same = [n for n, v in zip(found, values, strict=True) if v == first]
        raise BadInput(f"column '{column}': {_listed(same)} are one time written differently; write it in one way")
    ranked = sorted(range(len(found)), key=lambda k: values[k])
    names = tuple(found[k] for k in ranked)
    place = {name: j for j, name in enumerate(names)}
    at = np.array([values[k] for k in ranked], dtype=float)
    unknown = np.full(len(names), np.nan)
    return Visits(
        names,
        np.array([place[x] for x in labels], dtype=int),
        at if is_time else unknown,
        at - at[0] if is_date else unknown,
    )


def _label(cell: object) -> str:
    if isinstance(cell, pd.Timestamp | datetime.date):
        text = str(cell)
        return text[:10] if text.endswith(" 00:00:00") else text
    if isinstance(cell, int | float | np.number) and not isinstance(cell, bool):
        return name_of_number(float(cell))
    text = str(cell).strip()
    try:
        number = float(text)
    except ValueError:
        return text
    return name_of_number(number) if np.isfinite(number) else text


def _values(names: Sequence[str]) -> tuple[list[float] | None, bool, bool]:
    """What names sort by, whether that is a time since baseline, and whether they are dates (then in days)."""
    dates = [_date(name) for name in names]
    if all(d is not None for d in dates):
        return [d for d in dates if d is not None], False, True
    parts = [_NUMBERED.match(name) for name in names]
    if any(part is None for part in parts):
        return None, False, False
    words = {(p["before"] + " " + p["after"]).strip(" ._-:").lower() for p in parts if p is not None}
    singular = {word.removesuffix("s") for word in words}
    if len(singular) > 1:
        return None, False, False
    values = [float(p["number"]) for p in parts if p is not None]
    return values, words <= _TIMES, False


def _date(name: str) -> float | None:
    """Days since a fixed one of a date written as 2026-01-12 or 20260112; None of anything else."""
    if not (_DATE.match(name) or (re.fullmatch(r"\d{8}", name) and "1900" <= name[:4] <= "2100")):
        return None
    try:
        return (pd.Timestamp(name) - pd.Timestamp("1900-01-01")) / pd.Timedelta(days=1)
    except (ValueError, TypeError):
        return None


def _stated(labels: np.ndarray, found: Sequence[str], column: str, order: Sequence[str]) -> Visits:
    names = [_label(x) for x in order]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"visit_order has '{name}' twice; name every visit once")
    for name in found:
        if name not in names:
            raise BadInput(
                f"column '{column}': visit '{name}' is not in visit_order; add it there, or leave its rows out "
                f"({did_you_mean(name, names)})"
            )
    present = [name for name in names if name in set(found)]
    values, is_time, is_date = _values(present)
    unknown = np.full(len(present), np.nan)
    rising = values is not None and all(a < b for a, b in itertools.pairwise(values))
    at = np.array(values, dtype=float) if rising else unknown
    place = {name: j for j, name in enumerate(present)}
    return Visits(
        tuple(present),
        np.array([place[x] for x in labels], dtype=int),
        at if is_time else unknown,
        at - at[0] if is_date else unknown,
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(str(n)) for n in names[:4])
    return f"{shown}, ..." if len(names) > 4 else shown
