"""Residual covariance structures of a trial, in the model and from draws.

The covariance of a patient's visits is D R D, D the residual sds and R their correlation; both may belong to the arm.
With Student-t residuals a patient's covariance is divided by a precision w of the patient's own,
``w ~ Gamma(nu / 2, rate nu / 2)``, which together make a multivariate t (Lange, Little and Taylor 1989,
doi:10.1080/01621459.1989.10478852).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.trial.censored_moderator import LATENT, is_latent, nodes_beyond_limits
from bayesdep.models.trial.means import expected
from bayesdep.models.trial.settings import TrialSettings
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.draws import over_draws
from bayesdep.numerics.types import Draws, Tensor

NAME = "outcome_by_visit"


# In the model


def residual_sds_of_groups(prior: Prior, data: xr.Dataset, *, by_arm: bool, heterogeneous: bool) -> Tensor:
    """Add the residual sds to a PyMC model, inside its context.

    Parameters
    ----------
    prior
        Of a residual sd, in the outcome's units.
    data
        The prepared trial.
    by_arm
        Whether arms have residual sds of their own; else all patients are one group.
    heterogeneous
        Whether each visit has a residual sd of its own.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (group, visit).
    """
    import pytensor.tensor as pt

    dims = (*(("arm",) if by_arm else ()), *(("visit",) if heterogeneous else ()))
    sd = prior.rv("residual_sd", dims=dims or None)
    sd = sd if by_arm else sd[None]
    groups = data.sizes["arm"] if by_arm else 1
    return pt.broadcast_to(sd if heterogeneous else sd[:, None], (groups, data.sizes["visit"]))


@dataclass(frozen=True)
class Outcomes:
    """The outcomes in a PyMC model: what is observed, and the tensors that their distribution needs.

    Parameters
    ----------
    is_observed
        Whether a patient was observed at a visit, shape (subject, visit).
    mean, sd
        Shape (subject, visit); ``sd`` may lack the subject where it is the same for all.
    observed
        ``is_observed`` as a tensor of ones and zeros.
    likelihood
        Arguments that every distribution of the outcomes has.
    """

    is_observed: np.ndarray
    mean: Tensor
    sd: Tensor
    observed: Tensor
    likelihood: dict[str, Any]

    @classmethod
    def of(cls, data: xr.Dataset, mean: Tensor, sd: Tensor) -> "Outcomes":
        """Put the outcomes into a PyMC model, inside its context."""
        import pymc as pm

        is_observed = ~np.isnan(data["outcome"].values)
        observed = pm.Data("seen", is_observed.astype(float), dims=("subject", "visit"))
        return cls(is_observed, mean, sd, observed, _observed(data))


def _observed(data: xr.Dataset) -> dict[str, Any]:
    """Arguments that every distribution of the outcomes has, inside a PyMC model's context; missed visits are 0."""
    import pymc as pm

    dims = ("subject", "visit")
    return {"observed": pm.Data("outcome", np.nan_to_num(data["outcome"].values), dims=dims), "dims": dims}


def observe_exchangeable(outcomes: Outcomes, rho: Tensor) -> None:
    """Let all visits of a patient correlate ``rho`` (compound symmetry)."""
    from bayesdep.numerics.covariance import Exchangeable

    Exchangeable(NAME, outcomes.mean, outcomes.sd, rho, outcomes.observed, **outcomes.likelihood)


def observe_serial(outcomes: Outcomes, rho: Tensor, times: np.ndarray) -> None:
    """Let two visits of a patient correlate ``rho ** gap``, gaps counted in ``times``, shape (subject, visit)."""
    import pymc as pm

    from bayesdep.numerics.covariance import Serial

    dims, visits = ("subject", "visit"), outcomes.is_observed.shape[1]
    place = np.where(outcomes.is_observed, np.arange(visits), -1)
    previous = np.hstack([np.full((len(place), 1), -1), np.maximum.accumulate(place, axis=1)[:, :-1]])
    gaps = (pm.Data("previous", previous.astype(float), dims=dims), pm.Data("day", times.astype(float), dims=dims))
    Serial(NAME, outcomes.mean, outcomes.sd, rho, outcomes.observed, *gaps, **outcomes.likelihood)


