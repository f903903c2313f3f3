"""Simulation-based calibration where posteriors are known exactly: truths from the prior, data from the model.

No sampler is involved: a probability integral transform that is not uniform is
an error of the mathematics. Talts et al. 2018 (arXiv:1804.06788). Sampled models: test_calibration.py.
"""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from common import BCG
from scipy import stats

import bayesdep as bd
from bayesdep.models.meta.model import Meta
from bayesdep.models.screen.model import Screen
from bayesdep.numerics.distributions import Prior

pytestmark = pytest.mark.slow

TRUTHS = 400


def bcg():
    model = Meta(measure="log-risk-ratio", input="counts", **BCG)
    return model, model.prepare(bd.load("bcg_colditz1994"))


def ketamine():
    """The four trials that state a difference in MADRS points, here with a standard error each."""
    table = bd.load("ketamine_trials").dropna(subset=["difference", "se"]).iloc[:4]
    priors = {"mu": Prior("Normal", mu=0, sigma=5), "tau": Prior("HalfNormal", sigma=3)}
    model = Meta(measure="difference", units="MADRS points", study="trial", effect="difference", priors=priors)
    return model, model.prepare(table)


def assert_uniform(pits):
    """Kolmogorov-Smirnov at 0.001 for each named transform."""
    for name, values in pits.items():
        values = np.asarray(values)
        assert ((values >= 0) & (values <= 1)).all()
        p = stats.kstest(values, "uniform").pvalue
        assert p > 1e-3, f"{name}: KS p = {p:.2g}"


def coverage(pits):
    return {name: float(np.mean((np.asarray(v) > 0.025) & (np.asarray(v) < 0.975))) for name, v in pits.items()}


@pytest.mark.parametrize("design", [bcg, ketamine])
def test_meta_quadrature_is_calibrated_at_the_published_design(design):
    model, data = design()
    assert data.sizes["study"] == {"bcg": 13, "ketamine": 4}[design.__name__]
    rng = np.random.default_rng(100)
    se, first = data["se"].values, str(data["study"].values[0])
    pits = {name: [] for name in ("mu", "tau", "theta_new", "theta", "i2")}
    for _ in range(TRUTHS):
        mu = model.priors["mu"].scipy.rvs(random_state=rng)
        tau = model.priors["tau"].scipy.rvs(random_state=rng)
        theta = rng.normal(mu, tau, len(se))
        simulated = data.assign(effect=data["effect"].copy(data=rng.normal(theta, se)))
        marginals = model.exact(simulated).marginals
        for name, truth in (("mu", mu), ("tau", tau), ("theta_new", rng.normal(mu, tau))):
            pits[name].append(float(marginals[name, ()].cdf(truth)))
        pits["theta"].append(float(marginals["theta", (("study", first),)].cdf(theta[0])))
        typical = (len(se) - 1) * (se**-2).sum() / ((se**-2).sum() ** 2 - (se**-4).sum())
        pits["i2"].append(float(marginals["i2", ()].cdf(100 * tau**2 / (tau**2 + typical))))
    assert_uniform(pits)
    for name, share in coverage(pits).items():
        assert 0.90 <= share <= 0.99, name  # 400 truths: 0.95 has a standard error of 0.011


def test_a_wrong_prior_is_seen():
    """The same test with a posterior that takes tau ~ N+(0.1) for N+(0.5) must fail, or it shows nothing."""
    model, data = bcg()
    wrong = dataclasses.replace(model, priors={"tau": Prior("HalfNormal", sigma=0.1)})
    rng = np.random.default_rng(101)
    pits = []
    for _ in range(TRUTHS // 4):
        mu = model.priors["mu"].scipy.rvs(random_state=rng)
        tau = model.priors["tau"].scipy.rvs(random_state=rng)
        effect = rng.normal(mu, np.sqrt(tau**2 + data["se"].values ** 2))
        marginals = wrong.exact(data.assign(effect=data["effect"].copy(data=effect))).marginals
        pits.append(float(marginals["tau", ()].cdf(tau)))
    assert stats.kstest(pits, "uniform").pvalue < 1e-3


def test_transitions_with_rows_of_their_own_are_calibrated():
    """Two arms, three states, flat rows; 40 patients, five visits; every marginal of the exact posterior."""
    model = bd.Transitions(states=["a", "b", "c"], reference="x", effects="free")
    rng = np.random.default_rng(103)
    visits = pd.DataFrame([(f"p{i}", "xy"[i % 2], v) for i in range(40) for v in range(5)],
                          columns=["subject", "arm", "visit"])  # fmt: skip
    data = model.prepare(visits.assign(state=[("a", "b", "c")[(i + i // 5) % 3] for i in range(200)]))
    arm = data["arm_of"].values
    pits = {}
    for _ in range(TRUTHS):
        row = rng.dirichlet(np.ones(3), size=(2, 3))
        states = data["state_at_visit"].values.copy()
        for v in range(1, 5):
            p = row[arm, states[:, v - 1]]
            states[:, v] = (rng.random((40, 1)) > p.cumsum(axis=1)[:, :2]).sum(axis=1)
        simulated = data.assign(state_at_visit=data["state_at_visit"].copy(data=states))
        for (_, where), marginal in model.exact(simulated).marginals.items():
            at = tuple(list(data[dim].values).index(label) for dim, label in where)
            pits.setdefault(where, []).append(float(marginal.cdf(row[at])))
    assert len(pits) == 18
    for where, values in pits.items():
        assert stats.kstest(values, "uniform").pvalue > 1e-3 / 18, where
    for where, share in coverage(pits).items():
        assert 0.90 <= share <= 0.99, where


def test_screen_is_calibrated_at_the_fgf2_design():
    """19 responders and 12 others, truths from the Jeffreys priors; every estimand."""
    model = Screen(condition="responder")
    rng = np.random.default_rng(102)
    pits = {}
    for _ in range(TRUTHS):
        u, v = rng.beta(0.5, 0.5, 2)
        positives = [rng.binomial(19, u), rng.binomial(12, 1 - v)]
        table = pd.DataFrame({"group": ["responder", "other"], "positives": positives, "n": [19, 12]})
        data = model.prepare(table)
        one = {
            name: xr.DataArray([[x]], dims=("chain", "draw")) for name, x in (("sensitivity", u), ("specificity", v))
        }
        truths = model.estimands(xr.Dataset(one), data)
        for (name, _), marginal in model.exact(data).marginals.items():
            pits.setdefault(name, []).append(float(marginal.cdf(float(truths[name][0, 0]))))
    assert set(pits) == set(truths)
    assert_uniform(pits)
    for name, share in coverage(pits).items():
        assert 0.90 <= share <= 0.99, name
