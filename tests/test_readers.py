"""Files as laboratories and clinics write them are read as the tables that their makers know; see `lab_files.py`."""

import datetime
import re
import tempfile
from pathlib import Path

import lab_files
import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab_files import ANALYTES, DATA, LIMITS

import bayesdep as bd
from bayesdep.data.readers.grids import letters
from bayesdep.data.readers.workbooks import read_workbook


def truth():
    """What the wide sheets hold: {(person, analyte): cell}."""
    return {
        (person["id"], name): ("beyond" if value < LIMITS[name] else round(value, 2))
        for person in lab_files.people()
        for name, value in person["values"].items()
    }


def as_read(read):
    """The same of a table that was read."""
    return {
        (row.subject, row.analyte): ("beyond" if isinstance(row.concentration, str) else row.concentration)
        for row in read.table.itertuples()
    }


def text(rows, delimiter=","):
    return "\n".join(delimiter.join(map(str, row)) for row in rows) + "\n"


def write(tmp_path, content, name="lab.csv"):
    path = tmp_path / name
    if isinstance(content, openpyxl.Workbook):
        content.save(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content)
    return path


def book(rows, title="Plate 1"):
    made = openpyxl.Workbook()
    made.active.title = title
    for row in rows:
        made.active.append(row)
    return made


ROWS = [["ID", "Group", "IL-6 (pg/mL)", "TNF (pg/mL)"], ["P1", "a", 1.5, 2], ["P2", "b", 2.5, 3], ["P3", "a", 1.1, 4]]

# Wide sheets.


@pytest.mark.parametrize("name", ["lab_sheet.xlsx", "lab_sheet_commas.csv"])
def test_a_wide_sheet_is_read_cell_by_cell(name):
    read = bd.read_panel(DATA / name)
    assert as_read(read) == truth()
    people = {p["id"]: (p["group"], str(p["plate"])) for p in lab_files.people()}
    found = read.table.drop_duplicates("subject").set_index("subject")
    assert {who: (row.group, row.plate) for who, row in found.iterrows()} == people
    assert set(read.table["unit"]) == {"pg/mL"}
    assert read.synthetic


def test_the_limits_below_a_sheet_are_those_of_its_analytes():
    table = bd.read_panel(DATA / "lab_sheet.xlsx").table
    assert table.groupby("analyte")["lod"].unique().map(list).to_dict() == {name: [x] for name, x in LIMITS.items()}
    below = bd.count_detected(table, lod="lod").set_index("analyte")["share_below"]
    commas = bd.count_detected(bd.read_panel(DATA / "lab_sheet_commas.csv").table).set_index("analyte")["share_below"]
    assert below.to_dict() == commas.to_dict()
    assert below["IL-10"] > 0.2


def test_every_row_names_the_cell_that_it_stands_in():
    table = bd.read_panel(DATA / "lab_sheet.xlsx").table
    sheet = openpyxl.load_workbook(DATA / "lab_sheet.xlsx")["Cytokines"]
    for row in table.itertuples():
        address = re.fullmatch(r"sheet 'Cytokines', cell ([A-Z]+\d+)", row.read_from)[1]
        assert sheet[address].value == row.concentration


@pytest.mark.parametrize("name", lab_files.FILES)
def test_the_stored_files_are_those_of_the_script(name, tmp_path):
    lab_files.FILES[name](tmp_path / name)
    if name.endswith(".xlsx"):
        one, other = ([[list(map(str, row)) for row in g.rows] for g in read_workbook(p.read_bytes(), name)]
                      for p in (tmp_path / name, DATA / name))  # fmt: skip
        assert one == other
    else:
        assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encodings_and_delimiters_are_found_and_said(tmp_path, encoding, delimiter):
    rows = [["Größe µg"], [], *ROWS]
    read = bd.read_panel(write(tmp_path, text(rows, delimiter).encode(encoding)))
    assert read.table["concentration"].tolist() == [1.5, 2, 2.5, 3, 1.1, 4]
    names = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "cp1252": "Windows-1252", "utf-16": "UTF-16"}
    assert f"text in {names[encoding]}" in read.notes


