"""The command line: parses, calls, prints."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from bayesdep import __version__, refuse_without_docstrings
from bayesdep.commands import plans as on_plans
from bayesdep.commands import studies as on_studies
from bayesdep.data.errors import BadInput, did_you_mean, printable

if TYPE_CHECKING:
    from bayesdep.commands.many import SoFar
    from bayesdep.plan import Plan, Run
    from bayesdep.reporting.places import Place
    from bayesdep.reporting.run_directory import Outcome

    type _Job = tuple[Plan, Path, dict[str, Any]]

_MOST_ANSWERS = 6  # sentences that a run prints
OK, FAILED, BAD_INPUT, HUNG_UP, INTERRUPTED, TERMINATED = 0, 1, 2, 129, 130, 143

app = typer.Typer(
    help="Bayesian immunopsychiatry: from a plan file to a checked, exported posterior.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"bayesdep {__version__}")
        raise typer.Exit


_Version = Annotated[bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)]
_Out = Annotated[Path | None, typer.Option(help="Directory to write; by default results/<study>/<plan>.")]
_Draws = Annotated[int | None, typer.Option(help="Draws per chain, instead of the plan's.")]
_Tune = Annotated[int | None, typer.Option(help="Tuning draws per chain, instead of the plan's.")]
_Chains = Annotated[int | None, typer.Option(help="Chains, instead of the plan's.")]
_Seed = Annotated[int | None, typer.Option(help="Seed of the sampler, instead of the plan's.")]
_Quick = Annotated[bool, typer.Option("--quick", help="At most 500 draws and 500 tuning draws per chain.")]
_Accept = Annotated[
    bool,
    typer.Option("--accept-failed-gate", help="Write a fit that fails the gate as one that passed, and exit 0."),
]
_Strict = Annotated[
    bool,
    typer.Option("--strict", help="Exit 1 also if the warning on the model differs from the plan's expects_warning."),
]
_Data = Annotated[
    Path | None, typer.Option(metavar="PATH", help='The table (.csv or .parquet) of plans whose source is "path".')
]
_Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on after an interruption: finished chains of the same plan, data, settings and versions are used "
        "again. If stopped, keep finished chains for the next time.",
    ),
]
_Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Sample again, although plan, data, settings and versions are those of a finished run."
    ),
]
_Safe = Annotated[
    bool,
    typer.Option("--spreadsheet-safe", help="Escape texts of .csv files that a spreadsheet would take for formulas."),
]
_Vector = Annotated[
    bool, typer.Option("--vector", help="Write figures as PDF and SVG too, as bayesdep run does; takes longer.")
]
_Models = Annotated[Path, typer.Option(help="Folder of plans.")]


@app.callback()
def _bayesdep(
    version: _Version = False,
) -> None:
    """Bayesian immunopsychiatry: from a plan file to a checked, exported posterior."""


app.command()(on_plans.new)
app.command()(on_plans.check)
app.command()(on_plans.explain)


@app.command()
def run(
    plans: Annotated[list[Path], typer.Argument(metavar="PLAN...", help="Plan files (.toml).")],
    data: _Data = None,
    out: _Out = None,
    draws: _Draws = None,
    tune: _Tune = None,
    chains: _Chains = None,
    seed: _Seed = None,
    quick: _Quick = False,
    accept_failed_gate: _Accept = False,
    strict: _Strict = False,
    resume: _Resume = False,
    force: _Force = False,
    spreadsheet_safe: _Safe = False,
) -> int:
    """Fit plans and write their run directories: posterior, tables, figures, report."""
    if out is not None and len(plans) > 1:
        raise BadInput(f"--out '{out}' can hold one run, but {len(plans)} plans are given; run them one by one")
    todo = [(plan, out or plan.directory) for plan in _read_all(plans)]
    given = _share([plan for plan, _ in todo], data)
    _refuse_early(todo, given)
    settings: dict[str, Any] = {"draws": draws, "tune": tune, "chains": chains, "seed": seed}
    how: dict[str, Any] = {"accept": accept_failed_gate, "quick": quick, "resume": resume, "force": force}
    how["spreadsheet_safe"] = spreadsheet_safe
    runs = [
        _run_one(plan, place, **how, data=table, **settings) for (plan, place), table in zip(todo, given, strict=True)
    ]
    from bayesdep.reporting.console import print_equivalence, print_ledger, print_other_priors

    print_ledger(runs)
    print_equivalence(runs)
    print_other_priors(runs)
    return exit_code(runs, accept_failed_gate, strict)


@app.command()
def reproduce(
    study: Annotated[str | None, typer.Argument(help="The study whose plans are run; by default all studies'.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also plans that state by_default = false.")] = False,
    models: _Models = Path("models"),
    out: Annotated[Path, typer.Option(help="Directory for all runs.")] = Path("results"),
    quick: _Quick = False,
    accept_failed_gate: _Accept = False,
    strict: _Strict = False,
    resume: _Resume = False,
    force: _Force = False,
    spreadsheet_safe: _Safe = False,
    vector: _Vector = False,
) -> int:
    """Run the plans of a folder, or of one study, and print the ledger: published value beside posterior."""
    start = time.perf_counter()
    from bayesdep.inference.parallel import processes

    heavy = ("nutpie", "bayesdep.reporting.run_directory")
    with processes(len(list(models.rglob("*.toml"))), importing=heavy, writing=out) as side_by_side:
        from bayesdep.commands.many import choose, in_order, progress
        from bayesdep.plan import find_plans

        plans = _read_all(find_plans(models))
        read = choose(plans, study, every)
        left_out = [plan for plan in read if plan.needs_data]
        if len(left_out) == len(read):
            raise BadInput(f"every plan in '{models}' needs a file; run them with bayesdep run PLAN --data PATH")
        todo = [(plan, out / plan.study.name / plan.name) for plan in read if not plan.needs_data]
        _refuse_places(todo, [None] * len(todo))
        ordered = in_order([plan for plan, _ in todo])
        # the first result is shown before the package's own data of the other plans are checked
        later = [plan for plan in ordered[1:] if plan.comes_with_package]
        _refuse_data([plan for plan in ordered if not plan.comes_with_package])
        place_of = {plan.label: place for plan, place in todo}
        with progress(len(todo), _say) as so_far:
            how: dict[str, Any] = {"accept": accept_failed_gate, "quick": quick, "resume": resume, "force": force}
            how |= {"spreadsheet_safe": spreadsheet_safe, "vector": vector, "so_far": so_far}
            jobs = [[(plan, place_of[plan.label], how)] for plan in ordered]
            runs = _in_turn(_first_before(side_by_side(_run_all, jobs), later), so_far, several=len(todo) > 1)
    from bayesdep.reporting.console import print_equivalence, print_ledger, print_other_priors, write_ledger

    written = write_ledger(runs, out / "ledger.csv", spreadsheet_safe=spreadsheet_safe)
    print_ledger(runs)
    print_equivalence(runs)
    print_other_priors(runs)
    typer.echo(
        f"{len(runs)} plans in {time.perf_counter() - start:.0f} s. "
        f"Reports: {out}/<study>/<plan>/report.html. Ledger: {written}"
    )
    code = exit_code(runs, accept_failed_gate, strict)
    _say_left_out(left_out, len(plans) - len(read) if study is None else 0)
    return code


def _first_before(groups: "Iterable[list[Outcome]]", later: "Sequence[Plan]") -> "Iterator[list[Outcome]]":
    """Give the first group at once, and check the data of later plans while they are run.

    But for those whose missing values are drawn, which takes as long as the check of all others.
    """
    from bayesdep.models.model import Imputes

    groups = iter(groups)
    yield next(groups)
    _refuse_data([plan for plan in later if not (isinstance(plan.model, Imputes) and plan.model.imputes)])
    yield from groups


def _in_turn(groups: "Iterable[list[Outcome]]", so_far: "SoFar", *, several: bool) -> "list[Outcome]":
    """Wait for the runs of groups, in the order of their names; show the first, and when told to stop, all so far."""
    from bayesdep.reporting.console import print_ledger

    done: list[Outcome] = []
    try:
        for group in groups:
            if several and not done:
                print_ledger(group[:1])
                typer.echo(f"The first of its reports: {group[0].directory / 'report.html'}\n")
            done += group
    except (KeyboardInterrupt, SystemExit):
        print_ledger(so_far.outcomes)
        raise
    return sorted(done, key=lambda run: run.label)


def _say_left_out(needing: "Sequence[Plan]", others: int) -> None:
    """Name plans that need a file, and say how many are not run by default."""
    if others:
        _say(f"{others} more plans are run with --all")
    if needing:
        how = ", ".join(
            f"{plan.study.name}/{plan.name} (bayesdep run {plan.path.as_posix()} --data PATH)" for plan in needing
        )
        _say(f"left out, because they need a file: {how}")


@app.command()
def compare(
    plans: Annotated[
        list[Path], typer.Argument(metavar="PLAN... | FOLDER", help="Plans of one study, or their folder.")
    ],
    data: _Data = None,
    out: _Out = None,
    quick: _Quick = False,
    force: _Force = False,
    spreadsheet_safe: _Safe = False,
) -> int:
    """Rank the plans of one study by leave-one-out; those of a folder within each family and outcome."""
    from bayesdep.criticism.rivals import Candidate, find_rivals, names_of, refuse_imputing
    from bayesdep.plan import find_plans, prepare

    is_folder = len(plans) == 1 and plans[0].is_dir()
    read = _read_all(find_plans(plans[0]) if is_folder else plans)
    if len(read) < 2:
        raise BadInput("a comparison needs two plans or more; give another")
    tables = _share(read, data)
    every = [Candidate(p.name, p.model, partial(prepare, p, table)) for p, table in zip(read, tables, strict=True)]
    groups = [every]
    if is_folder:
        groups, notes = find_rivals(every)
        for note in notes:
            _say(f"left out, because {note}")
        if not groups:
            raise BadInput(
                f"no two plans in '{plans[0]}' are of one family and of the same outcomes; name the plans to compare"
            )
    else:
        refuse_imputing(every)
    plan_of = {id(one): plan for one, plan in zip(every, read, strict=True)}
    todo = [[(plan_of[id(one)], one.data) for one in group] for group in groups]  # all tables before the first fit
    from bayesdep.reporting.places import Place

    directory = out or Path("results") / read[0].study.name / "comparison"
    inputs, what = [plan.path for plan in read], f"comparison of {read[0].study.name}"
    folders = [directory / name for name in names_of(groups)] if len(groups) > 1 else [directory]
    places = [Place.find(folder, what, inputs=inputs) for folder in folders]
    return max(
        _rank(group, place, quick=quick, force=force, spreadsheet_safe=spreadsheet_safe)
        for group, place in zip(todo, places, strict=True)
    )


def _rank(given: list[tuple["Plan", Any]], place: "Place", *, quick: bool, force: bool, spreadsheet_safe: bool) -> int:
    """Take the fits of finished runs, or fit plans to their prepared data; rank them, and write the ranking."""
    from bayesdep.criticism.compare import compare as rank
    from bayesdep.plan import finished_fit, fit_plan
    from bayesdep.reporting.comparison import write_comparison

    fits = {}
    for plan, data in given:
        sampling: dict[str, Any] = plan.quick if quick else {}
        found = None if force else finished_fit(plan, data, **sampling)
        _say(f"{plan.label}: {'fitting' if found is None else f'taken from {plan.directory}; --force samples again'}")
        fits[plan.name] = found or fit_plan(plan, data=data, **sampling)
    for name, fit in fits.items():
        if not fit.gate.passed:
            _complain(f"{name} {fit.gate.sentence}")
    if not all(fit.gate.passed for fit in fits.values()):
        return FAILED
    try:
        result = rank(fits)
    except BadInput as refusal:  # the plans are valid; the comparison is not
        _complain(str(refusal))
        return FAILED
    hashes = {plan.name: plan.sha256 for plan, _ in given}
    write_comparison(result, hashes, place, spreadsheet_safe=spreadsheet_safe)
    from bayesdep.reporting.console import print_comparison

    print_comparison(result)
    typer.echo(f"Table and plot: {place.asked}")
    return OK if result.reliable else FAILED


@app.command(name="export")
def export_run(
    run_dir: Annotated[Path, typer.Argument(help="A run directory.")],
    format: Annotated[str, typer.Option("--format", help="csv, parquet, json, latex, html, docx or xlsx.")],
    out: Annotated[Path | None, typer.Option(help="File to write; by default estimands.<suffix> in the run.")] = None,
    spreadsheet_safe: _Safe = False,
) -> int:
    """Write a run's estimands in another format."""
    from bayesdep.reporting.export import FORMATS, SUFFIXES, formula_note, write_table

    if format not in FORMATS:
        raise BadInput(f"--format '{format}' is not a format; {did_you_mean(format, FORMATS)}")
    _refuse_no_run(run_dir)
    from bayesdep.inference.fit import Fit
    from bayesdep.reporting.estimands import summarise
    from bayesdep.reporting.places import add_to_manifest

    fit = Fit.load(run_dir / "posterior.nc")
    table, place = summarise(fit), out or run_dir / f"estimands.{SUFFIXES[format]}"
    written = write_table(table, place, format=format, spreadsheet_safe=spreadsheet_safe)
    if format == "csv" and not spreadsheet_safe and (said := formula_note(table)):
        _say(f"note: {said}")
    add_to_manifest(run_dir, written)
    typer.echo(str(written))
    return OK if fit.gate.passed else FAILED


