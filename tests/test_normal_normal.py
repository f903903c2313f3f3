"""The normal-normal hierarchy by quadrature, against nested numerical integration that shares none of its algebra.

Reached on BCG and eight schools under five priors on tau (the issue asks for 1e-3): means and sds to 1e-9 of an
sd; the probability below a quantile to 1e-9 for mu and the effects, and to 1e-8 for tau itself; log marginal
likelihoods to 1e-9.
"""

import math

import numpy as np
import pytest
from common import bcg_log_risk_ratios, eight_schools
from scipy import integrate, interpolate, optimize, stats

import bayesdep as bd
from bayesdep.models.meta.heterogeneity import typical_variance
from bayesdep.models.meta.model import Meta
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.normal_normal import NormalNormal
from bayesdep.numerics.spread_scale import scale_of

DATA = {"BCG": (*bcg_log_risk_ratios(), 1.0), "eight schools": (*eight_schools(), 10.0)}
TAU_PRIORS = {
    "HalfNormal": lambda scale: Prior("HalfNormal", sigma=10 * scale),
    "HalfCauchy": lambda scale: Prior("HalfCauchy", beta=0.5 * scale),
    "Uniform": lambda scale: Prior("Uniform", lower=0, upper=2 * scale),
    "Exponential": lambda scale: Prior("Exponential", lam=1 / scale),
    "LogNormal": lambda scale: Prior("LogNormal", mu=math.log(0.5 * scale), sigma=0.8),
}
P = np.array([0.025, 0.975])
GAUSS_X, GAUSS_W = np.polynomial.legendre.leggauss(20)


def expectations(y, se, prior_mu, prior_tau, of, cuts_mu=(), cuts_tau=()):
    """Posterior expectations of ``of(mu, tau)`` (a stack of functions), integrating mu and tau on their own scales.

    The joint density is the textbook's: normal likelihood of every study given mu and tau, times the priors (scipy's).
    Over mu by Gauss-Legendre panels, 14 sd of the weighted mean to either side; over tau by scipy's adaptive
    quad_vec from 0 to 10,000 times the median standard error.
    """
    typical = float(np.median(se))
    upper = min(prior_tau.support()[1], 1e4 * typical)

    def log_joint(mu, tau):
        return (
            stats.norm.logpdf(y, mu[:, None], np.sqrt(se**2 + tau**2)).sum(1)
            + prior_mu.logpdf(mu)
            + prior_tau.logpdf(tau)
        )

    shift = max(log_joint(np.array([y.mean()]), t)[0] for t in typical * np.geomspace(0.05, 20, 60) if t < upper)

    def inner(tau):
        w = 1 / (se**2 + tau**2)
        centre, reach = w @ y / w.sum(), 14 / math.sqrt(w.sum())
        near = [cut + tau * z for cut in cuts_mu for z in (-9, -6, -4, -2, -1, 0, 1, 2, 4, 6, 9)]
        edges = np.union1d(np.linspace(centre - reach, centre + reach, 15), near)
        edges = edges[np.abs(edges - centre) <= reach]
        half = np.diff(edges)[:, None] / 2
        mu = (edges[:-1, None] + half * (1 + GAUSS_X)).ravel()
        density = np.exp(log_joint(mu, tau) - shift) * (half * GAUSS_W).ravel()
        return of(mu, tau) @ density

    points = typical * np.array([0.001, 0.01, 0.1, 0.3, 0.6, 1, 1.5, 2.5, 4, 8, 20, 80, 400, 2000])
    points = np.union1d(points, cuts_tau)
    total, _ = integrate.quad_vec(inner, 0, upper, points=points[points < upper], epsabs=0, epsrel=1e-11, limit=2000)
    return total[1:] / total[0]


