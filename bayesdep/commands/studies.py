"""The command on many simulated fits: calibrate."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from bayesdep.data.errors import printable

OK, FAILED = 0, 1


def calibrate(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan file (.toml).")],
    fits: Annotated[int, typer.Option(help="How many data sets are simulated and fitted.")] = 200,
    around: Annotated[
        str, typer.Option(help="Where truths come from: prior, data (its posterior), or design (a simulator's).")
    ] = "prior",
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help='The table of a plan whose source is "path".')
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory to write; by default results/<study>/<plan>-calibration-<around>.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same fits.")] = 1,
    draws: Annotated[int | None, typer.Option(help="Draws per chain, instead of the plan's.")] = None,
    tune: Annotated[int | None, typer.Option(help="Tuning draws per chain, instead of the plan's.")] = None,
    chains: Annotated[int | None, typer.Option(help="Chains, instead of the plan's.")] = None,
    elements: Annotated[int, typer.Option(help="Elements compared of each parameter and estimand, at most.")] = 5,
    workers: Annotated[int | None, typer.Option(help="Processes; by default one for each processor.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers make the fits instead.")
    ] = None,
    spreadsheet_safe: Annotated[
        bool, typer.Option("--spreadsheet-safe", help="Escape texts of .csv files that look like formulas.")
    ] = False,
) -> int:
    """Fit a plan's model to many simulated data sets: are its posteriors right? Goes on where it was stopped."""
    from bayesdep.plan import read_plan
    from bayesdep.planning.calibrate import calibrate_plan

    read = read_plan(plan)
    asked: dict[str, Any] = {"draws": draws, "tune": tune, "chains": chains}
    said = {"seed": seed, "elements": elements} | {k: v for k, v in asked.items() if v is not None}
    options = "".join(f" --{name} {value}" for name, value in said.items())
    command = f"bayesdep calibrate {plan.as_posix()} --fits {fits} --around {around}{options}"

    def say(text: str) -> None:
        _say(f"{read.label}: {text}")

    found, directory = calibrate_plan(
        read, data=data, out=out, fits=fits, around=around, command=command, say=say,
        seed=seed, elements=elements, workers=workers, scheduler=scheduler, spreadsheet_safe=spreadsheet_safe, **asked,
    )  # fmt: skip
    for sentence in [*found.sentences, found.timing]:
        typer.echo(printable(sentence))
    typer.echo(printable(f"Report: {directory}/report.html"))
    return OK if found.passed else FAILED


def _say(text: str) -> None:
    with suppress(OSError):  # a terminal that has been closed
        typer.echo(printable(text), err=True)
