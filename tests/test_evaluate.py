"""Evaluating a graph at many draws at once: equal to one at a time, and random where it should be."""

import numpy as np
import pymc as pm
import pytest
from scipy import special, stats

from bayesdep.inference import evaluate
from bayesdep.inference.evaluate import at_draws, from_prior, log_density, value_of

DRAWS = 4000


@pytest.fixture
def model():
    with pm.Model(coords={"study": range(3), "arm": range(2)}) as model:
        mu = pm.Normal("mu", 0, 1)
        tau = pm.HalfNormal("tau", 1)
        n = pm.Data("n", np.array([[5, 8], [20, 30], [7, 400]]), dims=("study", "arm"))
        theta = pm.Normal("theta", mu, tau, dims="study")
        log_odds = pm.Deterministic("log_odds", theta[:, None] * np.array([-0.5, 0.5]) + mu, dims=("study", "arm"))
        pm.Deterministic("total", pm.math.exp(theta).sum())
        pm.Binomial("events", n=n, logit_p=log_odds, observed=np.array([[1, 2], [3, 4], [5, 6]]), dims=("study", "arm"))
        pm.Normal("new", mu, tau)
    return model


@pytest.fixture
def given(model):
    rng = np.random.default_rng(5)
    mu, tau = rng.normal(size=DRAWS), np.abs(rng.normal(size=DRAWS)) + 0.1
    theta = rng.normal(mu[:, None], tau[:, None], size=(DRAWS, 3))
    return {model["mu"]: mu, model["tau"]: tau, model["theta"]: theta}


def test_deterministic_outputs_equal_a_loop_over_draws(model, given):
    log_odds, total = at_draws([model["log_odds"], model["total"]], given)
    assert log_odds.shape == (DRAWS, 3, 2)
    for i in (0, 1, 17, DRAWS - 1):
        mu, _, theta = (values[i] for values in given.values())
        # the same few operations in double precision
        np.testing.assert_allclose(log_odds[i], theta[:, None] * np.array([-0.5, 0.5]) + mu, rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(total[i], np.exp(theta).sum(), rtol=1e-14)


def test_chunks_change_no_deterministic_output(model, given, monkeypatch):
    outputs = [model["log_odds"], model["total"]]
    whole = at_draws(outputs, given)
    monkeypatch.setattr(evaluate, "_ELEMENTS_AT_ONCE", 6 * 700)  # 700 draws at once: the last chunk is smaller
    for a, b in zip(whole, at_draws(outputs, given, elements=6), strict=True):
        np.testing.assert_array_equal(a, b)


def test_chunks_draw_afresh_and_from_the_same_distribution(model, given, monkeypatch):
    monkeypatch.setattr(evaluate, "_ELEMENTS_AT_ONCE", 1000)
    (new,) = at_draws([model["new"]], given, seed=1)
    z = (new - given[model["mu"]]) / given[model["tau"]]
    assert stats.kstest(z, "norm").pvalue > 1e-3
    assert len(np.unique(z.round(12))) == DRAWS  # a generator restarted in every chunk would repeat itself


def test_random_outputs_follow_their_distribution_given_the_draws(model, given):
    (new,) = at_draws([model["new"]], given, seed=1)
    assert stats.kstest((new - given[model["mu"]]) / given[model["tau"]], "norm").pvalue > 1e-3


def test_binomial_with_fixed_n_and_drawn_p_is_drawn_once_per_draw_and_cell(model, given):
    log_odds, events = at_draws([model["log_odds"], model["events"]], given, seed=2)
    n = np.array([[5, 8], [20, 30], [7, 400]])
    assert events.shape == (DRAWS, 3, 2)
    assert (events <= n).all()
    # Randomised probability integral transform: uniform when every draw has its own p
    rng = np.random.default_rng(0)
    p = special.expit(log_odds)
    below, at = stats.binom.cdf(events - 1, n, p), stats.binom.pmf(events, n, p)
    pit = below + rng.uniform(size=at.shape) * at
    for cell in np.ndindex(3, 2):
        assert stats.kstest(pit[(slice(None), *cell)], "uniform").pvalue > 1e-4, cell
    # and independently: no correlation between cells beyond 4 standard errors
    correlation = np.corrcoef(pit.reshape(DRAWS, 6), rowvar=False)
    assert np.abs(correlation[np.triu_indices(6, 1)]).max() < 4 / np.sqrt(DRAWS)


def test_same_seed_same_values_other_seed_other_values(model, given):
    outputs = [model["new"], model["events"]]
    first, again, other = (at_draws(outputs, given, seed=seed) for seed in (3, 3, 4))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


def test_a_random_output_and_its_function_use_the_same_draw():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1)
        x = pm.Normal("x", mu, 1)
        pm.Deterministic("twice", 2 * x)
    x, twice = at_draws([model["x"], model["twice"]], {model["mu"]: np.zeros(50)}, seed=1)
    np.testing.assert_array_equal(twice, 2 * x)


