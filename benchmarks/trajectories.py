"""Trajectories: time of a gradient and a fit by the number of patients, and beside PyMC's plainest form of the model.

Run with ``python benchmarks/trajectories.py`` (a quarter of an hour on two cores; ``--quick`` a few minutes). Seconds
by the number of patients are of the processor, so other work on the machine matters little. The plain form has every
patient's deviations as parameters and ``pm.Censored`` for values beyond limits, and is sampled by nutpie too, on the
same table: the published design with ten markers.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.model.transform.conditioning import prune_vars_detached_from_observed

import bayesdep as bd
from bayesdep.designs.rct2025 import PEOPLE, draw_rct2025
from bayesdep.inference.compile_once import compile_once

MODEL = bd.Trajectories(
    reference="saline", outcome="score", time="day", value="concentration", analyte="marker", association=["change"],
    equal_baseline=True,
)  # fmt: skip
SIZES = (133, 1000, 10_000)
FITTED = (133, 365, 1000)
# as many draws as the gate needs: the tails of ten sds of slopes, which may be zero, have the fewest effective ones
HOW: dict[str, Any] = {"draws": 700, "tune": 700, "chains": 4}


def data_of(people: int) -> Any:
    """The published design with another number of patients."""
    treated = round(people * PEOPLE[0] / sum(PEOPLE))
    return MODEL.prepare(draw_rct2025(np.random.default_rng(1), people=(treated, people - treated)).table)


def gradient(people: int) -> float:
    """Milliseconds of one log density with its gradient: the quickest of five blocks."""
    ready = compile_once(prune_vars_detached_from_observed(MODEL.build(data_of(people))))
    evaluate = ready.evaluator()
    evaluate(ready.start)
    count = max(5, 20_000 // people)
    blocks = []
    for _ in range(5):
        start = time.process_time()
        for _ in range(count):
            evaluate(ready.start)
        blocks.append((time.process_time() - start) / count * 1000)
    return min(blocks)


def fitted(people: int) -> float:
    """Seconds of a whole fit that is compiled already."""
    data = data_of(people)
    compile_once(prune_vars_detached_from_observed(MODEL.build(data)))
    start = time.process_time()
    fit = bd.fit(MODEL, data, seed=1, progress=False, **HOW)
    taken = time.process_time() - start
    print(f"fit, {people:6,} patients: {taken:8.1f} s of the processor, {fit.gate.sentence}", flush=True)
    return taken


def exponent(sizes: Sequence[int], times: Sequence[float]) -> float:
    """The power of the number of patients that time grows with."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def plain(data: Any) -> pm.Model:
    """The same model with nothing integrated out; priors in the same units."""
    scale, times = float(data["scale"]), data.sizes["visit"]
    z = np.where(data["detection"].values == 1, data["upper"].values, data["lower"].values)
    measured = data["detection"].values >= 0
    i, m, v = np.nonzero(measured)
    low = np.where(data["detection"].values == 1, data["upper"].values, -np.inf)[measured]
    u, u_of_markers = data["deviation_columns"].values[..., 1], data["marker_deviation_columns"].values[..., 1]
    people, markers = data.sizes["subject"], data.sizes["analyte"]
    arm = data["arm_code"].values[:, 0]
    with pm.Model() as model:
        course = pm.Normal("course", 0, 2 * scale, shape=times)
        change = pm.Normal("arm_change", 0, scale, shape=times - 1)
        mean = float(data["centre"]) + data["course_columns"].values @ course
        mean = mean + arm[:, None] * (data["arm_columns"].values @ change)
        of_markers = pm.Normal("marker_course", 0, 2, shape=(markers, data.sizes["marker_term"]))
        by_arm = pm.Normal("marker_arm_change", 0, 0.7, shape=(markers, data.sizes["marker_change"]))
        eta = data["marker_centre"].values[:, None] + pt.einsum(
            "ivk,mk->imv", data["marker_course_columns"].values, of_markers
        )
        eta = eta + arm[:, None, None] * pt.einsum("ivk,mk->imv", data["marker_arm_columns"].values, by_arm)
        sds = pm.HalfNormal("marker_sds", np.array([1.5, 1.0]), shape=(markers, 2))
        b = pm.Normal("b", shape=(people, markers, 2)) * sds
        eta = eta + b[:, :, 0, None] + b[:, :, 1, None] * u_of_markers[:, None, :]
        noise = pm.HalfNormal("marker_residual_sd", 1, shape=markers)
        normal = pm.Normal.dist(eta[i, m, v], noise[m])
        pm.Censored("log2", normal, lower=low, upper=np.inf, observed=np.nan_to_num(z[measured]))
        sd = pm.HalfNormal("sd", 1.5 * scale, shape=2)
        d = pm.Normal("d", shape=(people, 2)) * sd
        centre, spread = pm.Normal("association_mean", 0, scale / 2), pm.HalfNormal("association_sd", scale / 4)
        association = centre + spread * pm.Normal("association_latent", shape=(markers, 2))
        linked = (association[:, data["arm_of"].values].T * b[:, :, 1]).sum(axis=1)
        mean = mean + d[:, 0, None] + (d[:, 1] + linked)[:, None] * u
        seen = ~np.isnan(data["outcome"].values)
        residual = pm.HalfNormal("residual_sd", 1.5 * scale)
        pm.Normal("y", mean[seen], residual, observed=data["outcome"].values[seen])
    return model


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    sizes = SIZES[:2] if quick else SIZES
    times = [gradient(n) for n in sizes]
    for n, each in zip(sizes, times, strict=True):
        print(f"gradient, {n:6,} patients: {each:8.2f} ms")
    print(f"exponent of a gradient in patients: {exponent(sizes, times):.3f}", flush=True)
    if not quick:
        print(f"exponent of a fit in patients: {exponent(FITTED, [fitted(n) for n in FITTED]):.3f}", flush=True)
    data = data_of(sum(PEOPLE))
    for run in ("cold", "warm"):
        start = time.perf_counter()
        fit = bd.fit(MODEL, data, seed=1, progress=False, **HOW)
        print(f"bayesdep, {run}: {time.perf_counter() - start:6.1f} s, {fit.gate.sentence}")
    if quick:
        return
    start = time.perf_counter()
    with plain(data):
        tree = pm.sample(nuts_sampler="nutpie", random_seed=1, progressbar=False, target_accept=0.9, **HOW)
    divergent = int(tree["sample_stats"]["diverging"].sum())
    print(f"plain PyMC: {time.perf_counter() - start:6.1f} s, {divergent} divergences")


if __name__ == "__main__":
    main()
