"""What a paper prints of remission step by step."""

from collections.abc import Mapping

import xarray as xr

from bayesdep.models.parts.paper import Estimates, Facts, Grid, Layout
from bayesdep.models.stepwise.settings import StepwiseSettings


def tables(settings: StepwiseSettings, data: xr.Dataset) -> Mapping[str, Layout]:  # noqa: ARG001  (all models take them)
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
    entered, remitted = data["entered"], data["remitted"]
    return {
        "main": Grid(
            "Remission by step.",
            ("cell",),
            (
                Facts("entered", "Entered", entered),
                Facts("remitted", "Remitted", remitted),
                Estimates("remission", "Remission once entered, %", percent=True),
            ),
        ),
        "cumulative": Grid(
            "Remission up to each step.",
            ("step",),
            (
                Estimates("remission_if_nobody_leaves", "If nobody left, %", percent=True),
                Estimates("remission_of_all", "Of all who entered the first step, %", percent=True),
            ),
            (
                "If nobody left: those who left between steps are taken to be like those who stayed. Of all: those "
                "who left count as not remitted.",
            ),
        ),
        "sample": Grid(
            "People by step.",
            ("cell",),
            (Facts("entered", "Entered", entered), Facts("remitted", "Remitted", remitted)),
        ),
    }
