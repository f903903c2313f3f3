"""The commands on many simulated fits: calibrate and design."""

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from bayesdep.data.errors import BadInput, printable

OK, FAILED = 0, 1

_Data = Annotated[Path | None, typer.Option(metavar="PATH", help='The table of a plan whose source is "path".')]
_Draws = Annotated[int | None, typer.Option(help="Draws per chain, instead of the plan's.")]
_Tune = Annotated[int | None, typer.Option(help="Tuning draws per chain, instead of the plan's.")]
_Chains = Annotated[int | None, typer.Option(help="Chains, instead of the plan's.")]
_Workers = Annotated[int | None, typer.Option(help="Processes; by default one for each processor.")]
_Scheduler = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers make the fits instead.")
]
_Safe = Annotated[bool, typer.Option("--spreadsheet-safe", help="Escape texts of .csv files that look like formulas.")]


def calibrate(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan file (.toml).")],
    fits: Annotated[int, typer.Option(help="How many data sets are simulated and fitted.")] = 200,
    around: Annotated[
        str, typer.Option(help="Where truths come from: prior, data (its posterior), or design (a simulator's).")
    ] = "prior",
    data: _Data = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory to write; by default results/<study>/<plan>-calibration-<around>.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same fits.")] = 1,
    draws: _Draws = None,
    tune: _Tune = None,
    chains: _Chains = None,
    elements: Annotated[int, typer.Option(help="Elements compared of each parameter and estimand, at most.")] = 5,
    workers: _Workers = None,
    scheduler: _Scheduler = None,
    spreadsheet_safe: _Safe = False,
) -> int:
    """Fit a plan's model to many simulated data sets: are its posteriors right? Goes on where it was stopped."""
    from bayesdep.plan import read_plan
    from bayesdep.planning.calibrate import calibrate_plan

    read = read_plan(plan)
    asked: dict[str, Any] = {"draws": draws, "tune": tune, "chains": chains}
    said = {"fits": fits, "around": around, "seed": seed, "elements": elements, **asked, "data": data, "out": out}
    command = _written(["bayesdep", "calibrate", plan.as_posix()], said)

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


def design(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan file (.toml).")],
    n: Annotated[str, typer.Option("--n", help="Numbers of patients, such as 60,120,240.")],
    decision: Annotated[
        list[str], typer.Option(help=r'Such as "P(difference\[drug, 8] < -2) > 0.95"; again for several.')
    ],
    prior: Annotated[
        list[str] | None,
        typer.Option(help='Design prior as a plan writes it, or all mass at a number: "arm_effect = -3"; again.'),
    ] = None,
    no_effect: Annotated[
        list[str] | None, typer.Option(help="Parameter that is zero where there is no effect; again for several.")
    ] = None,
    truth: Annotated[str, typer.Option(help="Where truths come from: prior, or simulator (the plan's own).")] = "prior",
    fits: Annotated[int, typer.Option(help="How many studies of each size are simulated and analysed.")] = 200,
    data: _Data = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory to write; by default results/<study>/<plan>-design.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same studies.")] = 1,
    draws: _Draws = None,
    tune: _Tune = None,
    chains: _Chains = None,
    workers: _Workers = None,
    scheduler: _Scheduler = None,
    spreadsheet_safe: _Safe = False,
) -> int:
    """Simulate a planned study: how often does its analysis reach a decision? Goes on where it was stopped."""
    from bayesdep.plan import read_plan
    from bayesdep.planning.design import design_plan

    read = read_plan(plan)
    said = {"fits": fits, "truth": truth, "seed": seed, "draws": draws, "tune": tune, "chains": chains}
    several = {"decision": decision, "prior": prior, "no-effect": no_effect}
    words = ["bayesdep", "design", plan.as_posix(), "--n", n]
    command = _written(words, several | said | {"data": data, "out": out})

    def say(text: str) -> None:
        _say(f"{read.label}: {text}")

    found, directory = design_plan(
        read, data=data, out=out, prior=prior or [], truth=truth, command=command, say=say,
        n=_numbers(n), decision=decision, no_effect=no_effect or [], fits=fits, seed=seed, draws=draws, tune=tune,
        chains=chains, workers=workers, scheduler=scheduler, spreadsheet_safe=spreadsheet_safe,
    )  # fmt: skip
    for sentence in found.sentences:
        typer.echo(printable(sentence))
    typer.echo(printable(f"Report: {directory}/report.html"))
    return OK if found.passed else FAILED


def _written(words: Sequence[str], options: Mapping[str, Any]) -> str:
    """The command with those of its options that were given, for a shell; workers and the like change no number."""
    given = [
        (name, value)
        for name, values in options.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    texts = [(f"--{n}", v.as_posix() if isinstance(v, Path) else str(v)) for n, v in given if v is not None]
    return shlex.join([*words, *(word for pair in texts for word in pair)])


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(f"--n '{text}' is no list of whole numbers; write it as 60,120,240") from None


def _say(text: str) -> None:
    with suppress(OSError):  # a terminal that has been closed
        typer.echo(printable(text), err=True)
