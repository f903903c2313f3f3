"""One warm process for all attempts of a test process."""

from collections.abc import Iterator

import pytest

from hostile.harness import Warm, warm_process


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Give a process that has imported everything, and runs attempts in forks of itself."""
    with warm_process() as process:
        yield process
