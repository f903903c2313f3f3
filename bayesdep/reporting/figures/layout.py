"""Fitting texts into a figure, however long the names are: they are shortened, wrapped, or moved below one another.

Widths are measured, not guessed from the number of letters: a CJK character is twice as wide as a Latin one. A
shortened name keeps its beginning and its end, and different names stay different.
"""

import math
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

from bayesdep.reporting.figures.lettering import families, legend_word, readable

_POINTS = 72.0  # in an inch
_RESOLUTIONS = (
    100.0,
    300.0,
)  # of a figure on a screen and in a file: letters are set to whole pixels, so widths differ
ROWS = 0.36  # largest share of a figure's width for the names of rows
_COLUMN = 0.3  # share of its height for vertical names under an axis
_LEAST = 34.0  # points: with less room per name, names are vertical
_LONG = 0.7  # share of the room in a figure's grid; longer texts are measured against the final layout
_BEYOND = 1.1  # share of a panel's side for the label along it
_LINES = 3  # lines of a title or an axis label
_HANDLE = 40.0  # points for a legend's line and its gaps
_GAP = 8.0  # points between neighbours
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


@lru_cache(maxsize=1)
def _renderers() -> tuple[tuple[float, Any], ...]:
    return tuple((_POINTS / dpi, RendererAgg(16, 16, dpi)) for dpi in _RESOLUTIONS)  # type: ignore[no-untyped-call]  # matplotlib's is not typed


@lru_cache(maxsize=20_000)
def width_of(line: str, size: float, weight: str = "normal") -> float:
    """Return how wide a text is, in points.

    Parameters
    ----------
    line
        A line; of several lines the widest counts.
    size
        Of the font, in points.
    weight
        As in matplotlib.

    Returns
    -------
    float
        In points.

    Examples
    --------
    >>> width_of("mm", 9) > width_of("ii", 9)
    True
    """
    font = FontProperties(family=list(families()), size=size, weight=weight)
    return max(
        float(points * renderer.get_text_width_height_descent(part, font, ismath=False)[0])
        for points, renderer in _renderers()
        for part in line.split("\n")
    )


def shortened(name: str, room: float, size: float) -> str:
    """Shorten a line to a width by taking out its middle.

    Parameters
    ----------
    name
        One line.
    room
        In points.
    size
        Of the font, in points.

    Returns
    -------
    str
        The line, or its beginning, an ellipsis and its end.

    Examples
    --------
    >>> short = shortened("a" * 50 + "b" * 50, 60, 9)
    >>> shortened("TNF", 100, 9), short[0], short[-1], width_of(short, 9) <= 60
    ('TNF', 'a', 'b', True)
    """
    if (len(name) < room / size and name.isascii()) or width_of(name, size) <= room:
        return name
    low, high = 0, len(name) - 1
    while low < high:  # the most characters that fit
        middle = (low + high + 1) // 2
        low, high = (middle, high) if width_of(_without_middle(name, middle), size) <= room else (low, middle - 1)
    return _without_middle(name, low)


def _without_middle(name: str, kept: int) -> str:
    head, tail = kept - kept // 3, kept // 3
    while head < len(name) and unicodedata.combining(name[head]):  # an accent stays with its letter
        head += 1
    end = name[len(name) - tail :] if tail else ""
    while end and unicodedata.combining(end[0]):
        end = end[1:]
    return f"{name[:head].rstrip()}{_ELLIPSIS}{end.lstrip()}"


def shortened_apart(names: Sequence[str], room: float, size: float) -> list[str]:
    """Shorten names to a width, and number those that would become equal.

    Parameters
    ----------
    names
        Lines.
    room, size
        As in :func:`shortened`.

    Returns
    -------
    list of str
        As many; two are equal only if the names are.

    Examples
    --------
    >>> names = shortened_apart(["a" * 50 + "1" + "b" * 50, "a" * 50 + "2" + "b" * 50, "c"], 80, 9)
    >>> [name[-3:] for name in names]
    ['(1)', '(2)', 'c']
    """
    distinct = list(dict.fromkeys(names))
    short = [shortened(name, room, size) for name in distinct]
    alike = {s for s in short if short.count(s) > 1} if len(set(short)) < len(short) else set()
    count: dict[str, int] = {}
    short_of = {}
    for name, s in zip(distinct, short, strict=True):
        if s in alike:
            count[s] = count.get(s, 0) + 1
            number = f" ({count[s]})"
            s = shortened(name, room - width_of(number, size), size) + number
        short_of[name] = s
    return [short_of[name] for name in names]


