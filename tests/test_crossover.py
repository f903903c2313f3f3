"""The crossover model without sampling: reading, refusing, and every formula against one written out by hand."""

import functools
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytensor
import pytest
import xarray as xr
from common import changed, draws_of, same_computation, with_cell
from scipy import stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import at_draws, uncompiled
from bayesdep.inference.native import to_constrained
from bayesdep.inference.sample import estimand_template
from bayesdep.models.crossover.estimands import crude_differences
from bayesdep.models.crossover.model import Crossover
from bayesdep.models.crossover.scores import expected
from bayesdep.models.register import make_model, settings_of

PLAIN = {"reference": "placebo", "subject": "id"}
ORDERS = {
    2: [("placebo", "drug"), ("drug", "placebo")],
    3: [("placebo", "low", "high"), ("low", "high", "placebo"), ("high", "placebo", "low"), ("high", "low", "placebo"),
        ("placebo", "high", "low"), ("low", "placebo", "high")],
}  # fmt: skip


def crossover_table(patients=24, treatments=2, days=(2, 10), seed=1, lost=0.35, drop=True):
    """Patients in every order of the treatments; some outcomes are empty, some rows are not there, one has nothing."""
    rng = np.random.default_rng(seed)
    orders, rows = ORDERS[treatments], []
    for i in range(patients):
        level, baseline = rng.normal(0, 4), float(rng.integers(20, 36))
        for p, treatment in enumerate(orders[i % len(orders)]):
            for day in days:
                y = np.round(25 + level + rng.normal(0, 5) - 6 * (treatment != "placebo"), 1)
                gone = i >= len(orders) and (rng.random() < lost or (i == patients - 1 and lost > 0))
                if gone and drop and i < patients - 1 and rng.random() < 0.5:
                    continue
                row = {"id": f"p{i}", "treatment": treatment, "period": p + 1, "day": day}
                rows.append({**row, "baseline": baseline, "outcome": np.nan if gone else y})
    return pd.DataFrame(rows)


@functools.cache
def case(treatments=2, days=(2, 10), how="joint", carry_over=False, baseline=False):
    model = Crossover(**PLAIN, days=how, carry_over=carry_over, baseline="baseline" if baseline else None)
    # what was given in a period is known only where it has a row, which carry-over needs
    data = model.prepare(crossover_table(treatments=treatments, days=days, drop=not carry_over))
    return model, data, model.build(data)


CASES = [
    dict(zip(("treatments", "days", "how", "carry_over", "baseline"), values, strict=True))
    for values in itertools.product(
        (2, 3), ((2,), (2, 10), (1, 3, 7)), ("joint", "apart"), (False, True), (False, True)
    )
]


# ---- reading


def test_a_missed_outcome_may_lack_its_row_or_its_number():
    model, data, _ = case()
    table = crossover_table()
    without = model.prepare(table.dropna(subset=["outcome"]).reset_index(drop=True))
    at = [list(data["subject"].values).index(s) for s in without["subject"].values]
    np.testing.assert_array_equal(without["outcome"].values, data["outcome"].values[at])
    assert data.sizes == {"subject": 24, "period": 2, "day": 2, "treatment": 2, "comparison": 1, "later": 1}
    assert list(data["treatment"].values) == ["placebo", "drug"]
    assert list(data["day"].values) == ["2", "10"]
    for _, row in table.iterrows():
        found = data["outcome"].sel(subject=row["id"], period=str(row["period"]), day=str(row["day"]))
        np.testing.assert_equal(float(found), row["outcome"])
    assert np.isnan(data["outcome"].sel(subject="p23").values).all()
    assert data["outcome"].attrs["units"] == "points"


def test_the_order_of_rows_does_not_matter():
    model, data, _ = case(3, carry_over=True, baseline=True)
    shuffled = model.prepare(
        crossover_table(treatments=3, drop=False).sample(frac=1, random_state=1).reset_index(drop=True)
    )
    at = [list(shuffled["subject"].values).index(s) for s in data["subject"].values]
    for name in ("outcome", "baseline", "treatment_code", "carry_code"):
        np.testing.assert_allclose(shuffled[name].values[at], data[name].values, err_msg=name)


