"""Every bad input is one sentence that names the column, row or key and the remedy; nothing is written."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr

import bayesdep as bd
from bayesdep.cli import main
from bayesdep.data.errors import BadInput, speaking_toml
from bayesdep.models.register import make_model
from bayesdep.plan import find_plans, fit_plan, prepare, read_plan

META = """\
[study]
name = "demo"
title = "A demonstration"

[data]
source = "table.csv"

[data.columns]
study = "trial"
effect = "change"
se = "error"

[model]
family = "meta"
measure = "difference"
units = "points"

[priors]
mu = { dist = "Normal", mu = 0, sigma = 10 }
tau = { dist = "HalfNormal", sigma = 5 }

[sampling]
draws = 500
"""
META_TABLE = "trial,change,error\nOslo,-3.5,1.2\nLima,-1.0,0.9\nBern,-2.2,1.5\n"

COUNTS = """\
[study]
name = "demo"
title = "A demonstration"

[data]
source = "table.csv"

[data.columns]
events = "responders"

[model]
family = "counts"
control = "placebo"
pooling = "partial"
"""
COUNTS_TABLE = "subgroup,arm,responders,n\nhigh,drug,8,13\nhigh,placebo,3,9\nlow,drug,7,17\nlow,placebo,12,21\n"

SCREEN = """\
[study]
name = "demo"
title = "A demonstration"

[data]
source = "table.csv"

