"""Many fits in a few processes, none of which leaves anything half-done behind."""

import ctypes
import importlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.context
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from bayesdep.data.errors import BadInput
from bayesdep.data.files import join_session, remove_partials, session

WORKERS = 2  # a fit already samples its chains on several cores; this overlaps compiling and writing
_STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
GRACE = 20.0  # seconds a process told to stop may take; a compiler at work hears nothing until it is done


@contextmanager
def processes(
    at_most: int, *, importing: Sequence[str] = (), writing: Path | None = None
) -> Iterator[Callable[..., Iterable[Any]]]:
    """Give a ``map`` that calls a function in a few fresh processes.

    The processes are spawned, not forked: a fork of a process whose samplers have threads can wait forever.

    Parameters
    ----------
    at_most
        Jobs there will be at most; there are never more processes than that, than processors, or than two.
    importing
        Modules that every process imports at once, while the caller is still preparing its jobs.
    writing
        The folder under which the jobs write: a process that had to be ended cannot take away what it had half-written
        there, so that is done for it.

    Yields
    ------
    callable
        ``map(function, jobs)``: the results in the jobs' order. What a job raises is raised there. When the block
        ends the processes are waited for; when it is left by an exception, those at work are told to stop and clean
        up first, and are ended if they do not within 20 seconds. Where this process is killed they end with it, as they
        are. With one process everything happens in this one.

    Raises
    ------
    BadInput
        When the system ends a process, for want of memory, say.
    """
    workers = min(WORKERS, at_most, os.cpu_count() or 1)
    if workers <= 1:
        yield map
        return
    others = set(multiprocessing.active_children())
    spawn = multiprocessing.get_context("spawn")
    about = (tuple(importing), session(), os.getpid())
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start, initargs=about)
    try:
        for _ in range(workers):  # a process starts with the first thing to do
            pool.submit(os.getpid)
        yield lambda function, jobs: pool.map(partial(_unwound, function), jobs)
        pool.shutdown()
    except BrokenProcessPool:
        raise BadInput(
            "the system ended one of two processes, probably for want of memory; run the plans one by one"
        ) from None
    finally:
        _stop_all([process for process in multiprocessing.active_children() if process not in others], writing)
        pool.shutdown(cancel_futures=True)


def _stop_all(workers: Sequence[multiprocessing.process.BaseProcess], writing: Path | None) -> None:
    """Tell processes to stop, and end those that do not."""
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(GRACE)
        if worker.is_alive():
            worker.kill()
            worker.join()
            if writing is not None and worker.pid is not None:
                remove_partials(writing, worker.pid)


def _start(modules: Sequence[str], word: str, parent: int) -> None:
    """Let an interrupt unwind a worker, so that half-written files vanish, without a traceback; then import."""
    end_with_parent(parent)
    join_session(word)
    for number in _STOPS:
        if number != getattr(signal, "SIGHUP", None) or signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, _stop)
    sys.unraisablehook = _stop_again
    for module in modules:
        importlib.import_module(module)


def end_with_parent(parent: int) -> None:
    """End this process when the one that started it has ended, whatever ended that: nobody waits for its results.

    Parameters
    ----------
    parent
        The id of the process that started this one.
    """
    if sys.platform == "linux":  # the system sees to it, also while compiled code runs that lets no thread run
        set_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_death_signal, int(signal.SIGKILL))
        if os.getppid() != parent:  # it had ended before that
            os._exit(1)
    started_by = multiprocessing.parent_process()
    if started_by is not None:
        threading.Thread(target=_watch, args=(started_by.sentinel,), daemon=True).start()


def forks_that_end() -> Any:
    """Return what makes processes for PyMC's own sampler, which end with this one; None where they do so anyway.

    A forked process holds both ends of the pipes that earlier ones wait at; were this one killed, all would wait.
    """
    if multiprocessing.get_context().get_start_method() != "fork":
        return None
    fork: Any = multiprocessing.context

    class Ending(fork.ForkProcess):  # type: ignore[misc]
        def run(self) -> None:
            end_with_parent(os.getppid())
            super().run()

    class Forks(fork.ForkContext):  # type: ignore[misc]
        Process = Ending

    return Forks()


def _watch(parent: int) -> None:
    multiprocessing.connection.wait([parent])
    os._exit(1)


def _stop(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  (the signal module's signature)
    for number in _STOPS:  # another must not cut short the cleaning up
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + signum)


def _stop_again(ignored: "sys.UnraisableHookArgs") -> None:
    """Stop a moment later, when the stop came where Python ignores what is raised, in a destructor, say."""
    if ignored.exc_type is SystemExit:
        signal.signal(signal.SIGTERM, _stop)
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGTERM)).start()
    else:
        sys.__unraisablehook__(ignored)


def _unwound(function: Callable[[Any], Any], job: Any) -> Any:
    """Call the function; when told to stop, end here, for the pool would take that for a result and go on."""
    try:
        return function(job)
    except SystemExit as stop:
        os._exit(int(stop.code or 0))
