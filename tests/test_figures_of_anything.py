"""Every figure of every family, whatever names and numbers it gets: it is drawn, and stays on its canvas."""

import functools
import html
import json
import warnings
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from scipy import stats
from typer.testing import CliRunner
from unsampled import FAMILIES, degenerate, made

import bayesdep as bd
from bayesdep.cli import app, main
from bayesdep.criticism.compare import Comparison
from bayesdep.data.errors import BadInput
from bayesdep.reporting.console import print_comparison
from bayesdep.reporting.figures import common, layout, lettering
from bayesdep.reporting.figures.register import FIGURES, applies
from bayesdep.reporting.ranges import bins_of, distinct, limits, shown_of

HIGHEST = 30  # inches
CODE = r"<script>alert(1)</script> [red]x[/] \input{x} {{7*7}} %s {0}"
CJK = "\N{CJK UNIFIED IDEOGRAPH-5E74}\N{CJK UNIFIED IDEOGRAPH-9F62}"
HEBREW = "\N{HEBREW LETTER SHIN}\N{HEBREW LETTER LAMED} \N{HEBREW LETTER VAV}\N{HEBREW LETTER MEM}"
ODD = ["x" * 200, CODE, r"$x^{$ $\frac{1$", CJK * 40, HEBREW, "many words " * 18, "_under", "=1+1"]


def odd(kind, i):
    """Names that differ in their ends only, each of another sort."""
    return f"week {i}" if kind == "time" else f"{ODD[(i + len(kind)) % len(ODD)]} {kind} {i}"


@functools.cache
def odd_fit(family):
    return made(family, odd, draws=40)


def off_canvas(figure):
    """Texts that are drawn beyond a figure's edges, or read as formulas."""
    canvas, drawn, draw = FigureCanvasAgg(figure), [], Text.draw

    def noted(text, *args, **kwargs):
        drawn.append(text)
        return draw(text, *args, **kwargs)

    with mock.patch.object(Text, "draw", noted):
        canvas.draw()
    wide, high = canvas.get_width_height()
    found = []
    for text in drawn:
        if not text.get_visible() or not text.get_text().strip():
            continue
        box = text.get_window_extent(canvas.get_renderer())
        if (
            box.x0 < -1
            or box.y0 < -1
            or box.x1 > wide + 1
            or box.y1 > high + 1
            or (text.get_parse_math() and "$" in text.get_text())
        ):
            found.append(text.get_text())
    assert drawn
    return found