def observe_correlated(
    data: xr.Dataset, mean: Tensor, sd: Tensor, correlation: Tensor, root_precision: Tensor | None, *, by_arm: bool
) -> None:
    """Observe the outcomes, inside a PyMC model's context: visits of a patient have any correlation matrix.

    Parameters
    ----------
    data
        The prepared trial.
    mean
        Shape (subject, visit).
    sd
        As :func:`residual_sds_of_groups` returns them.
    correlation
        Shape (visit, visit), or (arm, visit, visit) where arms have their own.
    root_precision
        By which the sds of a patient are divided, shape (subject,); None for none.
    by_arm
        Whether arms are the groups.
    """
    import pymc as pm
    import pytensor.tensor as pt

    from bayesdep.numerics.covariance import AnyCovariance, patterns_of

    is_observed = ~np.isnan(data["outcome"].values)
    group = data["arm_of"].values if by_arm else np.zeros(len(is_observed), dtype=int)
    pattern_of, group_of, kept = patterns_of(is_observed, group)
    patterns = pm.Data("pattern_of", pattern_of, dims="subject"), pm.Data("group_of", group_of), pm.Data("kept", kept)
    covariance = (correlation if by_arm else correlation[None]) * sd[:, :, None] * sd[:, None, :]
    scale = pt.ones(1) if root_precision is None else 1 / root_precision
    AnyCovariance(NAME, mean, covariance, scale, *patterns, **_observed(data))


def toeplitz_correlation(prior: Prior, data: xr.Dataset, *, by_arm: bool) -> Tensor:
    """Add a correlation by the number of visits between, from its partial autocorrelations.

    Parameters
    ----------
    prior
        Of a partial autocorrelation plus one, halved.
    data
        The prepared trial.
    by_arm
        Whether each arm has its own.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape ([arm,] visit, visit).
    """
    import pymc as pm
    import pytensor.tensor as pt

    from bayesdep.numerics.covariance import toeplitz_correlations

    visits, arm_dim = data.sizes["visit"], ("arm",) if by_arm else ()
    pm.modelcontext(None).add_coord("lag", [str(k) for k in range(1, visits)])
    share = prior.rv("partial_share", dims=(*arm_dim, "lag"))
    partial = pt.specify_shape(2 * share - 1, (*(None for _ in arm_dim), visits - 1))
    by_lag = toeplitz_correlations(partial)
    pm.Deterministic("correlation_by_lag", by_lag[..., 1:], dims=(*arm_dim, "lag"))
    return by_lag[..., visit_lags(visits)]


def unstructured_correlation(lkj: float, data: xr.Dataset, *, by_arm: bool) -> Tensor:
    """Add an unstructured correlation, ``LKJ(lkj)``, from its partial correlations on a vine.

    Parameters
    ----------
    lkj
        The distribution's shape; 1 is uniform.
    data
        The prepared trial.
    by_arm
        Whether each arm has its own.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape ([arm,] visit, visit).
    """
    import pymc as pm
    import pytensor.tensor as pt

    from bayesdep.numerics.covariance import vine_root

    visits, arm_dim = data.sizes["visit"], ("arm",) if by_arm else ()
    arms = [data.sizes[dim] for dim in arm_dim]
    rows, columns = np.tril_indices(visits, -1)
    pm.modelcontext(None).add_coord("pair", _pairs(data["visit"].values))
    shape = lkj + (visits - 2 - columns) / 2
    if by_arm:
        shape = np.broadcast_to(shape, (*arms, len(shape)))
    share = pm.Beta("partial_share", shape, shape, dims=(*arm_dim, "pair"))
    blank = pt.zeros((*arms, visits, visits)) + pt.eye(visits)
    root = vine_root(pt.set_subtensor(blank[..., rows, columns], 2 * share - 1))
    correlation = (root[..., :, None, :] * root[..., None, :, :]).sum(axis=-1)
    pm.Deterministic("correlation_by_pair", correlation[..., rows, columns], dims=(*arm_dim, "pair"))
    return correlation


