"""One attempt: its files, what is called, what must come of it; and what must never come of any."""

import dataclasses
import functools
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hostile.zygote import WAITING, limit

TESTS = Path(__file__).resolve().parents[1]
REFUSED, DONE = 2, 0
LONGEST = 900  # characters of a sentence: what a user wrote is quoted, but never a page of it
# What a file of an attempt may be: text, bytes, or a function that makes it at the path it is given.
Content = str | bytes | Callable[[Path], object]


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One attempt.

    Parameters
    ----------
    name
        What is tried, unique.
    files
        Content by path below the attempt's folder, where it runs.
    words
        The command line.
    python
        Code to run instead of a command line.
    codes
        Exit codes that are right.
    says
        A regular expression that the sentence on standard error holds, where it is known.
    samples
        Whether to let it sample and write; by default it is ended there, with exit code 0.
    alone
        Whether it gets a fresh process of its own, started as users start the command; it samples and writes then.
    flags, environment
        Of that process's interpreter.
    interrupted_at
        A module: when that process is about to import it, it is interrupted (SIGINT).
    seconds, megabytes, file_megabytes
        Its limits: beyond that time of processors it hangs; memory is that beyond the warm process's.
    writes
        Folders below its own in which it may leave files when it succeeds.
    """

    name: str
    files: Mapping[str, Content] = dataclasses.field(default_factory=dict)
    words: tuple[str, ...] = ("run", "plan.toml")
    python: str = ""
    codes: tuple[int, ...] = (REFUSED,)
    says: str = ""
    samples: bool = False
    alone: bool = False
    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    interrupted_at: str = ""
    seconds: float = 30.0
    megabytes: int = 2000
    file_megabytes: float | None = None
    writes: tuple[str, ...] = ("results", "out")


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of an attempt: exit code (negative: a signal), output, resources, and files that changed."""

    code: int
    hung: bool
    seconds: float
    megabytes: float
    out: str
    err: str
    changed: tuple[str, ...]


CANARIES = {
    "home/.profile": "export CANARY=1\n",
    "home/.config/notes.txt": "not of the package\n",
    "thesis/manifest.json": '{"mine": true}\n',
    "thesis/chapter1.tex": "\\section{Canary}\n",
    "posterior.nc": "no fit, but mine\n",
    "../outside/canary.csv": "study,effect,se\nCanary,1,1\n",
    "../outside/results/canary.txt": "not of the package\n",
}


class Warm:
    """A warm process that runs attempts in forks of itself."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "hostile.zygote"],  # forks beside idle threads
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | _ENVIRONMENT,
            cwd=TESTS,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def run(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Run what a request asks for in a fork."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
}


def run(attempt: Attempt, folder: Path, warm: Warm | None = None) -> Result:
    """Run an attempt in a folder of its own, with canaries in it and beside it."""
    place = folder / "place"
    (place / "tmp").mkdir(parents=True)
    for name, content in (CANARIES | attempt.files).items():
        _write(place / name, content)
    before = snapshot(folder)
    logs = [str(folder.parent / f"{folder.name}.{kind}") for kind in ("out", "err")]
    request = {
        "folder": str(place),
        "out": logs[0],
        "err": logs[1],
        **{key: getattr(attempt, key) for key in _REQUESTED},
    }
    answer = _run_alone(attempt, place, logs) if attempt.alone or warm is None else warm.run(request)
    out, err = (Path(log).read_text(encoding="utf-8", errors="backslashreplace") for log in logs)
    after = snapshot(folder)
    changed = tuple(sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path)))
    return Result(answer["code"], answer["hung"], answer["seconds"], answer["megabytes"], out, err, changed)


_REQUESTED = ("words", "python", "samples", "seconds", "megabytes", "file_megabytes")


# Starts the command as the console script does, and interrupts it just before a module is imported.
_INTERRUPTED = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
sys.argv[0] = "bayesdep"
from bayesdep.__main__ import main
main()
"""


