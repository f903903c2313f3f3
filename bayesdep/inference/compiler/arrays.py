"""Operations on arrays as loops of known length."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from pytensor.scalar import basic as ps

from bayesdep.inference.compiler import scalars
from bayesdep.inference.compiler.text import Scalar, Text, Unsupported, View, contiguous, in_memory

Sink = Callable[[list[str], Scalar], None]


@dataclass(frozen=True)
class Gather:
    """An array read through index arrays on neighbouring dims.

    Parameters
    ----------
    source
        The array.
    at
        The first dim that is indexed.
    indices
        One index array per indexed dim, all in one shape.
    """

    source: View
    at: int
    indices: tuple[View, ...]

    @property
    def dtype(self) -> str:
        """Of its elements."""
        return self.source.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what is read."""
        shape = self.source.shape
        return shape[: self.at] + self.indices[0].shape + shape[self.at + len(self.indices) :]

    def address(self, text: Text, index: Sequence[str]) -> str:
        """Return the address of an element; negative indices count from the end."""
        end = self.at + len(self.indices[0].shape)
        found = []
        for dim, array in enumerate(self.indices, start=self.at):
            i = scalars.cast(text, text.load(array, index[self.at : end]), "int64")
            if not array.dtype.startswith("u"):
                below = scalars.compare(text, ps.LT, i, scalars.number(0, "int64"))
                wrapped = Scalar(text.make(f"add i64 {i.value}, {self.source.shape[dim]}"), "int64")
                i = scalars.choose(text, below.value, wrapped, i)
            found.append(i.value)
        return text.address(self.source, [*index[: self.at], *found, *index[end:]])


Operand = Scalar | View | Gather


@dataclass(frozen=True)
class Broadcast:
    """An operand of a loop over more dims than its own: aligned at the last dim, repeated where its length is 1."""

    operand: Operand
    shape: tuple[int, ...]

    def read(self, text: Text, index: list[str]) -> Scalar:
        """Read the element of a place of the loop."""
        x = self.operand
        if isinstance(x, Scalar):
            return x
        own = index[len(index) - len(x.shape) :]
        own = ["0" if n == 1 else i for i, n in zip(own, x.shape, strict=True)]
        return text.load(x, own) if isinstance(x, View) else text.load_at(x.address(text, own), x.dtype)


def loop_shape(operands: Sequence[Operand], dims: int) -> tuple[int, ...]:
    """Return the shape that operands are broadcast to."""
    shape = [1] * dims
    for x in operands:
        if isinstance(x, Scalar):
            continue
        for i, n in enumerate(reversed(x.shape), start=1):
            if n != 1 and shape[-i] not in (1, n):
                raise Unsupported(f"lengths {n} and {shape[-i]} in one loop")
            if n != 1:
                shape[-i] = n
    return tuple(shape)


@dataclass(frozen=True)
class Reduction:
    """A reduction of a loop's values over some of its dims.

    Parameters
    ----------
    op
        The scalar operation.
    axes
        The dims.
    dtype
        In which it is accumulated.
    """

    op: Any
    axes: tuple[int, ...]
    dtype: str

    @property
    def identity(self) -> Scalar:
        """The result over nothing."""
        kind = type(self.op)
        if kind in (ps.Maximum, ps.Minimum):
            if self.dtype == "bool":
                raise Unsupported("a maximum of truth values")
            if scalars.is_float(self.dtype):
                return scalars.number(-np.inf if kind is ps.Maximum else np.inf, self.dtype)
            limits = np.iinfo(self.dtype)
            return scalars.number(limits.min if kind is ps.Maximum else limits.max, self.dtype)
        return scalars.number(1 if kind in (ps.Mul, ps.AND) else 0, self.dtype)


@dataclass
class Target:
    """Where the values of one output of a loop go: an array, or a reduction's variable or array."""

    output: View
    reduction: Reduction | None = None
    variable: str | None = None
    level: int = 0

    @classmethod
    def reduced(cls, text: Text, shape: tuple[int, ...], reduction: Reduction) -> "Target":
        """Make what a reduction needs."""
        kept = tuple(n for i, n in enumerate(shape) if i not in reduction.axes)
        output, level = text.buffer(reduction.dtype, kept), len(kept)
        if reduction.axes == tuple(range(level, len(shape))):  # the last dims: one variable serves each element in turn
            return cls(output, reduction, text.variable(in_memory(reduction.dtype)), level)
        text.nest(kept, lambda index: text.store(output, index, reduction.identity))
        strides, own = [], list(output.strides)
        for i in range(len(shape)):
            strides.append(0 if i in reduction.axes else own.pop(0))
        return cls(replace(output, shape=shape, strides=tuple(strides)), reduction)

    def enter(self, text: Text, level: int) -> None:
        """Begin a level of the loops."""
        if self.variable and self.reduction and level == self.level:
            text.store_at(self.variable, self.reduction.identity)

    def leave(self, text: Text, level: int, index: list[str]) -> None:
        """End a level of the loops."""
        if self.variable and level == self.level:
            text.store(self.output, index, text.load_at(self.variable, self.output.dtype))

    def put(self, text: Text, index: list[str], value: Scalar) -> None:
        """Take a value."""
        value = scalars.cast(text, value, self.output.dtype)
        if self.reduction is None:
            text.store(self.output, index, value)
            return
        place = self.variable or text.address(self.output, index)
        before = text.load_at(place, value.dtype)
        text.store_at(place, scalars.combine(text, self.reduction.op, before, value))


