"""Correlation: the density that is sampled, what follows from its parameters, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from common import same_computation
from scipy import integrate, optimize, special, stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import at_draws
from bayesdep.models.correlation.model import Correlation
from bayesdep.numerics.distributions import Prior

PRIORS = {"score_mean": Prior("Normal", mu=15, sigma=10), "score_sd": Prior("HalfNormal", sigma=15)}
BASE = {"score": "madrs_change", "unit": "unit", "plate": "plate", "censored": "censored", "lod": "lod", "uloq": "uloq"}
MODEL = Correlation(priors=PRIORS, units="MADRS points", **BASE)
FLAT = {
    "rho": Prior("Uniform", lower=-1, upper=1),
    "marker_mean": Prior("Normal", mu=0, sigma=50),
    "marker_sd": Prior("HalfNormal", sigma=50),
    "score_mean": Prior("Normal", mu=0, sigma=500),
    "score_sd": Prior("HalfNormal", sigma=500),
}


def published(seed=1, **more):
    table = bd.simulate("kiraly2017", seed=seed, **more).table
    keep = (table["group"] == "TRD") & (table["time"] == 0) & (table["analyte"] == "FGF-2")
    return table[keep].dropna(subset=["madrs_change"])


def pairs(n=30, rho=-0.6, seed=0, written=True):
    """Pairs of which, in every form, some lie beyond limits."""
    rng = np.random.default_rng(seed)
    z, e = rng.standard_normal((2, n))
    value = np.exp(3 + 0.8 * (rho * z + np.sqrt(1 - rho**2) * e))
    cells = [
        (f"{v:.6f}" if not written else "<10" if v < 10 else "10-14" if v < 14 else ">50" if v > 50 else f"{v:.6f}")
        for v in value
    ]
    return pd.DataFrame({"subject": np.arange(n), "concentration": cells, "score": 12 + 6 * z})


def log_sigmoid(v):
    return -np.logaddexp(0, -v)


def log_joint(data, rho, m, s, score_mean, score_sd):
    """Log density of every pair, by the bivariate normal, or the normal of x integrated over its interval."""
    lower, upper = data["log_lower"].values[:, 0], data["log_upper"].values[:, 0]
    y, found = data["score"].values, []
    cross = rho * s * score_sd
    both = stats.multivariate_normal([m, score_mean], [[s**2, cross], [cross, score_sd**2]])
    for low, high, score in zip(lower, upper, y, strict=True):
        if low == high:
            found.append(both.logpdf([low, score]))
            continue
        ends = max(low, m - 14 * s), min(high, m + 14 * s)
        mass = integrate.quad(lambda x, score=score: both.pdf([x, score]), *ends, epsabs=0, epsrel=1e-10, limit=200)
        found.append(np.log(mass[0]))
    return np.array(found)


def test_the_density_is_that_of_the_model():
    model = Correlation(priors=PRIORS)
    data = model.prepare(pairs())
    lower, upper = data["log_lower"].values, data["log_upper"].values
    assert np.isinf(lower).any()
    assert np.isinf(upper).any()
    assert (np.isfinite(lower) & np.isfinite(upper) & (lower < upper)).any()
    built, rng = model.build(data), np.random.default_rng(2)
    u = {rv.name: rng.normal(size=4) for rv in built.free_RVs}
    u["score_mean"] = 12 + 2 * u["score_mean"]
    u["score_sd"] = u["score_sd"] / 4 - 1  # in widths of its prior
    found = at_draws([built.logp()], {built.rvs_to_values[rv]: u[rv.name] for rv in built.free_RVs})[0]
    for i in range(4):
        v = {name: float(values[i]) for name, values in u.items()}
        width = PRIORS["score_sd"]["sigma"]
        s, score_sd = np.logaddexp(0, v["marker_sd"]), width * np.logaddexp(0, v["score_sd"])
        rho = 2 * special.expit(v["rho"]) - 1
        jacobian = log_sigmoid(v["marker_sd"]) + log_sigmoid(v["score_sd"]) + np.log(width)
        jacobian += np.log(2) + log_sigmoid(v["rho"]) + log_sigmoid(-v["rho"])
        values = {"rho": rho, "marker_sd": s, "score_sd": score_sd} | {k: v[k] for k in ("marker_mean", "score_mean")}
        prior = sum(p.scipy.logpdf(values[name]) for name, p in model.priors.items())
        centre = float(data["centre"][0])
        pair = log_joint(data, rho, centre + v["marker_mean"], s, v["score_mean"], score_sd)
        np.testing.assert_allclose(found[i], pair.sum() + prior + jacobian, rtol=1e-8)
        draws = xr.Dataset({name: (("chain", "draw"), [[value]]) for name, value in values.items()})
        score = model.log_likelihood(draws, data)
        assert score.dims == ("chain", "draw", "subject")
        np.testing.assert_allclose(score.values[0, 0], pair, rtol=1e-6)


def test_data_sets_of_one_design_share_a_compiled_model_whatever_is_detected():
    model = Correlation(priors=PRIORS)
    one, other = model.prepare(pairs(30)), model.prepare(pairs(25, seed=7, written=False))
    assert same_computation(model.build(one), model.build(other))


def test_estimands_are_those_of_the_line():
    data = MODEL.prepare(published())
    values = {"rho": -0.5, "marker_mean": 0.1, "marker_sd": 0.9, "score_mean": 15.0, "score_sd": 8.0}
    draws = xr.Dataset({k: (("chain", "draw"), [[v, v]]) for k, v in values.items()})
    found = MODEL.estimands(draws, data)
    rng = np.random.default_rng(0)
    z, e = rng.standard_normal((2, 400_000))
    x, y = 0.1 + 0.9 * z, 15 + 8 * (-0.5 * z + np.sqrt(0.75) * e)
    slope = np.cov(x, y)[0, 1] / x.var()
    np.testing.assert_allclose(found["slope"].values, slope, rtol=0.02)
    np.testing.assert_allclose(found["slope_per_doubling"].values, found["slope"].values * np.log(2))
    np.testing.assert_allclose(found["variance_explained"].values, 0.25)
    np.testing.assert_allclose(found["correlation"].values, -0.5)
    assert found["slope"].attrs["units"] == "MADRS points per log unit"


def test_checks_apply_the_limits():
    data = MODEL.prepare(published())
    checks = {c.name: c for c in MODEL.checks(data)}
    table = published()
    seen, score = np.log(table["concentration"].to_numpy()), table["madrs_change"].to_numpy()
    inside = (table["censored"] == "none").to_numpy()
    x = np.stack([seen, seen - 30])
    found = checks["correlation among the detected"].statistic(x)
    np.testing.assert_allclose(found, [np.corrcoef(seen[inside], score[inside])[0, 1], 0])
    np.testing.assert_allclose(checks["share below the limit"].statistic(x), [(~inside).mean(), 1])
    np.testing.assert_allclose(checks["sd of the score"].statistic(score), score.std(ddof=1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": -1.0}, "scale = -1.0, but a number above zero is needed"),
        ({"priors": PRIORS | {"rho": Prior("Normal", mu=0, sigma=1)}}, "priors.rho: .* reaches outside -1 to 1"),
        ({"priors": PRIORS, "beyond_limit": "drop"}, "beyond_limit = 'drop' is not a choice"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(BadInput, match=message):
        Correlation(**settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(score=3.0), "'score' .score. is 3 in everybody"),
        (lambda t: t.assign(score=np.where(t.index == 4, np.nan, t["score"])), "row 5 is empty"),
        (lambda t: t.drop(columns="score"), "column 'score' .score. is not in the table"),
        (lambda t: pd.concat([t, t.iloc[[3]]]), "stands in rows 4 and 31"),
        (lambda t: t.assign(concentration="<3"), "was detected in nobody"),
    ],
)
def test_tables_that_cannot_be_analysed_are_refused(change, message):
    with pytest.raises(BadInput, match=message):
        Correlation(priors=PRIORS).prepare(change(pairs()))


@pytest.mark.sampling
def test_a_fit_at_the_published_design_recovers_the_truth():
    fit = bd.fit(MODEL, published(), seed=1)
    assert fit.gate.passed, fit.gate.sentence
    rho = fit.estimands["correlation"].values
    assert abs(rho.mean() - -0.565) < 3 * rho.std()
    assert fit.tree["posterior_predictive"]["log_concentration"].dims == ("chain", "draw", "subject")
    assert len(bd.check_predictions(fit)) == 4
    assert bd.plot_forest(fit).axes


@pytest.mark.sampling
def test_with_everything_detected_it_is_the_posterior_on_a_grid():
    """With flat priors rho's posterior depends on Pearson's r and n alone; n = 31."""
    table = pairs(31, written=False, seed=3)
    fit = bd.fit(Correlation(priors=FLAT), table, draws=2000, seed=2)
    x, y = np.log(table["concentration"].astype(float)), table["score"]
    r, n = np.corrcoef(x, y)[0, 1], len(x)
    rho = np.linspace(-0.9999, 0.9999, 4001)
    # Flat on means and on both sds: integrate the sds on the log scale, where u = log(s_x / r_x) and likewise for y.
    u = np.linspace(-1.5, 1.5, 301)
    a, b = np.exp(-u)[:, None], np.exp(-u)[None, :]
    log_post = np.empty(len(rho))
    for i, p in enumerate(rho):
        quadratic = (n - 1) * (a**2 - 2 * p * r * a * b + b**2) / (1 - p**2)
        # (n - 1) degrees of freedom after the means; flat in s is exp(u) in u
        log = -(n - 1) * (u[:, None] + u[None, :]) - quadratic / 2 + u[:, None] + u[None, :]
        log_post[i] = special.logsumexp(log) - (n - 1) / 2 * np.log1p(-(p**2))
    weight = np.exp(log_post - log_post.max())
    weight /= weight.sum()
    mean = (weight * rho).sum()
    sd = np.sqrt((weight * (rho - mean) ** 2).sum())
    draws = fit.estimands["correlation"].values
    assert abs(draws.mean() - mean) < 0.06 * sd
    assert abs(draws.std() / sd - 1) < 0.05


@pytest.mark.sampling
def test_with_non_detects_and_many_people_it_is_maximum_likelihood():
    table = pairs(600, seed=4)
    model = Correlation(priors=FLAT)
    data = model.prepare(table)
    fit = bd.fit(model, data, seed=3)
    lower, upper = data["log_lower"].values[:, 0], data["log_upper"].values[:, 0]
    y, detected = data["score"].values, lower == upper
    x = np.where(detected, lower, 0.0)

    def loss(v):
        rho, m, s, score_mean, score_sd = np.tanh(v[0]), v[1], np.exp(v[2]), v[3], np.exp(v[4])
        z = (y - score_mean) / score_sd
        mu, sd = m + rho * s * z, s * np.sqrt(1 - rho**2)
        mass = special.ndtr((upper - mu) / sd) - special.ndtr((lower - mu) / sd)
        density = stats.norm.logpdf(x, mu, sd)
        each = np.where(detected, density, np.log(np.where(detected, 1.0, np.maximum(mass, 1e-300))))
        return -(each + stats.norm.logpdf(y, score_mean, score_sd)).sum()

    best = optimize.minimize(loss, [0, 3, 0, 12, 1.5], method="Nelder-Mead", options={"maxiter": 8000, "fatol": 1e-9})
    draws = np.arctanh(fit.estimands["correlation"].values)
    assert abs(draws.mean() - best.x[0]) < 0.15 * draws.std()
    assert abs(np.log(fit.posterior["marker_sd"].values).mean() - best.x[2]) < 0.2 * 0.03
