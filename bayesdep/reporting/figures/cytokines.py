"""Figures of panels of censored concentrations.

ArviZ's ``plot_ppc_censored`` draws a Kaplan-Meier curve, which allows for no intervals and for no limits that differ
between plates; here every replicate is censored at the limits of its own measurement.
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from bayesdep.inference.fit import Fit
from bayesdep.reporting.estimands import summarise
from bayesdep.reporting.figures.common import ratio_axis
from bayesdep.reporting.figures.composing import BLUE, GREY, INK, RED, chosen, derives, serves, styled_figure
from bayesdep.reporting.figures.layout import legend_below
from bayesdep.reporting.ranges import MOST_ROWS, distinct, shown_of

_REPLICATES = 1000  # at most, evenly from all draws: enough for the ends of 95% intervals
_PANELS = 24
_GRID = 60  # places at which distribution functions are compared
_GROUPS = ("#6d6d6d", BLUE, "#b3701b", "#3f7d4e", "#7a4f9a", "#8a5a44")


def has_limits(fit: Fit) -> bool:
    """Whether a panel has known detection limits."""
    return bool(np.isfinite(fit.data["lod"].values).any())


def has_plates(fit: Fit) -> bool:
    """Whether a panel has several plates."""
    return fit.data.sizes["plate"] > 1


@dataclass(frozen=True)
class Recorded:
    """Measurements and replicates as the assay reports them: -inf below and inf above its limits.

    Parameters
    ----------
    data
        Shape (measurement,).
    replicates
        Shape (draws, measurement).
    lod, uloq
        Log limits, shape (measurement,); -inf and inf where unknown.
    """

    data: np.ndarray
    replicates: np.ndarray
    lod: np.ndarray
    uloq: np.ndarray


def recorded(fit: Fit) -> Recorded:
    """Return a panel's measurements and replicates as the assay reports them.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.cytokines.model.Cytokines`.

    Returns
    -------
    Recorded
        A value between the limits of detection and quantification is known to lie below the latter: in the data and in
        the replicates it counts as the limit of quantification.
    """
    panel = fit.data
    kind = panel["kind"].values
    lod, uloq = (np.where(np.isnan(panel[w]), end, panel[w]) for w, end in (("lod", -np.inf), ("uloq", np.inf)))
    where = panel["analyte_of"].values * panel.sizes["plate"] + panel["plate_of"].values
    quantified = np.full(where.max() + 1, -np.inf)
    np.maximum.at(quantified, where, np.where(kind == 3, panel["upper"], -np.inf))
    lloq = quantified[where]

    def report(y: np.ndarray) -> np.ndarray:
        y = np.where(y < lod, -np.inf, np.maximum(y, lloq))
        return np.where(y > uloq, np.inf, y)

    draws = fit.tree["posterior_predictive"]["log_concentration"].transpose("chain", "draw", ...).values
    draws = draws.reshape(-1, draws.shape[-1])
    draws = draws[np.unique(np.linspace(0, len(draws) - 1, _REPLICATES).astype(int))]
    data = np.where(kind == 3, panel["upper"].values, report(panel["upper"].values))
    data = np.where(kind == 1, -np.inf, np.where(kind == 2, np.inf, data))
    return Recorded(data, report(draws), lod, uloq)


@serves("shares", "panels with values beyond detection limits", has_limits)
def plot_shares(fit: Fit) -> Figure:
    """Draw the share of measurements below the detection limit, by analyte and group, against replicates.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.cytokines.model.Cytokines` with known limits.

    Returns
    -------
    matplotlib.figure.Figure
        Points: the data, red where outside. Bars: the posterior predictive 95% interval, each replicate put against
        the limit of its own measurement. Analytes with the largest shares come first.

    Examples
    --------
    >>> import bayesdep as bd
    >>> panel = bd.simulate("kiraly2017", seed=1).table  # synthetic
    >>> limits = {"censored": "censored", "lod": "lod", "uloq": "uloq", "unit": "unit", "plate": "plate"}
    >>> columns = {"analyte": "analyte", "subject": "subject", "group": "group", "time": "time", **limits}
    >>> fit = bd.fit(bd.Cytokines(reference="HC", **columns), panel)  # doctest: +SKIP
    >>> figure = bd.plot_shares(fit)  # doctest: +SKIP
    """
    panel, assay = fit.data, recorded(fit)
    groups = panel["group"].values
    has_limit = np.isfinite(assay.lod)
    cell = panel["analyte_of"].values * len(groups) + panel["group_of"].values
    n = np.bincount(cell[has_limit], minlength=panel.sizes["analyte"] * len(groups)).astype(float)
    member = (cell[has_limit][:, None] == np.arange(len(n))).astype(np.float32)
    n[n == 0] = np.nan
    observed = (np.isneginf(assay.data[has_limit]).astype(np.float32) @ member) / n
    replicated = (np.isneginf(assay.replicates[:, has_limit]).astype(np.float32) @ member) / n
    lower, upper = np.quantile(replicated, [0.025, 0.975], axis=0).reshape(2, -1, len(groups))
    observed = observed.reshape(-1, len(groups))
    has = np.flatnonzero(~np.isnan(observed).all(axis=1))
    order = has[np.lexsort((np.arange(len(has)), -np.nanmean(observed[has], axis=1)))]
    order = order[chosen("analyte", panel["analyte"].values[order])]
    count, order = len(order), order[: _most(len(groups) / 2)]
    with styled_figure(fit, 6.4, 1.2 + 0.2 * len(order) * max(1.0, len(groups) / 2)) as figure:
        figure.says_shown(len(order), count, "analytes are shown: those with the largest shares")
        axes = figure.add_subplot()
        y = np.arange(len(order))[::-1]
        for g in range(len(groups)):
            at = y + _offset(g, len(groups))
            colour = _GROUPS[g % len(_GROUPS)]
            axes.hlines(at, lower[order, g], upper[order, g], color=colour, lw=2.4, alpha=0.45)
            _points(axes, observed[order, g], at, lower[order, g], upper[order, g], colour)
        _rows(axes, y, panel["analyte"].values[order])
        axes.set_xlim(-0.02, 1.02)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_xlabel("measurements below the detection limit (bars: 95% of replicates)")
        _legend(figure, groups)
    return figure


@serves("ecdf", "panels of analytes")
def plot_ecdf(fit: Fit) -> Figure:
    """Draw the distribution of each analyte's detected values against replicates cut off at the same limits.

    ArviZ's ``plot_ppc_censored`` would be the choice were there one limit and no intervals.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.cytokines.model.Cytokines`.

    Returns
    -------
    matplotlib.figure.Figure
        Line: cumulative share of the analyte's measurements, starting at the left edge from the share below the
        limit. Band: pointwise 95% of replicates. Up to 24 analytes, those first whose line is furthest from the
        replicates' mean in standard deviations (given in each title); analytes with fewer than two detected values
        have no line.

    Examples
    --------
    >>> import bayesdep as bd
    >>> panel = bd.simulate("kiraly2017", seed=1).table  # synthetic
    >>> limits = {"censored": "censored", "lod": "lod", "uloq": "uloq", "unit": "unit", "plate": "plate"}
    >>> columns = {"analyte": "analyte", "subject": "subject", "group": "group", "time": "time", **limits}
    >>> fit = bd.fit(bd.Cytokines(reference="HC", **columns), panel)  # doctest: +SKIP
    >>> figure = bd.plot_ecdf(fit)  # doctest: +SKIP
    """
    panel, assay = fit.data, recorded(fit)
    lines_of_analytes = []
    analytes = panel["analyte"].values
    for a, name in ((k, analytes[k]) for k in chosen("analyte", analytes)):
        rows = panel["analyte_of"].values == a
        values = assay.data[rows]
        detected = values[np.isfinite(values)]
        if len(distinct(detected)) < 2:
            continue
        x = np.linspace(detected.min(), detected.max(), _GRID)
        observed = (values[:, None] <= x).mean(axis=0)
        shares = cumulative_shares(assay.replicates[:, rows], x)
        # where replicates hardly vary, one measurement more or less is no discrepancy
        away = np.abs(observed - shares.mean(axis=0)) / np.maximum(shares.std(axis=0), 0.5 / rows.sum())
        lines_of_analytes.append(
            (float(away.max()), str(name), x, observed, *np.quantile(shares, [0.025, 0.975], axis=0))
        )
    lines_of_analytes.sort(key=lambda line: -line[0])
    shown = lines_of_analytes[:_PANELS]
    columns = min(4, max(len(shown), 1))
    lines = max(1, -(-len(shown) // columns))
    with styled_figure(fit, 1.65 * columns + 0.2 if columns > 2 else 2.6 * columns, 1.3 * lines + 0.7) as figure:
        grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for axes, (distance, name, x, observed, lower, upper) in zip(grid.flat, shown, strict=False):
            edge = x[0] - 0.12 * (x[-1] - x[0])
            grown = np.concatenate([[edge], x])
            band = [np.concatenate([end[:1], end]) for end in (lower, upper)]
            axes.fill_between(grown, *band, color=BLUE, alpha=0.3, lw=0)
            axes.step(np.append(grown, x[-1]), [observed[0], *observed, observed[-1]], where="post", color=INK, lw=1.1)
            axes.set_xlim(edge, x[-1])
            axes.set_ylim(-0.03, 1.03)
            axes.set_title(f"{name}  ({distance:.1f})", fontsize=8)
            axes.tick_params(labelsize=7.5)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
            axes.yaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
            _concentrations(axes, x[0], x[-1])
        for axes in grid.flat[len(shown) :]:
            axes.remove()
        units = set(map(str, panel["unit"].values))
        unit = units.pop() if len(units) == 1 else "concentration"
        others = len(lines_of_analytes) - len(shown)
        rest = f"; the other {others} analytes fit better" if others else ""
        figure.supxlabel(f"{unit} (band: 95% of replicates{rest})", fontsize=9)
    return figure


def cumulative_shares(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the share of each row's values that are no larger than each x.

    Parameters
    ----------
    values
        Shape (rows, values), possibly infinite.
    x
        In ascending order.

    Returns
    -------
    numpy.ndarray
        Shape (rows, x).
    """
    place = np.searchsorted(x, values) + (len(x) + 1) * np.arange(len(values))[:, None]
    counts = np.bincount(place.ravel(), minlength=len(values) * (len(x) + 1)).reshape(len(values), -1)
    return np.asarray(np.cumsum(counts[:, :-1], axis=1) / values.shape[1])


