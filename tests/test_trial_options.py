"""The trial's options without sampling: slopes in time, moderators' forms, subgroups, covariances by arm, t, rates."""

import functools

import numpy as np
import pytensor
import pytest
import xarray as xr
from common import draws_of, same_computation
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from test_trial import COVARIANCES, PLAIN, trial_table

from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import uncompiled
from bayesdep.inference.sample import estimand_template
from bayesdep.models.trial.means import expected
from bayesdep.models.trial.model import Trial
from bayesdep.models.trial.moderator import crossing_on_grid, terms_of
from bayesdep.models.trial.residuals import correlations, residual_sds
from bayesdep.models.trial.response import rates
from bayesdep.models.trial.settings import parse_subgroup

OPTIONS = {
    "weeks": {"time": "weeks", "moderator": "crp", "moderator_form": "log-quadratic"},
    "spline": {"moderator": "crp", "moderator_form": "log-spline", "at": (1, 5)},
    "four knots": {"moderator": "crp", "moderator_form": "log-spline", "knots": 4},
    "threshold": {"moderator": "crp", "moderator_form": "threshold", "threshold": 2.0, "at": (1, 5)},
    "subgroups": {"moderator": "crp", "subgroups": ["> 1", "<= 1"]},
    "rates": {"moderator": "crp", "subgroups": ["> 1", "<= 1"], "response": 0.2, "remission": 17.0},
    "robust rates": {"robust": True, "response": 0.2, "remission": 17.0},
    "by arm, rates": {"by_arm": True, "response": 0.2},
}


@functools.cache
def case(name, covariance="ar1", **extra):
    model = Trial(**PLAIN, covariance=covariance, **OPTIONS.get(name, {}), **extra)
    data = model.prepare(trial_table())
    return model, data, model.build(data)


def flat_of(posterior):
    return posterior.isel(chain=0).rename(draw="sample")


# ---- the mean


def test_effects_in_proportion_to_time_are_the_last_visits_share():
    _, _, model = case("weeks")
    _, posterior = draws_of(model)
    share = np.array([1, 2, 4, 8]) / 8
    for name in ("arm_effect", "moderator_effect", "arm_by_moderator"):
        by_visit = posterior[f"{name}_at_visit"].values
        np.testing.assert_allclose(by_visit, posterior[name].values[..., None] * share)
    assert {"visit_mean", "baseline_slope", "arm_effect", "arm_by_moderator"} <= {v.name for v in model.free_RVs}
    assert not {"arm_effect_departure", "arm_by_moderator_departure"} & {v.name for v in model.free_RVs}


def test_time_as_weeks_needs_visits_after_baseline():
    table = trial_table()
    table["week"] -= 1
    with pytest.raises(BadInput, match="visit 0 is not after baseline"):
        Trial(**PLAIN, time="weeks").prepare(table)


@pytest.mark.parametrize("knots", [3, 4, 5])
def test_spline_terms_are_uncorrelated_linear_beyond_the_knots_and_smooth(knots):
    model = Trial(**PLAIN, moderator="crp", moderator_form="log-spline", knots=knots, covariance="ar1")
    data = model.prepare(trial_table())
    terms, attrs = data["moderator_terms"].values, data["moderator_terms"].attrs
    assert terms.shape == (24, knots - 1)
    np.testing.assert_allclose(terms.T @ terms / 24, np.eye(knots - 1), atol=1e-10)
    np.testing.assert_allclose(terms.mean(axis=0), 0, atol=1e-10)
    assert np.corrcoef(terms[:, 0], np.log(data["moderator"].values))[0, 1] == pytest.approx(1)
    inner = np.exp(np.array(attrs["knots"]) * attrs["scale"] + attrs["centre"])
    for ends in (np.log(inner[0]) - np.arange(3.0, 0.0, -1.0), np.log(inner[-1]) + np.arange(1.0, 4.0)):
        np.testing.assert_allclose(np.diff(terms_of(np.exp(ends), attrs), 2, axis=0), 0, atol=1e-8)
    for knot in np.log(inner):  # across a knot third differences are of third order: of second if curvature jumped
        one, half = (
            np.abs(np.diff(terms_of(np.exp(knot + h * np.arange(-3, 4)), attrs), 3, axis=0)).max() for h in (1e-3, 5e-4)
        )
        assert one / half == pytest.approx(8, rel=0.2)


