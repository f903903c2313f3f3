"""Effect sizes and their standard errors against independent computations and against simulation."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import gammaln

from bayesdep.data.effects import (
    change_sd,
    hedges_correction,
    hedges_g,
    log_geometric_mean_ratio,
    log_odds,
    log_odds_ratio,
    log_risk_ratio,
    lognormal_log_mean,
    mean_difference,
    risk_difference,
    standardised_difference_from_p,
)
from bayesdep.data.published import load

unhurried = settings(deadline=None, max_examples=50)
Z = stats.norm.ppf(0.975)
FLOAT = 1e-9  # a few hundred roundings of double precision


def monte_carlo_error(probability, replicates):
    """Return three binomial standard errors: one run in 370 strays further."""
    return 3 * np.sqrt(probability * (1 - probability) / replicates)


# Ratios from counts.


@st.composite
def two_by_two(draw):
    n_1, n_0 = draw(st.integers(2, 2000)), draw(st.integers(2, 2000))
    return draw(st.integers(1, n_1 - 1)), n_1, draw(st.integers(1, n_0 - 1)), n_0


@given(two_by_two())
@unhurried
def test_log_odds_ratio_equals_scipys_sample_odds_ratio_and_interval(counts):
    a, n_1, c, n_0 = counts
    effect, se = log_odds_ratio(*(np.array([float(x)]) for x in counts))
    oracle = stats.contingency.odds_ratio([[a, n_1 - a], [c, n_0 - c]], kind="sample")
    interval = oracle.confidence_interval(0.95)
    np.testing.assert_allclose(effect[0], np.log(oracle.statistic), rtol=FLOAT, atol=FLOAT)
    np.testing.assert_allclose(se[0], np.log(interval.high / interval.low) / (2 * Z), rtol=FLOAT)


@given(two_by_two())
@unhurried
def test_log_risk_ratio_equals_scipys_relative_risk_and_interval(counts):
    effect, se = log_risk_ratio(*(np.array([float(x)]) for x in counts))
    oracle = stats.contingency.relative_risk(*counts)
    interval = oracle.confidence_interval(0.95)
    np.testing.assert_allclose(effect[0], np.log(oracle.relative_risk), rtol=FLOAT, atol=FLOAT)
    np.testing.assert_allclose(se[0], np.log(interval.high / interval.low) / (2 * Z), rtol=FLOAT)


@pytest.mark.parametrize("measure", [log_odds_ratio, log_risk_ratio])
@given(two_by_two())
@unhurried
def test_exchanging_the_arms_changes_only_the_sign(measure, counts):
    a, n_1, c, n_0 = (np.array([float(x)]) for x in counts)
    effect, se = measure(a, n_1, c, n_0)
    exchanged, se_exchanged = measure(c, n_0, a, n_1)
    np.testing.assert_allclose(exchanged, -effect, rtol=FLOAT, atol=FLOAT)
    np.testing.assert_allclose(se_exchanged, se, rtol=FLOAT)


def test_bcg_log_risk_ratios_equal_metafors():
    """The yi and vi that metafor's manual prints for escalc(measure = "RR", data = dat.bcg)."""
    yi = [
        -0.8893,
        -1.5854,
        -1.3481,
        -1.4416,
        -0.2175,
        -0.7861,
        -1.6209,
        0.0120,
        -0.4694,
        -1.3713,
        -0.3394,
        0.4459,
    ]
    vi = [0.3256, 0.1946, 0.4154, 0.0200, 0.0512, 0.0069, 0.2230, 0.0040, 0.0564, 0.0730, 0.0124, 0.5325]
    yi, vi = [*yi, -0.0173], [*vi, 0.0714]
    bcg = load("bcg_colditz1994")
    arms = ("tb_vaccinated", "n_vaccinated", "tb_control", "n_control")
    effect, se = log_risk_ratio(*(bcg[column].to_numpy(float) for column in arms))
    np.testing.assert_allclose(effect, yi, atol=0.5e-4)  # printed to four decimals
    np.testing.assert_allclose(se**2, vi, atol=0.5e-4)


# Log-normal means.

log_means = st.floats(-5, 8)
log_variances = st.floats(0.01, 4)


@given(log_means, log_variances, st.integers(2, 500))
@unhurried
def test_population_moments_give_back_the_log_mean(mu, s2, n):
    population = stats.lognorm(np.sqrt(s2), scale=np.exp(mu))
    found, _ = lognormal_log_mean(
        np.array([population.mean()]), np.array([population.std() / np.sqrt(n)]), np.array([n])
    )
    np.testing.assert_allclose(found[0], mu, rtol=FLOAT, atol=FLOAT)


