"""The log density of each patient's outcomes given the patient's markers, written out as a dense normal.

It is what leave-one-out asks for: how well outcomes of a patient are predicted, from others and from the patient's own
markers. The markers themselves are not scored.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import xarray as xr
from scipy import special

from bayesdep.models.trajectories.courses import Basis
from bayesdep.models.trajectories.data import kinds_of, recorded
from bayesdep.models.trajectories.exact import of_outcomes
from bayesdep.models.trajectories.factor import LOADING, of_patient
from bayesdep.models.trajectories.ordered import log_probabilities_of
from bayesdep.models.trajectories.paths import mean_markers_of_patients, mean_outcomes_of_patients
from bayesdep.models.trajectories.settings import TrajectoriesSettings, link_matrices
from bayesdep.models.trajectories.subgroups import associations_of_patient
from bayesdep.numerics.draws import draws_of, over_draws
from bayesdep.numerics.normal import LOG_2_PI
from bayesdep.numerics.types import Draws

NODES = 15  # of the quadrature over each power of a patient's deviation
_KEPT = 16  # sets of times whose matrices are kept: patients share few where visits were planned


def log_likelihood(settings: TrajectoriesSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Score every patient ever observed.

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
    xarray.DataArray
        Dims (chain, draw, subject).
    """
    outcome = data["outcome"].values
    scored = np.flatnonzero(~np.isnan(outcome).all(axis=1))
    name = data["subject"].values[scored]

    def score(draws: xr.Dataset) -> xr.DataArray:
        mean = mean_outcomes_of_patients(settings, draws, data)
        of_markers = Markers(settings, draws, data) if settings.association else None
        found = np.empty((draws.sizes["sample"], len(scored)))
        for k, i in enumerate(scored):
            seen = ~np.isnan(outcome[i])
            if settings.kind == "score":
                shift, covariance = visits_of(settings, draws, data, of_markers, int(i))
                residual = outcome[i][seen] - mean[:, i][:, seen] - shift[:, seen]
                found[:, k] = _log_normal(residual, covariance[:, seen][:, :, seen])
            else:
                design = data["deviation_columns"].values[i][seen]
                shift, covariance = effects_of(settings, draws, of_markers, int(i))
                log_odds = mean[:, i][:, seen] + shift @ design.T
                log_p = partial(_log_responses if settings.kind != "ordinal" else log_probabilities_of, draws)
                found[:, k] = _log_integral(partial(log_p, outcome[i][seen]), log_odds, design, covariance)
        return xr.DataArray(found, {"subject": name}, ("sample", "subject"))

    cells = data.sizes.get("analyte", 1) * data.sizes.get("marker_visit", 1)
    nodes = 1 if settings.kind == "score" else NODES ** len(settings.powers)
    return over_draws(posterior, score, max(outcome.size, data.sizes["subject"] * cells, data.sizes["visit"] * nodes))


