"""Figures of ordinal outcomes: probabilities of categories by arm and visit, and monotone effects step by step."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayesdep.inference.fit import Fit
from bayesdep.models.ordinal.estimands import counts_by_cell, monotone_curve
from bayesdep.models.ordinal.settings import OrdinalSettings
from bayesdep.reporting.figures.composing import (
    BLUE,
    GREY,
    INK,
    chosen,
    derives,
    serves,
    settings_of_kind,
    styled_figure,
)
from bayesdep.reporting.figures.layout import legend_below
from bayesdep.reporting.ranges import MOST_PANELS

_COLOURS = LinearSegmentedColormap.from_list("categories", ["#f4f6f9", "#c5d6e6", "#8db2d2", "#4f88bb"])
_MOST_VISITS = 24  # bars that have room along a panel
_BAR = 0.78


@serves("categories", "ordinal outcomes")
def plot_categories(fit: Fit) -> Figure:
    """Draw the probability of every category by arm and visit.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.ordinal.model.Ordinal`.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per arm; a bar per visit, stacked from the best category at the foot to the worst: posterior means. At
        every boundary the 95% interval of the probability of a category or better, and a point where the share of
        those observed is.

    Examples
    --------
    >>> import bayesdep as bd
    >>> import pandas as pd
    >>> categories = ["remission", "response", "neither"]
    >>> rows = [(f"p{i}", "drug" if i % 2 else "placebo", i % 4, categories[i % 3]) for i in range(48)]
    >>> patients = pd.DataFrame(rows, columns=["subject", "arm", "stage", "state"])  # made up
    >>> columns = {"outcome": "state", "visit": None, "covariates": "mo(stage)"}
    >>> model = bd.Ordinal(categories=categories, reference="placebo", **columns)
    >>> fit = bd.fit(model, patients)  # doctest: +SKIP
    >>> figure = bd.plot_categories(fit)  # doctest: +SKIP
    """
    settings_of_kind(fit, OrdinalSettings)
    data, probability = fit.data, fit.estimands["probability"]
    arms, visits, categories = (data[dim].values for dim in ("arm", "visit", "category"))
    wanted = chosen("arm", arms)
    count = min(len(wanted), MOST_PANELS)
    columns = 1 if count == 1 else 2
    shown = np.unique(np.linspace(0, len(visits) - 1, min(len(visits), _MOST_VISITS)).round().astype(int))
    colours = _COLOURS(np.linspace(0, 1, len(categories)))
    observed = counts_by_cell(data)
    with styled_figure(fit, 6.6, 0.8 + 2.7 * -(-count // columns)) as figure:
        figure.says_shown(count, len(wanted), "arms are shown, the first of the table")
        figure.says_shown(len(shown), len(visits), "visits are shown, evenly from the first to the last")
        grid = figure.subplots(-(-count // columns), columns, squeeze=False, sharey=True)
        for unused in grid.flat[count:]:
            unused.remove()
        for a, axes in zip(wanted, grid.flat[:count], strict=False):
            means = probability.isel(arm=a, visit=shown).mean(("chain", "draw")).transpose("visit", "category").values
            _stacks(axes, means, colours)
            up_to = fit.estimands["at_or_better"].isel(arm=a, visit=shown).transpose("chain", "draw", "visit", "up_to")
            _boundaries(axes, up_to.values.reshape(-1, *up_to.shape[2:]), observed[a, shown])
            axes.set_xticks(range(len(shown)), [str(x) for x in visits[shown]])
            if fit.model.visit is not None:  # type: ignore[attr-defined]  # settings_of_kind has seen to it
                axes.set_xlabel(str(fit.model.visit))  # type: ignore[attr-defined]  # as above
            else:
                axes.set_xticks([])
            if len(arms) > 1:
                axes.set_title(str(arms[a]))
        for line in grid:
            line[0].set_ylabel("probability")
        handles: list[Any] = [Patch(facecolor=colour, edgecolor=GREY, lw=0.5) for colour in colours]
        handles.append(Line2D([], [], color=INK, marker="o", ms=4, mfc="white", mec=INK, lw=1))
        legend_below(figure, (handles, [*map(str, categories), "observed, and 95% interval"]), 4)
    return figure


def _stacks(axes: Axes, means: np.ndarray, colours: np.ndarray) -> None:
    """Bars of the categories' mean probabilities, shape (visit, category)."""
    tops = np.cumsum(means, axis=1)
    for k, colour in enumerate(colours):
        axes.bar(
            range(len(means)), means[:, k], _BAR, bottom=tops[:, k] - means[:, k], color=colour, edgecolor=GREY, lw=0.5
        )
    axes.set_ylim(0, 1)
    axes.set_xlim(-0.6, len(means) - 0.4)


def _boundaries(axes: Axes, up_to: np.ndarray, counts: np.ndarray) -> None:
    """Intervals of probabilities at or below each category, (sample, visit, up_to), and shares of counts."""
    lower, upper = np.quantile(up_to, [0.025, 0.975], axis=0)
    people = counts.sum(axis=1)
    many = lower.shape[1]
    for k in range(many):
        x = np.arange(len(lower)) + (k - (many - 1) / 2) * min(0.18, 0.6 / many)
        axes.vlines(x, lower[:, k], upper[:, k], color=INK, lw=1)
        seen = people > 0
        share = counts[seen, : k + 1].sum(axis=1) / people[seen]
        axes.plot(x[seen], share, "o", ms=4, mfc="white", mec=INK, mew=0.9, zorder=3)


@serves("monotone", "ordinal outcomes with a monotone effect of three levels or more", derives("increment"))
def plot_monotone(fit: Fit) -> Figure:
    """Draw monotone effects: how much of an effect is reached at each level, and each step's share of it.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.ordinal.model.Ordinal` with a monotone effect.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per ordered predictor with three levels or more. Line and band: posterior mean and 95% interval of the
        share of the effect that is reached at a level. Bars: each step's share, with its 95% interval.

    Examples
    --------
    >>> import bayesdep as bd
    >>> import pandas as pd
    >>> categories = ["remission", "response", "neither"]
    >>> rows = [(f"p{i}", "drug" if i % 2 else "placebo", i % 4, categories[i % 3]) for i in range(48)]
    >>> patients = pd.DataFrame(rows, columns=["subject", "arm", "stage", "state"])  # made up
    >>> columns = {"outcome": "state", "visit": None, "covariates": "mo(stage)"}
    >>> model = bd.Ordinal(categories=categories, reference="placebo", **columns)
    >>> fit = bd.fit(model, patients)  # doctest: +SKIP
    >>> figure = bd.plot_monotone(fit)  # doctest: +SKIP
    """
    settings_of_kind(fit, OrdinalSettings)
    data = fit.data
    steps = np.bincount(data["ordered_of_step"].values)
    places = np.flatnonzero(steps > 1)
    count = min(len(places), MOST_PANELS)
    with styled_figure(fit, 6.6, 0.6 + 2.6 * count) as figure:
        figure.says_shown(count, len(places), "ordered predictors are shown")
        panels = figure.subplots(count, 1, squeeze=False)[:, 0]
        for place, axes in zip(places, panels, strict=False):
            curve = monotone_curve(fit.posterior, data, int(place))
            values = curve.values.reshape(-1, curve.shape[-1])
            names = [str(x).split(": ", 1) for x in curve["level"].values]
            _reached(axes, values, [level for _, level in names])
            axes.set_xlabel(names[0][0])
            axes.set_ylabel("share of the effect")
        handles = [
            Line2D([], [], color=BLUE, lw=1.6, marker="o", ms=4),
            Patch(color=BLUE, alpha=0.22, lw=0),
            Patch(facecolor=GREY, alpha=0.6, lw=0),
        ]
        legend_below(figure, (handles, ["reached at a level", "95% interval", "of each step, with 95% interval"]), 3)
    return figure


def _reached(axes: Axes, values: np.ndarray, levels: list[str]) -> None:
    """The share of an effect reached at every level, shape (sample, level), and steps as bars between levels."""
    x = np.arange(len(levels))
    steps = np.diff(values, axis=1)
    low, high = np.quantile(steps, [0.025, 0.975], axis=0)
    axes.bar(x[1:] - 0.5, steps.mean(axis=0), 0.5, color=GREY, alpha=0.6)
    axes.vlines(x[1:] - 0.5, low, high, color=INK, lw=1)
    lower, upper = np.quantile(values, [0.025, 0.975], axis=0)
    axes.fill_between(x, lower, upper, color=BLUE, alpha=0.22, lw=0)
    axes.plot(x, values.mean(axis=0), color=BLUE, lw=1.6, marker="o", ms=4)
    axes.set_xticks(x, levels)
    axes.set_ylim(-0.02, 1.02)
