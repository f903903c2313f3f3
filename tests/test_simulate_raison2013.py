"""Raison 2013, patient by patient: the printed counts in every table, the printed effects in the long run.

Published numbers are typed here once more, from the paper. Averages are compared within four Monte Carlo standard
errors: a right generator strays further once in 16,000 times, and the seeds are fixed.
"""

import json
from functools import cache

import numpy as np
import pandas as pd
import pytest

from bayesdep.data.errors import BadInput
from bayesdep.designs.raison2013 import draw_raison2013
from bayesdep.designs.register import simulate

WEEKS = [0, 1, 2, 3, 4, 6, 8, 10, 12]
SD = 3.1 / 0.41
TABLE_1_CRP = {"infliximab": (6.3, 8.9), "placebo": (5.4, 8.2)}
TABLE_1_HAMD = {"infliximab": (24.1, 4.0), "placebo": (23.6, 3.8)}


@cache
def trials(seeds=40):
    """Return tables and truths of the published size."""
    made = [simulate("raison2013", seed=seed) for seed in range(seeds)]
    return [m.table for m in made], [m.truth for m in made]


@cache
def large_trial():
    """Return one table of 30,000 patients an arm, its patients, and its truth."""
    made = draw_raison2013(np.random.default_rng(1), people=(30_000, 30_000))
    return made.table, people_of(made.table), made.truth


def people_of(table):
    return table.drop_duplicates("subject").set_index("subject")


def matrix(truth, name):
    return np.array(truth[name])


def assert_normal(draws, mean, sd):
    """Require draws to have the mean and standard deviation of a normal, each within four standard errors."""
    draws = np.ravel(draws)
    assert abs(draws.mean() - mean) < 4 * sd / np.sqrt(draws.size)
    assert abs(draws.std() / sd - 1) < 4 / np.sqrt(2 * draws.size)


def quadratic(truth, week, crp):
    """Return the arms' true difference at a week and hs-CRP."""
    d, g1, g2 = (truth["coefficients"][name][WEEKS.index(week)] for name in ("d", "g1", "g2"))
    x = np.log(crp) - truth["centre"]
    return d + g1 * x + g2 * x**2


# What the paper counted, in every table.


def test_every_table_has_the_published_counts():
    for table in trials()[0]:
        person = people_of(table)
        assert person.arm.value_counts().to_dict() == {"infliximab": 30, "placebo": 30}
        assert [(person.crp > limit).sum() for limit in (1, 3, 5)] == [45, 27, 22]
        assert person[person.crp > 5].arm.value_counts().to_dict() == {"infliximab": 13, "placebo": 9}
        assert person[person.sex == "F"].arm.value_counts().to_dict() == {"infliximab": 20, "placebo": 20}


def test_every_table_misses_the_published_visits_and_dropouts_do_not_come_back():
    extra = set()
    for table, truth in zip(*trials(), strict=True):
        held = pd.crosstab(table.subject, table.week).reindex(columns=WEEKS).astype(bool)
        assert held[[0, 1]].all(axis=None)
        assert held[3].sum() == 11
        assert held[10].sum() == 32
        arm = people_of(table).arm
        assert held[12].groupby(arm).sum().to_dict() == {"infliximab": 25, "placebo": 29}
        last = pd.Series(truth["last_week"], truth["subject"])
        for week in WEEKS:
            missed = last[~held[week].loc[last.index]]
            assert (week in (3, 10)) or (missed < week).all()
            assert not held[week].loc[last.index[last < week]].any()
        left = [tuple(last[(arm == a) & (last < 12)].sort_values()) for a in ("infliximab", "placebo")]
        assert left[0][:3] == (1, 1, 1)  # one infusion, at baseline
        assert set(left[0][3:]) <= {6, 8}  # all three infusions, the last at week 6
        assert set(left[1]) <= {2, 4}  # two infusions, the second at week 2
        extra |= set(left)
    assert extra == {(1, 1, 1, 6, 6), (1, 1, 1, 6, 8), (1, 1, 1, 8, 8), (2,), (4,)}


