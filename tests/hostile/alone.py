"""Attempts that need a process of their own: interrupts while importing, interpreters' flags, full disks, odd homes."""

import dataclasses
import itertools
from collections.abc import Iterator

from hostile import commands, plans, saved_fits
from hostile.bases import BASES
from hostile.commands import GOOD
from hostile.harness import DONE, REFUSED, Attempt
from hostile.text import table, toml

INTERRUPTED = 130
_RUN = ("run", "plan.toml", "--draws", "400", "--chains", "2")
# Modules in the order in which a run comes to import them.
MOMENTS = (
    *("bayesdep.cli", "typer", "bayesdep.data.errors", "rich", "bayesdep.plan", "pydantic", "pandas", "numpy"),
    *("xarray", "scipy.stats", "bayesdep.models.screen.model", "pymc", "pytensor", "bayesdep.inference.sample"),
    *("arviz_stats", "h5netcdf", "matplotlib", "bayesdep.reporting.run_directory", "jinja2"),
    "bayesdep.reporting.console",
)


def interrupts() -> Iterator[Attempt]:
    for module in MOMENTS:
        yield Attempt(
            f"interrupted before importing {module}",
            GOOD,
            _RUN,
            codes=(INTERRUPTED,),
            says="interrupted",
            alone=True,
            interrupted_at=module,
            seconds=90,
            writes=("results",) if module == "bayesdep.reporting.console" else (),  # by then the run is written
        )
    for words, module in (
        (("--help",), "typer"),
        (("datasets",), "pandas"),
        (("export", "x", "--format", "csv"), "typer"),
    ):
        yield Attempt(
            f"{words[0]} interrupted before importing {module}",
            {},
            words,
            codes=(INTERRUPTED,),
            says="interrupted",
            alone=True,
            interrupted_at=module,
            writes=(),
        )


def interpreters() -> Iterator[Attempt]:
    yield Attempt("python -OO", GOOD, _RUN, says="-OO", alone=True, flags=("-OO",))
    yield Attempt("PYTHONOPTIMIZE=2", GOOD, ("datasets",), says="-OO", alone=True, environment={"PYTHONOPTIMIZE": "2"})
    yield Attempt("python -O", GOOD, _RUN, codes=(DONE,), alone=True, flags=("-O",), seconds=120)
    for name, environment in {
        "an ASCII locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
        "a Latin-1 locale": {"PYTHONIOENCODING": "latin-1"},
        "no home": {"HOME": "/nonexistent"},
        "no terminal": {"TERM": "dumb"},
        "a narrow terminal": {"COLUMNS": "1"},
        "a terminal of no width": {"COLUMNS": "0"},
        "another folder for matplotlib": {"MPLCONFIGDIR": "/nonexistent"},
    }.items():
        yield Attempt(f"run with {name}", GOOD, _RUN, codes=(DONE,), alone=True, environment=environment, seconds=120)
    yield Attempt(
        "a temporary folder that is not there",
        GOOD,
        _RUN,
        codes=(DONE,),
        alone=True,
        environment={"TMPDIR": "/nonexistent"},
        seconds=120,
    )
    refused = toml(BASES["screen"].plan() | {"samp\u00e9": {}})
    yield Attempt(
        "a refusal in an ASCII locale",
        {"plan.toml": refused},
        alone=True,
        environment={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    )


def short_of_room() -> Iterator[Attempt]:
    """A file that may not grow any further is what a full disk is to a program."""
    yield Attempt(
        "no room for the fit",
        GOOD,
        ("run", "plan.toml", "--draws", "60000", "--chains", "4"),
        alone=True,
        file_megabytes=1,
        seconds=120,
        says="cannot be",
    )
    yield Attempt(
        "no room to simulate",
        {"out/there": ""},
        ("simulate", "raison2013", "--seed", "1", "--out", "out/x.csv"),
        alone=True,
        file_megabytes=0.01,
        seconds=90,
        says="cannot be",
        environment={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    yield Attempt(
        "too many draws",
        GOOD,
        ("run", "plan.toml", "--draws", "90000000"),
        alone=True,
        megabytes=4000,
        says="would need .* of memory",
    )
    yield Attempt("too many chains", GOOD, ("run", "plan.toml", "--chains", "100000"), alone=True, says="at most")
    big = BASES["trial"]
    yield Attempt(
        "too many draws of a sampled model",
        {"plan.toml": toml(big.plan()), "table.csv": table(big.table)},
        ("run", "plan.toml", "--draws", "50000000"),
        alone=True,
        megabytes=4000,
        says="would need .* of memory",
    )


def texts() -> Iterator[Attempt]:
    """Words of the user that reach figures, reports and exports, in runs that write everything."""
    families = itertools.cycle(("screen", "counts", "meta"))
    for name, text in {
        "mathtext": "$x^{$ \\frac",
        "a script": "<script>alert(1)</script>",
        "a template": "{{ 7 * 7 }} {% raw %}",
        "right to left": "\u202eabc \u05d0\u05d1",
        "CJK": "抑郁症",
        "400 letters": "a long title " * 30,
        "LaTeX": "\\input{/etc/passwd} % & _ #",
        "rich markup": "[bold red]x[/] [link=file:///etc/passwd]y[/link]",
        "empty": "",
        "a space": " ",
    }.items():
        family = next(families)
        base = BASES[family]
        plan = base.plan()
        plan["study"] |= {"title": text or "x", "question": text}
        if family == "meta":
            plan["model"]["units"] = text
        first = next(iter(base.table))
        cells = [f"{cell} {text}".strip() for cell in base.table[first]]
        columns = base.table | {first: cells}
        if family == "screen":
            plan["model"]["condition"] = cells[0]
        yield Attempt(
            f"{family} with {name}",
            {"plan.toml": toml(plan), "table.csv": table(columns)},
            ("run", "plan.toml", "--draws", "400", "--chains", "2"),
            codes=(DONE, REFUSED),
            samples=True,
            seconds=120,
        )


def without_warmth() -> Iterator[Attempt]:
    """Some of what a warm process refuses, again in a cold one: nothing of a refusal hangs on what was imported."""
    refused = [a for a in (*plans.no_plans(), *commands.ATTEMPTS, *saved_fits.ATTEMPTS) if a.codes == (REFUSED,)]
    for attempt in refused[:: len(refused) // 20]:
        yield dataclasses.replace(attempt, name=f"cold: {attempt.name}", alone=True, seconds=90, megabytes=4000)


ATTEMPTS = [*interrupts(), *interpreters(), *short_of_room(), *without_warmth(), *texts()]
