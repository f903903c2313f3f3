"""Dropout: conditional normals by hand, Rubin's rules by imputing, SAS's answers, and the tipping point."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayesdep as bd
from bayesdep.criticism.completion import METHODS
from bayesdep.data.errors import BadInput
from bayesdep.inference.diagnostics import Gate
from bayesdep.numerics import draws as numerics_draws
from bayesdep.reporting.figures.dropout import has_dropout

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
REFERENCE_BASED = METHODS[2:]
NAN = np.nan

# One row a patient's pattern over four visits: completers, dropouts at every visit, a gap, a gap and then dropout,
# nobody seen. Repeated in every arm.
SEEN = ["1111", "1111", "1111", "1110", "1100", "1000", "1011", "1010", "0000", "1111"]


def trial_table(arms=("placebo", "drug"), seen=SEEN, seed=1):
    rng = np.random.default_rng(seed)
    rows = []
    for a, arm in enumerate(arms):
        for i, pattern in enumerate(seen):
            who = {"patient": f"{arm} {i}", "arm": arm, "before": rng.normal(20, 4), "crp": np.exp(rng.normal(0.5, 1))}
            who["age"] = rng.normal(40, 10)
            days = np.cumsum(rng.integers(5, 12, 4))
            y = -1.5 * a * np.arange(4) + rng.normal(0, 3) + rng.normal(0, 3, 4)
            for j in range(4):
                rows.append({**who, "week": j + 1, "day": days[j], "y": y[j] if pattern[j] == "1" else NAN})
    return pd.DataFrame(rows)


def made_fit(table=None, draws=5, seed=2, **settings):
    """A fit with parameters drawn at random: what dropout makes of draws does not depend on how they came about."""
    model = bd.Trial(reference="placebo", outcome="y", subject="patient", visit="week", baseline="before", **settings)
    data = model.prepare(trial_table() if table is None else table)
    rng = np.random.default_rng(seed)
    sample, visits = (2, draws), data.sizes["visit"]

    def normal(*dims, sd=1.0):
        shape = tuple(data.sizes[d] for d in dims)
        return (("chain", "draw", *dims), rng.normal(0, sd, (*sample, *shape)))

    found = {"visit_mean": normal("visit", sd=3), "baseline_slope_at_visit": normal("visit")}
    found["arm_effect_at_visit"] = normal("comparison", "visit", sd=4)
    if model.moderator:
        found["moderator_effect_at_visit"] = normal("term", "visit")
        found["arm_by_moderator_at_visit"] = normal("comparison", "term", "visit")
    if model.formula_of_covariates:
        found["covariate_effect"] = normal("covariate")
    if model.level:
        found["site_effect"] = normal("site")
    dims = ("visit",) if model.heterogeneous else ()
    found["residual_sd"] = (("chain", "draw", *dims), rng.uniform(2, 6, (*sample, *[visits] * len(dims))))
    if model.covariance == "unstructured":
        a = rng.normal(size=(*sample, visits, 2 * visits))
        s = a @ np.swapaxes(a, -1, -2)
        sd = np.sqrt(np.diagonal(s, axis1=-2, axis2=-1))
        rows, columns = np.tril_indices(visits, -1)
        by_pair = (s / sd[..., None] / sd[..., None, :])[..., rows, columns]
        found["correlation_by_pair"] = (("chain", "draw", "pair"), by_pair)
    else:
        found["rho"] = (("chain", "draw"), rng.uniform(0.2, 0.9, sample))
    posterior = xr.Dataset(found, {"chain": [0, 1], "draw": np.arange(draws)})
    return with_posterior(bd.Fit(model, data, xr.DataTree(), {"gate": Gate(()).to_dict()}), posterior)


def with_posterior(fit, posterior):
    return dataclasses.replace(fit, tree=xr.DataTree.from_dict({"posterior": posterior}))


def by_hand(fit, method, draw):
    """One draw, patient by patient, from the definitions: completed means, and covariances by missing visits.

    Conditional normals by their precision matrix, which the package does not use.
    """
    model, data, p = fit.model, fit.data, fit.posterior.isel(chain=draw[0], draw=draw[1])
    visits = data.sizes["visit"]
    sd = np.broadcast_to(p["residual_sd"].values, visits)
    share = [np.mean(data["arm_of"].values == k) for k in range(data.sizes["arm"])]

    def mean_of(i, arm):
        mean = (
            float(data["centre"])
            + p["visit_mean"].values
            + p["baseline_slope_at_visit"].values * float(data["baseline"][i])
        )
        for k in range(1, data.sizes["arm"]):
            a = (arm == k) - share[k]
            mean = mean + a * p["arm_effect_at_visit"].values[k - 1]
            if model.moderator:
                mean = mean + a * data["moderator_terms"].values[i] @ p["arm_by_moderator_at_visit"].values[k - 1]
        if model.moderator:
            mean = mean + data["moderator_terms"].values[i] @ p["moderator_effect_at_visit"].values
        if model.covariates:
            mean = mean + data["covariates"].values[i] @ p["covariate_effect"].values
        return mean

    completed, covariance = [], []
    for i, y in enumerate(data["outcome"].values):
        arm = int(data["arm_of"][i])
        own, ref = mean_of(i, arm), mean_of(i, 0)
        seen = ~np.isnan(y)
        last = np.flatnonzero(seen).max(initial=-1)
        assumed = own.copy()
        for j in range(visits):
            if arm == 0 or method in ("missing-at-random", "delta"):
                continue
            if method == "copy-reference":
                assumed[j] = ref[j]
            elif j > last:
                assumed[j] = ref[j]
                if method == "copy-increments" and last >= 0:
                    assumed[j] = own[last] + (ref[j] - ref[last])
        if model.covariance == "unstructured":
            r = np.eye(visits)
            r[np.tril_indices(visits, -1)] = p["correlation_by_pair"].values
            r = r + np.tril(r, -1).T
        elif model.covariance == "compound-symmetry":
            r = np.where(np.eye(visits), 1, float(p["rho"]))
        else:
            days = data["day"].values[i]
            r = float(p["rho"]) ** np.abs(days[:, None] - days[None, :])
        precision = np.linalg.inv(np.diag(sd) @ r @ np.diag(sd))
        spread = np.zeros((visits, visits))
        whole = y.copy()
        if not seen.all():
            inverse = np.linalg.inv(precision[np.ix_(~seen, ~seen)])
            spread[np.ix_(~seen, ~seen)] = inverse
            filled = {
                name: m[~seen] - inverse @ precision[np.ix_(~seen, seen)] @ (y - m)[seen]
                for name, m in (("own", own), ("assumed", assumed))
            }
            whole[~seen] = np.where(np.flatnonzero(~seen) > last, filled["assumed"], filled["own"])
        completed.append(whole)
        covariance.append(spread)
    return np.array(completed), np.array(covariance)


def design_of(fit):
    """Intercept, arms, baseline, covariates and the moderator's terms."""
    data = fit.data
    arms = [(data["arm_of"].values == k).astype(float) for k in range(1, data.sizes["arm"])]
    columns = [np.ones(data.sizes["subject"]), *arms, data["baseline"].values, *data["covariates"].values.T]
    if fit.model.moderator:
        terms = [t - t.mean() for t in data["moderator_terms"].values.T]
        columns += terms + [a * t for a in arms for t in terms]
    return np.column_stack(columns)


