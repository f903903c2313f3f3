"""What a paper prints of a scale item by item."""

from collections.abc import Mapping

import xarray as xr

from bayesdep.models.items.settings import ItemsSettings
from bayesdep.models.parts.paper import Estimates, Facts, Grid, Layout, people_seen


def tables(settings: ItemsSettings, data: xr.Dataset) -> Mapping[str, Layout]:
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
    along = f"value of {settings.moderator}, points"
    return {
        "main": Grid(
            "Items at the last visit by arm, points.",
            ("item",),
            (
                Estimates("item_score", "Mean", over="arm", interval=False),
                Estimates("item_difference", "Difference", over="comparison", probability=True),
                Estimates("departure_odds_ratio", "Odds ratio beyond severity", over="comparison"),
            ),
            ("Odds ratios are of a worse score: above 1 is worse.",),
        ),
        "sum": Grid(
            "Sum of all items by arm and visit, points.",
            ("visit",),
            (
                Estimates("sum_score", "Mean", over="arm"),
                Estimates("sum_difference", "Difference", over="comparison", probability=True),
            ),
        ),
        "moderator": Grid(
            f"Difference in items at the last visit by {along}.",
            ("comparison", "item"),
            (Estimates("item_difference_at", "Difference", over="moderator_value"),),
        ),
        "discrimination": Grid(
            "Discrimination of the items, over that of the typical one.",
            ("item",),
            (Estimates("discrimination", "Discrimination"),),
        ),
        "sample": Grid(
            "Patients observed by arm and visit.", ("visit",), (Facts("n", "Patients", _seen(data), over="arm"),)
        ),
    }


def _seen(data: xr.Dataset) -> xr.DataArray:
    """How many patients were observed by visit and arm."""
    return people_seen(data, data["visit_of"].values, data["arm_of"].values[data["subject_of"].values])
