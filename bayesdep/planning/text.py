"""The text of a plan: every key with its meaning and default, priors in the outcome's units."""

import json
import math
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import xarray as xr

from bayesdep.models.documented import Key, documented
from bayesdep.models.model import Model
from bayesdep.models.parts.scale import priors_of
from bayesdep.numerics.distributions import Prior, is_mixture
from bayesdep.plan_keys import Data, Sampling
from bayesdep.planning.suggest import Suggestion

_WIDTH = 100
_ON_ONE_LINE = 3  # entries of a table
CHECK = "CHECK"


@dataclass(frozen=True)
class Source:
    """Where a plan's table stands, and what is said of it at the plan's head.

    Parameters
    ----------
    path
        As ``[data] source`` has it: relative to the plan's folder, or ``"path"``.
    name
        Name of the study.
    about
        One sentence on the table.
    expects
        Of ``"path"``: what table is to be given.
    """

    path: str
    name: str
    about: str
    expects: str | None = None


def plan_text(suggestion: Suggestion, source: Source, *, others: Iterable[str] = ()) -> str:
    """Write a plan.

    Parameters
    ----------
    suggestion
        A draft that its model accepts, as :func:`~bayesdep.planning.suggest.suggest` returns it.
    source
        Where the table stands.
    others
        Other families that the table could be for.

    Returns
    -------
    str
        TOML. Keys that the table decides are set; the others stand as comments with their defaults. What the table does
        not tell is marked with the word CHECK.
    """
    draft = suggestion.draft
    about = documented(draft.family)
    parts = [
        _head(suggestion, source, list(others)),
        _study(draft.family, source),
        _data(suggestion, source),
        _columns(draft.columns, about.keys.values(), draft.asks),
        _model(suggestion, about.keys),
        _priors(suggestion.model, suggestion.data),
        _sampling(),
        _rest(suggestion.model),
    ]
    return "\n".join(parts)


def toml_value(value: Any) -> str:
    """Write a value as TOML.

    Parameters
    ----------
    value
        A text, number, truth value, list or table of these.

    Returns
    -------
    str
        On one line.

    Examples
    --------
    >>> toml_value({"week": [1, 2], "arm": "drug", "mo(stage)": True})
    '{ week = [1, 2], arm = "drug", "mo(stage)" = true }'
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, float):
        if math.isinf(value):
            return "inf" if value > 0 else "-inf"
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(str(k))} = {toml_value(v)}' for k, v in value.items())} }}" if value else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml_value, value))}]"
    return str(value)


def _quoted(text: str) -> str:
    """A basic string; JSON writes those that TOML reads, but for the one control character that it leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    is_bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if is_bare and name else _quoted(name)


def _comment(*sentences: str) -> str:
    """Sentences as comment lines."""
    lines = [line for one in sentences for line in textwrap.wrap(_clean(one), _WIDTH - 2, break_long_words=False)]
    return "".join(f"# {line}\n" for line in lines)


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _line(key: str, value: Any, *, meaning: str = "", ask: str | None = None) -> str:
    """A key that is set, under what it means and what is to be looked at."""
    checked = [f"{CHECK}: {ask}"] if ask else []
    said = _comment(*([_sentence(meaning)] if meaning else []), *checked)
    if isinstance(value, Mapping) and len(value) > _ON_ONE_LINE:
        return said + "".join(f"{_key(key)}.{_key(str(k))} = {toml_value(v)}\n" for k, v in value.items())
    return said + f"{_key(key)} = {toml_value(value)}\n"


def _unset(key: str, default: Any, *, meaning: str, what: str = "") -> str:
    """A key at its default, as a comment: taking the '#' away changes nothing."""
    if default is None or default == "":
        said = f"{_sentence(meaning)} " if meaning else ""
        return _comment(f"{said}Not set{f' ({what})' if what else ''}.") + f"#{_key(key)} =\n"
    return (_comment(_sentence(meaning)) if meaning else "") + f"#{_key(key)} = {toml_value(default)}\n"


def _sentence(text: str) -> str:
    text = re.sub(r"\bNone\b", "not set", text)  # which a plan cannot write
    return text if text.endswith((".", "?")) else f"{text}."


def _head(suggestion: Suggestion, source: Source, others: list[str]) -> str:
    draft = suggestion.draft
    asked = list(draft.asks)
    lines = [
        f"A plan for {source.about}",
        f"Family '{draft.family}': {documented(draft.family).summary} It is suggested because {', '.join(draft.why)}.",
    ]
    if others:
        lines.append(f"The table could also be for: {', '.join(others)} (bayesdep new TABLE --family NAME).")
    lines.append(
        "A key right behind a '#' has the default that is shown; remove the '#' to change it. "
        + (f"{CHECK} marks what the table does not tell: {', '.join(asked)}. " if asked else "")
        + f"bayesdep explain {draft.family} has the model; bayesdep check looks for faults; bayesdep run fits it."
    )
    return "".join(_comment(line) for line in lines)


def _study(family: str, source: Source) -> str:
    return "[study]\n" + "".join(
        (
            _line("name", source.name),
            _line("title", f"{documented(family).python} of {source.name}", meaning="Title of the report"),
            _comment("The question in one sentence, as it stands at the head of the report.") + '#question = ""\n',
        )
    )


