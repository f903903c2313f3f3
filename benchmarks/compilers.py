"""What a density costs by both compilers: compilation from nothing, in a second process, and one gradient.

Run with ``python benchmarks/compilers.py`` (about ten minutes on an idle machine) or with the names of plans. It writes
``benchmarks/compilers.csv``. Each plan is compiled in processes of its own, the first with an empty folder of compiled
code, the second with what the first left there; seconds are of the processor, so other work on the machine matters
little. The gradient is the quickest of twenty blocks of calls. ``difference`` is the largest relative difference of the
two compilers' log densities and gradients over a few points (a gradient's is relative to its largest element).
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
PLANS = HERE.parent / "models"
SHIPPED = (
    "raison2013/responders",
    "kiraly2017/fgf2_response",
    "kiraly2017/fgf2_madrs",
    "kiraly2017/fgf2_screen",
    "benchmarks/nimh_crossover",
    "ketamine_trials/response_rapid",
    "raison2013/crp_log_linear",
    "raison2013/unstructured",
    "kiraly2017/panel",
    "kiraly2017/time_course",
    "price2022/moderators_joint",
    "wilkowska2022/stage_moderates_ketamine",
    "wilkowska2022/downstaging",
    "raison2013/items",
    "raison2013/tnf_course",
    "rct2025/association",
)
POINTS, BLOCKS = 4, 20


def measured(name: str) -> dict[str, Any]:
    """Compile one plan's density and time it: what the measuring process does.

    Parameters
    ----------
    name
        Of a shipped plan.

    Returns
    -------
    dict
        Compiler, processor seconds of the compilation, microseconds a gradient, and densities at a few points.
    """
    from pymc.model.transform.conditioning import prune_vars_detached_from_observed

    import bayesdep as bd
    from bayesdep.inference.compile_once import compile_once
    from bayesdep.plan import prepare

    plan = bd.read_plan(PLANS / f"{name}.toml")
    core = prune_vars_detached_from_observed(plan.model.build(prepare(plan)))
    import nutpie  # noqa: F401  (imported before, as in every fit)

    start = time.process_time()
    bound = compile_once(core)
    taken = time.process_time() - start
    evaluate, rng = bound.evaluator(), np.random.default_rng(1)
    found = [evaluate(bound.start + 0.1 * rng.normal(size=bound.n_dim)) for _ in range(POINTS)]
    return {
        "compiler": bound.density.compiler,
        "dims": bound.n_dim,
        "cpu_s": taken,
        "gradient_us": _gradient_us(evaluate, bound.start),
        "values": [value for value, _ in found],
        "slopes": [slope.tolist() for _, slope in found],
    }


def _gradient_us(evaluate: Any, point: np.ndarray) -> float:
    start = time.perf_counter()
    evaluate(point)
    calls = max(1, int(0.02 / max(time.perf_counter() - start, 1e-6)))
    best = np.inf
    for _ in range(BLOCKS):
        start = time.perf_counter()
        for _ in range(calls):
            evaluate(point)
        best = min(best, (time.perf_counter() - start) / calls)
    return 1e6 * best


def in_process(name: str, compiler: str, folder: str) -> dict[str, Any]:
    """Measure in a fresh interpreter whose compiled code lies in a folder."""
    call = f"import compilers; print(json.dumps(compilers.measured({name!r})))"
    code = f"import json, sys; sys.path.insert(0, {str(HERE)!r}); {call}"
    known = dict(os.environ, BAYESDEP_COMPILER=compiler, PYTENSOR_FLAGS=f"base_compiledir={folder}")
    known.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True, env=known)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def compared(name: str) -> dict[str, object]:
    """One row: both compilers, cold and in a second process."""
    row: dict[str, object] = {"plan": name}
    both = {}
    for compiler in ("llvm", "pytensor"):
        with tempfile.TemporaryDirectory() as folder:
            first, second = (in_process(name, compiler, folder) for _ in range(2))
        if first["compiler"] != compiler:
            raise SystemExit(f"{name}: {compiler} did not compile it")
        row |= {"dims": first["dims"], f"{compiler}_cold_s": round(first["cpu_s"], 2)}
        row |= {f"{compiler}_again_s": round(second["cpu_s"], 2)}
        row |= {f"{compiler}_gradient_us": round(min(first["gradient_us"], second["gradient_us"]), 1)}
        both[compiler] = first
    one, other = both["llvm"], both["pytensor"]
    values = np.abs(np.array(one["values"]) - other["values"]) / np.abs(other["values"])
    slopes = np.abs(np.array(one["slopes"]) - other["slopes"]).max(axis=1) / np.abs(other["slopes"]).max(axis=1)
    return row | {"difference": float(f"{max(values.max(), slopes.max()):.1e}")}


def main() -> None:
    """Measure the plans asked for, and keep the rows of the others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plans", nargs="*", choices=[[], *SHIPPED], help="all where left out")
    parser.add_argument("--out", type=Path, default=HERE / "compilers.csv")
    given = parser.parse_args()
    rows = {} if not given.out.exists() else {r["plan"]: r for r in pd.read_csv(given.out).to_dict("records")}
    for name in given.plans or SHIPPED:
        rows[name] = compared(name) | {"date": datetime.date.today().isoformat()}
        print(rows[name], flush=True)
        kept = pd.DataFrame([rows[name] for name in SHIPPED if name in rows])
        kept.to_csv(given.out, index=False)


if __name__ == "__main__":
    main()
