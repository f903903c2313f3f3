"""Meta, Counts and Screen: their densities, data, estimands and checks against the same written by hand."""

import functools
import math

import numpy as np
import pandas as pd
import pytensor
import pytest
import xarray as xr
from common import BCG
from pytensor.compile.mode import Mode
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from scipy import special, stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.models.counts.model import Counts
from bayesdep.models.meta.heterogeneity import typical_variance
from bayesdep.models.meta.model import Meta
from bayesdep.models.model import KnowsPosterior, ScoresUnits
from bayesdep.models.register import make_model, model_class, settings_of
from bayesdep.models.screen.model import Screen
from bayesdep.numerics.distributions import Prior

# The rewrites that a compiled sampler gets (they make densities stable), without the compilation. Not fused: an
# elementwise operation that is not compiled takes 32 arrays at most.
UNCOMPILED = Mode(linker="py", optimizer=RewriteDatabaseQuery(include=["fast_run"], exclude=["fusion"]))

GAUSSIAN = Meta(measure="log-risk-ratio", input="counts", **BCG)
BINOMIAL = Meta(measure="log-odds-ratio", input="counts", likelihood="binomial", **BCG)
COUNTS = {p: Counts(control="placebo", events="responders", pooling=p) for p in ("partial", "none", "complete")}
SCREEN = Screen(condition="responder", positives="below_34_pg_per_mL")
TABLES = {"meta": "bcg_colditz1994", "counts": "raison2013_responders", "screen": "kiraly2017_fgf2_roc"}
MODELS = {"gaussian": GAUSSIAN, "binomial": BINOMIAL, **COUNTS, "screen": SCREEN}


@functools.cache
def data_of(model):
    return MODELS[model].prepare(bd.load(TABLES[MODELS[model].family]))


@functools.cache
def density_of(model):
    """The model's log density and its gradient, on the scale the sampler sees, as one function of a dict."""
    graph = MODELS[model].build(data_of(model))
    from pymc.model.transform.conditioning import prune_vars_detached_from_observed

    core = prune_vars_detached_from_observed(graph)
    logp = core.logp()
    f = pytensor.function(core.value_vars, [logp, *pytensor.grad(logp, core.value_vars)], mode=UNCOMPILED)
    names = [v.name for v in core.value_vars]
    return names, lambda point: f(*(np.asarray(point[name], float) for name in names))


def spread(point, name, sigma, unit=1.0):
    """A half-normal spread x = c log(1 + e^u) and the log density of u, Jacobian dx/du = c / (1 + e^-u) included."""
    u = point[f"{name}_softplus__"]
    x = unit * np.logaddexp(0, u)
    return x, stats.halfnorm.logpdf(x, scale=sigma) + np.log(unit) - np.logaddexp(0, -u)


def multiple(point, name, mean, sigma, unit=1.0):
    """A normal x = c u, sampled in multiples of a unit c, and the log density of u, Jacobian dx/du = c included."""
    x = unit * point[f"{name}_scaled__"]
    return x, stats.norm.logpdf(x, mean, sigma) + np.log(unit)


def logit_beta(u, a, b):
    """Log density of the logit of a Beta variable, Jacobian included."""
    return a * special.log_expit(u) + b * special.log_expit(-u) - special.betaln(a, b)


