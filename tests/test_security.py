"""A plan, a table and a saved fit are data: whatever they say, nothing of it runs. SECURITY.md promises this."""

import builtins
import contextlib
import dataclasses
import itertools
import json
import pickle
import re
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.finished_chains import FinishedChains
from bayesdep.models.register import model_class
from bayesdep.plan import prepare, read_plan

ROOT = Path(__file__).parents[1]
TEXTS = [
    "canary()", "age + canary()", "{{ canary() }}", "{canary()}", "${canary()}", "__import__('builtins').canary()",
    "`canary()`", "canary", "f'{canary()}'", "!!python/object/apply:builtins.canary []", "cbuiltins\ncanary\n(tR.",
    "@canary()", "%(canary)s", "canary() > 1", "(1 | canary())", "simulate:canary", "published:canary", "canary:canary",
    "path:canary", "> canary()", "Q('canary()')", "file:///dev/null.csv", "https://canary.example/x.csv", "|canary.csv",
]  # fmt: skip


@pytest.fixture
def canary(monkeypatch):
    calls = []
    monkeypatch.setattr(builtins, "canary", lambda *a, **k: calls.append(a), raising=False)
    return calls


class Canary:
    """Runs when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


PLANS = {
    "meta": {"measure": "log-risk-ratio", "input": "counts", "study": "trial"},
    "trial": {"reference": "placebo"},
    "cytokines": {"reference": "HC", "group": "group"},
    "response": {"value": "pg"},
    "counts": {"control": "placebo"},
    "patient-meta": {"control": "placebo"},
    "crossover": {"reference": "placebo"},
    "screen": {"condition": "ill"},
}


def plan(family, settings, **data):
    def written(value):
        return json.dumps(value, ensure_ascii=False)

    source = {"source": "table.csv"} | data
    lines = ["[study]", 'name = "s"', 'title = "t"', "[data]", *(f"{k} = {written(v)}" for k, v in source.items())]
    return "\n".join(
        [*lines, "[model]", f"family = {written(family)}", *(f"{k} = {written(v)}" for k, v in settings.items())]
    )


def tried(path, text):
    path.write_text(text, encoding="utf-8")
    try:
        prepare(read_plan(path))
    except BadInput as refused:
        assert "\n" not in str(refused)  # noqa: PT017  (most are refused; any other error is a fault)


@pytest.mark.parametrize("family", list(PLANS))
def test_nothing_that_a_plan_says_runs(family, tmp_path, canary):
    """Every setting of every family holds code in its turn."""
    (tmp_path / "table.csv").write_text("trial,arm,subject,outcome,age,canary\na,placebo,1,2,3,4\nb,drug,2,3,4,5\n")
    file, texts = tmp_path / "plan.toml", itertools.cycle(TEXTS)  # every text, in places that go round
    for setting in [field.name for field in dataclasses.fields(model_class(family))] * 2:
        tried(file, plan(family, PLANS[family] | {setting: next(texts)}))
    for key in ("source", "limits", "keep", "seed", "require", "missing", "columns", "keep") * 2:
        tried(file, plan(family, PLANS[family], **{key: next(texts)}))
    for text in TEXTS[:6]:
        tried(file, plan(text, PLANS[family]))
        tried(file, plan(family, PLANS[family]) + f"\n[priors]\nmu = {{ dist = {json.dumps(text)} }}\n")
    assert not canary


def test_nothing_that_a_workbook_says_runs(canary, tmp_path, monkeypatch):
    """Formulas of a laboratory's workbook are not computed, and no file that it links to is opened."""
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["ID", "Group", "IL-6 (pg/mL)"])
    book.active.append(["P1", "a", 1.5])
    for row, text in enumerate(TEXTS, 3):
        book.active.append([f"={text}" if row % 2 else text, text, 2.5])
    book.active["C3"] = '=WEBSERVICE("https://canary.example")'
    book.save(tmp_path / "lab.xlsx")
    opened = []
    monkeypatch.setattr("bayesdep.data.readers.files.read_whole", _recorded(opened))
    with contextlib.suppress(BadInput):
        bd.read_panel(tmp_path / "lab.xlsx")
    with contextlib.suppress(BadInput):
        bd.read_trial(tmp_path / "lab.xlsx", outcome=TEXTS[0])
    assert not canary
    assert {path.name for path in opened} == {"lab.xlsx"}


