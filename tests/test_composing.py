"""One convention for every public plot: `ax`, `select`, `labels`, `size`; files for print, words for who listens."""

import inspect
import io

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from unsampled import FAMILIES, made

import bayesdep as bd
from bayesdep.reporting.figures import register
from bayesdep.reporting.figures.composing import RESOLUTION
from bayesdep.reporting.figures.register import FIGURES, applies, png, vector_files
from bayesdep.reporting.figures.seen import describe

PUBLIC = sorted(name for name in bd.__all__ if name.startswith("plot_"))
OF_MODELS = ("plot_priors",)  # of a model, before any data
ARGUMENTS = ("ax", "select", "labels", "size")


def test_every_plot_of_the_package_is_public_and_takes_the_same_four_arguments():
    drawn = {getattr(entry.draw, "__name__", "") for entry in FIGURES.values()}
    assert drawn <= set(PUBLIC)
    for name in PUBLIC:
        if name in OF_MODELS:
            continue
        function = getattr(bd, name)
        parameters = inspect.signature(function).parameters
        for word in ARGUMENTS:
            assert parameters[word].kind is inspect.Parameter.KEYWORD_ONLY, name
            assert parameters[word].default is None, name
            assert f"\n{word}\n    " in function.__doc__, name


@pytest.fixture(scope="module")
def fit():
    return made("trial-arms")


@pytest.fixture(scope="module")
def studies():
    return made("meta")


def words(figure):
    ticks = [label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for label in axis.get_majorticklabels()]
    return " ".join(text.get_text() for text in [*figure.findobj(Text), *ticks])


def test_a_figure_of_one_panel_is_drawn_into_the_panel_given(studies):
    host = Figure(figsize=(12, 4), layout="constrained")
    left, right = host.subplots(1, 2)
    left.plot([0, 1])
    assert bd.plot_forest(studies, ax=right, labels={"study 0": "Zarate 2006"}) is host
    host.draw_without_rendering()
    assert host.axes == [left, right]
    rows = [label.get_text() for label in right.get_yticklabels()]
    assert rows[:2] == ["Zarate 2006", "study 1"]
    assert right.get_position().width > 0.2
    assert "FAILED THE GATE" in words(host), "a warning goes with the panel"


def test_a_figure_of_several_panels_takes_the_place_of_the_panel_given(fit):
    host = Figure(figsize=(12, 5), layout="constrained")
    left, right = host.subplots(1, 2)
    assert bd.plot_trajectories(fit, ax=right, select={"comparison": "arm 2"}) is host
    host.draw_without_rendering()
    assert left in host.axes
    assert right not in host.axes
    assert len(host.axes) == 3, "the figure's two panels and the caller's own"
    middle = host.bbox.width * 0.4
    assert all(axes.get_window_extent().x0 > middle for axes in host.axes if axes is not left)
    assert "arm 2" in words(host)
    assert "arm 3" not in words(host)


def test_labels_are_chosen_in_the_order_asked_for(fit, studies):
    figure = bd.plot_forest(studies, select={"study": ["study 5", "study 2"]})
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == ["study 5", "study 2", "overall", "new study"]
    both = bd.plot_trajectories(fit, select={"comparison": ["arm 3", "arm 1"]})
    assert [axes.get_title(loc="left") for axes in both.axes][0:2] == ["arm 3 and arm 0", "arm 1 and arm 0"]


def test_the_size_is_that_asked_for(studies):
    assert tuple(bd.plot_forest(studies, size=(4.5, 3.5)).get_size_inches()) == (4.5, 3.5)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"select": {"trial": "x"}}, "plot_forest has no trial to select; known: study"),
        ({"select": {"study": ["study 11"]}}, "select: 'study 11' is no study of this figure; did you mean 'study 1'?"),
        ({"select": {"study": []}}, "plot_forest: select names no study; name one, or leave it out"),
        ({"select": ["study 1"]}, r"plot_forest: select is \['study 1'\]; write it as"),
        ({"labels": "x"}, "plot_forest: labels is 'x'; write it as"),
        ({"size": 3}, r"plot_forest: size is 3; give width and height in inches, such as \(6, 4\)"),
        ({"ax": Figure()}, "plot_forest: ax is a Figure, but a matplotlib Axes is needed; take one panel"),
        ({"ax": Figure().add_subplot(), "size": (3, 3)}, "plot_forest: ax and size are given"),
    ],
)
def test_what_cannot_be_drawn_so_is_refused_in_one_sentence(how, said, studies):
    with pytest.raises(bd.BadInput, match=said):
        bd.plot_forest(studies, **how)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_figure_can_stand_in_a_figure_of_the_caller(family):
    """Whatever it has of panels and legends: nothing fails, the rest of the caller's figure stays."""
    some = made(family)
    for name, entry in FIGURES.items():
        if not applies(name, some):
            continue
        host = Figure(figsize=(16, 9), layout="constrained")
        beside, place = host.subplots(1, 2)
        beside.set_title("mine")
        assert entry.draw(some, ax=place) is host, name
        host.draw_without_rendering()
        assert beside in host.axes, name
        assert beside.get_title() == "mine", name
        assert len(host.axes) > 1, name


