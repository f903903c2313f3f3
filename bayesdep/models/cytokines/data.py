"""A table of measurements becomes a panel: intervals on the log scale, and who, what, when and where of each."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.detection import Detection, read_detection
from bayesdep.data.errors import BadInput, did_you_mean, truth
from bayesdep.data.tables import (
    Column,
    as_frame,
    note,
    note_lone,
    provenance,
    read_columns,
    refuse_duplicates,
    role_of,
)
from bayesdep.data.times import order_of_column, order_of_times, refuse_actual_times
from bayesdep.models.cytokines.settings import CytokinesSettings
from bayesdep.models.parts.contrasts import refuse_without_correlation
from bayesdep.models.parts.covariates import Covariates, read_covariates, refuse_covariates_of
from bayesdep.models.parts.settings import column_fields
from bayesdep.numerics.exact_fit import is_explained_exactly

KINDS = ("detected", "left", "right", "interval")
FLOOR_SHARE = 0.1  # of an analyte's rows with the lowest value, above which it is a suspected floor
_FEW_SAMPLES = 3  # with fewer, wells that agree may do so by chance and by rounding
_FACTORS = ("analyte", "subject", "group", "time", "plate", "analyte_family")
_SECTION = np.array([0, 1, 1, 2])  # of each kind: the likelihood cuts measurements into detected, one-sided, interval

type _Labels = Mapping[str, np.ndarray]
type _Contracts = Mapping[str, Column]


def prepare(settings: CytokinesSettings, table: Any) -> xr.Dataset:
    """Turn a table with one row per measurement into a panel.

    Parameters
    ----------
    settings
        The model's settings.
    table
        A dataframe.

    Returns
    -------
    xarray.Dataset
        As :meth:`bayesdep.models.cytokines.model.Cytokines.prepare` returns it.

    Raises
    ------
    BadInput
        Naming column, row and remedy.
    """
    data = read_panel(settings, as_frame(table))
    groups, analytes = data.sizes["group"], data.sizes["analyte"]
    for name in ("group_mean", "group_effect", "interaction_mean", "interaction"):
        if name in settings.priors:
            refuse_without_correlation(settings.priors[name], name, groups - 1, f"{groups} groups")
    if settings.expected_nonzero is not None and settings.expected_nonzero >= analytes:
        raise BadInput(
            f"expected_nonzero = {settings.expected_nonzero:g}, of {analytes} analytes; fewer than all can be expected "
            "to differ, or else use effects = 'normal'"
        )
    if settings.substitute is not None:
        data = substituted(data, settings.substitute)
    return with_contrasts(data, own_centres=not settings.is_pooled)


def read_panel(settings: CytokinesSettings, frame: pd.DataFrame) -> xr.Dataset:
    """Read a table with one row per measurement.

    Parameters
    ----------
    settings
        The model's settings.
    frame
        The user's table.

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
    meanings = column_fields(settings)
    names = {w: getattr(settings, w) for w in _FACTORS if getattr(settings, w) is not None}
    contracts = {w: Column(name, "label", meanings[w], role_of(w)) for w, name in names.items()}
    labels = read_columns(frame, contracts)
    # without a column of analytes all values are one analyte's; without one of subjects every row is a person's
    analyte = labels.get("analyte", np.full(len(frame), settings.value, dtype=object))
    subject = labels.get("subject", np.array([f"row {i + 1}" for i in range(len(frame))], dtype=object))
    detection = read_detection(
        frame,
        value=settings.value,
        analyte=analyte,
        plate=labels.get("plate"),
        flag=settings.censored,
        flag_codes=settings.flag_codes,
        beyond_limit=settings.beyond_limit,
        **{w: getattr(settings, w) for w in ("lod", "lloq", "uloq", "unit")},
    )
    if "time" in labels and "subject" in labels:
        refuse_actual_times(labels["time"], subject, contracts["time"].name, "time")
    _note_floors(frame, detection, analyte, settings.value)
    _refuse_repeats(frame, labels, contracts, settings.replicates)
    if settings.replicates:
        _refuse_copies(detection, analyte, subject, f"column '{settings.value}' ({meanings['value']})")
    _refuse_inconsistent(labels, contracts, "group", within="subject")
    _refuse_inconsistent(labels, contracts, "analyte_family", within="analyte")
    levels = _levels_of_factors(settings, frame, labels | {"analyte": analyte, "subject": subject}, contracts)
    _refuse_one_level(levels, labels, contracts)
    if "group" in labels:
        people = np.unique(_positions(subject, levels["subject"]), return_index=True)[1]
        note_lone(frame, labels["group"][people], contracts["group"])
    _refuse_plates_of_one_group(labels, contracts)
    roles = {getattr(settings, w): meanings[w] for w in (*_FACTORS, "value")}
    refuse_covariates_of(settings.covariates, roles, list(frame.columns))
    beside = {
        f"column '{contracts[w].name}' ({contracts[w].what})": labels[w] for w in ("group", "time") if w in labels
    }
    covariates = read_covariates(frame, settings.covariates, beside=beside, units=len(levels["subject"]))
    position = {
        w: _positions(values, levels[w]) for w, values in (labels | {"analyte": analyte, "subject": subject}).items()
    }
    _refuse_no_residual(detection, position, levels, f"column '{settings.value}' ({meanings['value']})")
    return _panel_of(settings, frame, detection, covariates, levels, position)