@given(log_means, st.floats(0.05, 2.5), st.integers(2, 500))
@unhurried
def test_log_mean_standard_error_equals_the_delta_method_done_by_numbers(mu, s2, n):
    """Gradient by central differences, third and fourth central moments from scipy's raw moments."""
    population = stats.lognorm(np.sqrt(s2), scale=np.exp(mu))
    m1, m2, m3, m4 = (population.moment(k) for k in (1, 2, 3, 4))
    variance = m2 - m1**2
    third = m3 - 3 * m1 * m2 + 2 * m1**3
    fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
    sampling = np.array([[variance, third], [third, fourth - variance**2]]) / n

    def log_mean(m, v):
        return np.log(m) - np.log1p(v / m**2) / 2

    h = 1e-5  # balances truncation (h^2) and rounding (1e-16 / h): relative error of each slope about 1e-10
    slope = [
        (log_mean(m1 * (1 + h), variance) - log_mean(m1 * (1 - h), variance)) / (2 * h * m1),
        (log_mean(m1, variance * (1 + h)) - log_mean(m1, variance * (1 - h))) / (2 * h * variance),
    ]
    _, se = lognormal_log_mean(np.array([m1]), np.array([np.sqrt(variance / n)]), np.array([n]))
    np.testing.assert_allclose(se[0] ** 2, slope @ sampling @ slope, rtol=1e-5)  # the terms nearly cancel


def log_normal_summaries(s2, n, replicates, seed):
    """Return arithmetic means and standard errors of samples with log mean 0."""
    values = np.exp(np.random.default_rng(seed).normal(0, np.sqrt(s2), (replicates, n)))
    return values.mean(1), stats.sem(values, axis=1), np.full(replicates, n)


def test_log_mean_standard_error_is_the_spread_of_the_estimate_in_large_samples():
    mean, sem, n = log_normal_summaries(s2=0.3, n=1000, replicates=3000, seed=1)
    estimate, se = lognormal_log_mean(mean, sem, n)
    # a standard deviation from R draws has relative error 1/sqrt(2 R)
    assert estimate.std() == pytest.approx(np.median(se), rel=3 / np.sqrt(2 * 3000))


def test_naive_intervals_cover_75_percent_and_ours_97_percent_as_the_docstring_says():
    replicates = 100_000
    mean, sem, n = log_normal_summaries(s2=1.6, n=26, replicates=replicates, seed=2)
    estimate, se = lognormal_log_mean(mean, sem, n)
    naive = np.sqrt(np.log1p(n * sem**2 / mean**2) / n)
    for claim, half_width in ((0.75, Z * naive), (0.97, Z * se)):
        coverage = (np.abs(estimate) < half_width).mean()
        assert coverage == pytest.approx(claim, abs=0.005 + monte_carlo_error(claim, replicates))  # printed in percent


@pytest.mark.parametrize("n", [26, 33])
@pytest.mark.parametrize("s2", [0.1, 0.3, 0.7, 1.2, 1.6, 2.2])
def test_log_mean_intervals_cover_at_least_92_percent(s2, n):
    replicates = 20_000
    estimate, se = lognormal_log_mean(*log_normal_summaries(s2, n, replicates, seed=3))
    coverage = (np.abs(estimate) < Z * se).mean()
    assert coverage >= 0.92 + monte_carlo_error(0.92, replicates)  # above it by more than chance


@pytest.mark.parametrize("s2", [0.1, 0.7, 1.6])
def test_geometric_mean_ratio_intervals_cover_at_least_93_percent_for_equal_spreads(s2):
    """Groups of 33 and 26 with one log variance: the biases of the two log means nearly cancel."""
    replicates, truth = 20_000, 0.3
    mean_1, sem_1, n_1 = log_normal_summaries(s2, 33, replicates, seed=4)
    mean_0, sem_0, n_0 = log_normal_summaries(s2, 26, replicates, seed=5)
    effect, se = log_geometric_mean_ratio(mean_1 * np.exp(truth), sem_1 * np.exp(truth), n_1, mean_0, sem_0, n_0)
    coverage = (np.abs(effect - truth) < Z * se).mean()
    assert coverage >= 0.93 + monte_carlo_error(0.93, replicates)  # above it by more than chance


groups = st.tuples(st.floats(0.1, 1e4), st.floats(0.02, 0.6), st.integers(5, 100))


