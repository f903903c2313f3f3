"""Trajectories: densities against dense normals written out, R's answers, courses, links, and estimands by hand."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from common import draws_of, patients
from pytensor.graph.traversal import io_toposort
from scipy import integrate, linalg, stats
from trajectories_as_normal import (
    assert_each_outcome_is_normal_given_earlier_ones_and_markers,
    assert_probabilities_are_ratios_of_scores,
)

import bayesdep as bd
from bayesdep.inference.computation import Computation, flat_density
from bayesdep.inference.evaluate import uncompiled
from bayesdep.models.parts.scale import priors_of
from bayesdep.models.trajectories.courses import Basis, basis_of
from bayesdep.models.trajectories.links import BY_ARM
from bayesdep.models.trajectories.settings import link_matrix

REFERENCES = Path(__file__).parent / "references"
MARKERS = ("IL-6", "BDNF")
OUTCOME, CONCENTRATION = "outcome_over_time", "log2_concentration"
MODELS = {
    "value": {"association": "value"},
    "slope and change": {"association": ("slope", "change"), "course": "linear", "marker_course": "linear"},
    "area and baseline": {"association": ("area", "baseline"), "equal_baseline": True, "covariates": "age"},
    "three powers": {"association": ("value", "slope", "area"), "deviations": "quadratic", "effects": "student"},
    "level": {"association": "value", "deviations": "level", "pooling": "none", "course": "quadratic"},
    "serial": {"association": "change", "autocorrelation": True, "course": "spline", "marker_course": "linear"},
    "separate": {},
    "subgroups": {
        "association": ("change", "baseline"),
        "equal_baseline": True,
        "effects": "student",
        "subgroups": {"young": "age < 38", "old": "age > 33", "other old": "33 < age"},
    },
    "differences in subgroups": {"subgroups": {"young": "age < 38", "middle": "32 < age < 43"}, "deviations": "level"},
}


def visits_and_markers(people: int = 9, seed: int = 1, limit: float | None = None, arms: str = "pdq") -> pd.DataFrame:
    """Outcomes at five times and markers at four, some of both missed, in three arms."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(people):
        about = {"subject": f"s{i}", "arm": arms[i % len(arms)], "age": 30.0 + 3 * i % 17}
        for t in (0, 1, 2, 3.5, 5):
            if t == i % 6:
                continue
            rows.append(about | {"time": t, "outcome": round(rng.normal(25 - t, 5), 2)})
        for k, name in enumerate(MARKERS):
            for t in (0, 0.5, 2, 5):
                if rng.random() < 0.15:
                    continue
                value = float(2 ** rng.normal(k, 1))
                text = f"<{limit}" if limit is not None and value < limit else value
                rows.append(about | {"time": t, "marker": name, "pg_ml": text})
    return pd.DataFrame(rows)


def model_of(name: str, **changes) -> bd.Trajectories:
    settings = {"reference": "p", "value": "pg_ml", "analyte": "marker"} | MODELS[name] | changes
    return bd.Trajectories(**settings)


@functools.cache
def built(name: str, limit: float | None = None):
    model = model_of(name)
    data = model.prepare(visits_and_markers(limit=limit))
    return model, data, model.build(data)


def densities(graph, points, names=(OUTCOME, CONCENTRATION)) -> np.ndarray:
    """The log density of the observed variables at points of the sampler."""
    f = graph.compile_logp(vars=[graph[name] for name in names], mode=uncompiled())
    return np.array([float(f(p)) for p in points])


def covariance(draw: xr.Dataset, powers, prefix: str = "") -> np.ndarray:
    sds = np.array([float(draw[f"{prefix}{w}_sd"]) for w in powers])
    correlation = np.eye(len(sds))
    if len(sds) > 1:
        at = np.tril_indices(len(sds), -1)
        correlation[at] = correlation.T[at] = draw[f"{prefix}correlation_by_pair"].values
    return np.outer(sds, sds) * correlation


def arms_part(draw, data, i, columns, prefix="", marker=None):
    """What a patient's arm adds to the mean, from the difference between arms and the patient's own codes."""
    change = draw[f"{prefix}arm_change"]
    effect = draw.get(f"{prefix}arm_effect")
    total = 0.0
    for c in range(data.sizes["comparison"]):
        at = {"comparison": c} | ({} if marker is None else {"analyte": marker})
        one = columns @ change.isel(at).values + (0.0 if effect is None else float(effect.isel(at)))
        total = total + float(data["arm_code"][i, c]) * one
    return total


def apart(draw, data, i, question) -> np.ndarray:
    """A patient's deviation from all patients: from the ages in the table, by hand."""
    age = np.array([30.0 + 3 * k % 17 for k in range(data.sizes["subject"])])
    rules = {
        "young": age < 38, "old": age > 33, "other old": age > 33, "middle": (age > 32) & (age < 43)
    }  # fmt: skip
    code = np.array([rules[g][i] - rules[g].mean() for g in data["subgroup"].values])
    return draw[f"subgroup_{question}"].values @ code


