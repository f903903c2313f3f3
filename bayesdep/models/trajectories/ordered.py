r"""An outcome in ordered categories, the best first: a cumulative logit given patients' deviations.

With :math:`level_i(t)` what the log odds of a response are, but for the course's mean over time,

.. math:: P(y_i(t) \le k) = \mathrm{logistic}(threshold_k - level_i(t))

(McCullagh 1980, doi:10.1111/j.2517-6161.1980.tb01109.x), so a positive difference is worse, by the same log odds at
every threshold. Two categories are a yes-no response, whose mean over time is less the threshold.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from bayesdep.models.model import estimand
from bayesdep.models.parts.categories import THRESHOLD, TYPICAL, add_thresholds, draw_categories
from bayesdep.models.parts.contrasts import less_first_arm
from bayesdep.models.trajectories.courses import Basis
from bayesdep.models.trajectories.paths import labelled, mean_outcomes
from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.numerics.draws import draws_of, over_draws
from bayesdep.numerics.ordinal import log_probabilities, log_probability_of, probabilities_up_to, thresholds_of
from bayesdep.numerics.types import Draws, Tensor

FORM: dict[str, Any] = {"link": "cumulative", "distribution": "logit"}
_NODES = 41  # of the quadrature over the level of a new patient at one time


def observe_categories(name: str, level: Tensor, observed: Tensor) -> None:
    """Observe categories given levels, inside a PyMC model context.

    Parameters
    ----------
    name
        Of the observed variable.
    level
        Shape (response,); positive is worse.
    observed
        Places of categories, shape (response,).
    """
    import pymc as pm

    def logp(value: Tensor, level: Tensor, thresholds: Tensor, gaps: Tensor) -> Tensor:
        return log_probability_of(value, thresholds, gaps, level, **FORM).sum()

    def random(
        level: Any,
        thresholds: Any,
        gaps: Any,  # noqa: ARG001  (PyMC's signature)
        rng: Any = None,
        size: Any = None,
    ) -> np.ndarray:
        return draw_categories(level, thresholds, rng, size, FORM)

    pm.CustomDist(
        name, level, *add_thresholds(1.0, FORM), logp=logp, random=random, dtype="int64", signature="(r),(k),(g)->(r)",
        observed=observed, dims="response",
    )  # fmt: skip


def log_probabilities_of(draws: xr.Dataset, category: np.ndarray, level: Draws) -> Draws:
    """Return the log probabilities of a patient's categories.

    Parameters
    ----------
    draws
        With dim ``sample``.
    category
        Places of categories, shape (visits,).
    level
        Shape (samples, nodes, visits).

    Returns
    -------
    numpy.ndarray
        With the shape of ``level``.
    """
    of_all = log_probabilities_by_category(draws, level)
    return np.asarray(np.take_along_axis(of_all, category.astype(int)[None, None, :, None], axis=-1)[..., 0])


def log_probabilities_by_category(draws: xr.Dataset, level: Draws) -> Draws:
    """Return the log probabilities of all categories.

    Parameters
    ----------
    draws
        With dim ``sample``.
    level
        Shape (samples, nodes, visits).

    Returns
    -------
    numpy.ndarray
        Shape (samples, nodes, visits, categories).
    """
    thresholds, gaps = (x[:, None, None, :] for x in thresholds_of(draws_of(draws, TYPICAL, "category"), **FORM))
    return log_probabilities(thresholds, gaps, level, **FORM)


def estimands_of_categories(
    settings: TrajectoriesSettings, posterior: xr.Dataset, data: xr.Dataset, covariance: Callable[[xr.Dataset], Draws]
) -> dict[str, xr.DataArray]:
    """Return probabilities of categories by arm and reported time, and their differences.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of the parameters.
    data
        The prepared data.
    covariance
        From draws to the covariance of patients' coefficients of powers of time, markers not known: (samples, arms,
        powers, powers).

    Returns
    -------
    dict of xarray.DataArray
        ``at_or_better`` (arm, reported, up_to) and ``category_probability`` (arm, reported, category), over patients
        whose deviations, and those of their markers, are distributed as the model says; with arms
        ``at_or_better_difference`` (comparison, reported, up_to).
    """
    time = data["reported_time"].values
    share = Basis.from_attrs(data["course_columns"].attrs).share(time)
    powers = share[:, None] ** np.arange(len(settings.powers))
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)

    def up_to(draws: xr.Dataset) -> xr.DataArray:
        mean = mean_outcomes(settings, draws, data, time)
        sd = np.sqrt(np.einsum("tp,sapq,tq->sat", powers, covariance(draws), powers))
        level = mean[..., None] + sd[..., None] * nodes
        thresholds = draws_of(draws, THRESHOLD, "up_to")[:, None, None, None, :]
        found = np.einsum("n,satnk->satk", weights / weights.sum(), probabilities_up_to(thresholds, level, **FORM))
        return labelled(found, ("arm", "reported", "up_to"), data)

    size = data.sizes["arm"] * len(time) * _NODES * data.sizes["up_to"]
    by_arm = over_draws(posterior, up_to, size).transpose("chain", "draw", "arm", "reported", "up_to")
    ends = by_arm.values[..., :1]
    each = np.diff(np.concatenate([0 * ends, by_arm.values, 0 * ends + 1], axis=-1), axis=-1)
    of_each = by_arm.isel(up_to=0, drop=True).expand_dims(category=data["category"].values, axis=-1)
    what = "probability of a category or better"
    found = {
        "at_or_better": estimand(by_arm, what, "probability", null=np.nan),
        "category_probability": estimand(
            of_each.copy(data=each), "probability of a category", "probability", null=np.nan
        ),
    }
    if settings.arm is not None:
        found["at_or_better_difference"] = estimand(
            less_first_arm(by_arm), f"{what}, less {settings.reference}", "risk difference"
        )
    return found
