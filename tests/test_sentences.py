"""Sentences for a paper: every family's estimands in words, with the right direction, side, scale and digits."""

import dataclasses
import re

import numpy as np
import pytest
from unsampled import FAMILIES, made, patients, unsampled

import bayesdep as bd
from bayesdep.inference.primary import Primary, default_primary
from bayesdep.inference.ropes import values_at
from bayesdep.numerics.rounding import MINUS, decimals, number, probability_in_words
from bayesdep.reporting.estimands import summarise
from bayesdep.reporting.sentences import default_note, primary_sentences, sentence_of


@pytest.fixture(scope="module")
def fits():
    made_once = {}

    def fit(family):
        if family not in made_once:
            made_once[family] = made(family)
        return made_once[family]

    return fit


def shifted(fit, name, value, sd=1.0):
    """The same fit with draws of an estimand around a value."""
    draws = fit.estimands[name]
    noise = np.random.default_rng(3).normal(value, sd, draws.shape)
    groups = {key: node.to_dataset() for key, node in fit.tree.children.items()}
    groups["estimands"] = groups["estimands"].assign({name: draws.copy(data=noise)})
    return dataclasses.replace(fit, tree=type(fit.tree).from_dict(groups))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_estimand_of_every_family_is_one_sentence_with_its_interval(family, fits):
    fit = fits(family)
    for name in map(str, fit.estimands.data_vars):
        at, draws = next(iter(values_at(fit.estimands, name, {})))
        if np.isnan(draws.values).all():
            continue
        text = sentence_of(fit, name, dict(at)).text
        assert text[0].isupper(), text
        assert text.endswith("."), text
        assert "  " not in text, text
        assert "nan" not in text.split(), text
        assert text.count("(") == text.count(")"), text
        assert "credible interval" in text or "probability" in text, text
        if "probability" in fit.estimands[name].attrs:
            continue
        for dim, label in at:
            if dim not in ("side",) and label != "all":  # a side is a word of the sentence; all is everybody
                assert label in text, (name, dim, text)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_an_answer_though_its_plan_states_none(family, fits):
    fit = fits(family)
    stated = default_primary(fit.model, fit.estimands)
    assert stated
    assert primary_sentences(fit)
    assert type(fit.model).__name__ in default_note(fit)


def test_direction_and_benefit_follow_from_the_better_side(fits):
    """A difference of -4 points is lower; that it is a benefit depends on which side is better."""
    fit = shifted(fits("trial"), "difference", -4.0)
    at = {"comparison": "arm 1", "visit": "8"}
    lower = sentence_of(fit, "difference", at).text
    assert re.match(r"On arm 1, the outcome at visit 8 was 4(\.\d)? unit 0 lower than on arm 0 \(95% cred", lower)
    assert "probability of benefit above 0.9)" in lower, "200 draws say no more"
    other = dataclasses.replace(fit.model, better="higher", response=None, remission=None)
    upper = sentence_of(dataclasses.replace(fit, model=other), "difference", at).text
    assert "lower than on arm 0" in upper
    assert "probability of benefit below 0.1)" in upper
    points = dataclasses.replace(fit.model, units="HAM-D points")
    renamed = shifted(dataclasses.replace(fit, model=points), "difference", 2.0)
    renamed.tree["estimands"]["difference"].attrs["units"] = "HAM-D points"
    assert "HAM-D at visit 8 was 2" in sentence_of(renamed, "difference", at).text


def test_log_ratios_are_told_as_ratios(fits):
    fit = shifted(fits("cytokines"), "log_ratio", np.log(2.0), 0.01)
    text = sentence_of(fit, "log_ratio", {"analyte": "analyte 3", "comparison": "group 1"}).text
    assert re.match(
        r"In group 1, analyte 3 was (2\.0|2\.00|1\.99\d?|2\.00\d) times as high as in group 0 "
        r"\(95% credible interval 1\.9[5-7]\d? to 2\.0[3-5]\d?;",
        text,
    ), text
    assert "probability above 0.9 that it is higher" in text


def test_risks_are_told_in_percentage_points_and_probabilities_in_per_cent(fits):
    fit = shifted(fits("pooled-counts"), "risk_difference", -0.12, 0.02)
    text = sentence_of(fit, "risk_difference", {"treatment": "arm 1", "subgroup": "group 0"}).text
    assert "12" in text
    assert "percentage points lower than on arm 0" in text
    fit = bd.fit(bd.Screen(condition="responder", positives="below_34_pg_per_mL"), bd.load("kiraly2017_fgf2_roc"))
    (sentence,) = primary_sentences(fit.with_primary("specificity"))
    row = summarise(fit).set_index("estimand").loc["specificity"]
    assert f"was {100 * row['median']:.0f}% (95% credible interval {100 * row['lower']:.0f}% to" in sentence.text


