"""Response: the density that is sampled, what follows from its parameters, and what is refused."""

import itertools

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from common import same_computation
from scipy import integrate, optimize, special, stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import at_draws, from_prior
from bayesdep.models.parts.censored_variables import INSIDE
from bayesdep.models.response.model import Response
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.net_benefit import net_benefit
from bayesdep.numerics.roc import best_cutoff, chance, mean_logistic, normal_nodes, roc

BASE = {"unit": "unit", "censored": "censored", "lod": "lod", "uloq": "uloq"}
SINGLE = Response(cutoff=34, plate="plate", predicts_when="below", **BASE)


def people(n=24, analytes=("IL-6",), seed=0, mixed=True):
    """Values of which, in every form, some lie beyond limits."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        y, age, sex = int(rng.random() < 0.5), float(rng.integers(20, 60)), "MF"[i % 2]
        for name in analytes:
            value = round(float(np.exp(rng.normal(3 - 0.5 * y, 0.8))), 3)
            cell = "<8" if value < 8 else ">60" if value > 60 else f"{value}"
            if mixed and 8 <= value < 12:
                cell = "8-12"
            rows.append({"subject": f"p{i}", "analyte": name, "pg": cell, "responder": y, "age": age, "sex": sex})
    return pd.DataFrame(rows)


def published(seed=1, **more):
    table = bd.simulate("kiraly2017", seed=seed, **more).table
    keep = (table["group"] == "TRD") & (table["time"] == 0) & (table["analyte"] == "FGF-2")
    return table[keep].dropna(subset=["responder"])


def log_sigmoid(v):
    return -np.logaddexp(0, -v)


def kinds(data):
    lower, upper = data["log_lower"].values, data["log_upper"].values
    return lower, upper, lower == upper


def at_random(model, data, draws=5, seed=3):
    """The built model's log density at random unconstrained points, and these points by variable."""
    built = model.build(data)
    rng = np.random.default_rng(seed)
    sizes = {
        rv.name: [len(built.coords[d]) for d in built.named_vars_to_dims.get(rv.name, ())] for rv in built.free_RVs
    }
    points = {rv: rng.normal(size=(draws, *sizes[rv.name])) for rv in built.free_RVs}
    given = {built.rvs_to_values[rv]: points[rv] for rv in built.free_RVs}
    return at_draws([built.logp()], given)[0], {rv.name: v for rv, v in points.items()}


def by_hand(model, data, u):
    """The same by scipy, at one point."""
    positive = {"slope_sd", "marker_sd", "global_scale", "local_scale", "slab_precision"}
    total, value = 0.0, {}
    for name, prior in model.priors.items():
        v = u[name]
        value[name] = np.logaddexp(0, v) if name in positive else v
        total += np.sum(prior.scipy.logpdf(value[name]) + (log_sigmoid(v) if name in positive else 0))
    if model.effects in ("normal", "student"):
        raw = stats.norm if model.effects == "normal" else stats.t(4)
        total += raw.logpdf(u["slope_raw"]).sum()
        value["slope"] = value["slope_sd"] * u["slope_raw"]
    if model.effects == "horseshoe":
        total += stats.norm.logpdf(u["slope_raw"]).sum()
        p = data.sizes["analyte"]
        tau = value["global_scale"] * model.expected_nonzero / (p - model.expected_nonzero) * data["slope_se"].values
        slab = 1 / value["slab_precision"]
        local = np.sqrt(slab * value["local_scale"] ** 2 / (slab + tau**2 * value["local_scale"] ** 2))
        value["slope"] = u["slope_raw"] * tau * local
    lower, upper, detected = kinds(data)
    scale = data["log_sd"].values
    mean, sd = data["centre"].values + scale * value["marker_mean"], scale * value["marker_sd"]
    x = np.where(detected, lower, np.nan)
    for j, (i, k) in enumerate(zip(*np.nonzero(~detected), strict=True)):
        v = u["beyond"][j]
        if np.isinf(lower[i, k]):
            x[i, k], jacobian = upper[i, k] - sd[k] * np.logaddexp(0, v), np.log(sd[k]) + log_sigmoid(v)
        elif np.isinf(upper[i, k]):
            x[i, k], jacobian = lower[i, k] + sd[k] * np.logaddexp(0, v), np.log(sd[k]) + log_sigmoid(v)
        else:
            width = upper[i, k] - lower[i, k]
            x[i, k] = lower[i, k] + width * special.expit(v)
            jacobian = np.log(width) + log_sigmoid(v) + log_sigmoid(-v)
        total += jacobian
    # detected or latent, a value has the normal's density: nothing is divided by the interval's probability
    total += stats.norm.logpdf(x, mean, sd).sum()
    eta = value["intercept"] + ((x - data["centre"].values) / scale) @ value["slope"]
    if data.sizes["covariate"]:
        eta = eta + data["covariates"].values @ value["covariate_slope"]
    return total + stats.bernoulli.logpmf(data["outcome"].values, special.expit(eta)).sum()