def dense(model, data, draw, i) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, mean and covariance of everything measured in a patient, written out as one normal."""
    powers, arm = model.powers, int(data["arm_of"][i])
    seen = ~np.isnan(data["outcome"].values[i])
    g = data["deviation_columns"].values[i][seen]
    mean = float(data["centre"]) + data["course_columns"].values[i][seen] @ draw["course"].values
    mean = mean + arms_part(draw, data, i, data["arm_columns"].values[i][seen])
    if data.sizes["covariate"]:
        mean = mean + data["covariates"].values[i] @ draw["covariate_effect"].values
    if model.subgroups:
        share = data["time"].values[i][seen] / 5
        mean = mean + sum(apart(draw, data, i, "course")[k] * share**k for k in range(len(powers)))
        if not model.association:
            mean = mean + data["arm_code"].values[i] @ apart(draw, data, i, "difference") * share
    time = data["time"].values[i][seen] / float(data["typical_gap"])
    own = float(draw["rho"]) ** np.abs(np.subtract.outer(time, time)) if model.autocorrelation else np.eye(seen.sum())
    own = g @ covariance(draw, powers) @ g.T + float(draw["residual_sd"]) ** 2 * own
    values, means, blocks, across = [data["outcome"].values[i][seen]], [mean], [own], []
    for m in range(data.sizes["analyte"]):
        measured = data["detection"].values[i, m] >= 0
        phi = data["marker_deviation_columns"].values[i][measured]
        of_marker = draw.isel(analyte=m)
        omega = covariance(of_marker, powers, "marker_")
        expected = float(data["marker_centre"][m])
        expected = expected + data["marker_course_columns"].values[i][measured] @ of_marker["marker_course"].values
        expected = expected + arms_part(draw, data, i, data["marker_arm_columns"].values[i][measured], "marker_", m)
        if model.subgroups and not model.association:
            own = data["arm_code"].values[i] @ apart(draw, data, i, "marker_difference")[m]
            expected = expected + own * data["marker_time"].values[i][measured] / 5
        values.append(data["upper"].values[i, m][measured])
        means.append(expected)
        noise = float(of_marker["marker_residual_sd"]) ** 2 * np.eye(measured.sum())
        blocks.append(phi @ omega @ phi.T + noise)
        link = np.zeros((len(powers), len(powers)))
        for k, word in enumerate(model.association):
            own = float(draw[BY_ARM][k, m, arm])
            if model.subgroups:
                own += apart(draw, data, i, "association")[k, m]
                for c, by_arm in enumerate(apart(draw, data, i, "association_difference")[k, m]):
                    own += by_arm * ((arm == c + 1) - 1 / data.sizes["arm"])
            link += own * link_matrix(word, powers)
        if "baseline" in model.association:
            link[0, 0] += float(draw["baseline_level"][m])
        across.append(g @ link @ omega @ phi.T)
        blocks[0] = blocks[0] + g @ link @ omega @ link.T @ g.T
    total = linalg.block_diag(*blocks)
    n = len(values[0])
    side = np.hstack(across)
    total[:n, n:], total[n:, :n] = side, side.T
    return np.concatenate(values), np.concatenate(means), total


@pytest.mark.parametrize("name", MODELS)
def test_the_joint_density_is_a_dense_normal_written_out(name):
    """Markers then outcomes, each with its deviations integrated out, are one normal of both."""
    model, data, graph = built(name)
    points, posterior = draws_of(graph, count=3, seed=2)
    found = densities(graph, points)
    for k in range(3):
        draw = posterior.isel(chain=0, draw=k)
        expected = sum(
            stats.multivariate_normal.logpdf(*dense(model, data, draw, i)) for i in range(data.sizes["subject"])
        )
        assert found[k] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_of_outcomes_given_markers(name):
    """p(y | z) = p(y, z) / p(z), by the dense normal."""
    model, data, graph = built(name)
    _, posterior = draws_of(graph, count=2, seed=4)
    scores = model.log_likelihood(posterior, data)
    for k in range(2):
        draw = posterior.isel(chain=0, draw=k)
        for i in range(data.sizes["subject"]):
            value, mean, total = dense(model, data, draw, i)
            n = int((~np.isnan(data["outcome"].values[i])).sum())
            joint = stats.multivariate_normal.logpdf(value, mean, total)
            markers = stats.multivariate_normal.logpdf(value[n:], mean[n:], total[n:, n:])
            assert float(scores[0, k, i]) == pytest.approx(joint - markers, rel=1e-8)


@pytest.mark.parametrize("name", MODELS)
def test_each_outcome_is_predicted_from_earlier_ones_and_markers(name):
    model, data, graph = built(name)
    _, posterior = draws_of(graph, count=2, seed=6)
    assert_each_outcome_is_normal_given_earlier_ones_and_markers(
        model, data, posterior, lambda draw, i: dense(model, data, draw, i)
    )


@pytest.mark.parametrize("association", [(), ("value",)])
def test_each_event_has_the_probability_of_events_so_far_over_that_of_the_earlier(association):
    """By the model's own scores of patients whose later intervals are taken away."""
    table = intervals(20) if association else intervals(20).dropna(subset=["outcome"])
    markers = {"value": "pg_ml", "analyte": "marker", "association": association} if association else {}
    model = bd.Trajectories(**EVENTS, **markers)
    data = model.prepare(table)
    _, posterior = draws_of(model.build(data), count=2, seed=1)
    (one,) = model.observations(posterior, data).values()
    assert_probabilities_are_ratios_of_scores(model, data, posterior, one)


@pytest.mark.parametrize("limit", [None, 0.8])
def test_markers_effects_are_conditioned_once_for_markers_and_outcome(limit):
    """Otherwise the gradient has them twice, which costs a third of its time."""
    computation = Computation.of(built("value", limit)[2])
    order = io_toposort([], [flat_density(computation, [()] * len(computation.values)).logp])
    assert sum(type(node.op).__name__ == "ConditionPanel" for node in order) == 1


def test_without_association_they_are_two_models():
    """At associations of zero, the joint density is a growth curve's times that of the markers alone."""
    model, data, graph = built("value")
    points, posterior = draws_of(graph, count=2, seed=3)
    nothing = posterior.assign({BY_ARM: posterior[BY_ARM] * 0})
    alone = bd.Trajectories(reference="p")
    table = visits_and_markers().dropna(subset=["outcome"])
    curve = alone.prepare(table)
    np.testing.assert_allclose(model.log_likelihood(nothing, data), alone.log_likelihood(posterior, curve), rtol=1e-10)
    separate = built("separate")[2]
    markers = densities(separate, [{v.name: p[v.name] for v in separate.value_vars} for p in points], [CONCENTRATION])
    np.testing.assert_allclose(densities(graph, points, [CONCENTRATION]), markers, rtol=1e-12)


