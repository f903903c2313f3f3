"""Sums and products of many numbers side by side, as vector instructions in compiled code.

Numba vectorises loops only where it can show that their arrays do not overlap, and never short ones; these two steps
decide how fast :mod:`bayesdep.numerics.patient_integrals` is. Each is stated in NumPy, which uncompiled code runs, and
written a second time as LLVM's vectors: the same operations in the same order, so the same numbers.
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
_WHOLE = (types.intp,) * 4  # rows of work, and the rows from first to last


def multiply_factors(
    above: np.ndarray, odds: np.ndarray, work: np.ndarray, product: int, moved: int, first: int, last: int
) -> None:
    """Write ``1 + odds[e] * work[moved]`` into the rows ``e`` of ``above``, and multiply ``work[product]`` by each.

    Parameters
    ----------
    above
        Shape (ends, LANES).
    odds
        Shape (ends,).
    work
        Shape (rows, LANES).
    product, moved
        Which rows of ``work``: a view of a row would cost compiled code as much as the row's sums.
    first, last
        The first of the rows ``e``, and the one behind the last.
    """
    for e in range(first, last):
        above[e] = 1.0 + odds[e] * work[moved]
        work[product] *= above[e]


def add_shares(
    above: np.ndarray, shares: np.ndarray, work: np.ndarray, slope: int, weight: int, first: int, last: int
) -> None:
    """Add ``weight - weight / above[e]`` to the rows ``e`` of ``shares``, and write their sum over rows.

    Parameters
    ----------
    above, shares
        Shape (ends, LANES).
    work
        Shape (rows, LANES).
    slope, weight
        Which rows of ``work``: that of the sum, and that of the weight.
    first, last
        The first of the rows ``e``, and the one behind the last.
    """
    work[slope] = 0.0
    for e in range(first, last):
        share = work[weight] - work[weight] / above[e]
        shares[e] += share
        work[slope] += share


class _Rows:
    """Arrays of an intrinsic function, read and written a vector at a time."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder, self.whole = builder, lambda n: context.get_constant(types.intp, n)
        arrays = zip(signature.args[:3], arguments[:3], strict=True)
        self.data = [context.make_array(kind)(context, builder, array).data for kind, array in arrays]
        self.written, self.read, self.first, self.last = arguments[3:]

    def each(self) -> Any:
        """A loop over rows."""
        return cgutils.for_range_slice(self.builder, self.first, self.last, self.whole(1))  # type: ignore[no-untyped-call]  # numba is not typed

    def place(self, data: Any, part: int, row: Any) -> Any:
        """Address of a vector."""
        at = self.builder.add(self.builder.mul(row, self.whole(LANES)), self.whole(_TOGETHER * part))  # type: ignore[no-untyped-call]  # llvmlite is not typed
        return self.builder.bitcast(self.builder.gep(data, [at]), _VECTOR.as_pointer())

    def load(self, data: Any, part: int, row: Any) -> Any:
        """Read a vector."""
        return self.builder.load(self.place(data, part, row), align=8)

    def store(self, value: Any, data: Any, part: int, row: Any) -> None:
        """Write a vector."""
        self.builder.store(value, self.place(data, part, row), align=8)

    def everywhere(self, data: Any, row: Any) -> Any:
        """A vector of one number."""
        number = self.builder.load(self.builder.gep(data, [row]))
        undefined, index = ir.Constant(_VECTOR, ir.Undefined), ir.VectorType(ir.IntType(32), _TOGETHER)
        one = self.builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(one, undefined, ir.Constant(index, [0] * _TOGETHER))

    def constant(self, number: float) -> Any:
        """A vector of one number known now."""
        return ir.Constant(_VECTOR, [number] * _TOGETHER)


@intrinsic
def _multiply(context: Any, above: Any, odds: Any, work: Any, product: Any, moved: Any, first: Any, last: Any) -> Any:  # noqa: ARG001  (numba's signature)
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows = _Rows(context, builder, signature, arguments)
        above, odds, work = rows.data
        factors = [rows.load(work, k, rows.read) for k in _PARTS]
        total = [cgutils.alloca_once_value(builder, rows.load(work, k, rows.written)) for k in _PARTS]  # type: ignore[no-untyped-call]  # numba is not typed
        with rows.each() as (row, _):
            number = rows.everywhere(odds, row)
            for k in _PARTS:
                value = builder.fadd(rows.constant(1.0), builder.fmul(number, factors[k]))
                rows.store(value, above, k, row)
                builder.store(builder.fmul(builder.load(total[k]), value), total[k])
        for k in _PARTS:
            rows.store(builder.load(total[k]), work, k, rows.written)
        return context.get_dummy_value()

    return types.void(above, odds, work, *_WHOLE), generate


@intrinsic
def _add(context: Any, above: Any, shares: Any, work: Any, slope: Any, weight: Any, first: Any, last: Any) -> Any:  # noqa: ARG001  (numba's signature)
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows = _Rows(context, builder, signature, arguments)
        above, shares, work = rows.data
        weights = [rows.load(work, k, rows.read) for k in _PARTS]
        total = [cgutils.alloca_once_value(builder, rows.constant(0.0)) for _ in _PARTS]  # type: ignore[no-untyped-call]  # numba is not typed
        with rows.each() as (row, _):
            for k in _PARTS:
                share = builder.fsub(weights[k], builder.fdiv(weights[k], rows.load(above, k, row)))
                rows.store(builder.fadd(rows.load(shares, k, row), share), shares, k, row)
                builder.store(builder.fadd(builder.load(total[k]), share), total[k])
        for k in _PARTS:
            rows.store(builder.load(total[k]), work, k, rows.written)
        return context.get_dummy_value()

    return types.void(above, shares, work, *_WHOLE), generate


@overload(multiply_factors, strict=False)
def _compiled_multiply(above: Any, odds: Any, work: Any, product: Any, moved: Any, first: Any, last: Any) -> Any:  # noqa: ARG001  (numba's)
    return lambda above, odds, work, product, moved, first, last: _multiply(  # type: ignore[call-arg]  # numba's gives the context
        above, odds, work, product, moved, first, last
    )


@overload(add_shares, strict=False)
def _compiled_add(above: Any, shares: Any, work: Any, slope: Any, weight: Any, first: Any, last: Any) -> Any:  # noqa: ARG001  (numba's)
    return lambda above, shares, work, slope, weight, first, last: _add(above, shares, work, slope, weight, first, last)  # type: ignore[call-arg]  # numba's gives the context