def drawn(fit):
    """Every figure of the register, drawn under the eyes of a test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", RuntimeWarning)  # infinite draws are subtracted from one another
        for name, entry in FIGURES.items():
            if not applies(name, fit):
                continue
            try:
                figure = entry.draw(fit)
            except BadInput as problem:  # one sentence, where there is no finite draw to show
                assert "look at its gate" in str(problem)  # noqa: PT017  (any other error fails the test)
                continue
            assert figure.get_figheight() <= HIGHEST
            yield name, figure


@pytest.mark.parametrize("family", FAMILIES)
def test_figures_with_odd_names_stay_on_their_canvas(family):
    """Names of 200 letters, of many words, formulas, mark-up, CJK, right to left: no warning, and nothing cut off."""
    for name, figure in drawn(odd_fit(family)):
        assert not off_canvas(figure), name


@pytest.mark.parametrize(
    "family", ["meta", "pooled-counts", "trial", "crossover", "cytokines", "patient-meta", "response"]
)
def test_figures_of_degenerate_draws_are_drawn(family):
    """Draws all equal, of two values, with a few infinite ones, all infinite; forty of them."""
    assert len([name for name, _ in drawn(degenerate(made(family, draws=20)))]) >= 3


@pytest.mark.parametrize(("family", "n"), [("meta", 500), ("small-studies", 500), ("meta", 2), ("counts", 1)])
def test_few_and_many_units(family, n):
    for name, figure in drawn(made(family, n=n, draws=40)):
        assert not off_canvas(figure)
        if name == "forest" and n == 500:
            assert figure.get_suptitle().endswith("100 of 500 rows are shown: the first and the last in this order")


def test_a_cumulative_figure_of_many_studies_says_how_many_it_shows():
    """It had a row of each: 500 made a figure of nine feet."""
    figure = bd.plot_cumulative(made("meta", n=150))
    assert figure.get_figheight() <= HIGHEST
    assert "100 of 150 steps are shown" in figure.get_suptitle()


@pytest.mark.parametrize("draws", [20, 2000])
def test_checks_of_small_designs_have_few_bins(draws):
    """Of events as 1 of 6 against 4 of 6, shares of replicates differed in their last digit: 384 PiB of bins."""
    arms = pd.DataFrame({"arm": ["a", "b"], "events": [1, 4], "n": [6, 6]})
    model = bd.Counts(control="a", subgroup=None, pooling="none")
    figure = bd.plot_checks(bd.fit(model, arms, seed=1, draws=draws, chains=2))
    for axes in figure.axes:
        edges = np.unique(axes.patches[0].get_xy()[:, 0])  # of the outline of all bins
        assert 1 <= len(edges) - 1 <= 62


# Numbers.


def test_values_that_differ_by_rounding_are_one():
    """0.1 + 0.2 is not 0.3, and 0.7 - 0.4 is neither."""
    values = np.array([0.1 + 0.2, 0.3, 0.7 - 0.4, 0.1, np.inf, np.nan, -np.inf])
    np.testing.assert_allclose(distinct(values), [0.1, 0.3])
    edges = bins_of(values)
    np.testing.assert_allclose(edges, [0.0, 0.2, 0.4], atol=1e-12)
    assert np.histogram(values[:4], edges)[0].tolist() == [1, 3]


@pytest.mark.parametrize(
    "values",
    [
        [], [np.inf], [np.nan], [0.0], [1e20] * 5, [1e20, 1e20 + 1e5], [-1e299, 1e299], [1e308, -1e308], [5e-324, 0.0],
        [0, 1e-12, 1e12], np.arange(40) / 39, np.random.default_rng(1).normal(size=40), [1 / 3, 1 / 3 + 5e-17, 2 / 3],
        np.random.default_rng(2).standard_cauchy(4000), np.arange(4000),
    ],
    ids=str,
)  # fmt: skip
def test_bins_are_few_and_ascending_whatever_the_values(values):
    for observed in (0.5, np.inf, np.nan, 1e9):
        edges = bins_of(np.array(values, dtype=float), observed)
        assert 2 <= len(edges) <= 62
        assert np.isfinite(edges).all()
        assert (np.diff(edges) > 0).all()
        low, high = limits(np.array(values, dtype=float), observed)
        assert np.isfinite([low, high]).all()
        assert low < high


def test_counts_have_a_bin_each_with_the_value_in_its_middle():
    edges = bins_of(np.repeat(np.arange(7), 10) / 6)
    np.testing.assert_allclose((edges[1:] + edges[:-1]) / 2, np.arange(7) / 6, atol=1e-12)


def test_rows_shown_are_all_of_few_and_both_ends_of_many():
    assert shown_of(5, 6).tolist() == [0, 1, 2, 3, 4]
    assert shown_of(50, 5).tolist() == [0, 1, 2, 48, 49]


# Texts.


def test_shortened_names_keep_apart_and_inside():
    names = ["a" * 200 + "1" + "b" * 200, "a" * 200 + "2" + "b" * 200, "c", CJK * 50, "c"]
    short = layout.shortened_apart(names, 90, 9)
    assert short[2] == short[4] == "c"
    assert len(set(short)) == len(set(names))
    assert all(layout.width_of(name, 9) <= 90 for name in short)


def test_wrapped_texts_lose_no_word_as_long_as_there_are_lines():
    text = "the quick brown fox jumps over the lazy dog"
    lines = layout.wrapped(text, 90, 9).split("\n")
    assert " ".join(lines) == text
    assert all(layout.width_of(line, 9) <= 90 for line in lines)
    assert len(layout.wrapped(text * 20, 90, 9, lines=3).split("\n")) == 3


@pytest.fixture
def font_of_one_character(tmp_path):
    """An installed font that has the first of two CJK characters and nothing else."""
    pen = TTGlyphPen(None)
    for x, y in ((0, 0), (0, 700), (700, 700), (700, 0)):
        (pen.moveTo if (x, y) == (0, 0) else pen.lineTo)((x, y))
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "one"])
    builder.setupCharacterMap({ord(CJK[0]): "one"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "one": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (500, 0), "one": (750, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Test of One", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path = tmp_path / "one.ttf"
    builder.save(path)
    fontManager.addfont(path)
    lettering._has_glyph.cache_clear()
    yield
    fontManager.ttflist[:] = [font for font in fontManager.ttflist if font.fname != str(path)]
    lettering.further_fonts.clear()
    lettering._has_glyph.cache_clear()


def test_a_character_is_written_in_whatever_installed_font_has_it(font_of_one_character):
    """Another that none has is written by its code point, and one line of the figure says so; nothing warns."""
    assert lettering.readable(CJK) == f"{CJK[0]}{chr(0x27E8)}9F62{chr(0x27E9)}"
    fit = made("screen", lambda kind, i: f"{CJK}{kind}{i}")
    fit.data.attrs["title"] = CJK
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = bd.plot_forest(made("meta", lambda kind, i: f"{CJK}{i}"))
        assert not off_canvas(figure)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert f"{CJK[0]}{chr(0x27E8)}9F62{chr(0x27E9)}0" in labels
    assert figure.get_suptitle().count("No font on this machine has") == 1
    assert "Test of One" in figure.axes[0].get_yticklabels()[0].get_fontfamily()


# No text is code, wherever it goes.


@pytest.mark.parametrize("family", FAMILIES)
def test_no_text_of_a_table_is_read_as_mark_up(family, tmp_path):
    """Report, tables in four formats, and what Python prints."""
    fit = odd_fit(family)
    page = bd.report(fit, tmp_path / "r.html", title=CODE, question=CODE, plan_text=CODE, figures={}).read_text()
    assert "<script>" not in page
    assert page.count(html.escape(CODE, quote=False).split(" [")[0]) >= 3
    assert "{{7*7}}" in page
    assert "{0}" in page
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # on formulas
        paths = [bd.export(fit, tmp_path / f"t.{ending}") for ending in ("tex", "html", "csv", "json")]
    tex, table, _, rows = (path.read_text(encoding="utf-8") for path in paths)
    assert not any("\\input" in line for line in tex.splitlines() if not line.startswith("%"))
    assert "<script>" not in table
    labels = {str(cell) for cell in bd.summarise(fit).to_numpy().ravel() if isinstance(cell, str)}
    assert {
        str(cell) for row in json.loads(rows)["rows"] for cell in row.values() if isinstance(cell, str)
    } >= labels - {""}
    read = pd.read_csv(paths[2], comment="#", keep_default_na=False, dtype=str)
    assert labels <= {*read.to_numpy().ravel()}
    assert "<script>" not in fit.tree._repr_html_()


def test_figures_saved_as_svg_hold_no_mark_up_and_no_formulas(tmp_path):
    figure = bd.plot_forest(odd_fit("meta"))
    figure.savefig(tmp_path / "f.svg")
    figure.savefig(tmp_path / "f.pdf")
    assert "<script>" not in (tmp_path / "f.svg").read_text()


def test_names_of_plans_are_no_mark_up_in_the_console(capsys):
    table = pd.DataFrame({"model": ["[red]x[/]", "[/nothing]"], "elpd": [1.0, 2.0]})
    print_comparison(mock.Mock(spec=Comparison, table=table, sentence="[bold]s[/]"))
    said = capsys.readouterr().out
    assert "[red]x[/]" in said
    assert "[/nothing]" in said
    assert "[bold]s[/]" in said


PLAN = f"""
[study]
name = "s"
title = '{CODE}'
question = '{CODE}'
[data]
source = "path"
expects = '{CODE}'
[model]
family = "meta"
measure = "difference"
units = '{CODE}'
scale = 1.0
[[published]]
estimand = "mu"
value = 0.1
source = '{CODE}'
note = '{CODE}'
"""


def test_no_text_of_a_plan_is_read_as_mark_up(tmp_path, monkeypatch):
    """A whole run, with code in every text that a plan may hold: its files, its report and what is printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "[red]x.toml").write_text(PLAN)
    names = [f"../../{CODE}", "CON", "/etc/passwd", "a" * 300]
    pd.DataFrame({"study": names, "effect": [0.1, 0.2, 0.3, 0.2], "se": 0.1}).to_csv("d.csv", index=False)
    asked = ["run", "[red]x.toml", "--data", "d.csv", "--draws", "200", "--chains", "2", "--out", "o"]
    said = CliRunner().invoke(app, asked).output
    assert CODE in said
    assert "s/[red]x" in said
    run = next(p for p in (tmp_path / "o", tmp_path / "o-failed") if p.exists())
    assert {p.stem for p in (run / "figures").iterdir()} <= set(FIGURES)
    page = (run / "report.html").read_text()
    assert "<script>" not in page
    assert json.loads((run / "manifest.json").read_text())["plan"]["text"] == PLAN
    assert names[0] in pd.read_csv(run / "estimands.csv", comment="#").to_numpy()
    assert {p.name for p in tmp_path.iterdir()} == {"[red]x.toml", "d.csv", run.name}