def _run_alone(attempt: Attempt, place: Path, logs: list[str]) -> dict[str, Any]:
    """Run a command line in a process of its own, which has imported nothing yet."""
    start = time.monotonic()
    how = ["-c", _INTERRUPTED.format(module=attempt.interrupted_at)] if attempt.interrupted_at else ["-m", "bayesdep"]
    home = {"HOME": str(place / "home"), "TMPDIR": str(place / "tmp"), "CI": "true", "COLUMNS": "200"}
    with Path(logs[0]).open("wb") as out, Path(logs[1]).open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, *attempt.flags, *how, *attempt.words],
            env=os.environ | _ENVIRONMENT | home | dict(attempt.environment),
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            preexec_fn=functools.partial(limit, attempt.megabytes, attempt.seconds, attempt.file_megabytes),
        )
        hung = False
        while True:
            done, status, used = os.wait4(process.pid, os.WNOHANG)
            if done:
                break
            if time.monotonic() - start > attempt.seconds * WAITING:
                hung = True
                process.kill()
                _, status, used = os.wait4(process.pid, 0)
                break
            time.sleep(0.01)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "code": process.returncode,
        "hung": hung,
        "seconds": time.monotonic() - start,
        "megabytes": used.ru_maxrss / 1024,
    }


def faults(attempt: Attempt, result: Result) -> list[str]:
    """Say what of a result must not be, for any attempt and for this one."""
    found = []
    if result.hung or result.code == -signal.SIGXCPU:
        found.append(f"it hung: ended after {result.seconds:.0f} s")
    elif result.code < 0:
        found.append(f"it crashed: ended by signal {-result.code}")
    elif result.code not in attempt.codes:
        found.append(f"exit code {result.code}, where {attempt.codes} are right")
    printed = result.out + result.err
    if "Traceback" in printed:
        found.append("a traceback")
    if "an error in bayesdep itself" in printed:
        found.append("an error that was not foreseen")
    if odd := re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", re.sub(r"\x1b\[[0-9;]*m", "", printed)):
        found.append(f"control characters in what it prints: {odd[:3]!r}")
    said = [line for line in result.err.splitlines() if line.startswith("bayesdep: ")]
    if result.code == REFUSED:
        one_each = attempt.words[:1] == ("check",)  # which has a sentence for every fault, each on its own line
        if not said or (len(said) > 1 and not one_each) or result.err.strip() != "\n".join(said).strip():
            found.append(f"{len(said)} sentences and {len(result.err.splitlines())} lines, where one is right")
        elif len(said[0]) > LONGEST:
            found.append(f"a sentence of {len(said[0])} characters")
    if attempt.says and not re.search(attempt.says, result.err):
        found.append(f"it does not say '{attempt.says}'")
    allowed = attempt.writes if result.code != REFUSED else ()
    stray = [path for path in result.changed if not _below(path, allowed)]
    if stray:
        found.append(f"files changed: {', '.join(stray[:5])}")
    return found


def all_faults(attempts: Iterable[Attempt], folder: Path, warm: Warm | None = None) -> dict[str, list[str]]:
    """Run attempts one after the other and say what must not be of each that has faults, with the end of its stderr."""
    wrong = {}
    for number, attempt in enumerate(attempts):
        place = folder / str(number)
        result = run(attempt, place, warm)
        shutil.rmtree(place, ignore_errors=True)
        if found := faults(attempt, result):
            wrong[attempt.name] = [*found, result.err[-2000:]]
    return wrong


def _below(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == f"place/{folder}" or path.startswith(f"place/{folder}/") for folder in folders)


def snapshot(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Return what tells whether a file was touched, for everything below a folder: kind, size, time and content.

    The package may keep compiled functions below ``home/.pytensor`` and figures' fonts, which are its own.
    """
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if name.startswith(("place/home/.pytensor", "place/home/.cache", "place/home/.config/matplotlib", "place/tmp")):
            continue
        state = path.lstat()
        content = ""
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file() and os.access(path, os.R_OK) and state.st_size < 2**24:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        size, changed = (0, 0) if path.is_dir() else (state.st_size, state.st_mtime_ns)
        found[name] = (state.st_mode, size, changed, content)
    return found


def _write(path: Path, content: Content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if callable(content):
        content(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_bytes(content.encode("utf-8", "surrogatepass"))


@contextmanager
def warm_process() -> Iterator[Warm]:
    """Give a warm process for as long as the block lasts."""
    warm = Warm()
    try:
        yield warm
    finally:
        warm.close()
