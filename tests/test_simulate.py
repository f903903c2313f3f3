"""The studies' designs as generators: reproducible, labelled as synthetic, and true to the truth they state.

Averages are compared within four Monte Carlo standard errors, each computed from the design: a right
generator strays further once in 16,000 times, and the seeds are fixed.
"""

import json
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bayesdep.data.errors import BadInput
from bayesdep.data.published import load
from bayesdep.data.tables import Column, as_frame, read_columns, refuse_more_events_than_people
from bayesdep.designs.kiraly2017 import ANALYTE_FAMILY, draw_kiraly2017
from bayesdep.designs.register import designs, simulate

NAMES = sorted(designs())
# the abstract of the 2025 trial prints no table
PUBLISHED = {name: name for name in NAMES if not name.startswith("rct2025")} | {
    "bcg_trials": "bcg_colditz1994",
    "kiraly2017": "kiraly2017_table2",
    "price2022": "price2022_effects",
    "raison2013": "raison2013_responders",
    "raison2013_items": "raison2013_responders",
    "raison2013_limits": "raison2013_responders",
    "raison2013_markers": "raison2013_responders",
    "wilkowska2022": "trd_cohort_europe",
}
# designs whose study published summaries only, or not even these
PATIENT_LEVEL = [
    "kiraly2017",
    "price2022",
    "raison2013",
    "raison2013_items",
    "raison2013_limits",
    "raison2013_markers",
    "rct2025",
    "rct2025_il1ra",
    "wilkowska2022",
]


@cache
def drawn(name, seeds=100):
    """Return tables and truths over many seeds."""
    made = [simulate(name, seed=seed) for seed in range(seeds)]
    return [m.table for m in made], [m.truth for m in made]


def stack(tables, column):
    """Return one column as (seeds, rows)."""
    return np.array([table[column].to_numpy(float) for table in tables])


def assert_standard_normal_mean(z):
    """Require the mean of independent standardised residuals to be within four standard errors of zero."""
    assert abs(np.mean(z)) * np.sqrt(np.size(z)) < 4


def assert_normal(draws, mean, sd):
    """Require draws to have the mean and standard deviation of a normal, each within four standard errors."""
    draws = np.ravel(draws)
    assert abs(draws.mean() - mean) < 4 * sd / np.sqrt(draws.size)
    assert abs(draws.std() / sd - 1) < 4 / np.sqrt(2 * draws.size)


# Reproducible and labelled.


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_gives_the_same_table_and_truth(name):
    one, two = simulate(name, seed=11), simulate(name, seed=11)
    pd.testing.assert_frame_equal(one.table, two.table)
    assert one.truth == two.truth


@pytest.mark.parametrize("name", NAMES)
def test_seeds_give_different_tables(name):
    contents = {simulate(name, seed=seed).table.drop(columns="origin").to_csv() for seed in range(20)}
    # two or four binomials of at most 21 people may fall twice on the same counts; nothing else may
    assert len(contents) >= {"kiraly2017_fgf2_roc": 5, "raison2013_responders": 15}.get(name, 20)


@pytest.mark.parametrize("name", NAMES)
def test_every_row_and_the_attrs_say_synthetic(name):
    table = simulate(name, seed=5).table
    assert list(table.origin) == [f"synthetic: {name}, seed 5"] * len(table)
    assert table.attrs["synthetic"] is True
    assert table.attrs["source"] == f"simulate:{name}"
    assert table.attrs["title"].startswith("Synthetic data")
    assert table.attrs["citation"] == ""


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PATIENT_LEVEL])
def test_table_has_the_published_rows_and_columns_so_that_one_plan_reads_both(name):
    published = load(PUBLISHED[name])
    table = simulate(name, seed=5).table.drop(columns="origin")
    assert set(table.columns) <= set(published.columns)
    if name == "ketamine_trials":  # one trial has no standard error
        published = published.dropna(subset="se")
    labels = [c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]
    assert labels
    for column in labels:
        assert list(table[column]) == list(published[column])