def wrapped(text: str, room: float, size: float, lines: int = _LINES, weight: str = "normal") -> str:
    r"""Break a text into lines of a width, and shorten it if there are too many.

    Parameters
    ----------
    text
        Its line breaks are kept.
    room
        In points.
    size, weight
        Of the font.
    lines
        The largest number of lines; at least one for each line of the text.

    Returns
    -------
    str
        With line breaks.

    Examples
    --------
    >>> wrapped("change of the score", 60, 9)
    'change of\nthe score'
    """
    every = [_wrapped_line(own, room, size, weight) for own in text.split("\n")]
    each = max(1, lines // len(every)) if sum(map(len, every)) > lines else lines
    shown = [
        parts if len(parts) <= each else [*parts[: each - 1], shortened(" ".join(parts[each - 1 :]), room, size)]
        for parts in every
    ]
    return "\n".join(line for parts in shown for line in parts)


def _wrapped_line(text: str, room: float, size: float, weight: str) -> list[str]:
    if width_of(text, size, weight) <= room:
        return [text]
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip() if lines[-1] else word
        if width_of(longer, size, weight) <= room:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        while width_of(word, size, weight) > room and len(word) > 1:  # a word that is longer than a line
            fits = max(1, int(len(word) * room / width_of(word, size, weight)))
            while fits > 1 and width_of(word[:fits], size, weight) > room:
                fits -= 1
            lines[-1] = word[:fits]
            word = word[fits:]
            lines.append("")
        lines[-1] = word
    return lines


def legend_below(figure: Figure, named: tuple[Sequence[Any], Sequence[str]], columns: int, **how: Any) -> None:
    """Put a legend below all panels, in as many columns as fit.

    Parameters
    ----------
    figure
        The figure.
    named
        Handles and labels, as for ``figure.legend``; labels are shown unchanged.
    columns
        The largest number of columns.
    **how
        Further arguments of ``figure.legend``.
    """
    size = 9.0
    handles, labels = named
    room = figure.get_figwidth() * _POINTS - 3 * _GAP
    words = shortened_apart([readable(label) for label in labels], room - _HANDLE, size)
    for count in range(max(1, min(columns, len(words))), 0, -1):
        lines = -(-len(words) // count)
        widest = [max(width_of(w, size) for w in words[i : i + lines]) for i in range(0, len(words), lines)]
        if sum(widest) + _HANDLE * len(widest) <= room:
            break
    figure.legend(handles, [legend_word(w) for w in words], loc="outside lower center", ncols=count, **how)


def fit_texts(figure: Figure) -> None:
    """Shorten and wrap every text of a figure that would cross its edge or overlap its neighbour.

    Parameters
    ----------
    figure
        A finished figure; numbers on its axes stay unchanged.
    """
    rows = {axes: _named(axes.yaxis) for axes in figure.axes if axes.yaxis.get_tick_params().get("labelleft", True)}
    columns = len({axes.get_position().x0 for axes, labels in rows.items() if labels and labels[0].get_text()})
    for axes in figure.axes:
        width, height = _slot(axes)
        _fit_rows(axes.yaxis, ROWS * figure.get_figwidth() * _POINTS / max(columns, 1), height)
        _fit_columns(axes.xaxis, width, _COLUMN * figure.get_figheight() * _POINTS)
    for text in figure.texts:
        _wrap(text, text.get_text(), figure.get_figwidth() * _POINTS - 2 * _GAP)
    written = {axes: [text.get_text() for text in _around(axes)] for axes in figure.axes}
    long = [_fit_around(axes, words, *_beside_rows(axes)) for axes, words in written.items()]
    if not any(long):
        return
    wide = [text for axes in figure.axes for text in _around(axes)[:2]]
    for text in wide:  # texts that must fit into a panel must not enlarge it
        text.set_in_layout(False)
    figure.draw_without_rendering()
    for text in wide:
        text.set_in_layout(True)
    across, up = figure.get_figwidth() * _POINTS, figure.get_figheight() * _POINTS
    for axes, (title, below, beside) in written.items():
        left, right, down, above = _neighbours(axes, figure)
        place = axes.get_position()
        x, y = (place.x0 + place.x1) / 2, (place.y0 + place.y1) / 2
        high = _slot(axes)[1]
        _wrap(_title(axes), title, (right - place.x0) * across - _GAP, high)
        # only a little wider than its panel, which the layout may still change
        room = min(2 * min(x - left, right - x) * across - 2 * _GAP, _BEYOND * place.width * across)
        _wrap(axes.xaxis.label, below, room, high)
        room = min(2 * min(y - down, above - y) * up - _GAP, _BEYOND * place.height * up)
        _wrap(axes.yaxis.label, beside, room)


def _beside_rows(axes: Axes) -> tuple[float, float]:
    """The width and height of an axes in a figure's grid, without the names of its rows, in points."""
    width, height = _slot(axes)
    named = [width_of(label.get_text(), float(label.get_fontsize())) for label in _named(axes.yaxis)]
    return max(width - max(named, default=0.0), width / 3), height


def _around(axes: Axes) -> tuple[Text, Text, Text]:
    return _title(axes), axes.xaxis.label, axes.yaxis.label


def _fit_around(axes: Axes, words: Sequence[str], width: float, height: float) -> bool:
    """Wrap the texts around an axes to its cell of the grid; return whether one may still be too long."""
    rooms = ((width, height), (width, height), (height, width))
    is_too_long = False
    for text, written, (room, high) in zip(_around(axes), words, rooms, strict=True):
        _wrap(text, written, room, high)
        size = float(text.get_fontsize())
        is_too_long |= any(width_of(line, size) > _LONG * room for line in text.get_text().split("\n"))
    return is_too_long


def _title(axes: Axes) -> Text:
    title: Text = axes._left_title  # type: ignore[attr-defined]  # set by this package's style; matplotlib has no public name for it
    return title


def _slot(axes: Axes) -> tuple[float, float]:
    """The width and height that a figure's grid gives an axes, in points."""
    figure, spec = axes.get_figure(root=True), axes.get_subplotspec()
    assert figure is not None
    across, up = figure.get_figwidth() * _POINTS, figure.get_figheight() * _POINTS
    if spec is None:
        return across, up
    grid = spec.get_gridspec()

    def share(ratios: Any, span: range, count: int) -> float:
        weights = [1.0] * count if ratios is None else list(map(float, ratios))
        return sum(weights[i] for i in span) / sum(weights)

    return (
        across * share(grid.get_width_ratios(), spec.colspan, grid.ncols),
        up * share(grid.get_height_ratios(), spec.rowspan, grid.nrows),
    )


def _named(axis: Axis) -> list[Text]:
    """Tick labels that were set explicitly; none of an axis with automatic ones."""
    return list(axis.get_majorticklabels()) if isinstance(axis.get_major_locator(), FixedLocator) else []


def _relabel(axis: Axis, labels: Sequence[Text], short: Callable[[list[str], float], list[str]]) -> None:
    if not labels:
        return
    size = float(labels[0].get_fontsize())
    words = [label.get_text() for label in labels]
    labels_shown = short(words, size)
    if labels_shown != words:
        axis.set_ticks(axis.get_majorticklocs(), labels_shown)


def _fit_rows(axis: Axis, room: float, height: float) -> None:
    labels = _named(axis)
    _relabel(axis, labels, lambda words, size: _thinned(shortened_apart(words, room, size), height, 1.1 * size))


def _fit_columns(axis: Axis, width: float, room: float) -> None:
    labels = _named(axis)
    if not labels:
        return
    size, each = float(labels[0].get_fontsize()), width / len(labels) - _GAP / 2
    widest = max(width_of(label.get_text(), size) for label in labels)
    if widest <= each:
        return
    if each >= _LEAST:
        _relabel(axis, labels, lambda words, size: shortened_apart(words, each, size))
        return
    _relabel(axis, labels, lambda words, size: _thinned(shortened_apart(words, room, size), width, 1.3 * size))
    if widest > 3 * size:  # short numbers stay horizontal
        axis.set_tick_params(rotation=90)


def _thinned(words: list[str], room: float, each: float) -> list[str]:
    """Leave out labels evenly, so that the others have room."""
    every = math.ceil(len(words) * each / max(room, each))
    return [word if i % every == 0 else "" for i, word in enumerate(words)]


def _wrap(text: Text, written: str, room: float, high: float = math.inf) -> None:
    """Break a text into two or three lines, at most a quarter of the height."""
    size = float(text.get_fontsize())
    lines = max(2, int(min(_LINES, high / 4 / (1.2 * size))))
    shown = wrapped(written, max(room, 4 * size), size, lines)
    if shown != text.get_text():
        text.set_text(shown)


def _neighbours(axes: Axes, figure: Figure) -> tuple[float, float, float, float]:
    """Limits of an axes' texts (left, right, down, up) as shares of the figure: halfway to the next panels."""
    place = axes.get_position()
    others = [other.get_position() for other in figure.axes if other is not axes]
    left = max([(at.x1 + place.x0) / 2 for at in others if at.x1 <= place.x0], default=0.0)
    right = min([(at.x0 + place.x1) / 2 for at in others if at.x0 >= place.x1], default=1.0)
    below = max([at.y1 for at in others if at.y1 <= place.y0], default=0.0)
    above = min([at.y0 for at in others if at.y0 >= place.y1], default=1.0)
    return left, right, below, above