@serves("plates", "panels with plates", has_plates)
def plot_plates(fit: Fit) -> Figure:
    """Draw each plate's median deviation from the analytes' means against replicates.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.cytokines.model.Cytokines` with plates.

    Returns
    -------
    matplotlib.figure.Figure
        Points: the data. Bars: posterior predictive 50% and 95% intervals. Values beyond a limit stand at it, in the
        data and in the replicates.

    Examples
    --------
    >>> import bayesdep as bd
    >>> panel = bd.simulate("kiraly2017", seed=1).table  # synthetic
    >>> limits = {"censored": "censored", "lod": "lod", "uloq": "uloq", "unit": "unit", "plate": "plate"}
    >>> columns = {"analyte": "analyte", "subject": "subject", "group": "group", "time": "time", **limits}
    >>> fit = bd.fit(bd.Cytokines(reference="HC", **columns), panel)  # doctest: +SKIP
    >>> figure = bd.plot_plates(fit)  # doctest: +SKIP
    """
    panel, assay = fit.data, recorded(fit)
    analyte, plate = panel["analyte_of"].values, panel["plate_of"].values
    both = np.clip(np.vstack([assay.data, assay.replicates]), assay.lod, assay.uloq)
    known = np.isfinite(both).all(axis=0)  # where a limit is not known, values beyond it have no number
    both, analyte, plate = both[:, known], analyte[known], plate[known]
    member = (analyte[:, None] == np.arange(panel.sizes["analyte"])).astype(float)
    away = both - (both @ member / np.maximum(member.sum(axis=0), 1))[:, analyte]
    plates = sorted(set(plate), key=lambda p: str(panel["plate"].values[p]))
    medians = np.stack([np.median(away[:, plate == p], axis=1) for p in plates], axis=1)
    observed, replicated = medians[0], medians[1:]
    low_95, low_50, high_50, high_95 = np.quantile(replicated, [0.025, 0.25, 0.75, 0.975], axis=0)
    wanted = chosen("plate", panel["plate"].values[plates])
    count = len(wanted)
    furthest = np.sort(wanted[np.argsort(-np.abs(observed[wanted]), kind="stable")[: _most(1.5)]])
    plates = [plates[k] for k in furthest]
    observed, low_95, low_50, high_50, high_95 = (v[furthest] for v in (observed, low_95, low_50, high_50, high_95))
    with styled_figure(fit, 6.4, 1.1 + 0.34 * len(observed)) as figure:
        figure.says_shown(len(observed), count, "plates are shown: those furthest from the mean")
        axes = figure.add_subplot()
        y = np.arange(len(observed))[::-1]
        axes.axvline(0, color=GREY, lw=0.8, zorder=0)
        axes.hlines(y, low_95, high_95, color=BLUE, lw=2, alpha=0.45)
        axes.hlines(y, low_50, high_50, color=BLUE, lw=5, alpha=0.45)
        _points(axes, observed, y, low_95, high_95, INK, size=5)
        _rows(axes, y, panel["plate"].values[plates])
        ratio_axis(axes)
        axes.set_xlabel("median ratio to the analytes' means (bars: 50% and 95% of replicates)")
    return figure


