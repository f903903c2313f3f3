"""Figures of panels: what they compare is what the assay would have reported; they are drawn, marked and legible."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.diagnostics import Criterion, Gate
from bayesdep.inference.fit import Fit
from bayesdep.models.model import estimand
from bayesdep.reporting.figures import common as plots
from bayesdep.reporting.figures import composing
from bayesdep.reporting.figures import cytokines as panel_plots
from bayesdep.reporting.figures import response as response_plots
from bayesdep.reporting.figures.register import FIGURES, applies, figures_of, png
from bayesdep.reporting.report import report

pytestmark = pytest.mark.sampling
RNG = np.random.default_rng(1)
GATE = Gate((Criterion("R-hat", 1.0, 1.01, True),))
PANEL = ("forest", "prior_posterior", "scaled_priors", "checks", "shares", "ecdf", "plates", "ranks")


def table(analytes=30, people=24, times=(0,)):
    """Two groups on two plates, limits that differ between plates, every fourth analyte mostly below."""
    rows = []
    for i in range(people):
        group, plate = "HC" if i % 2 else "MDD", f"p{i // 2 % 2 + 1}"
        for a in range(analytes):
            lod = 1.0 + 0.5 * (i // 2 % 2)
            for time in times:
                centre = 0.2 if a % 4 == 0 else 2.5
                value = float(np.exp(centre + 0.4 * (group == "MDD") * (a % 3) + 0.6 * RNG.standard_normal()))
                low = value < lod
                rows.append(
                    {"subject": f"s{i}", "group": group, "plate": plate, "analyte": f"A{a:02}", "time": time}
                    | {"concentration": lod if low else value, "censored": "left" if low else "none", "lod": lod}
                )
    return pd.DataFrame(rows)


SETTINGS = {"analyte": "analyte", "subject": "subject", "group": "group", "reference": "HC", "plate": "plate"} | {
    "censored": "censored",
    "lod": "lod",
    "equivalence": 1.1,
}


@pytest.fixture(scope="module")
def fit():
    """Few draws, which the gate is not to mind here."""
    made = bd.fit(bd.Cytokines(**SETTINGS), table(), draws=60, tune=200, chains=2, seed=1)
    return dataclasses.replace(made, manifest={**made.manifest, "gate": GATE.to_dict()})


def replaced(fit, **groups):
    known = {name: node.to_dataset() for name, node in fit.tree.children.items()}
    return dataclasses.replace(fit, tree=xr.DataTree.from_dict({**known, **groups}))


def test_panel_has_its_figures_and_others_do_not(fit):
    assert {name for name in FIGURES if applies(name, fit)} == set(PANEL)
    screen = bd.fit(
        bd.Screen(condition="responder", positives="below_34_pg_per_mL"), bd.load("kiraly2017_fgf2_roc"), draws=50
    )
    assert set(figures_of(screen)) == {"forest", "prior_posterior", "scaled_priors", "checks"}


def test_every_figure_is_drawn_at_report_width_and_says_synthetic(fit):
    marked = dataclasses.replace(fit, data=fit.data.assign_attrs(synthetic=1))
    for name, figure in figures_of(marked).items():
        first, *others = figure.get_suptitle().splitlines()
        assert first == "SYNTHETIC DATA", name
        assert all(" are shown: " in line for line in others), name  # of many, some
        assert 4 <= figure.get_figwidth() <= 9, name
        assert png(figure).startswith(b"\x89PNG")


def test_recorded_replicates_know_the_limits_of_their_own_measurement(fit):
    recorded = panel_plots.recorded(fit)
    lod = fit.data["lod"].values
    np.testing.assert_array_equal(np.isneginf(recorded.data), fit.data["kind"].values == 1)
    draws = fit.tree["posterior_predictive"]["log_concentration"].values.reshape(-1, len(lod))
    np.testing.assert_array_equal(np.isneginf(recorded.replicates), draws < lod)
    inside = ~np.isneginf(recorded.replicates)
    np.testing.assert_array_equal(recorded.replicates[inside], draws[inside])


def test_shares_are_those_of_the_data_and_ordered(fit):
    axes = panel_plots.plot_shares(fit).axes[0]
    frame = table_of(fit)
    expected = frame.pivot_table("below", "analyte", "group")
    labels = [t.get_text() for t in axes.get_yticklabels()]
    for g, group in enumerate(fit.data["group"].values):
        points = axes.lines[2 * g].get_xdata()
        np.testing.assert_allclose(points, expected.loc[labels, group])
    means = expected.loc[labels].mean(axis=1).to_numpy()
    assert (np.diff(means) <= 1e-12).all()


def table_of(fit):
    data = fit.data
    return pd.DataFrame(
        {
            "analyte": data["analyte"].values[data["analyte_of"].values],
            "group": data["group"].values[data["group_of"].values],
            "below": data["kind"].values == 1,
        }
    )


def test_model_that_expects_other_shares_is_ringed_in_red(fit):
    predicted = fit.tree["posterior_predictive"].to_dataset()
    wrong = replaced(fit, posterior_predictive=predicted - 9.0)  # everything below its limit
    rings = panel_plots.plot_shares(wrong).axes[0].lines[1]
    assert rings.get_markeredgecolor() == composing.RED
    assert len(rings.get_xdata()) == fit.data.sizes["analyte"]
    assert len(panel_plots.plot_shares(fit).axes[0].lines[1].get_xdata()) < 5


def test_ecdf_shows_24_panels_worst_first_from_the_share_below(fit):
    figure = panel_plots.plot_ecdf(fit)
    assert len(figure.axes) == 24
    assert "the other 6 analytes fit better" in figure.get_supxlabel()
    distances = [float(re.search(r"\((.*)\)", axes.get_title(loc="left"))[1]) for axes in figure.axes]
    assert distances == sorted(distances, reverse=True)
    shares = table_of(fit).groupby("analyte")["below"].mean()
    for axes in figure.axes:
        y = axes.lines[0].get_ydata()
        assert y[0] >= shares[axes.get_title(loc="left").split()[0]] - 1e-12
        assert y[-1] == 1
    predicted = fit.tree["posterior_predictive"].to_dataset()
    rows = fit.data["analyte_of"].values == 5
    bad = predicted.assign(log_concentration=predicted["log_concentration"] + 2.0 * rows)
    first = panel_plots.plot_ecdf(replaced(fit, posterior_predictive=bad)).axes[0]
    assert first.get_title(loc="left").startswith("A05")


def test_cumulative_shares_are_means_of_comparisons():
    values = np.where(RNG.random((7, 30)) < 0.2, -np.inf, RNG.standard_normal((7, 30)))
    values[0, :3] = np.inf
    x = np.linspace(-1, 1, 11)
    values[1, 0] = x[4]
    np.testing.assert_allclose(
        panel_plots.cumulative_shares(values, x), (values[:, :, None] <= x).mean(axis=1), rtol=0, atol=1e-15
    )


def test_values_between_two_limits_count_from_the_upper_one_in_data_and_replicates(fit):
    data = fit.data.copy()
    row = int(np.flatnonzero((data["kind"].values == 0) & (data["analyte_of"].values == 1))[0])
    kind, upper = data["kind"].values.copy(), data["upper"].values.copy()
    kind[row], upper[row] = 3, upper[row] + 0.5
    changed = dataclasses.replace(fit, data=data.assign(kind=("measurement", kind), upper=("measurement", upper)))
    recorded = panel_plots.recorded(changed)
    assert recorded.data[row] == upper[row]
    here = (data["analyte_of"] == 1).values & (data["plate_of"].values == data["plate_of"].values[row])
    seen = recorded.replicates[:, here]
    assert (seen[np.isfinite(seen)] >= upper[row]).all()


def test_plates_show_medians_with_values_beyond_limits_at_them(fit):
    axes = panel_plots.plot_plates(fit).axes[0]
    data = fit.data
    frame = pd.DataFrame(
        {
            "y": np.where(data["kind"] == 1, data["lod"], data["upper"]),
            "analyte": data["analyte_of"],
            "plate": data["plate"].values[data["plate_of"].values],
        }
    )
    frame["away"] = frame["y"] - frame.groupby("analyte")["y"].transform("mean")
    expected = frame.groupby("plate")["away"].median()
    assert [t.get_text() for t in axes.get_yticklabels()] == ["p1", "p2"]
    np.testing.assert_allclose(axes.lines[1].get_xdata(), expected.loc[["p1", "p2"]])


def test_changes_have_a_panel_a_time_and_one_order(fit):
    shape = (2, 60, 30, 2)
    change = xr.DataArray(
        0.3 * RNG.standard_normal(shape) + np.linspace(-1, 1, 30)[:, None],
        {"analyte": fit.data["analyte"].values, "later": ["4", "24"]},
        ("chain", "draw", "analyte", "later"),
    )
    ratio = estimand(np.exp(change), "ratio to baseline", "ratio", null=1.0)
    estimands = fit.estimands.assign(ratio_to_baseline=ratio)
    timed = replaced(fit, estimands=estimands)
    assert applies("changes", timed)
    figure = panel_plots.plot_changes(timed)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["time 4", "time 24"]
    last = figure.axes[1].lines[1].get_xdata()
    assert (np.diff(last) <= 0).all()
    both = estimand(ratio.expand_dims(group=["HC", "MDD"], axis=-1), "ratio to baseline", "ratio", null=1.0)
    figure = panel_plots.plot_changes(replaced(fit, estimands=fit.estimands.assign(ratio_to_baseline=both)))
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["HC", "MDD"]


def response(**more):
    """What a response model's fit has that its figure needs."""
    rate = np.round(np.arange(0.02, 0.99, 0.02), 2)
    curve = rate ** RNG.uniform(0.3, 0.6, (2, 50, 1))
    found = {
        "roc": (("chain", "draw", "false_positive_rate"), curve),
        "auc": (("chain", "draw"), curve.mean(axis=-1)),
        **{name: (("chain", "draw"), np.full((2, 50), value)) for name, value in more.items()},
    }
    groups = {"estimands": xr.Dataset(found, {"false_positive_rate": rate})}
    manifest = {"gate": GATE.to_dict(), "sampler": "nutpie", "seed": 1}
    data = xr.Dataset(attrs={"synthetic": 1})
    return Fit(bd.Response(predicts_when="above"), data, xr.DataTree.from_dict(groups), manifest)


