"""Markers without error: densities, scores, completion, draws and predictions against one normal written out."""

import functools

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from common import draws_of
from scipy import linalg, stats
from test_trajectories import CONCENTRATION, OUTCOME, covariance, dense, model_of, visits_and_markers
from trajectories_as_normal import (
    assert_drawn_data_are_normal,
    assert_each_outcome_is_normal_given_earlier_ones_and_markers,
    assert_missed_visits_are_normal,
)

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import uncompiled
from bayesdep.models.trajectories.links import BY_ARM
from bayesdep.models.trajectories.paths import mean_markers_of_patients, mean_outcomes_of_patients
from bayesdep.models.trajectories.settings import link_matrix
from bayesdep.numerics.draws import stack_draws

JOINT = [OUTCOME, CONCENTRATION, "beyond_latent"]
MODELS = {
    "value": {"exact": ["BDNF"]},
    "all": {
        "exact": ["BDNF", "IL-6"],
        "association": "change",
        "autocorrelation": True,
        "course": "linear",
        "marker_course": "spline",
    },
    "change and baseline": {"exact": ["BDNF"], "association": ("change", "baseline"), "equal_baseline": True},
    "level": {"exact": "IL-6", "deviations": "level", "pooling": "none", "course": "linear", "marker_course": "linear"},
    "quadratic": {"exact": ["IL-6"], "deviations": "quadratic", "covariates": "age"},
    "subgroups": {
        "exact": ["BDNF"],
        "association": ("change", "baseline"),
        "subgroups": {"young": "age < 38", "old": "age > 33"},
    },
}


def exact_model(name: str) -> bd.Trajectories:
    return model_of("value", **MODELS[name])


def with_own_times(table: pd.DataFrame) -> pd.DataFrame:
    """Every patient was seen at times of their own, some of the markers with the outcome and some not."""
    number = table["subject"].str[1:].astype(int)
    return table.assign(time=table["time"] * (1 + number / 100))


@functools.cache
def built(name: str):
    model = exact_model(name)
    table = visits_and_markers()
    data = model.prepare(with_own_times(table) if name in ("all", "level") else table)
    return model, data, model.build(data)


def weights_of(model, data, draw, i, m) -> list[tuple[str, float]]:
    """A patient's associations with a marker by link, with the level at the first time where there is a baseline."""
    arm = int(data["arm_of"][i])
    found = []
    for k, word in enumerate(model.association):
        own = float(draw[BY_ARM][k, m, arm])
        if model.subgroups:
            age = 30.0 + 3 * np.arange(data.sizes["subject"]) % 17
            member = {"young": age < 38, "old": age > 33}
            code = np.array([member[g][i] - member[g].mean() for g in data["subgroup"].values])
            own += draw["subgroup_association"].values[k, m] @ code
            for c, by_arm in enumerate(draw["subgroup_association_difference"].values[k, m] @ code):
                own += by_arm * ((arm == c + 1) - 1 / data.sizes["arm"])
        found.append((word, own))
    return [*found, *([("level", float(draw["baseline_level"][m]))] if "baseline" in model.association else [])]


