"""Criticism: what a check's p counts, which comparisons are refused, and which priors are called strong."""

import dataclasses

import arviz_stats
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from unsampled import courses, stages, unsampled, visits

import bayesdep as bd
from bayesdep.criticism.checks import CheckResult, run_checks
from bayesdep.criticism.compare import Comparison
from bayesdep.criticism.sensitivity import THRESHOLD
from bayesdep.data.errors import BadInput


def screen(**priors):
    priors = {name: bd.Prior("Beta", alpha=a, beta=b) for name, (a, b) in priors.items()}
    model = bd.Screen(condition="responder", positives="below_34_pg_per_mL", priors=priors)
    return bd.fit(model, bd.load("kiraly2017_fgf2_roc"), seed=1)


@pytest.fixture(scope="module")
def weak():
    return screen()


@pytest.fixture(scope="module")
def strong():
    return screen(sensitivity=(50, 50), specificity=(50, 50))


def changed(fit, group, dataset):
    """The same fit with one group of its tree replaced."""
    groups = {name: node.to_dataset() for name, node in fit.tree.children.items()}
    return dataclasses.replace(fit, tree=xr.DataTree.from_dict({**groups, group: dataset}))


# Checks.


def result(observed, replicated, prior=(0.0,)):
    return CheckResult("n", "people", observed, np.array(replicated, float), np.array(prior, float))


def test_p_counts_replicates_above_the_data_and_half_of_the_ties():
    assert result(2, [1, 2, 2, 3, 4]).p == pytest.approx(2 / 5 + 0.5 * 2 / 5)
    assert result(2, [2, 2, 2]).p == 0.5
    assert result(2, [0, 1]).p == 0
    assert result(2, [3, 4]).p == 1


def test_replicates_that_differ_by_rounding_alone_are_ties():
    assert result(0.3, [0.1 + 0.2] * 4).p == 0.5


def test_prior_p_is_the_same_of_prior_replicates():
    assert result(2, [9, 9], prior=[1, 2, 3, 4]).prior_p == pytest.approx(0.5 + 0.125)


def test_p_of_a_share_is_that_of_its_beta_binomial(weak):
    """Replicated responders among 19 are BetaBinomial(19, 15.5, 4.5); the data hold 15."""
    known = stats.betabinom(19, 15.5, 4.5)
    exact = known.sf(15) + known.pmf(15) / 2
    found = next(r for r in run_checks(weak) if r.name == "share positive: responder")
    assert found.observed == 15 / 19
    assert found.p == pytest.approx(exact, abs=4 * np.sqrt(0.25 / found.replicated.size))
    prior = stats.betabinom(19, 0.5, 0.5)
    exact = prior.sf(15) + prior.pmf(15) / 2
    assert found.prior_p == pytest.approx(exact, abs=4 * np.sqrt(0.25 / found.prior.size))


def test_prior_that_contradicts_the_data_gives_extreme_checks(weak, strong):
    def p(fit):
        return bd.check_predictions(fit).set_index("check").loc["share positive: non-responder", "p"]

    assert 0.2 < p(weak) < 0.8
    assert p(strong) > 0.95  # Beta(50, 50) expects a third of false positives or more; one in 12 was seen


def test_check_tabulates_every_statistic_of_the_model(weak):
    table = bd.check_predictions(weak)
    assert table.columns.to_list() == ["check", "units", "observed", "median", "lower", "upper", "p", "prior_p"]
    assert table["check"].to_list() == ["share positive: responder", "share positive: non-responder"]
    assert table["observed"].to_list() == [15 / 19, 1 / 12]
    assert (table["lower"] <= table["median"]).all()
    assert (table["median"] <= table["upper"]).all()


# Sensitivity.


def test_strong_prior_against_the_data_is_flagged_and_a_weak_one_is_not(weak, strong):
    def prior(fit):
        return bd.check_prior_sensitivity(fit).set_index("estimand")["prior"]

    for name in ("sensitivity", "specificity", "youden"):
        assert prior(strong)[name] > 2 * THRESHOLD
    assert prior(weak)["sensitivity"] < THRESHOLD
    found = bd.check_prior_sensitivity(strong).set_index("estimand")["diagnosis"]
    assert (found.loc[["sensitivity", "specificity"]] == "depends on its prior").all()
    assert bd.check_prior_sensitivity(weak).set_index("estimand").loc["sensitivity", "diagnosis"] == "robust"


