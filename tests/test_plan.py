"""Plans: those that ship are good, and a model survives being written down."""

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.data.sources import read_source
from bayesdep.inference.sample import estimand_template
from bayesdep.models.register import make_model, settings_of
from bayesdep.plan import find_plans, fit_plan, prepare, read_plan

FOLDER = Path(__file__).resolve().parents[1] / "models"
PATHS = find_plans(FOLDER)
NAMES = [path.relative_to(FOLDER).with_suffix("").as_posix() for path in PATHS]

SCREEN = """\
[study]
name = "demo"
title = "A demonstration"

[data]
source = "published:kiraly2017_fgf2_roc"

[data.columns]
positives = "below_34_pg_per_mL"

[model]
family = "screen"
condition = "responder"
"""


GIVEN = (
    SCREEN.replace(
        'source = "published:kiraly2017_fgf2_roc"',
        'source = "path"\nexpects = "a two-by-two table (columns group, positives, n)"',
    )
    .replace("below_34_pg_per_mL", "positives")
    .replace('condition = "responder"', 'condition = "ill"')
)
TABLE = "group,positives,n\nill,15,19\nwell,1,12\n"


@pytest.fixture(params=PATHS, ids=NAMES)
def plan(request):
    return read_plan(request.param)


def written(folder, text, name="demo.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_issue_s_plans_are_there():
    assert {
        "kiraly2017/table2_moments",
        "kiraly2017/table2_pvalues",
        "kiraly2017/fgf2_screen",
        "raison2013/responders",
        "ketamine_trials/madrs_rapid",
        "benchmarks/bcg",
        "benchmarks/eight_schools",
    } <= set(NAMES)


def test_every_plan_says_what_it_asks_and_names_its_data(plan):
    assert plan.study.question.endswith("?")
    assert plan.data.source.startswith(("published:", "simulate:")) or plan.needs_data
    assert plan.study.name == plan.path.parent.name
    assert plan.directory == Path("results") / plan.study.name / plan.path.stem


def test_every_plan_s_data_and_published_rows_are_good(plan):
    if plan.needs_data:
        pytest.skip("its data are a file that the user has")  # fitted in the tests of its model
    data = prepare(plan)
    assert data.attrs["source"] == plan.data.source
    assert data.attrs["synthetic"] == plan.data.source.startswith("simulate:")
    for_contrast = getattr(plan.model, "substitute", None) is not None
    rivals = [read_plan(path) for path in sorted(plan.path.parent.glob("*.toml"))]
    stands_beside = any(rival.published and rival.model.family == plan.model.family for rival in rivals)
    claims_no_number = plan.path.stem == "stage_moderates_ketamine"  # of a review's claim, which has none
    assert stands_beside or for_contrast or claims_no_number, (
        "a plan that ships stands beside published numbers, or rivals one that does"
    )
    known = estimand_template(plan.model, data)
    for row in plan.published:
        dims = set(known[row.estimand].dims) - {"chain", "draw"}
        assert {d for d in dims if known.sizes[d] > 1} <= set(row.at) <= dims


def test_every_plan_s_model_survives_being_written_as_settings_and_as_json(plan):
    settings = settings_of(plan.model)
    assert make_model(plan.model.family, settings) == plan.model
    assert make_model(plan.model.family, json.loads(json.dumps(settings))) == plan.model


def test_settings_that_differ_make_another_model(plan):
    settings = settings_of(plan.model)
    # the first prior that has a width to double
    name, prior = next((n, p) for n, p in settings["priors"].items() if {"sigma", "alpha"} & set(p))
    parameter = "sigma" if "sigma" in prior else "alpha"
    doubled = {parameter: 2 * prior[parameter]}
    if prior["dist"] == "Beta":  # both, or it would be the prior of another number of categories
        doubled["beta"] = 2 * prior["beta"]
    other = make_model(plan.model.family, {**settings, "priors": {**settings["priors"], name: {**prior, **doubled}}})
    assert other != plan.model


def test_hash_is_that_of_the_file(plan):
    assert plan.sha256 == hashlib.sha256(plan.path.read_bytes()).hexdigest()
    assert plan.text == plan.path.read_text(encoding="utf-8")


def test_quick_run_has_at_most_500_draws_of_either_kind(plan):
    assert plan.quick == {"draws": min(plan.sampling.draws, 500), "tune": min(plan.sampling.tune, 500)}


def test_quick_run_leaves_a_shorter_plan_as_short_as_it_is(tmp_path):
    short = read_plan(written(tmp_path, SCREEN + "[sampling]\ndraws = 100\ntune = 2000\n"))
    assert short.quick == {"draws": 100, "tune": 500}


def test_plan_without_priors_and_sampling_has_the_model_s_and_the_package_s_defaults(tmp_path):
    plan = read_plan(written(tmp_path, SCREEN))
    assert plan.model == bd.Screen(condition="responder", positives="below_34_pg_per_mL")
    assert plan.sampling.model_dump() == {
        **{"draws": 1000, "tune": 1000, "chains": 4, "seed": 1},
        **{"sampler": None, "target_accept": None, "max_tree_depth": None},
    }
    assert plan.published == ()


def test_prior_of_a_plan_reaches_the_model(tmp_path):
    text = SCREEN + '[priors]\nsensitivity = { dist = "Beta", alpha = 2, beta = 3.5 }\n'
    priors = read_plan(written(tmp_path, text)).model.priors
    assert priors["sensitivity"] == bd.Prior("Beta", alpha=2, beta=3.5)
    assert priors["specificity"] == bd.Prior("Beta", alpha=0.5, beta=0.5)


def test_data_file_is_relative_to_the_plan_not_to_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "study").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "study" / "table.csv").write_text("group,positives,n\nill,3,4\nwell,1,5\n")
    text = SCREEN.replace("published:kiraly2017_fgf2_roc", "table.csv").replace("responder", "ill")
    text = text.replace("below_34_pg_per_mL", "positives")
    path = written(tmp_path / "study", text)
    monkeypatch.chdir(tmp_path / "elsewhere")
    data = prepare(read_plan(path))
    assert data["positives"].values.tolist() == [3, 1]