def test_counts_and_summaries_satisfy_the_models_column_contracts():
    counts = {
        "bcg_trials": [("tb_vaccinated", "n_vaccinated"), ("tb_control", "n_control")],
        "kiraly2017_fgf2_roc": [("below_34_pg_per_mL", "n")],
        "raison2013_responders": [("responders", "n")],
    }
    for name, pairs in counts.items():
        for events, n in pairs:
            frame = as_frame(simulate(name, seed=5).table)
            columns = {"events": Column(events, "count", "events"), "n": Column(n, "count", "people")}
            read = read_columns(frame, columns)
            names = np.arange(len(frame)).astype(str)
            refuse_more_events_than_people(read["events"], read["n"], names, (columns["events"], columns["n"]))
    panel = {c: Column(c, "positive", c) for c in ("hc_mean", "hc_sem", "trd_mean", "trd_sem")}
    panel["p_value"] = Column("p_value", "probability", "P")
    assert len(read_columns(as_frame(simulate("kiraly2017_table2", seed=5).table), panel)["p_value"]) == 41


def test_designs_have_one_sentence_each():
    assert set(designs()) == {
        "bcg_trials",
        "ketamine_trials",
        "kiraly2017",
        "kiraly2017_fgf2_roc",
        "kiraly2017_table2",
        "price2022",
        "raison2013",
        "raison2013_items",
        "raison2013_limits",
        "raison2013_markers",
        "raison2013_responders",
        "rct2025",
        "rct2025_il1ra",
        "wilkowska2022",
    }
    assert all(len(text) > 20 and text.endswith(".") for text in designs().values())


def test_unknown_design_suggests_the_nearest():
    with pytest.raises(BadInput, match=r"there is no simulator 'bcg_trial'; did you mean 'bcg_trials'\?"):
        simulate("bcg_trial", seed=1)


def test_simulating_leaves_the_published_tables_as_they_are():
    before = {name: load(PUBLISHED[name]) for name in PUBLISHED}
    for name in NAMES:
        simulate(name, seed=1)
    for name, table in before.items():
        pd.testing.assert_frame_equal(load(PUBLISHED[name]), table)
        assert load(PUBLISHED[name]).attrs["synthetic"] is False


# True to their truth.


def test_bcg_effects_are_normal_around_mu_and_counts_are_binomial_given_them():
    tables, truths = drawn("bcg_trials")
    theta = np.array([truth["theta"] for truth in truths])
    assert (truths[0]["mu"], truths[0]["tau"]) == (-0.75, 0.58)
    assert_normal(theta, -0.75, 0.58)
    published = load("bcg_colditz1994")
    risk = (published.tb_control / published.n_control).to_numpy()
    treated_risk = 1 / (1 + np.exp(-(np.log(risk / (1 - risk)) + theta)))
    for arm, p in (("control", np.broadcast_to(risk, theta.shape)), ("vaccinated", treated_risk)):
        n = published[f"n_{arm}"].to_numpy()
        z = (stack(tables, f"tb_{arm}") - n * p) / np.sqrt(n * p * (1 - p))
        assert_standard_normal_mean(z)
        assert abs(z.var() - 1) < 4 * np.sqrt((2 + (1 / (n * p * (1 - p))).mean()) / z.size)  # binomial kurtosis


def test_ketamine_differences_are_normal_around_effects_that_are_normal_around_mu():
    tables, truths = drawn("ketamine_trials", seeds=250)
    theta = np.array([truth["theta"] for truth in truths])
    assert (truths[0]["mu"], truths[0]["tau"]) == (-6.5, 1.5)
    assert_normal(theta, -6.5, 1.5)
    se = load("ketamine_trials").se.dropna().to_numpy()
    np.testing.assert_array_equal(stack(tables, "se"), np.broadcast_to(se, theta.shape))
    assert_normal((stack(tables, "difference") - theta) / se, 0, 1)


@cache
def panel():
    """Return tables, true log ratios and, per analyte, log standard deviations and arithmetic means."""
    tables, truths = drawn("kiraly2017_table2")
    theta = np.array([truth["theta"] for truth in truths])
    printed = load("kiraly2017_table2")
    sd = np.sqrt(np.log1p(26 * (printed.hc_sem / printed.hc_mean) ** 2)).to_numpy()
    kept = np.minimum(sd, 1)
    # a log-normal's mean is exp(log mean + variance / 2): keeping the spread below 1 lowers it
    return tables, theta, kept, printed.hc_mean.to_numpy() * np.exp((kept**2 - sd**2) / 2)


