"""Coordinates of a panel change how it is sampled and nothing else; and what its data tell of them."""

import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from scipy import stats

from bayesdep.inference.diagnostics import Criterion, Gate
from bayesdep.inference.evaluate import at_draws, from_prior, log_density, uncompiled
from bayesdep.inference.remedies import add_remedy
from bayesdep.inference.steps import Steps
from bayesdep.models.cytokines.checks import law_checks
from bayesdep.models.cytokines.model import Cytokines
from bayesdep.models.cytokines.rough_effects import hardly_detected, rough_changes
from bayesdep.models.parts.adaptive_effects import Wall, adaptive_effects
from bayesdep.models.parts.adaptive_effects import walled as effects_at_a_wall

NAMES = {"analyte": "analyte", "subject": "subject", "group": "group", "reference": "HC", "censored": "below"}


def panel(hidden=(0, 8, 12), people=12, times=(0,), seed=3):
    """Analytes of which the first so many people lie below the limit, at every time."""
    rng = np.random.default_rng(seed)
    rows = [
        {"analyte": f"a{a}", "subject": f"s{i}", "group": ("HC", "TRD")[i % 2], "time": t, "below": i < n}
        | {"concentration": np.exp(0.0 if i < n else rng.uniform(0.1, 2))}
        for a, n in enumerate(hidden)
        for i in range(people)
        for t in times
    ]
    return pd.DataFrame(rows)


def walled(nu):
    """Four effects in coordinates with a wall above, none, one below, and one far above that was passed by much."""
    with pm.Model(coords={"k": range(4)}) as model:
        side, at = np.array([1.0, 0.0, -1.0, 1.0]), np.array([0.4, 0.0, 0.9, -3.0])
        wall = Wall(side, at, np.array([0.2, 1.0, 0.5, 0.05]))
        estimate, error = np.array([0.2, 2.0, -1.0, 0.0]), np.array([0.5, 1.0, 100.0, 100.0])
        effect = adaptive_effects("effect", 0.3, 0.8, estimate, error, dims="k", nu=nu, wall=wall)
    return model, effect


@pytest.mark.parametrize("nu", [None, 4.0])
def test_effects_beyond_a_wall_keep_their_law(nu):
    """Drawn coordinates, turned to effects, against scipy's law; and their density against change of variables."""
    model, effect = walled(nu)
    law = stats.norm(0.3, 0.8) if nu is None else stats.t(nu, 0.3, 0.8)
    drawn = from_prior([effect], 4000, seed=1)[0]
    for column in drawn.T:
        assert stats.kstest(column, law.cdf).pvalue > 1e-3
    x = np.linspace(-3, 3, 13)[:, None] * np.ones(4)
    latent = model["effect_latent"]
    density = log_density([latent], {latent: latent}, {latent: x})[0]
    step = 1e-5
    high, middle, low = (at_draws([effect], {latent: x + h})[0] for h in (step, 0.0, -step))
    expected = law.logpdf(middle) + np.log((high - low) / (2 * step))
    np.testing.assert_allclose(density, expected, atol=1e-6)


@pytest.mark.parametrize("spread", [1e-2, 1e-4, 1e-6, 1e-8])
def test_slopes_at_a_wall_are_right_where_the_spread_is_nearly_zero(spread):
    """There the wall is many spreads wide: what is sampled is the standardised effect, but for spread over width.

    Slopes of a difference of like numbers were wrong by 10^2 to 10^8 below a spread of 10^-4, where chains diverged.
    """
    x, centre, at, width = (pt.dvector(name) for name in ("x", "centre", "at", "width"))
    theta, slope = effects_at_a_wall(x, centre, spread, np.array([1.0, -1.0, 1.0]), at, width)
    z = (theta - centre) / spread
    total = (z + pt.log(slope)).sum()
    where = {x: np.array([-1.5, 0.3, 2.0]), centre: np.array([0.2, -0.4, 0.0]), at: np.array([3.0, 0.1, -0.7])}
    where |= {width: np.full(3, 0.5)}
    at_point = pytensor.function([*where], [z, *pt.grad(total, [*where])], mode=uncompiled())
    value, by_x, *others = at_point(*where.values())
    room = 20 * spread + 1e-14 / spread
    # first terms in spread: the slope of the wall's likelihood at the centre moves z by the spread over its width
    np.testing.assert_allclose(value, where[x], atol=room)
    np.testing.assert_allclose(by_x, 1, atol=room)
    np.testing.assert_allclose(others, np.zeros((3, 3)), atol=room)


