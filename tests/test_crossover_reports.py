"""What leaves a crossover fit: the figure of pairs, and its row in a meta-analysis."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from common import BCG

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.diagnostics import Criterion, Gate
from bayesdep.inference.fit import Fit
from bayesdep.reporting.figures.register import FIGURES, applies, png

PASSED, FAILED = (Gate((Criterion("R-hat", x, 1.01, x < 1.01),)) for x in (1.0, 1.2))
WIDE = {name: bd.Prior("Normal", mu=0, sigma=100) for name in ("day_mean", "period_effect", "treatment_effect")}
WIDE |= {name: bd.Prior("HalfNormal", sigma=100) for name in ("patient_sd", "residual_sd")}


def table(treatments=("saline", "ketamine"), days=(2, 10), people=24, seed=1):
    """Outcomes without any structure; every fifth patient had the first treatment only, every seventh the second."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(people):
        order = treatments[i % len(treatments) :] + treatments[: i % len(treatments)]
        for p, treatment in enumerate(order):
            for day in days:
                lost = (i % 5 == 4 and p > 0) or (i % 7 == 6 and p == 0)
                y = np.nan if lost else round(float(rng.normal(30, 6)), 1)
                rows.append({"subject": f"p{i}", "treatment": treatment, "period": p + 1, "day": day, "madrs": y})
    return pd.DataFrame(rows)


