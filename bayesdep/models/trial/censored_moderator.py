"""A moderator with values beyond its limits: read as intervals, latent in the model, integrated out in scores.

A value below a limit is a parameter with the density of the moderator's own log-normal there, not of one cut at the
limit: that a value lies below its limit is information on the log-normal's mean and sd, too. What the outcomes of such
a patient say of the value comes in by the outcome's density. The alternatives, the limit itself or half of it, bias the
slope along the moderator and make its interval too narrow.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import special

from bayesdep.data.detection import Detection, read_detection
from bayesdep.data.errors import BadInput
from bayesdep.models.parts.covariates import read_covariates
from bayesdep.models.parts.people import spread_of
from bayesdep.models.trial.moderator import read_moderator, recorded_logs, terms_of
from bayesdep.models.trial.settings import TrialSettings, is_log
from bayesdep.numerics.censoring import quantile_inside
from bayesdep.numerics.distributions import Prior
from bayesdep.numerics.normal import log_normal
from bayesdep.numerics.types import Draws, Tensor

OBSERVED, LATENT = "log_moderator", "log_moderator_beyond"
NODES = 64  # of the quadrature over a value beyond its limit
_TAIL = 1e-12


# From the table


def read_with_limits(settings: TrialSettings, patients: pd.DataFrame, subjects: np.ndarray, what: str) -> xr.Dataset:
    """Read a moderator of which some values may lie beyond their limits.

    Parameters
    ----------
    settings
        The model's settings, with a moderator and its model.
    patients
        One row per patient.
    subjects
        Their names.
    what
        What the moderator's column holds, for messages.

    Returns
    -------
    xarray.Dataset
        As :func:`~bayesdep.models.trial.moderator.read_moderator` returns it; where values lie beyond limits that
        matter also ``moderator_lower`` and ``moderator_upper`` (subject; logs, equal where detected), ``moderator_lod``
        (subject; log limit of detection, NaN where unknown), ``log_centre`` and ``log_sd`` (of the logs) and
        ``moderator_covariates`` (subject, moderator_covariate; standardised), and dim ``non_detect``.

    Raises
    ------
    BadInput
        Naming column, row and remedy.
    """
    name = str(settings.moderator)
    detection = read_detection(
        patients, value=name, analyte=np.full(len(patients), name, dtype=object), flag=settings.moderator_censored,
        lod=settings.moderator_lod, uloq=settings.moderator_uloq, flag_codes=settings.flag_codes or None,
    )  # fmt: skip
    how: dict[str, Any] = {"threshold": settings.threshold, "knots": settings.knots}
    hidden = detection.lower < detection.upper
    if not hidden.any():
        return read_moderator(patients, name, what, settings.moderator_form, **how)
    if hidden.all():
        raise BadInput(f"column '{name}' ({what}) was detected in nobody, so nothing is known along it; leave it out")
    if settings.threshold is not None:
        _refuse_unclear_side(settings.threshold, detection, subjects)
    data = read_moderator(patients, name, what, settings.moderator_form, detection=detection, **how)
    if settings.threshold is not None:
        return data.assign(_sides_of_threshold(settings.threshold, data, detection))
    covariates = read_covariates(patients, settings.moderator_covariates)
    lower, upper = detection.lower, detection.upper
    data = data.assign(
        moderator_lower=("subject", lower),
        moderator_upper=("subject", upper),
        moderator_lod=("subject", detection.lod),
        log_centre=((), float(recorded_logs(lower, upper).mean())),
        log_sd=((), spread_of(lower, upper)),
        moderator_covariates=(("subject", "moderator_covariate"), covariates.values),
    )
    return data.assign_coords(
        non_detect=np.asarray(subjects, dtype=str)[hidden],
        moderator_covariate=np.array(covariates.names, dtype=str),
    )


def _refuse_unclear_side(limit: float, detection: Detection, subjects: np.ndarray) -> None:
    """Refuse a threshold within the interval that somebody's value is known to lie in."""
    lower, upper = np.exp(detection.lower), np.exp(detection.upper)
    unclear = np.flatnonzero((lower < upper) & ~((upper <= limit) | (lower >= limit)))
    if len(unclear):
        k = unclear[0]
        raise BadInput(
            f"threshold = {limit:g}, but on which side of it '{subjects[k]}' lies is not known: the moderator is "
            f"between {lower[k]:.4g} and {upper[k]:.4g}; choose a threshold outside, or another moderator_form"
        )


