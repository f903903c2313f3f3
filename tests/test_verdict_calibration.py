"""How often the verdict warns of models that are right: data from the prior predictive distribution of each design.

A warning is a tail probability below 0.005 over the number of what is judged, so one data set in 200 would have one if
every tail were exact. They are not (500 prior draws, a normal scale): the bound is 5% and two standard errors.
"""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import special, stats

import bayesdep as bd
from bayesdep.inference.evaluate import from_prior
from bayesdep.inference.tails import Distribution
from bayesdep.inference.verdict import LEVEL
from bayesdep.models.cytokines.checks import law_checks

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


ANALYTES, PEOPLE = 41, (26, 33)  # as Kiraly 2017 measured


def laws_posterior(law, y, error, rng, draws=500):
    """Draws of spread and degrees of freedom given estimates with known errors, by sums on a grid."""
    tau, nu = np.geomspace(0.005, 4, 40), np.geomspace(2.05, 60, 8) if law == "student" else np.array([np.inf])
    mean = np.linspace(-0.8, 0.8, 41) + np.median(y)
    log_weight = np.empty((len(nu), len(tau), len(mean)))
    for k, v in enumerate(nu):
        precision = [1.0] if np.isinf(v) else stats.chi2.ppf((np.arange(12) + 0.5) / 12, v) / v
        variance = tau[:, None, None] ** 2 / np.asarray(precision)[:, None] + error**2
        density = np.exp(-((y - mean[:, None, None]) ** 2) / variance[:, None] / 2) / np.sqrt(variance[:, None])
        log_weight[k] = np.log(density.mean(axis=2) + 1e-300).sum(axis=-1) - (mean / 1.5) ** 2 / 2
        log_weight[k] += (stats.halfnorm.logpdf(tau) + np.log(tau))[:, None]
        log_weight[k] += 0 if np.isinf(v) else stats.gamma.logpdf(v, 2, scale=10) + np.log(v)
    weight = special.softmax(log_weight).sum(axis=-1)
    at = rng.choice(weight.size, draws, p=weight.ravel() / weight.sum())
    found = {"group_sd": tau[at % len(tau)] * np.exp(rng.uniform(-0.5, 0.5, draws) * np.log(tau[1] / tau[0]))}
    return found | ({"group_nu": nu[at // len(tau)]} if law == "student" else {})


@pytest.mark.slow
@pytest.mark.parametrize("law", ["normal", "student"])
def test_checks_of_the_law_of_effects_seldom_warn_of_data_from_it(law):
    """The published design, without limits, from the prior; residual and people's sds are taken as known.

    Two checks are judged, and a fit judges more, so that fewer warn there.
    """
    names = [f"a{a:02d}" for a in range(ANALYTES)]
    rows = {
        "analyte": np.tile(names, sum(PEOPLE)),
        "subject": np.repeat([f"s{i:02d}" for i in range(sum(PEOPLE))], ANALYTES),
        "group": np.repeat(["HC", "TRD"], np.array(PEOPLE) * ANALYTES),
        "concentration": np.exp(np.random.default_rng(0).normal(size=sum(PEOPLE) * ANALYTES)),
    }
    model = bd.Cytokines(analyte="analyte", subject="subject", group="group", reference="HC", effects=law)
    data = model.prepare(pd.DataFrame(rows))
    person = np.array([int(str(s)[1:]) for s in data["subject"].values])[data["subject_of"].values]
    place = (person, data["analyte_of"].values)
    found = []
    for k in range(SETS):
        rng = np.random.default_rng([12, k])
        spread, people, mean = abs(rng.normal()), abs(rng.normal()), rng.normal(0, 1.5)
        residual = np.exp(rng.normal(np.log(0.8), 0.6) + abs(rng.normal(0, 0.5)) * rng.normal(size=ANALYTES))
        nu = stats.gamma(2, scale=10).isf(rng.random() * stats.gamma(2, scale=10).sf(2))
        unit = rng.normal(size=ANALYTES) if law == "normal" else rng.standard_t(nu, ANALYTES)
        y = (mean + spread * unit) * np.repeat([0, 1], PEOPLE)[:, None] + people * rng.normal(size=sum(PEOPLE))[:, None]
        y = y + residual * rng.normal(size=y.shape)
        simulated = data.assign(lower=data["lower"].copy(data=y[place]), upper=data["upper"].copy(data=y[place]))
        crude = y[PEOPLE[0] :].mean(axis=0) - y[: PEOPLE[0]].mean(axis=0)
        draws = laws_posterior(law, crude, residual * np.sqrt(sum(1 / n for n in PEOPLE)), rng)
        fixed = {"subject_sd": np.full(500, people), "residual_sd": np.tile(residual, (500, 1))}
        dims = ("chain", "draw", "analyte")
        posterior = xr.Dataset({n: (dims[: x.ndim + 1], x[None]) for n, x in (draws | fixed).items()})
        found.append([])
        for check in law_checks(model, simulated):
            replicated = check.replicated(posterior, np.random.default_rng(k))
            p = Distribution(replicated).two_sided(float(check.statistic(np.zeros(3))))
            found[-1] += [check.name] if p < LEVEL / 2 else []
    print(law, sum(map(bool, found)), "of", SETS, [names for names in found if names])
    assert_seldom(np.mean([bool(names) for names in found]))
