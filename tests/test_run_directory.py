"""What a run may replace on disk, and what stays: every other file, every other run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from common import SCREEN_PLAN
from matplotlib.figure import Figure

import bayesdep as bd
from bayesdep.cli import main
from bayesdep.data import files as on_disk
from bayesdep.data.errors import BadInput
from bayesdep.data.files import leftovers, sole_writer, whole_directory, whole_files
from bayesdep.reporting import run_directory
from bayesdep.reporting.figures.register import Entry
from bayesdep.reporting.places import MANIFEST, Manifest, Place

posix = pytest.mark.skipif(os.name == "nt", reason="links and locks as POSIX knows them")


@pytest.fixture(autouse=True)
def light(monkeypatch):
    """Tables, a figure and a report that take no time: what is tested here is where files go."""

    def report(fit, path, *, figures, **_):
        path.write_text(f"figures: {', '.join(figures)}")
        return path

    monkeypatch.setattr(run_directory, "report", report)
    for name in ("summarise", "summarise_parameters"):
        monkeypatch.setattr(run_directory, name, lambda _: pd.DataFrame({"mean": [0.5]}))
    monkeypatch.setattr(run_directory, "FIGURES", {"forest": Entry(lambda _: Figure((1, 1)), "nothing")})


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with a plan that needs no sampling, in which the command line runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "screen.toml").write_text(SCREEN_PLAN)
    return tmp_path


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """A run of that plan, with all its figures."""
    folder = tmp_path_factory.mktemp("earlier")
    (folder / "screen.toml").write_text(SCREEN_PLAN)
    return bd.run_plan(folder / "screen.toml", out=folder / "run", draws=250, chains=2).directory


@pytest.fixture
def run(command):
    """Run that plan: exit code and stderr."""
    return lambda *words: command("run", "plans/screen.toml", "--draws", 250, "--chains", 2, *words)[::2]


def tree(folder):
    """Every file with its content and every folder below one; links as they are."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        found[name] = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


# Whose files.


def webapp(folder):
    """A project that has a file of that name too."""
    (folder / "src").mkdir(parents=True)
    (folder / "manifest.json").write_text('{"name": "webapp", "files": {"src/thesis.tex": "0"}}')
    (folder / "src" / "thesis.tex").write_text("years of work")


def forged(folder):
    """A manifest that lists what lies elsewhere."""
    folder.mkdir()
    said = {"written_by": "bayesdep", "what": "run of demo/screen", "failed": False, "fingerprint": ""}
    (folder / "manifest.json").write_text(json.dumps(said | {"files": {"../plans/screen.toml": "0"}}))


def of_an_earlier_version(folder):
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"plan": {"sha256": "0"}, "versions": {"bayesdep": "0.1"}}))
    (folder / "posterior.nc").write_text("draws")


def nested(folder):
    folder.mkdir()
    (folder / "manifest.json").write_text("[" * 100_000)


def linked(folder):
    """A manifest that is a link."""
    webapp(folder)
    (folder / "manifest.json").rename(folder / "other.json")
    (folder / "manifest.json").symlink_to("other.json")


@pytest.mark.parametrize("make", [webapp, forged, of_an_earlier_version, nested, linked])
def test_directory_that_no_run_wrote_is_refused_before_sampling_whatever_its_manifest_is(make, desk, run, monkeypatch):
    make(desk / "out")
    before = tree(desk)
    monkeypatch.setattr("bayesdep.plan.fit_plan", lambda *_, **__: pytest.fail("sampled before looking"))
    code, said = run("--out", "out")
    assert code == 2
    assert "--out 'out' is not empty and is not an earlier run" in said
    assert tree(desk) == before


