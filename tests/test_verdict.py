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
from bayesdep.inference.diagnostics import judge
from bayesdep.inference.sample import sketch
from bayesdep.models import _REGISTER
from bayesdep.models.parts.marginals import NormalMixture
from bayesdep.models.parts.small_studies.averaging import Mixed
from bayesdep.models.story import ExactPosterior, estimand
from bayesdep.plan import find_plans, prepare, read_plan
from bayesdep.reporting.export import journal_table
from bayesdep.reporting.ledger import Published, ledger, refuse_unknown
from bayesdep.reporting.report import ledger_in_words

PLANS = {f"{p.parent.name}/{p.stem}": p for p in find_plans(Path(__file__).parents[1] / "models")}


@functools.cache
def sketched(name):
    """A shipped plan's story, its data, and its estimands at a few prior draws."""
    plan = read_plan(PLANS[name])
    if plan.needs_data:
        pytest.skip("its table is the user's")
    data = prepare(plan)
    return plan.story, data, sketch(plan.story, data)


# What is primary, and what is a probability.


def test_shipped_plans_cover_all_families():
    assert {read_plan(path).story.family for path in PLANS.values()} == set(_REGISTER)


@pytest.mark.parametrize("name", PLANS)
def test_primary_estimands_are_estimands_with_a_spread(name):
    story, _, found = sketched(name)
    assert story.primary_estimands
    assert set(story.primary_estimands) <= set(found.data_vars)
    for primary in story.primary_estimands:
        assert not {"probability", "reciprocal_of"} & set(found[primary].attrs)


@pytest.mark.parametrize("name", PLANS)
def test_every_estimand_of_zeros_and_ones_says_that_it_is_a_probability(name):
    _, _, found = sketched(name)
    for label, values in found.data_vars.items():
        zeros_and_ones = bool(np.isin(values.values, (0.0, 1.0)).all()) and np.unique(values.values).size == 2
        if zeros_and_ones:
            assert values.attrs.get("probability") == 1, label
        if "probability" in values.attrs:
            assert np.isin(values.values, (0.0, 1.0)).all()
            assert np.isnan(values.attrs["null"])


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
    told = set(bd.sensitivity(with_probability)["estimand"])
    assert "sensitivity" in told
    assert not {"above", "never"} & told
    rare = np.zeros((4, 1000))
    rare[:, 500] = 1.0  # four in 4,000: nothing is wrong with such chains, but their 95% quantile is a constant
    values = xr.DataArray(rare, dims=("chain", "draw"))
    marked = judge(xr.Dataset({"rare": estimand(values, "", "", probability=True)}), None)
    assert marked.passed
    assert next(c.value for c in marked.criteria if c.name == "ESS bulk") > 400


# A null that has a probability of its own.


def test_false_sign_rate_counts_the_probability_of_the_null_itself():
    """A mixture of zero (0.6) and N(1, 1) (0.4): above zero 0.4 x Phi(1), not above 0.6 + 0.4 x Phi(-1)."""
    normal = NormalMixture(np.ones(1), np.ones(1), np.ones(1))
    mixed = Mixed(np.array([0.6, 0.4]), [None, normal])
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
