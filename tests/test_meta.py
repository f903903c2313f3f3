"""Meta's terms: covariates, clusters, Student-t effects, single arms, crossover trials and absolute effects.

Densities, scores and estimands against the same written by hand; the exact posterior against its own draws.
"""

import functools
import itertools
import math

import numpy as np
import pandas as pd
import pytensor
import pytest
import xarray as xr
from common import BCG, prior_draws
from pymc.model.transform.conditioning import prune_vars_detached_from_observed
from scipy import integrate, special, stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import uncompiled
from bayesdep.models.meta import student_effects
from bayesdep.models.meta.binomial_pair import log_marginal_single
from bayesdep.models.meta.model import Meta
from bayesdep.models.register import make_model, settings_of
from bayesdep.numerics.distributions import Prior

RATIOS = {"measure": "log-risk-ratio", "input": "counts", **BCG}
SMD = {"measure": "standardised-difference", "cluster": "trial", "study": "outcome"}
MODELS = {
    "covariates": Meta(covariates="absolute_latitude + allocation", **RATIOS),
    "student": Meta(heterogeneity="student-t", **RATIOS),
    "student, nu free": Meta(heterogeneity="student-t", nu=None, covariates="absolute_latitude", **RATIOS),
    "clusters": Meta(**SMD),
    "clusters, covariates": Meta(covariates="year", **SMD),
    "binomial, covariates": Meta(
        measure="log-odds-ratio", input="counts", likelihood="binomial", covariates="absolute_latitude", **BCG
    ),
    "binomial, midpoint": Meta(
        measure="log-odds-ratio", input="counts", likelihood="binomial", midpoint_correlation=True, **BCG
    ),
    "single": Meta(measure="log-odds", input="events", study="trial", events="tb_control", n="n_control"),
    "single, binomial": Meta(
        measure="log-odds", input="events", likelihood="binomial", study="trial", events="tb_control", n="n_control"
    ),
    "risk difference": Meta(**{**RATIOS, "measure": "risk-difference"}),
    "at a control risk": Meta(control_risk=0.2, **{**RATIOS, "measure": "log-odds-ratio"}),
    "risk ratio at a control risk": Meta(control_risk=0.9, **RATIOS),
}
EXACT = [name for name, model in MODELS.items() if model.likelihood == "gaussian" and model.heterogeneity == "normal"]


def clustered():
    """Eight outcomes of four trials."""
    return pd.DataFrame(
        {
            "outcome": [f"o{i}" for i in range(8)],
            "trial": list("aabbbcdd"),
            "effect": [0.4, 0.6, -0.1, 0.0, 0.2, 0.9, 0.5, 0.1],
            "se": [0.2, 0.25, 0.1, 0.15, 0.2, 0.3, 0.2, 0.25],
            "year": [2001, 2001, 2005, 2005, 2005, 2010, 2012, 2013],
        }
    )


@functools.cache
def data_of(name):
    model = MODELS[name]
    return model.prepare(clustered() if model.cluster else bd.load("bcg_colditz1994"))


@functools.cache
def core_of(name):
    return prune_vars_detached_from_observed(MODELS[name].build(data_of(name)))


@functools.cache
def density_of(name):
    core = core_of(name)
    f = pytensor.function(core.value_vars, core.logp(), mode=uncompiled())
    names = [v.name for v in core.value_vars]
    return lambda point: float(f(*(np.asarray(point[n], float) for n in names)))


def spread(point, name, prior, unit=1.0):
    """A positive parameter x = unit log(1 + e^u) and its log prior with the Jacobian."""
    u = point[f"{name}_softplus__"]
    x = unit * np.logaddexp(0, u)
    return x, prior.scipy.logpdf(x) + math.log(unit) - np.logaddexp(0, -u)


def real(point, name, prior, unit):
    """A parameter in multiples of a unit and its log prior with the Jacobian."""
    x = unit * point[f"{name}_scaled__"]
    return x, (prior.scipy.logpdf(x) + math.log(unit)).sum()


