"""Tables that no one should have: one sentence, or a run; no traceback, crash or hang, no other file touched."""

import pytest

from hostile.bases import BASES
from hostile.harness import Attempt, Warm, all_faults
from hostile.tables import ATTEMPTS, every_column


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_attempt(attempt: Attempt, warm: Warm, tmp_path):
    assert not all_faults([attempt], tmp_path, warm)


@pytest.mark.slow
@pytest.mark.parametrize("family", BASES)
def test_every_attempt(family: str, warm: Warm, tmp_path):
    assert not all_faults(every_column([family]), tmp_path, warm)
