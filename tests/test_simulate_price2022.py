"""Price 2022, patient by patient: the printed counts in every table, the printed effects in the long run.

Published numbers are typed here once more, from the paper and the trials' reports. Estimates are averaged over
independent tables and compared within four standard errors of that average: a right generator strays further once in
16,000 times, and the seeds are fixed.
"""

import io
import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesdep.data.errors import BadInput
from bayesdep.designs.price2022 import draw_price2022
from bayesdep.designs.price2022_coefficients import M_STAR_STUDIES, design
from bayesdep.designs.register import simulate

TIMES = ("rapid", "post-rapid")
MODERATORS = ("crossover", "trd", "us", "mdd", "bmi", "systolic")
TIER_1 = (
    "psychoactive",
    "crossover",
    "threshold",
    "trd",
    "country",
    "us",
    "inpatient",
    "diagnosis",
    "mdd",
    "age",
    "female",
)
TIER_2 = ("anxiety", "systolic", "bmi", "smoker", "married", "black", "failed_trials", "episodes")
NIMH = Path(__file__).resolve().parents[2] / "shared" / "data" / "nimh_ketamine_moa" / "ketamine_crossover_long.csv"


@cache
def pools(seeds=12):
    """Return tables and truths of the published size."""
    made = [simulate("price2022", seed=seed) for seed in range(seeds)]
    return [m.table for m in made], [m.truth for m in made]


@cache
def crowds(number=20):
    """Return independent pools of 340 studies, twenty times the published ones; all values are before conversion."""
    tables, truths = [], []
    for seed in range(number):
        made = draw_price2022(np.random.default_rng(seed), studies=340, patients=14_400)
        table = made.table.assign(
            true=made.truth["improvement"],
            expected=made.truth["expected"],
            baseline=made.truth["madrs_baseline"],
            k=made.table.study.map({name: k for k, name in enumerate(made.truth["study"])}),
            treated=(made.table.arm == "ketamine").astype(float),
        )
        mean = table.time.map(made.truth["mean"])
        tables.append(table.assign(y=(table.true - mean) / made.truth["sd"]))
        truths.append(made.truth)
    return tables, truths


def patients_of(table):
    return table.drop_duplicates("subject").set_index("subject")


def at(table, time):
    return table[table.time == time]


def assert_average(estimates, true):
    """Require the average of independent estimates to be within four of its standard errors of the truth."""
    estimates = np.asarray(estimates, dtype=float)
    error = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
    assert (abs(estimates.mean(axis=0) - true) < 4 * error).all(), (estimates.mean(axis=0), true, error)
    return error


def standardised(rows, truth, names=MODERATORS):
    return np.column_stack([(rows[name] - truth["centre"][name]) / truth["scale"][name] for name in names])


def within(rows, *columns):
    """Take study means away: least squares on the rest is that with an intercept for every study."""
    stacked = pd.DataFrame(np.column_stack(columns))
    return (stacked - stacked.groupby(rows.k.to_numpy()).transform("mean")).to_numpy()


def within_studies(rows, design, outcome="y"):
    both = within(rows, design, rows[outcome])
    return np.linalg.lstsq(both[:, :-1], both[:, -1])[0]


# What was counted, in every table.


def test_every_table_has_the_studies_and_patients_of_table_1():
    for table in pools()[0]:
        person = patients_of(table)
        size = person.study.value_counts()
        assert (len(person), len(size), person.country.nunique()) == (720, 17, 8)
        read_in_table_1 = {"Deakin": 37, "Feder 1": 30, "Feder 2": 41, "Grunebaum": 96, "Mathew": 73}
        reported = {"McLoughlin": 25, "Murrough": 24, "Muthukumaraswamy": 30, "Papakostas": 61, "Su": 48, "Tiger": 30}
        assert size[[*read_in_table_1, *reported]].to_dict() == read_in_table_1 | reported
        assert (person.groupby("study")[["crossover", "psychoactive", "threshold", "us", "scale"]].nunique() == 1).all(
            axis=None
        )
        assert set(person[person.us == 1].country) == {"US"}
        assert (person.trd == (person.threshold >= 2)).all()
        assert person[person.study.isin(["Deakin", "Feder 1", "Feder 2", "Grunebaum"])].threshold.max() == 0


