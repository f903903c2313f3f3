"""Figures of meta-analyses: leave-one-out, cumulative analysis, funnel, and correlated sampling errors."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.special import ndtri

from bayesdep.criticism.influence import accumulate_studies, leave_out_each_study
from bayesdep.data.errors import BadInput
from bayesdep.inference.fit import Fit
from bayesdep.models.model import HasHierarchy
from bayesdep.reporting.estimands import summarise
from bayesdep.reporting.figures.common import ratio_axis
from bayesdep.reporting.figures.composing import BLUE, GREY, INK, RED, chosen, serves, styled_figure
from bayesdep.reporting.figures.layout import legend_below
from bayesdep.reporting.ranges import limits, shown_of

_LEVELS = (0.1, 0.05, 0.01)  # two-sided P values between which a funnel's contours lie
_SHADES = ("#c9c9c9", "#dddddd", "#efefef")  # for P between 1 and 0.1, 0.1 and 0.05, 0.05 and 0.01; white beyond
_CORRELATIONS = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
_QUANTILES = np.array([0.025, 0.5, 0.975])
_MANY = 60  # units beyond which a leave-one-out figure is unreadable


def has_leave_one_out(fit: Fit) -> bool:
    """Say whether the posterior of a meta-analysis is known by quadrature, and its units are not too many.

    Parameters
    ----------
    fit
        A fit whose model lists this figure.

    Returns
    -------
    bool
        Whether :func:`plot_leave_one_out` is to be in a report.
    """
    return _is_known(fit) and fit.data.sizes[fit.model.left_out] <= _MANY


def _is_known(fit: Fit) -> bool:
    """Whether it is of a meta-analysis of some units whose posterior is known by quadrature."""
    if not isinstance(fit.model, HasHierarchy) or fit.data.sizes[fit.model.left_out] < 3:
        return False
    return fit.model.hierarchy(fit.data) is not None


def has_funnel(fit: Fit) -> bool:
    """Say whether a meta-analysis has three or more effects with standard errors.

    Parameters
    ----------
    fit
        A fit whose model lists this figure.

    Returns
    -------
    bool
        Whether :func:`plot_funnel` applies.
    """
    return "se" in fit.data and fit.data["se"].size > 2


@serves("leave_one_out", "meta-analyses of three or more effects with normal errors", _is_known)
def plot_leave_one_out(fit: Fit) -> Figure:
    """Draw the pooled effect and the spread without each unit in turn.

    Parameters
    ----------
    fit
        A fit of a Gaussian :class:`~bayesdep.models.meta.model.Meta`.

    Returns
    -------
    matplotlib.figure.Figure
        Left: posterior median and 95% interval of the pooled effect without each unit; the band is that of all. Right:
        the same of the standard deviation between units.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> figure = bd.plot_leave_one_out(fit)
    """
    model = _meta(fit)
    table = leave_out_each_study(model, fit.data)
    rows = table[table["estimand"] == "mu"].reset_index(drop=True)
    spread = table[table["estimand"] == "tau"].reset_index(drop=True)
    wanted = chosen(model.left_out, rows["left_out"].iloc[1:])
    count = len(wanted)
    shown = np.concatenate([[0], 1 + wanted[shown_of(count)]])  # the first is that of all
    rows, spread = rows.iloc[shown], spread.iloc[shown]
    with styled_figure(fit, 6.8, 1.2 + 0.22 * len(rows)) as figure:
        figure.says_shown(len(rows) - 1, count, f"{model.left_out} rows are shown: the first and the last of the table")
        left, right = figure.subplots(1, 2, width_ratios=(1.6, 1), sharey=True)
        for axes, estimates, name in ((left, rows, "pooled effect"), (right, spread, "sd between")):
            _intervals(axes, estimates.iloc[1:], of_all=estimates.iloc[:1])
            axes.set_title(f"{name}, without ...", fontsize=8.5)
        _label(left, model, list(rows["left_out"].iloc[1:]))
        right.set_xlabel(f"{model.effect_units} (95% intervals)", fontsize=8)
        right.set_xlim(0, None)
        right.tick_params(axis="y", length=0)
        handles = [Line2D([], [], marker="o", ms=4, color=BLUE, lw=1.6), Patch(color=GREY, alpha=0.3, lw=0)]
        legend_below(figure, (handles, ["without this one", "all"]), 2)
    return figure


@serves("leave_one_out", "meta-analyses of three or more effects with normal errors", _is_known)
def plot_cumulative(fit: Fit, table: Any = None, by: str | None = None) -> Figure:
    """Draw the pooled effect as studies came in, one after another.

    Parameters
    ----------
    fit
        A fit of a Gaussian :class:`~bayesdep.models.meta.model.Meta`.
    table, by
        The table and the column whose order the studies enter in; the fit's own data in their order unless given.

    Returns
    -------
    matplotlib.figure.Figure
        Posterior median and 95% interval of the pooled effect (blue) and of the effect in a new unit (pale), the first
        study on top.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> figure = bd.plot_cumulative(fit)
    """
    model = _meta(fit)
    steps = accumulate_studies(model, fit.data if table is None else table, by)
    rows = steps[steps["estimand"] == "mu"].reset_index(drop=True)
    new = steps[steps["estimand"] == "theta_new"].reset_index(drop=True)
    wanted = chosen("added", rows["added"])
    count, shown = len(wanted), wanted[shown_of(len(wanted))]
    rows, new = rows.iloc[shown], new.iloc[shown]
    with styled_figure(fit, 6.4, 1.2 + 0.22 * len(rows)) as figure:
        figure.says_shown(len(rows), count, "steps are shown: the first and the last")
        axes = figure.add_subplot()
        y = np.arange(len(rows))[::-1]
        axes.hlines(y, new["lower"], new["upper"], color=BLUE, lw=4, alpha=0.2)
        _intervals(axes, rows)
        axes.set_xlim(*limits(rows[["lower", "upper"]].to_numpy()[1:], 0.0, room=0.2))  # one study's may run off
        values = rows[by].astype(str) if by is not None else [""] * len(rows)
        # a label often holds its year already
        names = [f"+ {n}" + (f" ({v})" if v not in n else "") for n, v in zip(rows["added"], values, strict=True)]
        _label(axes, model, names)
        handles = [Line2D([], [], marker="o", ms=4, color=BLUE, lw=1.6), Line2D([], [], color=BLUE, lw=4, alpha=0.2)]
        legend_below(figure, (handles, ["pooled effect", f"new {model.unit}"]), 2)
    return figure


@serves("funnel", "meta-analyses of three or more effects with standard errors", has_funnel)
def plot_funnel(fit: Fit) -> Figure:
    """Draw a contour-enhanced funnel plot (Peters et al. 2008, doi:10.1016/j.jclinepi.2007.11.010).

    Parameters
    ----------
    fit
        A fit of effects with standard errors.

    Returns
    -------
    matplotlib.figure.Figure
        Each study by effect and standard error, precise ones on top, over shades of two-sided P values: if publication
        depended on P, missing studies would lie in the shaded region. Lines: the pooled effect and where 95% of
        studies would be expected around it.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> figure = bd.plot_funnel(fit)
    """
    data = fit.data
    effect, se = data["effect"].values, data["se"].values
    table = summarise(fit)
    median = dict(zip(table["estimand"], table["median"], strict=True))
    mu, tau = median["mu"], median["tau"]
    top = 1.08 * se.max()
    beyond = 1.96 * np.hypot(top, tau)
    ends = limits(effect, mu, 0.0, mu - beyond, mu + beyond, room=0.05)
    with styled_figure(fit, 6.0, 4.2) as figure:
        axes = figure.add_subplot()
        heights = np.linspace(0, top, 201)
        _shade_p_values(axes, heights)
        half = 1.96 * np.hypot(heights, tau)
        for side in (-1, 1):
            axes.plot(mu + side * half, heights, color=BLUE, lw=1, ls="--")
        axes.axvline(mu, color=BLUE, lw=1.4)
        axes.axvline(0, color=INK, lw=0.7)
        axes.plot(effect, se, "o", ms=5, mfc=RED, mec="white", mew=0.8)
        axes.set_ylim(top, 0)
        axes.set_xlim(*ends)
        units = str(data["effect"].attrs["units"])
        if fit.model.forest.is_log:
            ratio_axis(axes)
            units = units.removeprefix("log ")
        axes.set_xlabel(units)
        axes.set_ylabel("standard error")
        names = ["P > 0.1", "0.1 to 0.05", "0.05 to 0.01"]
        handles: list[Any] = [Patch(color=shade, lw=0) for shade in _SHADES]
        handles += [Line2D([], [], color=BLUE, lw=1.4), Line2D([], [], color=BLUE, lw=1, ls="--")]
        labels = [*names, "pooled effect", "95% of studies"]
        legend_below(figure, (handles, labels), 3)
    return figure


def _shade_p_values(axes: Axes, se: np.ndarray) -> None:
    """Shade where an effect with each standard error has a two-sided P value between the contours' levels."""
    z = [0.0, *(-ndtri(p / 2) for p in _LEVELS)]
    for inner, outer, shade in zip(z, z[1:], _SHADES, strict=False):
        for side in (-1, 1):
            axes.fill_betweenx(se, side * inner * se, side * outer * se, color=shade, lw=0)


