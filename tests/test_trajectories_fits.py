"""Fits of trajectories: set beside lme4's answers, and coverage of known truths on the published design."""

import runpy
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from scipy import stats
from test_cytokines_fits import UTI, UTI_SE, shared_table
from test_trajectories import REFERENCES, answers, read

import bayesdep as bd
from bayesdep.designs.rct2025 import draw_rct2025
from bayesdep.inference.sample import sample_posterior
from bayesdep.models.trajectories.paths import mean_markers
from bayesdep.numerics.draws import stack_draws

WIDE = {
    "course": {"dist": "Normal", "mu": 0, "sigma": 1000},
    "arm_effect": {"dist": "Normal", "mu": 0, "sigma": 1000},
    "arm_change": {"dist": "Normal", "mu": 0, "sigma": 1000},
}


@pytest.mark.sampling
@pytest.mark.parametrize(("name", "fixed"), [("sleepstudy", "Days"), ("orthodont", "years")])
def test_slopes_agree_with_lme4_within_a_tenth_of_a_standard_error(name, fixed):
    """Priors on the course so wide that they say nothing; a posterior mean is then lme4's estimate."""
    model, data = read(name)
    priors = {k: v for k, v in WIDE.items() if k in model.slots}
    wide = bd.Trajectories(
        course="linear", units="units", priors=priors, outcome=model.outcome, subject=model.subject, time=model.time,
        arm=model.arm, reference=model.reference,
    )  # fmt: skip
    fit = bd.fit(wide, data, draws=2000, tune=500, chains=4, seed=1, progress=False)
    assert fit.gate.passed
    reference = pd.read_csv(REFERENCES / "trajectories.csv").set_index(["data", "name"])["se"]
    slope = fit.estimands["slope"].isel(arm=0)
    assert array_stats.ess(slope.values, chain_axis=0, draw_axis=1, method="bulk") >= 4000
    assert abs(float(slope.mean()) - answers(name)[fixed]) < 0.1 * reference[name, fixed]
    if model.arm is not None:
        difference = fit.estimands["slope_difference"].isel(comparison=0)
        term = "years:SexFemale"
        assert abs(float(difference.mean()) - answers(name)[term]) < 0.1 * reference[name, term]


def small_trial(seed: int, effects: str = "il1ra") -> tuple[pd.DataFrame, dict]:
    """The published sizes, three markers."""
    made = draw_rct2025(np.random.default_rng(seed), effects=effects)
    kept = made.table["marker"].isna() | made.table["marker"].isin(["IL-1RA", "IL-6", "BDNF"])
    return made.table[kept], made.truth


TRIAL = {"reference": "saline", "outcome": "score", "time": "day", "value": "concentration", "analyte": "marker"}


@pytest.mark.sampling
def test_a_fit_of_the_published_design_passes_its_gate_and_finds_no_association():
    table, _ = small_trial(1, "none")
    model = bd.Trajectories(**TRIAL, equal_baseline=True, association=["change"])
    fit = bd.fit(model, table, draws=1200, tune=500, chains=4, seed=1, progress=False)
    assert fit.gate.passed, fit.gate.sentence
    assert fit.tree["sample_stats"]["diverging"].sum() == 0
    lower, upper = np.quantile(fit.estimands["association"].values, [0.025, 0.975], axis=(0, 1))
    assert ((lower < 0) & (upper > 0)).mean() >= 5 / 6  # six intervals, of which 5% miss


@pytest.mark.slow
def test_intervals_cover_differences_and_associations_on_the_published_design():
    """100 trials without any association and with the true course of the score: shares of intervals that hold it."""
    model = bd.Trajectories(**TRIAL, equal_baseline=True, association=["change"])
    held: dict[str, list[np.ndarray]] = {"association": [], "difference": [], "marker_difference": []}
    for seed in range(100):
        table, truth = small_trial(seed, "none")
        data = model.prepare(table)
        found = model.estimands(sample_posterior(model, data, draws=400, tune=400, chains=2, seed=seed), data)
        course = np.array(truth["course"]["ketamine"]) - np.array(truth["course"]["saline"])
        true = {"association": 0.0, "difference": course[None, 1:], "marker_difference": 0.0}
        for name in held:
            values = found[name] if name != "difference" else found[name].isel(reported=slice(1, None))
            if name == "marker_difference":
                values = values.isel(marker_reported=slice(1, None))  # arms are equal at the first time
            lower, upper = np.quantile(values.values, [0.025, 0.975], axis=(0, 1))
            held[name].append((lower <= true[name]) & (true[name] <= upper))
    for name, values in held.items():
        share = float(np.mean(values))
        assert 0.90 <= share <= 0.99, name