def test_missing_is_by_chance():
    """Who dropped out, or missed week 3 or 10, differs in nothing: standardised differences over many tables."""
    tables, truths = trials()
    z = []
    for table, truth in zip(tables, truths, strict=True):
        last, seen = matrix(truth, "last_week"), matrix(truth, "seen")
        patients = people_of(table).loc[truth["subject"]]
        infliximab = (patients.arm == "infliximab").to_numpy()
        residual = matrix(truth, "hamd") - matrix(truth, "expected")
        for missing, among in ((last < 12, infliximab), (~seen[:, 3], last >= 3), (~seen[:, 7], last >= 10)):
            for value in (np.log(patients.crp.to_numpy()), patients.hamd_baseline.to_numpy(), residual[:, 1]):
                value, missed = value[among], missing[among]
                scale = value.std(ddof=1) * np.sqrt(1 / missed.sum() + 1 / (~missed).sum())
                z.append((value[missed].mean() - value[~missed].mean()) / scale)
    z = np.reshape(z, (len(tables), 9))
    assert (abs(z.mean(axis=0)) < 4 / np.sqrt(len(tables))).all()
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / z.size)  # each is a permutation's, of variance one


def test_rows_are_patients_and_visits_in_the_units_stated():
    table = trials()[0][0]
    columns = ["subject", "arm", "week", "day", "hamd", "hamd_baseline", "crp", "age", "sex", "bmi", "origin"]
    assert list(table.columns) == columns
    assert not table.duplicated(["subject", "week"]).any()
    assert (table.day == 7 * table.week).all()
    assert (table.groupby("subject")[["arm", "hamd_baseline", "crp", "age", "sex", "bmi"]].nunique() == 1).all(
        axis=None
    )
    assert {"I01", "I30", "P01", "P30"} <= set(table.subject)
    assert set(table[table.subject.str.startswith("P")].arm) == {"placebo"}
    first = table[table.week == 0]
    np.testing.assert_array_equal(first.hamd, first.hamd_baseline)


# What the paper averaged, in the long run.


def test_hscrp_is_table_1_in_both_arms_together_and_near_it_by_arm():
    _, person, _ = large_trial()
    log_crp = np.log(person.crp)
    tails = 4 * person.crp.std() / np.sqrt(len(person))
    assert abs(person.crp.mean() - (6.3 + 5.4) / 2) < tails
    square = np.mean([m**2 + s**2 * 29 / 30 for m, s in TABLE_1_CRP.values()])
    assert abs((person.crp**2).mean() - square) < 4 * (person.crp**2).std() / np.sqrt(len(person))
    for arm, (mean, sd) in TABLE_1_CRP.items():
        mine = person.crp[person.arm == arm]
        assert abs(mine.mean() / mean - 1) < 0.09
        assert abs(mine.std() / sd - 1) < 0.09
    assert abs(log_crp.mean() - large_trial()[2]["centre"]) < 4 * log_crp.std() / np.sqrt(len(person))


def test_hscrp_within_a_band_is_the_same_in_both_arms():
    _, person, _ = large_trial()
    band = np.digitize(person.crp, [1, 3, 5])
    for b in range(4):
        one, other = (np.log(person.crp[(band == b) & (person.arm == arm)]) for arm in TABLE_1_CRP)
        assert abs(one.mean() - other.mean()) < 4 * np.sqrt(one.var() / len(one) + other.var() / len(other))


def test_baseline_hamd_is_table_1_and_has_no_part_in_hscrp():
    _, person, truth = large_trial()
    assert truth["baseline"] == {arm: list(moments) for arm, moments in TABLE_1_HAMD.items()}
    for arm, (mean, sd) in TABLE_1_HAMD.items():
        mine = person[person.arm == arm]
        assert_normal(mine.hamd_baseline, mean, sd)
        assert abs(np.corrcoef(mine.hamd_baseline, np.log(mine.crp))[0, 1]) < 4 / np.sqrt(len(mine))


def test_arms_differ_by_nothing_at_4_98_only_and_by_more_every_week():
    truth = trials()[1][0]
    grid = np.geomspace(0.01, 1000, 2001)
    for week in WEEKS[1:]:
        assert abs(quadratic(truth, week, 4.98)) < 1e-12
        assert (np.sign(quadratic(truth, week, grid)) == np.sign(4.98 - grid)).all()
    np.testing.assert_allclose(truth["crossing"], 4.98, rtol=1e-12)
    for crp in (0.5, 20):
        np.testing.assert_allclose(
            [quadratic(truth, w, crp) / quadratic(truth, 12, crp) for w in WEEKS], np.divide(WEEKS, 12)
        )