def rough_by_hand(data):
    """Log odds (ratios) and midpoints of log odds with a half added to every cell, and their variances."""
    events, n = data["events"].values + 0.5, data["n"].values + 1.0
    logits, variances = np.log(events / (n - events)), 1 / events + 1 / (n - events)
    if events.ndim == 1:
        return [(logits, variances)]
    return [(logits[:, 1] - logits[:, 0], variances.sum(axis=1)), (logits.mean(axis=1), variances.sum(axis=1) / 4)]


def effects_by_hand(x, mean, sd, y, s2):
    """Effects from what is sampled, (theta - m) / v of a normal given a rough estimate; and their log density."""
    v = 1 / np.sqrt(1 / sd**2 + 1 / s2)
    theta = v**2 * (mean / sd**2 + y / s2) + v * x
    return theta, (stats.norm.logpdf(theta, mean, sd) + np.log(v)).sum()


def by_hand(name, point):
    """The joint log density written from the docstring with scipy's densities."""
    model, data = MODELS[name], data_of(name)
    unit = float(np.median(data["se"])) if "se" in data else 1.0
    mu, total = real(point, "mu", model.priors["mu"], unit)
    tau, prior = spread(point, "tau", model.priors["tau"], unit)
    total += prior
    mean = np.full(data.sizes[model.unit], float(mu))
    if model.covariates:
        slope, prior = real(point, "slope", model.priors["slope"], unit)
        mean = mean + data["covariates"].values @ slope
        total += prior
    if model.cluster:
        between, prior = spread(point, "tau_cluster", model.priors["tau_cluster"], unit)
        same = data["cluster_of"].values[:, None] == data["cluster_of"].values
        covariance = np.diag(data["se"].values ** 2 + tau**2) + between**2 * same
        return total + prior + stats.multivariate_normal.logpdf(data["effect"].values, mean, covariance)
    if model.likelihood == "binomial":
        y, s2 = rough_by_hand(data)[0]
        n, events = data["n"].values, data["events"].values
        if "baseline_mean" in point:
            sd, prior = spread(point, "baseline_sd", model.priors["baseline_sd"])
            centre = point["baseline_mean"]
            a, of_a = effects_by_hand(point["baseline_latent"], centre, sd, *rough_by_hand(data)[1])
            total += prior + of_a + stats.norm.logpdf(centre, 0, 2.5)
            if model.midpoint_correlation:
                r = special.expit(point["rho_unit_logodds__"])  # Beta(2, 2), with the Jacobian r (1 - r)
                total += math.log(6 * r * (1 - r)) + math.log(r * (1 - r))
                rho = 2 * r - 1
                mean, tau = mean + rho * tau * (a - centre) / sd, tau * math.sqrt(1 - rho**2)
        theta, prior = effects_by_hand(point["theta_latent"], mean, tau, y, s2)
        total += prior
        if "baseline_mean" in point:
            theta = np.stack([a - theta / 2, a + theta / 2], axis=1)
        return total + stats.binom.logpmf(events, n, special.expit(theta)).sum()
    scale = tau
    if model.heterogeneity == "student-t":
        nu = model.nu
        if nu is None:
            nu, prior = spread(point, "nu", model.priors["nu"])
            total += prior
        v = point["precision"]
        w = np.exp(v / math.sqrt(nu / 2))  # Gamma(nu/2, nu/2), with the Jacobian dw/dv = w / sqrt(nu/2)
        total += (stats.gamma.logpdf(w, nu / 2, scale=2 / nu) + np.log(w / math.sqrt(nu / 2))).sum()
        scale = tau / np.sqrt(w)
    y, se = data["effect"].values, data["se"].values
    return total + stats.norm.logpdf(y, mean, np.hypot(se, scale)).sum()


@pytest.mark.parametrize("name", MODELS)
def test_log_density_equals_the_model_written_by_hand(name):
    rng = np.random.default_rng(1)
    start = core_of(name).initial_point()
    for _ in range(4):
        point = {n: 0.7 * rng.normal(size=np.shape(x)) for n, x in start.items()}
        # binomial coefficients of 88391 by log-gammas of size 1e6: 1e-16 of those
        assert density_of(name)(point) == pytest.approx(by_hand(name, point), rel=1e-10, abs=1e-8)