def test_a_panel_has_one_joint_density_in_any_coordinates():
    """Latents' log density less log |d parameters / d latents| and the data's, against scipy's normals and tails.

    Of three analytes one was detected in everybody, one in four people and one in nobody; all three kinds of people are
    there: with no, one and two detected values. Means that are not normal keep means and people apart.
    """
    wide = {"dist": "StudentT", "nu": 5, "mu": 0, "sigma": 1.5}
    model = Cytokines(**NAMES, priors={"level_mean": wide, "group_mean": wide})
    data = model.prepare(panel())
    built = model.build(data)
    free = [
        built[name] for name in ("log_residual_sd_latent", "group_effect_1_latent", "level_latent", "person_latent")
    ]
    natural = [built[name] for name in ("residual_sd", "group_effect", "level", "person")]
    names = [rv.name for rv in built.free_RVs]
    assert sorted(names) == sorted(
        ["residual_mean", "residual_spread", "subject_sd", "group_mean", "group_sd", "level_mean", "level_sd"]
        + [rv.name for rv in free]
    )
    drawn = dict(zip(built.free_RVs, from_prior(built.free_RVs, 6, seed=4), strict=True))
    drawn |= {rv: np.random.default_rng(5).normal(size=drawn[rv].shape) for rv in free}  # on both sides of every wall
    at = {rv: rv for rv in free} | {rv: built.rvs_to_values[rv] for rv in built.observed_RVs}
    densities = log_density([*free, *built.observed_RVs], at, drawn)
    found = sum(x.reshape(6, -1).sum(axis=1) for x in densities)
    found -= [np.linalg.slogdet(slopes(natural, free, drawn, k))[1] for k in range(6)]
    given = {rv.name: values for rv, values in drawn.items()}
    sd, effect, level, person = at_draws(natural, drawn)
    effect = effect[..., 0]
    expected = stats.norm.logpdf(np.log(sd), given["residual_mean"][:, None], given["residual_spread"][:, None]).sum(1)
    expected += stats.norm.logpdf(effect, given["group_mean"], given["group_sd"][:, None]).sum(axis=1)
    expected += stats.norm.logpdf(level, given["level_mean"][:, None], given["level_sd"][:, None]).sum(axis=1)
    expected += stats.norm.logpdf(person, 0, given["subject_sd"][:, None]).sum(axis=1)
    a, i, g = (data[f"{word}_of"].values for word in ("analyte", "subject", "group"))
    eta = data["centre"].values[a] + level[:, a] + data["group_code"].values[g, 0] * effect[:, a] + person[:, i]
    z = (data["upper"].values - eta) / sd[:, a]
    is_detected = data["kind"].values == 0
    likelihood = np.where(is_detected, stats.norm.logpdf(z) - np.log(sd[:, a]), stats.norm.logcdf(z))
    np.testing.assert_allclose(found, expected + likelihood.sum(axis=1), rtol=1e-6, atol=1e-4)


def slopes(natural, free, drawn, k):
    """Derivatives of parameters (of the residual sds, their logs) by latents at one draw, by differences."""
    sizes = [drawn[rv][k].size for rv in free]
    total, step = sum(sizes), 1e-5
    steps = np.vstack([step * np.eye(total), -step * np.eye(total)])
    points = {rv: np.repeat(values[k : k + 1], len(steps), axis=0) for rv, values in drawn.items()}
    for rv, part in zip(free, np.split(steps, np.cumsum(sizes)[:-1], axis=1), strict=True):
        points[rv] = points[rv] + part.reshape(points[rv].shape)
    sd, *rest = (x.reshape(len(steps), -1) for x in at_draws(natural, points))
    values = np.hstack([np.log(sd), *rest])
    return (values[:total] - values[total:]).T / (2 * step)


def test_people_are_independent_before_data_whatever_was_detected():
    """Prior draws of what people add, of a panel with every kind of person: normal, with their sd, uncorrelated."""
    data = (model := Cytokines(**NAMES)).prepare(panel(hidden=(0, 8, 12, 3)))
    built = model.build(data)
    person, sd = from_prior([built["person"], built["subject_sd"]], 4000, seed=2)
    z = person / sd[:, None]
    for column in z.T:
        assert stats.kstest(column, "norm").pvalue > 1e-4
    off = np.corrcoef(z.T)[np.triu_indices(12, 1)]
    assert np.abs(off).max() < stats.norm.isf(0.0005 / len(off)) / np.sqrt(4000)


@pytest.mark.parametrize(
    "settings", [{}, {"effects": "student"}, {"time": "time"}, {"group_by_time": True, "time": "time"}]
)
def test_a_panel_with_an_analyte_that_was_never_detected_has_a_finite_density(settings):
    model = Cytokines(**NAMES, **settings)
    built = model.build(model.prepare(panel(times=(0, 4) if "time" in settings else (0,))))
    free = built.free_RVs
    points = dict(zip(free, from_prior(free, 50, seed=1), strict=True))
    for density in log_density(free, {rv: rv for rv in free}, points):
        assert np.isfinite(density).all()
    effects = at_draws([built["level"]], points)[0]
    assert np.isfinite(effects).all()


def test_changes_of_detected_pairs_are_their_means():
    data = Cytokines(**NAMES, time="time").prepare(table := panel(times=(0, 4)))
    mean, error = rough_changes(data)
    wide = np.log(table.pivot_table(index="subject", columns=["analyte", "time"], values="concentration"))
    change = (wide["a0"][4] - wide["a0"][0]).to_numpy()
    np.testing.assert_allclose([mean[0, 0], error[0, 0]], [change.mean(), stats.sem(change)])
    assert (mean[2, 0], error[2, 0]) == (0.0, 100.0)


