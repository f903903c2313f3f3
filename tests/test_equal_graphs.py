"""What is derived from a graph serves every graph that is equal but for its data, and no other."""

import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
from common import same_computation
from pymc.distributions.transforms import Interval

import bayesdep as bd
from bayesdep.inference import compile_once as compiled_module
from bayesdep.inference import evaluate
from bayesdep.inference.compile_once import compilations
from bayesdep.inference.equal_graphs import Derived, Graph
from bayesdep.inference.evaluate import at_draws, log_density, value_of
from bayesdep.models.meta.model import Meta
from bayesdep.models.trial.model import Trial


def line(y, x, *, sd=1.0, power=1):
    """A regression with data as shared variables, a constant and an exponent."""
    with pm.Model() as model:
        slope, noise = pm.Normal("slope", 0, 1), pm.HalfNormal("noise", sd)
        pm.Normal("y", slope * pm.Data("x", x) ** power, noise, observed=pm.Data("y_data", y))
    return model


def drawn(model, seed=3):
    rng = np.random.default_rng(1)
    given = {model["slope"]: rng.normal(size=5), model["noise"]: rng.uniform(1, 2, 5)}
    replicates = at_draws([model["y"]], given, seed=seed)[0]
    return replicates, log_density([model["y"]], model.rvs_to_values, given)[0]


@pytest.fixture
def derived(monkeypatch):
    fresh = Derived(most=64)
    monkeypatch.setattr(evaluate, "derived_functions", fresh)
    return fresh


def test_functions_serve_other_data_of_any_length(derived):
    one, other = line(np.zeros(3), np.arange(3.0)), line(np.ones(4), np.array([2.0, 5.0, -1.0, 0.5]))
    drawn(one)
    made = derived.made
    assert made == 2
    reused = drawn(other)
    assert derived.made == made
    derived._kept.clear()
    for mine, fresh in zip(reused, drawn(other), strict=True):
        np.testing.assert_array_equal(mine, fresh)
    mean = np.random.default_rng(1).normal(size=5)[:, None] * other["x"].get_value()
    assert np.abs(reused[0] - mean).max() < 10
    sd = at_draws([other["noise"] * 1.0], {other["noise"]: np.array([1.5, 2.0])})[0]
    np.testing.assert_array_equal(sd, [1.5, 2.0])


def test_the_first_models_random_numbers_are_left_alone(derived):
    one = line(np.zeros(3), np.arange(3.0))
    before = pm.draw(one["y"], random_seed=5)
    first, _ = drawn(one, seed=3)
    np.testing.assert_array_equal(first, drawn(line(np.zeros(3), np.arange(3.0)), seed=3)[0])
    assert not np.array_equal(first, drawn(one, seed=4)[0])
    np.testing.assert_array_equal(before, pm.draw(one["y"], random_seed=5))


@pytest.mark.parametrize("changed", [{"sd": 2.0}, {"power": 2}])
def test_another_constant_or_operation_is_another_graph(changed, derived):
    y, x = np.zeros(3), np.arange(1.0, 4.0)
    one, other = line(y, x), line(y, x, **changed)
    assert not same_computation(one, other)
    assert same_computation(one, line(y + 1, x + 1))
    at = {"slope": np.array([0.7]), "noise": np.array([1.2])}
    scores = [
        log_density([m["noise"], m["y"]], m.rvs_to_values | {m["noise"]: m["noise"]}, {m[k]: at[k] for k in at})
        for m in (one, other)
    ]
    assert derived.made == 2
    assert not all(np.array_equal(a, b) for a, b in zip(*scores, strict=True))


def transformed(upper):
    with pm.Model() as model:
        x = pm.Normal("x", 0, 1, transform=Interval(0.0, upper))
        pm.Normal("y", x, 1, observed=pm.Data("y_data", np.zeros(2)))
    return model


def with_potential(factor):
    with pm.Model() as model:
        x = pm.Normal("x", 0, 1)
        pm.Normal("y", x, 1, observed=pm.Data("y_data", np.zeros(2)))
        pm.Potential("more", factor * x)
    return model


@pytest.mark.parametrize("make", [transformed, with_potential])
def test_numbers_inside_a_transformation_or_potential_count(make):
    assert same_computation(make(2.0), make(2.0))
    assert not same_computation(make(2.0), make(3.0))


def test_the_latest_are_kept():
    derived = Derived(most=2)
    graphs = [Graph.of([pm.math.exp(value) for value in [line(np.zeros(2), np.ones(2))["x"]] * n]) for n in (1, 2, 3)]
    for graph in (*graphs, graphs[0]):
        derived.of(graph, lambda one: len(one.outputs))
    assert derived.made == 4
    assert derived.of(graphs[2], lambda _: 0) == 3
    assert not any(hasattr(v, "get_value") for graph, _ in derived._kept for v in graph.shared)  # no data are kept


def test_values_are_copies():
    model = line(np.zeros(3), np.arange(3.0))
    value_of(model["x"])[:] = 9.0
    np.testing.assert_array_equal(value_of(model["x"]), np.arange(3.0))


def studies(n, seed):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"study": [f"s{i}" for i in range(n)], "effect": rng.normal(size=n), "se": 0.3})


def trials(seed):
    rng = np.random.default_rng(seed)
    people, visits = 12, 3
    return pd.DataFrame(
        {
            "subject": np.repeat(np.arange(people), visits),
            "arm": np.repeat(np.where(np.arange(people) % 2, "drug", "placebo"), visits),
            "week": np.tile([1, 2, 4], people),
            "baseline": np.repeat(rng.normal(20, 3, people), visits),
            "score": rng.normal(15, 4, people * visits),
        }
    )


VERSIONS = {
    "meta": (Meta(measure="standardised-difference", heterogeneity="student-t"), [studies(6, k) for k in range(4)]),
    "trial": (
        Trial(outcome="score", baseline="baseline", visit="week", reference="placebo"), [trials(k) for k in range(4)],
    ),
}  # fmt: skip


@pytest.mark.sampling
@pytest.mark.parametrize("name", VERSIONS)
def test_versions_of_a_table_derive_and_compile_nothing_anew(name, derived, monkeypatch):
    """After the first, no log density is derived or compiled, no graph vectorised; each fit is as if it were alone."""
    monkeypatch.setattr(compiled_module, "compiled_densities", [])
    calls, logp = [], pm.Model.logp
    monkeypatch.setattr(
        pm.Model, "logp", lambda model, *given, **named: (calls.append(1), logp(model, *given, **named))[1]
    )
    model, tables = VERSIONS[name]
    how = {"draws": 40, "tune": 60, "chains": 2, "sampler": "nutpie", "target_accept": 0.9, "progress": False}
    bd.fit(model, tables[0], seed=1, **how)
    before = len(calls), derived.made, compilations.number
    assert len(calls) == 1
    found = bd.fit(model, tables[1:], seed=5, **how)
    assert (len(calls), derived.made, compilations.number) == before
    scaled = found.tree["constant_data"].to_dataset()
    monkeypatch.setattr(compiled_module, "compiled_densities", [])
    derived._kept.clear()
    again = bd.fit(model, tables[1:], seed=5, **how)
    for group in ("posterior", "posterior_predictive", "log_likelihood", "log_prior", "estimands"):
        xr.testing.assert_identical(found.tree[group].to_dataset(), again.tree[group].to_dataset())
    xr.testing.assert_identical(scaled, again.tree["constant_data"].to_dataset())
