"""Figures of trials: what is drawn is what the estimands and the data say, one panel per comparison, labelled."""

import functools

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesdep as bd
from bayesdep.inference.diagnostics import Criterion, Gate
from bayesdep.inference.fit import Fit
from bayesdep.models.trial.means import expected
from bayesdep.models.trial.residuals import NAME, correlations, residual_sds
from bayesdep.numerics.draws import stack_draws
from bayesdep.reporting.figures import trial as trial_plots
from bayesdep.reporting.figures.register import FIGURES, applies, png

GATE = Gate((Criterion("R-hat", 1.0, 1.01, True),))
NAMES = ("trajectories", "difference_along", "subgroups", "covariance", "residuals", "dropout_by_arm")
ASKED = {"moderator": "crp", "subgroups": ["> 1", "<= 1", "> 3"], "response": 0.5, "remission": 7}


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
    model = bd.Trial(**{"reference": "placebo", "covariance": "ar1", **settings})
    data = model.prepare(frame)
    rng = np.random.default_rng(seed)
    centres = {"arm_effect_at_visit": (1, 0.8), "arm_by_moderator_at_visit": (-1.5, 0.6), "residual_sd": (6, 0.4)}
    extra = {"term": data.sizes.get("term", 0)}
    dims = {
        "visit_mean": ("visit",), "baseline_slope_at_visit": ("visit",), "arm_effect_at_visit": ("comparison", "visit"),
        "moderator_effect_at_visit": ("term", "visit"), "arm_by_moderator_at_visit": ("comparison", "term", "visit"),
        "covariate_effect": ("covariate",),
        "residual_sd": (("arm",) if model.by_arm else ()) + (("visit",) if model.heterogeneous else ()),
        "rho": ("arm",) if model.by_arm else (),
    }  # fmt: skip
    values = {}
    effects = ("arm_effect", "moderator_effect", "arm_by_moderator", "baseline_slope")
    names = [n for n in model.slots if not n.endswith("_departure")]
    for name in (f"{n}_at_visit" if n in effects else n for n in names):
        shape = (2, draws, *(({**data.sizes, **extra})[d] for d in dims.get(name, ())))
        centre, sd = centres.get(name, (0, 0.5))
        positive = {"rho": lambda shape: rng.beta(60, 20, shape), "nu": lambda shape: 3 + rng.gamma(2, 1, shape)}
        drawn = positive[name](shape) if name in positive else rng.normal(centre, sd, shape)
        values[name] = (("chain", "draw", *dims.get(name, ())), drawn)
    coords = {d: data[d].values for d in ("visit", "comparison", "term", "covariate", "arm") if d in data.coords}
    posterior = xr.Dataset(values, {"chain": [0, 1], "draw": np.arange(draws), **coords})
    if model.covariance == "unstructured":
        visits = data.sizes["visit"]
        halves = np.full((2, draws, visits * (visits - 1) // 2), 0.5)
        posterior = posterior.assign(correlation_by_pair=(("chain", "draw", "pair"), halves))
    groups = {"posterior": posterior, "estimands": model.estimands(posterior, data), "constant_data": data}
    groups["posterior_predictive"] = replicates(model, posterior, data, rng)
    return Fit(model, data, xr.DataTree.from_dict(groups), {"gate": GATE.to_dict(), "sampler": "nutpie", "seed": seed})


def replicates(model, posterior, data, rng):
    """Outcomes of every visit, draw by draw."""
    flat = posterior.stack(sample=("chain", "draw"), create_index=False).transpose("sample", ...)  # noqa: PD013  (xarray's)
    drawn, sd = expected(model, flat, data), residual_sds(flat, data)
    for i, arm in enumerate(data["arm_of"].values):
        root = np.linalg.cholesky(correlations(model, flat, data["day"].values[i], arm))
        noise = rng.normal(size=(len(drawn), root.shape[-1], 1))
        if model.robust:
            nu = flat["nu"].values
            noise = noise / np.sqrt(rng.gamma(nu / 2) / (nu / 2))[:, None, None]
        drawn[:, i] += sd[:, arm] * (root @ noise)[..., 0]
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], *drawn.shape[1:])
    return xr.Dataset({NAME: (("chain", "draw", "subject", "visit"), drawn.reshape(shape))})


