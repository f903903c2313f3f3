r"""Bayes factors for no effect, by the ratio of the posterior to the prior density at no effect (Savage and Dickey).

:math:`B_{01} = p(\theta_0 \mid y) / p(\theta_0)` where the model without the effect is the model itself given
:math:`\theta = \theta_0` (Dickey 1971, doi:10.1214/aoms/1177693507). A model says of which of its estimands that is
true (:class:`~bayesdep.models.model.StatesPriors`). For a prior of another width w the likelihood of
:math:`\theta_0` stays as it is, so :math:`B_{01}(w) = B_{01} / E[p_w(\theta) / p(\theta)]`, the mean being over the
posterior: importance weights, whose tail is checked (Vehtari et al. 2024, Pareto smoothed importance sampling).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr
from arviz_stats.base import array_stats
from pymc.model.transform.conditioning import prune_vars_detached_from_observed

from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import at_draws
from bayesdep.inference.fit import Fit
from bayesdep.inference.ropes import refuse_unknown_place, values_at
from bayesdep.models.model import OwnPrior, own_prior_of
from bayesdep.numerics.conditional_density import Grids, Normals, bound_in_tail, conditionals, ratio_of_normals
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.importance import GOOD_K, smooth_weights
from bayesdep.numerics.marginals import NormalMixture

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
_WIDTH_OF = {"Normal": "sigma", "StudentT": "sigma", "Cauchy": "beta"}
_DRAWS = (200, 1000)  # of the posterior at which conditional densities are computed: fewest and most
_WORK = 1_500_000  # numbers in the data times draws, where there is a choice
_LARGEST_ERROR = 0.2  # of the estimate, relative to it


@dataclass(frozen=True)
class BayesFactor:
    """The Bayes factor for no effect over an effect with the model's own prior.

    Parameters
    ----------
    prior
        Of the estimand, in its units; None where there is no Bayes factor.
    value
        How many times as probable the data are without the effect; NaN where it is not known.
    error
        Its Monte Carlo standard error; 0 where it is exact.
    bound
        What it is below, where no effect lies too far in the posterior's tail to be estimated; NaN elsewhere.
    widths
        The same for other widths of the prior: ``width`` (a multiple of the prior's), ``value``, ``error`` and
        ``pareto_k`` (NaN where exact).
    reason
        Why there is none, or no number; empty where there is.
    """

    prior: Prior | None
    value: float = np.nan
    error: float = np.nan
    bound: float = np.nan
    widths: pd.DataFrame | None = None
    reason: str = ""

    @property
    def sentence(self) -> str:
        """The Bayes factor with its prior, or why there is none."""
        if self.prior is None:
            return f"none, because {self.reason}"
        if np.isfinite(self.bound):
            return f"below {self.bound:.2g} ({self.prior})"
        if np.isnan(self.value):
            return f"not known under {self.prior}, because {self.reason}"
        return f"{self.value:.3g} ({self.prior})"


_FOUND: "WeakKeyDictionary[Fit, dict[Any, BayesFactor]]" = WeakKeyDictionary()  # a fit does not change


def check_null(fit: Fit, estimand: str, *, at: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Compute Bayes factors for no effect, under the model's prior and under wider and narrower ones.

    A Bayes factor is that of the model without the effect over the model with it. It depends on the width of the
    effect's prior however many data there are, so it is given for a quarter of the model's own width to four times it;
    with the narrowest prior it tends to 1, with the widest to infinity. It exists only where an estimand is a parameter
    with a prior of its own: not for effects that are pooled, nor for functions of several parameters.

    Parameters
    ----------
    fit
        A fit of one table.
    estimand
        Name of the estimand.
    at
        Its coordinates, label by dim; a dim that is left out stands for all its labels.

    Returns
    -------
    pandas.DataFrame
        One row per value and width: ``estimand``, one column per dim, ``width`` (a multiple of the model's), ``prior``
        (in the estimand's units), ``bayes_factor`` (for no effect; NaN where it is not known), ``error`` (Monte Carlo
        standard error), ``prob_null`` (the probability of no effect if both were equally probable before), ``pareto_k``
        (of the importance weights, NaN where exact; above 0.7 the number is left out) and ``reason`` (why there is no
        number, or what it is below).

    Raises
    ------
    BadInput
        When there is no such estimand.

    Examples
    --------
    >>> import bayesdep as bd
    >>> model = bd.Meta(measure="standardised-difference")
    >>> table = pd.DataFrame({"study": ["a", "b", "c"], "effect": [0.1, -0.2, 0.15], "se": [0.2, 0.2, 0.25]})
    >>> trials = bd.fit(model, table)
    >>> bd.check_null(trials, "mu").set_index("width")["bayes_factor"].round(2).to_list()
    [1.84, 3.14, 5.95, 11.7, 23.3]
    """
    at = dict(at or {})
    refuse_unknown_place(fit.estimands, estimand, at, "check_null")
    rows: list[dict[str, Any]] = []
    dims: list[str] = []
    for coordinates, _ in values_at(fit.estimands, estimand, at):
        found = bayes_factor(fit, estimand, dict(coordinates))
        dims = [dim for dim, _ in coordinates]
        about = {"estimand": estimand, **dict(coordinates)}
        if found.prior is None or found.widths is None:
            prior = "none" if found.prior is None else str(found.prior)
            why = found.reason if np.isnan(found.bound) else f"below {found.bound:.2g}: {found.reason}"
            rows.append({**about, "width": 1.0, "prior": prior, "reason": why})
            continue
        for width, value, error, k in found.widths.itertuples(index=False):
            prob = value / (1 + value)
            reason = "" if np.isfinite(value) else "its importance weights have too heavy a tail; fit with this prior"
            rows.append(
                {**about, "width": width, "prior": str(_widened(found.prior, width)), "bayes_factor": value,
                 "error": error, "prob_null": prob, "pareto_k": k, "reason": reason}
            )  # fmt: skip
    columns = ["width", "prior", "bayes_factor", "error", "prob_null", "pareto_k", "reason"]
    table = pd.DataFrame(rows).reindex(columns=["estimand", *dims, *columns])
    table.attrs = fit.attrs
    return table


def bayes_factor(fit: Fit, name: str, at: Mapping[str, str]) -> BayesFactor:
    """Compute the Bayes factor for no effect of one value of an estimand.

    Parameters
    ----------
    fit
        Any fit.
    name, at
        The estimand, with all its coordinates.

    Returns
    -------
    BayesFactor
        With the reason where there is none.
    """
    name = str(fit.estimands[name].attrs.get("monotone_of", name))  # a ratio's Bayes factor is that of its logarithm
    known = _FOUND.setdefault(fit, {})
    key = (name, *at.items())
    if key not in known:
        known[key] = _bayes_factor(fit, name, at)
    return known[key]


def _bayes_factor(fit: Fit, name: str, at: Mapping[str, str]) -> BayesFactor:
    own = own_prior_of(fit.model, name, at, fit.data)
    if isinstance(own, str):
        return BayesFactor(None, reason=own)
    if own.prior.dist not in _WIDTH_OF:
        return BayesFactor(None, reason=f"its prior is {own.prior}, and only of a Normal, StudentT or Cauchy the width "
                           "can be changed to show what depends on it")  # fmt: skip
    prior = _scaled(own.prior, own.factor)
    if fit.tables > 1:
        return BayesFactor(None, reason="its posterior is of several versions of the data, each with its own")
    exact = fit.exact if fit.is_exact else None
    marginal = None if exact is None else exact.marginals.get((name, tuple(at.items())))
    if isinstance(marginal, NormalMixture) and prior.dist == "Normal":
        return _of_mixture(marginal, prior)
    draws = values_of(fit.posterior, own)
    return _of_draws(fit, own, draws, prior)


def values_of(posterior: xr.Dataset, own: OwnPrior) -> np.ndarray:
    """Return the draws of a parameter, (chain, draw)."""
    values = posterior[own.variable].transpose("chain", "draw", ...).values
    at: Any = (slice(None), slice(None), *own.index)
    return np.asarray(values[at])


def _scaled(prior: Prior, factor: float) -> Prior:
    """The prior of a parameter times a number."""
    place = {"Normal": "mu", "StudentT": "mu", "Cauchy": "alpha"}[prior.dist]
    numbers: dict[str, Any] = dict(prior.parameters)
    numbers[place] *= factor
    numbers[_WIDTH_OF[prior.dist]] *= abs(factor)
    return Prior(prior.dist, **numbers)


def _widened(prior: Prior, width: float) -> Prior:
    """The prior with another width around the same centre."""
    numbers: dict[str, Any] = dict(prior.parameters)
    numbers[_WIDTH_OF[prior.dist]] *= width
    return Prior(prior.dist, **numbers)


def _of_mixture(marginal: NormalMixture, prior: Prior) -> BayesFactor:
    """From a posterior known exactly, a mixture of normals: no Monte Carlo error."""
    normals = Normals(marginal.means, marginal.sds)
    at_null = float(marginal.weights @ normals.density(0.0)) / float(prior.scipy.pdf(0.0))
    mean, sd = prior["mu"], prior["sigma"]
    rows = []
    for width in WIDTHS:
        ratio = float(marginal.weights @ ratio_of_normals(normals, mean, sd, width * sd))
        # the widened prior is around the same centre, so its density at no effect is part of the likelihood's ratio
        rows.append({"width": width, "value": at_null / ratio, "error": 0.0, "pareto_k": np.nan})
    return BayesFactor(prior, at_null, 0.0, widths=pd.DataFrame(rows))


def _of_draws(fit: Fit, own: OwnPrior, draws: np.ndarray, prior: Prior) -> BayesFactor:
    """From draws, by conditional densities."""
    kept = np.clip(_WORK / max(x.size for x in fit.data.data_vars.values()), *_DRAWS)
    every = fit.joint if own.given is None else fit.posterior  # the joint density needs latent values too
    step = max(1, int(np.ceil(every.sizes["chain"] * every.sizes["draw"] / kept)))
    posterior = every.isel(draw=slice(None, None, step))
    some = values_of(posterior, own)
    found: Normals | Grids
    if own.given is not None:
        mean, sd = (x.transpose("chain", "draw").values.ravel() for x in own.given(posterior))
        found = Normals(mean, sd)
    else:
        try:
            found = conditionals(_along(fit, own, posterior), some.ravel(), float(draws.std()), 0.0)
        except ValueError:
            return BayesFactor(prior, reason="its conditional densities do not die out within reach")
    densities = found.density(0.0).reshape(some.shape)
    at_prior = float(own.prior.scipy.pdf(0.0))
    value, error = densities.mean() / at_prior, _mcse(densities) / at_prior
    if not error <= _LARGEST_ERROR * value or _tail(densities) > GOOD_K:
        bound = bound_in_tail(draws.ravel(), 0.0, _effective(draws)) / at_prior
        reason = "no effect lies too far in the posterior's tail for a number"
        return BayesFactor(prior, bound=max(bound, 0.0), reason=reason)
    rows = []
    for width in WIDTHS:
        ratio = _ratio(found, some, own.prior, width)
        k = np.nan if width == 1 else _tail(ratio)
        spread = _mcse(densities / densities.mean() - ratio / ratio.mean()) if np.isfinite(ratio).all() else np.inf
        usable = np.isfinite(spread) and not k > GOOD_K
        rows.append(
            {"width": width, "value": value / ratio.mean() if usable else np.nan,
             "error": value / ratio.mean() * spread if usable else np.nan, "pareto_k": k}
        )  # fmt: skip
    return BayesFactor(prior, float(value), float(error), widths=pd.DataFrame(rows))


def _ratio(found: Normals | Grids, draws: np.ndarray, prior: Prior, width: float) -> np.ndarray:
    """Importance weights of another width of the prior; their means over the conditionals where these are normal."""
    if width == 1:
        return np.ones_like(draws)
    if isinstance(found, Normals) and prior.dist == "Normal":
        weights = ratio_of_normals(found, prior["mu"], prior["sigma"], width * prior["sigma"])
        return weights.reshape(draws.shape)
    log_weight = _widened(prior, width).scipy.logpdf(draws) - prior.scipy.logpdf(draws)
    return np.asarray(np.exp(log_weight))


def _mcse(values: np.ndarray) -> float:
    """Monte Carlo standard error of the mean of draws (chain, draw)."""
    if np.ptp(values) == 0:
        return 0.0
    return float(array_stats.mcse(np.ascontiguousarray(values), chain_axis=0, draw_axis=1, method="mean"))


def _effective(draws: np.ndarray) -> float:
    """Effective number of draws in the tails."""
    return float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95)))


