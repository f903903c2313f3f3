"""Marginal likelihoods, subsets, covariates and clusters by quadrature, against integrals and algebra done otherwise.

Marginal likelihoods are reached to 1e-9 (the issue asks for 1e-3).
"""

import itertools
import math

import numpy as np
import pytest
from common import bcg_log_risk_ratios, eight_schools
from scipy import integrate, linalg, stats

import bayesdep as bd
from bayesdep.models.meta.heterogeneity import typical_variance
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.mixtures import Grids, Mixtures
from bayesdep.numerics.normal_normal import NormalNormal
from bayesdep.numerics.spread_scale import scale_of

DATA = {"BCG": (*bcg_log_risk_ratios(), 1.0), "eight schools": (*eight_schools(), 10.0)}
TAU_PRIORS = {
    "HalfNormal": lambda scale: Prior("HalfNormal", sigma=0.5 * scale),
    "HalfCauchy": lambda scale: Prior("HalfCauchy", beta=0.5 * scale),
    "Uniform": lambda scale: Prior("Uniform", lower=0, upper=2 * scale),
    "LogNormal": lambda scale: Prior("LogNormal", mu=math.log(0.5 * scale), sigma=0.8),
}
P = np.array([0.025, 0.5, 0.975])


def latitude():
    values = bd.load("bcg_colditz1994")["absolute_latitude"].to_numpy(float)
    return (values - values.mean()) / values.std()


# ---- marginal likelihood


@pytest.mark.parametrize("prior", TAU_PRIORS)
@pytest.mark.parametrize("name", DATA)
def test_marginal_likelihood_equals_two_dimensional_integration(name, prior):
    """scipy's dblquad over mu and log tau, in four panels each way, of a density that shares none of the algebra."""
    y, se, scale = DATA[name]
    mu_prior, tau_prior = Prior("Normal", mu=0, sigma=1.5 * scale), TAU_PRIORS[prior](scale)
    p_mu, p_tau = mu_prior.scipy, tau_prior.scipy
    upper = math.log(min(p_tau.support()[1], 1e6 * scale))

    def log_joint(mu, log_tau):
        tau = math.exp(log_tau)
        v = se**2 + tau**2
        likelihood = -0.5 * float(((y - mu) ** 2 / v + np.log(2 * np.pi * v)).sum())
        return likelihood + p_mu.logpdf(mu) + p_tau.logpdf(tau) + log_tau

    centre = y.mean()
    top = max(log_joint(centre, t) for t in np.linspace(math.log(1e-3 * scale), upper - 1e-9, 60))
    # beyond these bounds lies less than e^-20 of the whole (checked by the agreement itself: all priors, both data)
    edges_mu = centre + scale * np.array([-12, -2, 0, 2, 12])
    edges_tau = [math.log(1e-11 * scale), math.log(0.03 * scale), math.log(0.3 * scale), math.log(1.2 * scale), upper]
    total = 0.0
    nodes, weights = np.polynomial.legendre.leggauss(60)
    for low, high in itertools.pairwise(edges_tau):

        def inner(log_tau):
            found = 0.0
            for a, b in itertools.pairwise(edges_mu):
                mu = (a + b) / 2 + (b - a) / 2 * nodes
                v = se**2 + math.exp(2 * log_tau)
                likelihood = -0.5 * ((y - mu[:, None]) ** 2 / v + np.log(2 * np.pi * v)).sum(axis=1)
                found += (b - a) / 2 * weights @ np.exp(likelihood + p_mu.logpdf(mu) - top)
            return found * math.exp(p_tau.logpdf(math.exp(log_tau)) + log_tau)

        total += integrate.quad(inner, low, high, epsabs=0, epsrel=1e-11, limit=400)[0]
    ours = NormalNormal(y, se, mu_prior, tau_prior).log_marginal
    assert ours == pytest.approx(math.log(total) + top, abs=1e-8)