def _levels_of_factors(
    settings: CytokinesSettings, frame: pd.DataFrame, labels: _Labels, contracts: _Contracts
) -> dict[str, list[str]]:
    """The labels of each factor in their order: the reference group first, times in time's order."""
    levels = {"group": ["all"], "time": ["baseline"], "plate": ["all"], "analyte_family": ["all"]}
    levels |= {w: _levels(values) for w, values in labels.items() if w != "time"}
    if "group" in labels:
        levels["group"] = _with_first(levels["group"], settings.reference, "reference", contracts["group"])
    if "time" in labels:
        levels["time"] = _times(frame, labels["time"], settings.baseline, contracts["time"])
    return {w: levels[w] for w in _FACTORS}


def _panel_of(
    settings: CytokinesSettings,
    frame: pd.DataFrame,
    detection: Detection,
    covariates: Covariates,
    levels: Mapping[str, list[str]],
    position: Mapping[str, np.ndarray],
) -> xr.Dataset:
    """The panel, measurements sorted by how they were detected and analyte by analyte within."""
    kind = np.array([KINDS.index(k) for k in detection.kind])
    nowhere = np.zeros(len(frame), int)
    order = np.lexsort((position["subject"], position["analyte"], _SECTION[kind]))
    first = np.array([np.flatnonzero(position["analyte"] == a)[0] for a in range(len(levels["analyte"]))])
    units = frame[settings.unit].astype(str).to_numpy() if settings.unit else np.full(len(frame), "concentration units")
    by_row = {
        "lower": detection.lower,
        "upper": detection.upper,
        "lod": detection.lod,
        "uloq": detection.uloq,
        "kind": kind,
        **{f"{w}_of": position.get(w, nowhere) for w in ("analyte", "subject", "group", "time", "plate")},
    }
    return xr.Dataset(
        {name: ("measurement", np.asarray(values)[order]) for name, values in by_row.items()}
        | {
            "covariates": (("measurement", "covariate"), covariates.values[order]),
            "covariate_mean": ("covariate", covariates.means),
            "covariate_sd": ("covariate", covariates.sds),
            "family_of": ("analyte", position.get("analyte_family", nowhere)[first]),
            "unit": ("analyte", units[first].astype(str)),
        },
        {
            "measurement": order + 1,
            "covariate": np.array(covariates.names, dtype=str),
            **{w: np.array(levels[w], dtype=str) for w in _FACTORS},
        },
        provenance(frame),
    )


def substituted(data: xr.Dataset, substitute: Literal["half", "root2"]) -> xr.Dataset:
    """Put a number for each non-detect: its limit divided by 2 or by the square root of 2.

    Parameters
    ----------
    data
        As :func:`read_panel` returns it.
    substitute
        ``"half"`` or ``"root2"``.

    Returns
    -------
    xarray.Dataset
        With those values as detected ones, sorted anew.
    """
    is_low = data["kind"] == 1
    fill = data["upper"] - np.log({"half": 2.0, "root2": np.sqrt(2.0)}[substitute])
    data = data.assign({end: data[end].where(~is_low, fill) for end in ("lower", "upper")})
    data = data.assign(kind=data["kind"] * ~is_low)  # 0 is detected
    return data.isel(measurement=np.argsort(_SECTION[data["kind"].values], kind="stable"))


def with_contrasts(data: xr.Dataset, *, own_centres: bool) -> xr.Dataset:
    """Add to a panel what the model's build needs: centres, group codes, and dims for contrasts.

    Parameters
    ----------
    data
        As :func:`read_panel` returns it.
    own_centres
        Whether each analyte has a centre of its own, or all have one.

    Returns
    -------
    xarray.Dataset
        With ``centre``, ``group_code`` and dims ``comparison`` and ``later``.
    """
    logs = np.where(np.isfinite(data["upper"]), data["upper"], data["lower"])
    centre_of = data["analyte_of"].values if own_centres else np.zeros(len(logs), int)
    centres = np.bincount(centre_of, logs) / np.bincount(centre_of)
    people = np.zeros(data.sizes["group"])
    subject, first = np.unique(data["subject_of"].values, return_index=True)
    np.add.at(people, data["group_of"].values[first], 1 / len(subject))
    code = np.eye(data.sizes["group"])[:, 1:] - people[1:]
    return data.assign_coords(comparison=data["group"].values[1:], later=data["time"].values[1:]).assign(
        centre=("analyte", centres if own_centres else np.full(data.sizes["analyte"], centres[0])),
        group_code=(("group", "comparison"), code),
    )


