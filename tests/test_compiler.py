"""Densities compiled by LLVM: PyMC's to 1e-10 for every family, each operation NumPy's, unknown ones refused."""

import ctypes
import dataclasses

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pymc.model.transform.conditioning import prune_vars_detached_from_observed
from pytensor.compile.mode import Mode, get_mode
from pytensor.graph.op import Op
from pytensor.scalar import basic as ps
from pytensor.tensor.elemwise import Elemwise
from test_invariance import EXAMPLES
from test_invariance import model_of as example_model
from test_native import model_of

import bayesdep as bd
from bayesdep.data import compile_cache
from bayesdep.data.errors import BadInput
from bayesdep.inference import at_address, notes
from bayesdep.inference import compile_once as compiled_module
from bayesdep.inference.at_address import _LEFT_OUT, _RewritesOnly
from bayesdep.inference.compile_once import compile_once
from bayesdep.inference.compiler import machine
from bayesdep.inference.compiler.density import compile_graph
from bayesdep.inference.compiler.graphs import _known
from bayesdep.inference.compiler.text import Unsupported
from bayesdep.inference.computation import Computation
from bayesdep.inference.native import centre
from bayesdep.inference.settings import Settings, settings
from bayesdep.inference.status import NOT_FINITE, OK, WRONG_LENGTH

# without sums of more than 32 terms, which PyTensor cannot evaluate in Python
PLAIN = Mode(linker="py", optimizer="fast_run").excluding("fusion", "local_add_canonizer")


@pytest.fixture(autouse=True)
def with_llvm(monkeypatch):
    monkeypatch.setattr(settings, "_compiler", "llvm")
    monkeypatch.setattr(compiled_module, "compiled_densities", [])


def core_of(name):
    model = example_model(name, EXAMPLES[name].settings)
    return prune_vars_detached_from_observed(model.build(model.prepare(EXAMPLES[name].table)))


@pytest.mark.sampling
@pytest.mark.parametrize("name", EXAMPLES)
def test_density_and_gradient_of_every_family_are_pymcs(name, capsys, monkeypatch):
    """PyMC's expression and its gradient, evaluated by NumPy without any of the rewrites that the compiler uses."""
    core = core_of(name)
    computation = Computation.of(core)
    bound = compile_once(core)
    assert bound.density.compiler == "llvm", capsys.readouterr().err
    values = list(computation.values)
    plain = pytensor.function(
        values, [computation.logp, *pt.grad(computation.logp, values)], mode=PLAIN, on_unused_input="ignore"
    )
    ends = np.cumsum([int(np.prod(s)) for s in bound.density.shapes])[:-1]
    evaluate, rng, finite = bound.evaluator(), np.random.default_rng(1), 0
    for scale in (0.1, 0.3, 1.0):
        point = bound.start + scale * rng.normal(size=bound.n_dim)
        found, slopes = evaluate(point)
        pieces = [p.reshape(s) for p, s in zip(np.split(point, ends), bound.density.shapes, strict=True)]
        with np.errstate(all="ignore"):
            expected, *by = plain(*(p.astype(v.dtype) for p, v in zip(pieces, values, strict=True)))
        if not np.isfinite(expected):
            assert not np.isfinite(found)
            continue
        finite += 1
        gradient = np.concatenate([np.ravel(x) for x in by])
        assert found == pytest.approx(float(expected), rel=1e-10, abs=1e-10)
        np.testing.assert_allclose(slopes, gradient, rtol=1e-10, atol=1e-10 * np.abs(gradient).max())
    assert finite > 0
    monkeypatch.setattr(compiled_module, "compiled_densities", [])
    monkeypatch.setattr(at_address, "compile", None)  # in a later process nothing is rewritten
    assert compile_once(core).evaluator()(bound.start)[0] == evaluate(bound.start)[0]