class Markers:
    """Markers' residuals from their means and covariances of deviations, for some draws."""

    def __init__(self, settings: TrajectoriesSettings, draws: xr.Dataset, data: xr.Dataset) -> None:
        self.design = data["marker_deviation_columns"].values
        self.measured = data["detection"].values >= 0
        logs = np.broadcast_to(
            np.nan_to_num(recorded(data["lower"].values, data["upper"].values)),
            (draws.sizes["sample"], *self.measured.shape),
        ).copy()
        hidden = np.nonzero(kinds_of(data) > 0)
        if len(hidden[0]):
            logs[:, hidden[0], hidden[1], hidden[2]] = draws_of(draws, "log2_beyond", "beyond")
        self.residual = logs - mean_markers_of_patients(settings, draws, data)
        self.covariance = covariance_of(settings, draws, "marker_", "analyte")
        self.variance = draws_of(draws, "marker_residual_sd", "analyte") ** 2
        if settings.shared_factor:
            self.loading, self.shared = draws_of(draws, LOADING, "analyte"), covariance_of(settings, draws, "factor_")
        self.settings, self.draws, self.data = settings, draws, data
        self.weights = weights_of(settings, draws)
        self.exact = np.flatnonzero(data["is_exact"].values) if settings.exact else np.array([], dtype=int)
        self.known: dict[tuple[int, bytes], tuple[Draws, Draws]] = {}

    def of(self, patient: int, marker: int) -> tuple[Draws, Draws]:
        """Mean and covariance of a marker's deviation in a patient, given its values."""
        seen = self.measured[patient, marker]
        gain, covariance = self._given(marker, self.design[patient][seen])
        mean = np.squeeze(gain @ self.residual[:, patient, marker][:, seen][..., None], -1)
        return mean, covariance

    def _given(self, marker: int, design: np.ndarray) -> tuple[Draws, Draws]:
        """What a marker's values are multiplied by, and what is left of its deviation's covariance.

        They are the same for all patients who were measured at the same times.
        """
        key = (marker, design.tobytes())
        if key not in self.known:
            own = self.covariance[:, marker]
            total = design @ own @ design.T + self.variance[:, marker, None, None] * np.eye(len(design))
            gain = np.swapaxes(np.linalg.solve(total, design @ own), -1, -2)
            if len(self.known) == _KEPT * self.measured.shape[1]:
                self.known.clear()
            self.known[key] = gain, own - gain @ design @ own
        return self.known[key]

    def linked(self, patient: int) -> Iterator[tuple[int, Draws, Draws]]:
        """Mean and covariance of what the outcome goes with, and its place: markers that have an error, or a factor."""
        if self.settings.shared_factor:
            about = (self.design[patient], self.measured[patient], self.residual[:, patient])
            yield 0, *of_patient(*about, self.loading, self.shared, self.covariance, self.variance)
            return
        for m in np.setdiff1d(np.arange(self.measured.shape[1]), self.exact):
            yield int(m), *self.of(patient, int(m))

    def weights_of(self, patient: int) -> Draws:
        """Associations of a patient, shape (samples, links, analytes)."""
        return weights_of_patient(self.settings, self.draws, self.data, self.weights, patient)

    def of_exact(self, patient: int, marker: int) -> tuple[Draws, Draws]:
        """Mean and covariance of what an exact marker adds to a patient's outcomes, given its values."""
        seen = self.measured[patient, marker]
        basis = Basis.from_attrs(self.data["course_columns"].attrs)
        return of_outcomes(
            self.settings.association,
            self.weights_of(patient)[:, :, marker],
            basis.share(self.data["time"].values[patient]),
            basis.share(self.data["marker_time"].values[patient][seen]),
            self.residual[:, patient, marker][:, seen],
            self.covariance[:, marker],
            self.variance[:, marker],
        )


def weights_of(settings: TrajectoriesSettings, draws: xr.Dataset) -> Draws:
    """Return associations by link, marker and arm, the last link ``baseline_level`` where there is a baseline.

    Parameters
    ----------
    settings
        The model's settings.
    draws
        With dim ``sample``.

    Returns
    -------
    numpy.ndarray
        Shape (samples, links, analytes, arms), with the shared factor in place of analytes where there is one.
    """
    found = draws_of(draws, "association_by_arm", "link", settings.linked, "arm")
    if "baseline" not in settings.association:
        return found
    level = draws_of(draws, "baseline_level", settings.linked)[:, None, :, None]
    return np.concatenate([found, np.repeat(level, found.shape[-1], axis=-1)], axis=1)


def links_of(settings: TrajectoriesSettings, draws: xr.Dataset) -> Draws:
    """Return C of every marker and arm: from a marker's deviation to the outcome's coefficients of powers of time.

    Parameters
    ----------
    settings
        The model's settings.
    draws
        With dim ``sample``.

    Returns
    -------
    numpy.ndarray
        Shape (samples, analytes, arms, powers, powers).
    """
    return np.asarray(np.einsum("slma,lrp->smarp", weights_of(settings, draws), link_matrices(settings)))


