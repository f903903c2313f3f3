"""Compile a model once per process: reuse it whenever only the data change.

Two models are the same computation when their graphs are equal up to the shared variables that hold data and
prior hyperparameters; then the compiled sampler of the first serves the second with the new values put in. The
graphs themselves are compared, not names or settings, so a constant that crept into a graph can never be reused
by mistake.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pymc as pm
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import equal_computations
from pytensor.graph.traversal import graph_inputs

if TYPE_CHECKING:
    from bayesdep.inference.native import Bound, Density

_KEPT = 8
_cache: OrderedDict[int, tuple[pm.Model, "Density"]] = OrderedDict()


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
    from bayesdep.inference.native import bind, compile_density

    for key, (earlier, density) in _cache.items():
        if same_computation(earlier, model):
            _cache.move_to_end(key)
            twins = dict(zip(_shared(_outputs(earlier)), _shared(_outputs(model)), strict=True))
            return bind(density, [twins[variable].get_value() for variable in density.shared], model)
    density = compile_density(model)
    _cache[id(density)] = (model, density)
    while len(_cache) > _KEPT:
        _cache.popitem(last=False)
    return bind(density, [variable.get_value() for variable in density.shared], model)


def same_computation(one: pm.Model, other: pm.Model) -> bool:
    """Tell whether two models have equal graphs up to the values of their shared variables.

    Parameters
    ----------
    one, other
        PyMC models.

    Returns
    -------
    bool
        True when everything but shared values agrees: variables, transforms, shapes of parameters, graph.
    """
    if _signature(one) != _signature(other):
        return False
    a, b = _outputs(one), _outputs(other)
    shared_a, shared_b = _shared(a), _shared(b)
    if [v.type for v in shared_a] != [v.type for v in shared_b]:
        return False
    return bool(equal_computations(a, b, shared_a, shared_b))


def _signature(model: pm.Model) -> list[Any]:
    """Names, transforms and shapes of the free variables: what fixes the sampler's vector of parameters."""
    lengths = {dim: len(values) if values is not None else None for dim, values in model.coords.items()}
    return [
        (
            rv.name,
            type(model.rvs_to_transforms[rv]).__name__,
            [lengths[d] for d in model.named_vars_to_dims.get(rv.name, ())],
        )
        for rv in model.free_RVs
    ] + [rv.name for rv in model.observed_RVs]


def _outputs(model: pm.Model) -> list[Any]:
    observed = [model.rvs_to_values[rv] for rv in model.observed_RVs]
    return [*model.basic_RVs, *model.deterministics, *observed, *model.potentials]


def _shared(outputs: list[Any]) -> list[Any]:
    """Shared variables in the order in which a walk through the graph meets them."""
    return [v for v in graph_inputs(outputs) if isinstance(v, SharedVariable)]