def rewritten(inputs, outputs):
    """A graph as the sampler's density is rewritten."""
    mode = Mode(_RewritesOnly(), get_mode("NUMBA").provided_optimizer).excluding(*_LEFT_OUT)
    graph = pytensor.function(inputs, outputs, mode=mode, on_unused_input="ignore").maker.fgraph
    return graph.inputs, graph.outputs


def through_llvm(function, data, length=6, seed=1):
    """A function of the point and data, and its gradient, by LLVM and by NumPy."""
    x = pt.TensorType("float64", shape=(length,))("x")
    shared = [pt.TensorType(d.dtype, shape=(None,) * d.ndim)() for d in data]
    y = function(x, *shared)
    outputs = [y, pt.grad(y, x)]
    logp, _, fits = compile_graph(*rewritten([x, *shared], outputs), length, data, False)
    point = np.random.default_rng(seed).normal(size=length)
    plain = pytensor.function([x, *shared], outputs, mode=PLAIN)
    return called(logp, point, data), plain(point, *data), fits


def called(logp, point, data):
    table = np.array([n for d in data for n in (d.ctypes.data, *d.shape)], dtype=np.int64)
    gradient, value = np.full(len(point), np.nan), np.full(1, np.nan)
    double = ctypes.POINTER(ctypes.c_double)
    status = logp.ctypes(len(point), *(a.ctypes.data_as(double) for a in (point, gradient, value)), table.ctypes.data)
    return status, float(value[0]), gradient


