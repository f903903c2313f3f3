"""What a panel of censored concentrations is asked for: ratios, shares below the limit, changes and ranks."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.cytokines.settings import CytokinesSettings
from bayesdep.models.cytokines.split import people_of_groups
from bayesdep.models.model import OwnPrior, estimand
from bayesdep.models.parts.contrasts import STANDARDISED
from bayesdep.numerics.tobit import tobit

_T_NODES = 15


def crude_log_ratios(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Estimate each analyte's log ratios on their own, by censored maximum likelihood at baseline.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        Estimates and standard errors, shape (analyte x comparison,); NaN where there is no maximum.
    """
    effects, errors = [], []
    for a in range(data.sizes["analyte"]):
        rows = data.isel(measurement=np.flatnonzero((data["analyte_of"] == a) & (data["time_of"] == 0)))
        columns = [np.ones(rows.sizes["measurement"]), *np.eye(data.sizes["group"])[rows["group_of"].values, 1:].T]
        columns += list(np.eye(data.sizes["plate"])[rows["plate_of"].values, 1:].T)
        design = np.column_stack(columns)
        comparisons = slice(1, data.sizes["group"])
        fit = tobit(rows["lower"].values, rows["upper"].values, design[:, design.any(axis=0)])
        has_maximum = fit.converged and design.any(axis=0)[comparisons].all()
        none = np.full(data.sizes["comparison"], np.nan)
        effects.append(fit.coefficients[comparisons] if has_maximum else none)
        errors.append(fit.errors[comparisons] if has_maximum else none)
    return np.concatenate(effects), np.concatenate(errors)


