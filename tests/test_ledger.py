"""The ledger: what "agrees" means, for every kind of published number."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.inference.diagnostics import Gate
from bayesdep.inference.verdict import ModelVerdict
from bayesdep.reporting.console import print_ledger
from bayesdep.reporting.ledger import Published, ledger, ledger_in_words, refuse_unknown
from bayesdep.reporting.run_directory import Outcome


def summary(**changes):
    """One row of summarise: an estimand of 2.0 (1.0, 3.2) whose null is 0."""
    row = {
        **{"estimand": "effect", "mean": 2.1, "sd": 0.5, "median": 2.0, "lower": 1.0, "upper": 3.2},
        **{"level": 0.95, "prob_gt_0": 0.99, "units": "points", "null": 0.0, "prob_gt_null": 0.99},
        **{"interval": "", "description": "an effect"},
    }
    return pd.DataFrame([{**row, **changes}])


def judged(posterior=None, **row):
    """The ledger's one line for one published number."""
    rows = [Published(estimand="effect", source="A 2020, Table 1", **row)]
    return ledger(rows, summary() if posterior is None else posterior).iloc[0]


# Numbers.


@pytest.mark.parametrize(
    ("value", "verdict"), [(2.0, "yes"), (1.0, "yes"), (3.2, "yes"), (0.999, "no"), (3.201, "no"), (-2.0, "no")]
)
def test_number_agrees_when_it_is_inside_the_posterior_interval_ends_included(value, verdict):
    assert judged(value=value)["agrees"] == verdict


def test_number_with_an_interval_is_judged_by_the_number():
    """Its own interval is shown; that the two intervals overlap is not agreement."""
    line = judged(value=0.5, lower=0.0, upper=2.5)
    assert line["agrees"] == "no"
    assert line["published_as"] == "0.5 (0, 2.5)"


@pytest.mark.parametrize(
    ("lower", "upper", "verdict"),
    [
        *[(1.5, 2.5, "yes"), (2.0, 2.0, "yes"), (2.05, 9.0, "no"), (-9.0, 1.95, "no")],
        *[(1.5, None, "yes"), (2.05, None, "no"), (None, 2.5, "yes"), (None, 1.95, "no")],
    ],
)
def test_interval_alone_agrees_when_it_holds_the_posterior_median(lower, upper, verdict):
    assert judged(lower=lower, upper=upper)["agrees"] == verdict


def test_interval_alone_is_judged_by_the_statistic_the_row_names():
    assert judged(lower=2.05, upper=9.0, statistic="mean")["agrees"] == "yes"
    assert judged(lower=2.05, upper=9.0, statistic="mean")["posterior"] == 2.1
    assert judged(lower=2.05, upper=9.0)["posterior"] == 2.0


# Directions.


@pytest.mark.parametrize(
    ("above", "direction", "verdict"),
    [
        *[(0.95, "above", "yes"), (0.949, "above", "leans"), (0.501, "above", "leans"), (0.5, "above", "no")],
        *[(0.05, "below", "yes"), (0.051, "below", "leans"), (0.6, "below", "no"), (0.05, "above", "no")],
    ],
)
def test_direction_agrees_at_a_probability_of_95_percent_and_leans_above_one_half(above, direction, verdict):
    line = judged(summary(prob_gt_null=above), direction=direction, p=0.01)
    assert line["agrees"] == verdict
    assert line["prob"] == pytest.approx(above if direction == "above" else 1 - above)


def test_direction_is_about_the_null_not_about_zero():
    """A ratio is above zero for certain; whether it is above one is the question."""
    ratio = summary(null=1.0, prob_gt_0=1.0, prob_gt_null=0.3)
    line = judged(ratio, direction="above", p=0.04)
    assert line["agrees"] == "no"
    assert line["published_as"] == "> 1, P 0.04"


# Other scales.


@pytest.mark.parametrize("row", [{"value": 2.0}, {"value": 99.0}, {"direction": "above"}, {"lower": 1, "upper": 3}])
def test_number_on_another_scale_is_shown_and_not_judged(row):
    line = judged(scale="Hedges g", **row)
    assert line["agrees"] == "other scale"
    assert line["source"] == "A 2020, Table 1: Hedges g"


# Intervals through infinity: a number needed to treat whose risk difference may be either side of zero.

