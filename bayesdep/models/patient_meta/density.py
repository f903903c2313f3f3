r"""The log density of studies' outcomes and its slopes, in one pass of plain loops that numba compiles.

In the terms of :mod:`~bayesdep.models.patient_meta.likelihood`, whose numpy arithmetic says the same for many draws at
once: with ``V = L M^-1 L'`` and ``v = V g``, the covariance and mean of a study's deviations u given its data, the log
density of a study is ``-(Q - g' v + log det M + sum log det S + n log 2 pi) / 2``, and half of ``log 2 pi`` more for
each level without a proper prior. Its slopes are those of the complete data's density averaged over u (Fisher's
identity): with h = g - W v and H = W - W V W,

    coefficients   sum over patients of z (S^-1 (r - U v))'
    L              (h h' - H) L
    S              B / 2 with B = S^-1 (E - n S) S^-1,  E the mean over u of sum (r - U u)(r - U u)'

Written as a PyTensor graph, the same took numba 20 s to compile with all its parts on disk and 240 s without, and a
gradient took ten times as long. The operation has two times at most, which is what the residual covariance is written
for.
"""

import inspect
import zlib
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import grad_undefined
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

_DIFFERENTIATED = 4  # of the operation's inputs, the first: coefficients, sd, rho, root


def density_and_slopes(
    gamma: Any,
    sd: Any,
    rho: Any,
    root: Any,
    cross: Any,
    projected: Any,
    outcomes: Any,
    seen: Any,
    proper: Any,
) -> Any:
    """Compute the log density of all studies' outcomes together, and its slopes.

    Parameters
    ----------
    gamma
        What columns count for: (arm, column, time).
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
    studies, patterns, arms, columns, times = projected.shape
    size = 2 * times
    d_gamma, d_sd, d_root = np.zeros(gamma.shape), np.zeros(sd.shape), np.zeros(root.shape)
    total, d_rho = 0.0, 0.0
    by_time = np.ascontiguousarray(gamma.transpose((0, 2, 1)))  # the longest loop reads along its last axis
    left = np.empty((patterns, arms, columns, times))
    weight, residual = np.empty((patterns, times, times)), np.empty((patterns, times, times))
    g, v, h, half = np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    w, m, a, spread = np.empty((size, size)), np.empty((size, size)), np.empty((size, size)), np.empty((size, size))
    raw, own, middle, moved = np.empty((times, times)), np.empty(times), np.empty((times, times)), np.empty(times)
    for k in range(studies):
        g[:] = 0.0
        w[:] = 0.0
        for p in range(patterns):
            # residual precision of a patient with this pattern, and its log determinant
            tied = rho[()] * seen[p, 0] * seen[p, times - 1] if times > 1 else 0.0
            free = 1.0 - tied * tied
            log_det = np.log(free)
            for t in range(times):
                log_det += seen[p, t] * (2.0 * np.log(sd[k, t]) + np.log(2.0 * np.pi))
                for s in range(times):
                    top = seen[p, t] if t == s else -tied
                    weight[p, t, s] = top / (sd[k, t] * sd[k, s] * free)
            residual[p] = 0.0
            for arm in range(arms):
                n = cross[k, p, arm, 0, 0]
                if n == 0.0:
                    left[p, arm] = 0.0
                    continue
                total -= n * log_det / 2.0
                place = times
                for t in range(times):
                    for s in range(t + 1):
                        raw[t, s] = outcomes[k, p, arm, place] + n * outcomes[k, p, arm, t] * outcomes[k, p, arm, s]
                        raw[s, t] = raw[t, s]
                        place += 1
                for j in range(columns):
                    row = cross[k, p, arm, j]
                    for t in range(times):
                        fitted = 0.0
                        for i in range(columns):
                            fitted += row[i] * by_time[arm, t, i]
                        left[p, arm, j, t] = projected[k, p, arm, j, t] - fitted
                for t in range(times):
                    for s in range(times):
                        for j in range(columns):
                            raw[t, s] -= (
                                projected[k, p, arm, j, t] * gamma[arm, j, s] + gamma[arm, j, t] * left[p, arm, j, s]
                            )
                        residual[p, t, s] += raw[t, s]
                        total -= weight[p, t, s] * raw[t, s] / 2.0
                        gained = weight[p, t, s] * left[p, arm, 0, s]
                        known = weight[p, t, s] * n
                        g[2 * t] += gained
                        w[2 * t, 2 * s] += known
                        code = arm - 0.5
                        g[2 * t + 1] += code * gained
                        w[2 * t + 1, 2 * s] += code * known
                        w[2 * t, 2 * s + 1] += code * known
                        w[2 * t + 1, 2 * s + 1] += known / 4.0
        # M = J + L' W L = C C', with C below the diagonal of m; then V = (C^-1 L')' (C^-1 L')
        for i in range(size):
            for j in range(size):
                a[i, j] = 0.0
                for q in range(j, size):
                    a[i, j] += w[i, q] * root[q, j]
        for i in range(size):
            for j in range(i + 1):
                m[i, j] = proper[k, i] if i == j else 0.0
                for q in range(i, size):
                    m[i, j] += root[q, i] * a[q, j]
        for j in range(size):
            for q in range(j):
                m[j, j] -= m[j, q] * m[j, q]
            m[j, j] = np.sqrt(m[j, j])
            total += (1.0 - proper[k, j]) * np.log(2.0 * np.pi) / 2.0 - np.log(m[j, j])
            for i in range(j + 1, size):
                for q in range(j):
                    m[i, j] -= m[i, q] * m[j, q]
                m[i, j] /= m[j, j]
        for c in range(size):
            for i in range(size):
                a[i, c] = root[c, i] if i <= c else 0.0
                for q in range(i):
                    a[i, c] -= m[i, q] * a[q, c]
                a[i, c] /= m[i, i]
        for i in range(size):
            half[i] = 0.0
            for j in range(size):
                half[i] += a[i, j] * g[j]
            total += half[i] * half[i] / 2.0
        for i in range(size):
            v[i] = 0.0
            for q in range(size):
                v[i] += a[q, i] * half[q]
            for j in range(size):
                spread[i, j] = 0.0
                for q in range(size):
                    spread[i, j] += a[q, i] * a[q, j]
        # L: (h h' - H) L
        for i in range(size):
            h[i] = g[i]
            for j in range(size):
                h[i] -= w[i, j] * v[j]
        for i in range(size):
            for j in range(size):
                a[i, j] = 0.0
                for q in range(size):
                    a[i, j] += w[i, q] * spread[q, j]
        for i in range(size):
            for j in range(size):
                m[i, j] = h[i] * h[j] - w[i, j]
                for q in range(size):
                    m[i, j] += a[i, q] * w[q, j]
        for i in range(size):
            for j in range(i + 1):
                for q in range(j, size):
                    d_root[i, j] += m[i, q] * root[q, j]
        # coefficients, and S through E
        for p in range(patterns):
            crowd = 0.0
            for arm in range(arms):
                n = cross[k, p, arm, 0, 0]
                if n == 0.0:
                    continue
                crowd += n
                code = arm - 0.5
                for t in range(times):
                    own[t] = v[2 * t] + code * v[2 * t + 1]
                for j in range(columns):
                    for s in range(times):
                        moved[s] = left[p, arm, j, s] - cross[k, p, arm, j, 0] * own[s]
                    for t in range(times):
                        for s in range(times):
                            d_gamma[arm, j, t] += weight[p, t, s] * moved[s]
                for t in range(times):
                    for s in range(times):
                        between = spread[2 * t, 2 * s] + spread[2 * t + 1, 2 * s + 1] / 4.0
                        between += code * (spread[2 * t + 1, 2 * s] + spread[2 * t, 2 * s + 1])
                        residual[p, t, s] += (
                            n * (own[t] * own[s] + between) - left[p, arm, 0, t] * own[s] - left[p, arm, 0, s] * own[t]
                        )
            if crowd == 0.0:
                continue
            for t in range(times):
                for s in range(times):
                    middle[t, s] = 0.0
                    for q in range(times):
                        middle[t, s] += weight[p, t, q] * residual[p, q, s]
            for t in range(times):
                for s in range(times):
                    slope = -crowd * weight[p, t, s]
                    for q in range(times):
                        slope += middle[t, q] * weight[p, q, s]
                    if t == s:
                        d_sd[k, t] += slope * sd[k, t]
                    else:
                        both = seen[p, t] * seen[p, s]
                        d_sd[k, t] += slope * sd[k, s] * rho[()] * both
                        d_rho += slope * sd[k, t] * sd[k, s] * both / 2.0
    return np.asarray(total), d_gamma, d_sd, np.asarray(d_rho), d_root


class StudiesDensity(Op):  # type: ignore[misc]  # PyTensor is not typed
    """The log density of all studies' outcomes, with its slopes as further outputs."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        """Take the arguments of :func:`density_and_slopes`."""
        given = [pt.as_tensor_variable(x).astype("float64") for x in inputs]
        slopes = [pt.TensorType("float64", shape=x.type.shape)() for x in given[:_DIFFERENTIATED]]
        return Apply(self, given, [pt.TensorType("float64", shape=())(), *slopes])

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
    # the number tells PyTensor's cache on disk one version of the function from another
    return numba_njit(density_and_slopes), zlib.crc32(inspect.getsource(density_and_slopes).encode())


studies_density = StudiesDensity()