def test_codes_are_indicators_less_their_share_in_a_complete_design():
    data = case(2, carry_over=True)[1]
    np.testing.assert_array_equal(data["period_code"].values, [[-0.5], [0.5]])
    had = data["treatment_of"].values
    np.testing.assert_array_equal(data["treatment_code"].values[..., 0], np.where(had < 0, 0, had - 0.5))
    np.testing.assert_array_equal(data["carry_code"].values[:, 0], 0)
    np.testing.assert_array_equal(data["carry_code"].values[:, 1], data["treatment_code"].values[:, 0])
    three = case(3)[1]
    first = three["treatment_of"].values[0]
    for p in range(3):
        np.testing.assert_allclose(three["treatment_code"].values[0, p], np.eye(3)[first[p], 1:] - 1 / 3)
    np.testing.assert_allclose(three["treatment_code"].values[0].sum(axis=0), 0, atol=1e-15)


def test_a_table_without_days_has_one():
    table = crossover_table(days=(2,)).drop(columns="day")
    data = Crossover(**PLAIN, day=None).prepare(table)
    assert list(data["day"].values) == ["all"]
    np.testing.assert_array_equal(data["outcome"].values, case(2, (2,))[1]["outcome"].values)


def with_baseline_rows(table):
    """The baseline as a row of its own, with neither period nor day, and a patient who never got further."""
    before = table.drop_duplicates("id").assign(outcome=lambda t: t["baseline"], treatment="none", period=None, day="")
    alone = before.iloc[[0]].assign(id="never treated")
    return pd.concat([before, alone, table], ignore_index=True).drop(columns="baseline")


def test_the_baseline_may_be_a_column_or_rows_of_its_own():
    _, data, _ = case(baseline=True)
    rows = Crossover(**PLAIN, before="none").prepare(with_baseline_rows(crossover_table()))
    assert abs(float(data["baseline"].mean())) < 1e-12
    xr.testing.assert_equal(rows, data)
    assert rows.attrs["left_out"] == "1 patient with nothing but a baseline"


def test_the_prepared_data_survive_a_saved_fits_settings():
    model, _, _ = case(3, carry_over=True)
    assert make_model("crossover", settings_of(model)) == model


def lose(rows):
    """Empty the outcomes of these rows."""
    return lambda t: t.assign(outcome=t["outcome"].mask(rows(t)))


