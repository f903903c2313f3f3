"""A moderator measured at baseline: its terms in the model, its subgroups, and where the arms' curves cross."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.detection import Detection
from bayesdep.data.errors import BadInput
from bayesdep.data.tables import Column, Kind, read_columns
from bayesdep.models.parts.people import spread_of
from bayesdep.models.trial.settings import Form, is_log, parse_subgroup

GRID = 41  # points along the observed range
# where the knots of a restricted cubic spline stand, as shares of the patients below (Harrell 2015, table 2.3)
_KNOTS = {3: (0.1, 0.5, 0.9), 4: (0.05, 0.35, 0.65, 0.95), 5: (0.05, 0.275, 0.5, 0.725, 0.95)}


def read_moderator(
    patients: pd.DataFrame,
    name: str,
    what: str,
    form: Form,
    *,
    threshold: float | None = None,
    knots: int = 3,
    detection: Detection | None = None,
) -> xr.Dataset:
    """Read a moderator.

    Parameters
    ----------
    patients
        One row per patient.
    name, what
        Its column, and what that holds.
    form
        How it enters.
    threshold
        The value above which it counts, for ``"threshold"``.
    knots
        Knots of the spline, for ``"log-spline"``: 3, 4 or 5.
    detection
        Intervals of its logs, where some values lie beyond their limits; None where all are numbers.

    Returns
    -------
    xarray.Dataset
        ``moderator`` (subject; as measured, the limit where it lies beyond one), ``moderator_terms`` (subject, term)
        and ``grid_value`` (grid; along the observed range, evenly on the scale on which it enters); the attrs of
        ``moderator_terms`` are what :func:`terms_of` needs to make the terms of another value.

    Raises
    ------
    BadInput
        When a value has no logarithm, none differs from the others, none lies on one side of the threshold, or too
        many are equal for the knots.
    """
    if detection is None:
        kind: Kind = "positive" if is_log(form) else "number"
        values = read_columns(patients, {"moderator": Column(name, kind, what)})["moderator"]
    else:
        values = np.exp(recorded_logs(detection.lower, detection.upper))
    if np.ptp(values) == 0:
        raise BadInput(f"column '{name}' ({what}) is {values[0]:g} in everybody; leave the moderator out")
    entered = np.log(values) if is_log(form) else values
    attrs: dict[str, Any] = {"form": form, "centre": float(entered.mean()), "scale": float(entered.std())}
    if detection is not None and is_log(form):
        attrs["scale"] = spread_of(detection.lower, detection.upper)
    if form == "threshold":
        assert threshold is not None  # the settings ask for it
        attrs |= _threshold(values, threshold, f"column '{name}' ({what})")
    if form == "log-spline":
        attrs |= _spline(entered, attrs, knots, f"column '{name}' ({what})")
    terms = terms_of(values, attrs)
    names = {
        "linear": ["moderator"],
        "threshold": [f"moderator > {threshold:g}" if threshold is not None else ""],
        "log-quadratic": ["log moderator", "log moderator squared"],
    }.get(form, ["log moderator", *(f"spline {k}" for k in range(2, terms.shape[-1] + 1))])
    evenly = np.linspace(entered.min(), entered.max(), GRID)
    grid = np.exp(evenly) if is_log(form) else evenly
    data = xr.Dataset(
        {"moderator": ("subject", values), "moderator_terms": (("subject", "term"), terms, attrs)}, {"term": names}
    )
    return data.assign_coords(grid=[f"{x:.4g}" for x in grid]).assign(grid_value=("grid", grid))


def _threshold(values: np.ndarray, threshold: float, where: str) -> dict[str, Any]:
    """The share of patients above a threshold, and its sd; both sides must have patients."""
    above = values > threshold
    if above.all() or not above.any():
        raise BadInput(
            f"{where}: everybody lies {'above' if above.all() else 'at or below'} threshold = {threshold:g}; choose "
            f"one inside the observed {values.min():g} to {values.max():g}"
        )
    return {"threshold": float(threshold), "centre": float(above.mean()), "scale": float(above.std())}


def _spline(logs: np.ndarray, attrs: Mapping[str, Any], knots: int, where: str) -> dict[str, Any]:
    """Place the knots, and find the matrix that makes the terms uncorrelated and of sd 1 among the patients."""
    places = (np.quantile(logs, _KNOTS[knots]) - attrs["centre"]) / attrs["scale"]
    if (np.diff(places) <= 0).any():
        raise BadInput(
            f"{where} has too many equal values for {knots} knots; use fewer knots, or moderator_form = 'log'"
        )
    basis = _restricted_cubic((logs - attrs["centre"]) / attrs["scale"], places)
    root = np.linalg.qr(basis, mode="r")
    root = root * np.sign(np.diagonal(root))[:, None] / np.sqrt(len(logs))
    return {"knots": places, "mix": np.linalg.inv(root).ravel()}  # flat, as files hold no attribute of two dimensions


def _restricted_cubic(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """1, x and the cubic terms that are linear beyond the outer knots (Harrell 2015, equation 2.25)."""

    def cube(t: np.ndarray | float) -> np.ndarray:
        return np.maximum(x - t, 0.0) ** 3

    last, before = knots[-1], knots[-2]
    terms = [np.ones_like(x), x]
    for t in knots[:-2]:
        term = cube(t) - cube(before) * (last - t) / (last - before) + cube(last) * (before - t) / (last - before)
        terms.append(term / (last - knots[0]) ** 2)
    return np.stack(terms, axis=-1)


def terms_of(values: np.ndarray, attrs: Mapping[str, Any]) -> np.ndarray:
    """Return the terms of a moderator.

    Parameters
    ----------
    values
        As measured.
    attrs
        Those of ``moderator_terms`` that :func:`read_moderator` made: with l the moderator or its log, less ``centre``
        and over ``scale``, terms are l; l and its square; the restricted cubic spline of l, uncorrelated and of one sd
        among the patients; or whether it lies above the threshold, less the share who do, over that share's sd.

    Returns
    -------
    numpy.ndarray
        Shape (..., terms).
    """
    form = attrs["form"]
    if form == "threshold":
        values = (values > attrs["threshold"]).astype(float)
    standard = ((np.log(values) if is_log(form) else values) - attrs["centre"]) / attrs["scale"]
    if form == "log-spline":
        basis = _restricted_cubic(standard, np.asarray(attrs["knots"]))
        return np.asarray((basis @ np.reshape(attrs["mix"], (basis.shape[-1],) * 2))[..., 1:])
    return np.stack([standard, standard**2] if form == "log-quadratic" else [standard], axis=-1)


def recorded_logs(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Return log values, limits for what lies beyond one, middles for what lies between two, shape (subject,)."""
    with np.errstate(invalid="ignore"):  # the middle of an open interval is not used
        return np.where(np.isinf(lower), upper, np.where(np.isinf(upper), lower, (lower + upper) / 2))


