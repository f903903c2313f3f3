"""Simulation-based calibration of trials: truths drawn from the prior lie anywhere in their posteriors, evenly."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bayesdep.inference.evaluate import from_prior
from bayesdep.inference.sample import sample_posterior
from bayesdep.models.trial import Trial

pytestmark = pytest.mark.slow

FITS = 100
EFFECTS = ("baseline_slope", "baseline_slope_departure", "arm_effect", "arm_effect_departure", "arm_effect_at_visit")
NAMES = ("visit_mean", *EFFECTS, "residual_sd", "rho")


def design(seed=0, patients=40, visits=(1, 2, 4)):
    """The rows of a trial with some visits missed; outcomes are drawn later."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(patients):
        who = {"subject": f"p{i}", "arm": ("placebo", "drug")[i % 2], "baseline": rng.normal(24, 4)}
        stays = len(visits) if i % 4 else 1 + i // 4 % 3
        rows += [who | {"visit": v, "outcome": rng.normal() if j < stays else np.nan} for j, v in enumerate(visits)]
    return pd.DataFrame(rows)


def ranks(fits, seed=1):
    """For each parameter's elements, the share of draws below the truth, and the centre's that the prior is around."""
    story = Trial(reference="placebo", covariance="ar1", scale=5.0)
    data = story.prepare(design())
    model = story.build(data)
    wanted = [model[name] for name in (*NAMES, "outcome_by_visit")]
    drawn = from_prior(wanted, fits, seed=seed)
    truths = dict(zip((*NAMES, "outcome_by_visit"), drawn, strict=True))
    missed = np.isnan(data["outcome"].values)
    found = {name: [] for name in NAMES}
    for s in range(fits):
        y = np.where(missed, np.nan, truths["outcome_by_visit"][s])
        posterior = sample_posterior(story, data.assign(outcome=(data["outcome"].dims, y)), draws=250, tune=400, seed=s)
        for name in NAMES:
            draws = posterior[name].transpose("chain", "draw", ...).values
            draws = draws.reshape(-1, *draws.shape[2:])[::5]
            found[name].append((draws < truths[name][s]).mean(axis=0).ravel())
    return {name: np.array(values) for name, values in found.items()}


def test_truths_from_the_prior_are_anywhere_in_their_posteriors():
    found = ranks(FITS)
    tests = sum(values.shape[1] for values in found.values())
    for name, values in found.items():
        for k in range(values.shape[1]):
            # a family-wise level of 1 in 1,000 over all elements
            p = stats.kstest(values[:, k], "uniform").pvalue
            assert p > 0.001 / tests, (name, k, p)
            covered = ((values[:, k] > 0.025) & (values[:, k] < 0.975)).mean()
            assert covered > 0.95 - 4 * np.sqrt(0.95 * 0.05 / FITS), (name, k, covered)
