"""The numbers that leave: right, whole, in seven formats, and never without their warning."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import docx
import numpy as np
import openpyxl
import pandas as pd
import pytest
from scipy import stats

import bayesdep as bd
from bayesdep.data.errors import BadInput
from bayesdep.inference.diagnostics import Criterion, Gate
from bayesdep.models.model import ExactPosterior
from bayesdep.reporting.export import FORMATS, SUFFIXES, journal_table, write_simulated

CONTRACT = ["mean", "sd", "median", "lower", "upper", "level", "prob_gt_0", "units"]
FAILURE = Gate((Criterion("R-hat", 1.23, 1.01, False, "risk_difference[hs-CRP > 5 mg/L & more, 50%_#$]"),))


def failing(fit):
    return dataclasses.replace(fit, manifest={**fit.manifest, "gate": FAILURE.to_dict()})


@pytest.fixture(scope="module")
def screen():
    """15 of 19 with the condition and 1 of 12 without test positive; Beta(1/2, 1/2) priors."""
    model = bd.Screen(condition="responder", positives="below_34_pg_per_mL")
    return bd.fit(model, bd.load("kiraly2017_fgf2_roc"), seed=1)


@pytest.fixture(scope="module")
def counts():
    """8/13 against 3/9, and 7/17 against 12/21, every cell on its own."""
    model = bd.Counts(control="placebo", events="responders", pooling="none")
    return bd.fit(model, bd.load("raison2013_responders"), seed=1)


@pytest.fixture(scope="module")
def synthetic():
    model = bd.Screen(condition="responder", positives="below_34_pg_per_mL")
    return bd.fit(model, bd.simulate("kiraly2017_fgf2_roc", seed=3).table, seed=1)


@pytest.fixture(scope="module")
def table(counts):
    return bd.summarise(counts)


# Summaries.


def test_columns_are_the_contract_s_in_its_order(screen, table):
    assert bd.summarise(screen).columns.to_list()[:9] == ["estimand", *CONTRACT]
    assert table.columns.to_list()[:12] == ["estimand", "subgroup", "arm", "treatment", *CONTRACT]


def test_exact_summaries_are_those_of_scipy_s_beta(screen):
    rows = bd.summarise(screen).set_index("estimand")
    for name, beta in {
        "sensitivity": stats.beta(15.5, 4.5),
        "specificity": stats.beta(11.5, 1.5),
    }.items():
        row = rows.loc[name]
        assert row["mean"] == pytest.approx(beta.mean(), rel=1e-9)
        assert row["sd"] == pytest.approx(beta.std(), rel=1e-9)
        quantiles = row[["lower", "median", "upper"]].to_list()
        assert quantiles == pytest.approx(beta.ppf([0.025, 0.5, 0.975]), rel=1e-9)
        assert row["prob_gt_0"] == 1
        assert row["prob_gt_null"] == pytest.approx(beta.sf(0.5), rel=1e-9)  # their null is a coin's 0.5
        assert row["level"] == 0.95
        assert row["units"] == "probability"


def test_hdi_holds_the_level_and_is_no_wider_than_any_other_interval(screen):
    rows = bd.summarise(screen).set_index("estimand")
    for name, beta in {"sensitivity": stats.beta(15.5, 4.5), "specificity": stats.beta(11.5, 1.5)}.items():
        lower, upper = rows.loc[name, ["hdi_lower", "hdi_upper"]]
        assert beta.cdf(upper) - beta.cdf(lower) == pytest.approx(0.95, abs=1e-9)
        tails = np.linspace(0, 0.05, 2001)
        shortest = (beta.ppf(tails + 0.95) - beta.ppf(tails)).min()
        assert upper - lower <= shortest * (1 + 1e-3)  # the search stops at a grid as fine as this one


@pytest.mark.parametrize("level", [0.5, 0.999])
def test_level_is_the_probability_of_the_intervals(screen, level):
    known = screen.exact.marginals
    one = ExactPosterior({key: known[key] for key in known if key[0] == "sensitivity"}, screen.exact.draw)
    row = bd.summarise_exact(one, level=level).iloc[0]
    ends = stats.beta(15.5, 4.5).ppf([(1 - level) / 2, (1 + level) / 2])
    assert row[["lower", "upper"]].to_list() == pytest.approx(ends, rel=1e-9)
    assert row["level"] == level


@pytest.mark.parametrize("level", [0, 1, -0.5, 1.5, 95, float("nan")])
def test_level_that_is_no_probability_is_refused(screen, level):
    for summarise in (bd.summarise, bd.summarise_exact):
        with pytest.raises(BadInput, match=re.escape(f"level = {level!r}")):
            summarise(screen, level=level)


def test_summaries_without_draws_equal_those_beside_them(counts, table):
    alone = bd.summarise_exact(counts)
    keys = ["estimand", "subgroup", "arm", "treatment"]
    both = table.merge(alone, on=keys, suffixes=("", "_alone"))
    assert len(both) == len(alone)
    for column in ("mean", "sd", "median", "lower", "upper", "hdi_lower", "hdi_upper", "prob_gt_0"):
        np.testing.assert_array_equal(both[column], both[f"{column}_alone"])


def test_two_calls_do_not_share_a_table(screen):
    first = bd.summarise(screen)
    first.loc[0, "mean"] = 99.0
    assert bd.summarise(screen).loc[0, "mean"] < 1


def test_drawn_contrasts_are_summaries_of_their_draws(counts, table):
    draws = counts.estimands["risk_difference_overall"].values.ravel()
    row = table.set_index("estimand").loc["risk_difference_overall"]
    assert row["mean"] == pytest.approx(draws.mean(), rel=1e-12)
    assert row["sd"] == pytest.approx(draws.std(ddof=1), rel=1e-12)
    ends = np.quantile(draws, [0.025, 0.5, 0.975])
    assert row[["lower", "median", "upper"]].to_list() == pytest.approx(ends, rel=1e-12)
    assert row["prob_gt_0"] == np.mean(draws > 0)


def test_parameters_have_the_contract_s_columns_and_the_diagnostics_of_independent_draws(counts):
    table = bd.summarise_parameters(counts)
    assert table.columns.to_list() == [
        *["name", "subgroup", "arm", "mean", "sd", "median", "q2.5", "q97.5", "hdi_lower", "hdi_upper"],
        *["r_hat", "ess_bulk", "ess_tail", "mcse"],
    ]
    draws = counts.posterior["risk"].sel(subgroup="hs-CRP > 5 mg/L", arm="infliximab").values
    row = table[(table["subgroup"] == "hs-CRP > 5 mg/L") & (table["arm"] == "infliximab")].iloc[0]
    assert row["mean"] == pytest.approx(draws.mean(), rel=1e-12)
    assert row[["q2.5", "q97.5"]].to_list() == pytest.approx(np.quantile(draws, [0.025, 0.975]), rel=1e-12)
    assert (table["r_hat"] < 1.01).all()
    # Independent draws: the standard error of the mean is sd / sqrt(draws), but for the error of the ESS.
    np.testing.assert_allclose(table["mcse"], table["sd"] / np.sqrt(draws.size), rtol=0.15)


# Numbers needed to treat.


def test_number_needed_to_treat_through_infinity_is_the_reciprocal_of_the_difference_s_ends(table):
    rows = table[table["subgroup"] == "hs-CRP > 5 mg/L"].set_index("estimand")
    difference, nnt = rows.loc["risk_difference"], rows.loc["nnt"]
    assert difference["lower"] < 0 < difference["upper"]
    assert nnt["lower"] == pytest.approx(1 / difference["lower"], rel=1e-12)  # harm, from here to infinity
    assert nnt["upper"] == pytest.approx(1 / difference["upper"], rel=1e-12)  # benefit, from infinity to here
    assert nnt["median"] == pytest.approx(1 / difference["median"], rel=1e-12)
    assert nnt["prob_gt_0"] == difference["prob_gt_0"]
    assert nnt["interval"] == f"harm {-nnt['lower']:.1f} to ∞ to benefit {nnt['upper']:.1f}"
    assert nnt[["mean", "sd", "hdi_lower", "hdi_upper"]].isna().all()  # none exists: 1/x has a pole at no effect


def two_arms(drug, placebo, n=40):
    frame = pd.DataFrame({"arm": ["drug", "placebo"], "events": [drug, placebo], "n": [n, n]})
    return bd.summarise(
        bd.fit(bd.Counts(control="placebo", subgroup=None, pooling="none"), frame, draws=100)
    ).set_index("estimand")


def test_number_needed_to_treat_on_one_side_runs_from_few_to_many():
    rows = two_arms(30, 8)
    nnt, difference = rows.loc["nnt"], rows.loc["risk_difference"]
    assert [nnt["lower"], nnt["upper"]] == pytest.approx([1 / difference["upper"], 1 / difference["lower"]])
    assert 1 < nnt["lower"] < nnt["median"] < nnt["upper"]
    assert nnt["interval"] == f"benefit {nnt['lower']:.1f} to {nnt['upper']:.1f}"


def test_number_needed_to_harm_is_told_as_harm_in_people():
    rows = two_arms(8, 30)
    nnt, difference = rows.loc["nnt"], rows.loc["risk_difference"]
    assert [nnt["lower"], nnt["upper"]] == pytest.approx([1 / difference["upper"], 1 / difference["lower"]])
    assert nnt["lower"] < nnt["median"] < nnt["upper"] < -1
    assert nnt["interval"] == f"harm {-nnt['upper']:.1f} to {-nnt['lower']:.1f}"


# Seven formats.


@pytest.fixture
def written(tmp_path):
    def write(what, format):
        return bd.export(what, tmp_path / f"estimands.{SUFFIXES[format]}", format=format)

    return write


VERDICT = ["verdict", "synthetic"]


def plain(table):
    """A table as the tests compare it: no attrs, empty text where there is none."""
    table = table.copy()
    table.attrs = {}
    empty = [c for c in table if table[c].isna().all() and c == "prob_in_rope"]  # numbers, though none is there
    table[empty] = table[empty].astype(float)
    text = [c for c in table if not pd.api.types.is_numeric_dtype(table[c])]
    table[text] = table[text].astype(object).fillna("")
    return table


def test_csv_holds_every_number_bit_for_bit(written, counts, table):
    read = pd.read_csv(written(counts, "csv")).drop(columns=VERDICT)
    pd.testing.assert_frame_equal(plain(read), plain(table), check_exact=True)


def test_csv_holds_infinite_moments_as_numbers(written, screen):
    """The positive likelihood ratio's sd does not exist here: specificity ~ Beta(11.5, 1.5)."""
    read = pd.read_csv(written(screen, "csv")).set_index("estimand")
    assert read.loc["likelihood_ratio_positive", "sd"] == np.inf
    assert np.isfinite(read.loc["likelihood_ratio_positive", "mean"])


