"""The groups of a fit's tree that follow from the draws of its sampled parameters."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from bayesdep.inference.evaluate import at_draws, from_prior, log_density, observed_values
from bayesdep.inference.labelled import label_draws
from bayesdep.inference.latent import join_latent, latent_names, scored_draws, split_latent, without_latent
from bayesdep.inference.precision import rounded_draws, rounded_replicates
from bayesdep.models.model import Model, ScoresUnits

PRIOR_DRAWS = 500
_VALUES = 500_000  # replicated values, beyond which fewer draws are replicated
_FEWEST = 200  # draws that are replicated however many values the data have
_SCORES = 30_000_000  # scores of units, beyond which those of fewer draws are kept: 240 MB
_FEWEST_SCORED = 1000  # draws whose scores are kept however many units there are


def make_groups(
    model: Model,
    data: xr.Dataset,
    full: pm.Model,
    core: pm.Model,
    sampled: Mapping[str, np.ndarray],
    seeds: Sequence[int],
    *,
    predict: bool,
) -> dict[str, xr.Dataset]:
    """Make every group of the tree that follows from the draws of the sampled parameters.

    Parameters
    ----------
    model, data
        The generative model and its prepared data.
    full, core
        Its PyMC model, and the part that is sampled.
    sampled
        Draws by parameter, shape (chain, draw, ...).
    seeds
        Four, the first of which is the sampler's.
    predict
        Whether to draw replicates and from the prior.

    Returns
    -------
    dict of xarray.Dataset
        By name.
    """
    whole = posterior_of(full, core, sampled, seeds[1], data)
    parameters, latent = split_latent(model, full, whole)
    groups = {"posterior": parameters}
    if latent is not None:
        functions = latent_names(model, whole) - set(latent)
        latent = groups["latent"] = complete_latent(full, parameters, latent, data, functions)
    del whole
    if predict:
        groups |= _predictions(data, core, sampled, seeds)
    if predict and latent is not None:
        groups["prior"] = without_latent(model, groups["prior"])
    own = {rv: rv for rv in core.free_RVs}
    priors = log_density(core.free_RVs, own, _flat(core, sampled), elements=elements_of(data))
    chains = next(iter(sampled.values())).shape[:2]
    sums = {rv.name: p.reshape(len(p), -1).sum(axis=1) for rv, p in zip(core.free_RVs, priors, strict=True)}
    groups["log_prior"] = label_draws({name: p.reshape(chains) for name, p in sums.items()}, full)
    del priors
    groups["log_likelihood"] = scores(model, data, core, parameters, latent)  # large: after what takes memory
    groups["observed_data"] = label_draws(observed_values(core), core, sample_dims=())
    groups["constant_data"] = data
    return groups


def posterior_of(
    full: pm.Model, core: pm.Model, sampled: Mapping[str, np.ndarray], seed: int, data: xr.Dataset
) -> xr.Dataset:
    """Draw the parameters that were not sampled, and compute the functions of all.

    Effects that were integrated out, and those of new studies, are drawn from their conditional distribution.

    Parameters
    ----------
    full, core
        The PyMC model, and the part that is sampled.
    sampled
        Draws by parameter, shape (chain, draw, ...).
    seed
        Of the parameters drawn here.
    data
        The prepared data.

    Returns
    -------
    xarray.Dataset
        The group ``posterior``.
    """
    others = [rv.name for rv in full.free_RVs if rv.name not in sampled]
    draws = dict(sampled)
    if others:
        shape = next(iter(sampled.values())).shape[:2]
        found = at_draws(
            [full[name] for name in others], _flat(core, sampled, full), seed=seed, elements=elements_of(data)
        )
        drawn = {name: x.reshape(*shape, *x.shape[1:]) for name, x in zip(others, found, strict=True)}
        draws |= rounded_draws(drawn, full)
    return complete_posterior(full, draws, data)


def complete_posterior(
    full: pm.Model, draws: Mapping[str, np.ndarray], data: xr.Dataset, names: Collection[str] | None = None
) -> xr.Dataset:
    """Compute the functions of parameters that a model names, and put all in the model's order.

    Parameters
    ----------
    full
        The PyMC model.
    draws
        By parameter, shape (chain, draw, ...); functions among them are kept as they are.
    data
        The prepared data.
    names
        Variables that are wanted; by default all.

    Returns
    -------
    xarray.Dataset
        The group ``posterior``, or what is wanted of it.
    """
    chains, number = next(iter(draws.values())).shape[:2]
    names = {v.name for v in full.unobserved_RVs} if names is None else set(names)
    wanted = [v.name for v in full.deterministics if v.name not in draws and v.name in names]
    given = {full[name]: x.reshape(-1, *x.shape[2:]) for name, x in draws.items()}
    found = at_draws([full[name] for name in wanted], given, elements=elements_of(data)) if wanted else []
    every = dict(draws) | {n: x.reshape(chains, number, *x.shape[1:]) for n, x in zip(wanted, found, strict=True)}
    return label_draws({v.name: every[v.name] for v in full.unobserved_RVs if v.name in names}, full)


def complete_latent(
    full: pm.Model, parameters: xr.Dataset, latent: xr.Dataset, data: xr.Dataset, functions: Collection[str]
) -> xr.Dataset:
    """Compute the functions of latent values, at the draws of which these are kept.

    Parameters
    ----------
    full
        The PyMC model.
    parameters, latent
        Every draw of parameters, and some of latent values.
    data
        The prepared data.
    functions
        Names of the functions.

    Returns
    -------
    xarray.Dataset
        The group ``latent``.
    """
    draws = {str(name): x.values for name, x in join_latent(parameters, latent).items()}
    found = complete_posterior(full, draws, data, {*map(str, latent), *functions})
    return found.assign_coords(draw=latent["draw"].values)


def scores(
    model: Model, data: xr.Dataset, core: pm.Model, posterior: xr.Dataset, latent: xr.Dataset | None
) -> xr.Dataset:
    """Compute the log density of what leave-one-out leaves out.

    Parameters
    ----------
    model, data
        The generative model and its prepared data.
    core
        The part of its PyMC model that is sampled.
    posterior, latent
        The groups of these names; the second is None where there is none.

    Returns
    -------
    xarray.Dataset
        The group ``log_likelihood``: of every draw, or, where these would be more than 30 million numbers, of every
        second, third and so on, of 1,000 at least; its coordinate ``draw`` says which. What is scored given latent
        values is scored at draws of which these are kept.
    """
    posterior = _scored_draws(model, data, core, scored_draws(model, posterior, latent))
    scored = model.log_likelihood(posterior, data) if isinstance(model, ScoresUnits) else None
    if scored is not None:
        return scored.to_dataset(name=f"by_{model.left_out}")
    sampled = {rv.name: posterior[rv.name].values for rv in core.free_RVs}
    chains = next(iter(sampled.values())).shape[:2]
    densities = log_density(core.observed_RVs, core.rvs_to_values, _flat(core, sampled), elements=elements_of(data))
    named = zip(core.observed_RVs, densities, strict=True)
    labelled = label_draws({rv.name: x.reshape(*chains, *x.shape[1:]) for rv, x in named}, core)
    return labelled.assign_coords(draw=posterior["draw"].values)


def _scored_draws(model: Model, data: xr.Dataset, core: pm.Model, posterior: xr.Dataset) -> xr.Dataset:
    """The draws at which units are scored."""
    units = data.sizes.get(model.left_out) or sum(x.size for x in observed_values(core).values())
    draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    return posterior.isel(draw=slice(None, None, max(1, math.ceil(draws / most_scored(units)))))


def most_scored(units: int) -> int:
    """Return at how many draws so many units are scored at most."""
    return max(_FEWEST_SCORED, _SCORES // max(1, units))


def most_replicated(values: int) -> int:
    """Return at how many draws data of so many values are replicated at most."""
    return max(_FEWEST, _VALUES // max(1, values))


def join_chains(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Put the chains of several versions of the data one after the other.

    Parameters
    ----------
    parts
        The same group of each version's fit.

    Returns
    -------
    xarray.Dataset
        Chains numbered from 0; labels and attributes are the first version's.
    """
    joined = xr.concat(parts, "chain", data_vars="all", combine_attrs="override", join="override")
    return joined.assign_coords(chain=range(joined.sizes["chain"]))


