"""Many numbered fits: each kept on disk as it ends, on the processors of this machine or on a Dask cluster.

A fit's random numbers follow from its number alone, so fits can be made in any order, on any worker, today or after the
machine was restarted: the results are the same. Workers stay alive from one fit to the next and keep what they have
compiled.
"""

import hashlib
import json
import os
import pickle
import time
import zipfile
import zlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bayesdep.data.errors import BadInput
from bayesdep.data.files import whole_files
from bayesdep.inference.parallel import processes

type Arrays = dict[str, np.ndarray]

_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
_PER_WORKER = 3  # tasks that a worker of a cluster has at once: one that runs, and two that wait
_ABOUT = "about.json"


@dataclass(frozen=True)
class FinishedFits:
    """The folder of the finished fits of one study, each in a file that is complete or absent.

    Parameters
    ----------
    folder
        The folder, created with the first fit.
    """

    folder: Path

    @classmethod
    def find(cls, parent: Path, fingerprint: str, about: Mapping[str, Any]) -> tuple["FinishedFits", str]:
        """Find the folder of a study, and say what is there.

        Parameters
        ----------
        parent
            The folder of all studies of the same name.
        fingerprint
            What the study's fits depend on, hashed.
        about
            The same in words, to say what changed.

        Returns
        -------
        tuple of FinishedFits and str
            The second is a sentence, empty where nothing was there.
        """
        found = cls(parent / fingerprint[:16])
        text = json.dumps(dict(about), indent=1, default=str)
        if found.folder.is_dir():
            count = len(found.numbers)
            said = f"continues with {count} finished fit{'s' * (count != 1)} in '{found.folder}'" if count else ""
        else:
            said = _changed(parent, about)
            found.folder.mkdir(parents=True)
            with whole_files(found.folder / _ABOUT) as (partial_file,):
                partial_file.write_text(text + "\n", encoding="utf-8")
        return found, said

    @property
    def numbers(self) -> frozenset[int]:
        """Numbers of the fits in the folder."""
        return frozenset(int(path.stem.removeprefix("fit-")) for path in self.folder.glob("fit-*.npz"))

    def read(self, number: int) -> Arrays | None:
        """Return a fit's results; None where its file is absent or damaged."""
        try:
            with np.load(self._file(number)) as stored:  # holds a checksum of every array
                return {name: stored[name] for name in stored.files}
        except _UNREADABLE:
            return None

    def keep(self, number: int, found: Arrays) -> None:
        """Write a fit's results, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_files(self._file(number)) as (partial_file,), partial_file.open("wb") as opened:
            np.savez(opened, allow_pickle=False, **found)

    def _file(self, number: int) -> Path:
        return self.folder / f"fit-{number:06d}.npz"


def _changed(parent: Path, about: Mapping[str, Any]) -> str:
    """Say in what a study differs from the latest other one in the same folder."""
    others = sorted(parent.glob(f"*/{_ABOUT}"), key=lambda path: path.stat().st_mtime) if parent.is_dir() else []
    if not others:
        return ""
    try:
        before = json.loads(others[-1].read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    now = json.loads(json.dumps(dict(about), default=str))
    differs = [name for name in now if before.get(name) != now[name]] or ["data"]
    kept = others[-1].parent
    return f"starts anew, since other fits in '{kept}' were made with another {' and another '.join(differs)}"


def numbered_fits(
    fit_one: Callable[[int], Arrays],
    fits: int,
    *,
    store: FinishedFits | None,
    workers: int | None = None,
    scheduler: str | None = None,
    say: Callable[[str], Any] | None = None,
) -> list[Arrays]:
    """Make numbered fits that are not finished yet, and return all of them.

    Parameters
    ----------
    fit_one
        From a fit's number to its results. It is sent to other processes.
    fits
        How many.
    store
        Where finished fits are; None to keep them in memory alone.
    workers
        How many processes of this machine; by default one for each processor. One means this process itself.
    scheduler
        Address of the scheduler of a Dask cluster that makes the fits instead.
    say
        Called with sentences on the progress.

    Returns
    -------
    list of dict
        In the order of their numbers, from 0.

    Raises
    ------
    BadInput
        When there is no cluster at that address, or a worker was ended by the system.
    """
    done: dict[int, Arrays] = {}
    if store is not None:
        done = {k: found for k in sorted(store.numbers) if k < fits and (found := store.read(k)) is not None}
    missing = [k for k in range(fits) if k not in done]
    progress = _Progress(len(missing), fits, say or (lambda _: None))
    made = _here(fit_one, missing, workers) if scheduler is None else _on_cluster(fit_one, missing, scheduler)
    with closing(made):
        for number, found in made:
            if store is not None:
                store.keep(number, found)
            done[number] = found
            progress.one_more()
    return [done[k] for k in range(fits)]


class _Progress:
    """Says how far the fits are, about every tenth of them."""

    def __init__(self, missing: int, fits: int, say: Callable[[str], Any]) -> None:
        self.missing, self.fits, self.say = missing, fits, say
        self.made, self.began = 0, time.perf_counter()

    def one_more(self) -> None:
        self.made += 1
        if self.made == 1 or self.made == self.missing or self.made % max(1, self.missing // 10) == 0:
            spent = time.perf_counter() - self.began
            left = spent / self.made * (self.missing - self.made)
            self.say(f"{self.fits - self.missing + self.made} of {self.fits} fits, about {left:.0f} s left")


def _numbered(fit_one: Callable[[int], Arrays], number: int) -> tuple[int, Arrays]:
    return number, fit_one(number)


def _here(
    fit_one: Callable[[int], Arrays], missing: Sequence[int], workers: int | None
) -> Generator[tuple[int, Arrays], None, None]:
    at_most = min(workers or os.cpu_count() or 1, len(missing))
    with processes(at_most, single_threaded=True, importing=("bayesdep.inference.sample", "nutpie")) as run:
        yield from run(partial(_numbered, fit_one), missing)


# On a cluster.


def _on_cluster(
    fit_one: Callable[[int], Arrays], missing: Sequence[int], scheduler: str
) -> Generator[tuple[int, Arrays], None, None]:
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise BadInput(
            "a scheduler is given, but the package 'distributed' is not installed; pip install 'bayesdep[cluster]'"
        ) from None
    try:
        client = Client(scheduler, timeout="20s", set_as_default=False)
    except (OSError, ValueError, TimeoutError):
        raise BadInput(
            f"no Dask scheduler answers at '{scheduler}'; give the address that dask scheduler prints, such as "
            "tcp://10.0.0.1:8786"
        ) from None
    with client:
        # The model and its data are the result of a task, not data put on a worker: if that worker dies, another makes
        # them again.
        packed = pickle.dumps(fit_one)
        key = hashlib.sha256(packed).hexdigest()[:16]
        job = client.submit(pickle.loads, packed, key=f"bayesdep-job-{key}")

        def submit(number: int) -> Any:
            # a task whose worker died is made again elsewhere, however often workers die
            name = f"bayesdep-fit-{key}-{number}"
            return client.submit(_numbered, job, number, key=name, retries=0, pure=True)

        waiting = list(reversed(missing))
        running = as_completed([], loop=client.loop)
        while waiting or not running.is_empty():
            threads = max(1, sum(client.nthreads().values()))
            while waiting and running.count() < _PER_WORKER * threads:
                running.add(submit(waiting.pop()))
            future = next(running)
            yield future.result()
            future.release()
