"""A laboratory's or clinic's file: its tidy table and a plan for it are written, both or neither."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bayesdep.data.errors import BadInput, speaking_options
from bayesdep.data.files import whole_files
from bayesdep.data.readers.panel import read_panel
from bayesdep.data.readers.result import ReadTable
from bayesdep.data.readers.trial import read_trial
from bayesdep.models.documented import documented
from bayesdep.models.register import model_class
from bayesdep.planning.families import Draft
from bayesdep.planning.suggest import Suggestion
from bayesdep.planning.text import Source, plan_text
from bayesdep.reporting.export import write_table

_FILES = {"cytokines": "the file has a panel of analytes", "trial": "the file has a trial's visits"}
_OF_TRIALS = {"group": "arm", "time": "visit", "value": "outcome"}  # words of the command for a trial's columns
_NOT_OF_TRIALS = (  # words for a panel alone
    *("layout", "sample", "plate", "analyte", "analytes", "people", "limits", "block", "extrapolated", "replicates"),
)


def write_read(
    files: Sequence[Path],
    given: Mapping[str, Any],
    out: Path,
    plan: Path | None,
    *,
    trial: bool,
    reference: str | None,
    spreadsheet_safe: bool = False,
) -> tuple[ReadTable, list[Path]]:
    """Read files, write the tidy table and a plan for it, both or neither.

    Parameters
    ----------
    files
        The files.
    given
        Settings of :func:`~bayesdep.read_panel`, or of :func:`~bayesdep.read_trial` in the same words; None where not
        given.
    out
        The table to write, .csv or .parquet.
    plan
        The plan to write; None for none.
    trial
        Whether the files hold a trial's visits.
    reference
        The group or arm to compare with.
    spreadsheet_safe
        As in :func:`~bayesdep.export`.

    Returns
    -------
    read : ReadTable
        The table.
    written : list of pathlib.Path
        What was written.

    Raises
    ------
    BadInput
        When a file cannot be read, or the plan would be refused, before anything is written.
    """
    targets = [out, *([plan] if plan is not None else [])]
    _refuse_places(files, out, plan)
    text = ""
    with speaking_options():
        read = _read(files, given, trial=trial)
        if plan is not None:
            more = {} if reference is None else {"reference": reference}
            text = plan_text(draft_of(read, **more), _source(read, out, plan))
    with whole_files(*targets) as partials:
        write_table(read.table, partials[0], format=out.suffix[1:].lower(), spreadsheet_safe=spreadsheet_safe)
        if plan is not None:
            partials[1].write_text(text, encoding="utf-8")
    return read, targets


def _refuse_places(files: Sequence[Path], out: Path, plan: Path | None) -> None:
    if out.suffix.lower() not in (".csv", ".parquet"):
        raise BadInput(f"--out '{out}' is no .csv or .parquet file; name one")
    if plan is not None and plan.suffix.lower() != ".toml":
        raise BadInput(f"--plan '{plan}' is no .toml file; name one")
    for file in files:
        for place in (out, plan):
            if place is not None and place.resolve() == file.resolve():
                raise BadInput(f"'{place}' is the file to read; write to another")


def _read(files: Sequence[Path], given: Mapping[str, Any], *, trial: bool) -> ReadTable:
    settings = {word: value for word, value in given.items() if value not in (None, [], False)}
    if settings.get("leave_out") == ["none"]:
        settings["leave_out"] = []
    if not trial:
        if "baseline" in settings:
            raise BadInput("--baseline is for a trial's visits; add --trial, or leave it out")
        if isinstance(sheets := settings.get("sheet"), list) and len(sheets) == 1:
            settings["sheet"] = sheets[0]
        if "limits" in settings:
            from bayesdep.data.sources import read_table

            settings["limits"] = read_table(settings["limits"])
        return read_panel(list(files) if len(files) > 1 else files[0], **settings)
    for word in _NOT_OF_TRIALS:
        if word in settings:
            raise BadInput(f"--{word} is for a panel of analytes; leave it, or --trial, out")
    if len(files) > 1:
        raise BadInput(f"a trial is read from one file, and {len(files)} are given; join them first")
    sheets = settings.pop("sheet", [])
    if len(sheets) > 1:
        raise BadInput(f"a trial is read from one sheet, and {len(sheets)} are given; name one with --sheet")
    settings |= {"sheet": sheets[0]} if sheets else {}
    return read_trial(files[0], **{_OF_TRIALS.get(word, word): value for word, value in settings.items()})


def draft_of(read: ReadTable, **more: Any) -> Suggestion:
    """Return how a plan reads a table that was read: the model that the file is for, with its columns.

    Parameters
    ----------
    read
        The table.
    **more
        Settings of the model, such as ``reference``.

    Returns
    -------
    Suggestion
        With the table as the model prepared it.

    Raises
    ------
    BadInput
        When there are groups or arms and no reference is named, or the model cannot take the table.
    """
    settings = read.model_settings(**more)
    keys = documented(read.family).keys
    columns = {word: name for word, name in settings.items() if keys[word].is_column and isinstance(name, str)}
    others = {word: False if value is None else value for word, value in settings.items() if word not in columns}
    model = model_class(read.family)(**settings)
    draft = Draft(read.family, columns, others, why=[_FILES[read.family]])
    return Suggestion(draft, model, model.prepare(read.table))


def _source(read: ReadTable, out: Path, plan: Path) -> Source:
    """Where a plan's table lies, and what it is."""
    path = Path(os.path.relpath(out.resolve(), plan.resolve().parent)).as_posix()
    title = str(read.table.attrs.get("source", path))
    said = " (synthetic data)" if read.synthetic else ""
    return Source(path, _name(title), f"the table read from {title}{said}.")


def _name(title: str) -> str:
    """A study's name from a file's: letters, digits and underscores."""
    stem = title.split(",")[0].rsplit(".", 1)[0]
    return re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_").lower()[:60] or "panel"
