"""Effects that share people: the exact engine with a sampling covariance, against dense normal densities by scipy."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.normal_normal import NormalNormal

MU, TAU, SLOPE = Prior("Normal", mu=0.2, sigma=1.3), Prior("HalfNormal", sigma=0.5), Prior("Normal", mu=0, sigma=0.7)
CLUSTER = np.array([0, 0, 1, 2, 2, 2])


def problem(*, within_clusters=False):
    """Six effects, a covariate, and a covariance that links some of them: made up, with one seed."""
    rng = np.random.default_rng(5)
    y, se, x = rng.normal(0.4, 0.7, 6), rng.uniform(0.2, 0.6, 6), rng.normal(size=(6, 1))
    same = CLUSTER[:, None] == CLUSTER if within_clusters else np.ones((6, 6), bool)
    if not within_clusters:
        same[3], same[:, 3] = False, False  # one study shares with none
    correlation = np.where(same, 0.45, 0.0) + np.diag(1 - np.where(np.diag(same), 0.45, 0.0))
    correlation[0, 1] = correlation[1, 0] = 0.7
    return y, se, x, correlation * se[:, None] * se


def dense(y, v, x, tau, between=0.0, cluster=None):
    """Mean and covariance of (coefficients, effects theta, observed y) given the spreads, written out."""
    k = len(y)
    columns = np.hstack([np.ones((k, 1)), x])
    prior_mean = np.array([MU["mu"], *[SLOPE["mu"]] * x.shape[1]])
    prior = np.diag([MU["sigma"] ** 2, *[SLOPE["sigma"] ** 2] * x.shape[1]])
    theta = columns @ prior @ columns.T + tau**2 * np.eye(k)
    if cluster is not None:
        theta = theta + between**2 * (cluster[:, None] == cluster)
    with_y = np.block([[prior, prior @ columns.T], [columns @ prior, theta]])  # (b, theta)
    to_y = np.vstack([prior @ columns.T, theta])  # covariance of (b, theta) with y
    mean = np.concatenate([prior_mean, columns @ prior_mean])
    gain = to_y @ np.linalg.inv(theta + v)
    found = mean + gain @ (y - columns @ prior_mean)
    log_density = stats.multivariate_normal.logpdf(y, columns @ prior_mean, theta + v, allow_singular=True)
    return found, with_y - gain @ to_y.T, log_density


def test_quadrature_equals_integrals_over_dense_normals():
    y, se, x, v = problem()
    engine = NormalNormal(y, se, MU, TAU, x, SLOPE, covariance=v)
    prior = TAU.scipy
    edges = [0, 0.1, 0.4, 1.0, 4.0]

    def expect(of):
        def height(tau):
            mean, covariance, log_density = dense(y, v, x, tau)
            return of(mean, covariance) * math.exp(log_density + prior.logpdf(tau))

        parts = itertools.pairwise(edges)
        return sum(integrate.quad(height, a, b, epsabs=0, epsrel=1e-11)[0] for a, b in parts)

    total = expect(lambda *_: 1.0)
    assert engine.log_marginal == pytest.approx(math.log(total), abs=1e-9)
    distributions = [engine.mu, *engine.slope, *engine.theta]
    for i, ours in enumerate(distributions):
        mean = expect(lambda m, _, i=i: m[i]) / total
        second = expect(lambda m, c, i=i: m[i] ** 2 + c[i, i]) / total
        assert ours.mean == pytest.approx(mean, abs=1e-9)
        assert ours.sd == pytest.approx(math.sqrt(second - mean**2), rel=1e-8)


@pytest.mark.parametrize(("tau", "between"), [(0.3, 0.4), (0.01, 1.0), (0.8, 1e-6)])
def test_clusters_with_correlated_errors_are_dense_normals_given_the_spreads(tau, between):
    y, se, x, v = problem(within_clusters=True)
    engine = NormalNormal(y, se, MU, TAU, x, SLOPE, CLUSTER, TAU, covariance=v)
    given = engine.coefficients_given(np.array([tau]), np.array([between]))
    mean, covariance, log_density = dense(y, v, x, tau, between, CLUSTER)
    np.testing.assert_allclose(given.mean[0, 0], mean[:2], rtol=0, atol=1e-10)
    np.testing.assert_allclose(given.covariance[0, 0], covariance[:2, :2], rtol=0, atol=1e-10)
    assert given.log_density[0, 0] == pytest.approx(log_density, abs=1e-9)


def test_own_effects_with_clusters_are_dense_normals_over_the_same_nodes():
    """Weights of the spreads from the engine; everything given them from the dense normals."""
    y, se, x, v = problem(within_clusters=True)
    for kept in (np.ones(6, bool), np.array([1, 0, 1, 1, 1, 0], bool), CLUSTER != 2):
        engine = NormalNormal(y, se, MU, TAU, x, SLOPE, CLUSTER, TAU, kept[None], v)
        weights, tau, between = engine.nodes.weights, engine.nodes.tau, engine.nodes.tau_cluster
        nodes = np.argsort(weights[0])[-40:]
        far = np.where(kept, 0.0, 1e9)  # an effect measured with no precision is left out
        for k in range(6):
            ours = engine.theta[k]
            for node in nodes[::13]:
                mean, covariance, _ = dense(
                    y, np.where(kept[:, None] & kept, v, 0) + np.diag(far), x, tau[node], between[node], CLUSTER
                )
                assert ours.means[node] == pytest.approx(mean[2 + k], abs=1e-7)
                assert ours.sds[node] == pytest.approx(math.sqrt(covariance[2 + k, 2 + k]), abs=1e-7)


def test_every_subset_has_the_posterior_of_its_own_rows():
    y, se, x, v = problem()
    kept = np.array([[1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1], [1, 0, 1, 0, 1, 0]]) > 0
    many = NormalNormal(y, se, MU, TAU, x, SLOPE, kept=kept, covariance=v)
    for i, rows in enumerate(kept):
        one = NormalNormal(y[rows], se[rows], MU, TAU, x[rows], SLOPE, covariance=v[np.ix_(rows, rows)])
        assert many.log_marginals[i] == pytest.approx(one.log_marginal, abs=1e-9)
        assert many.mus[i].mean == pytest.approx(one.mu.mean, abs=1e-9)
        assert many.mus[i].sd == pytest.approx(one.mu.sd, rel=1e-8)


def test_predictions_are_ratios_of_marginal_likelihoods():
    """p(y_k | the others), the sampling errors that k shares with them included."""
    y, se, x, v = problem()
    without = NormalNormal(y, se, MU, TAU, x, SLOPE, kept=~np.eye(6, dtype=bool), covariance=v)
    whole = NormalNormal(y, se, MU, TAU, x, SLOPE, covariance=v).log_marginal
    density = np.log(without.predictions.density(y[:, None])[:, 0])
    np.testing.assert_allclose(density, whole - without.log_marginals, rtol=0, atol=1e-8)


def test_weights_are_the_slopes_of_the_posterior_mean():
    y, se, x, v = problem()
    engine = NormalNormal(y, se, MU, None, x, SLOPE, covariance=v)
    step = 1e-4
    for k in range(6):
        moved = [NormalNormal(y + s * step * np.eye(6)[k], se, MU, None, x, SLOPE, covariance=v) for s in (1, -1)]
        slope = (moved[0].mu.mean - moved[1].mu.mean) / (2 * step)
        assert engine.pulls[k] == pytest.approx(slope, abs=1e-9)


def test_the_same_effect_written_twice_is_one_effect():
    """Errors correlated by nearly one, no spread: a copy adds nothing; as two studies it would narrow by root two."""
    y, se = np.array([0.5, 0.5]), np.array([0.2, 0.2])
    v = 0.04 * np.array([[1, 1 - 1e-9], [1 - 1e-9, 1]])
    twice = NormalNormal(y, se, MU, None, covariance=v)
    once = NormalNormal(y[:1], se[:1], MU, None)
    assert twice.mu.mean == pytest.approx(once.mu.mean, abs=1e-6)
    assert twice.mu.sd == pytest.approx(once.mu.sd, rel=1e-6)


def test_a_diagonal_covariance_is_none():
    y, se, x, _ = problem()
    plain = NormalNormal(y, se, MU, TAU, x, SLOPE)
    diagonal = NormalNormal(y, se, MU, TAU, x, SLOPE, covariance=np.diag(se**2))
    assert diagonal.log_marginal == plain.log_marginal


@pytest.mark.parametrize("power", [10, 20])
def test_the_engine_is_the_same_in_any_unit(power):
    """Times 2^10 and 2^20 exactly, priors too: means and sds scale, and the density by the Jacobian, to 1e-10."""
    y, se, x, v = problem(within_clusters=True)
    unit = 2.0**power

    def engine(u):
        priors = [
            Prior("Normal", mu=u * MU["mu"], sigma=u * MU["sigma"]),
            Prior("HalfNormal", sigma=u * TAU["sigma"]),
            Prior("Normal", mu=0, sigma=u * SLOPE["sigma"]),
        ]
        return NormalNormal(u * y, u * se, *priors[:2], x, priors[2], CLUSTER, priors[1], covariance=u**2 * v)

    one, other = engine(1.0), engine(unit)
    assert other.log_marginal == pytest.approx(one.log_marginal - 6 * math.log(unit), abs=1e-10)
    for name in ("mu", "tau", "tau_cluster", "theta_new"):
        a, b = getattr(one, name), getattr(other, name)
        assert b.mean / unit == pytest.approx(a.mean, rel=1e-10)
        assert b.sd / unit == pytest.approx(a.sd, rel=1e-10)


def test_joint_draws_with_clusters_and_shared_people_follow_their_marginals():
    y, se, x, v = problem(within_clusters=True)
    engine = NormalNormal(y, se, MU, TAU, x, SLOPE, CLUSTER, TAU, covariance=v)
    n = 40_000
    drawn = engine.draw(n, np.random.default_rng(3))
    for name in ("mu", "tau", "tau_cluster"):
        marginal = getattr(engine, name)
        # four standard errors of independent draws
        assert drawn[name].mean() == pytest.approx(marginal.mean, abs=4 * marginal.sd / math.sqrt(n))