def test_log_densities_equal_scipys(model, given):
    observed = log_density(model.observed_RVs, model.rvs_to_values, given)[0]
    (log_odds,) = at_draws([model["log_odds"]], given)
    n = np.array([[5, 8], [20, 30], [7, 400]])
    expected = stats.binom.logpmf([[1, 2], [3, 4], [5, 6]], n, special.expit(log_odds))
    # scipy takes p, PyMC its logit: p near 1 keeps 1 - p to 1e-16 / (1 - p), times n = 400
    np.testing.assert_allclose(observed, expected, rtol=1e-9, atol=1e-9)
    free = [model["mu"], model["tau"], model["theta"]]
    mu, tau, theta = log_density(free, {rv: rv for rv in free}, given)
    draws = list(given.values())
    np.testing.assert_allclose(mu, stats.norm.logpdf(draws[0]), rtol=1e-12)
    np.testing.assert_allclose(tau, stats.halfnorm.logpdf(draws[1]), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(theta, stats.norm.logpdf(draws[2], draws[0][:, None], draws[1][:, None]), rtol=1e-10)


def test_prior_draws_are_joint_and_seeded(model):
    mu, theta, log_odds = from_prior([model["mu"], model["theta"], model["log_odds"]], 1000, seed=9)
    # the deterministic rests on the very draws that are returned
    np.testing.assert_allclose(log_odds, theta[:, :, None] * np.array([-0.5, 0.5]) + mu[:, None, None], rtol=1e-12)
    assert stats.kstest(mu, "norm").pvalue > 1e-3
    np.testing.assert_array_equal(from_prior([model["mu"]], 1000, seed=9)[0].shape, (1000,))
    again = from_prior([model["mu"], model["theta"], model["log_odds"]], 1000, seed=9)
    np.testing.assert_array_equal(again[1], theta)


def test_value_of_data_is_the_data(model):
    np.testing.assert_array_equal(value_of(model["n"]), [[5, 8], [20, 30], [7, 400]])
    np.testing.assert_array_equal(value_of(model.rvs_to_values[model["events"]]), [[1, 2], [3, 4], [5, 6]])


def test_log_density_stays_finite_where_a_probability_rounds_to_0_or_1():
    """Binomial(3 of 5) at log odds a: log C(5, 3) + 3 log p + 2 log(1 - p), in log form at any a."""
    with pm.Model() as model:
        a = pm.Normal("a")
        y = pm.Binomial("y", n=5, logit_p=a, observed=3)
    at = np.array([-800.0, -50.0, 0.0, 50.0, 800.0])
    (ours,) = log_density([y], {y: np.array(3)}, {model["a"]: at})
    log_p, log_q = -np.logaddexp(0, -at), -np.logaddexp(0, at)
    np.testing.assert_allclose(ours, np.log(10) + 3 * log_p + 2 * log_q, rtol=1e-12)


def test_a_given_variable_that_depends_on_another_given_one_is_not_drawn_anew():
    """Beside a variable that is drawn: what is rebuilt for it must not lose sight of what is given."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1)
        first = pm.Normal("first", mu, 1, shape=3)
        second = pm.Normal("second", first + mu, 1, shape=3)
        pm.Deterministic("sum", first + second)
        pm.Normal("new", 0 * mu + np.zeros(2), 1.0, shape=2)
    given = {model["mu"]: np.zeros(4), model["first"]: np.ones((4, 3)), model["second"]: np.full((4, 3), 5.0)}
    total, _ = at_draws([model["sum"], model["new"]], given, seed=1)
    np.testing.assert_array_equal(total, np.full((4, 3), 6.0))


def test_variables_that_cannot_be_vectorised_are_drawn_once_per_draw():
    """A mixture takes its own generator along; each draw has its own parameters and its own numbers."""
    with pm.Model(coords={"patient": range(5)}) as model:
        share, rate = pm.Beta("share", 1, 1), pm.HalfNormal("rate", 4)
        pm.ZeroInflatedPoisson("y", share, rate, observed=np.zeros(5, dtype=int), dims="patient")
    rng = np.random.default_rng(2)
    p, mu = rng.uniform(size=1500), rng.uniform(0.5, 6, size=1500)
    given = {model["share"]: p, model["rate"]: mu}
    (y,) = at_draws([model["y"]], given, seed=3)
    assert y.shape == (1500, 5)
    below, at = ((1 - p) * (k >= 0) + p * stats.poisson.cdf(k, mu) for k in (y.T - 1, y.T))
    pit = below + rng.uniform(size=at.shape) * (at - below)  # uniform when every draw has its own parameters
    for patient in range(5):
        assert stats.kstest(pit[patient], "uniform").pvalue > 1e-4
    correlation = np.corrcoef(pit)
    assert np.abs(correlation[~np.eye(5, dtype=bool)]).max() < 4 / np.sqrt(1500)
    np.testing.assert_array_equal(y, at_draws([model["y"]], given, seed=3)[0])
