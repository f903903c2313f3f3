"""Measure where the time goes, as ratios within one run against named alternatives.

Run with ``make bench``; it prints the table and writes ``benchmarks/results.csv``. Seconds depend on the machine
and its load; quote the ratios.
"""

import datetime
import subprocess
import sys
import time
from pathlib import Path

import meta
import pandas as pd
import panel
import patient_meta
import trial
from timing import seconds

HERE = Path(__file__).parent


def process_seconds(code: str, repeats: int = 5) -> float:
    """Median wall-clock seconds of a fresh interpreter running some code, after one run not counted."""
    return seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True, capture_output=True), repeats)


def imports() -> list[tuple[str, float, str, float]]:
    """Importing the package against importing PyMC, and the command line's help against a bare interpreter."""
    timed = "import time, pymc; start = time.perf_counter(); import bayesdep; print(time.perf_counter() - start)"
    added = float(subprocess.run([sys.executable, "-c", timed], check=True, capture_output=True, text=True).stdout)
    rows = [("import bayesdep, PyMC imported", added, "import pymc", process_seconds("import pymc"))]
    bare = process_seconds("pass")
    rows.append(
        ("bayesdep --help", process_seconds("from bayesdep.cli import app; app(['--help'])"), "bare python", bare)
    )
    return rows


def meta_analysis() -> list[tuple[str, float, str, float]]:
    """Quadrature against sampling, reuse against compiling, vectorised evaluation against PyMC's compiled one."""
    import pymc as pm

    import bayesdep as bd
    from bayesdep.inference import compile_once

    model = bd.Meta(
        measure="log-risk-ratio",
        input="counts",
        study="trial",
        events_treated="tb_vaccinated",
        n_treated="n_vaccinated",
        events_control="tb_control",
        n_control="n_control",
    )
    trials = bd.load("bcg_colditz1994")
    data = model.prepare(trials)
    start = time.perf_counter()
    fit = bd.fit(model, data, sampler="nutpie")
    first = time.perf_counter() - start
    again = seconds(lambda: bd.fit(model, data, sampler="nutpie"))
    rows = [("fit, compiled model reused", again, "fit, first in the process", first)]
    rows.append(
        (
            "BCG exactly, every marginal with its HDI",
            seconds(lambda: bd.summarise_exact(model.exact(data))),
            "fit, reused",
            again,
        )
    )

    pm_model = model.build(data)

    def pymc_groups() -> object:
        with pm_model:
            tree = pm.sample_posterior_predictive(fit.tree, progressbar=False, random_seed=1)
            return tree, pm.compute_log_likelihood(fit.tree.copy(), progressbar=False)

    ours = fit.manifest["timings_s"]["draw"]
    rows.append(
        (
            "prior, predictive, log-likelihood and log-prior",
            ours,
            "PyMC: predictive and log-likelihood",
            seconds(pymc_groups, 1),
        )
    )

    y, se = data["effect"].values, data["se"].values

    def textbook() -> object:
        with pm.Model():
            mu, tau = pm.Normal("mu", 0, 1.5), pm.HalfNormal("tau", 0.5)
            theta = pm.Normal("theta", mu, tau, shape=len(y))
            pm.Normal("y", theta, se, observed=y)
            return pm.sample(progressbar=False, random_seed=1, nuts_sampler="nutpie")

    compile_once._cache.clear()
    start = time.perf_counter()
    bd.fit(model, data, sampler="nutpie")
    whole = time.perf_counter() - start
    start = time.perf_counter()
    textbook()
    rows.append(
        (
            "whole fit with every group, compiled anew",
            whole,
            "pm.sample alone, centred textbook model",
            time.perf_counter() - start,
        )
    )
    return rows


def main() -> None:
    """Measure everything, print it and write ``results.csv``."""
    rows = [*imports(), *meta_analysis(), *meta.rows(), *panel.rows(), *trial.rows(), *patient_meta.rows()]
    table = pd.DataFrame(rows, columns=["what", "seconds", "against", "against_seconds"])
    table["ratio"] = table["against_seconds"] / table["seconds"]
    table["date"] = datetime.date.today().isoformat()
    print(table.to_string(index=False, float_format="{:.3g}".format))
    table.to_csv(HERE / "results.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
