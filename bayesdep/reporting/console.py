"""Output of the command line: ledgers, rankings and lists."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bayesdep.criticism.compare import Comparison
from bayesdep.data.published import list_datasets, load
from bayesdep.reporting.export import write_table
from bayesdep.reporting.ledger import ledger_in_words
from bayesdep.reporting.other_priors import priors_in_words
from bayesdep.reporting.run_directory import Outcome

_COLOURS = {
    **{"yes": "green", "no": "red", "leans": "yellow", "undecided": "yellow"},
    **{"recovered": "green", "not recovered": "red"},
}
# verdicts of the ledger, in the order of its totals -> words for one and for several
_TOTALS = {
    "yes": ("agrees", "agree"),
    "leans": ("leans to the published side", "lean to the published side"),
    "undecided": ("is undecided", "are undecided"),
    "no": ("does not", "do not"),
    "recovered": ("recovered", "recovered"),
    "not recovered": ("not recovered", "not recovered"),
    "other scale": ("is on another scale", "are on other scales"),
    "not known": ("not known", "not known"),
    "not judged": ("not judged", "not judged"),
}


def _console() -> Console:
    width = shutil.get_terminal_size((120, 40)).columns
    return Console(width=max(width, 120) if "COLUMNS" not in os.environ else width, highlight=False)


def _table() -> Table:
    return Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))


def print_ledger(runs: Sequence[Outcome]) -> None:
    """Print published values beside posteriors, of real and of synthetic data apart, each with totals, and footnotes.

    Parameters
    ----------
    runs
        Runs, in order; those without published numbers are skipped.
    """
    notes: dict[str, int] = {}
    console = _console()
    for synthetic in (False, True):
        some = [run for run in runs if run.ledger is not None and run.synthetic == synthetic]
        if some:
            _print_part(console, [(run, _lines(run, notes)) for run in some], synthetic)
    for note, number in notes.items():
        console.print(f"({number}) {note}", markup=False, soft_wrap=True)


def _print_part(console: Console, blocks: list[tuple[Outcome, list[tuple[str, ...]]]], synthetic: bool) -> None:
    """Print the ledger of real or of synthetic data."""
    verdict = "Recovered" if synthetic else "Agrees"
    headings = ("  Estimand", "Published", "Posterior (95% interval)", verdict, "Published in")
    every = [headings, *(line for _, lines in blocks for line in lines)]
    widths = [max(len(line[i]) for line in every) for i in range(4)]
    console.print(Text(_padded(headings, widths), "bold"), soft_wrap=True)
    for run, lines in blocks:
        console.print(_title(run, lines), soft_wrap=True)
        several = len({line[4] for line in lines}) > 1
        for line in lines:
            text = Text(_padded(line if several else line[:4], widths))
            start = sum(widths[:3]) + 6
            text.stylize(_COLOURS.get(line[3], ""), start, start + widths[3])
            console.print(text, soft_wrap=True)
    console.print(total_in_words([line[3] for line in every[1:]], synthetic), style="bold", soft_wrap=True)


def total_in_words(verdicts: Sequence[str], synthetic: bool) -> str:
    """Count the verdicts of a ledger, in one sentence.

    Parameters
    ----------
    verdicts
        One for each published number, as in the columns ``agrees`` or ``recovered`` of a ledger.
    synthetic
        Whether they are of synthetic data.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> total_in_words(["yes", "yes", "no", "other scale"], synthetic=False)
    'Real data, 4 published numbers: 2 agree, 1 does not, 1 is on another scale.'
    >>> total_in_words(["recovered", "not recovered", "not recovered"], synthetic=True)
    'Synthetic data, 3 published numbers: 1 recovered, 2 not recovered.'
    """
    parts = []
    for verdict, (one, many) in _TOTALS.items():
        number = list(verdicts).count(verdict)
        if number:
            parts.append(f"{number} {one if number == 1 else many}")
    kind, plural = "Synthetic" if synthetic else "Real", "" if len(verdicts) == 1 else "s"
    return f"{kind} data, {len(verdicts)} published number{plural}: {', '.join(parts)}."


def print_equivalence(runs: Sequence[Outcome]) -> None:
    """Print which effects are present, absent or undecided, for the regions of practical equivalence of plans.

    Parameters
    ----------
    runs
        Runs, in order; those without such regions are skipped.
    """
    some = [(run, run.equivalence) for run in runs if run.equivalence is not None]
    _print_tables([(run, table[[c for c in table.columns if not c.startswith("Reason")]]) for run, table in some])


def print_other_priors(runs: Sequence[Outcome]) -> None:
    """Print the primary estimands of plans under their other priors.

    Parameters
    ----------
    runs
        Runs, in order; those of plans without other priors are skipped.
    """
    some = [(run, run.other_priors) for run in runs if run.other_priors is not None]
    _print_tables([(run, priors_in_words(table)) for run, table in some])
    for _, table in some:
        _console().print(table.attrs["sentence"], markup=False, soft_wrap=True)


def _print_tables(some: Sequence[tuple[Outcome, pd.DataFrame]]) -> None:
    """Print tables with the same columns, each below the title of its run."""
    if not some:
        return
    columns = list(some[0][1].columns)
    lines = [(run, [tuple(map(str, row)) for row in table.to_numpy()]) for run, table in some]
    widths = [max(len(row[i]) for _, rows in lines for row in [columns, *rows]) for i in range(len(columns) - 1)]
    widths[0] += 2  # names are indented
    console = _console()
    console.print(Text(_padded([f"  {columns[0]}", *columns[1:]], widths), "bold"), soft_wrap=True)
    for run, rows in lines:
        console.print(_title(run, []), soft_wrap=True)
        for row in rows:
            console.print(Text(_padded([f"  {row[0]}", *row[1:]], widths)), soft_wrap=True)


def _lines(run: Outcome, notes: dict[str, int]) -> list[tuple[str, ...]]:
    assert run.ledger is not None
    lines = []
    verdict = "Recovered" if run.synthetic else "Agrees"
    for _, row in ledger_in_words(run.ledger).iterrows():
        number = f" ({notes.setdefault(row['Note'], len(notes) + 1)})" if row["Note"] else ""
        rest = (row[c] for c in ("Published", "Posterior", verdict, "Published in"))
        lines.append((f"  {row['Estimand']}{number}", *rest))
    return lines


def _title(run: Outcome, lines: list[tuple[str, ...]]) -> Text:
    title = Text(run.label, "bold")
    sources = {line[4] for line in lines}
    if len(sources) == 1:
        title.append(f"   {sources.pop()}", "not bold")
    if run.synthetic:
        title.append("   SYNTHETIC DATA", "bold red")
    if not run.gate.passed:
        title.append("   FAILED THE GATE", "bold red")
    if not run.verdict.passed:
        title.append("   WARNING ON THE MODEL", "bold yellow")
    return title


def _padded(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, [*widths, 0], strict=False)).rstrip()


def write_ledger(runs: Sequence[Outcome], path: Path, *, spreadsheet_safe: bool = False) -> Path:
    """Write the ledgers of several runs as one table.

    Parameters
    ----------
    runs
        Runs, in order.
    path
        CSV file.
    spreadsheet_safe
        As in :func:`bayesdep.export`.

    Returns
    -------
    pathlib.Path
        The file.
    """
    parts = [
        run.ledger.assign(
            plan=run.label,
            gate="passed" if run.gate.passed else "failed",
            model="agrees" if run.verdict.passed else "warning",
        )
        for run in runs
        if run.ledger is not None
    ]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["plan"])
    table.insert(0, "plan", table.pop("plan"))
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_table(table, path, spreadsheet_safe=spreadsheet_safe)


def print_comparison(comparison: Comparison) -> None:
    """Print a ranking.

    Parameters
    ----------
    comparison
        As :func:`bayesdep.compare` returns it.
    """
    table = _table()
    for column in comparison.table:
        table.add_column(str(column), justify="left" if column == "model" else "right")
    for row in comparison.table.itertuples(index=False, name=None):
        table.add_row(*(Text(f"{v:.2f}" if isinstance(v, float) else str(v)) for v in row))  # no markup in names
    console = _console()
    console.print(table)
    console.print(comparison.sentence, markup=False, soft_wrap=True)


def print_datasets() -> None:
    """Print the published tables that ship with the package."""
    table = _table()
    listed = list_datasets()
    for column in listed:
        table.add_column(str(column), overflow="fold")
    for row in listed.itertuples(index=False, name=None):
        table.add_row(*(Text(str(v)) for v in row))
    _console().print(table)


def print_dataset(name: str) -> None:
    """Print a published table, its source and its known inconsistencies.

    Parameters
    ----------
    name
        Name as listed by :func:`bayesdep.list_datasets`.
    """
    frame, console = load(name), _console()
    about = frame.attrs
    console.print(Text(f"{about['title']}", "bold"))
    console.print(f"{about['citation']}. Read from: {about['place']}. {len(frame)} rows.", markup=False)
    table = _table()
    table.add_column("column")
    table.add_column("units")
    for column in frame.columns:
        table.add_row(Text(str(column)), Text(about["units"][column]))
    console.print(table)
    for line in about["inconsistencies"]:
        console.print(f"! {line}", markup=False, soft_wrap=True)