def made(frame, seed=2, draws=400, gate=PASSED, effect=(-6.0, 2.0), **settings):
    """A fit whose posterior is drawn from thin air, around an effect with a spread."""
    model = bd.Crossover(**{"reference": "saline", "outcome": "madrs", "units": "MADRS points", **settings})
    data = model.prepare(frame)
    rng = np.random.default_rng(seed)
    dims = {
        "day_mean": ("day",), "period_effect": ("later", "day"), "treatment_effect": ("comparison", "day"),
        "patient_sd": ("day",), "residual_sd": ("day",),
    }  # fmt: skip
    values, log_prior = {}, {}
    for name, prior in model.priors.items():
        centre, sd = {"treatment_effect": effect, "patient_sd": (4, 0.5), "residual_sd": (6, 0.5)}.get(name, (0, 1.0))
        drawn = rng.normal(centre, sd, (2, draws, *(data.sizes[d] for d in dims[name])))
        values[name] = (("chain", "draw", *dims[name]), drawn)
        log_prior[name] = (("chain", "draw", *dims[name]), prior.scipy.logpdf(drawn))
    coords = {"chain": [0, 1], "draw": np.arange(draws), **{d: data[d].values for d in ("day", "comparison", "later")}}
    posterior = xr.Dataset(values, coords)
    if data.sizes["day"] > 1:
        half = (("chain", "draw", "pair"), np.full((2, draws, data.sizes["day"] * (data.sizes["day"] - 1) // 2), 0.5))
        posterior = posterior.assign(patient_correlation=half, residual_correlation=half)
    groups = {
        "posterior": posterior, "log_prior": xr.Dataset(log_prior, coords), "constant_data": data,
        "estimands": model.estimands(posterior, data),
    }  # fmt: skip
    return Fit(model, data, xr.DataTree.from_dict(groups), {"gate": gate.to_dict(), "sampler": "nutpie"})


@pytest.fixture(scope="module")
def fit():
    return made(table())


@pytest.fixture(scope="module")
def flat():
    return made(table(), priors=WIDE, margin=3.0)


# ---- the figure of pairs


def test_only_a_crossover_has_pairs(fit):
    assert applies("pairs", fit)
    screen = bd.fit(
        bd.Screen(condition="responder", positives="below_34_pg_per_mL"), bd.load("kiraly2017_fgf2_roc"), draws=50
    )
    assert not applies("pairs", screen)


def test_points_are_patients_with_both_outcomes_and_ticks_those_with_one(fit):
    frame = table()
    for axes, day in zip(FIGURES["pairs"].draw(fit).axes, (2, 10), strict=True):
        wide = frame[frame["day"] == day].pivot_table(index="subject", columns="treatment", values="madrs")
        order = frame[frame["period"] == 1].drop_duplicates("subject").set_index("subject")["treatment"]
        lines = {line.get_label(): line for line in axes.lines}
        for which, first in (("first", "saline"), ("second", "ketamine")):
            both = wide[order.reindex(wide.index) == first].dropna()
            expected = sorted(zip(both["saline"], both["ketamine"], strict=True))
            line = lines[f"saline {which}"]
            assert sorted(zip(line.get_xdata(), line.get_ydata(), strict=True)) == expected
            assert len(expected) > 5
        feet, side = (line for line in axes.lines if line.get_label().startswith("_"))
        assert sorted(feet.get_xdata()) == sorted(wide[wide["ketamine"].isna()]["saline"].dropna())
        assert sorted(side.get_ydata()) == sorted(wide[wide["saline"].isna()]["ketamine"].dropna())
        assert len(feet.get_xdata()) > 0
        assert len(side.get_ydata()) > 0


def test_the_blue_line_lies_the_mean_difference_away_from_the_grey_one(fit):
    axes = FIGURES["pairs"].draw(fit).axes[1]
    lines = {line.get_label(): line for line in axes.lines}
    grey, blue = (lines[name].get_ydata() for name in ("no difference", "posterior mean difference"))
    draws = fit.estimands["difference"].sel(comparison="ketamine", day="10").values
    np.testing.assert_allclose(blue - grey, draws.mean())
    corners = axes.collections[0].get_paths()[0].vertices
    left = corners[corners[:, 0] == corners[:, 0].min()]
    ends = np.quantile(draws, [0.025, 0.975])
    np.testing.assert_allclose([left[:, 1].min() - left[0, 0], left[:, 1].max() - left[0, 0]], ends)
    assert axes.get_title(loc="left") == f"day 10: difference {draws.mean():.1f} ({ends[0]:.1f} to {ends[1]:.1f})"
    assert axes.get_xlim() == axes.get_ylim()


@pytest.mark.parametrize(
    ("treatments", "days", "panels"),
    [(("saline", "ketamine"), (2,), 1), (("saline", "esketamine", "ketamine"), (1, 2, 3, 7), 8)],
)
def test_there_is_a_panel_per_comparison_and_day(treatments, days, panels):
    figure = FIGURES["pairs"].draw(made(table(treatments, days)))
    assert len(figure.axes) == panels
    assert 4 <= figure.get_figwidth() <= 10
    assert png(figure).startswith(b"\x89PNG")


def test_a_single_time_has_no_day_in_its_title():
    frame = table(days=(2,)).drop(columns="day")
    assert FIGURES["pairs"].draw(made(frame, day=None)).axes[0].get_title(loc="left").startswith("difference")


def test_it_says_when_the_data_are_synthetic(fit):
    marked = Fit(fit.model, fit.data.assign_attrs(synthetic=1), fit.tree, fit.manifest)
    assert FIGURES["pairs"].draw(marked).get_suptitle() == "SYNTHETIC DATA"
    assert FIGURES["pairs"].draw(fit).get_suptitle() == ""


# ---- the row in a meta-analysis


def test_a_row_is_what_a_meta_analysis_of_estimates_reads(flat):
    row = bd.as_study(flat, "NIMH", at={"day": "2"})
    draws = flat.estimands["difference"].sel(comparison="ketamine", day="2").values
    assert list(row.columns) == ["study", "effect", "se", "source"]
    assert row["effect"][0] == pytest.approx(draws.mean())
    assert row["se"][0] == pytest.approx(draws.std(ddof=1))
    assert row["source"][0].startswith("posterior of difference[ketamine, 2] in MADRS points: Crossover of ")
    other = pd.DataFrame({"study": ["Other 2020"], "effect": [-5.0], "se": [3.0], "source": ["Table 2"]})
    priors = {"mu": bd.Prior("Normal", mu=0, sigma=20), "tau": bd.Prior("HalfNormal", sigma=5)}
    meta = bd.Meta(measure="difference", units="MADRS points", priors=priors)
    data = meta.prepare(pd.concat([row, other], ignore_index=True))
    assert list(data["study"].values) == ["NIMH", "Other 2020"]
    np.testing.assert_array_equal(data["effect"].values, [row["effect"][0], -5.0])
    np.testing.assert_array_equal(data["se"].values, [row["se"][0], 3.0])


def test_another_estimand_may_be_the_effect(flat):
    mean = bd.as_study(flat, "NIMH", estimand="mean_difference")
    assert mean["effect"][0] == pytest.approx(float(flat.estimands["mean_difference"].mean()))
    assert "mean_difference[ketamine] in MADRS points" in mean["source"][0]


def test_simulated_trials_say_so(flat):
    marked = Fit(flat.model, flat.data.assign_attrs(synthetic=1), flat.tree, flat.manifest)
    row = bd.as_study(marked, "made up", at={"day": "2"})
    assert row["source"][0].startswith("SYNTHETIC DATA: ")
    assert row.attrs["synthetic"]
    real = bd.as_study(flat, "real", at={"day": "2"})
    assert not real.attrs["synthetic"]
    meta = bd.Meta(measure="difference", units="MADRS points", scale=10)
    both = pd.concat([real, row, real.assign(study="a third")], ignore_index=True)
    assert meta.prepare(both).attrs["synthetic"] == 1  # one simulated row is enough
    assert meta.prepare(pd.concat([real, real.assign(study="b")], ignore_index=True)).attrs["synthetic"] == 0


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "'difference' has a value for each day; add at={'day': '10'} or another"),
        ({"at": {"visit": "2"}}, "at: 'difference' has no dim 'visit'"),
        ({"at": {"day": "3"}}, "at: '3' is no day of 'difference'"),
        ({"estimand": "diference"}, "there is no estimand 'diference'; did you mean 'difference'"),
        ({"estimand": "patient_sd"}, "'patient_sd' is not on a scale with zero for no effect"),
        ({"estimand": "beyond_margin"}, "'beyond_margin' is not on a scale with zero for no effect"),
    ],
)
def test_what_is_not_an_effect_is_refused(flat, asked, message):
    with pytest.raises(BadInput) as problem:
        bd.as_study(flat, "NIMH", **asked)
    assert message in str(problem.value)


