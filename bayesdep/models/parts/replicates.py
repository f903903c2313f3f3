"""Values drawn from a model, in the place of those that were observed."""

import numpy as np
import xarray as xr


def put(data: xr.Dataset, **drawn: np.ndarray) -> xr.Dataset:
    """Put drawn values in the place of the observed ones, missing where these are.

    Parameters
    ----------
    data
        Prepared data.
    **drawn
        By variable of the data, of its shape.

    Returns
    -------
    xarray.Dataset
        Everything else as in ``data``.

    Examples
    --------
    >>> data = xr.Dataset({"outcome": ("subject", [1.0, np.nan]), "arm_of": ("subject", [0, 1])})
    >>> put(data, outcome=np.array([3.0, 4.0]))["outcome"].values
    array([ 3., nan])
    """

    def one(observed: xr.DataArray, values: np.ndarray) -> xr.DataArray:
        here = np.where(np.isnan(observed.values), np.nan, values)
        return observed.copy(data=here.astype(observed.dtype))

    return data.assign({name: one(data[name], values) for name, values in drawn.items()})


def recorded_as(
    values: np.ndarray, lower_limit: np.ndarray | float, upper_limit: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what is known of values that an assay reports within its limits alone.

    Parameters
    ----------
    values
        As they are, of any shape.
    lower_limit, upper_limit
        Of detection and of quantification, of a shape that fits.

    Returns
    -------
    tuple of numpy.ndarray
        The kind (0 within the limits, 1 below, 2 above), and the ends of the interval in which the value is known to
        lie: the value twice where it lies within the limits.

    Examples
    --------
    >>> recorded_as(np.array([-1.0, 0.5, 3.0]), 0.0, 2.0)
    (array([1, 0, 2]), array([-inf,  0.5,  2. ]), array([0. , 0.5, inf]))
    """
    below, above = values < lower_limit, values > upper_limit
    lower = np.where(below, -np.inf, np.where(above, upper_limit, values))
    upper = np.where(above, np.inf, np.where(below, lower_limit, values))
    return np.where(below, 1, np.where(above, 2, 0)), lower, upper
