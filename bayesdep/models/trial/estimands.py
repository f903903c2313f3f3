"""What a trial over visits is asked for: differences between arms, along a moderator, in subgroups; responses."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayesdep.models.model import estimand
from bayesdep.models.trial.means import AT_VISIT
from bayesdep.models.trial.moderator import crossover, crossover_on_grid, is_log, terms_of
from bayesdep.models.trial.residuals import residual_sds
from bayesdep.models.trial.response import rates, time_in_words

if TYPE_CHECKING:
    from bayesdep.models.trial.model import Trial

_SIDES = ("above", "below")


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
    found = []
    for k in range(1, data.sizes["arm"]):
        one, other = outcome[arm == k], outcome[arm == 0]
        counts = [(~np.isnan(x)).sum(axis=0) for x in (one, other)]
        variance = [np.nanvar(x, axis=0, ddof=1) / n if n.min() > 1 else np.full(len(n), np.nan)
                    for x, n in zip((one, other), counts, strict=True)]  # fmt: skip
        found.append((np.nanmean(one, axis=0) - np.nanmean(other, axis=0), np.sqrt(sum(variance))))
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


def estimands(model: "Trial", posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive every estimand of :class:`~bayesdep.models.trial.model.Trial`.

    With a moderator, ``difference`` is the mean over the patients at hand of the difference at their own values, and
    is linear in the coefficients, so it is exact; in a subgroup it is the mean over the subgroup's patients. A
    standardised difference is over the residual sd, what remains between patients of one baseline value, arm and
    moderator (with a covariance by arm, over the root mean square of the arms').

    Parameters
    ----------
    model
        The model.
    posterior
        Draws of its parameters.
    data
        The prepared trial.

    Returns
    -------
    xarray.Dataset
        Estimands by name.
    """
    against = f"less {model.reference}"
    dims = ("chain", "draw", "comparison", "visit")
    difference = posterior[f"arm_effect{AT_VISIT}"]
    if model.moderator is not None:
        difference = difference + _moderation(posterior, data["moderator_terms"].mean("subject"))
    difference = difference.transpose(*dims)
    sd = _sd_by_visit(posterior, data)
    sign = -1.0 if model.better == "lower" else 1.0
    own_sd = posterior["residual_sd"]
    if "visit" not in own_sd.dims:
        own_sd = own_sd.expand_dims(visit=data["visit"].values, axis=-1)
    what = "residual scale, of a t distribution" if model.robust else "residual sd"
    found = {
        "difference": estimand(difference, f"difference in means, {against}", model.units),
        "mean_difference": estimand(
            difference.mean("visit"), f"difference in means, {against}, mean over visits", model.units
        ),
        "standardised_difference": estimand(
            (difference / sd).transpose(*dims), f"difference in residual standard deviations, {against}", "sd"
        ),
        "residual_sd": estimand(own_sd.transpose("chain", "draw", ..., "visit"), what, model.units, null=np.nan),
    }
    if model.margin is not None:
        found["beyond_margin"] = estimand(
            (sign * difference >= model.margin).astype(float),
            f"better than {model.reference} by {model.margin:g} {model.units} or more",
            "probability",
            probability=True,
        )
    name, where = {
        "unstructured": ("correlation_by_pair", ""),
        "toeplitz": ("correlation_by_lag", " as many visits apart"),
        "ar1": ("rho", " a visit apart"),
        "spatial-power": ("rho", " a day apart"),
    }.get(model.covariance, ("rho", ""))
    if data.sizes["visit"] > 1:
        found["correlation"] = estimand(posterior[name], f"correlation of two visits{where}", "correlation")
    if data.sizes["covariate"]:
        found["covariate_effect"] = estimand(
            posterior["covariate_effect"] / data["covariate_sd"],
            "difference in means per unit of a covariate's column",
            f"{model.units} per unit",
        )
    if model.level is not None:
        found["site_sd"] = estimand(
            posterior["site_sd"], f"sd of the levels of {model.level}", model.units, null=np.nan
        )
    if model.moderator is not None:
        found |= _along_moderator(model, posterior, data, sign, against)
    if model.subgroups:
        found |= _in_subgroups(model, posterior, data, sd, against)
    if model.response is not None or model.remission is not None:
        found |= _rates(model, posterior, data, against)
    return xr.Dataset(found)


def _moderation(posterior: xr.Dataset, terms: xr.DataArray) -> xr.DataArray:
    """What the moderator adds to the arms' differences at given terms."""
    return xr.dot(posterior[f"arm_by_moderator{AT_VISIT}"], terms, dim="term")


def _sd_by_visit(posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """The residual sd that differences are measured in, dims (chain, draw, visit)."""
    flat = posterior.stack(sample=("chain", "draw"), create_index=False)
    root_mean_square = np.sqrt((residual_sds(flat, data) ** 2).mean(axis=1))
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], data.sizes["visit"])
    coords = {d: posterior[d] for d in ("chain", "draw")} | {"visit": data["visit"].values}
    return xr.DataArray(root_mean_square.reshape(shape), coords, ("chain", "draw", "visit"))