def test_table2_log_ratios_are_normal_around_mu():
    theta = panel()[1]
    assert theta.shape == (100, 41)
    assert_normal(theta, 0.2, 0.3)


@pytest.mark.parametrize(("group", "n"), [("hc", 26), ("trd", 33)])
def test_table2_means_and_standard_errors_average_to_those_of_the_log_normals(group, n):
    tables, theta, sd, control_mean = panel()
    expected = control_mean * np.exp(theta if group == "trd" else 0 * theta)
    relative_variance = np.expm1(sd**2)
    z = (stack(tables, f"{group}_mean") / expected - 1) / np.sqrt(relative_variance / n)
    assert_standard_normal_mean(z)
    # n sem^2 / mean^2 estimates the variance; its own variance has the fourth central moment, scipy's
    variance = n * (stack(tables, f"{group}_sem") / expected) ** 2
    kurtosis = stats.lognorm(sd).stats(moments="k") + 3
    of_variance = relative_variance**2 * (kurtosis - (n - 3) / (n - 1)) / n
    assert_standard_normal_mean((variance - relative_variance) / np.sqrt(of_variance))
    assert (stack(tables, f"{group}_n") == n).all()


def test_table2_differences_are_patients_minus_controls():
    for table in panel()[0][:5]:
        np.testing.assert_array_equal(table.mean_difference, table.trd_mean - table.hc_mean)


def test_table2_p_values_are_those_of_a_t_test_on_the_logs():
    """t^2 has a noncentral F distribution: its distribution function at the observed t^2 is uniform."""
    tables, theta, sd, _ = panel()
    t = stats.t.isf(stack(tables, "p_value") / 2, 57)
    shift = theta / (sd * np.sqrt(1 / 26 + 1 / 33))
    uniform = stats.ncf.cdf(t**2, 1, 57, shift**2)
    assert_standard_normal_mean((uniform - 0.5) * np.sqrt(12))
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > 6e-5  # as rare as four standard errors


def test_fgf2_counts_average_to_the_stated_accuracy():
    tables, truths = drawn("kiraly2017_fgf2_roc")
    assert truths[0] == {"sensitivity": 0.79, "specificity": 0.92}
    counts = stack(tables, "below_34_pg_per_mL")
    n, p = np.array([19, 12]), np.array([0.79, 1 - 0.92])
    z = (counts - n * p) / np.sqrt(n * p * (1 - p))
    assert_standard_normal_mean(z[:, 0])
    assert_standard_normal_mean(z[:, 1])
    assert (stack(tables, "n") == n).all()


def test_raison_responders_average_to_the_published_counts():
    tables, truths = drawn("raison2013_responders")
    published = load("raison2013_responders")
    responders, n = published.responders.to_numpy(), published.n.to_numpy()
    np.testing.assert_allclose(truths[0]["risk"], responders / n)
    z = (stack(tables, "responders") - responders) / np.sqrt(responders * (1 - responders / n))
    for arm in z.T:
        assert_standard_normal_mean(arm)
    assert (stack(tables, "n") == n).all()


# Kiraly 2017, patient by patient.

MAJORITY_BELOW = {
    *("IL-2", "IL-3", "IL-4", "IL-5", "IL-9", "IL-10", "IL-12P40", "IL-12P70"),
    *("IFN2a", "FLT3L", "MCP-3", "TGF-alpha", "TNF-beta"),
}


@cache
def people_of_kiraly(seeds=20):
    """Return tables and truths at the published size."""
    return drawn("kiraly2017", seeds)


@cache
def crowd(seed=1):
    """Return a large draw at baseline, its truth, true logs as (people, analytes), and who is a patient."""
    made = draw_kiraly2017(np.random.default_rng(seed), people=(4160, 5280), times=(0,))
    y = np.reshape(made.truth["log_concentration"], (-1, 41))
    return made.table.iloc[::41].reset_index(drop=True), made.truth, y, np.arange(len(y)) >= 4160


