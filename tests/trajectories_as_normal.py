"""Trajectories beside one normal of a patient's outcomes and markers, written out in full by each test file."""

import numpy as np
import pytest
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


def assert_each_outcome_is_normal_given_earlier_ones_and_markers(model, data, posterior, joint):
    """Schur complements of the dense normal of a patient's outcomes and markers, which `joint` returns of a draw."""
    (one,) = model.observations(posterior, data).values()
    below, up_to = one.law.around(one.lower, one.upper)
    np.testing.assert_array_equal(below, up_to)
    for k in range(posterior.sizes["draw"]):
        draw, row = posterior.isel(chain=0, draw=k), 0
        for i in range(data.sizes["subject"]):
            value, mean, total = joint(draw, i)
            n = int((~np.isnan(data["outcome"].values[i])).sum())
            for j in range(n):
                known = [*range(j), *range(n, len(value))]
                weight = np.linalg.solve(total[np.ix_(known, known)], total[known, j])
                location = mean[j] + weight @ (value - mean)[known]
                sd = np.sqrt(total[j, j] - weight @ total[known, j])
                assert below[k, row] == pytest.approx(stats.norm.cdf(value[j], location, sd), abs=1e-9)
                later = stats.multivariate_normal.logpdf(value, mean, total)
                if known:
                    of_known = (value[known], mean[known], total[np.ix_(known, known)])
                    later -= stats.multivariate_normal.logpdf(*of_known)
                assert one.with_later[k, row] == pytest.approx(later, rel=1e-8, abs=1e-8)
                assert (one.labels["subject"][row], one.lower[row]) == (data["subject"].values[i], value[j])
                row += 1
        assert row == len(one.lower)


def assert_probabilities_are_ratios_of_scores(model, data, posterior, one):
    """Of what was seen so far to what was seen before, by the model's own scores without patients' later visits."""
    low, high = one.law.around(one.lower, one.upper)

    def score(last):
        kept = data.assign(outcome=data["outcome"].where(np.arange(data.sizes["visit"]) < last))
        scored = model.log_likelihood(posterior, kept).reindex(subject=data["subject"].values, fill_value=0.0)
        return scored.sel(subject=one.labels["subject"]).values[0]

    whole = score(data.sizes["visit"])
    assert len(one.lower) == np.isfinite(data["outcome"]).sum()
    for j, visit in enumerate(data["visit"].values):
        here = one.labels["visit"] == visit
        before, with_it = score(j)[:, here], score(j + 1)[:, here]
        np.testing.assert_allclose(np.log(high - low)[:, here], with_it - before, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(one.with_later[:, here], whole[:, here] - before, rtol=1e-8, atol=1e-9)
