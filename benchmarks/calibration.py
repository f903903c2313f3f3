"""Simulation-based calibration of every model that is sampled, at small designs, with the sampler's default settings.

Run with ``python benchmarks/calibration.py`` (hours on two cores), or one design with ``python
benchmarks/calibration.py "counts, two arms"``. Finished fits are kept in ``build/calibration``, so that a run that was
stopped goes on. It writes ``benchmarks/calibration.csv`` and the table in ``docs/evidence/calibration.md``; how, is in
:func:`bayesdep.calibrate`. What is otherwise read from a table (an outcome's scale, a marker's centre) is stated as a
number or kept as it was, since the priors are around it.
"""

import argparse
import datetime
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

import bayesdep as bd
from bayesdep.models.model import Model

HERE = Path(__file__).parent
DOCUMENT = HERE.parent / "docs" / "evidence" / "calibration.md"
STORE = HERE.parent / "build" / "calibration"
FITS = 200
ELEMENTS = 3  # of every parameter and estimand: the first, middle and last


@dataclass(frozen=True)
class Design:
    """A model at a design of data, whose outcomes are replaced."""

    model: Model
    data: xr.Dataset


# Levels near the limits: with the default priors most analytes would have all or nothing detected.
LEVELS = {"level_mean": bd.Prior("Normal", mu=0, sigma=0.3), "level_sd": bd.Prior("HalfNormal", sigma=0.5)}


def panel(times: tuple[int, ...] = (), people: int = 20, analytes: int = 8, **settings: Any) -> Design:
    """A panel of two groups, of which a quarter or so is beyond its limits."""
    rng = np.random.default_rng(12)
    rows = [
        {"subject": f"s{i}", "group": "ab"[i % 2], "plate": f"plate {i // 2 % 2}", "time": t, "analyte": f"x{a}",
         "concentration": rng.lognormal(), "lod": (0.1, 0.2, 0.4, 0.8)[a % 4], "uloq": 40.0}
        for i in range(people)
        for t in times or (0,)
        for a in range(analytes)
    ]  # fmt: skip
    words = ("analyte", "subject", "group", "lod", "uloq", *(("time",) if times else ("plate",)))
    settings = {"priors": LEVELS} | settings
    model = bd.Cytokines(**{w: w for w in words}, reference="a", beyond_limit="censor", **settings)
    data = model.prepare(pd.DataFrame(rows))
    return Design(model, data)


def trial() -> Design:
    """Forty patients of two arms at three visits, some missed."""
    rng, rows, visits = np.random.default_rng(0), [], (1, 2, 4)
    for i in range(40):
        who = {"subject": f"p{i}", "arm": ("placebo", "drug")[i % 2], "baseline": rng.normal(24, 4)}
        stays = len(visits) if i % 4 else 1 + i // 4 % 3
        rows += [who | {"visit": v, "outcome": rng.normal() if j < stays else np.nan} for j, v in enumerate(visits)]
    model = bd.Trial(reference="placebo", covariance="ar1", scale=5.0)
    data = model.prepare(pd.DataFrame(rows))
    return Design(model, data)


def crossover() -> Design:
    """Thirty patients, two treatments, two days; a tenth of the days missed, and some dropped out half-way."""
    rng, rows = np.random.default_rng(4), []
    for i in range(30):
        baseline, gone = rng.normal(33, 5), rng.random() < 0.1
        for p in range(2):
            for day in (2, 10):
                missed = (gone and p == 1) or rng.random() < 0.1
                who = {"subject": f"p{i}", "treatment": ("placebo", "drug")[i % 2 == p], "period": p + 1, "day": day}
                rows.append(who | {"baseline": baseline, "outcome": np.nan if missed else rng.normal(30, 8)})
    model = bd.Crossover(reference="placebo", baseline="baseline", scale=8.0)
    data = model.prepare(pd.DataFrame(rows))
    return Design(model, data)


def transitions(**settings: Any) -> Design:
    """Eighty patients of two arms in three states at four visits, of which some are missed, one at two steps."""
    rng, rows = np.random.default_rng(9), []
    for i in range(80):
        stays = 4 if i % 6 else 2
        for j, week in enumerate((0, 4, 8, 16)[:stays]):
            if j == 0 or rng.random() > 0.1:
                who = {"subject": f"p{i}", "arm": ("placebo", "drug")[i % 2], "age": 40.0 + i % 9}
                rows.append(who | {"visit": week, "state": "abc"[(i + j) % 3]})
    model = bd.Transitions(states=["a", "b", "c"], reference="placebo", **settings)
    data = model.prepare(pd.DataFrame(rows))
    return Design(model, data)


