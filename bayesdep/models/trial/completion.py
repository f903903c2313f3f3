"""A trial's missed visits given those observed, draw by draw, and the regression that completed visits are put to."""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.models.trial.residuals import correlations, pattern_key, residual_sds

if TYPE_CHECKING:
    from bayesdep.models.trial.model import Trial


def completed(
    settings: "Trial",
    posterior: xr.Dataset,
    data: xr.Dataset,
    own: np.ndarray,
    assumed: np.ndarray,
    dropped: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of every outcome given the observed ones of its patient.

    Visits are analysed one by one, so covariances between imputed visits are not needed.

    Parameters
    ----------
    settings
        The trial's.
    posterior
        Draws with dim ``sample``.
    data
        The prepared trial.
    own, assumed
        Means that missed visits start from, shape (samples, subjects, visits): the patients' own, and those assumed of
        visits that are marked in ``dropped``.
    dropped
        Visits missed after the last one observed, shape (subjects, visits).

    Returns
    -------
    tuple of numpy.ndarray
        Both of shape (samples, subjects, visits).
    """
    outcome, days, arm_of = data["outcome"].values, data["day"].values, data["arm_of"].values
    seen = ~np.isnan(outcome)
    mean = np.where(seen, outcome, own)
    variance = np.zeros_like(mean)
    sds = residual_sds(posterior, data)
    patterns: dict[tuple[Any, ...], list[int]] = {}
    for i in np.flatnonzero(~seen.all(axis=1)):
        patterns.setdefault(pattern_key(settings, seen[i], days[i], arm_of[i]), []).append(int(i))
    for rows in patterns.values():
        known, missed = np.flatnonzero(seen[rows[0]]), np.flatnonzero(~seen[rows[0]])
        arm = arm_of[rows[0]]
        sd = sds[:, arm]
        matrix = correlations(settings, posterior, days[rows[0]], arm) * sd[:, :, None] * sd[:, None, :]
        across = matrix[:, known][:, :, missed]
        slopes = np.linalg.solve(matrix[:, known][:, :, known], across)
        spread = np.diagonal(matrix, axis1=1, axis2=2)[:, missed] - (slopes * across).sum(axis=1)
        precision = posterior["precision"].values[:, rows, None] if settings.robust else 1.0
        variance[np.ix_(range(len(own)), rows, missed)] = spread[:, None, :] / precision
        guesses = [
            start[:, rows][:, :, missed] + (outcome[rows][:, known] - start[:, rows][:, :, known]) @ slopes
            for start in (assumed, own)
        ]
        gone = dropped[rows][:, missed]  # a gap before the last visit is filled from the patient's own arm
        mean[np.ix_(range(len(own)), rows, missed)] = np.where(gone, *guesses)
    return mean, variance


def regressors(settings: "Trial", data: xr.Dataset) -> dict[str, np.ndarray]:
    """Return what the regression at one visit has beside arms, by name.

    Arms are compared at the moderator's mean. Levels of a random effect have an indicator each: arms are compared
    within them.

    Parameters
    ----------
    settings
        The trial's.
    data
        The prepared trial.

    Returns
    -------
    dict of numpy.ndarray
        Columns (subjects, terms) by what they are, in words.
    """
    found = {}
    if settings.baseline is not None:
        found["baseline"] = data["baseline"].values[:, None]
    if data.sizes["covariate"]:
        found["covariates"] = data["covariates"].values
    if settings.level is not None:
        found[f"the levels of '{settings.level}'"] = np.eye(data.sizes["site"])[data["site_of"].values]
    if settings.moderator is not None:
        arms = np.eye(data.sizes["arm"])[data["arm_of"].values, 1:]
        terms = data["moderator_terms"].values
        terms = terms - terms.mean(axis=0)
        found["moderator"] = np.column_stack([terms, *(arms[:, [k]] * terms for k in range(arms.shape[1]))])
    return found
