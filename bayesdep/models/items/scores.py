"""The log probability of each patient's items, own severities integrated out, for leave-one-out."""

import numpy as np
import xarray as xr

from bayesdep.models.items.settings import ItemsSettings
from bayesdep.models.items.severity import steps_of
from bayesdep.numerics.draws import draws_of, over_draws
from bayesdep.numerics.graded import ends, graded_log_probabilities
from bayesdep.numerics.types import Draws

_STEPS, _CLOSE, _FARTHEST_STEP = 25, 1e-6, 2.0


def log_likelihood(settings: ItemsSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Return the log probability of every patient's items at all visits, by Laplace's method.

    A patient's severities given the parameters are normal, and their items' probabilities log-concave in them, so the
    integrand has one mode and is near normal: a visit has as many scores as there are items. Level, change and
    severities together have a Hessian whose only dense part is that of level and change, so a step takes linear time.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of the parameters.
    data
        The prepared data.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, subject).
    """

    def of_draws(draws: xr.Dataset) -> xr.DataArray:
        values = _patients(settings, draws, data)
        return xr.DataArray(values, {"subject": data["subject"].values}, ("sample", "subject"))

    return over_draws(posterior, of_draws, data["score"].size * 6)


def _patients(settings: ItemsSettings, draws: xr.Dataset, data: xr.Dataset) -> Draws:
    """Log integrals by draw and patient."""
    score, highest, subject = data["score"].values, data["highest"].values, data["subject_of"].values
    time = data["time"].values[data["visit_of"].values]
    of_patient = np.eye(data.sizes["subject"])[subject]
    item, step, _ = steps_of(data)
    cuts = np.zeros((draws.sizes["sample"], *score.shape[1:], int(highest.max())))
    cuts[:, item, step] = draws_of(draws, "threshold", "step")
    inside = inside_of(cuts)
    a, mean, shift = expected(settings, draws, data)
    level_sd, slope_sd, visit_sd = (draws_of(draws, f"{x}_sd")[:, None] for x in ("level", "slope", "visit"))
    between = draws_of(draws, "correlation")[:, None] * level_sd * slope_sd
    theta = np.broadcast_to(data["severity_estimate"].values[subject, data["visit_of"].values], mean.shape)
    theta = mean + np.clip(theta - mean, -_FARTHEST_STEP, _FARTHEST_STEP)
    for _ in range(_STEPS):
        level = theta[..., None] * a[:, None] + shift
        above, below = ends(level, cuts, score, highest)
        bent = np.maximum((a[:, None] ** 2 * (above * (1 - above) + below * (1 - below))).sum(axis=-1), 1e-12)
        slope = (a[:, None] * (below - above)).sum(axis=-1)
        weight = bent / (1 + visit_sd**2 * bent)
        # the scores are as good as a normal observation of severity, theta + slope / bent: what it says of the patient
        residual = theta + slope / bent - mean
        sums = [(weight * residual * x) @ of_patient for x in (1.0, time)]
        products = [(weight * x) @ of_patient for x in (1.0, time, time**2)]
        own, determinant = _own(sums, products, level_sd**2, between, slope_sd**2)
        centre = own[0][:, subject] + own[1][:, subject] * time
        target = mean + centre + visit_sd**2 * weight * (residual - centre)
        move = np.clip(target - theta, -_FARTHEST_STEP, _FARTHEST_STEP)
        theta = theta + move
        if np.abs(move).max() < _CLOSE:
            break
    log_p = graded_log_probabilities(theta[..., None] * a[:, None] + shift, cuts, inside, score, highest).sum(axis=-1)
    around = theta - mean - centre
    by_visit = log_p - (around / visit_sd) ** 2 / 2 - np.log1p(visit_sd**2 * bent) / 2
    # minus half of u' K^-1 u, which is u' (s - P u) at the mode: K is not inverted
    rest = (
        sums[0] - products[0] * own[0] - products[1] * own[1],
        sums[1] - products[1] * own[0] - products[2] * own[1],
    )
    return np.asarray(by_visit @ of_patient - (own[0] * rest[0] + own[1] * rest[1]) / 2 - np.log(determinant) / 2)


def _own(
    sums: list[Draws], products: list[Draws], level: Draws, between: Draws, slope: Draws
) -> tuple[tuple[Draws, Draws], Draws]:
    """Level and change of patients, ``(I + K P)^-1 K s``, and the determinant of ``I + K P``."""
    k11, k12, k22 = level, between, slope
    p11, p12, p22 = products
    m11, m12 = 1 + k11 * p11 + k12 * p12, k11 * p12 + k12 * p22
    m21, m22 = k12 * p11 + k22 * p12, 1 + k12 * p12 + k22 * p22
    determinant = m11 * m22 - m12 * m21
    one, other = k11 * sums[0] + k12 * sums[1], k12 * sums[0] + k22 * sums[1]
    return ((m22 * one - m12 * other) / determinant, (m11 * other - m21 * one) / determinant), determinant


def inside_of(cuts: Draws) -> Draws:
    """Return the log of 1 less exp of minus the distance of neighbouring thresholds; what no item has is not used.

    Parameters
    ----------
    cuts
        Thresholds, shape (samples, items, T).

    Returns
    -------
    numpy.ndarray
        Of the same shape.
    """
    gaps = np.diff(cuts, axis=-1, append=cuts[..., -1:] + 1)
    return np.log(-np.expm1(-np.where(gaps > 0, gaps, 1.0)))


def expected(settings: ItemsSettings, draws: xr.Dataset, data: xr.Dataset) -> tuple[Draws, Draws, Draws]:
    """Return what an assessment's items have beside the patient's own level and change.

    Parameters
    ----------
    settings
        The model's settings.
    draws
        With dim ``sample``.
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        Discriminations, shape (samples, items), the expected severity of every assessment, (samples, assessments), and
        what single items have beside it, (samples, assessments, items).
    """
    subject, visit = data["subject_of"].values, data["visit_of"].values
    code = data["arm_code"].values[:, data["arm_of"].values[subject]]
    course, x = data["course"].values[visit], data["moderator"].values[subject]
    effect = draws_of(draws, "arm_effect", "comparison") @ code
    effects = draws_of(draws, "departure", "comparison", "item")
    mean = draws_of(draws, "visit_effect", "visit")[:, visit]
    if settings.moderator is not None:
        effect = effect + draws_of(draws, "arm_by_moderator", "comparison") @ code * x
        change = draws_of(draws, "moderator_change")[:, None] * course
        mean = mean + (draws_of(draws, "moderator_effect")[:, None] + change) * x
        by_moderator = draws_of(draws, "departure_by_moderator", "comparison", "item")
        effects = np.concatenate([effects, by_moderator], axis=1)
    return draws_of(draws, "discrimination", "item"), mean + course * effect, data["columns"].values @ effects
