"""Functions over draws: the same as all at once, whatever the size of a part and the order of dims."""

import tracemalloc

import numpy as np
import pytest
import xarray as xr

from bayesdep.numerics import draws
from bayesdep.numerics.draws import chunks_of_draws, over_draws, stack_draws

RNG = np.random.default_rng(4)
POSTERIOR = xr.Dataset(
    {
        "mu": (("chain", "draw"), RNG.normal(size=(3, 70))),
        "theta": (("chain", "study", "draw"), RNG.normal(size=(3, 4, 70))),
    },
    {"chain": [2, 0, 1], "draw": range(100, 170), "study": list("abcd")},
)


def squared_distance(part):
    return ((part["theta"] - part["mu"]) ** 2).assign_attrs(units="sd")


@pytest.mark.parametrize("numbers", [1, 4, 4 * 7 + 3, 4 * 64, 10**6])
def test_parts_give_what_all_draws_at_once_give(numbers, monkeypatch):
    monkeypatch.setattr(draws, "NUMBERS_AT_ONCE", numbers)
    expected = squared_distance(POSTERIOR).transpose("chain", "draw", "study")
    xr.testing.assert_identical(over_draws(POSTERIOR, squared_distance, elements=4), expected)


def test_no_part_has_more_numbers_than_allowed_and_none_is_empty(monkeypatch):
    monkeypatch.setattr(draws, "NUMBERS_AT_ONCE", 50)
    sizes = [part.sizes["sample"] for part in chunks_of_draws(stack_draws(POSTERIOR), 4)]
    assert sizes == [12] * 17 + [6]
    sizes = [part.sizes["sample"] for part in chunks_of_draws(stack_draws(POSTERIOR), 51)]
    assert sizes == [1] * 210  # a draw is not divided


def test_chains_follow_one_another():
    flat = stack_draws(POSTERIOR)
    assert flat["theta"].dims == ("sample", "study")
    np.testing.assert_array_equal(flat["mu"].values[70:140], POSTERIOR["mu"].values[1])
    xr.testing.assert_identical(stack_draws(flat), flat)


def test_a_dataset_keeps_its_variables_coordinates_and_attributes(monkeypatch):
    monkeypatch.setattr(draws, "NUMBERS_AT_ONCE", 40)

    def both(part):
        distance = squared_distance(part).transpose("study", "sample")  # the order of dims does not matter
        return xr.Dataset({"distance": distance, "mu": part["mu"]}, attrs={"model": "none"})

    result = over_draws(POSTERIOR, both, elements=4)
    expected = squared_distance(POSTERIOR).transpose("chain", "draw", "study")
    assert result.attrs == {"model": "none"}
    xr.testing.assert_identical(result["distance"].rename(None), expected)
    xr.testing.assert_identical(result["mu"], POSTERIOR["mu"])


def test_stacked_draws_stay_stacked(monkeypatch):
    monkeypatch.setattr(draws, "NUMBERS_AT_ONCE", 40)
    some = stack_draws(POSTERIOR).isel(sample=[3, 80, 200])
    xr.testing.assert_identical(over_draws(some, lambda part: part["mu"] + 1, elements=20), some["mu"] + 1)


def test_parts_come_in_the_order_of_the_draws(monkeypatch):
    monkeypatch.setattr(draws, "NUMBERS_AT_ONCE", 9)
    rng = np.random.default_rng(0)  # a function may draw random numbers: the whole is reproducible

    def noise(part):
        return xr.DataArray(rng.normal(size=part.sizes["sample"]), dims="sample")

    whole = np.random.default_rng(0).normal(size=(3, 70))
    np.testing.assert_array_equal(over_draws(POSTERIOR, noise, elements=1).values, whole)


def test_results_are_written_where_they_stay(monkeypatch):
    """Not as parts and their concatenation: twice the memory of the largest array of a fit."""
    monkeypatch.setattr(draws, "NUMBERS_AT_ONCE", 40_000)
    posterior = xr.Dataset({"mu": (("chain", "draw"), RNG.normal(size=(2, 500)))})

    def wide(part):
        return part["mu"] * xr.DataArray(np.ones(1000), dims="unit")

    tracemalloc.start()
    found = over_draws(posterior, wide, elements=1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.shape == (2, 500, 1000)
    assert peak < 1.3 * found.nbytes
