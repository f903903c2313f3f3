"""Exports of MSD Discovery Workbench: a row per well, the detection range beside it."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.data.cell_origins import CELL
from bayesdep.data.errors import BadInput
from bayesdep.data.readers.decimals import find_mark, with_point
from bayesdep.data.readers.draft import Draft
from bayesdep.data.readers.grids import Grid, is_unmeasured, kind_of, text_of
from bayesdep.data.readers.layout import Found, find_table, split_unit, wells
from bayesdep.data.readers.roles import key

NAME = "msd"
LAYOUT = "MSD Discovery Workbench"
SOURCE = (
    "github.com/Benchling-Open-Source/allotropy, tests/parsers/msd_workbench/testdata/msd_workbench_test_1.csv; "
    "github.com/rgt47/zzmesoimpute, inst/tinytest/test-read_meso.R"
)
_NEEDED = ("sample", "assay", "well", "calcconcentration")
_NOMINAL = ("concentration", "standardconcentration")
_STANDARD = re.compile(r"s\d{2,3}|cal[- ]?\d+|std[- ]?\d+|standard.*|calibrator.*", re.IGNORECASE)
_FLAGS = {
    "in detection range": "detected",
    "below detection range": "left",
    "below fit curve range": "left",
    "above detection range": "right",
    "above fit curve range": "right",
}
_SLACK = (0.99, 1.01)  # for limits and values that were rounded
_GROUPS_OF_PEOPLE = ("unknown", "unknowns", "sample", "samples", "")


def recognise(grids: Sequence[Grid]) -> bool:
    """Tell whether a file is an export of MSD Discovery Workbench."""
    return any(_header(grid) is not None for grid in grids)


def _header(grid: Grid) -> int | None:
    for row in range(min(len(grid.rows), 60)):
        if {key(split_unit(text_of(cell))[0]) for cell in grid.rows[row]}.issuperset(_NEEDED):
            return row
    return None


def read(grids: Sequence[Grid], _: str | None) -> Draft:
    """Read an export of MSD Discovery Workbench.

    Calculated concentrations of samples; standards are left out (by their group, or named S001 and having a nominal
    concentration). Values outside the detection range are read as beyond the plate's limits of detection
    (``Detection Limits: Calc. Low`` and ``Calc. High``) where the file has them.

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
        When a detection range is not known, or limits of diluted samples could be those of the sample or of the curve.
    """
    grid = next(grid for grid in grids if _header(grid) is not None)
    at = _header(grid)
    assert at is not None
    found = find_table(grid, header=at + grid.first)
    of = {key(name): name for name in found.names if name}
    keep, notes = _without_standards(found, of)

    def cells(word: str) -> list[Any]:
        column = found.cells(of[word])
        return [column[i] for i in keep]

    value = of["calcconcentration"]
    columns: dict[str, Any] = {
        "sample": cells("sample"),
        "well": cells("well"),
        "analyte": cells("assay"),
        "concentration": cells("calcconcentration"),
        CELL: [grid.place(found.rows[i], found.column(value)) for i in keep],
    }
    if unit := found.units[found.column(value)]:
        columns["unit"] = unit
    if "platename" in of:
        columns["plate"] = cells("platename")
    elif (plate := _plate_above(grid, at)) is not None:
        columns["plate"] = plate
    for word, name in (("lod", "detectionlimitscalclow"), ("uloq", "detectionlimitscalchigh")):
        if name in of:
            columns[word] = cells(name)
    if "detectionrange" in of:
        columns["censored"] = [_flag(found, i, of["detectionrange"]) for i in keep]
        columns["concentration"] = [  # a number outside the range is extrapolated, and no limit
            None if flag in ("left", "right") else cell
            for flag, cell in zip(columns["censored"], columns["concentration"], strict=True)
        ]
    if "dilution" in of and {"lod", "uloq"} & set(columns):
        notes += _scale_limits(found, keep, of["dilution"], columns)
    return Draft(pd.DataFrame(columns), LAYOUT, SOURCE, notes=[*notes, *found.notes])


def _without_standards(found: Found, of: dict[str, str]) -> tuple[list[int], list[str]]:
    """Rows of people's samples that were not excluded, as positions in the table's rows."""
    blank = [None] * len(found.rows)
    groups = found.cells(of["samplegroup"]) if "samplegroup" in of else blank
    names = [text_of(cell) for cell in found.cells(of["sample"])]
    nominal = next((found.cells(of[word]) for word in _NOMINAL if word in of), blank)
    excluded = (
        [text_of(c).casefold() in ("yes", "true", "1", "x") for c in found.cells(of["excluded"])]
        if "excluded" in of
        else [False] * len(blank)
    )
    standard = []
    for group, name, amount in zip(groups, names, nominal, strict=True):
        is_given = not is_unmeasured(amount) and kind_of(amount) == "number" and text_of(amount) not in ("0", "0.0")
        of_people = text_of(group).casefold() in _GROUPS_OF_PEOPLE
        standard.append(not of_people or (bool(_STANDARD.fullmatch(name)) and is_given))
    keep = [i for i, out in enumerate(standard) if not out and not excluded[i]]
    if not keep:
        raise BadInput(f"{found.grid.title} holds standards and excluded wells only; export the samples (unknowns)")
    notes = []
    if any(standard):
        notes.append(f"{wells(sum(standard))} of standards and controls left out")
    if left := sum(out and not std for out, std in zip(excluded, standard, strict=True)):
        notes.append(f"{wells(left)} marked as excluded left out")
    return keep, notes


def _plate_above(grid: Grid, header: int) -> str | None:
    """The plate that the line above the header names, as "Plate_2BO40AW287"."""
    for row in range(header):
        for cell in grid.rows[row]:
            text = text_of(cell)
            if text.casefold().startswith("plate_") or re.match(
                r"plate (?:id|name|barcode)?:? ?\S+", text, re.IGNORECASE
            ):
                return text.removeprefix("Plate_")
    return None


def _flag(found: Found, i: int, name: str) -> str:
    cell = found.cells(name)[i]
    if is_unmeasured(cell):
        return ""
    flag = _FLAGS.get(" ".join(text_of(cell).casefold().split()))
    if flag is None:
        raise BadInput(
            f"{found.grid.place(found.rows[i], found.column(name))} ({name}) is not one of the detection ranges "
            f"({', '.join(_FLAGS)}); correct it, or empty the cell"
        )
    return flag


def _scale_limits(found: Found, keep: list[int], name: str, columns: dict[str, Any]) -> list[str]:
    """Multiply the limits of diluted samples by their dilution where the file shows that they are the curve's.

    Concentrations are those before dilution. Whether limits are too is not stated: it follows where values in the
    detection range lie within limits of one kind only.
    """
    factors = np.array([_dilution(found, i, name) for i in keep])
    if (factors == 1).all():
        return []
    low, high = (_as_numbers(columns.get(word), len(keep)) for word in ("lod", "uloq"))
    value = _as_numbers(columns["concentration"], len(keep))
    seen = np.isfinite(value) & (factors != 1)
    fits = {
        kind: not ((value < low * by * _SLACK[0]) | (value > high * by * _SLACK[1]))[seen].any()
        for kind, by in (("as written", 1.0), ("times dilution", factors))
    }
    if fits["as written"] == fits["times dilution"]:
        first = keep[int(np.flatnonzero(factors != 1)[0])]
        raise BadInput(
            f"{found.grid.place(found.rows[first], found.column(name))} says that a sample was diluted, and the file "
            "does not show whether its limits of detection are those of the sample or of the standard curve; multiply "
            "the columns of limits by the dilution if they are the curve's, and set the column Dilution to 1"
        )
    if fits["as written"]:
        return [
            "limits of diluted samples were read as they stand: values in the detection range lie within these only"
        ]
    for word in ("lod", "uloq"):
        if word in columns:
            numbers = _as_numbers(columns[word], len(keep)) * factors
            columns[word] = [None if np.isnan(x) else float(x) for x in numbers]
    count = int((factors != 1).sum())
    return [f"limits of {wells(count)} with diluted samples are those of the standard curve times the dilution"]


def _dilution(found: Found, i: int, name: str) -> float:
    text = text_of(found.cells(name)[i]).removeprefix("1:").removesuffix("x")
    try:
        factor = float(text) if text else 1.0
    except ValueError:
        factor = np.nan
    if factor == 0:
        return 1.0
    if not 1 <= factor < np.inf:
        raise BadInput(
            f"{found.grid.place(found.rows[i], found.column(name))} is no dilution; write a number such as 4, or 1:4"
        )
    return factor


def _as_numbers(cells: list[Any] | None, count: int) -> np.ndarray:
    """Cells as numbers; NaN where there is none."""
    if cells is None:
        return np.full(count, np.nan)
    plain = [None if is_unmeasured(cell) or kind_of(cell) != "number" else cell for cell in cells]
    mark, _ = find_mark(plain, lambda at: f"row {at + 1}")
    return np.array([np.nan if (c := with_point(cell, mark)) is None else float(c) for cell in plain])
