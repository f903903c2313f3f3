"""A table with one row per study becomes effects with standard errors, or counts."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from bayesdep.data import effects
from bayesdep.data.errors import BadInput
from bayesdep.data.tables import (
    Column,
    read_columns,
    refuse_duplicates,
    refuse_more_events_than_people,
    refuse_totals,
)
from bayesdep.models.parts.effect_inputs import INPUTS

_OF_COUNTS: dict[str, Callable[..., effects.Estimate]] = {
    "log-odds-ratio": effects.log_odds_ratio,
    "log-risk-ratio": effects.log_risk_ratio,
    "risk-difference": effects.risk_difference,
    "log-odds": effects.log_odds,
}
_DESIGNS = ("parallel", "crossover")


def read_studies(
    frame: pd.DataFrame, columns: Mapping[str, Column], *, unit: str, unique: bool = True
) -> dict[str, np.ndarray]:
    """Read the columns of a table of studies and refuse what no meta-analysis can use.

    Parameters
    ----------
    frame
        One row per study, or per arm.
    columns
        The column of each word that the form of input needs, and of ``study``.
    unit
        What a row is, for messages.
    unique
        Whether every row is a study of its own.

    Returns
    -------
    dict of numpy.ndarray
        One array of shape (rows,) per word.

    Raises
    ------
    BadInput
        Naming the column and row.
    """
    read = read_columns(frame, columns)
    if unique:
        remedy = (
            "keep one row, or give each row a label of its own and name the column of what they share: people or a "
            "laboratory as cluster, a control group as control_group"
        )
        refuse_duplicates({"study": read["study"]}, columns, unit, remedy)
        check_studies(read, columns, unit=unit)
        counted = [word for word in ("events_treated", "n_treated", "events_control", "n_control") if word in read]
        counts = np.column_stack([read[word] for word in counted]) if len(counted) == 4 else None
        refuse_totals(read["study"], columns["study"], counts)
    refuse_impossible_counts(read, columns)
    if "direction" in columns:
        for row in np.flatnonzero((read["direction"] == 0) & (read["p_value"] < 1)):
            raise BadInput(
                f"column '{columns['direction'].name}' ({columns['direction'].what}): row {row + 1} "
                f"({read['study'][row]}) is 0, but P is {read['p_value'][row]:.6g}: an effect that is not zero has a "
                "direction; write -1 or 1, or leave the study out"
            )
    return read


def check_studies(read: Mapping[str, np.ndarray], columns: Mapping[str, Column], *, unit: str) -> None:
    """Refuse a table with a single study.

    Parameters
    ----------
    read, columns
        As :func:`read_studies` returns and is given them.
    unit
        What a row is.

    Raises
    ------
    BadInput
        When there is one only.
    """
    if len(read["study"]) < 2:
        raise BadInput(
            f"the table has one {unit} (column '{columns['study'].name}'), which says nothing about the spread between "
            "them; give at least two"
        )


def refuse_impossible_counts(read: Mapping[str, np.ndarray], columns: Mapping[str, Column]) -> None:
    """Refuse arms without people, with more events than people, or with too few people for a spread.

    Parameters
    ----------
    read, columns
        As :func:`read_studies` returns and is given them.

    Raises
    ------
    BadInput
        Naming the column and row.
    """
    for events, n in (("events_treated", "n_treated"), ("events_control", "n_control"), ("events", "n")):
        if events in columns:
            refuse_more_events_than_people(read[events], read[n], read["study"], (columns[events], columns[n]))
        elif n in columns:
            for row in np.flatnonzero(read[n] < 2):
                raise BadInput(
                    f"column '{columns[n].name}' ({columns[n].what}): row {row + 1} ({read['study'][row]}) is "
                    f"{read[n][row]:.0f}, but a spread needs at least 2 people; leave the row out"
                )


def correlations_of(
    read: Mapping[str, np.ndarray], columns: Mapping[str, Column], *, input: str, correlation: float | None
) -> np.ndarray | None:
    """Say how the arms of each trial are correlated, from the column that names the trials' designs.

    Parameters
    ----------
    read, columns
        As :func:`read_studies` returned and was given them.
    input
        The form of input.
    correlation
        Correlation of a person's outcomes in the two arms of a crossover trial.

    Returns
    -------
    numpy.ndarray or None
        Shape (studies,), NaN for parallel trials; None without a column of designs.

    Raises
    ------
    BadInput
        When a design is neither parallel nor crossover, or a crossover trial cannot be used as it stands.
    """
    if "design" not in read:
        return None
    name = columns["design"].name
    crossover = read["design"] == "crossover"
    for row, (study, design) in enumerate(zip(read["study"], read["design"], strict=True)):
        place = f"column '{name}': row {row + 1} ({study})"
        if design not in _DESIGNS:
            raise BadInput(f"{place} is '{design}', but parallel or crossover is needed; correct it or leave it out")
        if crossover[row] and input == "counts":
            raise BadInput(
                f"{place} is a crossover trial: the counts of its arms are the same people's and are not independent; "
                "leave it out with [data] keep, or enter its effect with input = 'estimates'"
            )
        if crossover[row] and correlation is None:
            raise BadInput(
                f"{place} is a crossover trial, whose standard error needs the correlation of a person's outcomes in "
                "its two arms; state one, such as correlation = 0.5, and vary it"
            )
        if crossover[row] and read["n_treated"][row] != read["n_control"][row]:
            raise BadInput(
                f"{place} is a crossover trial with {read['n_treated'][row]:.0f} and {read['n_control'][row]:.0f} "
                "people in its arms; give the number of those who were in both"
            )
    return np.where(crossover, np.nan if correlation is None else correlation, np.nan)


def clusters_of(
    read: Mapping[str, np.ndarray], columns: Mapping[str, Column], *, unit: str
) -> tuple[np.ndarray, np.ndarray]:
    """Number the clusters that effects share.

    Parameters
    ----------
    read, columns
        As :func:`read_studies` returned and was given them.
    unit
        What a row is.

    Returns
    -------
    tuple of numpy.ndarray
        Number of each row's cluster, shape (rows,), and the clusters' labels, in the order of the table.

    Raises
    ------
    BadInput
        When there is one cluster only, or none with two effects: then the two spreads cannot be told apart.
    """
    of_rows = read["cluster"].astype(str)
    labels = list(dict.fromkeys(of_rows))
    name = columns["cluster"].name
    if len(labels) < 2:
        raise BadInput(f"column '{name}' has one cluster, '{labels[0]}'; leave cluster out, or give at least two")
    if len(labels) == len(of_rows):
        raise BadInput(
            f"column '{name}' has no cluster with two rows, so the spread between clusters cannot be told from that "
            f"between {unit} and {unit}; leave cluster out"
        )
    number = {label: i for i, label in enumerate(labels)}
    return np.array([number[label] for label in of_rows]), np.array(labels, dtype=str)


def pooled_sd(read: Mapping[str, np.ndarray], group: np.ndarray | None) -> float:
    """Pool the standard deviations of all arms, those of shared control groups once.

    Parameters
    ----------
    read
        ``sd_treated``, ``n_treated``, ``sd_control`` and ``n_control``, shape (rows,).
    group
        Number of each row's control group; None where no rows share one.

    Returns
    -------
    float
        Root of the variances' average by their degrees of freedom.

    Examples
    --------
    >>> one = {"sd_treated": np.array([3.0]), "n_treated": np.array([11]), "sd_control": np.array([4.0]),
    ...        "n_control": np.array([11])}
    >>> round(pooled_sd(one, None) ** 2, 9)
    12.5
    """
    once = slice(None) if group is None else np.unique(group, return_index=True)[1]
    sd = np.concatenate([read["sd_treated"], read["sd_control"][once]])
    df = np.concatenate([read["n_treated"], read["n_control"][once]]) - 1
    return float(np.sqrt((df * sd**2).sum() / df.sum()))


def effects_of(
    read: Mapping[str, np.ndarray],
    columns: Mapping[str, Column],
    *,
    input: str,
    measure: str,
    correlation: np.ndarray | None = None,
) -> effects.Estimate:
    """Turn what was read into effects and standard errors.

    Parameters
    ----------
    read, columns
        As :func:`read_studies` returned and was given them.
    input
        The form of input: a key of :data:`~bayesdep.models.parts.effect_inputs.INPUTS`.
    measure
        The effect measure: one of :data:`~bayesdep.models.parts.effect_inputs.MEASURES` for that input.
    correlation
        As :func:`correlations_of` returns it.

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
    if input == "means":
        if measure == "difference":
            return effects.mean_difference(*values, correlation=correlation)
        return effects.hedges_g(*values, correlation=correlation)
    _refuse_empty_cells(read, columns, measure)
    return _OF_COUNTS[measure](*values)


