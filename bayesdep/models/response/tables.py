"""What a paper prints of a biomarker as a predictor of response."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesdep.models.parts.paper import Estimates, Facts, Grid, Layout, Listing, Sample, covariates_of
from bayesdep.models.parts.people import concentrations_of
from bayesdep.models.response.settings import ResponseSettings


def tables(settings: ResponseSettings, data: xr.Dataset) -> Mapping[str, Layout]:
    """Declare the tables.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared data.

    Returns
    -------
    mapping of Layout
        By name.
    """
    outcome = data["outcome"].values.astype(int)
    sample = Sample(
        "Characteristics of the sample by outcome.",
        [f"No {settings.outcome}", str(settings.outcome)],
        outcome,
        (*covariates_of(data, "subject"), *concentrations_of(data)),
        people="People",
    )
    odds = Grid(
        f"Odds ratios of {settings.outcome}.",
        ("analyte",),
        (
            Facts("below", "Below a limit, n", (data["log_lower"] == -np.inf).sum("subject")),
            Estimates("odds_ratio_per_doubling", "Odds ratio per doubling", probability=True),
            Estimates("odds_ratio_per_sd", "Odds ratio per SD"),
        ),
    )
    if data.sizes["analyte"] > 1:
        return {"main": odds, "sample": sample}
    accuracy = {
        "odds_ratio_per_doubling": "Odds ratio per doubling",
        "odds_ratio_per_sd": "Odds ratio per SD of the log concentration",
        "auc": "Area under the ROC curve",
        "best_cutoff": "Cutoff with the largest Youden index",
        "youden": "Largest Youden index",
        "sensitivity": "Sensitivity at the stated cutoff",
        "specificity": "Specificity at the stated cutoff",
        "likelihood_ratio_positive": "Positive likelihood ratio",
        "likelihood_ratio_negative": "Negative likelihood ratio",
    }
    title = f"{data['analyte'].values[0]} as a predictor of {settings.outcome}."
    return {"main": Listing(title, accuracy, unsigned=("best_cutoff", "youden")), "sample": sample}