PLACES = np.array([5, 0, -1, 3, 3, 2, 0], dtype=np.int32)
TABLE = np.random.default_rng(2).normal(size=(4, 6))
LONG = np.random.default_rng(3).normal(size=(700, 6))  # its intermediates do not fit on the stack
CASES = {
    "gather": (lambda x, i: (pt.exp(x[i]) * x[i]).sum(), [PLACES]),
    "gather of two": (lambda x, i, j: (x.reshape((2, 3))[i, j] ** 2).sum(), [PLACES % 2, PLACES % 3]),
    "matrix": (lambda x, a: pt.log1p(pt.exp((a * x).sum(axis=1))).sum(), [TABLE]),
    "other axis": (lambda x, a: (pt.tanh((a * x).sum(axis=0)) * x).sum(), [TABLE]),
    "long": (lambda x, a: pt.log(pt.exp(a * x).sum(axis=1)).sum() + (a * x).max(axis=0).sum(), [LONG]),
    "set": (lambda x, a: (pt.set_subtensor(a[:, 2], x[:4]) * pt.inc_subtensor(a[1:3], x)).sum(), [TABLE]),
    "both of one": (lambda x, a: (lambda b: (pt.set_subtensor(b[0], 3.0) * b).sum())(a * pt.sqr(x)), [TABLE]),
    "cumulative": (lambda x, a: (pt.cumsum(a * x, axis=1) ** 2).sum() + pt.cumsum(x)[-2], [TABLE]),
    "product": (lambda x, a: pt.dot(a, pt.exp(x)[:, None]).sum(), [TABLE]),
    "stack": (lambda x: pt.sqr(pt.stack([x[0], x[1] * x[2], x[5]])).sum() + pt.concatenate([x, x[::-2]]).max(), []),
    "softmax": (lambda x, a: pt.special.log_softmax(a * x, axis=1)[:, 0].sum(), [TABLE]),
    "diagonal": (lambda x, a: (pt.diagonal(pt.outer(x, x)) * a[0]).sum() + pt.diag(x).sum(), [TABLE]),
    "switch": (lambda x, a: pt.switch(a > x, pt.softplus(x), pt.sigmoid(-x * a)).sum(), [TABLE]),
    "special": (lambda x: (pt.gammaln(pt.exp(x)) + pt.erfcx(x) + pt.log1mexp(-pt.exp(x))).sum(),
                []),
    "whole numbers": (lambda x, n: (x[: n[0]] * (n[1] % 2)).sum() + (x * pt.arange(6)).sum(), [np.array([4, 3])]),
    "nothing": (lambda x, a: x.sum() + (a * x).sum() + pt.exp(a).sum(), [np.empty((0, 6))]),
    "truth values": (lambda x, b: (x * ((x > 0) * b * (x < 1))).sum() + (x * ((x > 1) + b)).sum(),
                     [np.array([True, False] * 3)]),
    "kinds of numbers": (lambda x, n, b: (x * n).sum() + pt.clip(x, -0.5, 0.5).sum() + (x * b).sum() + pt.abs(x).min(),
                         [np.arange(6, dtype=np.int8), np.array([True, False] * 3)]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_operation_is_numpys(case):
    (status, value, gradient), (expected, slopes), _ = through_llvm(*CASES[case])
    assert status == OK
    assert value == pytest.approx(float(expected), rel=1e-12)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-11, atol=1e-12)


def test_known_numbers_beyond_the_type_of_a_constant_are_computed():
    """Numbers of rows above 127 meet constants of int8, as in ordered categories of 500 patients."""
    n = ps.int64()
    node = Elemwise(ps.Composite([n], [n - ps.constant(1, dtype="int8")])).make_node(pt.lvector())
    (found,) = _known(node, [np.array([501, 3000])])
    assert found.tolist() == [500, 2999]


class Twice(Op):
    """An operation that nobody knows."""

    __props__ = ()
    itypes, otypes = (pt.dscalar,), (pt.dscalar,)

    def perform(self, node, inputs, outputs):
        outputs[0][0] = np.asarray(2.0 * inputs[0])

    def pullback(self, inputs, outputs, output_grads):
        return [2.0 * output_grads[0]]


def test_an_unknown_operation_is_refused():
    with pytest.raises(Unsupported, match="Twice"):
        through_llvm(lambda x: Twice()(x.sum()), [])


@pytest.mark.sampling
def test_a_fault_of_the_compiler_does_not_stop_a_fit(monkeypatch, capsys):
    notes.say_once.cache_clear()
    monkeypatch.setattr(machine, "_compiled", lambda source: [][len(source)])
    with pm.Model() as model:
        pm.Normal("x", shape=(5, 7))
    assert compile_once(model).density.compiler == "pytensor"
    assert "note: the density is compiled by PyTensor, after IndexError: list index" in capsys.readouterr().err


@pytest.mark.sampling
def test_what_is_not_known_goes_pytensors_way_and_says_so(capsys):
    notes.say_once.cache_clear()
    with pm.Model() as model:
        x = pm.Normal("x", shape=2)
        pm.Potential("p", pt.linalg.slogdet(pt.eye(2) + pt.outer(x, x))[1])
    bound = compile_once(model)
    assert bound.density.compiler == "pytensor"
    assert "note: the density is compiled by PyTensor: operation " in capsys.readouterr().err
    assert bound.evaluator()(np.array([1.0, 2.0]))[0] == pytest.approx(
        -np.log(2 * np.pi) - 2.5 + np.log(6.0), rel=1e-12
    )


def test_whole_numbers_that_decide_lengths_are_part_of_the_code():
    _, _, fits = through_llvm(*CASES["whole numbers"])
    assert fits.fits([np.array([4, 3])])
    assert not fits.fits([np.array([5, 3])])
    _, _, free = through_llvm(*CASES["gather"])
    assert free.fits([PLACES + 1])
    assert not free.fits([PLACES[1:]])


@pytest.mark.sampling
def test_other_data_of_the_same_shape_share_a_density():
    one = compile_once(model_of("counts"))
    again = compile_once(model_of("counts"))
    assert again.density is one.density
    other = dataclasses.replace(one.density, data=dataclasses.replace(one.density.data, shapes=((1,),)))
    compiled_module.compiled_densities[:] = [(Computation.of(model_of("counts")), other)]
    assert compile_once(model_of("counts")).density is not other


def test_newly_compiled_code_and_code_from_disk_are_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(compile_cache, "folder", tmp_path)
    function, data = CASES["softmax"]
    x, a = pt.TensorType("float64", shape=(6,))("x"), pt.dmatrix()
    y = function(x, a)
    graph = rewritten([x, a], [y, pt.grad(y, x)])
    point = np.random.default_rng(1).normal(size=6)
    made = []
    compile_text = machine._compiled
    monkeypatch.setattr(machine, "_compiled", lambda source: made.append(1) or compile_text(source))
    found = [called(compile_graph(*graph, 6, data, True)[0], point, data) for _ in range(2)]
    assert len(made) == 1
    assert found[0][:2] == found[1][:2]
    np.testing.assert_array_equal(found[0][2], found[1][2])
    (file,) = (compile_cache.own_folder() / "machine-code").iterdir()
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # somebody else's code is not run
    assert called(compile_graph(*graph, 6, data, True)[0], point, data)[1] == found[0][1]
    assert len(made) == 2


def test_a_point_that_is_no_number_and_a_wrong_length_are_told():
    x = pt.TensorType("float64", shape=(3,))("x")
    y = pt.log(x).sum()
    logp, copy, _ = compile_graph(*rewritten([x], [y, pt.grad(y, x)]), 3, [], False)
    status, value, _ = called(logp, np.array([1.0, np.nan, 2.0]), [])
    assert status == NOT_FINITE
    assert np.isnan(value)
    assert called(logp, np.array([1.0, 0.0, 2.0]), [])[0] == NOT_FINITE
    assert called(logp, np.array([1.0, 2.0]), [])[0] == WRONG_LENGTH
    source, target = np.arange(3.0), np.zeros(3)
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, ctypes.c_uint64, *[ctypes.c_void_p] * 3)
    assert kind(copy.address)(3, 3, source.ctypes.data, target.ctypes.data, None) == 0
    np.testing.assert_array_equal(target, source)


