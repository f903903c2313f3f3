"""models/README.md lists every shipped plan as it is, with the answer that the ledger has."""

from pathlib import Path

import write_plan_index

ROOT = Path(__file__).parents[1]


def test_the_index_is_the_one_that_the_tool_makes():
    """Renew it with: python tools/write_plan_index.py."""
    assert (ROOT / "models" / "README.md").read_text() == write_plan_index.index()


def test_every_plan_with_a_published_number_that_needs_no_file_has_its_answer():
    from bayesdep.plan import find_plans, read_plan

    said = write_plan_index.answers(write_plan_index.ledger_text())
    plans = [read_plan(path) for path in find_plans(ROOT / "models")]
    first = {plan.label: plan.published[0].estimand for plan in plans if plan.published and not plan.needs_data}
    assert set(first) - set(said) == set()
    assert {label: said[label].split(":")[0].split("[")[0] for label in first} == first