def kiraly_table2():
    """Return printed means as (2, analytes) and the pooled log standard deviation."""
    printed = load("kiraly2017_table2")
    mean = np.array([printed.hc_mean, printed.trd_mean])
    n = np.array([[26], [33]])
    s2 = np.log1p(n * np.array([printed.hc_sem, printed.trd_sem]) ** 2 / mean**2)
    return mean, np.sqrt((n * s2).sum(0) / 59)


def test_kiraly_has_the_published_rows():
    table = people_of_kiraly()[0][0]
    assert len(table) == 5125
    assert (table.time == 0).sum() == 2419
    assert table.groupby("group").subject.nunique().to_dict() == {"HC": 26, "TRD": 33}
    assert set(table[table.group == "HC"].time) == {0}
    assert set(table[table.group == "TRD"].time) == {0, 4, 24}
    assert not table.duplicated(["subject", "time", "analyte"]).any()
    assert list(table.analyte[:41]) == list(load("kiraly2017_table2").analyte)
    assert set(ANALYTE_FAMILY) == set(table.analyte)
    assert table.analyte_family.nunique() == 4
    assert {"HC01", "HC26", "TRD01", "TRD33"} <= set(table.subject)
    assert (table.unit == "pg/mL").all()
    assert set(table.censored) == {"none", "left", "right"}


def test_kiraly_truth_survives_json():
    truth = people_of_kiraly()[1][0]
    assert json.loads(json.dumps(truth)) == truth


def test_kiraly_thirteen_named_analytes_are_mostly_below_the_limit_and_no_others():
    tables, _ = people_of_kiraly()
    baseline = pd.concat([table[table.time == 0] for table in tables])
    share = (baseline.censored == "left").groupby(baseline.analyte).mean()
    assert set(share.index[share > 0.5]) == MAJORITY_BELOW
    # 20 x 59 samples, a little correlated through u and the plates
    assert share[list(MAJORITY_BELOW)].between(0.55, 0.90).all()
    assert share.drop(list(MAJORITY_BELOW)).max() < 0.43
    assert abs(share["FGF-2"] - 0.12) < 4 * np.sqrt(0.12 * 0.88 / 1180)
    assert (share < 0.005).sum() == 6
    right = (baseline.censored == "right").groupby(baseline.analyte).mean()
    assert set(right.index[right > 0]) == {"PDGF-AA", "PDGF-BB", "GRO", "RANTES", "MCP-1", "scd40L"}
    assert abs(right[right > 0].mean() - 0.015) < 4 * np.sqrt(0.015 * 0.985 / (6 * 1180))


def test_kiraly_concentrations_are_the_truth_to_six_digits_within_the_limits_and_the_limit_beyond():
    for table, truth in zip(*people_of_kiraly(), strict=True):
        true = np.exp(truth["log_concentration"])
        for side, limit, beyond in (("left", table.lod, true < table.lod), ("right", table.uloq, true > table.uloq)):
            np.testing.assert_array_equal(table.censored == side, beyond)
            np.testing.assert_array_equal(table.concentration[beyond], limit[beyond])
        detected = table[table.censored == "none"]
        np.testing.assert_allclose(detected.concentration, true[detected.index], rtol=5e-6)
        assert ((detected.concentration >= detected.lod) & (detected.concentration <= detected.uloq)).all()
        assert (table.concentration == [float(f"{c:.6g}") for c in table.concentration]).all()


def test_kiraly_group_means_and_spreads_are_those_of_table_2():
    _, truth, y, patient = crowd()
    mean, sd = kiraly_table2()
    on = crowd()[0].plate.str[-1].astype(int).to_numpy() - 1
    # exchange the one draw of plate effects for their long-run variance, two thirds of 0.08 squared
    y = y - np.array(truth["plate"])[on]
    plates = 0.08**2 * 2 / 3
    within = sd**2 - plates
    for group, who in enumerate((~patient, patient)):
        n = who.sum()
        z = (np.exp(y[who]).mean(0) * np.exp(plates / 2) / mean[group] - 1) / np.sqrt(np.expm1(within) / n)
        assert abs(z).max() < 4.5  # 41 skewed means
        spread = np.sqrt(y[who].var(0, ddof=1) + plates)
        assert (abs(spread / sd - 1) < 4.5 / np.sqrt(2 * n)).all()


