"""Figures of evidence of absence: posteriors over regions of practical equivalence, Bayes factors by prior width."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from bayesdep.criticism.bayes_factor import check_null
from bayesdep.criticism.equivalence import MOST_FACTORS, check_equivalence
from bayesdep.inference.fit import Fit
from bayesdep.inference.ropes import values_at
from bayesdep.reporting.figures.composing import BLUE, GREY, INK, RED, chosen_rows, serves, styled_figure
from bayesdep.reporting.figures.layout import legend_below
from bayesdep.reporting.figures.lettering import legend_word
from bayesdep.reporting.ranges import finite, limits, shown_of

_ROWS = 40
_CURVES = 8
_COLOURS = {"absent": BLUE, "undecided": GREY}


def has_ropes(fit: Fit) -> bool:
    """Tell whether regions of practical equivalence were stated for a fit.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    bool
        Whether :func:`plot_equivalence` has something to show.
    """
    return bool(fit.ropes)


def has_bayes_factors(fit: Fit) -> bool:
    """Tell whether an estimand with a region of practical equivalence has a Bayes factor.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    bool
        Whether :func:`plot_bayes_factors` has something to show.
    """
    return bool(fit.ropes) and bool(check_equivalence(fit)["bayes_factor"].notna().any())


@serves("equivalence", "fits with regions of practical equivalence (fit.with_ropes)", has_ropes)
def plot_equivalence(fit: Fit) -> Figure:
    """Draw posteriors over the regions in which effects are too small to matter, with the verdict.

    Parameters
    ----------
    fit
        A fit with regions of practical equivalence (``[[rope]]`` of a plan, or :meth:`~bayesdep.Fit.with_ropes`).

    Returns
    -------
    matplotlib.figure.Figure
        One panel per region, one row per value: median, 50% and 95% intervals over the region (grey), and on the right
        the probabilities of lying below, inside and above it. Blue: absent; red: present; grey: undecided.

    Raises
    ------
    BadInput
        When no region was stated.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> margin = bd.Rope(estimand="mu", margin=5, reason="too small to matter, for the example")
    >>> figure = bd.plot_equivalence(fit.with_ropes(margin))
    """
    table = check_equivalence(fit)
    counts = [sum(1 for _ in values_at(fit.estimands, rope.estimand, rope.at)) for rope in fit.ropes]
    firsts, wanted = np.cumsum([0, *counts]), chosen_rows(table)
    rows_of = [wanted[(wanted >= k) & (wanted < k + n)] - k for k, n in zip(firsts, counts, strict=False)]
    shown = [k for k, rows in enumerate(rows_of) if len(rows)]
    counts = [len(rows_of[k]) for k in shown]
    heights = [min(n, _ROWS) + 1.8 for n in counts]
    with styled_figure(fit, 6.8, min(0.9 + 0.26 * sum(heights), 26)) as figure:
        panels = figure.subplots(len(counts), 1, height_ratios=heights, squeeze=False)[:, 0]
        for axes, k in zip(panels, shown, strict=True):
            rope, those = fit.ropes[k], rows_of[k]
            draws = [values.values.ravel() for _, values in values_at(fit.estimands, rope.estimand, rope.at)]
            kept = those[shown_of(len(those), _ROWS)]
            figure.says_shown(len(kept), len(those), f"values of {rope.estimand} are shown: the first and the last")
            _panel(axes, table.iloc[firsts[k] + kept], [draws[row] for row in kept], rope.ends)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, draws: list[np.ndarray], ends: tuple[float, float]) -> None:
    """One region: its values from top to bottom."""
    dims = list(rows.columns[1 : rows.columns.get_loc("lower")])
    dims = [d for d in dims if (rows[d] != "").any()]
    axes.axvspan(*ends, color=GREY, alpha=0.22, lw=0, zorder=0)
    axes.axvline(0 if ends[0] <= 0 <= ends[1] else 1, color=GREY, lw=0.8, zorder=0)
    names, said = [], []
    inside = [*ends]
    for y, (_, row), values in zip(range(len(rows))[::-1], rows.iterrows(), draws, strict=True):
        names.append(", ".join(str(row[d]) for d in dims) or str(row["estimand"]))
        said.append("   ".join(f"{row[f'prob_{side}']:.2f}" for side in ("below", "inside", "above")))
        usable = finite(values)
        if not len(usable):
            continue
        low, q1, median, q3, high = np.quantile(usable, [0.025, 0.25, 0.5, 0.75, 0.975])
        colour = _COLOURS.get(row["conclusion"], RED)
        axes.hlines(y, low, high, color=colour, lw=1.2)
        axes.hlines(y, q1, q3, color=colour, lw=3.2)
        axes.plot(median, y, "o", ms=4, color="white", mec=INK, mew=0.9)
        inside += [low, high]
    axes.set_xlim(*limits(np.array(inside), room=0.05))
    places = np.arange(len(rows))[::-1]
    axes.set_yticks(places, names)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.tick_params(axis="y", length=0)
    right = axes.twinx()
    right.set_ylim(axes.get_ylim())
    right.set_yticks(places, said)
    right.tick_params(axis="y", length=0)
    right.spines["right"].set_visible(False)
    first = rows.iloc[0]
    axes.set_title(f"{first['estimand']}: P(below, inside, above {ends[0]:g} to {ends[1]:g})")
    axes.set_xlabel(str(first["units"]))


@serves(
    "bayes_factors",
    "fits with a region (fit.with_ropes) of an estimand that has a Bayes factor (bd.check_null says why one has none)",
    has_bayes_factors,
)
def plot_bayes_factors(fit: Fit) -> Figure:
    """Draw Bayes factors for no effect against the width of the effect's prior.

    Parameters
    ----------
    fit
        A fit with regions of practical equivalence, of whose estimands one has a Bayes factor.

    Returns
    -------
    matplotlib.figure.Figure
        A line for each value, with two Monte Carlo errors either way, from a quarter of the model's width to four times
        it; the filled point is the model's own. Above 1 the data speak for no effect, below 1 for one.

    Raises
    ------
    BadInput
        When none has one.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> margin = bd.Rope(estimand="mu", margin=5, reason="too small to matter, for the example")
    >>> figure = bd.plot_bayes_factors(fit.with_ropes(margin))
    """
    few = [r for r in fit.ropes if sum(1 for _ in values_at(fit.estimands, r.estimand, r.at)) <= MOST_FACTORS]
    tables = [check_null(fit, rope.estimand, at=rope.at) for rope in few]
    curves = [curve for table in tables for curve in _curves(table.iloc[chosen_rows(table)])]
    kept = shown_of(len(curves), _CURVES)
    with styled_figure(fit, 6.4, 3.6 + 0.14 * len(kept)) as figure:
        axes = figure.subplots()
        figure.says_shown(len(kept), len(curves), "Bayes factors are shown: the first and the last")
        for k, shade in zip(kept, np.linspace(1, 0.35, len(kept)), strict=True):
            name, curve = curves[k]
            value, error = curve["bayes_factor"], 2 * curve["error"]
            lower = np.maximum(value - error, value / 10)
            axes.fill_between(curve["width"], lower, value + error, color=BLUE, alpha=0.15, lw=0)
            axes.plot(curve["width"], value, "o-", ms=4, lw=1.4, color=BLUE, alpha=shade, mfc="white",
                      label=legend_word(name))  # fmt: skip
            own = curve[curve["width"] == 1]
            axes.plot(own["width"], own["bayes_factor"], "o", ms=5, color=BLUE, alpha=shade)
        axes.set_xscale("log")
        axes.set_yscale("log")
        _reference(axes)
        axes.set_xlabel("width of the effect's prior, in multiples of the model's own")
        axes.set_ylabel("Bayes factor for no effect")
        legend_below(figure, axes.get_legend_handles_labels(), 1)
    return figure


def _curves(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Each value's Bayes factors that are known, with its name and prior."""
    dims = list(table.columns[1 : table.columns.get_loc("width")])
    groups = table.groupby(dims, sort=False) if dims else [((), table)]
    found = []
    for labels, rows in groups:
        known = rows[rows["bayes_factor"].notna()]
        if len(known):
            at = f"[{', '.join(map(str, labels))}]" if dims else ""
            own = rows.loc[rows["width"] == 1, "prior"].iloc[0]
            found.append((f"{rows['estimand'].iloc[0]}{at}, the model's own prior {own}", known))
    return found


def _reference(axes: Axes) -> None:
    """Lines at 1, and at 3 and 10 either way; ticks as plain numbers."""
    low, high = axes.get_ylim()
    low, high = min(low, 1 / 3.5), max(high, 3.5)
    axes.set_ylim(low, high)
    axes.axhline(1, color=INK, lw=0.9, zorder=0)
    for level in (1 / 10, 1 / 3, 3, 10):
        if low <= level <= high:
            axes.axhline(level, color=GREY, lw=0.7, ls=":", zorder=0)
    decades = np.arange(np.ceil(np.log10(low)), np.floor(np.log10(high)) + 1)
    ticks = sorted({*(10.0**decades), *(t for t in (1 / 3, 1.0, 3.0) if low <= t <= high)})
    axes.set_yticks(ticks if len(ticks) < 9 else 10.0**decades)
    axes.set_xticks([0.25, 0.5, 1, 2, 4])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.3g}" if v >= 1 else f"1/{1 / v:.3g}"))
        axis.set_minor_locator(NullLocator())
