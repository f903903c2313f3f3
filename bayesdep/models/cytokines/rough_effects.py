"""Rough estimates of each analyte's level, effects and residual sd, used only to reparametrise the model.

An analyte's censored log-likelihood is replaced by its quadratic approximation at the mode under a weak prior
(Laplace). Where most of an analyte's values lie beyond limits the approximation is flat, and level, difference and sd
are strongly correlated: so each is estimated given those before it, in the order log residual sd, differences of
groups, level. People's general levels are estimated first and subtracted, so that residual sds do not contain them. The
posterior does not depend on these estimates, only how fast it is sampled.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import optimize, special

from bayesdep.models.parts.adaptive_effects import Wall
from bayesdep.numerics.tobit import censored_loss
from bayesdep.numerics.types import Tensor

_NOTHING_KNOWN = 100.0  # an error on the log scale, beside which any spread is small
_ROUNDING = 1e-6  # on the log scale: a smaller sd is none, as where all values are the same limit
_FEW = 5  # with fewer detected values an analyte's sd is hardly known
_NO_LIMIT = 1e4  # further away than any limit, on the log scale
_EM_STEPS = 20
_SD_OF_LOG_SD, _SD_OF_EFFECT = 0.5, 1.0  # of the weak prior: about what analytes differ by


@dataclass(frozen=True)
class Rough:
    """Rough estimates of an analyte's parameters: log residual sd, the groups' differences, and level, in this order.

    Parameters
    ----------
    estimate, error
        Shape (analyte, parameter): of each parameter where those before it are zero, and its error given them; 0 and
        100 where there is nothing to go by.
    slope
        Shape (analyte, parameter, parameter): change of a parameter's estimate per unit of each one before it.
    log_sd
        Shape (analyte,): the log residual sd at which slopes and errors were taken.
    """

    estimate: np.ndarray
    error: np.ndarray
    slope: np.ndarray
    log_sd: np.ndarray

    def relative_sd(self, log_sd: Tensor) -> Tensor:
        """Return an analyte's sd over that at which slopes and errors were taken, inside a PyMC model context.

        Levels below a limit lie a number of sds below it, and errors of levels and differences are in proportion to
        the sd: their estimates are linear in the sd, not in its log.

        Parameters
        ----------
        log_sd
            Log sds by analyte of single values around people's general levels.

        Returns
        -------
        pytensor.tensor.TensorVariable
            Shape (analyte,); 1 where an analyte was never detected.
        """
        import pymc as pm
        import pytensor.tensor as pt

        known = pm.Data("rough_known", (self.error[:, 0] < _NOTHING_KNOWN).astype(float), dims="analyte")
        return pt.exp(known * (log_sd - pm.Data("rough_log_sd", self.log_sd, dims="analyte")))

    def given(self, name: str, place: int, before: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return a parameter's estimate conditional on those before it, and its error, inside a PyMC model context.

        Parameters
        ----------
        name
            The parameter's name.
        place
            Its place in the order, after the log residual sd's.
        before
            Tensors of the parameters before it, each of shape (analyte,); of the log residual sd the relative sd.

        Returns
        -------
        tuple of pytensor.tensor.TensorVariable
            Shapes (analyte,). Their numbers are data of the model, ``name_estimate``, ``name_slope`` and ``name_se``,
            so that one compiled model serves other panels.
        """
        import pymc as pm

        slope = pm.Data(f"{name}_slope", self.slope[:, place, :place])
        terms = (slope[:, j] * value for j, value in enumerate(before[:place]))
        at_no_sd = self.estimate[:, place] + self.slope[:, place, 0] * (self.log_sd - 1)
        estimate = sum(terms, start=pm.Data(f"{name}_estimate", at_no_sd, dims="analyte"))
        return estimate, pm.Data(f"{name}_se", self.error[:, place], dims="analyte") * before[0]