@app.command(name="table")
def table_of_run(
    run_dir: Annotated[Path, typer.Argument(help="A run directory.")],
    to: Annotated[Path, typer.Option("--to", help="File: .docx, .html, .tex, .xlsx, .csv, .parquet or .json.")],
    name: Annotated[
        str, typer.Option("--name", help="main, sample, supplement, or what else the model has (studies, ...).")
    ] = "main",
    spreadsheet_safe: _Safe = False,
) -> int:
    """Write a table of a run as a paper prints it."""
    from bayesdep.inference.fit import Fit
    from bayesdep.reporting.export import formula_note
    from bayesdep.reporting.places import add_to_manifest
    from bayesdep.reporting.tables import table

    _refuse_no_run(run_dir)
    fit = Fit.load(run_dir / "posterior.nc")
    made = table(fit, name)
    written = made.to(to, spreadsheet_safe=spreadsheet_safe)
    if to.suffix.lower() == ".csv" and not spreadsheet_safe and (said := formula_note(made.frame)):
        _say(f"note: {said}")
    add_to_manifest(run_dir, written)
    typer.echo(str(written))
    return OK if fit.gate.passed else FAILED


def _refuse_no_run(run_dir: Path) -> None:
    if not run_dir.is_dir():
        raise BadInput(f"there is no run directory '{run_dir}'; give the one that bayesdep run printed")