def weights_of_patient(
    settings: TrajectoriesSettings, draws: xr.Dataset, data: xr.Dataset, weights: Draws, patient: int
) -> Draws:
    """Return associations in one patient: those of the arm, and what the patient's subgroups add.

    Parameters
    ----------
    settings, draws, data
        The model's settings, draws with dim ``sample``, and the prepared data.
    weights
        As :func:`weights_of` returns it.
    patient
        The patient's place.

    Returns
    -------
    numpy.ndarray
        Shape (samples, links, analytes).
    """
    found: Draws = weights[..., int(data["arm_of"][patient])]
    if settings.subgroups:
        apart = associations_of_patient(draws, data, patient)
        found = found + np.pad(apart, [(0, 0), (0, found.shape[1] - apart.shape[1]), (0, 0)])
    return found


def covariance_of(settings: TrajectoriesSettings, draws: xr.Dataset, prefix: str = "", *dims: str) -> Draws:
    """Return the covariance of patients' deviations.

    Parameters
    ----------
    settings
        The model's settings.
    draws
        With dim ``sample``.
    prefix
        Empty for the outcome, ``"marker_"`` for markers, ``"factor_"`` for what they share.
    *dims
        ``"analyte"`` for markers.

    Returns
    -------
    numpy.ndarray
        Shape (samples, *dims, powers, powers).
    """
    names = [f"{prefix}{word}_sd" for word in settings.powers]
    one = np.ones(draws.sizes["sample"])  # a shared factor's level has no sd of its own
    sd = np.stack([draws_of(draws, name, *dims) if name in draws else one for name in names], axis=-1)
    size = len(settings.powers)
    correlation = np.zeros((*sd.shape, size)) + np.eye(size)
    if size > 1:
        rows, columns = np.tril_indices(size, -1)
        by_pair = draws_of(draws, f"{prefix}correlation_by_pair", *dims, "pair")
        correlation[..., rows, columns] = correlation[..., columns, rows] = by_pair
    return np.asarray(sd[..., :, None] * correlation * sd[..., None, :])


def covariance_of_effects(settings: TrajectoriesSettings, draws: xr.Dataset, data: xr.Dataset) -> Draws:
    """Return the covariance of a new patient's coefficients of powers of time, markers not known.

    Parameters
    ----------
    settings, draws, data
        The model's settings, draws with dim ``sample``, and the prepared data.

    Returns
    -------
    numpy.ndarray
        Shape (samples, arms, powers, powers).
    """
    own = np.repeat(covariance_of(settings, draws)[:, None], data.sizes["arm"], axis=1)
    if not settings.association:
        return own
    if settings.shared_factor:
        of_linked = covariance_of(settings, draws, "factor_")[:, None]
    else:
        of_linked = covariance_of(settings, draws, "marker_", "analyte")
    link = links_of(settings, draws)
    return np.asarray(own + np.einsum("smapq,smqr,smatr->sapt", link, of_linked, link))


def effects_of(
    settings: TrajectoriesSettings, draws: xr.Dataset, markers: Markers | None, patient: int
) -> tuple[Draws, Draws]:
    """Return mean and covariance of a patient's coefficients of powers of time, given the patient's markers.

    Parameters
    ----------
    settings
        The model's settings.
    draws
        With dim ``sample``.
    markers
        The markers; None without associations.
    patient
        The patient's place.

    Returns
    -------
    tuple of numpy.ndarray
        Shapes (samples, powers) and (samples, powers, powers).
    """
    covariance = covariance_of(settings, draws)
    mean = np.zeros(covariance.shape[:-1])
    if markers is None:
        return mean, covariance
    links = np.einsum("slm,lrp->smrp", markers.weights_of(patient), link_matrices(settings))
    for m, deviation, uncertainty in markers.linked(patient):
        link = links[:, m]
        mean = mean + np.squeeze(link @ deviation[..., None], -1)
        covariance = covariance + link @ uncertainty @ np.swapaxes(link, -1, -2)
    return mean, covariance


