"""Plan a study: how often its analysis would reach a decision, by the number of patients."""

import dataclasses
import hashlib
import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesdep.criticism.assurance import EFFECTS, NO_EFFECT, Assurance, PlannedStudy, summarised, values_of
from bayesdep.criticism.decisions import Decision
from bayesdep.criticism.simulated_fits import drawn_from
from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.sources import read_source
from bayesdep.data.toml_text import read_toml
from bayesdep.designs.resized import resized
from bayesdep.designs.simulated import Simulated
from bayesdep.inference.finished_chains import VERSIONS, fingerprint
from bayesdep.inference.many_fits import FinishedFits, numbered_fits
from bayesdep.inference.numbers import check_least, check_numbers
from bayesdep.inference.sample import estimand_template
from bayesdep.models.model import Imputes, Model, Replicates
from bayesdep.models.parts.priors import parse_prior
from bayesdep.models.register import code_of, settings_of
from bayesdep.numerics.distributions import Prior
from bayesdep.plan import Plan, read_plan, read_rows

_SCHEME = "simulate:"
_TRUTHS = ("prior", "simulator")
_STRATA = ("study", "arm", "group")  # roles of columns whose shares a larger or smaller study keeps
_SIMULATE = "a function from a seed and a number of patients to bd.simulate's kind"
_POINT = 1e-9  # sd of a design prior with all mass at one value, beside that value


@dataclass(frozen=True)
class FromPrior:
    """Draws a study: a table of n patients on the design of a table, parameters from a prior, outcomes given them.

    Parameters
    ----------
    model
        Of the analysis.
    designed
        The same with the design prior.
    table
        Who was seen when.
    n
        How many patients.
    unit, strata
        As :func:`bayesdep.designs.resized.resized` takes them.
    """

    model: Model
    designed: Model
    table: pd.DataFrame
    n: int
    unit: tuple[str, ...]
    strata: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """What the drawn studies depend on, hashed."""
        rows = pd.util.hash_pandas_object(self.table, index=False).to_numpy().tobytes()
        about = [settings_of(self.designed), self.n, self.unit, self.strata, list(self.table.columns)]
        return hashlib.sha256(rows + repr(about).encode()).hexdigest()

    def __call__(self, seeds: Sequence[int]) -> tuple[xr.Dataset, xr.Dataset]:
        """Draw data and their truth."""
        rng = np.random.default_rng(seeds[0])
        table = resized(self.table, self.n, rng, unit=self.unit, strata=self.strata)
        before = self.designed.prepare(table)
        truth, drawn = drawn_from(self.designed, before, seeds[1:])
        # what else is prepared may depend on the priors, such as what a prior in the outcome's units lies around
        new = {name: values for name, values in drawn.data_vars.items() if not values.identical(before[name])}
        return self.model.prepare(table).assign(new), truth


@dataclass(frozen=True)
class FromSimulator:
    """Draws a study from a simulator.

    Parameters
    ----------
    model
        Of the analysis.
    simulate
        From a seed and the number of patients to a table and its truth.
    n
        How many patients.
    """

    model: Model
    simulate: Callable[[int, int], Simulated]
    n: int

    @property
    def fingerprint(self) -> str:
        """What the drawn studies depend on, hashed."""
        return hashlib.sha256(pickle.dumps((self.simulate, self.n))).hexdigest()

    def __call__(self, seeds: Sequence[int]) -> tuple[xr.Dataset, Mapping[str, Any]]:
        """Draw data and their truth."""
        made = self.simulate(seeds[0], self.n)
        return self.model.prepare(made.table), made.truth


type _Draws = Callable[[int], FromPrior | FromSimulator]  # from a number of patients


