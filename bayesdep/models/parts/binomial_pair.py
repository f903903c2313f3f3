"""Two binomial arms with the study's own baseline and effect integrated out, for leave-one-study-out."""

import numpy as np
from scipy import special, stats

_NEWTON_STEPS = 50
_CHUNK = 2_000_000  # quadrature points evaluated at once: bounds memory at some 100 MB


def log_marginal(
    events: np.ndarray,
    n: np.ndarray,
    mu: np.ndarray,
    tau: np.ndarray,
    baseline: tuple[float, float],
    *,
    nodes: int = 21,
) -> np.ndarray:
    r"""Log-likelihood of each study given only the pooled effect and its spread.

    .. math:: \log \int\!\!\int \mathrm{Bin}(e_0 \mid n_0, \mathrm{expit}\,a)\,
              \mathrm{Bin}(e_1 \mid n_1, \mathrm{expit}(a + \theta))\, N(a \mid m, s)\,
              N(\theta \mid \mu, \tau)\, da\, d\theta

    by Gauss-Hermite quadrature on both axes, centred at the integrand's mode and scaled by its curvature
    (Liu and Pierce 1994, doi:10.1093/biomet/81.3.624), in log space. Where an arm has no events, or nothing but
    events, the integrand has one long tail, and twice the nodes are used.

    Parameters
    ----------
    events, n
        Counts of shape (studies, 2): control, treated.
    mu, tau
        Draws of shape (draws,).
    baseline
        Mean and standard deviation of the normal prior on a study's control log odds.
    nodes
        Quadrature nodes per axis, for studies with events and non-events in both arms.

    Returns
    -------
    numpy.ndarray
        Shape (draws, studies).
    """
    out = np.empty((len(mu), len(events)))
    one_sided = ((events == 0) | (events == n)).any(axis=1)
    for studies, count in ((~one_sided, nodes), (one_sided, 2 * nodes - 1)):
        if not studies.any():
            continue
        step = max(1, _CHUNK // (studies.sum() * count**2))
        for start in range(0, len(mu), step):
            part = slice(start, start + step)
            out[part, studies] = _log_marginal(events[studies], n[studies], mu[part], tau[part], baseline, count)
    return out


def _log_marginal(
    events: np.ndarray,
    n: np.ndarray,
    mu: np.ndarray,
    tau: np.ndarray,
    baseline: tuple[float, float],
    nodes: int,
) -> np.ndarray:
    (e0, e1), (n0, n1) = events.T, n.T
    mu, tau = mu[:, None], tau[:, None]
    m, s = baseline

    def log_joint(a: np.ndarray, theta: np.ndarray) -> np.ndarray:
        arms = e0 * a + n0 * special.log_expit(-a) + e1 * (a + theta) + n1 * special.log_expit(-a - theta)
        return arms + stats.norm.logpdf(a, m, s) + stats.norm.logpdf(theta, mu, tau)

    # The mode, by Newton's method with the step halved until it ascends (the integrand is log-concave).
    a = np.broadcast_to(special.logit((e0 + 0.5) / (n0 + 1)), (len(mu), len(events))).copy()
    theta = np.broadcast_to(mu, a.shape).copy()
    height = log_joint(a, theta)
    for _ in range(_NEWTON_STEPS):
        (ga, gt), (haa, hat, htt) = _derivatives(events, n, a, theta, mu, tau, m, s)
        determinant = haa * htt - hat**2
        da, dt = (htt * ga - hat * gt) / determinant, (haa * gt - hat * ga) / determinant
        size = np.ones_like(a)
        for _ in range(30):
            proposed = log_joint(a + size * da, theta + size * dt)
            worse = proposed < height - 1e-9 * np.abs(height)
            if not worse.any():
                break
            size = np.where(worse, size / 2, size)
        a, theta, height = a + size * da, theta + size * dt, np.maximum(proposed, height)
        if max(np.abs(da).max(), np.abs(dt).max()) < 1e-10:
            break

    _, (haa, hat, htt) = _derivatives(events, n, a, theta, mu, tau, m, s)
    # Cholesky factor of the inverse of [[haa, hat], [hat, htt]]: (a, theta) = mode + L z
    l_tt = 1 / np.sqrt(htt)
    l_aa = 1 / np.sqrt(haa - hat**2 / htt)
    l_ta = -hat / htt * l_aa
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    z1, z2 = (g[..., None, None] for g in np.meshgrid(z, z, indexing="ij"))
    log_w = np.log(w[:, None] * w[None, :])[..., None, None]
    values = log_joint(a + l_aa * z1, theta + l_ta * z1 + l_tt * z2) + (z1**2 + z2**2) / 2 + log_w
    integral = special.logsumexp(values, axis=(0, 1)) + np.log(l_aa) + np.log(l_tt)
    return integral + _log_choose(n0, e0) + _log_choose(n1, e1)


def _derivatives(
    events: np.ndarray,
    n: np.ndarray,
    a: np.ndarray,
    theta: np.ndarray,
    mu: np.ndarray,
    tau: np.ndarray,
    m: float,
    s: float,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Gradient of the log integrand, and the negative of its Hessian."""
    (e0, e1), (n0, n1) = events.T, n.T
    p0, p1 = special.expit(a), special.expit(a + theta)
    treated = e1 - n1 * p1
    gradient = (e0 - n0 * p0 + treated - (a - m) / s**2, treated - (theta - mu) / tau**2)
    v0, v1 = n0 * p0 * (1 - p0), n1 * p1 * (1 - p1)
    return gradient, (v0 + v1 + 1 / s**2, v1, v1 + 1 / tau**2)


def _log_choose(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    return special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
