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
    parts = [function(part) for part in chunks_of_draws(stack_draws(posterior), elements)]
    if isinstance(parts[0], xr.DataArray):
        return _joined([part for part in parts if isinstance(part, xr.DataArray)], posterior)
    variables = {name: _joined([part[name] for part in parts], posterior) for name in parts[0].data_vars}
    return xr.Dataset(variables, attrs=parts[0].attrs)


def _joined(parts: list[xr.DataArray], posterior: xr.Dataset) -> xr.DataArray:
    """Concatenate results along ``sample`` and give them the posterior's dims of draws back."""
    parts = [part.transpose("sample", ...) for part in parts]
    values = np.concatenate([part.values for part in parts])
    draws = [dim for dim in ("sample", "chain", "draw") if dim in posterior.dims]
    coords = {name: c for name, c in posterior.coords.items() if c.dims and set(c.dims) <= set(draws)}
    coords |= {dim: posterior[dim] for dim in draws if dim != "sample"}  # counted where they have no labels
    coords |= {name: c for name, c in parts[0].coords.items() if "sample" not in c.dims}
    shape = (*(posterior.sizes[dim] for dim in draws), *values.shape[1:])
    return xr.DataArray(values.reshape(shape), coords, (*draws, *parts[0].dims[1:]), parts[0].name, parts[0].attrs)
