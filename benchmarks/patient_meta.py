"""Individual-patient meta-analysis: a fit of Price's size, and a hundred thousand patients by sums of products.

Called by ``benchmarks/run.py``. The alternative for many patients is the same arithmetic with a row per patient.
"""

import resource
import time

import numpy as np
from timing import in_a_process, seconds

import bayesdep as bd
from bayesdep.designs.price2022 import draw_price2022

COLUMNS = {"reference": "control", "outcome": "improvement", "units": "% improvement", "baseline": "madrs_baseline"}
NINE = ["psychoactive", "crossover", "threshold", "trd", "us", "inpatient", "mdd", "age", "female"]


def price() -> dict[str, float]:
    """17 studies, 720 patients, both times, nine moderators, warm: seconds to estimands, in all, and the gate."""
    table = bd.simulate("price2022", seed=1).table
    model = bd.PatientMeta(**COLUMNS, moderators=NINE, split=False)
    bd.fit(model, table, progress=False)  # compiles
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        fit = bd.fit(model, table, progress=False)
        spent = fit.manifest["timings_s"]
        needed = sum(spent[step] for step in ("prepare", "build", "compile", "sample", "estimate"))
        taken.append((needed, time.perf_counter() - start))
    total, whole = min(taken)
    return {"total": total, "whole": whole} | _verdict(fit)


def large(studies: int = 200, patients: int = 100_000) -> dict[str, float]:
    """Many patients, both times, no moderators: seconds in all (compiling included), and the gate.

    500 tuning and 500 kept draws per chain leave three times the effective draws that the gate asks for.
    """
    table = draw_price2022(np.random.default_rng(1), studies=studies, patients=patients).table
    model = bd.PatientMeta(**COLUMNS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    fit = bd.fit(model, table, draws=500, tune=500, progress=False)
    total = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"total": total, "before_mib": before, "peak_mib": peak} | fit.manifest["timings_s"] | _verdict(fit)


def _verdict(fit: bd.Fit) -> dict[str, float]:
    return {
        "passed": float(fit.gate.passed),
        "ess": min(c.value for c in fit.gate.criteria if c.name.startswith("ESS")),
        "divergences": float(fit.tree["sample_stats"]["diverging"].sum()),
    }


def one_step() -> tuple[float, float]:
    """Seconds of one density and slopes of 100,000 patients: by sums of products, and by patient."""
    from pytensor.link.numba.dispatch.basic import numba_njit

    from bayesdep.models.patient_meta.density import density_and_slopes
    from bayesdep.models.patient_meta.products import columns_of

    table = draw_price2022(np.random.default_rng(1), studies=200, patients=100_000).table
    data = bd.PatientMeta(**COLUMNS).prepare(table)
    gamma, sd = np.zeros((2, data.sizes["column"], 2)), np.ones((200, 2))
    parameters = (gamma, sd, np.asarray(0.5), 0.2 * np.eye(4))
    sums = [data[v].values for v in ("cross", "projected", "outcomes", "seen", "proper")]
    compiled = numba_njit(density_and_slopes, final_function=True)  # to be called from Python
    z, arm, y = columns_of(data), data["arm_of"].values, np.nan_to_num(data["outcome"].values)

    def by_patient() -> object:  # the residuals alone, which every other way needs at least
        return ((y - np.einsum("ic,ict->it", z, gamma[arm])) ** 2).sum()

    return seconds(lambda: compiled(*parameters, *sums)), seconds(by_patient)


def rows() -> list[tuple[str, float, str, float]]:
    """Return the rows of the benchmark's table."""
    small, many = in_a_process(__file__, "price()"), in_a_process(__file__, "large()")
    ours, theirs = one_step()
    return [
        (
            f"patient-meta, 720 patients, two times, nine moderators, warm: to checked estimands "
            f"({small['divergences']:g} divergences)",
            small["total"],
            "with predictions and scores",
            small["whole"],
        ),
        (
            f"patient-meta, 200 studies, 100,000 patients, compiling included (ESS {many['ess']:.0f}, "
            f"{many['peak_mib']:.0f} MiB)",
            many["total"],
            "of which sampling",
            many["sample"],
        ),
        ("patient-meta, 100,000 patients, one density with slopes", ours, "residuals of every patient alone", theirs),
    ]


if __name__ == "__main__":
    for what, ours, against, theirs in rows():
        print(f"{what}: {ours:.4g} s; {against}: {theirs:.4g} s")
