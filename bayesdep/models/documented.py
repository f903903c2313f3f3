"""What a model's docstring and dataclass say of it: its equations, its settings, its priors, as data."""

import dataclasses
import inspect
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from bayesdep.models.register import SHIPPED, model_class

_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)
_ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")
_KINDS = {str: "text", float: "a number", int: "a whole number", bool: "true or false"}
_AS_IN = re.compile(r"As in (\w+)")
NO_DEFAULT = dataclasses.MISSING


@dataclass(frozen=True)
class Key:
    """One setting of a model.

    Parameters
    ----------
    name
        Its name, in a plan and in Python.
    meaning
        What the docstring says of it, without markup; for a column what its cells contain.
    default
        Its default; ``NO_DEFAULT`` where it must be given.
    choices
        What it may be, where that is a list; else empty.
    kinds
        What it may be otherwise, in words: ``"text"``, ``"a number"``, ``"a list of texts"``, ...
    is_column
        Whether it names a column of the table, so that a plan has it in ``[data.columns]``.
    """

    name: str
    meaning: str
    default: Any
    choices: tuple[Any, ...]
    kinds: tuple[str, ...]
    is_column: bool

    @property
    def is_needed(self) -> bool:
        """Whether it has no default."""
        return self.default is NO_DEFAULT


@dataclass(frozen=True)
class Documented:
    """What is written of a model.

    Parameters
    ----------
    family
        What a plan calls it.
    python
        The class's name, as in ``bd.Trial``.
    summary
        The first sentence of its docstring.
    text
        The rest of it up to its parameters: the generative model and the default priors.
    keys
        Its settings in their order, without ``family`` and ``priors``.
    """

    family: str
    python: str
    summary: str
    text: str
    keys: Mapping[str, Key]


@cache
def documented(family: str) -> Documented:
    """Read what a model's docstring and dataclass say.

    Parameters
    ----------
    family
        What a plan calls it.

    Returns
    -------
    Documented
        Nothing of it is written anywhere else.

    Raises
    ------
    UnknownFamily
        When there is no such family, naming the nearest one.

    Examples
    --------
    >>> documented("screen").summary
    'A test at a fixed cutoff, from how many people with and without the condition test positive.'
    >>> documented("trial").keys["lkj"].meaning
    'Shape of the LKJ prior of an unstructured correlation; 1 is uniform.'
    """
    cls = model_class(family)
    doc = inspect.getdoc(cls) or ""
    head, *sections = _SECTION.split(doc)
    section = dict(zip(sections[::2], sections[1::2], strict=True))
    meanings = _entries(section.get("Parameters", ""))
    for name, meaning in meanings.items():
        if (other := _AS_IN.match(meaning)) and (family_of := _family_of(other.group(1))):
            meanings[name] = documented(family_of).keys[name].meaning
    hints = get_type_hints(cls)
    keys = {
        field.name: _key(field, hints[field.name], meanings.get(field.name, ""))
        for field in dataclasses.fields(cls)
        if field.init and field.name != "priors"
    }
    summary, _, text = head.strip().partition("\n\n")
    return Documented(cls.family, cls.__name__, _plain(summary), text.strip(), keys)


def _family_of(python: str) -> str | None:
    """The family of a class of the package by its name, where a docstring refers to it."""
    return next((family for family, (_, name) in SHIPPED.items() if name == python), None)


def _entries(section: str) -> dict[str, str]:
    """Read a section of a numpy docstring: the text of every name, also where several share one."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.strip().splitlines():
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.replace("\\", " ").split(":")[0].split(",") if name.strip()]
            found |= dict.fromkeys(names, "")
        else:
            found |= {name: f"{found[name]} {line.strip()}".strip() for name in names}
    return {name: _plain(text) for name, text in found.items()}


def _plain(text: str) -> str:
    """Text without the markup of docstrings, on one line."""
    return " ".join(_ROLE.sub(r"\1", text).replace("``", "").split())


def _key(field: "dataclasses.Field[Any]", hint: Any, meaning: str) -> Key:
    default = field.default
    if default is NO_DEFAULT and field.default_factory is not NO_DEFAULT:
        default = field.default_factory()
    is_column = "column" in field.metadata
    said = field.metadata["column"] if is_column else meaning
    choices, kinds = _allowed(hint)
    return Key(field.name, said, default, choices, kinds, is_column)


def _allowed(hint: Any) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """What a type hint allows: choices, and kinds in words; None, which a plan cannot write, is left out."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    choices: list[Any] = []
    kinds: list[str] = []
    for option in options:
        origin = get_origin(option)
        if origin is Literal:
            choices += get_args(option)
        elif option in _KINDS:
            kinds.append(_KINDS[option])
        elif origin is Sequence:
            kinds.append("a list of numbers" if get_args(option) == (float,) else "a list of texts")
        elif origin is Mapping:
            kinds.append("a table of whole numbers" if get_args(option)[1] is int else "a table of texts")
        elif option is Any:
            kinds.append("anything")
    return tuple(choices), tuple(kinds)
