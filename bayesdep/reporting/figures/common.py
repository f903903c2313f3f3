"""Figures for publication: matplotlib figures, made without changing matplotlib's global state."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Concatenate

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
from bayesdep.data.errors import BadInput
from bayesdep.inference.fit import Fit
from bayesdep.inference.predictive import CheckResult
from bayesdep.models.model import ListsFigures, variable_of
from bayesdep.models.parts.priors import Slot
from bayesdep.models.parts.scale import priors_of
from bayesdep.reporting.estimands import summarise
from bayesdep.reporting.figures.layout import fit_texts, legend_below, wrapped
from bayesdep.reporting.figures.lettering import make_readable, readable, style
from bayesdep.reporting.ranges import bins_of, distinct, finite, limits, shown_of

_MANY = 20  # longest forest plot that is not sorted
_TICKS = 8  # of an axis of ratios, at most
_FEW = 6  # most elements of a vector whose densities are drawn one by one
_CODE_POINTS = (
    "No font on this machine has the characters whose code points stand in \N{MATHEMATICAL LEFT ANGLE BRACKET} "
    "\N{MATHEMATICAL RIGHT ANGLE BRACKET}."
)
INK, BLUE, GREY, RED = "#222222", "#1f5a99", "#9a9a9a", "#b3261e"
STYLE: Any = {  # matplotlib's own type lists every key by name
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.grid": False,
    "legend.frameon": False,
    "savefig.dpi": 150,
}


class StyledFigure(Figure):
    """A figure with a header of warnings."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.head: list[str] = []

    def says_shown(self, shown: int, of: int, what: str) -> None:
        """Say in the header that not everything is shown, if so.

        Parameters
        ----------
        shown, of
            How many are shown, of how many.
        what
            What they are, and which of them are shown.
        """
        if shown < of:
            self.head.append(f"{shown} of {of} {what}")


@contextmanager
def plain_figure(width: float, height: float, marks: Sequence[str] = ()) -> Iterator[StyledFigure]:
    """Make a figure in the package's style, with all texts inside it.

    Parameters
    ----------
    width, height
        In inches; a report shows 6.4 inches at full size.
    marks
        Warnings for its header.

    Yields
    ------
    StyledFigure
        Empty; the style applies while the context is open.
    """
    with mpl.rc_context(STYLE | style()):
        figure = StyledFigure(figsize=(width, height), layout="constrained")
        yield figure
        if make_readable(figure):
            figure.head.append(_CODE_POINTS)
        fit_texts(figure)
        if marks or figure.head:
            head = wrapped("\n".join([", ".join(marks)] * bool(marks) + figure.head), 72 * width - 12, 9, weight="bold")
            look: Any = {"color": RED, "fontweight": "bold"} if marks else {"color": INK}
            figure.suptitle(readable(head), fontsize=9, **look)


@contextmanager
def styled_figure(fit: Fit, width: float, height: float) -> Iterator[StyledFigure]:
    """Make a figure in the package's style, marked if the data are synthetic or the gate failed.

    Parameters
    ----------
    fit
        The fit that it shows.
    width, height
        In inches.

    Yields
    ------
    StyledFigure
        As :func:`plain_figure`.
    """
    marks = ["SYNTHETIC DATA"] if fit.synthetic else []
    marks += [] if fit.gate.passed else ["FAILED THE GATE"]
    with plain_figure(width, height, marks) as figure:
        yield figure


EVERY_FIT = (
    "forest",
    "equivalence",
    "bayes_factors",
    "prior_posterior",
    "checks",
    "ranks",
)  # names of the figures of any model's fits


def has_figure(fit: Fit, name: str) -> bool:
    """Tell whether a figure applies to a fit's model.

    Parameters
    ----------
    fit
        Any fit.
    name
        A name of :data:`~bayesdep.reporting.figures.register.FIGURES`.

    Returns
    -------
    bool
        Whether it is a figure of any model, or one that this model lists.
    """
    return name in EVERY_FIT or (isinstance(fit.model, ListsFigures) and name in fit.model.figures)


def settings_of_kind[S](fit: Fit, kind: type[S]) -> S:
    """Return a fit's model if it is of the family that a figure is for, and refuse any other.

    Parameters
    ----------
    fit
        Any fit.
    kind
        The class of settings.

    Returns
    -------
    object
        The model.

    Raises
    ------
    BadInput
        When it is another one: a user's own model that lists a figure of another family.
    """
    if not isinstance(fit.model, kind):
        raise BadInput(
            f"{type(fit.model).__name__} lists a figure that needs {kind.__name__}; leave it out of the model's figures"
        )
    return fit.model