def test_two_patients_on_the_same_side_of_a_threshold_have_one_term():
    _, data, _ = case("threshold")
    crp, term = data["moderator"].values, data["moderator_terms"].values[:, 0]
    assert len(np.unique(term)) == 2
    assert (term[crp > 2] > 0).all()
    assert (term[crp <= 2] < 0).all()
    assert term.mean() == pytest.approx(0)
    assert term.std() == pytest.approx(1)


BAD = [
    ({"moderator": "crp", "moderator_form": "threshold"}, "needs the value in threshold"),
    ({"moderator": "crp", "threshold": 3.0}, "threshold = 3 belongs to moderator_form = 'threshold'"),
    ({"moderator": "crp", "moderator_form": "log-spline", "knots": 6}, "knots = 6 is not a choice"),
    ({"subgroups": ["> 1"]}, "subgroups needs a moderator"),
    ({"moderator": "crp", "subgroups": ["high"]}, "subgroups has 'high', but a sign and a value"),
    ({"moderator": "crp", "subgroups": ["> 1e"]}, "subgroups has '> 1e', but a sign and a value"),
    ({"moderator": "crp", "subgroups": "> 1"}, "a list of texts is needed"),
    ({"moderator": "crp", "subgroups": [5]}, "a list of texts is needed"),
    ({"response": 50.0}, "response = 50.0, but a number between 0 and 1 is needed"),
    ({"remission": 7.0, "better": "higher"}, "response and remission are drops"),
    ({"time": "months"}, "time = 'months' is not a choice"),
]


@pytest.mark.parametrize(("extra", "message"), BAD)
def test_settings_that_contradict_each_other_are_refused(extra, message):
    with pytest.raises(BadInput) as problem:
        Trial(**PLAIN, **extra)
    assert message in str(problem.value)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"moderator_form": "threshold", "threshold": 1000.0}, "everybody lies at or below threshold = 1000"),
        ({"moderator_form": "threshold", "threshold": 0.001}, "everybody lies above threshold = 0.001"),
        ({"subgroups": ["> 1000"]}, "nobody in arm 'placebo' has such a moderator"),
    ],
)
def test_moderators_that_leave_a_side_empty_are_refused(extra, message):
    with pytest.raises(BadInput) as problem:
        Trial(**PLAIN, moderator="crp", **extra).prepare(trial_table())
    assert message in str(problem.value)


def test_knots_need_different_values():
    table = trial_table()
    table["crp"] = np.where(table["id"].str[1:].astype(int) < 20, 1.0, 3.0)
    with pytest.raises(BadInput, match="too many equal values for 3 knots"):
        Trial(**PLAIN, moderator="crp", moderator_form="log-spline").prepare(table)


def test_arms_with_correlations_of_their_own_need_patients_of_their_own():
    table = trial_table()
    few = (table["week"] == 4) & (table["arm"] == "drug") & ~table["id"].isin(["p1", "p3"])
    table["outcome"] = table["outcome"].mask(few)
    Trial(**PLAIN).prepare(table)
    with pytest.raises(BadInput, match=r"were both observed in . patients of arm 'drug'"):
        Trial(**PLAIN, by_arm=True).prepare(table)


@given(st.sampled_from(["<", "<=", ">", ">="]), st.floats(-1e3, 1e3, allow_nan=False), st.sampled_from(["", " ", "  "]))
@settings(max_examples=50)
def test_subgroups_are_read_whatever_the_spaces(sign, limit, space):
    if limit < 0:
        return
    assert parse_subgroup(f"{sign}{space}{limit!r}") == (sign, limit)


