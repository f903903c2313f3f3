"""The shipped tables against the studies they were read from, and the arithmetic their metadata claims.

The studies' texts and the individual data are not in this repository: where the folder with them is not
beside it, those tests are skipped and the arithmetic alone is checked.
"""

import re
import tomllib
from importlib.resources import files
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bayesdep.data.errors import BadInput
from bayesdep.data.published import list_datasets, load, table_file

SHARED = Path(__file__).resolve().parents[2] / "shared"
SHIPPED = files("bayesdep.data") / "published"
NAMES = sorted(f.name.removesuffix(".csv") for f in SHIPPED.iterdir() if f.name.endswith(".csv"))

unhurried = settings(deadline=None, max_examples=50)


def shared_file(pattern):
    """Return the one file beside the repository that matches, or skip."""
    found = sorted(SHARED.glob(pattern))
    if not found:
        pytest.skip(f"no {pattern} beside the repository: the studies' texts and data are not part of it")
    assert len(found) == 1
    return found[0]


def study_text(number):
    """Return a study's text on one line."""
    return " ".join(shared_file(f"seeds/{number}_*.txt").read_text(encoding="utf-8").split())


def notes(name):
    return " ".join(load(name).attrs["inconsistencies"])


# Every table has its source.


def test_there_are_published_tables():
    assert len(NAMES) >= 8


@pytest.mark.parametrize("name", NAMES)
def test_every_table_says_what_it_is_and_where_it_was_read(name):
    about = tomllib.loads((SHIPPED / f"{name}.toml").read_text(encoding="utf-8"))
    assert set(about) == {"title", "citation", "place", "inconsistencies", "units"}
    assert all(about[key].strip() for key in ("title", "citation", "place"))
    assert isinstance(about["inconsistencies"], list)
    assert all(isinstance(line, str) and line.endswith(".") for line in about["inconsistencies"])


@pytest.mark.parametrize("name", NAMES)
def test_every_column_and_no_other_has_units(name):
    table = load(name)
    assert list(table.attrs["units"]) == list(table.columns)
    assert all(text.strip() for text in table.attrs["units"].values())


