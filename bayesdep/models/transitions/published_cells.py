"""Published transitions: counts or shares of people by state before and after, some of the states not told apart."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import Column, note, read_columns
from bayesdep.models.parts.settings import column_fields
from bayesdep.models.transitions.settings import EVERYBODY, TransitionsSettings

_OFF = 0.02  # by which shares may miss 1: rounding to whole per cents


@dataclass(frozen=True)
class Cells:
    """People who had one state before, in one arm, over one interval; and where they were after.

    Parameters
    ----------
    names
        One per cell.
    before, arm, interval
        The state before, the arm and the time between, by cell.
    people
        How many, shape (cells,).
    counts
        People by state after, shape (cells, states); those of states that were not told apart at the first of them.
    group
        The first of the states that a state is not told apart from, shape (cells, states).
    present
        States that the table names.
    """

    names: list[str]
    before: list[int]
    arm: list[str]
    interval: list[float]
    people: np.ndarray
    counts: np.ndarray
    group: np.ndarray
    present: set[int]


def read_cells(settings: TransitionsSettings, frame: pd.DataFrame) -> Cells:
    """Read rows of a state before and a state after, or several that were not told apart, as ``"a | b"``.

    Parameters
    ----------
    settings
        The model's settings.
    frame
        One row a state before, state after, arm and interval: ``n`` people, or, for shares, a share of the ``n`` people
        who had that state before.

    Returns
    -------
    Cells
        Shares are turned into whole people, as near to them as whole numbers that add up can be, which is noted.

    Raises
    ------
    BadInput
        Naming the row, or the state before.
    """
    read = _read(settings, frame)
    before = [settings.place_of(label, settings.before, row) for row, label in enumerate(read["before"])]
    after = [_places(settings, label, row) for row, label in enumerate(read["after"])]
    rows: dict[tuple[str, int, float], list[int]] = {}
    for row, place in enumerate(before):
        if settings.states[place] in settings.absorbing:
            raise BadInput(
                f"column '{settings.before}', row {row + 1}: '{settings.states[place]}' is absorbing, so what follows "
                "is known; leave that row out, or leave the state out of absorbing"
            )
        arm = str(read["arm"][row]) if "arm" in read else EVERYBODY
        length = float(read["interval"][row]) if "interval" in read else 1.0
        rows.setdefault((arm, place, length), []).append(row)
    return _collect(settings, frame, rows, after, read)


def _read(settings: TransitionsSettings, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Read the columns."""
    meanings = column_fields(settings)
    contracts = {word: Column(getattr(settings, word), "label", meanings[word], "free") for word in ("before", "after")}
    if settings.reference is not None:
        contracts["arm"] = Column(settings.arm, "label", meanings["arm"])
    contracts["n"] = Column(settings.n, "count", meanings["n"])
    if settings.input == "shares":
        contracts["share"] = Column(settings.share, "number", meanings["share"])
    if settings.interval is not None:
        contracts["interval"] = Column(settings.interval, "positive", meanings["interval"])
    return read_columns(frame, contracts)


def _places(settings: TransitionsSettings, label: str, row: int) -> tuple[int, ...]:
    """The places of a state, or of several that were not told apart."""
    return tuple(sorted({settings.place_of(one.strip(), settings.after, row) for one in label.split("|")}))


def _collect(
    settings: TransitionsSettings,
    frame: pd.DataFrame,
    rows: dict[tuple[str, int, float], list[int]],
    after: list[tuple[int, ...]],
    read: dict[str, np.ndarray],
) -> Cells:
    """Collect the rows of each state before, arm and interval."""
    states = len(settings.states)
    names, people, counts, groups = [], [], [], []
    for (arm, place, length), own in rows.items():
        parts = [settings.states[place], *([arm] if settings.reference is not None else []), f"{length:g}"]
        name = ", ".join(parts if settings.interval is not None else parts[:-1])
        _refuse_overlap(settings, name, [after[row] for row in own])
        n = _people_of(settings, frame, read, own, name)
        if not n.sum():
            raise BadInput(f"column '{settings.n}' (people): nobody is in the rows of '{name}'; leave these rows out")
        group, count = np.arange(states), np.zeros(states, dtype=int)
        for row, number in zip(own, n, strict=True):
            group[list(after[row])] = after[row][0]
            count[after[row][0]] = number
        names.append(name)
        people.append(int(n.sum()))
        counts.append(count)
        groups.append(group)
    present = {place for _, place, _ in rows} | {place for places in after for place in places}
    arms, places, lengths = (list(x) for x in zip(*rows, strict=True))
    return Cells(names, places, arms, lengths, np.array(people), np.array(counts), np.array(groups), present)


def _refuse_overlap(settings: TransitionsSettings, name: str, places: list[tuple[int, ...]]) -> None:
    """Refuse a state after that two rows of one state before have."""
    every = [place for row in places for place in row]
    for place in every:
        if every.count(place) > 1:
            raise BadInput(
                f"column '{settings.after}': '{settings.states[place]}' stands in two rows of '{name}'; add the two "
                "up, or name the column of the time between as interval if that differs"
            )


def _people_of(
    settings: TransitionsSettings, frame: pd.DataFrame, read: dict[str, np.ndarray], rows: list[int], name: str
) -> np.ndarray:
    """People of each row of a state before: as counted, or from shares."""
    n = read["n"][rows]
    if settings.input == "counts":
        return np.asarray(n.astype(int))
    if len(set(n)) > 1:
        raise BadInput(
            f"column '{settings.n}' (people): the rows of '{name}' have {n[0]:g} and {n[n != n[0]][0]:g}, but shares "
            "are of the same people; write their number in each of the rows"
        )
    share = read["share"][rows]
    total = share.sum()
    if (share < 0).any() or abs(total / (100.0 if total > 2 else 1.0) - 1) > _OFF:
        raise BadInput(
            f"column '{settings.share}': the shares of '{name}' add up to {total:g} where 1 (or 100) is needed; add "
            "the missing state, or one row for several states that were not told apart, as 'a | b'"
        )
    exact = n[0] * share / total
    counts = np.floor(exact).astype(int)
    missing = round(n[0]) - counts.sum()
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1  # those with the largest remainders
    listed = ", ".join(map(str, counts))
    note(frame, f"'{name}': {listed} of {n[0]:g} people are the whole numbers nearest to the shares")
    return np.asarray(counts)
