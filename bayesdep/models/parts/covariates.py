"""Covariates by formula: columns of a table -> standardised columns of numbers.

A formula is read by the grammar of :mod:`bayesdep.models.parts.formulas`, and its tree is evaluated here with numpy;
formulaic makes polynomials, splines and the columns of levels and interactions from the values. So no text of a formula
is ever evaluated as Python, by formulaic or here.

A word of the formula that is not called is a column, also one that is named like a function (``center``, ``C``,
``log``); ``log(log)`` takes the logarithm of the column ``log``.
"""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import formulaic  # type: ignore[import-untyped, unused-ignore]  # not typed in all its versions
import numpy as np
import pandas as pd
from formulaic import transforms  # type: ignore[import-untyped, unused-ignore]  # as above
from formulaic.parser.types import Factor, Term  # type: ignore[import-untyped, unused-ignore]  # as above
from formulaic.transforms import contrasts  # type: ignore[import-untyped, unused-ignore]  # as above

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.grammar import shorten
from bayesdep.data.labels import refuse_lookalikes
from bayesdep.data.missing import has_comma, is_number
from bayesdep.data.tables import Column, leave_rows_out, note, refuse_code
from bayesdep.models.parts.formulas import (
    EXAMPLE,
    Call,
    Contrast,
    Expression,
    Formula,
    Minus,
    Name,
    Number,
    Pair,
    Words,
    read_formula,
)

_INTERCEPT = "(1)"  # formulaic tells factors apart by their text, and a column may be called 1
_FEW = 6  # levels of text that are allowed in any number of units
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
    formula: str | Formula | None,
    *,
    beside: Mapping[str, np.ndarray] = {},
    units: int | None = None,
    levels: bool = False,
) -> Covariates:
    """Make the columns that a formula names.

    Parameters
    ----------
    frame
        One row per unit (person, study, ...): rows of what :func:`bayesdep.data.tables.as_frame` returned, with
        their index, which names the row in messages.
    formula
        Terms in the language of :mod:`bayesdep.models.parts.formulas`: ``"age + sex + bmi"``,
        ``"I(phq9 / 5) + female"``, ``"age * sex"``. Categorical columns are coded against their first level (of
        text, the first in the alphabet). A word that is not called is a column, whatever it is named like; names with
        spaces or signs stand in backticks. Every model has an intercept: ``1 +`` changes nothing, ``0 +`` and ``- 1``
        are refused. A formula that was read already is possible too. None for no covariates.
    beside
        What else the model has an effect of, each of shape (rows,), by its description: labels (an arm) or numbers (a
        baseline). A covariate that is a linear combination of these is refused.
    units
        How many different units (people) the rows are of; the rows' number where None. A column of text needs fewer
        levels than half of it.
    levels
        Whether a random effect ``(1 | column)`` may stand in the formula; it is not a covariate, and is skipped.

    Returns
    -------
    Covariates
        In the formula's order, interactions after the rest.

    Raises
    ------
    BadInput
        When the formula is not understood, or names a column that is not there, has empty cells, is text where
        numbers are meant or with nearly as many values as units, does not vary, or is a linear combination of others.

    Examples
    --------
    >>> frame = pd.DataFrame({"age": [30, 40, 50], "sex": ["F", "M", "M"]})
    >>> read = read_covariates(frame, "I(age / 10) + sex")
    >>> read.names, read.means.round(2).tolist()
    (('I(age / 10)', 'sex[M]'), [4.0, 0.67])
    """
    if formula is None:
        return Covariates((), np.empty((len(frame), 0)), np.empty(0), np.empty(0))
    place, read = _read(formula, list(map(str, frame.columns)), levels=levels)
    if not _refuse_no_terms(read, place):
        return Covariates((), np.empty((len(frame), 0)), np.empty(0), np.empty(0))
    if read.has_monotone:
        raise BadInput(
            f"{place} has mo(), a monotone effect, which only models of ordinal outcomes have; write the column "
            "without mo()"
        )
    used = _used(frame, read.columns, place, len(frame) if units is None else units)
    columns, raw = _evaluate(used, read, place)
    _refuse_infinite_or_constant(columns, raw, frame, place)
    means, sds = raw.mean(axis=0), raw.std(axis=0)
    values = (raw - means) / sds
    _refuse_combinations(columns, values, beside, place)
    return Covariates(columns, values, means, sds)


def _refuse_infinite_or_constant(columns: Sequence[str], raw: np.ndarray, frame: pd.DataFrame, place: str) -> None:
    """Refuse a column that is not finite in a row, or the same in all."""
    for j, name in enumerate(columns):
        infinite = np.flatnonzero(~np.isfinite(raw[:, j]))
        if len(infinite):
            raise BadInput(
                f"{place}: '{name}' is not a finite number in row {frame.index[infinite[0]] + 1}; "
                "correct that row or the formula"
            )
        if np.ptp(raw[:, j]) <= 1e-12 * np.abs(raw[:, j]).max():
            raise BadInput(
                f"{place}: '{name}' does not vary between the {len(frame)} rows used, so it has no effect to "
                "estimate; leave it out"
            )


