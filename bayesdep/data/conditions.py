"""Conditions on the rows of a table, as a plan writes them: ``age >= 18 and arm in ['drug', 'placebo']``.

The whole language::

    condition  := both {"or" both}
    both       := negated {"and" negated}
    negated    := "not" negated | "(" condition ")" | comparison
    comparison := side sign side {sign side} | side ["not"] "in" "[" literal {"," literal} "]"
    sign       := "==" | "!=" | "<" | "<=" | ">" | ">="
    side       := name | literal
    literal    := ["-"] number | text | "true" | "false"

Names, numbers and texts are as in :mod:`bayesdep.data.grammar`; a column called ``and``, ``in`` or ``true`` stands in
backticks. Nothing else is read: no call, no attribute, no arithmetic. ``a < b < c`` is ``a < b and b < c``.

Logic is three-valued (Kleene): a comparison with an empty cell is unknown, and so are ``not`` unknown, ``true and``
unknown, and ``false or`` unknown. Rows for which a condition is unknown are left out, like those for which it is
false.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.grammar import Reader, Token, shorten
from bayesdep.data.labels import as_label
from bayesdep.data.tables import is_blank

EXAMPLE = """write it as in "age >= 18 and arm in ['drug', 'placebo']\""""
_SIGNS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_WORDS = ("and", "or", "not", "in", "true", "false", "True", "False")
_MOST = 500  # comparisons


@dataclass(frozen=True)
class _Side:
    """A column or a literal, with its position in the text."""

    value: float | str | bool
    is_column: bool
    token: Token


type _Meaning = Callable[[pd.DataFrame], Any]  # from a table to pandas' nullable booleans


def read_condition(text: str, place: str) -> Callable[[pd.DataFrame], pd.Series]:
    """Read a condition.

    Parameters
    ----------
    text
        In the language of this module.
    place
        Where it stands, as the first words of a message.

    Returns
    -------
    callable
        From a table to one value a row: whether the condition holds, missing where that is unknown. It raises BadInput
        for a column that is not there, for text where numbers are needed and for a value that no row has.

    Raises
    ------
    BadInput
        Saying at which character the condition is not understood.

    Examples
    --------
    >>> adults = read_condition("18 <= age < 65 and not sex == 'M'", "keep")
    >>> adults(pd.DataFrame({"age": [17, 40, None, 50], "sex": ["F", "F", "F", "M"]})).tolist()
    [False, True, <NA>, False]
    """
    meaning = _ConditionReader(text, f"{place} = '{shorten(text)}'").condition_alone()
    return lambda frame: pd.Series(meaning(frame), index=frame.index)