@given(
    st.lists(
        st.tuples(*[st.one_of(st.none(), st.tuples(st.sampled_from(["", "<", ">"]), st.integers(1, 10**6)))] * 2),
        min_size=2,
        max_size=8,
    ).filter(lambda rows: any(cell for row in rows for cell in row)),
    st.sampled_from([".", ","]),
    st.integers(0, 4),
)
@settings(max_examples=60, deadline=None)
def test_whatever_numbers_are_written_are_read(rows, mark, junk):
    """Numbers with two decimals, bounds and gaps, either decimal mark, lines above: each is read as it was meant."""

    def cell(one):
        return "" if one is None else f"{one[0]}{one[1] / 100:.2f}".replace(".", mark)

    lines = [["made up"]] * junk + [["ID", "IL-6 (pg/mL)", "TNF (pg/mL)"]]
    lines += [[f"P{at}", *map(cell, row)] for at, row in enumerate(rows)]
    with tempfile.TemporaryDirectory() as folder:
        read = [str(value) for value in bd.read_panel(write(Path(folder), text(lines, ";"))).table["concentration"]]
    meant = [one for row in rows for one in row if one is not None]
    assert [float(value.lstrip("<>")) for value in read] == [one[1] / 100 for one in meant]
    assert [value[0] if value[0] in "<>" else "" for value in read] == [one[0] for one in meant]


def test_a_decimal_mark_that_is_uncertain_is_asked_for(tmp_path):
    rows = [["ID", "IL-6 (pg/mL)"], ["P1", "1,234"], ["P2", "5"]]
    path = write(tmp_path, text(rows, ";"))
    with pytest.raises(bd.BadInput, match=r"cell B2 .*sample P1.*'1,234'.*decimal = ','.*1\.234.*decimal = '\.'.*1234"):
        bd.read_panel(path)
    assert bd.read_panel(path, decimal=",").table["concentration"].tolist() == [1.234, 5]
    assert bd.read_panel(path, decimal=".").table["concentration"].tolist() == [1234, 5]


def test_limits_may_differ_by_plate(tmp_path):
    rows = [
        ["ID", "Plate", "IL-6 (pg/mL)"],
        ["P1", "A", "OOR <"],
        ["P2", "B", 7],
        [],
        ["LOD plate A", "", 0.5],
        ["LOD plate B", "", 0.7],
    ]
    table = bd.read_panel(write(tmp_path, text(rows, ";"))).table
    assert table["lod"].tolist() == [0.5, 0.7]


def test_rows_of_units_summaries_and_notes_are_no_measurements(tmp_path):
    rows = [
        *ROWS[:1],
        ["", "", "pg/mL", "ng/mL"],
        *ROWS[1:],
        ["Mean", "", 1.7, 3],
        ["SD", "", 0.5, 1],
        [],
        ["a: see methods", "", "", ""],
    ]
    rows[0] = ["ID", "Group", "IL-6", "TNF"]
    read = bd.read_panel(write(tmp_path, text(rows)))
    assert read.table["concentration"].tolist() == [1.5, 2, 2.5, 3, 1.1, 4]
    assert read.table["unit"].unique().tolist() == ["pg/mL", "ng/mL"]
    assert "rows 6, 7 of summaries (mean, sd, range, ...) left out" in read.notes


def test_no_person_is_taken_for_a_summary(tmp_path):
    rows = [ROWS[0], ["SD 12", "a", 1, 2], ["Max 3", "b", 3, 4], ["N1", "a", 5, 6], ["Meander", "b", 7, 8]]
    assert bd.read_panel(write(tmp_path, text(rows))).table["subject"].nunique() == 4


