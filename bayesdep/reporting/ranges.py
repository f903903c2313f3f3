"""Axis limits, bins and rows of figures for any numbers: all equal, equal up to rounding, infinite, too many."""

import numpy as np

_ROUNDING = 1e-9  # relative to the largest number: closer ones differ only by rounding
_VALUES = 40  # up to this many distinct values may have one bin each
_MOST_BINS = 60  # of one value each
_BINS = 45  # bins otherwise
_LARGEST = 1e300  # beyond this, differences overflow
MOST_ROWS = 100  # of a figure with a row per unit: two feet high
MOST_PANELS = 12  # of a figure with a panel per comparison


def finite(values: np.ndarray) -> np.ndarray:
    """Return the finite numbers, which an axis can show.

    Parameters
    ----------
    values
        Any shape.

    Returns
    -------
    numpy.ndarray
        Shape (n,), without infinite and missing ones.
    """
    flat = np.asarray(values, dtype=float).ravel()
    return flat[np.abs(flat) < _LARGEST]  # false where unknown


def distinct(values: np.ndarray) -> np.ndarray:
    """Return the distinct finite numbers among values, ascending; numbers that differ by rounding count as one.

    Parameters
    ----------
    values
        Any shape.

    Returns
    -------
    numpy.ndarray
        Shape (n,), each at least a billionth of the largest away from the next.

    Examples
    --------
    >>> distinct(np.array([0.1 + 0.2, 0.3, 0.5, np.inf]))
    array([0.3, 0.5])
    """
    ascending = np.unique(finite(values))
    if len(ascending) < 2:
        return ascending
    apart = np.diff(ascending) > _ROUNDING * np.abs(ascending[[0, -1]]).max()
    return ascending[np.concatenate([[True], apart])]


def limits(*values: np.ndarray | float, room: float = 0.0) -> tuple[float, float]:
    """Return limits of an axis that contains all finite numbers.

    Parameters
    ----------
    *values
        Numbers and arrays of any shape.
    room
        Margin at either end, as a share of their range.

    Returns
    -------
    tuple of float
        The lower and the upper limit, which differ even if all numbers are equal or there are none.

    Examples
    --------
    >>> limits(3.0, np.array([np.inf])), limits(0.0, 1.0, room=0.5)
    ((2.5, 3.5), (-0.5, 1.5))
    """
    numbers = distinct(np.concatenate([np.ravel(v) for v in values]))
    if len(numbers) < 2:
        middle = numbers[0] if len(numbers) else 0.0
        half = max(0.5, 0.01 * abs(middle))
        return float(middle - half), float(middle + half)
    more = room * (numbers[-1] - numbers[0])
    return float(numbers[0] - more), float(numbers[-1] + more)


def bins_of(values: np.ndarray, *others: float) -> np.ndarray:
    """Return the edges of a histogram's bins.

    A few evenly spaced values, such as counts or shares of few people, have one bin each, with the value in its middle;
    otherwise there are 45 bins of equal width. The most extreme thousandth at either end may lie outside.

    Parameters
    ----------
    values
        The values to be counted, any shape.
    *others
        Numbers that the bins must include.

    Returns
    -------
    numpy.ndarray
        Ascending, equally spaced, between 2 and 62.

    Examples
    --------
    >>> bins_of(np.array([1 / 6, 4 / 6, 1 / 6 + 1e-17]))[:2].round(3).tolist()
    [-0.083, 0.417]
    """
    numbers = finite(values)
    inner = np.quantile(numbers, [0.002, 0.998]) if len(numbers) else numbers
    low, high = limits(*inner, *others)
    levels = distinct(numbers)
    step = float(np.diff(levels).min()) if len(levels) > 1 else 1.0
    if 0 < len(levels) <= _VALUES and step > _ROUNDING * np.abs(levels).max():
        reached = distinct(np.concatenate([levels, finite(np.array(others))]))
        before, after = (np.rint(np.abs(reached[k] - levels[k]) / step) for k in (0, -1))  # the data may lie outside
        count = np.rint((levels[-1] - levels[0]) / step) + before + after + 1
        if count <= _MOST_BINS:
            return np.asarray(levels[0] - (before + 0.5) * step + step * np.arange(int(count) + 1))
    more = 0.02 * (high - low)
    return np.linspace(low - more, high + more, _BINS)


def shown_of(count: int, most: int = MOST_ROWS) -> np.ndarray:
    """Choose the rows of an ordered table to show: all, or equally many from both ends.

    Parameters
    ----------
    count
        How many rows there are.
    most
        How many can be shown.

    Returns
    -------
    numpy.ndarray
        Which to show, ascending.

    Examples
    --------
    >>> shown_of(3), shown_of(10, most=4)
    (array([0, 1, 2]), array([0, 1, 8, 9]))
    """
    if count <= most:
        return np.arange(count)
    return np.concatenate([np.arange(most - most // 2), np.arange(count - most // 2, count)])
