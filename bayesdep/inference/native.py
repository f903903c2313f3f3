"""A PyMC model's log density and gradient as one function of an unconstrained vector, with any data.

nutpie can compile a PyMC model itself, but its wrapper includes the density's code, which is then optimised again in
every process, although PyTensor keeps the compiled density on disk. Here a density is a C function (``at_address.py``)
that nutpie calls by its address (``nutpie_address.py``): compiling a panel of 41 analytes took 17 s in nutpie's way and
takes 2 s in this way, with the density on disk. Versions of PyTensor, numba or nutpie that lack what these two modules
need are served by their public functions, more slowly and with one line on standard error. The sampler returns draws on
the unconstrained scale; they are transformed afterwards, all at once, so nothing is compiled for that.
"""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor
from pymc.initial_point import make_initial_point_expression
from pymc.pytensorf import compile

from bayesdep.inference.computation import Computation, flat_density
from bayesdep.inference.evaluate import at_draws, untraced, values_of
from bayesdep.inference.notes import say_slower
from bayesdep.inference.settings import settings
from bayesdep.inference.status import OK


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
        C function: (length, point, gradient out, log density out, shared data) to a status. None where there is
        ``function`` instead.
    copy
        C function that returns a point unchanged; None where there is no other one.
    compiler
        By which both were made.
    data
        What of the data was compiled in; None for nothing.
    function
        PyTensor's compiled function: (point, data) to the log density and its gradient.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    logp: Any
    copy: Any
    compiler: str = "pytensor"
    data: Any = None
    function: Any = None

    def serves(self, values: Sequence[np.ndarray], compiler: str) -> bool:
        """Whether it is what this compiler would make for these data."""
        return compiler == self.compiler and (self.data is None or self.data.fits(values))


@dataclass(frozen=True)
class Bound:
    """A density with one model's data.

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

    def evaluator(self) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        """Return a function from an unconstrained point to the log density and gradient that the sampler uses.

        Threads must not share one: it has memory of its own.
        """
        if self.density.logp is None:
            return self._with_pytensor()
        table = self.table()
        position, gradient, logp = np.empty(self.n_dim), np.empty(self.n_dim), np.empty(1)
        double = ctypes.POINTER(ctypes.c_double)
        # ctypes takes as long to make a pointer as the density of a small model takes, so they are made once; each
        # keeps its array alive, and the function below keeps this object and so the data
        pointers = (x.ctypes.data_as(double) for x in (position, gradient, logp))
        arguments = (self.n_dim, *pointers, table.ctypes.data_as(ctypes.c_void_p))

        alive = (self, table)  # the function reads their memory
        call = self.density.logp.ctypes

        def evaluate(point: np.ndarray) -> tuple[float, np.ndarray]:
            assert alive
            position[:] = point
            status = call(*arguments)
            return (float(logp[0]) if status == OK else np.nan), gradient.copy()

        return evaluate

    def _with_pytensor(self) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        call = self.density.function.copy()

        def evaluate(point: np.ndarray) -> tuple[float, np.ndarray]:
            logp, gradient = call(point, *self.values)
            good = np.isfinite(logp) and np.isfinite(gradient).all()
            return (float(logp) if good else np.nan), np.array(gradient, dtype=float)

        return evaluate

    def table(self) -> np.ndarray:
        """Return address and shape of every array of data."""
        return np.array([n for value in self.values for n in (value.ctypes.data, *value.shape)], dtype=np.int64)

    def near(self, seed: int | None = None) -> np.ndarray:
        """Return a starting point, uniform within one unit of the centre, as in PyMC."""
        return self.start + np.random.default_rng(seed).uniform(-1, 1, self.n_dim)

    def pieces(self, point: np.ndarray) -> dict[str, np.ndarray]:
        """Return a point as an array per variable, each in its own shape."""
        lengths = [int(np.prod(shape)) for shape in self.density.shapes]
        parts = np.split(np.asarray(point), np.cumsum(lengths)[:-1])
        by_name = zip(self.density.names, parts, self.density.shapes, strict=True)
        return {name: part.reshape(shape) for name, part, shape in by_name}


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
    return values_of(expressions)


def compile_density(
    model: pm.Model, computation: Computation, values: Sequence[np.ndarray], start: Sequence[np.ndarray]
) -> Density:
    """Compile a model's log density and gradient.

    Parameters
    ----------
    model
        A PyMC model whose data and prior numbers are shared variables.
    computation
        Its log density, or an equal one.
    values
        The data, one array per shared variable of the computation.
    start
        As :func:`centre` returns it, for the shapes.

    Returns
    -------
    Density
        Without data; :func:`bind` adds them.
    """
    names, shapes = tuple(rv.name for rv in model.free_RVs), tuple(value.shape for value in start)
    try:
        from bayesdep.inference.at_address import compile_at_address

        return Density(names, shapes, *compile_at_address(model, computation, values, shapes, settings.compiler))
    except (ImportError, AttributeError) as problem:  # these versions of PyTensor or numba lack a name
        say_slower("the density is called through Python, which is slower", problem)
    flat = flat_density(computation, shapes)
    with model, pytensor.config.change_flags(numba__fastmath=False):  # as at an address, so draws are the same
        function = compile(flat.inputs, flat.outputs(), mode="NUMBA", on_unused_input="ignore")
    return Density(names, shapes, None, None, "pytensor", None, function)


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
        Ready for :func:`~bayesdep.inference.for_nutpie.for_nutpie`.
    """
    copies = tuple(np.array(value, order="C", copy=True) for value in values)
    return Bound(density, copies, np.concatenate([value.ravel() for value in start]).astype(float))


@untraced()
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
