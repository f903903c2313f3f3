"""What a paper prints of an individual-patient meta-analysis."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesdep.models.parts.paper import (
    Estimates,
    Facts,
    Grid,
    Layout,
    Sample,
    number_or_share,
    observed_at,
)
from bayesdep.models.patient_meta.settings import PatientMetaSettings


def tables(settings: PatientMetaSettings, data: xr.Dataset) -> Mapping[str, Layout]:
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
    study, arm = data["study_of"].values, data["arm_of"].values
    counts = np.zeros((data.sizes["study"], data.sizes["arm"]))
    np.add.at(counts, (study, arm), 1)
    n = xr.DataArray(counts, {"study": data["study"].values, "arm": data["arm"].values}, ("study", "arm"))
    return {
        "main": Grid(
            f"Pooled effects, less {settings.reference}.",
            ("time",),
            (
                Estimates("effect", "Effect", probability=True),
                Estimates("effect_in_units", f"Effect, {settings.units}"),
                Estimates("odds_ratio", "Odds ratio", probability=True),
                Estimates("effect_new", "Effect in a new study"),
                Estimates("tau_effect", "SD between studies"),
                Estimates("risk_difference", "Risk difference"),
                Estimates("nnt", "Number needed to treat"),
            ),
        ),
        "studies": Grid(
            "Patients and effects by study.",
            ("study", "time"),
            (Facts("n", "Patients", n, over="arm"), Estimates("study_effect", "Effect", probability=True)),
        ),
        "moderators": Grid(
            "Moderators: change of the effect per unit (standard deviation, or yes against no).",
            ("part", "time"),
            (
                Estimates("interaction", "Change of the effect", probability=True),
                Estimates("slope_in", "Slope in an arm", over="arm"),
            ),
        ),
        "sample": _sample_of(data),
    }


def _sample_of(data: xr.Dataset) -> Sample:
    """Moderators, and whose outcome is known at which time."""
    moderators = zip(data["moderator"].values, data["moderators"].values.T, strict=True)
    found = [number_or_share(*pair) for pair in moderators]
    found += observed_at(data["time"], data["outcome"])
    arms = [str(arm) for arm in data["arm"].values]
    return Sample("Characteristics of the sample by arm.", arms, data["arm_of"].values, tuple(found))
