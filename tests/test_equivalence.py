"""Regions of practical equivalence: probabilities, conclusions, and wherever these stand.

Oracles: shares counted by hand, exact normal and quadrature marginals, the Monte Carlo errors of independent draws.
"""

import dataclasses
import json
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from unsampled import FAMILIES, made, studies

import bayesdep as bd
from bayesdep.criticism.equivalence import in_words
from bayesdep.data.errors import BadInput
from bayesdep.inference.ropes import Rope, refuse_unknown_ropes, ropes_of
from bayesdep.plan import prepare, read_plan, run_plan
from bayesdep.reporting.figures.register import FIGURES, applies, png
from bayesdep.reporting.ledger import Published, ledger, refuse_unknown

WHY = "half of what patients notice"


def rope(estimand="mu", **how):
    margin = {} if {"lower", "margin"} & set(how) else {"margin": 0.2}
    return Rope(**{"estimand": estimand, "reason": WHY, **margin, **how})


@pytest.fixture(scope="module")
def fit():
    return made("meta")


def with_draws(fit, values, name="mu"):
    """The fit with other draws of an estimand, not known exactly."""
    groups = {key: node.to_dataset() for key, node in fit.tree.children.items()}
    old = groups["estimands"][name]
    groups["estimands"] = groups["estimands"].assign(
        {name: old.copy(data=np.asarray(values, float).reshape(old.shape))}
    )
    manifest = fit.manifest | {"sampler": "nutpie"}
    return dataclasses.replace(fit, tree=xr.DataTree.from_dict(groups), manifest=manifest)


# ---- probabilities and conclusions


def test_probabilities_are_shares_of_draws_with_their_errors(fit):
    draws = np.random.default_rng(1).normal(0.1, 0.2, 200)
    row = bd.check_equivalence(with_draws(fit, draws), rope(lower=-0.1, upper=0.3)).iloc[0]
    below, above = (draws < -0.1).mean(), (draws > 0.3).mean()
    assert row[["prob_below", "prob_inside", "prob_above"]].tolist() == pytest.approx([below, 1 - below - above, above])
    # independent draws: the binomial standard error, within the noise of its own estimate
    assert row["mcse_inside"] == pytest.approx(np.sqrt(row["prob_inside"] * (1 - row["prob_inside"]) / 200), rel=0.35)
    assert row["median"] == np.median(draws)


def test_probabilities_known_exactly_are_those_of_the_quadrature(fit):
    row = bd.check_equivalence(fit, rope()).iloc[0]
    marginal = fit.exact.marginals["mu", ()]
    assert row["prob_inside"] == pytest.approx(marginal.cdf(0.2) - marginal.cdf(-0.2), abs=1e-12)
    assert row[["mcse_below", "mcse_inside", "mcse_above"]].tolist() == [0, 0, 0]
    by_hand = marginal.weights @ (stats.norm.cdf(0.2, marginal.means, marginal.sds)
                                  - stats.norm.cdf(-0.2, marginal.means, marginal.sds))  # fmt: skip
    assert row["prob_inside"] == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize(
    ("shares", "conclusion"),
    [((0, 1, 0), "absent"), ((0.02, 0.96, 0.02), "absent"), ((0, 0.04, 0.96), "present, above"),
     ((0.96, 0.04, 0), "present, below"), ((0.05, 0.94, 0.01), "undecided"), ((0.48, 0.04, 0.48), "undecided")],
)  # fmt: skip
def test_conclusions(fit, shares, conclusion):
    """Ninety-six per cent beyond the margin, half on either side, is no evidence of an effect."""
    counts = np.round(200 * np.array(shares)).astype(int)
    draws = np.random.default_rng(1).permutation(np.repeat([-1.0, 0.0, 1.0], counts))
    row = bd.check_equivalence(with_draws(fit, draws), rope()).iloc[0]
    assert row["conclusion"] == conclusion
    deciding = ("below", "inside", "above")[int(np.argmax(shares))]
    assert row["is_close"] == (abs(max(shares) - 0.95) < 2 * row[f"mcse_{deciding}"])