@pytest.mark.parametrize("name", MODELS)
def test_settings_round_trip_and_the_model_says_what_it_is(name):
    model = MODELS[name]
    assert make_model("meta", settings_of(model)) == model
    assert model.words.endswith(".")
    free = {v.name for v in core_of(name).free_RVs} & set(model.slots)
    assert free == set(model.slots)
    said = " ".join(model.formula)
    assert all(f"{p} ~" in said for p in model.slots)


def posterior_of(name, draws=40, seed=2):
    """Parameters, and variables not needed for the likelihood, from the prior, to derive estimands from."""
    return prior_draws(MODELS[name].build(data_of(name)), draws, seed=seed)


@pytest.mark.parametrize("name", MODELS)
def test_estimands_have_units_and_say_how_to_read_them(name):
    found = MODELS[name].estimands(posterior_of(name), data_of(name))
    for estimand in found.data_vars.values():
        assert estimand.attrs["units"]
        assert estimand.attrs["description"]
        assert estimand.dims[:2] == ("chain", "draw")
        reciprocal = estimand.attrs.get("reciprocal_of")
        assert reciprocal is None or np.allclose(estimand, 1 / found[reciprocal])


@pytest.mark.parametrize("name", EXACT)
def test_exact_marginals_are_those_of_the_exact_draws(name):
    """Every estimand that has a marginal, also those of effects that are drawn from their conditionals."""
    model, data = MODELS[name], data_of(name)
    fit = bd.fit(model, data, draws=1000, chains=1, seed=1, progress=False)
    assert fit.is_exact
    assert {v.name for v in core_of(name).free_RVs} <= set(fit.posterior)
    found = fit.estimands
    marginals = model.exact(data).marginals
    for (estimand, at), marginal in marginals.items():
        values = found[estimand].sel(dict(at)).values.ravel()
        # some 40 marginals a model: one in a thousand of them by chance; atoms (risks at 1) have no KS
        if len(np.unique(values)) > 990:
            assert stats.kstest(values, lambda x, m=marginal: m.cdf(x)).pvalue > 1e-4, (estimand, at)
        assert marginal.quantile(0.5) == pytest.approx(np.median(values), abs=6 * values.std() / math.sqrt(1000) + 1e-9)
    known = {name for name, _ in marginals}
    assert known >= {e for e, v in found.items() if "reciprocal_of" not in v.attrs} - {"i2"}


# ---- scores of left-out units


def test_student_scores_equal_adaptive_integration():
    y, se = np.array([0.3, -2.0, 40.0]), np.array([0.2, 0.5, 0.1])
    for mu, tau, nu in ((0.1, 0.4, 4.0), (-1.0, 0.05, 2.1), (0.5, 1.2, 30.0)):
        ours = student_effects.log_marginal(y, se, *(np.array([x]) for x in (mu, tau, nu)))[0]
        for k in range(3):

            def density(theta, k=k, mu=mu, tau=tau, nu=nu):
                return stats.norm.pdf(y[k], theta, se[k]) * stats.t.pdf((theta - mu) / tau, nu) / tau

            edges = sorted({mu - 5 * tau, mu, mu + 5 * tau, *(y[k] + se[k] * z for z in (-8, -3, 0, 3, 8))})
            edges = [min(edges) - 50, *edges, max(edges) + 50]
            total = sum(
                integrate.quad(density, a, b, epsabs=0, epsrel=1e-11, limit=300)[0]
                for a, b in itertools.pairwise(edges)
                if b > a
            )
            assert ours[k] == pytest.approx(math.log(total), abs=1e-7), (mu, tau, nu, k)


def test_student_scores_tend_to_the_normals():
    data = data_of("student")
    y, se = data["effect"].values, data["se"].values
    ours = student_effects.log_marginal(y, se, np.array([-0.5]), np.array([0.6]), np.array([1e7]))
    np.testing.assert_allclose(ours[0], stats.norm.logpdf(y, -0.5, np.hypot(se, 0.6)), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("events", "n"), [(0, 12), (3, 9), (9, 9), (505, 88391)])