def test_more_values_than_can_be_read_are_counted(fits):
    fit = made("cytokines", n=8)
    fit = shifted(fit, "log_ratio", 3.0, 0.1).with_primary("log_ratio")
    (sentence,) = primary_sentences(fit)
    assert re.fullmatch(
        r"The log ratio of geometric means against group 0 was above 0 in 8 of 8 analytes "
        r"\((analyte \d; ){4}analyte \d and 3 more\), each with a probability above 0\.95\.",
        sentence.text,
    )
    fit = shifted(fit, "log_ratio", 0.0, 0.1).with_primary("log_ratio")
    (sentence,) = primary_sentences(fit)
    assert "was above or below 0 in none of 8 analytes with a probability above 0.95." in sentence.text


@pytest.mark.parametrize(
    ("family", "name", "value", "said"),
    [
        (
            "cytokines",
            "number_elevated",
            2.0,
            r"The number of analytes elevated in group 1 against group 0 was 2(\.0+)? \(",
        ),
        (
            "cytokines",
            "mean_log_ratio",
            1.0,
            r"In group 1, concentrations were 2\.7\d? times as high as in group 0 \(geom",
        ),
        (
            "items",
            "sum_difference",
            2.0,
            r"On arm 1, the mean sum of all items at visit 0 was 2\.00? points higher than on",
        ),
        (
            "items",
            "item_difference",
            -2.0,
            r"On arm 1, item 0's mean at the last visit was 2\.00? points lower than on arm",
        ),
        (
            "trial",
            "crosses",
            0.0,
            r"The difference changes sign inside the observed range at the last visit, and arm 1 is",
        ),
        ("trial", "response_rate", 0.5, r"The probability of response \(.*\) if all had been on arm 0 was 50"),
        (
            "trial",
            "response_nnt",
            -9.0,
            r"On arm 1 in all patients, the number needed to harm for response \(.*\), against",
        ),
        (
            "trial",
            "response_nnt",
            9.0,
            r"On arm 1 in all patients, the number needed to treat for response \(.*\), against",
        ),
        ("trajectories", "association_difference", 1.0, r"On arm 1, the association \(change, marker 0\) was 1\.0"),
        (
            "screen",
            "likelihood_ratio_positive",
            4.0,
            r"The positive likelihood ratio of the test was \d",
        ),  # both exact:
        ("meta", "theta", 1.0, r"The effect of study 0, shrunken, was \W?\d"),  # their numbers are not of the draws
        ("ordinal", "at_or_better", 0.5, r"The probability of category 0 or better on arm 0 at visit 2 was 50"),
    ],
)
def test_wording(family, name, value, said, fits):
    """What an estimand says of itself, as a person would say it."""
    fit = shifted(fits(family), name, value, 0.005)
    at, _ = next(iter(values_at(fit.estimands, name, {})))
    assert re.match(said, sentence_of(fit, name, dict(at)).text), sentence_of(fit, name, dict(at)).text


def test_one_point_is_singular_and_less_than_a_point_is_not_the_same(fits):
    fit = fits("trial")
    fit = dataclasses.replace(fit, model=dataclasses.replace(fit.model, units="HAM-D points"))
    at = {"comparison": "arm 1", "visit": "8"}
    texts = {}
    for value in (1.0, 0.1):
        moved = shifted(fit, "difference", value, 8.0)
        moved.tree["estimands"]["difference"].attrs["units"] = "HAM-D points"
        draws = moved.estimands["difference"]
        exact = draws + (value - draws.median(("chain", "draw")))
        moved.tree["estimands"]["difference"] = exact.assign_attrs(draws.attrs)
        texts[value] = sentence_of(moved, "difference", at).text
    assert "HAM-D at visit 8 was 1 point higher than on arm 0" in texts[1.0]
    assert "HAM-D at visit 8 was less than 1 point higher than on arm 0" in texts[0.1]


