"""Sums and products of many numbers side by side, as vector instructions in compiled code.

Numba vectorises loops only where it can show that their arrays do not overlap, and never short ones or sums; these
steps decide how fast :mod:`bayesdep.numerics.patient_integrals` is. Each is stated in NumPy, which uncompiled code
runs, and written a second time as LLVM's vectors: the same operations in the same order, so the same numbers.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

LANES = 24  # numbers side by side: the length of every row here
_TOGETHER = 8  # of one vector; LLVM splits it for narrower machines
_VECTOR = ir.VectorType(ir.DoubleType(), _TOGETHER)
_PARTS = range(LANES // _TOGETHER)


def multiply_factors(
    above: np.ndarray, before: np.ndarray, odds: np.ndarray, work: np.ndarray, product: int, moved: int, first: int,
    last: int,
) -> None:  # fmt: skip
    """Multiply ``work[product]`` by the factors ``1 + odds[e] * work[moved]``, one after the other.

    Parameters
    ----------
    above, before
        Where every factor, and the product before it, are written: shape (ends, LANES).
    odds
        Shape (ends,).
    work
        Shape (rows, LANES).
    product, moved
        Which rows of ``work``: a view of a row would cost compiled code as much as the row's sums.
    first, last
        The first of the ends ``e``, and the one behind the last.
    """
    for e in range(first, last):
        before[e] = work[product]
        above[e] = 1.0 + odds[e] * work[moved]
        work[product] *= above[e]


def add_shares(
    above: np.ndarray, before: np.ndarray, shares: np.ndarray, work: np.ndarray, slope: int, weight: int, inverse: int,
    first: int, last: int,
) -> None:  # fmt: skip
    """Add the sum of ``weight - weight / above[e]`` to every ``shares[e]``, and write the sum over ends.

    No factor is divided by: the inverse of one is the inverse of a product over the one before, so these go from the
    last end to the first, and ``work[inverse]`` with them.

    Parameters
    ----------
    above, before
        As :func:`multiply_factors` writes them: shape (ends, LANES).
    shares
        Shape (ends,).
    work
        Shape (rows, LANES).
    slope, weight, inverse
        Which rows of ``work``: that of the sum over ends, that of the weight, and that of the inverse of the product
        up to the last end, which is that of the product before the first afterwards.
    first, last
        The first of the ends ``e``, and the one behind the last.
    """
    work[slope] = 0.0
    for e in range(last - 1, first - 1, -1):
        share = work[weight] - work[weight] * (before[e] * work[inverse])
        work[inverse] *= above[e]
        shares[e] += _halved(np.add, share)
        work[slope] += share


def weigh(work: np.ndarray, bell: np.ndarray, at: int, weight: int, product: int, inverse: int, value: float,
          ratio: float) -> None:  # fmt: skip
    """Write ``value * ratio**k * bell[at, k] / product`` at every place k, and the inverse of the product.

    Parameters
    ----------
    work, bell
        Shape (rows, LANES).
    at
        Which row of ``bell``.
    weight, product, inverse
        Which rows of ``work``.
    value, ratio
        Numbers.
    """
    squared = ratio * ratio
    fourth = squared * squared
    powers = np.array([1.0, ratio, squared, squared * ratio, fourth, fourth * ratio, fourth * squared,
                       fourth * (squared * ratio)])  # fmt: skip
    scaled = np.concatenate([value * powers, value * (fourth * fourth) * powers,
                             value * (fourth * fourth) * (fourth * fourth) * powers])  # fmt: skip
    work[inverse] = 1.0 / work[product]
    work[weight] = scaled * bell[at] * work[inverse]


def total_of(work: np.ndarray, row: int) -> float:
    """Return the sum of a row."""
    return float(_halved(np.add, work[row]))


def highest_of(work: np.ndarray, row: int) -> float:
    """Return the highest number of a row without those that are none; 0 if no number is above."""
    return float(_halved(np.fmax, np.fmax(work[row], 0.0)))


def moment_of(work: np.ndarray, plus: int, minus: int, start: float, space: float) -> float:
    """Return the sum over places k of ``(work[plus, k] - work[minus, k]) * (start + space * k)``."""
    return float(_halved(np.add, (work[plus] - work[minus]) * (start + space * np.arange(LANES))))


def _halved(combine: np.ufunc, row: np.ndarray) -> Any:
    """A row's numbers combined in the order of vectors: the vectors, then the halves of what they give."""
    parts = row.reshape(-1, _TOGETHER)
    value = parts[0]
    for part in parts[1:]:
        value = combine(value, part)
    while len(value) > 1:
        half = len(value) // 2
        value = combine(value[:half], value[half:])
    return value[0]


