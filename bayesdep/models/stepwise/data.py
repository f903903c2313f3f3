"""A table of steps becomes counts: who entered each step, and who remitted there."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import (
    Column,
    as_frame,
    note,
    provenance,
    read_columns,
    refuse_duplicates,
    refuse_more_events_than_people,
)
from bayesdep.data.times import number_names, order_of_column, order_of_times
from bayesdep.models.parts.settings import column_fields
from bayesdep.models.stepwise.settings import StepwiseSettings

WIDEST = 200  # counts that an interval may hold


def prepare(settings: StepwiseSettings, table: Any) -> xr.Dataset:
    """Turn a table with one row per step, or per step and arm, into counts.

    Parameters
    ----------
    settings
        The model's settings.
    table
        A dataframe.

    Returns
    -------
    xarray.Dataset
        ``entered``, ``remitted`` and ``remitted_at_most`` by ``cell`` (a step, or an arm of one), steps in order, and
        ``step_of`` and ``first_of`` (the step's first cell); dim ``step``, and ``contrast`` with pairs of cells.

    Raises
    ------
    BadInput
        Naming column, row and remedy.
    """
    frame = as_frame(table)
    meanings = column_fields(settings)
    contracts = {"step": Column(settings.step, "label", meanings["step"])}
    if settings.arm is not None:
        contracts["arm"] = Column(settings.arm, "label", meanings["arm"])
    counts = ["entered", "remitted", *(["remitted_at_most"] if settings.remitted_at_most is not None else [])]
    contracts |= {w: Column(str(getattr(settings, w)), "count", meanings[w]) for w in counts}
    read = read_columns(frame, contracts)
    read["step"] = number_names(read["step"])
    steps = _steps(settings, frame, read["step"])
    refuse_duplicates({w: read[w] for w in ("step", "arm") if w in read}, contracts, "step")
    names = np.array(
        [f"{s}: {a}" for s, a in zip(read["step"], read["arm"], strict=True)] if "arm" in read else read["step"]
    )
    refuse_more_events_than_people(
        read["remitted"], read["entered"], names, (contracts["remitted"], contracts["entered"])
    )
    most = read.get("remitted_at_most", read["remitted"])
    if "remitted_at_most" in read:
        _refuse_intervals(read, names, contracts)
    order = np.argsort([steps.index(s) for s in read["step"]], kind="stable")
    step_of = np.array([steps.index(s) for s in read["step"]])[order]
    entered, fewest = (read[w][order].astype("int64") for w in ("entered", "remitted"))
    _follow_people(settings, frame, steps, step_of, entered, fewest)
    first = np.array([np.flatnonzero(step_of == s)[0] for s in step_of])
    return xr.Dataset(
        {
            "entered": ("cell", entered, {"units": "people"}),
            "remitted": ("cell", fewest, {"units": "people"}),
            "remitted_at_most": ("cell", most[order].astype("int64"), {"units": "people"}),
            "step_of": ("cell", step_of),
            "first_of": ("cell", first),
        },
        {
            "cell": names[order].astype(str),
            "step": np.array(steps, dtype=str),
            **_contrasts(settings, read, order, step_of),
        },
        provenance(frame),
    )


def _steps(settings: StepwiseSettings, frame: pd.DataFrame, labels: np.ndarray) -> list[str]:
    """The steps in order."""
    place = f"column '{settings.step}' ({column_fields(settings)['step']})"
    stated = (
        [str(x) for x in number_names(np.array(settings.step_order, dtype=object))] if settings.step_order else None
    )
    levels = list(dict.fromkeys(labels))
    example = f"[{', '.join(map(repr, levels[:6]))}{', ...' if len(levels) > 6 else ''}]"
    times = order_of_times(
        labels, order=stated or order_of_column(frame, settings.step), place=place, setting="step_order",
        remedy=f"state it, first step first, as step_order = {example}",
    )  # fmt: skip
    return list(times.labels)


def _refuse_intervals(read: dict[str, np.ndarray], names: np.ndarray, contracts: dict[str, Column]) -> None:
    """Refuse intervals of counts that are empty, too wide, or beyond those who entered."""
    most, column = read["remitted_at_most"], contracts["remitted_at_most"]
    for row, name in enumerate(names):
        where = f"column '{column.name}' ({column.what}): row {row + 1} ({name})"
        if most[row] < read["remitted"][row]:
            raise BadInput(
                f"{where} is {most[row]:.0f}, below the {read['remitted'][row]:.0f} who remitted; correct one"
            )
        if most[row] > read["entered"][row]:
            raise BadInput(f"{where} is {most[row]:.0f} of {read['entered'][row]:.0f} who entered; correct one of them")
        if most[row] - read["remitted"][row] > WIDEST:
            raise BadInput(
                f"{where} leaves more than {WIDEST} counts possible, which is hardly a count; leave the step out"
            )


def _follow_people(
    settings: StepwiseSettings,
    frame: pd.DataFrame,
    steps: list[str],
    step_of: np.ndarray,
    entered: np.ndarray,
    remitted: np.ndarray,
) -> None:
    """Refuse a step that more people entered than were left; note how many left before it."""
    by_step, gone = (np.bincount(step_of, weights=x, minlength=len(steps)) for x in (entered, remitted))
    if settings.arm is not None:
        return  # a table of arms need not have all arms of a step
    for k in range(1, len(steps)):
        left = by_step[k - 1] - gone[k - 1]
        if by_step[k] > left:
            raise BadInput(
                f"column '{settings.entered}': {by_step[k]:.0f} entered step '{steps[k]}', but {left:.0f} were left of "
                f"step '{steps[k - 1]}' ({by_step[k - 1]:.0f} less {gone[k - 1]:.0f} in remission); correct one of "
                "these, or fit such steps one by one"
            )
        note(
            frame,
            f"{left - by_step[k]:.0f} of {left:.0f} without remission at step '{steps[k - 1]}' did not enter step "
            f"'{steps[k]}'",
        )


def _contrasts(
    settings: StepwiseSettings, read: dict[str, np.ndarray], order: np.ndarray, step_of: np.ndarray
) -> dict[str, Any]:
    """Pairs of cells that are compared: arms with a step's first arm, or a step with the one before."""
    if settings.arm is None:
        names = [str(read["step"][i]) for i in order]
        pairs = [(k, k - 1) for k in range(1, len(names))]
        labels = [f"{names[i]} less {names[j]}" for i, j in pairs]
    else:
        arm, step = read["arm"][order], read["step"][order]
        first = [int(np.flatnonzero(step_of == s)[0]) for s in step_of]
        pairs = [(k, first[k]) for k in range(len(arm)) if first[k] != k]
        labels = [f"{step[i]}: {arm[i]} less {arm[j]}" for i, j in pairs]
    ones, others = np.array(pairs, dtype=int).reshape(-1, 2).T
    return {
        "contrast": np.array(labels, dtype=str),
        "cell_of": ("contrast", ones),
        "other_of": ("contrast", others),
    }
