"""How every figure is made: its style, its warnings, and four arguments that all public ``plot_*`` functions take.

``ax`` draws into a panel of the caller's figure, ``select`` chooses labels, ``labels`` renames what is written, and
``size`` sets the width and height. Functions ask for :func:`styled_figure` and :func:`chosen`; the arguments reach
these through a context variable, so that no function handles them itself.
"""

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Concatenate, Protocol, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.text import Text
from matplotlib.transforms import offset_copy

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.inference.fit import Fit
from bayesdep.models.model import ListsFigures
from bayesdep.reporting.figures.layout import fit_texts, wrapped
from bayesdep.reporting.figures.lettering import make_readable, readable, style

_CODE_POINTS = (
    "No font on this machine has the characters whose code points stand in \N{MATHEMATICAL LEFT ANGLE BRACKET} "
    "\N{MATHEMATICAL RIGHT ANGLE BRACKET}."
)
# blue and red keep apart under every form of colour blindness, and in grey: red is drawn with another shape or word
INK, BLUE, GREY, RED = "#222222", "#1f5a99", "#9a9a9a", "#b3261e"
RESOLUTION = 300  # dots per inch of a file, as journals ask for
_ON_SCREEN = 130
STYLE: Any = {  # matplotlib's own type lists every key by name
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.grid": False,
    "legend.frameon": False,
    "savefig.dpi": RESOLUTION,
    "pdf.fonttype": 42,  # letters stay letters in vector files
    "svg.fonttype": "none",
    "svg.hashsalt": "bayesdep",
}
EVERY_FIT = (
    "forest",
    "equivalence",
    "bayes_factors",
    "prior_posterior",
    "scaled_priors",
    "checks",
    "ranks",
)  # names of the figures of any model's fits


