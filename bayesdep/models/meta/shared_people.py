"""People who stand behind several effects: shared control groups, and the sampling covariance that follows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.data import effects
from bayesdep.data.errors import BadInput
from bayesdep.data.tables import Column

_SAME = 1e-6  # of a variance: how closely a given matrix must have the standard errors' squares on its diagonal
_SINGULAR = 1e-9  # smallest eigenvalue of a correlation matrix
# What describes a control group in each form of input.
_CONTROLS = {
    "counts": ("events_control", "n_control"),
    "means": ("mean_control", "sd_control", "n_control"),
    "moments": ("mean_control", "sem_control", "n_control"),
    "p-value": ("n_control",),
}
_REMEDY = (
    "if they are one group of people, name the column that says so as control_group (of SmallStudies: put the rows "
    "together into one); if they are different groups, "
    "name as control_group a column in which every row has a label of its own, such as the study's"
)


def groups_of_controls(read: Mapping[str, np.ndarray], columns: Mapping[str, Column], *, input: str) -> np.ndarray:
    """Number the control groups, and refuse rows of one group that describe it differently.

    Parameters
    ----------
    read, columns
        As :func:`~bayesdep.models.meta.studies.read_studies` returned and was given them.
    input
        The form of input.

    Returns
    -------
    numpy.ndarray
        Number of each row's control group, shape (rows,), in the order of the table.

    Raises
    ------
    BadInput
        Naming both rows.
    """
    labels = read["control_group"].astype(str)
    number = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    of = np.array([number[label] for label in labels])
    for row, group in enumerate(of):
        first = int(np.flatnonzero(of == group)[0])
        for word in _CONTROLS[input]:
            if read[word][row] != read[word][first]:
                raise BadInput(
                    f"column '{columns['control_group'].name}': rows {first + 1} and {row + 1} share the control group "
                    f"'{labels[row]}', but column '{columns[word].name}' has {read[word][first]:g} and "
                    f"{read[word][row]:g}; correct one of the two, or give the groups two labels"
                )
    return of


def refuse_repeated_controls(read: Mapping[str, np.ndarray], columns: Mapping[str, Column], *, input: str) -> list[str]:
    """Refuse control groups that stand in the table twice under different names, unless it may be by chance.

    Means and standard deviations that agree to the last digit are one group's. Counts agree by chance where several
    trials have as many controls, or where there are no events; then there is a note. They do not where the only two
    control groups of that size have the same events.

    Parameters
    ----------
    read, columns
        As :func:`~bayesdep.models.meta.studies.read_studies` returned and was given them.
    input
        The form of input.

    Returns
    -------
    list of str
        Notes on what may be one group.

    Raises
    ------
    BadInput
        Naming both rows, and what to state.
    """
    if input not in ("counts", "means", "moments"):
        return []
    words, notes = _CONTROLS[input], []
    seen: dict[tuple[float, ...], int] = {}
    for row, key in enumerate(zip(*(read[word].tolist() for word in words), strict=True)):
        first = seen.setdefault(key, row)
        if first == row:
            continue
        if input == "counts":
            events, n = key
            if events in (0, n):
                continue
            same_size = read["n_control"] == n
            if (read["events_control"][same_size] != events).any():
                notes.append(
                    f"rows {first + 1} and {row + 1} have the same control group, {events:g} of {n:g}, as may be by "
                    "chance; if they are the same people, name a control_group"
                )
                continue
        names = ", ".join(f"'{columns[word].name}'" for word in words)
        raise BadInput(
            f"columns {names}: rows {first + 1} ({read['study'][first]}) and {row + 1} ({read['study'][row]}) have the "
            f"same control group, which would be counted twice; {_REMEDY}"
        )
    return notes


def covariance_of_shared_controls(
    read: Mapping[str, np.ndarray], group: np.ndarray, effect: np.ndarray, *, measure: str
) -> np.ndarray:
    r"""Sampling covariances of effects that share a control group; zero elsewhere.

    It is the variance that the control group brings into each (Gleser and Olkin 2009, in The Handbook of Research
    Synthesis and Meta-Analysis, 2nd edition, chapter 19): of a mean difference :math:`s_0^2 / n_0`; of a log odds ratio
    :math:`1/c + 1/(n_0 - c)` with c events; of a log risk ratio :math:`1/c - 1/n_0`; of a risk difference
    :math:`p_0 (1 - p_0) / n_0`; of a log ratio of geometric means the variance of the control's log mean. Standardised
    differences :math:`d_1, d_2` also share their standard deviation's error: :math:`1/n_0 + d_1 d_2 / 2N`, N being all
    people of the study.

    Parameters
    ----------
    read
        As :func:`~bayesdep.models.meta.studies.read_studies` returned it.
    group
        Number of each row's control group, shape (rows,).
    effect
        The effects, shape (rows,).
    measure
        The effect measure.

    Returns
    -------
    numpy.ndarray
        Shape (rows, rows); its diagonal has no meaning.

    Examples
    --------
    >>> read = {"sd_control": np.array([8.0, 8.0]), "n_control": np.array([32.0, 32.0])}
    >>> group = np.array([0, 0])
    >>> covariance_of_shared_controls(read, group, np.zeros(2), measure="difference")[0, 1].item()
    2.0
    """
    n = read["n_control"]
    both = np.zeros((len(n), len(n)))
    if measure == "difference":
        own = read["sd_control"] ** 2 / n
    elif measure == "standardised-difference":
        own = 1 / n
        same = group[:, None] == group
        people = same @ read["n_treated"] + n
        both = np.outer(effect, effect) / (2 * people[:, None])
    elif measure == "log-geometric-mean-ratio":
        own = effects.lognormal_log_mean(read["mean_control"], read["sem_control"], n)[1] ** 2
    else:
        c = read["events_control"]
        with np.errstate(divide="ignore", invalid="ignore"):  # no events: that row is refused for having no error
            own = {
                "log-odds-ratio": 1 / c + 1 / (n - c),
                "log-risk-ratio": 1 / c - 1 / n,
                "risk-difference": c / n * (1 - c / n) / n,
            }[measure]
    return np.where(group[:, None] == group, own[:, None] + both, 0.0)


def labelled_covariance(given: Any) -> Any:
    """Read a sampling covariance as a call or a plan gives it, in a form that JSON and TOML can hold.

    Parameters
    ----------
    given
        A dataframe or mapping of mappings by label of the rows; or rows of numbers in the order of the table.

    Returns
    -------
    dict of dict, list of list, or None
        Plain numbers.

    Raises
    ------
    BadInput
        When it is neither.
    """
    if given is None:
        return None
    try:
        if isinstance(given, pd.DataFrame):
            given = {str(i): {str(j): float(v) for j, v in row.items()} for i, row in given.iterrows()}
        if isinstance(given, Mapping):
            return {str(i): {str(j): float(v) for j, v in row.items()} for i, row in given.items()}
        rows = [[float(v) for v in row] for row in given]
        if all(len(row) == len(rows) for row in rows):
            return rows
    except (TypeError, ValueError, AttributeError):
        pass
    raise BadInput(
        "covariance is neither a square matrix in the order of the rows nor a table of numbers by two labels; write it "
        'as { "trial A" = { "trial B" = 0.02 } }, or give a square matrix'
    )


def given_covariance(given: Any, labels: Sequence[str], se: np.ndarray, unit: str) -> np.ndarray:
    """Match a given sampling covariance with the rows.

    Parameters
    ----------
    given
        As :func:`labelled_covariance` returns it.
    labels
        Labels of the rows.
    se
        Standard errors, shape (rows,).
    unit
        What a row is.

    Returns
    -------
    numpy.ndarray
        Shape (rows, rows), the standard errors' squares on its diagonal.

    Raises
    ------
    BadInput
        When a label is unknown, the matrix is not symmetric, or its diagonal is not the standard errors' squares.
    """
    found = np.diag(se**2)
    if isinstance(given, Mapping):
        number = {label: i for i, label in enumerate(labels)}
        for one, row in given.items():
            for other, value in row.items():
                for label in (one, other):
                    if label not in number:
                        raise BadInput(f"covariance: no {unit} is called '{label}'; use the labels of the table")
                i, j = number[one], number[other]
                back = given.get(other, {}).get(one, value)
                if back != value:
                    raise BadInput(
                        f"covariance of '{one}' and '{other}' is {value:g} one way and {back:g} the other; give it once"
                    )
                if i == j and abs(value / se[i] ** 2 - 1) > _SAME:
                    raise _not_the_square(one, value, se[i])
                if i != j:
                    found[i, j] = found[j, i] = value
        return found
    matrix = np.array(given, dtype=float)
    if len(matrix) != len(se):
        raise BadInput(f"covariance has {len(matrix)} rows, but the table has {len(se)}; give one row for each")
    if not np.allclose(matrix, matrix.T, rtol=1e-9, atol=0):
        raise BadInput("covariance is not symmetric; give a covariance matrix in the order of the table's rows")
    for i, label in enumerate(labels):
        if abs(matrix[i, i] / se[i] ** 2 - 1) > _SAME:
            raise _not_the_square(label, matrix[i, i], se[i])
    return matrix


def _not_the_square(label: str, value: float, se: float) -> BadInput:
    return BadInput(
        f"covariance of '{label}' with itself is {value:g}, but its standard error is {se:g}, squared {se**2:g}; give "
        "covariances of the same effects, in the order of the rows or by their labels"
    )


def refuse_impossible(covariance: np.ndarray, se: np.ndarray, cluster: np.ndarray | None, what: str) -> None:
    """Refuse a sampling covariance that no data can have, or that reaches from one cluster into another.

    Parameters
    ----------
    covariance
        Shape (rows, rows).
    se
        Standard errors, shape (rows,).
    cluster
        Number of each row's cluster; None without clusters.
    what
        The setting it comes from.

    Raises
    ------
    BadInput
        Saying which.
    """
    if cluster is not None and (covariance[cluster[:, None] != cluster] != 0).any():
        raise BadInput(
            f"{what} links rows of different clusters, which are then not independent; name a coarser cluster, or "
            "leave cluster out"
        )
    if np.linalg.eigvalsh(covariance / np.outer(se, se)).min() < _SINGULAR:
        raise BadInput(
            f"{what} makes a covariance matrix that is not positive definite: rows correlate so strongly that one "
            "follows from the others; leave one of such rows out, or correct the correlation"
        )