def _note_floors(frame: pd.DataFrame, detection: Detection, analyte: np.ndarray, value: str) -> None:
    """Note the analytes whose lowest measured value repeats so often that it may stand for values below a limit."""
    is_detected = detection.kind == "detected"
    for name in dict.fromkeys(analyte):
        rows = analyte == name
        measured = detection.lower[rows & is_detected]
        if not len(measured):
            continue
        at_floor, number = int((measured == measured.min()).sum()), int(rows.sum())
        if at_floor > 1 and at_floor > FLOOR_SHARE * number:
            note(
                frame,
                f"column '{value}': the lowest value of {name}, {np.exp(measured.min()):.6g}, stands in {at_floor} "
                f"of its {number} rows ({at_floor / number:.0%}), as a floor put for values below a limit would; it is "
                "read as measured, so flag those rows as non-detects with their limit if it is one",
            )


def _levels(labels: np.ndarray) -> list[str]:
    return list(dict.fromkeys(labels))


def _positions(labels: np.ndarray, levels: list[str]) -> np.ndarray:
    position = {level: i for i, level in enumerate(levels)}
    return np.array([position[label] for label in labels])


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


def _refuse_repeats(frame: pd.DataFrame, labels: _Labels, contracts: _Contracts, replicates: bool) -> None:
    """Refuse a person's second row of an analyte (at a time), unless it is another well of the same sample."""
    key = [w for w in ("subject", "analyte", "time") if w in labels]
    if "subject" not in key:
        return
    if not replicates:
        remedy = (
            f"leave time out and set replicates = {truth(True)}, for one of the times"
            if "time" in key
            else (f"set replicates = {truth(True)} where these are wells of one sample, or name the column of times")
        )
        refuse_duplicates({w: labels[w] for w in key}, contracts, "measurement of", f"keep one row, or {remedy}")
        return
    sample_of = pd.MultiIndex.from_arrays([labels[w] for w in key]).factorize()[0]
    counts = np.bincount(sample_of)
    if (counts == 1).all():
        raise BadInput(f"replicates = {truth(True)}, but nobody has two rows of an analyte; leave replicates out")
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


def _refuse_copies(detection: Detection, analyte: np.ndarray, subject: np.ndarray, place: str) -> None:
    """Refuse an analyte whose samples all have equal values in their wells: one measurement entered several times."""
    table = pd.DataFrame({"analyte": analyte, "subject": subject, "value": detection.lower})[
        detection.kind == "detected"
    ]
    samples = table.groupby(["analyte", "subject"], sort=False)["value"].agg(["size", "min", "max"])
    samples = samples[samples["size"] > 1]
    for name, group in samples.groupby(level="analyte", sort=False):
        if len(group) >= _FEW_SAMPLES and (group["min"] == group["max"]).all():
            raise BadInput(
                f"{place}: in all {len(group)} samples of '{name}' with several wells these have one and the same "
                "value, so they are copies and no wells of their own; keep one row of each sample, and leave "
                "replicates out if no other has several"
            )


def _refuse_inconsistent(labels: _Labels, contracts: _Contracts, what: str, *, within: str) -> None:
    """Refuse a label that belongs to a unit but differs between its rows."""
    if what not in labels or within not in labels:
        return
    first_row: dict[str, int] = {}
    for row, (unit, label) in enumerate(zip(labels[within], labels[what], strict=True)):
        before = first_row.setdefault(unit, row)
        if labels[what][before] != label:
            raise BadInput(
                f"column '{contracts[what].name}' ({contracts[what].what}): {within} '{unit}' is "
                f"'{labels[what][before]}' in row {before + 1} and '{label}' in row {row + 1}; each {within} has one, "
                "so correct the row"
            )


def _refuse_one_level(levels: Mapping[str, list[str]], labels: _Labels, contracts: _Contracts) -> None:
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


def _refuse_plates_of_one_group(labels: _Labels, contracts: _Contracts) -> None:
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


def _refuse_no_residual(
    detection: Detection, position: Mapping[str, np.ndarray], levels: Mapping[str, list[str]], place: str
) -> None:
    """Refuse an analyte with one value in every group at every time: its residual sd has no posterior.

    Were one value beyond a limit, that sd could not be zero.
    """
    detected = np.isclose(detection.lower, detection.upper, rtol=0, atol=0)
    nowhere = np.zeros(len(detected), int)
    cell = position.get("group", nowhere) * len(levels["time"]) + position.get("time", nowhere)
    for k, analyte in enumerate(levels["analyte"]):
        rows = position["analyte"] == k
        if detected[rows].all() and is_explained_exactly(
            detection.lower[rows], np.empty((int(rows.sum()), 0)), cell[rows]
        ):
            few = {
                1: "name the column of what was measured",
                2: "leave it out, and the column of analytes out of the model",
            }
            remedy = few.get(len(levels["analyte"]), "leave it out")
            raise BadInput(
                f"{place}: analyte '{analyte}' has one value in every group at every time, so that no residual is left "
                f"whose sd could be estimated; {remedy}"
            )
