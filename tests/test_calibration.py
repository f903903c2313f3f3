"""Simulation-based calibration of every model that is sampled; the designs are those of benchmarks/calibration.py.

Truths from the prior, data from the model, and the truths' places in the posteriors (Talts et al. 2018,
arXiv:1804.06788). Models whose posterior is known exactly are in test_recovery.py.
"""

import dataclasses
import importlib.util
import sys
from pathlib import Path

import pandas as pd
import pytest

import bayesdep as bd
from bayesdep.models.register import SHIPPED

ROOT = Path(__file__).parents[1]
EXACT = {"screen", "small-studies", "stepwise"}


def script():
    spec = importlib.util.spec_from_file_location("calibration", ROOT / "benchmarks" / "calibration.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["calibration"] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    return module


calibration = script()


def refuse_uneven(found):
    """Kolmogorov-Smirnov on places and the binomial on intervals, family-wise at 0.001 each over all quantities."""
    level = calibration.LEVEL / len(found)
    for row in found.itertuples():
        assert row.ks_p > level, (row.design, row.quantity, "places", row.ks_p)
        assert row.coverage_p > level, (row.design, row.quantity, "coverage", row.coverage)


@pytest.mark.slow
@pytest.mark.parametrize("name", calibration.DESIGNS)
def test_truths_from_the_prior_lie_anywhere_in_their_posteriors(name):
    refuse_uneven(calibration.study(name))


@pytest.mark.slow
def test_a_wrong_prior_is_seen(monkeypatch):
    """The same with a prior on the mean effect a third as wide as that of the truths must fail, or it shows nothing."""
    right = calibration.DESIGNS["counts, two arms"]()
    narrow = {"effect_mean": bd.Prior("Normal", mu=0, sigma=0.5)}
    wrong = dataclasses.replace(right, model=dataclasses.replace(right.model, priors=narrow))
    monkeypatch.setitem(calibration.DESIGNS, "counts, two arms", lambda: wrong)
    with pytest.raises(AssertionError):
        refuse_uneven(calibration.study("counts, two arms", fits=100))


def test_every_sampled_model_has_a_design():
    families = {name.split(",")[0] for name in calibration.DESIGNS}
    assert families | EXACT == set(SHIPPED)


def test_the_document_says_what_the_study_found():
    found = pd.read_csv(ROOT / "benchmarks" / "calibration.csv")
    assert calibration.table(found) in (ROOT / "docs" / "evidence" / "calibration.md").read_text()
    for name, rows in found.groupby("design"):
        assert name in calibration.DESIGNS
        refuse_uneven(rows)


def test_the_document_on_slopes_says_what_its_study_found():
    spec = importlib.util.spec_from_file_location("response_effects", ROOT / "benchmarks" / "response_effects.py")
    study = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(study)
    found = pd.read_csv(ROOT / "benchmarks" / "response_effects.csv", keep_default_na=False)
    assert study.as_markdown(found) in (ROOT / "docs" / "evidence" / "response_prior.md").read_text()
    assert (found.set_index("effects")["all"].drop("none") - 0.95).abs().max() < 0.05
