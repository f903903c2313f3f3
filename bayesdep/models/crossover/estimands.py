"""What a crossover trial is asked for: differences within patients by day, spreads, and how patients score."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesdep.models.crossover.design import by_treatment
from bayesdep.models.model import Check, estimand

if TYPE_CHECKING:
    from bayesdep.models.crossover.model import Crossover

_NAME = "outcome_by_period"


def crude_differences(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return means of patients' own differences, period left aside, and their standard errors.

    Parameters
    ----------
    data
        The prepared trial.

    Returns
    -------
    tuple of numpy.ndarray
        Shape (comparison x day,); NaN where fewer than two patients have both.
    """
    outcome = by_treatment(data["outcome"].values, data)
    own = outcome[:, 1:] - outcome[:, :1]
    n = (~np.isnan(own)).sum(axis=0)
    enough = n > 1
    mean = np.where(enough, np.nansum(own, axis=0) / np.maximum(n, 1), np.nan)
    variance = np.where(enough, np.nansum((own - mean) ** 2, axis=0) / np.maximum(n - 1, 1), np.nan)
    return mean.ravel(), np.sqrt(variance / np.maximum(n, 1)).ravel()


def estimands(model: "Crossover", posterior: xr.Dataset) -> xr.Dataset:
    """Derive every estimand of :class:`~bayesdep.models.crossover.model.Crossover`.

    Parameters
    ----------
    model
        The model.
    posterior
        Draws of its parameters.

    Returns
    -------
    xarray.Dataset
        Estimands by name.
    """
    against, points = f"less {model.reference}", model.units
    difference = posterior["treatment_effect"].transpose("chain", "draw", "comparison", "day")
    patient, residual = (posterior[name].transpose("chain", "draw", "day") for name in ("patient_sd", "residual_sd"))
    total = xr.DataArray(np.hypot(patient, residual))
    sign = -1.0 if model.better == "lower" else 1.0
    found = {
        "difference": estimand(difference, f"difference within patients, {against}", points),
        "mean_difference": estimand(
            difference.mean("day"), f"difference within patients, {against}, mean over days", points
        ),
        "standardised_difference": estimand(
            difference / total, f"difference in total standard deviations, {against}", "sd"
        ),
        "period_effect": estimand(
            posterior["period_effect"].transpose("chain", "draw", "later", "day"),
            "difference of a later period from the first",
            points,
        ),
        "patient_sd": estimand(patient, "sd between patients", points, null=np.nan),
        "residual_sd": estimand(residual, "sd within patients, between their periods", points, null=np.nan),
        "total_sd": estimand(total, "total sd, between patients and within", points, null=np.nan),
        "intraclass_correlation": estimand(
            (patient / total) ** 2, "correlation of a patient's two periods", "correlation", null=np.nan
        ),
    }
    if model.margin is not None:
        found["beyond_margin"] = estimand(
            (sign * difference >= model.margin).astype(float),
            f"better than {model.reference} by {model.margin:g} {points} or more",
            "probability",
            probability=True,
        )
    if model.carry_over:
        found["carry_over"] = estimand(
            posterior["carry_over"].transpose("chain", "draw", "comparison", "day"),
            f"difference that the treatment before leaves in the next period, {against}",
            points,
        )
    pairs = {"patient": "of a patient's own level on two days", "residual": "of two days of a period beyond that"}
    for name, what in pairs.items():
        if f"{name}_correlation" in posterior:
            values = posterior[f"{name}_correlation"].transpose("chain", "draw", "pair")
            found[f"{name}_correlation"] = estimand(values, f"correlation {what}", "correlation")
    return xr.Dataset(found)


def expected(model: "Crossover", posterior: xr.Dataset, data: xr.Dataset) -> np.ndarray:
    """Return the mean outcome of every patient in every period on every day, the patient's own level aside.

    Parameters
    ----------
    model
        The model.
    posterior
        Draws with dim ``sample`` first.
    data
        The prepared trial.

    Returns
    -------
    numpy.ndarray
        Shape (samples, subjects, periods, days).
    """
    drawn = {name: posterior[name].values for name in model.slots}
    mean = float(data["centre"]) + drawn["day_mean"][:, None, None, :]
    mean = mean + np.einsum("pk,skd->spd", data["period_code"].values, drawn["period_effect"])[:, None]
    mean = mean + np.einsum("ipc,scd->sipd", data["treatment_code"].values, drawn["treatment_effect"])
    if "baseline_slope" in drawn:
        mean = mean + np.einsum("i,sd->sid", data["baseline"].values, drawn["baseline_slope"])[:, :, None, :]
    if model.carry_over:
        mean = mean + np.einsum("ipc,scd->sipd", data["carry_code"].values, drawn["carry_over"])
    return np.asarray(mean)