def test_names_of_files_do_not_steer_the_terminal(capsys):
    with pytest.raises(SystemExit):
        main(["run", "\x1b[31mred\udc80.toml"])
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\\x1b[31mred\\udc80.toml" in said


@pytest.mark.parametrize("n", [50, 20_000])
@pytest.mark.parametrize("family", ["normal", "skewed", "two peaks", "heavy tails", "two values"])
def test_densities_of_posteriors_are_those_of_normal_kernels(family, n):
    """Scott's width, reflected at the ends of the support: as scipy computes it, draw by draw, to a thousandth."""
    rng = np.random.default_rng(4)
    draws, support = {
        "normal": (1e6 + rng.normal(size=n), (-np.inf, np.inf)),
        "skewed": (rng.exponential(size=n), (0.0, np.inf)),
        "two peaks": (rng.beta(0.5, 0.5, n), (0.0, 1.0)),
        "heavy tails": (rng.standard_t(2, n), (-np.inf, np.inf)),
        "two values": (rng.integers(2, size=n).astype(float), (-np.inf, np.inf)),
    }[family]
    x = np.linspace(max(np.quantile(draws, 0.001), support[0]), min(np.quantile(draws, 0.999), support[1]), 101)
    kernel = stats.gaussian_kde(draws)
    expected = kernel(x) + sum(kernel(2 * end - x) for end in support if np.isfinite(end))
    found = common._density(draws, support)(x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * expected.max())