SETTINGS = {
    "unstructured": {},
    "exchangeable": {"covariance": "compound-symmetry", "heterogeneous": False},
    "by days, covariates, moderator": {
        "covariance": "spatial-power", "day": "day", "covariates": "age", "moderator": "crp",
        "moderator_form": "log-quadratic",
    },
}  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("method", METHODS)
def test_each_draws_difference_is_that_of_conditional_normals_by_hand(method, settings):
    fit = made_fit(trial_table(("placebo", "high", "low")), **settings)
    found = bd.check_dropout(fit, method)
    completed = np.array([by_hand(fit, method, (c, d))[0] for c in range(2) for d in range(5)])
    for s, whole in enumerate(completed):
        expected = np.linalg.lstsq(design_of(fit), whole, rcond=None)[0][1:3]
        np.testing.assert_allclose(found["estimate"].values[s], expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found["mean"], found["estimate"].mean("draw"), rtol=1e-12)
    np.testing.assert_allclose(found["outcome"], completed.mean(axis=0), rtol=1e-10)


@pytest.mark.parametrize(
    ("method", "delta"), [("missing-at-random", 0.0), ("jump-to-reference", 1.5), ("copy-reference", -2)]
)
def test_mean_sd_and_degrees_of_freedom_are_rubins_of_very_many_imputations(method, delta):
    fit = made_fit(draws=20)
    design, each, rng = design_of(fit), 500, np.random.default_rng(3)
    left = fit.data["arm_of"].values[:, None] * bd.check_dropout(fit, method)["dropped"].values
    estimates, variances = [], []
    for draw in [(c, d) for c in range(2) for d in range(20)]:
        whole, covariance = by_hand(fit, method, draw)
        rest = np.array([rng.multivariate_normal(np.zeros(4), s, size=each) for s in covariance])
        y = (whole + delta * left)[:, None, :] + rest  # subject, imputation, visit
        beta, _, rank, _ = np.linalg.lstsq(design, y.reshape(len(y), -1), rcond=None)
        residual = y.reshape(len(y), -1) - design @ beta
        s2 = (residual**2).sum(axis=0) / (len(y) - rank)
        estimates.append(beta[1].reshape(each, 4))
        variances.append((s2 * np.linalg.inv(design.T @ design)[1, 1]).reshape(each, 4))
    found = bd.check_dropout(fit, method, delta=delta).isel(comparison=0)
    estimates, variances = np.array(estimates), np.array(variances)
    # draws are the same on both sides, so only the noise of imputing within a draw separates them
    noise = estimates.std(axis=1).mean(axis=0)
    error = noise / np.sqrt(40 * each)
    assert (np.abs(estimates.mean(axis=(0, 1)) - found["mean"].values) < 4 * error + 1e-12).all()
    error = variances.std(axis=1).mean(axis=0) / np.sqrt(40 * each)
    assert (np.abs(variances.mean(axis=(0, 1)) - found["within"].values) < 4 * error + 1e-12).all()
    between = estimates.mean(axis=1).var(axis=0, ddof=1) - noise**2 / each + estimates.var(axis=1, ddof=1).mean(axis=0)
    # a normal's variance has an error of sqrt(2 / n) of it; that of the draws' means, 2 noise / sqrt(each) of their sd
    spread = estimates.mean(axis=1).std(axis=0)
    error = np.sqrt(2 / (40 * each)) * noise**2 + 2 * spread * noise / np.sqrt(40 * each)
    assert (np.abs(between - found["between"].values) < 4 * error + 1e-12).all()
    total = found["within"] + found["between"]
    np.testing.assert_allclose(found["sd"] ** 2, total, rtol=1e-12)
    nu = len(design) - design.shape[1]
    df = (nu + 1) / (nu + 3) * nu * found["within"] / total  # Barnard and Rubin, infinitely many imputations
    half = stats.t.ppf(0.975, df) * found["sd"]
    np.testing.assert_allclose(found["upper"] - found["mean"], half, rtol=1e-9)
    np.testing.assert_allclose(found["mean"] - found["lower"], half, rtol=1e-9)