def has_within_correlation(fit: Fit) -> bool:
    """Say whether the posterior is known by quadrature, whatever the correlation of sampling errors is.

    Parameters
    ----------
    fit
        A fit whose model lists this figure.

    Returns
    -------
    bool
        Whether :func:`plot_within_correlation` applies.
    """
    return isinstance(fit.model, HasHierarchy) and fit.model.hierarchy(fit.data) is not None


@serves("within_correlation", "meta-analyses with within_correlation whose posterior is known", has_within_correlation)
def plot_within_correlation(fit: Fit) -> Figure:
    """Draw the pooled effect and the spread against the correlation of sampling errors that was stated.

    Parameters
    ----------
    fit
        A fit of a Gaussian :class:`~bayesdep.models.meta.model.Meta` with ``within_correlation``.

    Returns
    -------
    matplotlib.figure.Figure
        Posterior medians and 95% intervals by quadrature at correlations from 0 to 0.8; the line marks the one stated.

    Examples
    --------
    >>> import bayesdep as bd
    >>> import pandas as pd
    >>> effects = {"study": ["IL-6", "TNF", "CRP"], "effect": [0.3, 0.1, 0.2], "se": [0.1, 0.1, 0.15]}  # made up
    >>> model = bd.Meta(measure="standardised-difference", unit="analyte", within_correlation=0.3)
    >>> fit = bd.fit(model, pd.DataFrame(effects), draws=100, seed=1)
    >>> figure = bd.plot_within_correlation(fit)
    """
    model = _meta(fit)
    stated = float(getattr(model, "within_correlation", None) or 0.0)
    values = np.unique(np.append(_CORRELATIONS, stated))
    se = fit.data["se"].values
    shared = (fit.data["covariance"].values != 0) & ~np.eye(len(se), dtype=bool)
    unit = f"other_{model.unit}"
    rows = []
    for value in values:
        covariance = np.diag(se**2) + np.where(shared, value * np.outer(se, se), 0.0)
        engine = model.hierarchy(fit.data.assign(covariance=((model.unit, unit), covariance)))
        assert engine is not None  # the register refuses every other
        rows.append([*engine.mu.quantile(_QUANTILES), *engine.tau.quantile(_QUANTILES)])
    table = np.array(rows)
    with styled_figure(fit, 6.4, 3.2) as figure:
        for axes, columns, name in zip(
            figure.subplots(1, 2), (table[:, :3], table[:, 3:]), ("pooled effect", "sd between"), strict=True
        ):
            lower, median, upper = columns.T
            axes.fill_between(values, lower, upper, color=BLUE, alpha=0.2, lw=0)
            axes.plot(values, median, "o-", ms=4, color=BLUE, lw=1.4)
            axes.axvline(stated, color=GREY, lw=1)
            axes.set_title(name, fontsize=8.5)
            axes.set_xlabel("correlation of sampling errors", fontsize=8)
            axes.set_ylabel(model.effect_units, fontsize=8)
    return figure


