"""The likelihood of censored measurements of the same people, with what is Gaussian integrated out.

Measurement j of cell c (one subject and one analyte) has log concentration ``y_j = eta_j + sigma_a (psi v_c + e_j)``,
``v_c ~ N(0, 1)``: psi is how large lasting differences between people are, in units of the residual sd. In a cell
with at most one value beyond a limit v_c is integrated out in closed form. With z_j = (y_j - eta_j) / sigma_a,
n detected values and g = psi^2 / (1 + n psi^2), the detected ones contribute

    -1/2 sum z_j^2 + g/2 (sum z_j)^2 - 1/2 log(1 + n psi^2) - n log sigma_a - n/2 log 2 pi

and the other, given them, is normal around g sum z_j with variance 1 + g (both in units of sigma_a). In the remaining
cells v_c is a parameter. Residuals that are Student t leave nothing in closed form, so there all v_c are parameters,
and so are the precisions of values that were not seen (:mod:`~bayesdep.numerics.student`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy import special, stats

from bayesdep.numerics.censoring import log_normal_cdf, log_normal_interval
from bayesdep.numerics.student import log_t_density

NODES = 21


@dataclass(frozen=True)
class Cells:
    """How measurements fall into cells.

    Parameters
    ----------
    of
        Cell of each measurement.
    labels
        "subject / analyte" of each cell.
    detected, beyond
        Detected values, and values beyond or between limits, of each cell.
    latent
        Whether the cell's own effect is a parameter.
    """

    of: np.ndarray
    labels: np.ndarray
    detected: np.ndarray
    beyond: np.ndarray
    latent: np.ndarray

    @classmethod
    def read(cls, data: xr.Dataset, *, integrate: bool) -> "Cells":
        """Find the cells of a panel; with ``integrate`` false every cell's effect is a parameter."""
        key = data["subject_of"].values * data.sizes["analyte"] + data["analyte_of"].values
        unique, of = np.unique(key, return_inverse=True)
        subject, analyte = np.divmod(unique, data.sizes["analyte"])
        labels = np.char.add(np.char.add(data["subject"].values[subject], " / "), data["analyte"].values[analyte])
        is_detected = data["kind"].values == 0
        detected = np.bincount(of[is_detected], minlength=len(unique))
        beyond = np.bincount(of[~is_detected], minlength=len(unique))
        return cls(of, labels, detected, beyond, (beyond > 1) if integrate else np.full(len(unique), True))


