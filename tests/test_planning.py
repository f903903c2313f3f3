"""Plans before they are run: written from a table, checked, explained, described to editors, copied."""

import json
import re
import tomllib
from functools import cache
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
from hostile.bases import BASES

import bayesdep as bd
from bayesdep.cli import main
from bayesdep.data.errors import BadInput
from bayesdep.designs.register import simulate
from bayesdep.models.documented import documented
from bayesdep.models.parts.scale import priors_of
from bayesdep.models.register import SHIPPED
from bayesdep.plan import find_plans, plan_from_text, prepare, read_plan
from bayesdep.plan_keys import TABLES
from bayesdep.planning.check import check_plan
from bayesdep.planning.explain import example_of, explain
from bayesdep.planning.new import new_plan
from bayesdep.planning.schema import FILE, HEADER, plan_schema, schema_text
from bayesdep.planning.suggest import suggest
from bayesdep.planning.text import priors_in_units

ROOT = Path(__file__).parents[1]
# A table, the family that is suggested for it, and others that it can be for.
DESIGNS = {
    "bcg_trials": ("meta", ["small-studies"]),
    "ketamine_trials": ("meta", ["small-studies"]),
    "kiraly2017": ("cytokines", ["response", "correlation"]),
    "kiraly2017_fgf2_roc": ("screen", []),
    "kiraly2017_table2": ("meta", []),
    "price2022": ("patient-meta", ["trial"]),
    "raison2013": ("trial", ["trajectories"]),
    "raison2013_limits": ("trial", ["trajectories"]),
    "raison2013_items": ("items", ["trial", "trajectories"]),
    "raison2013_markers": ("cytokines", ["response"]),
    "raison2013_responders": ("counts", []),
    "wilkowska2022": ("transitions", ["ordinal"]),
    "rct2025": ("trajectories", ["cytokines", "trial"]),
    "rct2025_il1ra": ("trajectories", ["cytokines", "trial"]),
}
PUBLISHED = {"stard_steps": "stepwise", "eight_schools_rubin1981": "meta", "ketamine_responders": "meta"}
# For every family a table: of a design where one has it.
TABLE_OF = {
    **{family: f"base {family}" for family in ("crossover",)},
    **{family: name for name, family in PUBLISHED.items()},
    **{family: name for name, (first, others) in reversed(DESIGNS.items()) for family in (*others, first)},
}


@cache
def table(name: str) -> pd.DataFrame:
    if name.startswith("base "):
        return pd.DataFrame(BASES[name.removeprefix("base ")].table)
    return simulate(name, seed=1).table if name in DESIGNS else bd.load(name)


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def at(desk: Path, name: str) -> Path:
    path = desk / f"{name.replace(' ', '_')}.csv"
    table(name).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """The plan that is written for each family, once."""
    written: dict[str, Path] = {}

    def plan_of(family: str) -> Path:
        if family not in written:
            folder = tmp_path_factory.mktemp(family)
            written[family] = new_plan(at(folder, TABLE_OF[family]), folder / "plan.toml", family=family).path
        return written[family]

    return plan_of


