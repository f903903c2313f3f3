"""How often the intervals of unpooled `Counts` contain the truth: exactly, by adding up binomial probabilities.

Run with ``python benchmarks/counts_coverage.py`` (about a minute). It writes ``benchmarks/counts_coverage.csv`` and
the tables in ``docs/evidence/counts_coverage.md``. Nothing is simulated: for a risk every number of events from 0 to
n, for a difference or a ratio every pair of them, counts with its probability.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from bayesdep.numerics.betas import BetaCombination, BetaMarginal, difference, odds_ratio, ratio

HERE = Path(__file__).parent
DOCUMENT = HERE.parent / "docs" / "evidence" / "counts_coverage.md"
RISKS = (0.0, 0.01, 0.05, 0.2)
PAIRS = ((0.0, 0.0), (0.0, 0.05), (0.01, 0.01), (0.01, 0.05), (0.05, 0.05), (0.05, 0.2), (0.2, 0.2))  # treated, control
SIZES = (10, 20, 30, 50, 100)
LEVEL = 0.95
NEGLIGIBLE = 1e-7  # tables rarer than this are left out; together they add less than 1e-3 at the largest n
MEASURES = {"difference": difference, "risk ratio": ratio, "odds ratio": odds_ratio}


def cell(events: int, n: int, prior: float, *, ends: bool = True) -> BetaMarginal:
    """Return the posterior of a risk under Beta(prior, prior)."""
    return BetaMarginal(events + prior, n - events + prior, (events, n) if ends else None)


def contains(marginal: BetaMarginal | BetaCombination, truth: float) -> bool:
    """Whether the interval that :func:`bayesdep.summarise` reports contains a value, by the distribution function."""
    below = float(marginal.cdf(truth))
    low, high = marginal.ends
    tail = (1 - LEVEL) / 2
    return (below >= tail if low is None else truth >= low) and (below <= 1 - tail if high is None else truth <= high)


def of_risk(n: int, risk: float) -> dict[str, float]:
    """Return the coverage of a risk's intervals: Jeffreys', Clopper and Pearson's, and under Beta(0.01, 0.01)."""
    chance = stats.binom.pmf(np.arange(n + 1), n, risk)
    found = dict.fromkeys(("jeffreys", "exact", "beta_001"), 0.0)
    for events, p in enumerate(chance):
        lower, upper = cell(events, n, 0.5).exact_interval(LEVEL)
        found["jeffreys"] += p * contains(cell(events, n, 0.5), risk)
        found["exact"] += p * (lower <= risk <= upper)
        found["beta_001"] += p * contains(cell(events, n, 0.01, ends=False), risk)
    return found


def of_pair(n: int, treated: float, control: float) -> dict[str, float]:
    """Return the coverage of the difference and, where both risks are above 0, of the ratios."""
    truths = {"difference": treated - control}
    if treated > 0 and control > 0:
        truths |= {
            "risk ratio": treated / control,
            "odds ratio": treated * (1 - control) / (control * (1 - treated)),
        }
    first, second = (stats.binom.pmf(np.arange(n + 1), n, p) for p in (treated, control))
    found = dict.fromkeys(truths, 0.0)
    for i, j in np.argwhere(np.outer(first, second) > NEGLIGIBLE):
        u, v = cell(int(i), n, 0.5), cell(int(j), n, 0.5)
        for name, truth in truths.items():
            found[name] += first[i] * second[j] * contains(MEASURES[name](u, v), truth)
    return found


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the coverage of risks and of contrasts, one row a design."""
    risks = [{"risk": p, "n": n, **of_risk(n, p)} for p in RISKS for n in SIZES]
    pairs = [{"treated": a, "control": b, "n": n, **of_pair(n, a, b)} for a, b in PAIRS for n in SIZES]
    return pd.DataFrame(risks), pd.DataFrame(pairs)


def as_markdown(table: pd.DataFrame, headings: list[str]) -> str:
    """Return a table as lines of Markdown; what does not exist is a dash."""
    lines = ["| " + " | ".join(headings) + " |", "| " + " | ".join("---:" for _ in headings) + " |"]
    for row in table.itertuples(index=False):
        cells = [
            f"{v:g}" if name == "n" else f"{100 * v:g}%" if name in ("risk", "treated", "control") else _share(v)
            for name, v in zip(table.columns, row, strict=True)
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def main() -> None:
    """Write the numbers and the document's tables."""
    risks, pairs = tables()
    pd.concat({"risk": risks, "contrast": pairs}, names=["of"]).reset_index("of").to_csv(
        HERE / "counts_coverage.csv", index=False, float_format="%.6f"
    )
    text = DOCUMENT.read_text(encoding="utf-8")
    made = {
        "RISKS": as_markdown(risks, ["risk", "n", "Jeffreys", "exact", "Beta(0.01, 0.01)"]),
        "CONTRASTS": as_markdown(pairs, ["treated", "control", "n", "difference", "risk ratio", "odds ratio"]),
    }
    for name, table in made.items():
        before, rest = text.split(f"<!-- {name} -->", 1)
        after = rest.split("<!-- END -->", 1)[1]
        text = f"{before}<!-- {name} -->\n{table}\n<!-- END -->{after}"
    DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
