"""Many plans: which are run, in which order, and what is said and kept of those that are done."""

import itertools
import json
import re
import time
from pathlib import Path

import pytest

import bayesdep as bd
from bayesdep import cli
from bayesdep.commands import many
from bayesdep.commands.many import SoFar, choose, in_order, progress
from bayesdep.plan import find_plans, read_plan
from bayesdep.reporting import run_directory

MODELS = Path(__file__).parents[1] / "models"
PLANS = [read_plan(path) for path in find_plans(MODELS)]


def test_31_plans_are_run_by_default():
    runnable = [plan for plan in choose(PLANS, None, every=False) if not plan.needs_data]
    assert len(runnable) == 31
    assert choose(PLANS, None, every=True) == PLANS


def test_the_plans_of_one_study_are_all_run():
    chosen = choose(PLANS, "raison2013", every=False)
    assert {plan.study.name for plan in chosen} == {"raison2013"}
    assert [plan for plan in chosen if not plan.study.by_default]
    with pytest.raises(bd.BadInput, match=r"no plan is of a study 'raison2012'; did you mean 'raison2013'\?"):
        choose(PLANS, "raison2012", every=False)


def test_the_first_plan_takes_seconds_and_families_stay_together():
    ordered = in_order([plan for plan in PLANS if not plan.needs_data])
    assert ordered[0].label == "raison2013/responders_unpooled"  # a posterior in closed form
    families = [family for family, _ in itertools.groupby(ordered[1:], key=lambda plan: plan.model.family)]
    assert families[:5] == ["counts", "cytokines", "trial", "patient-meta", "meta"]
    assert len(set(families)) == len(families)
    assert sorted(plan.label for plan in ordered) == sorted(p.label for p in PLANS if not p.needs_data)


def test_time_left_is_said_again_and_again(monkeypatch, tmp_path):
    monkeypatch.setattr(many, "EVERY", 0.05)
    said = []
    with progress(4, said.append) as so_far:
        folder = so_far.folder
        while not said:
            time.sleep(0.01)
        (folder / "a.done").write_bytes(b"")
        before = len(said)
        while len(said) < before + 2:
            time.sleep(0.01)
    assert said[0] == "0 of 4 plans done after 0 s"
    assert re.fullmatch(r"1 of 4 plans done after \d s, about \d s left", said[-1])
    assert not folder.exists()
    assert SoFar(tmp_path).line(9, 300) == "0 of 9 plans done after 5 min"


@pytest.fixture
def here(monkeypatch):
    """All plans in this process, with neither figures nor reports: they are not what is tested."""
    monkeypatch.setattr("bayesdep.inference.parallel.WORKERS", 1)
    monkeypatch.setattr(run_directory, "report", lambda fit, path, **_: path.write_text("report"))
    monkeypatch.setattr(run_directory, "FIGURES", {})


def exact_plans(folder):
    for name in ("kiraly2017/fgf2_screen.toml", "raison2013/responders_unpooled.toml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((MODELS / name).read_bytes())


def test_the_first_result_comes_first_and_one_study_can_be_asked_for(command, tmp_path, here):
    exact_plans(tmp_path / "plans")
    code, out, _ = command("reproduce", "--quick", "--models", "plans")
    assert code == 0
    first = "The first of its reports: results/raison2013/responders_unpooled/report.html"
    assert first in out
    manifests = [json.loads(path.read_text()) for path in tmp_path.glob("results/*/*/manifest.json")]
    assert [manifest["vector"] for manifest in manifests] == [False, False]
    assert "fgf2_screen" not in out[: out.index(first)]
    code, out, err = command("reproduce", "raison2013", "--quick", "--models", "plans", "--out", "one", "--vector")
    assert code == 0, err
    assert out.splitlines()[-1].startswith("1 plans in ")
    assert [path.name for path in (tmp_path / "one").iterdir() if path.is_dir()] == ["raison2013"]
    assert json.loads((tmp_path / "one/raison2013/responders_unpooled/manifest.json").read_text())["vector"] is True
    plan = tmp_path / "plans" / "kiraly2017" / "fgf2_screen.toml"
    plan.write_text(plan.read_text().replace("[study]", "[study]\nby_default = false"))
    code, out, err = command("reproduce", "--quick", "--models", "plans")
    assert out.splitlines()[-1].startswith("1 plans in ")
    assert "1 more plans are run with --all" in err


def test_whoever_stops_it_sees_the_ledger_so_far(command, tmp_path, here, monkeypatch):
    exact_plans(tmp_path / "plans")
    real = cli._run_one

    def stopped(plan, *given, **how):
        if plan.name == "fgf2_screen":
            raise KeyboardInterrupt
        return real(plan, *given, **how)

    monkeypatch.setattr(cli, "_run_one", stopped)
    code, out, err = command("reproduce", "--quick", "--models", "plans")
    assert code == 130
    assert out.count("raison2013/responders_unpooled") >= 2  # as the first result, and in the ledger so far
    assert err.splitlines()[-1] == "bayesdep: interrupted; the unfinished run was not written"
    manifest = json.loads((tmp_path / "results/raison2013/responders_unpooled/manifest.json").read_text())
    assert manifest["what"] == "run of raison2013/responders_unpooled"
