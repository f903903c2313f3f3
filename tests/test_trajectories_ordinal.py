"""Ordered categories over time: densities by plain expressions, two categories as a yes-no response, probabilities."""

import functools

import numpy as np
import pandas as pd
import pytest
from common import draws_of, posterior_at
from scipy import integrate, special, stats
from test_trajectories import (
    CONCENTRATION,
    OUTCOME,
    covariance,
    visits_and_markers,
)
from trajectories_as_normal import assert_probabilities_are_ratios_of_scores

import bayesdep as bd
from bayesdep.inference.evaluate import uncompiled
from bayesdep.models.trajectories.links import BY_ARM
from bayesdep.models.trajectories.paths import mean_outcomes, mean_outcomes_of_patients
from bayesdep.models.trajectories.replicates import replicate
from bayesdep.numerics.draws import stack_draws

NAMES = ("well", "better", "ill", "very ill")
MARKERS = {"value": "pg_ml", "analyte": "marker"}


def stages(categories: int = 4, people: int = 12) -> pd.DataFrame:
    """The visits of the other tests with a category in the score's place; rows of markers have none."""
    table = visits_and_markers(people=people)
    cut = pd.cut(table["outcome"].rank(pct=True), np.linspace(0, 1, categories + 1), labels=NAMES[:categories])
    return table.assign(outcome=cut.astype(object))


def ordinal(categories: int = 4, **settings) -> bd.Trajectories:
    about = {"reference": "p", "kind": "ordinal", "categories": NAMES[:categories]}
    return bd.Trajectories(**(about | settings))


@functools.cache
def built(deviations: str = "slope", with_markers: bool = True):
    about = {**MARKERS, "association": "value"} if with_markers else {}
    model = ordinal(deviations=deviations, **about)
    table = stages() if with_markers else stages().dropna(subset=["outcome"])
    data = model.prepare(table)
    return model, data, model.build(data)


def test_categories_are_read_from_the_best_to_the_worst():
    _, data, _ = built()
    table = stages().dropna(subset=["outcome"])
    for _, row in table.iterrows():
        i, v = list(data["subject"].values).index(row["subject"]), list(data["time"].values[0]).index(row["time"])
        assert NAMES[int(data["outcome"].values[i, v])] == row["outcome"]
    assert np.isfinite(data["outcome"]).sum() == len(table)
    assert data["term"].values.tolist() == ["term 1", "term 2", "term 3", "term 4"]
    numbers = table.assign(outcome=table["outcome"].map({name: f"{k}.0" for k, name in enumerate(NAMES)}))
    same = bd.Trajectories(reference="p", kind="ordinal", categories=[0, 1, 2, 3]).prepare(numbers)
    np.testing.assert_array_equal(same["outcome"], data["outcome"])


def test_the_density_is_that_of_differences_of_logistic_functions():
    model, data, graph = built()
    points, posterior = draws_of(graph, count=3, seed=2)
    f = graph.compile_logp(vars=[graph[OUTCOME]], mode=uncompiled())
    people, visits = np.nonzero(np.isfinite(data["outcome"].values))
    category = data["outcome"].values[people, visits].astype(int)
    powers = data["deviation_columns"].values
    for k, point in enumerate(points):
        draw = posterior.isel(chain=0, draw=k)
        level = mean_outcomes_of_patients(model, draw.expand_dims("sample"), data)[0]
        level = (level + np.einsum("ivr,ir->iv", powers, draw["deviation"].values))[people, visits]
        ends = np.concatenate([[-np.inf], draw["threshold"].values, [np.inf]])
        p = special.expit(ends[category + 1] - level) - special.expit(ends[category] - level)
        assert float(f(point)) == pytest.approx(np.log(p).sum(), rel=1e-9)


def test_thresholds_are_those_of_a_typical_patient_s_probabilities():
    _, _, graph = built()
    _, posterior = draws_of(graph, count=5, seed=3)
    up_to = special.expit(posterior["threshold"].values)
    np.testing.assert_allclose(up_to, posterior["typical_probability"].values.cumsum(axis=-1)[..., :-1], rtol=1e-9)


