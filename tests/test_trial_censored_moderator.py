"""A trial's moderator with values beyond its limits: read, latent in the model, integrated out in the scores.

Oracles: scipy's quadrature over the latent value of dense multivariate normal densities; the model without limits.
"""

import functools

import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
from scipy import integrate, stats
from test_trial import PLAIN, trial_table

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import at_draws, from_prior, log_density
from bayesdep.inference.labelled import label_draws
from bayesdep.models.trial.censored_moderator import LATENT, OBSERVED, terms_of_patients
from bayesdep.models.trial.means import expected
from bayesdep.models.trial.model import Trial
from bayesdep.models.trial.moderator import terms_of
from bayesdep.models.trial.residuals import covariances, residual_sds
from bayesdep.numerics.censoring import quantile_inside

FORMS = {
    "linear": {"moderator_form": "linear"},
    "log": {"moderator_form": "log"},
    "log-quadratic": {"moderator_form": "log-quadratic"},
    "log-spline": {"moderator_form": "log-spline", "knots": 3},
}


def with_limit(limit, table=None, how="text"):
    """A trial's table whose moderator below a limit is not known."""
    table = (trial_table() if table is None else table).copy()
    below = table["crp"] < limit
    if how == "text":
        table["crp"] = [f"<{limit:g}" if b else x for b, x in zip(below, table["crp"], strict=True)]
        return table
    return table.assign(crp=table["crp"].where(~below, limit), seen=np.where(below, "left", "none"), limit=limit)


def trial(**settings):
    return Trial(**PLAIN | {"moderator": "crp", "moderator_model": "log-normal"} | settings)


@functools.cache
def case(form, **settings):
    model = trial(covariance="ar1", **FORMS[form], **settings)
    limit = float(np.quantile(trial_table().drop_duplicates("id")["crp"], 0.4))
    data = model.prepare(with_limit(limit))
    return model, data, model.build(data)


def drawn(model, seed=1, draws=3):
    """Draws from the prior; at least two are made, as one alone has no dim of draws."""
    names = [v.name for v in model.unobserved_RVs]
    values = from_prior([model[name] for name in names], max(draws, 2), seed=seed)
    posterior = label_draws({n: v[None] for n, v in zip(names, values, strict=True)}, model)
    return posterior.isel(chain=0, draw=slice(draws)).rename(draw="sample")


# ---- reading


def test_text_flags_and_columns_of_limits_say_the_same():
    texts = trial(covariance="ar1").prepare(with_limit(2.0))
    flags = trial(covariance="ar1", moderator_censored="seen", moderator_lod="limit").prepare(
        with_limit(2.0, how="flag")
    )
    assert texts.drop_attrs().identical(flags.drop_attrs())
    crp = trial_table().drop_duplicates("id")["crp"].to_numpy()
    assert (np.isinf(texts["moderator_lower"].values) == (crp < 2)).all()
    assert np.exp(texts["moderator_upper"].values) == pytest.approx(np.maximum(crp, 2.0))
    assert texts.sizes["non_detect"] == (crp < 2).sum() > 0


@pytest.mark.parametrize("form", FORMS)
def test_where_nothing_is_beyond_a_limit_it_is_the_plain_model_bit_for_bit(form):
    plain = Trial(**PLAIN, covariance="ar1", moderator="crp", **FORMS[form])
    stated = trial(covariance="ar1", **FORMS[form])
    data, same = plain.prepare(trial_table()), stated.prepare(trial_table())
    assert same.identical(data)
    one, other = plain.build(data), stated.build(same)
    assert [v.name for v in one.basic_RVs] == [v.name for v in other.basic_RVs]
    posterior = drawn(one)
    assert np.array_equal(expected(plain, posterior, data), expected(stated, posterior, same))
    draws = posterior.expand_dims("chain").rename(sample="draw")
    assert stated.estimands(draws, same).identical(plain.estimands(draws, data))
    given = {one[v.name]: posterior[v.name].values for v in one.free_RVs}
    as_given = {other[v.name]: posterior[v.name].values for v in one.free_RVs}
    y, same_y = one["outcome_by_visit"], other["outcome_by_visit"]
    (density,) = log_density([y], one.rvs_to_values, given)
    (again,) = log_density([same_y], other.rvs_to_values, as_given)
    assert np.array_equal(density, again)


