"""Individual-patient meta-analysis: density against dense normals; data, estimands and checks against the patients."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytensor
import pytest
import xarray as xr
from common import changed, prior_draws, same_computation
from scipy import integrate, special, stats
from unsampled import made

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.designs.price2022 import draw_price2022
from bayesdep.inference.evaluate import at_draws, uncompiled
from bayesdep.inference.saved import read_tree, write_tree
from bayesdep.models.model import ScoresUnits
from bayesdep.models.patient_meta.density import density_and_slopes
from bayesdep.models.patient_meta.likelihood import deviations, log_density, log_sds_of_studies, raw_products, residuals
from bayesdep.models.patient_meta.model import PatientMeta
from bayesdep.models.patient_meta.moderators import BETWEEN, WHOLE, WITHIN
from bayesdep.models.patient_meta.products import columns_of, statistics_of
from bayesdep.models.patient_meta.quadratic import as_quadratic, coefficient_maps, rough_interactions
from bayesdep.models.patient_meta.scores import coefficients_of, log_likelihood, roots_of
from bayesdep.models.register import make_model, model_class, settings_of

PLANS = Path(__file__).parents[1] / "models"
COLUMNS = {"reference": "control", "outcome": "improvement", "units": "% improvement"}
RANDOM = {"study_levels": "random"}
MODELS = {
    "core": {"baseline": "madrs_baseline"} | RANDOM,
    "rapid": {"times": ["rapid"]} | RANDOM,
    "moderators": {"moderators": ["trd", "age"], "baseline": "madrs_baseline"} | RANDOM,
    "whole": {"moderators": ["trd", "bmi"], "split": False, "effects": "normal"} | RANDOM,
    "horseshoe": {"moderators": ["us", "systolic"], "effects": "horseshoe", "expected_nonzero": 2} | RANDOM,
    "free": {"baseline": "madrs_baseline"},
    "free, rapid": {"times": ["rapid"]},
    "free, moderators": {"moderators": ["trd", "age"], "baseline": "madrs_baseline", "effects": "student"},
}


@functools.cache
def table():
    return draw_price2022(np.random.default_rng(7)).table


@functools.cache
def model(name):
    return PatientMeta(**COLUMNS, **MODELS[name])


@functools.cache
def data_of(name):
    return model(name).prepare(table())


def parameters(data, seed=1):
    """Coefficients, residual sds, correlation and root of the covariance between studies, at random."""
    rng = np.random.default_rng(seed)
    times, columns = data.sizes["time"], data.sizes["column"]
    gamma = 0.3 * rng.normal(size=(2, columns, times))
    sd = np.exp(0.2 * rng.normal(size=(data.sizes["study"], times)))
    root = np.tril(0.3 * rng.normal(size=(2 * times, 2 * times)))
    if (data["proper"].values == 0).any():  # free levels have ones, and nothing to do with all else
        root[::2], root[:, ::2] = 0.0, 0.0
        root[::2, ::2] = np.eye(times)
    return gamma, sd, np.asarray(0.6 if times > 1 else 0.0), root


def products(data):
    return tuple(data[v].values for v in ("cross", "projected", "outcomes", "seen", "proper"))


def standardised(data):
    return (data["outcome"].values - data["outcome_mean"].values) / data["outcome_sd"].values


def of_study(data, k, gamma, sd, rho, root):
    """Outcomes of a study's patients seen, their means, design of deviations, residual and total covariance."""
    who = np.flatnonzero(data["study_of"].values == k)
    z, treated, times = columns_of(data)[who], data["arm_of"].values[who], data.sizes["time"]
    mean = np.stack([row @ gamma[arm] for row, arm in zip(z, treated, strict=True)]).ravel()
    design = np.stack([np.kron(np.eye(times), [[1, arm - 0.5]]) for arm in treated]).reshape(len(mean), -1)
    correlation = np.eye(times) + rho * (1 - np.eye(times))
    residual = np.kron(np.eye(len(who)), np.outer(sd[k], sd[k]) * correlation)
    y = standardised(data)[who].ravel()
    at = ~np.isnan(y)
    of_prior = root @ np.diag(data["proper"].values[k]) @ root.T
    whole = residual + design @ of_prior @ design.T
    return y[at], mean[at], design[at], residual[np.ix_(at, at)], whole[np.ix_(at, at)]


def dense(data, *given):
    """Densities of studies' outcomes, or where levels are free, restricted ones (Harville 1974, up to a constant)."""
    found = []
    for k in range(data.sizes["study"]):
        y, mean, design, _, whole = of_study(data, k, *given)
        flat = design[:, data["proper"].values[k] == 0]
        if not flat.shape[1]:
            found.append(stats.multivariate_normal.logpdf(y, mean, whole))
            continue
        inverse = np.linalg.inv(whole)
        information = flat.T @ inverse @ flat
        left = y - mean - flat @ np.linalg.solve(information, flat.T @ inverse @ (y - mean))
        log_det = np.linalg.slogdet(whole)[1] + np.linalg.slogdet(information)[1]
        found.append(-(left @ inverse @ left + log_det + (len(y) - flat.shape[1]) * np.log(2 * np.pi)) / 2)
    return np.array(found)


def conditional(data, k, *given):
    """Mean and covariance of a study's deviations given its data: Bayes' rule for normals, flat where not proper."""
    y, mean, design, residual, _ = of_study(data, k, *given)
    up = np.linalg.inv(given[3])
    precision = up.T @ np.diag(data["proper"].values[k]) @ up + design.T @ np.linalg.inv(residual) @ design
    covariance = np.linalg.inv(precision)
    return covariance @ design.T @ np.linalg.solve(residual, y - mean), covariance


