"""Each visit's outcome given the patient's earlier ones."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.parts.observations import Normals, Observations, of_groups, of_steps
from bayesdep.models.trial.censored_moderator import LATENT, is_latent, nodes_beyond_limits
from bayesdep.models.trial.means import expected
from bayesdep.models.trial.residuals import NAME, covariances, patterns_of_visits, residual_sds
from bayesdep.models.trial.settings import TrialSettings
from bayesdep.numerics.draws import stack_draws
from bayesdep.numerics.one_step_ahead import OneStepAhead


def observations(settings: TrialSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
    """Predict every outcome observed from the patient's earlier ones.

    Where a patient's moderator lies beyond its limit, the distribution is a mixture over the moderator's own
    (:func:`~bayesdep.models.trial.censored_moderator.nodes_beyond_limits`), whose weights the earlier outcomes change.

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
    dict of Observations
        Of ``outcome_by_visit``, patients in their order and each patient's visits in theirs.
    """
    draws = stack_draws(posterior)
    is_observed = ~np.isnan(data["outcome"].values)
    number = (np.cumsum(is_observed) - 1).reshape(is_observed.shape)
    hidden = np.zeros(len(is_observed), dtype=bool)
    if is_latent(data):
        hidden = np.isin(data["subject"].values, data["non_detect"].values)
    seen = is_observed.any(axis=1)
    steps = _steps(settings, draws, data, np.flatnonzero(~hidden & seen))
    groups = [of_steps(number[patients][:, visits], found) for patients, visits, found in steps]
    if (hidden & seen).any():
        at = np.flatnonzero(hidden)
        for patients, visits, law, score in _mixed(settings, draws, data.isel(subject=at)):
            groups.append((number[at[patients]][:, visits].ravel(), law, score))
    who, when = np.nonzero(is_observed)
    value = data["outcome"].values[who, when]
    labels = {"subject": data["subject"].values[who], "visit": data["visit"].values[when]}
    return {NAME: of_groups(labels, value, value, groups)}


def _steps(
    settings: TrialSettings, draws: xr.Dataset, data: xr.Dataset, patients: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, OneStepAhead]]:
    """Patients of one pattern of visits, which these are, and the distributions: (samples, patients, visits)."""
    outcome, days, arm_of = data["outcome"].values, data["day"].values, data["arm_of"].values
    mean, sds = expected(settings, draws, data), residual_sds(draws, data)
    nu = draws["nu"].values if settings.robust else None
    for members, visits in patterns_of_visits(settings, data, patients):
        matrix = covariances(settings, draws, sds, days[members[0]], int(arm_of[members[0]]))
        root = np.linalg.cholesky(matrix[:, visits][:, :, visits])
        value = outcome[members][:, visits]
        yield members, visits, OneStepAhead.of(value, mean[:, members][:, :, visits], root, nu)


def _mixed(
    settings: TrialSettings, draws: xr.Dataset, data: xr.Dataset
) -> Iterator[tuple[np.ndarray, np.ndarray, Normals, np.ndarray]]:
    """The same of patients whose moderator is known as an interval, and the log density with later visits."""
    logs, log_weight = nodes_beyond_limits(draws, data)
    seen = np.flatnonzero((~np.isnan(data["outcome"].values)).any(axis=1))
    of_nodes = (
        _steps(settings, draws.assign({LATENT: (("sample", "non_detect"), of_node)}), data, seen) for of_node in logs
    )
    for of_pattern in zip(*of_nodes, strict=True):
        patients, visits, first = of_pattern[0]
        densities = np.stack([steps.log_density for _, _, steps in of_pattern])
        so_far = np.cumsum(densities, axis=-1)
        before = log_weight[:, :, patients, None] + so_far - densities
        weight = special.softmax(before, axis=0)
        total = special.logsumexp(log_weight[:, :, patients] + so_far[..., -1], axis=0)
        location = np.stack([_flat(steps.location) for _, _, steps in of_pattern])
        scale = np.stack([_flat(steps.scale) for _, _, steps in of_pattern])
        nu = None if first.nu is None else np.stack([_flat(steps.nu) for _, _, steps in of_pattern])
        score = total[..., None] - special.logsumexp(before, axis=0)
        law = Normals(location, scale, weight.reshape(location.shape), nu)
        yield patients, visits, law, _flat(score)


def _flat(values: np.ndarray) -> np.ndarray:
    """Patients and visits in one axis."""
    return values.reshape(len(values), -1)