def probability_of_censored(value, mean, total, hidden, limit) -> float:
    """The log density of what was measured, and of the rest lying below its limits."""
    seen = ~hidden
    known = stats.multivariate_normal.logpdf(value[seen], mean[seen], total[np.ix_(seen, seen)])
    gain = np.linalg.solve(total[np.ix_(seen, seen)], total[np.ix_(seen, hidden)]).T
    centre = mean[hidden] + gain @ (value - mean)[seen]
    rest = total[np.ix_(hidden, hidden)] - gain @ total[np.ix_(seen, hidden)]
    return float(known + np.log(stats.multivariate_normal.cdf(limit, centre, rest)))


@pytest.mark.parametrize("count", [1, 2])
def test_values_beyond_limits_integrate_to_their_probability(count):
    """The density integrated over the sampled coordinates of one or two values below limits is a normal probability."""
    table = visits_and_markers(people=6)
    first = table.index[table["marker"].notna()][:count]
    table["pg_ml"] = table["pg_ml"].astype(object)
    table.loc[first, "pg_ml"] = "<1.3"
    model = model_of("value")
    data = model.prepare(table)
    graph = model.build(data)
    points, posterior = draws_of(graph, count=2, seed=5)
    names = [v.name for v in graph.value_vars]
    f = graph.compile_logp(vars=[graph[n] for n in (OUTCOME, CONCENTRATION, "beyond_latent")], mode=uncompiled())
    for k, point in enumerate(points):
        assert set(point) == set(names)

        def density(*x, point=point):
            return float(f({**point, "beyond_latent": np.array(x)}))

        peak = max(density(*x) for x in np.ndindex(*[5] * count) for x in [np.array(x) - 2.0])
        nodes, weights = np.polynomial.legendre.leggauss(48)
        grid = np.stack(np.meshgrid(*[9 * nodes] * count, indexing="ij"), axis=-1).reshape(-1, count)
        w = np.prod(np.stack(np.meshgrid(*[9 * weights] * count, indexing="ij"), axis=-1).reshape(-1, count), axis=1)
        total = np.log(sum(wi * np.exp(density(*x) - peak) for x, wi in zip(grid, w, strict=True))) + peak
        draw = posterior.isel(chain=0, draw=k)
        expected = 0.0
        for i in range(data.sizes["subject"]):
            value, mean, cov = dense(model, data, draw, i)
            n = int((~np.isnan(data["outcome"].values[i])).sum())
            kinds = data["detection"].values[i]
            hidden = np.concatenate([np.zeros(n, bool), kinds[kinds >= 0] > 0])
            if hidden.any():
                limit = np.full(int(hidden.sum()), np.log2(1.3))
                expected += probability_of_censored(value, mean, cov, hidden, limit)
            else:
                expected += stats.multivariate_normal.logpdf(value, mean, cov)
        # 48 nodes over 18 sds; scipy's bivariate normal probability is accurate to 1e-8
        assert total == pytest.approx(expected, abs=1e-5)


# ---- R's answers

DESIGNS = {
    "sleepstudy": ({"outcome": "Reaction", "subject": "Subject", "time": "Days", "arm": None}, "Days"),
    "orthodont": (
        {"outcome": "distance", "subject": "Subject", "time": "years", "arm": "Sex", "reference": "Male"},
        "years",
    ),
    "chickweight": ({"outcome": "weight", "subject": "Chick", "time": "Time", "arm": "Diet", "reference": "1"}, "Time"),
    "bodyweight": (
        {
            "outcome": "weight",
            "subject": "Rat",
            "time": "day",
            "arm": "Diet",
            "reference": "1",
            "autocorrelation": True,
        },
        "day",
    ),
}


@functools.cache
def answers(name: str) -> dict[str, float]:
    table = pd.read_csv(REFERENCES / "trajectories.csv")
    return table[table["data"] == name].set_index("name")["value"].to_dict()


def read(name: str) -> tuple[bd.Trajectories, xr.Dataset]:
    model = bd.Trajectories(course="linear", units="units", **DESIGNS[name][0])
    return model, model.prepare(pd.read_csv(REFERENCES / f"{name}.csv"))


def in_words_of_the_model(name: str, data: xr.Dataset, at: dict[str, np.ndarray]) -> xr.Dataset:
    """R's parameters, one per draw, as those of the model: courses at mid-time, sds over the whole follow-up."""
    time = DESIGNS[name][1]
    attrs = data["course_columns"].attrs
    length = attrs["last"] - attrs["first"]
    assert attrs["first"] == 0
    label = {"orthodont": "Sex", "chickweight": "Diet", "bodyweight": "Diet"}.get(name)
    arms = list(data["arm"].values[1:])
    cross = {a: f"{time}:{label}{a}" if f"{time}:{label}{a}" in at else f"{label}{a}:{time}" for a in arms}
    mid = {a: at[f"{label}{a}"] + at[cross[a]] * length / 2 for a in arms}
    half = {a: at[cross[a]] * length / 2 for a in arms}
    share = data["arm_code"].values[data["arm_of"].values == 0][0]  # minus the shares of patients in the arms
    course = [
        at["(Intercept)"] + at[time] * length / 2 - float(data["centre"])
        - sum(share[k] * mid[a] for k, a in enumerate(arms)),
        at[time] * length / 2 - sum(share[k] * half[a] for k, a in enumerate(arms)),
    ]  # fmt: skip
    dims = ("chain", "draw")
    variables = {
        "course": ((*dims, "term"), np.stack(course, axis=-1)[None]),
        "level_sd": (dims, at["level_sd"][None]),
        "slope_sd": (dims, at["slope_sd"][None] * length),
        "residual_sd": (dims, at["residual_sd"][None]),
        "correlation_by_pair": ((*dims, "pair"), at["correlation"][None, :, None]),
    }
    if arms:
        variables["arm_effect"] = ((*dims, "comparison"), np.stack([mid[a] for a in arms], axis=-1)[None])
        variables["arm_change"] = (
            (*dims, "comparison", "change"), np.stack([half[a] for a in arms], axis=-1)[None, ..., None]
        )  # fmt: skip
    if "rho" in at:
        variables["rho"] = (dims, at["rho"][None] ** float(data["typical_gap"]))
    return xr.Dataset(variables)