@posix
def test_run_replaces_the_files_its_manifest_lists_and_no_other(earlier, desk, run):
    out = desk / "out"
    shutil.copytree(earlier, out)
    kept = {
        "notes.txt": "mine",
        "figures/sketch.png": "mine too",
        "talk/slides.tex": "and mine",
        ".hidden": "here",
        "odd \n name": "x",
    }
    for name, text in kept.items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(text)
    (out / "empty").mkdir()
    (out / "link").symlink_to("/nowhere")
    os.mkfifo(out / "pipe")
    same = {name: (out / name).stat().st_ino for name in kept}
    (out / "report.html").write_text("of the earlier run, and changed")
    code, said = run("--out", "out", "--seed", 2)
    assert code == 0, said
    assert {name: (out / name).stat().st_ino for name in kept} == same  # the very same files
    assert {name: (out / name).read_text() for name in kept} == kept
    assert (out / "empty").is_dir()
    assert (out / "link").readlink() == Path("/nowhere")
    assert (out / "pipe").is_fifo()
    manifest = json.loads((out / MANIFEST).read_text())
    assert manifest["seed"] == 2
    figures = {f"figures/forest.{ending}" for ending in ("png", "pdf", "svg")}
    assert set(manifest["files"]) == {f for f in Manifest.of(earlier).files if f[:8] != "figures/"} | figures
    assert "of the earlier run" not in (out / "report.html").read_text()
    assert sorted(p.name for p in desk.iterdir()) == ["out", "plans"]


@pytest.mark.parametrize("name", ["ledger.csv", "posterior.nc/mine.txt"])
def test_file_of_a_name_that_a_run_writes_is_refused_before_sampling(name, earlier, desk, run):
    shutil.copytree(earlier, desk / "out")
    manifest = json.loads((desk / "out" / MANIFEST).read_text())
    top = name.split("/")[0]
    manifest["files"].pop(top, None)
    (desk / "out" / MANIFEST).write_text(json.dumps(manifest))
    (desk / "out" / top).unlink(missing_ok=True)
    (desk / "out" / name).parent.mkdir(exist_ok=True)
    (desk / "out" / name).write_text("mine")
    before = tree(desk)
    code, said = run("--out", "out")
    assert code == 2
    assert f"holds '{name}', which no run wrote but this one would" in said
    assert tree(desk) == before


def test_figure_of_someone_s_own_stays_and_the_run_says_that_it_lacks_its_own(earlier, desk, run):
    shutil.copytree(earlier, desk / "out")
    manifest = json.loads((desk / "out" / MANIFEST).read_text())
    del manifest["files"]["figures/forest.png"]
    (desk / "out" / MANIFEST).write_text(json.dumps(manifest))
    (desk / "out" / "figures" / "forest.png").write_text("mine")
    code, said = run("--out", "out", "--force")
    assert code == 1
    assert "lacks figures/forest.png (there is a file of this name that no run wrote)" in said
    assert (desk / "out" / "figures" / "forest.png").read_text() == "mine"


@pytest.mark.parametrize("what", ["plan", "data"])
def test_out_that_holds_what_is_read_is_refused(what, earlier, desk, capsys):
    shutil.copytree(earlier, desk / "out")
    shutil.copy(desk / "plans" / "screen.toml", desk / "out" / "screen.toml")
    (desk / "out" / "table.csv").write_text("group,positives,n\nill,15,19\nwell,1,12\n")
    own = re.sub(r'source = "published:.*"', f'source = "{desk}/out/table.csv"', SCREEN_PLAN)
    (desk / "plans" / "own.toml").write_text(own)
    before = tree(desk)
    with pytest.raises(SystemExit) as ending:
        main(["run", {"plan": "out/screen.toml", "data": "plans/own.toml"}[what], "--out", "out"])
    assert ending.value.code == 2
    assert "which is read for this run; give another with --out" in capsys.readouterr().err
    assert tree(desk) == before


# Where failures go.


def stands(folder, what, *, failed):
    """A run's directory as far as a manifest tells."""
    folder.mkdir()
    (folder / "posterior.nc").write_text("draws")
    digest = "0" * 64
    said = {
        "written_by": "bayesdep",
        "what": what,
        "failed": failed,
        "fingerprint": "",
        "files": {"posterior.nc": digest},
    }
    (folder / MANIFEST).write_text(json.dumps(said))


