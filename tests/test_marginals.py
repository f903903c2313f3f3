"""Exact marginals against independent integration and large Monte Carlo samples."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from bayesdep.numerics.betas import BetaMarginal, difference, odds_ratio, ratio
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.marginals import Exponential, Function, Gridded, NormalMixture
from bayesdep.numerics.normal_normal import NormalNormal

P = np.array([1e-4, 0.025, 0.2, 0.5, 0.8, 0.975, 1 - 1e-4])
MIXTURE = NormalMixture(np.array([0.2, 0.5, 0.3]), np.array([-2.0, 0.1, 0.7]), np.array([0.3, 0.05, 1.2]))
NARROW = NormalMixture(np.array([0.4, 0.6]), np.array([-0.5, 0.2]), np.array([0.3, 0.4]))


def mixture_density(x, mixture=MIXTURE):
    parts = zip(mixture.weights, mixture.means, mixture.sds, strict=True)
    return sum(w * stats.norm.pdf(x, m, s) for w, m, s in parts)


def by_quad(f, edges):
    """Integral over consecutive panels, each by scipy's adaptive rule."""
    pieces = itertools.pairwise(edges)
    return math.fsum(integrate.quad(f, a, b, epsabs=1e-14, epsrel=1e-12, limit=200)[0] for a, b in pieces)


EDGES = np.linspace(-16, 16, 65)


def log_normal_grid(n=401):
    """A log-normal (mean 0.3, sd 0.4 of the log), gridded on the log scale."""
    u = np.linspace(0.3 - 0.4 * 8.4, 0.3 + 0.4 * 8.4, n)
    return Gridded(u, 7.0 * np.exp(-(((u - 0.3) / 0.4) ** 2) / 2), np.exp, np.log)


def assert_inverse_and_monotone(marginal, p=P):
    x = marginal.quantile(p)
    assert (np.diff(x) > 0).all()
    # the root finder stops at a relative width of 1e-15 or so in x: 1e-12 covers any slope met here
    np.testing.assert_allclose(marginal.cdf(x), p, rtol=0, atol=1e-12)
    np.testing.assert_allclose(marginal.quantile(marginal.cdf(x)), x, rtol=1e-8, atol=1e-10)
    fine = marginal.quantile(np.linspace(1e-3, 1 - 1e-3, 40))
    assert (np.diff(marginal.cdf(fine)) > 0).all()


# ---- mixtures of normals


def test_mixture_moments_equal_integration_of_its_density():
    mean = by_quad(lambda x: x * mixture_density(x), EDGES)
    variance = by_quad(lambda x: (x - mean) ** 2 * mixture_density(x), EDGES)
    assert MIXTURE.mean == pytest.approx(mean, abs=1e-10)
    assert MIXTURE.sd == pytest.approx(math.sqrt(variance), rel=1e-10)


@pytest.mark.parametrize("x", [-3.0, -1.9, 0.0, 0.1, 2.5])
def test_mixture_cdf_equals_integration_of_its_density(x):
    assert MIXTURE.cdf(x) == pytest.approx(by_quad(mixture_density, [*EDGES[np.less(EDGES, x)], x]), abs=1e-12)


def test_mixture_quantile_inverts_its_cdf():
    assert_inverse_and_monotone(MIXTURE)


def test_mixture_of_one_is_a_normal():
    one = NormalMixture(np.array([1.0]), np.array([3.0]), np.array([2.0]))
    np.testing.assert_allclose(one.quantile(P), stats.norm.ppf(P, 3, 2), rtol=1e-12)


# ---- gridded densities


def test_gridded_log_normal_equals_scipys():
    """Moments to rounding, probabilities to the fourth power of the grid's spacing (0.017: 1e-8, over 384)."""
    ours, truth = log_normal_grid(), stats.lognorm(0.4, scale=math.exp(0.3))
    assert ours.mean == pytest.approx(truth.mean(), rel=1e-12)
    assert ours.sd == pytest.approx(truth.std(), rel=1e-12)
    x = truth.ppf(P)
    np.testing.assert_allclose(ours.cdf(x), P, rtol=0, atol=1e-8)
    np.testing.assert_allclose(ours.quantile(P), x, rtol=1e-5)  # 1e-8 of probability where the density is 1e-3
    assert ours.expect(np.sqrt) == pytest.approx(truth.expect(np.sqrt), rel=1e-8)


def test_gridded_cdf_converges_with_the_fourth_power_of_the_spacing():
    truth = stats.lognorm(0.4, scale=math.exp(0.3))
    x = truth.ppf(np.linspace(0.01, 0.99, 99))
    coarse, fine = (np.abs(log_normal_grid(n).cdf(x) - truth.cdf(x)).max() for n in (101, 201))
    assert 10 < coarse / fine < 25  # 16 for the fourth order


