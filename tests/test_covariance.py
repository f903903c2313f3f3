"""Densities of correlated visits with gaps against dense multivariate normals, and draws against their moments."""

import numba
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.fg import FunctionGraph
from scipy import stats

from bayesdep.inference.evaluate import at_draws, uncompiled
from bayesdep.numerics import covariance, patterns
from bayesdep.numerics.patterns import DensityWithGaps, density_with_gaps, log_density_with_gaps

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


def random_groups(seed):
    """A random trial whose patients are of two groups, with a covariance each."""
    trial, eigenvalues = random_trial(seed, patients=40), np.array([0.2, 0.4, 0.9, 1.5, 2.0])
    matrices = [stats.random_correlation.rvs(eigenvalues, random_state=seed + k) for k in range(2)]
    group = np.random.default_rng(seed).integers(0, 2, 40)
    scaled = np.stack([matrix * np.outer(trial["sd"], trial["sd"]) for matrix in matrices])
    return trial, np.stack(matrices), group, scaled


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("is_scaled", [False, True])
def test_any_covariance_is_a_dense_normal_whatever_the_gaps(seed, is_scaled):
    trial, matrices, group, scaled = random_groups(seed)
    scale = np.random.default_rng(seed).uniform(0.5, 2, 40) if is_scaled else np.ones(1)
    rv = covariance.AnyCovariance.dist(trial["mean"], scaled, scale, *covariance.patterns_of(trial["seen"], group))
    expected = dense(trial, matrices[group] * np.broadcast_to(scale, 40)[:, None, None] ** 2)
    np.testing.assert_allclose(evaluated(rv, trial["y"]), expected.sum(), rtol=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_slopes_of_a_density_with_gaps_are_those_of_dense_normals(seed):
    """By complex steps of the density of each patient, to the last digits; compiled and with arrays."""
    trial, _, group, scaled = random_groups(seed)
    residual, given = trial["y"] - trial["mean"], covariance.patterns_of(trial["seen"], group)

    def density(e, s):
        total = 0.0
        for i, seen in enumerate(trial["seen"]):
            own, part = e[i, seen], s[group[i]][np.ix_(seen, seen)]
            # complex numbers have no sign, and determinants here are near positive numbers
            total = total - (own @ np.linalg.solve(part, own) + np.log(np.linalg.det(part))) / 2
            total = total - seen.sum() * np.log(2 * np.pi) / 2
        return total

    def slopes(of, at):
        found, step = np.zeros(at.shape), 1e-30j
        for place in np.ndindex(at.shape):
            moved = at.astype(complex)
            moved[place] += step
            found[place] = of(moved).imag / step.imag
        return found

    by_residual = slopes(lambda e: density(e, scaled), residual)
    by_covariance = slopes(lambda s: density(residual, s), scaled)
    compiled = numba.njit(density_with_gaps)(residual, scaled, *given)
    outputs = [[None], [None], [None]]
    DensityWithGaps().perform(None, (residual, scaled, *given), outputs)
    for found in (compiled, [value for (value,) in outputs]):
        np.testing.assert_allclose(found[0], [density(residual, scaled)], rtol=1e-10)
        np.testing.assert_allclose(found[1], by_residual, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(found[2], by_covariance, rtol=1e-10, atol=1e-10)


def test_a_density_with_gaps_of_many_draws_is_that_of_each():
    trial, _, group, scaled = random_groups(1)
    residual, covariances = pt.dmatrix(), pt.dtensor3()
    total = log_density_with_gaps(residual, covariances, *covariance.patterns_of(trial["seen"], group))
    f = pytensor.function([residual, covariances], total, mode=uncompiled())
    e = np.random.default_rng(1).normal(0, 1, (3, *trial["y"].shape))
    s = scaled * np.array([1.0, 2.0, 0.5])[:, None, None, None]
    both = at_draws([total], {residual: e, covariances: s})[0]
    np.testing.assert_allclose(both, [f(*one) for one in zip(e, s, strict=True)], rtol=1e-12)


def test_a_density_with_gaps_factors_a_pattern_once_and_its_graph_does_not_grow(monkeypatch):
    """Whatever the number of patients and patterns: one operation, and in it as many factors as patterns."""
    factors, nodes = [], []
    monkeypatch.setattr(patterns, "_invert", lambda *given, was=patterns._invert: factors.append(1) or was(*given))
    for patients, visits_seen in ((6, 2), (60, 2), (60, 6)):
        seen = np.arange(6) < np.random.default_rng(1).integers(1, visits_seen + 1, patients)[:, None]
        seen[np.arange(visits_seen)] = np.arange(6) < np.arange(1, visits_seen + 1)[:, None]
        given = covariance.patterns_of(seen, np.zeros(patients, dtype=int))
        factors.clear()
        density_with_gaps(np.ones(seen.shape), np.eye(6)[None], *given)
        assert len(factors) == len(given[1]) == visits_seen
        rv = covariance.AnyCovariance.dist(np.zeros(seen.shape), np.eye(6)[None], np.ones(1), *given)
        graph = FunctionGraph(outputs=[pm.logp(rv, pt.dmatrix())], clone=False)
        nodes.append(len(graph.apply_nodes))
        assert sum(isinstance(node.op, DensityWithGaps) for node in graph.apply_nodes) == 1
    assert len(set(nodes)) == 1


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
        (
            covariance.AnyCovariance.dist(
                many,
                (matrix * np.outer(sd, sd))[None],
                np.ones(1),
                *covariance.patterns_of(np.tile(seen == 1, (len(many), 1)), np.zeros(len(many), dtype=int)),
            ),
            matrix,
        ),
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
