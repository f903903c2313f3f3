"""A long table of concentrations becomes one row per person: intervals by analyte, and what belongs to people."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.data.detection import read_detection
from bayesdep.data.errors import BadInput
from bayesdep.data.labels import as_label
from bayesdep.data.tables import (
    Column,
    note_spaces,
    provenance,
    read_columns,
    refuse_duplicates,
    role_of,
    rows_with_notes,
)
from bayesdep.models.parts.paper import Characteristic
from bayesdep.models.parts.replicates import recorded_as


def read_people(
    frame: pd.DataFrame,
    columns: Mapping[str, str | None],
    meanings: Mapping[str, str],
    *,
    flag_codes: Mapping[str, str] | None,
    beyond_limit: Literal["refuse", "censor"],
) -> tuple[xr.Dataset, np.ndarray]:
    """Read a table with one row per person and analyte.

    Parameters
    ----------
    frame
        The user's table.
    columns
        The column, or None, for each of ``subject``, ``value``, ``analyte``, ``plate``, ``unit``, ``censored``,
        ``lod``, ``lloq`` and ``uloq``.
    meanings
        What each holds, for messages.
    flag_codes, beyond_limit
        As :func:`~bayesdep.data.detection.read_detection` takes them.

    Returns
    -------
    xarray.Dataset
        By ``subject`` and ``analyte``, natural logarithms: ``log_lower`` and ``log_upper`` (equal where detected,
        infinite where open), ``log_lod`` and ``log_uloq`` (NaN where unknown). By ``analyte``: ``centre``, the mean of
        detected logs and log limits; ``log_sd``, the standard deviation of log concentrations
        (:func:`spread_of`); and ``unit``.
    numpy.ndarray
        The subject's position in the dataset, for every row of the table.

    Raises
    ------
    BadInput
        Naming the column, row and remedy.
    """
    factors = [w for w in ("subject", "analyte", "plate") if columns[w] is not None]
    contracts = {w: Column(str(columns[w]), "label", meanings[w], role_of(w)) for w in factors}
    value = str(columns["value"])
    labels = read_columns(frame, contracts)
    analyte = labels.get("analyte", np.full(len(frame), value, dtype=object))
    detection = read_detection(
        frame,
        value=value,
        analyte=analyte,
        plate=labels.get("plate"),
        flag=columns["censored"],
        flag_codes=flag_codes,
        beyond_limit=beyond_limit,
        **{w: columns[w] for w in ("lod", "lloq", "uloq", "unit")},
    )
    key = [w for w in ("subject", "analyte") if w in labels]
    refuse_duplicates({w: labels[w] for w in key}, contracts, "measurement of")
    people, analytes = list(dict.fromkeys(labels["subject"])), list(dict.fromkeys(analyte))
    rows = _rows_of_values(labels["subject"], analyte, people, analytes, contracts["subject"].name)
    dims = ("subject", "analyte")
    data = xr.Dataset(
        {
            f"log_{w}": (dims, getattr(detection, w)[rows], {"units": "log concentration"})
            for w in ("lower", "upper", "lod", "uloq")
        },
        {"subject": np.array(people, dtype=str), "analyte": np.array(analytes, dtype=str)},
        provenance(frame),
    )
    _refuse_nothing_measured(data, value)
    data["centre"] = ("analyte", recorded(data).mean(axis=0))
    limits = zip(data["log_lower"].values.T, data["log_upper"].values.T, strict=True)
    spreads = np.array([spread_of(lower, upper) for lower, upper in limits])
    data["log_sd"] = ("analyte", spreads, {"units": "log concentration"})
    units = frame[columns["unit"]].astype(str).to_numpy()[rows[0]] if columns["unit"] else ["concentration units"]
    data["unit"] = ("analyte", np.broadcast_to(np.array(units, dtype=str), len(analytes)).copy())
    position = {person: i for i, person in enumerate(people)}
    return data, np.array([position[person] for person in labels["subject"]])


def _rows_of_values(
    subject: np.ndarray, analyte: np.ndarray, people: list[str], analytes: list[str], column: str
) -> np.ndarray:
    """The table's row of each person's value of each analyte, shape (person, analyte); a missing one is refused."""
    row_of = {pair: row for row, pair in enumerate(zip(subject, analyte, strict=True))}
    for person in people:
        for name in analytes:
            if (person, name) not in row_of:
                raise BadInput(
                    f"column '{column}': '{person}' has no row for analyte '{name}'; "
                    "add it, or leave the person or the analyte out"
                )
    return np.array([[row_of[person, name] for name in analytes] for person in people])


def _refuse_nothing_measured(data: xr.Dataset, value: str) -> None:
    """Refuse an analyte that was never detected, or that has one value."""
    logs, detected = recorded(data), is_detected(data)
    for j, name in enumerate(data["analyte"].values):
        if not detected[:, j].any():
            raise BadInput(
                f"column '{value}': analyte '{name}' was detected in nobody, so nothing can be estimated from it; "
                "leave it out"
            )
        if np.ptp(logs[:, j]) < 1e-9:
            raise BadInput(f"column '{value}': analyte '{name}' has one value throughout; leave it out")


def spread_of(lower: np.ndarray, upper: np.ndarray) -> float:
    """Return the standard deviation of a normal variable of which some values are known as intervals.

    By maximum likelihood (Tobin 1958, doi:10.2307/1907382), on values less their mean and over their own standard
    deviation, so that a change of units or of the logarithm's base changes the answer by that factor and nothing else.
    Where too few values were detected for a maximum to exist, limits stand for what lies beyond them.

    Parameters
    ----------
    lower, upper
        Ends of each interval, equal where the value was detected, infinite where it is open; shape (n,).

    Returns
    -------
    float
        In the values' units.

    Examples
    --------
    >>> x = np.array([-1.5, -0.5, 0.5, 1.5])
    >>> round(spread_of(x, x), 6), round(spread_of(np.array([-np.inf, -0.5, 0.5, 1.5]), np.maximum(x, -0.5)), 2)
    (1.118034, 1.04)
    """
    from bayesdep.numerics.tobit import tobit

    logs = np.where(np.isinf(lower), upper, np.where(np.isinf(upper), lower, (lower + upper) / 2))
    centre, rough = logs.mean(), logs.std()
    fit = tobit((lower - centre) / rough, (upper - centre) / rough, np.ones((len(logs), 1)))
    return float(rough * (fit.sd if fit.converged else 1.0))


def rows_of_people(frame: pd.DataFrame, names: Mapping[str, str], person: np.ndarray) -> pd.DataFrame:
    """Return one row per person, and refuse a column that differs between a person's rows.

    Parameters
    ----------
    frame
        The user's table.
    names
        Columns that belong to people, and what they hold.
    person
        The person's position, by row.

    Returns
    -------
    pandas.DataFrame
        Each person's first row, with the table's index and ``attrs``.

    Raises
    ------
    BadInput
        Naming the person's two rows.
    """
    first = np.unique(person, return_index=True)[1]
    for name, what in names.items():
        if name not in frame.columns:
            continue  # refused where the column is read
        note_spaces(frame, name)
        cells: Any = frame[name].astype(object)
        text = np.array(["" if pd.isna(cell) else as_label(cell) for cell in cells], dtype=object)
        different = np.flatnonzero(text != text[first][person])
        if len(different):
            row, other = different[0], first[person[different[0]]]
            raise BadInput(
                f"column '{name}' ({what}): rows {other + 1} and {row + 1} are of one person, but have {text[other]!r} "
                f"and {text[row]!r}; correct one of them"
            )
    return rows_with_notes(frame, first)


def is_detected(data: xr.Dataset) -> np.ndarray:
    """Return which values are numbers: shape (subject, analyte)."""
    return data["log_lower"].values == data["log_upper"].values


def recorded(data: xr.Dataset) -> np.ndarray:
    """Return log values, limits for what lies beyond one, middles for what lies between two: (subject, analyte)."""
    lower, upper = data["log_lower"].values, data["log_upper"].values
    with np.errstate(invalid="ignore"):  # the middle of an open interval is not used
        return np.where(np.isinf(lower), upper, np.where(np.isinf(upper), lower, (lower + upper) / 2))


def within_limits(data: xr.Dataset, logs: np.ndarray) -> dict[str, np.ndarray]:
    """Return the ends of the intervals in which log concentrations are known to lie, given the limits of the data.

    Parameters
    ----------
    data
        As :func:`read_people` returns it, with its limits.
    logs
        Shape (subject, analyte).

    Returns
    -------
    dict of numpy.ndarray
        ``log_lower`` and ``log_upper``: the value twice where it lies within the limits.
    """
    _, lower, upper = recorded_as(logs, data["log_lod"].values, data["log_uloq"].values)
    return {"log_lower": lower, "log_upper": upper}


def visible_share(data: xr.Dataset) -> np.ndarray:
    """Return the share of each analyte's variance that its limits leave visible: 1 where all was detected.

    Of a normal variable known to lie in intervals, ``Var(E[x | interval]) = sd^2 - E[Var(x | interval)]``: the part of
    a predictor's information that remains when only the interval is known. The normal has the mean and standard
    deviation of what was recorded (``log_sd`` where it was estimated), and the average is over the people in the data.

    Parameters
    ----------
    data
        As :func:`read_people` returns it.

    Returns
    -------
    numpy.ndarray
        Shape (analyte,), between 0 (excluded) and 1.
    """
    from scipy import stats

    detected, middle = is_detected(data), recorded(data)
    lower, upper = data["log_lower"].values, data["log_upper"].values
    share = np.ones(data.sizes["analyte"])
    for k, sd in enumerate(data["log_sd"].values):
        hidden = ~detected[:, k]
        if hidden.any():
            ends = ((x[hidden, k] - middle[:, k].mean()) / sd for x in (lower, upper))
            hidden_variance = stats.truncnorm.var(*ends)
            share[k] = 1 - np.clip(hidden_variance, 0, 1).sum() / len(hidden)
    return np.maximum(share, 1 / len(middle))


def share_below(logs: np.ndarray, data: xr.Dataset) -> np.ndarray:
    """Return the share of values at or below their limit of detection, among those whose limit is known.

    Parameters
    ----------
    logs
        Log concentrations, shape (..., subject, analyte).
    data
        As :func:`read_people` returns it.

    Returns
    -------
    numpy.ndarray
        Shape (...).
    """
    limit = data["log_lod"].values
    return (logs <= limit).sum(axis=(-2, -1)) / max(np.isfinite(limit).sum(), 1)


def largest_detected(logs: np.ndarray, data: xr.Dataset) -> np.ndarray:
    """Return the largest value within its limits, as a distance from its analyte's centre.

    Parameters
    ----------
    logs
        Log concentrations, shape (..., subject, analyte).
    data
        As :func:`read_people` returns it.

    Returns
    -------
    numpy.ndarray
        Shape (...), in log units for one analyte and in standard deviations for several; where no value is within
        its limits, the minimum of all.
    """
    beyond = (logs <= data["log_lod"].values) | (logs >= data["log_uloq"].values)
    size = (logs - data["centre"].values) / (data["log_sd"].values if data.sizes["analyte"] > 1 else 1.0)
    return np.where(beyond, size.min(axis=(-2, -1), keepdims=True), size).max(axis=(-2, -1))


def concentrations_of(data: xr.Dataset) -> tuple[Characteristic, ...]:
    """Return the concentrations of people, as a table of a sample has them.

    Parameters
    ----------
    data
        As :func:`read_people` returns it.

    Returns
    -------
    tuple of Characteristic
        Of each analyte how many lie below a limit, and the measured values; one within an interval is not known.
    """
    found = []
    for k, analyte in enumerate(data["analyte"].values):
        low, high = data["log_lower"].values[:, k], data["log_upper"].values[:, k]
        measured = np.where(low == high, np.exp(low), np.nan)
        if np.isneginf(low).any():
            found.append(Characteristic(f"{analyte} below the limit", np.isneginf(low).astype(float), "share"))
        found.append(Characteristic(f"{analyte}, {data['unit'].values[k]}", measured, "skewed"))
    return tuple(found)
