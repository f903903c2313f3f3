"""What the treatment of non-detects does to conclusions: simulated panels of Kiraly's design, analysed six ways.

Run with ``make evidence`` (about half an hour on two cores). It writes ``benchmarks/evidence.csv`` and the figure
``docs/figures/evidence.png``. For each panel the 41 true log ratios are drawn from N(0.41, 0.44), the mean and
spread of Table 2's: so an estimate that is right on average has no bias, shrunken or not. Group log ratios are
estimated by every method with the same regressors (group and plate). The slope of response on log FGF-2 is drawn
from N(0, 1), the prior that every method is then given; its limit is moved so that 12, 30, 50 or 70% of patients lie
below.
"""

import argparse
import datetime
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import special, stats

import bayesdep as bd
from bayesdep.designs.kiraly2017 import draw_kiraly2017
from bayesdep.inference import compile_once
from bayesdep.inference.sample import sample_posterior
from bayesdep.numerics.tobit import tobit
from bayesdep.reporting.figures.composing import BLUE, GREY, INK, RED, STYLE

HERE = Path(__file__).parent
METHODS = {
    "censored": "censored model (this package)",
    "half": "LOD / 2",
    "root2": "LOD / sqrt 2",
    "complete": "complete cases",
    "maximum likelihood": "censored, per analyte (ML)",
    "no limits": "data without limits",
}
PANEL = bd.Cytokines(
    analyte="analyte", subject="subject", group="group", reference="HC", plate="plate", censored="censored", lod="lod",
    uloq="uloq",
)  # fmt: skip
TABLE = bd.load("kiraly2017_table2")
LOG_RATIOS = np.log(TABLE["trd_mean"] / TABLE["hc_mean"]).to_numpy(float)
SHARES = (0.12, 0.30, 0.50, 0.70)
compile_once._MOST_CACHED = 64  # the number of non-detects is the number of latent values


def panel(seed: int) -> tuple[dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], np.ndarray, np.ndarray]:
    """Estimate one panel's log ratios: estimate, lower and upper by method; truth; share below the limit."""
    rng = np.random.default_rng([2017, seed])
    truth = rng.normal(LOG_RATIOS.mean(), LOG_RATIOS.std(ddof=1), len(LOG_RATIOS))
    made = draw_kiraly2017(rng, log_ratio=truth, times=(0,))
    data = PANEL.prepare(made.table)
    draws = sample_posterior(PANEL, data, draws=400, tune=400, chains=2, seed=seed)["group_effect"]
    flat = draws.isel(comparison=0).transpose("chain", "draw", "analyte").values.reshape(-1, len(truth))
    found = {"censored": (flat.mean(0), *np.quantile(flat, [0.025, 0.975], axis=0))}

    table = made.table.assign(log=np.asarray(made.truth["log_concentration"], dtype=float))
    rows: dict[str, list[tuple[float, float, float]]] = {m: [] for m in METHODS if m != "censored"}
    for name in made.truth["analyte"]:
        one = table[table["analyte"] == name]
        is_low, is_high = (one["censored"] == "left").to_numpy(), (one["censored"] == "right").to_numpy()
        value, full = np.log(one["concentration"].to_numpy(float)), one["log"].to_numpy()
        plates = pd.get_dummies(one["plate"], drop_first=True).to_numpy(float)
        design = np.column_stack([np.ones(len(one)), one["group"] == "TRD", plates])
        rows["half"].append(least_squares(value - is_low * np.log(2), design))
        rows["root2"].append(least_squares(value - is_low * np.log(2) / 2, design))
        seen = ~(is_low | is_high)
        rows["complete"].append(least_squares(value[seen], design[seen]))
        rows["no limits"].append(least_squares(full, design))
        lower, upper = np.where(is_low, -np.inf, value), np.where(is_high, np.inf, value)
        fit = tobit(lower, upper, design)
        b, se = (fit.coefficients[1], fit.errors[1]) if fit.converged else (np.nan, np.nan)
        rows["maximum likelihood"].append((b, b - 1.96 * se, b + 1.96 * se))
    for method, results in rows.items():
        estimate, low, high = np.array(results).T
        found[method] = (estimate, low, high)
    share = (table["censored"] == "left").groupby(table["analyte"], sort=False).mean().to_numpy()
    return found, truth, share


