"""The verdict's second part: does the model fit its data, and does its prior let it?"""

import dataclasses
import functools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayesdep as bd
from bayesdep.inference.diagnostics import Criterion, Gate, check_convergence
from bayesdep.inference.remedies import add_remedy
from bayesdep.inference.sample import estimand_template
from bayesdep.inference.steps import Steps
from bayesdep.inference.tails import Distribution
from bayesdep.inference.verdict import LEVEL
from bayesdep.models.model import ExactPosterior, KnowsPosterior, estimand
from bayesdep.models.register import SHIPPED
from bayesdep.models.small_studies.averaging import MixtureWithZero
from bayesdep.numerics.marginals import NormalMixture
from bayesdep.plan import find_plans, prepare, read_plan
from bayesdep.reporting.export import journal_table
from bayesdep.reporting.ledger import Published, ledger, ledger_in_words, refuse_unknown

PLANS = {f"{p.parent.name}/{p.stem}": p for p in find_plans(Path(__file__).parents[1] / "models")}


@functools.cache
def sketched(name):
    """A shipped plan's model, its data, and its estimands at a few prior draws."""
    plan = read_plan(PLANS[name])
    if plan.needs_data:
        pytest.skip("its table is the user's")
    data = prepare(plan)
    return plan.model, data, estimand_template(plan.model, data)


# What is primary, and what is a probability.


def test_shipped_plans_cover_all_families():
    assert {read_plan(path).model.family for path in PLANS.values()} == set(SHIPPED)


@pytest.mark.parametrize("name", PLANS)
def test_primary_estimands_are_estimands_with_a_spread(name):
    model, _, found = sketched(name)
    assert model.primary_estimands
    assert set(model.primary_estimands) <= set(found.data_vars)
    for primary in model.primary_estimands:
        assert not {"probability", "reciprocal_of"} & set(found[primary].attrs)


@pytest.mark.parametrize("name", PLANS)
def test_every_estimand_of_zeros_and_ones_says_that_it_is_a_probability(name):
    _, _, found = sketched(name)
    for label, values in found.data_vars.items():
        zeros_and_ones = bool(np.isin(values.values, (0.0, 1.0)).all()) and np.unique(values.values).size == 2
        if zeros_and_ones and not label.startswith("number_"):  # how many of one analyte is a count, though 0 or 1
            assert values.attrs.get("probability") == 1, label
        if "probability" in values.attrs:
            assert np.isin(values.values, (0.0, 1.0)).all()
            assert np.isnan(values.attrs["null"])


# What shipped plans state of their verdicts: `bayesdep reproduce` holds every plan against its own statement; here are
# the list, and the plans whose posterior needs no sampling.

STATED = {"kiraly2017/table2_moments", "benchmarks/nhanes_crp", "benchmarks/viral_load"}


def test_shipped_plans_that_warn_are_these():
    assert {name for name, path in PLANS.items() if read_plan(path).study.expects_warning} == STATED


@pytest.mark.parametrize("name", PLANS)
def test_shipped_plan_with_an_exact_posterior_warns_if_it_says_so(name):
    plan = read_plan(PLANS[name])
    if plan.needs_data or not isinstance(plan.model, KnowsPosterior):
        pytest.skip("no exact posterior")
    data = prepare(plan)
    if plan.model.exact(data) is None:
        pytest.skip("no exact posterior under these settings")
    fit = bd.fit(plan.model, data, draws=plan.sampling.draws, sampler="exact", seed=plan.sampling.seed)
    assert fit.verdict.passed == (name not in STATED), fit.verdict.sentence


