"""Each person's category; of patients seen repeatedly, given their earlier ones."""

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.ordinal.likelihood import first_rows
from bayesdep.models.ordinal.scores import integrals_of, levels_of_rows
from bayesdep.models.ordinal.settings import OrdinalSettings
from bayesdep.models.ordinal.terms import thresholds_from
from bayesdep.models.parts.observations import Categories, Observations
from bayesdep.numerics.draws import stack_draws
from bayesdep.numerics.ordinal import log_probabilities
from bayesdep.numerics.types import Draws

NAME = "category"


def observations(settings: OrdinalSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
    """Give the distribution of every person's category, or of a patient's at each visit given the earlier ones.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of its parameters.
    data
        The prepared data.

    Returns
    -------
    dict of Observations
        Of ``category``, numbered from 0, the model's first.
    """
    draws = stack_draws(posterior)
    level = levels_of_rows(settings, draws, data)
    thresholds, gaps = thresholds_from(settings, draws, data["term_value"].values)
    if settings.has_patient_effects:
        return {NAME: _of_patients(settings, draws, data, level, (thresholds, gaps))}
    counts = data["counts"].values
    rows, categories = np.nonzero(counts)
    people = counts[rows, categories]
    log_p = log_probabilities(thresholds, gaps, level, **settings.form)
    rows, categories = np.repeat(rows, people), np.repeat(categories, people)
    labels = {"row": data["row"].values[rows]}
    law = Categories.of(np.exp(log_p)[:, rows])
    return {NAME: Observations(labels, categories, categories, law, log_p[:, rows, categories])}


def _of_patients(
    settings: OrdinalSettings, draws: xr.Dataset, data: xr.Dataset, level: Draws, shared: tuple[Draws, Draws | None]
) -> Observations:
    """Every row of every patient, by integrals of it and the rows before it with each category in its place."""
    category, unit, start = data["category_of"].values, data["unit_of"].values, first_rows(data)
    rows, k, own = data.sizes["row"], data.sizes["category"], data.sizes["term"] > 0
    # one patient is made of each row and category: the rows before it as they were, then that category
    before = np.arange(rows) - start[unit]
    ends = np.cumsum(np.repeat(before + 1, k))
    of_made = np.repeat(np.repeat(np.arange(rows), k), np.repeat(before + 1, k))
    made = np.arange(ends[-1]) - np.repeat(ends - np.repeat(before + 1, k), np.repeat(before + 1, k))
    taken = start[unit][of_made] + made
    categories = category[taken]
    categories[ends - 1] = np.tile(np.arange(k), rows)
    starts = np.concatenate([[0], ends])
    integrals = integrals_of(settings, data)
    found = np.empty((len(level), rows, k))
    for s, sd in enumerate(np.asarray(draws["patient_sd"].values)):
        parts = [x[s][taken] if own else x[s, 0] for x in shared if x is not None]
        found[s] = integrals(categories, starts, level[s][taken], sd, *parts).reshape(rows, k)
    earlier = special.logsumexp(found, axis=-1)
    last = start[1:] - 1
    total = found[:, last, category[last]]
    labels = {"subject": data["unit"].values[unit], "visit": data["visit"].values[data["visit_of"].values]}
    law = Categories.of(np.exp(found - earlier[..., None]))
    return Observations(labels, category, category, law, total[:, unit] - earlier)
