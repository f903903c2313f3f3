"""The commands on plans: new, check, explain, schema, plans list and copy."""

from pathlib import Path
from typing import Annotated

import typer

from bayesdep.data.errors import printable

OK, BAD_INPUT = 0, 2

shipped = typer.Typer(help="The plans that ship with the package.", no_args_is_help=True)


def _families(incomplete: str) -> list[str]:
    """Complete the name of a family; nothing heavy is imported for it."""
    from bayesdep.models.register import families

    return [name for name in families() if name.startswith(incomplete)]


def _explained(incomplete: str) -> list[str]:
    from bayesdep.plan_keys import TABLES

    return [*_families(incomplete), *(name for name in TABLES if name.startswith(incomplete))]


def _studies(incomplete: str) -> list[str]:
    from bayesdep.planning.shipped import folder_of_plans

    return [path.name for path in folder_of_plans().iterdir() if path.is_dir() and path.name.startswith(incomplete)]


_Force = Annotated[bool, typer.Option("--force", help="Replace what is there already.")]


def new(
    table: Annotated[Path, typer.Argument(help="The table (.csv or .parquet).")],
    family: Annotated[
        str | None, typer.Option(help="The model's family, instead of the suggested one.", autocompletion=_families)
    ] = None,
    out: Annotated[Path, typer.Option(help="The plan to write.")] = Path("plan.toml"),
    force: _Force = False,
) -> int:
    """Write a plan for a table: every key with its meaning and default, priors in the outcome's units."""
    from bayesdep.planning.new import new_plan

    written = new_plan(table, out, family=family, force=force)
    draft, others = written.suggestions[0].draft, written.suggestions[1:]
    _tell(f"{draft.family}: {', '.join(draft.why)}")
    for one in others:
        _tell(f"or --family {one.draft.family}: {', '.join(one.draft.why)}")
    for key, sentence in draft.asks.items():
        _tell(f"CHECK {key}: {sentence}")
    _tell(f"{out}: look through it, then bayesdep check {out}, and bayesdep run {out}")
    return OK


def check(
    plans: Annotated[list[Path], typer.Argument(metavar="PLAN...", help="Plan files (.toml).")],
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help='The table of plans whose source is "path".')
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Directory of the run; by default the plan's own.")] = None,
) -> int:
    """Find every fault of plans that can be found without sampling, and say what would be run."""
    from bayesdep.planning.check import check_plan

    code = OK
    for path in plans:
        checked = check_plan(path, data=data, out=out)
        for fault in checked.faults:
            typer.echo(printable(f"bayesdep: {fault}"), err=True)
            code = BAD_INPUT
        if not checked.faults:
            _tell(f"{checked.label}: no fault")
            for line in checked.lines:
                _tell(f"  {line}")
    return code


def explain(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[FAMILY | TABLE][.KEY]",
            help="Such as trial, trial.covariance, data.keep.",
            autocompletion=_explained,
        ),
    ] = None,
) -> int:
    """Explain a family, or a key of a plan: meaning, default, choices, priors, the generative model."""
    from bayesdep.planning.explain import explain as words

    typer.echo(words(what))
    return OK


def schema() -> int:
    """Print the JSON schema of plans, for editors."""
    from bayesdep.planning.schema import schema_text

    typer.echo(schema_text(), nl=False)
    return OK


@shipped.command(name="list")
def list_plans() -> int:
    """List the shipped plans: study, plan, family, question."""
    from bayesdep.planning.shipped import shipped_plans

    for plan in shipped_plans():
        _tell(f"{plan.label} ({plan.model.family}): {plan.study.question or plan.study.title}")
    return OK


@shipped.command(name="copy")
def copy(
    study: Annotated[str, typer.Argument(help="A study, as bayesdep plans list has it.", autocompletion=_studies)],
    to: Annotated[Path, typer.Option(help="The folder to copy its folder into.")] = Path(),
    force: _Force = False,
) -> int:
    """Copy the plans of a study to a folder."""
    from bayesdep.planning.shipped import copy_plans

    copied = copy_plans(study, to, force=force)
    for path in copied.plans:
        typer.echo(str(path))
    return OK


def _tell(text: str) -> None:
    typer.echo(printable(text))
