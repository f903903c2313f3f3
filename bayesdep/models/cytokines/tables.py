"""What a paper prints of a panel: geometric means by group, their ratio, and the share below the limit."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesdep.models.cytokines.settings import CytokinesSettings
from bayesdep.models.parts.paper import Characteristic, Estimates, Facts, Grid, Layout, Sample, covariates_of


def tables(settings: CytokinesSettings, data: xr.Dataset) -> Mapping[str, Layout]:
    """Declare the tables.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    mapping of Layout
        By name.
    """
    units = sorted(set(map(str, data["unit"].values)))
    mean = f"Geometric mean, {units[0]}" if len(units) == 1 else "Geometric mean"
    of_analyte = () if len(units) == 1 else (Facts("unit", "Unit", data["unit"]),)
    against = f", against {settings.reference}" if settings.reference is not None else ""
    return {
        "main": Grid(
            f"Geometric means by analyte at baseline{against}.",
            ("analyte",),
            (
                *of_analyte,
                Facts("below", "Beyond the lower limit, %", below_limit(data), over="group"),
                Estimates("geometric_mean", mean, over="group"),
                Estimates("geometric_mean_ratio", "Ratio", over="comparison", probability=True),
            ),
        ),
        "changes": Grid(
            "Ratios to baseline.",
            ("analyte", "later"),
            (Estimates("ratio_to_baseline", "Ratio to baseline", over="group", probability=True),),
        ),
        "sample": _sample_of(data),
    }


def below_limit(data: xr.Dataset) -> xr.DataArray:
    """Return the share of measurements at baseline known only to lie below a limit, in percent.

    Parameters
    ----------
    data
        The prepared panel.

    Returns
    -------
    xarray.DataArray
        Dims (analyte, group); NaN where nothing was measured.
    """
    shape = data.sizes["analyte"], data.sizes["group"]
    first = data["time_of"].values == 0
    at = data["analyte_of"].values[first], data["group_of"].values[first]
    below, measured = np.zeros(shape), np.zeros(shape)
    np.add.at(measured, at, 1.0)
    np.add.at(below, at, (data["kind"].values[first] == 1).astype(float))  # KINDS: detected, left, ...
    with np.errstate(invalid="ignore"):
        share = 100 * below / measured
    return xr.DataArray(share, {d: data[d].values for d in ("analyte", "group")}, ("analyte", "group"))


def _sample_of(data: xr.Dataset) -> Sample:
    """People by group: covariates, and at which times and on which plates they were measured."""
    subject = data["subject_of"].values
    people, first = np.unique(subject, return_index=True)
    found = [*covariates_of(data.isel(measurement=first), "measurement")]
    for k, time in enumerate(data["time"].values):
        at_time = np.isin(people, subject[data["time_of"].values == k]).astype(float)
        found.append(Characteristic(f"Measured at {time}", at_time, "share"))
    groups = [str(group) for group in data["group"].values]
    title = "Characteristics of the sample by group."
    return Sample(title, groups, data["group_of"].values[first], tuple(found), people="People")
