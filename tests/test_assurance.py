"""Planned studies: decisions, tables of another size, and how often simulated studies reach a decision."""

import dataclasses
import html
import re
import shlex
from pathlib import Path

import advice
import advice_trajectories
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesdep as bd
from bayesdep.criticism.decisions import Decision
from bayesdep.designs.resized import resized
from bayesdep.designs.simulated import Simulated
from bayesdep.planning.design import FromPrior, _from_priors

RNG = np.random.default_rng(5)
DRAWS = np.arange(1, 1001) / 1000  # P(x < q) is q, up to one draw
QUICK = {"workers": 1, "draws": 200, "tune": 200, "chains": 2}


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        ("P(x > 0.1) > 0.89", True),
        ("P(x > 0.1) > 0.91", False),
        ("P(x < 0.2) < 0.25", True),
        ("P(0.1 < x < 0.6) > 0.49", True),
        ("P(|x| > 0.3) > 0.69", True),
        ("P(|x| < 0.3) > 0.31", False),
        ("width(x) < 0.951", True),
        ("width(x) < 0.949", False),
        ("P(x > 0.1) > 0.89 and width(x) < 0.5", False),
        ("P( x >-1e3 )>.9  and  P(x < +2.) > 0.9", True),
    ],
)
def test_a_decision_is_reached_by_the_shares_of_draws(text, reached):
    assert Decision.read(text).is_reached({"x": DRAWS}) is reached


def test_labels_may_hold_signs_and_words():
    one = Decision.read("P(difference_in[drug, BMI < 25 and age > 60] < -2) > 0.9 and width(y[a]) < 3")
    assert one.targets == ("difference_in[drug, BMI < 25 and age > 60]", "y[a]")


@pytest.mark.parametrize(
    ("text", "truth", "so"),
    [
        ("P(x > 1) > 0.9", 2.0, True),
        ("P(x > 1) > 0.9", 0.5, False),
        ("P(x > 1) < 0.1", 0.5, True),
        ("P(|x| > 1) > 0.9", -3.0, True),
        ("width(x) < 3", 1.0, None),
        ("P(x > 1) > 0.9", np.nan, None),
    ],
)
def test_what_a_decision_claims_is_compared_with_the_truth(text, truth, so):
    assert Decision.read(text).is_true({"x": truth}) is so


def visits(count=12, seed=3):
    rng, rows = np.random.default_rng(seed), []
    for i in range(count):
        baseline = rng.normal(24, 4)
        for week in (2, 4):
            missed = week == 4 and i % 6 == 5
            outcome = np.nan if missed else baseline - 4 + rng.normal(0, 5)
            rows.append(
                {"subject": f"s{i}", "arm": "pdd"[i % 3], "visit": week, "baseline": baseline, "outcome": outcome}
            )
    return pd.DataFrame(rows)


@pytest.mark.parametrize("n", [3, 6, 12, 30, 31])
def test_a_table_of_another_size_keeps_shares_visits_and_gaps(n):
    table = visits()
    made = resized(table, n, np.random.default_rng(1), unit=["subject"], strata=["arm"])
    people = made.groupby("subject").first()
    assert len(people) == n
    assert abs((people["arm"] == "p").sum() - n / 3) < 1
    assert (made.groupby("subject")["visit"].apply(list) == pd.Series([[2, 4]] * n, index=people.index)).all()
    if n == 12:  # every patient once
        pd.testing.assert_frame_equal(made.drop(columns="subject"), table.drop(columns="subject"))


def test_too_few_patients_for_every_arm_are_refused():
    with pytest.raises(bd.BadInput, match="give a larger n"):
        resized(visits(), 1, np.random.default_rng(1), unit=["subject"], strata=["arm"])


MODEL = bd.Trial(reference="p", covariance="ar1", scale=6.0)
POINT = {"arm_effect": -4.0, "arm_effect_departure": 0.0}