BAD = {
    "same treatment twice": (
        lambda t: t.assign(treatment=t["treatment"].mask((t["id"] == "p0") & (t["period"] == 2), "placebo")), {},
        "column 'treatment' (treatment): 'p0' had 'placebo' in 'period' 1 and 2, but a patient has each treatment once",
    ),
    "two rows": (lambda t: pd.concat([t, t.iloc[[3]]]), {}, "outcome of 'p0 / 2 / 10' stands in rows 4 and"),
    "two treatments at once": (
        with_cell(1, "treatment", "drug"), {},
        "rows 1 and 2 are both of 'p0' in 'period' 1, but have 'placebo' and 'drug'; correct one of them",
    ),
    "period missing": (with_cell(2, "period", None), {}, "column 'period' (period, as a number): row 3 is empty"),
    "period in words": (with_cell(2, "period", "second"), {}, "row 3 is 'second', where a whole number"),
    "too many periods": (
        with_cell(3, "period", 3), {}, "has 3 periods (1, 2, 3) for 2 treatments, of which a patient has each once",
    ),
    "one treatment": (lambda t: t[t["treatment"] == "drug"], {"reference": "drug"}, "is 'drug' in every row, so there"),
    "no reference": (changed(), {"reference": "saline"}, "reference = 'saline', but column 'treatment' (treatment)"),
    "one order only": (
        lambda t: t[t["id"].isin([f"p{i}" for i in range(0, 24, 2)])], {},
        "everybody had 'placebo' in 'period' 1, so period and treatment cannot be told apart",
    ),
    "one period": (lambda t: t[t["period"] == 1], {}, "is 1 in every row, so nobody crossed over"),
    "nobody observed twice": (
        lose(lambda t: (t["period"] == 2) & (t["day"] == 10)), {},
        "nobody has an outcome in two periods on day 10, so no patient is compared with themself",
    ),
    "one period in everybody": (
        lose(lambda t: t["period"] == 1 + t["id"].str[1:].astype(int) // 2 % 2), {"days": "apart"},
        "nobody has an outcome in two periods on day 2",
    ),
    "one order observed": (
        lose(lambda t: (t["id"].str[1:].astype(int) % 2 == 0) & (t["day"] == 2)), {},
        "period and treatment cannot be told apart by the outcomes on day 2",
    ),
    "days never together": (
        lose(lambda t: (t["day"] == 2) == (t["id"].str[1:].astype(int) // 2 % 2 == 0)), {},
        "days 2 and 10 were both observed in the same period 0 times, too few for a correlation of their own",
    ),
    "baseline varies": (
        with_cell(1, "baseline", 3.0), {"baseline": "baseline"},
        "column 'baseline' (outcome before the first treatment): rows 1 and 2 are of one person, but have",
    ),
    "baseline empty": (with_cell(4, "baseline", None), {"baseline": "baseline"}, "row 5 is empty"),
    "baseline constant": (changed(baseline=30), {"baseline": "baseline"}, "the baseline is 30 in everybody"),
    "no rows before": (changed(), {"before": "none"}, "before = 'none', but column 'treatment' (treatment) has only"),
    "baseline without a number": (
        lambda t: with_cell(0, "outcome", None)(with_baseline_rows(t)), {"before": "none"},
        "'p0' has no 'outcome' in a row with 'none', so no baseline",
    ),
    "two baselines": (
        lambda t: pd.concat([with_baseline_rows(t), with_baseline_rows(t).iloc[[0]]]), {"before": "none"},
        "outcome of 'p0 / before / before' stands in rows 1 and",
    ),
    "treatment before unknown": (
        lambda t: t[~((t["id"] == "p0") & (t["period"] == 1))], {"carry_over": True},
        "what 'p0' had in period 1, before period 2, is not in the table; add a row with the treatment and an empty",
    ),
    "treatment never seen": (
        lose(lambda t: (t["treatment"] == "low") & (t["day"] == 10)), {"three": True},
        "nobody has an outcome after 'low' on day 10; leave that day out",
    ),
    "period never seen": (
        lose(lambda t: (t["period"] == 3) & (t["day"] == 2)), {"three": True},
        "nobody has an outcome in period 3 on day 2; leave that day out",
    ),
    "carry-over unknowable": (
        lambda t: t[(t["period"] < 3) & (t["id"] != "p3") & (t["id"] != "p4")].assign(
            outcome=lambda t: t["outcome"].mask((t["period"] == 2) & (t["id"] != "p0"))
        ),
        {"three": True, "carry_over": True, "days": "apart"},
        "what carries over cannot be told from period and treatment",
    ),
    "outcome in words": (with_cell(3, "outcome", "bad"), {}, "column 'outcome' (outcome): row 4 is 'bad'"),
    "outcome empty": (changed(outcome=""), {}, "column 'outcome' (outcome) is empty throughout"),
    "no such column": (changed(), {"outcome": "hamd"}, "column 'hamd' (outcome) is not in the table"),
    "no day": (lambda t: t.drop(columns="day"), {}, "column 'day' (days since the treatment was given) is not in the"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_get_one_sentence(name):
    change, extra, message = BAD[name]
    settings = {k: v for k, v in (PLAIN | extra).items() if k != "three"}
    table = change(crossover_table(treatments=3, lost=0.0) if "three" in extra else crossover_table(lost=0.2))
    with pytest.raises(BadInput) as problem:
        Crossover(**settings).prepare(table.reset_index(drop=True))
    assert message in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"days": "both"}, "days = 'both' is not a choice"),
        ({"carry_over": "yes"}, "carry_over = 'yes', but true or false is needed"),
        ({"before": "none", "baseline": "b"}, "both say where the baseline is; leave out one"),
        ({"before": "placebo"}, "before = 'placebo' is the reference too"),
        ({"margin": 0.0}, "margin = 0.0, but a number of points above zero"),
        ({"lkj": -1.0}, "lkj = -1.0, but a number above zero"),
        ({"priors": {"carry_over": bd.Prior("Normal", mu=0, sigma=1)}}, "priors.carry_over: the model has no such"),
        ({"priors": {"patient_sd": bd.Prior("Normal", mu=0, sigma=1)}}, "priors.patient_sd: .* reaches outside"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(extra, message):
    with pytest.raises(BadInput, match=message):
        Crossover(**(PLAIN | extra))


# ---- the density


def by_hand(model, data, draw, i):
    """Mean and covariance of a patient's outcomes, written out cell by cell from the docstring."""
    periods, days = data.sizes["period"], data.sizes["day"]
    had, count = data["treatment_of"].values[i], data.sizes["treatment"]
    cells = list(itertools.product(range(periods), range(days)))
    mean = []
    for p, d in cells:
        m = float(data["centre"]) + draw["day_mean"].values[d]
        m += sum(draw["period_effect"].values[k - 1, d] * ((p == k) - 1 / periods) for k in range(1, periods))
        if had[p] >= 0:
            m += sum(draw["treatment_effect"].values[c - 1, d] * ((had[p] == c) - 1 / count) for c in range(1, count))
        if model.has_baseline:
            m += draw["baseline_slope"].values[d] * data["baseline"].values[i]
        if model.carry_over and p > 0 and had[p - 1] >= 0:
            m += sum(draw["carry_over"].values[c - 1, d] * ((had[p - 1] == c) - 1 / count) for c in range(1, count))
        mean.append(m)

    def over_days(name, d, e):
        both = draw[f"{name}_sd"].values[d] * draw[f"{name}_sd"].values[e]
        if d == e:
            return both
        if f"{name}_correlation" not in draw:
            return 0.0
        low, high = sorted((d, e))
        label = f"{data['day'].values[low]} and {data['day'].values[high]}"
        return both * float(draw[f"{name}_correlation"].sel(pair=label))

    covariance = [
        [over_days("patient", d, e) + (over_days("residual", d, e) if p == q else 0.0) for q, e in cells]
        for p, d in cells
    ]
    return np.array(mean), np.array(covariance)


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_patients_score_as_dense_normals(settings):
    """Both ways of scoring: the graph that is sampled, patient by patient, and leave-one-out's numpy."""
    model, data, graph = case(**settings)
    points, posterior = draws_of(graph)
    scored = model.log_likelihood(posterior, data)
    assert scored.dims == ("chain", "draw", "subject")
    logp = graph.logp(vars=[graph["outcome_by_period"]], sum=False)[0]
    f = pytensor.function(graph.value_vars, logp, mode=uncompiled(), on_unused_input="ignore")
    flat = posterior.isel(chain=0).rename(draw="sample")
    means = expected(model, flat, data)
    for s, point in enumerate(points):
        sampled = f(*(point[v.name] for v in graph.value_vars))
        for i in range(data.sizes["subject"]):
            y = data["outcome"].values[i].ravel()
            seen = ~np.isnan(y)
            mean, covariance = by_hand(model, data, flat.isel(sample=s), i)
            np.testing.assert_allclose(means[s, i].ravel(), mean, rtol=1e-12)
            if not seen.any():
                assert scored.values[0, s, i] == 0
                assert abs(sampled[i]) < 1e-12
                continue
            law = stats.multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)])
            assert scored.values[0, s, i] == pytest.approx(law.logpdf(y[seen]), rel=1e-8)
            assert sampled[i] == pytest.approx(law.logpdf(y[seen]), rel=1e-8)


def test_there_were_gaps_of_every_kind_in_those_designs():
    """Else the test above shows less than it says: missed periods, missed days of a period, a patient without any."""
    for settings in CASES:
        seen = ~np.isnan(case(**settings)[1]["outcome"].values)
        days, by_period = seen.shape[2], seen.sum(axis=2)
        assert (by_period.sum(axis=1) == 0).any()
        assert ((by_period == 0).any(axis=1) & (by_period > 0).any(axis=1)).any()
        assert days == 1 or ((by_period > 0) & (by_period < days)).any()
        assert len(np.unique(seen.reshape(len(seen), -1), axis=0)) > 3


@pytest.mark.parametrize("ratio", [1e-6, 1e-3, 1e3])
def test_the_density_holds_when_one_spread_dwarfs_the_other(ratio):
    model, data, graph = case(2, (2, 10))
    points, _ = draws_of(graph, count=1)
    point = points[0]
    for name, x in (("patient_sd", np.array([4.0, 5.0]) * ratio), ("residual_sd", np.array([4.0, 5.0]))):
        point[f"{name}_softplus__"] = x + np.log(-np.expm1(-x))  # the sampler's scale is log(e^x - 1)
    raw = {rv.name: point[graph.rvs_to_values[rv].name][None] for rv in graph.free_RVs}
    values = to_constrained(graph, raw)
    found = at_draws(graph.deterministics, {graph[k]: v for k, v in values.items()})
    values |= {v.name: x for v, x in zip(graph.deterministics, found, strict=True)}
    dims = graph.named_vars_to_dims
    draw = xr.Dataset({k: (dims.get(k, ()), v[0]) for k, v in values.items()}).assign_coords(pair=["2 and 10"])
    logp = graph.logp(vars=[graph["outcome_by_period"]], sum=False)[0]
    f = pytensor.function(graph.value_vars, logp, mode=uncompiled(), on_unused_input="ignore")
    sampled = f(*(point[v.name] for v in graph.value_vars))
    for i in range(data.sizes["subject"]):
        y = data["outcome"].values[i].ravel()
        seen = ~np.isnan(y)
        if not seen.any():
            continue
        mean, covariance = by_hand(model, data, draw, i)
        law = stats.multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)])
        assert sampled[i] == pytest.approx(law.logpdf(y[seen]), rel=1e-8)