def measurements(
    name: str,
    eta: Any,
    log_sd: Any,
    data: xr.Dataset,
    *,
    psi: Any = None,
    cells: Cells | None = None,
    effects: Any = None,
    nu: Any = None,
    root_precision: Any = None,
) -> Any:
    """Observe log concentrations, detected or known to lie beyond or between limits, inside a PyMC model context.

    Parameters
    ----------
    name
        Name of the observed variable; its dim is ``measurement``.
    eta
        Expected log concentration by measurement, without the cell's own effect.
    log_sd
        Log residual standard deviation by analyte.
    data
        As :func:`~bayesdep.models.cytokines.data.read_panel` returns it.
    psi
        Sd of the cells' own effects in units of the residual sd; None where nothing is repeated.
    cells
        The cells, where ``psi`` is given.
    effects
        Standard-normal effects of the latent cells, in the cells' order; None where there are none.
    nu
        Degrees of freedom of Student-t residuals; None for normal ones.
    root_precision
        With ``nu``, square roots of the precisions of the values that were not seen, in the measurements' order.

    Returns
    -------
    pytensor.tensor.TensorVariable
        The observed variable. Its predictive draws are uncensored: new measurements of the same people, each cell
        with an effect of its own.
    """
    import pymc as pm
    import pytensor.tensor as pt

    kind = data["kind"].values
    detected, one_sided = int((kind == 0).sum()), int(((kind == 1) | (kind == 2)).sum())
    analyte_of = pm.Data("analyte_of", data["analyte_of"].values, dims="measurement")
    counts = np.bincount(data["analyte_of"].values[:detected], minlength=data.sizes["analyte"])
    # where the detected end and the one-sided end; data, so that another table can use the compiled model
    ends = pt.cast(pm.Data("ends", np.array([detected, detected + one_sided])), "int64")
    counts = pm.Data("detected_by_analyte", counts.astype(float), dims="analyte")
    has_intervals = bool((kind == 3).any())
    side = pm.Data("side", np.where(kind[detected : detected + one_sided] == 1, 1.0, -1.0))
    width = data["upper"].values - data["lower"].values
    half_width = pm.Data("half_width", width[detected + one_sided :] / 2) if has_intervals else None
    shift: Any = None
    integrated: _Integrated | None = None
    if cells is not None:
        cell_of = pm.Data("cell_of", cells.of, dims="measurement")
        shift = _latent_shift(cells) if effects is not None else None
        integrated = _Integrated(cells) if not cells.latent.all() else None

    def logp(value: Any, eta: Any, log_sd: Any, *rest: Any) -> Any:
        given = dict(zip(extra, rest, strict=True))
        z = (value - eta) * pt.exp(-log_sd)[analyte_of]
        if "effects" in given:
            z = z - given["psi"] * shift(given["effects"])
        seen, beyond = z[: ends[0]], side * z[ends[0] : ends[1]]
        t = given.get("nu")
        total = pt.sum(_log_density(seen, t)) - pt.sum(counts * log_sd)
        scale_beyond: Any = 1.0
        scale_between: Any = 1.0
        between: Any = z[ends[1] :] if has_intervals else None
        if "psi" in given and integrated is not None:
            gain, sums, extra_term = integrated(given["psi"], seen, cell_of[: ends[0]])
            total = total + extra_term
            here = cell_of[ends[0] : ends[1]]
            scale_beyond = pt.sqrt(1 + gain[here])
            beyond = beyond - side * (gain * sums)[here]
            if has_intervals:
                here = cell_of[ends[1] :]
                scale_between = pt.sqrt(1 + gain[here])
                between = between - (gain * sums)[here]
        if t is not None:
            one_sided = ends[1] - ends[0]
            scale_beyond = 1 / given["root_precision"][:one_sided]
            scale_between = 1 / given["root_precision"][one_sided:]
        total = total + pt.sum(log_normal_cdf(beyond / scale_beyond))
        if has_intervals:
            half = half_width * pt.exp(-log_sd)[analyte_of[ends[1] :]]
            total = total + pt.sum(log_normal_interval(between / scale_between, half / scale_between))
        return total

    def random(eta: Any, log_sd: Any, *rest: Any, rng: Any = None, size: Any = None) -> Any:  # noqa: ARG001  (PyMC's signature)
        given = dict(zip(extra, rest, strict=True))
        if "nu" in given:
            noise = rng.standard_t(np.broadcast_to(np.asarray(given["nu"])[..., None], eta.shape))
        else:
            noise = rng.standard_normal(eta.shape)
        if "psi" in given:
            assert cells is not None
            own = rng.standard_normal((*eta.shape[:-1], len(cells.labels)))
            noise += np.asarray(given["psi"])[..., None] * own[..., cells.of]
        return eta + np.exp(log_sd)[..., data["analyte_of"].values] * noise

    optional = {"psi": psi, "effects": effects, "nu": nu, "root_precision": root_precision}
    extra = {key: variable for key, variable in optional.items() if variable is not None}
    sizes = {"effects": "(l)", "root_precision": "(b)"}
    shapes = ["(m)", "(a)", *(sizes.get(key, "()") for key in extra)]
    return pm.CustomDist(
        name,
        eta,
        log_sd,
        *extra.values(),
        logp=logp,
        random=random,
        signature=f"{','.join(shapes)}->(m)",
        observed=pm.Data(f"{name}_data", recorded_logs(data), dims="measurement"),
        dims="measurement",
    )


def recorded_logs(data: xr.Dataset) -> np.ndarray:
    """Return the number each measurement enters with: its log, the limit it lies beyond, or the middle of its interval.

    Parameters
    ----------
    data
        The panel.

    Returns
    -------
    numpy.ndarray
        Shape (measurement,).
    """
    kind, lower, upper = (data[name].values for name in ("kind", "lower", "upper"))
    return np.select([kind <= 1, kind == 2], [upper, lower], (lower + upper) / 2)


def _log_density(z: Any, nu: Any) -> Any:
    return -(z**2) / 2 - np.log(2 * np.pi) / 2 if nu is None else log_t_density(z, nu)


def _latent_shift(cells: Cells) -> Any:
    """From the latent cells' effects to each measurement's: zero where the cell's effect is integrated out."""
    import pymc as pm

    place = np.cumsum(cells.latent) - 1
    where = pm.Data("latent_of", np.where(cells.latent, place, 0)[cells.of], dims="measurement")
    is_latent = pm.Data("is_latent", cells.latent[cells.of].astype(float), dims="measurement")
    return lambda effects: effects[where] * is_latent


