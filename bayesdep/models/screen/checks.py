"""The predictive checks of a screen: with one free probability per group, only the counts themselves."""

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
        Share of positives in either group.
    """
    n = data["n"].values
    return [
        Check(f"share positive: {name}", "positives", lambda y, i=i: y[..., i] / n[i], "probability")  # type: ignore[misc]  # a default argument binds i
        for i, name in enumerate(data["group"].values)
    ]
