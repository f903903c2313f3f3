"""The log density of each unit that leave-one-out leaves out: a measurement, or a person's cell in one analyte.

Cells are scored directly, by quadrature: an independent way to the density of :mod:`~bayesdep.models.cytokines.cells`.
"""

import numpy as np
import xarray as xr
from scipy import special, stats

from bayesdep.models.cytokines.cells import Cells, recorded_logs
from bayesdep.models.cytokines.expected import expected_of_draws
from bayesdep.models.cytokines.settings import CytokinesSettings
from bayesdep.numerics.draws import over_draws
from bayesdep.numerics.normal import LOG_2_PI, log_standard_normal

NODES = 21
_ARRAYS = 4  # as large as the scores, while these are computed


def log_likelihood(settings: CytokinesSettings, posterior: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Return the log density of each measurement, or of each cell with its own effect integrated out.

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
        Dims (chain, draw, measurement or cell).
    """
    analyte_of, value, unit = data["analyte_of"].values, recorded_logs(data), settings.left_out
    labels = Cells.read(data, integrate=True).labels if settings.has_cells else data["measurement"].values

    def scores(part: xr.Dataset) -> xr.DataArray:
        sd = part["residual_sd"].transpose("sample", "analyte").values[:, analyte_of]
        z = (value - expected_of_draws(settings, part, data)) / sd
        psi = part["cell_ratio"].values if settings.has_cells else None
        nu = part["nu"].values if settings.robust else None
        return xr.DataArray(score_cells(z, sd, data, psi=psi, nu=nu), {unit: labels}, ("sample", unit))

    return over_draws(posterior, scores, elements=_ARRAYS * data.sizes["measurement"])


def score_cells(
    z: np.ndarray, sd: np.ndarray, data: xr.Dataset, *, psi: np.ndarray | None, nu: np.ndarray | None
) -> np.ndarray:
    """Score every cell directly, draw by draw: its own effect integrated out whatever is censored.

    Parameters
    ----------
    z
        Standardised residuals (value or limit less expectation without the cell's effect, over the residual sd),
        shape (draws, measurements).
    sd
        Residual standard deviation by measurement, shape (draws, measurements).
    data
        The panel.
    psi
        Sd of the cells' effects in units of the residual sd, shape (draws,); None where nothing is repeated.
    nu
        Degrees of freedom, shape (draws,); None for normal residuals.

    Returns
    -------
    numpy.ndarray
        Shape (draws, measurements) where nothing is repeated, else (draws, cells). Cells with at most one value
        beyond a limit and normal residuals are exact; in the others the cell's effect is integrated by
        Gauss-Hermite quadrature with 21 nodes, first around its estimate from the detected values, then around
        its mean so found (Naylor and Smith 1982, Applied Statistics 31).
    """
    if psi is None:
        return _score(z, sd, data, nu)
    cells = Cells.read(data, integrate=nu is None)
    detected = data["kind"].values == 0
    sums, squares = (_by_cell(np.where(detected, values, 0.0), cells.of) for values in (z, z**2))
    log_sd = _by_cell(np.where(detected, np.log(sd), 0.0), cells.of)
    n, psi = cells.detected, psi[:, None]
    gain = psi**2 / (1 + n * psi**2)
    scores = (gain * sums**2 - squares - np.log1p(n * psi**2) - n * LOG_2_PI) / 2 - log_sd
    # One value beyond a limit, given the detected ones: normal around gain x sum, with variance 1 + gain.
    one = np.flatnonzero(~detected & ~cells.latent[cells.of])
    cell = cells.of[one]
    wider = np.sqrt(1 + gain[:, cell])
    given_detected = (z[:, one] - (gain * sums)[:, cell]) / wider
    scores[:, cell] += _score(given_detected, sd[:, one] * wider, data.isel(measurement=one), nu)
    # Latent cells: first nodes around the estimate of the cell's effect from the detected values alone.
    rows = np.flatnonzero(cells.latent[cells.of])
    if len(rows):
        of = (np.cumsum(cells.latent) - 1)[cells.of[rows]]
        centre, spread = ((x / psi)[:, cells.latent] for x in (gain * sums, np.sqrt(gain)))
        part = data.isel(measurement=rows)
        scores[:, cells.latent] = _integrated_over_effects(z[:, rows], sd[:, rows], part, of, psi, nu, centre, spread)
    return scores


def _integrated_over_effects(
    z: np.ndarray,
    sd: np.ndarray,
    data: xr.Dataset,
    of: np.ndarray,
    psi: np.ndarray,
    nu: np.ndarray | None,
    centre: np.ndarray,
    spread: np.ndarray,
) -> np.ndarray:
    """Log integrals over the cells' effects, shape (draws, cells)."""
    return np.asarray(special.logsumexp(nodes_of_effects(z, sd, data, of, psi, nu, centre, spread, NODES)[1], axis=0))


def nodes_of_effects(
    z: np.ndarray,
    sd: np.ndarray,
    data: xr.Dataset,
    of: np.ndarray,
    psi: np.ndarray,
    nu: np.ndarray | None,
    centre: np.ndarray,
    spread: np.ndarray,
    number: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Place the nodes of the integrals over the cells' effects.

    Parameters
    ----------
    z, sd, data, psi, nu
        As of :func:`score_cells`; ``psi`` of shape (draws, 1).
    of
        The cell of each measurement, numbered from 0; every cell has one.
    centre, spread
        Of each cell's effect, shape (draws, cells): they place the first nodes.
    number
        How many nodes.

    Returns
    -------
    tuple of numpy.ndarray
        Effects, and the logs of the terms whose sum is the integral, both of shape (nodes, draws, cells).
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(number)
    for _ in range(2):  # a second time around the mean and sd that the first finds: 1e-3 becomes 1e-10
        terms, effects = [], []
        for node, weight in zip(nodes, weights, strict=True):
            effect = centre + spread * node
            scored = _by_cell(_score(z - psi * effect[:, of], sd, data, nu), of)
            terms.append(scored + stats.norm.logpdf(effect) + np.log(spread) + node**2 / 2 + np.log(weight))
            effects.append(effect)
        share = special.softmax(np.stack(terms), axis=0)
        mean = np.tensordot(nodes, share, 1)
        variance = np.maximum(np.tensordot(nodes**2, share, 1) - mean**2, 1e-12)
        centre, spread = centre + spread * mean, spread * np.sqrt(variance)
    return np.stack(effects), np.stack(terms)


def _by_cell(values: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Sum over the measurements of each cell; every cell has one."""
    order = np.argsort(of, kind="stable")
    starts = np.searchsorted(of[order], np.arange(of.max() + 1))
    return np.asarray(np.add.reduceat(values[:, order], starts, axis=1))


def _score(z: np.ndarray, sd: np.ndarray, data: xr.Dataset, nu: np.ndarray | None) -> np.ndarray:
    """Log density or log probability of each measurement, given everything."""
    kind = data["kind"].values
    scores = np.empty_like(z)
    detected, between = kind == 0, kind == 3
    for is_kind, sign in ((kind == 1, 1), (kind == 2, -1)):
        inside = sign * z[:, is_kind]
        scores[:, is_kind] = special.log_ndtr(inside) if nu is None else np.log(special.stdtr(nu[:, None], inside))
    residual = z[:, detected]
    density = log_standard_normal(residual) if nu is None else stats.t.logpdf(residual, nu[:, None])
    scores[:, detected] = density - np.log(sd[:, detected])
    if between.any():
        half = (data["upper"] - data["lower"]).values[between] / 2 / sd[:, between]
        law = stats.norm() if nu is None else stats.t(nu[:, None])
        middle = -np.abs(z[:, between])
        with np.errstate(divide="ignore"):  # a mass that rounds to zero
            log_mass = np.log(law.cdf(middle + half) - law.cdf(middle - half))
        scores[:, between] = np.where(half < 1e-4, law.logpdf(middle) + np.log(2 * half), log_mass)
    return scores
