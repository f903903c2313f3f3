"""Every bad input is one sentence that names the column, row or key and the remedy; nothing is written."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesdep as bd
from bayesdep.cli import main
from bayesdep.data.errors import BadInput
from bayesdep.models import make_story
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
    options: tuple[str, ...] = ()
    python: Callable[[], object] | None = field(default=None, compare=False)  # the same mistake without a plan


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


def cells(**columns):
    frame = {"subgroup": list("aabb"), "arm": ["drug", "placebo"] * 2, "events": [1, 2, 3, 4], "n": [9] * 4}
    return pd.DataFrame({**frame, **columns})


COUNTED = bd.Counts(control="placebo")
LINE = "[[published]]\n"

PLANS = {
    # Keys that no table of a plan has.
    "unknown table": Case(
        ("unknown key 'samplng'", "did you mean 'sampling'?"), plan=("[sampling]", "[samplng]")
    ),
    "unknown key in study": Case(
        ("unknown key 'study.tilte'", "did you mean 'title'?"), plan=("title =", "tilte =")
    ),
    "unknown key in data": Case(
        ("unknown key 'data.sorce'", "did you mean 'source'?"), plan=("source =", "sorce =")
    ),
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
        python=lambda: make_story("meta", {"mesure": "difference"}),
    ),
    "unknown key far from any": Case(
        ("unknown key 'sampling.xyzzy'", "known: chains, draws, sampler, seed, tune"),
        plan=("draws = 500", "xyzzy = 500"),
    ),
    # Values of the wrong kind.
    "text for a whole number": Case(
        ("'sampling.draws' is 'many'", "a whole number"),
        plan=("draws = 500", 'draws = "many"'),
        python=lambda: bd.fit(meta(), trials(), draws="many"),
    ),
    "number with a point for a whole one": Case(
        ("'sampling.chains' is 2.5", "a whole number"),
        plan=("draws = 500", "chains = 2.5"),
        python=lambda: bd.fit(meta(), trials(), chains=2.5),
    ),
    "true for a whole number": Case(
        ("'sampling.tune' is true", "a whole number"),
        plan=("draws = 500", "tune = true"),
        python=lambda: bd.fit(meta(), trials(), tune=True),
    ),
    "too few draws": Case(
        ("'sampling.draws' is 2", "4"),
        plan=("draws = 500", "draws = 2"),
        python=lambda: bd.fit(meta(), trials(), draws=2),
    ),
    "seed below zero": Case(
        ("'sampling.seed' is -1", "0"),
        plan=("draws = 500", "seed = -1"),
        python=lambda: bd.fit(meta(), trials(), seed=-1),
    ),
    "table for text": Case(
        ("'study.title' is a table", "text"), plan=('title = "A demonstration"', 'title = { en = "A" }')
    ),
    "array for text": Case(
        ("'study.title' is an array", "text"), plan=('title = "A demonstration"', 'title = ["A"]')
    ),
    "empty text": Case(("'study.title' is ''", "at least 1 character"), plan=('"A demonstration"', '""')),
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
    "number for the study's name": Case(
        ("'study.name' is 2013", "text"), plan=('name = "demo"', "name = 2013")
    ),
    "study name that is no folder's": Case(
        ("'study.name' is 'de mo/..'", "letters, digits"), plan=('name = "demo"', 'name = "de mo/.."')
    ),
    "number for a setting that is text": Case(
        ("units = 3", "text"), plan=('units = "points"', "units = 3"), python=lambda: meta(units=3)
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
        python=lambda: make_story("meta", {}),
    ),
    "no control arm": Case(
        ("model.control is missing", "counts family needs it"),
        base="counts",
        plan=('control = "placebo"\n', ""),
        python=lambda: make_story("counts", {}),
    ),
    # Words nobody knows.
    "unknown family": Case(
        ("model.family = 'mtea'", "did you mean 'meta'?"),
        plan=('"meta"', '"mtea"'),
        python=lambda: make_story("mtea", {}),
    ),
    "wrong choice of a setting": Case(
        ("pooling = 'patrial'", "did you mean 'partial'?"),
        base="counts",
        plan=('"partial"', '"patrial"'),
        python=lambda: bd.Counts(control="placebo", pooling="patrial"),
    ),
    "wrong choice of a sampler": Case(
        ("'sampling.sampler' is 'nuts'", "'nutpie', 'pymc' or 'exact'"),
        plan=("draws = 500", 'sampler = "nuts"'),
        python=lambda: bd.fit(meta(), trials(), sampler="nuts"),
    ),
    "sampler that cannot be had": Case(
        ("sampler = 'exact'", "not known exactly", "use 'nutpie'"),
        base="counts",
        add='[sampling]\nsampler = "exact"\n',
        python=lambda: bd.fit(COUNTED, cells(), sampler="exact"),
    ),
    "settings that contradict each other": Case(
        ("units = 'points'", "'difference' only"),
        plan=('measure = "difference"', 'measure = "log-odds-ratio"'),
        python=lambda: meta(units="points"),
    ),
    "unit that cannot be a dim": Case(
        ("unit = 'two words'", "use one word"),
        plan=('units = "points"', 'units = "points"\nunit = "two words"'),
        python=lambda: meta(unit="two words"),
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
        python=lambda: meta(priors={"mu": {"dist": "Normall"}}),
    ),
    "impossible parameter": Case(
        ("priors.mu", "sigma = -10", "above zero"),
        plan=("sigma = 10", "sigma = -10"),
        python=lambda: meta(priors={"mu": {"dist": "Normal", "mu": 0, "sigma": -10}}),
    ),
    "parameter that is text": Case(
        ("priors.mu", "sigma = 'wide'", "finite number"),
        plan=("sigma = 10", 'sigma = "wide"'),
        python=lambda: bd.Prior("Normal", mu=0, sigma="wide"),
    ),
    "parameter that is infinite": Case(
        ("priors.mu", "sigma = inf", "finite number"),
        plan=("sigma = 10", "sigma = inf"),
        python=lambda: bd.Prior("Normal", mu=0, sigma=np.inf),
    ),
    "missing parameter": Case(
        ("priors.mu", "'sigma' is missing", "mu and sigma"),
        plan=("mu = 0, sigma = 10", "mu = 0"),
        python=lambda: bd.Prior("Normal", mu=0),
    ),
    "unknown parameter": Case(
        ("priors.mu", "no parameter 'sd'", "mu, sigma"),
        plan=("sigma = 10", "sd = 10"),
        python=lambda: bd.Prior("Normal", mu=0, sd=10),
    ),
    "bounds in the wrong order": Case(
        ("priors.mu", "lower = 5 is not below upper = 1", "swap them"),
        plan=('dist = "Normal", mu = 0, sigma = 10', 'dist = "Uniform", lower = 5, upper = 1'),
        python=lambda: bd.Prior("Uniform", lower=5, upper=1),
    ),
    "prior that is a number": Case(
        ("priors.mu is 3", "write it as"),
        plan=('mu = { dist = "Normal", mu = 0, sigma = 10 }', "mu = 3"),
        python=lambda: meta(priors={"mu": 3}),
    ),
    "prior outside its support": Case(
        ("priors.tau", "Normal(mu=0, sigma=5) reaches outside", "choose a distribution"),
        plan=('"HalfNormal", sigma = 5', '"Normal", mu = 0, sigma = 5'),
        python=lambda: meta(priors={"tau": bd.Prior("Normal", mu=0, sigma=5)}),
    ),
    "prior for no parameter": Case(
        ("priors.tua", "no such parameter", "did you mean 'tau'?"),
        plan=("tau = {", "tua = {"),
        python=lambda: meta(priors={"tua": bd.Prior("HalfNormal", sigma=1)}),
    ),
    "no prior for a raw difference": Case(
        ("priors.tau is missing", "points", "give a prior"),
        plan=('tau = { dist = "HalfNormal", sigma = 5 }\n', ""),
        python=lambda: meta(measure="difference", units="points"),
    ),
    "prior of the wrong kind for an exact posterior": Case(
        ("priors.sensitivity", "Uniform(lower=0, upper=1) is not a Beta", "use Beta"),
        base="screen",
        add='[priors]\nsensitivity = { dist = "Uniform", lower = 0, upper = 1 }\n',
        python=lambda: bd.Screen(
            condition="ill", priors={"sensitivity": bd.Prior("Uniform", lower=0, upper=1)}
        ),
    ),
    # Where the data are.
    "not a source": Case(("source = 'table.xlsx'", "give a .csv or .parquet"), plan=("table.csv", "table.xlsx")),
    "missing data file": Case(
        ("no data file", "tabel.csv", "relative to the plan's folder"), plan=("table.csv", "tabel.csv")
    ),
    "unknown published table": Case(
        ("no published table 'kiraly2017_table3'", "did you mean 'kiraly2017_table2'?"),
        plan=('"table.csv"', '"published:kiraly2017_table3"'),
        python=lambda: bd.load("kiraly2017_table3"),
    ),
    "unknown simulator": Case(
        ("no simulator 'bcg_trails'", "did you mean 'bcg_trials'?"),
        plan=('"table.csv"', '"simulate:bcg_trails"\nseed = 1'),
        python=lambda: bd.simulate("bcg_trails", seed=1),
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
        python=lambda: meta().prepare(trials().head(0)),
    ),
    "missing column": Case(
        ("column 'error' (standard error) is not in the table", "[data.columns]", "did you mean 'errors'?"),
        table=("trial,change,error", "trial,change,errors"),
        python=lambda: meta(se="error").prepare(trials(se=[1, 2]).rename(columns={"se": "errors"})),
    ),
    "duplicated study": Case(
        ("column 'trial'", "study 'Oslo' stands in rows 1 and 2", "keep one row"),
        table=("Lima", "Oslo"),
        python=lambda: meta().prepare(trials(trial=["Oslo", "Oslo"])),
    ),
    "negative standard error": Case(
        ("column 'error' (standard error)", "row 2 is -0.9", "above zero", "correct it"),
        table=("0.9", "-0.9"),
        python=lambda: meta().prepare(trials(se=[0.1, -0.9])),
    ),
    "standard error of zero": Case(
        ("column 'error' (standard error)", "row 3 is 0", "above zero", "correct it"),
        table=("1.5", "0"),
        python=lambda: meta().prepare(trials(se=[0.1, 0])),
    ),
    "empty cell": Case(
        ("column 'change' (estimated effect)", "row 2 is empty", 'require = ["change"]'),
        table=("-1.0", ""),
        python=lambda: meta().prepare(trials(effect=[0.1, np.nan])),
    ),
    "empty label": Case(
        ("column 'trial' (study label)", "row 2 is empty", "fill it in"),
        table=("Lima", "  "),
        python=lambda: meta().prepare(trials(trial=["Oslo", None])),
    ),
    "text among numbers": Case(
        ("column 'change' (estimated effect)", "row 1 is '-3,5 points'", "decimal point"),
        table=("-3.5", '"-3,5 points"'),
        python=lambda: meta().prepare(trials(effect=["-3,5 points", 0.1])),
    ),
    "cell with a line break": Case(
        ("column 'change' (estimated effect)", "row 1 is", "decimal point"),
        table=("-3.5", '"-3\n5"'),
        python=lambda: meta().prepare(trials(effect=["-3\n5", 0.1])),
    ),
    "infinite value": Case(
        ("column 'error' (standard error)", "row 1 is inf", "correct it"),
        table=("1.2", "inf"),
        python=lambda: meta().prepare(trials(se=[np.inf, 0.1])),
    ),
    "one study only": Case(
        ("the table has one study", "give at least two"),
        table=("Lima,-1.0,0.9\nBern,-2.2,1.5\n", ""),
        python=lambda: meta().prepare(trials().head(1)),
    ),
    "more events than people": Case(
        ("column 'responders' (people with the event)", "row 1 (high, drug) has 14 of 13", "check both"),
        base="counts",
        table=("8,13", "14,13"),
        python=lambda: COUNTED.prepare(cells(events=[10, 2, 3, 4])),
    ),
    "nobody in a cell": Case(
        ("column 'n' (people)", "row 2 (high, placebo) is 0", "leave out rows without people"),
        base="counts",
        table=("3,9", "0,0"),
        python=lambda: COUNTED.prepare(cells(events=[0, 2, 3, 4], n=[0, 9, 9, 9])),
    ),
    "half a responder": Case(
        ("column 'responders'", "row 1 is 8.5", "a whole number"),
        base="counts",
        table=("8,13", "8.5,13"),
        python=lambda: COUNTED.prepare(cells(events=[1.5, 2, 3, 4])),
    ),
    "duplicated cell": Case(
        ("column 'arm' and 'subgroup'", "stands in rows", "keep one row"),
        base="counts",
        table=("low,drug", "high,drug"),
        python=lambda: COUNTED.prepare(cells(subgroup=list("aaab"), arm=["drug", "placebo", "drug", "drug"])),
    ),
    "missing cell": Case(
        ("subgroup 'low' has no row for arm 'placebo'", "add it"),
        base="counts",
        table=("low,placebo,12,21\n", ""),
        python=lambda: COUNTED.prepare(cells().head(3)),
    ),
    "unknown control arm": Case(
        ("control = 'palcebo'", "column 'arm'", "did you mean 'placebo'?"),
        base="counts",
        plan=('"placebo"', '"palcebo"'),
        python=lambda: bd.Counts(control="palcebo").prepare(cells()),
    ),
    "one arm": Case(
        ("column 'arm' has one arm, 'placebo'", "a second one"),
        base="counts",
        table=(COUNTS_TABLE.partition("\n")[2], "high,placebo,3,9\nlow,placebo,12,21\n"),
        python=lambda: COUNTED.prepare(cells().iloc[[1, 3]]),
    ),
    "one subgroup": Case(
        ("column 'subgroup' has one subgroup, 'high'", "pooling = 'none'"),
        base="counts",
        table=("low,drug,7,17\nlow,placebo,12,21\n", ""),
        python=lambda: COUNTED.prepare(cells().head(2)),
    ),
    "three groups in a two-by-two table": Case(
        ("column 'group' has 3 groups", "keep two"),
        base="screen",
        table=("well,1,12\n", "well,1,12\nunsure,2,5\n"),
        python=lambda: bd.Screen(condition="ill").prepare(
            pd.DataFrame({"group": list("abc"), "positives": [1, 1, 1], "n": [2, 2, 2]})
        ),
    ),
    "unknown condition": Case(
        ("condition = 'sick'", "column 'group'", "known: ill, well"),
        base="screen",
        plan=('"ill"', '"sick"'),
        python=lambda: bd.Screen(condition="sick").prepare(
            pd.DataFrame({"group": ["ill", "well"], "positives": [1, 1], "n": [2, 2]})
        ),
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
        add=LINE
        + 'estimand = "mu"\nsource = "A 2020"\nvalue = 1\n\n'
        + LINE
        + 'estimand = "mu"\nsource = "A 2020"\n',
    ),
    "impossible P value": Case(
        ("'published.1.p' is 1.5", "1"),
        add=LINE + 'estimand = "mu"\nsource = "A 2020"\ndirection = "above"\np = 1.5\n',
    ),
    # Options.
    "too few draws on the command line": Case(
        ("draws = 1", "at least 4"), options=("--draws", "1"), python=lambda: bd.fit(meta(), trials(), draws=1)
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
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
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
def test_command_line_refuses_a_bad_plan_in_one_sentence_and_writes_nothing(case, desk, capsys):
    path = write_case(case, desk)
    before = everything(desk)
    message = complaint(capsys, ["run", str(path), "--out", str(desk / "out"), *case.options])
    for words in case.says:
        assert words in message
    assert everything(desk) == before


@pytest.mark.parametrize("case", [c for c in PLANS.values() if not c.options], ids=lambda c: c.says[0][:40])
def test_python_refuses_a_bad_plan_with_the_same_sentence(case, desk, capsys):
    path = write_case(case, desk)
    before = everything(desk)
    with pytest.raises(BadInput) as refused:
        bd.run_plan(path, out=desk / "out")
    assert everything(desk) == before
    assert str(refused.value) == complaint(capsys, ["run", str(path), "--out", str(desk / "out")])


DIRECT = {name: case for name, case in PLANS.items() if case.python is not None}


@pytest.mark.parametrize("case", DIRECT.values(), ids=list(DIRECT))
def test_python_refuses_the_same_mistake_without_a_plan(case):
    with pytest.raises(BadInput) as refused:
        case.python()
    message = str(refused.value)
    assert len(message.splitlines()) == 1
    assert not message.endswith(".")
    print(message)