def command(capsys, *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    said = capsys.readouterr()
    return int(ended.value.code), said.out, said.err


# From a table to a plan.


def test_every_family_has_a_table():
    assert set(TABLE_OF) == set(SHIPPED)


@pytest.mark.parametrize("name", DESIGNS)
def test_the_suggested_family_is_the_designs(name):
    first, others = DESIGNS[name]
    found = [one.draft.family for one in suggest(table(name))]
    assert found[0] == first
    assert set(others) <= set(found)


@pytest.mark.parametrize(("name", "family"), [*PUBLISHED.items(), ("base crossover", "crossover")])
def test_the_suggested_family_of_a_published_table(name, family):
    assert suggest(table(name))[0].draft.family == family


def test_a_statisticians_long_table_is_a_trial():
    """Columns as clinical data standards name them; the baseline is a column, the arm that of the placebo."""
    visits = bd.simulate("raison2013", seed=3).table.query("week in [2, 6, 12]")
    names = {"subject": "USUBJID", "arm": "TRT01P", "week": "AVISITN", "hamd": "AVAL", "hamd_baseline": "BASE"}
    found = suggest(visits[list(names)].rename(columns=names))[0].draft
    assert found.family == "trial"
    assert found.columns == {
        "subject": "USUBJID", "arm": "TRT01P", "visit": "AVISITN", "outcome": "AVAL", "baseline": "BASE"
    }  # fmt: skip
    assert found.settings["reference"] == "placebo"


@pytest.mark.parametrize("family", SHIPPED)
def test_a_written_plan_passes_check_as_it_is(family, plans):
    path = plans(family)
    checked = check_plan(path)
    assert checked.faults == ()
    assert any(line.startswith("sizes: ") for line in checked.lines)
    assert read_plan(path).model.family == family
    assert {p.suffix for p in path.parent.iterdir()} == {".toml", ".csv"}
    assert len(list(path.parent.iterdir())) == 2


@pytest.mark.parametrize("family", SHIPPED)
def test_a_written_plan_explains_every_key(family, plans):
    text = plans(family).read_text()
    keys = documented(family).keys
    settings = [key.name for key in keys.values() if not key.is_column]
    assert [name for name in settings if not re.search(rf"^#?{name}( =|\.)", text, re.MULTILINE)] == []
    assert [w for w in TABLES["sampling"].model_fields if not re.search(rf"^#?{w} =", text, re.MULTILINE)] == []
    assert max(map(len, text.splitlines())) < 250


@pytest.mark.parametrize("family", SHIPPED)
def test_priors_stand_in_the_outcomes_units_and_change_nothing_where_they_are_set(family, plans):
    """Without their '#' the priors are those of the model, to three digits."""
    path = plans(family)
    plan = read_plan(path)
    head, priors = path.read_text().split("[priors]")
    priors = re.sub(r"^#(\w+ = \{ dist)", r"\1", priors, flags=re.MULTILINE)
    stated = plan_from_text(path, f"{head}[priors]{priors}")
    assert set(tomllib.loads(stated.text)["priors"]) == set(plan.model.slots)
    data, again = prepare(plan), prepare(stated)
    expected = priors_in_units(plan.model, data)
    found = priors_of(stated.model, again)
    assert {k: str(v) for k, v in found.items()} == {k: str(v) for k, v in expected.items()}
    exact = priors_of(plan.model, data)
    for name, prior in expected.items():
        around = plan.model.slots[name].around
        if around is None or not plan.model.priors[name].times_scale:
            assert prior.scipy.mean() == pytest.approx(exact[name].scipy.mean(), rel=0.01, nan_ok=True)
        else:  # the default lies around the score's mean, one in its units around 0
            assert prior["mu"] == pytest.approx(float(data[around]), rel=0.01)


def test_settings_at_their_defaults_change_nothing_where_they_are_set(plans):
    """Taking the '#' away from a key with a default leaves the model as it is."""
    path = plans("trial")
    text = re.sub(r"^#(\w+ = .+)$", r"\1", path.read_text().split("[priors]")[0], flags=re.MULTILINE)
    for line in ("day", "moderator", "moderator_censored", "moderator_lod", "moderator_uloq"):
        text = text.replace(f'{line} = "COLUMN"\n', "", 1)
    text = text.replace('require = ["COLUMN"]\n', "").replace('missing = ["999"]\n', "").replace('question = ""\n', "")
    assert plan_from_text(path, text).model == read_plan(path).model


def test_a_statistician_with_a_long_table_gets_a_plan_from_two_commands(desk, capsys):
    """The table of a trial, columns named as they happen to be; what to do next is said, and works."""
    frame = table("raison2013").rename(columns={"subject": "patient_id", "arm": "treatment", "hamd": "HAM-D total"})
    frame.drop(columns=["origin", "day"]).to_csv("long.csv", index=False)
    code, out, err = command(capsys, "new", "long.csv")
    assert (code, err) == (0, "")
    assert "bayesdep check plan.toml" in out
    plan = tomllib.loads(Path("plan.toml").read_text())
    assert plan["data"]["columns"] == {
        "outcome": "HAM-D total", "subject": "patient_id", "arm": "treatment", "visit": "week",
        "baseline": "hamd_baseline",
    }  # fmt: skip
    assert plan["model"] == {"family": "trial", "reference": "placebo", "units": "HAM-D points"}
    code, out, err = command(capsys, "check", "plan.toml")
    assert (code, err) == (0, "")
    assert "60 subject" in out
    assert "prior of arm_effect, the difference between arms, mean over visits: Normal" in out
    assert "HAM-D points" in out


def test_what_the_table_does_not_tell_is_said_and_marked(desk, capsys):
    at(desk, "ketamine_trials")
    _, out, _ = command(capsys, "new", "ketamine_trials.csv")
    text = Path("plan.toml").read_text()
    for key in ("measure", "units", "scale"):
        assert f"CHECK {key}: " in out
    assert text.count("# CHECK:") == 3


def test_a_plan_is_not_overwritten_without_force(desk, capsys):
    at(desk, "bcg_trials")
    Path("plan.toml").write_text("mine")
    code, _, err = command(capsys, "new", "bcg_trials.csv")
    assert code == 2
    assert "'plan.toml' is there already; name another file, or replace it with --force" in err
    assert Path("plan.toml").read_text() == "mine"
    assert command(capsys, "new", "bcg_trials.csv", "--force")[0] == 0
    assert read_plan("plan.toml").model.family == "meta"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new", "none.csv"], "there is no data file 'none.csv'"),
        (["new", "t.csv"], "no family is recognised from the columns 'a', 'b'"),
        (["new", "t.csv", "--family", "trail"], "did you mean 'trial'?"),
        (["new", "t.csv", "--family", "trial"], "it reads 'outcome' (outcome), 'subject' (patient)"),
        (["new", "t.csv", "--out", "t.csv"], "is the table itself"),
        (["new", "t.csv", "--out", "plan.txt"], "is no .toml file; name one, such as 'plan.toml'"),
        (["new", "t.csv", "--out", "no/plan.toml"], "recognised"),
    ],
)
def test_where_no_plan_can_be_written_nothing_is(desk, capsys, words, said):
    Path("t.csv").write_text("a,b\n1,2\n3,4\n")
    code, out, err = command(capsys, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert [p.name for p in desk.iterdir()] == ["t.csv"]


def test_the_plan_finds_its_table_from_another_folder(desk, capsys):
    (desk / "plans").mkdir()
    at(desk, "bcg_trials")
    assert command(capsys, "new", "bcg_trials.csv", "--out", "plans/bcg.toml")[0] == 0
    assert read_plan("plans/bcg.toml").data.source == "../bcg_trials.csv"
    assert prepare(read_plan("plans/bcg.toml")).sizes["study"] == 13


# What is wrong with a plan, all at once.

BAD = """\
[study]
name = "bad"
title = "Bad"

[data]
source = "t.csv"
keep = { arm = "drugg" }

[data.columns]
outcome = "hamdd"
subjct = "subject"

[model]
family = "trial"
reference_ = "placebo"
covariance = "unstructuredd"
better = "up"

[priors]
arm_efect = { dist = "Normal", mu = 0, sigma = 5 }

[sampling]
draws = 2000

[[rope]]
estimand = "difference"
reason = "ours"
"""
TABLE = "subject,arm,visit,hamd\n" + "".join(f"P{i},{'drug' if i % 2 else 'placebo'},{v},{10 + i - v}\n"
                                             for i in range(8) for v in (1, 2))  # fmt: skip


def test_every_fault_of_a_plan_is_found_at_once(desk, capsys):
    Path("plan.toml").write_text(BAD)
    Path("t.csv").write_text(TABLE)
    code, out, err = command(capsys, "check", "plan.toml")
    assert (code, out) == (2, "")
    lines = err.splitlines()
    for said in (
        "rope of 'difference': give either margin",
        "data.columns.subjct: the trial family reads no such column; did you mean 'subject'?",
        "model.reference_: the trial family has no such setting; did you mean 'reference'?",
        "[data.keep] arm = 'drugg' is in no row of the table; did you mean 'drug'?",
    ):
        assert sum(said in line for line in lines) == 1, (said, err)
    assert not any("is missing" in line for line in lines)  # a misspelt key is not missing as well
    Path("plan.toml").write_text(BAD.replace("reference_ =", "reference =").replace("drugg", "drug"))
    _, _, err = command(capsys, "check", "plan.toml")
    for said in (
        "[model] covariance = 'unstructuredd' is not a choice; did you mean 'unstructured'?",
        "[model] better = 'up' is not a choice",
        "column 'hamdd' ([data.columns]) is not in the table; did you mean 'hamd'? then write [data.columns] outcome",
    ):
        assert said in err
    assert all(line.startswith("bayesdep: plan 'plan.toml': ") for line in err.splitlines())


def test_faults_of_keys_are_found_in_all_tables(desk):
    Path("plan.toml").write_text(
        '[study]\nname = "no spaces"\ntitle = 3\n[data]\nsource = 1\nmissing = [[1]]\n[model]\n'
        "[sampling]\ndraws = 1.5\nchain = 4\n"
    )
    faults = check_plan(Path("plan.toml")).faults
    assert len(faults) == 6
    for place in ("study.name", "study.title", "data.source", "data.missing", "sampling.draws", "sampling.chain"):
        assert sum(f"'{place}" in fault for fault in faults) == 1, place


def test_bad_rows_of_several_columns_are_found_at_once(desk):
    Path("plan.toml").write_text(
        '[study]\nname = "x"\ntitle = "x"\n[data]\nsource = "t.csv"\n[model]\nfamily = "meta"\n'
        'measure = "standardised-difference"\n'
    )
    Path("t.csv").write_text("study,effect,se\nA,1,0\nB,,1\nC,2,1\n")
    assert [re.search(r"column '(\w+)'", fault).group(1) for fault in check_plan(Path("plan.toml")).faults] == [
        "effect", "se",
    ]  # fmt: skip


def test_a_plan_whose_table_is_given_later_is_checked_without_it_and_with_it(desk):
    path = ROOT / "models" / "benchmarks" / "nimh_crossover.toml"
    checked = check_plan(path)
    assert checked.faults == ()
    assert "with --data PATH it is checked as well" in checked.lines[-1]
    (fault,) = check_plan(path, data=desk / "none.csv").faults
    assert "none.csv" in fault


def test_a_run_says_that_there_are_more_faults(desk, capsys):
    Path("plan.toml").write_text(BAD)
    Path("t.csv").write_text(TABLE)
    code, _, err = command(capsys, "run", "plan.toml")
    assert code == 2
    assert err.count("\n") == 1
    assert "bayesdep check" in err


# Explained from docstrings and dataclasses.


@pytest.mark.parametrize("family", SHIPPED)
def test_a_family_is_explained_with_its_keys_priors_and_estimands(family):
    text = explain(family)
    about = documented(family)
    assert about.summary.split()[0] in text
    assert "generative model" in text or family == "meta"
    for key in about.keys.values():
        assert re.search(rf"^{key.name}\b", text, re.MULTILINE)
        assert key.meaning, f"{family}.{key.name} has no meaning in the docstring"
    model = example_of(about)
    assert model is not None
    for name in model.slots:
        assert f"{name} ~ " in text
    for name in model.primary_estimands:
        assert name in text


def test_keys_of_families_and_of_tables_are_explained():
    assert explain("trial.covariance").splitlines()[0] == 'covariance = "unstructured"'
    assert "relative to the plan's folder" in " ".join(explain("data.source").split())
    assert explain("meta.measure").startswith("measure (needed)")
    assert all(field.description for one in TABLES.values() for field in one.model_fields.values())


@pytest.mark.parametrize(
    ("asked", "said"),
    [("trail", "did you mean 'trial'?"), ("trial.covarance", "did you mean 'covariance'?"), ("data.sorce", "source")],
)
def test_what_cannot_be_explained_names_the_nearest(asked, said):
    with pytest.raises(BadInput, match=re.escape(said)):
        explain(asked)


# The schema for editors.

VALIDATOR = jsonschema.Draft7Validator(plan_schema())


def test_the_stored_schema_is_the_packages():
    """Renew it with: bayesdep schema > models/plan.schema.json."""
    assert (ROOT / "models" / FILE).read_text() == schema_text()
    jsonschema.Draft7Validator.check_schema(plan_schema())


@pytest.mark.parametrize("path", find_plans(ROOT / "models"), ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_every_shipped_plan_validates_and_names_the_schema(path):
    text = path.read_text()
    assert text.startswith(f"{HEADER}\n")
    assert (path.parent / HEADER.removeprefix("#:schema ")).is_file()
    assert list(VALIDATOR.iter_errors(tomllib.loads(text))) == []


@pytest.mark.parametrize("family", SHIPPED)
def test_the_hostile_tests_own_good_plans_validate(family):
    assert list(VALIDATOR.iter_errors(json.loads(json.dumps(BASES[family].plan())))) == []


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        ((), "studdy", {}),
        (("study",), "title_", "x"),
        (("data",), "sorce", "x"),
        (("data", "columns"), "outcom", "x"),
        (("model",), "reference_", "x"),
        (("model",), "covariance", "unstructuredd"),
        (("model",), "family", "trail"),
        (("model",), "by_arm", "yes"),
        (("priors",), "arm_effect", {"dist": "Norml", "mu": 0, "sigma": 1}),
        (("priors",), "arm_effect", {"dist": "Normal", "mu": 0}),
        (("sampling",), "draw", 10),
        (("sampling",), "draws", "many"),
    ],
)
def test_a_misspelt_key_or_choice_fails_the_schema(place, key, value):
    plan = tomllib.loads((ROOT / "models" / "raison2013" / "crp_none.toml").read_text())
    inner = plan
    for name in place:
        inner = inner.setdefault(name, {})
    inner[key] = value
    assert list(VALIDATOR.iter_errors(plan)) != []


