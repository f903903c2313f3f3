"""What was observed of studies, as a random variable, and the studies' own deviations given it.

Classes, not ``pm.CustomDist``, so that one compiled model serves other data; the module imports PyMC, so models
import it when they build.
"""

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.random.op import RandomVariable

from bayesdep.models.patient_meta.density import studies_density
from bayesdep.models.patient_meta.likelihood import deviations, raw_products, residuals
from bayesdep.models.patient_meta.products import statistics_of


class _SummariesRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "summaries"
    signature = "(a,z,t),(k,t),(),(u,u),(k,p,a,z,z),(k,p,a,z,t),(p,t),(k,u),(m)->(k,p,a,m)"
    dtype = "floatX"
    _print_name = ("Summaries", "\\operatorname{Summaries}")

    @classmethod
    def rng_fn(cls, rng: Any, gamma: Any, sd: Any, rho: Any, root: Any, cross: Any, *rest: Any) -> Any:
        """Draw what patients of new studies like these would be summed up as.

        Within an arm the patients' own means differ by their columns: with A'A the sum of products of these and F the
        noise along them, n - 1 degrees of freedom of noise are F and a Wishart matrix of the others (drawn by
        Bartlett's decomposition), so nothing needs to be drawn by patient.
        """
        projected, seen, proper, kept, size = rest
        core = (3, 2, 0, 2, 5, 5, 2, 2, 1)
        given = (gamma, sd, rho, root, cross, projected, seen, proper, kept)
        shapes = (np.shape(x)[: np.ndim(x) - k] for x, k in zip(given, core, strict=True))
        batch = np.broadcast_shapes(*shapes) if size is None else tuple(size)
        studies, times = np.shape(sd)[-2:]
        count = cross[..., 0, 0]
        some = np.maximum(count, 1)
        mean_z = cross[..., 0, :] / some[..., None]
        noise = np.swapaxes(root @ rng.standard_normal((*batch, 2 * times, studies)), -1, -2)
        deviation = (noise * np.asarray(proper)).reshape(*batch, studies, times, 2)
        code = np.array([[-0.5], [0.5]])
        own = deviation[..., None, :, 0] + code * deviation[..., None, :, 1]  # study; controls, treated; time
        level = np.einsum("...kpaz,...azt->...kpat", mean_z, gamma) + own[..., None, :, :]
        spread = cross - count[..., None, None] * mean_z[..., :, None] * mean_z[..., None, :]
        by_cell = np.asarray(gamma)[..., None, None, :, :, :]
        along = _upper_root(np.swapaxes(by_cell, -1, -2) @ (spread @ by_cell))
        one = _residual_root(np.asarray(sd), np.asarray(rho), np.asarray(seen))[..., None, :, :]
        cells = (*batch, *np.shape(count)[-3:])
        z = rng.standard_normal((*cells, 1, times))
        mean = level + np.squeeze(z @ np.swapaxes(one, -1, -2), -2) / np.sqrt(some)[..., None]
        free = np.broadcast_to(count, cells) - 1
        has = np.arange(times)[:, None] < free[..., None, None]
        moved = along + has * (rng.standard_normal((*cells, times, times)) @ np.swapaxes(one, -1, -2))
        others = one @ _bartlett(rng, np.maximum(free - times, 0), times)
        products = np.swapaxes(moved, -1, -2) @ moved + others @ np.swapaxes(others, -1, -2)
        there = np.broadcast_to(seen[..., None, :, None, :] * (count > 0)[..., None], mean.shape)
        # a free level has no distribution to draw from: replicates have the mean that the study had
        had = there * count[..., None]
        everybody = np.maximum(had.sum(axis=(-3, -2)), 1)
        away = (np.asarray(projected)[..., 0, :] - mean * had).sum(axis=(-3, -2)) / everybody
        mean = mean + (away * (1 - np.asarray(proper)[..., ::2]))[..., None, None, :]
        mean, products = mean * there, products * there[..., :, None] * there[..., None, :]
        return np.stack(
            [mean[..., k[0]] if len(k) == 1 else products[..., k[0], k[1]] for k in statistics_of(times)], axis=-1
        )


