"""Log probabilities of censored values: right in both tails, with gradients, in every mode that is offered."""

import functools
import itertools

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import integrate, special, stats

from bayesdep.inference.evaluate import uncompiled
from bayesdep.numerics.censoring import (
    log_normal_cdf,
    log_normal_interval,
)

# NUMBA is what nutpie's path compiles, None the default that PyMC's sampler uses (in PyTensor 3.3 numba too, by other
# rewrites). The third evaluates whole arrays of draws, never a gradient; scipy's functions do the work there.
MODES = {"numba": "NUMBA", "default": None}
Z = np.concatenate([np.linspace(-40, 40, 161), [-1e-12, 1e-12, -1e-3, 1e-3, -0.999, 1.001, -37.6, 8.3]])
FAR = np.array([-1e3, -200.0, 200.0, 1e3])
FURTHEST = -np.logspace(2, 100, 99)  # residual sds of exp(-60) and less are met while a sampler looks for its way
TINY = 1e-290  # below it a double has fewer than 52 bits

# Logs of interval masses by half-width, at each middle, by mpmath 1.4.1 with mp.dps = 60:
#   log(cdf(-m + h) - cdf(-m - h)) with cdf(z) = erfc(-z / sqrt(2)) / 2
# fmt: off
MIDDLE = np.array([0.0, 1e-12, 0.7, 3.0, 12.0, 40.0])
NORMAL_INTERVAL = {
    1e-8: [-18.646472096597093, -18.646472096597093, -18.891472096597093, -23.146472096597093, -90.646472096597091,
           -818.64647209659707],
    1e-4: [-9.4361317262875768, -9.4361317262875768, -9.6811317254709101, -13.936131711287577, -81.436131486287589,
           -809.43612905962234],
    0.01: [-4.8309782051883747, -4.8309782051883747, -5.0759700386439347, -9.3308282116879366, -76.828579388092279,
           -804.8044526832844],
    0.1: [-2.5300420015472385, -2.5300420015472385, -2.7742265560908643, -7.0151065669509838, -74.300892221110266,
          -800.61127585781006],
    0.5: [-0.95991633369562232, -0.95991633369562232, -1.1852471608890293, -5.1198304447882207, -69.493714788137493,
          -784.72087910431758],
    1.0: [-0.38171514630212607, -0.38171514630212607, -0.55626597582289213, -3.7845774380253266, -63.824934094455731,
          -765.08315656437754],
    5.0: [-5.7330330809669796e-7, -5.7330330809669796e-7, -8.5459323587687841e-6, -0.023012909328964125,
          -27.384307498811075, -616.97510126192251],
}
# fmt: on


@functools.cache
def compiled(function, mode):
    """A function's value and its gradient in each argument."""
    arguments = [pt.dvector() for _ in range(1 if function is log_normal_cdf else 2)]
    value = function(*arguments)
    f = pytensor.function(arguments, [value, *pt.grad(value.sum(), arguments)], mode=MODES[mode])
    return lambda *given: [np.asarray(x) for x in f(*given)]


def close(found, expected, rtol=1e-10, atol=TINY):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("mode", MODES)
def test_the_normal_distribution_function_and_its_slope_are_right_in_both_tails(mode):
    value, slope = compiled(log_normal_cdf, mode)(Z)
    close(value, special.log_ndtr(Z))
    close(slope, np.exp(stats.norm.logpdf(Z) - special.log_ndtr(Z)))
    assert np.isfinite(compiled(log_normal_cdf, mode)(FAR)).all()
    value, slope = compiled(log_normal_cdf, mode)(FURTHEST)
    close(value, special.log_ndtr(FURTHEST), rtol=1e-13)
    close(slope, -FURTHEST - 1 / FURTHEST + 2 / FURTHEST**3)  # of Mills' ratio
    assert (np.array(compiled(log_normal_cdf, mode)(-FURTHEST)) == 0).all()


def test_the_normal_oracle_is_itself_right():
    """log_ndtr far out against the asymptotic series of Mills' ratio, whose first left-out term is below 1e-15."""
    z = np.array([-40.0, -25.0])
    series = sum((-1) ** k * special.factorial2(2 * k - 1, exact=False) / z ** (2 * k) for k in range(1, 9)) + 1
    close(special.log_ndtr(z), stats.norm.logpdf(z) - np.log(-z) + np.log(series), rtol=1e-13)