def by_formula(data, gamma, sd, rho, root):
    cross, projected, outcomes, seen, proper = products(data)
    raw = raw_products(outcomes, cross[..., 0, 0], data.sizes["time"])
    rest = residuals(gamma, cross, projected, raw, seen, proper)
    return rest, (sd, np.full(len(sd), rho), np.broadcast_to(root, (len(sd), *root.shape)))


def core(model):
    """The sampled model, without variables not needed for the likelihood."""
    from pymc.model.transform.conditioning import prune_vars_detached_from_observed

    return prune_vars_detached_from_observed(model)


# ---- the density


@pytest.mark.parametrize("name", MODELS)
def test_density_by_sums_of_products_equals_dense_normals_of_patients(name):
    data = data_of(name)
    given = parameters(data)
    expected = dense(data, *given)
    rest, of_studies = by_formula(data, *given)
    np.testing.assert_allclose(log_density(rest, *of_studies), expected, rtol=1e-10, atol=1e-8)
    assert float(density_and_slopes(*given, *products(data))[0]) == pytest.approx(expected.sum(), rel=1e-12, abs=1e-8)


@pytest.mark.parametrize("name", ["moderators", "free, moderators"])
def test_missing_outcomes_at_either_time_are_those_of_the_marginal_normal(name):
    """Every pattern: both, the first alone, the second alone; and a study without anybody at the second time."""
    some = table().copy()
    rng = np.random.default_rng(3)
    some.loc[rng.random(len(some)) < 0.3, "improvement"] = np.nan
    some.loc[(some["study"] == "Sos") & (some["time"] == "post-rapid"), "improvement"] = np.nan
    data = model(name).prepare(some)
    assert list(data["pattern"].values) == ["rapid and post-rapid", "post-rapid", "rapid"]
    given = parameters(data, 2)
    expected = dense(data, *given)
    rest, of_studies = by_formula(data, *given)
    np.testing.assert_allclose(log_density(rest, *of_studies), expected, rtol=1e-10, atol=1e-8)
    assert float(density_and_slopes(*given, *products(data))[0]) == pytest.approx(expected.sum(), rel=1e-12, abs=1e-8)


@pytest.mark.parametrize("name", ["rapid", "moderators", "free, rapid", "free, moderators"])
def test_slopes_are_those_of_the_density(name):
    data = data_of(name)
    given = [np.array(x) for x in parameters(data, 4)]
    _, *slopes = density_and_slopes(*given, *products(data))
    for which, (value, slope) in enumerate(zip(given, slopes, strict=True)):
        if which == 2 and data.sizes["time"] == 1:
            continue  # there is no second time to correlate with
        for index in np.ndindex(value.shape):
            if which == 3 and index[1] > index[0]:
                assert slope[index] == 0  # above the diagonal a root has nothing
                continue
            if which == 3 and name.startswith("free") and index[1] % 2 == 0:
                assert slope[index] == pytest.approx(0, abs=1e-9)  # constants
                continue
            ends = []
            for step in (1e-5, -1e-5):
                moved = [x.copy() for x in given]
                moved[which][index] += step
                ends.append(float(density_and_slopes(*moved, *products(data))[0]))
            # densities of size 2000 have rounding errors of 1e-12 of that: 1e-4 after division by the step of 2e-5
            assert slope[index] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=2e-4)


@pytest.mark.parametrize("name", ["rapid", "moderators", "free, rapid", "free, moderators"])
def test_deviations_given_the_data_are_those_of_the_conditional_normal(name):
    data = data_of(name)
    given = parameters(data, 5)
    rest, of_studies = by_formula(data, *given)
    size, studies = given[3].shape[0], data.sizes["study"]
    mean = np.array(deviations(rest, *of_studies, [np.zeros(studies)] * size))
    moved = [
        np.array(deviations(rest, *of_studies, [np.full(studies, float(i == j)) for i in range(size)])) - mean
        for j in range(size)
    ]
    for k in range(studies):
        expected, covariance = conditional(data, k, *given)
        np.testing.assert_allclose(mean[:, k], expected, atol=1e-9)
        columns = np.stack([m[:, k] for m in moved], axis=1)
        np.testing.assert_allclose(columns @ columns.T, covariance, atol=1e-9)


@pytest.mark.parametrize("name", ["rapid", "moderators", "free, rapid", "free, moderators"])
def test_density_of_deviations_is_that_of_the_conditional_normal(name):
    import pymc as pm

    data = data_of(name)
    graph = model(name).build(data)
    given = parameters(data, 5)
    u = 0.3 * np.random.default_rng(2).normal(size=(data.sizes["study"], data.sizes["time"], 2))
    rv = graph["deviation"]
    inputs = rv.owner.op.dist_params(rv.owner)[:4]
    found = pm.logp(rv, u).eval(dict(zip(inputs, given, strict=True)), mode=uncompiled())
    expected = 0.0
    for k in range(data.sizes["study"]):
        expected += stats.multivariate_normal(*conditional(data, k, *given)).logpdf(u[k].ravel())
    assert float(found) == pytest.approx(expected, rel=1e-8)


@functools.cache
def core_of(name):
    return core(model(name).build(data_of(name)))


@functools.cache
def density_of(name):
    core = core_of(name)
    logp = core.logp()
    f = pytensor.function(core.value_vars, [logp, *pytensor.grad(logp, core.value_vars)], mode=uncompiled())
    names = [v.name for v in core.value_vars]
    return names, lambda point: f(*(np.asarray(point[n], float) for n in names))


def points(name, scale, count, seed=1):
    rng = np.random.default_rng(seed)
    start = core_of(name).initial_point()
    return [{n: scale * rng.normal(size=np.shape(x)) for n, x in start.items()} for _ in range(count)]


