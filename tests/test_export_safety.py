"""Texts that a spreadsheet, a typesetter or a page would work out leave as they are, or escaped on demand."""

import re
import warnings
import zipfile
from xml.etree import ElementTree

import openpyxl
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayesdep as bd
from bayesdep.cli import app
from bayesdep.data.errors import BadInput
from bayesdep.models.parts.settings import check_settings
from bayesdep.plan import read_plan

FORMULAS = ["=1+1", "=", "+49 30", "-control", "@SUM(A1)", '=HYPERLINK("http://x")', "\t=1", "\r=1", "\n=1", "\uff1d1"]
PLAIN = [
    "'quoted",
    "''",
    "a=b",
    "-1.5",
    "+2",
    "1e5",
    "#N/A",
    "#REF!",
    "_x0041_",
    "a,b",
    'a"b',
    " padded ",
    "x;y",
    "NULL",
    "",
]
CONTROLS = ["\x00", "a\x01b", "\x1b[31mred", "\x0b", "\x7f", "\ufffe"]


def table(*texts):
    return pd.DataFrame({"study": texts, "median": range(len(texts))})


def decoded(cell):
    """What a spreadsheet shows of a cell's text (ISO/IEC 29500-1, 22.9.2.19)."""
    return re.sub(r"_x([0-9A-Fa-f]{4})_", lambda found: chr(int(found[1], 16)), cell)


def strings(path):
    """The texts of a workbook as its file has them: openpyxl leaves the escapes as they are."""
    with zipfile.ZipFile(path) as book:
        root = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    return ["".join(node.text or "" for node in cell.iter() if node.tag.endswith("}t")) for cell in root.iter()
            if cell.get("t") == "inlineStr"]  # fmt: skip


def test_csv_holds_formulas_exactly_in_quotes_and_one_warning_says_so(tmp_path):
    texts = [*FORMULAS, *PLAIN]
    with pytest.warns(UserWarning, match="spreadsheet") as said:
        path = bd.export(table(*texts), tmp_path / "t.csv")
    assert len(said) == 1
    assert re.match(r"10 texts begin .* \(the first is '=1\+1'\); .* --spreadsheet-safe", str(said[0].message))
    assert pd.read_csv(path, keep_default_na=False)["study"].tolist() == texts
    written = path.read_bytes().decode()
    assert all(f'"{text.replace(chr(34), 2 * chr(34))}"' in written for text in FORMULAS)


