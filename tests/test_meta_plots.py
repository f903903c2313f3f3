"""Figures of meta-analyses: they show the numbers of the tables they are of, and only where they make sense."""

import dataclasses
import functools

import numpy as np
import pytest
from common import BCG

import bayesdep as bd
from bayesdep.criticism.influence import accumulate_studies, leave_out_each_study
from bayesdep.reporting.figures.meta import plot_cumulative, plot_funnel, plot_leave_one_out
from bayesdep.reporting.figures.register import FIGURES, applies, png

RATIOS = {"measure": "log-risk-ratio", "input": "counts", **BCG}
TRIALS = bd.load("bcg_colditz1994")


@functools.cache
def fit_of(name):
    model = {
        "plain": lambda: bd.Meta(**RATIOS),
        "selection": lambda: bd.SmallStudies(favours="negative", bias="pet", **RATIOS),
        "difference": lambda: bd.Meta(**{**RATIOS, "measure": "risk-difference"}),
    }[name]()
    return bd.fit(model, TRIALS, sampler="exact", draws=200, progress=False)


def points(axes):
    """Where the markers of an axes are, in the order of drawing."""
    return [line.get_xydata() for line in axes.lines if line.get_marker() == "o" and len(line.get_xydata())]


def test_leave_one_out_shows_its_table():
    fit = fit_of("plain")
    figure = plot_leave_one_out(fit)
    left, right = figure.axes
    found = leave_out_each_study(fit.model, fit.data)
    for axes, name in ((left, "mu"), (right, "tau")):
        rows = found[(found["estimand"] == name) & (found["left_out"] != "nothing")]
        np.testing.assert_allclose(points(axes)[0][:, 0], rows["median"])
        assert points(axes)[0][0, 1] == len(rows) - 1  # the first on top
    assert [t.get_text() for t in left.get_yticklabels()] == list(TRIALS["trial"])
    assert left.get_xlabel() == "risk ratio (95% intervals)"
    assert right.get_xlabel() == "log risk ratio (95% intervals)"


def test_cumulative_shows_its_table_in_order():
    fit = fit_of("plain")
    axes = plot_cumulative(fit, TRIALS, "year").axes[0]
    rows = accumulate_studies(fit.model, TRIALS, "year")
    rows = rows[rows["estimand"] == "mu"]
    np.testing.assert_allclose(points(axes)[0][:, 0], rows["median"])
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert labels[0] == "+ Aronson 1948"  # the label has its year
    by_latitude = plot_cumulative(fit, TRIALS, "absolute_latitude").axes[0]
    assert by_latitude.get_yticklabels()[0].get_text().endswith("(13)")
    plain = plot_cumulative(fit).axes[0]
    assert [t.get_text() for t in plain.get_yticklabels()] == [f"+ {t}" for t in TRIALS["trial"]]


@pytest.mark.parametrize("name", ["plain", "selection", "difference"])
def test_the_funnel_has_every_study_with_the_precise_ones_on_top(name):
    fit = fit_of(name)
    axes = plot_funnel(fit).axes[0]
    np.testing.assert_allclose(points(axes)[-1], np.stack([fit.data["effect"], fit.data["se"]], axis=1))
    bottom, top = axes.get_ylim()
    assert top == 0
    assert bottom > fit.data["se"].values.max()
    low, high = axes.get_xlim()
    assert low < fit.data["effect"].values.min() < fit.data["effect"].values.max() < high
    medians = bd.summarise(fit).set_index("estimand")["median"]
    verticals = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert medians["mu"] in verticals
    assert axes.get_xlabel() == ("risk difference" if name == "difference" else "risk ratio")


def test_the_register_draws_them_where_they_apply():
    for name, fit, expected in (
        ("leave_one_out", fit_of("plain"), True),
        ("leave_one_out", fit_of("selection"), False),
        ("funnel", fit_of("plain"), True),
        ("funnel", fit_of("selection"), True),
    ):
        assert applies(name, fit) == expected
        if expected:
            assert png(FIGURES[name].draw(fit))[:4] == b"\x89PNG"
    few = fit_of("plain")
    few = dataclasses.replace(few, data=few.data.isel(study=[0, 1]))
    assert not applies("leave_one_out", few)
    assert not applies("funnel", few)
    counts = bd.Counts(control="placebo", events="responders", pooling="none")
    other = bd.fit(counts, bd.load("raison2013_responders"), draws=100, progress=False)
    assert not any(applies(name, other) for name in ("leave_one_out", "funnel"))
