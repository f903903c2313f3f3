"""From a model and a table to a fit."""

import dataclasses
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr
from pymc.model.transform.conditioning import prune_vars_detached_from_observed

from bayesdep.data.errors import BadInput
from bayesdep.inference.clock import Clock
from bayesdep.inference.combined_fits import combine_fits
from bayesdep.inference.cost import refuse_beyond_free_memory
from bayesdep.inference.diagnostics import Gate, check_convergence, check_independent_draws
from bayesdep.inference.evaluate import from_prior, untraced
from bayesdep.inference.finished_chains import VERSIONS, FinishedChains
from bayesdep.inference.fit import Fit
from bayesdep.inference.groups import make_groups, posterior_of
from bayesdep.inference.joint import multiply_likelihood
from bayesdep.inference.labelled import label_draws
from bayesdep.inference.left_out import remember
from bayesdep.inference.numbers import SAMPLERS, Sampler, check_numbers
from bayesdep.inference.nuts import Nuts, sample_nuts
from bayesdep.inference.precision import is_rounded, rounded_draws
from bayesdep.inference.progress import how_shown
from bayesdep.inference.remedies import add_remedy
from bayesdep.inference.steps import Steps
from bayesdep.models.model import (
    Imputes,
    KnowsPosterior,
    Model,
)
from bayesdep.models.parts.scale import with_one_scale


def fit(
    model: Model,
    data: Any,
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    seed: int = 1,
    sampler: Sampler | None = None,
    target_accept: float | None = None,
    max_tree_depth: int | None = None,
    progress: bool | None = None,
    kept: FinishedChains | None = None,
) -> Fit:
    """Fit a model to a table, or to several versions of one.

    Parameters
    ----------
    model
        The generative model.
    data
        A table (any dataframe that narwhals reads), or the dataset that the model's ``prepare`` made of one; or a list
        of tables that differ in drawn values (conversions of a scale, imputations), whose posteriors are combined.
        Where the model itself imputes missing values, one table becomes several versions.
    draws, tune
        Kept and tuning draws per chain.
    chains
        Number of chains.
    seed
        Same seed, machine and versions: same draws.
    sampler
        ``"nutpie"``, ``"pymc"`` (PyMC's own NUTS) or ``"exact"`` (independent draws from a posterior that is known
        exactly). By default exact where the model's default is so, otherwise nutpie.
    target_accept
        Target acceptance rate of NUTS, above 0.5 and below 1; the larger, the smaller its steps. By default the
        model's, and where at most one transition in a hundred diverges with it, the fit is sampled again with 0.97 and
        at last 0.99; the verdict says so.
    max_tree_depth
        Maximum tree depth of NUTS (doublings of a trajectory), 5 to 15; by default 10, which allows 1,023 steps.
    progress
        Whether to show a progress bar; by default on a terminal, and off it a line every ten seconds (standard error),
        with the time left; neither under ``CI=true``.
    kept
        Where finished chains are saved while others are sampled, and read from; by default nowhere. The caller makes
        sure that the chains there belong to this fit.

    Returns
    -------
    Fit
        The posterior, with its verdict.

    Raises
    ------
    BadInput
        When the table or a setting is not usable.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> print(fit.gate.sentence)
    passed the gate: independent draws 400
    """
    check_numbers(draws=draws, tune=tune, chains=chains, seed=seed)
    Steps.of(model, target_accept, max_tree_depth)  # refuses impossible settings before any table is read
    clock = Clock()
    with clock("prepare"):
        tables = data if isinstance(data, (list, tuple)) else [data]
        if not tables:
            raise BadInput("data is an empty list of tables; give at least one")
        read = [table if isinstance(table, xr.Dataset) else model.prepare(table) for table in tables]
        read = with_one_scale(model, read)
        versions = [v for x in read for v in (model.imputations_of(x) if isinstance(model, Imputes) else [x])]
    size = (draws, tune, chains)
    steps = [Steps.of(model, target_accept, max_tree_depth, x) for x in versions]
    fits = [
        _fit_one(model, x, size, seed + k, sampler, steps[k], progress, kept, table=k, of=len(versions))
        for k, x in enumerate(versions)
    ]
    done = fits[0] if len(fits) == 1 else combine_fits(fits, read[0])
    done.manifest["timings_s"] = clock.seconds | done.manifest["timings_s"]
    return done


