"""Which prior matters: power-scaling of one prior at a time, against closed forms and the model's own densities.

Oracle: a normal prior raised to the power a is a normal prior whose variance is divided by a, so the scaled posterior
of a normal mean, and of independent ones, is known.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.text import Text
from pymc.model.transform.conditioning import prune_vars_detached_from_observed
from scipy import stats
from test_invariance import UNCOMPILED, forward
from unsampled import FAMILIES, made

import bayesdep as bd
from bayesdep import modelling as m
from bayesdep.criticism.each_prior import ALL, POWERS, priors_in
from bayesdep.criticism.sensitivity import THRESHOLD
from bayesdep.data.errors import BadInput
from bayesdep.reporting.figures import scaled_priors
from bayesdep.reporting.figures.register import png

SD = {"a": 1.0, "b": 0.3}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoMeans:
    """Two means of normal values of sd 1, each under a normal prior of its own, and their difference."""

    family = "two-means"
    target_accept, left_out, primary_estimands = 0.8, "value", ("a", "b", "difference")
    slots: ClassVar = {
        name: m.Slot(m.Prior("Normal", mu=0, sigma=sd), "real", f"the mean of {name}", "points")
        for name, sd in SD.items()
    }
    words, formula, exact_by_default = "", (), True
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "priors", m.fill_slots(self.slots, self.priors))

    @property
    def forest(self):
        return m.Forest(("difference",), None, None, lambda data: (np.zeros(1), np.ones(1)))

    def prepare(self, table):
        frame = m.as_frame(table)
        return xr.Dataset({x: ("value", frame[x].to_numpy(float)) for x in SD}, attrs=m.provenance(frame))

    def build(self, data):
        import pymc as pm

        with pm.Model(coords={"value": np.arange(data.sizes["value"])}) as model:
            for x in SD:
                mean = self.priors[x].rv(x)
                pm.Normal(f"y_{x}", mean, 1.0, observed=data[x].values, dims="value")
        return model

    def exact(self, data):
        known = {x: posterior(data[x].values, self.priors[x]["sigma"]) for x in SD}
        return m.ExactPosterior({}, lambda n, rng: {x: rng.normal(*known[x], n) for x in SD})

    def estimands(self, posterior, data):
        values = {"a": posterior["a"], "b": posterior["b"], "difference": posterior["a"] - posterior["b"]}
        values["ratio"] = np.exp(values["difference"])
        attrs = {"ratio": {"monotone_of": "difference"}}
        return xr.Dataset({x: m.estimand(v, f"the {x}", "points", **attrs.get(x, {})) for x, v in values.items()})

    def checks(self, data):
        return []


def posterior(y, sd, power=1.0):
    """Mean and sd of a normal mean whose prior N(0, sd) is raised to a power."""
    precision = power / sd**2 + len(y)
    return y.sum() / precision, precision**-0.5


Y = {"a": np.array([0.3, 1.1, 0.8, -0.2, 0.5]), "b": np.array([0.2, 0.9, 1.4, 1.1, 0.6])}


@pytest.fixture(scope="module")
def fit():
    return bd.fit(TwoMeans(), pd.DataFrame(Y), draws=10_000, chains=4, seed=1)


def expected(name, scaled, power):
    """Mean and sd of an estimand if the named priors are raised to a power."""
    (mean_a, sd_a), (mean_b, sd_b) = (posterior(Y[x], SD[x], power if x in scaled else 1.0) for x in SD)
    known = {"a": (mean_a, sd_a), "b": (mean_b, sd_b), "difference": (mean_a - mean_b, np.hypot(sd_a, sd_b))}
    return known[name]


def test_a_scaled_normal_prior_gives_the_posterior_in_closed_form(fit):
    """Median and interval within 4 Monte Carlo errors of weighted quantiles, sqrt(p (1 - p) / ess) / density."""
    found = bd.scale_priors(fit)
    assert len(found) == 3 * 3 * len(POWERS)
    for row in found.itertuples():
        mean, sd = expected(row.estimand, {"a", "b"} if row.prior == ALL else {row.prior}, row.power)
        assert row.pareto_k < 0.7
        for p, value in ((0.025, row.lower), (0.5, row.median), (0.975, row.upper)):
            z = stats.norm.ppf(p)
            error = sd * np.sqrt(p * (1 - p) / row.ess) / stats.norm.pdf(z)
            assert error < 0.1 * sd
            assert abs(value - (mean + z * sd)) < 4 * error


def test_a_prior_moves_what_depends_on_it_and_nothing_else(fit):
    found = bd.check_each_prior(fit).set_index(["estimand", "prior"])["sensitivity"]
    assert found.loc["b", "b"] > 2 * THRESHOLD  # as narrow as what the data say
    assert found.loc["a", "b"] < THRESHOLD / 5
    assert found.loc["b", "a"] < THRESHOLD / 5
    assert found.loc["difference", "b"] > THRESHOLD
    depends = bd.check_each_prior(fit).query("estimand == 'b'").set_index("prior")["diagnosis"]
    assert depends[[ALL, "a", "b"]].to_list() == ["depends on its prior", "robust", "depends on its prior"]


def test_all_priors_at_once_are_as_in_the_table_of_all(fit):
    alone = bd.check_each_prior(fit).query("prior == @ALL").set_index("estimand")["sensitivity"]
    every = bd.check_prior_sensitivity(fit).set_index("estimand")["prior"]
    for name in ("a", "b", "difference"):
        assert alone[name] == pytest.approx(every[name], rel=1e-12)


def test_a_group_of_all_priors_is_all_priors(fit):
    found = bd.scale_priors(fit, {"both": ["a", "b"], "one": ["b"]}).set_index(["prior", "estimand", "power"])
    columns = ["median", "lower", "upper", "pareto_k"]
    assert [*dict.fromkeys(found.index.get_level_values(0))] == [ALL, "both", "one"]
    pd.testing.assert_frame_equal(found.loc["both"][columns], found.loc[ALL][columns])
    alone = bd.scale_priors(fit).set_index(["prior", "estimand", "power"])
    pd.testing.assert_frame_equal(found.loc["one"], alone.loc["b"])


def test_at_power_one_they_are_the_draws(fit):
    row = bd.scale_priors(fit, powers=[1]).query("estimand == 'a' and prior == 'a'").iloc[0]
    draws = fit.estimands["a"].values
    assert row[["lower", "median", "upper"]].to_numpy(float) == pytest.approx(np.quantile(draws, [0.025, 0.5, 0.975]))
    assert row["ess"] == pytest.approx(draws.size)
    assert row["pareto_k"] == -np.inf


def test_an_exponential_is_judged_by_its_logarithm_and_followed_on_its_own_scale(fit):
    asked = fit.with_primary("ratio")
    ratio = bd.check_each_prior(asked).set_index("prior")["sensitivity"]
    logarithm = bd.check_each_prior(fit.with_primary("difference")).set_index("prior")["sensitivity"]
    assert ratio.to_dict() == logarithm.to_dict()
    moved = bd.scale_priors(asked).set_index(["prior", "power"])["median"]
    of_log = bd.scale_priors(fit.with_primary("difference")).set_index(["prior", "power"])["median"]
    assert np.log(moved.to_numpy()) == pytest.approx(of_log.to_numpy(), abs=1e-4)


def test_a_number_needed_to_treat_is_followed_by_its_difference():
    fit = made("counts", draws=200).with_primary("nnt")
    assert set(bd.check_each_prior(fit)["estimand"]) == set(bd.scale_priors(fit)["estimand"]) == {"risk_difference"}


def test_a_power_that_the_draws_do_not_reach_is_marked():
    """A narrow prior of precision c weakened to a hundredth: weights exp(0.99 c x^2 / 2) under a posterior of precision
    c + 5 have a tail of shape 0.99 c / (c + 5), or 0.98; half of the interval lies beyond all draws."""
    narrow = TwoMeans(priors={"b": m.Prior("Normal", mu=0, sigma=0.05)})
    fit = bd.fit(narrow, pd.DataFrame(Y), draws=10_000, chains=4, seed=1)
    weak = bd.scale_priors(fit, powers=[0.01]).set_index(["estimand", "prior"]).loc[("b", "b")]
    mean, sd = posterior(Y["b"], 0.05, 0.01)
    assert weak["upper"] < mean + 0.5 * sd  # wrong, and said to be
    assert 0.7 < weak["pareto_k"] < 1.2


LARGE = ("trajectories", "growth", "items", "cytokines", "ordinal", "trial", "trial-arms", "patient-meta", "crossover")


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=pytest.mark.sampling if name in LARGE else ()) for name in FAMILIES]
)
def test_log_densities_of_single_priors_sum_to_the_models_own(family):
    """PyMC's log density of all free variables, without Jacobians, at two draws, to 1e-10."""
    fit = made(family, draws=4)
    core = prune_vars_detached_from_observed(fit.model.build(fit.data))
    total = core.compile_logp(vars=core.free_RVs, jacobian=False, mode=UNCOMPILED)
    log_prior = fit.tree["log_prior"].to_dataset()
    assert set(log_prior.data_vars) == {rv.name for rv in core.free_RVs}
    assert priors_in(fit)
    for draw in range(2):
        values = {
            rv.name: fit.posterior[rv.name].transpose("chain", "draw", ...).values[0, draw] for rv in core.free_RVs
        }
        expected = total({core.rvs_to_values[rv].name: forward(core, rv, values) for rv in core.free_RVs})
        found = sum(float(term.values[0, draw]) for term in log_prior.data_vars.values())
        assert found == pytest.approx(float(expected), rel=1e-10)


