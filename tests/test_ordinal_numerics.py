"""Log probabilities of ordered categories against 460 digits, and their slopes against differences."""

import decimal
import itertools
from decimal import Decimal
from functools import cache

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from scipy import stats

from bayesdep.numerics.ordinal import log_probabilities, log_probability_of, thresholds_of

MODE = Mode(linker="py", optimizer=RewriteDatabaseQuery(include=["fast_run"], exclude=["fusion"]))
LINKS = [("cumulative", "logit"), ("cumulative", "probit"), ("continuation", "logit"), ("continuation", "probit"),
         ("adjacent", "logit")]  # fmt: skip
STARTS, GAPS = (-40.0, -12.5, -1.0, 0.0, 0.3, 6.0, 25.0, 38.0), (1e-12, 1e-9, 1e-6, 1e-3, 0.3, 1.2, 8.0, 30.0)
CASES = [(a, d, s) for a, d, s in itertools.product(STARTS, GAPS, (0.0, 3.7)) if a + d <= 40 and abs(a - s) <= 40]


DIGITS = decimal.Context(prec=460, Emin=-10_000_000, Emax=10_000_000)


@cache
def normal_cdf(x):
    """Phi(x) = 1/2 + phi(x) (x + x^3 / 3 + x^5 / 15 + ...), Abramowitz and Stegun 26.2.11, to some 450 digits."""
    term = total = x
    n = 1
    while term and abs(term) > Decimal(10) ** -455 * abs(total):
        n += 2
        term = term * x * x / n
        total += term
    return Decimal("0.5") + total * (-x * x / 2).exp() / (2 * PI).sqrt()


def machin():
    """pi = 16 arctan(1/5) - 4 arctan(1/239)."""

    def arctan(over):
        return sum(Decimal((-1) ** k) / (2 * k + 1) / Decimal(over) ** (2 * k + 1) for k in range(700))

    return 16 * arctan(5) - 4 * arctan(239)


with decimal.localcontext(DIGITS):
    PI = machin()


@cache
def exact(start, gap, shift, link, distribution):
    """Log probabilities of three categories in 460 digits: what the definitions in the module's head say."""
    with decimal.localcontext(DIGITS):
        z = [Decimal(start) - Decimal(shift)]
        z.append(z[0] + Decimal(gap))

        def cdf(x):
            return normal_cdf(x) if distribution == "probit" else 1 / (1 + (-x).exp())

        if link == "cumulative":
            p = [cdf(z[0]), cdf(z[1]) - cdf(z[0]), 1 - cdf(z[1])]
        elif link == "continuation":
            p = [cdf(z[0]), (1 - cdf(z[0])) * cdf(z[1]), (1 - cdf(z[0])) * (1 - cdf(z[1]))]
        else:
            odds = [Decimal(1), (-z[0]).exp(), (-z[0] - z[1]).exp()]
            p = [x / sum(odds) for x in odds]
        decimal.getcontext().prec = 60
        # near 1 the logarithm is taken of 1 - p, which the 460 digits have
        return [float((+x).ln()) if x < Decimal("0.9") else float(_log_near_one(1 - x)) for x in p]


def _log_near_one(rest):
    return -sum(rest**k / k for k in range(1, 60)) if rest < Decimal("1e-5") else (1 - rest).ln()


