"""Normal effects of units, integrated out: against dense normals, slopes against differences, singular matrices."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

from bayesdep.inference.evaluate import uncompiled
from bayesdep.numerics.conditioning import condition, condition_units, slopes_of_units
from bayesdep.numerics.random_effects import Curves, SerialCurves, products_of

SIZES = [1, 2, 3]


def units(q: int, n: int = 6, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K, P and s of units, among them some whose K, or P, is zero or has rank one."""
    rng = np.random.default_rng(seed)
    k, p = (a @ a.swapaxes(1, 2) for a in (rng.normal(size=(n, q, q)), rng.normal(size=(n, q, q))))
    k[0], p[1] = 0, 0
    for x, at in ((k, 2), (p, 3)):
        one = rng.normal(size=(q, 1))
        x[at] = one @ one.T
    return k, p, rng.normal(size=(n, q))


@pytest.mark.parametrize("q", SIZES)
def test_effects_given_data_are_the_normal_of_a_regression(q):
    """By the joint normal of effects and data, P = G'G of a design G with residual sd 1: nothing is inverted there."""
    rng = np.random.default_rng(q)
    k, _, _ = units(q)
    g = rng.normal(size=(6, 4, q))
    g[1] = 0
    y = rng.normal(size=(6, 4))
    gain, mean, v = condition_units(k, g.swapaxes(1, 2) @ g, np.einsum("utq,ut->uq", g, y))
    for u in range(6):
        total = np.eye(4) + g[u] @ k[u] @ g[u].T
        slope = k[u] @ g[u].T @ np.linalg.inv(total)
        np.testing.assert_allclose(mean[u], slope @ y[u], atol=1e-12)
        np.testing.assert_allclose(v[u], k[u] - slope @ g[u] @ k[u], atol=1e-12)
        known = stats.multivariate_normal.logpdf(y[u], np.zeros(4), total)
        assert gain[u] == pytest.approx(known - stats.norm.logpdf(y[u]).sum(), abs=1e-12)


