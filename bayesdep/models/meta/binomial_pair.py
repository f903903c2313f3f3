"""One or two binomial arms, their study's midpoint and effect integrated out, for leave-one-study-out."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from bayesdep.numerics.normal import log_normal

_NEWTON_STEPS = 50
_HALVINGS = 30  # of one Newton step
_CONVERGED = 1e-10  # a Newton step after which the mode is known
_POINTS_AT_ONCE = 2_000_000  # quadrature points: bounds memory at some 100 MB


def log_marginal(
    events: np.ndarray,
    n: np.ndarray,
    mu: np.ndarray,
    tau: np.ndarray,
    baseline: tuple[float | np.ndarray, float | np.ndarray],
    rho: np.ndarray | None = None,
    *,
    nodes: int = 21,
) -> np.ndarray:
    r"""Log-likelihood of each study given only the pooled effect and its spread.

    .. math:: \log \int\!\!\int \mathrm{Bin}(e_0 \mid n_0, \mathrm{expit}(a - \theta/2))\,
              \mathrm{Bin}(e_1 \mid n_1, \mathrm{expit}(a + \theta/2))\,
              N_2(a, \theta \mid m, s, \mu, \tau, \rho)\, da\, d\theta

    by Gauss-Hermite quadrature on both axes, centred at the integrand's mode and scaled by its curvature
    (Liu and Pierce 1994, doi:10.1093/biomet/81.3.624), in log space. Where an arm has no events, or nothing but
    events, the integrand has one long tail, and twice the nodes are used.

    Parameters
    ----------
    events, n
        Counts of shape (studies, 2): control, treated.
    mu, tau
        Draws of shape (draws,); ``mu`` also (draws, studies), where covariates give every study its own.
    baseline
        Mean and standard deviation of the normal distribution of a study's midpoint, the average of its two log odds;
        numbers, or (draws,).
    rho
        Correlation of midpoint and effect, shape (draws,); none unless given.
    nodes
        Quadrature nodes per axis, for studies with events and non-events in both arms.

    Returns
    -------
    numpy.ndarray
        Shape (draws, studies).
    """
    log_likelihood = np.empty((len(mu), len(events)))
    mu = _by_study(mu, len(events))
    m, s = (np.broadcast_to(np.asarray(b, float), len(mu)) for b in baseline)
    r = np.zeros(len(mu)) if rho is None else rho
    one_sided = ((events == 0) | (events == n)).any(axis=1)
    for studies, count in ((~one_sided, nodes), (one_sided, 2 * nodes - 1)):
        if not studies.any():
            continue
        step = max(1, _POINTS_AT_ONCE // (studies.sum() * count**2))
        for start in range(0, len(mu), step):
            part = slice(start, start + step)
            parameters = (values[part, None] for values in (tau, m, s, r))
            pair = _Pair(events[studies], n[studies], mu[part][:, studies], *parameters)
            log_likelihood[part, studies] = _integral(pair, count)
    return log_likelihood


@dataclass(frozen=True)
class _Pair:
    """The integrand of :func:`log_marginal`, a function of midpoints a and effects theta, of shape (draws, studies).

    Parameters
    ----------
    events, n
        Shape (studies, 2).
    mu
        Mean of the effects, shape (draws, studies).
    tau, m, s, rho
        Their spread, mean and spread of the midpoints, and the correlation of both, shape (draws, 1).
    """

    events: np.ndarray
    n: np.ndarray
    mu: np.ndarray
    tau: np.ndarray
    m: np.ndarray
    s: np.ndarray
    rho: np.ndarray

    def log_joint(self, a: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Log of the integrand, without binomial coefficients."""
        (e0, e1), (n0, n1) = self.events.T, self.n.T
        x0, x1 = a - theta / 2, a + theta / 2
        arms = e0 * x0 + n0 * special.log_expit(-x0) + e1 * x1 + n1 * special.log_expit(-x1)
        unexplained = 1 - self.rho**2
        za, zt = (a - self.m) / self.s, (theta - self.mu) / self.tau
        square = (za**2 - 2 * self.rho * za * zt + zt**2) / (2 * unexplained)
        return arms - square - np.log(2 * np.pi * self.s * self.tau * np.sqrt(unexplained))

    def derivatives(
        self, a: np.ndarray, theta: np.ndarray
    ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Gradient of :meth:`log_joint`, and the negative of its Hessian's three entries."""
        (e0, e1), (n0, n1) = self.events.T, self.n.T
        s, tau, rho = self.s, self.tau, self.rho
        unexplained = 1 - rho**2
        za, zt = (a - self.m) / s, (theta - self.mu) / tau
        p0, p1 = special.expit(a - theta / 2), special.expit(a + theta / 2)
        r0, r1 = e0 - n0 * p0, e1 - n1 * p1
        gradient = (
            r0 + r1 - (za - rho * zt) / (s * unexplained),
            (r1 - r0) / 2 - (zt - rho * za) / (tau * unexplained),
        )
        v0, v1 = n0 * p0 * (1 - p0), n1 * p1 * (1 - p1)
        both = (v1 - v0) / 2 - rho / (s * tau * unexplained)
        return gradient, (v0 + v1 + 1 / (s**2 * unexplained), both, (v0 + v1) / 4 + 1 / (tau**2 * unexplained))

    def mode(self) -> tuple[np.ndarray, np.ndarray]:
        """Midpoints and effects where the integrand is greatest.

        By Newton's method, the step halved until the integrand, which is log-concave, rises.
        """
        (e0, e1), (n0, n1) = self.events.T, self.n.T
        middle = (special.logit((e0 + 0.5) / (n0 + 1)) + special.logit((e1 + 0.5) / (n1 + 1))) / 2
        a = np.broadcast_to(middle, self.mu.shape).copy()
        theta = self.mu.copy()
        height = self.log_joint(a, theta)
        for _ in range(_NEWTON_STEPS):
            (ga, gt), (haa, hat, htt) = self.derivatives(a, theta)
            determinant = haa * htt - hat**2
            da, dt = (htt * ga - hat * gt) / determinant, (haa * gt - hat * ga) / determinant
            size = np.ones_like(a)
            for _ in range(_HALVINGS):
                proposed = self.log_joint(a + size * da, theta + size * dt)
                worse = proposed < height - 1e-9 * np.abs(height)
                if not worse.any():
                    break
                size = np.where(worse, size / 2, size)
            a, theta, height = a + size * da, theta + size * dt, np.maximum(proposed, height)
            if max(np.abs(da).max(), np.abs(dt).max()) < _CONVERGED:
                break
        return a, theta


def _integral(pair: _Pair, nodes: int) -> np.ndarray:
    """Log of the integral by Gauss-Hermite quadrature around the mode, shape (draws, studies)."""
    a, theta = pair.mode()
    _, (haa, hat, htt) = pair.derivatives(a, theta)
    # Cholesky factor of the inverse of [[haa, hat], [hat, htt]]: (a, theta) = mode + L z
    l_tt = 1 / np.sqrt(htt)
    l_aa = 1 / np.sqrt(haa - hat**2 / htt)
    l_ta = -hat / htt * l_aa
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    z1, z2 = (g[..., None, None] for g in np.meshgrid(z, z, indexing="ij"))
    log_w = np.log(w[:, None] * w[None, :])[..., None, None]
    values = pair.log_joint(a + l_aa * z1, theta + l_ta * z1 + l_tt * z2) + (z1**2 + z2**2) / 2 + log_w
    integral = special.logsumexp(values, axis=(0, 1)) + np.log(l_aa) + np.log(l_tt)
    (e0, e1), (n0, n1) = pair.events.T, pair.n.T
    return np.asarray(integral + _log_choose(n0, e0) + _log_choose(n1, e1))


def log_marginal_single(
    events: np.ndarray, n: np.ndarray, mu: np.ndarray, tau: np.ndarray, *, nodes: int = 41
) -> np.ndarray:
    r"""Log-likelihood of each single-arm study given only the pooled log odds and their spread.

    .. math:: \log \int \mathrm{Bin}(e \mid n, \mathrm{expit}\,\theta)\, N(\theta \mid \mu, \tau)\, d\theta

    by Gauss-Hermite quadrature, as in :func:`log_marginal`.

    Parameters
    ----------
    events, n
        Counts of shape (studies,).
    mu, tau
        Draws of shape (draws,); ``mu`` also (draws, studies).
    nodes
        Quadrature nodes, for studies with events and non-events; others get twice as many.

    Returns
    -------
    numpy.ndarray
        Shape (draws, studies).

    Examples
    --------
    >>> one = log_marginal_single(np.array([3]), np.array([9]), np.array([0.0]), np.array([1e-6]))
    >>> round(float(one[0, 0]), 6)  # no spread: a coin's, log(84 / 512)
    -1.807508
    """
    mu, tau = _by_study(mu, len(events)), tau[:, None]

    def log_joint(theta: np.ndarray) -> np.ndarray:
        counts = events * theta + n * special.log_expit(-theta)
        return np.asarray(counts + log_normal(theta, mu, tau))

    # Newton's method on a log-concave function with bounded curvature, from where its derivative has changed sign
    theta = np.clip(special.logit((events + 0.5) / (n + 1)), np.minimum(mu, 30), np.maximum(mu, -30))
    for _ in range(_NEWTON_STEPS):
        p = special.expit(theta)
        slope = events - n * p - (theta - mu) / tau**2
        step = slope / (n * p * (1 - p) + 1 / tau**2)
        step = np.clip(step, -2, 2)  # where the curvature is nearly nothing a step would overshoot
        theta = theta + step
        if np.abs(step).max() < _CONVERGED:
            break
    p = special.expit(theta)
    scale = 1 / np.sqrt(n * p * (1 - p) + 1 / tau**2)
    z, w = np.polynomial.hermite_e.hermegauss(2 * nodes - 1 if ((events == 0) | (events == n)).any() else nodes)
    values = log_joint(theta + scale * z[:, None, None]) + (z**2 / 2 + np.log(w))[:, None, None]
    return np.asarray(special.logsumexp(values, axis=0) + np.log(scale) + _log_choose(n, events))


def _by_study(mu: np.ndarray, studies: int) -> np.ndarray:
    """The mean of every study, shape (draws, studies)."""
    return np.broadcast_to(mu if mu.ndim == 2 else mu[:, None], (len(mu), studies))


def _log_choose(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    return special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