def visits_of(
    settings: TrajectoriesSettings, draws: xr.Dataset, data: xr.Dataset, markers: Markers | None, patient: int
) -> tuple[Draws, Draws]:
    """Return the distribution of a patient's scores at all visits given the patient's markers.

    Parameters
    ----------
    settings, draws, data
        The model's settings, draws with dim ``sample``, and the prepared data.
    markers
        The markers; None without associations.
    patient
        The patient's place.

    Returns
    -------
    tuple of numpy.ndarray
        What the markers add to the mean, shape (samples, visits), and the covariance, (samples, visits, visits).
    """
    design = data["deviation_columns"].values[patient]
    effect, covariance = effects_of(settings, draws, markers, patient)
    shift = effect @ design.T
    total = design @ covariance @ design.T + residual_covariance(settings, draws, data, patient)
    if markers is not None:
        for m in markers.exact:
            added, uncertainty = markers.of_exact(patient, int(m))
            shift, total = shift + added, total + uncertainty
    return shift, total


def residual_covariance(settings: TrajectoriesSettings, draws: xr.Dataset, data: xr.Dataset, patient: int) -> Draws:
    """Return the covariance of residuals of a patient's visits.

    Parameters
    ----------
    settings, draws, data
        The model's settings, draws with dim ``sample``, and the prepared data.
    patient
        The patient's place.

    Returns
    -------
    numpy.ndarray
        Shape (samples, visits, visits).
    """
    variance = draws_of(draws, "residual_sd")[:, None, None] ** 2
    if not settings.autocorrelation:
        return np.asarray(variance * np.eye(data.sizes["visit"]))
    time = data["time"].values[patient] / float(data["typical_gap"])
    rho = draws_of(draws, "rho")[:, None, None]
    return np.asarray(variance * rho ** np.abs(np.subtract.outer(time, time)))


def _log_normal(residual: Draws, covariance: Draws) -> Draws:
    """Multivariate normal log densities, shapes (samples, n) and (samples, n, n)."""
    root = np.linalg.cholesky(covariance)
    z = np.linalg.solve(root, residual[..., None])[..., 0]
    log_det = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    return np.asarray(-(z**2).sum(axis=-1) / 2 - log_det - residual.shape[-1] * LOG_2_PI / 2)


def quadrature(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and log weights of Gauss-Hermite quadrature over independent standard normals.

    Parameters
    ----------
    size
        How many normals.

    Returns
    -------
    tuple of numpy.ndarray
        Shapes (nodes, size) and (nodes,).

    Examples
    --------
    >>> nodes, weights = quadrature(2)
    >>> (np.exp(weights) @ nodes**2).round(9).tolist()
    [1.0, 1.0]
    """
    x, w = np.polynomial.hermite_e.hermegauss(NODES)
    nodes = np.stack([g.ravel() for g in np.meshgrid(*[x] * size, indexing="ij")], axis=-1)
    weights = np.log(np.stack([g.ravel() for g in np.meshgrid(*[w / w.sum()] * size, indexing="ij")])).sum(axis=0)
    return nodes, weights


def _log_responses(draws: xr.Dataset, outcome: np.ndarray, log_odds: Draws) -> Draws:  # noqa: ARG001
    """Log probabilities of a patient's yes-no responses, shape (samples, nodes, visits)."""
    return np.asarray(special.log_expit((2 * outcome - 1) * log_odds))


def _log_integral(log_p: Callable[[Draws], Draws], log_odds: Draws, design: np.ndarray, covariance: Draws) -> Draws:
    """Log probabilities of all of a patient's outcomes, the deviation integrated out by Gauss-Hermite quadrature."""
    nodes, weights = quadrature(design.shape[1])
    root = np.linalg.cholesky(covariance)
    at = log_odds[:, None, :] + np.einsum("srk,nk,vr->snv", root, nodes, design)
    return np.asarray(special.logsumexp(log_p(at).sum(axis=-1) + weights, axis=-1))
