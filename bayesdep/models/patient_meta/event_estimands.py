"""What a pooled analysis of events is asked for: odds ratios, risks, numbers needed to treat; its scores and checks."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.model import Check, estimand
from bayesdep.models.patient_meta.estimands import along_moderators, effects_of, of_levels, ordered
from bayesdep.models.patient_meta.events import FREE_LEVEL_SD, NAME, NODES, event_of
from bayesdep.models.patient_meta.events import log_likelihood as score
from bayesdep.models.patient_meta.scores import coefficients_of, roots_of

if TYPE_CHECKING:
    from bayesdep.models.patient_meta.model import PatientMeta

_UNITS, _RATIO = "log odds", "log odds ratio"
_AT_ONCE = 4_000_000  # numbers in an array: bounds memory


def crude_effects(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return every study's own log odds ratio and its standard error, half an event added to every count.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        Shape (study,); NaN where an arm has nobody.
    """
    e, n = data["study_events"].values, data["study_n"].values
    log_odds = np.log((e + 0.5) / (n - e + 0.5))
    variance = 1 / (e + 0.5) + 1 / (n - e + 0.5)
    there = (n > 0).all(axis=1)
    return np.where(there, log_odds[:, 1] - log_odds[:, 0], np.nan), np.where(there, np.sqrt(variance.sum(1)), np.nan)


def estimands(model: "PatientMeta", posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Derive every estimand of :class:`~bayesdep.PatientMeta` that is of events.

    Parameters
    ----------
    model
        The model.
    posterior
        Draws of its parameters.
    data
        The prepared data.

    Returns
    -------
    xarray.Dataset
        Estimands by name.
    """
    event, against = event_of(model), f"less {model.reference}"
    at_mean = " at the patients' mean moderators" if model.moderators else ""
    effect, new, study_effect = effects_of(model, posterior, data)
    found = {
        "effect": estimand(effect, f"pooled log odds ratio of {event}, {against}{at_mean}", _RATIO),
        "effect_new": estimand(new, f"log odds ratio in a new study, {against}{at_mean}", _RATIO),
        "odds_ratio": estimand(
            xr.DataArray(np.exp(effect)), f"pooled odds ratio of {event}{at_mean}", "odds ratio",
            null=1.0, monotone_of="effect",
        ),
        "odds_ratio_new": estimand(
            xr.DataArray(np.exp(new)), f"odds ratio of {event} in a new study{at_mean}", "odds ratio",
            null=1.0, monotone_of="effect_new",
        ),
        "study_effect": estimand(
            study_effect, f"log odds ratio in a study, {against}, at its own patients' mean", _RATIO
        ),
        "tau_effect": estimand(
            ordered(posterior["tau_effect"], "time"), "spread of log odds ratios between studies", _UNITS, null=np.nan
        ),
    }  # fmt: skip
    found |= of_levels(model, posterior, _UNITS)
    if not model.has_free_levels:
        risk = risks(model, posterior, data)
        difference = risk.isel(arm=1, drop=True) - risk.isel(arm=0, drop=True)
        whole = f"risk of {event}, all patients of these studies treated, less all on {model.reference}"
        of_arm = f"risk of {event}, had all patients of these studies been in an arm"
        found["risk"] = estimand(risk, of_arm, "probability", null=np.nan)
        found["risk_difference"] = estimand(difference, whole, "risk difference")
        found["nnt"] = estimand(
            1 / difference, f"number needed to treat (above 0) or harm (below 0): {whole}", "people",
            reciprocal_of="risk_difference",
        )  # fmt: skip
    if model.baseline is not None:
        found["baseline_slope"] = estimand(
            ordered(posterior["baseline_slope"], "time"), "difference per sd of the baseline", f"{_UNITS} per sd"
        )
    if model.moderators:
        found |= along_moderators(model, posterior, data, _UNITS)
    return xr.Dataset(found)


def risks(model: "PatientMeta", posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Return the mean risk over all patients, each in their own study, had all been in one arm.

    Parameters
    ----------
    model
        The model.
    posterior
        Draws of its parameters.
    data
        The prepared data.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, arm, time).
    """
    flat = posterior.stack(sample=("chain", "draw"), create_index=False).transpose("sample", ...)
    gamma = coefficients_of(model, flat, data)[..., 0]
    own = flat["deviation"].transpose("sample", "study", "time", "which").values[:, :, 0]
    study, z, n = (data[v].values for v in ("cell_study", "z", "n"))
    found = np.empty((len(gamma), 2))
    step = max(1, _AT_ONCE // len(n))
    for start in range(0, len(gamma), step):
        part = slice(start, start + step)
        for arm in (0, 1):
            log_odds = gamma[part, arm] @ z.T + (own[part, :, 0] + (arm - 0.5) * own[part, :, 1])[:, study]
            found[part, arm] = special.expit(log_odds) @ n / n.sum()
    coords = {d: posterior[d] for d in ("chain", "draw")} | {"arm": data["arm"].values, "time": data["time"].values}
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], 2, 1)
    return xr.DataArray(found.reshape(shape), coords, ("chain", "draw", "arm", "time"))


def log_likelihood(
    model: "PatientMeta", posterior: xr.Dataset, data: xr.Dataset, *, nodes: int = NODES
) -> xr.DataArray:
    """Score every study by the probability of its events.

    Parameters
    ----------
    model
        The model.
    posterior
        Draws of its parameters.
    data
        The prepared data.
    nodes
        Nodes of the quadrature, on either axis.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, study).
    """
    flat = posterior.stack(sample=("chain", "draw"), create_index=False).transpose("sample", ...)
    scored = score(coefficients_of(model, flat, data), roots_of(flat, free_sd=FREE_LEVEL_SD), data, nodes=nodes)
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], data.sizes["study"])
    coords = {d: posterior[d] for d in ("chain", "draw")} | {"study": data["study"]}
    return xr.DataArray(scored.reshape(shape), coords, ("chain", "draw", "study"))


def checks(data: xr.Dataset) -> Sequence[Check]:
    """Name the predictive checks.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    list of Check
        See :meth:`~bayesdep.models.patient_meta.model.PatientMeta.checks`.
    """
    found = [
        Check(f"risk on {arm}", NAME, partial(_risk, data=data, arm=a), "probability")
        for a, arm in enumerate(data["arm"].values)
    ]
    return [
        *found,
        Check("sd of studies' log odds ratios", NAME, partial(_ratios, data=data, of=np.std), _UNITS),
        Check("smallest log odds ratio of a study", NAME, partial(_ratios, data=data, of=np.min), _UNITS),
        Check("largest log odds ratio of a study", NAME, partial(_ratios, data=data, of=np.max), _UNITS),
    ]


def _risk(y: np.ndarray, data: xr.Dataset, arm: int) -> np.ndarray:
    here = data["cell_arm"].values == arm
    return np.asarray(y[..., here].sum(axis=-1) / data["n"].values[here].sum())


def _ratios(y: np.ndarray, data: xr.Dataset, of: Any) -> np.ndarray:
    """A summary over the studies with both arms; half an event is added to every count."""
    study, arm, n = (data[v].values for v in ("cell_study", "cell_arm", "study_n"))
    belongs = (2 * study + arm)[:, None] == np.arange(n.size)
    e = (y @ belongs).reshape(*y.shape[:-1], *n.shape)
    log_odds = np.log((e + 0.5) / (n - e + 0.5))
    return np.asarray(of((log_odds[..., 1] - log_odds[..., 0])[..., (n > 0).all(axis=1)], axis=-1))