def test_csv_without_formulas_is_written_without_a_word(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = bd.export(table("Smith", "-1.5", "a=b"), tmp_path / "t.csv")
        bd.export(table("-0.48 (-0.86, -0.09)"), tmp_path / "with_interval.csv")
        bd.export(table(*FORMULAS), tmp_path / "t.json")
    with pytest.warns(UserWarning, match="formulas"):
        bd.export(table("-0.48 (-0.86, -0.09)+1"), tmp_path / "with_more.csv")
    assert path.read_text() == "study,median\nSmith,0\n-1.5,1\na=b,2\n"


def test_spreadsheet_safe_csv_has_no_cell_that_is_worked_out_and_gives_every_text_back(tmp_path):
    texts = [*FORMULAS, *PLAIN]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = bd.export(table(*texts).rename(columns={"median": "=x"}), tmp_path / "t.csv", spreadsheet_safe=True)
    read = pd.read_csv(path, keep_default_na=False, dtype=str)
    assert read.columns.tolist() == ["study", "'=x"]
    for cell, text in zip(read["study"], texts, strict=True):
        assert not re.match(r"[=+@\t\r\n\uff1d]|-(?![0-9])", cell) or cell == "+2"
        assert (cell[1:] if cell.startswith("'") else cell) == text


def test_the_warning_in_a_csv_file_is_no_formula_either(tmp_path):
    """A label in its sentence is not split off as a cell of its own."""
    frame = table("Smith")
    frame.attrs = {"gate_passed": False, "gate": "FAILED: R-hat 1.2 (effect[a,=1+1], x;@y, -z), needs 1.01"}
    read = pd.read_csv(bd.export(frame, tmp_path / "t.csv"), comment="#", dtype=str)
    assert not any(str(cell).startswith(tuple("=+-@")) for cell in read.to_numpy().ravel())
    assert read["study"].tolist() == ["Smith"]


def test_xlsx_holds_every_text_as_a_string_cell(tmp_path):
    texts = [text for text in [*FORMULAS, *PLAIN, *CONTROLS] if text]
    path = bd.export(table(*texts).rename(columns={"median": "=sum"}), tmp_path / "t.xlsx")
    cells = [*openpyxl.load_workbook(path).active["A"][1:], openpyxl.load_workbook(path).active["B1"]]
    assert {cell.data_type for cell in cells} == {"s"}
    assert [cell.quotePrefix for cell in cells[: len(FORMULAS)]] == [True] * len(FORMULAS)
    stored = [decoded(text) for text in strings(path)]
    assert set(texts) <= set(stored)
    assert "=sum" in stored


def test_xlsx_refuses_what_a_cell_does_not_hold(tmp_path):
    with pytest.raises(BadInput, match="32,767 characters that a cell"):
        bd.export(table("x" * 40_000), tmp_path / "t.xlsx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["csv", "html", "tex"])
def test_half_a_character_is_one_sentence(ending, tmp_path):
    frame = pd.DataFrame({"study": pd.Series(["\ud800"], dtype=object)})
    with pytest.raises(BadInput, match="an incomplete character"):
        bd.export(frame, tmp_path / f"t.{ending}")


def test_latex_rows_cannot_take_the_row_end_s_arguments(tmp_path):
    r"""After ``\\`` LaTeX reads ``[`` and ``*`` as its arguments, and two dashes as one."""
    path = bd.export(table("[5 mg] a", "*b", "a--b", "x|y", r"\input{x}", "two\nlines"), tmp_path / "t.tex")
    rows = [line for line in path.read_text().split(r"\endlastfoot")[1].splitlines() if line.endswith(r"\\")]
    first = [row.split(" & ")[0] for row in rows]
    assert first == ["{}[5 mg] a", "{}*b", "a-{}-b", r"x\textbar{}y", r"\textbackslash{}input\{x\}", "two lines"]


def test_html_says_that_its_dollars_are_no_mathematics(tmp_path):
    page = bd.export(table(r"$\frac{1$", "<script>"), tmp_path / "t.html").read_text()
    assert "mathjax_ignore" in page
    assert "<script>" not in page


@pytest.mark.parametrize("control", ["\x00", "\x01", "\x1b", "\x1f", "\x7f", "\x9f", "\ufffe"])
def test_control_characters_in_labels_are_refused_with_their_row(control, tmp_path):
    label, code = f"pla{control}cebo", f"U\\+{ord(control):04X}"
    frame = table("Smith", label).assign(se=0.1, effect=1.0)
    meta = bd.Meta(measure="standardised-difference")
    for data in (frame, frame.astype({"study": "category"})):
        with pytest.raises(BadInput, match=rf"column 'study': row 2 is 'pla.*{code}.*take it out"):
            meta.prepare(data)
    with pytest.raises(BadInput, match=rf"name of column 1.*{code}"):
        meta.prepare(frame.rename(columns={"study": f"st{control}udy"}))
    frame.to_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text(f"study,effect,se\nSmith,1,0.1\n{label},1,0.1\n", encoding="utf-8")
    for name in ("t.csv", "t.parquet"):
        with pytest.raises(BadInput, match=rf"column 'study': row 2 .*{code}"):
            meta.prepare(bd.read_table(tmp_path / name))


def test_white_space_and_marks_of_direction_are_cleaned_as_before():
    frame = table("a\tb", "c\u202ed", "e\r\nf").assign(se=0.1, effect=1.0)
    data = bd.Meta(measure="standardised-difference").prepare(frame)
    assert data["study"].values.tolist() == ["a b", "cd", "e  f"]


@pytest.mark.parametrize(
    "settings", [{"units": "a\x00"}, {"outcome": "y\x1b"}, {"subgroups": ["> 1\x00"], "moderator": "x"}]
)
def test_control_characters_in_settings_are_refused(settings):
    with pytest.raises(BadInput, match="control character"):
        check_settings(bd.Trial(reference="p", **settings))


PLAN = """
[study]
name = "s"
title = "{title}"
[data]
source = "path"
expects = "studies"
[model]
family = "meta"
measure = "standardised-difference"
"""


def test_control_characters_in_plans_are_refused_with_their_key(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text(PLAN.format(title=r"a\u0000b"))
    with pytest.raises(BadInput, match=r"'study\.title' is 'a\\x00b', which holds a control character \(U\+0000\)"):
        read_plan(path)
    path.write_text(PLAN.format(title="a") + '[data.keep]\n"x\\u001b" = "y"\n')
    with pytest.raises(BadInput, match=r"a key of 'data\.keep'"):
        read_plan(path)


def test_command_line_passes_it_on_and_notes_it_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.toml").write_text(PLAN.format(title="t"))
    table("=1+1", "@b", "c").assign(effect=[0.1, 0.2, 0.3], se=0.1).drop(columns="median").to_csv("d.csv", index=False)
    said = CliRunner().invoke(
        app, ["run", "p.toml", "--data", "d.csv", "--draws", "200", "--chains", "2", "--out", "o"]
    )
    assert said.output.count("sign by which a spreadsheet knows formulas") == 1
    run = next(p for p in (tmp_path / "o", tmp_path / "o-failed") if p.exists())
    assert '"=1+1"' in (run / "estimands.csv").read_text()
    said = CliRunner().invoke(app, ["export", str(run), "--format", "csv", "--out", "e.csv", "--spreadsheet-safe"])
    assert "sign by which" not in said.output
    assert "'=1+1" in (tmp_path / "e.csv").read_text()
