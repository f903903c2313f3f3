"""Ordinal: its density against maximum likelihood in R, its data, estimands and refusals against the same by hand."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from scipy import integrate, optimize, special

from bayesdep.inference.evaluate import at_draws, from_prior, uncompiled
from bayesdep.inference.labelled import label_draws
from bayesdep.models.ordinal.data import term_values
from bayesdep.models.ordinal.estimands import (
    _in_groups,
    counts_by_cell,
    crude_differences,
    kinds_of_people,
    own_levels,
)
from bayesdep.models.ordinal.model import Ordinal
from bayesdep.models.ordinal.scores import levels_of_rows
from bayesdep.models.ordinal.terms import levels_from, thresholds_from
from bayesdep.numerics.draws import stack_draws
from bayesdep.numerics.ordinal import probabilities_up_to

REFERENCES = Path(__file__).parent / "references"
LEVELS = ["Low", "Medium", "High"]
# R's coding: every factor against its first level
HOUSING = "C(Infl, 'Low') + C(Type, 'Tower') + C(Cont, 'Low')"


@functools.cache
def reference(model):
    table = pd.read_csv(REFERENCES / "ordinal_ml.csv").set_index(["model", "term"])["estimate"]
    return table.loc[model]


def housing():
    return pd.read_csv(REFERENCES / "housing.csv")


def maximum(model, table, start=None):
    """The point of largest likelihood, from the model's own density and its slope: no prior, nothing compiled."""
    data = model.prepare(table)
    graph = model.build(data)
    values = list(graph.value_vars)
    likelihood = graph.logp(vars=graph.observed_RVs, sum=True)
    f = pytensor.function(values, [likelihood, *pytensor.grad(likelihood, values)], mode=uncompiled())
    initial = graph.initial_point()
    shapes = [np.shape(initial[v.name]) for v in values]
    ends = np.cumsum([int(np.prod(s)) for s in shapes])

    def split(x):
        return [part.reshape(s) for part, s in zip(np.split(x, ends[:-1]), shapes, strict=True)]

    def objective(x):
        found, *slopes = f(*split(x))
        return -float(found), -np.concatenate([np.ravel(s) for s in slopes])

    x = np.concatenate([np.ravel(initial[v.name]) for v in values]) if start is None else start
    best = optimize.minimize(objective, x, jac=True, method="BFGS", options={"gtol": 1e-6, "maxiter": 500})
    at = dict(zip([v.name for v in values], split(best.x), strict=True))
    names = [*graph.named_vars]
    wanted = [graph[n] for n in names if n in ("threshold", "covariate_effect", "visit_effect", "patient_sd")]
    back = graph.replace_rvs_by_values(wanted)
    found = pytensor.function(values, back, mode=uncompiled(), on_unused_input="ignore")(*split(best.x))
    return data, dict(zip([v.name for v in wanted], found, strict=True)), -best.fun, at


@pytest.mark.parametrize(
    ("link", "distribution", "model"),
    [
        ("cumulative", "logit", "polr logistic"), ("cumulative", "probit", "polr probit"),
        ("continuation", "logit", "vglm continuation"), ("adjacent", "logit", "vglm adjacent"),
    ],
)  # fmt: skip
def test_the_maximum_of_the_density_is_that_of_maximum_likelihood_in_r(link, distribution, model):
    settings = Ordinal(
        categories=LEVELS, outcome="Sat", count="Freq", covariates=HOUSING, link=link, distribution=distribution
    )
    data, found, *_ = maximum(settings, housing())
    slope = found["covariate_effect"] / data["covariate_sd"].values
    r = reference(model)
    by_name = dict(zip(data["covariate"].values, slope, strict=True))
    for name, value in by_name.items():
        factor, level = name.removeprefix("C(").split(",")[0], name.rsplit("[", 1)[1].removesuffix("]")
        assert value == pytest.approx(r[factor + level], abs=1e-3)
    # thresholds are of people at the covariates' means; VGAM's intercepts are minus thresholds
    means = pd.get_dummies(housing(), dtype=float).mul(1)
    weight = housing()["Freq"]
    shift = sum(
        v * np.average(means[f"{n.removeprefix('C(').split(',')[0]}_{n.rsplit('[', 1)[1][:-1]}"], weights=weight)
        for n, v in by_name.items()
    )
    sign = -1 if model.startswith("vglm") else 1
    terms = ["(Intercept):1", "(Intercept):2"] if sign < 0 else ["Low|Medium", "Medium|High"]
    np.testing.assert_allclose(found["threshold"] + shift, sign * r[terms].to_numpy(), atol=1e-3)


