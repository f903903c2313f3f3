"""Figures of trials: what is drawn is what the estimands and the data say, one panel per comparison, labelled."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesdep as bd
from bayesdep.inference.diagnostics import Criterion, Gate
from bayesdep.inference.fit import Fit
from bayesdep.models.parts import trial_estimands
from bayesdep.reporting import trial_plots
from bayesdep.reporting.figures import FIGURES, png

GATE = Gate((Criterion("R-hat", 1.0, 1.01, True),))
NAMES = ("trajectories", "difference_along", "covariance")


def table(arms=("placebo", "drug"), weeks=(2, 4, 8, 12), people=30, seed=1):
    """Outcomes without any structure; one in ten missing; days about the weeks'."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(people):
        baseline, crp = rng.normal(24, 4), rng.lognormal(0.9, 1.1)
        for week in weeks:
            outcome = np.nan if i >= len(arms) and rng.random() < 0.1 else baseline - week / 2 + rng.normal(0, 6)
            rows.append(
                {"subject": f"p{i}", "arm": arms[i % len(arms)], "visit": week, "day": 7 * week + int(rng.integers(3))}
                | {"baseline": baseline, "outcome": outcome, "crp": crp, "age": 40 + i % 7}
            )
    return pd.DataFrame(rows)


def made(frame, seed=2, draws=120, **settings):
    """A fit whose posterior is drawn from thin air: figures ask for draws, not for where they are from."""
    story = bd.Trial(**{"reference": "placebo", "covariance": "ar1", **settings})
    data = story.prepare(frame)
    rng = np.random.default_rng(seed)
    centres = {"arm_effect": (1, 0.8), "arm_by_moderator": (-1.5, 0.6), "residual_sd": (6, 0.4)}
    extra = {"term": data.sizes.get("term", 0)}
    dims = {
        "visit_mean": ("visit",), "baseline_slope": ("visit",), "arm_effect": ("comparison", "visit"),
        "moderator_effect": ("term", "visit"), "arm_by_moderator": ("comparison", "term", "visit"),
        "covariate_effect": ("covariate",), "residual_sd": ("visit",) if story.heterogeneous else (),
    }  # fmt: skip
    values = {}
    for name in story.slots:
        shape = (2, draws, *(({**data.sizes, **extra})[d] for d in dims.get(name, ())))
        centre, sd = centres.get(name, (0, 0.5))
        drawn = rng.beta(60, 20, shape) if name == "rho" else rng.normal(centre, sd, shape)
        values[name] = (("chain", "draw", *dims.get(name, ())), drawn)
    coords = {d: data[d].values for d in ("visit", "comparison", "term", "covariate") if d in data.coords}
    posterior = xr.Dataset(values, {"chain": [0, 1], "draw": np.arange(draws), **coords})
    if story.covariance == "unstructured":
        visits = data.sizes["visit"]
        halves = np.full((2, draws, visits * (visits - 1) // 2), 0.5)
        posterior = posterior.assign(correlation_by_pair=(("chain", "draw", "pair"), halves))
    groups = {"posterior": posterior, "estimands": story.estimands(posterior, data), "constant_data": data}
    return Fit(story, data, xr.DataTree.from_dict(groups), {"gate": GATE.to_dict(), "sampler": "nutpie"})


@pytest.fixture(scope="module")
def fit():
    return made(table(), moderator="crp", moderator_form="log-quadratic", at=[1, 3], covariates="age")


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_a_trial_has_its_figures_and_other_stories_have_none_of_them(fit):
    assert [FIGURES[name].applies(fit) for name in NAMES] == [True, True, True]
    assert [FIGURES[name].applies(made(table())) for name in NAMES] == [True, False, True]
    screen = bd.fit(
        bd.Screen(condition="responder", positives="below_34_pg_per_mL"), bd.load("kiraly2017_fgf2_roc"), draws=50
    )
    assert not any(FIGURES[name].applies(screen) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_they_are_drawn_at_report_width_and_say_what_they_rest_on(fit, name):
    marked = Fit(fit.model, fit.data.assign_attrs(synthetic=1), fit.tree, fit.manifest)
    figure = FIGURES[name].draw(marked)
    assert figure.get_suptitle() == "SYNTHETIC DATA"
    assert 4 <= figure.get_figwidth() <= 9
    assert png(figure).startswith(b"\x89PNG")
    assert FIGURES[name].draw(fit).get_suptitle() == ""


# Trajectories.


def test_lines_are_means_over_all_patients_put_into_an_arm_and_differ_by_the_estimand(fit):
    axes = trial_plots.plot_trajectories(fit).axes[0]
    placebo, drug = axes.lines[0].get_ydata(), axes.lines[2].get_ydata()
    # the model's own formula, written out at the patients' mean terms; baseline and covariates have mean zero
    mean, terms = fit.posterior.mean(("chain", "draw")), fit.data["moderator_terms"].mean("subject")
    code = -(fit.data["arm_of"].values == 1).mean()
    expected = fit.data["centre"] + mean["visit_mean"] + code * mean["arm_effect"][0]
    expected = expected + (terms * (mean["moderator_effect"] + code * mean["arm_by_moderator"][0])).sum("term")
    np.testing.assert_allclose(placebo, expected.values, rtol=1e-10)
    difference = fit.estimands["difference"].mean(("chain", "draw")).values[0]
    np.testing.assert_allclose(drug - placebo, difference, rtol=1e-8)


def test_bands_hold_95_percent_of_the_draws_visit_by_visit(fit):
    axes = trial_plots.plot_trajectories(fit).axes[0]
    means = trial_plots.standardised_means(fit)
    for band, draws in zip(axes.collections, means, strict=True):
        corners = band.get_paths()[0].vertices
        for j, week in enumerate((2, 4, 8, 12)):
            ends = corners[corners[:, 0] == week][:, 1]
            np.testing.assert_allclose([ends.min(), ends.max()], np.quantile(draws[:, j], [0.025, 0.975]))


def test_points_are_means_of_those_observed_above_their_number(fit):
    frame = table().dropna(subset="outcome").groupby(["arm", "visit"])["outcome"]
    axes, counts = trial_plots.plot_trajectories(fit).axes
    for line, arm in ((axes.lines[1], "placebo"), (axes.lines[3], "drug")):
        np.testing.assert_allclose(line.get_ydata(), frame.mean()[arm])
    rows = [label.get_text() for label in counts.get_yticklabels()]
    written = {(rows[round(t.get_position()[1])], t.get_position()[0]): int(t.get_text()) for t in counts.texts}
    assert written == frame.size().to_dict()


def test_visits_stand_at_their_numbers_and_evenly_only_where_those_leave_no_room(fit):
    axes = trial_plots.plot_trajectories(fit).axes[0]
    assert axes.lines[0].get_xdata().tolist() == [2, 4, 8, 12]
    assert axes.get_xlabel() == "visit"
    assert axes.get_ylabel() == "mean outcome\n(points; lower is better)"
    crowded = trial_plots.plot_trajectories(made(table(weeks=(1, 2, 26, 52)))).axes[0]
    assert crowded.lines[0].get_xdata().tolist() == [0, 1, 2, 3]
    assert [label.get_text() for label in crowded.get_xticklabels()] == ["1", "2", "26", "52"]
    assert crowded.get_xlabel() == "visit (not to scale)"


def test_long_posteriors_are_thinned_evenly():
    long = made(table(people=8), draws=1500)
    means = trial_plots.standardised_means(long)
    assert means.shape == (2, 1000, 4)
    difference = long.estimands["difference"].values.reshape(3000, 4)
    kept = np.linspace(0, 2999, 1000).astype(int)
    np.testing.assert_allclose(means[1] - means[0], difference[kept], atol=1e-10)


# The difference along a moderator.


def test_difference_along_is_the_estimand_on_an_axis_of_logs(fit):
    axes = trial_plots.plot_difference_along(fit).axes[0]
    line = next(line for line in axes.lines if line.get_label() == "median")
    draws = fit.estimands["difference_along"].values.reshape(-1, 41)
    np.testing.assert_allclose(line.get_xdata(), np.log(fit.data["grid_value"]))
    np.testing.assert_allclose(line.get_ydata(), np.median(draws, axis=0))
    for band, ends in zip(axes.collections, ([0.025, 0.975], [0.25, 0.75]), strict=True):
        corners = band.get_paths()[0].vertices
        at = corners[corners[:, 0] == line.get_xdata()[20]][:, 1]
        np.testing.assert_allclose([at.min(), at.max()], np.quantile(draws[:, 20], ends))
    rug = next(line for line in axes.lines if line.get_label() == "patients")
    np.testing.assert_allclose(rug.get_xdata(), np.log(fit.data["moderator"]))
    assert any(list(line.get_ydata()) == [0, 0] for line in axes.lines)


def test_linear_moderator_has_an_axis_as_measured():
    linear = made(table(), moderator="crp", moderator_form="linear")
    figure = trial_plots.plot_difference_along(linear)
    line = next(line for line in figure.axes[0].lines if line.get_label() == "median")
    np.testing.assert_allclose(line.get_xdata(), linear.data["grid_value"])
    assert figure.axes[1].get_xlabel() == "crp at baseline"


def test_axis_says_which_side_favours_whom(fit):
    assert trial_plots.plot_difference_along(fit).axes[0].get_ylabel() == (
        "difference at visit 12 (points)\n\u2190 favours drug    favours placebo \u2192"
    )
    higher = made(table(), moderator="crp", better="higher", units="score")
    assert trial_plots.plot_difference_along(higher).axes[0].get_ylabel() == (
        "difference at visit 12 (score)\n\u2190 favours placebo    favours drug \u2192"
    )


def test_crossovers_bars_sum_to_the_probability_that_labels_them(fit):
    below = trial_plots.plot_difference_along(fit).axes[1]
    probability = float(fit.estimands["crosses"].mean())
    assert 0.05 < probability < 1  # else this shows nothing
    assert sum(bar.get_height() for bar in below.patches) == pytest.approx(probability)
    assert below.get_title(loc="left").replace("\n", " ") == (
        f"value above which drug is better: in this range with probability {probability:.2f}"
    )
    inside = fit.estimands["crossover"].values[fit.estimands["crosses"].values > 0]
    counts, _ = np.histogram(inside, fit.data["grid_value"])
    np.testing.assert_allclose([bar.get_height() * 240 for bar in below.patches], counts, atol=1e-9)


def test_crossover_that_is_nowhere_inside_leaves_an_empty_strip(fit):
    estimands = fit.estimands.assign(crosses=fit.estimands["crosses"] * 0)
    groups = {name: node.to_dataset() for name, node in fit.tree.children.items()} | {"estimands": estimands}
    figure = trial_plots.plot_difference_along(Fit(fit.model, fit.data, xr.DataTree.from_dict(groups), fit.manifest))
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == 0
    assert "probability 0.00" in figure.axes[1].get_title(loc="left").replace("\n", " ")
    png(figure)


# Covariance.


@pytest.mark.parametrize("covariance", ["unstructured", "compound-symmetry", "ar1", "spatial-power"])
def test_cells_are_posterior_mean_correlations_and_bars_residual_sds(covariance):
    fit = made(table(weeks=(0, 1, 3)), covariance=covariance, day="day")
    left, right = trial_plots.plot_covariance(fit).axes
    days = np.median(fit.data["day"], axis=0)
    mean = trial_estimands.correlations(fit.model, trial_plots._draws(fit), days).mean(axis=0)
    assert texts(left) == [f"{mean[j, k]:.2f}" for j, k in ((1, 0), (2, 0), (2, 1))]
    assert ("median days" in left.get_title(loc="left")) == (covariance == "spatial-power")
    sd = fit.estimands["residual_sd"].values.reshape(-1, 3)
    np.testing.assert_allclose(right.lines[0].get_xdata(), np.median(sd, axis=0))
    ends = [segment[:, 0] for segment in right.collections[0].get_segments()]
    np.testing.assert_allclose(ends, np.quantile(sd, [0.025, 0.975], axis=0).T)
    assert right.get_xlabel() == "points (95% intervals)"


def test_one_residual_sd_is_shown_at_every_visit():
    fit = made(table(weeks=(1, 2)), covariance="compound-symmetry", heterogeneous=False)
    left, right = trial_plots.plot_covariance(fit).axes
    assert texts(left) == [f"{float(fit.posterior['rho'].mean()):.2f}"]
    assert len(set(right.lines[0].get_xdata())) == 1


# Several arms.


def test_every_comparison_has_a_panel_of_its_own_on_one_scale():
    fit = made(table(("placebo", "10 mg", "20 mg", "talking"), people=60), moderator="crp", better="higher")
    figure = trial_plots.plot_trajectories(fit)
    panels = [axes for axes in figure.axes if axes.lines]
    assert [axes.get_title(loc="left") for axes in panels] == [
        f"{a} and placebo" for a in ("10 mg", "20 mg", "talking")
    ]
    assert len({axes.get_ylim() for axes in panels}) == 1
    means = trial_plots.standardised_means(fit).mean(axis=1)
    for k, axes in enumerate(panels, start=1):
        np.testing.assert_allclose(axes.lines[0].get_ydata(), means[0])
        np.testing.assert_allclose(axes.lines[2].get_ydata(), means[k])
    figure = trial_plots.plot_difference_along(fit)
    panels = [axes for axes in figure.axes if axes.get_title(loc="left").endswith("less placebo")]
    for k, axes in enumerate(panels):
        line = next(line for line in axes.lines if line.get_label() == "median")
        draws = fit.estimands["difference_along"].isel(comparison=k)
        np.testing.assert_allclose(line.get_ydata(), draws.median(("chain", "draw")))
        rug = next(line for line in axes.lines if line.get_label() == "patients")
        assert len(rug.get_xdata()) == 30  # of the panel's two arms
    assert len(panels) == 3


def test_a_long_name_is_cut_beside_a_panel_and_whole_in_the_legend():
    name = "internet-delivered cognitive behavioural therapy"
    fit = made(table(("placebo", name)), moderator="crp")
    figure = trial_plots.plot_trajectories(fit)
    assert figure.axes[1].get_yticklabels()[0].get_text() == "internet-delivered cognitiv\u2026"
    assert name in [text.get_text() for text in figure.legends[0].get_texts()]
    assert name in trial_plots.plot_difference_along(fit).axes[1].get_title(loc="left").replace("\n", " ")


def written(figure):
    """Every text that is seen, with its box; labels of ticks out of view are not."""
    for axes in figure.axes:
        found = [*axes.texts, axes._left_title, axes.xaxis.label, axes.yaxis.label]
        for labels, place, ends in (
            (axes.get_xticklabels(), 0, axes.get_xlim()),
            (axes.get_yticklabels(), 1, axes.get_ylim()),
        ):
            found += [label for label in labels if min(ends) <= label.get_position()[place] <= max(ends)]
        yield from ((t.get_text(), t.get_window_extent()) for t in found if t.get_visible() and t.get_text())


@pytest.mark.parametrize("weeks", [(1, 2), (0, 1, 2, 3, 4, 6, 8, 10, 12), (1, 2, 4, 26, 52)], ids=len)
@pytest.mark.parametrize("arms", [("placebo", "drug"), ("placebo", "cognitive behavioural therapy", "20 mg")], ids=len)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_written_overlaps_or_leaves_the_page(arms, weeks, name):
    fit = made(table(arms, weeks=weeks, people=60), moderator="crp")
    figure = FIGURES[name].draw(fit)
    png(figure)  # lays it out
    page, found = figure.get_window_extent(), list(written(figure))
    for i, (text, box) in enumerate(found):
        assert min(box.x0 - page.x0, page.x1 - box.x1, box.y0 - page.y0, page.y1 - box.y1) > -1, text
        for other, beside in found[:i]:
            across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
            along = min(box.y1, beside.y1) - max(box.y0, beside.y0)
            assert min(across, along) < 1, f"{text} lies on {other}"