def test_arrays_of_draws_are_evaluated_alike():
    z, m, h = pt.dvector(), pt.dvector(), pt.dscalar()
    close(pytensor.function([z], log_normal_cdf(z), mode=uncompiled())(Z), special.log_ndtr(Z))
    f = pytensor.function([m, h], log_normal_interval(m, h), mode=uncompiled())
    for half, expected in NORMAL_INTERVAL.items():
        close(f(MIDDLE, half), expected)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("mode", MODES)
def test_normal_interval_masses_do_not_cancel(mode, sign):
    for half, expected in NORMAL_INTERVAL.items():
        halves = np.full(len(MIDDLE), half)
        value, by_middle, by_half = compiled(log_normal_interval, mode)(sign * MIDDLE, halves)
        close(value, expected)
        ends = [np.exp(stats.norm.logpdf(MIDDLE + s * half) - expected) for s in (-1, 1)]
        close(by_half, ends[0] + ends[1])
        assert np.isfinite(by_middle).all()
        if half >= 0.5:  # below, this difference of densities cancels
            close(by_middle, sign * (ends[1] - ends[0]), rtol=1e-9, atol=1e-12)


def test_interval_slopes_in_the_middle_are_those_of_the_density_where_the_interval_is_narrow():
    """d log P / d m tends to the slope of the log density, -m, with a relative error of half-width squared."""
    middle = np.array([-40.0, -3.0, 0.0, 0.7, 12.0])
    for mode in MODES:
        close(compiled(log_normal_interval, mode)(middle, np.full(5, 1e-8))[1], -middle, rtol=1e-8)


def test_interval_masses_equal_quadrature_at_many_random_intervals():
    """The density over that at the interval's nearest point to 0, integrated by scipy along the distance u from it."""
    rng = np.random.default_rng(1)
    middle, half = rng.uniform(-40, 40, 60), np.exp(rng.uniform(np.log(1e-8), np.log(5), 60))
    found = compiled(log_normal_interval, "numba")(middle, half)[0]
    for m, h, value in zip(np.abs(middle), half, found, strict=True):
        near = max(m - h, 0.0)
        start, end = (0.0, min(2 * h, 40 / max(near, 1.0))) if near else (m - h, m + h)  # e^-40 of it is left out
        pieces = np.linspace(start, end, 9)
        total = sum(
            integrate.quad(lambda u, a=near: np.exp(-u * (2 * a + u) / 2), lo, hi, epsabs=0, epsrel=1e-13)[0]
            for lo, hi in itertools.pairwise(pieces)
        )
        close(value, np.log(total) - near**2 / 2 - np.log(2 * np.pi) / 2, atol=1e-13)


@pytest.mark.parametrize("middle", [0.0, 0.3, 1.0, 7.0, 40.0])
def test_narrow_and_wide_intervals_meet_without_a_step(middle):
    """Both branches either side of half-width x max(middle, 1) = 0.5: values and slopes go on."""
    switch = 0.5 / max(middle, 1.0)
    half = switch * (1 + np.array([-1e-9, 1e-9]))
    at = np.full(2, middle)
    value, by_middle, by_half = compiled(log_normal_interval, "numba")(at, half)
    assert abs(value[1] - value[0] - by_half[0] * switch * 2e-9) < 1e-11 * max(1, abs(value[0]))
    close(by_middle[1], by_middle[0], rtol=1e-7, atol=1e-9)
    close(by_half[1], by_half[0], rtol=1e-7)


@pytest.mark.parametrize("half", [1e-300, 1e-8, 0.5, 30.0, 1e3])
@pytest.mark.parametrize("mode", MODES)
def test_intervals_are_finite_anywhere(mode, half):
    at = np.array([-1e3, -40.0, -1e-12, 0.0, 1.0, 1e3])
    for x in compiled(log_normal_interval, mode)(at, np.full(6, half)):
        assert np.isfinite(x).all()