def softplus(point, name, law):
    """A positive x = log(1 + e^u) and the log density of u, Jacobian dx/du = 1 / (1 + e^-u) included."""
    u = point[f"{name}_softplus__"]
    x = np.logaddexp(0, u)
    return x, (law.logpdf(x) - np.logaddexp(0, -u)).sum()


def logarithm(point, name, law):
    """A positive x = e^u and the log density of u."""
    x = np.exp(point[f"{name}_log__"])
    return x, (law.logpdf(x) + np.log(x)).sum()


def learned_about(data, latent, scale):
    """Interactions N(0, scale) from latents in conditional posterior sds, and the log density of the latents."""
    y, s = rough_interactions(data, rough(data)[0])
    v = 1 / np.sqrt(1 / scale**2 + 1 / s**2)
    interaction = v**2 * y / s**2 + v * latent
    return interaction, (stats.norm.logpdf(interaction, 0, scale) + np.log(v)).sum()


def correlation(point, name):
    """2 Beta(2, 2) - 1 from its log odds u, and the log density of u."""
    u = point[f"{name}_logodds__"]
    return 2 * special.expit(u) - 1, float(2 * special.log_expit(u) + 2 * special.log_expit(-u) - special.betaln(2, 2))


def by_hand(name, point):
    """The joint log density, written from the model's docstring with scipy's densities and dense normals."""
    data, total = data_of(name), 0.0
    times = data.sizes["time"]
    for word, sd in (("intercept", 1), ("effect", 1), ("baseline_slope", 0.5), ("moderator_effect", 1)):
        if word in point:
            total += stats.norm.logpdf(point[word], 0, sd).sum()
    effect, interaction = point.get("effect"), None
    if effect is None:  # of two times: their mean and their difference have priors of their own
        effect = point["effect_overall"] + np.array([-0.5, 0.5]) * point["effect_change"]
        total += stats.norm.logpdf([point["effect_overall"], point["effect_change"]]).sum()
    if "interaction" in point:
        interaction = point["interaction"]
        total += stats.norm.logpdf(interaction).sum()
    elif "interaction_sd_softplus__" in point:
        spread, prior = softplus(point, "interaction_sd", stats.halfnorm(scale=0.3))
        if "local_precision_softplus__" in point:  # Student's t with 4 degrees of freedom as a scale mixture
            local, a = softplus(point, "local_precision", stats.gamma(2, scale=1 / 2))
            spread, prior = spread / np.sqrt(local), prior + a
        interaction, learned = learned_about(data, point["interaction_latent"], spread)
        total += prior + learned
    elif "global_scale_log__" in point:
        tau, a = logarithm(point, "global_scale", stats.lognorm(0.5))
        local, b = logarithm(point, "local_scale", stats.halfcauchy())
        precision, c = softplus(point, "slab_precision", stats.gamma(2, scale=2))
        p = data.sizes["part"] * times
        wide = tau * local * 2 / (p - 2) * error_by_design(data, level=stats.halfnorm(scale=0.3).median())
        scale = np.sqrt(wide**2 / (1 + precision * wide**2))
        interaction, learned = learned_about(data, point["interaction_latent"], scale)
        total += a + b + c + learned
    free = name.startswith("free")
    rows = [[0 * effect if free else point["intercept"], effect]]
    if "baseline_slope" in point:
        rows.append([point["baseline_slope"], 0 * point["baseline_slope"]])
    if interaction is not None:
        main = point["moderator_effect"]
        if free:  # levels hold what a moderator of studies does to them
            main = np.zeros_like(interaction)
            main[data["level"].values != BETWEEN] = point["moderator_effect"]
        rows += [[m, w] for m, w in zip(main, interaction, strict=True)]
    share = data["arm_of"].values.mean()
    gamma = np.stack([np.stack([m + (arm - share) * w for m, w in rows]) for arm in (0, 1)])
    spread = stats.halfnorm(scale=0.3)
    tau_b, b = softplus(point, "tau_effect", spread)
    tau_a, a, r, c = np.ones(times), 0.0, 0.0, 0.0
    if not free:
        tau_a, a = softplus(point, "tau_intercept", spread)
        r, c = correlation(point, "effect_share")
    total += a + b + c
    by_which, by_time, rho = np.array([[1, r], [r, 1]]), np.eye(1), 0.0
    if times > 1:
        r, c = correlation(point, "time_share")
        by_time = np.array([[1, r], [r, 1]])
        rho, d = correlation(point, "residual_share")
        total += c + d
    sds, between = np.stack([tau_a, tau_b], axis=-1).ravel(), np.kron(by_time, by_which)
    if free:
        between[::2, ::2] = np.eye(times)
    root = np.linalg.cholesky(sds[:, None] * between * sds)
    typical, a = softplus(point, "residual_sd", stats.halfnorm(scale=1))
    omega, b = softplus(point, "residual_spread", spread)
    # the latent of a log sd: in conditional posterior sds, were the study's data its sd within arms
    y, s = rough(data)
    v = 1 / np.sqrt(1 / omega**2 + 1 / s**2)
    logs = v**2 * (np.log(typical) / omega**2 + y / s**2) + v * point["log_study_sd_latent"]
    total += a + b + (stats.norm.logpdf(logs, np.log(typical), omega) + np.log(v)).sum()
    return total + dense(data, gamma, np.exp(logs), rho, root).sum()


