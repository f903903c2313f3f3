"""What a meta-analysis is asked for: effects, their spread, ratios, risks and numbers needed to treat."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesdep.data import effects
from bayesdep.models.meta.arms import Arms
from bayesdep.models.meta.effect_scales import effect_scales
from bayesdep.models.meta.heterogeneity import i_squared, typical_variance
from bayesdep.models.meta.settings import MetaSettings
from bayesdep.models.model import OwnPrior, estimand
from bayesdep.models.parts.scale import priors_of


def estimands(settings: MetaSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive the quantities a meta-analysis reports; :meth:`Meta.estimands` lists them.

    Parameters
    ----------
    settings
        The settings.
    posterior
        Draws of the parameters, ``theta`` and ``theta_new``.
    data
        As the model prepared it.

    Returns
    -------
    xarray.Dataset
        Each with units and description.
    """
    derived = _effects(settings, posterior)
    if settings.covariates is not None:
        derived |= _along_covariates(settings, posterior, data)
    derived |= _spreads(settings, posterior, data)
    for scale in effect_scales(settings):
        for effect, name in scale.names.items():
            values = xr.DataArray(scale.f(posterior[effect]))
            description = scale.describe(derived[effect].description)
            derived[name] = estimand(values, description, scale.units, null=scale.null, monotone_of=effect)
    derived |= _numbers_needed_to_treat(settings, derived)
    return xr.Dataset(derived)


def _null(settings: MetaSettings) -> dict[str, float]:
    """The value of no effect, where it is not zero: of log odds there is none, as even odds are not "no effect"."""
    return {"null": np.nan} if settings.measure == "log-odds" else {}


def _effects(settings: MetaSettings, posterior: xr.Dataset) -> dict[str, xr.DataArray]:
    """The pooled effect, the spread between studies, and the effects of the studies and of a new one."""
    units, rows, null = settings.effect_units, settings.units_in_plural, _null(settings)
    where = "" if settings.covariates is None else " at the covariates' means"
    spread = "scale of the differences" if settings.heterogeneity == "student-t" else "standard deviation"
    return {
        "mu": estimand(posterior["mu"], f"pooled effect{where}", units, **null),
        "tau": estimand(posterior["tau"], f"{spread} between {rows}", units),
        "theta": estimand(posterior["theta"], f"effect of each {settings.unit}, shrunken", units, **null),
        "theta_new": estimand(posterior["theta_new"], f"effect in a new {settings.unit}{where}", units, **null),
    }


def _along_covariates(settings: MetaSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Slopes in the covariates' own units, and the effect where all covariates are zero."""
    units = settings.effect_units
    slope = posterior["slope"] / data["covariate_sd"]
    intercept = posterior["mu"] - (slope * data["covariate_mean"]).sum("covariate")
    return {
        "slope": estimand(slope, "change of the effect per unit of a covariate", f"{units} per unit"),
        "intercept": estimand(intercept, "pooled effect where all covariates are zero", units, **_null(settings)),
    }


def _spreads(settings: MetaSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Spread between clusters, correlation with the midpoint, degrees of freedom and I squared, where there are any."""
    units, rows = settings.effect_units, settings.units_in_plural
    derived = {}
    spread = posterior["tau"]
    if settings.cluster is not None:
        derived["tau_cluster"] = estimand(posterior["tau_cluster"], "standard deviation between clusters", units)
        spread = xr.DataArray(np.hypot(posterior["tau"], posterior["tau_cluster"]))
    if "rho_unit" in posterior:
        rho = 2 * posterior["rho_unit"] - 1
        derived["rho"] = estimand(rho, "correlation of the midpoint of a study's arms and its effect", "correlation")
    if settings.has_unknown_nu:
        derived["nu"] = estimand(posterior["nu"], f"degrees of freedom of the {rows}", "degrees of freedom")
    if settings.is_normal:
        share = i_squared(spread, typical_variance_of(data))
        derived["i2"] = estimand(share, f"share of variance that is between {rows} (I squared)", "%")
    return derived


def _numbers_needed_to_treat(settings: MetaSettings, derived: dict[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """One over each risk difference, whether it was measured or follows at a control risk."""
    if "risk_difference" in derived:
        sources = {"nnt": "risk_difference", "nnt_new": "risk_difference_new"}
    elif settings.measure == "risk-difference":
        sources = {"nnt": "mu", "nnt_new": "theta_new"}
    else:
        return {}
    what = "number needed to treat (above 0) or harm (below 0)"
    return {
        name: estimand(1 / derived[of], f"{what}: {derived[of].description}", "people", reciprocal_of=of)
        for name, of in sources.items()
    }


def typical_variance_of(data: xr.Dataset) -> float:
    """Return the typical within-study variance of prepared data, as I squared has it."""
    design, covariance = (data[word].values if word in data else None for word in ("covariates", "covariance"))
    return typical_variance(data["se"].values, design, covariance)


def crude_effects(settings: MetaSettings, data: xr.Dataset) -> effects.Estimate:
    """Return each unit's own estimate and standard error; NaN where it has none without the model.

    Parameters
    ----------
    settings
        The settings.
    data
        As the model prepared it.

    Returns
    -------
    tuple of numpy.ndarray
        Estimates and standard errors, shape (units,).
    """
    if settings.likelihood == "gaussian":
        return data["effect"].values, data["se"].values
    with np.errstate(divide="ignore", invalid="ignore"):  # empty cells become NaN below
        if settings.measure == "log-odds":
            events, n = data["events"].values, data["n"].values
            effect, se = effects.log_odds(events, n)
        else:
            arms = Arms.of(data)
            events, n = arms.pairs(arms.events), arms.pairs(arms.n)
            effect, se = effects.log_odds_ratio(events[:, 1], n[:, 1], events[:, 0], n[:, 0])
    empty = ((events == 0) | (events == n)).reshape(len(events), -1).any(axis=1)
    return np.where(empty, np.nan, effect), np.where(empty, np.nan, se)


def own_prior(settings: MetaSettings, name: str, at: Mapping[str, str], data: xr.Dataset) -> OwnPrior | str:
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
        Of the pooled effect and of slopes.
    """
    prior = priors_of(settings, data)
    if name == "mu" and settings.measure == "log-odds":
        return "even odds are not the same as no effect"
    if name == "mu":
        return OwnPrior("mu", prior["mu"])
    if name == "slope":
        k = list(data["covariate"].values).index(at["covariate"])
        return OwnPrior("slope", prior["slope"], (k,), 1 / float(data["covariate_sd"][k]))
    if name in ("theta", "theta_new"):
        return "it is pooled: without an effect in one, the others would have another prior than in a model without it"
    return "it is no parameter with a prior of its own; mu is"