def test_the_compiler_is_chosen_by_name(monkeypatch):
    own = Settings()
    monkeypatch.delenv("BAYESDEP_COMPILER", raising=False)
    assert own.compiler == "llvm"
    monkeypatch.setenv("BAYESDEP_COMPILER", "pytensor")
    assert own.compiler == "pytensor"
    own.compiler = "llvm"
    assert repr(own) == "Settings(compiler='llvm')"
    with pytest.raises(BadInput, match=r"settings.compiler = 'gcc' is not a choice; use one of llvm, pytensor"):
        own.compiler = "gcc"
    monkeypatch.setenv("BAYESDEP_COMPILER", "gcc")
    with pytest.raises(BadInput, match="BAYESDEP_COMPILER = 'gcc' is not a choice"):
        _ = Settings().compiler


@pytest.mark.sampling
def test_a_fit_names_its_compiler_and_is_the_same_to_the_last_bit(monkeypatch):
    model = bd.Counts(control="placebo", events="responders")
    table = bd.load("raison2013_responders")
    small = {"draws": 400, "tune": 400, "chains": 2, "seed": 3}
    first = bd.fit(model, table, **small)
    assert first.manifest["compiler"] == "llvm"
    monkeypatch.setattr(compiled_module, "compiled_densities", [])
    again = bd.fit(model, table, **small)
    assert first.tree["posterior"].to_dataset().identical(again.tree["posterior"].to_dataset())
    monkeypatch.setattr(settings, "_compiler", "pytensor")
    plain = bd.fit(model, table, **small)
    assert plain.manifest["compiler"] == "pytensor"
    for name in ("risk_difference",):
        a, b = (f.tree["estimands"][name].values.reshape(800, -1) for f in (first, plain))
        error = np.hypot(a.std(axis=0), b.std(axis=0)) / np.sqrt(200)  # at least 200 effective draws each
        assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) < 4 * error).all()


def test_the_start_of_chains_does_not_depend_on_the_compiler():
    model = model_of("counts")
    np.testing.assert_array_equal(np.concatenate([np.ravel(x) for x in centre(model)]), compile_once(model).start)
