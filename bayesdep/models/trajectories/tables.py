"""What a paper prints of trajectories."""

from collections.abc import Mapping

import xarray as xr

from bayesdep.models.parts.paper import Estimates, Grid, Layout, Sample, covariates_of, observed_at
from bayesdep.models.trajectories.settings import TrajectoriesSettings


def tables(settings: TrajectoriesSettings, data: xr.Dataset) -> Mapping[str, Layout]:
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
    of = data["arm_of"].values
    observed = observed_at(data["visit"], data["outcome"])
    arms = [str(arm) for arm in data["arm"].values]
    units = settings.units if settings.kind == "score" else "log odds"
    per = f"{units} per {'sd' if settings.shared_factor else 'doubling'}"
    what = "the shared factor" if settings.shared_factor else "markers"
    return (
        _subgroups(settings, per)
        | _loadings(settings)
        | _categories(settings)
        | {
            "main": Grid(
                f"Means by arm and time, {units}.",
                ("reported",),
                (
                    Estimates("mean", "Mean", over="arm"),
                    Estimates("difference", "Difference", over="comparison", probability=True),
                ),
            ),
            "associations": Grid(
                f"Associations of the outcome with {what}, {per}.",
                ("link", settings.linked),
                (
                    Estimates("association", "Association", over="arm", probability=True),
                    Estimates("association_difference", "Difference", over="comparison", probability=True),
                ),
            ),
            "markers": Grid(
                "Ratios of markers' geometric means between arms.",
                ("analyte", "marker_reported"),
                (Estimates("marker_ratio", "Ratio", over="comparison", probability=True),),
            ),
            "sample": Sample(
                "Characteristics of the sample by arm.", arms, of, (*covariates_of(data, "subject"), *observed)
            ),
        }
    )


def _categories(settings: TrajectoriesSettings) -> dict[str, Layout]:
    """Probabilities of ordered categories, where there are any."""
    if settings.kind != "ordinal":
        return {}
    columns = (
        Estimates("at_or_better", "Or better", over="arm"),
        Estimates("at_or_better_difference", "Difference", over="comparison", probability=True),
    )
    return {"categories": Grid("Probabilities of a category or better.", ("reported", "up_to"), columns)}


def _loadings(settings: TrajectoriesSettings) -> dict[str, Layout]:
    """Markers' loadings on the factor that they share, where there is one."""
    if not settings.shared_factor:
        return {}
    columns = (
        Estimates("loading", "Loading", probability=True),
        Estimates("factor_share", "Share of variance at the first time"),
    )
    return {"loadings": Grid("Loadings of markers on the shared factor, doublings per sd.", ("analyte",), columns)}


def _subgroups(settings: TrajectoriesSettings, per: str) -> dict[str, Layout]:
    """What is asked in subgroups, where there are any."""
    if not settings.subgroups:
        return {}
    if not settings.association:
        difference = Estimates("difference_in", "Difference", over="comparison", probability=True)
        title = f"Differences between arms at the last reported time in subgroups, {settings.units}."
        return {"subgroups": Grid(title, ("subgroup",), (difference,))}
    by_arm = [Estimates("association_in", "Association", over="arm", probability=True)]
    if settings.arm is not None:
        by_arm.append(Estimates("association_difference_in", "Difference", over="comparison", probability=True))
    title = f"Associations of the outcome with markers in subgroups, {per}."
    return {"subgroups": Grid(title, ("link", "analyte", "subgroup"), tuple(by_arm))}
