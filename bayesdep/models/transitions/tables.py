"""What a paper prints of moves between states."""

from collections.abc import Mapping

import xarray as xr

from bayesdep.models.parts.paper import Estimates, Facts, Grid, Layout
from bayesdep.models.transitions.settings import TransitionsSettings


def tables(settings: TransitionsSettings, data: xr.Dataset) -> Mapping[str, Layout]:
    """Declare the tables.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    mapping of Layout
        By name.
    """
    people = data["start"].sum("profile").rename({"after": "state"})
    return {
        "main": Grid(
            "Share at least one state better than at the start, by arm and time, %.",
            ("time",),
            (
                Estimates("improved", "Improved, %", over="arm", percent=True),
                Estimates(
                    "improved_difference",
                    "Difference, percentage points",
                    over="comparison",
                    probability=True,
                    percent=True,
                ),
                Estimates("improved_nnt", "Number needed to treat", over="comparison"),
                Estimates("worsened", "Worsened, %", over="arm", percent=True),
            ),
        ),
        "transitions": Grid(
            f"Probability of the state one step after ({float(data['step']):g} {data['step'].attrs['units']}), %.",
            ("arm", "before"),
            (Estimates("transition", "State after, %", over="after", percent=True),),
        ),
        "occupancy": Grid(
            "Share in each state by arm and time, %.",
            ("time", "state"),
            (
                Estimates("occupancy", "Share, %", over="arm", percent=True),
                Estimates(
                    "occupancy_difference",
                    "Difference, percentage points",
                    over="comparison",
                    probability=True,
                    percent=True,
                ),
            ),
        ),
        "time": Grid(
            f"Expected time in each state, {settings.time_units}.",
            ("state",),
            (Estimates("time_in", "Time", over="arm"),),
        ),
        "sample": Grid(
            "Share of the sample that starts in each state, %.",
            ("state",),
            (Facts("start", "Start, %", 100 * people / people.sum(), decimals=1),),
        ),
    }
