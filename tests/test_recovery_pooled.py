"""Pooled patients: simulation-based calibration of the model, coverage of the shipped plan, and what M* is worth.

The coverage study is benchmarks/price.py; its committed numbers are benchmarks/price.csv.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from bayesdep.inference.evaluate import from_prior
from bayesdep.inference.sample import sample_posterior
from bayesdep.models.pooled import Pooled

ROOT = Path(__file__).parents[1]
SETS, PLAN_SETS, FITS = 100, 30, 100

COLUMNS = {"reference": "control", "outcome": "y", "moderators": ["x", "z"], "split": False, "scale": 1.0}
DESIGNS = {
    "free, student": {"effects": "student"},
    "random, horseshoe": {"effects": "horseshoe", "expected_nonzero": 1, "study_levels": "random"},
    "events, free": {"effects": "normal", "times": ["early"], "at_least": 0.5},
}


def patients(rng):
    """Eight studies of 20 to 40 patients at two times: x differs between patients, z between studies alone."""
    rows = []
    for k in range(8):
        for i in range(rng.integers(20, 40)):
            who = {"study": f"s{k}", "subject": f"{k}-{i}", "arm": "drug" if i % 2 else "control"}
            who |= {"x": rng.normal(), "z": float(k % 2)}
            rows += [who | {"time": t, "y": rng.normal()} for t in ("early", "late") if t == "early" or i % 5]
    return pd.DataFrame(rows)


def drawn_from(story, data, rng):
    """Parameters from their priors, and the data with outcomes that they make, patient by patient."""
    model = story.build(data)
    names = ["effect", "interaction", "tau_effect"]
    names += [n for n in ("intercept", "moderator_effect", "tau_intercept", "effect_correlation", "time_correlation",
                          "residual_correlation", "study_sd") if n in model.named_vars]  # fmt: skip
    values = from_prior([model[n] for n in names], 1, seed=int(rng.integers(2**31)))
    truth = {n: v[0] for n, v in zip(names, values, strict=True)}
    times, studies, arm = data.sizes["time"], data.sizes["study"], data["arm_of"].values
    by_time = np.eye(times)
    if times > 1:
        by_time = np.array([[1, truth["time_correlation"]], [truth["time_correlation"], 1]])
    shared = rng.normal(size=(studies, 2, times)) @ np.linalg.cholesky(by_time).T
    if "tau_intercept" in truth:
        r = truth["effect_correlation"]
        level = truth["tau_intercept"] * shared[:, 0]
        own = truth["tau_effect"] * (r * shared[:, 0] + np.sqrt(1 - r**2) * shared[:, 1])
    else:
        level, own = rng.normal(0, 2, (studies, times)), truth["tau_effect"] * shared[:, 1]
    main = truth.get("moderator_effect", np.zeros((2, times)))
    if len(main) < 2:  # what z does is in the levels
        main = np.vstack([main, np.zeros((1, times))])
    code, x, of = (arm - arm.mean())[:, None], data["parts"].values, data["study_of"].values
    mean = truth.get("intercept", 0.0) + level[of] + (arm[:, None] - 0.5) * own[of] + x @ main
    mean = mean + code * (truth["effect"] + x @ truth["interaction"])
    seen = ~np.isnan(data["outcome"].values)
    if story.is_binary:
        y = (rng.random(mean.shape) < special.expit(mean)).astype(float)
    else:
        rho = truth.get("residual_correlation", 0.0)
        noise = rng.normal(size=mean.shape)
        noise[:, -1] = rho * noise[:, 0] + np.sqrt(1 - rho**2) * noise[:, -1] if times > 1 else noise[:, -1]
        y = mean + truth["study_sd"][of] * noise
    outcome = data["outcome"].copy(data=np.where(seen, y, np.nan))
    told = data.assign(outcome=outcome, outcome_mean=0 * data["outcome_mean"])
    summed = story._summed_up(told)
    told = told.drop_vars([v for v in summed.variables if v in told.variables])
    return truth, told.merge(summed, combine_attrs="override")


def ranks(design, fits):
    """Where truths from the prior stand among posterior draws, by parameter: uniform between 0 and 1."""
    story, rng = Pooled(**COLUMNS, **DESIGNS[design]), np.random.default_rng(7)
    data = story.prepare(patients(rng))
    found = {}
    for seed in range(fits):
        truth, told = drawn_from(story, data, rng)
        posterior = sample_posterior(story, told, draws=400, tune=500, chains=2, seed=seed)
        for name in ("effect", "interaction", "tau_effect"):
            draws = posterior[name].transpose("chain", "draw", ...).values
            place = (draws < truth[name]).mean(axis=(0, 1))
            for index in np.ndindex(place.shape):
                found.setdefault(f"{name}{list(index)}", []).append(place[index])
    return {name: np.array(v) for name, v in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
def test_truths_from_the_prior_stand_anywhere_in_the_posterior(design):
    places = ranks(design, FITS)
    for name, place in places.items():
        assert stats.kstest(place, "uniform").pvalue > 1e-3 / len(places), name
    inside = np.mean([(p > 0.025) & (p < 0.975) for p in places.values()])
    assert 0.92 < inside < 0.98


def study():
    spec = importlib.util.spec_from_file_location("price", ROOT / "benchmarks" / "price.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_intervals_of_the_shipped_plan_hold_over_all_its_interactions():
    price = study()
    story = price.ways()["plan as shipped"]
    rows = [price.coverage_of(story, seed).assign(seed=seed) for seed in range(PLAN_SETS)]
    found = price.summarise_coverage(pd.concat(rows), "plan as shipped").set_index(["what", "time"])["value"]
    assert 0.90 <= found["plan as shipped: coverage, all interactions", "both"] <= 0.99


@pytest.mark.slow
def test_cross_validation_finds_nothing_where_there_is_nothing():
    price = study()
    found = price.summarise_m_star(pd.concat([price.m_star_of(seed) for seed in range(SETS)])).set_index(
        ["what", "time"]
    )
    for time in ("rapid", "post-rapid"):
        honest = found.loc[("r of M* without moderation, cross validated", time)]
        assert honest["data_sets"] == SETS  # none had to be left undefined
        assert abs(honest["value"]) < 0.03
        assert found.loc[("r of M* without moderation, in sample", time), "value"] > 0.1


def test_the_readme_says_what_the_study_found():
    found = pd.read_csv(ROOT / "benchmarks" / "price.csv").set_index(["what", "time"])
    readme = (ROOT / "README.md").read_text()
    for kind, label in (("in sample", "on the patients that made it"), ("cross validated", "cross-validated by study")):
        (line,) = [x for x in readme.splitlines() if x.startswith(f"| {label} |")]
        for time in ("rapid", "post-rapid"):
            row = found.loc[(f"r of M* without moderation, {kind}", time)]
            assert f"{row['value']:.3f} (" in line
    value, sets = found["value"], found["data_sets"].astype(int)
    for way in ("plan as shipped", "horseshoe, 4 expected", "student", "normal", "none"):
        names = [f"{way}: coverage, {x}" for x in ("all interactions", "interactions that are not zero",
                                                   "interactions that are zero")]  # fmt: skip
        if (names[0], "both") not in value.index:
            continue
        cells = [f"{value[name, 'both']:.0%}" for name in names]
        cells += [f"{found['rmse'][names[0], 'both']:.2f}", str(sets[names[0], "both"])]
        (line,) = [x for x in readme.splitlines() if x.startswith(f"| {way} |")]
        assert [x.strip() for x in line.strip("|").split("|")][1:] == cells
    assert 0.90 <= value["plan as shipped: coverage, all interactions", "both"] <= 0.99


def test_the_readme_says_what_leaving_patients_out_costs():
    found = pd.read_csv(ROOT / "benchmarks" / "imputation.csv").set_index(["way", "moderator"])
    readme = (ROOT / "README.md").read_text()
    for way, label in (
        ("imputed", "imputed (this package)"),
        *((w, w) for w in ("patients left out", "mean filled in")),
    ):
        (line,) = [x for x in readme.splitlines() if x.startswith(f"| {label} |")]
        known, missing = (found.loc[(way, kind)] for kind in ("all known", "all missing"))
        cells = [f"{known['rmse']:.2f}", f"{known['width']:.2f}", f"{known['coverage']:.0%}", f"{missing['rmse']:.3f}",
                 f"{missing['width']:.2f}", f"{missing['coverage']:.0%}"]  # fmt: skip
        assert [x.strip() for x in line.strip("|").split("|")][1:] == cells
