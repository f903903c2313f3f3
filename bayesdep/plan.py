"""A plan: one TOML file that is the pre-registration, the run and the audit trail."""

import difflib
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.files import read_whole
from bayesdep.data.labels import refuse_no_text
from bayesdep.data.sources import FOR_LIMITS, FROM_USER, read_source, refuse_unclear
from bayesdep.data.toml_text import LARGEST, read_toml, shown
from bayesdep.inference.numbers import LEAST, MOST
from bayesdep.inference.ropes import Rope, refuse_unknown_ropes
from bayesdep.models.model import Model
from bayesdep.models.parts.settings import column_fields
from bayesdep.models.register import code_of, make_model, model_class

if TYPE_CHECKING:
    import pandas as pd

    from bayesdep.inference.finished_chains import FinishedChains
    from bayesdep.inference.fit import Fit
    from bayesdep.reporting.places import Manifest, Place
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
    primary: tuple[Any, ...] = ()  # names, or tables of estimand and at, checked against the estimands
    expects_warning: str = ""


class _Data(_Table):
    source: _Text
    expects: _Text | None = None
    seed: Annotated[_Whole, Field(ge=LEAST["seed"], le=MOST["seed"])] | None = None
    keep: Any = {}  # a table or a condition, checked by refuse_unclear
    require: tuple[_Text, ...] = ()
    missing: tuple[_Text | _Number | _Whole, ...] | dict[str, tuple[_Text | _Number | _Whole, ...]] | None = None
    labels_meant: tuple[_Text, ...] = ()
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
    direction: Literal["above", "below", "none"] | None = None
    p: Annotated[_Number, Field(gt=0, le=1)] | None = None
    statistic: Literal["median", "mean"] = "median"
    units: str = ""
    scale: str = ""
    note: str = ""


class _Rope(_Table):
    estimand: _Text
    reason: _Text
    at: dict[str, _Text] = {}
    margin: _Number | None = None
    lower: _Number | None = None
    upper: _Number | None = None
    level: _Number = 0.95


class _Plan(_Table):
    study: _Study
    data: _Data
    model: dict[str, Any]
    priors: dict[str, Any] = {}
    sampling: _Sampling = _Sampling()
    published: tuple[_Published, ...] = ()
    rope: tuple[_Rope, ...] = ()


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
    model
        The generative model, with its priors.
    ropes
        Regions of practical equivalence.
    """

    path: Path
    text: str
    study: _Study
    data: _Data
    model: Model
    sampling: _Sampling
    published: tuple[_Published, ...]
    ropes: tuple[Rope, ...] = ()

    @property
    def name(self) -> str:
        """The plan's name among its study's plans: the file's."""
        return self.path.stem

    @property
    def label(self) -> str:
        """The names of study and plan, which identify a run."""
        return f"{self.study.name}/{self.name}"

    @property
    def needs_data(self) -> bool:
        """Whether its table is given by the user when it is run."""
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
        """The default directory of its run."""
        return Path("results") / self.study.name / self.name