def test_parquet_holds_the_table_and_its_verdict(written, counts, table):
    read = pd.read_parquet(written(counts, "parquet")).drop(columns=VERDICT)
    pd.testing.assert_frame_equal(plain(read), plain(table), check_exact=True)
    verdict = {"gate": counts.gate.sentence, "gate_passed": True, "model": counts.verdict.sentence}
    assert read.attrs == verdict | {"model_passed": True, "synthetic": False}


def test_json_is_strict_and_holds_every_number(written, screen, counts, table):
    def refuse(constant):
        pytest.fail(f"{constant} is not JSON")

    read = json.loads(written(counts, "json").read_text(), parse_constant=refuse)
    assert read["gate"] == counts.gate.sentence
    assert read["gate_passed"] is True
    assert read["synthetic"] is False
    assert list(read["rows"][0]) == table.columns.to_list()
    pd.testing.assert_frame_equal(plain(pd.DataFrame(read["rows"])), plain(table), check_exact=True)
    endless = json.loads(written(screen, "json").read_text(), parse_constant=refuse)
    ratio = next(row for row in endless["rows"] if row["estimand"] == "likelihood_ratio_positive")
    assert ratio["sd"] == "inf"


def test_xlsx_holds_every_number_in_a_cell(written, screen, counts, table):
    sheet = openpyxl.load_workbook(written(counts, "xlsx")).active
    header, *rows = sheet.iter_rows(values_only=True)
    assert list(header) == [*VERDICT, *table.columns]
    read = plain(pd.DataFrame(rows, columns=header).drop(columns=VERDICT))
    pd.testing.assert_frame_equal(read, plain(table), check_dtype=False, rtol=1e-15, atol=0)  # 16 digits
    header, *rows = openpyxl.load_workbook(written(screen, "xlsx")).active.iter_rows(values_only=True)
    assert [row[header.index("sd")] for row in rows if row[2] == "likelihood_ratio_positive"] == ["inf"]