@pytest.mark.slow
def test_the_latent_association_is_not_weakened_by_the_assays_error():
    """A slope of 3 points per doubling in every patient is found within 4 Monte Carlo errors over 100 trials.

    The regression of observed change on observed change is not: residual error of the markers pulls it towards zero.
    """
    model = bd.Trajectories(**TRIAL, equal_baseline=True, association=["change"], pooling="none")
    found, naive = [], []
    for seed in range(100):
        table, truth = small_trial(seed, "none")
        place = {s: i for i, s in enumerate(truth["subject"])}
        change = np.array(truth["marker_deviation"]["IL-1RA"])[:, 1]
        shift = 3.0 * change[[place[s] for s in table["subject"]]] * table["day"] / 5
        table = table.assign(score=table["score"] + shift)
        data = model.prepare(table)
        posterior = sample_posterior(model, data, draws=400, tune=400, chains=2, seed=seed)
        by_arm = model.estimands(posterior, data)["association"].sel(analyte="IL-1RA", link="change")
        found.append(float(by_arm.sel(arm="ketamine").mean()))
        naive.append(naive_slope(data, "IL-1RA"))
    error = np.std(found) / 10
    # the prior N(0, 0.5 scale) of an association shrinks it: by no more than 15% at this size
    assert 3 * 0.85 - 4 * error < np.mean(found) < 3 + 4 * error
    assert np.mean(naive) < 0.7 * 3


def naive_slope(data: xr.Dataset, marker: str) -> float:
    """The regression of observed change of the score on observed change of a marker, ketamine arm."""
    logs = data["upper"].sel(analyte=marker).values
    x, y = logs[:, -1] - logs[:, 0], data["outcome"].values[:, -1] - data["outcome"].values[:, 0]
    kept = np.isfinite(x) & np.isfinite(y) & (data["arm_of"].values == list(data["arm"].values).index("ketamine"))
    return float(np.polyfit(x[kept], y[kept], 1)[0])


VIRAL = {
    "marker_course": {"dist": "Normal", "mu": 0, "sigma": 100},
    "marker_level_sd": {"dist": "HalfNormal", "sigma": 50},
    "marker_residual_sd": {"dist": "HalfNormal", "sigma": 50},
}


@pytest.mark.sampling
@pytest.mark.parametrize("variant", UTI)
def test_the_marker_part_has_the_published_means_of_viral_loads(variant):
    """Month means and a random level of 72 children's HIV RNA, 26 or 33 values beyond limits: maximum likelihood.

    The score beside it is made up and not linked. Means within a tenth of a standard error.
    """
    table = shared_table("utidata_hiv/utidata.csv").dropna(subset=["rna_copies_ml"]).reset_index(drop=True)
    codes = {0: "none", 1: "left", 2: "right" if variant == "both" else "none"}
    score = np.random.default_rng(1).normal(size=len(table))
    table = table.assign(flag=table["cens_code"].map(codes), outcome=score)
    model = bd.Trajectories(
        reference=None, arm=None, deviations="level", value="rna_copies_ml", subject="id", time="month",
        censored="flag", priors=VIRAL,
    )  # fmt: skip
    data = model.prepare(table)
    posterior = sample_posterior(model, data, draws=1500, tune=600, chains=4, seed=1)
    means = mean_markers(model, stack_draws(posterior), data, data["marker_reported_time"].values)[:, 0, 0]
    found = means.mean(axis=0) * np.log10(2)
    assert (np.abs(found - UTI[variant][0]) < 0.1 * UTI_SE).all(), (found - UTI[variant][0]) / UTI_SE


