r"""Formulas of covariates: a text -> terms, each a product of factors.

The whole language, as R users know it (Wilkinson and Rogers, Applied Statistics 22:392, 1973)::

    formula    := sum
    sum        := {"+" | "-"} product {("+" | "-") {"+" | "-"} product}
    product    := crossing {("*" | "/") crossing}
    crossing   := power {":" power}
    power      := part [("**" | "^") whole number]
    part       := "(" sum ")" | "(" "1" "|" name ")" | "0" | "1" | factor
    factor     := name | "Q(" text ")"
                | "I(" arithmetic [comparison (arithmetic | text)] ")"
                | function "(" arithmetic {"," [word "="] literal} ")" | "mo(" name ")"
    arithmetic := ratio {("+" | "-") ratio}
    ratio      := signed {("*" | "/") signed}
    signed     := {"+" | "-"} (atom [("**" | "^") ["+" | "-"] number])
    atom       := number | name | "(" arithmetic ")" | simple function "(" arithmetic {...} ")"
    comparison := "==" | "!=" | "<" | "<=" | ">" | ">="
    literal    := ["-"] number | "True" | "False" | "[" ["-"] number {"," ["-"] number} "]"
    (in C)     := text | number | contrast ["(" text | number ")"] | "[" text or number {"," ...} "]"

``a:b`` is a product, ``a*b`` is ``a + b + a:b``, ``a/b`` is ``a + a:b``, a power takes all products of up to so many
terms, ``-`` takes terms out. Functions are those of :data:`FUNCTIONS`; names, numbers and texts are as in
:mod:`bayesdep.data.grammar`. Nothing else is read: no attribute, no other call. Powers, the factors of a product, the
terms and the nesting of parentheses are bounded, so any text is read or refused at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.grammar import Reader, Token, shorten

EXAMPLE = "write it as in 'age + sex + bmi' or 'I(phq9 / 5) + female'"
_ONE_LEVEL = "one random effect is possible, written as in 'age + (1 | site)'"
MOST_TERMS = 200
MOST_FACTORS = 5  # of a product, and the largest power of terms
LARGEST_POWER = 20  # of numbers
MOST_SIGNS = 200  # of arithmetic, in all functions of a formula
LARGEST_SIZE = 50  # degree of a polynomial, degrees of freedom of a spline, entries of a list
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")

type Literal = float | bool | str | Contrast | tuple[float | str, ...]


@dataclass(frozen=True)
class Name:
    """A column."""

    column: str

    def __str__(self) -> str:
        return self.column


@dataclass(frozen=True)
class Number:
    """A number."""

    value: float

    def __str__(self) -> str:
        return _shown(self.value)


@dataclass(frozen=True)
class Words:
    """A text that a column is compared with."""

    value: str

    def __str__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True)
class Minus:
    """An expression with its sign changed."""

    of: "Expression"

    def __str__(self) -> str:
        return f"-{_inside(self.of, _STRENGTH['**'])}"


@dataclass(frozen=True)
class Pair:
    """Two expressions and the sign between them."""

    sign: str
    left: "Expression"
    right: "Expression"

    def __str__(self) -> str:
        strength = _STRENGTH[self.sign]
        left = _inside(self.left, strength + (self.sign == "**"))
        return f"{left} {self.sign} {_inside(self.right, strength + 1)}"


@dataclass(frozen=True)
class Contrast:
    """How the levels of a categorical column are compared: a name, and the level that others are compared with."""

    name: str
    base: float | str | None = None

    def __str__(self) -> str:
        return self.name if self.base is None else f"{self.name}({_shown(self.base)})"


@dataclass(frozen=True)
class Call:
    """A function of an expression; ``written`` is its name as it was written, ``options`` its other arguments."""

    function: str
    of: "Expression"
    options: tuple[tuple[str, Literal], ...] = ()
    written: str = field(default="", compare=False)
    named: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        others = [f"{word}={_shown(v)}" if word in self.named else _shown(v) for word, v in self.options]
        return f"{self.written or self.function}({', '.join([str(self.of), *others])})"


type Expression = Name | Number | Words | Minus | Pair | Call
type Term = tuple[Expression, ...]  # without factors, the intercept


@dataclass(frozen=True)
class Formula:
    """A formula that was read.

    Parameters
    ----------
    terms
        Terms in the formula's order, the shorter before the longer ones; the intercept, ``()``, first where the
        formula leaves it in.
    level
        The column of a random effect ``(1 | column)``, or None.
    """

    terms: tuple[Term, ...]
    level: str | None

    @property
    def covariates(self) -> str | None:
        """The terms in words, without the intercept and the random effect; None where there are none."""
        return " + ".join(":".join(map(str, term)) for term in self.terms if term) or None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the terms, sorted."""
        return tuple(sorted({name for term in self.terms for factor in term for name in _columns(factor)}))

    @property
    def has_monotone(self) -> bool:
        """Whether a term has a monotone effect, ``mo(column)``."""
        return any(isinstance(f, Call) and f.function == "mo" for term in self.terms for f in term)


