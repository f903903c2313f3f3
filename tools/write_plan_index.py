"""models/README.md: every shipped plan with its question, model, data, and answer.

Run ``python tools/write_plan_index.py`` after a plan, or the ledger that stands in the documents, has changed. The
answer of a plan is its first line in the ledger. That of a plan without a published number is the first sentence of its
report, kept in ``tools/answers.json``; ``python tools/write_plan_index.py results/STUDY/PLAN ...`` takes it from runs.
"""

import json
import re
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

from bayesdep.inference.fit import Fit
from bayesdep.plan import Plan, find_plans, read_plan
from bayesdep.reporting.sentences import sentences

ROOT = Path(__file__).parents[1]
SENTENCES = Path(__file__).parent / "answers.json"
HEAD = """# Plans

Made by `tools/write_plan_index.py` from the plans and their runs. An answer is the posterior (median and 95% interval)
of the estimand that the plan first sets beside a published number; `P` is the probability of the published direction.
Without a published number it is the first sentence of the report. With synthetic data the answer is about the design,
not about patients.

`bayesdep plans copy STUDY` copies a study's plans out of the installed package.
"""
_PLAN = re.compile(r"[\w-]+/[\w-]+(?=$|   )")
_LINE = re.compile(r"  (?P<estimand>\S.*?)(?: \(\d+\))?  +(?P<published>\S.*?)  +(?P<posterior>\S.*?)(?:  |$)")


def ledger_text(root: Path = ROOT) -> str:
    """The ledger as it stands in the documents."""
    for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        blocks = re.findall(r"```text\n(.*?)```", path.read_text(), re.DOTALL)
        found = [block for block in blocks if re.search(r"^ +Estimand +Published ", block, re.MULTILINE)]
        if found:
            return "\n".join(found)
    raise ValueError("no document holds the ledger")


def answers(ledger: str) -> dict[str, str]:
    """The first line of each plan's part of the ledger: the estimand and its posterior."""
    found: dict[str, str] = {}
    plan = ""
    for line in ledger.splitlines():
        if title := _PLAN.match(line):
            plan = title.group()
        elif plan and plan not in found and (match := _LINE.match(line)):
            found[plan] = f"{match['estimand']}: {match['posterior'].strip()}"
    return found


def keep_sentences(runs: Iterable[Path]) -> None:
    """Keep the first sentence of the reports of runs."""
    kept = json.loads(SENTENCES.read_text(encoding="utf-8")) if SENTENCES.exists() else {}
    for run in runs:
        plan = read_plan(ROOT / json.loads((run / "manifest.json").read_text(encoding="utf-8"))["plan"]["path"])
        kept[plan.label] = sentences(Fit.load(run / "posterior.nc"))[0]
    SENTENCES.write_text(json.dumps(dict(sorted(kept.items())), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _data(plan: Plan) -> str:
    scheme, _, name = plan.data.source.partition(":")
    return {
        "published": f"published: `{name}`",
        "simulate": f"synthetic: `{name}`",
        "path": f"yours: {plan.data.expects}",
    }.get(scheme, f"`{plan.data.source}`")


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def index(root: Path = ROOT) -> str:
    """The text of models/README.md."""
    said = json.loads(SENTENCES.read_text(encoding="utf-8")) | answers(ledger_text(root))
    lines, study = [HEAD], ""
    for path in find_plans(root / "models"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of former names, which a plan may use
            plan = read_plan(path)
        if plan.study.name != study:
            study = plan.study.name
            lines.append(
                f"\n## {study}\n\n| plan | question | model | data | answer |\n| --- | --- | --- | --- | --- |\n"
            )
        link = f"[{plan.name}]({path.relative_to(root / 'models').as_posix()})"
        cells = link, plan.study.question or plan.study.title, f"`{plan.model.family}`", _data(plan), said[plan.label]
        lines.append(f"| {' | '.join(map(_cell, cells))} |\n")
    return "".join(lines)


if __name__ == "__main__":
    keep_sentences(map(Path, sys.argv[1:]))
    (ROOT / "models" / "README.md").write_text(index())
