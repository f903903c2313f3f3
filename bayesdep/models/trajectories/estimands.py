"""What trajectories are asked for: courses by arm, markers' ratios, associations, and differences along a path."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import xarray as xr

from bayesdep.models.model import OwnPrior, estimand
from bayesdep.models.parts.contrasts import less_first_arm
from bayesdep.models.parts.scale import priors_of
from bayesdep.models.trajectories import paths
from bayesdep.models.trajectories.events import estimands_of_events
from bayesdep.models.trajectories.factor import estimands_of_factor
from bayesdep.models.trajectories.ordered import estimands_of_categories
from bayesdep.models.trajectories.scores import covariance_of_effects
from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.models.trajectories.subgroups import estimands_in
from bayesdep.numerics.draws import draws_of, over_draws
from bayesdep.numerics.types import Draws

_DRAWS = ("chain", "draw")


def no_crude(settings: TrajectoriesSettings, name: str) -> Callable[[xr.Dataset], tuple[np.ndarray, np.ndarray]]:
    """Return a function that says that rows have no estimates of their own.

    Parameters
    ----------
    settings
        The model's settings.
    name
        Of the estimand whose rows these are.

    Returns
    -------
    callable
        From the prepared data to NaN for every row.
    """
    dims = {
        "association": ("link", settings.linked, "arm"),
        "difference": ("comparison", "reported"),
        "mean": ("arm", "reported"),
    }[name]

    def crude(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
        sizes = {"link": len(settings.association), **data.sizes}
        count = int(np.prod([sizes[d] for d in dims]))
        return np.full(count, np.nan), np.full(count, np.nan)

    return crude


def estimands(settings: TrajectoriesSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive every estimand of :class:`~bayesdep.models.trajectories.model.Trajectories`.

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
    xarray.Dataset
        Estimands by name.
    """
    by_name = _of_outcome(settings, posterior, data) | _of_spreads(settings, posterior)
    if settings.kind == "event":
        by_name |= estimands_of_events(settings, posterior, data)
    if settings.kind == "ordinal":
        covariance = partial(_of_effects, settings, data)
        by_name |= estimands_of_categories(settings, posterior, data, covariance)
    if settings.has_markers and settings.arm is not None:
        by_name |= _of_markers(settings, posterior, data)
    if settings.shared_factor:
        by_name |= estimands_of_factor(settings, posterior)
    if settings.association:
        by_name |= _of_associations(settings, posterior, data)
    if settings.subgroups:
        by_name |= estimands_in(settings, posterior, data, by_name)
    return xr.Dataset(by_name)


def _each(posterior: xr.Dataset, function: Callable[[xr.Dataset], xr.DataArray], elements: int) -> xr.DataArray:
    return over_draws(posterior, function, elements)


def _of_effects(settings: TrajectoriesSettings, data: xr.Dataset, draws: xr.Dataset) -> Draws:
    return covariance_of_effects(settings, draws, data)


def _units(settings: TrajectoriesSettings) -> str:
    return settings.units if settings.kind == "score" else "log odds"


# The outcome


