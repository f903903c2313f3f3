"""What a meta-analysis observes, inside a PyMC model context: estimates or counts, and what hangs below them."""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.data import effects
from bayesdep.models.meta.arms import Arms
from bayesdep.models.meta.scores import directions
from bayesdep.models.parts.adaptive_effects import adaptive_effects

if TYPE_CHECKING:
    from bayesdep.models.meta.model import Meta


def observe_effects(model: "Meta", data: xr.Dataset, mean: Any, tau: Any, nu: Any) -> None:
    """Observe independent estimates around the studies' means, and let the true effects hang below them.

    Parameters
    ----------
    model, data
        The settings and the prepared data.
    mean, tau
        Mean of every true effect, or one for all, and their spread.
    nu
        Degrees of freedom of Student-t effects; None where they are normal.
    """
    import pymc as pm

    from bayesdep.numerics.student import precisions

    dims = model.unit
    y = pm.Data("effect_data", data["effect"].values, dims=dims)
    se = pm.Data("se_data", data["se"].values, dims=dims)
    if nu is not None:  # a Student t is a normal whose precision differs from study to study
        tau = tau / precisions("precision", nu, dims)
    pm.Normal("effect", mean, pm.math.sqrt(se**2 + tau**2), observed=y, dims=dims)
    shrink = tau**2 / (tau**2 + se**2)
    pm.Normal("theta", mean + shrink * (y - mean), pm.math.sqrt(shrink) * se, dims=dims)


def observe_dependent_effects(model: "Meta", data: xr.Dataset, mean: Any, tau: Any, between: Any) -> None:
    """Observe estimates that share people or a cluster; deviations and true effects hang below them.

    Parameters
    ----------
    model, data
        The settings and the prepared data.
    mean, tau
        Mean of every true effect, or one for all, and their spread.
    between
        Spread of the clusters' deviations; None without clusters.
    """
    import pymc as pm

    from bayesdep.models.meta.joint_effects import JointEffects

    dims = model.unit
    found = directions(model, data)
    y = pm.Data("effect_data", data["effect"].values, dims=dims)
    turn, variance, shared = (pm.Data(f"{name}_data", found[name]) for name in ("turn", "variance", "shared"))
    mean = mean + pm.math.zeros_like(y)
    within = pm.math.sqrt(variance + tau**2)
    JointEffects("effect", mean, within, turn, 0.0 if between is None else between, shared, observed=y, dims=dims)
    if between is not None:
        residual = ((y - mean)[:, None] * turn).sum(axis=0) / within**2
        precision = (shared**2 / within[:, None] ** 2).sum(axis=0)
        own = between**2 / (1 + between**2 * precision)
        last = (shared * residual[:, None]).sum(axis=0)
        deviation = pm.Normal("deviation", own * last, pm.math.sqrt(own), dims="cluster")
        mean = mean + deviation[pm.Data("cluster_of", data["cluster_of"].values, dims=dims)]
    shrink = tau**2 / (tau**2 + variance)
    pulled = (turn * (shrink * ((y - mean)[:, None] * turn).sum(axis=0))).sum(axis=1)
    JointEffects("theta", mean + pulled, pm.math.sqrt(shrink * variance), turn, 0.0, shared, dims=dims)


def observe_counts(model: "Meta", data: xr.Dataset, mean: Any, tau: Any) -> None:
    """Observe the counts, with every study's effect, and the midpoint of its arms, a parameter.

    Parameters
    ----------
    model, data
        The settings and the prepared data.
    mean, tau
        Mean of every true effect, or one for all, and their spread.
    """
    import pymc as pm

    dims = data["events"].dims
    events, n = (pm.Data(f"{w}_data", data[w].values, dims=dims) for w in ("events", "n"))
    if model.measure == "log-odds":
        rough = effects.log_odds(data["events"].values + 0.5, data["n"].values + 1.0)
        theta = adaptive_effects("theta", mean, tau, *rough, dims=model.unit)
        pm.Binomial("events", n=n, logit_p=theta, observed=events, dims=dims)
        return
    arms = Arms.of(data)
    guess = arms.rough()
    centre, spread = (model.priors[p].rv(p) for p in ("baseline_mean", "baseline_sd"))
    of_group = "control_group" if "control_group" in data.dims else model.unit
    middle = adaptive_effects("baseline", centre, spread, *guess["baseline"], dims=of_group)
    group = pm.Data("group_of", arms.group, dims=model.unit)
    if model.midpoint_correlation:
        rho = 2 * model.priors["rho_unit"].rv("rho_unit") - 1
        mean = mean + rho * tau * ((middle - centre) / spread)[group]
        tau = tau * pm.math.sqrt(1 - rho**2)
    if not arms.shared:
        theta = adaptive_effects("theta", mean, tau, *guess["theta"], dims=model.unit)
        sides = pm.Data("sides", np.array([-0.5, 0.5]))
        logit = middle[:, None] + theta[:, None] * sides
        if len(dims) == 1:
            logit = pm.math.concatenate([logit[:, 0], logit[:, 1]])
        pm.Binomial("events", n=n, logit_p=logit, observed=events, dims=dims)
        return
    factor = arms.factor
    root, inverse = pm.Data("factor", factor), pm.Data("factor_inverse", np.linalg.inv(factor))
    y, se = guess["theta"]
    y_free = np.linalg.solve(factor, y)
    se_free = np.sqrt(np.linalg.inv(factor) ** 2 @ se**2)
    mean = mean + pm.math.zeros_like(se)
    free = adaptive_effects("theta_free", (inverse * mean).sum(axis=1), tau, y_free, se_free, dims=model.unit)
    theta = pm.Deterministic("theta", (root * free).sum(axis=1), dims=model.unit)
    count = arms.member.sum(axis=1, keepdims=True)
    average, share = pm.Data("average", arms.member / count), pm.Data("share", arms.member / (count + 1))
    control = middle - (average * mean).sum(axis=1) / 2 - (share * (theta - mean)).sum(axis=1)
    logit = pm.math.concatenate([control, control[group] + theta])
    pm.Binomial("events", n=n, logit_p=logit, observed=events, dims=dims)