def _sides_of_threshold(limit: float, data: xr.Dataset, detection: Detection) -> dict[str, Any]:
    """Terms of a threshold that has every value on one side, also those beyond limits: then nothing is latent."""
    lower, upper = np.exp(detection.lower), np.exp(detection.upper)
    above = np.where(lower < upper, lower >= limit, data["moderator"].values > limit).astype(float)
    attrs = data["moderator_terms"].attrs | {"centre": float(above.mean()), "scale": float(above.std())}
    terms = (above - attrs["centre"]) / attrs["scale"]
    return {"moderator_terms": (("subject", "term"), terms[:, None], attrs)}


def is_latent(data: xr.Dataset) -> bool:
    """Tell whether values of the moderator are parameters.

    Parameters
    ----------
    data
        The prepared trial.

    Returns
    -------
    bool
        Whether some lie beyond a limit.
    """
    return "moderator_lower" in data


def _hidden(data: xr.Dataset) -> np.ndarray:
    return np.flatnonzero(data["moderator_lower"].values < data["moderator_upper"].values)


# In the model


def terms_in_model(settings: TrialSettings, data: xr.Dataset, prior: Mapping[str, Prior]) -> Tensor:
    """Return the moderator's terms of every patient, inside a PyMC model's context.

    Parameters
    ----------
    settings
        The model's settings.
    data
        The prepared trial.
    prior
        The priors.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (subject, term). Where values lie beyond limits, the model has the observed ``log_moderator``, scored
        where detected, and the parameters ``log_moderator_beyond`` (non_detect).
    """
    import pymc as pm
    import pytensor.tensor as pt

    at_limits = pm.Data("moderator_terms", data["moderator_terms"].values, dims=("subject", "term"))
    if not is_latent(data):
        return at_limits
    from bayesdep.models.parts.censored_variables import INSIDE, DetectedNormal, NormalInside

    centre, unit = (pm.Data(name, float(data[name])) for name in ("log_centre", "log_sd"))
    mean = prior["moderator_mean"].rv("moderator_mean")
    if settings.moderator_covariates is not None:
        z = pm.Data(
            "moderator_covariates", data["moderator_covariates"].values, dims=("subject", "moderator_covariate")
        )
        mean = mean + (z * prior["moderator_slope"].rv("moderator_slope", dims="moderator_covariate")).sum(axis=1)
    mean = centre + unit * mean + pt.zeros(data.sizes["subject"])
    sd = unit * prior["moderator_sd"].rv("moderator_sd")
    hidden = _hidden(data)
    of = pm.Data("subject_of_non_detect", hidden, dims="non_detect")
    limits = [pm.Data(f"beyond_{end}", data[f"moderator_{end}"].values[hidden], dims="non_detect")
              for end in ("lower", "upper")]  # fmt: skip
    beyond = NormalInside(LATENT, mean[of], sd, *limits, default_transform=INSIDE, dims="non_detect")
    is_detected = np.ones(data.sizes["subject"])
    is_detected[hidden] = 0
    recorded = recorded_logs(data["moderator_lower"].values, data["moderator_upper"].values)
    scored = pm.Data("is_detected", is_detected, dims="subject")
    logs = pm.Data("recorded", recorded, dims="subject")
    DetectedNormal(OBSERVED, mean, sd, scored, observed=logs, dims="subject")
    place = np.zeros(data.sizes["subject"], dtype="int64")
    place[hidden] = np.arange(len(hidden))
    terms = _terms_of_logs(beyond, data["moderator_terms"].attrs)
    return pt.switch(scored[:, None] > 0, at_limits, terms[pm.Data("place_of_subject", place, dims="subject")])


