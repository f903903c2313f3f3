"""Panels drawn from the model."""

import numpy as np
import xarray as xr

from bayesdep.models.cytokines.settings import CytokinesSettings


def replicate(settings: CytokinesSettings, data: xr.Dataset, drawn: xr.Dataset) -> xr.Dataset:
    """Put drawn log concentrations in the place of the measured ones, detected ones first, as a panel has them.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.
    drawn
        One draw of every variable of the model's graph.

    Returns
    -------
    xarray.Dataset
        Everything else as in ``data``.
    """
    logs, lod, uloq = drawn["log_concentration"].values, data["lod"].values, data["uloq"].values
    kind = np.zeros(len(logs), dtype=data["kind"].dtype)
    if settings.substitute is None:
        kind = np.where(logs < lod, 1, np.where(logs > uloq, 2, 0)).astype(kind.dtype)
    lower = np.where(kind == 1, -np.inf, np.where(kind == 2, uloq, logs))
    upper = np.where(kind == 2, np.inf, np.where(kind == 1, lod, logs))
    put = {name: data[name].copy(data=x) for name, x in (("lower", lower), ("upper", upper), ("kind", kind))}
    return data.assign(put).isel(measurement=np.argsort(kind > 0, kind="stable"))
