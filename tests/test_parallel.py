"""Jobs in a few processes: results in order, errors passed on, nobody left behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from bayesdep.data.errors import BadInput
from bayesdep.data.files import whole_directory, whole_files
from bayesdep.inference import parallel
from bayesdep.inference.parallel import processes

MODELS = Path(__file__).parents[1] / "models"


def process_of(job):
    return job, os.getpid()


def refuse(job):
    if job == 2:
        raise BadInput(f"job {job} is not usable; leave it out")
    return job


def test_results_come_in_the_jobs_order_from_other_processes():
    with processes(3) as side_by_side:
        results = list(side_by_side(process_of, [3, 1, 2]))
    assert [job for job, _ in results] == [3, 1, 2]
    if (os.cpu_count() or 1) > 1:
        assert os.getpid() not in {pid for _, pid in results}


def test_one_job_stays_in_this_process():
    with processes(1) as side_by_side:
        assert list(side_by_side(process_of, [7])) == [(7, os.getpid())]


def test_what_a_job_refuses_is_raised_with_its_sentence():
    with processes(3) as side_by_side, pytest.raises(BadInput, match="job 2 is not usable"):
        list(side_by_side(refuse, [1, 2, 3]))


def end(job):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_the_system_ends_is_told_in_a_sentence():
    with pytest.raises(BadInput, match="the system ended a process"), processes(2) as side_by_side:
        list(side_by_side(end, [1, 2]))


def write_deaf(folder):
    """Write half, then hear nothing for a while, as a compiler does."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with whole_directory(folder / "run") as half, whole_files(folder / "table.csv") as (also,):
        (half / "one").touch()
        also.touch()
        time.sleep(60)


class Stopping:
    """Is told to stop in its destructor, where Python ignores what is raised."""

    def __del__(self):
        signal.raise_signal(signal.SIGTERM)


def write_and_stop(folder):
    with whole_files(folder / "table.csv") as (half,):
        half.touch()
        Stopping()
        time.sleep(60)


def cut_off(job, folder, halves):
    """Interrupt the parent once the job has begun to write."""
    with processes(2, writing=folder) as side_by_side:
        side_by_side(job, [folder])
        deadline = time.monotonic() + 30
        while len(list(folder.rglob(".*"))) < halves:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        raise KeyboardInterrupt


def test_a_process_that_does_not_hear_is_ended_and_its_halves_vanish(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "GRACE", 0.5)
    with pytest.raises(KeyboardInterrupt):
        cut_off(write_deaf, tmp_path, halves=2)
    assert not list(tmp_path.iterdir())


def test_a_stop_that_python_ignores_is_raised_again(tmp_path, capfd):
    with (
        pytest.raises(BadInput, match="the system ended a process"),
        processes(2, writing=tmp_path) as side_by_side,
    ):
        list(side_by_side(write_and_stop, [tmp_path]))
    assert not list(tmp_path.iterdir())
    assert not capfd.readouterr().err


def wait_without_the_system_s_help(parent):
    parallel.sys = SimpleNamespace(platform="another")
    parallel.end_with_parent(parent)
    time.sleep(60)


WAITING = {
    "pool": """
with processes(2, importing=("json",)) as side_by_side:
    side_by_side(time.sleep, [60, 60])
    told()
""",
    "watched by a thread": """
import test_parallel
target = test_parallel.wait_without_the_system_s_help
child = multiprocessing.get_context("spawn").Process(target=target, args=(os.getpid(),))
child.start()
told()
""",
}
WAITING["forks of PyMC's sampler"] = """
from bayesdep.inference.parallel import forks_that_end
context = forks_that_end() or multiprocessing.get_context("spawn")
ends = [context.Pipe() for _ in range(2)]  # each process holds those of the others, so that none is told of an end
children = [context.Process(target=mine.recv) for mine, _ in ends]
for child in children:
    child.start()
told()
"""
WAITER = """
import multiprocessing, os, time
from bayesdep.inference.parallel import processes
def told():
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(60)
"""


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("how", list(WAITING))
@pytest.mark.parametrize("early", [True, False])
def test_processes_end_with_their_parent_whatever_ends_it(how, early):
    """Also one that is killed before they have begun."""
    parent = subprocess.Popen(
        [sys.executable, "-c", WAITER + WAITING[how]], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent
    )
    try:
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert pids
        if not early:
            time.sleep(3)
            assert all(is_running(pid) for pid in pids)
    finally:
        parent.kill()
        parent.communicate()
    deadline = time.monotonic() + 30
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, "a process was left behind"
        time.sleep(0.1)


def alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.sampling
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_reproduce_cut_off_leaves_no_partial_directory_and_no_process(number, tmp_path):
    """The signal reaches the parent alone; its workers must be stopped, and clean up, before it ends."""
    shutil.copytree(MODELS / "kiraly2017", tmp_path / "models")
    shutil.copy(MODELS / "raison2013" / "responders.toml", tmp_path / "models")
    words = [sys.executable, "-m", "bayesdep.cli", "reproduce", "--out", "out"]
    run = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("out/*/*/manifest.json")):  # then the slow ones are under way
        assert time.monotonic() < deadline
        assert run.poll() is None
        time.sleep(0.1)
    run.send_signal(number)
    _, err = run.communicate(timeout=60)
    assert run.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert err.splitlines()[-1].startswith("bayesdep: ")
    assert "Traceback" not in err
    assert not list(tmp_path.rglob(".*"))
    deadline = time.monotonic() + 20
    while alive(run.pid):  # the last to go is Python's own resource tracker
        assert time.monotonic() < deadline, "a process was left behind"
        time.sleep(0.1)
