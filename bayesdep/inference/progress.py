"""How far sampling is: a bar on a terminal, and off it a line every ten seconds."""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from bayesdep.inference.clock import spoken

Shown = Literal["bar", "lines", "nothing"]
EVERY = 10.0  # seconds between two lines


def how_shown(progress: bool | None) -> Shown:
    """Return how progress is shown.

    Parameters
    ----------
    progress
        What the user asked for: a bar (True), nothing (False), or what suits where the output goes (None).

    Returns
    -------
    str
        ``"bar"``, ``"lines"`` or ``"nothing"``.

    Examples
    --------
    >>> how_shown(True), how_shown(False)
    ('bar', 'nothing')
    """
    if progress is not None:
        return "bar" if progress else "nothing"
    if os.environ.get("CI", "").lower() in ("true", "1"):
        return "nothing"
    return "bar" if sys.stderr.isatty() else "lines"


def _to_standard_error(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Lines:
    """Says how many draws of all chains are done, and how long the others may take.

    Seconds count from the first report; the first line is said ten seconds after it.

    Parameters
    ----------
    total
        Tuning and kept draws of all chains.
    say
        Called with a line.
    now
        The time, in seconds.

    Examples
    --------
    >>> at = iter([0.0, 4.0, 20.0])
    >>> lines = Lines(8000, say=print, now=lambda: next(at))
    >>> lines.of_chain(0, 0)
    >>> lines.of_chain(0, 500)
    >>> lines.of_chain(1, 1500)
    sampling: 2,000 of 8,000 draws after 20 s, about 60 s left
    """

    def __init__(
        self, total: int, *, say: Callable[[str], Any] = _to_standard_error, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._total, self._say, self._now = total, say, now
        self._done: dict[int, int] = {}
        self._before: int | None = None  # draws of the first report: what came before may have been compilation
        self._lock = threading.Lock()  # samplers report from threads of their own
        self._start = self._last = 0.0

    def of_chain(self, number: int, done: int) -> None:
        """Take in how many draws of a chain are done, and say a line where the last was said ten seconds ago."""
        with self._lock:
            self._done[number] = done
            at, made = self._now(), sum(self._done.values())
            if self._before is None:
                self._before, self._start, self._last = made, at, at
            if at - self._last < EVERY or not self._before < made < self._total:
                return
            self._last, spent = at, at - self._start
            left = spoken(spent * (self._total - made) / (made - self._before))
            self._say(f"sampling: {made:,} of {self._total:,} draws after {spoken(spent)}, about {left} left")