@pytest.mark.parametrize("name", DATA)
def test_marginal_likelihood_without_spread_or_effect_has_a_closed_form(name):
    y, se, scale = DATA[name]
    prior = Prior("Normal", mu=0.3 * scale, sigma=1.5 * scale)
    null = NormalNormal(y, se, None, None)
    assert null.log_marginal == pytest.approx(stats.norm.logpdf(y, 0, se).sum(), rel=1e-13)
    fixed = NormalNormal(y, se, prior, None)
    covariance = np.diag(se**2) + prior["sigma"] ** 2
    expected = stats.multivariate_normal.logpdf(y, np.full(len(y), prior["mu"]), covariance)
    assert fixed.log_marginal == pytest.approx(expected, rel=1e-12)
    # the fixed effect's posterior is the product of two normals
    w = 1 / se**2
    precision = w.sum() + 1 / prior["sigma"] ** 2
    assert fixed.mu.mean == pytest.approx((w @ y + prior["mu"] / prior["sigma"] ** 2) / precision, rel=1e-12)
    assert fixed.mu.sd == pytest.approx(precision**-0.5, rel=1e-12)
    assert fixed.theta[0].mean == pytest.approx(fixed.mu.mean, rel=1e-12)


@pytest.mark.parametrize("name", DATA)
def test_marginal_likelihood_of_a_spread_around_nothing(name):
    y, se, scale = DATA[name]
    prior = Prior("HalfNormal", sigma=0.5 * scale)

    def density(tau):
        return math.exp(stats.norm.logpdf(y, 0, np.hypot(se, tau)).sum() + prior.scipy.logpdf(tau) + 50)

    expected = math.log(integrate.quad(density, 0, 6 * scale, epsabs=0, epsrel=1e-12, limit=200)[0]) - 50
    ours = NormalNormal(y, se, None, prior)
    assert ours.log_marginal == pytest.approx(expected, abs=1e-9)
    assert ours.theta_new.mean == 0.0


def test_marginal_likelihood_tends_to_the_fixed_effects_as_the_spread_vanishes():
    y, se = bcg_log_risk_ratios()
    prior = Prior("Normal", mu=0, sigma=1)
    fixed = NormalNormal(y, se, prior, None).log_marginal
    narrow = NormalNormal(y, se, prior, Prior("HalfNormal", sigma=1e-4)).log_marginal
    # d log p / d tau^2 is of the order of Q / (2 se^2), 1e4 here, at tau^2 = 1e-8
    assert narrow == pytest.approx(fixed, abs=1e-3)


# ---- many subsets at once


def test_every_subset_has_the_posterior_of_its_own_studies():
    y, se = bcg_log_risk_ratios()
    priors = Prior("Normal", mu=0, sigma=1.5), Prior("HalfNormal", sigma=0.5)
    kept = np.vstack([1 - np.eye(13)[[0, 6, 12]], np.tril(np.ones((13, 13)))[[2, 7]]]) > 0
    many = NormalNormal(y, se, *priors, kept=kept)
    for i, row in enumerate(kept):
        one = NormalNormal(y[row], se[row], *priors)
        assert many.log_marginals[i] == pytest.approx(one.log_marginal, abs=1e-9)
        for ours, alone in ((many.mus[i], one.mu), (many.theta_news[i], one.theta_new)):
            assert ours.mean == pytest.approx(alone.mean, abs=1e-10)
            assert ours.sd == pytest.approx(alone.sd, rel=1e-9)
            np.testing.assert_allclose(ours.quantile(P), alone.quantile(P), rtol=0, atol=1e-9)
        assert many.taus.mean[i] == pytest.approx(one.tau.mean, rel=1e-9)
        assert many.taus.sd[i] == pytest.approx(one.tau.sd, rel=1e-9)
        # a cubic spline on another grid: 1e-8 of the range
        np.testing.assert_allclose(many.taus.quantile(P)[i], one.tau.quantile(P), rtol=0, atol=1e-7)


