"""A PyMC model's log density and gradient as a C function that nutpie's sampler calls.

nutpie can compile a PyMC model itself, but its wrapper includes the density's code, which is then optimised again in
every process, although PyTensor keeps the compiled density on disk. The wrapper made here calls that density by its
address: compiling a panel of 41 analytes took 17 s in nutpie's way and takes 2 s in this way, with the density on
disk. The sampler returns draws on the unconstrained scale; they are transformed afterwards, all at once, so nothing is
compiled for that.
"""

import ctypes
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numba
import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt
from numba.extending import intrinsic
from nutpie import _lib
from nutpie.sample import CompiledModel
from pymc.initial_point import make_initial_point_expression
from pymc.pytensorf import collect_default_updates, compile
from pytensor.compile.mode import AddDestroyHandler, Mode, get_mode
from pytensor.graph import clone_replace
from pytensor.graph.rewriting.basic import SequentialGraphRewriter
from pytensor.link.numba.linker import NumbaLinker

from bayesdep.inference.cached_rewrite import FlatGraph, cached_rewrite
from bayesdep.inference.computation import Computation
from bayesdep.inference.evaluate import at_draws, values_of
from bayesdep.inference.numba_arrays import array_at, array_of_table
from bayesdep.inference.settings import settings

types: Any = numba.types  # numba is not typed
# A rewritten graph is compiled without further rewriting; the handler only orders the operations that work in place.
_AS_IT_IS = Mode(linker=NumbaLinker(), optimizer=SequentialGraphRewriter(AddDestroyHandler()))
# Rewriting for LLVM leaves out what it decides itself: which loops write over their input, and which arrays are single
# numbers. The other in-place steps stay: without them, rewriting of ordered categories (PyTensor 3.3) does not end.
_LEFT_OUT = ("inplace_elemwise", "scalarize", "remove_scalar_tensor_boundaries")
OK, NOT_FINITE, WRONG_LENGTH = 0, 3, -1  # as nutpie reads a status: fine, a divergence (positive), an error (negative)


class _RewritesOnly(NumbaLinker):  # type: ignore[misc]  # PyTensor is not typed
    """Has graphs rewritten as numba needs them, and compiles nothing."""

    def fgraph_convert(self, fgraph: Any, **kwargs: Any) -> None:
        """Return nothing."""

    def jit_compile(self, fn: Any) -> Any:  # noqa: ARG002  (PyTensor's signature)
        """Return a function that is never called."""
        return len  # any function serves