@app.command()
def datasets(
    name: Annotated[str | None, typer.Argument(help="A table, to see its columns, units and source.")] = None,
) -> int:
    """List the published tables that ship with the package, or describe one."""
    from bayesdep.reporting.console import print_dataset, print_datasets

    if name is None:
        print_datasets()
    else:
        print_dataset(name)
    return OK


@app.command()
def simulate(
    name: Annotated[str, typer.Argument(help="Design; see the list that an unknown one prints.")],
    seed: Annotated[int, typer.Option(help="Same seed, same table.")],
    out: Annotated[Path, typer.Option(help="CSV file to write; true parameters are written beside it as .truth.json.")],
) -> int:
    """Draw a synthetic data set from a study's design, with its truth."""
    from bayesdep.designs.register import simulate as draw
    from bayesdep.reporting.export import write_simulated

    if seed < 0:
        raise BadInput(f"--seed {seed} is below zero; give a whole number of at least 0")
    for path in write_simulated(draw(name, seed=seed), out):
        typer.echo(str(path))
    return OK


@app.command(name="stage")
def stage_table(
    table: Annotated[Path, typer.Argument(help="The table (.csv or .parquet): a patient a row, or a treatment trial.")],
    system: Annotated[str, typer.Option(help="maudsley, thase-rush, mgh, european, gsrd or dm-trd.")],
    out: Annotated[Path, typer.Option(help="File to write: .csv, .parquet, .json, .tex, .html, .docx or .xlsx.")],
    rows: Annotated[str, typer.Option(help="What a row is: patients or trials.")] = "patients",
    reading: Annotated[str | None, typer.Option(help="Of thase-rush: strict or highest.")] = None,
    points: Annotated[Path | None, typer.Option(help="Of dm-trd: the table of its points.")] = None,
    subject: Annotated[str, typer.Option(help="The patients' column.")] = "subject",
    spreadsheet_safe: _Safe = False,
) -> int:
    """Score patients by a staging system of treatment-resistant depression."""
    from bayesdep.data.sources import read_table
    from bayesdep.data.staging import stage
    from bayesdep.reporting.export import formula_note, write_table

    for given in (table, points):
        if given is not None and out.resolve() == given.resolve():
            raise BadInput(f"--out '{out}' is the table itself; name another file")
    asked: dict[str, Any] = {"rows": rows, "reading": reading, "subject": subject}
    of_points = None if points is None else read_table(points)
    found = stage(read_table(table), system=system, points=of_points, **asked)
    typer.echo(str(write_table(found, out, spreadsheet_safe=spreadsheet_safe)))
    for line in found.attrs.get("notes", ()):
        _say(f"note: {line}")
    if out.suffix.lower() == ".csv" and not spreadsheet_safe and (said := formula_note(found)):
        _say(f"note: {said}")
    return OK


