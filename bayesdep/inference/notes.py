"""One line on standard error, once in a process, that says that a slower way is taken."""

import sys
from functools import cache


@cache
def say_once(line: str) -> None:
    """Print a line on standard error, the first time that it is said.

    Parameters
    ----------
    line
        What is done instead, and why.
    """
    print(f"note: {line}", file=sys.stderr)


def say_slower(what: str, problem: Exception) -> None:
    """Say that something is done in a slower way.

    Parameters
    ----------
    what
        What is done instead.
    problem
        Why.
    """
    say_once(f"{what}: {str(problem).splitlines()[0]}")
