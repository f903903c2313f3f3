"""Simulation-based calibration of every model that is sampled; the designs are those of benchmarks/calibration.py.

Truths from the prior, data from the model, and the truths' places in the posteriors (Talts et al. 2018,
arXiv:1804.06788). Models whose posterior is known exactly are in test_recovery.py.
"""

import importlib.util
import sys
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

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
    """No more quantities outside the 95% band than by chance (99% of the binomial), and none far outside."""
    assert found["outside"].sum() <= stats.binom.ppf(0.99, len(found), 0.05), found[found["outside"]]
    assert not found["far_outside"].any(), found[found["far_outside"]]


@pytest.mark.slow
@pytest.mark.parametrize("name", calibration.DESIGNS)
def test_truths_from_the_prior_lie_anywhere_in_their_posteriors(name):
    found = calibration.study(name, store=calibration.STORE / name.replace(",", "").replace(" ", "-"))
    refuse_uneven(found.table)
    assert found.failed <= 0.02 * len(found.fits), found


@pytest.mark.sampling
def test_a_sampled_model_is_calibrated_in_short():
    found = calibration.study("counts, two arms", fits=50, workers=1)
    refuse_uneven(found.table)
    assert int(found.fits["compilations"].sum()) <= 1  # none after the first fit


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