@given(groups, groups, st.floats(1e-3, 1e3))
@unhurried
def test_geometric_mean_ratio_has_no_units_and_only_a_sign_to_lose(one, zero, unit):
    (m_1, cv_1, n_1), (m_0, cv_0, n_0) = one, zero
    args = [np.array([x]) for x in (m_1, m_1 * cv_1, n_1, m_0, m_0 * cv_0, n_0)]
    effect, se = log_geometric_mean_ratio(*args)
    scale = [unit, unit, 1, unit, unit, 1]
    rescaled, se_rescaled = log_geometric_mean_ratio(*(a * s for a, s in zip(args, scale, strict=True)))
    exchanged, se_exchanged = log_geometric_mean_ratio(*args[3:], *args[:3])
    np.testing.assert_allclose(rescaled, effect, rtol=FLOAT, atol=FLOAT)
    np.testing.assert_allclose(exchanged, -effect, rtol=FLOAT, atol=FLOAT)
    np.testing.assert_allclose([se_rescaled, se_exchanged], [se, se], rtol=FLOAT)


def test_geometric_mean_ratio_equals_the_ratio_of_arithmetic_means_when_the_spreads_are_equal():
    """With one coefficient of variation in both groups the corrections cancel."""
    args = (np.array([x]) for x in (20.0, 4.0, 25, 10.0, 2.0, 25))
    effect, _ = log_geometric_mean_ratio(*args)
    assert effect[0] == pytest.approx(np.log(2), rel=FLOAT)


# Standardised differences from P values.


@given(st.integers(2, 60), st.integers(2, 60), st.floats(-3, 3), st.integers(0, 2**32 - 1))
@unhurried
def test_g_from_p_equals_hedges_g_from_the_data(n_1, n_0, shift, seed):
    assume(n_1 + n_0 > 4)
    rng = np.random.default_rng(seed)
    one, zero = rng.normal(shift, 1, n_1), rng.normal(0, 1, n_0)
    df = n_1 + n_0 - 2
    pooled_sd = np.sqrt(((n_1 - 1) * one.var(ddof=1) + (n_0 - 1) * zero.var(ddof=1)) / df)
    raw = one.mean() - zero.mean()
    d, correction = raw / pooled_sd, 1 - 3 / (4 * df - 1)
    p = stats.ttest_ind(one, zero).pvalue
    g, se = standardised_difference_from_p(*(np.array([x]) for x in (p, raw, n_1, n_0)))
    # a P near 1 holds its distance from 1 to 1e-16 only
    np.testing.assert_allclose(g[0], correction * d, rtol=1e-8, atol=1e-12)
    variance = (n_1 + n_0) / (n_1 * n_0) + d**2 / (2 * (n_1 + n_0))
    np.testing.assert_allclose(se[0], correction * np.sqrt(variance), rtol=1e-8)


@pytest.mark.parametrize("df", [20, 57, 200])
def test_small_sample_correction_is_the_exact_one_to_four_decimals(df):
    """Hedges (1981): J = gamma(df/2) / (sqrt(df/2) gamma((df - 1)/2)), about 1 - 3/(4 df - 1)."""
    n_1, n_0 = df // 2 + 1, df - df // 2 + 1
    exact = np.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / np.sqrt(df / 2)
    d = stats.t.isf(0.02 / 2, df) * np.sqrt(1 / n_1 + 1 / n_0)
    g, _ = standardised_difference_from_p(*(np.array([x]) for x in (0.02, 1.0, n_1, n_0)))
    assert g[0] / d == pytest.approx(exact, abs=1e-4)


def test_g_from_p_intervals_cover_95_percent():
    """33 patients, 26 controls, a true difference of 0.5; to one point, for it is a large-sample formula."""
    replicates, delta = 20_000, 0.5
    rng = np.random.default_rng(6)
    one, zero = rng.normal(delta, 1, (33, replicates)), rng.normal(0, 1, (26, replicates))
    test = stats.ttest_ind(one, zero)
    n_1, n_0 = np.full(replicates, 33), np.full(replicates, 26)
    g, se = standardised_difference_from_p(test.pvalue, test.statistic, n_1, n_0)
    coverage = (np.abs(g - delta) < Z * se).mean()
    assert coverage == pytest.approx(0.95, abs=0.01 + monte_carlo_error(0.95, replicates))


def test_p_of_one_is_no_difference_and_the_sign_gives_only_the_direction():
    p, n = np.array([1.0, 0.03, 0.03, 0.03]), np.full(4, 20)
    g, se = standardised_difference_from_p(p, np.array([5.0, 0.01, -900.0, 900.0]), n, n)
    assert g[0] == 0
    assert g[1] == -g[2] == g[3] > 0
    assert se[1] == se[2] == se[3] > se[0]


# From arms' means and standard deviations.

ARMS = [np.array(x) for x in (
    [12.7, -10.2, 3.1], [7.6, 8.1, 1.2], [20.0, 15, 6], [16.4, -4.0, 2.5], [10.0, 9.3, 1.9], [19.0, 22, 5],
)]  # fmt: skip


