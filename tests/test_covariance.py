"""Densities of correlated visits with gaps against dense multivariate normals, and draws against their moments."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

from bayesdep.inference.evaluate import uncompiled
from bayesdep.numerics import covariance

VISITS = 5


def random_trial(seed, patients=12, visits=VISITS):
    """Random outcomes, means, sds and days, with gaps, monotone dropout, and one patient never seen."""
    rng = np.random.default_rng(seed)
    seen = rng.random((patients, visits)) < 0.7
    seen[0], seen[1], seen[2] = False, True, np.arange(visits) < 2
    days = np.cumsum(rng.uniform(0.3, 2.5, (patients, visits)), axis=1)
    return {
        "y": np.where(seen, rng.normal(0, 2, (patients, visits)), 0.0),
        "mean": rng.normal(0, 1, (patients, visits)),
        "sd": rng.uniform(0.5, 2, visits),
        "seen": seen,
        "days": days,
    }


def dense(trial, correlation):
    """Each patient's log density by scipy, on the visits observed; ``correlation`` is a matrix, or one per patient."""
    found = []
    for i, seen in enumerate(trial["seen"]):
        if not seen.any():
            found.append(0.0)
            continue
        matrix = correlation[i] if np.ndim(correlation) == 3 else correlation
        whole = matrix * np.outer(trial["sd"], trial["sd"])
        part = whole[np.ix_(seen, seen)]
        found.append(stats.multivariate_normal(trial["mean"][i, seen], part).logpdf(trial["y"][i, seen]))
    return np.array(found)


def evaluated(rv, value):
    return pytensor.function([], pm.logp(rv, pt.as_tensor(value)), mode=uncompiled())()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rho", [0.05, 0.6, 0.97])
