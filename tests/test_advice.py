"""Every remedy that a message names is tried: the input with the advice applied is not refused again.

The table is in ``advice.py``. A new message of the data or the models is either in it, or counted in :data:`OPEN`, by
its function, with the reason.
"""

import ast
import re
from collections import Counter
from functools import cache, lru_cache
from pathlib import Path

import pytest
from advice import ADVICE

import bayesdep
from bayesdep.data.errors import BadInput

PACKAGE = Path(bayesdep.__file__).parent
_DISK = "a disk that cannot be written, or a file that cannot be read"
_GENERATOR = "arguments of a generator of synthetic data; not tried here"
_PRIOR = "refuses a prior and names another; not tried here"
_LONG = "its advice is to correct rows, or leave them out, of a design that is long to make; not tried here"
_NEW = "new when this table was made; not in it yet"
OPEN: dict[str, tuple[int, str]] = {  # how many messages of a function are not in the table, and why
    "data/files:whole_directory": (1, _DISK),
    "data/files:whole_files": (1, _DISK),
    "data/limit_text:refuse_two_limits": (1, _LONG),
    "data/scales:convert_trials": (2, _LONG),
    "data/scales:fit_conversion": (1, _LONG),
    "data/simulate_kiraly2017:draw_kiraly2017": (3, _GENERATOR),
    "data/simulate_price2022:draw_price2022": (2, _GENERATOR),
    "data/simulate_raison2013:_coefficients": (1, _GENERATOR),
    "data/simulate_raison2013:draw_raison2013": (1, _GENERATOR),
    "data/sources:_read_file": (1, _DISK),
    "data/tables:_read": (1, "two columns of one name are refused before, by as_frame"),
    "models/parts/contrasts:refuse_without_correlation": (1, _PRIOR),
    "models/parts/covariates:_used": (1, "two columns of one name are refused before, by as_frame"),
    "models/parts/crossover/design:_refuse_unknown_before": (1, _LONG),
    "models/parts/crossover/design:refuse_unknowable": (6, _LONG),
    "models/parts/meta/studies:_refuse_empty_cells": (1, _LONG),
    "models/parts/meta/terms:refuse_foreign_priors": (2, _PRIOR),
    "models/parts/panel/table:_with_first": (1, "groups without a reference are refused before, by the settings"),
    "models/parts/pooled/events:count_events": (1, _LONG),
    "models/parts/pooled/imputation:_refuse_unknowable": (2, _LONG),
    "models/parts/pooled/moderators:_those_who_have_all": (1, _LONG),
    "models/parts/pooled/terms:_refuse_to_impute": (1, _LONG),
    "models/parts/pooled/terms:refuse_contradictions": (1, _LONG),
    "models/parts/pooled/terms:refuse_other_priors": (1, _PRIOR),
    "models/parts/priors:parse_prior": (3, _PRIOR),
    "models/parts/scale:scale_of": (2, _LONG),
    "models/parts/trial/moderator:_spline": (1, _LONG),
    "models/response:__post_init__": (1, _LONG),
    "models/small_studies:__post_init__": (1, _LONG),
    "data/flags:refuse_reversed_codes": (1, _NEW),
    "data/missing:declare_missing": (1, _NEW),
    "data/tables:refuse_code": (1, _NEW),
    "models/parts/trial/means:refuse_arms": (1, _NEW),
    "models/parts/trial/means:refuse_departures": (1, _NEW),
    "models/parts/trial/refusals:levels_that_tell_nothing": (1, _NEW),
    "models/parts/trial/refusals:refuse_times": (1, _NEW),
    "models/parts/trial/refusals:split_level": (1, _NEW),
    "models/parts/trial/residuals:refuse_unknown_correlations": (2, _NEW),
    "models/parts/trial/response:visit_of": (1, _NEW),
    "models/trial:__post_init__": (3, _NEW),
    "models/cytokines:_refuse_contradictions": (1, _NEW),
    "models/parts/meta/forms:_shared": (1, _NEW),
    "models/parts/meta/forms:read_mixed": (2, _NEW),
    "models/parts/meta/forms:refuse_other_forms": (1, _NEW),
    "models/parts/meta/reading:_from_arms": (2, _NEW),
    "models/parts/meta/reading:prepare": (1, _NEW),
    "models/parts/meta/shared_people:refuse_impossible": (2, _NEW),
    "models/parts/meta/shared_people:_not_the_square": (1, _NEW),
    "models/parts/meta/shared_people:given_covariance": (4, _NEW),
    "models/parts/meta/shared_people:labelled_covariance": (1, _NEW),
    "models/parts/meta/shared_people:refuse_repeated_controls": (1, _NEW),
    "models/parts/meta/shared_people:groups_of_controls": (1, _NEW),
    "models/parts/meta/studies:refuse_impossible_counts": (1, _NEW),
    "models/parts/meta/studies:check_studies": (1, _NEW),
    "models/parts/meta/studies:read_studies": (1, _NEW),
    "models/parts/meta/terms:_refuse_contradictory_sharing": (7, _NEW),
    "models/parts/meta/terms:refuse_contradictions": (1, _NEW),
    "models/parts/panel/table:_refuse_repeats": (2, _NEW),
    "models/small_studies:prepare": (1, _NEW),
}


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


def statically(node):
    """The pattern of a message as the source writes it: fixed text, and anything where a value is put in."""
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(re.escape(str(v.value)) if isinstance(v, ast.Constant) else ".*" for v in node.values)
    if isinstance(node, ast.BinOp):
        return statically(node.left) + statically(node.right)
    return ".*"


@lru_cache(maxsize=1)
def messages():
    """Every message of the data and the models: (module:function, pattern)."""
    found = []
    for folder in ("data", "models"):
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            module = path.relative_to(PACKAGE).with_suffix("").as_posix()
            stack = [(ast.parse(path.read_text(encoding="utf-8")), "")]
            while stack:
                node, function = stack.pop()
                for child in ast.iter_child_nodes(node):
                    inside = child.name if isinstance(child, ast.FunctionDef) else function
                    if isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id == "BadInput":
                        found.append((f"{module}:{inside}", statically(child.args[0])))
                    stack.append((child, inside))
    return found


def test_every_message_is_in_the_table_or_listed_with_a_reason():
    """By the function that says it, so that rewording is free; a new message needs an input and its advice."""
    tried = [(where, refused(at)) for at, (where, _, _, _) in enumerate(ADVICE)]
    untried = Counter(
        where
        for where, pattern in messages()
        if not any(w == where and re.fullmatch(pattern, " ".join(said.splitlines()), re.DOTALL) for w, said in tried)
    )
    more = {where: count for where, count in untried.items() if count > OPEN.get(where, (0, ""))[0]}
    assert not more, f"add an input and its advice to tests/advice.py for the messages of {more}"


def test_the_table_names_functions_that_speak():
    """An entry whose function is gone, or speaks elsewhere now, is to be renewed."""
    known = {where for where, _ in messages()}
    assert {where for where, _, _, _ in ADVICE} <= known
