"""Missed visits given those observed and the patient's markers, draw by draw: what assumptions on dropouts start from.

A patient's outcomes are jointly normal given the patient's markers (:mod:`bayesdep.models.trajectories.scores`), so
those that were missed are normal given those that were observed.
"""

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.models.parts.missed_visits import fill_missed
from bayesdep.models.trajectories.courses import Basis
from bayesdep.models.trajectories.scores import Markers, visits_of
from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.numerics.types import Draws


def completed(
    settings: TrajectoriesSettings,
    posterior: xr.Dataset,
    data: xr.Dataset,
    own: Draws,
    assumed: Draws,
    dropped: np.ndarray,
) -> tuple[Draws, Draws]:
    """Return mean and variance of every outcome given the observed ones, and the markers, of its patient.

    Parameters
    ----------
    settings
        The model's settings.
    posterior, data, own, assumed, dropped
        As :meth:`bayesdep.models.trajectories.model.Trajectories.completed` takes them.

    Returns
    -------
    tuple of numpy.ndarray
        Both of shape (samples, subjects, visits).
    """
    outcome = data["outcome"].values
    seen = ~np.isnan(outcome)
    mean = np.where(seen, outcome, own)
    variance = np.zeros_like(mean)
    markers = Markers(settings, posterior, data) if settings.association else None
    for i in np.flatnonzero(~seen.all(axis=1)):
        shift, covariance = visits_of(settings, posterior, data, markers, int(i))
        by_markers, one = shift[:, None], [i]
        cells = np.ix_(range(len(own)), one, np.flatnonzero(~seen[i]))
        mean[cells], conditional = fill_missed(
            outcome[one], covariance, own[:, one] + by_markers, assumed[:, one] + by_markers, dropped[one]
        )
        variance[cells] = conditional[:, None, :]
    return mean, variance


def regressors(settings: TrajectoriesSettings, data: xr.Dataset) -> dict[str, np.ndarray]:
    """Return what the regression at one visit has beside arms, by name.

    Where arms are equal at the first time, that is the outcome there; its mean stands for the few that were missed, as
    an arm says nothing of a baseline (White and Thompson 2005, doi:10.1002/sim.1981).

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    dict of numpy.ndarray
        Columns (subjects, terms) by what they are.

    Raises
    ------
    BadInput
        When there are no visits of scores in several arms, from which one could drop out.
    """
    if settings.kind != "score" or settings.arm is None:
        what = f"kind = '{settings.kind}'" if settings.kind != "score" else "no arms"
        raise BadInput(
            f"dropping out is asked of scores in several arms, but this fit has {what}; give a fit of scores by arm"
        )
    if not is_planned(data):
        raise BadInput(
            "patients were seen at times of their own, so there is no visit from which one dropped out; write the "
            "planned time in every row and fit again"
        )
    columns = {}
    first, when = data["outcome"].values[:, 0], Basis.from_attrs(data["course_columns"].attrs).first
    if settings.equal_baseline and data["time"].values[0, 0] == when:
        columns["baseline"] = np.where(np.isnan(first), np.nanmean(first), first)[:, None]
    if data.sizes["covariate"]:
        columns["covariates"] = data["covariates"].values
    return columns


def is_planned(data: xr.Dataset) -> bool:
    """Whether visits are planned ones, the same for all.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    bool
        False where every patient has times of its own.
    """
    time = data["time"].values
    return bool((time == time[0]).all())
