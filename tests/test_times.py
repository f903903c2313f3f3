"""Times are in the order of what their labels say, wherever their rows stand; anything else is asked for."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesdep as bd
from bayesdep.data.tables import as_frame
from bayesdep.data.times import number_names, order_of_column, order_of_times

CASES = Path(__file__).parents[1].parent / "shared" / "cases"

IN_ORDER = {
    "days": ["Day 0", "Day 3", "Day 14"],
    "before": ["day-7", "day0", "day7"],
    "with a true minus": ["Day \N{MINUS SIGN}7", "Day -1", "Day 0", "Day 7"],
    "hyphens": ["visit-1", "visit-2", "visit-10"],
    "one unit in two words": ["wk 4", "week12", "24 weeks"],
    "units": ["0", "4 h", "24 h", "Day 3", "week 2", "3 months"],
    "baseline": ["Baseline", "week 2", "week 12"],
    "pre-dose": ["pre-dose", "4h", "24h"],
    "visits": ["VIS1", "VIS2", "VIS10"],
    "numbers": ["-1", "0", "2.5", "10", "1e2"],
    "dates": ["20251231", "20260112", "20260202"],
    "iso dates": ["2025-12-31", "2026-01-12", "2026-02-02"],
    "datetimes": ["2026-01-12", "2026-01-12 08:30:00", "2026-01-12T23:00"],
    "months": ["2025-12", "2026-01", "2026-02"],
    "lengths": ["0 days", "0 days 04:00:00", "1 days"],
    "years": ["2019", "2020", "2021"],
}


@pytest.mark.parametrize("name", IN_ORDER)
def test_labels_are_ordered_by_what_they_say(name: str) -> None:
    """Every shuffle of the rows gives the order written above."""
    ordered = IN_ORDER[name]
    for seed in range(10):
        rows = ordered * 2
        random.Random(seed).shuffle(rows)
        times = order_of_times(rows)
        assert list(times.labels) == ordered
        assert times.values is not None
        assert np.all(np.diff(times.values) > 0)


def test_the_values_are_those_of_the_labels() -> None:
    """Calendar and clock, by hand."""
    assert order_of_times(["20260202", "20260112", "20260119"]).values == (0.0, 7.0, 21.0)
    assert order_of_times(["week 2", "Day 3", "6 h", "0"]).values == (0.0, 0.25, 3.0, 14.0)
    assert order_of_times(["12 weeks", "week 4"]).values == (4.0, 12.0)
    assert order_of_times(["12 weeks", "week 4"]).unit == "week"
    assert order_of_times(["VIS2", "VIS1"]).unit == ""


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["pre", "post"], "no order"),
        (["screening", "week 4"], "no order"),  # no one says when it was
        (["baseline", "2026-01-12"], "no order"),
        (["12.01.2026", "13.01.2026"], "no order"),  # day or month first?
        (["visit 1", "visit A"], "no order"),
        (["Day 3", "4"], "no order"),
        (["1st", "2nd"], "no order"),
        (["08:00", "22:00"], "no order"),  # before or after midnight
        (["1", "1.0", "2"], "one and the same"),
        (["week 4", "4 weeks"], "one and the same"),
        (["Day 7", "week 1"], "one and the same"),
        (["4 weeks", "1 month"], "one and the same"),
        (["baseline", "Day 0", "Day 7"], "one and the same"),
    ],
)
def test_what_has_no_order_is_refused_and_can_be_stated(labels: list[str], said: str) -> None:
    """The refusal's advice, an order stated, is taken."""
    with pytest.raises(bd.BadInput, match=said):
        order_of_times(labels)
    assert order_of_times(labels, order=labels[::-1]).labels == tuple(labels[::-1])
    if said == "no order":
        assert order_of_times(labels, labels[-1]).labels[0] == labels[-1]


def test_a_stated_baseline_comes_first_and_the_others_keep_their_order() -> None:
    """A washout before the baseline is not the baseline."""
    assert order_of_times(["Day 7", "Day -7", "Day 0"], "Day 0").labels == ("Day 0", "Day -7", "Day 7")
    with pytest.raises(bd.BadInput, match="did you mean 'Day 0'"):
        order_of_times(["Day 7", "Day 0"], "day 0 ")


def test_what_is_stated_must_name_every_time() -> None:
    """An order is one of all labels."""
    for order, said in ((["a"], "leaves out 'b'"), (["a", "b", "a"], "twice"), (["a", "b", "c"], "'c' is not in")):
        with pytest.raises(bd.BadInput, match=said):
            order_of_times(["a", "b"], order=order)


def test_a_table_can_state_the_order_itself() -> None:
    """An ordered categorical, of the labels it has, or attrs of a table; an order of other labels is none."""
    column = pd.Series(pd.Categorical(["post", "pre"], ["pre", "mid", "post"], ordered=True))
    frame = pd.DataFrame({"ordered": column, "not": column.cat.as_unordered(), "text": ["post", "pre"]})
    assert order_of_column(frame, "ordered") == ["pre", "post"]
    assert order_of_column(frame, "not") is None
    assert order_of_column(frame, "text") is None
    frame.attrs["order"] = {"text": ["pre", "mid", "post"], "not": ["pre"]}
    assert order_of_column(frame, "text") == ["pre", "post"]
    assert order_of_column(frame, "not") is None