def test_predictive_draws_have_the_means_and_covariances_of_the_model():
    model, data, graph = case(2, (2, 10), carry_over=True, baseline=True)
    _, posterior = draws_of(graph, count=1, seed=3)
    point = {rv: np.repeat(posterior[rv.name].values[0], 20_000, axis=0) for rv in graph.free_RVs}
    (drawn,) = at_draws([graph["outcome_by_period"]], point, seed=1)
    for i in (0, 1):
        mean, covariance = by_hand(model, data, posterior.isel(chain=0, draw=0), i)
        flat = drawn[:, i].reshape(len(drawn), -1)
        spread = np.sqrt(np.diag(covariance))
        assert (np.abs(flat.mean(axis=0) - mean) < 5 * spread / np.sqrt(len(drawn))).all()
        # a covariance of n draws has a standard error of at most sqrt(2 / n) of the product of spreads
        away = np.abs(np.cov(flat.T) - covariance) / np.outer(spread, spread)
        assert away.max() < 5 * np.sqrt(2 / len(drawn))


@pytest.mark.parametrize("how", ["joint", "apart"])
def test_another_table_of_the_same_design_uses_the_compiled_model(how):
    model, _, graph = case(how=how)
    assert same_computation(graph, model.build(model.prepare(crossover_table(patients=20, seed=5, lost=0.4))))


