"""How often a trial like Raison's finds the hs-CRP above which infliximab wins, and whether its intervals hold.

Run with ``make crossing`` (about half an hour on two cores). It writes ``benchmarks/crossing.csv`` and the figure
``docs/figures/crossing.png``. Synthetic trials on the published design are analysed with the paper's model (arm, log
hs-CRP and its square, in proportion to weeks) and the priors of its plan, ``raison2013/crp_log_quadratic``. In the one
half the moderation is the published one, with the crossing at 4.98 mg/L, and trials grow from 60 patients to 480. In
the other the moderation is drawn from the model's own priors, so intervals have to hold as often as they say. For
comparison ``bd.assurance`` counts, with other trials, how often the published one is found.
"""

import argparse
import datetime
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import bayesdep as bd
from bayesdep.designs.raison2013 import draw_raison2013
from bayesdep.designs.simulated import Simulated
from bayesdep.inference.sample import sample_posterior
from bayesdep.reporting.figures.composing import BLUE, GREY, INK, STYLE

HERE = Path(__file__).parent
PLAN = HERE.parent / "models" / "raison2013" / "crp_log_quadratic.toml"
MODEL = bd.read_plan(PLAN).model
HOW = {"draws": 500, "tune": 500, "chains": 2}
SIZES = {60: 100, 120: 60, 240: 40, 480: 30}  # patients: trials
FROM_PRIORS = 150


