"""Data drawn from trajectories have the distribution that the likelihood gives them, written out as one normal."""

import numpy as np
import pytest
from common import draws_of
from scipy import stats
from test_trajectories import dense, model_of, visits_and_markers

import bayesdep as bd
from bayesdep.models.trajectories.replicates import replicate

MANY = 400
LEVEL = 0.001  # over the number of tests of a model


def drawn_from(model: bd.Trajectories, data, seed: int = 3):
    _, posterior = draws_of(model.build(data), count=1, seed=seed)
    return posterior.isel(chain=0, draw=0)


@pytest.mark.parametrize("name", ["value", "area and baseline", "serial", "subgroups", "separate"])
def test_drawn_outcomes_and_markers_have_the_mean_and_covariance_of_the_dense_normal(name):
    """On the scale on which that normal is standard: means, variances and products of all pairs, by chi-squared."""
    model = model_of(name)
    data = model.prepare(visits_and_markers())
    draw, rng = drawn_from(model, data), np.random.default_rng(1)
    made = [replicate(model, data, draw, rng) for _ in range(MANY)]
    seen = ~np.isnan(data["outcome"].values)
    measured = data["detection"].values >= 0
    assert all((np.isnan(one["outcome"].values) == ~seen).all() for one in made)
    tails = []
    for i, at in enumerate(seen):
        _, centre, total = dense(model, data, draw, i)
        values = np.array(
            [np.concatenate([x["outcome"].values[i][at], x["upper"].values[i][measured[i]]]) for x in made]
        )
        z = np.linalg.solve(np.linalg.cholesky(total), (values - centre).T).T
        products = (z.T @ z)[np.tril_indices(z.shape[1], -1)] / np.sqrt(MANY)
        tails += [
            stats.chi2.sf(MANY * (z.mean(axis=0) ** 2).sum(), z.shape[1]),
            *(f((z**2).sum(), z.size) for f in (stats.chi2.cdf, stats.chi2.sf)),
            stats.chi2.sf((products**2).sum(), len(products)),
        ]
    assert min(tails) > LEVEL / len(tails)


def test_a_drawn_marker_beyond_its_limit_is_known_only_to_lie_there():
    model = model_of("value")
    data = model.prepare(visits_and_markers(limit=1.5))
    free = data.assign(lod=data["lod"] * 0 - np.inf, uloq=data["uloq"] * 0 + np.inf)
    draw = drawn_from(model, data)
    made, all_seen = (replicate(model, x, draw, np.random.default_rng(2)) for x in (data, free))
    measured, logs = data["detection"].values >= 0, all_seen["upper"].values
    below = measured & (logs < data["lod"].values)
    assert 0 < below.sum() < measured.sum()
    np.testing.assert_array_equal(made["detection"].values == 1, below)
    assert (made["lower"].values[below] == -np.inf).all()
    np.testing.assert_array_equal(made["upper"].values[below], np.broadcast_to(data["lod"].values, logs.shape)[below])
    for end in ("lower", "upper"):
        np.testing.assert_array_equal(made[end].values[measured & ~below], logs[measured & ~below])
    np.testing.assert_array_equal(made["outcome"].values, all_seen["outcome"].values)
