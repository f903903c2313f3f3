"""Many fits in a few processes, none of which leaves incomplete files behind."""

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
from concurrent.futures import ProcessPoolExecutor, as_completed
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
GRACE = 20.0  # seconds that a process may take to stop; a running compiler does not react to signals


@contextmanager
def processes(
    at_most: int,
    *,
    importing: Sequence[str] = (),
    writing: Path | None = None,
    single_threaded: bool = False,
) -> Iterator[Callable[..., Iterable[Any]]]:
    """Give a ``map`` that calls a function in a few fresh processes.

    The processes are spawned, not forked: a fork of a process with threads, as samplers have, can wait forever.

    Parameters
    ----------
    at_most
        The largest number of jobs; there are never more processes than jobs, than two, or than processors.
    importing
        Modules that every process imports when it starts, while the caller is still preparing its jobs.
    writing
        The folder under which the jobs write: the incomplete files of a process that had to be killed are removed
        there.
    single_threaded
        Whether each process computes in one thread; then there are ``at_most`` processes, and results come as jobs end,
        not in their order.

    Yields
    ------
    callable
        ``map(function, jobs)``: the results in the jobs' order. A job's exception is raised in the caller. At the end
        of the block the processes are waited for; if an exception ends it, running processes are told to stop and clean
        up, and are killed if they have not after 20 seconds. If this process is killed, they end at once. With one
        process, all jobs run in this one.

    Raises
    ------
    BadInput
        When the system ends a process, for example because memory is short.
    """
    workers = at_most if single_threaded else min(at_most, WORKERS, os.cpu_count() or 1)
    if workers <= 1:
        yield map
        return
    others = set(multiprocessing.active_children())
    spawn = multiprocessing.get_context("spawn")
    about = (tuple(importing), session(), os.getpid(), single_threaded)
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start, initargs=about)
    try:
        for _ in range(workers):  # a pool starts a process only when there is a job for it
            pool.submit(os.getpid)
        yield partial(_as_they_end if single_threaded else _in_order, pool)
        pool.shutdown()
    except BrokenProcessPool:
        raise BadInput(
            "the system ended a process, probably because memory was short; run the plans one by one, or fits in fewer "
            "processes"
        ) from None
    finally:
        _stop_all([process for process in multiprocessing.active_children() if process not in others], writing)
        pool.shutdown(cancel_futures=True)


def _in_order(pool: ProcessPoolExecutor, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterable[Any]:
    return pool.map(partial(_unwound, function), jobs)


def _as_they_end(pool: ProcessPoolExecutor, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
    for ended in as_completed([pool.submit(_unwound, function, job) for job in jobs]):
        yield ended.result()


def _stop_all(workers: Sequence[multiprocessing.process.BaseProcess], writing: Path | None) -> None:
    """Tell processes to stop, and kill those that do not."""
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(GRACE)
        if worker.is_alive():
            worker.kill()
            worker.join()
            if writing is not None and worker.pid is not None:
                remove_partials(writing, worker.pid)


_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS")


def _start(modules: Sequence[str], word: str, parent: int, single_threaded: bool) -> None:
    """Let signals end a worker by an exception, so that it removes incomplete files, without traceback; then import."""
    end_with_parent(parent)
    if single_threaded:  # read when libraries are imported
        os.environ.update(dict.fromkeys(_THREADS, "1"))
    join_session(word)
    for number in _STOPS:
        if number != getattr(signal, "SIGHUP", None) or signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, _stop)
    sys.unraisablehook = _stop_again
    for module in modules:
        importlib.import_module(module)


def end_with_parent(parent: int) -> None:
    """End this process when the process that started it ends, for whatever reason: nobody waits for its results.

    Parameters
    ----------
    parent
        The id of the process that started this one.
    """
    if sys.platform == "linux":  # the system does it, even while compiled code blocks all Python threads
        set_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_death_signal, int(signal.SIGKILL))
        if os.getppid() != parent:  # it had ended before that
            os._exit(1)
    started_by = multiprocessing.parent_process()
    if started_by is not None:
        threading.Thread(target=_watch, args=(started_by.sentinel,), daemon=True).start()


def forks_that_end() -> Any:
    """Return a context that forks processes for PyMC's own sampler which end with this one; None where not needed.

    A forked process holds both ends of the pipes on which earlier ones wait; if this process were killed, all of them
    would wait forever.
    """
    if multiprocessing.get_context().get_start_method() != "fork":
        return None
    fork: Any = multiprocessing.context

    class Ending(fork.ForkProcess):  # type: ignore[misc]  # the class does not exist on Windows, so it is Any
        def run(self) -> None:
            end_with_parent(os.getppid())
            super().run()

    class Forks(fork.ForkContext):  # type: ignore[misc]  # as above
        Process = Ending

    return Forks()


def _watch(parent: int) -> None:
    multiprocessing.connection.wait([parent])
    os._exit(1)


def _stop(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  (the signal module's signature)
    for number in _STOPS:  # a second signal must not interrupt the cleaning up
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + signum)


def _stop_again(ignored: "sys.UnraisableHookArgs") -> None:
    """Stop a moment later if the signal came where Python ignores exceptions, as in a destructor."""
    if ignored.exc_type is SystemExit:
        signal.signal(signal.SIGTERM, _stop)
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGTERM)).start()
    else:
        sys.__unraisablehook__(ignored)


def _unwound(function: Callable[[Any], Any], job: Any) -> Any:
    """Call the function; when told to stop, end the process here: the pool would take the exception for a result."""
    try:
        return function(job)
    except SystemExit as stop:
        os._exit(int(stop.code or 0))
