"""What follows from the parameters of a response model: odds ratios, accuracy, and the score of each person."""

from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.model import estimand
from bayesdep.models.parts.people import is_detected, recorded
from bayesdep.numerics.roc import at_cutoff, best_cutoff, mean_logistic, normal_nodes, roc

RATES = np.round(np.arange(0.02, 0.99, 0.02), 2)  # false-positive rates at which the ROC curve is told
_LOG_2PI = np.log(2 * np.pi)


def _flat(posterior: xr.Dataset, name: str) -> np.ndarray:
    values = posterior[name].transpose("chain", "draw", ...).values
    return values.reshape(-1, *values.shape[2:])


def _in_logs(posterior: xr.Dataset, data: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slopes per natural log, and the logs' mean less the centre and sd; shape (draws, analytes)."""
    per = data["log_sd"].values
    return _flat(posterior, "slope") / per, _flat(posterior, "marker_mean") * per, _flat(posterior, "marker_sd") * per


def derive(posterior: xr.Dataset, data: xr.Dataset, *, cutoff: float | None, below: bool) -> xr.Dataset:
    """Return the estimands, as :meth:`bayesdep.models.response.model.Response.estimands` lists them.

    Parameters
    ----------
    posterior, data
        As there.
    cutoff
        In concentration units, or None.
    below
        Whether a single analyte's test is positive below its cutoff.

    Returns
    -------
    xarray.Dataset
        The estimands.
    """
    slope = posterior["slope"] / xr.DataArray(data["log_sd"].values, dims="analyte")
    found = {
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
        found["covariate_odds_ratio"] = estimand(
            xr.DataArray(np.exp(posterior["covariate_slope"] / data["covariate_sd"])),
            "odds ratio of the outcome per unit of the formula's column",
            "odds ratio",
            null=1.0,
        )
    found |= _accuracy(posterior, data, cutoff, below)
    return xr.Dataset(found)


def _accuracy(posterior: xr.Dataset, data: xr.Dataset, cutoff: float | None, below: bool) -> dict[str, xr.DataArray]:
    slope, shift, sd = _in_logs(posterior, data)
    intercepts = (_flat(posterior, "intercept") + (slope * shift).sum(axis=1))[:, None]
    if data.sizes["covariate"]:
        intercepts = intercepts + _flat(posterior, "covariate_slope") @ data["covariates"].values.T
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    coords = {d: posterior[d] for d in ("chain", "draw")}

    def back(values: np.ndarray, description: str, units: str, dim: str | None = None, **attrs: Any) -> xr.DataArray:
        shaped = values.reshape(chains, draws, *values.shape[1:])
        dims = ("chain", "draw", dim) if dim else ("chain", "draw")
        labels = {dim: RATES} if dim else {}
        return estimand(xr.DataArray(shaped, coords | labels, dims), description, units, **attrs)

    name = "the probability that a responder has the {} {} than a non-responder"
    if data.sizes["analyte"] > 1:
        # The markers' index, the sum of slope times log concentration, is normal too; a high one is a positive test.
        spread = np.sqrt(((slope * sd) ** 2).sum(axis=1))
        area, _ = roc(intercepts, -spread, RATES)
        return {"auc": back(area, name.format("higher", "index of all analytes"), "probability", null=0.5)}
    # A test that is positive above its cutoff is one that is positive below it, of the marker turned round.
    sign = 1.0 if below else -1.0
    steepness, centre = sign * (slope * sd)[:, 0], float(data["centre"].values[0])

    def standardised(log: float) -> np.ndarray:
        return sign * (log - centre - shift[:, 0]) / sd[:, 0]

    side = "below" if below else "above"
    unit = str(data["unit"].values[0])
    area, curve = roc(intercepts, steepness, RATES)
    seen = recorded(data)
    ends = sorted((standardised(float(seen.min())), standardised(float(seen.max()))), key=lambda t: float(t[0]))
    t, index = best_cutoff(ends[0], ends[1], intercepts, steepness)
    log_best = centre + shift[:, 0] + sign * t * sd[:, 0]
    found = {
        "auc": back(area, name.format("lower" if below else "higher", "concentration"), "probability", null=0.5),
        "best_cutoff": back(np.exp(log_best), "cutoff with the largest Youden index, in the observed range", unit),
        "youden": back(index, "largest Youden index: sensitivity + specificity - 1", "probability"),
    }
    if cutoff is not None:
        tp, fp, fn, tn = at_cutoff(standardised(float(np.log(cutoff))), intercepts, steepness)
        hit, alarm, miss, clear = tp / (tp + fn), fp / (fp + tn), fn / (tp + fn), tn / (fp + tn)
        at = f"{side} {cutoff:g} {unit}"
        found |= {
            "sensitivity": back(hit, f"probability of a value {at} in responders", "probability", null=0.5),
            "specificity": back(clear, f"probability of no value {at} in others", "probability", null=0.5),
            "likelihood_ratio_positive": back(
                hit / alarm, f"odds of response multiplied by a value {at}", "ratio", null=1.0
            ),
            "likelihood_ratio_negative": back(
                miss / clear, f"odds of response multiplied by a value not {at}", "ratio", null=1.0
            ),
        }
    found["roc"] = back(curve, "sensitivity at a false-positive rate", "probability", "false_positive_rate")
    return found


def log_likelihood(posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Return the log density of each person's concentrations and outcome, non-detects integrated out.

    Parameters
    ----------
    posterior, data
        As :meth:`bayesdep.models.response.model.Response.log_likelihood` takes them.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, subject).
    """
    slope, shift, sd = _in_logs(posterior, data)
    intercept, centre = _flat(posterior, "intercept"), data["centre"].values
    away = recorded(data) - centre
    detected = is_detected(data)
    lower, upper = data["log_lower"].values - centre, data["log_upper"].values - centre
    sign = 2 * data["outcome"].values - 1
    scored = np.empty((len(intercept), data.sizes["subject"]))
    for i in range(data.sizes["subject"]):
        seen, hidden = detected[i], np.flatnonzero(~detected[i])
        z = (away[i, seen] - shift[:, seen]) / sd[:, seen]
        density = (-(z**2) / 2 - np.log(sd[:, seen]) - _LOG_2PI / 2).sum(axis=1)
        eta = intercept + slope[:, seen] @ away[i, seen]
        if data.sizes["covariate"]:
            eta = eta + _flat(posterior, "covariate_slope") @ data["covariates"].values[i]
        if len(hidden) == 0:
            scored[:, i] = density + special.log_expit(sign[i] * eta)
            continue
        m, s = shift[:, hidden], sd[:, hidden]
        nodes = 61 if len(hidden) == 1 else 21
        t, log_weight = normal_nodes((lower[i, hidden] - m) / s, (upper[i, hidden] - m) / s, nodes)
        log_mass = special.logsumexp(log_weight, axis=-1)
        effect = slope[:, hidden, None] * (m[..., None] + s[..., None] * t)
        if len(hidden) == 1:
            chance = special.log_expit(sign[i] * (eta[:, None] + effect[:, 0]))
            scored[:, i] = density + special.logsumexp(log_weight[:, 0] + chance, axis=-1)
            continue
        mean = mean_logistic(sign[i] * eta, sign[i] * effect, log_weight)
        scored[:, i] = density + log_mass.sum(axis=1) + np.log(mean)
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], -1)
    coords = {"chain": posterior["chain"], "draw": posterior["draw"], "subject": data["subject"]}
    return xr.DataArray(scored.reshape(shape), coords, ("chain", "draw", "subject"))


def crude_slopes(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return each analyte's own logistic regression by maximum likelihood, non-detects at their limit.

    Parameters
    ----------
    data
        As :meth:`bayesdep.models.response.model.Response.prepare` returns it.

    Returns
    -------
    tuple of numpy.ndarray
        Slopes and standard errors by analyte; NaN where the analyte separates responders from others.
    """
    y, away = data["outcome"].values, recorded(data) - data["centre"].values
    estimates = np.array([_logistic(y, away[:, k]) for k in range(away.shape[1])])
    return estimates[:, 0], estimates[:, 1]


def _logistic(y: np.ndarray, x: np.ndarray) -> tuple[float, float]:
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