def test_gridded_quantile_inverts_its_cdf():
    assert_inverse_and_monotone(log_normal_grid())


def test_gridded_cdf_is_0_and_1_outside_its_grid():
    ours = log_normal_grid()
    # what a grid of +-8.4 sd leaves out
    np.testing.assert_allclose(ours.cdf(np.array([1e-9, 1e9])), [0, 1], rtol=0, atol=1e-14)


# ---- functions of them


def test_exponential_of_a_mixture_has_the_moments_of_log_normals():
    """E exp(x) = sum w exp(m + s^2/2), and the second moment likewise: closed form."""
    ours = Exponential(NARROW)
    w, m, s = NARROW.weights, NARROW.means, NARROW.sds
    first, second = w @ np.exp(m + s**2 / 2), w @ np.exp(2 * m + 2 * s**2)
    assert ours.mean == pytest.approx(first, rel=1e-12)
    assert ours.sd == pytest.approx(math.sqrt(second - first**2), rel=1e-11)


def test_ratio_in_a_new_study_has_a_mean_only_under_a_narrow_enough_prior_on_tau():
    """E exp(k theta_new) needs E exp(k^2 tau^2 / 2): finite for tau ~ N+(s) when s < 1/k, and for a bounded tau."""
    y, se = np.array([-0.9, -0.2, 0.1, -0.6]), np.array([0.3, 0.2, 0.4, 0.25])

    def ratio_new(tau_prior):
        posterior = NormalNormal(y, se, Prior("Normal", mu=0, sigma=1.5), tau_prior)
        return Exponential(posterior.theta_new, truncated=bool(np.isinf(tau_prior.scipy.support()[1])))

    assert np.isfinite(ratio_new(Prior("HalfNormal", sigma=0.3)).sd)  # k = 2 needs s < 0.5
    wide = ratio_new(Prior("HalfNormal", sigma=0.8))
    assert np.isfinite(wide.mean)
    assert wide.sd == np.inf
    assert ratio_new(Prior("HalfNormal", sigma=5)).mean == np.inf
    assert ratio_new(Prior("HalfCauchy", beta=0.5)).mean == np.inf
    assert np.isfinite(ratio_new(Prior("Uniform", lower=0, upper=2)).sd)


def test_exponential_cdf_and_quantile_are_the_logarithms():
    ours = Exponential(MIXTURE)
    np.testing.assert_allclose(ours.cdf(np.array([0.3, 1.0, 4.0])), MIXTURE.cdf(np.log([0.3, 1.0, 4.0])), rtol=1e-14)
    np.testing.assert_allclose(ours.quantile(P), np.exp(MIXTURE.quantile(P)), rtol=1e-12)
    assert ours.cdf(0.0) == 0
    assert_inverse_and_monotone(ours)


def test_function_of_a_gridded_density_equals_integration():
    truth = stats.lognorm(0.4, scale=math.exp(0.3))
    share = Function(log_normal_grid(), lambda x: x**2 / (1 + x**2), lambda y: np.sqrt(y / (1 - y)))
    edges = truth.ppf([1e-15, 1e-6, 0.1, 0.5, 0.9, 1 - 1e-6, 1 - 1e-15])
    mean = by_quad(lambda x: x**2 / (1 + x**2) * truth.pdf(x), edges)
    variance = by_quad(lambda x: (x**2 / (1 + x**2) - mean) ** 2 * truth.pdf(x), edges)
    assert share.mean == pytest.approx(mean, rel=1e-10)
    assert share.sd == pytest.approx(math.sqrt(variance), rel=1e-10)
    assert_inverse_and_monotone(share)


# ---- Betas and pairs of them

BETAS = [(15.5, 4.5), (1.5, 11.5), (0.5, 12.5), (0.5, 0.5), (7.01, 10.01), (500.5, 88000.5)]