def test_every_table_has_the_designs_of_table_2_and_what_they_leave_open_is_solved_for():
    for table in pools()[0]:
        person = patients_of(table)
        assert person.crossover.value_counts().to_dict() == {0: 478, 1: 242}
        assert person.psychoactive.value_counts().to_dict() == {1: 477, 0: 243}
        size = person.study.value_counts()
        assert size[["Shiroma", "Phillips", "Zarate 2"]].to_dict() == {"Shiroma": 54, "Phillips": 43, "Zarate 2": 48}


def test_every_table_has_the_diagnoses_of_table_2():
    for table in pools()[0]:
        person = patients_of(table)
        assert person.diagnosis.value_counts().to_dict() == {"MDD": 579, "bipolar": 66, "PTSD": 74, "other": 1}
        assert person.mdd.value_counts().to_dict() == {1: 627, 0: 93}
        assert person.mdd[person.diagnosis == "MDD"].all()
        assert not person.mdd[person.diagnosis.isin(["bipolar", "other"])].any()
        assert person[person.study == "Grunebaum"].diagnosis.value_counts().to_dict() == {"MDD": 80, "bipolar": 16}


def test_ten_studies_rate_madrs_three_hrsd_and_four_both():
    for table in pools()[0]:
        scale = table.groupby("study").scale.first().value_counts()
        assert scale.to_dict() == {"MADRS": 10, "HRSD-17": 3, "MADRS and HRSD-17": 4}
        rated = table.scale != "MADRS"
        assert (table[["hrsd_baseline", "hrsd"]].notna().all(axis=1) == rated).all()
        assert table[["improvement", "madrs_baseline", "madrs"]].notna().all(axis=None)


def test_arms_are_those_of_the_reports_and_halves_elsewhere():
    reported = {"McLoughlin": (13, 12), "Papakostas": (42, 19), "Su": (24, 24), "Tiger": (20, 10), "Zarate 1": (9, 9)}
    for table in pools()[0]:
        arms = pd.crosstab(*patients_of(table)[["study", "arm"]].to_numpy().T)[["ketamine", "control"]]
        for study, counts in reported.items():
            assert tuple(arms.loc[study]) == counts
        rest = arms.drop([*reported, "Mathew"])
        assert (rest.ketamine - rest.control).isin([0, 1]).all()
        assert tuple(arms.loc["Mathew"]) == (49, 24)  # 2:1


def test_tier_1_is_known_of_all_and_tier_2_as_printed():
    for table in pools()[0]:
        person = patients_of(table)
        assert person[list(TIER_1)].notna().all(axis=None)
        share = person[list(TIER_2)].notna().mean()
        assert share.between(0.40, 0.82).all()
        assert person.anxiety.notna().sum() == 521
        in_2f = person[["bmi", "smoker"]].notna().all(axis=1)
        assert in_2f.sum() == 232
        assert set(person[in_2f].study) == set(M_STAR_STUDIES)
        assert len(M_STAR_STUDIES) == 7
        assert (person.groupby("study")[list(TIER_2)].agg(lambda x: x.isna().nunique()) == 1).all(axis=None)
        # the four variables with the largest weights differ among these patients
        assert (person[in_2f][["trd", "mdd", "us", "bmi"]].nunique() > 1).all()


def test_everybody_is_seen_at_the_rapid_time_and_217_of_232_at_the_other():
    for table in pools()[0]:
        seen = table.time.value_counts()
        assert seen.to_dict() == {"rapid": 720, "post-rapid": 673}
        assert table[["bmi", "smoker"]].notna().all(axis=1).groupby(table.time).sum().to_dict() == {
            "rapid": 232,
            "post-rapid": 217,
        }
        assert (
            at(table, "post-rapid").groupby("study").size() / at(table, "rapid").groupby("study").size() > 0.88
        ).all()


