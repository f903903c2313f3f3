"""Plans: every key of every family with values of the wrong kind, of every size and shape; and what is no plan."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from bayesdep.models.register import model_class
from hostile.bases import BASES, Base
from hostile.harness import DONE, REFUSED, Attempt
from hostile.text import Raw, table, toml

EITHER = (REFUSED, DONE)

# By kind; every key gets one of each kind, another of them from key to key.
VALUES: dict[str, tuple[Any, ...]] = {
    "number": (7, -1, 0, 0.5, -2.5, True),
    "far": (1e308, 5e-324, float("inf"), float("-inf"), float("nan"), 10**40, -(2**63), Raw("1" * 5000)),
    "empty": ("", " ", [], Raw("{}"), "\u200b", [""], [[]], Raw("[{}]")),
    "nested": ([[1, [2, ["x"]]]], Raw("{ a = { b = { c = 1 } } }"), [{"dist": "Normal"}], Raw("[1, 'a', 1979-05-27]")),
    "long": ("x" * 100_000, ["x"] * 5_000, "é" * 3_000, [0.1] * 3_000, "a b\n" * 2_000),
    "odd": (
        "\u0000",
        "\u001b[31mred\u0007",
        "\u202egnp.exe",
        "$x^{$",
        "{{ 7 * 7 }}",
        "<script>alert(1)</script>",
        "a\nb",
    ),
    "code": (
        "__import__('os').system('touch canary')",
        "../../outside/canary.csv",
        "/etc/passwd",
        "$(touch canary)",
        "%s%n{0.__class__}",
    ),
    "date": (Raw("1979-05-27"), Raw("07:32:00"), Raw("1979-05-27T00:32:00-07:00")),
}


def files(base: Base, plan: dict[str, Any]) -> dict[str, Any]:
    """Return the files of a plan beside the base's own table."""
    return {"plan.toml": toml(plan), "table.csv": table(base.table)}


def keys_of(base: Base) -> list[tuple[str, ...]]:
    """Return every key that a plan of a family can have, as a path."""
    from bayesdep import plan_keys

    keys = [
        (name, key)
        for name, fields in (
            ("study", plan_keys.Study.model_fields),
            ("data", plan_keys.Data.model_fields),
            ("sampling", plan_keys.Sampling.model_fields),
        )
        for key in fields
    ]
    for field in dataclasses.fields(model_class(base.family)):
        if field.name != "priors":
            keys.append(("data", "columns", field.name) if "column" in field.metadata else ("model", field.name))
    keys += [
        ("model", "family"),
        *((table,) for table in ("study", "data", "model", "priors", "sampling", "published", "rope", "sensitivity")),
    ]
    keys += [("data", "keep", next(iter(base.table)))]
    return keys


