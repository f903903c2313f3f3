"""Bayes factors for no effect: against closed forms, quadrature and marginal likelihoods computed without the package.

Oracles: the normal-normal model in closed form; marginal likelihoods of a meta-analysis with and without its pooled
effect; those of a trial with all coefficients integrated out in a dense normal and its residual sd by quadrature.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import integrate, stats
from unsampled import FAMILIES, made

import bayesdep as bd
from bayesdep import modelling as m
from bayesdep.criticism.bayes_factor import WIDTHS, bayes_factor
from bayesdep.inference.ropes import values_at
from bayesdep.models.model import own_prior_of
from bayesdep.numerics.conditional_density import (
    Grids,
    Normals,
    bound_in_tail,
    conditionals,
    ratio_of_normals,
)
from bayesdep.numerics.normal_normal import NormalNormal


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormalMean:
    """The mean of normal values of sd 1, under a normal prior: its posterior and its Bayes factor have closed forms."""

    family = "normal-mean"
    target_accept, left_out, primary_estimands = 0.8, "value", ("mean",)
    slots: ClassVar = {"mean": m.Slot(m.Prior("Normal", mu=0, sigma=1), "real", "the mean", "points")}
    words, formula, exact_by_default = "", (), True
    priors: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "priors", m.fill_slots(self.slots, self.priors))

    @property
    def forest(self):
        return m.Forest(("mean",), None, None, lambda data: (data["y"].values[:1], np.ones(1)))

    def prepare(self, table):
        frame = m.as_frame(table)
        return xr.Dataset({"y": ("value", frame["y"].to_numpy(float))}, attrs=m.provenance(frame))

    def build(self, data):
        import pymc as pm

        with pm.Model(coords={"value": np.arange(data.sizes["value"])}) as model:
            mean = self.priors["mean"].rv("mean")
            pm.Normal("y", mean, 1.0, observed=data["y"].values, dims="value")
        return model

    def moments(self, data):
        prior, n = self.priors["mean"], data.sizes["value"]
        precision = 1 / prior["sigma"] ** 2 + n
        return (data["y"].values.sum() + prior["mu"] / prior["sigma"] ** 2) / precision, precision**-0.5

    def exact(self, data):
        mean, sd = self.moments(data)
        return m.ExactPosterior({}, lambda n, rng: {"mean": rng.normal(mean, sd, n)})

    def estimands(self, posterior, data):
        return xr.Dataset({"mean": m.estimand(posterior["mean"], "the mean", "points")})

    def own_prior(self, name, at, data):
        return m.OwnPrior("mean", self.priors["mean"])

    def checks(self, data):
        return []


def bayes_factor_of_mean(y, sigma, mu=0.0):
    """The ratio of the densities of the values' mean without and with the effect."""
    n = len(y)
    return stats.norm.pdf(y.mean(), 0, n**-0.5) / stats.norm.pdf(y.mean(), mu, np.sqrt(1 / n + sigma**2))


@pytest.mark.parametrize(("centre", "sigma", "mu"), [(0.0, 1.0, 0.0), (0.4, 2.0, 0.0), (0.8, 1.0, 0.5)])
def test_of_a_normal_mean_it_is_the_closed_form_at_every_width(centre, sigma, mu):
    """The conditional of the only parameter is its posterior, so no Monte Carlo error is left but rounding."""
    y = np.random.default_rng(3).normal(centre, 1, 20)
    model = NormalMean(priors={"mean": m.Prior("Normal", mu=mu, sigma=sigma)})
    fit = bd.fit(model, pd.DataFrame({"y": y}), draws=300, chains=2)
    table = bd.check_null(fit, "mean")
    expected = [bayes_factor_of_mean(y, width * sigma, mu) for width in WIDTHS]
    assert table["bayes_factor"].to_numpy() == pytest.approx(expected, rel=1e-6)
    assert (table["error"] < 1e-6).all()
    assert table["prob_null"].to_numpy() == pytest.approx(np.array(expected) / (1 + np.array(expected)))


