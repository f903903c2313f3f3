"""The design of a crossover trial as numbers that multiply effects, and what such a design cannot estimate."""

import itertools

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput, truth
from bayesdep.numerics.exact_fit import is_explained_exactly


def code_design(data: xr.Dataset, *, carry_over: bool) -> xr.Dataset:
    """Add the codes of periods, treatments and, where asked for, of carry-over.

    Every code is an indicator less the share it has in a complete design, whoever is missing, so that the day's mean is
    the one over periods and treatments: with two of each, plus and minus one half.

    Parameters
    ----------
    data
        As :func:`~bayesdep.models.crossover.data.read_periods` returns it.
    carry_over
        Whether the treatment before may carry over.

    Returns
    -------
    xarray.Dataset
        With ``period_code`` (period, later), ``treatment_code`` (subject, period, comparison; 0 where the treatment is
        not known), ``carry_code`` (subject, period, comparison; 0 in the first period) where asked for, and ``centre``,
        the mean of all outcomes.

    Raises
    ------
    BadInput
        Where the treatment before an outcome is not known although it may carry over.
    """
    had, count = data["treatment_of"].values, data.sizes["treatment"]
    by_treatment = np.where((had >= 0)[..., None], np.eye(count)[had] - 1 / count, 0.0)[..., 1:]
    periods = data.sizes["period"]
    dims = ("subject", "period", "comparison")
    coded = data.assign(
        period_code=(("period", "later"), (np.eye(periods) - 1 / periods)[:, 1:]),
        treatment_code=(dims, by_treatment),
        centre=((), float(np.nanmean(data["outcome"].values))),
    )
    if not carry_over:
        return coded
    _refuse_unknown_before(data)
    return coded.assign(carry_code=(dims, np.concatenate([0 * by_treatment[:, :1], by_treatment[:, :-1]], axis=1)))


def _refuse_unknown_before(data: xr.Dataset) -> None:
    had, seen = data["treatment_of"].values, ~np.isnan(data["outcome"].values).all(axis=-1)
    lost = np.argwhere(seen[:, 1:] & (had[:, :-1] < 0))
    if len(lost):
        i, p = lost[0]
        raise BadInput(
            f"carry_over = {truth(True)}, but what '{data['subject'].values[i]}' had in period "
            f"{data['period'].values[p]}, before period {data['period'].values[p + 1]}, "
            f"is not in the table; add a row with the treatment and an "
            "empty outcome, or leave the patient out"
        )


def refuse_unknowable(data: xr.Dataset, *, joint: bool) -> None:
    """Refuse outcomes that cannot tell period, treatment, carry-over, patients or days apart, or that have no residual.

    Parameters
    ----------
    data
        As :func:`code_design` returns it.
    joint
        Whether days are to be correlated.

    Raises
    ------
    BadInput
        Naming the day, and what cannot be told.
    """
    for j in range(data.sizes["day"]):
        _refuse_empty(data, j)
        _refuse_confounded(data, j)
        _refuse_exact(data, j)
    if joint:
        _refuse_rare_pairs(data)


def _on_day(data: xr.Dataset, j: int) -> tuple[str, str]:
    """What a message says of the day, and what helps."""
    if data.sizes["day"] == 1:
        return "", "leave its rows out"
    return f" on day {data['day'].values[j]}", "leave that day out"


def _refuse_empty(data: xr.Dataset, j: int) -> None:
    """Refuse a day on which nobody has two periods, or nobody has a period or a treatment."""
    seen, had = ~np.isnan(data["outcome"].values[..., j]), data["treatment_of"].values
    several, (on, out) = data.sizes["day"] > 1, _on_day(data, j)
    if not (seen.sum(axis=1) > 1).any():
        raise BadInput(
            f"nobody has an outcome in two periods{on}, so no patient is compared with themself; "
            f"{'leave that day out, or ' if several else ''}use the trial family for one of the periods"
        )
    for k, period in enumerate(data["period"].values):
        if not seen[:, k].any():
            raise BadInput(f"nobody has an outcome in period {period}{on}; {out}")
    for k, treatment in enumerate(data["treatment"].values):
        if not (seen & (had == k)).any():
            anew = "" if several else " and number each patient's periods anew"
            raise BadInput(f"nobody has an outcome after '{treatment}'{on}; {out}{anew}")


