"""Jobs in a few processes: results in order, errors passed on, nobody left behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bayesdep.data.errors import BadInput
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
    while not list(tmp_path.glob("out/kiraly2017/fgf2_screen/manifest.json")):  # then the slow ones are under way
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
