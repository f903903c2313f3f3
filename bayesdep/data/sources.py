"""The data source that a plan names, read as a table with its provenance."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bayesdep.data.budget import available_memory
from bayesdep.data.conditions import read_condition
from bayesdep.data.csv_files import read_csv
from bayesdep.data.errors import BadInput, Faults, did_you_mean, in_words, speaking_toml
from bayesdep.data.files import read_whole
from bayesdep.data.labels import as_label, words_of
from bayesdep.data.missing import declare_missing
from bayesdep.data.parquet_files import read_parquet
from bayesdep.data.published import load, table_file
from bayesdep.data.tables import as_frame, is_blank, note, says_synthetic
from bayesdep.data.toml_text import shown

FROM_USER = "path"  # the source of a plan whose table is given when it is run
FOR_LIMITS = ("analyte", "plate")  # columns by which a table of limits is joined, in every family
_KEEP = "data.keep"  # how messages call a condition on rows
_SHOWN = 10  # labels or values that a sentence lists
_NAMED = frozenset({"study", "trial", "author", "school", "analyte", "marker"})  # whose rows are named: not people


_READERS: dict[str, Callable[[bytes], pd.DataFrame]] = {".csv": read_csv, ".parquet": read_parquet}


def refuse_unclear(source: str, expects: str | None, keep: Any) -> None:
    """Refuse a plan's [data] that is wrong whatever the table contains.

    Parameters
    ----------
    source, expects, keep
        As in :func:`read_source`.

    Raises
    ------
    BadInput
        Naming the key.
    """
    if source == FROM_USER and expects is None:
        raise BadInput(
            "'data.expects' is missing; say what table the user is to give, "
            'for example expects = "the trials (columns trial, effect, se)"'
        )
    if source != FROM_USER and expects is not None:
        raise BadInput(
            f"'data.expects' is for data given at the command line; remove it, or write source = \"{FROM_USER}\""
        )
    if isinstance(keep, str):
        read_condition(keep, _KEEP)
        return
    if not isinstance(keep, Mapping):
        raise BadInput(f"'data.keep' is {shown(keep)}, but a table, or a condition in quotes, is needed")
    for column, value in keep.items():
        values = value if isinstance(value, list) else [value]
        if not values:
            raise BadInput(f"'data.keep.{column}' is an empty array, which keeps no row; add a value or remove it")
        for one in values:
            if not isinstance(one, (str, int, float)) or one != one:
                raise BadInput(
                    f"'data.keep.{column}' {'holds' if isinstance(value, list) else 'is'} {shown(one)}, "
                    "but a number, text, true or false, or an array of these, is needed"
                )


def read_source(
    source: str,
    *,
    folder: Path = Path(),
    seed: int | None = None,
    keep: Mapping[str, Any] | str = {},
    require: Sequence[str] = (),
    missing: Sequence[Any] | Mapping[str, Sequence[Any]] | None = None,
    labels_meant: Sequence[str] = (),
    limits: str | None = None,
    columns: Mapping[str, str] = {},
    data: Any = None,
    expects: str | None = None,
    simulate: Callable[[str, int], pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Read a table from a file, from the package or from a simulator.

    Parameters
    ----------
    source
        ``"published:NAME"``, ``"simulate:NAME"``, a path to a .csv or .parquet file, or ``"path"`` for ``data``.
    folder
        What a relative path is relative to.
    seed
        For a simulator.
    keep
        The value, or the values, that a column must have; other rows are left out. Numbers are compared as
        numbers in columns of numbers, everything else as text. Or a condition in the language of
        :mod:`bayesdep.data.conditions`, such as ``"age >= 18 and arm in ['drug', 'placebo']"``; rows for which it is
        unknown, because a value is missing, are left out.
    require
        Columns that must have a value; rows without one are left out, and ``attrs["left_out"]`` says how many.
    missing
        Codes that stand for a missing value, such as ``["999"]``: in all columns, or by column. If given,
        numbers that look like other codes are noted but not refused; with ``[]`` no code is suspected.
    labels_meant
        Labels of an arm or group of one person that are right, although they look like misspellings of another.
    limits
        A path to a .csv or .parquet file of detection limits, to be joined onto the rows that are kept.
    columns
        The table's names of the columns ``analyte`` and ``plate``, for joining the limits, where they differ from
        these.
    data
        For ``"path"``: a file, relative to the working directory, or a dataframe.
    expects
        For ``"path"``: a description of the table to be given.
    simulate
        For ``"simulate:NAME"``: a function from the design's name and the seed to the table.

    Returns
    -------
    pandas.DataFrame
        The table. ``attrs`` holds at least ``source``, ``sha256`` (of the whole file, and of the limits' after it)
        and ``synthetic``, and ``left_out`` where rows are.

    Raises
    ------
    BadInput
        When the source is unknown or cannot be read as a table, a column is missing, or no row remains.
    """
    with speaking_toml():
        frame, content = _read_from(source, folder, seed, data, expects, simulate)
        frame = _choose(frame, missing, labels_meant, keep, [c for c in require if c in frame or limits is None])
        if limits is not None:
            frame, more = _add_limits(frame, limits, folder, columns)
            content += more
            _refuse_unknown_columns(frame, require, "[data] require")
            frame = _leave_out(frame, require)
    frame.attrs["sha256"] = hashlib.sha256(content).hexdigest()
    return frame


