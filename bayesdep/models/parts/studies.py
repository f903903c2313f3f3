"""A table with one row per study becomes effects with standard errors, or counts."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayesdep.data import effects
from bayesdep.data.errors import BadInput
from bayesdep.data.tables import Column, Kind, read_columns, refuse_duplicates, refuse_more_events_than_people

# The columns that each form of input reads, beside the study's label.
INPUTS: dict[str, dict[str, Kind]] = {
    "estimates": {"effect": "number", "se": "positive"},
    "counts": {
        "events_treated": "count",
        "n_treated": "count",
        "events_control": "count",
        "n_control": "count",
    },
    "moments": {
        "mean_treated": "positive",
        "sem_treated": "positive",
        "n_treated": "count",
        "mean_control": "positive",
        "sem_control": "positive",
        "n_control": "count",
    },
    "p-value": {"p_value": "probability", "direction": "number", "n_treated": "count", "n_control": "count"},
}
# The measures each form of input can be turned into.
MEASURES = {
    "estimates": {
        "difference",
        "standardised-difference",
        "log-odds-ratio",
        "log-risk-ratio",
        "log-geometric-mean-ratio",
    },
    "counts": {"log-odds-ratio", "log-risk-ratio"},
    "moments": {"log-geometric-mean-ratio"},
    "p-value": {"standardised-difference"},
}


def read_studies(frame: pd.DataFrame, columns: Mapping[str, Column], *, unit: str) -> dict[str, np.ndarray]:
    """Read the columns of a table of studies and refuse what no meta-analysis can use.

    Parameters
    ----------
    frame
        One row per study.
    columns
        The column of each word that the form of input needs, and of ``study``.
    unit
        What a row is, for messages.

    Returns
    -------
    dict of numpy.ndarray
        One array of shape (studies,) per word.

    Raises
    ------
    BadInput
        Naming the column and row.
    """
    read = read_columns(frame, columns)
    refuse_duplicates({"study": read["study"]}, columns, unit)
    if len(read["study"]) < 2:
        raise BadInput(f"the table has one {unit}, which says nothing about the spread between them; give at least two")
    for arm in ("treated", "control"):
        events, n = f"events_{arm}", f"n_{arm}"
        if events in columns:
            refuse_more_events_than_people(read[events], read[n], read["study"], (columns[events], columns[n]))
        elif n in columns:
            for row in np.flatnonzero(read[n] < 2):
                raise BadInput(
                    f"column '{columns[n].name}' ({columns[n].what}): row {row + 1} ({read['study'][row]}) is "
                    f"{read[n][row]:.0f}, but a spread needs at least 2 people; leave the row out"
                )
    return read


def effects_of(
    read: Mapping[str, np.ndarray], columns: Mapping[str, Column], *, input: str, measure: str
) -> effects.Estimate:
    """Turn what was read into effects and standard errors.

    Parameters
    ----------
    read, columns
        As :func:`read_studies` returned and was given them.
    input
        The form of input: a key of :data:`INPUTS`.
    measure
        The effect measure: one of :data:`MEASURES` for that input.

    Returns
    -------
    tuple of numpy.ndarray
        Effect and standard error, shape (studies,).

    Raises
    ------
    BadInput
        When a study without events (or without others) has no standard error on this scale.
    """
    values = [read[word] for word in INPUTS[input]]
    if input == "estimates":
        return values[0], values[1]
    if input == "moments":
        return effects.log_geometric_mean_ratio(*values)
    if input == "p-value":
        return effects.standardised_difference_from_p(*values)
    for arm in ("treated", "control"):
        events, n = read[f"events_{arm}"], read[f"n_{arm}"]
        full = (events == n) & (measure == "log-odds-ratio")
        for row in np.flatnonzero((events == 0) | full):
            raise BadInput(
                f"column '{columns[f'events_{arm}'].name}': row {row + 1} ({read['study'][row]}) has "
                f"{events[row]:.0f} of {n[row]:.0f} events, so the {measure} has no standard error; "
                "use likelihood = 'binomial' with measure = 'log-odds-ratio', which needs no correction"
            )
    return (effects.log_odds_ratio if measure == "log-odds-ratio" else effects.log_risk_ratio)(*values)