def columns_of(formula: str | None, known: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the columns a formula uses.

    Parameters
    ----------
    formula
        As :func:`read_covariates` reads it.
    known
        The table's columns, for messages.

    Returns
    -------
    tuple of str
        Their names, sorted; without the column of a random effect.

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
    place, read = _read(formula, known, levels=True)
    _refuse_no_terms(read, place)
    return read.columns


def refuse_covariates_of(formula: str | None, columns: Mapping[str | None, str], known: Sequence[str] = ()) -> None:
    """Refuse a formula that names a column which the model uses for something else.

    Parameters
    ----------
    formula
        As :func:`read_covariates` reads it.
    columns
        What each column is, by its name; None for a column that is not there.
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
                f"{_place(formula)}: column '{name}' is the {columns[name]}, which the model has already; leave "
                "it out of covariates"
            )


def _place(formula: str | None) -> str:
    """A formula as messages quote it."""
    return f"covariates = '{shorten(str(formula))}'"


def _read(formula: str | Formula, known: Sequence[str], *, levels: bool) -> tuple[str, Formula]:
    """A formula as messages quote it, and as the grammar reads it."""
    if isinstance(formula, Formula):
        return _place(formula.covariates), formula
    place = _place(formula)
    try:
        return place, read_formula(formula, place, levels=levels)
    except BadInput:
        bare = [name for name in known if name in formula and not name.isidentifier() and f"`{name}`" not in formula]
        if not bare:
            raise
        name = max(bare, key=len)
        raise BadInput(f"{place} is not understood; write the column '{name}' in backticks, as `{name}`") from None


def _refuse_no_terms(read: Formula, place: str) -> bool:
    """Tell whether there is a covariate; refuse a formula without any term, or without the intercept."""
    if any(read.terms):
        if () not in read.terms:
            raise BadInput(
                f"{place} takes the intercept out, but every model here has a mean of its own; write the covariates "
                "only, without 0 and - 1"
            )
        return True
    if read.level is None:
        raise BadInput(f"{place} names no column; {EXAMPLE}, or leave it out")
    return False


def _used(frame: pd.DataFrame, names: Sequence[str], place: str, units: int) -> dict[str, pd.Series]:
    """The columns that a formula uses, without empty cells: numbers, or text and categories."""
    known = list(map(str, frame.columns))
    plain = {}
    for name in names:
        if name not in known:
            raise BadInput(f"{place}: {_no_column(name, place, known)}")
        series = frame.iloc[:, known.index(name)]
        blank = np.array([isinstance(v, str) and not v.strip() for v in series])
        empty = np.flatnonzero(series.isna().to_numpy() | blank)
        if len(empty):
            more = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
            raise BadInput(
                f"{place}: column '{name}' is empty in row {frame.index[empty[0]] + 1}{more}; "
                f"fill it in, or {leave_rows_out(name)}"
            )
        # arrow's and pandas' nullable numbers become numpy's; yes-no columns become 0 and 1, not two levels
        plain[name] = pd.Series(series.to_list(), index=frame.index)
        if isinstance(series.dtype, pd.CategoricalDtype):
            plain[name] = series.cat.remove_unused_categories()
        elif plain[name].dtype == bool:
            plain[name] = plain[name].astype(float)
        if not pd.api.types.is_numeric_dtype(plain[name]):
            _refuse_text(series, name, place, units)
            refuse_lookalikes(series.astype(str).tolist(), f"{place}: column '{name}'", frame.index.tolist())
            counts = series.astype(str).value_counts()
            for label in counts.index[counts == 1] if len(frame) == units else ():
                note(frame, f"column '{name}' (covariate): '{label}' has one unit")
        else:
            refuse_code(frame, plain[name].to_numpy(dtype=float), Column(name, "number", "covariate"))
    return plain


def _no_column(name: str, place: str, known: Sequence[str]) -> str:
    """Say that a column is not there, and which one may be meant."""
    formula = place.removeprefix("covariates = '").removesuffix("'")
    bare = [column for column in known if name in column and column in formula and not column.isidentifier()]
    if bare:
        column = max(bare, key=len)
        return f"there is no column '{name}' in the table; write the column '{column}' in backticks, as `{column}`"
    return f"there is no column '{shorten(name)}' in the table; {did_you_mean(name, known)}"


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
                "not a number; correct that cell, or empty it and leave the row out"
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
    columns = [np.ones((rows, 1))]
    for values in map(np.asarray, beside.values()):
        if values.dtype.kind in "fi":
            sd = values.std()
            columns.append(((values - values.mean()) / (sd if sd > 0 else 1.0))[:, None])
        else:
            labels = values.astype(str)
            columns.append((labels[:, None] == np.unique(labels)[None, 1:]).astype(float))
    return np.hstack(columns)


def _refuse_combinations(
    columns: Sequence[str], values: np.ndarray, beside: Mapping[str, np.ndarray], place: str
) -> None:
    """Refuse the first column that is a linear combination of those before it, and of what the model has beside."""
    rows = len(values)

    def follows(j: int) -> bool:
        return bool(np.linalg.matrix_rank(values[:, : j + 1]) <= j)

    if (j := _first(follows, len(columns))) is not None:
        raise BadInput(
            f"{place}: '{columns[j]}' follows from the columns before it ({shorten(', '.join(columns[:j]), 200)}) in "
            f"the {rows} rows used, so their effects cannot be told apart; leave one of them out"
        )
    others = _columns_beside(beside, rows)
    rank_of_others = np.linalg.matrix_rank(others)

    def follows_from_others(j: int) -> bool:
        return bool(np.linalg.matrix_rank(np.hstack([others, values[:, : j + 1]])) < rank_of_others + j + 1)

    if beside and (j := _first(follows_from_others, len(columns))) is not None:
        raise BadInput(
            f"{place}: '{columns[j]}' follows from {' and '.join(beside)} in the {rows} rows used, which the model "
            "has already, so their effects cannot be told apart; leave it out of covariates"
        )


def _first(holds: Callable[[int], bool], count: int) -> int | None:
    """The first index at which a condition holds, by bisection: it must hold at all later ones. None if at no index."""
    if count == 0 or not holds(count - 1):
        return None
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


_SIMPLE: Mapping[str, Callable[[Any], Any]] = {
    **{name: getattr(np, name) for name in ("log", "log2", "log10", "log1p", "exp", "sqrt")},
    "I": np.asarray,
    "center": transforms.center,
}
_SEVERAL: Mapping[str, Callable[..., Any]] = {
    "scale": transforms.scale,
    "poly": transforms.poly,
    "bs": transforms.basis_spline,
    # centred: the natural spline's own columns add up to one, and every model has a mean of its own
    "cr": lambda x, **options: transforms.natural_cubic_spline(x, constraints="center", **options),
}
_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide, "**": np.power, "==": np.equal,
    "!=": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal,
}  # fmt: skip


def _evaluate(used: Mapping[str, pd.Series], read: Formula, place: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Evaluate a formula: the names of its columns, and their numbers."""
    index = next(iter(used.values())).index
    factors = list(dict.fromkeys(factor for term in read.terms for factor in term))
    names = _distinct_names(factors)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):  # as numpy warns too
            warnings.simplefilter("ignore")  # the logarithm of zero, say: refused by its name and row
            values = {names[factor]: _values_of(factor, used, place) for factor in factors}
            _refuse_too_many(read, names, values, len(index), place)
            terms = [Term([Factor(names[f], eval_method="lookup") for f in term]) for term in read.terms if term]
            # With an intercept among the terms every categorical column loses its first level.
            formula = formulaic.Formula([Term([Factor(_INTERCEPT, eval_method="literal")]), *terms])
            matrix = formula.get_model_matrix(pd.DataFrame(index=index), context=values, na_action="ignore")
            raw = np.asarray(matrix, dtype=float)[:, 1:]
    except BadInput:
        raise
    except Exception as problem:  # formulaic, of a spline with too few degrees of freedom, say
        reason = shorten(_COLOUR.sub("", " ".join(str(problem).split())).rstrip(". "), 200)
        raise BadInput(f"{place} cannot be evaluated ({reason}); {EXAMPLE}") from None
    return tuple(str(column).replace("[T.", "[") for column in matrix.columns[1:]), raw


