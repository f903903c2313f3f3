"""What the prior on the horseshoe's global scale does to 18 interactions of which some matter.

Run with ``python benchmarks/horseshoe_scale.py`` (two minutes). It writes the table in
``docs/evidence/horseshoe_scale.md``. The estimates of the nine moderators of
``models/price2022/moderators_joint.toml`` at two times are taken as normal around the design's true interactions, with
the covariance that the design gives them; variances are known, so that only the prior on interactions is at work.
Posteriors are drawn by Gibbs sampling, all data sets at once, scales on grids of their logarithms. The same data sets
serve all priors.
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
from scipy import stats

from bayesdep.designs.price2022 import RHO_RESIDUAL, RHO_TIMES, draw_price2022
from bayesdep.designs.price2022_coefficients import RHO, TAU_A, TAU_B
from bayesdep.models.patient_meta.quadratic import as_quadratic

HERE = Path(__file__).parent
DOCUMENT = HERE.parent / "docs" / "evidence" / "horseshoe_scale.md"
SETS, SWEEPS, SEED = 60, 500, 1
RESIDUAL_SD, WIDE, SLAB = 0.9, 3.0, 0.5  # sds of the outcome
LOG_SCALE, LOG_PRECISION = np.linspace(-7, 9, 65), np.linspace(-3, 6, 37)
HALF_CAUCHY = LOG_SCALE - np.log1p(np.exp(2 * LOG_SCALE))  # log densities of the logarithm
GLOBAL = {
    "half-Cauchy(1)": HALF_CAUCHY,
    "log-normal(0, 0.5), the default": -(LOG_SCALE**2) / (2 * 0.5**2),
    "fixed at 1": np.where(np.abs(LOG_SCALE) < 1e-9, 0.0, -np.inf),
}


def at_the_design() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the true interactions, their estimates' covariance and their standard errors by design, time by time."""
    spec = importlib.util.spec_from_file_location("price", HERE / "price.py")
    assert spec is not None
    assert spec.loader is not None
    price = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(price)
    model = price.ways()["plan as shipped"]
    made = draw_price2022(np.random.default_rng([2022, 1000]))
    data = model.prepare(made.table)
    between = np.array([[TAU_A**2, RHO * TAU_A * TAU_B], [RHO * TAU_A * TAU_B, TAU_B**2]])
    root = np.linalg.cholesky(np.kron([[1, RHO_TIMES], [RHO_TIMES, 1]], between))
    sd = np.full((1, data.sizes["study"], 2), RESIDUAL_SD)
    precision = as_quadratic(root[None], np.array([RHO_RESIDUAL]), sd, data)[0][0].sum(axis=0)
    covariance = np.linalg.inv(precision + np.eye(len(precision)) / WIDE**2)
    parts, each = data.sizes["part"], len(precision) // 2
    kept = np.concatenate([np.arange(t * each + each - parts, t * each + each) for t in (0, 1)])
    moderator, unit = data["moderator"].values, data["scale"].values
    truth = [
        made.truth["interaction"][time].get(m, 0.0) * u * made.truth["sd"] / sd
        for time, sd in zip(data["time"].values, data["outcome_sd"].values, strict=True)
        for m, u in zip(moderator, unit, strict=True)
    ]
    return np.array(truth), covariance[np.ix_(kept, kept)], data["interaction_error"].values.T.ravel()


