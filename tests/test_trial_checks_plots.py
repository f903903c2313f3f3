"""Figures of what a trial's likelihood assumes: whitened residuals, their band, and who dropped out."""

import numpy as np
import pytest
import xarray as xr
from scipy import integrate, special, stats
from test_trial_plots import made, replicates, table

from bayesdep.inference.fit import Fit
from bayesdep.models.trial.means import expected
from bayesdep.models.trial.residuals import NAME, correlations, residual_sds
from bayesdep.numerics.draws import stack_draws
from bayesdep.reporting.figures import trial_checks as trial_checks_plots


@pytest.fixture(scope="module")
def fit():
    return made(table(), moderator="crp", covariates="age")


def at_truth(**settings):
    """A fit of which every draw is the same, and data sets that come from that draw: independent and complete."""
    plain = made(table(people=40), draws=120, **settings)
    model, data, rng = plain.model, plain.data, np.random.default_rng(5)
    groups = {name: node.to_dataset() for name, node in plain.tree.children.items()}
    groups["posterior"] = plain.posterior.isel(chain=[0, 0], draw=[3] * 120)
    groups["posterior_predictive"] = replicates(model, groups["posterior"], data, rng)
    truths = replicates(model, groups["posterior"], data, rng)[NAME].values.reshape(240, 40, 4)
    return Fit(model, data, xr.DataTree.from_dict(groups), plain.manifest), truths


def of(fit, outcome):
    """The same fit with other outcomes, missing the same visits."""
    there = fit.data["outcome"]
    return Fit(fit.model, fit.data.assign(outcome=there * 0 + outcome), fit.tree, fit.manifest)


@pytest.mark.parametrize(
    ("covariance", "by_arm"),
    [("unstructured", False), ("spatial-power", False), ("compound-symmetry", True), ("spatial-power", True)],
)
def test_whitened_residuals_have_each_patient_s_distance_and_its_visits_in_order(covariance, by_arm):
    fit, truths = at_truth(covariance=covariance, day="day", by_arm=by_arm)
    fit = of(fit, truths[0])
    of_data, of_replicates = trial_checks_plots.whitened_residuals(fit)
    seen = ~np.isnan(fit.data["outcome"].values)
    assert of_data.shape == of_replicates.shape == (240, seen.sum())
    np.testing.assert_allclose(of_data, of_data[:1].repeat(240, axis=0))  # every draw is the same
    draws = stack_draws(fit.posterior).isel(sample=[0])
    rest = fit.data["outcome"].values - expected(fit.model, draws, fit.data)[0]
    distances, firsts = [], []
    for i, arm in enumerate(fit.data["arm_of"].values):
        sd = residual_sds(draws, fit.data)[0, arm]
        matrix = correlations(fit.model, draws, fit.data["day"].values[i], arm)[0] * sd * sd[:, None]
        here = np.flatnonzero(seen[i])
        distances.append(rest[i, here] @ np.linalg.inv(matrix[np.ix_(here, here)]) @ rest[i, here])
        firsts.append(rest[i, here[0]] / sd[here[0]])
    assert (of_data[0] ** 2).sum() == pytest.approx(sum(distances))
    assert {*np.round(firsts, 8)} <= {*np.round(of_data[0], 8)}


def test_scores_of_a_multivariate_t_are_its_conditional_probabilities():
    nu, z = 4.0, np.array([1.7, -2.5])
    scores = trial_checks_plots.normal_scores_of_t(z[None, :, None, None], np.array([[[nu]]]))[0, :, 0, 0]
    density = stats.multivariate_t(np.zeros(2), np.eye(2), df=nu)
    assert scores[0] == pytest.approx(stats.norm.ppf(stats.t.cdf(z[0], nu)))
    below, _ = integrate.quad(lambda x: density.pdf([z[0], x]), -np.inf, z[1])
    assert special.ndtr(scores[1]) == pytest.approx(below / stats.t.pdf(z[0], nu), rel=1e-7)


@pytest.mark.parametrize("robust", [False, True])
def test_residuals_of_the_right_model_leave_the_band_one_time_in_twenty_and_those_of_a_wrong_one_more(robust):
    fit, truths = at_truth(robust=robust)
    _, of_replicates = trial_checks_plots.whitened_residuals(fit)
    assert stats.kstest(of_replicates.ravel(), "norm").pvalue > 0.001  # independent, as the draws are the same
    right = [outside(of(fit, truth)) == 0 for truth in truths[:40]]
    assert np.mean(right) > 0.95 - 3 * np.sqrt(0.95 * 0.05 * (1 / 40 + 1 / 240))  # of 40, and of a band's 240
    mean = expected(fit.model, stack_draws(fit.posterior).isel(sample=[0]), fit.data)[0]
    assert all(outside(of(fit, mean + np.abs(truth - mean))) > 0 for truth in truths[:5])  # folded at their means