@app.command(name="read")
def read_file(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="A sheet, an export, or several plates.")],
    out: Annotated[Path, typer.Option(help="Tidy table to write: .csv or .parquet.")],
    plan: Annotated[Path | None, typer.Option(help="Plan to write beside it (.toml).")] = None,
    trial: Annotated[bool, typer.Option("--trial", help="The file holds a trial's visits.")] = False,
    reference: Annotated[str | None, typer.Option(help="Group or arm to compare with, for the plan.")] = None,
    sheet: Annotated[list[str] | None, typer.Option(help="Sheet of a workbook; again for several; all.")] = None,
    layout: Annotated[str | None, typer.Option(help="wide, long, bioplex, xponent, msd or olink.")] = None,
    header: Annotated[int | None, typer.Option(help="Number of the header's row.")] = None,
    last_row: Annotated[int | None, typer.Option(help="Number of the table's last row.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Of text files: comma, semicolon, tab or bar.")] = None,
    decimal: Annotated[str | None, typer.Option(help="Decimal mark of numbers written as text: . or ,")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of text files, such as cp1252.")] = None,
    subject: Annotated[str | None, typer.Option(help="Column of people.")] = None,
    sample: Annotated[str | None, typer.Option(help="Column of samples.")] = None,
    group: Annotated[str | None, typer.Option(help="Column of groups (of arms with --trial).")] = None,
    time: Annotated[str | None, typer.Option(help="Column of times (of visits with --trial).")] = None,
    plate: Annotated[str | None, typer.Option(help="Column of plates.")] = None,
    analyte: Annotated[str | None, typer.Option(help="Column of analytes, of a row per measurement.")] = None,
    value: Annotated[str | None, typer.Option(help="Column of concentrations (outcome with --trial).")] = None,
    analytes: Annotated[list[str] | None, typer.Option(help="Analyte or pattern, such as IL*; again.")] = None,
    covariates: Annotated[list[str] | None, typer.Option(help="Column to keep; again for several.")] = None,
    baseline: Annotated[str | None, typer.Option(help="With --trial: column or visit of the baseline.")] = None,
    people: Annotated[Path | None, typer.Option(help="Table of samples: groups, times, covariates.")] = None,
    limits: Annotated[Path | None, typer.Option(help="Table of limits (.csv or .parquet).")] = None,
    block: Annotated[str | None, typer.Option(help="Of xPONENT: the block, such as Net MFI.")] = None,
    leave_out: Annotated[list[str] | None, typer.Option(help="Sample or pattern to leave out, or none; again.")] = None,
    missing: Annotated[list[str] | None, typer.Option(help="Text that stands for a missing value; again.")] = None,
    extrapolated: Annotated[str | None, typer.Option(help="Numbers marked *: number or censor.")] = None,
    replicates: Annotated[bool | None, typer.Option("--replicates", help="Repeated rows are wells.")] = None,
    fill_down: Annotated[bool, typer.Option("--fill-down", help="An empty label means the one above.")] = False,
    spreadsheet_safe: _Safe = False,
) -> int:
    """Read a laboratory's or clinic's file into a tidy table, and write a plan for it."""
    given = dict(locals())
    from bayesdep.planning.read import write_read

    for word in ("files", "out", "plan", "trial", "reference", "spreadsheet_safe"):
        del given[word]
    read, written = write_read(
        files, given, out, plan, trial=trial, reference=reference, spreadsheet_safe=spreadsheet_safe
    )
    following = f"bayesdep check {plan}, bayesdep run {plan}" if plan else f"bayesdep new {out}"
    for line in (*read.lines(), *written, f"next: {following}"):
        typer.echo(printable(str(line)))
    return OK


