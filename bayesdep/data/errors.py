"""The errors that a user's input can raise, and suggestions of the right word."""

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 700  # letters of a sentence


class BadInput(ValueError):
    """Input that cannot be analysed as it stands: one sentence saying what, where and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))  # a quoted cell or label may hold anything


class CannotCompare(BadInput):
    """Fits that are valid one by one, but whose scores are of different outcomes, so that a ranking has no meaning."""


class NotConverged(BadInput):
    """A fit that failed its convergence check (gate), where only one that passed can be used."""


def printable(text: str) -> str:
    r"""Return text as one line that a terminal can show safely, whatever is quoted in it.

    Parameters
    ----------
    text
        A sentence.

    Returns
    -------
    str
        The sentence: line breaks as spaces, control characters and marks of writing direction as escapes, and,
        if it is long, without its middle: the problem stands at the beginning and the remedy at the end.

    Examples
    --------
    >>> print(printable("column '\x1b[31m' is not in the table"))
    column '\x1b[31m' is not in the table
    >>> len(printable("x" * 100_000))
    700
    """
    if len(text) > _LONGEST:
        half = (_LONGEST - len(" ... ")) // 2
        text = f"{text[: half + 1]} ... {text[-half:]}"
    text = " ".join(text.splitlines())
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return what to append to a message about an unknown word: the nearest known word, or all of them.

    Parameters
    ----------
    word
        What the user wrote.
    known
        The words that would have been understood.

    Returns
    -------
    str
        A clause to follow the statement that ``word`` is unknown.

    Examples
    --------
    >>> did_you_mean("famly", ["family", "covariance"])
    "did you mean 'family'?"
    >>> did_you_mean("zzz", ["family", "covariance"])
    'known: covariance, family'
    """
    known = [str(k) for k in known]
    folded = {k.lower(): k for k in reversed(known)}
    close = get_close_matches(str(word).lower(), folded, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{folded[close[0]]}'?"
    return "known: " + ", ".join(sorted(known))