@pytest.mark.parametrize("prior", TAU_PRIORS)
@pytest.mark.parametrize("name", DATA)
def test_quadrature_equals_nested_integration_of_the_joint_posterior(name, prior):
    y, se, scale = DATA[name]
    mu_prior, tau_prior = Prior("Normal", mu=0, sigma=10 * scale), TAU_PRIORS[prior](scale)
    ours = NormalNormal(y, se, mu_prior, tau_prior)
    k = 6
    marginals = {"mu": ours.mu, "tau": ours.tau, "theta_new": ours.theta_new, "theta_k": ours.theta[k]}
    cuts = {word: marginal.quantile(P) for word, marginal in marginals.items()}

    def of(mu, tau):
        one = np.ones_like(mu)
        # Given mu and tau, study k's own effect: two normal sources of information about it, weighed by precision.
        precision = 1 / se[k] ** 2 + 1 / tau**2
        theta_mean, theta_sd = (y[k] / se[k] ** 2 + mu / tau**2) / precision, 1 / math.sqrt(precision)
        rows = [one]
        rows += [mu, mu**2, *(mu < cut for cut in cuts["mu"])]
        rows += [tau * one, tau**2 * one, *((tau < cut) * one for cut in cuts["tau"])]
        rows += [mu, mu**2 + tau**2, *(stats.norm.cdf(cut, mu, tau) for cut in cuts["theta_new"])]
        rows += [
            theta_mean,
            theta_mean**2 + theta_sd**2,
            *(stats.norm.cdf(cut, theta_mean, theta_sd) for cut in cuts["theta_k"]),
        ]
        return np.array(rows, dtype=float)

    found = expectations(
        y,
        se,
        mu_prior.scipy,
        tau_prior.scipy,
        of,
        np.concatenate([cuts["mu"], cuts["theta_new"], cuts["theta_k"]]),
        cuts["tau"],
    )
    for (word, marginal), (mean, second, *below) in zip(marginals.items(), found.reshape(4, 4), strict=True):
        sd = math.sqrt(second - mean**2)
        # 1e-8: adaptive integration to 1e-11, and second moments that lose two digits in their difference
        assert marginal.mean == pytest.approx(mean, abs=1e-8 * sd), word
        assert marginal.sd == pytest.approx(sd, rel=1e-8), word
        # tau: a cubic spline through weights 0.05 apart on the grid's scale is good to some 0.05^4 / 384 = 2e-8
        np.testing.assert_allclose(below, P, rtol=0, atol=2e-8 if word == "tau" else 1e-8, err_msg=word)


@pytest.mark.parametrize("name", DATA)
def test_no_heterogeneity_is_the_fixed_effect_answer(name):
    y, se, scale = DATA[name]
    ours = NormalNormal(y, se, Prior("Normal", mu=0, sigma=1e4 * scale), Prior("HalfNormal", sigma=1e-5 * scale))
    w = 1 / se**2
    # tau^2 is at most 1e-9 of the lowest variance, and the prior's precision 1e-8 of the data's
    assert ours.mu.mean == pytest.approx(w @ y / w.sum(), rel=1e-6)
    assert ours.mu.sd == pytest.approx(1 / math.sqrt(w.sum()), rel=1e-6)
    for theta in ours.theta:
        assert theta.mean == pytest.approx(ours.mu.mean, abs=1e-6 * scale)
        assert theta.sd == pytest.approx(ours.mu.sd, rel=1e-6)


@pytest.mark.parametrize("name", DATA)
def test_endless_heterogeneity_does_not_shrink(name):
    y, se, scale = DATA[name]
    tau = 1e5 * scale
    ours = NormalNormal(y, se, Prior("Normal", mu=0, sigma=10 * scale), Prior("Uniform", lower=tau, upper=1.1 * tau))
    for theta, y_k, se_k in zip(ours.theta, y, se, strict=True):
        # shrinkage is se^2/tau^2, below 1e-9 here, of a distance of some 10 standard errors
        assert theta.mean == pytest.approx(y_k, abs=1e-7 * scale)
        assert theta.sd == pytest.approx(se_k, rel=1e-7)


def test_mode_of_the_marginal_likelihood_is_the_reml_estimate():
    """BCG log risk ratio by metafor 3.8-1 (REML): tau 0.5597, mu -0.7145 (se 0.1798), I2 92.22%."""
    y, se = bcg_log_risk_ratios()
    width = 5.0
    flat = NormalNormal(y, se, Prior("Normal", mu=0, sigma=1e5), Prior("Uniform", lower=0, upper=width)).tau
    tau = flat.to_x(flat.u)
    density = flat.density / np.exp(scale_of(0.0, width, float(np.median(se))).log_jacobian(flat.u))  # on tau's scale
    bulk = (tau > 0.2) & (tau < 2)
    curve = interpolate.CubicSpline(tau[bulk], np.log(density[bulk]))
    mode = optimize.minimize_scalar(lambda t: -curve(t), bounds=(0.3, 1), method="bounded", options={"xatol": 1e-8}).x

    def reml(t):
        w = 1 / (se**2 + t**2)
        return -0.5 * (np.log(w.sum()) - np.log(w).sum() + w @ (y - w @ y / w.sum()) ** 2)

    by_scipy = optimize.minimize_scalar(
        lambda t: -reml(t), bounds=(0.3, 1), method="bounded", options={"xatol": 1e-8}
    ).x
    assert by_scipy == pytest.approx(0.5597, abs=5e-5)  # four printed decimals
    # four printed decimals; the grid is some 3% of tau apart, and a cubic through it good to 0.03^4 / 384 = 2e-9
    assert mode == pytest.approx(by_scipy, abs=5e-5)

    at_reml = NormalNormal(
        y, se, Prior("Normal", mu=0, sigma=1e5), Prior("Uniform", lower=mode - 1e-6, upper=mode + 1e-6)
    )
    assert at_reml.mu.mean == pytest.approx(-0.7145, abs=5e-5)
    assert at_reml.mu.sd == pytest.approx(0.1798, abs=5e-5)
    assert 100 * mode**2 / (mode**2 + typical_variance(se)) == pytest.approx(92.22, abs=5e-3)