def test_serial_visits_are_a_dense_normal_whatever_the_gaps(seed, rho):
    trial = random_trial(seed)
    place = np.where(trial["seen"], np.arange(VISITS), -1)
    previous = np.hstack([np.full((len(place), 1), -1), np.maximum.accumulate(place, axis=1)[:, :-1]]).astype(float)
    matrices = np.stack([rho ** np.abs(np.subtract.outer(d, d)) for d in trial["days"]])
    rv = covariance.Serial.dist(
        trial["mean"], trial["sd"], rho, trial["seen"].astype(float), previous, trial["days"]
    )  # fmt: skip
    np.testing.assert_allclose(evaluated(rv, trial["y"]), dense(trial, matrices), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rho", [0.0, 0.4, 0.95])
def test_exchangeable_visits_are_a_dense_normal_whatever_the_gaps(seed, rho):
    trial = random_trial(seed)
    matrix = np.full((VISITS, VISITS), rho) + (1 - rho) * np.eye(VISITS)
    rv = covariance.Exchangeable.dist(trial["mean"], trial["sd"], rho, trial["seen"].astype(float))
    np.testing.assert_allclose(evaluated(rv, trial["y"]), dense(trial, matrix), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gaps", [True, False])
def test_regression_on_the_past_is_a_dense_normal_whatever_the_gaps(seed, gaps):
    """With gaps, roots are those of matrices with the identity's rows for missed visits; a missed end needs none."""
    trial = random_trial(seed)
    matrix = stats.random_correlation.rvs(np.array([0.2, 0.4, 0.9, 1.5, 2.0]), random_state=seed)
    whole = np.linalg.cholesky(matrix)
    if gaps:
        kept = trial["seen"].astype(float)
        each = matrix * kept[:, :, None] * kept[:, None, :] + np.eye(VISITS) * (1 - kept)[:, :, None]
        given = pt.specify_shape(pt.as_tensor(each), (None, VISITS, VISITS))
        root = covariance.cholesky(given, VISITS)
    else:
        last = np.random.default_rng(seed).integers(0, VISITS + 1, len(trial["seen"]))
        trial["seen"] = np.arange(VISITS) < last[:, None]
        root = whole
    seen = trial["seen"].astype(float)
    rv = covariance.RegressionOnThePast.dist(trial["mean"], trial["sd"], whole, root, seen)
    np.testing.assert_allclose(evaluated(rv, trial["y"]), dense(trial, matrix), rtol=1e-8, atol=1e-8)


def test_partial_correlations_make_a_correlation_matrix_with_an_lkj_density():
    """Drawn as the model draws them, correlations have LKJ's margins: 2 Beta(eta - 1 + d / 2) - 1, everywhere."""
    rng = np.random.default_rng(5)
    d, eta = 4, 2.0
    rows, columns = np.tril_indices(d, -1)
    partial = pt.dmatrix()
    fixed = pt.specify_shape(partial, (d, d))
    f = pytensor.function([partial], covariance.vine_root(fixed), mode=uncompiled())
    found = []
    for _ in range(4000):
        shape = eta + (d - 2 - columns) / 2
        given = np.eye(d)
        given[rows, columns] = 2 * rng.beta(shape, shape) - 1
        root = f(given)
        assert np.allclose(root, np.tril(root))
        found.append(root @ root.T)
    matrices = np.array(found)
    np.testing.assert_allclose(matrices[:, range(d), range(d)], 1.0, atol=1e-12)
    margin = stats.beta(eta - 1 + d / 2, eta - 1 + d / 2)
    for j, k in zip(rows, columns, strict=True):
        assert stats.kstest((matrices[:, j, k] + 1) / 2, margin.cdf).pvalue > 1e-3, (j, k)


def test_partial_autocorrelations_are_recovered_from_the_correlations_they_make():
    """Regressing on the k - 1 visits between, by solving, gives back the partial autocorrelation at lag k."""
    given = np.array([0.7, -0.3, 0.5, 0.2])
    by_lag = pytensor.function([], covariance.toeplitz_correlations(pt.constant(given)), mode=uncompiled())()
    matrix = by_lag[np.abs(np.subtract.outer(np.arange(5), np.arange(5)))]
    for k in range(1, 5):
        coefficients = np.linalg.solve(matrix[:k, :k], by_lag[1 : k + 1])
        assert coefficients[-1] == pytest.approx(given[k - 1], abs=1e-12)
    root = pytensor.function([], covariance.cholesky(pt.constant(matrix), 5), mode=uncompiled())()
    np.testing.assert_allclose(root, np.linalg.cholesky(matrix), atol=1e-14)


def test_draws_of_every_visit_have_the_mean_and_the_covariance():
    mean, sd = np.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 0.5])
    many = np.tile(mean, (4000, 1))
    day, seen = np.array([0.0, 1.0, 3.0]), np.array([1.0, 0.0, 1.0])
    matrix = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.6], [0.2, 0.6, 1.0]])
    cases = [
        (
            covariance.Serial.dist(many, sd, 0.6, seen, np.array([-1.0, 0.0, 0.0]), day),
            0.6 ** np.abs(day[:, None] - day),
        ),
        (covariance.Exchangeable.dist(many, sd, 0.6, seen), 0.4 * np.eye(3) + 0.6),
        (covariance.RegressionOnThePast.dist(many, sd, *[np.linalg.cholesky(matrix)] * 2, seen), matrix),
    ]
    for rv, correlation in cases:
        draws = pytensor.function([], rv, mode=uncompiled())()
        np.testing.assert_allclose(draws.mean(axis=0), mean, atol=4 * 2 / np.sqrt(4000))
        expected = correlation * np.outer(sd, sd)
        np.testing.assert_allclose(np.cov(draws.T), expected, atol=6 * 4 / np.sqrt(4000))


def test_gradients_are_finite_where_a_sampler_may_stray():
    trial = random_trial(7)
    seen = trial["seen"].astype(float)
    place = np.where(trial["seen"], np.arange(VISITS), -1)
    previous = np.hstack([np.full((len(place), 1), -1), np.maximum.accumulate(place, axis=1)[:, :-1]]).astype(float)
    rho, scale = pt.dscalar(), pt.dscalar()
    sd = scale * pt.ones(VISITS)
    total = pt.sum(pm.logp(covariance.Serial.dist(trial["mean"], sd, rho, seen, previous, trial["days"]), trial["y"]))
    total += pt.sum(pm.logp(covariance.Exchangeable.dist(trial["mean"], sd, rho, seen), trial["y"]))
    f = pytensor.function([rho, scale], [total, *pytensor.grad(total, [rho, scale])], mode=uncompiled())
    for r in (1e-8, 0.5, 1 - 1e-8):
        for s in (1e-3, 1.0, 1e3):
            assert all(np.isfinite(x) for x in f(r, s)), (r, s)
