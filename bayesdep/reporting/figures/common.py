"""Figures of any fit: forest plot, priors and posteriors, predictive checks, ranks of chains."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from arviz_stats.base import array_stats
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, NullLocator
from scipy import stats

from bayesdep.criticism.checks import run_checks
from bayesdep.inference.fit import Fit
from bayesdep.inference.predictive import CheckResult
from bayesdep.models.model import variable_of
from bayesdep.models.parts.priors import Slot
from bayesdep.models.parts.scale import priors_of
from bayesdep.numerics.rounding import decimals_of_each, number
from bayesdep.reporting.estimands import summarise
from bayesdep.reporting.figures.composing import BLUE, GREY, INK, chosen, chosen_rows, serves, styled_figure
from bayesdep.reporting.figures.layout import legend_below
from bayesdep.reporting.figures.seen import ROW
from bayesdep.reporting.ranges import bins_of, distinct, finite, limits, shown_of

_MANY = 20  # longest forest plot that is not sorted
_TICKS = 8  # of an axis of ratios, at most
_FEW = 6  # most elements of a vector whose densities are drawn one by one


@serves("forest", "any fit")
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
        Where the model says so, rows are ordered by their probability of lying above no effect (ties by median);
        else long panels by median. A band marks what counts as practically equal, where that is set.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> figure = bd.plot_forest(fit)
    """
    forest, table = fit.model.forest, summarise(fit)
    rows = pd.concat([table[table["estimand"] == name] for name in forest.rows])
    crude, se = forest.crude(fit.data)
    wanted = chosen_rows(rows)
    weight = weights(fit)[wanted] if len(weights(fit)) == len(rows) else np.array([])
    rows, crude, se = rows.iloc[wanted], crude[wanted], se[wanted]
    if forest.by_evidence or len(rows) > _MANY:  # sorted, a long panel is easier to read
        above = rows["prob_gt_null"].to_numpy() if forest.by_evidence else np.zeros(len(rows))
        order = np.lexsort((-rows["median"].to_numpy(), -above))
        rows, crude, se = rows.iloc[order], crude[order], se[order]
        weight = weight[order] if len(weight) else weight
    count, shown = len(rows), shown_of(len(rows))
    rows, crude, se = rows.iloc[shown], crude[shown], se[shown]
    weight = weight[shown] if len(weight) else weight
    labels = _labels(rows, several=len(forest.rows) > 1)
    foot = [(forest.summary, "overall"), (forest.prediction, f"new {fit.model.left_out}")]
    feet = [(row, label) for name, label in foot if name for _, row in table[table["estimand"] == name].iterrows()]
    with styled_figure(fit, 7.2, 1.35 + 0.24 * max(len(rows) + len(feet), 3)) as figure:
        figure.says_shown(len(rows), count, "rows are shown: the first and the last in this order")
        axes = figure.add_subplot()
        y = np.arange(len(rows))[::-1] + len(feet) + 0.6 * bool(feet)
        _no_effect(axes, fit.estimands[forest.rows[0]].attrs)
        if np.isfinite(crude).any():
            axes.errorbar(crude, y + 0.16, xerr=1.96 * se, fmt="o", ms=3, color=GREY, lw=1, label="on its own")
        axes.hlines(y - 0.16, rows["lower"], rows["upper"], color=BLUE, lw=1.6)
        axes.plot(rows["median"], y - 0.16, "o", ms=4, color=BLUE, label="in the model")
        _feet(axes, feet)
        axes.set_yticks([*y, *range(len(feet))[::-1]], [*labels, *(label for _, label in feet)])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.6, y[0] + 0.7)
        if forest.is_log:
            ratio_axis(axes)
        axes.set_xlabel(_compared(fit, rows))
        _keep_in_view(axes, rows, crude, se, feet)
        _mark_cut(axes, np.concatenate([crude - 1.96 * se, rows["lower"]]),
                  np.concatenate([crude + 1.96 * se, rows["upper"]]), np.concatenate([y + 0.16, y - 0.16]))  # fmt: skip
        _numbers(axes, [*y, *range(len(feet))[::-1]], [*(row for _, row in rows.iterrows()), *(row for row, _ in feet)],
                 weight, is_log=forest.is_log)  # fmt: skip
        legend_below(figure, axes.get_legend_handles_labels(), 3)
    return figure


