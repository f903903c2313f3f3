"""The log probability of each person's or patient's categories, for leave-one-out."""

from functools import cache
from typing import Any

import numpy as np
import xarray as xr

from bayesdep.models.ordinal.likelihood import first_rows
from bayesdep.models.ordinal.settings import OrdinalSettings
from bayesdep.models.ordinal.terms import levels_from, thresholds_from
from bayesdep.numerics.draws import over_draws
from bayesdep.numerics.ordinal import Distribution, Link, log_probabilities
from bayesdep.numerics.types import Draws


def log_likelihood(settings: OrdinalSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Return the log probability of every person's category, or of a patient's at all visits, own level integrated out.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of the parameters.
    data
        The prepared data.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, unit that is left out).
    """
    if settings.has_patient_effects:
        return _of_patients(settings, posterior, data)
    counts = data["counts"].values
    rows, categories = np.nonzero(counts)
    people = counts[rows, categories]
    labels = [
        f"{data['row'].values[r]} / {data['category'].values[k]} / {i + 1}"
        for r, k, n in zip(rows, categories, people, strict=True) for i in range(n)
    ]  # fmt: skip

    def of_draws(draws: xr.Dataset) -> xr.DataArray:
        level = levels_of_rows(settings, draws, data)
        thresholds, gaps = thresholds_from(settings, draws, data["term_value"].values)
        how = settings.form
        log_p = log_probabilities(thresholds, gaps, level, **how)[:, rows, categories]
        values = np.repeat(log_p, people, axis=1)
        return xr.DataArray(values, {settings.left_out: labels}, ("sample", settings.left_out))

    return over_draws(posterior, of_draws, counts.size * 4 + len(labels))


def levels_of_rows(settings: OrdinalSettings, draws: xr.Dataset, data: xr.Dataset) -> Draws:
    """Return the level of every row without the patient's own part, shape (samples, rows); draws have ``sample``."""
    levels, unit = levels_from(settings, draws, data), data["unit_of"].values
    arm = data["arm_of"].values[unit]
    return np.asarray(levels.cells[:, arm, data["visit_of"].values] + levels.units[:, arm, unit])


def _of_patients(settings: OrdinalSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """The log integral of every patient."""
    own = data.sizes["term"] > 0
    integrals = integrals_of(settings, data)
    category, start = data["category_of"].values, first_rows(data)

    def of_draws(draws: xr.Dataset) -> xr.DataArray:
        level = levels_of_rows(settings, draws, data)
        thresholds, gaps = thresholds_from(settings, draws, data["term_value"].values)
        sd = np.asarray(draws["patient_sd"].values)
        values = np.empty((len(sd), data.sizes["unit"]))
        for s in range(len(sd)):
            shared = [x[s] if own else x[s, 0] for x in (thresholds, gaps) if x is not None]
            values[s] = integrals(category, start, level[s], sd[s], *shared)
        return xr.DataArray(values, {"subject": data["unit"].values}, ("sample", "subject"))

    return over_draws(posterior, of_draws, data.sizes["row"] * (data.sizes["category"] if own else 4))


def integrals_of(settings: OrdinalSettings, data: xr.Dataset) -> Any:
    """Return a compiled function: category, start, level, sd, thresholds and gaps -> every patient's log integral."""
    return _integrals(settings.link, settings.distribution, data.sizes["category"], data.sizes["term"] > 0)


@cache
def _integrals(link: Link, distribution: Distribution, categories: int, own: bool) -> Any:
    """A compiled function: category, start, level, sd, thresholds and gaps -> every patient's log integral."""
    import pytensor
    import pytensor.tensor as pt

    from bayesdep.numerics.patient_integrals import patient_log_integrals

    category, start, level, sd = pt.lvector(), pt.lvector(), pt.dvector(), pt.dscalar()
    rows = (None,) if own else ()
    thresholds = pt.tensor(dtype="float64", shape=(*rows, categories - 1))
    gaps = pt.tensor(dtype="float64", shape=(*rows, categories - 2)) if link == "cumulative" else None
    integrals = patient_log_integrals(
        category, start, thresholds, gaps, level, sd, link=link, distribution=distribution
    )
    given = [category, start, level, sd, thresholds, *([gaps] if gaps is not None else [])]
    return pytensor.function(given, integrals, mode="NUMBA", on_unused_input="ignore")
