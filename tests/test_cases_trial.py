"""Tables that people bring to a trial: the right value, or one sentence with a remedy that works when followed."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytensor
import pytest
from common import posterior_at

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import uncompiled
from bayesdep.inference.sample import estimand_template
from bayesdep.models.trial.means import expected
from bayesdep.models.trial.model import Trial
from bayesdep.models.trial.settings import split_level

CASES = Path(__file__).parents[2] / "shared" / "cases"


def case(name):
    path = CASES / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return pd.read_csv(path)


def made(arms=("placebo", "drug"), visits=(1, 2, 4), patients=36, seed=1, effect=2.0):
    """A synthetic trial: patients by visits, arms in turn, sites, ages and a sex."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(patients):
        arm, baseline, own = i % len(arms), rng.normal(24, 4), rng.normal(0, 3)
        who = {"subject": f"p{i}", "arm": arms[arm], "baseline": round(baseline, 2), "site": f"s{rng.integers(6)}"}
        who |= {"age": 30 + int(rng.integers(30)), "crp": round(float(rng.lognormal(0.5, 1)), 3)}
        for j, visit in enumerate(visits):
            y = 18 - j - effect * arm + 0.5 * (baseline - 24) + own + rng.normal(0, 3)
            rows.append(who | {"visit": visit, "outcome": round(y, 2)})
    return pd.DataFrame(rows)


def least_squares(table, columns, at="drug"):
    """The arms' difference and its standard error, by the normal equations."""
    x = np.column_stack([np.ones(len(table)), table["arm"] == at, *(table[c] for c in columns)]).astype(float)
    y = table.iloc[:, list(table.columns).index("y")].to_numpy(float)
    beta, squares, *_ = np.linalg.lstsq(x, y, rcond=None)
    error = np.sqrt(squares[0] / (len(y) - x.shape[1]) * np.linalg.inv(x.T @ x)[1, 1])
    return beta[1], error


# ---- the cases


@pytest.mark.sampling
def test_percent_improvement_is_found_under_default_priors():
    table = case("trial_percent_improvement")
    reference, error = least_squares(table[table["visit"] == 4].assign(y=lambda t: t["improvement"]), ["baseline"])
    assert (reference, error) == (pytest.approx(25.8, abs=0.1), pytest.approx(4.8, abs=0.05))
    model = Trial(reference="placebo", outcome="improvement", better="higher", units="%", covariance="ar1")
    fit = bd.fit(model, table, progress=False)
    assert fit.gate.passed, fit.gate.sentence
    found = fit.estimands["difference"].sel(comparison="drug", visit="4")
    assert abs(float(found.mean()) - reference) < 0.35 * error
    assert float(found.std()) == pytest.approx(error, rel=0.15)


@pytest.mark.sampling
def test_one_visit_is_an_analysis_of_covariance_with_everything_a_trial_reports():
    table = case("trial_one_visit")
    model = Trial(
        reference="placebo", outcome="hamd", moderator="crp", at=(1, 3), subgroups=["> 2", "<= 2"], response=0.5,
        remission=7, response_when="last",
    )  # fmt: skip
    fit = bd.fit(model, table, progress=False)
    assert fit.gate.passed, fit.gate.sentence
    logs = np.log(table["crp"]) - np.log(table["crp"]).mean()
    treated = (table["arm"] == "drug").astype(float) - (table["arm"] == "drug").mean()
    rows = table.assign(y=table["hamd"], m=logs, am=logs * treated)
    reference, error = least_squares(rows, ["baseline", "m", "am"])
    found = fit.estimands["difference"].sel(comparison="drug", visit="12")
    assert abs(float(found.mean()) - reference) < 0.35 * error
    assert float(found.std()) == pytest.approx(error, rel=0.1)
    assert {"difference_at", "crossing", "difference_in", "standardised_difference", "response_rate",
            "remission_nnt"} <= set(fit.estimands)  # fmt: skip
    assert "beyond_margin" not in fit.estimands  # no margin was named, and none can be known without one
    assert "correlation" not in fit.estimands
    mean = bd.check_dropout(fit, "missing-at-random")["mean"].sel(comparison="drug", visit="12")
    assert float(mean) == pytest.approx(reference, abs=0.01)  # nobody dropped out: least squares itself