# ---- the density


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_arms_with_covariances_of_their_own_score_as_dense_normals_or_t(covariance, robust):
    model, data, graph = case("", covariance, by_arm=True, robust=robust)
    points, posterior = draws_of(graph)
    scored = model.log_likelihood(posterior, data).reindex(subject=data["subject"], fill_value=0.0).values[0]
    flat = flat_of(posterior)
    means, sds, arm_of = expected(model, flat, data), residual_sds(flat, data), data["arm_of"].values
    assert (np.abs(sds[:, 0] - sds[:, 1]) > 1e-6).all()
    logp = graph.logp(vars=[graph["outcome_by_visit"]], sum=False)[0]
    f = pytensor.function(graph.value_vars, logp, mode=uncompiled(), on_unused_input="ignore")
    for s, point in enumerate(points):
        built, each = f(*(point[v.name] for v in graph.value_vars)), np.zeros(data.sizes["subject"])
        for i, y in enumerate(data["outcome"].values):
            seen, sd = ~np.isnan(y), sds[s, arm_of[i]]
            if not seen.any():
                assert scored[s, i] == 0
                continue
            matrix = correlations(model, flat, data["day"].values[i], arm_of[i])[s] * np.outer(sd, sd)
            part, mean = matrix[np.ix_(seen, seen)], means[s, i][seen]
            if robust:
                law = stats.multivariate_t(mean, part, df=float(flat["nu"][s]))
                given_w = stats.multivariate_normal(mean, part / float(flat["precision"][s, i]))
            else:
                law = given_w = stats.multivariate_normal(mean, part)
            assert scored[s, i] == pytest.approx(law.logpdf(y[seen]), rel=1e-8)
            each[i] = given_w.logpdf(y[seen])
        # with any covariance matrix the model's density is that of all patients together
        np.testing.assert_allclose(built, each if built.ndim else each.sum(), rtol=1e-8)


@pytest.mark.parametrize("name", OPTIONS)
def test_another_table_of_the_same_size_uses_the_compiled_model(name):
    model, _, graph = case(name)
    other = trial_table()
    other["outcome"] += np.random.default_rng(3).normal(0, 1, len(other))
    assert same_computation(graph, model.build(model.prepare(other)))


# ---- estimands


@pytest.mark.parametrize("name", OPTIONS)
def test_every_estimand_has_units_and_a_description(name):
    model, data, _ = case(name)
    found = estimand_template(model, data)
    for what, values in found.items():
        assert values.attrs["units"], what
        assert values.attrs["description"], what
        assert values.dims[:2] == ("chain", "draw"), what
        assert np.isfinite(values.values).all(), what
    assert model.words
    assert all(isinstance(line, str) for line in model.formula)


def test_a_subgroups_difference_is_the_mean_over_its_patients():
    model, data, graph = case("subgroups")
    _, posterior = draws_of(graph)
    found = model.estimands(posterior, data)
    terms, crp = data["moderator_terms"].values, data["moderator"].values
    for label, rows in (("> 1", crp > 1), ("<= 1", crp <= 1)):
        d = posterior["arm_effect_at_visit"].values[0, :, 0]
        by_patient = (
            d[:, None, :] + terms[None, rows] * posterior["arm_by_moderator_at_visit"].values[0, :, 0, 0][:, None, :]
        )
        here = found["difference_in"].sel(subgroup=label).values[0, :, 0]
        np.testing.assert_allclose(here, by_patient.mean(axis=1))
        standard = found["standardised_difference_in"].sel(subgroup=label).values[0, :, 0]
        np.testing.assert_allclose(standard, here[:, -1] / posterior["residual_sd"].values[0, :, -1])


