"""Censored regression of one analyte: least squares without censoring, scipy's own minimum with it."""

import numpy as np
import pytest
from scipy import optimize, stats

from bayesdep.numerics.tobit import censored_loss, tobit


def people(n=60, seed=3, sd=0.8):
    rng = np.random.default_rng(seed)
    group = np.arange(n) % 2
    design = np.column_stack([np.ones(n), group, rng.normal(size=n)])
    return design, design @ np.array([0.4, 0.6, -0.3]) + rng.normal(0, sd, n)


def censor(y, below=None, above=None, between=None):
    """Ends of intervals: open below one limit, open above the other, closed between two."""
    lower, upper = y.copy(), y.copy()
    if below is not None:
        lower[y < below], upper[y < below] = -np.inf, below
    if above is not None:
        lower[y > above], upper[y > above] = above, np.inf
    if between is not None:
        rows = (y >= between[0]) & (y < between[1])
        lower[rows], upper[rows] = between
    return lower, upper


FORMS = {
    "left": {"below": 0.3},
    "right": {"above": 0.9},
    "interval": {"between": (0.2, 1.0)},
    "all three": {"below": -0.2, "above": 1.3, "between": (-0.2, 0.5)},
    "mostly left": {"below": 1.2},
}


def minus_log_likelihood(parameters, lower, upper, design):
    beta, sd = parameters[:-1], np.exp(parameters[-1])
    law = stats.norm(design @ beta, sd)
    seen = lower == upper
    with np.errstate(divide="ignore"):  # a mass that rounds to zero
        mass = np.log(law.cdf(upper) - law.cdf(lower))
    mass = np.where(np.isinf(lower), law.logcdf(upper), np.where(np.isinf(upper), law.logsf(lower), mass))
    return -np.where(seen, law.logpdf(upper), mass).sum()


def hessian_of(f, at, step=1e-3):
    """Fourth-order central differences."""
    size = len(at)
    unit = np.eye(size) * step
    out = np.empty((size, size))
    weights = ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12))
    for i in range(size):
        for j in range(size):
            terms = [a * b * f(at + k * unit[i] + m * unit[j]) for k, a in weights for m, b in weights]
            out[i, j] = sum(terms) / step**2
    return out


def test_without_censoring_it_is_least_squares():
    design, y = people()
    found = tobit(y, y, design)
    beta, residual, _, _ = np.linalg.lstsq(design, y, rcond=None)
    sd = np.sqrt(residual[0] / len(y))  # maximum likelihood: over n, not over n - 3
    np.testing.assert_allclose(found.coefficients, beta, rtol=0, atol=1e-7)
    assert found.sd == pytest.approx(sd, rel=1e-7)
    np.testing.assert_allclose(found.errors, sd * np.sqrt(np.diag(np.linalg.inv(design.T @ design))), rtol=1e-5)
    assert found.log_sd_error == pytest.approx(1 / np.sqrt(2 * len(y)), rel=1e-5)
    assert found.log_likelihood == pytest.approx(stats.norm.logpdf(y, design @ beta, sd).sum(), rel=1e-10)
    assert found.converged


@pytest.mark.parametrize("form", FORMS)
def test_with_censoring_it_is_the_minimum_that_scipy_finds(form):
    design, y = people()
    lower, upper = censor(y, **FORMS[form])
    assert 0.15 < (lower != upper).mean() < 0.9
    found = tobit(lower, upper, design)
    assert found.converged

    def loss(x):
        return minus_log_likelihood(x, lower, upper, design)

    start = np.append(np.linalg.lstsq(design, y, rcond=None)[0], 0.0)
    options = {"xatol": 1e-10, "fatol": 1e-13, "maxiter": 20_000, "maxfev": 20_000, "adaptive": True}
    best = optimize.minimize(loss, start, method="Nelder-Mead", options=options)
    at = np.append(found.coefficients, np.log(found.sd))
    np.testing.assert_allclose(at, best.x, rtol=0, atol=2e-6)
    assert found.log_likelihood == pytest.approx(-best.fun, rel=1e-10)
    errors = np.sqrt(np.diag(np.linalg.inv(hessian_of(loss, at))))
    np.testing.assert_allclose(np.append(found.errors, found.log_sd_error), errors, rtol=1e-5)


def test_mirrored_values_have_mirrored_coefficients():
    design, y = people()
    lower, upper = censor(y, **FORMS["all three"])
    one, other = tobit(lower, upper, design), tobit(-upper, -lower, design)
    np.testing.assert_allclose(one.coefficients, -other.coefficients, atol=1e-6)
    np.testing.assert_allclose(one.errors, other.errors, rtol=1e-5)
    assert one.sd == pytest.approx(other.sd, rel=1e-6)


def test_narrow_intervals_are_nearly_values():
    design, y = people()
    exact, near = tobit(y, y, design), tobit(y - 1e-4, y + 1e-4, design)
    np.testing.assert_allclose(near.coefficients, exact.coefficients, atol=1e-5)
    assert near.sd == pytest.approx(exact.sd, rel=1e-5)
    # the mass of an interval of width w is w times the density
    assert near.log_likelihood - len(y) * np.log(2e-4) == pytest.approx(exact.log_likelihood, abs=1e-4)


@pytest.mark.parametrize("which", [0, 1])
def test_a_group_wholly_beyond_its_limit_has_no_maximum(which):
    design, y = people()
    lower, upper = y.copy(), y.copy()
    group = design[:, 1] == which
    lower[group], upper[group] = -np.inf, y.min() - 0.1
    assert not tobit(lower, upper, design[:, :2]).converged


def test_nothing_detected_has_no_maximum():
    design, y = people()
    assert not tobit(np.full(len(y), -np.inf), np.full(len(y), 0.3), design).converged


def test_far_values_do_not_stop_it():
    """Limits many sds away from where least squares starts."""
    design, y = people()
    y = 30 + 0.05 * y
    lower, upper = censor(y, below=30.0)
    found = tobit(lower, upper, design)
    near = tobit(*censor(y - 30, below=0.0), design)
    assert found.converged
    assert near.converged
    np.testing.assert_allclose(found.coefficients - [30, 0, 0], near.coefficients, atol=1e-5)


@pytest.mark.parametrize("away", [1e2, 1e5, 1e9])
def test_the_slope_is_right_however_far_away_a_limit_is(away):
    """Far below a limit's other side a normal's log probability is -z^2/2, so its slope in the mean is z."""
    _, loss = censored_loss(np.array([-np.inf]), np.array([0.0]), np.ones((1, 1)))
    _, slope = loss(np.array([away, 0.0]))
    np.testing.assert_allclose(slope, [away, -(away**2)], rtol=2 / away**2 + 1e-12)
