"""A two-by-two table becomes counts: who tests positive, with and without the condition."""

from typing import Any

import xarray as xr

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.tables import (
    Column,
    as_frame,
    provenance,
    read_columns,
    refuse_duplicates,
    refuse_more_events_than_people,
)
from bayesdep.models.parts.settings import column_fields
from bayesdep.models.screen.settings import ScreenSettings


def prepare(settings: ScreenSettings, table: Any) -> xr.Dataset:
    """Turn a table with two rows, with and without the condition, into counts.

    Parameters
    ----------
    settings
        The model's settings.
    table
        A dataframe.

    Returns
    -------
    xarray.Dataset
        As :meth:`bayesdep.models.screen.model.Screen.prepare` returns it.

    Raises
    ------
    BadInput
        Naming the column and row.
    """
    frame = as_frame(table)
    meanings = column_fields(settings)
    contracts = {"group": Column(settings.group, "label", meanings["group"])}
    contracts |= {w: Column(getattr(settings, w), "count", meanings[w]) for w in ("positives", "n")}
    read = read_columns(frame, contracts)
    refuse_duplicates({"group": read["group"]}, contracts, "group")
    refuse_more_events_than_people(
        read["positives"], read["n"], read["group"], (contracts["positives"], contracts["n"])
    )
    if len(frame) != 2:
        raise BadInput(
            f"column '{settings.group}' has {len(frame)} groups; a two-by-two table has two rows, so keep two"
        )
    if settings.condition not in read["group"]:
        raise BadInput(
            f"condition = '{settings.condition}' is no group in column '{settings.group}'; "
            f"{did_you_mean(settings.condition, read['group'])}"
        )
    order = [0, 1] if read["group"][0] == settings.condition else [1, 0]
    return xr.Dataset(
        {w: ("group", read[w][order].astype("int64"), {"units": "people"}) for w in ("positives", "n")},
        {"group": [str(g) for g in read["group"][order]]},
        provenance(frame),
    )