def error_by_design(data, level):
    """Standard errors of interactions from patients one by one: sds of one, no correlation, spreads of the prior."""
    times, parts = data.sizes["time"], data.sizes["part"]
    root = np.diag([level, stats.halfnorm(scale=0.3).median()] * times)
    treated = data["arm_of"].values - float(data["share_treated"])
    x = np.column_stack([columns_of(data), treated, treated[:, None] * data["parts"].values])
    none = np.zeros((2, data.sizes["column"], times))
    whole = np.eye(times * x.shape[1]) / 9
    for k in range(data.sizes["study"]):
        who = np.flatnonzero(data["study_of"].values == k)
        _, _, _, _, covariance = of_study(data, k, none, np.ones((data.sizes["study"], times)), 0.0, root)
        at = ~np.isnan(data["outcome"].values[who].ravel())
        rows = np.stack([np.kron(np.eye(times), row) for row in x[who]]).reshape(-1, len(whole))[at]
        whole += rows.T @ np.linalg.solve(covariance, rows)
    return np.sqrt(np.diag(np.linalg.inv(whole)).reshape(times, -1)[:, -parts:]).T


def rough(data):
    """Every study's log residual sd within arms and patterns of missing times, and 1 / sqrt(2 degrees of freedom).

    Residuals of least squares of patients, with the same slopes by arm in all studies.
    """
    y, z = standardised(data), columns_of(data)[:, 1:]
    of, arm = data["study_of"].values, data["arm_of"].values
    key = (~np.isnan(y)) @ (2 ** np.arange(y.shape[1]))
    cell = 100 * of + 10 * arm + key
    logs, errors = np.empty((data.sizes["study"], y.shape[1])), np.empty((data.sizes["study"], y.shape[1]))
    for t in range(y.shape[1]):
        seen = ~np.isnan(y[:, t])
        about = pd.DataFrame(np.column_stack([y[:, t], z])[seen])
        away = (about - about.groupby(cell[seen]).transform("mean")).to_numpy()
        residual, lost = away[:, 0].copy(), 0
        for a in (0, 1):
            here = arm[seen] == a
            if z.shape[1]:
                slope, _, rank, _ = np.linalg.lstsq(away[here, 1:], away[here, 0], rcond=1e-8)
                residual[here] -= away[here, 1:] @ slope
                lost += rank
        df = np.bincount(of[seen]) - np.bincount(np.unique(cell[seen]) // 100).astype(float)
        df *= 1 - lost / df.sum()
        logs[:, t] = np.log(np.bincount(of[seen], residual**2) / df) / 2
        errors[:, t] = 1 / np.sqrt(2 * df)
    return logs, errors


def test_rough_residual_sds_are_those_of_least_squares_of_patients():
    for name in ("core", "rapid", "moderators", "whole", "free, rapid"):
        found = log_sds_of_studies(data_of(name))
        np.testing.assert_allclose(found, rough(data_of(name)), rtol=1e-8, atol=1e-10)


def test_rough_residual_sds_leave_out_what_moderators_explain():
    # were it left in, residual sds of 0.1 to 0.3 beside slopes of 2 would be sampled around 2
    rng, rows = np.random.default_rng(7), []
    for k in range(6):
        for i in range(60):
            x = rng.normal()
            y = k + 2 * x + (0.1 if k % 2 else 0.3) * rng.normal()
            who = {"study": f"s{k}", "subject": f"{k}-{i}", "arm": ("control", "drug")[i % 2], "time": "end"}
            rows.append(who | {"x": x, "y": y})
    settings = {"reference": "control", "outcome": "y", "moderators": ["x"], "split": False, "scale": 1.0}
    data = PatientMeta(**settings).prepare(pd.DataFrame(rows))
    logs, errors = log_sds_of_studies(data)
    z = (logs[:, 0] + np.log(data["outcome_sd"].values) - np.log([0.3, 0.1] * 3)) / errors[:, 0]
    assert np.abs(z).max() < 4
    assert np.abs(z).mean() < 2


@pytest.mark.parametrize("name", MODELS)
def test_log_density_equals_the_model_written_by_hand(name):
    _, density = density_of(name)
    for point in points(name, 0.5, 2):
        assert float(density(point)[0]) == pytest.approx(by_hand(name, point), rel=1e-10, abs=1e-8)


@pytest.mark.parametrize("name", MODELS)
def test_gradient_is_that_of_the_density(name):
    names, density = density_of(name)
    (point,) = points(name, 0.5, 1, seed=4)
    gradient = dict(zip(names, density(point)[1:], strict=True))
    rng = np.random.default_rng(1)
    for word, value in point.items():
        for index in rng.permutation(list(np.ndindex(np.shape(value))) or [()])[:6].tolist():
            step = np.zeros(np.shape(value))
            step[tuple(index)] = 1e-5
            up, down = (float(density({**point, word: value + s * step})[0]) for s in (1, -1))
            assert gradient[word][tuple(index)] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=2e-4)


@pytest.mark.parametrize("name", ["core", "horseshoe", "free, moderators"])
def test_density_and_gradient_are_finite_where_a_sampler_may_stray(name):
    _, density = density_of(name)
    for point in points(name, 6.0, 3):
        for value in density(point):
            assert np.isfinite(value).all()


def test_one_compiled_model_serves_other_data_of_the_same_shape():
    """Another moderator, other patients, other outcomes: the same computation; one more study is another."""
    first = PatientMeta(**COLUMNS, moderators=["trd"])
    second = PatientMeta(**COLUMNS, moderators=["us"])
    other = draw_price2022(np.random.default_rng(8), patients=900).table
    one, two = (core(m.build(m.prepare(t))) for m, t in ((first, table()), (second, other)))
    assert same_computation(one, two)
    more = draw_price2022(np.random.default_rng(8), studies=18).table
    assert not same_computation(one, core(first.build(first.prepare(more))))


