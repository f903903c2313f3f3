"""A trial's missed visits given those observed, draw by draw, and the terms of the regression on completed visits."""

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.models.parts.missed_visits import fill_missed
from bayesdep.models.trial.censored_moderator import is_latent
from bayesdep.models.trial.residuals import covariances, patterns_of_visits, residual_sds
from bayesdep.models.trial.settings import TrialSettings
from bayesdep.numerics.types import Draws


def completed(
    settings: TrialSettings, posterior: xr.Dataset, data: xr.Dataset, own: Draws, assumed: Draws, dropped: np.ndarray
) -> tuple[Draws, Draws]:
    """Return mean and variance of every outcome given the observed ones of its patient.

    Parameters
    ----------
    settings
        The model's settings.
    posterior, data, own, assumed, dropped
        As :meth:`bayesdep.models.trial.model.Trial.completed` takes them.

    Returns
    -------
    tuple of numpy.ndarray
        Both of shape (samples, subjects, visits).
    """
    outcome, days, arm_of = data["outcome"].values, data["day"].values, data["arm_of"].values
    is_observed = ~np.isnan(outcome)
    mean = np.where(is_observed, outcome, own)
    variance = np.zeros_like(mean)
    sds = residual_sds(posterior, data)
    incomplete = np.flatnonzero(~is_observed.all(axis=1))
    for patients, visits in patterns_of_visits(settings, data, incomplete):
        matrix = covariances(settings, posterior, sds, days[patients[0]], arm_of[patients[0]])
        precision = posterior["precision"].values[:, patients, None] if settings.robust else 1.0
        cells = np.ix_(range(len(own)), patients, np.flatnonzero(~visits))
        mean[cells], conditional = fill_missed(
            outcome[patients], matrix, own[:, patients], assumed[:, patients], dropped[patients]
        )
        variance[cells] = conditional[:, None, :] / precision
    return mean, variance


def regressors(settings: TrialSettings, data: xr.Dataset) -> dict[str, np.ndarray]:
    """Return what the regression at one visit has beside arms, by name.

    Arms are compared at the moderator's mean. Levels of a random effect have an indicator each: arms are compared
    within them.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared trial.

    Returns
    -------
    dict of numpy.ndarray
        Columns (subjects, terms) by what they are.
    """
    columns = {}
    if settings.baseline is not None:
        columns["baseline"] = data["baseline"].values[:, None]
    if data.sizes["covariate"]:
        columns["covariates"] = data["covariates"].values
    if settings.level is not None:
        columns[f"the levels of '{settings.level}'"] = np.eye(data.sizes["site"])[data["site_of"].values]
    if settings.moderator is not None:
        if is_latent(data):
            raise BadInput(
                f"some values of moderator '{settings.moderator}' lie beyond their limits, and the regression of "
                "completed visits needs them all; fit without the moderator for it"
            )
        arms = np.eye(data.sizes["arm"])[data["arm_of"].values, 1:]
        terms = data["moderator_terms"].values
        terms = terms - terms.mean(axis=0)
        columns["moderator"] = np.column_stack([terms, *(arms[:, [k]] * terms for k in range(arms.shape[1]))])
    return columns
