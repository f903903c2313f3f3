"""What is known of people and of limits from other tables, joined to measurements."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput, did_you_mean, setting
from bayesdep.data.labels import as_label
from bayesdep.data.readers.draft import LIMIT_COLUMNS, Draft
from bayesdep.data.readers.layout import Found
from bayesdep.data.readers.roles import pick
from bayesdep.data.tables import as_frame

_WHAT = {"group": "groups", "time": "times", "plate": "plates"}


def join_people(draft: Draft, found: Found) -> None:
    """Add groups, times and covariates from a table with a row per sample or person.

    Parameters
    ----------
    draft
        The measurements, changed in place. Their ``sample`` (or ``subject``) is sought in the table.
    found
        The other table: a column of samples or of people, and any others.

    Raises
    ------
    BadInput
        When it has no such column, names a sample twice, lacks one, or states again what the measurements have.
    """
    frame = draft.frame
    mine = "sample" if "sample" in frame else "subject"
    title = f"people ({found.grid.title})"
    person = pick(found, "subject", None, "people", argument="subject")
    sample = pick(found, "sample", None, "samples", argument="sample")
    key = sample or person
    if key is None:
        raise BadInput(f"{title} has no column of samples or people; name it 'sample' or 'subject'")
    of: dict[str, int] = {}
    for row, cell in enumerate(found.cells(key)):
        label = as_label(cell)
        if label in of:
            raise BadInput(
                f"{title} has '{label}' in rows {found.rows[of[label]] + found.grid.first} and "
                f"{found.rows[row] + found.grid.first}; keep one of them"
            )
        of[label] = row
    labels = [as_label(cell) for cell in frame[mine]]
    strangers = [label for label in dict.fromkeys(labels) if label not in of]
    if strangers:
        raise BadInput(
            f"{title} lacks {len(strangers)} of {len(set(labels))} samples, first '{strangers[0]}'; "
            f"{did_you_mean(strangers[0], of)}, add them, or leave them out with {setting('leave_out', [strangers[0]])}"
        )
    at = np.array([of[label] for label in labels])
    roles = {word: pick(found, word, None, what, taken=(key,)) for word, what in _WHAT.items()}
    named = {name: word for word, name in roles.items() if name is not None}
    for name in found.names:
        if not name or name == key:
            continue
        word = "subject" if name == person else named.get(name, name)
        if word in frame and word not in ("subject",):
            raise BadInput(
                f"{title}: column '{name}' states the {word} of samples, which the measurements have too; leave one out"
            )
        cells = found.cells(name)
        frame[word] = pd.Series([cells[row] for row in at], dtype=object)
    if "subject" not in frame:
        frame["subject"] = frame[mine]
    rest = len(of) - len(set(labels))
    if rest:
        draft.notes.append(f"{rest} row{'s' if rest > 1 else ''} of the people's table without a measurement")


def join_limits(draft: Draft, limits: Any) -> None:
    """Add limits of detection from a table, or from a mapping of analytes to limits.

    Parameters
    ----------
    draft
        The measurements, changed in place.
    limits
        ``{"IL-6": 0.64}``, or a table with columns ``analyte`` (and ``plate``) and ``lod``, ``lloq`` or ``uloq``.

    Raises
    ------
    BadInput
        When an analyte has no limit in it, or the measurements have limits of their own.
    """
    from bayesdep.data.detection import add_limits

    if isinstance(limits, Mapping):
        limits = pd.DataFrame({"analyte": list(limits), "lod": list(limits.values())})
    table = as_frame(limits)
    own = [word for word in LIMIT_COLUMNS if word in draft.frame and word in table]
    if own:
        raise BadInput(f"limits states the {own[0]}, which the file has too; leave limits out, or that column of it")
    attrs = draft.frame.attrs
    draft.frame = add_limits(draft.frame, table)
    draft.frame.attrs = attrs


def spread_limits(draft: Draft, found: Found, analytes: Mapping[str, int]) -> None:
    """Write limits that stand in rows of a wide sheet beside every measurement of their analyte.

    Parameters
    ----------
    draft
        The measurements, changed in place.
    found
        The sheet's table, with its rows of limits.
    analytes
        The column of each analyte.

    Raises
    ------
    BadInput
        When a row of limits names a plate that is none, or two rows state one limit.
    """
    frame = draft.frame
    stated: dict[tuple[str, str], dict[str, Any]] = {}
    plates = [as_label(c) for c in dict.fromkeys(frame["plate"])] if "plate" in frame else []
    for word, rest, row in found.limits:
        plate = _plate_of(found, rest, row, plates)
        if (word, plate) in stated:
            raise BadInput(
                f"{found.grid.title}: row {row + found.grid.first} states the {word} again; keep one such row"
            )
        stated[word, plate] = {name: found.grid.cell(row, column) for name, column in analytes.items()}
    for word in dict.fromkeys(word for word, _ in stated):
        of_all = stated.get((word, ""), {})
        frame[word] = pd.Series(
            [
                stated.get((word, as_label(plate) if plate is not None else ""), of_all).get(name)
                for name, plate in zip(
                    frame["analyte"], frame["plate"] if "plate" in frame else [None] * len(frame), strict=True
                )
            ],
            dtype=object,
        )
    if stated:
        listed = ", ".join(str(row + found.grid.first) for _, _, row in found.limits)
        draft.notes.append(f"limits ({', '.join(dict.fromkeys(w for w, _ in stated))}) read from row {listed}")


def _plate_of(found: Found, rest: str, row: int, plates: list[str]) -> str:
    """The plate that a row of limits is of: the words after "LOD", without units and brackets; "" for all."""
    import re

    words = re.sub(r"\(.*?\)|\[.*?\]|[:,;=]", " ", rest).strip()
    words = re.sub(r"^(?:[fpnuµμm]?g/[a-zA-Z]+)$", "", words)
    if not words:
        return ""
    for plate in plates:
        if words.casefold() in (plate.casefold(), f"plate {plate}".casefold()):
            return plate
    raise BadInput(
        f"{found.grid.title}: row {row + found.grid.first} states limits of '{words}', which is no plate; name the row "
        f"'LOD' if it holds for all samples, or give {setting('limits', {'IL-6': 0.64})}"
    )