def test_analytes_that_were_hardly_detected_are_to_blame_by_name():
    model = Cytokines(**NAMES)
    data = model.prepare(panel())
    assert hardly_detected(data) == {"a2": 0, "a1": 4}
    assert Steps.of(model, None, None, data) == Steps(0.97, 10)
    assert Steps.of(model, 0.9, None, data) == Steps(0.9, 10)
    gate = Gate((Criterion("divergences", 3, 0, passed=False),))
    assert add_remedy(gate, model, data, 1000, Steps(0.97, 10)).remedy == (
        "leaving out analytes that were hardly detected: a2 (0 detected), a1 (4 detected); "
        "shorter steps, target_accept = 0.99"
    )
    seen = model.prepare(panel(hidden=(0, 3)))
    assert Steps.of(model, None, None, seen) == Steps(0.9, 10)
    assert add_remedy(gate, model, seen, 1000, Steps(0.9, 10)).remedy == "shorter steps, target_accept = 0.97"


def law_p(effects, law="normal", seed=1):
    """Share of replicates above the data of the check on kurtosis, under normal effects of the right spread."""
    rng = np.random.default_rng([seed, 7])
    people, analytes = 60, len(effects)
    logs = rng.normal(size=(people, analytes)) + np.arange(people)[:, None] % 2 * effects
    table = pd.DataFrame(
        {
            "analyte": np.tile([f"a{a:02d}" for a in range(analytes)], people),
            "subject": np.repeat([f"s{i:02d}" for i in range(people)], analytes),
            "group": np.repeat([("HC", "TRD")[i % 2] for i in range(people)], analytes),
            "concentration": np.exp(logs).ravel(),
            "below": False,
        }
    )
    model = Cytokines(**NAMES, effects=law)
    found = {c.name: c for c in law_checks(model, model.prepare(table))}
    assert list(found) == ["spread over errors of crude log ratios, TRD", "log kurtosis of crude log ratios, TRD"]
    sd = xr.DataArray(np.full((1, 2000), max(float(np.std(effects)), 1e-3)), dims=("chain", "draw"))
    draws = xr.Dataset({"group_sd": sd} | ({"group_nu": 0 * sd + 2.5} if law == "student" else {}))
    shares = {}
    for name, check in found.items():
        assert check.replicated is not None
        observed = float(check.statistic(np.zeros(3)))
        shares[name.split(" of ")[0]] = float((check.replicated(draws, np.random.default_rng(1)) > observed).mean())
    return shares


def test_a_few_analytes_that_differ_are_out_of_line_with_normal_effects_and_not_with_student():
    """Three of forty differ by six of their standard errors; effects that are normal are in line."""
    sparse = np.where(np.arange(40) < 3, 6 * np.sqrt(4 / 60), 0.0)
    assert law_p(sparse)["log kurtosis"] < 0.001
    assert law_p(sparse, "student")["log kurtosis"] > 0.01
    shares = [law_p(np.random.default_rng(s).normal(0, 0.4, 40), seed=s) for s in range(12)]
    kurtosis = [s["log kurtosis"] for s in shares]
    assert stats.kstest(kurtosis, "uniform").pvalue > 0.001
    assert all(0.001 < s["spread over errors"] < 0.999 for s in shares)


def test_no_law_is_checked_where_there_is_none():
    table = panel(hidden=(0,) * 10)
    for settings in ({"pooling": "none"}, {"effects": "horseshoe", "expected_nonzero": 2}):
        model = Cytokines(**NAMES, **settings)
        assert law_checks(model, model.prepare(table)) == []
    assert len(law_checks(model := Cytokines(**NAMES), model.prepare(table))) == 2
    few = Cytokines(**NAMES)
    assert law_checks(few, few.prepare(panel())) == []


def test_replicates_of_the_law_know_residual_sds_or_their_distribution():
    """Draws from the prior hold mean and spread of log residual sds: new sds from these give the same replicates."""
    table = panel(hidden=(0,) * 10)
    model = Cytokines(**NAMES)
    check = law_checks(model, model.prepare(table))[0]
    assert check.replicated is not None
    draws, rng = 4000, np.random.default_rng(5)
    hyper = {"group_sd": 0.2, "subject_sd": 0.7, "residual_mean": -0.5, "residual_spread": 0.6}
    prior = xr.Dataset({name: (("chain", "draw"), np.full((1, draws), value)) for name, value in hyper.items()})
    sds = np.exp(hyper["residual_mean"] + hyper["residual_spread"] * rng.standard_normal((1, draws, 10)))
    known = prior.assign(residual_sd=(("chain", "draw", "analyte"), sds))
    a, b = (check.replicated(d, np.random.default_rng(k)) for k, d in enumerate((prior, known)))
    assert a.shape == b.shape == (draws,)
    assert stats.ks_2samp(a, b).pvalue > 0.001
    without_people = check.replicated(known.drop_vars("subject_sd"), np.random.default_rng(3))
    assert without_people.mean() > b.mean()  # errors of which nothing is common to all analytes are larger
