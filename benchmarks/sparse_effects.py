"""A few analytes differ and most do not: what intervals under each law of effects are worth, on synthetic panels.

Run by ``make evidence``, or alone as ``python benchmarks/sparse_effects.py`` (about an hour of one core). It adds rows
to ``benchmarks/sparse_effects_fits.csv`` as fits finish, goes on from there when it is run again, and writes
``benchmarks/sparse_effects.csv``.

Panels have 41 analytes of 26 controls and 33 patients as in Kiraly 2017, all detected, on one plate: 5 analytes differ,
all in one direction, by 4.5 or 2 of the standard errors that the design gives (``sd sqrt(1/26 + 1/33)``), and 36 do
not; the dense truth has all differences from N(0.41, 0.44), as Table 2's. ``none`` is least squares for each analyte,
which is what a panel without limits, people and pooling comes to. Coverage is from one chain of 400 draws after 400,
which is enough for a 95% interval and too few for the gate; the share of fits that pass the gate is from other panels,
with limits and plates as in ``evidence.py`` and the default draws (``--gates``).
"""

import argparse
import csv
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import bayesdep as bd
from bayesdep.designs.kiraly2017 import draw_kiraly2017
from bayesdep.inference.sample import sample_and_check

HERE = Path(__file__).parent
FITS, TABLE = HERE / "sparse_effects_fits.csv", HERE / "sparse_effects.csv"
ANALYTES, PEOPLE, DIFFER = 41, (26, 33), 5
NORMAL_GATES = 10  # panels of the gate under normal effects: for the runtime beside them
LAWS: dict[str, dict[str, Any]] = {
    "normal": {"effects": "normal"},
    "student": {"effects": "student"},
    "horseshoe": {"effects": "horseshoe", "expected_nonzero": DIFFER},
}
TRUTHS = {"5 of 41, 4.5 se": 4.5, "5 of 41, 2 se": 2.0, "dense": None}
FIELDS = (
    *("truth", "effects", "seed", "seconds", "passed"),
    *("covers_differing", "covers_others", "wrong_sign", "squared_error", "failed"),
)
NAMES = {"analyte": "analyte", "subject": "subject", "group": "group", "reference": "HC"}
LIMITS = {"plate": "plate", "censored": "censored", "lod": "lod", "uloq": "uloq"}