@pytest.mark.parametrize(
    ("what", "failed", "says"),
    [
        ("run of demo/screen-failed", False, "holds the run of demo/screen-failed"),
        ("run of demo/screen-failed", True, "holds a failed run of demo/screen-failed"),
        ("run of demo/screen", False, "holds the run of demo/screen"),
        ("comparison of demo", False, "holds a comparison of demo"),
    ],
)
def test_what_is_no_failure_of_this_plan_is_never_removed(what, failed, says, desk, run):
    stands(desk / "screen-failed", what, failed=failed)
    before = tree(desk)
    code, said = run("--out", "screen")
    assert code == 2
    assert says in said
    assert tree(desk) == before


def test_plan_named_as_the_place_of_another_s_failures_is_refused_beside_it(desk, capsys):
    shutil.copy(desk / "plans" / "screen.toml", desk / "plans" / "screen-failed.toml")
    before = tree(desk)
    with pytest.raises(SystemExit) as ending:
        main(["reproduce", "--models", "plans", "--out", "out"])
    assert ending.value.code == 2
    assert "plan 'plans/screen-failed.toml' goes to 'out/demo/screen-failed', where" in capsys.readouterr().err
    assert tree(desk) == before


def test_run_of_another_plan_is_replaced_only_where_it_is_named_and_the_user_is_told(earlier, desk, run):
    (desk / "plans" / "other.toml").write_text(SCREEN_PLAN)
    with pytest.raises(SystemExit) as ending:
        main(["run", "plans/other.toml", "--out", "out"])
    assert ending.value.code == 0
    code, said = run("--out", "out")
    assert code == 0
    assert "demo/screen: will replace the run of demo/other in 'out'" in said


def test_earlier_failure_of_this_plan_goes_but_not_what_lies_in_it(desk, run):
    stands(desk / "screen-failed", "run of demo/screen", failed=True)
    (desk / "screen-failed" / "why.txt").write_text("my notes")
    code, said = run("--out", "screen")
    assert code == 0, said
    assert tree(desk / "screen-failed") == {"why.txt": b"my notes"}


# Links and disks.


@posix
def test_links_are_followed_and_stay_links(earlier, desk, run):
    (desk / "disk").mkdir()
    shutil.copytree(earlier, desk / "disk" / "run")
    (desk / "disk" / "run" / "notes.txt").write_text("mine")
    (desk / "full").symlink_to(desk / "disk" / "run")
    (desk / "dangling").symlink_to(desk / "disk" / "new")
    for name, target in (("full", "run"), ("dangling", "new")):
        code, said = run("--out", name)
        assert code == 0, said
        assert (desk / name).is_symlink()
        assert (desk / "disk" / target / "report.html").is_file()
    assert (desk / "full" / "notes.txt").read_text() == "mine"
    assert sorted(p.name for p in (desk / "disk").iterdir()) == ["new", "run"]


@posix
@pytest.mark.parametrize("out", ["gone", "loop", "gone/run", "volume/run"])
def test_link_that_leads_nowhere_is_refused_before_sampling(out, desk, run):
    (desk / "gone").symlink_to(desk / "unmounted" / "disk")
    (desk / "volume").symlink_to(desk / "unmounted")
    (desk / "loop").symlink_to(desk / "loop")
    before = tree(desk)
    code, said = run("--out", out)
    assert code == 2
    assert "give another with --out" in said
    assert "Traceback" not in said
    assert tree(desk) == before


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="a second disk")
def test_link_to_another_disk_holds_the_run_there(desk, run):
    other = Path("/dev/shm") / f"bayesdep-{os.getpid()}"
    other.mkdir()
    try:
        (desk / "out").symlink_to(other / "run")
        for _ in range(2):
            assert run("--out", "out")[0] == 0
        assert (other / "run" / "report.html").is_file()
        assert [p.name for p in other.iterdir()] == ["run"]
        code, said = run("--out", Path("/dev/shm"))
        assert (code, "is a disk of its own" in said) == (2, True)
    finally:
        shutil.rmtree(other)


