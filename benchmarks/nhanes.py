"""What half the limit does on real data: hs-CRP of American adults, the limit of detection raised step by step.

Run with ``make nhanes DATA=nhanes_j_adults_crp_phq9.csv`` (NHANES 2017-2018, columns as in
``models/benchmarks/nhanes_crp.toml``; two minutes). Natural non-detects are few (0.2%), so the whole data are nearly
the truth: with the limit raised, numbers below it become non-detects, and every way of treating them is held against
what it said before. It writes ``benchmarks/nhanes.csv`` and ``docs/figures/nhanes.png``.
"""

import argparse
import dataclasses
import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import bayesdep as bd
from bayesdep.inference.sample import sample_posterior
from bayesdep.numerics.distributions import Prior
from bayesdep.reporting.figures.composing import BLUE, GREY, RED, STYLE

HERE = Path(__file__).parent
LIMITS = (0.15, 0.5, 1.0, 2.0, 3.0)  # mg/L; the first is the laboratory's own
METHODS = {"censored": "censored model (this package)", "half": "LOD / 2", "root2": "LOD / sqrt 2"}
COLOURS = {"censored": BLUE, "half": RED, "root2": "#d98b2b"}
FLAT = {"level": Prior("Normal", mu=0, sigma=30), "residual_sd": Prior("HalfNormal", sigma=20)}
COVARIATES = "I(phq9 / 5) + female + I((age - 50) / 10) + I((bmi - 30) / 5)"
ALONE = bd.Cytokines(
    value="hscrp_mg_l", subject="seqn", censored="below_lod", lod="lod_mg_l", beyond_limit="censor", priors=FLAT
)
REGRESSION = dataclasses.replace(
    ALONE, covariates=COVARIATES, priors=FLAT | {"covariate_effect": Prior("Normal", mu=0, sigma=30)}
)
PANELS = {
    "geometric mean (mg/L)": "geometric mean, mg/L",
    "residual sd": "sd of log concentrations",
    "ratio per 5 points of PHQ-9": "ratio per 5 points of PHQ-9",
    "ratio per 5 kg/m2 of BMI": "ratio per 5 kg/m² of BMI",
}


def estimate(table: pd.DataFrame, limit: float, method: str) -> list[dict[str, Any]]:
    """Fit both models with one treatment of non-detects at one limit."""
    raised = table.assign(lod_mg_l=limit)
    rows = []
    for model in (ALONE, REGRESSION):
        needed = ["hscrp_mg_l", *(["phq9", "bmi", "age"] if model.covariates else [])]
        complete = raised.dropna(subset=needed)
        chosen = dataclasses.replace(model, substitute=None if method == "censored" else method)
        data = chosen.prepare(complete)
        found = chosen.estimands(sample_posterior(chosen, data, draws=1000, tune=500, chains=2, seed=1), data)
        if model.covariates is None:
            wanted = {
                "geometric mean (mg/L)": found["geometric_mean"].squeeze(),
                "residual sd": found["residual_sd"].squeeze(),
            }
        else:
            ratio = found["covariate_ratio"].squeeze()
            wanted = {
                "ratio per 5 points of PHQ-9": ratio.isel(covariate=0),
                "ratio per 5 kg/m2 of BMI": ratio.isel(covariate=3),
            }
        share = float((complete["hscrp_mg_l"] < limit).mean())
        for name, draws in wanted.items():
            lower, upper = np.quantile(draws.values, [0.025, 0.975])
            what = {"quantity": name, "method": method, "limit_mg_l": limit, "share_below": share}
            rows.append({**what, "mean": float(draws.mean()), "lower": lower, "upper": upper})
    return rows


def figure(table: pd.DataFrame, path: Path) -> None:
    """Draw each quantity against the limit, by method, beside what the whole data say."""
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=(7.2, 5.4), layout="constrained")
        for axes, (name, label) in zip(fig.subplots(2, 2).flat, PANELS.items(), strict=True):
            part = table[table["quantity"] == name]
            whole = part[(part["method"] == "censored") & (part["limit_mg_l"] == LIMITS[0])].iloc[0]
            axes.axhspan(whole["lower"], whole["upper"], color=GREY, alpha=0.25, lw=0, zorder=0)
            for k, (method, colour) in enumerate(COLOURS.items()):
                one = part[part["method"] == method].sort_values("limit_mg_l")
                at = 100 * one["share_below"] + 0.8 * (k - 1)
                errors = [one["mean"] - one["lower"], one["upper"] - one["mean"]]
                axes.errorbar(at, one["mean"], errors, fmt="o-", ms=3.5, lw=1.2, elinewidth=0.9, color=colour,
                              label=METHODS[method])  # fmt: skip
            axes.set_ylabel(label)
            axes.set_xlabel("% of adults below the limit")
        handles, labels = axes.get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=3)
        steps = ", ".join(f"{x:g}" for x in LIMITS[1:])
        title = f"hs-CRP in NHANES 2017-2018: limit of 0.15 mg/L raised to {steps} mg/L (band: at its own limit)"
        fig.suptitle(title, fontsize=9)
        path.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(path, metadata={"Software": None})


def main() -> None:
    """Fit every method at every limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the NHANES table")
    table = pd.read_csv(parser.parse_args().data).dropna(subset=["hscrp_mg_l"])
    rows = [row for method in METHODS for limit in LIMITS for row in estimate(table, limit, method)]
    found = pd.DataFrame(rows).assign(seed=1, date=datetime.date.today().isoformat())
    found.to_csv(HERE / "nhanes.csv", index=False, float_format="%.4g")
    figure(found, HERE.parent / "docs" / "figures" / "nhanes.png")
    print(found.to_string(index=False))


if __name__ == "__main__":
    main()
