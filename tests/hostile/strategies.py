"""What hypothesis draws attempts from: plans, tables, formulas and saved fits, each near a good one and damaged."""

import string
from typing import Any

from hypothesis import strategies as st

from hostile.bases import BASES, Base
from hostile.harness import DONE, REFUSED, Attempt
from hostile.plans import VALUES, changed, files, keys_of
from hostile.saved_fits import EITHER as FIT_CODES
from hostile.saved_fits import PLACE, WORDS, good_bytes
from hostile.tables import DAMAGE
from hostile.text import Raw, table, toml

EITHER = (REFUSED, DONE)

_ODD = st.sampled_from([one for kind, values in VALUES.items() if kind != "long" for one in values])
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text(string.punctuation, max_size=12)
_SCALARS = st.booleans() | st.integers() | st.floats() | _TEXT | _ODD
_TREES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)
_BASES = st.sampled_from(list(BASES.values()))


@st.composite
def plans(draw: Any) -> Attempt:
    """A plan with one to three keys changed, or a few of its letters."""
    base: Base = draw(_BASES)
    plan = base.plan()
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([p for p in keys_of(base) if len(p) > 1]))
        if isinstance(plan.get(path[0]), dict) and (len(path) < 3 or isinstance(plan[path[0]].get(path[1], {}), dict)):
            plan = changed(plan, path, draw(_TREES))
    made = files(base, plan)
    if draw(st.booleans()):
        made["plan.toml"] = _mutated(draw, made["plan.toml"].encode("utf-8", "surrogatepass"))
    return Attempt("fuzzed plan", made, codes=EITHER)


@st.composite
def tables(draw: Any) -> Attempt:
    """A table with columns damaged, cells changed, or a few of its bytes."""
    base: Base = draw(_BASES)
    columns = {name: list(cells) for name, cells in base.table.items()}
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(list(columns)))
        columns[name] = DAMAGE[draw(st.sampled_from([d for d in DAMAGE if d != "long"]))](columns[name])
    for _ in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from(list(columns)))
        columns[name][draw(st.integers(0, len(columns[name]) - 1))] = draw(_SCALARS.filter(_is_plain))
    content = table(columns).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 2)) == 0:
        content = _mutated(draw, content)
    return Attempt("fuzzed table", {"plan.toml": toml(base.plan()), "table.csv": content}, codes=EITHER)


def _is_plain(value: Any) -> bool:
    return not isinstance(value, (Raw, list, tuple))


_NAMES = (
    "age",
    "crp",
    "effect",
    "`age`",
    "`a b`",
    "x",
    "__class__",
    "os",
    "np",
    "group",
    "I",
    "C",
    "1e400",
    "1",
    "0",
    "-1",
)
_CALLS = (
    "I",
    "C",
    "log",
    "exp",
    "sqrt",
    "center",
    "scale",
    "poly",
    "bs",
    "cr",
    "Q",
    "eval",
    "open",
    "np.log",
    "__import__",
    "mo",
)
_OPERATORS = (
    "+",
    "-",
    "*",
    ":",
    "/",
    "**",
    "^",
    "|",
    "~",
    "%in%",
    ",",
    "==",
    "<=",
    " and ",
    " or ",
    " in ",
    " not ",
    " if ",
)


@st.composite
def formulas(draw: Any) -> Attempt:
    """A formula, or a condition, of the grammar's parts in any order; and of other things."""
    base = BASES[draw(st.sampled_from(["cytokines", "trial", "meta", "response", "patient-meta"]))]
    names = st.sampled_from([*_NAMES, *base.table])
    expression = st.recursive(
        names
        | st.integers(-3, 99).map(str)
        | st.sampled_from(["'a'", '"ill"', "[1, 2]", "{}", "(", ")", "", "lambda: 0", "`", "\\"]),
        lambda inner: st.one_of(
            st.builds("{}({})".format, st.sampled_from(_CALLS), inner),
            st.builds("{}({}, {})".format, st.sampled_from(_CALLS), inner, inner),
            st.builds("{} {} {}".format, inner, st.sampled_from(_OPERATORS), inner),
            st.builds("({})".format, inner),
            st.builds("{}.{}".format, inner, names),
            st.builds("{}[{}]".format, inner, inner),
            st.builds("({}) ** {}".format, inner, st.integers(0, 999)),
        ),
        max_leaves=10,
    )
    text = draw(expression | _TEXT)
    key, value = {"trial": ("subgroups", [text]), "patient-meta": ("moderators", [text])}.get(
        base.family, ("covariates", text)
    )
    if draw(st.booleans()) and base.family == "trial":
        key, value = "covariates", text
    return Attempt("fuzzed formula", files(base, changed(base.plan(), ("model", key), value)), codes=EITHER)


@st.composite
def saved_fits(draw: Any) -> Attempt:
    """A saved fit with bytes changed, with its hash as it was or without one."""
    content = good_bytes()
    content = _mutated(draw, content if draw(st.integers(0, 3)) == 0 else content[:-80])
    return Attempt("fuzzed fit", {PLACE: content, "out/there": ""}, WORDS, codes=FIT_CODES)


def _mutated(draw: Any, content: bytes) -> bytes:
    """Bytes with some replaced, removed, repeated or put in."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, max(len(changed) - 1, 0)))
        length = draw(st.sampled_from([1, 1, 2, 4, 8, 40]))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            changed[at : at + length] = draw(st.binary(min_size=length, max_size=length))
        elif kind == 1:
            del changed[at : at + length]
        elif kind == 2:
            changed[at:at] = changed[at : at + length]
        else:
            changed[at:at] = draw(
                st.sampled_from([b"\x00", b"\xff", b'"', b"'", b"[", b"{", b"=", b"\n", b",", b".", b"e999"])
            )
    return bytes(changed)
