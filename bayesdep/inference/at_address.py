"""A log density and gradient as a C function, by parts of PyTensor, numba and llvmlite that are not public.

PyTensor keeps its machine code on disk; the wrapper made here calls it there by its address, so that it is not
optimised again in every process. A version that lacks one of the names used here raises ``ImportError`` or
``AttributeError``, and :mod:`bayesdep.inference.native` goes the public way.
"""

import threading
from collections.abc import Sequence
from math import prod
from typing import Any

import numba
import numpy as np
import pymc as pm
import pytensor
from numba.extending import intrinsic
from pymc.pytensorf import compile
from pytensor.compile.mode import AddDestroyHandler, Mode, get_mode
from pytensor.graph.rewriting.basic import SequentialGraphRewriter
from pytensor.link.numba.linker import NumbaLinker

from bayesdep.inference.cached_rewrite import FlatGraph, cached_rewrite
from bayesdep.inference.computation import Computation, flat_density
from bayesdep.inference.notes import say_slower
from bayesdep.inference.numba_arrays import array_at, array_of_table
from bayesdep.inference.status import NOT_FINITE, OK, WRONG_LENGTH

types: Any = numba.types  # numba is not typed
# A rewritten graph is compiled without further rewriting; the handler only orders the operations that work in place.
_AS_IT_IS = Mode(linker=NumbaLinker(), optimizer=SequentialGraphRewriter(AddDestroyHandler()))
# Rewriting for LLVM leaves out what it decides itself: which loops write over their input, and which arrays are single
# numbers. The other in-place steps stay: without them, rewriting of ordered categories (PyTensor 3.3) does not end.
_LEFT_OUT = ("inplace_elemwise", "scalarize", "remove_scalar_tensor_boundaries")


class _RewritesOnly(NumbaLinker):  # type: ignore[misc]  # PyTensor is not typed
    """Has graphs rewritten as numba needs them, and compiles nothing."""

    def fgraph_convert(self, fgraph: Any, **kwargs: Any) -> None:
        """Return nothing."""

    def jit_compile(self, fn: Any) -> Any:  # noqa: ARG002  (PyTensor's signature)
        """Return a function that is never called."""
        return len  # any function serves


def compile_at_address(
    model: pm.Model,
    computation: Computation,
    values: Sequence[np.ndarray],
    shapes: Sequence[tuple[int, ...]],
    compiler: str,
) -> tuple[Any, Any, str, Any]:
    """Compile a model's log density and gradient to a C function.

    Parameters
    ----------
    model
        A PyMC model whose data and prior numbers are shared variables.
    computation
        Its log density, or an equal one.
    values
        The data, one array per shared variable of the computation.
    shapes
        Of the variables, on the unconstrained scale.
    compiler
        One of ``COMPILERS``: the one to try first.

    Returns
    -------
    tuple
        The density; a function that returns a point unchanged; the compiler that made both; and what of the data was
        compiled in (None for nothing).
    """
    flat = flat_density(computation, shapes)
    mode = Mode(_RewritesOnly(), get_mode("NUMBA").provided_optimizer)
    if compiler == "llvm":
        mode = mode.excluding(*_LEFT_OUT)

    def rewrite() -> Any:
        with model:  # PyMC's own compilation settings are the model's
            compiled = compile(flat.inputs, flat.outputs(), mode=mode, on_unused_input="ignore")
        return compiled.maker.fgraph

    length = sum(prod(shape) for shape in shapes)
    # With fast mathematics, newly compiled code and the same code read from disk can differ in the last digit, and then
    # in every draw; it was no faster (measured with 4,000 patients and with panels of 16 people).
    with pytensor.config.change_flags(numba__fastmath=False):
        graph = cached_rewrite(flat.unflattened, [flat.logp], (tuple(shapes), compiler), rewrite)
        found = _with_llvm(graph, length, values) if compiler == "llvm" else None
        if found is None:
            function = pytensor.function(*graph, mode=_AS_IT_IS, accept_inplace=True, on_unused_input="ignore")
            found = *_as_c(function.vm.jit_fn, length, values), "pytensor", None
    return found