[model]
family = "screen"
condition = "ill"
"""
SCREEN_TABLE = "group,positives,n\nill,15,19\nwell,1,12\n"

BASES = {"meta": (META, META_TABLE), "counts": (COUNTS, COUNTS_TABLE), "screen": (SCREEN, SCREEN_TABLE)}


@dataclass(frozen=True)
class Case:
    """A plan (or its table) with one thing wrong, and the words its message must hold."""

    says: tuple[str, ...]
    base: str = "meta"
    plan: tuple[str, str] | None = None  # what to replace in the plan's text, and with what
    table: tuple[str, str] | None = None  # the same in the table's
    add: str = ""  # what to add at the end of the plan
    file: tuple[str, bytes] | None = None  # another file to write
    direct: bool = False  # whether the model and the table, without a plan, refuse in the very same words
    python: tuple[Callable[[], object], tuple[str, ...]] | None = None  # the call that makes the same mistake


def replaced(text: str, change: tuple[str, str] | None) -> str:
    if change is None:
        return text
    old, new = change
    assert text.count(old) == 1, f"{old!r} must stand once in the text that a case changes"
    return text.replace(old, new)


def meta(**settings):
    return bd.Meta(**{"measure": "standardised-difference", "study": "trial", **settings})


def trials(**columns):
    return pd.DataFrame({"trial": ["Oslo", "Lima"], "effect": [0.1, 0.2], "se": [0.1, 0.2], **columns})


LINE = "[[published]]\n"

PLANS = {
    # Keys that no table of a plan has.
    "unknown table": Case(("unknown key 'samplng'", "did you mean 'sampling'?"), plan=("[sampling]", "[samplng]")),
    "unknown key in study": Case(("unknown key 'study.tilte'", "did you mean 'title'?"), plan=("title =", "tilte =")),
    "unknown key in data": Case(("unknown key 'data.sorce'", "did you mean 'source'?"), plan=("source =", "sorce =")),
    "unknown key in sampling": Case(
        ("unknown key 'sampling.drawss'", "did you mean 'draws'?"), plan=("draws =", "drawss =")
    ),
    "unknown key in a published row": Case(
        ("unknown key 'published.1.vlaue'", "did you mean 'value'?"),
        add='[[published]]\nestimand = "mu"\nsource = "A 2020"\nvlaue = 1\n',
    ),
    "unknown word in data.columns": Case(
        ("data.columns.studdy", "did you mean 'study'?"), plan=("study = ", "studdy = ")
    ),
    "unknown setting": Case(
        ("model.mesure", "the meta family has no such setting", "did you mean 'measure'?"),
        plan=("measure =", "mesure ="),
        direct=True,
    ),
    "unknown key far from any": Case(
        ("unknown key 'sampling.xyzzy'", "known: chains, draws, max_tree_depth, sampler, seed, target_accept, tune"),
        plan=("draws = 500", "xyzzy = 500"),
    ),
    # Values of the wrong kind.
    "text for a whole number": Case(
        ("'sampling.draws' is 'many'", "a whole number"),
        plan=("draws = 500", 'draws = "many"'),
        python=(lambda: bd.fit(meta(), trials(), draws="many"), ("draws = 'many'", "a whole number")),
    ),
    "number with a point for a whole one": Case(
        ("'sampling.chains' is 2.5", "a whole number"),
        plan=("draws = 500", "chains = 2.5"),
        python=(lambda: bd.fit(meta(), trials(), chains=2.5), ("chains = 2.5", "a whole number")),
    ),
    "true for a whole number": Case(
        ("'sampling.tune' is true", "a whole number"),
        plan=("draws = 500", "tune = true"),
        python=(lambda: bd.fit(meta(), trials(), tune=True), ("tune = True", "a whole number")),
    ),
    "too few draws": Case(
        ("'sampling.draws' is 2", "4"),
        plan=("draws = 500", "draws = 2"),
        python=(lambda: bd.fit(meta(), trials(), draws=2), ("draws = 2", "at least 4")),
    ),
    "seed below zero": Case(
        ("'sampling.seed' is -1", "0"),
        plan=("draws = 500", "seed = -1"),
        python=(lambda: bd.fit(meta(), trials(), seed=-1), ("seed = -1", "at least 0")),
    ),
    "table for text": Case(
        ("'study.title' is a table", "text"), plan=('title = "A demonstration"', 'title = { en = "A" }')
    ),
    "array for text": Case(("'study.title' is an array", "text"), plan=('title = "A demonstration"', 'title = ["A"]')),
    "empty text": Case(("'study.title' is ''", "some text is needed"), plan=('"A demonstration"', '""')),
    "text for an array": Case(
        ("'data.require' is 'error'", "an array"),
        plan=('source = "table.csv"', 'source = "table.csv"\nrequire = "error"'),
    ),
    "array for a table": Case(
        ("'study' is an array", "a table"),
        plan=('[study]\nname = "demo"\ntitle = "A demonstration"\n', "study = [1]\n"),
    ),
    "text for a number": Case(
        ("'published.1.value' is '4.98'", "a number"),
        add='[[published]]\nestimand = "mu"\nsource = "A 2020"\nvalue = "4.98"\n',
    ),
    "number for the study's name": Case(("'study.name' is 2013", "text"), plan=('name = "demo"', "name = 2013")),
    "study name that is no folder's": Case(
        ("'study.name' is 'de mo/..'", "letters, digits"), plan=('name = "demo"', 'name = "de mo/.."')
    ),
    "number for a setting that is text": Case(
        ("units = 3", "text"), plan=('units = "points"', "units = 3"), direct=True
    ),
    "number for the family": Case(("model.family", "3", "text"), plan=('family = "meta"', "family = 3")),
    # Things missing.
    "no study": Case(
        ("'study' is missing", "add it"),
        plan=('[study]\nname = "demo"\ntitle = "A demonstration"\n', ""),
    ),
    "no title": Case(("'study.title' is missing", "add it"), plan=('title = "A demonstration"\n', "")),
    "no source": Case(("'data.source' is missing", "add it"), plan=('source = "table.csv"\n', "")),
    "no family": Case(("model.family is missing", 'family = "meta"'), plan=('family = "meta"\n', "")),
    "no measure": Case(
        ("model.measure is missing", "meta family needs it"),
        plan=('measure = "difference"\nunits = "points"\n', ""),
    ),
    "no control arm": Case(
        ("model.control is missing", "counts family needs it"),
        base="counts",
        plan=('control = "placebo"\n', ""),
    ),
    # Words nobody knows.
    "unknown family": Case(
        ("model.family = 'mtea'", "did you mean 'meta'?"),
        plan=('"meta"', '"mtea"'),
        direct=True,
    ),
    "wrong choice of a setting": Case(
        ("pooling = 'patrial'", "did you mean 'partial'?"),
        base="counts",
        plan=('"partial"', '"patrial"'),
        direct=True,
    ),
    "wrong choice of a sampler": Case(
        ("'sampling.sampler' is 'nuts'", "'nutpie', 'pymc' or 'exact'"),
        plan=("draws = 500", 'sampler = "nuts"'),
        python=(lambda: bd.fit(meta(), trials(), sampler="nuts"), ("sampler = 'nuts'", "nutpie, pymc, exact")),
    ),
    "settings that contradict each other": Case(
        ("units = 'points'", "'difference' only"),
        plan=('measure = "difference"', 'measure = "log-odds-ratio"'),
        direct=True,
    ),
    "unit that cannot be a dim": Case(
        ("unit = 'two words'", "use one word"),
        plan=('units = "points"', 'units = "points"\nunit = "two words"'),
        direct=True,
    ),
    "column named twice": Case(
        ("'study'", "both [model] and [data.columns]", "keep it in"),
        plan=('units = "points"', 'units = "points"\nstudy = "trial"'),
    ),
    "priors in the wrong table": Case(
        ("model.priors is not a setting", "[priors]"),
        plan=('units = "points"', 'units = "points"\npriors = {}'),
    ),
    # Priors.
    "unknown distribution": Case(
        ("priors.mu", "no distribution 'Normall'", "did you mean 'Normal'?"),
        plan=('"Normal"', '"Normall"'),
        direct=True,
    ),
    "impossible parameter": Case(
        ("priors.mu", "sigma = -10", "above zero"),
        plan=("sigma = 10", "sigma = -10"),
        direct=True,
    ),
    "parameter that is text": Case(
        ("priors.mu", "sigma = 'wide'", "finite number"),
        plan=("sigma = 10", 'sigma = "wide"'),
        direct=True,
    ),
    "parameter that is infinite": Case(
        ("priors.mu", "sigma = inf", "finite number"),
        plan=("sigma = 10", "sigma = inf"),
        direct=True,
    ),
    "missing parameter": Case(
        ("priors.mu", "'sigma' is missing", "mu and sigma"),
        plan=("mu = 0, sigma = 10", "mu = 0"),
        direct=True,
    ),
    "unknown parameter": Case(
        ("priors.mu", "no parameter 'sd'", "mu, sigma"),
        plan=("sigma = 10", "sd = 10"),
        direct=True,
    ),
    "bounds in the wrong order": Case(
        ("priors.mu", "lower = 5 is not below upper = 1", "swap them"),
        plan=('dist = "Normal", mu = 0, sigma = 10', 'dist = "Uniform", lower = 5, upper = 1'),
        direct=True,
    ),
    "prior that is a number": Case(
        ("priors.mu is 3", "write it as"),
        plan=('mu = { dist = "Normal", mu = 0, sigma = 10 }', "mu = 3"),
        direct=True,
    ),
    "prior outside its support": Case(
        ("priors.tau", "Normal(mu=0, sigma=5) reaches outside", "choose a distribution"),
        plan=('"HalfNormal", sigma = 5', '"Normal", mu = 0, sigma = 5'),
        direct=True,
    ),
    "prior for no parameter": Case(
        ("priors.tua", "no such parameter", "did you mean 'tau'?"),
        plan=("tau = {", "tua = {"),
        direct=True,
    ),
    "no prior for a raw difference": Case(
        ("priors.tau is missing", "points", "give a prior"),
        plan=('tau = { dist = "HalfNormal", sigma = 5 }\n', ""),
        direct=True,
    ),
    "prior of the wrong kind for an exact posterior": Case(
        ("priors.sensitivity", "Uniform(lower=0, upper=1) is not a Beta", "use Beta"),
        base="screen",
        add='[priors]\nsensitivity = { dist = "Uniform", lower = 0, upper = 1 }\n',
        direct=True,
    ),
    # Where the data are.
    "not a source": Case(("source = 'table.xlsx'", "give a .csv or .parquet"), plan=("table.csv", "table.xlsx")),
    "missing data file": Case(
        ("no data file", "tabel.csv", "relative to the plan's folder"), plan=("table.csv", "tabel.csv")
    ),
    "unknown published table": Case(
        ("no published table 'kiraly2017_table3'", "did you mean 'kiraly2017_table2'?"),
        plan=('"table.csv"', '"published:kiraly2017_table3"'),
        python=(
            lambda: bd.load("kiraly2017_table3"),
            ("no published table 'kiraly2017_table3'", "did you mean 'kiraly2017_table2'?"),
        ),
    ),
    "unknown simulator": Case(
        ("no simulator 'bcg_trails'", "did you mean 'bcg_trials'?"),
        plan=('"table.csv"', '"simulate:bcg_trails"\nseed = 1'),
        python=(lambda: bd.simulate("bcg_trails", seed=1), ("no simulator 'bcg_trails'", "did you mean 'bcg_trials'?")),
    ),
    "simulator without a seed": Case(
        ("source = 'simulate:bcg_trials'", "seed = 1"), plan=('"table.csv"', '"simulate:bcg_trials"')
    ),
    "required column that is not there": Case(
        ("require names column 'errors'", "did you mean 'error'?"),
        plan=('source = "table.csv"', 'source = "table.csv"\nrequire = ["errors"]'),
    ),
    "binary file": Case(
        ("photo.csv", "cannot be read as csv", "check that the file is whole"),
        plan=("table.csv", "photo.csv"),
        file=("photo.csv", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xfe"),
    ),
    "text under the name of a parquet file": Case(
        ("table.parquet", "cannot be read as parquet", "check that the file is whole"),
        plan=("table.csv", "table.parquet"),
        file=("table.parquet", META_TABLE.encode()),
    ),
    "file of nothing": Case(
        ("nothing.csv", "cannot be read as csv", "check that the file is whole"),
        plan=("table.csv", "nothing.csv"),
        file=("nothing.csv", b""),
    ),
    "rows longer than the header": Case(
        ("cannot be read as csv", "more cells than the header", "name every column"),
        table=("Oslo,-3.5,1.2", "Oslo,-3.5,1.2,9"),
    ),
    "header with a name twice": Case(
        ("the header has 'trial' twice", "rename"), table=("trial,change,error", "trial,trial,error")
    ),
    # What is in the data.
    "header and nothing else": Case(
        ("the table has no rows", "check the file"),
        table=("Oslo,-3.5,1.2\nLima,-1.0,0.9\nBern,-2.2,1.5\n", ""),
        direct=True,
    ),
    "missing column": Case(
        ("column 'error' (standard error) is not in the table", "[data.columns]", "did you mean 'errors'?"),
        table=("trial,change,error", "trial,change,errors"),
        direct=True,
    ),
    "duplicated study": Case(
        ("column 'trial'", "study 'Oslo' stands in rows 1 and 2", "keep one row"),
        table=("Lima", "Oslo"),
        direct=True,
    ),
    "negative standard error": Case(
        ("column 'error' (standard error)", "row 2 is -0.9", "above zero", "correct it"),
        table=("0.9", "-0.9"),
        direct=True,
    ),
    "standard error of zero": Case(
        ("column 'error' (standard error)", "row 3 is 0", "above zero", "correct it"),
        table=("1.5", "0"),
        direct=True,
    ),
    "empty cell": Case(
        ("column 'change' (estimated effect)", "row 2 is empty", 'require = ["change"]'),
        table=("-1.0", ""),
        direct=True,
    ),
    "empty label": Case(
        ("column 'trial' (study label)", "row 2 is empty", "fill it in"),
        table=("Lima", "  "),
        direct=True,
    ),
    "text among numbers": Case(
        ("column 'change' (estimated effect)", "row 1 is '-3,5 points'", "decimal point"),
        table=("-3.5", '"-3,5 points"'),
        direct=True,
    ),
    "cell with a line break": Case(
        ("column 'change' (estimated effect)", "row 1 is", "decimal point"),
        table=("-3.5", '"-3\n5"'),
        direct=True,
    ),
    "infinite value": Case(
        ("column 'error' (standard error)", "row 1 is inf", "correct it"),
        table=("1.2", "inf"),
        direct=True,
    ),
    "one study only": Case(
        ("the table has one study", "give at least two"),
        table=("Lima,-1.0,0.9\nBern,-2.2,1.5\n", ""),
        direct=True,
    ),
    "more events than people": Case(
        ("column 'responders' (people with the event)", "row 1 (high, drug) has 14 of 13", "check both"),
        base="counts",
        table=("8,13", "14,13"),
        direct=True,
    ),
    "nobody in a cell": Case(
        ("column 'n' (people)", "row 2 (high, placebo) is 0", "leave subgroup 'high' out"),
        base="counts",
        table=("3,9", "0,0"),
        direct=True,
    ),
    "half a responder": Case(
        ("column 'responders'", "row 1 is 8.5", "a whole number"),
        base="counts",
        table=("8,13", "8.5,13"),
        direct=True,
    ),
    "duplicated cell": Case(
        ("column 'subgroup' and 'arm'", "'high / drug' stands in rows", "keep one row"),
        base="counts",
        table=("low,drug", "high,drug"),
        direct=True,
    ),
    "missing cell": Case(
        ("subgroup 'low' has no row for arm 'placebo'", "add it"),
        base="counts",
        table=("low,placebo,12,21\n", ""),
        direct=True,
    ),
    "unknown control arm": Case(
        ("control = 'palcebo'", "column 'arm'", "did you mean 'placebo'?"),
        base="counts",
        plan=('"placebo"', '"palcebo"'),
        direct=True,
    ),
    "one arm": Case(
        ("column 'arm' has one arm, 'placebo'", "a second one"),
        base="counts",
        table=(COUNTS_TABLE.partition("\n")[2], "high,placebo,3,9\nlow,placebo,12,21\n"),
        direct=True,
    ),
    "one subgroup": Case(
        ("column 'subgroup' has one subgroup, 'high'", "pooling = 'none'"),
        base="counts",
        table=("low,drug,7,17\nlow,placebo,12,21\n", ""),
        direct=True,
    ),
    "three groups in a two-by-two table": Case(
        ("column 'group' has 3 groups", "keep two"),
        base="screen",
        table=("well,1,12\n", "well,1,12\nunsure,2,5\n"),
        direct=True,
    ),
    "unknown condition": Case(
        ("condition = 'sick'", "column 'group'", "known: ill, well"),
        base="screen",
        plan=('"ill"', '"sick"'),
        direct=True,
    ),
    # Published rows.
    "published row of no estimand": Case(
        ("[[published]] row 1", "no estimand 'theta_nwe'", "did you mean 'theta_new'?"),
        add=LINE + 'estimand = "theta_nwe"\nsource = "A 2020"\nvalue = 1\n',
    ),
    "published row without a place": Case(
        ("[[published]] row 1", "'theta' has a value for each study", "add at = { study ="),
        add=LINE + 'estimand = "theta"\nsource = "A 2020"\nvalue = 1\n',
    ),
    "published row of a dim that is not there": Case(
        ("[[published]] row 1", "'theta' has no dim 'studdy'", "did you mean 'study'?"),
        add=LINE + 'estimand = "theta"\nsource = "A 2020"\nvalue = 1\nat = { study = "Oslo", studdy = "Oslo" }\n',
    ),
    "published row of a dim of a scalar": Case(
        ("[[published]] row 1", "'mu' has no dim 'study'", "remove it"),
        add=LINE + 'estimand = "mu"\nsource = "A 2020"\nvalue = 1\nat = { study = "Oslo" }\n',
    ),
    "published row of an unknown label": Case(
        ("[[published]] row 1", "'Olso' is no study of 'theta'", "did you mean 'Oslo'?"),
        add=LINE + 'estimand = "theta"\nsource = "A 2020"\nvalue = 1\nat = { study = "Olso" }\n',
    ),
    "published row with nothing in it": Case(
        ("[[published]] row 2", "nothing is published about 'mu'", "give value"),
        add=LINE + 'estimand = "mu"\nsource = "A 2020"\nvalue = 1\n\n' + LINE + 'estimand = "mu"\nsource = "A 2020"\n',
    ),
    "impossible P value": Case(
        ("'published.1.p' is 1.5", "1"),
        add=LINE + 'estimand = "mu"\nsource = "A 2020"\ndirection = "above"\np = 1.5\n',
    ),
}


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """Work in an empty folder, so that anything a command writes by default is seen."""
    monkeypatch.chdir(tmp_path)
    kept = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, kept)  # the command line puts its own in place


def everything(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, hidden ones too, with the content of files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


def complaint(capsys: pytest.CaptureFixture[str], words: list[str], code: int = 2) -> str:
    """Run the command line in this process; return its one line on stderr."""
    with pytest.raises(SystemExit) as ending:
        main(words)
    printed = capsys.readouterr()
    assert ending.value.code == code, printed.err
    lines = printed.err.splitlines()
    assert len(lines) == 1, printed.err
    assert lines[0].startswith("bayesdep: ")
    assert "Traceback" not in printed.err
    assert printed.out == ""
    return lines[0].removeprefix("bayesdep: ")


def write_case(case: Case, folder: Path) -> Path:
    plan, table = BASES[case.base]
    (folder / "table.csv").write_text(replaced(table, case.table), encoding="utf-8")
    if case.file is not None:
        (folder / case.file[0]).write_bytes(case.file[1])
    path = folder / "demo.toml"
    path.write_text(replaced(plan, case.plan) + case.add, encoding="utf-8")
    return path


@pytest.mark.parametrize("base", BASES)
def test_the_plans_that_the_cases_spoil_are_good(base, desk):
    prepare(read_plan(write_case(Case((), base=base), desk)))


@pytest.mark.parametrize("case", PLANS.values(), ids=list(PLANS))
def test_command_line_and_python_refuse_a_bad_plan_with_the_same_sentence(case, desk, capsys):
    path = write_case(case, desk)
    before = everything(desk)
    message = complaint(capsys, ["run", str(path), "--out", "out"])
    with pytest.raises(BadInput) as refused:
        bd.run_plan(path, out=desk / "out")
    assert everything(desk) == before
    assert alone(message) == str(refused.value)
    assert message.startswith(f"plan '{path}': ")
    for words in case.says:
        assert words in message


def in_python(case: Case) -> None:
    """Build the case's model by its class or the register, and give it the case's table."""
    plan, table = BASES[case.base]
    said = tomllib.loads(replaced(plan, case.plan) + case.add)
    settings = said["model"] | said["data"].get("columns", {}) | {"priors": said.get("priors", {})}
    model = make_model(settings.pop("family"), settings)
    model.prepare(pd.read_csv(StringIO(replaced(table, case.table))))


DIRECT = {name: case for name, case in PLANS.items() if case.direct}
CALLS = {name: case for name, case in PLANS.items() if case.python is not None}


@pytest.mark.parametrize("case", DIRECT.values(), ids=list(DIRECT))
def test_model_and_table_without_a_plan_refuse_with_the_same_sentence(case, desk, capsys):
    with pytest.raises(BadInput) as refused, speaking_toml():
        in_python(case)
    path = write_case(case, desk)
    assert alone(complaint(capsys, ["run", str(path)])) == f"plan '{path}': {refused.value}"


@pytest.mark.parametrize("case", DIRECT.values(), ids=list(DIRECT))
def test_a_model_without_a_plan_speaks_of_no_table_of_one(case):
    """Where nobody wrote a plan, no remedy is to be written into one."""
    with pytest.raises(BadInput) as refused:
        in_python(case)
    assert not re.search(r"\[(data|model|data\.columns|data\.keep)\]", str(refused.value))


@pytest.mark.parametrize("case", CALLS.values(), ids=list(CALLS))
def test_call_without_a_plan_refuses_the_same_mistake(case):
    call, says = case.python
    with pytest.raises(BadInput) as refused:
        call()
    message = str(refused.value)
    assert len(message.splitlines()) == 1
    for words in says:
        assert words in message


def test_constructors_refuse_a_missing_setting_as_python_does():
    """A call with an argument missing is a mistake in code, not in input: Python's own error serves."""
    with pytest.raises(TypeError, match="measure"):
        bd.Meta()
    with pytest.raises(TypeError, match="control"):
        bd.Counts()