@pytest.mark.parametrize("name", DESIGNS)
def test_the_likelihood_and_its_maximum_are_those_of_lme4_and_nlme(name):
    """At R's estimates the density equals R's log-likelihood, and a Newton step from there goes nowhere.

    Fixed effects and spreads together: the step is less than a thousandth of a standard error by the curvature in each,
    and a thousandth of its size for spreads.
    """
    model, data = read(name)
    best = answers(name)
    names = [k for k in best if k != "log_likelihood"]
    spreads = [k.endswith("_sd") for k in names]
    table = pd.read_csv(REFERENCES / "trajectories.csv")
    errors = table[table["data"] == name].set_index("name")["se"].to_dict()
    unit = np.array(
        [errors[k] if np.isfinite(errors[k]) else best[k] if s else 0.1 for k, s in zip(names, spreads, strict=True)]
    )
    centre = np.array([best[k] for k in names])

    def log_likelihood(steps: np.ndarray) -> np.ndarray:
        at = dict(zip(names, (centre + steps * unit).T, strict=True))
        return model.log_likelihood(in_words_of_the_model(name, data, at), data).sum("subject").values[0]

    assert log_likelihood(np.zeros((1, len(names))))[0] == pytest.approx(best["log_likelihood"], abs=1e-5)
    h, k = 1e-3, len(names)
    eye = np.eye(k) * h
    gradient = (log_likelihood(eye) - log_likelihood(-eye)) / (2 * h)
    pairs = [(a, b) for a in range(k) for b in range(k)]
    corner = {s: log_likelihood(np.array([s[0] * eye[a] + s[1] * eye[b] for a, b in pairs])) for s in
              ((1, 1), (1, -1), (-1, 1), (-1, -1))}  # fmt: skip
    hessian = ((corner[1, 1] - corner[1, -1] - corner[-1, 1] + corner[-1, -1]) / (4 * h * h)).reshape(k, k)
    step = np.linalg.solve(hessian, -gradient)
    assert (np.linalg.eigvalsh(hessian) < 0).all()
    error = np.sqrt(np.diag(np.linalg.inv(-hessian)))
    assert np.abs(step / error).max() < 1e-3
    assert np.abs(step[spreads]).max() < 1e-3


# ---- nlme's bivariate mixed model of albumin and bilirubin in 312 patients (survival::pbcseq)

ALBUMIN, BILIRUBIN = "whatalbumin", "whatbilirubin"
TERMS = (ALBUMIN, BILIRUBIN, f"{ALBUMIN}:year", f"{BILIRUBIN}:year")


def bivariate() -> tuple[bd.Trajectories, xr.Dataset]:
    """Links that together are any two-by-two matrix, so the two courses have any covariance."""
    model = bd.Trajectories(
        reference=None, arm=None, course="linear", marker_course="linear", outcome="albumin", subject="id", time="year",
        value="bili", association=("slope", "baseline", "change"), pooling="none", units="g/dL",
    )  # fmt: skip
    return model, model.prepare(patients("pbcseq", "tests/references/trajectories_pbcseq.R"))


def in_words_of_the_bivariate_model(data: xr.Dataset, at: dict[str, float]) -> dict[str, np.ndarray]:
    """Nlme's parameters as those of the model: the outcome's regression on the marker, and what is left."""
    length = data["course_columns"].attrs["last"]
    assert data["course_columns"].attrs["first"] == 0
    scale = np.array([1, 1, length, length])  # slopes per follow-up
    total = np.empty((4, 4))
    for j, k in np.ndindex(4, 4):
        total[j, k] = at[f"covariance {TERMS[max(j, k)]} {TERMS[min(j, k)]}"] * scale[j] * scale[k]
    outcome, marker = [0, 2], [1, 3]
    of_marker = total[np.ix_(marker, marker)]
    link = np.linalg.solve(of_marker, total[np.ix_(marker, outcome)]).T
    left = total[np.ix_(outcome, outcome)] - link @ of_marker @ link.T

    def course(level: float, slope: float, centre: float) -> np.ndarray:
        return np.array([level + slope * length / 2 - centre, slope * length / 2])

    def share(covariance: np.ndarray) -> float:
        return (covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]) + 1) / 2

    return {
        "course": course(at[ALBUMIN], at[f"{ALBUMIN}:year"], float(data["centre"])),
        "level_sd": np.sqrt(left[0, 0]), "slope_sd": np.sqrt(left[1, 1]), "partial_share": np.array([share(left)]),
        "residual_sd": np.array(at["residual_sd albumin"]),
        "marker_course": course(at[BILIRUBIN], at[f"{BILIRUBIN}:year"], float(data["marker_centre"][0]))[None],
        "marker_level_sd": np.sqrt(of_marker[:1, 0]), "marker_slope_sd": np.sqrt(of_marker[1:, 1]),
        "marker_partial_share": np.array([[share(of_marker)]]),
        "marker_residual_sd": np.array([at["residual_sd bilirubin"]]),
        "association": np.array([[link[0, 1]], [link[1, 0]], [link[1, 1]]]), "baseline_level": link[:1, 0],
    }  # fmt: skip


