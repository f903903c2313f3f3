"""Decisions of a study, stated in words before it: what its posterior has to say of its estimands."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayesdep.data.errors import BadInput

_NUMBER = r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_NAME = r"([A-Za-z_]\w*(?:\[[^\]]*\])?)"
_SIDE = re.compile(rf"P\(\s*{_NAME}\s*([<>])\s*{_NUMBER}\s*\)\s*([<>])\s*{_NUMBER}")
_BETWEEN = re.compile(rf"P\(\s*{_NUMBER}\s*<\s*{_NAME}\s*<\s*{_NUMBER}\s*\)\s*([<>])\s*{_NUMBER}")
_SIZE = re.compile(rf"P\(\s*\|\s*{_NAME}\s*\|\s*([<>])\s*{_NUMBER}\s*\)\s*([<>])\s*{_NUMBER}")
_WIDTH = re.compile(rf"width\(\s*{_NAME}\s*\)\s*<\s*{_NUMBER}")
_AND = re.compile(r"\s+and\s+")
_INTERVAL = (0.025, 0.975)


@dataclass(frozen=True)
class Statement:
    """One part of a decision.

    Parameters
    ----------
    target
        The estimand's value, as tables print it.
    low, high
        The region that its probability is of, or, of a width, 0 and what it is below.
    inside
        Whether the probability is of the region, or of what is outside it.
    level
        What the probability is compared with; None for a width.
    above
        Whether the probability has to be above the level, or below.
    """

    target: str
    low: float
    high: float
    inside: bool = True
    level: float | None = None
    above: bool = True

    def is_true(self, value: float | np.ndarray) -> np.ndarray:
        """Whether values lie where the probability is of."""
        within = (self.low < np.asarray(value)) & (np.asarray(value) < self.high)
        return within if self.inside else ~within

    def is_reached(self, draws: np.ndarray) -> bool:
        """Whether a posterior says so."""
        if self.level is None:
            lower, upper = np.quantile(draws, _INTERVAL)
            return bool(upper - lower < self.high)
        probability = float(self.is_true(draws).mean())
        return probability > self.level if self.above else probability < self.level


@dataclass(frozen=True)
class Decision:
    """A decision: all of its statements are reached.

    Parameters
    ----------
    text
        As it was written.
    statements
        Its parts.

    Examples
    --------
    >>> decision = Decision.read("P(difference[drug, 8] < -2) > 0.9 and width(difference[drug, 8]) < 8")
    >>> [s.target for s in decision.statements]
    ['difference[drug, 8]', 'difference[drug, 8]']
    >>> decision.is_reached({"difference[drug, 8]": np.linspace(-7, -2.1, 100)})
    True
    """

    text: str
    statements: tuple[Statement, ...]

    @classmethod
    def read(cls, text: str) -> "Decision":
        """Read a decision.

        Parameters
        ----------
        text
            Such as ``"P(mu < 0) > 0.95"``, ``"P(-2 < mu < 2) > 0.95"``, ``"P(|mu| < 2) > 0.95"`` or ``"width(mu) < 4"``
            (of the 95% interval); several with ``and``.

        Returns
        -------
        Decision
            The same, in parts.

        Raises
        ------
        BadInput
            When it cannot be read, or a level is no probability.
        """
        found, at, rest = list[Statement](), 0, str(text).strip()
        while True:
            statement, at = _statement(rest, at)
            found.append(statement)
            if at == len(rest):
                return cls(rest, tuple(found))
            joined = _AND.match(rest, at)
            if joined is None:
                raise _unreadable(rest)
            at = joined.end()

    @property
    def targets(self) -> tuple[str, ...]:
        """The values it speaks of, each once."""
        return tuple(dict.fromkeys(statement.target for statement in self.statements))

    def is_reached(self, draws: Mapping[str, np.ndarray]) -> bool:
        """Whether a posterior reaches the decision: draws by target."""
        return all(statement.is_reached(draws[statement.target]) for statement in self.statements)

    def is_true(self, truth: Mapping[str, float]) -> bool | None:
        """Whether what it claims with high probability is so; None where it claims nothing or a truth is not known."""
        claimed = [s for s in self.statements if s.level is not None]
        if not claimed or any(not np.isfinite(truth.get(s.target, np.nan)) for s in claimed):
            return None
        return all(bool(s.is_true(truth[s.target])) == s.above for s in claimed)


def _statement(text: str, at: int) -> tuple[Statement, int]:
    """Read one statement, and say where it ends."""
    if found := _SIDE.match(text, at):
        target, sign, value, compared, level = found.groups()
        ends = (float(value), np.inf) if sign == ">" else (-np.inf, float(value))
        return _probability(text, target, ends, True, compared, level), found.end()
    if found := _BETWEEN.match(text, at):
        low, target, high, compared, level = found.groups()
        return _probability(text, target, (float(low), float(high)), True, compared, level), found.end()
    if found := _SIZE.match(text, at):
        target, sign, value, compared, level = found.groups()
        ends = (-float(value), float(value))
        return _probability(text, target, ends, sign == "<", compared, level), found.end()
    if found := _WIDTH.match(text, at):
        return Statement(found[1], 0.0, float(found[2])), found.end()
    raise _unreadable(text)


def _probability(
    text: str, target: str, ends: tuple[float, float], inside: bool, compared: str, level: str
) -> Statement:
    if not 0 < float(level) < 1:
        raise BadInput(f"decision '{text}': {level} is no probability between 0 and 1; write one, such as 0.95")
    if not ends[0] < ends[1]:
        raise BadInput(f"decision '{text}': {ends[0]:g} is not below {ends[1]:g}; exchange them")
    return Statement(target, *ends, inside, float(level), compared == ">")


def _unreadable(text: str) -> BadInput:
    return BadInput(
        f"decision '{text}' cannot be read; write it as P(ESTIMAND > 2) > 0.95, P(-2 < ESTIMAND < 2) > 0.95, "
        "P(|ESTIMAND| < 2) > 0.95 or width(ESTIMAND) < 4, several joined by 'and'"
    )
