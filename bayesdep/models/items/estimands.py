"""What a scale item by item is asked for: differences in items and their sum, and effects beyond severity."""

import numpy as np
import xarray as xr

from bayesdep.models.items.data import standardised
from bayesdep.models.items.settings import ItemsSettings
from bayesdep.models.items.severity import steps_of
from bayesdep.models.model import estimand
from bayesdep.numerics.draws import draws_of, over_draws
from bayesdep.numerics.graded import probabilities_above
from bayesdep.numerics.types import Draws

# Places and weights of the standard normal on an even grid: the trapezoidal rule is right to exp(-2 pi^2 / (step sd))
# for logistic functions, 5e-5 at an sd of 2.5 of an item's level
_PLACES = np.linspace(-5.6, 5.6, 15)
_WEIGHTS = np.exp(-(_PLACES**2) / 2) / np.exp(-(_PLACES**2) / 2).sum()
_VALUES = 5  # places of the moderator's distribution in the table, which have its first nine moments


def estimands(settings: ItemsSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive every estimand of :class:`~bayesdep.models.items.model.Items`.

    Expected scores are means over new patients, whose moderators are distributed as those of the table, each put into
    the arm that is asked for.

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
        Estimands by name, sums first.
    """
    values, weights = _places_of_moderator(settings, data)
    visits = data.sizes["visit"]
    score = _expected(settings, posterior, data, values, weights, list(range(visits)))
    total = score.sum("item")
    last = score.isel(visit=-1, drop=True)
    by_name = {
        "sum_difference": estimand(
            _against_reference(total), f"difference in the mean sum of all items, less {settings.reference}", "points"
        ),
        "item_difference": estimand(
            _against_reference(last),
            f"difference in an item's mean at the last visit, less {settings.reference}",
            "points",
        ),
        "sum_score": estimand(total, "mean sum of all items", "points", null=np.nan),
        "item_score": estimand(last, "mean of an item at the last visit", "points", null=np.nan),
    }
    present = _expected(settings, posterior, data, values, weights, [visits - 1], present=True).isel(visit=0, drop=True)
    what = f"difference in the probability of a score above 0 at the last visit, less {settings.reference}"
    by_name["present_difference"] = estimand(_against_reference(present), what, "probability")
    if settings.at:
        by_name |= _along_moderator(settings, posterior, data)
    return xr.Dataset(by_name | _on_log_odds(settings, posterior))


def _against_reference(values: xr.DataArray) -> xr.DataArray:
    """Arms less the reference, with dim ``comparison``."""
    treated = values.isel(arm=slice(1, None)).rename(arm="comparison")
    rest = [d for d in values.dims if d not in ("chain", "draw", "arm")]
    return (treated - values.isel(arm=0, drop=True)).transpose("chain", "draw", "comparison", *rest)


def _places_of_moderator(settings: ItemsSettings, data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """A few values of the standardised moderator with weights that have the moments of the table's."""
    if settings.moderator is None:
        return np.zeros(1), np.ones(1)
    return gauss_rule(data["moderator"].values, _VALUES)


def gauss_rule(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return places and weights with the moments of some numbers, up to the one of degree ``2 count - 1``.

    By Lanczos' recursion and Golub and Welsch (1969, doi:10.1090/S0025-5718-69-99647-1): Gauss quadrature whose
    measure puts equal weight on every number.

    Parameters
    ----------
    values
        The numbers.
    count
        How many places; fewer where there are fewer different numbers.

    Returns
    -------
    tuple of numpy.ndarray
        Places and weights; the weights sum to 1.

    Examples
    --------
    >>> places, weights = gauss_rule(np.arange(10.0), 2)
    >>> [round(float((weights * places**k).sum()), 6) for k in (0, 1, 2, 3)]
    [1.0, 4.5, 28.5, 202.5]
    """
    x, shares = np.unique(values, return_counts=True)
    q = [np.sqrt(shares / shares.sum())]
    diagonal, beside = [], []
    for k in range(min(count, len(x))):
        v = x * q[k]
        diagonal.append(float(q[k] @ v))
        for earlier in q * 2:  # twice, so that rounding does not spoil orthogonality
            v = v - earlier * (earlier @ v)
        beside.append(float(np.linalg.norm(v)))
        q.append(v / max(beside[-1], 1e-300))
    count = len(diagonal)
    matrix = np.diag(diagonal) + np.diag(beside[: count - 1], 1) + np.diag(beside[: count - 1], -1)
    places, vectors = np.linalg.eigh(matrix)
    return places, vectors[0] ** 2


def _expected(
    settings: ItemsSettings,
    posterior: xr.Dataset,
    data: xr.Dataset,
    values: np.ndarray,
    weights: np.ndarray,
    visits: list[int],
    *,
    present: bool = False,
) -> xr.DataArray:
    """Expected scores, or probabilities of one above 0, by arm, visit and item, means over values of the moderator."""
    item, step, _ = steps_of(data)
    elements = len(item) * len(_PLACES) * len(values) * 2
    coords = {"arm": data["arm"].values, "visit": data["visit"].values[visits], "item": data["item"].values}

    def of_draws(draws: xr.Dataset) -> xr.DataArray:
        cuts = np.zeros((draws.sizes["sample"], data.sizes["item"], int(data["highest"].values.max())))
        cuts[:, item, step] = draws_of(draws, "threshold", "step")
        found = np.empty((len(cuts), data.sizes["arm"], len(visits), data.sizes["item"]))
        for a in range(data.sizes["arm"]):
            for k, j in enumerate(visits):
                level = _levels(settings, draws, data, values, a, j)
                above = probabilities_above(level, cuts[:, None, None], data["highest"].values)
                each = above[..., 0] if present else above.sum(axis=-1)
                found[:, a, k] = np.einsum("svzm,v,z->sm", each, weights, _WEIGHTS)
        return xr.DataArray(found, coords, ("sample", *coords))

    return over_draws(posterior, of_draws, elements)


def _levels(
    settings: ItemsSettings, draws: xr.Dataset, data: xr.Dataset, values: np.ndarray, arm: int, visit: int
) -> Draws:
    """Levels of items of new patients of an arm at a visit, shape (samples, values, places, items)."""
    time, course = float(data["time"].values[visit]), float(data["course"].values[visit])
    code = data["arm_code"].values[:, arm]
    effect = draws_of(draws, "arm_effect", "comparison") @ code
    departure = np.einsum("scm,c->sm", draws_of(draws, "departure", "comparison", "item"), code)[:, None]
    mean = draws_of(draws, "visit_effect", "visit")[:, visit, None] + course * effect[:, None] + 0 * values
    if settings.moderator is not None:
        by_arm = draws_of(draws, "arm_by_moderator", "comparison") @ code
        slope = draws_of(draws, "moderator_effect") + course * (draws_of(draws, "moderator_change") + by_arm)
        mean = mean + slope[:, None] * values
        changed = np.einsum("scm,c->sm", draws_of(draws, "departure_by_moderator", "comparison", "item"), code)
        departure = departure + changed[:, None] * values[:, None]
    variance = _variance(draws, time)
    severity = mean[:, :, None] + np.sqrt(variance)[:, None, None] * _PLACES
    discrimination = draws_of(draws, "discrimination", "item")
    return np.asarray(severity[..., None] * discrimination[:, None, None] + course * departure[:, :, None])


def _variance(draws: xr.Dataset, time: float) -> Draws:
    """Variance of new patients' severity at a time."""
    level, slope, visit = (draws_of(draws, f"{name}_sd") for name in ("level", "slope", "visit"))
    shared = 2 * time * draws_of(draws, "correlation") * level * slope
    return np.asarray(level**2 + shared + (time * slope) ** 2 + visit**2)


def _along_moderator(settings: ItemsSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Differences at the last visit in patients with a value of the moderator."""
    found = []
    for value in standardised(settings, data, np.array(settings.at)):
        last = _expected(settings, posterior, data, np.array([value]), np.ones(1), [data.sizes["visit"] - 1])
        found.append(_against_reference(last.isel(visit=0, drop=True)))
    labels = xr.DataArray([f"{x:g}" for x in settings.at], dims="moderator_value", name="moderator_value")
    items = xr.concat(found, labels).transpose("chain", "draw", "comparison", "moderator_value", "item")
    where = f"at a value of {settings.moderator}, last visit, less {settings.reference}"
    return {
        "sum_difference_at": estimand(items.sum("item"), f"difference in the mean sum of all items {where}", "points"),
        "item_difference_at": estimand(items, f"difference in an item's mean {where}", "points"),
    }


def _on_log_odds(settings: ItemsSettings, posterior: xr.Dataset) -> dict[str, xr.DataArray]:
    """Effects on severity and beyond it, discriminations, and the spread of patients."""
    dims = ("chain", "draw")
    departure = posterior["departure"].transpose(*dims, "comparison", "item")
    by_name = {
        "departure_odds_ratio": estimand(
            departure.copy(data=np.exp(departure.values)),
            "odds ratio of a worse score of an item at the last visit beyond what severity explains, against "
            f"{settings.reference}",
            "odds ratio",
            null=1.0,
        ),
        "departure_sd": estimand(
            posterior["departure_sd"], "sd over items of their log odds ratios beyond severity", "log odds", null=np.nan
        ),
        "severity_difference": estimand(
            posterior["arm_effect"].transpose(*dims, "comparison"),
            f"difference in severity at the last visit (positive is worse), less {settings.reference}", "log odds",
        ),
    }  # fmt: skip
    if settings.moderator is not None:
        along = f"the logarithm of {settings.moderator}" if settings.moderator_form == "log" else settings.moderator
        by_name["severity_interaction"] = estimand(
            posterior["arm_by_moderator"].transpose(*dims, "comparison"),
            f"change of the difference in severity per sd of {along}", "log odds",
        )  # fmt: skip
    by_name["discrimination"] = estimand(
        posterior["discrimination"].transpose(*dims, "item"),
        "log odds of a worse score per unit of severity, over those of the typical item", "ratio", null=1.0,
    )  # fmt: skip
    for name, what in (
        ("level_sd", "sd of patients' severity at the start"), ("slope_sd", "sd of patients' own change"),
        ("visit_sd", "sd of a patient's severity at a visit around their line"),
    ):  # fmt: skip
        by_name[name] = estimand(posterior[name], what, "log odds", null=np.nan)
    return by_name


# Without the model


def crude_differences(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return differences of observed means of items at the last visit, and their standard errors.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        Shape (comparison x item,); NaN where an arm has fewer than two scores.
    """
    at_last = data["visit_of"].values == data.sizes["visit"] - 1
    score = np.where(data["score"].values < 0, np.nan, data["score"].values)[at_last]
    arm = data["arm_of"].values[data["subject_of"].values[at_last]]
    means, variances = [], []
    for a in range(data.sizes["arm"]):
        of_arm = score[arm == a]
        n = np.isfinite(of_arm).sum(axis=0)
        enough = n > 1
        mean = np.where(n > 0, np.nansum(of_arm, axis=0) / np.maximum(n, 1), np.nan)
        squares = np.nansum((of_arm - np.where(n > 0, mean, 0.0)) ** 2, axis=0)
        means.append(mean)
        variances.append(np.where(enough, squares / np.maximum(n - 1, 1) / np.maximum(n, 1), np.nan))
    difference = np.stack(means[1:]) - means[0]
    error = np.sqrt(np.stack(variances[1:]) + variances[0])
    return difference.ravel(), error.ravel()