REFUSED = [
    ({"x": ["aa"]}, "'aa' in 'x' is no prior of this fit; did you mean 'a'?", {"x": ["a"]}),
    ({"x": []}, "name its priors in a list", {"x": ["a"]}),
    ({"x": "a"}, "name its priors in a list", {"x": ["a"]}),
    ({ALL: ["a"]}, "choose another name", {"x": ["a"]}),
    (["a"], 'write it as {"spreads": ["tau"]}', {"spreads": ["a"]}),
]


@pytest.mark.parametrize(("groups", "words", "advised"), REFUSED)
def test_groups_that_cannot_be_read_are_refused_and_the_advice_works(fit, groups, words, advised):
    for function in (bd.check_each_prior, bd.scale_priors, bd.plot_scaled_priors):
        with pytest.raises(BadInput) as refused:
            function(fit, groups)
        assert words in str(refused.value)
    assert set(bd.check_each_prior(fit, advised)["prior"]) == {ALL, *advised}


@pytest.mark.parametrize("powers", [[0, 1], [], ["x"], None, [np.inf]])
def test_powers_are_above_zero(fit, powers):
    with pytest.raises(BadInput, match="give some around 1"):
        bd.scale_priors(fit, powers=powers)
    assert bd.scale_priors(fit, powers=[0.8, 1, 1.25])["power"].max() == 1.25


