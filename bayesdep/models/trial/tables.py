"""What a paper prints of a trial: adjusted means by arm and visit with their difference, and the sample."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr

from bayesdep.models.model import estimand
from bayesdep.models.parts.paper import (
    Characteristic,
    Estimates,
    Facts,
    Grid,
    Layout,
    Sample,
    covariates_of,
    observed_at,
    people_seen,
)
from bayesdep.models.trial.means import everybody_in, expected
from bayesdep.models.trial.settings import TrialSettings
from bayesdep.numerics.draws import over_draws


def tables(settings: TrialSettings, data: xr.Dataset) -> Mapping[str, Layout]:
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
    less = f"Difference, less {settings.reference}"
    found: dict[str, Layout] = {
        "main": Grid(
            f"Adjusted means by arm and visit, {settings.units}.",
            ("visit",),
            (
                Facts("n", "Observed, n", _observed(data), over="arm"),
                Estimates("adjusted_mean", "Adjusted mean", over="arm"),
                Estimates("difference", less, over="comparison", probability=True),
                Estimates("standardised_difference", "Standardised difference", over="comparison"),
            ),
            ("Adjusted means are means over all patients, had everybody been in the arm.",),
            partial(adjusted_means, settings, data=data),
        ),
        "sample": _sample_of(settings, data),
        "subgroups": Grid(
            f"Difference between arms in subgroups, {settings.units}.",
            ("subgroup", "visit"),
            (Estimates("difference_in", less, over="comparison", probability=True),),
        ),
    }
    for what, words in (("response", "Response"), ("remission", "Remission")):
        found[what] = Grid(
            f"{words} by arm, %.",
            ("group",),
            (
                Estimates(f"{what}_rate", f"{words}, %", over="arm", percent=True),
                Estimates(
                    f"{what}_difference", "Difference, percentage points", over="comparison", probability=True,
                    percent=True,
                ),
                Estimates(f"{what}_nnt", "Number needed to treat", over="comparison"),
            ),
        )  # fmt: skip
    return found


def adjusted_means(settings: TrialSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Return the mean of every arm at every visit, over all patients, had everybody been in that arm.

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
    xarray.Dataset
        ``adjusted_mean`` (chain, draw, arm, visit); its differences between arms are the estimand ``difference``.
    """
    everybody = [everybody_in(k, data) for k in range(data.sizes["arm"])]
    coords = {"arm": data["arm"].values, "visit": data["visit"].values}

    def of_draws(draws: xr.Dataset) -> xr.DataArray:
        means = np.stack([expected(settings, draws, one).mean(axis=1) for one in everybody], axis=1)
        return xr.DataArray(means, coords, ("sample", "arm", "visit"))

    means = over_draws(posterior, of_draws, data["outcome"].size)
    return xr.Dataset({"adjusted_mean": estimand(means, "adjusted mean", settings.units, null=np.nan)})


def _observed(data: xr.Dataset) -> xr.DataArray:
    """How many patients were observed by visit and arm."""
    subject, visit = np.nonzero(np.isfinite(data["outcome"].values))
    return people_seen(data, visit, data["arm_of"].values[subject])


def _sample_of(settings: TrialSettings, data: xr.Dataset) -> Sample:
    """Baseline, moderator, covariates, and whose outcome is known at which visit."""
    found = []
    if "baseline" in data:
        mean = data["baseline"].attrs["mean"]
        found.append(Characteristic(f"{settings.baseline}, {settings.units}", data["baseline"].values + mean))
    if "moderator" in data:
        found.append(Characteristic(str(settings.moderator), data["moderator"].values, "skewed"))
    found += [*covariates_of(data, "subject"), *observed_at(data["visit"], data["outcome"])]
    arms = [str(arm) for arm in data["arm"].values]
    return Sample("Characteristics of the sample by arm.", arms, data["arm_of"].values, tuple(found))
