"""The log probability of each person's test result, for leave-one-out."""

import numpy as np
import xarray as xr


def log_likelihood(posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Return the log probability of the test result that each subject had.

    Parameters
    ----------
    posterior
        Draws of ``sensitivity`` and ``specificity``.
    data
        The prepared data.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, subject); within a group, positives come first.
    """
    probability = [posterior["sensitivity"].values, 1 - posterior["specificity"].values]
    columns, labels = [], []
    for name, p, positives, n in zip(
        data["group"].values, probability, data["positives"].values, data["n"].values, strict=True
    ):
        columns += [np.log(p)] * positives + [np.log1p(-p)] * (n - positives)
        labels += [f"{name} / {i + 1}" for i in range(n)]
    coords = {"chain": posterior["chain"], "draw": posterior["draw"], "subject": labels}
    return xr.DataArray(np.stack(columns, axis=-1), coords=coords, dims=("chain", "draw", "subject"))
