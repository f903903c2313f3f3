"""Inputs that people bring (../shared/cases) for counts and crossover trials, and what is right for each."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.models.parts.contrasts import contrast_root
from bayesdep.numerics.distributions import Prior

CASES = Path(__file__).parents[2] / "shared" / "cases"
ROOT = Path(__file__).parents[1]


def case(name):
    """The stored case; a copy made here where the shared folder is not at hand."""
    made = {
        "counts_zero_in_one_arm": {"arm": ["drug", "placebo"], "events": [0, 4], "n": [20, 20]},
        "counts_empty_subgroup": {
            "subgroup": ["hi", "hi", "lo", "lo"], "arm": ["drug", "placebo"] * 2, "events": [0, 0, 3, 2],
            "n": [30, 30, 40, 40],
        },
    }  # fmt: skip
    path = CASES / f"{name}.csv"
    return pd.read_csv(path) if path.exists() else pd.DataFrame(made[name])


def unpooled(**settings):
    return bd.Counts(control="placebo", pooling="none", **settings)


# Counts: no events in an arm, in a subgroup, or events in everybody.


@pytest.fixture(scope="module")
def zero():
    return bd.summarise(bd.fit(unpooled(subgroup=None), case("counts_zero_in_one_arm"), draws=250)).set_index(
        ["estimand", "arm", "treatment"]
    )


def test_no_events_in_twenty_leave_a_risk_of_a_tenth_possible(zero):
    drug = zero.loc[("risk", "drug", "")]
    assert drug["lower"] == 0
    assert drug["upper"] == pytest.approx(stats.beta.ppf(0.975, 0.5, 20.5), rel=1e-9)
    assert 2.2 / 20 < drug["upper"] < 2.5 / 20
    # Clopper-Pearson's bound solves (1 - p)^20 = 0.025
    assert drug["exact_lower"] == 0
    assert drug["exact_upper"] == pytest.approx(1 - 0.025 ** (1 / 20), rel=1e-9)
    placebo = zero.loc[("risk", "placebo", "")]
    exact = stats.binomtest(4, 20).proportion_ci(0.95, "exact")
    assert placebo[["exact_lower", "exact_upper"]].to_list() == pytest.approx([exact.low, exact.high], rel=1e-9)


def test_risk_difference_of_no_events_against_four_is_jeffreys(zero):
    row = zero.loc[("risk_difference", "", "drug")]
    assert row[["lower", "upper"]].to_list() == pytest.approx([-0.39, -0.03], abs=0.005)  # the case's, two digits
    assert np.isnan(row["exact_lower"])
    assert zero.loc[("risk_ratio", "", "drug"), "lower"] == 0
    assert zero.loc[("odds_ratio", "", "drug"), "lower"] == 0
    assert zero.loc[("odds_ratio", "", "drug"), "upper"] > 0.5  # it was 0.011 under Beta(0.01, 0.01)


def test_an_empty_subgroup_passes_the_gate_and_says_nothing_sharp():
    fit = bd.fit(unpooled(), case("counts_empty_subgroup"), draws=250)
    assert fit.gate.passed
    assert [c.name for c in fit.gate.criteria] == ["independent draws"]
    rows = bd.summarise(fit).set_index(["estimand", "subgroup"])
    empty = rows.loc[("odds_ratio", "hi")]
    assert (empty["lower"], empty["upper"]) == (0, np.inf)
    difference = rows.loc[("risk_difference", "hi")]
    assert difference["lower"] == pytest.approx(-difference["upper"], abs=1e-9)  # the arms are alike
    assert difference["median"] == pytest.approx(0, abs=1e-9)


def test_few_draws_of_a_known_posterior_fail_by_their_number():
    gate = bd.fit(unpooled(), case("counts_empty_subgroup"), draws=50).gate
    assert not gate.passed
    assert "independent draws 200, needs >= 400" in gate.sentence


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize(("events", "n"), [(0, 10), (10, 10), (3, 10), (1, 50)])
def test_intervals_reach_the_ends_exactly_where_the_counts_do(events, n, level):
    table = pd.DataFrame({"arm": ["placebo", "drug"], "events": [n - events, events], "n": [n, n]})
    exact = unpooled(subgroup=None).exact(unpooled(subgroup=None).prepare(table))
    rows = bd.summarise_exact(exact, level=level).set_index(["estimand", "arm"])
    lower, upper = stats.beta.ppf([(1 - level) / 2, (1 + level) / 2], events + 0.5, n - events + 0.5)
    drug, placebo = rows.loc[("risk", "drug")], rows.loc[("risk", "placebo")]
    assert drug["lower"] == pytest.approx(0 if events == 0 else lower, rel=1e-9)
    assert drug["upper"] == pytest.approx(1 if events == n else upper, rel=1e-9)
    # exchanged: events and their absence
    assert placebo["lower"] == pytest.approx(1 - drug["upper"], abs=1e-9)
    assert placebo["exact_lower"] == pytest.approx(1 - drug["exact_upper"], abs=1e-9)


def test_exchanging_arms_turns_the_sign_and_inverts_the_ratios(zero):
    other = bd.Counts(control="drug", pooling="none", subgroup=None)
    rows = bd.summarise_exact(other.exact(other.prepare(case("counts_zero_in_one_arm")))).set_index("estimand")
    mine = zero.xs("drug", level="treatment").droplevel("arm")
    assert rows.loc["risk_difference", "lower"] == pytest.approx(-mine.loc["risk_difference", "upper"], abs=1e-9)
    for name in ("risk_ratio", "odds_ratio"):
        assert rows.loc[name, "upper"] == np.inf  # one over 0
        assert rows.loc[name, "lower"] == pytest.approx(1 / mine.loc[name, "upper"], rel=1e-6)
        assert rows.loc[name, "median"] == pytest.approx(1 / mine.loc[name, "median"], rel=1e-6)


def test_a_screen_without_misses_reaches_one():
    table = pd.DataFrame({"group": ["ill", "well"], "positives": [12, 0], "n": [12, 30]})
    model = bd.Screen(condition="ill")
    rows = bd.summarise_exact(model.exact(model.prepare(table))).set_index("estimand")
    assert rows.loc[["sensitivity", "specificity"], "upper"].to_list() == [1, 1]
    assert rows.loc["sensitivity", "exact_lower"] == pytest.approx(0.025 ** (1 / 12), rel=1e-9)
    assert rows.loc["likelihood_ratio_positive", "upper"] == np.inf
    assert rows.loc["likelihood_ratio_negative", "lower"] == 0
    assert rows.loc["youden", "upper"] == 1
    misses = table.assign(positives=[11, 0])
    rows = bd.summarise_exact(model.exact(model.prepare(misses))).set_index("estimand")
    assert rows.loc["youden", "upper"] < 1  # the difference is at its end only where both shares are


def test_a_table_of_coverage_is_what_scipys_quantiles_give():
    found = pd.read_csv(ROOT / "benchmarks" / "counts_coverage.csv").query("of == 'risk'")
    for row in found.query("n in (20, 50)").itertuples():
        events = np.arange(row.n + 1)
        chance = stats.binom.pmf(events, row.n, row.risk)
        lower, upper = stats.beta.ppf([[0.025], [0.975]], events + 0.5, row.n - events + 0.5)
        lower[0], upper[-1] = 0, 1
        inside = (lower <= row.risk) & (row.risk <= upper)
        assert row.jeffreys == pytest.approx(chance[inside].sum(), abs=1e-6)
    script = importlib.util.spec_from_file_location("counts_coverage", ROOT / "benchmarks" / "counts_coverage.py")
    module = importlib.util.module_from_spec(script)
    script.loader.exec_module(module)
    pair = pd.read_csv(ROOT / "benchmarks" / "counts_coverage.csv").query(
        "treated == 0.05 and control == 0.2 and n == 10"
    )
    assert pair.iloc[0][["difference", "risk ratio", "odds ratio"]].to_list() == pytest.approx(
        list(module.of_pair(10, 0.05, 0.2).values()), abs=1e-6
    )


def test_nobody_in_a_cell_is_refused_with_a_remedy_that_works():
    table = case("counts_empty_subgroup").assign(n=[0, 30, 40, 40])
    for pooling in ("none", "partial"):
        with pytest.raises(BadInput, match="row 1 \\(hi, drug\\) is 0; leave subgroup 'hi' out"):
            bd.Counts(control="placebo", pooling=pooling).prepare(table)
    assert unpooled().prepare(table[table["subgroup"] != "hi"]).sizes["subgroup"] == 1


# Pooled counts: arms are exchangeable.


def density(model, data, point):
    """The log density at named values on the sampler's scale, compiled for this test alone."""
    built = model.build(data)
    return float(built.compile_logp(mode="FAST_COMPILE")(point))


