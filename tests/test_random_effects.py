"""Normal effects of units, integrated out: against dense normals, slopes against differences, singular matrices."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

from bayesdep.inference.evaluate import uncompiled
from bayesdep.numerics.conditioning import (
    ConditionPanel,
    condition,
    condition_panel,
    condition_units,
    slopes_of_panel,
    slopes_of_units,
)
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


def panel_of(q: int) -> tuple[np.ndarray, ...]:
    """Residuals, design, K, sd and what counts, of four units, three kinds and five times."""
    rng = np.random.default_rng(q)
    root = rng.normal(size=(3, q, q))
    counted = (rng.random((4, 3, 5)) < 0.7).astype(float)
    counted[0, 0] = 0
    return (
        rng.normal(size=(4, 3, 5)),
        rng.normal(size=(4, 5, q)),
        root @ root.swapaxes(1, 2),
        np.exp(rng.normal(size=3)),
        counted,
    )


@pytest.mark.parametrize("q", SIZES)
def test_a_panel_is_dense_normals_with_the_slopes_of_its_differences(q):
    """Loops and arrays against scipy's densities, and loops' slopes against central differences."""
    residual, design, k, sd, counted = panel_of(q)
    density, mean, v = condition_panel(residual, design, k, sd, counted)
    arrays = [[None], [None], [None]]
    ConditionPanel().perform(None, (residual, design, k, sd, counted), arrays)
    for one, other in zip((density, mean, v), arrays, strict=True):
        np.testing.assert_allclose(other[0], one, atol=1e-12)
    for u, m in np.ndindex(4, 3):
        seen = counted[u, m] > 0
        g = design[u][seen]
        total = g @ k[m] @ g.T + sd[m] ** 2 * np.eye(seen.sum())
        if seen.any():
            y = residual[u, m][seen]
            assert density[u, m] == pytest.approx(stats.multivariate_normal.logpdf(y, np.zeros(len(y)), total))
            np.testing.assert_allclose(mean[u, m], k[m] @ g.T @ np.linalg.solve(total, y), atol=1e-10)
        else:
            assert density[u, m] == 0
            np.testing.assert_allclose(v[u, m], k[m], atol=1e-12)
    rng = np.random.default_rng(7)
    weights = [rng.normal(size=x.shape) for x in (density, mean, v)]

    def total_of(r, k, sd):
        return sum((x * w).sum() for x, w in zip(condition_panel(r, design, k, sd, counted), weights, strict=True))

    slopes = slopes_of_panel(residual, design, k, sd, counted, mean, v, *weights)
    slopes = [slopes[0], (slopes[1] + slopes[1].swapaxes(1, 2)) / 2, slopes[2]]  # K is symmetric
    for j, x in enumerate((residual, k, sd)):
        for at in np.ndindex(*x.shape):
            up, down = [a.copy() for a in (residual, k, sd)], [a.copy() for a in (residual, k, sd)]
            for changed, step in ((up, 1e-5), (down, -1e-5)):
                changed[j][at] += step / 2
                changed[j][at if j != 1 else (at[0], at[2], at[1])] += step / 2
            assert slopes[j][at] == pytest.approx((total_of(*up) - total_of(*down)) / 2e-5, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("q", SIZES)
def test_curves_and_serial_curves_are_dense_normals(q):
    rng = np.random.default_rng(q)
    n, times = 5, 4
    design, root = rng.normal(size=(n, times, q)), np.tril(rng.normal(size=(q, q))) + 2 * np.eye(q)
    k = root @ root.T
    counted = (rng.random((n, times)) < 0.7).astype(float)
    counted[0] = 0  # a unit of whom nothing is known
    y, mean, sd, rho = rng.normal(size=(n, times)), rng.normal(size=(n, times)), 1.3, 0.6
    when = np.cumsum(rng.random((n, times)), axis=1)
    place = np.where(counted > 0, np.arange(times), -1)
    previous = np.hstack([np.full((n, 1), -1), np.maximum.accumulate(place, axis=1)[:, :-1]]).astype(float)
    products = products_of(design, counted)
    plain = Curves.dist(mean, design, k, sd, counted, products)
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
    one = np.ones(3)
    plain = Curves.dist(mean, design, k, sd, one, products_of(design, one))
    serial = SerialCurves.dist(mean, design, k, sd, rho, one, np.array([-1.0, 0, 1]), when)
    gaps = np.abs(np.subtract.outer(when, when))
    for distribution, own in ((plain, np.eye(3)), (serial, rho**gaps)):
        drawn = pm.draw(distribution, draws=20_000, random_seed=1, mode=uncompiled())
        total = design @ k @ design.T + sd**2 * own
        error = np.sqrt(np.diag(total) / len(drawn))
        assert (np.abs(drawn.mean(axis=0) - mean) < 4 * error).all()
        size = np.sqrt(np.outer(np.diag(total), np.diag(total)) * 2 / len(drawn))  # at most, of a covariance
        assert (np.abs(np.cov(drawn.T) - total) < 4 * size).all()