def joint(model, data, draw, i, visits, *, missing=False):
    """Values, mean and covariance of a patient's outcomes at some visits, and of the markers' values.

    Each is a sum of independent normals: coefficients of powers of time, and what is new at each time. The covariance
    is that of these, between matrices of how often each is contained. With ``missing``, values that were not measured
    but that the outcome needs are among the markers'.
    """
    powers, attrs = model.powers, data["course_columns"].attrs
    order = np.arange(len(powers))

    def share(t: float) -> float:
        return (t - attrs["first"]) / (attrs["last"] - attrs["first"])

    def columns(t: float) -> np.ndarray:
        return share(t) ** order

    time, slots = data["time"].values[i], data["marker_time"].values[i]
    when = np.unique(np.concatenate([[attrs["first"]], time, slots])).tolist()
    noise = np.eye(len(time))
    if model.autocorrelation:
        noise = float(draw["rho"]) ** (np.abs(np.subtract.outer(time, time)) / float(data["typical_gap"]))
    sources = [covariance(draw, powers), float(draw["residual_sd"]) ** 2 * noise]
    outcomes = [[columns(time[v]), np.eye(len(time))[v]] for v in visits]
    markers, values = [], []
    for m in range(data.sizes["analyte"]):
        own = draw.isel(analyte=m)
        omega, new = covariance(own, powers, "marker_"), float(own["marker_residual_sd"]) ** 2
        sources += [omega, new * np.eye(len(when))]
        weights = weights_of(model, data, draw, i, m)
        for row, v in zip(outcomes, visits, strict=True):
            if data["analyte"].values[m] in model.exact:
                at = np.zeros(len(when))
                now, first = when.index(time[v]), when.index(attrs["first"])
                for word, a in weights:
                    at[now] += a * (word in ("value", "change"))
                    at[first] += a * {"value": 0, "change": -1, "baseline": share(time[v]), "level": 1}[word]
                row += [at @ np.array([columns(t) for t in when]), at]
            else:
                link = sum(
                    a * (np.eye(1, len(powers)).T @ np.eye(1, len(powers)) if w == "level" else link_matrix(w, powers))
                    for w, a in weights
                )
                row += [columns(time[v]) @ link, np.zeros(len(when))]
        there = data["detection"].values[i, m] >= 0
        if missing:
            there |= data["is_unmeasured"].values[i, m] == 1
        for j in np.flatnonzero(there):
            at = np.eye(len(when))[when.index(slots[j])]
            markers.append((m, j, columns(slots[j]), at))
            values.append(data["upper"].values[i, m, j])
    rows = [np.concatenate(row) for row in outcomes]
    for m, _, coefficients, at in markers:
        before = len(powers) + len(time) + m * (len(powers) + len(when))
        after = (data.sizes["analyte"] - 1 - m) * (len(powers) + len(when))
        rows.append(np.concatenate([np.zeros(before), coefficients, at, np.zeros(after)]))
    matrix = np.array(rows)
    one = draw.expand_dims("sample")
    of_markers = mean_markers_of_patients(model, one, data)[0, i]
    mean = [*mean_outcomes_of_patients(model, one, data)[0, i][visits], *(of_markers[m, j] for m, j, *_ in markers)]
    if missing:
        names = list(data.indexes["subject"])[i], list(data["analyte"].values), list(data["marker_visit"].values)
        latent = draw["log2_beyond"].to_series()
        values = [
            latent[f"{names[0]} / {names[1][m]} / {names[2][j]}"] if np.isnan(x) else x
            for x, (m, j, *_) in zip(values, markers, strict=True)
        ]
    value = np.array([*data["outcome"].values[i][visits], *values])
    return value, np.array(mean), matrix @ linalg.block_diag(*sources) @ matrix.T


def seen_of(data, i) -> np.ndarray:
    return np.flatnonzero(~np.isnan(data["outcome"].values[i]))


def log_density(model, data, draw, i) -> float:
    return float(stats.multivariate_normal.logpdf(*joint(model, data, draw, i, seen_of(data, i))))