app.command()(on_studies.calibrate)
app.command()(on_studies.design)
app.add_typer(on_plans.shipped, name="plans")
app.command()(on_plans.schema)


def _read_all(paths: Sequence[Path]) -> "list[Plan]":
    from bayesdep.plan import read_plan

    read = [read_plan(path) for path in paths]
    first_of: dict[tuple[str, str], Path] = {}
    for plan in read:
        key = plan.study.name, plan.name
        if key in first_of:
            raise BadInput(
                f"plans '{first_of[key]}' and '{plan.path}' would both be {'/'.join(key)}; rename a file or its study"
            )
        first_of[key] = plan.path
    return read


def _share(plans: "Sequence[Plan]", data: Path | None) -> list[Path | None]:
    """Give --data to the plans that need it, refusing it when none does."""
    if data is not None and len(plans) > 1 and not any(plan.needs_data for plan in plans):
        raise BadInput(f"all {len(plans)} plans name their own data; leave --data out")
    # A single plan refuses --data itself.
    return [data if plan.needs_data or len(plans) == 1 else None for plan in plans]


def _refuse_early(todo: "Sequence[tuple[Plan, Path]]", given: Sequence[Path | None]) -> None:
    """Check data and directory of all plans before the first of several is run."""
    if len(todo) > 1:  # a single plan is checked when it is run
        _refuse_places(todo, given)
        _refuse_data([plan for plan, _ in todo], given)