def test_rows_are_patients_and_times_in_the_units_stated():
    table = pools()[0][0]
    before = ["study", "subject", "arm", "time", "day", "improvement", "madrs_baseline", "madrs", "scale"]
    assert list(table.columns) == [*before, "hrsd_baseline", "hrsd", *TIER_1, *TIER_2, "origin"]
    assert not table.duplicated(["subject", "time"]).any()
    assert (table.day == table.time.map({"rapid": 1, "post-rapid": 7})).all()
    fixed = ["study", "arm", "madrs_baseline", *TIER_1, *TIER_2]
    assert (table.groupby("subject")[fixed].nunique(dropna=False) == 1).all(axis=None)
    np.testing.assert_allclose(table.improvement, 100 * (1 - table.madrs / table.madrs_baseline))
    assert {"01-01", "04-96", "17-35"} <= set(table.subject)
    for name in ("psychoactive", "crossover", "trd", "us", "inpatient", "mdd", "female"):
        assert set(table[name]) == {0, 1}
    assert table.age.between(18, 75).all()
    assert table.bmi.dropna().between(17, 60).all()
    assert table.systolic.dropna().between(85, 180).all()
    assert (table.failed_trials.dropna() >= table.threshold[table.failed_trials.notna()]).all()


def test_who_is_seen_later_is_left_to_chance():
    z = []
    for table, truth in zip(*pools(), strict=True):
        later = patients_of(table).index.isin(at(table, "post-rapid").subject)
        rapid = at(table.assign(true=truth["improvement"]), "rapid")
        for value in (rapid.true, rapid.madrs_baseline, rapid.age, (rapid.arm == "ketamine") * 1.0):
            gap = value[later].mean() - value[~later].mean()
            z.append(gap / (value.std() * np.sqrt(1 / later.sum() + 1 / (~later).sum())))
    z = np.reshape(z, (-1, 4))
    assert (abs(z.mean(axis=0)) < 4 / np.sqrt(len(z))).all()


# What was estimated, in the long run.


@pytest.mark.parametrize(("time", "b"), [("rapid", 0.58), ("post-rapid", 0.38)])
def test_average_effect_of_ketamine_is_the_published_one(time, b):
    tables, truths = crowds()
    assert truths[0]["effect"][time] == b
    found = [within_studies(at(t, time), at(t, time)[["treated"]]) for t in tables]
    assert assert_average(found, b) < 0.01


@pytest.mark.parametrize(
    ("moderator", "time", "beta"),
    [
        ("trd", "rapid", 0.32),
        ("trd", "post-rapid", 0.47),
        ("crossover", "rapid", 0.52),
        ("crossover", "post-rapid", 0.16),
        ("us", "post-rapid", 0.41),
        ("systolic", "post-rapid", 0.23),
        ("systolic", "rapid", 0),
    ],
)
def test_one_moderator_at_a_time_has_the_published_interaction(moderator, time, beta):
    found = []
    for table, truth in zip(*crowds(), strict=True):
        rows = at(table, time).dropna(subset=moderator)
        x = standardised(rows, truth, [moderator])[:, 0]
        found.append(within_studies(rows, np.column_stack([rows.treated, x, rows.treated * x]))[2])
    assert assert_average(found, beta) < 0.02


def test_crossover_designs_have_the_published_deficit_on_control():
    found = []
    for table in crowds()[0]:
        rows = at(table, "rapid").query("treated == 0")
        found.append(rows.y[rows.crossover == 1].mean() - rows.y[rows.crossover == 0].mean())
    assert assert_average(found, -0.48) < 0.02