THROUGH = summary(mean=np.nan, sd=np.nan, median=8.0, lower=-12.0, upper=3.0, interval="harm 12.0 to ∞ to benefit 3.0")
ONE_SIDED = summary(mean=np.nan, sd=np.nan, median=5.0, lower=3.0, upper=12.0, interval="benefit 3.0 to 12.0")


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(3.0, "yes"), (3.45, "yes"), (1e6, "yes"), (-12.0, "yes"), (-50.0, "yes"), (2.9, "no"), (-11.9, "no")],
)
def test_interval_through_infinity_holds_what_lies_outside_its_bounds(value, verdict):
    assert judged(THROUGH, value=value)["agrees"] == verdict


@pytest.mark.parametrize(("value", "verdict"), [(3.45, "yes"), (12.1, "no"), (-50.0, "no"), (2.9, "no")])
def test_number_needed_to_treat_on_one_side_of_infinity_is_an_ordinary_interval(value, verdict):
    assert judged(ONE_SIDED, value=value)["agrees"] == verdict


def test_ordinary_interval_across_zero_is_not_taken_for_one_through_infinity():
    across = summary(median=0.1, lower=-1.0, upper=1.0)
    assert judged(across, value=0.0)["agrees"] == "yes"
    assert judged(across, value=5.0)["agrees"] == "no"


def test_words_of_the_interval_through_infinity_reach_the_reader():
    rows = [Published(estimand="effect", source="A 2020", value=3.45)]
    words = ledger_in_words(ledger(rows, THROUGH)).iloc[0]
    assert "harm 12.0 to ∞ to benefit 3.0" in words["Posterior"]
    assert words["Agrees"] == "yes"


# What is shown.


def test_label_holds_the_coordinates():
    assert Published(estimand="theta", source="", at={"subgroup": "low", "arm": "drug"}).label == "theta[low, drug]"
    assert Published(estimand="mu", source="").label == "mu"


def test_row_finds_its_own_coordinates():
    table = pd.concat([summary(trial="Oslo"), summary(trial="Lima", median=7.0, upper=9.0)])
    rows = [Published(estimand="effect", source="A", value=7.5, at={"trial": t}) for t in ("Oslo", "Lima")]
    made = ledger(rows, table)
    assert made["estimand"].to_list() == ["effect[Oslo]", "effect[Lima]"]
    assert made["posterior"].to_list() == [2.0, 7.0]
    assert made["agrees"].to_list() == ["no", "yes"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"value": 0.58, "lower": 0.44, "upper": 0.72}, "0.58 (0.44, 0.72)"),
        ({"lower": 0.44}, "from 0.44"),
        ({"upper": 0.72}, "to 0.72"),
        ({"direction": "below"}, "< 0"),
        ({"value": 2, "direction": "above", "p": 0.004}, "2 > 0, P 0.004"),
    ],
)
def test_published_number_in_words(row, words):
    assert judged(**row)["published_as"] == words


def test_ledger_keeps_numbers_as_numbers_and_the_order_of_the_plan():
    rows = [
        Published(estimand="effect", source="B", value=9.0, note="a note"),
        Published(estimand="effect", source="A", value=2.0),
    ]
    made = ledger(rows, summary())
    assert made.columns.to_list() == [
        *["estimand", "published", "published_lower", "published_upper", "published_as", "posterior"],
        *["lower", "upper", "prob", "interval", "units", "agrees", "recovered", "source", "note"],
    ]
    assert made["source"].to_list() == ["B", "A"]
    assert made["note"].to_list() == ["a note", ""]
    assert made[["published", "posterior", "lower", "upper"]].to_numpy().tolist() == [
        [9.0, 2.0, 1.0, 3.2],
        [2.0, 2.0, 1.0, 3.2],
    ]


def test_ledger_in_words_shows_two_digits_of_the_interval_s_width():
    rows = [Published(estimand="effect", source="A", direction="above", p=0.01)]
    words = ledger_in_words(ledger(rows, summary(median=2.04567, prob_gt_null=0.98765)))
    assert words.iloc[0].to_dict() == {
        "Estimand": "effect",
        "Published": "> 0, P 0.01",
        "Posterior": "2.0 (1.0, 3.2), P 0.988",
        "Agrees": "yes",
        "Published in": "A",
        "Note": "",
    }


# Synthetic data.


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        *[({"value": 2.0}, "recovered"), ({"value": 9.0}, "not recovered")],
        ({"direction": "above"}, "recovered"),  # 0.99
        ({"value": 2.0, "scale": "Hedges g"}, "other scale"),
    ],
)
def test_synthetic_data_recover_a_number_and_never_agree_with_it(row, verdict):
    line = ledger([Published(estimand="effect", source="A", **row)], summary(), synthetic=True)
    assert line["recovered"].to_list() == [verdict]
    assert line["agrees"].to_list() == [""]
    words = ledger_in_words(line)
    assert words["Recovered"].to_list() == [verdict]
    assert "Agrees" not in words


