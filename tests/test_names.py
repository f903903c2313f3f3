"""Names of people's own making come out of figures, tables and exports as they went in; other fits are refused."""

import html
import inspect
import re
import warnings

import matplotlib as mpl
import numpy as np
import openpyxl
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import bayesdep as bd
from bayesdep.inference.fit import Fit
from bayesdep.reporting.figures import common as plots
from bayesdep.reporting.figures import crossover as crossover_plots
from bayesdep.reporting.figures import cytokines as panel_plots
from bayesdep.reporting.figures import dropout as dropout_plots
from bayesdep.reporting.figures import equivalence as equivalence_plots
from bayesdep.reporting.figures import items as items_plots
from bayesdep.reporting.figures import meta as meta_plots
from bayesdep.reporting.figures import ordinal as ordinal_plots
from bayesdep.reporting.figures import patient_meta as patient_meta_plots
from bayesdep.reporting.figures import response as response_plots
from bayesdep.reporting.figures import scaled_priors as scaled_priors_plots
from bayesdep.reporting.figures import trajectories as trajectory_plots
from bayesdep.reporting.figures import trajectories_subgroups, trial_subgroups
from bayesdep.reporting.figures import transitions as transitions_plots
from bayesdep.reporting.figures import trial as trial_plots
from bayesdep.reporting.figures import trial_checks as trial_checks_plots
from bayesdep.reporting.figures.lettering import legend_word, make_readable, readable, style
from bayesdep.reporting.figures.register import figures_of, png

AGE = "\N{CJK UNIFIED IDEOGRAPH-5E74}\N{CJK UNIFIED IDEOGRAPH-9F62}"
ODD = [
    "a $x$ b", "$", "_under", AGE, "50%", "{x}", "{", "<b>bold</b>", "=1+1", "nothing", "x\\y", "nan", "None", "a_b^c",
]  # fmt: skip
MODULES = (
    plots, meta_plots, patient_meta_plots, panel_plots, trial_plots, trial_subgroups, trial_checks_plots,
    crossover_plots, dropout_plots, equivalence_plots, response_plots, transitions_plots,
    ordinal_plots, trajectory_plots, trajectories_subgroups, items_plots, scaled_priors_plots,
)  # fmt: skip
PLOTS = {
    name: function for module in MODULES for name, function in vars(module).items()
    if name.startswith("plot_") and function.__module__ == module.__name__
}  # fmt: skip


@pytest.fixture(scope="module")
def fits():
    """Fits of four families that are known exactly, with odd names."""
    effects = pd.DataFrame({"study": ODD, "effect": np.linspace(-0.5, 0.5, len(ODD)), "se": 0.2})
    groups = np.repeat(["nothing", "all", AGE], 2)
    arms = pd.DataFrame({"arm": ["$a$", "_b"] * 3, "subgroup": groups, "events": range(1, 7)})
    screen = pd.DataFrame({"group": ["$c$", "_o"], "positives": [8, 2], "n": [10, 12]})
    small = bd.SmallStudies(measure="standardised-difference", favours="positive")
    return {
        "meta": bd.fit(bd.Meta(measure="standardised-difference"), effects, seed=1, draws=200, sampler="exact"),
        "counts": bd.fit(bd.Counts(control="$a$", pooling="none"), arms.assign(n=20), seed=1, draws=200),
        "screen": bd.fit(bd.Screen(condition="$c$"), screen, seed=1, draws=200),
        "small": bd.fit(small, effects, seed=1, draws=200),
    }


def words_of(figure):
    """Every text that a figure shows, ticks included."""
    ticks = [label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for label in axis.get_majorticklabels()]
    return {text.get_text() for text in [*figure.findobj(Text), *ticks]}