def after_baseline(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that the plan keeps."""
    return table[table["week"] > 0].reset_index(drop=True)


def one(seed: int, patients: int = 60, *, from_priors: bool = False) -> pd.DataFrame:
    """Analyse one synthetic trial.

    Parameters
    ----------
    seed
        Of the trial and of the sampler.
    patients
        Half in either arm.
    from_priors
        Draw the moderation from the model's priors instead of taking the published one.

    Returns
    -------
    pandas.DataFrame
        One row a quantity: ``truth``, ``mean``, ``lower``, ``upper`` (95%), and for the crossing ``probability``, that
        there is one. Coefficients are those at week 12, on the scale of the model's terms.
    """
    rng = np.random.default_rng([2013, patients, int(from_priors), seed])
    moderation: bool | tuple[float, ...] = True
    if from_priors:  # per sd of log hs-CRP as the model has them, and that sd is near 1.4 in every trial
        sds = [MODEL.priors["arm_effect"]["sigma"], *[MODEL.priors["arm_by_moderator"]["sigma"]] * 2]
        moderation = tuple(rng.normal(0, sds) / [1, 1.4, 1.4**2])
    made = draw_raison2013(rng, people=(patients // 2, patients // 2), moderation=moderation)
    data = MODEL.prepare(after_baseline(made.table))
    posterior = sample_posterior(MODEL, data, **HOW, seed=seed)
    found = MODEL.estimands(posterior, data)
    truth = {name: values[-1] for name, values in made.truth["coefficients"].items()}
    attrs = data["moderator_terms"].attrs
    scale, moved = attrs["scale"], attrs["centre"] - made.truth["centre"]
    wanted = {
        "arm": truth["d"] + truth["g1"] * moved + truth["g2"] * moved**2,
        "arm x log CRP": scale * (truth["g1"] + 2 * truth["g2"] * moved),
        "arm x log CRP squared": scale**2 * truth["g2"],
    }
    draws = {
        "arm": posterior["arm_effect_at_visit"].isel(comparison=0, visit=-1),
        "arm x log CRP": posterior["arm_by_moderator_at_visit"].isel(comparison=0, term=0, visit=-1),
        "arm x log CRP squared": posterior["arm_by_moderator_at_visit"].isel(comparison=0, term=1, visit=-1),
    }
    for k, crp in enumerate(MODEL.at):
        log_crp = np.log(crp) - made.truth["centre"]
        wanted[f"difference at {crp:g} mg/L"] = truth["d"] + truth["g1"] * log_crp + truth["g2"] * log_crp**2
        draws[f"difference at {crp:g} mg/L"] = found["difference_at"].isel(comparison=0, moderator_value=k, visit=-1)
    above = made.truth["crossing"]
    observed = data["moderator"].values
    if above is not None and observed.min() < above < observed.max():
        wanted["crossing"] = above
        draws["crossing"] = found["crossing"].sel(side="above").isel(comparison=0)
    rows = []
    for name, value in wanted.items():
        lower, upper = np.quantile(draws[name].values, [0.025, 0.975])
        rows.append((name, value, float(draws[name].mean()), lower, upper))
    table = pd.DataFrame(rows, columns=["quantity", "truth", "mean", "lower", "upper"])
    crosses = float(found["crosses"].sel(side="above").mean())
    return table.assign(probability=np.where(table["quantity"] == "crossing", crosses, np.nan))


def summarise(trials: pd.DataFrame) -> pd.DataFrame:
    """Coverage, bias and how often the crossing is found, by setting and quantity.

    Parameters
    ----------
    trials
        Rows of :func:`one`, with ``patients`` and ``moderation``.

    Returns
    -------
    pandas.DataFrame
        ``trials``, ``coverage`` of 95% intervals, ``bias``, ``rmse``, and for the crossing ``probability`` (mean over
        trials) and the shares of trials in which it is above 0.8 and above 0.95.
    """
    inside = (trials["lower"] <= trials["truth"]) & (trials["truth"] <= trials["upper"])
    error = trials["mean"] - trials["truth"]
    columns = {
        "coverage": inside.astype(float), "bias": error, "rmse": error**2, "probability": trials["probability"],
        "above_0.8": (trials["probability"] > 0.8).astype(float).where(trials["probability"].notna()),
        "above_0.95": (trials["probability"] > 0.95).astype(float).where(trials["probability"].notna()),
    }  # fmt: skip
    grouped = trials.assign(**columns).groupby(["moderation", "patients", "quantity"], sort=False)
    found = grouped[list(columns)].mean()
    found.insert(0, "trials", grouped.size())
    return found.assign(rmse=np.sqrt(found["rmse"])).reset_index()


def drawn(seed: int, patients: int) -> Simulated:
    """A trial with the published moderation, as :func:`bayesdep.assurance` takes it."""
    made = bd.simulate("raison2013", seed=seed, people=patients)
    return Simulated(after_baseline(made.table), made.truth)


def planned(share: float) -> pd.DataFrame:
    """How often the crossing is found, by ``bd.assurance``: rows as those of :func:`summarise`.

    Parameters
    ----------
    share
        Of the trials.

    Returns
    -------
    pandas.DataFrame
        One row a size.
    """
    levels = {"above_0.8": "P(crosses[infliximab, above] > 0.5) > 0.8"}
    levels["above_0.95"] = levels["above_0.8"].replace("> 0.8", "> 0.95")
    rows = []
    for patients, trials in SIZES.items():
        count = max(2, round(share * trials))
        found = bd.assurance(
            MODEL, n=patients, simulate=drawn, decision=list(levels.values()), fits=count, seed=2, **HOW
        ).table.set_index("decision")["assurance"]
        row = {"moderation": "published, by bd.assurance", "patients": patients, "quantity": "crossing"}
        rows.append(row | {"trials": count} | {name: found[text] for name, text in levels.items()})
        print(f"bd.assurance, {patients} patients: done", flush=True)
    return pd.DataFrame(rows)


def figure(summary: pd.DataFrame) -> Figure:
    """Draw how often the crossing is found against the number of patients."""
    shown = summary[(summary["moderation"] == "published") & (summary["quantity"] == "crossing")]
    with mpl.rc_context(STYLE):
        made = Figure(figsize=(5.2, 3.2), layout="constrained")
        axes = made.add_subplot()
        axes.plot(
            shown["patients"], shown["above_0.95"], "o-", color=BLUE, label="probability of a crossing above 0.95"
        )
        axes.plot(shown["patients"], shown["above_0.8"], "s--", color=INK, label="above 0.80")
        axes.axhline(0.8, color=GREY, lw=0.8)
        axes.set_xscale("log")
        axes.set_xticks(list(SIZES), [str(n) for n in SIZES])
        axes.minorticks_off()
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("patients in the trial (synthetic, published design and moderation)")
        axes.set_ylabel("share of trials that find it")
        axes.legend(loc="lower right")
    return made


def main() -> None:
    """Run the study and write its results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--share", type=float, default=1.0, help="share of the trials to run")
    share = parser.parse_args().share
    kept = []
    plan = [("published", n, trials) for n, trials in SIZES.items()] + [("from priors", 60, FROM_PRIORS)]
    for moderation, patients, trials in plan:
        for seed in range(max(2, round(share * trials))):
            made = one(seed, patients, from_priors=moderation != "published")
            kept.append(made.assign(moderation=moderation, patients=patients, seed=seed))
        print(f"{moderation}, {patients} patients: done", flush=True)
    summary = pd.concat([summarise(pd.concat(kept, ignore_index=True)), planned(share)], ignore_index=True)
    stamped = summary.assign(seeds="0, 1, ...", date=datetime.date.today().isoformat())
    stamped.round(4).to_csv(HERE / "crossing.csv", index=False)
    target = HERE.parent / "docs" / "figures" / "crossing.png"
    figure(summary).savefig(target, dpi=150, metadata={"Software": None})
    print(summary.to_string(index=False))


if __name__ == "__main__":
    main()
