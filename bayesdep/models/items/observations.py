"""Each score of an item, given the patient's severity at the visit."""

import numpy as np
import xarray as xr

from bayesdep.models.items.scores import expected, inside_of
from bayesdep.models.items.settings import ItemsSettings
from bayesdep.models.items.severity import steps_of
from bayesdep.models.parts.observations import Graded, Observations
from bayesdep.numerics.draws import draws_of, stack_draws
from bayesdep.numerics.graded import graded_log_probabilities


def observations(settings: ItemsSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, Observations]:
    """Give the distribution of every score, given the parameters and the severity of the patient at that visit.

    Severities are those of the posterior, which knows the patient's other scores: a score that is left out is predicted
    from all others, also those of the same visit. One step ahead, every score would need an integral over all of a
    patient's severities.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of its parameters and of severities.
    data
        The prepared data.

    Returns
    -------
    dict of Observations
        Of ``item_score``, assessments in their order, and each one's items in theirs.
    """
    draws, score = stack_draws(posterior), data["score"].values
    subject, visit = data["subject_of"].values, data["visit_of"].values
    discrimination, _, shift = expected(settings, draws, data)
    severity = draws_of(draws, "severity", "subject", "visit")[:, subject, visit]
    level = severity[..., None] * discrimination[:, None] + shift
    highest = data["highest"].values
    cuts = np.zeros((len(level), len(highest), int(highest.max())))
    of_item, step, _ = steps_of(data)
    cuts[:, of_item, step] = draws_of(draws, "threshold", "step")
    log_p = graded_log_probabilities(level, cuts, inside_of(cuts), score, highest)
    row, item = np.nonzero(score >= 0)
    seen = score[row, item]
    rising = np.where(np.arange(cuts.shape[-1]) < highest[:, None], cuts, np.inf)
    labels = {
        "subject": data["subject"].values[subject[row]], "visit": data["visit"].values[visit[row]],
        "item": data["item"].values[item],
    }  # fmt: skip
    law = Graded(level[:, row, item], rising, item)
    return {"item_score": Observations(labels, seen, seen, law, log_p[:, row, item])}