def test_a_table_of_one_visit_names_no_visit_and_a_condition_is_of_patients(fits):
    fit = fits("ordinal")
    data = fit.estimands["difference"].isel(visit=slice(0, 1)).assign_coords(visit=["all"])
    groups = {key: node.to_dataset() for key, node in fit.tree.children.items()}
    groups["estimands"] = data.to_dataset(name="difference")
    alone = dataclasses.replace(fit, tree=type(fit.tree).from_dict(groups))
    assert (
        " at "
        not in sentence_of(alone, "difference", {"comparison": "arm 1", "visit": "all", "up_to": "category 0"}).text
    )
    fit = fits("counts")
    renamed = fit.estimands.assign_coords(subgroup=["crp > 5", *fit.estimands["subgroup"].values[1:]])
    groups = {key: node.to_dataset() for key, node in fit.tree.children.items()} | {"estimands": renamed}
    named = dataclasses.replace(fit, tree=type(fit.tree).from_dict(groups))
    text = sentence_of(named, "risk_difference", {"treatment": "arm 1", "subgroup": "crp > 5"}).text
    assert text.startswith("On arm 1 in patients with crp > 5, the probability of the event was")


def test_patients_measured_once_are_told_and_drawn_without_a_time():
    columns = {"time": None, "moderators": ["moderator 0", "moderator 1"], "combined": ["moderator 0", "moderator 1"]}
    model = bd.PatientMeta(reference="arm 0", study_levels="random", units="points", **columns)
    fit = unsampled(model, patients().query("time == 'time 0'"))
    said = bd.sentences(fit, "effect", "interaction")
    assert said[0].startswith("The pooled effect")
    assert not any(word in sentence for sentence in said for word in ("time", " all "))
    assert "[" not in next(line for line in repr(fit).splitlines() if line.startswith("  pooled effect"))
    for figure in (bd.plot_study_effects(fit), bd.plot_moderators(fit)):
        assert [axes.get_title("left") for axes in figure.axes] == [""]
    (axes,) = bd.plot_combined(fit).axes
    assert re.match(r"r = \S+ \(\S+ to \S+\) in-sample", axes.get_title("left").replace("\n", " "))


def test_stated_primaries_come_first_in_their_order_and_stay_with_the_file(fits, tmp_path):
    fit = fits("meta").with_primary("tau", {"estimand": "theta", "at": {"study": "study 3"}}, "theta[study 1]")
    assert [s.estimand for s in primary_sentences(fit)] == ["tau", "theta[study 3]", "theta[study 1]"]
    assert default_note(fit) == ""
    assert "study 3" in primary_sentences(fit)[1].text
    again = bd.Fit.load(fit.save(tmp_path / "fit.nc"))
    assert again.primary == fit.primary == (
        Primary("tau"), Primary("theta", {"study": "study 3"}), Primary("theta", {"study": "study 1"}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("", "study.primary 1: there is no estimand ''; known: "),
        ("muu", "study.primary 1: there is no estimand 'muu'; did you mean 'mu'?"),
        ("theta[study 11]", r"study.primary 1: 'theta' has no value 'theta\[study 11\]'; did you mean"),
        ({"estimand": "theta", "at": {"trial": "x"}}, "study.primary 1: 'theta' has no dim 'trial'"),
        ({"estimand": "theta", "at": {"study": "study 0x"}}, "is no study of 'theta'; did you mean 'study 0'?"),
        (3, r'study.primary 1 is 3; write "NAME"'),
    ],
)
def test_a_primary_estimand_that_is_not_there_is_refused(stated, said, fits):
    with pytest.raises(bd.BadInput, match=said):
        fits("meta").with_primary(stated)


def test_digits_stop_at_the_monte_carlo_error():
    """The interval's width asks for two digits; an error of 0.3 leaves none after the point, one of 1.9 as well."""
    assert [decimals(-3.8, 0.6, error) for error in (0.0, 0.05, 0.3, 1.9)] == [1, 1, 0, 0]
    assert number(-3.84, 1) == f"{MINUS}3.8"
    assert number(-0.04, 1) == "0.0"
    assert probability_in_words(0.99999, np.inf) == "above 0.999"
    assert probability_in_words(0.5, 10.0) == "0.5"
    assert probability_in_words(1.0, 2000.0) == "above 0.99", "no draw of 2000 leaves room for three in 2000"


def test_sentence_of_the_issue():
    """The words of a paper, from a trial whose posterior is made to be the issue's example."""
    fit = made("trial", draws=2000)
    difference = fit.estimands["difference"]
    model = dataclasses.replace(fit.model, units="HAM-D points", visit="week")
    fit = shifted(dataclasses.replace(fit, model=model), "difference", -1.5, 1.1)
    fit.tree["estimands"]["difference"].attrs = difference.attrs | {"units": "HAM-D points"}
    (sentence,) = primary_sentences(fit.with_primary("difference[arm 1, 8]"))
    assert re.fullmatch(
        r"On arm 1, HAM-D at week 8 was 1\.[45] points lower than on arm 0 \(95% credible interval −3\.\d to 0\.\d; "
        r"probability of benefit 0\.9\d?\)\.",
        sentence.text,
    )
