"""What several test files share: trials to read, changes of a table, and draws of a model's parameters."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesdep as bd
from bayesdep.inference.computation import Computation
from bayesdep.inference.evaluate import at_draws, from_prior
from bayesdep.inference.labelled import label_draws
from bayesdep.inference.native import to_constrained

BCG = {
    "study": "trial",
    "events_treated": "tb_vaccinated",
    "n_treated": "n_vaccinated",
    "events_control": "tb_control",
    "n_control": "n_control",
}
SCREEN_PLAN = """\
[study]
name = "demo"
title = "A two-by-two table"

[data]
source = "published:kiraly2017_fgf2_roc"

[data.columns]
positives = "below_34_pg_per_mL"

[model]
family = "screen"
condition = "responder"
"""
SCHOOLS_PLAN = """\
[study]
name = "demo"
title = "Eight schools, sampled"

[data]
source = "published:eight_schools_rubin1981"

[data.columns]
study = "school"

[model]
family = "meta"
measure = "difference"
units = "SAT-V points"
unit = "school"

[priors]
mu = { dist = "Normal", mu = 0, sigma = 50 }
tau = { dist = "HalfNormal", sigma = 25 }

[sampling]
sampler = "nutpie"
"""


def bcg_log_risk_ratios():
    """BCG's log risk ratios and standard errors, by hand."""
    table = bd.load("bcg_colditz1994")
    a, n1, c, n0 = (table[v].to_numpy(float) for v in ("tb_vaccinated", "n_vaccinated", "tb_control", "n_control"))
    return np.log(a / n1) - np.log(c / n0), np.sqrt(1 / a - 1 / n1 + 1 / c - 1 / n0)


def eight_schools():
    """The schools' effects and standard errors."""
    table = bd.load("eight_schools_rubin1981")
    return table["effect"].to_numpy(float), table["se"].to_numpy(float)


def same_computation(one, other):
    """Whether one compiled sampler serves both models."""
    return Computation.of(one).same_as(Computation.of(other))


def posterior_at(model, points):
    """Every parameter, on its own scale, at unconstrained points of the model: the draws of one chain."""
    raw = {rv.name: np.stack([p[model.rvs_to_values[rv].name] for p in points]) for rv in model.free_RVs}
    values = to_constrained(model, raw)
    found = at_draws(model.deterministics, {model[k]: v for k, v in values.items()}) if model.deterministics else []
    values |= {v.name: x for v, x in zip(model.deterministics, found, strict=True)}
    return label_draws({name: x[None] for name, x in values.items()}, model)


def draws_of(model, count=3, seed=1, scale=0.5):
    """Random unconstrained points, and every parameter there on its own scale."""
    rng = np.random.default_rng(seed)
    start = model.initial_point()
    points = [
        {v.name: scale * rng.normal(size=np.shape(start[v.name])) for v in model.value_vars} for _ in range(count)
    ]
    return points, posterior_at(model, points)


def prior_draws(model, count=5, seed=1):
    """Every parameter, and what is drawn given it, from the prior: something to derive estimands from."""
    names = [v.name for v in model.unobserved_RVs]
    values = from_prior([model[name] for name in names], count, seed=seed)
    return label_draws({name: x[None] for name, x in zip(names, values, strict=True)}, model)


def changed(**columns):
    """A change of a table: columns put in, as `DataFrame.assign` takes them."""
    return lambda table: table.assign(**columns)


def with_cell(row, name, value):
    """A change of a table: one cell, whatever the type of its column."""

    def change(table):
        table = table.copy()
        table[name] = table[name].astype(object)
        table.loc[row, name] = value
        return table

    return change


def patients(name: str, script: str) -> pd.DataFrame:
    """Rows of real patients that a script writes from R's survival; the repository holds none, only R's answers."""
    file = Path(__file__).parent / "references" / f"{name}.csv"
    if not file.is_file():
        pytest.skip(f"data of patients are not in the repository; {script} writes tests/references/{name}.csv")
    return pd.read_csv(file)
