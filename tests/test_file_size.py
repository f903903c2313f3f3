"""Files of fits are small: what can be computed again is left out, rounding is far below Monte Carlo error."""

import json

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from unsampled import EXACT, FAMILIES, made

import bayesdep as bd
from bayesdep.inference import groups, left_out
from bayesdep.inference.groups import rounded, rounded_draws


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
    }
    with pm.Model() as model:
        pm.Normal("far", shape=40)
        pm.HalfNormal("scale", shape=40)
        pm.Beta("share", 0.3, 0.3, shape=40)
        pm.Normal("few", shape=3)
    kept = rounded_draws(draws, model)
    for name in ("share", "few"):
        np.testing.assert_array_equal(kept[name], draws[name])
    for name in ("far", "scale"):
        error = np.abs(kept[name] - draws[name]).max(axis=(0, 1))
        assert (error <= draws[name].reshape(-1, 40).std(axis=0) / 8192).all()
        assert not np.array_equal(kept[name], draws[name])
    assert (kept["scale"] > 0).all()
    whole = np.arange(-131_072.0, 131_073)
    np.testing.assert_array_equal(rounded(whole, groups._BITS_OF_REPLICATES), whole)
    assert np.isnan(rounded(np.array([np.nan]), 17)).all()


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
