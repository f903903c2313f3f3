"""Each patient's outcome in a study, at the second of two times given the first."""

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.parts.observations import Categories, Observations, of_groups, of_steps
from bayesdep.models.patient_meta.products import columns_of
from bayesdep.models.patient_meta.scores import coefficients_of
from bayesdep.models.patient_meta.settings import PatientMetaSettings
from bayesdep.numerics.draws import draws_of, stack_draws
from bayesdep.numerics.one_step_ahead import OneStepAhead


def observations(settings: PatientMetaSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
    """Give the distribution of every patient's outcome, given the parameters and the deviations of the patient's study.

    Studies' deviations are those of the posterior, which knows the study's other patients.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of its parameters and of studies' own deviations.
    data
        The prepared data.

    Returns
    -------
    dict of Observations
        Of ``outcome``, in its own units; of events 1 or 0.
    """
    draws = stack_draws(posterior)
    study, arm, y = data["study_of"].values, data["arm_of"].values, data["outcome"].values
    own = draws_of(draws, "deviation", "study", "time", "which")[:, study]
    mean = np.einsum("ic,sict->sit", columns_of(data), coefficients_of(settings, draws, data)[:, arm])
    mean = mean + own[..., 0] + (arm - 0.5)[:, None] * own[..., 1]
    seen = ~np.isnan(y)
    who, when = np.nonzero(seen)
    labels = {
        "study": data["study"].values[study[who]],
        "subject": data["subject"].values[who],
        "time": data["time"].values[when],
    }
    value = y[who, when]
    if settings.is_binary:
        log_odds, value = mean[:, who, when], value.astype(int)
        score = special.log_expit(np.where(value == 1, 1, -1) * log_odds)
        return {"outcome": Observations(labels, value, value, Categories.of_two(special.expit(log_odds)), score)}
    unit = data["outcome_sd"].values
    mean = data["outcome_mean"].values + unit * mean
    sds = unit * draws_of(draws, "study_sd", "study", "time")
    correlation = np.tile(np.eye(y.shape[1]), (len(mean), 1, 1))
    if y.shape[1] > 1:
        correlation[:, 0, 1] = correlation[:, 1, 0] = draws_of(draws, "residual_correlation")
    number = (np.cumsum(seen) - 1).reshape(seen.shape)
    groups = []
    kinds, which = np.unique(np.column_stack([study, seen]), axis=0, return_inverse=True)
    for k, (s, *pattern) in enumerate(kinds):
        times = np.array(pattern, dtype=bool)
        if not times.any():
            continue
        patients = np.flatnonzero(which.ravel() == k)
        matrix = correlation * sds[:, s, :, None] * sds[:, s, None, :]
        root = np.linalg.cholesky(matrix[:, times][:, :, times])
        steps = OneStepAhead.of(y[patients][:, times], mean[:, patients][:, :, times], root)
        groups.append(of_steps(number[patients][:, times], steps))
    return {"outcome": of_groups(labels, value, value, groups)}
