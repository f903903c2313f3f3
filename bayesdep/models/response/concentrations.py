"""Concentrations inside the model: observed where detected, latent where known only to lie beyond a limit."""

import numpy as np
import xarray as xr

from bayesdep.models.parts.people import is_detected, recorded
from bayesdep.numerics.types import Tensor


def labels_of_non_detects(data: xr.Dataset) -> np.ndarray:
    """Return "subject / analyte" of each value that was not detected."""
    subject, analyte = np.nonzero(~is_detected(data))
    return np.char.add(np.char.add(data["subject"].values[subject], " / "), data["analyte"].values[analyte])


def log_concentrations(data: xr.Dataset, mean: Tensor, sd: Tensor) -> Tensor:
    """Return log concentrations, normal between people, inside a PyMC model context.

    Parameters
    ----------
    data
        The prepared data.
    mean, sd
        Of each analyte's logs, shape (analyte,).

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (subject, analyte). The observed variable is ``log_concentration``, which is scored where detected; other
        values are the parameters ``beyond`` (non_detect).
    """
    import pymc as pm
    import pytensor.tensor as pt

    from bayesdep.models.parts.censored_variables import INSIDE, DetectedNormal, NormalInside

    dims, detected = ("subject", "analyte"), is_detected(data)
    at_limits = pm.Data("recorded", recorded(data), dims=dims)
    is_scored = pm.Data("is_detected", detected.astype(float), dims=dims)
    logs = at_limits
    if not detected.all():
        subject, analyte = np.nonzero(~detected)
        of = pm.Data("analyte_of", analyte, dims="non_detect")
        limits = [
            pm.Data(f"beyond_{end}", data[f"log_{end}"].values[subject, analyte], dims="non_detect")
            for end in ("lower", "upper")
        ]
        beyond = NormalInside("beyond", mean[of], sd[of], *limits, default_transform=INSIDE, dims="non_detect")
        place = np.zeros(detected.shape, dtype="int64")
        place[subject, analyte] = np.arange(len(subject))
        latent = beyond[pm.Data("place", place.ravel())].reshape(at_limits.shape)
        logs = pt.switch(is_scored > 0, at_limits, latent)
    DetectedNormal("log_concentration", mean, sd, is_scored, observed=at_limits, dims=dims)
    return logs
