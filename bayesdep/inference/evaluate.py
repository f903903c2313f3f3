"""Evaluate a PyMC graph at every draw at once, without compiling anything.

For data sets of this field's size, compilation takes most of the time: a compiled forward sampler costs seconds, while
the same graph, vectorised over draws and run by PyTensor's Python linker, is numpy on whole arrays: milliseconds.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.pytensorf import collect_default_updates, find_rng_nodes, reseed_rngs
from pytensor.compile.mode import Mode
from pytensor.graph.replace import graph_replace, vectorize_graph
from pytensor.graph.rewriting.basic import dfs_rewriter, node_rewriter
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.graph.traversal import io_toposort
from pytensor.scalar.basic import Add, Mul
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.random.op import RandomVariable

from bayesdep.inference.equal_graphs import Derived, Graph
from bayesdep.numerics.types import Tensor

_OPERANDS = 30  # numpy's functions of arrays take 32, the result included


@node_rewriter([Elemwise])  # type: ignore[untyped-decorator, unused-ignore]  # PyTensor is not typed
def _few_operands(fgraph: Any, node: Any) -> list[Any] | None:  # noqa: ARG001  (PyTensor's signature)
    """Split a long sum or product (rewriting joins many short ones) into parts: numpy's functions accept 32 arrays."""
    if not isinstance(node.op.scalar_op, Add | Mul) or len(node.inputs) <= _OPERANDS:
        return None
    parts = [node.inputs[i : i + _OPERANDS] for i in range(0, len(node.inputs), _OPERANDS)]
    partial_results = [node.op(*part) if len(part) > 1 else part[0] for part in parts]
    return [node.op(*partial_results)]


_UNCOMPILED = Mode(linker="py", optimizer=RewriteDatabaseQuery(include=["fast_compile", "stabilize"])).register(
    (dfs_rewriter(_few_operands), 1000.0)  # after all that could join the parts again
)
# 16 MB per array, of which a graph holds some ten: more would leave the processor's cache and take twice as long
_ELEMENTS_AT_ONCE = 2_000_000


@contextmanager
def untraced() -> Iterator[None]:
    """Let PyTensor not note the lines of code that made a variable: a tenth of the time, for variables made here."""
    with pytensor.config.change_flags(traceback__limit=0):
        yield


def uncompiled() -> Mode:
    """Return PyTensor's mode in which a graph is evaluated by NumPy, without compiling anything.

    Its stabilising rewrites keep log densities finite where a probability rounds to 0 or 1. For large data, or a graph
    that is evaluated thousands of times at one point each, compiled code is faster.

    Returns
    -------
    pytensor.compile.mode.Mode
        For the argument ``mode`` of ``pytensor.function`` and ``pymc.draw``.

    Examples
    --------
    >>> x = pt.dscalar()
    >>> float(pytensor.function([x], pt.log1p(x), mode=uncompiled())(0.0))
    0.0
    """
    return _UNCOMPILED


