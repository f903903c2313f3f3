"""Plans and tables as text: nested values as TOML, columns as CSV, also where no analysis could use them."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any


class Raw(str):
    """A value that is written into a plan as it stands, whatever TOML makes of it."""


def toml(tables: Mapping[str, Any]) -> str:
    """Return nested tables as TOML: plain keys first, then [tables] and [[arrays of tables]]."""
    lines = [f"{_key(key)} = {value(one)}" for key, one in tables.items() if not isinstance(one, Mapping)]
    for key, one in tables.items():
        if isinstance(one, Mapping):
            lines.append(f"\n[{_key(key)}]")
            lines += [f"{_key(k)} = {value(v)}" for k, v in one.items()]
    return "\n".join(lines) + "\n"


def value(one: Any) -> str:
    """Return one value as TOML."""
    if isinstance(one, Raw):
        return str(one)
    if isinstance(one, bool):
        return str(one).lower()
    if isinstance(one, str):
        return _string(one)
    if isinstance(one, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {value(v)}" for k, v in one.items()) + " }"
    if isinstance(one, Sequence):
        return "[" + ", ".join(map(value, one)) + "]"
    if isinstance(one, float):
        return repr(one).replace("inf", "inf").replace("nan", "nan")
    return str(one)


def _key(key: str) -> str:
    return key if key and key.isascii() and key.replace("_", "").replace("-", "").isalnum() else _string(key)


def _string(one: str) -> str:
    # JSON's escapes are TOML's, but for characters beyond the basic plane, DEL, and lone surrogates, which it has not
    return json.dumps(one, ensure_ascii=False).replace("\x7f", "\\u007f")


def table(columns: Mapping[str, Sequence[Any]]) -> str:
    """Return columns of equal length as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()
