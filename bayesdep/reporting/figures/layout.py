"""Texts of a figure stay inside it, however long the names are: shortened, wrapped, or set below one another.

Widths are measured, not guessed from the number of letters: a CJK character is twice as wide as a Latin one. A
shortened name keeps its beginning and its end, and two names never come out alike.
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
    150.0,
)  # of a figure on a screen and in a file: letters are set to whole pixels, so widths differ
_ROWS = 0.36  # of a figure's width, at most, for the names of rows
_COLUMN = 0.3  # of its height for names that stand upright under an axis
_LEAST = 34.0  # points: a name that has less room beside others stands upright
_LONG = 0.7  # of the room in a figure's grid: beyond it, texts are measured against what the layout leaves
_BEYOND = 1.1  # of a panel's side for the label along it
_LINES = 3  # of a title or an axis' label
_HANDLE = 40.0  # points that a legend's line and the gaps around it take
_GAP = 8.0  # points between neighbours
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


@lru_cache(maxsize=1)
def _renderers() -> tuple[tuple[float, Any], ...]:
    return tuple((_POINTS / dpi, RendererAgg(16, 16, dpi)) for dpi in _RESOLUTIONS)  # type: ignore[no-untyped-call]


@lru_cache(maxsize=20_000)
def width_of(line: str, size: float, weight: str = "normal") -> float:
    """Return how wide a text is, in points.

    Parameters
    ----------
    line
        A line; of several the widest counts.
    size
        Of the font, in points.
    weight
        As matplotlib has it.

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
    """Shorten names to a width, and number those that would look alike.

    Parameters
    ----------
    names
        Lines.
    room, size
        As in :func:`shortened`.

    Returns
    -------
    list of str
        As many; equal where the names are equal, and nowhere else.

    Examples
    --------
    >>> names = shortened_apart(["a" * 50 + "1" + "b" * 50, "a" * 50 + "2" + "b" * 50, "c"], 80, 9)
    >>> [name[-3:] for name in names]
    ['(1)', '(2)', 'c']
    """
    whole = list(dict.fromkeys(names))
    short = [shortened(name, room, size) for name in whole]
    alike = {s for s in short if short.count(s) > 1} if len(set(short)) < len(short) else set()
    count: dict[str, int] = {}
    found = {}
    for name, s in zip(whole, short, strict=True):
        if s in alike:
            count[s] = count.get(s, 0) + 1
            number = f" ({count[s]})"
            s = shortened(name, room - width_of(number, size), size) + number
        found[name] = s
    return [found[name] for name in names]


def wrapped(text: str, room: float, size: float, lines: int = _LINES, weight: str = "normal") -> str:
    r"""Break a text into lines of a width, and shorten what has too many.

    Parameters
    ----------
    text
        Its own line breaks stay.
    room
        In points.
    size, weight
        Of the font.
    lines
        How many lines there may be, but at least one for each of its own.

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
    kept = [
        parts if len(parts) <= each else [*parts[: each - 1], shortened(" ".join(parts[each - 1 :]), room, size)]
        for parts in every
    ]
    return "\n".join(line for parts in kept for line in parts)


def _wrapped_line(text: str, room: float, size: float, weight: str) -> list[str]:
    if width_of(text, size, weight) <= room:
        return [text]
    found = [""]
    for word in text.split(" "):
        longer = f"{found[-1]} {word}".strip() if found[-1] else word
        if width_of(longer, size, weight) <= room:
            found[-1] = longer
            continue
        if found[-1]:
            found.append("")
        while width_of(word, size, weight) > room and len(word) > 1:  # a word that is longer than a line
            fits = max(1, int(len(word) * room / width_of(word, size, weight)))
            while fits > 1 and width_of(word[:fits], size, weight) > room:
                fits -= 1
            found[-1] = word[:fits]
            word = word[fits:]
            found.append("")
        found[-1] = word
    return found


def legend_below(figure: Figure, named: tuple[Sequence[Any], Sequence[str]], columns: int, **how: Any) -> None:
    """Set a legend below all panels, in as many columns as its words leave room for.

    Parameters
    ----------
    figure
        The figure.
    named
        Handles and labels, as ``figure.legend`` takes them; labels are shown whatever signs they have.
    columns
        How many columns there may be.
    **how
        More of what ``figure.legend`` takes.
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
    """Shorten and wrap every text of a figure that would leave it or run into its neighbour.

    Parameters
    ----------
    figure
        A finished figure; numbers of its axes are left alone.
    """
    rows = {axes: _named(axes.yaxis) for axes in figure.axes if axes.yaxis.get_tick_params().get("labelleft", True)}
    columns = len({axes.get_position().x0 for axes, labels in rows.items() if labels and labels[0].get_text()})
    for axes in figure.axes:
        width, height = _slot(axes)
        _fit_rows(axes.yaxis, _ROWS * figure.get_figwidth() * _POINTS / max(columns, 1), height)
        _fit_columns(axes.xaxis, width, _COLUMN * figure.get_figheight() * _POINTS)
    for text in figure.texts:
        _wrap(text, text.get_text(), figure.get_figwidth() * _POINTS - 2 * _GAP)
    written = {axes: [text.get_text() for text in _around(axes)] for axes in figure.axes}
    long = [_fit_around(axes, words, *_beside_rows(axes)) for axes, words in written.items()]
    if not any(long):
        return
    wide = [text for axes in figure.axes for text in _around(axes)[:2]]
    for text in wide:  # what is to fit into a panel must not make room for itself
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
        # little wider than its panel, which the layout may yet move
        room = min(2 * min(x - left, right - x) * across - 2 * _GAP, _BEYOND * place.width * across)
        _wrap(axes.xaxis.label, below, room, high)
        room = min(2 * min(y - down, above - y) * up - _GAP, _BEYOND * place.height * up)
        _wrap(axes.yaxis.label, beside, room)


