"""What a paper prints of ordered categories."""

from collections.abc import Mapping

import xarray as xr

from bayesdep.models.ordinal.settings import OrdinalSettings
from bayesdep.models.parts.paper import Estimates, Facts, Grid, Layout, people_seen

_POINTS = "Difference, percentage points"


def tables(settings: OrdinalSettings, data: xr.Dataset) -> Mapping[str, Layout]:  # noqa: ARG001  (all models take them)
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
    n = _people(data)
    return {
        "main": Grid(
            "Probability of a category or better by arm and visit, %.",
            ("visit", "up_to"),
            (
                Estimates("at_or_better", "Probability, %", over="arm", percent=True),
                Estimates("difference", _POINTS, over="comparison", probability=True, percent=True),
                Estimates("number_needed_to_treat", "Number needed to treat", over="comparison"),
            ),
        ),
        "categories": Grid(
            "Probability of every category by arm and visit, %.",
            ("visit", "category"),
            (Estimates("probability", "Probability, %", over="arm", percent=True),),
        ),
        "odds": Grid(
            "Odds ratios.",
            ("visit",),
            (Estimates("odds_ratio", "Odds ratio", over="comparison", probability=True),),
            ("Odds ratios are of any worse category: above 1 is worse.",),
        ),
        "moderator": Grid(
            "Difference by value of the moderator at the last visit, percentage points.",
            ("moderator_value", "up_to"),
            (Estimates("difference_at", "Difference", over="comparison", probability=True, percent=True),),
        ),
        "sample": Grid("People observed by arm and visit.", ("visit",), (Facts("n", "People", n, over="arm"),)),
    }


def _people(data: xr.Dataset) -> xr.DataArray:
    """How many were observed by visit and arm."""
    people = data["counts"].sum("category").values if "counts" in data else 1.0
    return people_seen(data, data["visit_of"].values, data["arm_of"].values[data["unit_of"].values], people)
