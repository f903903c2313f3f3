"""Patients of several studies as people bring them: one arm only, arms exchanged, other units, uninformative levels."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytensor
import pytest
import xarray as xr
from scipy import stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.diagnostics import Gate
from bayesdep.inference.evaluate import from_prior, uncompiled
from bayesdep.models.patient_meta.density import density_and_slopes
from bayesdep.models.patient_meta.model import PatientMeta
from bayesdep.models.patient_meta.quadratic import as_quadratic
from bayesdep.reporting.ledger import Published, refuse_unknown

CASES = Path(__file__).parents[1].parent / "shared" / "cases"
SUMS = ("cross", "projected", "outcomes", "seen", "proper")
TRIALS = {"reference": "control", "outcome": "improvement", "baseline": "madrs_baseline"}
MODELS = {
    "free": {},
    "random": {"study_levels": "random"},
    "free, moderators": {"moderators": ["trd", "age"], "effects": "student"},
    "random, horseshoe": {
        "moderators": ["us", "systolic"], "effects": "horseshoe", "expected_nonzero": 2, "study_levels": "random",
    },
    "events, free": {"times": ["rapid"], "at_least": 50},
    "events, random": {
        "times": ["rapid"], "at_least": 50, "moderators": ["trd"], "effects": "normal", "study_levels": "random",
    },
}  # fmt: skip


def case_table():
    path = CASES / "pooled_single_arm_trial.csv"
    if not path.exists():
        pytest.skip("needs ../shared/cases")
    return pd.read_csv(path)


@functools.cache
def trials():
    return bd.simulate("price2022", seed=1).table


def small(arms, *, seed=1):
    """Studies A, B, ... with (placebo, drug) patients each; the drug improves by one point, studies lie apart."""
    rng = np.random.default_rng(seed)
    rows = [
        {"study": chr(65 + k), "subject": f"{k}-{arm}-{i}", "arm": arm, "hamd": 5 * k - (arm == "drug") + rng.normal()}
        for k, sizes in enumerate(arms)
        for arm, n in zip(("placebo", "drug"), sizes, strict=True)
        for i in range(n)
    ]
    return pd.DataFrame(rows)


def same(one, other):
    """Whether two prepared data sets are the same patients, studies and numbers."""
    assert list(one["study"].values) == list(other["study"].values)
    for name in one.variables:
        if one[name].dtype.kind == "f":
            np.testing.assert_allclose(one[name].values, other[name].values, rtol=1e-12, atol=1e-12, err_msg=name)


SMALL = {"reference": "placebo", "outcome": "hamd", "time": None}


@pytest.mark.parametrize("settings", [{}, {"study_levels": "random"}, {"at_most": 12.0}])
def test_a_trial_without_the_reference_is_left_out_with_its_name(settings):
    table = case_table()
    model = PatientMeta(**SMALL, baseline="baseline", **settings)
    data = model.prepare(table)
    same(data, model.prepare(table[table["study"] != "T4"]))
    assert data.attrs["left_out"] == (
        "study 'T4' has nobody on placebo to compare with, so its 20 patients are left out"
    )
    assert "study 'T4' has nobody on placebo" in data.attrs["notes"]


@pytest.mark.parametrize("settings", [{}, {"at_most": 0.0}])
def test_two_of_five_trials_without_the_reference_or_without_the_treatment(settings):
    table = small([(8, 8), (0, 9), (7, 8), (6, 0), (8, 9)])
    model = PatientMeta(**SMALL, **settings)
    data = model.prepare(table)
    same(data, model.prepare(table[table["study"].isin(["A", "C", "E"])]))
    assert "study 'B' has nobody on placebo to compare with, so its 9 patients are left out" in data.attrs["left_out"]
    assert "study 'D' has nobody on drug to compare with, so its 6 patients are left out" in data.attrs["left_out"]


@pytest.mark.parametrize("settings", [{}, {"at_most": 0.0}])
def test_trials_with_one_arm_each_are_refused_and_so_is_one_trial_with_both(settings):
    model = PatientMeta(**SMALL, **settings)
    with pytest.raises(BadInput, match="no study has patients of both arms, placebo and drug") as raised:
        model.prepare(small([(8, 0), (0, 8), (9, 0)]))
    assert "\n" not in str(raised.value)
    with pytest.raises(BadInput, match="there is one study, 'A', with both arms"):
        model.prepare(small([(8, 8), (0, 8), (9, 0)]))
    with pytest.raises(BadInput, match="has only 'drug'; name one of these"):
        model.prepare(small([(0, 8), (0, 8), (0, 9)]))


def test_a_time_at_which_no_study_has_both_arms_is_refused_and_left_out_it_is_not():
    table = trials().copy()
    table.loc[(table["arm"] == "control") & (table["time"] == "post-rapid"), "improvement"] = np.nan
    with pytest.raises(BadInput, match="or leave that time out of times"):
        PatientMeta(**TRIALS).prepare(table)
    same(
        PatientMeta(**TRIALS, times=["rapid"]).prepare(table), PatientMeta(**TRIALS, times=["rapid"]).prepare(trials())
    )


def test_an_arm_of_one_patient_is_a_comparison():
    data = PatientMeta(**SMALL).prepare(small([(1, 8), (7, 1), (8, 8)]))
    assert data.attrs["left_out"] == ""
    assert data.sizes["study"] == 3


def test_an_arm_that_is_empty_at_one_time_or_without_the_moderator():
    """Later nobody on control was seen in one study; in another nobody on control has the moderator."""
    table = trials().copy()
    at = (table["study"] == "Sos") & (table["arm"] == "control") & (table["time"] == "post-rapid")
    table.loc[at, "improvement"] = np.nan
    data = PatientMeta(**TRIALS).prepare(table)
    assert data.attrs["left_out"] == (
        "study 'Sos' has nobody on control at 'post-rapid' to compare with, so its outcomes then are left out"
    )
    k = list(data["study"].values).index("Sos")
    later = data["outcome"].values[data["study_of"].values == k, 1]
    assert np.isnan(later).all()
    table = trials().copy()
    table.loc[(table["study"] == "Sos") & (table["arm"] == "control"), "age"] = np.nan
    data = PatientMeta(**TRIALS, moderators=["age"]).prepare(table)
    assert "Sos" not in data["study"].values
    assert "study 'Sos' has nobody on control at 'rapid' and 'post-rapid' to compare" in data.attrs["left_out"]
    same(data, PatientMeta(**TRIALS, moderators=["age"], scale=1.0).prepare(table[table["study"] != "Sos"]).assign(
        {v: data[v] for v in ("outcomes", "projected", "outcome_mean", "outcome_sd")}
    ))  # fmt: skip


@pytest.mark.parametrize("moderators", [[], ["age"]])
def test_free_levels_are_least_squares_with_a_dummy_for_every_study(moderators):
    """Estimates and standard errors of generalised least squares over patients, at given variances."""
    model = PatientMeta(**TRIALS, times=["rapid"], moderators=moderators, split=False)
    data = model.prepare(trials())
    rng, studies = np.random.default_rng(1), data.sizes["study"]
    sd, tau = np.exp(0.2 * rng.normal(size=(1, studies, 1))), 0.25
    a, b, _ = as_quadratic(np.diag([1.0, tau])[None], np.zeros(1), sd, data)
    keep = [1, 2] + ([3, 4] if moderators else [])  # the intercept is in the levels
    covariance = np.linalg.inv(a[0].sum(axis=0)[np.ix_(keep, keep)])
    found = covariance @ b[0].sum(axis=0)[keep]
    y = ((data["outcome"] - data["outcome_mean"]) / data["outcome_sd"]).values[:, 0]
    of, arm = data["study_of"].values, data["arm_of"].values
    code, x = arm - float(data["share_treated"]), data["parts"].values
    design = np.column_stack([code, data["baseline"], x, code[:, None] * x, np.eye(studies)[of]])
    together = (of[:, None] == of) * np.outer(arm - 0.5, arm - 0.5) * tau**2
    inverse = np.linalg.inv(np.diag(sd[0, of, 0] ** 2) + together)
    expected_cov = np.linalg.inv(design.T @ inverse @ design)
    expected = expected_cov @ design.T @ inverse @ y
    np.testing.assert_allclose(found, expected[: len(keep)], atol=1e-9)
    np.testing.assert_allclose(covariance, expected_cov[: len(keep), : len(keep)], atol=1e-10)


def test_a_constant_added_to_all_patients_of_a_study_says_nothing_where_levels_are_free():
    table, moved = trials(), trials().copy()
    moved.loc[moved["study"] == "Su", "improvement"] += 40.0
    rng, found = np.random.default_rng(2), {}
    gamma, sd = 0.3 * rng.normal(size=(2, 4, 2)), np.exp(0.2 * rng.normal(size=(17, 2)))
    root = np.diag([1.0, 0.3, 1.0, 0.2])
    for levels in ("free", "random"):
        model = PatientMeta(**TRIALS, moderators=["trd", "age"], split=False, study_levels=levels, scale=30.0)
        one, other = (
            density_and_slopes(gamma, sd, np.asarray(0.5), root, *(model.prepare(t)[v].values for v in SUMS))
            for t in (table, moved)
        )
        found[levels] = [np.abs(x - y).max() for x, y in zip(one, other, strict=True)]
    assert max(found["free"]) < 1e-8  # the density and its slopes
    assert min(found["random"]) > 0.1


def density_of(model, data):
    from pymc.model.transform.conditioning import prune_vars_detached_from_observed

    core = prune_vars_detached_from_observed(model.build(data))
    f = pytensor.function(core.value_vars, core.logp(), mode=uncompiled())
    return core, lambda point: float(f(*(np.asarray(point[v.name], float) for v in core.value_vars)))


MIRRORED = ("effect", "effect_overall", "effect_change", "interaction", "interaction_latent", "interaction_raw",
            "effect_latent", "effect_share_logodds__")  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_arms_exchanged_the_effect_changes_its_sign_and_nothing_else(name):
    """The joint density at mirrored points: effects and their correlation with levels turn their signs."""
    model = PatientMeta(**TRIALS, **MODELS[name])
    turned = PatientMeta(**(TRIALS | {"reference": "ketamine"}), **MODELS[name])
    graph, density = density_of(model, model.prepare(trials()))
    _, other = density_of(turned, turned.prepare(trials()))
    rng = np.random.default_rng(3)
    assert set(MIRRORED) & set(graph.initial_point())
    for _ in range(3):
        point = {n: 0.5 * rng.normal(size=np.shape(x)) for n, x in graph.initial_point().items()}
        mirror = {n: -x if n in MIRRORED else x for n, x in point.items()}
        assert other(mirror) == pytest.approx(density(point), rel=1e-11, abs=1e-8)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("factor", [10, 1024, 1e6])
def test_in_other_units_all_but_what_is_in_units_stays(name, factor):
    settings = MODELS[name]
    other = settings | ({"at_least": 50 * factor} if "at_least" in settings else {})
    model, scaled = PatientMeta(**TRIALS, **settings), PatientMeta(**TRIALS, **other)
    one = model.prepare(trials())
    two = scaled.prepare(trials().assign(improvement=factor * trials()["improvement"]))
    for v in (*SUMS, "interaction_error") if "events" not in name else ("events", "n", "z"):
        if v in one:
            np.testing.assert_allclose(two[v], one[v], rtol=1e-10, atol=1e-9, err_msg=v)
    if "events" not in name:
        np.testing.assert_allclose(two["outcome_sd"], factor * one["outcome_sd"], rtol=1e-12)


def test_scale_is_what_one_sd_is():
    data = PatientMeta(**TRIALS, scale=40.0).prepare(trials())
    assert data["outcome_sd"].values.tolist() == [40.0, 40.0]
    usual = PatientMeta(**TRIALS).prepare(trials())
    np.testing.assert_allclose(data["projected"] * 40, usual["projected"] * usual["outcome_sd"], atol=1e-8)


def test_the_mean_effect_over_two_times_has_the_prior_of_one():
    model = PatientMeta(**TRIALS)
    (effect,) = from_prior([model.build(model.prepare(trials()))["effect"]], 4000, seed=1)
    mean, change = effect.mean(axis=1), effect[:, 1] - effect[:, 0]
    for x in (mean, change):  # 4000 draws of N(0, 1)
        assert stats.kstest(x, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(mean, change)[0, 1]) < 0.06


def test_replicates_of_a_study_with_a_free_level_have_its_mean():
    """A flat prior cannot be drawn from: replicates vary in what is compared within a study, not in its mean."""
    from bayesdep.inference.evaluate import at_draws

    model = PatientMeta(**TRIALS)
    data = model.prepare(trials())
    graph = model.build(data)
    names = [v for v in graph.free_RVs if v.name in ("effect_overall", "effect_change", "tau_effect", "residual_sd")]
    given = {v: np.broadcast_to(0.3, (50, *v.shape.eval())) for v in names}
    (drawn,) = at_draws([graph["outcomes"]], given, seed=1)
    count = data["cross"].values[..., 0, 0][..., None] * data["seen"].values[:, None, :]
    total = (drawn[..., :2] * count).sum(axis=(2, 3))
    np.testing.assert_allclose(total, np.broadcast_to(data["projected"].values[..., 0, :].sum((1, 2)), total.shape))
    assert (drawn[..., 0].std(axis=0)[data["cross"].values[..., 0, 0] > 0] > 0).all()


@pytest.mark.parametrize(
    ("settings", "row", "name"),
    [
        ({"times": ["rapid"], "at_least": 50}, {"estimand": "nnt", "value": 4.0}, "nnt"),
        ({}, {"estimand": "tau_intercept", "at": {"time": "rapid"}, "value": 0.2}, "tau_intercept"),
        (
            {"moderators": ["trd", "age"]},
            {"estimand": "slope_in", "at": {"arm": "control", "part": "trd", "time": "rapid"}, "value": 0.1},
            "slope_in of trd",
        ),
    ],
)
def test_what_free_levels_leave_unknown_is_refused_by_name_and_its_remedy_helps(settings, row, name):
    rows = [Published(**row, source="here")]
    for levels in ("free", "random"):
        model = PatientMeta(**TRIALS, **settings, study_levels=levels)
        data = model.prepare(trials())
        graph = model.build(data)
        variables = [v.name for v in graph.unobserved_RVs]
        from bayesdep.inference.labelled import label_draws

        values = from_prior([graph[n] for n in variables], 5, seed=1)
        found = model.estimands(label_draws({n: v[None] for n, v in zip(variables, values, strict=True)}, graph), data)
        if levels == "random":
            refuse_unknown(rows, found)
            continue
        why = f"'{name}' is not estimated .* set study_levels = 'random'"
        with pytest.raises(BadInput, match=why):
            refuse_unknown(rows, found)
        if name in ("nnt", "tau_intercept"):  # not of one moderator alone
            fit = bd.Fit(model, data, xr.DataTree.from_dict({"estimands": found}), {"gate": Gate(()).to_dict()})
            for ask in (lambda fit: fit.estimands[name], lambda fit: bd.rank_evidence(fit, name)):
                with pytest.raises(BadInput, match=f"^{why}$"):
                    ask(fit)
            with pytest.raises(BadInput, match=r"^there is no estimand 'efect'; did you mean 'effect'\?$"):
                fit.estimands["efect"]
            assert not hasattr(fit.estimands, name)  # as xarray has it
            same = xr.Dataset(fit.estimands.data_vars, fit.estimands.coords, fit.estimands.attrs)
            xr.testing.assert_identical(same, found)
