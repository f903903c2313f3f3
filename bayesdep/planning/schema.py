"""The JSON schema of plans, from which editors complete, explain and check them while they are written."""

import json
from typing import Any

from bayesdep.models.documented import Key, documented
from bayesdep.models.parts.settings import LABELS
from bayesdep.models.register import FORMER, families
from bayesdep.numerics.distributions import MOST_COMPONENTS, distributions, is_mixture
from bayesdep.plan_keys import WrittenPlan

_TYPES: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "a number": {"type": "number"},
    "a whole number": {"type": "integer"},
    "true or false": {"type": "boolean"},
    "a list of texts": {"type": "array", "items": {"type": "string"}},
    "a list of numbers": {"type": "array", "items": {"type": "number"}},
    "a table of whole numbers": {"type": "object", "additionalProperties": {"type": "integer"}},
    "a table of texts": {"type": "object", "additionalProperties": {"type": "string"}},
}
_COMPONENTS = {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": MOST_COMPONENTS}
FILE = "plan.schema.json"
HEADER = f"#:schema ../{FILE}"  # first line of a shipped plan, for Taplo


def plan_schema() -> dict[str, Any]:
    """Describe plans as a JSON schema (draft 7), with the meaning, type and choices of every key.

    Returns
    -------
    dict
        A plan that it refuses is refused by :func:`bayesdep.read_plan`. The reverse does not hold: settings may
        contradict one another.

    Examples
    --------
    >>> plan_schema()["properties"]["model"]["properties"]["family"]["enum"][:2]
    ['correlation', 'counts']
    """
    schema = _without_titles(WrittenPlan.model_json_schema())
    known = families()
    properties = schema["properties"]
    properties["model"] = {
        "type": "object",
        "description": properties["model"]["description"],
        "required": ["family"],
        "properties": {"family": {"enum": [*known, *FORMER], "description": "The family of the model."}},
        "anyOf": [{"$ref": f"#/$defs/{family}"} for family in known],  # what editors complete from
    }
    properties["priors"] = {
        "type": "object",
        "description": properties["priors"]["description"],
        "additionalProperties": {"$ref": "#/$defs/prior"},
    }
    schema["$defs"]["Sensitivity"]["properties"]["priors"]["additionalProperties"] = {"$ref": "#/$defs/prior"}
    schema["$defs"]["Data"]["properties"]["keep"] |= {"type": ["object", "string"]}
    schema["$defs"] |= {"prior": _prior(), **{family: _settings(family) for family in known}}
    schema["allOf"] = [_of_family(family) for family in known]
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "A plan of bayesdep", **schema}


def schema_text() -> str:
    """Return the schema as the text of a file."""
    return json.dumps(plan_schema(), indent=1, ensure_ascii=False) + "\n"


def _without_titles(value: Any) -> Any:
    """Leave out the titles that pydantic makes of keys, and nulls, which TOML cannot write."""
    if isinstance(value, list):
        return [_without_titles(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {k: _without_titles(v) for k, v in value.items() if not (k == "title" and isinstance(v, str))}
    options = [one for one in kept.get("anyOf", []) if one != {"type": "null"}]
    if kept.get("default", 0) is None:
        del kept["default"]
    if len(options) == 1 and len(kept.get("anyOf", [])) == 2:
        del kept["anyOf"]
        return options[0] | kept
    return kept | ({"anyOf": options} if options else {})


def _settings(family: str) -> dict[str, Any]:
    about = documented(family)
    keys = {key.name: _of_key(key) for key in about.keys.values()}
    return {"type": "object", "description": about.summary, "properties": keys}


def _of_key(key: Key) -> dict[str, Any]:
    options = [_TYPES[kind] for kind in key.kinds if kind in _TYPES]
    if key.choices:
        options.append({"enum": list(key.choices)})
    if key.name in LABELS and not key.is_column:
        options.append({"type": "number"})  # a label that is a number may be written as one
    said: dict[str, Any] = {"description": f"Column: {key.meaning}." if key.is_column else key.meaning}
    if not key.is_needed and key.default is not None:
        said["default"] = list(key.default) if isinstance(key.default, tuple) else key.default
    if not options or "anything" in key.kinds:
        return said
    return said | (options[0] if len(options) == 1 else {"anyOf": options})


def _of_family(family: str) -> dict[str, Any]:
    """What a plan of a family may hold: only its own settings and columns, and those that it needs."""
    keys = documented(family).keys
    columns = sorted({*(key.name for key in keys.values() if key.is_column), "analyte", "plate"})  # limits join by two
    needed = [key.name for key in keys.values() if key.is_needed and not key.is_column]
    model: dict[str, Any] = {"propertyNames": {"enum": ["family", *keys]}, "required": ["family", *needed]}
    model["allOf"] = [{"$ref": f"#/$defs/{family}"}]
    data = {"properties": {"columns": {"propertyNames": {"enum": columns}}}}
    names = [family, *(former for former, now in FORMER.items() if now == family)]
    is_family = {"properties": {"model": {"properties": {"family": {"enum": names}}, "required": ["family"]}}}
    return {"if": {"required": ["model"], **is_family}, "then": {"properties": {"model": model, "data": data}}}


def _prior() -> dict[str, Any]:
    shapes: list[dict[str, Any]] = [
        {
            "properties": {"dist": {"const": dist}, "times_scale": {"type": "boolean"}, "why": {"type": "string"},
                           **dict.fromkeys(parameters, _COMPONENTS if is_mixture(dist) else {"type": "number"})},
            "required": ["dist", *parameters],
            "additionalProperties": False,
        }
        for dist, parameters in distributions().items()
    ]  # fmt: skip
    paper = {name: {"type": "string"} for name in ("paper", "outcome", "comparison")}
    properties = paper | {"why": {"type": "string"}}
    published = {"properties": properties, "required": list(paper), "additionalProperties": False}
    return {"type": "object", "description": "A prior distribution, or a published one.", "anyOf": [*shapes, published]}
