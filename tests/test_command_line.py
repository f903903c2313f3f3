"""The command line as people use it: files, exit codes, interruptions and the speed of its help."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from common import SCHOOLS_PLAN

import bayesdep as bd
from bayesdep.cli import exit_code
from bayesdep.data.published import list_datasets
from bayesdep.inference.diagnostics import Gate
from bayesdep.inference.verdict import Judgement, ModelVerdict
from bayesdep.reporting.export import SUFFIXES
from bayesdep.reporting.run_directory import Outcome

MODELS = Path(__file__).resolve().parents[1] / "models"
CONTRACT = {
    *["posterior.nc", "summary.csv", "estimands.csv", "ledger.csv", "diagnostics.json", "manifest.json"],
    "report.html",
    *(
        f"figures/{name}.{end}"
        for name in ("forest", "prior_posterior", "scaled_priors", "checks")
        for end in ("png", "pdf", "svg")
    ),
}
GIVEN = """\
[study]
name = "demo"
title = "A two-by-two table that the user has"

[data]
source = "path"
expects = "a two-by-two table (columns group, positives, n)"

[model]
family = "screen"
condition = "ill"
"""
TABLE = "group,positives,n\nill,15,19\nwell,1,12\n"


def verdicts(path):
    """The verdict that a table's first column states, one for all its rows; readable without any option."""
    (verdict,) = pd.read_csv(path)["verdict"].unique()
    return verdict


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def python(*words, **options):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120, check=True, **options)


@pytest.fixture(scope="module")
def screen_run(tmp_path_factory):
    """The FGF-2 plan's run, which needs no sampling."""
    return bd.run_plan(MODELS / "kiraly2017" / "fgf2_screen.toml", out=tmp_path_factory.mktemp("runs") / "screen")


# A warning on the model.

WARNED = SCHOOLS_PLAN.replace("mu = 0, sigma = 50", "mu = -80, sigma = 5").replace('"nutpie"', '"exact"')


def test_warning_on_the_model_is_told_in_everything_that_a_run_leaves(command, tmp_path):
    (tmp_path / "plan.toml").write_text(WARNED)
    code, _, said = command("run", "plan.toml")
    assert code == 0
    assert "passed the gate, WARNING ON THE MODEL (" in said
    assert "out of line with the model" in said
    assert "[study] expects_warning" in said
    run = tmp_path / "results" / "demo" / "plan"
    assert verdicts(run / "estimands.csv").startswith("WARNING ON THE MODEL")
    assert "WARNING ON THE MODEL" in (run / "report.html").read_text().split("<h2>")[0]
    for file, key in (("diagnostics.json", "model"), ("manifest.json", "verdict")):
        assert json.loads((run / file).read_text())[key]["passed"] is False


def test_what_a_plan_states_of_its_warning_is_held_against_the_run(command, tmp_path):
    """The advice of the message is followed, and leads on; a statement of a warning that is not there is told too."""
    stated = WARNED.replace("\n\n[data]", '\nexpects_warning = "a prior to be contradicted"\n\n[data]', 1)
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "plan.toml").write_text(stated)
    code, _, said = command("reproduce", "--models", "plans", "--strict")
    assert code == 0
    assert "bayesdep: " not in said
    assert "WARNING ON THE MODEL as stated" in said
    (tmp_path / "plans" / "plan.toml").write_text(stated.replace("mu = -80, sigma = 5", "mu = 0, sigma = 50"))
    code, _, said = command("reproduce", "--models", "plans", "--strict")
    assert code == 1
    assert "expects a warning on the model (a prior to be contradicted), and there is none" in said


@pytest.mark.parametrize(("p", "stated"), [(1e-6, ""), (0.5, "a warning"), (1e-6, "a warning"), (0.5, "")])
def test_only_strictness_fails_for_a_warning_and_only_for_one_that_is_not_stated(p, stated, capsys):
    verdict = ModelVerdict((Judgement("prior", "mu", p),))
    outcome = Outcome("demo/plan", Gate(()), verdict, stated, False, None, Path("results"))
    surprising = (p < 0.005) != bool(stated)
    assert exit_code([outcome], False, False) == 0
    assert exit_code([outcome], False, True) == (1 if surprising else 0)
    assert ("demo/plan" in capsys.readouterr().err) == surprising


