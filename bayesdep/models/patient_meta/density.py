r"""The log density of studies' outcomes and its slopes, in one pass of plain loops that numba compiles.

In the terms of :mod:`~bayesdep.models.patient_meta.likelihood`, whose numpy arithmetic does the same for many draws at
once: with ``V = L M^-1 L'`` and ``v = V g``, the covariance and mean of a study's deviations u given its data, the log
density of a study is ``-(Q - g' v + log det M + sum log det S + n log 2 pi) / 2``, and half of ``log 2 pi`` more for
each level without a proper prior. Its slopes are those of the complete data's density averaged over u (Fisher's
identity): with h = g - W v and H = W - W V W,

    coefficients   sum over patients of z (S^-1 (r - U v))'
    L              (h h' - H) L
    S              B / 2 with B = S^-1 (E - n S) S^-1,  E the mean over u of sum (r - U u)(r - U u)'

Written as a PyTensor graph, the same took numba 20 s to compile with all its parts on disk and 240 s without, and a
gradient took ten times as long. There are two times at most, and the residual covariance is written for these. Each
step is a function of its own, over all studies, because calls and views of arrays cost more than the arithmetic.
"""

import inspect
import sys
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor.tensor as pt
from numba.extending import register_jitable
from pytensor import config
from pytensor.gradient import grad_undefined
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

_DIFFERENTIATED = 4  # of the operation's inputs, the first: coefficients, sd, rho, root
_FAST = {"arcp", "contract", "afn", "reassoc", "nsz"} if config.numba__fastmath else False  # as PyTensor has it


def _step[Function: Callable[..., Any]](function: Function) -> Function:
    """A step of the computation: plain Python until compiled code calls it, then compiled as that code is."""
    registered: Function = register_jitable(fastmath=_FAST)(function)
    return registered


