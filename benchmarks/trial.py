"""The trial on Raison's design against the same model as PyMC users write it, and how its cost grows with patients.

Called by ``benchmarks/run.py``; each timing is taken in a fresh process after one that filled the compilation caches.
"""

import json
import time
from typing import Any

import numpy as np
from timing import in_a_process

import bayesdep as bd
from bayesdep.designs.raison2013 import draw_raison2013

AR1: dict[str, Any] = {"covariance": "ar1", "heterogeneous": False}


def model(**settings: Any) -> bd.Trial:
    """Raison's trial: every visit's own effects along log hs-CRP and its square."""
    return bd.Trial(
        reference="placebo", outcome="hamd", visit="week", baseline="hamd_baseline", moderator="crp",
        moderator_form="log-quadratic", **settings,
    )  # fmt: skip


def ours(covariance: str) -> dict[str, float]:
    """Our fit, 4 chains of 1000 + 1000: seconds up to the estimands and their gate, and the worst ESS."""
    import nutpie  # noqa: F401  (importing is not compiling)

    import bayesdep.inference.sample  # noqa: F401  (nor is this)

    table = bd.simulate("raison2013", seed=1).table.query("week > 0")
    settings: dict[str, Any] = AR1 if covariance == "ar1" else {"covariance": covariance, "lkj": 4.0}
    fit = bd.fit(model(**settings), table, progress=False)
    spent = fit.manifest["timings_s"]
    needed = sum(spent[step] for step in ("prepare", "build", "compile", "sample", "estimate"))
    value = {c.name: c.value for c in fit.gate.criteria}
    return {"total": needed, "ess": value["ESS bulk"], "divergences": value["divergences"], **spent}


def naive() -> dict[str, float]:
    """The AR(1) model with one dense ``pm.MvNormal`` per pattern of missed visits: seconds, and the worst ESS."""
    import arviz_stats
    import nutpie  # noqa: F401  (importing is not compiling)
    import pymc as pm
    import pytensor.tensor as pt

    data = model(**AR1).prepare(bd.simulate("raison2013", seed=1).table.query("week > 0"))
    y, centre = data["outcome"].values, float(data["centre"])
    terms, arm, baseline = data["moderator_terms"].values, data["arm_code"].values[:, 0], data["baseline"].values
    start = time.perf_counter()
    with pm.Model(coords={"visit": data["visit"].values, "term": data["term"].values}):
        visit_mean = pm.Normal("visit_mean", 0, 10, dims="visit")
        slope = pm.Normal("baseline_slope", 0, 0.5, dims="visit")
        effect = pm.Normal("arm_effect", 0, 5, dims="visit")
        moderator = pm.Normal("moderator_effect", 0, 2.5, dims=("term", "visit"))
        both = pm.Normal("arm_by_moderator", 0, 2.5, dims=("term", "visit"))
        sd, rho = pm.HalfNormal("residual_sd", 7), pm.Beta("rho", 2, 2)
        mean = centre + visit_mean + baseline[:, None] * slope + arm[:, None] * effect
        mean = mean + pt.dot(terms, moderator) + arm[:, None] * pt.dot(terms, both)
        gap = np.abs(np.subtract.outer(np.arange(y.shape[1]), np.arange(y.shape[1])))
        whole = sd**2 * rho**gap
        patterns, which = np.unique(~np.isnan(y), axis=0, return_inverse=True)
        for k, seen in enumerate(patterns):
            rows, columns = np.flatnonzero(which.ravel() == k), np.flatnonzero(seen)
            if len(columns):
                pm.MvNormal(
                    f"y_{k}", mean[rows][:, columns], whole[columns][:, columns], observed=y[np.ix_(rows, columns)]
                )
        tree = pm.sample(
            draws=1000, tune=1000, chains=4, cores=2, random_seed=1, progressbar=False, nuts_sampler="pymc",
            compute_convergence_checks=False,
        )  # fmt: skip
    ess = float(arviz_stats.ess(tree["posterior"].to_dataset()[["arm_effect"]])["arm_effect"].min())
    return {"total": time.perf_counter() - start, "ess": ess}


def one_step(patients: int) -> dict[str, float]:
    """Microseconds of one leapfrog step with this many patients."""
    import nutpie
    from pymc.model.transform.conditioning import prune_vars_detached_from_observed

    from bayesdep.inference.compile_once import compile_once

    made = draw_raison2013(np.random.default_rng(1), people=(patients // 2, patients // 2))
    graph = model(**AR1)
    data = graph.prepare(made.table.query("week > 0").reset_index(drop=True))
    ready = compile_once(prune_vars_detached_from_observed(graph.build(data)))
    start = time.perf_counter()
    tree = nutpie.sample(
        ready, draws=20, tune=40, chains=2, cores=2, seed=1, progress_bar=False, save_warmup=True, target_accept=0.8,
        adaptation="low_rank",
    )  # fmt: skip
    steps = sum(float(tree[g]["n_steps"].sum()) for g in ("sample_stats", "warmup_sample_stats"))
    return {"step_us": 1e6 * (time.perf_counter() - start) / steps}


def rows() -> list[tuple[str, float, str, float]]:
    """What the table of ``run.py`` shows: seconds, against what, its seconds."""
    timed = {}
    for call in ("ours('ar1')", "naive()", "ours('unstructured')"):
        in_a_process(__file__, call)
        timed[call] = in_a_process(__file__, call)
        print(f"trial, {call}:", json.dumps(timed[call]))
    mine, theirs, free = timed.values()
    against = "one pm.MvNormal per pattern, pm.sample (pymc)"
    found = [
        ("trial AR(1), 60 patients x 8 visits: to checked estimands", mine["total"], against, theirs["total"]),
        (
            "trial AR(1), seconds per 1000 effective draws of the worst estimand",
            1000 * mine["total"] / mine["ess"],
            f"{against}, worst arm effect",
            1000 * theirs["total"] / theirs["ess"],
        ),
        ("trial unstructured, the same patients: to checked estimands", free["total"], "trial AR(1)", mine["total"]),
    ]
    small, large = in_a_process(__file__, "one_step(600)"), in_a_process(__file__, "one_step(10000)")
    exponent = np.log(large["step_us"] / small["step_us"]) / np.log(10000 / 600)
    found.append(
        (
            f"trial AR(1), 10,000 patients, one step (exponent {exponent:.2f})",
            large["step_us"] / 1e6,
            "600 patients",
            small["step_us"] / 1e6,
        )
    )
    return found
