r"""Least squares patient by patient: own lines over the follow-up, and regressions of the outcome's on a marker's.

They are for the record of separate fits (:mod:`bayesdep.models.trajectories.separate`) and for rough estimates that
choose the sampler's coordinates. They are no estimates to report: values beyond a limit stand at the limit, and a
marker's error weakens the regression.
"""

import numpy as np
import xarray as xr

from bayesdep.models.trajectories.courses import Basis
from bayesdep.models.trajectories.data import recorded
from bayesdep.models.trajectories.settings import TrajectoriesSettings, link_matrix

_NOTHING = 1e3  # standard error, in scales: as if there were no data
_LEAST = 0.2  # share of the variance between patients that is not error: below it a regression says little
_ENOUGH = 1e-12  # sum of squares of times below which all are one time


def rough_associations(settings: TrajectoriesSettings, data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    r"""Estimate every marker's association by arm, a marker's error allowed for.

    The slope and its standard error are divided by the share :math:`\lambda` of the variance between patients that is
    not error (Fuller 1987, Measurement Error Models, doi:10.1002/9780470316665, section 1.1).

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        Estimates and standard errors, shape (link, analyte, arm), with the shared factor in place of analytes where
        there is one. Where nothing is known (outcomes that are no scores, several links, a shared factor, exact
        markers, too few patients) the estimate is zero and its error large.
    """
    arms, nothing = data.sizes["arm"], _NOTHING * float(data["scale"])
    shape = (len(settings.association), data.sizes[settings.linked], arms)
    estimate, error = np.zeros(shape), np.full(shape, nothing)
    if settings.kind != "score" or len(settings.association) > 1 or settings.shared_factor or settings.exact:
        return estimate, error
    (link,), arm = settings.association, data["arm_of"].values
    logs = recorded(data["lower"].values, data["upper"].values)
    y, (x, variance) = outcome_for(settings, data, link), marker_for(settings, data, link, logs)
    share = _share_of_markers(data)
    for m in range(shape[1]):
        used = np.isfinite(y) & np.isfinite(x[m])
        by_arm = [used & (arm == a) for a in range(arms)]
        slope, se, left = slopes_by_group(y, x[m], by_arm)
        if left > 0 and (se > 0).all():
            known = sum(float(((x[m][rows] - x[m][rows].mean()) ** 2).sum()) for rows in by_arm) / used.sum()
            of_error = _residual_variance(logs[:, m], share) * variance[m][used].mean()
            certain = max(_LEAST, 1 - of_error / known)
            estimate[0, m], error[0, m] = slope / certain, np.minimum(se / certain, nothing)
    return estimate, error


def slopes_by_group(y: np.ndarray, x: np.ndarray, groups: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, float]:
    """Regress y on x in every group, with one residual variance.

    Parameters
    ----------
    y, x
        By patient.
    groups
        Which patients are in each group.

    Returns
    -------
    tuple
        Slopes and their standard errors by group, and degrees of freedom; NaN where there are too few patients.
    """
    left = sum(int(rows.sum()) for rows in groups) - 2 * len(groups)
    nothing = np.full(len(groups), np.nan)
    if left < 1 or min(len(np.unique(x[rows])) for rows in groups) < 2:
        return nothing, nothing, np.nan
    around = [(x[rows] - x[rows].mean(), y[rows] - y[rows].mean()) for rows in groups]
    square = np.array([float(a @ a) for a, _ in around])
    slope = np.array([float(a @ b) for a, b in around]) / square
    rest = sum(float(((b - s * a) ** 2).sum()) for (a, b), s in zip(around, slope, strict=True))
    return slope, np.sqrt(rest / left / square), float(left)


def outcome_for(settings: TrajectoriesSettings, data: xr.Dataset, link: str) -> np.ndarray:
    """Return the part of every patient's outcomes that a link reaches.

    Parameters
    ----------
    settings, data
        The model's settings and the prepared data.
    link
        One of the model's associations.

    Returns
    -------
    numpy.ndarray
        The slope over the follow-up, or the mean, by patient; NaN where there is too little, and where it is no score.
    """
    if settings.kind != "score":
        return np.full(data.sizes["subject"], np.nan)
    matrix = link_matrix(link, settings.powers[:2])
    share = Basis.from_attrs(data["course_columns"].attrs).share(data["time"].values)
    mean, slope, _, _ = _own_line(data["outcome"].values, share)
    return slope if len(matrix) > 1 and matrix[1].any() else mean


def marker_for(
    settings: TrajectoriesSettings, data: xr.Dataset, link: str, logs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a link has of every marker in every patient.

    Parameters
    ----------
    settings, data
        The model's settings and the prepared data.
    link
        One of the model's associations.
    logs
        Values, those beyond a limit at the limit: shape (subject, analyte, marker_visit).

    Returns
    -------
    tuple of numpy.ndarray
        Shape (analyte, subject) both: the marker's slope, half of it, its first value or its mean, NaN where there is
        too little; and the variance of its error, in residual variances.
    """
    matrix = link_matrix(link, settings.powers[:2])
    reached = matrix[1] if len(matrix) > 1 and matrix[1].any() else matrix[0]
    share = _share_of_markers(data)
    found = []
    for m in range(logs.shape[1]):
        mean, slope, of_mean, of_slope = _own_line(logs[:, m], share)
        first = np.isfinite(logs[:, m]).any(axis=0).argmax()  # the first time at which the marker was measured
        level, of_level = (mean, of_mean) if len(matrix) == 1 else (logs[:, m, first], np.ones(len(mean)))
        by_slope = len(reached) > 1 and reached[1]
        chosen = (slope, of_slope, reached[1]) if by_slope else (level, of_level, reached[0])
        found.append((chosen[0] * chosen[2], chosen[1] * chosen[2] ** 2))
    values, variances = zip(*found, strict=True)
    return np.stack(values), np.stack(variances)


def _share_of_markers(data: xr.Dataset) -> np.ndarray:
    return Basis.from_attrs(data["marker_course_columns"].attrs).share(data["marker_time"].values)


def _own_line(values: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """By patient, mean and least-squares slope over the follow-up, NaN where there is too little; their variances."""
    seen, count, away, square = _around(values, share)
    y = np.where(seen, values, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, slope = y.sum(axis=1) / count, (away * y).sum(axis=1) / square
        return mean, np.where(square > _ENOUGH, slope, np.nan), 1 / count, 1 / square


def _around(values: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Which values were seen, how many; times less the patient's mean of them, and their sum of squares."""
    seen = np.isfinite(values)
    count = seen.sum(axis=1)
    at = np.where(seen, share, 0.0).sum(axis=1) / np.maximum(count, 1)
    away = np.where(seen, share - at[:, None], 0.0)
    return seen, count, away, (away**2).sum(axis=1)


def _residual_variance(values: np.ndarray, share: np.ndarray) -> float:
    """Variance around patients' own lines, of patients with more than two values; zero where there are none."""
    _, count, away, square = _around(values, share)
    mean, slope, _, _ = _own_line(values, share)
    many = (count > 2) & (square > _ENOUGH)
    if not many.any():
        return 0.0
    rest = values - mean[:, None] - slope[:, None] * away
    return float(np.nansum(rest[many] ** 2) / (count[many] - 2).sum())