# ---- the density


def dense_density(model, posterior, data, i, log_crp):
    """A patient's observed outcomes given a value of the moderator: scipy's multivariate normal, at one draw."""
    terms = data["moderator_terms"].copy()
    terms.values[i] = terms_of(np.exp(np.array([log_crp])), terms.attrs)[0]
    fixed = data.assign(moderator_terms=terms).drop_vars(["moderator_lower", "moderator_upper"])
    mean = expected(model, posterior, fixed)[0, i]
    matrix = covariances(model, posterior, residual_sds(posterior, data), data["day"].values[i],
                         int(data["arm_of"][i]))[0]  # fmt: skip
    seen = ~np.isnan(data["outcome"].values[i])
    return stats.multivariate_normal.pdf(data["outcome"].values[i][seen], mean[seen], matrix[np.ix_(seen, seen)])


def moments_of_logs(posterior, data, i=None):
    mean, unit = float(posterior["moderator_mean"][0]), float(data["log_sd"])
    if "moderator_slope" in posterior:
        mean += float(posterior["moderator_slope"].values[0] @ data["moderator_covariates"].values[i])
    return float(data["log_centre"]) + unit * mean, unit * float(posterior["moderator_sd"][0])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("covariates", [None, "sex"])
def test_density_with_its_latent_values_integrated_out_is_the_quadrature(form, covariates):
    """Over a patient's latent value, the model's own joint density integrates to that of dense normals."""
    model, data, built = case(form, **({"moderator_covariates": covariates} if covariates else {}))
    posterior = drawn(built, seed=4, draws=1)
    hidden = np.flatnonzero(np.isinf(data["moderator_lower"].values))
    for k, i in enumerate(hidden[:2]):
        top = float(data["moderator_upper"][i])
        mean, sd = moments_of_logs(posterior, data, i)
        nodes, weights = np.polynomial.legendre.leggauss(80)
        low = min(mean, top) - 9 * sd
        logs = low + (top - low) * (nodes + 1) / 2
        given = {built[v.name]: np.repeat(posterior[v.name].values, len(logs), axis=0) for v in built.free_RVs}
        given[built[LATENT]][:, k] = logs
        variables = [built["outcome_by_visit"], built[LATENT]]
        values = dict(built.rvs_to_values) | {built[LATENT]: built[LATENT]}
        outcome, latent = log_density(variables, values, given)
        joint = np.exp(outcome[:, i].sum(axis=-1) if outcome.ndim == 3 else outcome[:, i]) * np.exp(latent[:, k])
        found = (joint * weights).sum() * (top - low) / 2
        oracle = integrate.quad(
            lambda x, i=i, mean=mean, sd=sd: dense_density(model, posterior, data, i, x) * stats.norm.pdf(x, mean, sd),
            low, top, epsabs=0, epsrel=1e-9, limit=200,
        )[0]  # fmt: skip
        assert found == pytest.approx(oracle, rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_scores_are_the_outcomes_density_given_the_interval(form):
    model, data, built = case(form)
    posterior = drawn(built, seed=6, draws=1)
    scores = model.log_likelihood(posterior.expand_dims("chain").rename(sample="draw"), data).isel(chain=0, draw=0)
    upper = data["moderator_upper"].values
    hidden = np.isinf(data["moderator_lower"].values)
    mean, sd = moments_of_logs(posterior, data)
    for i in [*np.flatnonzero(hidden)[:3], *np.flatnonzero(~hidden)[:2]]:
        if hidden[i]:
            low = min(mean, upper[i]) - 9 * sd
            of = integrate.quad(
                lambda x, i=i: dense_density(model, posterior, data, i, x) * stats.norm.pdf(x, mean, sd), low, upper[i],
                epsabs=0, epsrel=1e-10, limit=200,
            )[0] / stats.norm.cdf(upper[i], mean, sd)  # fmt: skip
        else:
            of = dense_density(model, posterior, data, i, upper[i])
        assert float(scores.sel(subject=data["subject"].values[i])) == pytest.approx(np.log(of), abs=1e-5)


def test_detected_values_are_scored_by_their_log_normal():
    _, data, built = case("log")
    posterior = drawn(built, draws=1)
    (found,) = log_density([built[OBSERVED]], built.rvs_to_values,
                           {built[v.name]: posterior[v.name].values for v in built.free_RVs})  # fmt: skip
    mean, sd = moments_of_logs(posterior, data)
    detected = np.isfinite(data["moderator_lower"].values)
    expected_ = np.where(detected, stats.norm.logpdf(data["moderator_upper"].values, mean, sd), 0)
    assert found[0] == pytest.approx(expected_)


@pytest.mark.parametrize("form", FORMS)
def test_terms_in_the_model_are_those_of_arrays(form):
    model, data, built = case(form)
    posterior = drawn(built)
    terms = terms_of_patients(posterior, data)
    hidden = np.isinf(data["moderator_lower"].values)
    assert terms.dims == ("sample", "subject", "term")
    assert (terms.values[:, ~hidden] == data["moderator_terms"].values[~hidden]).all()
    given = {built[v.name]: posterior[v.name].values for v in built.free_RVs}
    observed = built["outcome_by_visit"]
    mean = at_draws([observed.owner.inputs[2]], given)[0]
    assert mean == pytest.approx(expected(model, posterior, data), rel=1e-9)


def test_quantiles_inside_an_interval_are_scipys_and_hold_in_both_tails():
    for lower, upper in ((-np.inf, -1.0), (0.5, np.inf), (-0.3, 0.9)):
        u = np.array([0.01, 0.5, 0.97])
        truncated = stats.truncnorm((lower - 0.2) / 1.3, (upper - 0.2) / 1.3, 0.2, 1.3)
        assert quantile_inside(u, 0.2, 1.3, lower, upper) == pytest.approx(truncated.ppf(u), rel=1e-9)
    assert np.isfinite(quantile_inside(0.5, 0.0, 1.0, 38.0, np.inf))
    assert 38 < float(quantile_inside(0.5, 0.0, 1.0, 38.0, np.inf)) < 38.05


# ---- what follows


def test_means_over_patients_have_their_latent_values():
    """A difference of a log-linear trial is its arm effect plus the slope times the mean of the patients' logs."""
    model, data, built = case("log", subgroups=("> 1000", "<= 1000")[:0])
    posterior = drawn(built)
    draws = posterior.expand_dims("chain").rename(sample="draw")
    found = model.estimands(draws, data)["difference"].isel(chain=0).values
    logs = np.tile(data["moderator_upper"].values, (3, 1))
    logs[:, np.isinf(data["moderator_lower"].values)] = posterior[LATENT].transpose("sample", "non_detect").values
    attrs = data["moderator_terms"].attrs
    mean = ((logs - attrs["centre"]) / attrs["scale"]).mean(axis=1)
    slopes = posterior["arm_by_moderator_at_visit"].transpose("sample", "comparison", "term", "visit").values[:, :, 0]
    arm = posterior["arm_effect_at_visit"].transpose("sample", "comparison", "visit").values
    assert found == pytest.approx(arm + slopes * mean[:, None, None])


def test_thresholds_and_subgroups_with_everybody_on_one_side_need_no_latent_value():
    data = trial(covariance="ar1", moderator_form="threshold", threshold=2.0).prepare(with_limit(2.0))
    whole = Trial(**PLAIN, covariance="ar1", moderator="crp", moderator_form="threshold", threshold=2.0).prepare(
        trial_table()
    )
    assert "moderator_lower" not in data
    assert np.array_equal(data["moderator_terms"].values, whole["moderator_terms"].values)
    groups = trial(covariance="ar1", subgroups=("> 2", "<= 2")).prepare(with_limit(2.0))["subgroup_member"]
    crp = trial_table().drop_duplicates("id")["crp"].to_numpy()
    assert np.array_equal(groups.values, [crp > 2, crp <= 2])


@pytest.mark.parametrize(
    ("settings", "limit", "said"),
    [
        ({"moderator_form": "threshold", "threshold": 1.0}, 2.0, "is not known: the moderator is between 0 and 2"),
        ({"subgroups": ["> 1"]}, 2.0, "belongs there is not known"),
        ({}, 1e6, "was detected in nobody"),
        ({"moderator_model": None}, 2.0, "crp"),
        ({"moderator_model": None, "moderator_lod": "limit"}, 2.0, "add moderator_model = 'log-normal'"),
        ({"moderator": None}, 2.0, "needs a moderator"),
    ],
)
def test_what_is_not_known_is_refused_by_name(settings, limit, said):
    with pytest.raises(BadInput, match=said):
        trial(covariance="ar1", **settings).prepare(with_limit(limit))


def test_a_regression_of_completed_visits_is_refused():
    model, data, _ = case("log")
    with pytest.raises(BadInput, match="lie beyond their limits"):
        model.regressors(data)


def test_predictive_checks_ask_whether_the_moderator_is_log_normal():
    model, data, _ = case("log")
    by_name = {check.name: check for check in model.checks(data)}
    recorded = data["moderator_upper"].values
    below = by_name["moderator: share below its limit"].statistic(recorded)
    assert below == pytest.approx(np.isinf(data["moderator_lower"].values).mean())
    assert by_name["moderator: largest log"].statistic(recorded) == recorded.max()
    assert by_name["moderator: share below its limit"].statistic(recorded + 100) == 0


# ---- recovery


def simulated(seed, share, people=120):
    """A trial of one visit whose outcome falls along log CRP in one arm; the lowest share of CRP is not detected."""
    rng = np.random.default_rng(seed)
    logs, arm = rng.normal(0.8, 1.2, people), np.arange(people) % 2
    outcome = 20 + 1.0 * logs - 3.0 * arm * (logs - 0.8) + rng.normal(0, 4, people)
    limit = float(np.exp(0.8 + 1.2 * stats.norm.ppf(share)))
    table = pd.DataFrame({"subject": [f"p{i}" for i in range(people)], "arm": np.array(["placebo", "drug"])[arm],
                          "visit": 1, "baseline": rng.normal(24, 4, people), "outcome": outcome,
                          "crp": np.exp(logs)})  # fmt: skip
    return with_limit(limit, table)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_slopes_along_a_censored_moderator_are_recovered(share):
    """The arms' difference at four values of CRP, two of them below the limit: coverage over 100 trials, bias."""
    from bayesdep.inference.sample import sample_posterior

    truth = np.array([-3.0 * (np.log(x) - 0.8) for x in (0.5, 2.0, 6.0, 20.0)])
    inside, mean = [], []
    for seed in range(100):
        model = Trial(reference="placebo", moderator="crp", moderator_model="log-normal", at=(0.5, 2, 6, 20))
        data = model.prepare(simulated(seed, share))
        posterior = sample_posterior(model, data, draws=300, tune=400, chains=2, seed=seed)
        values = model.estimands(posterior, data)["difference_at"].isel(comparison=0, visit=0)
        draws = values.transpose("moderator_value", ...).values.reshape(4, -1)
        low, high = np.quantile(draws, [0.025, 0.975], axis=1)
        inside.append((low <= truth) & (truth <= high))
        mean.append((draws.mean(axis=1) - truth) / draws.std(axis=1))
    coverage = np.mean(inside, axis=0)
    error = np.sqrt(0.95 * 0.05 / 100)
    assert (coverage >= 0.90 - 2 * error).all(), coverage
    assert (np.abs(np.mean(mean, axis=0)) < 0.1 + 4 / np.sqrt(100)).all(), np.mean(mean, axis=0)


def test_building_it_needs_no_pymc_warning():
    assert isinstance(case("log")[2], pm.Model)
    assert isinstance(drawn(case("log")[2]), xr.Dataset)
    assert bd.Trial is Trial
