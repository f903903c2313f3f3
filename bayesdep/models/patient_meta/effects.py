"""Effects in studies, in a new study and along moderators: estimands of outcomes and of events alike."""

import numpy as np
import xarray as xr

from bayesdep.models.model import estimand
from bayesdep.models.patient_meta.moderators import BETWEEN, WITHIN, within_studies
from bayesdep.models.patient_meta.settings import PatientMetaSettings


def of_levels(settings: PatientMetaSettings, posterior: xr.Dataset, units: str) -> dict[str, xr.DataArray]:
    """Derive how studies' levels differ and go with effects; nothing where levels are free.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of its parameters.
    units
        Units of the effect.

    Returns
    -------
    dict of xarray.DataArray
        Estimands by name.
    """
    if settings.has_free_levels:
        return {}
    return {
        "tau_intercept": estimand(
            ordered(posterior["tau_intercept"], "time"),
            "spread of studies' levels, midway between the arms", units, null=np.nan,
        ),
        "effect_correlation": estimand(
            posterior["effect_correlation"],
            "correlation, between studies, of the effect with the level midway between the arms", "correlation",
        ),
    }  # fmt: skip


def effects_of(
    settings: PatientMetaSettings, posterior: xr.Dataset, data: xr.Dataset
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Return effects on the scale of the linear predictor: the pooled one, a new study's, and every study's.

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
    tuple of xarray.DataArray
        Two of dims (chain, draw, time), at the patients' mean moderators, and one of (chain, draw, time, study), at
        the study's own patients' mean.
    """
    effect = ordered(posterior["effect"], "time")
    own = posterior["deviation"].sel(which="effect", drop=True)
    new = posterior["new_deviation"].sel(new_which="effect", drop=True)
    study_effect = effect + own
    if settings.moderators:
        study_effect = study_effect + xr.dot(posterior["interaction"], mean_parts(data), dim="part")
    return effect, ordered(effect + new, "time"), ordered(study_effect, "time", "study")


def mean_parts(data: xr.Dataset) -> xr.DataArray:
    """Return the mean of every part of a moderator among the patients of every study: (study, part)."""
    of, x = data["study_of"].values, data["parts"].values
    size = np.bincount(of)
    mean = np.column_stack([np.bincount(of, column) / size for column in x.T])
    return xr.DataArray(mean, {"study": data["study"].values, "part": data["part"].values}, ("study", "part"))


def ordered(values: xr.DataArray, *dims: str) -> xr.DataArray:
    """Return draws with chain and draw first, then the dims named."""
    return values.transpose("chain", "draw", *dims)


def along_moderators(
    settings: PatientMetaSettings, posterior: xr.Dataset, data: xr.Dataset, units: str
) -> dict[str, xr.DataArray]:
    """Derive the estimands of moderators.

    Parameters
    ----------
    settings
        The model's settings, with moderators.
    posterior
        Draws of its parameters.
    data
        The prepared data.
    units
        Units of the effect.

    Returns
    -------
    dict of xarray.DataArray
        Estimands by name.
    """
    rope = {"rope_lower": -settings.margin, "rope_upper": settings.margin}
    interaction = ordered(posterior["interaction"], "part", "time")
    code = xr.DataArray(np.array([0.0, 1.0]) - float(data["share_treated"]), {"arm": data["arm"].values}, ("arm",))
    found = {
        "interaction": estimand(
            interaction,
            "change of the effect per unit of a moderator (sd, or yes against no)",
            f"{units} per unit",
            **rope,
        )
    }
    if "moderator_effect" in posterior:
        main, dim = posterior["moderator_effect"], "part"
        if settings.has_free_levels:
            here = within_studies(data)
            main, dim = (main.rename(within_part="part"), "part") if here.all() else (main, "within_part")
            interaction = interaction.isel(part=here).rename(part=dim) if dim != "part" else interaction
        slope = ordered(xr.DataArray(main + code * interaction), "arm", dim, "time")
        found["slope_in"] = estimand(
            slope, "difference in outcome per unit of a moderator, in an arm", f"{units} per unit"
        )
    level, of = data["level"].values, data["moderator_of"].values
    both = [m for m in data["moderator"].values if {WITHIN, BETWEEN} <= set(level[of == m])]
    if both:
        within, between = (
            found["interaction"].isel(part=[int(np.flatnonzero((of == m) & (level == word))[0]) for m in both])
            .rename(part="moderator").assign_coords(moderator=both)
            for word in (WITHIN, BETWEEN)
        )  # fmt: skip
        found["ecological_bias"] = estimand(
            between - within, "interaction between studies less that within studies", f"{units} per unit"
        )
    if settings.effects in ("normal", "student"):
        found["interaction_sd"] = estimand(
            posterior["interaction_sd"], "spread of interactions", f"{units} per unit", null=np.nan
        )
    return found