@dataclass(frozen=True)
class Density:
    """A compiled log density.

    Parameters
    ----------
    names
        Names of the free variables, in the order in which they fill the sampler's vector.
    shapes
        Their shapes on the unconstrained scale.
    logp
        C function: (length, point, gradient out, log density out, shared data) to a status.
    copy
        C function that returns a point unchanged.
    compiler
        By which both were made.
    data
        What of the data was compiled in; None for nothing.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    logp: Any
    copy: Any
    compiler: str = "pytensor"
    data: Any = None

    def serves(self, values: Sequence[np.ndarray], compiler: str) -> bool:
        """Whether it is what this compiler would make for these data."""
        return compiler == self.compiler and (self.data is None or self.data.fits(values))


@dataclass(frozen=True)
class Bound(CompiledModel):  # type: ignore[misc]  # nutpie is not typed
    """A density with one model's data, in the form that ``nutpie.sample`` takes.

    Parameters
    ----------
    density
        The compiled density.
    values
        The data it reads, one array per shared variable.
    start
        The unconstrained point around which chains start.
    """

    density: Density
    values: tuple[np.ndarray, ...]
    start: np.ndarray

    @property
    def n_dim(self) -> int:
        """Length of the sampler's vector."""
        return len(self.start)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the variables."""
        return dict(zip(self.density.names, self.density.shapes, strict=True))

    @property
    def coords(self) -> dict[str, Any]:
        """Coordinates of the dims that nutpie adds itself."""
        return {"unconstrained_parameter": pd.Index(range(self.n_dim))}

    def evaluator(self) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        """Return a function from an unconstrained point to the log density and gradient that the sampler uses."""
        table = self._table()
        position, gradient, logp = np.empty(self.n_dim), np.empty(self.n_dim), np.empty(1)
        double = ctypes.POINTER(ctypes.c_double)
        # ctypes takes as long to make a pointer as the density of a small model takes, so they are made once; each
        # keeps its array alive, and the function below keeps this object and so the data
        pointers = (x.ctypes.data_as(double) for x in (position, gradient, logp))
        arguments = (self.n_dim, *pointers, table.ctypes.data_as(ctypes.c_void_p))

        alive = (self, table)  # the function reads their memory

        def evaluate(point: np.ndarray) -> tuple[float, np.ndarray]:
            assert alive
            position[:] = point
            status = self.density.logp.ctypes(*arguments)
            return (float(logp[0]) if status == OK else np.nan), gradient.copy()

        return evaluate

    def _table(self) -> np.ndarray:
        """Address and shape of every array of data."""
        return np.array([n for value in self.values for n in (value.ctypes.data, *value.shape)], dtype=np.int64)

    def _make_sampler(
        self,
        settings: Any,
        init_mean: Any,
        cores: int,
        progress_type: Any,
        extra_callback: Any,
        extra_callback_rate: Any,
        store: Any,
    ) -> Any:
        model = self._make_model(init_mean)
        return _lib.PySampler.from_pymc(
            settings, cores, model, progress_type, extra_callback, extra_callback_rate, store
        )

    def _make_model(self, init_mean: Any) -> Any:  # noqa: ARG002  (nutpie's signature)
        table = self._table()
        alive = (self, table)  # the C function reads their memory, so they must live as long as the model
        n = self.n_dim
        lengths = {"unconstrained_parameter": n}
        variables = _lib.PyVariable.new_variables(
            list(self.density.names), ["float64"] * len(self.density.names), list(self.density.shapes), lengths, {}
        )
        return _lib.PyMcModel(
            _lib.LogpFunc(self.density.logp.address, table.ctypes.data, alive),
            _lib.ExpandFunc(n, n, self.density.copy.address, table.ctypes.data, alive),
            variables,
            n,
            lengths,
            self.coords,
            self._start,
            _no_adapter,
        )

    def _start(self, seed: int | None = None) -> np.ndarray:
        """A starting point, uniform within one unit of the centre, as in PyMC."""
        return self.start + np.random.default_rng(seed).uniform(-1, 1, self.n_dim)


def _no_adapter(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError("transform adaptation is not used")


def centre(model: pm.Model) -> list[np.ndarray]:
    """Find each free variable's support point on the unconstrained scale.

    Parameters
    ----------
    model
        A PyMC model.

    Returns
    -------
    list of numpy.ndarray
        One array per free variable.
    """
    expressions = make_initial_point_expression(
        free_rvs=model.free_RVs,
        rvs_to_transforms=model.rvs_to_transforms,
        initval_strategies=model.rvs_to_initial_values,
        return_transformed=True,
    )
    return values_of(expressions, updates=collect_default_updates(outputs=expressions))


def compile_density(model: pm.Model, computation: Computation, start: Sequence[np.ndarray]) -> Density:
    """Compile a model's log density and gradient.

    Parameters
    ----------
    model
        A PyMC model whose data and prior numbers are shared variables.
    computation
        Its log density.
    start
        As :func:`centre` returns it, for the shapes.

    Returns
    -------
    Density
        Without data; :func:`bind` adds them.
    """
    shapes = tuple(value.shape for value in start)
    # inputs replace the shared variables, so that the graph stored on disk and the compiled code contain no data
    inputs = {v: v.type() for v in computation.shared}
    (logp,) = clone_replace([computation.logp], inputs)

    compiler = settings.compiler
    mode = Mode(_RewritesOnly(), get_mode("NUMBA").provided_optimizer)
    if compiler == "llvm":
        mode = mode.excluding(*_LEFT_OUT)

    def rewrite() -> Any:
        lengths = [prod(shape) for shape in shapes]
        point = pt.TensorType("float64", shape=(sum(lengths),))("point")
        ends = np.cumsum(lengths)
        pieces = {
            value: point[end - length : end].reshape(shape).astype(value.dtype)
            for value, length, end, shape in zip(computation.values, lengths, ends, shapes, strict=True)
        }
        gradient = pt.concatenate([g.ravel() for g in pt.grad(logp, list(computation.values))])
        outputs = clone_replace([logp, gradient], pieces)
        with model:  # PyMC's own compilation settings are the model's
            compiled = compile((point, *inputs.values()), outputs, mode=mode, on_unused_input="ignore")
        return compiled.maker.fgraph

    names = tuple(rv.name for rv in model.free_RVs)
    values = [v.get_value(borrow=True) for v in computation.shared]
    # With fast mathematics, newly compiled code and the same code read from disk can differ in the last digit, and then
    # in every draw; it was no faster (measured with 4,000 patients and with panels of 16 people).
    with pytensor.config.change_flags(numba__fastmath=False):
        graph = cached_rewrite([*computation.values, *inputs.values()], [logp], (shapes, compiler), rewrite)
        if compiler == "llvm":
            found = _with_llvm(graph, sum(prod(shape) for shape in shapes), values)
            if found is not None:
                return Density(names, shapes, *found)
        function = pytensor.function(*graph, mode=_AS_IT_IS, accept_inplace=True, on_unused_input="ignore")
        return Density(names, shapes, *_as_c(function.vm.jit_fn, sum(prod(shape) for shape in shapes), values))


def bind(density: Density, values: Sequence[np.ndarray], start: Sequence[np.ndarray]) -> Bound:
    """Give a density its data.

    Parameters
    ----------
    density
        As :func:`compile_density` returns it.
    values
        One array per shared variable of the computation, in its order.
    start
        The centre of the starting points, as :func:`centre` returns it.

    Returns
    -------
    Bound
        Ready for ``nutpie.sample``.
    """
    copies = tuple(np.array(value, order="C", copy=True) for value in values)
    return Bound({}, density, copies, np.concatenate([value.ravel() for value in start]).astype(float))


def to_constrained(model: pm.Model, draws: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Transform unconstrained draws to the variables' own scales.

    Parameters
    ----------
    model
        The model they were sampled from.
    draws
        By variable, shape (draws, ...).

    Returns
    -------
    dict of numpy.ndarray
        The same on the variables' own scales.
    """
    transformed = {rv: t for rv in model.free_RVs if (t := model.rvs_to_transforms[rv]) is not None}
    unconstrained = {model.rvs_to_values[rv]: draws[rv.name] for rv in model.free_RVs}
    back = model.replace_rvs_by_values(
        [t.backward(model.rvs_to_values[rv], *rv.owner.inputs) for rv, t in transformed.items()]
    )
    constrained = at_draws(back, unconstrained) if back else []
    return draws | {rv.name: values for rv, values in zip(transformed, constrained, strict=True)}


def _with_llvm(graph: tuple[list[Any], list[Any]], length: int, values: Sequence[np.ndarray]) -> Any:
    """Density, copy, compiler and data of a graph, compiled without numba; None where that is not possible."""
    try:
        from bayesdep.inference.compiler.density import Status, compile_graph
        from bayesdep.inference.compiler.text import Unsupported
    except ImportError as problem:  # these versions of PyTensor, numba or llvmlite lack a name
        _say_why(problem)
        return None
    keep = not FlatGraph.of(*graph).may_hold_data
    try:
        logp, copy, data = compile_graph(*graph, length, values, Status(OK, NOT_FINITE, WRONG_LENGTH), keep)
    except (Unsupported, RuntimeError) as problem:  # the second is LLVM's
        _say_why(problem)
        return None
    return logp, copy, "llvm", data


def _say_why(problem: Exception) -> None:
    print(f"note: the density is compiled by PyTensor: {str(problem).splitlines()[0]}", file=sys.stderr)


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
