r"""Outcomes of a study's patients, their study's own intercept and effect integrated out, by sums of products.

Patient i of a study has outcomes ``y_i = gamma' z_i + U_i u + e_i`` at one time or two: u the study's deviations (level
midway between the arms, effect of the treatment; by time), normal with root L, ``U_i`` one and the arm's code, -1/2 for
the reference and 1/2 for the treatment, so that no arm is treated otherwise than the other; e_i is normal with the
study's covariance S. With r_i = y_i - gamma' z_i and, summed over patients,

    Q = sum r_i' S^-1 r_i      g = sum U_i' S^-1 r_i      W = sum U_i' S^-1 U_i      M = J + L' W L      J = I

the log density of a study is ``-(Q - (L' g)' M^-1 L' g + log det M + sum log det S + n log 2 pi) / 2`` (Woodbury's
identity and the matrix determinant lemma), and given the data u is normal around ``L M^-1 L' g`` with covariance ``L
M^-1 L'``.

A study's level may be free: it then has a flat prior in place of its normal, one on the line, independent of all else.
With L one in its row and column and zero elsewhere in both, J has a zero at its place, and the integral over it adds
half of ``log 2 pi``. That is the restricted likelihood of the study, the density of its contrasts: coefficients and
variances are estimated from patients compared with others of the same study. A study with nobody at a time keeps a one
there, as there is nothing to integrate.

Q, g and W need no more of the patients than :mod:`~bayesdep.models.patient_meta.products` keeps. M has two
rows a time, so it is written out entry by entry, each an array over draws and studies. What the sampler evaluates is
:mod:`~bayesdep.models.patient_meta.density`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayesdep.numerics.normal import LOG_2_PI

type Entries = list[list[np.ndarray]]
"""A small matrix by its entries, each an array over draws and studies; of a symmetric one the lower half."""


@dataclass(frozen=True)
class Residuals:
    """Residuals of outcomes given the coefficients, in sums over the patients of a cell.

    Parameters
    ----------
    sums
        By time, sums of residuals: (..., pattern, arm).
    products
        By two times (t, s <= t), sums of products of residuals over both arms: (..., pattern).
    count
        Patients: (..., pattern, arm).
    seen
        By time, 1 for the patterns in which it was observed: (..., 1, pattern), the one being for studies.
    proper
        J's diagonal, 0 for a level that is free: (study, 2 time).
    """

    sums: Sequence[np.ndarray]
    products: Entries
    count: np.ndarray
    seen: Sequence[np.ndarray]
    proper: np.ndarray


@dataclass(frozen=True)
class NormalEquations:
    """What the data of a study say of its own deviations, and all else that its density needs.

    Parameters
    ----------
    matrix
        Lower half of M.
    right
        L' g.
    constant
        ``Q + sum log det S + n log 2 pi``.
    """

    matrix: Entries
    right: list[np.ndarray]
    constant: np.ndarray


def residuals_of(coefficients: np.ndarray, data: xr.Dataset) -> Residuals:
    """Sum the residuals of prepared outcomes, and their products.

    Parameters
    ----------
    coefficients
        gamma, (sample, arm, column, time).
    data
        The prepared data.

    Returns
    -------
    Residuals
        As :func:`residuals` returns them.
    """
    cross, projected, outcomes = (data[v].values for v in ("cross", "projected", "outcomes"))
    raw = raw_products(outcomes, cross[..., 0, 0], data.sizes["time"])
    return residuals(coefficients, cross, projected, raw, data["seen"].values, data["proper"].values)


def residuals(
    coefficients: np.ndarray,
    cross: np.ndarray,
    projected: np.ndarray,
    raw: Entries,
    seen: np.ndarray,
    proper: np.ndarray,
) -> Residuals:
    """Sum residuals and their products, from sums of products of what they are residuals of.

    Parameters
    ----------
    coefficients
        gamma, (..., arm, column, time).
    cross, projected
        ``sum z z'``, (study, pattern, arm, column, column), and ``sum z y'``, (study, pattern, arm, column, time).
    raw
        By two times (t, s <= t), ``sum y_t y_s``: (study, pattern, arm).
    seen
        (..., pattern, time).
    proper
        (study, 2 time).

    Returns
    -------
    Residuals
        For outcomes less ``gamma' z``; what is by cell has the leading axes of the coefficients before those of cells.
    """
    times = range(len(raw))
    observed = [seen[..., None, :, t] for t in times]
    by_cell = coefficients[..., None, None, :, :, :]
    unexplained = projected - cross @ by_cell
    explained = np.swapaxes(projected, -1, -2) @ by_cell + np.swapaxes(by_cell, -1, -2) @ unexplained
    products = [
        [(raw[t][s] - explained[..., t, s]).sum(axis=-1) * observed[t] * observed[s] for s in range(t + 1)]
        for t in times
    ]
    sums = [unexplained[..., 0, t] * observed[t][..., None] for t in times]
    return Residuals(sums, products, cross[..., 0, 0], observed, proper)


def raw_products(outcomes: np.ndarray, count: np.ndarray, times: int) -> Entries:
    """Return sums of products of outcomes, from means and products of deviations from them.

    Parameters
    ----------
    outcomes
        (..., statistic), as :func:`~bayesdep.models.patient_meta.products.statistics_of` lists them.
    count
        How many patients they are of, without the last axis.
    times
        How many times there are.

    Returns
    -------
    list of list
        By two times (t, s <= t).
    """
    place = iter(range(times, times + times * (times + 1) // 2))
    return [
        [outcomes[..., next(place)] + count * outcomes[..., t] * outcomes[..., s] for s in range(t + 1)]
        for t in range(times)
    ]


def study_normal_equations(rest: Residuals, sd: np.ndarray, rho: np.ndarray, root: np.ndarray) -> NormalEquations:
    """Return the normal equations of every study's own deviations.

    Parameters
    ----------
    rest
        The residuals.
    sd
        Residual sd, (..., time).
    rho
        Correlation of a patient's residuals at two times, (...).
    root
        L, (..., 2 time, 2 time), lower triangular; a time's level before its effect.

    Returns
    -------
    NormalEquations
        By study.
    """
    precision, log_det = _residual_precision(rest, sd, rho)
    constant = rest.count.sum(axis=-1) * log_det
    for t, row in enumerate(precision):
        for s in range(t + 1):
            constant = constant + (1 if t == s else 2) * row[s] * rest.products[t][s]
    g, w = _score(rest, precision), _information(rest, precision)
    size = len(g)
    low = [[root[..., i, j] for j in range(size)] for i in range(size)]
    half = [[sum(w[i][k] * low[k][j] for k in range(j, size)) for j in range(size)] for i in range(size)]
    matrix = [
        [sum(low[k][i] * half[k][j] for k in range(i, size)) + rest.proper[..., i] * (i == j) for j in range(i + 1)]
        for i in range(size)
    ]
    right = [np.asarray(sum(low[k][i] * g[k] for k in range(i, size))) for i in range(size)]
    return NormalEquations(matrix, right, constant.sum(axis=-1))


def _residual_precision(rest: Residuals, sd: np.ndarray, rho: np.ndarray) -> tuple[Entries, np.ndarray]:
    """``S^-1``, zero where a time was not observed, and ``log det S`` plus ``log 2 pi`` a time: (study, pattern)."""
    times, seen = range(len(rest.sums)), rest.seen
    sds = [sd[..., t, None] for t in times]
    correlation = rho[..., None] * seen[0] * seen[1] if len(sds) > 1 else np.zeros(())
    unshared = 1 - correlation**2  # share of a residual's variance that the other does not predict
    precision = [
        [
            seen[t] / (sds[t] ** 2 * unshared) if t == s else -correlation / (sds[t] * sds[s] * unshared)
            for s in range(t + 1)
        ]
        for t in times
    ]
    log_det = sum(seen[t] * (2 * np.log(sds[t]) + LOG_2_PI) for t in times)
    return precision, np.asarray(log_det + np.log(unshared) if len(sds) > 1 else log_det)


def _score(rest: Residuals, precision: Entries) -> list[np.ndarray]:
    """g, by time of the level and of the effect: weighted sums of residuals, and half their differences of arms."""
    times = range(len(rest.sums))
    sums = [(e.sum(axis=-1), (e[..., 1] - e[..., 0]) / 2) for e in rest.sums]
    return [
        np.asarray(sum(precision[max(t, s)][min(t, s)] * sums[s][which] for s in times)).sum(axis=-1)
        for t in times
        for which in (0, 1)
    ]


def _information(rest: Residuals, precision: Entries) -> Entries:
    """W, all of it: what a unit of level or effect at one time has to do with one at another."""
    patients = rest.count.sum(axis=-1)
    difference = (rest.count[..., 1] - rest.count[..., 0]) / 2
    of_level = [[(p * patients).sum(axis=-1) for p in row] for row in precision]
    across = [[(p * difference).sum(axis=-1) for p in row] for row in precision]

    def entry(i: int, j: int) -> np.ndarray:
        t, s = max(i // 2, j // 2), min(i // 2, j // 2)
        if i % 2 != j % 2:
            return across[t][s]
        return of_level[t][s] / 4 if i % 2 else of_level[t][s]

    size = 2 * len(rest.sums)
    return [[entry(i, j) for j in range(size)] for i in range(size)]


def log_density(rest: Residuals, sd: np.ndarray, rho: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Return the log density of every study's outcomes, its own deviations integrated out.

    Parameters
    ----------
    rest, sd, rho, root
        As in :func:`study_normal_equations`.

    Returns
    -------
    numpy.ndarray
        By study.
    """
    study = study_normal_equations(rest, sd, rho, root)
    rows: Entries = [[*row] for row in [*study.matrix, [*study.right, study.constant]]]
    log_det: np.ndarray = np.zeros(())
    for j in range(len(study.right)):  # once M's rows are eliminated, the last entry is the quadratic form
        pivot = rows[j][j]
        log_det = log_det + np.log(pivot)
        for i in range(j + 1, len(rows)):
            factor = rows[i][j] / pivot
            for k in range(j + 1, i + 1):
                rows[i][k] = rows[i][k] - factor * rows[k][j]
    return np.asarray((LOG_2_PI * (1 - rest.proper).sum(axis=-1) - rows[-1][-1] - log_det) / 2)


