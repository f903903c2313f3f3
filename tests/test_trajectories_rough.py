"""Rough estimates of associations, which choose coordinates, and the density in these coordinates."""

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from common import prior_draws
from scipy import stats

import bayesdep as bd
from bayesdep.models.trajectories.own_lines import rough_associations

TRUTH = {"p": 3.0, "d": -2.0}


def table(people, seed, error=0.5):
    """Two markers; the outcome goes with the latent change of the first, by arm."""
    rng, rows, times = np.random.default_rng(seed), [], (0.0, 2.0, 5.0)
    for i in range(people):
        about = {"subject": f"s{i}", "arm": "pd"[i % 2]}
        level, change = rng.normal(size=2), rng.normal(size=2) * (0.8, 0.5)
        slope = rng.normal(0, 4) + TRUTH[about["arm"]] * change[0]
        for t in times:
            score = 20 + slope * t / 5 + rng.normal(0, 2)
            rows.append(about | {"time": t, "outcome": score})
            for m in (0, 1):
                log2 = 3 + level[m] + change[m] * t / 5 + rng.normal(0, error)
                rows.append(about | {"time": t, "marker": "ab"[m], "value": 2.0**log2})
    return pd.DataFrame(rows)


def model(**settings):
    words = {"reference": "p", "value": "value", "analyte": "marker", "association": ["change"]}
    return bd.Trajectories(**(words | settings))


def test_estimates_allow_for_the_markers_error():
    one = model()
    data = one.prepare(table(4000, seed=3))
    estimate, se = rough_associations(one, data)
    truth = np.array([[TRUTH[a] for a in data["arm"].values], [0.0, 0.0]])
    assert (np.abs(estimate[0] - truth) < 4 * se[0]).all()
    assert (se[0, 0] < 0.2).all()  # without the allowance estimates of 3 would lie near 1.8


def test_units_of_the_outcome_scale_estimates_and_errors():
    frame = table(60, seed=4)
    one, data = model(), model().prepare(frame)
    times_1000 = model().prepare(frame.assign(outcome=frame["outcome"] * 1000))
    for plain, large in zip(rough_associations(one, data), rough_associations(one, times_1000), strict=True):
        np.testing.assert_allclose(large, plain * 1000, rtol=1e-9)


@pytest.mark.parametrize(
    "settings",
    [{"association": ["change", "baseline"]}, {"kind": "response"}, {"exact": ["a"], "association": ["value"]}],
)
def test_where_nothing_is_known_it_is_said(settings):
    frame = table(40, seed=5)
    if "kind" in settings:
        frame["outcome"] = (frame["outcome"] > 20).where(frame["outcome"].notna()).astype(float)
    one = model(**settings)
    data = one.prepare(frame)
    estimate, se = rough_associations(one, data)
    assert (estimate == 0).all()
    assert (se >= 1000 * float(data["scale"])).all()


def test_the_density_of_associations_is_that_of_normal_effects():
    """The coordinates' density, with their derivative, is the one of normal effects, whatever the estimates are."""
    one = model()
    data = one.prepare(table(60, seed=6))
    graph = one.build(data)
    drawn = prior_draws(graph, count=3).isel(chain=0)
    se = np.sqrt((rough_associations(one, data)[1] ** 2).sum(axis=-1)) / 2
    for k in range(3):
        at = drawn.isel(draw=k)
        centre, spread, x, effect = (
            at[name].values for name in ("association_mean", "association_sd", "association_latent", "association")
        )
        parameters = {graph["association_mean"]: centre, graph["association_sd"]: spread}
        logp = pm.logp(graph["association_latent"], x).eval(parameters)
        slope = spread * se / np.hypot(spread, se)  # of the effect by its coordinate
        expected = stats.norm.logpdf(effect, centre, spread) + np.log(slope)
        np.testing.assert_allclose(logp, expected, rtol=1e-10)
