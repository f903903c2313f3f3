"""What a change of units, of names, of the order of rows or of the arms' places does to a density: nothing else.

For `Counts`, `Response`, `Crossover` and `Correlation`, on the joint density at fixed points, whose values are given on
their natural scale, so that only the Jacobian of a change of units stands between two densities.
"""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from pytensor.graph.traversal import ancestors

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.evaluate import from_prior
from bayesdep.models.parts.contrasts import contrast_root

TIMES = [2.0**10, 2.0**20]


def density(model, data, values):
    """The log density of data and parameters, both on their natural scale; ``values`` by the sampled variables."""
    graph = model.build(data)
    assert {rv.name for rv in graph.free_RVs} == set(values)
    point = {}
    for rv in graph.free_RVs:
        transform, value = graph.rvs_to_transforms[rv], graph.rvs_to_values[rv]
        x = np.asarray(values[rv.name], float)
        point[value.name] = x if transform is None else forward(graph, rv, transform, x, values)
    return float(graph.compile_logp(jacobian=False, mode="FAST_COMPILE")(point))


def forward(model, rv, transform, x, values):
    """The value on the sampler's scale."""
    inputs = list(rv.owner.inputs)
    found = transform.forward(x, *inputs)
    above = set(ancestors([found]))
    others = {v: values[v.name] for v in model.free_RVs if v is not rv}
    return found.eval({k: v for k, v in others.items() if k in above}, mode="FAST_COMPILE")


# Crossover.


def periods(treatments=2, days=(2, 10), seed=1):
    rng = np.random.default_rng(seed)
    names = ["saline", "low", "high"][:treatments]
    rows = []
    for i in range(12):
        order = np.roll(names, i % treatments) if i < 6 else np.roll(names[::-1], i % treatments)
        for p, treatment in enumerate(order):
            for day in days:
                y = np.nan if rng.random() < 0.1 and i > 5 else round(rng.normal(30, 6), 2)
                rows.append(
                    {"subject": f"p{i}", "treatment": treatment, "period": p + 1, "day": day, "outcome": y,
                     "baseline": 30.0 + i}
                )  # fmt: skip
    return pd.DataFrame(rows)