def test_the_warning_on_printed_means_is_not_one_of_a_seed():
    """Cochran's Q of 200,000 tables from the exact posterior: the observed one is too low, P 0.0005 on both sides.

    That is about 50 tables, so the estimate has a standard error of 0.00007; the level is 0.001.
    """
    plan = read_plan(PLANS["kiraly2017/table2_moments"])
    data = prepare(plan)
    rng = np.random.default_rng(1)
    drawn = plan.model.exact(data).draw(200_000, rng)
    root = np.linalg.cholesky(data["covariance"].values)
    (check,) = (one for one in plan.model.checks(data) if one.name == "Cochran's Q")
    observed, lower = check.statistic(data["effect"].values), 0
    for part in np.array_split(np.column_stack([drawn["mu"], drawn["tau"]]), 10):
        theta, noise = rng.standard_normal((2, len(part), len(root)))
        lower += (check.statistic(part[:, :1] + part[:, 1:] * theta + noise @ root.T) <= observed).sum()
    assert 0.0002 < 2 * lower / 200_000 < 0.0008 < LEVEL / 5


@pytest.fixture(scope="module")
def screen():
    model = bd.Screen(condition="responder", positives="below_34_pg_per_mL")
    return bd.fit(model, bd.load("kiraly2017_fgf2_roc"), seed=1)


@pytest.fixture(scope="module")
def with_probability(screen):
    """The same fit with two estimands of zeros and ones: sensitivity above 0.8, and something that never happens."""
    found = screen.estimands
    above = estimand(
        (found["sensitivity"] > 0.8).astype(float), "sensitivity above 0.8", "probability", probability=True
    )
    never = estimand(xr.zeros_like(above), "sensitivity above 1", "probability", probability=True)
    groups = {name: group.to_dataset() for name, group in screen.tree.children.items()}
    groups["estimands"] = found.assign(above=above, never=never)
    return dataclasses.replace(screen, tree=xr.DataTree.from_dict(groups))


def test_probability_is_its_draws_mean_with_its_monte_carlo_error_and_nothing_else(with_probability):
    row = bd.summarise(with_probability).set_index("estimand").loc["above"]
    draws = with_probability.estimands["above"].values
    assert row["mean"] == draws.mean()
    # independent draws of zeros and ones: the binomial's standard error, but for the estimated autocorrelation
    assert row["mcse"] == pytest.approx(np.sqrt(draws.mean() * (1 - draws.mean()) / draws.size), rel=0.15)
    others = ["sd", "median", "lower", "upper", "prob_gt_0", "hdi_lower", "hdi_upper", "null", "prob_gt_null"]
    assert row[[*others, "false_sign_rate", "prob_in_rope"]].isna().all()


def test_probability_is_told_as_one_in_tables_and_ledger(with_probability):
    table = bd.summarise(with_probability)
    mean = float(with_probability.estimands["above"].mean())
    shown = journal_table(table).set_index("Estimand")
    assert shown.loc["above", "Median"] == ""
    assert re.fullmatch(rf"P = {mean:.4f}, Monte Carlo error 0\.00\d\d", shown.loc["above", "95% interval"])
    assert shown.loc["never", "95% interval"] == "P = 0 in all draws"
    rows = [
        Published(estimand="above", source="A 2020", value=0.5),
        Published(estimand="above", source="A 2020", lower=0.0, upper=0.99),
        Published(estimand="above", source="A 2020", upper=0.01),
    ]
    refuse_unknown(rows, with_probability.estimands)
    told = ledger(rows, table)
    assert told["posterior"].tolist() == [mean] * 3
    assert told[["lower", "upper"]].isna().all(axis=None)
    assert told["agrees"].tolist() == ["not judged", "yes", "no"]
    assert ledger_in_words(told)["Posterior"].str.match(r"P = 0\.\d{4}, Monte Carlo error").all()


def test_probability_has_no_tail_to_judge_and_no_quantiles_to_be_sensitive(with_probability):
    told = set(bd.check_prior_sensitivity(with_probability)["estimand"])
    assert "sensitivity" in told
    assert not {"above", "never"} & told
    rare = np.zeros((4, 1000))
    rare[:, 500] = 1.0  # four in 4,000: nothing is wrong with such chains, but their 95% quantile is a constant
    values = xr.DataArray(rare, dims=("chain", "draw"))
    marked = check_convergence(xr.Dataset({"rare": estimand(values, "", "", probability=True)}), None)
    assert marked.passed
    assert next(c.value for c in marked.criteria if c.name == "ESS bulk") > 400


