"""Which families a table could be for: drafts that were tried on it, the most likely first."""

from dataclasses import dataclass
from typing import Any

import xarray as xr

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.sources import read_table
from bayesdep.models.documented import documented
from bayesdep.models.model import Model
from bayesdep.models.register import make_model
from bayesdep.planning.columns import Columns
from bayesdep.planning.families import DRAFTS, Draft


@dataclass(frozen=True)
class Suggestion:
    """A draft that its model accepts.

    Parameters
    ----------
    draft
        Columns, settings and rows.
    model
        The model that they make.
    data
        The table as the model prepared it.
    """

    draft: Draft
    model: Model
    data: xr.Dataset


def suggest(table: Any, family: str | None = None) -> list[Suggestion]:
    """Find the families that a table could be for; each was tried on it, without sampling.

    Parameters
    ----------
    table
        A dataframe, as :func:`bayesdep.read_table` returns it.
    family
        The only family to try; None for all.

    Returns
    -------
    list of Suggestion
        The most likely first, at least one.

    Raises
    ------
    BadInput
        When the table is for none, or the family cannot read it, saying what it needs.

    Examples
    --------
    >>> from bayesdep.designs.register import simulate
    >>> [one.draft.family for one in suggest(simulate("raison2013_responders", seed=1).table)]
    ['counts']
    """
    if family is not None and family not in DRAFTS:
        raise BadInput(f"no plan can be written for the family '{family}'; {did_you_mean(family, DRAFTS)}")
    columns = Columns(table)
    found: list[Suggestion] = []
    refused: dict[str, str] = {}
    for name, make in DRAFTS.items():
        if family in (None, name) and (draft := make(columns)) is not None:
            try:
                found.append(_tried(draft, columns))
            except BadInput as problem:
                refused[name] = str(problem)
    if not found:
        raise BadInput(_unfit(columns, family, refused))
    return sorted(found, key=lambda one: _place(one.draft))


def _place(draft: Draft) -> int:
    """Where a draft stands: items, and a score with markers, first; concentrations of nobody in particular last."""
    columns = set(draft.columns)
    if draft.family == "items" or {"outcome", "time", "value"} <= columns:
        return -1
    return 1 if draft.family == "cytokines" and not columns & {"group", "time", "analyte"} else 0


def _tried(draft: Draft, columns: Columns) -> Suggestion:
    """Prepare a draft's rows; where cells that it needs are empty, without those rows."""
    try:
        return _prepared(draft, columns)
    except BadInput:
        draft.require = [name for name in draft.columns.values() if columns.blanks(name)]
        if not draft.require:
            raise
        return _prepared(draft, columns)


def _prepared(draft: Draft, columns: Columns) -> Suggestion:
    model = make_model(draft.family, {**draft.settings, **draft.columns})
    rows = read_table(columns.frame, keep=draft.keep, require=draft.require)
    return Suggestion(draft, model, model.prepare(rows))


def _unfit(columns: Columns, family: str | None, refused: dict[str, str]) -> str:
    """Say why no family, or not the one asked for, can read a table."""
    if family is None:
        why = "; ".join(f"{name} would say: {said}" for name, said in refused.items())
        listed = ", ".join(f"'{name}'" for name in columns.names[:12])
        return (
            f"no family is recognised from the columns {listed}; say which with --family, or rename the columns "
            f"(bayesdep explain lists what each reads){'; ' + why if why else ''}"
        )
    if family in refused:
        return f"the {family} family cannot read this table as it is understood: {refused[family]}"
    needed = [key for key in documented(family).keys.values() if key.is_column and key.default is not None]
    listed = ", ".join(f"'{key.name}' ({key.meaning})" for key in needed[:8])
    return (
        f"no columns for the {family} family were recognised; it reads {listed}; rename the table's columns to these, "
        f"or write the plan by hand (bayesdep explain {family})"
    )
