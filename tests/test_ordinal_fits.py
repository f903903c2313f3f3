"""Fits of Ordinal beside maximum likelihood in R, recovery of a known truth, and two ways to have patients' levels."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from arviz_stats.base import array_stats
from common import patients

import bayesdep as bd

REFERENCES = Path(__file__).parent / "references"


def reference(model, column="estimate"):
    table = pd.read_csv(REFERENCES / "ordinal_ml.csv").set_index(["model", "term"])[column]
    return table.loc[model]


def logs(fit, name):
    """Draws of the logarithm of odds ratios, by label of their last dim."""
    ratio = fit.tree["estimands"].to_dataset()[name]
    return {
        str(label): np.log(ratio.isel({ratio.dims[-1]: k}).values)
        for k, label in enumerate(ratio[ratio.dims[-1]].values)
    }


WIDE = {"dist": "Normal", "mu": 0, "sigma": 10}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("link", "model"),
    [("cumulative", "polr logistic"), ("continuation", "vglm continuation"), ("adjacent", "vglm adjacent")],
)
def test_flat_priors_give_the_estimates_of_maximum_likelihood(link, model):
    """1,681 people: the posterior's mean lies within 0.1 standard errors of the maximum, its sd near the error."""
    settings = bd.Ordinal(
        categories=["Low", "Medium", "High"], outcome="Sat", count="Freq", link=link,
        covariates="C(Infl, 'Low') + C(Type, 'Tower') + C(Cont, 'Low')", priors={"covariate_effect": WIDE},
    )  # fmt: skip
    fit = bd.fit(settings, pd.read_csv(REFERENCES / "housing.csv"), draws=2500, seed=1, progress=False)
    assert fit.gate.passed
    for name, draws in logs(fit, "covariate_odds_ratio").items():
        term = name.removeprefix("C(").split(",")[0] + name.rsplit("[", 1)[1].removesuffix("]")
        error = reference(model, "se")[term]
        assert array_stats.ess(draws, chain_axis=0, draw_axis=1) >= 4000
        assert draws.mean() == pytest.approx(reference(model)[term], abs=0.1 * error)
        assert draws.std() == pytest.approx(
            error, rel=0.05
        )  # 10,000 draws know an sd to 1%, and R's is the curvature's


@pytest.mark.slow
def test_a_real_trial_over_years_is_as_clmm_has_it():
    settings = bd.Ordinal(
        categories=["none", "treated", "persistent"], outcome="oedema", subject="id", visit="year", covariates="arm",
        priors={"covariate_effect": WIDE, "patient_sd": {"dist": "HalfNormal", "sigma": 20}, "visit_effect": WIDE},
    )  # fmt: skip
    fit = bd.fit(settings, patients("oedema", "tools/ordinal_ml.R"), seed=1, progress=False)
    assert fit.gate.passed
    r, error = reference("clmm oedema"), reference("clmm oedema", "se")
    (draws,) = logs(fit, "covariate_odds_ratio").values()
    # a posterior mean is not the mode: skewness of a sd of 3.7 from 312 patients moves it by some tenths of an error
    assert draws.mean() == pytest.approx(r["armplacebo"], abs=0.2 * error["armplacebo"])
    visits = fit.posterior["visit_effect"].values
    by_year = (visits - visits[..., :1]).mean(axis=(0, 1))[1:]
    for k, value in enumerate(by_year, start=1):
        assert value == pytest.approx(r[f"factor(year){k}"], abs=0.3 * error[f"factor(year){k}"])


def simulated(n, seed, visits=4):
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        own, stage = rng.normal(0, 1.5), int(rng.integers(4))
        for v in range(visits):
            level = own - 0.3 * v + (0.9 if i % 2 else 0.0) + (0.0, 1.0, 1.2, 1.5)[stage]
            rows.append({"subject": f"p{i}", "arm": ("placebo", "drug")[i % 2], "visit": v + 1, "stage": stage,
                         "outcome": str(int((level + rng.logistic() > np.array([-1.0, 0.5, 2.0])).sum()))})  # fmt: skip
    return pd.DataFrame(rows)


