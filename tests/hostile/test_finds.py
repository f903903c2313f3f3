"""What was found once stays found."""

import pytest

from hostile.finds import ATTEMPTS
from hostile.harness import Attempt, Warm, faults, run


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_attempt(attempt: Attempt, warm: Warm, tmp_path):
    result = run(attempt, tmp_path / "attempt", warm)
    assert not faults(attempt, result), f"{faults(attempt, result)}\n{result.err[-2000:]}"