def trial_in_two_halves(seed: int) -> pd.DataFrame:
    """120 patients whose scores fall by 8 points more on the drug than on placebo if they are young, and not else."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(120):
        about = {"subject": f"s{i}", "arm": "pd"[i % 2], "age": 20 + i % 40, "sex": "FM"[i // 2 % 2]}
        level, slope = rng.normal(25, 4), rng.normal(-3, 2) - 8 * (i % 2) * (about["age"] < 40)
        rows += [about | {"time": t, "outcome": level + slope * t / 2 + rng.normal(0, 2)} for t in (0, 1, 2)]
    return pd.DataFrame(rows)


@pytest.mark.sampling
def test_a_subgroup_that_differs_is_found_and_the_others_are_not():
    """Young and old differ by 8 points; women and men, of whom half are young, do not.

    Levels and sizes follow from the design alone. A patient's change is known with a variance of 2^2 (patients differ)
    + 2^2 / 0.5 (noise at three times) = 12, so the arms' difference among 30 and 30 young has an se of sqrt(12 / 15) =
    0.9, and so has that among the old; the deviation of either from all patients, half of the difference between them,
    is 4 points with an se of 0.63, which is 6.3 of them. A 99% interval misses zero then but for a probability of
    Phi(2.6 - 6.3) = 1e-4. Shrinkage towards all patients moves the deviation by se^2 / (se^2 + tau^2) = 0.4 / 8.4 of
    itself, 0.3 se, where tau is as large as the deviations are. The truths are tested together at 0.001: nine
    intervals at 1 - 0.001 / 9 each.
    """
    subgroups = {"young": "age < 40", "old": "age >= 40", "women": "sex == 'F'", "men": "sex == 'M'"}
    model = bd.Trajectories(reference="p", course="linear", equal_baseline=True, subgroups=subgroups)
    fit = bd.fit(model, trial_in_two_halves(1), draws=800, tune=500, chains=4, seed=1, progress=False)
    assert fit.gate.passed, fit.gate.sentence
    inside, apart = (fit.estimands[f"difference_{w}"].isel(comparison=0) for w in ("in", "from_overall"))
    truths = {"young": (-8, -4), "old": (0, 4), "women": (-4, 0), "men": (-4, 0)}
    compared = [(inside.sel(subgroup="young") - inside.sel(subgroup="old"), -8)]
    for group, (difference, deviation) in truths.items():
        compared += [(inside.sel(subgroup=group), difference), (apart.sel(subgroup=group), deviation)]
    # the ends are the normal's of these means and sds: 3,200 draws say nothing of a quantile of 0.00006
    reach = stats.norm.isf(0.0005 / len(compared))
    for values, truth in compared:
        assert abs(float(values.mean()) - truth) < reach * float(values.std())
    for group, sign in (("young", -1), ("old", 1)):
        assert sign * np.quantile(apart.sel(subgroup=group), 0.005 if sign > 0 else 0.995) > 0


@pytest.mark.slow
def test_without_any_effect_one_model_of_subgroups_finds_little_and_separate_fits_much():
    """100 trials of one marker in 28 subgroups (benchmarks/subgroups.py); shares less two binomial standard errors."""
    path = Path(bd.__file__).parents[1] / "benchmarks" / "subgroups.py"
    study = runpy.run_path(str(path))
    model, tally, trials = study["model_of_plan"](), defaultdict(list), 100
    study["separately"](tally, model, trials)
    study["together"](tally, model, trials, ["IL-1RA"])

    def share(*key: str) -> float:
        return float(np.mean(tally[key]))

    def above(bound: float) -> float:
        return bound + 2 * np.sqrt(bound * (1 - bound) / trials)

    for name in ("association", "association_difference"):
        assert share("hierarchical", f"{name}_in", "each") <= above(0.05)
        assert share("hierarchical", f"{name}_from_overall", "each") <= above(0.01)
        assert share("hierarchical", f"{name}_in", "any of 28") <= above(0.12)
        assert share("separate", name, "any of 28") > 0.3


@pytest.mark.sampling
def test_markers_that_go_together_are_warned_of_when_entered_together_and_not_alone():
    """Two markers that follow one cause, of which the model knows nothing, and the remedy of the warning."""
    table = runpy.run_path(str(REFERENCES.parents[1] / "benchmarks" / "common_cause.py"))["patients"](people=100)
    model = bd.Trajectories(
        reference="placebo", value="value", analyte="marker", association="change", course="linear",
        marker_course="linear", equal_baseline=True,
    )  # fmt: skip
    how = {"draws": 200, "tune": 300, "chains": 2, "seed": 1, "progress": False}
    together = bd.fit(model, table, **how).verdict
    assert [x.name for x in together.warnings] == ["root mean square correlation between markers' changes"]
    assert together.sentence.endswith("fit each marker alone")
    assert bd.fit(model, table[table["marker"].ne("stress")], **how).verdict.passed
