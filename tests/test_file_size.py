"""Files of fits are small: what can be computed again is left out, rounding is far below Monte Carlo error."""

import json

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from unsampled import EXACT, FAMILIES, made

import bayesdep as bd
from bayesdep.criticism.refit import score_left_out_units
from bayesdep.data import budget
from bayesdep.inference import groups, left_out
from bayesdep.inference.cost import refuse_beyond_free_memory
from bayesdep.inference.precision import BITS_OF_REPLICATES, MANY, rounded, rounded_draws, rounded_replicates
from bayesdep.models.trial.means import expected
from bayesdep.numerics.draws import stack_draws


@pytest.fixture(scope="module", params=FAMILIES)
def fit(request):
    return made(request.param, **EXACT)


def test_what_a_file_leaves_out_is_computed_bit_for_bit(fit, tmp_path, monkeypatch):
    whole = fit.save(tmp_path / "whole.nc").stat().st_size
    assert whole < 2_000_000  # 200 draws
    monkeypatch.setattr(left_out, "LARGE", 0)
    path = fit.save(tmp_path / "posterior.nc")
    assert path.stat().st_size < whole
    loaded = bd.Fit.load(path)
    assert loaded.tree.identical(fit.tree)
    assert loaded.manifest == fit.manifest
    with xr.open_datatree(path, engine="h5netcdf", phony_dims="sort") as stored:
        assert not stored["estimands"].data_vars
        assert not stored["log_likelihood"].data_vars
        if fit.is_exact:  # functions of parameters may be draws themselves
            assert set(stored["posterior"].data_vars) == set(fit.posterior.data_vars)


def test_a_file_whose_results_this_version_would_compute_otherwise_is_refused(tmp_path, monkeypatch):
    fit = made("trial", **EXACT)
    monkeypatch.setattr(left_out, "LARGE", 0)
    path = fit.save(tmp_path / "posterior.nc")
    real = type(fit.model).estimands
    monkeypatch.setattr(type(fit.model), "estimands", lambda self, draws, data: real(self, draws, data) * 1.01)
    with pytest.raises(bd.BadInput, match=r"'estimands/\w+' is computed otherwise by this version; run its plan again"):
        bd.Fit.load(path)


def test_a_fit_whose_draws_were_changed_is_stored_whole(tmp_path, monkeypatch):
    fit = made("trial", **EXACT)
    tree = {name: node.to_dataset() for name, node in fit.tree.children.items()}
    tree["log_likelihood"] = tree["log_likelihood"] + 1
    changed = bd.Fit(fit.model, fit.data, xr.DataTree.from_dict(tree), fit.manifest)
    monkeypatch.setattr(left_out, "LARGE", 0)
    assert bd.Fit.load(changed.save(tmp_path / "posterior.nc")).tree.identical(changed.tree)


SCHOOLS = bd.Meta(measure="difference", units="points", scale=100, study="school")


def test_a_fit_that_was_just_made_is_saved_without_computing_it_again(tmp_path, monkeypatch):
    monkeypatch.setattr(left_out, "LARGE", 0)
    fit = bd.fit(SCHOOLS, bd.load("eight_schools_rubin1981"), sampler="nutpie", draws=50, tune=50, chains=2, seed=1)
    changed = bd.Fit(fit.model, fit.data, fit.tree.copy(deep=True), fit.manifest)
    changed.tree["estimands"]["mu"].values[0, 0] += 1
    labelled = bd.Fit(fit.model, fit.data, fit.tree.copy(deep=True), fit.manifest)
    labelled.tree["log_likelihood"].coords["school"] = [f"s{i}" for i in range(8)]
    for other in (changed, labelled):
        assert bd.Fit.load(other.save(tmp_path / "other.nc")).tree.identical(other.tree)

    def never(*_given, **_words):
        raise AssertionError

    with monkeypatch.context() as patch:
        for name in ("complete_posterior", "scores"):
            patch.setattr(left_out, name, never)
        patch.setattr(type(fit.model), "estimands", never)
        fit.save(tmp_path / "posterior.nc")
        with pytest.raises(AssertionError):
            changed.save(tmp_path / "other.nc")
    with xr.open_datatree(tmp_path / "posterior.nc", engine="h5netcdf", phony_dims="sort") as stored:
        assert not stored["estimands"].data_vars
    assert bd.Fit.load(tmp_path / "posterior.nc").tree.identical(fit.tree)