def least_squares(y: np.ndarray, design: np.ndarray) -> tuple[float, float, float]:
    """Group coefficient of a linear regression with its 95% interval; NaN where a group has fewer than two values."""
    if min((design[:, 1] == g).sum() for g in (0, 1)) < 2:
        return np.nan, np.nan, np.nan
    design = design[:, design.any(axis=0)]
    if len(y) <= design.shape[1] or np.linalg.matrix_rank(design) < design.shape[1]:
        return np.nan, np.nan, np.nan
    beta, *_ = np.linalg.lstsq(design, y, rcond=None)
    df = len(y) - design.shape[1]
    variance = np.sum((y - design @ beta) ** 2) / df * np.linalg.inv(design.T @ design)[1, 1]
    reach = stats.t.ppf(0.975, df) * np.sqrt(variance)
    return beta[1], beta[1] - reach, beta[1] + reach


def response(seed: int, share: float) -> tuple[dict[str, tuple[float, float, float]], float]:
    """Estimate the response slope of one study of 31 patients by each method; all have the same priors."""
    rng = np.random.default_rng([31, seed, int(100 * share)])
    slope, intercept, sd = rng.normal(0, 1), rng.normal(0, 1.5), 0.96
    x = rng.normal(3.6, sd, 31)
    limit = 3.6 + sd * stats.norm.ppf(share)
    outcome = rng.random(31) < special.expit(intercept + slope * (x - 3.6))
    if outcome.all() or not outcome.any() or (x < limit).all() or (x >= limit).sum() < 5:
        return response(seed + 100_000, share)  # such a study is not analysed by anybody
    low = x < limit
    table = pd.DataFrame(
        {
            "subject": [f"s{i}" for i in range(31)],
            "concentration": np.exp(np.where(low, limit, x)),
            "censored": np.where(low, "left", "none"),
            "responder": outcome.astype(int),
        }
    )
    model = bd.Response(outcome="responder", subject="subject", censored="censored", predicts_when="below", scale=1)
    data = model.prepare(table)
    draws = sample_posterior(model, data, draws=400, tune=400, chains=2, seed=seed)["slope"].values.ravel()
    found = {"censored": (draws.mean(), *np.quantile(draws, [0.025, 0.975]))}
    fills = {"half": limit - np.log(2), "root2": limit - np.log(2) / 2}
    for method, fill in fills.items():
        found[method] = logistic(np.where(low, fill, x), outcome)
    found["complete"] = logistic(x[~low], outcome[~low])
    found["no limits"] = logistic(x, outcome)
    return found, slope


def logistic(x: np.ndarray, outcome: np.ndarray) -> tuple[float, float, float]:
    """Posterior mean and interval of the slope of a logistic regression with the package's priors, on a grid."""
    a, b = np.meshgrid(np.linspace(-6, 6, 161), np.linspace(-5, 5, 401))
    logit = a[..., None] + b[..., None] * (x - x.mean())
    log = np.where(outcome, -np.logaddexp(0, -logit), -np.logaddexp(0, logit)).sum(-1)
    log += stats.norm.logpdf(a, 0, 1.5) + stats.norm.logpdf(b, 0, 1)
    weight = np.exp(log - log.max()).sum(axis=1)
    weight /= weight.sum()
    grid = b[:, 0]
    low, high = np.interp([0.025, 0.975], np.cumsum(weight) - weight / 2, grid)
    return float(weight @ grid), float(low), float(high)


def judge(
    estimate: np.ndarray, low: np.ndarray, high: np.ndarray, truth: np.ndarray, oracle: np.ndarray
) -> dict[str, float]:
    """Bias, its mean size, coverage and RMSE over panels (rows) and units (columns).

    The estimate from data without limits is unbiased, so its own error, whose mean is known to be zero, serves as a
    control variate: it takes from each bias what chance gave that unit's panels.
    """
    error, luck = estimate - truth, oracle - truth
    known = np.isfinite(error)
    bias = []
    for j in range(truth.shape[1]):
        e, o = error[known[:, j], j], luck[known[:, j], j]
        if len(e) < 30:
            continue
        slope = np.cov(e, o)[0, 1] / o.var(ddof=1)
        bias.append(e.mean() - slope * o.mean())
    covered = (low < truth) & (truth < high)
    by_unit = [covered[known[:, j], j].mean() for j in range(truth.shape[1]) if known[:, j].any()]
    return {
        "mean_bias": float(np.mean(bias)),
        "mean_absolute_bias": float(np.mean(np.abs(bias))),
        "coverage": float(covered[known].mean()),
        "lowest_coverage": float(min(by_unit)),
        "rmse": float(np.sqrt(np.mean(error[known] ** 2))),
        "not_estimable": float(1 - known.mean()),
    }


