"""Flags of measurements: the meaning of codes and words for non-detects."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput
from bayesdep.data.limit_text import KINDS, Reading, Rows, column_of, shown

_FLAGS = {
    **dict.fromkeys(["none", "no", "false", "0", "detected", "observed", "=", "in detection range"], "detected"),
    **dict.fromkeys(
        ["left", "below", "<", "yes", "true", "1", "nd", "bdl", "below detection range", "below fit curve range"],
        "left",
    ),
    **dict.fromkeys(["right", "above", ">", "above detection range", "above fit curve range"], "right"),
    **dict.fromkeys(["interval", "between"], "interval"),
}
_YES_OR_NO = {"1", "yes", "true"}
_FEWEST_PAIRS = 5


def read_flags(
    frame: pd.DataFrame, column: str | None, codes: Mapping[str, str] | None, rows: Rows
) -> tuple[np.ndarray, list[Any]]:
    """Read a column of flags.

    Parameters
    ----------
    frame
        The user's table.
    column
        Its name; None where there is none.
    codes
        The meaning of its codes; these override their usual meaning.
    rows
        Its rows.

    Returns
    -------
    meaning : numpy.ndarray
        Shape (rows,): ``"detected"``, ``"left"``, ``"right"`` or ``"interval"``; "" where blank.
    cells : list
        The cells.

    Raises
    ------
    BadInput
        At a flag that is not understood, or whose meaning differs between programs.
    """
    if column is None:
        if codes:
            raise BadInput("flag_codes are given but no column of flags; name it as flag, or leave flag_codes out")
        return np.full(len(frame), "", dtype=object), [None] * len(frame)
    meanings = _meanings(codes or {})
    cells = column_of(frame, column, "flag of non-detects", "flag")
    flags = [_code(cell) for cell in cells]
    unknown = np.array([flag != "" and flag not in meanings for flag in flags])
    rows.refuse(
        unknown & np.array([_is_number(flag) for flag in flags]),
        column,
        lambda row: f"is the code {shown(cells[row])}, which programs use with different meanings",
        'say what every code means, for example flag_codes = {"0" = "detected", "1" = "left", "2" = "right"}',
    )
    rows.refuse(
        unknown,
        column,
        lambda row: f"is {shown(cells[row])}, which is not understood",
        "write detected, left, right or interval, or say what the word means with flag_codes",
    )
    return np.array([meanings.get(flag, "") for flag in flags], dtype=object), cells


def refuse_reversed_codes(
    readings: list[Reading],
    flags: np.ndarray,
    marks: list[Any],
    column: str,
    by: list[Any],
    codes: Mapping[str, str],
    rows: Rows,
) -> None:
    """Refuse yes/no codes that cannot mean "below a limit", judging by the values.

    Values below a limit are smaller than detected values. Consider all pairs of a value with the code and one without
    it, of one analyte on one plate. Where in at least nine in ten pairs the value with the code is the larger, the code
    means something else: above a limit, or that the value was detected.

    Parameters
    ----------
    readings
        The concentrations as read, by row.
    flags
        Shape (rows,), the meaning assumed for their flags.
    marks
        The flags as they are written.
    column
        Their column.
    by
        Each row's analyte (and plate).
    codes
        The meaning of codes as given by the user; these are not questioned.
    rows
        The rows.

    Raises
    ------
    BadInput
        Naming the code and how to say what it means.
    """
    declared = {_code(code) for code in codes}
    plain = [_code(mark) for mark in marks]
    unclear = np.array([code in _YES_OR_NO and code not in declared for code in plain])
    value = np.array([r.low if r.says == "detected" else np.nan for r in readings])
    is_number = ~np.isnan(value)
    with_code = unclear & is_number & (flags == "left")
    without = is_number & ~with_code & (flags != "right") & (flags != "interval")
    frame = pd.DataFrame({"by": pd.factorize(pd.Series(by, dtype=object))[0], "value": value})
    pairs = wrong = 0
    for _, members in frame.groupby("by").groups.items():
        in_group = np.asarray(members)
        a, b = value[in_group[with_code[in_group]]], value[in_group[without[in_group]]]
        pairs += a.size * b.size
        wrong += int((b[:, None] < a[None, :]).sum())
    if pairs < _FEWEST_PAIRS or wrong < 0.9 * pairs:
        return
    row = int(np.flatnonzero(with_code)[0])
    limits = len(np.unique(value[with_code])) <= max(1, with_code.sum() // 4)
    one = plain[row]
    other = next((plain[i] for i in np.flatnonzero(without) if plain[i]), "")
    means = {one: "right"} if limits else {one: "detected"} | ({other: "left"} if other else {})
    listed = ", ".join(f'"{code}" = "{kind}"' for code, kind in means.items())
    raise BadInput(
        f"column '{column}' (flag of non-detects): {shown(marks[row])} in row {rows.number(row)} would say that "
        f"{shown(readings[row].low)} lies below a limit, but {wrong} of {pairs} pairs of values with and without it "
        f"are the other way round; say what the codes mean, for example flag_codes = {{{listed}}}"
    )


def _meanings(codes: Mapping[str, str]) -> dict[str, str]:
    declared = {_code(code): str(kind).strip().lower() for code, kind in codes.items()}
    for code, kind in declared.items():
        if kind not in KINDS:
            raise BadInput(f"flag_codes says that {code!r} means {kind!r}; write detected, left, right or interval")
    usual = dict(_FLAGS)
    if any(_is_number(code) and code not in ("0", "1") for code in declared):
        del usual["1"]  # ambiguous among -1, 0, 1 and 2: above in brms, below elsewhere
    return {**usual, **declared}


def _code(cell: Any) -> str:
    """Return a flag as text for comparison with codes: 2, "2.0" and 2.0 are the same."""
    if not pd.api.types.is_scalar(cell):
        return str(cell)
    if pd.isna(cell):
        return ""
    text = " ".join(str(cell).split()).lower()
    return f"{float(text):.17g}" if _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
