"""Concentrations and outcomes drawn from the model."""

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.parts.people import within_limits
from bayesdep.models.parts.replicates import put


def replicate(data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """Draw concentrations and outcomes; a concentration beyond its limit is known only to lie there.

    Parameters
    ----------
    data, drawn, rng
        As :meth:`bayesdep.models.response.model.Response.replicate` takes them.

    Returns
    -------
    xarray.Dataset
        Everything else as in ``data``.
    """
    scale = data["log_sd"].values
    z = rng.standard_normal((data.sizes["subject"], len(scale)))
    x = drawn["marker_mean"].values + drawn["marker_sd"].values * z  # in standard deviations from the centre
    log_odds = drawn["intercept"].values + x @ drawn["slope"].values
    if data.sizes["covariate"]:
        log_odds = log_odds + data["covariates"].values @ drawn["covariate_slope"].values
    responds = rng.random(len(x)) < special.expit(log_odds)
    return put(data, outcome=responds, **within_limits(data, data["centre"].values + scale * x))
