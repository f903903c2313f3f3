r"""Normal effects of many units given their data, as one compiled operation with its slopes.

A unit's effects are ``b ~ N(0, K)``, its data say ``exp(s' b - b' P b / 2)`` of them, with q of each. Then

    V = (I + K P)^-1 K      b | data ~ N(V s, V)      gain = s' V s / 2 - log |I + K P| / 2

where gain is the log of the data's density over that at b = 0. K and P may be singular: neither is inverted. With
``T = I - V P``, the inverse of ``I + K P``, ``dV = T dK T' - V dP V``, from which the slopes follow.

Written as a PyTensor graph, element by element, a model with markers took over 90 s to compile with nothing on disk.
The steps are plain loops over units that numba compiles.
"""

import inspect
import sys
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from numba.extending import register_jitable
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.graph.replace import _vectorize_node
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from bayesdep.numerics.types import Tensor


def _step[Function: Callable[..., Any]](function: Function) -> Function:
    """A step of the computation: plain Python until compiled code calls it, then compiled as that code is."""
    registered: Function = register_jitable(function)
    return registered


@_step
def _condition_one(
    k: np.ndarray, p: np.ndarray, s: np.ndarray, work: np.ndarray, mean: np.ndarray, v: np.ndarray
) -> float:
    """Fill in mean and V of one unit by Gaussian elimination with row exchanges, and return the gain."""
    size = len(s)
    for i in range(size):
        for j in range(size):
            total = 1.0 if i == j else 0.0
            for t in range(size):
                total += k[i, t] * p[t, j]
            work[i, j] = total
            work[i, size + j] = k[i, j]
    log_det = 0.0
    for c in range(size):
        best = c
        for i in range(c + 1, size):
            if abs(work[i, c]) > abs(work[best, c]):
                best = i
        if best != c:
            for j in range(2 * size):
                work[c, j], work[best, j] = work[best, j], work[c, j]
        pivot = work[c, c]
        log_det += np.log(abs(pivot))
        for i in range(size):
            if i != c:
                factor = work[i, c] / pivot
                for j in range(c, 2 * size):
                    work[i, j] -= factor * work[c, j]
        for j in range(c, 2 * size):
            work[c, j] /= pivot
    gain = -log_det / 2.0
    for i in range(size):
        mean[i] = 0.0
        for j in range(size):
            v[i, j] = (work[i, size + j] + work[j, size + i]) / 2.0
            mean[i] += v[i, j] * s[j]
        gain += s[i] * mean[i] / 2.0
    return gain


