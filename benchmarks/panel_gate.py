"""Do panels of every size and kind pass the convergence check with default settings? Simulated and real ones.

Run ``python benchmarks/panel_gate.py`` (hours of one core; ``--sizes 5x20 --laws hostile --seeds 40`` for a part). It
adds a row to ``benchmarks/panel_gate.csv`` as each panel is fitted, goes on from there when run again, and writes the
table in ``docs/evidence/panels.md``. Seconds are of CPU time; the first panel of a size also compiles.

A panel has analytes by people, two groups of equal size, one time, and one limit for each analyte, at a quantile of
what the analyte's law gives over both groups. Laws differ in what is hidden below the limits:

- ``usual``: of half of the analytes nothing, of the others a share between 0 and 0.7;
- ``hostile``: of every analyte a share between 0.5 and 1;
- ``never``: as ``usual``, and the last analyte was detected in nobody.

Log concentrations have a person's level N(0, 0.4), residual sds around 0.8 within a factor of 1.5, levels N(3, 2) and
differences N(0.3, 0.5). The real panels are read where they are beside the repository (``real``); each seed is another
seed of the sampler.
"""

import argparse
import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from panel_priors import REAL
from panel_priors import real as real_panel
from scipy import stats

import bayesdep as bd
from bayesdep.inference.sample import sample_and_check

TABLE = Path(__file__).parent / "panel_gate.csv"
DOCUMENT = Path(__file__).parents[1] / "docs" / "evidence" / "panels.md"
BEGIN, END = "<!-- begin: panel_gate.py -->", "<!-- end: panel_gate.py -->"
SIZES = {"5x20": (5, 20), "18x60": (18, 60), "41x59": (41, 59), "100x300": (100, 300)}
SEEDS = {"5x20": 40, "18x60": 40, "41x59": 40, "100x300": 5}
LAWS = ("usual", "hostile", "never")
FIELDS = (
    *("size", "law", "seed", "share_hidden", "never_detected", "passed", "failed"),
    *("divergences", "min_ess", "max_r_hat", "seconds"),
)
MODEL = bd.Cytokines(analyte="analyte", subject="subject", group="group", reference="HC", censored="below")


def panel(analytes: int, people: int, law: str, seed: int) -> pd.DataFrame:
    """Return a simulated panel."""
    rng = np.random.default_rng([213, analytes, people, LAWS.index(law), seed])
    sd = np.exp(rng.normal(np.log(0.8), 0.4, analytes))
    level, effect = rng.normal(3, 2, analytes), rng.normal(0.3, 0.5, analytes)
    own = rng.normal(0, 0.4, people)
    group = np.arange(people) % 2
    logs = level + effect * group[:, None] + own[:, None] + sd * rng.normal(size=(people, analytes))
    if law == "hostile":
        hidden = rng.uniform(0.5, 1, analytes)
    else:
        hidden = np.where(np.arange(analytes) % 2 == 0, 0.0, rng.uniform(0, 0.7, analytes))
    limit = level + effect / 2 + np.sqrt(sd**2 + 0.4**2 + effect**2 / 4) * stats.norm.ppf(hidden)
    if law == "never":
        limit[-1] = logs[:, -1].max() + 0.1
    limit = np.where(np.isfinite(limit), limit, logs.min(axis=0) - 1)
    below = logs < limit
    return pd.DataFrame(
        {
            "analyte": np.tile([f"a{a:03d}" for a in range(analytes)], people),
            "subject": np.repeat([f"s{i:03d}" for i in range(people)], analytes),
            "group": np.repeat(np.array(["HC", "TRD"])[group], analytes),
            "below": below.ravel(),
            "concentration": np.exp(np.where(below, limit, logs)).ravel(),
        }
    )


def judged(model: bd.Cytokines, table: pd.DataFrame, seed: int) -> dict[str, Any]:
    """Fit a panel with default settings, and return its row."""
    data, start = model.prepare(table), time.process_time()
    _, gate = sample_and_check(model, data, seed=seed)
    seconds = time.process_time() - start
    found = {c.name: c.value for c in gate.criteria}
    detected = np.bincount(data["analyte_of"].values, data["kind"].values == 0, data.sizes["analyte"])
    return {
        "share_hidden": float((data["kind"].values != 0).mean()),
        "never_detected": int((detected == 0).sum()),
        "passed": gate.passed,
        "failed": "; ".join(str(c) for c in gate.criteria if not c.passed),
        "divergences": int(found["divergences"]),
        "min_ess": min(found["ESS bulk"], found["ESS tail"]),
        "max_r_hat": found["R-hat"],
        "seconds": seconds,
    }


def jobs(sizes: list[str], laws: list[str], seeds: int | None) -> list[tuple[str, str, int]]:
    """Return what is to be fitted: size, law, seed; seeds vary slowest, so that a run that is stopped has all alike."""
    found = []
    for seed in range(max(SEEDS.values())):
        for size in sizes:
            number = SEEDS.get(size, 5) if seeds is None else seeds
            if seed < number:
                found += [(size, law, seed) for law in (laws if size in SIZES else ["real"])]
    return found


def run(sizes: list[str], laws: list[str], seeds: int | None, at: Path = TABLE) -> None:
    """Go on with the panels that are not in the file yet."""
    is_new = not at.exists()
    earlier = pd.DataFrame(columns=FIELDS) if is_new else pd.read_csv(at)
    done = set(zip(earlier["size"], earlier["law"], earlier["seed"], strict=True))
    with at.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if is_new:
            writer.writeheader()
        for size, law, seed in jobs(sizes, laws, seeds):
            if (size, law, seed) in done:
                continue
            model, table = real_panel(size) if law == "real" else (MODEL, panel(*SIZES[size], law, seed))
            row = {"size": size, "law": law, "seed": seed} | judged(model, table, seed)
            writer.writerow({key: f"{v:.4g}" if isinstance(v, float) else v for key, v in row.items()})
            file.flush()
            print(size, law, seed, row["passed"], row["failed"], f"{row['seconds']:.1f} s", flush=True)


def summary(rows: pd.DataFrame) -> str:
    """Return one line of Markdown for each size and kind: how many passed, and with what."""
    lines = [
        "| panel | kind | panels | passed | share hidden | least ESS, median | least | CPU seconds, median |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for (size, law), part in rows.groupby(["size", "law"], sort=False):
        cells = [str(size).removesuffix(".csv"), law, len(part), int(part["passed"].sum())]
        ess = part["min_ess"]
        cells += [f"{part['share_hidden'].mean():.2f}", f"{ess.median():.0f}", f"{ess.min():.0f}"]
        lines.append("| " + " | ".join(map(str, [*cells, f"{part['seconds'].median():.0f}"])) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what is asked for."""
    real = [path.name for path in sorted(REAL.glob("*.csv"))]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=[*SIZES, *real], default=[*SIZES, *real])
    parser.add_argument("--laws", nargs="+", choices=LAWS, default=list(LAWS))
    parser.add_argument("--seeds", type=int, help="panels of each size and law, by default 40, of the largest 5")
    args = parser.parse_args()
    run(args.sizes, args.laws, args.seeds)
    order = {name: place for place, name in enumerate([*SIZES, *real])}
    rows = pd.read_csv(TABLE).sort_values("size", key=lambda s: s.map(order), kind="stable")
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    text = f"{before}{BEGIN}\n{summary(rows)}\n{END}{rest.partition(END)[2]}"
    DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