def _refuse_places(todo: "Sequence[tuple[Plan, Path]]", given: Sequence[Path | None]) -> None:
    from bayesdep.plan import places_of

    places = [places_of(plan, out, table) for (plan, out), table in zip(todo, given, strict=True)]
    goes = {place.path: plan for (plan, _), (place, _) in zip(todo, places, strict=True)}
    for (plan, _), (_, failures) in zip(todo, places, strict=True):
        if other := goes.get(failures.path):
            raise BadInput(
                f"plan '{other.path}' goes to '{failures.asked}', where plan '{plan.path}' goes if it fails its "
                "gate; rename one of the files"
            )


def _refuse_data(plans: "Sequence[Plan]", given: Sequence[Path | None] = ()) -> None:
    from bayesdep.plan import prepare

    for plan, table in zip(plans, given or [None] * len(plans), strict=True):
        prepare(plan, table)


def _run_all(jobs: "list[_Job]") -> "list[Outcome]":
    return [_run_one(plan, out, **how) for plan, out, how in jobs]


def _run_one(
    plan: "Plan",
    out: Path,
    *,
    accept: bool,
    quick: bool,
    resume: bool,
    force: bool,
    spreadsheet_safe: bool,
    vector: bool = True,
    data: Path | None = None,
    so_far: "SoFar | None" = None,
    **sampling: Any,
) -> "Outcome":
    from bayesdep.plan import run_plan

    if so_far is not None and not sys.stderr.isatty():  # a line every ten seconds says how many plans are done
        sampling["progress"] = False
    if quick:
        sampling = plan.quick | {k: v for k, v in sampling.items() if v is not None}
    start = time.perf_counter()

    def say(text: str) -> None:
        _say(f"{plan.label}: {text}")

    how: dict[str, Any] = {"resume": resume, "force": force, "spreadsheet_safe": spreadsheet_safe, "vector": vector}
    run = run_plan(plan, out=out, accept_failed_gate=accept, data=data, say=say, **how, **sampling)
    done = run.outcome
    verdict = "passed the gate" if done.gate.passed else "FAILED THE GATE"
    verdict += "" if done.verdict.passed else ", WARNING ON THE MODEL" + (" as stated" if done.expects_warning else "")
    took = (
        "finished before, nothing has changed; --force samples again"
        if run.is_kept
        else f"{time.perf_counter() - start:.1f} s"
    )
    _say(f"{done.label}: {verdict} ({took}) -> {done.directory}")
    for line in done.notes:
        _say(f"{done.label}: note: {line}")
    if so_far is not None:
        so_far.add(done)
    else:
        _say_answers(run)
    return done