def _meta(fit: Fit) -> HasHierarchy:
    if not isinstance(fit.model, HasHierarchy):
        raise BadInput(
            f"this figure is drawn by quadrature, which {type(fit.model).__name__} does not have; give a fit of bd.Meta"
        )
    return fit.model


def _intervals(axes: Axes, rows: pd.DataFrame, of_all: pd.DataFrame | None = None) -> None:
    """Medians and 95% intervals, the first row on top; over the band of all units, where it is given."""
    y = np.arange(len(rows))[::-1]
    if of_all is not None:
        lower, median, upper = of_all[["lower", "median", "upper"]].to_numpy(dtype=float)[0]
        axes.axvspan(lower, upper, color=GREY, alpha=0.22, lw=0, zorder=0)
        axes.axvline(median, color=GREY, lw=1, zorder=0)
    axes.hlines(y, rows["lower"], rows["upper"], color=BLUE, lw=1.6)
    axes.plot(rows["median"], y, "o", ms=4, color=BLUE)
    axes.set_ylim(-0.7, len(rows) - 0.3)


def _label(axes: Axes, model: HasHierarchy, names: list[str]) -> None:
    """Name the rows and the axis; mark no effect."""
    axes.axvline(0, color=INK, lw=0.7, zorder=0)
    axes.set_yticks(np.arange(len(names))[::-1], names)
    axes.tick_params(axis="y", length=0)
    units = model.effect_units
    if model.forest.is_log:
        ratio_axis(axes)
        units = units.removeprefix("log ")
    axes.set_xlabel(f"{units} (95% intervals)", fontsize=8)
