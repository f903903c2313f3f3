"""Outcomes and markers of patients drawn from the model."""

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.parts.categories import THRESHOLD, draw_categories
from bayesdep.models.parts.replicates import put, recorded_as
from bayesdep.models.trajectories.courses import Basis
from bayesdep.models.trajectories.exact import rows_of_links
from bayesdep.models.trajectories.factor import LOADING
from bayesdep.models.trajectories.ordered import FORM
from bayesdep.models.trajectories.paths import mean_markers_of_patients, mean_outcomes_of_patients
from bayesdep.models.trajectories.scores import covariance_of, residual_covariance, weights_of, weights_of_patient
from bayesdep.models.trajectories.settings import TrajectoriesSettings, link_matrices


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
    mean = mean_outcomes_of_patients(settings, one, data)[0]
    mean = mean + np.einsum("ivr,ir->iv", data["deviation_columns"].values, deviation)
    if settings.has_markers:
        data, of_markers, around = _with_markers(settings, data, one, rng)
        if settings.association:
            mean = mean + _along_markers(settings, data, one, of_markers, around)
    seen = ~np.isnan(data["outcome"].values)
    y = np.full(seen.shape, np.nan)
    for i in range(people):
        at = mean[i, seen[i]]
        if settings.kind == "score":
            root = np.linalg.cholesky(residual_covariance(settings, one, data, i)[0][np.ix_(seen[i], seen[i])])
            y[i, seen[i]] = at + root @ rng.standard_normal(len(at))
        elif settings.kind == "ordinal":
            y[i, seen[i]] = draw_categories(at, one[THRESHOLD].values[0], rng, None, FORM)
        else:
            y[i, seen[i]] = rng.random(len(at)) < special.expit(at)
    return put(data, outcome=y)


def _with_markers(
    settings: TrajectoriesSettings, data: xr.Dataset, one: xr.Dataset, rng: np.random.Generator
) -> tuple[xr.Dataset, np.ndarray, np.ndarray]:
    """Data with drawn markers, deviations that outcomes go with, and values less means.

    Deviations are (subject, analyte, power), or those of the shared factor, (subject, 1, power); values less means are
    (subject, analyte, marker_visit).
    """
    root = np.linalg.cholesky(covariance_of(settings, one, "marker_", "analyte")[0])
    z = rng.standard_normal((data.sizes["subject"], *root.shape[:2]))
    deviation = np.einsum("mrs,ims->imr", root, z)
    linked = deviation
    if settings.shared_factor:
        of_factor = np.linalg.cholesky(covariance_of(settings, one, "factor_")[0])
        linked = (rng.standard_normal((len(z), len(of_factor))) @ of_factor.T)[:, None]
        deviation = deviation + one[LOADING].values[0][:, None] * linked
    around = np.einsum("itr,imr->imt", data["marker_deviation_columns"].values, deviation)
    around = around + one["marker_residual_sd"].values[0][:, None] * rng.standard_normal(around.shape)
    logs = mean_markers_of_patients(settings, one, data)[0] + around
    kind, lower, upper = recorded_as(logs, data["lod"].values, data["uloq"].values)
    detection = np.where(data["detection"].values < 0, -1, kind)  # what was not measured stays so
    return put(data, lower=lower, upper=upper, detection=detection), linked, around


def _along_markers(
    settings: TrajectoriesSettings, data: xr.Dataset, one: xr.Dataset, deviation: np.ndarray, around: np.ndarray
) -> np.ndarray:
    """What markers add to outcomes, shape (subject, visit): by their deviations, or by their values where exact."""
    weights, matrices, design = weights_of(settings, one), link_matrices(settings), data["deviation_columns"].values
    is_exact = data["is_exact"].values if settings.exact else np.zeros(deviation.shape[1], dtype=int)
    found = np.zeros(design.shape[:2])
    for i in range(len(found)):
        own = weights_of_patient(settings, one, data, weights, i)[0]
        found[i] = design[i] @ np.einsum("lm,lrs,ms->r", own * (1 - is_exact), matrices, deviation[i])
        if settings.exact:
            share = Basis.from_attrs(data["course_columns"].attrs).share(data["time"].values[i])
            slots = np.concatenate([data["slot_of_first"].values[[i]], data["slot_of_visit"].values[i]])
            rows = rows_of_links(settings.association, share)
            found[i] += np.einsum("lm,lvp,mp->v", own * is_exact, rows, around[i][:, slots])
    return found