def _pairs(visits: np.ndarray) -> list[str]:
    """Names of every two visits, in the order of a matrix's lower triangle."""
    return [f"{visits[k]} and {visits[j]}" for j, k in zip(*np.tril_indices(len(visits), -1), strict=True)]


def visit_lags(visits: int) -> np.ndarray:
    """Return how many visits apart every two are, shape (visits, visits)."""
    return np.asarray(np.abs(np.subtract.outer(np.arange(visits), np.arange(visits))))


# From draws


def residual_sds(posterior: xr.Dataset, data: xr.Dataset) -> Draws:
    """Return the residual sds by arm and visit, also where the model has one for all; of a t, its scales.

    Parameters
    ----------
    posterior
        Draws with dim ``sample``.
    data
        The prepared trial.

    Returns
    -------
    numpy.ndarray
        Shape (samples, arms, visits).
    """
    sd = posterior["residual_sd"]
    for dim, axis in (("arm", 0), ("visit", 1)):
        if dim not in sd.dims:
            sd = sd.expand_dims({dim: data[dim].values}, axis=axis)
    return np.asarray(sd.transpose("sample", "arm", "visit").values)


def correlations(settings: TrialSettings, posterior: xr.Dataset, days: np.ndarray, arm: int = 0) -> Draws:
    """Return the correlation matrix of a patient's visits, draw by draw.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws with dim ``sample``.
    days
        When the patient's visits were, shape (visits,).
    arm
        The patient's arm.

    Returns
    -------
    numpy.ndarray
        Shape (samples, visits, visits).
    """
    visits = len(days)
    of_arm = posterior.isel(arm=arm) if settings.by_arm else posterior
    if visits == 1:
        return np.ones((posterior.sizes["sample"], 1, 1))
    if settings.covariance == "unstructured":
        by_pair = of_arm["correlation_by_pair"].transpose("sample", "pair").values
        matrix = np.tile(np.eye(visits), (len(by_pair), 1, 1))
        rows, columns = np.tril_indices(visits, -1)
        matrix[:, rows, columns] = matrix[:, columns, rows] = by_pair
        return matrix
    if settings.covariance == "toeplitz":
        by_lag = of_arm["correlation_by_lag"].transpose("sample", "lag").values
        return np.hstack([np.ones((len(by_lag), 1)), by_lag])[:, visit_lags(visits)]
    rho = of_arm["rho"].values[:, None, None]
    if settings.covariance == "compound-symmetry":
        eye = np.eye(visits)
        return np.asarray(eye + rho * (1 - eye))
    times = np.arange(visits) if settings.covariance == "ar1" else days
    return np.asarray(rho ** np.abs(np.subtract.outer(times, times)))


def covariances(settings: TrialSettings, posterior: xr.Dataset, sds: Draws, days: np.ndarray, arm: int) -> Draws:
    """Return the covariance matrix of a patient's visits, draw by draw; of a multivariate t, its scale matrix.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws with dim ``sample``.
    sds
        As :func:`residual_sds` returns them.
    days
        When the patient's visits were, shape (visits,).
    arm
        The patient's arm.

    Returns
    -------
    numpy.ndarray
        Shape (samples, visits, visits).
    """
    sd = sds[:, arm]
    return correlations(settings, posterior, days, arm) * sd[:, :, None] * sd[:, None, :]


