"""Binomial studies with two or more arms, their midpoint and effects integrated out."""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import special

from bayesdep.models.meta.arms import Arms
from bayesdep.models.meta.binomial_pair import log_marginal

# Quadrature nodes along each axis by the number of arms: three arms change by less than 1e-4 with more
# (tests/test_binomial_arms.py).
_NODES = {2: 21, 3: 15, 4: 9, 5: 7, 6: 5}
_FEWEST = 3
_OF_ONE = 41  # nodes for one arm alone, twice as many where it has no events or nothing but events
_NUMBERS_AT_ONCE = 3_000_000
_NEWTON_STEPS = 60
_HALVINGS = 30  # of one Newton step


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
    log_likelihood = np.empty((len(mean), arms.groups))
    single = np.flatnonzero(treated[arms.group] == 1)
    if len(single):
        events, n = (arms.pairs(counts)[single] for counts in (arms.events, arms.n))
        log_likelihood[:, arms.group[single]] = log_marginal(events, n, mean[:, single], tau, baseline, rho)
    for g in np.flatnonzero(treated > 1):
        members = np.flatnonzero(arms.group == g)
        rows = np.concatenate([[g], arms.groups + members])
        counts = arms.events[rows], arms.n[rows]
        log_likelihood[:, g] = log_marginal_arms(*counts, mean[:, members], tau, baseline, rho)
    return log_likelihood


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
    step = max(1, _NUMBERS_AT_ONCE // (len(z) * size))
    m, s = (np.broadcast_to(np.asarray(b, float), len(tau)) for b in baseline)
    r = np.zeros(len(tau)) if rho is None else rho
    parts = [slice(i, i + step) for i in range(0, len(tau), step)]
    studies = [_Study.of(events, n, mean[part], tau[part], m[part], s[part], r[part]) for part in parts]
    each = [special.logsumexp(_weighted(study, z, log_w)[1], axis=1) for study in studies]
    return np.concatenate(each) + _log_choose(n, events)


@dataclass(frozen=True)
class NextArm:
    """The distribution of an arm's log odds given the counts of the study's earlier arms: a mixture of normals.

    Parameters
    ----------
    before
        Log probability of the earlier arms' counts, shape (draws,).
    location, weight
        Shape (draws, components).
    scale
        The same for all components, shape (draws,).
    """

    before: np.ndarray
    location: np.ndarray
    weight: np.ndarray
    scale: np.ndarray


def one_arm_after_another(
    events: np.ndarray,
    n: np.ndarray,
    mean: np.ndarray,
    tau: np.ndarray,
    baseline: tuple[np.ndarray, np.ndarray],
    rho: np.ndarray | None = None,
) -> list[NextArm]:
    """Predict every arm of a study from the arms before it, by the quadrature of :func:`log_marginal_arms` over these.

    Parameters
    ----------
    events, n, mean, tau, baseline, rho
        As :func:`log_marginal_arms` takes them; also of one treated arm.

    Returns
    -------
    list of NextArm
        The control group's first.
    """
    m, s = (np.broadcast_to(np.asarray(b, float), len(tau)) for b in baseline)
    whole = _Study.of(events, n, mean, tau, m, s, np.zeros(len(tau)) if rho is None else rho)
    # the lower triangular root of the covariance of log odds, of which each arm's own part is the last
    root = np.linalg.qr(np.swapaxes(whole.design, 1, 2), mode="r").transpose(0, 2, 1)
    nothing = np.zeros((len(tau), 1))
    found = [NextArm(nothing[:, 0], whole.offset[:, :1], nothing + 1, np.abs(root[:, 0, 0]))]
    for j in range(1, len(events)):
        earlier = _Study(events[:j], n[:j], root[:, :j, :j], whole.offset[:, :j])
        one_sided = bool(((earlier.events == 0) | (earlier.events == earlier.n)).any())
        count = (2 * _OF_ONE - 1 if one_sided else _OF_ONE) if j == 1 else _NODES.get(j, _FEWEST)
        z, log_w = _nodes(j, count)
        step = max(1, _NUMBERS_AT_ONCE // (len(z) * j))
        parts = [slice(i, i + step) for i in range(0, len(tau), step)]
        each = [_weighted(_Study(events[:j], n[:j], root[d, :j, :j], whole.offset[d, :j]), z, log_w) for d in parts]
        points, logs = (np.concatenate(x) for x in zip(*each, strict=True))
        total = special.logsumexp(logs, axis=1)
        location = whole.offset[:, j, None] + np.einsum("di,dqi->dq", root[:, j, :j], points)
        choose = _log_choose(earlier.n, earlier.events)
        weight = np.exp(logs - total[:, None])
        found.append(NextArm(total + choose, location, weight, np.abs(root[:, j, j])))
    return found


def _log_choose(n: np.ndarray, events: np.ndarray) -> float:
    return float((special.gammaln(n + 1) - special.gammaln(events + 1) - special.gammaln(n - events + 1)).sum())


def _nodes(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (points, size) and log weights of the product rule against a standard normal's exponential."""
    z, w = np.polynomial.hermite_e.hermegauss(count)
    points = np.array(list(itertools.product(z, repeat=size)))
    weights = np.array(list(itertools.product(np.log(w), repeat=size))).sum(axis=1)
    return points, weights + (points**2).sum(axis=1) / 2


@dataclass(frozen=True)
class _Study:
    """The integrand of :func:`log_marginal_arms`: log odds are ``design @ x + offset``, x standard normal.

    The first of x is the midpoint; the others are one standard deviation of the arms' deviations in each of the
    directions that these span.

    Parameters
    ----------
    events, n
        Counts, shape (arms,).
    design
        Shape (draws, arms, arms).
    offset
        Shape (draws, arms).
    """

    events: np.ndarray
    n: np.ndarray
    design: np.ndarray
    offset: np.ndarray

    @classmethod
    def of(
        cls,
        events: np.ndarray,
        n: np.ndarray,
        mean: np.ndarray,
        tau: np.ndarray,
        m: np.ndarray,
        s: np.ndarray,
        rho: np.ndarray,
    ) -> "_Study":
        """Write log odds as a linear function of standard normals; parameters as in :func:`log_marginal_arms`."""
        size = len(events)
        # with a correlation the effects' mean rises by rho tau per standard deviation of the midpoint
        slope, rest = rho * tau, tau * np.sqrt((1 - rho**2) / 2)
        average = mean.mean(axis=1, keepdims=True)
        sides = np.concatenate([[-0.5], np.full(size - 1, 0.5)])
        design = np.zeros((len(tau), size, size))
        design[:, :, 0] = s[:, None] + slope[:, None] * sides
        design[:, :, 1:] = rest[:, None, None] * _deviations(size)
        return cls(events, n, design, np.hstack([-average / 2, mean - average / 2]) + m[:, None])

    def log_joint(self, x: np.ndarray) -> np.ndarray:
        """Log of the integrand at x (..., draws, arms), without binomial coefficients; shape (..., draws)."""
        logit = np.einsum("dai,...di->...da", self.design, x) + self.offset
        counts = self.events * logit + self.n * special.log_expit(-logit)
        return np.asarray(counts.sum(-1) - (x**2).sum(-1) / 2 - len(self.events) * np.log(2 * np.pi) / 2)

    def derivatives(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient of :meth:`log_joint` at x (draws, arms), and the negative of its Hessian."""
        design, n = self.design, self.n
        p = special.expit(np.einsum("dai,di->da", design, x) + self.offset)
        gradient = np.einsum("dai,da->di", design, self.events - n * p) - x
        curvature = np.einsum("dai,da,daj->dij", design, n * p * (1 - p), design) + np.eye(len(n))
        return gradient, curvature

    def mode(self) -> np.ndarray:
        """Where the integrand is greatest, by Newton's method, the step halved until it rises; shape (draws, arms)."""
        x = np.zeros(self.offset.shape)
        height = self.log_joint(x)
        for _ in range(_NEWTON_STEPS):
            gradient, curvature = self.derivatives(x)
            step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
            size = np.ones(len(x))
            for _ in range(_HALVINGS):
                proposed = self.log_joint(x + size[:, None] * step)
                worse = proposed < height - 1e-9 * np.abs(height)
                if not worse.any():
                    break
                size = np.where(worse, size / 2, size)
            x, height = x + size[:, None] * step, np.maximum(proposed, height)
            if np.abs(step).max() < 1e-10:
                break
        return x


def _weighted(study: _Study, z: np.ndarray, log_w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of Gauss-Hermite quadrature around the mode, (draws, points, arms), and logs of weight times integrand."""
    x = study.mode()
    _, curvature = study.derivatives(x)
    root = np.linalg.inv(np.linalg.cholesky(curvature)).transpose(0, 2, 1)  # root root' is the inverse
    points = x + np.einsum("dij,qj->qdi", root, z)
    logs = study.log_joint(points) + log_w[:, None] + np.linalg.slogdet(root)[1]
    return points.transpose(1, 0, 2), logs.T


def _deviations(size: int) -> np.ndarray:
    """Root of the covariance of ``e - mean(e)`` of independent standard normal e, shape (size, size - 1)."""
    values, vectors = np.linalg.eigh(np.eye(size) - 1 / size)
    return np.asarray(vectors[:, 1:] * np.sqrt(values[1:]))