@pytest.mark.parametrize("pooling", ["partial", "complete"])
@pytest.mark.parametrize("arms", [2, 3])
def test_exchanging_control_and_treated_changes_only_signs(pooling, arms):
    names = ["a", "b", "c"][:arms]
    table = pd.DataFrame(
        [(g, a, 2 + 3 * i + j, 20 + i + 2 * j) for i, g in enumerate("xyz") for j, a in enumerate(names)],
        columns=["subgroup", "arm", "events", "n"],
    )
    count = arms - 1
    turn = np.eye(count)  # contrasts against b from those against a: b's own sign turns, c loses b's
    turn[:, 0] = -1
    root = contrast_root(count)
    by_root = np.linalg.solve(root, turn @ root)
    rng = np.random.default_rng(5)
    models = [bd.Counts(control=control, pooling=pooling) for control in "ab"]
    data = [m.prepare(table) for m in models]
    for _ in range(3):
        shared = {
            "baseline_mean": rng.normal(),
            "baseline_sd_softplus__": rng.normal(),
            "baseline_latent": rng.normal(size=3),
        }
        if pooling == "partial":
            shared["effect_sd_softplus__"] = rng.normal()
        latent = rng.normal(size=count)
        mine, other = dict(shared), dict(shared)
        name = "effect_mean" if arms == 2 else "effect_mean_standardised"
        mine[name], other[name] = latent, by_root @ latent
        if pooling == "partial":
            mine["effect_latent"] = rng.normal(size=(3, count))
            other["effect_latent"] = mine["effect_latent"] @ by_root.T
        assert density(models[0], data[0], mine) == pytest.approx(density(models[1], data[1], other), abs=1e-10)


