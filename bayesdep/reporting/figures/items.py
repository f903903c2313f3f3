"""Figure of a scale item by item: differences in every item, and what an arm changes beyond severity."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayesdep.inference.fit import Fit
from bayesdep.models.items.settings import ItemsSettings
from bayesdep.reporting.figures.common import ratio_axis
from bayesdep.reporting.figures.composing import BLUE, GREY, INK, RED, chosen, serves, settings_of_kind, styled_figure
from bayesdep.reporting.figures.layout import legend_below
from bayesdep.reporting.ranges import MOST_ROWS, finite, limits

_COLOURS = (INK, BLUE, GREY, RED)  # of values of the moderator and of its mean, or of arms
_MOST = 3  # values or arms
_ROW = 0.3


@serves("items", "scales item by item")
def plot_items(fit: Fit) -> Figure:
    """Draw the difference between arms in every item, and its odds ratio beyond what severity explains.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.items.model.Items`.

    Returns
    -------
    matplotlib.figure.Figure
        A row per item. Left: differences of means at the last visit, medians with 95% intervals, one colour per value
        of the moderator, or per arm where there is none. Right: odds ratios of a worse score beyond severity, of the
        same arms; with a moderator at its mean, in a colour of their own.

    Examples
    --------
    >>> import bayesdep as bd
    >>> scores = bd.simulate("raison2013_items", seed=1).table  # synthetic
    >>> items = {"depressed mood": 4, "guilt": 4, "insomnia early": 2}
    >>> model = bd.Items(reference="placebo", items=items, visit="week", moderator="crp")
    >>> fit = bd.fit(model, scores)  # doctest: +SKIP
    >>> figure = bd.plot_items(fit)  # doctest: +SKIP
    """
    settings = settings_of_kind(fit, ItemsSettings)
    wanted = chosen("item", fit.data["item"].values)
    shown = wanted[:MOST_ROWS]
    items = fit.data["item"].values[shown]
    along = bool(settings.at)
    found = fit.estimands["item_difference_at" if along else "item_difference"].isel(item=shown)
    if along:
        found = found.isel(comparison=0, drop=True)
    dim = "moderator_value" if along else "comparison"
    labels = found[dim].values[:_MOST]
    ratio = fit.estimands["departure_odds_ratio"].isel(item=shown)
    beyond = ratio.copy(data=np.log(ratio.values))
    arms = beyond["comparison"].values[: 1 if along else _MOST]
    with styled_figure(fit, 7.4, max(2.4, _ROW * len(items) + 1.4)) as figure:
        figure.says_shown(len(items), len(wanted), "items are shown, the first")
        figure.says_shown(len(labels), found.sizes[dim], "values or arms are shown, the first")
        left, right = figure.subplots(1, 2, sharey=True)
        _rows(left, [found.isel({dim: k}) for k in range(len(labels))], _COLOURS)
        left.set_xlabel("difference in an item's mean, points")
        _rows(
            right, [beyond.isel(comparison=k) for k in range(len(arms))], _COLOURS[len(labels) :] if along else _COLOURS
        )
        ratio_axis(right)
        mean = "mean logarithm" if settings.moderator_form == "log" else "mean"
        at = f", at the {mean} of {settings.moderator}" if along else ""
        right.set_xlabel(f"odds ratio of a worse score beyond severity{at}")
        left.set_yticks(range(len(items)), [str(x) for x in items])
        left.set_ylim(len(items) - 0.5, -0.5)
        handles: list[Any] = [Line2D([], [], color=c, marker="o", ms=4, lw=1.3) for c in _COLOURS[: len(labels)]]
        names = [f"{settings.moderator} {x}" for x in labels] if along else [str(x) for x in labels]
        legend_below(figure, (handles, names), 3)
    return figure


def _rows(axes: Axes, found: list[xr.DataArray], colours: tuple[str, ...]) -> None:
    """A row per item with one interval for each of some posteriors."""
    axes.axvline(0, color=GREY, lw=0.9)
    ends = []
    for k, draws in enumerate(found):
        values = draws.transpose("chain", "draw", "item").values
        lower, middle, upper = np.quantile(values.reshape(-1, values.shape[-1]), [0.025, 0.5, 0.975], axis=0)
        y = np.arange(len(middle)) + 0.2 * (k - (len(found) - 1) / 2)
        axes.hlines(y, lower, upper, color=colours[k], lw=1.3)
        axes.plot(middle, y, "o", ms=3.5, color=colours[k])
        ends += [lower, upper]
    axes.set_xlim(*limits(finite(np.concatenate(ends)), 0.0, room=0.05))
