"""Each outcome of a patient given the earlier ones and the patient's markers."""

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.parts.observations import Categories, Law, Observations, of_groups, of_steps
from bayesdep.models.trajectories.ordered import log_probabilities_by_category
from bayesdep.models.trajectories.outcome import NAME
from bayesdep.models.trajectories.paths import mean_outcomes_of_patients
from bayesdep.models.trajectories.scores import Markers, effects_of, quadrature, visits_of
from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.numerics.draws import stack_draws
from bayesdep.numerics.one_step_ahead import OneStepAhead
from bayesdep.numerics.types import Draws


def observations(settings: TrajectoriesSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
    """Predict every outcome from the patient's earlier ones and from all of the patient's markers.

    Markers are not predicted themselves, as they are not scored.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of its parameters.
    data
        The prepared data.

    Returns
    -------
    dict of Observations
        Of ``outcome_over_time``, patients in their order and each patient's visits in theirs: scores, 1 or 0, or
        categories numbered from 0.
    """
    draws, outcome = stack_draws(posterior), data["outcome"].values
    is_seen = ~np.isnan(outcome)
    number = (np.cumsum(is_seen) - 1).reshape(is_seen.shape)
    mean = mean_outcomes_of_patients(settings, draws, data)
    markers = Markers(settings, draws, data) if settings.association else None
    groups: list[tuple[np.ndarray, Law, Draws]] = []
    for i in map(int, np.flatnonzero(is_seen.any(axis=1))):
        seen = is_seen[i]
        if settings.kind == "score":
            shift, covariance = visits_of(settings, draws, data, markers, i)
            root = np.linalg.cholesky(covariance[:, seen][:, :, seen])
            steps = OneStepAhead.of(outcome[[i]][:, seen], (mean[:, i] + shift)[:, None, seen], root)
            groups.append(of_steps(number[[i]][:, seen], steps))
        else:
            groups.append((number[i, seen], *_one_after_another(settings, draws, data, markers, i, mean[:, i, seen])))
    who, when = np.nonzero(is_seen)
    labels = {"subject": data["subject"].values[who], "visit": data["visit"].values[when]}
    value = outcome[who, when] if settings.kind == "score" else outcome[who, when].astype(int)
    return {NAME: of_groups(labels, value, value, groups)}


def _one_after_another(
    settings: TrajectoriesSettings,
    draws: xr.Dataset,
    data: xr.Dataset,
    markers: Markers | None,
    patient: int,
    mean: Draws,
) -> tuple[Categories, Draws]:
    """Probabilities of a patient's categories, each given the earlier ones, by the quadrature of the model's scores."""
    row = data["outcome"].values[patient]
    seen = ~np.isnan(row)
    category = row[seen].astype(int)
    design = data["deviation_columns"].values[patient][seen]
    shift, covariance = effects_of(settings, draws, markers, patient)
    nodes, weights = quadrature(design.shape[1])
    own = np.einsum("srk,nk->snr", np.linalg.cholesky(covariance), nodes) + shift[:, None]
    level = mean[:, None] + own @ design.T
    if settings.kind == "ordinal":
        each = log_probabilities_by_category(draws, level)
    else:
        each = special.log_expit(np.stack([-level, level], axis=-1))
    here = np.take_along_axis(each, category[None, None, :, None], axis=-1)[..., 0]
    so_far = weights[None, :, None] + np.cumsum(here, axis=-1)
    before = so_far - here
    earlier = special.logsumexp(before, axis=1)
    found = special.logsumexp(before[..., None] + each, axis=1) - earlier[..., None]
    return Categories.of(np.exp(found)), special.logsumexp(so_far[..., -1:], axis=1) - earlier