def assurance(
    what: Model | Plan | str | os.PathLike[str],
    data: Any = None,
    *,
    n: int | Sequence[int],
    decision: str | Sequence[str],
    prior: Mapping[str, Any] | None = None,
    no_effect: Sequence[str] = (),
    simulate: Callable[[int, int], Simulated] | None = None,
    fits: int = 200,
    seed: int = 1,
    store: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    say: Callable[[str], Any] | None = None,
    **sampling: Any,
) -> Assurance:
    """Say how often a study would reach a decision, by its number of patients.

    Studies are simulated and each is analysed with the model, its own prior included. Parameters are drawn from that
    prior where no other is given for them, so a design prior is usually given for the effect and for spreads.

    Parameters
    ----------
    what
        A model, a plan, or a plan's file.
    data
        A table with the study's design: who is seen when, what is missed, limits, covariates. Its outcomes are
        replaced. Of a plan, its own; of one whose source is ``"path"`` the file.
    n
        Numbers of patients. Patients of the table are copied, in its shares of arms.
    decision
        What the analysis has to say, one or several: ``"P(difference[drug, 8] < -2) > 0.95"``, ``"P(|mu| < 2) >
        0.95"``, ``"width(mu) < 4"`` of the 95% interval, joined by ``and``. Values are named as tables print them.
    prior
        Design priors by parameter: a :class:`bayesdep.Prior`, a table as in a plan, or a number for all mass at it.
    no_effect
        Parameters that are zero where the treatment has no effect: as many studies are simulated without it, for the
        share that reach the decision all the same.
    simulate
        Instead of the design prior: a function from a seed and a number of patients to a
        :class:`~bayesdep.designs.simulated.Simulated` table and its truth by the names of values. It must be
        importable, since it is sent to other processes.
    fits
        How many studies of each size. 200 give a standard error of 0.03 near 0.8.
    seed
        Study k of the same seed and size is the same study, however many there are and wherever it is made.
    store, workers, scheduler, say
        As in :func:`bayesdep.calibrate`.
    **sampling
        ``draws``, ``tune``, ``chains``, ``sampler``, ``target_accept``, ``max_tree_depth``: as in :func:`bayesdep.fit`,
        by default those of the plan.

    Returns
    -------
    Assurance
        A ``table`` by size and decision, ``widths`` of intervals, ``sentences``, and ``reached``, ``values`` and
        ``fits`` study by study.

    Raises
    ------
    BadInput
        When a decision cannot be read, a value or parameter does not exist, or a number is impossible.

    Examples
    --------
    >>> import bayesdep as bd
    >>> rows = [(f"s{i}", "pd"[i % 2], week, 20.0 + i % 4, 15.0 + i % 3) for i in range(20) for week in (2, 4)]
    >>> table = pd.DataFrame(rows, columns=["subject", "arm", "visit", "baseline", "outcome"])
    >>> found = bd.assurance(
    ...     bd.Trial(reference="p", covariance="ar1", scale=6.0), table, n=20, fits=4, workers=1, draws=100, tune=100,
    ...     decision="P(difference[d, 4] < 0) > 0.9", prior={"arm_effect": -4},
    ... )
    >>> found.table[["n", "studies"]].to_dict("records")
    [{'n': 20, 'studies': 4}]
    """
    if isinstance(what, (str, os.PathLike)):
        what = read_plan(what)
    text, model, own = "", what, dict[str, Any]()
    if isinstance(what, Plan):
        own = {k: v for k, v in what.sampling.model_dump().items() if k != "seed"}
        model, text = what.model, what.text
    assert not isinstance(model, Plan)
    sampling = {"draws": 1000, "tune": 1000, "chains": 4} | own | {k: v for k, v in sampling.items() if v is not None}
    sizes = _sizes(n)
    check_numbers(seed=seed, **{key: sampling[key] for key in ("draws", "tune", "chains")})
    check_least(fits=(fits, 2), workers=(workers, 1))
    decisions = _decisions(decision)
    targets = tuple(dict.fromkeys(target for one in decisions for target in one.targets))
    studies: dict[str, _Draws] = {}
    if simulate is None:
        table = read_rows(what, data) if isinstance(what, Plan) else _table(data)
        values_of(_template(model, table), targets)
        studies = _from_priors(model, table, prior or {}, no_effect)
    elif prior or no_effect:
        raise BadInput("simulate states the truth, so prior and no_effect say nothing; leave them or simulate out")
    else:
        studies[EFFECTS] = lambda size: FromSimulator(model, simulate, size)
    about = {
        "model": f"{model.family} {settings_of(model)}",
        "prior": {name: str(value) for name, value in (prior or {}).items()},
        "no_effect": list(no_effect),
        "decisions": [one.text for one in decisions],
        "sampling": sampling,
        "seed": seed,
        "versions": {name: version(name) for name in VERSIONS},
    }
    made, folder = {}, None if store is None else Path(store)
    for size in sizes:
        for k, (effects, draw) in enumerate(studies.items()):
            study = PlannedStudy(model, draw(size), decisions, sampling, (seed, size, k))
            kept = _kept(study, about | {"n": size, "effects": effects}, text, folder, say)
            named = None if say is None else _naming(say, size, effects)
            made[size, effects] = numbered_fits(
                study, fits, store=kept, workers=workers, scheduler=scheduler, say=named
            )
    return summarised(made, decisions, targets, about, folder)


