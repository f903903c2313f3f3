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
from pytensor.gradient import DisconnectedType, grad_undefined
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


# Two effects, written out on single numbers: most models have a level and a slope, and slices of arrays in a loop take
# compiled code several times as long as the arithmetic does


@_step
def _condition_two(
    k00: float, k01: float, k11: float, p00: float, p01: float, p11: float, s0: float, s1: float
) -> tuple[float, float, float, float, float, float]:
    """Return the gain, the mean's two numbers and V's three, by ``V = (K + |K| adj P) / |I + K P|``."""
    of_k = k00 * k11 - k01 * k01
    det = 1.0 + k00 * p00 + 2.0 * k01 * p01 + k11 * p11 + of_k * (p00 * p11 - p01 * p01)
    v00, v01, v11 = (k00 + of_k * p11) / det, (k01 - of_k * p01) / det, (k11 + of_k * p00) / det
    b0, b1 = v00 * s0 + v01 * s1, v01 * s0 + v11 * s1
    return (s0 * b0 + s1 * b1 - np.log(det)) / 2.0, b0, b1, v00, v01, v11


@_step
def _slopes_of_two(
    p: tuple[float, float, float],
    s: tuple[float, float],
    mean: tuple[float, float],
    v: tuple[float, float, float],
    of_gain: float,
    of_mean: tuple[float, float],
    of_v: tuple[float, float, float],
) -> tuple[float, float, float, float, float, float, float, float]:
    """Return the derivatives by K (three numbers), P (three) and s; a matrix is its (0, 0), (0, 1) and (1, 1)."""
    p00, p01, p11 = p
    s0, s1 = s
    v00, v01, v11 = v
    a0, a1 = of_mean
    half = of_gain / 2.0
    by_s0, by_s1 = of_gain * mean[0] + v00 * a0 + v01 * a1, of_gain * mean[1] + v01 * a0 + v11 * a1
    # the symmetric derivative by V, and T = I - V P
    m00, m11 = of_v[0] + a0 * s0 + half * s0 * s0, of_v[2] + a1 * s1 + half * s1 * s1
    m01 = of_v[1] + (a0 * s1 + a1 * s0) / 2.0 + half * s0 * s1
    t00, t01 = 1.0 - v00 * p00 - v01 * p01, -v00 * p01 - v01 * p11
    t10, t11 = -v01 * p00 - v11 * p01, 1.0 - v01 * p01 - v11 * p11
    h00, h01, h10, h11 = m00 * t00 + m01 * t10, m00 * t01 + m01 * t11, m01 * t00 + m11 * t10, m01 * t01 + m11 * t11
    by_k00 = t00 * h00 + t10 * h10 - half * (t00 * p00 + t10 * p01)
    by_k01 = t00 * h01 + t10 * h11 - half * (t00 * p01 + t10 * p11)
    by_k11 = t01 * h01 + t11 * h11 - half * (t01 * p01 + t11 * p11)
    h00, h01, h10, h11 = m00 * v00 + m01 * v01, m00 * v01 + m01 * v11, m01 * v00 + m11 * v01, m01 * v01 + m11 * v11
    by_p00, by_p01 = -half * v00 - v00 * h00 - v01 * h10, -half * v01 - v00 * h01 - v01 * h11
    by_p11 = -half * v11 - v01 * h01 - v11 * h11
    return by_k00, by_k01, by_k11, by_p00, by_p01, by_p11, by_s0, by_s1


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
    if size == 2:
        for u in range(units):
            known = p[u, 0, 0], (p[u, 0, 1] + p[u, 1, 0]) / 2.0, p[u, 1, 1]
            gain[u], mean[u, 0], mean[u, 1], v[u, 0, 0], v[u, 0, 1], v[u, 1, 1] = _condition_two(
                k[u, 0, 0], (k[u, 0, 1] + k[u, 1, 0]) / 2.0, k[u, 1, 1], *known, s[u, 0], s[u, 1]
            )
            v[u, 1, 0] = v[u, 0, 1]
        return gain, mean, v
    work = np.empty((size, 2 * size))
    for u in range(units):
        gain[u] = _condition_one(k[u], p[u], s[u], work, mean[u], v[u])
    return gain, mean, v


