"""Individual-patient meta-analysis: coverage of the shipped plan, and what M* is worth.

The coverage study is benchmarks/price.py; its committed numbers are benchmarks/price.csv.
"""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
SETS, PLAN_SETS = 100, 60


def study():
    spec = importlib.util.spec_from_file_location("price", ROOT / "benchmarks" / "price.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_intervals_of_the_shipped_plan_hold_over_all_its_interactions():
    price = study()
    model = price.ways()["plan as shipped"]
    rows = [price.coverage_of(model, seed).assign(seed=seed) for seed in range(PLAN_SETS)]
    found = price.summarise_coverage(pd.concat(rows), "plan as shipped").set_index(["what", "time"])["value"]
    assert 0.90 <= found["plan as shipped: coverage, all interactions", "both"] <= 0.99


@pytest.mark.slow
def test_cross_validation_finds_nothing_where_there_is_nothing():
    price = study()
    found = price.summarise_m_star(pd.concat([price.m_star_of(seed) for seed in range(SETS)])).set_index(
        ["what", "time"]
    )
    for time in ("rapid", "post-rapid"):
        honest = found.loc[("r of M* without moderation, cross validated", time)]
        assert honest["data_sets"] == SETS  # none had to be left undefined
        assert abs(honest["value"]) < 0.03
        assert found.loc[("r of M* without moderation, in sample", time), "value"] > 0.1


def test_the_evidence_says_what_the_study_found():
    found = pd.read_csv(ROOT / "benchmarks" / "price.csv").set_index(["what", "time"])
    evidence = ROOT / "docs" / "evidence"
    combined, pooled = ((evidence / f"{name}.md").read_text() for name in ("combined_moderator", "pooled_interactions"))
    for kind, label in (("in sample", "in-sample"), ("cross validated", "cross-validated by study")):
        (line,) = [x for x in combined.splitlines() if x.startswith(f"| {label} |")]
        for time in ("rapid", "post-rapid"):
            row = found.loc[(f"r of M* without moderation, {kind}", time)]
            assert f"{row['value']:.3f} (" in line
    value, sets = found["value"], found["data_sets"].astype(int)
    for way in ("plan as shipped", "horseshoe, 4 expected", "student", "normal", "none"):
        names = [f"{way}: coverage, {x}" for x in ("all interactions", "interactions that are not zero",
                                                   "interactions that are zero")]  # fmt: skip
        if (names[0], "both") not in value.index:
            continue
        cells = [f"{value[name, 'both']:.0%}" for name in names]
        cells += [f"{found['rmse'][names[0], 'both']:.2f}", str(sets[names[0], "both"])]
        (line,) = [x for x in pooled.splitlines() if x.startswith(f"| {way} |")]
        assert [x.strip() for x in line.strip("|").split("|")][1:] == cells


def test_the_evidence_says_what_leaving_patients_out_costs():
    found = pd.read_csv(ROOT / "benchmarks" / "imputation.csv").set_index(["way", "moderator"])
    page = (ROOT / "docs" / "evidence" / "missing_moderators.md").read_text()
    for way, label in (
        ("imputed", "imputed (this package)"),
        *((w, w) for w in ("patients left out", "mean filled in")),
    ):
        (line,) = [x for x in page.splitlines() if x.startswith(f"| {label} |")]
        known, missing = (found.loc[(way, kind)] for kind in ("all known", "all missing"))
        cells = [f"{known['rmse']:.2f}", f"{known['width']:.2f}", f"{known['coverage']:.0%}", f"{missing['rmse']:.3f}",
                 f"{missing['width']:.2f}", f"{missing['coverage']:.0%}"]  # fmt: skip
        assert [x.strip() for x in line.strip("|").split("|")][1:] == cells
