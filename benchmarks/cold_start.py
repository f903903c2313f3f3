"""Where the time goes from nothing to a written run: every shipped plan, by stage, cold and warm.

Run with ``make cold`` or ``python benchmarks/cold_start.py`` (a minute of processor time a plan), or with the names of
plans. It writes ``benchmarks/cold_start.csv``, ``benchmarks/cold_start.png`` and a table in ``benchmarks/README.md``. A
plan's rows are kept as they end, so it can be stopped: plans that have rows are not run again without ``--again``.

Each plan is run four times, in two processes: with an empty folder of compiled code (``cold``); in a second process
with what the first left there (``warm cache``); again in that process (``warm process``); and there with another
setting (``changed setting``). Seconds are of the processor, all threads together, so other work on the machine matters
less than for a clock on the wall; a second belongs to the innermost stage that was under way.
"""

import argparse
import dataclasses
import datetime
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).parent
PLANS = HERE.parent / "models"
STATES = ("cold", "warm cache", "warm process", "changed setting")
STAGES = (
    *("import", "read", "build", "rewrite", "compile", "sample", "predict", "score", "estimate", "check"),
    *("figures", "report", "write"),
)
COLOURS = (
    *("#222222", "#6b6b6b", "#a9a9a9", "#7a1e17", "#d9544d", "#1f5a99", "#5b93c9", "#a9cbe8", "#2f7d4f", "#8cc6a2"),
    *("#e0a030", "#f2d08a", "#8a63a8"),
)
# settings with their choices: the first that a plan's model and table accept, and that it does not have, is the change
CHANGES: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("robust", (True, False)),
    ("pooling", ("none", "partial", "normal")),
    ("heterogeneity", ("student-t", "normal")),
    ("effects", ("horseshoe", "normal", "none")),
    ("study_levels", ("fixed", "random")),
    ("carry_over", (True, False)),
    ("link", ("adjacent", "continuation", "cumulative")),
    ("autocorrelation", (True, False)),
    ("likelihood", ("binomial", "gaussian")),
)
BEGIN, END = "<!-- begin: cold_start.py -->", "<!-- end: cold_start.py -->"