def test_truths_are_those_of_the_design_prior():
    draw = _from_priors(MODEL, visits(), POINT, ["arm_effect"])
    truths = {}
    for effects, of_size in draw.items():
        study = of_size(24)
        assert isinstance(study, FromPrior)
        data, truth = study([1, 2, 3])
        found = MODEL.estimands(truth, data)["difference"]
        truths[effects] = np.unique(found.values.round(6))
        assert data.sizes["subject"] == 24
        assert np.isnan(data["outcome"].values).sum() == 4  # as many gaps as the table has, in proportion
    assert truths == {"design": [-4.0], "no effect": [0.0]}


def test_outcomes_of_a_study_have_the_design_priors_moments():
    """Means of arms and the residual sd of many drawn studies, against the point masses they were drawn from."""
    table = visits(60)
    spread = {"residual_sd": bd.Prior("LogNormal", mu=np.log(5), sigma=1e-6)}
    study = _from_priors(MODEL, table, POINT | spread | {"rho": bd.Prior("Beta", alpha=5e5, beta=5e5)}, [])["design"](
        600
    )
    found = []
    for seed in range(20):
        data, truth = study([seed, seed + 100, seed + 200])
        y, arm = data["outcome"].values[:, 0], data["arm_of"].values
        baseline = data["baseline"].values
        design = np.column_stack([np.ones(len(y)), arm, baseline])
        coefficients, rest, *_ = np.linalg.lstsq(design, y, rcond=None)
        found.append((coefficients[1], np.sqrt(rest[0] / (len(y) - 3))))
        assert float(truth["residual_sd"].values.ravel()[0]) == pytest.approx(5, rel=1e-4)
    effect, sd = np.transpose(found)
    assert abs(effect.mean() + 4) < 4 * effect.std() / np.sqrt(20)
    assert abs(sd.mean() - 5) < 4 * sd.std() / np.sqrt(20)


def normals(seed, n):
    """Standardised differences of n studies with a known effect: the answer is known exactly."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"study": [f"s{k}" for k in range(n)], "effect": rng.normal(0.4, 0.5, n), "se": 0.5})
    return Simulated(table, {"mu": 0.4, "tau": 0.0})


@pytest.mark.sampling
def test_assurance_of_a_known_posterior_is_its_power():
    """With tau at zero and a wide prior the posterior is N(mean, se / sqrt(n)), whose power has a formula."""
    priors = {"mu": bd.Prior("Normal", mu=0, sigma=100), "tau": bd.Prior("HalfNormal", sigma=1e-6)}
    model = bd.Meta(measure="standardised-difference", priors=priors)
    found = bd.assurance(
        model, n=[4, 12], decision=["P(mu > 0) > 0.975", "width(mu) < 0.7"], simulate=normals, fits=300, workers=1,
        draws=1000, chains=2,
    )  # fmt: skip
    table = found.table.set_index(["decision", "n"])
    for n in (4, 12):
        row = table.loc["P(mu > 0) > 0.975", n]
        power = stats.norm.sf(1.96 - 0.4 / (0.5 / np.sqrt(n)))
        assert abs(row["assurance"] - power) < 4 * np.sqrt(power * (1 - power) / 300)
        assert row["wrong"] == 0
        assert table.loc["width(mu) < 0.7", n]["assurance"] == float(n == 12)  # 3.92 * 0.5 / sqrt(n): 0.98 and 0.57
    assert found.passed
    assert found.widths.set_index("n").loc[12, "mean"] == pytest.approx(3.92 * 0.5 / np.sqrt(12), rel=0.05)


@pytest.mark.sampling
def test_studies_are_the_same_resumed_or_not(tmp_path):
    how = {"decision": "P(difference[d, 4] < 0) > 0.9", "prior": POINT, "no_effect": ["arm_effect"], **QUICK}
    whole = bd.assurance(MODEL, visits(), n=[12, 24], fits=4, **how)
    said = list[str]()
    bd.assurance(MODEL, visits(), n=12, fits=2, store=tmp_path, **how)
    again = bd.assurance(MODEL, visits(), n=[12, 24], fits=4, store=tmp_path, say=said.append, **how)
    pd.testing.assert_frame_equal(whole.values, again.values)
    pd.testing.assert_frame_equal(whole.reached, again.reached)
    assert any("continues with 2 finished fits" in text for text in said)
    changed = how | {"prior": {**POINT, "arm_effect": -5.0}}
    bd.assurance(MODEL, visits(), n=12, fits=2, store=tmp_path, say=said.append, **changed)
    assert any("starts anew" in text and "prior" in text for text in said)


PLAN = """
[study]
name = "pilot"
title = "A trial to come"