def _said(table: Any, key: str) -> str:
    return str(table.model_fields[key].description)


def _data(suggestion: Suggestion, source: Source) -> str:
    draft = suggestion.draft
    lines = ["[data]\n", _line("source", source.path, meaning=_said(Data, "source"))]
    if source.expects is not None:
        lines.append(_line("expects", source.expects, meaning=_said(Data, "expects")))
    for key, value in (("keep", draft.keep), ("require", draft.require)):
        if value:
            lines.append(_line(key, value, meaning=_said(Data, key), ask=draft.asks.get(key)))
        else:
            example = {"keep": '{ COLUMN = ["VALUE", "VALUE"] }', "require": '["COLUMN"]'}[key]
            lines.append(_comment(_said(Data, key)) + f"#{key} = {example}\n")
    lines.append(_comment(_said(Data, "missing")) + '#missing = ["999"]\n')
    return "".join(lines)


def _columns(columns: Mapping[str, str], keys: Iterable[Key], asks: Mapping[str, str]) -> str:
    lines = ["[data.columns]\n"]
    of_columns = {key.name: key for key in keys if key.is_column}
    for word, name in columns.items():
        lines.append(_line(word, name, meaning=_capital(of_columns[word].meaning), ask=asks.get(word)))
    for key in of_columns.values():
        if key.default is None and key.name not in columns:
            lines.append(_comment(f"{_capital(key.meaning)} (may be left out).") + f'#{key.name} = "COLUMN"\n')
    return "".join(lines)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _model(suggestion: Suggestion, keys: Mapping[str, Key]) -> str:
    draft = suggestion.draft
    lines = ["[model]\n", f"family = {toml_value(draft.family)}\n"]
    for word, value in draft.settings.items():
        meaning = keys[word].meaning
        lines.append(_line(word, value, meaning=_capital(meaning), ask=draft.asks.get(word)))
    if draft.others:
        lines.append(
            _comment(
                f"Columns that are not used, and could be moderators or covariates: {', '.join(draft.others[:20])}."
            )
        )
    said = ""
    for key in keys.values():
        if not key.is_column and key.name not in draft.settings:
            meaning = "" if key.meaning == said else key.meaning  # several keys may share a sentence
            lines.append(_unset(key.name, key.default, meaning=meaning, what=allowed(key)))
            said = key.meaning
    return "".join(lines)


def allowed(key: Key) -> str:
    """Return what a setting may be, in words."""
    listed = [toml_value(choice) for choice in key.choices]
    return " or ".join([*(word for word in key.kinds if word != "anything"), *listed])


def priors_in_units(model: Model, data: xr.Dataset) -> dict[str, Prior]:
    """Return a model's priors as a plan would write them, in the outcome's units.

    Parameters
    ----------
    model
        The model.
    data
        Its prepared data.

    Returns
    -------
    dict of Prior
        By parameter, with numbers of three digits.
    """
    priors = {}
    for name, prior in priors_of(model, data).items():
        around = model.slots[name].around if model.priors[name].times_scale else None
        numbers = {k: v for k, v in prior.to_dict().items() if k not in ("dist", "times_scale", "why")}
        if around is not None:
            numbers["mu"] = float(numbers["mu"]) + float(data[around])
        if not is_mixture(prior.dist):  # rounded weights need not add to one
            numbers = {k: float(f"{v:.3g}") for k, v in numbers.items()}
        priors[name] = Prior(prior.dist, **numbers)
    return priors


def _priors(model: Model, data: xr.Dataset) -> str:
    lines = ["[priors]\n"]
    depends = any(prior.times_scale for prior in model.priors.values())
    scale = f", whose scale is {float(data['scale']):.3g} here" if depends and "scale" in data else ""
    lines.append(
        _comment(
            f"The default priors, in the outcome's units{scale}. "
            + ("Without the '#' they stay as they are when the table changes." if depends else "")
        )
    )
    for name, prior in priors_in_units(model, data).items():
        slot = model.slots[name]
        said = _comment(f"{_capital(slot.meaning)} ({slot.units}).")
        lines.append(f"{said}#{_key(name)} = {toml_value(_table_of(prior))}\n")
    return "".join(lines)


def _table_of(prior: Prior) -> dict[str, Any]:
    return {k: v for k, v in prior.to_dict().items() if k not in ("times_scale", "why")}


def _sampling() -> str:
    lines = ["[sampling]\n"]
    for key, field in Sampling.model_fields.items():
        lines.append(_unset(key, field.default, meaning=str(field.description)))
    return "".join(lines)


def _rest(model: Model) -> str:
    first = model.primary_estimands[0]
    return _comment(
        "Values of an estimand that are too small to matter, stated before the data, with the reason; and published "
        "numbers, which the report sets beside the posterior."
    ) + "".join(
        f"#{line}\n"
        for line in (
            "[[rope]]",
            f"estimand = {toml_value(first)}",
            "margin =",
            'reason = ""',
            "",
            "[[published]]",
            f"estimand = {toml_value(first)}",
            "value =",
            'source = ""',
        )
    )
