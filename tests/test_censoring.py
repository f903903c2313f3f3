"""Log probabilities of censored values: right in both tails, with gradients, in every mode that is offered."""

import functools
import itertools

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import integrate, special, stats

from bayesdep.inference.evaluate import _UNCOMPILED
from bayesdep.models.parts.censoring import (
    log_normal_cdf,
    log_normal_interval,
    log_t_cdf,
    log_t_density,
    log_t_interval,
)

# NUMBA is what nutpie's path compiles, None the default that PyMC's sampler uses (in PyTensor 3.3 numba too, by other
# rewrites). The third evaluates whole arrays of draws, never a gradient; scipy's functions do the work there.
MODES = {"numba": "NUMBA", "default": None}
Z = np.concatenate([np.linspace(-40, 40, 161), [-1e-12, 1e-12, -1e-3, 1e-3, -0.999, 1.001, -37.6, 8.3]])
FAR = np.array([-1e3, -200.0, 200.0, 1e3])
TINY = 1e-290  # below it a double has fewer than 52 bits

# Logs of Student's t distribution function, by mpmath 1.4.1 with mp.dps = 60:
#   x = nu / (nu + z * z); tail = betainc(nu / 2, 1 / 2, 0, x, regularized=True) / 2; log(tail if z < 0 else 1 - tail)
T_AT = np.array([-1000.0, -40.0, -8.0, -1.5, -0.3, -1e-12, 0.0, 1e-12, 0.3, 1.5, 8.0, 40.0, 1000.0])
# fmt: off
T_CDF = {
    1: [-8.0524854981647261, -4.8338176168946644, -3.2293448301554203, -1.6757537891407274, -0.89838593146404099,
        -0.69314718056058193, -0.69314718055994531, -0.69314718055930869, -0.5229427757004312, -0.20722965402700275,
        -0.040388155475946493, -0.0079879084753082401, -0.00031836045139167428],
    2.5: [-17.598812172562901, -9.553138172525108, -5.5653286747816777, -2.0881333942804173, -0.93223927205831924,
          -0.69314718056066893, -0.69314718055994531, -0.69314718055922169, -0.50033284228952857, -0.13229584370742754,
          -0.003835668846998339, -7.0980690522078291e-5, -2.2747464207031014e-8],
    4: [-26.532415493914327, -13.66106721128188, -7.320322868187784, -2.2633643798407644, -0.94273554869765257,
        -0.69314718056069531, -0.69314718055994531, -0.69314718055919531, -0.49357644023553213, -0.10981486600720658,
        -0.00066216763921814318, -1.1670088422551884e-6, -2.9999800001094994e-12],
    30: [-158.84300259171479, -62.546234647299176, -19.581303156737295, -2.6306314235722183, -0.95939905513087203,
         -0.69314718056073657, -0.69314718055994531, -0.69314718055915405, -0.48308571198831219, -0.074759068986694158,
         -3.1329112427579459e-9, -6.8630225972032014e-28, 0.0],
    150: [-663.80274277347433, -187.63691555968838, -29.487803919276437, -2.6903361079665894, -0.96155945471775098,
          -0.69314718056074187, -0.69314718055994531, -0.69314718055914875, -0.48174630084816351, -0.07027025257772749,
          -1.5617426633134995e-13, 0.0, 0.0],
}
# Logs of interval masses by half-width, at each middle: log(cdf(-m + h) - cdf(-m - h)) by the same mpmath, with the
# normal's cdf(z) = erfc(-z / sqrt(2)) / 2.
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
T4_INTERVAL = {
    1e-8: [-18.708362816404146, -18.708362816404146, -18.997258667989827, -21.655000307258262, -27.735657598014707,
           -33.693266384670569],
    1e-4: [-9.4980224465112969, -9.4980224465112969, -9.7869182964518036, -12.444659932816596, -18.525317225711339,
           -24.482926012663305],
    0.01: [-4.8928730914433508, -4.8928730914433508, -5.1817524918751436, -7.8394650945400887, -13.920143768196969,
           -19.877755515892509],
    0.1: [-2.5923472064246461, -2.5923472064246461, -2.8796037419271972, -5.5344399577866079, -11.617234756458488,
          -17.57513965227717],
    0.5: [-1.0309441912161234, -1.0309441912161234, -1.2821404556392026, -3.8663237715571558, -9.9999410814978368,
          -15.964955751158544],
    1.0: [-0.46824671959583726, -0.46824671959583726, -0.63816325600397749, -2.9958679465899305, -9.2822049179744267,
          -15.269476931915542],
    5.0: [-0.0075186280604644202, -0.0075186280604644202, -0.0087014272525250765, -0.060514851192780111,
          -6.8485815246889302, -13.585081481118345],
}
# fmt: on


@functools.cache
def compiled(function, mode, scalars=0):
    """A function's value and its gradient in each argument, the last ``scalars`` arguments scalars."""
    vectors = 1 if function in (log_normal_cdf, log_t_cdf, log_t_density) else 2
    arguments = [pt.dvector() for _ in range(vectors)] + [pt.dscalar() for _ in range(scalars)]
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


def test_the_normal_oracle_is_itself_right():
    """log_ndtr far out against the asymptotic series of Mills' ratio, whose first left-out term is below 1e-15."""
    z = np.array([-40.0, -25.0])
    series = sum((-1) ** k * special.factorial2(2 * k - 1, exact=False) / z ** (2 * k) for k in range(1, 9)) + 1
    close(special.log_ndtr(z), stats.norm.logpdf(z) - np.log(-z) + np.log(series), rtol=1e-13)


