"""Every remedy that a message names is tried: the input with the advice applied is not refused again.

The table is in ``advice.py`` and the files beside it whose names begin with ``advice_``. A new message of the data or
the models that is not in it fails the test.
"""

import ast
import itertools
import re
from collections import Counter
from functools import cache, lru_cache
from pathlib import Path

import pytest
from advice import ADVICE as OF_TABLES
from advice_designs import ADVICE as OF_DESIGNS
from advice_items import ADVICE as OF_ITEMS
from advice_ordinal import ADVICE as OF_ORDINAL
from advice_readers import ADVICE as OF_READERS
from advice_register import ADVICE as OF_REGISTER
from advice_stages import ADVICE as OF_STAGES
from advice_trajectories import ADVICE as OF_TRAJECTORIES

import bayesdep
from bayesdep.data.errors import BadInput

ADVICE = [*OF_TABLES, *OF_DESIGNS, *OF_ITEMS, *OF_ORDINAL, *OF_READERS, *OF_REGISTER, *OF_STAGES, *OF_TRAJECTORIES]
ERRORS = ("BadInput", "UnknownFamily")
PACKAGE = Path(bayesdep.__file__).parent


@cache
def refused(at):
    """The message by which an input of the table is refused."""
    try:
        ADVICE[at][2]()
    except BadInput as problem:
        return str(problem)
    raise AssertionError("it is not refused")


@pytest.mark.parametrize("at", range(len(ADVICE)), ids=[f"{where}-{said}" for where, said, _, _ in ADVICE])
def test_the_advice_of_a_message_works(at):
    """The message is one sentence that says what is quoted; what it advises is not refused."""
    _, said, _, advised = ADVICE[at]
    message = refused(at)
    assert said in message
    assert "\n" not in message
    advised()


def statically(node, constants):
    """The patterns of a message as the source writes it: fixed text, and anything where a value is put in.

    A message that is one of two by a condition has both.
    """
    if isinstance(node, ast.IfExp):
        return [*statically(node.body, constants), *statically(node.orelse, constants)]
    if isinstance(node, ast.Name) and node.id in constants:
        return statically(constants[node.id], constants)
    if isinstance(node, ast.Constant):
        return [re.escape(str(node.value))]
    if isinstance(node, ast.JoinedStr):
        return ["".join(re.escape(str(v.value)) if isinstance(v, ast.Constant) else ".*" for v in node.values)]
    if isinstance(node, ast.BinOp):
        sides = (statically(side, constants) for side in (node.left, node.right))
        return ["".join(parts) for parts in itertools.product(*sides)]
    return [".*"]


@lru_cache(maxsize=1)
def messages():
    """Every message of the data and the models: (module:function, pattern)."""
    found = []
    for folder in ("data", "designs", "models", "numerics"):
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            module = path.relative_to(PACKAGE).with_suffix("").as_posix()
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
            constants = {node.targets[0].id: node.value for node in assigned if isinstance(node.targets[0], ast.Name)}
            stack = [(tree, "")]
            while stack:
                node, function = stack.pop()
                for child in ast.iter_child_nodes(node):
                    inside = child.name if isinstance(child, ast.FunctionDef) else function
                    if isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id in ERRORS:
                        found += [(f"{module}:{inside}", said) for said in statically(child.args[0], constants)]
                    stack.append((child, inside))
    return found


def test_every_message_is_in_the_table():
    """By the function that says it, so that rewording is free; a new message needs an input and its advice."""
    tried = [(where, refused(at)) for at, (where, _, _, _) in enumerate(ADVICE)]
    untried = Counter(
        where
        for where, pattern in messages()
        if not any(w == where and re.fullmatch(pattern, " ".join(said.splitlines()), re.DOTALL) for w, said in tried)
    )
    assert not untried, f"add an input and its advice to tests/advice.py for the messages of {dict(untried)}"


def test_the_table_names_functions_that_speak():
    """An entry whose function is gone, or speaks elsewhere now, is to be renewed."""
    known = {where for where, _ in messages()}
    assert {where for where, _, _, _ in ADVICE} <= known
