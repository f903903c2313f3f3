"""Functions of many posterior draws, some at a time, so that no array grows with the number of draws."""

from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr

from bayesdep.numerics.types import Draws

NUMBERS_AT_ONCE = 4_000_000  # numbers in an array: 32 MB


def stack_draws(posterior: xr.Dataset) -> xr.Dataset:
    """Return a posterior with the draws of all chains in one dim, ``sample``, the first of every variable.

    Parameters
    ----------
    posterior
        Draws, with dims ``chain`` and ``draw``, or with ``sample`` already.

    Returns
    -------
    xarray.Dataset
        With dim ``sample``: the first chain's draws, then the second's, and so on.

    Examples
    --------
    >>> posterior = xr.Dataset({"mu": (("chain", "draw"), [[1, 2], [3, 4]])})
    >>> stack_draws(posterior)["mu"].values
    array([1, 2, 3, 4])
    """
    if "sample" not in posterior.dims:
        posterior = posterior.stack(sample=("chain", "draw"), create_index=False)
    return posterior.transpose("sample", ...)


def slices_of_draws(count: int, elements: int) -> Iterator[slice]:
    """Cut a number of draws into parts, in their order.

    Parameters
    ----------
    count
        How many draws there are.
    elements
        Numbers per draw in the largest array that is computed from a part.

    Yields
    ------
    slice
        As many draws as keep that array at ``NUMBERS_AT_ONCE`` numbers or fewer, and at least one.

    Examples
    --------
    >>> list(slices_of_draws(500, elements=10_000))
    [slice(0, 400, None), slice(400, 500, None)]
    """
    step = max(1, NUMBERS_AT_ONCE // max(1, elements))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def chunks_of_draws(stacked: xr.Dataset, elements: int) -> Iterator[xr.Dataset]:
    """Cut stacked draws into parts, in their order.

    Parameters
    ----------
    stacked
        Draws with dim ``sample``.
    elements
        Numbers per draw in the largest array that is computed from a part.

    Yields
    ------
    xarray.Dataset
        The draws of each part (:func:`slices_of_draws`).
    """
    for rows in slices_of_draws(stacked.sizes["sample"], elements):
        yield stacked.isel(sample=rows)


def draws_of(posterior: xr.Dataset, name: str, *dims: str) -> Draws:
    """Return draws of a variable as an array, the draws first.

    Parameters
    ----------
    posterior
        Draws with dim ``sample``.
    name
        The variable.
    *dims
        Its other dims, in the order wanted.

    Returns
    -------
    numpy.ndarray
        Shape (samples, *dims).

    Examples
    --------
    >>> posterior = xr.Dataset({"effect": (("arm", "sample"), [[1, 2, 3], [4, 5, 6]])})
    >>> draws_of(posterior, "effect", "arm").shape
    (3, 2)
    """
    return np.asarray(posterior[name].transpose("sample", *dims).values)


def over_draws[Result: (xr.DataArray, xr.Dataset)](
    posterior: xr.Dataset, function: Callable[[xr.Dataset], Result], elements: int
) -> Result:
    """Compute something of every draw, a part of the draws at a time.

    Parameters
    ----------
    posterior
        Draws, with dims ``chain`` and ``draw``, or with ``sample`` instead (see :func:`stack_draws`).
    function
        Takes draws with dim ``sample``, first in every variable, and returns a result with that dim. The parts come in
        the order of the draws.
    elements
        Numbers per draw in the largest array that ``function`` makes. Where it makes several as large, their sum.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        What the function returned, with dims ``chain`` and ``draw`` first, or ``sample`` where the posterior had that;
        coordinates without ``sample`` and attributes are those of the first part.

    Examples
    --------
    >>> posterior = xr.Dataset({"mu": (("chain", "draw"), [[0.0, 1.0], [2.0, 3.0]])})
    >>> over_draws(posterior, lambda part: part["mu"] ** 2, elements=1).values
    array([[0., 1.],
           [4., 9.]])
    """
    stacked = stack_draws(posterior)
    parts = chunks_of_draws(stacked, elements)
    first = function(next(parts))
    results = {None: first} if isinstance(first, xr.DataArray) else dict(first.data_vars)
    count, done = stacked.sizes["sample"], first.sizes["sample"]
    whole = {name: _room_for(part, count) for name, part in results.items()}  # filled part by part: no second copy
    for part in map(function, parts):
        rows = slice(done, done + part.sizes["sample"])
        for name, values in whole.items():
            found = part if isinstance(part, xr.DataArray) else part[name]
            values[rows] = found.transpose("sample", ...).values
        done = rows.stop
    if isinstance(first, xr.DataArray):
        return _labelled(whole[None], first, posterior)
    variables = {name: _labelled(values, first[name], posterior) for name, values in whole.items()}
    return xr.Dataset(variables, attrs=first.attrs)


def _room_for(part: xr.DataArray, count: int) -> Draws:
    """An array for the results of all draws, with those of the first in it."""
    values = part.transpose("sample", ...).values
    if len(values) == count:
        return np.asarray(values)
    whole = np.empty((count, *values.shape[1:]), values.dtype)
    whole[: len(values)] = values
    return whole


def _labelled(values: Draws, first: xr.DataArray, posterior: xr.Dataset) -> xr.DataArray:
    """Give results the posterior's dims of draws back, and the rest of their labels."""
    first = first.transpose("sample", ...)
    draws = [dim for dim in ("sample", "chain", "draw") if dim in posterior.dims]
    coords = {name: c for name, c in posterior.coords.items() if c.dims and set(c.dims) <= set(draws)}
    coords |= {dim: posterior[dim] for dim in draws if dim != "sample"}  # counted where they have no labels
    coords |= {name: c for name, c in first.coords.items() if "sample" not in c.dims}
    shape = (*(posterior.sizes[dim] for dim in draws), *values.shape[1:])
    return xr.DataArray(values.reshape(shape), coords, (*draws, *first.dims[1:]), first.name, first.attrs)
