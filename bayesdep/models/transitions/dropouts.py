"""Patients who drop out: what changes if they do worse afterwards than patients with the same last state who stay.

Under missing at random a dropout's later states follow from the last one by the arm's own matrix M. With a delta they
follow by a matrix ``M_delta`` whose log odds of a worse state are higher by delta at each step. So the share of an arm
in a state t steps after the start changes by the mean over the arm's patients of::

    (M_delta^(t - l))[s, .] - (M^(t - l))[s, .]        for a patient last seen in state s at step l < t, else 0

which is zero for delta = 0, whatever the model. Only the arm's own dropouts count: who would have dropped out of
another arm is not known.
"""

import numpy as np
import xarray as xr

from bayesdep.models.transitions.chains import log_one_step, powers
from bayesdep.models.transitions.settings import TransitionsSettings
from bayesdep.numerics.types import Draws


def changes_by_delta(
    settings: TransitionsSettings, posterior: xr.Dataset, data: xr.Dataset, one_step: Draws
) -> dict[str, Draws]:
    """Return what a delta after dropping out adds to shares and times by arm.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws with dim ``sample`` first.
    data
        The prepared data, of patients.
    one_step
        Matrices without a delta, shape (samples, arms, profiles, states, states).

    Returns
    -------
    dict of numpy.ndarray
        ``occupancy`` (samples, arms, times, states), ``improved`` (samples, arms, times) and ``time_in`` (samples,
        arms, states).
    """
    samples, arms, _, states, _ = one_step.shape
    elapsed, step = data["elapsed"].values, float(data["step"])
    most = int(elapsed.max())
    with_delta = np.exp(log_one_step(settings, posterior, data, with_delta=True))
    dropped = count_dropouts(settings, data)  # (arm, profile, last step, first state, last state): shares of the arm
    occupancy = np.zeros((samples, arms, most + 1, states))
    improved = np.zeros((samples, arms, most + 1))
    better = np.tri(states, k=-1)
    for (later, own), (_, assumed) in zip(powers(one_step, most), powers(with_delta, most), strict=True):
        change = assumed - own  # `later` steps after dropping out
        for last in range(most + 1 - later):
            share = dropped[:, :, last]
            if not share.any():
                continue
            joint = np.einsum("apbs,dapsk->dabk", share, change)
            occupancy[:, :, last + later] += joint.sum(axis=2)
            improved[:, :, last + later] += (joint * better).sum(axis=(2, 3))
    time_in = step * occupancy[:, :, 1:].sum(axis=2)
    return {"occupancy": occupancy[:, :, elapsed], "improved": improved[:, :, elapsed], "time_in": time_in}


def count_dropouts(settings: TransitionsSettings, data: xr.Dataset) -> np.ndarray:
    """Count patients who were last seen before the last visit, in a state that can be left.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data, of patients.

    Returns
    -------
    numpy.ndarray
        Shares of each arm's patients, shape (arms, profiles, last step seen, first states, last states).
    """
    seen, arm, last = data["state_at_visit"].values, data["arm_of"].values, data["last_step"].values
    most = int(data["elapsed"].max())
    place = seen.shape[1] - 1 - np.argmax(seen[:, ::-1] >= 0, axis=1)
    state = seen[np.arange(len(seen)), place]
    dropped = (last < most) & np.isin(state, settings.left)
    states = data.sizes["after"]
    shares = np.zeros((data.sizes["arm"], data.sizes["profile"], most + 1, states, states))
    n = np.bincount(arm, minlength=data.sizes["arm"])
    who = np.flatnonzero(dropped)
    index = (arm[who], data["profile_of"].values[who], last[who], data["first"].values[who], state[who])
    np.add.at(shares, index, 1 / n[arm[who]])
    return shares