def test_gaps_are_left_out_and_counted(tmp_path):
    rows = [ROWS[0], ["P1", "a", "", 2], ["P2", "b", "NA", 3], ["P3", "a", 1.1, "-"]]
    read = bd.read_panel(write(tmp_path, text(rows)))
    assert len(read.table) == 3
    assert "3 of 6 measurements are empty and were left out (IL-6 2, TNF 1)" in read.notes


# What spreadsheets do.


def test_a_date_among_concentrations_is_named_with_its_cell(tmp_path):
    rows = [ROWS[0], ["P1", "a", datetime.datetime(2026, 5, 3), 2], *ROWS[2:]]
    with pytest.raises(bd.BadInput, match=r"sheet 'Plate 1', cell C2 \(IL-6, sample P1\) is the date 2026-05-03"):
        bd.read_panel(write(tmp_path, book(rows), "l.xlsx"))


def test_percentages_errors_and_uncomputed_formulas_are_refused(tmp_path):
    made = book(ROWS)
    made.active["C2"].number_format = "0.0%"
    with pytest.raises(bd.BadInput, match=r"cell C2 .*shows 150 % and holds 1.5"):
        bd.read_panel(write(tmp_path, made, "l.xlsx"))
    with pytest.raises(bd.BadInput, match=r"cell C2 .*formula whose value is not stored"):
        bd.read_panel(write(tmp_path, book([ROWS[0], ["P1", "a", "=1+1", 2], *ROWS[2:]]), "l.xlsx"))
    made = book(ROWS)
    made.active["C2"].value, made.active["C2"].data_type = "#DIV/0!", "e"
    with pytest.raises(bd.BadInput, match=r"cell C2 .*holds the error"):
        bd.read_panel(write(tmp_path, made, "l.xlsx"))


def test_numbers_stored_as_text_and_merged_labels_are_read(tmp_path):
    made = book([["ID", "Group", "IL-6", "TNF"], ["P1", "a", "1,5", 2], [None, "a", "2,5", 3], ["P2", "b", "<0,5", 4]])
    made.active.merge_cells("A2:A3")
    read = bd.read_panel(write(tmp_path, made, "l.xlsx"), replicates=True)
    assert read.table["concentration"].tolist() == [1.5, 2, 2.5, 3, "<0.5", 4]
    assert read.table["subject"].tolist() == ["P1"] * 4 + ["P2"] * 2
    assert read.model_settings(reference="a")["replicates"] is True


def test_a_hidden_sheet_is_read_only_when_it_is_named():
    assert bd.read_panel(DATA / "lab_sheet.xlsx", sheet="old").table["concentration"].tolist() == [99]
    assert 99 not in bd.read_panel(DATA / "lab_sheet.xlsx").table["concentration"].tolist()


def test_several_sheets_or_files_are_plates(tmp_path):
    made = book(ROWS)
    made.create_sheet("Plate 2")
    for row in [ROWS[0], ["Q1", "a", 9, 8]]:
        made["Plate 2"].append(row)
    read = bd.read_panel(write(tmp_path, made, "l.xlsx"), sheet="all")
    assert read.table.groupby("plate")["subject"].nunique().to_dict() == {"Plate 1": 3, "Plate 2": 1}
    both = bd.read_panel(
        [write(tmp_path, text(ROWS), "one.csv"), write(tmp_path, text([ROWS[0], ["Q1", "a", 9, 8]]), "two.csv")]
    )
    assert both.table["read_from"].iloc[-1] == "file 'two.csv', cell D2"
    assert both.table["plate"].unique().tolist() == ["one", "two"]


def test_two_columns_of_people_are_asked_about(tmp_path):
    path = write(tmp_path, text([["ID", "Patient", "IL-6"], ["1", "a", 2], ["2", "b", 3]]))
    with pytest.raises(
        bd.BadInput, match=r"'ID' and 'Patient' could each be the column of the people; .*subject = 'ID'"
    ):
        bd.read_panel(path)
    assert bd.read_panel(path, subject="Patient").table["subject"].tolist() == ["a", "b"]


