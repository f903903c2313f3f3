"""Scores of whole units with everything that belongs to them integrated out, for leave-one-out."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayesdep.models.meta import student_effects
from bayesdep.models.meta.arms import Arms
from bayesdep.models.meta.binomial_arms import log_marginal_of_studies
from bayesdep.models.meta.binomial_pair import log_marginal_single
from bayesdep.numerics.dependent_effects import groups_of, turned

if TYPE_CHECKING:
    from bayesdep.models.meta.model import Meta


def directions(model: "Meta", data: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the directions in which the sampling errors of all effects are independent.

    Parameters
    ----------
    model
        The settings.
    data
        As the model prepared it.

    Returns
    -------
    dict of numpy.ndarray
        ``turn`` (units, units), a direction a column; ``variance`` (units,) of the errors along them; ``shared``
        (units, clusters), which direction has how much of which cluster's deviation (zero where there are none).
    """
    covariance = data["covariance"].values if "covariance" in data else None
    cluster = None if model.cluster is None else data["cluster_of"].values
    turn, variance = turned(covariance, data["se"].values, groups_of(covariance, cluster))
    member = np.zeros((len(variance), 1)) if cluster is None else np.eye(data.sizes["cluster"])[cluster]
    return {"turn": turn, "variance": variance, "shared": turn.T @ member}


def log_likelihood(model: "Meta", posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray | None:
    """Score whole units with everything that belongs to them integrated out; :meth:`Meta.log_likelihood`.

    Parameters
    ----------
    model
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
    mu, tau = (posterior[p].values.ravel() for p in ("mu", "tau"))
    mean = mu
    if model.covariates is not None:
        slope = posterior["slope"].transpose("chain", "draw", "covariate").values
        mean = mu[:, None] + slope.reshape(len(mu), -1) @ data["covariates"].values.T
    if model.likelihood == "binomial" and model.measure == "log-odds":
        values = log_marginal_single(data["events"].values, data["n"].values, mean, tau)
    elif model.likelihood == "binomial":
        of_baseline = (posterior["baseline_mean"].values.ravel(), posterior["baseline_sd"].values.ravel())
        rho = 2 * posterior["rho_unit"].values.ravel() - 1 if "rho_unit" in posterior else None
        values = log_marginal_of_studies(Arms.of(data), mean, tau, of_baseline, rho)
    elif model.heterogeneity == "student-t":
        nu = np.full_like(tau, model.nu) if model.nu is not None else posterior["nu"].values.ravel()
        values = student_effects.log_marginal(data["effect"].values, data["se"].values, mean, tau, nu)
    elif model.cluster is not None or "covariance" in data:
        between = posterior["tau_cluster"].values.ravel() if model.cluster is not None else np.zeros_like(tau)
        values = _of_dependent(model, mean.reshape(len(mu), -1), tau, between, data)
    else:
        return None
    return xr.DataArray(
        values.reshape(*posterior["mu"].shape, -1),
        coords={**posterior["mu"].coords, model.left_out: data[model.left_out]},
        dims=("chain", "draw", model.left_out),
    )


def _of_dependent(
    model: "Meta", mean: np.ndarray, tau: np.ndarray, between: np.ndarray, data: xr.Dataset
) -> np.ndarray:
    """Log density of each left-out unit's effects given the others' and the parameters: (draws, units or clusters).

    With clusters their joint densities, as nothing reaches from one to another, by Woodbury's identity; without, each
    effect's given those that share people with it, from the precision matrix (Buerkner, Gabry and Vehtari 2021,
    doi:10.1007/s00180-020-01045-4). ``mean`` is (draws, units), or (draws, 1) where it is the same for all.
    """
    found = directions(model, data)
    turn, shared = found["turn"], found["shared"]
    residual = (data["effect"].values - mean) @ turn
    w = 1 / (found["variance"] + tau[:, None] ** 2)
    if model.cluster is None:
        precision = w @ (turn**2).T
        return np.asarray((np.log(precision / (2 * np.pi)) - ((w * residual) @ turn.T) ** 2 / precision) / 2)
    member = np.eye(data.sizes["cluster"])[data["cluster_of"].values]  # a direction is of one cluster only
    ratio = between[:, None] ** 2 * (w @ shared**2)
    shrink = between[:, None] ** 2 / (1 + ratio)
    alone = (np.log(w / (2 * np.pi)) - w * residual**2) @ member
    return np.asarray((alone + shrink * ((w * residual) @ shared) ** 2 - np.log1p(ratio)) / 2)
