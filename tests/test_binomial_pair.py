"""Two binomial arms with baseline and effect integrated out, against adaptive two-dimensional quadrature."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate

import bayesdep as bd
from bayesdep.models.meta.binomial_pair import log_marginal

BASELINE = (-0.5, 2.5)
STUDIES = {
    "no events at all": ([0, 0], [12, 15]),
    "none in one arm": ([5, 0], [40, 38]),
    "everybody in one arm": ([7, 9], [20, 9]),
    "responders": ([3, 8], [9, 13]),
    "rare (BCG, Comstock & Webster)": ([3, 5], [2341, 2498]),
    "big (BCG, Madras)": ([499, 505], [88391, 88391]),
}


def by_adaptive_quadrature(events, n, mu, tau, baseline):
    """Log of the double integral by scipy's dblquad, with the densities written out here."""
    (e0, e1), (n0, n1), (m, s) = events, n, baseline
    choose = sum(
        math.lgamma(k + 1) - math.lgamma(e + 1) - math.lgamma(k - e + 1) for e, k in zip(events, n, strict=True)
    )
    constant = choose - math.log(2 * math.pi * s * tau)

    def log_integrand(a, theta, log1p=math.log1p, exp=math.exp, above=max):
        """Density of the counts, the baseline and the effect; log(1 + e^x) written so that nothing overflows."""
        x0, x = a - theta / 2, a + theta / 2
        log_0 = e0 * x0 - n0 * (above(x0, 0.0) + log1p(exp(-abs(x0))))
        log_1 = e1 * x - n1 * (above(x, 0.0) + log1p(exp(-abs(x))))
        return log_0 + log_1 - ((a - m) / s) ** 2 / 2 - ((theta - mu) / tau) ** 2 / 2 + constant

    # Zoom in on where the integrand is within e^-40 of its peak, so that the adaptive rule cannot miss it.
    a_box, t_box = (m - 12 * s, m + 12 * s), (mu - 12 * tau, mu + 12 * tau)
    for _ in range(5):
        a, t = np.linspace(*a_box, 101), np.linspace(*t_box, 101)
        height = log_integrand(a[:, None], t[None, :], np.log1p, np.exp, np.maximum)
        peak = height.max()
        rows, columns = np.nonzero(height > peak - 40)
        a_box = a[max(rows.min() - 1, 0)], a[min(rows.max() + 1, 100)]
        t_box = t[max(columns.min() - 1, 0)], t[min(columns.max() + 1, 100)]
    i, j = np.unravel_index(height.argmax(), height.shape)
    quarters = itertools.product(
        itertools.pairwise((a_box[0], a[i], a_box[1])), itertools.pairwise((t_box[0], t[j], t_box[1]))
    )
    area = (a_box[1] - a_box[0]) * (t_box[1] - t_box[0])
    total = sum(
        integrate.dblquad(
            lambda theta, x: math.exp(log_integrand(x, theta) - peak),
            *a_ends,
            *t_ends,
            epsabs=1e-11 * area,
            epsrel=1e-9,
        )[0]
        for a_ends, t_ends in quarters
        if a_ends[0] < a_ends[1] and t_ends[0] < t_ends[1]
    )
    return math.log(total) + peak


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize(("mu", "tau"), [(0.4, 0.6), (-0.7, 0.1)])
def test_log_marginal_equals_adaptive_double_quadrature(name, mu, tau):
    events, n = STUDIES[name]
    ours = log_marginal(np.array([events]), np.array([n]), np.array([mu]), np.array([tau]), BASELINE)
    # 1e-7 absolute on a log-likelihood: the quadrature's error where an arm is empty (1e-8 to 1e-7), 1e-9 elsewhere
    assert ours[0, 0] == pytest.approx(by_adaptive_quadrature(events, n, mu, tau, BASELINE), abs=1e-7)


def test_41_nodes_change_nothing_from_21():
    """Over every effect and spread that the default priors find plausible (tau ~ N+(0.5): 1 in 16,000 above 2)."""
    events, n = (np.array([study[i] for study in STUDIES.values()]) for i in (0, 1))
    bcg = bd.load("bcg_colditz1994")
    events = np.vstack([events, bcg[["tb_control", "tb_vaccinated"]].to_numpy()])
    n = np.vstack([n, bcg[["n_control", "n_vaccinated"]].to_numpy()])
    mu, tau = (g.ravel() for g in np.meshgrid(np.linspace(-4.5, 4.5, 7), [0.003, 0.03, 0.1, 0.3, 0.6, 1.0, 1.5, 2.0]))
    some = log_marginal(events, n, mu, tau, BASELINE, nodes=21)
    many = log_marginal(events, n, mu, tau, BASELINE, nodes=41)
    assert some.shape == (len(mu), len(events))
    np.testing.assert_allclose(some, many, rtol=0, atol=1e-6)


def test_without_spread_the_effect_is_mu_and_one_integral_is_left():
    events, n, mu = (3, 8), (9, 13), 0.9
    m, s = BASELINE

    def density(a):
        p0, p1 = 1 / (1 + math.exp(-a + mu / 2)), 1 / (1 + math.exp(-a - mu / 2))
        arms = [math.comb(k, e) * p**e * (1 - p) ** (k - e) for e, k, p in zip(events, n, (p0, p1), strict=True)]
        return arms[0] * arms[1] * math.exp(-(((a - m) / s) ** 2) / 2) / (s * math.sqrt(2 * math.pi))

    expected = math.log(integrate.quad(density, m - 12 * s, m + 12 * s, epsabs=0, epsrel=1e-12, limit=200)[0])
    ours = log_marginal(np.array([events]), np.array([n]), np.array([mu]), np.array([1e-5]), BASELINE)
    # the log integral has second derivative of order 10 in mu: tau = 1e-5 moves it by 1e-9
    assert ours[0, 0] == pytest.approx(expected, abs=1e-8)


def test_probabilities_of_all_outcomes_sum_to_one():
    n = np.array([4, 5])
    outcomes = np.array(list(itertools.product(range(5), range(6))))
    total = np.exp(
        log_marginal(outcomes, np.broadcast_to(n, outcomes.shape), np.array([0.3]), np.array([0.8]), BASELINE)
    )
    # each of 30 probabilities is good to 1e-6 of itself
    assert total.sum() == pytest.approx(1, abs=1e-6)


def test_many_draws_have_the_scores_that_few_have():
    """So many draws that they are computed in parts: 41 nodes an axis, two million points at once."""
    events, n = np.array([[3, 8], [0, 4]]), np.array([[9, 13], [20, 20]])
    rng = np.random.default_rng(1)
    mu, tau = rng.normal(size=2500), rng.uniform(0.1, 1, size=2500)
    many = log_marginal(events, n, mu, tau, BASELINE)
    some = np.r_[0:10, 1185:1195, 2375:2385, 2490:2500]
    # Newton's iterations stop together, so a part may stop a step earlier: at a mode known to 1e-10
    few = log_marginal(events, n, mu[some], tau[some], BASELINE)
    np.testing.assert_allclose(many[some], few, rtol=0, atol=1e-10)
