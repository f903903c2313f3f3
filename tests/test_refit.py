"""Leaving a unit out by sampling again: agrees with importance sampling where that holds, and replaces it where not."""

import numpy as np
import pytest
from test_trial import PLAIN, trial_table
from unsampled import FAMILIES, from_the_prior, made

import bayesdep as bd
from bayesdep.criticism import refit
from bayesdep.criticism.refit import score_left_out_units
from bayesdep.models.trial.model import Trial

pytestmark = pytest.mark.sampling


@pytest.fixture(scope="module")
def fit():
    table = trial_table(patients=30)
    table.loc[table["id"] == "p3", "outcome"] += 25  # one patient whom nobody else resembles
    return bd.fit(Trial(**PLAIN, covariance="ar1", heterogeneous=False), table, progress=False)


def test_only_what_importance_sampling_cannot_do_is_sampled_again(fit, monkeypatch):
    plain = refit.arviz_stats.loo(fit.tree, pointwise=True, var_name="by_subject")
    bad = plain.pareto_k.values >= 0.7
    assert 0 < bad.sum() < 4
    found = score_left_out_units(fit)
    assert (found.pareto_k.values[bad] == 0).all()
    np.testing.assert_array_equal(found.elpd_i.values[~bad], plain.elpd_i.values[~bad])
    assert (found.elpd_i.values[bad] != plain.elpd_i.values[bad]).all()
    assert found.elpd == pytest.approx(found.elpd_i.values.sum())
    monkeypatch.setattr(refit, "_MOST", 0)
    np.testing.assert_array_equal(score_left_out_units(fit).elpd_i.values, plain.elpd_i.values)


def test_both_ways_agree_where_pareto_k_is_small(fit, monkeypatch):
    plain = refit.arviz_stats.loo(fit.tree, pointwise=True, var_name="by_subject")
    easy = np.argsort(plain.pareto_k.values)[:3]
    between = np.sort(plain.pareto_k.values)[2:4].mean()
    forced = plain.pareto_k.copy(data=np.where(plain.pareto_k.values < between, 0.9, 0.1))
    plain.pareto_k = forced
    wrapper = refit.WithoutOne(fit)
    exact = refit.arviz_stats.reloo(wrapper, loo_orig=plain, var_name="by_subject", k_threshold=0.7, pointwise=True)
    assert not wrapper.failed
    # log of a mean over 4,000 draws of densities that vary little: an error of a few hundredths
    np.testing.assert_allclose(exact.elpd_i.values[easy], plain.elpd_i.values[easy], atol=0.1)


def test_a_refit_that_does_not_converge_leaves_its_unit_unreliable(fit, monkeypatch):
    plain = refit.arviz_stats.loo(fit.tree, pointwise=True, var_name="by_subject")
    bad = plain.pareto_k.values >= 0.7
    monkeypatch.setattr(refit, "_R_HAT", 0.0)
    np.testing.assert_array_equal(score_left_out_units(fit).pareto_k.values[bad], plain.pareto_k.values[bad])


NOT_AGAIN = {
    "meta", "small-studies", "counts", "pooled-counts", "screen", "stepwise", "ordinal", "cytokines",
}  # fmt: skip


@pytest.mark.parametrize("family", [*FAMILIES, "meta-clusters", "meta-counts", "responses"])
def test_what_is_left_out_of_any_family_can_be_scored_by_a_fit_without_it(family, monkeypatch):
    """The unit's score is computed from the refit's parameters, and these suffice."""
    fit, asked = made(family), []
    arviz_loo, sample_posterior = refit.arviz_stats.loo, refit.sample_posterior

    def of_the_prior(model, data, **how):
        asked.append(data)
        with from_the_prior():
            return sample_posterior(model, data, **how)

    def first_two_bad(tree, pointwise, var_name):
        found = arviz_loo(tree, pointwise=pointwise, var_name=var_name)
        number = np.arange(found.pareto_k.size).reshape(found.pareto_k.shape)
        found.pareto_k = found.pareto_k.copy(data=np.where(number < 2, 0.9, 0.1))
        return found

    monkeypatch.setattr(refit.arviz_stats, "loo", first_two_bad)
    monkeypatch.setattr(refit, "sample_posterior", of_the_prior)
    monkeypatch.setattr(refit, "_R_HAT", np.inf)
    found = score_left_out_units(fit)
    again = found.pareto_k.values == 0
    assert again.sum() == len(asked) == (0 if family in NOT_AGAIN else 2)
    assert np.isfinite(found.elpd_i.values[again]).all()