def weights(fit: Fit) -> np.ndarray:
    """Return each study's weight in a pooled effect: posterior means of one over its total variance, adding up to 1.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    numpy.ndarray
        Shape (studies,); empty where effects are not independent given the pooled one and its spread, or have no
        standard errors.
    """
    of_studies = fit.model.forest.summary == "mu" and "tau" in fit.posterior and fit.posterior["tau"].ndim == 2
    if not of_studies or "se" not in fit.data or fit.data["se"].ndim != 1 or "covariance" in fit.data:
        return np.array([])
    tau = fit.posterior["tau"].values.reshape(-1, 1)
    if not np.isfinite(tau).all():
        return np.array([])
    each = 1 / (tau**2 + fit.data["se"].values ** 2)
    return np.asarray((each / each.sum(axis=1, keepdims=True)).mean(axis=0))


def _no_effect(axes: Axes, attrs: Mapping[Any, Any]) -> None:
    """A line at no effect, and the band of what is practically equal."""
    if not np.isnan(float(attrs.get("null", 0.0))):
        axes.axvline(0, color=GREY, lw=0.8, zorder=0)
    if "rope_lower" in attrs:
        rope = (float(attrs["rope_lower"]), float(attrs["rope_upper"]))
        axes.axvspan(*rope, color=GREY, alpha=0.18, lw=0, zorder=0, label="practically equal")


def _feet(axes: Axes, feet: list[tuple[pd.Series, str]]) -> None:
    """The pooled effect as a diamond and the prediction interval as a bar, from the last line up."""
    for y, (row, label) in zip(range(len(feet))[::-1], feet, strict=True):
        if label == "overall":
            x = [row["lower"], row["median"], row["upper"], row["median"]]
            axes.fill(x, [y, y + 0.26, y, y - 0.26], color=BLUE)
        else:
            ends = [row["lower"], row["upper"]]
            axes.plot(ends, [y, y], color=BLUE, lw=4, alpha=0.35, solid_capstyle="butt")
            axes.plot(row["median"], y, "|", color=BLUE, ms=9)


def _compared(fit: Fit, rows: pd.DataFrame) -> str:
    """The label of the axis: what is compared with what, in which units, and which side favours whom."""
    attrs = fit.estimands[fit.model.forest.rows[0]].attrs
    units = str(rows["units"].iloc[0])
    ratio = fit.model.forest.is_log
    units = units.removeprefix("log ") if ratio else units
    what = str(attrs.get("description", "")).split("; ")[0].removesuffix(", shrunken")
    what = what.replace("log ratio", "ratio").replace("log odds ratio", "odds ratio") if ratio else what
    named = what if units in what else f"{what}, {units}"
    arms = [str(arm) for arm in rows["comparison"].unique()] if "comparison" in rows else []
    better = getattr(fit.model, "better", None) if attrs.get("units") == getattr(fit.model, "units", None) else None
    reference = str(getattr(fit.model, "reference", None) or "")
    sides = ""
    if len(arms) == 1 and reference:
        for word in ("less", "against"):
            named = named.replace(f"{word} {reference}", f"{arms[0]} {word} {reference}")
        if better in ("lower", "higher"):
            below, above = (arms[0], reference) if better == "lower" else (reference, arms[0])
            sides = f"\n\N{LEFTWARDS ARROW} favours {below}    favours {above} \N{RIGHTWARDS ARROW}"
    return f"{named} (95% intervals){sides}"


def _mark_cut(axes: Axes, lower: np.ndarray, upper: np.ndarray, y: np.ndarray) -> None:
    """Arrows where an interval goes on beyond the axis."""
    low, high = axes.get_xlim()
    for ends, edge, marker, beyond in ((lower, low, "<", lower < low), (upper, high, ">", upper > high)):
        there = beyond & np.isfinite(ends)
        if not there.any():  # an empty line would take room at the figure's corner
            continue
        axes.plot(np.full(there.sum(), edge), y[there], marker, ms=4.5, color=GREY, clip_on=False, zorder=5)


