"""Leaving a unit out by sampling again: agrees with importance sampling where that holds, and replaces it where not."""

import numpy as np
import pytest
from test_trial import PLAIN, trial_table

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