def rough_effects(data: xr.Dataset, *, people: bool = False) -> Rough:
    """Return rough estimates of each analyte's parameters from its own values at baseline.

    Parameters
    ----------
    data
        The prepared data.
    people
        Whether a person's values share a general level. Its deviation from the mean of the person's group is then
        subtracted.

    Returns
    -------
    Rough
        On the log scale, levels from the analyte's centre.
    """
    baseline = data["time_of"].values == 0
    design = np.column_stack([data["group_code"].values[data["group_of"].values[baseline]], np.ones(baseline.sum())])
    lower, upper, analyte = (data[name].values[baseline] for name in ("lower", "upper", "analyte_of"))
    centre = data["centre"].values
    rows = [np.flatnonzero(analyte == a) for a in range(data.sizes["analyte"])]
    crude = np.full((len(rows), 2), np.nan)
    parts = [(lower[r] - centre[a], upper[r] - centre[a], design[r]) for a, r in enumerate(rows)]
    for a, (low, high, x) in enumerate(parts):
        if len(x):
            middle, _ = censored_loss(low, high, x)
            residual = middle - x @ np.linalg.lstsq(x, middle, rcond=None)[0]
            sd = np.sqrt(np.mean(residual**2))
            crude[a] = np.log(sd) if sd > _ROUNDING else np.nan, middle.mean()
    with np.errstate(all="ignore"):
        usual = [np.nanmedian(column) if np.isfinite(column).any() else 0.0 for column in crude.T]
        spread = np.nanstd(crude[:, 1]) if np.isfinite(crude[:, 1]).any() else 0.0
    differences = design.shape[1] - 1
    mean = np.r_[usual[0], np.zeros(differences), usual[1]]
    width = np.r_[_SD_OF_LOG_SD, np.full(differences, _SD_OF_EFFECT), 0.5 + spread]
    parabolas = [_parabola(*part, mean, width) for part in parts]
    if people and baseline.any():
        at = np.stack([mode for _, _, mode in parabolas])
        deviation = _deviations_of_people(data, design, at)
        parts = [(low - deviation[r], high - deviation[r], x) for r, (low, high, x) in zip(rows, parts, strict=True)]
        parabolas = [_parabola(*part, mean, width) for part in parts]
    conditional = [conditionals(precision, natural, mean, width) for precision, natural, _ in parabolas]
    log_sd = np.array([at[0] for _, _, at in parabolas])
    estimate, error, slope = (np.stack(arrays) for arrays in zip(*conditional, strict=True))
    never = np.array([not (low == high).any() for low, high, _ in parts])
    estimate[never, 0], error[never, 0] = 0.0, _NOTHING_KNOWN
    return Rough(estimate, error, slope, log_sd)


