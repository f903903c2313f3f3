"""Fits of pooled patients: against restricted maximum likelihood, the plans, moderators one at a time, conversions."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesdep as bd
from bayesdep.criticism.sequential import fit_each_moderator
from bayesdep.inference.evaluate import from_prior
from bayesdep.models.patient_meta.likelihood import log_sds_of_studies
from bayesdep.models.patient_meta.model import PatientMeta
from bayesdep.models.patient_meta.quadratic import as_quadratic, rough_interactions
from bayesdep.reporting.figures.patient_meta import plot_moderators, plot_study_effects
from bayesdep.reporting.figures.register import png

HERE = Path(__file__).parent
COLUMNS = {"reference": "control", "outcome": "improvement", "units": "% improvement", "baseline": "madrs_baseline"}
QUICK = {"draws": 1000, "tune": 1000, "seed": 1, "progress": False}


@functools.cache
def table():
    return bd.simulate("price2022", seed=1).table


def reml(model, time):
    """What lme4 found: tools/patient_meta_reml.R on this table."""
    stored = pd.read_csv(HERE / "references" / "patient_meta_reml.csv")
    return stored[(stored["model"] == model) & (stored["time"] == time)].set_index("term")


def normal(sigma):
    return bd.Prior("Normal", mu=0, sigma=sigma)


@pytest.mark.parametrize("time", ["rapid", "post-rapid"])
@pytest.mark.parametrize("model", ["core", "trd"])
def test_at_remls_spreads_the_coefficients_are_its_generalised_least_squares(model, time):
    """The same likelihood as lme4's: given its variances, estimates and standard errors are the same."""
    stored = reml(model, time)
    moderators = [] if model == "core" else ["trd"]
    data = PatientMeta(**COLUMNS, times=[time], moderators=moderators, study_levels="random").prepare(table())
    sds = [stored.loc[f"sd study {name}", "estimate"] for name in ("(Intercept)", "treated")]
    rho = stored.loc["correlation", "estimate"]
    # lme4's levels are those of the controls: midway between the arms, a study's own has half of its own effect more
    midway = np.array([[1, 0.5], [0, 1]])
    root = np.linalg.cholesky(midway @ np.diag(sds) @ [[1, rho], [rho, 1]] @ np.diag(sds) @ midway.T)
    sd = np.full((1, data.sizes["study"], 1), stored.loc["sd Residual", "estimate"])
    a, b, _ = as_quadratic(root[None], np.zeros(1), sd, data)
    covariance = np.linalg.inv(a[0].sum(axis=0))
    found = covariance @ b[0].sum(axis=0)
    terms = ["(Intercept)", "a", "base"] + (["x", "a:x"] if moderators else [])
    np.testing.assert_allclose(found, stored.loc[terms, "estimate"], atol=2e-4)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), stored.loc[terms, "se"], rtol=2e-3)


@pytest.mark.sampling
def test_effects_agree_with_restricted_maximum_likelihood():
    """Under flat-ish priors and one residual sd for all studies, within 0.1 standard errors."""
    flat = {name: normal(10) for name in ("intercept", "effect", "baseline_slope")}
    flat |= {name: bd.Prior("HalfNormal", sigma=0.001) for name in ("residual_spread",)}
    flat |= {name: bd.Prior("Uniform", lower=0, upper=5) for name in ("tau_intercept", "tau_effect")}
    stored = reml("core", "rapid")
    model = PatientMeta(**COLUMNS, times=["rapid"], lkj=1, study_levels="random", priors=flat)
    fit = bd.fit(model, table(), draws=1500, seed=1, progress=False)
    assert fit.gate.passed, fit.gate.sentence
    found = fit.estimands["effect"].values
    assert found.mean() == pytest.approx(stored.loc["a", "estimate"], abs=0.1 * stored.loc["a", "se"])
    slope = fit.estimands["baseline_slope"].values
    assert slope.mean() == pytest.approx(stored.loc["base", "estimate"], abs=0.1 * stored.loc["base", "se"])


@functools.cache
def joint():
    model = PatientMeta(**COLUMNS, moderators=["trd", "age"], split=False, effects="normal")
    return bd.fit(model, table(), **QUICK)


@functools.cache
def one_by_one():
    return fit_each_moderator(PatientMeta(**COLUMNS, split=False), table(), ["trd", "age"], **QUICK)


@pytest.mark.sampling
def test_one_moderator_at_a_time_is_a_fit_with_that_one_alone():
    found = one_by_one()
    assert list(found["moderator"]) == ["trd", "trd", "age", "age"]
    assert found.attrs == {"gate_passed": True, "synthetic": True}
    alone = bd.fit(PatientMeta(**COLUMNS, split=False, moderators=["age"]), table(), **QUICK)
    draws = alone.estimands["interaction"].sel(part="age", time="rapid").values
    row = found[(found["moderator"] == "age") & (found["time"] == "rapid")].iloc[0]
    assert row["estimate"] == pytest.approx(draws.mean(), abs=1e-12)
    assert row["prob_gt_0"] == pytest.approx((draws > 0).mean(), abs=1e-12)
    assert (row["patients"], row["studies"]) == (720, 17)
    later = found[(found["moderator"] == "age") & (found["time"] == "post-rapid")].iloc[0]
    assert later["patients"] == 673
    assert row["slope_treated"] - row["slope_control"] == pytest.approx(row["estimate"], abs=1e-12)


