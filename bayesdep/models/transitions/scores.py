"""The log probability of what each patient's states were, or each person counted, for leave-one-out."""

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.transitions.chains import log_one_step
from bayesdep.models.transitions.settings import TransitionsSettings
from bayesdep.numerics.chains_of_states import NEVER, log_powers
from bayesdep.numerics.draws import over_draws


def log_likelihood(settings: TransitionsSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Score every patient who was seen twice, or every person counted.

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
        Dims (chain, draw, subject) or (chain, draw, person).
    """
    most, states = int(data["gap"].max()), data.sizes["after"]
    matrices = data.sizes["arm"] * data.sizes["profile"] * most * states**2
    rows = data.sizes["subject"] * data.sizes["visit"] if settings.input == "patients" else int(data["people"].sum())
    score = _score_patients if settings.input == "patients" else _score_people

    def scored(part: xr.Dataset) -> xr.DataArray:
        one_step = log_one_step(settings, part, data)
        return score(np.stack(log_powers(one_step, most), axis=3), data)

    return over_draws(posterior, scored, matrices * states + rows)


def _score_patients(powers: np.ndarray, data: xr.Dataset) -> xr.DataArray:
    """By patient, the log probability of the states after the first; powers (sample, arm, profile, power, ., .)."""
    gap, seen, previous = (data[name].values for name in ("gap", "state_at_visit", "previous"))
    patient, visit = np.nonzero(gap > 0)
    arm, profile = data["arm_of"].values[patient], data["profile_of"].values[patient]
    before, after = seen[patient, previous[patient, visit]], seen[patient, visit]
    each = powers[:, arm, profile, gap[patient, visit] - 1, before, after]
    scored = np.unique(patient)  # those seen once have nothing to score
    total = np.add.reduceat(each, np.searchsorted(patient, scored), axis=1)
    return xr.DataArray(total, {"subject": data["subject"].values[scored]}, ("sample", "subject"))


def _score_people(powers: np.ndarray, data: xr.Dataset) -> xr.DataArray:
    """By person, the log probability of the state after, or of the states that it was not told apart from."""
    gap, before, arm, group = (data[name].values for name in ("gap", "before_of", "arm_of", "group"))
    row = powers[:, arm, 0, gap - 1, before]  # (sample, cell, state)
    states = row.shape[-1]
    belongs = group[:, None, :] == np.arange(states)[:, None]
    of_groups = special.logsumexp(np.where(belongs, row[:, :, None, :], NEVER), axis=-1)
    counts = data["transition_count"].values
    cell, state = np.nonzero(counts)
    times = counts[cell, state]
    after, names = data["after"].values, data["cell"].values
    labels = [
        f"{names[c]} / {after[s]} / {k + 1}" for c, s, n in zip(cell, state, times, strict=True) for k in range(n)
    ]
    return xr.DataArray(np.repeat(of_groups[:, cell, state], times, axis=1), {"person": labels}, ("sample", "person"))
