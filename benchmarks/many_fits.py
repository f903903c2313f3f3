"""What 200 fits of simulated data cost, in one command and as 200 runs of Python that fit one table each.

Run with ``python benchmarks/many_fits.py`` on an idle machine (a quarter of an hour on two cores). It writes
``many_fits.csv``: minutes of ``bd.calibrate`` with one process for each processor, from starting it to its result; and
seconds of one fit with ``bd.fit`` in a fresh interpreter whose compilation caches are warm, the median of five. The
panel takes fewer fits, whose time is multiplied. Data are drawn from the prior, so fits are of very different data.
"""

import argparse
import csv
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import calibration
import numpy as np
import pandas as pd
from timing import in_a_process

import bayesdep as bd
from bayesdep.criticism.simulated_fits import drawn_from

TABLE = Path(__file__).with_suffix(".csv")
FIELDS = ("design", "fits_made", "processes", "minutes_for_200", "compilations", "failed", "separate_s", "ratio")
OF = 200


@dataclass(frozen=True)
class Many:
    """A design, and how many fits are made of it."""

    design: Callable[[], calibration.Design]
    fits: int = OF


def trial() -> calibration.Design:
    """Sixty patients of two arms at six visits, a tenth of which were missed; residuals AR(1)."""
    rng, rows = np.random.default_rng(0), []
    for i in range(60):
        who = {"subject": f"p{i}", "arm": ("placebo", "drug")[i % 2], "baseline": rng.normal(24, 4)}
        for visit in (1, 2, 3, 4, 6, 8):
            rows.append(who | {"visit": visit, "outcome": np.nan if rng.random() < 0.1 else rng.normal()})
    model = bd.Trial(reference="placebo", covariance="ar1", scale=5.0)
    return calibration.Design(model, model.prepare(pd.DataFrame(rows)))


def meta() -> calibration.Design:
    """Twelve standardised differences of studies, Student-t effects, sampled."""
    return calibration.meta_of_effects(heterogeneity="student-t")


DESIGNS: dict[str, Many] = {
    "Meta, 12 studies": Many(meta),
    "Counts, four subgroups": Many(partial(calibration.counts, "ab")),
    "Trial, 60 patients, 6 visits, AR(1)": Many(trial),
    "Cytokines, 59 people x 41 analytes": Many(partial(calibration.panel, people=59, analytes=41), 20),
}


def one_fit(name: str, number: int) -> dict[str, float]:
    """Fit one data set, and return the seconds from the start of the interpreter's work on it."""
    design = DESIGNS[name].design()
    _, data = drawn_from(design.model, design.data, [number, number + 1])
    start = time.perf_counter()
    bd.fit(design.model, data, seed=number, progress=False)
    return {"seconds": time.perf_counter() - start}


def row_of(name: str) -> dict[str, Any]:
    """Measure one design."""
    many = DESIGNS[name]
    design = many.design()
    start = time.perf_counter()
    found = bd.calibrate(design.model, design.data, fits=many.fits, seed=18)
    minutes = (time.perf_counter() - start) / 60 * OF / many.fits
    separate = []
    for number in range(5):
        before = time.perf_counter()
        in_a_process(__file__, f"one_fit({name!r}, {number})")
        separate.append(time.perf_counter() - before)
    print(f"{name}: {minutes:.1f} min, a separate fit {median(separate):.1f} s", flush=True)
    return {
        "design": name,
        "fits_made": many.fits,
        "processes": os.cpu_count(),
        "minutes_for_200": round(minutes, 2),
        "compilations": int(found.fits["compilations"].sum()),
        "failed": found.failed,
        "separate_s": round(median(separate), 2),
        "ratio": round(OF * median(separate) / 60 / minutes, 1),
    }


def main() -> None:
    """Measure what is asked for, and keep the other rows of an earlier run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("designs", nargs="*", choices=[[], *DESIGNS], help="all where left out")
    asked = parser.parse_args().designs or list(DESIGNS)
    earlier = list(csv.DictReader(TABLE.open())) if TABLE.exists() else []
    rows: dict[str, Any] = {row["design"]: row for row in earlier}
    for name in asked:
        rows[name] = row_of(name)
        with TABLE.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(rows[name] for name in DESIGNS if name in rows)


if __name__ == "__main__":
    main()
