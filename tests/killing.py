"""Runs that are killed at random moments: what is left, and what --resume makes of it.

Each run is a process of its own, forked from one that has imported what is heavy, and the leader of a session of its
own, so that whatever it leaves behind is found by the session's number. Nothing else is ever signalled.
"""

import os
import random
import shutil
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import bayesdep as bd
from bayesdep.reporting.places import Manifest

NOTES = {"notes.txt": "mine", "figures/sketch.txt": "mine too"}


@dataclass
class Process:
    """The command line in a process of its own."""

    words: list[str]
    folder: Path
    pid: int = 0
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self):
        self.pid = os.fork()
        if self.pid == 0:
            self._run()

    def _run(self):
        code = 70
        try:
            os.setsid()
            os.chdir(self.folder)
            log = os.open(self.folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for stream in (1, 2):
                os.dup2(log, stream)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115  (open until the process ends)
            from bayesdep.cli import main

            main(self.words)
        except SystemExit as ending:
            code = ending.code or 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def wait(self, seconds):
        """The exit status, or None where it goes on for longer."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                return status
            time.sleep(0.01)
        return None

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def left(self):
        """Processes of its session that live."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "stat").read_text().rpartition(")")[2].split()
            except (OSError, ValueError):
                continue
            if entry.name.isdigit() and int(words[3]) == self.pid and words[0] not in "ZX":
                found.append(int(entry.name))
        return found

    def is_gone(self, seconds=20):
        deadline = time.monotonic() + seconds
        while self.left():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


def result(directory):
    """What two runs must have in common: every draw, and the table of estimands."""
    fit = bd.Fit.load(directory / "posterior.nc")
    draws = {
        f"{group}/{name}": (values.dims, values.values.tobytes())
        for group in ("posterior", "estimands", "posterior_predictive", "prior", "log_likelihood")
        for name, values in fit.tree[group].to_dataset().data_vars.items()
    }
    return draws, (directory / "estimands.csv").read_bytes()


@dataclass
class Tally:
    """What came of the attempts."""

    attempts: int = 0
    killed: int = 0
    resumed: int = 0
    faults: list[str] = field(default_factory=list)

    def check(self, holds, what):
        if not holds:
            self.faults.append(f"attempt {self.attempts}: {what}")


def same_notes(directory):
    return all((directory / name).read_text() == text for name, text in NOTES.items())


def whole(directory):
    manifest = Manifest.of(directory)
    return manifest is not None and not manifest.missing and manifest.is_whole(directory)


def hidden(folder):
    return [path.name for path in folder.rglob(".*")]


def run_once(words, folder):
    """Run to the end; seconds it took."""
    process = Process(words, folder)
    status = process.wait(600)
    if status is None:
        process.kill()
    assert status == 0, (folder / "log.txt").read_text()
    return time.monotonic() - process.started


def _earlier(words, places, folder):
    """Earlier good runs at all places, of another seed, with notes in them; put back by the function returned."""
    run_once(words, folder)
    saved = folder.with_name(f"{folder.name}-saved")
    for place in places:
        for name, text in NOTES.items():
            (folder / place / name).write_text(text)
        shutil.copytree(folder / place, saved / place)

    def put_back():
        for place in places:
            shutil.rmtree(folder / place)
            shutil.copytree(saved / place, folder / place)

    return put_back


def attempts(words, before, places, folder, number, seed):
    """Kill a command at random moments over earlier good runs, and resume it.

    Parameters
    ----------
    words
        The command.
    before
        A command of the same plans that fills the places.
    places
        Directories of runs, relative to the folder.
    folder
        An empty one with the plans.
    number
        How often it is killed; attempts that end before their moment come on top.
    seed
        Of the moments.
    """
    tally, moments = Tally(), random.Random(seed)
    run_once(words, folder)
    expected = {place: result(folder / place) for place in places}
    put_back = _earlier(before, places, folder)
    old = {place: result(folder / place) for place in places}
    seconds = run_once(words, folder)  # what is compiled is kept now: a run is as long as those to come
    put_back()
    while tally.killed < number and tally.attempts < 4 * number:
        tally.attempts += 1
        process = Process(words, folder)
        if process.wait(moments.uniform(0, seconds)) is None:
            process.kill()
            tally.killed += 1
        tally.check(process.is_gone(), "a process is left")
        for place in places:
            tally.check(whole(folder / place), f"no good run in {place}")
            tally.check(same_notes(folder / place), f"notes in {place} are changed")
            tally.check(result(folder / place) in (old[place], expected[place]), f"{place} is neither old nor new")
        kept = len(list(folder.rglob("*.npz")))
        run_once([*words, "--resume"], folder)
        tally.resumed += kept > 0
        for place in places:
            tally.check(result(folder / place) == expected[place], f"{place} differs when resumed")
            tally.check(same_notes(folder / place), f"notes in {place} are changed when resumed")
        tally.check(not hidden(folder), f"{hidden(folder)} are left")
        put_back()
        print(tally, flush=True)
    return tally