@untraced()
def at_draws(
    outputs: Sequence[Tensor], given: Mapping[Tensor, np.ndarray], *, seed: int | None = None, elements: int = 1
) -> list[np.ndarray]:
    """Evaluate variables of a model at many values of some of its variables.

    Parameters
    ----------
    outputs
        Variables to evaluate; random ones that depend on ``given`` are drawn once per draw.
    given
        Values by variable, each with the draws as its first axis.
    seed
        Seed of the random variables among ``outputs`` and their ancestors.
    elements
        Elements of the largest intermediate result per draw, to bound memory.

    Returns
    -------
    list of numpy.ndarray
        One array per output, draws first.
    """
    graph = Graph.of(outputs, list(given))
    values, draws = list(given.values()), len(next(iter(given.values())))
    with _one_at_a_time:
        function = derived_functions.of(graph, _over_draws)
        if seed is not None:
            reseed_rngs(function.generators, seed)
        if function.is_vectorised:
            step = max(1, _ELEMENTS_AT_ONCE // max(elements, 1))
            whole: list[np.ndarray] = []
            for part in (slice(i, i + step) for i in range(0, draws, step)):
                found = [np.asarray(x) for x in function.call(*(x[part] for x in values), *graph.values)]
                if step >= draws:
                    return found
                # filled part by part: no second copy
                whole = whole or [np.empty((draws, *x.shape[1:]), x.dtype) for x in found]
                for every, some in zip(whole, found, strict=True):
                    every[part] = some
            return whole
        drawn = [function.call(*(x[i] for x in values), *graph.values) for i in range(draws)]
        return [np.stack(pieces) for pieces in zip(*drawn, strict=True)]


@dataclass(frozen=True)
class _Function:
    """A graph as a function of the given values and of the data.

    Parameters
    ----------
    call
        The function.
    generators
        Its random number generators.
    is_vectorised
        Whether it takes many draws at once.
    """

    call: Any
    generators: list[Any]
    is_vectorised: bool


derived_functions: Derived[_Function] = Derived(most=64)
_one_at_a_time = threading.RLock()  # a function has memory and generators of its own


def _over_draws(graph: Graph) -> _Function:
    """Vectorise a graph over draws of what is given, where PyTensor can."""
    outputs = _with_broadcast_parameters(list(graph.outputs), list(graph.given))
    generators = find_rng_nodes(outputs)
    inputs = {variable: variable.type.clone(shape=(None, *variable.type.shape))() for variable in graph.given}
    try:
        vectorised = vectorize_graph(outputs, inputs)
    except NotImplementedError:  # a mixture, a truncated variable, and others that PyMC makes of several
        return _Function(_function_of([*graph.given, *graph.shared], outputs), generators, False)
    return _Function(_function_of([*inputs.values(), *graph.shared], vectorised), generators, True)


def _function_of(inputs: list[Tensor], outputs: list[Tensor]) -> Any:
    updates = collect_default_updates(outputs)
    return pytensor.function(inputs, outputs, updates=updates, mode=uncompiled(), on_unused_input="ignore")


def _with_broadcast_parameters(outputs: list[Tensor], given: list[Tensor]) -> list[Tensor]:
    """Broadcast the first parameter of every random variable to the shape of all its parameters.

    PyTensor (3.3) reads the number of new dimensions off a random variable's first parameter only, so a
    binomial with fixed n and drawn p would not be vectorised.
    """
    replacements = {}
    for node in io_toposort(given, outputs):
        if isinstance(node.op, RandomVariable) and not any(node.op.ndims_params):
            rng, size, first, *others = node.inputs
            for other in others:
                first = pt.second(other, first)
            if others:
                replacements[node.outputs[1]] = node.op.make_node(rng, size, first, *others).outputs[1]
    not_given = {v: new for v, new in replacements.items() if v not in given}
    return graph_replace(outputs, not_given) if not_given else outputs


@untraced()
def from_prior(outputs: Sequence[Tensor], draws: int, *, seed: int) -> list[np.ndarray]:
    """Draw variables of a model from their prior (or prior predictive) distribution.

    Parameters
    ----------
    outputs
        Random variables or functions of them.
    draws
        How many.
    seed
        Seed.

    Returns
    -------
    list of numpy.ndarray
        One array per output, draws first.
    """
    drawn = pm.draw(list(outputs), draws=draws, random_seed=seed, mode=uncompiled())
    return [np.asarray(values) for values in drawn]


@untraced()
def log_density(
    variables: Sequence[Tensor],
    values: Mapping[Tensor, Tensor],
    given: Mapping[Tensor, np.ndarray],
    *,
    elements: int = 1,
) -> list[np.ndarray]:
    """Evaluate elementwise log densities of random variables at many draws.

    Parameters
    ----------
    variables
        Random variables of a model.
    values
        For each of them, where its density is evaluated: a constant, or the variable itself to use ``given``.
    given, elements
        Draws by variable, and elements of the largest intermediate result, as in :func:`at_draws`.

    Returns
    -------
    list of numpy.ndarray
        One array per variable, draws first.
    """
    return at_draws([pm.logp(variable, values[variable]) for variable in variables], given, elements=elements)


def value_of(variable: Tensor) -> np.ndarray:
    """Return the value of a variable that depends on data only.

    Parameters
    ----------
    variable
        A variable of a model without random ancestors.

    Returns
    -------
    numpy.ndarray
        Its value.
    """
    return values_of([variable])[0]


@untraced()
def values_of(variables: Sequence[Tensor]) -> list[np.ndarray]:
    """Return the values of several variables that depend on data only.

    Parameters
    ----------
    variables
        Variables of a model. Of random ones among their ancestors, only the shapes may matter.

    Returns
    -------
    list of numpy.ndarray
        Their values.
    """
    graph = Graph.of(variables)
    with _one_at_a_time:
        function = derived_functions.of(graph, _at_data)
        return [np.array(v) for v in function.call(*graph.values)]


def _at_data(graph: Graph) -> _Function:
    return _Function(_function_of(list(graph.shared), list(graph.outputs)), list(graph.generators), False)


def observed_values(model: pm.Model) -> dict[str, np.ndarray]:
    """Return the values of a model's observed variables.

    Parameters
    ----------
    model
        A PyMC model.

    Returns
    -------
    dict of numpy.ndarray
        The values of every observed variable, by name.
    """
    return {rv.name: value_of(model.rvs_to_values[rv]) for rv in model.observed_RVs}
