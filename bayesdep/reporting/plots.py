"""Figures a paper could print: matplotlib figures made without touching the global state."""

import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from arviz_stats.base import array_stats
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator
from scipy import stats

from bayesdep.criticism.checks import run_checks
from bayesdep.inference.fit import Fit
from bayesdep.reporting.estimands import summarise

_MANY = 20  # rows beyond which a forest plot is sorted
INK, BLUE, GREY, RED = "#222222", "#1f5a99", "#9a9a9a", "#b3261e"
STYLE: Any = {  # matplotlib's own type lists every key by name
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.grid": False,
    "legend.frameon": False,
    "savefig.dpi": 150,
}


@contextmanager
def _figure(fit: Fit, width: float, height: float) -> Iterator[Figure]:
    """Make a figure in the house style that says so when the data are synthetic or the gate failed."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        marks = ["SYNTHETIC DATA"] if fit.synthetic else []
        marks += [] if fit.gate.passed else ["FAILED THE GATE"]
        if marks:
            figure.suptitle(", ".join(marks), color=RED, fontweight="bold", fontsize=9)


def plot_forest(fit: Fit) -> Figure:
    """Draw the forest plot: each unit's own estimate, its modelled effect, the summary and the prediction.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    matplotlib.figure.Figure
        Grey: estimate and 95% interval without the model. Blue: posterior median and 95% interval. Diamond:
        the pooled effect. Open bar: 95% prediction interval for a new unit. Log measures have an axis of ratios.
    """
    forest, table = fit.model.forest, summarise(fit)
    rows = pd.concat([table[table["estimand"] == name] for name in forest.rows])
    crude, se = forest.crude(fit.data)
    if len(rows) > _MANY:  # a long panel is read by its order
        order = np.argsort(-rows["median"].to_numpy(), kind="stable")
        rows, crude, se = rows.iloc[order], crude[order], se[order]
    labels = _labels(rows, several=len(forest.rows) > 1)
    foot = [(forest.summary, "overall"), (forest.prediction, f"new {fit.model.left_out}")]
    feet = [(row, label) for name, label in foot if name for _, row in table[table["estimand"] == name].iterrows()]
    height = 1.1 + 0.24 * (len(rows) + len(feet))
    with _figure(fit, 6.8, height) as figure:
        axes = figure.add_subplot()
        y = np.arange(len(rows))[::-1] + len(feet) + 0.6 * bool(feet)
        axes.axvline(0, color=GREY, lw=0.8, zorder=0)
        axes.errorbar(crude, y + 0.16, xerr=1.96 * se, fmt="o", ms=3, color=GREY, lw=1, label="on its own")
        axes.hlines(y - 0.16, rows["lower"], rows["upper"], color=BLUE, lw=1.6)
        axes.plot(rows["median"], y - 0.16, "o", ms=4, color=BLUE, label="in the model")
        for i, (row, label) in enumerate(feet):
            at = len(feet) - 1 - i
            if label == "overall":
                x = [row["lower"], row["median"], row["upper"], row["median"]]
                axes.fill(x, [at, at + 0.26, at, at - 0.26], color=BLUE)
            else:
                axes.plot(
                    [row["lower"], row["upper"]],
                    [at, at],
                    color=BLUE,
                    lw=4,
                    alpha=0.35,
                    solid_capstyle="butt",
                )
                axes.plot(row["median"], at, "|", color=BLUE, ms=9)
        axes.set_yticks([*y, *range(len(feet))[::-1]], [*labels, *(label for _, label in feet)])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.6, y[0] + 0.7)
        units = rows["units"].iloc[0]
        if forest.is_log:
            _ratio_axis(axes)
            units = units.removeprefix("log ")
        axes.set_xlabel(f"{units} (95% intervals)")
        _keep_in_view(axes, rows, crude, se, feet)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


def _labels(rows: pd.DataFrame, *, several: bool) -> list[str]:
    ends = rows.columns.get_loc("mean")
    dims = [c for c in rows.columns[1:ends] if rows[c].ne("").any()]
    dims = [d for d in dims if rows[d].nunique() > 1] or dims[:1]
    at = [", ".join(str(row[d]) for d in dims) for _, row in rows.iterrows()]
    if several or not dims:
        return [f"{name} {label}".strip() for name, label in zip(rows["estimand"], at, strict=True)]
    return at


def _ratio_axis(axes: Axes) -> None:
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{np.exp(x):.3g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    ticks = np.log([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100])
    axes.set_xticks(ticks)


def _keep_in_view(
    axes: Axes, rows: pd.DataFrame, crude: np.ndarray, se: np.ndarray, feet: list[tuple[pd.Series, str]]
) -> None:
    """Choose the axis from the model's intervals and the crude points; a huge crude interval may run off."""
    se = np.nan_to_num(se)
    inner = [rows["lower"].min(), rows["upper"].max(), *(r[k] for r, _ in feet for k in ("lower", "upper"))]
    inner += [np.nanmin(crude), np.nanmax(crude)]
    low, high = min(inner), max(inner)
    room = 0.35 * (high - low)
    axes.set_xlim(
        max(low - room, min(low, np.nanmin(crude - 1.96 * se))) - 0.03 * (high - low),
        min(high + room, max(high, np.nanmax(crude + 1.96 * se))) + 0.03 * (high - low),
    )


