"""Effects that share people or a cluster, inside the PyMC model: as dense normals, without a matrix for each draw."""

import functools
import tracemalloc

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy import stats

from bayesdep.inference.evaluate import at_draws
from bayesdep.models.meta.joint_effects import JointEffects
from bayesdep.models.meta.model import Meta
from bayesdep.numerics.dependent_effects import groups_of, independent_directions

SMD = {"measure": "standardised-difference", "cluster": "trial"}
MODELS = {
    "clusters": Meta(**SMD),
    "clusters, covariates": Meta(covariates="dose + year", **SMD),
    "clusters, shared errors": Meta(within_correlation=0.6, covariates="dose + year", **SMD),
}


def table(rows, trials, seed):
    """Effects of trials of different sizes: made up."""
    rng = np.random.default_rng(seed)
    trial = np.concatenate([np.arange(trials), rng.integers(trials, size=rows - trials)])
    effect, se = rng.normal(0.3, 0.5, rows), rng.uniform(0.1, 0.5, rows)
    columns = {"study": [f"s{i}" for i in range(rows)], "trial": trial, "effect": effect, "se": se}
    return pd.DataFrame(columns | {"dose": rng.normal(size=rows), "year": rng.integers(1990, 2020, rows)})


@functools.cache
def data_of(name, rows=12, seed=1):
    return MODELS[name].prepare(table(rows, max(rows // 3, 1), seed))


def parameters(name, n, seed):
    """Values of the parameters at n points, far apart."""
    rng = np.random.default_rng(seed)
    found = {"mu": rng.normal(size=n), "tau": rng.lognormal(-1, 1, n), "tau_cluster": rng.lognormal(-1, 1, n)}
    return found | ({"slope": rng.normal(size=(n, 2))} if MODELS[name].covariates else {})


def dense(data, mu, tau, tau_cluster, slope=None):
    """Means of the effects, their covariance and that of their sampling errors, written out."""
    mean = np.full(data.sizes["study"], mu) + (0.0 if slope is None else data["covariates"].values @ slope)
    errors = data["covariance"].values if "covariance" in data else np.diag(data["se"].values ** 2)
    member = data["cluster_of"].values[:, None] == np.arange(data.sizes["cluster"])
    return mean, tau**2 * np.eye(len(mean)), tau_cluster**2 * np.eye(member.shape[1]), member.astype(float), errors


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", MODELS)
def test_the_density_of_many_draws_is_that_of_a_dense_normal(name, seed):
    data = data_of(name, seed=seed)
    model = MODELS[name].build(data)
    values = parameters(name, 7, seed)
    effect = model["effect"]
    given = {model[word]: x for word, x in values.items()}
    found = at_draws([pm.logp(effect, model.rvs_to_values[effect])], given)[0]
    for i in range(7):
        mean, own, between, member, errors = dense(data, **{word: x[i] for word, x in values.items()})
        expected = stats.multivariate_normal.logpdf(
            data["effect"].values, mean, own + member @ between @ member.T + errors
        )
        assert found[i] == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("name", ["clusters", "clusters, shared errors"])
def test_true_effects_are_drawn_from_their_conditional_normal(name):
    """Means and covariances of 40,000 draws at one point, in Monte Carlo errors."""
    data, n = data_of(name, rows=6), 40_000
    model = MODELS[name].build(data)
    values = {word: np.repeat(x, n, axis=0) for word, x in parameters(name, 1, 3).items()}
    drawn = at_draws([model["deviation"], model["theta"]], {model[word]: x for word, x in values.items()}, seed=1)
    mean, own, between, member, errors = dense(data, **{word: x[0] for word, x in values.items()})
    prior = np.block([[between, between @ member.T], [member @ between, own + member @ between @ member.T]])
    gain = prior[:, len(between) :] @ np.linalg.inv(prior[len(between) :, len(between) :] + errors)
    expected = np.concatenate([np.zeros(len(between)), mean]) + gain @ (data["effect"].values - mean)
    covariance = prior - gain @ prior[len(between) :]
    found = np.concatenate(drawn, axis=1)
    sd = np.sqrt(np.diag(covariance))
    assert np.abs((found.mean(axis=0) - expected) / sd).max() < 4.5 / np.sqrt(n)
    # a product of two standard normals with correlation r has variance 1 + r^2
    correlation = covariance / np.outer(sd, sd)
    apart = np.cov(found.T) / np.outer(sd, sd) - correlation
    assert (np.abs(apart) / np.sqrt(1 + correlation**2)).max() < 4.5 / np.sqrt(n)


@pytest.mark.parametrize("many", [True, False])
def test_replicates_are_errors_and_deviations_along_the_directions(many):
    """Drawn for many points at once, or with a matrix for each: the same numbers as written out, point by point."""
    rng = np.random.default_rng(2)
    cluster, se = np.array([0, 0, 1, 2, 2, 2]), rng.uniform(0.1, 0.4, 6)
    covariance = (0.4 * (cluster[:, None] == cluster) + 0.6 * np.eye(6)) * se * se[:, None]
    turn, variance = independent_directions(covariance, se, groups_of(covariance, cluster))
    shared = turn.T @ np.eye(3)[cluster]
    mean, sd, between = rng.normal(size=(5, 6)), np.sqrt(variance + rng.uniform(size=(5, 1))), rng.uniform(size=5)
    matrices = (turn[None], shared[None]) if many else (np.stack([turn] * 5), np.stack([shared] * 5))
    found = JointEffects.rv_op.rng_fn(np.random.default_rng(7), mean, sd, matrices[0], between, matrices[1])
    again = np.random.default_rng(7)
    deviations, errors = again.standard_normal((5, 3)), again.standard_normal((5, 6))
    for i in range(5):
        expected = mean[i] + turn @ (sd[i] * errors[i]) + between[i] * deviations[i][cluster]
        np.testing.assert_allclose(found[i], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_no_draw_has_a_matrix_of_its_own(name):
    """The conditional draws and the density of 1,000 draws of 150 rows stay below an array of draws by rows by rows."""
    rows, n = 150, 1000
    data = data_of(name, rows=rows)
    model = MODELS[name].build(data)
    given = {model[word]: x for word, x in parameters(name, n, 5).items()}
    effect = model["effect"]
    tracemalloc.start()
    try:
        at_draws([model["theta"], model["effect"], pm.logp(effect, model.rvs_to_values[effect])], given, seed=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * n * rows * rows / 4