def test_differences_by_arms_sds_are_over_their_root_mean_square():
    model, data, graph = case("by arm, rates")
    _, posterior = draws_of(graph)
    found = model.estimands(posterior, data)
    pooled = np.sqrt((posterior["residual_sd"].values[0] ** 2).mean(axis=1))
    np.testing.assert_allclose(
        found["standardised_difference"].values[0, :, 0], found["difference"].values[0, :, 0] / pooled
    )
    assert found["residual_sd"].dims[2:] == ("arm", "visit")


def test_a_threshold_has_two_differences_and_crosses_at_itself():
    model, data, graph = case("threshold")
    _, posterior = draws_of(graph, count=40)
    found = model.estimands(posterior, data)
    below, above = (found["difference_at"].sel(moderator_value=v).values[0, :, 0, -1] for v in ("1", "5"))
    along = found["difference_along"].values[0, :, 0]
    grid = data["grid_value"].values
    np.testing.assert_allclose(along[:, grid <= 2], np.broadcast_to(below[:, None], along[:, grid <= 2].shape))
    np.testing.assert_allclose(along[:, grid > 2], np.broadcast_to(above[:, None], along[:, grid > 2].shape))
    crosses = found["crosses"].sel(side="above").values[0, :, 0] > 0
    np.testing.assert_array_equal(crosses, (below >= 0) & (above < 0))  # lower is better
    assert crosses.any()
    np.testing.assert_array_equal(found["crossing"].sel(side="above").values[0, crosses, 0], 2.0)
    np.testing.assert_array_equal(
        found["no_crossing"].values[0, :, 0], 1 - found["crosses"].values[0, :, 0].max(axis=-1)
    )


@pytest.mark.parametrize("form", ["linear", "log", "log-quadratic", "log-spline"])
def test_crossovers_are_sign_changes_of_the_curve_on_either_side(form):
    model = Trial(**PLAIN, covariance="ar1", moderator="crp", moderator_form=form)
    data = model.prepare(trial_table())
    _, posterior = draws_of(model.build(data), count=60)
    found = model.estimands(posterior, data)
    grid = data["grid_value"].values
    better = -found["difference_along"].values[0, :, 0]
    for side, sign in (("above", 1), ("below", -1)):
        place = found["crossing"].sel(side=side).values[0, :, 0]
        inside = found["crosses"].sel(side=side).values[0, :, 0] > 0
        rises = (sign * better[:, :-1] < 0) & (sign * better[:, 1:] > 0)
        # two sign changes between neighbouring points of the grid may hide a crossing from it
        assert (inside[rises.any(axis=1)]).all()
        for s in np.flatnonzero(inside & (rises.sum(axis=1) == 1)):
            at = int(rises[s].argmax())
            assert grid[at] * (1 - 1e-9) <= place[s] <= grid[at + 1] * (1 + 1e-9), (form, side, s)
        everywhere = (better > 0).all(axis=1) & ~inside
        edge, other = (grid[0], grid[-1]) if side == "above" else (grid[-1], grid[0])
        np.testing.assert_allclose(place[everywhere], edge)
        np.testing.assert_allclose(place[~inside & ~everywhere], other)


def test_on_a_grid_the_first_rise_counts():
    better = np.array([[-1.0, 1.0, -1.0, 3.0], [1.0, 1.0, 1.0, 1.0], [1.0, -1.0, -1.0, -1.0]])
    place, inside = crossing_on_grid(better, np.array([0.0, 1.0, 2.0, 3.0]))
    np.testing.assert_allclose(place, [0.5, 0.0, 3.0])
    np.testing.assert_array_equal(inside, [True, False, False])