_STRENGTH = {**dict.fromkeys(COMPARISONS, 0), "+": 1, "-": 1, "*": 2, "/": 2, "**": 4}
# Other arguments of functions, by their position, and how each is read
_SIZE, _SWITCH, _VALUE, _VALUES, _CODING, _LEVELS = "size", "switch", "value", "values", "coding", "levels"
_SPLINE = {"df": _SIZE, "knots": _VALUES}
_ENDS = {"lower_bound": _VALUE, "upper_bound": _VALUE}
FUNCTIONS: Mapping[str, Mapping[str, str]] = {
    **{name: {} for name in ("I", "log", "log2", "log10", "log1p", "exp", "sqrt", "center")},
    "scale": {"center": _SWITCH, "scale": _SWITCH},
    "poly": {"degree": _SIZE, "raw": _SWITCH},
    "bs": {**_SPLINE, "degree": _SIZE, **_ENDS},
    "cr": {**_SPLINE, **_ENDS},
    "C": {"contrasts": _CODING, "levels": _LEVELS},
    "mo": {},
}
ALONE = ("poly", "bs", "cr", "C", "mo")  # give several columns, or levels, so they stand in no other expression
CONTRASTS = ("Treatment", "Sum", "Helmert", "Diff", "Poly")


def read_formula(text: str, place: str, *, levels: bool = False) -> Formula:
    """Read a formula of covariates.

    Parameters
    ----------
    text
        In the language of this module.
    place
        Where it stands, in words that begin a message.
    levels
        Whether a random effect ``(1 | column)`` may be among the terms.

    Returns
    -------
    Formula
        Its terms.

    Raises
    ------
    BadInput
        Saying at which character it is not understood.

    Examples
    --------
    >>> [":".join(map(str, term)) for term in read_formula("age * sex + I(bmi/5)", "covariates").terms]
    ['', 'age', 'sex', 'I(bmi / 5)', 'age:sex']
    """
    return _FormulaReader(text, place, levels=levels).formula()


type _Terms = dict[frozenset[Expression], Term]
_INTERCEPT: _Terms = {frozenset(): ()}


def _union(terms: _Terms, more: _Terms) -> _Terms:
    """All terms of both, those of the first before the others."""
    return terms | _without(more, terms)


def _without(terms: _Terms, fewer: _Terms) -> _Terms:
    """The terms that are not among some others."""
    return {factors: term for factors, term in terms.items() if factors not in fewer}


