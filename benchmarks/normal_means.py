"""What pooling can attain: 82 normal means of which 8 differ, each known with standard error 1, by sums on grids.

Run ``python benchmarks/normal_means.py [data sets]``. The location is known to be zero, as the mean of many units
nearly is; scales have half-Cauchy priors of width 1 (for the horseshoe its global one, 8/74).
"""

import sys

import numpy as np
from scipy import special, stats

UNITS, DIFFER = 82, 8
THETA = np.linspace(-14, 14, 1121)


def prior_densities(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of the grid of effects by hyperparameter, and the hyperparameters' log weights."""
    tau = np.geomspace(0.01, 20, 60)
    width = DIFFER / (UNITS - DIFFER) if kind == "horseshoe" else 1.0
    weight = stats.halfcauchy.logpdf(tau, scale=width) + np.log(tau)
    edges = np.r_[-np.inf, (THETA[1:] + THETA[:-1]) / 2, np.inf]
    if kind == "normal":
        return np.diff(special.ndtr(edges[:, None] / tau), axis=0), weight
    if kind == "student":
        nu = np.geomspace(2, 60, 15)
        cells = [np.diff(stats.t.cdf(edges[:, None] / tau, v), axis=0) for v in nu]
        more = [weight + stats.gamma.logpdf(v, 2, scale=10) + np.log(v) for v in nu]
        return np.concatenate(cells, axis=1), np.concatenate(more)
    local = np.tan(np.pi / 2 * (np.arange(200) + 0.5) / 200)  # equal shares of the half-Cauchy
    cells = np.stack([np.diff(special.ndtr(edges[:, None] / (t * local)), axis=0).mean(axis=1) for t in tau], axis=1)
    return cells, weight


def covered(sets: int, distance: float, kind: str, seed: int = 1) -> tuple[float, float, float]:
    """Return coverage of those that differ and of the others by 95% intervals, and the root mean squared error."""
    rng = np.random.default_rng(seed)
    truth = np.r_[np.full(DIFFER, distance) * rng.choice([-1, 1], DIFFER), np.zeros(UNITS - DIFFER)]
    prior, weight = prior_densities(kind)
    hits, errors = [], []
    for _ in range(sets):
        y = truth + rng.normal(size=UNITS)
        likelihood = np.exp(-((y[:, None] - THETA) ** 2) / 2)
        marginal = likelihood @ prior
        share = special.softmax(weight + np.log(marginal).sum(axis=0))
        density = likelihood * ((share / marginal) @ prior.T)
        cdf = np.cumsum(density, axis=1) / density.sum(axis=1, keepdims=True)
        at = np.array([np.interp(t, THETA, c - np.diff(c, prepend=0) / 2) for t, c in zip(truth, cdf, strict=True)])
        hits.append((at > 0.025) & (at < 0.975))
        errors.append((density @ THETA / density.sum(axis=1) - truth) ** 2)
    share_of = np.mean(hits, axis=0)
    return share_of[:DIFFER].mean(), share_of[DIFFER:].mean(), float(np.sqrt(np.mean(errors)))


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for away in (4.5, 1.8):
        for law in ("normal", "student", "horseshoe"):
            differ, same, rmse = covered(number, away, law)
            print(f"{away} se, {law:9s}: covers {differ:.2f} (others {same:.2f}), RMSE {rmse:.2f}")