# ---- response and remission


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("change", [False, True])
def test_rates_are_those_of_simulated_trajectories(robust, change):
    """Against counting: 20,000 whole trajectories per patient and arm, drawn by numpy from each draw's own law."""
    model = Trial(
        **PLAIN, covariance="unstructured", response=0.2, remission=17.0, robust=robust, change=change, by_arm=True,
        moderator="crp", subgroups=["> 1"],
    )  # fmt: skip
    table = trial_table(patients=16)
    if change:
        table["outcome"] -= table["baseline"]
    data = model.prepare(table)
    _, posterior = draws_of(model.build(data), count=2)
    many = xr.concat([posterior] * 40, dim="draw").assign_coords(draw=np.arange(80))  # paths average over copies
    found = rates(model, many, data)
    rng = np.random.default_rng(0)
    flat = flat_of(posterior)
    at_baseline = table.drop_duplicates("id")["baseline"].to_numpy()
    high = data["moderator"].values > 1
    for s in range(2):
        for arm in range(2):
            code = data["arm_code"].values[data["arm_of"].values == arm][0]
            everybody = data.assign(arm_code=data["arm_code"].copy(data=np.broadcast_to(code, (16, 1))))
            mean = expected(model, flat, everybody)[s] + (at_baseline[:, None] if change else 0)
            sd = residual_sds(flat, data)[s, arm]
            root = np.linalg.cholesky(correlations(model, flat, data["day"].values[0], arm)[s] * np.outer(sd, sd))
            noise = rng.standard_normal((20000, 16, 4)) @ root.T
            if robust:
                nu = float(flat["nu"][s])
                noise /= np.sqrt(rng.chisquare(nu, (20000, 16, 1)) / nu)
            score = mean + noise
            response = (score <= 0.8 * at_baseline[:, None]).any(axis=2).mean(axis=0)
            remission = (score[:, :, -1] <= 17).mean(axis=0)
            for name, wanted in (("response", response), ("remission", remission)):
                here = found[name].values[0, s::2, arm]
                error = here.std(axis=0, ddof=1) / np.sqrt(40)
                bound = 4 * (error + 0.5 / np.sqrt(20000 * 16))
                assert (np.abs(here.mean(axis=0) - [wanted.mean(), wanted[high].mean()]) < bound + 1e-9).all(), name


def test_numbers_needed_are_one_over_the_difference():
    model, data, graph = case("rates")
    _, posterior = draws_of(graph)
    found = model.estimands(posterior, data)
    for name in ("response", "remission"):
        rate, difference = found[f"{name}_rate"], found[f"{name}_difference"]
        assert list(rate["group"].values) == ["all", "> 1", "<= 1"]
        np.testing.assert_allclose(difference.values[:, :, 0], rate.values[:, :, 1] - rate.values[:, :, 0])
        np.testing.assert_allclose(found[f"{name}_nnt"].values * difference.values, 1.0)
        assert found[f"{name}_nnt"].attrs["reciprocal_of"] == f"{name}_difference"
        assert ((rate.values > 0) & (rate.values < 1)).all()


# ---- checks


def test_moments_of_residuals_are_those_of_a_regression_by_visit():
    model, data, _ = case("subgroups")
    checks = {c.name: c for c in model.checks(data)}
    y = np.where(np.isnan(data["outcome"].values), 1e9, data["outcome"].values)
    arm, m = data["arm_code"].values[:, 0], data["moderator_terms"].values[:, 0]
    design = np.column_stack([np.ones(24), arm, data["baseline"].values, m, arm * m])
    left = []
    for j, seen in enumerate(~np.isnan(data["outcome"].values.T)):
        if seen.sum() < 10:
            continue
        rest = y[seen, j] - design[seen] @ np.linalg.lstsq(design[seen], y[seen, j], rcond=None)[0]
        left.append(rest / rest.std())
    assert float(checks["skewness of residuals"].statistic(y)) == pytest.approx(stats.skew(np.concatenate(left)))
    kurtosis = float(checks["excess kurtosis of residuals"].statistic(y))
    assert kurtosis == pytest.approx(stats.kurtosis(np.concatenate(left)))
    assert checks["skewness of residuals"].statistic(np.stack([y, y])).shape == (2,)