@pytest.mark.parametrize("about", [{}, {**MARKERS, "association": ("value", "change"), "equal_baseline": True}])
def test_two_categories_are_a_yes_no_response(about):
    """Whose mean over time is less the threshold: densities, scores, and what both are asked for."""
    table = stages(2) if about else stages(2).dropna(subset=["outcome"])
    model = ordinal(2, **about)
    other = bd.Trajectories(**{"reference": "p", "kind": "response"} | about)
    data = model.prepare(table)
    yes = other.prepare(table.assign(outcome=table["outcome"].map({"well": 0.0, "better": 1.0})))
    graph, plain = model.build(data), other.build(yes)
    points, posterior = draws_of(graph, count=3, seed=4)
    threshold = posterior["threshold"].values[0]
    there = {v.name for v in plain.value_vars}
    same = [
        {k: v for k, v in point.items() if k in there} | {"course": np.concatenate([-threshold[j], point["course"]])}
        for j, point in enumerate(points)
    ]
    names = [OUTCOME, *([CONCENTRATION] if about else [])]
    f, g = (m.compile_logp(vars=[m[name] for name in names], mode=uncompiled()) for m in (graph, plain))
    np.testing.assert_allclose([float(f(p)) for p in points], [float(g(p)) for p in same], rtol=1e-10)
    of_yes = posterior_at(plain, same)
    np.testing.assert_allclose(model.log_likelihood(posterior, data), other.log_likelihood(of_yes, yes), rtol=1e-9)
    found, expected = model.estimands(posterior, data), other.estimands(of_yes, yes)
    assert set(expected) <= set(found)
    for name in set(expected) - {"mean"}:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, err_msg=name)
    mean = found["mean"].values - threshold[None, :, :, None]
    np.testing.assert_allclose(mean, expected["mean"], rtol=1e-9)


@pytest.mark.parametrize("about", [("slope", True), ("level", False)])
def test_each_category_has_the_probability_of_categories_so_far_over_that_of_the_earlier(about):
    """By the model's own scores of patients whose later visits are taken away, and of the other categories."""
    model, data, graph = built(*about)
    _, posterior = draws_of(graph, count=2, seed=5)
    (one,) = model.observations(posterior, data).values()
    assert_probabilities_are_ratios_of_scores(model, data, posterior, one)
    first = one.labels["visit"] == data["visit"].values[0]
    low, _ = one.law.around(one.lower, one.upper)
    worse = np.zeros(low[:, first].shape)
    for k in range(3):
        other = data.assign(outcome=(0 * data["outcome"] + k).where(np.arange(data.sizes["visit"]) < 1))
        scored = model.log_likelihood(posterior, other).sel(subject=one.labels["subject"][first]).values[0]
        worse += np.where(one.lower[first] > k, np.exp(scored), 0.0)
    np.testing.assert_allclose(low[:, first], worse, rtol=1e-8, atol=1e-12)


def test_scores_are_integrals_over_patients_deviations():
    model, data, graph = built("level", with_markers=False)
    _, posterior = draws_of(graph, count=1, seed=5)
    draw = posterior.isel(chain=0, draw=0)
    scores = model.log_likelihood(posterior, data).values[0, 0]
    mean, ends = model.expected(stack_draws(posterior), data)[0], np.concatenate(
        [[-np.inf], draw["threshold"].values, [np.inf]]
    )  # fmt: skip
    for i, score in enumerate(scores):
        seen = np.isfinite(data["outcome"].values[i])
        category = data["outcome"].values[i, seen].astype(int)

        def product(own, at=mean[i, seen], category=category):
            p = special.expit(ends[category + 1] - at - own) - special.expit(ends[category] - at - own)
            return p.prod() * stats.norm.pdf(own, 0, float(draw["level_sd"]))

        assert np.exp(score) == pytest.approx(integrate.quad(product, -20, 20, epsabs=1e-12)[0], rel=1e-5)