def test_of_another_family_of_priors_it_is_the_quadrature():
    """A Student-t prior: the conditional is no normal, and wider priors are reached by importance weights."""
    y = np.random.default_rng(4).normal(0.3, 1, 12)
    model = NormalMean(priors={"mean": m.Prior("StudentT", nu=4, mu=0, sigma=0.7)})

    def marginal(sigma):
        return integrate.quad(
            lambda t: stats.norm.pdf(y.mean(), t, len(y) ** -0.5) * stats.t.pdf(t, 4, 0, sigma), -9, 9, points=[0, 0.3]
        )[0]

    rng = np.random.default_rng(1)
    draws = stats.norm.rvs(y.mean(), len(y) ** -0.5, size=400_000, random_state=rng)
    weight = stats.t.pdf(draws, 4, 0, 0.7)
    posterior = rng.choice(draws, 2000, p=weight / weight.sum())
    exact = m.ExactPosterior({}, lambda n, _: {"mean": posterior[:n]})
    model = dataclasses.make_dataclass("Given", [], bases=(NormalMean,), frozen=True,
                                       namespace={"exact": lambda self, data: exact})(priors=model.priors)  # fmt: skip
    table = bd.check_null(bd.fit(model, pd.DataFrame({"y": y}), draws=1000, chains=2), "mean").set_index("width")
    at_null = stats.norm.pdf(y.mean(), 0, len(y) ** -0.5)
    assert table.loc[1.0, "bayes_factor"] == pytest.approx(at_null / marginal(0.7), rel=1e-5)
    for width in (0.5, 2.0, 4.0):
        row = table.loc[width]
        assert row["error"] < 0.1 * row["bayes_factor"]
        assert abs(row["bayes_factor"] - at_null / marginal(0.7 * width)) < 4 * row["error"]


STUDIES = pd.DataFrame({"study": list("abcd"), "effect": [0.1, -0.2, 0.15, 0.4], "se": [0.2, 0.2, 0.25, 0.3]})


def meta_by_marginal_likelihood(data, priors, sigma):
    with_effect = NormalNormal(data.effect.values, data.se.values, bd.Prior("Normal", mu=0, sigma=sigma), priors["tau"])
    without = NormalNormal(data.effect.values, data.se.values, None, priors["tau"])
    return float(np.exp(without.log_marginal - with_effect.log_marginal))


def test_of_an_exact_meta_analysis_it_is_the_ratio_of_marginal_likelihoods():
    model = bd.Meta(measure="standardised-difference")
    fit = bd.fit(model, STUDIES, draws=200, chains=2)
    table = bd.check_null(fit, "mu")
    expected = [meta_by_marginal_likelihood(model.prepare(STUDIES), model.priors, width) for width in WIDTHS]
    assert table["bayes_factor"].to_numpy() == pytest.approx(expected, rel=1e-6)
    assert (table["error"] == 0).all()


@pytest.mark.sampling
def test_of_a_sampled_meta_analysis_it_is_the_same_within_its_error():
    model = bd.Meta(measure="standardised-difference")
    fit = bd.fit(model, STUDIES, sampler="nutpie", draws=500, chains=2)
    for row in bd.check_null(fit, "mu").itertuples():
        assert row.error < 0.05 * row.bayes_factor
        expected = meta_by_marginal_likelihood(model.prepare(STUDIES), model.priors, row.width)
        assert abs(row.bayes_factor - expected) < 4 * row.error


def log_marginal_of_trial(data, priors, with_arm):
    """The outcome's density, dense: every coefficient integrated out with its prior, the residual sd by quadrature."""
    y = data["outcome"].values[:, 0] - float(data["centre"])
    columns = [np.ones(len(y)), data["baseline"].values]
    sds = [priors["visit_mean"]["sigma"], priors["baseline_slope"]["sigma"]]
    if with_arm:
        columns.append(data["arm_code"].values[:, 0])
        sds.append(priors["arm_effect"]["sigma"])
    fixed = np.stack(columns, axis=1) * sds
    covariance, identity = fixed @ fixed.T, np.eye(len(y))
    prior = stats.halfnorm(scale=priors["residual_sd"]["sigma"])

    def log_density(sd):
        return stats.multivariate_normal.logpdf(y, cov=covariance + sd**2 * identity) + prior.logpdf(sd)

    top = max(log_density(sd) for sd in np.linspace(0.5, 15, 60))
    return top + np.log(integrate.quad(lambda sd: np.exp(log_density(sd) - top), 0.05, 60, points=[2, 5, 10])[0])


