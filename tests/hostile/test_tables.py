"""Tables that no one should have: one sentence, or a run; no traceback, crash or hang, no other file touched."""

import pytest

from hostile.harness import Attempt, Warm, faults, run
from hostile.tables import ATTEMPTS, EVERY


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_attempt(attempt: Attempt, warm: Warm, tmp_path):
    result = run(attempt, tmp_path / "attempt", warm)
    assert not faults(attempt, result), f"{faults(attempt, result)}\n{result.err[-2000:]}"


@pytest.mark.slow
@pytest.mark.parametrize("attempt", EVERY, ids=lambda attempt: attempt.name)
def test_every_attempt(attempt: Attempt, warm: Warm, tmp_path):
    test_attempt(attempt, warm, tmp_path)
