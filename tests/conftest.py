"""Fixtures of several test files: the command line, called in this process."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bayesdep.cli import main

TIERS = ("slow", "notebooks", "sampling", "fast")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how long the tests of each tier took, all processes together, and how many inputs were made up."""
    seconds, tried = dict.fromkeys(TIERS, 0.0), []
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                marked = {"notebooks"} if "notebook" in report.nodeid else set(report.keywords)
                seconds[next((tier for tier in TIERS if tier in marked), "fast")] += report.duration
                tried += [str(x) for name, x in report.user_properties if name == "tried" and report.when == "call"]
    told = [f"{tier} {spent:.0f} s" for tier, spent in seconds.items() if spent >= 0.5]
    if tried:
        terminalreporter.write_line(f"inputs made up: {', '.join(tried)}")
    if told:
        terminalreporter.write_line(f"time in tests, all processes together: {', '.join(told)}")


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