# Start-up.

HEAVY = ("pymc", "pytensor", "pandas", "numpy", "scipy", "xarray", "matplotlib", "arviz_stats", "nutpie")


def test_help_imports_nothing_heavy_and_lists_every_command():
    code = (
        "import sys\nfrom bayesdep.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as ending:\n    assert ending.code == 0, ending.code\n"
        f"print('loaded:', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    out = python("-c", code).stdout
    assert out.splitlines()[-1] == "loaded: []"
    for name in ("run", "compare", "reproduce", "export", "datasets", "simulate", "stage"):
        assert re.search(rf"\b{name}\b", out)


def test_import_of_the_package_imports_nothing_heavy_and_offers_every_public_name():
    code = (
        "import sys, bayesdep\n"
        f"print('loaded:', [m for m in {HEAVY!r} if m in sys.modules])\n"
        "assert set(bayesdep.__all__) <= set(dir(bayesdep))\n"
        "missing = [n for n in bayesdep.__all__ if getattr(bayesdep, n, None) is None]\n"
        "print('missing:', missing)"
    )
    assert python("-c", code).stdout.splitlines() == ["loaded: []", "missing: []"]


@pytest.mark.parametrize(
    "words", [["run"], ["compare"], ["reproduce"], ["export"], ["datasets"], ["simulate"], ["stage"]]
)
def test_every_command_has_a_help(words, command):
    code, out, err = command(*words, "--help")
    assert code == 0
    assert "Usage" in out
    assert err == ""


# run, and what it leaves.


def test_run_writes_exactly_the_contract_s_files_the_same_for_the_same_seed(command, screen_run, tmp_path):
    code, out, err = command("run", MODELS / "kiraly2017" / "fgf2_screen.toml")
    assert code == 0
    directory = tmp_path / "results" / "kiraly2017" / "fgf2_screen"
    assert set(files(tmp_path)) == {f"results/kiraly2017/fgf2_screen/{name}" for name in CONTRACT}
    assert "kiraly2017/fgf2_screen: passed the gate" in err
    assert "results/kiraly2017/fgf2_screen" in err
    assert re.search(r"sensitivity.*0\.79.*yes", out)
    answers = [line for line in out.splitlines() if line.startswith("  ")]
    assert f"  {bd.sentences(screen_run.fit)[0]}" in answers
    assert f"  report: {Path('results/kiraly2017/fgf2_screen/report.html')}" in answers
    assert not any(p.name.startswith(".") for p in directory.parent.iterdir())
    made, earlier = files(directory), files(screen_run.directory)
    for name in ("summary.csv", "estimands.csv", "ledger.csv", "figures/forest.png", "figures/checks.png"):
        assert made[name] == earlier[name]


def test_run_s_files_hold_what_the_fit_holds(screen_run):
    directory, fit = screen_run.directory, screen_run.fit
    assert set(files(directory)) == CONTRACT
    table = pd.read_csv(directory / "estimands.csv")
    np.testing.assert_array_equal(table["mean"], bd.summarise(fit)["mean"])
    summary = pd.read_csv(directory / "summary.csv")
    assert set(summary["name"]) == {"sensitivity", "specificity"}
    assert {"q2.5", "q97.5", "r_hat", "ess_bulk", "ess_tail", "mcse"} <= set(summary)
    verdict = json.loads((directory / "diagnostics.json").read_text())
    assert verdict["passed"] is True
    assert verdict["sentence"] == fit.gate.sentence
    assert all({"name", "value", "threshold", "passed"} <= set(c) for c in verdict["criteria"])
    ledger = pd.read_csv(directory / "ledger.csv")
    assert ledger["published"].to_list() == [0.79, 0.92, 9.47]
    assert ledger["agrees"].to_list() == ["yes", "yes", "yes"]
    stored = xr.open_datatree(directory / "posterior.nc", engine="h5netcdf")
    np.testing.assert_array_equal(stored["posterior"]["sensitivity"], fit.posterior["sensitivity"])
    stored.close()


def test_manifest_is_the_audit_trail(screen_run):
    manifest = json.loads((screen_run.directory / "manifest.json").read_text())
    plan = MODELS / "kiraly2017" / "fgf2_screen.toml"
    assert manifest["plan"]["text"] == plan.read_text(encoding="utf-8")
    assert manifest["plan"]["sha256"] == screen_run.plan.sha256
    assert manifest["data"]["sha256"] == screen_run.fit.data.attrs["sha256"]
    assert manifest["data"]["synthetic"] is False
    assert manifest["seed"] == 1
    assert {"pymc", "nutpie", "bayesdep", "numpy"} <= set(manifest["versions"])
    assert manifest["timings_s"]["sample"] >= 0
    assert "cores" in manifest["machine"]


def test_rerun_with_other_settings_replaces_the_earlier_run_whole(command, screen_run, tmp_path):
    shutil.copytree(screen_run.directory, tmp_path / "run")
    assert command("export", "run", "--format", "json")[0] == 0  # of the earlier run, so it goes with that
    assert (tmp_path / "run" / "estimands.json").is_file()
    plan = MODELS / "kiraly2017" / "fgf2_screen.toml"
    assert command("run", plan, "--out", "run", "--draws", 300, "--chains", 3, "--seed", 5)[0] == 0
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    made, earlier = files(tmp_path / "run"), files(screen_run.directory)
    assert set(made) == CONTRACT
    manifest = json.loads(made["manifest.json"])
    assert [manifest[k] for k in ("draws", "chains", "seed")] == [300, 3, 5]
    assert made["summary.csv"] != earlier["summary.csv"]
    made_of, earlier_of = (pd.read_csv(io.BytesIO(x["estimands.csv"])).drop(columns="prior_p") for x in (made, earlier))
    pd.testing.assert_frame_equal(made_of, earlier_of)  # known exactly: draws have a part in priors' tails only


# export.


def test_export_writes_every_format_from_a_run_directory(command, screen_run, tmp_path):
    for format, suffix in SUFFIXES.items():
        code, out, err = command("export", screen_run.directory, "--format", format, "--out", f"e.{suffix}")
        assert (code, err) == (0, "")
        assert out.strip() == f"e.{suffix}"
        direct = bd.export(screen_run.fit, tmp_path / f"direct.{suffix}", format=format)
        if format not in ("xlsx", "docx"):  # which hold the time they were made
            assert (tmp_path / f"e.{suffix}").read_bytes() == direct.read_bytes()
        assert (tmp_path / f"e.{suffix}").stat().st_size > 200
    assert set(files(screen_run.directory)) == CONTRACT


def test_export_lands_in_the_run_directory_unless_told_otherwise(command, screen_run, tmp_path):
    shutil.copytree(screen_run.directory, tmp_path / "run")
    code, out, _ = command("export", "run", "--format", "latex")
    assert (code, out.strip()) == (0, "run/estimands.tex")
    assert (tmp_path / "run" / "estimands.tex").is_file()


# reproduce, datasets, simulate.


def plans_folder(folder):
    """Two plans whose posteriors need no sampling."""
    for name in ("kiraly2017/fgf2_screen.toml", "raison2013/responders_unpooled.toml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((MODELS / name).read_bytes())
    return folder


def test_reproduce_prints_and_writes_the_ledger_of_every_plan(command, tmp_path):
    plans_folder(tmp_path / "plans")
    code, out, err = command("reproduce", "--quick", "--models", "plans")
    assert code == 0
    ledger = pd.read_csv(tmp_path / "results" / "ledger.csv")
    assert ledger.columns[0] == "plan"
    assert ledger["plan"].to_list() == 3 * ["kiraly2017/fgf2_screen"] + 4 * ["raison2013/responders_unpooled"]
    assert (ledger["gate"] == "passed").all()
    assert (ledger["agrees"] == "yes").all()
    # Every cell alone under Jeffreys' prior: its mean is (events + 1/2) / (n + 1).
    differences = ledger[ledger["estimand"].str.startswith("risk_difference")]
    np.testing.assert_allclose(differences["posterior"], [8.5 / 14 - 3.5 / 10, 7.5 / 18 - 12.5 / 22], atol=0.001)
    manifest = json.loads((tmp_path / "results" / "kiraly2017" / "fgf2_screen" / "manifest.json").read_text())
    assert manifest["draws"] == 500
    for words in ("9.47", "3.45", "-6.25", "Kiraly 2017, Figure 3c", "Raison 2013, Results", "∞"):
        assert words in out
    last = out.splitlines()[-1]
    assert re.match(r"2 plans in \d+ s\. Reports: .*results/<study>/<plan>/report\.html\. Ledger: .*ledger\.csv", last)
    assert len(out.splitlines()) < 40  # one screen
    pictures = {name for name in CONTRACT if not name.endswith((".pdf", ".svg"))}
    for run in ("raison2013/responders_unpooled", "kiraly2017/fgf2_screen"):
        assert set(files(tmp_path / "results" / run)) == pictures
    # The workers, whose own stream this is not, say what they do; on a slow machine a line says how far all are.
    assert all(re.match(r"\d of 2 plans done after \d+ s", line) for line in err.splitlines())


def test_reproduce_leaves_out_plans_that_need_a_file_and_says_how_to_run_them(command, tmp_path):
    for name in ("one", "other"):
        (tmp_path / "plans" / "demo").mkdir(parents=True, exist_ok=True)
        (tmp_path / "plans" / "demo" / f"{name}.toml").write_text(GIVEN)
    (tmp_path / "plans" / "fgf2_screen.toml").write_bytes((MODELS / "kiraly2017" / "fgf2_screen.toml").read_bytes())
    code, out, err = command("reproduce", "--quick", "--models", "plans")
    assert code == 0, err
    assert err.splitlines()[-1] == (
        "left out, because they need a file: demo/one (bayesdep run plans/demo/one.toml --data PATH), "
        "demo/other (bayesdep run plans/demo/other.toml --data PATH)"
    )
    assert out.splitlines()[-1].startswith("1 plans in ")
    assert [p.name for p in (tmp_path / "results").iterdir() if p.is_dir()] == ["kiraly2017"]
    assert set(pd.read_csv(tmp_path / "results" / "ledger.csv")["plan"]) == {"kiraly2017/fgf2_screen"}


def test_stage_scores_a_table_and_says_what_was_not_known(command, tmp_path):
    """By the printed points of the Maudsley method: 1 + 3 + 1, and 3 + (1 to 5) + 3 + 1."""
    pd.DataFrame(
        {"subject": ["a", "b"], "duration_months": [8, 30], "severity": ["moderate", ""],
         "failed_antidepressants": [2, 5], "augmentation": ["no", "yes"], "ect": ["no", "no"]}
    ).to_csv(tmp_path / "patients.csv", index=False)  # fmt: skip
    code, out, err = command("stage", "patients.csv", "--system", "maudsley", "--out", "scores.csv")
    assert (code, out) == (0, "scores.csv\n")
    assert err == "note: 1 of 2 patients have an interval of possible scores\n"
    found = pd.read_csv(tmp_path / "scores.csv")
    assert found[["lowest", "highest"]].to_numpy().tolist() == [[5, 5], [8, 12]]
    assert found["missing"].fillna("").tolist() == ["", "severity"]
    for words, said in (
        (("--system", "maudsly", "--out", "x.csv"), "did you mean 'maudsley'"),
        (("--system", "thase-rush", "--out", "x.csv"), "column 'failed_classes'"),
        (("--system", "maudsley", "--out", "patients.csv"), "is the table itself"),
    ):
        code, out, err = command("stage", "patients.csv", *words)
        assert (code, out) == (2, "")
        assert said in err
        assert len(err.splitlines()) == 1
    assert not (tmp_path / "x.csv").exists()


# Data given at the command line.


@pytest.fixture
def given(tmp_path):
    """A plan whose data the user names, another that names its own, and a table."""
    (tmp_path / "plans").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "plans" / "given.toml").write_text(GIVEN)
    (tmp_path / "plans" / "own.toml").write_text(
        re.sub(r'"path"\nexpects = .*', '"own.csv"', GIVEN).replace('"ill"', '"ill"\n\n[data.keep]\nsite = "a"')
    )
    (tmp_path / "plans" / "own.csv").write_text(
        "group,positives,n,site\nill,15,19,a\nwell,1,12,a\nill,5,9,b\nwell,2,8,b\n"
    )
    (tmp_path / "mine" / "table.csv").write_text(TABLE)
    return tmp_path


def test_run_takes_data_from_the_command_line_and_the_manifest_says_which(command, given):
    code, _, err = command("run", "plans/given.toml", "--data", "mine/table.csv", "--out", "run")
    assert code == 0, err
    text = (given / "run" / "manifest.json").read_text(encoding="utf-8")
    said = json.loads(text)["data"]
    assert (said["source"], said["title"], said["left_out"]) == ("table.csv", "table.csv", "")
    assert said["sha256"] == hashlib.sha256(TABLE.encode()).hexdigest()
    code, _, err = command("run", "plans/given.toml", "--data", given / "mine" / "table.csv", "--out", "again")
    assert code == 0, err
    again = (given / "again" / "manifest.json").read_text(encoding="utf-8")
    assert json.loads(again)["data"] == said
    assert str(given) not in again
    assert (given / "run" / "estimands.csv").read_bytes() == (given / "again" / "estimands.csv").read_bytes()


def test_data_of_the_command_line_serve_the_plans_that_need_them_and_no_others(command, given):
    code, _, err = command("run", "plans/given.toml", "plans/own.toml", "--data", "mine/table.csv")
    assert code == 0, err
    manifests = {
        name: json.loads((given / "results" / "demo" / name / "manifest.json").read_text()) for name in ("given", "own")
    }
    assert {name: m["data"]["source"] for name, m in manifests.items()} == {"given": "table.csv", "own": "own.csv"}
    assert manifests["own"]["data"]["left_out"] == "kept the 2 of 4 rows with site a"
    report = (given / "results" / "demo" / "own" / "report.html").read_text(encoding="utf-8")
    assert "kept the 2 of 4 rows with site a" in report


@pytest.mark.parametrize("words", [["plans"], ["plans/given.toml", "plans/narrow.toml"]])
def test_compare_takes_data_from_the_command_line(command, given, words):
    (given / "plans" / "own.toml").unlink()
    (given / "plans" / "narrow.toml").write_text(
        GIVEN + '[priors]\nsensitivity = { dist = "Beta", alpha = 8, beta = 2 }\n'
    )
    code, _, err = command("compare", *words, "--data", "mine/table.csv", "--out", "comparison")
    assert code == 0, err
    assert err.splitlines() == ["demo/given: fitting", "demo/narrow: fitting"]
    assert set(pd.read_csv(given / "comparison" / "loo.csv")["model"]) == {"given", "narrow"}


EXPECTED = (
    "plan 'plans/given.toml': [data] source = 'path' expects a two-by-two table (columns group, positives, n); "
    "give that file with --data PATH (data=PATH in Python)"
)
MISSING = (
    "plan 'plans/given.toml': there is no data file 'mine/tabel.csv'; "
    "check the path given with --data, which is relative to the folder this runs in"
)
REFUSED = {
    "run without": (["run", "plans/given.toml"], EXPECTED),
    "run several without": (["run", "plans/own.toml", "plans/given.toml"], EXPECTED),
    "compare without": (["compare", "plans"], EXPECTED),
    "run a plan of its own data": (
        ["run", "plans/own.toml", "--data", "mine/table.csv"],
        "plan 'plans/own.toml' names its own data; leave --data out",
    ),
    "run plans of their own data": (
        ["run", "plans/own.toml", "plans/more.toml", "--data", "mine/table.csv"],
        "all 2 plans name their own data; leave --data out",
    ),
    "compare plans of their own data": (
        ["compare", "plans/own.toml", "plans/more.toml", "--data", "mine/table.csv"],
        "all 2 plans name their own data; leave --data out",
    ),
    "file that is not there": (["run", "plans/given.toml", "--data", "mine/tabel.csv"], MISSING),
    "file that is not there, for several": (["compare", "plans", "--data", "mine/tabel.csv"], MISSING),
    "file beside the plan": (
        ["run", "plans/given.toml", "--data", "own.csv"],
        MISSING.replace("mine/tabel.csv", "own.csv"),
    ),
    "folder": (
        ["run", "plans/given.toml", "--data", "mine"],
        "plan 'plans/given.toml': --data 'mine' is not a .csv or .parquet file; save the table as one of these",
    ),
    "file of another column": (
        ["run", "plans/given.toml", "--data", "mine/other.csv"],
        "plan 'plans/given.toml': column 'positives' (people who test positive) is not in the table; write "
        '[data.columns] positives = "NAME", NAME being the table\'s; known: group, hits, n',
    ),
    "empty file": (
        ["run", "plans/given.toml", "--data", "mine/empty.csv"],
        "plan 'plans/given.toml': 'mine/empty.csv' cannot be read as csv (No columns to parse from file); "
        "check that the file is whole",
    ),
    "value that no row has": (
        ["run", "plans/kept.toml"],
        "plan 'plans/kept.toml': [data.keep] site = 'c' is in no row of the table; known: a, b",
    ),
    "limits that are not there": (
        ["run", "plans/limited.toml", "--data", "mine/table.csv"],
        "plan 'plans/limited.toml': there is no limits file 'plans/limits.csv'; "
        "check the path, which is relative to the plan's folder",
    ),
    "reproduce data": (["reproduce", "--data", "mine/table.csv"], "No such option: --data; see bayesdep --help"),
    "reproduce plans that all need a file": (
        ["reproduce", "--models", "needy"],
        "every plan in 'needy' needs a file; run them with bayesdep run PLAN --data PATH",
    ),
}


@pytest.mark.parametrize(("words", "says"), REFUSED.values(), ids=list(REFUSED))
def test_data_that_cannot_serve_are_refused_in_one_sentence_and_nothing_is_written(
    words, says, command, given, monkeypatch
):
    own = (given / "plans" / "own.toml").read_text()
    (given / "needy").mkdir()
    (given / "needy" / "one.toml").write_text(GIVEN)
    for name, text in {
        "mine/other.csv": TABLE.replace("positives", "hits"),
        "mine/empty.csv": "",
        "plans/more.toml": own,
        "plans/kept.toml": own.replace('site = "a"', 'site = "c"'),
        "plans/limited.toml": GIVEN.replace("[model]", 'limits = "limits.csv"\n\n[model]'),
    }.items():
        if Path(name).stem in " ".join(words):  # else a comparison of the folder would find the plans
            (given / name).write_text(text)
    monkeypatch.setitem(sys.modules, "bayesdep.data.detection", SimpleNamespace(add_limits=None))
    before = files(given)
    assert command(*words) == (2, "", f"bayesdep: {says}\n")
    assert files(given) == before


def test_datasets_lists_every_table_with_its_citation(command):
    code, out, err = command("datasets")
    assert (code, err) == (0, "")
    listed = list_datasets()
    for name, citation in zip(listed["name"], listed["citation"], strict=True):
        assert name in out
        assert citation.split()[0] in out


def test_simulated_data_are_called_synthetic_from_the_table_to_the_report(command, tmp_path):
    code, out, _ = command("simulate", "kiraly2017_fgf2_roc", "--seed", 4, "--out", "made.csv")
    assert code == 0
    assert out.split() == ["made.csv", "made.truth.json"]
    made = pd.read_csv(tmp_path / "made.csv")
    pd.testing.assert_frame_equal(made, bd.simulate("kiraly2017_fgf2_roc", seed=4).table)
    text = (MODELS / "kiraly2017" / "fgf2_screen.toml").read_text(encoding="utf-8")
    (tmp_path / "plan.toml").write_text(text.replace("published:kiraly2017_fgf2_roc", "made.csv"))
    code, out, _ = command("run", "plan.toml", "--out", "run")
    assert code == 0
    assert "SYNTHETIC DATA" in out
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert report.index("SYNTHETIC DATA") < report.index("<h1>")
    for name in ("estimands.csv", "summary.csv", "ledger.csv"):
        assert pd.read_csv(tmp_path / "run" / name)["synthetic"].all()
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["data"]["synthetic"] is True


# The gate.


@pytest.mark.sampling
def test_failed_gate_exits_with_1_goes_beside_and_leaves_the_good_run_untouched(command, screen_run, tmp_path):
    (tmp_path / "short.toml").write_text(SCHOOLS_PLAN)
    plan = ["run", "short.toml", "--out", "run"]
    short = ["--draws", 20, "--tune", 20]
    shutil.copytree(screen_run.directory, tmp_path / "run")
    earlier = files(tmp_path / "run")

    code, out, err = command(*plan, *short)
    assert code == 1
    assert "credible interval" not in out, "numbers that are not to be used"
    complaint = err.splitlines()[-1]
    assert complaint.startswith("bayesdep: demo/short FAILED THE GATE, do not use these numbers: ")
    assert complaint.endswith("see run-failed")
    assert files(tmp_path / "run") == earlier
    failed = tmp_path / "run-failed"
    assert verdicts(failed / "estimands.csv").startswith("FAILED THE GATE, do not use these numbers")
    assert verdicts(failed / "summary.csv").startswith("FAILED THE GATE")
    report = (failed / "report.html").read_text(encoding="utf-8")
    assert report.index("FAILED THE GATE") < report.index("<h1>")
    assert json.loads((failed / "diagnostics.json").read_text())["passed"] is False
    assert {p.name for p in tmp_path.iterdir()} == {"short.toml", "run", "run-failed"}

    code, _, err = command("export", "run-failed", "--format", "csv")
    assert code == 1
    assert verdicts(failed / "estimands.csv").startswith("FAILED THE GATE")

    code, _, err = command(*plan, *short, "--accept-failed-gate")
    assert code == 0
    assert verdicts(tmp_path / "run" / "estimands.csv").startswith("FAILED THE GATE")
    assert "FAILED THE GATE" in err
    assert not failed.exists()  # what failed before has found its place

    code, _, err = command(*plan, "--draws", 1000, "--tune", 1000)
    assert code == 0, err
    assert verdicts(tmp_path / "run" / "estimands.csv") == "passed"
    own = {f"figures/{name}.{end}" for name in ("ranks", "funnel", "leave_one_out") for end in ("png", "pdf", "svg")}
    assert set(files(tmp_path / "run")) == {*CONTRACT, *own} - {"ledger.csv"}  # nothing of the failed run is left


# compare.


@pytest.mark.sampling
def test_compare_ranks_the_plans_of_one_study_and_writes_table_and_plot(command, tmp_path):
    plans = [MODELS / "raison2013" / f"{name}.toml" for name in ("responders", "responders_unpooled")]
    code, out, err = command("compare", *plans)
    assert code == 0, err
    directory = tmp_path / "results" / "raison2013" / "comparison"
    assert set(files(tmp_path)) == {
        f"results/raison2013/comparison/{name}" for name in ("loo.csv", "loo.png", "manifest.json")
    }
    table = pd.read_csv(directory / "loo.csv")
    assert set(table["model"]) == {"responders", "responders_unpooled"}
    assert table["elpd"].is_monotonic_decreasing
    assert (table["worst_pareto_k"] < 0.7).all()
    assert (directory / "loo.png").read_bytes().startswith(b"\x89PNG")
    manifest = json.loads((directory / "manifest.json").read_text())
    assert set(manifest["plans"]) == {"responders", "responders_unpooled"}
    assert manifest["sentence"] in out.replace("\n", " ")


@pytest.mark.sampling
def test_compare_ranks_a_folder_family_by_family_and_says_what_has_no_rival(command, tmp_path):
    (tmp_path / "study").mkdir()
    for name in ("responders", "responders_unpooled", "crp_none", "crp_log_linear"):
        (tmp_path / "study" / f"{name}.toml").write_text((MODELS / "raison2013" / f"{name}.toml").read_text())
    (tmp_path / "study" / "alone.toml").write_text((MODELS / "benchmarks" / "bcg.toml").read_text())
    code, _, err = command("compare", "study")
    assert code == 0, err
    assert "left out, because no other plan is of its family: alone" in err
    results = tmp_path / "results"
    (comparison,) = results.glob("*/comparison")
    assert sorted(path.name for path in comparison.iterdir()) == ["counts", "trial"]
    assert set(pd.read_csv(comparison / "trial" / "loo.csv")["model"]) == {"crp_none", "crp_log_linear"}


def test_compare_refuses_a_folder_without_rivals(command, tmp_path):
    (tmp_path / "study").mkdir()
    for folder, name in (("benchmarks", "bcg"), ("raison2013", "responders")):
        (tmp_path / "study" / f"{name}.toml").write_text((MODELS / folder / f"{name}.toml").read_text())
    code, out, err = command("compare", "study")
    assert code == 2
    assert out == ""
    assert "no two plans in 'study' are of one family and of the same outcomes; name the plans to compare" in err


def test_compare_ranks_no_plan_that_imputes(command, tmp_path):
    (tmp_path / "study").mkdir()
    for name in ("both_times", "missing_moderators"):
        (tmp_path / "study" / f"{name}.toml").write_text((MODELS / "price2022" / f"{name}.toml").read_text())
    code, _, err = command("compare", "study")
    assert code == 2
    said = " ".join(err.split())
    assert "left out, because imputed values depend on the outcomes to be left out: missing_moderators" in said
    code, out, err = command("compare", "study/both_times.toml", "study/missing_moderators.toml")
    assert (code, out) == (2, "")
    assert "plan 'missing_moderators' imputes moderators knowing all outcomes" in " ".join(err.split())


def test_compare_sets_no_plans_of_a_folder_side_by_side_whose_outcomes_differ(command, tmp_path):
    (tmp_path / "study").mkdir()
    for name in ("panel", "panel_half_lod"):
        (tmp_path / "study" / f"{name}.toml").write_text((MODELS / "kiraly2017" / f"{name}.toml").read_text())
    code, _, err = command("compare", "study")
    assert code == 2
    lone = "left out, because no other plan of its family has the same outcomes: panel, panel_half_lod"
    assert lone in " ".join(err.split())


@pytest.mark.sampling
def test_compare_refuses_plans_of_different_outcomes_with_exit_code_1_and_one_sentence(command, tmp_path):
    plans = [MODELS / "kiraly2017" / f"{name}.toml" for name in ("fgf2_screen", "table2_moments")]
    code, out, err = command("compare", *plans)
    assert code == 1
    assert out == ""
    *progress, complaint = err.splitlines()
    assert all(line.endswith(": fitting") or line.startswith("sampling: ") for line in progress)
    assert re.match(r"bayesdep: fgf2_screen and table2_\w+ cannot be compared: one leaves out a subject", complaint)
    assert files(tmp_path) == {}


# Interruptions.


# A process that says when it has come to a place worth interrupting, and stays there for a while.
AT = {
    "sampling": """
import nutpie
sample = nutpie.sample
def told(*args, **settings):
    print("here", flush=True)
    return sample(*args, **settings)
nutpie.sample = told
""",
    "writing": """
import time
import bayesdep.reporting.run_directory as writer
def told(*args, **settings):
    print("here", flush=True)
    time.sleep(60)
writer.report = told
""",
}


def cut_off(place, number, folder, words):
    """Run the command line in a process of its own, and signal it at a place; its exit code and stderr."""
    code = f"{AT[place]}\nfrom bayesdep.cli import main\nmain({words!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "here\n", process.stderr.read()
        time.sleep(0.5)
        seen = [p.name for p in folder.iterdir()]
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    return process.returncode, err, seen


SIGNALS = {
    "Ctrl-C": (signal.SIGINT, 130, "bayesdep: interrupted; the unfinished run was not written\n"),
    "SIGTERM": (signal.SIGTERM, 143, "bayesdep: terminated; the unfinished run was not written\n"),
}


@pytest.mark.sampling
@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX knows them")
@pytest.mark.parametrize(("number", "code", "says"), SIGNALS.values(), ids=list(SIGNALS))
@pytest.mark.parametrize("place", list(AT))
def test_run_that_is_cut_off_leaves_nothing_and_the_earlier_run_untouched(
    place, number, code, says, screen_run, tmp_path
):
    shutil.copytree(screen_run.directory, tmp_path / "run")
    (tmp_path / "long.toml").write_text(SCHOOLS_PLAN)
    earlier = files(tmp_path)
    long = {
        "sampling": ["long.toml", "--draws", "2000000"],
        "writing": [str(MODELS / "kiraly2017" / "fgf2_screen.toml"), "--force"],  # it is there already
    }
    ended, err, seen = cut_off(place, number, tmp_path, ["run", *long[place], "--out", "run"])
    told = "demo/long: will replace the run of kiraly2017/fgf2_screen in 'run'\n" if place == "sampling" else ""
    assert (ended, err) == (code, told + says)
    assert any(name.endswith(".partial") for name in seen) == (place == "writing")
    assert {p.name for p in tmp_path.iterdir()} == {"long.toml", "run"}
    assert files(tmp_path) == earlier