[data]
source = "simulate:raison2013"
seed = 1

[data.keep]
week = [2, 12]

[data.columns]
outcome = "hamd"
baseline = "hamd_baseline"
visit = "week"

[model]
family = "trial"
reference = "placebo"
covariance = "ar1"
scale = 7
"""


@pytest.mark.sampling
@pytest.mark.parametrize("truth", ["prior", "simulator"])
def test_the_command_writes_a_report(command, tmp_path, truth):
    plan = tmp_path / "pilot.toml"
    plan.write_text(PLAN)
    given = ["--prior", "arm_effect = { dist = 'Normal', mu = -3, sigma = 1 }", "--no-effect", "arm_effect"]
    words = ["--decision", "P(difference[infliximab, 12] < 0) > 0.9", *(given if truth == "prior" else [])]
    code, out, err = command(
        "design", plan, "--n", "30,40", *words, "--truth", truth, "--fits", 3, "--draws", 200, "--tune", 200,
        "--workers", 1, "--out", tmp_path / "out",
    )  # fmt: skip
    assert code in (0, 1), err
    assert "Assurance of P(difference[infliximab, 12] < 0) > 0.9, by number of patients" in out
    assert ("Without effect" in out) == (truth == "prior")
    table = pd.read_csv(tmp_path / "out" / "assurance.csv")
    assert table["n"].tolist() == [30, 40]
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"report.html", "assurance.png", "widths.png", "fits.csv"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "SYNTHETIC DATA" in page
    written = shlex.split(html.unescape(re.search(r"bayesdep design [^<]*", page)[0]))
    assert written[written.index("--out") + 1] == (tmp_path / "out").as_posix()
    assert [written[k + 1] for k, word in enumerate(written) if word == "--decision"] == [words[1]]
    fits = pd.read_csv(tmp_path / "out" / "fits.csv")
    assert set(fits["effects"]) == ({"design", "no effect"} if truth == "prior" else {"design"})


def test_a_bad_plan_of_a_study_writes_nothing(command, tmp_path):
    plan = tmp_path / "pilot.toml"
    plan.write_text(PLAN)
    for words, said in (
        (["--n", "30", "--decision", "P(differenc[infliximab, 12] < 0) > 0.9"], "did you mean 'difference'"),
        (["--n", "many", "--decision", "width(residual_sd) < 1"], "write it as 60,120,240"),
        (["--n", "30", "--decision", "difference < 0"], "cannot be read"),
        (
            ["--n", "30", "--decision", "P(difference[infliximab, 12] < 0) > 0.9", "--prior", "arm_effect"],
            "write it as",
        ),
    ):
        code, out, err = command("design", plan, *words, "--out", tmp_path / "out")
        assert (code, out) == (2, ""), (out, err)
        assert said in err
        assert "Traceback" not in err
        assert not (tmp_path / "out").exists()


def test_the_help_shows_labels_in_brackets(command):
    """Brackets are marks of style where help is printed."""
    _, out, _ = command("design", "--help")
    assert "difference[drug, 8]" in " ".join(out.replace("│", " ").split())


def test_a_model_whose_patients_cannot_be_copied_needs_a_simulator():
    frame = pd.DataFrame({"study": list("abc"), "effect": [0.1, 0.2, 0.3], "se": 0.1})
    with pytest.raises(bd.BadInput, match="give simulate"):
        bd.assurance(bd.Meta(measure="standardised-difference"), frame, n=10, decision="P(mu > 0) > 0.9", fits=2)


def test_the_same_prior_of_analysis_and_design_is_the_models_own():
    study = _from_priors(MODEL, visits(), {}, [])["design"](12)
    assert isinstance(study, FromPrior)
    assert dict(study.designed.priors) == dict(MODEL.priors)
    other = dataclasses.replace(study, n=24)
    assert other.fingerprint != study.fingerprint
    assert dataclasses.replace(study).fingerprint == study.fingerprint


FAMILIES = {
    "crossover": (bd.Crossover(reference="p", scale=5.0), advice.PERIODS),
    "cytokines": (
        bd.Cytokines(reference="HC", group="group", value="value", subject="subject", analyte="analyte"), advice.ONE,
    ),
    "cytokines by time": (
        bd.Cytokines(
            reference="HC", group="group", value="value", subject="subject", analyte="analyte", time="time",
            baseline="Day 0",
        ),
        advice.WELLS,
    ),
    "response": (
        bd.Response(outcome="responder", analyte="analyte", value="value", effects="student", scale=1.0), advice.ONE,
    ),
    "correlation": (bd.Correlation(score="score", value="value"), advice.TNF),
    "patient-meta": (bd.PatientMeta(reference="c", moderators=["age"], split=False, scale=1.0), advice.PATIENTS),
    "trial with a moderator": (bd.Trial(reference="p", moderator="crp", scale=5.0), advice.VISITS),
    "trajectories": (
        bd.Trajectories(reference="p", value="value", analyte="marker", association=["value"], scale=5.0),
        advice_trajectories.BOTH,
    ),
    "ordinal": (
        bd.Ordinal(categories=["0", "1", "2"], reference="p", subject="subject", visit="time"),
        advice_trajectories.STAGES.assign(outcome=lambda t: t["outcome"].astype(int).astype(str)),
    ),
    "transitions": (
        bd.Transitions(states=["0", "1", "2"], reference="p", visit="time", state="outcome"),
        advice_trajectories.STAGES.assign(outcome=lambda t: t["outcome"].astype(int).astype(str)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n", [25, 40])
def test_every_family_with_patients_draws_studies_of_any_size(family, n):
    model, table = FAMILIES[family]
    study = _from_priors(model, table, {}, [])["design"](n)
    assert isinstance(study, FromPrior)
    data, truth = study([1, 2, 3])
    assert n in data.sizes.values()
    before = model.prepare(resized(table, n, np.random.default_rng(1), unit=study.unit, strata=study.strata))
    assert set(data.data_vars) == set(before.data_vars)
    estimands = model.estimands(truth, data)
    assert all(np.isfinite(estimands[name]).any() for name in list(estimands.data_vars)[:1])
    other, _ = study([1, 7, 8])
    changed = [name for name in data.data_vars if not data[name].identical(other[name])]
    assert changed  # outcomes
    assert "arm_of" not in changed


@pytest.mark.parametrize("level", ["above_0.8", "above_0.95"])
def test_assurance_agrees_with_a_simulation_of_the_published_design(level):
    """Raison 2013's moderation as one point: shares of ``benchmarks/crossing.py``, whose trials are others."""
    table = pd.read_csv(Path(__file__).parents[1] / "benchmarks" / "crossing.csv")
    found = table[table["quantity"] == "crossing"].set_index(["moderation", "patients"])
    one, other = found.loc["published"], found.loc["published, by bd.assurance"]
    assert list(one.index) == list(other.index) == [60, 120, 240, 480]
    n, m = one["trials"], other["trials"]
    share = (one[level] * n + other[level] * m + 1) / (n + m + 2)  # of both, kept from 0 and 1
    error = np.sqrt(share * (1 - share) * (1 / n + 1 / m))
    assert ((one[level] - other[level]).abs() <= 2.6 * error).all()
