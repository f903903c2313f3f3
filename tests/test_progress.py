"""How far sampling is: what is shown where, and the lines off a terminal."""

import re
import sys

import pytest

import bayesdep as bd
from bayesdep.inference import progress
from bayesdep.inference.finished_chains import FinishedChains
from bayesdep.inference.progress import Lines, how_shown

SCHOOLS = bd.Meta(measure="difference", units="points", scale=100, study="school")
LINE = re.compile(r"sampling: [\d,]+ of ([\d,]+) draws after \d+ s, about \d+ (s|min) left")


@pytest.mark.parametrize(
    ("asked", "ci", "terminal", "shown"),
    [
        (None, None, True, "bar"),
        (None, None, False, "lines"),
        (None, "true", True, "nothing"),
        (None, "1", False, "nothing"),
        (True, "true", False, "bar"),
        (False, None, True, "nothing"),
        (False, None, False, "nothing"),
    ],
)
def test_a_bar_is_for_terminals_and_lines_are_for_the_rest(asked, ci, terminal, shown, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert how_shown(asked) == shown


def test_a_line_is_said_every_ten_seconds_and_none_when_nothing_or_everything_is_done():
    at, said = [0.0], []
    lines = Lines(4000, say=said.append, now=lambda: at[0])
    for second, number, done in [
        (0, 0, 0), (5, 0, 10), (12, 0, 0), (13, 0, 500), (22, 1, 500), (23, 1, 1000), (200, 0, 1500), (230, 1, 2500),
    ]:  # fmt: skip
        at[0] = 1000 + second
        lines.of_chain(number, done)
    assert said == [
        "sampling: 500 of 4,000 draws after 13 s, about 2 min left",
        "sampling: 1,500 of 4,000 draws after 23 s, about 38 s left",
        "sampling: 2,500 of 4,000 draws after 3 min, about 2 min left",
    ]


def test_time_left_is_counted_from_the_first_report_on():
    """PyMC's sampler compiles before it: minutes for the first draw would say days for a thousand."""
    at, said = [0.0], []
    lines = Lines(1001, say=said.append, now=lambda: at[0])
    at[0] = 600.0
    lines.of_chain(0, 1)
    at[0] = 620.0
    lines.of_chain(0, 501)
    assert said == ["sampling: 501 of 1,001 draws after 20 s, about 20 s left"]


@pytest.mark.sampling
@pytest.mark.parametrize("how", ["together", "kept", "pymc"])
def test_every_way_of_sampling_says_lines_off_a_terminal(how, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    sampler = "pymc" if how == "pymc" else "nutpie"
    kept = FinishedChains(tmp_path / "chains") if how == "kept" else None
    size = {"draws": 20_000 if sampler == "nutpie" else 200, "tune": 200, "chains": 2, "seed": 1}
    bd.fit(SCHOOLS, bd.load("eight_schools_rubin1981"), sampler=sampler, kept=kept, **size)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sampling: ")]
    assert said
    assert {LINE.fullmatch(line)[1] for line in said} == {f"{2 * (size['draws'] + size['tune']):,}"}