def panel(truth: str, seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return a synthetic panel without limits, its true log ratios, and which analytes differ."""
    rng = np.random.default_rng([1212, seed])
    sd = np.exp(rng.normal(np.log(0.7), 0.3, ANALYTES))
    level, own = rng.normal(3, 2, ANALYTES), rng.normal(0, 0.3, sum(PEOPLE))
    differs = np.arange(ANALYTES) < DIFFER
    distance = TRUTHS[truth]
    error = np.sqrt(sd**2 + 0.3**2) * np.sqrt(sum(1 / n for n in PEOPLE))
    effect = rng.normal(0.41, 0.44, ANALYTES) if distance is None else np.where(differs, distance * error, 0.0)
    group = np.repeat([0, 1], PEOPLE)
    logs = level + effect * group[:, None] + own[:, None] + sd * rng.normal(size=(sum(PEOPLE), ANALYTES))
    analytes, people = [f"a{a:02d}" for a in range(ANALYTES)], [f"s{i:02d}" for i in range(sum(PEOPLE))]
    table = pd.DataFrame(
        {
            "analyte": np.tile(analytes, len(people)),
            "subject": np.repeat(people, ANALYTES),
            "group": np.repeat(np.array(["HC", "TRD"])[group], ANALYTES),
            "concentration": np.exp(logs).ravel(),
        }
    )
    return table, effect, differs


def unpooled(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each analyte's difference of mean logs with its 95% interval."""
    logs = np.log(table["concentration"].to_numpy()).reshape(-1, ANALYTES)
    controls, patients = logs[: PEOPLE[0]], logs[PEOPLE[0] :]
    found = [stats.ttest_ind(patients[:, a], controls[:, a]) for a in range(ANALYTES)]
    ends = [f.confidence_interval(0.95) for f in found]
    estimate = patients.mean(axis=0) - controls.mean(axis=0)
    return estimate, np.array([e.low for e in ends]), np.array([e.high for e in ends])


def judged(
    estimate: np.ndarray, low: np.ndarray, high: np.ndarray, effect: np.ndarray, differs: np.ndarray
) -> dict[str, float]:
    """Return the shares of one panel: coverage, sign errors of those that differ, and the mean squared error."""
    covered = (low < effect) & (effect < high)
    return {
        "covers_differing": covered[differs].mean(),
        "covers_others": covered[~differs].mean(),
        "wrong_sign": (estimate * effect < 0)[differs].mean(),
        "squared_error": ((estimate - effect) ** 2).mean(),
    }


def fits(truth: str, seed: int, done: set[tuple[str, str, int]]) -> Iterator[dict[str, Any]]:
    """Judge every law on one panel."""
    table, effect, differs = panel(truth, seed)
    if (truth, "none", seed) not in done:
        row = judged(*unpooled(table), effect, differs)
        yield {"truth": truth, "effects": "none", "seed": seed, "seconds": 0.0, "passed": "", **row}
    for law, settings in LAWS.items():
        if (truth, law, seed) in done:
            continue
        model = bd.Cytokines(**NAMES, **settings)
        data, start = model.prepare(table), time.process_time()
        posterior, _ = sample_and_check(model, data, draws=400, tune=400, chains=1, seed=seed)
        seconds = time.process_time() - start
        draws = posterior["group_effect"].isel(chain=0, comparison=0).transpose("draw", "analyte").values
        row = judged(draws.mean(0), *np.quantile(draws, [0.025, 0.975], axis=0), effect, differs)
        yield {"truth": truth, "effects": law, "seed": seed, "seconds": seconds, "passed": "", **row}


def gates(seed: int, done: set[tuple[str, str, int]]) -> Iterator[dict[str, Any]]:
    """Fit a panel on Kiraly's design, with its limits and Table 2's ratios, with the default draws."""
    made = draw_kiraly2017(np.random.default_rng([2017, seed]), times=(0,))
    for law, settings in LAWS.items():
        if ("gate", law, seed) in done or (law == "normal" and seed >= NORMAL_GATES):
            continue
        model = bd.Cytokines(**NAMES, **LIMITS, **settings)
        data, start = model.prepare(made.table), time.process_time()
        _, gate = sample_and_check(model, data, seed=seed)
        seconds = time.process_time() - start
        failed = "; ".join(str(c) for c in gate.criteria if not c.passed)
        row = {"truth": "gate", "effects": law, "seed": seed, "seconds": seconds, "passed": gate.passed}
        yield row | {"failed": failed}


def everything(
    sets: int, panels: int, truths: Sequence[str], done: set[tuple[str, str, int]]
) -> Iterator[dict[str, Any]]:
    """Yield panel after panel of each kind, so that a run that is stopped has them all alike."""
    for seed in range(max(sets, panels)):
        if seed < panels:
            yield from gates(seed, done)
        if seed < sets:
            for truth in truths:
                yield from fits(truth, seed, done)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Average over panels, with the Monte Carlo error of the coverage of those that differ."""
    found = []
    for (truth, law), part in rows.groupby(["truth", "effects"], sort=False):
        normal = rows[(rows["truth"] == truth) & (rows["effects"] == "normal")]["seconds"].median()
        row: dict[str, Any] = {"truth": truth, "effects": law, "panels": len(part)}
        row["runtime_over_normal"] = part["seconds"].median() / normal if law != "none" else 0.0
        if truth == "gate":
            row["share_that_fails_the_gate"] = 1 - (part["passed"].astype(str) == "True").mean()
        else:
            row |= {name: part[name].mean() for name in ("covers_differing", "covers_others", "wrong_sign")}
            row["mc_error_differing"] = part["covers_differing"].std(ddof=1) / np.sqrt(len(part))
            row["rmse"] = np.sqrt(part["squared_error"].mean())
        found.append(row)
    return pd.DataFrame(found)


def run(
    sets: int, panels: int, truths: Sequence[str] = tuple(TRUTHS), fits_at: Path = FITS, table_at: Path = TABLE
) -> pd.DataFrame:
    """Go on with the fits that are not in the file yet, and write the table."""
    earlier = pd.read_csv(fits_at) if fits_at.exists() else pd.DataFrame(columns=FIELDS)
    done = set(zip(earlier["truth"], earlier["effects"], earlier["seed"], strict=True))
    with fits_at.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if not len(earlier):
            writer.writeheader()
        for k, row in enumerate(everything(sets, panels, truths, done)):
            writer.writerow({key: f"{v:.4g}" if isinstance(v, float) else v for key, v in row.items()})
            file.flush()
            if (k + 1) % 20 == 0:
                print(row["truth"], row["effects"], row["seed"], f"{row['seconds']:.1f} s", flush=True)
    table = summary(pd.read_csv(fits_at))
    table.to_csv(table_at, index=False, float_format="%.4g")
    return table


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=200, help="panels per truth, for coverage")
    parser.add_argument("--gates", type=int, default=40, help="panels for the share that passes the gate")
    parser.add_argument("--truths", nargs="+", choices=list(TRUTHS), default=list(TRUTHS), help="which truths")
    args = parser.parse_args()
    print(run(args.sets, args.gates, args.truths).to_string(index=False))


if __name__ == "__main__":
    main()
