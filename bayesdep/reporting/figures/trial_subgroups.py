"""Figure of a trial's subgroups: differences between arms in each, rates of response, and numbers needed to treat."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bayesdep.inference.fit import Fit
from bayesdep.models.trial.settings import TrialSettings, parse_subgroup
from bayesdep.reporting.estimands import summarise
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
from bayesdep.reporting.figures.trial import REFERENCE, favours, lower_and_higher, shorten
from bayesdep.reporting.ranges import MOST_PANELS

_ALL = "all patients"
_HEAD, _LABEL = 11, 12  # characters of a line of an arm's name over its column, and of the moderator's in a row
_SMALL = 7.5


@serves("subgroups", "trials with subgroups of a moderator", derives("difference_in"))
def plot_subgroups(fit: Fit) -> Figure:
    """Draw the difference at the last visit in each subgroup, and the rates of response and remission.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trial.model.Trial` with ``subgroups``.

    Returns
    -------
    matplotlib.figure.Figure
        For each comparison a panel of differences in the outcome, and one of risk differences for response and for
        remission where they were asked for: posterior medians with 50% (thick) and 95% intervals, subgroup by
        subgroup and in all patients. Left: the patients of each arm; beside rates, posterior median rates had all the
        row's patients been in the arm. Right: the difference in residual standard deviations; beside rates, the
        number needed to treat for one more patient with benefit or harm, as
        :func:`~bayesdep.reporting.estimands.summarise` has it: where the risk difference's interval includes zero,
        that number's passes through infinity.

    Examples
    --------
    >>> import bayesdep as bd
    >>> visits = bd.simulate("raison2013", seed=1).table.query("week > 0")  # synthetic
    >>> columns = {"outcome": "hamd", "baseline": "hamd_baseline", "visit": "week", "day": "day", "moderator": "crp"}
    >>> model = bd.Trial(reference="placebo", units="HAM-D points", subgroups=["> 5", "<= 5"], response=0.5, **columns)
    >>> fit = bd.fit(model, visits)  # doctest: +SKIP
    >>> figure = bd.plot_subgroups(fit)  # doctest: +SKIP
    """
    model = settings_of_kind(fit, TrialSettings)
    wanted = chosen("comparison", fit.data["comparison"].values)
    places = wanted[: MOST_PANELS // 3]
    arms = [str(name) for name in fit.data["comparison"].values[places]]
    rates = [name for name in ("response", "remission") if f"{name}_difference" in fit.estimands]
    rows = [_label(model, str(text)) for text in fit.data["subgroup"].values] + [_ALL]
    heights = [0.27 * len(rows), *(0.36 * len(rows) for _ in rates)] * len(arms)
    with styled_figure(fit, 6.9, sum(heights) + 1.1 * len(heights)) as figure:
        figure.says_shown(len(arms), len(wanted), "comparisons are shown, the first of the table")
        figure.set_layout_engine("constrained", hspace=0.06)
        shape = {"height_ratios": heights, "width_ratios": (0.78, 1.85, 1.1)}
        grid = figure.subplots(len(heights), 3, sharey="row", squeeze=False, gridspec_kw=shape)
        panels_of: dict[str, list[Axes]] = {}
        for k, arm in enumerate(arms):
            lines = grid[k * (1 + len(rates)) : (k + 1) * (1 + len(rates))]
            _differences(fit, model, int(places[k]), lines[0])
            for rate, line in zip(rates, lines[1:], strict=True):
                _rates(fit, model, int(places[k]), rate, line)
            for what, line in zip(["difference", *rates], lines, strict=True):
                panels_of.setdefault(what, []).append(line[1])
                _as_table(line[0], rows, [_name_of(name) for name in (arm, model.reference)])
                _bare(line[2])
        for panels in panels_of.values():
            _same_width(panels)
    return figure


def _differences(fit: Fit, model: TrialSettings, k: int, line: np.ndarray) -> None:
    """Draw a line of panels: patients of both arms, their difference, and the difference in residual sds."""
    left, middle, right = line
    data, estimands = fit.data, fit.estimands.isel(comparison=k)
    arm, visit = str(data["comparison"].values[k]), str(data["visit"].values[-1])
    member = np.vstack([data["subgroup_member"].values, np.ones((1, data.sizes["subject"]), bool)])
    for x, place in enumerate((k + 1, 0)):
        _column(left, x, [f"{n}" for n in (member & (data["arm_of"].values == place)).sum(axis=1)])
    left.set_title("patients", fontsize=_SMALL)
    subgroups = data.sizes["subgroup"]
    at_last, of_all = (estimands[name].isel(visit=-1).values for name in ("difference_in", "difference"))
    _intervals(middle, np.vstack([at_last.reshape(-1, subgroups).T, of_all.ravel()]))
    middle.set_title(f"{arm} less {model.reference} at {model.visit} {visit}", fontsize=8.5)
    middle.set_xlabel(f"{model.units}\n{favours(*lower_and_higher(model, arm))}", fontsize=8)
    in_subgroups = estimands["standardised_difference_in"].values.reshape(-1, subgroups).T
    in_all = estimands["standardised_difference"].isel(visit=-1).values.ravel()
    quantiles = np.quantile(np.vstack([in_subgroups, in_all]), [0.025, 0.5, 0.975], axis=1)
    _texts(right, [f"{median:z.2f} ({low:z.2f} to {high:z.2f})" for low, median, high in quantiles.T])
    right.set_title(f"in residual {'scales' if model.robust else 'sds'} (95%)", fontsize=_SMALL)


def _rates(fit: Fit, model: TrialSettings, k: int, rate: str, line: np.ndarray) -> None:
    """Draw a line of panels: rates of both arms, the risk difference, and the number needed to treat."""
    left, middle, right = line
    data, estimands = fit.data, fit.estimands
    arm = str(data["comparison"].values[k])
    groups = [*(str(text) for text in data["subgroup"].values), "all"]
    for x, name in enumerate((arm, model.reference)):
        medians = estimands[f"{rate}_rate"].sel(arm=name, group=groups).median(("chain", "draw")).values
        _column(left, x, [f"{p:.2f}" for p in medians])
    left.set_title(f"{rate} rate", fontsize=_SMALL)
    draws = estimands[f"{rate}_difference"].isel(comparison=k).sel(group=groups)
    _intervals(middle, draws.transpose("group", "chain", "draw").values.reshape(len(groups), -1))
    what = {
        "response": f"response: {model.response or 0:.0%} lower at any visit",
        "remission": f"remission: {model.remission or 0:g} or less at {model.visit} {data['visit'].values[-1]}",
    }[rate]
    middle.set_title(what, fontsize=8.5)
    middle.set_xlabel(f"risk difference\n{favours(model.reference, arm)}", fontsize=8)
    table = summarise(fit)
    numbers = table[(table["estimand"] == f"{rate}_nnt") & (table["comparison"] == arm)].set_index("group").loc[groups]
    _texts(right, [_needed(*row) for row in zip(numbers["median"], numbers["interval"], strict=True)])
    right.set_title("number needed to treat (95%)", fontsize=_SMALL)


def _needed(median: float, interval: str) -> str:
    """A number needed to treat in two lines: benefit or harm, then the interval, which may pass through infinity."""
    number = f"{abs(median):.1f}" if abs(median) < 1000 else "over 1000"
    return f"{'benefit' if median > 0 else 'harm'} {number}\n({interval})"


def _intervals(axes: Axes, draws: np.ndarray) -> None:
    """Draw medians with 50% and 95% intervals, shape (rows, samples); the last row is of all patients."""
    low_95, low_50, median, high_50, high_95 = np.quantile(draws, [0.025, 0.25, 0.5, 0.75, 0.975], axis=1)
    y = np.arange(len(draws))
    axes.axvline(0, color=INK, lw=0.8, zorder=1)
    axes.axvline(median[-1], color=GREY, lw=0.9, ls=":", zorder=1)
    axes.hlines(y, low_95, high_95, color=BLUE, lw=1.3)
    axes.hlines(y, low_50, high_50, color=BLUE, lw=4)
    for rows, marker in ((y[:-1], "o"), (y[-1:], "D")):
        axes.plot(median[rows], rows, marker, ms=5.5, mfc=BLUE, mec="white", mew=0.9, zorder=3)
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _as_table(axes: Axes, rows: list[str], arms: list[str]) -> None:
    """Turn an axes into the left columns of a table, one an arm."""
    axes.set_yticks(range(len(rows)), rows, fontsize=8.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)  # read from above
    axes.set_xlim(-0.6, 1.6)
    axes.set_xticks((0, 1), arms, fontsize=6.5)
    axes.xaxis.tick_top()
    for label, colour in zip(axes.get_xticklabels(), (BLUE, REFERENCE), strict=True):
        label.set_color(colour)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _column(axes: Axes, x: int, cells: list[str]) -> None:
    """Write an arm's column of a table."""
    for y, cell in enumerate(cells):
        axes.text(x, y, cell, ha="center", va="center", fontsize=_SMALL, color=(BLUE, REFERENCE)[x])


def _texts(axes: Axes, cells: list[str]) -> None:
    """Write a text in every row."""
    for y, cell in enumerate(cells):
        axes.text(0, y, cell, ha="left", va="center", fontsize=_SMALL, color=INK)


def _bare(axes: Axes) -> None:
    """Remove everything of an axes but its texts and its title."""
    axes.set_xticks([])
    axes.tick_params(length=0, labelleft=False)
    axes.spines[:].set_visible(False)


def _label(model: TrialSettings, subgroup: str) -> str:
    """A subgroup as the label of its row."""
    sign, limit = parse_subgroup(subgroup)
    printed = sign.replace("<=", "\N{LESS-THAN OR EQUAL TO}").replace(">=", "\N{GREATER-THAN OR EQUAL TO}")
    return f"{shorten(str(model.moderator), _LABEL)} {printed} {limit:g}"


def _name_of(arm: str) -> str:
    """An arm's name over a narrow column."""
    return textwrap.fill(arm, _HEAD, max_lines=2, placeholder="\N{HORIZONTAL ELLIPSIS}")


def _same_width(panels: list[Axes]) -> None:
    """Give panels that are compared one scale."""
    ends = np.array([axes.get_xlim() for axes in panels])
    for axes in panels:
        axes.set_xlim(ends[:, 0].min(), ends[:, 1].max())
