"""A table of measurements becomes a panel: intervals on the log scale, and who, what, when and where of each."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.detection import Detection, read_detection
from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.tables import Column, note, note_lone, provenance, read_columns, refuse_duplicates, role_of
from bayesdep.data.times import order_of_column, order_of_times, refuse_actual_times
from bayesdep.models.parts.covariates import read_covariates, refuse_covariates_of

KINDS = ("detected", "left", "right", "interval")
FLOOR_SHARE = 0.1  # of an analyte's rows with the smallest value, above which it is a suspected floor
_FEW_SAMPLES = 3  # with fewer, wells that agree may do so by chance and by rounding
_FACTORS = ("analyte", "subject", "group", "time", "plate", "analyte_family")


def read_panel(
    frame: pd.DataFrame,
    columns: Mapping[str, str | None],
    meanings: Mapping[str, str],
    *,
    reference: str | None,
    baseline: str | None,
    formula: str | None,
    replicates: bool = False,
    flag_codes: Mapping[str, str] | None,
    beyond_limit: Literal["refuse", "censor"],
) -> xr.Dataset:
    """Read a table with one row per measurement.

    Parameters
    ----------
    frame
        The user's table.
    columns
        The column, or None, for each of ``value``, ``analyte``, ``subject``, ``group``, ``time``, ``plate``,
        ``analyte_family``, ``unit``, ``censored``, ``lod``, ``lloq``, ``uloq``.
    meanings
        What each holds, for messages.
    reference
        The group the others are compared with; needed where there is a group column.
    baseline
        The time the others are compared with; by default the first, by what the labels say
        (:func:`~bayesdep.data.times.order_of_times`).
    formula
        Covariates, as :func:`~bayesdep.models.parts.covariates.read_covariates` reads them.
    replicates
        Whether a person may have several rows of an analyte.
    flag_codes, beyond_limit
        As :func:`~bayesdep.data.detection.read_detection` takes them.

    Returns
    -------
    xarray.Dataset
        By ``measurement``, the detected ones first, then those beyond one limit, then those between two: ``lower``
        and ``upper`` (log concentration), ``kind`` (0 detected, 1 left-, 2 right-, 3 interval-censored), ``lod`` and
        ``uloq`` (log, NaN where unknown), the positions ``analyte_of``, ``subject_of``, ``group_of``, ``time_of`` and
        ``plate_of`` (zero where there is no such column) and ``covariates`` (standardised). By ``covariate``:
        ``covariate_mean`` and ``covariate_sd``. By ``analyte``: ``family_of`` and ``unit``.

    Raises
    ------
    BadInput
        Naming column, row and remedy.
    """
    named = {w: name for w in _FACTORS if (name := columns[w]) is not None}
    contracts = {w: Column(name, "label", meanings[w], role_of(w)) for w, name in named.items()}
    value = columns["value"]
    assert value is not None
    labels = read_columns(frame, contracts)
    rows = len(frame)
    analyte = labels.get("analyte", np.full(rows, value, dtype=object))
    subject = labels.get("subject", np.array([f"row {i + 1}" for i in range(rows)], dtype=object))
    found = read_detection(
        frame,
        value=value,
        analyte=analyte,
        plate=labels.get("plate"),
        flag=columns["censored"],
        flag_codes=flag_codes,
        beyond_limit=beyond_limit,
        **{w: columns[w] for w in ("lod", "lloq", "uloq", "unit")},
    )
    if "time" in labels and "subject" in labels:
        refuse_actual_times(labels["time"], subject, contracts["time"].name, "time")
    _note_floors(frame, found, analyte, value)
    _refuse_repeats(frame, labels, contracts, replicates)
    if replicates:
        _refuse_copies(found, analyte, subject, f"column '{value}' ({meanings['value']})")
    _refuse_wandering(labels, contracts, "group", within="subject")
    _refuse_wandering(labels, contracts, "analyte_family", within="analyte")
    levels = {
        "analyte": _levels(analyte),
        "subject": _levels(subject),
        "group": _with_first(_levels(labels["group"]), reference, "reference", contracts["group"])
        if "group" in labels
        else ["all"],
        "time": _times(frame, labels["time"], baseline, contracts["time"]) if "time" in labels else ["baseline"],
        "plate": _levels(labels["plate"]) if "plate" in labels else ["all"],
        "analyte_family": _levels(labels["analyte_family"]) if "analyte_family" in labels else ["all"],
    }
    _refuse_one_level(levels, labels, contracts)
    if "group" in labels:
        people = np.unique(_positions(subject, levels["subject"]), return_index=True)[1]
        note_lone(frame, labels["group"][people], contracts["group"])
    _refuse_plates_of_one_group(labels, contracts)
    played = {columns[w]: meanings[w] for w in (*_FACTORS, "value")}
    refuse_covariates_of(formula, played, list(frame.columns))
    beside = {
        f"column '{contracts[w].name}' ({contracts[w].what})": labels[w] for w in ("group", "time") if w in labels
    }
    covariates = read_covariates(frame, formula, beside=beside, units=len(levels["subject"]))

    kind = np.array([KINDS.index(k) for k in found.kind])
    position = {
        "analyte": _positions(analyte, levels["analyte"]),
        "subject": _positions(subject, levels["subject"]),
        **{
            w: _positions(labels[w], levels[w]) if w in labels else np.zeros(rows, int)
            for w in ("group", "time", "plate", "analyte_family")
        },
    }
    # The likelihood cuts the measurements into detected, one-sided and interval ones; analyte by analyte within.
    order = np.lexsort((position["subject"], position["analyte"], np.array([0, 1, 1, 2])[kind]))
    first = np.array([np.flatnonzero(position["analyte"] == a)[0] for a in range(len(levels["analyte"]))])
    units = frame[columns["unit"]].astype(str).to_numpy() if columns["unit"] else np.full(rows, "concentration units")
    by_row = {
        "lower": found.lower,
        "upper": found.upper,
        "lod": found.lod,
        "uloq": found.uloq,
        "kind": kind,
        **{f"{w}_of": position[w] for w in ("analyte", "subject", "group", "time", "plate")},
    }
    return xr.Dataset(
        {name: ("measurement", np.asarray(values)[order]) for name, values in by_row.items()}
        | {
            "covariates": (("measurement", "covariate"), covariates.values[order]),
            "covariate_mean": ("covariate", covariates.means),
            "covariate_sd": ("covariate", covariates.sds),
            "family_of": ("analyte", position["analyte_family"][first]),
            "unit": ("analyte", units[first].astype(str)),
        },
        {
            "measurement": order + 1,
            "covariate": np.array(covariates.names, dtype=str),
            **{w: np.array(levels[w], dtype=str) for w in _FACTORS},
        },
        provenance(frame),
    )


def _note_floors(frame: pd.DataFrame, found: Detection, analyte: np.ndarray, value: str) -> None:
    """Note the analytes whose smallest measured value repeats so often that it may stand for values below a limit."""
    seen = found.kind == "detected"
    for name in dict.fromkeys(analyte):
        rows = analyte == name
        measured = found.lower[rows & seen]
        if not len(measured):
            continue
        at_floor, number = int((measured == measured.min()).sum()), int(rows.sum())
        if at_floor > 1 and at_floor > FLOOR_SHARE * number:
            note(
                frame,
                f"column '{value}': the smallest value of {name}, {np.exp(measured.min()):.6g}, stands in {at_floor} "
                f"of its {number} rows ({at_floor / number:.0%}), as a floor put for values below a limit would; it is "
                "read as measured, so flag those rows as non-detects with their limit if it is one",
            )


def _levels(labels: np.ndarray) -> list[str]:
    return list(dict.fromkeys(labels))


def _positions(labels: np.ndarray, levels: list[str]) -> np.ndarray:
    where = {level: i for i, level in enumerate(levels)}
    return np.array([where[label] for label in labels])


def _with_first(levels: list[str], first: str | None, setting: str, column: Column) -> list[str]:
    assert first is not None  # the settings ask for it
    if first not in levels:
        raise BadInput(f"{setting} = '{first}' is not in column '{column.name}'; {did_you_mean(first, levels)}")
    return [first, *(level for level in levels if level != first)]


def _times(frame: pd.DataFrame, labels: np.ndarray, baseline: str | None, column: Column) -> list[str]:
    """Times in their order, the baseline first."""
    times = order_of_times(
        labels,
        baseline,
        order=order_of_column(frame, column.name) if baseline is None else None,
        place=f"column '{column.name}' ({column.what})",
        remedy="name the one that the others are compared with as baseline",
    )
    if times.note:
        note(frame, f"column '{column.name}' ({column.what}): {times.note}")
    return list(times.labels)


def _refuse_repeats(
    frame: pd.DataFrame, labels: Mapping[str, np.ndarray], contracts: Mapping[str, Column], replicates: bool
) -> None:
    """Refuse a person's second row of an analyte (at a time), unless it is another well of the same sample."""
    key = [w for w in ("subject", "analyte", "time") if w in labels]
    if "subject" not in key:
        return
    if not replicates:
        remedy = (
            "leave time out and set replicates = true, for one of the times"
            if "time" in key
            else ("set replicates = true where these are wells of one sample, or name the column of times")
        )
        refuse_duplicates({w: labels[w] for w in key}, contracts, "measurement of", f"keep one row, or {remedy}")
        return
    of = pd.MultiIndex.from_arrays([labels[w] for w in key]).factorize()[0]
    counts = np.bincount(of)
    if (counts == 1).all():
        raise BadInput("replicates = true, but nobody has two rows of an analyte; leave replicates out")
    text = pd.DataFrame({str(i): frame.iloc[:, i].map(str) for i in range(len(frame.columns))})
    for row in np.flatnonzero(text.duplicated().to_numpy()):
        same = np.flatnonzero((text == text.iloc[row]).all(axis=1).to_numpy())
        raise BadInput(
            f"rows {same[0] + 1} and {row + 1} are alike in every column, so they may be one well written twice; keep "
            "one of them, or add a column that names the wells"
        )
    note(
        frame,
        f"{(counts > 1).sum()} of {len(counts)} samples have several rows ({counts.max()} at most), which are modelled "
        "as wells of one sample",
    )


