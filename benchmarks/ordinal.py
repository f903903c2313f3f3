"""Ordinal: time and effective draws of a fit to 500 patients at six visits.

Run with ``python benchmarks/ordinal.py``. The target is 15 s of a warm fit with default settings, patients' levels
integrated out. The second fit of the process is the warm one: its density is compiled. The other way, with every
patient's level sampled, stands beside it.
"""

import time

import numpy as np
import pandas as pd

import bayesdep as bd


def simulated(seed: int, patients: int = 500, visits: int = 6) -> pd.DataFrame:
    """Patients of two arms in four categories, with levels of their own (sd 1.5) and stages at the start."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(patients):
        own, stage = rng.normal(0, 1.5), int(rng.integers(4))
        for v in range(visits):
            level = own - 0.3 * v + (0.9 if i % 2 else 0.0) + (0.0, 1.0, 1.2, 1.5)[stage]
            outcome = int((level + rng.logistic() > np.array([-1.0, 0.5, 2.0])).sum())
            rows.append({"subject": f"p{i}", "arm": ("placebo", "drug")[i % 2], "visit": v + 1, "stage": stage,
                         "outcome": str(outcome)})  # fmt: skip
    return pd.DataFrame(rows)


def main() -> None:
    """Print the times of two fits each way."""
    for how in ("integrated", "sampled"):
        model = bd.Ordinal(
            categories=["0", "1", "2", "3"], reference="placebo", subject="subject", visit="visit",
            covariates="mo(stage)", patient_effects=how,
        )  # fmt: skip
        for name, seed in (("first", 1), ("warm", 2)):
            table = simulated(seed)
            start, cpu = time.perf_counter(), time.process_time()
            fit = bd.fit(model, table, seed=seed, progress=False)
            taken = time.perf_counter() - start, time.process_time() - cpu
            print(f"{how}, {name}: {taken[0]:.1f} s ({taken[1]:.0f} s of the processor); {fit.manifest['timings_s']}")
            print(f"  {fit.gate.sentence}", flush=True)


if __name__ == "__main__":
    main()
