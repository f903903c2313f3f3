"""Staging systems: the printed rules line by line, and intervals for what is missing against every completion.

Oracles: the printed tables, written out here as lookups; and enumeration, in which every missing cell takes every
value that it could have.
"""

import contextlib
import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.data.staging_systems import SEVERITIES, SYSTEMS, score_european

# ---- the rules as printed

POINTS_OF_DRUGS = {1: 1, 2: 1, 3: 2, 4: 2, 5: 3, 6: 3, 7: 4, 8: 4, 9: 4, 10: 4, 11: 5, 12: 5, 30: 5}
POINTS_OF_MONTHS = {0: 1, 6: 1, 12: 1, 13: 2, 24: 2, 25: 3, 60: 3}


def maudsley(months=6, severity="mild", failed=1, augmentation="no", ect="no"):
    return {"duration_months": months, "severity": severity, "failed_antidepressants": failed,
            "augmentation": augmentation, "ect": ect}  # fmt: skip


def scored(rows, **how):
    return bd.stage(pd.DataFrame(rows), **how)


def test_maudsley_points_are_those_of_the_printed_table():
    """Hägg 2020, Panel 1, and Fekadu 2018, Table 3: every line of the table, all others at their lowest."""
    for failed, points in POINTS_OF_DRUGS.items():
        assert scored([maudsley(failed=failed)], system="maudsley").score[0] == 1 + 2 + points
    for months, points in POINTS_OF_MONTHS.items():
        assert scored([maudsley(months=months)], system="maudsley").score[0] == points + 2 + 1
    for points, severity in enumerate(("subsyndromal", "mild", "moderate", "severe", "severe with psychosis"), 1):
        assert scored([maudsley(severity=severity)], system="maudsley").score[0] == 1 + points + 1
    assert scored([maudsley(augmentation="yes")], system="maudsley").score[0] == 5
    assert scored([maudsley(ect="yes")], system="maudsley").score[0] == 5


def test_maudsley_goes_from_3_to_15_in_three_bands():
    """The total's ends as printed, and the bands 3-6, 7-10, 11-15."""
    every = [
        maudsley(*values)
        for values in itertools.product((1, 20, 30), SEVERITIES, (1, 3, 5, 7, 11), ("no", "yes"), ("no", "yes"))
    ]
    found = scored(every, system="maudsley")
    assert (found.score.min(), found.score.max()) == (3, 15) == found.attrs["range"]
    bands = found.groupby("stage").score.agg(["min", "max"])
    assert bands.loc["mild"].tolist() == [3, 6]
    assert bands.loc["moderate"].tolist() == [7, 10]
    assert bands.loc["severe"].tolist() == [11, 15]


def test_a_month_between_12_and_13_is_the_second_duration():
    assert scored([maudsley(months=12.5)], system="maudsley").score[0] == 5


def test_maudsley_refuses_a_patient_without_a_failed_drug():
    with pytest.raises(BadInput, match="row 2 has no score by system = 'maudsley': no antidepressant failed"):
        scored([maudsley(), maudsley(failed=0)], system="maudsley")


def failures(classes=0, tca="no", maoi="no", ect="no"):
    return {"failed_classes": classes, "failed_tca": tca, "failed_maoi": maoi, "failed_ect": ect}


@pytest.mark.parametrize(
    ("patient", "strict", "highest"),
    [
        (failures(), "0", "0"),
        (failures(1), "I", "I"),
        (failures(2), "II", "II"),
        (failures(3), "II", "II"),  # three classes, no tricyclic among them
        (failures(3, tca="yes"), "III", "III"),
        (failures(2, tca="yes"), "II", "III"),  # the tricyclic was the second class
        (failures(1, tca="yes"), "I", "III"),
        (failures(4, tca="yes", maoi="yes"), "IV", "IV"),
        (failures(3, tca="yes", maoi="yes"), "III", "IV"),
        (failures(3, maoi="yes"), "II", "IV"),
        (failures(4, tca="yes", maoi="yes", ect="yes"), "V", "V"),
        # the trap that the source prints: electroconvulsive therapy failed, no monoamine oxidase inhibitor was taken
        (failures(2, ect="yes"), "II", "V"),
        (failures(3, tca="yes", ect="yes"), "III", "V"),
    ],
)
def test_thase_rush_stages_in_both_readings(patient, strict, highest):
    assert scored([patient], system="thase-rush").stage[0] == strict
    assert scored([patient], system="thase-rush", reading="highest").stage[0] == highest