def test_prior_of_one_parameter_does_not_flag_the_other():
    fit = screen(sensitivity=(50, 50), specificity=(1, 1))
    found = bd.check_prior_sensitivity(fit).set_index("estimand")["prior"]
    assert found["sensitivity"] > 2 * THRESHOLD
    assert found["specificity"] < THRESHOLD


def test_data_move_every_estimand_of_a_weak_prior(weak):
    assert (bd.check_prior_sensitivity(weak)["likelihood"] > THRESHOLD).all()


def test_a_flat_prior_has_no_sensitivity():
    """Raised to any power it stays flat; its log density is the same at all draws."""
    table = pd.DataFrame({"before": ["a", "a", "b", "b"], "after": ["a", "b", "a", "b"], "n": [3, 9, 4, 6]})
    fit = bd.fit(bd.Transitions(states=["a", "b"], input="counts"), table, draws=300, chains=2, seed=1)
    found = bd.check_prior_sensitivity(fit)
    assert (found["prior"] == 0).all()
    assert (found["likelihood"] > THRESHOLD).any()


# Comparisons.


def counts(table, **settings):
    return bd.fit(bd.Counts(control="placebo", pooling="none", **settings), table, draws=250)


def table(events=(8, 3, 7, 12), n=(13, 9, 17, 21)):
    return pd.DataFrame(
        {"subgroup": ["high", "high", "low", "low"], "arm": ["drug", "placebo"] * 2, "events": events, "n": n}
    )


@pytest.fixture(scope="module")
def raison():
    return counts(table())


