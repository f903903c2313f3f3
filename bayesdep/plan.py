"""A plan: one TOML file that is the pre-registration, the run and the audit trail."""

import contextlib
import dataclasses
import difflib
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bayesdep.data.errors import BadInput, Faults, did_you_mean, nearest, speaking_toml
from bayesdep.data.files import read_whole
from bayesdep.data.labels import refuse_no_text
from bayesdep.data.sources import FOR_LIMITS, FROM_USER, read_source, refuse_unclear
from bayesdep.data.toml_text import LARGEST, read_toml, shown
from bayesdep.inference.ropes import Rope, refuse_unknown_ropes
from bayesdep.models.model import Model
from bayesdep.models.parts.settings import column_fields
from bayesdep.models.register import code_of, make_model, model_class
from bayesdep.plan_keys import TABLES, Data, Published, Sampling, Study, WrittenPlan

if TYPE_CHECKING:
    import pandas as pd

    from bayesdep.inference.finished_chains import FinishedChains
    from bayesdep.inference.fit import Fit
    from bayesdep.reporting.places import Manifest, Place
    from bayesdep.reporting.run_directory import Outcome


@dataclass(frozen=True)
class Alternative:
    """Other priors under which a plan is repeated.

    Parameters
    ----------
    name
        What a reader calls them.
    why
        Why somebody may hold them.
    model
        The plan's model with these priors.
    """

    name: str
    why: str
    model: Model


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
    alternatives
        Other priors under which it is repeated.
    """

    path: Path
    text: str
    study: Study
    data: Data
    model: Model
    sampling: Sampling
    published: tuple[Published, ...]
    ropes: tuple[Rope, ...] = ()
    alternatives: tuple[Alternative, ...] = ()

    def under(self, other: Alternative) -> "Plan":
        """Return the same plan under other priors."""
        return dataclasses.replace(self, model=other.model, alternatives=())

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
    def comes_with_package(self) -> bool:
        """Whether its table is one of the package's: published, or drawn from a design."""
        return self.data.source.startswith(("published:", "simulate:"))

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
    refits
        Fits under the plan's other priors, by their names.
    """

    plan: Plan
    fit: "Fit"
    ledger: "pd.DataFrame | None"
    directory: Path
    missing: Mapping[str, str] = field(default_factory=dict)
    is_kept: bool = False
    notes: tuple[str, ...] = ()
    refits: Mapping[str, "Fit"] = field(default_factory=dict)

    @property
    def outcome(self) -> "Outcome":
        """The run without its draws."""
        from bayesdep.reporting.other_priors import compare_priors
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
            compare_priors(self.fit, self.refits) if self.refits else None,
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

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> text = '''
    ... [study]
    ... name = "demo"
    ... title = "Coaching in eight schools"
    ... question = "Does coaching help?"
    ... [data]
    ... source = "published:eight_schools_rubin1981"
    ... [model]
    ... family = "meta"
    ... measure = "difference"
    ... units = "points"
    ... scale = 100
    ... study = "school"
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "schools.toml"
    ...     _ = path.write_text(text)
    ...     plan = read_plan(path)
    >>> plan.label
    'demo/schools'
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
    return plan_from_text(path, text)


def plan_from_text(path: Path, text: str) -> Plan:
    """Validate a plan's text, as :func:`read_plan` does.

    Parameters
    ----------
    path
        Where it stands or will stand.
    text
        TOML.

    Returns
    -------
    Plan
        Checked as far as possible without the data.

    Raises
    ------
    BadInput
        Naming the file and the key; ``faults`` has a sentence for every fault.
    """
    try:
        with speaking_toml():
            return _validated(path, text)
    except BadInput as problem:
        raise problem.within(f"plan '{path}'") from None


def _validated(path: Path, text: str) -> Plan:
    """Validate a plan's text; what is wrong in several of its tables is found at once."""
    written = read_toml(text)
    _refuse_no_text(written)
    try:
        raw = WrittenPlan.model_validate(written)
    except ValidationError as problem:
        raise _explained(problem) from None
    faults = Faults()
    with faults:
        refuse_unclear(raw.data.source, raw.data.expects, raw.data.keep)
    ropes = []
    for row in raw.rope:
        with faults:
            ropes.append(Rope(**row.model_dump()))
    with faults:
        model = _model(raw)
    faults.refuse()
    others = _alternatives(raw, model)
    return Plan(path, text, raw.study, raw.data, model, raw.sampling, raw.published, tuple(ropes), others)


