"""A plan: one TOML file that is the pre-registration, the run and the audit trail."""

import difflib
import hashlib
import io
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.files import read_whole
from bayesdep.data.sources import FOR_LIMITS, FROM_USER, read_source, refuse_unclear
from bayesdep.data.toml_text import LARGEST, read_toml
from bayesdep.inference.numbers import LEAST, MOST
from bayesdep.models import make_story, story_class
from bayesdep.models.parts.settings import column_fields
from bayesdep.models.story import Story

if TYPE_CHECKING:
    import pandas as pd

    from bayesdep.inference.fit import Fit
    from bayesdep.reporting.run_directory import Outcome

_Text = Annotated[str, StringConstraints(min_length=1, strict=True)]
_Whole = Annotated[int, Field(strict=True)]
_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Study(_Table):
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", strict=True)]
    title: _Text
    question: str = ""
    expects_warning: str = ""


class _Data(_Table):
    source: _Text
    expects: _Text | None = None
    seed: Annotated[_Whole, Field(ge=LEAST["seed"], le=MOST["seed"])] | None = None
    keep: dict[str, Any] = {}
    require: tuple[_Text, ...] = ()
    missing: tuple[_Text | _Number | _Whole, ...] | dict[str, tuple[_Text | _Number | _Whole, ...]] | None = None
    limits: _Text | None = None
    columns: dict[str, _Text] = {}


class _Sampling(_Table):
    draws: Annotated[_Whole, Field(ge=LEAST["draws"], le=MOST["draws"])] = 1000
    tune: Annotated[_Whole, Field(ge=LEAST["tune"], le=MOST["tune"])] = 1000
    chains: Annotated[_Whole, Field(ge=LEAST["chains"], le=MOST["chains"])] = 4
    seed: Annotated[_Whole, Field(ge=LEAST["seed"], le=MOST["seed"])] = 1
    sampler: Literal["nutpie", "pymc", "exact"] | None = None
    target_accept: Annotated[_Number, Field(gt=0.5, lt=1)] | None = None
    max_tree_depth: Annotated[_Whole, Field(ge=5, le=15)] | None = None


class _Published(_Table):
    estimand: _Text
    source: _Text
    at: dict[str, _Text] = {}
    value: _Number | None = None
    lower: _Number | None = None
    upper: _Number | None = None
    direction: Literal["above", "below"] | None = None
    p: Annotated[_Number, Field(gt=0, le=1)] | None = None
    statistic: Literal["median", "mean"] = "median"
    units: str = ""
    scale: str = ""
    note: str = ""


