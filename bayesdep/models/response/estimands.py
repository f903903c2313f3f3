"""What follows from the parameters of a response model: odds ratios, and the accuracy of the marker."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.model import OwnPrior, estimand
from bayesdep.models.parts.people import recorded
from bayesdep.models.response.settings import ResponseSettings
from bayesdep.numerics.net_benefit import net_benefit
from bayesdep.numerics.roc import best_cutoff, roc, shares_at_cutoff

RATES = np.round(np.arange(0.02, 0.99, 0.02), 2)  # false-positive rates at which the ROC curve is given
THRESHOLDS = np.round(np.arange(0.05, 0.96, 0.05), 2)  # chances of the outcome at which the decision curve is given
DECISIONS = ("by the marker", "everybody")


def stacked(posterior: xr.Dataset, name: str) -> np.ndarray:
    """Return a parameter's draws, chains one after the other, as the first axis."""
    values = posterior[name].transpose("chain", "draw", ...).values
    return values.reshape(-1, *values.shape[2:])


def in_logs(posterior: xr.Dataset, data: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return slopes per natural log, the mean log less the centre, and the sd of logs; shape (draws, analytes)."""
    scale = data["log_sd"].values
    slope, mean, sd = (stacked(posterior, name) for name in ("slope", "marker_mean", "marker_sd"))
    return slope / scale, mean * scale, sd * scale


def estimands(settings: ResponseSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Return the estimands.

    Parameters
    ----------
    settings
        The model's settings.
    posterior
        Draws of the parameters.
    data
        The prepared data.

    Returns
    -------
    xarray.Dataset
        As :meth:`bayesdep.models.response.model.Response.estimands` lists them.
    """
    slope = posterior["slope"] / xr.DataArray(data["log_sd"].values, dims="analyte")
    odds_ratios = {
        "odds_ratio_per_doubling": estimand(
            np.exp(slope * np.log(2)),
            "odds ratio of the outcome per doubling of the concentration",
            "odds ratio",
            null=1.0,
        ),
        "slope": estimand(slope, "log odds ratio of the outcome per log unit", "log odds ratio per log unit"),
        "odds_ratio_per_sd": estimand(
            xr.DataArray(np.exp(posterior["slope"])),
            "odds ratio of the outcome per standard deviation of the log concentration",
            "odds ratio",
            null=1.0,
            monotone_of="slope",
        ),
    }
    if data.sizes["covariate"]:
        odds_ratios["covariate_odds_ratio"] = estimand(
            xr.DataArray(np.exp(posterior["covariate_slope"] / data["covariate_sd"])),
            "odds ratio of the outcome per unit of the formula's column",
            "odds ratio",
            null=1.0,
        )
    accuracy = _accuracy_of_index if data.sizes["analyte"] > 1 else _accuracy_of_marker
    return xr.Dataset(odds_ratios | accuracy(settings, posterior, data))


def _intercepts(posterior: xr.Dataset, data: xr.Dataset) -> np.ndarray:
    """Each person's log odds at the markers' means, shape (draws, people); (draws, 1) without covariates."""
    slope, mean, _ = in_logs(posterior, data)
    intercepts = (stacked(posterior, "intercept") + (slope * mean).sum(axis=1))[:, None]
    if data.sizes["covariate"]:
        intercepts = intercepts + stacked(posterior, "covariate_slope") @ data["covariates"].values.T
    return intercepts


def _as_estimand(
    posterior: xr.Dataset,
    values: np.ndarray,
    description: str,
    units: str,
    dim: str | None = None,
    **attrs: Any,
) -> xr.DataArray:
    """An array with a posterior's draws, chains one after the other, as an estimand; a dim is along RATES."""
    coords = {d: posterior[d] for d in ("chain", "draw")} | ({dim: RATES} if dim else {})
    shaped = values.reshape(posterior.sizes["chain"], posterior.sizes["draw"], *values.shape[1:])
    return estimand(xr.DataArray(shaped, coords, tuple(coords)), description, units, **attrs)


_AREA = "the probability that a responder has the {} {} than a non-responder"


def _accuracy_of_index(
    settings: ResponseSettings,  # noqa: ARG001  (the same call for one analyte)
    posterior: xr.Dataset,
    data: xr.Dataset,
) -> dict[str, xr.DataArray]:
    """The accuracy of the sum of slope times log concentration, which is normal; a high one is a positive test."""
    slope, _, sd = in_logs(posterior, data)
    spread = np.sqrt(((slope * sd) ** 2).sum(axis=1))
    area, _ = roc(_intercepts(posterior, data), -spread, RATES)
    name = _AREA.format("higher", "index of all analytes")
    return {"auc": _as_estimand(posterior, area, name, "probability", null=0.5)}


def _accuracy_of_marker(settings: ResponseSettings, posterior: xr.Dataset, data: xr.Dataset) -> dict[str, xr.DataArray]:
    """The accuracy of one analyte's concentration."""
    # A test that is positive above its cutoff is one that is positive below it, of the marker with its sign changed.
    below = settings.predicts_when == "below"
    sign = 1.0 if below else -1.0
    slope, mean, sd = in_logs(posterior, data)
    intercepts, steepness = _intercepts(posterior, data), sign * (slope * sd)[:, 0]
    centre, unit = float(data["centre"].values[0]), str(data["unit"].values[0])

    def standardised(log: float) -> np.ndarray:
        return sign * (log - centre - mean[:, 0]) / sd[:, 0]

    area, curve = roc(intercepts, steepness, RATES)
    logs = recorded(data)
    ends = sorted((standardised(float(logs.min())), standardised(float(logs.max()))), key=lambda t: float(t[0]))
    t, index = best_cutoff(ends[0], ends[1], intercepts, steepness)
    log_best = centre + mean[:, 0] + sign * t * sd[:, 0]
    made = partial(_as_estimand, posterior)
    name = _AREA.format("lower" if below else "higher", "concentration")
    accuracy = {
        "auc": made(area, name, "probability", null=0.5),
        "best_cutoff": made(np.exp(log_best), "cutoff with the largest Youden index, in the observed range", unit),
        "youden": made(index, "largest Youden index (sensitivity + specificity - 1)", "probability"),
    }
    if settings.cutoff is not None:
        shares = shares_at_cutoff(standardised(float(np.log(settings.cutoff))), intercepts, steepness)
        test = f"{'below' if below else 'above'} {settings.cutoff:g} {unit}"
        accuracy |= _accuracy_at_cutoff(posterior, *shares, test)
    accuracy["roc"] = made(curve, "sensitivity at a false-positive rate", "probability", "false_positive_rate")
    return accuracy | _decisions(posterior, centre + mean[:, 0], sd[:, 0], intercepts, slope[:, 0])


def _decisions(
    posterior: xr.Dataset, mean: np.ndarray, sd: np.ndarray, intercepts: np.ndarray, slope: np.ndarray
) -> dict[str, xr.DataArray]:
    """The net benefit of treating those whose chance of the outcome is above a threshold."""
    by_marker, everybody = net_benefit(mean, sd, intercepts, slope, THRESHOLDS)
    leads = {d: posterior[d] for d in ("chain", "draw")}
    shape = (posterior.sizes["chain"], posterior.sizes["draw"])

    def along(values: np.ndarray, **dims: Any) -> xr.DataArray:
        coords = leads | dims | {"threshold": THRESHOLDS}
        return xr.DataArray(values.reshape(*shape, *values.shape[1:]), coords, tuple(coords))

    units = "true positives per person"
    return {
        "net_benefit": estimand(
            along(np.stack([by_marker, everybody], axis=1), decision=list(DECISIONS)),
            "net benefit, where one would just treat at that chance of the outcome, of treating",
            units,
        ),
        "net_benefit_gain": estimand(
            along(by_marker - np.maximum(everybody, 0)),
            "net benefit of deciding by the marker beyond the better of treating everybody and nobody",
            units,
        ),
    }


def _accuracy_at_cutoff(
    posterior: xr.Dataset, tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, tn: np.ndarray, test: str
) -> dict[str, xr.DataArray]:
    """Accuracy from the shares of true and false positives and negatives; ``test`` says what a positive one is."""
    sensitivity, false_positive = tp / (tp + fn), fp / (fp + tn)
    false_negative, specificity = fn / (tp + fn), tn / (fp + tn)
    made = partial(_as_estimand, posterior)
    return {
        "sensitivity": made(sensitivity, f"probability of a value {test} in responders", "probability", null=0.5),
        "specificity": made(specificity, f"probability of no value {test} in others", "probability", null=0.5),
        "likelihood_ratio_positive": made(
            sensitivity / false_positive, f"positive likelihood ratio of a value {test}", "ratio", null=1.0
        ),
        "likelihood_ratio_negative": made(
            false_negative / specificity, f"negative likelihood ratio of a value {test}", "ratio", null=1.0
        ),
    }


def crude_slopes(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return each analyte's own logistic regression by maximum likelihood, non-detects at their limit.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        Slopes and standard errors by analyte; NaN where the analyte separates responders from others.
    """
    outcome, logs = data["outcome"].values, recorded(data) - data["centre"].values
    estimates = np.array([_logistic_slope(outcome, logs[:, k]) for k in range(logs.shape[1])])
    return estimates[:, 0], estimates[:, 1]


def _logistic_slope(y: np.ndarray, x: np.ndarray) -> tuple[float, float]:
    """Slope and standard error of a logistic regression, by Newton's method."""
    design, beta = np.stack([np.ones_like(x), x], axis=1), np.zeros(2)
    for _ in range(30):
        p = special.expit(design @ beta)
        information = (design * (p * (1 - p))[:, None]).T @ design
        if np.linalg.cond(information) > 1e10:
            return np.nan, np.nan
        step = np.linalg.solve(information, design.T @ (y - p))
        beta = beta + step
        if np.abs(step).max() < 1e-8:
            return float(beta[1]), float(np.sqrt(np.linalg.inv(information)[1, 1]))
    return np.nan, np.nan


def own_prior(settings: ResponseSettings, name: str, at: Mapping[str, str], data: xr.Dataset) -> OwnPrior | str:
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
        Of slopes that are not pooled.
    """
    if name != "slope":
        return (
            "it is a function of one or several parameters; slope has a prior of its own where effects are not pooled"
        )
    if settings.effects != "none":
        return "slopes are pooled with a spread that may be zero, where the prior density of no effect is infinite"
    k = list(data["analyte"].values).index(at["analyte"])
    return OwnPrior("slope", settings.priors["slope"], (k,), 1 / float(data["log_sd"][k]))