def test_days_apart_are_as_good_as_alone():
    both, data, model = case(how="apart")
    _, posterior = draws_of(model)
    whole = both.log_likelihood(posterior, data)
    parts = 0.0
    for j in range(2):
        alone = posterior.isel(day=[j])
        centre = data["centre"]  # of both days, so that the parameters mean the same
        parts = parts + both.log_likelihood(alone, data.isel(day=[j]).assign(centre=centre))
    np.testing.assert_allclose(whole.values, parts.values, rtol=1e-12)


# ---- estimands and checks


@pytest.mark.parametrize("settings", CASES[::3], ids=str)
def test_every_estimand_has_units_and_a_description(settings):
    model, data, _ = case(**settings)
    for name, values in estimand_template(model, data).items():
        assert values.attrs["units"], name
        assert values.attrs["description"], name
        assert values.dims[:2] == ("chain", "draw"), name


def test_estimands_are_what_they_say():
    model, data, graph = case(3, (1, 3, 7), carry_over=True)
    _, posterior = draws_of(graph)
    found = model.estimands(posterior, data)
    for s in range(3):
        d = {k: v.values[0, s] for k, v in posterior.items()}
        at = {k: v.values[0, s] for k, v in found.items()}
        np.testing.assert_array_equal(at["difference"], d["treatment_effect"])
        np.testing.assert_allclose(at["mean_difference"], d["treatment_effect"].mean(axis=1))
        total = np.sqrt(d["patient_sd"] ** 2 + d["residual_sd"] ** 2)
        np.testing.assert_allclose(at["total_sd"], total)
        np.testing.assert_allclose(at["standardised_difference"], d["treatment_effect"] / total)
        assert "beyond_margin" not in at  # no margin is asked for
        np.testing.assert_allclose(at["intraclass_correlation"], d["patient_sd"] ** 2 / total**2)
        np.testing.assert_array_equal(at["carry_over"], d["carry_over"])
        np.testing.assert_array_equal(at["period_effect"], d["period_effect"])
        np.testing.assert_array_equal(at["residual_correlation"], d["residual_correlation"])
    assert list(found["comparison"].values) == ["high", "low"]
    assert list(found["pair"].values) == ["1 and 3", "1 and 7", "3 and 7"]
    higher = Crossover(**PLAIN, carry_over=True, better="higher", margin=0.5).estimands(posterior, data)
    np.testing.assert_array_equal(higher["beyond_margin"].values, posterior["treatment_effect"].values >= 0.5)