@pytest.mark.parametrize(("a", "b"), BETAS)
def test_beta_moments_of_itself_and_its_odds_equal_integration(a, b):
    """Integrated over the logit of x, where the density is bell-shaped whatever a and b."""
    ours = BetaMarginal(a, b)
    log_norm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)

    def expect(log_f):
        """Expectation of exp(log_f(log x, log(1 - x)))."""

        def integrand(u):
            log_x, log_1_x = -np.logaddexp(0, -u), -np.logaddexp(0, u)
            return math.exp(log_norm + a * log_x + b * log_1_x + log_f(log_x, log_1_x))

        centre, reach = math.log(a / b), 45 * max(1, 1 / min(a, b))
        return by_quad(integrand, centre + reach * np.array([-1, -0.3, -0.1, -0.02, 0, 0.02, 0.1, 0.3, 1]))

    assert ours.mean == pytest.approx(expect(lambda x, y: x), rel=1e-9)
    assert ours.sd == pytest.approx(math.sqrt(expect(lambda x, y: 2 * x) - ours.mean**2), rel=1e-6)
    for k in (1, 2, -1, -2):
        if a + k > 0.2:
            assert ours.moment(k) == pytest.approx(expect(lambda x, y, k=k: k * x), rel=1e-8)
        if a + k > 0.2 and b - k > 0.2:
            assert ours.odds_moment(k) == pytest.approx(expect(lambda x, y, k=k: k * (x - y)), rel=1e-8)
    assert ours.complement == BetaMarginal(b, a)
    assert_inverse_and_monotone(ours)


@pytest.mark.parametrize(
    ("a", "k", "exists"), [(0.5, -1, False), (1.0, -1, False), (1.5, -1, True), (1.5, -2, False), (2.5, -2, True)]
)
def test_negative_moments_exist_only_above_their_order(a, k, exists):
    assert math.isfinite(BetaMarginal(a, 3.0).moment(k)) == exists
    assert math.isfinite(BetaMarginal(3.0, a).odds_moment(-k)) == exists
    assert math.isfinite(BetaMarginal(a, 3.0).odds_moment(k)) == exists


COMBINATIONS = {
    "ratio": (ratio, lambda u, v: u / v, lambda t, v: t * v),
    "odds_ratio": (odds_ratio, lambda u, v: u * (1 - v) / (v * (1 - u)), lambda t, v: t * v / (1 - v + t * v)),
    "difference": (difference, lambda u, v: u - v, lambda t, v: t + v),
}
PAIRS = [
    ((15.5, 4.5), (1.5, 11.5)),  # FGF-2: sensitivity over one false positive
    ((8.01, 5.01), (3.01, 6.01)),
    ((4.5, 2.5), (3.5, 9.5)),
    ((505, 87886), (499, 87892)),
    ((5000, 4000), (3.5, 5.5)),  # a big arm against a small one: a step as a function of the second
]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
@pytest.mark.parametrize("name", COMBINATIONS)
def test_combination_cdf_equals_integration_over_the_second_beta(name, pair):
    make, _, inverse = COMBINATIONS[name]
    (a, b), (c, d) = pair
    ours = make(BetaMarginal(a, b), BetaMarginal(c, d))
    tail = [0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 0.01, 0.1, 0.5]
    edges = np.union1d(stats.beta.ppf(tail, c, d), stats.beta.isf(tail, c, d))
    log_beta = special.betaln(c, d)

    def density(v):
        return math.exp((c - 1) * math.log(v) + (d - 1) * math.log1p(-v) - log_beta)

    for p in (0.001, 0.025, 0.5, 0.975):
        t = float(ours.quantile(np.array([p]))[0])
        # where the first Beta's cdf starts or stops rising is a kink: a panel must end there
        kinks = [v for v in ((-t, 1 - t) if name == "difference" else (1 / t,)) if 0 < v < 1]
        found = by_quad(
            lambda v, t=t: special.betainc(a, b, min(max(inverse(t, v), 0.0), 1.0)) * density(v),
            np.union1d(edges, kinks),
        )
        # the tails that the package cuts off carry 2e-14; 1e-10 is what the adaptive integration is good to
        assert found == pytest.approx(p, abs=1e-10)
    assert_inverse_and_monotone(ours, P[1:-1])


@pytest.mark.parametrize("pair", [*PAIRS, ((0.5, 12.5), (11.5, 1.5)), ((0.5, 6.5), (0.5, 7.5))], ids=str)
@pytest.mark.parametrize("name", COMBINATIONS)
def test_combination_follows_large_samples(name, pair):
    make, f, _ = COMBINATIONS[name]
    (a, b), (c, d) = pair
    ours = make(BetaMarginal(a, b), BetaMarginal(c, d))
    rng = np.random.default_rng(12)
    size = 400_000
    drawn = f(rng.beta(a, b, size), rng.beta(c, d, size))
    p = np.array([0.001, 0.025, 0.25, 0.5, 0.75, 0.975, 0.999])
    below = (drawn[:, None] <= ours.quantile(p)).mean(0)
    # binomial standard error of a share; 4.5 of them: 126 comparisons, false alarm 1 in 1,000
    assert (np.abs(below - p) < 4.5 * np.sqrt(p * (1 - p) / size)).all(), below - p
    if math.isfinite(ours.sd):
        assert abs(drawn.mean() - ours.mean) < 4.5 * ours.sd / math.sqrt(size)


