"""Whether intervals of patient-level meta-analyses hold, and what cross-validation does to the combined moderator M*.

Run with ``make price`` (half an hour on two cores). It writes ``benchmarks/price.csv``. Synthetic trials on the design
of Price 2022 (17 studies, 720 patients, two times) are analysed jointly: once by the shipped plan
``models/price2022/moderators_joint.toml`` as it is shipped (with fewer draws), and again with its interactions pooled
otherwise, of which the truth is known (coverage); and once, with no moderation at all, with the eight variables of the
combined moderator #2f, known of 232 patients in 7 studies. ``python benchmarks/price.py --part coverage`` or ``--part
m_star`` renews one part and keeps the other's rows.
"""

import argparse
import dataclasses
import datetime
from pathlib import Path

import numpy as np
import pandas as pd

import bayesdep as bd
from bayesdep.designs.price2022 import draw_price2022
from bayesdep.designs.price2022_coefficients import M_STAR
from bayesdep.inference.sample import sample_posterior
from bayesdep.models.patient_meta import combined as pooled_combined
from bayesdep.plan import read_plan

HERE = Path(__file__).parent
PLAN = HERE.parent / "models" / "price2022" / "moderators_joint.toml"
COLUMNS = {"reference": "control", "outcome": "improvement", "units": "% improvement", "baseline": "madrs_baseline"}
COMBINED = bd.PatientMeta(
    **COLUMNS, moderators=M_STAR, combined=M_STAR, split=False, effects="normal", study_levels="random"
)
DATA_SETS, COVERAGE_SETS = 100, 60
SAMPLING = {"draws": 500, "tune": 700, "chains": 2}  # fewer draws than the plan's: an interval's end is off by 0.06 sd
OTHERWISE = {
    "horseshoe, 4 expected": {"expected_nonzero": 4},
    "student": {"effects": "student", "expected_nonzero": None},
    "normal": {"effects": "normal", "expected_nonzero": None},
    "none": {"effects": "none", "expected_nonzero": None},
}


def ways() -> dict[str, bd.PatientMeta]:
    """Return the models compared: the shipped plan's, and those that pool interactions otherwise."""
    shipped = read_plan(PLAN).model
    other = {name: dataclasses.replace(shipped, priors={}, **how) for name, how in OTHERWISE.items()}
    return {"plan as shipped": shipped} | other


def coverage_of(model: bd.PatientMeta, seed: int) -> pd.DataFrame:
    """Analyse one synthetic data set with the plan's nine moderators.

    Parameters
    ----------
    model
        One of :func:`ways`.
    seed
        Of the data and of the sampler. Data sets are those of the generator with seeds [2022, 1000 + seed].

    Returns
    -------
    pandas.DataFrame
        One row per quantity and time: ``truth``, ``mean``, ``sd``, ``lower`` and ``upper`` (95%), in units of the
        generator. The effect is that at the mean moderators of the patients.
    """
    made = draw_price2022(np.random.default_rng([2022, 1000 + seed]))
    data = model.prepare(made.table)
    found = sample_posterior(model, data, **SAMPLING, seed=seed)
    moderator = data["moderator"].values
    centre, unit = (dict(zip(moderator, data[v].values, strict=True)) for v in ("centre", "scale"))
    rows = []
    for t, time in enumerate(data["time"].values):
        w = {m: made.truth["interaction"][time].get(m, 0.0) for m in moderator}
        scale = float(data["outcome_sd"][t]) / made.truth["sd"]
        moved = sum(w[m] * (centre[m] - made.truth["centre"][m]) for m in moderator if w[m])
        wanted = {"effect": (made.truth["effect"][time] + moved, found["effect"].isel(time=t))}
        for m in moderator:
            wanted[m] = (w[m] * unit[m], found["interaction"].isel(time=t).sel(part=m))
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


