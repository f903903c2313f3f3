"""Panels drawn from the model."""

import numpy as np
import xarray as xr

from bayesdep.models.cytokines.settings import CytokinesSettings
from bayesdep.models.parts.replicates import put, recorded_as


def replicate(settings: CytokinesSettings, data: xr.Dataset, drawn: xr.Dataset) -> xr.Dataset:
    """Put drawn log concentrations in the place of the measured ones, detected ones first, as a panel has them.

    Parameters
    ----------
    settings
        The model's settings.
    data, drawn
        As :meth:`bayesdep.models.cytokines.model.Cytokines.replicate` takes them.

    Returns
    -------
    xarray.Dataset
        Everything else as in ``data``.
    """
    has_limits = settings.substitute is None
    limits = (data["lod"].values, data["uloq"].values) if has_limits else (-np.inf, np.inf)
    kind, lower, upper = recorded_as(drawn["log_concentration"].values, *limits)
    made = put(data, lower=lower, upper=upper, kind=kind)
    return made.isel(measurement=np.argsort(kind > 0, kind="stable"))