def test_another_level_decides_otherwise(fit):
    draws = np.random.default_rng(1).permutation(np.repeat([0.0, 1.0], [180, 20]))
    some = with_draws(fit, draws)
    assert bd.check_equivalence(some, rope(level=0.85))["conclusion"].item() == "absent"
    assert bd.check_equivalence(some, rope())["conclusion"].item() == "undecided"


def test_a_share_that_no_draw_contradicts_has_an_error_all_the_same(fit):
    row = bd.check_equivalence(with_draws(fit, np.random.default_rng(1).normal(0, 0.01, 200)), rope()).iloc[0]
    assert row["prob_inside"] == 1
    assert 0.0005 < row["mcse_inside"] < 0.02


def test_undefined_draws_decide_nothing(fit):
    row = bd.check_equivalence(with_draws(fit, np.full(200, np.nan)), rope()).iloc[0]
    assert row["conclusion"] == "undecided"
    assert (
        in_words(bd.check_equivalence(with_draws(fit, np.full(200, np.nan)), rope()))["P(inside)"].item() == "not known"
    )


def test_a_rope_without_coordinates_is_of_every_value(fit):
    table = bd.check_equivalence(fit, rope("theta"), rope("theta", at={"study": "study 2"}), rope())
    assert len(table) == 8 + 1 + 1
    assert table["study"].tolist()[-2:] == ["study 2", ""]


def test_a_value_that_the_model_fixes_is_no_evidence(fit):
    """Where baselines are equal by the model, their difference is no finding; asked for by name, it is what it is."""
    theta = fit.estimands["theta"]
    values = theta.where(theta["study"] != "study 2", 0.0)
    some = with_draws(fit, values.values, "theta")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(bd.check_equivalence(some, rope("theta"))) == 7
        row = bd.check_equivalence(some, rope("theta", at={"study": "study 2"})).iloc[0]
    assert (row["prob_inside"], row["mcse_inside"], row["conclusion"]) == (1, 0, "absent")


def test_regions_of_many_values_have_no_bayes_factors_unasked():
    """Each takes seconds, and a panel has hundreds of values; asked for they are there."""
    many = made("meta", n=25)
    notes = bd.check_equivalence(many, rope("theta"), rope())["bayes_factor_note"]
    assert notes[:25].str.contains("bd.check_null computes them", regex=False).all()
    assert notes.iloc[25] == ""
    assert len(bd.check_null(many, "theta")) == 25


# ---- refusals, and that their advice works


@pytest.mark.parametrize(
    ("wrong", "said", "right"),
    [
        ({"margin": -1}, "above zero", {"margin": 1}),
        ({"margin": float("inf")}, "of size", {"margin": 1.0}),
        ({"margin": True}, "number", {"margin": 1}),
        ({"margin": 1, "lower": -1}, "either margin", {"lower": -1, "upper": 1}),
        ({"lower": 1.0, "upper": -1.0}, "the lower one first", {"lower": -1.0, "upper": 1.0}),
        ({"lower": -1.0}, "two numbers", {"lower": -1.0, "upper": 1.0}),
        ({"reason": " "}, "reason is empty", {"reason": "half of 0.5"}),
        ({"level": 0.4}, "above 0.5 and below 1", {"level": 0.95}),
    ],
)
def test_impossible_regions_are_refused(wrong, said, right):
    with pytest.raises(BadInput, match=said):
        rope(**wrong)
    assert rope(**right).ends[0] < 0


@pytest.mark.parametrize(
    ("wrong", "said", "right"),
    [
        ({"estimand": "mju"}, "did you mean 'mu'", {"estimand": "mu"}),
        ({"estimand": "theta", "at": {"stdy": "study 1"}}, "did you mean 'study'", {"estimand": "theta"}),
        ({"estimand": "theta", "at": {"study": "stdy 1"}}, "did you mean 'study 1'",
         {"estimand": "theta", "at": {"study": "study 1"}}),
        ({"estimand": "mu", "at": {"study": "study 1"}}, "remove it", {"estimand": "mu"}),
        ({"lower": 0.1, "upper": 0.3}, "ends on both sides", {"lower": -0.1, "upper": 0.3}),
    ],
)  # fmt: skip
def test_regions_that_are_of_nothing_are_refused(fit, wrong, said, right):
    with pytest.raises(BadInput, match=said):
        bd.check_equivalence(fit, rope(**wrong))
    assert len(bd.check_equivalence(fit, rope(**right)))