class Summaries(pm.Distribution):  # type: ignore[misc]  # PyMC is not typed
    """Summaries of all studies' outcomes.

    Parameters are ``gamma`` (arm, column, time: coefficients in each arm), ``sd`` (study, time) and ``rho``
    of residuals, ``root`` (of the covariance of a study's own deviations: by time, level and effect), ``cross`` (study,
    pattern, arm, column, column), ``projected`` (study, pattern, arm, column, time: outcomes by columns; not drawn
    anew: the density needs it, and the mean of a study whose level is free), ``seen`` (pattern, time), ``proper``
    (study, deviation: 0 for a level that is free) and ``kept`` (statistic: of no meaning but its length). Draws are of
    studies with the same patients and deviations of their own.
    """

    rv_type = _SummariesRV
    rv_op = _SummariesRV()

    @classmethod
    def dist(cls, *parameters: Any, **kwargs: Any) -> Any:
        """Return the random variable."""
        return super().dist([pt.as_tensor_variable(p) for p in parameters], **kwargs)

    def support_point(rv: Any, size: Any, gamma: Any, sd: Any, rho: Any, root: Any, cross: Any, *rest: Any) -> Any:  # noqa: ARG002  (PyMC's)
        """Return zero, the mean of standardised outcomes."""
        return cross[..., 0, 0, None] * 0 + rest[-1] * 0

    def logp(value: Any, gamma: Any, sd: Any, rho: Any, root: Any, cross: Any, *rest: Any) -> Any:
        """Return the density of all studies' outcomes together."""
        projected, seen, proper, _ = rest
        return studies_density(gamma, sd, rho, root, cross, projected, value, seen, proper)[0]


class _DeviationsRV(RandomVariable):  # type: ignore[misc]  # PyMC is not typed
    name = "deviations"
    signature = "(a,z,t),(k,t),(),(u,u),(k,p,a,z,z),(k,p,a,z,t),(k,p,a,m),(p,t),(k,u),(w)->(k,t,w)"
    dtype = "floatX"
    _print_name = ("Deviations", "\\operatorname{Deviations}")

    @classmethod
    def rng_fn(cls, rng: Any, gamma: Any, sd: Any, rho: Any, root: Any, cross: Any, *rest: Any) -> Any:
        projected, outcomes, seen, proper, _, size = rest  # the last but one is of no meaning but its length
        times = np.shape(sd)[-1]
        left = residuals(gamma, cross, projected, raw_products(outcomes, cross[..., 0, 0], times), seen, proper)
        shape = (*np.shape(rho), np.shape(sd)[-2]) if size is None else (*size, np.shape(sd)[-2])
        noise = [rng.standard_normal(shape) for _ in range(2 * times)]
        found = deviations(left, np.asarray(sd), np.asarray(rho)[..., None], np.asarray(root)[..., None, :, :], noise)
        return np.stack([np.stack(found[2 * t : 2 * t + 2], axis=-1) for t in range(times)], axis=-2)


