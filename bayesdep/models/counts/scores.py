"""The log probability of each person's outcome, for leave-one-out."""

import numpy as np
import xarray as xr


def log_likelihood(posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Return the log probability of the outcome that each subject had.

    Parameters
    ----------
    posterior
        Draws of ``risk``.
    data
        The prepared data.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, subject); subjects with the event come first within each cell.
    """
    risk = posterior["risk"]
    columns, labels = [], []
    for g in data["subgroup"].values:
        for a in data["arm"].values:
            p = risk.sel(subgroup=g, arm=a).values
            events, n = (int(data[w].sel(subgroup=g, arm=a)) for w in ("events", "n"))
            columns += [np.log(p)] * events + [np.log1p(-p)] * (n - events)
            labels += [f"{g} / {a} / {i + 1}" for i in range(n)]
    coords = {"chain": posterior["chain"], "draw": posterior["draw"], "subject": labels}
    return xr.DataArray(np.stack(columns, axis=-1), coords=coords, dims=("chain", "draw", "subject"))