def test_the_baseline_left_in_as_a_visit_is_refused_and_the_remedy_works():
    table = case("trial_with_visit_0")
    model = Trial(reference="placebo", outcome="hamd")
    with pytest.raises(BadInput, match=r"equals the baseline in everybody at visit 0, .*table\[table\['visit'\]"):
        model.prepare(table)
    kept = table[table["visit"].astype(str) != "0"]
    assert list(model.prepare(kept)["visit"].values) == ["2", "4", "6"]
    change = table.assign(hamd=table["hamd"] - table["baseline"])
    with pytest.raises(BadInput, match="is 0 in everybody at visit 0, as a change from baseline is at baseline"):
        model.prepare(change)


def test_dates_are_visits_with_all_their_digits():
    table = case("trial_visits_as_dates")
    data = Trial(reference="placebo", covariance="spatial-power").prepare(table)
    assert list(data["visit"].values) == ["20260112", "20260119", "20260202"]
    np.testing.assert_array_equal(data["day"].values[0], [0, 7, 21])
    with pytest.raises(BadInput, match="visits such as '20260112' carry no time since baseline"):
        Trial(reference="placebo", time="weeks").prepare(table)


def test_actual_times_are_told_from_planned_visits_and_the_remedy_works():
    table = case("trial_actual_weeks")
    with pytest.raises(BadInput, match=r"has 106 different values, but nobody has more than 3.*name 'visit' as day"):
        Trial(reference="placebo").prepare(table)
    planned = table.assign(planned=table.groupby("subject").cumcount() + 1)
    data = Trial(reference="placebo", visit="planned", day="visit", covariance="spatial-power").prepare(planned)
    assert data.sizes["visit"] == 3


# ---- their siblings: visits


def with_visits(names):
    """A trial in which the visits, in the order of the rows, are called so."""
    table = made().sort_values(["subject", "visit"]).reset_index(drop=True)
    visits = sorted(table["visit"].unique())
    assert len(names) <= len(visits)
    table = table[table["visit"].isin(visits[: len(names)])].reset_index(drop=True)
    return table.assign(visit=[dict(zip(visits, names, strict=False))[v] for v in table["visit"]])


def test_visits_are_ordered_by_what_their_names_say():
    unknown = None
    for names, expected_, numbers in (
        (["Week 12", "Week 4", "Week 8"], ["Week 4", "Week 8", "Week 12"], [4, 8, 12]),
        (["12 weeks", "4 weeks"], ["4 weeks", "12 weeks"], [4, 12]),
        (["Week 2", "Day 3", "Day 28"], ["Day 3", "Week 2", "Day 28"], [3, 14, 28]),
        (["VIS10", "VIS2", "VIS1"], ["VIS1", "VIS2", "VIS10"], unknown),
        (["2026-02-02", "2026-01-12"], ["2026-01-12", "2026-02-02"], unknown),
        ([12, 4, 8.5], ["4", "8.5", "12"], [4, 8.5, 12]),
        (["12", "4.0", "8.50"], ["4", "8.5", "12"], [4, 8.5, 12]),
        ([1234567, 1234568], ["1234567", "1234568"], [1234567, 1234568]),
    ):
        data = Trial(reference="placebo", covariance="ar1").prepare(with_visits(names))
        assert list(data["visit"].values) == expected_
        places = np.full(len(names), np.nan) if numbers is None else numbers
        np.testing.assert_array_equal(data["visit_number"], places)
    data = Trial(reference="placebo", covariance="spatial-power").prepare(with_visits(["2026-02-02", "2026-01-12"]))
    np.testing.assert_array_equal(data["day"].values[0], [0, 21])


def test_a_table_can_state_the_order_of_its_visits():
    """An ordered categorical column, and a stated order that names a visit which no row has."""
    table = with_visits(["early", "mid", "end"])
    ordered = table.assign(visit=pd.Categorical(table["visit"], ["early", "mid", "end"], ordered=True))
    assert list(Trial(reference="placebo").prepare(ordered)["visit"].values) == ["early", "mid", "end"]
    model = Trial(reference="placebo", visit_order=["early", "mid", "end", "follow-up"])
    assert list(model.prepare(table)["visit"].values) == ["early", "mid", "end"]


