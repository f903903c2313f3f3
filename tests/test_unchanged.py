"""A finished run is kept while plan, data, settings, versions and code are the same; any change samples again."""

import json

import numpy as np
import pandas as pd
import pytest

import bayesdep as bd
from bayesdep.inference import finished_chains, sample
from bayesdep.inference.finished_chains import fingerprint
from bayesdep.reporting import run_directory
from bayesdep.reporting.figures.register import FIGURES

PLAN = """\
[study]
name = "demo"
title = "Coaching"

[data]
source = "schools.csv"

[model]
family = "meta"
measure = "difference"
units = "points"
scale = 100
study = "school"
"""
SIZE = ("--draws", 250, "--chains", 2)


@pytest.fixture(autouse=True)
def light(monkeypatch):
    """No figure and no report: what is tested here is whether a run is made."""
    monkeypatch.setattr(run_directory, "report", lambda fit, path, **_: path.write_text("report"))
    monkeypatch.setattr(run_directory, "FIGURES", {})


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plans").mkdir()
    bd.load("eight_schools_rubin1981").to_csv(tmp_path / "plans" / "schools.csv", index=False)
    (tmp_path / "plans" / "one.toml").write_text(PLAN)
    (tmp_path / "plans" / "two.toml").write_text(PLAN.replace("scale = 100", "scale = 50"))
    return tmp_path


@pytest.fixture
def fitted(monkeypatch):
    """How many fits have been made."""
    count, real = [], sample._fit_one

    def counted(*given, **words):
        count.append(1)
        return real(*given, **words)

    monkeypatch.setattr(sample, "_fit_one", counted)
    return lambda: len(count)


def touched(desk, change, monkeypatch):
    """Change one thing; the words of the next command."""
    plan, table = desk / "plans" / "one.toml", desk / "plans" / "schools.csv"
    if change == "plan":
        plan.write_text(PLAN.replace("Coaching", "Tutoring"))
    elif change == "data":
        rows = pd.read_csv(table).astype({"effect": float})
        rows.loc[3, "effect"] = np.nextafter(rows.loc[3, "effect"], np.inf)  # the last digit
        rows.to_csv(table, index=False)
    elif change in ("numpy", "numba"):
        real = finished_chains.version
        monkeypatch.setattr(finished_chains, "version", lambda name: "0" if name == change else real(name))
    elif change == "code":
        monkeypatch.setattr(finished_chains, "_source", lambda: "edited")
    elif change == "damage":
        (desk / "results" / "demo" / "one" / "posterior.nc").write_bytes(b"")
    return {"seed": ("--seed", 2), "force": ("--force",), "draws": ("--draws", 251)}.get(change, ())


CHANGES = ("plan", "data", "seed", "draws", "numpy", "numba", "code", "damage", "force")


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_is_kept_until_something_changes(change, desk, command, fitted, monkeypatch):
    words = ("run", "plans/one.toml", *SIZE)
    assert command(*words)[0] == 0
    before = (desk / "results" / "demo" / "one" / "posterior.nc").read_bytes()
    code, _, said = command(*words)
    assert (code, fitted()) == (0, 1)
    assert "demo/one: passed the gate (finished before, nothing has changed; --force samples again)" in said
    assert (desk / "results" / "demo" / "one" / "posterior.nc").read_bytes() == before
    assert command(*words, *touched(desk, change, monkeypatch))[0] == 0
    assert fitted() == 2


def test_tables_asked_for_otherwise_are_written_from_the_same_draws(desk, command, fitted):
    words = ("run", "plans/one.toml", *SIZE)
    assert command(*words)[0] == command(*words, "--spreadsheet-safe")[0] == 0
    assert fitted() == 1
    assert "finished before" not in command(*words)[2]  # written again, as asked now


def test_figures_are_written_as_pdf_and_svg_when_asked_for_and_from_the_same_draws(desk, fitted, monkeypatch):
    monkeypatch.setattr(run_directory, "FIGURES", {"forest": FIGURES["forest"]})

    def written(*, vector):
        run = bd.run_plan("plans/one.toml", vector=vector, draws=250, chains=2)
        assert json.loads((run.directory / "manifest.json").read_text())["vector"] is (not run.is_kept and vector)
        return run.is_kept, sorted(path.name for path in (run.directory / "figures").iterdir())

    assert written(vector=False) == (False, ["forest.png"])
    assert written(vector=False) == (True, ["forest.png"])
    every = ["forest.pdf", "forest.png", "forest.svg"]
    assert written(vector=True) == (False, every)
    run = bd.run_plan("plans/one.toml", vector=False, draws=250, chains=2)
    assert run.is_kept  # what is there beyond what is asked for stays
    assert sorted(path.name for path in (run.directory / "figures").iterdir()) == every
    assert fitted() == 1


@pytest.mark.parametrize("change", ["plan", "data", "numpy", "code", "damage", "force"])
def test_a_comparison_reads_finished_runs(change, desk, command, fitted, monkeypatch):
    assert command("run", "plans/one.toml", "plans/two.toml", "--quick")[0] == 0
    code, printed, said = command("compare", "plans", "--quick")
    assert (code, fitted()) == (0, 2)
    for name in ("one", "two"):
        assert f"demo/{name}: taken from results/demo/{name}; --force samples again" in said
    words = touched(desk, change, monkeypatch)
    again = command("compare", "plans", "--quick", *words)
    assert fitted() == (3 if change in ("plan", "damage") else 4)  # of one plan, or of both
    if change not in ("data", "plan"):
        assert again[1] == printed  # the same draws, so the same ranking


def test_another_cell_or_another_setting_is_another_fingerprint():
    data = bd.Meta(measure="difference", units="points", scale=100, study="school").prepare(
        bd.load("eight_schools_rubin1981")
    )
    first = fingerprint("plan", data, {"seed": 1})
    assert first == fingerprint("plan", data.copy(deep=True), {"seed": 1})
    others = [
        fingerprint("plan ", data, {"seed": 1}),
        fingerprint("plan", data, {"seed": 2}),
        fingerprint("plan", data.assign(se=np.nextafter(data["se"], 99)), {"seed": 1}),
        fingerprint("plan", data.assign_attrs(notes="read otherwise"), {"seed": 1}),
        fingerprint("plan", data, {"seed": 1}, "class Mine: ..."),
    ]
    assert len({first, *others}) == 6