def test_true_subgroup_effects_are_the_published_ones():
    truth = trials()[1][0]
    np.testing.assert_allclose(truth["sd"], 3.1 / 0.41)
    np.testing.assert_allclose(truth["difference"]["crp > 5"], -3.1)
    np.testing.assert_allclose(truth["effect_size"]["crp > 5"], 0.41)
    np.testing.assert_allclose(truth["effect_size"]["crp <= 5"], -0.82)
    difference = truth["difference"]
    np.testing.assert_allclose(difference["all"], (22 * difference["crp > 5"] + 38 * difference["crp <= 5"]) / 60)


@pytest.mark.parametrize("week", [4, 8, 12])
def test_regression_on_a_large_trial_finds_the_true_coefficients(week):
    """Ordinary least squares on the table's own rows, which knows nothing of how they were drawn."""
    table, _, truth = large_trial()
    rows = table[table.week == week]
    x = np.log(rows.crp) - truth["centre"]
    treated = (rows.arm == "infliximab").to_numpy(float)
    design = np.column_stack(
        [np.ones(len(rows)), rows.hamd_baseline - 23.85, treated, treated * x, treated * x**2, x, x**2]
    )
    change = (rows.hamd - rows.hamd_baseline).to_numpy()
    found, residual, *_ = np.linalg.lstsq(design, change)
    freedom = len(rows) - design.shape[1]
    assert abs(np.sqrt(residual[0] / freedom) / SD - 1) < 4 / np.sqrt(2 * freedom)
    error = SD * np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
    names = ("visit", "base", "d", "g1", "g2", "h1", "h2")
    true = np.array([truth["coefficients"][name][WEEKS.index(week)] for name in names])
    assert (abs(found - true) < 4 * error).all()
    assert (abs(true[[0, 2, 3]]) > 4 * error[[0, 2, 3]]).all()  # precise enough to tell them from nothing


@pytest.mark.parametrize(("above", "points"), [(True, -3.1), (False, 0.82 * SD)])
def test_arms_of_a_large_trial_differ_by_the_published_points_above_and_up_to_5(above, points):
    table, *_ = large_trial()
    rows = table[(table.week == 12) & ((table.crp > 5) == above)]
    adjusted = rows.hamd - rows.hamd_baseline + 0.5 * (rows.hamd_baseline - 23.85)
    by_arm = adjusted.groupby(rows.arm).agg(["mean", "var", "size"])
    found = by_arm["mean"]["infliximab"] - by_arm["mean"]["placebo"]
    assert abs(found - points) < 4 * np.sqrt((by_arm["var"] / by_arm["size"]).sum())


def test_differences_in_the_long_run_are_those_over_a_large_trials_patients():
    _, person, truth = large_trial()
    own = quadratic(truth, 12, person.crp)
    subgroups = {"all": 0, "crp > 1": 1, "crp > 3": 3, "crp > 5": 5}
    rows = {name: person.crp > limit for name, limit in subgroups.items()} | {"crp <= 5": person.crp <= 5}
    assert set(truth["difference"]) == set(truth["effect_size"]) == set(truth["difference_here"]) == set(rows)
    for name, keep in rows.items():
        mean, error = own[keep].mean(), own[keep].std() / np.sqrt(keep.sum())
        assert abs(truth["difference"][name] - mean) < 4 * error


def test_a_tables_own_average_is_over_its_own_patients():
    for table, truth in zip(*trials(), strict=True):
        person = people_of(table)
        own = quadratic(truth, 12, person.crp)
        for name, rows in (("all", own == own), ("crp > 1", person.crp > 1), ("crp <= 5", person.crp <= 5)):
            np.testing.assert_allclose(truth["difference_here"][name], own[rows].mean())


