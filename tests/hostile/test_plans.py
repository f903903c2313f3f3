"""Plans that no one should write: one sentence, or a run; no traceback, crash or hang, no other file touched."""

import shutil

import pytest

from hostile.bases import BASES
from hostile.harness import Attempt, Warm, faults, run
from hostile.plans import ATTEMPTS, every_value


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_attempt(attempt: Attempt, warm: Warm, tmp_path):
    result = run(attempt, tmp_path / "attempt", warm)
    assert not faults(attempt, result), f"{faults(attempt, result)}\n{result.err[-2000:]}"


@pytest.mark.slow
@pytest.mark.parametrize("family", BASES)
def test_every_attempt(family: str, warm: Warm, tmp_path):
    wrong = {}
    for number, attempt in enumerate(every_value(family)):
        place = tmp_path / str(number)
        found = faults(attempt, run(attempt, place, warm))
        shutil.rmtree(place, ignore_errors=True)
        if found:
            wrong[attempt.name] = found
    assert not wrong