class _Plan(_Table):
    study: _Study
    data: _Data
    model: dict[str, Any]
    priors: dict[str, Any] = {}
    sampling: _Sampling = _Sampling()
    published: tuple[_Published, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A validated plan.

    Parameters
    ----------
    path
        The file it came from.
    text
        Its text, verbatim.
    study, data, sampling, published
        Its tables.
    story
        The generative story it asks for, with its priors.
    """

    path: Path
    text: str
    study: _Study
    data: _Data
    story: Story
    sampling: _Sampling
    published: tuple[_Published, ...]

    @property
    def name(self) -> str:
        """The plan's name among its study's plans: the file's."""
        return self.path.stem

    @property
    def needs_data(self) -> bool:
        """Whether its table is one that the user names when running it."""
        return self.data.source == FROM_USER

    @property
    def quick(self) -> dict[str, int]:
        """Settings of a quick run: at most 500 draws and 500 tuning draws a chain."""
        return {"draws": min(self.sampling.draws, 500), "tune": min(self.sampling.tune, 500)}

    @property
    def sha256(self) -> str:
        """Hash of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def directory(self) -> Path:
        """Where its run goes unless told otherwise."""
        return Path("results") / self.study.name / self.name


@dataclass(frozen=True)
class Run:
    """What came of a plan.

    Parameters
    ----------
    plan
        The plan.
    fit
        The fit.
    ledger
        Published numbers beside the posterior; None when the plan has none.
    directory
        Where the files are.
    """

    plan: Plan
    fit: "Fit"
    ledger: "pd.DataFrame | None"
    directory: Path

    @property
    def outcome(self) -> "Outcome":
        """The run without its draws."""
        from bayesdep.reporting.run_directory import Outcome

        study = self.plan.study
        return Outcome(
            f"{study.name}/{self.plan.name}",
            self.fit.gate,
            self.fit.verdict,
            study.expects_warning,
            self.fit.synthetic,
            self.ledger,
            self.directory,
            tuple(str(self.fit.data.attrs.get("notes", "")).splitlines()),
        )


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Read and validate a plan, without touching its data.

    Parameters
    ----------
    path
        A TOML file.

    Returns
    -------
    Plan
        Everything checked that can be checked without the data.

    Raises
    ------
    BadInput
        Naming the file and the key.
    """
    path = Path(path)
    try:
        text = io.TextIOWrapper(io.BytesIO(read_whole(path, LARGEST)), encoding="utf-8").read()  # any line breaks
    except FileNotFoundError:
        near = difflib.get_close_matches(path.stem, [p.stem for p in path.parent.glob("*.toml")], n=1)
        hint = f"did you mean '{path.with_name(near[0])}.toml'?" if near else "give the path of a .toml file"
        raise BadInput(f"there is no plan '{path}'; {hint}") from None
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise BadInput(f"plan '{path}' cannot be read ({reason}); give a .toml file") from None
    try:
        raw = _Plan.model_validate(read_toml(text))
        refuse_unclear(raw.data.source, raw.data.expects, raw.data.keep)
        return Plan(path, text, raw.study, raw.data, _story(raw), raw.sampling, raw.published)
    except ValidationError as problem:
        raise BadInput(f"plan '{path}': {_explain(problem)}") from None
    except BadInput as problem:
        raise BadInput(f"plan '{path}': {problem}") from None


def _story(raw: _Plan) -> Story:
    settings = dict(raw.model)
    family = settings.pop("family", None)
    if family is None:
        raise BadInput('model.family is missing; add one, for example family = "meta"')
    if not isinstance(family, str):
        raise BadInput(f"'model.family' is {_shown(family)}, but text is needed")
    columns = column_fields(story_class(family))
    known = [*columns, *(FOR_LIMITS if raw.data.limits is not None else ())]
    for word in raw.data.columns:
        if word not in known:
            raise BadInput(
                f"data.columns.{word}: the {family} family reads no such column; {did_you_mean(word, known)}"
            )
        if word in settings:
            raise BadInput(f"'{word}' stands in both [model] and [data.columns]; keep it in [data.columns]")
    if "priors" in settings:
        raise BadInput("model.priors is not a setting; priors have their own table, [priors]")
    try:
        named = {word: name for word, name in raw.data.columns.items() if word in columns}
        return make_story(family, {**settings, **named, "priors": raw.priors})
    except TypeError as problem:  # a required setting is missing: the dataclass names it
        missing = str(problem).rsplit(":", 1)[-1].strip()
        raise BadInput(f"model.{missing.strip(chr(39))} is missing; the {family} family needs it") from None


# What pydantic finds wrong -> what a plan needs, in a plan's words
_NEEDED = {
    "string_type": "text",
    "string_too_short": "some text",
    "string_pattern_mismatch": "a name of letters, digits, '_', '.' and '-' (a folder is called so)",
    "int_type": "a whole number",
    "float_type": "a number",
    "dict_type": "a table",
    "model_type": "a table",
    "tuple_type": "an array",
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than_equal": "a number of at most {le}",
}


def _explain(problem: ValidationError) -> str:
    """Say the first thing wrong in one clause, with the key and the remedy."""
    # A key that is misspelt is missing too: the misspelling is what to say.
    error = min(problem.errors(), key=lambda e: e["type"] != "extra_forbidden")
    *parents, key = error["loc"]
    place = ".".join(str(part + 1) if isinstance(part, int) else part for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown key '{place}'; {did_you_mean(str(key), _keys_at(parents))}"
    if error["type"] == "missing":
        return f"'{place}' is missing; add it"
    reason = error["msg"].removeprefix("Input should be ")
    needed = _NEEDED.get(error["type"], reason.replace("{", "{{").replace("}", "}}"))
    return f"'{place}' is {_shown(error['input'])}, but {needed.format(**error.get('ctx', {}))} is needed"


def _shown(value: Any) -> str:
    """Show a value as the plan wrote it."""
    if isinstance(value, (dict, list)):
        return "a table" if isinstance(value, dict) else "an array"
    return str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)


def _keys_at(parents: Sequence[str | int]) -> Iterable[str]:
    table: Any = _Plan
    for part in parents:
        if isinstance(part, str):
            table = {"study": _Study, "data": _Data, "sampling": _Sampling, "published": _Published}.get(part, table)
    return list(table.model_fields)


def find_plans(folder: str | os.PathLike[str]) -> list[Path]:
    """List the plans below a folder.

    Parameters
    ----------
    folder
        A folder.

    Returns
    -------
    list of pathlib.Path
        Every .toml file, sorted.

    Raises
    ------
    BadInput
        When there is no such folder, or no plan in it.
    """
    folder = Path(folder)
    plans = sorted(folder.rglob("*.toml")) if folder.is_dir() else []
    if not plans:
        raise BadInput(f"there are no plans (.toml files) in '{folder}'; run this where the folder with the plans is")
    return plans


def prepare(plan: Plan, data: Any = None) -> Any:
    """Read a plan's data and check everything that can be checked without sampling.

    Parameters
    ----------
    plan
        A validated plan.
    data
        A .csv or .parquet file or a dataframe, for a plan whose source is ``"path"`` and for no other.

    Returns
    -------
    xarray.Dataset
        The prepared data.

    Raises
    ------
    BadInput
        Naming the plan and the column, row or key.
    """
    if data is not None and not plan.needs_data:
        raise BadInput(f"plan '{plan.path}' names its own data; leave --data out")
    try:
        table = read_source(folder=plan.path.parent, data=data, **plan.data.model_dump())
        prepared = plan.story.prepare(table)
        if plan.published:
            from bayesdep.inference.sample import sketch
            from bayesdep.reporting.ledger import refuse_unknown

            refuse_unknown(_published(plan), sketch(plan.story, prepared))
    except BadInput as problem:
        raise BadInput(f"plan '{plan.path}': {problem}") from None
    return prepared


def _published(plan: Plan) -> list[Any]:
    from bayesdep.reporting.ledger import Published

    return [Published(**row.model_dump()) for row in plan.published]


def fit_plan(plan: Plan, *, data: Any = None, **sampling: Any) -> "Fit":
    """Fit a plan's story to its data.

    Parameters
    ----------
    plan
        A validated plan.
    data
        As in :func:`prepare`.
    **sampling
        ``draws``, ``tune``, ``chains``, ``seed`` or ``progress`` to use instead of the plan's; None means the plan's.

    Returns
    -------
    Fit
        The posterior.
    """
    prepared = prepare(plan, data)
    from bayesdep.inference.sample import fit

    chosen = plan.sampling.model_dump() | {k: v for k, v in sampling.items() if v is not None}
    return fit(plan.story, prepared, **chosen)


def run_plan(
    plan: Plan | str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    accept_failed_gate: bool = False,
    data: Any = None,
    **sampling: Any,
) -> Run:
    """Run a plan and write its run directory.

    A fit that fails the gate is written beside the place of a good one, to ``NAME-failed``, so that it can be
    looked into and never replaces a good run.

    Parameters
    ----------
    plan
        A plan, or its file.
    out
        Directory to write; by default ``results/<study>/<plan>``.
    accept_failed_gate
        Write a fit that fails the gate to ``out`` all the same.
    data
        As in :func:`prepare`.
    **sampling
        As in :func:`fit_plan`.

    Returns
    -------
    Run
        The fit, the ledger and where the files are.

    Raises
    ------
    BadInput
        When the plan, its data or the place to write is not usable; then nothing has been written.
    """
    plan = plan if isinstance(plan, Plan) else read_plan(plan)
    directory = Path(out) if out is not None else plan.directory
    from bayesdep.reporting.run_directory import refuse_unwritable, write_run

    refuse_unwritable(directory)
    failed = directory.with_name(f"{directory.name}-failed")
    refuse_unwritable(failed)
    fit = fit_plan(plan, data=data, **sampling)
    from bayesdep.reporting.estimands import summarise
    from bayesdep.reporting.ledger import ledger

    rows = ledger(_published(plan), summarise(fit)) if plan.published else None
    good = fit.gate.passed or accept_failed_gate
    write_run(
        fit,
        directory if good else failed,
        title=plan.study.title,
        question=plan.study.question,
        plan={"path": plan.path.as_posix(), "sha256": plan.sha256, "text": plan.text},
        ledger=rows,
    )
    if good and failed.exists():
        shutil.rmtree(failed)  # an earlier failure that this run has mended
    return Run(plan, fit, rows, directory if good else failed)