def test_a_sample_that_stands_twice_is_refused_unless_it_is_said_to_be_wells(tmp_path):
    path = write(tmp_path, text([*ROWS, ["P1", "a", 1.6, 2.1]]))
    with pytest.raises(bd.BadInput, match=r"cell C5 \(IL-6, sample P1\).*cell C2 too; say replicates = True"):
        bd.read_panel(path)


# Long tables, people, parquet.


def test_a_long_table_and_its_wide_form_are_read_alike(tmp_path):
    wide = bd.read_panel(DATA / "lab_sheet.xlsx").table
    long = wide[["subject", "group", "plate", "analyte", "concentration", "unit", "lod"]]
    long.astype({"concentration": str}).to_parquet(tmp_path / "long.parquet")
    read = bd.read_panel(tmp_path / "long.parquet")
    assert read.layout == "long"
    assert as_read(read) == truth()
    assert read.table["lod"].tolist() == wide["lod"].tolist()


def test_what_is_known_of_people_is_joined_by_sample(tmp_path):
    people = write(
        tmp_path,
        "Sample;Patient;Group;Visit;Age\nZX101;A;x;0;30\nZX102;B;y;0;40\nZX103;A;x;4;30\nZX104;B;y;4;40\n",
        "p.csv",
    )
    table = bd.read_panel(DATA / "xponent.csv", people=people).table
    assert table.groupby("sample")[["subject", "group", "time"]].first().loc["ZX103"].tolist() == ["A", "x", "4"]
    assert table["Age"].dtype.kind in "if"


# Instruments.


def test_xponent_concentrations_are_those_of_the_block_result():
    read = bd.read_panel(DATA / "xponent.csv")
    values = {p["id"]: p["values"] for p in lab_files.people()}
    assert len(read.table) == 4 * 2 * len(ANALYTES)
    first = read.table.drop_duplicates(["subject", "analyte"])
    for row in first.itertuples():
        value = values[row.subject][row.analyte]
        if isinstance(row.concentration, str):
            assert row.concentration == f"<{LIMITS[row.analyte]}"
        else:
            assert row.concentration == pytest.approx(value, rel=0.03)
    assert set(read.table["well"]) <= {f"{r}{c}" for r in "ABCDEFGH" for c in (1, 2)}
    assert read.settings["replicates"] is True
    assert "github.com" in read.source


def test_xponent_fluorescence_is_read_only_when_asked_for(tmp_path):
    path = write(tmp_path, lab_files.xponent("Count"))
    with pytest.raises(bd.BadInput, match="no block of concentrations"):
        bd.read_panel(path)
    read = bd.read_panel(path, block="Net MFI")
    assert set(read.table["unit"]) <= {"pg/mL", "MFI"}
    assert any("fluorescence" in note for note in read.notes)


def test_msd_wells_outside_the_range_are_non_detects_at_the_plates_limit():
    read = bd.read_panel(DATA / "msd.csv")
    assert set(read.table["plate"]) == {"2SYNTHETIC"}
    assert read.table["subject"].nunique() == 6
    counted = bd.count_detected(read.table, flag="censored", lod="lod", uloq="uloq").set_index("analyte")
    for name in list(ANALYTES)[:3]:
        below = np.mean([p["values"][name] < LIMITS[name] for p in lab_files.people()[:6]])
        assert counted.loc[name, "share_below"] == pytest.approx(below)


def test_olink_values_are_two_to_their_power():
    read = bd.read_panel(DATA / "olink.csv")
    for row in read.table.itertuples():
        value = next(p for p in lab_files.people() if p["id"] == row.subject)["values"][row.analyte]
        assert row.concentration == pytest.approx(value / 8, rel=1e-4)
        assert row.lod == 2**-2.5
    assert read.settings["beyond_limit"] == "censor"
    assert bd.Cytokines(**read.model_settings()).prepare(read.table).sizes["measurement"] == len(read.table)


