"""Control groups that several effects share, and the sampling covariance that follows."""

from collections.abc import Mapping

import numpy as np

from bayesdep.data import effects
from bayesdep.data.errors import BadInput
from bayesdep.data.tables import Column

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
    group = np.array([number[label] for label in labels])
    for row in range(len(group)):
        first = int(np.flatnonzero(group == group[row])[0])
        for word in _CONTROLS[input]:
            if read[word][row] != read[word][first]:
                raise BadInput(
                    f"column '{columns['control_group'].name}': rows {first + 1} and {row + 1} share the control group "
                    f"'{labels[row]}', but column '{columns[word].name}' has {read[word][first]:g} and "
                    f"{read[word][row]:g}; correct one of the two, or give the groups two labels"
                )
    return group


def refuse_repeated_controls(read: Mapping[str, np.ndarray], columns: Mapping[str, Column], *, input: str) -> list[str]:
    """Refuse control groups that are in the table twice under different names, unless they may be alike by chance.

    Means and standard deviations that agree to the last digit are those of one group. Equal counts are accepted where
    nobody or everybody had an event, are accepted with a note where another control group of the same size has other
    events, and are refused otherwise.

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
    first_row: dict[tuple[float, ...], int] = {}
    for row, key in enumerate(zip(*(read[word].tolist() for word in words), strict=True)):
        first = first_row.setdefault(key, row)
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
    of_sd = np.zeros((len(n), len(n)))
    if measure == "difference":
        of_control = read["sd_control"] ** 2 / n
    elif measure == "standardised-difference":
        of_control = 1 / n
        same = group[:, None] == group
        people = same @ read["n_treated"] + n
        of_sd = np.outer(effect, effect) / (2 * people[:, None])
    elif measure == "log-geometric-mean-ratio":
        of_control = effects.lognormal_log_mean(read["mean_control"], read["sem_control"], n)[1] ** 2
    else:
        c = read["events_control"]
        with np.errstate(divide="ignore", invalid="ignore"):  # such a row has no standard error: refused
            of_control = {
                "log-odds-ratio": 1 / c + 1 / (n - c),
                "log-risk-ratio": 1 / c - 1 / n,
                "risk-difference": c / n * (1 - c / n) / n,
            }[measure]
    return np.where(group[:, None] == group, of_control[:, None] + of_sd, 0.0)
