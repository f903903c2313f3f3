"""The likelihood of censored measurements of the same people, with what is Gaussian integrated out.

Measurement j of cell c (one subject and one analyte) has log concentration ``y_j = eta_j + sigma_a (psi v_c + e_j)``,
``v_c ~ N(0, 1)``: psi is how large lasting differences between people are, in units of the residual sd. In a cell
with at most one value beyond a limit v_c is integrated out in closed form. With z_j = (y_j - eta_j) / sigma_a,
n detected values and g = psi^2 / (1 + n psi^2), the detected ones contribute

    -1/2 sum z_j^2 + g/2 (sum z_j)^2 - 1/2 log(1 + n psi^2) - n log sigma_a - n/2 log 2 pi

and the other, given them, is normal around g sum z_j with variance 1 + g (both in units of sigma_a). In the remaining
cells v_c is a parameter. Residuals that are Student t leave nothing in closed form, so there all v_c are parameters,
and so are the precisions of values that were not detected (:mod:`~bayesdep.numerics.student`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayesdep.numerics.censoring import log_normal_cdf, log_normal_interval
from bayesdep.numerics.normal import log_standard_normal
from bayesdep.numerics.student import log_t_density
from bayesdep.numerics.types import Tensor


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


@dataclass(frozen=True)
class Repeated:
    """People's lasting deviations in an analyte, inside a model.

    Parameters
    ----------
    cells
        The cells.
    psi
        Sd of the cells' effects in units of the residual sd.
    latent
        Standard-normal effects of the latent cells, in the cells' order; None where there are none.
    """

    cells: Cells
    psi: Tensor
    latent: Tensor = None


@dataclass(frozen=True)
class StudentResiduals:
    """Student-t residuals, inside a model.

    Parameters
    ----------
    nu
        Degrees of freedom.
    root_precision
        Square roots of the precisions of the values that were not detected, in the measurements' order; None where
        all were.
    """

    nu: Tensor
    root_precision: Tensor = None


def measurements(
    name: str,
    eta: Tensor,
    log_sd: Tensor,
    data: xr.Dataset,
    *,
    repeated: Repeated | None = None,
    student: StudentResiduals | None = None,
) -> Tensor:
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
        A panel.
    repeated
        People's lasting deviations; None where nothing is repeated.
    student
        Student-t residuals; None for normal ones.

    Returns
    -------
    pytensor.tensor.TensorVariable
        The observed variable. Its predictive draws are uncensored: new measurements of the same people, each cell
        with an effect of its own.
    """
    import pymc as pm

    optional = {
        "psi": None if repeated is None else repeated.psi,
        "effects": None if repeated is None else repeated.latent,
        "nu": None if student is None else student.nu,
        "root_precision": None if student is None else student.root_precision,
    }
    inputs = {word: variable for word, variable in optional.items() if variable is not None}
    sizes = {"effects": "(l)", "root_precision": "(b)"}
    shapes = ["(m)", "(a)", *(sizes.get(word, "()") for word in inputs)]
    likelihood = _Likelihood.of(data, tuple(inputs), None if repeated is None else repeated.cells)
    return pm.CustomDist(
        name,
        eta,
        log_sd,
        *inputs.values(),
        logp=likelihood.logp,
        random=likelihood.random,
        signature=f"{','.join(shapes)}->(m)",
        observed=pm.Data(f"{name}_data", recorded_logs(data), dims="measurement"),
        dims="measurement",
    )


