"""Studies' densities as quadratic forms in the coefficients, in closed form given the spreads."""

import numpy as np
import xarray as xr

from bayesdep.models.patient_meta.likelihood import raw_products

_TYPICAL_SPREAD, _TYPICAL_CORRELATION = 0.2, 0.5  # between studies, in sds; of a patient's residuals
_WIDE = 3.0  # sds per unit


def as_quadratic(
    root: np.ndarray, rho: np.ndarray, sd: np.ndarray, data: xr.Dataset
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each study's log density, its own deviations integrated out, as a quadratic form in the coefficients.

    Parameters
    ----------
    root
        Root of the covariance of a study's own deviations: (sample, 2 time, 2 time).
    rho
        Correlation of a patient's residuals at two times: (sample,).
    sd
        Residual sds: (sample, study, time).
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        A, a and c with -2 of the log density ``b' A b - 2 a' b + c``: (sample, study, ...). The coefficients b are, by
        time: intercept, effect, the baseline's slope where there is one, moderators' effects, interactions.
    """
    cross, projected, seen, proper = (data[v].values for v in ("cross", "projected", "seen", "proper"))
    times, studies = data.sizes["time"], data.sizes["study"]
    maps = coefficient_maps(data)
    x = np.einsum("azi,kpazy,ayj->kpij", maps, cross, maps)
    xy = np.einsum("azi,kpazt->kpit", maps, projected)
    which = np.array([[1.0, -0.5], [1.0, 0.5]])  # weights of an arm's patients: in the level, and in the effect
    ux = np.einsum("aw,kpaz,azi->kpwi", which, cross[..., 0, :], maps)
    uy = np.einsum("aw,kpat->kpwt", which, projected[..., 0, :])
    uu = np.einsum("aw,kpa,av->kpwv", which, cross[..., 0, 0], which)
    raw = raw_products(data["outcomes"].values, cross[..., 0, 0], times)
    yy = np.stack(
        [np.stack([raw[max(t, s)][min(t, s)].sum(axis=-1) for s in range(times)], -1) for t in range(times)], -1
    )
    both = seen.all(axis=1) if times > 1 else np.zeros(len(seen), dtype=bool)
    tied = rho[:, None] * both
    eye = np.eye(times)
    inverse = (eye - (1 - eye) * tied[..., None, None]) / (1 - tied**2)[..., None, None]
    inverse = inverse * seen[:, :, None] * seen[:, None, :]
    weight = inverse[:, None] / (sd[:, :, None, :, None] * sd[:, :, None, None, :])
    shape = (len(sd), studies)
    size, u = times * x.shape[-1], 2 * times
    xsx = np.einsum("zkpts,kpij->zktisj", weight, x, optimize=True).reshape(*shape, size, size)
    xsy = np.einsum("zkpts,kpis->zkti", weight, xy, optimize=True).reshape(*shape, size)
    usx = np.einsum("zkpts,kpwi->zktwsi", weight, ux, optimize=True).reshape(*shape, u, size)
    usy = np.einsum("zkpts,kpws->zktw", weight, uy, optimize=True).reshape(*shape, u)
    usu = np.einsum("zkpts,kpwv->zktwsv", weight, uu, optimize=True).reshape(*shape, u, u)
    ysy = np.einsum("zkpts,kpts->zk", weight, yy, optimize=True)
    root = root[:, None]
    turned = np.swapaxes(root, -1, -2)
    low = np.linalg.cholesky(proper[:, :, None] * np.eye(u) + turned @ usu @ root)
    fx, fy = np.linalg.solve(low, turned @ usx), np.linalg.solve(low, turned @ usy[..., None])
    log_det = 2 * np.log(np.diagonal(low, axis1=-2, axis2=-1)).sum(axis=-1)
    count = cross[..., 0, 0].sum(axis=-1)  # study, pattern
    log_det = log_det + (count * (2 * np.log(sd) @ seen.T + np.log1p(-(tied**2))[:, None])).sum(axis=-1)
    size_of = (count * seen.sum(axis=1)).sum(axis=-1) - (1 - proper).sum(axis=-1)
    c = ysy - (fy[..., 0] ** 2).sum(axis=-1) + log_det + size_of * np.log(2 * np.pi)
    fxt = np.swapaxes(fx, -1, -2)
    return xsx - fxt @ fx, xsy - (fxt @ fy)[..., 0], c


def rough_interactions(data: xr.Dataset, log_sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return interactions by generalised least squares with typical spreads, and their standard errors.

    They are the estimates without pooling that are shown beside the pooled ones, and choose the coordinates in which
    these are sampled.

    Parameters
    ----------
    data
        The prepared data.
    log_sd
        The log of every study's sd within arms: (study, time).

    Returns
    -------
    tuple of numpy.ndarray
        Estimate and standard error, (part, time).
    """
    times = data.sizes["time"]
    root = np.linalg.cholesky(_TYPICAL_SPREAD**2 * np.kron(0.5 + 0.5 * np.eye(times), np.eye(2)))
    free = (data["proper"].values == 0).any(axis=0)
    root[free], root[:, free] = 0.0, 0.0
    root[free, free] = 1.0
    return least_squares(data, root, np.full(1, _TYPICAL_CORRELATION), np.exp(log_sd))


def least_squares(data: xr.Dataset, root: np.ndarray, rho: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return interactions by generalised least squares at given variances, and their standard errors.

    Parameters
    ----------
    data
        The prepared data.
    root
        Root of the covariance of a study's own deviations: (2 time, 2 time).
    rho
        Correlation of a patient's residuals at two times: (1,).
    sd
        Residual sds: (study, time).

    Returns
    -------
    tuple of numpy.ndarray
        Estimate and standard error, (part, time); the latter do not depend on outcomes.
    """
    times, parts = data.sizes["time"], data.sizes["part"]
    a, b, _ = as_quadratic(root[None], rho, sd[None], data)
    # parts that follow from others need a prior, which is much wider than anything plausible
    covariance = np.linalg.inv(a[0].sum(axis=0) + np.eye(a.shape[-1]) / _WIDE**2)
    by_time = [x.reshape(times, -1)[:, -parts:].T for x in (covariance @ b[0].sum(axis=0), np.diagonal(covariance))]
    return by_time[0], np.sqrt(by_time[1])


def coefficient_maps(data: xr.Dataset) -> np.ndarray:
    """Return how columns of patients make those of coefficients, in each arm.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    numpy.ndarray
        Shape (arm, column, coefficient).
    """
    columns, parts = data.sizes["column"], data.sizes["part"]
    first = columns - parts
    found = np.zeros((2, columns, columns + 1 + parts))
    for arm, code in enumerate(np.array([0.0, 1.0]) - float(data["share_treated"])):
        found[arm, 0, 0], found[arm, 0, 1] = 1.0, code
        if first > 1:
            found[arm, 1, 2] = 1.0
        for j in range(parts):
            found[arm, first + j, 1 + first + j] = 1.0
            found[arm, first + j, 1 + first + parts + j] = code
    return found