def test_the_flat_posterior_lies_where_reml_says():
    """A skewed tau: the posterior mean is above REML's mode, and mu as far out but less certain."""
    y, se = bcg_log_risk_ratios()
    ours = NormalNormal(y, se, Prior("Normal", mu=0, sigma=10), Prior("HalfNormal", sigma=10))
    assert ours.tau.cdf(0.5597) == pytest.approx(0.38, abs=0.1)  # the mode of a right-skewed density: below its median
    assert ours.tau.mean > ours.tau.quantile(0.5) > 0.5597
    assert ours.mu.sd > 0.1798
    assert abs(ours.mu.mean + 0.7145) < 0.1 * 0.1798


def test_typical_variance_of_equal_studies_is_their_variance():
    assert typical_variance(np.full(7, 0.3)) == pytest.approx(0.09, rel=1e-12)


def test_joint_draws_follow_the_posterior_and_not_only_its_margins():
    y, se = eight_schools()
    ours = NormalNormal(y, se, Prior("Normal", mu=0, sigma=10), Prior("HalfCauchy", beta=5))
    rng = np.random.default_rng(3)
    drawn = ours.draw(20_000, rng)
    assert stats.kstest(drawn["mu"], ours.mu.cdf).pvalue > 1e-3
    assert stats.kstest(drawn["tau"], ours.tau.cdf).pvalue > 1e-3
    # theta_k rests on mu and tau together: a draw of it must follow its own marginal
    shrink = drawn["tau"] ** 2 / (drawn["tau"] ** 2 + se[0] ** 2)
    theta = rng.normal(shrink * y[0] + (1 - shrink) * drawn["mu"], np.sqrt(shrink) * se[0])
    assert stats.kstest(theta, ours.theta[0].cdf).pvalue > 1e-3


def test_meta_serves_the_same_posterior_with_labels():
    y, se = eight_schools()
    priors = {"mu": Prior("Normal", mu=0, sigma=20), "tau": Prior("HalfCauchy", beta=5)}
    model = Meta(measure="difference", units="SAT-V points", unit="school", study="school", priors=priors)
    exact = model.exact(model.prepare(bd.load("eight_schools_rubin1981")))
    direct = NormalNormal(y, se, priors["mu"], priors["tau"])
    assert exact.marginals["theta", (("school", "C"),)].mean == direct.theta[2].mean
    assert exact.marginals["mu", ()].sd == direct.mu.sd
    i2 = exact.marginals["i2", ()]
    tau = direct.tau.quantile(np.array([0.1, 0.9]))
    np.testing.assert_allclose(
        i2.quantile(np.array([0.1, 0.9])), 100 * tau**2 / (tau**2 + typical_variance(se)), rtol=1e-12
    )
    np.testing.assert_allclose(i2.cdf(i2.quantile(np.array([0.1, 0.9]))), [0.1, 0.9], rtol=0, atol=1e-12)
    assert not {name for name, _ in exact.marginals} & {"ratio", "ratio_new"}


@pytest.mark.parametrize(
    ("settings", "known"),
    [
        ({"measure": "standardised-difference"}, True),
        (
            {
                "measure": "standardised-difference",
                "priors": {"mu": {"dist": "StudentT", "nu": 4, "mu": 0, "sigma": 1}},
            },
            False,
        ),
        ({"measure": "log-odds-ratio", "input": "counts", "likelihood": "binomial"}, False),
    ],
)
def test_only_a_normal_prior_and_likelihood_are_known_exactly(settings, known):
    model = Meta(
        study="trial",
        events_treated="tb_vaccinated",
        n_treated="n_vaccinated",
        events_control="tb_control",
        **settings,
    )
    table = bd.load("bcg_colditz1994")
    table["effect"], table["se"] = bcg_log_risk_ratios()
    assert (model.exact(model.prepare(table)) is not None) == known