def _fit_one(
    model: Model,
    prepared: xr.Dataset,
    size: tuple[int, int, int],
    seed: int,
    sampler: Sampler | None,
    steps: Steps,
    progress: bool | None,
    kept: FinishedChains | None,
    *,
    table: int,
    of: int,
) -> Fit:
    """Fit a model to one of some versions of prepared data.

    Predictions are drawn for the first version only; several versions get their verdict together.
    """
    draws, tune, chains = size
    clock, seeds = Clock(), _seeds(seed)
    sampler = _choose(model, prepared, sampler)

    with clock("build"):
        full, core = _built(model, prepared)
        refuse_beyond_free_memory(full, core, draws=draws, chains=chains)
    if sampler == "exact":
        with clock("sample"):
            posterior = _exact_draws(model, prepared, draws, chains, seeds[0])
        sampled, stats = None, None
    else:
        sampled = sample_nuts(
            model, core, sampler, steps, draws=draws, tune=tune, chains=chains, seed=seeds[0],
            progress=how_shown(progress), kept=kept, table=table, clock=clock,
        )  # fmt: skip
        posterior, stats, steps = sampled.values, sampled.stats, sampled.steps
    with clock("draw"):
        posterior = rounded_draws(posterior, full)
        if sampled is not None:
            sampled = dataclasses.replace(sampled, values={})  # of many parameters, a second copy of all draws
        groups = make_groups(model, prepared, full, core, posterior, seeds, predict=table == 0)
    with clock("estimate"):
        groups["estimands"] = model.estimands(groups["posterior"], prepared)
        remember(model, prepared, groups)
        gate = Gate(()) if of > 1 else _verdict(groups["estimands"], sampler, stats)
        if sampled is not None:
            gate = dataclasses.replace(gate, note=sampled.note)
        if of == 1:
            gate = add_remedy(gate, model, prepared, draws, steps if stats is not None else None)
    if stats is not None:
        groups["sample_stats"] = stats
    manifest = {
        "sampler": sampler,
        **({} if sampled is None else {"compiler": sampled.compiler}),
        "seed": seed,
        "draws": draws,
        "tune": tune if stats is not None else 0,
        "chains": chains,
        **({} if stats is None else steps.to_dict()),
        "tables": 1,
        **_precision(full, groups),
        "gate": gate.to_dict(),
        "timings_s": clock.seconds,
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
        "machine": (
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        ),
    }
    return Fit(model, prepared, xr.DataTree.from_dict(groups), manifest)


@untraced()
def _built(model: Model, data: xr.Dataset) -> tuple[pm.Model, pm.Model]:
    """The PyMC model, and the part of it that is sampled.

    Variables not needed for the likelihood (a new study's effect, effects that were integrated out) are drawn
    afterwards from their conditional distribution, exactly; only ancestors of the data need a sampler.
    """
    full = model.build(data)
    return full, prune_vars_detached_from_observed(full)


def _verdict(estimands: xr.Dataset, sampler: Sampler, stats: xr.Dataset | None) -> Gate:
    return check_independent_draws(estimands) if sampler == "exact" else check_convergence(estimands, stats)


def _precision(full: pm.Model, groups: Mapping[str, xr.Dataset]) -> dict[str, Any]:
    """Say which draws are rounded or left out, for the manifest."""
    drawn = [x for group in ("posterior", "latent") if group in groups for x in groups[group].items()]
    names = [str(name) for name, x in drawn if is_rounded(str(name), x.values, full)]
    latent = groups["latent"].sizes if "latent" in groups else None
    if "posterior_predictive" not in groups:
        return {}
    sizes = groups["posterior_predictive"].sizes
    scored = groups["log_likelihood"].sizes
    return {
        "rounded": names,
        "replicated_draws": sizes["chain"] * sizes["draw"],
        "scored_draws": scored["chain"] * scored["draw"],
        **({} if latent is None else {"latent_draws": latent["chain"] * latent["draw"]}),
    }


def sample_posterior(
    model: Model,
    data: xr.Dataset,
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    seed: int = 1,
    steps: Steps | None = None,
) -> xr.Dataset:
    """Sample a model's parameters and nothing else, for simulation studies of many fits.

    Parameters
    ----------
    model
        The generative model.
    data
        Its prepared data.
    draws, tune, chains, seed
        As in :func:`fit`, which makes the same draws.
    steps
        Settings of NUTS; by default the model's.

    Returns
    -------
    xarray.Dataset
        Draws of every parameter, dims (chain, draw, ...).
    """
    return _sampled(model, data, (draws, tune, chains), seed, steps=steps).posterior


def sample_and_check(
    model: Model, data: xr.Dataset, *, draws: int = 1000, tune: int = 1000, chains: int = 4, seed: int = 1
) -> tuple[xr.Dataset, Gate]:
    """Sample a model's parameters as :func:`sample_posterior` does, and check convergence of its estimands.

    Parameters
    ----------
    model
        The generative model.
    data
        Its prepared data.
    draws, tune, chains, seed
        As in :func:`fit`.

    Returns
    -------
    tuple of xarray.Dataset and Gate
        The draws, and the verdict that :func:`fit` would give, without its remedy.
    """
    sampled = _sampled(model, data, (draws, tune, chains), seed)
    return sampled.posterior, sampled.check(model.estimands(sampled.posterior, data))