# The plan's file.


def alone(message: str) -> str:
    """The first fault, as Python says it, without how many more the command found."""
    return re.sub(r" \(\d+ more: bayesdep check PLAN lists all\)$", "", message)


def refused_plan(path: Path) -> str:
    with pytest.raises(BadInput) as refused:
        read_plan(path)
    return str(refused.value)


FILES = {
    "not TOML": (b"[study\nname = 1\n", ("is not TOML", "line 1", "correct that line")),
    "a key twice": (b'[study]\nname = "a"\nname = "b"\n', ("is not TOML", "line 3", "correct that line")),
    "not UTF-8": ('[study]\ntitle = "Größe"\n'.encode("latin-1"), ("not UTF-8", "give a .toml file")),
    "binary": (b"\x89PNG\r\n\x1a\n\xff\xfe", ("not UTF-8", "give a .toml file")),
    "empty": (b"", ("'study' is missing", "add it")),
}


@pytest.mark.parametrize(("content", "says"), FILES.values(), ids=list(FILES))
def test_a_file_that_is_no_plan_is_refused_in_one_sentence(content, says, desk, capsys):
    (desk / "demo.toml").write_bytes(content)
    message = complaint(capsys, ["run", "demo.toml", "--out", "out"])
    assert alone(message) == refused_plan(Path("demo.toml"))
    assert "plan 'demo.toml'" in message
    for words in says:
        assert words in message
    assert set(everything(desk)) == {"demo.toml"}