def design_plan(
    plan: Plan,
    *,
    data: Path | None,
    out: Path | None,
    prior: Sequence[str],
    truth: str,
    command: str,
    say: Callable[[str], Any],
    spreadsheet_safe: bool = False,
    **how: Any,
) -> tuple[Assurance, Path]:
    """Simulate a plan's study at several sizes and write the directory of its report; finished fits are kept beside it.

    Parameters
    ----------
    plan
        The plan.
    data
        As in :func:`bayesdep.plan.prepare`.
    out
        The directory; by default ``results/<study>/<plan>-design``. Fits are kept in the folder of that name and
        ``-fits``.
    prior
        Design priors as a plan writes them: ``"arm_effect = -3"``.
    truth
        ``"prior"``, or ``"simulator"`` for the one truth of the plan's own simulator.
    command
        What repeats it, for the report.
    say
        As in :func:`assurance`, and ``how`` the rest.
    spreadsheet_safe
        As in :func:`bayesdep.export`.
    **how
        As :func:`assurance` takes them.

    Returns
    -------
    tuple of Assurance and pathlib.Path
        The result, and the directory.
    """
    from bayesdep.reporting.assurance import write_assurance
    from bayesdep.reporting.places import Place

    if truth not in _TRUTHS:
        raise BadInput(f"truth = '{truth}' is not a choice; {did_you_mean(truth, _TRUTHS)}")
    simulate = _simulator_of(plan) if truth == "simulator" else None
    directory = out or plan.directory.with_name(f"{plan.directory.name}-design")
    place = Place.find(directory, f"design of {plan.label}", inputs=[plan.path, *([data] if data else [])])
    store = place.path.with_name(f"{place.path.name}-fits")
    found = assurance(plan, data, prior=_written(prior), simulate=simulate, store=store, say=say, **how)
    title = f"Assurance of {plan.label}: {plan.study.title}"
    write_assurance(found, place, title=title, command=command, spreadsheet_safe=spreadsheet_safe)
    return found, place.asked


def _written(lines: Sequence[str]) -> dict[str, Any]:
    """Design priors from lines of TOML."""
    found = dict[str, Any]()
    for line in lines:
        try:
            found |= read_toml(line)
        except BadInput:
            raise BadInput(
                f"--prior '{line}' cannot be read; write it as 'arm_effect = -3' or 'arm_effect = {{ dist = "
                '"Normal", mu = -3, sigma = 1 }\''
            ) from None
    return found


@dataclass(frozen=True)
class _OfPlan:
    """A plan's own simulator at another size, rows chosen as the plan says."""

    plan: Plan

    def __call__(self, seed: int, n: int) -> Simulated:
        from bayesdep.designs.register import simulate

        name = self.plan.data.source.removeprefix(_SCHEME)
        made = simulate(name, seed=seed, people=n)
        keys = self.plan.data.model_dump()
        table = read_source(folder=self.plan.path.parent, data=None, simulate=lambda *_: made.table, **keys)
        return Simulated(table, made.truth)


def _simulator_of(plan: Plan) -> Callable[[int, int], Simulated]:
    if not plan.data.source.startswith(_SCHEME):
        raise BadInput(
            f"plan '{plan.path}' has no simulator (source = \"{plan.data.source}\"), so no truth is stated; use truth "
            "= 'prior'"
        )
    return _OfPlan(plan)


def _naming(say: Callable[[str], Any], size: int, effects: str) -> Callable[[str], Any]:
    return lambda text: say(f"n = {size}{'' if effects == EFFECTS else f', {effects}'}: {text}")


