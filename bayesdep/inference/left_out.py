"""Parts of a fit that its file leaves out, since they are large and follow from the rest, computed when it is read."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr
from pymc.model.transform.conditioning import prune_vars_detached_from_observed

from bayesdep.data.errors import BadInput
from bayesdep.inference.groups import complete_latent, complete_posterior, join_chains, scores
from bayesdep.inference.latent import functions_without
from bayesdep.models.model import Imputes, Model
from bayesdep.models.register import settings_of

LARGE = 4_000_000  # bytes of a group; smaller ones are stored
_CLOSE = 1e-6  # relative; machines differ in the last digits
_GROUPS = ("posterior", "latent", "estimands", "log_likelihood")
_computed: set[bytes] = set()  # digests of groups that this process computed from these draws, model and data


def remember(model: Model, data: xr.Dataset, groups: Mapping[str, xr.Dataset]) -> None:
    """Remember that groups were computed from their draws, so that saving them need not compute them again.

    Parameters
    ----------
    model, data
        The generative model and its prepared data.
    groups
        The groups of a fit, as they were just made.
    """
    if any(groups[name].nbytes > LARGE for name in _GROUPS if name in groups):
        _computed.add(_digest(model, data, groups))


def _digest(model: Model, data: xr.Dataset, groups: Mapping[str, xr.Dataset]) -> bytes:
    """A hash of all that says whether groups follow from their draws: changed numbers, labels or settings change it."""
    said = hashlib.sha256(repr((model.family, settings_of(model))).encode())
    for group in (data, *(groups[name] for name in _GROUPS if name in groups)):
        said.update(repr((sorted(group.attrs.items(), key=str), sorted(map(str, group.variables)))).encode())
        for x in (group.variables[name] for name in sorted(group.variables, key=str)):
            values = np.ascontiguousarray(x.values)
            said.update(repr((x.dims, values.shape, values.dtype.str, sorted(x.attrs.items(), key=str))).encode())
            said.update(repr(values.tolist()).encode() if values.dtype.kind in "OUST" else values.view(np.uint8).data)
    return said.digest()


def leave_out(
    model: Model, data: xr.Dataset, tree: xr.DataTree, manifest: Mapping[str, Any]
) -> tuple[xr.DataTree, dict[str, dict[str, float]]]:
    """Take large groups that can be computed again out of a tree.

    Parameters
    ----------
    model, data
        The generative model and its prepared data.
    tree
        The fit's groups.
    manifest
        The fit's.

    Returns
    -------
    xarray.DataTree
        The tree without them.
    dict
        What was taken out: by group and variable, the mean of its numbers.
    """
    found = {name: tree[name].to_dataset() for name in _GROUPS if name in tree}
    large = {name: group for name, group in found.items() if group.nbytes > LARGE}
    if manifest["sampler"] == "exact":
        large.pop("posterior", None)  # functions in exact draws need not be those of the parameters
    versions = _versions_of(model, data, manifest) if large else []
    if not versions:
        return tree, {}
    is_as_made = _digest(model, data, found) in _computed
    posterior, latent = found["posterior"], found.get("latent")
    functions = _functions(model.build(versions[0]), posterior, latent)
    fresh = {
        "posterior": lambda: _posterior_of(model, versions, posterior, set(functions["posterior"])),
        "latent": lambda: _latent_of(model, versions, posterior, found["latent"], set(functions["latent"])),
        "estimands": lambda: _of_each(versions, (posterior,), model.estimands),
        "log_likelihood": lambda: _of_each(versions, (posterior, latent), partial(_scores_of, model)),
    }
    kept, means = tree.copy(), {}
    for name, group in large.items():
        # a fit that was changed after sampling keeps what is no longer computed
        if not is_as_made and not fresh[name]().identical(group):
            continue
        names = functions.get(name, list(map(str, group.data_vars)))
        means[name] = {one: _mean(group[one]) for one in names if one in group}
        kept[name] = xr.DataTree(group.drop_vars(names))
    return kept, means


def fill_in(model: Model, data: xr.Dataset, tree: xr.DataTree, manifest: Mapping[str, Any], described: str) -> None:
    """Compute what a file left out, and put it into the tree.

    Parameters
    ----------
    model, data
        The generative model and its prepared data.
    tree
        The groups as they were read.
    manifest
        The fit's.
    described
        The second result of :func:`leave_out`, as JSON.

    Raises
    ------
    BadInput
        In a clause, when the result is not what the file says it was.
    """
    means = _read(described)
    versions = _versions_of(model, data, manifest)
    if not versions:
        raise BadInput("it leaves out what does not follow from the table in it")
    posterior = tree["posterior"].to_dataset()
    latent = tree["latent"].to_dataset() if "latent" in tree else None
    if "posterior" in means:
        posterior = _posterior_of(model, versions, posterior, set(means["posterior"]))
        tree["posterior"] = xr.DataTree(posterior)
    if "latent" in means:
        if latent is None:
            raise BadInput("it leaves out functions of latent values, which it does not have")
        latent = _latent_of(model, versions, posterior, latent, set(means["latent"]))
        tree["latent"] = xr.DataTree(latent)
    if "estimands" in means:
        tree["estimands"] = xr.DataTree(_of_each(versions, (posterior,), model.estimands))
    if "log_likelihood" in means:
        tree["log_likelihood"] = xr.DataTree(_of_each(versions, (posterior, latent), partial(_scores_of, model)))
    for group, of_group in means.items():
        arrays = tree[group].to_dataset()
        for name, mean in of_group.items():
            now = _mean(arrays[name]) if name in arrays else np.nan
            if not np.isclose(now, mean, rtol=_CLOSE, atol=_CLOSE, equal_nan=True):
                raise BadInput(f"its '{group}/{name}' is computed otherwise by this version; run its plan again")


def _read(described: str) -> dict[str, dict[str, float]]:
    try:
        found = {
            str(group): {str(name): float(mean) for name, mean in of_group.items()}
            for group, of_group in json.loads(described).items()
        }
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise BadInput("what it left out cannot be read") from None
    if unknown := set(found) - set(_GROUPS):
        raise BadInput(f"it leaves out '{min(unknown)}', which cannot be computed")
    return found


def _functions(built: pm.Model, posterior: xr.Dataset, latent: xr.Dataset | None) -> dict[str, list[str]]:
    """Names of what follows from the rest of a group; of parameters nothing that needs latent values of every draw."""
    functions = [str(v.name) for v in built.deterministics]
    if latent is None:
        return {"posterior": functions}
    return {
        "posterior": [name for name in functions_without(built, list(map(str, latent))) if name in posterior],
        "latent": [name for name in functions if name in latent],
    }


def _versions_of(model: Model, data: xr.Dataset, manifest: Mapping[str, Any]) -> Sequence[xr.Dataset]:
    """The versions of the data that a fit is of, if they follow from what its file has: of many tables, the first."""
    tables = manifest.get("tables", 1)
    versions = model.imputations_of(data) if isinstance(model, Imputes) and model.imputes else [data]
    return versions if len(versions) == tables else []


def _of_each(
    versions: Sequence[xr.Dataset], groups: Sequence[xr.Dataset | None], compute: Callable[..., xr.Dataset]
) -> xr.Dataset:
    """Compute something of the draws of each version and its data, and put the chains together as a fit does."""
    if len(versions) == 1:
        return compute(*groups, versions[0])
    assert groups[0] is not None  # the posterior
    chains = np.split(np.arange(groups[0].sizes["chain"]), len(versions))
    return join_chains(
        [
            compute(*(None if x is None else x.isel(chain=at) for x in groups), one)
            for at, one in zip(chains, versions, strict=True)
        ]
    )


def _posterior_of(model: Model, versions: Sequence[xr.Dataset], posterior: xr.Dataset, without: set[str]) -> xr.Dataset:
    names = {*map(str, posterior), *without}

    def complete(draws: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        kept = {str(name): x.values for name, x in draws.items() if name not in without}
        return complete_posterior(model.build(data), kept, data, names)

    return _of_each(versions, (posterior,), complete)


def _latent_of(
    model: Model, versions: Sequence[xr.Dataset], posterior: xr.Dataset, latent: xr.Dataset, without: set[str]
) -> xr.Dataset:
    def complete(draws: xr.Dataset, some: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
        return complete_latent(model.build(data), draws, some.drop_vars(without, errors="ignore"), data, without)

    return _of_each(versions, (posterior, latent), complete)


def _scores_of(model: Model, draws: xr.Dataset, latent: xr.Dataset | None, data: xr.Dataset) -> xr.Dataset:
    return scores(model, data, prune_vars_detached_from_observed(model.build(data)), draws, latent)


def _mean(values: xr.DataArray) -> float:
    finite = values.values[np.isfinite(values.values)]
    return float(finite.mean()) if finite.size else np.nan