def _recorded(opened):
    from bayesdep.data.files import read_whole

    def read(path, at_most=float("inf")):
        opened.append(Path(path))
        return read_whole(path, at_most)

    return read


@pytest.mark.parametrize("text", TEXTS)
def test_nothing_that_a_csv_file_says_runs(text, tmp_path, canary):
    file = tmp_path / "table.csv"
    for cells in ([text, "x"], ["1", text]):
        pd.DataFrame({text: cells, "study": ["a", "b"], "effect": [0.1, 0.2], "se": [0.1, 0.1]}).to_csv(
            file, index=False
        )
        table = bd.read_table(file)
        with contextlib.suppress(BadInput):
            bd.Meta(measure="standardised-difference", covariates=f"`{text}`").prepare(table)
    assert not canary


def test_nothing_that_a_parquet_file_holds_runs(tmp_path):
    """Types and metadata that name Python objects, as pickles, are not read as such."""
    planted = pickle.dumps(Canary(tmp_path / "sang"))
    extension = {"ARROW:extension:name": b"arrow.py_extension_type", "ARROW:extension:metadata": planted}
    fields = [pa.field("study", pa.string()), pa.field("effect", pa.float64(), metadata=extension)]
    about = {
        "pandas": json.dumps({"attrs": {"synthetic": "canary()"}, "index_columns": [], "columns": []}),
        "p": planted,
    }
    schema = pa.schema(fields, metadata=about)
    pq.write_table(pa.table({"study": ["a", "b"], "effect": [0.1, 0.2]}, schema=schema), tmp_path / "t.parquet")
    assert list(bd.read_table(tmp_path / "t.parquet")["effect"]) == [0.1, 0.2]
    assert not (tmp_path / "sang").exists()


def saved(path, family, settings, manifest):
    with h5py.File(path, "w") as file:
        file.attrs["bayesdep_family"] = family
        file.attrs["bayesdep_settings"] = settings
        file.attrs["bayesdep_manifest"] = manifest
        for group in ("posterior", "estimands", "constant_data"):
            made = file.create_group(group)
            made.attrs["note"] = np.void(pickle.dumps(Canary(path.with_suffix(".sang"))))
            made.create_dataset("x", data=np.zeros(3))
            made.create_dataset("o", data=np.void(pickle.dumps(Canary(path.with_suffix(".sang")))))
    return path


def test_nothing_that_a_saved_fit_holds_runs(tmp_path, canary):
    """Settings, a manifest, attributes and arrays that are code or pickles are read as data, or refused."""
    file, pickled = tmp_path / "fit.nc", pickle.dumps(Canary(tmp_path / "fit.sang"))
    counts = {"control": "placebo", "pooling": "none", "subgroup": None}
    cases = [(TEXTS[0], "{}", "{}")]
    cases += [("counts", json.dumps(counts | {"control": text, "priors": text}), text) for text in TEXTS[::4]]
    cases += [("trial", json.dumps({"reference": "p", "covariates": text}), "{}") for text in TEXTS[::2]]
    cases += [(np.void(pickled), np.void(pickled), np.void(pickled)), ("counts", json.dumps(counts), np.void(pickled))]
    for case in cases:
        # that it is refused in one sentence is tested with damaged files; here, that nothing runs
        with contextlib.suppress(Exception), warnings.catch_warnings():  # refused or not, no code may run
            warnings.simplefilter("ignore")  # only what runs is asked
            bd.Fit.load(saved(file, *case))
    assert not canary
    assert not (tmp_path / "fit.sang").exists()


def test_nothing_that_kept_chains_hold_runs(tmp_path):
    """Chains that an interrupted run left, with pickles in the place of numbers."""
    planted = np.array([Canary(tmp_path / "sang")], dtype=object)
    np.savez(tmp_path / "table-0-chain-0.npz", allow_pickle=True, **{"draws/mu": planted, "stats/lp": planted})
    (tmp_path / "table-0-chain-1.npz").write_bytes(pickle.dumps(Canary(tmp_path / "sang")))
    assert FinishedChains(tmp_path).chain(0, 0) is None
    assert FinishedChains(tmp_path).chain(0, 1) is None
    assert not (tmp_path / "sang").exists()


def test_security_md_names_tests_that_are_there():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) > 5
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file} has no {test}"