# A null that has a probability of its own.


def test_false_sign_rate_counts_the_probability_of_the_null_itself():
    """A mixture of zero (0.6) and N(1, 1) (0.4): above zero 0.4 x Phi(1), not above 0.6 + 0.4 x Phi(-1)."""
    normal = NormalMixture(np.ones(1), np.ones(1), np.ones(1))
    mixed = MixtureWithZero(np.array([0.6, 0.4]), [None, normal])
    row = bd.summarise_exact(ExactPosterior({("mu", ()): mixed}, lambda n, rng: {})).iloc[0]
    assert row["prob_gt_null"] == pytest.approx(0.4 * stats.norm.cdf(1), rel=1e-9)
    assert row["false_sign_rate"] == pytest.approx(1 - 0.4 * stats.norm.cdf(1), rel=1e-9)


def test_draws_and_what_is_made_of_them_say_the_same_of_a_null_with_a_probability():
    """Averaged models put a probability on no effect: so do the ratio, the risk and the number needed to treat."""
    model = bd.SmallStudies(
        measure="log-odds-ratio", favours="negative", pooled_effect="average", bias="absent", control_risk=0.3
    )
    table = pd.DataFrame(
        {"study": list("abcde"), "effect": [-0.6, 0.2, -0.9, -0.4, -0.7], "se": [0.3, 0.4, 0.5, 0.3, 0.6]}
    )
    fit = bd.fit(model, table, draws=500, seed=2)
    rows = bd.summarise(fit).set_index("estimand")
    spike = float((fit.estimands["mu"] == 0).mean())
    assert 0.2 < spike < 0.8
    draws = fit.estimands["mu"].values
    wrong = 1 - max((draws > 0).mean(), (draws < 0).mean())
    for name in ("ratio", "risk_treated", "risk_difference", "risk_ratio"):
        assert rows.loc[name, "prob_gt_null"] == pytest.approx((draws > 0).mean(), abs=1e-12), name
        assert rows.loc[name, "false_sign_rate"] == pytest.approx(wrong, abs=1e-12), name
    assert rows.loc["nnt", "false_sign_rate"] == pytest.approx(wrong, abs=1e-12)
    assert rows.loc["mu", "false_sign_rate"] == pytest.approx(wrong, abs=4 * np.sqrt(0.25 / draws.size))
    assert wrong > spike


# Tails.


@pytest.mark.parametrize("law", [stats.norm(), stats.t(4), stats.uniform(), stats.expon()])
def test_tails_are_those_of_the_law_and_go_on_beyond_the_last_draw(law):
    """The median over 20 sets of 500 draws, 50 of which make a tail: within a factor of three at 1e-3, of twenty at
    1e-4, where a tail that is heavier or lighter than the normal's is drawn towards it."""
    found = [Distribution(law.rvs(500, random_state=seed)) for seed in range(20)]
    for p, factor in ((0.02, 1.6), (1e-3, 3.0), (1e-4, 20.0)):
        x = np.array([law.isf(p), law.ppf(p)])
        if law.dist.name == "uniform":
            continue  # its end is near: see below
        above = np.exp(np.median([d.log_sf(x[0]) for d in found]))
        below = np.exp(np.median([d.log_cdf(x[1]) for d in found]))
        assert p / factor < above < p * factor
        if law.dist.name != "expon":
            assert p / factor < below < p * factor
    assert all(d.log_sf(np.array(law.isf(1e-3) + 1000 * law.std())) < np.log(1e-5) for d in found)


def test_normal_scores_are_those_of_the_law_and_of_ties_the_middle():
    draws = stats.lognorm(1.5).rvs(4000, random_state=1)
    scores = np.array([-1.5, -1.0, 0.0, 1.0, 3.0])
    x = stats.lognorm(1.5).ppf(stats.norm.cdf(scores))
    np.testing.assert_allclose(Distribution(draws).normal_scores(x), scores, atol=0.25)
    spike = np.concatenate([np.zeros(500), stats.norm.rvs(size=500, random_state=2)])
    assert abs(float(Distribution(spike).normal_scores(np.zeros(1))[0])) < 0.1


