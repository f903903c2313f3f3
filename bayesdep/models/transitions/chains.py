"""From posterior draws to matrices of one step, and to where patients are after several."""

from collections.abc import Iterator

import numpy as np
import xarray as xr

from bayesdep.models.transitions.settings import TransitionsSettings
from bayesdep.numerics.chains_of_states import shifted_rows, with_absorbing_states
from bayesdep.numerics.types import Draws

_LEAST = 1e-300  # a draw of a probability may round to zero


def log_one_step(
    settings: TransitionsSettings, posterior: xr.Dataset, data: xr.Dataset, *, with_delta: bool = False
) -> Draws:
    """Return the logs of every profile's matrix of one step.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws with dim ``sample`` first.
    data
        The prepared data.
    with_delta
        Whether the arms but the reference have the setting's delta added, as after dropping out.

    Returns
    -------
    numpy.ndarray
        Shape (samples, arms, profiles, states, states).
    """
    states, arms = len(settings.states), data.sizes["arm"]
    row = posterior["row"].values
    if "arm" not in posterior["row"].dims:
        row = row[:, None]
    added = settings.delta * (np.arange(arms) > 0) if with_delta else np.zeros(arms)
    if settings.has_own_rows and not added.any():
        return with_absorbing_states(np.log(np.maximum(row, _LEAST))[:, :, None], left=settings.left, states=states)
    shift = np.zeros((len(row), arms, data.sizes["profile"], len(settings.left))) + added[:, None, None]
    if "effect" in posterior:
        effect = posterior["effect_by_state" if settings.effects == "by-state" else "effect"].values
        effect = effect.reshape(len(row), data.sizes["comparison"], -1)
        shift = shift + (data["arm_code"].values @ effect)[:, :, None, :]
    if "covariate_effect" in posterior:
        slope = posterior["covariate_effect"].values
        shift = shift + (slope @ data["covariates"].values.T)[:, None, :, None]
    rows = shifted_rows(np.maximum(row, _LEAST)[:, :, None], shift, link=settings.link)
    return with_absorbing_states(rows, left=settings.left, states=states)


def powers(matrix: Draws, most: int) -> Iterator[tuple[int, Draws]]:
    """Give the powers of matrices one after another.

    Parameters
    ----------
    matrix
        Probabilities, shape (..., states, states).
    most
        The highest power.

    Yields
    ------
    int
        The power, from 1.
    numpy.ndarray
        The shape of ``matrix``.
    """
    power = np.broadcast_to(np.eye(matrix.shape[-1]), matrix.shape)
    for step in range(1, most + 1):
        power = power @ matrix
        yield step, power
