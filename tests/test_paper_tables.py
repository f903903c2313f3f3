"""Tables as a paper prints them: right numbers, rounded to their Monte Carlo errors, in every format; and notebooks."""

import json
import re
from pathlib import Path

import docx
import numpy as np
import openpyxl
import pandas as pd
import polars as pl
import pyarrow.csv
import pyarrow.parquet
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from docx.oxml.ns import qn
from scipy import stats
from typer.testing import CliRunner
from unsampled import FAMILIES, made, visits

import bayesdep as bd
from bayesdep.cli import app
from bayesdep.data.errors import BadInput
from bayesdep.models.meta.tables import weights
from bayesdep.models.parts.paper import Characteristic, Estimates, Grid, Listing, Sample
from bayesdep.models.trial.tables import adjusted_means
from bayesdep.numerics.rounding import decimals, decimals_of_error
from bayesdep.reporting.tables import layouts_of

HERE = Path(__file__).parent / "references"
SECRET = "Kowalska-1971"
CELL = 17.31415


@pytest.fixture(scope="module")
def screen():
    model = bd.Screen(condition="responder", positives="below_34_pg_per_mL")
    return bd.fit(model, bd.load("kiraly2017_fgf2_roc"), seed=1)


@pytest.fixture(scope="module")
def counts():
    model = bd.Counts(control="placebo", events="responders", pooling="none")
    return bd.fit(model, bd.load("raison2013_responders"), seed=1)


@pytest.fixture(scope="module")
def trial():
    return made("trial")


@pytest.fixture(scope="module")
def schools():
    model = bd.Meta(measure="standardised-difference", study="school")
    return bd.fit(model, bd.load("eight_schools_rubin1981"), seed=1, sampler="exact", draws=500)


def odd(kind, i):
    return f"<b>{kind}</b>&{i}_%"


# Numbers.


def test_an_exact_table_has_the_betas_quantiles_with_two_digits_of_their_width(screen):
    """15 of 19 with the condition: Beta(15.5, 4.5)."""
    row = bd.table(screen).frame.set_index("estimand").loc["sensitivity"]
    beta = stats.beta(15.5, 4.5)
    assert row["estimate"] == round(beta.ppf(0.5), 2)
    assert [row["lower"], row["upper"]] == [round(beta.ppf(0.025), 2), round(beta.ppf(0.975), 2)]
    assert row["prob_gt_null"] == round(beta.sf(0.5), 3)


def test_a_unit_of_the_last_decimal_is_at_least_the_monte_carlo_error_of_every_number_printed(trial):
    frame = bd.table(trial).frame.set_index("visit")
    printed = bd.table(trial).printed
    at = [own for _, own in printed.head].index("Difference, less arm 0")
    for row in printed.rows:
        text = row[at].replace("\N{MINUS SIGN}", "-")
        numbers = re.fullmatch(r"(-?[\d.]+) \((-?[\d.]+) to (-?[\d.]+)\)", text).groups()
        shown = max(len(x.partition(".")[2]) for x in numbers)
        draws = trial.estimands["difference"].sel(visit=row[0]).isel(comparison=0).values
        for number, prob in zip(numbers, (0.5, 0.025, 0.975), strict=True):
            error = float(array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="quantile", prob=prob))
            assert 10.0**-shown >= error or shown == 0
            assert abs(float(number) - np.quantile(draws, prob)) <= 0.5 * 10.0**-shown + 1e-9
        assert frame.loc[row[0], "difference_arm 1"] == float(numbers[0])


@pytest.mark.parametrize("error", [0.004, 0.0101, 0.099, 0.1, 0.7, 3.0])
def test_more_precise_draws_never_have_fewer_decimals(error):
    assert decimals(-30.0, 30.0, error) <= decimals(-30.0, 30.0, error / 10)
    assert 10.0 ** -decimals_of_error(error) >= error or decimals_of_error(error) == 0


def test_adjusted_means_differ_by_the_estimand_in_every_draw(trial):
    """Exact: the difference is the mean over the patients at hand of the difference at their own values."""
    means = adjusted_means(trial.model, trial.posterior, trial.data)["adjusted_mean"]
    difference = means.sel(arm="arm 1") - means.sel(arm="arm 0")
    expected = trial.estimands["difference"].isel(comparison=0)
    np.testing.assert_allclose(difference.transpose(*expected.dims).values, expected.values, atol=1e-10)