@_step
def _slopes_of_one(
    p: np.ndarray,
    s: np.ndarray,
    mean: np.ndarray,
    v: np.ndarray,
    of_gain: float,
    of_mean: np.ndarray,
    of_v: np.ndarray,
    work: np.ndarray,
    by_k: np.ndarray,
    by_p: np.ndarray,
    by_s: np.ndarray,
) -> None:
    """Fill in the derivatives by K, P and s of one unit; ``work`` is room for three matrices."""
    size = len(s)
    inner, t, half = work[0], work[1], work[2]
    for i in range(size):
        by_s[i] = of_gain * mean[i]
        for j in range(size):
            by_s[i] += v[i, j] * of_mean[j]
            one = of_v[i, j] + of_mean[i] * s[j]
            other = of_v[j, i] + of_mean[j] * s[i]
            inner[i, j] = (one + other + of_gain * s[i] * s[j]) / 2.0
            t[i, j] = 1.0 if i == j else 0.0
            for c in range(size):
                t[i, j] -= v[i, c] * p[c, j]
    for i in range(size):
        for j in range(size):
            half[i, j] = 0.0
            for c in range(size):
                half[i, j] += inner[i, c] * t[c, j]
    for i in range(size):
        for j in range(size):
            by_k[i, j] = 0.0
            for c in range(size):
                by_k[i, j] += t[c, i] * half[c, j] - of_gain * t[c, i] * p[c, j] / 2.0
    for i in range(size):
        for j in range(size):
            half[i, j] = 0.0
            for c in range(size):
                half[i, j] += inner[i, c] * v[c, j]
    for i in range(size):
        for j in range(size):
            by_p[i, j] = -of_gain * v[i, j] / 2.0
            for c in range(size):
                by_p[i, j] -= v[i, c] * half[c, j]


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
    if size == 2:
        for u in range(units):
            found = _slopes_of_two(
                (p[u, 0, 0], (p[u, 0, 1] + p[u, 1, 0]) / 2.0, p[u, 1, 1]),
                (s[u, 0], s[u, 1]),
                (mean[u, 0], mean[u, 1]),
                (v[u, 0, 0], v[u, 0, 1], v[u, 1, 1]),
                of_gain[u],
                (of_mean[u, 0], of_mean[u, 1]),
                (of_v[u, 0, 0], (of_v[u, 0, 1] + of_v[u, 1, 0]) / 2.0, of_v[u, 1, 1]),
            )
            by_k[u, 0, 0], by_k[u, 0, 1], by_k[u, 1, 0], by_k[u, 1, 1] = found[0], found[1], found[1], found[2]
            by_p[u, 0, 0], by_p[u, 0, 1], by_p[u, 1, 0], by_p[u, 1, 1] = found[3], found[4], found[4], found[5]
            by_s[u, 0], by_s[u, 1] = found[6], found[7]
        return by_k, by_p, by_s
    work = np.empty((3, size, size))
    for u in range(units):
        _slopes_of_one(
            p[u], s[u], mean[u], v[u], of_gain[u], of_mean[u], of_v[u], work, by_k[u], by_p[u], by_s[u]
        )  # fmt: skip
    return by_k, by_p, by_s