@pytest.fixture(scope="module")
def fit():
    return made(table(), moderator_form="log-quadratic", at=[1, 3], covariates="age", **ASKED)


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_a_trial_has_its_figures_and_other_models_have_none_of_them(fit):
    assert all(applies(name, fit) for name in NAMES)
    plain, whole = made(table()), made(table().fillna(20.0))
    assert [name for name in NAMES if not applies(name, plain)] == ["difference_along", "subgroups"]
    assert [name for name in NAMES if not applies(name, whole)][-1] == "dropout_by_arm"
    screen = bd.fit(
        bd.Screen(condition="responder", positives="below_34_pg_per_mL"), bd.load("kiraly2017_fgf2_roc"), draws=50
    )
    assert not any(applies(name, screen) for name in NAMES)


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
    expected = fit.data["centre"] + mean["visit_mean"] + code * mean["arm_effect_at_visit"][0]
    expected = expected + (
        terms * (mean["moderator_effect_at_visit"] + code * mean["arm_by_moderator_at_visit"][0])
    ).sum("term")
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
    above, under = fit.estimands["crosses"].mean(("chain", "draw", "comparison")).values
    probability = float(above)
    assert 0.05 < under < above < 1  # else this shows nothing
    assert sum(bar.get_height() for bar in below.patches) == pytest.approx(probability)
    assert below.get_title(loc="left").replace("\n", " ") == (
        f"value above which drug is better: in this range with probability {probability:.2f}"
    )
    at = fit.estimands.sel(side="above")
    inside = at["crossing"].values[at["crosses"].values > 0]
    counts, _ = np.histogram(inside, fit.data["grid_value"])
    np.testing.assert_allclose([bar.get_height() * 240 for bar in below.patches], counts, atol=1e-9)


def test_crossover_that_is_nowhere_inside_leaves_an_empty_strip(fit):
    estimands = fit.estimands.assign(crosses=fit.estimands["crosses"] * 0)
    groups = {name: node.to_dataset() for name, node in fit.tree.children.items()} | {"estimands": estimands}
    figure = trial_plots.plot_difference_along(Fit(fit.model, fit.data, xr.DataTree.from_dict(groups), fit.manifest))
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == 0
    assert "probability 0.00" in figure.axes[1].get_title(loc="left").replace("\n", " ")
    png(figure)


def test_crossover_is_of_the_side_on_which_the_arm_is_more_likely_to_be_better():
    upward = made(table(), moderator="crp", better="higher")  # the arm's effect falls along the moderator
    above, under = upward.estimands["crosses"].mean(("chain", "draw", "comparison")).values
    assert above < under
    below = trial_plots.plot_difference_along(upward).axes[1]
    assert sum(bar.get_height() for bar in below.patches) == pytest.approx(float(under))
    assert below.get_title(loc="left").startswith("value below which drug is better")


def test_threshold_is_a_step_and_its_crossover_lies_on_it():
    threshold = 3.3
    fit = made(table(), moderator="crp", moderator_form="threshold", threshold=threshold)
    axes, below = trial_plots.plot_difference_along(fit).axes
    line = next(line for line in axes.lines if line.get_label() == "median")
    x, y = line.get_data()
    np.testing.assert_allclose(x, np.sort([*fit.data["grid_value"].values, threshold, threshold]))
    low, high = y[x < threshold], y[x > threshold]
    assert len({*low.round(9)}) == len({*high.round(9)}) == 1
    assert low[0] != high[0]
    np.testing.assert_allclose(y[x == threshold], [low[0], high[0]])  # a jump there, and no ramp to the next grid point
    for band, (lower, upper) in zip(axes.collections, ([0.025, 0.975], [0.25, 0.75]), strict=True):
        corners = band.get_paths()[0].vertices
        ends = np.quantile(fit.estimands["difference_along"].values.reshape(-1, 41)[:, [0, -1]], [lower, upper], axis=0)
        at = corners[corners[:, 0] == threshold][:, 1]
        np.testing.assert_allclose(np.unique(at.round(9)), np.unique(ends.round(9)))
    probability = float(fit.estimands["crosses"].sel(side="above").mean())
    assert 0.05 < probability < 1
    bar = max(below.patches, key=lambda bar: bar.get_height())
    assert bar.get_height() == pytest.approx(probability)
    assert bar.get_x() < threshold < bar.get_x() + bar.get_width()
    assert bar.get_width() < 0.02 * np.ptp(x)


def test_spline_s_difference_is_a_curve_on_an_axis_of_logs_with_its_crossovers_inside():
    fit = made(table(), moderator="crp", moderator_form="log-spline")
    axes, below = trial_plots.plot_difference_along(fit).axes
    line = next(line for line in axes.lines if line.get_label() == "median")
    np.testing.assert_allclose(line.get_xdata(), np.log(fit.data["grid_value"]))
    np.testing.assert_allclose(line.get_ydata(), np.median(fit.estimands["difference_along"].values.reshape(-1, 41), 0))
    crosses = fit.estimands["crosses"].mean(("chain", "draw", "comparison")).values.max()
    assert 0.05 < crosses < 1
    assert sum(bar.get_height() for bar in below.patches) == pytest.approx(crosses)