def test_baseline_by_its_name_is_noted() -> None:
    """A word that is taken as zero is said."""
    assert "'pre-dose' is taken as time zero" in order_of_times(["pre-dose", "4h"]).note
    assert not order_of_times(["0", "4h"]).note


def test_numbers_are_written_alike() -> None:
    """Without a loss: 20260112 is not cut to six digits."""
    assert number_names(np.array(["2", "2.0", "02"])).tolist() == ["2"] * 3
    assert number_names(np.array(["20260112.0", "0.951"])).tolist() == ["20260112", "0.951"]
    assert number_names(np.array(["1", "week 2"])).tolist() == ["1", "week 2"]


@pytest.mark.parametrize("rows", ["newest first", "oldest first", "shuffled"])
def test_the_first_day_is_a_panels_baseline_however_the_rows_stand(rows: str) -> None:
    """The case: text times, newest first, made day 14 the baseline."""
    frame = pd.read_csv(CASES / "panel_times_newest_first.csv")
    order = {"newest first": frame, "oldest first": frame[::-1], "shuffled": frame.sample(frac=1, random_state=1)}[rows]
    model = bd.Cytokines(value="crp", analyte=None, subject="subject", group=None, time="time")
    data = model.prepare(order)
    assert data["time"].values.tolist() == ["Day 0", "Day 3", "Day 14"]
    assert data["later"].values.tolist() == ["Day 3", "Day 14"]


def test_a_panels_times_without_an_order_need_a_baseline() -> None:
    """And the advice works."""
    frame = pd.read_csv(CASES / "panel_times_newest_first.csv")
    frame["time"] = frame["time"].map({"Day 0": "before", "Day 3": "infusion", "Day 14": "end"})
    words: dict[str, Any] = {"value": "crp", "analyte": None, "subject": "subject", "group": None, "time": "time"}
    with pytest.raises(bd.BadInput, match="name the one that the others are compared with as baseline"):
        bd.Cytokines(**words).prepare(frame)
    assert bd.Cytokines(**words, baseline="before").prepare(frame)["time"].values[0] == "before"
    frame["time"] = frame["time"].replace("before", "Baseline").replace("infusion", "4 h").replace("end", "24 h")
    kept = as_frame(frame)
    assert bd.Cytokines(**words).prepare(kept)["time"].values.tolist() == ["Baseline", "4 h", "24 h"]


def crossover(days: list[object]) -> pd.DataFrame:
    """A synthetic AB/BA crossover of eight patients on two days."""
    rng = np.random.default_rng(1)
    rows = [
        {"subject": f"s{i}", "treatment": "ab"[(i + p) % 2], "period": p + 1, "day": day, "outcome": rng.normal(20, 5)}
        for i in range(8) for p in range(2) for day in days
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("days", "names"),
    [
        ([2, 10], ["2", "10"]),
        ([2.0, 10.5], ["2", "10.5"]),
        (["Day 2", "Day 10"], ["Day 2", "Day 10"]),
        ([20260112, 20260202], ["20260112", "20260202"]),
        ([pd.Timestamp("2026-01-12"), pd.Timestamp("2026-02-02")], ["2026-01-12", "2026-02-02"]),
    ],
)
def test_days_of_a_crossover_are_in_order(days: list[object], names: list[str]) -> None:
    """Numbers, labels and dates alike, however the rows stand; outcomes stay with their day."""
    frame = crossover(days)
    model = bd.Crossover(reference="a")
    plain = model.prepare(frame.assign(day=frame["day"].map({days[0]: 1, days[1]: 2})))
    for table in (frame, frame.sample(frac=1, random_state=2)):
        data = model.prepare(table)
        assert data["day"].values.tolist() == names
        subjects = list(plain["subject"].values)
        assert np.array_equal(data["outcome"].sel(subject=subjects).values, plain["outcome"].values)


def test_two_times_of_pooled_patients_are_in_order() -> None:
    """The change from the first to the second has its sign from the labels, not from the rows."""
    rng = np.random.default_rng(2)
    rows = [
        {"study": f"t{k}", "subject": f"s{i}", "arm": "ab"[i % 2], "time": time, "outcome": rng.normal()}
        for k in range(3) for i in range(8) for time in ("24 h", "week 1")
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    model = bd.PatientMeta(reference="a", time="time")
    for table in (frame, frame[::-1], frame.sample(frac=1, random_state=3)):
        assert model.prepare(table)["time"].values.tolist() == ["24 h", "week 1"]
    words = frame.assign(time=frame["time"].map({"24 h": "early", "week 1": "late"}))
    with pytest.raises(bd.BadInput, match="name them in their order in times"):
        model.prepare(words)
    named = bd.PatientMeta(reference="a", time="time", times=["early", "late"])
    assert named.prepare(words[::-1])["time"].values.tolist() == ["early", "late"]