def test_a_fit_that_failed_the_gate_is_refused(flat):
    failed = dataclasses.replace(flat, manifest=flat.manifest | {"gate": FAILED.to_dict()})
    with pytest.raises(BadInput, match="cannot enter a meta-analysis: FAILED THE GATE, do not use these numbers"):
        bd.as_study(failed, "NIMH", at={"day": "2"})


def test_a_meta_analysis_is_not_a_trial():
    meta = bd.Meta(measure="log-risk-ratio", input="counts", **BCG)
    with pytest.raises(BadInput, match="is a meta-analysis, not a trial"):
        bd.as_study(bd.fit(meta, bd.load("bcg_colditz1994"), sampler="exact", draws=50), "all", estimand="mu")


@pytest.mark.parametrize("prior_sd", [3.0, 6.0, 10.0, 100.0])
def test_how_far_priors_moved_an_effect_is_what_taking_them_away_would_show(prior_sd):
    """Normal prior N(0, s) and likelihood N(y, se): the posterior is known, and so is what the prior did to it."""
    y, se = -7.0, 2.0
    share = se**2 / (se**2 + prior_sd**2)  # of the precision that is the prior's
    mean, sd = (1 - share) * y, np.sqrt(1 - share) * se
    priors = WIDE | {"treatment_effect": bd.Prior("Normal", mu=0, sigma=prior_sd)}
    fit = made(table(), draws=20_000, effect=(mean, sd), priors=priors)
    # to first order: the mean moved by sd^2 / s^2 of its distance from 0, and the sd shrank by half that share
    shift, shrink = abs(mean) * sd / prior_sd**2, sd**2 / prior_sd**2 / 2
    assert shift == pytest.approx(abs(mean - y) / sd * (1 - share))  # so little less than it really did
    if shift > 0.1 or shrink > 0.05:
        with pytest.raises(BadInput, match=r"the priors moved 'difference\[ketamine, 2\]' by ") as problem:
            bd.as_study(fit, "NIMH", at={"day": "2"})
        said = float(str(problem.value).split("by ")[1].split()[0])
        assert said == pytest.approx(shift, abs=0.04)  # 40,000 draws
    else:
        assert bd.as_study(fit, "NIMH", at={"day": "2"})["se"][0] == pytest.approx(sd, rel=0.02)
        assert abs(mean - y) < 0.11 * se
