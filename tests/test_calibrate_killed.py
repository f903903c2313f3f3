"""A calibration that is killed, and workers of a cluster that die: no fit is lost or doubled, and nothing changes."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesdep as bd
from bayesdep.inference.many_fits import FinishedFits, numbered_fits

PLAN = Path(__file__).parents[1] / "models" / "ketamine_trials" / "madrs_rapid.toml"


def calibrating(folder: Path, fits: int) -> subprocess.Popen:
    words = ["calibrate", PLAN, "--fits", fits, "--draws", 100, "--out", folder / "found"]
    return subprocess.Popen(
        [sys.executable, "-m", "bayesdep", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(folder: Path) -> int:
    return len(list(folder.glob("found-fits/*/fit-*.npz")))


def killed_and_whole(tmp_path: Path, fits: int, kills: int) -> None:
    """Kill the command at random moments until it has been killed so often; then let it end, and one beside it."""
    moments, folder = random.Random(1), tmp_path / "killed"
    for k in range(kills):
        running = calibrating(folder, fits)
        before, deadline = finished(folder), time.monotonic() + 300
        more = 1 + moments.randrange(max(1, fits // (2 * kills)))  # so that fits are left for the last run
        while finished(folder) < min(before + more, fits - kills + k) and running.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(moments.uniform(0, 0.2))  # a fit takes about as long: several would leave none for the last run
        running.send_signal(signal.SIGKILL)
        running.communicate()
        assert running.returncode == -signal.SIGKILL, "it ended before it was killed"
    assert finished(folder) < fits
    for at in (folder, tmp_path / "whole"):
        ended = calibrating(at, fits)
        _, said = ended.communicate(timeout=1200)
        assert ended.returncode in (0, 1), said
        if at == folder:
            assert "continues with" in said
    for name in ("values.csv", "quantities.csv"):
        assert (folder / "found" / name).read_bytes() == (tmp_path / "whole" / "found" / name).read_bytes()
    assert sorted(p.name for p in folder.glob("found-fits/*/fit-*")) == [f"fit-{k:06d}.npz" for k in range(fits)]
    assert not list(folder.rglob("*.partial"))


@pytest.mark.sampling
def test_a_calibration_killed_three_times_gives_the_same_table(tmp_path):
    killed_and_whole(tmp_path, fits=24, kills=3)


@pytest.mark.slow
def test_a_calibration_of_100_fits_killed_20_times_gives_the_same_table(tmp_path):
    killed_and_whole(tmp_path, fits=100, kills=20)


def slow_square(number: int) -> dict[str, np.ndarray]:
    time.sleep(0.1)
    return {"square": np.array(number**2), "worker": np.array(os.getpid())}


@pytest.fixture
def cluster():
    distributed = pytest.importorskip("distributed", reason="needs bayesdep[cluster]: distributed is not installed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as made:
        yield made


def kill_one_after(store: FinishedFits, cluster, fits: int):
    """Kill a worker once a few fits are finished, from a thread beside the study."""
    import threading

    killed: list[int] = []

    def wait() -> None:
        while len(store.numbers) < fits:
            time.sleep(0.02)
        pid = next(iter(cluster.scheduler_info["workers"].values()))["id"]
        worker = cluster.workers[pid]
        number = worker.process.process.pid
        os.kill(number, signal.SIGKILL)
        killed.append(number)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread, killed


@pytest.mark.sampling
def test_no_fit_is_lost_or_doubled_when_a_worker_dies(tmp_path, cluster):
    store = FinishedFits(tmp_path)
    thread, killed = kill_one_after(store, cluster, 8)
    found = numbered_fits(slow_square, 40, store=store, scheduler=cluster.scheduler_address)
    thread.join()
    assert killed
    assert [int(x["square"]) for x in found] == [k**2 for k in range(40)]
    assert store.numbers == frozenset(range(40))
    workers = {int(x["worker"]) for x in found}
    assert len(workers) >= 2


@pytest.mark.sampling
def test_a_cluster_that_loses_a_worker_gives_what_one_process_gives(tmp_path, cluster):
    model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    data = bd.load("eight_schools_rubin1981")
    how = {"fits": 16, "draws": 100, "chains": 4}
    serial = bd.calibrate(model, data, workers=1, **how)

    class Folder:
        @property
        def numbers(self):
            return set(tmp_path.glob("*/fit-*.npz"))

    thread, killed = kill_one_after(Folder(), cluster, 4)
    found = bd.calibrate(model, data, store=tmp_path, scheduler=cluster.scheduler_address, **how)
    thread.join()
    assert killed
    pd.testing.assert_frame_equal(found.values, serial.values, check_exact=True)
    assert found.fits["fit"].tolist() == list(range(16))


def test_no_scheduler_is_one_sentence():
    pytest.importorskip("distributed", reason="needs bayesdep[cluster]: distributed is not installed")
    with pytest.raises(bd.BadInput, match="no Dask scheduler answers at 'nowhere'"):
        numbered_fits(slow_square, 2, store=None, scheduler="nowhere")


def test_without_distributed_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(bd.BadInput, match=r"pip install 'bayesdep\[cluster\]'"):
        numbered_fits(slow_square, 2, store=None, scheduler="tcp://127.0.0.1:1")