def _read_from(
    source: str,
    folder: Path,
    seed: int | None,
    data: Any,
    expects: str | None,
    simulate: Callable[[str, int], pd.DataFrame] | None,
) -> tuple[pd.DataFrame, bytes]:
    """Read the table that a source names, and the bytes that it is known by."""
    scheme, _, name = source.partition(":")
    if source == FROM_USER:
        frame, content = _read_given(data, expects)
    elif scheme == "published" and name:
        frame, content = load(name), table_file(name).read_bytes()
    elif scheme == "simulate" and name and simulate is not None:
        if seed is None:
            raise BadInput(f"[data] source = '{source}' needs a seed; add one, for example seed = 1")
        frame = simulate(name, seed)
        content = _csv_bytes(frame)
    else:
        if Path(source).suffix.lower() not in _READERS:
            raise BadInput(
                f"[data] source = '{source}' is not understood; give a .csv or .parquet file, "
                f"'published:NAME', 'simulate:NAME', or '{FROM_USER}' for a file that is named with --data"
            )
        frame, content = _read_file(folder / source, "data", _IN_A_PLAN)
        _say_origin(frame, source)
    return frame, content


def _choose(
    frame: pd.DataFrame,
    missing: Sequence[Any] | Mapping[str, Sequence[Any]] | None,
    labels_meant: Sequence[str],
    keep: Mapping[str, Any] | str,
    require: Sequence[str],
) -> pd.DataFrame:
    """Set cells with a declared code to missing, and leave out rows."""
    if len(frame):  # who reads an empty one says so
        frame = as_frame(frame)
    if missing is not None:
        frame, notes = declare_missing(frame, missing)
        for sentence in notes:
            note(frame, sentence)
        frame.attrs["missing"] = missing
    if labels_meant:
        labels = {as_label(cell) for name in frame.columns for cell in frame[name].dropna().unique()}
        for label in labels_meant:
            if label not in labels:
                raise BadInput(f"labels_meant names '{label}', which is in no column; {did_you_mean(label, labels)}")
        frame.attrs["labels_meant"] = tuple(labels_meant)
    faults = Faults()
    with faults:
        _refuse_unknown_columns(frame, require, in_words(toml="[data] require", python="require"))
    with faults:
        frame = _keep(frame, keep)
    faults.refuse()
    return _leave_out(frame, require)


def read_table(
    table: Any,
    *,
    missing: Sequence[Any] | Mapping[str, Sequence[Any]] | None = None,
    labels_meant: Sequence[str] = (),
    keep: Mapping[str, Any] | str = {},
    require: Sequence[str] = (),
) -> pd.DataFrame:
    """Read a table as a plan does.

    In a .csv file, an empty cell, ``NA``, ``NaN`` and ``.`` are missing in columns of numbers, while ``NA`` and
    ``None`` are labels in columns of text. In a dataframe, cells that pandas calls missing are missing.

    Parameters
    ----------
    table
        A .csv or .parquet file, or a dataframe.
    missing
        Codes that stand for a missing value, such as ``["999"]``: in all columns, or by column. If given,
        numbers that look like other codes are noted but not refused; with ``[]`` no code is suspected.
    labels_meant
        Labels of an arm or group of one person that are right, although they look like misspellings of another.
    keep
        The value, or the values, that a column must have, or a condition, as in a plan; other rows are left out.
    require
        Columns that must have a value; rows without one are left out.

    Returns
    -------
    pandas.DataFrame
        The table; ``attrs`` hold its source, the rows left out, and in ``notes`` what was read differently than it is
        written.

    Raises
    ------
    BadInput
        When it cannot be read as a table, a column is missing, or no row remains.

    Examples
    --------
    >>> table = read_table(pd.DataFrame({"arm": ["drug", "drug ", "pbo"], "bdi": [12, 999, 30]}), missing=["999"])
    >>> table["bdi"].tolist()
    [12.0, nan, 30.0]
    >>> table.attrs["notes"]
    ["column 'bdi': 1 cell read as missing (missing = '999')"]
    """
    frame, content = _read_given(table, None)
    frame.attrs["sha256"] = hashlib.sha256(content).hexdigest()
    return _choose(frame, missing, labels_meant, keep, require)