@pytest.mark.parametrize(
    ("asked", "remedy"),
    [
        ("screeen.toml", "did you mean 'screen.toml'?"),
        ("screen", "did you mean 'screen.toml'?"),
        ("xyzzy.toml", "give the path of a .toml file"),
        ("nowhere/screen.toml", "give the path of a .toml file"),
    ],
)
def test_missing_plan_is_refused_with_the_nearest_one_suggested(asked, remedy, desk, capsys):
    (desk / "screen.toml").write_text(SCREEN)
    message = complaint(capsys, ["run", asked])
    assert message == f"there is no plan '{asked}'; {remedy}" == refused_plan(Path(asked))
    assert set(everything(desk)) == {"screen.toml"}


def test_a_folder_is_no_plan(desk, capsys):
    (desk / "plans.toml").mkdir()
    message = complaint(capsys, ["run", "plans.toml"])
    assert message.startswith("plan 'plans.toml' cannot be read")
    assert "give a .toml file" in message


# Where the run is to go.


@pytest.fixture
def good(desk):
    return write_case(Case((), base="screen"), desk)


def refused_run(path: Path, out: str) -> str:
    with pytest.raises(BadInput) as refused:
        bd.run_plan(path, out=out)
    return str(refused.value)


def place_below_a_file(folder):
    (folder / "file").write_text("mine")
    return "file/run"