class _FormulaReader(Reader):
    """Recursive descent: one method a rule of the grammar."""

    def __init__(self, text: str, place: str, *, levels: bool) -> None:
        super().__init__(text, place, EXAMPLE)
        self.levels = levels
        self.level: str | None = None
        self._signs = 0

    def formula(self) -> Formula:
        terms = self._sum(_INTERCEPT)
        self._refuse_sides()
        if self.next.kind != "end":
            self.fail("a sign such as '+'")
        return Formula(tuple(sorted(terms.values(), key=len)), self.level)

    def _refuse_sides(self) -> None:
        if self.sees("|") and self.levels:
            raise self.refuse(_ONE_LEVEL, self.next)
        if self.sees("~", "|", "="):
            raise BadInput(
                f"{self.place} has more than the covariates' own side (character {self.next.at}); {EXAMPLE}, without "
                "'~' and '|'"
            )

    def _sum(self, start: _Terms) -> _Terms:
        terms = dict(start)
        if self.next.kind == "end" and len(self.tokens) == 1:
            return terms
        first = True
        while first or self.sees("+", "-"):
            minus = False
            while sign := self.take("+", "-"):
                minus ^= sign.value == "-"
            at = self.next
            if at.kind == "number" and at.value == "0" and self.after.value in ("+", "-", ")", ""):
                self.step()
                terms_read, minus = _INTERCEPT, not minus
            else:
                terms_read = self._product()
            terms = _without(terms, terms_read) if minus else self._bounded(_union(terms, terms_read), at)
            first = False
        return terms

    def _product(self) -> _Terms:
        at, terms = self.next, self._crossing()
        while sign := self.take("*", "/"):
            right = self._crossing()
            if sign.value == "*":
                terms = self._bounded(_union(_union(terms, right), self._times(terms, right, at)), at)
            else:
                product = tuple(dict.fromkeys(factor for term in terms.values() for factor in term))
                terms = self._bounded(_union(terms, self._times({frozenset(product): product}, right, at)), at)
        return terms

    def _crossing(self) -> _Terms:
        at, terms = self.next, self._power()
        while self.take(":"):
            terms = self._times(terms, self._power(), at)
        return terms

    def _power(self) -> _Terms:
        at, terms = self.next, self._part()
        while self.take("**", "^"):
            token = self.next
            power = self.number()
            if not (power.is_integer() and 1 <= power <= MOST_FACTORS):
                raise self.refuse(
                    f"a power of terms is a whole number from 1 to {MOST_FACTORS}, the most factors of a product; "
                    "write I(age ** 2) for the square of a column",
                    token,
                )
            base = terms
            for _ in range(int(power) - 1):
                terms = self._bounded(self._times(terms, base, at), at)
        return terms

    def _part(self) -> _Terms:
        token = self.next
        if self.take("("):
            with self.deeper():
                terms: _Terms = {} if self._random_effect() else self._sum({})
                self._refuse_sides()
                self.need(")")
            return terms
        if token.kind == "number":
            if token.value == "1":
                self.step()
                return dict(_INTERCEPT)
            if self.after.kind in ("word", "number"):  # a name such as 2nd
                self.step()
                self.fail("a sign such as '+'")
            raise self.refuse("a number is not a covariate; write I(2 * age) to calculate", token)
        if not token.is_name:
            self.fail("a column")
        factor = self._factor()
        return {frozenset([factor]): (factor,)}

    def _random_effect(self) -> bool:
        """Read ``1 | column`` where it follows, and say whether it did."""
        one = self.next
        if not (self.levels and one.value == "1" and self.after.kind == "sign" and self.after.value == "|"):
            return False
        self.step()
        self.step()
        if self.level is not None or self._depth > 1:
            raise self.refuse(_ONE_LEVEL, one)
        self.level = self._name("a column")
        return True

    def _factor(self) -> Expression:
        """A column, or a function of columns."""
        at = self.next
        factor = self._atom()
        if isinstance(factor, Call) and not list(_columns(factor)):
            raise self.refuse(f"'{shorten(str(factor), 30)}' has no column; leave it out", at)
        return factor

    def _times(self, left: _Terms, right: _Terms, at: Token) -> _Terms:
        if len(left) * len(right) > MOST_TERMS * MOST_TERMS:
            raise self._too_many(at)
        products: _Terms = {}
        for a in left.values():
            for b in right.values():
                products.setdefault(frozenset([*a, *b]), tuple(dict.fromkeys([*a, *b])))
        if any(len(product) > MOST_FACTORS for product in products):
            raise self.refuse(f"a product of more than {MOST_FACTORS} columns; write fewer", at)
        return self._bounded(products, at)

    def _bounded(self, terms: _Terms, at: Token) -> _Terms:
        if len(terms) > MOST_TERMS:
            raise self._too_many(at)
        return terms

    def _too_many(self, at: Token) -> BadInput:
        return self.refuse(f"more than {MOST_TERMS} terms; write fewer", at)

    # Expressions

    def _arithmetic(self) -> Expression:
        return self._chain(("+", "-"), lambda: self._chain(("*", "/"), self._signed))

    def _chain(self, signs: tuple[str, str], part: Callable[[], Expression]) -> Expression:
        expression = part()
        while sign := self.take(*signs):
            self._signs += 1
            if self._signs > MOST_SIGNS:
                raise self.refuse(f"more than {MOST_SIGNS} sums and products within functions; write fewer", sign)
            expression = Pair(sign.value, expression, part())
        return expression

    def _signed(self) -> Expression:
        minus = False
        while sign := self.take("+", "-"):
            minus ^= sign.value == "-"
        at, expression = self.next, self._atom()
        self._refuse_alone(expression, at)
        if self.take("**", "^"):
            token, sign = self.next, self.take("+", "-")
            if self.next.kind != "number":
                raise self.refuse(f"the exponent of a power is a number of at most {LARGEST_POWER}", self.next)
            power = self.number() * (-1 if sign is not None and sign.value == "-" else 1)
            if abs(power) > LARGEST_POWER:
                raise self.refuse(f"the exponent of a power is a number of at most {LARGEST_POWER}", token)
            expression = Pair("**", expression, Number(power))
            if self.sees("**", "^"):
                raise self.refuse("a power of a power; write one of them in parentheses", self.next)
        return Minus(expression) if minus else expression

    def _atom(self) -> Expression:
        token = self.next
        if token.kind == "number":
            return Number(self.number())
        if self.take("("):
            with self.deeper():
                expression = self._arithmetic()
                self.need(")")
            return expression
        if token.kind == "word" and self.after.kind == "sign" and self.after.value == "(":
            return self._call()
        return Name(self._name("a column or a number"))

    def _name(self, wanted: str) -> str:
        return (self.step() if self.next.is_name else self.fail(wanted)).value

    def _call(self) -> Expression:
        token = self.step()
        self.need("(")
        name = token.value.removeprefix("np.")
        if token.value == "Q" and self.next.kind == "text":  # patsy's backticks
            column: Expression = Name(self.step().value)
            self.need(")")
            return column
        if name not in FUNCTIONS or (name != token.value and name in (*ALONE, "I", "center", "scale")):
            self._unknown(token)
        with self.deeper():
            of = self._arithmetic()
            if name == "I":
                of = self._comparison(of)
            if name == "mo" and not isinstance(of, Name):
                raise self.refuse(
                    "mo() takes a column of ordered levels and nothing else; write it as in mo(stage)", token
                )
            options = self._options(name)
            self.need(")")
        written = dict(options)
        named = tuple(word for word, (_, by_name) in written.items() if by_name)
        return Call(name, of, tuple((word, value) for word, (value, _) in written.items()), token.value, named)

    def _unknown(self, token: Token) -> NoReturn:
        raise BadInput(
            f"{self.place}: there is no function '{shorten(token.value, 30)}' (character {token.at}); "
            f"{did_you_mean(token.value, FUNCTIONS)}"
        )

    def _refuse_alone(self, expression: Expression, at: Token) -> None:
        if isinstance(expression, Call) and expression.function in ALONE:
            raise self.refuse(
                f"{expression.function}() makes columns of its own, so it cannot stand within another expression; take "
                "it out",
                at,
            )

    def _comparison(self, left: Expression) -> Expression:
        if sign := self.take(*COMPARISONS):
            right = Words(self.step().value) if self.next.kind == "text" else self._arithmetic()
            if isinstance(right, Words) and not (isinstance(left, Name) and sign.value in ("==", "!=")):
                raise self.refuse("a text is compared with a column by == or !=; write it as in I(sex == 'M')", sign)
            return Pair(sign.value, left, right)
        return left

    # Other arguments of functions

    def _options(self, function: str) -> list[tuple[str, tuple[Literal, bool]]]:
        known, options = FUNCTIONS[function], {}
        while self.take(","):
            at = self.next
            by_name = at.kind == "word" and self.after.kind == "sign" and self.after.value == "="
            if by_name:
                word = self.step().value
                self.step()
            else:
                word = next((w for w in known if w not in options), "")
            if word not in known or word in options:
                what = f"takes no {word}" if word and word not in options else "takes no more"
                raise self.refuse(f"{function}() {what}; {_takes(function)}", at)
            options[word] = (self._literal(known[word], function, word), by_name)
        return list(options.items())

    def _literal(self, kind: str, function: str, word: str) -> Literal:
        at = self.next
        if kind == _SWITCH:
            switch = self.take("True", "False") or self.fail("True or False")
            return switch.value == "True"
        if kind == _SIZE:
            size = self.number()
            if not (size.is_integer() and 1 <= size <= LARGEST_SIZE):
                raise self.refuse(f"{word} of {function}() is a whole number from 1 to {LARGEST_SIZE}", at)
            return size
        if kind == _VALUE:
            return self._plain_number()
        if kind == _CODING:
            return self._contrast()
        return self._list(self._label if kind == _LEVELS else self._plain_number)

    def _plain_number(self) -> float:
        sign = self.take("-", "+")
        return self.number() * (-1 if sign is not None and sign.value == "-" else 1)

    def _label(self) -> float | str:
        return self.step().value if self.next.kind == "text" else self._plain_number()

    def _list[T: (float, float | str)](self, entry: Callable[[], T]) -> tuple[T, ...]:
        at = self.need("[")
        entries = [entry()]
        while self.take(","):
            entries.append(entry())
            if len(entries) > LARGEST_SIZE:
                raise self.refuse(f"more than {LARGEST_SIZE} entries; write fewer", at)
        self.need("]")
        return tuple(entries)

    def _contrast(self) -> Literal:
        if self.next.kind != "word":
            return self._label()
        token = self.step()
        name = token.value.removeprefix("contr.").capitalize()
        if name not in CONTRASTS or token.value not in (name, f"contr.{name.lower()}"):
            raise self.refuse(
                f"there is no contrast '{shorten(token.value, 30)}'; {did_you_mean(token.value, CONTRASTS)}", token
            )
        base = None
        if self.take("("):
            if name == "Treatment" and not self.sees(")"):
                if self.next.value in ("base", "reference") and self.after.value == "=":
                    self.step()
                    self.step()
                base = self._label()
            self.need(")")
        return Contrast(name, base)


def _takes(function: str) -> str:
    """The arguments that a function takes, for messages."""
    known = FUNCTIONS[function]
    return f"it takes {', '.join(known)} beside the column" if known else "it takes one expression of columns"


def _columns(expression: Expression) -> list[str]:
    """The columns of an expression, in the order of their use."""
    if isinstance(expression, Name):
        return [expression.column]
    if isinstance(expression, Pair):
        return [*_columns(expression.left), *_columns(expression.right)]
    return _columns(expression.of) if isinstance(expression, Minus | Call) else []


def _inside(expression: Expression, strength: int) -> str:
    """An expression within another, in parentheses where it binds less strongly."""
    binding = 3 if isinstance(expression, Minus) else _STRENGTH[expression.sign] if isinstance(expression, Pair) else 5
    negative = isinstance(expression, Number) and expression.value < 0 and strength == 5
    return f"({expression})" if binding < strength or negative else str(expression)


def _shown(value: Literal) -> str:
    """A literal as a formula writes it."""
    if isinstance(value, bool | Contrast):
        return str(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, str):
        return repr(value)
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e16 else repr(value)
