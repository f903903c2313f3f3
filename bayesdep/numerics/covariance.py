"""Correlated normal outcomes of a patient at several visits, some of them missing, without a matrix per patient.

A patient's residuals u_j = (y_j - mean_j) / sd_j have correlation matrix R = L L'. Three ways to their density:

*Patterns* (unstructured, Toeplitz): patients who were observed at the same visits share the factor of these visits'
covariance (:mod:`bayesdep.numerics.patterns`).

*Innovations* (first-order autoregression): u_j given the previous observed u is normal around rho^gap times it, with
variance 1 - rho^(2 gap), the gap counted in visits or in days (spatial power). Linear in the visits, nothing latent.

*Exchangeable* (compound symmetry): with n observed visits, (1 - rho) sum u^2 and (sum u)^2 are sufficient, as
R^-1 = (I - rho / (1 + (n - 1) rho) 1 1') / (1 - rho).

These are classes, not ``pm.CustomDist``, so that one compiled model serves other data; the module imports PyMC, so
models import it when they build.
"""

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.random.op import RandomVariable

from bayesdep.numerics.normal import LOG_2_PI
from bayesdep.numerics.patterns import log_density_with_gaps
from bayesdep.numerics.types import Tensor


class _AnyCovarianceRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "any_covariance"
    signature = "(i,j),(g,j,j),(u),(i),(p),(p,j)->(i,j)"
    dtype = "floatX"
    _print_name = ("AnyCovariance", "\\operatorname{AnyCovariance}")

    @classmethod
    def rng_fn(cls, rng: Any, mean: Any, covariance: Any, scale: Any, *others: Any) -> Any:
        pattern_of, group_of, _, _ = others  # is_observed, and how many: draws are of every visit
        # data have draws in front where parameters have
        pattern_of, group_of = (x.reshape(-1, x.shape[-1])[0] for x in (pattern_of, group_of))
        root, group = np.linalg.cholesky(covariance), group_of[pattern_of]
        draws = np.broadcast_shapes(mean.shape[:-2], root.shape[:-3], scale.shape[:-1])
        noise = rng.standard_normal((*draws, *mean.shape[-2:]))
        for g in range(root.shape[-3]):
            noise[..., group == g, :] = noise[..., group == g, :] @ np.swapaxes(root[..., g, :, :], -1, -2)
        return mean + scale[..., None] * noise


class AnyCovariance(pm.Distribution):  # type: ignore[misc]  # PyMC is not typed
    """Visits of all patients, with any covariance matrix.

    Parameters are ``mean`` (patient, visit), ``covariance`` (group, visit, visit), ``scale`` (patient, or one for all),
    by which a patient's residuals are divided, and what :func:`patterns_of` returns. Draws are of every visit.
    """

    rv_type = _AnyCovarianceRV
    rv_op = _AnyCovarianceRV()

    @classmethod
    def dist(
        cls,
        mean: Tensor,
        covariance: Tensor,
        scale: Tensor,
        pattern_of: Tensor,
        group_of: Tensor,
        is_observed: Tensor,
        **kwargs: Any,
    ) -> Tensor:
        """Return the random variable."""
        parameters = (mean, covariance, scale, pattern_of, group_of, is_observed)
        return super().dist([pt.as_tensor_variable(p) for p in parameters], **kwargs)

    def support_point(rv: Tensor, size: Any, mean: Tensor, *others: Tensor) -> Tensor:  # noqa: ARG002  (PyMC's)
        """Return the mean."""
        return mean

    def logp(
        value: Tensor,
        mean: Tensor,
        covariance: Tensor,
        scale: Tensor,
        pattern_of: Tensor,
        group_of: Tensor,
        is_observed: Tensor,
    ) -> Tensor:
        """Return the density of all observed visits of all patients, a number."""
        residual = (value - mean) / scale[:, None]
        number = is_observed.sum(axis=-1)[pattern_of]
        density = log_density_with_gaps(residual, covariance, pattern_of, group_of, is_observed)
        return density - (number * pt.log(scale)).sum()


