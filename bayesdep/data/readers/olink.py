"""Olink NPX files in long form: log2 values turned into relative concentrations."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.data.cell_origins import CELL
from bayesdep.data.errors import BadInput
from bayesdep.data.labels import as_label
from bayesdep.data.readers.decimals import find_mark, with_point
from bayesdep.data.readers.draft import Draft
from bayesdep.data.readers.grids import Grid, is_unmeasured, kind_of, shown, text_of
from bayesdep.data.readers.layout import Found, find_table

NAME = "olink"
LAYOUT = "Olink NPX, long"
SOURCE = "github.com/Olink-Proteomics/OlinkRPackage, OlinkAnalyze/inst/extdata/npx_data_long_csv.csv"
UNIT = "2^NPX"
_NEEDED = ("SampleID", "OlinkID", "Assay", "NPX")


def recognise(grids: Sequence[Grid]) -> bool:
    """Tell whether a file is a long Olink NPX file."""
    return any(_header(grid) is not None for grid in grids)


def _header(grid: Grid) -> int | None:
    for row in range(min(len(grid.rows), 20)):
        names = {text_of(cell) for cell in grid.rows[row]}
        if names.issuperset(_NEEDED):
            return row
    return None


def read(grids: Sequence[Grid], _: str | None) -> Draft:
    """Read an Olink NPX file.

    ``concentration = 2**NPX`` and ``lod = 2**LOD``: relative concentrations, whose ratios between people are right and
    whose unit is arbitrary. Control samples are left out; a value below its limit is read as one below it.

    Parameters
    ----------
    grids
        The file's sheets.

    Returns
    -------
    Draft
        The measurements.

    Raises
    ------
    BadInput
        When a value or a limit is no number.
    """
    grid = next(grid for grid in grids if _header(grid) is not None)
    at = _header(grid)
    assert at is not None
    found = find_table(grid, header=at + grid.first)
    keep, notes = _without_controls(found)
    npx = _numbers(found, "NPX", keep)
    columns: dict[str, Any] = {
        "sample": [found.cells("SampleID")[i] for i in keep],
        "analyte": _analytes(found, keep),
        "concentration": [None if np.isnan(x) else float(2.0**x) for x in npx],
        "unit": UNIT,
        CELL: [grid.place(found.rows[i], found.column("NPX")) for i in keep],
    }
    if "PlateID" in found.names:
        columns["plate"] = [found.cells("PlateID")[i] for i in keep]
    settings: dict[str, Any] = {}
    notes.append("values are NPX, on a log2 scale: concentrations are 2^NPX, in an arbitrary unit of each analyte")
    limit = next((name for name in ("LOD", "MaxLOD", "PlateLOD") if name in found.names), None)
    if limit is not None:
        lod = _numbers(found, limit, keep)
        columns["lod"] = [None if np.isnan(x) else float(2.0**x) for x in lod]
        below = int(np.sum(npx < lod))
        settings["beyond_limit"] = "censor"
        notes.append(f"{below} of {len(keep)} values are below their limit ({limit}) and count as not detected")
    if "QC_Warning" in found.names:
        warned = sum(text_of(found.cells("QC_Warning")[i]).upper() in ("WARN", "WARNING", "MANUAL_WARN") for i in keep)
        if warned:
            notes.append(f"{warned} of {len(keep)} values have a QC warning and were read like the others")
    return Draft(pd.DataFrame(columns), LAYOUT, SOURCE, notes=[*notes, *found.notes], settings=settings)


def _without_controls(found: Found) -> tuple[list[int], list[str]]:
    """Rows of people's samples, as positions in the table's rows."""
    kinds = found.cells("Sample_Type") if "Sample_Type" in found.names else [None] * len(found.rows)
    names = [text_of(cell).upper() for cell in found.cells("SampleID")]
    keep = [
        i
        for i, (kind, name) in enumerate(zip(kinds, names, strict=True))
        if (text_of(kind).upper() in ("SAMPLE", "") if kind is not None else True)
        and not name.startswith("CONTROL_SAMPLE")
    ]
    if not keep:
        raise BadInput(
            f"{found.grid.title} holds control samples only (Sample_Type); read the file of the people's samples"
        )
    gone = len(found.rows) - len(keep)
    return keep, [f"{gone} rows of control samples left out"] if gone else []


def _analytes(found: Found, keep: list[int]) -> list[str]:
    """Names of assays; one that is on several panels has its OlinkID behind it."""
    assay = [as_label(found.cells("Assay")[i]) for i in keep]
    olink = [as_label(found.cells("OlinkID")[i]) for i in keep]
    ids: dict[str, set[str]] = {}
    for name, number in zip(assay, olink, strict=True):
        ids.setdefault(name, set()).add(number)
    return [f"{n} ({number})" if len(ids[n]) > 1 else n for n, number in zip(assay, olink, strict=True)]


def _numbers(found: Found, name: str, keep: list[int]) -> np.ndarray:
    """A column of logarithms."""
    column = found.column(name)
    cells = [found.cells(name)[i] for i in keep]
    return read_logs(cells, lambda at: found.grid.place(found.rows[keep[at]], column), name)


def read_logs(cells: Sequence[Any], place_of: Callable[[int], str], name: str) -> np.ndarray:
    """Read logarithms: numbers of either sign, with any decimal mark.

    Parameters
    ----------
    cells
        As they stand.
    place_of
        From a cell's position in the sequence to where it is, for messages.
    name
        What they are.

    Returns
    -------
    numpy.ndarray
        NaN where a cell is empty.

    Raises
    ------
    BadInput
        At the first cell that is no number, or none on a log2 scale.
    """
    cells = [None if is_unmeasured(cell) else cell for cell in cells]
    mark, _ = find_mark(cells, place_of)
    values = []
    for at, cell in enumerate(cells):
        plain = with_point(cell, mark)
        try:
            values.append(np.nan if plain is None else float(plain))
        except (TypeError, ValueError):
            raise BadInput(
                f"{place_of(at)} ({name}): {shown(cell)} is no number; correct it, or empty the cell"
            ) from None
        if abs(values[-1]) > 150 or kind_of(cell) in ("date", "odd"):
            raise BadInput(
                f"{place_of(at)} ({name}): {shown(cell)} is no value on a log2 scale; correct it, or empty the cell"
            )
    return np.array(values)
