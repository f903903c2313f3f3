"""R-hat and effective sample sizes are ArviZ's, whatever way their ranks were found."""

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy import special, stats

from bayesdep.inference.diagnostics import Criterion, diagnose, normal_scores

AXES = {"chain_axis": 0, "draw_axis": 1}


def chains(kind):
    rng = np.random.default_rng(3)
    found = {
        "independent": rng.normal(size=(4, 500)),
        "a chain off": rng.normal(size=(4, 500)) + np.array([[0], [0], [0], [1.0]]),
        "staying where it was": np.repeat(rng.normal(size=(4, 250)), 2, axis=1),
        "counts": rng.poisson(2, size=(4, 500)).astype(float),
        "heavy tails": rng.standard_cauchy(size=(4, 500)),
        "an odd number of draws": rng.normal(size=(3, 333)),
    }
    return found[kind]


KINDS = ["independent", "a chain off", "staying where it was", "counts", "heavy tails", "an odd number of draws"]


@pytest.mark.parametrize("kind", KINDS)
def test_normal_scores_are_those_of_mean_ranks(kind):
    values = np.stack([chains(kind), -chains(kind)])
    ranks = stats.rankdata(values.reshape(2, -1), axis=-1)
    expected = special.ndtri((ranks - 0.375) / (ranks.shape[1] + 0.25)).reshape(values.shape)
    np.testing.assert_array_equal(normal_scores(values), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_diagnostics_are_arviz_s(kind):
    chain = chains(kind)
    r_hat, bulk, tail = diagnose(chain)
    assert r_hat == pytest.approx(float(array_stats.rhat(chain, method="rank", **AXES)), rel=1e-10)
    assert bulk == pytest.approx(float(array_stats.ess(chain, method="bulk", **AXES)), rel=1e-10)
    assert tail == pytest.approx(float(array_stats.ess(chain, method="tail", prob=(0.05, 0.95), **AXES)), rel=1e-10)


def test_a_draw_that_is_not_finite_leaves_nothing_to_diagnose():
    chain = chains("independent")
    chain[1, 7] = np.nan
    assert np.isnan(diagnose(chain)).all()


@pytest.mark.parametrize(
    ("value", "printed"), [(1.00312, "1.003"), (16000.0, "16000"), (12345.6, "12346"), (9876.5, "9876"), (0.0, "0")]
)
def test_a_criterion_prints_no_power_of_ten(value, printed):
    assert str(Criterion("ESS bulk", value, 400, True)) == f"ESS bulk {printed}, needs >= 400"