def test_an_order_that_names_do_not_say_is_asked_for_and_kept():
    names = {1: "mid", 2: "early", 4: "end"}
    table = made().assign(visit=lambda t: t["visit"].map(names))
    with pytest.raises(BadInput, match=r"'mid', 'early', 'end' have no order that can be known; .*visit_order = \["):
        Trial(reference="placebo").prepare(table)
    model = Trial(reference="placebo", visit_order=["mid", "early", "end"])
    assert list(model.prepare(table)["visit"].values) == ["mid", "early", "end"]
    shuffled = table.sample(frac=1, random_state=1).reset_index(drop=True)
    assert list(model.prepare(shuffled)["visit"].values) == ["mid", "early", "end"]
    with pytest.raises(BadInput, match="visit_order leaves out 'end'; name all times in it"):
        Trial(reference="placebo", visit_order=["mid", "early"]).prepare(table)
    with pytest.raises(BadInput, match="visit_order names 'mid' twice"):
        Trial(reference="placebo", visit_order=["mid", "mid", "end"]).prepare(table)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"time": "weeks"}, "use time = 'visits'"), ({"covariance": "spatial-power"}, "use covariance = 'ar1'")],
)
def test_visits_that_carry_no_time_have_no_slopes_or_days(settings, message):
    table = made().assign(visit=lambda t: "VIS" + t["visit"].astype(str))
    assert list(Trial(reference="placebo").prepare(table)["visit"].values) == ["VIS1", "VIS2", "VIS4"]
    with pytest.raises(BadInput, match=message):
        Trial(reference="placebo", **settings).prepare(table)


def test_one_time_written_in_two_ways_is_refused():
    table = made()
    table["visit"] = table["visit"].map({1: "Week 1", 2: "Week 2", 4: "Week 4"})
    for other, message in (("week 1", "differ only in case"), ("1 week", "may be one and the same time")):
        with pytest.raises(BadInput, match=message):
            Trial(reference="placebo").prepare(table.assign(visit=[other, *table["visit"][1:]]))


# ---- their siblings: refused before sampling