@pytest.mark.parametrize(
    ("settings", "analytes"),
    [
        ({}, ("IL-6",)),
        ({"covariates": "age + sex"}, ("IL-6", "FGF-2")),
        ({"scale": 1.0}, ("IL-6",)),
        ({"effects": "normal"}, ("IL-6", "FGF-2")),
        ({"effects": "student"}, ("IL-6", "FGF-2")),
        ({"effects": "horseshoe", "expected_nonzero": 1.5}, ("IL-6", "FGF-2", "IL-8")),
    ],
)
def test_the_density_is_that_of_the_model(settings, analytes):
    model = Response(value="pg", analyte="analyte", predicts_when="below", **settings)
    data = model.prepare(people(analytes=analytes))
    lower, upper, detected = kinds(data)
    assert np.isinf(lower).any()
    assert np.isinf(upper).any()
    assert (~detected & np.isfinite(lower) & np.isfinite(upper)).any()
    found, points = at_random(model, data)
    expected = [by_hand(model, data, {k: v[i] for k, v in points.items()}) for i in range(len(found))]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_without_non_detects_there_is_no_latent_value():
    model = Response(value="pg", predicts_when="below")
    data = model.prepare(people().assign(pg=np.linspace(1, 9, 24)))
    assert "beyond" not in [rv.name for rv in model.build(data).free_RVs]
    found, points = at_random(model, data)
    expected = [by_hand(model, data, {k: v[i] for k, v in points.items()}) for i in range(len(found))]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_the_transform_of_latent_values_goes_both_ways():
    lower, upper = np.array([-np.inf, 1.0, -2.0]), np.array([0.5, np.inf, 3.0])
    value = np.array([0.3, -1.2, 2.0])
    there = INSIDE.backward(value, 0.0, 0.7, lower, upper).eval()
    assert ((there > lower) & (there < upper)).all()
    np.testing.assert_allclose(INSIDE.forward(there, 0.0, 0.7, lower, upper).eval(), value, rtol=1e-10)
    step = 1e-6
    slope = (INSIDE.backward(value + step, 0.0, 0.7, lower, upper).eval() - there) / step
    slope = np.log(np.abs(slope))
    np.testing.assert_allclose(INSIDE.log_jac_det(value, 0.0, 0.7, lower, upper).eval(), slope, atol=1e-5)


def test_data_sets_of_one_design_share_a_compiled_model():
    one, other = SINGLE.prepare(published(1)), SINGLE.prepare(published(1))
    other = other.assign(outcome=1 - other["outcome"], log_lower=other["log_lower"] + 0.1)
    other["log_upper"] = other["log_upper"] + 0.1
    assert same_computation(SINGLE.build(one), SINGLE.build(other))


def test_prior_draws_respect_the_limits_and_the_outcome_follows():
    model = Response(value="pg", predicts_when="below")
    data = model.prepare(people())
    built = model.build(data)
    beyond, y, x = from_prior([built["beyond"], built["outcome"], built["log_concentration"]], 200, seed=1)
    lower, upper, detected = kinds(data)
    assert (beyond >= lower[~detected]).all()
    assert (beyond <= upper[~detected]).all()
    assert set(np.unique(y)) == {0, 1}
    assert x.shape == (200, 24, 1)


# --- what follows from the parameters ---------------------------------------------------------------------------------

A, B, M, S = 0.4, -1.3, 0.2, 0.9