def test_the_joint_likelihood_and_its_maximum_are_those_of_a_bivariate_mixed_model():
    """At nlme's estimates the joint density is nlme's log-likelihood, and it is flat there.

    Flat: the slope times a standard error (of covariances and sds: times a twentieth of their sizes) is below 0.01, so
    that the maximum is less than about a hundredth of a standard error away.
    """
    model, data = bivariate()
    table = pd.read_csv(REFERENCES / "trajectories_pbcseq.csv").set_index("name")
    best = table["value"].to_dict()
    expected = best.pop("log_likelihood")
    graph = model.build(data)
    f = graph.compile_logp(vars=[graph[OUTCOME], graph[CONCENTRATION]], mode=uncompiled())
    transforms = {rv.name: graph.rvs_to_transforms[rv] for rv in graph.free_RVs}

    def log_likelihood(at: dict[str, float]) -> float:
        values = in_words_of_the_bivariate_model(data, at)
        assert set(values) == set(transforms)
        point = {}
        for rv in graph.free_RVs:
            x, transform = values[rv.name], transforms[rv.name]
            if transform is not None:
                x = transform.forward(x, *rv.owner.inputs).eval(mode=uncompiled())
            point[graph.rvs_to_values[rv].name] = np.asarray(x, dtype=float)
        return float(f(point))

    assert log_likelihood(best) == pytest.approx(expected, abs=1e-5)
    for name, value in best.items():
        unit = table.loc[name, "se"] if np.isfinite(table.loc[name, "se"]) else abs(value) / 20
        step = 0.01 * unit
        slope = (log_likelihood(best | {name: value + step}) - log_likelihood(best | {name: value - step})) / 0.02
        assert abs(slope) < 0.01, name


# ---- events in intervals


def intervals(people: int = 60, seed: int = 5) -> pd.DataFrame:
    """Rows at risk of an event in four intervals, the event ending them; some patients leave early; a marker beside."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(people):
        about = {"subject": f"s{i}", "arm": "pd"[i % 2]}
        for t in (0, 2, 4):
            rows.append(about | {"time": t, "marker": "IL-6", "pg_ml": float(2 ** rng.normal(1, 1))})
        for t in (1, 2, 3, 4):
            came = bool(rng.random() < 0.25 + 0.1 * (i % 2))
            rows.append(about | {"time": t, "outcome": float(came)})
            if came or rng.random() < 0.1:
                break
    return pd.DataFrame(rows)


EVENTS = {"kind": "event", "reference": "p", "course": "linear"}


def test_the_likelihood_of_events_is_the_product_of_hazards_over_patients_deviations():
    """Against scipy's quadrature over the deviation, interval by interval."""
    model = bd.Trajectories(**EVENTS, deviations="level")
    data = model.prepare(intervals().dropna(subset=["outcome"]))
    _, posterior = draws_of(model.build(data), count=2, seed=1)
    scores = model.log_likelihood(posterior, data)
    draw = posterior.isel(chain=0, draw=0)
    for i in range(6):
        seen = ~np.isnan(data["outcome"].values[i])
        log_odds = data["course_columns"].values[i][seen] @ draw["course"].values
        log_odds = log_odds + arms_part(draw, data, i, data["arm_columns"].values[i][seen])

        def product(b, log_odds=log_odds, y=data["outcome"].values[i][seen]):
            hazard = 1 / (1 + np.exp(-(log_odds + b)))
            return np.prod(np.where(y == 1, hazard, 1 - hazard)) * stats.norm.pdf(b, 0, float(draw["level_sd"]))

        known = integrate.quad(product, -12 * float(draw["level_sd"]), 12 * float(draw["level_sd"]), limit=200)[0]
        assert float(scores[0, 0, i]) == pytest.approx(np.log(known), rel=1e-3)


@pytest.mark.parametrize("association", [(), ("value",)])
def test_the_probability_of_an_event_is_the_share_of_simulated_patients(association):
    """200,000 patients drawn from a draw's own law, deviations and markers included: within four standard errors."""
    markers = {"value": "pg_ml", "analyte": "marker", "association": association} if association else {}
    model = bd.Trajectories(**EVENTS, **markers)
    table = intervals() if association else intervals().dropna(subset=["outcome"])
    data = model.prepare(table)
    _, posterior = draws_of(model.build(data), count=1, seed=2)
    found = model.estimands(posterior, data)
    draw, rng, people = posterior.isel(chain=0, draw=0), np.random.default_rng(3), 200_000
    design = data["deviation_columns"].values[0]
    for a in range(2):
        b = rng.multivariate_normal(np.zeros(2), covariance(draw, model.powers), people)
        if association:
            of_marker = draw.isel(analyte=0)
            w = rng.multivariate_normal(np.zeros(2), covariance(of_marker, model.powers, "marker_"), people)
            b = b + float(draw[BY_ARM][0, 0, a]) * w
        hazard = 1 / (1 + np.exp(-(found["mean"][0, 0, a].values + b @ design.T)))
        came = (rng.random(hazard.shape) < hazard).cumsum(axis=1) > 0
        share = came.mean(axis=0)
        error = np.sqrt(share * (1 - share) / people) + 1e-4  # and of the quadrature
        assert (np.abs(found["event_probability"][0, 0, a].values - share) < 4 * error).all()
    difference = found["event_probability"].isel(arm=1) - found["event_probability"].isel(arm=0)
    np.testing.assert_allclose(found["event_difference"].isel(comparison=0), difference)


# ---- courses and links


@pytest.mark.parametrize("course", ["visits", "linear", "quadratic", "spline", "cyclic"])
def test_a_course_has_a_constant_and_terms_of_one_size(course):
    times = np.array([0.0, 1, 2, 4, 8])
    basis = basis_of(course, 0.0, 8.0, np.repeat(times, 3), knots=4, period=8.0 if course == "cyclic" else None)
    at = np.linspace(0, 8, 500)
    columns = basis.columns(at)
    np.testing.assert_array_equal(columns[:, 0], 1)
    assert np.abs(columns[:, 1:]).max() <= 1 + 1e-9
    assert (
        columns.shape[1]
        == len(basis.terms) + 1
        == {"visits": 5, "linear": 2, "quadratic": 3, "spline": 4, "cyclic": 5}[course]
    )
    np.testing.assert_array_equal(basis.since_first(np.array([0.0])), 0)
    again = Basis.from_attrs(basis.to_attrs())
    np.testing.assert_array_equal(again.columns(at), columns)


