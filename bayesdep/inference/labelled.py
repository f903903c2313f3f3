"""Labels of arrays of draws: the dims and coordinates of the model's variables."""

from collections.abc import Mapping

import numpy as np
import pymc as pm
import xarray as xr


def label_draws(
    arrays: Mapping[str, np.ndarray], model: pm.Model, sample_dims: tuple[str, ...] = ("chain", "draw")
) -> xr.Dataset:
    """Name the dims of arrays as a model does.

    Parameters
    ----------
    arrays
        Values by variable, with ``sample_dims`` first and then the variable's own dims.
    model
        A PyMC model.
    sample_dims
        The first dims, those of draws; their coordinates count from 0.

    Returns
    -------
    xarray.Dataset
        The same numbers, labelled.

    Examples
    --------
    >>> with pm.Model(coords={"arm": ["placebo", "drug"]}) as model:
    ...     mean = pm.Normal("mean", dims="arm")
    >>> label_draws({"mean": np.zeros((4, 100, 2))}, model)["mean"].dims
    ('chain', 'draw', 'arm')
    """
    labelled = {}
    for name, values in arrays.items():
        # the density of a vector (effects that sum to zero) has no last dim
        dims = (*sample_dims, *model.named_vars_to_dims.get(name, ()))[: values.ndim]
        coords = {
            d: np.arange(n) if d in sample_dims else np.asarray(model.coords[d])
            for d, n in zip(dims, values.shape, strict=True)
        }
        labelled[name] = xr.DataArray(values, coords, dims)
    return xr.Dataset(labelled)
