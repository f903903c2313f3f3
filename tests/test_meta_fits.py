"""Meta's terms sampled, against quadrature: the exact posterior, or a grid over the pooled effect and the spread."""

import math

import numpy as np
import pandas as pd
import pytest
from arviz_stats.base import array_stats
from common import BCG
from scipy import special

import bayesdep as bd
from bayesdep.models.meta import student_effects
from bayesdep.models.meta.binomial_pair import log_marginal_single
from bayesdep.models.meta.model import Meta
from bayesdep.reporting.estimands import oracle

pytestmark = pytest.mark.sampling

Z = 4  # Monte Carlo standard errors: one in 16,000 strays further


def distances(fit, expected):
    """Mean and sd of each estimand against expected ones, in Monte Carlo standard errors."""
    found = {}
    for name, (mean, sd) in expected.items():
        draws = fit.estimands[name].transpose("chain", "draw").values
        for method, ours, theirs in (("mean", draws.mean(), mean), ("sd", draws.std(ddof=1), sd)):
            error = float(array_stats.mcse(draws, chain_axis=0, draw_axis=1, method=method))
            found[name, method] = (ours - theirs) / error
    return found


def on_a_grid(log_likelihood, model, mu, log_tau):
    """Posterior mean and sd of mu and tau by the trapezoidal rule over mu and log tau."""
    m, u = np.meshgrid(mu, log_tau, indexing="ij")
    m, t = m.ravel(), np.exp(u.ravel())
    height = log_likelihood(m, t).sum(axis=1)
    height += model.priors["mu"].scipy.logpdf(m) + model.priors["tau"].scipy.logpdf(t) + np.log(t)
    w = np.exp(height - special.logsumexp(height))
    return {
        name: (w @ x, math.sqrt(w @ (x - w @ x) ** 2)) for name, x in (("mu", m), ("tau", t))
    }  # fmt: skip


def test_covariates_and_clusters_sampled_are_those_by_quadrature():
    rng = np.random.default_rng(1)
    trial = np.repeat(np.arange(8), [3, 2, 2, 1, 3, 2, 4, 1])
    year = 2000 + 2 * trial
    se = rng.uniform(0.1, 0.3, len(trial))
    effect = 0.3 + 0.05 * (year - 2008) + 0.3 * rng.normal(size=8)[trial] + rng.normal(0, np.hypot(se, 0.15))
    table = pd.DataFrame({"study": range(len(trial)), "trial": trial, "year": year, "effect": effect, "se": se})
    model = Meta(measure="standardised-difference", cluster="trial", covariates="year")
    fit = bd.fit(model, table, sampler="nutpie", progress=False)
    assert fit.gate.passed, fit.gate.sentence
    found = oracle(fit)
    assert {"mu", "tau", "tau_cluster", "slope", "intercept", "theta", "theta_new"} <= set(found["estimand"])
    # a hundred correlated statistics, whose own Monte Carlo errors are known to a tenth
    far = found[found["z"].abs() > 5]
    assert far.empty, far
    assert (found["z"] ** 2).mean() < 2
    assert fit.tree["log_likelihood"]["by_cluster"].dims == ("chain", "draw", "cluster")


def test_student_effects_sampled_are_those_on_a_grid():
    """One school far out of the line."""
    table = bd.load("eight_schools_rubin1981").assign(se=lambda t: t["se"] / 5, effect=lambda t: t["effect"] / 5)
    table.loc[0, "effect"] = 20.0
    priors = {"mu": {"dist": "Normal", "mu": 0, "sigma": 10}, "tau": {"dist": "HalfNormal", "sigma": 3}}
    model = Meta(measure="difference", units="points", study="school", heterogeneity="student-t", priors=priors)
    fit = bd.fit(model, table, draws=2000, progress=False)
    assert fit.gate.passed, fit.gate.sentence
    y, se = fit.data["effect"].values, fit.data["se"].values
    expected = on_a_grid(
        lambda m, t: student_effects.log_marginal(y, se, m, t, np.full_like(t, 4.0)),
        model, np.linspace(-12, 16, 141), np.linspace(-14, 3.2, 120),
    )  # fmt: skip
    far = {k: z for k, z in distances(fit, expected).items() if abs(z) > Z}
    assert not far
    # the outlier pulls less than under normal effects
    normal = Meta(**{**{"measure": "difference", "units": "points", "study": "school"}, "priors": priors})
    assert normal.exact(fit.data).marginals["mu", ()].mean > expected["mu"][0] + 0.3


def test_single_arms_sampled_are_those_on_a_grid():
    model = Meta(
        measure="log-odds", input="events", likelihood="binomial", study="trial", events="tb_control", n="n_control"
    )
    fit = bd.fit(model, bd.load("bcg_colditz1994"), progress=False)
    assert fit.gate.passed, fit.gate.sentence
    events, n = fit.data["events"].values, fit.data["n"].values
    expected = on_a_grid(
        lambda m, t: log_marginal_single(events, n, m, t), model, np.linspace(-7, -0.5, 61), np.linspace(-1, 2, 61)
    )
    far = {k: z for k, z in distances(fit, expected).items() if abs(z) > Z}
    assert not far


def test_meta_regression_of_counts_agrees_with_the_gaussian_one_on_large_trials():
    """BCG's slope on latitude: two likelihoods of the same counts, most of which are large."""
    exact = Meta(measure="log-odds-ratio", input="counts", covariates="absolute_latitude", **BCG)
    binomial = Meta(
        measure="log-odds-ratio", input="counts", covariates="absolute_latitude", likelihood="binomial",
        control_risk=0.02, **BCG,
    )  # fmt: skip
    fit = bd.fit(binomial, bd.load("bcg_colditz1994"), progress=False)
    assert fit.gate.passed, fit.gate.sentence
    at = (("covariate", "absolute_latitude"),)
    gaussian = exact.exact(exact.prepare(bd.load("bcg_colditz1994"))).marginals["slope", at]
    slope = fit.estimands["slope"].values
    assert slope.mean() == pytest.approx(gaussian.mean, abs=0.2 * gaussian.sd)
    table = bd.summarise(fit).set_index("estimand")
    # at a control risk of 2% a number needed to treat is one over the risk difference, side and all
    assert table.loc["nnt", "median"] == pytest.approx(1 / table.loc["risk_difference", "median"], rel=1e-9)
    assert table.loc["risk_treated", "median"] < 0.02
