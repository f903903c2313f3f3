"""The density that nutpie calls by its address: PyMC's, gradient included, with any model's data in it."""

import ctypes
import gc
import importlib
import sys
import types

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from common import BCG
from pymc.model.transform.conditioning import prune_vars_detached_from_observed

import bayesdep as bd
from bayesdep.inference import compile_once as compiled_module
from bayesdep.inference import notes
from bayesdep.inference.chains import _sample_all, _sample_each
from bayesdep.inference.compile_once import compile_once
from bayesdep.inference.computation import Computation
from bayesdep.inference.native import bind, centre, compile_density, to_constrained
from bayesdep.inference.status import NOT_FINITE, OK, WRONG_LENGTH
from bayesdep.models.counts.model import Counts
from bayesdep.models.cytokines.model import Cytokines
from bayesdep.models.meta.model import Meta
from bayesdep.numerics.distributions import Prior

PANEL = Cytokines(analyte="analyte", subject="subject", group="group", reference="HC", time="time")


def panel(subjects=6, seed=4, shift=0.0):
    """Two analytes and two times, some values below 0.6 and some above 3."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(subjects):
        for a in "ab":
            for t in (0, 1):
                x = round(float(np.exp(0.2 + shift + rng.normal(0, 0.8))), 3)
                cell = "<0.6" if x < 0.6 else ">3" if x > 3 else f"{x}"
                who = {"subject": f"s{i}", "group": ("HC", "TRD")[i % 2], "time": t, "analyte": a}
                rows.append({**who, "concentration": cell})
    return pd.DataFrame(rows)


def model_of(name):
    model, table = {
        "cytokines": lambda: (PANEL, panel()),
        "counts": lambda: (Counts(control="placebo", events="responders"), bd.load("raison2013_responders")),
        "meta": lambda: (
            Meta(measure="log-odds-ratio", input="counts", likelihood="binomial", **BCG),
            bd.load("bcg_colditz1994"),
        ),
        "estimates": lambda: (Meta(measure="log-risk-ratio", input="counts", **BCG), bd.load("bcg_colditz1994")),
    }[name]()  # fmt: skip
    return prune_vars_detached_from_observed(model.build(model.prepare(table)))


class Caller:
    """Calls a bound density as nutpie does: through its C signature."""

    def __init__(self, bound):
        self.bound = bound
        table = [x for value in bound.values for x in (value.ctypes.data, *value.shape)]
        self.table = np.array(table, dtype=np.int64)
        pointer = ctypes.POINTER(ctypes.c_double)
        kinds = (ctypes.c_uint64, pointer, pointer, pointer, ctypes.c_void_p)
        self.function = ctypes.CFUNCTYPE(ctypes.c_int64, *kinds)(bound.density.logp.address)

    def __call__(self, point, length=None):
        point = np.ascontiguousarray(point, float)
        gradient, logp = np.full(len(point), np.nan), np.full(1, np.nan)
        as_pointer = [x.ctypes.data_as(ctypes.POINTER(ctypes.c_double)) for x in (point, gradient, logp)]
        length = len(point) if length is None else length
        status = self.function(length, *as_pointer, self.table.ctypes.data)
        return status, float(logp[0]), gradient


def as_dict(bound, model, vector):
    ends = np.cumsum([int(np.prod(s)) for s in bound.density.shapes])
    pieces = np.split(vector, ends[:-1])
    return {
        model.rvs_to_values[model[n]].name: piece.reshape(shape)
        for n, shape, piece in zip(bound.density.names, bound.density.shapes, pieces, strict=True)
    }


@pytest.mark.sampling
@pytest.mark.parametrize("name", ["cytokines", "counts", "meta"])
def test_density_and_gradient_are_pymcs(name):
    model = model_of(name)
    bound = compile_once(model)
    call = Caller(bound)
    logp, dlogp = model.compile_logp(), model.compile_dlogp()
    rng = np.random.default_rng(1)
    for scale in (0.1, 0.5, 1.0, 2.0):
        vector = scale * rng.normal(size=bound.n_dim)
        status, value, gradient = call(vector)
        point = as_dict(bound, model, vector)
        assert status == OK
        assert value == pytest.approx(float(logp(point)), rel=1e-12, abs=1e-9)
        by_name = dict(
            zip([v.name for v in model.value_vars], np.split(dlogp(point), splits(model, point)), strict=True)
        )
        expected = np.concatenate([by_name[n].ravel() for n in point])
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
        value_too, gradient_too = bound.evaluator()(vector)
        assert value_too == value
        np.testing.assert_array_equal(gradient_too, gradient)
    assert call(vector, length=bound.n_dim + 1)[0] == WRONG_LENGTH
    assert call(np.full(bound.n_dim, np.nan))[0] == NOT_FINITE  # a divergence, not an end of the run


def test_an_evaluator_keeps_the_data_that_it_reads():
    """Their addresses too: memory that was let go is filled with something else here."""
    bound = compile_once(model_of("counts"))
    start, expected = bound.start, Caller(bound)(bound.start)[1]
    evaluate = bound.evaluator()
    del bound
    gc.collect()
    others = [np.ones(size, dtype=np.int64) for size in range(1, 200) for _ in range(20)]
    assert evaluate(start)[0] == expected
    del others  # kept until here


def splits(model, point):
    return np.cumsum([np.size(point[v.name]) for v in model.value_vars])[:-1]


def median_error_of_bcg():
    """Greenland and Robins 1985: a log risk ratio's variance is 1/a - 1/n + 1/c - 1/m."""
    table = bd.load("bcg_colditz1994")
    a, n, c, m = (table[x].to_numpy(float) for x in ("tb_vaccinated", "n_vaccinated", "tb_control", "n_control"))
    return np.median(np.sqrt(1 / a - 1 / n + 1 / c - 1 / m))