def test_hedges_g_and_the_mean_difference_equal_metafors():
    """escalc of metafor 3.8-1, measures SMD and MD with its default variances."""
    g, se = hedges_g(*ARMS)
    np.testing.assert_allclose(g, [-0.409571946711, -0.686235369652, 0.353614953833], rtol=1e-11)
    np.testing.assert_allclose(se**2, [0.104782209454, 0.118484982156, 0.372350463738], rtol=1e-11)
    difference, se = mean_difference(*ARMS)
    np.testing.assert_allclose(difference, [-3.7, -6.2, 0.6], rtol=1e-12)
    np.testing.assert_allclose(se**2, [8.15115789474, 8.30536363636, 0.962], rtol=1e-11)


def test_risk_differences_and_log_odds_equal_metafors():
    """escalc of metafor 3.8-1, measures RD and PLO."""
    events, n = np.array([8.0, 2, 15]), np.array([13.0, 40, 20])
    found, se = risk_difference(events, n, np.array([3.0, 5, 4]), np.array([9.0, 41, 21]))
    np.testing.assert_allclose(found, [0.2820512820513, -0.0719512195122, 0.5595238095238], rtol=1e-12)
    np.testing.assert_allclose(se**2, [0.04289800345027, 0.00379918584321, 0.01671761958752], rtol=1e-12)
    found, se = log_odds(events, n)
    np.testing.assert_allclose(found, [0.470003629246, -2.944438979166, 1.098612288668], rtol=1e-11)
    np.testing.assert_allclose(se**2, [0.325, 0.526315789474, 0.266666666667], rtol=1e-11)


def paired_samples(n, r, delta, replicates, seed):
    """The same people twice, unit sds, correlation r: means and standard deviations of each arm."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, replicates))
    one = delta + r * shared + np.sqrt(1 - r**2) * rng.normal(size=(n, replicates))
    arms = [v for y in (one, shared) for v in (y.mean(0), y.std(0, ddof=1), np.full(replicates, float(n)))]
    return arms


@pytest.mark.parametrize("r", [0.0, 0.4, 0.8])
@pytest.mark.parametrize("effect", [mean_difference, hedges_g])
def test_crossover_intervals_cover_95_percent(effect, r):
    """18 people twice, true difference 0.8 sds."""
    replicates, delta = 20_000, 0.8
    arms = paired_samples(18, r, delta, replicates, seed=7)
    found, se = effect(*arms, correlation=np.full(replicates, r))
    coverage = (np.abs(found - delta) < Z * se).mean()
    # normal intervals of a t with 17 degrees of freedom, as every standard error in a meta-analysis: 93 to 95%
    assert 0.925 < coverage < 0.965
    # an unbiased estimate: the correction is exact but for the approximation of the degrees of freedom
    assert found.mean() == pytest.approx(delta, abs=4 * found.std() / np.sqrt(replicates) + 0.002)


def test_a_correlation_ignored_makes_crossover_intervals_too_wide():
    arms = paired_samples(18, 0.8, 0.8, 2000, seed=8)
    _, paired = hedges_g(*arms, correlation=np.full(2000, 0.8))
    _, groups = hedges_g(*arms)
    # at g = 0.8: (2/18 + 0.64/72) over (0.4/18 + 0.64 x 1.64/72); g itself moves either by a few percent
    assert np.median(groups / paired) == pytest.approx(1.806, rel=0.03)


def test_a_trial_without_a_correlation_is_of_two_groups():
    mixed = mean_difference(*ARMS, correlation=np.array([np.nan, 0.5, np.nan]))[1]
    groups = mean_difference(*ARMS)[1]
    np.testing.assert_array_equal(mixed[[0, 2]], groups[[0, 2]])
    assert mixed[1] == pytest.approx(np.sqrt((8.1**2 + 9.3**2 - 8.1 * 9.3) / 15), rel=1e-12)


def test_change_sd_is_that_of_differences():
    rng = np.random.default_rng(9)
    before = rng.normal(30, 6, 50_000)
    after = 10 + 0.5 * before + rng.normal(0, 7, 50_000)
    r = np.corrcoef(before, after)[0, 1]
    found = change_sd(before.std(ddof=1), after.std(ddof=1), r)
    assert found == pytest.approx((after - before).std(ddof=1), rel=1e-10)


@pytest.mark.parametrize("df", [2.0, 5.0, 30.0])
def test_the_exact_correction_makes_g_unbiased(df):
    """E[1/s] of a chi with df degrees of freedom, by integration."""
    chi = stats.chi(df, scale=1 / np.sqrt(df))
    mean_of_inverse = chi.expect(lambda s: 1 / s)
    assert hedges_correction(np.array(df)) * mean_of_inverse == pytest.approx(1, rel=1e-7)
