"""The cytokine panel against the same model as PyMC users write it, and how its cost grows with people.

Called by ``benchmarks/run.py``; each timing is taken in a fresh process after one that filled the compilation caches.
"""

import json
import time

import numpy as np
from timing import in_a_process

import bayesdep as bd
from bayesdep.designs.kiraly2017 import draw_kiraly2017

MODEL = bd.Cytokines(
    analyte="analyte", subject="subject", group="group", reference="HC", plate="plate", censored="censored", lod="lod",
    uloq="uloq", unit="unit",
)  # fmt: skip


def ours() -> dict[str, float]:
    """Our fit at baseline, 4 chains of 1000 + 1000: seconds up to the estimands and their gate, and the worst ESS."""
    import nutpie  # noqa: F401  (importing is not compiling)

    import bayesdep.inference.sample  # noqa: F401  (nor is this)

    table = bd.simulate("kiraly2017", seed=1).table.query("time == 0")
    fit = bd.fit(MODEL, table, progress=False)
    spent = fit.manifest["timings_s"]
    worst = min(c.value for c in fit.gate.criteria if c.name.startswith("ESS"))
    needed = sum(spent[step] for step in ("prepare", "build", "compile", "sample", "estimate"))
    divergences = next(c.value for c in fit.gate.criteria if c.name == "divergences")
    return {"total": needed, "ess": worst, "divergences": divergences, "passed": fit.gate.passed, **spent}


def naive(sampler: str) -> dict[str, float]:
    """The same model with ``pm.Censored`` and ``pm.sample``: seconds to the same estimands' ESS.

    ``sampler`` is ``"pymc"``, PyMC's own, or ``"nutpie"``, which PyMC 6.4 takes instead where that is installed.
    """
    import arviz_stats
    import nutpie  # noqa: F401  (importing is not compiling)
    import pymc as pm

    table = bd.simulate("kiraly2017", seed=1).table.query("time == 0")
    data = MODEL.prepare(table)
    a, i, p = (data[f"{w}_of"].values for w in ("analyte", "subject", "plate"))
    x = data["group_code"].values[data["group_of"].values, 0]
    lower = np.where(data["kind"] == 1, data["upper"], -np.inf)
    upper = np.where(data["kind"] == 2, data["lower"], np.inf)
    value = np.where(data["kind"] == 2, data["lower"], data["upper"]) - data["centre"].values[0]
    start = time.perf_counter()
    with pm.Model(coords={d: data[d].values for d in ("analyte", "subject", "plate")}):
        level = pm.Normal("level", pm.Normal("m", 0, 2.5), pm.HalfNormal("t", 2.5), dims="analyte")
        effect = pm.Normal("effect", pm.Normal("b", 0, 0.5), pm.HalfNormal("s", 0.5), dims="analyte")
        plate = pm.ZeroSumNormal("plate_effect", pm.HalfNormal("plate_sd", 0.25), dims=("analyte", "plate"))
        person = pm.Normal("person", 0, pm.HalfNormal("person_sd", 0.5), dims="subject")
        log_sd = pm.Normal("log_sd", pm.Normal("r", np.log(0.8), 0.6), pm.HalfNormal("q", 0.5), dims="analyte")
        mean = level[a] + effect[a] * x + plate[a, p] + person[i]
        centre = data["centre"].values[0]
        residual = pm.Normal.dist(mean, pm.math.exp(log_sd)[a])
        pm.Censored("y", residual, lower=lower - centre, upper=upper - centre, observed=value)
        tree = pm.sample(
            draws=1000, tune=1000, chains=4, cores=2, random_seed=1, progressbar=False, nuts_sampler=sampler,
            compute_convergence_checks=False,
        )  # fmt: skip
    ess = float(arviz_stats.ess(tree["posterior"].to_dataset()[["effect"]])["effect"].min())
    return {"total": time.perf_counter() - start, "ess": ess}


