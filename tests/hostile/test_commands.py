"""Command lines that no one should type: one sentence, or a run; no traceback, crash or hang, no other file touched."""

import pytest

from hostile.commands import ATTEMPTS
from hostile.harness import Attempt, Warm, all_faults


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_attempt(attempt: Attempt, warm: Warm, tmp_path):
    assert not all_faults([attempt], tmp_path, warm)