def _alternatives(raw: WrittenPlan, model: Model) -> tuple[Alternative, ...]:
    """The plan's other priors; what is wrong in several of them is found at once."""
    faults, found = Faults(), dict[str, Alternative]()
    for one in raw.sensitivity:
        place = f"sensitivity '{one.name}'"
        with faults:
            if one.name.lower() in {name.lower() for name in found}:
                raise BadInput(f"{place} stands twice; give each its own name")
            if not one.priors:
                raise BadInput(f"{place} replaces no prior; name one in [sensitivity.priors], or leave it out")
            try:
                other = _model(raw.model_copy(update={"priors": {**raw.priors, **one.priors}}))
            except BadInput as problem:
                raise problem.within(place) from None
            if dict(other.priors) == dict(model.priors):
                raise BadInput(f"{place} has the plan's own priors; change one, or leave it out")
            found[one.name] = Alternative(one.name, one.why, other)
    faults.refuse()
    return tuple(found.values())


def _model(raw: WrittenPlan) -> Model:
    settings = dict(raw.model)
    family = settings.pop("family", None)
    if family is None:
        raise BadInput('model.family is missing; add one, for example family = "meta"')
    if not isinstance(family, str):
        raise BadInput(f"'model.family' is {shown(family)}, but text is needed")
    columns = column_fields(model_class(family))
    known = [*columns, *(FOR_LIMITS if raw.data.limits is not None else ())]
    faults = Faults()
    for word in raw.data.columns:
        with faults:
            _refuse_column(word, family, known, settings)
    with faults:
        if "priors" in settings:
            raise BadInput("model.priors is not a setting; priors have their own table, [priors]")
    named = {word: name for word, name in raw.data.columns.items() if word in columns}
    settings = {word: value for word, value in settings.items() if word not in ("priors", *named)}
    fields = {f.name: f for f in dataclasses.fields(model_class(family))}
    unknown = [word for word in settings if word not in fields]
    meant = [nearest(word, fields) for word in unknown]  # what is misspelt is not missing as well
    missing = [w for w, f in fields.items() if w not in settings and w not in named and _is_needed(f)]
    for word in missing:
        if word not in meant:
            with faults:
                raise BadInput(f"model.{word} is missing; the {family} family needs it")
    if unknown:
        with faults:
            make_model(family, dict.fromkeys(unknown))  # refuses each of them
    if not missing:  # then the known ones can be looked at
        settings = {word: value for word, value in settings.items() if word in fields}
        with faults:
            model = make_model(family, {**settings, **named, "priors": raw.priors})
    faults.refuse()
    return model


def _is_needed(one: "dataclasses.Field[Any]") -> bool:
    return one.init and one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING


