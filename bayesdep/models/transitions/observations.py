"""Each state after the first: a patient's at every visit given the one before, or a person's who was counted."""

import numpy as np
import xarray as xr

from bayesdep.models.parts.observations import Categories, Observations
from bayesdep.models.transitions.scores import (
    after_of_patients,
    after_of_people,
    names_of_people,
    powers_of,
    size_of,
)
from bayesdep.models.transitions.settings import TransitionsSettings
from bayesdep.numerics.draws import over_draws
from bayesdep.numerics.types import Draws


def observations(settings: TransitionsSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
    """Predict every state from the patient's state at the visit before; the first one is given.

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
    dict of Observations
        Of ``state``, numbered from 0, the best; states not told apart are the first of them.
    """
    if settings.input == "patients":
        return {"state": _of_patients(settings, posterior, data)}
    return {"state": _of_people(settings, posterior, data)}


def _of_patients(settings: TransitionsSettings, posterior: xr.Dataset, data: xr.Dataset) -> Observations:
    """Patients in their order, each one's visits in theirs."""

    def logs_of(draws: xr.Dataset) -> xr.DataArray:
        return xr.DataArray(
            after_of_patients(powers_of(settings, draws, data), data)[-1], dims=("sample", "row", "state")
        )

    logs = _by_sample(over_draws(posterior, logs_of, size_of(settings, data)))
    patient, visit = np.nonzero(data["gap"].values > 0)
    state = data["state_at_visit"].values[patient, visit]
    seen = logs[:, np.arange(len(state)), state]
    so_far = np.cumsum(seen, axis=1)
    last = np.searchsorted(patient, patient, side="right") - 1  # the patient's last row
    labels = {"subject": data["subject"].values[patient], "visit": data["visit"].values[visit]}
    return Observations(labels, state, state, Categories.of(np.exp(logs)), so_far[:, last] - so_far + seen)


def _of_people(settings: TransitionsSettings, posterior: xr.Dataset, data: xr.Dataset) -> Observations:
    """People in the order of cells and of states after."""
    counts = data["transition_count"].values
    cell, state = (np.repeat(x, counts[np.nonzero(counts)]) for x in np.nonzero(counts))

    def logs_of(draws: xr.Dataset) -> xr.DataArray:
        return xr.DataArray(
            after_of_people(powers_of(settings, draws, data), data)[-1], dims=("sample", "row", "state")
        )

    logs = _by_sample(over_draws(posterior, logs_of, size_of(settings, data)))[:, cell]
    labels = {"cell": data["cell"].values[cell], "person": np.array(names_of_people(data, cell, state))}
    return Observations(labels, state, state, Categories.of(np.exp(logs)), logs[:, np.arange(len(state)), state])


def _by_sample(logs: xr.DataArray) -> Draws:
    """One axis of draws, one chain after the other."""
    found = logs.transpose("chain", "draw", "row", "state").values
    return np.asarray(found.reshape(-1, *found.shape[2:]))
