"""The categories as random variables: counts of people alike, or patients' categories at visits."""

from typing import Any

import numpy as np
import xarray as xr

from bayesdep.models.ordinal.settings import OrdinalSettings
from bayesdep.models.parts.categories import draw_categories
from bayesdep.numerics.ordinal import log_probabilities, log_probability_of
from bayesdep.numerics.patient_integrals import patient_log_integrals
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

    how = settings.form
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
    settings: OrdinalSettings, data: xr.Dataset, level: Tensor, thresholds: Tensor, gaps: Tensor, sd: Tensor
) -> None:
    """Let patients have categories at their visits, inside a PyMC model's context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.
    level
        Shape (row,), without patients' own parts.
    thresholds, gaps
        Shared, or with the rows first.
    sd
        Of patients' own levels, which are integrated out or sampled.
    """
    import pymc as pm

    how = settings.form
    unit_of, start = data["unit_of"].values, first_rows(data)
    observed = {"observed": pm.Data("category_of", data["category_of"].values, dims="row"), "dims": "row"}
    core = "(r,k)" if thresholds.ndim == 2 else "(k)"
    arguments = [thresholds] if gaps is None else [thresholds, gaps]
    inputs = [core] if gaps is None else [core, core.replace("k", "g")]

    def split(rest: tuple[Any, ...]) -> tuple[Any, Any]:
        return rest[0], rest[1] if len(rest) > 1 else None

    if not settings.integrates:
        latent = pm.Normal("patient_latent", dims="unit")
        own = pm.Deterministic("patient", sd * latent, dims="unit")
        level = level + own[pm.Data("patient_of", unit_of, dims="row")]

        def log_given(value: Tensor, level: Tensor, *rest: Tensor) -> Tensor:
            return log_probability_of(value, *split(rest), level, **how).sum()

        def draw_given(level: Any, *rest: Any, rng: Any = None, size: Any = None) -> np.ndarray:
            return draw_categories(level, *split(rest)[:1], rng, size, how)

        pm.CustomDist(
            CATEGORY, level, *arguments, logp=log_given, random=draw_given, dtype="int64",
            signature=f"(r),{','.join(inputs)}->(r)", **observed,
        )  # fmt: skip
        return
    starts = pm.Data("start", start)

    def log_integrated(value: Tensor, level: Tensor, sd: Tensor, *rest: Tensor) -> Tensor:
        return patient_log_integrals(value, starts, *split(rest), level, sd, **how).sum()

    def draw_new(level: Any, sd: Any, *rest: Any, rng: Any = None, size: Any = None) -> np.ndarray:
        batch = np.shape(level)[:-1] if size is None else tuple(size)
        own = np.asarray(sd)[..., None] * rng.standard_normal((*batch, len(start) - 1))
        return draw_categories(level + own[..., unit_of], *split(rest)[:1], rng, None, how)

    pm.CustomDist(
        CATEGORY, level, sd, *arguments, logp=log_integrated, random=draw_new, dtype="int64",
        signature=f"(r),(),{','.join(inputs)}->(r)", **observed,
    )  # fmt: skip


def first_rows(data: xr.Dataset) -> np.ndarray:
    """Return the first row of every patient, and the number of rows."""
    return np.searchsorted(data["unit_of"].values, np.arange(data.sizes["unit"] + 1))