def msd_diluted(low, high, value):
    """An export of one sample in the detection range, diluted fourfold, and another that is below it."""
    head = lab_files.msd().splitlines()[:2]
    wells = [
        f"p1,IL-6,B01,1,In Detection Range,1:4,,400,3.0,{value},{low},{high}",
        f"p2,IL-6,B02,1,Below Detection Range,4,,100,3.0,NaN,{low},{high}",
        f"p3,IL-6,B03,1,Below Detection Range,1,,100,3.0,NaN,{low},{high}",
    ]
    return "\n".join([*head, *wells]) + "\n"


def test_limits_of_diluted_samples_follow_from_the_values_in_their_range(tmp_path):
    """A value in the range lies within the limits: within those of the curve, or within four times these, or both."""
    curves = bd.read_panel(write(tmp_path, msd_diluted(2, 100, 300)))  # 300 is above 100: the limits are the curve's
    assert curves.table.set_index("subject")["lod"].to_dict() == {"p1": 8, "p2": 8, "p3": 2}
    assert curves.table.set_index("subject")["uloq"].to_dict() == {"p1": 400, "p2": 400, "p3": 100}
    assert any("times the dilution" in note for note in curves.notes)
    samples = bd.read_panel(write(tmp_path, msd_diluted(2, 400, 5)))  # 5 is below 8: the limits are the sample's
    assert set(samples.table["lod"]) == {2}
    with pytest.raises(bd.BadInput, match="does not show whether"):
        bd.read_panel(write(tmp_path, msd_diluted(2, 100, 50)))
    with pytest.raises(bd.BadInput, match="does not show whether"):
        bd.read_panel(write(tmp_path, msd_diluted(2, 100, 1)))  # within neither


def test_a_wide_olink_file_is_read_with_the_limits_of_each_plate():
    read = bd.read_panel(DATA / "olink_wide.xlsx")
    assert read.layout == "Olink, wide"
    assert len(read.table) == 18  # three assays of six people: no control sample, no Det Ctrl
    for row in read.table.itertuples():
        who = next(p for p in lab_files.people() if p["id"] == row.subject)
        assert row.concentration == pytest.approx(who["values"][row.analyte] / 8, rel=1e-4)
        assert row.lod == pytest.approx(LIMITS[row.analyte] / 8 * 2 ** (0.5 * (row.plate == "P2")), rel=1e-4)
    sheet = openpyxl.load_workbook(DATA / "olink_wide.xlsx").active
    address = read.table["read_from"].iloc[0].rsplit(" ", 1)[1]
    assert 2 ** float(sheet[address].value) == pytest.approx(read.table["concentration"].iloc[0])
    assert "3 of 18 values are marked # and were read like the others" in read.notes
    assert bd.Cytokines(**read.model_settings()).prepare(read.table).sizes["measurement"] == 18


def test_quantified_values_of_a_wide_olink_file_are_concentrations(tmp_path):
    read = bd.read_panel(write(tmp_path, lab_files.olink_wide("Quantified"), "q.xlsx"))
    assert set(read.table["unit"]) == {"pg/mL"}
    seen = 0
    for row in read.table.itertuples():
        value = next(p for p in lab_files.people() if p["id"] == row.subject)["values"][row.analyte]
        assert row.lloq == 2 * LIMITS[row.analyte]
        assert row.uloq == 10_000
        if value < row.lloq:
            assert row.censored == "left"
            seen += 1
        else:
            assert row.concentration == pytest.approx(value, abs=1e-3)
    assert seen
    data = bd.Cytokines(**read.model_settings()).prepare(read.table)
    assert int((data["lower"] == -np.inf).sum()) == seen


def test_bioplex_limits_are_the_ends_of_the_curve():
    read = bd.read_panel(DATA / "bioplex.xlsx")
    assert read.table.groupby("analyte")["lod"].first().to_dict() == {n: LIMITS[n] for n in list(ANALYTES)[:3]}
    assert read.table["uloq"].max() == pytest.approx(256 * max(LIMITS[n] for n in list(ANALYTES)[:3]))
    assert read.table["subject"].nunique() == 4  # the fifth is an outlier
    assert bd.Cytokines(**read.model_settings()).prepare(read.table).sizes["measurement"] == 12