def _with_llvm(graph: tuple[list[Any], list[Any]], length: int, values: Sequence[np.ndarray]) -> Any:
    """Density, copy, compiler and data of a graph, compiled without numba; None where that is not possible."""
    try:
        from bayesdep.inference.compiler.density import compile_graph
        from bayesdep.inference.compiler.text import Unsupported
    except ImportError as problem:  # these versions of PyTensor, numba or llvmlite lack a name
        say_slower("the density is compiled by PyTensor", problem)
        return None
    keep = not FlatGraph.of(*graph).may_hold_data
    try:
        logp, copy, data = compile_graph(*graph, length, values, keep)
    except Unsupported as problem:
        say_slower("the density is compiled by PyTensor", problem)
        return None
    except Exception as problem:  # a fault of this road must not stop a fit that the other one can do
        say_slower(f"the density is compiled by PyTensor, after {type(problem).__name__}", problem)
        return None
    return logp, copy, "llvm", data


_compiling = threading.Lock()


def _as_c(density: Any, n: int, shared: Sequence[np.ndarray]) -> tuple[Any, Any]:
    """Wrap a compiled PyTensor function in the C signature that nutpie calls.

    Shared data arrive as a table of whole numbers: for each array its address and its shape.
    """
    # PyTensor's function takes all of its arrays as one tuple of starred arguments
    kinds = types.StarArgTuple.from_types(
        (types.Array(types.float64, 1, "C"), *(types.Array(_number(v), v.ndim, "C") for v in shared))
    )
    density.compile((kinds,))
    call, arrays = _by_address(density.overloads[(kinds,)]), _arrays(kinds)

    # No exception is caught here: compiling that alone took numba 4 s. If one is raised, logp stays NaN, which the
    # sampler treats as a divergence.
    def logp(length: int, point: Any, gradient: Any, logp: Any, table: Any) -> int:
        if length != n:
            return WRONG_LENGTH
        logp[0] = np.nan
        value, slope = call(arrays(point, n, table))
        for i in range(n):
            if not np.isfinite(slope[i]):
                return NOT_FINITE
            gradient[i] = slope[i]
        logp[0] = value[()]
        return OK if np.isfinite(logp[0]) else NOT_FINITE

    pointer, integer = types.CPointer(types.double), types.uint64
    with _compiling:
        logp_c = numba.cfunc(types.int64(integer, pointer, pointer, pointer, types.voidptr))(logp)
        copy_c = numba.cfunc(types.int64(integer, integer, pointer, pointer, types.voidptr))(_copy)
    return logp_c, copy_c


def _copy(length: int, expanded: int, point: Any, out: Any, table: Any) -> int:  # noqa: ARG001  (nutpie's signature)
    for i in range(length):
        out[i] = point[i]
    return 0


def _number(value: np.ndarray) -> Any:
    return getattr(types, value.dtype.name)


def _by_address(compiled: Any) -> Any:
    """A compiled numba function that is called at its address instead of being linked into its caller."""
    address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    result, arguments = compiled.signature.return_type, compiled.signature.args

    @intrinsic
    def call(context: Any, given: Any) -> Any:  # noqa: ARG001  (numba's signature)
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ARG001  (numba's)
            convention = context.call_conv
            kind = convention.get_function_type(result, arguments).as_pointer()
            pointer = builder.inttoptr(context.get_constant(types.intp, address), kind)
            status, out = convention.call_function(builder, pointer, result, arguments, values)
            with builder.if_then(status.is_error, likely=False):
                convention.return_status_propagate(builder, status)
            return out

        return result(given), generate

    return call


def _arrays(kinds: Any) -> Any:
    """The sampler's point and the arrays behind a table of addresses and shapes, as one tuple.

    One intrinsic serves all of them: if this were Python code, numba would spend half a second on the types of forty
    arrays.
    """

    @intrinsic
    def arrays(context: Any, point: Any, length: Any, table: Any) -> Any:  # noqa: ARG001  (numba's signature)
        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:  # noqa: ARG001  (numba's)
            integer = context.get_value_type(types.intp)
            words = builder.bitcast(given[2], integer.as_pointer())
            first, *rest = kinds  # a tuple of equal types takes no places
            made, at = [array_at(context, builder, first, given[0], [given[1]])], 0
            for kind in rest:
                made.append(array_of_table(context, builder, kind, words, at))
                at += 1 + kind.ndim
            return context.make_tuple(builder, kinds, made)

        return kinds(point, length, table), generate

    return arrays
