"""What a paper prints of counts of events."""

from collections.abc import Mapping

import xarray as xr

from bayesdep.models.counts.settings import CountsSettings
from bayesdep.models.parts.paper import Estimates, Facts, Grid, Layout, of_n


def tables(settings: CountsSettings, data: xr.Dataset) -> Mapping[str, Layout]:
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
    events, n = data["events"], data["n"]
    return {
        "main": Grid(
            f"Risks by arm, and differences to {settings.control}.",
            ("subgroup",),
            (
                Facts("events_of_n", "Events / people", of_n(events, n), over="arm"),
                Estimates("risk", "Risk", over="arm"),
                Estimates("risk_difference", "Risk difference", over="treatment", probability=True),
                Estimates("odds_ratio", "Odds ratio", over="treatment"),
                Estimates("nnt", "Number needed to treat", over="treatment"),
            ),
        ),
        "sample": Grid(
            "People and events by subgroup and arm.",
            ("subgroup",),
            (Facts("n", "People", n, over="arm"), Facts("events", "Events", events, over="arm")),
        ),
    }