def test_visits_are_any_means_and_lines_between():
    times = np.array([0.0, 1, 5])
    basis = basis_of("visits", 0.0, 5.0, times, knots=3, period=None)
    square = basis.columns(times)
    wanted = np.array([3.0, -1.0, 4.0])
    terms = np.linalg.solve(square, wanted)
    assert terms[0] == pytest.approx(wanted.mean())
    np.testing.assert_allclose(basis.columns(np.array([0.5, 3.0])) @ terms, [1.0, 1.5])


def test_a_spline_is_linear_beyond_its_outer_knots_and_smooth_between():
    observed = np.linspace(0, 10, 101)
    basis = basis_of("spline", 0.0, 10.0, observed, knots=4, period=None)
    low, high = basis.times[0], basis.times[-1]
    for at in (np.linspace(0, low, 20), np.linspace(high, 10, 20)):
        second = np.diff(basis.columns(at), 2, axis=0)
        np.testing.assert_allclose(second, 0, atol=1e-10)
    fine = np.linspace(0, 10, 4001)
    third = np.abs(np.diff(basis.columns(fine), 2, axis=0)) / (fine[1] - fine[0]) ** 2
    assert np.abs(np.diff(third, axis=0)).max() < 0.02 * third.max()  # a second derivative without jumps


@pytest.mark.parametrize("link", ["value", "slope", "change", "area", "baseline"])
def test_a_link_is_what_it_is_called(link):
    """Each is computed from the path itself, by quadrature and differences."""
    b = np.array([0.7, -1.2, 0.4])
    matrix = link_matrix(link, ("level", "slope", "curvature"))

    def path(u):
        return b[0] + b[1] * u + b[2] * u**2

    for u in (0.2, 0.9):
        expected = {
            "value": path(u),
            "slope": (path(u + 1e-5) - path(u - 1e-5)) / 2e-5,
            "change": path(u) - path(0),
            "area": integrate.quad(path, 0, u)[0] / u,
            "baseline": path(0) * u,
        }[link]
        assert (matrix @ b) @ [1, u, u**2] == pytest.approx(expected, rel=1e-8)


# ---- estimands and predictions by hand


def test_the_difference_at_the_control_arms_path_is_what_a_patient_on_that_path_has():
    """A treated patient whose marker follows the control arm's mean has a deviation of the difference between them."""
    model, data, graph = built("area and baseline")
    _, posterior = draws_of(graph, count=2, seed=6)
    found = model.estimands(posterior, data)
    grid = np.linspace(0, 5, 4001)
    for k in range(2):
        draw = posterior.isel(chain=0, draw=k)
        marker = Basis.from_attrs(data["marker_course_columns"].attrs)
        for c in range(data.sizes["comparison"]):
            for j, t in enumerate(data["reported_time"].values):
                total = float(found["difference"][0, k, c, j])
                for m in range(data.sizes["analyte"]):
                    change = draw["marker_arm_change"].values[m, c]
                    path = -marker.since_first(grid) @ change  # control less treated: arms that start equal
                    up_to = grid <= t
                    area = np.trapezoid(path[up_to], grid[up_to]) / t if t > 0 else path[0]
                    area_of, baseline_of = draw[BY_ARM].values[:, m, c + 1]
                    total += area_of * area + (baseline_of * t / 5 + float(draw["baseline_level"][m])) * path[0]
                assert float(found["difference_at_control_path"][0, k, c, j]) == pytest.approx(total, abs=2e-3)


def test_a_mean_and_a_ratio_are_those_of_patients_in_the_arm():
    """Differences between the means of two patients who differ in the arm alone, at a visit both have."""
    model, data, graph = built("value")
    _, posterior = draws_of(graph, count=2, seed=7)
    found = model.estimands(posterior, data)
    draw = posterior.isel(chain=0, draw=1)
    arm = data["arm_of"].values
    one, other = (int(np.flatnonzero(arm == a)[0]) for a in (0, 2))
    for j in range(data.sizes["visit"]):
        means = [
            float(data["centre"])
            + data["course_columns"].values[i, j] @ draw["course"].values
            + arms_part(draw, data, i, data["arm_columns"].values[i, j])
            for i in (one, other)
        ]
        np.testing.assert_allclose(found["mean"][0, 1, [0, 2], j], means, rtol=1e-10)
        assert float(found["difference"][0, 1, 1, j]) == pytest.approx(means[1] - means[0], rel=1e-9)
    for m in range(2):
        columns = data["marker_arm_columns"].values
        for j in range(data.sizes["marker_visit"]):
            log2 = arms_part(draw, data, other, columns[other, j], "marker_", m)
            log2 -= arms_part(draw, data, one, columns[one, j], "marker_", m)
            assert float(found["marker_ratio"][0, 1, m, 1, j]) == pytest.approx(2**log2, rel=1e-9)


def test_a_straight_line_has_its_slope_per_unit_of_time():
    model, data = read("orthodont")
    _, posterior = draws_of(model.build(data), count=2, seed=8)
    found = model.estimands(posterior, data)
    means, times = found["mean"], data["reported_time"].values
    np.testing.assert_allclose(found["slope"], (means[..., -1] - means[..., 0]) / (times[-1] - times[0]), rtol=1e-9)
    np.testing.assert_allclose(found["slope_difference"][..., 0], found["slope"][..., 1] - found["slope"][..., 0])