def test_files_are_as_journals_ask_for(studies):
    figure = bd.plot_forest(studies, size=(6, 4))
    picture = Image.open(io.BytesIO(png(figure)))
    assert picture.size == (6 * RESOLUTION, 4 * RESOLUTION)
    assert np.allclose(picture.info["dpi"], 300, atol=0.1)
    files = vector_files(figure)
    assert files["pdf"].startswith(b"%PDF")
    assert b"Type3" not in files["pdf"], "letters that publishers refuse"
    assert b"study 3" in files["svg"], "letters stay letters"
    assert files == vector_files(figure), "the same figure gives the same bytes"


def test_a_picture_that_is_saved_has_the_resolution_of_journals_unless_one_is_set(studies):
    def width(**how):
        file = io.BytesIO()
        bd.plot_forest(studies, size=(6, 4)).savefig(file, **how)
        return Image.open(file).size[0]

    assert width() == 6 * RESOLUTION
    assert width(dpi=50) == 300
    with mpl.rc_context({"savefig.dpi": 80}):
        assert width() == 480


def test_a_notebook_shows_a_figure_though_nobody_imported_pyplot(studies):
    picture = Image.open(io.BytesIO(bd.plot_forest(studies)._repr_png_()))
    assert picture.size[0] > 600


def test_the_alternative_text_says_what_is_seen(studies, fit):
    figure = bd.plot_forest(studies)
    seen = describe(figure)
    row = bd.summarise(studies).set_index("study").loc["study 4"]
    assert "Rows, from the top: study 0" in seen
    assert f"study 4 \N{MINUS SIGN}{abs(row['median']):.2f} (" in seen
    assert "Across: effect of each study, unit 0 (95% intervals), " in seen
    assert "Legend: in the model, on its own" in seen
    assert Image.open(io.BytesIO(png(figure))).info["Description"] == seen
    assert "3 panels" in describe(bd.plot_trajectories(fit)) or "panels" in describe(bd.plot_trajectories(fit))


def test_the_axis_says_what_is_compared_and_whom_a_side_favours(fit):
    one = bd.plot_forest(fit, select={"comparison": "arm 2"})
    label = one.axes[0].get_xlabel()
    assert label.startswith("difference in means, arm 2 less arm 0, unit 0 (95% intervals)")
    assert label.endswith("\N{LEFTWARDS ARROW} favours arm 2    favours arm 0 \N{RIGHTWARDS ARROW}")


def test_an_interval_that_is_cut_has_an_arrow():
    import pandas as pd

    table = pd.DataFrame({"study": list("abcd"), "effect": [0.1, 0.2, 0.15, 0.3], "se": [0.05, 0.05, 0.05, 4.0]})
    cut = bd.fit(bd.Meta(measure="standardised-difference"), table, seed=1, draws=200, sampler="exact")
    axes = bd.plot_forest(cut).axes[0]
    arrows = {line.get_marker(): line for line in axes.lines if line.get_marker() in ("<", ">")}
    assert set(arrows) == {"<", ">"}
    assert arrows[">"].get_xdata()[0] == axes.get_xlim()[1]
    texts = [text.get_text() for text in axes.texts]
    assert "median (95% interval)   weight" in texts
    shares = [float(text.rsplit("   ", 1)[1].rstrip("%")) for text in texts if text.endswith("%")]
    assert sum(shares) == pytest.approx(100, abs=2)


def test_no_global_state_is_touched(studies):
    before = dict(mpl.rcParams)
    bd.plot_forest(studies)
    assert dict(mpl.rcParams) == before
    assert register._rendered(Figure(), "png")[:4] == b"\x89PNG"
