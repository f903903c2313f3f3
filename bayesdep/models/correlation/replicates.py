"""Pairs of concentration and score drawn from the model."""

import numpy as np
import xarray as xr

from bayesdep.models.parts.people import within_limits
from bayesdep.models.parts.replicates import put


def replicate(data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """Draw pairs; a concentration beyond its limit is known only to lie there.

    Parameters
    ----------
    data, drawn, rng
        As :meth:`bayesdep.models.correlation.model.Correlation.replicate` takes them.

    Returns
    -------
    xarray.Dataset
        Everything else as in ``data``.
    """
    z, other = rng.standard_normal((2, data.sizes["subject"]))
    rho, mean, sd = (drawn[name].values for name in ("rho", "score_mean", "score_sd"))
    logs = float(data["centre"].values[0]) + drawn["marker_mean"].values + drawn["marker_sd"].values * z
    score = float(data["score_centre"]) + mean + sd * (rho * z + np.sqrt((1 - rho) * (1 + rho)) * other)
    return put(data, score=score, **within_limits(data, logs[:, None]))