def test_thase_rush_refuses_classes_that_contradict_the_drugs():
    with pytest.raises(BadInput, match="1 classes failed, which contradicts failed_tca = 1 and failed_maoi = 1"):
        scored([failures(1, tca="yes", maoi="yes")], system="thase-rush")


def test_mgh_points_are_those_of_the_printed_panel():
    """1 a failed trial, 0.5 augmentation, 0.5 optimisation, 3 electroconvulsive therapy."""
    columns = ["failed_trials", "augmentations", "optimisations", "ect"]
    rows = [(0, 0, 0, "no"), (1, 0, 0, "no"), (0, 1, 0, "no"), (0, 0, 1, "no"), (0, 0, 0, "yes"), (4, 2, 1, "yes")]
    found = bd.stage(pd.DataFrame(rows, columns=columns), system="mgh")
    assert found.score.tolist() == [0, 1, 0.5, 0.5, 3, 8.5]
    assert "stage" not in found


@pytest.mark.parametrize(
    ("trials", "weeks", "low", "high"),
    [
        (1, 40, 0, 0), (2, 11.9, 0, 0), (2, 12, 1, 1), (2, 16, 1, 1), (2, 17, 1, 2), (2, 18, 2, 2), (2, 23, 2, 2),
        (3, 24, 2, 3), (3, 25, 3, 3), (4, 30, 3, 4), (4, 32, 3, 4), (4, 33, 4, 4), (4, 36, 4, 5), (4, 40, 4, 5),
        (5, 41, 5, 5), (5, 52, 5, 5), (6, 53, 6, 6),
    ],
)  # fmt: skip
def test_european_stages_are_the_printed_ranges(trials, weeks, low, high):
    """Where printed ranges overlap, or leave a gap, both stages are possible."""
    found = scored([{"failed_trials": trials, "failed_weeks": weeks}], system="european")
    assert (found.lowest[0], found.highest[0]) == (low, high)
    assert math.isnan(found.score[0]) == (low < high)


def test_gsrd_is_22_on_the_madrs_after_two_trials():
    rows = pd.DataFrame({"failed_trials": [1, 2, 2, 5], "madrs": [40, 21, 22, 60]})
    assert bd.stage(rows, system="gsrd").stage.tolist() == [
        "not resistant", "not resistant", "resistant", "resistant",
    ]  # fmt: skip


POINTS = pd.DataFrame(
    {"item": ["work", "work", "work", "anxiety", "anxiety"], "level": ["none", "some", "much", "no", "yes"],
     "points": [0, 1.5, 3, 0, 1]}
)  # fmt: skip


def test_dm_trd_adds_up_the_points_that_are_given():
    rows = pd.DataFrame({"work": ["some", "Much", None], "anxiety": ["yes", "no", "yes"]})
    found = bd.stage(rows, system="dm-trd", points=POINTS)
    assert found.lowest.tolist() == [2.5, 3, 1]
    assert found.highest.tolist() == [2.5, 3, 4]
    assert found.attrs["range"] == (0, 4)
    with pytest.raises(BadInput, match="could not be verified"):
        bd.stage(rows, system="dm-trd")


# ---- what is missing is an interval: every completion's score, and no wider