def test_nothing_is_said_of_a_tail_that_few_draws_or_one_value_make():
    assert not Distribution(np.arange(199.0)).is_known
    assert not Distribution(np.ones(500)).is_known
    assert Distribution(np.arange(200.0)).is_known


# The verdict on the model.

SCHOOLS = {"measure": "difference", "units": "points", "study": "school"}


def schools(mu, sigma, **changes):
    priors = {"mu": bd.Prior("Normal", mu=mu, sigma=sigma), "tau": bd.Prior("HalfNormal", sigma=2)}
    table = bd.load("eight_schools_rubin1981").assign(**changes)
    return bd.fit(bd.Meta(**SCHOOLS, priors=priors), table, draws=500, sampler="exact", seed=1)


@pytest.mark.parametrize(("centre", "sigma"), [(0.0, 5.0), (20.0, 10.0), (-5.0, 20.0), (28.0, 4.0), (-60.0, 4.0)])
def test_standing_of_a_pooled_effect_is_the_tail_of_its_estimate_before_the_data(centre, sigma):
    """With tau all but known to be 0.02 the estimate is the inverse-variance mean, and its prior predictive normal."""
    table = bd.load("eight_schools_rubin1981")
    w = 1 / table["se"].to_numpy() ** 2
    z = (w @ table["effect"] / w.sum() - centre) / np.sqrt(sigma**2 + 1 / w.sum())
    priors = {"mu": bd.Prior("Normal", mu=centre, sigma=sigma), "tau": bd.Prior("HalfNormal", sigma=0.02)}
    fit = bd.fit(bd.Meta(**SCHOOLS, priors=priors), table, draws=1000, sampler="exact", seed=1)
    (found,) = (x.p for x in fit.verdict.judged if x.kind == "prior")
    score = stats.norm.isf(found / 2)
    if abs(z) < 2:  # from 500 prior draws: a score's error is sqrt(p q / 500) / density, about 0.1 here
        assert score == pytest.approx(abs(z), abs=0.25)
    else:  # beyond most draws the tail's shape counts, which 50 draws tell to about 0.2: a fifth of the score
        assert min(score, 10.0) == pytest.approx(min(abs(z), 10.0), rel=0.2)


def test_conflict_with_a_prior_is_named_with_a_remedy_in_print_and_tables():
    fit = schools(-80.0, 5.0)
    assert not fit.verdict.passed
    assert fit.verdict.warnings[0].name == "mu"
    first, second = repr(fit).splitlines()[:2]
    assert first == fit.gate.sentence
    assert second == fit.verdict.sentence
    assert "mu conflicts with its prior" in second
    assert "[priors]" in second
    table = bd.summarise(fit).set_index("estimand")
    assert table.loc["mu", "prior_p"] < fit.verdict.threshold
    assert np.isnan(table.loc["tau", "prior_p"])
    assert table.attrs["model_passed"] is False


def test_depending_on_a_prior_is_no_conflict_with_it():
    """Three schools: the spread depends on its prior, and the effect too, and nothing is at odds."""
    table = bd.load("eight_schools_rubin1981").head(3)
    priors = {"mu": bd.Prior("Normal", mu=0, sigma=10), "tau": bd.Prior("HalfNormal", sigma=5)}
    fit = bd.fit(bd.Meta(**SCHOOLS, priors=priors), table, draws=500, sampler="exact", seed=1)
    diagnosis = bd.check_prior_sensitivity(fit).set_index("estimand").groupby(level=0)["diagnosis"].first()
    assert diagnosis["tau"] == "depends on its prior"
    assert fit.verdict.passed