@pytest.mark.parametrize("time", TIMES)
def test_joint_least_squares_finds_every_coefficient(time):
    """Study intercepts, ketamine, moderators and interactions, on the patients who have both BMI and pressure."""
    found, true = [], []
    for table, truth in zip(*crowds(), strict=True):
        rows = at(table, time).dropna(subset=["bmi", "systolic"])
        x, treated = standardised(rows, truth), rows.treated.to_numpy()
        baseline = (rows.baseline - truth["centre"]["madrs"]) / truth["scale"]["madrs"]
        # of the main effects, those that differ within studies
        columns = np.column_stack([treated, treated[:, None] * x, x[:, 3:], baseline])
        found.append(within_studies(rows, columns))
        main, interaction = truth["main"][time], truth["interaction"][time]
        joint = [interaction[m] for m in MODERATORS]
        true.append([truth["effect"][time], *joint, main["mdd"], main["bmi"], main["systolic"], 0.1])
    error = assert_average(found, true[0])
    assert (error < 0.03).all()


def test_outcome_is_standardised_and_its_average_is_zero():
    for time in TIMES:
        rows = [at(table, time) for table in crowds()[0]]
        assert_average([r.y.mean() for r in rows], 0)
        assert_average([(r.y**2).mean() for r in rows], 1)


def test_response_and_remission_on_ketamine_are_the_published_ones():
    response, remission, below_0 = [], [], []
    for table in crowds()[0]:
        rows = at(table, "rapid").query("treated == 1")
        left = rows.baseline * (1 - rows.true / 100)
        response.append((rows.true >= 50).mean())
        remission.append((left <= 9).mean())
        below_0.append((left < 0).mean())
    assert_average(response, 0.46)
    assert_average(remission, 0.27)
    assert 0.08 < np.mean(below_0) < 0.10


def test_placebo_does_as_well_at_either_time():
    gap = []
    for table in crowds()[0]:
        by_time = table[table.treated == 0].groupby("time").true.mean()
        gap.append(by_time["rapid"] - by_time["post-rapid"])
    assert_average(gap, 0)


def test_the_papers_own_model_has_about_its_printed_standard_error():
    """(0.72 - 0.44) / 3.92 at the rapid time, with an intercept per study and nothing else."""
    errors = []
    for table, truth in zip(*pools(), strict=True):
        rows = at(table.assign(k=table.study, y=np.array(truth["improvement"]) / truth["sd"]), "rapid")
        treated, y = within(rows, rows.arm == "ketamine", rows.y).astype(float).T
        slope = treated @ y / (treated @ treated)
        variance = ((y - slope * treated) ** 2).sum() / (len(rows) - 18)
        errors.append(np.sqrt(variance / (treated @ treated)))
    assert abs(np.mean(errors) - 0.28 / 3.92) < 0.003


# How studies and patients differ.


def test_study_effects_have_their_variances_and_correlations():
    truths = crowds()[1]
    names = ("random_intercept", "random_effect")
    drawn = np.array([np.hstack([truth[name] for name in names]) for truth in truths])  # tables, studies, 4
    a, b, corr = 0.2, 0.15, {"ab": -0.3, "time": 0.7}
    assert [truths[0][name] for name in ("tau_a", "tau_b", "rho", "rho_times")] == [a, b, -0.3, 0.7]
    assert_average(drawn.mean(axis=1), 0)
    cross = corr["ab"] * a * b
    same = np.array([[a**2, cross], [cross, b**2]])
    expected = np.kron(same, [[1, corr["time"]], [corr["time"], 1]])
    products = np.einsum("tki,tkj->tij", drawn, drawn) / drawn.shape[1]
    assert_average(products.reshape(len(truths), -1), expected.ravel())


