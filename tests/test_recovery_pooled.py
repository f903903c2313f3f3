"""Over a hundred synthetic data sets: intervals of pooled patients hold, and M* is worth nothing without moderation.

The study is benchmarks/price.py; its committed numbers are benchmarks/price.csv.
"""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
SETS = 100


def study():
    spec = importlib.util.spec_from_file_location("price", ROOT / "benchmarks" / "price.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_intervals_hold_and_cross_validation_finds_nothing_where_there_is_nothing():
    price = study()
    covered = pd.concat([price.coverage_of(seed) for seed in range(SETS)])
    combined = pd.concat([price.m_star_of(seed) for seed in range(SETS)])
    found = price.summarise(covered, combined).set_index(["what", "time"])
    coverage = found.loc[[i for i in found.index if i[0].startswith("coverage")], "value"]
    assert len(coverage) == 10
    assert coverage.between(0.90, 0.99).all(), coverage
    for time in ("rapid", "post-rapid"):
        honest = found.loc[("r of M* without moderation, cross validated", time)]
        assert honest["data_sets"] == SETS  # none had to be left undefined
        assert abs(honest["value"]) < 0.03
        assert found.loc[("r of M* without moderation, in sample", time), "value"] > 0.1


def test_the_readme_says_what_the_study_found():
    found = pd.read_csv(ROOT / "benchmarks" / "price.csv").set_index(["what", "time"])
    readme = (ROOT / "README.md").read_text()
    for kind, label in (("in sample", "on the patients that made it"), ("cross validated", "cross-validated by study")):
        (line,) = [x for x in readme.splitlines() if x.startswith(f"| {label} |")]
        for time in ("rapid", "post-rapid"):
            row = found.loc[(f"r of M* without moderation, {kind}", time)]
            assert f"{row['value']:.3f} (" in line
    coverage = found.loc[[i for i in found.index if i[0].startswith("coverage")], "value"]
    assert f"{100 * coverage.min():.0f} to {100 * coverage.max():.0f}% of\n100 data sets" in readme


def test_the_readme_says_what_leaving_patients_out_costs():
    found = pd.read_csv(ROOT / "benchmarks" / "imputation.csv").set_index(["way", "moderator"])
    readme = (ROOT / "README.md").read_text()
    for way, label in (
        ("imputed", "imputed (this package)"),
        *((w, w) for w in ("patients left out", "mean filled in")),
    ):
        (line,) = [x for x in readme.splitlines() if x.startswith(f"| {label} |")]
        known, missing = (found.loc[(way, kind)] for kind in ("all known", "all missing"))
        cells = [f"{known['rmse']:.2f}", f"{known['width']:.2f}", f"{known['coverage']:.0%}", f"{missing['rmse']:.3f}",
                 f"{missing['width']:.2f}", f"{missing['coverage']:.0%}"]  # fmt: skip
        assert [x.strip() for x in line.strip("|").split("|")][1:] == cells
