r"""The log density of normal vectors with gaps, as one compiled operation with its slopes.

A unit's residuals ``e`` at its observed places are normal with these rows and columns of a covariance S. Units of one
pattern (the same places, the same S) share the factor of that matrix and its inverse P. With n of them, k places and
``w = P e``

    log density = -(sum e' w + n log|S| + n k log 2 pi) / 2       d / d e = -w       d / d S = (sum w w' - n P) / 2

A pattern costs k^3 / 2 multiplications and a unit 3 k^2 / 2; the graph has one node, whatever the number of either. The
derivatives come with the density: a sampler needs both.
"""

import inspect
import sys
import zlib
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


@register_jitable
def _invert(s: np.ndarray, places: np.ndarray, k: int, root: np.ndarray, inverse: np.ndarray) -> float:
    """Fill in the inverse of the rows and columns ``places[:k]`` of S; return the log of its determinant."""
    log_det = 0.0
    for i in range(k):
        for j in range(i):
            value = s[places[i], places[j]]
            for t in range(j):
                value -= root[i, t] * root[j, t]
            root[i, j] = value * root[j, j]
        value = s[places[i], places[i]]
        for t in range(i):
            value -= root[i, t] * root[i, t]
        log_det += np.log(value)
        root[i, i] = 1.0 / np.sqrt(value)  # inverted, as it is needed
    # the inverse of the root, row by row, in its own place
    for i in range(k):
        for j in range(i):
            value = 0.0
            for t in range(j, i):
                value += root[i, t] * root[t, j]
            root[i, j] = -value * root[i, i]
    for i in range(k):
        for j in range(i + 1):
            inverse[i, j] = 0.0
    for t in range(k):
        for i in range(t + 1):
            factor = root[t, i]
            for j in range(i + 1):
                inverse[i, j] += factor * root[t, j]
    for i in range(k):
        for j in range(i):
            inverse[j, i] = inverse[i, j]
    return log_det