def test_residuals_are_normal_with_each_studys_spread_and_correlate_between_times():
    squares, products, spreads = [], [], []
    for table, truth in zip(*crowds(), strict=True):
        sigma = np.array(truth["sigma"])[table.k, table.time.map(TIMES.index)]
        rows = table.assign(e=(table.true - table.expected) / truth["sd"] / sigma)
        e = rows.pivot_table(index="subject", columns="time", values="e")[list(TIMES)].dropna().to_numpy()
        squares.append(np.r_[e.mean(axis=0), (e**2).mean(axis=0), (e**4).mean(axis=0)])
        products.append((e[:, 0] * e[:, 1]).mean())
        spreads.append([(np.array(truth["sigma"])[:, t] ** 2).mean() for t in (0, 1)])
    assert_average(squares, [0, 0, 1, 1, 3, 3])
    assert_average(products, 0.7)
    assert_average(spreads, design().sigma ** 2)
    assert np.std(np.log(np.array(crowds()[1][0]["sigma"])[:, 0])) == pytest.approx(0.15, rel=4 / np.sqrt(2 * 340))


def test_expected_values_and_study_effects_follow_the_stated_formula():
    for table, truth in zip(*pools(), strict=True):
        k = table.study.map({name: k for k, name in enumerate(truth["study"])}).to_numpy()
        complete = table.dropna(subset=["bmi", "systolic"])
        for t, time in enumerate(TIMES):
            rows = at(complete, time)
            here = k[rows.index]
            x = standardised(rows, truth)
            effect = truth["effect"][time] + np.array(truth["random_effect"])[here, t]
            effect = effect + x @ [truth["interaction"][time][m] for m in MODERATORS]
            y = (
                truth["intercept"][time]
                + np.array(truth["random_intercept"])[here, t]
                + (rows.arm == "ketamine") * effect
            )
            y = y + x @ [truth["main"][time][m] for m in MODERATORS]
            baseline = np.array(truth["madrs_baseline"])[rows.index]
            y = y + truth["main"][time]["madrs"] * (baseline - truth["centre"]["madrs"]) / truth["scale"]["madrs"]
            np.testing.assert_allclose(np.array(truth["expected"])[rows.index], truth["mean"][time] + truth["sd"] * y)
            whole = pd.Series(effect).groupby(rows.study.to_numpy()).mean()
            if t == 0:  # at the other time, not every patient of a study is here
                stated = pd.Series(np.array(truth["ketamine_effect"])[:, t], truth["study"])
                np.testing.assert_allclose(stated[whole.index], whole)


def test_other_columns_have_no_part_in_anything():
    """Correlations within study and arm, and of their product with ketamine, with the outcome."""
    names = ["age", "female", "anxiety", "smoker", "married", "black", "failed_trials", "episodes"]
    for time in TIMES:
        found = []
        for table in crowds()[0][:12]:
            row = []
            for name in names:
                rows = at(table, time).dropna(subset=name)
                value = rows[name] - (
                    rows.threshold if name == "failed_trials" else 0
                )  # trials required are counted in
                value = (value - value.mean()) / value.std()
                row += list(within_studies(rows, np.column_stack([rows.treated, value, rows.treated * value]))[1:])
            found.append(row)
        assert_average(found, 0)


# The combined moderator.


@pytest.mark.parametrize("time", TIMES)
def test_true_weights_have_the_stated_correlation_with_pairs_differences(time):
    truths = crowds()[1]
    weights, stated = truths[0]["m_star"][time]["weights"], truths[0]["m_star"][time]["r"]
    assert list(weights) == ["mdd", "inpatient", "age", "female", "us", "trd", "bmi", "smoker"]
    assert {name for name, weight in weights.items() if weight} == {"mdd", "us", "trd", "bmi"}
    assert weights == {name: truths[0]["interaction"][time].get(name, 0) for name in weights}
    found, rng = [], np.random.default_rng(1)
    for table, truth in zip(*crowds(), strict=True):
        rows = at(table.assign(score=truth["m_star_score"]), time)
        known = rows.dropna(subset=["bmi", "smoker"])
        used = [name for name, weight in weights.items() if weight]
        np.testing.assert_allclose(known.score, standardised(known, truth, used) @ [weights[name] for name in used])
        one, other = (rng.permutation(rows[rows.treated == arm][["score", "y"]].to_numpy())[:6000] for arm in (1, 0))
        found.append(np.corrcoef(one[:, 0] + other[:, 0], one[:, 1] - other[:, 1])[0, 1])
    assert assert_average(found, stated) < 0.005
    assert 0.1 < stated < {"rapid": 0.293, "post-rapid": 0.234}[time]  # printed, in sample