@dataclass(frozen=True, eq=False)
class _Likelihood:
    """The log density of all measurements and their predictive draws.

    Numbers that differ between tables are data of the model, so that another table can use the compiled one.

    Parameters
    ----------
    inputs
        Names of the inputs after eta and log_sd: those of psi, effects, nu and root_precision that there are.
    ends
        Where in the measurements the detected ones end, and where those beyond one limit end.
    analyte_of, analytes
        Analyte of each measurement, as data of the model and as an array.
    detected_by_analyte
        Number of detected values of each analyte.
    side
        Of values beyond one limit: 1 below, -1 above.
    half_width
        Of values between limits, half the distance between these; None where there are none.
    cells
        The cells; None where nothing is repeated.
    cell_of
        Cell of each measurement, as data of the model.
    shift
        From the latent cells' effects to each measurement's; None where no cell is latent.
    integrated
        The cells whose effect is integrated out; None where there are none.
    """

    inputs: tuple[str, ...]
    ends: Tensor
    analyte_of: Tensor
    analytes: np.ndarray
    detected_by_analyte: Tensor
    side: Tensor
    half_width: Tensor
    cells: Cells | None
    cell_of: Tensor
    shift: Callable[[Tensor], Tensor] | None
    integrated: "_Integrated | None"

    @classmethod
    def of(cls, data: xr.Dataset, inputs: tuple[str, ...], cells: Cells | None) -> "_Likelihood":
        """Put a panel's numbers into the model as its data."""
        import pymc as pm
        import pytensor.tensor as pt

        kind, analytes = data["kind"].values, data["analyte_of"].values
        detected, one_sided = int((kind == 0).sum()), int(((kind == 1) | (kind == 2)).sum())
        half_width = (data["upper"].values - data["lower"].values)[detected + one_sided :] / 2
        counts = np.bincount(analytes[:detected], minlength=data.sizes["analyte"]).astype(float)
        analyte_of = pm.Data("analyte_of", analytes, dims="measurement")
        return cls(
            inputs=inputs,
            analyte_of=analyte_of,
            analytes=analytes,
            ends=pt.cast(pm.Data("ends", np.array([detected, detected + one_sided])), "int64"),
            detected_by_analyte=pm.Data("detected_by_analyte", counts, dims="analyte"),
            side=pm.Data("side", np.where(kind[detected : detected + one_sided] == 1, 1.0, -1.0)),
            half_width=pm.Data("half_width", half_width) if len(half_width) else None,
            cells=cells,
            cell_of=None if cells is None else pm.Data("cell_of", cells.of, dims="measurement"),
            shift=_latent_shift(cells) if cells is not None and "effects" in inputs else None,
            integrated=_Integrated(cells) if cells is not None and not cells.latent.all() else None,
        )

    def logp(self, value: Tensor, eta: Tensor, log_sd: Tensor, *rest: Tensor) -> Tensor:
        """The log density of all measurements together."""
        import pytensor.tensor as pt

        inputs = dict(zip(self.inputs, rest, strict=True))
        z = (value - eta) * pt.exp(-log_sd)[self.analyte_of]
        if self.shift is not None:
            z = z - inputs["psi"] * self.shift(inputs["effects"])
        detected, beyond, between = z[: self.ends[0]], z[self.ends[0] : self.ends[1]], z[self.ends[1] :]
        nu = inputs.get("nu")
        density = log_standard_normal(detected) if nu is None else log_t_density(detected, nu)
        total = pt.sum(density) - pt.sum(self.detected_by_analyte * log_sd)
        beyond = self.side * beyond
        sd_beyond, sd_between = 1.0, 1.0
        if "psi" in inputs and self.integrated is not None:
            gain, sums, term = self.integrated(inputs["psi"], detected, self.cell_of[: self.ends[0]])
            total = total + term
            cell = self.cell_of[self.ends[0] : self.ends[1]]
            sd_beyond = pt.sqrt(1 + gain[cell])
            beyond = beyond - self.side * (gain * sums)[cell]
            if self.half_width is not None:
                cell = self.cell_of[self.ends[1] :]
                sd_between = pt.sqrt(1 + gain[cell])
                between = between - (gain * sums)[cell]
        if "root_precision" in inputs:
            one_sided = self.ends[1] - self.ends[0]
            sd_beyond = 1 / inputs["root_precision"][:one_sided]
            sd_between = 1 / inputs["root_precision"][one_sided:]
        total = total + pt.sum(log_normal_cdf(beyond / sd_beyond))
        if self.half_width is not None:
            half = self.half_width * pt.exp(-log_sd)[self.analyte_of[self.ends[1] :]]
            total = total + pt.sum(log_normal_interval(between / sd_between, half / sd_between))
        return total

    def random(self, eta: Any, log_sd: Any, *rest: Any, rng: Any = None, size: Any = None) -> np.ndarray:  # noqa: ARG002  (PyMC's signature)
        """New measurements of the same people, uncensored."""
        inputs = dict(zip(self.inputs, rest, strict=True))
        if "nu" in inputs:
            noise = rng.standard_t(np.broadcast_to(np.asarray(inputs["nu"])[..., None], eta.shape))
        else:
            noise = rng.standard_normal(eta.shape)
        if "psi" in inputs:
            assert self.cells is not None
            effects = rng.standard_normal((*eta.shape[:-1], len(self.cells.labels)))
            noise += np.asarray(inputs["psi"])[..., None] * effects[..., self.cells.of]
        return np.asarray(eta + np.exp(log_sd)[..., self.analytes] * noise)


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


def _latent_shift(cells: Cells) -> Callable[[Tensor], Tensor]:
    """From the latent cells' effects to each measurement's: zero where the cell's effect is integrated out."""
    import pymc as pm

    position = np.cumsum(cells.latent) - 1
    latent_of = pm.Data("latent_of", np.where(cells.latent, position, 0)[cells.of], dims="measurement")
    is_latent = pm.Data("is_latent", cells.latent[cells.of].astype(float), dims="measurement")
    return lambda effects: effects[latent_of] * is_latent


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

    def __call__(self, psi: Tensor, z: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Each cell's gain g, the sum of its detected z, and the closed-form term of all cells."""
        import pytensor.tensor as pt

        gains = self.open * psi**2 / (1 + self.number * psi**2)
        gain = gains[self.group]
        sums = pt.inc_subtensor(pt.zeros_like(gain)[cell], z)
        term = pt.sum(gain * sums**2) / 2 - pt.sum(self.tally * pt.log1p(self.number * psi**2)) / 2
        return gain, sums, term
