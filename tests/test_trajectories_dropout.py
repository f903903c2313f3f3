"""Dropout of trajectories: missed visits are conditional normals of a dense normal, regressions by hand, refusals."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from common import draws_of
from test_trajectories import dense, model_of, visits_and_markers
from unsampled import unsampled

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.models.trajectories.completion import is_planned
from bayesdep.numerics.draws import stack_draws
from bayesdep.reporting.figures.dropout import has_dropout


def left_early(arms: str = "pdq") -> pd.DataFrame:
    """Three of nine patients have no outcome after the second time, one has none at all; markers go on."""
    table = visits_and_markers(arms=arms)
    gone = table["subject"].isin(["s1", "s3", "s6"]) & (table["time"] > 1)
    return table[table["outcome"].isna() | ~(gone | (table["subject"] == "s7"))]


@pytest.mark.parametrize("name", ["value", "area and baseline", "serial", "subgroups", "separate"])
def test_what_was_missed_is_normal_given_what_was_observed_and_the_markers(name):
    """By the precision matrix of everything, which the package does not use; gaps start from the patient's own arm."""
    model = model_of(name)
    data = model.prepare(left_early())
    _, posterior = draws_of(model.build(data), count=2, seed=3)
    draws = stack_draws(posterior)
    outcome = data["outcome"].values
    seen = ~np.isnan(outcome)
    dropped = ~np.maximum.accumulate(seen[:, ::-1], axis=1)[:, ::-1]
    own = model.expected(draws, data)
    assumed = own + np.random.default_rng(1).normal(0, 5, own.shape)
    mean, variance = model.completed(draws, data, own, assumed, dropped)
    everything = data.assign(outcome=(data["outcome"].dims, np.where(seen, outcome, 0.0)))
    for k in range(2):
        draw = posterior.isel(chain=0, draw=k)
        for i, at in enumerate(seen):
            value, centre, total = dense(model, everything, draw, i)
            n = len(at)
            np.testing.assert_allclose(centre[:n], own[k, i], rtol=1e-9)
            np.testing.assert_array_equal(mean[k, i][at], outcome[i][at])
            missed = np.append(~at, np.zeros(len(value) - n, dtype=bool))
            precision = np.linalg.inv(total)
            spread = np.linalg.inv(precision[np.ix_(missed, missed)])
            for start, rows in ((own, ~at & ~dropped[i]), (assumed, dropped[i])):
                from_there = np.append(start[k, i], centre[n:])
                pull = precision[np.ix_(missed, ~missed)] @ (value - from_there)[~missed]
                filled = from_there[missed] - spread @ pull
                np.testing.assert_allclose(mean[k, i][rows], filled[rows[~at]], rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(variance[k, i][~at], np.diagonal(spread), rtol=1e-6)


def trial(people: int = 60, seed: int = 2) -> pd.DataFrame:
    """Scores at three times, ten points lower on the drug at the last; every sixth patient leaves before it."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(people):
        about, level = {"subject": f"s{i}", "arm": "pd"[i % 2], "age": 30 + i % 9}, rng.normal(25, 4)
        for t in (0, 1, 2):
            if not (i % 6 == 1 and t == 2) and not (i == 8 and t == 0):
                rows.append(about | {"time": t, "outcome": level - 5 * t * (i % 2) + rng.normal(0, 2)})
    return pd.DataFrame(rows)


def test_completed_visits_are_compared_given_the_baseline_and_the_tipping_point_is_where_nothing_is_left():
    model = bd.Trajectories(reference="p", equal_baseline=True, covariates="age")
    fit = unsampled(model, trial(), draws=30, shrink=0.02)
    found = bd.check_dropout(fit, "missing-at-random")
    first = fit.data["outcome"].values[:, 0]
    design = np.column_stack(
        [np.ones(60), fit.data["arm_of"], np.where(np.isnan(first), np.nanmean(first), first), fit.data["covariates"]]
    )
    expected = np.linalg.lstsq(design, found["outcome"].values, rcond=None)[0][1]
    np.testing.assert_allclose(found["mean"].values[0], expected, rtol=1e-8, atol=1e-8)
    assert found["dropouts"].sel(arm="d").values.tolist() == [0, 0, 10]
    assert np.isfinite(found[["lower", "upper"]].to_array()).all()  # at the baseline too
    tip = bd.find_tipping_point(fit)
    assert tip > 0
    at_tip = bd.check_dropout(fit, "delta", delta=tip).isel(visit=-1)
    assert float(at_tip["upper"].item()) == pytest.approx(0, abs=1e-6)
    higher = unsampled(dataclasses.replace(model, better="higher"), trial(), draws=30, shrink=0.02)
    assert bd.find_tipping_point(higher) is None  # then the drug does worse
    assert "dropout" in model.figures
    assert has_dropout(fit)


def test_a_baseline_that_everybody_has_is_itself_with_no_error():
    model = bd.Trajectories(reference="p", equal_baseline=True)
    fit = unsampled(model, trial()[lambda t: t["subject"] != "s8"], draws=10)
    at_first = bd.check_dropout(fit, "jump-to-reference").isel(visit=0)
    for name in ("mean", "lower", "upper"):
        assert float(at_first[name].item()) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "response"}, "kind = 'response'"),
        ({"reference": None, "arm": None}, "no arms"),
    ],
)
def test_dropping_out_is_asked_of_scores_in_arms(changes, said):
    table = trial()
    if "kind" in changes:
        table["outcome"] = (table["outcome"] < 20).astype(int)
    model = bd.Trajectories(**({"reference": "p"} | changes))
    fit = unsampled(model, table, draws=5)
    assert "dropout" not in model.figures
    with pytest.raises(BadInput, match=said):
        bd.check_dropout(fit, "delta", delta={})


def test_nobody_drops_out_of_times_of_their_own():
    rng = np.random.default_rng(1)
    table = trial().assign(time=lambda t: t["time"] + rng.uniform(0, 0.5, len(t)))
    fit = unsampled(bd.Trajectories(reference="p", course="linear"), table, draws=5)
    assert not is_planned(fit.data)
    assert not has_dropout(fit)
    with pytest.raises(BadInput, match="times of their own"):
        bd.check_dropout(fit, "missing-at-random")