def condition_units(k: np.ndarray, p: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute gain, mean and covariance of every unit's effects.

    Parameters
    ----------
    k, p
        K and P, shape (units, q, q).
    s
        Shape (units, q).

    Returns
    -------
    tuple of numpy.ndarray
        Shapes (units,), (units, q) and (units, q, q).

    Examples
    --------
    >>> gain, mean, v = condition_units(np.array([[[2.0]]]), np.array([[[1.0]]]), np.array([[3.0]]))
    >>> mean.item(), round(v.item(), 6), round(gain.item(), 6)
    (2.0, 0.666667, 2.450694)
    """
    units, size = s.shape
    gain, mean, v = np.empty(units), np.empty((units, size)), np.empty((units, size, size))
    work = np.empty((size, 2 * size))
    for u in range(units):
        gain[u] = _condition_one(k[u], p[u], s[u], work, mean[u], v[u])
    return gain, mean, v


def slopes_of_units(
    p: np.ndarray,
    s: np.ndarray,
    mean: np.ndarray,
    v: np.ndarray,
    of_gain: np.ndarray,
    of_mean: np.ndarray,
    of_v: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute derivatives by K, P and s from those by gain, mean and covariance.

    Parameters
    ----------
    p, s, mean, v
        As :func:`condition_units` takes and returns them.
    of_gain, of_mean, of_v
        Derivatives, shaped as gain, mean and V.

    Returns
    -------
    tuple of numpy.ndarray
        Shaped as K, P and s.
    """
    units, size = s.shape
    by_k, by_p, by_s = np.empty(v.shape), np.empty(v.shape), np.empty(s.shape)
    inner, t, half = np.empty((size, size)), np.empty((size, size)), np.empty((size, size))
    for u in range(units):
        for i in range(size):
            by_s[u, i] = of_gain[u] * mean[u, i]
            for j in range(size):
                by_s[u, i] += v[u, i, j] * of_mean[u, j]
                one = of_v[u, i, j] + of_mean[u, i] * s[u, j]
                other = of_v[u, j, i] + of_mean[u, j] * s[u, i]
                inner[i, j] = (one + other + of_gain[u] * s[u, i] * s[u, j]) / 2.0
                t[i, j] = 1.0 if i == j else 0.0
                for c in range(size):
                    t[i, j] -= v[u, i, c] * p[u, c, j]
        for i in range(size):
            for j in range(size):
                half[i, j] = 0.0
                for c in range(size):
                    half[i, j] += inner[i, c] * t[c, j]
        for i in range(size):
            for j in range(size):
                by_k[u, i, j] = 0.0
                for c in range(size):
                    by_k[u, i, j] += t[c, i] * half[c, j] - of_gain[u] * t[c, i] * p[u, c, j] / 2.0
        for i in range(size):
            for j in range(size):
                half[i, j] = 0.0
                for c in range(size):
                    half[i, j] += inner[i, c] * v[u, c, j]
        for i in range(size):
            for j in range(size):
                by_p[u, i, j] = -of_gain[u] * v[u, i, j] / 2.0
                for c in range(size):
                    by_p[u, i, j] -= v[u, i, c] * half[c, j]
    return by_k, by_p, by_s


class _OfUnits(Op):  # type: ignore[misc]  # PyTensor is not typed
    """An operation on arrays whose leading dims are units; with further ones in front, on each."""

    __props__ = ()

    def _flat(self, inputs: Any, cores: tuple[int, ...]) -> tuple[tuple[int, ...], list[np.ndarray]]:
        """The leading shape of all inputs together, and the inputs with one leading dim."""
        shapes = [x.shape[: x.ndim - core] for x, core in zip(inputs, cores, strict=True)]
        lead = np.broadcast_shapes(*shapes)
        spread = [
            np.broadcast_to(x, (*lead, *x.shape[x.ndim - core :])).reshape(-1, *x.shape[x.ndim - core :])
            for x, core in zip(inputs, cores, strict=True)
        ]
        return lead, spread


class Condition(_OfUnits):
    """Gain, mean and covariance of units' effects: see :func:`condition_units`."""

    def make_node(self, *inputs: Any) -> Apply:
        """Take K, P and s."""
        k, p, s = (pt.as_tensor_variable(x).astype("float64") for x in inputs)
        lead = max(k.type.ndim - 2, p.type.ndim - 2, s.type.ndim - 1)
        size = s.type.shape[-1]
        shapes = [(None,) * lead, (*(None,) * lead, size), (*(None,) * lead, size, size)]
        return Apply(self, [k, p, s], [pt.TensorType("float64", shape=shape)() for shape in shapes])

    def perform(self, node: Any, inputs: Any, outputs: Any) -> None:  # noqa: ARG002  (PyTensor's)
        """Compute it with arrays: where nothing is compiled."""
        lead, (k, p, s) = self._flat(inputs, (2, 2, 1))
        system = np.eye(s.shape[-1]) + k @ p
        v = np.linalg.solve(system, k)
        v = (v + np.swapaxes(v, -1, -2)) / 2
        mean = (v @ s[..., None])[..., 0]
        gain = ((s * mean).sum(axis=-1) - np.linalg.slogdet(system)[1]) / 2
        for storage, value in zip(outputs, (gain, mean, v), strict=True):
            storage[0] = value.reshape(*lead, *value.shape[1:])

    def infer_shape(self, node: Any, shapes: Any) -> Any:  # noqa: ARG002  (PyTensor's)
        """Return the shapes of the outputs, where all inputs have the same units."""
        of_k, _, of_s = shapes
        return [of_s[:-1], of_s, (*of_s[:-1], *of_k[-2:])]

    def pullback(self, inputs: Any, outputs: Any, output_grads: Any) -> Any:
        """Return the derivatives by K, P and s."""
        _, p, s = inputs
        _, mean, v = outputs
        given = [
            pt.zeros_like(output) if isinstance(grad.type, DisconnectedType) else grad
            for output, grad in zip(outputs, output_grads, strict=True)
        ]
        return list(_slopes(p, s, mean, v, *given))


class _Slopes(_OfUnits):
    """Derivatives by K, P and s: see :func:`slopes_of_units`."""

    def make_node(self, *inputs: Any) -> Apply:
        """Take the arguments of :func:`slopes_of_units`."""
        arguments = [pt.as_tensor_variable(x).astype("float64") for x in inputs]
        p, s = arguments[:2]
        return Apply(self, arguments, [p.type(), p.type(), s.type()])

    def perform(self, node: Any, inputs: Any, outputs: Any) -> None:  # noqa: ARG002  (PyTensor's)
        """Compute it in plain Python: where nothing is compiled."""
        lead, flat = self._flat(inputs, (2, 1, 1, 2, 0, 1, 2))
        for storage, value in zip(outputs, slopes_of_units(*flat), strict=True):
            storage[0] = value.reshape(*lead, *value.shape[1:])

    def infer_shape(self, node: Any, shapes: Any) -> Any:  # noqa: ARG002  (PyTensor's)
        """Return the shapes of the outputs."""
        return [shapes[0], shapes[0], shapes[1]]


@_vectorize_node.register(Condition)  # type: ignore[untyped-decorator]  # PyTensor is not typed
def _over_draws(op: Any, node: Any, *inputs: Any) -> Any:  # noqa: ARG001  (PyTensor's)
    """The same operation with draws in front."""
    return op.make_node(*inputs)


def _version() -> int:
    """A number by which PyTensor's cache on disk tells one version of the steps from another."""
    return zlib.crc32(inspect.getsource(sys.modules[__name__]).encode())


@register_funcify_default_op_cache_key(Condition)  # type: ignore[untyped-decorator]  # PyTensor is not typed
def _compiled(op: Any, node: Any, **kwargs: Any) -> Any:  # noqa: ARG001  (PyTensor's)
    lead, units = node.outputs[0].type.ndim, numba_njit(condition_units)
    if lead == 1:
        return units, _version()

    @numba_njit  # type: ignore[untyped-decorator]  # PyTensor is not typed
    def of_two(k: Any, p: Any, s: Any) -> Any:
        n, m, size = s.shape
        row, square = (n * m, size), (n * m, size, size)
        as_row = np.ascontiguousarray
        gain, mean, v = units(as_row(k).reshape(square), as_row(p).reshape(square), as_row(s).reshape(row))
        return gain.reshape((n, m)), mean.reshape((n, m, size)), v.reshape((n, m, size, size))

    _refuse_more_than_two(lead)
    return of_two, _version() + lead


@register_funcify_default_op_cache_key(_Slopes)  # type: ignore[untyped-decorator]  # PyTensor is not typed
def _compiled_slopes(op: Any, node: Any, **kwargs: Any) -> Any:  # noqa: ARG001  (PyTensor's)
    lead, units = node.outputs[0].type.ndim - 2, numba_njit(slopes_of_units)
    if lead == 1:
        return units, _version()

    @numba_njit  # type: ignore[untyped-decorator]  # PyTensor is not typed
    def of_two(p: Any, s: Any, mean: Any, v: Any, of_gain: Any, of_mean: Any, of_v: Any) -> Any:
        n, m, size = s.shape
        row, square = (n * m, size), (n * m, size, size)
        as_row = np.ascontiguousarray
        by_k, by_p, by_s = units(
            as_row(p).reshape(square), as_row(s).reshape(row), as_row(mean).reshape(row), as_row(v).reshape(square),
            as_row(of_gain).reshape(n * m), as_row(of_mean).reshape(row), as_row(of_v).reshape(square),
        )  # fmt: skip
        return by_k.reshape((n, m, size, size)), by_p.reshape((n, m, size, size)), by_s.reshape((n, m, size))

    _refuse_more_than_two(lead)
    return of_two, _version() + lead


def _refuse_more_than_two(lead: int) -> None:
    """Units of more dims are evaluated with arrays, never compiled."""
    if lead > 2:
        raise NotImplementedError(f"units of {lead} dims are not compiled")


_condition, _slopes = Condition(), _Slopes()


def condition(covariance: Tensor, precision: Tensor, sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return gain, mean and covariance of units' effects, as tensors.

    Parameters
    ----------
    covariance, precision
        K and P, shape (..., q, q), with q known when the model is built.
    sums
        s, shape (..., q), with the same one or two leading dims of units.

    Returns
    -------
    tuple of pytensor.tensor.TensorVariable
        Shapes (...), (..., q) and (..., q, q).
    """
    gain, mean, v = _condition(covariance, precision, sums)
    return gain, mean, v