class Account:
    """Processor seconds by stage; a stage that begins inside another takes over until it ends."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._under_way, self._since = ["write"], time.process_time()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count what is done in the context as a stage."""
        self._settle()
        self._under_way.append(stage)
        try:
            yield
        finally:
            self._settle()
            self._under_way.pop()

    def _settle(self) -> None:
        now = time.process_time()
        self.seconds[self._under_way[-1]] += now - self._since
        self._since = now

    def taken(self) -> dict[str, float]:
        """Return what was counted since the last time."""
        self._settle()
        found = {stage: round(seconds, 3) for stage, seconds in self.seconds.items()}
        self.seconds = dict.fromkeys(STAGES, 0.0)
        return found

    def of(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose time counts as a stage."""

        @functools.wraps(function)
        def counted(*given: Any, **words: Any) -> Any:
            with self(stage):
                return function(*given, **words)

        return counted

    def everywhere(self, stage: str, function: Callable[..., Any]) -> None:
        """Count a function of the package as a stage, in whatever module it was imported into."""
        counted = self.of(stage, function)
        for module in [m for name, m in sys.modules.items() if name.split(".")[0] == "bayesdep"]:
            for name in [name for name, thing in vars(module).items() if thing is function]:
                setattr(module, name, counted)


def _instrumented() -> Account:
    """Import what a run needs, and count the stages of runs from now on."""
    account = Account()
    with account("import"):
        import nutpie  # noqa: F401  (its import is timed)

        import bayesdep.cli  # noqa: F401  (its import is timed)
        from bayesdep import plan
        from bayesdep.criticism import checks, each_prior, sensitivity
        from bayesdep.inference import cached_rewrite, compile_once, diagnostics, fit, groups, nuts, predictive, sample
        from bayesdep.inference import verdict as verdicts
        from bayesdep.models.register import families, model_class
        from bayesdep.reporting import estimands, ledger, run_directory
        from bayesdep.reporting import report as reports
        from bayesdep.reporting.figures import register
    for stage, functions in {
        "read": (plan.read_plan, plan.prepare, plan.prepare_alternatives),
        "rewrite": (cached_rewrite.cached_rewrite,),
        "compile": (compile_once.compile_once,),
        "sample": (nuts.sample_nuts, sample._exact_draws),
        "predict": (groups._predictions, groups.posterior_of),
        "score": (groups.scores, groups.log_density),
        "estimate": (estimands.summarise, estimands.summarise_parameters),
        "check": (
            *(diagnostics.check_convergence, diagnostics.check_independent_draws, predictive.check_results),
            *(checks.check_predictions, sensitivity.check_prior_sensitivity, each_prior.check_each_prior),
            verdicts.check_model,
        ),
        "figures": (register.png, register.vector_files),
        "report": (reports.report, ledger.ledger),
        "write": (run_directory.write_run,),
    }.items():
        for function in functions:
            account.everywhere(stage, function)
    for entry in register.FIGURES.values():
        object.__setattr__(entry, "draw", account.of("figures", entry.draw))
    fit.Fit.save = account.of("write", fit.Fit.save)  # type: ignore[method-assign]  # its time is taken
    for family in families():
        kind: Any = model_class(family)
        kind.build, kind.estimands = account.of("build", kind.build), account.of("estimate", kind.estimands)
    return account


def _changed(plan: Any) -> tuple[Any, str]:
    """Return a plan with another setting that its table allows, and which; the plan and nothing where there is none."""
    from bayesdep.data.errors import BadInput
    from bayesdep.plan import prepare

    for name, choices in CHANGES:
        now = getattr(plan.model, name, None)
        for value in choices if hasattr(plan.model, name) and now in choices else ():
            if value == now:
                continue
            try:
                model = dataclasses.replace(plan.model, **{name: value}, priors={})
                other = dataclasses.replace(plan, model=model, published=(), ropes=(), alternatives=())
                prepare(other)
            except BadInput:
                continue
            return other, f"{name} = {value}"
    return plan, ""


def measured(name: str, states: tuple[str, ...]) -> list[dict[str, Any]]:
    """Run one plan once for each state, in this process: what a measuring process does.

    Parameters
    ----------
    name
        Of a shipped plan.
    states
        Some of :data:`STATES`, in their order.

    Returns
    -------
    list of dict
        A row for each: plan, state, setting, compiler, wall seconds, processor seconds by stage.
    """
    account = _instrumented()
    import bayesdep.plan as plans

    rows = []
    plan = plans.read_plan(PLANS / f"{name}.toml")
    for state in states:
        given, said = plan, ""
        if state == "changed setting":
            given, said = _changed(plan)
            account.taken()  # looking for a setting is no part of a run
            if not said:
                continue
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            run = plans.run_plan(given, out=Path(folder) / "run", force=True, vector=False, accept_failed_gate=True)
            size = sum(file.stat().st_size for file in (Path(folder) / "run").rglob("*") if file.is_file())
        wall = time.perf_counter() - start
        seconds = account.taken()
        row = {"plan": name, "state": state, "setting": said, "compiler": run.fit.manifest.get("compiler", "none")}
        rows.append(row | {"megabytes": round(size / 1e6, 1), "wall": round(wall, 2)} | seconds)
    return rows


def _in_process(name: str, states: tuple[str, ...], folder: str) -> list[dict[str, Any]]:
    """Measure in a fresh interpreter whose compiled code lies in a folder."""
    code = (
        f"import json, sys; sys.path.insert(0, {str(HERE)!r}); import cold_start; "
        f"print(json.dumps(cold_start.measured({name!r}, {states!r})))"
    )
    known = dict(os.environ, PYTENSOR_FLAGS=f"base_compiledir={folder}")
    known.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True, env=known)
    return list(json.loads(done.stdout.splitlines()[-1]))


def every_plan() -> list[str]:
    """Return the names of the shipped plans that need no file of the user's."""
    from bayesdep.planning.shipped import shipped_plans

    return [plan.label for plan in shipped_plans() if not plan.needs_data]


def _rows_of(name: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        rows = [*_in_process(name, STATES[:1], folder), *_in_process(name, STATES[1:], folder)]
    for row in rows:
        row["total"] = round(sum(row[stage] for stage in STAGES), 2)
        row["date"] = datetime.date.today().isoformat()
    return rows


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw the account: a bar for each plan and state, in the colours of its stages.

    Parameters
    ----------
    table
        Rows as :func:`measured` makes them.
    path
        The picture.
    """
    from matplotlib.figure import Figure

    from bayesdep.reporting.figures.register import png

    plans = list(dict.fromkeys(table["plan"]))
    figure = Figure(figsize=(11, 1.6 + 0.24 * len(plans)), layout="constrained")
    panels = figure.subplots(1, len(STATES), sharex=True, sharey=True)
    for axes, state in zip(panels, STATES, strict=True):
        rows = table[table["state"] == state].set_index("plan").reindex(plans)
        left = pd.Series(0.0, index=plans)
        for stage, colour in zip(STAGES, COLOURS, strict=True):
            width = rows[stage].fillna(0.0)
            axes.barh(range(len(plans)), width, left=left, color=colour, label=stage, height=0.75)
            left += width
        axes.set_title(state, fontsize=9, loc="left")
        axes.set_yticks(range(len(plans)), plans, fontsize=7)
        axes.tick_params(axis="x", labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylim(len(plans) - 0.5, -0.5)
    figure.supxlabel("processor seconds, two cores together", fontsize=8)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(STAGES), fontsize=7, frameon=False,
                  handlelength=1, columnspacing=0.9)  # fmt: skip
    path.write_bytes(png(figure))


def written(table: pd.DataFrame) -> str:
    """Return the account as a table in Markdown: seconds of the processor by plan and state, and of compiling alone."""
    lines = ["| plan | cold | compiling | warm cache | compiling | warm process | changed setting | compiling |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: | --- | ---: |")
    for name, rows in table.groupby("plan", sort=False):
        at = rows.set_index("state")
        compiling = at["rewrite"] + at["compile"]

        def number(column: "pd.Series[Any]", state: str) -> str:
            return f"{column[state]:.1f}" if state in column.index else ""

        total = at["total"]
        other = f"{number(total, STATES[3])} ({at['setting'][STATES[3]]})" if STATES[3] in at.index else "none"
        cells = [number(total, "cold"), number(compiling, "cold"), number(total, "warm cache")]
        cells += [number(compiling, "warm cache"), number(total, "warm process"), other, number(compiling, STATES[3])]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure the plans asked for that have no rows yet, and keep the rows of the others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plans", nargs="*", help="all where left out")
    parser.add_argument("--again", action="store_true", help="also plans that have rows")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of cold_start.csv, cold_start.png, README.md")
    given = parser.parse_args()
    known = every_plan()
    if unknown := sorted(set(given.plans) - set(known)):
        parser.error(f"no shipped plan without a file is called {unknown[0]}; there are {', '.join(known)}")
    file, page = given.out / "cold_start.csv", given.out / "README.md"
    rows = pd.read_csv(file, keep_default_na=False).to_dict("records") if file.exists() else []
    for name in given.plans or known:
        if not given.again and any(row["plan"] == name for row in rows):
            continue
        rows = [row for row in rows if row["plan"] != name] + _rows_of(name)
        rows.sort(key=lambda row: (known.index(row["plan"]), STATES.index(row["state"])))
        pd.DataFrame(rows).to_csv(file, index=False)
        print({row["state"]: row["total"] for row in rows if row["plan"] == name}, name, flush=True)
    table = pd.DataFrame(rows)
    draw(table, given.out / "cold_start.png")
    if page.exists():
        text = page.read_text(encoding="utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        page.write_text(f"{before}{BEGIN}\n\n{written(table)}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
