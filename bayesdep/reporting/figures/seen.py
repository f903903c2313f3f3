"""What a figure shows, in words, for those who do not see it: panels, axes with their ranges, rows, legend."""

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

ROW = "beside-row-"  # begins the gid of what is written beside a row
_ROWS = 25  # that are named; of more, the first ones and their number
_PANELS = 6  # that are told; of more, these and their number


def describe(figure: Figure) -> str:
    """Tell what is seen in a figure, as the alternative text of its picture.

    Parameters
    ----------
    figure
        A finished figure.

    Returns
    -------
    str
        Warnings, panels with their axes, rows with their numbers where these are written, and the legend.

    Examples
    --------
    >>> figure = Figure()
    >>> axes = figure.add_subplot(xlabel="HAM-D points", xlim=(0, 10), title="week 12")
    >>> _ = axes.set_yticks([0, 1], ["placebo", "infliximab"])
    >>> describe(figure)
    'week 12. Across: HAM-D points, 0 to 10. Rows, from the top: infliximab; placebo.'
    """
    head = [figure.get_suptitle()] if figure.get_suptitle() else []
    panels = [text for text in (_panel(axes) for axes in figure.axes) if text]
    shown = panels[:_PANELS]
    if len(panels) > 1:
        shown = [f"Panel {k}: {text}" for k, text in enumerate(shown, start=1)]
        head.append(f"{len(panels)} panels")
    legends = [legend for legend in [*figure.legends, *(axes.get_legend() for axes in figure.axes)] if legend]
    words = [text.get_text().lstrip("\u200b") for legend in legends for text in legend.get_texts()]
    keys = [f"Legend: {', '.join(dict.fromkeys(words))}"] if words else []
    common = [text for text in (figure.get_supxlabel(), figure.get_supylabel()) if text]
    return " ".join(f"{' '.join(part.split()).rstrip('.')}." for part in [*head, *shown, *common, *keys])


def _panel(axes: Axes) -> str:
    titles = [axes.get_title(loc=place) for place in ("left", "center", "right")]
    parts = [title for title in titles if title]
    for axis, word in ((axes.xaxis, "Across"), (axes.yaxis, "Up")):
        if _is_named(axis):
            continue
        label = axis.get_label_text()
        ticks = _ends(axis)
        if label or ticks:
            parts.append(f"{word}: {', '.join(text for text in (label, ticks) if text)}")
    for axis, word in ((axes.yaxis, "Rows, from the top"), (axes.xaxis, "Along the axis")):
        if _is_named(axis):
            names = _rows(axes, axis)
            more = f"; and {len(names) - _ROWS} more" if len(names) > _ROWS else ""
            parts.append(f"{word}: {'; '.join(names[:_ROWS])}{more}")
    return ". ".join(" ".join(part.split()) for part in parts)


def _is_named(axis: Axis) -> bool:
    return isinstance(axis.get_major_locator(), FixedLocator) and any(t.get_text() for t in axis.get_majorticklabels())


def _rows(axes: Axes, axis: Axis) -> list[str]:
    """Names of rows, from the top, with the numbers written beside them."""
    places = [float(x) for x in axis.get_majorticklocs()]
    names = dict(zip(places, (t.get_text() for t in axis.get_majorticklabels()), strict=False))
    if axis is axes.yaxis:
        for text in axes.texts:
            if isinstance(text, Annotation) and str(text.get_gid()).startswith(ROW):
                at = float(text.xy[1])
                near = min((abs(known - at), known) for known in places)[1]
                names[near] = f"{names[near]} {text.get_text()}".strip()
        low, high = axes.get_ylim()
        return [names[place] for place in sorted(names, reverse=low < high)]
    return [names[place] for place in sorted(names)]


def _ends(axis: Axis) -> str:
    """The range of an axis, as its own labels write it."""
    if isinstance(axis.get_major_locator(), NullLocator) or isinstance(axis.get_major_formatter(), NullFormatter):
        return ""
    if not len(axis.get_majorticklocs()):
        return ""
    low, high = sorted(axis.get_view_interval())
    inside = [float(x) for x in axis.get_majorticklocs() if low <= x <= high]
    if len(inside) < 2:
        return ""
    written = axis.get_major_formatter().format_ticks(inside)
    return f"{written[0]} to {written[-1]}"