# The figure and the report.


def words_of(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text().strip()]


def test_the_figure_draws_the_table(fit):
    """Each panel: the median's line is the table's, and the sensitivity at its head; bold where it depends."""
    figure, moved, checked = bd.plot_scaled_priors(fit), bd.scale_priors(fit), bd.check_each_prior(fit)
    panels = np.array(figure.axes).reshape(3, 3)
    for line, estimand in zip(panels, ("a", "b", "difference"), strict=True):
        for axes, prior in zip(line, (ALL, "a", "b"), strict=True):
            course = moved[(moved["estimand"] == estimand) & (moved["prior"] == prior)]
            assert axes.lines[0].get_ydata() == pytest.approx(course["median"].to_numpy())
            row = checked[(checked["estimand"] == estimand) & (checked["prior"] == prior)].iloc[0]
            (said,) = (text for text in axes.texts if text.get_text().startswith(f"{row['sensitivity']:.3f} ("))
            assert (said.get_fontweight() == "bold") == (row["diagnosis"] != "robust")
    assert not any("not to be trusted" in word for word in words_of(figure))


def test_the_figure_marks_what_is_not_to_be_trusted(monkeypatch):
    narrow = TwoMeans(priors={"b": m.Prior("Normal", mu=0, sigma=0.05)})
    fit = bd.fit(narrow, pd.DataFrame(Y), draws=1000, chains=4, seed=1).with_primary("b")
    weak = bd.scale_priors(fit, powers=[0.01, 1, 1.25])
    monkeypatch.setattr(scaled_priors, "scale_priors", lambda *_: weak)
    figure = bd.plot_scaled_priors(fit)
    crosses = [
        [line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())] for axes in figure.axes
    ]
    assert [len(found) for found in crosses] == [3, 0, 3]  # all priors, a, b: median and both ends
    assert all(line.get_xdata().tolist() == [0.01] for found in crosses for line in found)
    assert any("Pareto k above 0.7: not to be trusted" in word for word in words_of(figure))


def test_select_chooses_priors_and_estimands(fit):
    figure = bd.plot_scaled_priors(fit, select={"prior": ["b"], "estimand": ["a", "b"]})
    assert len(figure.axes) == 2
    with pytest.raises(BadInput, match="'c' is no prior of this figure"):
        bd.plot_scaled_priors(fit, select={"prior": ["c"]})


def test_of_many_the_figure_shows_the_most_sensitive_and_says_so():
    fit = made("cytokines", draws=100)
    figure = bd.plot_scaled_priors(fit)
    assert len(figure.axes) == 3 * 4
    checked = bd.check_each_prior(fit)
    most = checked[checked["prior"] != ALL].nlargest(1, "sensitivity")["prior"].item()
    assert most in [axes.get_title(loc="left") for axes in figure.axes[:4]]
    assert "priors are shown: the most sensitive" in figure.get_suptitle()


def test_the_report_says_which_prior_matters(fit, tmp_path):
    drawn = {"scaled_priors": png(bd.plot_scaled_priors(fit))}
    page = bd.report(fit, tmp_path / "report.html", figures=drawn).read_text()
    part = page.partition('id="which-prior"')[2].partition("<h3")[0]
    checked = bd.check_each_prior(fit).set_index(["estimand", "prior"])["sensitivity"]
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", part)
    assert cells[:6] == [
        "a", "none" if checked["a", "a"] <= THRESHOLD else f"a ({checked['a', 'a']:.3f})", cells[2],
        "b", f"b ({checked['b', 'b']:.3f})", f"a ({checked['b', 'a']:.3f})",
    ]  # fmt: skip
    assert 'id="figure-scaled_priors"' in page


def test_of_one_prior_there_is_nothing_to_compare(tmp_path):
    fit = made("stepwise")
    assert ALL not in set(bd.check_each_prior(fit)["prior"])
    assert 'id="which-prior"' not in bd.report(fit, tmp_path / "report.html").read_text()
