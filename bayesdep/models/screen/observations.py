"""Each person's test result."""

import numpy as np
import xarray as xr

from bayesdep.models.parts.observations import Observations, of_people
from bayesdep.numerics.draws import stack_draws


def observations(posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
    """Give the distribution of every person's test result.

    Parameters
    ----------
    posterior
        Draws of ``sensitivity`` and ``specificity``.
    data
        The prepared data.

    Returns
    -------
    dict of Observations
        Of ``positive``, 1 or 0; within a group, positives come first.
    """
    draws = stack_draws(posterior)
    probability = np.stack([draws["sensitivity"].values, 1 - draws["specificity"].values], axis=-1)
    labels = {"group": data["group"].values}
    return {"positive": of_people(probability, data["positives"].values, data["n"].values, labels)}
