"""How well every patient of a crossover trial was predicted: dense normal densities of the outcomes observed."""

import numpy as np
import xarray as xr

from bayesdep.models.crossover.settings import CrossoverSettings


def expected(settings: CrossoverSettings, posterior: xr.Dataset, data: xr.Dataset) -> np.ndarray:
    """Return the mean outcome of every patient in every period on every day, the patient's own level aside.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws with dim ``sample`` first.
    data
        The prepared trial.

    Returns
    -------
    numpy.ndarray
        Shape (samples, subjects, periods, days).
    """
    drawn = {name: posterior[name].values for name in settings.slots}
    mean = float(data["centre"]) + drawn["day_mean"][:, None, None, :]
    mean = mean + np.einsum("pk,skd->spd", data["period_code"].values, drawn["period_effect"])[:, None]
    mean = mean + np.einsum("ipc,scd->sipd", data["treatment_code"].values, drawn["treatment_effect"])
    if "baseline_slope" in drawn:
        mean = mean + np.einsum("i,sd->sid", data["baseline"].values, drawn["baseline_slope"])[:, :, None, :]
    if settings.carry_over:
        mean = mean + np.einsum("ipc,scd->sipd", data["carry_code"].values, drawn["carry_over"])
    return np.asarray(mean)


def covariance(posterior: xr.Dataset, periods: int) -> np.ndarray:
    """Return the covariance of a patient's outcomes, period by day.

    Parameters
    ----------
    posterior
        Draws with dim ``sample`` first.
    periods
        How many periods there are.

    Returns
    -------
    numpy.ndarray
        Shape (samples, periods x days, periods x days), days changing fastest.
    """
    parts = []
    for name in ("patient", "residual"):
        sd = posterior[f"{name}_sd"].values
        correlation = np.tile(np.eye(sd.shape[1]), (len(sd), 1, 1))
        if f"{name}_correlation" in posterior:
            rows, columns = np.tril_indices(sd.shape[1], -1)
            by_pair = posterior[f"{name}_correlation"].values
            correlation[:, rows, columns] = correlation[:, columns, rows] = by_pair
        parts.append(correlation * sd[:, :, None] * sd[:, None, :])
    between, within = parts
    return np.asarray(np.kron(np.ones((periods, periods)), between) + np.kron(np.eye(periods), within))


def log_likelihood(settings: CrossoverSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Score every patient directly: dense multivariate normal densities of the outcomes observed.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of its parameters.
    data
        The prepared trial.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, subject).
    """
    flat = posterior.stack(sample=("chain", "draw"), create_index=False).transpose("sample", ...)
    n, periods, days = data["outcome"].shape
    rest = (data["outcome"].values - expected(settings, flat, data)).reshape(-1, n, periods * days)
    matrix = covariance(flat, periods)
    scored = np.zeros(rest.shape[:2])
    observed = ~np.isnan(data["outcome"].values.reshape(n, -1))
    patterns, which = np.unique(observed, axis=0, return_inverse=True)
    for k, seen in enumerate(patterns):
        if not seen.any():
            continue
        who = np.flatnonzero(which.ravel() == k)
        root = np.linalg.cholesky(matrix[:, seen][:, :, seen])
        z = np.linalg.solve(root, np.swapaxes(rest[:, who][:, :, seen], 1, 2))
        log_det = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        scored[:, who] = -(z**2).sum(axis=1) / 2 - log_det[:, None] - seen.sum() * np.log(2 * np.pi) / 2
    sample = {d: posterior[d] for d in ("chain", "draw")}
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], -1)
    return xr.DataArray(scored.reshape(shape), {**sample, "subject": data["subject"]}, ("chain", "draw", "subject"))
