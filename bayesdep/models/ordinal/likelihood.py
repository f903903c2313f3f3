"""The categories as random variables: counts of people alike, or patients' categories at visits."""

from typing import Any

import numpy as np
import xarray as xr

from bayesdep.models.ordinal.settings import OrdinalSettings
from bayesdep.numerics.ordinal import log_probabilities, log_probability_of
from bayesdep.numerics.types import Tensor

COUNTS = "category_counts"
CATEGORY = "category_at_visit"


def observe_counts(
    settings: OrdinalSettings, data: xr.Dataset, level: Tensor, thresholds: Tensor, gaps: Tensor
) -> None:
    """Let the counts of every row be multinomial, inside a PyMC model's context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.
    level
        Shape (row,).
    thresholds, gaps
        Shared, or with the rows first.
    """
    import pymc as pm
    import pytensor.tensor as pt

    how = {"link": settings.link, "distribution": settings.distribution}
    log_p = log_probabilities(thresholds, gaps, level, **how)
    people = pm.Data("people", data["counts"].values.sum(axis=1), dims="row")

    def logp(value: Tensor, log_p: Tensor, people: Tensor) -> Tensor:
        ways = pt.gammaln(people + 1) - pt.gammaln(value + 1).sum(axis=-1)
        return ways + (value * log_p).sum(axis=-1)

    pm.CustomDist(
        COUNTS, log_p, people, logp=logp, random=_draw_counts, signature="(k),()->(k)", dtype="int64",
        observed=pm.Data("counts", data["counts"].values, dims=("row", "category")), dims=("row", "category"),
    )  # fmt: skip


def _draw_counts(log_p: Any, people: Any, rng: Any = None, size: Any = None) -> np.ndarray:
    """Multinomial counts, of probabilities that sum to 1 but for rounding."""
    p = np.exp(log_p)
    return np.asarray(rng.multinomial(people, p / p.sum(axis=-1, keepdims=True), size))


def observe_categories(
    settings: OrdinalSettings, data: xr.Dataset, level: Tensor, thresholds: Tensor, gaps: Tensor
) -> None:
    """Let every row have one category, given its patient's own level, inside a PyMC model's context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.
    level
        Shape (row,), the patient's own part included.
    thresholds, gaps
        Shared, or with the rows first.
    """
    import pymc as pm

    how = {"link": settings.link, "distribution": settings.distribution}

    def logp(value: Tensor, level: Tensor, thresholds: Tensor, *gaps: Tensor) -> Tensor:
        return log_probability_of(value, thresholds, gaps[0] if gaps else None, level, **how)

    def random(level: Any, thresholds: Any, *gaps: Any, rng: Any = None, size: Any = None) -> np.ndarray:
        return draw_categories(level, thresholds, gaps[0] if gaps else None, rng, how)
    raise NotImplementedError
