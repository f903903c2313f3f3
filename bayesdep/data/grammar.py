"""The tokens of the small languages of plans: words, numbers and signs, each with its position in the text.

A plan contains data, not code. Its formulas of covariates and its conditions on rows are read only by this module and
the grammars built on it; no text of a plan is ever evaluated as Python.

::

    name    := word | "`" anything but a backtick "`"
    word    := letter {letter | digit | "_" | "."}
    number  := digits ["." [digits]] ["e" ["+" | "-"] digits] | "." digits ...
    text    := "'" anything but this quote "'" | '"' anything but this quote '"'
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NoReturn

from bayesdep.data.errors import BadInput

LONGEST = 10_000  # characters of a text in a small language
DEEPEST = 40  # nested parentheses
_SHOWN = 80  # characters of it that a message quotes

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<quoted>`[^`]+`)
    | (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<word>[^\W\d][\w.]*)
    | (?P<text>'[^']*'|"[^"]*")
    | (?P<sign>\*\*|==|!=|<=|>=|[-+*/^:()\[\],=|<>~])
    | (?P<end>$)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    """A token of a text.

    Parameters
    ----------
    kind
        What it is.
    value
        Its text, without backticks or quotes.
    at
        Where it begins; the first character of the text is 1.
    """

    kind: Literal["quoted", "number", "word", "text", "sign", "end"]
    value: str
    at: int

    @property
    def is_name(self) -> bool:
        """Whether it names a column or a function."""
        return self.kind in ("word", "quoted")

    @property
    def shown(self) -> str:
        """How messages show it."""
        return "the end" if self.kind == "end" else f"'{shorten(self.value, 30)}'"


class Reader:
    """Reads a text token by token.

    Parameters
    ----------
    text
        What the user wrote.
    place
        Where it stands, as the first words of a message: ``"covariates = 'age +'"``.
    remedy
        A clause that ends the message.

    Raises
    ------
    BadInput
        When the text is too long, or has a character with which no token begins.

    Examples
    --------
    >>> reader = Reader("age + `body mass`", "covariates", "write it as in 'age + sex'")
    >>> [token.value for token in reader.tokens]
    ['age', '+', 'body mass', '']
    """

    def __init__(self, text: str, place: str, remedy: str) -> None:
        self.place, self.remedy = place, remedy
        if len(text) > LONGEST:
            raise BadInput(
                f"{place} is {len(text)} characters long; at most {LONGEST} are read, so write a shorter one"
            )
        self.tokens: list[Token] = []
        end = 0
        while not self.tokens or self.tokens[-1].kind != "end":
            token = _TOKEN.match(text, end)
            if token is None:
                start = end + len(text[end:]) - len(text[end:].lstrip())
                raise self._refusal(f"{text[start]!r}", start + 1, self._quoting(text, start))
            kind, end = str(token.lastgroup), token.end()
            value = token[kind][1:-1] if kind in ("quoted", "text") else token[kind]
            self.tokens.append(Token(kind, value, token.start(kind) + 1))  # type: ignore[arg-type]  # a group's name
        self._at = self._depth = 0

    @property
    def next(self) -> Token:
        """The next token."""
        return self.tokens[self._at]

    @property
    def after(self) -> Token:
        """The token after the next one."""
        return self.tokens[min(self._at + 1, len(self.tokens) - 1)]

    def sees(self, *values: str) -> bool:
        """Whether the next token is one of these signs or words."""
        return self.next.kind in ("sign", "word") and self.next.value in values

    def take(self, *values: str) -> Token | None:
        """Read the next token if it is one of these signs or words; otherwise return None and read nothing."""
        return self.step() if self.sees(*values) else None

    def step(self) -> Token:
        """Read the next token, whatever it is."""
        token = self.next
        self._at = min(self._at + 1, len(self.tokens) - 1)
        return token

    def need(self, sign: str) -> Token:
        """Read the next token, which must be this sign."""
        return self.take(sign) or self.fail(f"'{sign}'")

    def fail(self, wanted: str) -> NoReturn:
        """Refuse the next token, saying what is needed instead."""
        before = self.tokens[self._at - 1] if self._at else None
        hint = ""
        if before is not None and before.kind in ("word", "number") and self.next.kind in ("word", "number"):
            apart = " " * (self.next.at > before.at + len(before.value))
            may_be_a_name = before.kind == "word" or not apart  # "body mass" or "2nd"
            hint = _in_backticks(f"{before.value}{apart}{self.next.value}") if may_be_a_name else ""
        raise self._refusal(f"{self.next.shown} where {wanted} is needed", self.next.at, hint)

    def refuse(self, what: str, at: Token) -> BadInput:
        """Return the complete refusal of a token: what is wrong and what to do."""
        return BadInput(f"{self.place} is not understood at character {at.at}: {what}")

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """Count a pair of parentheses, and refuse too many nested ones."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.refuse(f"more than {DEEPEST} nested parentheses; write it with fewer", self.next)
        yield
        self._depth -= 1

    def number(self) -> float:
        """Read a number, which must be the next token."""
        token = self.step() if self.next.kind == "number" else self.fail("a number")
        value = float(token.value)
        if value > 1e300:
            raise self.refuse("a number beyond 1e300; write a smaller one", token)
        return value

    def _refusal(self, found: str, at: int, hint: str) -> BadInput:
        return BadInput(f"{self.place} is not understood (at character {at}: {found}); {hint or self.remedy}")

    @staticmethod
    def _quoting(text: str, at: int) -> str:
        """Suggest backticks where a sign stands in or beside a word, as in ``hs-CRP %`` or ``x$y``."""
        start = at
        while start and not text[start - 1].isspace() and text[start - 1] not in "+*:(`":
            start -= 1
        end = at + 1
        while end < len(text) and not text[end].isspace() and text[end] not in "+*:)`":
            end += 1
        inside = text[start:end]
        can_be = len(inside) > 1 and inside.isprintable() and not set(inside) & set("`'\"()[]{}")
        return _in_backticks(inside) if can_be else ""


def _in_backticks(name: str) -> str:
    return f"a column's name with blanks or signs stands in backticks, as `{shorten(name, 30)}`"


def shorten(text: str, most: int = _SHOWN) -> str:
    """Return a text, or its beginning and three dots where it is long.

    Parameters
    ----------
    text
        Any text.
    most
        Characters to show.

    Returns
    -------
    str
        At most ``most`` characters.

    Examples
    --------
    >>> shorten("age + sex + bmi", 9)
    'age + ...'
    """
    return text if len(text) <= most else text[: most - 3] + "..."