@serves("changes", "panels with times", derives("ratio_to_baseline"))
def plot_changes(fit: Fit) -> Figure:
    """Draw each analyte's ratio to baseline at each later time.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.cytokines.model.Cytokines` with times.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a time: posterior medians with 95% intervals, one colour a group where groups change differently.
        All panels have the order of the medians at the last time (of the last group).

    Examples
    --------
    >>> import bayesdep as bd
    >>> panel = bd.simulate("kiraly2017", seed=1).table  # synthetic
    >>> limits = {"censored": "censored", "lod": "lod", "uloq": "uloq", "unit": "unit", "plate": "plate"}
    >>> columns = {"analyte": "analyte", "subject": "subject", "group": "group", "time": "time", **limits}
    >>> fit = bd.fit(bd.Cytokines(reference="HC", **columns), panel)  # doctest: +SKIP
    >>> figure = bd.plot_changes(fit)  # doctest: +SKIP
    """
    values = fit.estimands["ratio_to_baseline"]
    table = summarise(fit)
    table = table[table["estimand"] == "ratio_to_baseline"]
    groups = values["group"].values if "group" in values.dims else np.array(["all"])
    times, analytes = (values[d].values.astype(str) for d in ("later", "analyte"))
    shape = (len(analytes), len(times), len(groups))
    median, lower, upper = (np.log(table[c].to_numpy(float)).reshape(shape) for c in ("median", "lower", "upper"))
    order = np.argsort(-median[:, -1, -1], kind="stable")
    order = order[chosen("analyte", analytes[order])]
    later = chosen("later", times)
    times, median, lower, upper = times[later], median[:, later], lower[:, later], upper[:, later]
    count = len(order)
    columns = min(len(times), 4)
    lines = -(-len(times) // columns)
    order = order[shown_of(len(order), _most(lines * max(1.0, len(groups) / 1.5)))]
    y = np.arange(len(order))[::-1]
    height = 1.0 + lines * (0.4 + 0.19 * len(order) * max(1.0, len(groups) / 1.5))
    with styled_figure(fit, 6.6, height) as figure:
        figure.says_shown(len(order), count, "analytes are shown: the first and the last in this order")
        grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
        for t, axes in enumerate(grid.flat[: len(times)]):
            axes.axvline(0, color=GREY, lw=0.8, zorder=0)
            for g in range(len(groups)):
                colour = BLUE if len(groups) == 1 else _GROUPS[g % len(_GROUPS)]
                at = y + _offset(g, len(groups))
                axes.hlines(at, lower[order, t, g], upper[order, t, g], color=colour, lw=1.6)
                axes.plot(median[order, t, g], at, "o", ms=3.5, color=colour)
            axes.set_title(f"time {times[t]}")
            axes.xaxis.set_tick_params(labelbottom=True)
            _rows(axes, y, analytes[order])
        for axes in grid.flat[len(times) :]:
            axes.remove()
        ratio_axis(grid.flat[0])
        figure.supxlabel("ratio to baseline (95% intervals)", fontsize=9)
        if len(groups) > 1:
            _legend(figure, groups)
    return figure


def _most(lines: float) -> int:
    """How many rows find room, where each takes that many lines."""
    return max(2, int(MOST_ROWS / max(lines, 1.0)))


def _offset(group: int, groups: int) -> float:
    """Where in an analyte's row a group is drawn."""
    return 0.0 if groups == 1 else 0.5 - (group + 1) / (groups + 1) if groups > 2 else 0.17 - 0.34 * group


def _points(
    axes: Axes, x: np.ndarray, y: np.ndarray, lower: np.ndarray, upper: np.ndarray, colour: str, size: float = 3.6
) -> None:
    """Draw the data's points, ringed in red where outside an interval."""
    axes.plot(x, y, "o", ms=size, color=colour, zorder=3)
    outside = (x < lower - 1e-9) | (x > upper + 1e-9)
    axes.plot(x[outside], y[outside], "o", ms=size + 1.6, mfc="none", mec=RED, mew=1.4, zorder=4)


def _rows(axes: Axes, y: np.ndarray, labels: np.ndarray) -> None:
    axes.set_yticks(y, [str(label) for label in labels])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.7, len(y) - 0.3)


def _legend(figure: Figure, groups: np.ndarray) -> None:
    handles = [Line2D([], [], color=_GROUPS[g % len(_GROUPS)], marker="o", ms=4, lw=2) for g in range(len(groups))]
    legend_below(figure, (handles, [str(g) for g in groups]), min(len(groups), 6))


def _concentrations(axes: Axes, low: float, high: float) -> None:
    """Label a natural-log axis with two or three concentrations."""
    steps = np.log(np.outer(10.0 ** np.arange(-12, 13), (1, 2, 5))).ravel()
    inside = steps[(steps >= low) & (steps <= high)]
    ticks: list[float] = []
    for tick in inside:
        if not ticks or tick - ticks[-1] > 0.34 * (high - low):  # room for a number of five digits
            ticks.append(float(tick))
    if len(ticks) < 2:
        ticks = [low, high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{float(f'{np.exp(v):.2g}'):g}"))
    axes.xaxis.set_minor_locator(NullLocator())
