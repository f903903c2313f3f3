"""Patients' levels integrated out: against quadrature by scipy, an even grid, and R's clmm on two data sets."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
from common import patients
from numba import njit
from scipy import integrate

from bayesdep.inference.evaluate import uncompiled
from bayesdep.numerics.ordinal import log_probability_of
from bayesdep.numerics.patient_integrals import EXPONENT, integrals_of_ends, patient_log_integrals

REFERENCES = Path(__file__).parent / "references"
LINKS = [("cumulative", "logit"), ("continuation", "logit"), ("cumulative", "probit"), ("continuation", "probit"),
         ("adjacent", "logit")]  # fmt: skip


def function_of(category, start, link, distribution, exponent=EXPONENT, weights=None):
    """The integrals of patients, and slopes of their weighted sum: a function of level, sd, thresholds and gaps."""
    categories = int(category.max()) + 1
    level, sd = pt.dvector(), pt.dscalar()
    thresholds = pt.tensor(dtype="float64", shape=(categories - 1,))
    gaps = pt.tensor(dtype="float64", shape=(categories - 2,)) if link == "cumulative" else None
    given = [level, sd, thresholds, *([gaps] if gaps is not None else [])]
    log_p = patient_log_integrals(
        pt.as_tensor(category), pt.as_tensor(start), thresholds, gaps, level, sd, link=link, distribution=distribution,
        exponent=exponent,
    )  # fmt: skip
    slopes = [] if weights is None else pytensor.grad((log_p * weights).sum(), given)
    return pytensor.function(given, [log_p, *slopes], mode=uncompiled())


def example(link, patients=3, visits=4, seed=1):
    rng = np.random.default_rng(seed)
    category = rng.integers(0, 4, patients * visits)
    category[0] = 3
    thresholds = np.array([-1.2, 0.1, 1.4])
    given = [rng.normal(size=patients * visits) * 1.5, np.array(1.3), thresholds]
    return category, np.arange(patients + 1) * visits, given + ([np.diff(thresholds)] if link == "cumulative" else [])


@pytest.mark.parametrize(("link", "distribution"), LINKS)
def test_integrals_are_those_of_scipy_and_slopes_those_of_differences(link, distribution):
    category, start, given = example(link)
    level, sd, thresholds = given[:3]
    gaps = np.diff(thresholds)
    weights = np.array([1.0, 2.0, 3.0])
    f = function_of(category, start, link, distribution, exponent=26.0, weights=weights)
    log_p, *slopes = f(*given)
    for i in range(3):
        rows = slice(start[i], start[i + 1])

        def integrand(x, rows=rows):
            moved = level[rows] + sd * x
            each = log_probability_of(category[rows], thresholds, gaps, moved, link=link, distribution=distribution)
            return np.exp(each.sum() - x**2 / 2) / np.sqrt(2 * np.pi)

        exact = integrate.quad(integrand, -12, 12, epsabs=0, epsrel=1e-11, limit=500)[0]
        assert log_p[i] == pytest.approx(np.log(exact), abs=1e-9)
    for k, slope in enumerate(slopes):
        for index in np.ndindex(np.shape(given[k])):
            pair = []
            for sign in (1, -1):
                moved = [np.array(x, dtype=float) for x in given]
                moved[k][index] += sign * 1e-5
                pair.append((f(*moved)[0] * weights).sum())
            # the difference is off by 1e-10 times a third derivative, and by rounding of 1e-15 / 1e-5
            assert np.asarray(slope)[index] == pytest.approx((pair[0] - pair[1]) / 2e-5, abs=2e-8)


def on_a_grid(category, start, level, sd, thresholds, gaps, how):
    """The integral by the trapezoidal rule with 4,001 places: exponentially accurate for an analytic integrand."""
    x = np.linspace(-14, 14, 4001)
    each = log_probability_of(category, thresholds, gaps, level + sd * x[:, None], **how)
    total = np.add.reduceat(each, start[:-1], axis=1) - x[:, None] ** 2 / 2 - np.log(2 * np.pi) / 2
    top = total.max(axis=0)
    return top + np.log(np.exp(total - top).sum(axis=0) * (x[1] - x[0]))


@pytest.mark.parametrize(("link", "distribution"), LINKS)
def test_every_patient_is_right_to_a_millionth_for_large_spreads(link, distribution):
    # a sd of 3 on log odds, and of 3 / 1.81 on a probit, with patients who stay in one category throughout
    patients, visits = 12, 6
    category, start, given = example(link, patients, visits, seed=2)
    category[:visits], category[visits : 2 * visits], category[2 * visits : 3 * visits] = 0, 3, 1
    sd = 3.0 if distribution == "logit" else 3 / 1.81
    given[1] = np.array(sd)
    how = {"link": link, "distribution": distribution}
    exact = on_a_grid(category, start, given[0], sd, given[2], np.diff(given[2]), how)
    errors = {
        n: np.abs(function_of(category, start, link, distribution, exponent=n)(*given)[0] - exact).max()
        for n in (EXPONENT, 24.0)
    }
    assert errors[EXPONENT] < 3e-7
    assert errors[24.0] < 1e-10


@pytest.mark.parametrize("sd", [0.3, 1.5, 6.0])
@pytest.mark.parametrize(("link", "distribution"), LINKS)
def test_patients_with_many_visits_or_large_spreads_are_right_too(link, distribution, sd):
    """One to 60 visits; levels up to twice the sd, so that some patients stay at an end throughout."""
    rng = np.random.default_rng(4)
    visits = np.tile([1, 6, 60], 3)
    start = np.append(0, visits.cumsum())
    own = np.repeat(sd * rng.normal(size=len(visits)) * np.repeat([1.0, 1.0, 2.0], 3), visits)
    thresholds = np.array([-1.5, -0.2, 0.4, 2.0])
    level = rng.normal(0, 0.5, size=visits.sum())
    category = ((level + own + rng.logistic(size=visits.sum()))[:, None] > thresholds).sum(axis=1)
    gaps = np.diff(thresholds)
    given = [level, np.array(sd), thresholds, *([gaps] if link == "cumulative" else [])]
    category[0] = 4  # so that there are five
    exact = on_a_grid(category, start, level, sd, thresholds, gaps, {"link": link, "distribution": distribution})
    found = function_of(category, start, link, distribution)(*given)[0]
    np.testing.assert_allclose(found, exact, rtol=0, atol=3e-7)


def test_extreme_levels_give_finite_slopes():
    category, start, given = example("cumulative")
    f = function_of(category, start, "cumulative", "logit", weights=np.ones(3))
    for level, sd in ((800.0, 1.0), (-800.0, 1.0), (0.0, 500.0), (0.0, 1e-9)):
        found = f(given[0] + level, np.array(sd), *given[2:])
        assert all(np.isfinite(x).all() for x in found)


@pytest.mark.parametrize("kind", [0, 1])
def test_compiled_integrals_are_those_of_the_plain_steps(kind):
    """Vectors of LLVM against NumPy; with so many visits, or so far out, that products are taken in parts."""
    rng = np.random.default_rng(5)
    visits = np.array([1, 6, 150, 40])
    start = np.append(0, visits.cumsum())
    own = np.repeat([0.0, 8.0, -2.0, 40.0], visits)
    z = np.array([-1.0, 0.5, 2.0]) - rng.normal(size=(visits.sum(), 1))
    z[start[3] :] += rng.choice([-100.0, 100.0], size=(visits[3], 1))
    category = ((own + rng.logistic(size=visits.sum()))[:, None] > z).sum(axis=1)
    compiled = njit(integrals_of_ends, error_model="numpy")
    for sd in (0.2, 1.5, 30.0):
        given = [z, np.empty((len(z), 0)), np.array(sd), category, start, np.array(EXPONENT), np.array(kind)]
        for one, other in zip(compiled(*given), integrals_of_ends(*given), strict=True):
            assert np.isfinite(other).all()
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("link", "distribution"), LINKS)
def test_levels_that_are_no_numbers_give_integrals_that_are_none(link, distribution):
    category, start, given = example(link)
    found = function_of(category, start, link, distribution)(given[0] + np.nan, *given[1:])[0]
    assert np.isnan(found).all()


def test_categories_that_cannot_be_have_integrals_that_are_no_numbers():
    """Two thresholds that rounding has put at one place: the sampler turns back, and the grid ends."""
    category, start, (level, sd, thresholds, gaps) = example("cumulative")
    f = function_of(category, start, "cumulative", "probit")
    with np.errstate(all="ignore"):
        found = f(level, sd, thresholds, gaps * [1.0, 0.0])[0]
    cannot = np.logical_or.reduceat(category == 2, start[:-1])
    assert cannot.any()
    assert np.array_equal(~np.isfinite(found), cannot)


def reference(model):
    table = pd.read_csv(REFERENCES / "ordinal_ml.csv").set_index(["model", "term"])["estimate"]
    return table.loc[model]


def log_likelihood(table, outcome, patient, level, thresholds, sd):
    order = np.argsort(table[patient].to_numpy(), kind="stable")
    category, people = table[outcome].to_numpy()[order], table[patient].to_numpy()[order]
    start = np.append(np.flatnonzero(np.r_[True, people[1:] != people[:-1]]), len(people))
    f = function_of(category, start, "cumulative", "logit", weights=np.ones(len(start) - 1))
    log_p, d_level, d_sd, d_thresholds, d_gaps = f(level[order], np.array(sd), thresholds, np.diff(thresholds))
    by_threshold = d_thresholds.copy()  # thresholds and gaps move together
    by_threshold[1:] += d_gaps
    by_threshold[:-1] -= d_gaps
    return log_p.sum(), [d_level[np.argsort(order)], d_sd, by_threshold]


def test_the_likelihood_of_wine_and_its_maximum_are_those_of_clmm():
    table, r = pd.read_csv(REFERENCES / "wine.csv"), reference("clmm wine")
    table["rating"] -= 1
    x = np.column_stack([table["temp"] == "warm", table["contact"] == "yes"]).astype(float)
    thresholds = r[["1|2", "2|3", "3|4", "4|5"]].to_numpy()
    level = x @ r[["tempwarm", "contactyes"]].to_numpy()
    total, (d_level, d_sd, d_thresholds) = log_likelihood(table, "rating", "judge", level, thresholds, r["sd"])
    # clmm integrates with 31 nodes; its printed estimates have ten digits
    assert total == pytest.approx(r["log likelihood"], abs=1e-6)
    # slopes at its maximum, in units of one standard error (0.5) of a coefficient: 1e-4 of one
    assert np.abs([*(d_level @ x), d_sd, *d_thresholds]).max() < 1e-4


def test_the_likelihood_of_a_real_trial_over_years_is_that_of_clmm():
    table, r = patients("oedema", "tools/ordinal_ml.R"), reference("clmm oedema")
    table["oedema"] = table["oedema"].map({"none": 0, "treated": 1, "persistent": 2})
    years = np.array([0.0, *(r[f"factor(year){k}"] for k in range(1, 5))])
    level = years[table["year"]] + r["armplacebo"] * (table["arm"] == "placebo").to_numpy()
    thresholds = r[["none|treated", "treated|persistent"]].to_numpy()
    total, slopes = log_likelihood(table, "oedema", "id", level, thresholds, r["sd"])
    # at this spread (3.7) clmm's 31 nodes are off by some 1e-6 for each of 312 patients
    assert total == pytest.approx(r["log likelihood"], abs=1e-3)
    by_year = [slopes[0][table["year"] == k].sum() for k in range(1, 5)]
    # its maximum is that of an integral that is off by 5e-4 in all: slopes of 0.05 move estimates by 0.02 standard
    # errors
    assert np.abs([*by_year, slopes[1], *slopes[2]]).max() < 0.05
