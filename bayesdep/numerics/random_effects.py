r"""Units with normal effects of their own on a few columns, integrated out without a matrix of the unit's times.

For one unit, ``y = mean + G b + e`` with ``b ~ N(0, L L')``, q columns in G, and independent ``e ~ N(0, sd)``. With
``r = (y - mean) / sd`` and ``A = G / sd``, matrices of q rows are all that is needed::

    M = I + L' A' A L = Q Q'      v = Q^-1 L' A' r
    log p(y) = -1/2 (r'r - v'v) - log |Q| - n log sd - n/2 log 2 pi
    b | y ~ N(W v, W W')          W = L Q'^-1

(Woodbury's identity; Laird and Ware 1982, doi:10.2307/2529876). Residuals that correlate ``rho ** gap`` are first made
independent, each by its regression on the one before. Times that were missed have weight 0.

These are classes, not ``pm.CustomDist``, so that one compiled model serves other data; the module imports PyMC, so
models import it when they build. Matrices of q rows are written out element by element: numba takes long over LAPACK.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.random.op import RandomVariable

from bayesdep.numerics.normal import LOG_2_PI
from bayesdep.numerics.types import Tensor


@dataclass(frozen=True)
class Integrated:
    """A unit's effects, integrated out.

    Parameters
    ----------
    log_density
        ``-1/2 (r'r - v'v) - log |Q|``: the density of standardised residuals but for its constant.
    standardised
        v, one tensor per column.
    root
        W by row and column; below the diagonal and on it only where L is lower triangular, full in general.
    """

    log_density: Tensor
    standardised: Sequence[Tensor]
    root: Sequence[Sequence[Tensor]]

    @property
    def mean(self) -> list[Tensor]:
        """The effects' conditional means, W v."""
        return [sum(w * v for w, v in zip(row, self.standardised, strict=True)) for row in self.root]


def integrate_out(residual: Tensor, columns: Sequence[Tensor], root: Tensor) -> Integrated:
    """Integrate normal effects out.

    Parameters
    ----------
    residual
        Standardised residuals r, zero where missed; tensor of shape (..., times).
    columns
        The columns of A, zero where missed; tensors whose shapes broadcast with that of ``residual``.
    root
        L, lower triangular; tensor of shape (..., q, q) whose leading shape broadcasts with that of ``residual``.

    Returns
    -------
    Integrated
        With tensors of shape (...).
    """
    size = len(columns)
    lower = [[root[..., r, s] for s in range(r + 1)] for r in range(size)]
    products = [[pt.sum(columns[r] * columns[s], axis=-1) for s in range(r + 1)] for r in range(size)]
    sums = [pt.sum(column * residual, axis=-1) for column in columns]

    def product(r: int, s: int) -> Tensor:
        return products[max(r, s)][min(r, s)]

    # A'A L, then L' of it: l[r][s] is zero above the diagonal
    times_root = [[sum(product(r, t) * lower[t][s] for t in range(s, size)) for s in range(size)] for r in range(size)]
    inner = [
        [sum(lower[t][r] * times_root[t][s] for t in range(r, size)) + (1.0 if r == s else 0.0) for s in range(r + 1)]
        for r in range(size)
    ]
    q = _cholesky(inner)
    v: list[Tensor] = []
    for r in range(size):
        projected = sum(lower[t][r] * sums[t] for t in range(r, size))
        v.append((projected - sum((q[r][s] * v[s] for s in range(r)), start=pt.constant(0.0))) / q[r][r])
    inverse = _inverse(q)  # W = L Q'^-1, and (Q^-1)'[t, s] = inverse[s][t]
    w = [
        [sum((lower[r][t] * inverse[s][t] for t in range(min(r, s) + 1)), start=pt.constant(0.0)) for s in range(size)]
        for r in range(size)
    ]
    log_det = sum(pt.log(q[r][r]) for r in range(size))
    square = pt.sum(residual**2, axis=-1) - sum(x**2 for x in v)
    return Integrated(-square / 2 - log_det, v, w)