def test_without_moderation_nothing_interacts_and_all_else_is_the_same():
    on, off = (draw_price2022(np.random.default_rng(3), moderation=m) for m in (True, False))
    scores = ["improvement", "madrs", "hrsd"]
    assert not any(any(row.values()) for row in off.truth["interaction"].values())
    assert off.truth["m_star"]["rapid"] == {
        "weights": dict.fromkeys(on.truth["m_star"]["rapid"]["weights"], 0.0),
        "r": 0.0,
    }
    drop = on.table.scale != "HRSD-17"
    pd.testing.assert_frame_equal(on.table.drop(columns=scores)[drop], off.table.drop(columns=scores)[drop])
    same = ("random_intercept", "random_effect", "sigma", "effect", "intercept", "main", "mean", "sd", "madrs_baseline")
    assert all(on.truth[name] == off.truth[name] for name in same)
    complete = on.table.dropna(subset=["bmi", "systolic"])
    moved = np.subtract(on.truth["improvement"], off.truth["improvement"])[complete.index]
    w = np.array([[on.truth["interaction"][time][m] for m in MODERATORS] for time in complete.time])
    product = (standardised(complete, on.truth) * w).sum(axis=1)
    np.testing.assert_allclose(moved, on.truth["sd"] * (complete.arm == "ketamine") * product, atol=1e-9)


def test_without_moderation_no_moderator_is_found():
    found = []
    for seed in range(12):
        made = draw_price2022(np.random.default_rng(seed), studies=340, patients=14_400, moderation=False)
        table = made.table.assign(
            y=np.array(made.truth["improvement"]) / made.truth["sd"],
            k=made.table.study,
            treated=(made.table.arm == "ketamine").astype(float),
        )
        row = []
        for time in TIMES:
            for name in MODERATORS:
                rows = at(table, time).dropna(subset=name)
                x = standardised(rows, made.truth, [name])[:, 0]
                row.append(within_studies(rows, np.column_stack([rows.treated, x, rows.treated * x]))[2])
        found.append(row)
    assert (assert_average(found, 0) < 0.02).all()


# The scales.


def test_hrsd_is_a_line_in_madrs_with_error_between_and_within_patients():
    found = []
    for table, truth in zip(*crowds(), strict=True):
        line = truth["hrsd"]
        rows = table[table.scale == "MADRS and HRSD-17"]
        first = rows.drop_duplicates("subject")
        error = first.hrsd_baseline - line["intercept"] - line["slope"] * first.madrs_baseline
        later = first.hrsd - line["intercept"] - line["slope"] * first.madrs
        found.append([error.mean(), (error * later).mean(), (error**2).mean(), (later**2).mean()])
    both = 1.43**2 + 2.28**2
    assert_average(found, [0, 1.43**2, both, both])


def test_where_only_hrsd_was_rated_madrs_is_converted_and_right_on_average():
    shift, bias, expected = [], [], []
    for table, truth in zip(*crowds(), strict=True):
        rows, line = table[table.scale == "HRSD-17"], truth["hrsd"]
        for hrsd, madrs in (("hrsd_baseline", "madrs_baseline"), ("hrsd", "madrs")):
            np.testing.assert_allclose(rows[madrs], (rows[hrsd] - line["intercept"]) / line["slope"])
        shift.append((rows.madrs_baseline - rows.baseline).mean())
        bias.append((rows.improvement - rows.true).mean())
        # second order of a ratio whose parts share the error between patients
        shared = (line["sd_between"] / line["slope"]) ** 2
        variance = shared + (line["sd_within"] / line["slope"]) ** 2
        expected.append(-100 * (((1 - rows.true / 100) * variance - shared) / rows.baseline**2).mean())
        others = table[table.scale != "HRSD-17"]
        np.testing.assert_array_equal(others.improvement, others.true)
        np.testing.assert_array_equal(others.madrs_baseline, others.baseline)
    assert_average(shift, 0)
    error = assert_average(bias, np.mean(bias))
    rest = 3 * variance / 20**2  # the series goes on by this factor at most: nobody starts below 20
    assert abs(np.mean(bias) - np.mean(expected)) < 4 * error + rest * abs(np.mean(expected))