def patterns_of(is_observed: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put patients of one group together who were observed at the same visits.

    Parameters
    ----------
    is_observed
        Whether a patient was observed at a visit, shape (patient, visit).
    group
        The group of every patient, whose covariance matrix it has.

    Returns
    -------
    tuple of numpy.ndarray
        ``pattern_of``, the pattern of every patient; ``group_of``, the group of every pattern; and ``is_observed``
        (pattern, visit), 1 or 0.

    Examples
    --------
    >>> pattern_of, group_of, is_observed = patterns_of(np.array([[1, 1], [1, 0], [1, 1]]) == 1, np.array([0, 0, 0]))
    >>> pattern_of.tolist(), group_of.tolist(), is_observed.tolist()
    ([1, 0, 1], [0, 0], [[1.0, 0.0], [1.0, 1.0]])
    """
    patterns, pattern_of = np.unique(np.column_stack([group, is_observed]), axis=0, return_inverse=True)
    return pattern_of.ravel(), patterns[:, 0], patterns[:, 1:].astype(float)


class _SerialRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "serial"
    signature = "(j),(j),(),(j),(j),(j)->(j)"
    dtype = "floatX"
    _print_name = ("Serial", "\\operatorname{Serial}")

    @classmethod
    def rng_fn(cls, rng: Any, mean: Any, sd: Any, rho: Any, *others: Any) -> Any:
        _, _, day, size = others  # is_observed, previous, day, and how many
        gaps = np.abs(day[..., :, None] - day[..., None, :])
        root = np.linalg.cholesky(np.asarray(rho)[..., None, None] ** gaps)
        return _draw(rng, mean, sd, root, size)


class Serial(pm.Distribution):  # type: ignore[misc]  # PyMC is not typed
    """Visits of a patient, correlated ``rho ** gap``.

    Parameters are ``mean``, ``sd`` (visit), ``rho`` (between 0 and 1), and by visit ``is_observed`` (1 or 0),
    ``previous`` (place of the previous observed visit, -1 where there is none) and ``day`` (the time that gaps are
    counted in). Draws are of every visit.
    """

    rv_type = _SerialRV
    rv_op = _SerialRV()

    @classmethod
    def dist(
        cls, mean: Tensor, sd: Tensor, rho: Tensor, is_observed: Tensor, previous: Tensor, day: Tensor, **kwargs: Any
    ) -> Tensor:
        """Return the random variable."""
        return super().dist([pt.as_tensor_variable(p) for p in (mean, sd, rho, is_observed, previous, day)], **kwargs)

    def support_point(rv: Tensor, size: Any, mean: Tensor, *others: Tensor) -> Tensor:  # noqa: ARG002  (PyMC's)
        """Return the mean."""
        _, _, is_observed, *_ = others  # sd, rho, and previous, day
        return mean + 0 * is_observed

    def logp(
        value: Tensor, mean: Tensor, sd: Tensor, rho: Tensor, is_observed: Tensor, previous: Tensor, day: Tensor
    ) -> Tensor:
        """Return the density of a patient's observed visits."""
        u = (value - mean) / sd
        rho = rho[..., None]
        is_later = (previous >= 0) * 1.0
        place = pt.cast(pt.maximum(previous, 0), "int64")
        gap = pt.switch(is_later > 0, day - pt.take_along_axis(day, place, axis=-1), 1.0)
        correlation = is_later * pt.exp(pt.log(rho) * gap)
        variance = -pt.expm1(2 * gap * pt.log(rho)) * is_later + (1 - is_later)
        innovation = u - correlation * pt.take_along_axis(u, place, axis=-1)
        density = innovation**2 / variance + pt.log(variance) + LOG_2_PI
        return -pt.sum(is_observed * (density / 2 + pt.log(sd)), axis=-1)


class _ExchangeableRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "exchangeable"
    signature = "(j),(j),(),(j)->(j)"
    dtype = "floatX"
    _print_name = ("Exchangeable", "\\operatorname{Exchangeable}")

    @classmethod
    def rng_fn(cls, rng: Any, mean: Any, sd: Any, rho: Any, is_observed: Any, size: Any = None) -> Any:  # noqa: ARG003  (PyMC's signature)
        eye = np.eye(np.shape(mean)[-1])
        root = np.linalg.cholesky(eye + np.asarray(rho)[..., None, None] * (1 - eye))
        return _draw(rng, mean, sd, root, size)


class Exchangeable(pm.Distribution):  # type: ignore[misc]  # PyMC is not typed
    """Visits of a patient, all equally correlated.

    Parameters are ``mean``, ``sd`` (visit), ``rho`` (between 0 and 1) and ``is_observed`` (visit; 1 or 0). Draws are of
    every visit.
    """

    rv_type = _ExchangeableRV
    rv_op = _ExchangeableRV()

    @classmethod
    def dist(cls, mean: Tensor, sd: Tensor, rho: Tensor, is_observed: Tensor, **kwargs: Any) -> Tensor:
        """Return the random variable."""
        return super().dist([pt.as_tensor_variable(p) for p in (mean, sd, rho, is_observed)], **kwargs)

    def support_point(rv: Tensor, size: Any, mean: Tensor, *others: Tensor) -> Tensor:  # noqa: ARG002  (PyMC's)
        """Return the mean."""
        *_, is_observed = others  # sd, rho
        return mean + 0 * is_observed

    def logp(value: Tensor, mean: Tensor, sd: Tensor, rho: Tensor, is_observed: Tensor) -> Tensor:
        """Return the density of a patient's observed visits."""
        u = is_observed * (value - mean) / sd
        n = pt.sum(is_observed, axis=-1)
        largest_eigenvalue = 1 + (n - 1) * rho
        square = (pt.sum(u**2, axis=-1) - rho * pt.sum(u, axis=-1) ** 2 / largest_eigenvalue) / (1 - rho)
        # a patient without any visit has no determinant
        log_det = pt.switch(n > 0, (n - 1) * pt.log1p(-rho) + pt.log(largest_eigenvalue), 0.0)
        return -(square + log_det + n * LOG_2_PI) / 2 - pt.sum(is_observed * pt.log(sd), axis=-1)


def _draw(rng: Any, mean: Any, sd: Any, root: Any, size: Any) -> Any:
    """Every visit of every patient, with root of their correlation matrix."""
    batch = np.broadcast_shapes(np.shape(mean)[:-1], np.shape(sd)[:-1], np.shape(root)[:-2])
    noise = rng.standard_normal((*(batch if size is None else size), np.shape(mean)[-1]))
    return mean + sd * np.squeeze(root @ noise[..., None], -1)


def vine_root(partial: Tensor) -> Tensor:
    """Return the Cholesky factor of the correlation matrix that has the given partial correlations.

    Parameters
    ----------
    partial
        Tensor of shape (..., visits, visits): below the diagonal, row j and column k, the correlation of visits j and k
        given the visits before k; zero above, and one on the diagonal.

    Returns
    -------
    pytensor.tensor.TensorVariable
        L, shape (..., visits, visits): ``L[j, k] = partial[j, k] prod_{m < k} sqrt(1 - partial[j, m]^2)`` (Lewandowski,
        Kurowicka and Joe 2009, doi:10.1016/j.jmva.2009.04.008, section 3).
    """
    columns, remaining_sd = [], pt.ones_like(partial[..., 0])
    for k in range(partial.type.shape[-1]):
        columns.append(partial[..., k] * remaining_sd)
        remaining_sd = remaining_sd * pt.sqrt(pt.maximum(1 - partial[..., k] ** 2, 0.0))
    return pt.stack(columns, axis=-1)


def cholesky(matrix: Tensor, size: int) -> Tensor:
    """Return the Cholesky factor of a small matrix, written out column by column.

    Numba takes a quarter of a minute to compile LAPACK's; for a few visits this is as fast.

    Parameters
    ----------
    matrix
        Positive-definite tensor of shape (..., size, size).
    size
        Its number of rows.

    Returns
    -------
    pytensor.tensor.TensorVariable
        L with ``L @ L.T == matrix``, matrix by matrix.
    """
    columns = []
    for k in range(size):
        below = (np.arange(size) >= k).astype(float)
        columns.append(below * matrix[..., :, k] / pt.sqrt(matrix[..., k, k, None]))
        matrix = matrix - columns[k][..., :, None] * columns[k][..., None, :]
    return pt.stack(columns, axis=-1)


def toeplitz_correlations(partial: Tensor) -> Tensor:
    """Return the correlations by lag that have given partial autocorrelations, by the Durbin-Levinson recursion.

    Parameters
    ----------
    partial
        Tensor of shape (..., lags), each between -1 and 1: any such numbers give a positive-definite matrix.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Correlations at lags 0, 1, ..., shape (..., lags + 1) (Barndorff-Nielsen and Schou 1973,
        doi:10.1016/0047-259X(73)90030-4).
    """
    by_lag: list[Tensor] = [pt.ones_like(partial[..., 0])]
    slopes: list[Tensor] = []  # of the regression on the k previous visits
    variance: Tensor = pt.ones_like(partial[..., 0])
    for k in range(partial.type.shape[-1]):
        reflection = partial[..., k]
        by_lag.append(reflection * variance + sum(slope * by_lag[k - m] for m, slope in enumerate(slopes)))
        slopes = [slope - reflection * slopes[k - 1 - m] for m, slope in enumerate(slopes)] + [reflection]
        variance = variance * (1 - reflection**2)
    return pt.stack(by_lag, axis=-1)
