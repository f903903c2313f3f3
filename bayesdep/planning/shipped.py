"""The plans that ship with the package: listed, and copied to a folder of the user's own."""

import shutil
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.files import whole_directory, whole_files
from bayesdep.plan import Plan, find_plans, read_plan
from bayesdep.planning.schema import FILE


@dataclass(frozen=True)
class Copied:
    """A study's plans that were copied.

    Parameters
    ----------
    folder
        Where they stand.
    plans
        Their files.
    """

    folder: Path
    plans: list[Path]


def folder_of_plans() -> Path:
    """Return the folder of the shipped plans: in the installed package, or in the checkout that is run."""
    package = Path(str(resources.files("bayesdep")))
    installed, checkout = package / "plans", package.parent / "models"
    if installed.is_dir():
        return installed
    if (checkout / FILE).is_file():
        return checkout
    raise BadInput("this installation has no plans; install bayesdep from its wheel, or run it in a checkout")


def shipped_plans() -> list[Plan]:
    """Read every shipped plan, sorted by study and name."""
    return [read_plan(path) for path in find_plans(folder_of_plans())]


def copy_plans(study: str, to: Path, *, force: bool = False) -> Copied:
    """Copy the plans of a study, all or none, with the schema that editors read.

    Parameters
    ----------
    study
        Name of the study: a folder of shipped plans.
    to
        The folder in which the study's folder is made.
    force
        Whether plans of these names that are there already are replaced.

    Returns
    -------
    Copied
        What was copied.

    Raises
    ------
    BadInput
        When there is no such study, or its folder is there already.
    """
    source = folder_of_plans()
    studies = sorted(path.name for path in source.iterdir() if path.is_dir())
    if study not in studies:
        raise BadInput(f"there are no plans of '{study}'; {did_you_mean(study, studies)}")
    plans = sorted((source / study).glob("*.toml"))
    target = to / study
    if target.exists() and not force:
        raise BadInput(f"'{target}' is there already; name another folder with --to, or replace its plans with --force")
    if target.exists() and not target.is_dir():
        raise BadInput(f"'{target}' is no folder; name another with --to")
    to.mkdir(parents=True, exist_ok=True)
    with whole_directory(target, replaceable=[path.name for path in plans]) as partial:
        for path in plans:
            shutil.copyfile(path, partial / path.name)
    if not (to / FILE).exists() or force:
        with whole_files(to / FILE) as (schema,):
            shutil.copyfile(source / FILE, schema)
    return Copied(target, [target / path.name for path in plans])
