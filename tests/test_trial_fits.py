"""The trial model sampled: real patients beside restricted maximum likelihood, and a known truth recovered."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesdep as bd
from bayesdep.designs.raison2013 import draw_raison2013
from bayesdep.models.trial.model import Trial

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
EFFECTS = ("baseline_slope", "arm_effect")
FLAT_NAMES = ("visit_mean", *EFFECTS, *(f"{name}_departure" for name in EFFECTS))
FLAT = {name: bd.Prior("Normal", mu=0, sigma=100) for name in FLAT_NAMES}
FLAT["residual_sd"] = bd.Prior("HalfNormal", sigma=100)


@pytest.mark.parametrize("covariance", REML)
def test_real_patients_beside_restricted_maximum_likelihood(covariance):
    path = SHARED / "antidepressant" / "antidepressant.csv"
    if not path.exists():
        pytest.skip(f"{path} is not there")  # real patients are not part of the repository
    table = pd.read_csv(path, dtype={"subject": str})
    flat_rho = {"rho": bd.Prior("Uniform", lower=0, upper=1)} if covariance == "ar1" else {}
    model = Trial(
        reference="placebo", covariance=covariance, outcome="change", baseline="hamd17_baseline", lkj=1.0,
        priors=FLAT | flat_rho,
    )  # fmt: skip
    fit = bd.fit(model, table, draws=2000, progress=False)
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
    model = Trial(
        reference="placebo", covariance="spatial-power", heterogeneous=False, outcome="hamd", visit="week", day="day",
        baseline="hamd_baseline", moderator="crp", moderator_form="log-quadratic", at=(1, 3, 5, 10),
    )  # fmt: skip
    table = made.table[made.table["week"] > 0].reset_index(drop=True)
    fit = bd.fit(model, table, progress=False)
    assert fit.gate.passed, fit.gate.sentence
    truth, found = made.truth, fit.estimands
    last = {name: values[-1] for name, values in truth["coefficients"].items()}
    log_crp = np.log(model.at) - truth["centre"]
    curve = last["d"] + last["g1"] * log_crp + last["g2"] * log_crp**2
    compared = {
        "crossing": (truth["crossing"], found["crossing"].sel(side="above")),
        "sd": (truth["sd"], found["residual_sd"].isel(visit=0)),
        "rho": (truth["rho"], found["correlation"] ** 7),  # the model counts in days
    }
    for k, crp in enumerate(model.at):
        compared[f"at {crp:g} mg/L"] = (curve[k], found["difference_at"].isel(moderator_value=k, visit=-1))
    for name, (value, draws) in compared.items():
        lower, upper = np.quantile(draws.values, [0.001, 0.999])
        assert lower < value < upper, (name, lower, value, upper)
    assert float(found["crosses"].sel(side="above").mean()) > 0.5


def test_the_published_designs_gaps_leave_an_unstructured_covariance_identified():
    """Eight visits, one of them held in 11 of 60 patients: what completing patients with latent visits could not do."""
    made = draw_raison2013(np.random.default_rng(1))
    model = Trial(
        reference="placebo", lkj=4.0, outcome="hamd", visit="week", baseline="hamd_baseline", moderator="crp",
        subgroups=["> 5", "<= 5"],
    )  # fmt: skip
    table = made.table[made.table["week"] > 0].reset_index(drop=True)
    fit = bd.fit(model, table, progress=False)
    assert fit.gate.passed, fit.gate.sentence
    # weeks 1 and 12 are in everybody but the dropouts
    lower, upper = np.quantile(fit.estimands["correlation"].sel(pair="1 and 12").values, [0.001, 0.999])
    assert lower < made.truth["rho"] ** 11 < upper
    for group, name in (("> 5", "crp > 5"), ("<= 5", "crp <= 5")):
        truth = made.truth["difference_here"][name]
        at_12 = fit.estimands["difference_in"].sel(subgroup=group, visit="12").values
        lower, upper = np.quantile(at_12, [0.001, 0.999])
        assert lower < truth < upper, (group, lower, truth, upper)


def test_outliers_widen_a_robust_fit_less_and_arms_have_their_own_spread():
    """Two arms whose sds differ twofold, and two patients far off: scales of the others are found by the t."""
    rng = np.random.default_rng(4)
    patients, visits = 120, 4
    arm = np.arange(patients) % 2
    sd = np.where(arm == 1, 6.0, 3.0)
    shared, own = rng.standard_normal((patients, 1)), rng.standard_normal((patients, visits))
    outcome = 15 - 2.0 * arm[:, None] + sd[:, None] * (np.sqrt(0.6) * shared + np.sqrt(0.4) * own)
    outcome[:2] += 60
    table = pd.DataFrame(
        {
            "subject": np.repeat(np.arange(patients), visits), "visit": np.tile(np.arange(1, visits + 1), patients),
            "arm": np.repeat(np.where(arm == 1, "drug", "placebo"), visits), "outcome": outcome.ravel(),
            "baseline": np.repeat(rng.normal(20, 3, patients), visits),
        }
    )  # fmt: skip
    how = {"reference": "placebo", "covariance": "compound-symmetry", "heterogeneous": False, "by_arm": True}
    found = {}
    for robust in (False, True):
        fit = bd.fit(Trial(**how, robust=robust), table, progress=False)
        assert fit.gate.passed, fit.gate.sentence
        found[robust] = fit.estimands
    scale = found[True]["residual_sd"].isel(visit=0)
    for name, truth in (("placebo", 3.0), ("drug", 6.0)):
        lower, upper = np.quantile(scale.sel(arm=name).values, [0.001, 0.999])
        assert lower < truth < upper, name
    plain = found[False]["residual_sd"].isel(visit=0).mean(("chain", "draw"))
    assert float(plain.sel(arm="placebo")) > 2 * 3.0  # what two patients do to a normal
    difference = {robust: e["difference"].isel(comparison=0, visit=-1) for robust, e in found.items()}
    assert float(difference[True].std()) < 0.8 * float(difference[False].std())
    assert np.quantile(difference[True].values, 0.001) < -2.0 < np.quantile(difference[True].values, 0.999)