def test_a_bioplex_sheet_of_concentrations_is_read():
    read = bd.read_panel(DATA / "bioplex_summary.xlsx")
    expected = {k: v for k, v in truth().items() if k[0] in {p["id"] for p in lab_files.people()[:4]}}
    assert as_read(read) == expected


def test_a_reader_without_a_documented_form_says_so():
    table = pd.DataFrame({"subject": ["a"], "analyte": ["x"], "concentration": [1.0]})
    assert "UNVERIFIED" in str(bd.ReadTable(table, "cytokines", "new", is_verified=False))
    assert "UNVERIFIED" not in str(bd.read_panel(DATA / "olink.csv"))


# Trials.


def test_a_column_per_visit_and_a_row_per_visit_are_read_alike(tmp_path):
    wide = bd.read_trial(DATA / "trial_wide.csv")
    frame = pd.read_csv(DATA / "trial_wide.csv", skiprows=1)
    long = frame.melt(["Patient", "Arm", "Age"], var_name="Visit", value_name="HAMD")
    long["Visit"] = long["Visit"].str.removeprefix("HAMD_")
    long.to_csv(tmp_path / "long.csv", index=False)
    read = bd.read_trial(tmp_path / "long.csv")
    key = ["subject", "visit"]
    one, other = (
        r.table.sort_values(key)[[*key, "arm", "baseline", "outcome"]].reset_index(drop=True) for r in (wide, read)
    )
    pd.testing.assert_frame_equal(one, other)
    data = bd.Trial(**wide.model_settings(reference="placebo")).prepare(wide.table)
    assert data.sizes["visit"] == 3


def test_visits_may_be_numbers_in_the_header(tmp_path):
    path = write(tmp_path, "ID,Arm,0,2,4\nP1,a,25,20,15\nP2,b,24,22,18\n")
    assert bd.read_trial(path).table["outcome"].tolist() == [20, 15, 22, 18]


# Later messages, summaries, privacy.


def test_a_later_message_names_sheet_cell_and_sample():
    read = bd.read_panel(DATA / "lab_sheet.xlsx")
    table = read.table.copy()
    table.loc[10, "concentration"] = "clotted"
    with pytest.raises(bd.BadInput) as refused:
        bd.Cytokines(**read.model_settings(reference="HC")).prepare(table)
    row = table.iloc[10]
    assert f"row 11 ({row.read_from}, sample {row.subject}; {row.analyte}) is 'clotted'" in str(refused.value)


def test_a_trials_later_message_names_the_cell():
    read = bd.read_trial(DATA / "trial_wide.csv")
    table = read.table.copy()
    table.loc[4, "arm"] = None
    with pytest.raises(bd.BadInput, match=re.escape(f"row 5 ({table['read_from'][4]}, sample {table['subject'][4]})")):
        bd.Trial(**read.model_settings(reference="placebo")).prepare(table)


def test_every_model_names_the_cell_in_a_later_message():
    table = bd.read_trial(DATA / "trial_wide.csv").table.copy()
    table["outcome"] = table["outcome"].astype(object)
    table.loc[4, "outcome"] = "clotted"
    model = bd.Trajectories(reference="placebo", time="visit", units="points", value=None)
    with pytest.raises(bd.BadInput, match=re.escape(f"row 5 ({table['read_from'][4]}, sample {table['subject'][4]})")):
        model.prepare(table)


def test_a_message_with_cells_keeps_all_faults():
    table = bd.read_trial(DATA / "trial_wide.csv").table.copy()
    table.loc[4, "arm"] = None
    table.loc[6, "subject"] = None
    with pytest.raises(bd.BadInput) as refused:
        bd.Trial(reference="placebo", baseline=None).prepare(table)
    assert [fault for fault in refused.value.faults if "read_from" not in fault and table["read_from"][4] in fault]
    assert [fault for fault in refused.value.faults if table["read_from"][6] in fault]
    assert str(refused.value) == refused.value.faults[0]