def settings(**how):
    return bd.Ordinal(
        categories=["0", "1", "2", "3"], reference="placebo", subject="subject", visit="visit", covariates="mo(stage)",
        **how,
    )  # fmt: skip


@pytest.mark.slow
def test_a_monotone_effect_is_as_brms_has_it():
    """400 simulated people (tools/ordinal_monotone.R): means within 0.1 posterior sds of brms' `mo(stage) + arm`.

    Both sets of draws say a mean to a few hundredths of an sd, and an sd to about 1%: a tenth of an sd leaves room for
    the priors of thresholds, which differ.
    """
    wide = {"dist": "Normal", "mu": 0, "sigma": 5}
    model = bd.Ordinal(
        categories=["0", "1", "2", "3"], reference="placebo", covariates="mo(stage)",
        priors={"arm_effect": wide, "monotone_effect": wide},
    )  # fmt: skip
    fit = bd.fit(model, pd.read_csv(REFERENCES / "ordinal_monotone_data.csv"), draws=1000, seed=1, progress=False)
    assert fit.gate.passed
    found = {
        "drug": np.log(fit.estimands["odds_ratio"].values).reshape(4, -1),
        "stage": np.log(fit.estimands["monotone_odds_ratio"].values).reshape(4, -1),
    }
    found |= {f"increment{k + 1}": fit.estimands["increment"].values[..., k].reshape(4, -1) for k in range(3)}
    brms = pd.read_csv(REFERENCES / "ordinal_monotone.csv").set_index("term")
    for name, draws in found.items():
        mean, sd, error = brms.loc[name, ["mean", "sd", "mcse"]].astype(float)
        assert np.hypot(error, array_stats.mcse(draws, chain_axis=0, draw_axis=1)) < 0.05 * sd
        assert abs(draws.mean() - mean) < 0.1 * sd, name
        assert abs(draws.std() - sd) < 0.1 * sd, name


@pytest.mark.slow
def test_integrated_and_sampled_patients_have_one_posterior():
    table = simulated(80, 1, visits=3)
    fits = [
        bd.fit(settings(patient_effects=how), table, draws=1500, seed=2, progress=False)
        for how in ("integrated", "sampled")
    ]
    assert all(f.gate.passed for f in fits)
    for name in ("odds_ratio", "monotone_odds_ratio", "patient_sd"):
        one, two = (np.log(f.tree["estimands"].to_dataset()[name].values).reshape(4, 1500, -1) for f in fits)
        for k in range(one.shape[2]):
            errors = [array_stats.mcse(x[..., k], chain_axis=0, draw_axis=1) for x in (one, two)]
            assert abs(one[..., k].mean() - two[..., k].mean()) < 4 * np.hypot(*errors)


@pytest.mark.slow
def test_a_known_truth_is_recovered():
    """500 patients: log odds ratio 0.9 at every visit, 1.5 from the lowest stage to the highest, two thirds at once."""
    fit = bd.fit(settings(), simulated(500, 3), seed=3, progress=False)
    assert fit.gate.passed
    estimands = fit.tree["estimands"].to_dataset()
    for name, truth in (("odds_ratio", np.exp(0.9)), ("monotone_odds_ratio", np.exp(1.5)), ("patient_sd", 1.5)):
        draws = estimands[name].values.reshape(4000, -1)
        lower, upper = np.quantile(draws, [0.0005, 0.9995], axis=0)
        assert ((lower < truth) & (truth < upper)).all()
    share = estimands["increment"].values.reshape(4000, 3)
    lower, upper = np.quantile(share, [0.0005, 0.9995], axis=0)
    truth = np.array([1.0, 0.2, 0.3]) / 1.5
    assert ((lower < truth) & (truth < upper)).all()