def place_that_is_a_file(folder):
    (folder / "file").write_text("mine")
    return "file"


def place_of_someone_else(folder):
    (folder / "photos").mkdir()
    (folder / "photos" / "me.png").write_bytes(b"mine")
    return "photos"


def place_where_failures_go_is_taken(folder):
    (folder / "run-failed").write_text("mine")
    return "run"


PLACES = {
    "below a file": (place_below_a_file, ("file' is not writable", "'file/run'", "--out")),
    "a file": (place_that_is_a_file, ("'file' is a file", "give a directory")),
    "someone else's folder": (place_of_someone_else, ("'photos' is not empty", "give an empty or new")),
    "a file where failures go": (place_where_failures_go_is_taken, ("'run-failed' is a file", "directory")),
    "the folder one stands in": (lambda _: ".", ("'.' holds the folder this runs in", "give one inside it")),
    "the folder above": (lambda _: "..", ("'..' holds the folder this runs in", "give one inside it")),
    "the root": (lambda folder: folder.anchor, ("holds the folder this runs in", "give one inside it")),
    "a name too long": (lambda _: "x" * 300, ("cannot be written", "--out")),
}


@pytest.mark.parametrize(("make", "says"), PLACES.values(), ids=list(PLACES))
def test_place_that_cannot_hold_a_run_is_refused_before_sampling(make, says, good, desk, capsys, monkeypatch):
    out = make(desk)
    before = everything(desk)
    monkeypatch.setattr("bayesdep.plan.fit_plan", lambda *_, **__: pytest.fail("sampled before looking"))
    message = complaint(capsys, ["run", str(good), "--out", out])
    assert message == refused_run(good, out)
    for words in says:
        assert words in message
    assert everything(desk) == before


