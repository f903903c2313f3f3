"""Attempts that hypothesis makes up: a minute of them in the fast tiers, an hour in the slow one.

``BAYESDEP_FUZZ_SECONDS`` says how long; what is found becomes a case in ``finds.py``.
"""

import itertools
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from hostile import strategies
from hostile.harness import Attempt, Warm, faults, run
from hostile.saved_fits import good_bytes

KINDS: dict[str, Callable[[], SearchStrategy[Attempt]]] = {
    "plans": strategies.plans,
    "tables": strategies.tables,
    "formulas": strategies.formulas,
    "saved fits": strategies.saved_fits,
}
_FASTEST = 40  # attempts a second at most
_SHOWN = 5


def fuzz(kind: str, seconds: float, first: int, warm: Warm, folder: Path) -> tuple[int, list[str]]:
    """Run attempts of a kind for so many seconds; return how many, and what was wrong with which.

    Nothing is made smaller: each find is written out as it was, so that one run shows more than the first.
    """
    good_bytes()  # made before anything is drawn from it
    numbers, end = itertools.count(1), time.monotonic() + seconds
    tried, wrong = 0, []

    @seed(first)
    @settings(
        max_examples=max(10, int(_FASTEST * seconds)),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    @given(KINDS[kind]())
    def attempts(attempt: Attempt) -> None:
        nonlocal tried
        if time.monotonic() > end:
            return
        tried = next(numbers)
        place = folder / f"{kind} {tried}"
        result = run(attempt, place, warm)
        shutil.rmtree(place, ignore_errors=True)
        if found := faults(attempt, result):
            wrong.append(f"{found}\n{attempt.files}\n{result.err[-2000:]}")

    attempts()
    return tried, wrong


@pytest.mark.parametrize("kind", KINDS)
def test_a_minute_of_what_hypothesis_makes_up(kind, warm, tmp_path, record_property):
    seconds = float(os.environ.get("BAYESDEP_FUZZ_SECONDS", "60")) / len(KINDS)
    tried, wrong = fuzz(kind, seconds, 1, warm, tmp_path)
    record_property("tried", f"{tried} {kind}")
    assert not wrong, f"{len(wrong)} of {tried}:\n" + "\n\n".join(wrong[:_SHOWN])
    assert tried > 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_hour_of_what_hypothesis_makes_up(kind, warm, tmp_path, record_property):
    end = time.monotonic() + float(os.environ.get("BAYESDEP_FUZZ_SECONDS", "3600")) / len(KINDS)
    first, total, wrong = time.time_ns() % 2**32, 0, []
    for turn in itertools.count():
        if time.monotonic() > end or wrong:
            break
        tried, wrong = fuzz(kind, min(300.0, end - time.monotonic()), first + turn, warm, tmp_path / str(turn))
        total += tried
    record_property("tried", f"{total} {kind} (seeds from {first})")
    assert not wrong, f"{len(wrong)} with seed {first + turn - 1}:\n" + "\n\n".join(wrong[:_SHOWN])