def test_estimands_without_a_value_of_no_effect_are_refused():
    with pytest.raises(BadInput, match="has no value of no effect"):
        refuse_unknown_ropes([rope("residual_sd")], made("trial", draws=20).estimands)
    ratio = made("cytokines", draws=20)
    with pytest.raises(BadInput, match="no effect at 1"):
        bd.check_equivalence(ratio, rope("geometric_mean_ratio"))
    assert len(bd.check_equivalence(ratio, rope("geometric_mean_ratio", lower=0.9, upper=1.1))) == 6


def test_without_a_region_it_says_how_to_state_one(fit):
    with pytest.raises(BadInput, match=r"\[\[rope\]\]"):
        bd.check_equivalence(fit)
    with pytest.raises(BadInput, match="with_ropes"):
        bd.plot_equivalence(fit)
    assert len(bd.check_equivalence(fit.with_ropes(rope()))) == 1


# ---- where it stands


def test_a_saved_fit_keeps_its_regions(fit, tmp_path):
    stated = fit.with_ropes(rope(), rope("theta", lower=-0.1, upper=0.3, level=0.9))
    loaded = bd.Fit.load(stated.save(tmp_path / "fit.nc"))
    assert loaded.ropes == stated.ropes == ropes_of(json.loads(json.dumps(stated.manifest)))
    assert bd.check_equivalence(loaded).equals(bd.check_equivalence(stated))
    assert fit.ropes == ()


@pytest.mark.parametrize(
    "damage", [{"estimand": "mju"}, {"margin": -1}, {"level": 7}, {"at": {"x": "y"}}, {"other": 1}]
)
def test_a_saved_fit_with_impossible_regions_is_refused(fit, tmp_path, damage):
    stated = fit.with_ropes(rope())
    stated.manifest["ropes"][0] |= damage
    path = stated.save(tmp_path / "fit.nc")
    with pytest.raises(BadInput, match="is not a saved fit"):
        bd.Fit.load(path)


def test_report_export_and_figures_have_it(fit, tmp_path):
    stated = fit.with_ropes(rope(), rope("theta"))
    text = bd.report(stated, tmp_path / "report.html").read_text()
    assert "Evidence of absence" in text
    assert WHY in text
    assert FIGURES["bayes_factors"].caption in text.replace("&#39;", "'")
    assert "Evidence of absence" not in bd.report(fit, tmp_path / "other.html").read_text()
    table = bd.check_equivalence(stated)
    read = pd.read_csv(bd.export(table, tmp_path / "equivalence.csv"))
    assert read["prob_inside"].to_numpy() == pytest.approx(table["prob_inside"].to_numpy())
    assert read.columns[:2].tolist() == ["verdict", "synthetic"]


@pytest.mark.parametrize("family", FAMILIES)
def test_figures_of_every_family_with_a_region(family):
    """A region of each estimand that can have one; the figures of Bayes factors where one of them has any."""
    fit = made(family, draws=40)
    possible = []
    for name in fit.estimands.data_vars:
        null = float(fit.estimands[name].attrs.get("null", 0.0))
        one = rope(str(name), lower=null - 0.5, upper=null + 0.5) if np.isfinite(null) else None
        try:
            refuse_unknown_ropes([one] if one else [], fit.estimands)
        except BadInput:
            continue
        possible += [one] if one and fit.estimands[name].size < 4000 else []
    if not possible:
        assert family == "screen" or family.endswith("counts") or possible
        return
    stated = fit.with_ropes(*possible[:2])
    assert applies("equivalence", stated)
    assert not applies("equivalence", fit)
    assert png(FIGURES["equivalence"].draw(stated))[:4] == b"\x89PNG"
    if applies("bayes_factors", stated):
        assert png(FIGURES["bayes_factors"].draw(stated))[:4] == b"\x89PNG"
    else:
        with pytest.raises(BadInput, match="check_null says why"):
            bd.plot_bayes_factors(stated)


