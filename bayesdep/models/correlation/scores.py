"""The log density of each person's pair, for leave-one-out."""

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.parts.people import is_detected
from bayesdep.numerics.normal import log_normal
from bayesdep.numerics.roc import normal_nodes


def log_likelihood(posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Return the log density of each subject's pair, or of the score and the probability of the non-detect.

    Parameters
    ----------
    posterior
        Draws of the parameters.
    data
        The prepared data.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, subject).
    """
    names = ("rho", "marker_mean", "marker_sd", "score_mean", "score_sd")
    rho, marker_mean, marker_sd, score_mean, score_sd = (posterior[name].values[..., None] for name in names)
    score = data["score"].values - float(data["score_centre"])
    distance = (score - score_mean) / score_sd
    mean = float(data["centre"].values[0]) + marker_mean + rho * marker_sd * distance
    sd = (marker_sd * np.sqrt((1 - rho) * (1 + rho)))[..., 0]
    lower, upper = data["log_lower"].values[:, 0], data["log_upper"].values[:, 0]
    detected = is_detected(data)[:, 0]
    log_density = log_normal(score, score_mean, score_sd)
    for i in range(data.sizes["subject"]):
        if detected[i]:
            log_density[..., i] += log_normal(lower[i], mean[..., i], sd)
        else:
            _, log_weight = normal_nodes((lower[i] - mean[..., i]) / sd, (upper[i] - mean[..., i]) / sd)
            log_density[..., i] += special.logsumexp(log_weight, axis=-1)
    coords = {"chain": posterior["chain"], "draw": posterior["draw"], "subject": data["subject"]}
    return xr.DataArray(log_density, coords, ("chain", "draw", "subject"))
