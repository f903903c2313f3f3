"""The scale of an outcome, of which default priors are multiples, so that they mean the same in any unit.

A default prior cannot depend on whether an outcome is in points, metres or percent. It is a multiple of one number, the
scale: the standard deviation of the outcome among people who were treated alike, at the first time after baseline. The
scale is computed once, from the outcomes, when a table is prepared (or it is stated, ``scale = 7``). It is stored with
the data, so that prior draws, refits without a unit, other versions of the table and a loaded fit have the same priors.
The arms' means are subtracted first, so that the scale does not depend on their difference. Priors that the user gives
are in the outcome's units.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.numerics.distributions import Prior


def check_scale(scale: float | None) -> None:
    """Refuse a stated scale that is not a number above zero.

    Parameters
    ----------
    scale
        The setting.

    Raises
    ------
    BadInput
        When it is not above zero, or not finite.
    """
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise BadInput(
            f"scale = {scale}, but a number above zero is needed: a typical sd of the outcome among people treated "
            "alike, in the outcome's units; or leave it out"
        )


def scale_of(outcome: np.ndarray, group: np.ndarray, *, stated: float | None, where: str) -> float:
    """Find the scale of an outcome: its sd within groups.

    ``sqrt(sum_i (y_i - mean of i's group)^2 / (n - groups))`` over the outcomes that were observed.

    Parameters
    ----------
    outcome
        One value per person, NaN where missing; shape (n,). The first after baseline where there are several.
    group
        The arm or group of each, shape (n,).
    stated
        The setting ``scale``; it is used where it is given.
    where
        Where the outcome stands, for messages: ``"column 'hamd' (outcome) at visit 1"``.

    Returns
    -------
    float
        The scale, in the outcome's units.

    Raises
    ------
    BadInput
        When nothing is known of the spread, or there is none, and no scale is stated.

    Examples
    --------
    >>> scale_of(np.array([1.0, 3.0, 7.0, 9.0]), np.array([0, 0, 1, 1]), stated=None, where="column 'y'")
    1.4142135623730951
    """
    if stated is not None:
        return float(stated)
    observed = np.isfinite(outcome)
    groups = np.unique(group[observed])
    freedom = int(observed.sum()) - len(groups)
    if freedom < 1:
        raise BadInput(
            f"{where}: no group has two people there, so its spread is not known, of which default priors are "
            "multiples; state it as scale = NUMBER, a typical sd of the outcome among people treated alike"
        )
    residual = np.concatenate([_from_mean(outcome[observed & (group == g)]) for g in groups])
    sd = math.sqrt(float((residual**2).sum()) / freedom)
    if sd <= 1e-12 * float(np.abs(outcome[observed]).max()):
        raise BadInput(
            f"{where} is the same in everybody of a group, so it has no spread, of which default priors are multiples; "
            "check that it is the outcome, or state a typical sd of it as scale = NUMBER"
        )
    return sd


def _from_mean(values: np.ndarray) -> np.ndarray:
    """Differences from the mean, subtracted twice, because the mean of large values is rounded."""
    residual = values - values.mean()
    return np.asarray(residual - residual.mean())


def priors_of(model: Any, data: xr.Dataset) -> dict[str, Prior]:
    """Return a model's priors in the outcome's units: those from which it builds its model.

    Parameters
    ----------
    model
        A model with ``priors`` and ``slots``.
    data
        Its prepared data, with the 0-d variable ``scale`` where a prior is a multiple of it.

    Returns
    -------
    dict of Prior
        By parameter, in the slots' order; none of them ``times_scale``.
    """
    slots = model.slots

    def unit(name: str) -> float:
        per = slots[name].per
        return float(data["scale"]) / (1.0 if per is None else float(data[per]))

    return {name: p.in_units(unit(name)) if p.times_scale else p for name, p in model.priors.items()}


def in_outcome_units(model: Any, data: xr.Dataset) -> Any:
    """Return the model with its priors in the outcome's units, for what people read.

    Parameters
    ----------
    model, data
        As in :func:`priors_of`.

    Returns
    -------
    Model
        The same settings; ``formula``, ``words`` and ``priors`` have numbers in the outcome's units.
    """
    if not any(prior.times_scale for prior in model.priors.values()):
        return model
    return dataclasses.replace(model, priors=priors_of(model, data))


def with_one_scale(model: Any, versions: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """Give several versions of one table the same scale, so that they have the same priors.

    Parameters
    ----------
    model
        The model that prepared them.
    versions
        Prepared data.

    Returns
    -------
    list of xarray.Dataset
        With ``scale``, and what slots divide it by, at the versions' geometric mean.
    """
    if len(versions) < 2 or not any(prior.times_scale for prior in model.priors.values()):
        return list(versions)
    names = {"scale", *(slot.per for slot in model.slots.values() if slot.per is not None)}
    common = {name: _geometric_mean([v[name] for v in versions]) for name in sorted(names) if name in versions[0]}
    return [data.assign(common) for data in versions]


def _geometric_mean(values: Sequence[xr.DataArray]) -> xr.DataArray:
    first = float(values[0])  # relative to the first, so that the mean of equal values is exactly that value
    mean = math.fsum(math.log(float(v) / first) for v in values) / len(values)
    return values[0].copy(data=first * math.exp(mean))