def posterior(
    y: np.ndarray, covariance: np.ndarray, tau0: np.ndarray, global_prior: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw interactions (sweep, data set, interaction) given their estimates (data set, interaction)."""
    sets, count = y.shape
    inverse = np.linalg.inv(covariance)
    told, eye = y @ inverse, np.eye(count)
    local, whole, precision = np.zeros((sets, count)), np.zeros(sets), np.full(sets, -2 * np.log(SLAB))
    kept = []

    def one_of(log_weight: np.ndarray) -> np.ndarray:
        weight = np.exp(log_weight - log_weight.max(axis=-1, keepdims=True)).cumsum(axis=-1)
        return np.asarray((weight < rng.random(weight.shape[:-1])[..., None] * weight[..., -1:]).sum(axis=-1))

    def log_normal(beta: np.ndarray, log_width: np.ndarray, log_precision: np.ndarray) -> np.ndarray:
        wide = np.exp(2 * log_width)
        variance = wide / (1 + np.exp(log_precision) * wide)
        return -np.log(variance) / 2 - beta**2 / (2 * variance)

    for sweep in range(SWEEPS):
        wide = np.exp(2 * (local + whole[:, None])) * tau0**2
        variance = wide / (1 + np.exp(precision)[:, None] * wide)
        both = inverse + eye / np.maximum(variance, 1e-12)[:, None]
        noise = np.linalg.solve(np.swapaxes(np.linalg.cholesky(both), 1, 2), rng.normal(size=(sets, count, 1)))
        beta = (np.linalg.solve(both, told[..., None]) + noise)[..., 0]
        if sweep >= SWEEPS // 4:
            kept.append(beta)
        size = beta[:, :, None]
        of_local = LOG_SCALE + (whole[:, None] + np.log(tau0))[:, :, None]
        local = LOG_SCALE[one_of(HALF_CAUCHY + log_normal(size, of_local, precision[:, None, None]))]
        of_whole = (local + np.log(tau0))[:, :, None] + LOG_SCALE
        whole = LOG_SCALE[one_of(global_prior + log_normal(size, of_whole, precision[:, None, None]).sum(axis=1))]
        width = (local + whole[:, None] + np.log(tau0))[:, :, None]
        slab = 2 * LOG_PRECISION - 2 * SLAB**2 * np.exp(LOG_PRECISION)  # Student's t with 4 degrees of freedom
        precision = LOG_PRECISION[one_of(slab + log_normal(size, width, LOG_PRECISION).sum(axis=1))]
    return np.array(kept)


def measured(truth: np.ndarray, draws: np.ndarray) -> list[str]:
    """Coverage of all (standard error), of those that matter and the others, and the root mean squared error."""
    lower, upper = np.quantile(draws, [0.025, 0.975], axis=0)
    inside, away = (lower <= truth) & (truth <= upper), draws.mean(axis=0) - truth
    of_those = f"{inside[:, truth != 0].mean():.2f}" if truth.any() else "-"
    return [f"{inside.mean():.3f} ({stats.sem(inside.mean(axis=1)):.3f})", of_those,
            f"{inside[:, truth == 0].mean():.3f}", f"{np.sqrt((away**2).mean()):.3f}"]  # fmt: skip


def rows(sets: int) -> list[list[str]]:
    """Return the table, a row for each truth, expectation and prior."""
    design, covariance, error = at_the_design()
    few = np.where(np.abs(design) >= np.sort(np.abs(design))[-3], design, 0.0)
    root, found = np.linalg.cholesky(covariance), []
    for name, truth in (("8, the design's", design), ("3, the largest of these", few), ("none", 0 * design)):
        y = truth + np.random.default_rng(SEED).normal(size=(sets, len(truth))) @ root.T
        for expected in (8, 3):
            for prior, density in GLOBAL.items():
                tau0 = error * expected / (len(truth) - expected)
                draws = posterior(y, covariance, tau0, density, np.random.default_rng(SEED + 1))
                found.append([name, str(expected), prior, *measured(truth, draws)])
                print(" | ".join(found[-1]), flush=True)
    return found


def main() -> None:
    """Run the study and write its table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=SETS)
    heads = ["that matter", "expected", "prior on the global scale", "coverage of all (se)", "of those that matter",
             "of the others", "RMSE"]  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|---|---:|---|---:|---:|---:|---:|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows(parser.parse_args().sets)]
    before, rest = DOCUMENT.read_text(encoding="utf-8").split("<!-- PRIORS -->", 1)
    after = rest.split("<!-- END -->", 1)[1]
    text = f"{before}<!-- PRIORS -->\n" + "\n".join(lines) + f"\n<!-- END -->{after}"
    DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
