"""Chains of the Hamiltonian sampler: all at once, or each on its own, so that a finished chain can be saved.

A chain's random numbers follow from the seed and the chain's number alone, so both ways give the same draws bit for
bit.
"""

import itertools
import os
import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from bayesdep.inference.finished_chains import STATS, Chain, FinishedChains
from bayesdep.inference.for_nutpie import for_nutpie
from bayesdep.inference.native import Bound
from bayesdep.inference.progress import Lines

STARTS = 500  # points from which nutpie tries to start a chain
_EVERY = 10  # milliseconds between two looks at a chain's progress


def sample_chains(
    ready: Bound, *, chains: int, kept: FinishedChains | None, table: int, lines: bool = False, **settings: Any
) -> list[Chain]:
    """Sample chains of a density.

    Parameters
    ----------
    ready
        The density with its data.
    chains
        How many.
    kept
        Where finished chains are saved, and read from; None for nowhere.
    table
        Which version of the data this is, for ``kept``.
    lines
        Whether a line says every ten seconds how far the chains are.
    **settings
        ``draws``, ``tune``, ``seed``, ``progress_bar`` and whatever else ``nutpie.sample`` takes.

    Returns
    -------
    list of Chain
        With parameters on the unconstrained scale, in the chains' order.

    Raises
    ------
    KeyboardInterrupt
        When sampling is interrupted.
    """
    each = settings["draws"] + settings["tune"]
    if kept is None:
        return _sample_all(ready, chains, settings, Lines(each * chains) if lines else None)
    by_number = {number: kept.chain(table, number) for number in range(chains)}
    missing = [number for number, chain in by_number.items() if chain is None]
    told = Lines(each * len(missing)) if lines else None
    for number, chain in _sample_each(ready, missing, settings, told):
        kept.keep(table, number, chain)
        by_number[number] = chain
    return [chain for chain in by_number.values() if chain is not None]


def _sample_all(ready: Bound, chains: int, settings: dict[str, Any], lines: Lines | None) -> list[Chain]:
    import nutpie

    if lines is not None:

        def tell(progress: Sequence[Any]) -> None:
            for number, chain in enumerate(progress):
                lines.of_chain(number, chain.finished_draws)

        settings = settings | {"progress_callback": tell}
    tree = nutpie.sample(for_nutpie(ready), chains=chains, save_warmup=False, **settings)
    if tree["posterior"].sizes["draw"] < settings["draws"]:  # nutpie hands back what it has when it is interrupted
        raise KeyboardInterrupt
    posterior, stats = tree["posterior"].to_dataset(), tree["sample_stats"].to_dataset()
    return [
        Chain(
            {str(name): values.values[k] for name, values in posterior.data_vars.items()},
            {ours: stats[theirs].values[k] for theirs, ours in STATS.items()},
        )
        for k in range(chains)
    ]


@dataclass(frozen=True)
class _Alone:
    """One chain of a density, with the random numbers that it has among several.

    nutpie numbers chains from 0, and the number determines the stream of random numbers. One thread asks for the
    starting points of the chains in order; chains with smaller numbers are stopped when it asks for theirs.
    """

    ready: Bound
    number: int
    ended: "queue.SimpleQueue[tuple[int, bool]]"
    asked: "itertools.count[int]" = field(default_factory=itertools.count)

    def start(self, seed: int | None = None) -> np.ndarray:
        """Return a starting point of this chain, and none to the chains before it."""
        attempt = next(self.asked) - self.number
        if attempt < 0:
            raise StopIteration
        point = self.ready.near(seed)
        if attempt == STARTS - 1 and not np.isfinite(self.ready.evaluator()(point)[0]):
            self.ended.put((self.number, False))  # nutpie gives up here without raising an error
        return point

    def watch(self, progress: Sequence[Any]) -> None:
        """Say when the chain has ended; nutpie calls this every few milliseconds."""
        if progress[self.number].finished_draws == progress[self.number].total_draws:
            self.ended.put((self.number, True))


def _sample_each(
    ready: Bound, missing: Sequence[int], settings: dict[str, Any], lines: Lines | None
) -> Iterator[tuple[int, Chain]]:
    """Sample chains in parallel, as many as there are processors, and yield each when it ends."""
    import nutpie

    settings = dict(settings)
    waiting, ended = list(missing), queue.SimpleQueue[tuple[int, bool]]()
    running: dict[int, Any] = {}
    at_once = getattr(os, "process_cpu_count", os.cpu_count)() or 1  # before Python 3.13 it has another name
    with _bars(settings.pop("progress_bar"), settings["draws"] + settings["tune"]) as bar:
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    number = waiting.pop(0)
                    alone = _Alone(ready, number, ended)
                    shown = bar(number)

                    def watch(progress: Sequence[Any], alone: _Alone = alone, shown: Any = shown) -> None:
                        shown(progress[alone.number])
                        if lines is not None:
                            lines.of_chain(alone.number, progress[alone.number].finished_draws)
                        alone.watch(progress)

                    running[number] = nutpie.sample(
                        for_nutpie(ready, alone.start), chains=number + 1, cores=1, blocking=False,
                        return_raw_trace=True, progress_bar=False, progress_callback=watch, progress_rate=_EVERY,
                        **settings,
                    )  # fmt: skip
                try:
                    number, is_good = ended.get(timeout=0.5)
                except queue.Empty:  # signals are handled between two waits
                    continue
                if number not in running:  # reported before
                    continue
                if not is_good:
                    raise RuntimeError("All initialization points failed")
                yield number, _chain(running.pop(number).abort(), settings["draws"])
        finally:
            for sampler in running.values():
                sampler.cancel()


def _chain(raw: Any, draws: int) -> Chain:
    """Read the last chain of a trace, without its tuning draws."""
    (*_, points), (*_, stats) = raw.get_arrow_trace()
    return Chain(
        {name: _column(points, name, draws) for name in points.column_names},
        {ours: _column(stats, theirs, draws) for theirs, ours in STATS.items()},
    )


def _column(batch: Any, name: str, draws: int) -> np.ndarray:
    column = batch.column(name)
    shape = (column.field.metadata or {}).get(b"shape", b"").decode()
    lengths = [int(n) for n in shape.split(",") if n]
    array = pa.array(column)
    flat = array.flatten() if hasattr(array, "flatten") else array
    return np.array(flat.to_numpy(zero_copy_only=False).reshape(-1, *lengths)[-draws:])


@contextmanager
def _bars(show: bool, total: int) -> Iterator[Any]:
    """Yield a function that makes a chain's progress bar, or one that shows nothing."""
    if not show:
        yield lambda _: lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bars:

        def bar(number: int) -> Any:
            task = bars.add_task(f"chain {number + 1}", total=total)
            return lambda progress: bars.update(task, completed=progress.finished_draws)

        yield bar
