"""Text of one LLVM function: values, loops, buffers and calls.

A value is written as LLVM writes it: a name such as ``%v7``, or a literal. Text is made directly; building it from
objects (``llvmlite.ir``) takes several times longer for the thousands of instructions of one density.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NamedTuple

import numpy as np

LLVM_TYPES = {
    "float64": "double", "float32": "float", "int64": "i64", "int32": "i32", "int16": "i16", "int8": "i8",
    "uint64": "i64", "uint32": "i32", "uint16": "i16", "uint8": "i8", "bool": "i1",
}  # fmt: skip
_ON_STACK = 4096  # bytes: smaller buffers are variables of their own, which LLVM can keep in registers


class Unsupported(Exception):
    """A graph has something for which there is no rule; the message says what."""


class Scalar(NamedTuple):
    """One number: its LLVM value and dtype."""

    value: str
    dtype: str


@dataclass(frozen=True)
class View:
    """An array of known shape somewhere in memory.

    Parameters
    ----------
    pointer
        LLVM value of its memory.
    dtype
        Of its elements.
    shape, strides
        In elements; a stride of 0 repeats one element.
    offset
        Of its first element.
    buffer
        Number of the buffer that it lies in; None for inputs and constants.
    """

    pointer: str
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    buffer: int | None = None

    @property
    def is_contiguous(self) -> bool:
        """Whether its elements lie side by side in C order."""
        return all(n == 1 or s == c for n, s, c in zip(self.shape, self.strides, contiguous(self.shape), strict=True))

    def broadcast_to(self, shape: Sequence[int]) -> "View":
        """Repeat it along dims where it has length 1."""
        ahead = len(shape) - len(self.shape)
        strides = [0] * ahead
        for n, s, wanted in zip(self.shape, self.strides, shape[ahead:], strict=True):
            if n not in (1, wanted):
                raise Unsupported(f"shape {self.shape} for {tuple(shape)}")
            strides.append(s if n == wanted else 0)
        return replace(self, shape=tuple(shape), strides=tuple(strides))


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of an array in C order."""
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


def literal(value: Any, dtype: str) -> str:
    """Write a number as LLVM does."""
    if dtype == "float64":
        return f"0x{int(np.float64(value).view(np.uint64)):016X}"
    if dtype == "float32":  # written as the double of the same value
        return f"0x{int(np.float64(np.float32(value)).view(np.uint64)):016X}"
    if dtype == "bool":
        return "true" if value else "false"
    return str(int(value))


def in_memory(dtype: str) -> str:
    """Return the LLVM type of an element in memory."""
    return "i8" if dtype == "bool" else LLVM_TYPES[dtype]


def _nothing(level: int, index: list[str]) -> None:
    """Write nothing around a loop."""


@dataclass
class _Buffer:
    size: int
    first: int
    last: int