def test_the_crude_difference_is_the_mean_of_patients_own():
    data = case()[1]
    wide = crossover_table().pivot_table(index="id", columns=["day", "treatment"], values="outcome")
    estimate, se = crude_differences(data)
    for j, day in enumerate((2, 10)):
        own = (wide[day]["drug"] - wide[day]["placebo"]).dropna()
        assert estimate[j] == pytest.approx(own.mean())
        assert se[j] == pytest.approx(own.std() / np.sqrt(len(own)))


def test_checks_see_only_what_was_observed():
    model, data, _ = case()
    y = np.where(np.isnan(data["outcome"].values), 1e9, data["outcome"].values)
    values = {c.name: float(c.statistic(y)) for c in model.checks(data)}
    assert len(values) == 2 * (8 + 1 + 1)
    table = crossover_table().dropna(subset="outcome")
    here = table[(table["treatment"] == "drug") & (table["period"] == 2) & (table["day"] == 10)]["outcome"]
    assert values["mean: drug, period 2, day 10"] == pytest.approx(here.mean())
    assert values["sd: drug, period 2, day 10"] == pytest.approx(here.std())
    day = table[table["day"] == 2]
    by_period = day.pivot_table(index="id", columns="period", values="outcome")
    assert values["correlation of periods 1 and 2, day 2"] == pytest.approx(by_period[1].corr(by_period[2]))
    assert values["mean of period 2 less period 1, day 2"] == pytest.approx(by_period[2].mean() - by_period[1].mean())
    stacked = np.stack([y, y + 3])
    for check in model.checks(data):
        two = check.statistic(stacked)
        assert two.shape == (2,), check.name
        assert two[1] == pytest.approx(two[0] + 3 * check.name.startswith("mean:")), check.name


def test_the_words_and_the_formula_follow_the_settings():
    model = Crossover(**PLAIN, carry_over=True, baseline="b", days="apart")
    assert "carries over" in model.words
    assert "as if each were the only one" in model.words
    assert any("carry_over[., d] t[i, p - 1, .]" in line and "baseline_slope[d] b[i]" in line for line in model.formula)
    assert {"carry_over", "baseline_slope"} <= set(model.slots)
    plain = Crossover(**PLAIN)
    assert set(plain.slots) == {"day_mean", "period_effect", "treatment_effect", "patient_sd", "residual_sd"}
    assert any("R ~ LKJ(2)" in line for line in plain.formula)


def test_the_plan_is_the_benchmarks():
    plan = bd.read_plan(Path(__file__).parents[1] / "models" / "benchmarks" / "nimh_crossover.toml")
    assert isinstance(plan.model, Crossover)
    assert plan.needs_data
    published = {row.model_dump()["at"]["day"]: row.value for row in plan.published if row.estimand == "difference"}
    assert published == {"2": -7.407, "10": -5.67}


def test_outcomes_without_a_residual_are_refused_where_their_sd_has_no_posterior():
    """With one residual degree of freedom the density of the residual sd s is 1 / s near 0; with none it is finite."""
    rows = [(f"p{i}", k, "ab"[(i + k) % 2], 20.0 + 3 * i - 2 * k - 4 * ((i + k) % 2)) for i in range(3) for k in (0, 1)]
    table = pd.DataFrame(rows, columns=["subject", "period", "treatment", "outcome"])
    model = bd.Crossover(reference="a", baseline=None, day=None, scale=1.0)
    with pytest.raises(bd.BadInput, match="explain every outcome exactly"):
        model.prepare(table)
    two = table[table["subject"] != "p2"]
    assert model.prepare(two).sizes["subject"] == 2
    off = table.assign(outcome=table["outcome"] + 1e-3 * (table.index == 0))
    assert model.prepare(off).sizes["subject"] == 3