def test_residuals_are_autoregressive_in_weeks_with_one_standard_deviation():
    truths = trials()[1]
    residual = np.concatenate([matrix(t, "hamd") - matrix(t, "expected") for t in truths])
    assert truths[0]["rho"] == 0.9
    assert not residual[:, 0].any()
    n = len(residual)
    for j in range(1, len(WEEKS)):
        assert_normal(residual[:, j], 0, SD)
        for k in range(j + 1, len(WEEKS)):
            rho = 0.9 ** (WEEKS[k] - WEEKS[j])
            assert abs(np.corrcoef(residual[:, j], residual[:, k])[0, 1] - rho) < 4 * (1 - rho**2) / np.sqrt(n)
    # given the visit before, the one before that says nothing more
    innovation = residual[:, 4] - 0.9 * residual[:, 3]
    assert abs(np.corrcoef(innovation, residual[:, 1])[0, 1]) < 4 / np.sqrt(n)


def test_about_half_respond_and_the_subgroups_go_opposite_ways():
    """Response is a drop by half at any visit held: 50% in both arms; 8/13, 3/9, 7/17 and 12/21 by hs-CRP."""
    table, person, _ = large_trial()
    response = (table.hamd <= table.hamd_baseline / 2).groupby(table.subject).any()[person.index]
    by_arm = response.groupby(person.arm).mean()
    np.testing.assert_allclose(by_arm[["infliximab", "placebo"]], [0.43, 0.56], atol=0.005 + 4 * 0.5 / np.sqrt(30_000))
    share = response.groupby([person.arm, person.crp > 5]).mean()
    for (arm, above), printed in {
        ("infliximab", True): 8 / 13,
        ("placebo", True): 3 / 9,
        ("infliximab", False): 7 / 17,
        ("placebo", False): 12 / 21,
    }.items():
        assert abs(share[arm, above] - printed) < 0.13
    assert share["infliximab", True] > share["placebo", True]
    assert share["infliximab", False] < share["placebo", False]


def test_covariates_stay_in_range_and_have_no_part_in_anything():
    _, person, truth = large_trial()
    assert person.age.between(25, 60).all()
    assert person.bmi.between(17, 60).all()
    week_12 = WEEKS.index(12)
    residual = (matrix(truth, "hamd") - matrix(truth, "expected"))[:, week_12]
    for arm, rows in person.reset_index().groupby("arm"):
        for z in (rows.age, rows.bmi, (rows.sex == "F").astype(float)):
            for other in (np.log(rows.crp), rows.hamd_baseline, residual[rows.index]):
                assert abs(np.corrcoef(z, other)[0, 1]) < 4 / np.sqrt(len(rows)), arm


# The truth belongs to the table.


def test_truth_is_the_tables_own_and_complete():
    for table, truth in zip(*trials(), strict=True):
        assert truth["week"] == WEEKS
        row = table.subject.map({name: i for i, name in enumerate(truth["subject"])}).to_numpy()
        column = np.searchsorted(WEEKS, table.week)
        np.testing.assert_array_equal(table.hamd, matrix(truth, "hamd")[row, column])
        np.testing.assert_array_equal(table.crp, np.array(truth["crp"])[row])
        seen = np.zeros((60, 9), bool)
        seen[row, column] = True
        np.testing.assert_array_equal(truth["seen"], seen)
        assert np.isfinite(truth["hamd"]).all()


def test_expected_trajectories_follow_the_stated_formula():
    for table, truth in zip(*trials(), strict=True):
        person = people_of(table).loc[truth["subject"]]
        c = {name: np.array(value) for name, value in truth["coefficients"].items()}
        x = (np.log(person.crp) - truth["centre"]).to_numpy()[:, None]
        baseline = person.hamd_baseline.to_numpy()[:, None]
        infliximab = (person.arm == "infliximab").to_numpy()[:, None]
        expected = baseline + c["visit"] + c["base"] * (baseline - 23.85) + c["h1"] * x + c["h2"] * x**2
        expected += infliximab * (c["d"] + c["g1"] * x + c["g2"] * x**2)
        np.testing.assert_allclose(truth["expected"], expected)


def test_truth_survives_json():
    truth = trials()[1][0]
    assert json.loads(json.dumps(truth)) == truth


# Other designs.


