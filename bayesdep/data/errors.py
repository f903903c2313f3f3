"""The errors that a user's input can raise, and suggestions of the right word."""

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 700  # letters of a sentence


class BadInput(ValueError):
    """Input that cannot be analysed as it stands: one sentence saying what, where and the remedy.

    Examples
    --------
    >>> import bayesdep as bd
    >>> try:
    ...     bd.Counts(control="placebo", pooling="half")
    ... except bd.BadInput as refusal:
    ...     print(refusal)
    pooling = 'half' is not a choice; known: complete, none, partial
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))  # a quoted cell or label may hold anything


class CannotCompare(BadInput):
    """Fits that are valid one by one, but whose scores are of different outcomes, so that a ranking has no meaning.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> tables = {"all": schools, "without A": schools.query("school != 'A'")}
    >>> fits = {name: bd.fit(model, table, draws=100, seed=1) for name, table in tables.items()}
    >>> try:
    ...     bd.compare(fits)
    ... except bd.CannotCompare as refusal:
    ...     print(refusal)
    all and without A cannot be compared: they saw different rows of 'effect'; fit both to the same table
    """


class NotConverged(BadInput):
    """A fit that failed its convergence check (gate), where only one that passed can be used.

    Examples
    --------
    >>> import bayesdep as bd
    >>> visits = bd.simulate("raison2013", seed=1).table.query("week in [6, 12]")  # synthetic
    >>> columns = {"outcome": "hamd", "baseline": "hamd_baseline", "visit": "week", "day": "day"}
    >>> model = bd.Trial(reference="placebo", covariance="ar1", units="HAM-D points", **columns)
    >>> fit = bd.fit(model, visits, draws=20, tune=20, chains=2, seed=1)  # too few
    >>> try:
    ...     bd.as_study(fit, "Raison 2013")
    ... except bd.NotConverged as refusal:
    ...     print(refusal)
    this fit cannot enter a meta-analysis: FAILED THE GATE, do not use these numbers: ...
    """


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
