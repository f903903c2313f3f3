"""The one error a user's input can raise, and how it suggests the right word."""

from collections.abc import Iterable
from difflib import get_close_matches


class BadInput(ValueError):
    """Input that cannot be analysed as it stands: one sentence saying what, where and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))  # a quoted cell or label may hold line breaks


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