def _deviations_of_people(data: xr.Dataset, design: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return for each value at baseline how far the person's general level is from the mean of the person's group.

    By an EM algorithm for a normal random effect of people, with each value beyond a limit at its expectation.

    Parameters
    ----------
    data
        The prepared data.
    design
        Regressors of the values at baseline, shape (value, column).
    at
        Each analyte's log sd, people's levels included, and coefficients, shape (analyte, 1 + column).
    """
    baseline = data["time_of"].values == 0
    lower, upper, analyte, of, group = (
        data[name].values[baseline] for name in ("lower", "upper", "analyte_of", "subject_of", "group_of")
    )
    fitted = data["centre"].values[analyte] + (design * at[analyte, 1:]).sum(axis=1)
    low, high, size = lower - fitted, upper - fitted, data.sizes["subject"]
    detected = low == high
    one_sided = ~detected & (np.isinf(low) | np.isinf(high))
    side = np.where(np.isinf(low), 1.0, -1.0)
    end = np.where(np.isinf(low), high, low)
    middle = np.where(detected | one_sided, end, (low + high) / 2)
    number = np.bincount(analyte[detected], minlength=len(at))
    variance = np.exp(2 * at[:, 0])
    between, level = np.median(variance) / 2, np.zeros(size)
    variance = np.maximum(variance - between, variance / 4)
    for _ in range(_EM_STEPS):
        sd, around = np.sqrt(variance)[analyte], level[of]
        q = side * (middle - around) / sd
        hazard = np.sqrt(2 / np.pi) / special.erfcx(-q / np.sqrt(2))  # density over probability, however far away
        expected = np.where(one_sided, around - side * sd * hazard, middle)
        spread = np.where(one_sided, variance[analyte] * np.maximum(1 - hazard * (q + hazard), 0.0), 0.0)
        # bounded, since otherwise the analyte with the smallest residual would determine people's levels alone
        weight = 1 / np.maximum(variance, np.median(variance) / 2)[analyte]
        precision = np.bincount(of, weight, size) + 1 / between
        level = np.bincount(of, expected * weight, size) / precision
        between = float(np.mean(level**2 + 1 / precision))
        squares = (expected - level[of]) ** 2 + spread + 1 / precision[of]
        update = np.bincount(analyte, squares, len(at)) / np.maximum(np.bincount(analyte, minlength=len(at)), 1)
        variance = np.where(number >= _FEW, np.maximum(update, _ROUNDING**2), variance)
    seen = np.unique(np.column_stack([of, group]), axis=0)
    mean = np.bincount(seen[:, 1], level[seen[:, 0]]) / np.maximum(np.bincount(seen[:, 1]), 1)
    return np.asarray(level[of] - mean[group])


def _parabola(
    lower: np.ndarray, upper: np.ndarray, design: np.ndarray, mean: np.ndarray, width: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, and precision times mean, of the normal that approximates an analyte's likelihood; and the mode."""
    size = len(mean)
    if not len(design):
        return np.zeros((size, size)), np.zeros(size), mean
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
    precision = (vectors * np.maximum(values, 0.0)) @ vectors.T  # no information where the likelihood is convex
    return precision, precision @ at - slope(at)[1], at


def conditionals(
    precision: np.ndarray, natural: np.ndarray, mean: np.ndarray, width: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each parameter's conditional mean and error given those before it, those after it integrated out.

    Parameters
    ----------
    precision, natural
        Precision, and precision times mean, of the normal that approximates the likelihood; shapes (k, k) and (k,).
    mean, width
        Of the weak prior of the parameters that are integrated out, shape (k,).

    Returns
    -------
    tuple of numpy.ndarray
        Estimates where those before are zero, errors, and slopes by those before; shapes (k,), (k,) and (k, k).
    """
    size = len(mean)
    estimate, error, slope = np.zeros(size), np.zeros(size), np.zeros((size, size))
    for j in range(size):
        kept, later = slice(0, j + 1), slice(j + 1, size)
        within = precision[later, later] + np.diag(width[later] ** -2.0)
        across = np.linalg.solve(within, precision[later, kept]).T
        row = (precision[kept, kept] - across @ precision[later, kept])[j]
        linear = (natural[kept] - across @ (natural[later] + mean[later] / width[later] ** 2))[j]
        information = max(row[j], _NOTHING_KNOWN**-2.0)
        estimate[j], error[j], slope[j, :j] = linear / information, information**-0.5, -row[:j] / information
    return estimate, error, slope


def hardly_detected(data: xr.Dataset) -> dict[str, int]:
    """Return the analytes with fewer than five detected values, and how many each has, the fewest first.

    Parameters
    ----------
    data
        A panel.

    Returns
    -------
    dict of str to int
        By analyte.
    """
    detected = np.bincount(data["analyte_of"].values, data["kind"].values == 0, data.sizes["analyte"]).astype(int)
    order = np.argsort(detected, kind="stable")
    return {str(data["analyte"].values[a]): int(detected[a]) for a in order if detected[a] < _FEW}


def rough_changes(data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return each analyte's mean change from baseline over people in whom both values were detected.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    tuple of numpy.ndarray
        Means and their standard errors, shape (analyte, later); 0 and 100 with fewer than three people.
    """
    sizes = tuple(data.sizes[d] for d in ("subject", "analyte", "time"))
    detected = data["kind"].values == 0
    y = np.full(sizes, np.nan)
    y[tuple(data[f"{w}_of"].values[detected] for w in ("subject", "analyte", "time"))] = data["upper"].values[detected]
    change = y[:, :, 1:] - y[:, :, :1]
    number = np.isfinite(change).sum(axis=0)
    with np.errstate(all="ignore"):
        mean = np.nansum(change, axis=0) / number
        error = np.sqrt(np.nansum((change - mean) ** 2, axis=0) / (number - 1) / number)
    is_estimated = (number > 2) & (error > 0)
    return np.where(is_estimated, mean, 0.0), np.where(is_estimated, error, _NOTHING_KNOWN)


def _log_total_sd(log_sd: Tensor, people_sd: Tensor | None) -> Tensor:
    """Log sd of an analyte's values over people: its residual's, and that of people's general level where it is."""
    import pytensor.tensor as pt

    return log_sd if people_sd is None else pt.log(pt.exp(2 * log_sd) + people_sd**2) / 2


def wall_of(
    data: xr.Dataset, log_sd: Tensor, people_sd: Tensor | None, effects: list[Tensor], code: Tensor
) -> Wall | None:
    """Return where the likelihood of never detected analytes' levels falls off, inside a PyMC model context.

    With n values below the limit L, all a standard deviation k below it on average, the log-likelihood
    ``n log Phi(k)`` is -1 near ``k = Phi^-1(1 - 1 / (n + 1))``, and falls by one more over ``Phi(k) / (n phi(k))``.

    Parameters
    ----------
    data
        The prepared data.
    log_sd
        Log residual sds by analyte.
    people_sd
        Standard deviation of people's general level, None without: of a person at random the value lies below the
        limit or does not, whatever the person's level.
    effects
        The groups' differences, one tensor of shape (analyte,) for each comparison.
    code
        The differences' coefficients in each group, a tensor of shape (group, comparison); None without groups.

    Returns
    -------
    Wall
        Of levels from the analytes' centres, by each group's own limits. None where every analyte was detected in
        somebody: such panels are sampled without.
    """
    import pymc as pm
    import pytensor.tensor as pt

    kind, analyte, group = (data[name].values for name in ("kind", "analyte_of", "group_of"))
    number = np.bincount(analyte, minlength=data.sizes["analyte"])
    side = np.zeros(len(number))
    for of_kind, sign in ((1, 1.0), (2, -1.0)):
        side[(np.bincount(analyte[kind == of_kind], minlength=len(number)) == number) & (number > 0)] = sign
    if not side.any():
        return None
    limits = np.full((data.sizes["group"], len(number)), _NO_LIMIT)
    limit = side[analyte] * np.where(kind == 2, data["lower"].values, data["upper"].values)
    hidden = side[analyte] != 0
    np.minimum.at(limits, (group[hidden], analyte[hidden]), limit[hidden])
    limits = np.where(limits < _NO_LIMIT, limits - side * data["centre"].values, limits)
    clear = special.ndtri(1 - 1 / (number + 1))
    reach = special.ndtr(clear) / (np.maximum(number, 1) * np.exp(-(clear**2) / 2) / np.sqrt(2 * np.pi))

    def held(word: str, values: np.ndarray, *dims: str) -> Tensor:
        return pm.Data(f"wall_{word}", values, dims=(*dims, "analyte"))

    sides, sd = held("side", side), pt.exp(_log_total_sd(log_sd, people_sd))
    width = held("reach", reach) * sd
    room = held("limit", limits, "group")
    for k, effect in enumerate(effects):
        room = room - sides * code[:, k, None] * effect
    nearest = -width * pt.logsumexp(-room / width, axis=0)  # of the groups', smoothly
    return Wall(sides, sides * (nearest - held("clear", clear) * sd), width)