def test_exact_sampler_for_a_posterior_that_is_not_known_is_refused(desk, capsys):
    path = write_case(Case((), base="counts", add='[sampling]\nsampler = "exact"\n'), desk)
    before = everything(desk)
    message = complaint(capsys, ["run", str(path), "--out", "out"])
    assert message == refused_run(path, "out")
    assert message.startswith("sampler = 'exact', but the posterior of these Counts settings is not known exactly")
    assert message.endswith("use 'nutpie'")
    assert everything(desk) == before


def test_folder_without_permission_is_refused_before_sampling(good, desk, capsys, monkeypatch):
    (desk / "locked").mkdir()
    allowed = os.access  # an administrator may write anywhere, so the answer of the system is put in its mouth
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked" and allowed(path, mode))
    monkeypatch.setattr("bayesdep.plan.fit_plan", lambda *_, **__: pytest.fail("sampled before looking"))
    message = complaint(capsys, ["run", str(good), "--out", "locked/run"])
    assert "locked' is not writable" in message
    assert "give another with --out" in message
    assert everything(desk / "locked") == {}


def full(*_, **__):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("what", ["bayesdep.inference.fit.Fit.save", "bayesdep.reporting.run_directory.write_manifest"])
def test_disk_that_fills_up_is_one_sentence_and_leaves_nothing(what, good, desk, capsys, monkeypatch):
    before = everything(desk)
    monkeypatch.setattr(what, full)
    message = complaint(capsys, ["run", str(good), "--out", "out"])
    assert "out' cannot be written (No space left on device); choose another place" in message
    assert everything(desk) == before


