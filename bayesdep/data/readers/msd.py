"""Exports of MSD Discovery Workbench: a row per well, the detection range beside it."""

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bayesdep.data.cell_origins import CELL
from bayesdep.data.errors import BadInput
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
        When a detection range is not known, or limits of diluted samples are not comparable.
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
        _refuse_diluted(found, keep, of["dilution"])
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


def _refuse_diluted(found: Found, keep: list[int], name: str) -> None:
    """Refuse diluted samples: concentrations are those before dilution, limits those of the standard curve."""
    for i in keep:
        dilution = text_of(found.cells(name)[i]).removeprefix("1:")
        if dilution not in ("", "1", "1.0", "0"):
            raise BadInput(
                f"{found.grid.place(found.rows[i], found.column(name))} says that a sample was diluted, and the limits "
                "of detection are those of the standard curve; multiply the columns of limits by the dilution, and set "
                "the column Dilution to 1"
            )
