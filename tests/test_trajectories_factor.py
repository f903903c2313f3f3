"""Markers that share one factor: densities, scores, completion, draws and predictions against one normal written."""

import functools
import warnings

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from common import draws_of, posterior_at
from scipy import linalg, stats
from test_trajectories import CONCENTRATION, OUTCOME, covariance
from trajectories_as_normal import assert_drawn_data_are_normal, assert_missed_visits_are_normal

import bayesdep as bd
from bayesdep.inference.evaluate import uncompiled
from bayesdep.models.trajectories.links import BY_ARM
from bayesdep.models.trajectories.paths import mean_markers_of_patients, mean_outcomes_of_patients
from bayesdep.models.trajectories.settings import link_matrix
from bayesdep.numerics.random_effects import SharedCurves, products_of

MARKERS = ("IL-6", "BDNF", "CRP", "TNF")
MODELS = {
    "value": {"association": "value"},
    "change and baseline": {"association": ("change", "baseline"), "equal_baseline": True, "covariates": "age"},
    "slope, own times": {"association": "slope", "course": "linear", "marker_course": "spline"},
    "three powers": {"association": ("value", "area"), "deviations": "quadratic", "autocorrelation": True},
    "level": {"association": "value", "deviations": "level", "pooling": "none", "course": "quadratic"},
    "no association": {},
}


