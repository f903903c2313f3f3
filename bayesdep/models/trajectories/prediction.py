"""The course of a new patient's outcome, given what was measured in the patient so far.

The parameters are those of the fit, which one more patient would hardly change. Given them, the patient's markers and
outcomes are jointly normal, so each posterior draw gives a normal prediction. Values of markers beyond a limit are
drawn: several candidates per draw, each value from its normal cut at the limit given the values before it, of which one
is kept with probability in proportion to their weights (Geweke, Hajivassiliou and Keane; Hajivassiliou, McFadden and
Ruud 1996, doi:10.1016/0304-4076(94)01716-6).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import special

from bayesdep.data.detection import read_detection
from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.tables import Column, as_frame, is_blank, read_columns, rows_with_notes
from bayesdep.models.trajectories import refusals
from bayesdep.models.trajectories.courses import Basis
from bayesdep.models.trajectories.exact import of_outcomes
from bayesdep.models.trajectories.factor import LOADING
from bayesdep.models.trajectories.paths import mean_markers, mean_outcomes
from bayesdep.models.trajectories.scores import covariance_of, links_of, weights_of
from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.numerics.draws import draws_of, stack_draws
from bayesdep.numerics.types import Draws

_CANDIDATES = 20


def predict(
    settings: TrajectoriesSettings,
    posterior: xr.Dataset,
    data: xr.Dataset,
    patient: Any,
    *,
    at: Sequence[float],
    seed: int,
) -> pd.DataFrame:
    """Predict a new patient's course.

    Parameters
    ----------
    settings, posterior, data, patient, at, seed
        As :meth:`bayesdep.models.trajectories.model.Trajectories.predict` takes them.

    Returns
    -------
    pandas.DataFrame
        By time: ``mean``, ``sd``, ``lower`` and ``upper``.

    Raises
    ------
    BadInput
        When the settings have no such prediction, or the table is of several patients or names what the fit lacks.
    """
    if settings.kind != "score" or settings.covariates is not None or settings.subgroups:
        what = "subgroups" if settings.subgroups else "covariates"
        what = what if settings.kind == "score" else f"kind = '{settings.kind}'"
        raise BadInput(
            f"predict is for scores without covariates and subgroups, but the model has {what}; fit one without"
        )
    rng = np.random.default_rng(seed)
    draws = stack_draws(posterior)
    frame = as_frame(patient)
    arm, time, outcome = _read_patient(settings, frame, data)
    basis = Basis.from_attrs(data["course_columns"].attrs)
    ahead = np.asarray(at, dtype=float)
    seen = np.flatnonzero(~np.isnan(outcome))
    everywhen = np.concatenate([time[seen], ahead])
    design = basis.share(everywhen)[:, None] ** np.arange(len(settings.powers))
    expected = mean_outcomes(settings, draws, data, everywhen)[:, arm]
    total = design @ covariance_of(settings, draws) @ design.T
    total = total + _residual_covariance(settings, draws, data, everywhen)
    if settings.association:
        markers = _markers_of(settings, frame, data)
        if settings.shared_factor:
            parts = [_along_factor(settings, draws, data, arm, markers, everywhen, rng)]
        else:
            parts = [
                _along_marker(settings, draws, data, arm, k, markers.get(k), everywhen, rng)
                for k in range(data.sizes["analyte"])
            ]
        for added, uncertainty in parts:
            expected, total = expected + added, total + uncertainty
    n = len(seen)
    centre, variance = expected[:, n:], np.diagonal(total, axis1=1, axis2=2)[:, n:]
    if n:
        gain = np.swapaxes(np.linalg.solve(total[:, :n, :n], total[:, :n, n:]), -1, -2)
        centre = centre + np.squeeze(gain @ (outcome[seen] - expected[:, :n])[..., None], -1)
        variance = variance - np.einsum("snk,skn->sn", gain, total[:, :n, n:])
    drawn = centre + np.sqrt(variance) * rng.standard_normal(centre.shape)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    sd = np.sqrt(variance.mean(axis=0) + centre.var(axis=0))
    index = pd.Index(ahead, name=settings.time)
    return pd.DataFrame({"mean": centre.mean(axis=0), "sd": sd, "lower": low, "upper": high}, index=index)


def _read_patient(
    settings: TrajectoriesSettings, frame: pd.DataFrame, data: xr.Dataset
) -> tuple[int, np.ndarray, np.ndarray]:
    """The patient's arm, and the time and outcome of every row, NaN where there is none."""
    arm = 0
    if settings.arm is not None:
        labels = read_columns(frame, {"arm": Column(str(settings.arm), "label", "arm")})["arm"]
        arms = list(data["arm"].values)
        if len(set(labels)) > 1 or labels[0] not in arms:
            raise BadInput(
                f"column '{settings.arm}' (arm) has {', '.join(map(repr, sorted(set(labels))))}, but one patient is in "
                f"one arm of those fitted; {did_you_mean(labels[0], arms)}"
            )
        arm = arms.index(labels[0])
    if settings.subject in frame.columns and frame[settings.subject].nunique() > 1:
        raise BadInput(
            f"column '{settings.subject}' (patient) has several patients, but predict is of one; pass the rows of one"
        )
    time = read_columns(frame, {"time": Column(settings.time, "number", "time since baseline")})["time"]
    outcome = np.full(len(frame), np.nan)
    if settings.outcome in frame.columns:
        known = np.flatnonzero(~is_blank(frame[settings.outcome]))
        part = rows_with_notes(frame, known)
        if len(known):
            outcome[known] = read_columns(part, {"outcome": Column(settings.outcome, "number", "outcome")})["outcome"]
    return arm, time, outcome