def test_name_as_long_as_names_can_be_is_written(desk, run):
    name = "x" * 248  # with -failed it has 255
    assert run("--out", name)[0] == 0
    assert sorted(p.name for p in desk.iterdir()) == ["plans", name]


# Several processes.


def test_temporary_names_differ_between_processes_of_one_id(tmp_path, monkeypatch):
    """As two containers have them: what one is writing is not touched by the other."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with whole_directory(tmp_path / "run") as mine, whole_files(tmp_path / "run.csv") as (my_file,):
        (mine / "half").touch()
        my_file.touch()
        monkeypatch.setattr(on_disk, "_session", "0" * 8)
        with whole_directory(tmp_path / "run") as other, whole_files(tmp_path / "run.csv") as (other_file,):
            assert {other, other_file}.isdisjoint({mine, my_file})
            other_file.touch()
        assert (mine / "half").exists()
        assert my_file.exists()


@posix
def test_second_run_of_one_place_is_refused_before_sampling_and_the_first_stands(desk, run):
    code = (
        "import sys\nfrom pathlib import Path\nfrom bayesdep.data.files import sole_writer\n"
        "with sole_writer(Path('out').resolve()):\n    print('held', flush=True)\n    sys.stdin.readline()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code], cwd=desk, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        ended, said = run("--out", "out")
        assert ended == 2
        assert "another run is writing" in said
        assert not (desk / "out").exists()
        holder.kill()  # the right goes with the process, whatever ends it
        holder.wait()
        assert run("--out", "out")[0] == 0
    finally:
        holder.kill()
        holder.communicate()
    assert sorted(p.name for p in desk.iterdir()) == ["out", "plans"]


def test_where_a_disk_knows_no_locks_the_run_placed_first_stands_and_the_other_says_so(earlier, desk, monkeypatch):
    monkeypatch.setattr(on_disk, "_lock", lambda _: (_ for _ in ()).throw(OSError(95, "not supported")))
    from bayesdep import plan as plans

    real = plans.fit_plan

    def overtaken(*args, **settings):
        monkeypatch.setattr(plans, "fit_plan", real)
        bd.run_plan("plans/screen.toml", out="out", draws=250, chains=2, seed=9)
        return real(*args, **settings)

    monkeypatch.setattr(plans, "fit_plan", overtaken)
    with pytest.raises(BadInput, match="another run was written to 'out' while this one sampled, and was kept"):
        bd.run_plan("plans/screen.toml", out="out", draws=250, chains=2, seed=1)
    assert json.loads((desk / "out" / MANIFEST).read_text())["seed"] == 9


def test_directory_that_is_exported_into_or_removed_while_a_run_samples_costs_it_nothing(earlier, desk, monkeypatch):
    from bayesdep import plan as plans

    real = plans.fit_plan

    def meanwhile(change):
        def fit(*args, **settings):
            change()
            return real(*args, **settings)

        monkeypatch.setattr(plans, "fit_plan", fit)

    def export():
        with pytest.raises(SystemExit):
            main(["export", "out", "--format", "json"])
        assert "estimands.json" in Manifest.of(desk / "out").files

    for change in (export, lambda: shutil.rmtree(desk / "out")):
        shutil.copytree(earlier, desk / "out", dirs_exist_ok=True)
        meanwhile(change)
        bd.run_plan("plans/screen.toml", out="out", draws=250, chains=2, seed=9)
        assert json.loads((desk / "out" / MANIFEST).read_text())["seed"] == 9
        assert not (desk / "out" / "estimands.json").exists()


@posix
def test_what_a_killed_run_left_is_put_right_by_the_next(earlier, desk, run):
    """Half-written, and killed after or between the steps of a replacement: nothing of anyone else's is lost."""
    half = desk / ".out.00000000-1-0.partial"
    (half / "figures").mkdir(parents=True)
    (half / "posterior.nc").write_text("half")
    replaced = desk / ".out.00000000-1-1.partial"  # changed places with the new run, and a note came late
    shutil.copytree(earlier, replaced)
    (replaced / "late.txt").write_text("mine")
    between = desk / ".out.00000000-1-2.old"  # the earlier run, the new one not in place
    shutil.copytree(earlier, between)
    (between / "notes.txt").write_text("mine too")
    of_another = desk / ".out.more.00000000-1-0.partial"
    of_another.mkdir()
    (desk / ".out.lock").touch()
    assert len(leftovers(desk / "out")) == 3
    code, said = run("--out", "out")
    assert code == 0, said
    assert (desk / "out" / "late.txt").read_text() == "mine"
    assert (desk / "out" / "notes.txt").read_text() == "mine too"
    assert sorted(p.name for p in desk.iterdir()) == [of_another.name, "out", "plans"]


