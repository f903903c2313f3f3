"""Courses of arms from draws: means of the outcome and of the markers at any times, and links along a path."""

from collections.abc import Hashable

import numpy as np
import xarray as xr

from bayesdep.models.trajectories.courses import Basis
from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.models.trajectories.subgroups import of_patients
from bayesdep.numerics.draws import draws_of
from bayesdep.numerics.types import Draws

_STEPS = 200  # of the follow-up, over which a path is integrated
_NEAR = 1e-4  # share of the follow-up over which a slope is taken


def arm_codes_of(data: xr.Dataset) -> np.ndarray:
    """Return the codes of the arms, shape (arm, comparison), as patients of each have them."""
    first = [int(np.flatnonzero(data["arm_of"].values == a)[0]) for a in range(data.sizes["arm"])]
    return np.asarray(data["arm_code"].values[first])


def mean_outcomes(settings: TrajectoriesSettings, posterior: xr.Dataset, data: xr.Dataset, time: np.ndarray) -> Draws:
    """Return arms' means of the outcome, at covariates' means.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws with dim ``sample``.
    data
        The prepared data.
    time
        In the table's unit, shape (times,).

    Returns
    -------
    numpy.ndarray
        Shape (samples, arms, times).
    """
    basis = Basis.from_attrs(data["course_columns"].attrs)
    columns = basis.columns(time)[..., settings.first_term :]
    mean = float(data["centre"]) + draws_of(posterior, "course", "term") @ columns.T
    mean = np.repeat(mean[:, None], data.sizes["arm"], axis=1)
    if settings.arm is None:
        return mean
    code = arm_codes_of(data)
    difference = draws_of(posterior, "arm_change", "comparison", "change") @ _of_arms(settings, basis, time).T
    if not settings.equal_baseline:
        difference = difference + draws_of(posterior, "arm_effect", "comparison")[..., None]
    return np.asarray(mean + np.einsum("ac,sct->sat", code, difference))


def mean_markers(settings: TrajectoriesSettings, posterior: xr.Dataset, data: xr.Dataset, time: np.ndarray) -> Draws:
    """Return arms' means of the markers' log2 concentrations.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws with dim ``sample``.
    data
        The prepared data.
    time
        In the table's unit, shape (times,).

    Returns
    -------
    numpy.ndarray
        Shape (samples, analytes, arms, times).
    """
    basis = Basis.from_attrs(data["marker_course_columns"].attrs)
    mean = draws_of(posterior, "marker_course", "analyte", "marker_term") @ basis.columns(time).T
    mean = mean + data["marker_centre"].values[:, None]
    mean = np.repeat(mean[:, :, None], data.sizes["arm"], axis=2)
    if settings.arm is None:
        return np.asarray(mean)
    code = arm_codes_of(data)
    change = draws_of(posterior, "marker_arm_change", "analyte", "comparison", "marker_change")
    difference = change @ _of_arms(settings, basis, time).T
    if not settings.equal_baseline:
        difference = difference + draws_of(posterior, "marker_arm_effect", "analyte", "comparison")[..., None]
    return np.asarray(mean + np.einsum("ac,smct->smat", code, difference))


def _of_arms(settings: TrajectoriesSettings, basis: Basis, time: np.ndarray) -> np.ndarray:
    """The columns of arms' differences after the first."""
    return basis.since_first(time) if settings.equal_baseline else basis.columns(time)[..., 1:]


def along_path(
    settings: TrajectoriesSettings, posterior: xr.Dataset, data: xr.Dataset, time: np.ndarray
) -> dict[str, Draws]:
    """Return what each link has of the difference between an arm's course of a marker and the reference's.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws with dim ``sample``.
    data
        The prepared data.
    time
        In the table's unit, shape (times,).

    Returns
    -------
    dict of numpy.ndarray
        By link, shape (samples, analytes, comparisons, times), in doublings; with ``"level"``, the difference at the
        first time. Means over time are by the trapezoidal rule, slopes by a difference.
    """
    basis = Basis.from_attrs(data["marker_course_columns"].attrs)
    length = basis.last - basis.first

    def difference(at: np.ndarray) -> Draws:
        mean = mean_markers(settings, posterior, data, at)
        return np.asarray(mean[:, :, 1:] - mean[:, :, :1])

    start, now = difference(np.array([basis.first])), difference(time)
    found = {"value": now, "change": now - start, "baseline": start * basis.share(time), "level": start + 0 * now}
    if "slope" in settings.association:
        step = _NEAR * length
        found["slope"] = (difference(time + step) - difference(time - step)) / (2 * _NEAR)
    if "area" in settings.association:
        means = []
        for t in time:
            at = np.linspace(basis.first, t, _STEPS + 1)
            path = difference(at)
            means.append(np.trapezoid(path, at, axis=-1) / (t - basis.first) if t > basis.first else path[..., 0])
        found["area"] = np.stack(means, axis=-1)
    return found


