"""A table with one row per person and analyte becomes people: their concentrations, covariates and outcome."""

from typing import Any

import numpy as np
import xarray as xr

from bayesdep.data.errors import BadInput, in_words
from bayesdep.data.tables import as_frame, provenance
from bayesdep.models.parts.covariates import columns_of, read_covariates, refuse_covariates_of
from bayesdep.models.parts.people import read_people, rows_of_people, visible_share
from bayesdep.models.parts.settings import column_fields
from bayesdep.models.response.outcome import read_outcome
from bayesdep.models.response.settings import WHICH_SIDE, ResponseSettings


def prepare(settings: ResponseSettings, table: Any) -> xr.Dataset:
    """Turn a table with one row per subject and analyte into people.

    Parameters
    ----------
    settings
        The model's settings.
    table
        A dataframe; the outcome and the covariates are the same in all rows of a subject.

    Returns
    -------
    xarray.Dataset
        As :meth:`bayesdep.models.response.model.Response.prepare` returns it.

    Raises
    ------
    BadInput
        Naming the column and row.
    """
    frame = as_frame(table)
    meanings = column_fields(settings)
    columns = {word: getattr(settings, word) for word in meanings}
    data, person = read_people(
        frame, columns, meanings, flag_codes=settings.flag_codes, beyond_limit=settings.beyond_limit
    )
    _refuse_number_of_analytes(settings, list(data["analyte"].values))
    roles = {getattr(settings, w): meanings[w] for w in ("subject", "value", "analyte", "outcome")}
    refuse_covariates_of(settings.covariates, roles, list(frame.columns))
    of_people = columns_of(settings.covariates, list(frame.columns))
    people = rows_of_people(
        frame, {settings.outcome: meanings["outcome"]} | dict.fromkeys(of_people, "covariate"), person
    )
    covariates = read_covariates(people, settings.covariates)
    outcome = read_outcome(people, settings.outcome, meanings["outcome"], settings.event)
    # the Fisher information of a standardised predictor, as far as its limits leave it visible
    information = outcome.size * outcome.mean() * (1 - outcome.mean()) * visible_share(data)
    if settings.scale is not None:
        information = information * (data["log_sd"].values / settings.scale) ** 2
        data["log_sd"] = data["log_sd"].copy(data=np.full(data.sizes["analyte"], float(settings.scale)))
    data.attrs["notes"] = provenance(frame)["notes"]  # with those of people's columns
    return data.assign(
        slope_se=("analyte", 1 / np.sqrt(information)),
        outcome=("subject", outcome),
        covariates=(("subject", "covariate"), covariates.values),
        covariate_mean=("covariate", covariates.means),
        covariate_sd=("covariate", covariates.sds),
    ).assign_coords(covariate=np.array(covariates.names, dtype=str))


def _refuse_number_of_analytes(settings: ResponseSettings, analytes: list[str]) -> None:
    """Refuse settings for one analyte where there are several, and the other way round."""
    number = len(analytes)
    if number > 1 and settings.cutoff is not None:
        raise BadInput(
            f"cutoff = {settings.cutoff:g} is for a single analyte, but there are {number}; "
            f"keep one ({in_words(toml='[data.keep]', python='bd.read_table(table, keep=...)')}), or leave out cutoff"
        )
    if number == 1 and settings.predicts_when is None:
        raise BadInput(WHICH_SIDE)
    if number == 1 and settings.effects != "none":
        raise BadInput(
            f"effects = '{settings.effects}', but there is one analyte, '{analytes[0]}'; use effects = 'none'"
        )
    if settings.expected_nonzero is not None and settings.expected_nonzero >= number:
        raise BadInput(
            f"expected_nonzero = {settings.expected_nonzero:g}, but there are {number} analytes; "
            "a smaller number is needed, or effects = 'student'"
        )
