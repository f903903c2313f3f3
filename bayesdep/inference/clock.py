"""Seconds of the steps of a fit."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Seconds spent in named steps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Measure what is done in the context as a step."""
        start = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - start, 4)