def outside(fit):
    """How many points lie outside their band."""
    _, points, lower, upper = trial_checks_plots.quantiles_of_residuals(fit)
    return int(((points < lower) | (points > upper)).sum())


def test_quantiles_are_sorted_residuals_against_blom_s_and_the_band_that_of_replicates(fit):
    left, right = trial_checks_plots.plot_residuals(fit).axes
    of_data, of_replicates = trial_checks_plots.whitened_residuals(fit)
    n = (~np.isnan(fit.data["outcome"].values)).sum()
    x = stats.norm.ppf((np.arange(1, n + 1) - 0.375) / (n + 0.25))
    points = next(line for line in left.lines if line.get_label() == "residuals")
    np.testing.assert_allclose(points.get_xdata(), x)
    np.testing.assert_allclose(points.get_ydata(), np.sort(of_data, axis=1).mean(axis=0))
    flat = next(line for line in right.lines if line.get_label() == "residuals")
    np.testing.assert_allclose(flat.get_ydata(), points.get_ydata() - x, atol=1e-12)
    corners = left.collections[0].get_paths()[0].vertices
    ends = np.array([corners[np.isclose(corners[:, 0], place)][:, 1] for place in x[1:-1]])
    inner = np.sort(of_replicates, axis=1)[:, 1:-1]
    # the band's ends close with its corners, so that they are left out here, and may be where a replicate leaves it
    whole = ((inner >= ends.min(axis=1) - 1e-9) & (inner <= ends.max(axis=1) + 1e-9)).all(axis=1).mean()
    assert 0.95 <= whole < 0.98


def test_the_band_is_left_by_one_in_twenty_of_other_samples_too():
    rng = np.random.default_rng(6)
    k = np.arange(1, 81)
    lower, upper = trial_checks_plots.simultaneous_band(np.sort(rng.normal(size=(1000, 80))), k, 80)
    others = np.sort(rng.normal(size=(4000, 80)))
    inside = ((others >= lower) & (others <= upper)).all(axis=1).mean()
    assert abs(inside - 0.95) < 3 * np.sqrt(0.95 * 0.05 * (1 / 1000 + 1 / 4000))
    np.testing.assert_allclose(lower, -upper[::-1], atol=1e-9)
    wide = np.sort(rng.standard_t(3, size=(1000, 80)))
    assert (trial_checks_plots.simultaneous_band(wide, k, 80)[1] > upper).all()  # replicates determine the width


def test_of_many_residuals_the_ends_are_all_shown():
    shown = trial_checks_plots.shown_order_statistics(5000)
    assert {*range(100), *range(4900, 5000)} <= {*shown}
    assert len(shown) < 700
    assert np.diff(shown).max() < 20
    assert trial_checks_plots.shown_order_statistics(30).tolist() == list(range(30))


# Dropout by arm.


def test_lines_are_those_not_yet_dropped_out_and_points_those_observed():
    frame = table(people=20)
    last = frame["subject"].map({f"p{i}": (4, 12)[i % 5 > 0] for i in range(20)})
    frame.loc[frame["visit"] > last, "outcome"] = np.nan
    frame.loc[(frame["visit"] == 2) & (frame["subject"] == "p1"), "outcome"] = np.nan
    axes = trial_checks_plots.plot_dropout_by_arm(made(frame)).axes[0]
    for arm, line, points in (("placebo", *axes.lines[:2]), ("drug", *axes.lines[3:5])):
        outcome = frame[frame["arm"] == arm].pivot_table(index="subject", columns="visit", values="outcome")
        outcome = outcome.reindex(columns=[2, 4, 8, 12])
        np.testing.assert_allclose(points.get_ydata(), outcome.notna().mean())
        np.testing.assert_allclose(line.get_ydata(), outcome.bfill(axis=1).notna().mean())
    assert not np.allclose(axes.lines[3].get_ydata(), axes.lines[4].get_ydata())  # somebody came back
    labels = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    stayed = frame.dropna(subset="outcome").query("visit == 12").groupby("arm").size()
    assert labels == [f"{arm}: {stayed[arm]} of 10 at the last visit" for arm in ("placebo", "drug")]