@pytest.mark.parametrize("name", lab_files.FILES)
def test_no_sample_and_no_cell_is_in_a_summary(name):
    read = (bd.read_trial if "trial" in name else bd.read_panel)(DATA / name)
    for shown in (str(read), repr(read), read._repr_html_()):
        assert not re.search(r"ZX\d|ZT\d|\bcell [A-Z]+\d", shown)
        assert all(analyte in shown for analyte in (read.analytes()["analyte"] if read.family == "cytokines" else ()))


def test_a_summary_in_a_notebook_escapes_what_it_quotes(tmp_path):
    path = write(tmp_path, text([["ID", "Group", "<b>x</b> (pg/mL)"], ["P1", "<script>", 1], ["P2", "b", 2]]))
    shown = bd.read_panel(path)._repr_html_()
    assert "<script>" not in shown
    assert "<b>x" not in shown


@pytest.mark.sampling
def test_from_a_sheet_to_a_figure_in_eight_lines(tmp_path, monkeypatch):
    """The issue's number: figure, paper table and report from the wide sheet; no person and no cell in the report."""
    monkeypatch.chdir(tmp_path)
    code = f"""
import bayesdep as bd
panel = bd.read_panel({str(DATA / "lab_sheet.xlsx")!r})
print(panel)
model = bd.Cytokines(**panel.model_settings(reference="HC"))
fit = bd.fit(model, panel.table, seed=1)
bd.plot_forest(fit).savefig("forest.png")
bd.table(fit).to("main.docx")
bd.report(fit, "report.html")
"""
    assert len(code.strip().splitlines()) <= 8
    made = {}
    exec(compile(code, "eight lines", "exec"), made)
    assert made["fit"].gate.passed
    assert (tmp_path / "forest.png").stat().st_size > 5_000
    assert (tmp_path / "main.docx").stat().st_size > 5_000
    ratio = made["fit"].tree["estimands"]["log_ratio"].mean(("chain", "draw")).squeeze()
    assert float(ratio.sel(analyte="IL-6")) > 0  # raised in the synthetic patients
    report = (tmp_path / "report.html").read_text()
    assert not re.search(r"ZX1\d\d|\bcell [A-Z]+\d", re.sub(r"data:[^\"]*", "", report))


def test_the_next_step_names_the_control_as_the_reference():
    arms = [("drug", "placebo")[i % 2] for i in range(8)]
    visits = [(f"p{i}", arm, week, 20 + i % 5 - week) for i, arm in enumerate(arms) for week in (0, 4)]
    read = bd.read_trial(pd.DataFrame(visits, columns=["patient", "arm", "week", "hamd"]), outcome="hamd")
    assert "reference='placebo'" in str(read)
    with pytest.raises(bd.BadInput, match="add reference = 'placebo', or another of"):
        read.model_settings()


def test_letters_are_a_spreadsheets():
    assert [letters(n) for n in (0, 25, 26, 16383)] == ["A", "Z", "AA", "XFD"]


# The command line.


def command(*words):
    from bayesdep.cli import main

    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


def test_the_command_writes_a_table_and_a_plan_that_is_valid(tmp_path, capsys):
    from bayesdep.plan import prepare, read_plan

    plan, out = tmp_path / "plans" / "lab.toml", tmp_path / "tidy.csv"
    plan.parent.mkdir()
    assert command("read", DATA / "lab_sheet.xlsx", "--out", out, "--plan", plan, "--reference", "HC") == 0
    read = bd.read_panel(DATA / "lab_sheet.xlsx")
    direct = bd.Cytokines(**read.model_settings(reference="HC")).prepare(read.table)
    planned = prepare(read_plan(plan))
    for name in ("lower", "upper", "kind", "lod"):
        np.testing.assert_array_equal(planned[name], direct[name])
    assert planned.attrs["synthetic"] == 1
    said = capsys.readouterr().out
    assert "ZX1" not in said
    assert said.splitlines()[-1] == f"next: bayesdep check {plan}, bayesdep run {plan}"
    assert "bd." not in said, "Python is no help at the command line"
    assert command("read", DATA / "lab_sheet.xlsx", "--out", out) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"next: bayesdep new {out}"


