"""The mean outcome of every patient at every visit: effects over visits as PyMC builds them, and the mean from draws.

An effect that differs from visit to visit is its mean over visits and the visits' departures from that mean, which sum
to zero. The prior on the mean over visits is then what it says, whatever the number of visits; with independent effects
by visit it would be as wide as theirs over the root of their number. With three or more arms, differences to the
reference are exchangeable: normal, correlated 1/2, as where every arm has an effect of its own from one normal.
"""

from collections.abc import Mapping
from functools import partial
from typing import Literal

import numpy as np
import xarray as xr

from bayesdep.models.parts.contrasts import STANDARDISED
from bayesdep.models.trial.censored_moderator import terms_of_patients
from bayesdep.models.trial.settings import DEPARTURE, TrialSettings
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.draws import draws_of
from bayesdep.numerics.types import Draws, Tensor

AT_VISIT = "_at_visit"  # ends the name of an effect at every visit


def effect_at_visits(
    name: str,
    dims: tuple[str, ...],
    *,
    prior: Mapping[str, Prior],
    data: xr.Dataset,
    time: Literal["visits", "weeks"] = "visits",
) -> Tensor:
    """Add an effect to a PyMC model, inside its context.

    Parameters
    ----------
    name
        The effect's name, also of its prior; the effect at every visit is called ``NAME_at_visit``.
    dims
        Its dims beside ``visit``; where the first is ``comparison``, differences to the reference are exchangeable.
    prior
        The priors, in the outcome's units.
    data
        The prepared trial.
    time
        ``"visits"``: its mean over visits, and departures that sum to zero. ``"weeks"``: in proportion to the visits'
        numbers, from nothing at zero to its value at the last visit.

    Returns
    -------
    pytensor.tensor.TensorVariable
        The effect at every visit, shape (*dims, visit).
    """
    import pymc as pm

    arms = data.sizes["comparison"] if dims[:1] == ("comparison",) else 1
    share = None
    if time == "weeks":
        weeks = data["visit_number"].values
        share = pm.Data(f"{name}_share", weeks / weeks[-1], dims="visit")
    effect = prior[name].rv(name, dims=dims or None)
    if arms > 1:
        effect = _exchangeable(effect, pm.Data(f"{name}_centre", prior[name]["mu"]), arms)
    at_visits = effect[..., None]
    if share is not None:
        at_visits = at_visits * share
    elif data.sizes["visit"] > 1:
        departure = prior[f"{name}{DEPARTURE}"].sum_to_zero(f"{name}{DEPARTURE}", dims=(*dims, "visit"))
        at_visits = at_visits + (_exchangeable(departure, 0.0, arms) if arms > 1 else departure)
    return pm.Deterministic(f"{name}{AT_VISIT}", at_visits, dims=(*dims, "visit"))


def means_beside_control(
    settings: TrialSettings, arm_effect: Tensor, *, prior: Mapping[str, Prior], data: xr.Dataset
) -> Tensor:
    """Add the visits' means to a PyMC model where the reference arm's has a prior of its own, inside its context.

    At visit j the reference arm's mean is ``centre + visit_mean_j + sum_k c_k arm_effect_kj``, c the codes of a patient
    of that arm. Where it has a prior of its own, at the last visit or on average, the visits' means follow from it and
    from what is free beside it: the other visits' means, or departures from the average that sum to zero. The map from
    these to the visits' means is a shift given the effects, so no Jacobian is needed, and the other means, or
    departures, have the distribution that the prior of ``visit_mean`` gives them.

    Parameters
    ----------
    settings
        The model's settings.
    arm_effect
        Effects at every visit, shape (comparison, visit).
    prior
        The priors, in the outcome's units.
    data
        The prepared trial.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Means at the visits, less the overall mean, at the trial's mix of arms; shape (visit,).
    """
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt

    visits = data.sizes["visit"]
    codes = everybody_in(0, data)["arm_code"].values[0]
    code = pm.Data("control_code", codes, dims="comparison")
    shift = sum(code[k] * arm_effect[k] for k in range(len(codes)))
    level = prior["control_mean"].rv("control_mean") - pm.Data("control_centre", float(data["centre"]))
    mu, sigma = (pytensor.shared(np.array(prior["visit_mean"][k]), name=f"visit_mean.{k}") for k in ("mu", "sigma"))
    name = f"visit_mean{STANDARDISED}"
    if visits == 1:
        means = level[None] - shift
    elif settings.control_prior == "last":
        others = mu + sigma * pm.Normal(name, dims="earlier_visit")
        means = pt.concatenate([others, (level - shift[visits - 1])[None]])
    else:
        means = level - shift.mean() + sigma * pm.ZeroSumNormal(name, dims="visit")
    return pm.Deterministic("visit_mean", means, dims="visit")