def summarise_coverage(covered: pd.DataFrame, way: str) -> pd.DataFrame:
    """Coverage of 95% intervals, over all interactions, those that are not zero and those that are, and one by one.

    Parameters
    ----------
    covered
        Rows of :func:`coverage_of`, with ``seed``.
    way
        How interactions were pooled.

    Returns
    -------
    pandas.DataFrame
        ``what``, ``time``, ``data_sets``, ``value``, its Monte Carlo standard error ``se`` (between data sets),
        ``bias`` (mean estimate less truth) and ``rmse``.
    """
    covered = covered.assign(
        inside=covered["truth"].between(covered["lower"], covered["upper"]), away=covered["mean"] - covered["truth"]
    )
    interactions = covered[covered["quantity"] != "effect"]
    matters = interactions["truth"] != 0
    groups = {
        "all interactions": interactions,
        "interactions that are not zero": interactions[matters],
        "interactions that are zero": interactions[~matters],
    }
    rows = [(f"{way}: coverage, {name}", "both", g) for name, g in groups.items()]
    shown = covered[(covered["quantity"] == "effect") | (covered["truth"] != 0)]
    rows += [(f"{way}: coverage, {name}", time, g) for (name, time), g in shown.groupby(["quantity", "time"])]
    found = []
    for what, time, g in rows:
        by_set = g.groupby("seed")["inside"].mean()
        rmse = np.sqrt((g["away"] ** 2).mean())
        found.append((what, time, len(by_set), by_set.mean(), by_set.sem(), g["away"].mean(), rmse))
    return pd.DataFrame(found, columns=["what", "time", "data_sets", "value", "se", "bias", "rmse"])


def summarise_m_star(combined: pd.DataFrame) -> pd.DataFrame:
    """Mean effect sizes of M*.

    Parameters
    ----------
    combined
        Rows of :func:`m_star_of`.

    Returns
    -------
    pandas.DataFrame
        ``what``, ``time``, ``data_sets``, ``value`` and its Monte Carlo standard error ``se``.
    """
    rows = []
    for time, g in combined.groupby("time", sort=False):
        for kind in ("in_sample", "cross_validated"):
            values = g[kind].dropna()
            what = f"r of M* without moderation, {kind.replace('_', ' ')}"
            rows.append((what, time, len(values), values.mean(), values.sem()))
    return pd.DataFrame(rows, columns=["what", "time", "data_sets", "value", "se"])


def main() -> None:
    """Run the study and write its results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=DATA_SETS, help="data sets of M*")
    parser.add_argument("--coverage-sets", type=int, default=COVERAGE_SETS, help="data sets of the plan's coverage")
    parser.add_argument("--part", choices=("all", "coverage", "m_star"), default="all")
    parser.add_argument("--ways", nargs="*", help="how interactions are pooled; all ways where left out")
    asked = parser.parse_args()
    path, today = HERE / "price.csv", datetime.date.today().isoformat()
    parts = []
    if asked.part != "m_star":
        for name, model in ways().items():
            if asked.ways and name not in asked.ways:
                continue
            rows = []
            for seed in range(asked.coverage_sets):
                rows.append(coverage_of(model, seed).assign(seed=seed))
                print(name, seed, flush=True)
            done = summarise_coverage(pd.concat(rows), name)
            print(done.round(3).to_string(index=False), flush=True)
            parts.append(done.assign(seeds=f"1000 to {999 + asked.coverage_sets}", date=today))
    if asked.part != "coverage":
        combined = [m_star_of(seed) for seed in range(asked.sets)]
        parts.append(summarise_m_star(pd.concat(combined)).assign(seeds=f"0 to {asked.sets - 1}", date=today))
        print(f"largest Pareto k {max(x['pareto_k'].max() for x in combined):.2f}")
    found = pd.concat(parts).round(4)
    if path.exists():
        kept = pd.read_csv(path)
        found = pd.concat([found, kept[~kept["what"].isin(found["what"])]])
    found.to_csv(path, index=False)
    print(found.to_string(index=False))


if __name__ == "__main__":
    main()