FINER = {  # values that an item could have, many more than the package tries
    "duration_months": [0, 3, 12, 12.5, 13, 20, 24, 24.5, 36, 200], "severity": list(SEVERITIES),
    "failed_antidepressants": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 40], "augmentation": ["no", "yes"],
    "ect": ["no", "yes"], "failed_classes": [0, 1, 2, 3, 4, 5], "failed_tca": ["no", "yes"],
    "failed_maoi": ["no", "yes"], "failed_ect": ["no", "yes"], "failed_trials": [1, 2, 3, 9],
    "failed_weeks": [0, 11, 12, 16, 17, 18, 24, 25, 30, 34, 36, 40, 44, 52, 53, 90], "madrs": [0, 10, 21, 22, 23, 60],
}  # fmt: skip


def spans_of(completions, **how):
    """The interval of every completion that can be scored."""
    try:
        found = bd.stage(completions, **how)
    except BadInput:  # a combination that contradicts itself, or a scale that begins at one
        if len(completions) == 1:
            return []
        half = len(completions) // 2
        return [*spans_of(completions.iloc[:half], **how), *spans_of(completions.iloc[half:], **how)]
    return list(zip(found.lowest, found.highest, strict=True))


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(data=st.data(), system=st.sampled_from(["maudsley", "thase-rush", "european", "gsrd"]))
def test_a_missing_items_interval_is_the_range_of_every_completions_score(data, system):
    names = [item.name for item in SYSTEMS[system].items]
    patient = {name: data.draw(st.sampled_from(FINER[name]), label=name) for name in names} | {"of": "p"}
    gone = data.draw(st.sets(st.sampled_from(names), max_size=2), label="missing")
    completions = [
        patient | dict(zip(sorted(gone), values, strict=True))
        for values in itertools.product(*(FINER[name] for name in sorted(gone)))
    ]
    spans = spans_of(pd.DataFrame(completions), system=system)
    incomplete = pd.DataFrame([patient]).astype(object)
    incomplete[sorted(gone)] = None
    if not spans:
        with pytest.raises(BadInput):
            bd.stage(incomplete, system=system)
        return
    found = bd.stage(incomplete, system=system)
    low, high = np.transpose(spans)
    assert (found.lowest[0], found.highest[0]) == (low.min(), high.max())
    assert found.missing[0] == ", ".join(name for name in names if name in gone)


def test_missing_counts_of_a_scale_without_an_upper_end_have_none():
    rows = pd.DataFrame({"failed_trials": [None, 2], "augmentations": [1, 1], "optimisations": [0, 0], "ect": "yes"})
    found = bd.stage(rows, system="mgh")
    assert found.lowest.tolist() == [3.5, 5.5]
    assert found.highest.tolist() == [math.inf, 5.5]


# ---- treatment trials

COLUMNS = ("subject", "drug", "class", "weeks", "adequate", "response", "augmentation", "optimisation", "ect")


def history(*trials):
    return pd.DataFrame(trials, columns=COLUMNS).assign(duration_months=30, severity="severe", madrs=30)


LONG = history(
    ("p1", "sertraline", "SSRI", 8, "yes", "no", "no", "yes", "no"),
    ("p1", "Sertraline", "SSRI", 10, "yes", "no", "yes", "no", "no"),  # the same drug again: one drug, two trials
    ("p1", "imipramine", "tricyclic", 4, "yes", "no", "no", "no", "no"),  # under six weeks
    ("p1", "mirtazapine", "other", 12, "no", "no", "no", "no", "no"),  # not adequate
    ("p1", "venlafaxine", "SNRI", 9, "yes", "yes", "no", "no", "no"),  # response
    ("p1", None, None, 4, "yes", "no", "no", "no", "bilateral"),
)


