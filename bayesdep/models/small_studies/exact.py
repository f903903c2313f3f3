"""The posterior of models of published effects, by the trapezoidal rule, and draws of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayesdep.models.model import ExactPosterior
from bayesdep.models.parts.scale import priors_of
from bayesdep.models.small_studies.averaging import ModelAverage, average
from bayesdep.models.small_studies.settings import BIASES, PLACEHOLDERS, SmallStudiesSettings
from bayesdep.numerics.distributions import Prior


def average_models(settings: SmallStudiesSettings, data: xr.Dataset) -> ModelAverage:
    """Return the posterior over the models, and of the parameters of each.

    Parameters
    ----------
    settings
        The settings.
    data
        As the model prepared it.

    Returns
    -------
    ModelAverage
        Log marginal likelihoods, probabilities, inclusion Bayes factors, marginals.
    """
    y, se = (tuple(data[name].values.astype(float).tolist()) for name in ("effect", "se"))
    priors = PLACEHOLDERS | priors_of(settings, data)  # of a parameter that is zero in all models any will do
    return average(y, se, settings.sign, tuple(settings.steps), tuple(priors.items()), settings.kinds)


def exact(settings: SmallStudiesSettings, data: xr.Dataset) -> ExactPosterior:
    """Return the exact posterior under the estimands' names.

    Parameters
    ----------
    settings
        The settings.
    data
        As the model prepared it.

    Returns
    -------
    ExactPosterior
        Marginals of ``mu`` and ``tau``; what else is reported comes from the draws.
    """
    models = average_models(settings, data)
    marginals: dict[Any, Any] = {(name, ()): models.marginal(name) for name in ("mu", "tau") if name in settings.priors}
    priors = priors_of(settings, data)
    return ExactPosterior(marginals, lambda n, rng: _draw(settings, models, priors, n, rng))


def _draw(
    settings: SmallStudiesSettings,
    models: ModelAverage,
    priors: Mapping[str, Prior],
    n: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Draw the variables of the PyMC model; a parameter that the model of a draw lacks is drawn from its prior."""
    kind_of, drawn = models.draw(n, rng)
    variables: dict[str, np.ndarray] = {}
    for name, prior in priors.items():
        if name == "share":
            values = np.stack([drawn[f"share_{j + 1}"] for j in range(len(settings.steps))], axis=1)
        else:
            values = drawn[name]
        absent = np.isnan(values)
        from_prior = prior.scipy.rvs(size=values.shape, random_state=rng)
        variables[settings.variables.get(name, name)] = np.where(absent, from_prior, values)
    kinds = [kind for kind, _ in settings.kinds]
    for name, state in (("effect", settings.pooled_effect), ("spread", settings.spread)):
        if state == "average":
            variables[f"has_{name}"] = np.array([getattr(kind, name) for kind in kinds]).astype(int)[kind_of]
    if settings.bias == "average":
        variables["kind"] = np.array([list(BIASES).index(kind.bias) for kind in kinds])[kind_of]
    return variables