@pytest.mark.sampling
@pytest.mark.parametrize("effect", [0.0, 2.0, 4.0])
def test_of_a_trial_it_is_the_ratio_of_dense_marginal_likelihoods(effect):
    from bayesdep.models.parts.scale import priors_of

    rng = np.random.default_rng(5)
    baseline, arm = rng.normal(24, 4, 40), np.arange(40) % 2
    outcome = 12 + 0.4 * baseline - effect * arm + rng.normal(0, 5, 40)
    table = pd.DataFrame({"subject": [f"p{i}" for i in range(40)], "arm": np.array(["p", "d"])[arm], "visit": 1,
                          "baseline": baseline, "outcome": outcome})  # fmt: skip
    model = bd.Trial(reference="p")
    data = model.prepare(table)
    priors = priors_of(model, data)
    expected = np.exp(log_marginal_of_trial(data, priors, False) - log_marginal_of_trial(data, priors, True))
    fit = bd.fit(model, table, draws=600, chains=2)
    if effect == 4:  # four and a half posterior sds from no effect, where the error is larger
        found = bayes_factor(fit, "difference", {"comparison": "d", "visit": "1"})
        assert found.error < 0.2 * found.value
        assert abs(found.value - expected) < 4 * found.error
        return
    for name in ("difference", "mean_difference"):
        row = bd.check_null(fit, name).set_index("width").loc[1.0]
        assert row["error"] < 0.1 * row["bayes_factor"]
        assert abs(row["bayes_factor"] - expected) < 4 * row["error"]


# Far from no effect


def test_far_in_the_tail_it_is_an_upper_bound_that_holds():
    """The conditionals here are as narrow as a twentieth of the posterior, so hardly any draw says anything there."""
    y = np.random.default_rng(6).normal(2.5, 1, 10)
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"y": y})
    base = NormalMean()
    mean, sd = base.moments(base.prepare(table))
    draws = rng.normal(mean, sd, 800)
    narrow = sd / 20

    def own_prior(self, name, at, data):
        given = xr.DataArray(draws.reshape(2, 400), dims=("chain", "draw"))
        return m.OwnPrior("mean", self.priors["mean"], given=lambda posterior: (given, xr.full_like(given, narrow)))

    exact = m.ExactPosterior({}, lambda n, _: {"mean": draws[:n]})
    spaces = {"own_prior": own_prior, "exact": lambda self, data: exact}
    model = dataclasses.make_dataclass("Narrow", [], bases=(NormalMean,), frozen=True, namespace=spaces)()
    found = bayes_factor(bd.fit(model, table, draws=400, chains=2), "mean", {})
    assert np.isnan(found.value)
    assert "too far in the posterior's tail" in found.reason
    assert bayes_factor_of_mean(y, 1.0) < found.bound < 0.1
    assert found.sentence.startswith("below ")


def test_bound_holds_for_every_distance_and_sample():
    """A normal's own density, 200 samples at five distances: at most as often below it as 95% bounds may be."""
    failures = 0
    for seed in range(200):
        draws = np.random.default_rng(seed).normal(size=1000)
        failures += sum(bound_in_tail(draws, x, 1000.0) < stats.norm.pdf(x) for x in (1.5, 2.5, 3.5, 4.5, 6.0))
    assert failures <= 0.05 * 1000