def changed(plan: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return a plan in which a key has another value."""
    plan = {key: dict(one) if isinstance(one, dict) else one for key, one in plan.items()}
    at = plan
    for key in path[:-1]:
        at[key] = dict(at.get(key, {}))
        at = at[key]
    at[path[-1]] = value
    return plan


def good() -> Iterator[Attempt]:
    for family, base in BASES.items():
        yield Attempt(f"good {family}", files(base, base.plan()), codes=(DONE,))


def every_key(common: str = "meta") -> Iterator[Attempt]:
    """Every key of every family with values of every third kind, by turns; keys that all families share, once."""
    turn = 0
    for family, base in BASES.items():
        for path in keys_of(base):
            if family != common and path[0] != "model" and path[:2] != ("data", "columns"):
                continue
            for kind, values in VALUES.items():
                turn += 1
                if turn % 3 == 0:
                    at = turn // 3 % len(values)
                    yield _attempt(base, path, f"{kind} {at}", values[at])


def every_value(family: str) -> Iterator[Attempt]:
    """Every key of a family with every value."""
    base = BASES[family]
    for path in keys_of(base):
        for kind, values in VALUES.items():
            for at, value in enumerate(values):
                yield _attempt(base, path, f"{kind} {at}", value)


def _attempt(base: Base, path: tuple[str, ...], name: str, value: Any) -> Attempt:
    return Attempt(
        f"{base.family}: {'.'.join(path)} is {name}", files(base, changed(base.plan(), path, value)), codes=EITHER
    )


def every_prior() -> Iterator[Attempt]:
    """Priors of every family, in slots that it has and has not."""
    odd = [
        {"dist": "Normal", "mu": 0, "sigma": value}
        for value in (
            0,
            -1,
            1e308,
            5e-324,
            1e200,
            1e-200,
            float("nan"),
            float("inf"),
            "one",
            True,
            [1],
            Raw("1" * 5000),
        )
    ]
    odd += [
        {"dist": name}
        for name in ("", "os.system", "Normal", "Flat", "x" * 100_000, 3, ["Normal"], "__class__", "Normal()")
    ]
    odd += [{}, {"dist": "HalfNormal", "sigma": 1, "extra": 1}, {"dist": {"dist": "Normal"}}, {"mu": 1}]
    odd += [
        {"dist": "Uniform", "lower": 1, "upper": 0},
        {"dist": "Uniform", "lower": -1e308, "upper": 1e308},
        {"dist": "HalfNormal", "sigma": 1e200},
        {"dist": "Normal", "mu": 1e300, "sigma": 1},
    ]
    turn = 0
    for base in BASES.values():
        slots = list(_slots(base))
        for prior in odd:
            turn += 1
            slot = slots[turn % len(slots)]
            yield Attempt(
                f"{base.family}: prior {turn} of {slot}",
                files(base, changed(base.plan(), ("priors", slot), prior)),
                codes=EITHER,
            )


def other_priors() -> Iterator[Attempt]:
    """Keys of [[sensitivity]] with values of every kind, by turns."""
    base = BASES["meta"]
    whole = {"name": "wide", "why": "a demonstration", "priors": {"tau": {"dist": "HalfNormal", "sigma": 1}}}
    values = [(kind, at, value) for kind, values in VALUES.items() for at, value in enumerate(values)]
    for turn, (kind, at, value) in enumerate(values):
        key = list(whole)[turn % 3]
        plan = base.plan() | {"sensitivity": [whole | {key: value}]}
        yield Attempt(f"meta: sensitivity {key} is {kind} {at}", files(base, plan), codes=EITHER)
    for key, value in (
        ("name", "x" * 1000),
        ("name", "../../outside"),
        ("name", ".."),
        ("why", "<script>alert(1)</script>"),
    ):
        plan = base.plan() | {"sensitivity": [whole | {key: value}]}
        yield Attempt(f"meta: sensitivity {key} {value[:12]}", files(base, plan), codes=EITHER)
    yield Attempt("good sensitivity", files(base, base.plan() | {"sensitivity": [whole]}), codes=(DONE,))


def _slots(base: Base) -> list[str]:
    return [*model_class(base.family)(**base.model, **base.columns, priors=base.priors).slots]


def no_plans() -> Iterator[Attempt]:
    """Files that are no plans: bombs, deep nesting, other encodings, nothing at all."""
    base = BASES["screen"]
    text = toml(base.plan())
    good = {"table.csv": table(base.table)}
    deep = 200_000
    contents: dict[str, Any] = {
        "empty": "",
        "NULs": b"\x00" * 1000,
        "a NUL inside": text.replace("demo", "de\x00mo"),
        "binary": bytes(range(256)) * 40,
        "UTF-16": text.encode("utf-16"),
        "Latin-1": text.replace("demonstration", "démonstration").encode("latin-1"),
        "one line of 30 MB": b"a = '" + b"x" * 30_000_000 + b"'\n",
        "a million keys": "".join(f"k{i} = 1\n" for i in range(400_000)),
        "a million tables": "".join(f"[t{i}]\n" for i in range(200_000)),
        "deep arrays": f"a = {'[' * deep}{']' * deep}\n",
        "deep arrays left open": f"a = {'[' * deep}\n",
        "deep tables": "a = " + "{ b = " * deep + "1" + " }" * deep + "\n",
        "deep dotted key": ".".join(["a"] * 50_000) + " = 1\n",
        "deep header": "[" + ".".join(["a"] * 50_000) + "]\n",
        "fairly deep arrays": text + f"[data.keep]\ngroup = {'[' * 300}{']' * 300}\n",
        "fairly deep tables": text + "[data.keep]\ngroup = " + "{ b = " * 150 + "1" + " }" * 150 + "\n",
        "a number of 10,000 digits": text.replace("draws = 100", "draws = " + "9" * 10_000),
        "a number in hexadecimal of 10,000 digits": text.replace("draws = 100", "draws = 0x" + "f" * 10_000),
        "a float of 10,000 digits": text.replace("draws = 100", "draws = 1." + "9" * 10_000),
        "a date that is none": text.replace("draws = 100", "draws = 2020-13-45"),
        "keys twice": text + "[model]\n",
        "a surrogate": text.replace("demo", "de\\ud800mo"),
        "pickle": b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
        "YAML": "!!python/object/apply:os.system ['touch canary']\n",
        "JSON": '{"study": {"name": "demo"}}',
    }
    for name, content in contents.items():
        yield Attempt(f"no plan: {name}", good | {"plan.toml": content}, codes=(REFUSED,), megabytes=1500)
    yield Attempt("plan with carriage returns", good | {"plan.toml": text.replace("\n", "\r")}, codes=(DONE,))
    yield Attempt("plan with byte order mark", good | {"plan.toml": b"\xef\xbb\xbf" + text.encode()}, codes=(DONE,))


ATTEMPTS = [*good(), *every_key(), *every_prior(), *other_priors(), *no_plans()]