@pytest.mark.parametrize("words", ["[", "3", '{"posterior": 1}', '{"canary": {}}', "[" * 100_000])
def test_a_description_of_what_is_left_out_that_cannot_be_read_is_refused(words):
    fit = made("trial", **EXACT)
    with pytest.raises(bd.BadInput, match=r"left out cannot be read|leaves out 'canary'"):
        left_out.fill_in(fit.model, fit.data, fit.tree.copy(), fit.manifest, words)


def test_rounding_is_far_below_what_draws_can_tell():
    rng = np.random.default_rng(1)
    sds = np.geomspace(0.02, 50, 40)
    draws = {
        "far": 1000 + rng.normal(size=(4, 500, 40)) * sds,  # a level, known well and far from zero
        "scale": np.exp(rng.normal(size=(4, 500, 40)) * 3),  # of people, some near zero
        "share": rng.beta(0.3, 0.3, size=(4, 500, 40)),  # has ends: not rounded
        "few": rng.normal(size=(4, 500, 3)),
        "tails": rng.standard_cauchy(size=(4, 500, 40)),  # a few draws make its sd a thousand times as large
    }
    with pm.Model() as model:
        pm.Normal("far", shape=40)
        pm.HalfNormal("scale", shape=40)
        pm.Beta("share", 0.3, 0.3, shape=40)
        pm.Normal("few", shape=3)
        pm.Cauchy("tails", 0, 1, shape=40)
    kept = rounded_draws(draws, model)
    for name in ("share", "few"):
        np.testing.assert_array_equal(kept[name], draws[name])
    for name in ("far", "scale"):
        error = np.abs(kept[name] - draws[name]).max(axis=(0, 1))
        assert (error <= draws[name].reshape(-1, 40).std(axis=0) / 8192).all()
        assert not np.array_equal(kept[name], draws[name])
    assert (kept["scale"] > 0).all()
    low, high = np.quantile(draws["tails"].reshape(-1, 40), [0.25, 0.75], axis=0)
    assert (np.abs(kept["tails"] - draws["tails"]).max(axis=(0, 1)) <= (high - low) / 1.349 / 8192).all()
    for name in ("far", "tails", "scale"):
        np.testing.assert_array_equal(np.sign(kept[name]), np.sign(draws[name]))


def test_effects_that_sum_to_zero_still_do_when_they_are_rounded():
    with pm.Model(coords={"analyte": range(20), "plate": range(3), "site": range(50)}) as model:
        pm.ZeroSumNormal("plate_latent", dims=("analyte", "plate"))
        pm.ZeroSumNormal("site_latent", sigma=3, dims="site")
        pm.ZeroSumNormal("both_latent", dims=("analyte", "plate"), n_zerosum_axes=2)  # along two dims: not rounded
    drawn = zip(model.free_RVs, pm.draw(model.free_RVs, 600, random_seed=1), strict=True)
    draws = {rv.name: x.reshape(2, 300, *x.shape[1:]) for rv, x in drawn}
    kept = rounded_draws(draws, model)
    np.testing.assert_array_equal(kept["both_latent"], draws["both_latent"])
    for name in ("plate_latent", "site_latent"):
        assert (kept[name].sum(axis=-1) == 0).all()
        sd = draws[name].std(axis=(0, 1))
        assert (np.abs(kept[name] - draws[name]).max(axis=(0, 1)) <= sd / 8192).all()
        assert not np.array_equal(kept[name], draws[name])
        assert np.isfinite(pm.logp(model[name], kept[name][0, 0]).eval()).all()


def test_rounded_replicates_are_near_and_whole_numbers_stay():
    rng = np.random.default_rng(1)
    whole = np.arange(-131_072.0, 131_073)
    np.testing.assert_array_equal(rounded(whole, BITS_OF_REPLICATES), whole)
    assert np.isnan(rounded(np.array([np.nan]), 17)).all()
    counts = rng.poisson(50_000, size=(4, 50, 6))
    np.testing.assert_array_equal(rounded_replicates(counts), counts)
    np.testing.assert_array_equal(rounded_replicates(counts.astype(float)), counts)
    sds = np.geomspace(1e-3, 30, MANY + 1)
    values = 40 + rng.normal(size=(4, 50, MANY + 1)) * sds
    values[0, 0, :2] = [np.nan, -np.inf]
    kept = rounded_replicates(values)
    known = np.isfinite(values)
    np.testing.assert_array_equal(kept[~known], values[~known])
    error = np.where(known, np.abs(kept - np.where(known, values, 0)), 0).max(axis=(0, 1))
    assert (error <= np.maximum(sds * 1.2 / 1024, 40 / 2**17)).all()  # the sd of 200 draws is within a fifth
    assert not np.array_equal(kept[known], values[known])
    # of few data all digits: a rounded statistic may lie on the other side of the observed one
    np.testing.assert_array_equal(rounded_replicates(values[..., :MANY]), values[..., :MANY])


