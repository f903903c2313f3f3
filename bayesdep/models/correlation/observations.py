"""Each person's score, and the concentration given it."""

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.parts.observations import Normals, Observations
from bayesdep.models.parts.people import is_detected
from bayesdep.numerics.draws import stack_draws
from bayesdep.numerics.normal import log_normal
from bayesdep.numerics.roc import normal_nodes


def observations(posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
    """Give the distribution of every person's score, and of the log concentration given the score.

    Parameters
    ----------
    posterior
        Draws of the parameters.
    data
        The prepared data.

    Returns
    -------
    dict of Observations
        Of ``score`` and ``log_concentration``.
    """
    draws = stack_draws(posterior)
    names = ("rho", "marker_mean", "marker_sd", "score_mean", "score_sd")
    rho, marker_mean, marker_sd, score_mean, score_sd = (draws[name].values[:, None] for name in names)
    score, centre = data["score"].values, float(data["score_centre"])
    whole = np.zeros_like(score)
    score_mean, score_sd = centre + score_mean + whole, score_sd + whole
    mean = float(data["centre"].values[0]) + marker_mean + rho * marker_sd * (score - score_mean) / score_sd
    sd = marker_sd * np.sqrt((1 - rho) * (1 + rho)) + whole
    lower, upper = data["log_lower"].values[:, 0], data["log_upper"].values[:, 0]
    detected = is_detected(data)[:, 0]
    log_density = log_normal(np.where(detected, lower, 0.0), mean, sd)
    limits = ((x[~detected] - mean[:, ~detected]) / sd[:, ~detected] for x in (lower, upper))
    log_density[:, ~detected] = special.logsumexp(normal_nodes(*limits)[1], axis=-1)
    of_pair = log_normal(score, score_mean, score_sd) + log_density
    who = {"subject": data["subject"].values}
    return {
        "score": Observations(who, score, score, Normals(score_mean[None], score_sd[None]), of_pair),
        "log_concentration": Observations(who, lower, upper, Normals(mean[None], sd[None]), log_density),
    }