def covariance(posterior: xr.Dataset, periods: int) -> np.ndarray:
    """Return the covariance of a patient's outcomes, period by day.

    Parameters
    ----------
    posterior
        Draws with dim ``sample`` first.
    periods
        How many periods there are.

    Returns
    -------
    numpy.ndarray
        Shape (samples, periods x days, periods x days), days changing fastest.
    """
    parts = []
    for name in ("patient", "residual"):
        sd = posterior[f"{name}_sd"].values
        correlation = np.tile(np.eye(sd.shape[1]), (len(sd), 1, 1))
        if f"{name}_correlation" in posterior:
            rows, columns = np.tril_indices(sd.shape[1], -1)
            by_pair = posterior[f"{name}_correlation"].values
            correlation[:, rows, columns] = correlation[:, columns, rows] = by_pair
        parts.append(correlation * sd[:, :, None] * sd[:, None, :])
    between, within = parts
    return np.asarray(np.kron(np.ones((periods, periods)), between) + np.kron(np.eye(periods), within))


def log_likelihood(model: "Crossover", posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Score every patient directly: dense multivariate normal densities of the outcomes observed.

    Parameters
    ----------
    model
        The model.
    posterior
        Draws of its parameters.
    data
        The prepared trial.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, subject).
    """
    flat = posterior.stack(sample=("chain", "draw"), create_index=False).transpose("sample", ...)
    n, periods, days = data["outcome"].shape
    rest = (data["outcome"].values - expected(model, flat, data)).reshape(-1, n, periods * days)
    matrix = covariance(flat, periods)
    scored = np.zeros(rest.shape[:2])
    observed = ~np.isnan(data["outcome"].values.reshape(n, -1))
    patterns, which = np.unique(observed, axis=0, return_inverse=True)
    for k, seen in enumerate(patterns):
        if not seen.any():
            continue
        who = np.flatnonzero(which.ravel() == k)
        root = np.linalg.cholesky(matrix[:, seen][:, :, seen])
        z = np.linalg.solve(root, np.swapaxes(rest[:, who][:, :, seen], 1, 2))
        log_det = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        scored[:, who] = -(z**2).sum(axis=1) / 2 - log_det[:, None] - seen.sum() * np.log(2 * np.pi) / 2
    sample = {d: posterior[d] for d in ("chain", "draw")}
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], -1)
    return xr.DataArray(scored.reshape(shape), {**sample, "subject": data["subject"]}, ("chain", "draw", "subject"))


def checks(model: "Crossover", data: xr.Dataset) -> Sequence[Check]:
    """Name the predictive checks of a crossover trial; replicates miss what the data miss.

    Parameters
    ----------
    model
        The model.
    data
        The prepared trial.

    Returns
    -------
    list of Check
        See :meth:`~bayesdep.models.crossover.model.Crossover.checks`.
    """
    seen, had = ~np.isnan(data["outcome"].values), data["treatment_of"].values
    days, periods, treatments = (data[d].values for d in ("day", "period", "treatment"))
    found = []
    for j in sorted({0, len(days) - 1}):
        on = "" if len(days) == 1 else f", day {days[j]}"
        for at, treatment in enumerate(treatments):
            for p, period in enumerate(periods):
                rows = np.flatnonzero(seen[:, p, j] & (had[:, p] == at))
                where = f"{treatment}, period {period}{on}"
                if len(rows):
                    found.append(_check(f"mean: {where}", _mean, model.units, rows=rows, p=p, j=j))
                if len(rows) > 1:
                    found.append(_check(f"sd: {where}", _sd, model.units, rows=rows, p=p, j=j))
        for q, p in itertools.combinations(range(len(periods)), 2):
            both = np.flatnonzero(seen[:, p, j] & seen[:, q, j])
            where = f"periods {periods[q]} and {periods[p]}{on}"
            if len(both) > 2:
                found.append(_check(f"correlation of {where}", _pearson, "correlation", rows=both, p=p, q=q, j=j))
        for p in range(1, len(periods)):
            first, later = (np.flatnonzero(seen[:, k, j]) for k in (0, p))
            name = f"mean of period {periods[p]} less period {periods[0]}{on}"
            found.append(_check(name, _change, model.units, first=first, later=later, p=p, j=j))
    return found


def _check(name: str, statistic: Callable[..., np.ndarray], units: str, **where: Any) -> Check:
    return Check(name, _NAME, partial(statistic, **where), units)


def _mean(y: np.ndarray, rows: np.ndarray, p: int, j: int) -> np.ndarray:
    return np.asarray(y[..., rows, p, j].mean(-1))


def _sd(y: np.ndarray, rows: np.ndarray, p: int, j: int) -> np.ndarray:
    return np.asarray(y[..., rows, p, j].std(-1, ddof=1))


def _change(y: np.ndarray, first: np.ndarray, later: np.ndarray, p: int, j: int) -> np.ndarray:
    return np.asarray(y[..., later, p, j].mean(-1) - y[..., first, 0, j].mean(-1))


def _pearson(y: np.ndarray, rows: np.ndarray, p: int, q: int, j: int) -> np.ndarray:
    a, b = (y[..., rows, k, j] - y[..., rows, k, j].mean(-1, keepdims=True) for k in (p, q))
    return np.asarray((a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1)))