def read_subgroups(data: xr.Dataset, subgroups: Sequence[str]) -> xr.Dataset:
    """Find who is in which subgroup.

    Parameters
    ----------
    data
        A prepared trial with ``moderator`` and ``arm_of``.
    subgroups
        As :func:`parse_subgroup` reads them.

    Returns
    -------
    xarray.Dataset
        ``subgroup_member`` (subgroup, subject).

    Raises
    ------
    BadInput
        When a subgroup has nobody in one of the arms.
    """
    values = data["moderator"].values
    member = []
    for text in subgroups:
        sign, limit = parse_subgroup(text)
        rows = {"<": values < limit, "<=": values <= limit, ">": values > limit, ">=": values >= limit}[sign]
        if "moderator_lower" in data:
            rows = _members_beyond_limits(data, rows, text, limit, is_below=sign[0] == "<")
        for a, arm in enumerate(data["arm"].values):
            if not (rows & (data["arm_of"].values == a)).any():
                raise BadInput(
                    f"subgroups has '{text}', but nobody in arm '{arm}' has such a moderator, so arms cannot be "
                    "compared there; leave it out"
                )
        member.append(rows)
    return xr.Dataset({"subgroup_member": (("subgroup", "subject"), np.array(member))}, {"subgroup": list(subgroups)})