def serves[**P](
    name: str, what: str, condition: Callable[[Fit], bool] = lambda _: True
) -> Callable[[Callable[Concatenate[Fit, P], Figure]], Callable[Concatenate[Fit, P], Figure]]:
    """Make a decorator: a function that draws a figure refuses fits whose model does not list it.

    Parameters
    ----------
    name
        The figure's name, as models list it.
    what
        The fits that it can draw, in words: "meta-analyses of ...".
    condition
        A further condition on the fit, by its data and estimands.

    Returns
    -------
    callable
        A decorator of functions from a fit to a figure.
    """

    def decorate(draw: Callable[Concatenate[Fit, P], Figure]) -> Callable[Concatenate[Fit, P], Figure]:
        function = getattr(draw, "__name__", "this")

        @functools.wraps(draw)
        def checked(fit: Fit, /, *args: P.args, **kwargs: P.kwargs) -> Figure:
            if not isinstance(fit, Fit):
                raise BadInput(f"{function} draws a fit, and this is a {type(fit).__name__}; give what bd.fit returns")
            if not (has_figure(fit, name) and condition(fit)):
                raise BadInput(
                    f"{function} is for {what}, which this fit of a {type(fit.model).__name__} is not; bd.plot_forest "
                    "draws any fit"
                )
            return draw(fit, *args, **kwargs)

        return checked

    return decorate


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
    if forest.by_evidence or len(rows) > _MANY:  # sorted, a long panel is easier to read
        above = rows["prob_gt_null"].to_numpy() if forest.by_evidence else np.zeros(len(rows))
        order = np.lexsort((-rows["median"].to_numpy(), -above))
        rows, crude, se = rows.iloc[order], crude[order], se[order]
    count, shown = len(rows), shown_of(len(rows))
    rows, crude, se = rows.iloc[shown], crude[shown], se[shown]
    labels = _labels(rows, several=len(forest.rows) > 1)
    foot = [(forest.summary, "overall"), (forest.prediction, f"new {fit.model.left_out}")]
    feet = [(row, label) for name, label in foot if name for _, row in table[table["estimand"] == name].iterrows()]
    height = 1.1 + 0.24 * (len(rows) + len(feet))
    with styled_figure(fit, 6.8, height) as figure:
        figure.says_shown(len(rows), count, "rows are shown: the first and the last in this order")
        axes = figure.add_subplot()
        y = np.arange(len(rows))[::-1] + len(feet) + 0.6 * bool(feet)
        attrs = fit.estimands[forest.rows[0]].attrs
        if not np.isnan(attrs.get("null", 0.0)):
            axes.axvline(0, color=GREY, lw=0.8, zorder=0)
        if "rope_lower" in attrs:
            rope = (float(attrs["rope_lower"]), float(attrs["rope_upper"]))
            axes.axvspan(*rope, color=GREY, alpha=0.18, lw=0, zorder=0, label="practically equal")
        if np.isfinite(crude).any():
            axes.errorbar(crude, y + 0.16, xerr=1.96 * se, fmt="o", ms=3, color=GREY, lw=1, label="on its own")
        axes.hlines(y - 0.16, rows["lower"], rows["upper"], color=BLUE, lw=1.6)
        axes.plot(rows["median"], y - 0.16, "o", ms=4, color=BLUE, label="in the model")
        for i, (row, label) in enumerate(feet):
            height_of_row = len(feet) - 1 - i
            if label == "overall":
                x = [row["lower"], row["median"], row["upper"], row["median"]]
                axes.fill(x, [height_of_row, height_of_row + 0.26, height_of_row, height_of_row - 0.26], color=BLUE)
            else:
                axes.plot(
                    [row["lower"], row["upper"]],
                    [height_of_row, height_of_row],
                    color=BLUE,
                    lw=4,
                    alpha=0.35,
                    solid_capstyle="butt",
                )
                axes.plot(row["median"], height_of_row, "|", color=BLUE, ms=9)
        axes.set_yticks([*y, *range(len(feet))[::-1]], [*labels, *(label for _, label in feet)])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.6, y[0] + 0.7)
        units = rows["units"].iloc[0]
        if forest.is_log:
            ratio_axis(axes)
            units = units.removeprefix("log ")
        axes.set_xlabel(f"{units} (95% intervals)")
        _keep_in_view(axes, rows, crude, se, feet)
        legend_below(figure, axes.get_legend_handles_labels(), 3)
    return figure


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
    """Kernel density with reflection at the ends of the support."""
    kernel = stats.gaussian_kde(draws)

    def density(x: np.ndarray) -> np.ndarray:
        values = kernel(x)
        for end in support:
            if np.isfinite(end):
                values = values + kernel(2 * end - x)
        return np.asarray(values)

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
        finite(result.replicated), bins=bins.tolist(), weights=_shares(result.replicated, bins), color=BLUE, alpha=0.55,
        label="replicated",
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
    axes.set_title(f"{result.name}  (p = {result.p:.2f})")
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
    panels = panels[:6]
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
