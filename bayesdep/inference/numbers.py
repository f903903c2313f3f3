"""What can be asked of a fit: samplers, and how many draws, tuning draws and chains, which seeds and intervals."""

from typing import Any, Literal

import numpy as np

from bayesdep.data.errors import BadInput

Sampler = Literal["nutpie", "pymc", "exact"]
SAMPLERS: tuple[Sampler, ...] = ("nutpie", "pymc", "exact")
LEAST = {"draws": 4, "tune": 0, "chains": 1, "seed": 0}
MOST = {"draws": 10**8, "tune": 10**8, "chains": 1000, "seed": 2**63 - 1}


def check_numbers(**numbers: Any) -> None:
    """Refuse impossible numbers of draws, tuning draws and chains, and impossible seeds.

    Parameters
    ----------
    **numbers
        ``draws``, ``tune``, ``chains`` or ``seed``.

    Raises
    ------
    BadInput
        Naming the first that is not a whole number in range.

    Examples
    --------
    >>> check_numbers(draws=1)
    Traceback (most recent call last):
    ...
    bayesdep.data.errors.BadInput: draws = 1, but a whole number of at least 4 is needed
    """
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < LEAST[name]:
            raise BadInput(f"{name} = {value!r}, but a whole number of at least {LEAST[name]} is needed")
        if value > MOST[name]:
            shown = int(value) if value < 2**64 else f"a number of {int(value).bit_length()} bits"
            raise BadInput(f"{name} = {shown}, but a whole number of at most {MOST[name]:,} is needed")


def check_least(**numbers: tuple[Any, int]) -> None:
    """Refuse what is no whole number of at least so many; None, where a default stands for it, is none of these.

    Parameters
    ----------
    **numbers
        By name: the number, and the least it may be.

    Raises
    ------
    BadInput
        Naming the first that is not.

    Examples
    --------
    >>> check_least(fits=(1, 2))
    Traceback (most recent call last):
    ...
    bayesdep.data.errors.BadInput: fits = 1, but a whole number of at least 2 is needed
    """
    for name, (value, least) in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise BadInput(f"{name} = {value!r}, but a whole number of at least {least} is needed")


def check_level(level: Any) -> None:
    """Refuse an impossible probability of an interval.

    Parameters
    ----------
    level
        Probability of an interval.

    Raises
    ------
    BadInput
        When it is not a number strictly between 0 and 1.

    Examples
    --------
    >>> check_level(95)
    Traceback (most recent call last):
    ...
    bayesdep.data.errors.BadInput: level = 95, but a probability between 0 and 1 is needed, such as 0.95
    """
    if not isinstance(level, (int, float)) or not 0 < level < 1:
        raise BadInput(f"level = {level!r}, but a probability between 0 and 1 is needed, such as 0.95")
