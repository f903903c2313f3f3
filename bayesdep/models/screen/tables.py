"""What a paper prints of a test's accuracy."""

from collections.abc import Mapping

import xarray as xr

from bayesdep.models.parts.paper import Facts, Grid, Layout, Listing
from bayesdep.models.screen.settings import ScreenSettings


def tables(settings: ScreenSettings, data: xr.Dataset) -> Mapping[str, Layout]:
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
    words = {
        "sensitivity": "Sensitivity",
        "specificity": "Specificity",
        "youden": "Youden index",
        "likelihood_ratio_positive": "Positive likelihood ratio",
        "likelihood_ratio_negative": "Negative likelihood ratio",
        "diagnostic_odds_ratio": "Diagnostic odds ratio",
    }
    return {
        "main": Listing(f"Accuracy of the test for {settings.condition}.", words),
        "sample": Grid(
            "Test results by condition.",
            ("group",),
            (Facts("n", "People", data["n"]), Facts("positives", "Positive", data["positives"])),
        ),
    }
