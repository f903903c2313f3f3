"""Operations of the package itself, which numba compiles: called at their addresses, one compilation for all models."""

import hashlib
from typing import Any

import numba
import pytensor
from numba.core.cgutils import raw_memcpy
from numba.extending import intrinsic
from pytensor.link.numba.dispatch.basic import numba_funcify_ensure_cache

from bayesdep.inference.compiler import arrays
from bayesdep.inference.compiler.text import Scalar, Unsupported, View
from bayesdep.inference.numba_arrays import array_of_table

types: Any = numba.types  # numba is not typed
_compiled: dict[Any, Any] = {}
_FAILED, _DONE = 1, 0


def foreign(low: Any, node: Any, inputs: list[Any]) -> list[View]:
    """Write a call of an operation.

    The addresses and shapes of its arrays are written into a table, which the compiled code reads; it copies its
    results to where the table says.

    Parameters
    ----------
    low
        What writes the function.
    node
        The operation with its variables.
    inputs
        Its inputs.

    Returns
    -------
    list of View
        Its outputs.

    Raises
    ------
    Unsupported
        When it is not an operation of this package.
    """
    op, text = node.op, low.text
    if not type(op).__module__.startswith("bayesdep."):
        raise Unsupported(f"operation {type(op).__name__}")
    given = [arrays.side_by_side(text, low.view(x)) for x in inputs]
    shapes = op.infer_shape(node, [x.shape for x in given])
    made = [text.buffer(v.type.dtype, tuple(s)) for v, s in zip(node.outputs, shapes, strict=True)]
    words: list[str] = [str(_FAILED)]
    for x in (*given, *made):
        words += [text.make(f"ptrtoint ptr {text.address(x, ['0'] * len(x.shape))} to i64"), *map(str, x.shape)]
    table = text.buffer("int64", (len(words),))
    for i, word in enumerate(words):
        text.store(table, [str(i)], Scalar(word, "int64"))
    kinds = tuple((x.dtype, len(x.shape)) for x in given)
    name = f"bayesdep.{hashlib.sha256(repr((op, kinds)).encode()).hexdigest()[:16]}"
    text.declare(name, "i64", ["ptr"], _address(node, kinds), pure=False)
    text.write(f'call i64 @"{name}"(ptr {table.pointer})')
    text.failures.append(text.load(table, ["0"]).value)
    return made


def _address(node: Any, kinds: Any) -> int:
    """Address of an operation's code; it is compiled once per process, and read from PyTensor's cache."""
    key = (node.op, kinds)
    if key not in _compiled:
        with pytensor.config.change_flags(numba__fastmath=False):
            function, _ = numba_funcify_ensure_cache(node.op, node=node)
        _compiled[key] = _as_c(function, kinds)
    return int(_compiled[key].address)


def _as_c(function: Any, given: Any) -> Any:
    """A C function of a table of addresses and shapes."""
    kinds = types.StarArgTuple.from_types(tuple(types.Array(getattr(types, dtype), dims, "C") for dtype, dims in given))
    function.compile((kinds,))
    call = _on_table(function.overloads[(kinds,)], kinds)

    def with_table(table: Any) -> int:
        call(table)
        return _DONE

    return numba.cfunc(types.int64(types.voidptr))(with_table)


def _on_table(compiled: Any, kinds: Any) -> Any:
    address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    result, arguments = compiled.signature.return_type, compiled.signature.args

    @intrinsic
    def call(context: Any, given: Any) -> Any:  # noqa: ARG001  (numba's signature)
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ARG001  (numba's)
            integer = context.get_value_type(types.intp)
            words = builder.bitcast(values[0], integer.as_pointer())
            made, at = [], 1
            for kind in kinds:
                made.append(array_of_table(context, builder, kind, words, at))
                at += 1 + kind.ndim
            convention = context.call_conv
            kind = convention.get_function_type(result, arguments).as_pointer()
            function = builder.inttoptr(context.get_constant(types.intp, address), kind)
            status, out = convention.call_function(
                builder, function, result, arguments, [context.make_tuple(builder, kinds, made)]
            )
            with builder.if_then(status.is_ok, likely=True):
                is_one = isinstance(result, types.Array)
                results = [result] if is_one else list(result)
                parts = [out] if is_one else [builder.extract_value(out, i) for i in range(len(results))]
                for kind, part in zip(results, parts, strict=True):
                    array = context.make_array(kind)(context, builder, value=part)
                    place = builder.load(builder.gep(words, [context.get_constant(types.intp, at)]))
                    target = builder.inttoptr(place, array.data.type)
                    size = builder.mul(array.nitems, array.itemsize)
                    raw_memcpy(builder, target, array.data, size, 1)  # type: ignore[no-untyped-call]  # numba is not typed
                    context.nrt.decref(builder, kind, part)
                    at += 1 + kind.ndim
                builder.store(context.get_constant(types.intp, _DONE), words)
            return context.get_dummy_value()

        return types.void(given), generate

    return call