@pytest.mark.parametrize("q", SIZES)
def test_loops_arrays_and_slopes_agree(q):
    """The loops that are compiled, the arrays that are not, and central differences of the latter."""
    k, p, s = units(q)
    rng = np.random.default_rng(5)
    weights = [rng.normal(size=shape) for shape in ((6,), (6, q), (6, q, q))]
    inputs = [pt.tensor3(), pt.tensor3(), pt.matrix()]
    shapes = [(None, q, q), (None, q, q), (None, q)]
    given = [pt.specify_shape(x, shape) for x, shape in zip(inputs, shapes, strict=True)]
    outputs = condition(*[(x + x.swapaxes(1, 2)) / 2 for x in given[:2]], given[2])  # both are symmetric
    total = sum((out * w).sum() for out, w in zip(outputs, weights, strict=True))
    f = pytensor.function(inputs, [total, *pytensor.grad(total, inputs), *outputs], mode=uncompiled())
    value, *rest = f(k, p, s)
    slopes, found = rest[:3], rest[3:]
    for one, other in zip(condition_units(k, p, s), found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    by_loop = slopes_of_units(p, s, found[1], found[2], *weights)
    np.testing.assert_allclose((by_loop[0] + by_loop[0].swapaxes(1, 2)) / 2, slopes[0], atol=1e-12)
    np.testing.assert_allclose((by_loop[1] + by_loop[1].swapaxes(1, 2)) / 2, slopes[1], atol=1e-12)
    assert np.isfinite(value)
    for j, x in enumerate((k, p, s)):
        for at in np.ndindex(*x.shape):
            up, down = [a.copy() for a in (k, p, s)], [a.copy() for a in (k, p, s)]
            up[j][at] += 1e-5
            down[j][at] -= 1e-5
            # truncation 1e-10 of a third derivative, rounding 1e-16 / 1e-5 of a sum of size 10
            assert slopes[j][at] == pytest.approx((f(*up)[0] - f(*down)[0]) / 2e-5, rel=1e-6, abs=1e-6)


def test_units_of_two_dims_and_draws_in_front_are_the_same_units():
    k, p, s = units(2, n=12)
    gain = condition_units(k, p, s)[0]
    shapes = (4, 3)
    inputs = [pt.specify_shape(pt.tensor4(), (None, None, 2, 2)), pt.specify_shape(pt.tensor4(), (None, None, 2, 2)),
              pt.specify_shape(pt.tensor3(), (None, None, 2))]  # fmt: skip
    f = pytensor.function([x.owner.inputs[0] for x in inputs], condition(*inputs)[0], mode=uncompiled())
    found = f(k.reshape(*shapes, 2, 2), p.reshape(*shapes, 2, 2), s.reshape(*shapes, 2))
    np.testing.assert_allclose(found.ravel(), gain, atol=1e-12)


@pytest.mark.parametrize("q", SIZES)
def test_curves_and_serial_curves_are_dense_normals(q):
    rng = np.random.default_rng(q)
    n, times = 5, 4
    design, root = rng.normal(size=(n, times, q)), np.tril(rng.normal(size=(q, q))) + 2 * np.eye(q)
    k = root @ root.T
    counted = (rng.random((n, times)) < 0.7).astype(float)
    counted[0] = 0  # a unit of whom nothing is known
    y, mean, sd, rho = rng.normal(size=(n, times)), rng.normal(size=(n, times)), 1.3, 0.6
    nothing, when = np.zeros((n, times)), np.cumsum(rng.random((n, times)), axis=1)
    place = np.where(counted > 0, np.arange(times), -1)
    previous = np.hstack([np.full((n, 1), -1), np.maximum.accumulate(place, axis=1)[:, :-1]]).astype(float)
    products = products_of(design, counted)
    plain = Curves.dist(mean, design, k, sd, counted, products, nothing, nothing, nothing)
    serial = SerialCurves.dist(mean, design, k, sd, rho, counted, previous, when)
    for distribution, correlation in ((plain, 0.0), (serial, rho)):
        found = pm.logp(distribution, pt.constant(y)).eval(mode=uncompiled())
        for i in range(n):
            seen = counted[i] > 0
            if not seen.any():
                assert found[i] == 0
                continue
            gaps = np.abs(np.subtract.outer(when[i][seen], when[i][seen]))
            own = sd**2 * (correlation**gaps if correlation else np.eye(seen.sum()))
            total = own + design[i][seen] @ k @ design[i][seen].T
            assert found[i] == pytest.approx(stats.multivariate_normal.logpdf(y[i][seen], mean[i][seen], total))


def test_draws_of_curves_have_their_mean_and_covariance():
    rng = np.random.default_rng(3)
    design, k = rng.normal(size=(3, 2)), np.array([[2.0, 0.5], [0.5, 0.3]])
    mean, sd, rho, when = np.array([1.0, 2, 3]), 0.7, 0.4, np.array([0.0, 1, 3])
    one, nothing = np.ones(3), np.zeros(3)
    plain = Curves.dist(mean, design, k, sd, one, products_of(design, one), nothing, nothing, nothing)
    serial = SerialCurves.dist(mean, design, k, sd, rho, one, np.array([-1.0, 0, 1]), when)
    gaps = np.abs(np.subtract.outer(when, when))
    for distribution, own in ((plain, np.eye(3)), (serial, rho**gaps)):
        drawn = pm.draw(distribution, draws=20_000, random_seed=1, mode=uncompiled())
        total = design @ k @ design.T + sd**2 * own
        error = np.sqrt(np.diag(total) / len(drawn))
        assert (np.abs(drawn.mean(axis=0) - mean) < 4 * error).all()
        size = np.sqrt(np.outer(np.diag(total), np.diag(total)) * 2 / len(drawn))  # at most, of a covariance
        assert (np.abs(np.cov(drawn.T) - total) < 4 * size).all()
