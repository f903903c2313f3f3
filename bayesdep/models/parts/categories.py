"""Ordered categories: their names, the categories of rows, thresholds in a PyMC model, and draws."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.labels import as_label
from bayesdep.data.missing import is_number
from bayesdep.numerics.ordinal import probabilities_up_to, thresholds_of
from bayesdep.numerics.types import Tensor

THRESHOLD, TYPICAL = "threshold", "typical_probability"


def as_text(value: Any) -> Any:
    """Return a name of a category; a number as text, as labels of a table are read."""
    return as_label(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def refuse_categories(categories: Sequence[str]) -> None:
    """Refuse fewer than two categories, the same one twice, and numbers that neither rise nor fall.

    Parameters
    ----------
    categories
        From the best to the worst.

    Raises
    ------
    BadInput
        With what to write instead.
    """
    if len(categories) < 2:
        raise BadInput(
            f"categories = {list(categories)}, but two or more are needed, from the best to the worst; name them, such "
            "as ['remission', 'response', 'no response']"
        )
    twice = [x for x in categories if categories.count(x) > 1]
    if twice:
        raise BadInput(f"categories: '{twice[0]}' stands there twice; name each category once")
    if any(not x.strip() for x in categories):
        raise BadInput("categories has an empty name; name every category, from the best to the worst")
    if all(is_number(x) for x in categories):
        steps = np.diff([float(x) for x in categories])
        if not (np.all(steps > 0) or np.all(steps < 0)):
            rising = sorted(categories, key=float)
            raise BadInput(
                f"categories = {list(categories)} are numbers out of order; write them from the best to the worst, "
                f"such as {rising}, or {rising[::-1]} if larger is better"
            )


def places_of_categories(
    labels: np.ndarray, categories: Sequence[str], people: np.ndarray, rows: Sequence[Any], place: str
) -> np.ndarray:
    """Return the category of every row; refuse unknown ones, and categories nobody has.

    Parameters
    ----------
    labels
        As the table has them.
    categories
        From the best to the worst.
    people
        How many a row stands for.
    rows
        Numbers of the rows, for messages.
    place
        The column, for messages.

    Returns
    -------
    numpy.ndarray
        Places among the categories.

    Raises
    ------
    BadInput
        Naming the row or the category.
    """
    names = list(categories)
    if all(is_number(x) for x in names):
        names = [_number(x) for x in names]
        labels = np.array([_number(x) if is_number(x) else x for x in labels], dtype=object)
    for row, label in zip(rows, labels, strict=True):
        if label not in names:
            raise BadInput(
                f"{place}: row {row} is '{label}', which is not among categories ({', '.join(names)}); "
                f"{did_you_mean(label, names)}, or add it to categories, which go from the best to the worst"
            )
    category = np.array([names.index(x) for x in labels])
    found = np.bincount(category, weights=people, minlength=len(names))
    for k in np.flatnonzero(found == 0):
        rows_too = ", and its rows out of the table" if k in category else ""  # counts of 0
        raise BadInput(
            f"{place}: nobody has '{names[int(k)]}', so its threshold cannot be known; leave it out of categories"
            f"{rows_too}"
        )
    return category


def _number(text: str) -> str:
    return as_label(float(text))


def add_thresholds(concentration: float, form: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Add thresholds to a PyMC model, inside its context, whose coords are ``category`` and ``up_to``.

    They are those of a typical unit's category probabilities, which are ``Dirichlet(concentration)``.

    Parameters
    ----------
    concentration
        1 is uniform.
    form
        The link and the distribution, as :mod:`bayesdep.numerics.ordinal` takes them.

    Returns
    -------
    tuple
        Thresholds and gaps as :func:`bayesdep.numerics.ordinal.log_probability_of` takes them.
    """
    import pymc as pm
    import pytensor.tensor as pt

    categories = len(pm.modelcontext(None).coords["category"])
    typical = pm.Dirichlet(TYPICAL, a=np.full(categories, concentration), dims="category")
    typical = pt.specify_shape(typical, (categories,))
    thresholds, gaps = thresholds_of(typical, **form)
    thresholds = pm.Deterministic(THRESHOLD, thresholds, dims="up_to")
    return pt.specify_shape(thresholds, (categories - 1,)), gaps


def draw_categories(level: Any, thresholds: Any, rng: Any, size: Any, form: Mapping[str, Any]) -> np.ndarray:
    """Draw a category of every row, given levels and thresholds.

    Parameters
    ----------
    level
        Shape (..., rows); positive is worse.
    thresholds
        Shape (..., K - 1), shared by rows, or (..., rows, K - 1).
    rng, size
        Random numbers, and the shape of draws in front.
    form
        As :func:`add_thresholds` takes it.

    Returns
    -------
    numpy.ndarray
        Whole numbers from 0 to K - 1.
    """
    shared = np.ndim(thresholds) <= np.ndim(level)
    own = np.asarray(thresholds)[..., None, :] if shared else np.asarray(thresholds)
    up_to = probabilities_up_to(own, np.asarray(level), **form)
    shape = up_to.shape[:-1] if size is None else (*size, up_to.shape[-2])
    return np.asarray((rng.random((*shape, 1)) > up_to).sum(axis=-1))