@dataclasses.dataclass(frozen=True)
class Sampled:
    """Draws of a model's parameters, without predictions and scores.

    Parameters
    ----------
    posterior
        Draws of every parameter, dims (chain, draw, ...).
    full, core
        The PyMC model, and the part of it that was sampled.
    nuts
        What the sampler returned; None where draws are of the exact posterior.
    """

    posterior: xr.Dataset
    full: pm.Model
    core: pm.Model
    nuts: Nuts | None

    def check(self, estimands: xr.Dataset) -> Gate:
        """Give the verdict that :func:`fit` would give on these estimands, without its remedy."""
        if self.nuts is None:
            return check_independent_draws(estimands)
        return dataclasses.replace(check_convergence(estimands, self.nuts.stats), note=self.nuts.note)


def sample_again(
    model: Model,
    data: xr.Dataset,
    *,
    draws: int,
    tune: int,
    chains: int,
    seed: int,
    sampler: Sampler | None = None,
    target_accept: float | None = None,
    max_tree_depth: int | None = None,
    cores: int | None = None,
    also: xr.Dataset | None = None,
) -> Sampled:
    """Sample a model's parameters as :func:`fit` does, one of many fits.

    Parameters
    ----------
    model
        The generative model.
    data
        Its prepared data.
    draws, tune, chains, seed, sampler, target_accept, max_tree_depth
        As in :func:`fit`.
    cores
        How many chains run at once; by default as many as there are processors.
    also
        Further outcomes under the same parameters, as :meth:`~bayesdep.models.model.Replicates.replicate` gives them,
        whose likelihood is multiplied; None for none.

    Returns
    -------
    Sampled
        The draws.
    """
    chosen = _choose(model, data, sampler) if also is None else sampler or "nutpie"
    return _sampled(
        model, data, (draws, tune, chains), seed, chosen, target_accept=target_accept, max_tree_depth=max_tree_depth,
        cores=cores, also=also,
    )  # fmt: skip


def _sampled(
    model: Model,
    data: xr.Dataset,
    size: tuple[int, int, int],
    seed: int,
    sampler: Sampler = "nutpie",
    *,
    target_accept: float | None = None,
    max_tree_depth: int | None = None,
    cores: int | None = None,
    also: xr.Dataset | None = None,
    steps: Steps | None = None,
) -> Sampled:
    draws, tune, chains = size
    check_numbers(draws=draws, tune=tune, chains=chains, seed=seed)
    seeds = _seeds(seed)
    full, core = _built(model, data)
    if also is not None:
        multiply_likelihood(core, model.build(also))
    if sampler == "exact":
        nuts, values = None, _exact_draws(model, data, draws, chains, seeds[0])
    else:
        steps = steps or Steps.of(model, target_accept, max_tree_depth, data)
        nuts = sample_nuts(
            model, core, sampler, steps, draws=draws, tune=tune, chains=chains, seed=seeds[0], cores=cores
        )
        values = nuts.values
    return Sampled(posterior_of(full, core, rounded_draws(values, full), seeds[1], data), full, core, nuts)


def _seeds(seed: int) -> list[int]:
    """Seeds of the sampler, of variables drawn after sampling, of the prior, and an unused one."""
    return [int(s) for s in np.random.SeedSequence(seed).generate_state(4)]


def estimand_template(model: Model, data: xr.Dataset) -> xr.Dataset:
    """Return a model's estimands at a few prior draws, for their names, dims and coordinates, not their values.

    Parameters
    ----------
    model
        The generative model.
    data
        Its prepared data.

    Returns
    -------
    xarray.Dataset
        As the model's ``estimands`` returns it, with four meaningless draws.
    """
    built = model.build(data)
    names = [v.name for v in built.unobserved_RVs]
    values = from_prior([built[name] for name in names], 4, seed=0)
    with np.errstate(all="ignore"):  # prior draws may divide by zero where a posterior does not
        return model.estimands(label_draws({n: v[None] for n, v in zip(names, values, strict=True)}, built), data)


def _choose(model: Model, data: xr.Dataset, sampler: Sampler | None) -> Sampler:
    if sampler is None:
        exact = isinstance(model, KnowsPosterior) and model.exact_by_default and model.exact(data) is not None
        return "exact" if exact else "nutpie"
    if sampler not in SAMPLERS:
        raise BadInput(f"sampler = {sampler!r} is not a choice; use one of {', '.join(SAMPLERS)}")
    if sampler == "exact" and not (isinstance(model, KnowsPosterior) and model.exact(data) is not None):
        raise BadInput(
            f"sampler = 'exact', but the posterior of these {type(model).__name__} settings is not known exactly; "
            "use 'nutpie'"
        )
    return sampler


def _exact_draws(model: Model, data: xr.Dataset, draws: int, chains: int, seed: int) -> dict[str, np.ndarray]:
    assert isinstance(model, KnowsPosterior)
    exact = model.exact(data)
    assert exact is not None  # checked by _choose
    flat = exact.draw(draws * chains, np.random.default_rng(seed))
    return {name: values.reshape(chains, draws, *values.shape[1:]) for name, values in flat.items()}