def panels(count: int) -> list[dict[str, Any]]:
    """Judge every method on the group log ratios of many panels."""
    start = time.time()
    found: dict[str, list[Any]] = {m: [] for m in METHODS}
    truths, shares = [], []
    for i in range(count):
        results, truth, share = panel(i)
        for method, result in results.items():
            found[method].append(np.stack(result))
        truths.append(truth)
        shares.append(share)
        if (i + 1) % 20 == 0:
            print(f"{i + 1} panels, {time.time() - start:.0f} s", flush=True)
    truth_, share_ = np.array(truths), np.mean(shares, axis=0)
    stacked = {m: np.array(v).transpose(1, 0, 2) for m, v in found.items()}
    majority = TABLE["majority_below_lod"].to_numpy()
    groups = {
        "all 41 analytes": np.full(41, True),
        "under 10% below": share_ < 0.10,
        "10 to 40% below": (share_ >= 0.10) & ~majority,
        "13 mostly below": majority,
    }
    rows = []
    for name, which in groups.items():
        oracle = stacked["no limits"][0][:, which]
        for method, results in stacked.items():
            judged = judge(*(x[:, which] for x in results), truth_[:, which], oracle)
            where = {"among": name, "share_below": share_[which].mean(), "method": method, "data_sets": count}
            rows.append({"quantity": "group log ratio", **where, **judged})
    return rows


def responses(count: int) -> list[dict[str, Any]]:
    """Judge every method on the response slope of many studies at each share below the limit."""
    rows, start = [], time.time()
    for share in SHARES:
        slopes = [response(i, share) for i in range(count)]
        truth = np.array([t for _, t in slopes])[:, None]
        by_method = {m: np.array([r[m] for r, _ in slopes]).T[..., None] for m in slopes[0][0]}
        for method, results in by_method.items():
            judged = judge(*results, truth, by_method["no limits"][0])
            where = {"among": "31 patients", "share_below": share, "method": method, "data_sets": count}
            rows.append({"quantity": "response slope", **where, **judged})
        print(f"response at {share:.0%}, {time.time() - start:.0f} s", flush=True)
    return rows


def figure(table: pd.DataFrame, path: Path) -> None:
    """Draw bias and coverage against the share below the limit, by method."""
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=(7.2, 5.2), layout="constrained")
        grid = fig.subplots(2, 2, sharex="col")
        colours = {"censored": BLUE, "half": RED, "root2": "#d98b2b", "complete": "#6a6a6a", "maximum likelihood": INK}
        columns = {
            "group log ratio": table[(table["quantity"] == "group log ratio") & (table["among"] != "all 41 analytes")],
            "response slope": table[table["quantity"] == "response slope"],
        }
        for c, (name, part) in enumerate(columns.items()):
            # slopes are drawn around zero, where no method errs on average: their spread around the truth tells
            size = {"group log ratio": ("mean_absolute_bias", "mean absolute bias")}.get(name, ("rmse", "RMSE"))
            for r, (what, label) in enumerate([size, ("coverage", "coverage of 95% intervals")]):
                axes = grid[r, c]
                for method, colour in colours.items():
                    one = part[part["method"] == method].sort_values("share_below")
                    if len(one):
                        axes.plot(100 * one["share_below"], one[what], "o-", ms=3.5, lw=1.3, color=colour,
                                  label=METHODS[method])  # fmt: skip
                axes.set_ylabel(label)
            grid[0, c].set_title(name)
            grid[0, c].set_ylim(0, None)
            grid[1, c].axhline(0.95, color=GREY, lw=0.8, zorder=0)
            grid[1, c].set_xlabel("% of values below the limit of detection")
        fig.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        fig.suptitle("SYNTHETIC DATA on the design of Kiraly 2017", color=RED, fontweight="bold", fontsize=9)
        path.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(path, metadata={"Software": None})


def main() -> None:
    """Run the parts asked for, and keep the other part's rows of an earlier run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--panels", type=int, default=240)
    parser.add_argument("--studies", type=int, default=240, help="response studies per share below the limit")
    parser.add_argument("--out", type=Path, default=HERE / "evidence.csv")
    args = parser.parse_args()
    rows = (panels(args.panels) if args.panels else []) + (responses(args.studies) if args.studies else [])
    table = pd.DataFrame(rows).assign(seed="[2017, i]; [31, i, share]", date=datetime.date.today().isoformat())
    if args.out.exists():
        earlier = pd.read_csv(args.out)
        table = pd.concat([earlier[~earlier["quantity"].isin(table["quantity"])], table]).sort_values(
            "quantity", kind="stable"
        )
    table.to_csv(args.out, index=False, float_format="%.4g")
    figure(table, HERE.parent / "docs" / "figures" / "evidence.png")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