@pytest.mark.parametrize("name", ["cytokines", "counts", "meta", "estimates"])
def test_constrained_draws_are_the_transforms_backwards(name):
    model = model_of(name)
    unit = median_error_of_bcg() if name == "estimates" else 1.0  # of estimates, multiples of a typical error
    rng = np.random.default_rng(3)
    start = model.initial_point()
    draws = {rv.name: rng.normal(size=(5, *np.shape(start[model.rvs_to_values[rv].name]))) for rv in model.free_RVs}
    kept = {k: v.copy() for k, v in draws.items()}
    found = to_constrained(model, draws)
    assert list(found) == list(draws)
    for rv in model.free_RVs:
        raw, transform = kept[rv.name], model.rvs_to_transforms[rv]
        np.testing.assert_array_equal(draws[rv.name], raw)  # the argument is left alone
        if transform is None:
            np.testing.assert_array_equal(found[rv.name], raw)
            continue
        name_of = model.rvs_to_values[rv].name
        if rv.name == "mu":  # on the real line
            assert name_of == "mu_scaled__"
            np.testing.assert_allclose(found[rv.name], unit * raw, rtol=1e-13)
            continue
        assert name_of == f"{rv.name}_softplus__", name_of
        np.testing.assert_allclose(found[rv.name], unit * np.logaddexp(0, raw), rtol=1e-13)


