"""Latent values, one for each number beyond a limit: of many, some draws are kept; all else is as with every draw."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from pymc.model.transform.conditioning import prune_vars_detached_from_observed
from unsampled import courses, made, panel, unsampled

import bayesdep as bd
from bayesdep.criticism import refit
from bayesdep.criticism.bayes_factor import bayes_factor
from bayesdep.criticism.refit import score_left_out_units
from bayesdep.inference import evaluate, latent, left_out
from bayesdep.inference.precision import BITS_OF_REPLICATES, is_rounded
from bayesdep.models.model import PredictsObservations

ROBUST = bd.Cytokines(
    reference="group 0", analyte="analyte", subject="subject", group="group", plate="plate", censored="censored",
    lod="lod", unit="unit", value="value", robust=True,
)  # fmt: skip
MARKERS = bd.Trajectories(reference="arm 0", value="value", analyte="marker", units="points")  # no association
DRAWS = {"draws": 100, "chains": 2}


def _robust() -> bd.Fit:
    table = panel()
    return unsampled(ROBUST, table[table["time"] == 0], **DRAWS)


# How each is made, latent values of each number and their functions, whether scores of units are computed given them.
FITS = {
    "trajectories": (lambda: made("trajectories", **DRAWS), {"beyond_latent", "log2_beyond"}, True),
    "markers": (lambda: unsampled(MARKERS, courses(), **DRAWS), {"beyond_latent", "log2_beyond"}, False),
    "robust": (_robust, {"precision_latent"}, False),
    "times": (lambda: made("cytokines", **DRAWS), {"cell_latent"}, False),
    "response": (lambda: made("response", n=2, **DRAWS), {"beyond"}, False),
}
FEW = 50  # of 200 draws


@pytest.fixture(scope="module", params=FITS)
def two(request):
    """The same fit with every draw of latent values and with some."""
    make, names, is_scored_given_them = FITS[request.param]
    whole = make()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latent, "_NUMBERS", 1)
        patch.setattr(latent, "_FEWEST", FEW)
        return whole, make(), names, is_scored_given_them


def test_parameters_and_estimands_are_as_with_every_draw_of_latent_values(two):
    whole, fit, names, _ = two
    assert "latent" not in whole.tree
    assert "latent_draws" not in whole.manifest
    assert names <= set(whole.posterior)
    assert set(fit.tree["latent"].data_vars) == names
    assert set(fit.posterior) == set(whole.posterior) - names
    for name, values in fit.posterior.items():
        np.testing.assert_array_equal(values, whole.posterior[name])
    assert fit.estimands.identical(whole.estimands)
    assert fit.gate == whole.gate


def test_the_verdict_on_the_model_needs_no_latent_values(two, monkeypatch):
    whole, fit, names, _ = two
    assert not names & set(fit.tree["prior"].data_vars)
    assert names & set(whole.tree["prior"].data_vars)
    monkeypatch.setattr(evaluate, "_ELEMENTS_AT_ONCE", 1)  # part by part, as for large data
    assert dataclasses.replace(fit).verdict == dataclasses.replace(whole).verdict


def test_every_fourth_draw_of_latent_values_is_kept_and_the_manifest_says_so(two):
    whole, fit, names, _ = two
    kept = fit.tree["latent"].to_dataset()
    assert kept.sizes["chain"] * kept.sizes["draw"] == FEW == fit.manifest["latent_draws"]
    assert list(kept["draw"].values) == list(range(0, 100, 4))
    every = whole.posterior.isel(draw=slice(None, None, 4))
    for name in names:
        np.testing.assert_allclose(kept[name], every[name], rtol=1e-12)
    assert fit.joint.sizes["draw"] == 25
    assert set(fit.joint) == set(whole.posterior)
    assert whole.joint.identical(whole.posterior)
    assert set(fit.manifest["rounded"]) == set(whole.manifest["rounded"])


def test_units_are_scored_at_every_draw_unless_their_scores_need_latent_values(two):
    whole, fit, _, is_scored_given_them = two
    some, every = (x.tree["log_likelihood"].to_dataset() for x in (fit, whole))
    if is_scored_given_them:
        assert fit.manifest["scored_draws"] == FEW
        every = every.isel(draw=slice(None, None, 4))
    xr.testing.assert_allclose(some, every, rtol=1e-10)


@pytest.mark.parametrize("large", [0, 10**12], ids=["what follows is left out", "all is stored"])
def test_a_fit_with_some_draws_of_latent_values_is_read_as_it_was(two, large, tmp_path, monkeypatch):
    _, fit, names, _ = two
    monkeypatch.setattr(left_out, "LARGE", large)
    path = fit.save(tmp_path / "posterior.nc")
    again = bd.Fit.load(path)
    assert again.tree.identical(fit.tree)
    assert again.manifest == fit.manifest
    assert again.estimands.identical(fit.estimands)
    with xr.open_datatree(path, engine="h5netcdf", phony_dims="sort") as stored:
        kept = set(stored["latent"].data_vars)
    assert kept == (names - {"log2_beyond"} if large == 0 else names)


def test_all_that_is_made_of_a_fit_is_made_with_some_draws_of_latent_values(two, tmp_path, monkeypatch):
    whole, fit, names, is_scored_given_them = two
    table = bd.summarise_parameters(fit)
    assert names <= set(table["name"])
    assert set(table.columns) == set(bd.summarise_parameters(whole).columns)
    again = bd.Fit.load(fit.save(tmp_path / "posterior.nc"))
    monkeypatch.setattr(refit, "_MOST", 0)  # by importance sampling alone
    scores = [score_left_out_units(one) for one in (fit, again)]
    assert {one.n_samples for one in scores} == {fit.manifest["scored_draws"]}
    np.testing.assert_array_equal(scores[0].elpd_i.values, scores[1].elpd_i.values)
    pd.testing.assert_frame_equal(*(bd.check_prior_sensitivity(one) for one in (fit, again)))
    if isinstance(fit.model, PredictsObservations):
        assert fit.arviz.identical(again.arviz)
    if is_scored_given_them:  # the draws that most of a report is made of differ
        bd.report(again, tmp_path / "report.html")
        assert (tmp_path / "report.html").stat().st_size > 10_000


def test_a_bayes_factor_is_from_the_draws_that_latent_values_have(monkeypatch):
    """Without pooling an analyte's difference has a prior of its own, and its density needs every parameter.

    Both fits have the same draws; only the grid on which densities are integrated follows from another sd.
    """
    model, table = dataclasses.replace(ROBUST, pooling="none"), panel(n=2)
    table = table[table["time"] == 0]
    whole = unsampled(model, table, **DRAWS)
    groups = {name: whole.tree[name].to_dataset() for name in ("posterior", "estimands", "constant_data")}
    few = {name: x.isel(draw=slice(None, None, 4)) if "draw" in x.dims else x for name, x in groups.items()}
    monkeypatch.setattr(latent, "_NUMBERS", 1)
    monkeypatch.setattr(latent, "_FEWEST", FEW)
    fit = unsampled(model, table, **DRAWS)
    assert "latent" in fit.tree
    at = {"analyte": "analyte 0", "comparison": "group 1"}
    one, other = (
        bayes_factor(x, "log_ratio", at) for x in (fit, dataclasses.replace(whole, tree=xr.DataTree.from_dict(few)))
    )
    assert np.isfinite(one.value)
    assert one.value == pytest.approx(other.value, rel=1e-4)


def test_latent_values_of_other_draws_are_refused(two, tmp_path):
    _, fit, _, _ = two
    groups = {name: node.to_dataset() for name, node in fit.tree.children.items()}
    groups["latent"] = groups["latent"].assign_coords(draw=groups["latent"]["draw"].values + 1000)
    changed = dataclasses.replace(fit, tree=xr.DataTree.from_dict(groups))
    with pytest.raises(bd.BadInput, match="its latent values are of draws that it does not have"):
        bd.Fit.load(changed.save(tmp_path / "posterior.nc"))


def _hidden_panel(people: int, analytes: int) -> pd.DataFrame:
    """Half of the values of every analyte are below its limit."""
    rng = np.random.default_rng(1)
    logs = rng.normal(size=(people, analytes)) + rng.normal(size=(people, 1))
    i, a = (x.ravel() for x in np.indices(logs.shape))
    below = logs[i, a] < 0
    return pd.DataFrame({
        "subject": i, "group": np.array(["group 0", "group 1"])[i % 2], "plate": np.array(["A", "B", "C"])[i % 3],
        "analyte": np.char.add("A", a.astype(str)), "value": np.exp(np.maximum(logs[i, a], 0.0)), "lod": 1.0,
        "censored": np.where(below, "left", "none"), "unit": "pg/mL",
    })  # fmt: skip


def test_the_file_of_a_panel_with_many_hidden_values_is_as_small_as_the_rules_say(tmp_path, monkeypatch):
    """A bound from shapes: 8 bytes a number, of rounded ones those that hold their digits, labels and statistics apart.

    With every draw of latent values the file is larger than the bound.
    """
    monkeypatch.setattr(left_out, "LARGE", 0)
    table = _hidden_panel(people=40, analytes=40)
    monkeypatch.setattr(latent, "_NUMBERS", 1)
    fits = []
    for fewest in (100, 10**9):
        monkeypatch.setattr(latent, "_FEWEST", fewest)
        fits.append(unsampled(ROBUST, table, draws=500, chains=2))
    some, every = (fit.save(tmp_path / "posterior.nc").stat().st_size for fit in fits)
    assert some < _bound(fits[0], latent_draws=100) < every


def _bound(fit: bd.Fit, latent_draws: int) -> float:
    full = fit.model.build(fit.data)
    core = prune_vars_detached_from_observed(full)
    draws = fit.manifest["draws"] * fit.manifest["chains"]
    prior = fit.tree["prior"].sizes["draw"]
    exponent = 12  # bits of a double's sign and exponent; _BITS_PER_SD + 4 hold values within 16 sds of zero
    rounded_bytes = math.ceil((exponent + 17) / 8)
    total = 0.0
    for rv in full.free_RVs:
        count = math.prod(len(full.coords[d]) for d in full.named_vars_to_dims.get(rv.name) or ())
        is_latent = "unseen" in (full.named_vars_to_dims.get(rv.name) or ())
        shape = np.empty((1, 1, count))
        each = rounded_bytes if is_rounded(rv.name, shape, full) else 8
        total += count * each * (latent_draws if is_latent else draws + prior)
        total += 8 * draws  # its sum of log prior densities
    for function in core.deterministics:
        total += 8 * prior * math.prod(len(full.coords[d]) for d in full.named_vars_to_dims.get(function.name) or ())
    values = sum(fit.tree["observed_data"][name].size for name in fit.tree["observed_data"].data_vars)
    replicated = fit.manifest["replicated_draws"] + fit.tree["prior_predictive"].sizes["draw"]
    total += values * replicated * math.ceil((exponent + BITS_OF_REPLICATES) / 8)
    rest = ("sample_stats", "constant_data", "observed_data")
    labels = sum(x.nbytes for node in fit.tree.subtree for x in node.coords.values())
    return total + labels + sum(fit.tree[name].to_dataset().nbytes for name in rest) + 100_000  # of HDF5's own
