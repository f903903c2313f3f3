"""How well every study was predicted: its own deviations and residual sds integrated out."""

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.patient_meta.events import NODES, log_probability_of_studies
from bayesdep.models.patient_meta.likelihood import Residuals, log_density, residuals_of
from bayesdep.models.patient_meta.moderators import within_studies
from bayesdep.models.patient_meta.settings import FREE_LEVEL_SD, PatientMetaSettings
from bayesdep.numerics.draws import draws_of, over_draws
from bayesdep.numerics.normal import log_normal

NODES_OF_MANY, MANY = 3, 100  # with many patients the density of a log sd is nearly normal


def coefficients_of(settings: PatientMetaSettings, posterior: xr.Dataset, data: xr.Dataset) -> np.ndarray:
    """Return the coefficient of every column in each arm, draw by draw.

    Parameters
    ----------
    settings
        The model's settings.
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
        return draws_of(posterior, name, *dims, "time")

    by_treatment = [draws("effect")[:, None]]
    in_both = [0 * by_treatment[0] if settings.has_free_levels else draws("intercept")[:, None]]
    if settings.baseline is not None:
        in_both.append(draws("baseline_slope")[:, None])
        by_treatment.append(0 * in_both[-1])
    if settings.moderators:
        by_treatment.append(draws("interaction", "part"))
        in_both.append(0 * by_treatment[-1] if settings.has_free_levels else draws("moderator_effect", "part"))
        if "moderator_effect" in posterior and settings.has_free_levels:
            in_both[-1][:, within_studies(data)] = draws("moderator_effect", "within_part")
    treated = np.array([0.0, 1.0]) - float(data["share_treated"])
    columns, contrasts = (np.concatenate(x, axis=1)[:, None] for x in (in_both, by_treatment))
    return columns + treated[:, None, None] * contrasts


def roots_of(posterior: xr.Dataset, *, free_sd: float = 1.0) -> np.ndarray:
    """Return the root of the covariance of a study's own deviations, draw by draw.

    Parameters
    ----------
    posterior
        Draws with dim ``sample``.
    free_sd
        The sd that free levels have in place of a spread.

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
            found[:, :, 0, :, 0] = np.eye(2)  # free levels are independent
        found = found.reshape(len(tau), 4, 4)
    return np.asarray(tau.reshape(len(tau), -1)[:, :, None] * found)


def _correlation_root(rho: np.ndarray) -> np.ndarray:
    one, none = np.ones_like(rho), np.zeros_like(rho)
    return np.stack([np.stack([one, none], -1), np.stack([rho, np.sqrt(1 - rho**2)], -1)], -2)


def log_likelihood(
    settings: PatientMetaSettings, posterior: xr.Dataset, data: xr.Dataset, *, nodes: int | None = None
) -> xr.DataArray:
    """Score every study by the density of its patients' outcomes.

    Its own level and effect are integrated out in closed form, its residual sds by Gauss-Hermite quadrature around
    their conditional mode given the spread of log sds between studies and the study's own residuals, draw by draw.

    Parameters
    ----------
    settings
        The model's settings.
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
    if nodes is None:
        nodes = NODES_OF_MANY if np.bincount(data["study_of"].values).min() >= MANY else NODES

    def score(part: xr.Dataset) -> xr.DataArray:
        scored = _score(coefficients_of(settings, part, data), roots_of(part), part, data, nodes)
        return xr.DataArray(scored, {"study": data["study"]}, ("sample", "study"))

    largest = data["cross"][0].size // data.sizes["column"] * data.sizes["study"] * data.sizes["time"]
    return over_draws(posterior, score, 2 * largest)


def log_likelihood_of_events(
    settings: PatientMetaSettings, posterior: xr.Dataset, data: xr.Dataset, *, nodes: int = NODES
) -> xr.DataArray:
    """Score every study by the probability of its events, its own level and effect integrated out by quadrature.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of its parameters.
    data
        The prepared data.
    nodes
        Nodes of the quadrature, on either axis.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, study).
    """

    def score(part: xr.Dataset) -> xr.DataArray:
        gamma, root = coefficients_of(settings, part, data), roots_of(part, free_sd=FREE_LEVEL_SD)
        scored = log_probability_of_studies(gamma, root, data, nodes=nodes)
        return xr.DataArray(scored, {"study": data["study"]}, ("sample", "study"))

    return over_draws(posterior, score, 2 * data.sizes["cell"])


def _score(gamma: np.ndarray, root: np.ndarray, drawn: xr.Dataset, data: xr.Dataset, nodes: int) -> np.ndarray:
    """The same of stacked draws, (sample, study): residual sds integrated out around their conditional mode."""
    rest = residuals_of(gamma, data)
    times = data.sizes["time"]
    rho = drawn["residual_correlation"].values if times > 1 else np.zeros(len(gamma))
    estimate, information = log_sds_within(rest, rho[:, None])
    typical = np.log(drawn["residual_sd"].transpose("sample", "time").values)[:, None]
    spread = drawn["residual_spread"].values[:, None, None]
    # the normal that prior and estimate make together: its mean, and the root of its covariance
    precision = information + np.eye(times) / spread[..., None] ** 2
    weighted = (information @ estimate[..., None])[..., 0] + typical / spread**2
    covariance = np.linalg.inv(precision)
    centre, width = (covariance @ weighted[..., None])[..., 0], np.linalg.cholesky(covariance)
    log_width = np.log(np.diagonal(width, axis1=-2, axis2=-1)).sum(axis=-1)
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    terms = []
    for node in np.ndindex(*(nodes,) * times):
        x = points[list(node)]
        logs = centre + width @ x
        prior = log_normal(logs, typical, spread).sum(axis=-1)
        density = log_density(rest, np.exp(logs), rho[:, None], root[:, None])
        terms.append(density + prior + log_width + (x @ x) / 2 + np.log(weights[list(node)]).sum())
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
