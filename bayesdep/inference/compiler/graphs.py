"""A rewritten PyTensor graph as the text of a function: one rule for each operation that the models use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from pytensor.compile.builders import OpFromGraph
from pytensor.graph.basic import Apply, Constant
from pytensor.raise_op import CheckAndRaise
from pytensor.scalar import basic as ps
from pytensor.scalar.basic import ScalarOp, identity
from pytensor.tensor import basic as tb
from pytensor.tensor import subtensor as tsub
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.extra_ops import CumOp
from pytensor.tensor.math import Dot
from pytensor.tensor.rewriting.fused_elemwise import FusedElemwise
from pytensor.tensor.shape import Reshape, Shape_i, SpecifyShape

from bayesdep.inference.compiler import arrays, scalars
from bayesdep.inference.compiler.arrays import Gather, Operand, Reduction, Scatter, Target
from bayesdep.inference.compiler.text import Scalar, Text, Unsupported, View

_FOLDED = 64  # elements of a constant that is computed here instead of by the function

# What a variable is while the function is written: known now, a number, or an array in memory.
Lowered = Any  # numpy.ndarray, Scalar or View


class Lowering:
    """Writes graphs.

    Parameters
    ----------
    text
        The function.
    foreign
        Writes an operation for which there is no rule here, from its node and inputs.
    """

    def __init__(self, text: Text, foreign: Callable[["Lowering", Any, list[Lowered]], list[View]]) -> None:
        self.text = text
        self.foreign = foreign
        self.frames: list[_Frame] = []

    def graph(self, order: Sequence[Apply], known: dict[Any, Lowered], outputs: Sequence[Any]) -> list[Lowered]:
        """Write a graph's operations in an order; return its outputs."""
        frame = _Frame.of(order, outputs)
        self.frames.append(frame)

        def value(variable: Any) -> Lowered:
            if variable not in known and isinstance(variable, Constant):
                known[variable] = variable.data if variable.data is None else np.asarray(variable.data)
            return known[variable]

        for variable, x in known.items():
            frame.hold(variable, x)
        for frame.now, node in enumerate(order):
            self.text.step += 1
            inputs = [value(v) for v in node.inputs]
            for variable, x in zip(node.outputs, self.node(node, inputs), strict=True):
                known[variable] = x
                frame.hold(variable, x)
        self.frames.pop()
        self.text.step += 1
        return [value(v) for v in outputs]

    def node(self, node: Any, inputs: list[Lowered]) -> list[Lowered]:
        """Write one operation."""
        op = node.op
        if not isinstance(op, tb.Alloc | CheckAndRaise) and all(x is None or isinstance(x, np.ndarray) for x in inputs):
            found = _inlined(self, node, inputs) if isinstance(op, OpFromGraph) else _known(node, inputs)
            if found is not None:
                return found
        for kinds, rule in _RULES:
            if isinstance(op, kinds):
                return rule(self, node, inputs)
        return list(self.foreign(self, node, inputs))

    def operand(self, x: Lowered) -> Scalar | View:
        """Return a variable for use in a loop."""
        if isinstance(x, np.ndarray):
            return scalars.number(x.item(), x.dtype.name) if x.size == 1 and x.ndim == 0 else self.text.constant(x)
        return x

    def view(self, x: Lowered) -> View:
        """Return a variable as an array in memory."""
        x = self.operand(x)
        if isinstance(x, View):
            return x
        new = self.text.buffer(x.dtype, ())
        self.text.store(new, [], x)
        return new

    def scalar(self, x: Lowered) -> Scalar:
        """Return a variable as a number."""
        x = self.operand(x)
        return x if isinstance(x, Scalar) else self.text.load(x, ["0"] * len(x.shape))

    def whole(self, x: Lowered) -> int:
        """Return a whole number that must be known now."""
        if not isinstance(x, np.ndarray) or x.size != 1:
            raise Unsupported("a length or place that depends on data")
        return int(x.item())

    def writable(self, inputs: Sequence[Lowered], at: int = 0) -> View:
        """Return an input's array to be changed: the same one where nothing else reads it later, or a copy."""
        x = inputs[at]
        if isinstance(x, View) and x.buffer is not None and (0 not in x.strides or prod(x.shape) == 1):
            readers = sum(isinstance(y, View) and y.buffer == x.buffer for y in inputs)
            if readers == 1 and all(frame.is_last(x.buffer) for frame in self.frames):
                return x
        return self.copied(x)

    def copied(self, x: Lowered) -> View:
        """Return a copy of an array."""
        x = self.operand(x)
        new = self.text.buffer(x.dtype, () if isinstance(x, Scalar) else x.shape)
        arrays.copy(self.text, x, new)
        return new


