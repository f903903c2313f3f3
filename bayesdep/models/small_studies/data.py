"""A table becomes published effects with standard errors."""

from typing import Any

import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.models.meta import data as meta_data
from bayesdep.models.small_studies.settings import SmallStudiesSettings


def prepare(settings: SmallStudiesSettings, table: Any) -> xr.Dataset:
    """Turn a table with one row per study into effects; :meth:`SmallStudies.prepare` says of what form.

    Parameters
    ----------
    settings
        The settings.
    table
        A dataframe with the columns that ``input`` needs.

    Returns
    -------
    xarray.Dataset
        The prepared data.

    Raises
    ------
    BadInput
        Naming the column and row.
    """
    data = meta_data.prepare(settings.meta_settings, table)
    if "covariance" in data:
        raise BadInput(
            f"column '{settings.control_group}': rows share a control group, and which of them is published is then "
            "not independent; put the arms of such a study together into one row, or use family = 'meta'"
        )
    return data.assign_coords(step=[f"P > {p:g}" for p in settings.steps], component=settings.averaged_components)
