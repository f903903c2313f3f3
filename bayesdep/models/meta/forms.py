"""Tables whose rows hold different things: each is read from what it has."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayesdep.data import effects
from bayesdep.data.errors import BadInput
from bayesdep.data.tables import Column, is_blank, read_columns
from bayesdep.models.meta import shared_people as people
from bayesdep.models.meta.studies import INPUTS, MEASURES, effects_of, refuse_impossible_counts
from bayesdep.models.parts.settings import column_fields

if TYPE_CHECKING:
    from bayesdep.models.meta.model import Meta

FORMS = ("estimates", "counts", "means", "moments", "p-value")  # the first that a row has complete is used
_AGREE = 0.05  # of a standard error: how far an effect may lie from that of the same row's means or counts


def refuse_other_forms(model: "Meta", frame: pd.DataFrame) -> None:
    """Refuse rows that lack what one form of input needs where they are complete in another, with the remedy.

    Parameters
    ----------
    model
        The settings, which name the columns.
    frame
        The user's table.

    Raises
    ------
    BadInput
        Naming the first such row.
    """
    needed = [getattr(model, word) for word in INPUTS[model.input]]
    if not set(needed) <= set(frame.columns):
        return  # a missing column has a message of its own
    lacks = {name: is_blank(frame[name]) for name in needed}
    for row in np.flatnonzero(np.any(list(lacks.values()), axis=0)):
        for other in FORMS:
            names = [getattr(model, word) for word in INPUTS[other]]
            possible = other != model.input and model.measure in MEASURES[other] and set(names) <= set(frame.columns)
            if possible and not any(is_blank(frame[name])[row] for name in names):
                name = next(name for name in needed if lacks[name][row])
                raise BadInput(
                    f"column '{name}': row {row + 1} is empty, but the row has {', '.join(names)}; take "
                    "input = 'mixed', which reads each row from what it has"
                )


def read_mixed(
    model: "Meta", frame: pd.DataFrame, columns: dict[str, Column], read: dict[str, np.ndarray]
) -> tuple[effects.Estimate, np.ndarray | None, float | None]:
    """Read each row from the first form of input that it has complete.

    Parameters
    ----------
    model
        The settings.
    frame
        The user's table.
    columns, read
        Of the study's label and what else does not depend on the form.

    Returns
    -------
    tuple
        Effects and standard errors, shape (rows,); the covariance of rows that share a control group, or None; the
        pooled standard deviation of the rows that have means, or None.

    Raises
    ------
    BadInput
        Naming the row that has no form complete, or two that disagree.
    """
    what = column_fields(model)
    possible = [form for form in FORMS if model.measure in MEASURES[form]]
    named = {form: {w: Column(getattr(model, w), k, what[w]) for w, k in INPUTS[form].items()} for form in possible}
    holds = {
        column.name: ~is_blank(frame[column.name]) if column.name in frame.columns else np.zeros(len(frame), bool)
        for of in named.values()
        for column in of.values()
    }
    complete = {form: np.all([holds[c.name] for c in of.values()], axis=0) for form, of in named.items()}
    chosen = np.full(len(frame), "", dtype=object)
    for form in reversed(possible):
        chosen[complete[form]] = form
    for row in np.flatnonzero(chosen == ""):
        near = max(possible, key=lambda form: sum(holds[c.name][row] for c in named[form].values()))
        lacks = ", ".join(f"'{c.name}'" for c in named[near].values() if not holds[c.name][row])
        raise BadInput(
            f"row {row + 1} ({read['study'][row]}) has nothing from which a {model.measure} follows: for {near} it "
            f"lacks {lacks}; fill it in, or leave the row out"
        )
    effect, se = np.full(len(frame), np.nan), np.full(len(frame), np.nan)
    covariance, scale = None, None
    for form in possible:
        if not complete[form].any():
            continue
        of = _read_rows(frame, named[form], complete[form]) | read
        refuse_impossible_counts(of, named[form])
        y, error = effects_of(of, named[form], input=form, measure=model.measure)
        both = complete[form] & (chosen == "estimates") & (form != "estimates")
        for row in np.flatnonzero(both & ~(np.abs(y - effect) + np.abs(error - se) <= _AGREE * se)):
            raise BadInput(
                f"row {row + 1} ({read['study'][row]}) has an effect of {effect[row]:g} ({se[row]:g}), but its {form} "
                f"give {y[row]:.4g} ({error[row]:.4g}); correct one of the two, or empty the cells of the other"
            )
        mine = chosen == form
        effect[mine], se[mine] = y[mine], error[mine]
        if form == "means":
            scale = pooled_sd({word: values[complete[form]] for word, values in of.items()}, None)
        if "control_group" in read and mine.any():
            covariance = _shared(model, columns | named[form], of, mine, effect, covariance, form)
    return (effect, se), covariance, scale


def _read_rows(frame: pd.DataFrame, columns: Mapping[str, Column], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Read the columns of some rows, so that messages name the rows of the whole table; others get harmless numbers."""
    filled = frame.copy()
    for word, column in columns.items():
        harmless = 2 if word.startswith("n_") else 1
        filled[column.name] = frame[column.name].astype(object).where(pd.Series(rows), harmless)
    return read_columns(filled, columns)


def _shared(
    model: "Meta",
    columns: dict[str, Column],
    read: dict[str, np.ndarray],
    mine: np.ndarray,
    effect: np.ndarray,
    covariance: np.ndarray | None,
    form: str,
) -> np.ndarray | None:
    """Add the covariances of one form's rows that share a control group."""
    labels = read["control_group"].astype(str)
    for row in np.flatnonzero(mine):
        same = np.flatnonzero(labels == labels[row])
        if len(same) > 1 and (form == "estimates" or not mine[same].all()):
            raise BadInput(
                f"column '{columns['control_group'].name}': rows {same[0] + 1} and {same[1] + 1} share the control "
                f"group '{labels[row]}', but not all of its rows are means or counts; give them so, or state their "
                "covariance"
            )
    if form == "estimates":
        return covariance
    inside = {word: values[mine] for word, values in read.items()}
    group = people.groups_of_controls(inside, columns, input=form)
    found = np.zeros((len(mine), len(mine))) if covariance is None else covariance
    rows = np.flatnonzero(mine)
    found[np.ix_(rows, rows)] = people.covariance_of_shared_controls(inside, group, effect[mine], measure=model.measure)
    return found


def pooled_sd(read: Mapping[str, np.ndarray], group: np.ndarray | None) -> float:
    """Pool the standard deviations of all arms, those of shared control groups once.

    Parameters
    ----------
    read
        ``sd_treated``, ``n_treated``, ``sd_control`` and ``n_control``, shape (rows,).
    group
        Number of each row's control group; None where no rows share one.

    Returns
    -------
    float
        Root of the variances' average by their degrees of freedom.

    Examples
    --------
    >>> one = {"sd_treated": np.array([3.0]), "n_treated": np.array([11]), "sd_control": np.array([4.0]),
    ...        "n_control": np.array([11])}
    >>> round(pooled_sd(one, None) ** 2, 9)
    12.5
    """
    once = slice(None) if group is None else np.unique(group, return_index=True)[1]
    sd = np.concatenate([read["sd_treated"], read["sd_control"][once]])
    df = np.concatenate([read["n_treated"], read["n_control"][once]]) - 1
    return float(np.sqrt((df * sd**2).sum() / df.sum()))