def test_three_pooled_arms_need_a_prior_that_says_how_they_go_together():
    table = pd.DataFrame([(g, a, 2, 20) for g in "xy" for a in "abc"], columns=["subgroup", "arm", "events", "n"])
    prior = {"effect_mean": Prior("StudentT", nu=4, mu=0, sigma=1)}
    with pytest.raises(BadInput, match=r"for 3 arms; .* use a Normal"):
        bd.Counts(control="a", priors=prior).prepare(table)
    assert bd.Counts(control="a", priors=prior).prepare(table[table["arm"] != "c"]).sizes["arm"] == 2


@pytest.mark.sampling
def test_pooled_counts_with_an_empty_subgroup_agree_with_the_swapped_ones():
    """Two fits of one posterior: the risk difference turns its sign, within Monte Carlo error."""
    table = case("counts_empty_subgroup")
    rows = {}
    for control in ("placebo", "drug"):
        fit = bd.fit(bd.Counts(control=control), table, draws=1000, tune=1000, seed=7)
        assert fit.gate.passed, fit.gate.sentence
        rows[control] = bd.summarise(fit).set_index(["estimand", "subgroup"])
    for g in ("hi", "lo"):
        one, other = (rows[c].loc[("risk_difference", g)] for c in ("placebo", "drug"))
        # ESS of at least 400 each: means are known to sd / 20, at four of these
        assert one["mean"] == pytest.approx(-other["mean"], abs=4 * one["sd"] * np.sqrt(2 / 400))
    hi = rows["placebo"].loc[("risk", "hi")]
    assert (hi["upper"] > 0.01).all()  # an empty subgroup proves nothing
    assert (hi["lower"] < 0.02).all()


# Crossover: peak flow in litres a minute.


@pytest.mark.sampling
@pytest.mark.parametrize("times", [1.0, 1000.0])
def test_peak_flow_is_what_reml_says_in_any_unit(times):
    """REML has -49.5 (se 7.9) for salbutamol less formoterol; the posterior mean lies within 0.35 of that se."""
    path = CASES / "crossover_peak_flow.csv"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    table = pd.read_csv(path)
    model = bd.Crossover(
        reference="F", subject="patient", treatment="drug", outcome="pef", day=None, better="higher", units="L/min"
    )
    fit = bd.fit(model, table.assign(pef=table["pef"] * times), seed=3)
    assert fit.gate.passed, fit.gate.sentence
    row = bd.summarise(fit).set_index("estimand").loc["difference"]
    assert row["mean"] / times == pytest.approx(-49.5, abs=0.35 * 7.9)
    assert row["sd"] / times == pytest.approx(7.9, rel=0.25)  # REML takes its spreads for known


# Labels that are numbers.


@pytest.mark.parametrize("label", [0, 0.0, "0"])
def test_a_label_given_as_a_number_is_the_tables(label):
    table = pd.DataFrame({"arm": [0, 1], "events": [0, 4], "n": [20, 20]})
    model = bd.Counts(control=label, pooling="none", subgroup=None)
    assert model.control == "0"
    assert model.prepare(table)["arm"].values.tolist() == ["0", "1"]
    assert bd.Trial(reference=label).reference == bd.Crossover(reference=label).reference == "0"
    panel = bd.Cytokines(group="g", reference=label, time="t", baseline=label, subject="id")
    assert (panel.reference, panel.baseline) == ("0", "0")
    with pytest.raises(BadInput, match="control = True"):
        bd.Counts(control=True, pooling="none")