def test_kiraly_plate_effects_are_centred_and_have_their_spread():
    plate = np.array([truth["plate"] for truth in drawn("kiraly2017", 20)[1]])
    np.testing.assert_allclose(plate.sum(1), 0, atol=1e-12)
    freedom = 2 * 20 * 41
    assert abs((plate**2).sum() / (freedom * 0.08**2) - 1) < 4 * np.sqrt(2 / freedom)


def test_kiraly_true_logs_are_the_sum_of_their_parts_and_half_the_rest_is_lasting():
    for table, truth in zip(*people_of_kiraly(), strict=True):
        t = {name: np.array(value) for name, value in truth.items() if name not in ("delta", "response")}
        sample = table.iloc[::41]
        who = sample.subject.map({name: i for i, name in enumerate(truth["subject"])}).to_numpy()
        on = sample.plate.str[-1].astype(int).to_numpy() - 1
        delta = np.array([truth["delta"][str(time)] for time in sample.time])
        trd = (sample.group == "TRD").to_numpy()[:, None]
        lasting = t["alpha"] + t["log_ratio"] * trd + delta + t["plate"][on] + t["u"][who, None] + t["v"][who]
        assert_normal((t["log_concentration"].reshape(-1, 41) - lasting) / t["sigma"], 0, 1)
        assert_normal(t["v"] / (truth["psi"] * t["sigma"]), 0, 1)
    assert_normal([truth["u"] for truth in people_of_kiraly()[1]], 0, 0.15)


def test_kiraly_changes_reproduce_the_published_paired_t():
    """Oracle: scipy's paired t of the values without limits, over 300 draws of the 33 patients.

    The paper prints t (2.369, 2.149), P (0.038, 0.024), or P < 0.0001, for which t is set to 4.5.
    """
    published = {
        (4, "IL-6"): -2.369, (4, "IL-1alpha"): -2.149, (4, "IP-10"): -4.5, (24, "IL-7"): 4.5, (24, "IL-8"): -4.5,
        (4, "G-CSF"): -stats.t.isf(0.038 / 2, 32), (4, "IL-13"): -stats.t.isf(0.038 / 2, 32),
        (24, "PDGF-AA"): -stats.t.isf(0.024 / 2, 32),
    }  # fmt: skip
    found = []
    for seed in range(300):
        made = draw_kiraly2017(np.random.default_rng(seed), people=(1, 33))
        y = np.reshape(made.truth["log_concentration"], (-1, 41))[1:].reshape(33, 3, 41)
        found.append([stats.ttest_rel(y[:, k], y[:, 0]).statistic for k in (1, 2)])
        assert not np.any(made.truth["delta"]["0"])
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(300)
    expected = [[published.get((time, name), 0.0) for name in made.truth["analyte"]] for time in (4, 24)]
    assert error.max() < 0.1
    assert np.abs((mean - expected) / error).max() < stats.norm.isf(0.001 / 2 / mean.size)


def test_kiraly_plates_are_balanced_within_groups_and_hold_whole_people():
    for table in people_of_kiraly()[0]:
        assert (table.groupby("subject").plate.nunique() == 1).all()
        count = table.groupby(["group", "plate"]).subject.nunique()
        assert sorted(count["HC"]) == [8, 9, 9]
        assert list(count["TRD"]) == [11, 11, 11]


def test_kiraly_limits_of_detection_differ_between_plates_and_not_within():
    table = people_of_kiraly()[0][0]
    lod = table.groupby(["analyte", "plate"]).lod.agg(["nunique", "first"])
    assert (lod["nunique"] == 1).all()
    first, second, third = lod["first"].to_numpy().reshape(41, 3).T
    np.testing.assert_allclose(first / second, 0.95, rtol=1e-5)
    np.testing.assert_allclose(third / second, 1.05, rtol=1e-5)
    assert (table.groupby("analyte").uloq.nunique() == 1).all()
    assert (table.uloq > table.lod).all()