def density_with_gaps(
    residual: np.ndarray, covariance: np.ndarray, pattern_of: np.ndarray, group_of: np.ndarray, is_observed: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the log density of all units together, and its derivatives.

    Parameters
    ----------
    residual
        Shape (units, places); what is at places not observed does not matter.
    covariance
        S of every group, shape (groups, places, places).
    pattern_of
        The pattern of every unit.
    group_of
        The group of every pattern.
    is_observed
        Whether a pattern has a place, shape (patterns, places): 1 or 0.

    Returns
    -------
    tuple of numpy.ndarray
        The sum of log densities, shape (1,), and its derivatives by ``residual`` and ``covariance``; the latter is
        symmetric, half of an off-diagonal covariance's derivative on either side.

    Examples
    --------
    >>> total, by_residual, by_covariance = density_with_gaps(
    ...     np.array([[2.0, 0.0]]), np.array([[[4.0, 1.0], [1.0, 9.0]]]), np.array([0]), np.array([0]),
    ...     np.array([[1.0, 0.0]]),
    ... )  # fmt: skip
    >>> round(total.item(), 6), by_residual.tolist(), by_covariance[0].tolist()
    (-2.112086, [[-0.5, 0.0]], [[0.0, 0.0], [0.0, 0.0]])
    """
    units, size = residual.shape
    patterns = len(group_of)
    total, by_residual, by_covariance = np.zeros(1), np.zeros(residual.shape), np.zeros(covariance.shape)
    # units in the order of their patterns
    first = np.zeros(patterns + 1, dtype=np.int64)
    for u in range(units):
        first[pattern_of[u] + 1] += 1
    for c in range(patterns):
        first[c + 1] += first[c]
    order, at = np.empty(units, dtype=np.int64), first.copy()
    for u in range(units):
        order[at[pattern_of[u]]] = u
        at[pattern_of[u]] += 1
    places, e, w = np.empty(size, dtype=np.int64), np.empty(size), np.empty(size)
    root, inverse, squares = np.empty((size, size)), np.empty((size, size)), np.empty((size, size))
    for c in range(patterns):
        number = first[c + 1] - first[c]
        k = 0
        for j in range(size):
            if is_observed[c, j] != 0.0:
                places[k] = j
                k += 1
        if number == 0 or k == 0:
            continue
        g = group_of[c]
        log_det = _invert(covariance[g], places, k, root, inverse)
        total[0] -= number * (log_det + k * np.log(2.0 * np.pi)) / 2.0
        for i in range(k):
            for j in range(k):
                squares[i, j] = -number * inverse[i, j]
        for m in range(first[c], first[c + 1]):
            u = order[m]
            for i in range(k):
                e[i] = residual[u, places[i]]
                w[i] = 0.0
            for i in range(k):
                value = e[i]
                for j in range(k):
                    w[j] += inverse[i, j] * value
            for i in range(k):
                value = w[i]
                total[0] -= e[i] * value / 2.0
                by_residual[u, places[i]] = -value
                for j in range(i + 1):
                    squares[i, j] += value * w[j]
        for i in range(k):
            for j in range(i):
                by_covariance[g, places[i], places[j]] += squares[i, j] / 2.0
                by_covariance[g, places[j], places[i]] += squares[i, j] / 2.0
            by_covariance[g, places[i], places[i]] += squares[i, i] / 2.0
    return total, by_residual, by_covariance


class DensityWithGaps(Op):  # type: ignore[misc]  # PyTensor is not typed
    """The log density of all units and its derivatives: see :func:`density_with_gaps`."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Take the arguments of :func:`density_with_gaps`; draws may stand in front of residuals and covariances."""
        kinds = ("float64", "float64", "int64", "int64", "float64")
        arguments = [pt.as_tensor_variable(x).astype(kind) for x, kind in zip(inputs, kinds, strict=True)]
        residual, covariance = arguments[:2]
        draws = (None,) * max(residual.type.ndim - 2, covariance.type.ndim - 3)
        cores = ((1,), residual.type.shape[-2:], covariance.type.shape[-3:])
        return Apply(self, arguments, [pt.TensorType("float64", shape=(*draws, *core))() for core in cores])

    def perform(self, node: Any, inputs: Any, outputs: Any) -> None:  # noqa: ARG002  (PyTensor's)
        """Compute it with arrays, pattern by pattern: where nothing is compiled."""
        residual, covariance, pattern_of, group_of, is_observed = inputs
        draws = np.broadcast_shapes(residual.shape[:-2], covariance.shape[:-3])
        total, by_residual = np.zeros((*draws, 1)), np.zeros((*draws, *residual.shape[-2:]))
        by_covariance = np.zeros((*draws, *covariance.shape[-3:]))
        for c in np.unique(pattern_of):
            units, places = np.flatnonzero(pattern_of == c), np.flatnonzero(is_observed[c])
            if not len(places):
                continue
            cells, pairs = (..., *np.ix_(units, places)), (..., group_of[c], *np.ix_(places, places))
            e, s = residual[cells], covariance[pairs]
            inverse, (sign, log_det) = np.linalg.inv(s), np.linalg.slogdet(s)
            w = e @ inverse
            log_det = np.where(sign > 0, log_det, np.nan) + len(places) * np.log(2 * np.pi)
            total -= (((e * w).sum(axis=(-2, -1)) + len(units) * log_det) / 2)[..., None]
            by_residual[cells] = -w
            by_covariance[pairs] += (np.swapaxes(w, -1, -2) @ w - len(units) * inverse) / 2
        outputs[0][0], outputs[1][0], outputs[2][0] = total, by_residual, by_covariance

    def infer_shape(self, node: Any, shapes: Any) -> Any:  # noqa: ARG002  (PyTensor's)
        """Return the shapes of the outputs: draws in front are those of whichever input has them."""
        draws = max((tuple(shapes[0][:-2]), tuple(shapes[1][:-3])), key=len)
        return [(*draws, 1), (*draws, *shapes[0][-2:]), (*draws, *shapes[1][-3:])]

    def pullback(self, inputs: Any, outputs: Any, output_grads: Any) -> Any:
        """Return the derivatives by residuals and covariances; data have none."""
        of_total, *others = output_grads
        if any(not isinstance(grad.type, DisconnectedType) for grad in others):
            raise NotImplementedError("second derivatives of a density with gaps are not available")
        _, by_residual, by_covariance = outputs
        undefined = [grad_undefined(self, i, inputs[i], "data") for i in range(2, 5)]
        of_one = of_total[0]
        return [of_one * by_residual, of_one * by_covariance, *undefined]


@_vectorize_node.register(DensityWithGaps)  # type: ignore[untyped-decorator]  # PyTensor is not typed
def _over_draws(op: Any, node: Any, *inputs: Any) -> Any:  # noqa: ARG001  (PyTensor's)
    """The same operation with draws in front."""
    return op.make_node(*inputs)


def _version() -> int:
    """A number by which PyTensor's cache on disk tells one version of the steps from another."""
    return zlib.crc32(inspect.getsource(sys.modules[__name__]).encode())


@register_funcify_default_op_cache_key(DensityWithGaps)  # type: ignore[untyped-decorator]  # PyTensor is not typed
def _compiled(op: Any, **kwargs: Any) -> Any:  # noqa: ARG001  (PyTensor's)
    return numba_njit(density_with_gaps), _version()


_density_with_gaps = DensityWithGaps()


def log_density_with_gaps(
    residual: Tensor, covariance: Tensor, pattern_of: Tensor, group_of: Tensor, is_observed: Tensor
) -> Tensor:
    """Return the log density of all units together, as a tensor.

    Parameters
    ----------
    residual, covariance, pattern_of, group_of, is_observed
        As :func:`density_with_gaps` takes them.

    Returns
    -------
    pytensor.tensor.TensorVariable
        A number.
    """
    total, _, _ = _density_with_gaps(residual, covariance, pattern_of, group_of, is_observed)
    return total[0]