def _cholesky(matrix: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    """The lower triangular root of a matrix given by the elements of its lower triangle."""
    root: list[list[Tensor]] = []
    for r, row in enumerate(matrix):
        found: list[Tensor] = []
        for s in range(r + 1):
            rest = row[s] - sum(
                (found[t] * (root[s][t] if s < r else found[t]) for t in range(s)), start=pt.constant(0.0)
            )
            found.append(pt.sqrt(rest) if s == r else rest / root[s][s])
        root.append(found)
    return root


def _inverse(root: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    """The inverse of a lower triangular matrix, its lower triangle."""
    inverse: list[list[Tensor]] = []
    for r in range(len(root)):
        row = [-sum(root[r][t] * inverse[t][s] for t in range(s, r)) / root[r][r] for s in range(r)]
        inverse.append([*row, 1 / root[r][r]])
    return inverse


def root_of_sum(terms: Sequence[Sequence[Tensor]], size: int) -> Tensor:
    """Return the Cholesky factor of a matrix whose lower triangle is given, as one tensor.

    Parameters
    ----------
    terms
        Elements by row and column, lower triangle, tensors of one shape.
    size
        Number of rows.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (..., size, size).
    """
    root = _cholesky(terms)
    zero = pt.zeros_like(root[0][0])
    rows = [pt.stack([*root[r], *[zero] * (size - 1 - r)], axis=-1) for r in range(size)]
    return pt.stack(rows, axis=-2)


def without_correlation(values: Tensor, correlation: Tensor, place: Tensor, sd: Tensor) -> Tensor:
    """Return values less their regression on the one before, over the sd that remains.

    Parameters
    ----------
    values
        Tensor of shape (..., times).
    correlation
        With the observed time before, 0 where there is none.
    place
        Place of the observed time before.
    sd
        ``sqrt(1 - correlation ** 2)``.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (..., times).
    """
    return (values - correlation * pt.take_along_axis(values, place, axis=-1)) / sd


class _CurvesRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "curves"
    signature = "(j),(j,q),(q,q),(),(j),(j),(j),(j)->(j)"
    dtype = "floatX"
    _print_name = ("Curves", "\\operatorname{Curves}")

    @classmethod
    def rng_fn(cls, rng: Any, mean: Any, design: Any, root: Any, sd: Any, *others: Any) -> Any:
        *_, size = others
        noise = np.asarray(sd)[..., None] * rng.standard_normal(_shape(size, mean, design, root, sd))
        return _with_effects(rng, mean, design, root, noise)


class Curves(pm.Distribution):  # type: ignore[misc]  # PyMC is not typed
    """A unit's values over time: a mean, normal effects on columns of its own, and independent residuals.

    Parameters are ``mean`` (time), ``design`` (time, column), ``root`` (column, column: L), ``sd``, and by time
    ``counted`` (1 or 0), ``hidden`` (1 where the value is a parameter of the model), ``latent`` (that parameter) and
    ``correction`` (what is added to the log density there: of the change of variables that the parameter is sampled
    in). Draws are of every time.
    """

    rv_type = _CurvesRV
    rv_op = _CurvesRV()

    @classmethod
    def dist(cls, *parameters: Tensor, **kwargs: Any) -> Tensor:
        """Return the random variable."""
        return super().dist([pt.as_tensor_variable(p) for p in parameters], **kwargs)

    def support_point(rv: Tensor, size: Any, mean: Tensor, *others: Tensor) -> Tensor:  # noqa: ARG002  (PyMC's)
        """Return the mean."""
        counted = others[3]
        return mean + 0 * counted

    def logp(
        value: Tensor,
        mean: Tensor,
        design: Tensor,
        root: Tensor,
        sd: Tensor,
        counted: Tensor,
        hidden: Tensor,
        latent: Tensor,
        correction: Tensor,
    ) -> Tensor:
        """Return the density of a unit's values that are counted."""
        found = pt.switch(hidden, latent, value)
        effects = of_curves(found, mean, [design[..., k] for k in range(root.type.shape[-1])], root, sd, counted)
        constant = pt.sum(counted, axis=-1) * (pt.log(sd) + LOG_2_PI / 2)
        return effects.log_density - constant + pt.sum(correction, axis=-1)


def of_curves(
    value: Tensor, mean: Tensor, columns: Sequence[Tensor], root: Tensor, sd: Tensor, counted: Tensor
) -> Integrated:
    """Integrate the effects of :class:`Curves` out.

    Parameters
    ----------
    value, mean, root, sd, counted
        As in :class:`Curves`, with values in place of latent ones.
    columns
        The columns of the design.

    Returns
    -------
    Integrated
        By unit.
    """
    over = counted / sd[..., None]
    return integrate_out((value - mean) * over, [column * over for column in columns], root)


class _SerialCurvesRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "serial_curves"
    signature = "(j),(j,q),(q,q),(),(),(j),(j),(j)->(j)"
    dtype = "floatX"
    _print_name = ("SerialCurves", "\\operatorname{SerialCurves}")

    @classmethod
    def rng_fn(cls, rng: Any, mean: Any, design: Any, root: Any, sd: Any, rho: Any, *others: Any) -> Any:
        _, _, time, size = others  # counted, previous, time, and how many
        gaps = np.abs(time[..., :, None] - time[..., None, :])
        along = np.linalg.cholesky(np.asarray(rho)[..., None, None] ** gaps + 1e-12 * np.eye(gaps.shape[-1]))
        noise = rng.standard_normal(_shape(size, mean, design, root, sd))
        noise = np.asarray(sd)[..., None] * np.squeeze(along @ noise[..., None], -1)
        return _with_effects(rng, mean, design, root, noise)


class SerialCurves(pm.Distribution):  # type: ignore[misc]  # PyMC is not typed
    """As :class:`Curves`, with residuals that correlate ``rho ** gap``.

    Parameters are ``mean`` (time), ``design`` (time, column), ``root`` (column, column), ``sd``, ``rho``, and by time
    ``counted`` (1 or 0), ``previous`` (place of the counted time before, -1 where there is none) and ``time``.
    """

    rv_type = _SerialCurvesRV
    rv_op = _SerialCurvesRV()

    @classmethod
    def dist(cls, *parameters: Tensor, **kwargs: Any) -> Tensor:
        """Return the random variable."""
        return super().dist([pt.as_tensor_variable(p) for p in parameters], **kwargs)

    def support_point(rv: Tensor, size: Any, mean: Tensor, *others: Tensor) -> Tensor:  # noqa: ARG002  (PyMC's)
        """Return the mean."""
        counted = others[4]
        return mean + 0 * counted

    def logp(
        value: Tensor,
        mean: Tensor,
        design: Tensor,
        root: Tensor,
        sd: Tensor,
        rho: Tensor,
        counted: Tensor,
        previous: Tensor,
        time: Tensor,
    ) -> Tensor:
        """Return the density of a unit's values that are counted."""
        is_later = (previous >= 0) * 1.0
        place = pt.cast(pt.maximum(previous, 0), "int64")
        gap = pt.switch(is_later > 0, time - pt.take_along_axis(time, place, axis=-1), 1.0)
        log_correlation = pt.log(rho)[..., None] * gap
        correlation = is_later * pt.exp(log_correlation)
        variance = -pt.expm1(2 * log_correlation) * is_later + (1 - is_later)
        rest = pt.sqrt(variance)

        def whitened(x: Tensor) -> Tensor:
            return counted * without_correlation(x / sd[..., None], correlation, place, rest)

        columns = [whitened(design[..., k] + pt.zeros_like(counted)) for k in range(root.type.shape[-1])]
        effects = integrate_out(whitened(value - mean), columns, root)
        constant = pt.sum(counted * (pt.log(sd)[..., None] + LOG_2_PI / 2 + pt.log(variance) / 2), axis=-1)
        return effects.log_density - constant


def _shape(size: Any, mean: Any, design: Any, root: Any, sd: Any) -> tuple[int, ...]:
    batch = np.broadcast_shapes(np.shape(mean)[:-1], np.shape(design)[:-2], np.shape(root)[:-2], np.shape(sd))
    return (*(batch if size is None else size), np.shape(mean)[-1])


def _with_effects(rng: Any, mean: Any, design: Any, root: Any, noise: np.ndarray) -> np.ndarray:
    """The mean, new effects on the columns, and noise."""
    effects = np.asarray(root) @ rng.standard_normal((*noise.shape[:-1], np.shape(root)[-1], 1))
    return np.asarray(mean + np.squeeze(np.asarray(design) @ effects, -1) + noise)
