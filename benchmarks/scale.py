"""Large tables: a trial of 2,500 patients and 12 visits, a panel of 100 analytes of 300 people, and ten times as many.

Run with ``python benchmarks/scale.py`` (twenty minutes on two idle cores; names of rows measure these only). Each row
is a new process; the trial of 25,000 patients and the panel of 300,000 measurements are fitted with fewer draws. Writes
``scale.csv`` and the tables in ``README.md``.
"""

import argparse
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from timing import in_a_process

import bayesdep as bd

HERE = Path(__file__).parent
BEGIN, END = "<!-- begin: scale.py -->", "<!-- end: scale.py -->"
VISITS, ANALYTES, PLATE = 12, 100, 75
TRIAL = bd.Trial(reference="placebo", outcome="score", visit="visit", covariates="age", covariance="unstructured")
PANEL = bd.Cytokines(
    analyte="analyte", subject="subject", group="group", reference="HC", plate="plate", censored="censored", lod="lod",
)  # fmt: skip
FITS = {  # kind, patients or people, draws and tuning draws
    "trial": ("trial", 2500, 1000, 1000),
    "panel": ("panel", 300, 1000, 1000),
    "trial x 10": ("trial", 25_000, 250, 250),
    "panel x 10": ("panel", 3000, 50, 100),
}
GRADIENTS = {"trial": (100, 500, 2500, 10_000, 25_000), "panel": (150, 300, 3000)}


def trial_table(patients: int, seed: int = 1) -> pd.DataFrame:
    """Synthetic patients: two arms, a free covariance, visits missed by some now and then, one in fifty leaves at each.

    Of 2,500 patients, 489 patterns of missing visits.
    """
    rng = np.random.default_rng(seed)
    gap = np.abs(np.subtract.outer(np.arange(VISITS + 1), np.arange(VISITS + 1)))
    sd = 6 * np.linspace(1, 1.3, VISITS + 1)
    covariance = (0.35 + 0.65 * 0.8**gap) * np.outer(sd, sd)
    whole = rng.multivariate_normal(np.zeros(VISITS + 1), covariance, patients)
    arm, age = np.arange(patients) % 2, rng.normal(45, 12, patients)
    week = np.arange(1, VISITS + 1)
    mean = 20 - 8 * (1 - np.exp(-week / 4)) - 0.25 * arm[:, None] * week + 0.05 * (age[:, None] - 45)
    score = whole[:, 1:] + mean
    misses = rng.random((patients, VISITS)) < rng.choice([0.0, 0.06, 0.28], patients, p=[0.35, 0.39, 0.26])[:, None]
    misses |= week > rng.geometric(0.02, patients)[:, None]
    i, j = np.nonzero(~misses)
    return pd.DataFrame({
        "subject": i, "arm": np.array(["placebo", "active"])[arm[i]], "visit": week[j],
        "baseline": (25 + whole[:, 0])[i].round(1), "age": age[i].round(), "score": score[i, j].round(1),
    })  # fmt: skip


def panel_table(people: int, seed: int = 1) -> pd.DataFrame:
    """Synthetic people: two groups, plates of 75, a tenth of the values below their limits."""
    rng = np.random.default_rng(seed)
    case, plate = np.arange(people) % 2, np.arange(people) // PLATE
    level, effect, sd = rng.normal(3, 1.5, ANALYTES), rng.normal(0.1, 0.2, ANALYTES), rng.uniform(0.5, 1.2, ANALYTES)
    logs = level + case[:, None] * effect + rng.normal(0, 0.4, (people, 1)) + rng.normal(0, 1, (people, ANALYTES)) * sd
    logs = logs + rng.normal(0, 0.2, (plate[-1] + 1, ANALYTES))[plate]
    limit = np.diagonal(np.quantile(logs, rng.uniform(0, 0.2, ANALYTES), axis=0))
    i, a = (x.ravel() for x in np.indices(logs.shape))
    below = logs[i, a] < limit[a]
    return pd.DataFrame({
        "subject": i, "group": np.array(["HC", "MDD"])[case[i]], "plate": plate[i],
        "analyte": np.char.add("A", (a + 1).astype(str)), "concentration": np.exp(np.maximum(logs[i, a], limit[a])),
        "censored": np.where(below, "left", "none"), "lod": np.exp(limit[a]),
    })  # fmt: skip