def shared_table(people: int = 9, seed: int = 3, limit: float | None = None) -> pd.DataFrame:
    """Outcomes at four times and four markers at four, some of both missed; one patient has no markers at all."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(people):
        about = {"subject": f"s{i}", "arm": "pdq"[i % 3], "age": 30.0 + 3 * i % 17}
        rows += [about | {"time": t, "outcome": round(rng.normal(25 - t, 5), 2)} for t in (0, 1, 3, 5) if t != i % 6]
        for k, name in enumerate(MARKERS):
            for j, t in enumerate((0, 0.5, 2, 5)):
                if (i + 2 * k + j) % 5 == 0 or i == 4:
                    continue
                value = float(2 ** rng.normal(k, 1))
                text = f"<{limit}" if limit is not None and value < limit else value
                rows.append(about | {"time": t, "marker": name, "pg_ml": text})
    return pd.DataFrame(rows)


def with_own_times(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(time=table["time"] * (1 + table["subject"].str[1:].astype(int) / 100))


def factor_model(name: str, **changes) -> bd.Trajectories:
    settings = {
        "reference": "p", "value": "pg_ml", "analyte": "marker", "shared_factor": True, "positive_loading": "CRP"
    }  # fmt: skip
    return bd.Trajectories(**(settings | MODELS[name] | changes))


@functools.cache
def built(name: str, limit: float | None = None):
    model = factor_model(name)
    table = shared_table(limit=limit)
    data = model.prepare(with_own_times(table) if "own" in name else table)
    return model, data, model.build(data)


def joint(model, data, draw, i, visits):
    """Values, mean and covariance of a patient's outcomes at some visits, and of all values of all markers.

    Everything is a sum of independent normals: the coefficients of the outcome's own deviation, of the factor's, and of
    each marker's own, and residuals. The covariance is that of these, between matrices of what contains them.
    """
    powers, arm, n = model.powers, int(data["arm_of"][i]), len(MARKERS)
    q = len(powers)
    psi = np.eye(q)
    sds = np.array([1.0, *(float(draw[f"factor_{w}_sd"]) for w in powers[1:])])
    if q > 1:
        at = np.tril_indices(q, -1)
        psi[at] = psi.T[at] = draw["factor_correlation_by_pair"].values
    psi = np.outer(sds, sds) * psi
    link = np.zeros((q, q))
    for k, word in enumerate(model.association):
        link += float(draw[BY_ARM][k, 0, arm]) * link_matrix(word, powers)
    if "baseline" in model.association:
        link[0, 0] += float(draw["baseline_level"][0])
    marker, slot = np.nonzero(data["detection"].values[i] >= 0)
    g = data["deviation_columns"].values[i][visits]
    h = data["marker_deviation_columns"].values[i][slot]
    loading = draw["loading_by_marker"].values[marker]
    time = data["time"].values[i][visits] / float(data["typical_gap"])
    noise = float(draw["rho"]) ** np.abs(np.subtract.outer(time, time)) if model.autocorrelation else np.eye(len(time))
    own = [covariance(draw.isel(analyte=m), powers, "marker_") for m in range(n)]
    errors = draw["marker_residual_sd"].values[marker] ** 2
    sources = [covariance(draw, powers), psi, *own, float(draw["residual_sd"]) ** 2 * noise, np.diag(errors)]
    of_outcome = [g, g @ link, np.zeros((len(g), n * q)), np.eye(len(g)), np.zeros((len(g), len(h)))]
    of_own = (np.eye(n)[marker][:, :, None] * h[:, None, :]).reshape(len(h), n * q)
    of_markers = [np.zeros((len(h), q)), loading[:, None] * h, of_own, np.zeros((len(h), len(g))), np.eye(len(h))]
    matrix = np.vstack([np.hstack(of_outcome), np.hstack(of_markers)])
    one = draw.expand_dims("sample")
    means = mean_markers_of_patients(model, one, data)[0, i, marker, slot]
    mean = np.append(mean_outcomes_of_patients(model, one, data)[0, i][visits], means)
    values = data["upper"].values[i, marker, slot].copy()
    for k in np.flatnonzero(data["detection"].values[i, marker, slot] > 0):
        labels = (data[d].values for d in ("subject", "analyte", "marker_visit"))
        name = " / ".join(str(label[p]) for label, p in zip(labels, (i, marker[k], slot[k]), strict=True))
        values[k] = float(draw["log2_beyond"].sel(beyond=name))
    return np.append(data["outcome"].values[i][visits], values), mean, matrix @ linalg.block_diag(*sources) @ matrix.T


def seen_of(data, i) -> np.ndarray:
    return np.flatnonzero(~np.isnan(data["outcome"].values[i]))


def of_everybody(model, data, draw) -> float:
    return sum(
        float(stats.multivariate_normal.logpdf(*joint(model, data, draw, i, seen_of(data, i))))
        for i in range(data.sizes["subject"])
    )


@pytest.mark.parametrize("name", MODELS)
def test_the_joint_density_is_a_dense_normal_written_out(name):
    model, data, graph = built(name)
    points, posterior = draws_of(graph, count=3, seed=2)
    f = graph.compile_logp(vars=[graph[OUTCOME], graph[CONCENTRATION]], mode=uncompiled())
    for k, point in enumerate(points):
        assert float(f(point)) == pytest.approx(of_everybody(model, data, posterior.isel(chain=0, draw=k)), rel=1e-8)


@pytest.mark.parametrize("name", ["value", "slope, own times"])
def test_with_values_beyond_limits_it_is_that_of_the_values_and_of_the_change_of_variables(name):
    """Values are functions of what is sampled: the density has the derivative, here by differences of the values."""
    model, data, graph = built(name, limit=2.0)
    points, posterior = draws_of(graph, count=2, seed=5)
    f = graph.compile_logp(vars=[graph[v] for v in (OUTCOME, CONCENTRATION, "beyond_latent")], mode=uncompiled())
    assert (data["detection"].values > 0).sum() > 10
    for k, point in enumerate(points):
        draw, h = posterior.isel(chain=0, draw=k), 1e-5
        near = posterior_at(graph, [point | {"beyond_latent": point["beyond_latent"] + d} for d in (h, -h)])
        slope = -np.diff(near["log2_beyond"].values[0], axis=0)[0] / (2 * h)
        # every value is a function of its own coordinate alone
        expected = of_everybody(model, data, draw) + np.log(slope).sum()
        assert float(f(point)) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_of_outcomes_given_all_markers(name):
    model, data, graph = built(name)
    _, posterior = draws_of(graph, count=2, seed=4)
    scores = model.log_likelihood(posterior, data)
    for k in range(2):
        draw = posterior.isel(chain=0, draw=k)
        for i in range(data.sizes["subject"]):
            value, mean, total = joint(model, data, draw, i, seen_of(data, i))
            n = len(seen_of(data, i))
            expected = stats.multivariate_normal.logpdf(value, mean, total)
            if len(value) > n:
                expected -= stats.multivariate_normal.logpdf(value[n:], mean[n:], total[n:, n:])
            assert float(scores[0, k, i]) == pytest.approx(expected, rel=1e-8)


def test_without_loadings_they_are_separate_markers():
    """At loadings of zero the density of the markers is that of the model without a factor."""
    graph = built("no association")[2]
    other = factor_model("no association", shared_factor=False, positive_loading=None)
    plain = other.build(other.prepare(shared_table()))
    points, _ = draws_of(graph, count=1, seed=6)
    at = points[0] | {"loading": 0 * points[0]["loading"]}
    at |= {v.name: np.full((), -400.0) for v in graph.value_vars if v.name.startswith("positive_loading")}
    names = {v.name for v in plain.value_vars}
    f, g = (m.compile_logp(vars=[m[CONCENTRATION]], mode=uncompiled()) for m in (graph, plain))
    assert float(f(at)) == pytest.approx(float(g({k: v for k, v in at.items() if k in names})), rel=1e-9)


@pytest.mark.parametrize("name", ["value", "three powers"])
def test_missed_visits_are_normal_given_outcomes_and_markers(name):
    model, data, graph = built(name)
    assert_missed_visits_are_normal(model, data, graph, joint)


def test_drawn_data_have_the_dense_normal_s_mean_and_covariance():
    model, data, graph = built("change and baseline")
    assert_drawn_data_are_normal(model, data, graph, joint, seen_of)


@pytest.mark.parametrize("name", ["value", "change and baseline"])
def test_a_prediction_is_the_normal_of_what_comes_given_what_was_seen(name):
    model = factor_model(name, covariates=None)
    table = shared_table()
    data = model.prepare(table)
    _, posterior = draws_of(model.build(data), count=1, seed=9)
    draw = posterior.isel(chain=0, draw=0)
    for i in (1, 4, 5):
        last = seen_of(data, i)[-1]
        when = float(data["time"][i, last])
        patient = table[table["subject"] == f"s{i}"]
        found = model.predict(posterior, data, patient[patient["marker"].notna() | (patient["time"] < when)], at=[when])
        value, mean, total = joint(model, data, draw, i, [last, *seen_of(data, i)[:-1]])
        gain = np.linalg.solve(total[1:, 1:], total[1:, 0])
        assert found["mean"].iloc[0] == pytest.approx(mean[0] + gain @ (value - mean)[1:], rel=1e-8)
        assert found["sd"].iloc[0] == pytest.approx(np.sqrt(total[0, 0] - gain @ total[1:, 0]), rel=1e-8)


def test_draws_of_the_graph_share_the_factor():
    """Of what predictive checks are made: sums of squares on the scale on which it is standard, by chi-squared."""
    rng, units, kinds, times = np.random.default_rng(4), 3, 2, 4
    design = np.stack([np.ones((units, times)), rng.random((units, times))], axis=-1)
    roots = rng.normal(size=(kinds + 1, 2, 2))
    *own, shared = roots @ np.swapaxes(roots, 1, 2)
    mean, sd, loading = rng.normal(size=(units, kinds, times)), np.array([0.5, 1.5]), np.array([2.0, -1.0])
    counted, zero = np.ones(mean.shape), np.zeros(mean.shape)
    products = products_of(design[:, None], counted)
    about = (mean, design, np.array(own), sd, loading, shared, counted, products, zero, zero, zero[..., 0])
    drawn = pm.draw(SharedCurves.dist(*about), draws=2000, random_seed=1, mode=uncompiled()).reshape(2000, units, -1)
    tails = []
    for u in range(units):
        along = np.concatenate([a * design[u] for a in loading])
        blocks = [design[u] @ own[k] @ design[u].T + sd[k] ** 2 * np.eye(times) for k in range(kinds)]
        apart = linalg.block_diag(*blocks)
        root = np.linalg.cholesky(along @ shared @ along.T + apart)
        z = np.linalg.solve(root, (drawn[:, u] - mean[u].ravel()).T).T
        across = (z.T @ z)[np.tril_indices(z.shape[1], -1)] / np.sqrt(len(z))
        tails += [
            stats.chi2.sf(len(z) * (z.mean(axis=0) ** 2).sum(), z.shape[1]),
            *(f((z**2).sum(), z.size) for f in (stats.chi2.cdf, stats.chi2.sf)),
            stats.chi2.sf((across**2).sum(), len(across)),
        ]
    assert min(tails) > 0.001 / len(tails)


def test_estimands_are_of_the_factor():
    model, data, graph = built("change and baseline")
    _, posterior = draws_of(graph, count=3, seed=10)
    found, by_arm = model.estimands(posterior, data), posterior[BY_ARM]
    assert found["association"].dims == ("chain", "draw", "link", "factor", "arm")
    assert found["association"].attrs["units"] == "points per sd of the factor"
    np.testing.assert_array_equal(found["association"], by_arm)
    apart = by_arm.values[..., 1:] - by_arm.values[..., :1]
    np.testing.assert_allclose(found["association_difference"], apart, rtol=1e-12)
    loading = np.insert(posterior["loading"].values, 2, posterior["positive_loading"].values, axis=-1)  # CRP's
    np.testing.assert_array_equal(found["loading"], loading)
    own = posterior["marker_level_sd"].values
    np.testing.assert_allclose(found["factor_share"], loading**2 / (loading**2 + own**2), rtol=1e-12)
    assert "difference_at_control_path" not in found
    assert "association_mean" not in found


def test_the_signs_of_loadings_are_told_by_one_marker():
    """Turning the factor round, and all loadings but one and the associations with it, is another parameter."""
    _, _, graph = built("value")
    _, posterior = draws_of(graph, count=20, seed=11)
    assert (posterior["loading_by_marker"].sel(analyte="CRP") > 0).all()
    assert (posterior["loading_by_marker"].sel(analyte="BDNF") < 0).any()


def test_priors_of_single_parameters_are_found_and_others_say_why_not():
    model = bd.Trajectories(
        reference="p", value="pg_ml", analyte="marker", association="value", shared_factor=True, positive_loading="CRP"
    )
    data = model.prepare(shared_table().query("arm != 'q'"))
    free = model.own_prior("loading", {"analyte": "TNF"}, data)
    assert (free.variable, free.index, free.prior) == ("loading", (2,), model.priors["loading"])
    assert "sign" in model.own_prior("loading", {"analyte": "CRP"}, data)
    one = model.own_prior("association_difference", {"link": "value", "factor": "shared factor"}, data)
    assert (one.variable, one.index) == ("association_difference", (0, 0, 0))


def test_the_checks_of_pairs_of_markers_are_root_mean_square_correlations():
    model, data, _ = built("value")
    checks = {c.name: c for c in model.checks(data)}
    measured = data["detection"].values >= 0
    values = np.where(measured, data["upper"].values, np.nan)
    first, last = np.flatnonzero(measured.any(axis=(0, 1)))[[0, -1]]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of patients without a marker
        levels = pd.DataFrame(np.nanmean(values, axis=-1))
    changes = pd.DataFrame(values[..., last] - values[..., first])
    assert levels.isna().any(axis=None)
    for what, of_patients in (("levels", levels), ("changes", changes)):
        check = checks[f"root mean square correlation between markers' {what}"]
        r = of_patients.corr(min_periods=3).to_numpy()[np.tril_indices(len(MARKERS), -1)]
        typical = np.sqrt(np.nanmean(r**2))
        assert float(check.statistic(np.nan_to_num(values))) == pytest.approx(typical, rel=1e-10)
    assert check.remedy is not None
    assert "shared_factor" not in check.remedy  # it shares one already
    courses = bd.Trajectories(reference="p", value="pg_ml", analyte="marker")
    alone = courses.checks(courses.prepare(shared_table()))
    assert not [c for c in alone if "between markers" in c.name]  # nothing is associated, nothing can be misplaced


def inflamed(people: int = 90, seed: int = 2) -> tuple[pd.DataFrame, dict[str, float]]:
    """Scores at four times whose level goes with a factor, 4 points per sd, that four markers share; no arms."""
    rng, rows = np.random.default_rng(seed), []
    loadings = {"IL-6": 0.9, "BDNF": -0.6, "CRP": 1.2, "TNF": 0.0}
    for i in range(people):
        level, slope = rng.normal(0, 1), rng.normal(0, 0.5)
        own = rng.normal(25, 3)
        for t in (0, 1, 2, 4):
            f = level + slope * t / 4
            rows.append({"subject": f"s{i}", "time": t, "outcome": own - t + 4 * f + rng.normal(0, 2)})
        for name, loading in loadings.items():
            w = rng.normal(0, 0.5)
            for t in (0, 2, 4):
                logs = 2 + w + loading * (level + slope * t / 4) + rng.normal(0, 0.4)
                rows.append({"subject": f"s{i}", "time": t, "marker": name, "pg_ml": 2.0**logs})
    return pd.DataFrame(rows), loadings


@pytest.mark.sampling
def test_a_fit_finds_the_loadings_and_the_association_with_the_factor():
    """Truths within three posterior sds, which are small enough to tell them from none."""
    table, truth = inflamed()
    model = bd.Trajectories(
        arm=None, reference=None, value="pg_ml", analyte="marker", association="value", course="linear",
        marker_course="linear", shared_factor=True, positive_loading="CRP",
    )  # fmt: skip
    fit = bd.fit(model, table, draws=500, tune=500, chains=2, seed=1, progress=False)
    assert fit.tree["sample_stats"]["diverging"].sum() == 0
    association = fit.estimands["association"].values.ravel()
    assert abs(association.mean() - 4) < 3 * association.std()
    assert association.std() < 0.8
    for name, loading in truth.items():
        drawn = fit.estimands["loading"].sel(analyte=name).values.ravel()
        assert abs(drawn.mean() - loading) < 3 * drawn.std()
        assert drawn.std() < 0.2
    slope = fit.estimands["factor_slope_sd"].values.ravel()
    assert abs(slope.mean() - 0.5) < 3 * slope.std()