def _refuse_copies(found: Detection, analyte: np.ndarray, subject: np.ndarray, place: str) -> None:
    """Refuse an analyte of which every sample has one value in all its wells: a well written twice is no second."""
    table = pd.DataFrame({"analyte": analyte, "subject": subject, "value": found.lower})[found.kind == "detected"]
    samples = table.groupby(["analyte", "subject"], sort=False)["value"].agg(["size", "min", "max"])
    samples = samples[samples["size"] > 1]
    for name, group in samples.groupby(level="analyte", sort=False):
        if len(group) >= _FEW_SAMPLES and (group["min"] == group["max"]).all():
            raise BadInput(
                f"{place}: in all {len(group)} samples of '{name}' with several wells these have one and the same "
                "value, so they are copies and no wells of their own; keep one row of each sample, and leave "
                "replicates out if no other has several"
            )


def _refuse_wandering(
    labels: Mapping[str, np.ndarray], contracts: Mapping[str, Column], what: str, *, within: str
) -> None:
    """Refuse a label that belongs to a unit but differs between its rows."""
    if what not in labels or within not in labels:
        return
    seen: dict[str, int] = {}
    for row, (unit, label) in enumerate(zip(labels[within], labels[what], strict=True)):
        before = seen.setdefault(unit, row)
        if labels[what][before] != label:
            raise BadInput(
                f"column '{contracts[what].name}' ({contracts[what].what}): {within} '{unit}' is "
                f"'{labels[what][before]}' in row {before + 1} and '{label}' in row {row + 1}; each {within} has one, "
                "so correct the row"
            )