def _tail(weights: np.ndarray) -> float:
    """The shape of a generalised Pareto distribution of the largest weights; above 0.7 their mean is not reliable."""
    with np.errstate(divide="ignore"):
        return smooth_weights(np.log(np.ravel(weights)))[1]


def _along(fit: Fit, own: OwnPrior, posterior: xr.Dataset) -> Any:
    """The joint log density along a parameter, at some draws of the others."""
    core = prune_vars_detached_from_observed(fit.model.build(fit.data))
    if own.variable not in {rv.name for rv in core.free_RVs}:
        raise BadInput(f"{type(fit.model).__name__}.own_prior names '{own.variable}', which is no sampled parameter")
    given = {}
    for rv in core.free_RVs:
        values = posterior[rv.name].transpose("chain", "draw", ...).values
        given[rv] = values.reshape(-1, *values.shape[2:])
    densities = [pm.logp(rv, rv) for rv in core.free_RVs]
    densities += [pm.logp(rv, core.rvs_to_values[rv]) for rv in core.observed_RVs]
    size = max([fit.data[v].size for v in fit.data.data_vars] + [v[0].size for v in given.values()])

    def log_density(values: np.ndarray) -> np.ndarray:
        points = values.shape[1]
        repeated = {rv: np.repeat(x, points, axis=0) for rv, x in given.items()}
        moved = repeated[core[own.variable]]
        at: Any = (slice(None), *own.index)
        moved[at] = values.ravel()
        parts = at_draws(densities, repeated, elements=int(size))
        return np.sum([part.reshape(len(moved), -1).sum(axis=1) for part in parts], axis=0).reshape(values.shape)

    return log_density
