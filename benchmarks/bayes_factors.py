"""Calibration of Bayes factors: how often there is no effect where an analysis states a probability of none.

Run with ``python benchmarks/bayes_factors.py [DATA_SETS]`` (200 by default, about three minutes). It writes
``benchmarks/bayes_factors.csv`` and the tables in ``docs/evidence/bayes_factors.md``. Each data set is a meta-analysis
of six studies. In half of them the pooled effect is zero, in the others a draw from the model's own prior; the spread
between studies is a draw from its prior. A true Bayes factor then gives probabilities that are right on average within
any range of them (calibration of a yes-or-no quantity; Modrak et al. 2023, doi:10.1214/23-BA1404, for the idea).
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import bayesdep as bd
from bayesdep.criticism.bayes_factor import bayes_factor
from bayesdep.criticism.equivalence import check_equivalence

HERE = Path(__file__).parent
DOCUMENT = HERE.parent / "docs" / "evidence" / "bayes_factors.md"
MODEL = bd.Meta(measure="standardised-difference")
SE = np.array([0.15, 0.2, 0.25, 0.3, 0.35, 0.4])
BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0)
ROPE = bd.Rope(estimand="mu", margin=0.2, reason="a small standardised difference")


def draw(seed: int) -> tuple[pd.DataFrame, bool, float]:
    """Return a meta-analysis of six studies, whether its pooled effect is zero, and the pooled effect."""
    rng = np.random.default_rng(seed)
    is_null = bool(rng.random() < 0.5)
    mu = 0.0 if is_null else float(MODEL.priors["mu"].scipy.rvs(random_state=rng))
    tau = float(MODEL.priors["tau"].scipy.rvs(random_state=rng))
    effect = rng.normal(mu, np.sqrt(tau**2 + SE**2))
    return pd.DataFrame({"study": [f"study {k}" for k in range(len(SE))], "effect": effect, "se": SE}), is_null, mu


def one(seed: int, draws: int = 250) -> dict[str, float]:
    """Analyse one data set: the exact Bayes factor, that of draws by conditional densities, and the conclusion."""
    table, is_null, mu = draw(seed)
    fit = bd.fit(MODEL, table, draws=draws, chains=2, seed=seed)
    as_sampled = dataclasses.replace(fit, manifest=fit.manifest | {"sampler": "nutpie"})
    exact, sampled = (bayes_factor(f, "mu", {}) for f in (fit, as_sampled))
    usable = np.isfinite(sampled.value)
    concluded = check_equivalence(fit, ROPE).iloc[0]
    return {
        "seed": seed,
        "is_null": float(is_null),
        "mu": mu,
        "exact": exact.value / (1 + exact.value),
        "sampled": sampled.value / (1 + sampled.value) if usable else np.nan,
        "z": (sampled.value - exact.value) / sampled.error if usable else np.nan,
        "bound_holds": np.nan if usable else float(exact.value <= sampled.bound),
        "conclusion": concluded["conclusion"],
        "prob_inside": concluded["prob_inside"],
    }


def by_range(stated: np.ndarray, truth: np.ndarray) -> pd.DataFrame:
    """Return the share of true nulls by the stated probability of no effect."""
    place = np.clip(np.searchsorted(BINS, stated, side="right") - 1, 0, len(BINS) - 2)
    rows = []
    for k in range(len(BINS) - 1):
        here = place == k
        if here.any():
            mean = stated[here].mean()
            error = np.sqrt((stated[here] * (1 - stated[here])).sum()) / here.sum()
            rows.append({"stated": f"{BINS[k]:g} to {BINS[k + 1]:g}", "data_sets": int(here.sum()), "mean_stated": mean,
                         "share_true": truth[here].mean(), "error": error})  # fmt: skip
    return pd.DataFrame(rows)


def distance(stated: np.ndarray, truth: np.ndarray) -> float:
    """Return how far the number of true nulls is from the sum of stated probabilities, in standard errors."""
    return float((truth - stated).sum() / np.sqrt((stated * (1 - stated)).sum()))


def main(data_sets: int) -> None:
    """Analyse, and write the tables."""
    found = pd.DataFrame([one(seed) for seed in range(data_sets)])
    found.round(5).to_csv(HERE / "bayes_factors.csv", index=False)
    lines = report(found)
    DOCUMENT.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


def report(found: pd.DataFrame) -> list[str]:
    """Return the tables as lines of a document."""
    truth, stated = found["is_null"].to_numpy(), found["exact"].to_numpy()
    known = found["sampled"].notna()
    z = found.loc[known, "z"]
    n, away = len(found), distance(stated, truth)
    p = 2 * stats.norm.sf(abs(away))
    groups = (
        ("no effect", found["is_null"] == 1),
        ("an effect within the margin", (found["is_null"] == 0) & (found["mu"].abs() <= ROPE.ends[1])),
        ("an effect beyond it", found["mu"].abs() > ROPE.ends[1]),
    )
    bounds = f"which holds in {int((found['bound_holds'] == 1).sum())} of {int((~known).sum())}"
    conclusions = ("absent", "undecided", "present")
    return [
        "# Are Bayes factors calibrated?",
        "",
        f"`python benchmarks/bayes_factors.py {n}`. {n} synthetic meta-analyses of six studies; in half of them the",
        "pooled effect is zero, in the others a draw from its prior, N(0, 1).",
        "",
        "| stated probability of no effect | data sets | mean stated | share with none | standard error |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {r.stated} | {r.data_sets} | {r.mean_stated:.3f} | {r.share_true:.3f} | {r.error:.3f} |"
            for r in by_range(stated, truth).itertuples()
        ),
        "",
        f"Over all of them the number of true nulls is {away:+.1f} standard errors from the sum of the stated",
        f"probabilities (P {p:.2f}).",
        "",
        f"From 500 draws, by conditional densities: {int(known.sum())} of {n} have a number. Of these",
        f"{(z.abs() < 2).mean():.0%} lie within two of their Monte Carlo errors of the exact one; the root mean square",
        f"distance is {np.sqrt((z**2).mean()):.2f} errors. The others have an upper bound, {bounds}.",
        "",
        f"With the same priors, conclusions for a margin of {ROPE.ends[1]:g} at 0.95:",
        "",
        "| | absent | undecided | present |",
        "| --- | --- | --- | --- |",
        *(
            f"| {name} | "
            + " | ".join(str(int(found.loc[rows, "conclusion"].str.startswith(c).sum())) for c in conclusions)
            + " |"
            for name, rows in groups
        ),
        "",
    ]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
