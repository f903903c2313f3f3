"""How large and how small a number may be, so that squares and ratios of squares stay within float64."""

from typing import Any

import numpy as np

LOWEST, LARGEST = 1e-50, 1e50  # (1e50 / 1e-50)**2 = 1e200, where float64 ends at 1.8e308
SIZES = f"{LOWEST:g} to {LARGEST:g}"


def is_workable(values: Any) -> np.ndarray:
    """Tell which numbers can be computed with: zero, or from 1e-50 to 1e50 in size.

    No quantity of medicine, in any unit, lies outside; a number that does is a mistake or a code.

    Parameters
    ----------
    values
        Numbers of any shape; NaN counts as workable, since missing values are refused elsewhere.

    Returns
    -------
    numpy.ndarray
        Booleans of the same shape.

    Examples
    --------
    >>> is_workable([0, -3.5, 1e200, 5e-324, float("nan")]).tolist()
    [True, True, False, False, True]
    """
    size = np.abs(np.asarray(values, dtype=float))
    return np.asarray(np.isnan(size) | (size == 0) | ((size >= LOWEST) & (size <= LARGEST)))
