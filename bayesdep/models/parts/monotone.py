"""Monotone effects of ordered predictors: an effect from the lowest level to the highest, and its share at each step.

``mo(x) = sum of increments up to level x``, increments a simplex with a Dirichlet(1) prior, so that mo is 0 at the
lowest level and 1 at the highest, and no step is assumed larger than another (Buerkner and Charpentier 2020,
doi:10.1111/bmsp.12195). A main effect and the interactions of one predictor share their increments. Here mo is less its
mean over the people at hand, so that effects are of a typical person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.grammar import shorten
from bayesdep.data.missing import is_number
from bayesdep.data.tables import Column, note, read_columns
from bayesdep.data.times import number_names, order_of_column
from bayesdep.models.parts.covariates import read_covariates
from bayesdep.models.parts.formulas import Call, Formula, Name, Term, read_formula
from bayesdep.numerics.types import Tensor

MOST_LEVELS = 30  # of an ordered predictor; with more it is a number


@dataclass(frozen=True)
class Ordered:
    """An ordered predictor.

    Parameters
    ----------
    name
        What it is called.
    levels
        Its levels, the lowest first.
    level_of
        The level of every row, counted from 0.
    """

    name: str
    levels: tuple[str, ...]
    level_of: np.ndarray

    @property
    def steps(self) -> list[str]:
        """Names of the steps between levels."""
        return [f"{self.name}: {a} to {b}" for a, b in zip(self.levels, self.levels[1:], strict=False)]

    def reached(self, weight: np.ndarray) -> np.ndarray:
        """Which steps lie below each row's level, less their weighted mean: shape (rows, steps)."""
        passed = (self.level_of[:, None] > np.arange(len(self.levels) - 1)).astype(float)
        return passed - np.average(passed, axis=0, weights=weight)


@dataclass(frozen=True)
class Slope:
    """A monotone effect of a formula: of an ordered predictor, or of it times a column.

    Parameters
    ----------
    name
        As the formula writes it; with a level of a categorical column in brackets.
    ordered
        Its ordered predictor, by its place among those of the formula.
    column
        What it is multiplied by, shape (rows,); ones for a main effect.
    """

    name: str
    ordered: int
    column: np.ndarray


def read_ordered(
    frame: pd.DataFrame, column: str, what: str, order: Mapping[str, str | Sequence[str]] | None = None
) -> Ordered:
    """Read an ordered predictor.

    Parameters
    ----------
    frame
        One row per unit.
    column
        Its column.
    what
        What that holds, for messages.
    order
        Orders that the settings state, such as ``{"stage": "I < II < III"}``. Without one, an ordered categorical
        column has its own order, and numbers rise.

    Returns
    -------
    Ordered
        With the levels that somebody has.

    Raises
    ------
    BadInput
        When there is no order, or it does not name every level; with one level, or too many.

    Examples
    --------
    >>> frame = pd.DataFrame({"stage": ["II", "I", "II", "IV"]})
    >>> read_ordered(frame, "stage", "stage", {"stage": "I < II < III < IV"}).levels
    ('I', 'II', 'IV')
    """
    place = f"column '{column}' ({what})"
    labels = number_names(read_columns(frame, {"level": Column(column, "label", what)})["level"])
    present = list(dict.fromkeys(labels))
    stated = None if order is None or column not in order else _stated(order[column], column)
    levels = stated or order_of_column(frame, column)
    if levels is None:
        if not all(is_number(x) for x in present):
            example = " < ".join(sorted(present)[:3])
            raise BadInput(
                f"{place}: its values are text without an order; state it, the lowest first, as "
                f"level_order = {{ {_key(column)} = '{shorten(example, 60)}' }}"
            )
        levels = sorted(present, key=float)
    levels = [str(x) for x in number_names(np.array(levels, dtype=object))]
    for label in present:
        if label not in levels:
            raise BadInput(
                f"{place}: '{label}' is not in level_order ({' < '.join(levels)}); {did_you_mean(label, levels)}, or "
                "add it there"
            )
    absent = [x for x in levels if x not in present]
    if absent:
        note(frame, f"{place}: nobody has {', '.join(map(repr, absent))}, so there is no step to it")
    levels = [x for x in levels if x in present]
    if len(levels) == 1:
        raise BadInput(f"{place} is '{levels[0]}' in everybody, so it has no effect to estimate; leave it out")
    if len(levels) > MOST_LEVELS:
        raise BadInput(
            f"{place} has {len(levels)} levels, and {MOST_LEVELS} are the most for steps of their own; use it as a "
            "number, without mo()"
        )
    return Ordered(column, tuple(levels), np.array([levels.index(x) for x in labels]))


def _key(column: str) -> str:
    """A column as a key of a table in a plan."""
    return column if column.replace("_", "").replace("-", "").isalnum() and column.isascii() else f'"{column}"'