def by_hand(model, point):
    """The joint log density of a model, written from its docstring with scipy's densities."""
    data = data_of(model)
    if model == "gaussian":
        y, se = data["effect"].values, data["se"].values
        # both are sampled in multiples of a typical standard error
        unit = np.sort(se)[len(se) // 2]
        (mu, of_mu), (tau, of_tau) = multiple(point, "mu", 0, 1.5, unit), spread(point, "tau", 0.5, unit)
        prior = of_mu + of_tau
        return prior + stats.multivariate_normal.logpdf(y, np.full(len(y), mu), np.diag(se**2 + tau**2))
    n, events = (data["n"].values, data["events" if model != "screen" else "positives"].values)
    if model == "binomial":
        (mu, of_mu), (tau, of_tau) = multiple(point, "mu", 0, 1.5), spread(point, "tau", 0.5)
        m, (b, of_b) = point["baseline_mean"], spread(point, "baseline_sd", 1.0)
        yes, no = events + 0.5, n - events + 0.5
        logits, variances = np.log(yes / no), 1 / yes + 1 / no
        rough = [
            (logits @ [-1, 1], variances.sum(axis=1), mu, tau, "theta"),
            (logits.mean(axis=1), variances.sum(axis=1) / 4, m, b, "baseline"),  # midway between the arms
        ]
        prior = of_mu + of_tau + of_b + stats.norm.logpdf(m, 0, 2.5)
        found = []
        for y, s2, centre, sd, name in rough:  # sampled is the distance from what a normal estimate y would imply
            v = 1 / np.sqrt(1 / sd**2 + 1 / s2)
            found.append(v**2 * (centre / sd**2 + y / s2) + v * point[f"{name}_latent"])
            prior += (stats.norm.logpdf(found[-1], centre, sd) + np.log(v)).sum()
        theta, a = found
        p = special.expit(np.stack([a - theta / 2, a + theta / 2], axis=1))
    elif model == "screen":
        u, v = point["sensitivity_logodds__"], point["specificity_logodds__"]
        prior = logit_beta(u, 0.5, 0.5) + logit_beta(v, 0.5, 0.5)
        p = special.expit(np.array([u, -v]))
    elif model == "none":
        u = point["risk_logodds__"]
        prior = logit_beta(u, 0.5, 0.5).sum()
        p = special.expit(u)
    else:
        m, (s, prior), z = point["baseline_mean"], spread(point, "baseline_sd", 0.5), point["baseline_latent"]
        prior += stats.norm.logpdf(m, 0, 1.5) + stats.norm.logpdf(z).sum()
        d = point["effect_mean"]
        prior += stats.norm.logpdf(d, 0, 1.5).sum()
        effect = np.broadcast_to(d, (2, 1))
        if model == "partial":
            latent = point["effect_latent"]
            effect_sd, of_sd = spread(point, "effect_sd", 0.5)
            prior += of_sd + stats.norm.logpdf(latent).sum()
            effect = d + effect_sd * latent
        log_odds = (m + s * z)[:, None] + np.concatenate([-effect / 2, effect / 2], axis=1)
        p = special.expit(log_odds)
    return prior + stats.binom.logpmf(events, n, p).sum()


def points(model, scale, count, seed=1):
    """Random points on the sampler's scale, with the shapes the model wants."""
    rng = np.random.default_rng(seed)
    names, _ = density_of(model)
    initial = MODELS[model].build(data_of(model)).initial_point()
    return [{name: scale * rng.normal(size=np.shape(initial[name])) for name in names} for _ in range(count)]


@pytest.mark.parametrize("model", MODELS)
def test_log_density_equals_the_model_written_by_hand(model):
    _, density = density_of(model)
    for point in points(model, 1.0, 5):
        expected = by_hand(model, point)
        # sums of some 40 terms, and binomial coefficients of 88391 choose 505 by log-gammas of size 1e6: 1e-16 of those
        assert float(density(point)[0]) == pytest.approx(expected, rel=1e-10, abs=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_gradient_is_that_of_the_density(model):
    _, density = density_of(model)
    (point,) = points(model, 0.7, 1, seed=4)
    gradient = dict(zip(density_of(model)[0], density(point)[1:], strict=True))
    for name, value in point.items():
        for index in np.ndindex(np.shape(value)):
            step = np.zeros(np.shape(value))
            step[index] = 1e-5
            up, down = (float(density({**point, name: value + s * step})[0]) for s in (1, -1))
            # central difference: truncation (1e-5)^2 of a third derivative and rounding 1e-16 * 1e5 / 1e-5 = 1e-6
            assert gradient[name][index] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-2 * 1e-2)


@pytest.mark.parametrize("scale", [10.0, 30.0])
@pytest.mark.parametrize("model", MODELS)
def test_density_and_gradient_are_finite_at_extreme_points(model, scale):
    """Where a sampler may stray: spreads down to e^-60 and up to 60, and log odds far beyond those of any float."""
    _, density = density_of(model)
    for point in points(model, scale, 5):
        for value in density(point):
            assert np.isfinite(value).all()


def test_effects_are_one_model_in_any_coordinates():
    """p(theta) = p(latent) d latent / d theta: one joint density of (mu, tau, theta), whatever rough estimates say."""
    import pymc as pm

    from bayesdep.models.parts.adaptive_effects import adaptive_effects
    from bayesdep.models.parts.pooling import non_centred_effects

    y = np.array([0.1, -0.5, 2.0])
    rough = {"good": (y, np.full(3, 0.3)), "wrong": (y + 5, np.full(3, 0.01)), "none": (np.zeros(3), np.full(3, 100.0))}
    rng = np.random.default_rng(2)
    densities = {}
    for name in (None, *rough):
        with pm.Model(coords={"study": range(3)}) as model:
            mu, tau = pm.Normal("mu", 0, 1), pm.HalfNormal("tau", 1, default_transform=None)
            given = (mu, tau) if name is None else (mu, tau, *rough[name])
            theta = (non_centred_effects if name is None else adaptive_effects)("theta", *given, dims="study")
            pm.Normal("y", theta, 0.3, observed=y, dims="study")
        densities[name] = pytensor.function(model.value_vars, model.logp(), mode=UNCOMPILED)
    for _ in range(4):
        mu, tau, theta = rng.normal(), math.exp(rng.normal()), rng.normal(size=3)
        found = []
        for name, density in densities.items():
            mean, sd = mu, np.full(3, tau)  # the latent is (theta - mean) / sd
            if name is not None:
                estimate, se = rough[name]
                mean, sd = mu + tau**2 * (estimate - mu) / (tau**2 + se**2), tau * se / np.hypot(tau, se)
            found.append(float(density(mu, tau, (theta - mean) / sd)) - np.log(sd).sum())
        np.testing.assert_allclose(found, found[0], rtol=1e-12)


def test_the_prior_of_the_effects_is_normal_whatever_the_estimates_are():
    """What is sampled is turned by rough estimates, but drawn from the prior the effects are N(mu, tau)."""
    from bayesdep.inference.evaluate import from_prior

    model = BINOMIAL.build(data_of("binomial"))
    mu, tau, theta = from_prior([model[name] for name in ("mu", "tau", "theta")], 4000, seed=3)
    z = (theta - mu[:, None]) / tau[:, None]
    for k in range(z.shape[1]):
        assert stats.kstest(z[:, k], "norm").pvalue > 1e-4  # 13 trials


# ---- preparing data


def test_gaussian_meta_prepares_log_risk_ratios_in_the_tables_order():
    data, table = data_of("gaussian"), bd.load("bcg_colditz1994")
    assert data.effect.dims == data.se.dims == ("study",)
    assert list(data["study"].values) == list(table["trial"])
    # Aronson 1948: 4/123 against 11/139; escalc of metafor prints -0.8893 and variance 0.3256
    assert float(data.effect[0]) == pytest.approx(-0.8893, abs=5e-5)
    assert float(data.se[0] ** 2) == pytest.approx(0.3256, abs=5e-5)
    assert data.effect.attrs["units"] == data.se.attrs["units"] == "log risk ratio"
    assert data.attrs["source"] == "published:bcg_colditz1994"
    assert data.attrs["synthetic"] == 0


def test_binomial_meta_prepares_counts_control_first():
    data, table = data_of("binomial"), bd.load("bcg_colditz1994")
    assert data.events.dims == ("study", "arm")
    assert list(data["arm"].values) == ["control", "treated"]
    np.testing.assert_array_equal(data.events.values, table[["tb_control", "tb_vaccinated"]])
    np.testing.assert_array_equal(data.n.values, table[["n_control", "n_vaccinated"]])
    assert data.events.dtype == data.n.dtype == np.int64


def test_meta_names_its_dimension_after_the_unit():
    model = Meta(measure="log-geometric-mean-ratio", unit="analyte", study="protein")
    data = model.prepare(pd.DataFrame({"protein": ["IL-6", "CRP"], "effect": [0.1, 0.2], "se": [0.1, 0.1]}))
    assert data.effect.dims == ("analyte",)
    assert list(data["analyte"].values) == ["IL-6", "CRP"]
    assert model.left_out == "analyte"
    assert "between analytes" in model.slots["tau"].meaning


@pytest.mark.parametrize("pooling", COUNTS)
def test_counts_prepares_a_grid_of_cells_control_first(pooling):
    data = data_of(pooling)
    assert data.events.dims == data.n.dims == ("subgroup", "arm")
    assert list(data["arm"].values) == ["placebo", "infliximab"]
    assert list(data["treatment"].values) == ["infliximab"]
    np.testing.assert_array_equal(data.events.values, [[3, 8], [12, 7]])
    np.testing.assert_array_equal(data.n.values, [[9, 13], [21, 17]])
    assert data.events.attrs["units"] == "people"


def test_counts_does_not_care_for_the_order_of_rows():
    table = bd.load("raison2013_responders")
    shuffled = COUNTS["partial"].prepare(table.iloc[[3, 0, 2, 1]])
    np.testing.assert_array_equal(
        shuffled.sel(subgroup=data_of("partial")["subgroup"]).events, data_of("partial").events
    )


def test_counts_without_subgroups_is_one_group_called_all():
    model = Counts(control="placebo", subgroup=None, pooling="none")
    data = model.prepare(pd.DataFrame({"arm": ["drug", "placebo"], "events": [3, 1], "n": [10, 9]}))
    assert list(data["subgroup"].values) == ["all"]
    np.testing.assert_array_equal(data.events.values, [[1, 3]])


def test_screen_prepares_those_with_the_condition_first():
    table = bd.load("kiraly2017_fgf2_roc")
    for rows in (table, table.iloc[::-1]):
        data = SCREEN.prepare(rows)
        assert data["group"].values[0] == "responder"
        np.testing.assert_array_equal(data.positives.values, [15, 1])
        np.testing.assert_array_equal(data.n.values, [19, 12])


@pytest.mark.parametrize("model", MODELS)
def test_the_model_has_the_datas_dims_and_the_tables_numbers(model):
    graph, data = MODELS[model].build(data_of(model)), data_of(model)
    for rv in graph.observed_RVs:
        dims = graph.named_vars_to_dims[rv.name]
        assert set(dims) <= set(data.dims)
        for dim in dims:
            assert list(graph.coords[dim]) == list(data[dim].values)
        assert rv.name in data.data_vars


@pytest.mark.parametrize("model", MODELS)
def test_settings_round_trip(model):
    graph = MODELS[model]
    settings = settings_of(graph)
    assert make_model(graph.family, settings) == graph
    assert type(graph) is model_class(graph.family)
    assert list(graph.priors) == list(graph.slots)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_says_what_it_is(model):
    graph = MODELS[model]
    assert graph.words.endswith(".")
    assert all(any(line.startswith(name) for line in graph.formula) or name == "risk" for name in graph.priors)
    assert isinstance(graph, KnowsPosterior)
    assert isinstance(graph, ScoresUnits)


# ---- estimands from hand-made draws


def draws(values, *dims, **coords):
    """Hand-made draws: one chain."""
    return xr.DataArray(np.asarray(values, float)[None], dims=("chain", "draw", *dims), coords=coords)


def counts_posterior():
    risk = [[[0.2, 0.6], [0.5, 0.4]], [[0.25, 0.25], [0.1, 0.3]]]
    data = data_of("partial")
    return xr.Dataset(
        {
            "risk": draws(risk, "subgroup", "arm", subgroup=data["subgroup"].values, arm=data["arm"].values),
            "effect_sd": draws([0.3, 0.7]),
        }
    )


def test_counts_estimands_equal_hand_computation():
    found = COUNTS["partial"].estimands(counts_posterior(), data_of("partial"))
    first = found.isel(chain=0, draw=0, treatment=0)
    np.testing.assert_allclose(first.risk_difference, [0.4, -0.1], rtol=1e-12)
    np.testing.assert_allclose(first.risk_ratio, [3.0, 0.8], rtol=1e-12)
    np.testing.assert_allclose(first.odds_ratio, [1.5 / 0.25, (0.4 / 0.6) / 1.0], rtol=1e-12)
    np.testing.assert_allclose(first.nnt, [2.5, -10.0], rtol=1e-12)
    # 22 of the 60 patients are in the first subgroup
    overall = (22 * 0.4 - 38 * 0.1) / 60
    assert float(first.risk_difference_overall) == pytest.approx(overall, rel=1e-12)
    assert float(first.nnt_overall) == pytest.approx(1 / overall, rel=1e-12)
    np.testing.assert_array_equal(found.effect_sd.values, [[0.3, 0.7]])
    np.testing.assert_array_equal(found.risk.values, counts_posterior().risk.values)
    assert found.risk_difference.dims == ("chain", "draw", "subgroup", "treatment")


def test_counts_estimands_say_how_to_read_them():
    found = COUNTS["partial"].estimands(counts_posterior(), data_of("partial"))
    assert found.nnt.attrs["reciprocal_of"] == "risk_difference"
    assert found.nnt_overall.attrs["reciprocal_of"] == "risk_difference_overall"
    assert found.odds_ratio.attrs["null"] == found.risk_ratio.attrs["null"] == 1.0
    assert "null" not in found.risk_difference.attrs
    assert "against placebo" in found.risk_difference.attrs["description"]
    assert all({"units", "description"} <= set(v.attrs) for v in found.data_vars.values())


@pytest.mark.parametrize("pooling", ["none", "complete"])
def test_only_partial_pooling_has_a_spread_of_effects(pooling):
    found = COUNTS[pooling].estimands(counts_posterior().drop_vars("effect_sd"), data_of(pooling))
    assert "effect_sd" not in found


def meta_posterior(data):
    theta = np.linspace(-1, 1, 2 * data.sizes["study"]).reshape(2, -1)
    return xr.Dataset(
        {
            "mu": draws([-0.7, 0.2]),
            "tau": draws([0.5, 0.1]),
            "theta": draws(theta, "study", study=data["study"].values),
            "theta_new": draws([-1.5, 0.4]),
            "baseline_mean": draws([-3.0, -2.5]),
            "baseline_sd": draws([2.5, 1.5]),
        }
    )


def test_meta_estimands_equal_hand_computation():
    data = data_of("gaussian")
    posterior = meta_posterior(data)
    found = GAUSSIAN.estimands(posterior, data)
    w = 1 / data["se"].values ** 2
    typical = 12 * w.sum() / (w.sum() ** 2 - (w**2).sum())  # Higgins and Thompson 2002, equation 9, 13 studies
    np.testing.assert_allclose(
        found.i2, 100 * np.array([[0.25, 0.01]]) / (np.array([[0.25, 0.01]]) + typical), rtol=1e-12
    )
    for name, of in (("ratio", "mu"), ("ratio_theta", "theta"), ("ratio_new", "theta_new")):
        np.testing.assert_allclose(found[name], np.exp(posterior[of]), rtol=1e-15)
        assert found[name].attrs["units"] == "risk ratio"
        assert found[name].attrs["null"] == 1.0
        np.testing.assert_array_equal(found[of], posterior[of])
        assert found[of].attrs["units"] == "log risk ratio"
    assert typical == pytest.approx(typical_variance(data["se"].values), rel=1e-14)


def test_binomial_meta_has_odds_ratios_and_no_i_squared():
    found = BINOMIAL.estimands(meta_posterior(data_of("binomial")), data_of("binomial"))
    assert "i2" not in found
    assert found.ratio.attrs["units"] == "odds ratio"


def test_a_difference_has_no_ratio():
    priors = {"mu": Prior("Normal", mu=0, sigma=10), "tau": Prior("HalfNormal", sigma=5)}
    model = Meta(measure="difference", units="MADRS points", priors=priors)
    data = model.prepare(pd.DataFrame({"study": ["a", "b"], "effect": [1.0, 2.0], "se": [0.5, 0.4]}))
    found = model.estimands(meta_posterior(data), data)
    assert set(found) == {"mu", "tau", "theta", "theta_new", "i2"}
    assert found.mu.attrs["units"] == "MADRS points"


def test_screen_estimands_equal_hand_computation():
    u, v = 0.8, 0.9
    found = SCREEN.estimands(xr.Dataset({"sensitivity": draws([u]), "specificity": draws([v])}), data_of("screen"))
    expected = {
        "sensitivity": 0.8,
        "specificity": 0.9,
        "likelihood_ratio_positive": 8.0,
        "likelihood_ratio_negative": 0.2 / 0.9,
        "diagnostic_odds_ratio": 36.0,
        "youden": 0.7,
    }
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert float(found[name][0, 0]) == pytest.approx(value, rel=1e-12), name


# ---- exact posteriors


def test_screen_posterior_is_the_product_of_conjugate_betas():
    exact = SCREEN.exact(data_of("screen"))
    sensitivity, specificity = (exact.marginals[name, ()] for name in ("sensitivity", "specificity"))
    assert (sensitivity.a, sensitivity.b, specificity.a, specificity.b) == (15.5, 4.5, 11.5, 1.5)
    drawn = exact.draw(2000, np.random.default_rng(1))
    posterior = xr.Dataset({k: draws(x) for k, x in drawn.items()})
    for name, values in SCREEN.estimands(posterior, data_of("screen")).items():
        assert stats.kstest(values.values.ravel(), exact.marginals[name, ()].cdf).pvalue > 1e-3, name


def test_unpooled_counts_posterior_is_a_beta_per_cell():
    exact = COUNTS["none"].exact(data_of("none"))
    drawn = exact.draw(1000, np.random.default_rng(2))
    data = data_of("none")
    coords = {d: data[d].values for d in ("subgroup", "arm")}
    found = COUNTS["none"].estimands(xr.Dataset({"risk": draws(drawn["risk"], "subgroup", "arm", **coords)}), data)
    cell = exact.marginals["risk", (("subgroup", "hs-CRP > 5 mg/L"), ("arm", "infliximab"))]
    assert (cell.a, cell.b) == (8.5, 5.5)
    for (name, at), marginal in exact.marginals.items():
        values = found[name].sel(dict(at)).values.ravel()
        assert stats.kstest(values, marginal.cdf).pvalue > 1e-4, (name, at)  # 16 marginals
    assert COUNTS["partial"].exact(data) is None


# ---- log-likelihood by the left-out unit


@pytest.mark.parametrize("pooling", COUNTS)
def test_counts_log_likelihood_by_subject_sums_to_the_binomials_without_coefficients(pooling):
    posterior, data = counts_posterior(), data_of(pooling)
    scored = COUNTS[pooling].log_likelihood(posterior, data)
    assert scored.dims == ("chain", "draw", "subject")
    assert scored.sizes["subject"] == 60 == len(set(scored["subject"].values))
    events, n = data["events"].values, data["n"].values
    whole = stats.binom.logpmf(events, n, posterior["risk"].values).sum((-2, -1))
    coefficients = sum(math.log(math.comb(int(k), int(e))) for e, k in zip(events.ravel(), n.ravel(), strict=True))
    np.testing.assert_allclose(scored.sum("subject"), whole - coefficients, rtol=1e-12)
    # 3 of 9 on placebo in the first subgroup responded at a risk of 0.2
    assert (np.isclose(scored[0, 0, :9], math.log(0.2))).sum() == 3
    assert (np.isclose(scored[0, 0, :9], math.log(0.8))).sum() == 6


def test_screen_log_likelihood_by_subject_sums_to_the_binomials_without_coefficients():
    posterior = xr.Dataset({"sensitivity": draws([0.8, 0.6]), "specificity": draws([0.9, 0.7])})
    scored = SCREEN.log_likelihood(posterior, data_of("screen"))
    assert scored.sizes["subject"] == 31
    expected = [
        15 * math.log(u) + 4 * math.log(1 - u) + math.log(1 - v) + 11 * math.log(v) for u, v in ((0.8, 0.9), (0.6, 0.7))
    ]
    np.testing.assert_allclose(scored.sum("subject")[0], expected, rtol=1e-12)


def test_meta_log_likelihood_is_by_study_and_only_needed_when_binomial():
    posterior = meta_posterior(data_of("binomial"))
    assert GAUSSIAN.log_likelihood(posterior, data_of("gaussian")) is None
    scored = BINOMIAL.log_likelihood(posterior, data_of("binomial"))
    assert scored.dims == ("chain", "draw", "study")
    # It integrates the study's effect out: other values of theta change nothing
    shifted = posterior.assign(theta=posterior["theta"] + 1)
    np.testing.assert_array_equal(scored, BINOMIAL.log_likelihood(shifted, data_of("binomial")))
    # Comstock & Webster 1969, 5/2498 against 3/2341, by brute force over 200,000 draws of its two parameters
    rng = np.random.default_rng(1)
    a, theta = rng.normal(-3.0, 2.5, 200_000), rng.normal(-0.7, 0.5, 200_000)
    control, treated = special.expit(a - theta / 2), special.expit(a + theta / 2)
    p = stats.binom.pmf(3, 2341, control) * stats.binom.pmf(5, 2498, treated)
    error = p.std() / p.mean() / math.sqrt(len(p))
    assert abs(float(scored[0, 0].sel(study="Comstock & Webster 1969")) - math.log(p.mean())) < 4 * error


# ---- checks


def named(model):
    return {check.name: check for check in MODELS[model].checks(data_of(model))}


def test_cochrans_q_is_the_textbooks():
    """Cochran 1954: Q = sum w y^2 - (sum w y)^2 / sum w; BCG by metafor: 152.2330 on 12 degrees of freedom."""
    data = data_of("gaussian")
    y, w = data["effect"].values, 1 / data["se"].values ** 2
    q = named("gaussian")["Cochran's Q"].statistic
    assert float(q(y)) == pytest.approx((w * y**2).sum() - (w * y).sum() ** 2 / w.sum(), rel=1e-10)
    assert float(q(y)) == pytest.approx(152.2330, abs=5e-5)
    replicates = np.stack([y, y + 3, 2 * y])
    np.testing.assert_allclose(q(replicates), float(q(y)) * np.array([1, 1, 4]), rtol=1e-10)


def test_meta_checks_on_hand_made_arrays():
    y = np.array([[-1.0, 0.0, 4.0], [2.0, 3.0, 4.0]])
    checks = named("gaussian")
    np.testing.assert_array_equal(checks["lowest effect"].statistic(y), [-1, 2])
    np.testing.assert_array_equal(checks["highest effect"].statistic(y), [4, 4])
    skewness = checks["skewness of effects"].statistic(y)
    centred = np.array([-2.0, -1.0, 3.0])
    np.testing.assert_allclose(skewness, [(centred**3).mean() / (centred**2).mean() ** 1.5, 0], rtol=1e-12, atol=1e-12)


def test_binomial_meta_checks_are_of_log_odds_ratios_and_survive_no_events():
    checks, data = named("binomial"), data_of("binomial")
    events = data["events"].values.astype(float)
    half = np.log((events + 0.5) / (data["n"].values - events + 0.5))
    effect = half[:, 1] - half[:, 0]
    assert float(checks["lowest effect"].statistic(events)) == pytest.approx(effect.min(), rel=1e-12)
    assert float(checks["spread of effects (sd)"].statistic(events)) == pytest.approx(effect.std(ddof=1), rel=1e-12)
    nothing = np.zeros_like(events)
    for check in checks.values():
        if check.name != "skewness of effects":
            assert np.isfinite(check.statistic(np.stack([events, nothing]))).all()


def test_counts_checks_on_hand_made_arrays():
    y = np.array([[[3, 8], [12, 7]], [[0, 13], [21, 0]]])
    checks = named("partial")
    np.testing.assert_allclose(checks["share with the event"].statistic(y), [0.5, 34 / 60], rtol=1e-12)
    differences = np.array([[8 / 13 - 3 / 9, 7 / 17 - 12 / 21], [1.0, -1.0]])
    np.testing.assert_allclose(checks["highest risk difference"].statistic(y), differences.max(1), rtol=1e-12)
    np.testing.assert_allclose(checks["lowest risk difference"].statistic(y), differences.min(1), rtol=1e-12)
    np.testing.assert_allclose(
        checks["range of risk differences"].statistic(y), np.ptp(differences, axis=1), rtol=1e-12
    )


def test_screen_checks_are_the_shares():
    y = np.array([[15, 1], [19, 12]])
    np.testing.assert_allclose(named("screen")["share positive: responder"].statistic(y), [15 / 19, 1])
    assert len(named("screen")) == 2


# ---- bad settings and tables: one clear sentence each

NEEDED = {"mu": Prior("Normal", mu=0, sigma=10), "tau": Prior("HalfNormal", sigma=5)}
BAD_SETTINGS = [
    (Meta, {"measure": "log-ods-ratio"}, "measure = 'log-ods-ratio' is not a choice; did you mean 'log-odds-ratio'"),
    (
        Meta,
        {"measure": "log-odds-ratio", "input": "moments"},
        "is not available from input = 'moments'; that gives log-geo",
    ),
    (
        Meta,
        {"measure": "log-risk-ratio", "input": "counts", "likelihood": "binomial"},
        "'binomial' needs input = 'counts'",
    ),
    (Meta, {"measure": "log-odds-ratio", "likelihood": "binomial"}, "'binomial' needs input = 'counts'"),
    (Meta, {"measure": "difference", "priors": NEEDED}, "measure = 'difference' needs units"),
    (Meta, {"measure": "log-odds-ratio", "units": "points"}, "units = 'points' belongs to measure = 'difference' only"),
    (Meta, {"measure": "log-odds-ratio", "unit": "two words"}, "unit = 'two words' cannot name a dimension"),
    (Meta, {"measure": "log-odds-ratio", "unit": "draw"}, "unit = 'draw' cannot name a dimension"),
    (Meta, {"measure": "log-odds-ratio", "study": 3}, "study = 3, but text is needed"),
    (
        Meta,
        {"measure": "log-odds-ratio", "priors": {"baseline": NEEDED["mu"]}},
        "priors.baseline: the model has no such",
    ),
    (
        Meta,
        {
            "measure": "log-odds-ratio",
            "input": "counts",
            "likelihood": "binomial",
            "priors": {"baseline_sd": Prior("Normal", mu=0, sigma=1)},
        },
        "priors.baseline_sd: Normal(mu=0, sigma=1) reaches outside",
    ),
    (
        Counts,
        {"control": "placebo", "pooling": "some"},
        "pooling = 'some' is not a choice; known: complete, none, partial",
    ),
    (Counts, {"control": ["placebo"]}, "control = ['placebo'], but text is needed"),
    (Counts, {"control": "placebo", "subgroup": None}, "pooling = 'partial' needs subgroups to pool over"),
    (Counts, {"control": "placebo", "subgroup": True}, "subgroup = True, but text or nothing is needed"),
    (
        Counts,
        {"control": "p", "pooling": "none", "priors": {"risk": Prior("Uniform", lower=0, upper=1)}},
        "priors.risk: Uniform(lower=0, upper=1) is not a Beta",
    ),
    (Screen, {"condition": "ill", "priors": {"sensitivity": Prior("Uniform", lower=0, upper=1)}}, "is not a Beta"),
    (Screen, {"condition": "ill", "priors": {"sensitivty": {}}}, "did you mean 'sensitivity'"),
]


@pytest.mark.parametrize(("model", "settings", "message"), BAD_SETTINGS)
def test_bad_settings_give_one_clear_sentence(model, settings, message):
    with pytest.raises(BadInput) as raised:
        model(**settings)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def cells(**changes):
    table = {"subgroup": ["a", "a", "b", "b"], "arm": ["p", "d"] * 2, "events": [1, 2, 3, 4], "n": [9, 9, 9, 9]}
    return pd.DataFrame(table | changes)


def trials(**changes):
    table = {
        "study": ["a", "b"],
        "events_treated": [1, 2],
        "n_treated": [9, 9],
        "events_control": [3, 4],
        "n_control": [9, 9],
    }
    return pd.DataFrame(table | changes)


def groups(**changes):
    return pd.DataFrame({"group": ["ill", "well"], "positives": [5, 1], "n": [9, 9]} | changes)


BAD_TABLES = [
    (Counts(control="q"), cells(), "control = 'q' is no arm in column 'arm'"),
    (Counts(control="p"), cells(arm=["p", "p", "p", "d"]), "cell 'a / p' stands in rows 1 and 2"),
    (
        Counts(control="p"),
        cells(subgroup=["a", "a", "b", "c"], arm=["p", "d", "p", "d"]),
        "subgroup 'b' has no row for arm 'd'",
    ),
    (Counts(control="p"), cells().iloc[:2], "one subgroup, 'a', so nothing can be pooled; use pooling = 'none'"),
    (Counts(control="p"), cells().iloc[::2], "column 'arm' has one arm, 'p'; a comparison needs a second one"),
    (Counts(control="p"), cells(events=[1, 2, 3, 10]), "row 4 (b, d) has 10 of 9"),
    (Counts(control="p"), cells(n=[9, 9, 0, 9]), "row 3 (b, p) is 0; leave subgroup 'b' out"),
    (Screen(condition="sick"), groups(), "condition = 'sick' is no group in column 'group'"),
    (Screen(condition="ill"), groups(group=["ill", "ill"]), "stands in rows 1 and 2"),
    (Screen(condition="ill"), groups().iloc[:1], "a two-by-two table has two rows"),
    (Screen(condition="ill"), groups(positives=[5, 10]), "row 2 (well) has 10 of 9"),
    (Meta(measure="log-odds-ratio", input="counts"), trials(events_treated=[0, 2]), "use likelihood = 'binomial'"),
    (Meta(measure="log-odds-ratio", input="counts"), trials(events_control=[3, 9]), "has 9 of 9 events"),
    (Meta(measure="log-risk-ratio", input="counts"), trials(events_control=[3, 10]), "row 2 (b) has 10 of 9"),
    (Meta(measure="log-risk-ratio", input="counts"), trials().iloc[:1], "the table has one study"),
    (Meta(measure="log-risk-ratio", input="counts"), trials(study=["a", "a"]), "study 'a' stands in rows 1 and 2"),
    (
        Meta(measure="log-risk-ratio"),
        trials(),
        "columns 'effect' (estimated effect) and 'se' (standard error) are not in the table",
    ),
]


@pytest.mark.parametrize(("model", "table", "message"), BAD_TABLES)
def test_bad_tables_give_one_clear_sentence(model, table, message):
    with pytest.raises(BadInput) as raised:
        model.prepare(table)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_risk_ratio_needs_no_person_without_the_event():
    """All of 9 with the event has a finite log risk ratio, though no log odds ratio."""
    data = Meta(measure="log-risk-ratio", input="counts").prepare(trials(events_control=[3, 9]))
    assert np.isfinite(data.effect).all()
    assert (data.se > 0).all()
