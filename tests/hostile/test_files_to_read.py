"""Files that no laboratory should send: one sentence, or a table; no traceback, crash or hang, nothing half written."""

import pytest

from hostile.files_to_read import ATTEMPTS
from hostile.harness import Attempt, Warm, all_faults


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_attempt(attempt: Attempt, warm: Warm, tmp_path):
    assert not all_faults([attempt], tmp_path, warm)