def test_weights_are_those_of_generalised_least_squares(schools):
    """By hand for one draw; with no spread they are inverse variances; they sum to 100%."""
    data = schools.data
    se = data["se"].values
    posterior = xr.Dataset({"tau": (("chain", "draw"), [[0.0, 5.0]])})
    found = weights(schools.model, posterior, data)["weight"].values[0]
    for k, tau in enumerate((0.0, 5.0)):
        w = 1 / (se**2 + tau**2)
        np.testing.assert_allclose(found[k], 100 * w / w.sum(), rtol=1e-10)
    table = bd.table(schools, "studies").frame
    assert table["weight"].sum() == pytest.approx(100, abs=0.05 * len(table))


def test_a_sample_is_described_as_by_hand(trial):
    """Mean and sd at baseline and who was seen at which visit, by arm."""
    table = visits()
    sample = bd.table(trial, "sample").frame
    patients = table.drop_duplicates("subject")
    for arm, rows in patients.groupby("arm"):
        row = sample[(sample["group"] == arm) & sample["characteristic"].str.startswith("baseline")].iloc[0]
        assert (row["n"], row["mean"]) == (len(rows), round(rows["baseline"].mean(), 1))
        assert row["sd"] == round(rows["baseline"].std(), 1)
        seen = table[(table["arm"] == arm) & (table["visit"] == 8)]["outcome"].notna().sum()
        row = sample[(sample["group"] == arm) & (sample["characteristic"] == "Outcome observed at 8, n (%)")].iloc[0]
        assert row["count"] == seen


def test_percentages_are_of_those_known():
    layout = Sample(
        "Sample.", ["a", "b"], np.array([0, 0, 0, 1]),
        (Characteristic("sex", np.array(["f", "m", "", "f"], dtype=object), "label"),),
    )  # fmt: skip
    from bayesdep.reporting.tables import _sample

    head, texts, frame = _sample(layout)
    assert [own for _, own in head] == ["Characteristic", "a (n = 3)", "b (n = 1)", "All (n = 4)"]
    assert texts == [["sex: f", "1 (50%)", "1 (100%)", "2 (67%)"], ["sex: m", "1 (50%)", "0 (0%)", "1 (33%)"],
                     ["sex: not known", "1", "0", "1"]]  # fmt: skip
    assert frame["count"].sum() == 8


