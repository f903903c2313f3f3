"""Declarations of the tables that a paper prints of a model; :mod:`bayesdep.reporting.tables` makes them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr


@dataclass(frozen=True)
class Estimates:
    """Columns with the values of one estimand: median and interval, and the probability of lying above no effect.

    Parameters
    ----------
    of
        Name of the estimand; a table leaves out columns of one that a fit does not have.
    heading
        What stands above the columns.
    over
        The dim whose labels are columns; empty where there is one column. Its other dims are rows.
    probability
        Whether the probability of lying above the estimand's null value has a column.
    percent
        Whether a share is printed in percent.
    interval
        Whether the interval is printed beside the median; otherwise the mean stands alone.
    """

    of: str
    heading: str
    over: str = ""
    probability: bool = False
    percent: bool = False
    interval: bool = True


@dataclass(frozen=True)
class Facts:
    """Columns with what is known without the model: numbers of people, published effects, weights.

    Parameters
    ----------
    name
        Of the column where a program reads it.
    heading
        What stands above the columns.
    values
        Numbers or texts by some of the rows' dims; missing ones are printed as nothing.
    over
        The dim whose labels are columns; empty where there is one column.
    decimals
        Of numbers.
    """

    name: str
    heading: str
    values: xr.DataArray
    over: str = ""
    decimals: int = 0


@dataclass(frozen=True)
class Grid:
    """A table with a row for every label of some dims.

    Parameters
    ----------
    title
        The caption.
    rows
        Dims whose labels are rows; those that no column has are left out.
    columns
        From left to right.
    notes
        Sentences for its foot.
    derived
        From draws of the parameters (chain, draw) to further estimands that are printed here alone.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[Estimates | Facts, ...]
    notes: tuple[str, ...] = ()
    derived: Callable[[xr.Dataset], xr.Dataset] | None = None


@dataclass(frozen=True)
class Listing:
    """A table with a row for every value of some estimands, which have units of their own.

    Parameters
    ----------
    title
        The caption.
    estimands
        What each is called in print, by name; those that a fit does not have are left out.
    notes
        Sentences for its foot.
    unsigned
        Names of those that cannot lie below zero, so that the probability of lying above it is no news.
    """

    title: str
    estimands: Mapping[str, str]
    notes: tuple[str, ...] = ()
    unsigned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Characteristic:
    """Something known of every person of a sample.

    Parameters
    ----------
    name
        What it is, with its units.
    values
        One per person: numbers (NaN where missing), truth values as numbers, or labels (empty where missing).
    kind
        ``"number"`` is printed as mean and standard deviation, ``"skewed"`` as median and quartiles, ``"share"`` as
        the number of those who have it and ``"label"`` as the number of each label.
    """

    name: str
    values: np.ndarray
    kind: Literal["number", "skewed", "share", "label"] = "number"


@dataclass(frozen=True)
class Sample:
    """A table of a sample's characteristics, by arm or group.

    Parameters
    ----------
    title
        The caption.
    labels
        Of the arms or groups; one where there are none.
    group_of
        The place of each person's among them, shape (people,).
    characteristics
        From top to bottom.
    people
        What is counted.
    notes
        Sentences for its foot.
    """

    title: str
    labels: Sequence[str]
    group_of: np.ndarray
    characteristics: tuple[Characteristic, ...]
    people: str = "Patients"
    notes: tuple[str, ...] = ()


type Layout = Grid | Listing | Sample


def of_n(events: xr.DataArray, n: xr.DataArray) -> xr.DataArray:
    """Return counts as texts, ``"8 / 13"``.

    Parameters
    ----------
    events, n
        Whole numbers of the same dims.

    Returns
    -------
    xarray.DataArray
        Texts.
    """
    texts = [f"{int(e)} / {int(k)}" for e, k in zip(events.values.ravel(), n.values.ravel(), strict=True)]
    return events.copy(data=np.array(texts, dtype=object).reshape(events.shape))


def covariates_of(data: xr.Dataset, dim: str) -> tuple[Characteristic, ...]:
    """Return the covariates of people, in the units of their columns.

    Parameters
    ----------
    data
        Prepared data with ``covariates`` (dim, covariate; standardised), ``covariate_mean`` and ``covariate_sd``.
    dim
        The dim of people.

    Returns
    -------
    tuple of Characteristic
        Numbers, and levels of categorical columns as shares; none where the means are not known, as in fits that
        earlier versions saved.
    """
    if "covariate_mean" not in data:
        return ()
    values = data["covariates"].transpose(dim, "covariate").values * data["covariate_sd"].values
    columns = (values + data["covariate_mean"].values).T
    return tuple(number_or_share(name, column) for name, column in zip(data["covariate"].values, columns, strict=True))


def number_or_share(name: object, values: np.ndarray) -> Characteristic:
    """Return a characteristic: the share of those who have it where all known values are 0 or 1, else a number."""
    is_share = set(np.round(values[np.isfinite(values)], 9)) <= {0.0, 1.0}
    return Characteristic(str(name), values, "share" if is_share else "number")


def observed_at(times: xr.DataArray, outcome: xr.DataArray) -> tuple[Characteristic, ...]:
    """Return the shares of people whose outcome is known at each time.

    Parameters
    ----------
    times
        Labels of the times.
    outcome
        Shape (people, times), NaN where it was missed.

    Returns
    -------
    tuple of Characteristic
        In the order of times.
    """
    seen = np.isfinite(outcome.values).astype(float)
    pairs = zip(times.values, seen.T, strict=True)
    return tuple(Characteristic(f"Outcome observed at {time}", column, "share") for time, column in pairs)


def people_seen(
    data: xr.Dataset, visit_of: np.ndarray, arm_of: np.ndarray, people: np.ndarray | float = 1.0
) -> xr.DataArray:
    """Count people by visit and arm.

    Parameters
    ----------
    data
        Prepared data with labels ``visit`` and ``arm``.
    visit_of, arm_of
        The visit and the arm of every observation, shape (observations,).
    people
        How many people each observation is of.

    Returns
    -------
    xarray.DataArray
        Dims (visit, arm).
    """
    counts = np.zeros((data.sizes["visit"], data.sizes["arm"]))
    np.add.at(counts, (visit_of, arm_of), people)
    return xr.DataArray(counts, {"visit": data["visit"].values, "arm": data["arm"].values}, ("visit", "arm"))