@dataclass
class _Look:
    """The four arguments of one call, and what was made of them."""

    ax: Axes | None = None
    select: Mapping[str, Sequence[str]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    size: tuple[float, float] | None = None
    offered: dict[str, list[str]] = field(default_factory=dict)


_LOOK: ContextVar[_Look | None] = ContextVar("look", default=None)


def _current() -> _Look:
    return _LOOK.get() or _Look()


def chosen(dim: str, labels: Any) -> np.ndarray:
    """Return which labels of a dim to draw: those that the caller's ``select`` names, in its order, or all.

    Parameters
    ----------
    dim
        The dim, as ``select`` names it.
    labels
        Its labels, shape (n,).

    Returns
    -------
    numpy.ndarray
        Their places.

    Raises
    ------
    BadInput
        When a label is asked for that is not there.
    """
    look, known = _current(), [str(label) for label in labels]
    look.offered[dim] = known
    if dim not in look.select:
        return np.arange(len(known))
    for label in look.select[dim]:
        if label not in known:
            raise BadInput(f"select: '{label}' is no {dim} of this figure; {did_you_mean(label, known)}")
    return np.array([known.index(label) for label in look.select[dim]], dtype=int)


def chosen_rows(rows: pd.DataFrame) -> np.ndarray:
    """Return which rows of a table of estimands to draw, by the columns of its dims.

    Parameters
    ----------
    rows
        As :func:`~bayesdep.reporting.estimands.summarise` returns it; between the first column and the numbers stand
        the dims.

    Returns
    -------
    numpy.ndarray
        Their places.
    """
    first = next(k for k, column in enumerate(rows.columns) if column in ("mean", "median", "lower", "width"))
    dims = [str(c) for c in rows.columns[1:first] if (rows[c] != "").any()]
    kept = np.ones(len(rows), bool)
    place = np.zeros(len(rows))
    for dim in dims:
        labels = list(dict.fromkeys(rows[dim].astype(str)))
        asked = [labels[k] for k in chosen(dim, labels)]
        kept &= rows[dim].astype(str).isin(asked).to_numpy()
        if dim in _current().select:
            place += rows[dim].astype(str).map({label: k for k, label in enumerate(asked)}).fillna(0).to_numpy()
    found = np.flatnonzero(kept)
    return found[np.argsort(place[found], kind="stable")]


class StyledFigure(Figure):
    """A figure with a header of warnings, which a notebook shows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.head: list[str] = []

    def says_shown(self, shown: int, of: int, what: str) -> None:
        """Say in the header that not everything is shown, if so.

        Parameters
        ----------
        shown, of
            How many are shown, of how many.
        what
            What they are, and which of them are shown.
        """
        if shown < of:
            self.head.append(f"{shown} of {of} {what}")

    def savefig(self, fname: Any, **how: Any) -> None:
        """Save the figure as matplotlib does, a picture at the resolution that journals ask for unless one is set.

        Parameters
        ----------
        fname
            A path or a file.
        **how
            As matplotlib takes it; ``dpi`` is 300 where neither it nor matplotlib's own setting says otherwise.
        """
        if mpl.rcParams["savefig.dpi"] == "figure":
            how.setdefault("dpi", RESOLUTION)
        super().savefig(fname, **how)

    def _repr_png_(self) -> bytes:
        """The picture that Jupyter shows, also where pyplot was never imported."""
        import io

        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=_ON_SCREEN)
        return buffer.getvalue()


class _Hosted:
    """A place in the caller's figure: the panel itself, or, for figures of several panels, panels in its place.

    It stands in for a :class:`StyledFigure` while a function draws.
    """

    def __init__(self, ax: Axes) -> None:
        self.head: list[str] = []
        root = ax.get_figure(root=True)
        if root is None:
            raise BadInput("ax is in no figure any more; make a panel by plt.subplots or figure.subplots")
        self.root: Figure = root
        self._ax, self._inside = ax, cast("SubFigure | None", None)

    def says_shown(self, shown: int, of: int, what: str) -> None:
        if shown < of:
            self.head.append(f"{shown} of {of} {what}")

    def set_layout_engine(self, *args: Any, **kwargs: Any) -> None:
        """The layout is the caller's."""

    def get_figwidth(self) -> float:
        return float(self._ax.get_position().width * self.root.get_figwidth())

    def add_subplot(self, **kwargs: Any) -> Axes:
        for name, value in kwargs.items():
            getattr(self._ax, f"set_{name}")(value)
        self._ax.spines[["top", "right"]].set_visible(False)
        return self._ax

    def subplots(self, rows: int = 1, columns: int = 1, *, squeeze: bool = True, **kwargs: Any) -> Any:
        if rows * columns == 1:
            axes = self.add_subplot()
            return axes if squeeze else np.array([[axes]], dtype=object)
        return self._figure().subplots(rows, columns, squeeze=squeeze, **kwargs)

    def _figure(self) -> SubFigure:
        """Panels in the place of the caller's one."""
        if self._inside is None:
            spec = self._ax.get_subplotspec()
            if spec is None:
                raise BadInput(
                    "this figure has several panels, and ax has no place in a grid that they could share; make ax by "
                    "plt.subplots or figure.subplots"
                )
            parent = self._ax.get_figure()
            assert parent is not None
            self._ax.remove()
            self._inside = parent.add_subfigure(spec)
        return self._inside

    def supxlabel(self, text: str, **how: Any) -> None:
        """The label below all panels: below the one, where there is one."""
        (self._ax.set_xlabel if self._inside is None else self._inside.supxlabel)(text, **how)

    def supylabel(self, text: str, **how: Any) -> None:
        """The label beside all panels: beside the one, where there is one."""
        (self._ax.set_ylabel if self._inside is None else self._inside.supylabel)(text, **how)

    def __getattr__(self, name: str) -> Any:
        """What only figures of several panels use."""
        return getattr(self._figure(), name)

    def legend(self, handles: Any, labels: Any, *, ncols: int, **how: Any) -> None:
        how.pop("loc", None)  # outside a whole figure
        if self._inside is not None:
            self._inside.legend(handles, labels, loc="outside lower center", ncols=ncols, **how)
            return
        below = offset_copy(self._ax.transAxes, self.root, y=-34, units="points")
        how |= {"bbox_to_anchor": (0.5, 0), "bbox_transform": below, "frameon": False}
        self._ax.legend(handles, labels, loc="upper center", ncols=ncols, **how)

    @property
    def axes(self) -> list[Axes]:
        return [self._ax] if self._inside is None else list(self._inside.axes)

    def findobj(self, match: Any = None) -> list[Any]:
        return list((self._ax if self._inside is None else self._inside).findobj(match))

    def finish(self, marks: Sequence[str]) -> None:
        """Write the warnings over the panel."""
        head = [", ".join(marks)] * bool(marks) + self.head
        if not head:
            return
        look: Any = {"color": RED, "fontweight": "bold"} if marks else {"color": INK}
        if self._inside is not None:
            self._inside.suptitle(readable("\n".join(head)), fontsize=8, **look)
            return
        self._ax.annotate(
            readable("\n".join(head)), (1, 1), (0, 16), xycoords="axes fraction", textcoords="offset points",
            ha="right", va="bottom", fontsize=7.5, annotation_clip=False, **look,
        )  # fmt: skip


@contextmanager
def plain_figure(width: float, height: float, marks: Sequence[str] = ()) -> Iterator[StyledFigure]:
    """Make a figure in the package's style, with all texts inside it; or draw into the caller's panel.

    Parameters
    ----------
    width, height
        In inches, unless the caller gave a size; a report shows 6.4 inches at full size.
    marks
        Warnings for its header.

    Yields
    ------
    StyledFigure
        Empty; the style applies while the context is open.
    """
    look = _current()
    with mpl.rc_context(STYLE | style()):
        if look.ax is not None:
            hosted = _Hosted(look.ax)
            yield cast(StyledFigure, hosted)
            _relabel(cast(Figure, hosted), look.labels)
            make_readable(cast(Figure, hosted))
            hosted.finish(marks)
            return
        width, height = look.size or (width, height)
        figure = StyledFigure(figsize=(width, height), layout="constrained")
        yield figure
        _relabel(figure, look.labels)
        if make_readable(figure):
            figure.head.append(_CODE_POINTS)
        fit_texts(figure)
        if marks or figure.head:
            head = wrapped("\n".join([", ".join(marks)] * bool(marks) + figure.head), 72 * width - 12, 9, weight="bold")
            how: Any = {"color": RED, "fontweight": "bold"} if marks else {"color": INK}
            figure.suptitle(readable(head), fontsize=9, **how)


def _relabel(figure: Figure, labels: Mapping[str, str]) -> None:
    """Write the caller's words in place of others, wherever these stand as whole words."""
    if not labels:
        return
    longest = sorted(labels, key=len, reverse=True)
    words = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in longest))

    def renamed(text: str) -> str:
        return words.sub(lambda found: labels[found[0]], text)

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            written = [label.get_text() for label in axis.get_majorticklabels()]
            if [renamed(text) for text in written] != written:
                axis.set_ticks(axis.get_majorticklocs(), [renamed(text) for text in written])
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if renamed(text.get_text()) != text.get_text():
            text.set_text(renamed(text.get_text()))


