"""A table with one row per person becomes pairs of log concentration and score."""

from typing import Any

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import Column, as_frame, provenance, read_columns
from bayesdep.models.correlation.settings import CorrelationSettings
from bayesdep.models.parts.people import is_detected, read_people, recorded, rows_of_people
from bayesdep.models.parts.scale import scale_of
from bayesdep.models.parts.settings import column_fields
from bayesdep.numerics.exact_fit import is_explained_exactly


def prepare(settings: CorrelationSettings, table: Any) -> xr.Dataset:
    """Turn a table with one row per subject into pairs of log concentration and score.

    Parameters
    ----------
    settings
        The model's settings.
    table
        A dataframe.

    Returns
    -------
    xarray.Dataset
        As :meth:`bayesdep.models.correlation.model.Correlation.prepare` returns it.

    Raises
    ------
    BadInput
        Naming the column and row.
    """
    frame = as_frame(table)
    meanings = column_fields(settings)
    columns = {word: getattr(settings, word) for word in meanings} | {"analyte": None}
    data, person = read_people(
        frame, columns, meanings, flag_codes=settings.flag_codes, beyond_limit=settings.beyond_limit
    )
    people = rows_of_people(frame, {settings.score: meanings["score"]}, person)
    score = read_columns(people, {"score": Column(settings.score, "number", meanings["score"])})["score"]
    data.attrs["notes"] = provenance(frame)["notes"]  # with those of the scores
    place = f"column '{settings.score}' ({meanings['score']})"
    if np.ptp(score) == 0:
        raise BadInput(
            f"{place} is {score[0]:g} in everybody, so nothing correlates with it; check which rows are kept"
        )
    logs = recorded(data)[:, 0]
    if is_detected(data).all() and is_explained_exactly(score, np.column_stack([np.ones(len(logs)), logs])):
        raise BadInput(
            f"{place} follows from the log concentration exactly, so that their correlation is not uncertain; "
            "name the column of what was measured"
        )
    one_group = np.zeros(len(score), dtype=int)
    units = {"units": settings.units}
    return data.assign(
        score=("subject", score, units),
        score_centre=((), float(score.mean()) if settings.priors["score_mean"].times_scale else 0.0, units),
        scale=((), scale_of(score, one_group, stated=settings.scale, where=place), units),
    )
