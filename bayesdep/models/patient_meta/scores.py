"""How well every study was predicted, with all that is its own integrated out: deviations, and residual sds."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.patient_meta.likelihood import Residuals, log_density, raw_products, residuals
from bayesdep.models.patient_meta.moderators import BETWEEN

if TYPE_CHECKING:
    from bayesdep.models.patient_meta.model import PatientMeta

NODES, NODES_OF_MANY, MANY = 5, 3, 100  # with many patients the density of a log sd is all but normal
_AT_ONCE = 2_000_000  # numbers in an array: bounds memory


def coefficients_of(model: "PatientMeta", posterior: xr.Dataset, data: xr.Dataset) -> np.ndarray:
    """Return what columns count for in each arm, draw by draw.

    Parameters
    ----------
    model
        The model.
    posterior
        Draws with dim ``sample``.
    data
        The prepared data.

    Returns
    -------
    numpy.ndarray
        Shape (sample, arm, column, time).
    """

    def draws(name: str, *dims: str) -> np.ndarray:
        return np.asarray(posterior[name].transpose("sample", *dims, "time").values)

    apart = [draws("effect")[:, None]]
    common = [0 * apart[0] if model.has_free_levels else draws("intercept")[:, None]]
    if model.baseline is not None:
        common.append(draws("baseline_slope")[:, None])
        apart.append(0 * common[-1])
    if model.moderators:
        apart.append(draws("interaction", "part"))
        common.append(draws("moderator_effect", "part") if not model.has_free_levels else 0 * apart[-1])
        if "moderator_effect" in posterior and model.has_free_levels:
            common[-1][:, within_studies(data)] = draws("moderator_effect", "within_part")
    code = np.array([0.0, 1.0]) - float(data["share_treated"])
    together, treated = (np.concatenate(x, axis=1)[:, None] for x in (common, apart))
    return together + code[:, None, None] * treated


def within_studies(data: xr.Dataset) -> np.ndarray:
    """Return which parts of moderators differ between patients of a study, so that studies' levels do not hold them."""
    return np.asarray(data["level"].values != BETWEEN)


def roots_of(posterior: xr.Dataset, *, free_sd: float = 1.0) -> np.ndarray:
    """Return the root of the covariance of a study's own deviations, draw by draw.

    Parameters
    ----------
    posterior
        Draws with dim ``sample``.
    free_sd
        What free levels have in the place of a spread.

    Returns
    -------
    numpy.ndarray
        Shape (sample, 2 time, 2 time).
    """
    effect = posterior["tau_effect"].transpose("sample", "time").values
    level = np.full_like(effect, free_sd)
    within = np.broadcast_to(np.eye(2), (len(effect), 2, 2))
    if "tau_intercept" in posterior:
        level = posterior["tau_intercept"].transpose("sample", "time").values
        within = _correlation_root(posterior["effect_correlation"].values)
    tau, found = np.stack([level, effect], axis=-1), within
    if "time_correlation" in posterior:
        by_time = _correlation_root(posterior["time_correlation"].values)[:, :, None, :, None]
        found = by_time * within[:, None, :, None, :]
        if "tau_intercept" not in posterior:
            found[:, :, 0, :, 0] = np.eye(2)  # free levels have nothing to do with each other
        found = found.reshape(len(tau), 4, 4)
    return np.asarray(tau.reshape(len(tau), -1)[:, :, None] * found)


def _correlation_root(rho: np.ndarray) -> np.ndarray:
    one, none = np.ones_like(rho), np.zeros_like(rho)
    return np.stack([np.stack([one, none], -1), np.stack([rho, np.sqrt(1 - rho**2)], -1)], -2)


def log_likelihood(
    model: "PatientMeta", posterior: xr.Dataset, data: xr.Dataset, *, nodes: int | None = None
) -> xr.DataArray:
    """Score every study by the density of its patients' outcomes.

    Its own level and effect are integrated out in closed form, its residual sds by Gauss-Hermite quadrature, around
    what the spread of log sds between studies and the study's own residuals say of them, draw by draw.

    Parameters
    ----------
    model
        The model.
    posterior
        Draws of its parameters.
    data
        The prepared data.
    nodes
        Nodes of the quadrature, for each time; None for five, or three where every study has a hundred patients.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, study).
    """
    flat = posterior.stack(sample=("chain", "draw"), create_index=False).transpose("sample", ...)
    times, studies = data.sizes["time"], data.sizes["study"]
    scored = np.empty((flat.sizes["sample"], studies))
    if nodes is None:
        nodes = NODES_OF_MANY if np.bincount(data["study_of"].values).min() >= MANY else NODES
    step = max(1, _AT_ONCE // (data["cross"][0].size // data.sizes["column"] * studies * times))
    gamma, root = coefficients_of(model, flat, data), roots_of(flat)
    for start in range(0, len(scored), step):
        part = slice(start, start + step)
        scored[part] = _score(gamma[part], root[part], flat.isel(sample=part), data, nodes)
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], studies)
    coords = {d: posterior[d] for d in ("chain", "draw")} | {"study": data["study"]}
    return xr.DataArray(scored.reshape(shape), coords, ("chain", "draw", "study"))


