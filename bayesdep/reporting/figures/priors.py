"""What a model believes before any data: estimands and test quantities under its priors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesdep.data.errors import BadInput
from bayesdep.inference.predictive import prior_predictive
from bayesdep.models.model import Model
from bayesdep.reporting.figures.composing import BLUE, GREY, STYLE, plain_figure
from bayesdep.reporting.figures.layout import ROWS, width_of

_MOST_ROWS = 12  # of one quantity
_NARROWEST, _WIDEST = 6.4, 9.0  # inches
_SPREAD = 50  # from this ratio of the ends on, an axis of values above zero is logarithmic


@dataclass(frozen=True)
class _Rows:
    """Quantities of the same units: a title, and draws by label."""

    title: str
    draws: dict[str, np.ndarray]


def plot_priors(model: Model, table: Any, *, draws: int = 500, seed: int = 1) -> Figure:
    """Plot what a model believes before it sees an outcome, in the units of the question.

    Above, the primary estimands; below, test quantities of data that the model would produce. The table gives the
    design (people, arms, visits, limits) and the scale of which default priors are multiples; its outcomes are not used
    otherwise.

    Parameters
    ----------
    model
        Any model.
    table
        The table that it is to be fitted to, or what its ``prepare`` made of one.
    draws
        From the prior.
    seed
        Same seed, same figure.

    Returns
    -------
    matplotlib.figure.Figure
        Medians with 50% (thick) and 95% intervals.

    Raises
    ------
    BadInput
        When the model cannot read the table, or fewer than 10 draws are asked for.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> figure = bd.plot_priors(model, schools, draws=20)
    """
    if draws < 10:
        raise BadInput(f"draws = {draws} are too few to show a prior; use 500")
    found = prior_predictive(model, table, draws=draws, seed=seed)
    groups = [_rows_of(found.estimands[name], found.estimands[name].attrs) for name in found.estimands.data_vars]
    by_units: dict[str, dict[str, np.ndarray]] = {}
    for check, values in found.checks:
        by_units.setdefault(check.units, {})[check.name] = values
    groups += [_Rows(f"Data under the prior{units and ', '}{units}", values) for units, values in by_units.items()]
    heights = [min(len(group.draws), _MOST_ROWS) + 1.4 for group in groups]
    marks = ["SYNTHETIC DATA"] if found.synthetic else []
    with plain_figure(_width_for(groups), 0.24 * sum(heights) + 0.5, marks) as figure:
        axes = np.atleast_1d(figure.subplots(len(groups), 1, gridspec_kw={"height_ratios": heights}))
        for ax, group in zip(axes, groups, strict=True):
            _draw(ax, group)
            if len(group.draws) > _MOST_ROWS:
                figure.says_shown(_MOST_ROWS, len(group.draws), f"rows of {group.title.split(',')[0]!r} (the first)")
    return figure


def _width_for(groups: Sequence[_Rows]) -> float:
    """The width in inches that shows the longest label of a row whole, within limits."""
    widest = max(width_of(label, STYLE["font.size"]) for group in groups for label in group.draws)
    return min(max(_NARROWEST, 1.05 * widest / 72 / ROWS), _WIDEST)


def _rows_of(values: Any, attrs: dict[str, Any]) -> _Rows:
    dims = [d for d in values.dims if d not in ("chain", "draw")]
    flat = values.transpose("chain", "draw", *dims).values.reshape(-1, *(values.sizes[d] for d in dims))
    rows = {}
    for index in np.ndindex(*flat.shape[1:]):
        label = ", ".join(str(values[d].values[i]) for d, i in zip(dims, index, strict=True))
        rows[label] = flat[(slice(None), *index)]
    description = str(attrs["description"])
    return _Rows(f"{description[:1].upper()}{description[1:]}, {attrs['units']}", rows)


def _draw(ax: Axes, group: _Rows) -> None:
    """One row a quantity: median, half of the probability, 95% of it."""
    shown: Sequence[tuple[str, np.ndarray]] = list(group.draws.items())[:_MOST_ROWS]
    ends = [np.nanquantile(values[np.isfinite(values)], [0.025, 0.25, 0.5, 0.75, 0.975]) for _, values in shown]
    for at, (low, quarter, middle, three, high) in enumerate(ends):
        ax.plot([low, high], [at, at], color=BLUE, linewidth=1.0, solid_capstyle="butt")
        ax.plot([quarter, three], [at, at], color=BLUE, linewidth=3.5, solid_capstyle="butt")
        ax.plot(middle, at, "o", color="white", markeredgecolor=BLUE, markersize=4)
    lowest, highest = min(end[0] for end in ends), max(end[-1] for end in ends)
    if lowest > 0 and highest / lowest > _SPREAD:
        ax.set_xscale("log")
    elif lowest < 0 < highest:
        ax.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.set_yticks(range(len(shown)), [label for label, _ in shown])
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_title(group.title)