def test_no_metadata_without_a_table():
    assert sorted(f.name.removesuffix(".toml") for f in SHIPPED.iterdir() if f.name.endswith(".toml")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_load_returns_the_file_with_its_metadata(name):
    table = load(name)
    pd.testing.assert_frame_equal(table, pd.read_csv(SHIPPED / f"{name}.csv"))
    assert table.attrs["source"] == f"published:{name}"
    assert table.attrs["synthetic"] is False
    assert table_file(name).is_file()


def test_changing_a_loaded_table_does_not_change_the_next_one():
    table = load("raison2013_responders")
    table.loc[0, "responders"] = 0
    table.attrs["units"]["responders"] = "changed"
    fresh = load("raison2013_responders")
    assert fresh.responders[0] == 8
    assert fresh.attrs["units"]["responders"] != "changed"


def test_datasets_lists_every_table_with_its_rows_and_citation():
    listed = list_datasets()
    assert list(listed.columns) == ["name", "rows", "title", "citation"]
    assert list(listed.name) == NAMES
    for row in listed.itertuples():
        table = load(row.name)
        assert (row.rows, row.title, row.citation) == (
            len(table),
            table.attrs["title"],
            table.attrs["citation"],
        )


def test_unknown_table_suggests_the_nearest():
    with pytest.raises(BadInput, match=r"no published table 'kiraly_table2'; did you mean 'kiraly2017_table2'\?"):
        load("kiraly_table2")


# Kiraly 2017.


def plain(analyte):
    """Spell Greek letters out and drop spaces."""
    greek = {"α": "alpha", "β": "beta", "γ": "gamma"}
    analyte = re.sub(r"\$\s*\\(\w+)\s*\$", r"\1", analyte)
    return "".join(greek.get(letter, letter) for letter in analyte if not letter.isspace())


def printed_table2():
    text = shared_file("seeds/000_*.txt").read_text(encoding="utf-8")
    after = text[text.index("**Table 2.** Values of cytokines") :]
    number = r"(-?[\d.]+)"
    row = re.compile(
        rf"^([^\t\n]+)\t{number} \({number}\)\t{number} \({number}\)\t{number}\t{number}\**$", re.MULTILINE
    )
    return {plain(analyte): [float(x) for x in values] for analyte, *values in row.findall(after)}


def test_published_table2_equals_the_study_text():
    printed = printed_table2()
    table = load("kiraly2017_table2")
    columns = ["hc_mean", "hc_sem", "trd_mean", "trd_sem", "mean_difference", "p_value"]
    shipped = {plain(row.analyte): [getattr(row, c) for c in columns] for row in table.itertuples()}
    assert len(printed) == 41
    assert list(shipped) == list(printed)
    assert shipped == printed


def test_table2_group_sizes_are_those_of_table1():
    sizes = re.search(r"Participants, <i>n</i> \(%\) (\d+) \(44%\) (\d+) \(56%\)", study_text("000")).groups()
    table = load("kiraly2017_table2")
    assert (set(table.hc_n), set(table.trd_n)) == ({int(sizes[0])}, {int(sizes[1])})


def test_analytes_mostly_below_the_limit_are_those_the_methods_name():
    named = re.search(r"Thirteen analytes \((.+?)\) had >50% of values below the limit of detection", study_text("000"))
    methods = {plain(name).lower() for name in re.split(r", | and ", named.group(1))}
    table = load("kiraly2017_table2")
    shipped = {plain(name).lower() for name in table.analyte[table.majority_below_lod]}
    assert len(shipped) == 13
    assert {"ifnalpha" if name == "ifn2a" else name for name in shipped} == methods  # Table 2's name for it is IFN2a


def test_a_priori_analytes_are_the_four_the_introduction_names():
    assert r"(that is, IL-6, IL-1 $\alpha$ / $\beta$ and TNF- $\alpha$ )" in study_text("000")
    table = load("kiraly2017_table2")
    assert set(table.analyte[table.a_priori]) == {"IL-6", "IL-1alpha", "IL-1beta", "TNF-alpha"}


def test_eight_printed_differences_are_off_by_one_hundredth_and_the_others_by_none():
    table = load("kiraly2017_table2")
    cents = (table[["trd_mean", "hc_mean", "mean_difference"]] * 100).round().astype(int)
    off = (cents.trd_mean - cents.hc_mean - cents.mean_difference).abs()
    assert dict(off.value_counts()) == {0: 33, 1: 8}
    assert "Eight printed mean differences" in notes("kiraly2017_table2")


def test_table2_notes_quote_the_discussion_and_the_table():
    text = study_text("000")
    assert "HC = 0.83 pg ml" in text
    assert "TRD = 2.42 pg ml" in text
    il6 = load("kiraly2017_table2").set_index("analyte").loc["IL-6"]
    assert (il6.hc_mean, il6.trd_mean) == (5.30, 6.99)
    assert "0.83 (controls) and 2.42 pg/mL (patients); the arithmetic means here are 5.30 and 6.99" in notes(
        "kiraly2017_table2"
    )


@given(st.lists(st.floats(0, 1e6), min_size=26, max_size=26).filter(any))
@unhurried
def test_standard_error_of_non_negative_data_is_below_the_mean_by_what_stands_beside_the_largest_value(
    values,
):
    """mean^2 - sem^2 is the sum of x_i x_j over all i != j, divided by n (n - 1): at least 2 max x others."""
    values = np.array(values) / max(values)
    n, others = len(values), np.sort(values)[:-1].sum()
    gap = values.mean() ** 2 - stats.sem(values) ** 2
    assert gap >= 2 * others / (n * (n - 1)) - 1e-15  # rounding of terms of at most 1


def test_standard_error_equals_the_mean_when_25_of_26_values_are_zero():
    values = np.zeros(26)
    values[3] = 71.76
    assert stats.sem(values) == pytest.approx(values.mean(), rel=1e-12)
    assert round(values.mean(), 2) == load("kiraly2017_table2").set_index("analyte").hc_mean["IL-9"]


def test_only_il9_in_controls_has_a_standard_error_equal_to_its_mean():
    table = load("kiraly2017_table2")
    assert list(table.analyte[table.hc_sem == table.hc_mean]) == ["IL-9"]
    assert (table.hc_sem <= table.hc_mean).all()  # no non-negative data have more
    assert (table.trd_sem < table.trd_mean).all()


def test_mdc_difference_is_one_and_a_half_standard_errors_although_p_is_071():
    mdc = load("kiraly2017_table2").set_index("analyte").loc["MDC"]
    z = mdc.mean_difference / np.hypot(mdc.hc_sem, mdc.trd_sem)
    assert round(z, 2) == 1.53
    assert round(2 * stats.norm.sf(z), 2) == 0.13
    assert round(2 * stats.t.sf(z, 57), 2) == 0.13
    assert mdc.p_value == 0.71
    assert "1.53 standard errors (P about 0.13)" in notes("kiraly2017_table2")


def test_fgf2_counts_are_the_only_ones_up_to_35_people_that_give_the_printed_accuracy():
    def agree(below, responders, false_positives, others):
        sensitivity, one_minus_specificity = below / responders, false_positives / others
        return (
            round(100 * sensitivity) == 79
            and round(100 * (1 - one_minus_specificity)) == 92
            and round(sensitivity / one_minus_specificity, 2) == 9.47
        )

    found = [
        (below, responders, false_positives, others)
        for responders, others in product(range(1, 35), repeat=2)
        if responders + others <= 35
        for below, false_positives in product(range(responders + 1), range(1, others + 1))
        if agree(below, responders, false_positives, others)
    ]
    assert found == [(15, 19, 1, 12)]
    table = load("kiraly2017_fgf2_roc").set_index("group")
    yes, no = table.loc["responder"], table.loc["non-responder"]
    assert (yes.below_34_pg_per_mL, yes.n, no.below_34_pg_per_mL, no.n) == found[0]


def test_fgf2_accuracy_and_cutoff_are_those_of_the_study_text():
    text = study_text("000")
    assert (
        "the likelihood ratio of treatment response was 9.47 with a sensitivity of 79% and a specificity of 92%" in text
    )
    assert "transformed value of 1.536)" in text
    assert round(10**1.536, 2) == 34.36
    assert "1.536, which is 34.36 pg/mL" in notes("kiraly2017_fgf2_roc")


def test_fgf2_correlation_has_its_printed_p_with_31_patients_only():
    text = study_text("000")
    assert "(Pearson's $r = -0.565$ ; $P = 0.0009$ )" in text
    t = {n: 0.565 * np.sqrt((n - 2) / (1 - 0.565**2)) for n in range(20, 40)}
    assert [n for n, value in t.items() if round(2 * stats.t.sf(value, n - 2), 4) == 0.0009] == [31]


def test_fgf2_area_under_the_curve_has_its_printed_p_with_19_and_12_but_not_with_20_and_13():
    """Mann-Whitney's normal P of the printed area, 0.86, anywhere it can have been rounded from."""

    def minimum_and_maximum_p(responders, others):
        spread = np.sqrt((responders + others + 1) / (12 * responders * others))
        return 2 * stats.norm.sf((np.array([0.865, 0.855]) - 0.5) / spread)

    low, high = minimum_and_maximum_p(19, 12)
    assert low < 0.00075 < 0.00085 < high
    assert minimum_and_maximum_p(20, 13)[1] < 0.00075


# Raison 2013.


def test_raison_responders_equal_the_sentences_of_the_study():
    text = study_text("002")
    found = re.findall(r"(\d+)% \((\d+) of (\d+) participants\)", text)
    percent, responders, n = np.array(found, int).T
    table = load("raison2013_responders")
    assert list(table.responders) == list(responders)
    assert list(table.n) == list(n)
    assert list((100 * table.responders / table.n).round().astype(int)) == list(percent)
    # the order in which the sentences name them
    assert re.search(
        r"greater than 5 mg/L, however, the treatment response rate was 62% .{,30} in the infliximab", text
    )
    assert re.search(r"5 mg/L or less, the treatment response rate was 41% .{,30} for the infliximab", text)
    assert list(table.subgroup) == ["hs-CRP > 5 mg/L"] * 2 + ["hs-CRP <= 5 mg/L"] * 2
    assert list(table.arm) == ["infliximab", "placebo"] * 2


def test_raison_counts_give_numbers_needed_of_355_and_626_and_rounded_percentages_the_printed_ones():
    risk = load("raison2013_responders").eval("responders / n").to_numpy()
    assert round(1 / (risk[0] - risk[1]), 2) == 3.55
    assert round(1 / (risk[3] - risk[2]), 2) == 6.26
    rounded = risk.round(2)
    assert round(1 / (rounded[0] - rounded[1]), 2) == 3.45
    assert round(1 / (rounded[3] - rounded[2]), 2) == 6.25
    assert "(3.45) and to harm (6.25) were computed from rounded percentages; these counts give 3.55 and 6.26" in notes(
        "raison2013_responders"
    )


def test_raison_text_prints_the_rounded_numbers_needed_and_the_wrong_n():
    text = study_text("002")
    assert "was 3.45 (as op" in text
    assert "was calculated as 6.25" in text
    assert "of 5 mg/L or less (n = 48) (B)" in text
    table = load("raison2013_responders")
    assert table.n[table.subgroup == "hs-CRP <= 5 mg/L"].sum() == 38
    assert list(table.groupby("arm").n.sum()) == [30, 30]
    assert list(table.groupby("arm").responders.sum()) == [15, 15]  # "50% for each group"
    assert "were 50% for each group" in text


# Price 2022.


def test_price_estimates_and_intervals_stand_in_the_study_text():
    text = study_text("004")
    table = pd.read_csv(SHIPPED / "price2022_effects.csv", dtype=str)
    for row in table.itertuples():
        interval = rf"{re.escape(row.estimate)} \({re.escape(row.lower)}, {re.escape(row.upper)}\)"
        p = (
            ""
            if pd.isna(row.p)
            else rf"\]?; ?p (?:unad- ?justed |unadjusted )?(?:= )?{re.escape(row.p).replace('<', '< ?')}"
        )
        assert re.search(interval + p, text), f"{row.estimand} at {row.timepoint}"


def test_price_notes_are_what_the_text_prints():
    text = study_text("004")
    assert "p unadjusted = 0.0004; p adjusted = 0.036" in text
    assert round(9 * 0.0004, 4) == 0.0036  # ten times less than printed
    assert "Of 37 moderators tested" in text
    assert "n = 232" in text
    assert "n = 217" in text


# Treatment-Resistant Depression Cohort in Europe, and ketamine after failed electroconvulsive therapy.


def test_the_cohorts_shares_add_up_and_are_what_the_review_rounds():
    """Each state before has shares of 100%, and so has everybody at month 12; the review prints them rounded."""
    table = load("trd_cohort_europe")
    totals = table.groupby(["before", "from_month"], dropna=False)["percent"].sum()
    np.testing.assert_allclose(totals, 100)
    percent = table.set_index(["before", "after", "from_month"])["percent"]
    text = study_text("003")
    for (before, after, month), printed in {
        ("no response", "no response", 0): "After 6 months, {:.0f}% of patients did not show a response",
        ("remission", "response | no response", 6): "{:.0f}% of patients who at months 6 achieved remission",
    }.items():
        # half to even would round 73.5 up to 74; the review has 73
        assert printed.format(np.floor(percent[before, after, month])) in text
    year = table[table["before"].isna()].set_index("after")["percent"]
    assert f"{year['remission']}% were remitted and {year['no response']:.0f}% showed no response" in text


def test_standard_errors_of_ketamine_by_ect_follow_from_the_printed_intervals():
    table = load("ketamine_ect_resistance")
    np.testing.assert_allclose(table["se"], (table["upper"] - table["lower"]) / (2 * stats.norm.ppf(0.975)), atol=5e-4)
    np.testing.assert_allclose((table["upper"] + table["lower"]) / 2, table["effect"], atol=0.0051)


# Ketamine trials.


@pytest.fixture
def trials():
    return load("ketamine_trials").set_index("trial")


def test_murrough_standard_error_comes_from_its_interval_and_its_counts_from_percentages(trials):
    row = trials.loc["Murrough 2013"]
    assert round((row.upper - row.lower) / 3.92, 3) == row.se
    assert (row.ketamine_responders, row.control_responders) == (round(0.64 * 47), round(0.28 * 25))
    assert (row.ketamine_n, row.control_n) == (47, 25)


def test_lapidus_standard_error_comes_from_t_and_gives_its_interval(trials):
    row = trials.loc["Lapidus 2014"]
    assert round(-row.difference / 4.39, 3) == row.se
    half_width = stats.t.ppf(0.975, row.ketamine_n - 1) * row.se
    # printed to one decimal, as is the difference
    np.testing.assert_allclose(
        [row.lower, row.upper], [row.difference - half_width, row.difference + half_width], atol=0.1
    )


def test_lii_difference_and_standard_error_come_from_means_standard_deviations_and_n(trials):
    row = trials.loc["Lii 2023"]
    assert round(row.ketamine_mean - row.control_mean, 1) == row.difference
    assert round(np.sqrt(7.6**2 / 20 + 10**2 / 19), 3) == row.se
    assert (row.ketamine_sd, row.ketamine_n, row.control_sd, row.control_n) == (7.6, 20, 10.0, 19)


def test_nimh_row_equals_the_individual_data(trials):
    """Day 2, major depression: 24 paired differences, their t interval, responders at half of baseline."""
    people = pd.read_csv(shared_file("data/nimh_ketamine_moa/ketamine_crossover_long.csv")).query("group == 'MDD'")
    day_2 = people[people.day == 2].pivot_table(index="id", columns="treatment", values="madrs")
    pairs = (day_2.ketamine - day_2.placebo).dropna()
    row = trials.loc["NIMH MOA"]
    assert (len(pairs), f"score at day 2 (paired n = {len(pairs)})") == (24, row.outcome)
    assert pairs.mean() == row.difference
    assert round(stats.sem(pairs), 3) == row.se
    interval = stats.t.interval(0.95, 23, pairs.mean(), stats.sem(pairs))
    assert [round(bound, 2) for bound in interval] == [row.lower, row.upper]
    baseline = people[people.day == 0].set_index("id").madrs
    for treatment, arm in (("ketamine", "ketamine"), ("placebo", "control")):
        scores = day_2[treatment].dropna()
        assert len(scores) == row[f"{arm}_n"]
        assert (scores <= baseline[scores.index] / 2).sum() == row[f"{arm}_responders"]


def test_trial_without_a_madrs_difference_has_no_standard_error_either(trials):
    assert list(trials.index[trials.se.isna()]) == ["Diazgranados 2010"]
    assert list(trials.index[trials.difference.isna()]) == ["Diazgranados 2010"]


def test_intervals_hold_their_estimates_and_ratios_are_central_on_the_log_scale():
    """A slip of the pen shows as an estimate away from the middle, beyond the rounding of all three."""
    table = pd.read_csv(SHIPPED / "ketamine_pooled.csv", dtype=str).dropna(subset=["lower"])
    for row in table.itertuples():
        printed = [row.estimate, row.lower, row.upper]
        values = np.array(printed, float)
        half = np.array([0.5 * 10.0 ** -len(text.partition(".")[2]) for text in printed])
        scale = np.log if "ratio" in row.quantity else np.positive
        centre = [scale(values[1:] + side * half[1:]).mean() for side in (-1, 1)]
        estimate = [scale(values[0] + side * half[0]) for side in (-1, 1)]
        assert values[1] < values[0] < values[2]
        assert centre[0] <= estimate[1] + 1e-12, row.review
        assert estimate[0] <= centre[1] + 1e-12, row.review


# The benchmarks.


def test_bcg_table_equals_the_reference_data_set():
    reference = pd.read_csv(shared_file("data/bcg/bcg.csv"))
    bcg = load("bcg_colditz1994")
    assert list(bcg.trial) == [
        f"{author} {year}" for author, year in zip(reference.author, reference.year, strict=True)
    ]
    assert bcg.trial.is_unique
    expected = pd.DataFrame(
        {
            "year": reference.year,
            "tb_vaccinated": reference.tpos,
            "n_vaccinated": reference.tpos + reference.tneg,
            "tb_control": reference.cpos,
            "n_control": reference.cpos + reference.cneg,
            "absolute_latitude": reference.ablat,
            "allocation": reference.alloc,
        }
    )
    pd.testing.assert_frame_equal(bcg.drop(columns="trial"), expected, check_like=True)


def test_eight_schools_equal_the_reference_sentence():
    sentence = " ".join(shared_file("data/bcg/README.md").read_text(encoding="utf-8").split())
    effects, errors = re.search(r"Eight schools .+? effects ([-\d, ]+) with SEs ([\d, ]+)\)", sentence).groups()
    table = load("eight_schools_rubin1981")
    assert list(table.effect) == [int(x) for x in effects.split(",")]
    assert list(table.se) == [int(x) for x in errors.split(",")]


@pytest.mark.parametrize(
    "name", ["kiraly2017_table2", "kiraly2017_fgf2_roc", "price2022_effects", "raison2013_responders"]
)
def test_shipped_table_equals_the_one_collected_from_the_studies(name):
    collected = pd.read_csv(shared_file(f"published/{name}.csv"))
    pd.testing.assert_frame_equal(load(name), collected)