@pytest.mark.parametrize("name", ["rapid", "moderators", "free, moderators"])
def test_a_study_is_a_quadratic_form_in_the_coefficients(name):
    data = data_of(name)
    _, sd, rho, root = parameters(data, 3)
    a, b, c = (x[0] for x in as_quadratic(root[None], np.asarray([rho]), sd[None], data))
    maps, times = coefficient_maps(data), data.sizes["time"]
    beta = 0.3 * np.random.default_rng(4).normal(size=(times, maps.shape[-1]))
    gamma = np.einsum("azi,ti->azt", maps, beta)
    flat = beta.ravel()
    found = -(np.einsum("i,kij,j->k", flat, a, flat) - 2 * b @ flat + c) / 2
    np.testing.assert_allclose(found, dense(data, gamma, sd, rho, root), rtol=1e-9, atol=1e-8)


def test_rough_interactions_are_generalised_least_squares_of_patients():
    data = data_of("moderators")
    log_sd = rough(data)[0]
    estimate, se = rough_interactions(data, log_sd)
    root = np.linalg.cholesky(0.04 * np.kron([[1, 0.5], [0.5, 1]], np.eye(2)))
    treated = data["arm_of"].values - float(data["share_treated"])
    x = np.column_stack(
        [np.ones(len(treated)), treated, data["baseline"], data["parts"], treated[:, None] * data["parts"].values]
    )
    whole, told = np.eye(2 * x.shape[1]) / 9, np.zeros(2 * x.shape[1])
    none = np.zeros((2, columns_of(data).shape[1], 2))
    for k in range(data.sizes["study"]):
        who = np.flatnonzero(data["study_of"].values == k)
        y, _, _, _, cov = of_study(data, k, none, np.exp(log_sd), 0.5, root)
        at = ~np.isnan(standardised(data)[who].ravel())
        design = np.stack([np.kron(np.eye(2), row) for row in x[who]]).reshape(-1, 2 * x.shape[1])[at]
        whole += design.T @ np.linalg.solve(cov, design)
        told += design.T @ np.linalg.solve(cov, y)
    expected, covariance = np.linalg.solve(whole, told).reshape(2, -1), np.linalg.inv(whole)
    np.testing.assert_allclose(estimate, expected[:, -3:].T, atol=1e-8)
    np.testing.assert_allclose(se, np.sqrt(np.diag(covariance)).reshape(2, -1)[:, -3:].T, rtol=1e-8)


# ---- what is drawn


def test_replicates_are_summaries_of_patients_drawn_one_by_one():
    """Means and products of small studies, with arms of one, two and many patients, against patients drawn."""
    sizes = {"a": (1, 2), "b": (2, 3), "c": (8, 30)}
    rng = np.random.default_rng(5)
    rows = [
        {"study": s, "subject": f"{s}{a}{i}", "arm": arm, "time": t, "improvement": rng.normal(), "x": x}
        for s, arms in sizes.items()
        for a, (arm, n) in enumerate(zip(("control", "ketamine"), arms, strict=True))
        for i in range(n)
        for x in [rng.normal()]
        for t in ("rapid", "post-rapid")
        if not (t == "post-rapid" and s == "c" and i == 0)
    ]
    model = PatientMeta(**COLUMNS, **RANDOM, moderators=["x"], split=False, times=["rapid", "post-rapid"])
    data = model.prepare(pd.DataFrame(rows))
    gamma, sd, rho, root = parameters(data, 6)
    gamma[:, -1] *= 4  # the patients' own means must differ for it to matter
    from bayesdep.models.patient_meta.summaries import Summaries

    cross, projected, _, seen, proper = products(data)
    drawn = Summaries.rv_op.rng_fn(
        np.random.default_rng(1), gamma, sd, rho, root, cross, projected, seen, proper, np.zeros(5), (6000,)
    )
    z, treated, of = columns_of(data), data["arm_of"].values, data["study_of"].values
    there = ~np.isnan(data["outcome"].values)
    own = rng.standard_normal((6000, 3, 4)) @ root.T
    noise = rng.standard_normal((6000, len(z), 2))
    noise = np.stack([noise[..., 0], rho * noise[..., 0] + np.sqrt(1 - rho**2) * noise[..., 1]], axis=-1)
    level = np.stack([row @ gamma[arm] for row, arm in zip(z, treated, strict=True)])
    u = own.reshape(6000, 3, 2, 2)[:, of]
    y = level + u[..., 0] + (treated[:, None] - 0.5) * u[..., 1] + sd[of] * noise
    patterns = [np.array(p, bool) for p in seen]
    compared = 0
    for k, p, a in np.ndindex(cross.shape[:3]):
        who = (of == k) & (treated == a) & (there == patterns[p]).all(axis=1)
        if not who.any():
            assert (drawn[:, k, p, a] == 0).all()
            continue
        mean = y[:, who].mean(axis=1)
        away = y[:, who] - mean[:, None]
        for i, kept in enumerate(statistics_of(2)):
            mine = drawn[:, k, p, a, i]
            if not patterns[p][list(kept)].all():
                assert (mine == 0).all()
                continue
            direct = mean[:, kept[0]] if len(kept) == 1 else (away[..., kept[0]] * away[..., kept[1]]).sum(axis=1)
            if len(kept) == 2 and who.sum() == 1:
                assert np.abs(mine).max() == 0
                continue
            assert stats.ks_2samp(mine, direct).pvalue > 1e-4, (k, p, a, kept)
            compared += 1
    assert compared > 25
    # products are correlated with means and with each other in a cell of many patients
    cell = drawn[:, 2, 0, 1]
    who = (of == 2) & (treated == 1) & there.all(axis=1)
    mean = y[:, who].mean(axis=1)
    away = y[:, who] - mean[:, None]
    direct = np.column_stack(
        [mean, (away[..., 0] ** 2).sum(1), (away[..., 1] * away[..., 0]).sum(1), (away[..., 1] ** 2).sum(1)]
    )
    np.testing.assert_allclose(np.corrcoef(cell.T), np.corrcoef(direct.T), atol=0.06)  # 6000 draws: 0.013 each


