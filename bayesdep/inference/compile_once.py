"""Compile a model once per process, and use the compiled code again for every later model with the same computation."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pymc as pm

from bayesdep.inference.computation import Computation, Definition
from bayesdep.inference.evaluate import untraced
from bayesdep.inference.settings import settings

if TYPE_CHECKING:
    from bayesdep.inference.native import Bound, Density

_MOST_CACHED = 8
compiled_densities: list[tuple[Computation, "Density"]] = []


@dataclass
class Compilations:
    """How often this process compiled a density, and the seconds it took."""

    number: int = 0
    seconds: float = 0.0


compilations = Compilations()


@untraced()
def compile_once(model: pm.Model) -> "Bound":
    """Return a compiled model with its data, from an earlier fit of the same computation where there is one.

    Parameters
    ----------
    model
        A PyMC model.

    Returns
    -------
    Bound
        Ready for :func:`~bayesdep.inference.for_nutpie.for_nutpie`.
    """
    from bayesdep.inference.native import bind, centre, compile_density

    start, definition, known = centre(model), Definition.of(model), None
    for i, (computation, density) in enumerate(compiled_densities):
        values = computation.values_for(definition)
        if values is not None and density.serves(values, settings.compiler):
            compiled_densities.append(compiled_densities.pop(i))  # the least recently used is dropped first
            return bind(density, values, start)
        known = known if values is None else (computation, values)  # the same, compiled for data of other shapes
    began = time.perf_counter()
    with _without_collection():
        if known is None:
            computation = Computation.of(model, definition)
            known = computation, [variable.get_value(borrow=True) for variable in computation.shared]
        density = compile_density(model, *known, start)
    compilations.number += 1
    compilations.seconds += time.perf_counter() - began
    compiled_densities.append((known[0], density))
    del compiled_densities[:-_MOST_CACHED]
    return bind(density, known[1], start)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Switch off Python's cyclic garbage collector, which takes a fifth of the compilation time of a large graph."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
