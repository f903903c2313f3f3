"""What an ordinal outcome is asked for: probabilities of categories, their differences between arms, mean scores."""

import numpy as np
import xarray as xr

from bayesdep.models.model import estimand
from bayesdep.models.ordinal.data import term_values
from bayesdep.models.ordinal.settings import OrdinalSettings
from bayesdep.models.ordinal.terms import Levels, levels_from, place_of_moderator, thresholds_from
from bayesdep.numerics.draws import over_draws
from bayesdep.numerics.ordinal import probabilities_up_to
from bayesdep.numerics.types import Draws

_GROUPS = 50  # groups of units with similar levels, over which means are taken
# Places and weights of the standard normal on an even grid: for functions that are smooth on the scale of its step the
# trapezoidal rule is right to exp(-2 pi^2 / (step sd)), 3e-8 of a logistic function at a patient sd of 2.5
_PLACES = np.linspace(-6, 6, 41)
_WEIGHTS = np.exp(-(_PLACES**2) / 2) / np.exp(-(_PLACES**2) / 2).sum()


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
    up_to = _at_or_better(settings, posterior, data)
    by_name = _probabilities(settings, up_to)
    if settings.reference is not None:
        by_name |= _differences(settings, up_to)
    if settings.has_scores:
        by_name |= _scores(settings, up_to)
    if settings.moderator is not None:
        by_name |= _along_moderator(settings, posterior, data)
    if data.sizes["step"]:
        by_name |= _monotone(posterior, data)
    if settings.has_patient_effects:
        by_name["patient_sd"] = estimand(
            posterior["patient_sd"], "sd of patients' own levels", _unit(settings), null=np.nan
        )
    return xr.Dataset(by_name | _ratios(settings, posterior, data))


# Probabilities


def _at_or_better(settings: OrdinalSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """P(y <= k) by arm and visit, dims (chain, draw, arm, visit, up_to)."""
    nodes = len(_PLACES) if settings.has_patient_effects else 1
    cells = data.sizes["arm"] * data.sizes["visit"]
    elements = data.sizes["unit"] * data.sizes["arm"] + _groups(data) * nodes * data.sizes["up_to"] * 2 + cells

    def of_draws(draws: xr.Dataset) -> xr.DataArray:
        levels = levels_from(settings, draws, data)
        values = mean_up_to(settings, draws, data, levels, data["weight"].values)
        coords = {dim: data[dim].values for dim in ("arm", "visit", "up_to")}
        return xr.DataArray(values, coords, ("sample", "arm", "visit", "up_to"))

    return over_draws(posterior, of_draws, elements)


def mean_up_to(
    settings: OrdinalSettings, draws: xr.Dataset, data: xr.Dataset, levels: Levels, weight: np.ndarray
) -> Draws:
    """Return the mean over units and patients' own levels of P(y <= k), by arm and visit.

    Parameters
    ----------
    settings
        The model's settings.
    draws
        Draws with dim ``sample``.
    data
        The prepared data.
    levels
        Of its arms, visits and units.
    weight
        People of every unit.

    Returns
    -------
    numpy.ndarray
        Shape (samples, arms, visits, K - 1).
    """
    own = np.zeros((levels.cells.shape[0], 1))
    if settings.has_patient_effects:
        own = np.asarray(draws["patient_sd"].values)[:, None] * _PLACES
    shares = _WEIGHTS if settings.has_patient_effects else np.ones(1)
    how = settings.form
    found = np.empty((*levels.cells.shape, data.sizes["up_to"]))
    units = np.arange(levels.units.shape[-1])
    for a in range(levels.cells.shape[1]):
        level, weights = _in_groups(levels.units[:, a], weight, _groups(data))
        for v in range(levels.cells.shape[2]):
            value = term_values(data, np.full(len(units), a), np.full(len(units), v), units)
            if not (data["term_kind"].values == 2).any():
                value = value[:1]
            thresholds, _ = thresholds_from(settings, draws, value)
            total = levels.cells[:, a, v, None, None] + level[:, :, None] + own[:, None, :]
            p = probabilities_up_to(thresholds[:, :, None], total, **how)
            found[:, a, v] = np.einsum("sgmk,sg,m->sk", p, weights, shares)
    return found


def _groups(data: xr.Dataset) -> int:
    """How many groups of units means are taken over: all units where thresholds are their own."""
    return data.sizes["unit"] if (data["term_kind"].values == 2).any() else min(_GROUPS, data.sizes["unit"])


def _in_groups(level: Draws, weight: np.ndarray, groups: int) -> tuple[Draws, Draws]:
    """Mean levels of groups of units with neighbouring levels, shape (samples, groups), and their shares of people.

    A mean of probabilities over groups differs from that over units by the spread within groups squared: with 50 groups
    by less than 1e-4 at an sd of levels of 2.
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


def _along_moderator(settings: OrdinalSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """Differences at values of the moderator, at the last visit: everybody put at that value."""
    monotone = settings.moderator_form == "monotone"
    place = place_of_moderator(settings)
    if monotone:
        steps = np.flatnonzero(data["ordered_of_step"].values == place)
        labels = [str(x).split(": ", 1)[1] for x in data["level"].values[data["ordered_of_level"].values == place]]
        passed = np.tril(np.ones((len(labels), len(steps))), -1)
        # `reached` is less its mean over people: a step that somebody has not taken is minus that mean
        values = passed + data["reached"].values[:, steps].min(axis=0)
    else:
        if not settings.at:
            return {}
        labels, attrs = [f"{x:g}" for x in settings.at], data["moderator_scale"].attrs
        values = (np.array(settings.at) - attrs["mean"]) / attrs["sd"]

    def at_values(draws: xr.Dataset) -> xr.DataArray:
        found = []
        for value in values:
            moved = _with_moderator(data, monotone, steps if monotone else None, value)
            levels = levels_from(settings, draws, moved)
            last = Levels(levels.cells[..., -1:], levels.units)
            up_to = mean_up_to(settings, draws, moved, last, data["weight"].values)[:, :, 0]
            found.append(up_to[:, 1:] - up_to[:, :1])
        coords = {"comparison": data["comparison"].values, "moderator_value": labels, "up_to": data["up_to"].values}
        return xr.DataArray(np.stack(found, axis=2), coords, ("sample", *coords))

    nodes = len(_PLACES) if settings.has_patient_effects else 1
    elements = data.sizes["unit"] * data.sizes["arm"] + _groups(data) * nodes * data.sizes["up_to"] * 2
    difference = over_draws(posterior, at_values, elements)
    what = (
        "difference in the probability of the category or better at a value of the moderator, last visit, "
        f"against {settings.reference}"
    )
    return {"difference_at": estimand(difference, what, "probability")}


def _with_moderator(data: xr.Dataset, monotone: bool, steps: np.ndarray | None, value: np.ndarray) -> xr.Dataset:
    """The data with everybody at one value of the moderator."""
    if not monotone:
        return data.assign(moderator=("unit", np.full(data.sizes["unit"], float(value))))
    reached = data["reached"].values.copy()
    reached[:, steps] = value
    return data.assign(reached=(("unit", "step"), reached))


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