class Text:
    """The text of a function while it is written."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.top: list[str] = []  # constants and declarations of the module
        self.declared: dict[str, int | None] = {}  # names of functions elsewhere, and their addresses where known
        self.failures: list[str] = []  # addresses of marks that are not 0 after an operation that failed
        self.block = "entry"
        self.step = 0
        self._buffers: list[_Buffer] = []
        self._variables: list[str] = []
        self._count = 0

    def new(self, prefix: str = "v") -> str:
        """Return a name not used before."""
        self._count += 1
        return f"{prefix}{self._count}"

    def make(self, instruction: str) -> str:
        """Write an instruction; return the name of its value."""
        name = "%" + self.new()
        self.lines.append(f"{name} = {instruction}")
        return name

    def write(self, instruction: str) -> None:
        """Write an instruction without a value."""
        self.lines.append(instruction)

    def start(self, block: str) -> None:
        """Begin a block."""
        self.lines.append(f"{block}:")
        self.block = block

    def go(self, block: str) -> None:
        """Go to a block, and begin it."""
        self.write(f"br label %{block}")
        self.start(block)

    def declare(
        self, name: str, kind: str, arguments: Sequence[str], address: int | None = None, pure: bool = True
    ) -> None:
        """Declare a function elsewhere."""
        if name not in self.declared:
            self.declared[name] = address
            attributes = "nounwind willreturn memory(none)" if pure else "nounwind"
            self.top.append(f'declare {kind} @"{name}"({", ".join(arguments)}) {attributes}')

    def call(self, name: str, dtype: str, values: Sequence[str], address: int | None = None) -> Scalar:
        """Call a function of numbers of one dtype."""
        kind = LLVM_TYPES[dtype]
        self.declare(name, kind, [kind] * len(values), address)
        return Scalar(self.make(f'call {kind} @"{name}"({", ".join(f"{kind} {v}" for v in values)})'), dtype)

    def variable(self, kind: str) -> str:
        """Return the address of a new variable."""
        name = "%" + self.new("a")
        self._variables.append(f"{name} = alloca {kind}, align 8")
        return name

    def buffer(self, dtype: str, shape: Sequence[int]) -> View:
        """Return a new array."""
        size = max(prod(shape), 1) * np.dtype(dtype).itemsize
        self._buffers.append(_Buffer(size, self.step, self.step))
        number = len(self._buffers) - 1
        return View(f"%b{number}", dtype, tuple(shape), contiguous(shape), 0, number)

    def constant(self, value: np.ndarray) -> View:
        """Return an array of constants."""
        name, kind, dtype = "@" + self.new("c"), in_memory(value.dtype.name), value.dtype.name
        memory = "uint8" if dtype == "bool" else dtype
        elements = ", ".join(f"{kind} {literal(x, memory)}" for x in value.ravel().tolist())
        self.top.append(f"{name} = internal constant [{value.size} x {kind}] [{elements}], align 16")
        return View(name, dtype, value.shape, contiguous(value.shape))

    def used(self, view: View) -> None:
        """Note that a buffer is needed up to here."""
        if view.buffer is not None:
            self._buffers[view.buffer].last = self.step

    def address(self, view: View, index: Sequence[str]) -> str:
        """Return the address of an element."""
        self.used(view)
        total = str(view.offset)
        for i, n, stride in zip(index, view.shape, view.strides, strict=True):
            if stride == 0 or n == 1 or i == "0":
                continue
            term = i if stride == 1 else self.make(f"mul nsw i64 {i}, {stride}")
            total = term if total == "0" else self.make(f"add nsw i64 {total}, {term}")
        if total == "0":
            return view.pointer
        return self.make(f"getelementptr inbounds {in_memory(view.dtype)}, ptr {view.pointer}, i64 {total}")

    def load(self, view: View, index: Sequence[str]) -> Scalar:
        """Read an element."""
        return self.load_at(self.address(view, index), view.dtype)

    def load_at(self, address: str, dtype: str) -> Scalar:
        """Read an element at an address."""
        value = self.make(f"load {in_memory(dtype)}, ptr {address}")
        return Scalar(self.make(f"icmp ne i8 {value}, 0") if dtype == "bool" else value, dtype)

    def store(self, view: View, index: Sequence[str], scalar: Scalar) -> None:
        """Write an element."""
        self.store_at(self.address(view, index), scalar)

    def store_at(self, address: str, scalar: Scalar) -> None:
        """Write an element at an address."""
        value = self.make(f"zext i1 {scalar.value} to i8") if scalar.dtype == "bool" else scalar.value
        self.write(f"store {in_memory(scalar.dtype)} {value}, ptr {address}")

    @contextmanager
    def loop(self, length: int) -> Iterator[str]:
        """Repeat what is written inside; yields the index."""
        if length == 1:
            yield "0"
            return
        before, top, after = self.block, self.new("loop"), self.new("end")
        i, following = "%" + self.new("i"), "%" + self.new("n")
        self.go(top)
        at = len(self.lines)
        yield i
        self.lines.insert(at, f"{i} = phi i64 [ 0, %{before} ], [ {following}, %{self.block} ]")
        self.write(f"{following} = add nuw nsw i64 {i}, 1")
        done = self.make(f"icmp eq i64 {following}, {length}")
        self.write(f"br i1 {done}, label %{after}, label %{top}")
        self.start(after)

    def nest(
        self,
        shape: Sequence[int],
        body: Callable[[list[str]], None],
        enter: Callable[[int, list[str]], None] = _nothing,
        leave: Callable[[int, list[str]], None] = _nothing,
        index: Sequence[str] = (),
    ) -> None:
        """Write loops over all elements; ``enter`` and ``leave`` are written around each level's loop."""
        index = list(index)
        level = len(index)
        enter(level, index)
        if level == len(shape):
            body(index)
        elif shape[level]:
            with self.loop(shape[level]) as i:
                self.nest(shape, body, enter, leave, [*index, i])
        leave(level, index)

    def finished(self) -> tuple[list[str], list[str], list[str]]:
        """Return the lines of module, entry (buffers and variables) and body."""
        entry, blocks = list(self._variables), []
        for number, buffer in enumerate(self._buffers):
            if buffer.size <= _ON_STACK:
                entry.append(f"%b{number} = alloca [{buffer.size} x i8], align 32")
            else:
                blocks.append(number)
        places, total = _places([self._buffers[n] for n in blocks])
        body = self.lines
        if blocks:
            self.top += ["declare noalias ptr @malloc(i64) nounwind", "declare void @free(ptr) nounwind"]
            entry.append(f"%block = call ptr @malloc(i64 {total + 64})")
            entry += ["%whole = ptrtoint ptr %block to i64", "%up = add i64 %whole, 63", "%round = and i64 %up, -64",
                      "%past = sub i64 %round, %whole", "%base = getelementptr i8, ptr %block, i64 %past"]  # fmt: skip
            for number, place in zip(blocks, places, strict=True):
                entry.append(f"%b{number} = getelementptr inbounds i8, ptr %base, i64 {place}")
            body = [
                line for x in body for line in (("call void @free(ptr %block)", x) if x.startswith("ret ") else (x,))
            ]
        return self.top, entry, body


def _places(buffers: Sequence[_Buffer]) -> tuple[list[int], int]:
    """Place buffers in one block, those of disjoint times over one another; returns their offsets and the length."""
    placed: list[tuple[int, int, _Buffer]] = []
    offsets = []
    for buffer in buffers:
        size, at = -(-buffer.size // 64) * 64, 0
        for start, end, other in sorted(placed, key=lambda p: p[0]):
            if other.last < buffer.first or buffer.last < other.first:
                continue
            if at + size <= start:
                break
            at = max(at, end)
        placed.append((at, at + size, buffer))
        offsets.append(at)
    return offsets, max((end for _, end, _ in placed), default=0)
