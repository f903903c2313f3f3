"""Spreads of effects by unit: laws of effects against scipy's and against integrals, and the panel's own."""

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy import integrate, stats

from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import from_prior, log_density
from bayesdep.inference.steps import Steps
from bayesdep.models.cytokines.effects import design_errors
from bayesdep.models.cytokines.model import Cytokines
from bayesdep.models.parts.unit_spreads import horseshoe_spreads, student_spreads, tail_weight

NAMES = {"analyte": "analyte", "subject": "subject"}
GROUPS = {"group": "group", "reference": "HC"}


def panel(analytes=4, people=6, times=(0,)):
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {"analyte": f"a{a}", "subject": f"s{i}", "group": ("HC", "TRD")[i % 3 > 0], "time": t, "concentration": y}
        for a in range(analytes)
        for i in range(people)
        for t, y in zip(times, rng.lognormal(size=len(times)), strict=True)
    )


def test_degrees_of_freedom_are_a_gamma_cut_off_at_two():
    with pm.Model() as model:
        tail_weight("nu")
    above = model["nu_above"]
    law, values = stats.gamma(2, scale=10), np.array([0.0, 0.7, 30.0])
    found = log_density([above], {above: above}, {above: values})[0]
    np.testing.assert_allclose(found, law.logpdf(2 + values) - law.logsf(2), rtol=1e-9)
    drawn = from_prior([model["nu"]], 4000, seed=1)[0]
    assert drawn.min() >= 2
    assert stats.kstest(drawn, lambda x: 1 - law.sf(x) / law.sf(2)).pvalue > 1e-4


def test_student_effects_are_student_t():
    """Draws of the scale times a normal, against scipy's t at each draw's degrees of freedom."""
    with pm.Model(coords={"k": range(1)}) as model:
        spread = pm.Deterministic("spread", student_spreads("group", 0.7, dims="k"), dims="k")
        pm.Normal("effect", 0, spread, dims="k")
    effect, nu = from_prior([model["effect"], model["group_nu"]], 4000, seed=2)
    places = stats.t.cdf(effect[:, 0] / 0.7, nu)
    assert stats.kstest(places, "uniform").pvalue > 1e-4


def test_horseshoe_spreads_are_as_published():
    error = np.array([0.2, 0.5, 0.5, 0.1])
    with pm.Model(coords={"k": range(4)}) as model:
        pm.Deterministic("spread", horseshoe_spreads("group", error, 1.0, dims="k", slab=0.8), dims="k")
    spread, overall, local = from_prior([model[n] for n in ("spread", "group_global", "group_local")], 3000, seed=1)
    t = overall[:, None] * error * local
    np.testing.assert_allclose(spread, 0.8 * t / np.sqrt(0.64 + t**2), rtol=1e-9)
    assert (spread < 0.8).all()
    assert stats.kstest(overall, stats.halfcauchy(scale=1 / 3).cdf).pvalue > 1e-4
    assert stats.kstest(local[:, 1], stats.halfcauchy().cdf).pvalue > 1e-4


def test_expected_share_that_is_not_shrunk():
    """With error e by design, a share kappa of the effect is lost; its mean over the prior is near 1 - p0 / p."""
    p, p0 = 40, 4
    t = np.tan(np.pi / 2 * (np.arange(2000) + 0.5) / 2000)
    tau = p0 / (p - p0)  # the scale, held fixed
    kept = np.mean((tau * t) ** 2 / (1 + (tau * t) ** 2))
    assert kept == pytest.approx(tau / (1 + tau), rel=1e-3)  # Piironen and Vehtari 2017, equation 3.12
    assert kept == pytest.approx(p0 / p, rel=1e-3)
    whole = integrate.quad(lambda x: stats.halfcauchy.pdf(x) * (tau * x) ** 2 / (1 + (tau * x) ** 2), 0, np.inf)[0]
    assert whole == pytest.approx(p0 / p, rel=1e-6)