def _markers_of(
    settings: TrajectoriesSettings, frame: pd.DataFrame, data: xr.Dataset
) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Times, lower and upper ends of every marker that was measured, by its place."""
    name = settings.analyte if settings.analyte is not None else str(settings.value)
    if name not in frame.columns:
        return {}
    rows = np.flatnonzero(~is_blank(frame[name]))
    if not len(rows):
        return {}
    part = rows_with_notes(frame, rows)
    known = list(data["analyte"].values)
    analyte = np.full(len(part), known[0], dtype=object)
    if settings.analyte is not None:
        analyte = read_columns(part, {"analyte": Column(settings.analyte, "label", "marker")})["analyte"]
    for label in analyte:
        if label not in known:
            raise BadInput(f"column '{name}' (marker): '{label}' was not fitted; {did_you_mean(label, known)}")
    limits = {w: getattr(settings, w) for w in ("lod", "lloq", "uloq", "unit")}
    detection = read_detection(
        part,
        value=str(settings.value),
        analyte=analyte,
        flag=settings.censored,
        flag_codes=settings.flag_codes,
        beyond_limit=settings.beyond_limit,
        **{w: c for w, c in limits.items() if c in part.columns},
    )
    time = read_columns(part, {"time": Column(settings.time, "number", "time since baseline")})["time"]
    refusals.refuse_inexact(settings, part, analyte, detection.kind)
    refusals.refuse_two_values(settings, part, analyte, time, settings.exact)
    found = {}
    for k, label in enumerate(known):
        own = analyte == label
        if own.any():
            found[k] = (time[own], detection.lower[own] / np.log(2), detection.upper[own] / np.log(2))
    return found


def _along_marker(
    settings: TrajectoriesSettings,
    draws: xr.Dataset,
    data: xr.Dataset,
    arm: int,
    k: int,
    marker: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
    everywhen: np.ndarray,
    rng: np.random.Generator,
) -> tuple[Draws, Draws]:
    """Mean and covariance of what a marker, None if it was not measured, adds to the outcome at some times."""
    basis = Basis.from_attrs(data["course_columns"].attrs)
    own, share = covariance_of(settings, draws, "marker_", "analyte")[:, k], basis.share(everywhen)
    if data["analyte"].values[k] in settings.exact:
        time, value, _ = marker or (np.empty(0),) * 3
        return of_outcomes(
            settings.association,
            weights_of(settings, draws)[:, :, k, arm],
            share,
            basis.share(time),
            value - mean_markers(settings, draws, data, time)[:, k, arm],
            own,
            draws["marker_residual_sd"].transpose("sample", "analyte").values[:, k] ** 2,
        )
    mean, covariance = np.zeros(own.shape[:-1]), own
    if marker is not None:
        mean, covariance = _deviation(settings, draws, data, basis, arm, k, marker, rng)
    at = share[:, None] ** np.arange(len(settings.powers)) @ links_of(settings, draws)[:, k, arm]
    return np.squeeze(at @ mean[..., None], -1), at @ covariance @ np.swapaxes(at, -1, -2)


def _deviation(
    settings: TrajectoriesSettings,
    draws: xr.Dataset,
    data: xr.Dataset,
    basis: Basis,
    arm: int,
    k: int,
    marker: tuple[np.ndarray, np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> tuple[Draws, Draws]:
    """Mean and covariance of a marker's deviation, given its values; those beyond limits are drawn."""
    time, lower, upper = marker
    design = basis.share(time)[:, None] ** np.arange(len(settings.powers))
    own = covariance_of(settings, draws, "marker_", "analyte")[:, k]
    variance = draws_of(draws, "marker_residual_sd", "analyte")[:, k] ** 2
    total = design @ own @ design.T + variance[:, None, None] * np.eye(len(time))
    mean = mean_markers(settings, draws, data, time)[:, k, arm]
    return _given(own, design @ own, total, mean, lower, upper, rng)


