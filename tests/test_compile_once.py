"""Which models may share one compiled sampler: equal graphs up to data and prior numbers, nothing else."""

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import pytest
from common import same_computation
from pymc.model.transform.conditioning import prune_vars_detached_from_observed
from pytensor.graph.traversal import graph_inputs, io_toposort
from pytensor.scalar.basic import Exp
from pytensor.tensor.elemwise import Elemwise

import bayesdep as bd
from bayesdep.inference import compile_once
from bayesdep.inference.computation import Computation, flat_density
from bayesdep.models.counts.model import Counts
from bayesdep.models.meta.model import Meta
from bayesdep.models.screen.model import Screen
from bayesdep.numerics.distributions import Prior


def meta(priors=None, studies=5, factor=1.0, **settings):
    table = pd.DataFrame(
        {"study": [f"s{i}" for i in range(studies)], "effect": factor * np.arange(studies) / 10, "se": factor * 0.2}
    )
    model = Meta(measure="standardised-difference", priors=priors or {}, **settings)
    # as a fit does: the studies' own effects are not needed for the likelihood and not sampled
    return prune_vars_detached_from_observed(model.build(model.prepare(table)))


def counts(pooling="partial", priors=None, events=(3, 8, 12, 7), subgroups=2):
    table = pd.DataFrame(
        {
            "subgroup": np.repeat([f"g{i}" for i in range(subgroups)], 2),
            "arm": ["placebo", "drug"] * subgroups,
            "events": np.resize(events, 2 * subgroups),
            "n": 20,
        }
    )
    model = Counts(control="placebo", pooling=pooling, priors=priors or {})
    return model.build(model.prepare(table))


def screen(positives=(15, 1)):
    table = pd.DataFrame({"group": ["ill", "well"], "positives": positives, "n": [19, 12]})
    model = Screen(condition="ill")
    return model.build(model.prepare(table))


NORMAL = {"mu": Prior("Normal", mu=0.3, sigma=7)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (meta, lambda: meta(factor=3.0)),
        (meta, lambda: meta(NORMAL)),
        (meta, lambda: meta(studies=8)),
        (counts, lambda: counts(events=(1, 2, 3, 4))),
        (counts, lambda: counts(priors={"effect_sd": Prior("HalfNormal", sigma=2)})),
        (screen, lambda: screen((4, 2))),
    ],
    ids=["other data", "other prior numbers", "more studies, none a parameter", "other counts", "wider", "other table"],
)
def test_other_numbers_are_the_same_computation(one, other):
    assert same_computation(one(), other())
    assert same_computation(other(), one())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (meta, lambda: meta({"tau": Prior("HalfCauchy", beta=0.5)})),
        (meta, lambda: meta({"mu": Prior("StudentT", nu=4, mu=0, sigma=1)})),
        (counts, lambda: counts(subgroups=3)),
        (counts, lambda: counts("complete")),
        (lambda: counts("none"), lambda: counts("complete")),
        (meta, screen),
    ],
    ids=["half-Cauchy", "Student t", "more subgroups", "complete pooling", "none or complete", "another model"],
)
def test_another_family_length_or_model_is_another_computation(one, other):
    assert not same_computation(one(), other())
    assert not same_computation(other(), one())


def small(constant=2.0, observed=1.0, power=2, transform="default", extra=False):
    with pm.Model(coords={"k": range(3)}) as model:
        x = pm.HalfNormal("x", 1.0, **({} if transform == "default" else {"default_transform": None}))
        y = pm.Data("y_data", np.full(3, observed), dims="k")
        pm.Normal("y", constant * x**power, 1.0, observed=y, dims="k")
        if extra:
            pm.Potential("tilt", -x)
    return model


def test_a_constant_in_the_graph_is_part_of_the_computation():
    assert same_computation(small(), small(observed=9.0))
    assert not same_computation(small(constant=2.0), small(constant=2.0 + 1e-12))
    assert not same_computation(small(), small(power=3))


def test_a_transform_and_a_potential_are_part_of_the_computation():
    assert not same_computation(small(), small(transform=None))
    assert not same_computation(small(), small(extra=True))


def test_data_put_in_as_constants_are_never_taken_for_each_other():
    def model(values):
        with pm.Model() as m:
            x = pm.Normal("x", 0, 1)
            pm.Normal("y", x, 1, observed=np.array(values))
        return m

    assert not same_computation(model([1.0, 2.0]), model([1.0, 3.0]))


def test_names_of_parameters_are_part_of_the_computation():
    def model(name):
        with pm.Model() as m:
            pm.Normal("y", pm.Normal(name, 0, 1), 1, observed=pm.Data("d", np.ones(2)))
        return m

    assert not same_computation(model("a"), model("b"))


def test_real_studies_of_one_design_share_a_computation():
    """A simulated Raison study and the real one: what calibration rests on."""
    model = Counts(control="placebo", events="responders")
    real = model.prepare(bd.load("raison2013_responders"))
    other = model.prepare(bd.simulate("raison2013_responders", seed=3).table)
    assert same_computation(model.build(real), model.build(other))


def test_what_two_observed_variables_share_is_computed_once():
    with pm.Model() as model:
        mean = pt.exp(pm.Normal("a"))
        pm.Normal("x", mean, 1, observed=pm.Data("of_x", np.ones(2)))
        pm.Normal("y", mean, 2, observed=pm.Data("of_y", np.ones(3)))
    computation = Computation.of(model)
    flat = flat_density(computation, [()])
    before, after = (
        sum(isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, Exp) for node in io_toposort([], [logp]))
        for logp in (computation.logp, flat.logp)
    )
    assert (before, after) == (2, 1)
    assert set(flat.values) <= set(graph_inputs([flat.logp]))


def test_data_of_other_shapes_are_compiled_from_what_was_derived(monkeypatch):
    """PyMC's derivation takes as long as the compilation; what it gives is that of a model compiled alone."""
    monkeypatch.setattr(compile_once, "compiled_densities", [])
    compile_once.compile_once(meta(studies=5))
    with monkeypatch.context() as patch:
        patch.setattr(Computation, "of", lambda *_: pytest.fail("derived again"))
        other = compile_once.compile_once(meta(studies=8))
    monkeypatch.setattr(compile_once, "compiled_densities", [])
    alone, point = compile_once.compile_once(meta(studies=8)), other.start + 0.3
    value, slope = other.evaluator()(point)
    expected = alone.evaluator()(point)
    assert value == expected[0]
    np.testing.assert_array_equal(slope, expected[1])