class Cells(HTMLParser):
    """Rows of the cells of a page's tables, and everything else that it says."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.outside, self.open = [], "", []
        self.feed(page)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        if tag == "meta":  # never closed
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        elif "style" not in self.open and "head" not in self.open:
            self.outside += data


def test_html_is_well_formed_and_shows_the_journal_s_table(written, counts, table):
    page = Cells(written(counts, "html").read_text(encoding="utf-8"))
    expected = journal_table(table)
    assert page.rows == [expected.columns.to_list(), *expected.to_numpy().tolist()]


def latex_rows(text):
    """The rows of the one longtable, its first heading and then its cells, as LaTeX source."""
    assert text.count(r"\begin{longtable}") == text.count(r"\end{longtable}") == 1
    code = re.sub(r"(?<!\\)%.*", "", text)  # an unescaped % comments out the rest of its line
    body = re.search(r"\\begin\{longtable\}\{(l+)\}(.*)\\end\{longtable\}", code, re.DOTALL)
    rules = re.compile(r"\\(top|mid|bottom)rule")
    shown = body[2].split(r"\endfirsthead")[0] + body[2].split(r"\endlastfoot")[1]
    rows = [re.split(r"(?<!\\)&", row) for row in rules.sub("", shown).split(r"\\") if row.strip()]
    assert all(len(row) == len(body[1]) for row in rows)
    return [[cell.strip() for cell in row] for row in rows]


def test_latex_table_is_whole_and_escapes_what_latex_would_take_for_commands(written, counts, table):
    text = written(counts, "latex").read_text(encoding="utf-8")
    rows = latex_rows(text)
    expected = journal_table(table)
    assert len(rows) == len(expected) + 1
    assert rows[0] == ["Estimand", "Median", r"95\% interval", r"Exact 95\% interval", r"P($>$ null)", "Units"]
    assert rows[1][0] == r"risk[hs-CRP $>$ 5 mg/L, placebo]"
    assert r"risk\_difference[hs-CRP $<$= 5 mg/L, infliximab]" in [row[0] for row in rows]
    assert [row[1] for row in rows[1:]] == expected["Median"].to_list()
    commands = (
        r"\\(begin|end)\{longtable\}|\{l+\}|\\\w+rule|\\end(first)?head|\\end(last)?foot"
        r"|\\multicolumn\{\d\}\{r\}\{[\w ]+\}"
    )
    text = re.sub(r"(?<!\\)%.*", "", text)
    bare = re.sub(rf"\\[_%&#${{}}]|\$[<>]\$|\$\\infty\$|{commands}|\\\\|&", "", text)
    assert not set(bare) & set("\\_%#${}<>^~")
    assert text.isascii()


def test_journal_table_prints_ranks_whole_small_probabilities_as_below_and_intervals_as_sentences_do():
    from unsampled import made

    from bayesdep.reporting.sample import sizes_in_words

    fit = made("cytokines")
    assert "family" not in sizes_in_words(fit.data)  # of which there is one, that is, none
    table = bd.summarise(fit)
    share = (table["estimand"] == "share_below").idxmax()
    table.loc[share, ["median", "lower", "upper", "mcse"]] = [1e-5, 2e-9, 4e-4, 1e-7]
    shown = journal_table(table)
    assert shown.loc[share, "Median"] == "< 0.001"
    assert shown.loc[share, "95% interval"] == "< 0.001 to < 0.001"
    ranks = shown[shown["Units"] == "rank"]
    assert len(ranks)
    assert not ranks["Median"].str.contains(".", regex=False).any()
    ratios = table.index[table["estimand"] == "geometric_mean_ratio"]
    assert len(ratios)
    for i in ratios:
        lower, upper = shown.loc[i, "95% interval"].split(" to ")
        assert len(upper.partition(".")[2]) <= len(lower.partition(".")[2])


def test_journal_table_rounds_to_two_digits_of_the_interval(screen):
    rows = journal_table(bd.summarise(screen)).set_index("Estimand")
    beta = stats.beta(15.5, 4.5)
    lower, median, upper = beta.ppf([0.025, 0.5, 0.975])
    assert rows.loc["sensitivity", "Median"] == f"{median:.2f}"
    assert rows.loc["sensitivity", "95% interval"] == f"{lower:.2f} to {upper:.2f}"
    assert rows.loc["sensitivity", "P(> null)"] == f"{beta.sf(0.5):.3f}"


def test_suffix_names_the_format(tmp_path, screen):
    for name, format in {"a.csv": "csv", "a.tex": "latex", "a.htm": "html", "A.JSON": "json"}.items():
        whole = bd.export(screen, tmp_path / name).read_bytes()
        assert whole == bd.export(screen, tmp_path / "same", format=format).read_bytes()


# Warnings.


@pytest.fixture(scope="module")
def failed(counts):
    return failing(counts)


@pytest.fixture(scope="module")
def failed_synthetic(synthetic):
    return failing(synthetic)


SAYS = FAILURE.sentence


def first_thing(path, format):
    """What a reader of a file meets first."""
    if format == "json":
        (key, value), *_ = json.loads(path.read_text()).items()
        return f"{key}: {value}"
    if format == "docx":
        return docx.Document(str(path)).paragraphs[0].text
    if format in ("csv", "parquet", "xlsx"):
        table = {"csv": pd.read_csv, "parquet": pd.read_parquet, "xlsx": pd.read_excel}[format](path)
        assert table.columns[:2].tolist() == VERDICT
        assert len(table[VERDICT].drop_duplicates()) == 1
        return f"{table['verdict'].iloc[0]}; {'SYNTHETIC DATA' if table['synthetic'].iloc[0] else ''}"
    if format == "html":
        return Cells(path.read_text(encoding="utf-8")).outside.strip().splitlines()[0]
    return path.read_text(encoding="utf-8").splitlines()[0]


@pytest.mark.parametrize("format", FORMATS)
def test_failed_gate_is_the_first_thing_in_every_format(written, failed, format):
    assert SAYS.startswith("FAILED THE GATE, do not use these numbers: R-hat 1.23")
    assert SAYS in first_thing(written(failed, format), format)


@pytest.mark.parametrize("format", FORMATS)
def test_synthetic_data_are_the_first_thing_in_every_format(written, synthetic, format):
    first = first_thing(written(synthetic, format), format)
    assert "SYNTHETIC DATA" in first
    assert "FAILED" not in first


@pytest.mark.parametrize("format", FORMATS)
def test_failed_gate_and_synthetic_data_are_both_said(written, failed_synthetic, format):
    first = first_thing(written(failed_synthetic, format), format)
    assert SAYS in first
    assert "SYNTHETIC DATA" in first


@pytest.mark.parametrize("format", FORMATS)
def test_good_fit_of_real_data_warns_of_nothing(written, screen, format):
    content = written(screen, format).read_bytes()
    assert b"FAILED" not in content
    assert b"SYNTHETIC" not in content
    if format == "csv":
        assert pd.read_csv(written(screen, format))[VERDICT].drop_duplicates().values.tolist() == [["passed", False]]


def test_warning_does_not_cost_a_single_number(written, failed, table):
    read = pd.read_csv(written(failed, "csv")).drop(columns=VERDICT)
    pd.testing.assert_frame_equal(plain(read), plain(table), check_exact=True)
    header, *rows = openpyxl.load_workbook(written(failed, "xlsx")).active.iter_rows(values_only=True)
    read = plain(pd.DataFrame(rows, columns=header).drop(columns=VERDICT))
    pd.testing.assert_frame_equal(read, plain(table), check_dtype=False, rtol=1e-15, atol=0)  # 16 digits
    read = pd.read_parquet(written(failed, "parquet")).drop(columns=VERDICT)
    pd.testing.assert_frame_equal(plain(read), plain(table), check_exact=True)


def test_latex_warning_is_printed_not_only_commented(written, failed):
    text = written(failed, "latex").read_text(encoding="utf-8")
    printed = text.splitlines()[1]
    assert printed == (
        r"\textbf{FAILED THE GATE, do not use these numbers: "
        r"R-hat 1.23 (risk\_difference[hs-CRP $>$ 5 mg/L \& more, 50\%\_\#\$]), needs $<$= 1.01}\par"
    )
    assert len(latex_rows(text)) == len(journal_table(bd.summarise(failed))) + 1


def test_parameters_of_a_failed_fit_carry_the_warning_too(tmp_path, failed):
    path = bd.export(bd.summarise_parameters(failed), tmp_path / "summary.csv")
    assert set(pd.read_csv(path)["verdict"]) == {SAYS}


def test_printed_fit_says_the_verdict_first_and_synthetic_data(failed, synthetic):
    assert repr(failed).splitlines()[0] == SAYS
    assert "SYNTHETIC DATA" in repr(synthetic)


# Whole or not at all.


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit, RuntimeError])
@pytest.mark.parametrize("format", FORMATS)
def test_export_that_is_cut_off_leaves_the_earlier_file_and_nothing_else(tmp_path, screen, monkeypatch, format, ending):
    def cut_off(table, path):
        path.write_bytes(b"half of")
        raise ending

    path = tmp_path / f"estimands.{SUFFIXES[format]}"
    bd.export(screen, path, format=format)
    earlier = path.read_bytes()
    monkeypatch.setitem(bd.export.__globals__["_WRITERS"], format, cut_off)
    with pytest.raises(ending):
        bd.export(screen, path, format=format)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == earlier


@pytest.mark.parametrize("format", FORMATS)
def test_export_to_where_no_file_can_be_is_refused(tmp_path, screen, format):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    for place in ("file/x", "nowhere/x", "folder"):
        with pytest.raises(BadInput, match=r"cannot be written .* choose another place"):
            bd.export(screen, tmp_path / place, format=format)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]


def test_the_verdict_stands_in_the_properties_of_files_that_have_any(written, failed_synthetic):
    book = openpyxl.load_workbook(written(failed_synthetic, "xlsx")).properties
    page = written(failed_synthetic, "html").read_text(encoding="utf-8")
    document = docx.Document(str(written(failed_synthetic, "docx"))).core_properties
    meta = re.search(r'<meta name="bayesdep:verdict" content="([^"]*)"', page)[1]
    for said in (book.description, document.comments, meta):
        assert said.startswith("FAILED THE GATE")
    assert book.keywords == document.keywords == "synthetic data"
    assert "SYNTHETIC DATA" in book.description
    assert book.creator in (None, "")
    assert document.author == ""


def test_simulated_table_is_written_with_its_truth_and_says_what_it_is(tmp_path):
    made = bd.simulate("kiraly2017_fgf2_roc", seed=5)
    paths = write_simulated(made, tmp_path / "made.csv")
    assert [p.name for p in paths] == ["made.csv", "made.truth.json"]
    read = pd.read_csv(paths[0])
    assert read["origin"].eq("synthetic: kiraly2017_fgf2_roc, seed 5").all()
    pd.testing.assert_frame_equal(plain(read), plain(made.table))
    truth = json.loads(paths[1].read_text())
    assert truth["truth"] == made.truth
    assert truth["synthetic"] is True


def test_simulated_table_that_cannot_be_written_keeps_the_earlier_truth(tmp_path, monkeypatch):
    paths = write_simulated(bd.simulate("kiraly2017_fgf2_roc", seed=5), tmp_path / "made.csv")
    earlier = [p.read_bytes() for p in paths]

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    other = bd.simulate("kiraly2017_fgf2_roc", seed=6)
    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(BadInput, match="No space left on device"):
        write_simulated(other, tmp_path / "made.csv")
    assert [p.read_bytes() for p in paths] == earlier
    assert sorted(tmp_path.iterdir()) == sorted(paths)
