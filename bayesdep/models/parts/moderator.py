"""A moderator measured at baseline: how it enters the model, and where along it two arms change places."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import Column, Kind, read_columns

Form = Literal["linear", "log", "log-quadratic"]
TERMS: Mapping[str, tuple[str, ...]] = {
    "linear": ("moderator",),
    "log": ("log moderator",),
    "log-quadratic": ("log moderator", "log moderator squared"),
}
GRID = 41


def read_moderator(patients: pd.DataFrame, name: str, what: str, form: Form) -> xr.Dataset:
    """Read a moderator.

    Parameters
    ----------
    patients
        One row per patient.
    name, what
        Its column, and what that holds.
    form
        How it enters.

    Returns
    -------
    xarray.Dataset
        ``moderator`` (subject; as measured), ``moderator_terms`` (subject, term) and ``grid_value`` (grid; along the
        observed range, evenly on the scale on which it enters), with ``centre`` and ``scale`` in the attrs of
        ``moderator_terms``: l is the moderator or its log, less ``centre``, over ``scale``; terms are l and its square.

    Raises
    ------
    BadInput
        When a value has no logarithm, or none differs from the others.
    """
    kind: Kind = "number" if form == "linear" else "positive"
    values = read_columns(patients, {"moderator": Column(name, kind, what)})["moderator"]
    if np.ptp(values) == 0:
        raise BadInput(f"column '{name}' ({what}) is {values[0]:g} in everybody; leave the moderator out")
    raw = values if form == "linear" else np.log(values)
    centre, scale = float(raw.mean()), float(raw.std())
    ends = np.linspace(raw.min(), raw.max(), GRID)
    data = xr.Dataset(
        {
            "moderator": ("subject", values),
            "moderator_terms": (
                ("subject", "term"),
                terms_of(values, form, centre, scale),
                {"centre": centre, "scale": scale, "form": form},
            ),
        },
        {"term": list(TERMS[form])},
    )
    grid = ends if form == "linear" else np.exp(ends)
    return data.assign_coords(grid=[f"{x:.4g}" for x in grid]).assign(grid_value=("grid", grid))


def terms_of(values: np.ndarray, form: str, centre: float, scale: float) -> np.ndarray:
    """Return the terms of a moderator.

    Parameters
    ----------
    values
        As measured.
    form, centre, scale
        As in the attrs that :func:`read_moderator` sets.

    Returns
    -------
    numpy.ndarray
        Shape (..., terms).
    """
    raw = values if form == "linear" else np.log(values)
    standard = (raw - centre) / scale
    return np.stack([standard**k for k in range(1, len(TERMS[form]) + 1)], axis=-1)


def crossover(
    constant: np.ndarray, slope: np.ndarray, square: np.ndarray, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """Find where a difference that is a line or a parabola in l rises through zero.

    Parameters
    ----------
    constant, slope, square
        ``constant + slope l + square l^2`` is how much better the treated are at l; shape (draws,).
    low, high
        The range of l that was observed.

    Returns
    -------
    numpy.ndarray
        The place in the range above which the treated do better: ``low`` where they do throughout, ``high`` where no
        such place is inside. Shape (draws,).
    numpy.ndarray
        Whether it is inside the range, shape (draws,).

    Examples
    --------
    >>> crossover(np.array([-1.0, 3.0]), np.array([1.0, 1.0]), np.zeros(2), -2.0, 2.0)
    (array([ 1., -2.]), array([ True, False]))
    """
    # the root at which the parabola rises, written so that it does not cancel when the square is small
    disc = np.maximum(slope**2 - 4 * square * constant, 0.0)
    real = slope**2 - 4 * square * constant > 0
    root = np.sqrt(disc)
    with np.errstate(all="ignore"):  # a line has no second root, a constant none: not finite, so not inside
        place = np.where(slope >= 0, -2 * constant / (slope + root), (root - slope) / (2 * square))
    inside = real & np.isfinite(place) & (place > low) & (place < high)
    # better throughout: at both ends, and at the parabola's lowest point where that lies between them
    ends = np.minimum(constant + slope * low + square * low**2, constant + slope * high + square * high**2)
    curved = np.where(square > 0, square, np.inf)
    bottom = np.clip(-slope / (2 * curved), low, high)
    always = np.minimum(ends, constant + slope * bottom + square * bottom**2) > 0
    return np.where(inside, place, np.where(always, low, high)), inside
