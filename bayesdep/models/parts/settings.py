"""Checks of a model's settings, for Python and plans alike."""

import dataclasses
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput, Faults, did_you_mean, in_words
from bayesdep.data.labels import clean_label, refuse_no_text
from bayesdep.data.magnitude import LARGEST, SIZES, is_workable
from bayesdep.data.tables import Column, Kind, as_frame, read_columns


def column(default: str | None, what: str, kind: Kind | None = None) -> Any:
    """Declare a dataclass field that holds the name of a column.

    Parameters
    ----------
    default
        The column's name unless the user says otherwise; None for a column that is optional.
    what
        What the column contains, for messages.
    kind
        The kind of its cells (:class:`~bayesdep.data.tables.Column`), if :func:`read_fields` reads it.

    Returns
    -------
    dataclasses.Field
        A field that :func:`column_fields` finds.
    """
    return dataclasses.field(default=default, metadata={"column": what, "kind": kind})


def read_fields(model: Any, table: Any) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Read the columns that a model's fields name, each checked against its kind.

    Parameters
    ----------
    model
        A model, whose fields were declared by :func:`column` with a kind.
    table
        A dataframe.

    Returns
    -------
    pandas.DataFrame
        The table without blank rows.
    dict of numpy.ndarray
        One array of shape (rows,) per field, except for columns that are not used (None).

    Raises
    ------
    BadInput
        At the first column that is missing or does not meet its requirements, naming the row.
    """
    frame = as_frame(table)
    named = {f.name: f.metadata for f in dataclasses.fields(model) if f.metadata.get("kind") is not None}
    contracts = {
        word: Column(getattr(model, word), about["kind"], about["column"])
        for word, about in named.items()
        if getattr(model, word) is not None
    }
    return frame, read_columns(frame, contracts)


def column_fields(model: Any) -> dict[str, str]:
    """Return the settings of a model that name columns, and what each column contains.

    Parameters
    ----------
    model
        A model, or its class.

    Returns
    -------
    dict of str
        What the column contains, by field name.
    """
    return {f.name: f.metadata["column"] for f in dataclasses.fields(model) if "column" in f.metadata}


# Settings that name a label of the table. Numbers among them are converted to text, as labels are.
LABELS = ("reference", "control", "condition", "event", "before", "baseline")


def labels_as_text(model: Any) -> None:
    """Convert labels that were given as numbers to text: ``reference = 0`` is the arm labelled 0 in the table.

    Parameters
    ----------
    model
        A dataclass instance; its settings ``reference``, ``control``, ``condition``, ``event``, ``before`` and, unless
        it is a column, ``baseline`` are changed in place.
    """
    for field in dataclasses.fields(model):
        value = getattr(model, field.name)
        if field.name not in LABELS or "column" in field.metadata or isinstance(value, (bool, np.bool_)):
            continue
        if isinstance(value, str):
            object.__setattr__(model, field.name, clean_label(value))  # like the table's labels
        if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
            object.__setattr__(model, field.name, type(value)(map(clean_label, value)))
        if isinstance(value, numbers.Real) and np.isfinite(float(value)):
            number = float(value)
            object.__setattr__(model, field.name, str(int(number)) if number.is_integer() else repr(number))


def check_settings(model: Any) -> None:
    """Refuse settings of the wrong type or outside the listed choices.

    Parameters
    ----------
    model
        A dataclass instance with type hints ``str``, ``float``, ``int``, ``Literal[...]`` or those with None.

    Raises
    ------
    BadInput
        Naming the setting, its value and the possible values.
    """
    hints = get_type_hints(type(model))
    labels_as_text(model)
    faults = Faults()
    for field in dataclasses.fields(model):
        # settings of type Any (priors, a covariance matrix) are read by their own functions
        if field.name == "priors" or hints[field.name] is Any or get_origin(hints[field.name]) is ClassVar:
            continue
        value = getattr(model, field.name)
        with faults:
            table = "[data.columns]" if "column" in field.metadata else "[model]"
            name = in_words(toml=f"{table} {field.name}", python=field.name)
            _refuse_no_text(name, value)
            if isinstance(value, str) and not value.strip():
                raise BadInput(f"{name} is an empty text; give a value, or leave it out")
            _check(name, value, hints[field.name])
    faults.refuse()


def _refuse_no_text(name: str, value: Any) -> None:
    """Refuse control characters anywhere in a setting."""
    if isinstance(value, str):
        refuse_no_text(value, name)
    for one in value if isinstance(value, (list, tuple)) else ():
        _refuse_no_text(name, one)
    for pair in value.items() if isinstance(value, Mapping) else ():
        _refuse_no_text(name, pair)


def _check(name: str, value: Any, hint: Any) -> None:
    options = [h for h in (hint, *get_args(hint)) if get_origin(h) is Literal]
    choices = get_args(options[0]) if options else ()
    if choices:
        optional = value is None and type(None) in get_args(hint)
        if not optional and value not in choices:
            raise BadInput(f"{name} = {value!r} is not a choice; {did_you_mean(str(value), map(str, choices))}")
        return
    kinds = (hint,) if get_origin(hint) is Mapping else get_args(hint) or (hint,)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if get_origin(hint) is Mapping or any(get_origin(k) is Mapping for k in kinds):
        _check_table(name, value, next((k for k in kinds if get_origin(k) is Mapping), hint), type(None) in kinds)
        return
    if get_origin(hint) is Sequence:
        numbers = get_args(hint)[0] is float
        needed_list = "numbers is needed, such as [1, 3, 5]" if numbers else "texts is needed, such as ['> 5']"
        kind = (int, float) if numbers else (str,)
        if not isinstance(value, (list, tuple)) or any(not isinstance(x, kind) or isinstance(x, bool) for x in value):
            raise BadInput(f"{name} = {value!r}, but a list of {needed_list}")
        for one in value if numbers else ():
            _refuse_unworkable(name, one)
        return
    fits = (
        (value is None and type(None) in kinds)
        or (isinstance(value, str) and str in kinds)
        or (isinstance(value, bool) and bool in kinds)
        or (number and float in kinds)
        or (number and int in kinds and isinstance(value, int))
    )
    if not fits:
        words = {str: "text", float: "a number", int: "a whole number", bool: "true or false", type(None): "nothing"}
        needed = " or ".join(words[k] for k in kinds)
        raise BadInput(f"{name} = {value!r}, but {needed} is needed")
    if number:
        _refuse_unworkable(name, value)


def _check_table(name: str, value: Any, hint: Any, optional: bool) -> None:
    """Refuse what is no table of text, or of whole numbers."""
    of_numbers = get_args(hint)[-1] is int
    if value is None and optional:
        return
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        kind = int if of_numbers else str
        if all(isinstance(x, kind) and not isinstance(x, bool) for x in value.values()):
            return
    raise BadInput(
        f"{name} = {value!r}, but a table of whole numbers is needed, such as {{ 'guilt' = 4 }}"
        if of_numbers
        else f"{name} = {value!r}, but a table of text is needed, such as {{ '1' = 'left' }}"
    )


def _refuse_unworkable(name: str, value: float) -> None:
    """Refuse a number whose square or inverse square over- or underflows; infinite ones are refused elsewhere."""
    if (isinstance(value, int) and abs(value) > LARGEST) or (np.isfinite(float(value)) and not is_workable(value)):
        raise BadInput(f"{name} = {value}, but a number of a size of {SIZES}, or 0, is needed; change it")