@dataclass
class _Frame:
    """A graph while it is written: which variables lie in which buffer, and where each is read last."""

    last: dict[Any, int]
    held: dict[int, list[Any]] = field(default_factory=dict)
    now: int = 0

    @classmethod
    def of(cls, order: Sequence[Apply], outputs: Sequence[Any]) -> "_Frame":
        last = {v: i for i, node in enumerate(order) for v in node.inputs}
        return cls(last | dict.fromkeys(outputs, len(order)))

    def hold(self, variable: Any, x: Lowered) -> None:
        if isinstance(x, View) and x.buffer is not None:
            self.held.setdefault(x.buffer, []).append(variable)

    def is_last(self, buffer: int) -> bool:
        return all(self.last.get(v, -1) <= self.now for v in self.held.get(buffer, ()))


def _known(node: Any, inputs: list[Any]) -> list[np.ndarray] | None:
    """Compute an operation of constants now; None where the result is large or no array."""
    if any(x is not None and x.size > _FOLDED for x in inputs):
        return None
    if isinstance(node.op, tb.ARange) and abs((inputs[1] - inputs[0]) // (inputs[2] or 1)) > _FOLDED:
        return None
    storage: list[list[Any]] = [[None] for _ in node.outputs]
    with np.errstate(all="ignore"):
        if isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, ps.Composite):
            storage = [[x] for x in _composite(node, inputs)]
        else:
            numbers = isinstance(node.op, ScalarOp)
            given = [x[()] if numbers and x is not None and not x.ndim else x for x in inputs]
            node.op.perform(node, given, storage)
    kinds = [np.dtype(v.type.dtype) for v in node.outputs]
    return [np.array(cell, dtype=kind) for (cell,), kind in zip(storage, kinds, strict=True)]