def _of_outcome(settings: TrajectoriesSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Means by arm and their differences at the reported times, and slopes of straight lines."""
    time, units = data["reported_time"].values, _units(settings)
    size = data.sizes["arm"] * len(time)
    odds = {
        "event": "log odds of the event in an interval", "ordinal": "log odds of a worse category"
    }.get(settings.kind, "log odds")  # fmt: skip
    what = "mean" if settings.kind == "score" else f"{odds} at a patient's deviation of zero"
    mean = _each(
        posterior,
        lambda draws: paths.labelled(paths.mean_outcomes(settings, draws, data, time), ("arm", "reported"), data),
        size,
    )
    found = {"mean": estimand(mean, f"{what}, covariates at their means", units, null=np.nan)}
    if settings.arm is not None:
        difference = less_first_arm(mean)
        found["difference"] = estimand(
            difference, f"difference in {what.split(' at ')[0]}, less {settings.reference}", units
        )
    if settings.course == "linear":
        found |= _slopes(settings, posterior, data)
    if data.sizes["covariate"]:
        found["covariate_effect"] = estimand(
            posterior["covariate_effect"] / data["covariate_sd"],
            "difference per unit of a covariate's column", f"{units} per unit",
        )  # fmt: skip
    return found


def _slopes(settings: TrajectoriesSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Slopes per unit of time."""
    attrs = data["course_columns"].attrs
    ends = np.array([attrs["first"], attrs["last"]])

    def slope(draws: xr.Dataset) -> xr.DataArray:
        means = paths.mean_outcomes(settings, draws, data, ends)
        return paths.labelled((means[..., 1] - means[..., 0]) / (ends[1] - ends[0]), ("arm",), data)

    by_arm = _each(posterior, slope, 2 * data.sizes["arm"])
    units = f"{_units(settings)} per unit of time"
    found = {"slope": estimand(by_arm, "mean change per unit of time", units)}
    if settings.arm is not None:
        found["slope_difference"] = estimand(
            less_first_arm(by_arm), f"difference in mean change per unit of time, less {settings.reference}", units
        )
    return found


def _of_spreads(settings: TrajectoriesSettings, posterior: xr.Dataset) -> dict[str, xr.DataArray]:
    """Spreads between and within patients, and correlations of patients' deviations."""
    beside = ", beside the shared factor" if settings.shared_factor else ""
    of_markers = {"marker_": f" of a marker{beside}"} if settings.has_markers else {}
    units, prefixes = _units(settings), {"": "", **of_markers}
    found = {}
    for prefix, of in prefixes.items():
        unit = "doublings" if prefix else units
        for word in settings.powers:
            what = {"level": "the level at the first time", "slope": "the change over the follow-up"}.get(word, word)
            found[f"{prefix}{word}_sd"] = estimand(
                posterior[f"{prefix}{word}_sd"], f"sd between patients of {what}{of}", unit, null=np.nan
            )
        if f"{prefix}residual_sd" in posterior:
            found[f"{prefix}residual_sd"] = estimand(
                posterior[f"{prefix}residual_sd"], f"residual sd{of.removesuffix(beside)}", unit, null=np.nan
            )
        if len(settings.powers) > 1:
            found[f"{prefix}correlation"] = estimand(
                posterior[f"{prefix}correlation_by_pair"], f"correlation of patients' deviations{of}", "correlation"
            )
    if settings.autocorrelation:
        found["autocorrelation"] = estimand(
            posterior["rho"], "correlation of residuals a typical gap apart", "correlation"
        )
    return found


# Markers


def _of_markers(settings: TrajectoriesSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Differences between arms in each marker at each time, as doublings and as ratios."""
    time = data["marker_reported_time"].values
    dims = ("analyte", "arm", "marker_reported")
    by_arm = _each(
        posterior,
        lambda draws: paths.labelled(paths.mean_markers(settings, draws, data, time), dims, data),
        data.sizes["analyte"] * data.sizes["arm"] * len(time),
    )
    difference = less_first_arm(by_arm)
    against = f"to {settings.reference}"
    return {
        "marker_difference": estimand(difference, f"log2 ratio of geometric means {against}", "doublings"),
        "marker_ratio": estimand(
            2.0**difference, f"ratio of geometric means {against}", "ratio", null=1.0, monotone_of="marker_difference"
        ),
    }


# Associations


def _of_associations(
    settings: TrajectoriesSettings, posterior: xr.Dataset, data: xr.Dataset
) -> dict[str, xr.DataArray]:
    """Associations by arm, their differences and means, and arms' differences at the control arm's path."""
    per = f"{_units(settings)} per {'sd of the factor' if settings.shared_factor else 'doubling'}"
    by_arm = posterior["association_by_arm"].transpose(*_DRAWS, "link", settings.linked, "arm")
    what = "the factor that markers share" if settings.shared_factor else "a marker's deviation from its arm's course"
    found = {"association": estimand(by_arm, f"association with {what}", per)}
    if settings.arm is not None:
        found["association_difference"] = estimand(
            less_first_arm(by_arm), f"difference in association, less {settings.reference}", per
        )
    if settings.is_pooled:
        found["association_mean"] = estimand(posterior["association_mean"], "mean association of the markers", per)
        found["association_sd"] = estimand(
            posterior["association_sd"], "spread of associations over markers", per, null=np.nan
        )
    if "baseline" in settings.association:
        who = "the factor" if settings.shared_factor else "a marker"
        found["baseline_level"] = estimand(
            posterior["baseline_level"],
            f"difference in level at the first time by {who}'s value there",
            per,
        )
    if settings.arm is not None and not settings.shared_factor:  # a factor has no path: its mean is zero in all arms
        found["difference_at_control_path"] = estimand(
            _at_control_path(settings, posterior, data),
            f"difference less {settings.reference} had all markers followed the mean path of {settings.reference}: an "
            "association, no proof of mediation",
            _units(settings),
        )
    return found


def _at_control_path(settings: TrajectoriesSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """The arms' difference less what the associations say of the difference between the arms' markers."""
    time = data["reported_time"].values

    def difference(draws: xr.Dataset) -> xr.DataArray:
        mean = paths.mean_outcomes(settings, draws, data, time)
        total: Draws = mean[:, 1:] - mean[:, :1]
        along = paths.along_path(settings, draws, data, time)
        by_arm = draws_of(draws, "association_by_arm", "link", "analyte", "arm")
        for k, link in enumerate(settings.association):
            total = total - np.einsum("smc,smct->sct", by_arm[:, k, :, 1:], along[link])
        if "baseline" in settings.association:
            total = total - np.einsum("sm,smct->sct", draws_of(draws, "baseline_level", "analyte"), along["level"])
        return paths.labelled(total, ("comparison", "reported"), data)

    return _each(posterior, difference, data.sizes["analyte"] * data.sizes["arm"] * max(len(time), 200))


# Prior densities


def own_prior(settings: TrajectoriesSettings, name: str, at: Mapping[str, str], data: xr.Dataset) -> OwnPrior | str:
    """Return the prior of an estimand that is a parameter with a prior of its own, or why there is none, as a clause.

    Parameters
    ----------
    settings
        The model's settings.
    name, at
        The estimand and its coordinates.
    data
        The prepared data.

    Returns
    -------
    OwnPrior or str
        Of covariates' effects, loadings of either sign, ``baseline_level``, and of associations that are not pooled:
        their difference between two arms, or themselves where there are no arms.
    """
    prior = priors_of(settings, data)
    if name == "covariate_effect":
        k = list(data["covariate"].values).index(at["covariate"])
        return OwnPrior(name, prior[name], (k,), 1 / float(data["covariate_sd"][k]))
    if name == "loading":
        if at["analyte"] == settings.positive_loading:
            return "its sign gives the factor its direction, so zero is at the end of its prior"
        return OwnPrior(name, prior[name], (list(data["free_marker"].values).index(at["analyte"]),))
    linked = settings.linked
    if name == "baseline_level":
        return OwnPrior(name, prior[name], (list(data[linked].values).index(at[linked]),))
    of_one = name == "association_difference" or (name == "association" and settings.arm is None)
    if name.endswith(("_in", "_from_overall")):
        return "subgroups are pooled, with a spread that may be zero"
    if not of_one:
        return "it is a function of several parameters"
    if settings.is_pooled:
        return "it is pooled over markers, with a spread that may be zero"
    if data.sizes["comparison"] > 1:
        return "the differences of several arms to one reference are correlated a priori"
    place = (settings.association.index(at["link"]), list(data[linked].values).index(at[linked]))
    return OwnPrior(name, prior[name], place if name == "association" else (*place, 0))