def _beside_rows(axes: Axes) -> tuple[float, float]:
    """The width and height that an axes has in a figure's grid beside the names of its rows, in points."""
    width, height = _slot(axes)
    named = [width_of(label.get_text(), float(label.get_fontsize())) for label in _named(axes.yaxis)]
    return max(width - max(named, default=0.0), width / 3), height


def _around(axes: Axes) -> tuple[Text, Text, Text]:
    return _title(axes), axes.xaxis.label, axes.yaxis.label


def _fit_around(axes: Axes, words: Sequence[str], width: float, height: float) -> bool:
    """Wrap the texts around an axes to its place in the grid; say whether one may be too long for what is left."""
    rooms = ((width, height), (width, height), (height, width))
    found = False
    for text, written, (room, high) in zip(_around(axes), words, rooms, strict=True):
        _wrap(text, written, room, high)
        size = float(text.get_fontsize())
        found |= any(width_of(line, size) > _LONG * room for line in text.get_text().split("\n"))
    return found


def _title(axes: Axes) -> Text:
    title: Text = axes._left_title  # type: ignore[attr-defined]  # the house style's place; there is no public name
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
    """The tick labels of an axis that were set; none of an axis that finds its own."""
    return list(axis.get_majorticklabels()) if isinstance(axis.get_major_locator(), FixedLocator) else []


def _relabel(axis: Axis, labels: Sequence[Text], short: Callable[[list[str], float], list[str]]) -> None:
    if not labels:
        return
    size = float(labels[0].get_fontsize())
    words = [label.get_text() for label in labels]
    found = short(words, size)
    if found != words:
        axis.set_ticks(axis.get_majorticklocs(), found)


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
    if widest > 3 * size:  # numbers of a few digits stay level
        axis.set_tick_params(rotation=90)


def _thinned(words: list[str], room: float, each: float) -> list[str]:
    """Leave out labels that have no room, evenly."""
    every = math.ceil(len(words) * each / max(room, each))
    return [word if i % every == 0 else "" for i, word in enumerate(words)]


def _wrap(text: Text, written: str, room: float, high: float = math.inf) -> None:
    """Break a text into lines of some room: two or three, as many as take a quarter of the height."""
    size = float(text.get_fontsize())
    lines = max(2, int(min(_LINES, high / 4 / (1.2 * size))))
    found = wrapped(written, max(room, 4 * size), size, lines)
    if found != text.get_text():
        text.set_text(found)


def _neighbours(axes: Axes, figure: Figure) -> tuple[float, float, float, float]:
    """How far an axes' texts may go left, right, down and up, as shares of the figure: halfway to others' panels."""
    place = axes.get_position()
    others = [other.get_position() for other in figure.axes if other is not axes]
    left = max([(at.x1 + place.x0) / 2 for at in others if at.x1 <= place.x0], default=0.0)
    right = min([(at.x0 + place.x1) / 2 for at in others if at.x0 >= place.x1], default=1.0)
    below = max([at.y1 for at in others if at.y1 <= place.y0], default=0.0)
    above = min([at.y0 for at in others if at.y0 >= place.y1], default=1.0)
    return left, right, below, above
