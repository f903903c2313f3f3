"""The order of times: labels of visits, days and dates, sorted by their meaning, not by their order in the table."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.labels import as_label

_DAYS = {
    "second": 1 / 86400,
    "minute": 1 / 1440,
    "hour": 1 / 24,
    "day": 1.0,
    "week": 7.0,
    "month": 30.4375,
    "year": 365.25,
}
_UNITS = {
    word: unit
    for unit, words in {
        "second": "second seconds sec secs s",
        "minute": "minute minutes min mins",
        "hour": "hour hours hr hrs h",
        "day": "day days d",
        "week": "week weeks wk wks w",
        "month": "month months mo mos mth mths",
        "year": "year years yr yrs y",
    }.items()
    for word in words.split()
}
_ZERO = {"baseline", "bl", "base", "pre", "predose", "pretreatment", "preinfusion"}  # names of time zero
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?")
_WORDED = re.compile(r"(?P<before>[^\d]*?)(?P<sign>[+-]?)(?P<number>\d+(\.\d+)?)(?P<after>[^\d]*)")
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_LENGTH = re.compile(r"-?\d+ days?( [+-]?\d\d:\d\d:\d\d(\.\d+)?)?")
# times of the table over the most of any person; above this, times are actual ones, which differ between people
_MANY_PER_PERSON = 2
_NEAR = 0.1  # times in different units that differ by less than this share may be the same planned time


@dataclass(frozen=True)
class Times:
    """Times in their order.

    Parameters
    ----------
    labels
        The different labels, as written in the table, in order of time.
    values
        Shape (times,): the number in each label, in ``unit``; dates in days since the first. None if the order was
        stated and the labels have no numbers.
    unit
        ``"day"``, ``"week"``, ... where the labels name one; ``"day"`` for dates; empty for plain numbers and for
        labels that are only numbered (``"VIS1"``).
    note
        An assumption that was made, in one sentence; empty if there was none.
    kind
        What the labels are: ``"date"``, ``"time"`` (a number, or one with a unit), or ``"place"``: the labels have
        an order but no times (``"VIS1"``, or a stated order).
    """

    labels: tuple[str, ...]
    values: tuple[float, ...] | None
    unit: str = ""
    note: str = ""
    kind: Literal["date", "time", "place"] = "place"


def is_time_zero(label: str) -> bool:
    """Tell whether a label names time zero: 0, "week 0", "w0", "baseline".

    Examples
    --------
    >>> [is_time_zero(label) for label in ("0", "Week 0", "w0", "baseline", "week 10", "screening")]
    [True, True, True, True, False, False]
    """
    plain = label.strip().casefold()
    if plain in _ZERO or (_NUMBER.fullmatch(plain) and float(plain) == 0):
        return True
    found = _WORDED.fullmatch(plain)
    words = {found["before"].strip(" _.-"), found["after"].strip(" _.-")} - {""} if found else set()
    return found is not None and float(found["number"]) == 0 and words <= {*_UNITS, "visit", "v", "time", "t"}


def order_of_times(
    labels: Sequence[str] | np.ndarray,
    baseline: str | None = None,
    *,
    order: Sequence[str] | None = None,
    place: str = "the times",
    setting: str = "the order",
    remedy: str = "name the first of them as baseline",
) -> Times:
    """Put the labels of times in order.

    Numbers, ISO dates and datetimes (``2026-01-12``, ``20260112``, ``2026-01-12 08:30``, ``2026-01``) and lengths of
    time are sorted by their value. So are numbered labels that share their words: ``"week 12"`` and ``"12 weeks"``,
    ``"Day 0"``, ``"VIS1"``, ``"T0"``. Where units differ (``"4 h"``, ``"Day 3"``, ``"week 2"``) all are converted to
    days, a month being 30.4375 of them; two that then are the same time, or within a tenth of each other in unlike
    units (``"4 weeks"``, ``"1 month"``), are refused. Beside such labels 0 needs no unit, and one of ``baseline``,
    ``BL``, ``pre``, ``pre-dose`` or ``pre-treatment`` is time zero, which :attr:`Times.note` says; it is refused if
    another label is zero too. A hyphen before the number is a minus sign if some labels have none (``"day-1"``,
    ``"day0"``), and a hyphen between words if all have one (``"visit-1"``, ``"visit-2"``). Other labels have no order
    of their own: it must be stated.

    Parameters
    ----------
    labels
        Shape (rows,): text, in any order, with repetitions.
    baseline
        The first time, if stated; the others follow in their order. Labels without an order of their own follow in
        the order of the table, so use ``order`` if more than the first matters.
    order
        All the labels in their order, if stated.
    place
        Where the labels stand, as the first words of a message.
    setting
        The caller's name for ``order``, for messages.
    remedy
        What the user can do if there is no order, apart from writing other labels; may be empty.

    Returns
    -------
    Times
        The different labels in order.

    Raises
    ------
    BadInput
        When there is no order and none is stated, two labels are the same time, or a stated label does not occur.

    Examples
    --------
    >>> order_of_times(["week 12", "week 2", "baseline", "week 2"]).labels
    ('baseline', 'week 2', 'week 12')
    >>> order_of_times(["20260119", "20260112"]).values
    (0.0, 7.0)
    >>> order_of_times(["after", "before"])
    Traceback (most recent call last):
    ...
    bayesdep.data.errors.BadInput: the times: the labels 'after', 'before' have no order that can be known; name the ...
    >>> order_of_times(["after", "before"], "before").labels
    ('before', 'after')
    """
    levels = list(dict.fromkeys(map(str, labels)))
    if order is not None:
        return _in_stated_order(levels, [str(x) for x in order], place, setting)
    if baseline is not None and baseline not in levels:
        raise BadInput(f"baseline = '{baseline}' is not in {place}; {did_you_mean(baseline, levels)}")
    read = _read(levels)
    if read is None:
        if baseline is None and len(levels) > 1:
            shown = ", ".join(repr(x) for x in levels[:6]) + (", ..." if len(levels) > 6 else "")
            raise BadInput(
                f"{place}: the labels {shown} have no order that can be known; {remedy + ', or ' if remedy else ''}"
                "write them as numbers, as dates like 2026-01-12, or with one unit like 'week 4'"
            )
        first = levels[0] if baseline is None else baseline
        return Times((first, *(x for x in levels if x != first)), None)
    values, unit, note, kind = read
    order_of = np.argsort(values, kind="stable")
    _refuse_same([levels[i] for i in order_of], values[order_of], place)
    if baseline is not None:
        order_of = np.array([levels.index(baseline), *(i for i in order_of if levels[i] != baseline)])
    return Times(tuple(levels[i] for i in order_of), tuple(float(values[i]) for i in order_of), unit, note, kind)


def order_of_column(frame: pd.DataFrame, name: str) -> list[str] | None:
    """Return the order of a column's labels that the table itself states.

    Parameters
    ----------
    frame
        The table; an order is stated by an ordered categorical column, or in ``attrs["order"]`` by column.
    name
        The column.

    Returns
    -------
    list of str or None
        The column's labels in order; None if no order of all labels is stated.

    Examples
    --------
    >>> order_of_column(pd.DataFrame({"time": pd.Categorical(["b", "a"], ["b", "a"], ordered=True)}), "time")
    ['b', 'a']
    """
    column = frame[name]
    if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.ordered:
        return [as_label(x) for x in column.cat.remove_unused_categories().cat.categories]
    labels = {as_label(x) for x in column.dropna()}
    order = [x for x in map(as_label, frame.attrs.get("order", {}).get(name, ())) if x in labels]
    return order if labels and set(order) == labels else None


def number_names(labels: np.ndarray) -> np.ndarray:
    """Write equal numbers alike, so that 2, 2.0 and 02 are one time, and midnights as dates; keep other labels.

    Parameters
    ----------
    labels
        Shape (rows,): text.

    Returns
    -------
    numpy.ndarray
        Shape (rows,): if every label is a number, each in its shortest exact form; if every one is midnight of a date,
        the date.

    Examples
    --------
    >>> number_names(np.array(["2.0", "20260112", "0.951"])).tolist()
    ['2', '20260112', '0.951']
    """
    text = [str(x).strip() for x in labels]
    if not all(map(_NUMBER.fullmatch, (x.lower() for x in text))):
        midnight = " 00:00:00"
        dates = all(re.fullmatch(rf"\d{{4}}-\d\d-\d\d{midnight}", x) for x in text)
        return np.array([x.removesuffix(midnight) for x in text], dtype=object) if dates else labels
    return np.array([np.format_float_positional(float(x), trim="-") for x in text], dtype=object)


def refuse_actual_times(labels: np.ndarray, person: np.ndarray, column: str, word: str, day: str = "") -> None:
    """Refuse a column of actual times, which differ between people, where planned times are needed.

    Parameters
    ----------
    labels
        The time of every row.
    person
        The person of every row.
    column
        The column's name.
    word
        The caller's word for the column of planned times, such as ``"visit"``.
    day
        The caller's word for the column of actual times, if it has one.

    Raises
    ------
    BadInput
        When there are more than three times, and more than twice as many as any person has.
    """
    each = pd.Series(labels).groupby(np.asarray(person)).nunique()
    count, most = len(set(labels)), int(each.max())
    if count > 3 and count > _MANY_PER_PERSON * most:
        raise BadInput(
            f"column '{column}' has {count} different values, but nobody has more than {most}, so these are actual "
            f"times, not planned ones; put the planned {word} of every row (1, 2, 4, ...) in a column of its own and "
            f"name that one as {word}" + (f", and name '{column}' as {day}" if day else "")
        )


def label_of_time(when: Any) -> str:
    """Return the label of a time that is given by its label or its number, as :func:`number_names` writes it.

    Examples
    --------
    >>> label_of_time(4.0), label_of_time("week 4")
    ('4', 'week 4')
    """
    return str(number_names(np.array([as_label(when)], dtype=object))[0])


def _in_stated_order(levels: list[str], order: list[str], place: str, setting: str) -> Times:
    for label in order:
        if label not in levels:
            raise BadInput(f"'{label}' is not in {place}; {did_you_mean(label, levels)}")
    twice = [x for x in order if order.count(x) > 1]
    if twice:
        raise BadInput(f"{place}: {setting} names '{twice[0]}' twice; name each time once")
    missing = [x for x in levels if x not in order]
    if missing:
        raise BadInput(f"{place}: {setting} leaves out {', '.join(map(repr, missing))}; name all times in it")
    read = _read(order)
    if read is None or (np.diff(read[0]) <= 0).any():
        return Times(tuple(order), None)
    values, unit, _, kind = read
    return Times(tuple(order), tuple(map(float, values)), unit, kind=kind)


_Read = tuple[np.ndarray, str, str, Literal["date", "time", "place"]]


def _read(levels: list[str]) -> _Read | None:
    """Read labels: values, their unit, a note, and the kind of labels; None if they are not times."""
    plain = [x.strip().replace("\N{MINUS SIGN}", "-").replace("\N{EN DASH}", "-").lower() for x in levels]
    for read in (_dates, _numbers, _lengths, _worded):
        reading = read(plain, levels)
        if reading is not None:
            return reading
    return None


def _dates(plain: list[str], _: list[str]) -> _Read | None:
    dates = []
    for text in plain:
        try:
            dates.append(datetime.fromisoformat(f"{text}-01" if _MONTH.fullmatch(text) else text))
        except ValueError:
            return None
    if not all(1800 <= x.year < 2200 for x in dates) or len({x.tzinfo is None for x in dates}) > 1:
        return None
    since = [(x - min(dates)).total_seconds() / 86400 for x in dates]
    return np.array(since), "day", "", "date"


def _numbers(plain: list[str], _: list[str]) -> _Read | None:
    return (np.array(list(map(float, plain))), "", "", "time") if all(map(_NUMBER.fullmatch, plain)) else None


def _lengths(plain: list[str], _: list[str]) -> _Read | None:
    """Lengths of time as pandas writes them: '7 days', '0 days 04:00:00'."""
    if not all(map(_LENGTH.fullmatch, plain)):
        return None
    return np.array([pd.Timedelta(x).total_seconds() / 86400 for x in plain]), "day", "", "time"


def _worded(plain: list[str], levels: list[str]) -> _Read | None:
    """Numbered labels with the same words, or with units that can be converted."""
    zero = [i for i, x in enumerate(plain) if _word(x) in _ZERO]
    bare = [i for i, x in enumerate(plain) if _NUMBER.fullmatch(x)]
    matches = {i: _WORDED.fullmatch(x) for i, x in enumerate(plain) if i not in zero and i not in bare}
    numbered = {i: m for i, m in matches.items() if m is not None}
    if len(numbered) < len(matches) or len(zero) > 1 or not (matches or bare):
        return None
    values = np.zeros(len(plain))
    values[bare] = [float(plain[i]) for i in bare]
    if matches and np.any(values[bare]):
        return None  # a number without a unit beside numbers with one; zero needs none
    signs = [m["sign"] for m in numbered.values()]
    spaced = any(m["before"][-1:].isspace() for m in numbered.values())
    joined = len(signs) > 1 and all(s == "-" for s in signs) and not spaced
    words = {i: _word(m["before"] + " " + m["after"]) for i, m in numbered.items()}
    for i, m in numbered.items():
        values[i] = float(m["number"]) * (-1 if m["sign"] == "-" and not joined else 1)
    units = {_UNITS.get(w) for w in words.values()}
    if None in units and len(set(words.values())) > 1:
        return None
    unit = next(iter(units), None) or ""
    if len(units) > 1:
        values = np.array([v * _DAYS[_UNITS[words[i]]] if i in words else v for i, v in enumerate(values)])
        unit = "day"
        for i, j in itertools.combinations(words, 2):
            apart = abs(values[i] - values[j])
            if _UNITS[words[i]] != _UNITS[words[j]] and apart < _NEAR * max(abs(values[i]), abs(values[j])):
                values[i] = values[j]  # the caller refuses two labels of the same time
    note = f"'{levels[zero[0]]}' is taken as time zero" if zero else ""
    return values, unit, note, "time" if unit else "place"


def _word(text: str) -> str:
    """The words of a label, without spaces and marks."""
    return re.sub(r"[\s_.:#()/+-]+", "", text)


def _refuse_same(labels: list[str], values: np.ndarray, place: str) -> None:
    for one, other, apart in zip(labels, labels[1:], np.diff(values), strict=False):
        if apart <= 0:
            raise BadInput(
                f"{place}: '{one}' and '{other}' may be one and the same time; write one label for one time, and the "
                "same unit in all labels"
            )