def test_a_study_left_out_is_predicted_from_the_others():
    y, se = bcg_log_risk_ratios()
    priors = Prior("Normal", mu=0, sigma=1.5), Prior("HalfNormal", sigma=0.5)
    without = NormalNormal(y, se, *priors, kept=(1 - np.eye(13))[:1])
    alone = NormalNormal(y[1:], se[1:], *priors)
    assert without.theta[0].mean == pytest.approx(alone.theta_new.mean, abs=1e-10)
    assert without.theta[0].sd == pytest.approx(alone.theta_new.sd, rel=1e-9)
    assert without.theta[5].mean == pytest.approx(alone.theta[4].mean, abs=1e-10)


def test_batched_quantiles_are_those_of_each_mixture():
    rng = np.random.default_rng(1)
    weights = rng.dirichlet(np.ones(7), size=5)
    many = Mixtures(weights, rng.normal(0, 5, (5, 7)), rng.gamma(2, 1, (5, 7)))
    p = np.array([1e-9, 0.001, 0.3, 0.5, 0.9999])
    found = many.quantile(p)
    np.testing.assert_allclose(many.cdf(found), np.tile(p, (5, 1)), rtol=1e-9, atol=1e-15)
    for i, one in enumerate(many):
        np.testing.assert_allclose(one.quantile(p), found[i], rtol=1e-12)
        np.testing.assert_allclose(super(type(one), one).quantile(p), found[i], rtol=1e-7)  # bracketing
        assert one.mean == pytest.approx(many.mean[i], rel=1e-13)
        assert one.sd == pytest.approx(many.sd[i], rel=1e-13)


def test_a_mixture_of_far_apart_and_narrow_components_has_its_quantiles_between_them():
    """Newton's steps overshoot on the flat stretch between two spikes: the bounds must hold them."""
    many = Mixtures(np.array([[0.5, 0.5]]), np.array([[-1e3, 1e3]]), np.array([[1e-3, 1e-3]]))
    low, high = many.quantile(np.array([0.25, 0.75]))[0]
    assert (low, high) == (pytest.approx(-1e3, rel=1e-12), pytest.approx(1e3, rel=1e-12))


def test_batched_grids_have_the_quantiles_of_their_distribution():
    scale = scale_of(0.0, np.inf, 1.0)
    u = np.linspace(-5, 12, 401)
    known = [stats.halfnorm(scale=0.7), stats.gamma(3, scale=0.4), stats.lognorm(0.6)]
    density = np.stack([d.pdf(scale.to_x(u)) * np.exp(scale.log_jacobian(u)) for d in known])
    grids = Grids(u, density, scale.to_x)
    for i, distribution in enumerate(known):
        assert grids.mean[i] == pytest.approx(distribution.mean(), rel=1e-10)
        assert grids.sd[i] == pytest.approx(distribution.std(), rel=1e-10)
        # a cubic through nodes 0.04 apart: 0.04^4 / 384 times the density's fourth derivative
        np.testing.assert_allclose(distribution.cdf(grids.quantile(P)[i]), P, rtol=0, atol=1e-7)


@pytest.mark.parametrize("ends", [(0.0, np.inf), (0.0, 2.0), (0.3, 0.9)])
def test_scales_go_there_and_back_and_know_their_slope(ends):
    scale = scale_of(*ends, 0.4)
    u = np.linspace(-1.5, 1.5, 31)
    np.testing.assert_allclose(scale.to_u(scale.to_x(u)), u, rtol=0, atol=1e-9)
    h = 1e-6
    slope = (scale.to_x(u + h) - scale.to_x(u - h)) / (2 * h)
    np.testing.assert_allclose(np.exp(scale.log_jacobian(u)), slope, rtol=1e-7, atol=1e-12)
    assert scale.to_u(np.array(ends[0])) == -np.inf


# ---- covariates and clusters


CLUSTER = np.array([0, 0, 1, 2, 2, 2, 3, 4, 4, 5, 5, 5, 5])
B_PRIOR = Prior("Normal", mu=0.1, sigma=0.7)
MU_PRIOR = Prior("Normal", mu=-0.2, sigma=1.5)


