"""Interrupts, interpreters' flags, full disks and odd homes, each in a process of its own."""

import pytest

from hostile.alone import ATTEMPTS
from hostile.harness import Attempt, Warm, all_faults


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_attempt(attempt: Attempt, warm: Warm, tmp_path):
    assert not all_faults([attempt], tmp_path, warm)
