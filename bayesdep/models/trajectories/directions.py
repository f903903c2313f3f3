r"""Directions in which the outcome's means over time are sampled: those that data know unequally well.

Patients who differ much in level and slope, and little from visit to visit around their own course, make the means at
all visits uncertain together and the differences between visits certain: the means are a narrow ridge, along which a
sampler moves slowly unless it lies along an axis. Least squares say how it lies. With patient i's deviations
:math:`Z_i b_i`, :math:`b_i \sim N(0, D)`, and residual variance :math:`\sigma^2`, the fixed effects have the covariance
:math:`(\sum_i X_i' V_i^{-1} X_i + P)^{-1}`, :math:`V_i = Z_i D Z_i' + \sigma^2 I`, P the prior's precision. D and
:math:`\sigma^2` are those of patients' own least squares, less its error. They choose axes; density and prior are the
same whatever they are.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayesdep.models.trajectories.data import recorded
from bayesdep.models.trajectories.settings import TrajectoriesSettings

_LEAST = 1e-3  # of the variance around all means: residual and patients' variances are at least so much
_PRIOR_WIDTH = 2.0  # sd of effects a priori, in scales: near enough for coordinates


def directions_of_means(settings: TrajectoriesSettings, data: xr.Dataset) -> dict[str, np.ndarray]:
    """Return orthogonal directions of the outcome's means, by rough least squares.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    dict of numpy.ndarray
        ``course``, shape (term, term), and with arms ``arm_change``, (change, change). Empty where the outcome is no
        score, or patients have too few visits to tell their courses from residuals.
    """
    if settings.kind != "score":
        return {}
    columns = (data["course_columns"].values, data["arm_columns"].values, data["deviation_columns"].values)
    width = _PRIOR_WIDTH * float(data["scale"])
    found = _directions(settings, data, data["outcome"].values - float(data["centre"]), columns, width)
    return {} if found is None else {name: x for name, x in found.items() if len(x)}


def directions_of_markers(settings: TrajectoriesSettings, data: xr.Dataset) -> dict[str, np.ndarray]:
    """Return orthogonal directions of markers' means; values beyond a limit stand at the limit.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    dict of numpy.ndarray
        ``marker_course``, shape (analyte, term, term), and with arms ``marker_arm_change``, (analyte, 1, change,
        change). Those of a marker of which too little is known are its own; empty where that is so of all.
    """
    logs = recorded(data["lower"].values, data["upper"].values)
    columns = [data[f"marker_{word}_columns"].values for word in ("course", "arm", "deviation")]
    found = [
        _directions(settings, data, logs[:, m] - float(data["marker_centre"][m]), columns, _PRIOR_WIDTH)
        for m in range(logs.shape[1])
    ]
    if all(one is None for one in found):
        return {}
    own = {"course": np.eye(data.sizes["marker_term"]), "arm_change": np.eye(data.sizes["marker_change"])}
    stacked = {name: np.stack([(one or own)[name] for one in found]) for name in own}
    return {"marker_course": stacked["course"], "marker_arm_change": stacked["arm_change"][:, None]}


def _directions(
    settings: TrajectoriesSettings, data: xr.Dataset, values: np.ndarray, columns: Sequence[np.ndarray], width: float
) -> dict[str, np.ndarray] | None:
    """Directions of a course and of arms' changes of it, from values (subject, time) less their centre."""
    course, of_arms, own = columns
    seen = ~np.isnan(values)
    own = np.where(seen[..., None], own, 0.0)
    fixed = np.where(seen[..., None], _fixed(settings, data, course, of_arms), 0.0)
    found = _variances(np.where(seen, values, 0.0), fixed, own, seen)
    if found is None:
        return None
    residual, between = found
    inverse = np.linalg.inv(own.transpose(0, 2, 1) @ own + residual * np.linalg.inv(between))
    through = fixed.transpose(0, 2, 1) @ own
    information = np.einsum("itp,itq->pq", fixed, fixed) - np.einsum("ipk,ikl,iql->pq", through, inverse, through)
    covariance = np.linalg.inv(information / residual + np.eye(fixed.shape[-1]) / width**2)
    terms, changes = course.shape[-1], of_arms.shape[-1]
    arms = 0 if settings.arm is None else data.sizes["comparison"]
    blocks = [covariance[k : k + changes, k : k + changes] for k in terms + changes * np.arange(arms)]
    return {
        "course": _axes(covariance[:terms, :terms]),
        "arm_change": _axes(np.mean(blocks, axis=0)) if arms and changes else np.eye(changes),
    }


def _axes(covariance: np.ndarray) -> np.ndarray:
    """Its principal axes as columns, the largest element of each above zero, so that rounding does not turn one."""
    vectors = np.linalg.eigh(covariance)[1]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    return np.asarray(vectors * np.where(largest < 0, -1.0, 1.0))


def _fixed(settings: TrajectoriesSettings, data: xr.Dataset, course: np.ndarray, of_arms: np.ndarray) -> np.ndarray:
    """Columns of all fixed effects: of the course, of arms' changes, of arms and of covariates."""
    columns = [course]
    if settings.arm is not None:
        code = data["arm_code"].values[:, None, :]
        columns += [code[..., [c]] * of_arms for c in range(code.shape[-1])]
        columns += [] if settings.equal_baseline else [np.broadcast_to(code, (*course.shape[:2], code.shape[-1]))]
    if settings.covariates is not None:
        x = data["covariates"].values[:, None, :]
        columns.append(np.broadcast_to(x, (*course.shape[:2], x.shape[-1])))
    return np.concatenate(columns, axis=-1)


def _variances(y: np.ndarray, fixed: np.ndarray, own: np.ndarray, seen: np.ndarray) -> tuple[float, np.ndarray] | None:
    """The residual variance and the covariance of patients' deviations; None where they cannot be told apart."""
    whole = seen.sum(axis=1) >= own.shape[-1]  # of these patients a course of their own is known
    square = own[whole].transpose(0, 2, 1) @ own[whole]
    whole[whole] = np.linalg.cond(square) < 1e10
    if whole.sum() <= own.shape[-1] + 1:
        return None
    y, fixed, own, seen = y[whole], fixed[whole], own[whole], seen[whole]
    inverse = np.linalg.inv(own.transpose(0, 2, 1) @ own)
    both = np.concatenate([y[..., None], fixed], axis=-1)
    within = both - own @ (inverse @ (own.transpose(0, 2, 1) @ both))
    within = within[seen]
    coefficients, _, rank, _ = np.linalg.lstsq(within[:, 1:], within[:, 0], rcond=1e-9)
    freedom = int(seen.sum()) - own.shape[0] * own.shape[-1] - int(rank)
    if freedom < 1:
        return None
    flat = both[seen]
    around = np.linalg.lstsq(flat[:, 1:], flat[:, 0], rcond=1e-9)[0]
    rest = np.where(seen, y - fixed @ around, 0.0)
    least = _LEAST * float((rest[seen] ** 2).mean())
    residual = max(float(((within[:, 0] - within[:, 1:] @ coefficients) ** 2).sum()) / freedom, least)
    lines = np.einsum("ikl,itl,it->ik", inverse, own, rest)
    between = np.atleast_2d(np.cov(lines.T)) - residual * inverse.mean(axis=0)
    sizes, directions = np.linalg.eigh(between)
    return residual, (directions * np.maximum(sizes, least)) @ directions.T