def _refuse_one_level(
    levels: Mapping[str, list[str]], labels: Mapping[str, np.ndarray], contracts: Mapping[str, Column]
) -> None:
    for what in ("group", "time", "plate"):
        if what in labels and len(levels[what]) < 2:
            raise BadInput(
                f"column '{contracts[what].name}' ({contracts[what].what}) is '{levels[what][0]}' throughout, so there "
                "is nothing to compare; leave the column out of the model"
            )
    if "analyte" in labels and len(levels["analyte"]) < 2:
        raise BadInput(
            f"column '{contracts['analyte'].name}' has one analyte, '{levels['analyte'][0]}', so there is nothing to "
            "pool over; leave the column out of the model"
        )


def _refuse_plates_of_one_group(labels: Mapping[str, np.ndarray], contracts: Mapping[str, Column]) -> None:
    """Refuse plates that each hold one group: then no data can tell a plate from a group."""
    if "plate" not in labels or "group" not in labels:
        return
    groups = pd.Series(labels["group"]).groupby(labels["plate"]).nunique()
    if (groups == 1).all():
        raise BadInput(
            f"column '{contracts['plate'].name}' ({contracts['plate'].what}): every plate holds one group only, so a "
            "difference between groups cannot be told from one between plates; leave the plate out of the model only "
            "if the assays were calibrated to each other"
        )
