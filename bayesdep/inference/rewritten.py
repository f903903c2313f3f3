"""Rewritten graphs kept on disk: what PyTensor makes of a density before it is machine code.

PyTensor keeps machine code from one process to the next, but not what comes before it: the gradient is derived and the
graph rewritten anew each time, which is half of the time to compile once the code is there. Here the rewritten graph
is kept beside PyTensor's own cache. It is a pickle, because a graph is made of PyTensor's and PyMC's own objects, and
reading a pickle runs what it says; so it is read only where it carries the signature of this user's secret for its own
place (:mod:`bayesdep.data.compile_cache`). It serves again only where the graph that it was made from equals the one
asked for; as within a process, the graphs themselves are compared, so nothing can be mistaken. Data are no part of it:
models hand them in as shared variables, which are inputs here, and a graph with a long array of its own, as someone's
own model may have, is not kept.
"""

import contextlib
import hashlib
import pickle
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import pytensor
from pytensor.graph.basic import Apply, Constant, equal_computations
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.traversal import io_toposort

from bayesdep.data import compile_cache
from bayesdep.data.errors import BadInput
from bayesdep.data.files import whole_files

_KEPT = 200  # files, of 50 to 200 kB each
_STRUCTURE = 400  # elements of a constant: an identity of 20 visits
_UNREADABLE = (OSError, EOFError, pickle.PickleError, AttributeError, ImportError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class FlatGraph:
    """A graph as a list of its operations, so that it can be stored whatever its depth.

    Every variable has a number: first the inputs, then the constants, then each operation's outputs in turn.

    Parameters
    ----------
    inputs
        Types of the inputs.
    constants
        Types and values of the constants.
    nodes
        Operations in an order in which they can be computed: each with the numbers of its inputs and the types of
        its outputs.
    outputs
        Numbers of the outputs.
    """

    inputs: tuple[Any, ...]
    constants: tuple[tuple[Any, Any], ...]
    nodes: tuple[tuple[Any, tuple[int, ...], tuple[Any, ...]], ...]
    outputs: tuple[int, ...]

    @classmethod
    def of(cls, inputs: Sequence[Any], outputs: Sequence[Any], order: Sequence[Apply] | None = None) -> "FlatGraph":
        """Flatten the graph between inputs and outputs; ``order`` where operations work in place."""
        order = list(io_toposort(inputs, outputs)) if order is None else order
        number = {variable: i for i, variable in enumerate(inputs)}
        constants, nodes = [], []
        for variable in [v for node in order for v in node.inputs] + list(outputs):
            if variable not in number and isinstance(variable, Constant):
                number[variable] = len(number)
                constants.append((variable.type, variable.data))
        for node in order:
            taken = tuple(number[v] for v in node.inputs)
            nodes.append((node.op, taken, tuple(v.type for v in node.outputs)))
            for variable in node.outputs:
                number[variable] = len(number)
        return cls(tuple(v.type for v in inputs), tuple(constants), tuple(nodes), tuple(number[v] for v in outputs))

    def variables(self) -> tuple[list[Any], list[Any]]:
        """Return new inputs and outputs that are joined by this graph."""
        inputs = [kind() for kind in self.inputs]
        known = inputs + [kind.make_constant(value) for kind, value in self.constants]
        for op, taken, kinds in self.nodes:
            known += Apply(op, [known[i] for i in taken], [kind() for kind in kinds]).outputs
        return inputs, [known[i] for i in self.outputs]

    @property
    def outline(self) -> str:
        """A text that equal graphs share, in any process."""
        nodes = [(type(op).__name__, taken, [str(k) for k in kinds]) for op, taken, kinds in self.nodes]
        return repr(([str(kind) for kind in self.inputs], nodes, self.outputs))

    @property
    def may_hold_data(self) -> bool:
        """Whether a constant is longer than what a model's own structure needs."""
        return any(np.size(value) > _STRUCTURE for _, value in self.constants)


@dataclass(frozen=True)
class _Kept:
    """A graph, what else its rewriting depended on, and what it was rewritten to."""

    asked: FlatGraph
    given: Any
    made: FlatGraph

    def answers(self, inputs: Sequence[Any], outputs: Sequence[Any], given: Any) -> bool:
        if self.given != given or self.asked.inputs != tuple(v.type for v in inputs):
            return False
        own_inputs, own_outputs = self.asked.variables()
        return bool(equal_computations(own_outputs, list(outputs), own_inputs, list(inputs)))


def rewritten(
    inputs: Sequence[Any], outputs: Sequence[Any], given: Any, rewrite: Callable[[], FunctionGraph]
) -> tuple[list[Any], list[Any]]:
    """Return a graph's rewriting, from disk where an equal graph was rewritten before.

    Parameters
    ----------
    inputs, outputs
        The graph; shared variables in it must be among the inputs.
    given
        What else the rewriting depends on.
    rewrite
        Makes the rewritten graph.

    Returns
    -------
    tuple
        Inputs and outputs of the rewritten graph, the same whether it was just made or read.
    """
    asked = FlatGraph.of(inputs, outputs)
    file = folder() / f"{hashlib.sha256((asked.outline + repr(given)).encode()).hexdigest()[:32]}.pickle"
    kept = _read(file)
    if kept is not None and kept.answers(inputs, outputs, given):
        return kept.made.variables()
    graph = rewrite()
    made = FlatGraph.of(graph.inputs, graph.outputs, graph.toposort())
    if not asked.may_hold_data:
        _write(file, _Kept(asked, given, made))
    return made.variables()


def folder() -> Path:
    """Where rewritten graphs lie: beside PyTensor's own cache, apart for every version that could rewrite otherwise."""
    versions = f"pytensor-{pytensor.__version__}-pymc-{pm.__version__}-python-{platform.python_version()}"
    settings = pytensor.config.get_config_hash()[:8]
    return compile_cache.own_folder() / f"{versions}-{settings}"


def _name(file: Path) -> str:
    """What a file's signature is for: its place among the versions."""
    return f"{file.parent.name}/{file.name}"


def _read(file: Path) -> _Kept | None:
    content = compile_cache.unseal(_name(file), file)
    if content is None:
        return None
    try:
        kept = pickle.loads(content)
    except _UNREADABLE:  # of no use to these versions: it is made anew and put in its place
        return None
    return kept if isinstance(kept, _Kept) else None


def _write(file: Path, kept: _Kept) -> None:
    """Put a file in its place whole, and drop those not written for longest; where that cannot be, nothing is kept."""
    # no room or no right to write, or an operation of someone's own that cannot be stored: the next process rewrites
    with contextlib.suppress(OSError, BadInput, pickle.PickleError, AttributeError, TypeError):
        content = compile_cache.seal(_name(file), pickle.dumps(kept))
        if content is None:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_files(file) as (partial,):
            partial.write_bytes(content)
        files = sorted(file.parent.parent.glob("*/*.pickle"), key=lambda f: f.stat().st_mtime)
        for old in files[:-_KEPT]:
            old.unlink(missing_ok=True)