def _composite(node: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Compute several steps of every element; PyTensor's own way (3.3) fails where 501 meets a constant of int8."""
    given = np.broadcast_arrays(*inputs)
    found = [np.empty(given[0].shape, dtype=v.type.dtype) for v in node.outputs]
    for place in np.ndindex(given[0].shape):
        storage: list[list[Any]] = [[None] for _ in node.outputs]
        node.op.scalar_op.perform(None, [x[place] for x in given], storage)  # of NumPy's numbers, not of Python's
        for values, (cell,) in zip(found, storage, strict=True):
            values[place] = cell
    return found


def _elemwise(low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    operands = [low.operand(x) for x in inputs]
    dtypes = [v.type.dtype for v in node.outputs]
    dims = node.outputs[0].type.ndim
    if dims == 0:
        return list(scalars.compute(low.text, node.op.scalar_op, [low.scalar(x) for x in operands], dtypes))
    outputs = [low.text.buffer(d, arrays.loop_shape(operands, dims)) for d in dtypes]
    arrays.elementwise(low.text, node.op.scalar_op, operands, dims, dtypes, [[Target(x)] for x in outputs])
    return list(outputs)


def _scalar(low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    return list(
        scalars.compute(low.text, node.op, [low.scalar(x) for x in inputs], [v.type.dtype for v in node.outputs])
    )


def _reduction_of(op: Any, dims: int, dtype: str) -> Reduction:
    axes = tuple(range(dims)) if op.axis is None else tuple(op.axis)
    accumulator = getattr(op, "acc_dtype", None) or dtype
    if accumulator != dtype:
        raise Unsupported(f"a sum of {dtype} in {accumulator}")
    return Reduction(op.scalar_op, axes, dtype)


def _reduce(low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    x = low.view(inputs[0])
    reduction = _reduction_of(node.op, len(x.shape), node.outputs[0].type.dtype)
    target = Target.reduced(low.text, x.shape, reduction)
    arrays.elementwise(low.text, identity, [x], len(x.shape), [x.dtype], [[target]])
    return [_result(target, x.shape)]


def _result(target: Target, shape: Sequence[int]) -> View:
    """The array behind a reduction's target."""
    if target.variable or target.reduction is None:
        return target.output
    kept = [i for i in range(len(shape)) if i not in target.reduction.axes]
    return replace(
        target.output,
        shape=tuple(target.output.shape[i] for i in kept),
        strides=tuple(target.output.strides[i] for i in kept),
    )


def _fused(low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    """Indexed reads, an elementwise operation, and reductions or indexed writes of its outputs, in one loop."""
    graph = node.op.fgraph
    known: dict[Any, Any] = dict(zip(graph.inputs, inputs, strict=True))

    def value(variable: Any) -> Any:
        if variable not in known and isinstance(variable, Constant):
            known[variable] = np.asarray(variable.data)
        return known[variable]

    order = list(graph.toposort())
    (middle,) = [n for n in order if isinstance(n.op, Elemwise)]
    later = _descendants(order, middle)
    for n in order:
        if n is not middle and n not in later:
            if isinstance(n.op, tsub.AdvancedSubtensor):
                known[n.outputs[0]] = _gather(low, n.op.idx_list, value(n.inputs[0]), [value(v) for v in n.inputs[1:]])
            else:
                known.update(zip(n.outputs, low.node(n, [value(v) for v in n.inputs]), strict=True))
    operands: list[Operand] = [
        x if isinstance(x, Gather) else low.operand(x) for x in (value(v) for v in middle.inputs)
    ]
    dims = middle.outputs[0].type.ndim
    shape = arrays.loop_shape(operands, dims)
    sinks: list[list[Any]] = [[] for _ in middle.outputs]
    stored = set(graph.outputs)
    for n in later:
        of = [middle.outputs.index(v) for v in n.inputs if v in middle.outputs]
        if isinstance(n.op, CAReduce):
            target = Target.reduced(low.text, shape, _reduction_of(n.op, dims, n.outputs[0].type.dtype))
            sinks[of[0]].append(target)
            known[n.outputs[0]] = _result(target, shape)
        elif isinstance(n.op, tsub.AdvancedIncSubtensor) and of and middle.outputs[of[0]] is n.inputs[1]:
            known_target = value(n.inputs[0])
            at = next((i for i, x in enumerate(inputs) if x is known_target), None)
            new = low.copied(known_target) if at is None else low.writable(inputs, at)
            place = _gather(low, n.op.idx_list, new, [value(v) for v in n.inputs[2:]])
            sinks[of[0]].append(Scatter(place, not n.op.set_instead_of_inc))
            known[n.outputs[0]] = new
            if place.shape != shape:
                raise Unsupported("an indexed write of values in another shape")
        else:
            stored |= set(n.inputs)
    for i, variable in enumerate(middle.outputs):
        if variable in stored or not sinks[i]:
            known[variable] = low.text.buffer(variable.type.dtype, shape)
            sinks[i].append(Target(known[variable]))
    dtypes = [v.type.dtype for v in middle.outputs]
    arrays.elementwise(low.text, middle.op.scalar_op, operands, dims, dtypes, sinks)
    for n in later:
        if n.outputs[0] not in known:
            known.update(zip(n.outputs, low.node(n, [value(v) for v in n.inputs]), strict=True))
    return [value(v) for v in graph.outputs]


def _descendants(order: Sequence[Any], first: Any) -> list[Any]:
    made, found = set(first.outputs), []
    for n in order:
        if any(v in made for v in n.inputs):
            found.append(n)
            made |= set(n.outputs)
    return found


def _inlined(low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    graph = node.op.fgraph
    return low.graph(list(graph.toposort()), dict(zip(graph.inputs, inputs, strict=True)), graph.outputs)


def _gather(low: Lowering, places: Sequence[Any], source: Lowered, indices: list[Any]) -> Gather:
    x = low.view(source)
    at = [i for i, p in enumerate(places) if not isinstance(p, slice)]
    full = all(p == slice(None) for p in places if isinstance(p, slice))
    if not at or not full or at != list(range(at[0], at[0] + len(at))):
        raise Unsupported("an index of arrays and slices")
    found = [low.view(i) for i in indices]
    if any(i.dtype == "bool" or scalars.is_float(i.dtype) for i in found):
        raise Unsupported("an index that is no whole number")
    shape = arrays.loop_shape(found, max(len(i.shape) for i in found))
    return Gather(x, at[0], tuple(i.broadcast_to(shape) for i in found))


def _take(low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    gather = _gather(low, node.op.idx_list, inputs[0], inputs[1:])
    new = low.text.buffer(gather.dtype, gather.shape)
    arrays.copy(low.text, gather, new)
    return [new]


def _scatter(low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    new = low.writable(inputs)
    target = _gather(low, node.op.idx_list, new, inputs[2:])
    value = arrays.Broadcast(low.operand(inputs[1]), target.shape)
    sink = Scatter(target, not node.op.set_instead_of_inc)
    low.text.nest(target.shape, lambda index: sink.put(low.text, index, value.read(low.text, index)))
    return [new]


def _places(low: Lowering, op: Any, inputs: Sequence[Lowered]) -> list[int | slice]:
    def whole(i: int | None) -> int | None:
        return None if i is None or inputs[i] is None else low.whole(inputs[i])

    return [
        slice(whole(p.start), whole(p.stop), whole(p.step)) if isinstance(p, slice) else low.whole(inputs[p])
        for p in op.idx_list
    ]


def _slice(low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    return [arrays.sliced(low.view(inputs[0]), _places(low, node.op, inputs[1:]))]


def _put(low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    new = low.writable(inputs)
    part = arrays.sliced(new, _places(low, node.op, inputs[2:]))
    arrays.copy(low.text, low.operand(inputs[1]), part, add=not node.op.set_instead_of_inc)
    return [new]


def _alloc(low: Lowering, _node: Any, inputs: list[Lowered]) -> list[Lowered]:
    return [low.view(inputs[0]).broadcast_to([low.whole(n) for n in inputs[1:]])]


def _length(_low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    x = inputs[0]
    return [np.array(x.shape[node.op.i], dtype=np.int64)]


def _shuffle(low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    x = low.operand(inputs[0])
    if isinstance(x, Scalar) and not node.op.new_order:
        return [x]
    return [arrays.transposed(low.view(x), node.op.new_order)]


def _reshape(low: Lowering, _node: Any, inputs: list[Lowered]) -> list[Lowered]:
    x, wanted = low.view(inputs[0]), inputs[1]
    if not isinstance(wanted, np.ndarray):
        raise Unsupported("a shape that depends on data")
    shape = [int(n) for n in wanted]
    if -1 in shape:
        others = -prod(shape)
        shape[shape.index(-1)] = prod(x.shape) // others if others else 0
    if prod(shape) != prod(x.shape):
        raise Unsupported(f"shape {x.shape} as {shape}")
    return [arrays.reshaped(low.text, x, shape)]


def _split(low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    x, lengths = low.view(inputs[0]), inputs[1]
    if not isinstance(lengths, np.ndarray):
        raise Unsupported("lengths that depend on data")
    ends, axis = np.cumsum(lengths), node.op.axis
    if ends[-1] != x.shape[axis]:
        raise Unsupported("a split into parts of other lengths")
    ahead: list[int | slice] = [slice(None)] * axis
    return [arrays.sliced(x, [*ahead, slice(int(e - n), int(e))]) for n, e in zip(lengths, ends, strict=True)]


def _join(low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    parts = [low.view(x) for x in inputs]
    axis = node.op.axis
    shape = list(parts[0].shape)
    shape[axis] = sum(x.shape[axis] for x in parts)
    new, start = low.text.buffer(node.outputs[0].type.dtype, shape), 0
    for x in parts:
        stop = start + x.shape[axis]
        arrays.copy(low.text, x, arrays.sliced(new, [*[slice(None)] * axis, slice(start, stop)]))
        start = stop
    return [new]


def _vector(low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    new = low.text.buffer(node.outputs[0].type.dtype, (len(inputs),))
    for i, x in enumerate(inputs):
        low.text.store(new, [str(i)] if len(inputs) > 1 else ["0"], scalars.cast(low.text, low.scalar(x), new.dtype))
    return [new]


def _range(low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    start, stop, step = (low.whole(x) for x in inputs)
    new = low.text.buffer("int64", (len(range(start, stop, step)),))

    def body(index: list[str]) -> None:
        times = low.text.make(f"mul i64 {index[0]}, {step}")
        low.text.store(new, index, Scalar(low.text.make(f"add i64 {times}, {start}"), "int64"))

    if node.outputs[0].type.dtype != "int64":
        raise Unsupported("a range of other numbers")
    low.text.nest(new.shape, body)
    return [new]


def _diagonal(low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    x, op = low.view(inputs[0]), node.op
    rows, columns = x.shape[op.axis1], x.shape[op.axis2]
    down, right = max(-op.offset, 0), max(op.offset, 0)
    others = [i for i in range(len(x.shape)) if i not in (op.axis1, op.axis2)]
    found = replace(
        x,
        shape=(*(x.shape[i] for i in others), max(min(rows - down, columns - right), 0)),
        strides=(*(x.strides[i] for i in others), x.strides[op.axis1] + x.strides[op.axis2]),
        offset=x.offset + down * x.strides[op.axis1] + right * x.strides[op.axis2],
    )
    if op.view_map:
        return [found]
    new = low.text.buffer(found.dtype, found.shape)
    arrays.copy(low.text, found, new)
    return [new]


def _cumulate(low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    x, op = low.view(inputs[0]), node.op
    if op.axis is None or op.mode not in ("add", "mul"):
        raise Unsupported(f"cumulative {op.mode} over all elements")
    combine = ps.add if op.mode == "add" else ps.mul
    new, axis = low.text.buffer(node.outputs[0].type.dtype, x.shape), op.axis % len(x.shape)
    order = [i for i in range(len(x.shape)) if i != axis] + [axis]
    source, target = (arrays.transposed(a, order) for a in (x, new))
    start, total = Reduction(combine, (axis,), new.dtype), low.text.variable("double")

    def enter(level: int, index: list[str]) -> None:  # noqa: ARG001  (as nest calls it)
        if level == len(order) - 1:
            low.text.store_at(total, start.identity)

    def body(index: list[str]) -> None:
        before = low.text.load_at(total, new.dtype)
        found = scalars.combine(
            low.text, combine, before, scalars.cast(low.text, low.text.load(source, index), new.dtype)
        )
        low.text.store_at(total, found)
        low.text.store(target, index, found)

    low.text.nest(source.shape, body, enter)
    return [new]


def _dot(low: Lowering, node: Any, inputs: list[Lowered]) -> list[Lowered]:
    a, b = (low.view(x) for x in inputs)
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise Unsupported("a product of vectors")
    rows, columns = (
        replace(a, shape=(a.shape[0], 1, a.shape[1]), strides=(a.strides[0], 0, a.strides[1])),
        replace(b, shape=(1, b.shape[1], b.shape[0]), strides=(0, b.strides[1], b.strides[0])),
    )
    shape = (a.shape[0], b.shape[1], a.shape[1])
    target = Target.reduced(low.text, shape, Reduction(ps.add, (2,), node.outputs[0].type.dtype))
    arrays.elementwise(low.text, ps.mul, [rows, columns], 3, [target.output.dtype], [[target]])
    return [target.output]


def _same(_low: Lowering, _node: Any, inputs: list[Lowered]) -> list[Lowered]:
    return [inputs[0]]


def _number(low: Lowering, _node: Any, inputs: list[Lowered]) -> list[Lowered]:
    return [low.scalar(inputs[0])]


def _checked(_low: Lowering, _node: Any, inputs: list[Lowered]) -> list[Lowered]:
    if not all(isinstance(x, np.ndarray) and x.all() for x in inputs[1:]):
        raise Unsupported("a check while the density is computed")
    return [inputs[0]]


def _specified(low: Lowering, _node: Any, inputs: list[Lowered]) -> list[Lowered]:
    x = low.view(inputs[0])
    for n, wanted in zip(x.shape, inputs[1:], strict=True):
        if wanted is not None and low.whole(wanted) != n:
            raise Unsupported("data of another shape")
    return [x]


Rule = Callable[[Lowering, Any, list[Any]], list[Any]]
_RULES: list[tuple[Any, Rule]] = [
    (FusedElemwise, _fused), (OpFromGraph, _inlined), (Elemwise, _elemwise), (ScalarOp, _scalar), (CAReduce, _reduce),
    (tsub.AdvancedSubtensor, _take), (tsub.AdvancedIncSubtensor, _scatter), (tsub.Subtensor, _slice),
    (tsub.IncSubtensor, _put), (tb.Alloc, _alloc), (Shape_i, _length), (DimShuffle, _shuffle),
    (Reshape, _reshape), (tb.Split, _split), (tb.Join, _join), (tb.MakeVector, _vector), (tb.ARange, _range),
    (tb.ExtractDiag, _diagonal), (CumOp, _cumulate), (Dot, _dot), (tb.ScalarFromTensor, _number),
    (tb.TensorFromScalar, _same), (CheckAndRaise, _checked), (SpecifyShape, _specified),
]  # fmt: skip
