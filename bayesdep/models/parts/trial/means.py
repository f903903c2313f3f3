"""The mean outcome of every patient at every visit: as PyMC builds it, and from draws."""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.models.parts.priors import Prior, Slot

if TYPE_CHECKING:
    from bayesdep.models.trial import Trial


def slots_of(story: "Trial") -> dict[str, Slot]:
    """Return the places for priors on means: only those of the terms that the settings switch on."""
    points, per = story.units, f"{story.units} per sd"
    when = "" if story.time == "visits" else ", at the last visit"
    wide = Prior("Normal", mu=0, sigma=2.5)
    found = {
        "visit_mean": Slot(
            Prior("Normal", mu=0, sigma=10), "real", "the mean at a visit less the overall mean", points
        ),
        "baseline_slope": Slot(
            Prior("Normal", mu=0, sigma=0.5), "real", "the difference per point at baseline", "points per point"
        ),
        "arm_effect": Slot(Prior("Normal", mu=0, sigma=5), "real", f"the difference between arms{when}", points),
    }
    if story.moderator is not None:
        found["moderator_effect"] = Slot(wide, "real", f"the difference by moderator{when}", per)
        by_moderator = Prior("Normal", mu=0, sigma=5)
        found["arm_by_moderator"] = Slot(
            by_moderator, "real", f"the change of the arms' difference by moderator{when}", per
        )
    if story.covariates is not None:
        found["covariate_effect"] = Slot(wide, "real", "a covariate's effect", per)
    return found


def mean_outcome(story: "Trial", data: xr.Dataset) -> Any:
    """Build the mean of every patient at every visit, inside a PyMC model context.

    Parameters
    ----------
    story
        The story.
    data
        The prepared trial.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (subject, visit).
    """
    import pymc as pm

    prior = story.priors
    visit_mean = prior["visit_mean"].rv("visit_mean", dims="visit")
    baseline_slope = prior["baseline_slope"].rv("baseline_slope", dims="visit")
    arm_effect = _over_time(story, "arm_effect", data, "comparison")
    baseline = pm.Data("baseline", data["baseline"].values, dims="subject")
    arm = pm.Data("arm_code", data["arm_code"].values, dims=("subject", "comparison"))
    mean = (
        pm.Data("centre", float(data["centre"]))
        + visit_mean
        + baseline[:, None] * baseline_slope
        + _sum_of_products(arm, arm_effect, data.sizes["comparison"])
    )
    if story.moderator is not None:
        moderator_effect = _over_time(story, "moderator_effect", data, "term")
        both = _over_time(story, "arm_by_moderator", data, "comparison", "term")
        terms = pm.Data("moderator_terms", data["moderator_terms"].values, dims=("subject", "term"))
        mean = mean + _sum_of_products(terms, moderator_effect, data.sizes["term"])
        for k in range(data.sizes["comparison"]):
            mean = mean + arm[:, k, None] * _sum_of_products(terms, both[k], data.sizes["term"])
    if story.covariates is not None:
        effect = prior["covariate_effect"].rv("covariate_effect", dims="covariate")
        x = pm.Data("covariates", data["covariates"].values, dims=("subject", "covariate"))
        mean = mean + _sum_of_products(x, effect[:, None], data.sizes["covariate"])
    return mean


def _over_time(story: "Trial", name: str, data: xr.Dataset, *dims: str) -> Any:
    """Every visit's own effect, or one that grows in proportion to the visits' numbers, from nothing at zero."""
    import pymc as pm

    if story.time == "visits":
        return story.priors[name].rv(name, dims=(*dims, "visit"))
    weeks = np.array(data["visit"].values, dtype=float)
    share = pm.Data(f"{name}_share", weeks / weeks[-1], dims="visit")
    at_end = story.priors[name].rv(f"{name}_at_end", dims=dims)
    return pm.Deterministic(name, at_end[..., None] * share, dims=(*dims, "visit"))


def _sum_of_products(columns: Any, effects: Any, count: int) -> Any:
    """``columns @ effects`` for a few columns, written out: numba takes half a minute to compile a matrix product."""
    return sum(columns[:, k, None] * effects[k] for k in range(count))


def expected(story: "Trial", posterior: xr.Dataset, data: xr.Dataset) -> np.ndarray:
    """Return the mean outcome of every patient at every visit.

    Parameters
    ----------
    story
        The story.
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

    arm, baseline = data["arm_code"].values, data["baseline"].values
    mean = float(data["centre"]) + draws("visit_mean", "visit")[:, None, :]
    mean = mean + baseline[:, None] * draws("baseline_slope", "visit")[:, None, :]
    mean = mean + np.einsum("ik,skj->sij", arm, draws("arm_effect", "comparison", "visit"))
    if story.moderator is not None:
        terms = data["moderator_terms"].values
        mean = mean + np.einsum("im,smj->sij", terms, draws("moderator_effect", "term", "visit"))
        both = draws("arm_by_moderator", "comparison", "term", "visit")
        mean = mean + np.einsum("ik,im,skmj->sij", arm, terms, both)
    if story.covariates is not None:
        mean = mean + (draws("covariate_effect", "covariate") @ data["covariates"].values.T)[:, :, None]
    return np.asarray(mean)
