"""Fixtures of several test files: the command line, called in this process."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bayesdep.cli import main


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Run the command line in this process, in a folder of the test's own: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    kept = signal.getsignal(signal.SIGTERM)

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()  # what was printed before belongs to something else
        with pytest.raises(SystemExit) as ending:
            main([str(word) for word in words])
        printed = capsys.readouterr()
        return ending.value.code, printed.out, printed.err

    yield run
    signal.signal(signal.SIGTERM, kept)  # the command line puts its own in place
