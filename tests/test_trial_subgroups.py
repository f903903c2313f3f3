"""Figure of a trial's subgroups: rows, intervals and words are what the estimands and the data say."""

import numpy as np
import pytest
from test_trial_plots import ASKED, made, table, texts

from bayesdep.reporting.estimands import summarise
from bayesdep.reporting.figures import trial_subgroups


@pytest.fixture(scope="module")
def fit():
    return made(table(), moderator_form="log-quadratic", at=[1, 3], covariates="age", **ASKED)


def blocks(fit):
    """Panels of the subgroup figure by line: labels and counts, intervals, words."""
    axes = trial_subgroups.plot_subgroups(fit).axes
    return [axes[i : i + 3] for i in range(0, len(axes), 3)]


def test_a_row_per_subgroup_and_one_of_all_with_their_patients_by_arm(fit):
    left, _, _ = blocks(fit)[0]
    assert [label.get_text() for label in left.get_yticklabels()] == [
        "crp > 1",
        "crp \u2264 1",
        "crp > 3",
        "all patients",
    ]
    assert [label.get_text() for label in left.get_xticklabels()] == ["drug", "placebo"]
    people = table().drop_duplicates("subject")
    counted = {}
    for text in left.texts:
        x, y = text.get_position()
        counted[x, y] = int(text.get_text())
    for y, rows in enumerate((people["crp"] > 1, people["crp"] <= 1, people["crp"] > 3, people["crp"] > 0)):
        for x, arm in enumerate(("drug", "placebo")):
            assert counted[x, y] == (rows & (people["arm"] == arm)).sum()


def test_intervals_are_the_estimands_at_the_last_visit(fit):
    found = fit.estimands.isel(comparison=0)
    wanted = [found["difference_in"].isel(visit=-1, subgroup=g) for g in range(3)]
    wanted.append(found["difference"].isel(visit=-1))
    draws = np.array([w.values.ravel() for w in wanted])
    _, middle, right = blocks(fit)[0]
    for lines, ends in zip(middle.collections, ([0.025, 0.975], [0.25, 0.75]), strict=True):
        drawn = [segment[:, 0] for segment in lines.get_segments()]
        np.testing.assert_allclose(drawn, np.quantile(draws, ends, axis=1).T)
    points = {y: x for line in middle.lines if line.get_marker() in "oD" for x, y in zip(*line.get_data(), strict=True)}
    np.testing.assert_allclose([points[y] for y in range(4)], np.median(draws, axis=1))
    assert middle.get_ylim()[0] > middle.get_ylim()[1]  # rows are read from above, as labels and words are
    assert middle.get_xlabel() == "points\n\u2190 favours drug    favours placebo \u2192"
    wanted = [found["standardised_difference_in"].isel(subgroup=g) for g in range(3)]
    wanted.append(found["standardised_difference"].isel(visit=-1))
    said = [np.quantile(w, [0.5, 0.025, 0.975]) for w in wanted]
    assert texts(right) == [f"{median:.2f} ({lower:.2f} to {upper:.2f})" for median, lower, upper in said]


@pytest.mark.parametrize(("line", "name"), [(1, "response"), (2, "remission")])
def test_rates_stand_beside_their_difference_and_the_number_needed_to_treat(fit, line, name):
    left, middle, right = blocks(fit)[line]
    groups = ["> 1", "<= 1", "> 3", "all"]
    rate = fit.estimands[f"{name}_rate"].median(("chain", "draw"))
    wanted = [f"{float(rate.sel(arm=arm, group=g)):.2f}" for arm in ("drug", "placebo") for g in groups]
    assert texts(left) == wanted
    draws = fit.estimands[f"{name}_difference"].isel(comparison=0)
    drawn = [segment[:, 0] for segment in middle.collections[0].get_segments()]
    np.testing.assert_allclose(drawn, [np.quantile(draws.sel(group=g), [0.025, 0.975]) for g in groups])
    assert middle.get_xlabel() == "risk difference\n\u2190 favours placebo    favours drug \u2192"
    summary = summarise(fit)
    summary = summary[summary["estimand"] == f"{name}_nnt"].set_index("group")
    for group, text in zip(groups, texts(right), strict=True):
        number, interval = text.split("\n")
        middle_of = float(np.median(draws.sel(group=group)))
        assert number == f"{'benefit' if middle_of > 0 else 'harm'} {abs(1 / middle_of):.1f}"
        assert interval == f"({summary.loc[group, 'interval']})"
        crosses = np.quantile(draws.sel(group=group), 0.025) < 0 < np.quantile(draws.sel(group=group), 0.975)
        assert ("\u221e" in interval) == crosses


def test_only_what_was_asked_for_has_a_panel_and_every_comparison_its_own():
    asked = {**ASKED, "response": None, "remission": None}
    assert len(blocks(made(table(), **asked))) == 1
    arms = ("placebo", "10 mg", "20 mg")
    found = blocks(made(table(arms, people=60), **{**ASKED, "remission": None}))
    titles = [middle.get_title(loc="left") for _, middle, _ in found]
    rate = "response: 50% lower at any visit"
    assert titles == ["10 mg less placebo at visit 12", rate, "20 mg less placebo at visit 12", rate]
    assert found[0][1].get_xlim() == found[2][1].get_xlim()
    assert [label.get_text() for label in found[2][0].get_xticklabels()] == ["20 mg", "placebo"]
