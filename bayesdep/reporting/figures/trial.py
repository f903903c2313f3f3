"""Figures of trials over visits: means by arm, the arms' difference along a moderator, and correlations of visits."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from bayesdep.inference.fit import Fit
from bayesdep.models.trial.means import everybody_in, expected
from bayesdep.models.trial.residuals import correlations
from bayesdep.models.trial.settings import TrialSettings, is_log
from bayesdep.numerics.draws import stack_draws
from bayesdep.numerics.types import Draws
from bayesdep.reporting.figures.common import ratio_axis
from bayesdep.reporting.figures.composing import (
    BLUE,
    GREY,
    INK,
    RED,
    chosen,
    derives,
    serves,
    settings_of_kind,
    styled_figure,
)
from bayesdep.reporting.figures.layout import legend_below
from bayesdep.reporting.ranges import MOST_PANELS, limits

_DRAWS = 1000  # at most, evenly from all draws: enough for the ends of 95% bands
_ROOM = {1: 20, 2: 9}  # labels that have room along a panel, by panels side by side
_COUNTS = {1: 36, 2: 16}  # numbers of patients that have room along a panel, likewise
_LINE = 38  # characters that have room along the height of a panel
_NAME = {1: 28, 2: 16}  # characters of an arm's name at the side of a panel, by panels side by side
_BAR = 0.05  # the least probability at which the scale of the crossing's histogram ends: one draw is no peak
_WRITTEN = 16  # visits up to which correlations are written into their cells
_HIGHEST = 12.0  # inches of all matrices together
_COMPARISONS = "comparisons are shown, the first of the table"
REFERENCE = "#6d6d6d"  # the reference arm's: GREY is too pale for a line
_CORRELATIONS = LinearSegmentedColormap.from_list("correlations", [RED, "white", BLUE])


def has_visits(fit: Fit) -> bool:
    """Whether a trial has more visits than one."""
    return fit.data.sizes["visit"] > 1


@serves("trajectories", "trials")
def plot_trajectories(fit: Fit) -> Figure:
    """Draw the mean outcome by visit and arm.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.model.Trial`.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per comparison. Line and band: posterior mean and pointwise 95% interval of the mean outcome, had all
        patients at hand been in that arm and missed no visit. Points: means of those observed, as they are, with
        their number below.

    Examples
    --------
    >>> import bayesdep as bd
    >>> visits = bd.simulate("raison2013", seed=1).table.query("week > 0")  # synthetic
    >>> columns = {"outcome": "hamd", "baseline": "hamd_baseline", "visit": "week", "day": "day", "moderator": "crp"}
    >>> model = bd.Trial(reference="placebo", units="HAM-D points", subgroups=["> 5", "<= 5"], response=0.5, **columns)
    >>> fit = bd.fit(model, visits)  # doctest: +SKIP
    >>> figure = bd.plot_trajectories(fit)  # doctest: +SKIP
    """
    model, data = _model(fit), fit.data
    arms, visits = data["arm"].values, data["visit"].values
    columns = 2 if len(arms) > 2 and _labels_needed(visits) <= _ROOM[2] else 1
    x, scale = positions(visits, _ROOM[columns])
    means = standardised_means(fit)
    wanted = 1 + chosen("comparison", arms[1:])
    count = min(len(wanted), MOST_PANELS)
    with styled_figure(fit, 6.6, 0.6 + 3.1 * -(-count // columns)) as figure:
        figure.says_shown(count, len(wanted), _COMPARISONS)
        pairs = _panels(figure, count, columns, 0.13)
        for k, (axes, counts) in zip(wanted, pairs, strict=False):
            for arm in (0, k):
                _trajectory(axes, counts, x, means[arm], data, arm, every=-(-len(x) // _COUNTS[columns]))
            axes.set_xticks(x, visits)
            axes.set_xlabel(f"{model.visit}{scale}")
            axes.set_ylabel(f"mean {model.outcome}\n({data['outcome'].attrs['units']}; {model.better} is better)")
            if len(pairs) > 1:
                axes.set_title(f"{arms[k]} and {arms[0]}", pad=12)
            _table_of_counts(counts, [shorten(str(arms[j]), _NAME[columns]) for j in (k, 0)], [BLUE, REFERENCE])
            counts.set_xlim(axes.get_xlim())  # not shared, since its ticks are removed
        _same_height([axes for axes, _ in pairs])
        lines = [Line2D([], [], color=c, ls=dashes, lw=1.6) for c, dashes in ((REFERENCE, "--"), (BLUE, "-"))]
        points = [Line2D([], [], color=c, ls="", marker=m, ms=5) for c, m in ((REFERENCE, "s"), (BLUE, "o"))]
        handles: list[Any] = [*lines, Patch(color=GREY, alpha=0.4, lw=0), (points[0], points[1])]
        other = str(arms[wanted[0]]) if len(pairs) == 1 else "other arm"
        labels = [str(arms[0]), other, "95% band", "observed"]
        legend_below(figure, (handles, labels), 4, handler_map={tuple: HandlerTuple(ndivide=None)})
    return figure


def _trajectory(
    axes: Axes, counts: Axes, x: np.ndarray, means: Draws, data: xr.Dataset, arm: int, *, every: int
) -> None:
    """Draw an arm's means by visit, the means of those observed, and below, at some of the visits, their number."""
    colour, dashes, marker = (REFERENCE, "--", "s") if arm == 0 else (BLUE, "-", "o")
    lower, upper = np.quantile(means, [0.025, 0.975], axis=0)
    axes.fill_between(x, lower, upper, color=colour, alpha=0.22, lw=0)
    axes.plot(x, means.mean(axis=0), color=colour, ls=dashes, lw=1.6)
    outcome = data["outcome"].values[data["arm_of"].values == arm]
    aside = (-0.006 if arm == 0 else 0.006) * np.ptp(x)  # equal means would hide each other
    axes.plot(x + aside, np.nanmean(outcome, axis=0), marker, ms=5, mfc=colour, mec="white", mew=0.8, zorder=3)
    for place, n in list(zip(x, (~np.isnan(outcome)).sum(axis=0), strict=True))[::every]:
        counts.text(place, float(arm == 0), f"{n}", ha="center", va="center", fontsize=7.5, color=colour)


def standardised_means(fit: Fit) -> np.ndarray:
    """Return the mean outcome at every visit, had all patients at hand been in one arm.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.model.Trial`.

    Returns
    -------
    numpy.ndarray
        Shape (arms, samples, visits), arms as in the data; a thousand samples at most.
    """
    data, draws = fit.data, stack_draws(fit.posterior)
    kept = draws.isel(sample=thinned(draws.sizes["sample"], _DRAWS))
    arms = range(data.sizes["arm"])
    return np.stack([expected(_model(fit), kept, everybody_in(arm, data)).mean(axis=1) for arm in arms])


@serves("difference_along", "trials with a moderator", derives("difference_along"))
def plot_difference_along(fit: Fit) -> Figure:
    """Draw the difference between arms at the last visit along the moderator, and where it changes sign.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.model.Trial` with a moderator.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per comparison. Line and bands: posterior median and pointwise 50% and 95% intervals. Ticks at the
        foot: the patients of both arms. Below, the draws of the crossing that lie inside the observed range, on the
        side on which the arm is more likely to be better, each bar in proportion to its probability; at a threshold
        there is one bar. The axis is of logarithms where the moderator enters as one.

    Examples
    --------
    >>> import bayesdep as bd
    >>> visits = bd.simulate("raison2013", seed=1).table.query("week > 0")  # synthetic
    >>> columns = {"outcome": "hamd", "baseline": "hamd_baseline", "visit": "week", "day": "day", "moderator": "crp"}
    >>> model = bd.Trial(reference="placebo", units="HAM-D points", subgroups=["> 5", "<= 5"], response=0.5, **columns)
    >>> fit = bd.fit(model, visits)  # doctest: +SKIP
    >>> figure = bd.plot_difference_along(fit)  # doctest: +SKIP
    """
    model, data = _model(fit), fit.data
    wanted = chosen("comparison", data["comparison"].values)
    names = data["comparison"].values[wanted[:MOST_PANELS]]
    columns = min(len(names), 2)
    with styled_figure(fit, 6.6, 0.6 + 3.5 * -(-len(names) // columns)) as figure:
        figure.says_shown(len(names), len(wanted), _COMPARISONS)
        pairs = _panels(figure, len(names), columns, 0.22)
        for k, name, (axes, below) in zip(wanted, names, pairs, strict=False):
            x = _moderator_axis(model, data["grid_value"].values)
            _difference_along(axes, fit, k, x)
            if len(pairs) > 1:
                axes.set_title(f"{name} less {data['arm'].values[0]}", pad=12)
            _crossing(below, fit, k, x, fontsize=8 if columns == 1 else 7)
            below.sharex(axes)
            if is_log(model.moderator_form):
                ratio_axis(below)
            axes.set_xlim(x[0] - 0.02 * (x[-1] - x[0]), x[-1] + 0.02 * (x[-1] - x[0]))
        _same_height([axes for axes, _ in pairs])
        _same_height([below for _, below in pairs])
        handles, labels = pairs[0][0].get_legend_handles_labels()
        handles[labels.index("50% band")] = Patch(color=BLUE, alpha=0.44, lw=0)  # it is drawn over the 95% band
        legend_below(figure, (handles, labels), 4)
    return figure


def _moderator_axis(model: TrialSettings, values: np.ndarray) -> np.ndarray:
    """Values of the moderator on the axis that it enters on."""
    return np.log(values) if is_log(model.moderator_form) else values


def _difference_along(axes: Axes, fit: Fit, k: int, x: np.ndarray) -> None:
    """Draw the k-th arm's difference to the reference along the moderator, and a tick for each patient of both arms."""
    model, data = _model(fit), fit.data
    name, visit = str(data["comparison"].values[k]), data["visit"].values[-1]
    curve, of_grid = _with_step(x, model.threshold)
    draws = fit.estimands["difference_along"].isel(comparison=k).transpose("chain", "draw", "grid").values
    levels = [0.025, 0.25, 0.5, 0.75, 0.975]
    low_95, low_50, median, high_50, high_95 = np.quantile(draws[..., of_grid], levels, axis=(0, 1))
    axes.axhline(0, color=INK, lw=0.8, zorder=1)
    axes.fill_between(curve, low_95, high_95, color=BLUE, alpha=0.2, lw=0, label="95% band")
    axes.fill_between(curve, low_50, high_50, color=BLUE, alpha=0.3, lw=0, label="50% band")
    axes.plot(curve, median, color=BLUE, lw=1.8, label="median")
    is_compared = np.isin(data["arm_of"].values, (0, k + 1))
    patients = _moderator_axis(model, data["moderator"].values[is_compared])
    at_foot = axes.get_xaxis_transform()  # x in data, y in shares of the panel
    axes.plot(patients, np.full(len(patients), 0.03), "|", ms=7, mew=0.7, color=INK, alpha=0.7,
              transform=at_foot, label="patients")  # fmt: skip
    sides = favours(*lower_and_higher(model, name))
    axes.set_ylabel(f"difference at {model.visit} {visit} ({model.units})\n{sides}", fontsize=8)
    axes.tick_params(labelbottom=False)


def _crossing(axes: Axes, fit: Fit, k: int, x: np.ndarray, *, fontsize: int) -> None:
    """Draw the draws of where the k-th arm's and the reference's curves cross, on the likelier side."""
    model, estimands = _model(fit), fit.estimands.isel(comparison=k)
    name = str(fit.data["comparison"].values[k])
    side = str(estimands["side"].values[estimands["crosses"].mean(("chain", "draw")).argmax("side")])
    is_inside = estimands["crosses"].sel(side=side).values.ravel() > 0
    places = _moderator_axis(model, estimands["crossing"].sel(side=side).values.ravel()[is_inside])
    # at a threshold there is one bar: curves cross nowhere else
    bins = x if model.threshold is None else model.threshold + np.ptp(x) * np.array([-0.006, 0.006])
    axes.hist(places, bins=bins.tolist(), weights=np.full(len(places), 1 / len(is_inside)), color=BLUE, alpha=0.55)
    title = f"value {side} which {name} is better: in this range with probability {is_inside.mean():.2f}"
    axes.set_title(title, fontsize=fontsize, pad=3)
    axes.set_yticks([])
    axes.set_ylim(0, max(_BAR, axes.get_ylim()[1]))
    axes.spines["left"].set_visible(False)
    axes.set_ylabel("crossing", fontsize=8)
    axes.set_xlabel(f"{model.moderator} at baseline{' (log scale)' if is_log(model.moderator_form) else ''}")


def _with_step(x: np.ndarray, threshold: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Places along a curve, and the grid point from which each has its height: at a threshold there are two."""
    of_grid = np.arange(len(x))
    if threshold is None:
        return x, of_grid
    above = int(np.searchsorted(x, threshold, side="right"))
    return np.insert(x, above, [threshold, threshold]), np.insert(of_grid, above, [above - 1, above])


@serves("covariance", "trials")
def plot_covariance(fit: Fit) -> Figure:
    """Draw the correlations between visits and the residual standard deviations.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.model.Trial`.

    Returns
    -------
    matplotlib.figure.Figure
        Left: posterior means of the residuals' correlations; blue is positive, red negative. With spatial power they
        are those of a patient seen on the visits' median days. Right: posterior medians and 95% intervals of the
        residual standard deviation, in the same rows. Where each arm has a covariance of its own there is one line of
        panels per comparison: below the diagonal and in grey the reference's, above it and in blue the other arm's.

    Examples
    --------
    >>> import bayesdep as bd
    >>> visits = bd.simulate("raison2013", seed=1).table.query("week > 0")  # synthetic
    >>> columns = {"outcome": "hamd", "baseline": "hamd_baseline", "visit": "week", "day": "day", "moderator": "crp"}
    >>> model = bd.Trial(reference="placebo", units="HAM-D points", subgroups=["> 5", "<= 5"], response=0.5, **columns)
    >>> fit = bd.fit(model, visits)  # doctest: +SKIP
    >>> figure = bd.plot_covariance(fit)  # doctest: +SKIP
    """
    model, data = _model(fit), fit.data
    visits, arms = data["visit"].values, [str(arm) for arm in data["arm"].values]
    days = np.median(data["day"].values, axis=0)
    draws = stack_draws(fit.posterior)
    means = [correlations(model, draws, days, arm).mean(axis=0) for arm in range(len(arms) if model.by_arm else 1)]
    sd = fit.estimands["residual_sd"].transpose("chain", "draw", ..., "visit").values
    sds = np.quantile(sd.reshape(*sd.shape[:2], len(means), -1), [0.025, 0.5, 0.975], axis=(0, 1))
    wanted = 1 + chosen("comparison", arms[1:]) if model.by_arm else np.array([0])
    others = wanted[:MOST_PANELS]
    height = 1.3 + min(0.36 * max(len(visits), 3), _HIGHEST / len(others))
    with styled_figure(fit, 6.6, 0.3 * model.by_arm + height * len(others)) as figure:
        figure.says_shown(len(others), len(wanted), _COMPARISONS)
        grid = figure.subplots(len(others), 2, sharey=True, squeeze=False, width_ratios=(1.5, 1))
        for (left, right), k in zip(grid, others, strict=True):
            _correlations(left, model, visits, means[0], means[k] if model.by_arm else None)
            _residual_sds(right, model, sds, k)
            if len(others) > 1:
                right.set_title(f"{right.get_title()}, {arms[k]}")
        if model.by_arm:
            other = arms[1] if len(arms) == 2 else "other arm"
            labels = [f"{arms[0]} (below the diagonal)", f"{other} (above it)"]
            handles = [Line2D([], [], color=colour, marker="o", ms=4.5, lw=1.8) for colour in (REFERENCE, BLUE)]
            legend_below(figure, (handles, labels), 2)
    return figure


def _correlations(
    axes: Axes, model: TrialSettings, visits: np.ndarray, below: np.ndarray, above: np.ndarray | None
) -> None:
    """Draw the correlations of visits: one arm's below the diagonal, and another's above it."""
    _matrix(axes, below, above)
    axes.set_xticks(range(len(visits)), visits)
    axes.set_yticks(range(len(visits)), visits)
    axes.set_xlabel(model.visit)
    axes.set_ylabel(model.visit)
    on_days = "\non the visits' median days" if model.covariance == "spatial-power" else ""
    axes.set_title(f"correlation of residuals{on_days}")


def _residual_sds(axes: Axes, model: TrialSettings, sds: np.ndarray, k: int) -> None:
    """Draw the residual sds, shape (3, arms, visits): of the reference and the k-th arm, or of all patients."""
    if model.by_arm:
        _intervals(axes, sds[:, 0], REFERENCE, -0.14)
        _intervals(axes, sds[:, k], BLUE, 0.14)
    else:
        _intervals(axes, sds[:, 0], BLUE, 0.0)
    axes.set_xlim(0, 1.06 * limits(0.0, sds)[1])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{model.units} (95% intervals)")
    axes.set_title("residual scale, of a t" if model.robust else "residual standard deviation")


def _matrix(axes: Axes, below: np.ndarray, above: np.ndarray | None) -> None:
    """Draw one arm's correlations below the diagonal, and another's above it."""
    lower = np.tril(np.ones(below.shape, bool), -1)
    shown = np.where(lower, below, np.nan)
    if above is not None:
        shown = np.where(lower.T, above, shown)
    axes.imshow(shown, cmap=_CORRELATIONS, vmin=-1, vmax=1, aspect="auto")
    for j in range(len(shown)):  # a visit with itself, of which nothing is estimated
        axes.add_patch(Rectangle((j - 0.5, j - 0.5), 1, 1, color=GREY, alpha=0.2, lw=0))
    for j, k in np.argwhere(np.isfinite(shown)) if len(shown) <= _WRITTEN else ():
        colour = "white" if abs(shown[j, k]) > 0.65 else INK
        size = 8.5 if len(shown) <= 10 else 6
        axes.text(k, j, f"{shown[j, k]:.2f}", ha="center", va="center", fontsize=size, color=colour)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _intervals(axes: Axes, quantiles: np.ndarray, colour: str, aside: float) -> None:
    """Draw medians and intervals, shape (3, visits), one a row."""
    lower, median, upper = quantiles
    y = np.arange(len(median)) + aside
    axes.hlines(y, lower, upper, color=colour, lw=1.8)
    axes.plot(median, y, "o", ms=4.5, color=colour)


def _model(fit: Fit) -> TrialSettings:
    return settings_of_kind(fit, TrialSettings)


def thinned(count: int, most: int) -> np.ndarray:
    """Choose draws evenly.

    Parameters
    ----------
    count
        How many there are.
    most
        How many to keep at most.

    Returns
    -------
    numpy.ndarray
        Which to keep.

    Examples
    --------
    >>> thinned(9, 3)
    array([0, 4, 8])
    """
    return np.unique(np.linspace(0, count - 1, most).astype(int))


def lower_and_higher(model: TrialSettings, arm: str) -> tuple[str, str]:
    """Say whom differences between an arm and the reference favour.

    Parameters
    ----------
    model
        The model's settings, which say whether lower outcomes are better.
    arm
        The arm that is compared.

    Returns
    -------
    tuple of str
        The arm favoured by a difference below zero, and by one above.
    """
    return (arm, model.reference) if model.better == "lower" else (model.reference, arm)


def favours(down: str, up: str) -> str:
    """Put into words whom values of an axis favour.

    Parameters
    ----------
    down, up
        The arms favoured by values below zero, which stand left when an axis is read from its side, and above zero.

    Returns
    -------
    str
        In two lines where names are long.
    """
    below = f"\N{LEFTWARDS ARROW} favours {shorten(down, _NAME[1])}"
    above = f"favours {shorten(up, _NAME[1])} \N{RIGHTWARDS ARROW}"
    return f"{below}    {above}" if len(below) + len(above) < _LINE else f"{below}\n{above}"


def _labels_needed(visits: np.ndarray) -> float:
    """How many labels the axis of visits must have room for: its length over the shortest gap between visits."""
    numbers = _numbers(visits)
    return float(np.ptp(numbers) / np.diff(numbers).min()) if len(numbers) > 1 else 0.0


def _numbers(visits: np.ndarray) -> np.ndarray:
    """Where visits stand: at their numbers, or evenly where names are not numbers."""
    evenly = np.arange(len(visits), dtype=float)
    try:
        numbers = np.array(visits, dtype=float)
    except ValueError:
        return evenly
    return numbers if (np.diff(numbers) > 0).all() else evenly


def positions(visits: np.ndarray, room: int) -> tuple[np.ndarray, str]:
    """Place visits along an axis: at their numbers, or evenly where labels would then overlap.

    Parameters
    ----------
    visits
        Their names, in order.
    room
        How many labels have room side by side.

    Returns
    -------
    numpy.ndarray
        Where each stands.
    str
        What the axis's label must add.
    """
    if _labels_needed(visits) <= room:
        return _numbers(visits), ""
    return np.arange(len(visits), dtype=float), " (not to scale)"


def _panels(figure: Figure, count: int, columns: int, share: float) -> list[tuple[Axes, Axes]]:
    """Make pairs of a panel and a lower one of this share of its height."""
    lines = -(-count // columns)
    figure.set_layout_engine("constrained", hspace=0.0)  # a lower panel belongs to the one above it
    grid = figure.subplots(2 * lines, columns, squeeze=False, height_ratios=(1, share) * lines)
    pairs = [(grid[2 * (k // columns), k % columns], grid[2 * (k // columns) + 1, k % columns]) for k in range(count)]
    for unused in {*grid.flat} - {axes for pair in pairs for axes in pair}:
        unused.remove()
    return pairs


def _table_of_counts(axes: Axes, arms: list[str], colours: list[str]) -> None:
    """Turn an axes with a row of numbers per arm into the foot of the panel above it."""
    axes.set_yticks(range(len(arms)), arms, fontsize=7.5)
    for label, colour in zip(axes.get_yticklabels(), colours, strict=True):
        label.set_color(colour)
    axes.set_ylim(-0.6, len(arms) - 0.4)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("patients observed", fontsize=7.5, pad=2)


def shorten(name: str, room: int) -> str:
    """Shorten a name that is too long for a panel; legend, title or caption have it in full.

    Parameters
    ----------
    name
        Any text.
    room
        How many characters it may have.

    Returns
    -------
    str
        The name, or its beginning and an ellipsis.
    """
    return name if len(name) <= room else f"{name[: room - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"


def _same_height(panels: list[Axes]) -> None:
    """Give panels that are to be compared one scale."""
    ends = np.array([axes.get_ylim() for axes in panels])
    for axes in panels:
        axes.set_ylim(ends[:, 0].min(), ends[:, 1].max())
