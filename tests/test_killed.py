"""Runs that are cut off: finished chains stay on disk, and --resume gives bit for bit what was not cut off."""

import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from common import SCHOOLS_PLAN
from killing import Process, attempts, result, run_once

import bayesdep as bd
from bayesdep import plan as plans
from bayesdep.inference import chains as chains_module
from bayesdep.inference.finished_chains import Chain, FinishedChains, fingerprint
from bayesdep.inference.native import Bound
from bayesdep.plan import prepare, read_plan
from bayesdep.reporting import run_directory
from bayesdep.reporting.figures.register import FIGURES
from bayesdep.reporting.places import Manifest

MODELS = Path(__file__).resolve().parents[1] / "models"
SAMPLED = (MODELS / "raison2013" / "responders.toml").read_text(encoding="utf-8")
CORRELATED = (MODELS / "raison2013" / "crp_none.toml").read_text(encoding="utf-8")
killing = pytest.mark.skipif(sys.platform != "linux", reason="finds what is left in /proc")


# Chains on disk.


def chain(seed):
    draws = np.random.default_rng(seed).normal(size=(5, 2))
    return Chain({"mu": draws, "name/with slash": draws[:, 0]}, {"lp": draws[:, 0], "diverging": draws[:, 0] > 0})


def test_kept_chain_is_read_bit_for_bit_and_a_damaged_one_is_not(tmp_path):
    kept = FinishedChains(tmp_path / "chains")
    assert kept.count == 0
    assert not kept.folder.exists()
    kept.keep(1, 2, chain(1))
    assert kept.count == 1
    assert kept.chain(1, 1) is None
    assert FinishedChains(kept.folder, take=False).chain(1, 2) is None
    found = kept.chain(1, 2)
    for mine, theirs in ((found.draws, chain(1).draws), (found.stats, chain(1).stats)):
        assert {k: (v.dtype, v.tobytes()) for k, v in mine.items()} == {
            k: (v.dtype, v.tobytes()) for k, v in theirs.items()
        }
    (file,) = kept.folder.iterdir()
    content = file.read_bytes()
    at = content.index(chain(1).draws["mu"].tobytes())
    flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    for damaged in (b"", content[: len(content) // 2], flipped, b"nonsense"):
        file.write_bytes(damaged)
        assert kept.chain(1, 2) is None
    np.savez(file, x=np.array([{}], dtype=object))  # a pickle: read, it could run anything
    assert kept.chain(1, 2) is None


def test_chain_that_cannot_be_kept_costs_nothing(tmp_path):
    (tmp_path / "chains").write_text("a file")
    kept = FinishedChains(tmp_path / "chains")
    kept.keep(0, 0, chain(1))
    assert kept.chain(0, 0) is None


def test_fingerprint_differs_with_plan_data_settings_and_versions(monkeypatch):
    data = xr.Dataset({"y": ("unit", [1.0, 2.0])}, {"unit": ["a", "b"]}, {"scale": 1.0})
    first = fingerprint("plan", data, {"seed": 1})
    assert fingerprint("plan", data.copy(deep=True), {"seed": 1}) == first
    changed = [
        ("plan ", data, {"seed": 1}),
        ("plan", data, {"seed": 2}),
        ("plan", data.assign(y=data["y"] + [0, 1e-15]), {"seed": 1}),
        ("plan", data.assign_coords(unit=["a", "c"]), {"seed": 1}),
        ("plan", data.assign_attrs(scale=2.0), {"seed": 1}),
        ("plan", data.rename(y="z"), {"seed": 1}),
    ]
    found = {first, *(fingerprint(*given) for given in changed)}
    monkeypatch.setattr("bayesdep.inference.finished_chains.version", lambda _: "0")
    found.add(fingerprint("plan", data, {"seed": 1}))
    assert len(found) == len(changed) + 2


# What a run does with them.


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with a plan, a fake fit that ends as told after two chains, and the command line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schools.toml").write_text(SCHOOLS_PLAN)
    asked = []

    def ends(how):
        def fit(plan, *, kept, **_):
            asked.append([kept.chain(0, k) is not None for k in range(4)])
            for number in range(2):
                kept.keep(0, number, chain(number))
            raise how

        monkeypatch.setattr(plans, "fit_plan", fit)

    return ends, asked


@pytest.fixture
def run(command):
    """Run that plan: exit code and stderr."""
    return lambda *words: command("run", "schools.toml", "--out", "out", *words)[::2]


def chain_files(folder):
    return sorted(p.name for p in folder.glob(".out.*.chains/*.npz"))


@pytest.mark.parametrize(("how", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143), (SystemExit(129), 129)])
def test_run_that_is_told_to_stop_leaves_finished_chains_only_where_it_is_to_be_resumed(how, code, desk, tmp_path, run):
    ends, asked = desk
    ends(how)
    ended, said = run()
    assert ended == code
    assert [p.name for p in tmp_path.iterdir()] == ["schools.toml"]
    ended, said = run("--resume")
    assert ended == code
    assert "demo/schools: finished chains are kept (2); go on with --resume" in said
    assert len(chain_files(tmp_path)) == 2
    ended, said = run("--resume")
    assert "demo/schools: goes on with the finished chains of a run that was interrupted (2)" in said
    ended, said = run()
    assert "left some finished (2); --resume takes them" in said
    assert len(chain_files(tmp_path)) == 2
    ended, said = run("--resume", "--seed", "3")
    assert "had another plan, data, settings or versions; this one starts afresh" in said
    assert asked == [[False] * 4, [False] * 4, [True, True, False, False], [False] * 4, [False] * 4]


@pytest.mark.parametrize("how", [ValueError("a fault"), MemoryError(), bd.BadInput("a refusal"), OSError(28, "full")])
def test_fault_after_finished_chains_keeps_them_and_says_so(how, desk, tmp_path, run):
    ends, _ = desk
    ends(how)
    code, said = run()
    assert code in (1, 2)
    assert said.splitlines()[-1].endswith("2 finished chains are kept; go on with --resume")
    assert "Traceback" not in said
    assert len(chain_files(tmp_path)) == 2


FIT_PLAN = plans.fit_plan


def test_written_run_leaves_no_chains_of_any_fingerprint(desk, tmp_path, run, monkeypatch):
    ends, _ = desk
    for seed in ("1", "2"):
        ends(ValueError())
        run("--seed", seed)
    (tmp_path / ".out.more.0123456789abcdef.chains").mkdir()  # of a place called out.more
    assert len(list(tmp_path.glob(".out.*.chains"))) == 3
    exact = (MODELS / "raison2013" / "responders_unpooled.toml").read_text(encoding="utf-8")
    (tmp_path / "schools.toml").write_text(exact)
    monkeypatch.setattr(plans, "fit_plan", FIT_PLAN)
    code, said = run("--draws", "250", "--chains", "2")
    assert code == 0, said
    assert [p.name for p in tmp_path.glob(".*")] == [".out.more.0123456789abcdef.chains"]


def test_a_run_killed_once_it_is_written_leaves_no_chains_when_resumed(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exact = (MODELS / "raison2013" / "responders_unpooled.toml").read_text(encoding="utf-8")
    (tmp_path / "schools.toml").write_text(exact)
    assert run("--draws", "250", "--chains", "2")[0] == 0
    own = Manifest.of(tmp_path / "out").fingerprint[:16]
    for named in (own, "0123456789abcdef"):
        FinishedChains(tmp_path / f".out.{named}.chains").keep(0, 0, chain(1))
    code, said = run("--draws", "250", "--chains", "2", "--resume")
    assert (code, "goes on" in said) == (0, False), said
    assert list(tmp_path.glob(".*")) == []


# The same draws.


def prepared(text, folder):
    (folder / "plan.toml").write_text(text)
    plan = read_plan(folder / "plan.toml")
    return plan.model, prepare(plan)


def same(one, other):
    for group in ("posterior", "sample_stats", "estimands", "posterior_predictive", "log_likelihood", "log_prior"):
        mine, theirs = one.tree[group].to_dataset(), other.tree[group].to_dataset()
        assert set(mine.data_vars) == set(theirs.data_vars)
        for name in mine.data_vars:
            assert mine[name].dtype == theirs[name].dtype, name
            assert mine[name].values.tobytes() == theirs[name].values.tobytes(), name


@pytest.mark.sampling
@pytest.mark.parametrize("text", [SAMPLED, CORRELATED], ids=["diagonal", "low rank"])
def test_chains_apart_and_chains_taken_from_disk_are_bit_for_bit_those_of_all_at_once(text, tmp_path, monkeypatch):
    model, data = prepared(text, tmp_path)
    size = {"draws": 60, "tune": 100, "chains": 4, "seed": 5, "progress": False}
    together = bd.fit(model, data, **size)
    kept = FinishedChains(tmp_path / "chains")
    same(bd.fit(model, data, kept=kept, **size | {"progress": True}), together)
    assert kept.count == 4
    for number in (0, 2):
        (kept.folder / f"table-0-chain-{number}.npz").unlink()
    sampled = []
    apart = chains_module._sample_each

    def seen(ready, missing, settings, lines):
        sampled.extend(missing)
        return apart(ready, missing, settings, lines)

    monkeypatch.setattr(chains_module, "_sample_each", seen)
    same(bd.fit(model, data, kept=kept, **size), together)
    assert sampled == [0, 2]


@pytest.mark.sampling
def test_chains_of_pymc_s_sampler_are_kept_together(tmp_path, monkeypatch):
    model, data = prepared(SCHOOLS_PLAN, tmp_path)
    size = {"draws": 20, "tune": 20, "chains": 2, "seed": 5, "progress": False, "sampler": "pymc"}
    kept = FinishedChains(tmp_path / "chains")
    first = bd.fit(model, data, kept=kept, **size)
    assert kept.count == 2
    monkeypatch.setattr("pymc.sample", lambda *_, **__: pytest.fail("sampled again"))
    same(bd.fit(model, data, kept=kept, **size), first)


@pytest.mark.sampling
def test_start_that_is_never_found_is_an_error_and_no_wait(tmp_path, monkeypatch):
    model, data = prepared(SCHOOLS_PLAN, tmp_path)
    monkeypatch.setattr(Bound, "near", lambda self, _=None: np.full(self.n_dim, np.nan))
    settings = {"draws": 10, "tune": 10, "chains": 2, "progress": False, "sampler": "nutpie"}
    for kept in (None, FinishedChains(tmp_path / "chains")):
        with pytest.raises(RuntimeError, match="nitialization points failed"):
            bd.fit(model, data, kept=kept, **settings)


# Killed.


@killing
@pytest.mark.parametrize(
    "number", [pytest.param(5, marks=pytest.mark.sampling), pytest.param(50, marks=pytest.mark.slow)]
)
def test_run_killed_at_random_moments_loses_nothing_and_is_resumed_bit_for_bit(number, tmp_path, monkeypatch):
    monkeypatch.setattr(run_directory, "FIGURES", {"forest": FIGURES["forest"]})  # most of the time is not in drawing
    (tmp_path / "responders.toml").write_text(SAMPLED.split("[[published]]")[0])
    run = ["run", "responders.toml", "--out", "out", "--draws", "1000"]
    tally = attempts(run, [*run, "--seed", "7"], ["out"], tmp_path, number, seed=number)
    assert not tally.faults
    assert tally.killed == number


@killing
@pytest.mark.slow
def test_reproduce_killed_at_random_moments_loses_nothing_and_is_resumed_bit_for_bit(tmp_path):
    names = {"screen": "kiraly2017/fgf2_screen", "unpooled": "raison2013/responders_unpooled", "bcg": "benchmarks/bcg"}
    texts = {name: (MODELS / f"{path}.toml").read_text(encoding="utf-8") for name, path in names.items()}
    texts |= {"schools": SCHOOLS_PLAN, "exact": SCHOOLS_PLAN.replace('"nutpie"', '"exact"'), "responders": SAMPLED}
    (tmp_path / "plans").mkdir()
    for name, text in texts.items():
        (tmp_path / "plans" / f"{name}.toml").write_text(text)
    places = [f"results/{read_plan(p).study.name}/{p.stem}" for p in sorted((tmp_path / "plans").iterdir())]
    run = ["reproduce", "--models", "plans"]
    tally = attempts([*run, "--quick"], run, places, tmp_path, 20, seed=20)
    assert not tally.faults
    assert tally.killed == 20


@killing
@pytest.mark.sampling
def test_reproduce_killed_leaves_no_process_and_resume_keeps_what_is_finished(tmp_path):
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "schools.toml").write_text(SCHOOLS_PLAN)
    shutil.copy(MODELS / "raison2013" / "responders_unpooled.toml", tmp_path / "plans" / "exact.toml")
    words = ["reproduce", "--models", "plans", "--out", "out"]
    process = Process(words, tmp_path)
    finished = tmp_path / "out" / "raison2013" / "exact" / "manifest.json"
    while not finished.exists():
        assert process.wait(0.1) is None, (tmp_path / "log.txt").read_text()
    os.kill(process.pid, signal.SIGKILL)
    os.waitpid(process.pid, 0)
    assert process.is_gone()
    before = finished.read_bytes()
    run_once([*words, "--resume"], tmp_path)
    assert (
        "raison2013/exact: passed the gate (finished before, nothing has changed" in (tmp_path / "log.txt").read_text()
    )
    assert finished.read_bytes() == before
    assert result(tmp_path / "out" / "demo" / "schools")