def test_moderation_changes_the_treated_and_nothing_else():
    made = {m: draw_raison2013(np.random.default_rng(3), moderation=m) for m in (True, False, (0, 0, 0), (1, -2, 0.5))}
    none = made[0, 0, 0]
    treated = (none.table.arm == "infliximab").to_numpy()
    for moderation, other in made.items():
        pd.testing.assert_frame_equal(other.table.drop(columns="hamd"), none.table.drop(columns="hamd"))
        effect = [quadratic(other.truth, w, crp) for w, crp in zip(none.table.week, none.table.crp, strict=True)]
        np.testing.assert_allclose(other.table.hamd - none.table.hamd, treated * effect, atol=1e-10)
        at_week_12 = [other.truth["coefficients"][name][-1] for name in ("d", "g1", "g2")]
        if not isinstance(moderation, bool):
            np.testing.assert_allclose(at_week_12, moderation)
    assert draw_raison2013(np.random.default_rng(3)).truth == made[True].truth


def test_without_moderation_everybody_has_the_average_effect_and_nothing_crosses():
    on, off = (draw_raison2013(np.random.default_rng(3), moderation=m).truth for m in (True, False))
    np.testing.assert_allclose(list(off["difference"].values()), on["difference"]["all"])
    assert not any(off["coefficients"]["g1"] + off["coefficients"]["g2"])
    assert off["crossing"] is None


@pytest.mark.parametrize(
    ("d", "g1", "g2", "log_crossing"),
    [
        (0, -1, 0, 0),
        (1, -1, 0, 1),
        (2, -3, 1, 1),  # zero at 1, where it falls, and at 2, where it rises
        (-2, 3, -1, 2),
        (0, 1, 0, None),  # rises: infliximab wins below, never above
        (1, 1, 1, None),  # no zero
        (1, 2, 1, None),  # touches zero
        (50, -1, 0, None),  # beyond any hs-CRP
        (-1, 0, 0, None),  # infliximab wins everywhere
    ],
)
def test_crossover_is_where_the_difference_falls_through_zero(d, g1, g2, log_crossing):
    truth = draw_raison2013(np.random.default_rng(3), moderation=(d, g1, g2)).truth
    if log_crossing is None:
        assert truth["crossing"] is None
    else:
        np.testing.assert_allclose(truth["crossing"], np.exp(truth["centre"] + log_crossing))
        just = truth["crossing"] * np.array([0.999, 1.001])
        assert list(np.sign(quadratic(truth, 12, just))) == [1, -1]


def test_other_sizes_keep_the_published_shares():
    made = draw_raison2013(np.random.default_rng(3), people=(300, 60))
    person, table = people_of(made.table), made.table
    assert {"I001", "I300", "P01", "P60"} <= set(person.index)
    assert person[person.crp > 5].arm.value_counts().to_dict() == {"infliximab": 130, "placebo": 18}
    rest = 360 - 148
    assert [(person.crp <= 1).sum(), (person.crp <= 3).sum()] == [round(rest * 15 / 38), round(rest * 33 / 38)]
    held = table.groupby(["week", "arm"]).size()
    assert held[12].to_dict() == {"infliximab": 250, "placebo": 58}
    assert [held[3].sum(), held[10].sum()] == [66, 192]


def test_a_trial_of_least_size_has_one_patient_an_arm():
    made = draw_raison2013(np.random.default_rng(3), people=(1, 1))
    assert list(people_of(made.table).index) == ["I01", "P01"]
    here = {name: value is None for name, value in made.truth["difference_here"].items()}
    crp = np.array(made.truth["crp"])
    assert here["crp > 5"] == (crp <= 5).all()
    assert here["crp <= 5"] == (crp > 5).all()
    assert json.loads(json.dumps(made.truth, allow_nan=False)) == made.truth


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"people": (30, 0)}, "leaves an arm empty"),
        ({"moderation": (1, 2)}, "three finite numbers, d, g1 and g2"),
        ({"moderation": (1, 2, np.nan)}, "three finite numbers, d, g1 and g2"),
        ({"moderation": None}, "must be True, False or three finite numbers"),
    ],
)
def test_impossible_designs_are_refused(wrong, says):
    with pytest.raises(BadInput, match=says):
        draw_raison2013(np.random.default_rng(1), **wrong)
