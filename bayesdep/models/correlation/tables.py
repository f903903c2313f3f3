"""What a paper prints of a correlation."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesdep.models.correlation.settings import CorrelationSettings
from bayesdep.models.parts.paper import Characteristic, Layout, Listing, Sample
from bayesdep.models.parts.people import concentrations_of


def tables(settings: CorrelationSettings, data: xr.Dataset) -> Mapping[str, Layout]:
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
    return {
        "main": Listing(
            f"Correlation of {settings.score} with {data['analyte'].values[0]}.",
            {
                "correlation": "Correlation with the log concentration",
                "slope_per_doubling": f"Difference in {settings.score} per doubling",
                "variance_explained": "Share of variance",
            },
            unsigned=("variance_explained",),
        ),
        "sample": Sample(
            "Characteristics of the sample.",
            ["People"],
            np.zeros(data.sizes["subject"], int),
            (
                Characteristic(f"{settings.score}, {settings.units}", data["score"].values),
                *concentrations_of(data),
            ),
            people="People",
        ),
    }
