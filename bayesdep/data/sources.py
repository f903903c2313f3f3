"""From the word a plan uses for its data to a table whose origin is known."""

import csv
import hashlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.published import load, table_file
from bayesdep.data.simulate import simulate


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file, refusing what pandas would quietly put right: it may put it wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(path, index_col=False)  # else longer rows shift into unnamed row labels
    except pd.errors.ParserWarning:
        raise ValueError("the rows have more cells than the header: name every column") from None
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(row for row in csv.reader(file) if row)
    repeated = [name for name in header if name and header.count(name) > 1]
    if repeated:  # pandas renames the second one
        raise ValueError(f"the header has '{repeated[0]}' twice: rename one of the two")
    return frame


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {".csv": _read_csv, ".parquet": pd.read_parquet}


def read_source(
    source: str, *, folder: Path = Path(), seed: int | None = None, require: Sequence[str] = ()
) -> pd.DataFrame:
    """Read a table from a file, from the package or from a simulator.

    Parameters
    ----------
    source
        ``"published:NAME"``, ``"simulate:NAME"``, or a path to a .csv or .parquet file.
    folder
        What a relative path is relative to.
    seed
        For a simulator.
    require
        Columns that must have a value; rows without one are left out, and ``attrs["left_out"]`` says how many.

    Returns
    -------
    pandas.DataFrame
        The table. ``attrs`` holds at least ``source``, ``sha256`` and ``synthetic``.

    Raises
    ------
    BadInput
        When the source is unknown or cannot be read as a table, or a required column is missing.
    """
    scheme, _, name = source.partition(":")
    if scheme == "published" and name:
        frame = load(name)
        frame.attrs["sha256"] = _sha256(table_file(name).read_bytes())
    elif scheme == "simulate" and name:
        if seed is None:
            raise BadInput(f"[data] source = '{source}' needs a seed; add one, for example seed = 1")
        frame = simulate(name, seed=seed).table
        frame.attrs["sha256"] = _sha256(frame.to_csv(index=False).encode())
    else:
        frame = _read_file(source, folder)
    return _leave_out(frame, require)


def _read_file(source: str, folder: Path) -> pd.DataFrame:
    path = folder / source
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise BadInput(
            f"[data] source = '{source}' is not understood; "
            "give a .csv or .parquet file, 'published:NAME' or 'simulate:NAME'"
        )
    if not path.is_file():
        raise BadInput(f"there is no data file '{path}'; check the path, which is relative to the plan's folder")
    try:
        content = path.read_bytes()
        frame = reader(path)
    except (
        OSError,
        ValueError,
        UnicodeError,
    ) as problem:  # pandas' and pyarrow's parsing errors are ValueErrors
        reason = str(problem).splitlines()[0]
        raise BadInput(
            f"'{path}' cannot be read as {path.suffix[1:]} ({reason}); check that the file is whole"
        ) from None
    origin = frame["origin"].astype(str) if "origin" in frame else pd.Series(dtype=str)
    frame.attrs = {
        "title": path.name,
        "citation": "not stated",
        "source": source,
        "synthetic": bool(len(origin) and origin.str.startswith("synthetic").any()),
        "sha256": _sha256(content),
    }
    return frame


def _leave_out(frame: pd.DataFrame, require: Sequence[str]) -> pd.DataFrame:
    for column in require:
        if column not in frame:
            raise BadInput(
                f"[data] require names column '{column}', which is not in the table; "
                f"{did_you_mean(column, map(str, frame.columns))}"
            )
    complete = frame[list(require)].notna().all(axis=1) if require else pd.Series(True, index=frame.index)
    if not complete.all():
        labels = frame.loc[~complete].iloc[:, 0].astype(str)
        frame.attrs["left_out"] = (
            f"{(~complete).sum()} of {len(frame)} rows left out for want of {' or '.join(require)}: {', '.join(labels)}"
        )
    kept = frame.loc[complete].reset_index(drop=True)
    kept.attrs = frame.attrs
    return kept


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