def test_out_with_two_plans_is_refused(good, desk, capsys):
    (desk / "other.toml").write_text(SCREEN)
    message = complaint(capsys, ["run", str(good), "other.toml", "--out", "out"])
    assert message == "--out 'out' can hold one run, but 2 plans are given; run them one by one"


def test_two_plans_of_one_name_are_refused(good, capsys):
    message = complaint(capsys, ["run", str(good), str(good)])
    assert "would both be demo/demo; rename a file or its study" in message


@pytest.mark.parametrize("words", [["run", "demo.toml", "later.toml"], ["reproduce", "--models", "."]])
def test_bad_data_of_a_later_plan_are_refused_before_the_first_is_run(words, good, desk, capsys):
    (desk / "later.toml").write_text(SCREEN.replace('"table.csv"', '"tabel.csv"'))
    before = everything(desk)
    assert "there is no data file 'tabel.csv'" in complaint(capsys, words)
    assert everything(desk) == before


@pytest.mark.sampling
def test_the_first_result_does_not_wait_for_a_check_of_the_packages_own_data(tmp_path, monkeypatch, capsys):
    """A fault in a later plan of such data ends the command after it, and leaves nothing half-written."""
    shipped = Path(__file__).parents[1] / "models"
    (tmp_path / "plans").mkdir()
    shutil.copy(shipped / "benchmarks" / "eight_schools.toml", tmp_path / "plans")
    fault = (shipped / "raison2013" / "crp_none.toml").read_text().replace('"placebo"', '"plazebo"')
    (tmp_path / "plans" / "later.toml").write_text(fault)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ending:
        main(["reproduce", "--models", "plans"])
    assert ending.value.code == 2
    assert "plan 'plans/later.toml': reference = 'plazebo'" in capsys.readouterr().err.splitlines()[-1]
    runs = sorted(str(p.parent.relative_to(tmp_path)) for p in tmp_path.rglob("manifest.json"))
    assert runs == ["results/benchmarks/eight_schools"]
    assert not list(tmp_path.rglob(".*partial*"))


# The other commands.

COMMANDS = {
    "compare one plan": (["compare", "demo.toml"], ("needs two plans or more", "give another")),
    "compare an empty folder": (["compare", "empty"], ("no plans (.toml files) in 'empty'", "run this where")),
    "compare what is not there": (["compare", "nowhere"], ("no plan 'nowhere'", "give the path")),
    "reproduce an empty folder": (["reproduce", "--models", "empty"], ("in 'empty'", "run this where")),
    "reproduce what is not there": (["reproduce", "--models", "nowhere"], ("in 'nowhere'", "run this where")),
    "reproduce below a file": (
        ["reproduce", "--models", "plans", "--out", "demo.toml"],
        ("demo.toml' is not writable", "--out"),
    ),
    "simulate an unknown design": (
        ["simulate", "bcg_trails", "--seed", "1", "--out", "made.csv"],
        ("no simulator 'bcg_trails'", "did you mean 'bcg_trials'?"),
    ),
    "simulate with a seed below zero": (
        ["simulate", "bcg_trials", "--seed", "-1", "--out", "made.csv"],
        ("--seed -1", "at least 0"),
    ),
    "simulate to another suffix": (
        ["simulate", "bcg_trials", "--seed", "1", "--out", "made.xlsx"],
        ("--out 'made.xlsx' is not a .csv file", "CSV"),
    ),
    "simulate to a folder that is not there": (
        ["simulate", "bcg_trials", "--seed", "1", "--out", "nowhere/made.csv"],
        ("'nowhere/made.csv' cannot be written", "choose another place"),
    ),
    "simulate to below a file": (
        ["simulate", "bcg_trials", "--seed", "1", "--out", "demo.toml/made.csv"],
        ("'demo.toml/made.csv' cannot be written", "choose another place"),
    ),
    "export to an unknown format": (
        ["export", "empty", "--format", "pdf"],
        ("--format 'pdf'", "known: csv, docx, html, json, latex, parquet, xlsx"),
    ),
    "export to a misspelt format": (
        ["export", "empty", "--format", "parqet"],
        ("--format 'parqet'", "did you mean 'parquet'?"),
    ),
    "export what is not there": (["export", "nowhere", "--format", "csv"], ("no run directory 'nowhere'",)),
    "export no run": (["export", "empty", "--format", "csv"], ("no saved fit 'empty/posterior.nc'", "run directory")),
    "export a damaged run": (
        ["export", "damaged", "--format", "csv"],
        ("'damaged/posterior.nc' is not a saved fit", "run directory"),
    ),
    "export a foreign file": (
        ["export", "foreign", "--format", "csv"],
        ("'foreign/posterior.nc' is not a saved fit", "run directory"),
    ),
    "run with too few draws": (["run", "demo.toml", "--draws", "1"], ("draws = 1", "at least 4")),
    "run with no chain": (["run", "demo.toml", "--chains", "0"], ("chains = 0", "at least 1")),
    "run with a seed below zero": (["run", "demo.toml", "--seed", "-1"], ("seed = -1", "at least 0")),
    # Usage.
    "draws that are no number": (["run", "demo.toml", "--draws", "many"], ("'--draws'", "bayesdep --help")),
    "unknown option": (["run", "demo.toml", "--drawss", "9"], ("--drawss", "--draws", "bayesdep --help")),
    "option without its value": (["run", "demo.toml", "--draws"], ("'--draws'", "bayesdep --help")),
    "unknown command": (["runn"], ("'runn'", "did you mean 'run'?")),
    "missing argument": (["run"], ("PLAN", "bayesdep --help")),
    "missing option": (["simulate", "bcg_trials", "--seed", "1"], ("'--out'", "bayesdep --help")),
    "one argument too many": (["reproduce", "raison2013", "all"], ("(all)", "bayesdep --help")),
    "unknown published table to show": (
        ["datasets", "kiraly2017_table3"],
        ("'kiraly2017_table3'", "did you mean 'kiraly2017_table2'?"),
    ),
}