# Shipped plans.


def test_shipped_plans_are_listed_and_copied(desk, capsys):
    code, out, _ = command(capsys, "plans", "list")
    assert code == 0
    assert len(out.splitlines()) == len(find_plans(ROOT / "models"))
    assert command(capsys, "plans", "copy", "kiraly2017")[0] == 0
    for path in find_plans(desk / "kiraly2017"):
        assert read_plan(path).text == (ROOT / "models" / "kiraly2017" / path.name).read_text()
    assert (desk / FILE).read_text() == schema_text()
    code, _, err = command(capsys, "plans", "copy", "kiraly2017")
    assert code == 2
    assert "is there already" in err
    (desk / "kiraly2017" / "mine.toml").write_text("mine")
    assert command(capsys, "plans", "copy", "kiraly2017", "--force")[0] == 0
    assert (desk / "kiraly2017" / "mine.toml").read_text() == "mine"
    code, _, err = command(capsys, "plans", "copy", "raison")
    assert code == 2
    assert "did you mean 'raison2013'?" in err


# Version and completion.


def test_the_version_comes_from_one_place(capsys):
    assert command(capsys, "--version")[:2] == (0, f"bayesdep {bd.__version__}\n")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "bayesdep.__version__"}
    assert f"\nversion: {bd.__version__}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_families_are_completed_in_a_shell(shell, capsys, monkeypatch):
    monkeypatch.setenv("_BAYESDEP_COMPLETE", f"complete_{shell}")
    asked = {"COMP_WORDS": "bayesdep explain tr", "COMP_CWORD": "2", "_TYPER_COMPLETE_ARGS": "bayesdep explain tr",
             "_TYPER_COMPLETE_FISH_ACTION": "get-args"}  # fmt: skip
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    _, out, _ = command(capsys)
    assert re.findall(r"tr\w+", out) == ["trajectories", "transitions", "trial"]