def test_figures_show_names_as_written(fits):
    """Dollars, braces, underscores and all; what no font has is written by its code points; nothing warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, fit in fits.items():
            drawn = figures_of(fit)
            for figure in drawn.values():
                assert png(figure).startswith(b"\x89PNG")
                assert not any(text.get_parse_math() for text in figure.findobj(Text) if "$" in text.get_text())
            if name in ("meta", "small"):
                assert {readable(x) for x in ODD} <= words_of(drawn["forest"])
        alone = words_of(figures_of(fits["meta"])["leave_one_out"])
        assert {readable(x) for x in ODD} <= alone


def test_characters_without_a_glyph_become_code_points():
    """No two names look alike, and those that can be drawn stay."""
    private = chr(0xE123)  # a character of nobody's font
    assert readable(f"IL-6 {private}{chr(0xE124)}") == f"IL-6 {chr(0x27E8)}E123 E124{chr(0x27E9)}"
    assert readable("TNF-\N{GREEK SMALL LETTER ALPHA} $ {} % \\") == "TNF-\N{GREEK SMALL LETTER ALPHA} $ {} % \\"
    with mpl.rc_context(style()), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = Figure()
        axes = figure.add_subplot()
        axes.set_title(private)
        axes.plot([0, 1], [0, 1], label=legend_word("_drug"))
        axes.set_yticks([0, 1], [private, "$x"])
        legend = axes.legend()
        make_readable(figure)
        png(figure)
    assert {f"{chr(0x27E8)}E123{chr(0x27E9)}", "$x"} <= words_of(figure)
    assert [text.get_text().lstrip("\u200b") for text in legend.get_texts()] == ["_drug"]


def test_a_study_called_nothing_is_left_out_like_any_other(fits):
    """It had the name of the row in which nothing is left out, and the table could not be made."""
    table = fits["meta"].data
    plain = bd.leave_out_each_study(fits["meta"].model, table)
    mu = plain[plain["estimand"] == "mu"].set_index("left_out")
    assert mu.index.tolist() == [f"nothing (all {len(ODD)} kept)", *ODD]
    renamed = bd.leave_out_each_study(fits["meta"].model, table.assign_coords(study=[f"s{i}" for i in range(len(ODD))]))
    other = renamed[renamed["estimand"] == "mu"].set_index("left_out")
    assert other.index[0] == "nothing"
    np.testing.assert_array_equal(mu["mean"], other["mean"])
    assert mu["shift"].iloc[0] == 0


@pytest.mark.parametrize("ending", ["csv", "json", "parquet", "html", "tex", "xlsx"])
def test_exports_hold_names_as_they_are(ending, tmp_path):
    """A name is a name: nothing is worked out, and nothing is marked up."""
    bd.export(pd.DataFrame({"study": ODD, "median": range(len(ODD))}), tmp_path / f"t.{ending}")
    path = tmp_path / f"t.{ending}"
    if ending == "xlsx":
        cells = openpyxl.load_workbook(path).active["A"][1:]
        assert [cell.value for cell in cells] == ODD
        assert all(cell.data_type == "s" for cell in cells)
    elif ending == "parquet":
        assert pd.read_parquet(path)["study"].tolist() == ODD
    elif ending == "csv":
        assert pd.read_csv(path, keep_default_na=False)["study"].tolist() == ODD
    elif ending == "html":
        text = path.read_text(encoding="utf-8")
        assert "<b>" not in text
        assert all(f"<td>{html.escape(name, quote=False)}</td>" in text for name in ODD)
    elif ending == "tex":
        text = path.read_text(encoding="utf-8")
        for name in (r"a \$x\$ b", r"\_under", r"50\%", r"\{x\}", r"x\textbackslash{}y"):
            assert f"\n{name} &" in text


def test_reports_escape_names(fits, tmp_path):
    """No name is marked up in a page."""
    page = bd.report(fits["meta"], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<b>bold</b>" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert AGE in page


@pytest.mark.parametrize("name", sorted(PLOTS))
def test_figures_of_other_fits_are_refused_in_one_sentence(name, fits):
    """Every function that draws a fit either draws it or says what it is for."""
    assert Fit is inspect.signature(PLOTS[name], eval_str=True).parameters["fit"].annotation
    refusal = re.compile(f"{name} is for .*; bd.plot_forest draws any fit")
    for fit in fits.values():
        try:
            drawn = PLOTS[name](fit)
        except bd.BadInput as problem:
            drawn = bd.plot_forest(fit) if refusal.fullmatch(str(problem)) else None
        assert isinstance(drawn, Figure)
    with pytest.raises(bd.BadInput, match=f"{name} draws a fit, and this is a DataFrame; give what bd.fit returns"):
        PLOTS[name](pd.DataFrame())


def test_every_public_figure_is_among_them():
    """A new one is tried too."""
    draws_fits = {name for name in bd.__all__ if name.startswith("plot_")} - {"plot_priors"}  # which draws a model
    assert draws_fits <= set(PLOTS)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda fit: bd.check_dropout(fit, method="delta"), "trial"),
        (bd.find_tipping_point, "trial"),
        (bd.check_missing_information, "several tables"),
        (bd.rank_evidence, "there is no estimand"),
        (lambda fit: bd.as_study(fit, "s"), "meta-analysis, not a trial"),
        (bd.compare, "takes fits by name"),
        (lambda fit: bd.compare({"one": fit}), "two fits or more"),
    ],
)
def test_functions_of_other_fits_refuse_in_one_sentence(call, said, fits):
    """A fit of a meta-analysis where another is meant."""
    with pytest.raises(bd.BadInput, match=said):
        call(fits["meta"])
