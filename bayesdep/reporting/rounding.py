"""Numbers as readers get them: two significant digits of an interval's width, none finer than the Monte Carlo error."""

import numpy as np

MINUS = "\N{MINUS SIGN}"


def decimals(lower: float, upper: float, error: float) -> int:
    """Return how many decimals an interval deserves: two significant digits of its width, none below its error.

    Parameters
    ----------
    lower, upper
        The interval's ends.
    error
        Its Monte Carlo error; 0 if it is known exactly.

    Returns
    -------
    int
        Between 0 and 6.

    Examples
    --------
    >>> decimals(-3.81, 0.62, 0.03), decimals(-3.81, 0.62, 0.3), decimals(0.981, 1.024, 0.0)
    (1, 0, 3)
    """
    width = abs(upper - lower)
    if not np.isfinite(width) or width == 0:
        return 2
    digits = 1 - np.floor(np.log10(width))
    if error > 0:
        digits = min(digits, np.floor(-np.log10(error / 2)))
    return int(np.clip(digits, 0, 6))


def number(value: float, digits: int) -> str:
    """Write a number with a true minus sign, and no minus before zero.

    Parameters
    ----------
    value
        Any number.
    digits
        Decimals.

    Returns
    -------
    str
        Large numbers in powers of ten.

    Examples
    --------
    >>> number(-3.84, 1), number(-0.001, 2), number(float("inf"), 1)
    ('−3.8', '0.00', '∞')
    """
    if np.isinf(value):
        return MINUS * (value < 0) + "\N{INFINITY}"
    text = f"{abs(value):.{digits}f}" if abs(value) < 1e6 else f"{abs(value):.3g}"
    return (MINUS if value < 0 and float(text) != 0 else "") + text


def probability(p: float, size: float) -> str:
    """Write a probability with two decimals, three near 0 and 1, and fewer where the draws are few.

    Parameters
    ----------
    p
        The probability.
    size
        The number of independent draws that it was counted in.

    Returns
    -------
    str
        ``"above 0.999"`` rather than 1.

    Examples
    --------
    >>> probability(0.934, 2000), probability(0.9987, 1e6), probability(1.0, 2000), probability(0.4, 20)
    ('0.93', '0.999', 'above 0.99', '0.4')
    """
    # of no draw on one side it is known only that they are fewer than three in `size` (with probability 0.95)
    worth = 0.0 if not np.isfinite(size) else np.sqrt(p * (1 - p) / size) if 0 < p < 1 else 3 / size
    digits = 3 if min(p, 1 - p) < 0.01 else 2
    if worth > 0:
        digits = int(np.clip(np.floor(-np.log10(worth)), 1, digits))
    text = f"{p:.{digits}f}"
    least = 10.0**-digits
    if float(text) >= 1:
        return f"above {1 - least:.{digits}f}"
    return f"below {least:.{digits}f}" if float(text) <= 0 else text
