"""Binomial studies with two or more arms, what belongs to the study integrated out."""

import itertools

import numpy as np
from scipy import special

from bayesdep.models.meta.arms import Arms
from bayesdep.models.meta.binomial_pair import log_marginal

# Quadrature nodes along each axis by the number of arms: three arms change by less than 1e-4 with more
# (tests/test_binomial_arms.py).
_NODES = {2: 21, 3: 15, 4: 9, 5: 7, 6: 5}
_FEWEST = 3
_CHUNK = 3_000_000  # numbers at once
_STEPS = 60


def log_marginal_of_studies(
    arms: Arms,
    mean: np.ndarray,
    tau: np.ndarray,
    baseline: tuple[np.ndarray, np.ndarray],
    rho: np.ndarray | None = None,
) -> np.ndarray:
    """Log-likelihood of each study, which is a control group and its treated arms, given only the parameters.

    Parameters
    ----------
    arms
        Counts, and which arms share a control group.
    mean
        Mean of each effect, shape (draws,) or (draws, effects).
    tau
        Spread of effects, shape (draws,).
    baseline
        Mean and standard deviation of the midpoints, shape (draws,).
    rho
        Correlation of midpoint and effect, shape (draws,); none unless given.

    Returns
    -------
    numpy.ndarray
        Shape (draws, groups).
    """
    mean = np.broadcast_to(mean if mean.ndim == 2 else mean[:, None], (len(mean), len(arms.group)))
    treated = np.bincount(arms.group, minlength=arms.groups)
    out = np.empty((len(mean), arms.groups))
    alone = np.flatnonzero(treated[arms.group] == 1)
    if len(alone):
        events, n = (arms.pairs(v)[alone] for v in (arms.events, arms.n))
        out[:, arms.group[alone]] = log_marginal(events, n, mean[:, alone], tau, baseline, rho)
    for g in np.flatnonzero(treated > 1):
        members = np.flatnonzero(arms.group == g)
        rows = np.concatenate([[g], arms.groups + members])
        out[:, g] = log_marginal_arms(arms.events[rows], arms.n[rows], mean[:, members], tau, baseline, rho)
    return out


def log_marginal_arms(
    events: np.ndarray,
    n: np.ndarray,
    mean: np.ndarray,
    tau: np.ndarray,
    baseline: tuple[np.ndarray, np.ndarray],
    rho: np.ndarray | None = None,
    *,
    nodes: int | None = None,
) -> np.ndarray:
    """Log-likelihood of one study with several treated arms, by adaptive Gauss-Hermite quadrature.

    Over the midpoint and the effects, whose normal distribution :class:`~bayesdep.models.meta.arms.Arms` states;
    centred at the integrand's mode and scaled by its curvature (Liu and Pierce 1994, doi:10.1093/biomet/81.3.624).

    Parameters
    ----------
    events, n
        Counts, the control group's first, shape (arms,).
    mean
        Mean of each effect, shape (draws, arms - 1).
    tau, baseline, rho
        As in :func:`log_marginal_of_studies`.
    nodes
        Along each axis; by the number of arms unless given.

    Returns
    -------
    numpy.ndarray
        Shape (draws,).
    """
    size = len(events)
    z, log_w = _nodes(size, nodes or _NODES.get(size, _FEWEST))
    step = max(1, _CHUNK // (len(z) * size))
    m, s = (np.broadcast_to(np.asarray(b, float), len(tau)) for b in baseline)
    r = np.zeros(len(tau)) if rho is None else rho
    parts = [slice(i, i + step) for i in range(0, len(tau), step)]
    found = [_log_marginal(events, n, mean[p], tau[p], m[p], s[p], r[p], z, log_w) for p in parts]
    choose = special.gammaln(n + 1) - special.gammaln(events + 1) - special.gammaln(n - events + 1)
    return np.concatenate(found) + choose.sum()


def _nodes(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (points, size) and log weights of the product rule against a standard normal's exponential."""
    z, w = np.polynomial.hermite_e.hermegauss(count)
    points = np.array(list(itertools.product(z, repeat=size)))
    weights = np.array(list(itertools.product(np.log(w), repeat=size))).sum(axis=1)
    return points, weights + (points**2).sum(axis=1) / 2


def _log_marginal(
    events: np.ndarray,
    n: np.ndarray,
    mean: np.ndarray,
    tau: np.ndarray,
    m: np.ndarray,
    s: np.ndarray,
    rho: np.ndarray,
    z: np.ndarray,
    log_w: np.ndarray,
) -> np.ndarray:
    """As :func:`log_marginal_arms`, for a few draws; log odds are ``design @ x``, x standard normal."""
    size, treated = len(events), len(events) - 1
    # x is the midpoint and one standard deviation an arm; log odds: midpoint, arms' means, deviations from their mean.
    # With a correlation the effects' mean moves with the midpoint by rho tau a sd of it.
    slope, rest = rho * tau, tau * np.sqrt((1 - rho**2) / 2)
    offset = np.hstack([-mean.mean(axis=1, keepdims=True) / 2, mean - mean.mean(axis=1, keepdims=True) / 2])
    sides = np.concatenate([[-0.5], np.full(treated, 0.5)])
    design = np.zeros((len(tau), size, size))
    offset = offset + m[:, None]
    design[:, :, 0] = s[:, None] + slope[:, None] * sides
    contrasts = _deviations(size)  # deviations of ``size`` exchangeable arms span ``size - 1`` directions
    design[:, :, 1:] = rest[:, None, None] * contrasts

    def log_joint(x: np.ndarray) -> np.ndarray:
        """Shape (..., draws) of x (..., draws, size)."""
        logit = np.einsum("dai,...di->...da", design, x) + offset
        counts = events * logit + n * special.log_expit(-logit)
        return counts.sum(-1) - (x**2).sum(-1) / 2 - size * np.log(2 * np.pi) / 2

    x = np.zeros((len(tau), size))
    height = log_joint(x)
    for _ in range(_STEPS):
        p = special.expit(np.einsum("dai,di->da", design, x) + offset)
        gradient = np.einsum("dai,da->di", design, events - n * p) - x
        curvature = np.einsum("dai,da,daj->dij", design, n * p * (1 - p), design) + np.eye(size)
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        by = np.ones(len(tau))
        for _ in range(30):
            proposed = log_joint(x + by[:, None] * step)
            worse = proposed < height - 1e-9 * np.abs(height)
            if not worse.any():
                break
            by = np.where(worse, by / 2, by)
        x, height = x + by[:, None] * step, np.maximum(proposed, height)
        if np.abs(step).max() < 1e-10:
            break
    p = special.expit(np.einsum("dai,di->da", design, x) + offset)
    curvature = np.einsum("dai,da,daj->dij", design, n * p * (1 - p), design) + np.eye(size)
    root = np.linalg.inv(np.linalg.cholesky(curvature)).transpose(0, 2, 1)  # root root' is the inverse
    values = log_joint(x + np.einsum("dij,qj->qdi", root, z)) + log_w[:, None]
    return np.asarray(special.logsumexp(values, axis=0) + np.linalg.slogdet(root)[1])


def _deviations(size: int) -> np.ndarray:
    """Root of the covariance of ``e - mean(e)`` of independent standard normal e, shape (size, size - 1)."""
    values, vectors = np.linalg.eigh(np.eye(size) - 1 / size)
    return np.asarray(vectors[:, 1:] * np.sqrt(values[1:]))
