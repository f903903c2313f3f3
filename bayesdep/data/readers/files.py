"""A path, or a dataframe -> the grids of what it holds, and the sheets that are asked for."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bayesdep.data.budget import available_memory
from bayesdep.data.errors import BadInput, did_you_mean, setting
from bayesdep.data.files import read_whole
from bayesdep.data.parquet_files import read_parquet
from bayesdep.data.readers.grids import Grid, is_blank, text_of
from bayesdep.data.readers.layout import quoted
from bayesdep.data.readers.text_files import read_text
from bayesdep.data.readers.workbooks import read_workbook
from bayesdep.data.tables import as_frame

TEXT = (".csv", ".tsv", ".txt")
WORKBOOKS = (".xlsx", ".xlsm")


@dataclass(frozen=True)
class Opened:
    """A file that was opened.

    Parameters
    ----------
    name
        Its name without its folder, which is the user's own business.
    grids
        Its sheets.
    sha256
        The hash of its content.
    """

    name: str
    grids: tuple[Grid, ...]
    sha256: str

    @property
    def is_synthetic(self) -> bool:
        """Whether a line says that the data are synthetic."""
        return any(
            isinstance(cell, str) and "synthetic" in cell.casefold()
            for grid in self.grids
            for row in [*grid.rows[:30], *grid.rows[-30:]]
            for cell in row
        )


def open_file(path: Any, *, delimiter: str | None = None, encoding: str | None = None) -> Opened:
    """Open a file of measurements, or take a dataframe.

    Parameters
    ----------
    path
        A .csv, .tsv, .txt, .xlsx, .xlsm or .parquet file, or a dataframe.
    delimiter, encoding
        As stated by the user; None to find them.

    Returns
    -------
    Opened
        Its sheets.

    Raises
    ------
    BadInput
        When it cannot be read.
    """
    if not isinstance(path, (str, os.PathLike)):
        frame = as_frame(path)
        digest = hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()
        return Opened("a dataframe", (_grid_of(frame, "a dataframe"),), digest)
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (*TEXT, *WORKBOOKS, ".parquet"):
        raise BadInput(f"'{path.name}' is no .csv, .tsv, .txt, .xlsx or .parquet file; save the table as one of these")
    try:
        content = read_whole(path, available_memory() / 2)
        if suffix in WORKBOOKS:
            grids = tuple(read_workbook(content, path.name))
        elif suffix in TEXT:
            grids = (read_text(content, path.name, delimiter, encoding),)
        else:
            grids = (_grid_of(read_parquet(content), path.name),)
    except FileNotFoundError:
        raise BadInput(
            f"there is no file '{path}'; check the path, which is relative to the folder this runs in"
        ) from None
    except OSError as problem:
        raise BadInput(f"file '{path}' cannot be read ({problem.strerror}); check the path") from None
    except BadInput as problem:
        raise BadInput(f"'{path.name}': {problem}" if path.name not in str(problem) else str(problem)) from None
    except (ValueError, UnicodeError) as problem:
        reason = next(iter(str(problem).splitlines()), type(problem).__name__)
        raise BadInput(
            f"'{path.name}' cannot be read as {suffix[1:]} ({reason}); check that the file is whole"
        ) from None
    return Opened(path.name, grids, hashlib.sha256(content).hexdigest())


def _grid_of(frame: pd.DataFrame, name: str) -> Grid:
    """A dataframe as a grid: its names are the first row, as in the spreadsheet of it."""
    cells = frame.astype(object).where(frame.notna(), None)
    rows = [[str(column) for column in frame.columns], *(list(row) for row in cells.itertuples(index=False))]
    return Grid(name, None, rows)


def choose_sheets(opened: Opened, sheet: str | Sequence[str] | None) -> tuple[list[Grid], list[str]]:
    """Choose the sheets of a file.

    Parameters
    ----------
    opened
        The file.
    sheet
        A sheet's name, several, ``"all"`` for all that are not hidden, or None where only one holds anything.

    Returns
    -------
    grids : list of Grid
        The sheets.
    notes : list of str
        What to say of hidden sheets.

    Raises
    ------
    BadInput
        When there is no such sheet, or several and none is named.
    """
    filled = [grid for grid in opened.grids if any(not is_blank(cell) for row in grid.rows for cell in row)]
    if not filled:
        raise BadInput(f"'{opened.name}' is empty; check the file")
    names = [str(grid.sheet) for grid in filled]
    if filled[0].sheet is None:
        if sheet is not None:
            raise BadInput(f"{setting('sheet', sheet)}, but '{opened.name}' is no workbook; leave sheet out")
        return filled, []
    visible = [grid for grid in filled if not grid.is_hidden]
    hidden = len(filled) - len(visible)
    notes = [f"{hidden} hidden sheet{'s' if hidden > 1 else ''} not read"] if hidden else []
    if sheet is None:
        if len(visible) > 1:
            some = quoted([str(grid.sheet) for grid in visible])
            raise BadInput(
                f"'{opened.name}' has {len(visible)} sheets ({some}); say which with "
                f"{setting('sheet', visible[0].sheet)}, or "
                f"{setting('sheet', 'all')} if they are plates of one panel"
            )
        if not visible:
            raise BadInput(f"'{opened.name}' has hidden sheets only; name one with {setting('sheet', names[0])}")
        return visible, notes
    if sheet == "all" and "all" not in names:
        return visible, notes
    chosen = []
    for name in [sheet] if isinstance(sheet, str) else sheet:
        found = [grid for grid in filled if text_of(grid.sheet) == text_of(name)]
        if not found:
            raise BadInput(f"{setting('sheet', name)} is not in '{opened.name}'; {did_you_mean(str(name), names)}")
        chosen += found
    return chosen, []