def _members_beyond_limits(
    data: xr.Dataset, rows: np.ndarray, text: str, limit: float, *, is_below: bool
) -> np.ndarray:
    """Who is in a subgroup where some values are known only as intervals; each of these must lie on one side of it."""
    lower, upper = (np.exp(data[f"moderator_{end}"].values) for end in ("lower", "upper"))
    hidden = lower < upper
    below, above = hidden & (upper <= limit), hidden & (lower >= limit)
    unclear = np.flatnonzero(hidden & ~below & ~above)
    if len(unclear):
        raise BadInput(
            f"subgroups has '{text}', but whether '{data['subject'].values[unclear[0]]}' belongs there is not known: "
            f"the moderator lies beyond its limit, between {lower[unclear[0]]:.4g} and {upper[unclear[0]]:.4g}; choose "
            "a value outside"
        )
    return np.where(hidden, below if is_below else above, rows)


def crossing(
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
    >>> crossing(np.array([-1.0, 3.0]), np.array([1.0, 1.0]), np.zeros(2), -2.0, 2.0)
    (array([ 1., -2.]), array([ True, False]))
    """
    # the root at which the parabola rises, written so that it does not cancel when the square is small
    discriminant = slope**2 - 4 * square * constant
    root = np.sqrt(np.maximum(discriminant, 0.0))
    with np.errstate(all="ignore"):  # a line has no second root, a constant none: not finite, so not inside
        place = np.where(slope >= 0, -2 * constant / (slope + root), (root - slope) / (2 * square))
    is_inside = (discriminant > 0) & np.isfinite(place) & (place > low) & (place < high)
    # better throughout: at both ends, and at the parabola's lowest point where that lies between them
    at_ends = np.minimum(constant + slope * low + square * low**2, constant + slope * high + square * high**2)
    upward = np.where(square > 0, square, np.inf)
    bottom = np.clip(-slope / (2 * upward), low, high)
    is_better_throughout = np.minimum(at_ends, constant + slope * bottom + square * bottom**2) > 0
    return np.where(is_inside, place, np.where(is_better_throughout, low, high)), is_inside


def crossing_on_grid(better: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find where a difference known on a grid rises through zero, between two points by a straight line.

    Parameters
    ----------
    better
        How much better the treated are, shape (draws, grid).
    grid
        Rising, shape (grid,).

    Returns
    -------
    numpy.ndarray
        The first place above which the treated do better, with the ends of the grid as :func:`crossing` has those of
        the range. Shape (draws,).
    numpy.ndarray
        Whether it is inside, shape (draws,).

    Examples
    --------
    >>> crossing_on_grid(np.array([[-1.0, 1.0, 2.0], [3.0, 2.0, 1.0]]), np.array([0.0, 1.0, 2.0]))
    (array([0.5, 0. ]), array([ True, False]))
    """
    rises = (better[:, :-1] <= 0) & (better[:, 1:] > 0)
    first = rises.argmax(axis=1)
    is_inside = rises.any(axis=1)
    rows = np.arange(len(better))
    below, above = better[rows, first], better[rows, first + 1]
    share = np.divide(-below, above - below, out=np.zeros_like(below), where=is_inside)
    place = grid[first] + share * (grid[first + 1] - grid[first])
    is_better_throughout = (better > 0).all(axis=1)
    return np.where(is_inside, place, np.where(is_better_throughout, grid[0], grid[-1])), is_inside
