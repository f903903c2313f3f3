"""The trial model without sampling: reading, refusing, and every formula against one written out by hand."""

import dataclasses
import functools

import numpy as np
import pandas as pd
import pytensor
import pytest
from common import changed, draws_of, same_computation, with_cell
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import uncompiled
from bayesdep.inference.sample import estimand_template
from bayesdep.models.trial.estimands import crude_differences
from bayesdep.models.trial.means import expected
from bayesdep.models.trial.model import Trial
from bayesdep.models.trial.moderator import crossing
from bayesdep.models.trial.residuals import correlations

PLAIN = {"reference": "placebo", "subject": "id", "visit": "week", "margin": 3.0}
COVARIANCES = ("unstructured", "toeplitz", "compound-symmetry", "ar1", "spatial-power")


def trial_table(patients=24, seed=1):
    """Three arms' worth of patients at weeks 1, 2, 4 and 8, with a gap, dropout, and one who never came."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(patients):
        who = {"id": f"p{i}", "arm": ("placebo", "drug")[i % 2], "baseline": 20.0 + i % 7, "sex": "FM"[i // 2 % 2]}
        who["crp"] = float(np.round(np.exp(rng.normal(0.5, 1.0)), 2)) + 0.01
        last = 4 if i % 4 else int(rng.integers(1, 4))
        for j, week in enumerate((1, 2, 4, 8)):
            missed = j >= last or (i % 5 == 0 and j == 1) or i == 9
            day = 7 * week + int(rng.integers(-1, 2))
            y = np.nan if missed else round(float(who["baseline"] - 2 * j + rng.normal(0, 3)), 2)
            rows.append({**who, "week": week, "day": day, "outcome": y})
    return pd.DataFrame(rows)


@functools.cache
def case(covariance, moderator_form=None, covariates=None, heterogeneous=True):
    extra = {} if moderator_form is None else {"moderator": "crp", "moderator_form": moderator_form, "at": (1, 5)}
    model = Trial(
        **PLAIN, covariance=covariance, covariates=covariates, heterogeneous=heterogeneous, **extra,
        day="day" if covariance == "spatial-power" else None,
    )  # fmt: skip
    data = model.prepare(trial_table())
    return model, data, model.build(data)


# ---- reading


def test_a_missed_visit_may_lack_its_row_or_its_outcome():
    model, data, _ = case("ar1")
    table = trial_table()
    without = model.prepare(table.dropna(subset=["outcome"]).reset_index(drop=True))
    kept = data.isel(subject=[i for i, s in enumerate(data["subject"].values) if s != "p9"])  # who never came
    np.testing.assert_array_equal(without["outcome"].values, kept["outcome"].values)
    assert data.sizes == {**data.sizes, "subject": 24, "visit": 4, "arm": 2, "comparison": 1}
    assert list(data["visit"].values) == ["1", "2", "4", "8"]
    assert list(data["arm"].values) == ["placebo", "drug"]
    assert np.isnan(data["outcome"].values[9]).all()
    assert abs(data["baseline"].values.mean()) < 1e-12
    assert data["outcome"].attrs["units"] == "points"


def test_the_order_of_rows_does_not_matter():
    model, data, _ = case("ar1", "log")
    shuffled = model.prepare(trial_table().sample(frac=1, random_state=1).reset_index(drop=True))
    at = {s: i for i, s in enumerate(shuffled["subject"].values)}
    order = [at[s] for s in data["subject"].values]
    for name in ("outcome", "baseline", "moderator", "moderator_terms", "arm_code"):
        np.testing.assert_allclose(shuffled[name].values[order], data[name].values, err_msg=name)


def test_a_missed_visit_has_a_day_between_its_neighbours():
    _, data, _ = case("spatial-power")
    table = trial_table()
    assert (np.diff(data["day"].values, axis=1) > 0).all()
    fewer = table[~((table["id"] == "p3") & (table["week"] == 2))].reset_index(drop=True)
    model = Trial(**PLAIN, covariance="spatial-power", day="day")
    row = model.prepare(fewer)["day"].values[3]
    days = table[table["id"] == "p3"]["day"].to_numpy()
    usual = np.median(table["day"].to_numpy().reshape(24, 4), axis=0)  # p3's own row was near it
    share = (usual[1] - usual[0]) / (usual[2] - usual[0])
    assert row[1] == pytest.approx(days[0] + share * (days[2] - days[0]), abs=0.5)
    np.testing.assert_allclose(row[[0, 2, 3]], days[[0, 2, 3]])


BAD = {
    "two rows": (lambda t: pd.concat([t, t.iloc[[2]]]), {}, "outcome of 'p0 / 4' stands in rows 3 and 97"),
    "one arm": (lambda t: t[t["arm"] == "placebo"], {}, "is 'placebo' in everybody, so there is nothing to compare"),
    "no reference": (changed(), {"reference": "saline"}, "reference = 'saline', but column 'arm' (arm) has only"),
    "arm changes": (with_cell(1, "arm", "drug"), {}, "rows 1 and 2 are of one person, but have 'placebo' and 'drug'"),
    "moderator changes": (
        with_cell(1, "crp", 99.0), {"moderator": "crp"}, "column 'crp' (moderator at baseline): rows 1 and 2 are of",
    ),
    "no logarithm": (changed(crp=0.0), {"moderator": "crp"}, "row 1 is 0.0, where a number above zero is needed"),
    "moderator constant": (changed(crp=1.0), {"moderator": "crp"}, "column 'crp' (moderator at baseline) is 1 in"),
    "baseline missing": (with_cell(4, "baseline", None), {}, "column 'baseline' (outcome at baseline): row 5 is empty"),
    "visit in words": (with_cell(2, "week", "third"), {}, "column 'week' (visit): the labels '1', '2', 'third', '8'"),
    "outcome in words": (with_cell(3, "outcome", "bad"), {}, "column 'outcome' (outcome): row 4 is 'bad'"),
    "outcome empty": (changed(outcome=np.nan), {}, "column 'outcome' (outcome) is empty throughout"),
    "visit without an arm": (
        lambda t: t.assign(outcome=t["outcome"].mask((t["arm"] == "drug") & (t["week"] == 8))), {},
        "nobody in arm 'drug' has one at visit 8",
    ),
    "unknown correlation": (
        lambda t: t.assign(outcome=t["outcome"].mask((t["week"] == 4) & ~t["id"].isin(["p1", "p2"]))), {},
        "visits 1 and 4 were both observed in 2 patients, too few for a correlation of their own",
    ),
    "days backwards": (
        with_cell(5, "day", 1), {"day": "day"}, "column 'day': 'p1' has visit 2 on day 1, not after visit 1 on day",
    ),
    "no such column": (changed(), {"outcome": "hamd"}, "column 'hamd' (outcome) is not in the table"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_get_one_sentence(name):
    change, extra, message = BAD[name]
    table = change(trial_table())
    with pytest.raises(BadInput) as problem:
        Trial(**(PLAIN | extra)).prepare(table.reset_index(drop=True))
    assert message in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"at": (1, 3)}, "at needs a moderator"),
        ({"at": (0.0,), "moderator": "crp"}, "a value above zero is needed where the moderator enters as a log"),
        ({"at": "1"}, "at = '1', but a list of numbers is needed"),
        ({"at": [True]}, "a list of numbers is needed"),
        ({"heterogeneous": False}, "heterogeneous = False contradicts covariance = 'unstructured'"),
        ({"margin": 0.0}, "margin = 0.0, but a number above zero is needed"),
        ({"lkj": -1.0}, "lkj = -1.0, but a number above zero"),
        ({"covariance": "ar2"}, "covariance = 'ar2' is not a choice"),
        ({"priors": {"rho": bd.Prior("Beta", alpha=2, beta=2)}}, "priors.rho: the model has no such parameter"),
        ({"covariance": "ar1", "priors": {"rho": bd.Prior("Normal", mu=0, sigma=1)}}, "reaches outside values"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(extra, message):
    with pytest.raises(BadInput, match=message.replace("(", r"\(").replace("[", r"\[")):
        Trial(**(PLAIN | extra))


# ---- the density


@pytest.mark.parametrize("covariates", [None, "sex"])
@pytest.mark.parametrize("form", [None, "linear", "log", "log-quadratic"])
def test_the_mean_is_that_of_the_docstring(form, covariates):
    model, data, graph = case("ar1", form, covariates)
    _, posterior = draws_of(graph)
    flat = posterior.isel(chain=0).rename(draw="sample")
    found = expected(model, flat, data)
    table = trial_table().drop_duplicates("id").reset_index(drop=True)
    share = (table["arm"] == "drug").mean()
    for s in range(flat.sizes["sample"]):
        d = flat.isel(sample=s)
        for i, person in table.iterrows():
            a = float(person["arm"] == "drug") - share
            mean = float(data["centre"]) + d["visit_mean"].values
            mean = mean + d["baseline_slope_at_visit"].values * (person["baseline"] - table["baseline"].mean())
            mean = mean + d["arm_effect_at_visit"].values[0] * a
            if form is not None:
                raw = table["crp"] if form == "linear" else np.log(table["crp"])
                m = (raw[i] - raw.mean()) / raw.std(ddof=0)
                for k, term in enumerate([m, m**2][: data.sizes["term"]]):
                    mean = mean + term * (
                        d["moderator_effect_at_visit"].values[k] + a * d["arm_by_moderator_at_visit"].values[0, k]
                    )
            if covariates is not None:
                male = (table["sex"] == "M").astype(float)
                mean = mean + float(d["covariate_effect"][0]) * (male[i] - male.mean()) / male.std(ddof=0)
            np.testing.assert_allclose(found[s, i], mean, rtol=1e-12)


@pytest.mark.parametrize("heterogeneous", [True, False])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_patients_score_as_dense_normals(covariance, heterogeneous):
    if covariance == "unstructured" and not heterogeneous:
        return
    model, data, graph = case(covariance, heterogeneous=heterogeneous)
    points, posterior = draws_of(graph)
    scored = model.log_likelihood(posterior, data).reindex(subject=data["subject"], fill_value=0.0).values[0]
    flat = posterior.isel(chain=0).rename(draw="sample")
    means = expected(model, flat, data)
    for s in range(len(points)):
        sd = np.broadcast_to(flat["residual_sd"].values[s], 4)
        for i, y in enumerate(data["outcome"].values):
            seen = ~np.isnan(y)
            if not seen.any():
                assert data["subject"].values[i] not in model.log_likelihood(posterior, data)["subject"]
                continue
            matrix = correlations(model, flat, data["day"].values[i])[s] * np.outer(sd, sd)
            law = stats.multivariate_normal(means[s, i][seen], matrix[np.ix_(seen, seen)])
            assert scored[s, i] == pytest.approx(law.logpdf(y[seen]), rel=1e-9)
    logp = graph.logp(vars=[graph["outcome_by_visit"]])
    f = pytensor.function(graph.value_vars, logp, mode=uncompiled(), on_unused_input="ignore")
    for s, point in enumerate(points):
        total = float(f(*(point[v.name] for v in graph.value_vars)))
        assert total == pytest.approx(scored[s].sum(), rel=1e-8)


def test_correlations_are_those_of_the_root_in_the_density():
    """Partial correlations to a matrix, visit by visit, by the recursion on unconditional ones."""
    _, _, model = case("unstructured")
    _, posterior = draws_of(model)
    rows, columns = np.tril_indices(4, -1)
    assert list(model.coords["pair"][:3]) == ["1 and 2", "1 and 4", "2 and 4"]
    for s in range(3):
        partial = np.eye(4)
        partial[rows, columns] = 2 * posterior["partial_share"].values[0, s] - 1
        found = np.eye(4)
        found[rows, columns] = posterior["correlation_by_pair"].values[0, s]
        found = found + np.tril(found, -1).T
        for j, k in zip(rows, columns, strict=True):  # given the visits before k, from the precision of those and j, k
            precision = np.linalg.inv(found[np.ix_([*range(k), k, j], [*range(k), k, j])])
            assert -precision[-1, -2] / np.sqrt(precision[-1, -1] * precision[-2, -2]) == pytest.approx(partial[j, k])


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_another_table_of_the_same_size_uses_the_compiled_model(covariance):
    model, _, graph = case(covariance)
    other = trial_table()
    other["outcome"] += np.random.default_rng(3).normal(0, 1, len(other))
    assert same_computation(graph, model.build(model.prepare(other)))


# ---- estimands


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_every_estimand_has_units_and_a_description(covariance):
    model, data, _ = case(covariance, "log-quadratic")
    found = estimand_template(model, data)
    for name, values in found.items():
        assert values.attrs["units"], name
        assert values.attrs["description"], name
        assert values.dims[:2] == ("chain", "draw"), name
    assert found["difference"].dims[2:] == ("comparison", "visit")
    assert list(found["difference_at"]["moderator_value"].values) == ["1", "5"]


def test_estimands_are_what_they_say():
    model, data, graph = case("unstructured", "log-quadratic")
    _, posterior = draws_of(graph)
    found = model.estimands(posterior, data)
    log_crp = np.log(data["moderator"].values)
    m = (log_crp - log_crp.mean()) / log_crp.std()
    for s in range(3):
        d = {k: v.values[0, s] for k, v in posterior.items()}
        first, second = d["arm_by_moderator_at_visit"][0]
        own = d["arm_effect_at_visit"][0] + m[:, None] * first + m[:, None] ** 2 * second
        np.testing.assert_allclose(found["difference"].values[0, s, 0], own.mean(axis=0))
        np.testing.assert_allclose(found["mean_difference"].values[0, s, 0], own.mean())
        np.testing.assert_allclose(
            found["standardised_difference"].values[0, s, 0], own.mean(axis=0) / d["residual_sd"]
        )
        np.testing.assert_array_equal(found["beyond_margin"].values[0, s, 0], own.mean(axis=0) <= -3)
        x = (np.log(5.0) - log_crp.mean()) / log_crp.std()
        at_five = d["arm_effect_at_visit"][0] + x * first + x**2 * second
        np.testing.assert_allclose(found["difference_at"].sel(moderator_value="5").values[0, s, 0], at_five)
        np.testing.assert_array_equal(found["correlation"].values[0, s], d["correlation_by_pair"])
        along = found["difference_along"].values[0, s, 0]
        assert along[0] == pytest.approx(
            np.polyval([*d["arm_by_moderator_at_visit"][0, ::-1, -1], d["arm_effect_at_visit"][0, -1]], m.min()),
            rel=1e-9,
        )


def test_where_higher_outcomes_are_better_the_margin_is_above_zero():
    model, data, graph = case("ar1")
    _, posterior = draws_of(graph)
    other = dataclasses.replace(model, better="higher", margin=0.5)
    difference = posterior["arm_effect_at_visit"].transpose("chain", "draw", "comparison", "visit").values
    np.testing.assert_array_equal(other.estimands(posterior, data)["beyond_margin"].values, difference >= 0.5)


@settings(deadline=None, max_examples=300)
@given(
    st.floats(-3, 3), st.floats(-3, 3), st.floats(-2, 2).filter(lambda x: x == 0 or abs(x) > 1e-6),
    st.floats(-3, -0.1), st.floats(0.1, 3),
)  # fmt: skip
def test_the_crossover_is_where_the_difference_rises_through_zero(constant, slope, square, low, high):
    place, inside = (x[0] for x in crossing(np.array([constant]), np.array([slope]), np.array([square]), low, high))

    def better(x):
        return constant + slope * x + square * x**2

    size = 1 + abs(constant) + abs(slope) + abs(square)
    if inside:
        assert low < place < high
        assert abs(better(place)) < 1e-6 * size * (1 + place**2)
        assert slope + 2 * square * place >= -1e-6 * size
    else:
        grid = np.linspace(low, high, 2001)
        rises = (better(grid[:-1]) < -1e-9 * size) & (better(grid[1:]) > 1e-9 * size)
        assert not rises.any()
        if place == low:
            assert (better(grid) > -1e-9 * size).all()
        else:
            assert place == high


def test_the_crude_difference_is_that_of_means():
    _, data, _ = case("ar1")
    table = trial_table()
    estimate, se = crude_differences(data)
    for j, week in enumerate((1, 2, 4, 8)):
        one, other = (
            table[(table["arm"] == a) & (table["week"] == week)]["outcome"].dropna() for a in ("drug", "placebo")
        )
        assert estimate[j] == pytest.approx(one.mean() - other.mean())
        assert se[j] == pytest.approx(np.sqrt(one.var() / len(one) + other.var() / len(other)))


def test_checks_see_only_what_was_observed():
    model, data, _ = case("ar1")
    y = np.where(np.isnan(data["outcome"].values), 1e9, data["outcome"].values)
    table = trial_table()
    for check in model.checks(data):
        assert abs(float(check.statistic(y))) < 1e3, check.name
    means = {c.name: float(c.statistic(y)) for c in model.checks(data)}
    drug = table[(table["arm"] == "drug") & (table["week"] == 8)]["outcome"].dropna()
    assert means["mean at visit 8, drug"] == pytest.approx(drug.mean())
    assert means["sd at visit 8, drug"] == pytest.approx(drug.std())
    wide = table.pivot_table(index="id", columns="week", values="outcome")
    assert means["correlation of visits 1 and 8"] == pytest.approx(wide[1].corr(wide[8]))


def test_the_words_and_the_formula_follow_the_settings():
    model = case("toeplitz", "log", "sex")[0]
    assert "Toeplitz" in model.words
    assert "crp" in model.words
    assert any("covariate_effect x[i]  (sex)" in line for line in model.formula)
    assert {"moderator_effect", "arm_by_moderator", "covariate_effect", "partial_share"} <= set(model.slots)
    own = {"baseline_slope", "baseline_slope_departure", "arm_effect", "arm_effect_departure"}
    assert set(Trial(**PLAIN).slots) == {"visit_mean", "residual_sd", *own}