def _kept(
    study: PlannedStudy, about: Mapping[str, Any], text: str, store: Path | None, say: Callable[[str], Any] | None
) -> FinishedFits | None:
    """Where finished studies of one size are, if they are kept."""
    if store is None:
        return None
    code = code_of(study.model) + study.draw.fingerprint
    mark = fingerprint(text, xr.Dataset(), {k: v for k, v in about.items() if k != "versions"}, code)
    kept, said = FinishedFits.find(store / f"n-{about['n']}-{str(about['effects']).replace(' ', '-')}", mark, about)
    if said and say is not None:
        say(f"n = {about['n']}: {said}")
    return kept


def _sizes(n: int | Sequence[int]) -> list[int]:
    sizes = [n] if isinstance(n, (int, float)) else list(n)
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 2:
            raise BadInput(f"n = {size!r}, but whole numbers of at least 2 patients are needed, such as 60, 120")
    if not sizes or len(set(sizes)) < len(sizes):
        raise BadInput(f"n = {sizes!r}; give one or several numbers of patients, each once")
    return [int(size) for size in sizes]


def _decisions(decision: str | Sequence[str]) -> tuple[Decision, ...]:
    found = tuple(Decision.read(text) for text in ([decision] if isinstance(decision, str) else decision))
    if not found or len({one.text for one in found}) < len(found):
        raise BadInput("decision: give one or several, each once, such as 'P(mu < 0) > 0.95'")
    return found


def _table(data: Any) -> pd.DataFrame:
    from bayesdep.data.tables import as_frame

    if data is None:
        raise BadInput("a study is simulated on the design of a table; give data, whose outcomes are replaced")
    if not isinstance(data, pd.DataFrame):
        raise BadInput(f"data is {type(data).__name__}, but a dataframe is needed, whose patients can be copied")
    return as_frame(data)


def _template(model: Model, table: pd.DataFrame) -> xr.Dataset:
    """Estimands of the design, to know their names."""
    return estimand_template(model, model.prepare(table))


def _from_priors(
    model: Model, table: pd.DataFrame, prior: Mapping[str, Any], no_effect: Sequence[str]
) -> dict[str, _Draws]:
    """What draws studies of a size, with effects from the design prior and, if asked for, without."""
    if isinstance(model, Imputes) and model.imputes:
        raise BadInput("missing_moderators = 'impute' draws moderators, which a planned study does not; use 'omit'")
    if not isinstance(model, Replicates):
        raise BadInput(f"{type(model).__name__} cannot put drawn outcomes into its data; give simulate, {_SIMULATE}")
    column = getattr(model, "subject", None)
    if not hasattr(model, "subject"):
        raise BadInput(
            f"n counts patients, but {type(model).__name__} has no column of them; give simulate, {_SIMULATE}"
        )
    named = [getattr(model, word, None) for word in _STRATA]
    strata = tuple(str(name) for name in named if name and name in table)
    unit = tuple(str(name) for name in (getattr(model, "study", None), column) if name is not None and name in table)
    unit = unit if column in table else ()
    without = dict.fromkeys(no_effect, 0.0)
    found: dict[str, _Draws] = {
        EFFECTS: partial(FromPrior, model, _designed(model, prior), table, unit=unit, strata=strata)
    }
    if no_effect:
        found[NO_EFFECT] = partial(
            FromPrior, model, _designed(model, {**prior, **without}), table, unit=unit, strata=strata
        )
    return found


def _designed(model: Model, prior: Mapping[str, Any]) -> Model:
    """The model with the design priors."""
    priors = {}
    for name, value in prior.items():
        if name not in model.slots:
            raise BadInput(f"design prior: there is no parameter '{name}'; {did_you_mean(name, model.slots)}")
        priors[name] = _point(value) if _is_number(value) else parse_prior(name, value)
    try:
        changed: Any = dataclasses.replace(model, priors={**model.priors, **priors})  # type: ignore[type-var]  # a dataclass
    except BadInput as problem:
        raise problem.within("design prior") from None
    designed: Model = changed
    return designed


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _point(value: Any) -> Prior:
    return Prior("Normal", mu=float(value), sigma=_POINT * max(1.0, abs(float(value))))