def jointly_gaussian(y, se, x, tau, tau_cluster, cluster):
    """Mean and covariance of (coefficients, study effects, new effect) given y, and log p(y): by one big matrix.

    Everything is a linear map of independent normals: coefficients, deviations of clusters, deviations of studies.
    """
    k, p = x.shape
    clusters = np.eye(cluster.max() + 1)[cluster]
    prior_mean = np.array([MU_PRIOR["mu"]] + [B_PRIOR["mu"]] * (p - 1))
    prior_sd = np.array([MU_PRIOR["sigma"]] + [B_PRIOR["sigma"]] * (p - 1))
    sources = np.concatenate([prior_sd, np.full(clusters.shape[1], tau_cluster), np.full(k, tau)])
    theta = np.hstack([x, clusters, np.eye(k)])
    unknown = np.vstack([np.eye(p, theta.shape[1]), theta])
    mean = np.concatenate([prior_mean, np.zeros(len(sources) - p)])
    cov = (unknown * sources**2) @ unknown.T
    cross = (unknown * sources**2) @ theta.T
    of_y = (theta * sources**2) @ theta.T + np.diag(se**2)
    gain = linalg.solve(of_y, cross.T, assume_a="pos").T
    log_p = stats.multivariate_normal.logpdf(y, theta @ mean, of_y)
    return unknown @ mean + gain @ (y - theta @ mean), cov - gain @ cross.T, log_p


