"""How often the verdict warns of models that are right: data from the prior predictive distribution of each design.

A warning is a tail probability below 0.005 over the number of what is judged, so one data set in 200 would have one if
every tail were exact. They are not (500 prior draws, a normal scale): the bound is 5% and two standard errors.
"""

import numpy as np
import pandas as pd
import pytest

import bayesdep as bd
from bayesdep.inference.evaluate import from_prior

SETS = 200
SCHOOLS = {
    "mu": bd.Prior("Normal", mu=0, sigma=10),
    "tau": bd.Prior("HalfNormal", sigma=10),
}


def warned(model, data, observed, variable, seed, **sampling):
    """Which of 200 data sets from the prior get a warning, and by what."""
    (drawn,) = from_prior([model.build(data)[variable]], SETS, seed=seed)
    found = []
    for k, values in enumerate(drawn):
        values = np.where(np.isnan(data[observed].values), np.nan, values)
        simulated = data.assign({observed: data[observed].copy(data=values.astype(data[observed].dtype))})
        fit = bd.fit(model, simulated, seed=k, **sampling)
        found.append([f"{x.kind}: {x.name}" for x in fit.verdict.warnings])
    print(type(model).__name__, sum(map(bool, found)), "of", SETS, [names for names in found if names])
    return np.mean([bool(names) for names in found])


def assert_seldom(share):
    assert share <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / SETS)


@pytest.mark.slow
def test_meta_seldom_warns_of_data_from_its_prior():
    """Eight schools, by quadrature."""
    model = bd.Meta(measure="difference", units="points", study="school", priors=SCHOOLS)
    data = model.prepare(bd.load("eight_schools_rubin1981"))
    assert_seldom(warned(model, data, "effect", "effect", 1, draws=250, sampler="exact"))


@pytest.mark.sampling
def test_screen_seldom_warns_of_data_from_its_prior():
    """FGF-2's two-by-two table, exactly."""
    model = bd.Screen(condition="responder", positives="below_34_pg_per_mL")
    data = model.prepare(bd.load("kiraly2017_fgf2_roc"))
    assert_seldom(warned(model, data, "positives", "positives", 2, draws=250))


@pytest.mark.slow
def test_pooled_counts_seldom_warn_of_data_from_their_prior():
    """Raison's responders by arm and subgroup, sampled with one compiled model."""
    model = bd.Counts(control="placebo", events="responders")
    data = model.prepare(bd.load("raison2013_responders"))
    assert_seldom(warned(model, data, "events", "events", 3, draws=250, tune=500))


@pytest.mark.slow
def test_crossover_seldom_warns_of_data_from_its_prior():
    """Thirty patients, two periods, one day, in units that the prior is stated in; sampled with one compiled model."""
    rng, n = np.random.default_rng(4), 30
    rows = {
        "subject": np.repeat([f"p{i}" for i in range(n)], 2),
        "period": np.tile([1, 2], n),
        "day": 1,
        "treatment": np.concatenate([("placebo", "drug") if i % 2 else ("drug", "placebo") for i in range(n)]),
        "outcome": rng.normal(25, 8, 2 * n),
    }
    model = bd.Crossover(reference="placebo")
    data = model.prepare(pd.DataFrame(rows))
    assert_seldom(warned(model, data, "outcome", "outcome_by_period", 5, draws=250, tune=500))
