"""Outcomes of a patient's periods on several days: correlated normals on two levels, no matrix per patient.

With u the patient's own deviations by day and e those of one period, y = mean + u + e: outcomes of one period share
both, those of two periods u alone, so that the covariance of (period, day) is ``J x A A' + I x B B'`` (Kronecker
products; J of ones). A and B are the lower-triangular roots of the two covariances over days.

Given u the periods are independent. With V = B B' among a period's observed days (and the identity in place of the
missing ones, which decouples them), r the residuals and S the zeros and ones of what was seen, ``[S A, S r]`` over a
root of V, squared and summed over periods, holds all there is to know about u. Adding the standard normal behind u and
eliminating it leaves the quadratic form, and its pivots the determinant (Woodbury's identity and the matrix determinant
lemma). The loops run over days alone; patients and periods are arrays.

A class, not ``pm.CustomDist``, so that one compiled model serves other data; the module imports PyMC, so models
import it when they build.
"""

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.random.op import RandomVariable

_LOG_2_PI = np.log(2 * np.pi)


class _NestedRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "nested"
    signature = "(p,d),(d,d),(d,d),(p,d)->(p,d)"
    dtype = "floatX"
    _print_name = ("Nested", "\\operatorname{Nested}")

    @classmethod
    def rng_fn(cls, rng: Any, mean: Any, patient: Any, residual: Any, seen: Any, size: Any = None) -> Any:
        shapes = [np.shape(x)[:-2] for x in (mean, patient, residual, seen)]
        batch = np.broadcast_shapes(*shapes) if size is None else tuple(size)
        periods, days = np.shape(mean)[-2:]
        own = patient @ rng.standard_normal((*batch, days, 1))
        rest = residual @ rng.standard_normal((*batch, days, periods))
        return mean + np.swapaxes(own + rest, -1, -2)


class Nested(pm.Distribution):  # type: ignore[misc]  # PyMC is not typed
    """A patient's outcomes, period by day.

    Parameters are ``mean`` (period, day), ``patient`` and ``residual`` (day, day: the lower-triangular roots A and B of
    the covariances of what a patient's periods share and of what the days of one period share beyond it) and ``seen``
    (period, day: 1 where observed). Draws are of every period and day.
    """

    rv_type = _NestedRV
    rv_op = _NestedRV()

    @classmethod
    def dist(cls, mean: Any, patient: Any, residual: Any, seen: Any, **kwargs: Any) -> Any:
        """Return the random variable."""
        return super().dist([pt.as_tensor_variable(p) for p in (mean, patient, residual, seen)], **kwargs)

    def support_point(rv: Any, size: Any, mean: Any, patient: Any, residual: Any, seen: Any) -> Any:  # noqa: ARG002  (PyMC's)
        """Return the mean."""
        return mean + 0 * seen

    def logp(value: Any, mean: Any, patient: Any, residual: Any, seen: Any) -> Any:
        """Return the density of a patient's observed outcomes, what the patient's periods share integrated out."""
        days = range(patient.type.shape[-1])  # known when the model is built, unlike the data's
        # Entry by entry of these small matrices, each entry an array over patients and periods: elementwise arithmetic
        # is what PyTensor fuses into few loops, and matrix operations are what numba takes long to compile.
        was, rest = ([x[..., d] for d in days] for x in (seen, value - mean))
        a, b = ([[root[..., d, k, None] for k in range(d + 1)] for d in days] for root in (patient, residual))
        matrix, columns = [], []
        for d in days:
            row = [was[d] * was[e] * sum(b[d][k] * b[e][k] for k in range(e + 1)) for e in range(d + 1)]
            matrix.append([*row[:d], row[d] + 1 - was[d]])
            columns.append([*(was[d] * a[d][k] if k <= d else 0.0 for k in days), was[d] * rest[d]])
        rows, log_det = _whitened(matrix, columns)
        known: list[list[Any]] = [
            [pt.sum(sum(row[k] * row[m] for row in rows), axis=-1) for m in range(k + 1)] for k in range(len(days) + 1)
        ]
        for d in days:
            known[d][d] = known[d][d] + 1.0
        left, more = _eliminated(known)
        n = pt.sum(seen, axis=(-2, -1))
        return -(left + more + pt.sum(log_det, axis=-1) + n * _LOG_2_PI) / 2


def _whitened(matrix: list[list[Any]], columns: list[list[Any]]) -> tuple[list[list[Any]], Any]:
    """Rows of ``root(matrix)^-1 columns``, and the log determinant of the matrix, of which this is the lower half."""
    matrix, columns = [[*row] for row in matrix], [[*row] for row in columns]
    found, log_det = [], 0.0
    for j in range(len(matrix)):
        pivot = matrix[j][j]
        log_det = log_det + pt.log(pivot)
        for d in range(j + 1, len(matrix)):
            link = matrix[d][j] / pivot
            columns[d] = [mine - link * other for mine, other in zip(columns[d], columns[j], strict=True)]
            for e in range(j + 1, d + 1):
                matrix[d][e] = matrix[d][e] - link * matrix[e][j]
        found.append([x / pt.sqrt(pivot) for x in columns[j]])
    return found, log_det


def _eliminated(matrix: list[list[Any]]) -> tuple[Any, Any]:
    """What the last entry of a matrix is once all others are eliminated, and their pivots' log determinant."""
    matrix, log_det = [[*row] for row in matrix], 0.0
    for j in range(len(matrix) - 1):
        pivot = matrix[j][j]
        log_det = log_det + pt.log(pivot)
        for d in range(j + 1, len(matrix)):
            for e in range(j + 1, d + 1):
                matrix[d][e] = matrix[d][e] - matrix[d][j] / pivot * matrix[e][j]
    return matrix[-1][-1], log_det
