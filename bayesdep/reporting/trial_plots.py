"""Figures of trials over visits: means by arm, the arms' difference along a moderator, and how visits hang together."""

import textwrap
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
from bayesdep.models.parts import trial_estimands
from bayesdep.models.trial import Trial
from bayesdep.reporting.plots import BLUE, GREY, INK, RED, house_figure, ratio_axis

_DRAWS = 1000  # at most, evenly from all draws: enough for the ends of 95% bands
_ROOM = {1: 20, 2: 9}  # labels that find room along a panel, by panels side by side
_LINE = 38  # characters that find room along the height of a panel
_TITLE, _NAME = {1: 80, 2: 30}, {1: 28, 2: 16}  # characters of a title, and of an arm's name at its side; likewise
_BAR = 0.05  # the least probability at which the crossover's scale ends: a single draw is no peak
_REFERENCE = "#6d6d6d"  # GREY is too pale for a line that is to be read
_CORRELATIONS = LinearSegmentedColormap.from_list("correlations", [RED, "white", BLUE])


def is_trial(fit: Fit) -> bool:
    """Whether a fit is of a trial over visits."""
    return fit.model.family == "trial"


def has_moderator(fit: Fit) -> bool:
    """Whether it is of a trial with a moderator."""
    return is_trial(fit) and "difference_along" in fit.estimands