def test_probabilities_are_means_over_new_patients_and_their_markers():
    model, data, graph = built()
    _, posterior = draws_of(graph, count=2, seed=6)
    found = model.estimands(posterior, data)
    draw, time = posterior.isel(chain=0, draw=1), data["reported_time"].values
    mean = mean_outcomes(model, stack_draws(posterior), data, time)[1]
    for a, t in ((0, 0), (2, 3)):
        h = (time[t] / 5) ** np.arange(2)
        variance = h @ covariance(draw, model.powers) @ h
        for m in range(data.sizes["analyte"]):
            own = covariance(draw.isel(analyte=m), model.powers, "marker_")
            variance += float(draw[BY_ARM][0, m, a]) ** 2 * h @ own @ h
        spread = np.sqrt(variance)
        for k, end in enumerate(draw["threshold"].values):

            def below(x, end=end, at=mean[a, t], sd=spread):
                return special.expit(end - at - sd * x) * stats.norm.pdf(x)

            expected = integrate.quad(below, -12, 12, epsabs=1e-12)[0]
            assert float(found["at_or_better"][0, 1, a, t, k]) == pytest.approx(expected, abs=1e-6)
    up_to = found["at_or_better"].values
    np.testing.assert_allclose(found["category_probability"].values.cumsum(axis=-1)[..., :-1], up_to, atol=1e-12)
    np.testing.assert_allclose(found["category_probability"].sum("category"), 1.0, rtol=1e-12)
    np.testing.assert_allclose(found["at_or_better_difference"], up_to[:, :, 1:] - up_to[:, :, :1], atol=1e-12)


def test_drawn_categories_have_these_probabilities():
    """At one visit patients are independent: counts over 200 draws are binomial, by arm and category."""
    model, data, graph = built()
    _, posterior = draws_of(graph, count=1, seed=7)
    found = model.estimands(posterior, data)["category_probability"].values[0, 0]
    draw, rng = posterior.isel(chain=0, draw=0), np.random.default_rng(2)
    made = np.array([replicate(model, data, draw, rng)["outcome"].values for _ in range(200)])
    np.testing.assert_array_equal(np.isnan(made[0]), np.isnan(data["outcome"].values))
    tails = []
    for a in range(data.sizes["arm"]):
        for v in range(data.sizes["visit"]):
            drawn = made[:, data["arm_of"].values == a, v]
            drawn = drawn[~np.isnan(drawn)]
            for k in range(len(NAMES)):
                count, p = int((drawn == k).sum()), found[a, v, k]
                tails += [stats.binom.cdf(count, len(drawn), p), stats.binom.sf(count - 1, len(drawn), p)]
    assert min(tails) > 0.001 / len(tails)


def test_checks_are_shares_of_categories():
    model, data, _ = built()
    y = data["outcome"].values[np.isfinite(data["outcome"].values)]
    checks = {check.name: check for check in model.checks(data)}
    arm = data["arm_of"].values[np.nonzero(np.isfinite(data["outcome"].values))[0]]
    assert float(checks["share of ill, d"].statistic(y)) == pytest.approx((y[arm == 1] == 2).mean())
    assert "sd of patients' shares of well" in checks


def cohort(people: int = 150, seed: int = 5) -> pd.DataFrame:
    """Three stages at four visits; the drug moves patients by -2 log odds over the follow-up, all start alike."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(people):
        own = rng.normal(0, 1.2)
        for t in (0, 1, 2, 4):
            level = own - 0.5 * t / 4 - 2 * (i % 2) * t / 4 + rng.logistic()
            stage = ("well", "better", "ill")[int(level > -1) + int(level > 1)]
            rows.append({"subject": f"s{i}", "arm": "pd"[i % 2], "time": t, "outcome": stage})
    return pd.DataFrame(rows)


@pytest.mark.sampling
def test_a_fit_finds_thresholds_the_difference_and_the_spread():
    """Truths within three posterior sds; thresholds are around the mean over the follow-up of a linear course."""
    model = ordinal(3, course="linear", deviations="level", equal_baseline=True)
    fit = bd.fit(model, cohort(), draws=500, tune=500, chains=2, seed=1, progress=False)
    assert fit.tree["sample_stats"]["diverging"].sum() == 0
    last = fit.estimands["difference"].sel(comparison="d", reported="4").values.ravel()
    assert abs(last.mean() + 2) < 3 * last.std()
    assert last.std() < 0.5
    spread = fit.estimands["level_sd"].values.ravel()
    assert abs(spread.mean() - 1.2) < 3 * spread.std()
    # patients' mean course at half the follow-up is -0.25, and -1 more in the half of them that has the drug
    for k, truth in enumerate((-1 + 0.75, 1 + 0.75)):
        threshold = fit.posterior["threshold"].values[..., k].ravel()
        assert abs(threshold.mean() - truth) < 3 * threshold.std()
        assert threshold.std() < 0.4
