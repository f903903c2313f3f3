"""Log probabilities of values known only to lie below, above or between limits, accurate in both tails.

Standardised values of 40 and more happen while a sampler adapts, and an interval can be as narrow as the rounding of a
plate reader, so every function here is finite, with a finite gradient, at any argument.
"""

from typing import Any

import numpy as np
from scipy import special

from bayesdep.numerics.normal import log_standard_normal
from bayesdep.numerics.types import Tensor

_LEAST_TAIL = 1e-9  # reached at z = -4e8, where log t is less than the last digit of z^2 / 2
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


def log_normal_cdf(z: Tensor) -> Tensor:
    """Return the log of the standard normal distribution function.

    With t = erfcx(abs(z) / sqrt 2) / 2, the scaled lower tail, it is ``log(1 + (t - 1)) - z^2 / 2`` below zero and
    ``log(1 - t exp(-z^2 / 2))`` above: neither cancels (Cody 1969, doi:10.1090/S0025-5718-1969-0247736-4, for erfcx).
    Both are one ``log1p``, since a branch of a tensor's ``switch`` costs its time whether it is chosen or not.

    Parameters
    ----------
    z
        Tensor of standardised values.

    Returns
    -------
    pytensor.tensor.TensorVariable
        log P(Z <= z), elementwise.

    Examples
    --------
    >>> import pytensor.tensor as pt
    >>> round(float(log_normal_cdf(pt.constant(-40.0)).eval()), 6)
    -804.608442
    """
    import pytensor.tensor as pt

    size = pt.switch(z < 0, -z, z)  # the gradient of abs() would be 0 at 0
    tail = pt.erfcx(size / np.sqrt(2)) / 2
    exponent = -(z**2) / 2
    below = pt.maximum(tail, _LEAST_TAIL) - 1
    return pt.log1p(pt.switch(z < 0, below, -tail * pt.exp(exponent))) + pt.switch(z < 0, exponent, 0.0)


def log_normal_interval(middle: Tensor, half_width: Tensor) -> Tensor:
    """Return the log of the standard normal mass within a half-width of a middle.

    A wide interval is a difference of tails, taken on the side where both are small. For a narrow one that
    difference would cancel; there the density at the middle is integrated by Gauss-Legendre quadrature instead.

    Parameters
    ----------
    middle
        Tensor of standardised middles.
    half_width
        Tensor of standardised half-widths, above zero.

    Returns
    -------
    pytensor.tensor.TensorVariable
        log P(middle - half_width < Z < middle + half_width), elementwise.

    Examples
    --------
    >>> import pytensor.tensor as pt
    >>> float(np.exp(log_normal_interval(pt.constant(0.0), pt.constant(1.96)).eval())).__round__(4)
    0.95
    """
    import pytensor.tensor as pt

    distance = pt.abs(middle)  # the distribution is symmetric: the interval is taken on the left
    is_narrow = (half_width * pt.maximum(distance, 1.0)) < 0.5
    # each branch sees harmless numbers where the other one is chosen, so that gradients stay finite
    wide = pt.switch(is_narrow, 1.0, half_width)
    left = pt.switch(is_narrow, 1.0, distance)
    upper = log_normal_cdf(wide - left)
    difference = upper + pt.log1mexp(log_normal_cdf(-wide - left) - upper)
    narrow = pt.switch(is_narrow, half_width, 0.1)
    centre = pt.switch(is_narrow, distance, 0.0)
    # relative to the density at the middle: between exp(-1) and exp(1), so the sum can neither over- nor underflow
    total = sum(
        weight * pt.exp((centre**2 - (centre + narrow * node) ** 2) / 2)
        for node, weight in zip(_NODES, _WEIGHTS, strict=True)
    )
    at_centre = log_standard_normal(centre)
    return pt.switch(is_narrow, at_centre + pt.log(narrow) + pt.log(total), difference)


def quantile_inside(share: Any, mean: Any, sd: Any, lower: Any, upper: Any) -> np.ndarray:
    """Return quantiles of a normal distribution cut to an interval.

    By the distribution function, on the side of the mean where it does not cancel.

    Parameters
    ----------
    share
        Probability below, given the interval.
    mean, sd
        Of the normal.
    lower, upper
        Ends of the interval, either of which may be infinite.

    Returns
    -------
    numpy.ndarray
        As all of them are broadcast.

    Examples
    --------
    >>> [round(float(quantile_inside(0.5, 0.0, 1.0, *ends)), 4) for ends in ((-np.inf, 0.0), (30.0, np.inf))]
    [-0.6745, 30.0231]
    """
    a, b = (lower - mean) / sd, (upper - mean) / sd
    flipped = a > 0
    flip = np.where(flipped, -1.0, 1.0)
    a, b = np.where(flipped, -b, a), np.where(flipped, -a, b)
    share = np.where(flipped, 1 - np.asarray(share), share)
    from_a, to_b = special.log_ndtr(a), special.log_ndtr(b)
    log_p = to_b + np.log(share + (1 - share) * np.exp(from_a - to_b))
    return np.asarray(mean + sd * flip * special.ndtri_exp(np.minimum(log_p, -1e-300)))
