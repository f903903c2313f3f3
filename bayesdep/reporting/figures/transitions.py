"""Figures of states over time: what follows each state, and how many are in each."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayesdep.inference.fit import Fit
from bayesdep.models.transitions import exact
from bayesdep.models.transitions.assumed_people import FRACTIONS, occupancy_of_fewer
from bayesdep.models.transitions.settings import EVERYBODY, TransitionsSettings
from bayesdep.numerics.types import Draws
from bayesdep.reporting.figures.composing import BLUE, GREY, INK, RED, chosen, serves, settings_of_kind, styled_figure
from bayesdep.reporting.figures.layout import legend_below, shortened
from bayesdep.reporting.ranges import MOST_PANELS

_COLUMNS = 2  # panels side by side, at most
_WIDEST = 9.0  # points, of a line that everybody follows
_LEAST = 0.005  # a share below this is not drawn
_NAME = 78.0  # points for a state's name beside a panel
_SAID = 34.0  # points: rows of a diagram that have room for their share in words
_WRITTEN = 0.05  # a share from which it is written into its bar
_ARMS = "arms are shown, the first of the table"
_BEST_TO_WORST = LinearSegmentedColormap.from_list("best_to_worst", [BLUE, "#e4e4e4", RED])


@serves("state_transitions", "models of transitions between states")
def plot_transitions(fit: Fit) -> Figure:
    """Draw what follows each state one step later, by arm.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.Transitions`.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per arm. Lines from a state to those one step later, as wide as the posterior mean probability is large:
        blue to a better state, red to a worse one, grey to the same. On the left the probability of a better state,
        with its 95% interval.

    Examples
    --------
    >>> import bayesdep as bd
    >>> cohort = bd.load("trd_cohort_europe").dropna(subset=["before"])
    >>> states = ["remission", "response", "no response"]
    >>> columns = {"share": "percent", "n": "people", "start": "no response", "horizon": 2}
    >>> fit = bd.fit(bd.Transitions(states=states, input="shares", **columns), cohort, draws=100, seed=1)
    >>> figure = bd.plot_transitions(fit)
    """
    settings, data = settings_of_kind(fit, TransitionsSettings), fit.data
    wanted = chosen("arm", data["arm"].values)
    arms = data["arm"].values[wanted[:MOST_PANELS]]
    states = list(settings.states)
    columns = min(len(arms), _COLUMNS)
    rows = -(-len(arms) // columns)
    height = max(2.4, 0.55 * len(states))
    with styled_figure(fit, 4.6 * columns, (height + 0.5) * rows + 0.6) as figure:
        figure.says_shown(len(arms), len(wanted), _ARMS)
        grid = figure.subplots(rows, columns, squeeze=False)
        for k, arm in enumerate(arms):
            axes = grid[k // columns, k % columns]
            probability = fit.estimands["transition"].sel(arm=arm).mean(("chain", "draw")).values
            _diagram(axes, settings, probability, _improvements(fit, str(arm)))
            step = f"{float(data['step']):g} {data['step'].attrs['units']}"
            later = "one step later" if data["step"].attrs["units"] == "steps" else f"{step} later"
            name = "" if arm == EVERYBODY else f"{arm}: "
            axes.set_title(f"{name}now, and {later}", fontsize=9.5)
        for unused in [*grid.flat][len(arms) :]:
            unused.remove()
        lines = [Line2D([], [], color=colour, lw=4) for colour in (BLUE, GREY, RED)]
        legend_below(figure, (lines, ["to a better state", "the same", "to a worse state"]), 3)
    return figure


def _improvements(fit: Fit, arm: str) -> dict[str, Draws]:
    """Draws of the probability of a better state, by state before: the best state has none."""
    found = fit.estimands.get("improves_next")
    if found is None:
        return {}
    of_arm = found.sel(arm=arm)
    return {str(name): of_arm.isel(from_state=k).values.ravel() for k, name in enumerate(found["from_state"].values)}


def _diagram(axes: Axes, settings: TransitionsSettings, probability: np.ndarray, better: dict[str, Draws]) -> None:
    """Two columns of states, the best on top, and lines between them."""
    states = settings.states
    height = len(states)
    for row, before in enumerate(settings.left):
        order = np.argsort(probability[row])  # wide lines first, narrow ones above them
        for after in order[::-1]:
            share = float(probability[row, after])
            if share < _LEAST:
                continue
            colour = GREY if after == before else BLUE if after < before else RED
            axes.plot(
                [0, 1], [height - before, height - after], color=colour, lw=_WIDEST * share, alpha=0.85,
                solid_capstyle="butt", zorder=2,
            )  # fmt: skip
        if states[before] in better:
            draws = better[states[before]]
            lower, upper = np.quantile(draws, [0.025, 0.975])
            said = f"{draws.mean():.0%} ({100 * lower:.0f}-{upper:.0%}) better"
            axes.annotate(said, (0, height - before), (-8, -5), textcoords="offset points", ha="right", va="top",
                          fontsize=7, color=BLUE)  # fmt: skip
    for place, state in enumerate(states):
        for x, side, away in ((0, "right", -8), (1, "left", 8)):
            name = shortened(str(state), _NAME, 9.0)
            axes.plot([x], [height - place], "o", ms=6, color=INK, zorder=3)
            axes.annotate(name, (x, height - place), (away, 4 if x == 0 else 0), textcoords="offset points", ha=side,
                          va="center", fontsize=9, parse_math=False)  # fmt: skip
    axes.set(xlim=(-0.75, 1.55), ylim=(0.4, height + 0.6), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


@serves("state_occupancy", "models of transitions between states")
def plot_occupancy(fit: Fit) -> Figure:
    """Draw how many patients are in each state over time, by arm.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.Transitions`.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per arm: bars at the start and at every time, divided by posterior mean shares, the best state at the
        bottom.

    Examples
    --------
    >>> import bayesdep as bd
    >>> cohort = bd.load("trd_cohort_europe").dropna(subset=["before"])
    >>> states = ["remission", "response", "no response"]
    >>> columns = {"share": "percent", "n": "people", "start": "no response", "horizon": 2}
    >>> fit = bd.fit(bd.Transitions(states=states, input="shares", **columns), cohort, draws=100, seed=1)
    >>> figure = bd.plot_occupancy(fit)
    """
    settings, data = settings_of_kind(fit, TransitionsSettings), fit.data
    wanted = chosen("arm", data["arm"].values)
    arms = data["arm"].values[wanted[:MOST_PANELS]]
    columns = min(len(arms), _COLUMNS)
    rows = -(-len(arms) // columns)
    colours = [_BEST_TO_WORST(x) for x in np.linspace(0, 1, len(settings.states))]
    begin = str(data["visit"].values[0]) if "visit" in data else "start"
    times = [begin, *map(str, data["time"].values)]
    with styled_figure(fit, 4.2 * columns + 0.4, 3.0 * rows + 0.9) as figure:
        figure.says_shown(len(arms), len(wanted), _ARMS)
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for k, arm in enumerate(arms):
            axes = grid[k // columns, k % columns]
            later = fit.estimands["occupancy"].sel(arm=arm).mean(("chain", "draw")).transpose("time", "state").values
            _bars(axes, np.vstack([data["start"].sum("profile").values, later]), colours)
            axes.set_xticks(range(len(times)), times)
            axes.set_title("" if arm == EVERYBODY else str(arm), fontsize=9.5)
            named = settings.visit if settings.input == "patients" else "time"
            units = data["step"].attrs["units"]
            axes.set_xlabel(units if named == units.removesuffix("s") else f"{named} ({units})")
            if k % columns == 0:
                axes.set_ylabel("share of patients")
        for unused in [*grid.flat][len(arms) :]:
            unused.remove()
        legend_below(figure, ([Patch(color=c) for c in colours], list(settings.states)), min(len(colours), 6))
    return figure


def _bars(axes: Axes, shares: np.ndarray, colours: list[tuple[float, float, float, float]]) -> None:
    """Bars of shares that add up to one, by time."""
    below = np.zeros(len(shares))
    x = np.arange(len(shares))
    room = len(shares) <= 12
    for state, colour in enumerate(colours):
        axes.bar(x, shares[:, state], bottom=below, color=colour, width=0.82, lw=0.6, edgecolor="white")
        for at in np.flatnonzero(shares[:, state] >= _WRITTEN) if room else ():
            dark = np.dot(colour[:3], (0.3, 0.6, 0.1)) < 0.55
            middle, said = below[at] + shares[at, state] / 2, f"{100 * shares[at, state]:.0f}"
            colour_of_text = "white" if dark else INK
            axes.text(float(at), middle, said, ha="center", va="center", fontsize=7, color=colour_of_text)
        below = below + shares[:, state]
    axes.set(ylim=(0, 1))


def has_shares(fit: Fit) -> bool:
    """Whether a fit is of published shares whose posterior is known for any number of people."""
    settings = settings_of_kind(fit, TransitionsSettings)
    return settings.input == "shares" and exact.exact(settings, fit.data) is not None


@serves("assumed_people", "models of transitions from shares, of free rows and single steps", has_shares)
def plot_assumed_people(fit: Fit) -> Figure:
    """Draw the share in each state at the last time, if published shares are of fewer people than the table says.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.Transitions` with ``input = "shares"``.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per state (and arm): the posterior median with its 50% (thick) and 95% interval, for all the people in
        the table and for 75%, 50%, 25% and 12.5% of them. ``select`` takes another ``time``.

    Examples
    --------
    >>> import bayesdep as bd
    >>> cohort = bd.load("trd_cohort_europe").dropna(subset=["before"])
    >>> states = ["remission", "response", "no response"]
    >>> columns = {"share": "percent", "n": "people", "start": "no response", "horizon": 2}
    >>> fit = bd.fit(bd.Transitions(states=states, input="shares", **columns), cohort, draws=100, seed=1)
    >>> figure = bd.plot_assumed_people(fit)
    """
    settings, data = settings_of_kind(fit, TransitionsSettings), fit.data
    found = occupancy_of_fewer(settings, data)
    time = found["time"].values[chosen("time", data["time"].values)[-1]]
    wanted = [
        (arm, state)
        for arm in data["arm"].values[chosen("arm", data["arm"].values)]
        for state in np.array(settings.states)[chosen("state", settings.states)]
    ]
    panels = wanted[:MOST_PANELS]
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    with styled_figure(fit, 2.9 * columns + 0.4, 2.6 * rows + 0.7) as figure:
        figure.says_shown(len(panels), len(wanted), "states are shown, the best ones of each arm")
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
        for k, (arm, state) in enumerate(panels):
            axes = grid[k // columns, k % columns]
            draws = found.sel(arm=arm, state=state, time=time).values
            lower, low, median, high, upper = np.quantile(draws, [0.025, 0.25, 0.5, 0.75, 0.975], axis=1)
            at = np.arange(len(FRACTIONS))
            axes.vlines(at, lower, upper, color=BLUE, lw=1.3)
            axes.vlines(at, low, high, color=BLUE, lw=4)
            axes.plot(at, median, "o", ms=5, color=BLUE, markeredgecolor="white")
            axes.set_xticks(at, [f"{100 * x:.3g}" for x in FRACTIONS])
            axes.set(xlim=(-0.5, len(at) - 0.5), ylim=(0, 1))
            axes.grid(axis="y", lw=0.4, color="#dddddd")
            name = shortened(str(state), 130, 9.5)
            axes.set_title(name if arm == EVERYBODY else f"{arm}: {name}", fontsize=9.5, parse_math=False)
            if k % columns == 0:
                axes.set_ylabel(f"share of patients at {time} {data['step'].attrs['units']}")
            if k + columns >= len(panels):
                axes.set_xlabel("people, % of those in the table")
        for unused in [*grid.flat][len(panels) :]:
            unused.remove()
    return figure