AMBIGUOUS = {
    "two columns of time": ("subject,arm,week,day,outcome\n" + "".join(
        f"p{i},{'ab'[i % 2]},{w},{7 * w},{20 + i - w}\n" for i in range(6) for w in (0, 1, 2)
    ), ("--trial",)),
    "a standard among people": ("sample,IL-6\nStd 1,1.5\np1,2.5\np2,3.5\np3,1.25\n", ()),
    "a comma": ('sample;IL-6;TNF\np1;"1,234";2\np2;"2,345";3\np3;"3,456";4\n', ()),
}  # fmt: skip


@pytest.mark.parametrize(("content", "words"), AMBIGUOUS.values(), ids=list(AMBIGUOUS))
def test_the_command_names_options_that_help(content, words, tmp_path, capsys):
    """In Python the same setting is named as an argument."""
    file, out = tmp_path / "table.csv", tmp_path / "tidy.csv"
    file.write_text(content)
    assert command("read", file, "--out", out, *words) == 2
    said = capsys.readouterr().err
    option = re.search(r"(--[a-z-]+) ('[^']*'|[^ ;,\n]+)", said)
    assert option, said
    assert command("read", file, "--out", out, *words, option[1], option[2].strip("'")) == 0, said
    with pytest.raises(bd.BadInput, match=f"{option[1][2:].replace('-', '_')} = |visit = "):
        (bd.read_trial if words else bd.read_panel)(file)


def test_a_plan_written_for_a_trial_is_valid(tmp_path):
    from bayesdep.plan import prepare, read_plan

    plan, out = tmp_path / "trial.toml", tmp_path / "tidy.parquet"
    words = ("--trial", "--out", out, "--plan", plan, "--reference", "placebo", "--covariates", "Age")
    assert command("read", DATA / "trial_wide.csv", *words) == 0
    assert prepare(read_plan(plan)).sizes["visit"] == 3


def test_nothing_is_written_when_the_plan_would_be_refused(tmp_path, capsys):
    path = write(tmp_path, text([ROWS[0], ["P1", "a", "OOR <", 2], *ROWS[2:]]))
    code = command("read", path, "--out", tmp_path / "tidy.csv", "--plan", tmp_path / "p.toml", "--reference", "a")
    assert code == 2
    assert (
        "row 1 ('lab.csv', cell C2, sample P1; IL-6) is 'OOR <', a non-detect without a limit"
        in capsys.readouterr().err
    )
    assert [p.name for p in tmp_path.iterdir()] == ["lab.csv"]


def test_texts_of_a_hostile_sheet_stay_texts_in_the_plan(tmp_path):
    from bayesdep.plan import read_plan

    rows = [["ID", "Group", "IL-6"], ["P1", 'x"\n[model]', 1], ["P2", "b\\", 2]]
    made = book(rows)
    plan = tmp_path / "p.toml"
    assert (
        command(
            "read", write(tmp_path, made, "l.xlsx"), "--out", tmp_path / "t.csv", "--plan", plan, "--reference", "b\\"
        )
        == 0
    )
    assert read_plan(plan).model.family == "cytokines"


@pytest.mark.sampling
def test_from_a_sheet_to_a_run_in_two_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        command("read", DATA / "lab_sheet_commas.csv", "--out", "tidy.csv", "--plan", "plan.toml", "--reference", "HC")
        == 0
    )
    assert command("run", "plan.toml", "--out", "run") == 0
    assert list((tmp_path / "run").rglob("*.png"))
