"""Plans: those that ship are good, and a story survives being written down."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.data.sources import read_source
from bayesdep.inference.sample import sketch
from bayesdep.models import make_story, settings_of
from bayesdep.plan import find_plans, prepare, quick, read_plan

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


def test_every_plan_says_what_it_asks_and_rests_on_published_data(plan):
    assert plan.study.question.endswith("?")
    assert plan.data.source.startswith("published:")
    assert plan.study.name == plan.path.parent.name
    assert plan.directory == Path("results") / plan.study.name / plan.path.stem


def test_every_plan_s_data_and_published_rows_are_good(plan):
    data = prepare(plan)
    assert data.attrs["source"] == plan.data.source
    assert data.attrs["synthetic"] == 0
    assert plan.published, "a plan that ships stands beside published numbers"
    known = sketch(plan.story, data)
    for row in plan.published:
        dims = set(known[row.estimand].dims) - {"chain", "draw"}
        assert {d for d in dims if known.sizes[d] > 1} <= set(row.at) <= dims


def test_every_plan_s_story_survives_being_written_as_settings_and_as_json(plan):
    settings = settings_of(plan.story)
    assert make_story(plan.story.family, settings) == plan.story
    assert make_story(plan.story.family, json.loads(json.dumps(settings))) == plan.story


def test_settings_that_differ_make_another_story(plan):
    settings = settings_of(plan.story)
    name, prior = next(iter(settings["priors"].items()))
    parameter = "sigma" if "sigma" in prior else "alpha"
    other = make_story(
        plan.story.family,
        {**settings, "priors": {**settings["priors"], name: {**prior, parameter: 2 * prior[parameter]}}},
    )
    assert other != plan.story


def test_hash_is_that_of_the_file(plan):
    assert plan.sha256 == hashlib.sha256(plan.path.read_bytes()).hexdigest()
    assert plan.text == plan.path.read_text(encoding="utf-8")


def test_quick_run_has_at_most_500_draws_of_either_kind(plan):
    assert quick(plan) == {"draws": min(plan.sampling.draws, 500), "tune": min(plan.sampling.tune, 500)}


def test_quick_run_leaves_a_shorter_plan_as_short_as_it_is(tmp_path):
    short = read_plan(written(tmp_path, SCREEN + "[sampling]\ndraws = 100\ntune = 2000\n"))
    assert quick(short) == {"draws": 100, "tune": 500}


def test_plan_without_priors_and_sampling_has_the_story_s_and_the_package_s_defaults(tmp_path):
    plan = read_plan(written(tmp_path, SCREEN))
    assert plan.story == bd.Screen(condition="responder", positives="below_34_pg_per_mL")
    assert plan.sampling.model_dump() == {"draws": 1000, "tune": 1000, "chains": 4, "seed": 1, "sampler": None}
    assert plan.published == ()


def test_prior_of_a_plan_reaches_the_story(tmp_path):
    text = SCREEN + '[priors]\nsensitivity = { dist = "Beta", alpha = 2, beta = 3.5 }\n'
    priors = read_plan(written(tmp_path, text)).story.priors
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