REFUSED = {
    "constant outcome": (lambda t: t.assign(outcome=5.0), {}, "is 5 in everybody at every visit"),
    "constant at a visit": (
        lambda t: t.assign(outcome=t["outcome"].where(t["visit"] != 2, 7.0)), {}, "is 7 in everybody at visit 2",
    ),
    "constant baseline": (lambda t: t.assign(baseline=20.0), {}, "is 20 in everybody, so it adjusts for nothing"),
    "arm as covariate": (
        lambda t: t.assign(treatment=t["arm"].str.upper()), {"covariates": "age + treatment"},
        "'treatment[PLACEBO]' follows from the arm",
    ),
    "baseline as covariate": (
        lambda t: t.assign(start=2 * t["baseline"] + 1), {"covariates": "start"}, "'start' follows from the arm, the",
    ),
    "subject as covariate": (lambda t: t, {"covariates": "subject"}, "covariates use column 'subject', which is"),
    "subject as level": (lambda t: t, {"covariates": "(1 | subject)"}, "covariates use column 'subject', which is"),
    "a level each": (
        lambda t: t.assign(room=t["subject"] + "r"), {"covariates": "(1 | room)"}, "has a level of its own for every",
    ),
    "one level": (lambda t: t.assign(room="a"), {"covariates": "(1 | room)"}, "(1 | room) has one level"),
    "no such time of response": (
        lambda t: t, {"response": 0.5, "response_when": 3}, "response_when = 3, but there is no such visit",
    ),
    "unseen lag": (
        lambda t: t[~((t["visit"] == 4) & (t["subject"].str[1:].astype(int) < 18))
                    & ~((t["visit"] == 1) & (t["subject"].str[1:].astype(int) >= 18))],
        {"covariance": "toeplitz"}, "visits 2 apart (such as 1 and 4) were both observed in 0 patients",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_answer_another_question_is_refused(name):
    change, settings, message = REFUSED[name]
    with pytest.raises(BadInput) as problem:
        Trial(reference="placebo", **settings).prepare(change(made()).reset_index(drop=True))
    assert message in str(problem.value)
    assert "\n" not in str(problem.value)


def test_remedies_work_when_followed():
    constant = made().assign(baseline=20.0)
    for none in (None, False):
        data = Trial(reference="placebo", baseline=none).prepare(constant)
        assert "baseline" not in data
    with pytest.raises(
        BadInput, match=r"response is a share of the baseline's score.*leave response and remission out"
    ):
        Trial(reference="placebo", baseline=None, response=0.5)


def test_an_arm_of_one_patient_is_said():
    table = made()
    table.loc[table["subject"] == "p1", "arm"] = "other"
    data = Trial(reference="placebo", covariance="ar1").prepare(table)
    assert "'other' has one person" in data.attrs["notes"]


# ---- the density


def density(model, point, skip=()):
    """Log densities of a model at values of its variables as they are, without what sampling them adds."""
    parts = model.logp(jacobian=False, sum=False)
    f = pytensor.function(list(model.value_vars), sum(p.sum() for p in parts), mode=uncompiled())
    return float(f(*(point[v.name] for v in model.value_vars)))


@functools.cache
def settings_of_invariance():
    return {
        "plain": {},
        "weeks, moderator": {"time": "weeks", "moderator": "crp", "moderator_form": "log-quadratic"},
        "moderator, covariates": {"moderator": "crp", "covariates": "age + (1 | site)"},
        "no baseline, robust": {"baseline": None, "robust": True},
        "by arm": {"by_arm": True, "covariance": "toeplitz"},
    }


IN_UNITS = (
    "visit_mean",
    "arm_effect",
    "arm_by_moderator",
    "moderator_effect",
    "covariate_effect",
    "residual_sd",
    "site_sd",
)


@pytest.mark.parametrize("power", [10, 20])
@pytest.mark.parametrize(
    "name", ["plain", "weeks, moderator", "moderator, covariates", "no baseline, robust", "by arm"]
)
def test_units_change_the_density_by_the_jacobian_only(name, power):
    """Outcome and baseline times 2^k: with the outcome's parameters times 2^k, the density is that over 2^(k n).

    To 1e-10 of the log density's own size, which is a sum of hundreds of terms of both signs in double precision.
    """
    settings = {"covariance": "ar1"} | settings_of_invariance()[name]
    times, table = 2.0**power, made()
    larger = table.assign(outcome=table["outcome"] * times, baseline=table["baseline"] * times)
    models, datas = [], []
    for t in (table, larger):
        model = Trial(reference="placebo", **settings)
        datas.append(model.prepare(t))
        models.append(model.build(datas[-1]))
    assert float(datas[1]["scale"]) == float(datas[0]["scale"]) * times
    rng = np.random.default_rng(3)
    start = models[0].initial_point()
    values, scaled, count = {}, {}, int(np.isfinite(datas[0]["outcome"].values).sum())
    for rv in models[0].free_RVs:
        value = models[0].rvs_to_values[rv].name
        x = 0.3 * rng.normal(size=np.shape(start[value]))
        values[value] = x
        has_unit = rv.name.removesuffix("_departure") in IN_UNITS
        if rv.name in ("residual_sd", "site_sd"):
            plain = np.logaddexp(0, x)  # sampled as log(exp(sd) - 1)
            plain = plain * 5.0
            values[value] = np.log(np.expm1(plain))
            scaled[value] = plain * times + np.log(-np.expm1(-plain * times))
        else:
            scaled[value] = x * times if has_unit else x
        count += np.size(x) if has_unit else 0
    one, other = (density(m, v) for m, v in zip(models, (values, scaled), strict=True))
    assert other + count * power * np.log(2) == pytest.approx(one, abs=1e-10 * abs(one))


@pytest.mark.parametrize("arms", [("placebo", "drug"), ("placebo", "drug", "more")])
def test_the_arms_exchanged_change_nothing_but_the_sign(arms):
    """Another arm as the reference, its differences put to match: density and patients' means are the same."""
    table = made(arms=arms)
    models = [Trial(reference=r, covariance="ar1", moderator="crp") for r in (arms[0], arms[-1])]
    datas = [m.prepare(table) for m in models]
    graphs = [m.build(d) for m, d in zip(models, datas, strict=True)]
    assert float(datas[0]["scale"]) == float(datas[1]["scale"])
    rng = np.random.default_rng(5)
    start = graphs[0].initial_point()
    point = {k: 0.3 * rng.normal(size=np.shape(v)) for k, v in start.items()}
    count = len(arms) - 1
    root = np.linalg.cholesky((np.eye(count) + 1) / 2)
    names = [list(d["arm"].values) for d in datas]
    other = dict(point)
    for key, x in point.items():
        if key.split("_zerosum")[0] in (
            "arm_effect",
            "arm_effect_departure",
            "arm_by_moderator",
            "arm_by_moderator_departure",
        ):
            own = np.concatenate(
                [np.zeros((1, *x.shape[1:])), np.tensordot(root, x, 1)]
            )  # by arm, the reference's zero
            again = own[[names[0].index(a) for a in names[1]]]
            other[key] = np.tensordot(np.linalg.inv(root), (again - again[:1])[1:], 1)
    one, two = density(graphs[0], point), density(graphs[1], other)
    assert one == pytest.approx(two, rel=1e-11)
    means = []
    for model, data, graph, at in zip(models, datas, graphs, (point, other), strict=True):
        flat = posterior_at(graph, [at]).isel(chain=0).rename(draw="sample")
        means.append(expected(model, flat, data)[0])
        if model is models[0]:
            difference = flat["arm_effect_at_visit"].values[0]
    np.testing.assert_allclose(means[0], means[1], rtol=1e-11)
    if len(arms) == 2:
        again = posterior_at(graphs[1], [other])["arm_effect_at_visit"].values[0, 0]
        np.testing.assert_allclose(again, -difference, rtol=1e-11)


@pytest.mark.parametrize("visits", [(1, 2), (1, 2, 3, 4, 5, 6, 8, 10)])
@pytest.mark.parametrize("arms", [("placebo", "drug"), ("placebo", "drug", "more")])
def test_the_prior_of_the_mean_difference_does_not_narrow_with_visits_and_arms_correlate_a_half(visits, arms):
    import pymc as pm

    model = Trial(reference="placebo", covariance="ar1", scale=4)
    graph = model.build(model.prepare(made(arms=arms, visits=visits)))
    drawn = pm.draw(graph["arm_effect_at_visit"], draws=6000, random_seed=1, mode=uncompiled())
    mean = drawn.mean(axis=-1)
    # the sd of 6,000 draws' sd is 1 in 110, of a correlation 1 in 100: four of those
    np.testing.assert_allclose(mean.std(axis=0), 1.5 * 4, rtol=4 / 110)
    at_visit = np.sqrt(6.0**2 + 3.0**2 * (1 - 1 / len(visits)))
    np.testing.assert_allclose(drawn.std(axis=0), at_visit, rtol=4 / 110)
    if len(arms) == 3:
        assert abs(np.corrcoef(mean.T)[0, 1] - 0.5) < 0.04
        assert abs(np.corrcoef(drawn[:, 0, 0], drawn[:, 1, 0])[0, 1] - 0.5) < 0.04


def test_three_arms_need_normal_priors_and_departures_are_normal_around_zero():
    student = {"arm_effect": bd.Prior("StudentT", nu=4, mu=0, sigma=5)}
    Trial(reference="placebo", priors=student).prepare(made())
    with pytest.raises(BadInput, match=r"priors\.arm_effect: StudentT.*with 3 arms only normal differences"):
        Trial(reference="placebo", priors=student).prepare(made(arms=("placebo", "drug", "more")))
    with pytest.raises(BadInput, match=r"priors\.arm_effect_departure: .* is not Normal with mu = 0"):
        Trial(reference="placebo", priors={"arm_effect_departure": bd.Prior("Normal", mu=1, sigma=5)})


def test_settings_keep_scaled_priors():
    from bayesdep.models.register import make_model, settings_of

    model = Trial(reference="placebo", scale=7, priors={"arm_effect": bd.Prior("Normal", mu=0, sigma=3)})
    again = make_model("trial", settings_of(model))
    assert again == model
    assert again.priors["visit_mean"].times_scale
    assert not again.priors["arm_effect"].times_scale


# ---- covariates: effects per unit, many columns, levels


def test_a_random_effect_is_taken_out_of_the_formula():
    assert split_level("(1 | site)") == (None, "site")
    assert split_level("age + (1|site) + sex") == ("age + sex", "site")
    assert split_level("log(age + 1) + (1 | `study site`)") == ("log(age + 1)", "study site")
    assert split_level("age") == ("age", None)
    for bad in ("age | site", "(1 | site) + (1 | room)", "(age | site)"):
        with pytest.raises(BadInput, match="one random effect is possible"):
            split_level(bad)


def test_levels_have_a_normal_effect_with_the_stated_sd():
    model = Trial(reference="placebo", covariance="ar1", covariates="age + (1 | site)")
    table = made()
    data = model.prepare(table)
    graph = model.build(data)
    rng = np.random.default_rng(1)
    point = {k: rng.normal(size=np.shape(v)) for k, v in graph.initial_point().items()}
    posterior = posterior_at(graph, [point])
    sd = float(posterior["site_sd"].values[0, 0])
    np.testing.assert_allclose(posterior["site_effect"].values[0, 0], sd * point["site_latent"])
    flat = posterior.isel(chain=0).rename(draw="sample")
    without = flat.assign(site_effect=0 * flat["site_effect"])
    moved = (expected(model, flat, data) - expected(model, without, data))[0]
    site = table.drop_duplicates("subject")["site"].to_numpy()
    by_label = dict(zip(data["site"].values, posterior["site_effect"].values[0, 0], strict=True))
    np.testing.assert_allclose(moved, np.repeat([[by_label[s]] for s in site], 3, axis=1))
    assert {"site_sd", "covariate_effect"} <= set(estimand_template(model, data))


def test_covariates_effects_are_per_unit_of_their_column():
    model = Trial(reference="placebo", covariance="ar1", covariates="I(age / 10)")
    data = model.prepare(made())
    graph = model.build(data)
    point = {k: np.full(np.shape(v), 0.2) for k, v in graph.initial_point().items()}
    posterior = posterior_at(graph, [point])
    found = model.estimands(posterior, data)["covariate_effect"]
    ages = made().drop_duplicates("subject")["age"].to_numpy() / 10
    assert float(found[0, 0, 0]) == pytest.approx(float(posterior["covariate_effect"][0, 0, 0]) / ages.std(), rel=1e-12)
    assert found.attrs["units"] == "points per unit"


@pytest.mark.parametrize("columns", [12, 40, 100])
def test_any_number_of_covariates_can_be_evaluated(columns):
    rng = np.random.default_rng(1)
    table = made(patients=120)
    names = [f"x{k}" for k in range(columns)]
    people = pd.DataFrame(rng.normal(size=(120, columns)), columns=names).assign(subject=[f"p{i}" for i in range(120)])
    model = Trial(reference="placebo", covariance="ar1", covariates=" + ".join(names))
    data = model.prepare(table.merge(people, on="subject"))
    from bayesdep.inference.evaluate import at_draws, from_prior

    graph = model.build(data)
    free = {rv.name: from_prior([rv], 3, seed=1)[0] for rv in graph.free_RVs}
    drawn = at_draws([graph["outcome_by_visit"]], {graph[k]: v for k, v in free.items()}, seed=1)[0]
    assert drawn.shape == (3, 120, 3)
    assert np.isfinite(drawn).all()


# ---- response and remission


def test_response_at_a_visit_is_a_normal_tail_and_below_any():
    table = made()
    found = {}
    for when in ("any", "last", 2, "4"):
        model = Trial(
            reference="placebo", covariance="ar1", response=0.3, remission=14, response_when=when, remission_when=when,
        )  # fmt: skip
        data = model.prepare(table)
        graph = model.build(data)
        point = {k: np.full(np.shape(v), 0.4) for k, v in graph.initial_point().items()}
        found[when] = model.estimands(posterior_at(graph, [point]), data)
    for name in ("response_rate", "remission_rate"):
        np.testing.assert_array_equal(found["last"][name].values, found["4"][name].values)
        assert (found["any"][name].values > found["last"][name].values).all()
        assert not np.allclose(found["last"][name].values, found[2][name].values)
    assert "at visit 2" in found[2]["response_rate"].attrs["description"]
    assert "at any visit" in found["any"]["remission_rate"].attrs["description"]
