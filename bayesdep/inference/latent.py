"""Latent values, one for each number beyond a limit or missing: of many, fewer draws are kept than of parameters.

They are predictions of what was not seen. No estimand reads them, so they do not need the draws that estimands need.
"""

import math
from collections.abc import Collection

import pymc as pm
import xarray as xr
from pytensor.graph.traversal import ancestors

from bayesdep.models.model import HasLatentValues, Model, ScoresUnits

_NUMBERS = 500_000  # latent values of all draws, beyond which fewer draws are kept
_FEWEST = 1000  # draws that are kept however many values there are


def split_latent(model: Model, full: pm.Model, posterior: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset | None]:
    """Split draws into those of parameters and, where they are many, some of those of latent values.

    Parameters
    ----------
    model
        The generative model.
    full
        Its PyMC model.
    posterior
        Draws of every variable, dims (chain, draw, ...).

    Returns
    -------
    parameters : xarray.Dataset
        Every draw, without latent values if these are the second.
    latent : xarray.Dataset or None
        Every second draw, every third and so on, of 1,000 draws at least, without what is a function of other
        variables; its coordinate ``draw`` says which. None where all draws are at most half a million latent values.
    """
    names = latent_names(model, posterior)
    sampled = {rv.name for rv in full.free_RVs} & names
    numbers = sum(math.prod(posterior[name].shape[2:]) for name in sampled)
    draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    step = math.ceil(draws / most_latent(numbers))
    if step == 1:
        return posterior, None
    latent = posterior[[name for name in posterior if name in sampled]].isel(draw=slice(None, None, step))
    return without_latent(model, posterior), latent


def most_latent(values: int) -> int:
    """Return of how many draws so many latent values are kept at most."""
    return max(_FEWEST, _NUMBERS // max(1, values))


def latent_names(model: Model, draws: xr.Dataset) -> set[str]:
    """Return the names of the latent values among draws, and of their functions with one number for each."""
    dims = set(_dims(model))
    return {str(name) for name, x in draws.data_vars.items() if dims & set(map(str, x.dims))}


def without_latent(model: Model, draws: xr.Dataset) -> xr.Dataset:
    """Return draws without latent values, their functions and their labels."""
    return draws.drop_vars(latent_names(model, draws)).drop_dims(_dims(model), errors="ignore")


def is_latent(model: Model, full: pm.Model, name: str) -> bool:
    """Whether a variable of a PyMC model is latent values, or a function with one number for each."""
    return bool(set(_dims(model)) & set(full.named_vars_to_dims.get(name) or ()))


def functions_without(full: pm.Model, latent: Collection[str]) -> list[str]:
    """Return the functions of parameters that do not depend on some variables.

    Parameters
    ----------
    full
        A PyMC model.
    latent
        Names of these variables.

    Returns
    -------
    list of str
        In the model's order.
    """
    variables = {full[name] for name in latent}
    return [str(v.name) for v in full.deterministics if v not in variables and not variables & set(ancestors([v]))]


def join_latent(parameters: xr.Dataset, latent: xr.Dataset | None) -> xr.Dataset:
    """Put draws of parameters and of latent values together.

    Parameters
    ----------
    parameters
        Every draw.
    latent
        Some, or None where the first dataset has all variables.

    Returns
    -------
    xarray.Dataset
        The draws of which there are both.
    """
    if latent is None:
        return parameters
    return parameters.sel(draw=latent["draw"].values).assign(latent.data_vars)


def scored_draws(model: Model, parameters: xr.Dataset, latent: xr.Dataset | None) -> xr.Dataset:
    """Return draws at which units and observations are scored: all of parameters, unless scores need latent values.

    Parameters
    ----------
    model
        The generative model.
    parameters, latent
        As :func:`split_latent` returns them.

    Returns
    -------
    xarray.Dataset
        Where latent values are needed, the draws of which there are both.
    """
    needs_none = isinstance(model, HasLatentValues) and isinstance(model, ScoresUnits) and not model.scores_latent
    return parameters if needs_none else join_latent(parameters, latent)


def _dims(model: Model) -> tuple[str, ...]:
    return model.hidden_dims if isinstance(model, HasLatentValues) else ()
