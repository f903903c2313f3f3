"""The mean outcome of every patient at every visit: as PyMC builds it, and from draws.

An effect that every visit has of its own is its mean over visits and the visits' departures from that mean, which sum
to zero. The prior on the mean over visits is then what it says, whatever the number of visits; with independent effects
by visit it would be as wide as theirs over the root of their number. With three or more arms, differences to the
reference are exchangeable: normal, correlated 1/2, as where every arm has an effect of its own from one normal.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.models.parts.priors import Slot
from bayesdep.models.parts.scale import priors_of
from bayesdep.numerics.distributions import Prior

if TYPE_CHECKING:
    from bayesdep.models.trial.model import Trial

_DEPARTURE = "_departure"
AT_VISIT = "_at_visit"
_FEW = 8  # covariates whose sum is written out: a long sum costs more to compile than a sum over an axis does


def slots_of(model: "Trial") -> dict[str, Slot]:
    """Return the places for priors on means: only those of the terms that the settings switch on."""
    points, per = model.units, f"{model.units} per sd"
    when = ", mean over visits" if model.time == "visits" else ", at the last visit"

    def normal(width: float) -> Prior:
        return Prior("Normal", mu=0, sigma=width, times_scale=True)

    found = {"visit_mean": Slot(normal(2), "real", "the mean at a visit less the overall mean", points)}
    if model.baseline is not None:
        meaning, units = "the difference per unit at baseline, mean over visits", f"{points} per unit at baseline"
        found["baseline_slope"] = Slot(normal(1), "real", meaning, units, per="baseline_sd")
        found |= _departure("baseline_slope", found["baseline_slope"], 0.5)
    terms = {"arm_effect": (1.5, 0.75, f"the difference between arms{when}", points)}
    if model.moderator is not None:
        terms["moderator_effect"] = (0.75, 0.375, f"the difference by moderator{when}", per)
        terms["arm_by_moderator"] = (1, 0.5, f"the change of the arms' difference by moderator{when}", per)
    for name, (width, apart, meaning, units) in terms.items():
        found[name] = Slot(normal(width), "real", meaning, units)
        if model.time == "visits":
            found |= _departure(name, found[name], apart)
    if model.formula_of_covariates is not None:
        found["covariate_effect"] = Slot(normal(0.75), "real", "a covariate's effect", per)
    if model.level is not None:
        spread = Prior("HalfNormal", sigma=0.5, times_scale=True)
        found["site_sd"] = Slot(spread, "positive", f"the sd of levels of {model.level}", points)
    return found


def _departure(name: str, of: Slot, width: float) -> dict[str, Slot]:
    """The place for the prior on how far a visit's own effect is from the mean over visits."""
    prior = Prior("Normal", mu=0, sigma=width, times_scale=True)
    meaning = f"what a visit adds to {name}, summing to zero"
    return {f"{name}{_DEPARTURE}": Slot(prior, "real", meaning, of.units, per=of.per)}


def refuse_departures(model: "Trial") -> None:
    """Refuse priors on departures that are not normal around zero: only those can sum to zero and stay normal."""
    for name, prior in model.priors.items():
        if name.endswith(_DEPARTURE) and (prior.dist != "Normal" or prior["mu"] != 0):
            raise BadInput(
                f"priors.{name}: {prior} is not Normal with mu = 0, but departures sum to zero over visits; "
                'write { dist = "Normal", mu = 0, sigma = NUMBER }'
            )


def refuse_arms(model: "Trial", data: xr.Dataset) -> None:
    """Refuse priors under which it would matter which of three or more arms is the reference."""
    if data.sizes["comparison"] < 2:
        return
    for name in ("arm_effect", "arm_by_moderator"):
        prior = model.priors.get(name)
        if prior is not None and prior.dist != "Normal":
            raise BadInput(
                f"priors.{name}: {prior}, but with {data.sizes['arm']} arms only normal differences are exchangeable, "
                "so that it carries no information which arm is the reference; use Normal"
            )


def mean_outcome(model: "Trial", data: xr.Dataset) -> Any:
    """Build the mean of every patient at every visit, inside a PyMC model context.

    Parameters
    ----------
    model
        The model.
    data
        The prepared trial.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (subject, visit).
    """
    import pymc as pm

    prior, several = priors_of(model, data), data.sizes["comparison"] > 1
    visit_mean = prior["visit_mean"].rv("visit_mean", dims="visit")
    arm_effect = _over_time(model, prior, "arm_effect", data, "comparison", arms=several)
    arm = pm.Data("arm_code", data["arm_code"].values, dims=("subject", "comparison"))
    mean = (
        pm.Data("centre", float(data["centre"]))
        + visit_mean
        + _sum_of_products(arm, arm_effect, data.sizes["comparison"])
    )
    if model.baseline is not None:
        slope = _by_visit(prior, "baseline_slope", data)
        baseline = pm.Data("baseline", data["baseline"].values, dims="subject")
        mean = mean + baseline[:, None] * slope
    if model.moderator is not None:
        moderator_effect = _over_time(model, prior, "moderator_effect", data, "term")
        both = _over_time(model, prior, "arm_by_moderator", data, "comparison", "term", arms=several)
        terms = pm.Data("moderator_terms", data["moderator_terms"].values, dims=("subject", "term"))
        mean = mean + _sum_of_products(terms, moderator_effect, data.sizes["term"])
        for k in range(data.sizes["comparison"]):
            mean = mean + arm[:, k, None] * _sum_of_products(terms, both[k], data.sizes["term"])
    if model.formula_of_covariates is not None:
        effect = prior["covariate_effect"].rv("covariate_effect", dims="covariate")
        x = pm.Data("covariates", data["covariates"].values, dims=("subject", "covariate"))
        count = data.sizes["covariate"]
        mean = mean + (
            _sum_of_products(x, effect[:, None], count) if count <= _FEW else (x * effect).sum(axis=1)[:, None]
        )
    if model.level is not None:
        sd = prior["site_sd"].rv("site_sd")
        effect = pm.Deterministic("site_effect", sd * pm.Normal("site_latent", dims="site"), dims="site")
        mean = mean + effect[pm.Data("site_of", data["site_of"].values, dims="subject")][:, None]
    return mean