def _along_moderator(
    model: "Trial", posterior: xr.Dataset, data: xr.Dataset, sign: float, against: str
) -> dict[str, xr.DataArray]:
    attrs, form = data["moderator_terms"].attrs, model.moderator_form
    effect, both = posterior[f"arm_effect{AT_VISIT}"], posterior[f"arm_by_moderator{AT_VISIT}"]

    def at(values: np.ndarray, dim: str, labels: Sequence[str]) -> xr.DataArray:
        terms = xr.DataArray(terms_of(values, attrs), {dim: list(labels), "term": data["term"].values}, (dim, "term"))
        return effect + _moderation(posterior, terms)

    found = {}
    if model.at:
        labels = [f"{x:g}" for x in model.at]
        order = ("chain", "draw", "comparison", "moderator_value", "visit")
        values = at(np.array(model.at), "moderator_value", labels).transpose(*order)
        found["difference_at"] = estimand(values, f"difference at a value of the moderator, {against}", model.units)
    last = {"visit": -1}
    grid = data["grid_value"].values
    along = at(grid, "grid", list(data["grid"].values)).isel(last, drop=True)
    along = along.transpose("chain", "draw", "comparison", "grid")
    found["difference_along"] = estimand(
        along, f"difference along the moderator at the last visit, {against}", model.units
    )
    scale = np.log(grid) if is_log(form) else grid
    low, high = scale[[0, -1]]
    better = sign * along.values
    places, insides = [], []
    for side in _SIDES:
        # below a place the treated do better where above it the reference does
        turned = 1.0 if side == "above" else -1.0
        if form in ("log-spline", "threshold"):
            place, inside = crossover_on_grid(turned * better.reshape(-1, len(grid)), scale)
            if form == "threshold":
                place = np.where(inside, attrs["threshold"], place)
            place, inside = (x.reshape(better.shape[:-1]) for x in (place, inside))
        else:
            slopes = (turned * sign * both.isel(last, drop=True)).transpose(*along.dims[:-1], "term").values
            constant = (turned * sign * effect.isel(last, drop=True)).transpose(*along.dims[:-1]).values
            square = slopes[..., 1] if slopes.shape[-1] > 1 else np.zeros(constant.shape)
            ends = (scale[[0, -1]] - attrs["centre"]) / attrs["scale"]
            place, inside = crossover(constant, slopes[..., 0], square, *ends)
            place = np.where(inside, place * attrs["scale"] + attrs["centre"], np.where(place == ends[0], low, high))
        if side == "below":
            place = np.where(inside, place, np.where((better > 0).all(axis=-1), high, low))
        places.append(np.exp(place) if is_log(form) else place)
        insides.append(inside)
    coords = {d: along[d] for d in along.dims[:-1]} | {"side": list(_SIDES)}
    dims = (*along.dims[:-1], "side")
    found["crossover"] = estimand(
        xr.DataArray(np.stack(places, axis=-1), coords, dims),
        f"value of the moderator above or below which it is better at the last visit, {against}; an end of the "
        "observed range where the arms do not change places inside it",
        "the moderator's unit",
        null=np.nan,
    )
    found["crosses"] = estimand(
        xr.DataArray(np.stack(insides, axis=-1).astype(float), coords, dims),
        "the arms change places inside the observed range at the last visit, and it is better on that side",
        "probability",
        probability=True,
    )
    found["no_crossover"] = estimand(
        1 - found["crosses"].max("side"),
        "the arms do not change places inside the observed range at the last visit",
        "probability",
        probability=True,
    )
    return found


def _in_subgroups(
    model: "Trial", posterior: xr.Dataset, data: xr.Dataset, sd: xr.DataArray, against: str
) -> dict[str, xr.DataArray]:
    member = data["subgroup_member"].astype(float)
    terms = xr.dot(member, data["moderator_terms"], dim="subject") / member.sum("subject")
    difference = (posterior[f"arm_effect{AT_VISIT}"] + _moderation(posterior, terms)).transpose(
        "chain", "draw", "comparison", "subgroup", "visit"
    )
    last = difference.isel(visit=-1, drop=True)
    return {
        "difference_in": estimand(difference, f"difference in a subgroup of the moderator, {against}", model.units),
        "standardised_difference_in": estimand(
            last / sd.isel(visit=-1, drop=True),
            f"difference in a subgroup at the last visit, in residual standard deviations, {against}",
            "sd",
        ),
    }


def _rates(model: "Trial", posterior: xr.Dataset, data: xr.Dataset, against: str) -> dict[str, xr.DataArray]:
    when = {name: time_in_words(getattr(model, f"{name}_when"), data) for name in ("response", "remission")}
    said = {
        "response": f"response (a drop by {model.response or 0:.0%} or more {when['response']})",
        "remission": f"remission ({model.remission or 0:g} {model.units} or less {when['remission']})",
    }
    found: dict[str, xr.DataArray] = {}
    for name, rate in rates(model, posterior, data).items():
        what = said[str(name)]
        treated = rate.isel(arm=slice(1, None)).rename(arm="comparison")
        difference = treated - rate.isel(arm=0, drop=True)
        found |= {
            f"{name}_rate": estimand(rate, f"{what} had all been in the arm", "probability", null=np.nan),
            f"{name}_difference": estimand(difference, f"risk difference of {what}, {against}", "risk difference"),
            f"{name}_nnt": estimand(
                1 / difference,
                f"number needed to treat (above 0) or harm (below 0) for {what}, against {model.reference}",
                "patients",
                reciprocal_of=f"{name}_difference",
            ),
        }
    return found