def test_roc_has_its_area_its_band_and_the_cutoff():
    figure = response_plots.plot_roc(response(sensitivity=0.7, specificity=0.9))
    axes = figure.axes[0]
    assert figure.get_suptitle() == "SYNTHETIC DATA"
    assert re.fullmatch(r"AUC 0\.\d\d \(95% interval 0\.\d\d to 0\.\d\d\)", axes.get_title(loc="left"))
    assert any(np.allclose([line.get_xdata()[0], line.get_ydata()[0]], [0.1, 0.7]) for line in axes.lines)
    without = response_plots.plot_roc(response()).axes[0]
    assert [t.get_text() for t in without.get_legend().get_texts()] == ["95% band", "ROC curve"]
    assert applies("roc", response())
    assert not applies("decision_curve", response())
    assert not applies("shares", response())


def test_a_decision_curve_has_both_ways_of_deciding_and_how_surely_the_marker_is_best():
    at = np.array([0.2, 0.5, 0.8])
    draws = RNG.normal(0, 0.02, (2, 50, 1))
    by_marker, everybody = np.array([0.42, 0.25, 0.1]) + draws, np.array([0.4, 0.05, -1.5]) + draws
    found = {
        "net_benefit": (("chain", "draw", "decision", "threshold"), np.stack([by_marker, everybody], axis=2)),
        "net_benefit_gain": (("chain", "draw", "threshold"), by_marker - np.maximum(everybody, 0)),
    }
    fit = response()
    coords = {"threshold": at, "decision": ["by the marker", "everybody"]}
    fit = replaced(fit, estimands=xr.Dataset(found, coords))
    figure = response_plots.plot_decision_curve(fit)
    axes, below = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    np.testing.assert_allclose(lines["treat by the marker"], np.median(by_marker, axis=(0, 1)))
    np.testing.assert_allclose(lines["treat everybody"], np.median(everybody, axis=(0, 1)))
    assert list(lines)[-1] == "treat nobody"
    np.testing.assert_allclose(below.lines[0].get_ydata(), (found["net_benefit_gain"][1] > 0).mean(axis=(0, 1)))
    assert axes.get_ylim()[0] > -0.5  # the fall of treating everybody does not squeeze the rest
    assert applies("decision_curve", fit)


