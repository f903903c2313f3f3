"""What a meta-analysis of published results is asked for: effects, what is published, and which models are right."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesdep.models.meta import estimands as meta_estimands
from bayesdep.models.model import OwnPrior, estimand
from bayesdep.models.small_studies.exact import average_models
from bayesdep.models.small_studies.settings import SmallStudiesSettings


def estimands(settings: SmallStudiesSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive what is reported; :meth:`SmallStudies.estimands` lists it.

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
    of_meta = xr.Dataset({name: posterior[name] for name in ("mu", "tau", "theta", "theta_new")})
    derived = meta_estimands.estimands(settings.meta_settings, of_meta, data).drop_vars("i2")
    added = {}
    if "weight" in posterior:
        what = "probability of publication relative to a result below all steps"
        added["weight"] = estimand(posterior["weight"], what, "ratio", null=1.0)
    if data.sizes["component"]:
        added |= _inclusion(settings, posterior["mu"], data)
    return derived.assign(added)


def _inclusion(settings: SmallStudiesSettings, like: xr.DataArray, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Posterior probability of each component and the Bayes factor for it: the same number in every draw."""
    models = average_models(settings, data)
    components = [str(component) for component in data["component"].values]
    _, probability, bayes_factor = np.array([models.inclusion(component) for component in components]).T

    def repeated(numbers: np.ndarray) -> xr.DataArray:
        values = np.broadcast_to(numbers, (*like.shape, len(components)))
        return xr.DataArray(values, {**like.coords, "component": components}, (*like.dims, "component"))

    presence = "posterior probability that it is present"
    evidence = "evidence that it is present, against absent"
    return {
        "inclusion_probability": estimand(repeated(probability), presence, "probability", null=np.nan),
        "inclusion_bayes_factor": estimand(repeated(bayes_factor), evidence, "ratio", null=np.nan),
    }


def own_prior(settings: SmallStudiesSettings, name: str, at: Mapping[str, str], data: xr.Dataset) -> OwnPrior | str:
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
        None of them has one.
    """
    del name, at, data
    if settings.averaged_components:
        return "several models are averaged: inclusion_bayes_factor compares those with a component and those without"
    return "it is not computed for selected samples; with pooled_effect = 'average' inclusion_bayes_factor has it"
