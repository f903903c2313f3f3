"""Scores of whole units with everything that belongs to them integrated out, for leave-one-out."""

import numpy as np
import xarray as xr

from bayesdep.models.meta import student_effects
from bayesdep.models.meta.arms import Arms
from bayesdep.models.meta.binomial_arms import log_marginal_of_studies
from bayesdep.models.meta.binomial_pair import log_marginal_single
from bayesdep.models.meta.directions import Directions
from bayesdep.models.meta.settings import MetaSettings


def parameters_of(
    settings: MetaSettings, posterior: xr.Dataset, data: xr.Dataset
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return draws of the pooled effect, of the spread, and of every effect's mean.

    Parameters
    ----------
    settings, posterior, data
        As :func:`log_likelihood` takes them.

    Returns
    -------
    tuple of numpy.ndarray
        ``mu`` and ``tau``, shape (samples,), and the mean, (samples,) or with covariates (samples, units).
    """
    mu, tau = (np.asarray(posterior[name].values.ravel()) for name in ("mu", "tau"))
    if settings.covariates is None:
        return mu, tau, mu
    slope = posterior["slope"].transpose("chain", "draw", "covariate").values
    return mu, tau, mu[:, None] + slope.reshape(len(mu), -1) @ data["covariates"].values.T


def midpoints_of(posterior: xr.Dataset) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray | None]:
    """Return draws of the midpoints' mean and spread, and of their correlation with effects where there is one.

    Parameters
    ----------
    posterior
        Draws of the parameters.

    Returns
    -------
    tuple
        Mean and spread, and the correlation or None; each of shape (samples,).
    """
    mean, sd = (posterior[name].values.ravel() for name in ("baseline_mean", "baseline_sd"))
    return (mean, sd), 2 * posterior["rho_unit"].values.ravel() - 1 if "rho_unit" in posterior else None


def log_likelihood(settings: MetaSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray | None:
    """Score whole units with everything that belongs to them integrated out; :meth:`Meta.log_likelihood`.

    Parameters
    ----------
    settings
        The settings.
    posterior
        Draws of the parameters.
    data
        As the model prepared it.

    Returns
    -------
    xarray.DataArray or None
        Dims (chain, draw, unit or cluster); None where the model's own density of each effect serves.
    """
    mu, tau, mean = parameters_of(settings, posterior, data)
    if settings.has_midpoints:
        values = log_marginal_of_studies(Arms.of(data), mean, tau, *midpoints_of(posterior))
    elif settings.likelihood == "binomial":
        values = log_marginal_single(data["events"].values, data["n"].values, mean, tau)
    elif settings.heterogeneity == "student-t":
        nu = np.full_like(tau, settings.nu) if settings.nu is not None else posterior["nu"].values.ravel()
        values = student_effects.log_marginal(data["effect"].values, data["se"].values, mean, tau, nu)
    elif settings.cluster is not None:
        values = _of_clusters(mean.reshape(len(mu), -1), tau, posterior["tau_cluster"].values.ravel(), data)
    elif "covariance" in data:
        values = _of_dependent_effects(mean.reshape(len(mu), -1), tau, data)
    else:
        return None
    return xr.DataArray(
        values.reshape(*posterior["mu"].shape, -1),
        coords={**posterior["mu"].coords, settings.left_out: data[settings.left_out]},
        dims=("chain", "draw", settings.left_out),
    )


def _of_dependent_effects(mean: np.ndarray, tau: np.ndarray, data: xr.Dataset) -> np.ndarray:
    """Log density of each effect given those that share people with it, shape (draws, units).

    From the precision matrix of all effects (Buerkner, Gabry and Vehtari 2021, doi:10.1007/s00180-020-01045-4).
    ``mean`` is (draws, units), or (draws, 1) where it is the same for all.
    """
    directions = Directions.of(data)
    turn = directions.turn
    residual = (data["effect"].values - mean) @ turn
    w = 1 / (directions.variance + tau[:, None] ** 2)
    precision = w @ (turn**2).T
    return np.asarray((np.log(precision / (2 * np.pi)) - ((w * residual) @ turn.T) ** 2 / precision) / 2)


def _of_clusters(mean: np.ndarray, tau: np.ndarray, tau_cluster: np.ndarray, data: xr.Dataset) -> np.ndarray:
    """Joint log density of the effects of each cluster, by Woodbury's identity, shape (draws, clusters).

    ``mean`` is (draws, units), or (draws, 1) where it is the same for all.
    """
    directions = Directions.of(data)
    residual = (data["effect"].values - mean) @ directions.turn
    w = 1 / (directions.variance + tau[:, None] ** 2)
    member = np.eye(data.sizes["cluster"])[data["cluster_of"].values]  # each direction is of one cluster
    ratio = tau_cluster[:, None] ** 2 * (w @ directions.shared**2)
    shrink = tau_cluster[:, None] ** 2 / (1 + ratio)
    independent = (np.log(w / (2 * np.pi)) - w * residual**2) @ member
    pull = (w * residual) @ directions.shared
    return np.asarray((independent + shrink * pull**2 - np.log1p(ratio)) / 2)