def refusal(**fits):
    with pytest.raises(BadInput) as refused:
        bd.compare(fits)
    message = str(refused.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("fits", [{}, {"a": None}])
def test_one_fit_is_no_comparison(fits):
    with pytest.raises(BadInput, match="two fits or more"):
        bd.compare(fits)


def test_fits_that_leave_out_different_units_are_refused(raison):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class ByArm(bd.Counts):
        @property
        def left_out(self):
            return "arm"

    by_arm = dataclasses.replace(raison, model=ByArm(control="placebo", pooling="none"))
    message = refusal(a=raison, b=by_arm)
    assert message.startswith("a and b cannot be compared: one leaves out a subject, the other a arm")


def test_fits_of_different_rows_are_refused(raison):
    other = table().replace({"low": "normal"})
    assert "a and b cannot be compared: they saw different rows of 'events'" in refusal(a=raison, b=counts(other))
    fewer = counts(table().head(2))
    assert "they saw different rows of 'events'; fit both to the same table" in refusal(a=raison, b=fewer)


def test_fits_of_different_values_are_refused(raison):
    other = counts(table(events=(9, 3, 7, 12)))
    message = refusal(a=raison, b=other)
    assert "'events' has different values in the two" in message
    assert "compare fits of the same outcome" in message


def test_density_is_not_compared_with_a_probability(raison):
    """The same numbers as a continuous outcome: its score is a density, the counts' a probability."""
    seen = raison.tree["observed_data"].to_dataset()
    message = refusal(a=raison, b=changed(raison, "observed_data", seen.astype(float)))
    assert "'events' has different values in the two (another scale, or other data)" in message
    message = refusal(a=raison, b=changed(raison, "observed_data", seen.rename(events="log_events")))
    assert "their outcomes differ (events against log_events)" in message


def test_free_and_random_levels_of_studies_are_not_compared(raison):
    fits = {
        levels: dataclasses.replace(raison, model=Levels(control="placebo", pooling="none", study_levels=levels))
        for levels in ("free", "random")
    }
    assert "set study_levels alike in both" in refusal(**fits)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Levels(bd.Counts):
    study_levels: str = "free"


def test_refusal_names_the_pair_that_does_not_match(raison):
    message = refusal(first=raison, second=raison, third=counts(table(events=(9, 3, 7, 12))))
    assert message.startswith("first and third cannot be compared")


def test_identical_fits_rank_as_equal(raison):
    found = bd.compare({"a": raison, "b": raison})
    assert found.table["elpd"].nunique() == 1
    assert found.table["elpd_diff"].abs().max() == 0
    assert found.table["diff_se"].abs().max() == 0
    assert found.reliable
    assert found.sentence.startswith(
        "a and b cannot be told apart: their scores differ by 0.0, and differences below 4"
    )
    assert found.by_unit["difference"].abs().max() == 0
    assert found.left_out == "subject"
    assert found.units == 60


def test_expected_density_is_that_of_leaving_each_subject_out(raison):
    """Exact: with Beta(1/2, 1/2) priors, one subject of a cell is predicted by the others' posterior mean."""
    exact = 0.0
    for y, n in zip((8, 3, 7, 12), (13, 9, 17, 21), strict=True):
        a, b = y + 0.5, n - y + 0.5
        exact += y * np.log((a - 1) / (a + b - 1)) + (n - y) * np.log((b - 1) / (a + b - 1))
    found = bd.compare({"a": raison, "b": raison}).table.iloc[0]
    # 1000 draws; the score's Monte Carlo error is far below its standard error over subjects, 3.4.
    assert found["elpd"] == pytest.approx(exact, abs=0.25)
    assert found["p_loo"] == pytest.approx(4, abs=1.0)  # four free probabilities


def test_better_model_ranks_first_whatever_the_order_given(raison):
    poor = counts(table(), priors={"risk": bd.Prior("Beta", alpha=1, beta=60)})
    for fits in ({"poor": poor, "good": raison}, {"good": raison, "poor": poor}):
        found = bd.compare(fits)
        assert found.table["model"].to_list() == ["good", "poor"]
        assert found.table["elpd"].is_monotonic_decreasing
        row = found.table.iloc[1]
        assert 4 < abs(row["elpd_diff"]) < 4 * row["diff_se"]  # 60 people are too few for two standard errors
        assert found.sentence.startswith("good and poor cannot be told apart: their scores differ by ")
        assert "among fewer than 100 units the error can be twice as large" in found.sentence
        assert found.by_unit["difference"].sum() == pytest.approx(-row["elpd_diff"])
        assert found.by_unit["difference"].is_monotonic_decreasing
        assert set(found.by_unit["unit"]) == set(raison.tree["log_likelihood"]["subject"].values)
        assert found.table["weight"].sum() == pytest.approx(1, abs=1e-6)


def test_high_pareto_k_makes_a_ranking_unreliable_and_names_the_fit(raison):
    """Log-likelihoods with a heavy left tail: importance ratios with a Pareto tail of shape 2."""
    scores = raison.tree["log_likelihood"].to_dataset()
    name = str(next(iter(scores.data_vars)))
    values = scores[name].copy(deep=True)
    rng = np.random.default_rng(0)
    values[:, :, 0] = -2 * stats.expon.rvs(size=values.shape[:2], random_state=rng)
    spoiled = changed(raison, "log_likelihood", scores.assign({name: values}))
    found = bd.compare({"fine": raison, "spoiled": spoiled})
    k = found.table.set_index("model")["worst_pareto_k"]
    assert k["fine"] < 0.7 < k["spoiled"]
    assert not found.reliable
    assert found.sentence.startswith("UNRELIABLE: Pareto k reaches")
    assert "in spoiled," in found.sentence


def ranked(differences, ses, units=200, by_unit=None):
    names = ["a", "b", "c"][: len(differences) + 1]
    table = pd.DataFrame(
        {"model": names, "elpd_diff": [0.0, *differences], "diff_se": [0.0, *ses], "worst_pareto_k": 0.1,
         "weight": 1 / len(names)}
    )  # fmt: skip
    return Comparison(table, "subject", units, pd.DataFrame() if by_unit is None else by_unit).sentence


def test_a_sentence_says_no_more_than_the_numbers_allow():
    """Told apart: a difference of 4 or more beyond two standard errors, or four among fewer than 100 units."""
    assert ranked([10.0], [4.9]).startswith("a predicts best, ahead of b by 10.0 (standard error 4.9); leaving out one")
    assert "a and b cannot be told apart" in ranked([10.0], [5.1])
    assert "with a standard error of 5.1, less than two of them" in ranked([10.0], [5.1])
    assert ranked([3.9], [0.1]).startswith(
        "a and b cannot be told apart: their scores differ by 3.9, and differences below 4 say nothing"
    )
    assert ranked([4.1], [0.1]).startswith("a predicts best")
    assert "can be twice as large" in ranked([10.0], [2.6], units=60)
    assert ranked([10.0], [2.4], units=60).startswith("a predicts best")
    assert ranked([1.0, 20.0], [1.0, 2.0]).startswith("a and b cannot be told apart: their scores differ by 1.0")
    assert ranked([1.0, 3.0], [1.0, 2.0]).startswith("a, b and c cannot be told apart: their scores differ by 3.0")
    assert ranked([10.0], [1.0]).endswith("stacking weights: 0.50 a, 0.50 b")


def test_units_that_decide_are_counted_and_others_are_not():
    even = np.full(200, 0.05)
    one = pd.DataFrame({"unit": [f"p{i}" for i in range(200)], "difference": np.r_[6.0, np.full(199, 0.015)]})
    assert "which depends on one subject (first in by_unit): without, it is 3.0 (0.0)" in ranked(
        [8.985], [1.0], by_unit=one
    )
    none = one.assign(difference=even)
    assert "depends" not in ranked([10.0], [1.0], by_unit=none)
    # three of 4 and the rest 3.6: without one 11.6 beyond 2 x 5.6, without two 7.6 within 2 x 4.0
    three = one.assign(difference=np.r_[4.0, 4.0, 4.0, np.full(197, 3.6 / 197)])
    assert "depends on 2 units (first in by_unit): without, it is 7.6 (4.0)" in ranked([15.6], [6.9], by_unit=three)


# Meta-analyses of two and of three levels.


def effects(seed=4):
    rng = np.random.default_rng(seed)
    lab = np.array(["d", "b", "a", "c", "e", "f"])[np.arange(15) % 6]  # neither sorted nor in one piece
    own = dict(zip("abcdef", rng.normal(0, 0.4, 6), strict=True))
    effect = [round(0.3 + own[x] + rng.normal(0, 0.25), 3) for x in lab]
    return pd.DataFrame({"study": [f"s{i}" for i in range(15)], "lab": lab, "effect": effect, "se": 0.2})


LEVELS = {
    2: bd.Meta(measure="standardised-difference"), 3: bd.Meta(measure="standardised-difference", cluster="lab"),
}  # fmt: skip


def test_two_and_three_levels_are_compared_cluster_by_cluster_exactly():
    """log p(cluster | all others) is a difference of log marginal likelihoods, known by quadrature."""
    table = effects()
    fits = {f"{k} levels": bd.fit(model, table, draws=4000, seed=1) for k, model in LEVELS.items()}
    for order in (fits, dict(reversed(fits.items()))):
        found = bd.compare(order)
        assert (found.left_out, found.units) == ("cluster", 6)
        of_unit = found.by_unit.set_index("unit")
        assert sorted(of_unit.index) == list("abcdef")
        for k, model in LEVELS.items():
            data = model.prepare(table)
            for lab in "abcdef":
                kept = (table["lab"] != lab).to_numpy()
                both = [model.hierarchy(data, at[None]).log_marginal for at in (np.full(15, True), kept)]
                exact = float(np.ravel(both[0])[0] - np.ravel(both[1])[0])
                # 16,000 independent draws and Pareto's k below 0.5: a few hundredths
                assert of_unit.loc[lab, f"{k} levels"] == pytest.approx(exact, abs=0.05)


def test_levels_whose_units_depend_on_one_another_are_refused_as_before():
    table = effects()
    fits = {k: bd.fit(model, table, draws=100, seed=1) for k, model in LEVELS.items()}
    dependent = dataclasses.replace(fits[2], data=fits[2].data.assign(covariance=(("study", "other"), np.eye(15))))
    assert "one leaves out a study, the other a cluster; compare fits with the same unit" in refusal(
        a=dependent, b=fits[3]
    )
    other = bd.fit(LEVELS[2], table.assign(effect=table["effect"] + 1), draws=100, seed=1)
    assert "'effect' has different values in the two" in refusal(a=other, b=fits[3])


# Models of one outcome in different families.


def trial_and_growth(change=lambda table: table, **settings):
    """The same trial as means by visit and as straight lines, whose table has patients in the other order."""
    table = visits()
    lines = table.dropna(subset=["outcome"]).rename(columns={"visit": "time"}).iloc[::-1]
    growth = bd.Trajectories(reference="arm 0", course="linear", covariates="baseline", **settings)
    return unsampled(bd.Trial(reference="arm 0", covariance="ar1"), table), unsampled(growth, change(lines))


def refused(fits):
    return refusal(trial=fits[0], growth=fits[1])


@pytest.mark.sampling
def test_a_trial_and_growth_curves_are_compared_patient_by_patient():
    table = visits(n=40)
    lines = table.dropna(subset=["outcome"]).rename(columns={"visit": "time"}).iloc[::-1]
    how = {"draws": 300, "chains": 2, "seed": 1}
    fits = {
        "means by visit": bd.fit(bd.Trial(reference="arm 0", covariance="ar1"), table, **how),
        "lines": bd.fit(bd.Trajectories(reference="arm 0", course="linear", covariates="baseline"), lines, **how),
        "levels": bd.fit(bd.Trajectories(reference="arm 0", course="linear", deviations="level"), lines, **how),
    }
    found = bd.compare(fits)
    assert found.left_out == "subject"
    assert found.units == 40
    by_unit = found.by_unit.set_index("unit")
    assert set(by_unit.index) == set(table["subject"])
    for name, fit in fits.items():
        alone = arviz_stats.loo(fit.tree, pointwise=True, var_name="by_subject").elpd_i.to_series()
        np.testing.assert_allclose(by_unit[name], alone[by_unit.index], rtol=1e-12)
        row = found.table.set_index("model").loc[name]
        assert by_unit[name].sum() == pytest.approx(row["elpd"], rel=1e-12)
    best, second = found.table["model"][:2]
    assert by_unit["difference"].sum() == pytest.approx(-found.table["elpd_diff"][1], rel=1e-9)
    assert found.table["diff_se"][1] == pytest.approx(
        np.sqrt(40 * (by_unit[best] - by_unit[second]).var(ddof=0)), rel=1e-9
    )


def test_a_trial_and_growth_curves_of_other_outcomes_are_refused():
    assert len(bd.compare(dict(zip("ab", trial_and_growth(), strict=True))).table) == 2
    fewer = refused(trial_and_growth(lambda t: t[t["subject"] != "p3"]))
    assert "they are of different subjects (1 in one of them only); fit both to the same rows" in fewer
    earlier = refused(trial_and_growth(lambda t: t[(t["subject"] != "p3") | (t["time"] < 8)]))
    assert "the outcomes of a subject differ in number or value (other visits, another scale)" in earlier
    assert "p3" not in earlier
    standardised = refused(trial_and_growth(lambda t: t.assign(outcome=t["outcome"] / t["outcome"].std())))
    assert "differ in number or value" in standardised
    yes_no = trial_and_growth(lambda t: t.assign(outcome=(t["outcome"] < 20).astype(float)), kind="response")
    responses = refused(yes_no)
    assert "the score of one is a density, that of the other a probability" in responses


def test_a_trial_is_not_compared_with_a_model_of_markers_too():
    table = courses(people=24)
    plain = table.dropna(subset=["outcome"]).rename(columns={"time": "visit"})
    trial = unsampled(bd.Trial(reference="arm 0", baseline=None), plain[plain["visit"] > 0])
    joint = unsampled(
        bd.Trajectories(reference="arm 0", value="value", analyte="marker", association="change"),
        table[(table["time"] > 0) | table["outcome"].isna()],
    )
    message = refused((trial, joint))
    assert "one also models log2_concentration and scores the outcome given it; compare fits of the outcome" in message


def test_ordered_categories_of_two_families_are_compared():
    """The same categories of the same patients: probabilities both."""
    names = [f"category {k}" for k in range(4)]
    table = stages()
    model = bd.Ordinal(categories=names, reference="arm 0", subject="subject", visit="visit")
    lines = bd.Trajectories(kind="ordinal", categories=names, reference="arm 0", course="linear")
    fits = {"a": unsampled(model, table), "b": unsampled(lines, table.rename(columns={"visit": "time"}))}
    found = bd.compare(fits)
    assert found.units == 24
    backwards = dataclasses.replace(lines, categories=names[::-1])
    turned = unsampled(backwards, table.rename(columns={"visit": "time"}))
    assert "the outcomes of a subject differ in number or value" in refusal(a=fits["a"], b=turned)