def crossover_values(data, *, joint=True, seed=2):
    """Values in sds of the outcome, and which of the sampled variables have its unit."""
    rng = np.random.default_rng(seed)
    n, k, later = (data.sizes[d] for d in ("day", "comparison", "later"))
    values = {
        "day_mean": rng.normal(size=n),
        "patient_sd": rng.uniform(0.3, 1, n),
        "residual_sd": rng.uniform(0.3, 1, n),
    }
    for name, count in (("period_effect", later), ("treatment_effect", k)):
        plain = count == 1 and not (joint and n > 1)
        values[name if plain else f"{name}_standardised"] = rng.normal(size=(count, n))
    if joint and n > 1:
        values |= {f"{w}_partial_share": rng.uniform(0.2, 0.8, n * (n - 1) // 2) for w in ("patient", "residual")}
    return values


def in_units(values, scale):
    free = ("standardised", "share")
    return {k: v if k.endswith(free) else v * scale for k, v in values.items()}


def numbers_with_units(values):
    return sum(v.size for k, v in values.items() if not k.endswith(("standardised", "share")))


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize(("treatments", "days"), [(2, "joint"), (3, "apart")])
def test_units_of_a_crossovers_outcome(treatments, days, times):
    model = bd.Crossover(reference="saline", days=days)
    table = periods(treatments)
    one, other = (model.prepare(table.assign(outcome=table["outcome"] * f)) for f in (1, times))
    assert float(other["scale"]) == pytest.approx(times * float(one["scale"]), rel=1e-12)
    values = crossover_values(one, joint=days == "joint")
    seen = int(np.isfinite(one["outcome"].values).sum())
    expected = density(model, one, in_units(values, 6.0)) - (seen + numbers_with_units(values)) * np.log(times)
    assert density(model, other, in_units(values, 6.0 * times)) == pytest.approx(expected, rel=1e-10)


def test_units_and_origin_of_a_crossovers_baseline():
    """The baseline's own unit and zero change nothing but the slope's unit."""
    model = bd.Crossover(reference="saline", baseline="baseline", days="apart")
    table = periods()
    plain, moved = model.prepare(table), model.prepare(table.assign(baseline=table["baseline"] * 1000 - 7e4))
    values = in_units(crossover_values(plain, joint=False), 6.0)
    slope = np.array([0.3, -0.2])
    expected = density(model, plain, values | {"baseline_slope": slope}) + 2 * np.log(1000)
    assert density(model, moved, values | {"baseline_slope": slope / 1000}) == pytest.approx(expected, rel=1e-10)


def test_origin_of_a_crossovers_outcome_and_the_order_of_its_rows():
    model, table = bd.Crossover(reference="saline"), periods()
    data = model.prepare(table)
    values = in_units(crossover_values(data), 6.0)
    expected = density(model, data, values)
    moved = model.prepare(table.assign(outcome=table["outcome"] + 4096))
    assert density(model, moved, values) == pytest.approx(expected, rel=1e-9)  # outcomes have 12 digits left of 16
    shuffled = model.prepare(table.sample(frac=1, random_state=3)[table.columns[::-1]].reset_index(drop=True))
    assert density(model, shuffled, values) == pytest.approx(expected, rel=1e-10)
    assert float(shuffled["scale"]) == pytest.approx(float(data["scale"]), rel=1e-12)


@pytest.mark.parametrize("treatments", [2, 3])
def test_exchanging_treatments_of_a_crossover(treatments):
    """With low as the reference, saline's difference is minus low's, and high's loses low's."""
    table = periods(treatments)
    models = [bd.Crossover(reference=r) for r in ("saline", "low")]
    data = [s.prepare(table) for s in models]
    assert data[1]["comparison"].values.tolist() == ["high", "saline"][3 - treatments :]
    values = in_units(crossover_values(data[0]), 6.0)
    name = "treatment_effect_standardised"
    root = contrast_root(treatments - 1)
    turn = {2: np.array([[-1.0]]), 3: np.array([[1.0, -1.0], [0.0, -1.0]])}[treatments]  # rows high, saline
    turned = np.linalg.solve(root, turn @ root) @ values[name]
    expected = density(models[0], data[0], values)
    assert density(models[1], data[1], values | {name: turned}) == pytest.approx(expected, rel=1e-10)


def test_the_mean_over_days_has_nearly_the_prior_of_one_day():
    """Of K days that correlate 3/4 the mean has (3/4 + 1/(4 K)) of a day's variance; independent ones had 1/K."""
    model = bd.Crossover(reference="saline", scale=1.0)
    data = model.prepare(periods(3, days=(1, 2, 3, 4)))
    (effects,) = from_prior([model.build(data)["treatment_effect"]], 20_000, seed=1)
    width = model.priors["treatment_effect"]["sigma"]
    assert effects.std(axis=0) == pytest.approx(np.full((2, 4), width), rel=0.03)  # 20,000 draws: sds to 0.5%
    assert effects.mean(axis=2).var() == pytest.approx(width**2 * (0.75 + 0.25 / 4), rel=0.05)
    assert np.corrcoef(effects[:, 0, 0], effects[:, 1, 0])[0, 1] == pytest.approx(0.5, abs=0.03)
    assert np.corrcoef(effects[:, 0, 0], effects[:, 0, 3])[0, 1] == pytest.approx(0.75, abs=0.03)


def test_a_crossovers_scale_is_the_sd_within_treatment_period_and_day():
    table = periods()
    cells = table.dropna().groupby(["treatment", "period", "day"])["outcome"]
    by_hand = np.sqrt((cells.var(ddof=1) * (cells.size() - 1)).sum() / (cells.size() - 1).sum())
    assert float(bd.Crossover(reference="saline").prepare(table)["scale"]) == pytest.approx(by_hand, rel=1e-12)
    assert float(bd.Crossover(reference="saline", scale=7).prepare(table)["scale"]) == 7
    assert bd.Crossover(reference="saline").priors["treatment_effect"].times_scale
    given = bd.Crossover(reference="saline", priors={"treatment_effect": bd.Prior("Normal", mu=0, sigma=10)})
    assert not given.priors["treatment_effect"].times_scale  # in the outcome's units


def test_a_constant_outcome_is_refused_before_sampling():
    with pytest.raises(BadInput, match="is 12 in everybody at every day"):
        bd.Crossover(reference="saline").prepare(periods().assign(outcome=12.0))


def test_a_treatment_that_one_patient_had_is_noted_before_sampling():
    table = periods(3)
    table = table[(table["treatment"] != "high") | (table["subject"] == "p4")].reset_index(drop=True)
    data = bd.Crossover(reference="saline", days="apart").prepare(table)
    assert "'high' has one person" in data.attrs["notes"]
    table = pd.DataFrame({"arm": ["drug", "placebo"], "events": [1, 4], "n": [1, 20]})
    data = bd.Counts(control="placebo", subgroup=None, pooling="none").prepare(table)
    assert "row 1 (all, drug) is a group of one person" in data.attrs["notes"]


def test_correlated_effects_need_a_normal_prior():
    prior = {"treatment_effect": bd.Prior("StudentT", nu=4, mu=0, sigma=5)}
    with pytest.raises(BadInput, match="only a Normal says how; use a Normal"):
        bd.Crossover(reference="saline", priors=prior).prepare(periods())
    assert bd.Crossover(reference="saline", priors=prior, days="apart").prepare(periods()).sizes["day"] == 2


# Response.


def markers(n=16, analytes=("FGF-2",), seed=4):
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        for name in analytes:
            x = rng.normal(3, 0.8)
            rows.append({"subject": f"s{i}", "analyte": name, "log": max(x, 2.4), "flag": "left" if x < 2.4 else "none",
                         "responder": i % 2})  # fmt: skip
    table = pd.DataFrame(rows)
    return table.assign(concentration=np.exp(table["log"]))


def response_values(data, seed=5, hidden_at=2.0):
    rng = np.random.default_rng(seed)
    k, hidden = data.sizes["analyte"], int(np.isinf(data["log_lower"].values).sum())
    return {
        "intercept": 0.4, "slope": rng.normal(size=k), "marker_mean": rng.normal(size=k),
        "marker_sd": rng.uniform(0.7, 1.3, k), "beyond": hidden_at - rng.uniform(0, 1, hidden),
    }  # fmt: skip


@pytest.mark.parametrize("times", TIMES)
def test_units_of_a_marker(times):
    model, table = bd.Response(predicts_when="above", censored="flag"), markers()
    one, other = (model.prepare(table.assign(concentration=table["concentration"] * f)) for f in (1, times))
    values = response_values(one)
    turned = values | {"beyond": values["beyond"] + np.log(times)}
    # logarithms move by 7 and 14, so the last digits of the limits change
    assert density(model, other, turned) == pytest.approx(density(model, one, values), rel=1e-10)


@pytest.mark.parametrize("narrower", [10.0, 0.2])
def test_how_widely_a_marker_spreads(narrower):
    """Logs pulled towards their centre: the priors, and so the area under the curve, stay what they are."""
    model, table = bd.Response(predicts_when="above", censored="flag"), markers()
    centre = table["log"].mean()
    turned = table.assign(concentration=np.exp(centre + (table["log"] - centre) / narrower))
    one, other = model.prepare(table), model.prepare(turned)
    assert other["log_sd"].values == pytest.approx(one["log_sd"].values / narrower, rel=1e-9)
    values = response_values(one)
    expected = density(model, one, values) + 16 * np.log(narrower)  # detected values and hidden ones alike
    moved = values | {"beyond": centre + (values["beyond"] - centre) / narrower}
    assert density(model, other, moved) == pytest.approx(expected, rel=1e-8)
    draws = {k: (("chain", "draw", *(["analyte"] if np.ndim(v) else [])), np.asarray(v)[None, None])
             for k, v in values.items() if k != "beyond"}  # fmt: skip
    posterior = xr.Dataset(draws, {"analyte": one["analyte"]})
    areas = [float(model.estimands(posterior, d)["auc"].squeeze()) for d in (one, other)]
    assert areas[0] == pytest.approx(areas[1], abs=1e-8)
    below = bd.Response(predicts_when="below", censored="flag")
    assert float(below.estimands(posterior, one)["auc"].squeeze()) == pytest.approx(1 - areas[0], abs=1e-8)


def test_exchanging_responders_and_others_and_the_order_of_rows():
    model, table = bd.Response(predicts_when="above", censored="flag", event="1"), markers()
    data = model.prepare(table)
    values = response_values(data)
    expected = density(model, data, values)
    other = bd.Response(predicts_when="below", censored="flag", event=0)
    turned = values | {"intercept": -values["intercept"], "slope": -values["slope"]}
    assert density(other, other.prepare(table), turned) == pytest.approx(expected, rel=1e-10)
    back = table.iloc[::-1].reset_index(drop=True)[table.columns[::-1]]
    reversed_ = values | {"beyond": values["beyond"][::-1]}
    assert density(model, model.prepare(back), reversed_) == pytest.approx(expected, rel=1e-10)


# Correlation.


@pytest.mark.parametrize("times", TIMES)
def test_units_of_a_score_and_of_its_marker(times):
    model = bd.Correlation(censored="flag")
    table = markers().assign(score=np.random.default_rng(6).normal(15, 8, 16).round(3))
    one = model.prepare(table)
    other = model.prepare(table.assign(score=table["score"] * times, concentration=table["concentration"] * times))
    values = {"rho": 0.4, "marker_mean": 0.2, "marker_sd": 0.8, "score_mean": 1.5, "score_sd": 7.0}
    turned = values | {k: values[k] * times for k in ("score_mean", "score_sd")}
    expected = density(model, one, values) - (16 + 2) * np.log(times)
    assert density(model, other, turned) == pytest.approx(expected, rel=1e-10)


def test_a_score_may_have_priors_in_its_own_units():
    given = {"score_mean": bd.Prior("Normal", mu=15, sigma=10), "score_sd": bd.Prior("HalfNormal", sigma=15)}
    table = markers().assign(score=np.random.default_rng(6).normal(15, 8, 16).round(3))
    data = bd.Correlation(censored="flag", priors=given).prepare(table)
    assert float(data["score_centre"]) == 0
    assert float(data["scale"]) == pytest.approx(table["score"].std(ddof=1), rel=1e-12)


# Counts.


@pytest.mark.parametrize("pooling", ["partial", "none"])
def test_the_order_of_rows_of_counts(pooling):
    table = pd.DataFrame(
        {"subgroup": list("xxyy"), "arm": ["drug", "placebo"] * 2, "events": [3, 5, 0, 2], "n": [20, 21, 22, 23]}
    )
    model = bd.Counts(control="placebo", pooling=pooling)
    rng = np.random.default_rng(7)
    values = (
        {"risk": rng.uniform(0.1, 0.4, (2, 2))}
        if pooling == "none"
        else {"baseline_mean": -1.0, "baseline_sd": 0.4, "baseline_latent": rng.normal(size=2), "effect_mean": [0.3],
              "effect_sd": 0.2, "effect_latent": rng.normal(size=(2, 1))}
    )  # fmt: skip
    back = table.iloc[[3, 2, 1, 0]].reset_index(drop=True)
    turned = {k: v[::-1] if np.ndim(v) and len(v) == 2 else v for k, v in values.items()}
    one = density(model, model.prepare(table), values)
    assert density(model, model.prepare(back), turned) == pytest.approx(one, rel=1e-10)
