"""What an ordinal outcome is asked for: probabilities of categories, their differences between arms, mean scores."""

import numpy as np
import xarray as xr

from bayesdep.models.model import estimand
from bayesdep.models.ordinal.data import term_values
from bayesdep.models.ordinal.settings import OrdinalSettings
from bayesdep.models.ordinal.terms import Levels, levels_from, place_of_moderator, thresholds_from
from bayesdep.numerics.draws import over_draws
from bayesdep.numerics.ordinal import probabilities_up_to
from bayesdep.numerics.patient_integrals import spacing
from bayesdep.numerics.types import Draws

_GROUPS = 50  # groups of units with similar levels, over which means are taken
_FARTHEST = 6.0  # standard deviations of patients' own levels, as far as means over them go


def estimands(settings: OrdinalSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive every estimand of :class:`~bayesdep.models.ordinal.model.Ordinal`.

    A probability is the mean over all people of the table, each put into the arm that is asked for, and over patients'
    own levels; so are differences of probabilities.

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
        Estimands by name, odds ratios last.
    """
    people = kinds_of_people(data)
    up_to = _at_or_better(settings, posterior, people)
    by_name = _probabilities(settings, up_to)
    if settings.reference is not None:
        by_name |= _differences(settings, up_to)
    if settings.has_scores:
        by_name |= _scores(settings, up_to)
    if settings.moderator is not None:
        by_name |= _along_moderator(settings, posterior, people)
    if data.sizes["step"]:
        by_name |= _monotone(posterior, data)
    if settings.has_patient_effects:
        by_name["patient_sd"] = estimand(
            posterior["patient_sd"], "sd of patients' own levels", _unit(settings), null=np.nan
        )
    return xr.Dataset(by_name | _ratios(settings, posterior, data))


# Probabilities


def kinds_of_people(data: xr.Dataset) -> xr.Dataset:
    """Return what units are like with one unit for all who are alike in every predictor, and their weights together."""
    names = ("covariates", "reached", "slope_column", "moderator")
    columns = [data[name].values.reshape(data.sizes["unit"], -1) for name in names]
    _, first, kind = np.unique(np.column_stack(columns), axis=0, return_index=True, return_inverse=True)
    weight = np.bincount(kind.ravel(), weights=data["weight"].values)
    return data.drop_dims("row").isel(unit=first).assign(weight=("unit", weight))


def own_levels(settings: OrdinalSettings, posterior: xr.Dataset, thresholds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return places and weights of patients' own levels, in their sd, for means of probabilities over patients.

    They are an even grid for the largest sd of the draws, by the bound of :mod:`bayesdep.numerics.patient_integrals`:
    a probability is right to a relative 2e-7. Without patients' levels there is one place, 0.
    """
    if not settings.has_patient_effects:
        return np.zeros(1), np.ones(1)
    sd, factors = float(posterior["patient_sd"].max()), thresholds if settings.link == "continuation" else 1
    space = spacing(sd, factors, thresholds, link=settings.link, distribution=settings.distribution)
    places = space * np.arange(-np.ceil(_FARTHEST / space), np.ceil(_FARTHEST / space) + 1)
    weights = np.exp(-(places**2) / 2)
    return places, weights / weights.sum()


def _at_or_better(settings: OrdinalSettings, posterior: xr.Dataset, people: xr.Dataset) -> xr.DataArray:
    """P(y <= k) by arm and visit, dims (chain, draw, arm, visit, up_to)."""
    own = own_levels(settings, posterior, people.sizes["up_to"])
    cells = people.sizes["arm"] * people.sizes["visit"]
    elements = people.sizes["unit"] * people.sizes["arm"] + _in_means(people, own) + cells

    def of_draws(draws: xr.Dataset) -> xr.DataArray:
        levels = levels_from(settings, draws, people)
        values = mean_up_to(settings, draws, people, levels, own)
        coords = {dim: people[dim].values for dim in ("arm", "visit", "up_to")}
        return xr.DataArray(values, coords, ("sample", "arm", "visit", "up_to"))

    return over_draws(posterior, of_draws, elements)


def _in_means(people: xr.Dataset, own: tuple[np.ndarray, np.ndarray]) -> int:
    """How many numbers a mean of one draw is taken over."""
    return int(_groups(people) * len(own[0]) * people.sizes["up_to"] * 2)


def mean_up_to(
    settings: OrdinalSettings, draws: xr.Dataset, people: xr.Dataset, levels: Levels,
    own: tuple[np.ndarray, np.ndarray],
) -> Draws:  # fmt: skip
    """Return the mean over units and patients' own levels of P(y <= k), by arm and visit.

    Parameters
    ----------
    settings
        The model's settings.
    draws
        Draws with dim ``sample``.
    people
        What units are like, as :func:`kinds_of_people` returns it.
    levels
        Of its arms, visits (all or the last ones) and units.
    own
        Places and weights of patients' own levels, as :func:`own_levels` returns them.

    Returns
    -------
    numpy.ndarray
        Shape (samples, arms, visits, K - 1).
    """
    moved = np.zeros((levels.cells.shape[0], 1))
    if settings.has_patient_effects:
        moved = np.asarray(draws["patient_sd"].values)[:, None] * own[0]
    found = np.empty((*levels.cells.shape, people.sizes["up_to"]))
    units, visits = np.arange(levels.units.shape[-1]), levels.cells.shape[2]
    first = people.sizes["visit"] - visits
    for a in range(levels.cells.shape[1]):
        level, weights = _in_groups(levels.units[:, a], people["weight"].values, _groups(people))
        total = (level[:, :, None] + moved[:, None, :]).reshape(len(level), -1)
        shares = (weights[:, :, None] * own[1]).reshape(len(level), 1, -1)
        for v in range(visits):
            value = term_values(people, np.full(len(units), a), np.full(len(units), first + v), units)
            if not (people["term_kind"].values == 2).any():
                value = value[:1]
            thresholds, _ = thresholds_from(settings, draws, value)
            if thresholds.shape[1] > 1:
                thresholds = np.repeat(thresholds, len(own[0]), axis=1)
            p = probabilities_up_to(thresholds, levels.cells[:, a, v, None] + total, **settings.form)
            found[:, a, v] = (shares @ p)[:, 0]
    return found


def _groups(people: xr.Dataset) -> int:
    """How many groups of units means are taken over: all units where thresholds are their own."""
    return people.sizes["unit"] if (people["term_kind"].values == 2).any() else min(_GROUPS, people.sizes["unit"])


def _in_groups(level: Draws, weight: np.ndarray, groups: int) -> tuple[Draws, Draws]:
    """Mean levels of groups of units with neighbouring levels, shape (samples, groups), and their shares of people.

    A mean of probabilities over groups differs from that over units by the spread within groups squared: with 50 groups
    by less than 1e-4 at an sd of normal levels of 2, and by up to 4e-4 where levels lie around a few places.
    """
    if level.shape[1] <= groups:
        return level, np.broadcast_to(weight / weight.sum(), level.shape)
    order = np.argsort(level, axis=1)
    of_sorted = np.broadcast_to(weight, level.shape)
    sorted_weight = np.take_along_axis(of_sorted, order, axis=1)
    sorted_level = np.take_along_axis(level, order, axis=1)
    starts = (np.arange(groups) * level.shape[1]) // groups
    weights = np.add.reduceat(sorted_weight, starts, axis=1)
    return np.add.reduceat(sorted_weight * sorted_level, starts, axis=1) / weights, weights / weight.sum()


def _probabilities(settings: OrdinalSettings, up_to: xr.DataArray) -> dict[str, xr.DataArray]:
    """The probability of each category, and of it or better."""
    values = up_to.values
    shape = (*values.shape[:-1], 1)
    each = np.diff(np.concatenate([np.zeros(shape), values, np.ones(shape)], axis=-1), axis=-1)
    coords = {k: c for k, c in up_to.coords.items() if k != "up_to"} | {"category": list(settings.categories)}
    probability = xr.DataArray(each, coords, (*up_to.dims[:-1], "category"))
    return {
        "probability": estimand(probability, "probability of the category", "probability", null=np.nan),
        "at_or_better": estimand(up_to, "probability of the category or better", "probability", null=np.nan),
    }


def _against_reference(values: xr.DataArray) -> xr.DataArray:
    """Arms less the reference, with dim ``comparison``."""
    treated = values.isel(arm=slice(1, None)).rename(arm="comparison")
    return treated - values.isel(arm=0, drop=True)


def _differences(settings: OrdinalSettings, up_to: xr.DataArray) -> dict[str, xr.DataArray]:
    """Differences in the probability of a category or better, and numbers needed to treat."""
    difference = _against_reference(up_to).transpose("chain", "draw", "comparison", "visit", "up_to")
    what = f"the category or better, against {settings.reference}"
    return {
        "difference": estimand(difference, f"difference in the probability of {what}", "probability"),
        "number_needed_to_treat": estimand(
            1 / difference,
            f"number needed to treat (above 0) or harm (below 0) for {what}",
            "patients",
            reciprocal_of="difference",
        ),
    }


def _scores(settings: OrdinalSettings, up_to: xr.DataArray) -> dict[str, xr.DataArray]:
    """Mean scores by arm and visit, and their differences."""
    score = np.array([float(x) for x in settings.categories])
    # the mean of a score is its worst value plus what each threshold brings it nearer to the best
    mean = score[-1] + xr.dot(up_to, xr.DataArray(score[:-1] - score[1:], dims="up_to"), dim="up_to")
    by_name = {"mean_score": estimand(mean, "mean score", "points", null=np.nan)}
    if settings.reference is not None:
        difference = _against_reference(mean).transpose("chain", "draw", "comparison", "visit")
        what = f"difference in mean scores, less {settings.reference}"
        by_name["mean_score_difference"] = estimand(difference, what, "points")
    return by_name


# Along a moderator, and monotone effects


def _along_moderator(settings: OrdinalSettings, posterior: xr.Dataset, people: xr.Dataset) -> dict[str, xr.DataArray]:
    """Differences at values of the moderator, at the last visit: everybody put at that value."""
    monotone = settings.moderator_form == "monotone"
    place = place_of_moderator(settings)
    if monotone:
        steps = np.flatnonzero(people["ordered_of_step"].values == place)
        labels = [str(x).split(": ", 1)[1] for x in people["level"].values[people["ordered_of_level"].values == place]]
        passed = np.tril(np.ones((len(labels), len(steps))), -1)
        # `reached` is less its mean over people: a step that somebody has not taken is minus that mean
        values = passed + people["reached"].values[:, steps].min(axis=0)
    else:
        if not settings.at:
            return {}
        labels, attrs = [f"{x:g}" for x in settings.at], people["moderator_scale"].attrs
        values = (np.array(settings.at) - attrs["mean"]) / attrs["sd"]

    own = own_levels(settings, posterior, people.sizes["up_to"])

    def at_values(draws: xr.Dataset) -> xr.DataArray:
        found = []
        for value in values:
            moved = _with_moderator(people, monotone, steps if monotone else None, value)
            levels = levels_from(settings, draws, moved)
            last = Levels(levels.cells[..., -1:], levels.units)
            up_to = mean_up_to(settings, draws, moved, last, own)[:, :, 0]
            found.append(up_to[:, 1:] - up_to[:, :1])
        coords = {"comparison": people["comparison"].values, "moderator_value": labels, "up_to": people["up_to"].values}
        return xr.DataArray(np.stack(found, axis=2), coords, ("sample", *coords))

    elements = people.sizes["unit"] * people.sizes["arm"] + _in_means(people, own)
    difference = over_draws(posterior, at_values, elements)
    what = (
        "difference in the probability of the category or better at a value of the moderator, last visit, "
        f"against {settings.reference}"
    )
    return {"difference_at": estimand(difference, what, "probability")}


def _with_moderator(people: xr.Dataset, monotone: bool, steps: np.ndarray | None, value: np.ndarray) -> xr.Dataset:
    """The data with everybody at one value of the moderator."""
    if not monotone:
        return people.assign(moderator=("unit", np.full(people.sizes["unit"], float(value))))
    reached = people["reached"].values.copy()
    reached[:, steps] = value
    return people.assign(reached=(("unit", "step"), reached))


def _monotone(posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Shares of a monotone effect that fall on each step, where there are two steps or more."""
    of_step = data["ordered_of_step"].values
    several = np.flatnonzero(np.bincount(of_step)[of_step] > 1)
    if not len(several):
        return {}
    share = posterior["increment"].isel(step=several).transpose("chain", "draw", "step")
    what = "share of an ordered predictor's effect that falls on a step"
    return {"increment": estimand(share, what, "share", null=np.nan)}


# On the scale of the level


def _unit(settings: OrdinalSettings) -> str:
    return "log odds" if settings.distribution == "logit" else "probits"


def _ratios(settings: OrdinalSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Odds ratios of one patient (differences in probits on that scale): above 1 is worse."""
    odds = {
        "cumulative": "of any worse category", "continuation": "of going on to a worse category",
        "adjacent": "of the next worse category",
    }[settings.link]  # fmt: skip
    logit = settings.distribution == "logit"

    def ratio(values: xr.DataArray, what: str) -> xr.DataArray:
        if logit:
            return estimand(
                values.copy(data=np.exp(values.values)), f"odds ratio {odds}, {what}", "odds ratio", null=1.0
            )
        return estimand(values, f"difference in probits (positive is worse), {what}", "probits")

    end = "odds_ratio" if logit else "probit_difference"
    by_name, dims = {}, ("chain", "draw")
    if settings.reference is not None:
        effect = posterior["arm_effect"].transpose(*dims, "comparison", "visit")
        by_name[end] = ratio(effect, f"against {settings.reference}")
        if "arm" in settings.by_threshold:
            by_name[f"{end}_by_threshold"] = ratio(
                _arm_by_threshold(settings, posterior, data), f"against {settings.reference}, at every threshold"
            )
    if settings.moderator is not None:
        unit = "" if settings.moderator_form == "monotone" else f" per sd of {settings.moderator}"
        by_name[f"interaction_{end}"] = ratio(
            posterior["arm_by_moderator"].transpose(*dims, "comparison"),
            f"change of an arm's by the moderator{unit or ', from its lowest level to its highest'}",
        )
    if settings.baseline is not None:
        by_name[f"baseline_{end}"] = ratio(
            posterior["baseline_effect"], "from the best category at baseline to the worst"
        )
    if data.sizes["covariate"]:
        per_unit = posterior["covariate_effect"] / data["covariate_sd"]
        by_name[f"covariate_{end}"] = ratio(per_unit, "per unit of a covariate's column")
    if data.sizes["slope"]:
        slope = posterior["monotone_effect"].transpose(*dims, "slope")
        by_name[f"monotone_{end}"] = ratio(slope, "from the lowest level of an ordered covariate to the highest")
    return by_name


def _arm_by_threshold(settings: OrdinalSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Effects of arms at every threshold, at the last visit and the mean of other terms."""

    def of_draws(draws: xr.Dataset) -> xr.DataArray:
        kinds, index = data["term_kind"].values, data["term_index"].values
        codes = data["arm_code"].values
        value = np.array([[codes[i, a] if kind == 0 else 0.0 for kind, i in zip(kinds, index, strict=True)]
                          for a in range(data.sizes["arm"])])  # fmt: skip
        thresholds, _ = thresholds_from(settings, draws, value)
        moved = thresholds[:, :1] - thresholds[:, 1:]
        effect = draws["arm_effect"].transpose("sample", "comparison", "visit").values[..., -1]
        coords = {"comparison": data["comparison"].values, "up_to": data["up_to"].values}
        return xr.DataArray(moved + effect[..., None], coords, ("sample", *coords))

    return over_draws(posterior, of_draws, data.sizes["arm"] * data.sizes["category"])


def monotone_curve(posterior: xr.Dataset, data: xr.Dataset, place: int) -> xr.DataArray:
    """Return ``mo(x)`` at every level of an ordered predictor, from 0 at the lowest to 1 at the highest.

    Parameters
    ----------
    posterior
        Draws of ``increment``.
    data
        The prepared data.
    place
        Which of the ordered predictors.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, level).
    """
    steps = np.flatnonzero(data["ordered_of_step"].values == place)
    labels = data["level"].values[data["ordered_of_level"].values == place]
    share = posterior["increment"].isel(step=steps).transpose("chain", "draw", "step").values
    curve = np.concatenate([np.zeros((*share.shape[:2], 1)), np.cumsum(share, axis=-1)], axis=-1)
    coords = {"chain": posterior["chain"], "draw": posterior["draw"], "level": labels}
    return xr.DataArray(curve, coords, ("chain", "draw", "level"))


# Without the model


def crude_differences(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return differences of observed shares at or below each category, and their standard errors.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        Shape (comparison x visit x up_to,).
    """
    share, n = _shares(data)
    variance = share * (1 - share) / n
    difference = share[1:] - share[0]
    return difference.ravel(), np.sqrt(variance[1:] + variance[0]).ravel()


def crude_shares(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return observed shares at or below each category, and their standard errors: shape (arm x visit x up_to,)."""
    share, n = _shares(data)
    return share.ravel(), np.sqrt(share * (1 - share) / n).ravel()


def _shares(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Observed shares at or below each category by arm and visit, and people."""
    counts = counts_by_cell(data)
    n = counts.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):  # visits of tables without arms may be empty
        return np.cumsum(counts, axis=-1)[..., :-1] / n, np.broadcast_to(n, (*n.shape[:-1], counts.shape[-1] - 1))


def counts_by_cell(data: xr.Dataset) -> np.ndarray:
    """Return the people observed by arm, visit and category.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    numpy.ndarray
        Shape (arm, visit, category).
    """
    counts = np.zeros((data.sizes["arm"], data.sizes["visit"], data.sizes["category"]))
    arm, visit = data["arm_of"].values[data["unit_of"].values], data["visit_of"].values
    if "counts" in data:
        np.add.at(counts, (arm, visit), data["counts"].values)
    else:
        np.add.at(counts, (arm, visit, data["category_of"].values), 1)
    return counts