# Covariance.


@pytest.mark.parametrize("covariance", ["unstructured", "compound-symmetry", "ar1", "spatial-power"])
def test_cells_are_posterior_mean_correlations_and_bars_residual_sds(covariance):
    fit = made(table(weeks=(0, 1, 3)), covariance=covariance, day="day")
    left, right = trial_plots.plot_covariance(fit).axes
    days = np.median(fit.data["day"], axis=0)
    mean = correlations(fit.model, stack_draws(fit.posterior), days).mean(axis=0)
    assert texts(left) == [f"{mean[j, k]:.2f}" for j, k in ((1, 0), (2, 0), (2, 1))]
    assert ("median days" in left.get_title(loc="left")) == (covariance == "spatial-power")
    sd = fit.estimands["residual_sd"].values.reshape(-1, 3)
    np.testing.assert_allclose(right.lines[0].get_xdata(), np.median(sd, axis=0))
    ends = [segment[:, 0] for segment in right.collections[0].get_segments()]
    np.testing.assert_allclose(ends, np.quantile(sd, [0.025, 0.975], axis=0).T)
    assert right.get_xlabel() == "points (95% intervals)"


def test_a_t_has_scales_and_no_sds():
    fit = made(table(weeks=(1, 2)), robust=True)
    assert trial_plots.plot_covariance(fit).axes[1].get_title(loc="left") == "residual scale, of a t"


def test_one_residual_sd_is_shown_at_every_visit():
    fit = made(table(weeks=(1, 2)), covariance="compound-symmetry", heterogeneous=False)
    left, right = trial_plots.plot_covariance(fit).axes
    assert texts(left) == [f"{float(fit.posterior['rho'].mean()):.2f}"]
    assert len(set(right.lines[0].get_xdata())) == 1


def test_arms_with_covariances_of_their_own_share_a_square():
    fit = made(table(("placebo", "10 mg", "20 mg"), weeks=(0, 1, 3), people=60), by_arm=True)
    axes = trial_plots.plot_covariance(fit).axes
    sd = fit.estimands["residual_sd"].transpose("chain", "draw", "arm", "visit").values
    rho = fit.posterior["rho"].values
    for k, (left, right) in enumerate((axes[:2], axes[2:]), start=1):
        cells = {text.get_position(): text.get_text() for text in left.texts}
        for row, column in ((1, 0), (2, 0), (2, 1)):
            apart = row - column
            assert cells[column, row] == f"{(rho[..., 0] ** apart).mean():.2f}"  # below the diagonal
            assert cells[row, column] == f"{(rho[..., k] ** apart).mean():.2f}"
        assert len(cells) == 6
        for arm, line, bars in zip((0, k), right.lines, right.collections, strict=True):
            np.testing.assert_allclose(line.get_xdata(), np.median(sd[:, :, arm], axis=(0, 1)))
            ends = [segment[:, 0] for segment in bars.get_segments()]
            np.testing.assert_allclose(ends, np.quantile(sd[:, :, arm], [0.025, 0.975], axis=(0, 1)).T)
        assert right.get_title(loc="left").endswith(("10 mg", "20 mg")[k - 1])
    words = [text.get_text() for text in axes[0].figure.legends[0].get_texts()]
    assert words == ["placebo (below the diagonal)", "other arm (above it)"]


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


@functools.cache
def of_size(arms, weeks):
    return made(table(arms, weeks=weeks, people=60), by_arm=True, **ASKED)


@pytest.mark.parametrize("weeks", [(1, 2), (0, 1, 2, 3, 4, 6, 8, 10, 12), (1, 2, 4, 26, 52)], ids=len)
@pytest.mark.parametrize("arms", [("placebo", "drug"), ("placebo", "cognitive behavioural therapy", "20 mg")], ids=len)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_written_overlaps_or_leaves_the_page(arms, weeks, name):
    figure = FIGURES[name].draw(of_size(arms, weeks))
    figure.draw_without_rendering()  # lays it out
    page, found = figure.get_window_extent(), list(written(figure))
    for i, (text, box) in enumerate(found):
        assert min(box.x0 - page.x0, page.x1 - box.x1, box.y0 - page.y0, page.y1 - box.y1) > -1, text
        for other, beside in found[:i]:
            across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
            along = min(box.y1, beside.y1) - max(box.y0, beside.y0)
            assert min(across, along) < 1, f"{text} lies on {other}"
