"""The log density of each person's concentrations and outcome, for leave-one-out."""

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.parts.people import is_detected, recorded
from bayesdep.models.response.estimands import in_logs, stacked
from bayesdep.numerics.normal import log_normal
from bayesdep.numerics.roc import mean_logistic, normal_nodes

_NODES_OF_ONE, _NODES_OF_SEVERAL = 61, 21


def log_likelihood(posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Return the log density of each person's concentrations and outcome, non-detects integrated out.

    Parameters
    ----------
    posterior
        Draws of the parameters; those of the latent values are not used.
    data
        The prepared data.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, subject).
    """
    slope, mean, sd = in_logs(posterior, data)
    intercept, centre = stacked(posterior, "intercept"), data["centre"].values
    logs, detected = recorded(data) - centre, is_detected(data)
    lower, upper = data["log_lower"].values - centre, data["log_upper"].values - centre
    sign = 2 * data["outcome"].values - 1
    scores = np.empty((len(intercept), data.sizes["subject"]))
    for i in range(data.sizes["subject"]):
        measured, hidden = detected[i], np.flatnonzero(~detected[i])
        log_density = log_normal(logs[i, measured], mean[:, measured], sd[:, measured]).sum(axis=1)
        log_odds = intercept + slope[:, measured] @ logs[i, measured]
        if data.sizes["covariate"]:
            log_odds = log_odds + stacked(posterior, "covariate_slope") @ data["covariates"].values[i]
        if len(hidden):
            limits = lower[i, hidden], upper[i, hidden]
            terms = slope[:, hidden], mean[:, hidden], sd[:, hidden]
            scores[:, i] = log_density + _outcome_and_non_detects(sign[i], log_odds, limits, *terms)
        else:
            scores[:, i] = log_density + special.log_expit(sign[i] * log_odds)
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], -1)
    coords = {"chain": posterior["chain"], "draw": posterior["draw"], "subject": data["subject"]}
    return xr.DataArray(scores.reshape(shape), coords, ("chain", "draw", "subject"))


def _outcome_and_non_detects(
    sign: int,
    log_odds: np.ndarray,
    limits: tuple[np.ndarray, np.ndarray],
    slope: np.ndarray,
    mean: np.ndarray,
    sd: np.ndarray,
) -> np.ndarray:
    """Log probability of a person's outcome and of non-detects within their limits, integrated over these.

    The outcome's sign is 1 where it happened and -1 where not; slope, mean and sd are the non-detects', shape
    (draws, non-detects).
    """
    one = len(limits[0]) == 1
    nodes = _NODES_OF_ONE if one else _NODES_OF_SEVERAL
    t, log_weight = normal_nodes((limits[0] - mean) / sd, (limits[1] - mean) / sd, nodes)
    effect = slope[..., None] * (mean[..., None] + sd[..., None] * t)
    if one:
        log_chance = special.log_expit(sign * (log_odds[:, None] + effect[:, 0]))
        return np.asarray(special.logsumexp(log_weight[:, 0] + log_chance, axis=-1))
    log_mass = special.logsumexp(log_weight, axis=-1)
    chance = mean_logistic(sign * log_odds, sign * effect, log_weight)
    return np.asarray(log_mass.sum(axis=1) + np.log(chance))
