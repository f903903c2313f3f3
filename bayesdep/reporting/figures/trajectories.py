"""Figures of trajectories: individual and mean courses by arm, and associations by marker and arm."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from bayesdep.inference.fit import Fit
from bayesdep.models.trajectories.courses import Basis
from bayesdep.models.trajectories.data import recorded
from bayesdep.models.trajectories.paths import mean_markers, mean_outcomes
from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.numerics.draws import stack_draws
from bayesdep.numerics.types import Draws
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
from bayesdep.reporting.figures.lettering import legend_word
from bayesdep.reporting.ranges import MOST_ROWS, limits

_DRAWS = 500  # at most, evenly from all draws
_TIMES = 61  # over the follow-up, at which means are drawn
_MARKERS = 4  # shown
_ARMS = 3  # side by side
_ROW = 0.34  # inches of a marker's row


@serves("courses", "trajectories")
def plot_courses(fit: Fit) -> Figure:
    """Draw individual and mean courses of the outcome and of markers, arm by arm.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trajectories.model.Trajectories`.

    Returns
    -------
    matplotlib.figure.Figure
        A column per arm, a row for the outcome and one per marker. Thin lines: patients. Line and band: the mean's
        posterior mean and 95% interval. Shaded: below the highest, paler below the lowest, limit of detection.

    Examples
    --------
    >>> import bayesdep as bd
    >>> visits = bd.simulate("rct2025", seed=1).table  # synthetic
    >>> columns = {"outcome": "score", "time": "day", "value": "concentration", "analyte": "marker"}
    >>> model = bd.Trajectories(reference="saline", association=["change"], units="points", **columns)
    >>> fit = bd.fit(model, visits)  # doctest: +SKIP
    >>> figure = bd.plot_courses(fit)  # doctest: +SKIP
    """
    settings, data = settings_of_kind(fit, TrajectoriesSettings), fit.data
    draws = stack_draws(fit.posterior)
    size = draws.sizes["sample"]
    draws = draws.isel(sample=np.unique(np.linspace(0, size - 1, min(size, _DRAWS)).astype(int)))
    arms, markers = data["arm"].values[:_ARMS], _shown_markers(fit)
    if "analyte" in data.dims:
        asked = chosen("analyte", data["analyte"].values).tolist()
        markers = markers if len(asked) == data.sizes["analyte"] else asked
    rows, count = 1 + len(markers), len(asked) if "analyte" in data.dims else 0
    with styled_figure(fit, max(2.4 * len(arms) + 1.0, 4.4), 1.9 * rows + 0.8) as figure:
        figure.says_shown(len(arms), data.sizes["arm"], "arms are shown, the first")
        figure.says_shown(len(markers), count, f"markers are shown, those of the largest {_of_markers(fit)}s")
        grid = figure.subplots(rows, len(arms), squeeze=False, sharex=True, sharey="row")
        _outcome_row(grid[0], settings, draws, data)
        for row, k in zip(grid[1:], markers, strict=True):
            _marker_row(row, settings, draws, data, k)
        for axes, arm in zip(grid[0], arms, strict=True):
            axes.set_title(str(arm) if settings.arm is not None else "", fontsize=9)
        for axes in grid[-1]:
            axes.set_xlabel(settings.time)
        handles = [
            Line2D([], [], color=GREY, lw=0.8), Line2D([], [], color=BLUE, lw=1.8), Patch(color=BLUE, alpha=0.25, lw=0)
        ]  # fmt: skip
        names = ["patients", "mean", "its 95% band"]
        if len(markers):
            handles.append(Patch(color=INK, alpha=0.12, lw=0))
            names.append("below the limit")
        legend_below(figure, (handles, names), 4)
    return figure


def _shown_markers(fit: Fit) -> list[int]:
    """Places of the markers that are drawn: those with the largest effects over their sds, else the first."""
    count, asked = fit.data.sizes.get("analyte", 0), _of_markers(fit)
    if count <= _MARKERS or asked not in fit.estimands:
        return list(range(min(count, _MARKERS)))
    found = fit.estimands[asked].transpose("chain", "draw", "analyte", ...)
    values = found.values.reshape(-1, count, int(np.prod(found.shape[3:])))
    with np.errstate(all="ignore"):
        size = np.nan_to_num(np.abs(values.mean(axis=0)) / values.std(axis=0), posinf=0.0).max(axis=1)
    return sorted(np.argsort(-size, kind="stable")[:_MARKERS].tolist())


def _of_markers(fit: Fit) -> str:
    """What is asked of each marker: its loading on a factor that all share, or its association."""
    return "loading" if "loading" in fit.estimands else "association"


def _times(data: xr.Dataset, variable: str) -> np.ndarray:
    basis = Basis.from_attrs(data[variable].attrs)
    return np.linspace(basis.first, basis.last, _TIMES)


def _outcome_row(row: np.ndarray, settings: TrajectoriesSettings, draws: xr.Dataset, data: xr.Dataset) -> None:
    """Outcomes of patients and their mean, arm by arm."""
    seen = data["time"].values[~np.isnan(data["outcome"].values)]
    at = _times(data, "course_columns")
    at = at[(at >= seen.min()) & (at <= seen.max())]
    means = mean_outcomes(settings, draws, data, at)
    is_score = settings.kind == "score"
    for a, axes in enumerate(row):
        if is_score:
            who = np.flatnonzero(data["arm_of"].values == a)
            _individuals(axes, data["time"].values[who], data["outcome"].values[who])
        _mean(axes, at, means[:, a])
    units = {"score": settings.units, "ordinal": "log odds of worse"}.get(settings.kind, "log odds")
    row[0].set_ylabel(f"{settings.outcome}\n({units})")


def _marker_row(row: np.ndarray, settings: TrajectoriesSettings, draws: xr.Dataset, data: xr.Dataset, k: int) -> None:
    """Concentrations of patients and their mean, arm by arm, on a logarithmic axis."""
    one = data.isel(analyte=[k])
    measured = one["detection"].values[:, 0] >= 0
    at = _times(data, "marker_course_columns")
    seen = np.broadcast_to(data["marker_time"].values, measured.shape)[measured]
    at = at[(at >= seen.min()) & (at <= seen.max())]
    names = [n for n in draws.data_vars if "analyte" in draws[n].dims]
    means = mean_markers(settings, draws[[*names]].isel(analyte=[k]), one, at)[:, 0]
    logs = recorded(one["lower"].values[:, 0], one["upper"].values[:, 0])
    lod = one["lod"].values[:, 0]
    for a, axes in enumerate(row):
        who = np.flatnonzero(data["arm_of"].values == a)
        _individuals(axes, data["marker_time"].values[who], 2.0 ** logs[who])
        _mean(axes, at, 2.0 ** means[:, a])
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.7g}"))
        if np.isfinite(lod).any():
            low, high = limits(2.0 ** logs[measured])
            axes.set_ylim(min(low, 2.0 ** np.nanmin(lod)) * 0.8, high * 1.25)
            for limit in {float(np.nanmin(lod)), float(np.nanmax(lod))}:
                axes.axhspan(axes.get_ylim()[0], 2.0**limit, color=INK, alpha=0.12, lw=0)
    row[0].set_ylabel(f"{data['analyte'].values[k]}\n({data['unit'].values[k]})")


def _individuals(axes: Axes, time: np.ndarray, values: np.ndarray) -> None:
    for t, y in zip(time, values, strict=True):
        there = ~np.isnan(y)
        order = np.argsort(t[there], kind="stable")
        axes.plot(t[there][order], y[there][order], "-", color=GREY, lw=0.4, alpha=0.6, marker=".", ms=1.2)


def _mean(axes: Axes, time: np.ndarray, means: Draws) -> None:
    lower, middle, upper = np.quantile(means, [0.025, 0.5, 0.975], axis=0)
    axes.fill_between(time, lower, upper, color=BLUE, alpha=0.25, lw=0, zorder=3)
    axes.plot(time, middle, color=BLUE, lw=1.8, zorder=4)


@serves("associations", "trajectories with an association", derives("association"))
def plot_associations(fit: Fit) -> Figure:
    """Draw associations of the outcome with each marker, or with the factor that markers share, by arm.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trajectories.model.Trajectories` with an association.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per link, a row per marker: medians with 95% intervals, one colour per arm; their mean over markers and
        arms, where they are pooled, as a band. With a shared factor, one row, and a last panel of markers' loadings.

    Examples
    --------
    >>> import bayesdep as bd
    >>> visits = bd.simulate("rct2025", seed=1).table  # synthetic
    >>> columns = {"outcome": "score", "time": "day", "value": "concentration", "analyte": "marker"}
    >>> model = bd.Trajectories(reference="saline", association=["change"], units="points", **columns)
    >>> fit = bd.fit(model, visits)  # doctest: +SKIP
    >>> figure = bd.plot_associations(fit)  # doctest: +SKIP
    """
    settings = settings_of_kind(fit, TrajectoriesSettings)
    found, loading = fit.estimands["association"], fit.estimands.get("loading")
    of = settings.linked
    found = found.isel({"link": chosen("link", found["link"].values), of: chosen(of, found[of].values)})
    if loading is not None:
        loading = loading.isel(analyte=chosen("analyte", loading["analyte"].values))
    links, shown = found["link"].values, found if loading is None else loading
    markers, arms = shown["analyte"].values[:MOST_ROWS], found["arm"].values[:_ARMS]
    colours = [INK, BLUE, GREY][: len(arms)] if len(arms) > 1 else [BLUE]
    panels, height = len(links) + (loading is not None), max(2.2, _ROW * len(markers) + 1.3)
    with styled_figure(fit, max(3.1 * panels, 4.6), height) as figure:
        figure.says_shown(len(markers), shown.sizes["analyte"], "markers are shown, the first")
        figure.says_shown(len(arms), found.sizes["arm"], "arms are shown, the first")
        row = figure.subplots(1, panels, squeeze=False, sharey=loading is None)[0]
        for j, axes in enumerate(row[: len(links)]):
            if "association_mean" in fit.estimands:
                low, high = np.quantile(fit.estimands["association_mean"].sel(link=links[j]).values, [0.025, 0.975])
                axes.axvspan(low, high, color=BLUE, alpha=0.1, lw=0)
            by_arm = [found.isel({"link": j, "arm": a, of: slice(MOST_ROWS)}) for a in range(len(arms))]
            _intervals(axes, by_arm, colours, found[of].values[:MOST_ROWS])
            axes.set_title(str(links[j]), fontsize=9)
            axes.tick_params(labelleft=j == 0)
        if loading is not None:
            _intervals(row[-1], [loading.isel(analyte=slice(MOST_ROWS))], [BLUE], markers)
            row[-1].set_title("loadings of markers", fontsize=9)
        handles: list[Any] = [Line2D([], [], color=c, marker="o", ms=4, lw=1.3) for c in colours]
        names = [legend_word(str(a)) for a in arms] if settings.arm is not None else ["association"]
        if "association_mean" in fit.estimands:
            handles.append(Patch(color=BLUE, alpha=0.1, lw=0))
            names.append("mean of the markers, 95% interval")
        legend_below(figure, (handles, names), 3)
    return figure


def _intervals(axes: Axes, effects: list[xr.DataArray], colours: list[Any], labels: np.ndarray) -> None:
    """Draw medians and 95% intervals of some effects, each of dims (chain, draw, row), row by row in their colours."""
    axes.axvline(0, color=GREY, lw=0.9)
    for k, (effect, colour) in enumerate(zip(effects, colours, strict=True)):
        lower, middle, upper = np.quantile(effect.values.reshape(-1, len(labels)), [0.025, 0.5, 0.975], axis=0)
        y = np.arange(len(labels)) + 0.18 * (k - (len(colours) - 1) / 2)
        axes.hlines(y, lower, upper, color=colour, lw=1.3)
        axes.plot(middle, y, "o", ms=4, color=colour)
    axes.set_xlabel(str(effects[0].attrs["units"]))
    axes.set_yticks(range(len(labels)), [str(label) for label in labels])
    axes.set_ylim(len(labels) - 0.5, -0.5)
