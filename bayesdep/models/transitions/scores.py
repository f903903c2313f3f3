"""The log probability of what each patient's states were, or each person counted, for leave-one-out."""

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.transitions.chains import log_one_step
from bayesdep.models.transitions.settings import TransitionsSettings
from bayesdep.numerics.chains_of_states import NEVER, log_powers
from bayesdep.numerics.draws import over_draws
from bayesdep.numerics.types import Draws


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
    score = _score_patients if settings.input == "patients" else _score_people
    return over_draws(posterior, lambda part: score(powers_of(settings, part, data), data), size_of(settings, data))


def powers_of(settings: TransitionsSettings, draws: xr.Dataset, data: xr.Dataset) -> Draws:
    """Return the logs of all powers of every profile's matrix that the data need.

    Parameters
    ----------
    settings
        The model's settings.
    draws
        With dim ``sample`` first.
    data
        The prepared data.

    Returns
    -------
    numpy.ndarray
        Shape (samples, arms, profiles, steps, states, states).
    """
    return np.stack(log_powers(log_one_step(settings, draws, data), int(data["gap"].max())), axis=3)


def size_of(settings: TransitionsSettings, data: xr.Dataset) -> int:
    """Return how many numbers the scores of one draw take, their powers of matrices included.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    int
        As :func:`~bayesdep.numerics.draws.over_draws` takes it.
    """
    matrices = data.sizes["arm"] * data.sizes["profile"] * int(data["gap"].max()) * data.sizes["after"] ** 2
    rows = data.sizes["subject"] * data.sizes["visit"] if settings.input == "patients" else int(data["people"].sum())
    return matrices * data.sizes["after"] + rows


def after_of_patients(powers: Draws, data: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray, Draws]:
    """Return the log probabilities of all states at every visit after a patient's first.

    Parameters
    ----------
    powers
        As :func:`powers_of` returns them.
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        Places of the patient and the visit, and the state seen, shape (rows,); shape (samples, rows, states). Rows of a
        patient are in the order of visits.
    """
    gap, seen, previous = (data[name].values for name in ("gap", "state_at_visit", "previous"))
    patient, visit = np.nonzero(gap > 0)
    arm, profile = data["arm_of"].values[patient], data["profile_of"].values[patient]
    before = seen[patient, previous[patient, visit]]
    found = powers[:, arm, profile, gap[patient, visit] - 1, before]
    return patient, visit, seen[patient, visit], found


def after_of_people(powers: Draws, data: xr.Dataset) -> tuple[np.ndarray, np.ndarray, Draws]:
    """Return the log probabilities of all states after, in every cell.

    States that a count does not distinguish have their probability together, at the place of the first of them.

    Parameters
    ----------
    powers
        As :func:`powers_of` returns them.
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        The cell and the state after of every person counted, shape (people,); shape (samples, cells, states).
    """
    gap, before, arm, group = (data[name].values for name in ("gap", "before_of", "arm_of", "group"))
    row = powers[:, arm, 0, gap - 1, before]  # (sample, cell, state)
    belongs = group[:, None, :] == np.arange(row.shape[-1])[:, None]
    of_groups = special.logsumexp(np.where(belongs, row[:, :, None, :], NEVER), axis=-1)
    counts = data["transition_count"].values
    cell, state = np.nonzero(counts)
    return np.repeat(cell, counts[cell, state]), np.repeat(state, counts[cell, state]), of_groups


def names_of_people(data: xr.Dataset, cell: np.ndarray, state: np.ndarray) -> list[str]:
    """Name every person counted: the cell, the state after, and a number.

    Parameters
    ----------
    data
        The prepared data.
    cell, state
        As :func:`after_of_people` returns them.

    Returns
    -------
    list of str
        One name for each.
    """
    pair = cell * data.sizes["after"] + state
    number = np.arange(len(pair)) - np.searchsorted(pair, pair) + 1
    after, names = data["after"].values, data["cell"].values
    return [f"{names[c]} / {after[s]} / {k}" for c, s, k in zip(cell, state, number, strict=True)]


def _score_patients(powers: Draws, data: xr.Dataset) -> xr.DataArray:
    """By patient, the log probability of the states after the first."""
    patient, _, after, logs = after_of_patients(powers, data)
    each = logs[:, np.arange(len(after)), after]
    scored = np.unique(patient)  # those seen once have nothing to score
    total = np.add.reduceat(each, np.searchsorted(patient, scored), axis=1)
    return xr.DataArray(total, {"subject": data["subject"].values[scored]}, ("sample", "subject"))


def _score_people(powers: Draws, data: xr.Dataset) -> xr.DataArray:
    """By person, the log probability of the state after, or of those that the count does not distinguish from it."""
    cell, state, logs = after_of_people(powers, data)
    return xr.DataArray(logs[:, cell, state], {"person": names_of_people(data, cell, state)}, ("sample", "person"))
