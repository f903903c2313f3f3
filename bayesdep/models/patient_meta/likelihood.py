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
half of ``log 2 pi``. That is the restricted likelihood of the study, the density of its contrasts: what it says of
coefficients and variances is what patients within it say, compared with each other. A study with nobody at a time keeps
a one there, as there is nothing to integrate.

Q, g and W need no more of the patients than :mod:`~bayesdep.models.patient_meta.products` keeps. M has two
rows a time, so it is written out entry by entry, each an array over draws and studies. What the sampler evaluates is
:mod:`~bayesdep.models.patient_meta.density`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

_LOG_2_PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Residuals:
    """What is left of outcomes once coefficients are known, in sums over the patients of a cell.

    Parameters
    ----------
    sums
        By time, sums of residuals: (..., pattern, arm).
    products
        By two times (t, s <= t), sums of products of residuals over both arms: (..., pattern).
    count
        Patients: (..., pattern, arm).
    seen
        By time, 1 for the patterns in which it was seen: (..., 1, pattern), the one being for studies.
    proper
        J's diagonal, 0 for a level that is free: (study, 2 time).
    """

    sums: Sequence[Any]
    products: Sequence[Sequence[Any]]
    count: Any
    seen: Sequence[Any]
    proper: Any


def residuals(
    coefficients: Any, cross: Any, projected: Any, raw: Sequence[Sequence[Any]], seen: Any, proper: Any
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
    seen = [seen[..., None, :, t] for t in times]
    by_cell = coefficients[..., None, None, :, :, :]
    left = projected - cross @ by_cell
    both = np.swapaxes(projected, -1, -2) @ by_cell + np.swapaxes(by_cell, -1, -2) @ left
    products = [[(raw[t][s] - both[..., t, s]).sum(axis=-1) * seen[t] * seen[s] for s in range(t + 1)] for t in times]
    sums = [left[..., 0, t] * seen[t][..., None] for t in times]
    return Residuals(sums, products, cross[..., 0, 0], seen, proper)


def raw_products(outcomes: Any, count: Any, times: int) -> list[list[Any]]:
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


def about_study(rest: Residuals, sd: Any, rho: Any, root: Any) -> tuple[list[list[Any]], list[Any], Any]:
    """Return what the data of a study say of its own deviations, and all else its density needs.

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
    list of list
        Lower half of M.
    list
        L' g.
    Any
        ``Q + sum log det S + n log 2 pi``.
    """
    times = range(len(rest.sums))
    seen, count = rest.seen, rest.count
    everybody = count.sum(axis=-1)
    own = [sd[..., t, None] for t in times]
    tied: Any = rho[..., None] * seen[0] * seen[1] if len(own) > 1 else 0.0
    free = 1 - tied**2
    weight = [
        [seen[t] / (own[t] ** 2 * free) if t == s else -tied / (own[t] * own[s] * free) for s in range(t + 1)]
        for t in times
    ]
    log_det = sum(seen[t] * (2 * np.log(own[t]) + _LOG_2_PI) for t in times)
    if len(own) > 1:
        log_det = log_det + np.log(free)
    constant = everybody * log_det
    for t in times:
        for s in range(t + 1):
            constant = constant + (1 if t == s else 2) * weight[t][s] * rest.products[t][s]

    def between(t: int, s: int) -> Any:
        return weight[max(t, s)][min(t, s)]

    apart = (count[..., 1] - count[..., 0]) / 2
    sums = [(e.sum(axis=-1), (e[..., 1] - e[..., 0]) / 2) for e in rest.sums]
    g = [sum(between(t, s) * sums[s][i] for s in times).sum(axis=-1) for t in times for i in (0, 1)]
    crowd = [[(w * everybody).sum(axis=-1) for w in row] for row in weight]
    crowd_apart = [[(w * apart).sum(axis=-1) for w in row] for row in weight]
    size = 2 * len(own)

    def known(i: int, j: int) -> Any:
        t, s = max(i // 2, j // 2), min(i // 2, j // 2)
        if i % 2 != j % 2:
            return crowd_apart[t][s]
        return crowd[t][s] / 4 if i % 2 else crowd[t][s]

    whole = [[known(i, j) for j in range(size)] for i in range(size)]
    down = [[root[..., k, j] for j in range(size)] for k in range(size)]
    half = [[sum(whole[i][k] * down[k][j] for k in range(j, size)) for j in range(size)] for i in range(size)]
    matrix = [
        [sum(down[k][i] * half[k][j] for k in range(i, size)) + rest.proper[..., i] * (i == j) for j in range(i + 1)]
        for i in range(size)
    ]
    turned = [sum(down[k][i] * g[k] for k in range(i, size)) for i in range(size)]
    return matrix, turned, constant.sum(axis=-1)


def log_density(rest: Residuals, sd: Any, rho: Any, root: Any) -> Any:
    """Return the log density of every study's outcomes, its own deviations integrated out.

    Parameters
    ----------
    rest, sd, rho, root
        As in :func:`about_study`.

    Returns
    -------
    Any
        By study.
    """
    matrix, turned, constant = about_study(rest, sd, rho, root)
    rows, log_det = [[*row] for row in [*matrix, [*turned, constant]]], 0.0
    for j in range(len(turned)):  # with M's rows eliminated, the last entry is what is left of the last row's
        pivot = rows[j][j]
        log_det = log_det + np.log(pivot)
        for i in range(j + 1, len(rows)):
            link = rows[i][j] / pivot
            for k in range(j + 1, i + 1):
                rows[i][k] = rows[i][k] - link * rows[k][j]
    return (_LOG_2_PI * (1 - rest.proper).sum(axis=-1) - rows[-1][-1] - log_det) / 2


def deviations(rest: Residuals, sd: Any, rho: Any, root: Any, noise: Sequence[Any]) -> list[Any]:
    """Return every study's own deviations given its data, as standard normals make them.

    Parameters
    ----------
    rest, sd, rho, root
        As in :func:`about_study`.
    noise
        Standard normals by study, one for each deviation.

    Returns
    -------
    list
        u, by time the level midway between the arms and the effect of the treatment.
    """
    matrix, turned, _ = about_study(rest, sd, rho, root)
    size = len(turned)
    low = [[matrix[i][j] for j in range(i + 1)] for i in range(size)]
    for j in range(size):  # M = C C'
        low[j][j] = np.sqrt(low[j][j] - sum(low[j][k] ** 2 for k in range(j)))
        for i in range(j + 1, size):
            low[i][j] = (low[i][j] - sum(low[i][k] * low[j][k] for k in range(j))) / low[j][j]
    half: list[Any] = []
    for i in range(size):  # C^-1 L' g
        half.append((turned[i] - sum(low[i][k] * half[k] for k in range(i))) / low[i][i])
    found: list[Any] = [None] * size
    for i in reversed(range(size)):  # C'^-1 (C^-1 L' g + noise)
        above = sum(low[k][i] * found[k] for k in range(i + 1, size))
        found[i] = (half[i] + noise[i] - above) / low[i][i]
    return [sum(root[..., i, k] * found[k] for k in range(i + 1)) for i in range(size)]


def log_sds_of_studies(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the log of every study's sd within arms at every time, and its standard error: (study, time).

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
    place = [times + t * (t + 3) // 2 for t in range(times)]  # of the products of a time with itself
    squares = data["outcomes"].values[..., place].sum(axis=(1, 2))
    count = data["cross"].values[..., 0, 0][..., None] * data["seen"].values[:, None, :]
    free = np.maximum(count - 1, 0).sum(axis=(1, 2))
    known = (free > 0) & (squares > 0)
    estimate = np.where(known, np.log(np.where(known, squares, 1) / np.maximum(free, 1)) / 2, 0.0)
    return estimate, np.where(known, 1 / np.sqrt(2 * np.maximum(free, 1)), 1.0)