def condition_panel(
    residual: np.ndarray, design: np.ndarray, k: np.ndarray, sd: np.ndarray, counted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the log density of every unit's values of every kind, and mean and covariance of its effects.

    Parameters
    ----------
    residual
        Values less their means, shape (units, kinds, times).
    design
        G, shape (units, times, q).
    k
        K of every kind, shape (kinds, q, q).
    sd
        Residual sd of every kind.
    counted
        1 where a value counts, else 0; shape (units, kinds, times).

    Returns
    -------
    tuple of numpy.ndarray
        Shapes (units, kinds), (units, kinds, q) and (units, kinds, q, q).
    """
    units, kinds, _ = residual.shape
    size = design.shape[2]
    density, mean, v = np.empty((units, kinds)), np.empty((units, kinds, size)), np.empty((units, kinds, size, size))
    if size == 2:
        _panel_of_two(residual, design, k, sd, counted, density, mean, v)
        return density, mean, v
    work, p, s = np.empty((size, 2 * size)), np.empty((size, size)), np.empty(size)
    for m in range(kinds):
        log_scale = np.log(sd[m]) + np.log(2.0 * np.pi) / 2.0
        for u in range(units):
            square, number = _sums_of_cell(residual[u, m], design[u], counted[u, m], sd[m], p, s)
            gain = _condition_one(k[m], p, s, work, mean[u, m], v[u, m])
            density[u, m] = gain - square / 2.0 - number * log_scale
    return density, mean, v


@_step
def _sums_of_two(
    residual: np.ndarray, design: np.ndarray, counted: np.ndarray, sd: float, u: int, m: int
) -> tuple[float, float, float, float, float, float, float]:
    """Return P (three numbers) and s of a cell with two effects, the square of its residuals over sd, their number."""
    p00 = p01 = p11 = s0 = s1 = square = number = 0.0
    for t in range(residual.shape[2]):
        if counted[u, m, t] != 0.0:
            r, g0, g1 = residual[u, m, t] / sd, design[u, t, 0] / sd, design[u, t, 1] / sd
            p00, p01, p11 = p00 + g0 * g0, p01 + g0 * g1, p11 + g1 * g1
            s0, s1, square, number = s0 + r * g0, s1 + r * g1, square + r * r, number + 1.0
    return p00, p01, p11, s0, s1, square, number


@_step
def _panel_of_two(
    residual: np.ndarray,
    design: np.ndarray,
    k: np.ndarray,
    sd: np.ndarray,
    counted: np.ndarray,
    density: np.ndarray,
    mean: np.ndarray,
    v: np.ndarray,
) -> None:
    """Fill in the results of :func:`condition_panel` for two effects."""
    for m in range(k.shape[0]):
        k00, k01, k11 = k[m, 0, 0], (k[m, 0, 1] + k[m, 1, 0]) / 2.0, k[m, 1, 1]
        log_scale = np.log(sd[m]) + np.log(2.0 * np.pi) / 2.0
        for u in range(residual.shape[0]):
            p00, p01, p11, s0, s1, square, number = _sums_of_two(residual, design, counted, sd[m], u, m)
            gain, mean[u, m, 0], mean[u, m, 1], v[u, m, 0, 0], v[u, m, 0, 1], v[u, m, 1, 1] = _condition_two(
                k00, k01, k11, p00, p01, p11, s0, s1
            )
            v[u, m, 1, 0] = v[u, m, 0, 1]
            density[u, m] = gain - square / 2.0 - number * log_scale


@_step
def _slopes_of_panel_of_two(
    residual: np.ndarray,
    design: np.ndarray,
    sd: np.ndarray,
    counted: np.ndarray,
    mean: np.ndarray,
    v: np.ndarray,
    given: tuple[np.ndarray, np.ndarray, np.ndarray],
    by_residual: np.ndarray,
    by_k: np.ndarray,
    by_sd: np.ndarray,
) -> None:
    """Fill in the results of :func:`slopes_of_panel` for two effects; ``given`` are the derivatives by its inputs."""
    of_density, of_mean, of_v = given
    for m in range(len(sd)):
        precision = 1.0 / (sd[m] * sd[m])
        for u in range(residual.shape[0]):
            p00, p01, p11, s0, s1, square, number = _sums_of_two(residual, design, counted, sd[m], u, m)
            k00, k01, k11, of_p00, of_p01, of_p11, c0, c1 = _slopes_of_two(
                (p00, p01, p11),
                (s0, s1),
                (mean[u, m, 0], mean[u, m, 1]),
                (v[u, m, 0, 0], v[u, m, 0, 1], v[u, m, 1, 1]),
                of_density[u, m],
                (of_mean[u, m, 0], of_mean[u, m, 1]),
                (of_v[u, m, 0, 0], (of_v[u, m, 0, 1] + of_v[u, m, 1, 0]) / 2.0, of_v[u, m, 1, 1]),
            )
            by_k[m, 0, 0] += k00
            by_k[m, 0, 1] += k01
            by_k[m, 1, 0] += k01
            by_k[m, 1, 1] += k11
            scaled = c0 * s0 + c1 * s1 + of_p00 * p00 + 2.0 * of_p01 * p01 + of_p11 * p11
            by_sd[m] += (of_density[u, m] * (square - number) - 2.0 * scaled) / sd[m]
            for t in range(residual.shape[2]):
                if counted[u, m, t] != 0.0:
                    along = c0 * design[u, t, 0] + c1 * design[u, t, 1]
                    by_residual[u, m, t] = (along - of_density[u, m] * residual[u, m, t]) * precision


@_step
def _sums_of_cell(
    residual: np.ndarray, design: np.ndarray, counted: np.ndarray, sd: float, p: np.ndarray, s: np.ndarray
) -> tuple[float, float]:
    """Fill in P and s of a unit's values of one kind; return the square of its residuals over sd, and their number."""
    size, precision = len(s), 1.0 / (sd * sd)
    square, number = 0.0, 0.0
    for i in range(size):
        s[i] = 0.0
        for j in range(size):
            p[i, j] = 0.0
    for t in range(len(residual)):
        if counted[t] == 0.0:
            continue
        number += 1.0
        square += residual[t] * residual[t] * precision
        for i in range(size):
            s[i] += residual[t] * design[t, i] * precision
            for j in range(size):
                p[i, j] += design[t, i] * design[t, j] * precision
    return square, number


def slopes_of_panel(
    residual: np.ndarray,
    design: np.ndarray,
    k: np.ndarray,
    sd: np.ndarray,
    counted: np.ndarray,
    mean: np.ndarray,
    v: np.ndarray,
    of_density: np.ndarray,
    of_mean: np.ndarray,
    of_v: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute derivatives by residuals, K and sd from those by density, mean and covariance.

    Parameters
    ----------
    residual, design, k, sd, counted, mean, v
        As :func:`condition_panel` takes and returns them.
    of_density, of_mean, of_v
        Derivatives, shaped as its results.

    Returns
    -------
    tuple of numpy.ndarray
        Shaped as ``residual``, ``k`` and ``sd``.
    """
    units, kinds, times = residual.shape
    size = design.shape[2]
    by_residual, by_k, by_sd = np.zeros(residual.shape), np.zeros(k.shape), np.zeros(sd.shape)
    if size == 2:
        given = (of_density, of_mean, of_v)
        _slopes_of_panel_of_two(residual, design, sd, counted, mean, v, given, by_residual, by_k, by_sd)
        return by_residual, by_k, by_sd
    p, s, work = np.empty((size, size)), np.empty(size), np.empty((3, size, size))
    of_k, of_p, of_s = np.empty((size, size)), np.empty((size, size)), np.empty(size)
    for m in range(kinds):
        precision = 1.0 / (sd[m] * sd[m])
        for u in range(units):
            given = of_density[u, m]
            square, number = _sums_of_cell(residual[u, m], design[u], counted[u, m], sd[m], p, s)
            _slopes_of_one(p, s, mean[u, m], v[u, m], given, of_mean[u, m], of_v[u, m], work, of_k, of_p, of_s)
            scaled = 0.0
            for i in range(size):
                scaled += of_s[i] * s[i]
                for j in range(size):
                    by_k[m, i, j] += of_k[i, j]
                    scaled += of_p[i, j] * p[i, j]
            by_sd[m] += (given * (square - number) - 2.0 * scaled) / sd[m]
            for t in range(times):
                if counted[u, m, t] == 0.0:
                    continue
                slope = -given * residual[u, m, t]
                for i in range(size):
                    slope += of_s[i] * design[u, t, i]
                by_residual[u, m, t] = slope * precision
    return by_residual, by_k, by_sd


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
        """Return the shapes of the outputs: draws in front are those of whichever input has them."""
        lead = max((tuple(shape)[:-core] for shape, core in zip(shapes, (2, 2, 1), strict=True)), key=len)
        size = shapes[2][-1]
        return [lead, (*lead, size), (*lead, size, size)]

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


class ConditionPanel(Op):  # type: ignore[misc]  # PyTensor is not typed
    """Log densities, means and covariances of several kinds of values of units: see :func:`condition_panel`."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Take the arguments of :func:`condition_panel`; draws may stand in front of all but the data."""
        residual, design, k, sd, counted = (pt.as_tensor_variable(x).astype("float64") for x in inputs)
        draws = max(residual.type.ndim - 3, k.type.ndim - 3, sd.type.ndim - 1)
        lead, size = (None,) * (draws + 2), design.type.shape[-1]
        shapes = [lead, (*lead, size), (*lead, size, size)]
        outputs = [pt.TensorType("float64", shape=shape)() for shape in shapes]
        return Apply(self, [residual, design, k, sd, counted], outputs)

    def perform(self, node: Any, inputs: Any, outputs: Any) -> None:  # noqa: ARG002  (PyTensor's)
        """Compute it with arrays: where nothing is compiled."""
        residual, design, k, sd, counted = inputs
        over = sd[..., None, :]  # by unit and kind
        weighted = counted * residual
        s = np.einsum("...umt,utq->...umq", weighted, design) / over[..., None] ** 2
        p = np.einsum("umt,utq,utr->umqr", counted, design, design) / over[..., None, None] ** 2
        system = np.eye(design.shape[-1]) + k[..., None, :, :, :] @ p
        v = np.linalg.solve(system, np.broadcast_to(k[..., None, :, :, :], system.shape))
        v = (v + np.swapaxes(v, -1, -2)) / 2
        mean = (v @ s[..., None])[..., 0]
        gain = ((s * mean).sum(axis=-1) - np.linalg.slogdet(system)[1]) / 2
        square = (weighted**2).sum(axis=-1) / over**2
        scale = counted.sum(axis=-1) * (np.log(over) + np.log(2 * np.pi) / 2)
        density = gain - square / 2 - scale
        outputs[0][0], outputs[1][0] = density, mean
        outputs[2][0] = np.broadcast_to(v, (*density.shape, *v.shape[-2:])).copy()

    def infer_shape(self, node: Any, shapes: Any) -> Any:  # noqa: ARG002  (PyTensor's)
        """Return the shapes of the outputs: draws in front are those of whichever input has them."""
        fronts = [tuple(shapes[i])[:-core] for i, core in ((0, 3), (2, 3), (3, 1))]
        lead, size = (*max(fronts, key=len), *shapes[0][-3:-1]), shapes[1][-1]
        return [lead, (*lead, size), (*lead, size, size)]

    def pullback(self, inputs: Any, outputs: Any, output_grads: Any) -> Any:
        """Return the derivatives by residuals, K and sd; data have none."""
        given = [
            pt.zeros_like(output) if isinstance(grad.type, DisconnectedType) else grad
            for output, grad in zip(outputs, output_grads, strict=True)
        ]
        by_residual, by_k, by_sd = _panel_slopes(*inputs, *outputs[1:], *given)
        undefined = (grad_undefined(self, i, inputs[i], "data") for i in (1, 4))
        return [by_residual, next(undefined), by_k, by_sd, next(undefined)]


class _PanelSlopes(Op):  # type: ignore[misc]  # PyTensor is not typed
    """Derivatives by residuals, K and sd: see :func:`slopes_of_panel`."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Take the arguments of :func:`slopes_of_panel`."""
        arguments = [pt.as_tensor_variable(x).astype("float64") for x in inputs]
        return Apply(self, arguments, [arguments[k].type() for k in (0, 2, 3)])

    def perform(self, node: Any, inputs: Any, outputs: Any) -> None:  # noqa: ARG002  (PyTensor's)
        """Compute it in plain Python: where nothing is compiled."""
        for storage, value in zip(outputs, slopes_of_panel(*inputs), strict=True):
            storage[0] = value

    def infer_shape(self, node: Any, shapes: Any) -> Any:  # noqa: ARG002  (PyTensor's)
        """Return the shapes of the outputs."""
        return [shapes[k] for k in (0, 2, 3)]


@_vectorize_node.register(ConditionPanel)  # type: ignore[untyped-decorator]  # PyTensor is not typed
@_vectorize_node.register(Condition)  # type: ignore[untyped-decorator]  # PyTensor is not typed
def _over_draws(op: Any, node: Any, *inputs: Any) -> Any:  # noqa: ARG001  (PyTensor's)
    """The same operation with draws in front."""
    return op.make_node(*inputs)


def _version() -> int:
    """A number by which PyTensor's cache on disk tells one version of the steps from another."""
    return zlib.crc32(inspect.getsource(sys.modules[__name__]).encode())


@register_funcify_default_op_cache_key(Condition)  # type: ignore[untyped-decorator]  # PyTensor is not typed
def _compiled(op: Any, **kwargs: Any) -> Any:  # noqa: ARG001  (PyTensor's)
    return numba_njit(condition_units), _version()


@register_funcify_default_op_cache_key(_Slopes)  # type: ignore[untyped-decorator]  # PyTensor is not typed
def _compiled_slopes(op: Any, **kwargs: Any) -> Any:  # noqa: ARG001  (PyTensor's)
    return numba_njit(slopes_of_units), _version()


@register_funcify_default_op_cache_key(ConditionPanel)  # type: ignore[untyped-decorator]  # PyTensor is not typed
def _compiled_panel(op: Any, **kwargs: Any) -> Any:  # noqa: ARG001  (PyTensor's)
    return numba_njit(condition_panel), _version()


@register_funcify_default_op_cache_key(_PanelSlopes)  # type: ignore[untyped-decorator]  # PyTensor is not typed
def _compiled_panel_slopes(op: Any, **kwargs: Any) -> Any:  # noqa: ARG001  (PyTensor's)
    return numba_njit(slopes_of_panel), _version()


_condition, _slopes, _condition_panel, _panel_slopes = Condition(), _Slopes(), ConditionPanel(), _PanelSlopes()


def condition(covariance: Tensor, precision: Tensor, sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return gain, mean and covariance of units' effects, as tensors.

    Parameters
    ----------
    covariance, precision
        K and P, shape (units, q, q), with q known when the model is built.
    sums
        s, shape (units, q).

    Returns
    -------
    tuple of pytensor.tensor.TensorVariable
        Shapes (units,), (units, q) and (units, q, q).
    """
    gain, mean, v = _condition(covariance, precision, sums)
    return gain, mean, v


def condition_kinds(
    residual: Tensor, design: Tensor, covariance: Tensor, sd: Tensor, counted: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return log densities of units' values of several kinds, and mean and covariance of their effects, as tensors.

    Parameters
    ----------
    residual, design, covariance, sd, counted
        As :func:`condition_panel` takes them; design and counted are data.

    Returns
    -------
    tuple of pytensor.tensor.TensorVariable
        Shapes (units, kinds), (units, kinds, q) and (units, kinds, q, q).
    """
    density, mean, v = _condition_panel(residual, design, covariance, sd, counted)
    return density, mean, v