def _distinct_names(factors: Sequence[Expression]) -> dict[Expression, str]:
    """The name of each factor's columns: as the factor is written, unless another has that name."""
    names: dict[Expression, str] = {}
    for factor in sorted(factors, key=lambda factor: isinstance(factor, Name)):  # a column called 'log(age)' gives way
        name = str(factor)
        while name in names.values() or name == _INTERCEPT:
            name = f"`{name}`"
        names[factor] = name
    return names


def _values_of(factor: Expression, used: Mapping[str, pd.Series], place: str) -> Any:
    """A factor's values: numbers, several columns of them, or levels."""
    if isinstance(factor, Name):
        column = used[factor.column]
        return column.astype(float) if pd.api.types.is_numeric_dtype(column) else column
    if isinstance(factor, Call) and factor.function == "C":
        of = used[factor.of.column] if isinstance(factor.of, Name) else pd.Series(_numbers(factor.of, used, place))
        options = {word: _coding(value) for word, value in factor.options}
        _refuse_other_levels(of, options, str(factor), place)
        return transforms.C(of, **options)
    return _numbers(factor, used, place)


def _refuse_other_levels(values: pd.Series, options: Mapping[str, Any], factor: str, place: str) -> None:
    """Refuse levels that ``C()`` states and the column lacks, and the other way round."""
    present, stated = list(values.unique()), options.get("levels")
    base = getattr(options.get("contrasts"), "base", None)
    if stated is not None:
        for level in present:
            if level not in stated:
                raise BadInput(f"{place}: levels in '{factor}' lacks {_quoted(level)}, which the column has; add it")
            if stated.count(level) > 1:
                raise BadInput(f"{place}: levels in '{factor}' has {_quoted(level)} twice; leave one out")
    for level in [*(stated or []), *([base] if isinstance(base, (str, int, float)) else [])]:
        if level not in present:
            raise BadInput(
                f"{place}: {_quoted(level)} in '{factor}' is not a value of the column; "
                f"{did_you_mean(str(level), map(str, present[:20]))}"
            )