def posterior_of(data, **values):
    dims = dict.fromkeys(("slope", "marker_mean", "marker_sd"), ("analyte",)) | {"covariate_slope": ("covariate",)}
    values = {"intercept": A, "slope": [B], "marker_mean": [M], "marker_sd": [S]} | values
    per = data["log_sd"].values  # given per natural log, sampled per standard deviation
    values |= {"slope": values["slope"] * per} | {k: values[k] / per for k in ("marker_mean", "marker_sd")}
    arrays = {
        k: (("chain", "draw", *dims.get(k, ())), np.broadcast_to(v, (2, 3, *np.shape(v))).copy())
        for k, v in values.items()
    }
    return xr.Dataset(arrays, {"analyte": data["analyte"], "covariate": data["covariate"]})


def integral(f, low=-12.0, high=12.0):
    return integrate.quad(f, low, high, epsabs=1e-13, limit=400)[0]


def accuracy_by_quad(p, cutoff, below=True):
    """Sensitivity, specificity and the area under the curve by adaptive integration over standardised t."""
    sign = 1 if below else -1
    yes, no = (lambda t: stats.norm.pdf(t) * p(t)), (lambda t: stats.norm.pdf(t) * (1 - p(t)))
    share = integral(yes)
    ends = (-12.0, cutoff) if below else (cutoff, 12.0)
    sensitivity, alarm = integral(yes, *ends) / share, integral(no, *ends) / (1 - share)
    grid = np.linspace(-9, 9, 4001)
    cdf = integrate.cumulative_simpson(stats.norm.pdf(grid) * p(grid), x=grid, initial=0) / share
    area = integrate.simpson((cdf if sign > 0 else 1 - cdf) * no(grid), x=grid) / (1 - share)
    return sensitivity, 1 - alarm, area


