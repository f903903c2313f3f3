"""Directions in which means over time are sampled: the model is the same, and what data know well is an axis."""

import numpy as np
import pandas as pd
import pymc as pm
import pytest

import bayesdep as bd
from bayesdep.inference.diagnostics import diagnose
from bayesdep.models.trajectories.directions import directions_of_markers, directions_of_means

TIMES = (0.0, 1.0, 2.0, 3.0, 5.0)
LEVEL, SLOPE, RESIDUAL = 5.0, 9.0, 0.4


def table(people=60, seed=1, arms="pd", times=TIMES):
    rng, rows = np.random.default_rng(seed), []
    for i in range(people):
        level, slope = rng.normal(0, (LEVEL, SLOPE))
        for t in times:
            if rng.random() < 0.9:
                y = 20 + level + (slope - 2) * t / 5 + rng.normal(0, RESIDUAL)
                rows.append({"subject": f"s{i}", "arm": arms[i % len(arms)], "time": t, "age": 30.0 + i, "outcome": y})
    return pd.DataFrame(rows)


def model(**settings):
    return bd.Trajectories(**({"reference": "p", "scale": 6.0} | settings))


def covariance_at_the_truth(one, data):
    """The posterior covariance of course and arms' changes, written out with the true variances."""
    seen = ~np.isnan(data["outcome"].values)
    of_arms = data["arm_code"].values[:, :1, None] * data["arm_columns"].values
    information = np.eye(data.sizes["term"] + data.sizes["change"]) / (2 * 6.0) ** 2
    for i in range(data.sizes["subject"]):
        x = np.hstack([data["course_columns"].values[i], of_arms[i]])[seen[i]]
        z = data["deviation_columns"].values[i][seen[i]]
        v = z @ np.diag([LEVEL**2, SLOPE**2]) @ z.T + RESIDUAL**2 * np.eye(len(z))
        information += x.T @ np.linalg.solve(v, x)
    assert one.equal_baseline
    return np.linalg.inv(information)


def correlation_between(covariance):
    sd = np.sqrt(np.diagonal(covariance))
    return np.abs(covariance / np.outer(sd, sd) - np.eye(len(sd))).max()


def test_axes_are_those_of_the_posterior():
    one = model(equal_baseline=True)
    data = one.prepare(table())
    true, terms = covariance_at_the_truth(one, data), data.sizes["term"]
    found = directions_of_means(one, data)
    for name, block in (("course", true[:terms, :terms]), ("arm_change", true[terms:, terms:])):
        q = found[name]
        np.testing.assert_allclose(q.T @ q, np.eye(len(q)), atol=1e-12)
        assert correlation_between(block) > 0.9
        assert correlation_between(q.T @ block @ q) < 0.35


@pytest.mark.parametrize("settings", [{}, {"equal_baseline": True}, {"covariates": "age"}, {"deviations": "level"}])
@pytest.mark.parametrize("arms", ["pd", "pde"])
def test_the_prior_and_the_density_are_those_of_the_effects(settings, arms):
    one = model(**settings)
    data = one.prepare(table(arms=arms))
    graph, rng = one.build(data), np.random.default_rng(3)
    course = graph["course"]
    z = rng.normal(size=(2, data.sizes["term"]))
    sigma = one.priors["course"]["sigma"] * 6.0
    values = [course.eval({graph["course_standardised"]: x}) for x in z]
    for x, effect in zip(z, values, strict=True):  # a rotation: independent normals stay so
        assert np.sum(effect**2) == pytest.approx(sigma**2 * np.sum(x**2), rel=1e-12)
    many = pm.draw(course, draws=4000, random_seed=1)
    np.testing.assert_allclose(np.cov(many.T) / sigma**2, np.eye(len(z[0])), atol=0.12)


def test_where_little_is_known_effects_are_sampled_as_they_are():
    for frame, settings in (
        (table(times=(0.0, 5.0)), {}),  # a course of their own explains two visits
        (table(people=3), {}),
        (table().assign(outcome=lambda t: (t["outcome"] > 20).astype(float)), {"kind": "response"}),
    ):
        one = model(**settings, arm=None, reference=None) if len(frame) < 20 else model(**settings)
        data = one.prepare(frame)
        assert directions_of_means(one, data) == {}
        assert "course" in {rv.name for rv in one.build(data).free_RVs}


def test_another_prior_than_normal_is_kept():
    one = model(priors={"course": bd.Prior("StudentT", nu=3, mu=0, sigma=10)})
    assert "course" in {rv.name for rv in one.build(one.prepare(table())).free_RVs}


def with_markers(seed, people=133):
    """Scores that hardly vary around patients' own lines, and two markers, one of which goes with the change."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(people):
        about = {"subject": f"s{i}", "arm": "pdd"[i % 3]}
        (level, slope), change = rng.normal(0, (12, 15)), rng.normal(0, (1.2, 0.2))
        for t in (0.0, 1.0, 3.0, 5.0):
            score = 20 + level + (slope + 2.5 * change[0]) * t / 5 + rng.normal(0, 0.6)
            rows.append(about | {"time": t, "outcome": score})
            for m, name in enumerate("ab"):
                log2 = change[m] * t / 5 + rng.normal(0, 1)
                rows.append(about | {"time": t, "marker": name, "value": 2.0**log2})
    return pd.DataFrame(rows)


@pytest.mark.sampling
def test_means_of_patients_with_hardly_any_residual_pass_the_gate():
    """Their slopes differ by twenty times the residual sd; 340 effective draws of 4,000 in the effects themselves.

    With default draws, which the gate is for: with half of them, R-hat of some seeds is 1.011.
    """
    one = model(value="value", analyte="marker", association=["change"], equal_baseline=True)
    fit = bd.fit(one, with_markers(2), seed=1)
    assert fit.gate.passed, fit.gate.sentence
    means = fit.estimands["mean"].values.reshape(*fit.estimands["mean"].shape[:2], -1)
    assert min(diagnose(means[..., k])[1] for k in range(means.shape[-1])) > 2000


def test_markers_have_axes_of_their_own():
    frame = with_markers(2)
    frame.loc[frame["marker"] == "b", "value"] *= 2.0 ** frame.loc[frame["marker"] == "b", "time"]
    one = model(value="value", analyte="marker", association=["change"], equal_baseline=True)
    data = one.prepare(frame)
    found = directions_of_markers(one, data)
    for q in (*found["marker_course"], *found["marker_arm_change"][:, 0]):
        np.testing.assert_allclose(q.T @ q, np.eye(len(q)), atol=1e-12)
    graph = one.build(data)
    z = np.random.default_rng(1).normal(size=(2, data.sizes["marker_term"]))
    effects = graph["marker_course"].eval({graph["marker_course_standardised"]: z})
    q, sigma = found["marker_course"], one.priors["marker_course"]["sigma"]
    np.testing.assert_allclose(effects, sigma * np.einsum("mij,mj->mi", q, z), rtol=1e-12)
    z = np.random.default_rng(2).normal(size=(2, 1, data.sizes["marker_change"]))
    effects = graph["marker_arm_change"].eval({graph["marker_arm_change_standardised"]: z})
    q, sigma = found["marker_arm_change"][:, 0], one.priors["marker_arm_change"]["sigma"]
    np.testing.assert_allclose(effects[:, 0], sigma * np.einsum("mij,mj->mi", q, z[:, 0]), rtol=1e-12)
