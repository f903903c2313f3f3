"""What a correlation is asked for: the correlation and the line of the score on the concentration."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesdep.models.correlation.settings import CorrelationSettings
from bayesdep.models.model import OwnPrior, estimand
from bayesdep.models.parts.people import recorded


def estimands(posterior: xr.Dataset, *, units: str) -> xr.Dataset:
    """Derive the correlation and the line of the score on the concentration.

    Parameters
    ----------
    posterior
        Draws of the parameters.
    units
        Units of the score.

    Returns
    -------
    xarray.Dataset
        As :meth:`bayesdep.models.correlation.model.Correlation.estimands` returns it.
    """
    rho = posterior["rho"]
    slope = rho * posterior["score_sd"] / posterior["marker_sd"]
    per = f"{units} per"
    return xr.Dataset(
        {
            "correlation": estimand(rho, "correlation of log concentration and score", "correlation"),
            "slope": estimand(slope, "expected difference in score per log unit", f"{per} log unit"),
            "slope_per_doubling": estimand(
                slope * np.log(2),
                "expected difference in score per doubling of the concentration",
                f"{per} doubling",
            ),
            "variance_explained": estimand(
                rho**2, "share of the score's variance that goes with the log concentration", "proportion"
            ),
        }
    )


def pearson(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return Pearson's correlation with non-detects at their limit, and its standard error.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        Shapes (1,).
    """
    r = np.corrcoef(recorded(data)[:, 0], data["score"].values)[0, 1]
    return np.array([r]), np.array([(1 - r**2) / np.sqrt(max(data.sizes["subject"] - 1, 1))])


def own_prior(settings: CorrelationSettings, name: str, at: Mapping[str, str], data: xr.Dataset) -> OwnPrior | str:
    """Return the prior of an estimand that is a parameter with a prior of its own, or why there is none, as a clause.

    Parameters
    ----------
    settings
        The model's settings.
    name, at
        The estimand and its coordinates.
    data
        The prepared data.

    Returns
    -------
    OwnPrior or str
        Of the correlation.
    """
    del at, data
    if name == "correlation":
        return OwnPrior("rho", settings.priors["rho"])
    return "it is a function of several parameters; correlation has a prior of its own"
