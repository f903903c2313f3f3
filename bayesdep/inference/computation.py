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
from pytensor.graph.basic import equal_computations
from pytensor.graph.traversal import graph_inputs


@dataclass(frozen=True)
class Computation:
    """What a sampler computes: a log density, up to the values of its shared variables.

    Parameters
    ----------
    logp
        The log density's graph.
    values
        The free variables' values, its inputs.
    signature
        Names, transforms and shapes of the free variables, which determine the sampler's parameter vector.
    shared
        The shared variables of the graph (data and prior hyperparameters), in the order of a graph traversal.
    """

    logp: Any
    values: tuple[Any, ...]
    signature: tuple[Any, ...]
    shared: tuple[SharedVariable, ...]

    @classmethod
    def of(cls, model: pm.Model) -> "Computation":
        """Read a model's computation."""
        lengths = {dim: len(values) if values is not None else None for dim, values in model.coords.items()}
        signature = tuple(
            (
                rv.name,
                type(model.rvs_to_transforms[rv]).__name__,
                tuple(lengths[d] for d in model.named_vars_to_dims.get(rv.name, ())),
            )
            for rv in model.free_RVs
        )
        logp = model.logp()
        values = tuple(model.rvs_to_values[rv] for rv in model.free_RVs)
        shared = tuple(v for v in graph_inputs([logp]) if isinstance(v, SharedVariable))
        return cls(logp, values, signature, shared)

    def same_as(self, other: "Computation") -> bool:
        """Tell whether everything but shared values agrees: variables, transforms, shapes of parameters, graph."""
        if self.signature != other.signature or [v.type for v in self.shared] != [v.type for v in other.shared]:
            return False
        mine, theirs = [*self.values, *self.shared], [*other.values, *other.shared]
        return bool(equal_computations([self.logp], [other.logp], mine, theirs))


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
    (logp,) = clone_replace([computation.logp], data)
    point = pt.TensorType("float64", shape=(sum(prod(shape) for shape in shapes),))("point")
    return FlatDensity(logp, computation.values, point, tuple(data.values()), tuple(shapes))
