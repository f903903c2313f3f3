"""A plan as commented TOML, for a table that was read from a laboratory's or clinic's file."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bayesdep.data.errors import BadInput
from bayesdep.data.files import whole_files
from bayesdep.data.readers.panel import read_panel
from bayesdep.data.readers.result import ReadTable
from bayesdep.data.readers.trial import read_trial
from bayesdep.models.register import model_class
from bayesdep.reporting.export import write_table

_COLUMNS = frozenset(
    {"value", "analyte", "subject", "group", "time", "plate", "unit", "censored", "lod", "lloq", "uloq"}
    | {"arm", "visit", "outcome", "baseline", "day"}
)
_MEANINGS = {
    "reference": "what the others are compared with",
    "replicates": "several rows of a person and analyte are wells of one sample",
    "beyond_limit": "a number below its limit counts as not detected",
    "covariates": "a formula of columns",
    "baseline": "no column of the outcome at baseline",
}
_QUESTIONS = {  # with groups to compare, and without
    "cytokines": ("Which analytes differ between {}?", "What are the levels of the analytes?"),
    "trial": ("How does the outcome differ between {}?", "How does the outcome change over the visits?"),
}
_FAMILIES = {"cytokines": "a panel of analytes, values beyond limits as such", "trial": "a trial over visits"}


_OF_TRIALS = {"group": "arm", "time": "visit", "value": "outcome"}  # words of the command for a trial's columns
_NOT_OF_TRIALS = (
    "layout",
    "sample",
    "plate",
    "analyte",
    "analytes",
    "people",
    "limits",
    "block",
    "extrapolated",
    "replicates",
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
    read = _read(files, given, trial=trial)
    text = ""
    if plan is not None:
        more = {} if reference is None else {"reference": reference}
        source = Path(os.path.relpath(out.resolve(), plan.resolve().parent)).as_posix()
        text = write_plan(read, source, **more)
        model_class(read.family)(**read.model_settings(**more)).prepare(read.table)
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


def write_plan(read: ReadTable, source: str, **more: Any) -> str:
    """Return a plan for a table that was read, as TOML with a comment on what may be changed.

    Parameters
    ----------
    read
        The table.
    source
        Where the table lies, relative to the plan's folder.
    **more
        Settings of the model, such as ``reference``.

    Returns
    -------
    str
        A valid plan.

    Raises
    ------
    BadInput
        When there are groups or arms and no reference is named.
    """
    return "\n".join(_lines(read, source, read.model_settings(**more))) + "\n"


def _lines(read: ReadTable, source: str, settings: dict[str, Any]) -> Iterator[str]:
    factor = read.factor
    others = (
        [level for level in read.levels(factor) if level != settings.get("reference")] if factor in settings else []
    )
    compared = f"{' and '.join(others)} and {settings['reference']}" if others else ""
    asked, plain = _QUESTIONS[read.family]
    question = asked.format(compared) if compared else plain
    title = str(read.table.attrs.get("source", source))
    said = " (synthetic data)" if read.synthetic else ""
    yield f"# A plan for the table read from {_plain(title)}{said}. Values can be changed; run it with: bayesdep run"
    yield "[study]"
    yield f"name = {_toml(_name(title))}"
    yield f"title = {_toml(title + said)}"
    yield f"question = {_toml(question)}"
    yield ""
    yield "[data]"
    yield f"source = {_toml(source)}  # relative to this file"
    yield ""
    yield "# What each column of the table is."
    yield "[data.columns]"
    for word, value in settings.items():
        if word in _COLUMNS and isinstance(value, str):
            yield f"{word} = {_toml(value)}"
    yield ""
    yield "[model]"
    yield f"family = {_toml(read.family)}  # {_FAMILIES[read.family]}"
    for word, value in settings.items():
        if word in _COLUMNS and isinstance(value, str):
            continue
        comment = f"  # {_MEANINGS[word]}" if word in _MEANINGS else ""
        yield f"{word} = {_toml(False if value is None else value)}{comment}"
    yield ""
    yield "[sampling]"
    yield "seed = 1  # the same seed gives the same draws"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(str(key))} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


def _plain(text: str) -> str:
    return "".join(character for character in text if character.isprintable())


def _name(title: str) -> str:
    """A study's name from a file's: letters, digits and underscores."""
    stem = title.split(",")[0].rsplit(".", 1)[0]
    return re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_").lower()[:60] or "panel"