class _Vectors:
    """Rows of an intrinsic function's arrays, read, written and computed with a vector at a time."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder, self.whole = builder, lambda n: context.get_constant(types.intp, n)
        given = zip(signature.args, arguments, strict=True)
        self.given = [
            context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
            for kind, value in given
        ]

    def place(self, data: Any, part: int, row: Any) -> Any:
        """Address of a vector."""
        at = self.builder.add(self.builder.mul(row, self.whole(LANES)), self.whole(_TOGETHER * part))  # type: ignore[no-untyped-call]  # llvmlite is not typed
        return self.builder.bitcast(self.builder.gep(data, [at]), _VECTOR.as_pointer())

    def load(self, data: Any, row: Any) -> list[Any]:
        """Read a row."""
        return [self.builder.load(self.place(data, k, row), align=8) for k in _PARTS]

    def store(self, values: list[Any], data: Any, row: Any) -> None:
        """Write a row."""
        for k, value in enumerate(values):
            self.builder.store(value, self.place(data, k, row), align=8)

    def variables(self, values: list[Any]) -> list[Any]:
        """Vectors that change in a loop."""
        return [cgutils.alloca_once_value(self.builder, value) for value in values]  # type: ignore[no-untyped-call]  # numba is not typed

    def each(self, name: str, one: list[Any], other: list[Any]) -> list[Any]:
        """One operation on pairs of vectors: fadd, fsub, fmul or fdiv."""
        return [getattr(self.builder, name)(a, b) for a, b in zip(one, other, strict=True)]

    def everywhere(self, number: Any) -> list[Any]:
        """A row of one number."""
        undefined, index = ir.Constant(_VECTOR, ir.Undefined), ir.VectorType(ir.IntType(32), _TOGETHER)
        one = self.builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        return [self.builder.shuffle_vector(one, undefined, ir.Constant(index, [0] * _TOGETHER))] * len(_PARTS)

    def constants(self, numbers: list[float]) -> list[Any]:
        """A row of numbers known now."""
        return [ir.Constant(_VECTOR, numbers[_TOGETHER * k : _TOGETHER * (k + 1)]) for k in _PARTS]

    def halved(self, combine: Any, values: list[Any]) -> Any:
        """As of :func:`_halved`."""
        value = values[0]
        for part in values[1:]:
            value = combine(value, part)
        half = _TOGETHER
        while half > 1:
            half //= 2
            index = ir.VectorType(ir.IntType(32), half)
            pair = [
                self.builder.shuffle_vector(value, value, ir.Constant(index, list(range(at, at + half))))
                for at in (0, half)
            ]
            value = combine(*pair)
        return self.builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    def larger(self, one: Any, other: Any) -> Any:
        """The larger of two vectors' numbers; ``one`` where the other is no number."""
        return self.builder.select(self.builder.fcmp_ordered(">", other, one), other, one)


_ZERO = [0.0] * LANES
_ONE = [1.0] * LANES
_PLACES = [float(k) for k in range(LANES)]


@intrinsic
def _multiply(
    context: Any, above: Any, before: Any, odds: Any, work: Any, product: Any, moved: Any, first: Any, last: Any  # noqa: ARG001  (numba's signature)
) -> Any:  # fmt: skip
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = _Vectors(context, builder, signature, arguments)
        above, before, odds, work, product, moved, first, last = v.given
        factors, total = v.load(work, moved), v.variables(v.load(work, product))
        with cgutils.for_range_slice(builder, first, last, v.whole(1)) as (e, _):  # type: ignore[no-untyped-call]  # numba is not typed
            so_far = [builder.load(x) for x in total]
            v.store(so_far, before, e)
            number = v.everywhere(builder.load(builder.gep(odds, [e])))
            value = v.each("fadd", v.constants(_ONE), v.each("fmul", number, factors))
            v.store(value, above, e)
            for x, product_of in zip(total, v.each("fmul", so_far, value), strict=True):
                builder.store(product_of, x)
        v.store([builder.load(x) for x in total], work, product)
        return context.get_dummy_value()

    return types.void(above, before, odds, work, *(types.intp,) * 4), generate


@intrinsic
def _add(
    context: Any, above: Any, before: Any, shares: Any, work: Any, slope: Any, weight: Any, inverse: Any, first: Any,  # noqa: ARG001  (numba's signature)
    last: Any,  # noqa: ARG001  (numba's signature)
) -> Any:  # fmt: skip
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = _Vectors(context, builder, signature, arguments)
        above, before, shares, work, slope, weight, inverse, first, last = v.given
        weights, total = v.load(work, weight), v.variables(v.constants(_ZERO))
        rest = v.variables(v.load(work, inverse))
        with cgutils.for_range(builder, builder.sub(last, first)) as loop:
            e = builder.sub(builder.sub(last, v.whole(1)), loop.index)  # type: ignore[no-untyped-call]  # llvmlite is not typed
            left = [builder.load(x) for x in rest]
            inverses = v.each("fmul", v.load(before, e), left)
            share = v.each("fsub", weights, v.each("fmul", weights, inverses))
            for x, new in zip(rest, v.each("fmul", left, v.load(above, e)), strict=True):
                builder.store(new, x)
            at = builder.gep(shares, [e])
            builder.store(builder.fadd(builder.load(at), v.halved(builder.fadd, share)), at)
            for x, new in zip(total, v.each("fadd", [builder.load(x) for x in total], share), strict=True):
                builder.store(new, x)
        v.store([builder.load(x) for x in total], work, slope)
        v.store([builder.load(x) for x in rest], work, inverse)
        return context.get_dummy_value()

    return types.void(above, before, shares, work, *(types.intp,) * 5), generate