PLAN = """\
[study]
name = "demo"
title = "Eight studies"
question = "Is there an effect?"

[data]
source = "path"
expects = "the studies (columns study, effect, se)"

[model]
family = "meta"
measure = "standardised-difference"

[[rope]]
estimand = "mu"
margin = 0.2
reason = "a small effect"

[[published]]
estimand = "mu"
direction = "none"
p = 0.4
source = "A 2020, Abstract"
"""


def test_a_plan_states_regions_and_its_run_has_them(tmp_path, capsys):
    from bayesdep.cli import main

    (tmp_path / "demo.toml").write_text(PLAN)
    studies().to_csv(tmp_path / "studies.csv", index=False)
    with pytest.raises(SystemExit) as end:
        main(
            [
                "run",
                str(tmp_path / "demo.toml"),
                "--data",
                str(tmp_path / "studies.csv"),
                "--out",
                str(tmp_path / "run"),
            ]
        )
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert "P(inside)" in printed
    assert "Bayes factor for no effect" in printed
    assert "no difference, P 0.4" in printed
    assert "-0.2 to 0.2" in printed
    row = pd.read_csv(tmp_path / "run" / "equivalence.csv").iloc[0]
    fit = bd.Fit.load(tmp_path / "run" / "posterior.nc")
    assert row["prob_inside"] == pytest.approx(bd.check_equivalence(fit)["prob_inside"].item())
    ledger_row = pd.read_csv(tmp_path / "run" / "ledger.csv").iloc[0]
    assert ledger_row["prob"] == pytest.approx(row["prob_inside"])
    assert ledger_row["agrees"] == {"absent": "yes", "undecided": "undecided"}.get(row["conclusion"], "no")
    assert {"equivalence.png", "bayes_factors.png"} <= {p.name for p in (tmp_path / "run" / "figures").iterdir()}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('reason = "a small effect"\n', "", "'rope.1.reason' is missing"),
        ("margin = 0.2", "marign = 0.2", "did you mean 'margin'"),
        ("margin = 0.2\n", "", "either margin"),
        ('[[rope]]\nestimand = "mu"', '[[rope]]\nestimand = "mju"', "did you mean 'mu'"),
    ],
)
def test_plans_with_wrong_regions_are_refused(tmp_path, old, new, said):
    assert old in PLAN
    (tmp_path / "demo.toml").write_text(PLAN.replace(old, new))
    with pytest.raises(BadInput, match=said):
        prepare(read_plan(tmp_path / "demo.toml"), studies())
    (tmp_path / "demo.toml").write_text(PLAN)
    assert run_plan(tmp_path / "demo.toml", data=studies(), out=tmp_path / "run").fit.ropes


# ---- the ledger


def test_a_published_claim_of_no_difference_needs_a_region(fit):
    claim = [Published(estimand="mu", source="A 2020", direction="none")]
    with pytest.raises(BadInput, match=r"add \[\[rope\]\]"):
        refuse_unknown(claim, fit.estimands)
    refuse_unknown(claim, fit.estimands, [rope()])


@pytest.mark.parametrize(("shares", "agrees"), [((0, 1, 0), "yes"), ((0, 0.5, 0.5), "undecided"), ((0, 0, 1), "no")])
def test_a_published_claim_of_no_difference_is_judged_by_the_region(fit, shares, agrees):
    draws = np.repeat([-1.0, 0.0, 1.0], np.round(200 * np.array(shares)).astype(int))
    some = with_draws(fit, np.random.default_rng(1).permutation(draws))
    claim = [Published(estimand="mu", source="A 2020", direction="none", p=0.3)]
    row = ledger(claim, bd.summarise(some), bd.check_equivalence(some, rope())).iloc[0]
    assert row["agrees"] == agrees
    assert row["prob"] == pytest.approx(shares[1])
    assert row["published_as"] == "no difference, P 0.3"