_IN_A_PLAN = "check the path, which is relative to the plan's folder"
_AT_THE_COMMAND_LINE = "check the path given with --data, which is relative to the folder this runs in"


def _read_given(data: Any, expects: str | None) -> tuple[pd.DataFrame, bytes]:
    """Read the file or dataframe that a user gives when running a plan."""
    if data is None:
        raise BadInput(
            f"[data] source = '{FROM_USER}' expects {' '.join((expects or 'a table').split()).rstrip('.')}; "
            "give that file with --data PATH (data=PATH in Python)"
        )
    if not isinstance(data, (str, os.PathLike)):
        frame = as_frame(data)
        frame.attrs["synthetic"] = bool(frame.attrs.get("synthetic")) or says_synthetic(frame)
        frame.attrs.setdefault("source", "a dataframe in memory")
        return frame, _csv_bytes(frame)
    path = Path(data)
    if path.suffix.lower() not in _READERS:
        raise BadInput(f"--data '{data}' is not a .csv or .parquet file; save the table as one of these")
    frame, content = _read_file(path, "data", _AT_THE_COMMAND_LINE)
    _say_origin(frame, path.name)  # without its folder, which is private to the user
    return frame, content


def _read_file(path: Path, what: str, remedy: str) -> tuple[pd.DataFrame, bytes]:
    try:
        content = read_whole(path, available_memory() / 2)
        return _READERS[path.suffix.lower()](content), content
    except FileNotFoundError:
        raise BadInput(f"there is no {what} file '{path}'; {remedy}") from None
    except OSError as problem:
        raise BadInput(f"{what} file '{path}' cannot be read ({problem.strerror}); {remedy}") from None
    except BadInput as problem:
        raise BadInput(f"'{path}': {problem}") from None
    except (ValueError, UnicodeError) as problem:
        reason = next(iter(str(problem).splitlines()), type(problem).__name__)
        raise BadInput(
            f"'{path}' cannot be read as {path.suffix[1:]} ({reason}); check that the file is whole"
        ) from None


def _say_origin(frame: pd.DataFrame, source: str) -> None:
    notes = frame.attrs.get("notes", [])
    frame.attrs = {  # and nothing from the metadata of a parquet file
        "title": Path(source).name,
        "citation": "",
        "source": source,
        "synthetic": says_synthetic(frame),
        "notes": list(notes) if isinstance(notes, list) else [],
    }