def plot_prior_posterior(fit: Fit) -> Figure:
    """Draw each prior against the posterior of its parameter.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per prior: grey the prior density, blue the posterior (one line per element of a vector).
    """
    slots = fit.model.slots
    columns = min(len(slots), 3)
    lines = -(-len(slots) // columns)
    with _figure(fit, 2.6 * columns + 0.6, 2.3 * lines + 0.4) as figure:
        grid = figure.subplots(lines, columns, squeeze=False)
        for axes, (name, slot) in zip(grid.flat, slots.items(), strict=False):
            prior = fit.model.priors[name].scipy
            draws = fit.posterior[name].transpose("chain", "draw", ...).values
            draws = draws.reshape(draws.shape[0] * draws.shape[1], -1)
            low, high = np.quantile(draws, [0.0005, 0.9995])
            prior_low, prior_high = prior.ppf([0.01, 0.99])
            reach = 2.5 * (high - low)
            low, high = max(min(low, prior_low), low - reach), min(max(high, prior_high), high + reach)
            support = prior.support()
            low, high = max(low, support[0]), min(high, support[1])
            x = np.linspace(low, high, 400)[1:-1]
            axes.fill_between(x, prior.pdf(x), color=GREY, alpha=0.45, lw=0, label="prior")
            for j in range(draws.shape[1]):
                axes.plot(
                    x,
                    _density(draws[:, j], support)(x),
                    color=BLUE,
                    lw=1.4,
                    label="posterior" if j == 0 else None,
                )
            meaning = slot.meaning.removeprefix("the ")
            title = name if meaning == name else f"{name}\n{textwrap.fill(meaning, 40)}"
            axes.set_title(title, fontsize=8)
            axes.set_xlabel(slot.units)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            axes.set_ylim(0, None)
        for axes in grid.flat[len(slots) :]:
            axes.remove()
        figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _density(draws: np.ndarray, support: tuple[float, float]) -> Callable[[np.ndarray], np.ndarray]:
    """Kernel density with reflection at the ends of the support."""
    kernel = stats.gaussian_kde(draws)

    def density(x: np.ndarray) -> np.ndarray:
        values = kernel(x)
        for end in support:
            if np.isfinite(end):
                values = values + kernel(2 * end - x)
        return np.asarray(values)

    return density


def plot_checks(fit: Fit) -> Figure:
    """Draw the predictive checks: each statistic of the data among its replicates.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    matplotlib.figure.Figure
        Blue: posterior predictive. Grey outline: prior predictive. Line: the data.
    """
    results = run_checks(fit)
    columns = min(len(results), 2)
    lines = -(-len(results) // columns)
    with _figure(fit, 3.3 * columns + 0.4, 1.9 * lines + 0.4) as figure:
        grid = figure.subplots(lines, columns, squeeze=False)
        for axes, result in zip(grid.flat, results, strict=False):
            low, high = np.quantile(result.replicated, [0.002, 0.998])
            low, high = min(low, result.observed), max(high, result.observed)
            span = (high - low) or 1.0
            discrete = np.unique(result.replicated)
            if len(discrete) <= 40:  # counts: one bin a value
                step = np.diff(discrete).min() if len(discrete) > 1 else 1.0
                bins = np.arange(low - step / 2, high + step, step)
            else:
                bins = np.linspace(low - 0.02 * span, high + 0.02 * span, 45)
            tops, _, _ = axes.hist(
                result.replicated, bins=bins, density=True, color=BLUE, alpha=0.55, label="replicated"
            )
            axes.hist(result.prior, bins=bins, density=True, histtype="step", color=GREY, lw=1.2, label="prior")
            axes.axvline(result.observed, color=INK, lw=1.6, label="data")
            axes.set_ylim(0, 1.3 * np.max(tops))  # a prior that piles up elsewhere may run off
            axes.set_title(f"{result.name}  (p = {result.p:.2f})")
            axes.set_xlabel(result.units)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
        for axes in grid.flat[len(results) :]:
            axes.remove()
        figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def plot_ranks(fit: Fit) -> Figure:
    """Draw the rank plot of every parameter that has a prior: do the chains agree?

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    matplotlib.figure.Figure
        For each parameter and chain, the difference between the empirical distribution of its fractional ranks
        among all chains and the uniform one, with the pointwise 99% band of that difference for independent
        draws, widened by the chain's effective sample size (Vehtari et al. 2021; Saeilynoja et al. 2022).
    """
    panels = []
    for name in fit.model.slots:
        draws = fit.posterior[name].transpose("chain", "draw", ...).values
        flat = draws.reshape(*draws.shape[:2], -1)
        panels += [(f"{name}[{j}]" if flat.shape[2] > 1 else name, flat[:, :, j]) for j in range(flat.shape[2])]
    panels = panels[:6]
    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    with _figure(fit, 2.7 * columns + 0.4, 1.9 * lines + 0.4) as figure:
        grid = figure.subplots(lines, columns, squeeze=False)
        x = np.linspace(0.005, 0.995, 199)
        for axes, (label, draws) in zip(grid.flat, panels, strict=False):
            chains, length = draws.shape
            ranks = (stats.rankdata(draws).reshape(draws.shape) - 0.5) / draws.size
            ess = float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="bulk")) / chains
            # A chain's share below x: variance x (1 - x) / ess, less what the chain itself adds to the whole.
            band = stats.norm.ppf(0.995) * np.sqrt(x * (1 - x) / min(ess, length) * (1 - 1 / chains))
            axes.fill_between(x, -band, band, color=GREY, alpha=0.3, lw=0)
            for c in range(chains):
                below = np.searchsorted(np.sort(ranks[c]), x, side="right") / length
                axes.plot(x, below - x, lw=1, color=mpl.colormaps["viridis"](c / max(chains - 1, 1) * 0.85))
            axes.set_title(label)
            axes.set_xlabel("fractional rank")
            axes.axhline(0, color=INK, lw=0.6)
        for row in grid:
            row[0].set_ylabel("ECDF difference")
        for axes in grid.flat[len(panels) :]:
            axes.remove()
    return figure


FIGURES: dict[str, tuple[Callable[[Fit], Figure], str]] = {
    "forest": (plot_forest, "Estimates on their own (grey) and in the model (blue), with 95% intervals."),
    "prior_posterior": (plot_prior_posterior, "Each prior (grey) and the posterior it became (blue)."),
    "checks": (
        plot_checks,
        "Predictive checks: the data (line) among replicates from the posterior and the prior.",
    ),
    "ranks": (plot_ranks, "Rank plot: every chain's ranks should stay inside the grey band."),
}
