"""A log density and its gradient as one function of machine code, called by the sampler at its address."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pytensor.graph.fg import FunctionGraph

from bayesdep.inference.compiler import scalars
from bayesdep.inference.compiler.foreign import foreign
from bayesdep.inference.compiler.graphs import Lowering
from bayesdep.inference.compiler.machine import Machine, machine_code
from bayesdep.inference.compiler.text import Scalar, Text, Unsupported, View, contiguous, literal
from bayesdep.inference.status import NOT_FINITE, OK, WRONG_LENGTH

_FIXED = (0, 1, 64)  # elements of whole numbers among the data that are compiled in, tried in turn
_ARGUMENTS = "i64 %length, ptr noalias %point, ptr noalias %gradient, ptr noalias %value, ptr noalias %table"
_COPY = """\
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define i64 @copy(i64 %length, i64 %expanded, ptr %point, ptr %out, ptr %table) {
entry:
  %bytes = mul i64 %length, 8
  call void @llvm.memcpy.p0.p0.i64(ptr %out, ptr %point, i64 %bytes, i1 false)
  ret i64 0
}
"""


@dataclass(frozen=True)
class Function:
    """A C function.

    Parameters
    ----------
    address
        Where it is.
    machine
        Keeps it in memory.
    """

    address: int
    machine: Machine

    @property
    def ctypes(self) -> Any:
        """The density's function for calls from Python."""
        double = ctypes.POINTER(ctypes.c_double)
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, double, double, double, ctypes.c_void_p)
        return kind(self.address)


@dataclass(frozen=True)
class Data:
    """What of the data was compiled in: all shapes, and the whole numbers that decide on lengths inside the graph.

    Parameters
    ----------
    shapes
        Of every array.
    fixed
        Values of some of them, by their place.
    """

    shapes: tuple[tuple[int, ...], ...]
    fixed: tuple[tuple[int, tuple[int, ...]], ...]

    def fits(self, values: Sequence[np.ndarray]) -> bool:
        """Whether the code serves for these data."""
        if tuple(x.shape for x in values) != self.shapes:
            return False
        return all(tuple(values[i].ravel().tolist()) == known for i, known in self.fixed)


def compile_graph(
    inputs: Sequence[Any], outputs: Sequence[Any], length: int, values: Sequence[np.ndarray], keep: bool
) -> tuple[Function, Function, Data]:
    """Compile a rewritten graph.

    Parameters
    ----------
    inputs, outputs
        Of the graph: the point and the arrays of data; log density and gradient.
    length
        Of the point.
    values
        The data.
    keep
        Whether the machine code may be kept on disk.

    Returns
    -------
    tuple
        The density, a function that returns a point unchanged, and for which data they are.

    Raises
    ------
    Unsupported
        When the graph has something that is not known here.
    """
    graph = FunctionGraph(list(inputs), list(outputs), clone=False)
    order = graph.toposort()
    for limit in _FIXED:
        try:
            source, text, data = _source(order, graph, length, values, limit)
            break
        except Unsupported:
            if limit == _FIXED[-1]:
                raise
    symbols = {name: address for name, address in text.declared.items() if address is not None}
    machine = machine_code(source, ("logp", "copy"), symbols, keep=keep)
    return Function(machine.addresses["logp"], machine), Function(machine.addresses["copy"], machine), data


def _source(order: Any, graph: Any, length: int, values: Sequence[np.ndarray], limit: int) -> tuple[str, Text, Data]:
    text = Text()
    wrong = text.make(f"icmp ne i64 %length, {length}")
    text.write(f"br i1 {wrong}, label %wrong, label %right")
    text.start("wrong")
    text.write(f"ret i64 {WRONG_LENGTH}")
    text.start("right")
    known: dict[Any, Any] = {graph.inputs[0]: View("%point", "float64", (length,), (1,))}
    fixed, word = [], 0
    for i, (variable, x) in enumerate(zip(graph.inputs[1:], values, strict=True)):
        place = text.make(f"getelementptr i64, ptr %table, i64 {word}")
        pointer = text.make(f"load ptr, ptr {place}")
        word += 1 + x.ndim
        if x.dtype.kind in "iu" and x.size <= limit:
            known[variable] = np.array(x)
            fixed.append((i, tuple(x.ravel().tolist())))
        else:
            known[variable] = View(pointer, x.dtype.name, x.shape, contiguous(x.shape))
    low = Lowering(text, foreign)
    logp, gradient = low.graph(order, known, graph.outputs)
    _finish(text, low, logp, gradient, length)
    top, entry, body = text.finished()
    lines = [*top, f"define i64 @logp({_ARGUMENTS}) {{", "entry:", *entry, *body, "}", _COPY]
    return "\n".join(lines), text, Data(tuple(x.shape for x in values), tuple(fixed))


def _finish(text: Text, low: Lowering, logp: Any, gradient: Any, length: int) -> None:
    """Copy the results to where the sampler reads them, and say whether they are numbers."""
    slopes, out = low.view(gradient), View("%gradient", "float64", (length,), (1,))
    infinity, finite = literal(np.inf, "float64"), text.variable("i8")
    text.write(f"store i8 1, ptr {finite}")

    def is_number(x: Scalar) -> str:
        size = text.call("llvm.fabs.f64", "float64", [x.value])
        return text.make(f"fcmp olt double {size.value}, {infinity}")

    def body(index: list[str]) -> None:
        slope = scalars.cast(text, text.load(slopes, index), "float64")
        text.store(out, index, slope)
        before = text.load_at(finite, "bool").value
        text.store_at(finite, Scalar(text.make(f"and i1 {before}, {is_number(slope)}"), "bool"))

    text.nest((length,), body)
    value = scalars.cast(text, low.scalar(logp), "float64")
    good = text.load_at(finite, "bool").value
    for failed in text.failures:
        well = text.make(f"icmp eq i64 {failed}, 0")
        good = text.make(f"and i1 {good}, {well}")
    text.store_at("%value", scalars.choose(text, good, value, scalars.number(np.nan, "float64")))
    good = text.make(f"and i1 {good}, {is_number(value)}")
    text.write(f"ret i64 {text.make(f'select i1 {good}, i64 {OK}, i64 {NOT_FINITE}')}")