CATEGORIES = ("remission", "response", "neither")


def patients(n=30, seed=1):
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        about = {"subject": f"p{i}", "arm": ("placebo", "drug")[i % 2], "age": 30.0 + i, "stage": i // 2 % 3}
        about["baseline"] = CATEGORIES[(i // 3) % 3]
        for week in (2, 6):
            rows.append(about | {"visit": week, "outcome": CATEGORIES[rng.integers(3)]})
    return pd.DataFrame(rows)


def model(**settings):
    base = {"categories": CATEGORIES, "reference": "placebo", "subject": "subject", "visit": "visit"}
    return Ordinal(**(base | settings))


def drawn(settings, data, size=4, seed=3):
    """Draws of every parameter from the prior, with dims chain and draw."""
    graph = settings.build(data)
    names = [v.name for v in [*graph.free_RVs, *graph.deterministics]]
    values = from_prior([graph[n] for n in names], size, seed=seed)
    found = {n: v[None] for n, v in zip(names, values, strict=True)}
    return graph, label_draws(found, graph)


def by_hand(posterior, s, rows):
    """Levels of rows from their definition in the docstring: dicts of arm, visit, age, stage, baseline."""
    draw = posterior.isel(chain=0, draw=s)
    found = []
    for row in rows:
        code = {"placebo": -0.5, "drug": 0.5}[row["arm"]]
        level = draw["visit_effect"].sel(visit=row["visit"]) + code * draw["arm_effect"].sel(
            comparison="drug", visit=row["visit"]
        )
        found.append(float(level))
    return np.array(found)


def mo(draw, name, passed, shares):
    """The sum of increments up to a level, less its mean over people: shares are of people above each step."""
    increments = [float(v) for step, v in zip(draw["step"].values, draw["increment"].values, strict=True)
                  if str(step).startswith(f"{name}: ")]  # fmt: skip
    return sum(z * ((passed > k) - shares[k]) for k, z in enumerate(increments))


def test_levels_and_the_likelihood_are_those_of_the_docstring():
    table = patients()
    settings = model(patient_effects="sampled", covariates="age + mo(stage)", baseline="baseline")
    data = settings.prepare(table)
    graph, posterior = drawn(settings, data)
    people = table.drop_duplicates("subject")
    above = {n: [(people[n].map(order).to_numpy() > k).mean() for k in range(2)]
             for n, order in (("stage", {0: 0, 1: 1, 2: 2}),
                              ("baseline", dict(zip(CATEGORIES, range(3), strict=True))))}  # fmt: skip
    given = {graph.rvs_to_values[rv]: rv for rv in graph.free_RVs}
    assert given
    for s in range(4):
        draw = posterior.isel(chain=0, draw=s)
        rows = table.sort_values(
            ["subject", "visit"], key=lambda c: c.str[1:].astype(int) if c.name == "subject" else c
        )
        level = by_hand(posterior, s, [r | {"visit": str(r["visit"])} for r in rows.to_dict("records")])
        sd = people["age"].std(ddof=0)
        for i, row in enumerate(rows.to_dict("records")):
            level[i] += float(draw["covariate_effect"][0]) * (row["age"] - people["age"].mean()) / sd
            level[i] += float(draw["baseline_effect"]) * mo(
                draw, "baseline", CATEGORIES.index(row["baseline"]), above["baseline"]
            )
            level[i] += float(draw["monotone_effect"][0]) * mo(draw, "stage", row["stage"], above["stage"])
        found = levels_of_rows(settings, stack_draws(posterior), data)
        np.testing.assert_allclose(found[s], level, rtol=1e-10, atol=1e-12)
        p = special.expit(np.asarray(draw["threshold"])[None, :] - level[:, None])
        each = np.diff(np.column_stack([np.zeros(len(p)), p, np.ones(len(p))]), axis=1)
        assert each.min() > 0
        log_p = np.log(each[np.arange(len(each)), [CATEGORIES.index(x) for x in rows["outcome"]]])
        assert np.isfinite(log_p.sum())


@pytest.mark.parametrize(("link", "distribution"), [("cumulative", "logit"), ("continuation", "probit"),
                                                    ("adjacent", "logit"), ("cumulative", "probit")])  # fmt: skip
@pytest.mark.parametrize("by_threshold", [(), ("arm",), ("arm", "age")])
def test_what_the_graph_observes_is_what_the_scores_say(link, distribution, by_threshold):
    """Two computations of one density: PyTensor's graph, and NumPy on draws; grouped counts and patients."""
    settings = model(subject=None, covariates="age", link=link, distribution=distribution, by_threshold=by_threshold)
    data = settings.prepare(patients())
    graph, posterior = drawn(settings, data)
    scores = settings.log_likelihood(posterior, data)
    (observed,) = graph.observed_RVs
    values = {graph.rvs_to_values[rv]: rv for rv in graph.free_RVs}
    forward = {}
    for value, rv in values.items():
        x, transform = posterior[rv.name].values[0], graph.rvs_to_transforms[rv]
        if transform is not None:
            x = transform.forward(pt.as_tensor_variable(x), *rv.owner.inputs).eval(mode=uncompiled())
        forward[value] = x
    (found,) = at_draws([graph.logp(vars=[observed], sum=False)[0]], forward)
    np.testing.assert_allclose(found.sum(axis=-1), scores.values[0].sum(axis=-1), rtol=1e-9)


def test_counts_and_people_are_the_same():
    table = patients()
    grouped = table.groupby(["arm", "visit", "stage", "outcome"], as_index=False).size()
    how = {"subject": None, "covariates": "mo(stage) * arm2"}
    table["arm2"], grouped["arm2"] = table["visit"] * 2.0, grouped["visit"] * 2.0
    how = {"subject": None, "covariates": "mo(stage)"}
    one, two = model(**how).prepare(table), model(**how, count="size").prepare(grouped)
    assert one["counts"].values.sum() == two["counts"].values.sum() == 60
    keys = [sorted(map(tuple, np.column_stack([d["arm_of"].values[d["unit_of"].values], d["visit_of"].values,
                                              d["reached"].values[d["unit_of"].values].round(9), d["counts"].values])))
            for d in (one, two)]  # fmt: skip
    np.testing.assert_allclose(keys[0], keys[1], atol=1e-8)
    graphs = [model(**how).build(d) for d in (one, two)]
    point = graphs[0].initial_point()
    both = [g.compile_logp(mode=uncompiled())(point) for g in graphs]
    assert both[0] - both[1] == pytest.approx(0, abs=1e-9)


def test_probabilities_are_means_over_people_and_their_own_levels():
    settings = model(covariates="age")
    data = settings.prepare(patients())
    _, posterior = drawn(settings, data)
    estimands = settings.estimands(posterior, data)
    age = data["covariates"].values[:, 0]
    for s in range(4):
        draw = posterior.isel(chain=0, draw=s)
        for arm, code in (("placebo", -0.5), ("drug", 0.5)):
            for visit in ("2", "6"):
                cell = float(draw["visit_effect"].sel(visit=visit)) + code * float(
                    draw["arm_effect"].sel(comparison="drug", visit=visit)
                )
                level = cell + float(draw["covariate_effect"][0]) * age

                def p(u, level=level, draw=draw):
                    return special.expit(
                        np.asarray(draw["threshold"])[:, None] - level - float(draw["patient_sd"]) * u
                    ).mean(axis=1) * np.exp(-u * u / 2) / np.sqrt(2 * np.pi)  # fmt: skip

                exact = [integrate.quad(lambda u, k=k: p(u)[k], -9, 9)[0] for k in range(2)]
                found = estimands["at_or_better"].isel(chain=0, draw=s).sel(arm=arm, visit=visit)
                np.testing.assert_allclose(found, exact, atol=2e-5)
    difference = estimands["difference"].sel(comparison="drug")
    expected = estimands["at_or_better"].sel(arm="drug") - estimands["at_or_better"].sel(arm="placebo")
    np.testing.assert_allclose(difference.values, expected.transpose("chain", "draw", "visit", "up_to").values)
    np.testing.assert_allclose(estimands["number_needed_to_treat"].values, 1 / estimands["difference"].values)


@pytest.mark.parametrize("sd", [0.3, 1.5, 6.0])
@pytest.mark.parametrize(
    ("link", "distribution"),
    [("cumulative", "logit"), ("continuation", "logit"), ("adjacent", "logit"), ("cumulative", "probit"),
     ("continuation", "probit")],
)  # fmt: skip
def test_means_over_patients_own_levels_are_right_to_a_millionth(link, distribution, sd):
    """Against a grid of 0.01 standard deviations, at thresholds in the middle and far from it."""
    settings = model(link=link, distribution=distribution)
    places, weights = own_levels(settings, xr.Dataset({"patient_sd": ("sample", [sd, sd / 2])}), 2)
    fine = np.arange(-9, 9.005, 0.01)
    dense = np.exp(-(fine**2) / 2) / np.exp(-(fine**2) / 2).sum()
    for of_draw in (sd, sd / 2):
        for thresholds in ([-0.5, 0.7], [-6.0, -4.0], [3.0, 9.0]):
            how = {"link": link, "distribution": distribution}
            found = weights @ probabilities_up_to(np.array(thresholds), of_draw * places, **how)
            exact = dense @ probabilities_up_to(np.array(thresholds), of_draw * fine, **how)
            np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-8)


def over_people(settings, draws, data):
    """P(y <= k) by draw, arm and visit: the mean over all people of a table, one by one."""
    places, weights = own_levels(settings, draws, 2)
    levels, people = levels_from(settings, draws, data), data.sizes["unit"]
    found = np.zeros((draws.sizes["sample"], 2, 2, 2))
    for a, v in np.ndindex(2, 2):
        columns = term_values(data, np.full(people, a), np.full(people, v), np.arange(people))
        thresholds, _ = thresholds_from(settings, draws, columns)
        for place, weight in zip(places, weights, strict=True):
            own = draws["patient_sd"].values[:, None] * place
            level = levels.cells[:, a, v, None] + levels.units[:, a] + own
            found[:, a, v] += weight * probabilities_up_to(thresholds, level).mean(axis=1)
    return found


@pytest.mark.parametrize("by_threshold", [[], ["visit"], ["age"]])
def test_means_over_kinds_of_people_are_those_over_people(by_threshold):
    settings = model(covariates="age", moderator="stage", at=[0.0, 2.0], by_threshold=by_threshold)
    data = settings.prepare(patients().assign(age=lambda t: t["age"].round(-1)))
    people = kinds_of_people(data)
    assert people.sizes["unit"] < data.sizes["unit"] / 2
    assert people["weight"].sum() == data["weight"].sum()
    _, posterior = drawn(settings, data)
    found, draws = stack_draws(settings.estimands(posterior, data)), stack_draws(posterior)
    at_or_better = found["at_or_better"].transpose("sample", "arm", "visit", "up_to")
    np.testing.assert_allclose(at_or_better.values, over_people(settings, draws, data), rtol=1e-9)
    scale = data["moderator_scale"].attrs
    for k, value in enumerate(settings.at):
        moderator = np.full(data.sizes["unit"], (value - scale["mean"]) / scale["sd"])
        at_last = over_people(settings, draws, data.assign(moderator=("unit", moderator)))[:, :, -1]
        difference = found["difference_at"].isel(comparison=0, moderator_value=k).transpose("sample", "up_to")
        np.testing.assert_allclose(difference.values, at_last[:, 1] - at_last[:, 0], atol=1e-10)


def test_mean_scores_are_sums_of_scores_times_probabilities():
    table = patients().assign(outcome=lambda t: t["outcome"].map(dict(zip(CATEGORIES, (0, 3, 7), strict=True))))
    settings = Ordinal(categories=[0, 3, 7], reference="placebo", visit="visit")
    data = settings.prepare(table)
    _, posterior = drawn(settings, data)
    found = settings.estimands(posterior, data)
    expected = (found["probability"].values * [0, 3, 7]).sum(axis=-1)
    np.testing.assert_allclose(found["mean_score"].transpose("chain", "draw", "arm", "visit").values, expected)


def test_means_over_groups_of_people_are_those_over_people():
    rng = np.random.default_rng(1)
    level, weight = rng.normal(0, 2, (3, 700)), rng.uniform(0.5, 2, 700)
    groups, shares = _in_groups(level, weight, 50)
    exact = (special.expit(level) * weight).sum(axis=1) / weight.sum()
    np.testing.assert_allclose((special.expit(groups) * shares).sum(axis=1), exact, atol=1e-4)


def test_an_effect_of_its_own_at_every_threshold_is_r_s_nominal_effect():
    """Arms with thresholds of their own: the maximum has ordinal::clm's two odds ratios."""
    settings = Ordinal(
        categories=LEVELS, outcome="Sat", count="Freq", arm="Cont", reference="Low", by_threshold=["arm"],
        covariates="C(Infl, 'Low') + C(Type, 'Tower')",
    )  # fmt: skip
    data, _, _, at = maximum(settings, housing())
    graph = settings.build(data)
    names = [v.name for v in graph.value_vars]
    free = {n.removesuffix("_simplex__"): n for n in names}
    posterior = {}
    for rv in graph.free_RVs:
        x, transform = at[free.get(rv.name, rv.name)], graph.rvs_to_transforms[rv]
        posterior[rv.name] = (
            x
            if transform is None
            else transform.backward(pt.as_tensor_variable(x), *rv.owner.inputs).eval(mode=uncompiled())
        )
    draws = label_draws({k: np.asarray(v)[None, None] for k, v in posterior.items()}, graph)
    ratio = settings.estimands(draws, data)["odds_ratio_by_threshold"].values.ravel()
    r = reference("clm nominal")
    # R's thresholds of the other level are lower by these, so the odds of a later category are larger
    expected = -r[["Low|Medium.ContHigh", "Medium|High.ContHigh"]].to_numpy()
    np.testing.assert_allclose(np.log(ratio), expected, atol=1e-3)


def test_the_crude_differences_are_those_of_the_counts():
    data = model().prepare(patients())
    table = patients()
    found, error = crude_differences(data)
    expected, errors = [], []
    for visit in (2, 6):
        for k in (1, 2):
            there = table[table["visit"] == visit]
            share = {arm: there[there["arm"] == arm]["outcome"].isin(CATEGORIES[:k]).mean()
                     for arm in ("placebo", "drug")}  # fmt: skip
            expected.append(share["drug"] - share["placebo"])
            errors.append(np.sqrt(sum(s * (1 - s) / 15 for s in share.values())))
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(error, errors)
    assert counts_by_cell(data).sum() == 60


@pytest.mark.parametrize("categories", [2, 4, 8])
@pytest.mark.parametrize(("link", "distribution"), [("cumulative", "logit"), ("cumulative", "probit"),
                                                    ("continuation", "logit"), ("adjacent", "logit")])  # fmt: skip
def test_default_priors_do_not_pile_probabilities_at_zero_or_one(link, distribution, categories):
    """Half of all prior shares of an arm at a visit lie between 0.01 and 0.99; none of the ends has most of them."""
    names = [str(k) for k in range(categories)]
    table = pd.DataFrame(
        [{"arm": arm, "visit": v, "outcome": k} for arm in "pd" for v in (1, 2, 3) for k in names]
    )  # fmt: skip
    settings = Ordinal(categories=names, reference="p", visit="visit", link=link, distribution=distribution)
    data = settings.prepare(table)
    _, posterior = drawn(settings, data, size=400)
    p = settings.estimands(posterior, data)["at_or_better"].values
    assert (p < 0.01).mean() < 0.25
    assert (p > 0.99).mean() < 0.25