@pytest.mark.parametrize(("words", "says"), COMMANDS.values(), ids=list(COMMANDS))
def test_command_that_cannot_be_done_is_refused_in_one_sentence(words, says, good, desk, capsys):
    for folder in ("empty", "damaged", "foreign", "plans"):
        (desk / folder).mkdir()
    (desk / "plans" / "one.toml").write_text(SCREEN.replace("table.csv", "../table.csv"))
    (desk / "damaged" / "posterior.nc").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50))
    xr.Dataset({"x": 1.0}).to_netcdf(desk / "foreign" / "posterior.nc", engine="h5netcdf")
    before = everything(desk)
    message = complaint(capsys, words)
    for said in says:
        assert said in message
    assert everything(desk) == before


def test_no_command_shows_the_help_and_one_sentence(desk, capsys):
    with pytest.raises(SystemExit) as ending:
        main([])
    printed = capsys.readouterr()
    assert ending.value.code == 2
    assert "reproduce" in printed.out
    assert printed.err == "bayesdep: no command is given; see bayesdep --help\n"


def test_python_refuses_what_the_other_commands_refuse(desk):
    calls = {
        "export format 'pdf'": lambda: bd.export(pd.DataFrame({"a": [1]}), "x.csv", format="pdf"),
        "no plans": lambda: find_plans(desk),
        "no saved fit": lambda: bd.Fit.load(desk / "posterior.nc"),
        "two fits or more": lambda: bd.compare({}),
        "cannot be written": lambda: bd.export(pd.DataFrame({"a": [1]}), desk / "nowhere" / "x.csv"),
        "draws = 1": lambda: fit_plan(read_plan(write_case(Case((), base="screen"), desk)), draws=1),
    }
    for words, call in calls.items():
        with pytest.raises(BadInput) as refused:
            call()
        assert words in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1


def test_debug_adds_the_traceback_and_keeps_the_sentence(desk, capsys):
    with pytest.raises(SystemExit) as ending:
        main(["run", "nowhere.toml", "--debug"])
    assert ending.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("bayesdep: there is no plan 'nowhere.toml'")


def test_error_of_the_package_itself_is_one_sentence_with_exit_code_1(good, capsys, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr("bayesdep.plan.fit_plan", broken)
    message = complaint(capsys, ["run", str(good), "--out", "out"], code=1)
    assert message.startswith("an error in bayesdep itself (RuntimeError: first line); run again with --debug")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "demo.toml", "--out", "out"], "unknown key 'study.tilte'; did you mean 'title'?"),
        (["run", "demo.toml", "--drawss", "9"], "--drawss"),
        (["export", "nowhere", "--format", "csv"], "no run directory 'nowhere'"),
    ],
)
def test_real_process_exits_with_2_and_one_line(words, says, desk):
    write_case(PLANS["unknown key in study"], desk)
    before = everything(desk)
    done = subprocess.run(
        [sys.executable, "-m", "bayesdep.cli", *words], capture_output=True, text=True, timeout=60, cwd=desk
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("bayesdep: ")
    assert says in done.stderr
    assert everything(desk) == before