def _predictions(
    data: xr.Dataset, core: pm.Model, sampled: Mapping[str, np.ndarray], seeds: Sequence[int]
) -> dict[str, xr.Dataset]:
    """Replicates of the data from the posterior and from the prior, and the draws from the prior."""
    observed = [rv.name for rv in core.observed_RVs]
    parameters = [v.name for v in core.unobserved_RVs]
    chains, draws = next(iter(sampled.values())).shape[:2]
    most = most_replicated(sum(x.size for x in observed_values(core).values()))
    at = np.arange(0, draws, math.ceil(chains * draws / most))
    given = _flat(core, {name: x[:, at] for name, x in sampled.items()})
    found = at_draws([core[name] for name in observed], given, seed=seeds[3], elements=elements_of(data))
    replicates = {
        name: rounded_replicates(x.reshape(chains, len(at), *x.shape[1:]))
        for name, x in zip(observed, found, strict=True)
    }
    is_large = most < PRIOR_DRAWS  # then outcomes are drawn for some of the draws of parameters
    names = parameters if is_large else parameters + observed
    prior = dict(zip(names, from_prior([core[n] for n in names], PRIOR_DRAWS, seed=seeds[2]), strict=True))
    if is_large:
        given = {rv: prior[rv.name][:most] for rv in core.free_RVs}
        found = at_draws([core[name] for name in observed], given, seed=seeds[2], elements=elements_of(data))
        prior |= dict(zip(observed, found, strict=True))
    few = {name: rounded_replicates(prior[name][None, :most]) for name in observed}
    return {
        "posterior_predictive": label_draws(replicates, core).assign_coords(draw=at),
        "prior": label_draws(rounded_draws({name: prior[name][None] for name in parameters}, core), core),
        "prior_predictive": label_draws(few, core),
    }


def _flat(core: pm.Model, draws: Mapping[str, np.ndarray], of: pm.Model | None = None) -> dict[Any, np.ndarray]:
    """Draws of the sampled variables, chains one after the other, by variable of a model."""
    return {(of or core)[rv.name]: draws[rv.name].reshape(-1, *draws[rv.name].shape[2:]) for rv in core.free_RVs}


def elements_of(data: xr.Dataset) -> int:
    """Return the elements of the largest intermediate result per draw, for :func:`at_draws`.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    int
        The size of the data's largest array.
    """
    return max(data[v].size for v in data.data_vars)