@pytest.mark.parametrize(("mu", "tau"), [(-1.0, 0.7), (-5.5, 0.05), (2.0, 2.0)])
def test_single_arm_scores_equal_adaptive_integration(events, n, mu, tau):
    ours = log_marginal_single(np.array([events]), np.array([n]), np.array([mu]), np.array([tau]))[0, 0]
    choose = math.lgamma(n + 1) - math.lgamma(events + 1) - math.lgamma(n - events + 1)

    def log_density(theta):
        return events * theta + n * special.log_expit(-theta) + stats.norm.logpdf(theta, mu, tau) + choose

    grid = np.linspace(mu - 14 * tau - 12, mu + 14 * tau + 12, 200_001)
    height = log_density(grid)
    expected = special.logsumexp(height) + math.log(grid[1] - grid[0])  # the trapezoidal rule: exponentially accurate
    assert ours == pytest.approx(expected, abs=1e-6)


def test_single_arm_scores_do_not_change_with_more_nodes():
    events, n = np.array([0, 3, 9, 505, 7]), np.array([12, 9, 9, 88391, 200])
    mu, tau = (g.ravel() for g in np.meshgrid(np.linspace(-6, 4, 6), [0.01, 0.1, 0.5, 1.0, 2.0, 3.0]))
    some, many = (log_marginal_single(events, n, mu, tau, nodes=k) for k in (41, 81))
    np.testing.assert_allclose(some, many, rtol=0, atol=1e-6)


def test_cluster_scores_are_those_of_correlated_normals():
    name = "clusters, covariates"
    model, data = MODELS[name], data_of(name)
    posterior = posterior_of(name, draws=3)
    scored = model.log_likelihood(posterior, data)
    assert model.left_out == "cluster"
    assert scored.dims == ("chain", "draw", "cluster")
    assert list(scored["cluster"].values) == list("abcd")
    for d in range(3):
        at = posterior.isel(chain=0, draw=d)
        mean = float(at["mu"]) + data["covariates"].values @ at["slope"].values
        same = data["cluster_of"].values[:, None] == data["cluster_of"].values
        cov = np.diag(data["se"].values ** 2 + float(at["tau"]) ** 2) + float(at["tau_cluster"]) ** 2 * same
        for c in range(4):
            i = np.flatnonzero(data["cluster_of"].values == c)
            expected = stats.multivariate_normal.logpdf(data["effect"].values[i], mean[i], cov[np.ix_(i, i)])
            assert float(scored[0, d, c]) == pytest.approx(expected, abs=1e-9)


def test_scores_with_covariates_use_every_study_s_own_mean():
    name = "binomial, covariates"
    model, data = MODELS[name], data_of(name)
    posterior = posterior_of(name, draws=2)
    scored = model.log_likelihood(posterior, data)
    plain = Meta(**{**settings_of(model), "covariates": None, "priors": {}})
    at = posterior.isel(draw=[0])
    mean = at["mu"] + (at["slope"] * data["covariates"][4]).sum("covariate")
    alone = plain.log_likelihood(at.assign(mu=mean), data)
    assert float(scored[0, 0, 4]) == pytest.approx(float(alone[0, 0, 4]), abs=1e-8)


# ---- estimands by hand


def one_draw(**values):
    return xr.Dataset({k: (("chain", "draw"), [[v]]) for k, v in values.items()})


