"""Covariates by formula: columns of a table -> standardised columns of numbers."""

import re
import warnings
from dataclasses import dataclass

import formulaic  # type: ignore[import-untyped, unused-ignore]  # not typed in all its versions
import numpy as np
import pandas as pd
from formulaic.errors import FormulaicError  # type: ignore[import-untyped, unused-ignore]  # as above

from bayesdep.data.errors import BadInput, did_you_mean

_EXAMPLE = "write it as in 'age + sex + bmi' or 'I(phq9 / 5) + female'"
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


def read_covariates(frame: pd.DataFrame, formula: str | None) -> Covariates:
    """Make the columns that a formula names.

    Parameters
    ----------
    frame
        One row per unit (person, study, ...): rows of what :func:`bayesdep.data.tables.as_frame` returned, with
        their index, which names the row in messages.
    formula
        Terms of the right-hand side, as formulaic (and R) reads them: ``"age + sex + bmi"``,
        ``"I(phq9 / 5) + female"``, ``"age * sex"``. Categorical columns are coded against their first level (of
        text, the first in the alphabet). An intercept is the model's own affair and is removed. None for no covariates.

    Returns
    -------
    Covariates
        In the formula's order, interactions after the rest.

    Raises
    ------
    BadInput
        When the formula is not understood, or names a column that is not there, has empty cells, does not vary
        or follows from the others.

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
    parsed = _parse(formula, place)
    used = _used(frame, parsed, place)
    names, raw = _evaluate(used, parsed, place)
    for j, name in enumerate(names):
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
    for j, name in enumerate(names):
        if np.linalg.matrix_rank(values[:, : j + 1]) <= j:
            raise BadInput(
                f"{place}: '{name}' follows from the columns before it ({', '.join(names[:j])}) in the "
                f"{len(frame)} rows used, so their effects cannot be told apart; leave one of them out"
            )
    return Covariates(names, values, means, sds)


def columns_of(formula: str | None) -> tuple[str, ...]:
    """Return the columns a formula uses.

    Parameters
    ----------
    formula
        As :func:`read_covariates` reads it.

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
    >>> columns_of("age + I(phq9 / 5)")
    ('age', 'phq9')
    """
    if formula is None:
        return ()
    return tuple(sorted(map(str, _parse(formula, f"covariates = '{formula}'").required_variables)))


def _parse(formula: str, place: str) -> formulaic.Formula:
    try:
        parsed = formulaic.Formula(formula)
    except (FormulaicError, SyntaxError) as problem:
        reason = _COLOUR.sub("", " ".join(str(problem).split())).rstrip(". ")
        raise BadInput(f"{place} is not understood ({reason}); {_EXAMPLE}") from None
    if not isinstance(parsed, formulaic.SimpleFormula):
        raise BadInput(f"{place} has more than the covariates' own side; {_EXAMPLE}, without '~' and '|'")
    terms = [term for term in parsed if str(term) != "1"]
    if not terms:
        raise BadInput(f"{place} names no column; {_EXAMPLE}, or leave it out")
    # With an intercept among the terms, whatever the user wrote, every categorical column loses its first level.
    return formulaic.Formula(["1", *terms])


def _used(frame: pd.DataFrame, parsed: formulaic.Formula, place: str) -> pd.DataFrame:
    known = list(map(str, frame.columns))
    used = sorted(map(str, parsed.required_variables), key=lambda v: known.index(v) if v in known else -1)
    for name in used:
        if name not in known:
            raise BadInput(f"{place}: there is no column '{name}' in the table; {did_you_mean(name, known)}")
        if known.count(name) > 1:
            raise BadInput(f"{place}: column '{name}' stands in the table twice; rename one of the two")
        series = frame[name]
        blank = np.array([isinstance(v, str) and not v.strip() for v in series])
        empty = np.flatnonzero(series.isna().to_numpy() | blank)
        if len(empty):
            more = f" (and {len(empty) - 1} more)" if len(empty) > 1 else ""
            raise BadInput(
                f"{place}: column '{name}' is empty in row {frame.index[empty[0]] + 1}{more}; "
                f'fill it in, or leave such rows out with [data] require = ["{name}"]'
            )
    # arrow's and pandas' nullable numbers become numpy's; yes-no columns become 0 and 1, not two levels
    plain = {name: pd.Series(frame[name].to_list(), index=frame.index) for name in used}
    for name in used:
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            plain[name] = frame[name].cat.remove_unused_categories()
        elif plain[name].dtype == bool:
            plain[name] = plain[name].astype(float)
    return pd.DataFrame(plain, index=frame.index)


def _evaluate(used: pd.DataFrame, parsed: formulaic.Formula, place: str) -> tuple[tuple[str, ...], np.ndarray]:
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):  # as numpy warns too
            warnings.simplefilter("ignore")  # the logarithm of zero, say: refused by its name and row
            matrix = parsed.get_model_matrix(used, context={}, na_action="ignore")
            raw = np.asarray(matrix, dtype=float)[:, 1:]
    except Exception as problem:  # a formula may call any function on any column
        reason = _COLOUR.sub("", " ".join(str(problem).split())).rstrip(". ")
        raise BadInput(f"{place} cannot be worked out ({reason}); {_EXAMPLE}") from None
    return tuple(str(c).replace("[T.", "[") for c in matrix.columns[1:]), raw
