"""Outcomes of a trial drawn from the model."""

import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.models.parts.replicates import put
from bayesdep.models.trial.censored_moderator import is_latent


def replicate(data: xr.Dataset, drawn: xr.Dataset) -> xr.Dataset:
    """Put drawn outcomes in the place of the observed ones, missing where these are.

    Parameters
    ----------
    data, drawn
        As :meth:`bayesdep.models.trial.model.Trial.replicate` takes them.

    Returns
    -------
    xarray.Dataset
        Everything else as in ``data``.

    Raises
    ------
    BadInput
        Where the moderator has values beyond its limits.
    """
    if is_latent(data):
        raise BadInput(
            "the moderator has values beyond its limits, along which no outcomes are drawn; calibrate the same model "
            "without moderator_lod and the like"
        )
    return put(data, outcome=drawn["outcome_by_visit"].values)
