"""What each analyte's own data say of its level, effects and spread: for the coordinates they are sampled in, only.

An analyte's censored log-likelihood is replaced by the parabola that touches it where a weak prior and the data agree
(Laplace). Where most of an analyte is hidden the parabola is flat, and level, difference and spread go together: so
each is said given those before it, in the order log residual sd, level, differences of groups. A posterior does not
depend on what comes out here, only how fast it is sampled.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy import optimize

from bayesdep.models.parts.panel.tobit import censored_loss

_NOTHING_KNOWN = 100.0  # an error on the log scale, beside which any spread is small
_ROUNDING = 1e-6  # on the log scale: what is less is no spread of values, as where all are the same limit
_SD_OF_LOG_SD, _SD_OF_EFFECT = 0.5, 1.0  # of the weak prior: about what analytes differ by


@dataclass(frozen=True)
class Rough:
    """Rough estimates of an analyte's parameters: log residual sd, level, and the groups' differences, in this order.

    Parameters
    ----------
    estimate, error
        Shape (analyte, parameter): of each parameter where those before it are zero, and its error given them; 0 and
        100 where there is nothing to go by.
    slope
        Shape (analyte, parameter, parameter): by how much a parameter's estimate moves with each one before it.
    """

    estimate: np.ndarray
    error: np.ndarray
    slope: np.ndarray

    def given(self, name: str, place: int, before: list[Any]) -> Any:
        """Return the estimate of the parameter at a place given those before it, inside a PyMC model context.

        Parameters
        ----------
        name
            The parameter's name.
        place
            Its place in the order.
        before
            Tensors of the parameters before it, each of shape (analyte,).

        Returns
        -------
        pytensor.tensor.TensorVariable
            Shape (analyte,). Its numbers are data of the model, ``name_estimate`` and ``name_slope``, so that one
            compiled model serves other panels.
        """
        import pymc as pm

        slope = pm.Data(f"{name}_slope", self.slope[:, place, :place])
        terms = (slope[:, j] * value for j, value in enumerate(before[:place]))
        return sum(terms, start=pm.Data(f"{name}_estimate", self.estimate[:, place], dims="analyte"))


def rough_effects(data: xr.Dataset) -> Rough:
    """Return rough estimates of each analyte's parameters from its own values at baseline.

    Parameters
    ----------
    data
        A completed panel.

    Returns
    -------
    Rough
        On the log scale, levels from the analyte's centre.
    """
    baseline = data["time_of"].values == 0
    design = np.column_stack([np.ones(baseline.sum()), data["group_code"].values[data["group_of"].values[baseline]]])
    lower, upper, analyte = (data[name].values[baseline] for name in ("lower", "upper", "analyte_of"))
    centre = data["centre"].values
    rows = [np.flatnonzero(analyte == a) for a in range(data.sizes["analyte"])]
    crude = np.full((len(rows), 2), np.nan)
    parts = [(lower[r] - centre[a], upper[r] - centre[a], design[r]) for a, r in enumerate(rows)]
    for a, (low, high, x) in enumerate(parts):
        if len(x):
            middle, _ = censored_loss(low, high, x)
            left = middle - x @ np.linalg.lstsq(x, middle, rcond=None)[0]
            sd = np.sqrt(np.mean(left**2))
            crude[a] = np.log(sd) if sd > _ROUNDING else np.nan, middle.mean()
    with np.errstate(all="ignore"):
        usual = [np.nanmedian(column) if np.isfinite(column).any() else 0.0 for column in crude.T]
        spread = np.nanstd(crude[:, 1]) if np.isfinite(crude[:, 1]).any() else 0.0
    mean = np.r_[usual, np.zeros(design.shape[1] - 1)]
    width = np.r_[_SD_OF_LOG_SD, 0.5 + spread, np.full(design.shape[1] - 1, _SD_OF_EFFECT)]
    found = [_conditionals(*_parabola(*part, mean, width), mean, width) for part in parts]
    return Rough(*(np.stack(arrays) for arrays in zip(*found, strict=True)))


def _parabola(
    lower: np.ndarray, upper: np.ndarray, design: np.ndarray, mean: np.ndarray, width: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and precision-times-mean of the normal that touches an analyte's likelihood."""
    size = len(mean)
    if not len(design):
        return np.zeros((size, size)), np.zeros(size)
    _, minus_log = censored_loss(lower, upper, design)
    # the likelihood has the log sd last, here it is first
    last = np.roll(np.arange(size), -1)

    def slope(at: np.ndarray) -> tuple[float, np.ndarray]:
        value, by = minus_log(at[last])
        return value, np.roll(by, 1)

    def penalised(at: np.ndarray) -> tuple[float, np.ndarray]:
        value, by = slope(at)
        z = (at - mean) / width
        return value + z @ z / 2, by + z / width

    def curvature(at: np.ndarray) -> np.ndarray:
        step = 1e-3
        return np.array([(slope(at + h)[1] - slope(at - h)[1]) / (2 * step) for h in step * np.eye(size)])

    at = optimize.minimize(penalised, mean, jac=True, method="BFGS").x
    newton = np.linalg.pinv(curvature(at) + np.diag(width**-2.0))
    for _ in range(3):  # to the last digits, so that a change of units changes nothing else
        step = newton @ penalised(at)[1]
        at = at - step if np.abs(step).max() < 0.1 else at
    precision = curvature(at)
    values, vectors = np.linalg.eigh((precision + precision.T) / 2)
    precision = (vectors * np.maximum(values, 0.0)) @ vectors.T  # a likelihood that bends the other way says nothing
    return precision, precision @ at - slope(at)[1]


def _conditionals(
    precision: np.ndarray, natural: np.ndarray, mean: np.ndarray, width: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the parabola says of each parameter given those before it, those after it taken from their weak prior."""
    size = len(mean)
    estimate, error, slope = np.zeros(size), np.zeros(size), np.zeros((size, size))
    for j in range(size):
        kept, later = slice(0, j + 1), slice(j + 1, size)
        within = precision[later, later] + np.diag(width[later] ** -2.0)
        across = np.linalg.solve(within, precision[later, kept]).T
        row = (precision[kept, kept] - across @ precision[later, kept])[j]
        told = (natural[kept] - across @ (natural[later] + mean[later] / width[later] ** 2))[j]
        own = max(row[j], _NOTHING_KNOWN**-2.0)
        estimate[j], error[j], slope[j, :j] = told / own, own**-0.5, -row[:j] / own
    return estimate, error, slope
