"""Many fits in a few processes, none of which leaves anything half-done behind."""

import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

WORKERS = 2  # a fit already samples its chains on several cores; this overlaps compiling and writing


@contextmanager
def processes(at_most: int, *, importing: Sequence[str] = ()) -> Iterator[Callable[..., Iterator[Any]]]:
    """Give a ``map`` that calls a function in a few fresh processes.

    The processes are spawned, not forked: a fork of a process whose samplers have threads can wait forever.

    Parameters
    ----------
    at_most
        Jobs there will be at most; there are never more processes than that, than processors, or than two.
    importing
        Modules that every process imports at once, while the caller is still preparing its jobs.

    Yields
    ------
    callable
        ``map(function, jobs)``: the results in the jobs' order. What a job raises is raised there. When the block
        ends the processes are waited for; when it is left by an exception, those at work are told to stop and clean
        up first. With one process everything happens in this one.
    """
    workers = min(WORKERS, at_most, os.cpu_count() or 1)
    if workers <= 1:
        yield map
        return
    pool = multiprocessing.get_context("spawn").Pool(workers, initializer=_start, initargs=(tuple(importing),))
    try:
        yield pool.imap
    except BaseException:  # an interrupt, too, must stop the workers; it is raised again
        pool.terminate()
        pool.join()
        raise
    # nothing is left to stop: terminating idle workers has been seen to wait for ever for a queue's lock
    pool.close()
    pool.join()


def _start(modules: Sequence[str]) -> None:
    """Let an interrupt unwind a worker, so that half-written files vanish, without a traceback; then import."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    for module in modules:
        importlib.import_module(module)


def _stop(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  (the signal module's signature)
    raise SystemExit(128 + signum)