def future(model, data, draw, i: int, at: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Values, mean and covariance of everything measured in a patient and of one score to come, which is last."""
    powers, arm = model.powers, int(data["arm_of"][i])
    basis = Basis.from_attrs(data["course_columns"].attrs)
    value, mean, total = dense(model, data, draw, i)
    seen = ~np.isnan(data["outcome"].values[i])
    n, g = int(seen.sum()), data["deviation_columns"].values[i][seen]
    ahead = basis.share(np.array([at]))[:, None] ** np.arange(len(powers))
    columns = basis.columns(np.array([at]))
    expected = float(data["centre"]) + columns @ draw["course"].values
    expected = expected + arms_part(draw, data, i, columns[..., 1:])
    of_outcome, with_markers = covariance(draw, powers), []
    for m in range(data.sizes["analyte"]):
        measured = data["detection"].values[i, m] >= 0
        phi = data["marker_deviation_columns"].values[i][measured]
        omega = covariance(draw.isel(analyte=m), powers, "marker_")
        link = sum(
            float(draw[BY_ARM][k, m, arm]) * link_matrix(word, powers) for k, word in enumerate(model.association)
        )
        of_outcome = of_outcome + link @ omega @ link.T
        with_markers.append(ahead @ link @ omega @ phi.T)
    row = np.hstack([ahead @ of_outcome @ g.T, *with_markers])
    own = ahead @ of_outcome @ ahead.T + float(draw["residual_sd"]) ** 2
    whole = np.block([[total, row.T], [row, own]])
    return value, np.concatenate([mean, expected]), whole, np.arange(len(value)) < n


def test_a_prediction_is_the_normal_of_what_comes_given_what_was_seen():
    model, data, graph = built("value")
    table = visits_and_markers()
    _, posterior = draws_of(graph, count=1, seed=9)
    draw = posterior.isel(chain=0, draw=0)
    for i in (1, 4):
        patient = table[table["subject"] == f"s{i}"]
        found = model.predict(posterior, data, patient, at=[4.25])
        value, mean, whole, _ = future(model, data, draw, i, 4.25)
        gain = np.linalg.solve(whole[:-1, :-1], whole[:-1, -1])
        assert found["mean"].iloc[0] == pytest.approx(mean[-1] + gain @ (value - mean[:-1]), rel=1e-8)
        assert found["sd"].iloc[0] == pytest.approx(np.sqrt(whole[-1, -1] - gain @ whole[:-1, -1]), rel=1e-8)


def test_a_prediction_from_a_value_below_its_limit_is_the_mean_over_what_it_may_be():
    """One value is known to lie below 1.3: its mean is that of a normal cut there, and the score is linear in it."""
    model, data, graph = built("value")
    _, posterior = draws_of(graph, count=1, seed=10)
    many = xr.concat([posterior] * 4000, dim="draw").assign_coords(draw=np.arange(4000))
    table = visits_and_markers()
    patient = table[(table["subject"] == "s1") & table["marker"].notna()].copy()
    patient["pg_ml"] = patient["pg_ml"].astype(object)
    patient.iloc[0, patient.columns.get_loc("pg_ml")] = "<1.3"
    found = model.predict(many, data, patient, at=[4.0], seed=3)
    value, mean, whole, is_outcome = future(model, data, posterior.isel(chain=0, draw=0), 1, 4.0)
    kept = np.flatnonzero(~np.append(is_outcome, False))  # markers, and the score to come
    mean, whole, value = mean[kept], whole[np.ix_(kept, kept)], value[~is_outcome]
    known, hidden, last = np.arange(1, len(value)), 0, len(value)
    gain = np.linalg.solve(whole[np.ix_(known, known)], whole[np.ix_(known, [hidden, last])]).T
    centre = mean[[hidden, last]] + gain @ (value - mean[:-1])[known]
    rest = whole[np.ix_([hidden, last], [hidden, last])] - gain @ whole[np.ix_(known, [hidden, last])]
    sd = np.sqrt(rest[0, 0])
    cut = stats.truncnorm(-np.inf, (np.log2(1.3) - centre[0]) / sd, centre[0], sd)
    slope = rest[0, 1] / rest[0, 0]
    expected = centre[1] + slope * (cut.mean() - centre[0])
    error = abs(slope) * cut.std() / np.sqrt(4000)
    assert abs(found["mean"].iloc[0] - expected) < 4 * error
    assert error < 0.05 * found["sd"].iloc[0]


# ---- responses


def test_a_response_is_a_logistic_of_the_same_course():
    """The graph's density given deviations, written out; and a patient's probability, by quadrature on a fine grid."""
    table = visits_and_markers().assign(outcome=lambda t: np.where(t["outcome"].isna(), np.nan, t["outcome"] > 23))
    model = model_of("value", kind="response")
    data = model.prepare(table)
    graph = model.build(data)
    points, posterior = draws_of(graph, count=2, seed=11)
    found = densities(graph, points, [OUTCOME])
    scores = model.log_likelihood(posterior, data)
    normal = model_of("value").prepare(visits_and_markers())
    for k in range(2):
        draw, total = posterior.isel(chain=0, draw=k), 0.0
        for i in range(data.sizes["subject"]):
            seen = ~np.isnan(data["outcome"].values[i])
            g = data["deviation_columns"].values[i][seen]
            mean = data["course_columns"].values[i][seen] @ draw["course"].values
            mean = mean + arms_part(draw, data, i, data["arm_columns"].values[i][seen])
            sign = 2 * data["outcome"].values[i][seen] - 1
            total += np.log(1 / (1 + np.exp(-sign * (mean + g @ draw["deviation"].values[i])))).sum()
            # the deviation given the markers, from the dense normal of scores without a residual
            near = draw.assign(residual_sd=xr.zeros_like(draw["level_sd"]) + 1e-4)
            value, means, cov = dense(model_of("value"), normal, near, i)
            n = int((~np.isnan(normal["outcome"].values[i])).sum())
            gain = np.linalg.solve(cov[n:, n:], cov[n:, :n]).T
            of_scores = gain @ (value - means)[n:]
            rest = cov[:n, :n] - gain @ cov[n:, :n]
            shift = np.linalg.lstsq(g, of_scores, rcond=None)[0]
            inverse = np.linalg.pinv(g)
            own = inverse @ rest @ inverse.T
            x = np.linspace(-8, 8, 161)
            z = np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2)
            w = np.exp(-(z**2).sum(1) / 2)
            at = mean + (shift + z @ np.linalg.cholesky(own).T) @ g.T
            p = (np.prod(1 / (1 + np.exp(-sign * at)), axis=1) * w).sum() / w.sum()
            assert float(scores[0, k, i]) == pytest.approx(np.log(p), abs=2e-3)
        assert found[k] == pytest.approx(total, rel=1e-9)


# ---- tables


def test_merged_and_stacked_tables_are_read_alike():
    """The clinic's outcome beside every measurement, or in rows of its own."""
    rows = visits_and_markers()
    scores = rows.dropna(subset=["outcome"])[["subject", "arm", "age", "time", "outcome"]]
    markers = rows.dropna(subset=["marker"]).drop(columns="outcome")
    merged = markers.merge(scores[["subject", "time", "outcome"]], on=["subject", "time"], how="outer")
    about = scores.groupby("subject")[["arm", "age"]].first()
    merged = merged.assign(**{c: merged["subject"].map(about[c]) for c in about})
    one, two = (model_of("value").prepare(t) for t in (rows, merged.sort_values(["subject", "time"])))
    for name in ("outcome", "lower", "upper", "detection", "arm_of"):
        x, y = one[name], two[name]
        labels = {d: x[d] for d in x.dims if d in ("subject", "analyte")}
        np.testing.assert_allclose(x, y.sel(labels), equal_nan=True)
    joined = bd.join_markers(scores, markers[["subject", "time", "marker", "pg_ml"]])
    three = model_of("value").prepare(joined)
    from_a_file = markers[["subject", "time", "marker", "pg_ml"]].assign(time=[f"{t:.1f}" for t in markers["time"]])
    both = bd.join_markers(scores.assign(origin="synthetic, a"), from_a_file.assign(origin="synthetic, b"))
    assert both["origin"].value_counts().to_dict() == {"synthetic, a": len(scores), "synthetic, b": len(markers)}
    four = model_of("value").prepare(both)  # "0.0" beside the number 0
    for name in ("outcome", "lower", "upper", "detection"):
        np.testing.assert_array_equal(one[name], three[name])
        np.testing.assert_array_equal(one[name], four[name])


def test_every_form_of_a_value_beyond_a_limit_is_one_interval():
    table = visits_and_markers()
    at = table.index[table["marker"] == "IL-6"][:3]
    text = table["pg_ml"].astype(object)
    text[at[0]], text[at[1]], text[at[2]] = "<0.5", ">64", "0.5-2"
    data = model_of("value").prepare(table.assign(pg_ml=text))
    kinds = data["detection"].values
    assert sorted(kinds[kinds > 0].tolist()) == [1, 2, 3]
    assert data["upper"].values[kinds == 1].tolist() == [-1.0]
    assert data["lower"].values[kinds == 2].tolist() == [6.0]
    np.testing.assert_allclose([data["lower"].values[kinds == 3][0], data["upper"].values[kinds == 3][0]], [-1, 1])
    is_low = table.index == at[0]
    flagged = table.assign(flag=np.where(is_low, "left", None), limit=np.where(is_low, 0.5, np.nan))
    flagged.loc[at[0], "pg_ml"] = 0.25
    again = model_of("value", censored="flag", lod="limit").prepare(flagged)
    assert again["detection"].values.ravel()[kinds.ravel() == 1].tolist() == [1]
    assert again["upper"].values[kinds == 1].tolist() == [-1.0]


def test_a_message_about_a_limit_names_the_row_of_the_users_table():
    table = visits_and_markers()
    at = table.index[table["marker"] == "BDNF"][0]
    text = table["pg_ml"].astype(object)
    text[at] = "low"
    with pytest.raises(bd.BadInput, match=rf"row {at + 1} \(BDNF\)"):
        model_of("value").prepare(table.assign(pg_ml=text))


def test_actual_times_stand_side_by_side_in_their_order():
    table = visits_and_markers()
    rng = np.random.default_rng(2)
    table["time"] = (table["time"] + rng.uniform(0, 0.2, len(table))).round(3)
    model = model_of("value", course="spline", marker_course="linear", at=[0.5, 2])
    data = model.prepare(table)
    assert data.sizes["visit"] == table[table["outcome"].notna()].groupby("subject").size().max()
    for i, person in enumerate(data["subject"].values):
        own = table[(table["subject"] == person) & table["outcome"].notna()].sort_values("time")
        seen = ~np.isnan(data["outcome"].values[i])
        np.testing.assert_allclose(data["time"].values[i][seen], own["time"])
        np.testing.assert_allclose(data["outcome"].values[i][seen], own["outcome"])
    assert list(data["reported"].values) == ["0.5", "2"]
    dates = visits_and_markers().assign(time=lambda t: [f"day {x:g}" for x in t["time"]])
    np.testing.assert_allclose(model_of("value").prepare(dates)["time"][0], [0, 1, 2, 3.5, 5])


def test_associations_that_are_not_pooled_have_a_prior_of_their_own():
    """The estimand is the parameter that the prior is named for; pooled ones say why they have none."""
    model = model_of("level", association=["value"], covariates="age")
    data = model.prepare(visits_and_markers(arms="pd"))
    _, posterior = draws_of(model.build(data), count=2, seed=12)
    found = model.estimands(posterior, data)
    for name, at in (
        ("association_difference", {"link": "value", "analyte": "BDNF", "comparison": "d"}),
        ("covariate_effect", {"covariate": "age"}),
    ):
        own = model.own_prior(name, at, data)
        drawn = posterior[own.variable].transpose("chain", "draw", ...).values[(slice(None), slice(None), *own.index)]
        np.testing.assert_allclose(own.factor * drawn, found[name].sel(at).values)
        assert own.prior == priors_of(model, data)[name]
    assert "function of several" in model.own_prior("difference", {}, data)
    assert "pooled" in model_of("value").own_prior("association_difference", {}, data)