def _refuse_confounded(data: xr.Dataset, j: int) -> None:
    """Refuse a day on which period, treatment and carry-over are not told apart by who has an outcome."""
    on, _ = _on_day(data, j)
    i, p = np.nonzero(~np.isnan(data["outcome"].values[..., j]))
    columns = [np.ones((len(i), 1)), data["period_code"].values[p], data["treatment_code"].values[i, p]]
    if np.linalg.matrix_rank(np.hstack(columns)) < sum(c.shape[1] for c in columns):
        raise BadInput(
            f"period and treatment cannot be told apart by the outcomes{on}: the same treatments were seen in the "
            "same periods; check which rows are kept"
        )
    if "carry_code" in data:
        columns.append(data["carry_code"].values[i, p])
        if np.linalg.matrix_rank(np.hstack(columns)) < sum(c.shape[1] for c in columns):
            raise BadInput(
                f"carry_over = {truth(True)}, but what carries over cannot be told from period and treatment by the "
                f"outcomes{on}; leave carry_over out"
            )


def _refuse_exact(data: xr.Dataset, j: int) -> None:
    """Refuse outcomes of a day that have no residual: its sd would have no posterior."""
    y = data["outcome"].values[..., j]
    i, p = np.nonzero(~np.isnan(y))
    columns = [data["period_code"].values[p], data["treatment_code"].values[i, p]]
    columns += [data["carry_code"].values[i, p]] if "carry_code" in data else []
    if is_explained_exactly(y[i, p], np.column_stack(columns), member=i):
        on, _ = _on_day(data, j)
        remedy = "leave that day out" if data.sizes["day"] > 1 else "name the column of what was measured"
        raise BadInput(
            f"patient, period and treatment explain every outcome{on} exactly, so that no residual is left whose sd "
            f"could be estimated; {remedy}"
        )


def _refuse_rare_pairs(data: xr.Dataset) -> None:
    """Refuse two days that were hardly ever observed in the same period."""
    seen, days = ~np.isnan(data["outcome"].values), data["day"].values
    for one, other in itertools.combinations(range(len(days)), 2):
        pairs = int((seen[..., one] & seen[..., other]).sum())
        if pairs < 3:
            raise BadInput(
                f"days {days[one]} and {days[other]} were both observed in the same period {pairs} times, too few "
                "for a correlation of their own; use days = 'apart', or leave out one of the days"
            )


def within_cells(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return every outcome, and which treatment, period and day it is of: what the scale of priors is the sd within.

    Parameters
    ----------
    data
        As :func:`code_design` returns it.

    Returns
    -------
    tuple of numpy.ndarray
        Outcomes (NaN where missing) and numbers of their cells, shape (n,).
    """
    outcome = data["outcome"].values
    _, periods, days = outcome.shape
    cell = data["treatment_of"].values * periods + np.arange(periods)
    cell = cell[..., None] * days + np.arange(days)
    return outcome.ravel(), cell.ravel()


def pairs_of(data: xr.Dataset) -> list[str]:
    """Return the names of every two days, in the order of a matrix's lower triangle.

    Parameters
    ----------
    data
        The prepared trial.

    Returns
    -------
    list of str
        Such as ``"2 and 10"``.
    """
    names = data["day"].values
    return [f"{names[k]} and {names[j]}" for j, k in zip(*np.tril_indices(len(names), -1), strict=True)]


def by_treatment(values: np.ndarray, data: xr.Dataset) -> np.ndarray:
    """Return outcomes by the treatment they came after, not by period.

    Parameters
    ----------
    values
        Shape (..., subject, period, day).
    data
        The prepared trial.

    Returns
    -------
    numpy.ndarray
        Shape (..., subject, treatment, day); NaN where a patient's outcome is missing, in these values or in the data.
    """
    had = data["treatment_of"].values
    found = np.full((*values.shape[:-2], data.sizes["treatment"], values.shape[-1]), np.nan)
    i, p = np.nonzero(had >= 0)
    observed = np.where(np.isnan(data["outcome"].values), np.nan, values)
    found[..., i, had[i, p], :] = observed[..., i, p, :]
    return found
