"""What a paper prints of a meta-analysis with publication bias."""

from collections.abc import Mapping

import xarray as xr

from bayesdep.models.parts.paper import Estimates, Facts, Grid, Layout, Listing
from bayesdep.models.small_studies.settings import SmallStudiesSettings


def tables(settings: SmallStudiesSettings, data: xr.Dataset) -> Mapping[str, Layout]:  # noqa: ARG001  (as of all)
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
    asked = {
        "mu": "Pooled effect",
        "ratio": "Pooled ratio",
        "theta_new": "Effect in a new study",
        "ratio_new": "Ratio in a new study",
        "tau": "Standard deviation between studies",
        "bias": "Small-study bias",
        "weight": "Relative probability of publication",
        "inclusion_probability": "Posterior probability of inclusion",
        "inclusion_bayes_factor": "Bayes factor of inclusion",
    }
    unit = str(data["effect"].dims[0])
    return {
        "main": Listing("Pooled effect.", asked, unsigned=("tau",)),
        "studies": Grid(
            "Studies: published effects and effects in the model.",
            (unit,),
            (
                Facts("effect", "Effect", data["effect"], decimals=2),
                Facts("se", "SE", data["se"], decimals=2),
                Estimates("theta", "In the model"),
            ),
        ),
    }
