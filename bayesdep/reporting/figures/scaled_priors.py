"""Figure of what each prior does: primary estimands as one prior is weakened and strengthened."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bayesdep.criticism.each_prior import ALL, Groups, check_each_prior, scale_priors
from bayesdep.criticism.sensitivity import DEPENDS
from bayesdep.inference.fit import Fit
from bayesdep.numerics.importance import GOOD_K
from bayesdep.reporting.figures.composing import BLUE, GREY, INK, RED, chosen, serves, styled_figure
from bayesdep.reporting.figures.layout import legend_below
from bayesdep.reporting.ranges import limits

_ROWS, _COLUMNS = 3, 4  # of panels


def has_scaled_priors(fit: Fit) -> bool:
    """Tell whether a fit has a prior to scale, and a primary estimand that may move with it.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    bool
        Whether :func:`plot_scaled_priors` has something to show.
    """
    return not check_each_prior(fit).empty


@serves("scaled_priors", "fits with a prior and a primary estimand that is a number", has_scaled_priors)
def plot_scaled_priors(fit: Fit, groups: Groups | None = None) -> Figure:
    """Draw how primary estimands move as one prior is weakened and strengthened, the others left as they are.

    Parameters
    ----------
    fit
        Any fit.
    groups
        Priors that are scaled together, as in :func:`check_each_prior`; each prior on its own unless given.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each value of a primary estimand, a column for each prior: median (line) and 95% interval (band)
        against the power to which the prior is raised, and at the head of a panel its sensitivity (bold above 0.05)
        with the largest Pareto k of the weights. Red crosses: k is above 0.7, and what is drawn there is not to be
        trusted. Of many rows and priors the most sensitive ones; ``select={"prior": [...], "estimand": [...]}`` chooses
        others.

    Raises
    ------
    BadInput
        When a group names a prior that the fit does not have.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> figure = bd.plot_scaled_priors(fit)
    """
    checked, moved = check_each_prior(fit, groups), scale_priors(fit, groups)
    for table in (checked, moved):
        table["estimand"] = _labels(table)
    known = checked.assign(sensitivity=checked["sensitivity"].fillna(0.0))  # of a few values it is not defined
    by = known.pivot_table(index="estimand", columns="prior", values="sensitivity", sort=False)
    rows, columns = (list(found) for found in (by.index, by.columns))
    rows = [rows[k] for k in chosen("estimand", rows)]
    columns = [columns[k] for k in chosen("prior", columns)]
    by = by.loc[rows, columns]
    shown = _most(rows, by.max(axis=1), _ROWS)
    singles = [name for name in columns if name != ALL]
    kept = _most(singles, by.loc[shown, singles].max(), _COLUMNS - (ALL in columns))
    priors = [name for name in columns if name == ALL or name in kept]
    width, height = 1.7 * len(priors) + 0.9, 1.75 * len(shown) + 0.8
    with styled_figure(fit, max(width, 3.6), height) as figure:
        figure.says_shown(len(shown), len(rows), "primary estimands are shown: the most sensitive")
        figure.says_shown(len(kept), len(singles), "priors are shown: the most sensitive")
        grid = figure.subplots(len(shown), len(priors), squeeze=False, sharey="row")
        for axes, prior in zip(grid[0], priors, strict=True):
            axes.set_title(prior)
        for axes in grid[-1]:
            axes.set_xlabel("power of the prior")
        for line, estimand in zip(grid, shown, strict=True):
            for axes, prior in zip(line, priors, strict=True):
                course = moved[(moved["estimand"] == estimand) & (moved["prior"] == prior)]
                row = checked[(checked["estimand"] == estimand) & (checked["prior"] == prior)].iloc[0]
                _panel(axes, course, row)
            of_row = moved[(moved["estimand"] == estimand) & moved["prior"].isin(priors)]
            line[0].set_ylim(*limits(of_row["lower"].to_numpy(), of_row["upper"].to_numpy(), room=0.16))
            units = str(of_row["units"].iloc[0])
            name, _, labels = estimand.removesuffix("]").partition("[")
            line[0].set_ylabel("\n".join(word for word in (name, labels, units) if word))
        handles = [Line2D([], [], color=BLUE, lw=1.4), Patch(color=BLUE, alpha=0.2, lw=0), Line2D([], [], lw=0)]
        named = ["median", "95% interval", "in a panel: sensitivity (Pareto k)"]
        if (moved["pareto_k"] > GOOD_K).any():
            handles.append(Line2D([], [], color=RED, marker="x", lw=0, ms=6))
            named.append(f"Pareto k above {GOOD_K}: not to be trusted")
        legend_below(figure, (handles, named), 3)
    return figure


def _labels(table: pd.DataFrame) -> list[str]:
    pairs = zip(table["estimand"], table["at"], strict=True)
    return [f"{name}[{at}]" if at else str(name) for name, at in pairs]


def _most(names: list[str], sensitivity: "pd.Series[float]", count: int) -> list[str]:
    """The most sensitive ones, in their own order."""
    ranked = sorted(names, key=lambda name: -float(sensitivity[name]))[:count]
    return [name for name in names if name in ranked]


def _panel(axes: Axes, course: pd.DataFrame, row: "pd.Series[Any]") -> None:
    """One estimand against the power of one prior."""
    power = course["power"].to_numpy()
    axes.fill_between(power, course["lower"], course["upper"], color=BLUE, alpha=0.2, lw=0)
    axes.plot(power, course["median"], color=BLUE, lw=1.4)
    bad = course[course["pareto_k"] > GOOD_K]
    for column in ("lower", "median", "upper"):
        axes.plot(bad["power"], bad[column], "x", color=RED, ms=6)
    axes.axvline(1, color=GREY, lw=0.7, ls=":", zorder=0)
    for value in course.loc[course["power"] == 1, ["lower", "median", "upper"]].to_numpy(dtype=float).ravel():
        axes.axhline(float(value), color=GREY, lw=0.7, ls=":", zorder=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([float(power.min()), 1.0, float(power.max())]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    depends = row["diagnosis"] == DEPENDS
    worst = float(np.max(course["pareto_k"]))
    said = f"{row['sensitivity']:.3f}" + ("" if worst < -9 else f" ({worst:.2f})")
    axes.annotate(
        said, (1, 1), (-2, -2), xycoords="axes fraction", textcoords="offset points", ha="right", va="top",
        fontsize=7.5, color=INK, fontweight="bold" if depends else "normal",
    )  # fmt: skip
