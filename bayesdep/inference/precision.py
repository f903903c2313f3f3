"""How precisely draws are kept: large arrays are rounded right after sampling, by far less than the Monte Carlo error.

Draws are known to their Monte Carlo error, a thirtieth of a standard deviation for a thousand independent ones. Their
last digits are random, so they cannot be compressed, and would be most of a file.
"""

import math
from collections.abc import Mapping

import numpy as np
import pymc as pm
from pymc.distributions.transforms import ZeroSumTransform
from pymc.logprob.transforms import LogTransform

from bayesdep.numerics.draws import slices_of_draws

MANY = 32  # elements of a parameter beyond which its draws are rounded
BITS_OF_REPLICATES = 17  # five significant digits; whole numbers up to 131,072 are exact
_BITS_PER_SD = 13  # rounding adds less than a part in 10**8 to a variance
_BITS_PER_SD_OF_REPLICATES = 10
_BITS = 53  # of a double
_QUARTILES = 1.349  # sds of a normal between its quartiles


def rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """Round numbers to some binary digits, relative to their size: never across zero.

    Parameters
    ----------
    values
        Numbers, of any shape; those that are not finite stay.
    bits
        How many of the 53 binary digits of a double.

    Returns
    -------
    numpy.ndarray
        Doubles with zeros at their ends, which compress well.

    Examples
    --------
    >>> rounded(np.array([1 / 3, -1e-300, np.inf]), 17)
    array([ 3.33332062e-001, -1.00000017e-300,              inf])
    """
    if bits >= _BITS:
        return values
    values = np.asarray(values, dtype=float)
    result = np.empty(values.shape)
    flat, out = values.reshape(-1), result.reshape(-1)
    for rows in slices_of_draws(len(flat), 1):  # some at a time: each step makes an array
        fraction, exponent = np.frexp(flat[rows])
        out[rows] = np.ldexp(np.rint(np.ldexp(fraction, bits)), exponent - bits)
    return result


def rounded_to_steps(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Round numbers to multiples of powers of two; a number nearer to zero than half a step stays.

    Parameters
    ----------
    values
        Draws first: shape (draws, ...).
    steps
        Powers of two by element, shape (...); where zero, numbers stay.

    Returns
    -------
    numpy.ndarray
        As ``values``. A number moves by half a step at most, and none becomes zero.

    Examples
    --------
    >>> rounded_to_steps(np.array([0.3, -0.7, 0.01, np.nan]), np.array(0.25))
    array([ 0.25, -0.75,  0.01,   nan])
    """
    with np.errstate(all="ignore"):
        result = values / steps
        np.rint(result, out=result)
        result *= steps
    return np.where((result == 0) | (steps == 0), values, result)


def rounded_draws(draws: Mapping[str, np.ndarray], model: pm.Model) -> dict[str, np.ndarray]:
    """Round the draws of parameters with many elements: levels and residuals of people, weights of measurements.

    Parameters that take any value are rounded to multiples of a power of two, so that effects that sum to zero still do
    so. Those above zero are rounded relative to their size. Others, which have ends, are not rounded.

    Parameters
    ----------
    draws
        By parameter, draws first: shape (chain, draw, ...).
    model
        The PyMC model.

    Returns
    -------
    dict of numpy.ndarray
        The same shapes. A rounding error is below 1/8,192 of the standard deviation of the element that is rounded.
    """
    return {name: _rounded(x, _transform_of(name, model)) if is_rounded(name, x, model) else x
            for name, x in draws.items()}  # fmt: skip


def is_rounded(name: str, draws: np.ndarray, model: pm.Model) -> bool:
    """Whether the draws of a parameter, shape (chain, draw, ...), are rounded."""
    if math.prod(draws.shape[2:]) <= MANY or draws.dtype.kind != "f":
        return False
    if name not in {rv.name for rv in model.rvs_to_transforms}:
        return False
    transform = _transform_of(name, model)
    return transform is None or isinstance(transform, LogTransform) or _sums_to_zero(transform)


def rounded_replicates(values: np.ndarray) -> np.ndarray:
    """Round replicates of more than 32 numbers; whole numbers stay.

    Parameters
    ----------
    values
        Of shape (chain, draw, ...), of any type.

    Returns
    -------
    numpy.ndarray
        Numbers with five significant digits or fewer: the error is below 1/1,024 of an element's standard deviation,
        or the sixth digit. Whole numbers up to 131,072 are as they were.
    """
    if values.dtype.kind != "f" or math.prod(values.shape[2:]) <= MANY:
        return values
    return _rounded_per_sd(rounded(values, BITS_OF_REPLICATES), _BITS_PER_SD_OF_REPLICATES, largest=1.0)


def _transform_of(name: str, model: pm.Model) -> object:
    return {rv.name: transform for rv, transform in model.rvs_to_transforms.items()}[name]


def _sums_to_zero(transform: object) -> bool:
    return isinstance(transform, ZeroSumTransform) and transform.zerosum_axes == (-1,)


def _rounded(draws: np.ndarray, transform: object) -> np.ndarray:
    if isinstance(transform, LogTransform):
        return rounded(draws, _needed_bits(draws))
    if not _sums_to_zero(transform):
        return _rounded_per_sd(draws, _BITS_PER_SD)
    flat = draws.reshape(-1, *draws.shape[2:])
    count = flat.shape[-1]
    # the last is less the sum of the others, and its error the sum of theirs
    steps = _steps(flat, _BITS_PER_SD + math.ceil(math.log2(max(1, count - 1)))).min(axis=-1, keepdims=True)
    multiples = np.rint(flat[..., :-1] / np.where(steps > 0, steps, 1.0))
    result = np.concatenate([multiples, -multiples.sum(axis=-1, keepdims=True)], axis=-1) * steps
    return np.where(steps > 0, result, flat).reshape(draws.shape)


def _rounded_per_sd(draws: np.ndarray, bits: int, *, largest: float = np.inf) -> np.ndarray:
    """Round to steps, of which none is larger than a given one, some elements at a time."""
    flat = draws.reshape(math.prod(draws.shape[:2]), -1)
    result = np.empty(flat.shape)
    for some in slices_of_draws(flat.shape[1], len(flat)):
        result[:, some] = rounded_to_steps(flat[:, some], np.minimum(_steps(flat[:, some], bits), largest))
    return result.reshape(draws.shape)


def _steps(flat: np.ndarray, bits: int) -> np.ndarray:
    """Powers of two by element, so that half of one is below a standard deviation times 2^-bits; zero where unknown.

    Where a few draws lie far out, the distance of the quartiles stands for the standard deviation.
    """
    with np.errstate(all="ignore"):
        low, high = np.quantile(flat, [0.25, 0.75], axis=0)
        scale = np.minimum(flat.std(axis=0), (high - low) / _QUARTILES)
        steps = np.exp2(np.floor(np.log2(scale)) - bits + 1)
    return np.where(np.isfinite(steps), steps, 0.0)


def _needed_bits(draws: np.ndarray) -> int:
    flat = draws.reshape(-1, *draws.shape[2:])
    with np.errstate(all="ignore"):
        sd, size = flat.std(axis=0), np.abs(flat).max(axis=0)
        ratio = float(np.max(size / sd))
    return _BITS if not np.isfinite(ratio) else min(_BITS, _BITS_PER_SD + math.ceil(math.log2(max(ratio, 1.0))))
