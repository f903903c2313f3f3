"""Of a study's models, those are compared that are of one family and of the same outcomes; all others are named."""

import dataclasses

import pytest

import bayesdep as bd
from bayesdep.criticism.rivals import Candidate, find_rivals, names_of, refuse_imputing

TABLE = bd.load("raison2013_responders")
OTHER = TABLE.assign(responders=TABLE["responders"] - 1)
BCG = bd.load("bcg_colditz1994")
EFFECTS = {"measure": "log-risk-ratio", "input": "counts", "study": "trial", "events_treated": "tb_vaccinated",
           "n_treated": "n_vaccinated", "events_control": "tb_control", "n_control": "n_control"}  # fmt: skip


def counts(name, pooling, table=TABLE):
    model = bd.Counts(control="placebo", events="responders", pooling=pooling)
    return Candidate(name, model, lambda: model.prepare(table))


def meta(name):
    model = bd.Meta(**EFFECTS)
    return Candidate(name, model, lambda: model.prepare(BCG))


class Imputing(bd.Counts):
    imputes = True

    def imputations_of(self, data):
        return [data]


def imputing(name):
    one = counts(name, "partial")
    model = Imputing(**{f.name: getattr(one.model, f.name) for f in dataclasses.fields(one.model)})
    return dataclasses.replace(one, model=model)


def test_groups_are_of_one_family_and_one_outcome_and_the_others_are_named():
    one, two, alone = counts("a", "partial"), counts("b", "complete"), counts("c", "partial", OTHER)
    groups, notes = find_rivals([meta("m"), one, alone, two, imputing("i")])
    assert groups == [[one, two]]
    assert notes == [
        "imputed values depend on the outcomes to be left out: i",
        "no other plan is of its family: m",
        "no other plan of its family has the same outcomes: c",
    ]


def test_two_groups_of_one_family_have_names_of_their_own():
    every = [counts("a", "partial"), counts("c", "partial", OTHER), counts("b", "none"), counts("d", "none", OTHER)]
    groups, notes = find_rivals([*every, meta("m"), meta("n")])
    assert [[one.name for one in group] for group in groups] == [["a", "b"], ["c", "d"], ["m", "n"]]
    assert names_of(groups) == ["counts-a", "counts-c", "meta"]
    assert notes == []


def test_without_rivals_there_are_no_groups():
    assert find_rivals([counts("a", "partial"), meta("m")]) == ([], ["no other plan is of its family: a, m"])


def test_a_model_that_imputes_is_refused_where_it_was_named():
    refuse_imputing([counts("a", "partial")])
    with pytest.raises(bd.BadInput, match="plan 'i' imputes moderators knowing all outcomes"):
        refuse_imputing([counts("a", "partial"), imputing("i")])


def test_data_are_prepared_once_and_only_where_they_are_needed():
    made = []
    model = bd.Counts(control="placebo", events="responders")
    one = Candidate("a", model, lambda: made.append("a") or model.prepare(TABLE))
    find_rivals([one, meta("m")])
    assert made == []  # alone in its family
    find_rivals([one, counts("b", "complete")])
    assert one.data is one.data
    assert made == ["a"]
