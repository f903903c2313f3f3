"""Censored normal regression of one analyte by maximum likelihood: without the data of other analytes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from bayesdep.numerics.normal import log_standard_normal

_LEAST_INFORMATION = 1e-6  # share of what detected values would carry, along the least certain direction


@dataclass(frozen=True)
class Tobit:
    """A maximum-likelihood fit.

    Parameters
    ----------
    coefficients, errors
        Coefficients and their standard errors from the observed information, shape (columns,).
    sd
        Residual standard deviation.
    log_sd_error
        Standard error of its log.
    log_likelihood
        At the maximum.
    converged
        Whether a maximum was found: with no detected value, or only one group's, there may be none.
    """

    coefficients: np.ndarray
    errors: np.ndarray
    sd: float
    log_sd_error: float
    log_likelihood: float
    converged: bool


def censored_loss(
    lower: np.ndarray, upper: np.ndarray, design: np.ndarray
) -> tuple[np.ndarray, Callable[[np.ndarray], tuple[float, np.ndarray]]]:
    """Return a number for each interval, and minus the log-likelihood of a censored linear regression.

    Parameters
    ----------
    lower, upper, design
        As :func:`tobit` takes them.

    Returns
    -------
    tuple of numpy.ndarray and callable
        The detected value, the limit, or the middle of two, shape (rows,); and the function, with its gradient, of the
        coefficients and the log residual sd.
    """
    detected = lower == upper
    middle = np.where(detected, upper, np.where(np.isfinite(lower), lower, upper))
    both = np.isfinite(lower) & np.isfinite(upper) & ~detected
    middle = np.where(both, (lower + upper) / 2, middle)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        beta, log_sd = parameters[:-1], parameters[-1]
        sd, eta = np.exp(log_sd), design @ beta
        z = (middle - eta) / sd
        value = np.where(detected, log_standard_normal(z) - log_sd, 0.0)
        by_eta = np.where(detected, z / sd, 0.0)  # d log-likelihood / d eta
        by_log_sd = np.where(detected, z**2 - 1, 0.0)
        for side, end in ((1.0, upper), (-1.0, lower)):
            open_ended = np.isfinite(end) & ~detected & ~both & (np.isfinite(upper) if side > 0 else np.isfinite(lower))
            q = side * z[open_ended]
            value[open_ended] = special.log_ndtr(q)
            hazard = np.sqrt(2 / np.pi) / special.erfcx(-q / np.sqrt(2))  # density over probability, however far away
            by_eta[open_ended] = -side * hazard / sd
            by_log_sd[open_ended] = -hazard * q
        if both.any():
            a, b = (lower[both] - eta[both]) / sd, (upper[both] - eta[both]) / sd
            flip = a + b > 0  # taken on the side where both tails are small
            a, b = np.where(flip, -b, a), np.where(flip, -a, b)
            mass = np.maximum(special.ndtr(b) - special.ndtr(a), 1e-300)
            density = [np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) for x in (a, b)]
            value[both] = np.log(mass)
            by_eta[both] = np.where(flip, -1, 1) * (density[0] - density[1]) / mass / sd
            by_log_sd[both] = (a * density[0] - b * density[1]) / mass
        return -value.sum(), -np.append(design.T @ by_eta, by_log_sd.sum())

    return middle, loss


def tobit(lower: np.ndarray, upper: np.ndarray, design: np.ndarray) -> Tobit:
    """Fit a linear regression to intervals by maximum likelihood (Tobin 1958, doi:10.2307/1907382).

    Parameters
    ----------
    lower, upper
        Ends of each interval, equal where the value was detected, infinite where it is open; shape (rows,).
    design
        Regressors, shape (rows, columns), full rank.

    Returns
    -------
    Tobit
        Estimates and standard errors.

    Examples
    --------
    >>> y = np.array([1.0, 2.0, 3.0])
    >>> tobit(y, y, np.ones((3, 1))).coefficients.round(6)
    array([2.])
    """
    middle, loss = censored_loss(lower, upper, design)
    start = np.linalg.lstsq(design, middle, rcond=None)[0]
    spread = max(float(np.std(middle - design @ start)), 0.1)
    optimum = optimize.minimize(loss, np.append(start, np.log(spread)), jac=True, method="BFGS", options={"gtol": 1e-7})
    at, step = optimum.x, 1e-5
    size = len(at)
    hessian = np.empty((size, size))
    for i in range(size):
        shift = np.zeros(size)
        shift[i] = step
        hessian[i] = (loss(at + shift)[1] - loss(at - shift)[1]) / (2 * step)
    hessian = (hessian + hessian.T) / 2
    # Where a group is never detected the likelihood has no maximum but rises ever more slowly: its information is next
    # to nothing beside that of as many detected values.
    full = np.zeros((size, size))
    full[:-1, :-1], full[-1, -1] = design.T @ design / np.exp(2 * at[-1]), 2 * len(design)
    scale = np.sqrt(np.diag(full))
    scaled = hessian / np.outer(scale, scale)
    is_maximum = bool(np.isfinite(scaled).all() and np.linalg.eigvalsh(scaled)[0] > _LEAST_INFORMATION)
    errors = np.sqrt(np.diag(np.linalg.inv(hessian))) if is_maximum else np.full(size, np.nan)
    settled = bool(is_maximum and np.abs(loss(at)[1]).max() < 1e-3)
    return Tobit(at[:-1], errors[:-1], float(np.exp(at[-1])), float(errors[-1]), -float(optimum.fun), settled)