@contextmanager
def styled_figure(fit: Fit, width: float, height: float) -> Iterator[StyledFigure]:
    """Make a figure in the package's style, marked if the data are synthetic or the gate failed.

    Parameters
    ----------
    fit
        The fit that it shows.
    width, height
        In inches.

    Yields
    ------
    StyledFigure
        As :func:`plain_figure`.
    """
    marks = ["SYNTHETIC DATA"] if fit.synthetic else []
    marks += [] if fit.gate.passed else ["FAILED THE GATE"]
    with plain_figure(width, height, marks) as figure:
        yield figure


def derives(estimand: str) -> Callable[[Fit], bool]:
    """Return the condition that a fit has an estimand.

    Parameters
    ----------
    estimand
        Its name.

    Returns
    -------
    callable
        From a fit to whether it has it.
    """
    return lambda fit: estimand in fit.estimands


def has_figure(fit: Fit, name: str) -> bool:
    """Tell whether a figure applies to a fit's model.

    Parameters
    ----------
    fit
        Any fit.
    name
        A name of :data:`~bayesdep.reporting.figures.register.FIGURES`.

    Returns
    -------
    bool
        Whether it is a figure of any model, or one that this model lists.
    """
    return name in EVERY_FIT or (isinstance(fit.model, ListsFigures) and name in fit.model.figures)


def settings_of_kind[S](fit: Fit, kind: type[S]) -> S:
    """Return a fit's model if it is of the family that a figure is for, and refuse any other.

    Parameters
    ----------
    fit
        Any fit.
    kind
        The class of settings.

    Returns
    -------
    object
        The model.

    Raises
    ------
    BadInput
        When it is another one: a user's own model that lists a figure of another family.
    """
    if not isinstance(fit.model, kind):
        raise BadInput(
            f"{type(fit.model).__name__} lists a figure that needs {kind.__name__}; leave it out of the model's figures"
        )
    return fit.model


class Plot(Protocol):
    """A public function that draws a figure of a fit."""

    def __call__(
        self,
        fit: Fit,
        /,
        *args: Any,
        ax: Axes | None = None,
        select: Mapping[str, str | Sequence[str]] | None = None,
        labels: Mapping[str, str] | None = None,
        size: tuple[float, float] | None = None,
        **kwargs: Any,
    ) -> Figure:
        """Draw it."""