def _refuse_column(word: str, family: str, known: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Refuse a word of [data.columns] that the family does not read, or that is a setting as well."""
    if word not in known:
        raise BadInput(f"data.columns.{word}: the {family} family reads no such column; {did_you_mean(word, known)}")
    if word in settings:
        raise BadInput(f"'{word}' stands in both [model] and [data.columns]; keep it in [data.columns]")


# pydantic's error -> what a plan needs
_NEEDED = {
    "string_type": "text",
    "string_too_short": "some text",
    "string_pattern_mismatch": "a name of letters, digits, '_', '.' and '-' (a file is called so), not too long",
    "int_type": "a whole number",
    "float_type": "a number",
    "dict_type": "a table",
    "model_type": "a table",
    "tuple_type": "an array",
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than_equal": "a number of at most {le}",
}


def _explained(problem: ValidationError) -> BadInput:
    """Describe every error in one clause, with the key and the remedy."""
    # A misspelt key is also reported as missing, so misspellings come first.
    errors = sorted(problem.errors(), key=lambda e: e["type"] != "extra_forbidden")
    meant = {misspelt for e in errors if e["type"] == "extra_forbidden" for misspelt in _meant(e)}
    said: dict[tuple[str | int, ...], str] = {}  # one sentence for a key: what it may be instead is several errors
    for error in errors:
        key = error["loc"][: 3 if error["loc"][0] in ("published", "rope", "sensitivity") else 2]
        if error["type"] != "missing" or error["loc"] not in meant:
            said.setdefault(key, _explain(error))
    faults = [BadInput(sentence) for sentence in said.values()]
    faults[0].faults = tuple(str(one) for one in faults)
    return faults[0]


def _meant(error: Any) -> list[tuple[str | int, ...]]:
    """The key that a misspelt one was meant to be, whose absence is no second fault."""
    *parents, key = error["loc"]
    close = nearest(str(key), _keys_at(parents))
    return [] if close is None else [(*parents, close)]


def _explain(error: Any) -> str:
    """Describe an error in one clause, with the key and the remedy."""
    *parents, key = error["loc"]
    place = ".".join(str(part + 1) if isinstance(part, int) else part for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown key '{place}'; {did_you_mean(str(key), _keys_at(parents))}"
    if error["type"] == "missing":
        return f"'{place}' is missing; add it"
    reason = error["msg"].removeprefix("Input should be ")
    needed = _NEEDED.get(error["type"], reason.replace("{", "{{").replace("}", "}}"))
    return f"'{place}' is {shown(error['input'])}, but {needed.format(**error.get('ctx', {}))} is needed"


def _keys_at(parents: Sequence[str | int]) -> Iterable[str]:
    table: Any = WrittenPlan
    for part in parents:
        if isinstance(part, str):
            table = TABLES.get(part, table)
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
        with speaking_toml():
            prepared = plan.model.prepare(read_rows(plan, data))
            if plan.published or plan.ropes or plan.study.primary:
                _refuse_unknown_estimands(plan, prepared)
    except BadInput as problem:
        raise problem.within(f"plan '{plan.path}'") from None
    return prepared


def prepare_alternatives(plan: Plan, data: Any = None) -> dict[str, Any]:
    """Read a plan's data for each of its other priors, which may be refused for this table.

    Parameters
    ----------
    plan, data
        As in :func:`prepare`.

    Returns
    -------
    dict of xarray.Dataset
        By the names of the priors.

    Raises
    ------
    BadInput
        Naming the plan and the priors.
    """
    prepared = {}
    for other in plan.alternatives:
        try:
            with speaking_toml():
                prepared[other.name] = other.model.prepare(read_rows(plan, data))
        except BadInput as problem:
            raise problem.within(f"plan '{plan.path}': sensitivity '{other.name}'") from None
    return prepared


def read_rows(plan: Plan, data: Any = None) -> "pd.DataFrame":
    """Read the rows of a plan's table that are analysed.

    Parameters
    ----------
    plan, data
        As in :func:`prepare`.

    Returns
    -------
    pandas.DataFrame
        As :func:`~bayesdep.data.sources.read_source` returns it.
    """
    return read_source(folder=plan.path.parent, data=data, simulate=_simulate, **plan.data.model_dump())


def _refuse_unknown_estimands(plan: Plan, prepared: Any) -> None:
    """Refuse primary estimands, published numbers and regions of estimands that the model does not have."""
    from bayesdep.inference.primary import read_primary
    from bayesdep.inference.sample import estimand_template
    from bayesdep.reporting.ledger import refuse_unknown

    template = estimand_template(plan.model, prepared)
    faults = Faults()
    with faults:
        read_primary(plan.study.primary, template)
    with faults:
        refuse_unknown_ropes(plan.ropes, template, called="[[rope]] row")
    with faults:
        refuse_unknown(_published(plan), template, plan.ropes)
    faults.refuse()


def _simulate(design: str, seed: int) -> "pd.DataFrame":
    from bayesdep.designs.register import simulate

    return simulate(design, seed=seed).table


def _published(plan: Plan) -> list[Any]:
    from bayesdep.reporting.ledger import Published as Row

    return [Row(**row.model_dump()) for row in plan.published]


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
    force: bool = False,
    spreadsheet_safe: bool = False,
    vector: bool = True,
    say: Callable[[str], Any] | None = None,
    **sampling: Any,
) -> Run:
    """Run a plan and write its run directory.

    A finished run of the same plan, data, settings, versions and machine is kept, and nothing is sampled; a file that
    it lacks is made from its draws. A fit that fails the gate is written to ``NAME-failed``, so that it can be
    inspected and never replaces a good run.
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
    force
        Sample again, although nothing has changed since a run was finished.
    spreadsheet_safe
        Whether texts that begin like formulas are escaped in the run's tables, as :func:`bayesdep.export` does it.
    vector
        Whether figures are written as PDF and SVG too; as PNG they always are. A finished run that lacks them gets them
        from its draws.
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

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> text = '''
    ... [study]
    ... name = "demo"
    ... title = "Coaching in eight schools"
    ... question = "Does coaching help?"
    ... [data]
    ... source = "published:eight_schools_rubin1981"
    ... [model]
    ... family = "meta"
    ... measure = "difference"
    ... units = "points"
    ... scale = 100
    ... study = "school"
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "schools.toml"
    ...     _ = path.write_text(text)
    ...     run = run_plan(path, out=Path(folder) / "run")
    ...     print(run.fit.gate.passed, (run.directory / "report.html").exists())
    True True
    """
    plan = plan if isinstance(plan, Plan) else read_plan(plan)
    from bayesdep.reporting.places import held
    from bayesdep.reporting.resuming import finished, finished_refits, kept_chains, remove_chains

    place, failures = places_of(plan, Path(out) if out is not None else plan.directory, data)
    prepared, others = prepare(plan, data), prepare_alternatives(plan, data)
    mark = _fingerprint(plan, prepared, sampling)
    say, as_asked = say or (lambda _: None), {"spreadsheet_safe": spreadsheet_safe, "vector": vector}
    with held(place, failures) as certain:
        fit, where, refits = None, None, {}
        if not force:
            fit, where = finished((place, failures), mark, accept_failed_gate, **as_asked)
            refits = finished_refits((place, failures), mark, list(others))
        if fit is not None and where is not None and len(refits) == len(others):
            if certain:
                remove_chains(place)
            return Run(plan, fit, _ledger(plan, fit), where.asked, is_kept=True, refits=refits)
        earlier = place.manifest, failures.manifest
        if earlier[0] is not None and earlier[0].what != place.what:
            say(f"will replace the {earlier[0].what} in '{place.asked}'")
        with kept_chains(place, mark, resume, certain, say) as kept:
            fit = fit or fit_plan(plan, data=prepared, kept=kept, **sampling)
            with contextlib.ExitStack() as stack:
                for other in plan.alternatives:
                    if other.name not in refits:
                        own = _fingerprint(plan.under(other), others[other.name], {**sampling, "under": other.name})
                        chains = stack.enter_context(kept_chains(place, own, resume, False, lambda _: None))
                        refits[other.name] = _refit(plan, other, others[other.name], chains, sampling)
                refits = {other.name: refits[other.name] for other in plan.alternatives}
                return _write(plan, fit, refits, (place, failures), earlier, mark, accept_failed_gate, as_asked)


def _refit(plan: Plan, other: Alternative, prepared: Any, kept: "FinishedChains", sampling: Mapping[str, Any]) -> "Fit":
    """Fit a plan under other priors; its manifest says which, and why."""
    done = fit_plan(plan.under(other), data=prepared, kept=kept, **sampling)
    return dataclasses.replace(done, manifest=done.manifest | {"alternative": {"name": other.name, "why": other.why}})


def _fingerprint(plan: Plan, prepared: Any, sampling: Mapping[str, Any]) -> str:
    from bayesdep.inference.finished_chains import fingerprint

    settings = {k: v for k, v in _sampling(plan, sampling).items() if k != "progress"}
    return fingerprint(plan.text, prepared, settings, code_of(plan.model))


def finished_fit(plan: Plan, prepared: Any, **sampling: Any) -> "Fit | None":
    """Read the fit of a finished run in a plan's directory.

    Parameters
    ----------
    plan
        A validated plan.
    prepared
        Its prepared data.
    **sampling
        As in :func:`fit_plan`.

    Returns
    -------
    Fit or None
        What :func:`fit_plan` would return; None where the plan, its data, the settings, the versions of the software or
        the machine differ from those of the run, or there is none.
    """
    from bayesdep.reporting.places import Place
    from bayesdep.reporting.resuming import finished

    place = Place(plan.directory, plan.directory.absolute(), f"run of {plan.label}")
    both = place, Place(place.failures, place.failures.absolute(), place.what)
    return finished(both, _fingerprint(plan, prepared, sampling), accept=True)[0]


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
    refits: "Mapping[str, Fit]",
    places: "tuple[Place, Place]",
    earlier: "tuple[Manifest | None, Manifest | None]",
    mark: str,
    accept: bool,
    as_asked: Mapping[str, bool],
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
        refits=refits,
        fingerprint=mark,
        **as_asked,
    )
    if good:
        places[1].remove_failure()  # an earlier failure of the same plan
    return Run(plan, fit, written.ledger, place.asked, written.missing, notes=written.notes, refits=refits)


def _equivalence(fit: "Fit") -> "pd.DataFrame | None":
    from bayesdep.criticism.equivalence import check_equivalence, in_words

    return in_words(check_equivalence(fit)) if fit.ropes else None


def _ledger(plan: Plan, fit: "Fit") -> "pd.DataFrame | None":
    from bayesdep.reporting.estimands import summarise
    from bayesdep.reporting.ledger import ledger

    if not plan.published:
        return None
    if not plan.ropes:
        return ledger(_published(plan), summarise(fit), synthetic=fit.synthetic)
    from bayesdep.criticism.equivalence import check_equivalence

    return ledger(_published(plan), summarise(fit), check_equivalence(fit), synthetic=fit.synthetic)