def test_kiraly_outcomes_belong_to_patients_and_two_are_unknown():
    for table in people_of_kiraly()[0]:
        person = table.drop_duplicates("subject").set_index("subject")
        constant = table.groupby("subject")[["age", "sex", "bmi", "responder", "madrs_change"]].nunique(dropna=False)
        assert (constant == 1).all(axis=None)
        known = [f"TRD{i:02d}" for i in range(1, 32)]
        for outcome in ("responder", "madrs_change"):
            assert list(person.index[person[outcome].notna()]) == known
        assert set(person.responder.dropna()) == {0, 1}
    person, *_ = crowd()
    assert person.responder.notna().sum() == 5280 - 320


def test_kiraly_response_rate_accuracy_and_correlation_are_the_stated_ones():
    person, truth, y, _ = crowd()
    known = person.responder.notna().to_numpy()
    x = y[known, truth["analyte"].index("FGF-2")]
    responder = person.responder[known].to_numpy(bool)
    n = known.sum()
    assert abs(responder.mean() - 0.6) < 4 * np.sqrt(0.24 / n)
    response = truth["response"]
    p = 1 / (1 + np.exp(-(response["intercept"] + response["slope"] * (x - response["centre"]))))
    assert_standard_normal_mean((responder - p) / np.sqrt(p * (1 - p)))
    below = stats.mannwhitneyu(x[~responder], x[responder]).statistic / (responder.sum() * (~responder).sum())
    assert 0.75 < below < 0.92  # printed: 0.86
    change = person.madrs_change[known]
    assert abs(np.corrcoef(x, change)[0, 1] - truth["correlation"]) < 4 * (1 - 0.565**2) / np.sqrt(n)
    assert truth["correlation"] == -0.565
    assert_normal(change, 17, 10)


def test_kiraly_covariates_stay_in_range_and_have_no_part_in_anything():
    person, _, y, patient = crowd()
    assert person.age.between(18, 75).all()
    assert person.bmi.between(17, 50).all()
    female = person.sex == "F"
    assert abs(female.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(person))
    y = y - np.where(patient[:, None], y[patient].mean(0), y[~patient].mean(0))
    known = person.responder.notna()
    for z in (person.age, person.bmi, female.astype(float)):
        z = ((z - z.mean()) / z.std()).to_numpy()
        assert abs(z @ y / y.std(0)).max() < 4.5 * np.sqrt(len(z))  # the largest of 41 correlations
        for other in (patient, person.responder[known], person.madrs_change[known]):
            mine = z if len(other) == len(z) else z[known]
            assert abs(np.corrcoef(mine, other)[0, 1]) < 4 / np.sqrt(len(mine))


def test_kiraly_log_ratios_given_change_the_truth_and_not_the_limits():
    given = np.linspace(-1, 1, 41)
    own, made = (draw_kiraly2017(np.random.default_rng(3), log_ratio=b) for b in (None, given))
    assert made.truth["log_ratio"] == given.tolist()
    np.testing.assert_allclose(own.truth["log_ratio"], np.log(np.divide(*kiraly_table2()[0][::-1])))
    pd.testing.assert_frame_equal(own.table[["lod", "uloq"]], made.table[["lod", "uloq"]])
    moved = np.subtract(made.truth["log_concentration"], own.truth["log_concentration"]).reshape(-1, 41)
    np.testing.assert_allclose(moved[:26], 0, atol=1e-12)
    np.testing.assert_allclose(moved[26:], np.tile(given - own.truth["log_ratio"], (99, 1)), atol=1e-12)


def test_kiraly_takes_other_sizes_and_times():
    made = draw_kiraly2017(np.random.default_rng(3), people=(100, 5), times=(0, 24))
    assert len(made.table) == 41 * (100 + 2 * 5)
    assert {"HC001", "HC100", "TRD05"} <= set(made.table.subject)
    assert set(made.truth["delta"]) == {"0", "24"}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"people": (26, 0)}, "leaves a group empty"),
        ({"times": (4, 24)}, "with 0, the baseline, among them"),
        ({"times": (0, 4, 4)}, "must be different hours"),
        ({"log_ratio": np.zeros(40)}, "one number for each of the 41 analytes"),
    ],
)
def test_kiraly_refuses_designs_that_are_none(wrong, says):
    with pytest.raises(BadInput, match=says):
        draw_kiraly2017(np.random.default_rng(1), **wrong)