# The forest plot, the priors and the report of a panel.


def test_forest_is_ordered_by_evidence_on_an_axis_of_ratios(fit):
    figure = bd.plot_forest(fit)
    axes = figure.axes[0]
    rows = bd.summarise(fit)
    rows = rows[rows["estimand"] == "log_ratio"].sort_values(["prob_gt_null", "median"], ascending=False)
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert labels == [*rows["analyte"], "overall"]
    figure.draw_without_rendering()
    low, high = axes.get_xlim()
    shown = [(t.get_text(), t.get_position()[0]) for t in axes.get_xticklabels()]
    shown = [(float(text), at) for text, at in shown if low <= at <= high]
    assert 3 <= len(shown) <= 8
    for text, at in shown:
        assert np.log(text) == pytest.approx(at, abs=1e-3)


@pytest.mark.parametrize("ends", [(0.9, 1.1), (0.98, 1.01), (0.5, 2), (0.3, 12), (0.01, 100), (1e-6, 1e6), (2, 2.2)])
def test_axis_of_ratios_has_a_handful_of_round_ticks(ends):
    low, high = np.log(ends)
    ticks = np.array(plots.RatioTicks().tick_values(low, high))
    inside = ticks[(ticks >= low - 1e-12) & (ticks <= high + 1e-12)]
    assert 2 <= len(inside) <= 9
    assert [float(f"{t:.4g}") for t in np.exp(inside)] == pytest.approx(np.exp(inside).tolist())


