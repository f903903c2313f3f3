"""Figure of trajectories: what is asked in every subgroup, in one model and in separate fits."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayesdep.inference.fit import Fit
from bayesdep.models.trajectories.separate import separate_fits
from bayesdep.models.trajectories.settings import TrajectoriesSettings
from bayesdep.reporting.figures.composing import BLUE, GREY, chosen, serves, settings_of_kind, styled_figure
from bayesdep.reporting.figures.layout import legend_below
from bayesdep.reporting.ranges import MOST_ROWS, limits

_PANELS = 3  # side by side
_ROW = 0.24  # inches of a subgroup's row
_APART = 0.17  # of a row, above and below its middle


def has_subgroups(fit: Fit) -> bool:
    """Whether trajectories were asked for subgroups."""
    return "subgroup_member" in fit.data and any(str(name).endswith("_from_overall") for name in fit.estimands)


@serves("subgroup_effects", "trajectories with subgroups", has_subgroups)
def plot_subgroup_effects(fit: Fit) -> Figure:
    """Draw what is asked in each subgroup: in the hierarchical model, and in a separate fit of the subgroup alone.

    Parameters
    ----------
    fit
        A fit of :class:`~bayesdep.models.trajectories.model.Trajectories` with ``subgroups``.

    Returns
    -------
    matplotlib.figure.Figure
        A row per subgroup, with its patients; a panel per question and arm or comparison. Blue: medians and 95%
        intervals of the model; grey: separate least-squares fits; band: the model's 95% interval in all patients. Of
        several markers the one is shown whose separate estimate is largest beside its error.

    Examples
    --------
    >>> import bayesdep as bd
    >>> table = bd.simulate("rct2025", seed=1).table  # synthetic
    >>> columns = {"outcome": "score", "time": "day", "reference": "saline", "units": "points", "equal_baseline": True}
    >>> fit = bd.fit(bd.Trajectories(**columns, subgroups={"women": "sex == 'F'"}), table)  # doctest: +SKIP
    >>> figure = bd.plot_subgroup_effects(fit)  # doctest: +SKIP
    """
    settings = settings_of_kind(fit, TrajectoriesSettings)
    alone = separate_fits(settings, fit.data)
    markers: list[int] = list(chosen("analyte", fit.data["analyte"].values)) if settings.has_markers else []
    marker = _most_striking(alone.isel(analyte=markers)) if markers else None
    panels = list(_panels(settings, fit, alone, marker))
    wanted = chosen("subgroup", fit.data["subgroup"].values)
    shown = wanted[:MOST_ROWS]
    members = fit.data["subgroup_member"].values.sum(axis=1)
    names = [f"{fit.data['subgroup'].values[g]} ({members[g]})" for g in shown]
    with styled_figure(fit, 2.0 * min(len(panels), _PANELS) + 2.2, max(2.4, _ROW * len(names) + 1.5)) as figure:
        figure.says_shown(len(names), len(wanted), "subgroups are shown, the first")
        figure.says_shown(min(len(panels), _PANELS), len(panels), "panels are shown, the first")
        if marker is not None:
            what = "markers is shown, that of the most striking separate fit"
            figure.says_shown(1, len(markers), what)
        grid = figure.subplots(1, min(len(panels), _PANELS), squeeze=False, sharey=True)[0]
        for axes, (title, units, whole, model, separate) in zip(grid, panels, strict=False):
            _panel(axes, whole, model[:, shown], separate[:, shown])
            axes.set_title(title, fontsize=8)
            axes.set_xlabel(units, fontsize=8)
        grid[0].set_yticks(range(len(names)), names, fontsize=7.5)
        grid[0].set_ylim(len(names) - 0.5, -0.5)
        handles = [
            Line2D([], [], color=BLUE, marker="o", ms=3.5, lw=1.3),
            Line2D([], [], color=GREY, marker="o", ms=3, lw=1.0),
            Patch(color=BLUE, alpha=0.12, lw=0),
        ]
        legend_below(figure, (handles, ["one model", "each alone", "all patients"]), 3)
    return figure


def _most_striking(alone: xr.Dataset) -> str | None:
    """The marker of the largest separate estimate beside its interval's width; None without markers."""
    if "analyte" not in alone.dims:
        return None
    best, found = -1.0, str(alone["analyte"].values[0])
    for question in alone.data_vars:
        if f"{question}_upper" not in alone or "analyte" not in alone[question].dims:
            continue
        width = alone[f"{question}_upper"] - alone[f"{question}_lower"]
        size = abs(alone[question] / width.where(width > 0)).fillna(0.0)
        by_marker = size.max([d for d in size.dims if d != "analyte"])
        if float(by_marker.max()) > best:
            best, found = float(by_marker.max()), str(alone["analyte"].values[int(np.argmax(by_marker.values))])
    return found


def _panels(
    settings: TrajectoriesSettings, fit: Fit, alone: xr.Dataset, marker: str | None
) -> Iterator[tuple[str, str, np.ndarray, np.ndarray, np.ndarray]]:
    """Title, units, and intervals (lower, middle, upper) of all patients, of the model and of separate fits."""
    for question in settings.questions:
        inside, apart = fit.estimands[f"{question}_in"], fit.estimands[f"{question}_from_overall"]
        at = {"analyte": marker} if "analyte" in inside.dims else {}
        separate = xr.concat([alone[f"{question}{end}"] for end in ("_lower", "", "_upper")], "end").sel(at)
        inside, whole = inside.sel(at), (inside - apart).isel(subgroup=0).sel(at)
        rest = [d for d in inside.dims if d not in ("chain", "draw", "subgroup")]
        for index in np.ndindex(*(inside.sizes[d] for d in rest)):
            place = dict(zip(rest, index, strict=True))
            words = [str(inside[d].values[k]) for d, k in place.items() if d != "link" or inside.sizes["link"] > 1]
            less = f" less {settings.reference}" if "comparison" in place else ""
            of = settings.outcome if question == "difference" else marker
            title = f"{question.split('_')[0] if 'association' in question else of}: {', '.join(words)}{less}"
            if "association" in question:
                title = f"{of}, {', '.join(words)}{less}"
            yield (
                title,
                str(inside.attrs["units"]),
                np.quantile(whole.isel(place).values, [0.025, 0.5, 0.975]),
                np.quantile(
                    inside.isel(place).transpose("chain", "draw", "subgroup").values, [0.025, 0.5, 0.975], axis=(0, 1)
                ),
                separate.isel(place).transpose("end", "subgroup").values,
            )


def _panel(axes: Axes, whole: np.ndarray, model: np.ndarray, separate: np.ndarray) -> None:
    axes.axvline(0, color=GREY, lw=0.9)
    axes.axvspan(whole[0], whole[2], color=BLUE, alpha=0.12, lw=0)
    y = np.arange(model.shape[1])
    axes.hlines(y - _APART, model[0], model[2], color=BLUE, lw=1.3)
    axes.plot(model[1], y - _APART, "o", ms=3.5, color=BLUE)
    seen = np.isfinite(separate).all(axis=0)
    axes.hlines(y[seen] + _APART, separate[0, seen], separate[2, seen], color=GREY, lw=1.0)
    axes.plot(separate[1, seen], y[seen] + _APART, "o", ms=3, color=GREY)
    axes.set_xlim(*limits(whole, model, separate[:, seen], np.array([0.0])))