@intrinsic
def _weigh(
    context: Any, work: Any, bell: Any, at: Any, weight: Any, product: Any, inverse: Any, value: Any, ratio: Any  # noqa: ARG001  (numba's signature)
) -> Any:  # fmt: skip
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = _Vectors(context, builder, signature, arguments)
        work, bell, at, weight, product, inverse, value, ratio = v.given
        squared = builder.fmul(ratio, ratio)
        cubed, fourth = builder.fmul(squared, ratio), builder.fmul(squared, squared)
        powers = [ir.Constant(ir.DoubleType(), 1.0), ratio, squared, cubed, fourth]
        powers += [builder.fmul(fourth, x) for x in (ratio, squared, cubed)]
        vector = ir.Constant(_VECTOR, ir.Undefined)
        for k, power in enumerate(powers):
            vector = builder.insert_element(vector, power, ir.Constant(ir.IntType(32), k))
        scale, numbers, eighth = value, [], builder.fmul(fourth, fourth)
        for k in _PARTS:
            scale = builder.fmul(scale, eighth) if k else scale
            numbers.append(builder.fmul(v.everywhere(scale)[0], vector))
        inverses = v.each("fdiv", v.constants(_ONE), v.load(work, product))
        v.store(inverses, work, inverse)
        v.store(v.each("fmul", v.each("fmul", numbers, v.load(bell, at)), inverses), work, weight)
        return context.get_dummy_value()

    return types.void(work, bell, *(types.intp,) * 4, types.float64, types.float64), generate


@intrinsic
def _total(context: Any, work: Any, row: Any) -> Any:  # noqa: ARG001  (numba's signature)
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = _Vectors(context, builder, signature, arguments)
        return v.halved(builder.fadd, v.load(*v.given))

    return types.float64(work, types.intp), generate


@intrinsic
def _highest(context: Any, work: Any, row: Any) -> Any:  # noqa: ARG001  (numba's signature)
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = _Vectors(context, builder, signature, arguments)
        found = [v.larger(zero, x) for zero, x in zip(v.constants(_ZERO), v.load(*v.given), strict=True)]
        return v.halved(v.larger, found)

    return types.float64(work, types.intp), generate


@intrinsic
def _moment(context: Any, work: Any, plus: Any, minus: Any, start: Any, space: Any) -> Any:  # noqa: ARG001  (numba's signature)
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = _Vectors(context, builder, signature, arguments)
        work, plus, minus, start, space = v.given
        along = v.each("fmul", v.everywhere(space), v.constants(_PLACES))
        places = v.each("fadd", v.everywhere(start), along)
        return v.halved(builder.fadd, v.each("fmul", v.each("fsub", v.load(work, plus), v.load(work, minus)), places))

    return types.float64(work, types.intp, types.intp, types.float64, types.float64), generate


# numba matches an overload's parameters by name; each gives its own intrinsic what it is given


@overload(multiply_factors, strict=False)
def _compiled_multiply(
    above: Any, before: Any, odds: Any, work: Any, product: Any, moved: Any, first: Any, last: Any  # noqa: ARG001  (numba's)
) -> Any:  # fmt: skip
    return lambda above, before, odds, work, product, moved, first, last: _multiply(  # type: ignore[call-arg]  # numba's gives the context
        above, before, odds, work, product, moved, first, last
    )


@overload(add_shares, strict=False)
def _compiled_add(
    above: Any, before: Any, shares: Any, work: Any, slope: Any, weight: Any, inverse: Any, first: Any, last: Any  # noqa: ARG001  (numba's)
) -> Any:  # fmt: skip
    return lambda above, before, shares, work, slope, weight, inverse, first, last: _add(  # type: ignore[call-arg]  # numba's gives the context
        above, before, shares, work, slope, weight, inverse, first, last
    )


@overload(weigh, strict=False)
def _compiled_weigh(
    work: Any, bell: Any, at: Any, weight: Any, product: Any, inverse: Any, value: Any, ratio: Any  # noqa: ARG001  (numba's)
) -> Any:  # fmt: skip
    return lambda work, bell, at, weight, product, inverse, value, ratio: _weigh(  # type: ignore[call-arg]  # numba's gives the context
        work, bell, at, weight, product, inverse, value, ratio
    )


@overload(total_of, strict=False)
def _compiled_total(work: Any, row: Any) -> Any:  # noqa: ARG001  (numba's)
    return lambda work, row: _total(work, row)  # type: ignore[call-arg]  # numba's gives the context


@overload(highest_of, strict=False)
def _compiled_highest(work: Any, row: Any) -> Any:  # noqa: ARG001  (numba's)
    return lambda work, row: _highest(work, row)  # type: ignore[call-arg]  # numba's gives the context


@overload(moment_of, strict=False)
def _compiled_moment(work: Any, plus: Any, minus: Any, start: Any, space: Any) -> Any:  # noqa: ARG001  (numba's)
    return lambda work, plus, minus, start, space: _moment(work, plus, minus, start, space)  # type: ignore[call-arg]  # numba's gives the context