@pytest.mark.parametrize(("link", "distribution"), LINKS)
def test_log_probabilities_are_right_to_ten_digits_at_distant_thresholds_and_tiny_gaps(link, distribution):
    thresholds = np.array([[a, a + d] for a, d, _ in CASES])
    gaps, shift = np.array([[d] for _, d, _ in CASES]), np.array([s for *_, s in CASES])
    expected = np.array([exact(*case, link, distribution) for case in CASES])
    how = {"link": link, "distribution": distribution}
    arrays = log_probabilities(thresholds, gaps, shift, **how)
    t, g, s = pt.matrix(shape=(None, 2)), pt.matrix(shape=(None, 1)), pt.vector()
    tensors = pytensor.function([t, g, s], log_probabilities(t, g, s, **how), mode=MODE, on_unused_input="ignore")
    of_tensors = tensors(thresholds, gaps, shift)
    # the rounding of a threshold less a shift of size 40, 4e-15, moves a log probability by that times its slope, which
    # is at most 40; where it rounds to zero it is smaller than a float can be
    for found in (arrays, of_tensors):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-300)
    for k in range(3):
        category = np.full(len(CASES), k)
        one = pytensor.function(
            [t, g, s], log_probability_of(category, t, g, s, **how), mode=MODE, on_unused_input="ignore"
        )
        np.testing.assert_allclose(one(thresholds, gaps, shift), expected[:, k], rtol=1e-10, atol=1e-300)
        found = log_probability_of(category, thresholds, gaps, shift, **how)
        np.testing.assert_allclose(found, expected[:, k], rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize(("link", "distribution"), LINKS)
def test_slopes_are_finite_everywhere_and_those_of_the_log_probability(link, distribution):
    how = {"link": link, "distribution": distribution}
    t, g, s = pt.vector(shape=(3,)), pt.vector(shape=(2,)), pt.vector()
    category = np.array([0, 1, 2, 3])
    total = log_probability_of(category, t, g, s, **how)
    slopes = pytensor.grad(total.sum(), [t, s], disconnected_inputs="ignore")
    f = pytensor.function([t, g, s], [total, *slopes], mode=MODE, on_unused_input="ignore")
    gaps = np.array([0.7, 1.1])
    at = np.array([-0.6, 0.1, 1.2])
    for shift in (np.array([0.2, -0.5, 0.1, 0.9]), np.array([-3.0, 2.0, 4.0, -1.0])):
        _, by_threshold, by_shift = f(at, gaps, shift)
        for slope, place, argument in ((by_threshold, 0, at), (by_shift, 2, shift)):
            for i in range(len(argument)):
                step = np.zeros(len(argument))
                step[i] = 1e-5
                pair = [f(*[x + sign * step if k == place else x for k, x in enumerate((at, gaps, shift))])[0].sum()
                        for sign in (1, -1)]  # fmt: skip
                # a central difference is off by h^2 / 6 = 2e-11 and by rounding of 1e-16 / h = 1e-11 times a few
                assert slope[i] == pytest.approx((pair[0] - pair[1]) / 2e-5, abs=1e-8)
    for far in (-40.0, 40.0):
        found = f(np.array([far, far + 1e-12, far + 2e-12]), np.array([1e-12, 1e-12]), np.zeros(4))
        assert all(np.isfinite(x).all() for x in found)


@pytest.mark.parametrize(("link", "distribution"), LINKS)
def test_a_larger_shift_is_always_worse(link, distribution):
    thresholds, gaps = np.array([-1.0, 0.2, 0.9]), np.array([1.2, 0.7])
    shifts = np.linspace(-4, 4, 30)
    p = np.exp(log_probabilities(thresholds, gaps, shifts, link=link, distribution=distribution))
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-14)
    better = p.cumsum(axis=-1)[:, :-1]
    assert (np.diff(better, axis=0) < 0).all()


@pytest.mark.parametrize(("link", "distribution"), LINKS)
def test_thresholds_give_back_the_probabilities_they_are_made_of(link, distribution):
    how = {"link": link, "distribution": distribution}
    tiny = [[0.3, 1e-12, 0.2, 0.5 - 1e-12], [1e-9, 1e-13, 1e-4, 1 - 1e-4 - 1e-9 - 1e-13], [0.4, 0.3, 0.2, 0.1]]
    p = np.array([*tiny, *np.random.default_rng(1).dirichlet(np.ones(4), 20)])
    thresholds, gaps = thresholds_of(p, **how)
    # a share of 1e-4 of the smaller tail is where two formulas of a probit gap meet: each is right to 1e-9 there
    np.testing.assert_allclose(np.exp(log_probabilities(thresholds, gaps, np.zeros(len(p)), **how)), p, rtol=2e-9)
    tensor = pt.matrix(shape=(None, 4))
    found = pytensor.function([tensor], [x for x in thresholds_of(tensor, **how) if x is not None], mode=MODE)(p)
    np.testing.assert_allclose(found[0], thresholds, rtol=1e-9, atol=1e-9)
    if gaps is not None:
        np.testing.assert_allclose(found[1], gaps, rtol=1e-9)
        if distribution == "probit":
            ends = stats.norm.isf(p[3:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:])
            np.testing.assert_allclose(thresholds[3:], ends, rtol=1e-9, atol=1e-12)