def counts(arms: str) -> Design:
    """Four subgroups of 20 to 31 people an arm."""
    rows = [(g, a, 1, 20 + 3 * i + j) for i, g in enumerate("wxyz") for j, a in enumerate(arms)]
    model = bd.Counts(control="a")
    data = model.prepare(pd.DataFrame(rows, columns=["subgroup", "arm", "events", "n"]))
    return Design(model, data)


def ordinal(**settings: Any) -> Design:
    """Forty-eight patients of two arms at three visits, some missed, four categories, an ordered covariate."""
    rng, rows = np.random.default_rng(6), []
    for i in range(48):
        about = {"subject": f"p{i}", "arm": ("placebo", "drug")[i % 2], "stage": i // 2 % 4, "age": 30 + i}
        seen = 3 if i % 4 else 1 + i // 4 % 3
        rows += [about | {"visit": v, "outcome": str(rng.integers(4))} for v in (1, 2, 4)[:seen]]
    model = bd.Ordinal(
        categories=[str(k) for k in range(4)], reference="placebo", covariates="age + mo(stage)",
        **({"subject": "subject", "visit": "visit"} | settings),
    )  # fmt: skip
    data = model.prepare(pd.DataFrame(rows))
    return Design(model, data)


def items(**settings: Any) -> Design:
    """Thirty patients of two arms at three visits, six items of three or five categories, some missing."""
    rng, highest = np.random.default_rng(7), {"a": 4, "b": 2, "c": 4, "d": 2, "e": 4, "f": 2}
    rows = []
    for i in range(30):
        about = {"subject": f"p{i}", "arm": ("placebo", "drug")[i % 2], "crp": float(np.exp(rng.normal(1, 1)))}
        for week in (0, 4, 8)[: 3 if i % 6 else 2]:
            scores = {name: int(rng.integers(0, top + 1)) for name, top in highest.items()}
            rows.append(about | {"visit": week} | (scores if i % 5 else scores | {"c": None}))
    model = bd.Items(items=highest, reference="placebo", moderator="crp", at=[1, 5], **settings)
    data = model.prepare(pd.DataFrame(rows))
    return Design(model, data)


def meta_of_arms(*, most: int) -> Design:
    """Eight binomial studies of up to so many treated arms of 40 to 54 people each, and their control group."""
    rows = [
        {"study": f"s{k}", "arm": arm, "events": 1, "n": 40 + 2 * k}
        for k in range(8)
        for arm in ("control", "low", "high", "higher")[: 2 + k % most]
    ]
    model = bd.Meta(measure="log-odds-ratio", input="arms", likelihood="binomial", reference="control")
    data = model.prepare(pd.DataFrame(rows))
    return Design(model, data)


def meta_of_effects(**settings: Any) -> Design:
    """Twelve standardised differences in six trials, two each."""
    rows = [{"study": f"s{k}", "trial": f"t{k // 2}", "effect": 0.1 * k, "se": 0.2 + 0.02 * k} for k in range(12)]
    model = bd.Meta(measure="standardised-difference", **settings)
    data = model.prepare(pd.DataFrame(rows))
    return Design(model, data)


def patient_meta(*, between: bool = True, **settings: Any) -> Design:
    """Eight studies of 20 to 39 patients at one or two times: x differs between patients, z between studies alone."""
    rng, rows = np.random.default_rng(7), []
    for k in range(8):
        for i in range(rng.integers(20, 40)):
            who = {"study": f"s{k}", "subject": f"{k}-{i}", "arm": "drug" if i % 2 else "control"}
            who |= {"x": rng.normal(), "z": float(k % 2)}
            rows += [who | {"time": t, "y": rng.normal()} for t in ("week 1", "week 4") if t == "week 1" or i % 5]
    moderators = ["x", "z"] if between else ["x"]
    columns = {"reference": "control", "outcome": "y", "moderators": moderators, "split": False, "scale": 1.0}
    model = bd.PatientMeta(**columns, **settings)
    data = model.prepare(pd.DataFrame(rows))
    return Design(model, data)


# Around the design's own: with the default priors most data sets would have all or nothing detected.
MARKER = {"marker_mean": bd.Prior("Normal", mu=0, sigma=0.25), "marker_sd": bd.Prior("LogNormal", mu=0.0, sigma=0.15)}


def fgf2(model: Model) -> Design:
    """The 31 people of the FGF-2 design, about 12% not detected."""
    table = bd.simulate("kiraly2017", seed=1).table
    keep = (table["group"] == "TRD") & (table["time"] == 0) & (table["analyte"] == "FGF-2")
    data = model.prepare(table[keep].dropna(subset=["responder"]))
    return Design(model, data)


def response() -> Design:
    """A marker and a response; scale = 1, so the slope's prior is per natural log."""
    model = bd.Response(cutoff=34, priors=MARKER, predicts_when="below", scale=1, **COLUMNS)
    return fgf2(model)


def correlation() -> Design:
    """A marker and a score in points, its mean and sd with priors in points."""
    score = {"score_mean": bd.Prior("Normal", mu=15, sigma=10), "score_sd": bd.Prior("HalfNormal", sigma=15)}
    model = bd.Correlation(score="madrs_change", priors=MARKER | score, **COLUMNS)
    return fgf2(model)


def trajectories(*, markers: bool, **settings: Any) -> Design:
    """Forty patients in two arms, a score at four times and, asked for, two markers at three, some below a limit."""
    rng, rows = np.random.default_rng(9), []
    for i in range(40):
        about = {"subject": f"s{i}", "arm": "pd"[i % 2]}
        rows += [about | {"time": t, "outcome": rng.normal()} for t in (0, 1, 2, 5) if t != i % 9]
        for name in ("a", "b") if markers else ():
            rows += [about | {"time": t, "marker": name, "value": np.exp(rng.normal())} for t in (0, 2, 5)]
    columns = {"value": "value", "analyte": "marker"} if markers else {}
    narrow = {"marker_course": bd.Prior("Normal", mu=0, sigma=0.5)} if markers else {}  # limits that some are below
    model = bd.Trajectories(reference="p", scale=1.0, priors=narrow, **columns, **settings)
    data = model.prepare(pd.DataFrame(rows)).assign(centre=0.0)
    if markers:
        data = data.assign(marker_centre=data["marker_centre"] * 0)
    return Design(model, data)


def published_trajectories() -> Design:
    """The 133 patients of the trial of blood markers, its arms, times and gaps, with two markers and associations."""
    table = bd.simulate("rct2025", seed=1).table
    table = table[table["marker"].isna() | table["marker"].isin(["IL-1RA", "IL-6"])]
    columns = {"outcome": "score", "time": "day", "value": "concentration", "analyte": "marker"}
    narrow = {"marker_course": bd.Prior("Normal", mu=0, sigma=0.5)}  # limits that some are below
    settings: dict[str, Any] = {"association": ["change"], "equal_baseline": True, "scale": 6.0, "priors": narrow}
    model = bd.Trajectories(reference="saline", **columns, **settings)
    return Design(model, model.prepare(table))


COLUMNS = {"unit": "unit", "plate": "plate", "censored": "censored", "lod": "lod", "uloq": "uloq"}
DESIGNS: dict[str, Callable[[], Design]] = {
    "cytokines, normal": partial(panel, effects="normal"),
    "cytokines, student": partial(panel, effects="student"),
    "cytokines, horseshoe": partial(panel, effects="horseshoe", expected_nonzero=2),
    "cytokines, three times": partial(
        panel, times=(0, 4, 24), analytes=4, group_by_time=True, effects="normal"
    ),
    "cytokines, default priors of levels": partial(panel, effects="normal", priors={}),
    "patient-meta, free levels, none": partial(patient_meta, effects="none"),
    "patient-meta, free levels, student": partial(patient_meta, effects="student"),
    "patient-meta, random levels, horseshoe": partial(
        patient_meta, effects="horseshoe", expected_nonzero=1, study_levels="random"
    ),
    "patient-meta, events, free levels": partial(patient_meta, effects="normal", times=["week 1"], at_least=0.5),
    "crossover": crossover,
    "response": response,
    "correlation": correlation,
    "ordinal, cumulative, integrated": ordinal,
    "ordinal, continuation, integrated": partial(ordinal, link="continuation"),
    "ordinal, adjacent, people": partial(ordinal, link="adjacent", subject=None),
    "items": items,
    "items, Student-t departures": partial(items, pooling="student-t"),
    "counts, two arms": partial(counts, "ab"),
    "counts, three arms": partial(counts, "abc"),
    "meta, binomial, two arms": partial(meta_of_arms, most=1),
    "meta, binomial, several arms": partial(meta_of_arms, most=3),
    "meta, Student-t effects": partial(meta_of_effects, heterogeneity="student-t"),
    "meta, clusters of the same people": partial(meta_of_effects, cluster="trial", within_correlation=0.5),
    "transitions": transitions,
    "transitions, effects by state": partial(transitions, effects="by-state"),
    "trajectories, growth curve": partial(trajectories, markers=False, autocorrelation=True),
    "trajectories, two markers": partial(trajectories, markers=True, association=["change"]),
    "trajectories, published design": published_trajectories,
    "trial": trial,
}  # fmt: skip


# The study.


def study(name: str, fits: int = FITS, seed: int | None = None, **how: Any) -> Any:
    """Calibrate one design.

    Parameters
    ----------
    name
        Of the design.
    fits
        How many data sets.
    seed
        By default one that is the design's own.
    **how
        As :func:`bayesdep.calibrate` takes it: ``store``, ``workers``, ``scheduler``, ``say``.

    Returns
    -------
    bayesdep.criticism.calibration.Calibration
        Around the prior.
    """
    seed = zlib.crc32(name.encode()) % 100_000 if seed is None else seed
    design = DESIGNS[name]()
    return bd.calibrate(design.model, design.data, fits=fits, seed=seed, elements=ELEMENTS, **how)


def rows_of(name: str, found: Any) -> pd.DataFrame:
    """Return what is kept of a design's calibration, one row a quantity."""
    table = found.table.drop(columns=["coverage_se"])
    about = {"design": name, "seed": found.about["seed"], "failed": found.failed}
    about |= {"seconds": round(float(found.fits["seconds"].median()), 2)}
    return table.assign(**about, date=datetime.date.today().isoformat())


def table(found: pd.DataFrame) -> str:
    """Return one line a design as Markdown."""
    heads = ["design", "data sets", "failed the gate", "quantities", "outside 95%", "by chance at most", "far outside",
             "coverage, mean", "lowest", "highest", "seconds a fit"]  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for name in [d for d in DESIGNS if d in set(found["design"])]:
        rows = found[found["design"] == name]
        c, most = rows["coverage"], int(stats.binom.ppf(0.99, len(rows), 0.05))
        cells = [
            name,
            f"{rows['fits'].iloc[0]}",
            f"{rows['failed'].iloc[0]}",
            f"{len(rows)}",
            f"{rows['outside'].sum()}",
        ]
        cells += [f"{most}", f"{rows['far_outside'].sum()}", *(f"{x:.3f}" for x in (c.mean(), c.min(), c.max()))]
        lines.append("| " + " | ".join([*cells, f"{rows['seconds'].iloc[0]:.1f}"]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run the study and write its results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("designs", nargs="*", choices=[[], *DESIGNS], help="all where left out")
    parser.add_argument("--fits", type=int, default=FITS)
    parser.add_argument("--seed", type=int, help="instead of the design's own")
    parser.add_argument("--workers", type=int, help="processes, by default one for each processor")
    parser.add_argument("--scheduler", help="address of a Dask scheduler")
    asked = parser.parse_args()
    path = HERE / "calibration.csv"
    for name in asked.designs or DESIGNS:
        start = time.perf_counter()
        store = STORE / name.replace(",", "").replace(" ", "-")
        say = partial(print, f"{name}:", flush=True)
        how = {"store": store, "workers": asked.workers, "scheduler": asked.scheduler, "say": say}
        calibrated = study(name, asked.fits, asked.seed, **how)
        print(calibrated, f"{time.perf_counter() - start:.0f} s", sep="\n", flush=True)
        found = rows_of(name, calibrated)
        if path.exists():
            kept = pd.read_csv(path)
            found = pd.concat([kept[kept["design"] != name], found])
        found.round(5).to_csv(path, index=False)
        text = DOCUMENT.read_text(encoding="utf-8")
        before, rest = text.split("<!-- DESIGNS -->", 1)
        after = rest.split("<!-- END -->", 1)[1]
        DOCUMENT.write_text(f"{before}<!-- DESIGNS -->\n{table(found)}\n<!-- END -->{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
