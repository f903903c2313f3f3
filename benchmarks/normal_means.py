"""What pooling can attain: normal means with known errors of which a few differ, by sums on grids.

Run ``python benchmarks/normal_means.py [data sets]`` (an hour of one core); it adds a row to ``normal_means.csv`` as
each is done, and goes on from there when it is run again. Units have a standard error of 0.2 on the log scale, as an
analyte of 26 and 33 people has, and those that differ all lie on one side, by
4.5, 2 or 1.8 of it. Priors are those of a panel (``bayesdep.Cytokines``): the mean over units is unknown, N(0, 1.5),
the spread N+(1), degrees of freedom Gamma(2, 0.1) above 2; the horseshoe expects the true number of units.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special, stats

ERROR = 0.2
STEP = 0.05
DEVIATION = np.arange(-24, 24 + STEP / 2, STEP)  # of an effect from the mean; all in standard errors
MEAN = np.linspace(-1, 2, 61)
TRUTHS = {"5 of 41": (41, 5), "8 of 82": (82, 8)}
LAWS = ("normal", "student", "horseshoe", "none")
_EDGES = np.r_[-np.inf, (DEVIATION[1:] + DEVIATION[:-1]) / 2, np.inf]
_KEPT = 1e-4  # of the posterior of mean and scales, what is left out


@dataclass(frozen=True)
class Grid:
    """A law of deviations: probabilities of cells (deviation, scales), marginal densities, log prior of the scales."""

    cells: np.ndarray
    marginal: np.ndarray
    log_prior: np.ndarray

    @classmethod
    def of(cls, law: str, units: int, differ: int) -> "Grid":
        """Put a law's scales on a grid."""
        if law == "horseshoe":
            scale = differ / (units - differ)
            tau = np.geomspace(0.003, 30, 50)
            local = np.tan(np.pi / 2 * (np.arange(150) + 0.5) / 150)  # equal shares of the half-Cauchy
            slab = 1 / ERROR
            spread = tau[:, None] * local / np.sqrt(1 + (tau[:, None] * local / slab) ** 2)
            cells = np.stack([np.diff(special.ndtr(_EDGES[:, None] / s), axis=0).mean(axis=1) for s in spread], axis=1)
            log_prior = stats.halfcauchy.logpdf(tau, scale=scale) + np.log(tau)
        else:
            tau = np.geomspace(0.03, 20, 40)
            log_prior = stats.halfnorm.logpdf(tau, scale=1 / ERROR) + np.log(tau)
            cells = np.diff(special.ndtr(_EDGES[:, None] / tau), axis=0)
            if law == "student":
                nu = np.geomspace(2, 80, 12)
                cells = np.concatenate([np.diff(stats.t.cdf(_EDGES[:, None] / tau, v), axis=0) for v in nu], axis=1)
                log_prior = np.concatenate([log_prior + stats.gamma.logpdf(v, 2, scale=10) + np.log(v) for v in nu])
        noise = np.exp(-((DEVIATION[:, None] - DEVIATION) ** 2) / 2) / np.sqrt(2 * np.pi)
        return cls(cells, noise @ cells, log_prior)

    def posterior(self, y: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return each unit's posterior mean, and its posterior probability of lying below the truth."""
        place = (y[:, None] - MEAN - DEVIATION[0]) / STEP
        low = np.clip(place.astype(int), 0, len(DEVIATION) - 2)
        share = (place - low)[..., None]
        density = (1 - share) * self.marginal[low] + share * self.marginal[low + 1]  # unit, mean, scales
        log_weight = np.log(density).sum(axis=0) + self.log_prior - (MEAN[:, None] * ERROR / 1.5) ** 2 / 2
        weight = special.softmax(log_weight)
        order = np.argsort(weight, axis=None)[::-1]
        order = order[: 1 + int(np.searchsorted(np.cumsum(weight.ravel()[order]), 1 - _KEPT))]
        mean, below, total = np.zeros(len(y)), np.zeros(len(y)), weight.ravel()[order].sum()
        for k in set(order // weight.shape[1]):  # one mean after the other
            of = order[order // weight.shape[1] == k] % weight.shape[1]
            likelihood = np.exp(-((y[:, None] - MEAN[k] - DEVIATION) ** 2) / 2) / np.sqrt(2 * np.pi)
            joint = likelihood * ((weight[k, of] / (likelihood @ self.cells[:, of])) @ self.cells[:, of].T)
            mean += joint @ (MEAN[k] + DEVIATION)
            cdf = np.cumsum(joint, axis=1) - joint / 2
            below += [np.interp(t - MEAN[k], DEVIATION, c) for t, c in zip(truth, cdf, strict=True)]
        return mean / total, below / total


def judged(law: str, units: int, differ: int, distance: float, sets: int, seed: int) -> dict[str, float]:
    """Return coverage of those that differ and of the others, sign errors among the former, and RMSE."""
    grid = None if law == "none" else Grid.of(law, units, differ)
    truth = np.r_[np.full(differ, distance), np.zeros(units - differ)]
    covered, wrong, squared = [], [], []
    for k in range(sets):
        y = truth + np.random.default_rng([seed, k]).normal(size=units)
        mean, below = (y, special.ndtr(truth - y)) if grid is None else grid.posterior(y, truth)
        covered.append((below > 0.025) & (below < 0.975))
        wrong.append((mean[:differ] < 0).mean())
        squared.append(((mean - truth) ** 2).mean())
    share = np.array(covered)
    each = share[:, :differ].mean(axis=1)
    return {
        "covers_differing": each.mean(),
        "mc_error": each.std(ddof=1) / np.sqrt(sets),
        "covers_others": share[:, differ:].mean(),
        "covers_all": share.mean(),
        "wrong_sign": float(np.mean(wrong)),
        "rmse_in_errors": float(np.sqrt(np.mean(squared))),
    }


def main() -> None:
    """Print and write every combination."""
    sets = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    at = Path(__file__).with_suffix(".csv")
    rows = pd.read_csv(at).to_dict("records") if at.exists() else []
    done = {(row["truth"], row["distance"], row["effects"]) for row in rows if row["data_sets"] == sets}
    for name, (units, differ) in TRUTHS.items():
        for distance in (4.5, 2.0, 1.8):
            for law in LAWS:
                if (name, distance, law) in done:
                    continue
                found = judged(law, units, differ, distance, sets, seed=1)
                rows.append({"truth": name, "distance": distance, "effects": law, "data_sets": sets, **found})
                print({k: round(float(v), 3) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)
                pd.DataFrame(rows).to_csv(at, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
