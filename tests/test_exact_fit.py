"""Values that the model's mean explains exactly: their residual standard deviation has no posterior."""

import numpy as np
import pytest

from bayesdep.numerics.exact_fit import is_explained_exactly

RNG = np.random.default_rng(8)
MEMBER, TIME = np.repeat(np.arange(6), 4), np.tile([0.0, 1.0, 2.0, 5.0], 6)
OWN = np.column_stack([np.ones(24), TIME])
COURSE = np.eye(4)[np.tile(np.arange(4), 6)]
LINES = (OWN * RNG.normal(size=(6, 2))[MEMBER]).sum(axis=1) + COURSE @ RNG.normal(size=4)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("origin", [0.0, 1e3])
def test_lines_of_patients_around_a_course_are_found_in_any_unit(size, origin):
    y = size * (LINES + origin)
    assert is_explained_exactly(y, COURSE, MEMBER, OWN)
    assert not is_explained_exactly(y + size * 1e-4 * RNG.normal(size=24), COURSE, MEMBER, OWN)


def test_groups_may_stand_in_any_order():
    order = RNG.permutation(24)
    assert is_explained_exactly(LINES[order], COURSE[order], MEMBER[order], OWN[order])
    assert not is_explained_exactly(LINES[order], COURSE, MEMBER, OWN)


def test_as_many_coefficients_as_values_prove_nothing():
    rows = TIME < 2  # two values of each patient, who has a line
    assert not is_explained_exactly(RNG.normal(size=rows.sum()), COURSE[rows, :2], MEMBER[rows], OWN[rows])
    assert not is_explained_exactly(np.array([]), np.empty((0, 0)))


def test_without_groups_it_is_least_squares():
    assert is_explained_exactly(COURSE @ np.arange(4.0), COURSE)
    assert not is_explained_exactly(LINES, COURSE)