def _say_answers(run: "Run") -> None:
    """Say what the fit answers, unless it failed its gate, and where the report is."""
    from bayesdep.reporting.sentences import sentences

    answers = sentences(run.fit) if run.fit.gate.passed else []
    lines = answers[:_MOST_ANSWERS]
    if len(answers) > _MOST_ANSWERS:
        lines.append(f"{len(answers) - _MOST_ANSWERS} more such sentences are in the report.")
    if "report.html" not in run.missing:
        lines.append(f"report: {run.directory / 'report.html'}")
    for line in lines:
        typer.echo(printable(f"  {line}"))


def exit_code(runs: "Sequence[Outcome]", accept: bool, strict: bool) -> int:
    """Return the exit code of finished runs, and say on standard error what is wrong with each.

    Parameters
    ----------
    runs
        Finished runs.
    accept
        Whether a fit that failed its convergence checks counts as one that passed.
    strict
        Whether a warning that the plan does not expect counts as a failure.

    Returns
    -------
    int
        0 or 1.
    """
    bad = [r for r in runs if not r.gate.passed]
    for r in bad:
        _complain(f"{r.label} {r.gate.sentence}; see {r.directory}")
    incomplete = [r for r in runs if r.missing]
    for r in incomplete:
        _complain(f"{r.label} {r.incomplete}; see {r.directory}")
    surprises = [r for r in runs if r.surprise]
    for r in surprises:
        _complain(f"{r.label} {r.surprise}")
    return FAILED if (bad and not accept) or incomplete or (surprises and strict) else OK


def _say(text: str) -> None:
    with suppress(OSError):  # a terminal that has been closed
        typer.echo(printable(text), err=True)


def _complain(text: str) -> None:
    _say(f"bayesdep: {text}")


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  (the signal module's signature)
    raise SystemExit(128 + signum)  # an exception, so that incomplete directories are removed


def _listen() -> None:
    """Raise an exception when told to stop, also by a closing terminal unless that is ignored (``nohup``)."""
    signal.signal(signal.SIGTERM, _terminate)
    closed = getattr(signal, "SIGHUP", None)
    if closed is not None and signal.getsignal(closed) == signal.SIG_DFL:
        signal.signal(closed, _terminate)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Parameters
    ----------
    arguments
        Words after the command's name; by default the process's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [w for w in words if w != "--debug"]
    _listen()
    try:
        refuse_without_docstrings()
        code = app(words, standalone_mode=False, prog_name="bayesdep") or OK
        if code == INTERRUPTED:  # typer's form of a KeyboardInterrupt
            _complain("interrupted; the unfinished run was not written")
    except SystemExit as ending:
        if ending.code in (TERMINATED, HUNG_UP):
            _complain("terminated; the unfinished run was not written")
        raise
    except BrokenPipeError:  # the reader of the output has ended, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = OK
    except Exception as problem:  # any other error: no traceback at the command line
        if debug:
            traceback.print_exc()
        message, code = _sentence(problem)
        _complain("; ".join([message, *getattr(problem, "__notes__", ())]))
    sys.exit(code)


def _sentence(problem: Exception) -> tuple[str, int]:
    """Say in one sentence what ended a command, and return the exit code."""
    if isinstance(problem, BadInput):
        more = len(problem.faults) - 1
        others = f" ({more} more: bayesdep check PLAN lists all)" if more else ""
        return f"{problem}{others}", BAD_INPUT
    if isinstance(problem, MemoryError):
        return "this needs more memory than is free; use a smaller table, fewer draws or fewer chains", BAD_INPUT
    first = next(iter(str(problem).splitlines()), "")
    if isinstance(problem, OSError):
        place = f"'{problem.filename}'" if problem.filename else "a file"
        return f"{place} cannot be used ({problem.strerror or first}); give another path, or make room", BAD_INPUT
    usage = getattr(problem, "format_message", None)
    if usage is not None:
        message = usage().rstrip(".").replace(". Did you mean", "; did you mean") or "no command is given"
        return f"{message}{'' if message.endswith('?') else '; see bayesdep --help'}", BAD_INPUT
    kind = f"{type(problem).__name__}: {first}"
    return f"an error in bayesdep itself ({kind}); run again with --debug and report it", FAILED


if __name__ == "__main__":
    main()