@pytest.mark.parametrize("settings", [{"effects": "student"}, {"effects": "horseshoe", "expected_nonzero": 1}])
@pytest.mark.parametrize("terms", [{}, {"time": "time", "group_by_time": True}])
def test_a_panel_with_heavy_tails_has_a_density_and_its_words(settings, terms):
    model = Cytokines(**NAMES, **GROUPS, **settings, **terms)
    data = model.prepare(panel(times=(0, 4, 24) if terms else (0,)))
    built = model.build(data)
    names = [rv.name for rv in built.free_RVs]
    points = {built[n]: x for n, x in zip(names, from_prior([built[n] for n in names], 3, seed=1), strict=True)}
    for density in log_density(built.free_RVs, {rv: rv for rv in built.free_RVs}, points):
        assert np.isfinite(density).all()
    law = "StudentT" if settings["effects"] == "student" else "Horseshoe"
    assert any(line.startswith(f"group_effect[a] ~ {law}") for line in model.formula)
    assert ("group_sd" in model.slots) == (settings["effects"] == "student")


def test_errors_by_design_hold_no_outcome():
    model = Cytokines(**NAMES, **GROUPS, time="time")
    table = panel(times=(0, 4))
    data = model.prepare(table)
    other = model.prepare(table.assign(concentration=table["concentration"] ** 3))
    for word, expected in (("group", np.sqrt(1 / 2 + 1 / 4)), ("time", np.sqrt(2 / 6))):
        found = design_errors(model, word, data)
        np.testing.assert_allclose(found, 0.8 * expected)
        np.testing.assert_array_equal(found, design_errors(model, word, other))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"effects": "horseshoe"}, "expected_nonzero go together"),
        ({"expected_nonzero": 3}, "expected_nonzero go together"),
        ({"effects": "student", "expected_nonzero": 3}, "expected_nonzero go together"),
        ({"effects": "horseshoe", "expected_nonzero": 0}, "above zero"),
        ({"effects": "student", "pooling": "none"}, "distribution over analytes"),
    ],
)
def test_laws_of_effects_that_are_no_choice_are_refused(settings, message):
    with pytest.raises(BadInput, match=message):
        Cytokines(**NAMES, **GROUPS, **settings)


def test_more_differences_than_analytes_are_refused():
    with pytest.raises(BadInput, match="of 4 analytes"):
        Cytokines(**NAMES, **GROUPS, effects="horseshoe", expected_nonzero=4).prepare(panel())


def test_student_effects_of_two_comparisons_are_multivariate_t():
    """Prior draws of two contrasts, from the second given the first: Mahalanobis distances over 2 are F(2, nu)."""
    table = panel().assign(group=lambda t: t["subject"].map(lambda s: ("HC", "TRD", "BD")[int(s[1:]) % 3]))
    model = Cytokines(**NAMES, **GROUPS, effects="student")
    built = model.build(model.prepare(table))
    names = ("group_effect", "group_mean_standardised", "group_mean", "group_sd", "group_nu", "group_mean_split")
    effect, _, mean, sd, nu, split = from_prior([built[n] for n in names], 3000, seed=3)
    assert effect.shape == (3000, 4, 2)
    away = effect[:, 0] - mean  # both without what people add
    root = np.linalg.inv(np.linalg.cholesky(np.array([[1.0, 0.5], [0.5, 1.0]])))
    distance = (((away @ root.T) / sd[:, None]) ** 2).sum(axis=1) / 2
    assert stats.kstest(stats.f.cdf(distance, 2, nu), "uniform").pvalue > 1e-3
    assert not np.isnan(split).any()


def test_chains_of_degrees_of_freedom_start_where_their_logarithm_is_finite():
    with pm.Model() as model:
        tail_weight("nu")
    assert np.isfinite(list(model.initial_point().values())).all()


def test_steps_are_the_models_own_or_those_given():
    model = Cytokines(**NAMES)
    assert Steps.of(model, None, None) == Steps(0.9, 10)
    assert Steps.of(model, 0.97, 12) == Steps(0.97, 12)
    for accept in (0.5, 1, 1.2, True, "0.9"):
        with pytest.raises(BadInput, match="target_accept = "):
            Steps.of(model, accept, None)
    for depth in (4, 16, 10.0, True):
        with pytest.raises(BadInput, match="max_tree_depth = "):
            Steps.of(model, None, depth)