def _quoted(level: Any) -> str:
    """A level as messages quote it."""
    return repr(level) if isinstance(level, str) else str(level)


def _numbers(expression: Expression, used: Mapping[str, pd.Series], place: str) -> Any:
    """Evaluate an expression with numpy; its columns must be numbers."""
    if isinstance(expression, Number):
        return expression.value
    if isinstance(expression, Name):
        if not pd.api.types.is_numeric_dtype(used[expression.column]):
            raise BadInput(
                f"{place} cannot be evaluated: column '{expression.column}' has text where numbers are needed; "
                "write it by itself for an effect of each of its values"
            )
        return used[expression.column].astype(float)
    if isinstance(expression, Minus):
        return np.negative(_numbers(expression.of, used, place))
    if isinstance(expression, Pair):
        if isinstance(expression.right, Words):
            return _ARITHMETIC[expression.sign](_labels(expression.left, used), expression.right.value).astype(float)
        left, right = (_numbers(side, used, place) for side in (expression.left, expression.right))
        return np.asarray(_ARITHMETIC[expression.sign](left, right), dtype=float)
    assert isinstance(expression, Call)  # texts stand only beside a sign
    of = _numbers(expression.of, used, place)
    if expression.function in _SIMPLE:
        return np.asarray(_SIMPLE[expression.function](of), dtype=float)
    options = {word: int(v) if isinstance(v, float) and v.is_integer() else v for word, v in expression.options}
    return _SEVERAL[expression.function](of, **options)


def _labels(expression: Expression, used: Mapping[str, pd.Series]) -> np.ndarray:
    """A column's values as text."""
    assert isinstance(expression, Name)  # the grammar compares texts with columns only
    return used[expression.column].astype(str).to_numpy(dtype=object)


def _coding(value: Any) -> Any:
    """A literal of ``C()`` in formulaic's terms: contrasts, or levels in their order."""
    if isinstance(value, tuple):
        return [_as_level(v) for v in value]
    if not isinstance(value, Contrast):  # the level that others are compared with
        return contrasts.TreatmentContrasts(base=_as_level(value))
    if value.base is not None:
        return contrasts.TreatmentContrasts(base=_as_level(value.base))
    return getattr(contrasts, f"{value.name}Contrasts")()


def _as_level(value: float | str) -> float | str:
    """A level as the column has it: whole numbers are integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _refuse_too_many(
    read: Formula, names: Mapping[Expression, str], values: Mapping[str, Any], rows: int, place: str
) -> None:
    """Refuse more columns than there are rows before they are made: levels of several columns multiply."""
    widths = {factor: _width(values[name]) for factor, name in names.items()}
    for term in read.terms:
        at_least = prod(max(widths[factor] - 1, 1) for factor in term)
        if at_least > rows:
            raise BadInput(
                f"{place}: '{':'.join(names[f] for f in term)}' has at least {at_least} columns of numbers, but only "
                f"{rows} rows are used, so their effects cannot be told apart; leave it out"
            )


def _width(values: Any) -> int:
    """How many columns a factor has, with one for each of its levels."""
    plain = getattr(values, "__wrapped__", values)
    if isinstance(plain, Mapping):
        return len(plain)
    if isinstance(plain, pd.Series):
        categorical = isinstance(values, type(transforms.C(plain))) or not pd.api.types.is_numeric_dtype(plain)
        return int(plain.nunique()) if categorical else 1
    return int(np.shape(plain)[1]) if np.ndim(plain) > 1 else 1