def plot_trajectories(fit: Fit) -> Figure:
    """Draw the mean outcome by visit and arm.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.Trial`.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per comparison. Line and band: posterior mean and pointwise 95% interval of the mean outcome, had all
        patients at hand been in that arm and missed no visit. Points: means of those observed, as they are, with
        their number below.
    """
    story, data = _story(fit), fit.data
    arms, visits = data["arm"].values, data["visit"].values
    seen = ~np.isnan(data["outcome"].values)
    apart = _crowding(visits)
    columns = 2 if len(arms) > 2 and apart <= _ROOM[2] else 1
    x, scale = _positions(visits, _ROOM[columns])
    means = standardised_means(fit)
    with house_figure(fit, 6.6, 0.6 + 3.1 * -(-(len(arms) - 1) // columns)) as figure:
        pairs = _panels(figure, len(arms) - 1, columns, 0.13)
        for k, (axes, counts) in enumerate(pairs, start=1):
            rows = ((0, _REFERENCE, "--", "s"), (k, BLUE, "-", "o"))
            for arm, colour, dashes, marker in rows:
                member = data["arm_of"].values == arm
                lower, upper = np.quantile(means[arm], [0.025, 0.975], axis=0)
                axes.fill_between(x, lower, upper, color=colour, alpha=0.22, lw=0)
                axes.plot(x, means[arm].mean(axis=0), color=colour, ls=dashes, lw=1.6)
                observed = np.nanmean(data["outcome"].values[member], axis=0)
                aside = (-0.006 if arm == 0 else 0.006) * np.ptp(x)  # equal means would hide each other
                axes.plot(x + aside, observed, marker, ms=5, mfc=colour, mec="white", mew=0.8, zorder=3)
                for at, n in zip(x, seen[member].sum(axis=0), strict=True):
                    counts.text(at, float(arm == 0), f"{n}", ha="center", va="center", fontsize=7.5, color=colour)
            axes.set_xticks(x, visits)
            axes.set_xlabel(f"{story.visit}{scale}")
            axes.set_ylabel(f"mean {story.outcome}\n({data['outcome'].attrs['units']}; {story.better} is better)")
            if len(pairs) > 1:
                axes.set_title(textwrap.fill(f"{arms[k]} and {arms[0]}", _TITLE[columns]), pad=12)
            _table_of_counts(counts, [_short(str(arms[j]), _NAME[columns]) for j in (k, 0)], [BLUE, _REFERENCE])
            counts.set_xlim(axes.get_xlim())  # not shared: its ticks are none
        _same_height([axes for axes, _ in pairs])
        lines = [Line2D([], [], color=c, ls=dashes, lw=1.6) for c, dashes in ((_REFERENCE, "--"), (BLUE, "-"))]
        points = [Line2D([], [], color=c, ls="", marker=m, ms=5) for c, m in ((_REFERENCE, "s"), (BLUE, "o"))]
        handles: list[Any] = [*lines, Patch(color=GREY, alpha=0.4, lw=0), (points[0], points[1])]
        other = str(arms[1]) if len(pairs) == 1 else "other arm"
        figure.legend(
            handles, [str(arms[0]), other, "95% band", "observed"], loc="outside lower center", ncols=4,
            handler_map={tuple: HandlerTuple(ndivide=None)},
        )  # fmt: skip
    return figure


def standardised_means(fit: Fit) -> np.ndarray:
    """Return the mean outcome at every visit, had all patients at hand been in one arm.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.Trial`.

    Returns
    -------
    numpy.ndarray
        Shape (arms, samples, visits), arms as in the data; a thousand samples at most.
    """
    data, draws = fit.data, _draws(fit)
    kept = draws.isel(sample=np.unique(np.linspace(0, draws.sizes["sample"] - 1, _DRAWS).astype(int)))
    found = []
    for arm in range(data.sizes["arm"]):
        # an arm's code is what its own patients have, so that this need not know how codes are centred
        code = data["arm_code"].values[np.flatnonzero(data["arm_of"].values == arm)[0]]
        everybody = data.assign(arm_code=data["arm_code"].copy(data=np.broadcast_to(code, data["arm_code"].shape)))
        found.append(trial_estimands.expected(_story(fit), kept, everybody).mean(axis=1))
    return np.stack(found)


def plot_difference_along(fit: Fit) -> Figure:
    """Draw the difference between arms at the last visit along the moderator, and where the arms change places.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.Trial` with a moderator.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per comparison. Line and bands: posterior median and pointwise 50% and 95% intervals. Ticks at the
        foot: the patients of both arms. Below, the draws of the crossover that lie inside the observed range, each
        bar in proportion to its probability. The axis is of logarithms where the moderator enters as one.
    """
    story, data, found = _story(fit), fit.data, fit.estimands
    is_log = story.moderator_form.startswith("log")

    def place(values: np.ndarray) -> np.ndarray:
        return np.log(values) if is_log else values

    arms, visit = data["arm"].values, data["visit"].values[-1]
    x = place(data["grid_value"].values)
    names = data["comparison"].values
    columns = min(len(names), 2)
    with house_figure(fit, 6.6, 0.6 + 3.5 * -(-len(names) // columns)) as figure:
        pairs = _panels(figure, len(names), columns, 0.22)
        for k, (axes, below) in enumerate(pairs):
            at = found.isel(comparison=k)
            draws = at["difference_along"].transpose("chain", "draw", "grid").values
            low_95, low_50, median, high_50, high_95 = np.quantile(draws, [0.025, 0.25, 0.5, 0.75, 0.975], axis=(0, 1))
            axes.axhline(0, color=INK, lw=0.8, zorder=1)
            axes.fill_between(x, low_95, high_95, color=BLUE, alpha=0.2, lw=0, label="95% band")
            axes.fill_between(x, low_50, high_50, color=BLUE, alpha=0.3, lw=0, label="50% band")
            axes.plot(x, median, color=BLUE, lw=1.8, label="median")
            here = np.isin(data["arm_of"].values, (0, k + 1))
            patients = place(data["moderator"].values[here])
            feet = axes.get_xaxis_transform()  # x in data, y in shares of the panel
            axes.plot(patients, np.full(len(patients), 0.03), "|", ms=7, mew=0.7, color=INK, alpha=0.7,
                      transform=feet, label="patients")  # fmt: skip
            axes.set_ylabel(
                f"difference at {story.visit} {visit} ({story.units})\n{_favours(story, str(names[k]))}", fontsize=8
            )
            if len(pairs) > 1:
                axes.set_title(textwrap.fill(f"{names[k]} less {arms[0]}", _TITLE[columns]), pad=12)
            axes.tick_params(labelbottom=False)
            inside = at["crosses"].values.ravel() > 0
            places = place(at["crossover"].values.ravel()[inside])
            below.hist(places, bins=x.tolist(), weights=np.full(len(places), 1 / len(inside)), color=BLUE, alpha=0.55)
            said = f"value above which {names[k]} is better: in this range with probability {inside.mean():.2f}"
            below.set_title(textwrap.fill(said, 88 // columns), fontsize=8 if columns == 1 else 7, pad=3)
            below.set_yticks([])
            below.set_ylim(0, max(_BAR, below.get_ylim()[1]))
            below.spines["left"].set_visible(False)
            below.set_ylabel("crossover", fontsize=8)
            below.set_xlabel(f"{story.moderator} at baseline{' (log scale)' if is_log else ''}")
            below.sharex(axes)
            if is_log:
                ratio_axis(below)
            axes.set_xlim(x[0] - 0.02 * (x[-1] - x[0]), x[-1] + 0.02 * (x[-1] - x[0]))
        _same_height([axes for axes, _ in pairs])
        _same_height([below for _, below in pairs])
        handles, labels = pairs[0][0].get_legend_handles_labels()
        handles[labels.index("50% band")] = Patch(color=BLUE, alpha=0.44, lw=0)  # it lies on the other band
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _favours(story: Trial, arm: str) -> str:
    """Say which side of zero favours which arm, for an axis read from below: lower values are on the left."""
    down, up = (arm, story.reference) if story.better == "lower" else (story.reference, arm)
    left, right = (
        f"\N{LEFTWARDS ARROW} favours {_short(down, _NAME[1])}",
        f"favours {_short(up, _NAME[1])} \N{RIGHTWARDS ARROW}",
    )
    return f"{left}    {right}" if len(left) + len(right) < _LINE else f"{left}\n{right}"


def plot_covariance(fit: Fit) -> Figure:
    """Draw the correlations between visits and the residual standard deviations.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.Trial`.

    Returns
    -------
    matplotlib.figure.Figure
        Left: posterior means of the residuals' correlations; blue is positive, red negative. With spatial power they
        are those of a patient seen on the visits' median days. Right: posterior medians and 95% intervals of the
        residual standard deviation, in the same rows.
    """
    story, data = _story(fit), fit.data
    visits = data["visit"].values
    days = np.median(data["day"].values, axis=0)
    mean = trial_estimands.correlations(story, _draws(fit), days).mean(axis=0)
    below = np.tril(np.ones(mean.shape, bool), -1)
    sd = fit.estimands["residual_sd"].transpose("chain", "draw", "visit").values
    lower, median, upper = np.quantile(sd, [0.025, 0.5, 0.975], axis=(0, 1))
    y = np.arange(len(visits))
    with house_figure(fit, 6.6, 1.3 + 0.36 * max(len(visits), 3)) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.5, 1))
        left.imshow(np.where(below, mean, np.nan), cmap=_CORRELATIONS, vmin=-1, vmax=1, aspect="auto")
        for j in y:  # a visit with itself: the corner that the eye starts from, but nothing that was learnt
            left.add_patch(Rectangle((j - 0.5, j - 0.5), 1, 1, color=GREY, alpha=0.2, lw=0))
        for j, k in np.argwhere(below):
            value = mean[j, k]
            colour = "white" if abs(value) > 0.65 else INK
            size = 8.5 if len(visits) <= 10 else 6
            left.text(k, j, f"{value:.2f}", ha="center", va="center", fontsize=size, color=colour)
        left.set_xticks(y, visits)
        left.set_yticks(y, visits)
        left.tick_params(length=0)
        left.spines[:].set_visible(False)
        left.set_xlabel(story.visit)
        left.set_ylabel(story.visit)
        on = "\non the visits' median days" if story.covariance == "spatial-power" else ""
        left.set_title(f"correlation of residuals{on}")
        right.hlines(y, lower, upper, color=BLUE, lw=1.8)
        right.plot(median, y, "o", ms=4.5, color=BLUE)
        right.set_xlim(0, 1.06 * upper.max())
        right.tick_params(axis="y", length=0)
        right.set_xlabel(f"{story.units} (95% intervals)")
        right.set_title("residual standard deviation")
    return figure


def _story(fit: Fit) -> Trial:
    assert isinstance(fit.model, Trial)  # the register draws these of no other story
    return fit.model


def _draws(fit: Fit) -> xr.Dataset:
    return fit.posterior.stack(sample=("chain", "draw"), create_index=False).transpose("sample", ...)


def _crowding(visits: np.ndarray) -> float:
    """How many times the smallest gap between visits goes into all of them."""
    at = np.array(visits, dtype=float)
    return float(np.ptp(at) / np.diff(at).min())


def _positions(visits: np.ndarray, room: int) -> tuple[np.ndarray, str]:
    """Where visits stand on an axis, and what its label must add: evenly where true gaps leave labels no room."""
    if _crowding(visits) <= room:
        return np.array(visits, dtype=float), ""
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


def _short(name: str, room: int) -> str:
    """Shorten a name that would take a panel's room; legend or title have it in full."""
    return name if len(name) <= room else f"{name[: room - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"


def _same_height(panels: list[Axes]) -> None:
    """Give panels that are to be compared one scale."""
    ends = np.array([axes.get_ylim() for axes in panels])
    for axes in panels:
        axes.set_ylim(ends[:, 0].min(), ends[:, 1].max())