@pytest.mark.parametrize("in_one_step", [True, False])
@pytest.mark.parametrize("step", ["rename", "rmtree", "link"])
def test_interrupt_at_any_step_of_a_replacement_leaves_one_run_whole(step, in_one_step, earlier, tmp_path, monkeypatch):
    if not in_one_step:
        monkeypatch.setattr(on_disk, "_exchange", lambda *_: False)
    owner, name = {"rename": (Path, "rename"), "rmtree": (shutil, "rmtree"), "link": (os, "link")}[step]
    real = getattr(owner, name)
    for at in range(4):
        out = tmp_path / f"out{at}"
        shutil.copytree(earlier, out)
        (out / "notes.txt").write_text("mine")
        calls = iter(range(100))

        def cut_off(*args, at=at, calls=calls, **words):
            if next(calls) == at:
                raise KeyboardInterrupt
            return real(*args, **words)

        monkeypatch.setattr(owner, name, cut_off)
        try:
            with whole_directory(out, Manifest.of(out).replaceable) as partial:
                (partial / "posterior.nc").write_text("new")
        except KeyboardInterrupt:
            pass
        monkeypatch.setattr(owner, name, real)
        assert (out / "notes.txt").read_text() == "mine"
        is_new = (out / "posterior.nc").read_bytes() == b"new"
        assert set(tree(out)) - {"notes.txt"} == ({"posterior.nc"} if is_new else set(tree(earlier)))


# Files that fail.


def test_figure_that_fails_costs_the_run_that_figure_and_the_same_command_makes_it_without_sampling(
    desk, run, monkeypatch
):
    monkeypatch.setattr(run_directory, "png", lambda figure: 1 / 0)
    monkeypatch.setattr(run_directory, "check_prior_sensitivity", lambda fit: 1 / 0)
    code, said = run("--out", "out")
    assert code == 1
    (line,) = [line for line in said.splitlines() if line.startswith("bayesdep: ")]
    for words in (
        "lacks figures/forest.png (ZeroDivisionError: division by zero)",
        "diagnostics.json",
        "the same command makes it",
    ):
        assert words in line
    assert not (desk / "out" / "figures" / "forest.png").exists()
    assert (desk / "out" / "report.html").read_text() == "figures: "
    monkeypatch.setattr(run_directory, "png", lambda _: b"png")
    monkeypatch.setattr(run_directory, "check_prior_sensitivity", lambda _: pd.DataFrame())
    draws = bd.Fit.load(desk / "out" / "posterior.nc").posterior
    monkeypatch.setattr("bayesdep.plan.fit_plan", lambda *_, **__: pytest.fail("fitted again"))
    code, said = run("--out", "out")
    assert code == 0, said
    assert (desk / "out" / "figures" / "forest.png").exists()
    assert bd.Fit.load(desk / "out" / "posterior.nc").posterior.equals(draws)
    assert "finished before" in run("--out", "out")[1]


def test_places_are_of_one_kind(earlier, tmp_path):
    with pytest.raises(BadInput, match="holds a run of demo/screen"):
        Place.find(earlier, "comparison of demo")
    with sole_writer(tmp_path / "deep" / "down" / "run"):
        assert (tmp_path / "deep" / "down").is_dir()
    assert not (tmp_path / "deep").exists()