def case(kind: str, size: int) -> tuple[Any, pd.DataFrame]:
    """The model and the table of a kind and a size."""
    return (TRIAL, trial_table(size)) if kind == "trial" else (PANEL, panel_table(size))


def patterns(kind: str, table: pd.DataFrame) -> int | None:
    """How many patterns of missing visits a trial has."""
    if kind != "trial":
        return None
    return len(np.unique(pd.crosstab(table["subject"], table["visit"]).to_numpy(), axis=0))


def gradient(kind: str, size: int) -> dict[str, float | None]:
    """Processor milliseconds of one log density with its gradient."""
    from pymc.model.transform.conditioning import prune_vars_detached_from_observed

    from bayesdep.inference.compile_once import compile_once

    model, table = case(kind, size)
    ready = compile_once(prune_vars_detached_from_observed(model.build(model.prepare(table))))
    evaluate, point = ready.evaluator(), ready.start + np.random.default_rng(2).normal(0, 0.05, ready.n_dim)
    evaluate(point)
    count = max(20, 500_000 // len(table))
    start = time.process_time()
    for _ in range(count):
        evaluate(point)
    each = 1000 * (time.process_time() - start) / count
    return {"rows": len(table), "patterns": patterns(kind, table), "gradient_ms": each}


def whole(kind: str, size: int, draws: int, tune: int) -> dict[str, Any]:
    """A fit with four chains, its verdict included: processor seconds by step, memory, what is kept."""
    model, table = case(kind, size)
    start, processor = time.perf_counter(), time.process_time()
    fit = bd.fit(model, table, draws=draws, tune=tune, seed=1, progress=False)
    assert fit.verdict.sentence
    steps, seconds = fit.tree["sample_stats"]["n_steps"], fit.manifest["timings_s"]
    return {
        "rows": len(table),
        "patterns": patterns(kind, table),
        "processor_s": time.process_time() - processor,
        "wall_s": time.perf_counter() - start,
        "sampling_wall_s": seconds["sample"],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "steps_per_draw": float(steps.mean()),
        "scored_draws": fit.manifest["scored_draws"],
        "replicated_draws": fit.manifest["replicated_draws"],
        "gate": fit.gate.passed,
    }


def written(table: pd.DataFrame) -> str:
    """The tables of the page."""
    rows = ["| gradient of | measurements | patterns | milliseconds |", "| --- | ---: | ---: | ---: |"]
    for row in table[table["gradient_ms"].notna()].to_dict("records"):
        of = "" if np.isnan(row["patterns"]) else f"{row['patterns']:,.0f}"
        rows.append(f"| {row['name']} | {row['rows']:,.0f} | {of} | {row['gradient_ms']:.2f} |")
    rows += ["", "| fit of | draws | processor s | peak memory | steps per draw | scored draws |",
             "| --- | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for row in table[table["peak_mb"].notna()].to_dict("records"):
        _, _, draws, tune = FITS[row["name"]]
        rows.append(
            f"| {row['name']}, {row['rows']:,.0f} measurements | 4 x ({draws:,} + {tune:,}) | {row['processor_s']:.0f} "
            f"| {row['peak_mb']:,.0f} MB | {row['steps_per_draw']:.0f} | {row['scored_draws']:,.0f} |"
        )
    return "\n".join(rows)


def main() -> None:
    """Measure the rows asked for, keep the others, and write both files."""
    calls = {
        f"{kind}, {size:,} {'patients' if kind == 'trial' else 'people'}": f"gradient({kind!r}, {size})"
        for kind, sizes in GRADIENTS.items()
        for size in sizes
    }
    calls |= {name: f"whole{how}" for name, how in FITS.items()}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help="all where left out")
    asked = parser.parse_args().rows or list(calls)
    if unknown := sorted(set(asked) - set(calls)):
        parser.error(f"no row is called '{unknown[0]}'; there are: {'; '.join(calls)}")
    file, page = HERE / "scale.csv", HERE / "README.md"
    found = {row["name"]: row for row in pd.read_csv(file).to_dict("records")} if file.exists() else {}
    for name in asked:
        found[name] = {"name": name, **in_a_process(__file__, calls[name])}
        print(found[name], flush=True)
        table = pd.DataFrame([found[name] for name in calls if name in found])
        table.to_csv(file, index=False, float_format="%.4g")
    before, after = page.read_text(encoding="utf-8").split(BEGIN)[0], page.read_text(encoding="utf-8").split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{written(pd.read_csv(file))}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