@dataclass(frozen=True)
class Run:
    """The result of running a plan.

    Parameters
    ----------
    plan
        The plan.
    fit
        The fit.
    ledger
        Published numbers compared with the posterior; None if the plan has none.
    directory
        The run's directory.
    missing
        The reason why a file could not be made, by file.
    is_kept
        Whether it is an earlier run that was finished already.
    notes
        Warnings for those who open its tables in a spreadsheet.
    """

    plan: Plan
    fit: "Fit"
    ledger: "pd.DataFrame | None"
    directory: Path
    missing: Mapping[str, str] = field(default_factory=dict)
    is_kept: bool = False
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> "Outcome":
        """The run without its draws."""
        from bayesdep.reporting.run_directory import Outcome

        study = self.plan.study
        return Outcome(
            self.plan.label,
            self.fit.gate,
            self.fit.verdict,
            study.expects_warning,
            self.fit.synthetic,
            self.ledger,
            self.directory,
            (*str(self.fit.data.attrs.get("notes", "")).splitlines(), *self.notes),
            self.missing,
            _equivalence(self.fit),
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
        Checked as far as possible without the data.

    Raises
    ------
    BadInput
        Naming the file and the key.
    """
    path = Path(path)
    try:
        text = io.TextIOWrapper(io.BytesIO(read_whole(path, LARGEST)), encoding="utf-8-sig").read()  # any line breaks
    except FileNotFoundError:
        near = difflib.get_close_matches(path.stem, [p.stem for p in path.parent.glob("*.toml")], n=1)
        hint = f"did you mean '{path.with_name(near[0])}.toml'?" if near else "give the path of a .toml file"
        raise BadInput(f"there is no plan '{path}'; {hint}") from None
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise BadInput(f"plan '{path}' cannot be read ({reason}); give a .toml file") from None
    try:
        written = read_toml(text)
        _refuse_no_text(written)
        raw = _Plan.model_validate(written)
        refuse_unclear(raw.data.source, raw.data.expects, raw.data.keep)
        ropes = tuple(Rope(**row.model_dump()) for row in raw.rope)
        return Plan(path, text, raw.study, raw.data, _model(raw), raw.sampling, raw.published, ropes)
    except ValidationError as problem:
        raise BadInput(f"plan '{path}': {_explain(problem)}") from None
    except BadInput as problem:
        raise BadInput(f"plan '{path}': {problem}") from None


def _model(raw: _Plan) -> Model:
    settings = dict(raw.model)
    family = settings.pop("family", None)
    if family is None:
        raise BadInput('model.family is missing; add one, for example family = "meta"')
    if not isinstance(family, str):
        raise BadInput(f"'model.family' is {shown(family)}, but text is needed")
    columns = column_fields(model_class(family))
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
        return make_model(family, {**settings, **named, "priors": raw.priors})
    except TypeError as problem:  # a required setting is missing: the dataclass names it
        missing = str(problem).rsplit(":", 1)[-1].strip()
        raise BadInput(f"model.{missing.strip(chr(39))} is missing; the {family} family needs it") from None


# pydantic's error -> what a plan needs
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
    """Describe the first error in one clause, with the key and the remedy."""
    # A misspelt key is also reported as missing: name the misspelling.
    error = min(problem.errors(), key=lambda e: e["type"] != "extra_forbidden")
    *parents, key = error["loc"]
    place = ".".join(str(part + 1) if isinstance(part, int) else part for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown key '{place}'; {did_you_mean(str(key), _keys_at(parents))}"
    if error["type"] == "missing":
        return f"'{place}' is missing; add it"
    reason = error["msg"].removeprefix("Input should be ")
    needed = _NEEDED.get(error["type"], reason.replace("{", "{{").replace("}", "}}"))
    return f"'{place}' is {shown(error['input'])}, but {needed.format(**error.get('ctx', {}))} is needed"


_TABLES = {"study": _Study, "data": _Data, "sampling": _Sampling, "published": _Published, "rope": _Rope}


def _keys_at(parents: Sequence[str | int]) -> Iterable[str]:
    table: Any = _Plan
    for part in parents:
        if isinstance(part, str):
            table = _TABLES.get(part, table)
    return list(table.model_fields)


def _refuse_no_text(value: Any, *place: str) -> None:
    """Refuse control characters in a plan's texts and keys, naming the key: TOML lets them be written as escapes."""
    if isinstance(value, str):
        refuse_no_text(value, f"'{'.'.join(place)}'")
    for key, one in value.items() if isinstance(value, dict) else ():
        refuse_no_text(key, f"a key of '{'.'.join(place)}'" if place else "a key")
        _refuse_no_text(one, *place, key)
    for at, one in enumerate(value) if isinstance(value, list) else ():
        _refuse_no_text(one, *place, str(at + 1))


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
        table = read_source(folder=plan.path.parent, data=data, simulate=_simulate, **plan.data.model_dump())
        prepared = plan.model.prepare(table)
        if plan.published or plan.ropes or plan.study.primary:
            from bayesdep.inference.primary import read_primary
            from bayesdep.inference.sample import estimand_template
            from bayesdep.reporting.ledger import refuse_unknown

            template = estimand_template(plan.model, prepared)
            read_primary(plan.study.primary, template)
            refuse_unknown_ropes(plan.ropes, template)
            refuse_unknown(_published(plan), template, plan.ropes)
    except BadInput as problem:
        raise BadInput(f"plan '{plan.path}': {problem}") from None
    return prepared


def _simulate(design: str, seed: int) -> "pd.DataFrame":
    from bayesdep.designs.register import simulate

    return simulate(design, seed=seed).table


def _published(plan: Plan) -> list[Any]:
    from bayesdep.reporting.ledger import Published

    return [Published(**row.model_dump()) for row in plan.published]


def fit_plan(plan: Plan, *, data: Any = None, kept: "FinishedChains | None" = None, **sampling: Any) -> "Fit":
    """Fit a plan's model to its data.

    Parameters
    ----------
    plan
        A validated plan.
    data
        As in :func:`prepare`, or its result.
    kept
        As in :func:`bayesdep.fit`.
    **sampling
        ``draws``, ``tune``, ``chains``, ``seed`` or ``progress`` to use instead of the plan's; None means the plan's.

    Returns
    -------
    Fit
        The posterior.
    """
    import xarray as xr

    prepared = data if isinstance(data, xr.Dataset) else prepare(plan, data)
    from bayesdep.inference.sample import fit

    done = fit(plan.model, prepared, kept=kept, **_sampling(plan, sampling))
    done = done.with_primary(*plan.study.primary) if plan.study.primary else done
    return done.with_ropes(*plan.ropes) if plan.ropes else done


def _sampling(plan: Plan, sampling: Mapping[str, Any]) -> dict[str, Any]:
    return plan.sampling.model_dump() | {k: v for k, v in sampling.items() if v is not None}


def run_plan(
    plan: Plan | str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    accept_failed_gate: bool = False,
    data: Any = None,
    resume: bool = False,
    spreadsheet_safe: bool = False,
    say: Callable[[str], Any] | None = None,
    **sampling: Any,
) -> Run:
    """Run a plan and write its run directory.

    A fit that fails the gate is written to ``NAME-failed``, so that it can be inspected and never replaces a good run.
    During sampling, finished chains are saved on disk beside the run's directory.

    Parameters
    ----------
    plan
        A plan, or its file.
    out
        Directory to write; by default ``results/<study>/<plan>``.
    accept_failed_gate
        Write a fit that fails the gate to ``out`` as well.
    data
        As in :func:`prepare`.
    resume
        Go on with an interrupted run: finished chains of the same plan, data, settings and versions are used again, and
        the result is the same to the last bit as without the interruption.
    spreadsheet_safe
        Whether texts that begin like formulas are escaped in the run's tables, as :func:`bayesdep.export` does it.
    say
        Called with messages before sampling.
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
    from bayesdep.reporting.places import held
    from bayesdep.reporting.resuming import finished, kept_chains, remove_chains

    place, failures = places_of(plan, Path(out) if out is not None else plan.directory, data)
    prepared = prepare(plan, data)
    from bayesdep.inference.finished_chains import fingerprint

    settings = {k: v for k, v in _sampling(plan, sampling).items() if k != "progress"}
    mark = fingerprint(plan.text, prepared, settings, code_of(plan.model))
    say = say or (lambda _: None)
    with held(place, failures) as certain:
        fit, where = finished((place, failures), mark, accept_failed_gate) if resume else (None, None)
        if fit is not None and where is not None:
            if certain:
                remove_chains(place)
            return Run(plan, fit, _ledger(plan, fit), where.asked, is_kept=True)
        earlier = place.manifest, failures.manifest
        if earlier[0] is not None and earlier[0].what != place.what:
            say(f"will replace the {earlier[0].what} in '{place.asked}'")
        with kept_chains(place, mark, resume, certain, say) as kept:
            fit = fit or fit_plan(plan, data=prepared, kept=kept, **sampling)
            return _write(plan, fit, (place, failures), earlier, mark, accept_failed_gate, spreadsheet_safe)


def places_of(plan: Plan, directory: Path, data: Any = None) -> "tuple[Place, Place]":
    """Find the directories of a plan's run and of a run that fails its gate; nothing is written yet.

    Parameters
    ----------
    plan
        A validated plan.
    directory
        The directory of the run.
    data
        As in :func:`prepare`.

    Returns
    -------
    tuple of Place
        The two.

    Raises
    ------
    BadInput
        When one of them cannot be written, or contains files that must not be replaced.
    """
    from bayesdep.reporting.places import Place

    named = [plan.path.parent / name for name in (plan.data.source, plan.data.limits) if name is not None]
    given = [Path(data)] if isinstance(data, (str, os.PathLike)) else []
    inputs = [plan.path, *given, *(file for file in named if file.is_file())]
    place = Place.find(directory, f"run of {plan.label}", inputs=inputs)
    return place, Place.find(place.failures, place.what, inputs=inputs, failures=True)


def _write(
    plan: Plan,
    fit: "Fit",
    places: "tuple[Place, Place]",
    earlier: "tuple[Manifest | None, Manifest | None]",
    mark: str,
    accept: bool,
    spreadsheet_safe: bool,
) -> Run:
    from bayesdep.reporting.run_directory import write_run

    good = fit.gate.passed or accept
    place = places[0 if good else 1]
    written = write_run(
        fit,
        place,
        earlier[0 if good else 1],
        title=plan.study.title,
        question=plan.study.question,
        plan={"path": plan.path.as_posix(), "sha256": plan.sha256, "text": plan.text},
        ledger=lambda fit: _ledger(plan, fit),
        fingerprint=mark,
        spreadsheet_safe=spreadsheet_safe,
    )
    if good:
        places[1].remove_failure()  # an earlier failure of the same plan
    return Run(plan, fit, written.ledger, place.asked, written.missing, notes=written.notes)


def _equivalence(fit: "Fit") -> "pd.DataFrame | None":
    from bayesdep.criticism.equivalence import check_equivalence, in_words

    return in_words(check_equivalence(fit)) if fit.ropes else None


def _ledger(plan: Plan, fit: "Fit") -> "pd.DataFrame | None":
    from bayesdep.reporting.estimands import summarise
    from bayesdep.reporting.ledger import ledger

    if not plan.published:
        return None
    if not plan.ropes:
        return ledger(_published(plan), summarise(fit))
    from bayesdep.criticism.equivalence import check_equivalence

    return ledger(_published(plan), summarise(fit), check_equivalence(fit))