def test_counts_follow_from_trials():
    """By hand: 2 drugs failed (3 trials, 2 of at least six weeks, 22 weeks in all), of 2 classes with a tricyclic."""
    of = {system: bd.stage(LONG, system=system, rows="trials") for system in SYSTEMS}
    assert of["maudsley"].score[0] == 3 + 4 + 1 + 1 + 1
    assert of["mgh"].score[0] == 2 + 0.5 + 0.5 + 3
    assert of["thase-rush"].stage[0] == "II"
    assert bd.stage(LONG, system="thase-rush", rows="trials", reading="highest").stage[0] == "V"
    assert of["european"].stage[0] == "TRD2"
    assert of["gsrd"].stage[0] == "resistant"
    assert list(of["mgh"].subject) == ["p1"]


CHOICES = {
    "drug": ["a", "b", "new"], "class": ["SSRI", "SNRI", "TCA", "MAOI", "other"], "adequate": ["yes", "no"],
    "response": ["yes", "no"], "augmentation": ["yes", "no"], "optimisation": ["yes", "no"],
    "ect": ["no", "unilateral", "bilateral"], "weeks": [0, 5, 6, 12, 30, 80],
}  # fmt: skip
USED = {
    "maudsley": ("drug", "adequate", "response", "augmentation", "ect"), "thase-rush": ("class", "adequate",
    "response", "ect"), "mgh": ("adequate", "response", "augmentation", "optimisation", "ect"),
    "european": ("weeks", "adequate", "response", "ect"), "gsrd": ("adequate", "response", "ect"),
}  # fmt: skip


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(data=st.data(), system=st.sampled_from(sorted(USED)), reading=st.sampled_from(["strict", "highest"]))
def test_missing_cells_of_trials_give_the_range_of_every_completion(data, system, reading):
    how = {"system": system, "rows": "trials"} | ({"reading": reading} if system == "thase-rush" else {})
    draw = {word: st.sampled_from(values) for word, values in CHOICES.items()}
    draw["drug"] = st.sampled_from(["a", "b"])
    trials = [data.draw(st.fixed_dictionaries(draw), label="trial") | {"subject": "p"} for _ in range(3)]
    table = pd.DataFrame(trials).assign(duration_months=6, severity="mild", madrs=data.draw(st.sampled_from([21, 22])))
    cells = [(row, word) for row in range(3) for word in USED[system]]
    gone = sorted(data.draw(st.sets(st.sampled_from(cells), max_size=3), label="missing"))
    completions = []
    for k, values in enumerate(itertools.product(*(CHOICES[word] for _, word in gone))):
        complete = table.astype(object).assign(subject=f"p{k}")
        for (row, word), value in zip(gone, values, strict=True):
            complete.loc[row, word] = f"new {row}" if value == "new" else value
        completions.append(complete)
    spans = []
    try:
        found = bd.stage(pd.concat(completions, ignore_index=True), **how)
        spans = list(zip(found.lowest, found.highest, strict=True))
    except BadInput:
        for complete in completions:
            with contextlib.suppress(BadInput):
                found = bd.stage(complete, **how)
                spans.append((found.lowest[0], found.highest[0]))
    incomplete = table.astype(object)
    for row, word in gone:
        incomplete.loc[row, word] = None
    if not spans:
        with pytest.raises(BadInput, match="no score"):
            bd.stage(incomplete, **how)
        return
    found = bd.stage(incomplete, **how)
    low, high = np.transpose(spans)
    assert (found.lowest[0], found.highest[0]) == (low.min(), high.max())


# ---- what is refused