def test_absolute_effects_of_an_odds_ratio_at_a_control_risk():
    name = "at a control risk"
    posterior = one_draw(mu=math.log(3), tau=0.2, theta_new=math.log(0.5)).assign(
        theta=(("chain", "draw", "study"), np.zeros((1, 1, 13)))
    )
    found = MODELS[name].estimands(posterior, data_of(name)).isel(chain=0, draw=0)
    # odds 0.25 times 3 is 0.75: a risk of 3/7
    assert float(found.risk_treated) == pytest.approx(3 / 7, rel=1e-12)
    assert float(found.risk_difference) == pytest.approx(3 / 7 - 0.2, rel=1e-12)
    assert float(found.nnt) == pytest.approx(1 / (3 / 7 - 0.2), rel=1e-12)
    assert float(found.risk_ratio) == pytest.approx(3 / 7 / 0.2, rel=1e-12)
    # odds 0.125: a risk of 1/9, below the controls': a number needed to harm
    assert float(found.risk_difference_new) == pytest.approx(1 / 9 - 0.2, rel=1e-12)
    assert float(found.nnt_new) == pytest.approx(1 / (1 / 9 - 0.2), rel=1e-12)
    assert found.risk_ratio.attrs["null"] == 1.0
    assert found.risk_treated.attrs["null"] == 0.2
    assert "20% of controls" in found.nnt.attrs["description"]
    assert not {"risk_difference_theta", "risk_treated_theta"} & set(found)


def test_a_risk_ratio_promises_no_more_than_certainty():
    name = "risk ratio at a control risk"
    posterior = one_draw(mu=math.log(1.5), tau=0.2, theta_new=math.log(0.5)).assign(
        theta=(("chain", "draw", "study"), np.zeros((1, 1, 13)))
    )
    found = MODELS[name].estimands(posterior, data_of(name)).isel(chain=0, draw=0)
    assert float(found.risk_treated) == 1.0
    assert float(found.risk_difference) == pytest.approx(0.1, rel=1e-12)
    assert float(found.risk_difference_new) == pytest.approx(-0.45, rel=1e-12)
    assert "risk_ratio" not in found  # it is the ratio itself
    exact = MODELS[name].exact(data_of(name)).marginals
    mixture, risk = exact["theta_new", ()], exact["risk_treated_new", ()]
    x = mixture.means + mixture.sds * np.random.default_rng(3).normal(size=(20_000, 1))
    weights = mixture.weights / 20_000
    capped = np.minimum(0.9 * np.exp(x), 1)
    error = capped.std() / math.sqrt(20_000)
    assert risk.mean == pytest.approx((capped * weights).sum(), abs=5 * error)
    assert risk.cdf(1.0) == pytest.approx(1, abs=1e-12)
    assert risk.cdf(0.999999) == pytest.approx(mixture.cdf(math.log(0.999999 / 0.9)), abs=1e-12)


def test_a_risk_difference_is_a_number_needed_to_treat_by_itself():
    name = "risk difference"
    found = MODELS[name].estimands(posterior_of(name), data_of(name))
    np.testing.assert_allclose(found.nnt, 1 / found.mu)
    assert found.nnt.attrs["reciprocal_of"] == "mu"
    assert found.mu.attrs["units"] == "risk difference"


def test_log_odds_of_single_arms_are_reported_as_risks():
    for name in ("single", "single, binomial"):
        found = MODELS[name].estimands(posterior_of(name), data_of(name))
        np.testing.assert_allclose(found.risk, special.expit(found.mu))
        np.testing.assert_allclose(found.risk_theta, special.expit(found.theta))
        assert np.isnan(found.mu.attrs["null"])
        assert np.isnan(found.risk.attrs["null"])
        assert "ratio" not in found


def test_slopes_are_per_unit_of_their_covariate():
    name = "covariates"
    data, posterior = data_of(name), posterior_of(name)
    found = MODELS[name].estimands(posterior, data)
    assert list(found["covariate"].values) == ["absolute_latitude", "allocation[random]", "allocation[systematic]"]
    latitude = bd.load("bcg_colditz1994")["absolute_latitude"]
    np.testing.assert_allclose(found.slope[..., 0], posterior["slope"][..., 0] / latitude.std(ddof=0))
    # the intercept plus slopes times a study's raw covariates is the study's own mean
    raw = data["covariates"].values * data["covariate_sd"].values + data["covariate_mean"].values
    again = found.intercept.values[..., None] + found.slope.values @ raw.T
    mean = posterior["mu"].values[..., None] + posterior["slope"].values @ data["covariates"].values.T
    np.testing.assert_allclose(again, mean, rtol=0, atol=1e-10)


# ---- meta-regression on BCG