class _Integrated:
    """Cells whose effect is integrated out: gains by number of detected values, and the closed-form term."""

    def __init__(self, cells: Cells) -> None:
        import pymc as pm

        most = int(cells.detected.max())
        # one class per number of detected values, and a last one, without gain, for latent cells
        group = np.where(cells.latent, most + 1, cells.detected)
        tally = np.bincount(group, minlength=most + 2).astype(float)
        self.number = pm.Data("detected_in_cell", np.arange(most + 2, dtype=float))
        self.open = pm.Data("cells_integrated", np.append(np.ones(most + 1), 0.0))
        self.tally = pm.Data("cells_by_detected", np.append(tally[:-1], 0.0))
        self.group = pm.Data("class_of_cell", group)

    def __call__(self, psi: Any, seen: Any, cell: Any) -> tuple[Any, Any, Any]:
        import pytensor.tensor as pt

        gains = self.open * psi**2 / (1 + self.number * psi**2)
        gain = gains[self.group]
        sums = pt.inc_subtensor(pt.zeros_like(gain)[cell], seen)
        term = pt.sum(gain * sums**2) / 2 - pt.sum(self.tally * pt.log1p(self.number * psi**2)) / 2
        return gain, sums, term


def log_likelihood(
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
        Gauss-Hermite quadrature with 21 nodes, first around what the detected values say of it, then around what
        that finds (Naylor and Smith 1982, Applied Statistics 31).
    """
    if psi is None:
        return _score(z, sd, data, nu)
    cells = Cells.read(data, integrate=nu is None)
    seen = data["kind"].values == 0
    sums, squares = (_by_cell(np.where(seen, values, 0.0), cells.of) for values in (z, z**2))
    logs_sd = _by_cell(np.where(seen, np.log(sd), 0.0), cells.of)
    n, psi = cells.detected, psi[:, None]
    gain = psi**2 / (1 + n * psi**2)
    out = (gain * sums**2 - squares - np.log1p(n * psi**2) - n * np.log(2 * np.pi)) / 2 - logs_sd
    # One value beyond a limit, given the detected ones: normal around gain x sum, with variance 1 + gain.
    one = np.flatnonzero(~seen & ~cells.latent[cells.of])
    at = cells.of[one]
    wider = np.sqrt(1 + gain[:, at])
    out[:, at] += _score((z[:, one] - (gain * sums)[:, at]) / wider, sd[:, one] * wider, data.isel(measurement=one), nu)
    # Latent cells: nodes around what the detected values alone say of the cell's effect.
    rows = np.flatnonzero(cells.latent[cells.of])
    if len(rows):
        of = (np.cumsum(cells.latent) - 1)[cells.of[rows]]
        part, z_part, sd_part = data.isel(measurement=rows), z[:, rows], sd[:, rows]
        centre, spread = ((x / psi)[:, cells.latent] for x in (gain * sums, np.sqrt(gain)))
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        for _ in range(2):  # a second time around the mean and sd that the first finds: 1e-3 becomes 1e-10
            terms = []
            for node, weight in zip(nodes, weights, strict=True):
                v = centre + spread * node
                scored = _by_cell(_score(z_part - psi * v[:, of], sd_part, part, nu), of)
                terms.append(scored + stats.norm.logpdf(v) + np.log(spread) + node**2 / 2 + np.log(weight))
            share = special.softmax(np.stack(terms), axis=0)
            mean = np.tensordot(nodes, share, 1)
            variance = np.maximum(np.tensordot(nodes**2, share, 1) - mean**2, 1e-12)
            centre, spread = centre + spread * mean, spread * np.sqrt(variance)
        out[:, cells.latent] = special.logsumexp(np.stack(terms), axis=0)
    return out


def _by_cell(values: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Sum over the measurements of each cell; every cell has one."""
    order = np.argsort(of, kind="stable")
    starts = np.searchsorted(of[order], np.arange(of.max() + 1))
    return np.asarray(np.add.reduceat(values[:, order], starts, axis=1))


def _score(z: np.ndarray, sd: np.ndarray, data: xr.Dataset, nu: np.ndarray | None) -> np.ndarray:
    """Log density or log probability of each measurement, given everything."""
    kind = data["kind"].values
    out = np.empty_like(z)
    seen, between = kind == 0, kind == 3
    for is_kind, sign in ((kind == 1, 1), (kind == 2, -1)):
        at = sign * z[:, is_kind]
        out[:, is_kind] = special.log_ndtr(at) if nu is None else np.log(special.stdtr(nu[:, None], at))
    at = z[:, seen]
    density = -(at**2) / 2 - np.log(2 * np.pi) / 2 if nu is None else stats.t.logpdf(at, nu[:, None])
    out[:, seen] = density - np.log(sd[:, seen])
    if between.any():
        half = (data["upper"] - data["lower"]).values[between] / 2 / sd[:, between]
        law = stats.norm() if nu is None else stats.t(nu[:, None])
        at = -np.abs(z[:, between])
        with np.errstate(divide="ignore"):  # a mass that rounds to zero
            mass = np.log(law.cdf(at + half) - law.cdf(at - half))
        out[:, between] = np.where(half < 1e-4, law.logpdf(at) + np.log(2 * half), mass)
    return out