@pytest.mark.parametrize(
    ("change", "how", "said"),
    [
        ({}, {"system": "maudsly"}, "did you mean 'maudsley'"),
        ({}, {"system": "maudsley", "reading": "strict"}, "belongs to system = 'thase-rush'"),
        ({}, {"system": "maudsley", "points": POINTS}, "points belong to system = 'dm-trd'"),
        ({}, {"system": "maudsley", "rows": "people"}, "write 'patients' or 'trials'"),
        ({}, {"system": "maudsley", "columns": {"etc": "ect"}}, "columns names 'etc'"),
        ({"severity": "sever"}, {"system": "maudsley"}, "column 'severity' (severity at baseline), row 1 is 'sever'"),
        ({"ect": "perhaps"}, {"system": "maudsley"}, "where yes or no is needed"),
        ({"failed_antidepressants": 2.5}, {"system": "maudsley"}, "where a whole number of at least 0 is needed"),
        ({"duration_months": -1}, {"system": "maudsley"}, "where a number of at least 0 is needed"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(change, how, said):
    with pytest.raises(BadInput, match=r".") as problem:
        bd.stage(pd.DataFrame([maudsley() | change]), **how)
    assert said in str(problem.value)


def test_a_missing_column_is_named_with_what_would_be_scored_instead():
    rows = pd.DataFrame([maudsley() | failures(2)]).drop(columns="severity")
    with pytest.raises(BadInput) as problem:
        bd.stage(rows, system="maudsley")
    said = str(problem.value)
    assert "column 'severity' (severity at baseline) is not in the table" in said
    assert "add it empty" in said
    assert "system = 'thase-rush', whose columns are all there" in said
    # both remedies work
    found = bd.stage(rows.assign(severity=None), system="maudsley")
    assert (found.lowest[0], found.highest[0]) == (3, 7)
    assert bd.stage(rows, system="thase-rush").stage[0] == "II"


def test_trials_without_a_column_are_told_what_would_be_scored_instead():
    rows = LONG.drop(columns="drug")
    with pytest.raises(BadInput, match="or use system = 'thase-rush', whose columns are all there") as problem:
        bd.stage(rows, system="maudsley", rows="trials")
    assert "column 'drug' (drug of the treatment trial) is not in the table" in str(problem.value)
    assert bd.stage(rows, system="thase-rush", rows="trials").stage[0] == "II"
    # added empty, the failed trials may be of one drug or of several
    found = bd.stage(rows.assign(drug=None), system="maudsley", rows="trials")
    assert found.lowest[0] < found.highest[0]


def test_a_scale_that_is_longer_than_its_range_is_refused():
    with pytest.raises(BadInput, match="from 0 to 60"):
        bd.stage(pd.DataFrame({"failed_trials": [2], "madrs": [61]}), system="gsrd")


def test_columns_may_be_called_otherwise_and_patients_are_kept():
    rows = pd.DataFrame([maudsley() | {"id": "x"}, maudsley(failed=4) | {"id": "y"}]).rename(columns={"ect": "ECT"})
    found = bd.stage(rows, system="maudsley", columns={"ect": "ECT"}, subject="id")
    assert list(found.columns) == ["id", "lowest", "highest", "score", "stage", "missing"]
    assert found.set_index("id").score.to_dict() == {"x": 4, "y": 5}
    with pytest.raises(BadInput, match="rows = 'trials'"):
        bd.stage(rows.assign(id="x"), system="maudsley", columns={"ect": "ECT"}, subject="id")


def test_too_many_missing_cells_are_refused_rather_than_followed_forever():
    rows = pd.DataFrame({"subject": "p", "drug": [f"d{k}" for k in range(30)], "adequate": None, "response": "no",
                         "augmentation": "no", "ect": "no", "duration_months": 3, "severity": "mild"})  # fmt: skip
    with pytest.raises(BadInput, match="patient 'p' has 30 treatment trials with missing cells"):
        bd.stage(rows, system="maudsley", rows="trials")


def test_the_ends_of_the_european_ranges_agree_with_the_printed_table():
    """Over a fine grid of weeks, the stages whose printed range holds them, or the neighbours of a gap."""
    printed = {1: (12, 16), 2: (18, 24), 3: (24, 32), 4: (30, 40), 5: (36, 52)}
    for weeks in np.arange(12, 52.01, 0.25):
        inside = [stage for stage, (first, last) in printed.items() if first <= weeks <= last]
        low, high = score_european({"failed_trials": 2, "failed_weeks": weeks})
        if inside:
            assert (low, high) == (min(inside), max(inside))
        else:
            assert printed[low][1] < weeks < printed[high][0]
            assert high == low + 1