def test_new_deviations_and_those_of_studies_without_information_follow_the_prior():
    graph, data = model("rapid"), data_of("rapid")
    built = graph.build(data)
    given = {
        built["tau_intercept"]: np.full((4000, 1), 0.4),
        built["tau_effect"]: np.full((4000, 1), 0.2),
        built["effect_share"]: np.full(4000, 0.2),
    }
    (new,) = at_draws([built["new_deviation"]], given, seed=1)
    np.testing.assert_allclose(new[:, 0].std(axis=0), [0.4, 0.2], rtol=0.05)
    assert np.corrcoef(new[:, 0].T)[0, 1] == pytest.approx(-0.6, abs=0.04)


# ---- scores of studies


def one_draw(data, times, seed=9):
    """A posterior of one draw, made by hand."""
    rng = np.random.default_rng(seed)

    def values(x, *dims):
        return xr.DataArray(np.asarray(x)[None, None], dims=("chain", "draw", *dims))

    found = {
        "intercept": values(0.1 * rng.normal(size=times), "time"),
        "effect": values([0.6, 0.4][:times], "time"),
        "tau_intercept": values(np.full(times, 0.3), "time"),
        "tau_effect": values(np.full(times, 0.2), "time"),
        "effect_correlation": values(-0.3),
        "residual_sd": values(np.linspace(0.8, 1.1, times), "time"),
        "residual_spread": values(0.25),
    }
    if times > 1:
        found |= {"time_correlation": values(0.5), "residual_correlation": values(0.6)}
    return xr.Dataset(found).assign_coords(chain=[0], draw=[0])


def test_a_study_is_scored_with_its_sd_integrated_out():
    data = data_of("rapid")
    posterior = one_draw(data, 1)
    flat = posterior.isel(chain=0).rename(draw="sample")
    gamma, root = coefficients_of(model("rapid"), flat, data)[0], roots_of(flat)[0]
    scored = log_likelihood(model("rapid"), posterior, data).values.ravel()
    assert isinstance(model("rapid"), ScoresUnits)
    for k in (0, 3, 14):

        def density(log_sd, k=k):
            sd = np.full((data.sizes["study"], 1), np.exp(log_sd))
            y, mean, _, _, whole = of_study(data, k, gamma, sd, 0.0, root)
            return np.exp(stats.multivariate_normal.logpdf(y, mean, whole) - scored[k]) * stats.norm.pdf(
                log_sd, np.log(0.8), 0.25
            )

        total, _ = integrate.quad(density, -2, 1.5, epsabs=1e-9)
        assert np.log(total) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", ["core", "rapid"])
def test_more_nodes_change_nothing(name):
    data = data_of(name)
    plain = PatientMeta(**COLUMNS, **RANDOM, times=MODELS[name].get("times", ()))
    posterior = one_draw(data, data.sizes["time"])
    few, many = (log_likelihood(plain, posterior, plain.prepare(table()), nodes=n).values for n in (5, 15))
    np.testing.assert_allclose(few, many, atol=2e-3)


# ---- data


def test_prepared_outcomes_are_standardised_over_all_patients_also_those_without_the_moderator():
    data = data_of("whole")
    for t, time in enumerate(data["time"].values):
        all_of_them = table().loc[table()["time"] == time, "improvement"]
        assert float(data["outcome_mean"][t]) == pytest.approx(all_of_them.mean(), rel=1e-12)
        assert float(data["outcome_sd"][t]) == pytest.approx(all_of_them.std(ddof=0), rel=1e-12)
    assert data.sizes["subject"] == table().dropna(subset=["bmi"])["subject"].nunique()


def test_who_was_left_out_is_counted():
    assert data_of("core").attrs["left_out"] == ""
    missing = table()[table()["bmi"].isna()]
    expected = f"{missing['subject'].nunique()} of 720 patients have no bmi ({missing['study'].nunique()} studies)"
    assert data_of("whole").attrs["left_out"] == expected
    some = table().copy()
    some.loc[some["subject"] == "01-01", "improvement"] = np.nan
    assert model("core").prepare(some).attrs["left_out"] == "1 of 720 patients have no outcome"


def test_parts_of_moderators_within_and_between_studies():
    data = data_of("moderators")
    assert list(data["part"].values) == ["trd", f"age, {WITHIN}", f"age, {BETWEEN}"]
    assert list(data["level"].values) == [BETWEEN, WITHIN, BETWEEN]
    patients = table().drop_duplicates("subject")
    age = (patients["age"] - patients["age"].mean()) / patients["age"].std(ddof=0)
    mean = age.groupby(patients["study"]).transform("mean")
    x = data["parts"].values
    np.testing.assert_allclose(x[:, 0], patients["trd"] - patients["trd"].mean(), atol=1e-12)
    np.testing.assert_allclose(x[:, 1], age - mean, atol=1e-12)
    np.testing.assert_allclose(x[:, 2], mean, atol=1e-12)
    whole = data_of("whole")
    assert list(whole["level"].values) == [BETWEEN, WHOLE]
    np.testing.assert_allclose(whole["parts"].values[:, 1].std(), 1, rtol=1e-12)


def test_the_order_of_rows_does_not_matter():
    shuffled = PatientMeta(**COLUMNS, **MODELS["moderators"], times=["rapid", "post-rapid"]).prepare(
        table().sample(frac=1, random_state=2)
    )
    data = data_of("moderators")
    for word in ("cross", "projected", "outcomes"):
        mine = shuffled[word].sel(study=data["study"].values).values
        np.testing.assert_allclose(mine, data[word].values, atol=1e-9)
    assert set(shuffled["subject"].values) == set(data["subject"].values)


