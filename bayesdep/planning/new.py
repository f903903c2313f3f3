"""A plan from a table: read, suggested, written, checked as it is, and put in its place whole or not at all."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from bayesdep.data.errors import BadInput
from bayesdep.data.files import whole_files
from bayesdep.data.sources import read_table
from bayesdep.plan import plan_from_text, prepare
from bayesdep.planning.suggest import Suggestion, suggest
from bayesdep.planning.text import Source, plan_text


@dataclass(frozen=True)
class Written:
    """A plan that was written.

    Parameters
    ----------
    path
        Its file.
    suggestions
        The family it is of, and the others that the table could be for.
    """

    path: Path
    suggestions: list[Suggestion]


def new_plan(table: Path, out: Path, *, family: str | None = None, force: bool = False) -> Written:
    """Write a plan for a table.

    Parameters
    ----------
    table
        A .csv or .parquet file.
    out
        The plan's file.
    family
        The family; None for the one that the columns suggest.
    force
        Whether a file that is there already is replaced.

    Returns
    -------
    Written
        What was written.

    Raises
    ------
    BadInput
        When the table cannot be read or is for no family, or the file is there already; then nothing is written.
    """
    if os.path.realpath(out) == os.path.realpath(table):
        raise BadInput(f"--out '{out}' is the table itself; name another file")
    if out.suffix.lower() != ".toml":
        raise BadInput(f"--out '{out}' is no .toml file; name one, such as '{out.stem or 'plan'}.toml'")
    if os.path.lexists(out) and not (force and out.is_file()):
        remedy = "name another file, or replace it with --force" if out.is_file() else "name another file"
        raise BadInput(f"'{out}' is there already; {remedy}")
    frame = read_table(table)
    suggestions = suggest(frame, family)
    first, *others = suggestions if family is None else [*suggestions]
    where = Path(os.path.relpath(os.path.realpath(table), os.path.realpath(out.parent))).as_posix()
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", table.stem).strip("._-") or "study"
    about = f"the table '{table.name}' ({len(frame)} rows and {len(frame.columns)} columns)."
    text = plan_text(first, Source(where, name, about), others=[one.draft.family for one in others])
    prepare(plan_from_text(out, text))  # what is written passes as it is
    with whole_files(out) as (partial,):
        partial.write_text(text, encoding="utf-8")
    return Written(out, suggestions)