@pytest.mark.sampling
def test_moderator_forest_sets_both_side_by_side():
    fit, sequential = joint(), one_by_one()
    axes = plot_moderators(fit, sequential).axes
    dots = [line.get_xydata() for line in axes[0].lines if line.get_marker() == "o"]
    rapid = sequential[sequential["time"] == "rapid"]
    np.testing.assert_allclose(sorted(dots[0][:, 0]), sorted(rapid["estimate"]))
    medians = fit.estimands["interaction"].sel(time="rapid").median(("chain", "draw")).values
    np.testing.assert_allclose(dots[1][:, 0], medians)
    assert len(png(plot_moderators(fit))) > 10_000


@pytest.mark.sampling
def test_moderator_forest_sets_estimates_without_pooling_beside_the_pooled_ones():
    fit = joint()
    axes = plot_moderators(fit).axes
    for t, panel in enumerate(axes):
        dots = {line.get_label(): line.get_xdata() for line in panel.lines if line.get_marker() == "o"}
        data = fit.data  # at typical variances: least squares of patients is tested with rough_interactions
        expected, _ = rough_interactions(data, log_sds_of_studies(data)[0])
        np.testing.assert_allclose(dots["jointly, not pooled"], expected[:, t])
        assert np.abs(dots["jointly, pooled (normal)"]).sum() < np.abs(expected[:, t]).sum()


@pytest.mark.sampling
def test_study_effects_are_shrunken_towards_the_pooled_one():
    fit = joint()
    axes = plot_study_effects(fit).axes[0]
    model = next(line for line in axes.lines if line.get_label() == "in the model").get_xdata()
    crude, _ = fit.model.forest.crude(fit.data)
    assert np.std(model) < 0.8 * np.nanstd(crude[:17])


@pytest.mark.sampling
def test_what_a_conversion_does_not_know_widens_intervals():
    trials = table()
    tables = bd.convert_trials(
        trials, bd.HRSD_17_TO_MADRS, where=trials["scale"] == "HRSD-17", given=("hrsd_baseline", "hrsd"),
        to=("madrs_baseline", "madrs"), improvement="improvement", sets=3,
    )  # fmt: skip
    model = PatientMeta(**COLUMNS, times=["rapid"])
    found = bd.check_missing_information(bd.fit(model, tables, progress=False))
    assert found.attrs == {"gate_passed": True, "tables": 3, "synthetic": True, "dims": ["time", "study"]}
    effect = found[found["estimand"] == "effect"].iloc[0]
    assert effect["sd"] >= 0.99 * effect["sd_within"]
    # only trials that were converted move much
    moved = found[found["estimand"] == "study_effect"].set_index("study")["sd_between"]
    converted = trials.loc[trials["scale"] == "HRSD-17", "study"].unique()
    assert moved[converted].mean() > 3 * moved.drop(converted).mean()


@pytest.mark.sampling
def test_odds_ratio_and_number_needed_to_treat_agree():
    model = PatientMeta(reference="control", outcome="improvement", times=["rapid"], at_least=50, study_levels="random")
    fit = bd.fit(model, table(), **QUICK)
    assert fit.gate.passed, fit.gate.sentence
    found = fit.estimands
    np.testing.assert_allclose(found["nnt"] * found["risk_difference"], 1, rtol=1e-12)
    np.testing.assert_allclose(np.log(found["odds_ratio"]), found["effect"], atol=1e-12)
    # crude: 46% of patients respond on ketamine in the design, 23% on control
    y = table()[table()["time"] == "rapid"]
    crude = (y["improvement"] >= 50).groupby(y["arm"]).mean()
    risk = found["risk"].mean(("chain", "draw", "time"))
    np.testing.assert_allclose(risk, crude[["control", "ketamine"]], atol=0.04)
    assert {"events"} == set(fit.tree["posterior_predictive"].to_dataset().data_vars)


@pytest.mark.parametrize("binary", [False, True])
def test_priors_can_be_drawn_without_data(binary):
    how = {"study_levels": "random"} | ({"times": ["rapid"], "at_least": 50} if binary else {})
    model = PatientMeta(**COLUMNS, **how)
    built = model.build(model.prepare(table()))
    (deviation,) = from_prior([built["new_deviation"]], 3000, seed=1)
    # tau ~ N+(s): the sd of tau z is s
    assert deviation.std() == pytest.approx(0.5 if binary else 0.3, rel=0.06)