def _stated(text: str | Sequence[str], column: str) -> list[str]:
    """Levels as a setting states them."""
    if not isinstance(text, str):
        return list(text)
    levels = [part.strip() for part in text.split("<")]
    if len(levels) < 2 or not all(levels):
        raise BadInput(
            f"level_order: {column} = '{shorten(text)}' has no order; write its levels with < between them, the lowest "
            "first, such as 'I < II < III'"
        )
    if len(set(levels)) < len(levels):
        raise BadInput(f"level_order: {column} = '{shorten(text)}' names a level twice; name each once")
    return levels


# In formulas of covariates


def split_monotone(formula: str | None) -> tuple[str | Formula | None, tuple[tuple[str, Formula | None], ...]]:
    """Take the terms with ``mo(column)`` out of a formula of covariates.

    Parameters
    ----------
    formula
        Such as ``"age + mo(stage) * sex"``.

    Returns
    -------
    tuple
        The formula without them (None where no term is left); and for each term with ``mo``, in the formula's order,
        its column and what that is multiplied by (None for a main effect).

    Raises
    ------
    BadInput
        When a term has two of them, or an interaction lacks its main effect.

    Examples
    --------
    >>> plain, slopes = split_monotone("age + mo(stage) * sex")
    >>> plain.covariates, [(column, by.covariates if by else None) for column, by in slopes]
    ('age + sex', [('stage', None), ('stage', 'sex')])
    """
    if formula is None or "mo" not in formula:
        return formula, ()
    place = f"covariates = '{shorten(formula)}'"
    read = read_formula(formula, place)
    if () not in read.terms:
        return formula, ()  # refused where covariates are read
    plain: list[Term] = []
    slopes: list[tuple[str, Formula | None]] = []
    for term in read.terms:
        inside = [factor.of for factor in term if isinstance(factor, Call) and factor.function == "mo"]
        if not inside:
            plain.append(term)
            continue
        if len(inside) > 1:
            written = ":".join(map(str, term))
            raise BadInput(f"{place}: '{written}' multiplies two monotone effects; leave that product out")
        assert isinstance(inside[0], Name)  # the grammar reads mo() of a column only
        others = tuple(f for f in term if not (isinstance(f, Call) and f.function == "mo"))
        slopes.append((inside[0].column, Formula(((), others), None) if others else None))
    for column, by in slopes:
        if by is not None and (column, None) not in slopes:
            raise BadInput(
                f"{place}: mo({column}) is multiplied by {by.covariates}, but its own effect is missing; write "
                f"mo({column}) * {by.covariates}"
            )
    return (Formula(tuple(plain), None) if any(plain) else None), tuple(slopes)


def read_slopes(
    frame: pd.DataFrame, terms: Sequence[tuple[str, Formula | None]], order: Mapping[str, str] | None
) -> tuple[list[Ordered], list[Slope]]:
    """Read the monotone terms of a formula.

    Parameters
    ----------
    frame
        One row per unit.
    terms
        As :func:`split_monotone` returns them.
    order
        Orders of levels that the settings state.

    Returns
    -------
    tuple
        The ordered predictors, each once; and the effects, those times other columns standardised.
    """
    columns = list(dict.fromkeys(column for column, _ in terms))
    ordered = [read_ordered(frame, column, "covariate", order) for column in columns]
    slopes = []
    for column, others in terms:
        place = columns.index(column)
        if others is None:
            slopes.append(Slope(f"mo({column})", place, np.ones(len(frame))))
            continue
        beside = read_covariates(frame, others)
        for name, values in zip(beside.names, beside.values.T, strict=True):
            slopes.append(Slope(f"mo({column}):{name}", place, values))
    return ordered, slopes


# In a model


def increments(name: str, sizes: Sequence[int], concentration: float = 1.0) -> Tensor:
    """Add the increments of several ordered predictors to a PyMC model, inside its context, which has dim ``step``.

    Parameters
    ----------
    name
        What they are called together, with dim ``step``; each predictor's own is ``name_1``, ``name_2``, ...
    sizes
        How many steps each predictor has, in the order of the dim.
    concentration
        Of their Dirichlet priors.

    Returns
    -------
    pytensor.tensor.TensorVariable
        Shape (step,); those of one predictor sum to 1.
    """
    import pymc as pm
    import pytensor.tensor as pt

    model, parts, first = pm.modelcontext(None), [], 0
    for number, size in enumerate(sizes, start=1):
        dim, steps = f"step_{number}", model.coords["step"][first : first + size]
        first += size
        if size == 1:
            parts.append(pt.ones(1))
        else:
            model.add_coord(dim, steps)
            parts.append(pm.Dirichlet(f"{name}_{number}", a=np.full(size, concentration), dims=dim))
    return pm.Deterministic(name, pt.concatenate(parts), dims="step")