def test_large_data_have_few_replicates_and_the_manifest_says_how_many(monkeypatch):
    monkeypatch.setattr(groups, "_VALUES", 1)
    monkeypatch.setattr(groups, "_FEWEST", 50)
    fit = made("trial", **EXACT)
    replicated = fit.tree["posterior_predictive"].to_dataset()
    assert dict(replicated.sizes)["chain"] * dict(replicated.sizes)["draw"] == 50 == fit.manifest["replicated_draws"]
    assert list(replicated["draw"].values) == list(range(0, 100, 4))
    assert fit.tree["prior_predictive"].sizes["draw"] == 50
    assert fit.posterior.sizes["draw"] == 100
    assert json.dumps(fit.manifest["rounded"])


def test_large_data_have_scores_of_some_draws_and_all_that_reads_them_follows(monkeypatch):
    whole = made("trial", **EXACT)
    monkeypatch.setattr(groups, "_SCORES", 1)
    monkeypatch.setattr(groups, "_FEWEST_SCORED", 50)
    fit = made("trial", **EXACT)
    scored, every = (x.tree["log_likelihood"].to_dataset() for x in (fit, whole))
    assert scored.sizes["chain"] * scored.sizes["draw"] == 50 == fit.manifest["scored_draws"]
    assert list(scored["draw"].values) == list(range(0, 100, 4))
    xr.testing.assert_identical(scored, every.isel(draw=slice(None, None, 4)))
    assert whole.manifest["scored_draws"] == every.sizes["chain"] * every.sizes["draw"]


def test_scores_of_some_draws_serve_leave_one_out_and_sensitivity(monkeypatch):
    whole = bd.fit(SCHOOLS, bd.load("eight_schools_rubin1981"), draws=500, chains=4, seed=1)
    monkeypatch.setattr(groups, "_SCORES", 1)
    fit = bd.fit(SCHOOLS, bd.load("eight_schools_rubin1981"), draws=500, chains=4, seed=1)
    assert fit.manifest["scored_draws"] == 1000
    assert fit.manifest["replicated_draws"] == whole.manifest["replicated_draws"]
    few, every = (score_left_out_units(x) for x in (fit, whole))
    assert few.n_samples == 1000
    assert float(few.elpd) == pytest.approx(float(every.elpd), abs=0.2)  # its standard error over schools is 1
    few, every = (bd.check_prior_sensitivity(x) for x in (fit, whole))
    np.testing.assert_array_equal(few["prior"], every["prior"])
    np.testing.assert_allclose(few["likelihood"], every["likelihood"], atol=0.1)


def test_outcomes_of_large_data_under_the_prior_belong_to_the_prior_draws(monkeypatch):
    """Drawn for some of the prior draws of parameters: they scatter around the means that these very draws have."""
    monkeypatch.setattr(groups, "_VALUES", 1)
    monkeypatch.setattr(groups, "_FEWEST", 40)  # of 50 prior draws
    fit = made("trial", **EXACT)
    outcomes = fit.tree["prior_predictive"]["outcome_by_visit"].values[0]
    assert len(outcomes) == 40 < fit.tree["prior"].sizes["draw"]
    prior = stack_draws(fit.tree["prior"].to_dataset()).isel(sample=slice(40))
    drawn, means = (x.mean(axis=1) for x in (outcomes, expected(fit.model, prior, fit.data)))
    for visit in range(drawn.shape[1]):
        assert np.corrcoef(drawn[:, visit], means[:, visit])[0, 1] > 0.9
        assert abs(np.corrcoef(np.roll(drawn[:, visit], 1), means[:, visit])[0, 1]) < 0.7


def test_memory_is_estimated_for_the_scores_and_replicates_that_are_kept(monkeypatch):
    with pm.Model(coords={"measurement": range(300_000)}) as model:
        pm.Normal("y", pm.Normal("mu"), 1, observed=np.zeros(300_000), dims="measurement")
    monkeypatch.setattr(budget, "available_memory", lambda: 7e9)  # scores take 2.4 GB, replicates 3.8
    refuse_beyond_free_memory(model, model, draws=1000, chains=4)
    refuse_beyond_free_memory(model, model, draws=4000, chains=4)  # no more than these are kept
    monkeypatch.setattr(budget, "available_memory", lambda: 5e9)
    with pytest.raises(bd.BadInput, match=r"would need 5\.8 GB of memory, and 4\.7 GB are free"):
        refuse_beyond_free_memory(model, model, draws=1000, chains=4)