def labelled(values: Draws, dims: tuple[str, ...], data: xr.Dataset) -> xr.DataArray:
    """Return draws with the labels of the data.

    Parameters
    ----------
    values
        Draws first.
    dims
        The other dims.
    data
        The prepared data.

    Returns
    -------
    xarray.DataArray
        With dim ``sample`` first.
    """
    coords: dict[Hashable, np.ndarray] = {d: data[d].values for d in dims}
    return xr.DataArray(values, coords, ("sample", *dims))


def mean_outcomes_of_patients(settings: TrajectoriesSettings, posterior: xr.Dataset, data: xr.Dataset) -> Draws:
    """Return the mean of every patient at every visit, deviations aside.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws with dim ``sample``.
    data
        The prepared data.

    Returns
    -------
    numpy.ndarray
        Shape (samples, subjects, visits).
    """
    mean = float(data["centre"]) + np.einsum(
        "sk,ivk->siv", draws_of(posterior, "course", "term"), data["course_columns"].values
    )
    if settings.arm is not None:
        a = data["arm_code"].values
        change = draws_of(posterior, "arm_change", "comparison", "change")
        mean = mean + np.einsum("ic,sck,ivk->siv", a, change, data["arm_columns"].values)
        if not settings.equal_baseline:
            mean = mean + (draws_of(posterior, "arm_effect", "comparison") @ a.T)[..., None]
    if settings.covariates is not None:
        mean = mean + (draws_of(posterior, "covariate_effect", "covariate") @ data["covariates"].values.T)[..., None]
    if settings.subgroups:
        share = Basis.from_attrs(data["course_columns"].attrs).share(data["time"].values)
        powers = np.stack([share**k for k in range(len(settings.powers))])
        mean = mean + np.einsum("spi,piv->siv", of_patients(posterior, data, "course"), powers)
        if "difference" in settings.questions:
            apart = of_patients(posterior, data, "difference")
            mean = mean + np.einsum("sci,ic,iv->siv", apart, data["arm_code"].values, share)
    return np.asarray(mean)


def mean_markers_of_patients(settings: TrajectoriesSettings, posterior: xr.Dataset, data: xr.Dataset) -> Draws:
    """Return the mean of every marker's log2 concentration in every patient at every time, deviations aside.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws with dim ``sample``.
    data
        The prepared data.

    Returns
    -------
    numpy.ndarray
        Shape (samples, subjects, analytes, times).
    """
    course = draws_of(posterior, "marker_course", "analyte", "marker_term")
    mean = np.einsum("smk,ivk->simv", course, data["marker_course_columns"].values)
    mean = mean + data["marker_centre"].values[:, None]
    if settings.arm is not None:
        a = data["arm_code"].values
        change = draws_of(posterior, "marker_arm_change", "analyte", "comparison", "marker_change")
        mean = mean + np.einsum("ic,smck,ivk->simv", a, change, data["marker_arm_columns"].values)
        if not settings.equal_baseline:
            effect = draws_of(posterior, "marker_arm_effect", "analyte", "comparison")
            mean = mean + np.einsum("ic,smc->sim", a, effect)[..., None]
        if settings.subgroups and "marker_difference" in settings.questions:
            share = Basis.from_attrs(data["marker_course_columns"].attrs).share(data["marker_time"].values)
            apart = of_patients(posterior, data, "marker_difference")
            mean = mean + np.einsum("smci,ic,iv->simv", apart, a, share)
    return np.asarray(mean)
