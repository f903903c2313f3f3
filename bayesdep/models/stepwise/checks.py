"""The predictive checks of stepwise remission: with one free probability a step, only the shares themselves."""

from collections.abc import Sequence

import xarray as xr

from bayesdep.models.model import Check


def checks(data: xr.Dataset) -> Sequence[Check]:
    """Name the test quantities.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    list of Check
        The share in remission at every step, or in every arm of one.
    """
    n = data["entered"].values
    return [
        Check(f"share in remission: {name}", "remitted_count", lambda y, i=i: y[..., i] / n[i], "probability")  # type: ignore[misc]  # a default argument binds i
        for i, name in enumerate(data["cell"].values)
    ]
