"""How many decimals a number is printed with: no more than its interval needs, and none that another seed would change.

The last decimal printed is the finest of which one unit is at least the Monte Carlo standard error of every number
printed with it, and with which the interval's width has at most two significant digits. An end of an interval that
would be printed as no effect, though it is not, has more decimals, as far as its Monte Carlo error allows.
"""

from collections.abc import Sequence

import numpy as np

MOST_DECIMALS = 6
MINUS = "\N{MINUS SIGN}"


def decimals(lower: float, upper: float, *errors: float) -> int:
    """Return the number of decimals of an estimate and its interval.

    Parameters
    ----------
    lower, upper
        Ends of the interval.
    *errors
        Monte Carlo standard errors of what is printed; 0 or NaN where it is known exactly.

    Returns
    -------
    int
        At least 0 and at most 6.

    Examples
    --------
    >>> decimals(-3.81, 0.62), decimals(-3.81, 0.62, 0.09), decimals(-3.81, 0.62, 0.2)
    (1, 1, 0)
    """
    width = abs(upper - lower)
    of_width = 2 if not np.isfinite(width) or width == 0 else 1 - np.floor(np.log10(width))
    return int(np.clip(min(of_width, *(decimals_of_error(error) for error in errors), MOST_DECIMALS), 0, None))


def decimals_of_each(numbers: Sequence[float], errors: Sequence[float], null: float = np.nan) -> list[int]:
    """Return the decimals of a median and its interval, for which one number may be too coarse or too fine.

    Where all are above zero and the ends differ tenfold or more (a concentration), each has two significant digits of
    its own, or fewer; so it is with ratios (whose value of no effect is 1), which have at least the decimals that the
    interval's width asks for, an upper end that is no finer than the lower, and a median that is no finer than both.
    Otherwise all have the same decimals.

    Parameters
    ----------
    numbers
        The median and the ends of its interval.
    errors
        Monte Carlo standard error of each; 0 or NaN where it is known exactly.
    null
        The value of no effect, which no end of the interval is rounded to if that can be helped; NaN where there is
        none.

    Returns
    -------
    list of int
        For each number.

    Examples
    --------
    >>> decimals_of_each([1.5, -3.8, 0.6], [0.0, 0.0, 0.0]), decimals_of_each([3.1, 0.32, 97.0], [0.01, 0.02, 5.0])
    ([1, 1, 1], [1, 1, 0])
    >>> decimals_of_each([1.1, -0.03, 2.4], [0.0, 0.0, 0.0], null=0.0)
    [1, 2, 1]
    >>> decimals_of_each([0.7, 0.3, 2.4], [0.01, 0.01, 0.1], null=1.0)
    [2, 2, 1]
    >>> decimals_of_each([1.06, 0.68, 1.54], [0.01, 0.02, 0.01], null=1.0)
    [1, 1, 1]
    """
    _, lower, upper = numbers
    together = decimals(lower, upper, *errors)
    found = [together] * len(numbers)
    is_wide = 0 < 10 * lower <= upper < np.inf
    if is_wide or (null == 1 and 0 < lower <= upper < np.inf):
        least = 0 if is_wide else decimals(lower, upper)
        found = [_of_its_own(x, e, least, together) for x, e in zip(numbers, errors, strict=True)]
        found[2] = min(found[2], found[1])  # not finer than the smaller number
        found[0] = found[0] if is_wide else min(found[0], max(found[1:]))  # not finer than both ends
    return [found[0], *(_beside(null, x, d, e) for x, d, e in zip(numbers[1:], found[1:], errors[1:], strict=True))]


def _of_its_own(value: float, error: float, least: int, together: int) -> int:
    """The decimals of a number above zero with two significant digits of its own; if that prints 0, those of all."""
    digits = int(min(max(1 - np.floor(np.log10(value)), least), decimals_of_error(error), MOST_DECIMALS))
    return max(digits, 0) if round(value, max(digits, 0)) > 0 else together


def _beside(null: float, end: float, digits: int, error: float) -> int:
    """The decimals with which an end is not printed as no effect, as far as its error allows; else those it has."""
    if end == null or not np.isfinite(end) or round(end, digits) != null:
        return digits
    more = range(digits + 1, decimals_of_error(error) + 1)
    return next((d for d in more if round(end, d) != null), digits)


def decimals_of_error(error: float) -> int:
    """Return the most decimals for which one unit of the last is at least an error.

    Parameters
    ----------
    error
        A Monte Carlo standard error; 0 or NaN where there is none.

    Returns
    -------
    int
        At least 0 and at most 6.

    Examples
    --------
    >>> decimals_of_error(0.004), decimals_of_error(0.01), decimals_of_error(0.0)
    (2, 2, 6)
    """
    if not np.isfinite(error) or error <= 0:
        return MOST_DECIMALS
    return int(np.clip(np.floor(-np.log10(error) + 1e-9), 0, MOST_DECIMALS))


def as_text(value: float, digits: int) -> str:
    """Return a number with so many decimals, a large one with three significant digits.

    Examples
    --------
    >>> as_text(-0.04, 1), as_text(2.5e8, 1)
    ('0.0', '2.5e+08')
    """
    if not np.isfinite(value) or abs(value) >= 1e6:
        return f"{value:.3g}".replace("inf", "∞")
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def number(value: float, digits: int) -> str:
    """Return a number as :func:`as_text` does, with a true minus sign, for prose, tables and figures.

    Examples
    --------
    >>> number(-3.84, 1), number(-0.001, 2), number(float("-inf"), 1)
    ('−3.8', '0.00', '−∞')
    """
    return as_text(value, digits).replace("-", MINUS)


def probability_as_text(p: float, error: float) -> str:
    """Return a probability with one to three decimals, as its Monte Carlo error allows.

    Parameters
    ----------
    p
        The probability.
    error
        Its Monte Carlo standard error; 0 where it is known exactly.

    Returns
    -------
    str
        ``"> 0.99"`` where it would be printed as 1, ``"< 0.01"`` where it would be printed as 0.

    Examples
    --------
    >>> probability_as_text(0.9312, 0.004), probability_as_text(0.9999, 0.0), probability_as_text(1.0, 0.005)
    ('0.93', '> 0.999', '> 0.99')
    """
    digits = min(max(decimals_of_error(error), 1), 3)
    least = 10.0**-digits
    if p > 1 - least:
        return f"> {1 - least:.{digits}f}"
    return f"< {least:.{digits}f}" if p < least else f"{p:.{digits}f}"


def probability_in_words(p: float, size: float) -> str:
    """Return a probability as a sentence has it.

    Parameters
    ----------
    p
        The probability.
    size
        The number of independent draws that it was counted in; infinite where it is known exactly. Where all draws
        agree, the error is that of three in this number (the rule of three).

    Returns
    -------
    str
        ``"above 0.999"`` rather than 1.

    Examples
    --------
    >>> probability_in_words(0.934, 2000), probability_in_words(0.9987, 1e6), probability_in_words(1.0, 2000)
    ('0.93', '0.999', 'above 0.99')
    """
    error = max(np.sqrt(p * (1 - p) / size), 3 / size)
    return probability_as_text(p, error).replace("> ", "above ").replace("< ", "below ")
