"""Student-t residuals: the density, and the normals of unknown precision that stand for it where values are hidden."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import integrate, special, stats

from bayesdep.inference.evaluate import from_prior, uncompiled
from bayesdep.numerics.student import log_t_density, precisions

NU = [0.7, 1.0, 2.5, 4.0, 30.0, 150.0]


def precision_model(nu, size=1):
    with pm.Model(coords={"value": range(size)}) as model:
        degrees = pm.Data("degrees", nu)
        pm.Deterministic("root", precisions("v", degrees, dims="value"), dims="value")
    return model


def density_of_v(nu):
    """The log density of v and its slope, and the root of the precision, by PyTensor's numpy loops."""
    model = precision_model(nu)
    v = model.rvs_to_values[model["v"]]
    root = model.replace_rvs_by_values([model["root"]])[0]
    logp = model.logp()
    return pytensor.function([v], [logp, pytensor.grad(logp, v), root], mode=uncompiled())


def test_the_density_is_scipys():
    z = np.concatenate([np.linspace(-40, 40, 161), [-1e-12, 1e-12, 1e3]])
    x, nu = pt.dvector(), pt.dscalar()
    f = pytensor.function([x, nu], log_t_density(x, nu), mode=uncompiled())
    for degrees in NU:
        np.testing.assert_allclose(f(z, degrees), stats.t.logpdf(z, degrees), rtol=1e-11)


@pytest.mark.parametrize("nu", NU)
def test_hidden_values_are_student_t_once_their_precision_is_integrated_out(nu):
    """Quadrature over v of normal probabilities gives scipy's t distribution function, in both tails."""
    f = density_of_v(nu)
    # the left tail falls like exp(sqrt(a) v), slower than a normal's; the right one faster
    v = np.linspace(-12 - 40 / np.sqrt(nu / 2), 12, 20_001)
    logp, _, root = (np.array([np.squeeze(x) for x in column]) for column in zip(*(f([u]) for u in v), strict=True))
    weights = np.exp(logp)
    assert integrate.simpson(weights, x=v) == pytest.approx(1, rel=1e-9)
    for z in (-8.0, -1.5, -0.3, 0.0, 0.3, 2.0):
        mass = integrate.simpson(weights * special.ndtr(z * root), x=v)
        assert mass == pytest.approx(stats.t.cdf(z, nu), rel=1e-8)


@pytest.mark.parametrize("nu", NU)
def test_prior_draws_of_the_precision_are_gamma(nu):
    (draws,) = from_prior([precision_model(nu)["root"]], 4000, seed=1)
    assert stats.kstest(draws[:, 0] ** 2, stats.gamma(nu / 2, scale=2 / nu).cdf).pvalue > 0.001


@pytest.mark.parametrize("nu", [1e-3, 1.0, 1e4])
def test_the_density_of_v_is_finite_with_its_slope_where_a_sampler_may_stray(nu):
    f = density_of_v(nu)
    for v in (-50.0, -1.0, 0.0, 1.0, 10.0):
        assert all(np.isfinite(x).all() for x in f([v])[:2]), v


def test_with_many_degrees_of_freedom_v_is_a_standard_normal():
    f = density_of_v(1e6)
    for v in (-3.0, 0.0, 2.0):
        assert float(f([v])[0]) == pytest.approx(stats.norm.logpdf(v), abs=0.01)
