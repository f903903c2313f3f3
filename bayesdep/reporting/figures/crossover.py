"""Figure of crossover trials: each patient's outcomes after two treatments, and the posterior's difference."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesdep.inference.fit import Fit
from bayesdep.models.crossover.data import ONLY_DAY
from bayesdep.models.crossover.design import by_treatment
from bayesdep.models.crossover.settings import CrossoverSettings
from bayesdep.reporting.figures.composing import BLUE, GREY, INK, chosen, serves, settings_of_kind, styled_figure
from bayesdep.reporting.figures.layout import legend_below
from bayesdep.reporting.figures.lettering import legend_word
from bayesdep.reporting.ranges import MOST_PANELS, limits

_COLUMNS = 3  # panels side by side, at most


@serves("pairs", "crossover trials")
def plot_pairs(fit: Fit) -> Figure:
    """Draw every patient's outcome after a treatment against that after the reference.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.Crossover`.

    Returns
    -------
    matplotlib.figure.Figure
        A row of panels per comparison, a panel per day, all on one scale. Points: patients with both outcomes, filled
        where the reference came first. Ticks along the axes: patients with one of the two. Grey line: no difference.
        Blue line and band: outcomes that differ by the posterior mean difference, and by its 95% interval.

    Examples
    --------
    >>> import bayesdep as bd
    >>> import pandas as pd
    >>> orders = [("placebo", "drug"), ("drug", "placebo")]
    >>> rows = [(f"p{i}", k + 1, orders[i % 2][k], 30 - i * (k + 2) % 7) for i in range(12) for k in (0, 1)]
    >>> table = pd.DataFrame(rows, columns=["subject", "period", "treatment", "madrs"])  # made up
    >>> model = bd.Crossover(reference="placebo", outcome="madrs", units="MADRS points", baseline=None, day=None)
    >>> fit = bd.fit(model, table)  # doctest: +SKIP
    >>> figure = bd.plot_pairs(fit)  # doctest: +SKIP
    """
    settings, data = settings_of_kind(fit, CrossoverSettings), fit.data
    when = chosen("day", data["day"].values)
    against = chosen("comparison", data["comparison"].values)
    days = data["day"].values[when[:MOST_PANELS]]
    names = data["comparison"].values[against[: max(1, MOST_PANELS // len(days))]]
    columns = min(len(days), _COLUMNS)
    rows = -(-len(days) // columns)  # a comparison with more days than columns goes on in the next row
    outcome = by_treatment(data["outcome"].values, data)
    ends = np.array(limits(outcome, room=0.07))
    with styled_figure(fit, max(3.2 * columns, 4.4), 3.5 * rows * len(names) + 0.9) as figure:
        figure.says_shown(len(days), len(when), "days are shown, the first")
        figure.says_shown(len(names), len(against), "comparisons are shown, the first of the table")
        figure.set_layout_engine("compressed")  # square panels: the constrained one forgets their titles' room
        grid = figure.subplots(rows * len(names), columns, squeeze=False)
        drawn = []
        for c in range(len(names)):
            for j in range(len(days)):
                axes = grid[c * rows + j // columns, j % columns]
                drawn.append(axes)
                draws = fit.estimands["difference"].isel(comparison=against[c], day=when[j]).values
                _difference(axes, draws, ends)
                before = _came_first(data["treatment_of"].values, against[c] + 1)
                _patients(axes, outcome[:, [0, against[c] + 1], when[j]], before, settings.reference)
                axes.set(xlim=ends, ylim=ends, box_aspect=1)
                for name, say in ((settings.reference, axes.set_xlabel), (str(names[c]), axes.set_ylabel)):
                    say(f"{settings.outcome} after {name}, {settings.units}", fontsize=8.5)
                on = "" if days[j] == ONLY_DAY else f"{settings.day} {days[j]}: "
                lower, upper = np.quantile(draws, [0.025, 0.975])
                said = f"{on}difference {draws.mean():.1f} ({lower:.1f} to {upper:.1f})"
                axes.set_title(said, fontsize=8.5)
        for unused in {*grid.flat} - {*drawn}:
            unused.remove()
        legend_below(figure, drawn[0].get_legend_handles_labels(), 2)
    return figure


def _came_first(had: np.ndarray, treatment: int) -> np.ndarray:
    """Whether a patient had the reference before a treatment; of no meaning for one who lacked either."""
    return np.asarray((had == 0).argmax(axis=1) < (had == treatment).argmax(axis=1))


def _difference(axes: Axes, draws: np.ndarray, ends: np.ndarray) -> None:
    lower, upper = np.quantile(draws, [0.025, 0.975])
    axes.plot(ends, ends, color=GREY, lw=0.9, label="no difference")
    axes.plot(ends, ends + draws.mean(), color=BLUE, lw=1.6, label="posterior mean difference")
    axes.fill_between(ends, ends + lower, ends + upper, color=BLUE, alpha=0.2, lw=0, label="its 95% interval")


def _patients(axes: Axes, pair: np.ndarray, reference_first: np.ndarray, reference: str) -> None:
    """Points where there are both outcomes, ticks along the axes where there is one."""
    x, y = pair.T
    both = ~np.isnan(x) & ~np.isnan(y)
    for first, fill, place in ((True, INK, "first"), (False, "white", "second")):
        here = both & (reference_first == first)
        axes.plot(x[here], y[here], "o", ms=4.5, mfc=fill, mec=INK, mew=0.9, label=legend_word(f"{reference} {place}"))
    feet, side = axes.get_xaxis_transform(), axes.get_yaxis_transform()  # one in data, the other in shares of the panel
    only_x, only_y = x[~np.isnan(x) & np.isnan(y)], y[np.isnan(x) & ~np.isnan(y)]
    axes.plot(only_x, np.full(len(only_x), 0.02), "|", ms=8, mew=1.1, color=INK, transform=feet)
    axes.plot(np.full(len(only_y), 0.02), only_y, "_", ms=8, mew=1.1, color=INK, transform=side)
    axes.plot([], [], "|", ms=8, mew=1.1, color=INK, label="one outcome only")
