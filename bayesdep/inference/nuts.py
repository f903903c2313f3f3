"""Sampling with NUTS: nutpie's or PyMC's own, and again with shorter steps where a few transitions diverged."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from bayesdep.inference.clock import Clock
from bayesdep.inference.compile_once import compile_once
from bayesdep.inference.cost import refuse_endless
from bayesdep.inference.finished_chains import STATS, Chain, FinishedChains
from bayesdep.inference.parallel import forks_that_end
from bayesdep.inference.progress import Lines, Shown
from bayesdep.inference.steps import Steps
from bayesdep.models.model import HasCorrelatedParameters, Model

FEW = 0.01  # share of transitions; where more diverge, the model has a fault that shorter steps only hide

_Sampler = Callable[[Steps, FinishedChains | None], Sequence[Chain]]


@dataclass(frozen=True)
class Nuts:
    """What NUTS returned.

    Parameters
    ----------
    values
        Draws by parameter, shape (chain, draw, ...).
    stats
        The sampler's statistics, dims (chain, draw).
    steps
        The settings with which these were sampled.
    before
        Target acceptance rate and number of divergences of each attempt before.
    compiler
        By which the log density was compiled: one of ``COMPILERS``.
    """

    values: dict[str, np.ndarray]
    stats: xr.Dataset
    steps: Steps
    before: tuple[tuple[float, int], ...] = ()
    compiler: str = "pytensor"

    @property
    def note(self) -> str:
        """What a verdict says of the attempts before; empty where there were none."""
        if not self.before:
            return ""
        found = ", ".join(f"{number} at {accept:g}" for accept, number in self.before)
        return f"sampled again with target_accept = {self.steps.target_accept:g}, since transitions diverged ({found})"


def sample_nuts(
    model: Model,
    core: pm.Model,
    sampler: str,
    steps: Steps,
    *,
    draws: int,
    tune: int,
    chains: int,
    seed: int,
    progress: Shown = "nothing",
    kept: FinishedChains | None = None,
    table: int = 0,
    clock: Clock | None = None,
    cores: int | None = None,
) -> Nuts:
    """Sample the free variables of a PyMC model.

    A few divergent transitions, at most one in a hundred, mostly say that the step size, which was adapted to the
    posterior as a whole, is too long for a narrow part of it. The remedy that a reader would be advised to take, a
    larger target acceptance rate (Betancourt 2017, arXiv:1701.02434, section 6.2), is then taken here, at most twice,
    and the verdict says so. A target acceptance rate that the caller chose is kept.

    Parameters
    ----------
    model
        The generative model.
    core
        Its PyMC model, without variables that the likelihood does not need.
    sampler
        ``"nutpie"`` or ``"pymc"``.
    steps
        Settings of NUTS.
    draws, tune, chains, seed, kept
        As :func:`~bayesdep.inference.sample.fit` takes them.
    progress
        How it is shown: :func:`~bayesdep.inference.progress.how_shown`.
    table
        Which version of the data this is, for ``kept``.
    clock
        Measures the steps ``"compile"`` and ``"sample"``.
    cores
        How many chains run at once; by default as many as there are processors.

    Returns
    -------
    Nuts
        The draws of the last attempt.
    """
    clock = clock or Clock()
    size = {"draws": draws, "tune": tune, "chains": chains}
    sample: _Sampler
    if sampler == "nutpie":
        with clock("compile"):
            ready = compile_once(core)
        compiler = ready.density.compiler
        refuse_endless(partial(ready.evaluator(), ready.start), **size)
        adaptation = model.adaptation if isinstance(model, HasCorrelatedParameters) else "diag"
        with_nutpie = size | {"seed": seed, "adaptation": adaptation, "table": table}
        with_nutpie |= {"progress_bar": progress == "bar", "lines": progress == "lines"}
        with_nutpie |= {} if cores is None else {"cores": cores}
        sample = partial(_nutpie, ready, with_nutpie)
    else:
        compiler = "pytensor"
        with_pymc: dict[str, Any] = size | {"random_seed": seed, "progressbar": progress == "bar"}
        with_pymc |= {"callback": _told((draws + tune) * chains)} if progress == "lines" else {}
        with_pymc |= {} if cores is None else {"cores": cores}
        sample = partial(_pymc, core, with_pymc, table)
    before: list[tuple[float, int]] = []
    with clock("sample"):
        while True:
            found = sample(steps, kept)
            diverged = int(sum(chain.stats["diverging"].sum() for chain in found))
            shorter = steps.shorter
            if not diverged or diverged > FEW * draws * chains or shorter is None:
                break
            before.append((steps.target_accept, diverged))
            steps, kept = shorter, None if kept is None else kept.again
    values = {rv.name: np.stack([chain.draws[rv.name] for chain in found]) for rv in core.free_RVs}
    if sampler == "nutpie":
        values = _constrained(core, values)
    return Nuts(values, _stats(found), steps, tuple(before), compiler)


def _nutpie(ready: Any, given: Mapping[str, Any], steps: Steps, kept: FinishedChains | None) -> Sequence[Chain]:
    from bayesdep.inference.chains import sample_chains

    return sample_chains(ready, kept=kept, target_accept=steps.target_accept, maxdepth=steps.max_tree_depth, **given)


def _told(total: int) -> Callable[..., None]:
    """A function that PyMC's sampler calls after every draw, tuning draws included."""
    lines, done = Lines(total), itertools.count(1)
    return lambda **_: lines.of_chain(0, next(done))


def _constrained(core: pm.Model, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turn draws on the sampler's unconstrained scale into those of the parameters."""
    from bayesdep.inference.native import to_constrained

    chains, draws = next(iter(values.values())).shape[:2]
    flat = to_constrained(core, {name: x.reshape(-1, *x.shape[2:]) for name, x in values.items()})
    return {name: x.reshape(chains, draws, *x.shape[1:]) for name, x in flat.items()}


def _pymc(
    core: pm.Model, given: Mapping[str, Any], table: int, steps: Steps, kept: FinishedChains | None
) -> Sequence[Chain]:
    """Sample with PyMC's own NUTS, whose chains share their initialisation: all of them are read from disk, or none."""
    chains = given["chains"]
    found = [] if kept is None else [x for k in range(chains) if (x := kept.chain(table, k)) is not None]
    if len(found) == chains:
        return found
    with core:
        tree = pm.sample(
            nuts_sampler="pymc",
            target_accept=steps.target_accept,
            nuts={"max_treedepth": steps.max_tree_depth},
            compute_convergence_checks=False,
            mp_ctx=forks_that_end(),
            **given,
        )
    posterior, stats = tree["posterior"], tree["sample_stats"].to_dataset()
    named = [name for name in STATS.values() if name in stats]
    found = [
        Chain(
            {rv.name: posterior[rv.name].values[k] for rv in core.free_RVs},
            {name: stats[name].values[k] for name in named},
        )
        for k in range(chains)
    ]
    for k, chain in enumerate(found):
        if kept is not None:
            kept.keep(table, k, chain)
    return found


def _stats(chains: Sequence[Chain]) -> xr.Dataset:
    """Return the statistics with chain and draw as their only coordinates."""
    arrays = {name: (("chain", "draw"), np.stack([chain.stats[name] for chain in chains])) for name in chains[0].stats}
    sizes = {"chain": len(chains), "draw": len(next(iter(chains[0].stats.values())))}
    return xr.Dataset(arrays, {d: np.arange(n) for d, n in sizes.items()})