def test_long_vectors_are_told_as_ordered_intervals_over_their_prior(fit):
    posterior = fit.posterior.drop_vars("group_mean").assign(
        group_mean=(("chain", "draw", "analyte"), fit.posterior["group_effect"].values[..., 0])
    )
    figure = bd.plot_prior_posterior(replaced(fit, posterior=posterior))
    axes = next(a for a in figure.axes if a.get_title(loc="left").startswith("group_mean"))
    medians = axes.lines[0].get_xdata()
    assert len(medians) == fit.data.sizes["analyte"]
    assert (np.diff(medians) >= 0).all()


def test_forest_without_crude_estimates_or_null_is_drawn(fit):
    """Levels of a panel without groups: nothing is on its own, and 0 is no reference."""
    forest = dataclasses.replace(
        fit.model.forest,
        rows=("log_level_like",),
        summary=None,
        crude=lambda data: (np.full(data.sizes["analyte"], np.nan),) * 2,
        by_evidence=False,
    )
    values = estimand(fit.estimands["log_ratio"], "level", "log pg/mL", null=np.nan)
    made = replaced(fit, estimands=fit.estimands.assign(log_level_like=values))

    class Levels(bd.Cytokines):
        """A panel whose forest shows its levels."""

        @property
        def forest(self):
            return forest

    figure = bd.plot_forest(dataclasses.replace(made, model=Levels(**SETTINGS)))
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["in the model"]
    assert figure.axes[0].get_xlabel().startswith("level, pg/mL")


def test_report_of_a_panel_shows_the_evidence_and_points_to_the_rest(fit, tmp_path):
    page = report(fit, tmp_path / "r.html", figures={}).read_text(encoding="utf-8")
    assert page.index('id="all-estimands"') < page.index('id="evidence"')
    assert bd.rank_evidence(fit).attrs["sentence"].replace(">", "&gt;") in page
    estimands = page.partition('id="all-estimands"')[2].partition("<h3")[0]
    assert "mean_log_ratio[MDD]" in estimands
    assert "share_below[" not in estimands
    assert "are in estimands.csv" in page
    dependent = page.partition('id="sensitivity"')[2].partition("<h3")[0].partition("<figure")[0]
    assert dependent.count("<tr>") == 31
    assert f"the 30 most dependent of {len(bd.check_prior_sensitivity(fit))}" in dependent


# Comparisons.


def test_half_limits_are_not_compared_with_a_censored_likelihood(fit):
    kind = fit.data["kind"] * 0
    order = RNG.permutation(fit.data.sizes["measurement"])
    substituted = dataclasses.replace(fit, data=fit.data.assign(kind=kind).isel(measurement=order))
    with pytest.raises(BadInput, match="a density of the one cannot be compared with a probability of the other"):
        bd.compare({"censored": fit, "half": substituted})
