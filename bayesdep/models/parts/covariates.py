"""Covariates by formula: columns of a table -> standardised columns of numbers.

Columns come first: a word of the formula that is not called is a column, also one that is named like a function
(``center``, ``C``, ``log``); ``log(log)`` takes the logarithm of the column ``log``. So every column gets a name of its
own before formulaic reads the formula. Functions are those of formulaic and numpy's, no others.
"""

import ast
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import formulaic  # type: ignore[import-untyped, unused-ignore]  # not typed in all its versions
import numpy as np
import pandas as pd
from formulaic.errors import FormulaicError  # type: ignore[import-untyped, unused-ignore]  # as above
from formulaic.parser.algos.tokenize import tokenize  # type: ignore[import-untyped, unused-ignore]  # as above
from formulaic.transforms import TRANSFORMS  # type: ignore[import-untyped, unused-ignore]  # as above

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.missing import has_comma, is_number
from bayesdep.data.tables import Column, refuse_code

_EXAMPLE = "write it as in 'age + sex + bmi' or 'I(phq9 / 5) + female'"
_QUOTED = re.compile(r"`([^`]+)`")
_ALIAS = re.compile(r"column_(\d+)_of_the_table")
_FEW = 6  # so many levels of text are never too many
_COLOUR = re.compile("\x1b\\[[0-9;]*m|[⧛⧚]")


@dataclass(frozen=True)
class Covariates:
    """Columns of numbers that a formula makes of a table.

    Parameters
    ----------
    names
        One per covariate; a level of a categorical column is called ``column[level]``.
    values
        Shape (rows, covariates); each column has mean 0 and standard deviation 1.
    means, sds
        Shape (covariates,): mean and standard deviation (n in the denominator) of each column as the formula made
        it, so that a coefficient over its ``sd`` is one per unit of the formula's column.
    """

    names: tuple[str, ...]
    values: np.ndarray
    means: np.ndarray
    sds: np.ndarray


def read_covariates(
    frame: pd.DataFrame,
    formula: str | None,
    *,
    beside: Mapping[str, np.ndarray] = {},
    units: int | None = None,
) -> Covariates:
    """Make the columns that a formula names.

    Parameters
    ----------
    frame
        One row per unit (person, study, ...): rows of what :func:`bayesdep.data.tables.as_frame` returned, with
        their index, which names the row in messages.
    formula
        Terms of the right-hand side, as formulaic (and R) reads them: ``"age + sex + bmi"``,
        ``"I(phq9 / 5) + female"``, ``"age * sex"``. Categorical columns are coded against their first level (of
        text, the first in the alphabet). A word that is not called is a column, whatever it is named like; names with
        spaces or signs stand in backticks. An intercept is the model's own affair: ``1 +`` says what is so, ``0 +`` or
        ``- 1`` is refused. None for no covariates.
    beside
        What else the model has an effect of, each of shape (rows,), by what it is in words: labels (an arm) or
        numbers (a baseline). A covariate that follows from these is refused.
    units
        How many different units (people) the rows are of; the rows' number where None. A column of text needs fewer
        levels than half of it.

    Returns
    -------
    Covariates
        In the formula's order, interactions after the rest.

    Raises
    ------
    BadInput
        When the formula is not understood, or names a column that is not there, has empty cells, is text where
        numbers are meant or with nearly as many values as units, does not vary, or follows from the others.

    Examples
    --------
    >>> frame = pd.DataFrame({"age": [30, 40, 50], "sex": ["F", "M", "M"]})
    >>> read = read_covariates(frame, "I(age / 10) + sex")
    >>> read.names, read.means.round(2).tolist()
    (('I(age / 10)', 'sex[M]'), [4.0, 0.67])
    """
    if formula is None:
        return Covariates((), np.empty((len(frame), 0)), np.empty(0), np.empty(0))
    place = f"covariates = '{formula}'"
    written, names = _aliased(formula, place, list(map(str, frame.columns)))
    parsed = _parse(formula, written, names, place, list(map(str, frame.columns)))
    used = _used(frame, names, place, len(frame) if units is None else units)
    columns, raw = _evaluate(used, parsed, names, place)
    for j, name in enumerate(columns):
        odd = np.flatnonzero(~np.isfinite(raw[:, j]))
        if len(odd):
            raise BadInput(
                f"{place}: '{name}' is not a finite number in row {frame.index[odd[0]] + 1}; "
                "correct that row or the formula"
            )
        if np.ptp(raw[:, j]) <= 1e-12 * np.abs(raw[:, j]).max():
            raise BadInput(
                f"{place}: '{name}' does not vary between the {len(frame)} rows used, so nothing can be learned "
                "about it; leave it out"
            )
    means, sds = raw.mean(axis=0), raw.std(axis=0)
    values = (raw - means) / sds
    others = _columns_beside(beside, len(frame))
    for j, name in enumerate(columns):
        if np.linalg.matrix_rank(values[:, : j + 1]) <= j:
            raise BadInput(
                f"{place}: '{name}' follows from the columns before it ({', '.join(columns[:j])}) in the "
                f"{len(frame)} rows used, so their effects cannot be told apart; leave one of them out"
            )
        so_far = np.hstack([others, values[:, : j + 1]])
        if beside and np.linalg.matrix_rank(so_far) < np.linalg.matrix_rank(others) + j + 1:
            raise BadInput(
                f"{place}: '{name}' follows from {' and '.join(beside)} in the {len(frame)} rows used, which the model "
                "has already, so their effects cannot be told apart; leave it out of covariates"
            )
    return Covariates(columns, values, means, sds)


