"""Each outcome of a patient given the earlier ones, period by period and day by day."""

import numpy as np
import xarray as xr

from bayesdep.models.crossover.scores import covariance, expected
from bayesdep.models.crossover.settings import CrossoverSettings
from bayesdep.models.parts.observations import Observations, of_groups, of_steps
from bayesdep.numerics.draws import stack_draws
from bayesdep.numerics.one_step_ahead import OneStepAhead


def observations(settings: CrossoverSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
    """Predict every outcome from the patient's earlier ones.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of its parameters.
    data
        The prepared trial.

    Returns
    -------
    dict of Observations
        Of ``outcome_by_period``, patients in their order, each one's periods and days in theirs.
    """
    draws = stack_draws(posterior)
    n, periods, days = data["outcome"].shape
    outcome = data["outcome"].values.reshape(n, -1)
    mean = expected(settings, draws, data).reshape(-1, n, periods * days)
    matrix = covariance(draws, periods)
    seen = ~np.isnan(outcome)
    number = (np.cumsum(seen) - 1).reshape(seen.shape)
    groups = []
    patterns, which = np.unique(seen, axis=0, return_inverse=True)
    for k, pattern in enumerate(patterns):
        if not pattern.any():
            continue
        who = np.flatnonzero(which.ravel() == k)
        root = np.linalg.cholesky(matrix[:, pattern][:, :, pattern])
        steps = OneStepAhead.of(outcome[who][:, pattern], mean[:, who][:, :, pattern], root)
        groups.append(of_steps(number[who][:, pattern], steps))
    who, cell = np.nonzero(seen)
    period, day = np.unravel_index(cell, (periods, days))
    labels = {
        "subject": data["subject"].values[who], "period": data["period"].values[period], "day": data["day"].values[day]
    }  # fmt: skip
    value = outcome[who, cell]
    return {"outcome_by_period": of_groups(labels, value, value, groups)}
