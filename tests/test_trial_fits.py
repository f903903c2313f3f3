"""The trial story sampled: real patients beside restricted maximum likelihood, and a known truth recovered."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesdep as bd
from bayesdep.data.simulate_raison2013 import draw_raison2013
from bayesdep.models.trial import Trial

pytestmark = pytest.mark.sampling

SHARED = Path(__file__).parents[2] / "shared" / "data"
# nlme 3.1 gls, REML, change ~ baseline * visit + arm * visit (shared/data/antidepressant/README.md): drug less placebo
# at visits 4 to 7 at the mean baseline, with standard errors; residual sds; correlations
REML = {
    "unstructured": (
        [0.0918, -1.4032, -2.2247, -2.8018], [0.683, 0.924, 1.000, 1.114],
        4.437 * np.array([1, 1.318, 1.397, 1.516]), [0.636, 0.559, 0.701, 0.548, 0.665, 0.813],
    ),
    "ar1": ([0.0918, -1.3857, -2.1914, -2.6963], [0.715, 0.953, 0.973, 1.076], None, [0.7146]),
}  # fmt: skip
FLAT = {name: bd.Prior("Normal", mu=0, sigma=100) for name in ("visit_mean", "baseline_slope", "arm_effect")}
FLAT["residual_sd"] = bd.Prior("HalfNormal", sigma=100)


@pytest.mark.parametrize("covariance", REML)
def test_real_patients_beside_restricted_maximum_likelihood(covariance):
    path = SHARED / "antidepressant" / "antidepressant.csv"
    if not path.exists():
        pytest.skip(f"{path} is not there")  # real patients are not part of the repository
    table = pd.read_csv(path, dtype={"subject": str})
    flat_rho = {"rho": bd.Prior("Uniform", lower=0, upper=1)} if covariance == "ar1" else {}
    story = Trial(
        reference="placebo", covariance=covariance, outcome="change", baseline="hamd17_baseline", lkj=1.0,
        priors=FLAT | flat_rho,
    )  # fmt: skip
    fit = bd.fit(story, table, draws=2000, progress=False)
    assert fit.gate.passed, fit.gate.sentence
    estimate, error, sds, correlations = REML[covariance]
    found = fit.estimands["difference"].isel(comparison=0)
    mean, sd = (x.values for x in (found.mean(("chain", "draw")), found.std(("chain", "draw"))))
    # a tenth of a standard error, and what 8,000 draws leave of Monte Carlo error is a tenth of that
    assert (np.abs(mean - estimate) < 0.1 * np.array(error)).all(), (mean, estimate)
    assert (np.abs(sd / error - 1) < 0.05).all(), sd
    by_pair = np.atleast_1d(fit.estimands["correlation"].mean(("chain", "draw")).values)
    assert (np.abs(by_pair - correlations) < 0.05).all()
    if sds is not None:
        posterior = fit.estimands["residual_sd"].mean(("chain", "draw")).values
        assert (np.abs(posterior / sds - 1) < 0.05).all()


def test_a_known_truth_is_recovered_where_the_arms_change_places():
    """Raison's design with 200 patients: every truth within the central 99.8% of its posterior."""
    made = draw_raison2013(np.random.default_rng(1), people=(100, 100))
    story = Trial(
        reference="placebo", covariance="spatial-power", heterogeneous=False, outcome="hamd", visit="week", day="day",
        baseline="hamd_baseline", moderator="crp", moderator_form="log-quadratic", at=(1, 3, 5, 10),
    )  # fmt: skip
    table = made.table[made.table["week"] > 0].reset_index(drop=True)
    fit = bd.fit(story, table, progress=False)
    assert fit.gate.passed, fit.gate.sentence
    truth, found = made.truth, fit.estimands
    last = {name: values[-1] for name, values in truth["coefficients"].items()}
    log_crp = np.log(story.at) - truth["centre"]
    curve = last["d"] + last["g1"] * log_crp + last["g2"] * log_crp**2
    compared = {
        "crossover": (truth["crossover"], found["crossover"]),
        "sd": (truth["sd"], found["residual_sd"].isel(visit=0)),
        "rho": (truth["rho"], found["correlation"] ** 7),  # the model counts in days
    }
    for k, crp in enumerate(story.at):
        compared[f"at {crp:g} mg/L"] = (curve[k], found["difference_at"].isel(moderator_value=k, visit=-1))
    for name, (value, draws) in compared.items():
        lower, upper = np.quantile(draws.values, [0.001, 0.999])
        assert lower < value < upper, (name, lower, value, upper)
    assert float(found["crosses"].mean()) > 0.5