_ARGUMENTS = """ax
    A panel of your own figure to draw into, made by ``plt.subplots``; a figure of several panels takes its place.
    Give your figure ``layout="constrained"``.
select
    Labels to draw by dim, in order: ``{"analyte": ["IL-6", "TNF"]}``. All of them unless given.
labels
    Other words for what is written: ``{"infliximab": "Infliximab 5 mg/kg"}``.
size
    Width and height in inches.
"""


def serves[**P](
    name: str, what: str, condition: Callable[[Fit], bool] = lambda _: True
) -> Callable[[Callable[Concatenate[Fit, P], Figure]], Plot]:
    """Make a decorator: a function draws a figure, refuses fits whose model does not list it, and takes ``ax`` etc.

    Parameters
    ----------
    name
        The figure's name, as models list it.
    what
        The fits that it can draw, in words: "meta-analyses of ...".
    condition
        A further condition on the fit, by its data and estimands.

    Returns
    -------
    callable
        A decorator of functions from a fit to a figure.
    """

    def decorate(draw: Callable[Concatenate[Fit, P], Figure]) -> Plot:
        function = getattr(draw, "__name__", "this")

        @functools.wraps(draw)
        def checked(fit: Fit, /, *args: Any, **kwargs: Any) -> Figure:
            if not isinstance(fit, Fit):
                raise BadInput(f"{function} draws a fit, and this is a {type(fit).__name__}; give what bd.fit returns")
            if not (has_figure(fit, name) and condition(fit)):
                raise BadInput(
                    f"{function} is for {what}, which this fit of a {type(fit.model).__name__} is not; bd.plot_forest "
                    "draws any fit"
                )
            look = _look(function, *(kwargs.pop(word, None) for word in ("ax", "select", "labels", "size")))
            token = _LOOK.set(look)
            try:
                figure = draw(fit, *args, **kwargs)
            finally:
                _LOOK.reset(token)
            _refuse_unused(function, look)
            return figure if look.ax is None else cast(Figure, cast(Any, figure).root)

        ours = [
            inspect.Parameter(word, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for word, kind in (
                ("ax", "Axes | None"), ("select", "Mapping[str, Sequence[str]] | None"),
                ("labels", "Mapping[str, str] | None"), ("size", "tuple[float, float] | None"),
            )
        ]  # fmt: skip
        own = inspect.signature(draw)
        checked.__signature__ = own.replace(parameters=[*own.parameters.values(), *ours])  # type: ignore[attr-defined]  # functools reads it
        said = inspect.cleandoc(draw.__doc__ or "")  # each version of Python indents it otherwise
        checked.__doc__ = said.replace("\n\nReturns\n", f"\n{_ARGUMENTS}\nReturns\n", 1)
        return cast(Plot, checked)

    return decorate


def _look(function: str, ax: Any, select: Any, labels: Any, size: Any) -> _Look:
    """Read the four arguments, or refuse them in one sentence."""
    if ax is not None and not isinstance(ax, Axes):
        raise BadInput(f"{function}: ax is a {type(ax).__name__}, but a matplotlib Axes is needed; take one panel")
    if ax is not None and size is not None:
        raise BadInput(f"{function}: ax and size are given, but a panel has the size of its figure; leave size out")
    for word, value in (("select", select), ("labels", labels)):
        if value is not None and not isinstance(value, Mapping):
            example = '{"analyte": ["IL-6"]}' if word == "select" else '{"infliximab": "Infliximab"}'
            raise BadInput(f"{function}: {word} is {value!r}; write it as {example}")
    if size is not None and not (
        isinstance(size, Sequence) and len(size) == 2 and all(isinstance(x, (int, float)) and 0 < x < 100 for x in size)
    ):
        raise BadInput(f"{function}: size is {size!r}; give width and height in inches, such as (6, 4)")
    wanted = {
        str(dim): [str(some)] if isinstance(some, (str, int, float)) else [str(label) for label in some]
        for dim, some in (select or {}).items()
    }
    empty = [dim for dim, some in wanted.items() if not some]
    if empty:
        raise BadInput(f"{function}: select names no {empty[0]}; name one, or leave it out")
    named = {str(word): str(text) for word, text in (labels or {}).items()}
    return _Look(ax, wanted, named, None if size is None else (float(size[0]), float(size[1])))


def _refuse_unused(function: str, look: _Look) -> None:
    for dim in look.select:
        if dim not in look.offered:
            offers = did_you_mean(dim, look.offered) if look.offered else "leave select out"
            raise BadInput(f"{function} has no {dim} to select; {offers}")