def test_bcg_on_latitude_lies_where_reml_says():
    """metafor 3.8-1, REML: intercept 0.25146 (0.24910), slope -0.0291017 (0.0071956), residual tau 0.27632.

    Flat-ish on the coefficients. On tau the default N+(0.5): half its posterior lies above REML's point, where the
    slope is 0.03 standard errors nearer to zero; under N+(10) it is 0.054.
    """
    flat = {"mu": Prior("Normal", mu=0, sigma=10), "slope": Prior("Normal", mu=0, sigma=10)}
    model = Meta(covariates="absolute_latitude", priors=flat, **RATIOS)
    data = model.prepare(bd.load("bcg_colditz1994"))
    exact = model.exact(data).marginals
    slope = exact["slope", (("covariate", "absolute_latitude"),)]
    assert slope.mean == pytest.approx(-0.0291017, abs=0.05 * 0.0071956)
    assert exact["intercept", ()].mean == pytest.approx(0.25146, abs=0.05 * 0.24910)
    # REML takes tau for known; the posterior does not, and is wider
    assert 0.0072 < slope.sd < 1.4 * 0.0072
    # at REML's own tau nothing is left to differ but the priors, a ten-thousandth of the data's precision
    engine = model.hierarchy(data)
    given = engine.coefficients_given(np.array([0.276323532667]))
    sd = float(data["covariate_sd"][0])
    assert given.mean[0, 0, 1] / sd == pytest.approx(-0.029101660928, rel=2e-4)
    assert math.sqrt(given.covariance[0, 0, 1, 1]) / sd == pytest.approx(0.007195554757, rel=2e-4)


# ---- reading tables


def arms(**changes):
    table = pd.DataFrame(
        {
            "study": ["a", "b", "c"],
            "mean_treated": [-12.0, -9.5, -14.0],
            "sd_treated": [8.0, 7.0, 9.0],
            "n_treated": [20, 18, 30],
            "mean_control": [-6.0, -4.0, -9.0],
            "sd_control": [9.0, 8.0, 8.5],
            "n_control": [21, 18, 29],
            "how": ["parallel", "crossover", "parallel"],
        }
    )
    for name, values in changes.items():
        table[name] = values
    return table


def test_means_become_hedges_g_and_crossover_trials_pair():
    from bayesdep.data.effects import hedges_g, mean_difference

    columns = ["mean_treated", "sd_treated", "n_treated", "mean_control", "sd_control", "n_control"]
    values = [arms()[c].to_numpy(float) for c in columns]
    model = Meta(measure="standardised-difference", input="means", design="how", correlation=0.5)
    data = model.prepare(arms())
    effect, se = hedges_g(*values, correlation=np.array([np.nan, 0.5, np.nan]))
    np.testing.assert_array_equal(data["effect"], effect)
    np.testing.assert_array_equal(data["se"], se)
    priors = {"mu": Prior("Normal", mu=0, sigma=10), "tau": Prior("HalfNormal", sigma=5)}
    raw = Meta(measure="difference", units="MADRS points", input="means", priors=priors).prepare(arms())
    np.testing.assert_array_equal(raw["effect"], mean_difference(*values)[0])
    assert raw["se"].attrs["units"] == "MADRS points"


