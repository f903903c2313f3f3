"""Outcomes and markers of patients drawn from the model."""

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.parts.replicates import put, recorded_as
from bayesdep.models.trajectories.paths import mean_markers_of_patients, mean_outcomes_of_patients
from bayesdep.models.trajectories.scores import covariance_of, links_of, links_of_patient, residual_covariance
from bayesdep.models.trajectories.settings import TrajectoriesSettings


def replicate(
    settings: TrajectoriesSettings, data: xr.Dataset, drawn: xr.Dataset, rng: np.random.Generator
) -> xr.Dataset:
    """Draw markers and, given their deviations, outcomes, patient by patient.

    Parameters
    ----------
    settings
        The model's settings.
    data, drawn, rng
        As :meth:`bayesdep.models.trajectories.model.Trajectories.replicate` takes them.

    Returns
    -------
    xarray.Dataset
        Everything else as in ``data``.
    """
    one = drawn.expand_dims("sample")
    people, powers = data.sizes["subject"], len(settings.powers)
    deviation = rng.standard_normal((people, powers)) @ np.linalg.cholesky(covariance_of(settings, one)[0]).T
    if settings.has_markers:
        data, of_markers = _with_markers(settings, data, one, rng)
        if settings.association:
            by_arm = links_of(settings, one)
            for i in range(people):
                links = links_of_patient(settings, one, data, by_arm, i)[0]
                deviation[i] += np.einsum("mrs,ms->r", links, of_markers[i])
    mean = mean_outcomes_of_patients(settings, one, data)[0]
    mean = mean + np.einsum("ivr,ir->iv", data["deviation_columns"].values, deviation)
    seen = ~np.isnan(data["outcome"].values)
    y = np.full(seen.shape, np.nan)
    for i in range(people):
        at = mean[i, seen[i]]
        if settings.kind == "score":
            root = np.linalg.cholesky(residual_covariance(settings, one, data, i, seen[i])[0])
            y[i, seen[i]] = at + root @ rng.standard_normal(len(at))
        else:
            y[i, seen[i]] = rng.random(len(at)) < special.expit(at)
    return put(data, outcome=y)


def _with_markers(
    settings: TrajectoriesSettings, data: xr.Dataset, one: xr.Dataset, rng: np.random.Generator
) -> tuple[xr.Dataset, np.ndarray]:
    """Data with drawn markers, and the markers' deviations (subject, analyte, power)."""
    root = np.linalg.cholesky(covariance_of(settings, one, "marker_", "analyte")[0])
    z = rng.standard_normal((data.sizes["subject"], *root.shape[:2]))
    deviation = np.einsum("mrs,ims->imr", root, z)
    logs = mean_markers_of_patients(settings, one, data)[0]
    logs = logs + np.einsum("itr,imr->imt", data["marker_deviation_columns"].values, deviation)
    logs = logs + one["marker_residual_sd"].values[0][:, None] * rng.standard_normal(logs.shape)
    kind, lower, upper = recorded_as(logs, data["lod"].values, data["uloq"].values)
    detection = np.where(data["detection"].values < 0, -1, kind)  # what was not measured stays so
    return put(data, lower=lower, upper=upper, detection=detection), deviation