def _refuse_empty_cells(read: Mapping[str, np.ndarray], columns: Mapping[str, Column], measure: str) -> None:
    """Refuse counts that have no standard error on the measure's scale."""
    arms = ["events"] if measure == "log-odds" else ["events_treated", "events_control"]
    n_of = {"events": "n", "events_treated": "n_treated", "events_control": "n_control"}
    nobody = {arm: read[arm] == 0 for arm in arms}
    everybody = {arm: read[arm] == read[n_of[arm]] for arm in arms}
    undefined = {arm: nobody[arm] | everybody[arm] for arm in arms}
    remedy = (
        "use likelihood = 'binomial' of family = 'meta', with measure = 'log-odds-ratio', which needs no correction"
    )
    if measure == "log-odds":
        remedy = "use likelihood = 'binomial', which needs no correction"
    elif measure == "log-risk-ratio":  # everybody in both arms: a ratio of one without an error
        undefined = nobody | {"events_treated": nobody["events_treated"] | np.all(list(everybody.values()), axis=0)}
    elif measure == "risk-difference":  # one arm with both events and others is enough
        undefined = dict.fromkeys(arms, np.all(list(undefined.values()), axis=0))
        remedy = "use likelihood = 'binomial' of family = 'meta', with measure = 'log-odds-ratio' and a control_risk"
    for arm in arms:
        rows = read.get(arm.replace("events", "row"), np.arange(len(read[arm])))  # of arms, each has a row
        for i in np.flatnonzero(undefined[arm]):
            raise BadInput(
                f"column '{columns[arm].name}': row {rows[i] + 1} ({read['study'][i]}) has {read[arm][i]:.0f} "
                f"of {read[n_of[arm]][i]:.0f} events, so the {measure} has no standard error; {remedy}"
            )