REFUSED = {
    "no correlation": ({"design": "how"}, {}, "row 2 (b) is a crossover trial, whose standard error needs"),
    "unknown design": (
        {"design": "how"}, {"how": ["parallel", "cross-over", "parallel"]}, "'cross-over', but parallel",
    ),
    "unequal arms": (
        {"design": "how", "correlation": 0.5}, {"n_control": [21, 17, 29]}, "18 and 17 people in its arms; give the",
    ),
    "no spread": ({}, {"sd_control": [9.0, 0.0, 8.5]}, "row 2 is 0.0"),
    "one person": ({}, {"n_control": [21, 1, 29]}, "a spread needs at least 2 people"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_of_means_that_cannot_be_used_is_refused_by_row(name):
    settings, changes, says = REFUSED[name]
    model = Meta(measure="standardised-difference", input="means", **settings)
    with pytest.raises(BadInput) as caught:
        model.prepare(arms(**changes))
    assert says in str(caught.value)


def test_counts_of_crossover_trials_are_refused():
    table = bd.load("ketamine_trials").dropna(subset=["ketamine_responders"])
    columns = {
        "study": "trial",
        "events_treated": "ketamine_responders",
        "n_treated": "ketamine_n",
        "events_control": "control_responders",
        "n_control": "control_n",
        "design": "design",
    }
    model = Meta(measure="log-odds-ratio", input="counts", likelihood="binomial", **columns)
    with pytest.raises(BadInput, match="the same people's and are not independent"):
        model.prepare(table)
    parallel = table[table["design"] == "parallel"]
    assert list(model.prepare(parallel)["study"].values) == ["Murrough 2013", "Lii 2023"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"measure": "log-odds"}, None),
        ({"measure": "log-odds", "input": "counts"}, "is not available from input = 'counts'"),
        ({"measure": "risk-difference", "input": "counts", "likelihood": "binomial"}, "needs input = 'counts' and"),
        ({"measure": "risk-difference", "control_risk": 0.2}, "'risk-difference' needs none"),
        ({"measure": "log-odds-ratio", "control_risk": 20.0}, "a probability between 0 and 1"),
        ({"measure": "log-odds-ratio", "correlation": 0.5}, "correlation needs input = 'means' and design"),
        (
            {"measure": "standardised-difference", "input": "means", "design": "d", "correlation": 1.5},
            "between -1 and 1",
        ),
        ({"measure": "standardised-difference", "design": "d"}, "belongs to input = 'means' or 'counts'"),
        ({"measure": "log-odds-ratio", "nu": -1.0, "heterogeneity": "student-t"}, "degrees of freedom above zero"),
        ({"measure": "log-odds-ratio", "cluster": "c", "heterogeneity": "student-t"}, "leave one of them out"),
        (
            {"measure": "log-odds-ratio", "cluster": "c", "input": "counts", "likelihood": "binomial"},
            "cluster = 'c' needs likelihood = 'gaussian'",
        ),
        ({"measure": "log-odds-ratio", "unit": "cluster"}, "cannot name a dimension"),
    ],
)
def test_contradictions_are_refused(settings, says):
    if says is None:
        assert Meta(**settings).effect_units == "log odds"
        return
    with pytest.raises(BadInput) as caught:
        Meta(**settings)
    assert says in str(caught.value)


def test_clusters_must_be_told_apart_from_units():
    table = clustered()
    model = MODELS["clusters"]
    with pytest.raises(BadInput, match="no cluster with two rows"):
        model.prepare(table.iloc[[0, 2, 5]])
    with pytest.raises(BadInput, match="one cluster, 'a'"):
        model.prepare(table.iloc[:2])


def test_risk_differences_need_some_uncertainty():
    table = pd.DataFrame(
        {"study": ["a", "b"], "events_treated": [0, 3], "n_treated": [10, 10], "events_control": [0, 0],
         "n_control": [9, 9]}
    )  # fmt: skip
    model = Meta(measure="risk-difference", input="counts")
    with pytest.raises(BadInput, match=r"row 1 \(a\) has 0 of 10 events, so the risk-difference has no standard error"):
        model.prepare(table)
    assert model.prepare(table.assign(events_treated=[2, 3]))["se"].values.min() > 0  # one arm of zero is enough


def test_two_trials_have_no_skewness_and_equal_replicates_none():
    table = bd.load("ketamine_responders").query("design == 'parallel'").head(2)
    model = Meta(
        measure="log-odds-ratio", input="counts", likelihood="binomial", study="trial",
        events_treated="ketamine_responders", n_treated="ketamine_n", events_control="control_responders",
        n_control="control_n",
    )  # fmt: skip
    assert "skewness of effects" not in {check.name for check in model.checks(model.prepare(table))}
    check = next(c for c in MODELS["single"].checks(data_of("single")) if c.name == "skewness of effects")
    y = np.stack([np.zeros(13), np.arange(13.0) ** 2])
    found = check.statistic(y)
    assert found[0] == 0
    assert found[1] == pytest.approx(stats.skew(y[1]))
