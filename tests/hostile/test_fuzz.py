"""Attempts that hypothesis makes up: a minute of them in the fast tiers, an hour in the slow one.

``BAYESDEP_FUZZ_SECONDS`` says how long; what is found becomes a case in ``finds.py``.
"""

import itertools
import os
import shutil
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from hostile import strategies
from hostile.harness import Attempt, Warm, faults, run

KINDS: dict[str, Callable[[], SearchStrategy[Attempt]]] = {
    "plans": strategies.plans,
    "tables": strategies.tables,
    "formulas": strategies.formulas,
    "saved fits": strategies.saved_fits,
}
_FASTEST = 40  # attempts a second at most


def fuzz(kind: str, seconds: float, first: int, warm: Warm, folder) -> int:
    """Run attempts of a kind for so many seconds; return how many."""
    numbers, end = itertools.count(), time.monotonic() + seconds
    tried = 0

    @seed(first)
    @settings(
        max_examples=max(10, int(_FASTEST * seconds)),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        print_blob=False,
    )
    @given(KINDS[kind]())
    def attempts(attempt: Attempt) -> None:
        nonlocal tried
        if time.monotonic() > end:
            return
        tried += 1
        place = folder / f"{kind} {next(numbers)}"
        result = run(attempt, place, warm)
        shutil.rmtree(place, ignore_errors=True)
        found = faults(attempt, result)
        assert not found, f"{found}\n{attempt.files}\n{result.err[-2000:]}"

    attempts()
    return tried


@pytest.mark.parametrize("kind", KINDS)
def test_a_minute_of_what_hypothesis_makes_up(kind, warm, tmp_path):
    seconds = float(os.environ.get("BAYESDEP_FUZZ_SECONDS", "60")) / len(KINDS)
    tried = fuzz(kind, seconds, 1, warm, tmp_path)
    print(f"{kind}: {tried} attempts in {seconds:.0f} s")
    assert tried > 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_hour_of_what_hypothesis_makes_up(kind, warm, tmp_path):
    end = time.monotonic() + float(os.environ.get("BAYESDEP_FUZZ_SECONDS", "3600")) / len(KINDS)
    first = time.time_ns() % 2**32
    tried = 0
    for turn in itertools.count():
        if time.monotonic() > end:
            break
        tried += fuzz(kind, min(300.0, end - time.monotonic()), first + turn, warm, tmp_path / str(turn))
    print(f"{kind}: {tried} attempts, seeds from {first}")
    assert tried