@pytest.mark.parametrize("nu", T_CDF)
@pytest.mark.parametrize("mode", MODES)
def test_students_distribution_function_and_its_slope_are_right_in_both_tails(mode, nu):
    value, slope, _ = compiled(log_t_cdf, mode, 1)(T_AT, nu)
    expected = np.array(T_CDF[nu])
    assert np.isfinite(value).all()
    close(value, expected, atol=1e-60)  # the stored values are good to 60 digits
    close(slope, np.exp(stats.t.logpdf(T_AT, nu) - expected))
    at = np.linspace(-40, 40, 161)
    value, slope, by_nu = compiled(log_t_cdf, mode, 1)(at, nu)
    close(slope, np.exp(stats.t.logpdf(at, nu) - value))  # the value is checked above, the slope follows from it
    assert np.isfinite(by_nu)
    assert (np.diff(value) >= 0).all()
    assert all(np.isfinite(x).all() for x in compiled(log_t_cdf, mode, 1)(FAR, nu))


@pytest.mark.parametrize("nu", T_CDF)
@pytest.mark.parametrize("mode", MODES)
def test_students_slope_in_the_degrees_of_freedom_is_that_of_a_central_difference(mode, nu):
    f = compiled(log_t_cdf, mode, 1)
    for z in (-40.0, -8.0, -1.5, -1.0, -0.3, 0.0, 1e-12, 0.3, 1.5, 8.0):
        at, step = np.array([z]), 1e-3 * nu
        fine, coarse = ((f(at, nu + h)[0] - f(at, nu - h)[0]) / (2 * h) for h in (step, 2 * step))
        # Richardson's extrapolation; what is left is rounding, 1e-15 of the value over the step
        expected = (4 * fine - coarse) / 3
        close(f(at, nu)[2], expected, rtol=1e-5, atol=1e-12 / nu)


@pytest.mark.parametrize("mode", MODES)
def test_students_density_is_scipys(mode):
    for nu in T_CDF:
        close(compiled(log_t_density, mode, 1)(Z, nu)[0], stats.t.logpdf(Z, nu), rtol=1e-11)


def test_arrays_of_draws_are_evaluated_alike():
    z, nu = pt.dvector(), pt.dscalar()
    f = pytensor.function([z, nu], [log_normal_cdf(z), log_t_cdf(z, nu)], mode=_UNCOMPILED)
    for degrees, expected in T_CDF.items():
        close(f(T_AT, degrees)[0], special.log_ndtr(T_AT))
        close(f(T_AT, degrees)[1], expected, atol=1e-60)
    m, h = pt.dvector(), pt.dscalar()
    f = pytensor.function([m, h, nu], [log_normal_interval(m, h), log_t_interval(m, h, nu)], mode=_UNCOMPILED)
    for half in NORMAL_INTERVAL:
        for found, expected in zip(f(MIDDLE, half, 4.0), (NORMAL_INTERVAL[half], T4_INTERVAL[half]), strict=True):
            close(found, expected)


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


@pytest.mark.parametrize("sign", [-1, 1])
def test_students_interval_masses_do_not_cancel(sign):
    for half, expected in T4_INTERVAL.items():
        halves = np.full(len(MIDDLE), half)
        value, by_middle, by_half, by_nu = compiled(log_t_interval, "numba", 1)(sign * MIDDLE, halves, 4.0)
        close(value, expected)
        ends = [np.exp(stats.t.logpdf(MIDDLE + s * half, 4.0) - expected) for s in (-1, 1)]
        close(by_half, ends[0] + ends[1])
        assert np.isfinite(by_middle).all()
        assert np.isfinite(by_nu)


def test_interval_slopes_in_the_middle_are_those_of_the_density_where_the_interval_is_narrow():
    """d log P / d m tends to the slope of the log density, -m, with a relative error of half-width squared."""
    middle = np.array([-40.0, -3.0, 0.0, 0.7, 12.0])
    for mode in MODES:
        close(compiled(log_normal_interval, mode)(middle, np.full(5, 1e-8))[1], -middle, rtol=1e-8)
        t = compiled(log_t_interval, "numba", 1)(middle, np.full(5, 1e-8), 4.0)[1]
        close(t, -5 * middle / (4 + middle**2), rtol=1e-8)


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
    for found, step in (
        (compiled(log_normal_interval, "numba")(at, half), 2e-9),
        (compiled(log_t_interval, "numba", 1)(at, half, 2.5)[:3], 2e-9),
    ):
        value, by_middle, by_half = found
        assert abs(value[1] - value[0] - by_half[0] * switch * step) < 1e-11 * max(1, abs(value[0]))
        close(by_middle[1], by_middle[0], rtol=1e-7, atol=1e-9)
        close(by_half[1], by_half[0], rtol=1e-7)


@pytest.mark.parametrize("half", [1e-300, 1e-8, 0.5, 30.0, 1e3])
@pytest.mark.parametrize("mode", MODES)
def test_intervals_are_finite_anywhere(mode, half):
    at = np.array([-1e3, -40.0, -1e-12, 0.0, 1.0, 1e3])
    found = compiled(log_normal_interval, mode)(at, np.full(6, half))
    found += compiled(log_t_interval, "numba", 1)(at, np.full(6, half), 4.0)
    for x in found:
        assert np.isfinite(x).all()
