"""The table of ketamine trials, dose by dose and time by time: sources, arithmetic, and the way into a meta-analysis.

The individual data are not in this repository: where the folder with them is not beside it, those tests are skipped.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesdep as bd
from bayesdep.data.published import table_file

SHARED = Path(__file__).resolve().parents[2] / "shared"
INDIVIDUAL = SHARED / "data/nimh_ketamine_moa/ketamine_crossover_long.csv"
ARMS = ("ketamine", "control")
SPREADS = [f"{arm}_{what}" for arm in ARMS for what in ("sd", "baseline_sd")] + ["se"]


@pytest.fixture(scope="module")
def outcomes():
    return bd.load("ketamine_outcomes")


def row_of(table, trial, time_h, dose="0.5 mg/kg"):
    """Return the one row of a trial at a time."""
    found = table[(table.trial == trial) & (table.time_h == time_h) & (table.dose == dose)]
    assert len(found) == 1
    return found.iloc[0]


def as_printed():
    """Return the table as text, with the decimals of every number."""
    with table_file("ketamine_outcomes").open("rb") as file:
        return pd.read_csv(file, dtype=str, keep_default_na=False)


def decimals(row, *columns):
    """Return the fewest decimals among numbers as printed."""
    return min(len(row[c].partition(".")[2]) for c in columns)


# Sources and plausibility.


def test_every_row_has_a_source_that_can_be_looked_up(outcomes):
    assert outcomes.source.str.contains(r"PMC\d{6,}|doi 10\.\d{4}/|NCT\d{8}|ds\d{6}").all()


def test_there_is_one_row_a_trial_dose_and_time_of_at_least_twelve_trials(outcomes):
    assert not outcomes.duplicated(["trial", "dose", "time_h"]).any()
    people = outcomes.trial.str.removesuffix(", first period")
    assert people.nunique() == 12
    assert set(outcomes.design) == {"parallel", "crossover"}


def test_every_row_holds_a_result(outcomes):
    """Counts, a difference, or a standardised effect with its interval among the derivations."""
    counted = outcomes.ketamine_responders.notna() & outcomes.control_responders.notna()
    standardised = outcomes.derivation.fillna("").str.contains(r"-?\d\.\d\d \(-?\d\.\d\d to -?\d\.\d\d\)")
    assert (counted | outcomes.difference.notna() | standardised).all()
    assert list(outcomes.trial[standardised & outcomes.difference.isna()]) == ["Diazgranados 2010", "Price ASAT 2022"]


def test_counts_are_whole_and_of_no_more_people_than_there_are(outcomes):
    for arm in ARMS:
        n = outcomes[f"response_{arm}_n"]
        for what in ("responders", "remitters"):
            count = outcomes[f"{arm}_{what}"].dropna()
            assert (count == count.round()).all()
            assert count.between(0, n[count.index]).all()
        assert (n.notna() == outcomes[f"{arm}_responders"].notna()).all()
    counted = outcomes.dropna(subset=["response_ketamine_n"])
    assert counted.response_definition.notna().all()


def test_spreads_are_positive_and_stand_beside_their_means(outcomes):
    spreads = outcomes[SPREADS].to_numpy()
    assert (spreads[~np.isnan(spreads)] > 0).all()
    for arm in ARMS:
        for mean, sd in ((f"{arm}_mean", f"{arm}_sd"), (f"{arm}_baseline_mean", f"{arm}_baseline_sd")):
            assert (outcomes[mean].notna() == outcomes[sd].notna()).all()
    madrs = outcomes[(outcomes.scale == "MADRS") & outcomes.ketamine_mean.notna()]
    means = madrs[[f"{arm}_{what}" for arm in ARMS for what in ("mean", "baseline_mean")]].to_numpy()
    assert ((np.isnan(means)) | ((means > 0) & (means < 60))).all()


def test_remitters_outnumber_responders_only_where_the_notes_say_so(outcomes):
    odd = [
        (row.trial, row.time_h, arm)
        for row in outcomes.itertuples()
        for arm in ARMS
        if getattr(row, f"{arm}_remitters") > getattr(row, f"{arm}_responders")
    ]
    assert odd == [("Lii 2023", 48, "ketamine"), ("Lii 2023", 168, "control")]
    notes = " ".join(outcomes.attrs["inconsistencies"])
    assert "at day 2 on ketamine (11 and 10) and at day 7 on control (11 and 7)" in notes


def test_differences_are_those_of_the_means_but_for_the_trial_the_notes_name():
    """Within the rounding of all three printed numbers."""
    table = as_printed()
    table = table[(table.difference != "") & (table.ketamine_mean != "")]
    assert len(table) >= 10
    away = []
    for row in table.to_dict("records"):
        columns = ("difference", "ketamine_mean", "control_mean")
        difference, ketamine, control = (float(row[c]) for c in columns)
        if abs(difference - (ketamine - control)) > 1.5 * 10.0 ** -decimals(row, *columns) + 1e-9:
            away.append(row["trial"])
    assert away == ["NIMH MOA", "NIMH MOA"]
    notes = bd.load("ketamine_outcomes").attrs["inconsistencies"]
    assert "NIMH MOA: the difference is of those with both scores, the means are of all with a score" in " ".join(notes)


def test_intervals_hold_their_differences_and_agree_with_the_standard_errors():
    """Half an interval is 1.96 to 2.13 (16 pairs) standard errors, beyond the rounding of its ends."""
    table = as_printed()
    table = table[table.lower != ""]
    assert len(table) == 6
    for row in table.to_dict("records"):
        lower, difference, upper, se = (float(row[c]) for c in ("lower", "difference", "upper", "se"))
        rounding = 0.5 * 10.0 ** -decimals(row, "lower", "upper")
        half = (upper - lower) / 2
        assert lower < difference < upper
        assert (half + rounding) / se >= stats.norm.ppf(0.975), row["trial"]
        assert (half - rounding) / se <= stats.t.ppf(0.975, 15), row["trial"]


# The smaller tables are part of it.


@pytest.mark.parametrize("name", ["ketamine_trials", "ketamine_responders"])
def test_the_smaller_tables_hold_the_same_numbers(outcomes, name):
    shared = ["year", "design", "control", "diagnosis", "ketamine_responders", "control_responders"]
    shared += {
        "ketamine_trials": ["ketamine_n", "control_n", "scale", "outcome", "difference", "lower", "upper", "se"]
        + [f"{arm}_{what}" for arm in ARMS for what in ("mean", "sd")],
        "ketamine_responders": [],
    }[name]
    for row in bd.load(name).to_dict("records"):
        found = outcomes[(outcomes.trial == row["trial"]) & (outcomes.time_h == row["time_h"])].iloc[0]
        for column in shared:
            if not pd.isna(row[column]):
                assert found[column] == row[column], (row["trial"], column)
        if name == "ketamine_responders":
            assert (found.response_ketamine_n, found.response_control_n) == (row["ketamine_n"], row["control_n"])


# Derived numbers, trial by trial.


def counts_of(percent, n):
    """Return the whole numbers of n people that round to a percentage as printed."""
    digits = len(percent.partition(".")[2])
    return [count for count in range(n + 1) if f"{100 * count / n:.{digits}f}" == percent]


def test_counts_from_percentages_are_the_only_whole_numbers_that_fit(outcomes):
    """Su 2017 prints three percentages and 71 people; Hu 2016 four percentages and 27 people."""
    found = [
        (a, b, 71 - a - b, *counts)
        for a in range(1, 70)
        for b in range(1, 71 - a)
        if all(counts := (counts_of("45.8", a), counts_of("39.1", b), counts_of("12.5", 71 - a - b)))
    ]
    assert found == [(24, 23, 24, [11], [9], [3])]
    high, low = (row_of(outcomes, "Su 2017", 96, dose) for dose in ("0.5 mg/kg", "0.2 mg/kg"))
    assert (high.response_ketamine_n, low.response_ketamine_n, high.response_control_n) == found[0][:3]
    assert (high.ketamine_responders, low.ketamine_responders, high.control_responders) == (11, 9, 3)

    hu = row_of(outcomes, "Hu 2016", 672)
    assert (counts_of("92.3", 13), counts_of("76.9", 13)) == ([hu.ketamine_responders], [hu.ketamine_remitters])
    assert (counts_of("57.1", 14), counts_of("14.3", 14)) == ([hu.control_responders], [hu.control_remitters])

    dwyer = row_of(outcomes, "Dwyer 2021", 72)
    assert (counts_of("76", 17), counts_of("35", 17)) == ([dwyer.ketamine_responders], [dwyer.control_responders])


def test_su_2023_counts_give_the_printed_percentages_and_p(outcomes):
    row = row_of(outcomes, "Su 2023", 72)
    k, c, n = row.ketamine_responders, row.control_responders, 42
    assert (f"{100 * k / n:.1f}", f"{100 * c / n:.1f}") == ("35.7", "11.9")
    assert f"{stats.fisher_exact([[k, n - k], [c, n - c]]).pvalue:.3f}" == "0.020"


def test_dwyer_intervals_follow_from_sixteen_pairs(outcomes):
    row = row_of(outcomes, "Dwyer 2021", 24)
    assert round(15.08 / np.sqrt(16), 3) == row.se
    half = stats.t.ppf(0.975, 15) * row.se
    np.testing.assert_allclose([row.lower, row.upper], [row.difference - half, row.difference + half], atol=0.01)
    for arm, printed in (("ketamine", (10.51, 20.37)), ("control", (18.21, 30.04))):
        half = 1.96 * row[f"{arm}_sd"] / np.sqrt(16)
        np.testing.assert_allclose(printed, row[f"{arm}_mean"] + np.array([-half, half]), atol=0.01)


def test_grunebaum_and_price_intervals_give_their_standard_error_and_t(outcomes):
    row = row_of(outcomes, "Grunebaum 2018", 24)
    assert round((row.upper - row.lower) / 3.92, 3) == row.se
    estimate, lower, upper, t = (
        float(x) for x in re.findall(r"-\d\.\d\d", row_of(outcomes, "Price ASAT 2022", 24).derivation)
    )
    assert abs(estimate / ((upper - lower) / 3.92) - t) < 0.05  # the interval is printed to two decimals


def test_differences_without_an_interval_have_their_standard_error_from_the_arms(outcomes):
    table = outcomes[outcomes.trial.isin(["Lii 2023", "NIMH MOA, first period"])]
    variance = sum(table[f"{arm}_sd"] ** 2 / table[f"{arm}_n"] for arm in ARMS)
    assert len(table) == 8
    np.testing.assert_allclose(table.se, np.sqrt(variance), atol=0.0025)  # sds of two decimals


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("day", [2, 10])
def test_nimh_rows_equal_the_individual_data(outcomes, day, first):
    if not INDIVIDUAL.is_file():
        pytest.skip("no individual data beside the repository")  # real patients are not part of it
    people = pd.read_csv(INDIVIDUAL).query("group == 'MDD'")
    baseline = people[people.day == 0].set_index("id").madrs
    row = row_of(outcomes, "NIMH MOA, first period" if first else "NIMH MOA", 24 * day)
    chosen = people[(people.day == day) & ((people.period == 1) | (not first))].dropna(subset=["madrs"])
    for treatment, arm in (("ketamine", "ketamine"), ("placebo", "control")):
        score = chosen[chosen.treatment == treatment].set_index("id").madrs
        before = baseline[score.index]
        assert len(score) == row[f"{arm}_n"] == row[f"response_{arm}_n"]
        printed = row[[f"{arm}_{what}" for what in ("mean", "sd", "baseline_mean", "baseline_sd")]].astype(float)
        np.testing.assert_allclose(printed, [score.mean(), score.std(), before.mean(), before.std()], atol=0.00501)
        assert (score <= before / 2).sum() == row[f"{arm}_responders"]
        assert (score < 10).sum() == row[f"{arm}_remitters"]
    if not first:
        scores = chosen.pivot_table(index="id", columns="treatment", values="madrs")
        pairs = (scores.ketamine - scores.placebo).dropna()
        assert row.outcome == f"score at day {day} (paired n = {len(pairs)})"
        assert (round(pairs.mean(), 2), round(stats.sem(pairs), 3)) == (row.difference, row.se)


# Into a meta-analysis: data only, nothing is fitted.


def test_arm_means_of_parallel_trials_enter_a_meta_analysis(outcomes):
    table = outcomes[(outcomes.design == "parallel") & (outcomes.scale == "MADRS") & (outcomes.time_h <= 48)]
    table = table.dropna(subset=["ketamine_mean"]).sort_values("time_h").drop_duplicates("trial")
    columns = {f"{what}_{arm}": f"{ours}_{what}" for arm, ours in zip(("treated", "control"), ARMS, strict=True)
               for what in ("mean", "sd", "n")}  # fmt: skip
    priors = {"mu": bd.Prior("Normal", mu=0, sigma=10), "tau": bd.Prior("HalfNormal", sigma=5)}
    model = bd.Meta(
        measure="difference",
        units="MADRS points",
        input="means",
        study="trial",
        design="design",
        priors=priors,
        **columns,
    )
    data = model.prepare(table)
    assert list(data["study"].values) == ["Lii 2023", "NIMH MOA, first period"]
    np.testing.assert_allclose(data["effect"], table.difference, atol=0.011)
    np.testing.assert_allclose(data["se"], table.se, atol=0.0025)


def test_responders_of_parallel_trials_enter_a_meta_analysis_as_exact_counts(outcomes):
    table = outcomes[(outcomes.design == "parallel") & (outcomes.time_h <= 96) & (outcomes.dose == "0.5 mg/kg")]
    table = table.dropna(subset=["ketamine_responders"]).sort_values("time_h").drop_duplicates("trial")
    model = bd.Meta(
        measure="log-odds-ratio",
        input="counts",
        likelihood="binomial",
        study="trial",
        design="design",
        events_treated="ketamine_responders",
        n_treated="response_ketamine_n",
        events_control="control_responders",
        n_control="response_control_n",
    )
    data = model.prepare(table)
    assert list(data["study"].values) == ["Murrough 2013", "Lii 2023", "NIMH MOA, first period", "Su 2023", "Su 2017"]
    np.testing.assert_array_equal(data["events"].sel(arm="treated"), table.ketamine_responders)
    np.testing.assert_array_equal(data["n"].sel(arm="control"), table.response_control_n)