@pytest.mark.sampling
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_prints_every_table_it_declares(family, tmp_path):
    """Names are hostile; each estimand stands in one table at least, and every cell is text."""
    fit = made(family, odd, **({} if family in ("meta", "small-studies", "counts", "screen", "stepwise")
                               else {"draws": 50}))  # fmt: skip
    layouts = layouts_of(fit)
    assert next(iter(layouts)) == "main"
    named = set()
    for name, layout in layouts.items():
        made_table = bd.table(fit, name)
        assert made_table.printed.rows
        assert all(isinstance(cell, str) for row in made_table.printed.rows for cell in row)
        assert {len(row) for row in made_table.printed.rows} == {len(made_table.printed.head)}
        if isinstance(layout, Listing):
            named |= set(layout.estimands)
        elif isinstance(layout, Grid):
            named |= {c.of for c in layout.columns if isinstance(c, Estimates)}
    assert set(map(str, fit.estimands.data_vars)) <= named
    page = bd.table(fit).to(tmp_path / "t.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    bd.table(fit).to(tmp_path / "t.docx")
    bd.table(fit).to(tmp_path / "t.tex")
    bd.table(fit).to(tmp_path / "t.xlsx")


# Formats.


def test_a_word_document_has_caption_rows_and_repeated_headings(trial, tmp_path):
    table = bd.table(trial)
    document = docx.Document(str(table.to(tmp_path / "t.docx")))
    texts = [p.text for p in document.paragraphs]
    assert texts[0].startswith("FAILED THE GATE")
    assert table.printed.title in texts
    assert set(table.printed.notes) <= set(texts)
    (written,) = document.tables
    assert [[cell.text for cell in row.cells] for row in written.rows[2:]] == [list(r) for r in table.printed.rows]
    heads = [row._tr.trPr is not None and row._tr.trPr.find(qn("w:tblHeader")) is not None for row in written.rows]
    assert heads == [True, True, *[False] * len(table.printed.rows)]
    assert written.cell(0, 3).text == written.cell(0, 4).text == "Adjusted mean"  # one cell over both arms
    for cell in written._tbl.iter(qn("w:tc")):  # a line twice at one edge is a document that Word repairs
        lines = [line.tag for borders in cell.iter(qn("w:tcBorders")) for line in borders]
        assert len(lines) == len(set(lines))


def test_a_longtable_repeats_its_heading_and_says_its_caption(counts, tmp_path):
    text = bd.table(counts).to(tmp_path / "t.tex").read_text(encoding="utf-8")
    assert text.isascii()
    assert r"\caption{Risks by arm, and differences to placebo.}" in text
    assert text.count(r"hs-CRP $>$ 5 mg/L &") == 1
    assert all(word in text for word in (r"\endfirsthead", r"\endhead", r"\endlastfoot"))


def test_numbers_are_read_back_by_pandas_polars_arrow_and_openpyxl(counts, tmp_path):
    table = bd.table(counts)
    (name,) = (c for c in table.frame if re.fullmatch("risk_difference(_infliximab)?", c))
    expected = table.frame[name]
    csv, xlsx, parquet = (table.to(tmp_path / f"t.{ending}") for ending in ("csv", "xlsx", "parquet"))
    for read in (
        pd.read_csv(csv)[name].to_list(),
        pl.read_csv(csv)[name].to_list(),
        pyarrow.csv.read_csv(csv)[name].to_pylist(),
        pl.read_parquet(parquet)[name].to_list(),
        pyarrow.parquet.read_table(parquet)[name].to_pylist(),
        pd.read_excel(xlsx)[name].to_list(),
    ):
        assert read == expected.to_list()
    sheet = openpyxl.load_workbook(xlsx).active
    assert [cell.value for cell in sheet[1]][:2] == ["verdict", "synthetic"]
    assert pl.read_csv(csv)["synthetic"].to_list() == [False] * len(expected)


def test_r_reads_the_csv_as_it_is(tmp_path):
    """R's answer is stored, with the script that made it; the file that it read is still written to the last byte."""
    frame = pd.DataFrame(
        {
            "analyte": ["IL-6", "TNF-\N{GREEK SMALL LETTER ALPHA}", "=1+1", 'a "b", c'],
            "ratio": [1.5, 0.25, np.inf, np.nan],
            "n": [12, 3, 0, 7],
        }
    )
    frame.attrs = {"gate": "passed", "gate_passed": True, "model": "", "model_passed": True, "synthetic": True}
    with pytest.warns(UserWarning, match="formulas"):
        written = bd.export(frame, tmp_path / "t.csv").read_bytes()
    assert written == (HERE / "export_for_r.csv").read_bytes()
    answer = json.loads((HERE / "export_for_r.json").read_text(encoding="utf-8"))
    assert answer["names"] == ["verdict", "synthetic", *frame.columns]
    assert answer["classes"] == ["character", "logical", "character", "numeric", "integer"]
    assert answer["analyte"] == frame["analyte"].to_list()
    assert answer["ratio"] == ["1.5", "0.25", "Inf", "NA"]
    assert answer["synthetic"] == ["TRUE"] * 4


@pytest.mark.parametrize(
    ("name", "path", "said"),
    [
        ("man", "t.docx", "has no table 'man'; did you mean 'main'"),
        ("main", "t.doc", "'t.doc' is of no format of tables; did you mean 'docx'"),
        ("main", "nowhere/t.docx", "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_sentence(name, path, said, screen, tmp_path):
    with pytest.raises(BadInput, match=said) as refusal:
        bd.table(screen, name).to(tmp_path / path)
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_a_table_of_a_run(screen, tmp_path):
    screen.save(tmp_path / "posterior.nc")
    out = tmp_path / "main.docx"
    done = CliRunner().invoke(app, ["table", str(tmp_path), "--to", str(out)])
    assert done.exit_code == 0, done.output
    assert docx.Document(str(out)).tables[0].cell(1, 0).text == "Sensitivity"
    refused = CliRunner().invoke(app, ["table", str(tmp_path / "none"), "--to", str(out)])
    assert isinstance(refused.exception, BadInput)


# Notebooks.


@pytest.fixture(scope="module")
def private():
    table = visits()
    table["subject"] = table["subject"].replace({"p0": SECRET})
    table.loc[0, "outcome"] = CELL
    return table


def test_nothing_that_a_notebook_shows_has_a_sample_or_a_cell(private):
    model = bd.Trial(reference="arm 0", covariance="ar1")
    data = model.prepare(private)
    assert SECRET in data["subject"].values
    for said in (repr(data), data._repr_html_(), model._repr_html_(), bd.priors(model, private)._repr_html_()):
        assert SECRET not in said
        assert str(CELL) not in said
    assert SECRET in repr(data["subject"])  # asked for


def test_a_fit_shows_verdict_what_was_asked_first_and_next_steps_and_no_sample(private):
    from unsampled import unsampled

    fit = unsampled(bd.Trial(reference="arm 0", covariance="ar1", units="<i>points</i>"), private)
    page = fit._repr_html_()
    assert SECRET not in page
    assert str(CELL) not in page
    assert "FAILED THE GATE" in page
    assert "difference in means, less arm 0" in page
    assert "bd.report(fit" in page
    assert "<i>" not in page
    assert SECRET not in repr(fit.data)


def test_a_fit_in_a_terminal_says_the_verdict_what_was_asked_first_and_next_steps_and_no_note(private):
    from unsampled import unsampled

    fit = unsampled(bd.Trial(reference="arm 0", covariance="ar1", units="points"), private)
    fit.data.attrs["notes"] = f"cell B7 holds {SECRET}\nanother note"
    said = repr(fit)
    lines = said.splitlines()
    assert lines[0] == fit.gate.sentence
    assert lines[1] == fit.verdict.sentence
    assert len(lines) < 16
    assert SECRET not in said + fit._repr_html_()
    assert "Notes on how it was read (2): fit.data.attrs['notes']." in said  # how to ask for them
    assert "bd.sentences(fit)" in lines[-1]
    asked = [line for line in lines if line.startswith("  ")]
    row = bd.summarise(fit.with_primary("mean_difference")).query("estimand == 'mean_difference'").iloc[0]
    assert asked[0].startswith(f"  difference in means, less arm 0, mean over visits [{row['comparison']}]: ")
    median = float(asked[0].split("]: ")[1].split(" (")[0].replace("\u2212", "-"))
    assert median == pytest.approx(row["median"], abs=0.51)  # whole points: the interval is wide
    assert f" points, P(> 0) {row['prob_gt_0']:.1f}" in asked[0]


def test_a_model_shows_words_formula_and_the_meaning_of_every_prior():
    rho = bd.Prior("Beta", alpha=3, beta=2, why="as in Smith 2020")
    model = bd.Trial(reference="placebo", priors={"rho": rho}, covariance="ar1")
    page = model._repr_html_()
    assert "rho" in page
    assert "Beta(alpha=3, beta=2)" in page
    assert "chosen for this study: as in Smith 2020" in page
    assert page.count("the model&#x27;s default") == len(model.slots) - 1
    assert all(slot.meaning in page for slot in model.slots.values())


def test_priors_are_in_multiples_without_a_table_and_in_units_with_one():
    model = bd.Trial(reference="arm 0", covariance="ar1")
    alone = bd.priors(model).frame.set_index("parameter")
    with_table = bd.priors(model, visits()).frame.set_index("parameter")
    scale = float(model.prepare(visits())["scale"])
    prior = model.priors["arm_effect"]
    assert alone.loc["arm_effect", "upper"] == pytest.approx(stats.norm.ppf(0.975) * prior["sigma"], rel=0.01)
    expected = scale * stats.norm.ppf(0.975) * prior["sigma"]
    assert with_table.loc["arm_effect", "upper"] == pytest.approx(expected, rel=0.01)
    assert alone.loc["arm_effect", "units"].startswith("multiples of the outcome's scale")


def test_the_figure_of_priors_has_the_estimands_and_the_data_and_takes_no_outcome():
    """The outcomes move nothing but the scale, which is stated here."""
    model = bd.Trial(reference="arm 0", covariance="ar1", scale=6.0)
    table = visits()
    figure = bd.plot_priors(model, table, draws=50)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert any(title.startswith("Difference in means, less arm 0") for title in titles)
    assert any(title.startswith("Data under the prior") for title in titles)
    # the outcomes changed, but for their mean, which centres the model
    other = table.assign(outcome=2 * table["outcome"].mean() - table["outcome"])
    again = bd.plot_priors(model, other, draws=50)
    for one, two in zip(figure.axes, again.axes, strict=True):
        for a, b in zip(one.lines, two.lines, strict=True):
            np.testing.assert_allclose(a.get_xdata(), b.get_xdata(), rtol=1e-6)
    with pytest.raises(BadInput, match="too few"):
        bd.plot_priors(model, table, draws=3)
