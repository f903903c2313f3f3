"""Compile a model once per process: what was compiled serves every later model that is the same computation."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pymc as pm

from bayesdep.inference.computation import Computation

if TYPE_CHECKING:
    from bayesdep.inference.native import Bound, Density

_KEPT = 8
_cache: list[tuple[Computation, "Density"]] = []


def compiled(model: pm.Model) -> "Bound":
    """Return a compiled model with its data, from an earlier fit of the same computation where there is one.

    Parameters
    ----------
    model
        A PyMC model.

    Returns
    -------
    Bound
        Ready for ``nutpie.sample``.
    """
    from bayesdep.inference.native import bind, centre, compile_density

    computation, start = Computation.of(model), centre(model)
    values = [variable.get_value(borrow=True) for variable in computation.shared]
    for i, (earlier, density) in enumerate(_cache):
        if earlier.same_as(computation):
            _cache.append(_cache.pop(i))  # the one used last is dropped last
            return bind(density, values, start)
    with _without_collection():
        density = compile_density(model, computation, start)
    _cache.append((computation, density))
    del _cache[:-_KEPT]
    return bind(density, values, start)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Hold Python's cyclic garbage collector: among a graph's many objects it takes a fifth of the time to compile."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