def no_crude(shape_of: str) -> Callable[[xr.Dataset], tuple[np.ndarray, np.ndarray]]:
    """Return a function that gives one NaN per row of an estimand, where there are no crude estimates."""

    def crude(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
        rows = data.sizes["analyte"] * (data.sizes["later"] if shape_of == "log_change" else 1)
        return np.full(rows, np.nan), np.full(rows, np.nan)

    return crude


def _exp(values: xr.DataArray) -> xr.DataArray:
    return values.copy(data=np.exp(values.values))


def estimands(settings: CytokinesSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive every estimand of :class:`~bayesdep.models.cytokines.model.Cytokines`.

    The arithmetic mean of a log-normal concentration is ``exp(m + v / 2)`` with v the variance between new people:
    residual, subjects, factor and cells together. A new person's share below the limit averages over the plates
    used. Student-t residuals have no arithmetic mean on the concentration scale, so there it is left out.

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
    units = sorted(set(map(str, data["unit"].values)))
    unit = units[0] if len(units) == 1 else "the analyte's unit"
    level = posterior["level"] + data["centre"]
    if settings.group is not None:
        level = level + xr.dot(data["group_code"], posterior["group_effect"], dim="comparison")
    else:
        level = level.expand_dims(group=data["group"].values, axis=-1)
    level = level.transpose("chain", "draw", "analyte", "group")
    derived = {
        "log_level": estimand(level, "log geometric mean at baseline", f"log {unit}", null=np.nan),
        "geometric_mean": estimand(
            _exp(level), "geometric mean at baseline", unit, monotone_of="log_level", null=np.nan
        ),
        "residual_sd": estimand(posterior["residual_sd"], "residual sd of log concentrations", "log", null=np.nan),
    }
    between = xr.zeros_like(posterior["residual_sd"])
    if settings.has_subjects:
        between = between + posterior["subject_sd"] ** 2
    if settings.shared_factor:
        between = between + posterior["loading"] ** 2
    of_cells = posterior["residual_sd"] ** 2 * (posterior["cell_ratio"] ** 2 if settings.has_cells else 0.0)
    between = between + of_cells
    shares = _shares_below(settings, posterior, data, level, between)
    derived["share_below"] = estimand(
        shares, "share of new people below the detection limit at baseline", "probability", null=np.nan
    )
    if settings.group is not None:
        derived |= _group_estimands(settings, posterior, level, between, unit)
    if settings.time is not None:
        derived |= _time_estimands(settings, posterior, data)
    if settings.covariates is not None:
        effect = posterior["covariate_effect"] / data["covariate_sd"]
        derived["covariate_effect"] = estimand(effect, "change of the log concentration per unit", "log ratio")
        derived["covariate_ratio"] = estimand(
            _exp(effect), "ratio per unit of the covariate", "ratio", null=1.0, monotone_of="covariate_effect"
        )
    return xr.Dataset(derived)


def _group_estimands(
    settings: CytokinesSettings, posterior: xr.Dataset, level: xr.DataArray, between: xr.DataArray, unit: str
) -> dict[str, xr.DataArray]:
    against = f"against {settings.reference}"
    log_ratio = posterior["group_effect"].transpose("chain", "draw", "analyte", "comparison")
    rope = {}
    if settings.equivalence is not None:
        rope = {"rope_lower": -float(np.log(settings.equivalence)), "rope_upper": float(np.log(settings.equivalence))}
    order = np.argsort(np.argsort(-log_ratio.values, axis=2), axis=2) + 1
    derived = {
        "log_ratio": estimand(log_ratio, f"log ratio of geometric means {against}", "log ratio", **rope),
        "geometric_mean_ratio": estimand(
            _exp(log_ratio),
            f"ratio of geometric means {against}",
            "ratio",
            null=1.0,
            monotone_of="log_ratio",
            **{k: float(np.exp(v)) for k, v in rope.items()},
        ),
        "rank": estimand(
            log_ratio.copy(data=order.astype(float)), f"rank of the ratio {against}, 1 the largest", "rank", null=np.nan
        ),
        "number_elevated": estimand(
            (log_ratio > 0).sum("analyte").astype(float),
            f"number of analytes elevated {against}",
            "analytes",
            null=np.nan,
        ),
    }
    if "group_mean" in posterior:
        derived["mean_log_ratio"] = estimand(
            posterior["group_mean"], f"mean over analytes of the log ratio {against}", "log ratio"
        )
    if "group_sd" in posterior:
        derived["log_ratio_sd"] = estimand(
            posterior["group_sd"], "spread of the log ratio over analytes", "log ratio", null=np.nan
        )
    if not settings.robust:
        mean = _exp(level + (posterior["residual_sd"] ** 2 + between) / 2)
        difference = mean.isel(group=slice(1, None)).rename(group="comparison") - mean.isel(group=0, drop=True)
        derived["mean_difference"] = estimand(
            difference.transpose("chain", "draw", "analyte", "comparison"),
            f"difference of arithmetic means {against}",
            unit,
        )
    return derived


def _time_estimands(settings: CytokinesSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    change = posterior["time_effect"]
    if settings.group_by_time:
        change = change + xr.dot(data["group_code"], posterior["interaction"], dim="comparison")
        change = change.transpose("chain", "draw", "analyte", "later", "group")
    else:
        change = change.transpose("chain", "draw", "analyte", "later")
    ratio = posterior["cell_ratio"] ** 2
    return {
        "log_change": estimand(change, "log ratio to baseline", "log ratio"),
        "ratio_to_baseline": estimand(_exp(change), "ratio to baseline", "ratio", null=1.0, monotone_of="log_change"),
        "intraclass_correlation": estimand(
            ratio / (1 + ratio),
            "share of the variance within an analyte that lasts within a person",
            "proportion",
            null=np.nan,
        ),
    }


def _shares_below(
    settings: CytokinesSettings, posterior: xr.Dataset, data: xr.Dataset, level: xr.DataArray, between: xr.DataArray
) -> xr.DataArray:
    """P(a new person's value lies below the limit), averaged over the plates on which the group was measured."""
    analytes, groups, plates = (data.sizes[d] for d in ("analyte", "group", "plate"))
    limit, weight = np.full((analytes, plates), np.nan), np.zeros((analytes, groups, plates))
    analyte, plate = data["analyte_of"].values, data["plate_of"].values
    rows = np.flatnonzero(np.isfinite(data["lod"].values))
    limit[analyte[rows], plate[rows]] = data["lod"].values[rows]
    np.add.at(weight, (analyte, data["group_of"].values, plate), (data["time_of"].values == 0).astype(float))
    weight = np.where(np.isfinite(limit)[:, None, :], weight, 0.0)
    with np.errstate(invalid="ignore"):  # an analyte without a known limit: its share is NaN
        weight = weight / weight.sum(axis=2, keepdims=True)
    total = np.zeros(level.shape)
    sd = posterior["residual_sd"].transpose("chain", "draw", "analyte").values
    variance = between.transpose("chain", "draw", "analyte").values
    nodes, weights = np.polynomial.hermite_e.hermegauss(_T_NODES)
    for p in range(plates):
        distance: Any = np.nan_to_num(limit[:, p])
        if settings.plate is not None:
            plate_effect = posterior["plate_sd"] * posterior["plate_latent"].isel(plate=p)
            distance = distance - plate_effect.transpose("chain", "draw", "analyte").values
        for g in range(groups):
            away = distance - level.values[..., g]
            if settings.robust:
                nu = posterior["nu"].values[:, :, None]
                share = sum(
                    w * special.stdtr(nu, (away - np.sqrt(variance) * node) / sd)
                    for node, w in zip(nodes, weights / weights.sum(), strict=True)
                )
            else:
                share = special.ndtr(away / np.sqrt(sd**2 + variance))
            total[..., g] += np.where(np.isnan(weight[:, g, p]), np.nan, weight[:, g, p]) * share
    return level.copy(data=total)


def own_prior(settings: CytokinesSettings, name: str, at: Mapping[str, str], data: xr.Dataset) -> OwnPrior | str:
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
        Of effects that are not pooled, and of the mean of the groups' effects.
    """
    words = {"log_ratio": "group", "log_change": "time", "covariate_effect": "covariate"}
    if name not in (*words, "mean_log_ratio"):
        return "it is a function of several parameters"
    if name in ("log_ratio", "mean_log_ratio") and data.sizes["comparison"] > 1:
        return "differences of several groups to one reference are correlated a priori"
    if name == "mean_log_ratio":
        return _prior_of_mean(settings, data)
    if settings.is_pooled:
        return "effects are pooled over analytes: without one of them, the others would have another prior"
    if name == "log_change" and settings.group_by_time:
        return "it is the sum of a change and its difference between groups"
    variable = settings.effect_names[words[name]]
    further = {"log_ratio": "comparison", "log_change": "later", "covariate_effect": "covariate"}[name]
    index = tuple(list(map(str, data[dim].values)).index(at[dim]) for dim in ("analyte", further))
    factor = 1 / float(data["covariate_sd"][index[1]]) if name == "covariate_effect" else 1.0
    return OwnPrior(variable, settings.priors[variable], index, factor)


def _prior_of_mean(settings: CytokinesSettings, data: xr.Dataset) -> OwnPrior:
    """The prior of the mean of the groups' effects; a normal given its sum with people's levels, if that is sampled."""
    prior = settings.priors["group_mean"]
    split = settings.has_subjects and all(settings.priors[f"{w}_mean"].dist == "Normal" for w in ("level", "group"))
    if not split:
        return OwnPrior("group_mean", prior, (0,))
    _, people = people_of_groups(data)
    added = float(1 / people[0] + 1 / people[1])

    def given(posterior: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
        """With z the sampled sum, standardised (:func:`~bayesdep.models.cytokines.split.split_mean`)."""
        z = posterior[f"group_mean{STANDARDISED}"].isel(comparison=0, drop=True)
        of_people = posterior["subject_sd"] * np.sqrt(added)
        root = np.sqrt(1 + (of_people / prior["sigma"]) ** 2)
        return prior["mu"] + prior["sigma"] * z / root, of_people / root

    return OwnPrior("group_mean", prior, (0,), given=given)