def test_required_columns_leave_rows_out_and_say_how_many(tmp_path):
    plan = read_plan(FOLDER / "ketamine_trials" / "madrs_rapid.toml")
    data = prepare(plan)
    whole = read_source(plan.data.source)
    assert data.sizes["trial"] == 4
    assert f"{len(whole) - 4} of {len(whole)} rows left out" in data.attrs["left_out"]


def test_find_plans_lists_every_plan_below_a_folder_in_order(tmp_path):
    for name in ("b/two.toml", "a/one.toml", "a/notes.txt", "three.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    found = [path.relative_to(tmp_path).as_posix() for path in find_plans(tmp_path)]
    assert found == ["a/one.toml", "b/two.toml", "three.toml"]


def test_plan_is_a_value_that_cannot_be_changed(plan):
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.text = ""
    with pytest.raises(Exception, match="frozen"):
        plan.sampling.draws = 1


def test_whole_numbers_and_numbers_with_a_point_serve_as_published_values(tmp_path):
    row = '[[published]]\nestimand = "youden"\nsource = "A 2020"\nvalue = {}\n'
    for value in ("1", "1.0"):
        plan = read_plan(written(tmp_path, SCREEN + row.format(value)))
        assert plan.published[0].value == 1.0
        prepare(plan)
    with pytest.raises(BadInput, match="finite number"):
        read_plan(written(tmp_path, SCREEN + row.format("nan")))


# Data that the user names.


def test_plan_may_leave_its_data_to_the_user(tmp_path, monkeypatch):
    plan = read_plan(written(tmp_path, GIVEN))
    assert plan.needs_data
    assert not read_plan(written(tmp_path, SCREEN, "other.toml")).needs_data
    (tmp_path / "here").mkdir()
    written(tmp_path / "here", TABLE, "mine.csv")
    monkeypatch.chdir(tmp_path / "here")
    for data in ("mine.csv", Path("mine.csv"), tmp_path / "here" / "mine.csv"):
        prepared = prepare(plan, data=data)
        assert prepared["positives"].values.tolist() == [15, 1]
        assert prepared.attrs["source"] == "mine.csv"
        assert prepared.attrs["sha256"] == hashlib.sha256(TABLE.encode()).hexdigest()


def test_data_of_the_user_reach_the_fit_and_the_run(tmp_path):
    path = written(tmp_path, GIVEN)
    table = pd.DataFrame({"group": ["ill", "well"], "positives": [15, 1], "n": [19, 12]})
    fit = fit_plan(read_plan(path), data=table, draws=100, chains=2)
    assert fit.data["positives"].values.tolist() == [15, 1]
    run = bd.run_plan(path, data=written(tmp_path, TABLE, "mine.csv"), out=tmp_path / "run")
    text = (run.directory / "manifest.json").read_text(encoding="utf-8")
    said = json.loads(text)["data"]
    assert said["source"] == said["title"] == "mine.csv"
    assert said["sha256"] == hashlib.sha256(TABLE.encode()).hexdigest()
    assert f"{tmp_path}/mine.csv" not in text


def test_plan_says_what_data_it_expects_and_how_to_give_them(tmp_path):
    path = written(tmp_path, GIVEN)
    for call in (lambda: prepare(read_plan(path)), lambda: bd.run_plan(path, out=tmp_path / "run")):
        with pytest.raises(BadInput) as refused:
            call()
        assert str(refused.value) == (
            f"plan '{path}': [data] source = 'path' expects a two-by-two table (columns group, positives, n); "
            "give that file with --data PATH (data=PATH in Python)"
        )
    assert not (tmp_path / "run").exists()


def test_plan_that_names_its_own_data_takes_no_other(tmp_path):
    path = written(tmp_path, SCREEN)
    with pytest.raises(BadInput) as refused:
        prepare(read_plan(path), data=written(tmp_path, TABLE, "mine.csv"))
    assert str(refused.value) == f"plan '{path}' names its own data; leave --data out"


# Rows kept and limits.


def test_plan_keeps_the_rows_it_asks_for(tmp_path):
    rows = "".join(f"{g},{p},{n},{t},{s}\n" for g, p, n, t, s in [("ill", 15, 19, 0, "a"), ("well", 1, 12, 0, "b")])
    written(tmp_path, f"group,positives,n,time,site\n{rows}ill,3,19,24,a\nwell,2,12,24,c\n", "table.csv")
    text = GIVEN.replace('"path"', '"table.csv"').replace(EXPECTS, "")
    plan = read_plan(written(tmp_path, text + '[data.keep]\ntime = 0\nsite = ["a", "b"]\n'))
    data = prepare(plan)
    assert data["positives"].values.tolist() == [15, 1]
    assert data.attrs["left_out"] == "kept the 2 of 4 rows with time 0 and site a or b"


LIMITS = 'limits = "limits.csv"\n\n[data.columns]\nplate = "batch"\nanalyte = "marker"\n'


def test_limits_are_joined_by_columns_that_the_family_need_not_read(tmp_path, monkeypatch):
    calls = []

    def add_limits(table, limits, **words):
        calls.append((limits.to_dict("list"), words))
        return table

    monkeypatch.setitem(sys.modules, "bayesdep.data.detection", SimpleNamespace(add_limits=add_limits))
    plan = read_plan(written(tmp_path, GIVEN.replace("\n[data.columns]\n", LIMITS)))
    assert plan.model == bd.Screen(condition="ill")
    written(tmp_path, "marker,lower\nFGF-2,0.5\n", "limits.csv")
    data = prepare(plan, data=written(tmp_path, TABLE, "mine.csv"))
    assert calls == [({"marker": ["FGF-2"], "lower": [0.5]}, {"analyte": "marker", "plate": "batch"})]
    assert data.attrs["source"] == "mine.csv with limits limits.csv"
    assert data.attrs["sha256"] == hashlib.sha256(f"{TABLE}marker,lower\nFGF-2,0.5\n".encode()).hexdigest()


def test_without_limits_their_columns_are_no_words_of_the_plan(tmp_path):
    path = written(tmp_path, SCREEN.replace("[data.columns]\n", '[data.columns]\nplate = "batch"\n'))
    with pytest.raises(BadInput, match=r"data\.columns\.plate: the screen family reads no such column"):
        read_plan(path)


EXPECTS = 'expects = "a two-by-two table (columns group, positives, n)"'
NEEDED = "but a number, text, true or false, or an array of these, is needed"
BAD = {
    "no expects": (
        (EXPECTS, ""),
        "'data.expects' is missing; say what table the user is to give, "
        'for example expects = "the trials (columns trial, effect, se)"',
    ),
    "empty expects": ((EXPECTS, 'expects = ""'), "'data.expects' is '', but some text is needed"),
    "expects that is no text": ((EXPECTS, "expects = 3"), "'data.expects' is 3, but text is needed"),
    "expects with a file": (
        ('"path"', '"table.csv"'),
        "'data.expects' is for data given at the command line; remove it, or write source = \"path\"",
    ),
    "misspelt expects": ((EXPECTS, 'expect = "a table"'), "unknown key 'data.expect'; did you mean 'expects'?"),
    "keep that is no table": (
        (EXPECTS, f"{EXPECTS}\nkeep = 3"),
        "'data.keep' is 3, but a table, or a condition in quotes, is needed",
    ),
    "keep nothing": (
        (EXPECTS, f"{EXPECTS}\nkeep.time = []"),
        "'data.keep.time' is an empty array, which keeps no row; add a value or remove it",
    ),
    "keep a table": ((EXPECTS, f"{EXPECTS}\nkeep.time.a = 1"), f"'data.keep.time' is a table, {NEEDED}"),
    "keep a day": (
        (EXPECTS, f"{EXPECTS}\nkeep.time = 2020-01-31"),
        f"'data.keep.time' is 2020-01-31, {NEEDED}",
    ),
    "keep no number": ((EXPECTS, f"{EXPECTS}\nkeep.time = [1, nan]"), f"'data.keep.time' holds nan, {NEEDED}"),
    "keep an array of arrays": (
        (EXPECTS, f"{EXPECTS}\nkeep.time = [[1]]"),
        f"'data.keep.time' holds an array, {NEEDED}",
    ),
    "limits that are no text": ((EXPECTS, f"{EXPECTS}\nlimits = 3"), "'data.limits' is 3, but text is needed"),
}


@pytest.mark.parametrize(("change", "says"), BAD.values(), ids=list(BAD))
def test_data_that_a_plan_cannot_mean_are_refused_as_it_is_read(change, says, tmp_path):
    path = written(tmp_path, GIVEN.replace(*change))
    with pytest.raises(BadInput) as refused:
        read_plan(path)
    assert str(refused.value) == f"plan '{path}': {says}"
