"""Whether the pooled story's intervals hold, and what cross-validation does to the combined moderator M*.

Run with ``make price`` (a quarter of an hour on two cores). It writes ``benchmarks/price.csv``. Synthetic trials on
the design of Price 2022 (17 studies, 720 patients, two times) are analysed jointly: once with the moderators known of
all patients, of which the truth is known (coverage), and once, with no moderation at all, with the eight variables of
the combined moderator #2f, known of 232 patients in 7 studies.
"""

import argparse
import datetime
from pathlib import Path

import numpy as np
import pandas as pd

import bayesdep as bd
from bayesdep.data.design_price2022 import M_STAR
from bayesdep.data.simulate_price2022 import draw_price2022
from bayesdep.inference.sample import sample_posterior
from bayesdep.models.parts.pooled import combined as pooled_combined

HERE = Path(__file__).parent
COLUMNS = {"reference": "control", "outcome": "improvement", "units": "% improvement", "baseline": "madrs_baseline"}
TIER_1 = ("crossover", "trd", "us", "mdd")
JOINT = bd.Pooled(**COLUMNS, moderators=TIER_1, split=False)
COMBINED = bd.Pooled(**COLUMNS, moderators=M_STAR, combined=M_STAR, split=False, effects="normal")
DATA_SETS = 100


def coverage_of(seed: int) -> pd.DataFrame:
    """Analyse one synthetic data set with four moderators.

    Parameters
    ----------
    seed
        Of the data and of the sampler.

    Returns
    -------
    pandas.DataFrame
        One row per quantity and time: ``truth``, ``mean``, ``sd``, ``lower`` and ``upper`` (95%), in units of the
        generator. The effect is that at the mean moderators of the patients drawn.
    """
    made = draw_price2022(np.random.default_rng([2022, seed]))
    data = JOINT.prepare(made.table)
    posterior = sample_posterior(JOINT, data, draws=500, tune=500, chains=2, seed=seed)
    mean = dict(zip(data["moderator"].values, data["centre"].values, strict=True))
    rows = []
    for t, time in enumerate(data["time"].values):
        w = made.truth["interaction"][time]
        scale = float(data["outcome_sd"][t]) / made.truth["sd"]
        effect = made.truth["effect"][time] + sum(w[m] * (mean[m] - made.truth["centre"][m]) for m in TIER_1)
        wanted = {"effect": (effect, posterior["effect"].isel(time=t))}
        for m in TIER_1:
            wanted[f"{m} x ketamine"] = (w[m], posterior["interaction"].isel(time=t).sel(part=m))
        for name, (truth, draws) in wanted.items():
            x = scale * draws.values
            lower, upper = np.quantile(x, [0.025, 0.975])
            rows.append((name, time, truth, x.mean(), x.std(), lower, upper))
    return pd.DataFrame(rows, columns=["quantity", "time", "truth", "mean", "sd", "lower", "upper"])


def m_star_of(seed: int, *, moderation: bool = False) -> pd.DataFrame:
    """Make a combined moderator of one synthetic data set.

    Parameters
    ----------
    seed
        Of the data and of the sampler.
    moderation
        Whether there is any; the truth is no more than the generator's.

    Returns
    -------
    pandas.DataFrame
        One row per time: effect sizes ``in_sample`` and ``cross_validated``, and the largest ``pareto_k``.
    """
    made = draw_price2022(np.random.default_rng([2022, seed]), moderation=moderation)
    data = COMBINED.prepare(made.table)
    posterior = sample_posterior(COMBINED, data, draws=500, tune=500, chains=2, seed=seed)
    r = pooled_combined.estimands(COMBINED, posterior, data)["m_star_r"]
    mean = r.mean(("chain", "draw"))
    return pd.DataFrame(
        {
            "time": data["time"].values,
            "in_sample": mean.sel(evaluation="in-sample").values,
            "cross_validated": mean.sel(evaluation="cross-validated").values,
            "pareto_k": r.attrs["worst_pareto_k"],
        }
    )


def summarise(covered: pd.DataFrame, combined: pd.DataFrame) -> pd.DataFrame:
    """Coverage, bias and the mean effect sizes of M*.

    Parameters
    ----------
    covered, combined
        Rows of :func:`coverage_of` and :func:`m_star_of`.

    Returns
    -------
    pandas.DataFrame
        ``what``, ``time``, ``data_sets``, ``value``, its Monte Carlo standard error ``se``, ``bias_in_sd``.
    """
    inside = (covered["lower"] <= covered["truth"]) & (covered["truth"] <= covered["upper"])
    away = (covered["mean"] - covered["truth"]) / covered["sd"]
    grouped = covered.assign(inside=inside, away=away).groupby(["quantity", "time"], sort=False)
    rows = [
        (f"coverage of 95% intervals: {name}", time, len(g), g["inside"].mean(), g["inside"].sem(), g["away"].mean())
        for (name, time), g in grouped
    ]
    for time, g in combined.groupby("time", sort=False):
        for kind in ("in_sample", "cross_validated"):
            values = g[kind].dropna()
            what = f"r of M* without moderation, {kind.replace('_', ' ')}"
            rows.append((what, time, len(values), values.mean(), values.sem(), np.nan))
    return pd.DataFrame(rows, columns=["what", "time", "data_sets", "value", "se", "bias_in_sd"])


def main() -> None:
    """Run the study and write its results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=DATA_SETS, help="data sets of either kind")
    sets = parser.parse_args().sets
    covered, combined = [], []
    for seed in range(sets):
        covered.append(coverage_of(seed))
        combined.append(m_star_of(seed))
        if seed % 10 == 9:
            print(summarise(pd.concat(covered), pd.concat(combined)).round(3).to_string(index=False), flush=True)
    found = summarise(pd.concat(covered), pd.concat(combined)).assign(
        seeds=f"0 to {sets - 1}", date=datetime.date.today().isoformat()
    )
    found.round(4).to_csv(HERE / "price.csv", index=False)
    print(found.to_string(index=False))
    print(f"largest Pareto k {max(x['pareto_k'].max() for x in combined):.2f}")


if __name__ == "__main__":
    main()
