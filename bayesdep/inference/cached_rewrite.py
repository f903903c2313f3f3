"""A cache on disk of rewritten graphs: a log density and its gradient as PyTensor optimises them before compilation.

PyTensor caches machine code between processes, but not the step before it: in each process the gradient is derived and
the graph rewritten again, which is half of the compilation time once the machine code is cached. Here the rewritten
graph is stored beside PyTensor's own cache. It is a pickle, because a graph consists of PyTensor's and PyMC's objects,
and reading a pickle can execute code; so a file is read only if it is signed with this user's secret, for its own file
name (:mod:`bayesdep.data.compile_cache`). A stored graph is used only if the graph that it was made from equals the one
requested; the graphs themselves are compared, as within a process, so no other graph can be used by mistake. Data are
not stored: models hold them in shared variables, which are inputs here, and a graph with a long constant array, which a
user's own model may have, is not stored.
"""

import contextlib
import copyreg
import hashlib
import io
import pickle
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import pytensor
from pytensor.compile.builders import OpFromGraph
from pytensor.graph.basic import Apply, Constant, equal_computations
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.traversal import io_toposort

from bayesdep.data import compile_cache
from bayesdep.data.errors import BadInput
from bayesdep.data.files import whole_files

_MOST_STORED = 200  # files, of 50 to 200 kB each
_STRUCTURE = 400  # elements of a constant, such as an identity matrix of 20 visits
_UNREADABLE = (OSError, EOFError, pickle.PickleError, AttributeError, ImportError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class FlatGraph:
    """A graph as a list of its operations, which can be stored whatever the graph's depth.

    Variables are numbered: first the inputs, then the constants, then the outputs of each operation in turn.

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
        variables = inputs + [kind.make_constant(value) for kind, value in self.constants]
        for op, taken, kinds in self.nodes:
            variables += Apply(op, [variables[i] for i in taken], [kind() for kind in kinds]).outputs
        return inputs, [variables[i] for i in self.outputs]

    @property
    def outline(self) -> str:
        """A text that is the same for equal graphs, in any process."""
        nodes = [(type(op).__name__, taken, [str(k) for k in kinds]) for op, taken, kinds in self.nodes]
        return repr(([str(kind) for kind in self.inputs], nodes, self.outputs))

    @property
    def may_hold_data(self) -> bool:
        """Whether a constant is longer than what a model's own structure needs."""
        return any(np.size(value) > _STRUCTURE for _, value in self.constants)


@dataclass(frozen=True)
class _Stored:
    """A graph, whatever else its rewriting depended on, and the rewritten graph."""

    original: FlatGraph
    given: Any
    result: FlatGraph

    def answers(self, inputs: Sequence[Any], outputs: Sequence[Any], given: Any) -> bool:
        if self.given != given or self.original.inputs != tuple(v.type for v in inputs):
            return False
        stored_inputs, stored_outputs = self.original.variables()
        return bool(equal_computations(stored_outputs, list(outputs), stored_inputs, list(inputs)))


def cached_rewrite(
    inputs: Sequence[Any], outputs: Sequence[Any], given: Any, rewrite: Callable[[], FunctionGraph]
) -> tuple[list[Any], list[Any]]:
    """Return a graph after rewriting, from disk where an equal graph was rewritten before.

    Parameters
    ----------
    inputs, outputs
        The graph; shared variables in it must be among the inputs.
    given
        Whatever else the rewriting depends on.
    rewrite
        Makes the rewritten graph; called only if it is not on disk.

    Returns
    -------
    tuple
        Inputs and outputs of the rewritten graph, the same whether it was read or newly made.
    """
    original = FlatGraph.of(inputs, outputs)
    file = folder() / f"{hashlib.sha256((original.outline + repr(given)).encode()).hexdigest()[:32]}.pickle"
    stored = _read(file)
    if stored is not None and stored.answers(inputs, outputs, given):
        return stored.result.variables()
    graph = rewrite()
    result = FlatGraph.of(graph.inputs, graph.outputs, graph.toposort())
    if not original.may_hold_data:
        _write(file, _Stored(original, given, result))
    return result.variables()


def folder() -> Path:
    """The folder of rewritten graphs, beside PyTensor's own cache: one for each set of versions and settings."""
    versions = f"pytensor-{pytensor.__version__}-pymc-{pm.__version__}-python-{platform.python_version()}"
    settings = pytensor.config.get_config_hash()[:8]
    return compile_cache.own_folder() / f"{versions}-{settings}"


def signed_name(file: Path) -> str:
    """Return the name for which a file is signed: its folder and its own name.

    Parameters
    ----------
    file
        Of the cache.

    Returns
    -------
    str
        The same wherever the cache lies.
    """
    return f"{file.parent.name}/{file.name}"


def _read(file: Path) -> _Stored | None:
    content = compile_cache.unseal(signed_name(file), file)
    if content is None:
        return None
    try:
        stored = pickle.loads(content)
    except _UNREADABLE:  # of no use to these versions: a new file will replace it
        return None
    return stored if isinstance(stored, _Stored) else None


class _Pickler(pickle.Pickler):
    """Writes operations that are made of others without the gradients that they keep, which are functions."""

    def reducer_override(self, thing: Any) -> Any:
        """Leave out what a graph's operation computes again when asked."""
        if not isinstance(thing, OpFromGraph):
            return NotImplemented
        return copyreg.__newobj__, (type(thing),), vars(thing) | {"_lop_op_cache": {}, "_rop_op_cache": None}  # type: ignore[attr-defined]  # of a module whose stub leaves it out


def _pickled(stored: _Stored) -> bytes:
    file = io.BytesIO()
    _Pickler(file).dump(stored)
    return file.getvalue()


def _write(file: Path, stored: _Stored) -> None:
    """Write a file completely or not at all, and remove the oldest files."""
    # a full disk, a missing permission, or a user's own operation that cannot be pickled: nothing is stored
    with contextlib.suppress(OSError, BadInput, pickle.PickleError, AttributeError, TypeError):
        content = compile_cache.seal(signed_name(file), _pickled(stored))
        if content is None:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_files(file) as (partial,):
            partial.write_bytes(content)
        files = sorted(file.parent.parent.glob("*/*.pickle"), key=lambda f: f.stat().st_mtime)
        for old in files[:-_MOST_STORED]:
            old.unlink(missing_ok=True)