def patterns_of_visits(
    settings: TrialSettings, data: xr.Dataset, patients: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Put patients together who have one covariance matrix and observed the same visits.

    Parameters
    ----------
    settings
        The model's settings, which say whether days and arms matter.
    data
        The prepared trial.
    patients
        Places of the patients, rising.

    Yields
    ------
    patients : numpy.ndarray
        Places of those of one pattern, rising.
    is_observed : numpy.ndarray
        Which visits they have, shape (visits,).
    """
    is_observed, days, arm_of = ~np.isnan(data["outcome"].values), data["day"].values, data["arm_of"].values
    patterns: dict[tuple[Any, ...], list[int]] = {}
    for i in patients:
        by_day = days[i].tobytes() if settings.covariance == "spatial-power" else None
        key = (is_observed[i].tobytes(), by_day, int(arm_of[i]) if settings.by_arm else None)
        patterns.setdefault(key, []).append(int(i))
    for members in patterns.values():
        yield np.array(members), is_observed[members[0]]


def log_likelihood(settings: TrialSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Score every patient ever observed, directly: dense multivariate normal (or t) densities of those visits.

    Where a patient's moderator lies beyond its limit, the density is that of the outcomes given that it lies there: the
    mean over the moderator's distribution cut to the interval
    (:func:`~bayesdep.models.trial.censored_moderator.nodes_beyond_limits`).

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of its parameters.
    data
        The prepared trial.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, subject).
    """
    is_scored = (~np.isnan(data["outcome"].values)).any(axis=1)  # nothing can be predicted of the others
    coords = {"subject": data["subject"].values[is_scored]}

    def score(draws: xr.Dataset) -> xr.DataArray:
        scores = _scores(settings, draws, data)
        if is_latent(data):
            hidden = np.flatnonzero(np.isin(data["subject"].values, data["non_detect"].values))
            some = data.isel(subject=hidden)
            of_nodes = [
                _scores(settings, draws.assign({LATENT: (("sample", "non_detect"), logs)}), some) + log_weight
                for logs, log_weight in zip(*nodes_beyond_limits(draws, some), strict=True)
            ]
            scores[:, hidden] = special.logsumexp(of_nodes, axis=0)
        return xr.DataArray(scores[:, is_scored], coords, ("sample", "subject"))

    return over_draws(posterior, score, data["outcome"].size)


def _scores(settings: TrialSettings, draws: xr.Dataset, data: xr.Dataset) -> Draws:
    """Log densities of the outcomes given the moderator's values; 0 of patients never observed: (samples, subjects)."""
    outcome, days, arm_of = data["outcome"].values, data["day"].values, data["arm_of"].values
    is_scored = (~np.isnan(outcome)).any(axis=1)
    residual, sds = outcome - expected(settings, draws, data), residual_sds(draws, data)
    nu = draws["nu"].values[:, None] if settings.robust else None
    scores = np.zeros(residual.shape[:2])
    matrices: dict[int, Draws] = {}
    for patients, visits in patterns_of_visits(settings, data, np.flatnonzero(is_scored)):
        day, arm = days[patients[0]], int(arm_of[patients[0]])
        if settings.covariance == "spatial-power":  # patients of a pattern share their days, patterns seldom do
            matrix = covariances(settings, draws, sds, day, arm)
        else:
            key = arm if settings.by_arm else 0
            if key not in matrices:
                matrices[key] = covariances(settings, draws, sds, day, arm)
            matrix = matrices[key]
        root = np.linalg.cholesky(matrix[:, visits][:, :, visits])
        scores[:, patients] = _log_density(residual[:, patients][:, :, visits], root, nu)
    return scores


def _log_density(residual: Draws, root: Draws, nu: Draws | None) -> Draws:
    """Multivariate normal, or t, log densities.

    Shapes: ``residual`` (samples, patients, visits), ``root`` (samples, visits, visits), the Cholesky factor of their
    covariance or scale matrix, ``nu`` (samples, 1) or None.
    """
    n = residual.shape[-1]
    squares = (np.linalg.solve(root, np.swapaxes(residual, 1, 2)) ** 2).sum(axis=1)  # one factor for all patients
    log_det = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)[:, None]
    if nu is None:
        return np.asarray(-squares / 2 - log_det - n * np.log(2 * np.pi) / 2)
    constant = special.gammaln((nu + n) / 2) - special.gammaln(nu / 2) - n / 2 * np.log(nu * np.pi)
    return np.asarray(constant - log_det - (nu + n) / 2 * np.log1p(squares / nu))