def deviations(
    rest: Residuals, sd: np.ndarray, rho: np.ndarray, root: np.ndarray, noise: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Return every study's own deviations given its data, as standard normals make them.

    Parameters
    ----------
    rest, sd, rho, root
        As in :func:`study_normal_equations`.
    noise
        Standard normals by study, one for each deviation.

    Returns
    -------
    list of numpy.ndarray
        u, by time the level midway between the arms and the effect of the treatment.
    """
    study = study_normal_equations(rest, sd, rho, root)
    size = len(study.right)
    low = _cholesky(study.matrix)
    half: list[np.ndarray] = []
    for i in range(size):  # C^-1 L' g
        half.append((study.right[i] - sum(low[i][k] * half[k] for k in range(i))) / low[i][i])
    scaled: dict[int, np.ndarray] = {}
    for i in reversed(range(size)):  # C'^-1 (C^-1 L' g + noise)
        above = sum(low[k][i] * scaled[k] for k in range(i + 1, size))
        scaled[i] = (half[i] + noise[i] - above) / low[i][i]
    return [np.asarray(sum(root[..., i, k] * scaled[k] for k in range(i + 1))) for i in range(size)]


def _cholesky(matrix: Entries) -> Entries:
    """C with ``M = C C'``, lower triangular."""
    low = [[*row] for row in matrix]
    for j in range(len(low)):
        low[j][j] = np.sqrt(low[j][j] - sum(low[j][k] ** 2 for k in range(j)))
        for i in range(j + 1, len(low)):
            low[i][j] = (low[i][j] - sum(low[i][k] * low[j][k] for k in range(j))) / low[j][j]
    return low


def log_sds_of_studies(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return rough logs of every study's residual sd at every time, and their standard errors: (study, time).

    Residuals are those of least squares within a study's arms and patterns of missing outcomes, with the same slopes
    in all studies. Each study loses its share of the degrees of freedom of the slopes.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        Estimate and standard error, 1 / sqrt(2 degrees of freedom); (0, 1) where a study has no degree of freedom.
    """
    times = data.sizes["time"]
    count = data["cross"].values[..., 0, 0]
    estimate, se = (np.empty((data.sizes["study"], times)) for _ in range(2))
    for t in range(times):
        seen = data["seen"].values[:, t, None]
        free = (np.maximum(count - 1, 0) * seen).sum(axis=(1, 2))
        squares, lost = _squares_within_arms(data, t, free.sum())
        free = free * (1 - lost / max(free.sum(), 1))
        estimable = (free > 0) & (squares > 0)
        estimate[:, t] = np.where(estimable, np.log(np.where(estimable, squares / np.maximum(free, 1), 1)) / 2, 0.0)
        se[:, t] = np.where(estimable, 1 / np.sqrt(2 * np.maximum(free, 1)), 1.0)
    return estimate, se


def _squares_within_arms(data: xr.Dataset, time: int, free: float) -> tuple[np.ndarray, int]:
    """Sum squares of residuals within arms by study, and count slopes; with too few patients for slopes there are none.

    Each arm has its own slopes, as columns have effects and interactions with the treatment.
    """
    place = data.sizes["time"] + time * (time + 3) // 2  # of the products of this time with itself
    seen = data["seen"].values[:, time, None]
    squares = data["outcomes"].values[..., place] * seen
    cross, projected = (data[v].values * seen[..., None, None] for v in ("cross", "projected"))
    count = np.maximum(cross[..., :1, :1], 1)
    mean = cross[..., 1:, :1] / count
    within = cross[..., 1:, 1:] - count * mean * np.swapaxes(mean, -1, -2)
    towards = projected[..., 1:, time] - mean[..., 0] * projected[..., :1, time]
    lost = 0
    slopes = np.zeros((squares.shape[-1], within.shape[-1]))
    for arm in range(len(slopes)):
        slopes[arm], _, rank, _ = np.linalg.lstsq(
            within[:, :, arm].sum(axis=(0, 1)), towards[:, :, arm].sum(axis=(0, 1)), rcond=1e-10
        )
        lost += int(rank)
    if lost >= free / 2:
        return squares.sum(axis=(1, 2)), 0
    explained = 2 * (slopes * towards).sum(axis=-1) - np.einsum("ai,kpaij,aj->kpa", slopes, within, slopes)
    return np.maximum(squares - explained, 0).sum(axis=(1, 2)), lost
