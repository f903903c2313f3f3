"""What a model computes, apart from the values of its data: decides when two models can share one compiled sampler.

Two models are the same computation when their graphs are equal up to the shared variables that hold data and
prior hyperparameters; then the compiled sampler of the first is used for the second with the second's values. The
graphs themselves are compared, not names or settings, so a constant in a graph can never be reused for another model
by mistake.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph import clone_replace
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import MergeOptimizer
from pytensor.graph.traversal import graph_inputs

from bayesdep.inference.equal_graphs import Graph, density_graph


@dataclass(frozen=True)
class Definition:
    """What determines a model's log density: compared instead of it, because PyMC takes up to a second to derive it.

    Parameters
    ----------
    signature
        Names, transforms and shapes of the free variables, which determine the sampler's parameter vector.
    operations, graph
        As :func:`~bayesdep.inference.equal_graphs.density_graph` returns them.
    """

    signature: tuple[Any, ...]
    operations: tuple[Any, ...]
    graph: Graph

    @classmethod
    def of(cls, model: pm.Model) -> "Definition":
        """Read it from a model."""
        lengths = {dim: len(values) if values is not None else None for dim, values in model.coords.items()}
        signature = tuple(
            (
                rv.name,
                type(model.rvs_to_transforms[rv]).__name__,
                tuple(lengths[d] for d in model.named_vars_to_dims.get(rv.name, ())),
            )
            for rv in model.free_RVs
        )
        return cls(signature, *density_graph(model))

    def same_as(self, other: "Definition") -> bool:
        """Tell whether everything but shared values is equal."""
        fixed = self.signature == other.signature and self.operations == other.operations
        return fixed and self.graph.same_as(other.graph)


@dataclass(frozen=True)
class Computation:
    """What a sampler computes: a log density, up to the values of its shared variables.

    Parameters
    ----------
    logp
        The log density's graph.
    values
        The free variables' values, its inputs.
    shared
        The shared variables of the graph (data and prior hyperparameters), in the order of a graph traversal.
    definition
        What determines the log density.
    """

    logp: Any
    values: tuple[Any, ...]
    shared: tuple[SharedVariable, ...]
    definition: Definition

    @classmethod
    def of(cls, model: pm.Model, definition: "Definition | None" = None) -> "Computation":
        """Read a model's computation; ``definition`` where it was made before."""
        logp = model.logp()
        values = tuple(model.rvs_to_values[rv] for rv in model.free_RVs)
        shared = tuple(v for v in graph_inputs([logp]) if isinstance(v, SharedVariable))
        return cls(logp, values, shared, Definition.of(model) if definition is None else definition)

    def same_as(self, other: "Computation") -> bool:
        """Tell whether everything but shared values agrees: variables, transforms, shapes of parameters, graph."""
        return self.values_for(other.definition) is not None

    def values_for(self, definition: Definition) -> list[np.ndarray] | None:
        """Return the values of the shared variables that make this computation that of another model.

        Parameters
        ----------
        definition
            Of the other model.

        Returns
        -------
        list of numpy.ndarray or None
            In the order of ``shared``; None where the other model is another computation.
        """
        if not self.definition.same_as(definition):
            return None
        theirs = dict(zip(self.definition.graph.shared, definition.graph.shared, strict=True))
        if any(variable not in theirs for variable in self.shared):
            return None
        return [theirs[variable].get_value(borrow=True) for variable in self.shared]


@dataclass(frozen=True)
class FlatDensity:
    """A log density and its gradient as functions of one vector and of the data.

    Parameters
    ----------
    logp
        The log density; the data are inputs, so that neither a stored graph nor compiled code contains them.
    values
        The free variables' values in it.
    point
        One vector that holds them all.
    data
        The data, in the order of the computation's shared variables.
    shapes
        Of the variables, on the unconstrained scale.
    """

    logp: Any
    values: tuple[Any, ...]
    point: Any
    data: tuple[Any, ...]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def inputs(self) -> tuple[Any, ...]:
        """The vector and the data."""
        return (self.point, *self.data)

    @property
    def unflattened(self) -> list[Any]:
        """The variables and the data, as the log density has them."""
        return [*self.values, *self.data]

    def outputs(self) -> list[Any]:
        """Return the log density and its gradient with respect to the vector."""
        lengths = [prod(shape) for shape in self.shapes]
        ends = np.cumsum(lengths)
        pieces = {
            value: self.point[end - length : end].reshape(shape).astype(value.dtype)
            for value, length, end, shape in zip(self.values, lengths, ends, self.shapes, strict=True)
        }
        gradient = pt.concatenate([g.ravel() for g in pt.grad(self.logp, list(self.values))])
        return list(clone_replace([self.logp, gradient], pieces))


def flat_density(computation: Computation, shapes: Sequence[tuple[int, ...]]) -> FlatDensity:
    """Write a computation's log density as a function of one vector and of the data.

    Parameters
    ----------
    computation
        The log density, whose data are shared variables.
    shapes
        Of the variables, on the unconstrained scale.

    Returns
    -------
    FlatDensity
        Its gradient is derived when asked for.
    """
    data = {v: v.type() for v in computation.shared}
    logp = _computed_once(clone_replace([computation.logp], data)[0], [*computation.values, *data.values()])
    point = pt.TensorType("float64", shape=(sum(prod(shape) for shape in shapes),))("point")
    return FlatDensity(logp, computation.values, point, tuple(data.values()), tuple(shapes))


def _computed_once(logp: Any, inputs: Sequence[Any]) -> Any:
    """Return a log density in which equal parts are one.

    PyMC copies what several observed variables have in common, such as markers that an outcome is associated with.
    PyTensor joins the copies when it rewrites the graph, but by then each has a gradient of its own, and these stay
    apart.
    """
    graph = FunctionGraph(list(inputs), [logp], clone=True, copy_inputs=False)
    MergeOptimizer().rewrite(graph)
    return graph.outputs[0]
