"""Graphs that are equal but for their data: what was derived from the first of them serves the others.

Versions of a table, prior grids and fits without one study are the same computations on other numbers. Deriving a log
density, vectorising a graph over draws and rewriting it take seconds for each, and depend on none of these numbers,
which are shared variables. The graphs themselves are compared, not names or settings: a constant in a graph can never
be used for another model by mistake.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pymc as pm
import pytensor
from pymc.distributions.custom import CustomDistRV
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import equal_computations
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import graph_inputs, io_toposort
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.random.variable import RandomGeneratorSharedVariable

from bayesdep.numerics.types import Tensor


@dataclass(frozen=True, eq=False)
class Graph:
    """A graph, with what it is computed from.

    Parameters
    ----------
    outputs
        What it computes.
    given
        Variables whose values are given: what lies before them is no part of the graph.
    shared
        The shared variables that it reads, without random number generators, in the order of a traversal.
    generators
        Random number generators.
    """

    outputs: tuple[Tensor, ...]
    given: tuple[Tensor, ...]
    shared: tuple[Tensor, ...]
    generators: tuple[Any, ...]

    @classmethod
    def of(cls, outputs: Sequence[Tensor], given: Sequence[Tensor] = ()) -> "Graph":
        """Read the graph between some variables of a model and others that are given."""
        ends = [v for v in graph_inputs(outputs, blockers=given) if isinstance(v, SharedVariable)]
        shared = tuple(v for v in ends if not isinstance(v, RandomGeneratorSharedVariable))
        generators = tuple(v for v in ends if isinstance(v, RandomGeneratorSharedVariable))
        return cls(tuple(outputs), tuple(given), shared, generators)

    @property
    def inputs(self) -> list[Any]:
        """All that it is computed from."""
        return [*self.given, *self.shared, *self.generators]

    @property
    def values(self) -> list[np.ndarray]:
        """The data, in the order of ``shared``."""
        return [variable.get_value(borrow=True) for variable in self.shared]

    @cached_property
    def outline(self) -> tuple[Any, ...]:
        """The same for equal graphs, and quick to compare."""
        operations = tuple(type(node.op) for node in io_toposort(self.inputs, self.outputs))
        return (operations, *(tuple(v.type for v in some) for some in (self.outputs, self.given, self.shared)))

    def same_as(self, other: "Graph") -> bool:
        """Tell whether everything but values is equal."""
        if self.outline != other.outline or len(self.generators) != len(other.generators):
            return False
        mine, theirs = ({v: i for i, v in enumerate(graph.inputs)} for graph in (self, other))
        pairs = list(zip(self.outputs, other.outputs, strict=True))
        if any(mine.get(x) != theirs.get(y) for x, y in pairs):  # of an output that is an input
            return False
        made = [(x, y) for x, y in pairs if x not in mine]
        return bool(equal_computations([x for x, _ in made], [y for _, y in made], self.inputs, other.inputs))

    def detached(self) -> "Graph":
        """Copy it with plain inputs for what is given and for data, and random number generators of its own.

        Where one given random variable depends on another, copying would otherwise copy it with its descendants, and
        the copy would be drawn instead of taking the given values.

        Returns
        -------
        Graph
            It holds no data.
        """
        plain = {variable: variable.type() for variable in (*self.given, *self.shared)}
        generators = {v: pytensor.shared(np.random.default_rng(), name=v.name) for v in self.generators}
        copies = tuple(clone_replace(list(self.outputs), plain | generators))
        given, shared = (tuple(plain[v] for v in some) for some in (self.given, self.shared))
        return Graph(copies, given, shared, tuple(generators.values()))


class Derived[T]:
    """What was derived from the latest graphs, each once.

    Parameters
    ----------
    most
        How many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: list[tuple[Graph, T]] = []
        self.made = 0

    def of(self, graph: Graph, make: Callable[[Graph], T]) -> T:
        """Return what was derived from an equal graph, or derive it from a detached copy of this one."""
        for i, (earlier, derived) in enumerate(self._kept):
            if earlier.same_as(graph):
                self._kept.append(self._kept.pop(i))  # the least recently used is dropped first
                return derived
        detached = graph.detached()
        derived = make(detached)
        self.made += 1
        self._kept.append((detached, derived))
        del self._kept[: -self._most]
        return derived


def density_graph(model: pm.Model) -> tuple[tuple[Any, ...], Graph]:
    """Return what determines a model's log density: distributions and their parameters, transformations, potentials.

    The joint log density follows from these by rewriting, which takes PyMC up to a second.

    Parameters
    ----------
    model
        A PyMC model.

    Returns
    -------
    tuple
        The operation of each variable that has a fixed one; and a graph that is compared and never evaluated. Other
        distributions, such as ``pm.CustomDist``, have an operation of their own in each model: the graph has their log
        densities.
    """
    operations = tuple(_fixed_operation(rv) for rv in model.basic_RVs)
    observed = {rv: model.rvs_to_values[rv] for rv in model.observed_RVs}
    outputs: list[Any] = list(observed.values())  # and then, without generators, sizes and parameters
    for rv, operation in zip(model.basic_RVs, operations, strict=True):
        outputs += [pm.logp(rv, observed.get(rv, rv))] if operation is None else rv.owner.inputs[1:]
    for rv in model.free_RVs:
        transform, value = model.rvs_to_transforms[rv], model.rvs_to_values[rv]
        if transform is not None:
            outputs += [f(value, *rv.owner.inputs) for f in (transform.backward, transform.log_jac_det)]
    given = [*model.free_RVs, *(model.rvs_to_values[rv] for rv in model.free_RVs)]
    return operations, Graph.of([*outputs, *model.potentials], given)


def _fixed_operation(rv: Tensor) -> Any:
    op = rv.owner.op
    return op if isinstance(op, RandomVariable) and not isinstance(op, CustomDistRV) else None