class Deviations(pm.Distribution):  # type: ignore[misc]  # PyMC is not typed
    """The studies' own deviations given their outcomes: by time, of the level midway between arms and of the effect.

    Parameters are those of :class:`Summaries`, with the observed ``outcomes`` (study, pattern, arm, statistic) before
    ``seen``, and the two ``which`` in place of ``kept``. They are not needed for the likelihood and are only drawn from
    their conditional distribution; their density is there for those who take the PyMC model elsewhere.
    """

    rv_type = _DeviationsRV
    rv_op = _DeviationsRV()

    @classmethod
    def dist(cls, *parameters: Any, **kwargs: Any) -> Any:
        """Return the random variable."""
        return super().dist([pt.as_tensor_variable(p) for p in parameters], **kwargs)

    def support_point(rv: Any, size: Any, gamma: Any, sd: Any, *rest: Any) -> Any:  # noqa: ARG002  (PyMC's)
        """Return zero."""
        return sd[..., None] * 0 + rest[-1] * 0

    def logp(value: Any, gamma: Any, sd: Any, rho: Any, root: Any, cross: Any, *rest: Any) -> Any:
        """Return the density of all studies' deviations: normal with precision ``W + L'^-1 J L^-1``."""
        projected, _, seen, proper, _ = rest
        left = projected[..., 0, :] - (cross[..., 0, :, None] * gamma).sum(axis=-2)  # study, pattern, arm, time
        times = root.shape[0] // 2
        both = seen[:, :, None] * seen[:, None, :]
        eye = pt.eye(times)
        tied = rho * both.sum(axis=(1, 2)) / times**2 * (times > 1)
        tied = pt.switch(pt.ge(both.sum(axis=(1, 2)), times**2), tied, 0.0)[:, None, None]
        weight = both * (eye - (1 - eye) * tied) / (1 - tied**2)
        weight = weight / (sd[:, None, :, None] * sd[:, None, None, :])  # study, pattern, time, time
        arms = pt.as_tensor_variable(np.array([[1.0, -0.5], [1.0, 0.5]]))
        sums = (left[..., None] * arms[:, None, :]).sum(axis=2)  # study, pattern, time, which
        counts = (cross[..., 0, 0][..., None, None] * (arms[:, :, None] * arms[:, None, :])).sum(axis=2)
        g = (weight[..., None] * sums[:, :, None]).sum(axis=(1, 3)).reshape((-1, 2 * times))
        known = (weight[:, :, :, None, :, None] * counts[:, :, None, :, None, :]).sum(axis=1)
        up = pt.linalg.inv(root)
        own = (up[None, :, :, None] * proper[:, :, None, None] * up[None, :, None, :]).sum(axis=1)
        precision = known.reshape((-1, 2 * times, 2 * times)) + own
        away = value.reshape((-1, 2 * times)) - (pt.linalg.inv(precision) * g[:, None, :]).sum(axis=-1)
        squares = (away[:, :, None] * precision * away[:, None, :]).sum(axis=(1, 2))
        low = pt.linalg.cholesky(precision)
        log_det = 2 * pt.log(pt.diagonal(low, axis1=-2, axis2=-1)).sum(axis=-1)
        return ((log_det - squares) / 2 - times * np.log(2 * np.pi)).sum()


def _upper_root(matrix: np.ndarray) -> np.ndarray:
    """A with A'A a matrix of one row or two, which may have no full rank."""
    found = np.zeros_like(matrix)
    found[..., 0, 0] = np.sqrt(np.maximum(matrix[..., 0, 0], 0))
    if matrix.shape[-1] > 1:
        found[..., 0, 1] = matrix[..., 0, 1] / np.maximum(found[..., 0, 0], 1e-12)
        found[..., 1, 1] = np.sqrt(np.maximum(matrix[..., 1, 1] - found[..., 0, 1] ** 2, 0))
    return found


def _residual_root(sd: np.ndarray, rho: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Lower root of a patient's residual covariance: (..., study, pattern, time, time)."""
    sd, seen, times = sd[..., :, None, :], seen[..., None, :, :], seen.shape[-1]
    found = np.zeros((*np.broadcast_shapes(sd.shape, seen.shape), times))
    found[..., 0, 0] = sd[..., 0]
    if times > 1:
        tied = rho[..., None, None] * seen[..., 0] * seen[..., 1]
        found[..., 1, 0] = tied * sd[..., 1]
        found[..., 1, 1] = np.sqrt(1 - tied**2) * sd[..., 1]
    return found


def _bartlett(rng: Any, free: np.ndarray, times: int) -> np.ndarray:
    """Root of a Wishart matrix with the identity for its scale and any number of degrees of freedom from zero on."""
    found = np.zeros((*free.shape, times, times))
    for t in range(times):
        found[..., t, t] = np.sqrt(2 * rng.standard_gamma(np.maximum(free - t, 0) / 2))
        for s in range(t):
            found[..., t, s] = rng.standard_normal(free.shape) * (free > s)
    return found
