"""Parsing of TOML text that may be hostile (oversized and deeply nested texts are refused), and display of values."""

import re
import tomllib
from typing import Any

from bayesdep.data.errors import BadInput

LARGEST = 2**20  # bytes of a file; plans of a large study have a few thousand
_DEEPEST = 20
_INTEGERS = range(-(2**63), 2**63)  # range of whole numbers in TOML
# A dotted key of more parts than that, quoted or not. Possessive quantifiers prevent catastrophic backtracking.
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_DEEP_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{_DEEPEST}}}")


def read_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Parameters
    ----------
    text
        The text.

    Returns
    -------
    dict
        Its values; whole numbers have at most 64 bits.

    Raises
    ------
    BadInput
        When it is not TOML, is nested more than 20 deep, or holds a number of more than 64 bits.

    Examples
    --------
    >>> read_toml("draws = 1000")
    {'draws': 1000}
    >>> read_toml("draws = " + "[" * 5000)
    Traceback (most recent call last):
    ...
    bayesdep.data.errors.BadInput: it is not TOML: arrays or tables are nested more than 20 deep; ...
    """
    flatter = BadInput(f"it is not TOML: arrays or tables are nested more than {_DEEPEST} deep; write it flatter")
    if len(text) > LARGEST:
        raise BadInput(f"it has {len(text):,} characters, and {LARGEST:,} are the most; split it")
    if _DEEP_KEY.search(text):
        raise flatter
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise BadInput(f"it is not TOML: {problem}; correct that line") from None
    except RecursionError:
        raise flatter from None
    except ValueError as problem:  # an impossible date, or a number of thousands of digits
        raise BadInput(f"it is not TOML: a value is impossible ({str(problem).split(';')[0]}); correct it") from None
    level: list[Any] = [values]
    for _ in range(_DEEPEST):
        level = [one for table in level for one in (table.values() if isinstance(table, dict) else table)]
        for one in level:
            if isinstance(one, int) and one not in _INTEGERS:
                raise BadInput(f"it holds a whole number of {one.bit_length()} bits, and 64 are the most; shorten it")
        level = [one for one in level if isinstance(one, (dict, list))]
    if level:
        raise flatter
    return values


def shown(value: Any) -> str:
    """Show a value in a message as it stands in a plan.

    Parameters
    ----------
    value
        A value that :func:`read_toml` returned.

    Returns
    -------
    str
        The value; of a table or an array only that it is one.

    Examples
    --------
    >>> shown(True), shown("placebo"), shown(0.5), shown([1, 2])
    ('true', "'placebo'", '0.5', 'an array')
    """
    if isinstance(value, (dict, list)):
        return "a table" if isinstance(value, dict) else "an array"
    return str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)