def density_and_slopes(
    gamma: np.ndarray,
    sd: np.ndarray,
    rho: np.ndarray,
    root: np.ndarray,
    cross: np.ndarray,
    projected: np.ndarray,
    outcomes: np.ndarray,
    seen: np.ndarray,
    proper: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """Compute the log density of all studies' outcomes together, and its slopes.

    Parameters
    ----------
    gamma
        Coefficients: (arm, column, time).
    sd
        Residual sd: (study, time).
    rho
        Correlation of a patient's residuals at two times: ().
    root
        L, lower triangular; a time's level before its effect: (2 time, 2 time).
    cross, projected, outcomes, seen, proper
        As :func:`~bayesdep.models.patient_meta.products.sum_products` makes them.

    Returns
    -------
    tuple of numpy.ndarray
        The log density, and its derivatives by ``gamma``, ``sd``, ``rho`` and ``root``; those by a column of ``root``
        without a proper prior are zero, as it holds constants.
    """
    log_det, precision = _residual_precision(sd, rho, seen)
    sums, products = _residual_sums(gamma, cross, projected, outcomes)
    log_density, g, w = _information(cross, log_det, precision, sums, products)
    gained, v, covariance = _integrate_deviations(root, proper, g, w)
    expected = _expected_products(cross, sums, products, v, covariance)
    d_gamma = _slope_of_coefficients(cross, precision, sums, v)
    d_sd, d_rho = _slopes_of_residuals(sd, rho, seen, cross, precision, expected)
    d_root = _slope_of_root(root, g, w, v, covariance)
    return np.asarray(log_density + gained), d_gamma, d_sd, np.asarray(d_rho), d_root


@_step
def _residual_precision(sd: np.ndarray, rho: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``log det S`` with ``log 2 pi`` a time, (study, pattern), and S^-1, (study, pattern, time, time)."""
    studies, patterns, times = len(sd), *seen.shape
    log_det, precision = np.empty((studies, patterns)), np.empty((studies, patterns, times, times))
    for k in range(studies):
        for p in range(patterns):
            correlation = rho[()] * seen[p, 0] * seen[p, times - 1] if times > 1 else 0.0
            unshared = 1.0 - correlation * correlation
            log_det[k, p] = np.log(unshared)
            for t in range(times):
                log_det[k, p] += seen[p, t] * (2.0 * np.log(sd[k, t]) + np.log(2.0 * np.pi))
                for s in range(times):
                    top = seen[p, t] if t == s else -correlation
                    precision[k, p, t, s] = top / (sd[k, t] * sd[k, s] * unshared)
    return log_det, precision


@_step
def _residual_sums(
    gamma: np.ndarray, cross: np.ndarray, projected: np.ndarray, outcomes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``sum z r'``, (study, pattern, arm, column, time), and ``sum r r'`` of both, (study, pattern, time, time)."""
    studies, patterns, arms, columns, times = projected.shape
    by_time = np.empty((arms, times, columns))  # the longest loop reads along its last axis
    for arm in range(arms):
        for j in range(columns):
            for t in range(times):
                by_time[arm, t, j] = gamma[arm, j, t]
    sums, products = np.zeros(projected.shape), np.zeros((studies, patterns, times, times))
    for k in range(studies):
        for p in range(patterns):
            for arm in range(arms):
                n = cross[k, p, arm, 0, 0]
                if n == 0.0:
                    continue
                for j in range(columns):
                    for t in range(times):
                        fitted = 0.0
                        for i in range(columns):
                            fitted += cross[k, p, arm, j, i] * by_time[arm, t, i]
                        sums[k, p, arm, j, t] = projected[k, p, arm, j, t] - fitted
                place = times
                for t in range(times):
                    for s in range(t + 1):
                        raw = outcomes[k, p, arm, place] + n * outcomes[k, p, arm, t] * outcomes[k, p, arm, s]
                        for j in range(columns):
                            raw -= (
                                projected[k, p, arm, j, t] * gamma[arm, j, s] + gamma[arm, j, t] * sums[k, p, arm, j, s]
                            )
                        products[k, p, t, s] += raw
                        if t != s:
                            products[k, p, s, t] += raw
                        place += 1
    return sums, products


@_step
def _information(
    cross: np.ndarray, log_det: np.ndarray, precision: np.ndarray, sums: np.ndarray, products: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """-(Q + n log det S) / 2 of all studies; g, (study, 2 time), and W, (study, 2 time, 2 time)."""
    studies, patterns, arms, _, times = sums.shape
    total, g, w = 0.0, np.zeros((studies, 2 * times)), np.zeros((studies, 2 * times, 2 * times))
    for k in range(studies):
        for p in range(patterns):
            for t in range(times):
                for s in range(times):
                    total -= precision[k, p, t, s] * products[k, p, t, s] / 2.0
            for arm in range(arms):
                n, code = cross[k, p, arm, 0, 0], arm - 0.5
                total -= n * log_det[k, p] / 2.0
                for t in range(times):
                    for s in range(times):
                        score = precision[k, p, t, s] * sums[k, p, arm, 0, s]
                        weight = precision[k, p, t, s] * n
                        g[k, 2 * t] += score
                        g[k, 2 * t + 1] += code * score
                        w[k, 2 * t, 2 * s] += weight
                        w[k, 2 * t + 1, 2 * s] += code * weight
                        w[k, 2 * t, 2 * s + 1] += code * weight
                        w[k, 2 * t + 1, 2 * s + 1] += weight / 4.0
    return total, g, w


@_step
def _integrate_deviations(
    root: np.ndarray, proper: np.ndarray, g: np.ndarray, w: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """(g' v - log det M) / 2, with log 2 pi for free levels, of all studies; v and V by study."""
    studies, size = g.shape
    total, v, covariance = 0.0, np.zeros(g.shape), np.zeros(w.shape)
    c, a, half = np.empty((size, size)), np.empty((size, size)), np.empty(size)
    for k in range(studies):
        _root_of_m(root, proper[k], w[k], c)
        for i in range(size):
            total += (1.0 - proper[k, i]) * np.log(2.0 * np.pi) / 2.0 - np.log(c[i, i])
        # A = C^-1 L': then V = A' A, and v = A' A g
        for j in range(size):
            for i in range(size):
                a[i, j] = root[j, i] if i <= j else 0.0
                for q in range(i):
                    a[i, j] -= c[i, q] * a[q, j]
                a[i, j] /= c[i, i]
        for i in range(size):
            half[i] = 0.0
            for j in range(size):
                half[i] += a[i, j] * g[k, j]
            total += half[i] * half[i] / 2.0
        for i in range(size):
            for q in range(size):
                v[k, i] += a[q, i] * half[q]
                for j in range(size):
                    covariance[k, i, j] += a[q, i] * a[q, j]
    return total, v, covariance


@_step
def _root_of_m(root: np.ndarray, proper: np.ndarray, w: np.ndarray, c: np.ndarray) -> None:
    """Fill in C with ``C C' = M = J + L' W L``, lower triangular (Cholesky's), for one study."""
    size = len(root)
    for i in range(size):
        for j in range(i + 1):
            c[i, j] = proper[i] if i == j else 0.0
            for q in range(i, size):
                for r in range(j, size):
                    c[i, j] += root[q, i] * w[q, r] * root[r, j]
    for j in range(size):
        for q in range(j):
            c[j, j] -= c[j, q] * c[j, q]
        c[j, j] = np.sqrt(c[j, j])
        for i in range(j + 1, size):
            for q in range(j):
                c[i, j] -= c[i, q] * c[j, q]
            c[i, j] /= c[j, j]


@_step
def _expected_products(
    cross: np.ndarray, sums: np.ndarray, products: np.ndarray, v: np.ndarray, covariance: np.ndarray
) -> np.ndarray:
    """E, (study, pattern, time, time): products of residuals less deviations, averaged over these."""
    studies, patterns, arms, _, times = sums.shape
    expected, shift = products.copy(), np.empty(times)
    for k in range(studies):
        for p in range(patterns):
            for arm in range(arms):
                n, code = cross[k, p, arm, 0, 0], arm - 0.5
                for t in range(times):
                    shift[t] = v[k, 2 * t] + code * v[k, 2 * t + 1]
                for t in range(times):
                    for s in range(times):
                        spread = covariance[k, 2 * t, 2 * s] + covariance[k, 2 * t + 1, 2 * s + 1] / 4.0
                        spread += code * (covariance[k, 2 * t + 1, 2 * s] + covariance[k, 2 * t, 2 * s + 1])
                        expected[k, p, t, s] += (
                            n * (shift[t] * shift[s] + spread)
                            - sums[k, p, arm, 0, t] * shift[s]
                            - sums[k, p, arm, 0, s] * shift[t]
                        )
    return expected


@_step
def _slope_of_coefficients(cross: np.ndarray, precision: np.ndarray, sums: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Sum over patients of ``z (S^-1 (r - U v))'``: (arm, column, time)."""
    studies, patterns, arms, columns, times = sums.shape
    slope, shift, centred = np.zeros((arms, columns, times)), np.empty(times), np.empty(times)
    for k in range(studies):
        for p in range(patterns):
            for arm in range(arms):
                for t in range(times):
                    shift[t] = v[k, 2 * t] + (arm - 0.5) * v[k, 2 * t + 1]
                for j in range(columns):
                    for s in range(times):
                        centred[s] = sums[k, p, arm, j, s] - cross[k, p, arm, j, 0] * shift[s]
                    for t in range(times):
                        for s in range(times):
                            slope[arm, j, t] += precision[k, p, t, s] * centred[s]
    return slope


@_step
def _slopes_of_residuals(
    sd: np.ndarray, rho: np.ndarray, seen: np.ndarray, cross: np.ndarray, precision: np.ndarray, expected: np.ndarray
) -> tuple[np.ndarray, float]:
    """Slopes by sds and by the correlation, from ``B / 2`` with ``B = S^-1 (E - n S) S^-1``."""
    studies, patterns, times, _ = precision.shape
    d_sd, d_rho, middle = np.zeros(sd.shape), 0.0, np.empty((times, times))
    for k in range(studies):
        for p in range(patterns):
            n = cross[k, p, 0, 0, 0] + cross[k, p, 1, 0, 0]
            if n == 0.0:
                continue
            for t in range(times):
                for s in range(times):
                    middle[t, s] = 0.0
                    for q in range(times):
                        middle[t, s] += precision[k, p, t, q] * expected[k, p, q, s]
            for t in range(times):
                for s in range(times):
                    slope = -n * precision[k, p, t, s]
                    for q in range(times):
                        slope += middle[t, q] * precision[k, p, q, s]
                    if t == s:
                        d_sd[k, t] += slope * sd[k, t]
                    else:
                        both = seen[p, t] * seen[p, s]
                        d_sd[k, t] += slope * sd[k, s] * rho[()] * both
                        d_rho += slope * sd[k, t] * sd[k, s] * both / 2.0
    return d_sd, d_rho


@_step
def _slope_of_root(root: np.ndarray, g: np.ndarray, w: np.ndarray, v: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """``(h h' - H) L`` of all studies, with ``h = g - W v`` and ``H = W - W V W``."""
    studies, size = g.shape
    slope, h, wv = np.zeros(root.shape), np.empty(size), np.empty((size, size))
    for k in range(studies):
        for i in range(size):
            h[i] = g[k, i]
            for j in range(size):
                h[i] -= w[k, i, j] * v[k, j]
                wv[i, j] = 0.0
                for q in range(size):
                    wv[i, j] += w[k, i, q] * covariance[k, q, j]
        for i in range(size):
            for j in range(size):
                middle = h[i] * h[j] - w[k, i, j]
                for q in range(size):
                    middle += wv[i, q] * w[k, q, j]
                for q in range(min(i, j) + 1):
                    slope[i, q] += middle * root[j, q]
    return slope


class StudiesDensity(Op):  # type: ignore[misc]  # PyTensor is not typed
    """The log density of all studies' outcomes, with its slopes as further outputs."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Take the arguments of :func:`density_and_slopes`."""
        arguments = [pt.as_tensor_variable(x).astype("float64") for x in inputs]
        slopes = [pt.TensorType("float64", shape=x.type.shape)() for x in arguments[:_DIFFERENTIATED]]
        return Apply(self, arguments, [pt.TensorType("float64", shape=())(), *slopes])

    def perform(self, node: Any, inputs: Any, outputs: Any) -> None:  # noqa: ARG002  (PyTensor's)
        """Compute it in plain Python: where nothing is compiled, it is needed once."""
        for storage, value in zip(outputs, density_and_slopes(*inputs), strict=True):
            storage[0] = value

    def infer_shape(self, node: Any, shapes: Any) -> Any:  # noqa: ARG002  (PyTensor's)
        """Return the shapes of the outputs."""
        return [(), *shapes[:_DIFFERENTIATED]]

    def pullback(self, inputs: Any, outputs: Any, output_grads: Any) -> Any:
        """Return the derivatives by the parameters; data have none, and slopes none of their own."""
        by_parameter = [output_grads[0] * slope for slope in outputs[1:]]
        rest = enumerate(inputs[_DIFFERENTIATED:], start=_DIFFERENTIATED)
        return by_parameter + [grad_undefined(self, i, x, "data") for i, x in rest]


@register_funcify_default_op_cache_key(StudiesDensity)  # type: ignore[untyped-decorator]  # PyTensor is not typed
def _compiled(op: Any, **kwargs: Any) -> Any:  # noqa: ARG001  (PyTensor's)
    # the number tells PyTensor's cache on disk one version of the steps from another
    return numba_njit(density_and_slopes), zlib.crc32(inspect.getsource(sys.modules[__name__]).encode())


studies_density = StudiesDensity()
