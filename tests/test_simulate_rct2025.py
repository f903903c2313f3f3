"""The design of the ketamine trial of blood markers: published sizes exactly, and everything else as it states."""

import json

import numpy as np
import pytest

from bayesdep.designs.rct2025 import BLOOD, COURSE, DAYS, IL1RA, MARKERS, SCORED, SD, draw_rct2025
from bayesdep.designs.register import simulate


def large(**how):
    return draw_rct2025(np.random.default_rng(1), people=(3000, 3000), **how)


@pytest.mark.parametrize("seed", range(5))
def test_every_table_has_the_published_sizes(seed):
    table = simulate("rct2025", seed=seed).table
    people = table.groupby("subject").first()
    assert people["arm"].value_counts().to_dict() == {"ketamine": 89, "saline": 44}
    assert (people["bmi"] < 25).sum() == 66
    assert table["day"].min() == 0
    assert table["day"].max() == DAYS == 5
    assert set(table["marker"].dropna()) == set(MARKERS)
    assert {"BDNF", "IL-6", "IL-1RA"} <= set(MARKERS)


def test_a_row_is_a_score_or_a_measurement():
    table = simulate("rct2025", seed=1).table
    is_score = table["score"].notna()
    assert (is_score != table["marker"].notna()).all()
    assert set(table.loc[is_score, "day"]) == set(SCORED)
    assert set(table.loc[~is_score, "day"]) == set(BLOOD)
    assert not table[is_score].duplicated(["subject", "day"]).any()
    assert not table[~is_score].duplicated(["subject", "day", "marker"]).any()


def test_scores_have_the_stated_means_and_spreads():
    table = large().table
    scores = table[table["score"].notna()]
    for arm, course in COURSE.items():
        for day, mean in zip(SCORED, course, strict=True):
            values = scores[(scores["arm"] == arm) & (scores["day"] == day)]["score"]
            u = day / DAYS
            variance = SD["level"] ** 2 + (SD["slope"] * u) ** 2 + SD["residual"] ** 2
            variance += 2 * u * SD["correlation"] * SD["level"] * SD["slope"]
            assert abs(values.mean() - mean) < 4 * np.sqrt(variance / len(values))
            assert abs(values.std() / np.sqrt(variance) - 1) < 4 / np.sqrt(2 * len(values))


def test_markers_are_the_same_in_both_arms_and_below_their_limits_as_stated():
    made = large()
    blood = made.table[made.table["marker"].notna()]
    for name, (median, level, _, residual, share) in MARKERS.items():
        own = blood[(blood["marker"] == name) & (blood["day"] == 0)]
        below = own["concentration"].astype(str).str.startswith("<")
        assert abs(below.mean() - share) < 0.03
        logs = np.log2(own.loc[~below, "concentration"].astype(float))
        if share == 0:
            sd = np.hypot(level, residual)
            assert abs(logs.mean() - np.log2(median)) < 4 * sd / np.sqrt(len(logs))
            assert abs(logs.std() / sd - 1) < 4 / np.sqrt(2 * len(logs))
        by_arm = own.assign(below=below).groupby("arm")["below"].mean()
        assert abs(by_arm.diff().iloc[-1]) < 4 * np.sqrt(0.25 * 2 / 3000)


def slope_on_change(made, low):
    """The regression of the change of the score on the true change in IL-1RA, of ketamine patients by BMI."""
    table = made.table
    scores = table[table["score"].notna()].pivot_table(index="subject", columns="day", values="score")
    about = table.groupby("subject").first().loc[scores.index]
    rows = (about["arm"] == "ketamine") & ((about["bmi"] < 25) == low) & scores[DAYS].notna()
    place = {s: i for i, s in enumerate(made.truth["subject"])}
    x = np.array([made.truth["marker_deviation"]["IL-1RA"][place[s]][1] for s in scores.index])[rows]
    y = (scores[DAYS] - scores[0.0])[rows].to_numpy()
    slope, intercept = np.polyfit(x, y, 1)
    error = (y - slope * x - intercept).std() / x.std() / np.sqrt(len(x))
    return slope, error


@pytest.mark.parametrize(("effects", "low", "true"), [("none", True, 0), ("il1ra", True, IL1RA), ("il1ra", False, 0)])
def test_il1ra_goes_with_the_score_where_it_is_said_to(effects, low, true):
    slope, error = slope_on_change(large(effects=effects), low)
    assert abs(slope - true) < 4 * error
    assert error < 0.5


def test_truth_survives_json_and_seeds_differ():
    made = simulate("rct2025_il1ra", seed=3)
    assert json.loads(json.dumps(made.truth)) == made.truth
    assert not made.table["score"].equals(simulate("rct2025_il1ra", seed=4).table["score"])
