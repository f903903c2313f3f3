"""The outcome inside a PyMC model: its mean over time, and scores or responses around it."""

import numpy as np
import xarray as xr

from bayesdep.models.parts.contrasts import contrast_root, contrasts
from bayesdep.models.parts.scale import priors_of
from bayesdep.models.trajectories.courses import Basis
from bayesdep.models.trajectories.directions import directions_of_means
from bayesdep.models.trajectories.ordered import observe_categories
from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.models.trajectories.subgroups import modifiers
from bayesdep.numerics.types import Tensor

NAME = "outcome_over_time"


def mean_outcome(settings: TrajectoriesSettings, data: xr.Dataset) -> Tensor:
    """Return the mean of every patient at every visit, deviations aside, inside a PyMC model context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (subject, visit).
    """
    import pymc as pm

    prior, arms, changes = priors_of(settings, data), data.sizes["comparison"], data.sizes["change"]
    known = directions_of_means(settings, data)
    course = contrasts(
        prior["course"], "course", dims=("term",), roots=[np.eye(data.sizes["term"])], directions=known.get("course")
    )
    columns = pm.Data("course_columns", data["course_columns"].values)
    mean = pm.Data("centre", float(data["centre"])) + sum(
        columns[:, :, k] * course[k] for k in range(data.sizes["term"])
    )
    if settings.arm is not None:
        root = contrast_root(arms)
        a = pm.Data("arm_code", data["arm_code"].values, dims=("subject", "comparison"))
        over_time = pm.Data("arm_columns", data["arm_columns"].values)
        change = contrasts(
            prior["arm_change"], "arm_change", dims=("comparison", "change"), roots=[root, np.eye(changes)],
            directions=known.get("arm_change"),
        )  # fmt: skip
        if not settings.equal_baseline:
            effect = contrasts(prior["arm_effect"], "arm_effect", dims=("comparison",), roots=[root])
            mean = mean + sum(a[:, c, None] * effect[c] for c in range(arms))
        for c in range(arms):
            mean = mean + a[:, c, None] * sum(over_time[:, :, k] * change[c, k] for k in range(changes))
    if settings.covariates is not None:
        effects = prior["covariate_effect"].rv("covariate_effect", dims="covariate")
        x = pm.Data("covariates", data["covariates"].values, dims=("subject", "covariate"))
        mean = mean + (x * effects).sum(axis=1)[:, None]
    if settings.subgroups:
        mean = mean + _of_subgroups(settings, data)
    return mean


def _of_subgroups(settings: TrajectoriesSettings, data: xr.Dataset) -> Tensor:
    """What membership of subgroups adds: to level and slope in all arms, and to how arms differ."""
    import pymc as pm

    share = Basis.from_attrs(data["course_columns"].attrs).share(data["time"].values)
    u = pm.Data("share_of_follow_up", share, dims=("subject", "visit"))
    own = modifiers(settings, data, "course")
    mean = sum(own[:, k, None] * u**k for k in range(len(settings.powers)))
    if "difference" in settings.questions:
        apart = modifiers(settings, data, "difference")
        a = pm.Data("arm_code_in_subgroups", data["arm_code"].values, dims=("subject", "comparison"))
        mean = mean + (a * apart).sum(axis=1)[:, None] * u
    return mean


def observe_scores(
    settings: TrajectoriesSettings, data: xr.Dataset, mean: Tensor, shift: Tensor, covariance: Tensor
) -> None:
    """Observe scores, patients' deviations integrated out, inside a PyMC model context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.
    mean
        As :func:`mean_outcome` returns it.
    shift
        What the markers add to the mean's coefficients of powers of time, shape (subject, power); None without
        associations.
    covariance
        Of deviations, shape ([subject,] power, power).
    """
    import pymc as pm
    import pytensor.tensor as pt

    from bayesdep.numerics.random_effects import Curves, SerialCurves, products_of

    prior, dims, size = priors_of(settings, data), ("subject", "visit"), len(settings.powers)
    sd = prior["residual_sd"].rv("residual_sd")
    columns = data["deviation_columns"].values
    design = pt.specify_shape(pm.Data("deviation_columns", columns), (None, None, size))
    if shift is not None:
        mean = mean + (design * shift[:, None, :]).sum(axis=-1)
    is_seen = ~np.isnan(data["outcome"].values)
    counted = pm.Data("seen", is_seen.astype(float), dims=dims)
    value = pm.Data("outcome", np.where(is_seen, data["outcome"].values, 0.0), dims=dims)
    if not settings.autocorrelation:
        products = pt.specify_shape(
            pm.Data("products", products_of(columns, is_seen.astype(float))), (None, size, size)
        )
        about = (mean, design, covariance, sd, counted, products)
        Curves(NAME, *about, observed=value, dims=dims)
        return
    rho = prior["rho"].rv("rho")
    previous, gaps = previous_seen(is_seen), data["time"].values / float(data["typical_gap"])
    before = (pm.Data("previous", previous.astype(float), dims=dims), pm.Data("time_in_gaps", gaps, dims=dims))
    SerialCurves(NAME, mean, design, covariance, sd, rho, counted, *before, observed=value, dims=dims)


def observe_responses(
    settings: TrajectoriesSettings, data: xr.Dataset, mean: Tensor, shift: Tensor, covariance: Tensor
) -> None:
    """Observe responses, events or categories given patients' deviations, which are parameters, in a PyMC context.

    Parameters
    ----------
    settings, data, mean, shift, covariance
        As :func:`observe_scores` takes them; ``mean`` is of the log odds.
    """
    import pymc as pm

    from bayesdep.numerics.covariance import cholesky

    size = len(settings.powers)
    latent = pm.Normal("deviation_latent", dims=("subject", "power"))
    root = cholesky(covariance, size)
    own = (root * latent[:, None, :]).sum(axis=-1)
    own = pm.Deterministic("deviation", own if shift is None else own + shift, dims=("subject", "power"))
    columns = pm.Data("deviation_columns", data["deviation_columns"].values)
    log_odds = mean + (columns * own[:, None, :]).sum(axis=-1)
    at = np.nonzero(~np.isnan(data["outcome"].values))
    people, visits = (data[d].values for d in ("subject", "visit"))
    names = [f"{people[i]} / {visits[j]}" for i, j in zip(*at, strict=True)]
    pm.modelcontext(None).add_coord("response", names)
    subject, visit = (pm.Data(f"response_{w}", x) for w, x in zip(("subject", "visit"), at, strict=True))
    observed = pm.Data("outcome", data["outcome"].values[at].astype(int), dims="response")
    if settings.kind == "ordinal":
        observe_categories(NAME, log_odds[subject, visit], observed)
        return
    pm.Bernoulli(NAME, logit_p=log_odds[subject, visit], observed=observed, dims="response")


def previous_seen(is_seen: np.ndarray) -> np.ndarray:
    """Return the place of the observed visit before, -1 where there is none.

    Parameters
    ----------
    is_seen
        Shape (subject, visit).

    Returns
    -------
    numpy.ndarray
        Shape (subject, visit).
    """
    place = np.where(is_seen, np.arange(is_seen.shape[1]), -1)
    return np.asarray(np.hstack([np.full((len(place), 1), -1), np.maximum.accumulate(place, axis=1)[:, :-1]]))
