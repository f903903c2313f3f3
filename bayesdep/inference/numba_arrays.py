"""Arrays that lie at given addresses, as numba's code sees them."""

from collections.abc import Sequence
from typing import Any

import numba
from numba.np.arrayobj import populate_array

types: Any = numba.types  # numba is not typed


def array_at(context: Any, builder: Any, kind: Any, data: Any, shape: Sequence[Any]) -> Any:
    """Write an array of numba's around numbers that lie in memory, rows one after the other.

    Parameters
    ----------
    context, builder
        Numba's, which write the code.
    kind
        The array's type.
    data
        Pointer to its first number.
    shape
        Its extents, as values of the code.

    Returns
    -------
    llvmlite.ir.Value
        The array.
    """
    size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    strides: list[Any] = []
    step = size
    for extent in reversed(shape):
        strides.insert(0, step)
        step = builder.mul(step, extent)
    array = context.make_array(kind)(context, builder)
    populate_array(array, data=data, shape=list(shape), strides=strides, itemsize=size, meminfo=None)  # type: ignore[no-untyped-call]  # numba is not typed
    return array._getvalue()


def array_of_table(context: Any, builder: Any, kind: Any, words: Any, at: int) -> Any:
    """Write an array of numba's whose address and shape stand in a table of whole numbers.

    Parameters
    ----------
    context, builder
        Numba's, which write the code.
    kind
        The array's type.
    words
        Pointer to the table.
    at
        Place of the address in it; the extents follow.

    Returns
    -------
    llvmlite.ir.Value
        The array.
    """
    row = [builder.load(builder.gep(words, [context.get_constant(types.intp, at + j)])) for j in range(1 + kind.ndim)]
    data = builder.inttoptr(row[0], context.get_data_type(kind.dtype).as_pointer())
    return array_at(context, builder, kind, data, row[1:])