def test_a_width_that_the_draws_do_not_reach_is_refused():
    """A prior a quarter as wide around 0, the posterior far from it: its weights rest on single draws."""
    y = np.random.default_rng(8).normal(1.0, 1, 40)
    model = NormalMean(priors={"mean": m.Prior("Cauchy", alpha=0, beta=0.2)})
    mean, sd = y.mean(), len(y) ** -0.5
    draws = np.random.default_rng(1).normal(mean, sd, 2000)
    weight = stats.cauchy.pdf(draws, 0, 0.2)
    kept = np.random.default_rng(2).choice(draws, 800, p=weight / weight.sum())
    exact = m.ExactPosterior({}, lambda n, _: {"mean": kept[:n]})
    model = dataclasses.make_dataclass("Given", [], bases=(NormalMean,), frozen=True,
                                       namespace={"exact": lambda self, data: exact})(priors=model.priors)  # fmt: skip
    table = bd.check_null(bd.fit(model, pd.DataFrame({"y": y}), draws=400, chains=2), "mean")
    for row in table.itertuples():
        assert np.isnan(row.bayes_factor) == (row.pareto_k > 0.7)
        assert bool(row.reason) == np.isnan(row.bayes_factor)


# Conditional densities


def test_conditionals_that_are_normal_are_known_from_three_points():
    rng = np.random.default_rng(1)
    means, sds = rng.normal(size=50), np.exp(rng.normal(size=50))
    found = conditionals(lambda x: -(((x - means[:, None]) / sds[:, None]) ** 2) / 2 + 5, rng.normal(size=50), 1.0, 0.3)
    assert isinstance(found, Normals)
    assert found.density(0.3) == pytest.approx(stats.norm.pdf(0.3, means, sds), rel=1e-6)


@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
def test_other_conditionals_are_normalised_by_their_grid(scale):
    """A logistic likelihood with an offset of each draw, a normal prior: normalised by scipy's quadrature."""
    offsets, n, events = np.random.default_rng(2).normal(0, 2, 6), 30, 22

    def log_density(x, of):
        return events * (x / scale + of) - n * np.logaddexp(0, x / scale + of) - (x / scale) ** 2 / 8

    start = scale * np.random.default_rng(3).normal(1, 1, 6)
    found = conditionals(lambda x: log_density(x, offsets[:, None]), start, 0.8 * scale, 0.1 * scale)
    assert isinstance(found, Grids)
    for of, density in zip(offsets, found.density(0.1 * scale), strict=True):
        top = log_density(scale * np.linspace(-8, 8, 400), of).max()
        total = integrate.quad(lambda x, of=of, top=top: np.exp(log_density(x, of) - top), -12 * scale, 12 * scale,
                               points=scale * np.linspace(-3, 3, 13), limit=200)[0]  # fmt: skip
        assert density == pytest.approx(np.exp(log_density(0.1 * scale, of) - top) / total, rel=1e-6)
    with pytest.raises(ValueError, match="known at"):
        found.density(9.0)


def test_a_conditional_without_an_end_is_refused():
    with pytest.raises(ValueError, match="does not die out"):
        conditionals(lambda x: 0.0 * x, np.zeros(2), 1.0, 0.0)


@pytest.mark.parametrize("new", [0.3, 2.0, 4.0])
def test_ratio_of_normals_is_the_quadrature(new):
    of = Normals(np.array([0.5, -1.2]), np.array([0.4, 1.1]))
    expected = [
        integrate.quad(lambda t, a=a, b=b: stats.norm.pdf(t, a, b) * stats.norm.pdf(t, 0.2, new)
                       / stats.norm.pdf(t, 0.2, 2.0), -12, 12, points=[a])[0]
        for a, b in zip(of.means, of.sds, strict=True)
    ]  # fmt: skip
    assert ratio_of_normals(of, 0.2, 2.0, new) == pytest.approx(expected, rel=1e-8)


# What models state


@pytest.mark.parametrize("family", FAMILIES)
def test_every_model_answers_for_each_of_its_estimands(family):
    """A parameter that is sampled (or has its conditional), whose multiple the estimand's draws are; or a reason."""
    fit = made(family, draws=40)
    for name in fit.estimands.data_vars:
        for coordinates, values in values_at(fit.estimands, str(name), {}):
            own = own_prior_of(fit.model, str(name), dict(coordinates), fit.data)
            if isinstance(own, str):
                assert own
                assert not own.endswith(".")
                continue
            parameter = fit.posterior[own.variable].transpose("chain", "draw", ...).values
            drawn = parameter[(slice(None), slice(None), *own.index)]
            assert own.factor * drawn == pytest.approx(values.values, rel=1e-9)


