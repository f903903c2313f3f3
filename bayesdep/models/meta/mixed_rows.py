"""Tables whose rows hold different things: each row is read from the first form of input that it has complete."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput
from bayesdep.data.tables import Column, is_blank, read_columns
from bayesdep.models.meta import shared_people
from bayesdep.models.meta.settings import MetaSettings
from bayesdep.models.meta.studies import effects_of, pooled_sd, refuse_impossible_counts
from bayesdep.models.parts.effect_inputs import INPUTS, MEASURES
from bayesdep.models.parts.settings import column_fields

FORMS = ("estimates", "counts", "means", "moments", "p-value")  # the first that a row has complete is used
_AGREE = 0.05  # of a standard error: how far an effect may lie from that of the same row's means or counts


def refuse_other_forms(settings: MetaSettings, frame: pd.DataFrame) -> None:
    """Refuse rows that lack what one form of input needs where they are complete in another, with the remedy.

    Parameters
    ----------
    settings
        The settings, which name the columns.
    frame
        The user's table.

    Raises
    ------
    BadInput
        Naming the first such row.
    """
    needed = [getattr(settings, word) for word in INPUTS[settings.input]]
    if not set(needed) <= set(frame.columns):
        return  # a missing column has a message of its own
    blank = {name: is_blank(frame[name]) for name in needed}
    for row in np.flatnonzero(np.any(list(blank.values()), axis=0)):
        for other in FORMS:
            names = [getattr(settings, word) for word in INPUTS[other]]
            possible = (
                other != settings.input and settings.measure in MEASURES[other] and set(names) <= set(frame.columns)
            )
            if possible and not any(is_blank(frame[name])[row] for name in names):
                name = next(name for name in needed if blank[name][row])
                raise BadInput(
                    f"column '{name}': row {row + 1} is empty, but the row has {', '.join(names)}; take "
                    "input = 'mixed', which reads each row from what it has"
                )


@dataclass(frozen=True)
class MixedEffects:
    """Effects of rows that hold different things.

    Parameters
    ----------
    effect, se
        Effects and standard errors, shape (rows,).
    covariance
        Sampling covariance of rows that share a control group, shape (rows, rows); its diagonal has no meaning. None
        where no control groups are named.
    scale
        Pooled standard deviation of the rows that have means, or None.
    """

    effect: np.ndarray
    se: np.ndarray
    covariance: np.ndarray | None
    scale: float | None


def read_mixed(
    settings: MetaSettings, frame: pd.DataFrame, columns: dict[str, Column], read: dict[str, np.ndarray]
) -> MixedEffects:
    """Read each row from the first form of input that it has complete.

    Parameters
    ----------
    settings
        The settings.
    frame
        The user's table.
    columns, read
        Of the study's label and what else does not depend on the form.

    Returns
    -------
    MixedEffects
        Effects, and what follows of rows with a control group or means.

    Raises
    ------
    BadInput
        Naming the row that has no form complete, or two that disagree.
    """
    what = column_fields(settings)
    of_forms = {
        form: {word: Column(getattr(settings, word), kind, what[word]) for word, kind in INPUTS[form].items()}
        for form in FORMS
        if settings.measure in MEASURES[form]
    }
    complete, chosen = _choose_forms(settings, frame, of_forms, read["study"])
    effect, se = np.full(len(frame), np.nan), np.full(len(frame), np.nan)
    covariance, scale = None, None
    for form, of_form in of_forms.items():
        if not complete[form].any():
            continue
        values = _read_rows(frame, of_form, complete[form]) | read
        refuse_impossible_counts(values, of_form)
        y, error = effects_of(values, of_form, input=form, measure=settings.measure)
        twice = complete[form] & (chosen == "estimates") & (form != "estimates")
        for row in np.flatnonzero(twice & ~(np.abs(y - effect) + np.abs(error - se) <= _AGREE * se)):
            raise BadInput(
                f"row {row + 1} ({read['study'][row]}) has an effect of {effect[row]:g} ({se[row]:g}), but its {form} "
                f"give {y[row]:.4g} ({error[row]:.4g}); correct one of the two, or empty the cells of the other"
            )
        rows = chosen == form
        effect[rows], se[rows] = y[rows], error[rows]
        if form == "means":
            scale = pooled_sd({word: column[complete[form]] for word, column in values.items()}, None)
        if "control_group" in read and rows.any():
            _refuse_mixed_controls(columns, values["control_group"].astype(str), rows, form)
            if form != "estimates":
                shared = _shared_controls(settings.measure, columns | of_form, values, rows, effect, form)
                covariance = shared if covariance is None else covariance + shared
    return MixedEffects(effect, se, covariance, scale)


def _choose_forms(
    settings: MetaSettings, frame: pd.DataFrame, of_forms: Mapping[str, Mapping[str, Column]], study: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Say in which forms each row is complete, and the first of them; refuse a row that is complete in none."""
    filled = {
        column.name: ~is_blank(frame[column.name]) if column.name in frame.columns else np.zeros(len(frame), bool)
        for of_form in of_forms.values()
        for column in of_form.values()
    }
    complete = {form: np.all([filled[c.name] for c in of_form.values()], axis=0) for form, of_form in of_forms.items()}
    chosen = np.full(len(frame), "", dtype=object)
    for form in reversed(list(of_forms)):
        chosen[complete[form]] = form
    for row in np.flatnonzero(chosen == ""):
        nearest = max(of_forms, key=lambda form: sum(filled[c.name][row] for c in of_forms[form].values()))
        lacks = ", ".join(f"'{c.name}'" for c in of_forms[nearest].values() if not filled[c.name][row])
        raise BadInput(
            f"row {row + 1} ({study[row]}) has nothing from which a {settings.measure} follows: for {nearest} it "
            f"lacks {lacks}; fill it in, or leave the row out"
        )
    return complete, chosen


def _read_rows(frame: pd.DataFrame, columns: Mapping[str, Column], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Read the columns of some rows; messages count rows of the whole table, whose other rows get unused numbers."""
    filled = frame.copy()
    for word, column in columns.items():
        harmless = 2 if word.startswith("n_") else 1
        filled[column.name] = frame[column.name].astype(object).where(pd.Series(rows), harmless)
    return read_columns(filled, columns)


def _refuse_mixed_controls(columns: Mapping[str, Column], labels: np.ndarray, rows: np.ndarray, form: str) -> None:
    """Refuse control groups that rows of different forms share, or rows that are estimates."""
    for row in np.flatnonzero(rows):
        same = np.flatnonzero(labels == labels[row])
        if len(same) > 1 and (form == "estimates" or not rows[same].all()):
            raise BadInput(
                f"column '{columns['control_group'].name}': rows {same[0] + 1} and {same[1] + 1} share the control "
                f"group '{labels[row]}', but not all of its rows are means or counts; give them so, or state their "
                "covariance"
            )


def _shared_controls(
    measure: str,
    columns: Mapping[str, Column],
    values: Mapping[str, np.ndarray],
    rows: np.ndarray,
    effect: np.ndarray,
    form: str,
) -> np.ndarray:
    """Sampling covariance of one form's rows that share a control group, shape (all rows, all rows)."""
    inside = {word: column[rows] for word, column in values.items()}
    group = shared_people.groups_of_controls(inside, columns, input=form)
    covariance = np.zeros((len(rows), len(rows)))
    place = np.ix_(np.flatnonzero(rows), np.flatnonzero(rows))
    covariance[place] = shared_people.covariance_of_shared_controls(inside, group, effect[rows], measure=measure)
    return covariance
