"""A meta-analysis's posterior by quadrature, where its estimates and true effects are normal."""

import dataclasses
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr

from bayesdep.models.meta.effect_scales import EffectScale, effect_scales
from bayesdep.models.meta.estimands import typical_variance_of
from bayesdep.models.meta.heterogeneity import i_squared
from bayesdep.models.meta.settings import MetaSettings
from bayesdep.models.model import ExactPosterior
from bayesdep.models.parts.scale import priors_of
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.marginals import Exponential, Function, Marginal, NormalMixture
from bayesdep.numerics.mixtures import Transformed
from bayesdep.numerics.normal_normal import NormalNormal

_ARRAYS = ("effect", "se", "covariates", "cluster_of", "covariance")

type Marginals = dict[tuple[str, tuple[tuple[str, str], ...]], Any]
"""Distributions by the estimand's name and coordinates."""


def hierarchy(settings: MetaSettings, data: xr.Dataset, kept: np.ndarray | None = None) -> NormalNormal | None:
    """Return the exact posterior's engine, where the settings have one.

    Parameters
    ----------
    settings
        The settings.
    data
        As the model prepared it.
    kept
        Which units each of many subsets keeps, shape (subsets, units); all in one subset unless given.

    Returns
    -------
    NormalNormal or None
        None where the effects or their spread are not Gaussian, or a prior that must be is not normal.
    """
    priors = settings.priors
    if not settings.is_normal or any(priors[name].dist != "Normal" for name in ("mu", "slope") if name in priors):
        return None
    arrays = tuple(
        (name, data[name].values.astype(float).tobytes(), data[name].shape) for name in _ARRAYS if name in data
    )
    engine = _engine(arrays, tuple(priors_of(settings, data).items()))
    return engine if kept is None else dataclasses.replace(engine, kept=kept)


@lru_cache(maxsize=8)
def _engine(
    arrays: tuple[tuple[str, bytes, tuple[int, ...]], ...], priors: tuple[tuple[str, Prior], ...]
) -> NormalNormal:
    """The engine of all the data; remembered with what it has computed, because a fit asks for it several times."""
    array = {name: np.frombuffer(values).reshape(shape) for name, values, shape in arrays}
    prior = dict(priors)
    return NormalNormal(
        array["effect"],
        array["se"],
        prior["mu"],
        prior["tau"],
        array.get("covariates"),
        prior.get("slope"),
        array["cluster_of"].astype(int) if "cluster_of" in array else None,
        prior.get("tau_cluster"),
        covariance=array.get("covariance"),
    )


def exact(settings: MetaSettings, data: xr.Dataset) -> ExactPosterior | None:
    """Return the exact posterior under the estimands' names.

    Parameters
    ----------
    settings
        The settings.
    data
        As the model prepared it.

    Returns
    -------
    ExactPosterior or None
        None where :func:`hierarchy` has none.
    """
    engine = hierarchy(settings, data)
    if engine is None:
        return None
    marginals: Marginals = {("mu", ()): engine.mu, ("tau", ()): engine.tau}
    for label, theta in zip(data[settings.unit].values, engine.theta, strict=True):
        marginals["theta", ((settings.unit, str(label)),)] = theta
    marginals["theta_new", ()] = engine.theta_new
    if settings.covariates is not None:
        marginals |= _along_covariates(engine, data)
    if settings.cluster is None:
        marginals["i2", ()] = _i_squared(engine, typical_variance_of(data))
    else:
        marginals["tau_cluster", ()] = engine.tau_cluster
    endless = not np.isfinite(settings.priors["tau"].scipy.support()[1])
    for scale in effect_scales(settings):
        for (name, at), marginal in list(marginals.items()):
            if name in scale.names:
                marginals[scale.names[name], at] = _on_scale(marginal, scale, endless)
    return ExactPosterior(marginals, lambda n, rng: _draws(engine, n, rng))


def _along_covariates(engine: NormalNormal, data: xr.Dataset) -> Marginals:
    """Slopes in the covariates' own units, and the effect where all covariates are zero."""
    sds, means = data["covariate_sd"].values, data["covariate_mean"].values
    marginals: Marginals = {}
    for j, name in enumerate(data["covariate"].values):
        marginals["slope", (("covariate", str(name)),)] = engine.contrasts(np.eye(1 + len(sds))[1 + j] / sds[j])[0]
    marginals["intercept", ()] = engine.contrasts(np.concatenate([[1.0], -means / sds]))[0]
    return marginals


def _i_squared(engine: NormalNormal, typical: float) -> Marginal:
    return Function(
        engine.tau,
        lambda tau: i_squared(tau, typical),
        lambda i2: np.sqrt(typical * i2 / np.maximum(100 - i2, 1e-300)),
    )


def _on_scale(marginal: NormalMixture, scale: EffectScale, endless: bool) -> Exponential | Transformed:
    if scale.f is np.exp:
        return Exponential(marginal, truncated=endless)
    return Transformed(marginal, scale.f, scale.inverse, scale.kink)


def _draws(engine: NormalNormal, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw the parameters of the likelihood; clusters' deviations are drawn from their conditional with the effects."""
    return {name: values for name, values in engine.draw(n, rng).items() if name != "deviation"}