def test_line_and_error_are_those_of_the_patients_they_were_taken_from():
    if not NIMH.exists():
        pytest.skip("the crossover's table is not part of the package")  # real patients are not part of the repository
    rows = pd.read_csv(NIMH).query("group != 'HC'").dropna(subset=["madrs", "hamd17"])
    assert (len(rows), rows.id.nunique()) == (129, 35)
    slope, intercept = np.polyfit(rows.madrs, rows.hamd17, 1)
    line = pools()[1][0]["hrsd"]
    np.testing.assert_allclose([intercept, slope], [line["intercept"], line["slope"]], atol=0.005)
    error = rows.hamd17 - intercept - slope * rows.madrs
    n = rows.groupby("id").size()
    of_patient = error.groupby(rows.id).mean()
    inside = ((error - error.groupby(rows.id).transform("mean")) ** 2).sum() / (len(rows) - len(n))
    outside = (n * of_patient**2).sum() / (len(n) - 1)
    between = (outside - inside) * (len(n) - 1) / (n.sum() - (n**2).sum() / n.sum())
    np.testing.assert_allclose(np.sqrt([between, inside]), [line["sd_between"], line["sd_within"]], atol=0.005)


# The table, the truth and other sizes.


def test_truth_survives_json():
    truth = pools()[1][0]
    assert json.loads(json.dumps(truth, allow_nan=False)) == truth


def test_table_survives_csv():
    table = pools()[0][0]
    back = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    pd.testing.assert_frame_equal(back, table, check_dtype=False, rtol=1e-12)


def test_other_sizes_keep_the_designs_and_share_out_the_patients():
    made = draw_price2022(np.random.default_rng(1), studies=200, patients=100_000)
    person = patients_of(made.table)
    size = person.study.value_counts()
    assert (len(person), len(size)) == (100_000, 200)
    assert made.truth["study"][:2] + made.truth["study"][17:19] == ["Deakin", "Feder 1", "Deakin (2)", "Feder 1 (2)"]
    one, eleventh = (person[person.study == name] for name in ("Grunebaum", "Grunebaum (11)"))
    assert abs(len(one) - len(eleventh)) <= 1
    assert (one.scale.iloc[0], eleventh.scale.iloc[0]) == ("HRSD-17", "HRSD-17")
    assert abs((eleventh.diagnosis == "MDD").mean() - 80 / 96) < 1 / len(eleventh)
    assert np.shape(made.truth["sigma"]) == (200, 2)
    few = draw_price2022(np.random.default_rng(1), studies=3, patients=6)
    assert patients_of(few.table).groupby("study").arm.nunique().to_dict() == {"Deakin": 2, "Feder 1": 2, "Feder 2": 2}


def test_same_generator_gives_the_same_pool_and_does_not_depend_on_what_was_drawn_before():
    one = draw_price2022(np.random.default_rng(5))
    draw_price2022(np.random.default_rng(6), studies=40, patients=2000)
    two = draw_price2022(np.random.default_rng(5))
    pd.testing.assert_frame_equal(one.table, two.table)
    assert one.truth == two.truth


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"studies": 0}, "studies = 0 leaves nothing to draw"),
        ({"patients": 20}, "patients = 20 leaves one of 17 studies fewer than two; give more patients"),
    ],
)
def test_refuses_designs_that_are_none(wrong, says):
    with pytest.raises(BadInput, match=says):
        draw_price2022(np.random.default_rng(1), **wrong)