def test_constrained_turns_sums_to_zero_and_risks_back():
    model = Cytokines(analyte="analyte", subject="subject", plate="plate", pooling="none")
    table = panel().query("time == 0").assign(plate=lambda d: "p" + (d["subject"] < "s3").astype(str))
    graph = model.build(model.prepare(table.reset_index(drop=True)))
    start = graph.initial_point()
    rng = np.random.default_rng(3)
    draws = {rv.name: rng.normal(size=(4, *np.shape(start[graph.rvs_to_values[rv].name]))) for rv in graph.free_RVs}
    found = to_constrained(graph, draws)
    assert found["plate_latent"].shape == (4, 2, 2)
    np.testing.assert_allclose(found["plate_latent"].sum(axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose((found["plate_latent"] ** 2).sum(-1), (draws["plate_latent"] ** 2).sum(-1), rtol=1e-12)
    counts = Counts(control="placebo", events="responders", pooling="none")
    graph = counts.build(counts.prepare(bd.load("raison2013_responders")))
    risk = rng.normal(size=(4, 2, 2))
    np.testing.assert_allclose(to_constrained(graph, {"risk": risk})["risk"], 1 / (1 + np.exp(-risk)), rtol=1e-12)


@pytest.mark.parametrize("groups", [2, 3])
def test_a_panel_with_other_values_is_the_same_computation(groups):
    """What an analyte's own data say of its parameters is data of the model, not a constant of its graph."""
    model, found = Cytokines(analyte="analyte", subject="subject", group="group", reference="HC"), []
    for seed, shift in ((4, 0.0), (9, 1.0)):
        table = panel(subjects=9, seed=seed, shift=shift).query("time == 0").reset_index(drop=True)
        if groups == 3:
            table.loc[table["subject"].isin(["s2", "s5", "s8"]), "group"] = "MDD"
        found.append(Computation.of(prune_vars_detached_from_observed(model.build(model.prepare(table)))))
    assert found[0].same_as(found[1])


@pytest.mark.sampling
@pytest.mark.parametrize(("compiler", "censored_compile_again"), [("llvm", True), ("pytensor", False)])
def test_a_reused_density_gives_the_draws_of_a_fresh_one(monkeypatch, compiler, censored_compile_again):
    """Other values and other prior numbers on the density of the first panel, and other numbers of censored values.

    LLVM's code has the lengths of the data in it, so that it is compiled again where the numbers of censored values
    differ; PyTensor's serves them.
    """
    settings = {"draws": 50, "tune": 100, "chains": 2, "seed": 3}
    monkeypatch.setattr(bd.settings, "_compiler", compiler)
    monkeypatch.setattr(compiled_module, "compiled_densities", [])
    model = Cytokines(analyte="analyte", subject="subject", group="group", reference="HC")
    other = Cytokines(
        analyte="analyte", subject="subject", group="group", reference="HC",
        priors={"level_mean": Prior("Normal", mu=0.2, sigma=3), "subject_sd": Prior("HalfNormal", sigma=1)},
    )  # fmt: skip
    first, second = (t[t["time"] == 0].reset_index(drop=True) for t in (panel(), panel(seed=9, shift=1.0)))
    kinds = [model.prepare(t)["kind"].values for t in (first, second)]
    assert (kinds[0] != 0).sum() != (kinds[1] != 0).sum()
    bd.fit(model, first, **settings)
    bd.fit(model, second, **settings)
    compiled = len(compiled_module.compiled_densities)
    assert compiled == (2 if censored_compile_again else 1)
    reused = bd.fit(other, second, **settings)
    assert len(compiled_module.compiled_densities) == compiled  # an earlier density served
    monkeypatch.setattr(compiled_module, "compiled_densities", [])
    fresh = bd.fit(other, second, **settings)
    assert len(compiled_module.compiled_densities) == 1
    for group in ("posterior", "posterior_predictive", "prior", "sample_stats", "estimands", "log_likelihood"):
        xr.testing.assert_identical(reused.tree[group].to_dataset(), fresh.tree[group].to_dataset())


@pytest.mark.sampling
def test_a_bound_density_keeps_its_data_whatever_happens_to_the_models():
    import pymc as pm

    with pm.Model(coords={"k": range(3)}) as model:
        y = pm.Data("y_data", np.array([1.0, 2.0, 4.0]), dims="k")
        pm.Normal("y", pm.Normal("x", 0, 10), 1, observed=y, dims="k")
    computation = Computation.of(model)
    values = [v.get_value(borrow=True) for v in computation.shared]
    density = compile_density(model, computation, values, centre(model))
    values = [v.get_value() for v in computation.shared]
    bound = bind(density, values, centre(model))
    before = Caller(bound)(np.array([0.5]))
    for value in values:
        value[...] = 99
    model["y_data"].set_value(np.array([7.0, 7.0, 7.0]))
    assert Caller(bound)(np.array([0.5]))[:2] == before[:2]
    assert before[1] == pytest.approx(
        float(-(0.25 + 2.25 + 12.25) / 2 - 0.5**2 / 200 - 2 * np.log(2 * np.pi) - np.log(10))
    )


class Lacking(types.ModuleType):
    """A module in which some names of another are missing, as in a version that has renamed them."""

    def __init__(self, module, *names):
        super().__init__(module.__name__)
        self.__dict__.update({k: v for k, v in vars(module).items() if k not in names})


def without(monkeypatch, module, *names):
    """Have imports of a module find one without some names."""
    found = importlib.import_module(module)
    monkeypatch.setitem(sys.modules, module, Lacking(found, *names))
    notes.say_once.cache_clear()
    for ours in ("nutpie_address", "at_address"):
        monkeypatch.delitem(sys.modules, f"bayesdep.inference.{ours}", raising=False)


MISSING = {
    "nutpie": ("nutpie._lib", "PyMcModel", "nutpie calls the density through Python"),
    "pytensor": ("pytensor.link.numba.linker", "NumbaLinker", "the density is called through Python"),
}


@pytest.mark.sampling
@pytest.mark.parametrize("lacking", MISSING)
def test_a_version_without_a_private_name_is_served_by_public_functions(lacking, monkeypatch, capsys):
    """One line says so; the density is the same but for the last digits, and so are draws until these matter."""
    module, name, line = MISSING[lacking]
    monkeypatch.setattr(bd.settings, "_compiler", "pytensor")
    model, table = bd.Counts(control="placebo", events="responders"), bd.load("raison2013_responders")
    settings = {"draws": 5, "tune": 5, "chains": 2, "seed": 3}
    monkeypatch.setattr(compiled_module, "compiled_densities", [])
    fast, at_address = bd.fit(model, table, **settings), compile_once(model_of("counts")).evaluator()
    assert "note:" not in capsys.readouterr().err
    without(monkeypatch, module, name)
    monkeypatch.setattr(compiled_module, "compiled_densities", [])
    slow = bd.fit(model, table, **settings)
    said = [one for one in capsys.readouterr().err.splitlines() if one.startswith("note:")]
    assert len(said) == 1
    assert said[0].startswith(f"note: {line}")
    assert name in said[0]
    xr.testing.assert_allclose(slow.tree["posterior"].to_dataset(), fast.tree["posterior"].to_dataset(), rtol=1e-8)
    bound = compile_once(model_of("counts"))
    for point in bound.start + np.random.default_rng(1).normal(size=(5, bound.n_dim)):
        (one, slope), (other, expected) = bound.evaluator()(point), at_address(point)
        assert one == pytest.approx(other, rel=1e-13)
        np.testing.assert_allclose(slope, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.sampling
def test_chains_are_saved_one_by_one_without_nutpies_private_names(monkeypatch):
    """A run that can be resumed asks for each chain alone; it does so through Python too."""
    from bayesdep.inference.for_nutpie import for_nutpie

    without(monkeypatch, "nutpie._lib", "LogpFunc")
    ready = compile_once(model_of("counts"))
    given = {"draws": 30, "tune": 50, "seed": 3, "progress_bar": False}
    together = _sample_all(ready, 3, given, None)
    each = dict(_sample_each(ready, [0, 1, 2], given, None))
    for number, chain in enumerate(together):
        for name, values in chain.draws.items():
            np.testing.assert_array_equal(each[number].draws[name], values)
    assert type(for_nutpie(ready)).__name__ == "PyFuncModel"