@pytest.mark.parametrize("name", MODELS)
def test_the_means_are_those_of_the_dense_normal_of_other_markers(name):
    model, data, graph = built(name)
    draw = draws_of(graph, count=1, seed=2)[1].isel(chain=0, draw=0)
    for i in range(data.sizes["subject"]):
        value, mean, _ = joint(model, data, draw, i, seen_of(data, i))
        expected = dense(model, data, draw, i)
        np.testing.assert_allclose(value, expected[0], rtol=1e-12)
        np.testing.assert_allclose(mean, expected[1], rtol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_the_density_with_missing_values_as_parameters_is_a_dense_normal(name):
    """Of outcomes, values and missing values; what is sampled of these is standard normal given the other values."""
    model, data, graph = built(name)
    points, posterior = draws_of(graph, count=2, seed=3)
    f = graph.compile_logp(vars=[graph[v] for v in JOINT], mode=uncompiled())
    for k, point in enumerate(points):
        draw, expected = posterior.isel(chain=0, draw=k), 0.0
        for i in range(data.sizes["subject"]):
            value, mean, total = joint(model, data, draw, i, seen_of(data, i), missing=True)
            expected += stats.multivariate_normal.logpdf(value, mean, total)
            known = (data["detection"].values[i] >= 0)[
                (data["detection"].values[i] >= 0) | (data["is_unmeasured"].values[i] == 1)
            ]
            hidden = np.append(np.zeros(len(value) - len(known), bool), ~known)
            given = np.append(np.zeros(len(value) - len(known), bool), known)
            slopes = np.linalg.solve(total[np.ix_(given, given)], total[np.ix_(given, hidden)])
            variance = np.diagonal(total)[hidden] - (slopes * total[np.ix_(given, hidden)]).sum(axis=0)
            expected += np.log(variance).sum() / 2  # the derivative of a missing value by what is sampled
        assert float(f(point)) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("name", ["all", "change and baseline", "level"])
def test_the_density_with_missing_values_integrated_out_is_a_dense_normal(name):
    """It is quadratic in what is sampled of missing values, so a Newton step and the curvature are the integral."""
    model, data, graph = built(name)
    points, posterior = draws_of(graph, count=2, seed=4)
    f = graph.compile_logp(vars=[graph[v] for v in JOINT], mode=uncompiled())
    slope = graph.compile_dlogp(vars=graph["beyond_latent"], mode=uncompiled())  # priors do not depend on it
    for k, point in enumerate(points):
        at = {**point, "beyond_latent": 0 * point["beyond_latent"]}
        n = len(at["beyond_latent"])
        gradient = slope(at)
        curvature = np.array([slope({**at, "beyond_latent": e}) - gradient for e in np.eye(n)])
        log_integral = float(f(at)) + gradient @ np.linalg.solve(-curvature, gradient) / 2
        log_integral += n / 2 * np.log(2 * np.pi) - np.linalg.slogdet(-curvature)[1] / 2
        draw = posterior.isel(chain=0, draw=k)
        expected = sum(log_density(model, data, draw, i) for i in range(data.sizes["subject"]))
        assert log_integral == pytest.approx(expected, rel=1e-8)


def test_with_every_value_there_nothing_is_missing_and_the_outcome_goes_with_the_values():
    """Then the outcome given the markers is a mixed model with the values among its covariates."""
    table = visits_and_markers()
    wide = table[table["outcome"].notna()].assign(marker="drug", pg_ml=lambda t: np.exp(t["outcome"] / 10))
    model = bd.Trajectories(reference="p", value="pg_ml", analyte="marker", association="value", exact="drug")
    data = model.prepare(wide)
    graph = model.build(data)
    assert "beyond_latent" not in graph.named_vars
    points, posterior = draws_of(graph, count=2, seed=5)
    f = graph.compile_logp(vars=[graph[OUTCOME], graph[CONCENTRATION]], mode=uncompiled())
    plain = bd.Trajectories(reference="p")
    for k, point in enumerate(points):
        draw = posterior.isel(chain=0, draw=k)
        expected = sum(log_density(model, data, draw, i) for i in range(data.sizes["subject"]))
        assert float(f(point)) == pytest.approx(expected, rel=1e-8)
        one = stack_draws(posterior.isel(draw=[k]))
        around = data["upper"].values[:, 0] - mean_markers_of_patients(model, one, data)[0, :, 0]
        effect = draw[BY_ARM].values[0, 0][data["arm_of"].values]
        less = plain.prepare(table)
        assert less.sizes["visit"] == around.shape[1]
        less = less.assign(outcome=less["outcome"] - effect[:, None] * around)
        np.testing.assert_allclose(
            model.log_likelihood(posterior, data)[0, k], plain.log_likelihood(posterior, less)[0, k], rtol=1e-9
        )


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_of_outcomes_given_the_values_that_were_measured(name):
    model, data, graph = built(name)
    _, posterior = draws_of(graph, count=2, seed=6)
    scores = model.log_likelihood(posterior, data)
    for k in range(2):
        draw = posterior.isel(chain=0, draw=k)
        for i in range(data.sizes["subject"]):
            value, mean, total = joint(model, data, draw, i, seen_of(data, i))
            n = len(seen_of(data, i))
            of_markers = stats.multivariate_normal.logpdf(value[n:], mean[n:], total[n:, n:])
            expected = stats.multivariate_normal.logpdf(value, mean, total) - of_markers
            assert float(scores[0, k, i]) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("name", MODELS)
def test_each_outcome_is_predicted_from_earlier_ones_and_values(name):
    model, data, graph = built(name)
    _, posterior = draws_of(graph, count=2, seed=3)
    assert_each_outcome_is_normal_given_earlier_ones_and_markers(
        model, data, posterior, lambda draw, i: joint(model, data, draw, i, seen_of(data, i))
    )


@pytest.mark.parametrize("name", ["value", "all", "change and baseline"])
def test_missed_visits_are_normal_given_outcomes_and_values(name):
    model, data, graph = built(name)
    assert_missed_visits_are_normal(model, data, graph, joint)


def test_drawn_data_have_the_dense_normal_s_mean_and_covariance():
    model, data, graph = built("change and baseline")
    assert_drawn_data_are_normal(model, data, graph, joint, seen_of)


@pytest.mark.parametrize("name", ["value", "change and baseline"])
def test_a_prediction_is_the_normal_of_what_comes_given_what_was_seen(name):
    """Of a patient's last outcome, from everything else, whether the exact value at that time was measured or not."""
    model, data, graph = built(name)
    _, posterior = draws_of(graph, count=1, seed=9)
    draw, table = posterior.isel(chain=0, draw=0), visits_and_markers()
    for i in (1, 4):
        last = seen_of(data, i)[-1]
        when = float(data["time"][i, last])
        patient = table[table["subject"] == f"s{i}"]
        earlier = patient[patient["marker"].notna() | (patient["time"] < when)]
        found = model.predict(posterior, data, earlier, at=[when])
        value, mean, total = joint(model, data, draw, i, [last, *seen_of(data, i)[:-1]])
        gain = np.linalg.solve(total[1:, 1:], total[1:, 0])
        assert found["mean"].iloc[0] == pytest.approx(mean[0] + gain @ (value - mean)[1:], rel=1e-8)
        assert found["sd"].iloc[0] == pytest.approx(np.sqrt(total[0, 0] - gain @ total[1:, 0]), rel=1e-8)


@pytest.mark.parametrize("model", [exact_model("value"), model_of("value")], ids=["exact", "with an error"])
def test_two_values_of_one_time_are_refused_however_the_time_is_written(model):
    table = visits_and_markers()
    row = table.index[(table["marker"] == "BDNF") & (table["time"] == 2)][0]
    twice = pd.concat([table, table.loc[[row]]], ignore_index=True)
    with pytest.raises(BadInput, match="stands in rows"):
        model.prepare(twice)
    written = twice.assign(time=[*(f"{t:g}" for t in table["time"]), "2.0"])
    with pytest.raises(BadInput, match=rf"'2' in row \d+ and '2.0' in row {len(twice)} are the same number"):
        model.prepare(written)


def test_times_and_limits_of_other_rows_do_not_change_what_is_measured():
    """Reported times and checks are of measurements, though the outcome's times stand among the markers'."""
    model, data, _ = built("value")
    other = model_of("value").prepare(visits_and_markers())
    xr.testing.assert_equal(data["marker_reported_time"], other["marker_reported_time"])
    at = np.isin(data["marker_time"].values[0], other["marker_time"].values[0])
    for name in ("lower", "detection", "marker_course_columns", "marker_deviation_columns"):
        dim = data[name].dims.index("marker_visit")
        np.testing.assert_array_equal(np.compress(at, data[name].values, axis=dim), other[name].values)
    assert (data["detection"].values[:, :, ~at] == -1).all()
    assert [c.name for c in model.checks(data)] == [c.name for c in model_of("value").checks(other)]


def drug_levels(people: int = 60, association: float = -3.0, seed: int = 4) -> tuple[pd.DataFrame, dict[str, float]]:
    """Scores at four times that go with the level of a drug, and its log2 where it was not measured: one in five."""
    rng, rows, missing = np.random.default_rng(seed), [], {}
    for i in range(people):
        level, (own, slope) = rng.normal(25, 4), rng.normal(0, 0.6, 2)
        for t in (0, 1, 2, 4):
            v = own + slope * t / 4 + rng.normal(0, 0.5)
            row = {"subject": f"s{i}", "time": t, "outcome": level - t + association * v + rng.normal(0, 1.5)}
            if rng.random() < 0.2:
                missing[f"s{i} / ng_ml / {t}"] = 5 + v
            rows.append(row | {"ng_ml": np.nan if f"s{i} / ng_ml / {t}" in missing else 2 ** (5 + v)})
    return pd.DataFrame(rows), missing


@pytest.mark.sampling
def test_a_fit_finds_the_association_with_a_drug_level_and_the_levels_that_were_not_measured():
    """The truth within three posterior sds; missing levels off by as much as their posterior sds say."""
    table, truth = drug_levels()
    model = bd.Trajectories(
        arm=None, reference=None, value="ng_ml", exact="ng_ml", association="value", course="linear"
    )
    fit = bd.fit(model, table, draws=1000, tune=500, chains=4, seed=1, progress=False)
    assert fit.gate.passed, fit.gate.sentence
    assert fit.tree["sample_stats"]["diverging"].sum() == 0
    association = fit.estimands["association"].values.ravel()
    assert abs(association.mean() + 3) < 3 * association.std()
    assert association.std() < 0.4
    latent = fit.posterior["log2_beyond"]
    off = latent.mean(("chain", "draw")).values - [truth[name] for name in latent["beyond"].values]
    # 42 standard normals: their root mean square has an sd of 0.11
    assert len(off) == len(truth) > 40
    assert 0.7 < np.sqrt(((off / latent.std(("chain", "draw")).values) ** 2).mean()) < 1.3
