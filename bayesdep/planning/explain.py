"""What a family, a table of a plan or one of its keys means, read from docstrings and dataclasses."""

import itertools
import textwrap
from collections.abc import Iterator
from typing import Any

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.models.documented import Documented, Key, documented
from bayesdep.models.model import Model
from bayesdep.models.register import FORMER, families, make_model
from bayesdep.plan_keys import TABLES
from bayesdep.planning.text import allowed, toml_value

_WIDTH = 96


def explain(asked: str | None = None) -> str:
    """Explain what can stand in a plan.

    Parameters
    ----------
    asked
        A family (``"trial"``), a table of a plan (``"data"``), or one of their keys (``"trial.covariance"``); None for
        the list of them.

    Returns
    -------
    str
        Lines for a terminal.

    Raises
    ------
    BadInput
        When there is no such thing, naming the nearest one.

    Examples
    --------
    >>> print(explain("sampling.draws"))
    draws = 1000
        Draws per chain.
    """
    if asked is None:
        return "\n".join(_everything())
    place, _, key = asked.partition(".")
    place = FORMER.get(place, place)
    if place in TABLES:
        return "\n".join(_of_table(place, key))
    if place not in families():
        raise BadInput(f"there is nothing to explain of '{place}'; {did_you_mean(place, [*families(), *TABLES])}")
    about = documented(place)
    if key:
        if key not in about.keys:
            raise BadInput(f"the {place} family has no key '{key}'; {did_you_mean(key, about.keys)}")
        return "\n".join(_of_key(about.keys[key]))
    return "\n".join(_of_family(about))


def _wrapped(text: str, indent: str = "    ") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False)


def _everything() -> Iterator[str]:
    yield "Families, [model] family = NAME (bayesdep explain NAME):"
    for family in families():
        yield f"  {family}"
        yield from _wrapped(documented(family).summary)
    yield "Tables of a plan (bayesdep explain NAME):"
    for name, table in TABLES.items():
        yield f"  {name}"
        yield from _wrapped(str(table.__doc__))


def _of_table(name: str, key: str) -> Iterator[str]:
    fields = TABLES[name].model_fields
    if key and key not in fields:
        raise BadInput(f"[{name}] has no key '{key}'; {did_you_mean(key, fields)}")
    if not key:
        yield f"[{name}]  {TABLES[name].__doc__}"
    for word, field in fields.items():
        if key in ("", word):
            yield f"{word}{' (needed)' if field.is_required() else _default(field.default)}"
            yield from _wrapped(str(field.description))


def _default(value: Any) -> str:
    return "" if value is None or value == "" else f" = {toml_value(value)}"


def _of_key(key: Key) -> Iterator[str]:
    needed = " (needed)" if key.is_needed else _default(key.default)
    yield f"{key.name}{needed}"
    yield from _wrapped(f"Column: {key.meaning}." if key.is_column else key.meaning)
    if not key.is_column and (what := allowed(key)):
        yield f"    May be: {what}."


def _of_family(about: Documented) -> Iterator[str]:
    yield f"{about.family}  (bd.{about.python} in Python)"
    yield from _wrapped(about.summary, "")
    yield ""
    yield from about.text.splitlines()
    for title, columns in (("[model]", False), ("[data.columns]", True)):
        yield ""
        yield title
        for key in about.keys.values():
            if key.is_column is columns:
                yield from _of_key(key)
    model = example_of(about)
    if model is None:
        return
    yield ""
    yield "[priors], under these defaults; more settings have more of them (bayesdep check lists a plan's)"
    for name, slot in model.slots.items():
        yield f"{name} ~ {model.priors[name]}"
        yield from _wrapped(f"{slot.meaning} ({slot.units})")
    yield ""
    yield f"Estimands that are asked first: {', '.join(model.primary_estimands)} (bayesdep check lists a plan's)."


def example_of(about: Documented) -> Model | None:
    """Return a model of a family with its defaults, and a stand-in for each setting that has none.

    Parameters
    ----------
    about
        The family.

    Returns
    -------
    Model or None
        None where no stand-in is possible.
    """
    needed = {key.name: _stand_ins(key) for key in about.keys.values() if key.is_needed}
    optional = [{key.name: _stand_ins(key)[0]} for key in about.keys.values() if key.default is None]
    for more in ({}, *optional):  # some families need one of several settings
        for values in itertools.product(*needed.values()):
            try:
                return make_model(about.family, {**dict(zip(needed, values, strict=True)), **more})
            except BadInput:
                continue
    return None


def _stand_ins(key: Key) -> tuple[Any, ...]:
    if key.choices:
        return key.choices
    by_kind = {"a list of texts": ["first", "second", "third"], "a list of numbers": [1.0], "a number": 1.0}
    by_kind["a table of whole numbers"] = {"first": 4, "second": 4, "third": 2}
    return (next((by_kind[kind] for kind in key.kinds if kind in by_kind), "control"),)