def test_patients_of_two_studies_may_have_one_number():
    same = table().assign(subject=table()["subject"].str[3:])
    data = model("core").prepare(same)
    assert data.sizes["subject"] == 720
    assert str(data["subject"].values[0]) == "Deakin / 01"
    np.testing.assert_allclose(data["outcomes"].values, data_of("core")["outcomes"].values)


def test_settings_round_trip_and_the_model_says_what_it_is():
    for name in MODELS:
        graph = model(name)
        assert make_model("patient-meta", settings_of(graph)) == graph
        assert type(graph) is model_class("patient-meta")
        assert list(graph.priors) == list(graph.slots)
        assert graph.words.endswith(".")
        assert all(any(line.startswith(slot) for line in graph.formula) for slot in graph.priors)
    assert bd.PatientMeta is PatientMeta


def test_a_plan_that_names_the_former_family_is_read_with_a_warning(tmp_path):
    plan = PLANS / "price2022" / "rapid.toml"
    former = tmp_path / "former.toml"
    former.write_text(plan.read_text(encoding="utf-8").replace('"patient-meta"', '"pooled"'), encoding="utf-8")
    with pytest.warns(DeprecationWarning, match="now called 'patient-meta'") as warned:
        read = bd.read_plan(former)
    assert [w.category for w in warned].count(DeprecationWarning) == 1
    assert read.model == bd.read_plan(plan).model


def test_a_saved_fit_of_the_former_family_loads_with_a_warning(tmp_path):
    fit = made("patient-meta")
    path = fit.save(tmp_path / "fit.nc")
    tree = read_tree(path)
    tree.attrs["bayesdep_family"] = "pooled"
    write_tree(tree, path)
    with pytest.warns(DeprecationWarning, match="now called 'patient-meta'"):
        again = bd.Fit.load(path)
    assert again.model == fit.model
    xr.testing.assert_identical(again.estimands, fit.estimands)


# ---- estimands and checks


def posterior_of(name, seed=1):
    """Draws from the prior, put where a posterior would be."""
    return prior_draws(model(name).build(data_of(name)), seed=seed)


def test_estimands_equal_hand_computation():
    data, graph = data_of("moderators"), model("moderators")
    posterior = posterior_of("moderators")
    found = graph.estimands(posterior, data)
    draw = posterior.isel(chain=0, draw=2)
    mine = found.isel(chain=0, draw=2)
    np.testing.assert_allclose(mine["effect"], draw["effect"])
    np.testing.assert_allclose(mine["effect_in_units"], draw["effect"].values * data["outcome_sd"].values)
    np.testing.assert_allclose(mine["effect_change"], np.diff(draw["effect"])[0])
    new = draw["effect"].values + draw["new_deviation"].sel(new_which="effect").values
    np.testing.assert_allclose(mine["effect_new"], new)
    k = 4
    x = data["parts"].values[data["study_of"].values == k].mean(axis=0)
    own = draw["effect"].values + draw["deviation"].sel(which="effect").values[k] + x @ draw["interaction"].values
    np.testing.assert_allclose(mine["study_effect"].values[:, k], own)
    share = data["arm_of"].values.mean()
    for a in (0, 1):
        expected = draw["moderator_effect"].values + (a - share) * draw["interaction"].values
        np.testing.assert_allclose(mine["slope_in"].values[a], expected)
    bias = draw["interaction"].sel(part=f"age, {BETWEEN}") - draw["interaction"].sel(part=f"age, {WITHIN}")
    np.testing.assert_allclose(mine["ecological_bias"].sel(moderator="age"), bias)
    assert mine["interaction"].attrs["rope_upper"] == graph.margin
    assert np.isnan(mine["tau_effect"].attrs["null"])
    assert found["study_effect"].dims == ("chain", "draw", "time", "study")


def test_crude_effects_are_differences_of_means_with_welchs_standard_error():
    data = data_of("core")
    effect, se = model("core").forest.crude(data)
    y, of, arm = standardised(data), data["study_of"].values, data["arm_of"].values
    i = 0
    for t in range(2):
        for k in range(17):
            one, other = (y[(of == k) & (arm == a), t] for a in (1, 0))
            one, other = one[~np.isnan(one)], other[~np.isnan(other)]
            assert effect[i] == pytest.approx(one.mean() - other.mean(), abs=1e-10)
            expected = np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other))
            assert se[i] == pytest.approx(expected, rel=1e-9)
            i += 1


def test_checks_of_the_data_are_those_of_its_patients():
    data = data_of("core")
    y, of, arm = standardised(data), data["study_of"].values, data["arm_of"].values
    found = {c.name: float(c.statistic(data["outcomes"].values)) for c in model("core").checks(data)}
    for t, time in enumerate(("rapid", "post-rapid")):
        for a, name in enumerate(("control", "ketamine")):
            here = y[arm == a, t]
            here = here[~np.isnan(here)]
            assert found[f"mean on {name}, {time}"] == pytest.approx(here.mean(), abs=1e-10)
            assert found[f"sd on {name}, {time}"] == pytest.approx(here.std(ddof=1), rel=1e-10)
        effects = [
            np.nanmean(y[(of == k) & (arm == 1), t]) - np.nanmean(y[(of == k) & (arm == 0), t]) for k in range(17)
        ]
        assert found[f"sd of studies' effects, {time}"] == pytest.approx(np.std(effects, ddof=1), rel=1e-10)
        assert found[f"lowest effect of a study, {time}"] == pytest.approx(min(effects), rel=1e-10)
        assert found[f"highest effect of a study, {time}"] == pytest.approx(max(effects), rel=1e-10)
    both = ~np.isnan(y).any(axis=1)
    away = pd.DataFrame(y[both]).groupby([of[both], arm[both]]).transform(lambda x: x - x.mean())
    assert found["correlation of the times within arms"] == pytest.approx(away.corr().iloc[0, 1], rel=1e-9)