@pytest.mark.parametrize(
    ("family", "name"),
    [("trial", "mean_difference"), ("crossover", "difference"), ("meta", "theta"), ("counts", "risk_difference"),
     ("pooled-counts", "odds_ratio"), ("screen", "sensitivity"), ("small-studies", "mu"), ("cytokines", "log_ratio"),
     ("patient-meta", "effect"), ("trial-arms", "mean_difference")],
)  # fmt: skip
def test_what_is_pooled_or_made_of_several_parameters_is_refused_with_its_reason(family, name):
    fit = made(family, draws=40)
    at = next(dict(c) for c, _ in values_at(fit.estimands, name, {}))
    found = bayes_factor(fit, name, at)
    assert found.prior is None
    assert found.sentence.startswith("none, because ")
    row = bd.check_null(fit, name, at=at).iloc[0]
    assert row["prior"] == "none"
    assert row["reason"] == found.reason


def test_a_model_of_a_users_own_has_none_by_default():
    fit = made("correlation", draws=40)
    assert "Uniform" in bayes_factor(fit, "correlation", {}).reason
    bare = type("Bare", (), {})()
    assert own_prior_of(bare, "effect", {}, fit.data) == "Bare does not state the prior densities of its estimands"


def test_a_ratio_has_the_bayes_factor_of_its_logarithm():
    counts = pd.DataFrame({"study": list("abc"), "events_treated": [3, 4, 5], "n_treated": [20, 30, 25],
                           "events_control": [5, 2, 6], "n_control": [22, 31, 25]})  # fmt: skip
    fit = bd.fit(bd.Meta(measure="log-odds-ratio", input="counts"), counts, draws=200, chains=2)
    assert bd.check_null(fit, "ratio")["bayes_factor"].equals(bd.check_null(fit, "mu")["bayes_factor"])


def test_means_of_a_panels_effects_are_normal_given_what_is_sampled():
    """The standardised mean of effects, given the sampled sum, is standard normal (KS at 0.001 over 4,000 draws)."""
    fit = made("cytokines", draws=2000)
    own = own_prior_of(fit.model, "mean_log_ratio", {"comparison": "group 1"}, fit.data)
    mean, sd = own.given(fit.posterior)
    z = (fit.posterior["group_mean"].isel(comparison=0, drop=True) - mean) / sd
    assert stats.kstest(z.values.ravel(), "norm").pvalue > 0.001
    assert stats.kstest(1.3 * z.values.ravel(), "norm").pvalue < 0.001


def test_unknown_names_are_refused_with_the_nearest():
    fit = bd.fit(bd.Meta(measure="standardised-difference"), STUDIES, draws=100, chains=2)
    with pytest.raises(bd.BadInput, match="did you mean 'mu'"):
        bd.check_null(fit, "mju")
    with pytest.raises(bd.BadInput, match="no dim 'sudy'"):
        bd.check_null(fit, "theta", at={"sudy": "a"})


# Calibration


@pytest.mark.slow
def test_stated_probabilities_of_no_effect_are_right_on_average():
    """200 meta-analyses, half without an effect, the others with one from the prior; exactly and from 500 draws.

    The number of true nulls against the sum of stated probabilities, over all and among those stated below and above
    one half: six tests, at 0.001 together. With Bayes factors five times as large it fails.
    """
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    from bayes_factors import distance, one

    found = pd.DataFrame([one(seed) for seed in range(1000, 1200)])
    truth = found["is_null"].to_numpy()
    limit = stats.norm.isf(0.001 / 12)
    for stated in (found["exact"], found["sampled"].fillna(found["exact"])):
        for rows in (stated >= 0, stated < 0.5, stated >= 0.5):
            assert abs(distance(stated[rows].to_numpy(), truth[rows])) < limit
    odds = 5 * found["exact"] / (1 - found["exact"])
    assert abs(distance((odds / (1 + odds)).to_numpy(), truth)) > limit
    assert found["z"].abs().max() < 5
    assert (found["bound_holds"].dropna() == 1).all()