def elementwise(
    text: Text, op: Any, operands: Sequence[Operand], dims: int, dtypes: Sequence[str], sinks: Sequence[Any]
) -> None:
    """Write the loops of an elementwise operation.

    Parameters
    ----------
    text
        The function.
    op
        The scalar operation.
    operands
        Its operands.
    dims
        Of the loops.
    dtypes
        Of the scalar operation's outputs.
    sinks
        For each output, what takes its values: each has ``put``, ``enter`` and ``leave``.
    """
    shape = loop_shape(operands, dims)
    first = [x for x in operands if not isinstance(x, Scalar)]
    hoisted = {
        i: text.load(x, ["0"] * len(x.shape))
        for i, x in enumerate(operands)
        if isinstance(x, View) and prod(x.shape) == 1 and first
    }
    readers = [Broadcast(hoisted.get(i, x), shape) for i, x in enumerate(operands)]

    def body(index: list[str]) -> None:
        values = scalars.compute(text, op, [r.read(text, index) for r in readers], dtypes)
        for value, of_value in zip(values, sinks, strict=True):
            for sink in of_value:
                sink.put(text, index, value)

    every = [sink for of_value in sinks for sink in of_value]

    def enter(level: int, index: list[str]) -> None:  # noqa: ARG001  (as nest calls it)
        for sink in every:
            sink.enter(text, level)

    def leave(level: int, index: list[str]) -> None:
        for sink in every:
            sink.leave(text, level, index)

    text.nest(shape, body, enter, leave)


@dataclass
class Scatter:
    """Values added to, or put into, an array through index arrays."""

    target: Gather
    add: bool

    def enter(self, text: Text, level: int) -> None:
        """Nothing."""

    def leave(self, text: Text, level: int, index: list[str]) -> None:
        """Nothing."""

    def put(self, text: Text, index: list[str], value: Scalar) -> None:
        """Take a value."""
        own = index[len(index) - len(self.target.shape) :]
        place = self.target.address(text, own)
        update(text, place, scalars.cast(text, value, self.target.dtype), self.add)


def update(text: Text, place: str, value: Scalar, add: bool) -> None:
    """Put a value at an address, or add it to what is there."""
    if add:
        value = scalars.fold(text, ps.Add, [text.load_at(place, value.dtype), value])
    text.store_at(place, value)


def copy(text: Text, source: Operand, target: View, add: bool = False) -> None:
    """Copy an array, repeated where its lengths are 1, into another of the same or a larger shape."""
    reader = Broadcast(source, target.shape)

    def body(index: list[str]) -> None:
        value = scalars.cast(text, reader.read(text, index), target.dtype)
        update(text, text.address(target, index), value, add)

    text.nest(target.shape, body)


def side_by_side(text: Text, x: View) -> View:
    """Return an array with its elements in C order, copied if they are not."""
    if x.is_contiguous:
        return x
    new = text.buffer(x.dtype, x.shape)
    copy(text, x, new)
    return new


def reshaped(text: Text, x: View, shape: Sequence[int]) -> View:
    """Return an array's elements in another shape."""
    x = side_by_side(text, x)
    return replace(x, shape=tuple(shape), strides=contiguous(shape))


def transposed(x: View, order: Sequence[Any]) -> View:
    """Return an array with its dims in another order, and new ones of length 1 at ``"x"``."""
    shape = tuple(1 if i == "x" else x.shape[i] for i in order)
    return replace(x, shape=shape, strides=tuple(0 if i == "x" else x.strides[i] for i in order))


def sliced(x: View, places: Sequence[int | slice]) -> View:
    """Return a part of an array."""
    offset, shape, strides = x.offset, [], []
    for i, n in enumerate(x.shape):
        place = places[i] if i < len(places) else slice(None)
        if isinstance(place, slice):
            start, stop, step = place.indices(n)
            shape.append(len(range(start, stop, step)))
            strides.append(step * x.strides[i])
            offset += start * x.strides[i] if shape[-1] else 0
        else:
            if not -n <= place < n:
                raise Unsupported(f"index {place} of {n}")
            offset += (place % n) * x.strides[i]
    return replace(x, shape=tuple(shape), strides=tuple(strides), offset=offset)
