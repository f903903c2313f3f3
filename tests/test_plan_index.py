"""models/README.md lists every shipped plan as it is, with the answer that the ledger has."""

import json
from pathlib import Path

import write_plan_index

ROOT = Path(__file__).parents[1]


def test_the_index_is_the_one_that_the_tool_makes():
    """Renew it with: python tools/write_plan_index.py."""
    assert (ROOT / "models" / "README.md").read_text() == write_plan_index.index()


def test_an_answer_is_of_the_estimand_that_its_plan_publishes_first():
    from bayesdep.plan import find_plans, read_plan

    said = write_plan_index.answers(write_plan_index.ledger_text())
    plans = {plan.label: plan for plan in map(read_plan, find_plans(ROOT / "models"))}
    first = {label: plans[label].published[0].estimand for label in said}
    assert {label: answer.split(":")[0].split("[")[0] for label, answer in said.items()} == first
    assert len(first) > 30


def test_every_plan_has_an_answer_and_none_is_kept_twice():
    from bayesdep.plan import find_plans, read_plan

    said = write_plan_index.answers(write_plan_index.ledger_text())
    kept = json.loads(write_plan_index.SENTENCES.read_text(encoding="utf-8"))
    assert not said.keys() & kept.keys()
    assert said.keys() | kept.keys() == {read_plan(path).label for path in find_plans(ROOT / "models")}
