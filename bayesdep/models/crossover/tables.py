"""What a paper prints of a crossover."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesdep.models.crossover.settings import CrossoverSettings
from bayesdep.models.parts.paper import Estimates, Facts, Grid, Layout


def tables(settings: CrossoverSettings, data: xr.Dataset) -> Mapping[str, Layout]:
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
    treatments = data["treatment"].values
    # shape (subject, period, day) -> patients seen by day and treatment
    seen = np.isfinite(data["outcome"].values)
    had = data["treatment_of"].values[:, :, None]
    counts = np.stack([(seen & (had == k)).sum(axis=(0, 1)) for k in range(len(treatments))], axis=1)
    n = xr.DataArray(counts, {"day": data["day"].values, "treatment": treatments}, ("day", "treatment"))
    return {
        "main": Grid(
            f"Differences within patients, less {settings.reference}, {settings.units}.",
            ("day",),
            (
                Facts("n", "Outcomes", n, over="treatment"),
                Estimates("difference", "Difference", over="comparison", probability=True),
                Estimates("standardised_difference", "Standardised difference", over="comparison"),
            ),
        ),
        "sample": Grid("Outcomes by day and treatment.", ("day",), (Facts("n", "Outcomes", n, over="treatment"),)),
    }
