"""Each person's concentrations, one analyte after another, and the outcome given them."""

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.parts.observations import Categories, Normals, Observations
from bayesdep.models.parts.people import is_detected
from bayesdep.models.response.estimands import in_logs
from bayesdep.models.response.scores import log_likelihood
from bayesdep.numerics.normal import log_normal
from bayesdep.numerics.roc import normal_nodes


def observations(posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
    """Give the distribution of every concentration, and of every outcome given the person's concentrations.

    Parameters
    ----------
    posterior
        Draws of the parameters.
    data
        The prepared data.

    Returns
    -------
    dict of Observations
        Of ``log_concentration``, which are independent given the parameters, and of ``outcome``, which comes after
        them; non-detects are integrated out.
    """
    with_outcome = [_scores(posterior, data.assign(outcome=data["outcome"] * 0 + y)) for y in (0, 1)]
    of_concentrations = np.logaddexp(*with_outcome)
    happened = data["outcome"].values
    seen = np.where(happened == 1, with_outcome[1], with_outcome[0])
    who = data["subject"].values
    outcome = Observations(
        {"subject": who}, happened, happened,
        Categories.of_two(np.exp(with_outcome[1] - of_concentrations)), seen - of_concentrations,
    )  # fmt: skip
    _, mean, sd = in_logs(posterior, data)
    centre, analytes = data["centre"].values, data["analyte"].values
    lower, upper = data["log_lower"].values, data["log_upper"].values
    location, scale = (np.broadcast_to(x[:, None], (len(x), *lower.shape)) for x in (mean + centre, sd))
    detected = is_detected(data)
    density = log_normal(np.where(detected, lower, 0.0), location, scale)
    hidden = ~detected
    limits = ((x[hidden] - location[:, hidden]) / scale[:, hidden] for x in (lower, upper))
    density[:, hidden] = special.logsumexp(normal_nodes(*limits)[1], axis=-1)
    before = np.cumsum(density, axis=-1) - density
    flat = (len(location), -1)
    labels = {"subject": np.repeat(who, len(analytes)), "analyte": np.tile(analytes, len(who))}
    law = Normals(location.reshape(flat)[None], scale.reshape(flat)[None])
    score = (seen[:, :, None] - before).reshape(flat)
    return {"log_concentration": Observations(labels, lower.ravel(), upper.ravel(), law, score), "outcome": outcome}


def _scores(posterior: xr.Dataset, data: xr.Dataset) -> np.ndarray:
    """The log density of each person's concentrations and outcome, shape (samples, subjects)."""
    return log_likelihood(posterior, data).values.reshape(-1, data.sizes["subject"])
