"""Simultaneous bands for uniform values, beside every outcome counted and beside ArviZ's simulated ones."""

import itertools
from math import factorial, prod

import numpy as np
import pytest
from arviz_stats.ecdf_utils import ecdf_pit

from bayesdep.numerics.uniform_bands import band, exceeds, minimum_probability, points_of


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_probability_is_that_of_all_outcomes_counted(n):
    """Values fall into n intervals of length 1/n: all n^n ways, by their counts, are equally likely."""
    seen: dict[float, float] = {}
    for counts in itertools.product(range(n + 1), repeat=n):
        if sum(counts) == n:
            ways = factorial(n) / prod(map(factorial, counts))
            values = np.repeat((np.arange(n) + 0.5) / n, counts)
            minimum = minimum_probability(values)
            seen[minimum] = seen.get(minimum, 0.0) + ways / n**n
    for minimum in seen:
        expected = sum(p for other, p in seen.items() if other <= minimum * (1 + 1e-9))
        assert exceeds(n, minimum) == pytest.approx(expected, abs=1e-12)


def test_a_band_holds_the_whole_function_as_often_as_it_says():
    """20,000 samples of 60: a binomial standard error of 0.0015, four of which are allowed."""
    rng, n = np.random.default_rng(1), 60
    low, high = band(n, 0.95)
    z = points_of(n)
    shares = np.array([np.searchsorted(np.sort(u), z, side="right") / n for u in rng.random((20_000, n))])
    inside = ((shares >= low - 1e-9) & (shares <= high + 1e-9)).all(axis=1).mean()
    assert 0.95 - 0.006 <= inside <= 0.97


def test_the_band_is_that_of_arviz():
    """ArviZ simulates the level of its pointwise bands, so that ends may differ by one value."""
    n = 50
    low, high = band(n, 0.95)
    *_, lower, upper = ecdf_pit(np.random.default_rng(1).random(n), 0.95, 5000)
    assert np.abs(lower[1:-1] - low).max() * n <= 1 + 1e-9
    assert np.abs(upper[1:-1] - high).max() * n <= 1 + 1e-9


def test_values_are_outside_exactly_where_their_p_value_is_below():
    rng, n = np.random.default_rng(2), 40
    low, high = band(n, 0.9)
    z, found = points_of(n), []
    for _ in range(500):
        u = np.sort(rng.beta(1.3, 1, n))
        share = np.searchsorted(u, z, side="right") / n
        outside = bool(((share < low - 1e-9) | (share > high + 1e-9)).any())
        found.append((outside, exceeds(n, minimum_probability(u)) <= 0.1))
    assert {a == b for a, b in found} == {True}
    assert 0.1 < np.mean([a for a, _ in found]) < 0.9