def _along_factor(
    settings: TrajectoriesSettings,
    draws: xr.Dataset,
    data: xr.Dataset,
    arm: int,
    markers: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]],
    everywhen: np.ndarray,
    rng: np.random.Generator,
) -> tuple[Draws, Draws]:
    """Mean and covariance of what the factor that markers share adds to the outcome at some times."""
    basis, powers = Basis.from_attrs(data["course_columns"].attrs), np.arange(len(settings.powers))
    shared = covariance_of(settings, draws, "factor_")
    mean, covariance = np.zeros(shared.shape[:-1]), shared
    if markers:
        k = np.concatenate([np.full(len(time), m) for m, (time, *_) in markers.items()])
        time, lower, upper = (np.concatenate(part) for part in zip(*markers.values(), strict=True))
        design = basis.share(time)[:, None] ** powers
        own = covariance_of(settings, draws, "marker_", "analyte")[:, k]
        total = np.einsum("vr,svrt,wt->svw", design, own, design) * np.equal.outer(k, k)
        total = total + draws_of(draws, "marker_residual_sd", "analyte")[:, k, None] ** 2 * np.eye(len(k))
        along = draws_of(draws, LOADING, "analyte")[:, k, None] * design
        across = along @ shared
        total = total + across @ np.swapaxes(along, -1, -2)
        expected = mean_markers(settings, draws, data, time)[:, k, arm, np.arange(len(k))]
        mean, covariance = _given(shared, across, total, expected, lower, upper, rng)
    at = basis.share(everywhen)[:, None] ** powers @ links_of(settings, draws)[:, 0, arm]
    return np.squeeze(at @ mean[..., None], -1), at @ covariance @ np.swapaxes(at, -1, -2)


def _given(
    own: Draws,
    across: Draws,
    total: Draws,
    mean: Draws,
    lower: np.ndarray,
    upper: np.ndarray,
    rng: np.random.Generator,
) -> tuple[Draws, Draws]:
    """Mean and covariance of coefficients given values: their own covariance, that with the values, and the values'."""
    hidden = lower != upper
    order = np.argsort(hidden, kind="stable")  # detected values first
    across, total, mean = across[:, order], total[:, order][:, :, order], mean[:, order]
    values = _completed(mean, total, lower[order], upper[order], hidden[order], rng)
    gain = np.swapaxes(np.linalg.solve(total, across), -1, -2)
    return np.squeeze(gain @ (values - mean)[..., None], -1), own - gain @ across


def _completed(
    mean: Draws, total: Draws, lower: np.ndarray, upper: np.ndarray, hidden: np.ndarray, rng: np.random.Generator
) -> Draws:
    """Values of a marker, those beyond limits drawn, shape (samples, values)."""
    root = np.linalg.cholesky(total)
    shape = (len(mean), _CANDIDATES)
    noise, weight = np.zeros((*shape, len(lower))), np.zeros(shape)
    values = np.zeros((*shape, len(lower)))
    for j in range(len(lower)):
        centre = mean[:, None, j] + np.einsum("sk,sck->sc", root[:, j, :j], noise[..., :j])
        sd = root[:, None, j, j]
        if not hidden[j]:
            noise[..., j] = (lower[j] - centre) / sd
        else:
            a, b = (lower[j] - centre) / sd, (upper[j] - centre) / sd
            flip = np.where(a > 0, -1.0, 1.0)  # on the side of the mean where the distribution function does not cancel
            a, b = np.where(flip < 0, -b, a), np.where(flip < 0, -a, b)
            from_a, to_b = special.log_ndtr(a), special.log_ndtr(b)
            mass = to_b + np.log1p(-np.exp(np.minimum(from_a - to_b, -1e-300)))
            u = rng.random(shape)
            log_p = np.logaddexp(from_a, mass + np.log(u))
            noise[..., j] = flip * special.ndtri_exp(np.minimum(log_p, -1e-300))
            weight += mass
        values[..., j] = centre + sd * noise[..., j]
    share = np.exp(weight - special.logsumexp(weight, axis=1, keepdims=True))
    kept = (share.cumsum(axis=1) < rng.random((len(mean), 1))).sum(axis=1).clip(max=_CANDIDATES - 1)
    return np.asarray(values[np.arange(len(mean)), kept])


def _residual_covariance(
    settings: TrajectoriesSettings, draws: xr.Dataset, data: xr.Dataset, time: np.ndarray
) -> Draws:
    """Covariance of residuals at some times; two at one time are two measurements."""
    variance = draws["residual_sd"].values[:, None, None] ** 2
    eye = np.eye(len(time))
    if not settings.autocorrelation:
        return np.asarray(variance * eye)
    gaps = np.abs(np.subtract.outer(time, time)) / float(data["typical_gap"])
    same = (gaps == 0) & (eye == 0)
    return np.asarray(variance * np.where(same, 1 - 1e-9, draws["rho"].values[:, None, None] ** gaps))
