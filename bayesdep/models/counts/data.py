"""A table of events by arm and subgroup becomes counts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.tables import (
    Column,
    as_frame,
    note,
    provenance,
    read_columns,
    refuse_duplicates,
    refuse_more_events_than_people,
    refuse_totals,
)
from bayesdep.models.counts.settings import CountsSettings
from bayesdep.models.parts.contrasts import refuse_without_correlation
from bayesdep.models.parts.settings import column_fields


def prepare(settings: CountsSettings, table: Any) -> xr.Dataset:
    """Turn a table with one row per subgroup and arm into counts.

    Parameters
    ----------
    settings
        The model's settings.
    table
        A dataframe.

    Returns
    -------
    xarray.Dataset
        As :meth:`bayesdep.models.counts.model.Counts.prepare` returns it.

    Raises
    ------
    BadInput
        Naming the column and row, or the missing cell.
    """
    frame = as_frame(table)
    meanings = column_fields(settings)
    contracts = {"arm": Column(settings.arm, "label", meanings["arm"])}
    if settings.subgroup is not None:
        contracts["subgroup"] = Column(settings.subgroup, "label", meanings["subgroup"])
    contracts |= {w: Column(getattr(settings, w), "count", meanings[w]) for w in ("events", "n")}
    read = read_columns(frame, contracts)
    subgroup = read.get("subgroup", np.full(len(frame), "all", dtype=object))
    key: dict[str, np.ndarray] = {word: read[word] for word in ("subgroup", "arm") if word in read}
    refuse_duplicates(key, contracts, "cell")
    _refuse_impossible_counts(frame, read, subgroup, contracts)
    arms, subgroups = list(dict.fromkeys(read["arm"])), list(dict.fromkeys(subgroup))
    _refuse_no_comparison(settings, arms, subgroups)
    arms.remove(settings.control)
    arms.insert(0, settings.control)
    rows = _rows_of_cells(subgroup, read["arm"], subgroups, arms)
    if settings.pooling != "none":
        both = np.hstack([read["events"][rows], read["n"][rows]])
        refuse_totals(np.array(subgroups), contracts["subgroup"], both)
    return xr.Dataset(
        {w: (("subgroup", "arm"), read[w][rows].astype("int64"), {"units": "people"}) for w in ("events", "n")},
        {"subgroup": [str(g) for g in subgroups], "arm": arms, "treatment": arms[1:]},
        provenance(frame),
    )


def _refuse_impossible_counts(
    frame: pd.DataFrame, read: Mapping[str, np.ndarray], subgroup: np.ndarray, contracts: Mapping[str, Column]
) -> None:
    """Refuse cells without people and cells with more events than people; note cells of one person."""
    n, column = read["n"], f"column '{contracts['n'].name}' ({contracts['n'].what})"
    names = np.array([f"{g}, {a}" for g, a in zip(subgroup, read["arm"], strict=True)])
    for row in np.flatnonzero(n == 0):  # leaving out the row alone would leave the subgroup with one arm
        leave = f"subgroup '{subgroup[row]}'" if "subgroup" in read else f"arm '{read['arm'][row]}'"
        raise BadInput(f"{column}: row {row + 1} ({names[row]}) is 0; leave {leave} out")
    for row in np.flatnonzero(n == 1):
        note(frame, f"{column}: row {row + 1} ({names[row]}) is a group of one person")
    refuse_more_events_than_people(read["events"], n, names, (contracts["events"], contracts["n"]))


def _refuse_no_comparison(settings: CountsSettings, arms: list[str], subgroups: list[str]) -> None:
    """Refuse a table without the control arm, with one arm, or with too few subgroups for what is asked."""
    if settings.control not in arms:
        raise BadInput(
            f"control = '{settings.control}' is no arm in column '{settings.arm}'; "
            f"{did_you_mean(settings.control, arms)}"
        )
    if len(arms) < 2:
        raise BadInput(f"column '{settings.arm}' has one arm, '{arms[0]}'; a comparison needs a second one")
    if settings.pooling == "none":
        return
    if len(subgroups) < 2:
        raise BadInput(
            f"column '{settings.subgroup}' has one subgroup, '{subgroups[0]}', so nothing can be pooled; "
            "use pooling = 'none'"
        )
    refuse_without_correlation(settings.priors["effect_mean"], "effect_mean", len(arms) - 1, f"{len(arms)} arms")


def _rows_of_cells(subgroup: np.ndarray, arm: np.ndarray, subgroups: list[str], arms: list[str]) -> np.ndarray:
    """Return the table's row of each cell, shape (subgroup, arm); refuse a table that lacks a cell."""
    row_of = {cell: row for row, cell in enumerate(zip(subgroup, arm, strict=True))}
    for g in subgroups:
        for a in arms:
            if (g, a) not in row_of:
                raise BadInput(f"subgroup '{g}' has no row for arm '{a}'; add it, or leave the subgroup out")
    return np.array([[row_of[g, a] for a in arms] for g in subgroups])
