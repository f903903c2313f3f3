"""Trajectories beside one normal of a patient's outcomes and markers, written out in full by each test file."""

import numpy as np
from common import draws_of
from scipy import stats

from bayesdep.models.trajectories.replicates import replicate
from bayesdep.numerics.draws import stack_draws

MANY = 200


def assert_missed_visits_are_normal(model, data, graph, joint):
    """What is filled in has the mean and variance of the dense normal given what was seen.

    ``joint(model, data, draw, patient, visits)`` returns values, means and covariance.
    """
    _, posterior = draws_of(graph, count=1, seed=7)
    draws, draw = stack_draws(posterior), posterior.isel(chain=0, draw=0)
    own, outcome = model.expected(draws, data), data["outcome"].values
    mean, variance = model.completed(draws, data, own, own, np.zeros(outcome.shape, dtype=bool))
    for i in range(len(outcome)):
        value, centre, total = joint(model, data, draw, i, np.arange(outcome.shape[1]))
        gap = np.isnan(value)
        slopes = np.linalg.solve(total[np.ix_(~gap, ~gap)], total[np.ix_(~gap, gap)])
        filled = centre[gap] + (value - centre)[~gap] @ slopes
        np.testing.assert_allclose(mean[0, i][np.isnan(outcome[i])], filled, rtol=1e-8)
        left = np.diagonal(total)[gap] - (slopes * total[np.ix_(~gap, gap)]).sum(axis=0)
        np.testing.assert_allclose(variance[0, i][np.isnan(outcome[i])], left, rtol=1e-8)


def assert_drawn_data_are_normal(model, data, graph, joint, seen_of):
    """Sums of squares on the scale on which they are standard, of 200 draws, by chi-squared."""
    draw, rng = draws_of(graph, count=1, seed=8)[1].isel(chain=0, draw=0), np.random.default_rng(1)
    made = [replicate(model, data, draw, rng) for _ in range(MANY)]
    tails = []
    for i in range(data.sizes["subject"]):
        _, centre, total = joint(model, data, draw, i, seen_of(data, i))
        measured = data["detection"].values[i] >= 0
        values = np.array(
            [np.append(x["outcome"].values[i][seen_of(data, i)], x["upper"].values[i][measured]) for x in made]
        )
        z = np.linalg.solve(np.linalg.cholesky(total), (values - centre).T).T
        products = (z.T @ z)[np.tril_indices(z.shape[1], -1)] / np.sqrt(MANY)
        tails += [
            stats.chi2.sf(MANY * (z.mean(axis=0) ** 2).sum(), z.shape[1]),
            *(f((z**2).sum(), z.size) for f in (stats.chi2.cdf, stats.chi2.sf)),
            stats.chi2.sf((products**2).sum(), len(products)),
        ]
    assert min(tails) > 0.001 / len(tails)