def _terms_of_logs(logs: Tensor, attrs: Mapping[str, Any]) -> Tensor:
    """Terms of a moderator's logs as a graph: what :func:`~bayesdep.models.trial.moderator.terms_of` is for arrays."""
    import pytensor.tensor as pt

    form = attrs["form"]
    x = ((logs if is_log(form) else pt.exp(logs)) - attrs["centre"]) / attrs["scale"]
    if form == "log-quadratic":
        return pt.stack([x, x**2], axis=-1)
    if form != "log-spline":
        return x[:, None]
    knots = np.asarray(attrs["knots"])
    mix = np.reshape(attrs["mix"], (len(knots),) * 2)  # 1, x and a cubic term for each knot but two
    last, before = knots[-1], knots[-2]

    def cube(t: float) -> Tensor:
        return pt.maximum(x - t, 0.0) ** 3

    terms = [pt.ones_like(x), x]
    for t in knots[:-2]:
        term = cube(t) - cube(before) * (last - t) / (last - before) + cube(last) * (before - t) / (last - before)
        terms.append(term / (last - knots[0]) ** 2)
    mixed = [sum(mix[i, j] * terms[i] for i in range(len(terms)) if mix[i, j] != 0) for j in range(1, len(terms))]
    return pt.stack(mixed, axis=-1)


# From draws


def terms_of_patients(posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Return the moderator's terms of every patient, those of latent values draw by draw.

    Parameters
    ----------
    posterior
        Draws of the parameters, with any dims of draws.
    data
        The prepared trial.

    Returns
    -------
    xarray.DataArray
        Dims (..., subject, term), those of draws only where values are latent.
    """
    fixed = data["moderator_terms"]
    if not is_latent(data):
        return fixed
    beyond = posterior[LATENT]
    draws = [d for d in beyond.dims if d != "non_detect"]
    values = beyond.transpose(*draws, "non_detect").values
    terms = np.broadcast_to(fixed.values, (*values.shape[:-1], *fixed.shape)).copy()
    terms[..., _hidden(data), :] = terms_of(np.exp(values), fixed.attrs)
    coords = {d: beyond[d] for d in draws if d in beyond.coords} | {d: fixed[d].values for d in ("term",)}
    return xr.DataArray(terms, coords, (*draws, "subject", "term"))


def nodes_beyond_limits(posterior: xr.Dataset, data: xr.Dataset) -> tuple[Draws, Draws]:
    """Return a quadrature over the distribution of each latent log, given its parameters and its limits.

    Gauss and Legendre's rule between the quantiles that leave 1e-12 of the distribution out on either side.

    Parameters
    ----------
    posterior
        Draws with dim ``sample``.
    data
        The prepared trial.

    Returns
    -------
    tuple of numpy.ndarray
        Logs, and the logarithms of their weights, which sum to one; both of shape (nodes, samples, non-detects).
    """
    hidden, unit = _hidden(data), float(data["log_sd"])
    mean = posterior["moderator_mean"].values[:, None] + np.zeros(len(hidden))
    if "moderator_slope" in posterior:
        slope = posterior["moderator_slope"].transpose("sample", "moderator_covariate").values
        mean = mean + slope @ data["moderator_covariates"].values[hidden].T
    mean, sd = float(data["log_centre"]) + unit * mean, unit * posterior["moderator_sd"].values[:, None]
    lower, upper = (data[f"moderator_{end}"].values[hidden] for end in ("lower", "upper"))
    low, high = (quantile_inside(share, mean, sd, lower, upper) for share in (_TAIL, 1 - _TAIL))
    at, weights = np.polynomial.legendre.leggauss(NODES)
    logs = low + (high - low) * ((at + 1) / 2)[:, None, None]
    weight = np.log(weights)[:, None, None] + log_normal(logs, mean, sd)
    return logs, weight - special.logsumexp(weight, axis=0)
