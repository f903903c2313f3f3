"""A warm process that runs each attempt in a fork of itself: imports are paid once, and nothing is carried over.

It reads one attempt a line (JSON) and answers with one line. The fork has limits on memory, time and the size of
files, a group of its own, and the attempt's folder as home, temporary folder and working directory.
"""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

# What commands import sooner or later: everything but what samples, since a fork of its threads could wait forever.
WARM = (
    "bayesdep.cli",
    "bayesdep.plan",
    "bayesdep.inference.sample",
    "bayesdep.inference.fit",
    "bayesdep.reporting.run_directory",
    "bayesdep.reporting.console",
    "bayesdep.data.published",
    "bayesdep.designs.register",
    "pyarrow.parquet",
    "h5netcdf",
)
REACHED = "the attempt reached the sampler"
WAITING = 10  # seconds that an attempt may wait, for each of processor time that it may take


def main() -> None:
    """Serve attempts until standard input ends."""
    import importlib

    from bayesdep.models import register

    for module in WARM:
        importlib.import_module(module)
    for family in register.SHIPPED:
        register.model_class(family)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(_serve(json.loads(line))), flush=True)


def _serve(attempt: dict[str, Any]) -> dict[str, Any]:
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _child(attempt)
    killed = False
    while True:
        done, status, used = os.wait4(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() - start > attempt["seconds"] * WAITING:
            killed = True
            os.killpg(pid, signal.SIGKILL)
            _, status, used = os.wait4(pid, 0)
            break
        time.sleep(0.002)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "hung": killed,
        "seconds": time.monotonic() - start,
        "megabytes": used.ru_maxrss / 1024,
    }


def _child(attempt: dict[str, Any]) -> NoReturn:
    code = 70
    try:
        os.setpgid(0, 0)
        folder = Path(attempt["folder"])
        os.chdir(folder)
        os.environ.update(HOME=str(folder / "home"), TMPDIR=str(folder / "tmp"), CI="true", COLUMNS="200")
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(attempt[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        limit(attempt["megabytes"], attempt["seconds"], attempt.get("file_megabytes"))
        if not attempt["samples"]:
            stop_at_the_sampler()
        if attempt["python"]:
            exec(compile(attempt["python"], "attempt", "exec"), {"__name__": "attempt"})
            code = 0
        else:
            run_words(attempt["words"])
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 0 if ending.code is None else 1
    except BaseException as problem:  # whatever an attempt raises is what is judged
        from bayesdep.data.errors import BadInput

        if isinstance(problem, BadInput):  # what a caller in Python sees
            print(f"bayesdep: {problem}", file=sys.stderr)
            code = 2
        else:
            import traceback

            traceback.print_exc()
            code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run_words(words: Sequence[str]) -> None:
    """Run a command line."""
    from bayesdep.cli import main as command

    command(list(words))


def limit(megabytes: int, seconds: float, file_megabytes: float | None) -> None:
    """Limit what this process may take: memory beyond what it has, time of processors, the size of a file.

    Processor time, since a busy machine, or one that stands still for a while, says nothing of the attempt.
    """
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if _LINUX else 0
    if _LINUX:
        resource.setrlimit(resource.RLIMIT_AS, (has + megabytes * 2**20,) * 2)
    cpu = int(seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = int((500 if file_megabytes is None else file_megabytes) * 2**20)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def stop_at_the_sampler() -> None:
    """End a command where it would sample, or draw exactly: whatever can be refused has been by then."""
    from bayesdep.inference import sample

    def reached(*_: Any, **__: Any) -> NoReturn:
        print(REACHED, file=sys.stderr)
        raise SystemExit(0)

    sample.sample_nuts = reached
    sample._exact_draws = reached


_LINUX = sys.platform.startswith("linux")

if __name__ == "__main__":
    main()