def one_gradient(people: int) -> dict[str, float]:
    """Microseconds of one density with gradient at ``people`` times the study's size, and of one leapfrog step."""
    import nutpie
    from pymc.model.transform.conditioning import prune_vars_detached_from_observed

    from bayesdep.inference.compile_once import compile_once

    made = draw_kiraly2017(np.random.default_rng(1), people=(26 * people, 33 * people), times=(0,))
    ready = compile_once(prune_vars_detached_from_observed(MODEL.build(MODEL.prepare(made.table))))
    point = ready.start + np.random.default_rng(2).normal(0, 0.1, ready.n_dim)
    call = ready.evaluator()
    call(point)
    repeats = max(20, 2000 // people)
    start = time.perf_counter()
    for _ in range(repeats):
        call(point)
    each = (time.perf_counter() - start) / repeats
    start = time.perf_counter()
    tree = nutpie.sample(
        ready, draws=30, tune=70, chains=2, cores=2, seed=1, progress_bar=False, save_warmup=True, target_accept=0.8
    )
    steps = sum(float(tree[g]["n_steps"].sum()) for g in ("sample_stats", "warmup_sample_stats"))
    step = (time.perf_counter() - start) / steps
    return {"rows": len(made.table), "gradient_us": 1e6 * each, "step_us": 1e6 * step}


def by_hand() -> dict[str, float]:
    """Microseconds of the same arithmetic in one hand-written numba loop: the floor for a gradient."""
    import math

    import numba

    data = MODEL.prepare(bd.simulate("kiraly2017", seed=1).table.query("time == 0"))
    kind = data["kind"].values
    seen = int((kind == 0).sum())
    value = np.where(kind == 2, data["lower"], data["upper"]) - data["centre"].values[0]
    a, i, p, g = (data[f"{w}_of"].values for w in ("analyte", "subject", "plate", "group"))
    side = np.where(kind == 2, -1.0, 1.0)
    x = data["group_code"].values[:, 0]

    @numba.njit(fastmath=True)
    def loop(level, effect, plate, person, log_sd, out):  # type: ignore[no-untyped-def]  # numba infers its types
        out[:] = 0.0
        total = 0.0
        inverse = np.exp(-log_sd)
        for m in range(len(value)):
            k = a[m]
            z = (value[m] - level[k] - effect[k] * x[g[m]] - plate[k, p[m]] - person[i[m]]) * inverse[k]
            if m < seen:
                total -= 0.5 * z * z + log_sd[k]
                slope, by_sd = z, z * z - 1.0
            else:
                q = side[m] * z
                tail = 0.5 * math.erfc(-q / math.sqrt(2.0))
                total += math.log(tail)
                hazard = math.exp(-0.5 * q * q) / math.sqrt(2 * math.pi) / tail
                slope, by_sd = -side[m] * hazard, -hazard * q
            slope *= inverse[k]
            out[k] += slope
            out[41 + k] += slope * x[g[m]]
            out[82 + 3 * k + p[m]] += slope
            out[205 + k] += by_sd
            out[246 + i[m]] += slope
        return total

    rng = np.random.default_rng(2)
    at = [rng.normal(0, 0.1, s) for s in (41, 41, (41, 3), data.sizes["subject"], 41)]
    out = np.zeros(246 + data.sizes["subject"])
    loop(*at, out)
    start = time.perf_counter()
    for _ in range(2000):
        loop(*at, out)
    return {"gradient_us": 1e6 * (time.perf_counter() - start) / 2000}


def rows() -> list[tuple[str, float, str, float]]:
    """What the table of ``run.py`` shows: seconds, against what, its seconds."""
    in_a_process(__file__, "ours()")
    mine = in_a_process(__file__, "ours()")
    print("panel:", json.dumps(mine))
    found = []
    for sampler in ("pymc", "nutpie"):
        in_a_process(__file__, f"naive('{sampler}')")
        theirs = in_a_process(__file__, f"naive('{sampler}')")
        print(f"naive, {sampler}:", json.dumps(theirs))
        against = f"pm.Censored, pm.sample ({sampler})"
        found += [
            ("panel, 41 analytes x 59 people: to checked estimands", mine["total"], against, theirs["total"]),
            (
                "panel, seconds per 1000 effective draws of the worst estimand",
                1000 * mine["total"] / mine["ess"],
                f"{against}, worst ratio",
                1000 * theirs["total"] / theirs["ess"],
            ),
        ]
    small, large = in_a_process(__file__, "one_gradient(1)"), in_a_process(__file__, "one_gradient(16)")
    hand = in_a_process(__file__, "by_hand()")
    print("gradient:", json.dumps([small, large, hand]))
    found.append(
        ("panel, one gradient", small["gradient_us"] / 1e6, "hand-written numba loop", hand["gradient_us"] / 1e6)
    )
    for what in ("gradient_us", "step_us"):
        exponent = np.log(large[what] / small[what]) / np.log(large["rows"] / small["rows"])
        name = what.removesuffix("_us")
        found.append((f"panel x 16 people, one {name} (exponent {exponent:.2f})", large[what] / 1e6,
                      f"panel, one {name}", small[what] / 1e6))  # fmt: skip
    return found
