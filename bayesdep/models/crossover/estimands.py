"""Estimands of a crossover trial: differences within patients by day, and spreads."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesdep.models.crossover.design import by_treatment
from bayesdep.models.crossover.settings import CrossoverSettings
from bayesdep.models.crossover.terms import days_correlate
from bayesdep.models.model import OwnPrior, estimand
from bayesdep.models.parts.scale import priors_of


def crude_differences(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return means of patients' own differences, period left aside, and their standard errors.

    Parameters
    ----------
    data
        The prepared trial.

    Returns
    -------
    tuple of numpy.ndarray
        Shape (comparison x day,); NaN where fewer than two patients have both.
    """
    outcome = by_treatment(data["outcome"].values, data)
    own = outcome[:, 1:] - outcome[:, :1]
    n = (~np.isnan(own)).sum(axis=0)
    enough = n > 1
    mean = np.where(enough, np.nansum(own, axis=0) / np.maximum(n, 1), np.nan)
    variance = np.where(enough, np.nansum((own - mean) ** 2, axis=0) / np.maximum(n - 1, 1), np.nan)
    return mean.ravel(), np.sqrt(variance / np.maximum(n, 1)).ravel()


def estimands(settings: CrossoverSettings, posterior: xr.Dataset) -> xr.Dataset:
    """Derive every estimand of :class:`~bayesdep.Crossover`.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of its parameters.

    Returns
    -------
    xarray.Dataset
        Estimands by name.
    """
    against, points = f"less {settings.reference}", settings.units
    difference = posterior["treatment_effect"].transpose("chain", "draw", "comparison", "day")
    patient, residual = (posterior[name].transpose("chain", "draw", "day") for name in ("patient_sd", "residual_sd"))
    total = xr.DataArray(np.hypot(patient, residual))
    sign = -1.0 if settings.better == "lower" else 1.0
    found = {
        "difference": estimand(difference, f"difference within patients, {against}", points),
        "mean_difference": estimand(
            difference.mean("day"), f"difference within patients, {against}, mean over days", points
        ),
        "standardised_difference": estimand(
            difference / total, f"difference in total standard deviations, {against}", "sd"
        ),
        "period_effect": estimand(
            posterior["period_effect"].transpose("chain", "draw", "later", "day"),
            "difference of a later period from the first",
            points,
        ),
        "patient_sd": estimand(patient, "sd between patients", points, null=np.nan),
        "residual_sd": estimand(residual, "sd within patients, between their periods", points, null=np.nan),
        "total_sd": estimand(total, "total sd, between patients and within", points, null=np.nan),
        "intraclass_correlation": estimand(
            (patient / total) ** 2, "correlation of a patient's two periods", "correlation", null=np.nan
        ),
    }
    if settings.margin is not None:
        found["beyond_margin"] = estimand(
            (sign * difference >= settings.margin).astype(float),
            f"better than {settings.reference} by {settings.margin:g} {points} or more",
            "probability",
            probability=True,
        )
    if settings.carry_over:
        found["carry_over"] = estimand(
            posterior["carry_over"].transpose("chain", "draw", "comparison", "day"),
            f"difference that the treatment before leaves in the next period, {against}",
            points,
        )
    pairs = {"patient": "of a patient's own level on two days", "residual": "of two days of a period beyond that"}
    for name, what in pairs.items():
        if f"{name}_correlation" in posterior:
            values = posterior[f"{name}_correlation"].transpose("chain", "draw", "pair")
            found[f"{name}_correlation"] = estimand(values, f"correlation {what}", "correlation")
    return xr.Dataset(found)


def own_prior(settings: CrossoverSettings, name: str, at: Mapping[str, str], data: xr.Dataset) -> OwnPrior | str:
    """Return the prior of an estimand that is a parameter with a prior of its own, or why there is none, as a clause.

    Parameters
    ----------
    settings
        The model's settings.
    name, at
        The estimand and its coordinates.
    data
        The prepared data.

    Returns
    -------
    OwnPrior or str
        Of treatments, periods and what carries over where there are two and days are not correlated.
    """
    names = {"difference": "treatment_effect", "mean_difference": "treatment_effect"}
    names |= {word: word for word in ("period_effect", "carry_over")}
    if name not in names:
        return "it is a function of several parameters"
    variable = names[name]
    if data.sizes["later" if variable == "period_effect" else "comparison"] > 1:
        return "several contrasts to one reference are correlated a priori"
    if days_correlate(settings, data):
        return "effects on several days are correlated a priori; with days = 'apart' each has a prior of its own"
    if name == "mean_difference" and data.sizes["day"] > 1:
        return "it is a mean of several parameters"
    day = 0 if name == "mean_difference" else list(map(str, data["day"].values)).index(at["day"])
    return OwnPrior(variable, priors_of(settings, data)[variable], (0, day))
