"""What a fit would cost: memory and time, estimated before they are spent."""

import math
import os
import time
from collections.abc import Callable

import pymc as pm

from bayesdep.data.budget import NUMBER, refuse_beyond_memory
from bayesdep.data.errors import BadInput
from bayesdep.inference.groups import most_replicated, most_scored
from bayesdep.numerics.types import Tensor

# Copies of the posterior, or of the replicated data, that a fit holds at once: as sampled, on the scale of the model,
# in the groups of the tree, and as the bytes of its file.
_COPIES = 4
_OTHERS = 20  # further numbers per draw: statistics of the sampler, and estimands
_LONGEST = 30 * 24 * 3600.0  # seconds
_TIMED_FROM = 500_000  # transitions of all chains; fewer take minutes, seldom hours
_EVALUATIONS = 20
_STEPS = 7  # leapfrog steps per transition of NUTS; more where the posterior is less regular than a normal one


def refuse_beyond_free_memory(full: pm.Model, core: pm.Model, *, draws: int, chains: int) -> None:
    """Refuse a fit whose draws would need more memory than is free.

    Parameters
    ----------
    full
        The PyMC model.
    core
        The part of it that is sampled.
    draws, chains
        As in :func:`~bayesdep.inference.sample.fit`.

    Raises
    ------
    BadInput
        Saying how much they would need, and how much is free.
    """
    parameters = sum(_elements(full, v) for v in full.unobserved_RVs)
    units = sum(_elements(full, v) for v in core.observed_RVs)
    # for each parameter a draw and a prior density; for each outcome, of some draws if they are many, a replicate (of
    # posterior and prior) and a log likelihood, of which there is one copy
    every = draws * chains
    replicated, scored = min(every, most_replicated(units)), min(every, most_scored(units))
    needed = NUMBER * _COPIES * (every * (2 * parameters + _OTHERS) + 2 * replicated * units)
    needed += NUMBER * scored * units
    size = f"{parameters:,} parameters and replicates of {units:,} outcomes"
    what = f"{chains:,} chain{'s' if chains > 1 else ''} of {draws:,} draws of {size}"
    refuse_beyond_memory(needed, what, "ask for fewer draws or chains")


def _elements(model: pm.Model, variable: Tensor) -> int:
    return math.prod(len(model.coords[dim]) for dim in model.named_vars_to_dims.get(variable.name, ()))


def refuse_endless(density: Callable[[], object], *, draws: int, tune: int, chains: int) -> None:
    """Refuse sampling that would take more than a month, estimated from the time that one density evaluation takes.

    Parameters
    ----------
    density
        Evaluates the log density and its gradient once; called only where 500,000 transitions or more are asked for.
    draws, tune, chains
        As in :func:`~bayesdep.inference.sample.fit`.

    Raises
    ------
    BadInput
        Saying how long it would take.

    Examples
    --------
    >>> refuse_endless(lambda: time.sleep(0.001), draws=10**8, tune=10**8, chains=1000)
    Traceback (most recent call last):
    ...
    bayesdep.data.errors.BadInput: 1,000 chains of 100,000,000 draws and 100,000,000 tuning draws would take about ...
    """
    if (draws + tune) * chains < _TIMED_FROM:
        return
    start = time.perf_counter()
    for _ in range(_EVALUATIONS):
        density()
    each = (time.perf_counter() - start) / _EVALUATIONS * _STEPS
    seconds = each * (draws + tune) * chains / min(chains, os.cpu_count() or 1)
    if seconds > _LONGEST:
        raise BadInput(
            f"{chains:,} chains of {draws:,} draws and {tune:,} tuning draws would take about {seconds / 86400:,.0f} "
            "days on this machine; ask for fewer"
        )