def test_direction_that_synthetic_data_only_lean_to_is_not_recovered():
    line = ledger(
        [Published(estimand="effect", source="A", direction="above")], summary(prob_gt_null=0.8), synthetic=True
    )
    assert line["recovered"].to_list() == ["not recovered"]
    assert judged(summary(prob_gt_null=0.8), direction="above")["recovered"] == ""


def outcome(label, synthetic, *values):
    """A run with a ledger of published values of the estimand 2.0 (1.0, 3.2)."""
    rows = [Published(estimand="effect", source="A", value=value) for value in values]
    return Outcome(
        *(label, Gate(()), ModelVerdict(())),
        **{"expects_warning": "", "synthetic": synthetic, "directory": Path("results")},
        ledger=ledger(rows, summary(), synthetic=synthetic),
    )


def test_totals_of_real_and_synthetic_data_are_apart(capsys):
    print_ledger([outcome("a/x", True, 2.0, 9.0), outcome("a/y", False, 2.0, 2.5, 9.0), outcome("a/z", True, 9.0)])
    lines = capsys.readouterr().out.splitlines()
    real, synthetic = (next(i for i, line in enumerate(lines) if line.startswith(kind)) for kind in ("Real", "Synth"))
    assert lines[real] == "Real data, 3 published numbers: 2 agree, 1 does not."
    assert lines[synthetic] == "Synthetic data, 3 published numbers: 1 recovered, 2 not recovered."
    assert [line.split()[0] for line in lines[: real + 1] if "/" in line] == ["a/y"]
    assert [line.split()[0] for line in lines[real:] if "/" in line] == ["a/x", "a/z"]
    assert not any("agree" in line.lower() for line in lines[real + 1 :])


# Rows that name nothing.

DRAWS = {"chain": [0], "draw": [0, 1]}
ESTIMANDS = xr.Dataset(
    {
        "mu": (("chain", "draw"), np.zeros((1, 2))),
        "theta": (("chain", "draw", "trial"), np.zeros((1, 2, 2))),
        "nnt": (("chain", "draw", "trial", "treatment"), np.zeros((1, 2, 2, 1))),
    },
    {**DRAWS, "trial": ["Oslo", "Lima"], "treatment": ["drug"]},
)


@pytest.mark.parametrize(
    "row",
    [
        {"estimand": "mu", "value": 1.0},
        {"estimand": "mu", "direction": "below"},
        {"estimand": "theta", "at": {"trial": "Lima"}, "upper": 1.0},
        {"estimand": "nnt", "at": {"trial": "Lima"}, "value": 3.0},  # a dim with one label needs no naming
        {"estimand": "nnt", "at": {"trial": "Lima", "treatment": "drug"}, "value": 3.0},
    ],
)
def test_rows_that_name_an_estimand_pass(row):
    refuse_unknown([Published(source="A", **row)], ESTIMANDS)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"estimand": "thta", "value": 1}, "there is no estimand 'thta'; did you mean 'theta'?"),
        ({"estimand": "zzz", "value": 1}, "there is no estimand 'zzz'; known: mu, nnt, theta"),
        ({"estimand": "theta", "value": 1}, "'theta' has a value for each trial; add at = { trial = \"...\" }"),
        ({"estimand": "mu", "value": 1, "at": {"trial": "Oslo"}}, "'mu' has no dim 'trial'; remove it"),
        (
            {"estimand": "theta", "value": 1, "at": {"trial": "Oslo", "trail": "Oslo"}},
            "'theta' has no dim 'trail'; did you mean 'trial'?",
        ),
        (
            {"estimand": "theta", "value": 1, "at": {"trial": "Limma"}},
            "'Limma' is no trial of 'theta'; did you mean 'Lima'?",
        ),
        (
            {"estimand": "mu"},
            "nothing is published about 'mu'; give value, lower and upper, or direction",
        ),
    ],
)
def test_row_that_names_nothing_is_refused_with_its_number_and_the_nearest_name(row, message):
    fine = Published(estimand="mu", source="A", value=1)
    with pytest.raises(BadInput) as refused:
        refuse_unknown([fine, Published(source="A", **row)], ESTIMANDS)
    assert str(refused.value) == f"[[published]] row 2: {message}"
