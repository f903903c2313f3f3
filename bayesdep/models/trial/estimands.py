"""What a trial over visits is asked for: differences between arms, along a moderator, in subgroups; responses."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayesdep.models.model import OwnPrior, estimand
from bayesdep.models.parts.scale import priors_of
from bayesdep.models.trial.censored_moderator import is_latent, terms_of_patients
from bayesdep.models.trial.means import AT_VISIT
from bayesdep.models.trial.moderator import crossing, crossing_on_grid, terms_of
from bayesdep.models.trial.residuals import residual_sds
from bayesdep.models.trial.response import rates, time_in_words
from bayesdep.models.trial.settings import TrialSettings, is_log
from bayesdep.numerics.draws import over_draws
from bayesdep.numerics.types import Draws

_SIDES = {"above": 1.0, "below": -1.0}  # above a value of the moderator the treated do better; or the reference does
_LAST = {"visit": -1}


def crude_differences(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the differences of observed means, without baseline, and their standard errors.

    Parameters
    ----------
    data
        The prepared trial.

    Returns
    -------
    tuple of numpy.ndarray
        Shape (comparison x visit,).
    """
    outcome, arm = data["outcome"].values, data["arm_of"].values
    differences, errors = [], []
    for k in range(1, data.sizes["arm"]):
        treated, reference = outcome[arm == k], outcome[arm == 0]
        squared_errors = [_squared_error_of_mean(values) for values in (treated, reference)]
        differences.append(np.nanmean(treated, axis=0) - np.nanmean(reference, axis=0))
        errors.append(np.sqrt(sum(squared_errors)))
    return np.concatenate(differences), np.concatenate(errors)


def _squared_error_of_mean(values: np.ndarray) -> np.ndarray:
    """The squared standard error of an arm's mean, visit by visit; NaN where one patient was observed."""
    counts = (~np.isnan(values)).sum(axis=0)
    if counts.min() < 2:
        return np.full(len(counts), np.nan)
    return np.asarray(np.nanvar(values, axis=0, ddof=1) / counts)