def _score(gamma: np.ndarray, root: np.ndarray, flat: xr.Dataset, data: xr.Dataset, nodes: int) -> np.ndarray:
    cross, projected, outcomes, seen = (data[v].values for v in ("cross", "projected", "outcomes", "seen"))
    times = data.sizes["time"]
    rest = residuals(
        gamma, cross, projected, raw_products(outcomes, cross[..., 0, 0], times), seen, data["proper"].values
    )
    rho = flat["residual_correlation"].values if times > 1 else np.zeros(len(gamma))
    estimate, information = log_sds_within(rest, rho[:, None])
    typical = np.log(flat["residual_sd"].transpose("sample", "time").values)[:, None]
    spread = flat["residual_spread"].values[:, None, None]
    # the normal that prior and estimate make together: its mean, and the root of its covariance
    precision = information + np.eye(times) / spread[..., None] ** 2
    told = (information @ estimate[..., None])[..., 0] + typical / spread**2
    covariance = np.linalg.inv(precision)
    centre, width = (covariance @ told[..., None])[..., 0], np.linalg.cholesky(covariance)
    log_width = np.log(np.diagonal(width, axis1=-2, axis2=-1)).sum(axis=-1)
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    terms = []
    for at in np.ndindex(*(nodes,) * times):
        x = points[list(at)]
        logs = centre + width @ x
        prior = (-(((logs - typical) / spread) ** 2) / 2 - np.log(spread) - np.log(2 * np.pi) / 2).sum(axis=-1)
        density = log_density(rest, np.exp(logs), rho[:, None], root[:, None])
        terms.append(density + prior + log_width + (x @ x) / 2 + np.log(weights[list(at)]).sum())
    return np.asarray(special.logsumexp(np.stack(terms), axis=0))


def log_sds_within(rest: Residuals, rho: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the log sds that make residuals most likely, about their mean in each arm, and the information on them.

    With n degrees of freedom at both times, mean squares S and their correlation r, the density at a known correlation
    rho peaks at ``sd_t^2 = S_t (1 - rho r) / (1 - rho^2)``, where minus its second derivatives by the log sds are ``n
    (2 - rho r) / (1 - rho r)`` and, across, ``-n rho r / (1 - rho r)``.

    Parameters
    ----------
    rest
        The residuals.
    rho
        Correlation of a patient's residuals at two times, (sample, 1).

    Returns
    -------
    tuple of numpy.ndarray
        Shapes (sample, study, time), (sample, study, time, time).
    """
    times = range(len(rest.sums))
    some = np.maximum(rest.count, 1)
    both = rest.seen[0] * rest.seen[-1]

    def about(t: int, s: int, where: np.ndarray) -> np.ndarray:
        of_arms = (rest.sums[t] * rest.sums[s] / some).sum(axis=-1)
        return np.asarray(((rest.products[t][s] - of_arms) * where).sum(axis=-1))

    def df(where: np.ndarray) -> np.ndarray:
        return np.asarray((np.maximum(rest.count - 1, 0).sum(axis=-1) * where).sum(axis=-1))

    free = [df(rest.seen[t]) for t in times]
    squares = [about(t, t, rest.seen[t]) for t in times]
    known = [(free[t] > 0) & (squares[t] > 0) for t in times]
    logs = [np.where(k, np.log(np.where(k, q, 1.0) / np.maximum(n, 1)) / 2, 0.0)
            for k, q, n in zip(known, squares, free, strict=True)]  # fmt: skip
    if len(logs) == 1:
        return logs[0][..., None], (2 * known[0] * free[0])[..., None, None]
    pairs = [about(t, t, both) for t in times]
    whole = np.sqrt(np.maximum(pairs[0] * pairs[1], 1e-300))
    tied = rho * np.clip(about(1, 0, both) / whole, -0.99, 0.99)
    shift = np.log((1 - tied) / (1 - rho**2)) / 2
    n = df(both) * known[0] * known[1]
    own = [n * (2 - tied) / (1 - tied) + 2 * known[t] * (free[t] - df(both)) for t in times]
    across = -n * tied / (1 - tied)
    found = np.stack([np.stack([own[0], across], -1), np.stack([across, own[1]], -1)], -2)
    return np.stack([log + shift * (n > 0) for log in logs], axis=-1), found