def _csv_bytes(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def _add_limits(
    frame: pd.DataFrame, limits: str, folder: Path, columns: Mapping[str, str]
) -> tuple[pd.DataFrame, bytes]:
    """Join a file of detection limits; return the joined table, and what the file holds."""
    from bayesdep.data.detection import add_limits

    if Path(limits).suffix.lower() not in _READERS:
        raise BadInput(f"[data] limits = '{limits}' is not understood; give a .csv or .parquet file")
    table, content = _read_file(folder / limits, "limits", _IN_A_PLAN)
    joined = add_limits(frame, table, **{word: columns[word] for word in FOR_LIMITS if word in columns})
    joined.attrs = {**frame.attrs, "source": f"{frame.attrs['source']} with limits {limits}"}
    return joined, content


def _refuse_unknown_columns(frame: pd.DataFrame, names: Iterable[str], place: str) -> None:
    """Refuse names of columns that the table does not have, all in one sentence."""
    known = [str(name) for name in frame.columns]
    missing = [name for name in names if name not in known]
    if missing:
        listed = " and ".join(f"'{name}'" for name in missing)
        remedy = "; ".join(dict.fromkeys(did_you_mean(name, known) for name in missing))
        start, verb = ("column", "is") if len(missing) == 1 else ("columns", "are")
        raise BadInput(f"{place} names {start} {listed}, which {verb} not in the table; {remedy}")


def _keep(frame: pd.DataFrame, keep: Mapping[str, Any] | str) -> pd.DataFrame:
    """Leave out rows in which a column has none of the required values, or a condition does not hold."""
    if isinstance(keep, str):
        return _keep_where(frame, keep)
    kept = pd.Series(True, index=frame.index)
    conditions = []
    place = in_words(toml="[data.keep]", python="keep")
    _refuse_unknown_columns(frame, keep, place)
    faults = Faults()
    for column, value in keep.items():
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        with faults:
            kept &= _has_one_of(frame[column].infer_objects(), column, values, place)
        conditions.append(f"{column} {_first_few([_as_cell(v) for v in values], ' or ', ' or ')}")
    faults.refuse()
    if not kept.any() and keep:
        raise BadInput(f"{place} leaves no row: none has {' and '.join(conditions)}; leave out or correct one of these")
    if not kept.all():
        _say_left_out(frame, f"kept the {kept.sum()} of {len(frame)} rows with {' and '.join(conditions)}")
    return _rows(frame, kept)


def _keep_where(frame: pd.DataFrame, condition: str) -> pd.DataFrame:
    holds = read_condition(condition, _KEEP)(frame)
    kept, unknown = holds.fillna(False).astype(bool), int(holds.isna().sum())
    if not kept.any():
        raise BadInput(f"{_KEEP} leaves no row: {condition} holds in none; correct the condition")
    if not kept.all():
        empty = f", leaving out {unknown} where a cell that it needs is empty" if unknown else ""
        _say_left_out(frame, f"kept the {kept.sum()} of {len(frame)} rows with {condition}{empty}")
    return _rows(frame, kept)


def _has_one_of(series: pd.Series, column: str, values: Sequence[Any], place: str) -> pd.Series:
    """Return which rows have one of the values; refuse a value that is in no row."""
    numeric = pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series)
    cells = (
        series if numeric else pd.Series([None if pd.isna(c) else _as_cell(c) for c in series], series.index, object)
    )
    matches = pd.Series(False, index=series.index)
    for value in values:
        sought = _number(value) if numeric else _as_cell(value)
        equal = pd.Series(False, index=series.index) if sought is None else (cells == sought).fillna(False).astype(bool)
        if not equal.any():
            values_there = [_as_cell(v) for v in sorted(series.dropna().unique(), key=None if numeric else str)]
            asked = repr(value) if isinstance(value, str) else _as_cell(value)
            raise BadInput(
                f"{place} {column} = {asked} is in no row of the table; {_nearest(_as_cell(value), values_there)}"
            )
        matches |= equal
    return matches


def _number(value: Any) -> float | None:
    """Return a number, or text read as a number; None for anything else."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return None if isinstance(value, bool) else value


def _as_cell(value: Any) -> str:
    """Return a cell or a value of a plan as text that does not depend on its type: true, 3."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool):
        return str(value).lower()
    return as_label(value)


def _nearest(word: str, known: Sequence[str]) -> str:
    """Suggest the nearest of the values of a column, or list the first of them."""
    suggestion = did_you_mean(word, known)
    if suggestion.startswith("did you mean"):
        return suggestion
    return f"known: {_first_few(known)}" if known else "it has no values at all"


def _first_few(words: Sequence[str], between: str = ", ", last: str = " and ") -> str:
    more = len(words) - _SHOWN
    return between.join(words[:_SHOWN]) + (f"{last}{more} more" if more > 0 else "")


def _leave_out(frame: pd.DataFrame, require: Sequence[str]) -> pd.DataFrame:
    complete = pd.Series(True, index=frame.index)
    for column in require:
        complete &= ~is_blank(frame[column])
    if not complete.all():
        sentence = f"{(~complete).sum()} of {len(frame)} rows left out because they lack {' or '.join(require)}"
        if _NAMED & set(words_of(str(frame.columns[0]))):
            first = frame.iloc[:, 0]
            labels = ["(blank)" if blank else as_label(v) for v, blank in zip(first, is_blank(first), strict=True)]
            sentence += f": {_first_few([label for label, whole in zip(labels, complete, strict=True) if not whole])}"
        _say_left_out(frame, sentence)
    return _rows(frame, complete)


def _rows(frame: pd.DataFrame, kept: pd.Series) -> pd.DataFrame:
    rows = frame.loc[kept].reset_index(drop=True)
    rows.attrs = frame.attrs
    return rows


def _say_left_out(frame: pd.DataFrame, sentence: str) -> None:
    earlier = frame.attrs.get("left_out")
    frame.attrs["left_out"] = f"{earlier}; {sentence}" if earlier else sentence