def estimands(settings: TrialSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive every estimand of :class:`~bayesdep.models.trial.model.Trial`.

    With a moderator, ``difference`` is the mean over the patients at hand of the difference at their own values, and
    is linear in the coefficients, so it is exact; in a subgroup it is the mean over the subgroup's patients. A
    standardised difference is over the residual sd, what remains between patients of one baseline value, arm and
    moderator (with a covariance by arm, over the root mean square of the arms').

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of its parameters.
    data
        The prepared trial.

    Returns
    -------
    xarray.Dataset
        Estimands by name.
    """
    by_name = _differences(settings, posterior, data)
    by_name["residual_sd"] = _residual_sd(settings, posterior, data)
    if settings.margin is not None:
        by_name["beyond_margin"] = _beyond_margin(settings, by_name["difference"], settings.margin)
    if data.sizes["visit"] > 1:
        by_name["correlation"] = _correlation(settings, posterior)
    if data.sizes["covariate"]:
        by_name["covariate_effect"] = estimand(
            posterior["covariate_effect"] / data["covariate_sd"],
            "difference in means per unit of a covariate's column",
            f"{settings.units} per unit",
        )
    if settings.level is not None:
        by_name["site_sd"] = estimand(
            posterior["site_sd"], f"sd of the levels of {settings.level}", settings.units, null=np.nan
        )
    if settings.moderator is not None:
        by_name |= _along_moderator(settings, posterior, data)
    if settings.subgroups:
        by_name |= _in_subgroups(settings, posterior, data)
    if settings.response is not None or settings.remission is not None:
        by_name |= _rates(settings, posterior, data)
    return xr.Dataset(by_name)


def _against(settings: TrialSettings) -> str:
    """Which arm a difference is to, in words."""
    return f"less {settings.reference}"


def _favourable(settings: TrialSettings) -> float:
    """The sign of a difference that favours the treated."""
    return -1.0 if settings.better == "lower" else 1.0


# Differences between arms, and residuals


def _differences(settings: TrialSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Differences in means by visit, their mean over visits, and over the residual sds."""
    dims, against = ("chain", "draw", "comparison", "visit"), _against(settings)
    difference = posterior[f"arm_effect{AT_VISIT}"]
    if settings.moderator is not None:
        difference = difference + _moderation(posterior, terms_of_patients(posterior, data).mean("subject"))
    difference = difference.transpose(*dims)
    standardised = (difference / _sd_by_visit(posterior, data)).transpose(*dims)
    over_visits = f"difference in means, {against}, mean over visits"
    return {
        "difference": estimand(difference, f"difference in means, {against}", settings.units),
        "mean_difference": estimand(difference.mean("visit"), over_visits, settings.units),
        "standardised_difference": estimand(
            standardised, f"difference in residual standard deviations, {against}", "sd"
        ),
    }  # fmt: skip


def _moderation(posterior: xr.Dataset, terms: xr.DataArray) -> xr.DataArray:
    """What the moderator adds to the arms' differences at given terms."""
    return xr.dot(posterior[f"arm_by_moderator{AT_VISIT}"], terms, dim="term")


def _sd_by_visit(posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """The residual sd that differences are measured in, dims (chain, draw, visit)."""

    def root_mean_square(draws: xr.Dataset) -> xr.DataArray:
        values = np.sqrt((residual_sds(draws, data) ** 2).mean(axis=1))
        return xr.DataArray(values, {"visit": data["visit"].values}, ("sample", "visit"))

    return over_draws(posterior, root_mean_square, data.sizes["arm"] * data.sizes["visit"])


def _residual_sd(settings: TrialSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """The residual sd by visit, also where the model has one for all visits."""
    sd = posterior["residual_sd"]
    if "visit" not in sd.dims:
        sd = sd.expand_dims(visit=data["visit"].values, axis=-1)
    what = "residual scale, of a t distribution" if settings.robust else "residual sd"
    return estimand(sd.transpose("chain", "draw", ..., "visit"), what, settings.units, null=np.nan)


def _beyond_margin(settings: TrialSettings, difference: xr.DataArray, margin: float) -> xr.DataArray:
    """Whether a difference matters to patients."""
    return estimand(
        (_favourable(settings) * difference >= margin).astype(float),
        f"better than {settings.reference} by {margin:g} {settings.units} or more",
        "probability",
        probability=True,
    )


def _correlation(settings: TrialSettings, posterior: xr.Dataset) -> xr.DataArray:
    """The parameters of the correlation, under one name."""
    name, where = {
        "unstructured": ("correlation_by_pair", ""),
        "toeplitz": ("correlation_by_lag", " as many visits apart"),
        "compound-symmetry": ("rho", ""),
        "ar1": ("rho", " a visit apart"),
        "spatial-power": ("rho", " a day apart"),
    }[settings.covariance]
    return estimand(posterior[name], f"correlation of two visits{where}", "correlation")


# Along a moderator, and in its subgroups


def _along_moderator(settings: TrialSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Differences at values of the moderator and along it, and where the arms' curves cross at the last visit."""
    by_name, against = {}, _against(settings)
    if settings.at:
        labels = [f"{x:g}" for x in settings.at]
        dims = ("chain", "draw", "comparison", "moderator_value", "visit")
        at_values = _difference_at(np.array(settings.at), "moderator_value", labels, posterior, data)
        by_name["difference_at"] = estimand(
            at_values.transpose(*dims), f"difference at a value of the moderator, {against}", settings.units
        )
    grid = data["grid_value"].values
    along = _difference_at(grid, "grid", list(data["grid"].values), posterior, data).isel(_LAST, drop=True)
    along = along.transpose("chain", "draw", "comparison", "grid")
    by_name["difference_along"] = estimand(
        along, f"difference along the moderator at the last visit, {against}", settings.units
    )
    return by_name | _crossings(settings, posterior, data, along)


def _difference_at(
    values: np.ndarray, dim: str, labels: list[str], posterior: xr.Dataset, data: xr.Dataset
) -> xr.DataArray:
    """The arms' difference at values of the moderator, with a dim of these; all visits."""
    coords = {dim: labels, "term": data["term"].values}
    terms = xr.DataArray(terms_of(values, data["moderator_terms"].attrs), coords, (dim, "term"))
    return posterior[f"arm_effect{AT_VISIT}"] + _moderation(posterior, terms)


def _crossings(
    settings: TrialSettings, posterior: xr.Dataset, data: xr.Dataset, along: xr.DataArray
) -> dict[str, xr.DataArray]:
    """Where along the moderator the arms' curves cross at the last visit, on either side, and whether they do."""
    log = is_log(settings.moderator_form)
    grid = np.log(data["grid_value"].values) if log else data["grid_value"].values
    better = _favourable(settings) * along.values  # how much better the treated do
    places, are_inside = [], []
    for side, direction in _SIDES.items():
        if settings.moderator_form in ("log-spline", "threshold"):
            place, is_inside = _crossing_of_curve(direction * better, grid, data["moderator_terms"].attrs)
        else:
            sign = direction * _favourable(settings)
            place, is_inside = _crossing_of_polynomial(sign, posterior, along.dims[:-1], grid, data)
        if side == "below":
            place = np.where(is_inside, place, np.where((better > 0).all(axis=-1), grid[-1], grid[0]))
        places.append(np.exp(place) if log else place)
        are_inside.append(is_inside)
    coords = {d: along[d] for d in along.dims[:-1]} | {"side": list(_SIDES)}
    dims = (*along.dims[:-1], "side")
    crosses = xr.DataArray(np.stack(are_inside, axis=-1).astype(float), coords, dims)
    return {
        "crossing": estimand(
            xr.DataArray(np.stack(places, axis=-1), coords, dims),
            "value of the moderator above or below which it is better at the last visit, "
            f"{_against(settings)}; an end of the observed range where the difference keeps its sign inside it",
            "the moderator's unit",
            null=np.nan,
        ),
        "crosses": estimand(
            crosses,
            "the difference changes sign inside the observed range at the last visit, and it is better on that side",
            "probability",
            probability=True,
        ),
        "no_crossing": estimand(
            1 - crosses.max("side"),
            "the difference keeps its sign inside the observed range at the last visit",
            "probability",
            probability=True,
        ),
    }


def _crossing_of_curve(better: Draws, grid: np.ndarray, attrs: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Where a difference on a grid, shape (..., grid), rises through zero; at a threshold, there alone."""
    place, is_inside = crossing_on_grid(better.reshape(-1, len(grid)), grid)
    if attrs["form"] == "threshold":
        place = np.where(is_inside, attrs["threshold"], place)
    return place.reshape(better.shape[:-1]), is_inside.reshape(better.shape[:-1])


def _crossing_of_polynomial(
    sign: float, posterior: xr.Dataset, dims: tuple[Hashable, ...], grid: np.ndarray, data: xr.Dataset
) -> tuple[np.ndarray, np.ndarray]:
    """Where ``sign`` times a difference that is a line or a parabola on the grid's scale rises through zero."""
    attrs = data["moderator_terms"].attrs
    slopes = (sign * posterior[f"arm_by_moderator{AT_VISIT}"].isel(_LAST, drop=True)).transpose(*dims, "term").values
    constant = (sign * posterior[f"arm_effect{AT_VISIT}"].isel(_LAST, drop=True)).transpose(*dims).values
    square = slopes[..., 1] if slopes.shape[-1] > 1 else np.zeros(constant.shape)
    low, high = (grid[[0, -1]] - attrs["centre"]) / attrs["scale"]
    place, is_inside = crossing(constant, slopes[..., 0], square, low, high)
    at_end = np.where(place == low, grid[0], grid[-1])
    return np.where(is_inside, place * attrs["scale"] + attrs["centre"], at_end), is_inside


def _in_subgroups(settings: TrialSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Differences in subgroups: means over their patients."""
    member, against = data["subgroup_member"].astype(float), _against(settings)
    terms = xr.dot(member, terms_of_patients(posterior, data), dim="subject") / member.sum("subject")
    difference = posterior[f"arm_effect{AT_VISIT}"] + _moderation(posterior, terms)
    difference = difference.transpose("chain", "draw", "comparison", "subgroup", "visit")
    standardised = difference.isel(_LAST, drop=True) / _sd_by_visit(posterior, data).isel(_LAST, drop=True)
    return {
        "difference_in": estimand(difference, f"difference in a subgroup of the moderator, {against}", settings.units),
        "standardised_difference_in": estimand(
            standardised,
            f"difference in a subgroup at the last visit, in residual standard deviations, {against}",
            "sd",
        ),
    }


# Response and remission


def _rates(settings: TrialSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Rates by arm, their differences to the reference, and numbers needed to treat."""
    against = _against(settings)
    when = {name: time_in_words(getattr(settings, f"{name}_when"), data) for name in ("response", "remission")}
    meanings = {
        "response": f"response (a drop by {settings.response or 0:.0%} or more {when['response']})",
        "remission": f"remission ({settings.remission or 0:g} {settings.units} or less {when['remission']})",
    }
    by_name: dict[str, xr.DataArray] = {}
    for name, rate in rates(settings, posterior, data).items():
        what = meanings[str(name)]
        treated = rate.isel(arm=slice(1, None)).rename(arm="comparison")
        difference = treated - rate.isel(arm=0, drop=True)
        by_name |= {
            f"{name}_rate": estimand(rate, f"{what} if all had been in the arm", "probability", null=np.nan),
            f"{name}_difference": estimand(difference, f"risk difference of {what}, {against}", "risk difference"),
            f"{name}_nnt": estimand(
                1 / difference,
                f"number needed to treat (above 0) or harm (below 0) for {what}, against {settings.reference}",
                "patients",
                reciprocal_of=f"{name}_difference",
            ),
        }
    return by_name


def own_prior(settings: TrialSettings, name: str, at: Mapping[str, str], data: xr.Dataset) -> OwnPrior | str:
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
        Of the arms' mean difference (with two arms), ``arm_effect`` unless the moderator adds to it; of covariates.
    """
    prior = priors_of(settings, data)
    if name == "covariate_effect":
        k = list(data["covariate"].values).index(at["covariate"])
        return OwnPrior("covariate_effect", prior["covariate_effect"], (k,), 1 / float(data["covariate_sd"][k]))
    if name not in ("mean_difference", "difference"):
        return "it is a function of several parameters"
    if data.sizes["comparison"] > 1:
        return "the differences of several arms to one reference are correlated a priori"
    if settings.moderator_form == "log-quadratic" and settings.moderator is not None:
        return "it is the sum of the arm's effect and its change along the moderator's square"
    if settings.moderator is not None and is_latent(data):
        return "it is taken at the mean of a moderator that is itself estimated"
    if settings.time == "weeks":
        weeks = data["visit_number"].values / data["visit_number"].values[-1]
        visit = list(data["visit"].values).index(at["visit"]) if name == "difference" else None
        return OwnPrior("arm_effect", prior["arm_effect"], (0,), float(weeks.mean() if visit is None else weeks[visit]))
    if name == "difference" and data.sizes["visit"] > 1:
        return "it is the sum of the mean over visits and the visit's departure; mean_difference has a prior of its own"
    return OwnPrior("arm_effect", prior["arm_effect"], (0,))