@pytest.mark.parametrize("covariates", [0, 1, 2])
@pytest.mark.parametrize("clustered", [False, True])
def test_given_the_spreads_it_is_gaussian_conditioning(covariates, clustered):
    y, se = bcg_log_risk_ratios()
    design = np.stack([latitude(), np.linspace(-1, 1, 13) ** 2], axis=1)[:, :covariates]
    cluster = CLUSTER if clustered else None
    ours = NormalNormal(
        y,
        se,
        MU_PRIOR,
        Prior("HalfNormal", sigma=0.5),
        design if covariates else None,
        B_PRIOR if covariates else None,
        cluster,
        Prior("HalfNormal", sigma=0.5) if clustered else None,
    )
    x = np.hstack([np.ones((13, 1)), design])
    for tau, between in ((0.05, 0.4), (0.5, 0.02), (1.3, 0.9)):
        between = between if clustered else 0.0
        mean, cov, log_p = jointly_gaussian(y, se, x, tau, between, CLUSTER)
        given = ours.coefficients_given(np.array([tau]), np.array([between]))
        p = x.shape[1]
        np.testing.assert_allclose(given.mean[0, 0], mean[:p], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(given.covariance[0, 0], cov[:p, :p], rtol=1e-9, atol=1e-12)
        assert given.log_density[0, 0] == pytest.approx(log_p, abs=1e-10)


@pytest.mark.parametrize("clustered", [False, True])
def test_posterior_with_a_covariate_equals_integration_over_the_spreads(clustered):
    """Gauss-Legendre panels over the spreads of what the big matrix says given them."""
    y, se = bcg_log_risk_ratios()
    x = np.stack([np.ones(13), latitude()], axis=1)
    prior = Prior("HalfNormal", sigma=0.4)
    ours = NormalNormal(
        y, se, MU_PRIOR, prior, x[:, 1:], B_PRIOR, CLUSTER if clustered else None, prior if clustered else None
    )
    nodes, weights = np.polynomial.legendre.leggauss(10)
    edges = np.array([0, 0.15, 0.4, 0.8, 1.4, 2.4])  # six sds of the prior
    taus = np.concatenate([(a + b) / 2 + (b - a) / 2 * nodes for a, b in itertools.pairwise(edges)])
    w = np.concatenate([(b - a) / 2 * weights for a, b in itertools.pairwise(edges)])
    pairs = [(t, c, wt * wc) for t, wt in zip(taus, w, strict=True) for c, wc in zip(taus, w, strict=True)]
    if not clustered:
        pairs = [(t, 0.0, wt) for t, wt in zip(taus, w, strict=True)]
    total, first, second, spreads = 0.0, 0.0, 0.0, np.zeros(2)
    for tau, between, weight in pairs:
        mean, cov, log_p = jointly_gaussian(y, se, x, tau, between, CLUSTER)
        log_prior = prior.scipy.logpdf(tau) + (prior.scipy.logpdf(between) if clustered else 0.0)
        density = weight * math.exp(log_p + log_prior + 10)
        total += density
        first = first + density * mean
        second = second + density * (np.diag(cov) + mean**2)
        spreads = spreads + density * np.array([tau, between])
    mean, sd = first / total, np.sqrt(second / total - (first / total) ** 2)
    found = [ours.mu, *ours.slope, *ours.theta]
    np.testing.assert_allclose([m.mean for m in found], mean, rtol=0, atol=1e-8)
    np.testing.assert_allclose([m.sd for m in found], sd, rtol=1e-7)
    assert ours.tau.mean == pytest.approx(spreads[0] / total, rel=1e-7)
    if clustered:
        assert ours.tau_cluster.mean == pytest.approx(spreads[1] / total, rel=1e-7)
    assert ours.log_marginal == pytest.approx(math.log(total) - 10, abs=1e-7)


def test_draws_with_covariates_and_clusters_follow_the_posterior_jointly():
    y, se = bcg_log_risk_ratios()
    prior = Prior("HalfNormal", sigma=0.4)
    ours = NormalNormal(y, se, MU_PRIOR, prior, latitude()[:, None], B_PRIOR, CLUSTER, prior)
    rng = np.random.default_rng(7)
    drawn = ours.draw(4000, rng)
    assert {name: x.shape[1:] for name, x in drawn.items()} == {
        "mu": (), "tau": (), "slope": (1,), "tau_cluster": (), "deviation": (6,),
    }  # fmt: skip
    for values, marginal in (
        (drawn["mu"], ours.mu),
        (drawn["slope"][:, 0], ours.slope[0]),
        (drawn["tau"], ours.tau),
        (drawn["tau_cluster"], ours.tau_cluster),
    ):
        assert stats.kstest(values, marginal.cdf).pvalue > 1e-3
    # theta_4 rests on all of them together
    centre = drawn["mu"] + drawn["slope"][:, 0] * latitude()[4] + drawn["deviation"][:, CLUSTER[4]]
    shrink = drawn["tau"] ** 2 / (drawn["tau"] ** 2 + se[4] ** 2)
    theta = rng.normal(shrink * y[4] + (1 - shrink) * centre, np.sqrt(shrink) * se[4])
    assert stats.kstest(theta, ours.theta[4].cdf).pvalue > 1e-3


def test_typical_variance_with_covariates_is_metafors():
    """(K - p) / tr(P), P = W - W X (X'WX)^-1 X'W; without covariates Higgins and Thompson's."""
    _, se = bcg_log_risk_ratios()
    x = np.stack([np.ones(13), latitude()], axis=1)
    w = np.diag(1 / se**2)
    p = w - w @ x @ np.linalg.inv(x.T @ w @ x) @ x.T @ w
    assert typical_variance(se, x[:, 1:]) == pytest.approx(11 / np.trace(p), rel=1e-10)


def test_hundreds_of_thousands_of_units_away_from_zero_cost_no_digits():
    y, se = eight_schools()
    far = 1e6
    here = NormalNormal(y, se, Prior("Normal", mu=0, sigma=50), Prior("HalfNormal", sigma=25))
    there = NormalNormal(y + far, se, Prior("Normal", mu=far, sigma=50), Prior("HalfNormal", sigma=25))
    assert there.log_marginal == pytest.approx(here.log_marginal, abs=1e-7)
    assert there.mu.mean - far == pytest.approx(here.mu.mean, abs=1e-7)
    assert there.mu.sd == pytest.approx(here.mu.sd, rel=1e-9)
