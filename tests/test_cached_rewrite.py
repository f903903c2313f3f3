"""Rewritten graphs on disk: used only for the very graph that was asked for, and gone without harm."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.basic import equal_computations
from pytensor.graph.fg import FunctionGraph

from bayesdep.inference import cached_rewrite as module
from bayesdep.inference.cached_rewrite import FlatGraph, cached_rewrite
from bayesdep.inference.compile_once import compile_once


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "folder", lambda: tmp_path / "versions")
    return tmp_path / "versions"


def square(constant=2.0, power=2):
    x, y = pt.vector("x"), pt.vector("y")
    return [x, y], [(constant * x**power + y).sum()]


def twice(inputs, outputs):
    """A rewriting that can be told from the graph it was made of, and that counts its calls."""
    calls = []

    def rewrite():
        calls.append(1)
        return FunctionGraph(inputs, [2 * outputs[0]], clone=True)

    return rewrite, calls


def value(inputs, outputs):
    return pytensor.function(inputs, outputs, mode="FAST_COMPILE")(np.array([1.0, 3.0]), np.array([0.5, 0.25]))[0]


def test_a_flat_graph_is_the_graph():
    inputs, outputs = square()
    made = FlatGraph.of(inputs, outputs).variables()
    assert equal_computations(made[1], outputs, made[0], inputs)
    again = pickle.loads(pickle.dumps(FlatGraph.of(inputs, outputs))).variables()
    assert equal_computations(again[1], outputs, again[0], inputs)
    assert value(*made) == value(inputs, outputs) == pytest.approx(2 * (1 + 9) + 0.75)


def test_a_graph_of_any_depth_is_stored(own_folder):
    x = pt.vector("x")
    deep = x
    for _ in range(3000):
        deep = pt.tanh(deep)
    read = pickle.loads(pickle.dumps(FlatGraph.of([x], [deep]))).variables()
    assert equal_computations(read[1], [deep], read[0], [x])


def test_an_equal_graph_is_rewritten_once(own_folder):
    first = square()
    rewrite, calls = twice(*first)
    assert value(*cached_rewrite(*first, None, rewrite)) == 2 * value(*first)
    second = square()
    again, other_calls = twice(*second)
    assert value(*cached_rewrite(*second, None, again)) == 2 * value(*second)
    assert (len(calls), len(other_calls)) == (1, 0)


@pytest.mark.parametrize(
    ("other", "given"),
    [(lambda: square(constant=2.0 + 1e-12), None), (lambda: square(power=3), None), (square, ((3,), ()))],
    ids=["another constant", "another power", "other shapes"],
)
def test_another_graph_is_rewritten_itself_even_under_the_same_file_name(own_folder, monkeypatch, other, given):
    monkeypatch.setattr(FlatGraph, "outline", "the same for all")
    monkeypatch.setattr(module, "repr", lambda given: "", raising=False)
    first, second = square(), other()
    cached_rewrite(*first, None, twice(*first)[0])
    rewrite, calls = twice(*second)
    assert value(*cached_rewrite(*second, given, rewrite)) == 2 * value(*second)
    assert len(calls) == 1
    assert len(list(own_folder.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps({"another": "thing"})])
def test_a_spoilt_file_is_made_anew(own_folder, content):
    first = square()
    cached_rewrite(*first, None, twice(*first)[0])
    (file,) = own_folder.iterdir()
    file.write_bytes(content)
    rewrite, calls = twice(*first)
    assert value(*cached_rewrite(*first, None, rewrite)) == 2 * value(*first)
    assert len(calls) == 1
    cached_rewrite(*first, None, rewrite)
    assert len(calls) == 1  # put in its place


def test_where_nothing_can_be_written_nothing_is_kept(own_folder):
    own_folder.write_text("a file where the folder should be")
    first = square()
    rewrite, calls = twice(*first)
    for _ in range(2):
        assert value(*cached_rewrite(*first, None, rewrite)) == 2 * value(*first)
    assert len(calls) == 2


def test_a_long_array_in_a_graph_may_be_data_and_is_not_kept(own_folder):
    x = pt.vector("x")
    graph = [x], [(x[0] - np.arange(500.0)).sum()]
    rewrite, calls = twice(*graph)
    for _ in range(2):
        cached_rewrite(*graph, None, rewrite)
    assert len(calls) == 2
    assert not own_folder.exists()


def test_only_the_newest_files_stay(own_folder, monkeypatch):
    monkeypatch.setattr(module, "_MOST_STORED", 2)
    for constant in (1.0, 2.0, 3.0):
        graph = square(constant, power=int(constant) + 1)
        cached_rewrite(*graph, constant, twice(*graph)[0])
    assert len(list(own_folder.iterdir())) == 2


def test_what_is_kept_holds_no_data(own_folder):
    """Data reach a density as shared variables: their values are not in the file."""
    secret = 4321.0987
    with pm.Model(coords={"k": range(3)}) as model:
        y = pm.Data("y_data", np.full(3, secret), dims="k")
        pm.Normal("y", pm.Normal("x", 0, 10), 1, observed=y, dims="k")
    compile_once(model)
    (file,) = own_folder.iterdir()
    assert np.float64(secret).tobytes() not in file.read_bytes()


@pytest.mark.sampling
def test_the_first_run_and_later_ones_agree_in_every_bit(tmp_path):
    """With every cache empty, from machine code on disk, and from the rewritten graph on disk."""
    code = """
import hashlib, bayesdep as bd
table = bd.simulate("raison2013", seed=1).table.query("week > 0")
model = bd.Trial(reference="placebo", outcome="hamd", visit="week", baseline="hamd_baseline", covariance="ar1")
fit = bd.fit(model, table, draws=20, tune=60, chains=2, progress=False)
print(hashlib.sha256(fit.posterior["arm_effect_at_visit"].values.tobytes()).hexdigest())
"""
    flags = {"PYTENSOR_FLAGS": f"base_compiledir={tmp_path / 'cache'}"}
    said = [
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | flags, check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    ]
    assert said[0] == said[1]
    assert list((tmp_path / "cache" / "bayesdep").glob("*/*.pickle"))