def columns_of(formula: str | None, known: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the columns a formula uses.

    Parameters
    ----------
    formula
        As :func:`read_covariates` reads it.
    known
        The table's columns; needed to tell a column from a function of its name where it is an argument
        (``C(site, Sum)``).

    Returns
    -------
    tuple of str
        Their names, sorted.

    Raises
    ------
    BadInput
        When the formula is not understood.

    Examples
    --------
    >>> columns_of("age + I(phq9 / 5) + log(log)", ["log"])
    ('age', 'log', 'phq9')
    """
    if formula is None:
        return ()
    place = f"covariates = '{formula}'"
    written, names = _aliased(formula, place, list(map(str, known)))
    _parse(formula, written, names, place, known)
    return tuple(sorted(names.values()))


def refuse_covariates_of(formula: str | None, columns: Mapping[str | None, str], known: Sequence[str] = ()) -> None:
    """Refuse a formula that names a column which has another part in the model.

    Parameters
    ----------
    formula
        As :func:`read_covariates` reads it.
    columns
        What each column is, in words, by its name; None for a column that is not there.
    known
        The table's columns.

    Raises
    ------
    BadInput
        Naming the column and what it is.

    Examples
    --------
    >>> refuse_covariates_of("age + id", {"id": "subject"})
    Traceback (most recent call last):
    ...
    bayesdep.data.errors.BadInput: covariates = 'age + id': column 'id' is the subject, which the model ...
    """
    for name in columns_of(formula, known):
        if name in columns:
            raise BadInput(
                f"covariates = '{formula}': column '{name}' is the {columns[name]}, which the model has already; leave "
                "it out of covariates"
            )


class _Columns(ast.NodeTransformer):
    """Gives columns in an expression their aliases, and refuses functions that are not known."""

    def __init__(self, alias: "_Aliases", place: str) -> None:
        self.alias, self.place = alias, place

    def visit_Call(self, node: ast.Call) -> ast.AST:
        called = node.func
        quoting = isinstance(called, ast.Name) and called.id == "Q" and "Q" not in self.alias.known
        if quoting and len(node.args) == 1 and isinstance(node.args[0], ast.Constant):  # patsy's backticks
            return ast.Name(self.alias(str(node.args[0].value)), ast.Load())
        if isinstance(called, ast.Name) and _ALIAS.fullmatch(called.id) is None and called.id in TRANSFORMS:
            pass
        elif isinstance(called, ast.Name):
            raise BadInput(
                f"{self.place}: there is no function '{_shown(called.id, self.alias.names)}'; "
                f"{did_you_mean(called.id, [x for x in TRANSFORMS if x[:1].islower() and x not in ('np', 'contr')])}"
            )
        elif not _is_known_attribute(called):
            raise BadInput(
                f"{self.place}: '{_shown(ast.unparse(called), self.alias.names)}' is no function that a "
                "formula may use; use one of numpy's on numbers, as in np.sqrt(age)"
            )
        arguments = [self.visit(x) for x in node.args]
        keywords = [ast.keyword(k.arg, self.visit(k.value)) for k in node.keywords]
        return ast.Call(called, arguments, keywords)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if not _is_known_attribute(node):
            raise BadInput(
                f"{self.place}: '{_shown(ast.unparse(node), self.alias.names)}' is not understood; "
                "write a column's name with a dot in backticks, as in `body.mass`"
            )
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if _ALIAS.fullmatch(node.id) or (node.id in TRANSFORMS and node.id not in self.alias.known):
            return node
        return ast.Name(self.alias(node.id), node.ctx)


def _is_known_attribute(node: ast.expr) -> bool:
    """Whether it is a function of numpy on numbers, or one of formulaic's contrasts."""
    if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
        return False
    if node.value.id == "np":
        return isinstance(getattr(np, node.attr, None), np.ufunc)
    return node.value.id == "contr" and not node.attr.startswith("_")


class _Aliases:
    """One name for each column, in the order of their first use."""

    def __init__(self, known: Sequence[str]) -> None:
        self.known = known
        self.names: dict[str, str] = {}

    def __call__(self, column: str) -> str:
        for alias, name in self.names.items():
            if name == column:
                return alias
        alias = f"column_{len(self.names)}_of_the_table"
        self.names[alias] = column
        return alias


def _shown(text: str, names: Mapping[str, str]) -> str:
    """A text with columns' own names in place of their aliases."""
    return _ALIAS.sub(lambda found: names.get(found[0], found[0]), text)


def _aliased(formula: str, place: str, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The formula with an alias for every column, and the columns by alias."""
    alias = _Aliases(known)
    parts, at = [], 0
    try:
        tokens = list(tokenize(formula))
    except (FormulaicError, SyntaxError) as problem:
        raise _not_understood(problem, place, formula, known) from None
    for token in tokens:
        start, end, kind = token.source_start, token.source_end, token.kind.value if token.kind else ""
        if kind == "name" and token.token != ".":
            quoted = formula[start] == "`"
            new, end = alias(token.token), end + (formula[end] != "`" if quoted else 0)
        elif kind == "python":
            text = _QUOTED.sub(lambda found: alias(found[1]), token.token)
            try:
                tree = ast.parse(text.strip(), mode="eval")
            except SyntaxError as problem:
                raise _not_understood(problem, place, formula, known) from None
            new = ast.unparse(_Columns(alias, place).visit(tree))
            if formula[start] == "{":
                new, end = f"{{{new}}}", formula.index("}", end) if formula[end] != "}" else end
        else:
            continue
        parts += [formula[at:start], new]
        at = end + 1
    return "".join([*parts, formula[at:]]), alias.names


def _not_understood(
    problem: Exception, place: str, formula: str, known: Sequence[str], names: Mapping[str, str] = {}
) -> BadInput:
    odd = [name for name in known if name in formula and not name.isidentifier() and f"`{name}`" not in formula]
    if odd:
        name = max(odd, key=len)
        return BadInput(f"{place} is not understood; write the column '{name}' in backticks, as `{name}`")
    reason = _shown(_COLOUR.sub("", " ".join(str(problem).split())).rstrip(". "), names)
    return BadInput(f"{place} is not understood ({reason}); {_EXAMPLE}")


def _parse(formula: str, written: str, names: Mapping[str, str], place: str, known: Sequence[str]) -> formulaic.Formula:
    try:
        parsed = formulaic.Formula(written)
    except (FormulaicError, SyntaxError) as problem:
        raise _not_understood(problem, place, formula, known, names) from None
    if not isinstance(parsed, formulaic.SimpleFormula):
        raise BadInput(f"{place} has more than the covariates' own side; {_EXAMPLE}, without '~' and '|'")
    terms = [term for term in parsed if str(term) != "1"]
    if not terms:
        raise BadInput(f"{place} names no column; {_EXAMPLE}, or leave it out")
    if len(terms) == len(list(parsed)):
        raise BadInput(
            f"{place} takes the intercept out, but every model here has a mean of its own; write the covariates only, "
            "without 0 and - 1"
        )
    # With an intercept among the terms every categorical column loses its first level.
    return formulaic.Formula(["1", *terms])


def _used(frame: pd.DataFrame, names: Mapping[str, str], place: str, units: int) -> pd.DataFrame:
    known = list(map(str, frame.columns))
    plain = {}
    for alias, name in names.items():
        if name not in known:
            raise BadInput(f"{place}: {_no_column(name, place, known)}")
        series = frame.iloc[:, known.index(name)]
        blank = np.array([isinstance(v, str) and not v.strip() for v in series])
        empty = np.flatnonzero(series.isna().to_numpy() | blank)
        if len(empty):
            more = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
            raise BadInput(
                f"{place}: column '{name}' is empty in row {frame.index[empty[0]] + 1}{more}; "
                f'fill it in, or leave such rows out: dropna(subset=["{name}"]) in Python, or [data] require = '
                f'["{name}"] in a plan'
            )
        # arrow's and pandas' nullable numbers become numpy's; yes-no columns become 0 and 1, not two levels
        plain[alias] = pd.Series(series.to_list(), index=frame.index)
        if isinstance(series.dtype, pd.CategoricalDtype):
            plain[alias] = series.cat.remove_unused_categories()
        elif plain[alias].dtype == bool:
            plain[alias] = plain[alias].astype(float)
        if not pd.api.types.is_numeric_dtype(plain[alias]):
            _refuse_text(series, name, place, units)
        else:
            refuse_code(frame, plain[alias].to_numpy(dtype=float), Column(name, "number", "covariate"))
    return pd.DataFrame(plain, index=frame.index)


def _no_column(name: str, place: str, known: Sequence[str]) -> str:
    formula = place.removeprefix("covariates = '").removesuffix("'")
    odd = [k for k in known if name in k and k in formula and not k.isidentifier()]
    if odd:
        k = max(odd, key=len)
        return f"there is no column '{name}' in the table; write the column '{k}' in backticks, as `{k}`"
    return f"there is no column '{name}' in the table; {did_you_mean(name, known)}"


def _refuse_text(series: pd.Series, name: str, place: str, units: int) -> None:
    """Refuse text that is meant to be numbers, and text with nearly as many values as units."""
    cells = series.astype(str).str.strip()
    comma = np.array([has_comma(x) for x in cells])
    number = comma | np.array([is_number(x) for x in cells])
    levels, row = cells.nunique(), series.index
    if comma.any() and number.mean() > 0.5:
        first = np.flatnonzero(comma)[0]
        raise BadInput(
            f"{place}: column '{name}' has numbers with a decimal comma ('{cells.iloc[first]}' in row "
            f"{row[first] + 1}); write them with a decimal point"
        )
    if number.mean() > 0.5 and cells[number].nunique() > _FEW:
        other = np.flatnonzero(~number)
        if len(other):
            raise BadInput(
                f"{place}: column '{name}' has numbers, but {cells.iloc[other[0]]!r} in row {row[other[0]] + 1} is "
                "none; correct that cell, or empty it and leave the row out"
            )
        raise BadInput(
            f"{place}: column '{name}' has numbers that are stored as text, {levels} of them; turn the column into "
            "numbers"
        )
    if levels > _FEW and 2 * levels > units:
        raise BadInput(
            f"{place}: column '{name}' is text with {levels} different values in {units} units, too many for an effect "
            "of each; leave it out, or use a column with fewer values"
        )


def _columns_beside(beside: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    """What else the model has effects of, as columns; the first is the intercept."""
    found = [np.ones((rows, 1))]
    for values in map(np.asarray, beside.values()):
        if values.dtype.kind in "fi":
            sd = values.std()
            found.append(((values - values.mean()) / (sd if sd > 0 else 1.0))[:, None])
        else:
            labels = values.astype(str)
            found.append((labels[:, None] == np.unique(labels)[None, 1:]).astype(float))
    return np.hstack(found)


def _evaluate(
    used: pd.DataFrame, parsed: formulaic.Formula, names: Mapping[str, str], place: str
) -> tuple[tuple[str, ...], np.ndarray]:
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):  # as numpy warns too
            warnings.simplefilter("ignore")  # the logarithm of zero, say: refused by its name and row
            matrix = parsed.get_model_matrix(used, context={}, na_action="ignore")
            raw = np.asarray(matrix, dtype=float)[:, 1:]
    except Exception as problem:  # a formula may call a function on a column that it does not take
        reason = _shown(_COLOUR.sub("", " ".join(str(problem).split())).rstrip(". "), names)
        raise BadInput(f"{place} cannot be worked out ({reason}); {_EXAMPLE}") from None
    return tuple(_shown(str(c), names).replace("[T.", "[") for c in matrix.columns[1:]), raw
