"""The errors that a user's input can raise, all of a kind at once; suggestions of the right word; Python or TOML."""

import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from types import TracebackType

_LONGEST = 700  # letters of a sentence


class BadInput(ValueError):
    """Input that cannot be analysed as it stands: one sentence saying what, where and the remedy.

    ``faults`` has that sentence, and one for each further fault that was found beside it.

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
        self.faults: tuple[str, ...] = (str(self),)

    def within(self, place: str) -> "BadInput":
        """Return the error with its place before every sentence, such as ``"plan 'x.toml'"``."""
        return self.reworded(lambda sentence: f"{place}: {sentence}")

    def reworded(self, change: Callable[[str], str]) -> "BadInput":
        """Return the error with every sentence changed."""
        other = type(self)(change(str(self)))
        other.faults = tuple(printable(change(fault)) for fault in self.faults)
        return other


class Faults:
    """Finds all that is wrong with several things: each is looked at, although another was refused.

    Examples
    --------
    >>> faults = Faults()
    >>> for word in ("draws", "seed"):
    ...     with faults:
    ...         raise BadInput(f"{word} is missing")
    >>> faults.refuse()
    Traceback (most recent call last):
    ...
    bayesdep.data.errors.BadInput: draws is missing
    >>> [str(one) for one in faults.found]
    ['draws is missing', 'seed is missing']
    """

    def __init__(self) -> None:
        self.found: list[BadInput] = []

    def __enter__(self) -> "Faults":
        return self

    def __exit__(self, kind: object, problem: BaseException | None, trace: TracebackType | None) -> bool:
        if isinstance(problem, BadInput):
            self.found.append(problem.with_traceback(None))
        return isinstance(problem, BadInput)

    def refuse(self) -> None:
        """Raise what was found, if anything: the first error, which has the sentences of all in ``faults``."""
        if self.found:
            first = self.found[0]
            first.faults = tuple(dict.fromkeys(fault for one in self.found for fault in one.faults))
            raise first


_speaker: ContextVar[str] = ContextVar("who is spoken to", default="")
_PLAN = "a plan"
_COMMAND = "the command line"
_OPTIONS = {"arm": "group", "visit": "time", "outcome": "value"}  # bayesdep read has one option for both words


@contextmanager
def speaking_toml() -> Iterator[None]:
    """Let messages inside name keys as a plan writes them, rather than as Python does."""
    before = _speaker.set(_PLAN)
    try:
        yield
    finally:
        _speaker.reset(before)


@contextmanager
def speaking_options() -> Iterator[None]:
    """Let messages inside name settings as options of a command."""
    before = _speaker.set(_COMMAND)
    try:
        yield
    finally:
        _speaker.reset(before)


@contextmanager
def speaking_python(model: object) -> Iterator[None]:
    """Let messages inside name settings as arguments of a model's class; in a plan they stay as a plan writes them."""
    before = _speaker.set(_speaker.get() if _speaker.get() == _PLAN else type(model).__name__)
    try:
        yield
    finally:
        _speaker.reset(before)


def setting(word: str, value: object) -> str:
    """Return how a reader's setting is given: as an argument in Python, as an option at the command line.

    Parameters
    ----------
    word
        Its name.
    value
        Its value; a list stands for an option that is given several times, ``none`` where the list is empty.

    Returns
    -------
    str
        What to write.

    Examples
    --------
    >>> setting("leave_out", ["Std 1", "Std 2"])
    "leave_out = ['Std 1', 'Std 2']"
    >>> with speaking_options():
    ...     print(setting("leave_out", ["Std 1", "Std 2"]), setting("visit", "week"))
    --leave-out 'Std 1' --leave-out 'Std 2' --time week
    """
    if _speaker.get() != _COMMAND:
        return f"{word} = {value!r}"
    option = f"--{_OPTIONS.get(word, word).replace('_', '-')}"
    if isinstance(value, dict):
        return f"{option} with a table of the columns analyte and lod"
    if value is True:
        return option
    values = (value or ["none"]) if isinstance(value, (list, tuple)) else [value]
    return " ".join(f"{option} {shlex.quote(str(one))}" for one in values)


def in_words(*, toml: str, python: str) -> str:
    """Return what to write: in a plan, or in Python, whichever the message is for."""
    return toml if _speaker.get() == _PLAN else python


def truth(value: bool) -> str:
    """Return true or false as it is written: in a plan, or in Python."""
    return in_words(toml=str(value).lower(), python=str(value))


def column_setting(word: str, column: str) -> str:
    """Return how the column that a model reads for a word is named: in a plan, or in Python.

    Parameters
    ----------
    word
        The model's word, such as ``outcome``.
    column
        The table's name for it.

    Returns
    -------
    str
        A clause to follow "write".

    Examples
    --------
    >>> print(column_setting("outcome", "hamd"))
    outcome="hamd" as an argument
    >>> with speaking_toml():
    ...     print(column_setting("outcome", "hamd"))
    [data.columns] outcome = "hamd"
    """
    quoted = '"' + column.replace("\\", "\\\\").replace('"', '\\"') + '"'
    speaker = _speaker.get()
    if speaker == _PLAN:
        return f"[data.columns] {word} = {quoted}"
    return f"bd.{speaker}({word}={quoted})" if speaker else f"{word}={quoted} as an argument"


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
    close = nearest(word, known)
    return "known: " + ", ".join(sorted(known)) if close is None else f"did you mean '{close}'?"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is nearest to one that is not known; None where none is near.

    Parameters
    ----------
    word
        What the user wrote.
    known
        The words that would have been understood.

    Returns
    -------
    str or None
        One of ``known``.

    Examples
    --------
    >>> nearest("HAM_D", ["hamd", "crp"])
    'hamd'
    """
    folded = {k.lower(): k for k in reversed([str(k) for k in known])}
    close = get_close_matches(str(word).lower(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None