def _exchangeable(independent: Tensor, centre: Tensor, arms: int) -> Tensor:
    """Differences to the reference, correlated 1/2, from independent normals of the same mean and sd: first axis."""
    import pytensor.tensor as pt

    root = np.linalg.cholesky((np.eye(arms) + 1) / 2)
    return pt.stack([centre + sum(root[k, j] * (independent[j] - centre) for j in range(k + 1)) for k in range(arms)])


def sum_of_products(columns: Tensor, effects: Tensor, count: int) -> Tensor:
    """Return ``columns @ effects`` for a few columns, written out: numba takes long to compile a matrix product.

    Parameters
    ----------
    columns
        Shape (subject, count).
    effects
        Shape (count, visit), or (count, 1).
    count
        How many columns there are.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (subject, visit).
    """
    return sum(columns[:, k, None] * effects[k] for k in range(count))


def everybody_in(arm: int, data: xr.Dataset) -> xr.Dataset:
    """Return the trial with every patient put into one arm, for the means they would have had there.

    Parameters
    ----------
    arm
        The arm's place.
    data
        The prepared trial.

    Returns
    -------
    xarray.Dataset
        With the ``arm_code`` of the arm's own patients in every row, however codes are centred.
    """
    code = data["arm_code"].values[np.flatnonzero(data["arm_of"].values == arm)[0]]
    return data.assign(arm_code=data["arm_code"].copy(data=np.broadcast_to(code, data["arm_code"].shape)))


def expected(settings: TrialSettings, posterior: xr.Dataset, data: xr.Dataset) -> Draws:
    """Return the mean outcome of every patient at every visit.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws with dim ``sample``.
    data
        The prepared trial.

    Returns
    -------
    numpy.ndarray
        Shape (samples, subjects, visits).
    """
    draws = partial(draws_of, posterior)
    arm = data["arm_code"].values
    mean = float(data["centre"]) + draws("visit_mean", "visit")[:, None, :]
    mean = mean + np.einsum("ik,skj->sij", arm, draws(f"arm_effect{AT_VISIT}", "comparison", "visit"))
    if settings.baseline is not None:
        mean = mean + data["baseline"].values[:, None] * draws(f"baseline_slope{AT_VISIT}", "visit")[:, None, :]
    if settings.moderator is not None:
        terms = terms_of_patients(posterior, data).values
        of = "sim" if terms.ndim == 3 else "im"  # of latent values draw by draw
        mean = mean + np.einsum(f"{of},smj->sij", terms, draws(f"moderator_effect{AT_VISIT}", "term", "visit"))
        interaction = draws(f"arm_by_moderator{AT_VISIT}", "comparison", "term", "visit")
        mean = mean + np.einsum(f"ik,{of},skmj->sij", arm, terms, interaction)
    if settings.formula_of_covariates is not None:
        mean = mean + (draws("covariate_effect", "covariate") @ data["covariates"].values.T)[:, :, None]
    if settings.level is not None:
        mean = mean + draws("site_effect", "site")[:, data["site_of"].values, None]
    return np.asarray(mean)
