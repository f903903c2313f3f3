"""What can be found of a plan without sampling: every fault at once, or what would be run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr
from pydantic import ValidationError

from bayesdep.data.errors import BadInput, Faults, speaking_toml
from bayesdep.data.files import read_whole
from bayesdep.data.tables import refuse_missing_columns
from bayesdep.data.toml_text import LARGEST, read_toml
from bayesdep.inference.sample import estimand_template
from bayesdep.models.parts.scale import in_outcome_units, priors_of
from bayesdep.numerics.distributions import Prior
from bayesdep.plan import Plan, places_of, prepare, prepare_alternatives, read_plan, read_rows
from bayesdep.plan_keys import Data


@dataclass(frozen=True)
class Checked:
    """What was found of a plan.

    Parameters
    ----------
    label
        Study and plan, or the file where that is not known.
    faults
        One sentence for each.
    lines
        What would be run, where there is no fault.
    """

    label: str
    faults: tuple[str, ...]
    lines: tuple[str, ...] = ()


def check_plan(path: Path, *, data: Any = None, out: Path | None = None) -> Checked:
    """Look for everything in a plan that can be found without sampling.

    Parameters
    ----------
    path
        The plan.
    data
        The table of a plan whose source is ``"path"``; without it only the plan itself is checked.
    out
        The directory of its run; by default the plan's own.

    Returns
    -------
    Checked
        With every fault, or with what would be run.
    """
    faults = Faults()
    with faults:
        plan = read_plan(path)
    if faults.found:
        with faults:
            _look_at_table(path)
        return Checked(str(path), _sentences(faults))
    with faults:
        places_of(plan, out or plan.directory, data)
    if plan.needs_data and data is None:
        needs = (f"its table ({plan.data.expects}) is given when it is run; with --data PATH it is checked as well",)
        return Checked(plan.label, _sentences(faults), (plan.study.title, *needs))
    with faults:
        prepared = prepare(plan, data)
        prepare_alternatives(plan, data)
        estimands = estimand_template(plan.model, prepared)
        lines = tuple(_what_would_be_run(plan, read_rows(plan, data), prepared, estimands, out))
    return Checked(plan.label, _sentences(faults), () if faults.found else lines)


def _sentences(faults: Faults) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sentence for one in faults.found for sentence in one.faults))


def _look_at_table(path: Path) -> None:
    """Look for faults in the table of a plan whose other keys are at fault."""
    try:
        written = read_toml(read_whole(path, LARGEST).decode("utf-8-sig"))
        about = Data.model_validate(written.get("data"))
    except (BadInput, OSError, UnicodeDecodeError, ValidationError):
        return  # that is among the faults already
    if about.source == "path":
        return
    from bayesdep.data.sources import read_source
    from bayesdep.designs.register import simulate

    try:
        with speaking_toml():
            made = {**about.model_dump(), "simulate": lambda name, seed: simulate(name, seed=seed).table}
            table = read_source(folder=path.parent, **made)
            refuse_missing_columns(table, {word: (name, "[data.columns]") for word, name in about.columns.items()})
    except BadInput as problem:
        raise problem.within(f"plan '{path}'") from None


def _what_would_be_run(
    plan: Plan, rows: pd.DataFrame, data: xr.Dataset, estimands: xr.Dataset, out: Path | None
) -> Iterator[str]:
    """Say in words what would be run."""
    model, sampling = in_outcome_units(plan.model, data), plan.sampling
    yield plan.study.title
    if plan.study.question:
        yield f"question: {plan.study.question}"
    yield f"table: {len(rows)} rows of {plan.data.source}{'; synthetic' if rows.attrs.get('synthetic') else ''}"
    yield from (f"rows: {line}" for line in str(data.attrs.get("left_out", "")).split("; ") if line)
    yield f"sizes: {', '.join(f'{n} {dim}' for dim, n in data.sizes.items() if n)}"
    yield from (f"note: {line}" for line in str(data.attrs.get("notes", "")).splitlines())
    yield f"model: {model.words}"
    priors = priors_of(plan.model, data)
    yield from (f"    {line}" for line in model.formula if line.split(" ~ ")[0] not in priors)
    for name, slot in plan.model.slots.items():
        yield f"prior of {name}, {slot.meaning}: {prior_in_words(priors[name], slot.units)}"
    for other in plan.alternatives:
        changed = [name for name, prior in other.model.priors.items() if prior != plan.model.priors.get(name)]
        yield f"again under the priors '{other.name}' ({', '.join(changed)}): {other.why}"
    yield f"first asked: {', '.join(plan.model.primary_estimands)}"
    for estimand, values in estimands.data_vars.items():
        yield f"estimand {estimand}: {values.attrs.get('description', '')} ({values.attrs.get('units', '')})"
    yield (
        f"sampling: {sampling.chains} chains of {sampling.draws} draws after {sampling.tune} to tune, "
        f"seed {sampling.seed}{f', by {sampling.sampler}' if sampling.sampler else ''}"
    )
    yield f"would be written to: {out or plan.directory}"


def prior_in_words(prior: Prior, units: str) -> str:
    """Say what a prior expects.

    Parameters
    ----------
    prior
        In the outcome's units.
    units
        The parameter's units.

    Returns
    -------
    str
        The distribution, and where 95% of it lie.

    Examples
    --------
    >>> prior_in_words(Prior("Normal", mu=0, sigma=5), "points")
    'Normal(mu=0, sigma=5), 95% between -9.8 and 9.8 points'
    >>> prior_in_words(Prior("HalfNormal", sigma=1), "points")
    'HalfNormal(sigma=1), 95% below 2 points'
    """
    lower, upper = prior.scipy.support()
    if lower == 0 and upper > 1:
        return f"{prior}, 95% below {prior.scipy.ppf(0.95):.2g} {units}"
    return f"{prior}, 95% between {prior.scipy.ppf(0.025):.2g} and {prior.scipy.ppf(0.975):.2g} {units}"