class _ConditionReader(Reader):
    """Recursive descent: one method for each rule of the grammar; each returns a function of a table."""

    def __init__(self, text: str, place: str) -> None:
        super().__init__(text, place, EXAMPLE)
        self._comparisons = 0

    def condition_alone(self) -> _Meaning:
        condition = self._condition()
        if self.sees("="):
            raise self.refuse("'=' does not compare; write ==", self.next)
        if self.next.kind != "end":
            self.fail("'and' or 'or'")
        return condition

    def _condition(self) -> _Meaning:
        return self._joined("or", lambda: self._joined("and", self._negated, operator.and_), operator.or_)

    def _joined(self, word: str, part: Callable[[], _Meaning], join: Callable[[Any, Any], Any]) -> _Meaning:
        parts = [part()]
        while self.take(word):
            parts.append(part())

        def meaning(frame: pd.DataFrame) -> Any:
            holds = parts[0](frame)
            for one in parts[1:]:
                holds = join(holds, one(frame))
            return holds

        return meaning

    def _negated(self) -> _Meaning:
        negative = False
        while self.take("not"):
            negative = not negative
        if self.take("("):
            with self.deeper():
                condition = self._condition()
                self.need(")")
        else:
            condition = self._comparison()
        return (lambda frame: ~condition(frame)) if negative else condition

    def _comparison(self) -> _Meaning:
        left, parts = self._side(), list[_Meaning]()
        negative = bool(self.take("not"))
        if negative or self.sees("in"):
            return self._membership(left, negative)
        while sign := self.take(*_SIGNS):
            self._comparisons += 1
            if self._comparisons > _MOST:
                raise self.refuse(f"more than {_MOST} comparisons; write fewer", sign)
            right = self._side()
            parts.append(self._compared(left, sign, right))
            left = right
        if not parts:
            if self.sees("="):
                raise self.refuse("'=' does not compare; write ==", self.next)
            self.fail("a comparison such as == or >=")
        return lambda frame: _all(part(frame) for part in parts)

    def _membership(self, left: _Side, negative: bool) -> _Meaning:
        token = self.next
        if not self.take("in"):
            self.fail("'in'")
        self.need("[")
        values = [self._literal()]
        while self.take(","):
            values.append(self._literal())
            if len(values) > _MOST:
                raise self.refuse(f"more than {_MOST} values; write fewer", token)
        self.need("]")
        equal = Token("sign", "==", token.at)
        parts = [self._compared(left, equal, value) for value in values]

        def meaning(frame: pd.DataFrame) -> Any:
            holds = parts[0](frame)
            for part in parts[1:]:
                holds = holds | part(frame)
            return ~holds if negative else holds

        return meaning

    def _side(self) -> _Side:
        token = self.next
        if token.kind == "quoted" or (token.kind == "word" and token.value not in _WORDS):
            if self.after.kind == "sign" and self.after.value == "(":
                raise self.refuse("a condition calls no functions; compare columns and values", token)
            return _Side(self.step().value, True, token)
        return self._literal()

    def _literal(self) -> _Side:
        token = self.next
        if self.take("true", "True", "false", "False"):
            return _Side(token.value.lower() == "true", False, token)
        if token.kind == "text":
            return _Side(self.step().value, False, token)
        sign = self.take("-", "+")
        if self.next.kind != "number":
            self.fail("a value")
        return _Side(self.number() * (-1 if sign is not None and sign.value == "-" else 1), False, token)

    def _compared(self, left: _Side, sign: Token, right: _Side) -> _Meaning:
        if not (left.is_column or right.is_column):
            raise self.refuse("two values are compared, none of them a column; leave it out", left.token)

        def meaning(frame: pd.DataFrame) -> Any:
            cells = [self._cells(frame, side) for side in (left, right)]
            text = any(map(_is_text, cells))
            if text:
                self._refuse_order(left, sign, right, cells)
                cells = [_as_text(c) for c in cells]
            if not (left.is_column and right.is_column):
                index = 0 if left.is_column else 1
                self._refuse_unlike(
                    (left, right)[1 - index], (left, right)[index], sign, cells[index], cells[1 - index]
                )
            holds = _SIGNS[sign.value](*cells)
            unknown = np.zeros(len(frame), dtype=bool)
            for one in cells:
                if isinstance(one, pd.Series):
                    unknown |= one.isna().to_numpy()
            return pd.arrays.BooleanArray(np.asarray(holds, dtype=bool), unknown)

        return meaning

    def _cells(self, frame: pd.DataFrame, side: _Side) -> Any:
        """A column without blanks, or a value."""
        if not side.is_column:
            return side.value
        known = list(map(str, frame.columns))
        if side.value not in known:
            raise BadInput(
                f"{self.place}: there is no column '{shorten(str(side.value), 60)}' in the table (character "
                f"{side.token.at}); {did_you_mean(str(side.value), known)}"
            )
        column = frame.iloc[:, known.index(str(side.value))].infer_objects()
        if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
            return pd.Series(column.to_list(), column.index, object).mask(is_blank(column), None)
        return pd.Series(column.to_numpy(dtype=float, na_value=np.nan), column.index)

    def _refuse_order(self, left: _Side, sign: Token, right: _Side, cells: list[Any]) -> None:
        """Refuse < and > of text, and numbers beside text."""
        texts = [side for side, c in zip((left, right), cells, strict=True) if side.is_column and _is_text(c)]
        name = str(texts[0].value)
        if sign.value not in ("==", "!="):
            raise self.refuse(f"column '{name}' holds text, which {sign.value} cannot order; use == or in", sign)
        other = right if texts[0] is left else left
        if other.is_column and len(texts) == 1:
            raise self.refuse(
                f"column '{name}' holds text, but column '{other.value}' holds numbers; compare like with like",
                sign,
            )

    def _refuse_unlike(self, value: _Side, column: _Side, sign: Token, cells: pd.Series, sought: Any) -> None:
        """Refuse a value of another type than its column's, and one that is in no row, which may be misspelt."""
        if isinstance(value.value, str | bool) and not _is_text(cells):
            raise self.refuse(
                f"column '{column.value}' holds numbers, which {value.token.shown} is not; compare with a number",
                value.token,
            )
        if sign.value in ("==", "!=") and not (cells == sought).any():
            known = list(map(_label, sorted(cells.dropna().unique())))[:20]
            raise BadInput(
                f"{self.place}: {_label(value.value)!r} (character {value.token.at}) is in no row of column "
                f"'{column.value}'; {did_you_mean(str(value.value), known) if known else 'it has no values at all'}"
            )


def _is_text(cells: Any) -> bool:
    return isinstance(cells, pd.Series) and cells.dtype == object


def _as_text(cells: Any) -> Any:
    """Text of every cell as messages show it, so that equal values compare equal however they are stored."""
    if isinstance(cells, pd.Series):
        return pd.Series([None if c is None else _label(c) for c in cells], cells.index, object)
    return _label(cells)


def _label(value: Any) -> str:
    value = value.item() if hasattr(value, "item") else value
    return str(value).lower() if isinstance(value, bool) else as_label(value)


def _all(parts: Any) -> Any:
    holds = next(parts)
    for part in parts:
        holds = holds & part
    return holds
