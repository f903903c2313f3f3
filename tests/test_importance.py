"""Importance weights: their direction, their tail, and what they estimate, against closed forms."""

import numpy as np
import pytest
from scipy import stats

from bayesdep.numerics.importance import GOOD_K, smooth_weights


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9, 1.2])
def test_the_shape_of_a_pareto_tail_is_found(shape):
    """Mean over 40 samples; the estimator's prior, worth 10 of the 189 draws of the tail, pulls it to 0.5."""
    found = [smooth_weights(np.log(np.random.default_rng(seed).pareto(1 / shape, 4000) + 1))[1] for seed in range(40)]
    expected = (189 * shape + 10 * 0.5) / 199
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / np.sqrt(40) + 0.02)


def test_a_heavy_tail_counts_where_weights_are_large_and_not_where_they_are_small():
    logs = np.log(np.random.default_rng(1).pareto(1.0, 4000) + 1)
    weights, k = smooth_weights(logs)
    assert k > GOOD_K > 0 > smooth_weights(-logs)[1]
    assert (np.argsort(weights) == np.argsort(logs)).all()


def test_weighted_means_are_those_of_the_target():
    """From N(0, 1) to N(0.3, 0.8 sd): weights are bounded, and a mean over them has its usual error."""
    x = np.random.default_rng(2).normal(size=20_000)
    weights, k = smooth_weights(stats.norm.logpdf(x, 0.3, 0.8) - stats.norm.logpdf(x))
    assert weights.sum() == pytest.approx(1)
    assert k < GOOD_K
    for values, expected in ((x, 0.3), ((x - 0.3) ** 2, 0.64)):
        error = np.sqrt((weights**2 * (values - expected) ** 2).sum())
        assert abs(weights @ values - expected) < 4 * error < 0.05


@pytest.mark.parametrize(
    ("log_ratio", "k"),
    [
        (np.zeros(200), -np.inf),
        (np.where(np.arange(400) % 2, 0.0, -1.0), -np.inf),  # two values: the largest has no tail
        (np.linspace(0, 1, 20), np.inf),  # too few for a tail
        (np.array([*np.linspace(0, 1, 200), np.nan]), np.inf),
        (np.array([*np.linspace(0, 1, 200), np.inf]), np.inf),
        (np.full(200, -np.inf), np.inf),
    ],
)
def test_what_has_no_tail_says_so(log_ratio, k):
    weights, found = smooth_weights(log_ratio)
    assert found == k
    assert weights.sum() == pytest.approx(1)