def _numbers(
    axes: Axes, y: Sequence[float], rows: Sequence["pd.Series[Any]"], weight: np.ndarray, *, is_log: bool
) -> None:
    """Medians and intervals in figures at the right of every row, with the weight where there is one."""
    said = []
    for k, row in enumerate(rows):
        ends = [float(row[word]) for word in ("median", "lower", "upper")]
        with np.errstate(over="ignore"):
            ends = [float(np.exp(end)) for end in ends] if is_log else ends
        errors = [float(row["mcse"]) * (end if is_log else 1.0) for end in ends]
        digits = decimals_of_each(ends, errors, 1.0 if is_log else float(row["null"]))
        median, lower, upper = (number(end, d) for end, d in zip(ends, digits, strict=True))
        text = f"{median} ({lower} to {upper})"
        share = f"   {weight[k]:.0%}" if k < len(weight) else ""
        said.append("" if np.isnan(ends[0]) else text + share)
    for k, (place, text) in enumerate(zip(y, said, strict=True)):
        beside = axes.annotate(
            text, (1, place), (7, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center",
            fontsize=7.5, annotation_clip=False,
        )  # fmt: skip
        beside.set_gid(f"{ROW}{k}")
    head = "median (95% interval)" + ("   weight" if len(weight) else "")
    axes.annotate(
        head, (1, 1), (7, 2), xycoords="axes fraction", textcoords="offset points", va="bottom", fontsize=7.5,
        annotation_clip=False,
    )  # fmt: skip


def _labels(rows: pd.DataFrame, *, several: bool) -> list[str]:
    ends = rows.columns.get_loc("mean")
    dims = [c for c in rows.columns[1:ends] if rows[c].ne("").any()]
    dims = [d for d in dims if rows[d].nunique() > 1] or dims[:1]
    at = [", ".join(str(row[d]) for d in dims) for _, row in rows.iterrows()]
    if several or not dims:
        return [f"{name} {label}".strip() for name, label in zip(rows["estimand"], at, strict=True)]
    return at


def ratio_axis(axes: Axes) -> None:
    """Label a natural-log x axis with ratios, a few of them in view.

    Parameters
    ----------
    axes
        Whose x axis is to be labelled.
    """
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{np.exp(x):.4g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(RatioTicks())


class RatioTicks(Locator):
    """Ticks of a natural-log axis at round ratios, at most eight in view."""

    def __call__(self) -> list[float]:
        """Return the ticks of the axis as it is shown."""
        return self.tick_values(*self.axis.get_view_interval()) if self.axis is not None else []

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Return the ticks between two logs."""
        decades = 10.0 ** np.arange(np.floor(vmin / np.log(10)), np.ceil(vmax / np.log(10)) + 1)
        ticks = np.array([])
        for steps in ((1, 1.2, 1.5, 2, 3, 5, 7), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            ticks = np.log(np.outer(decades, steps)).ravel()
            ticks = ticks[(ticks >= vmin) & (ticks <= vmax)]
            if len(ticks) <= _TICKS:
                break
        if len(ticks) < _TICKS / 2 and vmax - vmin < 1:  # a narrow range needs finer round ratios
            round_ones = MaxNLocator(_TICKS - 2, steps=[1, 2, 5, 10]).tick_values(np.exp(vmin), np.exp(vmax))
            ticks = np.log([tick for tick in round_ones if tick > 0])
        return ticks[:: -(-len(ticks) // _TICKS)].tolist()


def _keep_in_view(
    axes: Axes, rows: pd.DataFrame, crude: np.ndarray, se: np.ndarray, feet: list[tuple[pd.Series, str]]
) -> None:
    """Choose the axis limits by the model's intervals and the crude points; wide crude intervals may be cut."""
    is_finite = np.isfinite(crude)
    crude, se = crude[is_finite], np.nan_to_num(se[is_finite])
    no_effect = [0.0] if "log" in rows["units"].iloc[0] and "ratio" in rows["units"].iloc[0] else []
    ends = [r[k] for r, _ in feet for k in ("lower", "upper")]
    shown = rows[["lower", "upper"]].to_numpy(dtype=float)
    low, high = limits(shown, np.array(ends, dtype=float), crude, np.array(no_effect))
    room = 0.35 * (high - low)
    axes.set_xlim(
        max(low - room, min([low, *(crude - 1.96 * se)])) - 0.03 * (high - low),
        min(high + room, max([high, *(crude + 1.96 * se)])) + 0.03 * (high - low),
    )


@serves("prior_posterior", "any fit")
def plot_prior_posterior(fit: Fit) -> Figure:
    """Draw each prior against the posterior of its parameter.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per prior: grey the prior density, blue the posterior (one line per element of a vector). For a
        long vector, medians and 95% intervals of its elements, sorted, over the prior.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> figure = bd.plot_prior_posterior(fit)
    """
    slots, priors = _slots(fit), priors_of(fit.model, fit.data)
    slots = {name: slots[name] for name in np.array(list(slots))[chosen("parameter", slots)]}
    columns = min(len(slots), 3)
    lines = -(-len(slots) // columns)
    with styled_figure(fit, 2.6 * columns + 0.6, 2.3 * lines + 0.4) as figure:
        grid = figure.subplots(lines, columns, squeeze=False)
        for axes, (name, slot) in zip(grid.flat, slots.items(), strict=False):
            prior = priors[name].scipy
            draws = fit.posterior[variable_of(fit.model, name)].transpose("chain", "draw", ...).values
            draws = draws.reshape(draws.shape[0] * draws.shape[1], -1)
            support = prior.support()
            x = np.linspace(*_reach(draws, prior.ppf([0.01, 0.99]), support), 400)[1:-1]
            axes.fill_between(x, prior.pdf(x), color=GREY, alpha=0.45, lw=0)
            if draws.shape[1] > _FEW:
                _elements(axes, draws, float(prior.pdf(x).max()))
            else:
                for one in draws.T:
                    _posterior(axes, x, one, support)
            meaning = slot.meaning.removeprefix("the ")
            title = name if meaning == name else f"{name}\n{meaning}"
            axes.set_title(title, fontsize=8)
            axes.set_xlabel(slot.units)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            axes.set_ylim(0, None)
        for axes in grid.flat[len(slots) :]:
            axes.remove()
        handles = [Patch(color=GREY, alpha=0.45, lw=0), Line2D([], [], color=BLUE, lw=1.4)]
        legend_below(figure, (handles, ["prior", "posterior"]), 2)
    return figure


def _slots(fit: Fit) -> dict[str, Slot]:
    """The slots for priors that the model has for this table: with one visit, none for differences between visits."""
    return {name: slot for name, slot in fit.model.slots.items() if variable_of(fit.model, name) in fit.posterior}


def _elements(axes: Axes, draws: np.ndarray, height: float) -> None:
    """Draw the elements of a long vector as intervals, in order, over a prior of this height."""
    lower, median, upper = np.quantile(draws, [0.025, 0.5, 0.975], axis=0)
    order = np.argsort(median, kind="stable")
    y = height * (np.arange(len(order)) + 0.5) / len(order)
    axes.hlines(y, lower[order], upper[order], color=BLUE, lw=0.7, alpha=0.7)
    axes.plot(median[order], y, ".", ms=2.2, color=BLUE)


def _reach(draws: np.ndarray, prior: Sequence[float] | np.ndarray, support: tuple[float, float]) -> tuple[float, float]:
    """The range to draw: that of the prior, but within a few posterior widths of the posterior."""
    inside = distinct(draws)
    if len(inside) < 2:
        low, high = limits(draws, np.asarray(prior))
    else:
        low, high = limits(*np.quantile(finite(draws), [0.0005, 0.9995]))
        reach = 2.5 * (high - low)
        low, high = max(min(low, prior[0]), low - reach), min(max(high, prior[1]), high + reach)
    return max(low, support[0]), min(high, support[1])


def _posterior(axes: Axes, x: np.ndarray, draws: np.ndarray, support: tuple[float, float]) -> None:
    """Draw a parameter's density; a line where its draws are all equal."""
    inside = distinct(draws)
    if len(inside) > 1:
        axes.plot(x, _density(finite(draws), support)(x), color=BLUE, lw=1.4)
    for value in inside if len(inside) == 1 else ():
        axes.axvline(value, color=BLUE, lw=1.4)


def _density(draws: np.ndarray, support: tuple[float, float]) -> Callable[[np.ndarray], np.ndarray]:
    """Kernel density with reflection at the ends of the support.

    Normal kernels with Scott's (1992) width. Draws are first shared out between the two nearest points of a grid of a
    twentieth of that width, which changes the density by less than a thousandth of its maximum and takes no longer for
    more draws.
    """
    width = draws.std(ddof=1) * draws.size ** (-1 / 5)
    step, low = width / 20, draws.min()
    below, part = np.divmod((draws - low) / step, 1)
    place = below.astype(int)
    weights = np.bincount(place, 1 - part, place.max() + 2) + np.bincount(place + 1, part)
    grid = np.flatnonzero(weights)
    weights, at = weights[grid], low + step * grid

    def kernels(x: np.ndarray) -> np.ndarray:
        return np.asarray(stats.norm.pdf(x[:, None], at, width) @ weights / draws.size)

    def density(x: np.ndarray) -> np.ndarray:
        return np.asarray(kernels(x) + sum(kernels(2 * end - x) for end in support if np.isfinite(end)))

    return density


@serves("checks", "any fit")
def plot_checks(fit: Fit) -> Figure:
    """Draw the predictive checks: each test quantity of the data among its replicates.

    Parameters
    ----------
    fit
        Any fit.

    Returns
    -------
    matplotlib.figure.Figure
        Blue: posterior predictive. Grey outline: prior predictive. Line: the data.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> figure = bd.plot_checks(fit)
    """
    results = run_checks(fit)
    results = [results[k] for k in chosen("check", [result.name for result in results])]
    columns = min(len(results), 2)
    lines = -(-len(results) // columns)
    with styled_figure(fit, 3.3 * columns + 0.4, 1.9 * lines + 0.4) as figure:
        grid = figure.subplots(lines, columns, squeeze=False)
        for axes, result in zip(grid.flat, results, strict=False):
            _among_replicates(axes, result)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
        for axes in grid.flat[len(results) :]:
            axes.remove()
        legend_below(figure, grid.flat[0].get_legend_handles_labels(), 3)
    return figure


def _among_replicates(axes: Axes, result: CheckResult) -> None:
    """Draw one test quantity: replicates, prior and data."""
    bins = bins_of(result.replicated, result.observed)
    tops, _, _ = axes.hist(
        finite(result.replicated), bins=bins.tolist(), weights=_shares(result.replicated, bins), histtype="stepfilled",
        color=BLUE, alpha=0.55, label="replicated",
    )  # fmt: skip
    # most of a wide prior may lie outside; shares refer to all draws
    axes.hist(
        finite(result.prior), bins=bins.tolist(), weights=_shares(result.prior, bins), histtype="step", color=GREY,
        lw=1.2, label="prior",
    )  # fmt: skip
    at = result.observed if len(finite(np.array([result.observed]))) else np.nan
    axes.axvline(at, color=INK, lw=1.6, label="data")
    axes.set_xlim(*limits(bins, at, room=0.02))
    axes.set_ylim(0, 1.3 * np.max(tops) or 1.0)  # a prior concentrated elsewhere may be cut
    axes.locator_params(axis="x", nbins=5)
    axes.set_title(f"{result.name}  (p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{result.p:.2f})")
    lost = result.replicated.size - finite(result.replicated).size
    beyond = [f"{lost} of {result.replicated.size} replicates cannot be shown here"] if lost else []
    beyond += [] if np.isfinite(at) else [f"the data's is {result.observed:g}"]
    axes.set_xlabel("\n".join([result.units, *beyond]))


def _shares(values: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """The weights that make a histogram of the finite values a density of all values."""
    return np.full(len(finite(values)), 1 / (np.size(values) * (bins[1] - bins[0])))


@serves("ranks", "fits with chains, whose ranks can be compared", lambda fit: not fit.is_exact)
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
        draws, widened by the chain's effective sample size (Vehtari et al. 2021; Saeilynoja et al. 2022). For a fit
        to several versions of the data, the chains of the first version, since others have another posterior.

    Examples
    --------
    >>> import bayesdep as bd
    >>> visits = bd.simulate("raison2013", seed=1).table.query("week in [6, 12]")  # synthetic
    >>> columns = {"outcome": "hamd", "baseline": "hamd_baseline", "visit": "week", "day": "day"}
    >>> model = bd.Trial(reference="placebo", covariance="ar1", units="HAM-D points", **columns)
    >>> fit = bd.fit(model, visits, draws=50, tune=200, chains=2, seed=1)  # a real fit has more draws
    >>> figure = bd.plot_ranks(fit)
    """
    panels = []
    for name in _slots(fit):
        chains = fit.posterior[variable_of(fit.model, name)].isel(chain=slice(fit.manifest["chains"]))
        draws = chains.transpose("chain", "draw", ...).values
        flat = draws.reshape(*draws.shape[:2], -1)
        panels += [(f"{name}[{j}]" if flat.shape[2] > 1 else name, flat[:, :, j]) for j in range(flat.shape[2])]
    panels = [panels[k] for k in chosen("parameter", [label for label, _ in panels])][:6]
    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    with styled_figure(fit, 2.7 * columns + 0.4, 1.9 * lines + 0.4) as figure:
        grid = figure.subplots(lines, columns, squeeze=False)
        x = np.linspace(0.005, 0.995, 199)
        for axes, (label, draws) in zip(grid.flat, panels, strict=False):
            chains, length = draws.shape
            ranks = (stats.rankdata(draws).reshape(draws.shape) - 0.5) / draws.size
            ess = _effective(draws) / chains
            # A chain's share below x has variance x (1 - x) / ess, less the chain's own part in all chains.
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


def _effective(draws: np.ndarray) -> float:
    """The effective sample size; the number of draws if it is undefined, as for equal draws."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ess = float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="bulk"))
    return ess if np.isfinite(ess) and ess > 0 else float(draws.size)