def _over_time(
    model: "Trial", prior: dict[str, Prior], name: str, data: xr.Dataset, *dims: str, arms: bool = False
) -> Any:
    """Every visit's own effect, or one that grows in proportion to the visits' numbers, from nothing at zero."""
    import pymc as pm

    if model.time == "visits":
        return _by_visit(prior, name, data, *dims, arms=arms)
    weeks = data["visit_number"].values
    share = pm.Data(f"{name}_share", weeks / weeks[-1], dims="visit")
    at_end = prior[name].rv(name, dims=dims)
    if arms:
        at_end = _exchangeable(at_end, pm.Data(f"{name}_centre", prior[name]["mu"]), data.sizes["comparison"])
    return pm.Deterministic(f"{name}{AT_VISIT}", at_end[..., None] * share, dims=(*dims, "visit"))


def _by_visit(prior: dict[str, Prior], name: str, data: xr.Dataset, *dims: str, arms: bool = False) -> Any:
    """The mean over visits, and what every visit departs from it."""
    import pymc as pm

    count = data.sizes["comparison"]
    overall = prior[name].rv(name, dims=dims or None)
    if arms:
        overall = _exchangeable(overall, pm.Data(f"{name}_centre", prior[name]["mu"]), count)
    if data.sizes["visit"] > 1:
        apart = prior[f"{name}{_DEPARTURE}"].sum_to_zero(f"{name}{_DEPARTURE}", dims=(*dims, "visit"))
        total = overall[..., None] + (_exchangeable(apart, 0.0, count) if arms else apart)
    else:
        total = overall[..., None]
    return pm.Deterministic(f"{name}{AT_VISIT}", total, dims=(*dims, "visit"))


def _exchangeable(independent: Any, centre: Any, count: int) -> Any:
    """Differences to the reference, correlated 1/2, from independent normals of the same mean and sd: first axis."""
    import pytensor.tensor as pt

    root = np.linalg.cholesky((np.eye(count) + 1) / 2)
    return pt.stack([centre + sum(root[k, j] * (independent[j] - centre) for j in range(k + 1)) for k in range(count)])


def _sum_of_products(columns: Any, effects: Any, count: int) -> Any:
    """``columns @ effects`` for a few columns, written out: numba takes half a minute to compile a matrix product."""
    return sum(columns[:, k, None] * effects[k] for k in range(count))


def expected(model: "Trial", posterior: xr.Dataset, data: xr.Dataset) -> np.ndarray:
    """Return the mean outcome of every patient at every visit.

    Parameters
    ----------
    model
        The model.
    posterior
        Draws with dim ``sample``.
    data
        The prepared trial.

    Returns
    -------
    numpy.ndarray
        Shape (samples, subjects, visits).
    """

    def draws(name: str, *dims: str) -> np.ndarray:
        return np.asarray(posterior[name].transpose("sample", *dims).values)

    arm = data["arm_code"].values
    mean = float(data["centre"]) + draws("visit_mean", "visit")[:, None, :]
    mean = mean + np.einsum("ik,skj->sij", arm, draws(f"arm_effect{AT_VISIT}", "comparison", "visit"))
    if model.baseline is not None:
        mean = mean + data["baseline"].values[:, None] * draws(f"baseline_slope{AT_VISIT}", "visit")[:, None, :]
    if model.moderator is not None:
        terms = data["moderator_terms"].values
        mean = mean + np.einsum("im,smj->sij", terms, draws(f"moderator_effect{AT_VISIT}", "term", "visit"))
        both = draws(f"arm_by_moderator{AT_VISIT}", "comparison", "term", "visit")
        mean = mean + np.einsum("ik,im,skmj->sij", arm, terms, both)
    if model.formula_of_covariates is not None:
        mean = mean + (draws("covariate_effect", "covariate") @ data["covariates"].values.T)[:, :, None]
    if model.level is not None:
        mean = mean + draws("site_effect", "site")[:, data["site_of"].values, None]
    return np.asarray(mean)