@pytest.mark.parametrize("side", ["below", "above"])
@pytest.mark.parametrize("slope", [B, 0.7])
def test_accuracy_is_that_of_the_population(side, slope):
    model = Response(cutoff=34, plate="plate", predicts_when=side, **BASE)
    data = model.prepare(published())
    found = model.estimands(posterior_of(data, slope=[slope]), data).isel(chain=1, draw=2)
    centre = float(data["centre"][0])
    p = lambda t: special.expit(A + slope * (M + S * t))  # noqa: E731  (a formula)
    cutoff = (np.log(34) - centre - M) / S
    sensitivity, specificity, area = accuracy_by_quad(p, cutoff, side == "below")
    expected = {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "auc": area,
        "likelihood_ratio_positive": sensitivity / (1 - specificity),
        "likelihood_ratio_negative": (1 - sensitivity) / specificity,
        "odds_ratio_per_doubling": 2**slope,
        "slope": slope,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(float(found[name].squeeze()), value, rtol=1e-5, err_msg=name)
    assert (float(found["auc"]) > 0.5) == ((slope < 0) == (side == "below"))

    def negative_youden(t):
        return -sum(accuracy_by_quad(p, t, side == "below")[:2]) + 1

    logs = np.log(published()["concentration"])
    ends = ((logs.min() - centre - M) / S, (logs.max() - centre - M) / S)
    best = optimize.minimize_scalar(negative_youden, bounds=ends, method="bounded", options={"xatol": 1e-7})
    if best.fun < min(map(negative_youden, ends)):  # the marker points the right way
        at = (np.log(float(found["best_cutoff"])) - centre - M) / S
        np.testing.assert_allclose(at, best.x, atol=1e-3)
    np.testing.assert_allclose(float(found["youden"]), -min(best.fun, *map(negative_youden, ends)), atol=1e-8)
    # along the curve: the cutoff at that false-positive rate, and its sensitivity
    for rate in (0.02, 0.3, 0.98):
        t = optimize.brentq(lambda t, r=rate: 1 - accuracy_by_quad(p, t, side == "below")[1] - r, -6, 6, xtol=1e-10)
        curve = float(found["roc"].sel(false_positive_rate=rate))
        np.testing.assert_allclose(curve, accuracy_by_quad(p, t, side == "below")[0], atol=2e-6)


def treated_by_quad(densities, chances, threshold):
    """Each draw's net benefit of treating where the mean chance is above the threshold; that point by root finding."""
    weight = threshold / (1 - threshold)
    above = lambda x: np.mean([p(x) for p in chances]) - threshold  # noqa: E731  (a formula)
    grid = np.linspace(-20, 20, 4001)
    signs = [above(x) > 0 for x in grid]
    ends = [-20.0, *(optimize.brentq(above, grid[i], grid[i + 1]) for i in np.flatnonzero(np.diff(signs))), 20.0]
    parts = [(a, b) for a, b in itertools.pairwise(ends) if above((a + b) / 2) > 0]
    gains = [lambda x, d=d, p=p: d(x) * (p(x) - weight * (1 - p(x))) for d, p in zip(densities, chances, strict=True)]
    return [sum(integral(gain, a, b) for a, b in parts) for gain in gains]


def test_the_net_benefit_is_that_of_one_rule_for_all_draws():
    model = Response(plate="plate", predicts_when="below", **BASE)
    data = model.prepare(published())
    centre = float(data["centre"][0])
    draws = [(0.4, -1.3, 0.2, 0.9), (-0.3, -0.2, 0.5, 0.6), (0.9, 0.4, -0.1, 1.2)]  # of which one points the other way
    posterior = posterior_of(data).isel(chain=[0])
    per = float(data["log_sd"][0])
    for name, k, scale in (
        ("intercept", 0, 1),
        ("slope", 1, per),
        ("marker_mean", 2, 1 / per),
        ("marker_sd", 3, 1 / per),
    ):
        posterior[name].values[0] = np.reshape([d[k] * scale for d in draws], posterior[name].shape[1:])
    found = model.estimands(posterior, data)
    chances = [lambda x, a=a, b=b: special.expit(a + b * (x - centre)) for a, b, _, _ in draws]
    densities = [lambda x, m=m, s=s: stats.norm.pdf(x, centre + m, s) for _, _, m, s in draws]
    shares = [integral(lambda x, d=d, p=p: d(x) * p(x), -20, 20) for d, p in zip(densities, chances, strict=True)]
    for threshold in (0.1, 0.5, 0.55, 0.7, 0.9):
        expected = treated_by_quad(densities, chances, threshold)
        everybody = [y - threshold / (1 - threshold) * (1 - y) for y in shares]
        at = found.sel(threshold=threshold).isel(chain=0)
        of = at["net_benefit"].transpose("decision", "draw")
        np.testing.assert_allclose(of.sel(decision="by the marker"), expected, atol=2e-4)
        np.testing.assert_allclose(of.sel(decision="everybody"), everybody, atol=2e-4 / (1 - threshold))
        gain = np.array(expected) - np.maximum(everybody, 0)
        np.testing.assert_allclose(at["net_benefit_gain"], gain, atol=2e-4 / (1 - threshold))


def test_no_rule_is_better_than_the_one_that_knows_the_chances():
    rng = np.random.default_rng(3)
    mean, sd, slope = rng.normal(0, 0.3, 5), rng.uniform(0.5, 1.5, 5), rng.normal(0, 2, 5)
    intercepts, thresholds = rng.normal(0, 1, (5, 3)), np.array([0.1, 0.3, 0.6, 0.9])
    known = [net_benefit(*(v[[i]] for v in (mean, sd, intercepts, slope)), thresholds)[0][0] for i in range(5)]
    shared, everybody = net_benefit(mean, sd, intercepts, slope, thresholds)
    assert (np.array(known) >= shared - 1e-4).all()
    assert (np.array(known) >= np.maximum(everybody, 0) - 1e-4).all()
    assert (np.array(known) > shared + 1e-3).any()  # the five draws disagree


def test_covariates_are_averaged_over_the_people_at_hand():
    model = Response(value="pg", cutoff=20, covariates="age + sex", predicts_when="below")
    data = model.prepare(people())
    c = np.array([0.8, -0.6])
    found = model.estimands(posterior_of(data, covariate_slope=c), data).isel(chain=0, draw=0)
    shift = data["covariates"].values @ c
    p = lambda t: special.expit(A + B * (M + S * np.asarray(t)[..., None]) + shift).mean(axis=-1)  # noqa: E731  (a formula)
    cutoff = (np.log(20) - float(data["centre"][0]) - M) / S
    sensitivity, specificity, area = accuracy_by_quad(p, cutoff)
    for name, value in (("sensitivity", sensitivity), ("specificity", specificity), ("auc", area)):
        np.testing.assert_allclose(float(found[name]), value, rtol=1e-6, err_msg=name)
    per_year = float(found["covariate_odds_ratio"].sel(covariate="age"))
    np.testing.assert_allclose(per_year, np.exp(0.8 / people().drop_duplicates("subject")["age"].std(ddof=0)))


def test_of_several_analytes_the_area_is_that_of_their_index():
    model = Response(value="pg", analyte="analyte")
    data = model.prepare(people(analytes=("a", "b")))
    b, m, s = np.array([0.9, -1.1]), np.array([0.1, -0.2]), np.array([0.8, 1.2])
    found = model.estimands(posterior_of(data, slope=b, marker_mean=m, marker_sd=s), data)
    assert "roc" not in found
    spread = np.sqrt((b**2 * s**2).sum())
    _, _, area = accuracy_by_quad(lambda t: special.expit(A + b @ m + spread * t), 0.0, below=False)
    np.testing.assert_allclose(found["auc"].values, area, rtol=1e-6)


def test_a_useless_marker_has_an_area_of_one_half():
    area, curve = roc(np.zeros((1, 1)), np.zeros(1), np.array([0.1, 0.5, 0.9]))
    np.testing.assert_allclose(area, 0.5, atol=1e-9)
    np.testing.assert_allclose(curve, [[0.1, 0.5, 0.9]], atol=1e-6)


def test_a_marker_that_points_the_wrong_way_has_its_best_cutoff_at_an_end():
    t, index = best_cutoff(np.array([-1.0]), np.array([2.5]), np.array([[0.3]]), np.array([1.5]))
    assert float(t[0]) == 2.5
    assert index[0] < 0


def test_quadrature_of_the_normal_distribution_in_every_place():
    lower = np.array([-np.inf, -np.inf, 3.0, -1.0, -20.0, 6.0, -np.inf])
    upper = np.array([-6.0, 0.4, np.inf, 1.5, -19.9, 6.001, 30.0])
    for nodes in (61, 21):
        z, log_weight = normal_nodes(lower, upper, nodes)
        assert ((z > lower[:, None]) & (z < upper[:, None])).all()
        mass = special.logsumexp(log_weight, axis=-1)
        flip = lower > 0
        a, b = special.log_ndtr(np.where(flip, -upper, lower)), special.log_ndtr(np.where(flip, -lower, upper))
        expected = b + np.log1p(-np.exp(a - b))
        np.testing.assert_allclose(mass, expected, atol=1e-9 if nodes == 61 else 2e-4)


def test_the_chance_is_right_where_it_is_small():
    yes, no = chance(np.array([[50.0]]), np.array([[0.0]]), np.array([1.0]))
    assert float(yes[0, 0]) == 1.0
    np.testing.assert_allclose(no[0, 0], special.expit(-50.0))


# --- scores of people -------------------------------------------------------------------------------------------------


def test_the_score_of_one_non_detect_is_the_integral_and_more_nodes_change_nothing():
    model = Response(value="pg", covariates="age", predicts_when="below")
    data = model.prepare(people())
    score = model.log_likelihood(posterior_of(data, covariate_slope=[0.5]), data).isel(chain=0, draw=1)
    lower, upper, detected = kinds(data)
    centre = float(data["centre"][0])
    for i in range(data.sizes["subject"]):
        sign = 2 * int(data["outcome"][i]) - 1
        own = A + 0.5 * float(data["covariates"][i, 0])

        def joint(x, own=own, sign=sign):
            return stats.norm.pdf(x, centre + M, S) * special.expit(sign * (own + B * (x - centre)))

        expected = (
            joint(lower[i, 0])
            if detected[i, 0]
            else integral(joint, max(lower[i, 0], centre - 12), min(upper[i, 0], centre + 12))
        )
        np.testing.assert_allclose(float(score[i]), np.log(expected), atol=1e-8)


def test_the_score_of_several_non_detects_is_the_integral_over_them_all():
    model = Response(value="pg", analyte="analyte")
    table = people(n=6, analytes=("a", "b", "c"), mixed=False)
    table.loc[:2, "pg"] = ["<8", ">60", "8-12"]
    table.loc[3:5, "pg"] = ["<8", "<8", "20"]
    table["responder"] = np.repeat([1, 0, 1, 0, 1, 0], 3)
    data = model.prepare(table)
    b, m, s = np.array([0.9, -1.4, 0.6]), np.array([0.1, -0.2, 0.3]), np.array([0.8, 1.2, 1.0])
    score = model.log_likelihood(posterior_of(data, slope=b, marker_mean=m, marker_sd=s), data)[0, 0].values
    lower, upper, detected = kinds(data)
    for i in (0, 1):
        grids = []
        for k in range(3):
            if detected[i, k]:
                x = np.array([lower[i, k] - data["centre"].values[k]])
                grids.append((x, stats.norm.pdf(x, m[k], s[k])))
                continue
            low = max(lower[i, k] - data["centre"].values[k], m[k] - 9 * s[k])
            high = min(upper[i, k] - data["centre"].values[k], m[k] + 9 * s[k])
            node, weight = np.polynomial.legendre.leggauss(120)
            x = (low + high) / 2 + (high - low) / 2 * node
            grids.append((x, weight * (high - low) / 2 * stats.norm.pdf(x, m[k], s[k])))
        eta = A + sum(b[k] * np.expand_dims(grids[k][0], [a for a in range(3) if a != k]) for k in range(3))
        sign = 2 * int(data["outcome"][i]) - 1
        weight = grids[0][1][:, None, None] * grids[1][1][None, :, None] * grids[2][1][None, None, :]
        np.testing.assert_allclose(score[i], np.log((weight * special.expit(sign * eta)).sum()), atol=1e-5)


def test_the_mean_of_a_logistic_function_of_a_sum():
    rng = np.random.default_rng(1)
    for size in (0.5, 3.0, 12.0):
        values, weights = rng.normal(0, size, (4, 2, 5)), rng.random((4, 2, 5))
        fixed = rng.normal(0, size, 4)
        share = weights / weights.sum(axis=-1, keepdims=True)
        every = fixed[:, None, None] + values[:, 0, :, None] + values[:, 1, None, :]
        expected = (share[:, 0, :, None] * share[:, 1, None, :] * special.expit(every)).sum(axis=(1, 2))
        np.testing.assert_allclose(mean_logistic(fixed, values, np.log(weights)), expected, atol=1e-8)


# --- tables -----------------------------------------------------------------------------------------------------------


def test_a_table_becomes_people():
    data = SINGLE.prepare(published())
    assert data.sizes["subject"] == 31
    assert data["analyte"].values.tolist() == ["concentration"]
    below = np.isinf(data["log_lower"].values)
    np.testing.assert_array_equal(data["log_upper"].values[below], data["log_lod"].values[below])
    seen = np.log(published()["concentration"].to_numpy())
    np.testing.assert_allclose(data["centre"].values, seen.mean())
    lower, upper = (data[f"log_{w}"].values[:, 0] for w in ("lower", "upper"))

    def loss(parameters):  # a normal of which some values lie below limits, by hand
        mean, sd = parameters[0], np.exp(parameters[1])
        known = lower == upper
        return -np.where(known, stats.norm.logpdf(upper, mean, sd), stats.norm.logcdf(upper, mean, sd)).sum()

    ml = optimize.minimize(loss, [seen.mean(), 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    np.testing.assert_allclose(data["log_sd"].values, np.exp(ml.x[1]), rtol=1e-5)
    # by hand: n p (1 - p) times what limits leave of the variance, 1 - share hidden times its variance given the limit
    n, p = 31, data["outcome"].values.mean()
    ends = (upper[below[:, 0]] - seen.mean()) / data["log_sd"].values
    left = [integrate.quad(lambda x, b=b: x**2 * stats.norm.pdf(x), -40, b)[0] / stats.norm.cdf(b) for b in ends]
    mean = [-stats.norm.pdf(b) / stats.norm.cdf(b) for b in ends]
    hidden = np.sum(np.array(left) - np.square(mean)) / n
    np.testing.assert_allclose(data["slope_se"].values, 1 / np.sqrt(n * p * (1 - p) * (1 - hidden)), rtol=1e-7)
    assert data["unit"].values.tolist() == ["pg/mL"]


def test_labels_and_numbers_are_outcomes_alike():
    table = people()
    plain = Response(value="pg", predicts_when="below").prepare(table)["outcome"].values
    for column, event in (
        (table["responder"].map({1: "yes", 0: "no"}), "yes"),
        (table["responder"].astype(bool), None),
        (table["responder"].astype(float), None),
    ):
        read = Response(value="pg", event=event, predicts_when="below").prepare(table.assign(responder=column))
        np.testing.assert_array_equal(read["outcome"].values, plain)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutoff": -3, "predicts_when": "below"}, "cutoff = -3, but a concentration above zero"),
        ({}, "say whether a value 'below' or 'above' a cutoff predicts the outcome, as predicts_when = 'below'"),
        ({"scale": 0, "predicts_when": "below"}, "scale = 0, but a number above zero"),
        ({"effects": "student", "predicts_when": "below"}, "effects = 'student' needs several analytes"),
        ({"effects": "lasso"}, "effects = 'lasso' is not a choice"),
        ({"effects": "horseshoe", "analyte": "a"}, "expected_nonzero is missing"),
        ({"effects": "horseshoe", "analyte": "a", "expected_nonzero": 0}, "a number above zero is needed"),
        ({"effects": "horseshoe", "expected_nonzero": 2, "predicts_when": "below"}, "needs several analytes"),
        ({"expected_nonzero": 2, "predicts_when": "below"}, "expected_nonzero is the horseshoe's"),
        ({"flag_codes": "left", "predicts_when": "below"}, "flag_codes = 'left', but a table"),
        (
            {"predicts_when": "below", "priors": {"slab_precision": Prior("Gamma", alpha=2, beta=8)}},
            "the model has no such parameter",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(BadInput, match=message):
        Response(**settings)


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (lambda t: t.assign(responder=1), {}, "'1' in everybody, so nothing can predict it"),
        (
            lambda t: t.assign(responder=t["responder"] * 2),
            {},
            r"row \d+ is '2', where 0 or 1 is needed; .* with event",
        ),
        (lambda t: t, {"event": "2"}, "event = '2' is no label in column 'responder'"),
        (
            lambda t: t.assign(responder=["a", "b", "c"] * 16),
            {"event": "a", "analyte": None, "subject": "row"},
            "has 3 labels",
        ),
        (lambda t: t.assign(responder=np.where(t.index == 3, np.nan, 1)), {}, "of one person, but have"),
        (lambda t: t.assign(responder=np.where(t.index < 2, np.nan, t["responder"])), {}, "row 1 is empty"),
        (lambda t: t.drop(index=5), {}, "'p2' has no row for analyte 'b'; add it"),
        (lambda t: pd.concat([t, t.iloc[[4]]]), {}, "stands in rows 5 and 49"),
        (lambda t: t, {"analyte": None}, "stands in rows 1 and 2"),
        (lambda t: t, {"cutoff": 3}, "cutoff = 3 is for a single analyte, but there are 2"),
        (lambda t: t, {"effects": "horseshoe", "expected_nonzero": 2}, "a smaller number is needed"),
        (lambda t: t.assign(pg=np.where(t["analyte"] == "a", "<8", t["pg"])), {}, "'a' was detected in nobody"),
        (lambda t: t.assign(pg=np.where(t["analyte"] == "a", "9", t["pg"])), {}, "'a' has one value throughout"),
        (lambda t: t.assign(age=np.arange(48)), {"covariates": "age"}, "'age' .covariate.: rows 1 and 2 are of one"),
        (lambda t: t, {"covariates": "agee"}, "there is no column 'agee'"),
        (lambda t: t.drop(columns="responder"), {}, "column 'responder' .* is not in the table"),
    ],
)
def test_tables_that_cannot_be_analysed_are_refused(change, settings, message):
    table = people(analytes=("a", "b")).assign(row=[f"r{i}" for i in range(48)])
    model = Response(**({"value": "pg", "analyte": "analyte", "predicts_when": "below"} | settings))
    with pytest.raises(BadInput, match=message):
        model.prepare(change(table))


def test_checks_apply_the_limits_and_survive_one_sided_replicates():
    data = SINGLE.prepare(published())
    checks = {c.name: c for c in SINGLE.checks(data)}
    y = data["outcome"].values
    seen = np.log(published()["concentration"].to_numpy())
    below = (published()["censored"] == "left").to_numpy()
    replicates = np.stack([y, np.zeros_like(y), np.ones_like(y)])
    gap = checks["mean log, responders less others"].statistic(replicates)
    np.testing.assert_allclose(gap, [seen[y == 1].mean() - seen[y == 0].mean(), 0, 0])
    share = checks["share below the limit, responders"].statistic(replicates)
    np.testing.assert_allclose(share, [below[y == 1].mean(), 0, below.mean()])
    x = np.stack([seen, seen - 20, seen + 0.5])[..., None]
    np.testing.assert_allclose(checks["share below the limit"].statistic(x)[:2], [below.mean(), 1])
    largest = checks["largest detected, less the centre"].statistic(x)
    np.testing.assert_allclose(largest[[0, 2]], seen.max() - seen.mean() + np.array([0, 0.5]))


# --- fits -------------------------------------------------------------------------------------------------------------


@pytest.mark.sampling
def test_a_fit_at_the_published_design_recovers_the_truth():
    made = bd.simulate("kiraly2017", seed=1)
    fit = bd.fit(SINGLE, published(), seed=1)
    assert fit.gate.passed, fit.gate.sentence
    truth = made.truth["response"]
    slope = fit.estimands["slope"].values
    assert abs(slope.mean() - truth["slope"]) < 3 * slope.std()
    mean = float(fit.data["centre"][0]) + float(fit.data["log_sd"][0]) * fit.posterior["marker_mean"].values
    assert abs(mean.mean() - truth["centre"]) < 3 * mean.std()
    upper = fit.data["log_upper"].values[np.isinf(fit.data["log_lower"].values)]
    assert (fit.posterior["beyond"].values <= upper).all()
    assert fit.tree["log_likelihood"]["by_subject"].dims == ("chain", "draw", "subject")
    assert fit.tree["posterior_predictive"]["outcome"].dims == ("chain", "draw", "subject")
    assert set(bd.check_predictions(fit)["check"]) >= {"share of responders", "share below the limit, responders"}
    assert bd.plot_forest(fit).axes


@pytest.mark.sampling
def test_with_everything_detected_and_flat_priors_it_is_logistic_regression():
    rng = np.random.default_rng(5)
    n = 400
    log, age = rng.normal(3, 0.8, n), rng.normal(40, 10, n)
    y = rng.random(n) < special.expit(0.3 - 1.0 * (log - 3) + 0.03 * (age - 40))
    table = pd.DataFrame({"subject": np.arange(n), "concentration": np.exp(log), "responder": y, "age": age})
    flat = {name: Prior("Normal", mu=0, sigma=50) for name in ("intercept", "slope", "covariate_slope")}
    model = Response(covariates="age", priors=flat, predicts_when="below", scale=1)
    fit = bd.fit(model, table, seed=2)
    design = np.column_stack([np.ones(n), log - log.mean(), (age - age.mean()) / age.std()])

    def loss(beta):
        return -special.log_expit(np.where(y, 1, -1) * (design @ beta)).sum()

    ml = optimize.minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-8})
    p = special.expit(design @ ml.x)
    se = np.sqrt(np.diag(np.linalg.inv((design * (p * (1 - p))[:, None]).T @ design)))
    for j, name in enumerate(("intercept", "slope", "covariate_slope")):
        draws = fit.posterior[name].values
        assert abs(draws.mean() - ml.x[j]) < 0.2 * se[j], name
        assert abs(draws.std() / se[j] - 1) < 0.1, name


@pytest.mark.sampling
def test_the_horseshoe_keeps_what_matters():
    rng = np.random.default_rng(8)
    n, names = 80, [f"a{k}" for k in range(12)]
    x = rng.normal(2, 1, (n, 12))
    y = rng.random(n) < special.expit(2.0 * (x[:, 3] - 2))
    table = pd.DataFrame(
        {
            "subject": np.repeat(np.arange(n), 12),
            "analyte": np.tile(names, n),
            "concentration": [f"{np.exp(v):.4f}" if v > 0.8 else "<2.2255" for v in x.ravel()],
            "responder": np.repeat(y, 12),
        }
    )
    model = Response(analyte="analyte", effects="horseshoe", expected_nonzero=2)
    fit = bd.fit(model, table, draws=500, tune=1000, seed=4)
    slope = fit.estimands["slope"]
    medians = np.abs(slope.median(("chain", "draw")).values)
    assert medians.argmax() == 3
    assert np.delete(medians, 3).max() < medians[3] / 3
    draws = slope.values[..., 3]
    assert abs(draws.mean() - 2.0) < 3 * draws.std()