def test_units_do_not_move_the_verdict():
    """The same table and priors in thousandths: the same draws, and the same tail probabilities."""
    table = bd.load("eight_schools_rubin1981")
    found = []
    for unit in (1.0, 1000.0):
        priors = {
            "mu": bd.Prior("Normal", mu=0, sigma=10 * unit),
            "tau": bd.Prior("HalfNormal", sigma=5 * unit),
        }
        scaled = table.assign(effect=table["effect"] * unit, se=table["se"] * unit)
        fit = bd.fit(bd.Meta(**SCHOOLS, priors=priors), scaled, draws=500, sampler="exact", seed=1)
        found.append([x.p for x in fit.verdict.judged])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_check_that_no_replicate_reaches_is_out_of_line():
    """One school twelve standard errors from the others, in a model whose prior allows no such spread."""
    effect = bd.load("eight_schools_rubin1981")["effect"].to_numpy(float)
    effect[0] = 200.0
    fit = schools(0.0, 50.0, effect=effect)
    out = [x.name for x in fit.verdict.warnings]
    assert {"highest effect", "Cochran's Q"} <= set(out)
    assert "out of line with the model" in fit.verdict.sentence


def test_verdict_survives_saving(tmp_path):
    fit = schools(-80.0, 5.0)
    again = bd.Fit.load(fit.save(tmp_path / "fit.nc"))
    assert again.verdict == fit.verdict


# What helps where the sampling failed.


def failed(**values):
    thresholds = {
        "R-hat": 1.01,
        "ESS bulk": 400.0,
        "ESS tail": 400.0,
        "divergences": 0,
        "maximum tree depth reached": 0,
    }
    bad = {"ESS bulk": lambda v, t: v < t, "ESS tail": lambda v, t: v < t}
    good = {"R-hat": 1.0, "ESS bulk": 2000.0, "ESS tail": 2000.0, "divergences": 0, "maximum tree depth reached": 0}
    rows = good | {name.replace("_", " "): value for name, value in values.items()}
    return Gate(
        tuple(
            Criterion(name, value, thresholds[name], not bad.get(name, lambda v, t: v > t)(value, thresholds[name]))
            for name, value in rows.items()
        )
    )


def test_failed_gate_says_what_is_known_to_help():
    counts = bd.Counts(control="placebo", events="responders")
    data = counts.prepare(bd.load("raison2013_responders"))

    steps = Steps(0.9, 10)

    def told(gate, draws=1000, steps=steps):
        return add_remedy(gate, counts, data, draws, steps).remedy

    assert told(failed()) == ""
    assert told(failed(ESS_bulk=300.0)) == "more draws, draws = 1700"  # 1.25 x 400 / 300 x 1000
    assert told(failed(divergences=5, ESS_bulk=300.0)) == "shorter steps, target_accept = 0.97"
    assert told(failed(maximum_tree_depth_reached=2)) == "longer trajectories, max_tree_depth = 12"
    # never what was tried already
    assert told(failed(divergences=5), steps=Steps(0.97, 10)) == "shorter steps, target_accept = 0.99"
    assert told(failed(divergences=5, maximum_tree_depth_reached=1), steps=Steps(0.99, 12)) == ""
    assert "tune = 2000" in told(failed(**{"R-hat": 1.05}))
    exact = bd.Counts(control="placebo", events="responders", pooling="none")
    assert add_remedy(failed(divergences=5), exact, data, 1000, steps).remedy == (
        "the exact posterior, sampler = 'exact'"
    )
    advice = add_remedy(failed(ESS_bulk=300.0), counts, data, 1000, steps)
    assert advice.sentence.endswith("; what helps: more draws, draws = 1700")
    assert Gate.from_dict(advice.to_dict()) == advice


def test_failed_gate_names_the_units_that_are_worst():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(4, 500, 5, 1))
    values[1, :, 3] += 3.0  # one chain elsewhere
    values[2, :, 1] += 0.5
    coords = {"analyte": ["IL-6", "TNF, free", "IL-4", "MCP-1", "IL-8"], "comparison": ["TRD"]}
    draws = xr.DataArray(values, coords, ("chain", "draw", "analyte", "comparison"))
    gate = check_convergence(xr.Dataset({"log_ratio": draws}), None)
    assert gate.units == ("MCP-1", "TNF, free")
    assert "worst in MCP-1, TNF, free" in gate.sentence
