"""What a meta-analysis observes, inside a PyMC model context: estimates or counts, and the true effects behind them."""

from typing import Any

import numpy as np
import xarray as xr

from bayesdep.data import effects
from bayesdep.models.meta.arms import Arms
from bayesdep.models.meta.directions import Directions
from bayesdep.models.parts.adaptive_effects import adaptive_effects
from bayesdep.numerics.types import Tensor


def observe_effects(data: xr.Dataset, unit: str, mean: Tensor, tau: Tensor) -> None:
    """Observe independent estimates around the studies' means; draw the true effects from their conditional.

    Parameters
    ----------
    data
        The prepared data.
    unit
        Name of the studies' dim.
    mean
        Mean of every true effect, or one for all.
    tau
        Their spread, or the spread of each.
    """
    import pymc as pm

    y = pm.Data("effect_data", data["effect"].values, dims=unit)
    se = pm.Data("se_data", data["se"].values, dims=unit)
    pm.Normal("effect", mean, pm.math.sqrt(se**2 + tau**2), observed=y, dims=unit)
    shrink = tau**2 / (tau**2 + se**2)
    pm.Normal("theta", mean + shrink * (y - mean), pm.math.sqrt(shrink) * se, dims=unit)


def observe_student_effects(data: xr.Dataset, unit: str, mean: Tensor, tau: Tensor, nu: Tensor) -> None:
    """Observe independent estimates of true effects that are Student t: normal, with a precision of each study.

    Parameters
    ----------
    data, unit, mean
        As in :func:`observe_effects`.
    tau, nu
        Scale and degrees of freedom of the Student t.
    """
    from bayesdep.numerics.student import precisions

    observe_effects(data, unit, mean, tau / precisions("precision", nu, unit))


def observe_dependent_effects(
    data: xr.Dataset, unit: str, mean: Tensor, tau: Tensor, tau_cluster: Tensor | None
) -> None:
    """Observe estimates that share people or a cluster; draw deviations and true effects from their conditionals.

    Parameters
    ----------
    data, unit, mean, tau
        As in :func:`observe_effects`.
    tau_cluster
        Spread of the clusters' deviations; None without clusters.
    """
    import pymc as pm

    from bayesdep.models.meta.joint_effects import JointEffects

    directions = Directions.of(data)
    y = pm.Data("effect_data", data["effect"].values, dims=unit)
    turn, variance, shared = (
        pm.Data(f"{name}_data", getattr(directions, name)) for name in ("turn", "variance", "shared")
    )
    mean = mean + pm.math.zeros_like(y)
    sd = pm.math.sqrt(variance + tau**2)
    between = 0.0 if tau_cluster is None else tau_cluster
    JointEffects("effect", mean, sd, turn, between, shared, observed=y, dims=unit)
    if tau_cluster is not None:
        w = sd**-2
        conditional = tau_cluster**2 / (1 + tau_cluster**2 * (w @ shared**2))
        pull = (w * ((y - mean) @ turn)) @ shared
        deviation = pm.Normal("deviation", conditional * pull, pm.math.sqrt(conditional), dims="cluster")
        mean = mean + deviation[pm.Data("cluster_of", data["cluster_of"].values, dims=unit)]
    shrink = tau**2 / (tau**2 + variance)
    pulled = turn @ (shrink * ((y - mean) @ turn))
    JointEffects("theta", mean + pulled, pm.math.sqrt(shrink * variance), turn, 0.0, shared, dims=unit)


def observe_events(data: xr.Dataset, unit: str, mean: Tensor, tau: Tensor) -> None:
    """Observe the counts of single arms, whose log odds are the effects.

    Parameters
    ----------
    data, unit, mean, tau
        As in :func:`observe_effects`.
    """
    import pymc as pm

    events, n = _counts(data)
    rough = effects.log_odds(data["events"].values + 0.5, data["n"].values + 1.0)
    theta = adaptive_effects("theta", mean, tau, *rough, dims=unit)
    pm.Binomial("events", n=n, logit_p=theta, observed=events, dims=data["events"].dims)


def observe_pairs(data: xr.Dataset, unit: str, mean: Tensor, tau: Tensor, midpoint: Tensor) -> None:
    """Observe the counts of a control and a treated arm of every study.

    Parameters
    ----------
    data, unit, mean, tau
        As in :func:`observe_effects`.
    midpoint
        Midpoint of the log odds of each study's arms.
    """
    import pymc as pm

    dims = data["events"].dims
    events, n = _counts(data)
    theta = adaptive_effects("theta", mean, tau, *Arms.of(data).rough()["theta"], dims=unit)
    sides = pm.Data("sides", np.array([-0.5, 0.5]))
    logit = midpoint[:, None] + theta[:, None] * sides
    if len(dims) == 1:
        logit = pm.math.concatenate([logit[:, 0], logit[:, 1]])
    pm.Binomial("events", n=n, logit_p=logit, observed=events, dims=dims)


def observe_shared_controls(
    data: xr.Dataset, unit: str, mean: Tensor, tau: Tensor, midpoint: Tensor, group: Tensor
) -> None:
    """Observe the counts of treated arms and of control groups that several of them share.

    Parameters
    ----------
    data, unit, mean, tau
        As in :func:`observe_effects`.
    midpoint
        Midpoint of the log odds of each control group and the average of its treated arms.
    group
        Number of the control group of each effect.
    """
    import pymc as pm

    arms = Arms.of(data)
    events, n = _counts(data)
    factor = arms.factor
    root, inverse = pm.Data("factor", factor), pm.Data("factor_inverse", np.linalg.inv(factor))
    y, se = arms.rough()["theta"]
    y_free = np.linalg.solve(factor, y)
    se_free = np.sqrt(np.linalg.inv(factor) ** 2 @ se**2)
    mean = mean + pm.math.zeros_like(se)
    free = adaptive_effects("theta_free", (inverse * mean).sum(axis=1), tau, y_free, se_free, dims=unit)
    theta = pm.Deterministic("theta", (root * free).sum(axis=1), dims=unit)
    count = arms.member.sum(axis=1, keepdims=True)
    average, share = pm.Data("average", arms.member / count), pm.Data("share", arms.member / (count + 1))
    control = midpoint - (average * mean).sum(axis=1) / 2 - (share * (theta - mean)).sum(axis=1)
    logit = pm.math.concatenate([control, control[group] + theta])
    pm.Binomial("events", n=n, logit_p=logit, observed=events, dims=data["events"].dims)


def _counts(data: xr.Dataset) -> tuple[Any, Any]:
    """Events and people as data of the model."""
    import pymc as pm

    dims = data["events"].dims
    return tuple(pm.Data(f"{name}_data", data[name].values, dims=dims) for name in ("events", "n"))