@pytest.mark.parametrize("pair", [((8.01, 5.01), (5.01, 6.01)), ((505, 87886), (499, 87892))], ids=str)
def test_combination_moments_equal_double_integration(pair):
    """Integrated over both Betas, where the second moments exist with three powers to spare."""
    (a, b), (c, d) = pair
    u, v = BetaMarginal(a, b), BetaMarginal(c, d)
    inside = [(stats.beta.ppf(1e-14, *x), stats.beta.isf(1e-14, *x)) for x in pair]
    # a product of two 240-node Gauss-Legendre rules: exact for these smooth densities up to the tails cut off
    x, w = np.polynomial.legendre.leggauss(240)
    nodes, weights = zip(*(((lo + hi) / 2 + (hi - lo) / 2 * x, (hi - lo) / 2 * w) for lo, hi in inside), strict=True)
    density = [stats.beta.pdf(n, *x) * w for n, x, w in zip(nodes, pair, weights, strict=True)]
    for name, (make, f, _) in COMBINATIONS.items():
        values = f(nodes[0][:, None], nodes[1][None, :])
        mean = density[0] @ values @ density[1]
        sd = math.sqrt(density[0] @ (values - mean) ** 2 @ density[1])
        ours = make(u, v)
        assert ours.mean == pytest.approx(mean, rel=1e-6, abs=1e-12), name
        assert ours.sd == pytest.approx(sd, rel=1e-6), (
            name
        )  # tails cut at p = 1e-14 carry (1e-14)^(3/5) of a square, 4e-9


def test_moments_that_do_not_exist_are_infinite():
    one_false_positive = BetaMarginal(1.5, 11.5)
    lr = ratio(BetaMarginal(15.5, 4.5), one_false_positive)
    assert math.isfinite(lr.mean)
    assert lr.sd == math.inf
    none = ratio(BetaMarginal(15.5, 4.5), BetaMarginal(0.5, 12.5))
    assert (none.mean, none.sd) == (math.inf, math.inf)
    everybody = odds_ratio(BetaMarginal(9.5, 0.5), BetaMarginal(4.5, 6.5))
    assert (everybody.mean, everybody.sd) == (math.inf, math.inf)
    assert math.isfinite(difference(BetaMarginal(0.5, 12.5), BetaMarginal(9.5, 0.5)).sd)


def test_mean_of_one_false_positive_is_found_though_the_sd_is_not():
    """E[u/v] = E[u] E[1/v] with E[1/v] = (c + d - 1)/(c - 1)."""
    lr = ratio(BetaMarginal(15.5, 4.5), BetaMarginal(1.5, 11.5))
    assert lr.mean == pytest.approx(15.5 / 20 * 12 / 0.5, rel=1e-12)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_an_empty_cell_under_a_weak_prior_has_quantiles_all_the_same(name):
    """Beta(0.01, 9.01): log u is all but exponential with mean 100, so ratios reach 1e-160, never NaN."""
    make = COMBINATIONS[name][0]
    ours = make(BetaMarginal(0.01, 9.01), BetaMarginal(3.01, 6.01))
    quantiles = ours.quantile(np.array([0.025, 0.5, 0.975]))
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles) > 0).all()


def test_log_quantile_of_an_empty_cells_ratio_is_that_of_its_exponential():
    """For small t, P(u/v <= t) = E[(t v)^a] / (a B(a, b)): a power law, so the quantile is known in closed form."""
    a, b, c, d = 0.01, 9.01, 3.01, 6.01
    ours = ratio(BetaMarginal(a, b), BetaMarginal(c, d))
    from scipy.special import betaln

    log_moment = betaln(c + a, d) - betaln(c, d)
    for p in (0.025, 0.1, 0.4):
        expected = (math.log(p) + math.log(a) + betaln(a, b) - log_moment) / a
        # the next term of the power series is below 1e-30; 1e-9 of the probability, over a
        assert math.log(ours.quantile(np.array([p]))[0]) == pytest.approx(expected, abs=1e-7)


def test_a_quantile_beyond_floating_point_is_0_or_infinite_and_never_undefined():
    empty = BetaMarginal(0.01, 9.01)
    beyond = ratio(empty, BetaMarginal(3.01, 6.01)).quantile(np.array([1e-5, 0.5]))
    assert beyond[0] == 0
    assert 0 < beyond[1] < 1
    turned = ratio(BetaMarginal(3.01, 6.01), empty).quantile(np.array([0.5, 1 - 1e-5]))
    assert 1 < turned[0] < math.inf
    assert turned[1] == math.inf