def test_checks_take_replicates_with_draws_in_front():
    data = data_of("core")
    many = np.stack([data["outcomes"].values, 2 * data["outcomes"].values, data["outcomes"].values])
    for check in model("core").checks(data):
        values = check.statistic(many)
        assert values.shape == (3,)
        assert values[0] == pytest.approx(float(check.statistic(data["outcomes"].values)), rel=1e-12)


# ---- what is refused

BAD_SETTINGS = [
    ({"effects": "normal"}, "effects = 'normal' needs moderators"),
    ({"moderators": ["a"], "combined": ["a"]}, "set study_levels = 'random'"),
    ({"scale": 0}, "scale = 0, but a number above zero is needed"),
    ({"moderators": ["a", "a"]}, "has one of them twice"),
    ({"moderators": ["a"], "effects": "horseshoe"}, "expected_nonzero is missing"),
    ({"moderators": ["a"], "expected_nonzero": 2}, "expected_nonzero is the horseshoe's"),
    ({"margin": 0}, "margin = 0, but a number above zero is needed"),
    ({"lkj": -1}, "lkj = -1, but a number above zero is needed"),
    ({"times": "rapid"}, "times = 'rapid', but a list of texts is needed"),
    ({"priors": {"interaction": bd.Prior("Normal", mu=0, sigma=1)}}, "the model has no such parameter"),
]


@pytest.mark.parametrize(("settings", "message"), BAD_SETTINGS)
def test_bad_settings_give_one_clear_sentence(settings, message):
    with pytest.raises(BadInput) as raised:
        PatientMeta(**COLUMNS, **settings)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


BAD_TABLES = [
    ({"reference": "saline"}, changed(), "reference = 'saline', but column 'arm' (arm) has only 'control', 'ketamine'"),
    ({}, changed(arm=lambda t: np.where(t.index < 2, "midazolam", t["arm"])), "has 3 arms"),
    ({"times": ["rapit"]}, changed(), "times: 'rapit' is not in column 'time'; did you mean 'rapid'"),
    ({"time": None}, changed(), "stands in rows 1 and"),
    ({"time": None, "times": ["rapid"]}, lambda t: t[t["time"] == "rapid"], "no column of times is named"),
    ({}, changed(time=lambda t: t["time"].where(t["study"] != "Sos", t["time"] + ", Sos")), "two at most"),
    ({"moderators": ["bmj"]}, changed(), "did you mean 'bmi'"),
    ({"moderators": ["diagnosis"]}, changed(), "where a number is needed"),
    ({"moderators": ["one"]}, changed(one=1), "column 'one' is 1 in all 720 patients used"),
    ({"moderators": ["bmi"]}, changed(bmi=lambda t: t["bmi"].where(t["study"].isin(["Sos", "Mathew"]))),
     "column 'bmi' is known of too few: 100 patients"),
    ({"moderators": ["trd", "same"]}, changed(same=lambda t: t["trd"]), "'same' follows from those before"),
    ({"moderators": ["trd"], "effects": "horseshoe", "expected_nonzero": 2}, changed(), "there are 2 interactions"),
    ({}, lambda t: t[t["study"] == "Mathew"], "there is one study, 'Mathew'"),
    ({}, changed(improvement=3.0), "is 3 in everybody at time 'rapid'"),
    ({"baseline": "same"}, changed(same=30), "column 'same' (severity at baseline) is 30 in everybody"),
    ({"moderators": ["age"]}, changed(age=lambda t: t["age"].where(t.index != 1, 99)), "are of one person"),
    ({}, changed(improvement=lambda t: t["improvement"].where(t["time"] == "rapid")), "empty throughout at time"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "change", "message"), BAD_TABLES)
def test_bad_tables_give_one_clear_sentence(settings, change, message):
    with pytest.raises(BadInput) as raised:
        PatientMeta(**(COLUMNS | settings)).prepare(change(table()))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "seen", [[[1, 1]], [[1, 1], [1, 0]], [[1, 1], [0, 1]], [[0, 1], [1, 1]], [[1, 1], [0, 1], [1, 0]]], ids=str
)
def test_residuals_of_many_draws_are_those_of_one_whatever_times_were_missed(seen):
    """With a leading axis on everything, as when deviations are drawn: it was read as the axis of patterns."""
    rng = np.random.default_rng(1)
    seen = np.array(seen, float)
    patterns, studies, columns = len(seen), 4, 3
    cross = rng.normal(size=(studies, patterns, 2, columns, columns))
    projected = rng.normal(size=(studies, patterns, 2, columns, 2))
    gamma = rng.normal(size=(7, 2, columns, 2))
    raw = [[rng.normal(size=(studies, patterns, 2)) for s in range(t + 1)] for t in range(2)]
    proper = np.ones((studies, 4))
    lifted = [[x[None] for x in row] for row in raw]
    many = residuals(gamma, cross[None], projected[None], lifted, seen[None], proper[None])
    one = [residuals(g, cross, projected, raw, seen, proper) for g in gamma]
    for k, alone in enumerate(one):
        for t in range(2):
            np.testing.assert_allclose(many.sums[t][k], alone.sums[t])
            for s in range(t + 1):
                np.testing.assert_allclose(many.products[t][s][k], alone.products[t][s])
                there = seen[:, t] * seen[:, s]
                assert (alone.products[t][s][:, there == 0] == 0).all()
                assert (alone.products[t][s][:, there == 1] != 0).all()