def test_between_imputations_vary_the_draws_and_what_each_draw_leaves_open():
    fit = made_fit()
    found = bd.check_dropout(fit, "jump-to-reference")
    alone = []
    for chain, draw in [(c, d) for c in range(2) for d in range(5)]:
        same = fit.posterior.isel(chain=[chain], draw=[draw, draw]).assign_coords(draw=[0, 1])
        alone.append(bd.check_dropout(with_posterior(fit, same), "jump-to-reference")["between"].values)
    expected = found["estimate"].values.var(axis=0, ddof=1) + np.mean(alone, axis=0)
    np.testing.assert_allclose(found["between"], expected, rtol=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_a_trial_without_dropout_gives_least_squares_by_visit(method):
    fit = made_fit(trial_table(seen=["1111"] * 8))
    found, design = bd.check_dropout(fit, method), design_of(fit)
    beta, squares, _, _ = np.linalg.lstsq(design, fit.data["outcome"].values, rcond=None)
    se = np.sqrt(squares / (16 - 3) * np.linalg.inv(design.T @ design)[1, 1])
    np.testing.assert_allclose(found["mean"].values[0], beta[1], rtol=1e-10)
    np.testing.assert_allclose(found["sd"].values[0], se, rtol=1e-10)
    assert not found["dropped"].any()


@pytest.mark.parametrize("method", METHODS)
def test_levels_of_a_random_effect_are_completed_and_compared_within(method):
    """The same means and the same regression as with an indicator for every level among the covariates."""
    table = trial_table()
    table["site"] = [("north", "east", "south")[int(name[-1]) % 3] for name in table["patient"]]
    fixed, random = (made_fit(table, covariates=formula) for formula in ("site", "(1 | site)"))
    of_patient = fixed.posterior["covariate_effect"].values @ fixed.data["covariates"].values.T
    first = [list(random.data["site_of"].values).index(k) for k in range(3)]
    effect = (("chain", "draw", "site"), of_patient[..., first])
    same = fixed.posterior.drop_vars("covariate_effect").assign(site_effect=effect)
    one, other = bd.check_dropout(fixed, method), bd.check_dropout(with_posterior(random, same), method)
    xr.testing.assert_allclose(one, other, rtol=1e-9)
    without = bd.check_dropout(with_posterior(random, same.assign(site_effect=0 * same["site_effect"])), method)
    assert np.abs(one["mean"] - without["mean"]).max() > 0.05


def test_delta_zero_is_missing_at_random_exactly():
    fit = made_fit()
    one, other = bd.check_dropout(fit, "delta", delta=0.0), bd.check_dropout(fit, "missing-at-random")
    xr.testing.assert_equal(one, other)


@pytest.mark.parametrize("method", REFERENCE_BASED)
def test_arms_with_equal_parameters_make_every_reference_the_own_arm(method):
    fit = made_fit(moderator="crp")
    posterior = fit.posterior
    fit_equal = with_posterior(
        fit,
        posterior.assign({name: 0 * posterior[name] for name in ("arm_effect_at_visit", "arm_by_moderator_at_visit")}),
    )
    xr.testing.assert_allclose(
        bd.check_dropout(fit_equal, method), bd.check_dropout(fit_equal, "missing-at-random"), rtol=1e-10, atol=1e-10
    )
    at_random = bd.check_dropout(fit, "missing-at-random")["mean"]
    assert np.abs(bd.check_dropout(fit, method)["mean"] - at_random).max() > 0.1


@pytest.mark.parametrize("method", METHODS[1:])
def test_only_visits_after_dropout_outside_the_reference_arm_are_assumed(method):
    fit = made_fit()
    delta = 2.0 if method == "delta" else 0.0
    as_random = bd.check_dropout(fit, "missing-at-random")["outcome"].values
    outcome = bd.check_dropout(fit, method, delta=delta)["outcome"].values
    y, arm = fit.data["outcome"].values, fit.data["arm_of"].values
    # the patterns of SEEN: what comes after the last 1
    after = np.array([[not set(p[j:]) & {"1"} for j in range(4)] for p in SEEN * 2])
    np.testing.assert_array_equal(bd.check_dropout(fit, method)["dropped"], after)
    assumed = after & (arm == 1)[:, None]
    np.testing.assert_array_equal(outcome[~assumed], as_random[~assumed])
    assert (np.abs(outcome - as_random)[assumed] > 1e-3).all()
    np.testing.assert_array_equal(outcome[~np.isnan(y)], y[~np.isnan(y)])
    counts = bd.check_dropout(fit, method)["dropouts"]
    assert counts.sel(arm="drug").values.tolist() == [
        1,
        2,
        3,
        5,
    ]  # by hand from SEEN: nobody, 1000, 1100, 1110 and 1010


@pytest.mark.parametrize("method", METHODS[1:])
def test_delta_is_added_after_dropping_out_and_moves_the_difference_along_a_line(method):
    fit = made_fit(trial_table(("placebo", "high", "low")))
    none, once, twice = (bd.check_dropout(fit, method, delta={"low": d}) for d in (0, 1, 2))
    left = none["dropped"].values & (fit.data["arm_of"].values == 2)[:, None]  # arms: placebo, high, low
    np.testing.assert_allclose(once["outcome"] - none["outcome"], left.astype(float), atol=1e-12)
    np.testing.assert_allclose(twice["mean"] - none["mean"], 2 * (once["mean"] - none["mean"]), atol=1e-12)
    assert (once["mean"] - none["mean"]).sel(comparison="low", visit="4") > 0.3  # about the share of dropouts
    everybody = bd.check_dropout(fit, method, delta=1.0)
    both = bd.check_dropout(fit, method, delta={"low": 1, "high": 1})
    xr.testing.assert_identical(everybody, both)
    assert everybody.attrs["delta"] == "high +1, low +1"
    reference = bd.check_dropout(fit, method, delta={"placebo": 1.0})
    assert (reference["mean"].sel(visit="4") < none["mean"].sel(visit="4")).all()


def test_a_growing_delta_is_added_once_more_at_each_further_visit():
    fit = made_fit()
    none, flat, growing = (
        bd.check_dropout(fit, "delta", delta=d, growing=g) for d, g in ((0, False), (1, False), (1, True))
    )
    added = growing["outcome"] - none["outcome"]
    np.testing.assert_allclose(added, (flat["outcome"] - none["outcome"]).cumsum("visit"), atol=1e-12)
    assert float(added.max()) > 1.5
    clear = clear_fit(-20.0)
    point = bd.find_tipping_point(clear, growing=True)
    assert 0 < point < bd.find_tipping_point(clear)
    ends = bd.check_dropout(clear, "delta", delta=point, growing=True)["upper"].isel(visit=-1)
    assert abs(float(ends.sel(comparison="drug"))) < 1e-8


def test_arms_with_covariances_of_their_own_are_completed_by_them():
    fit = made_fit(covariance="ar1")
    posterior = fit.posterior

    def by_arm(**changed):
        both = {name: [posterior[name], changed.get(name, posterior[name])] for name in ("residual_sd", "rho")}
        own = {name: xr.concat(pair, "arm").transpose("chain", "draw", "arm", ...) for name, pair in both.items()}
        arms = posterior.drop_vars([*own]).assign(own).assign_coords(arm=fit.data["arm"].values)
        return with_posterior(dataclasses.replace(fit, model=dataclasses.replace(fit.model, by_arm=True)), arms)

    plain = bd.check_dropout(fit, "delta", delta=1.0)
    xr.testing.assert_allclose(bd.check_dropout(by_arm(), "delta", delta=1.0), plain)
    other = bd.check_dropout(
        by_arm(rho=posterior["rho"] / 2, residual_sd=2 * posterior["residual_sd"]), "delta", delta=1.0
    )
    is_drug = fit.data["arm_of"].values == 1
    moved = np.abs(other["outcome"] - plain["outcome"]).max("visit").values
    assert (moved[~is_drug] < 1e-12).all()
    assert moved[is_drug].max() > 0.01
    with pytest.raises(BadInput, match="'copy-reference' takes the arms to share one covariance, but by_arm = True"):
        bd.check_dropout(by_arm(), "copy-reference")
    left = bd.plot_dropout(by_arm()).axes[0]
    assert [label.get_text() for label in left.get_yticklabels()] == ["missing at random"]


def test_a_robust_fit_imputes_with_each_patients_own_precision():
    fit = made_fit()
    sample, who = fit.posterior[["chain", "draw"]].coords, fit.data["subject"]

    def robust(w):
        precision = xr.DataArray(np.full((2, 5, len(who)), w), {**sample, "subject": who}, ("chain", "draw", "subject"))
        model = dataclasses.replace(fit.model, robust=True)
        return with_posterior(dataclasses.replace(fit, model=model), fit.posterior.assign(precision=precision))

    plain = bd.check_dropout(fit, "missing-at-random")
    xr.testing.assert_allclose(bd.check_dropout(robust(1.0), "missing-at-random"), plain)
    quarter = bd.check_dropout(robust(0.25), "missing-at-random")
    np.testing.assert_allclose(quarter["outcome"], plain["outcome"])
    assert (quarter["between"] >= plain["between"] - 1e-12).all()
    draws = plain["estimate"].var("draw", ddof=1).values
    np.testing.assert_allclose(quarter["between"] - draws, 4 * (plain["between"] - draws), atol=1e-12)


def test_draws_are_evenly_spaced_and_completing_them_in_parts_changes_nothing(monkeypatch):
    fit = made_fit(draws=6)
    whole = bd.check_dropout(fit, "copy-increments")
    thinned = bd.check_dropout(fit, "copy-increments", draws=4)
    np.testing.assert_array_equal(thinned["estimate"], whole["estimate"].isel(draw=[0, 3, 6, 9]))
    xr.testing.assert_identical(bd.check_dropout(fit, "copy-increments", draws=99), whole)
    monkeypatch.setattr(numerics_draws, "NUMBERS_AT_ONCE", 5 * fit.data["outcome"].size)
    xr.testing.assert_allclose(bd.check_dropout(fit, "copy-increments"), whole, rtol=1e-12)


# The tipping point.


def clear_fit(effect=-8.0, seen=SEEN):
    """A fit in which the drug is clearly better at visits that were observed, and expected to be afterwards."""
    table = trial_table(seen=seen)
    table["y"] += np.where(table["arm"] == "drug", effect, 0)
    fit = made_fit(table)
    posterior = fit.posterior
    steady = {"visit_mean": 0.1, "baseline_slope_at_visit": 0.01, "arm_effect_at_visit": 0.0}
    posterior = posterior.assign({name: posterior[name] * by for name, by in steady.items()})
    return with_posterior(fit, posterior.assign(arm_effect_at_visit=posterior["arm_effect_at_visit"] + effect))


@pytest.mark.parametrize("method", METHODS[1:3])
@pytest.mark.parametrize("visit", [None, 3, "3"])
def test_at_the_tipping_point_the_interval_ends_at_zero_and_before_it_excludes_zero(method, visit):
    fit = clear_fit(-20.0)
    point = bd.find_tipping_point(fit, "drug", visit, method=method)
    label = "4" if visit is None else "3"
    assert point > 0

    def upper(delta):
        return float(bd.check_dropout(fit, method, delta=delta)["upper"].sel(comparison="drug", visit=label))

    assert abs(upper(point)) < 1e-8
    assert all(upper(share * point) < 0 for share in np.linspace(0, 0.99, 12))
    assert upper(1.01 * point) > 0


def test_where_higher_is_better_the_tipping_point_is_the_mirror_image():
    fit = clear_fit()
    data = fit.data.assign(outcome=-fit.data["outcome"], centre=-fit.data["centre"])
    names = ("visit_mean", "baseline_slope_at_visit", "arm_effect_at_visit")
    mirrored = with_posterior(
        dataclasses.replace(fit, data=data, model=dataclasses.replace(fit.model, better="higher")),
        fit.posterior.assign({name: -fit.posterior[name] for name in names}),
    )
    assert bd.find_tipping_point(mirrored) == pytest.approx(-bd.find_tipping_point(fit), rel=1e-8)


def test_no_advantage_has_no_tipping_point():
    assert bd.find_tipping_point(clear_fit(0.5), "drug") is None  # the interval includes zero
    worse = clear_fit(9.0)
    assert bd.check_dropout(worse, "missing-at-random")["lower"].values[0, -1] > 0
    assert bd.find_tipping_point(worse, "drug") is None


def test_the_figure_shows_each_methods_interval_and_a_band_that_ends_at_zero_at_the_tipping_point():
    fit = clear_fit(-20.0)
    left, right = bd.plot_dropout(fit).axes
    methods = [m for m in METHODS if m != "delta"]
    assert [t.get_text() for t in left.get_yticklabels()] == [m.replace("-", " ") for m in methods]
    found = [bd.check_dropout(fit, m).isel(comparison=0, visit=-1) for m in methods]
    segments = [c.get_segments()[0][:, 0] for c in left.collections]
    np.testing.assert_allclose(segments, [[float(f["lower"]), float(f["upper"])] for f in found])
    np.testing.assert_allclose([line.get_xdata()[0] for line in left.lines[:4]], [float(f["mean"]) for f in found])
    band = right.collections[0].get_paths()[0].vertices
    point = bd.find_tipping_point(fit)
    above = band[band[:, 1] > np.interp(band[:, 0], *right.lines[0].get_data())]  # the band's upper edge
    above = above[np.argsort(above[:, 0])]
    assert np.interp(point, above[:, 0], above[:, 1]) == pytest.approx(0, abs=1e-3)  # linear between 101 points
    (far,) = right.lines[0].get_xdata()[-1:]
    at_end = bd.check_dropout(fit, "delta", delta=far).isel(comparison=0, visit=-1)
    assert above[-1] == pytest.approx([far, float(at_end["upper"])])
    assert f"{point:+.2f} points" in " ".join(right.get_title(loc="left").split())


def test_the_figure_is_offered_where_the_treated_of_two_arms_dropped_out():
    assert has_dropout(made_fit())
    assert not has_dropout(made_fit(trial_table(seen=["1111"] * 5)))
    assert not has_dropout(made_fit(trial_table(("placebo", "high", "low"))))


# Refusals.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: bd.check_dropout(f, "jump-to-referense"), "there is no method.*did you mean 'jump-to-reference'"),
        (lambda f: bd.find_tipping_point(f, method="copy"), "there is no method 'copy'"),
        (lambda f: bd.check_dropout(f, "delta", delta={"drugs": 1}),
         "'drugs', which is not in the fit; did you mean 'drug'"),
        (lambda f: bd.check_dropout(f, "delta", delta=NAN),
         "delta = nan for arm 'drug', but a number of points is needed"),
        (lambda f: bd.check_dropout(f, "delta", delta="2"), "delta = '2' for arm 'drug', but a number of points"),
        (lambda f: bd.check_dropout(f, "missing-at-random", delta=2), "delta = 2 is not missing at random; use method"),
        (lambda f: bd.check_dropout(f, "delta", draws=1), "draws = 1, but a whole number of two or more"),
        (lambda f: bd.check_dropout(f, "delta", draws=2.5), "draws = 2.5, but a whole number of two or more"),
        (lambda f: bd.find_tipping_point(f, "placebo"), "there is no arm 'placebo' beside the reference"),
        (lambda f: bd.find_tipping_point(f, visit=9), "there is no visit '9'"),
        (lambda f: bd.find_tipping_point(f, method="missing-at-random"),
         "a delta is not missing at random; use method"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_in_one_sentence(call, message):
    with pytest.raises(BadInput, match=message) as caught:
        call(made_fit())
    assert "\n" not in str(caught.value)
    assert ". " not in str(caught.value)


def test_arms_visits_and_designs_without_an_answer_are_refused():
    with pytest.raises(BadInput, match="there are 2 arms beside the reference; name one of 'high', 'low'"):
        bd.find_tipping_point(made_fit(trial_table(("placebo", "high", "low"))))
    stayed = clear_fit(seen=["1111"] * 5 + ["1110"] * 3)
    with pytest.raises(BadInput, match="nobody in arm 'drug' had dropped out by visit 3, so no delta"):
        bd.find_tipping_point(stayed, visit=3)
    few = trial_table(seen=["1111", "1111"])
    with pytest.raises(BadInput, match="4 patients are too few for a regression on 4 terms"):
        bd.check_dropout(made_fit(few, covariates="age"), "delta")
    table = trial_table()
    table["site"] = np.where(table["arm"] == "drug", "north", "south")
    with pytest.raises(BadInput, match=r"covariates = 'site': 'site\[south\]' follows from the arm, the baseline or"):
        made_fit(table, covariates="site")
    with pytest.raises(BadInput, match="arms are told apart by baseline or the levels of 'site' alone"):
        bd.check_dropout(made_fit(table, covariates="(1 | site)"), "delta")


@pytest.mark.parametrize("function", [lambda f: bd.check_dropout(f, "delta"), bd.find_tipping_point])
def test_a_fit_of_anything_but_a_trial_is_refused(function):
    model = bd.Screen(condition="responder", positives="below_34_pg_per_mL")
    fit = bd.fit(model, bd.load("kiraly2017_fgf2_roc"), seed=1)
    with pytest.raises(BadInput, match=r"who leave a trial, but this is a fit of Screen; give a fit of bd\.Trial"):
        function(fit)


# Real patients.


EFFECTS = ("baseline_slope", "arm_effect")


@functools.cache
def antidepressant():
    path = SHARED / "antidepressant" / "antidepressant.csv"
    if not path.exists():
        pytest.skip(f"{path} is not there")  # real patients are not part of the repository
    wide = bd.Prior("Normal", mu=0, sigma=100)
    flat = dict.fromkeys(("visit_mean", *EFFECTS, *(f"{name}_departure" for name in EFFECTS)), wide)
    model = bd.Trial(
        reference="placebo", outcome="change", baseline="hamd17_baseline", lkj=1.0,
        priors=flat | {"residual_sd": bd.Prior("HalfNormal", sigma=100)},
    )  # fmt: skip
    return bd.fit(model, pd.read_csv(path, dtype={"subject": str}), seed=1)


# SAS, Bayesian multiple imputation and analysis of covariance, as stored with the tests of R's rbmi 1.5.2
# (../shared/data/antidepressant/README.md): drug less placebo at visit 7, and its standard error.
SAS = {
    "missing-at-random": (-2.795, 1.114),
    "copy-increments": (-2.446, 1.107),
    "copy-reference": (-2.366, 1.107),
    "jump-to-reference": (-2.124, 1.128),
}


@pytest.mark.sampling
@pytest.mark.parametrize("method", SAS)
def test_the_antidepressant_trial_gives_the_answers_of_sas(method):
    mean, se = SAS[method]
    found = bd.check_dropout(antidepressant(), method).sel(comparison="drug", visit="7")
    assert abs(float(found["mean"]) - mean) < 0.1 * se
    assert float(found["sd"]) == pytest.approx(se, rel=0.05)


@pytest.mark.sampling
def test_under_missing_at_random_the_completed_trial_says_what_the_mixed_model_says():
    fit = antidepressant()
    found = bd.check_dropout(fit, "missing-at-random").sel(comparison="drug")
    difference = fit.estimands["difference"].sel(comparison="drug")
    draws = difference.values.reshape(-1, 4)
    # the model's own mean has the Monte Carlo error of 4000 draws; at least a tenth of them are effective by the gate
    assert (np.abs(found["mean"] - draws.mean(axis=0)) < 4 * draws.std(axis=0) / np.sqrt(400)).all()
    np.testing.assert_allclose(found["sd"], draws.std(axis=0), rtol=0.05)


@pytest.mark.sampling
def test_a_saved_fit_gives_the_same_answers(tmp_path):
    fit = antidepressant()
    again = bd.Fit.load(fit.save(tmp_path / "fit.nc"))
    xr.testing.assert_identical(bd.check_dropout(again, "copy-reference"), bd.check_dropout(fit, "copy-reference"))
    assert bd.find_tipping_point(again, "drug") == bd.find_tipping_point(fit, "drug") > 0
