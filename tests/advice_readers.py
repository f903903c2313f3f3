"""Messages of the readers of laboratories' and clinics' files, and their advice; see ``advice.py``."""

import datetime
import re
import tempfile
from pathlib import Path
from typing import Any

import lab_files
import openpyxl
import pandas as pd

import bayesdep as bd
from bayesdep.data.readers.text_files import read_text

R = "data/readers/"
SHEET = "ID;Group;IL-6 (pg/mL);TNF (pg/mL)\nP1;a;1.5;2\nP2;b;2.5;3\nP3;a;1.1;4\n"
LONG = "ID;Group;Analyte;Conc\nP1;a;IL-6;1.5\nP1;a;TNF;2\nP2;b;IL-6;3\nP2;b;TNF;4\n"
TRIAL = "ID;Arm;HAMD_w0;HAMD_w2;HAMD_w4\nP1;a;25;20;15\nP2;b;24;22;18\n"
VISITS = "ID;Arm;Visit;HAMD\nP1;a;0;25\nP1;a;2;20\nP2;b;0;24\nP2;b;2;22\n"
PEOPLE = "Sample;Group;Age\nZX101;a;30\nZX102;b;31\nZX103;a;32\nZX104;b;33\n"


def place(content: Any, name: str) -> Path:
    """A file in a folder of its own."""
    path = Path(tempfile.mkdtemp()) / name
    if isinstance(content, openpyxl.Workbook):
        content.save(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content)
    return path


def panel(content: Any = SHEET, name: str = "lab.csv", **settings: Any) -> Any:
    return bd.read_panel(place(content, name), **settings)


def panels(*contents: Any, **settings: Any) -> Any:
    return bd.read_panel([place(content, f"plate{at}.csv") for at, content in enumerate(contents)], **settings)


def trial(content: Any = TRIAL, name: str = "trial.csv", **settings: Any) -> Any:
    return bd.read_trial(place(content, name), **settings)


def book(
    value: Any = 1.5, number_format: str | None = None, sheets: int = 1, hidden: bool = False
) -> openpyxl.Workbook:
    """A workbook whose cell C2 holds a value."""
    made = openpyxl.Workbook()
    made.remove(made.active)
    for at in range(sheets):
        sheet = made.create_sheet(f"Plate {at + 1}")
        for row in (
            ["ID", "Group", "IL-6 (pg/mL)", "TNF (pg/mL)"],
            [f"P{at}1", "a", value, 2],
            [f"P{at}2", "b", 2.5, 3],
        ):
            sheet.append(row)
        if number_format:
            sheet["C2"].number_format = number_format
        if hidden:
            sheet.sheet_state = "hidden"
    if hidden:
        made.create_sheet("empty")
    return made


def wide_olink(**cells: Any) -> openpyxl.Workbook:
    """The wide Olink workbook with other cells."""
    made = lab_files.olink_wide()
    for address, value in cells.items():
        made.active[address] = value
    return made


def bioplex(kind: str) -> openpyxl.Workbook:
    made = lab_files.bioplex()
    for sheet in made:
        for row in sheet.iter_rows(min_row=5):
            if str(row[0].value or "").startswith("X"):
                row[0].value = kind
    return made


def with_age(number_format: str) -> openpyxl.Workbook:
    made = book()
    for row, value in ((1, "Age"), (2, 0.3), (3, 0.4)):
        made["Plate 1"].cell(row, 5, value).number_format = number_format
    return made


def visits_book(number_format: str, sheets: int = 1) -> openpyxl.Workbook:
    """A trial's workbook, whose cell D2 has a format."""
    made = openpyxl.Workbook()
    made.remove(made.active)
    for at in range(sheets):
        sheet = made.create_sheet(f"Visits {at + 1}")
        for line in TRIAL.splitlines():
            sheet.append([int(cell) if cell.isdigit() else cell for cell in line.split(";")])
        sheet["D2"].number_format = number_format
    return made


def folder() -> Path:
    """A folder whose name is that of a file."""
    path = Path(tempfile.mkdtemp()) / "lab.csv"
    path.mkdir()
    return path


def read_in(frame: pd.DataFrame) -> Any:
    return bd.ReadTable(frame, "cytokines", "wide")


IN_GROUPS = pd.DataFrame({"subject": ["P1", "P2"], "group": ["a", "b"], "analyte": "CRP", "concentration": [1.0, 2.0]})
STARRED = SHEET.replace("1.5", "*0.1")
WITH_LIMITS = LONG.replace("Conc\n", "Conc;LOD;ULOQ\n").replace("1.5\n", "*0.1;0.5;90\n").replace(";2\n", ";2;0.5;90\n")
WITH_LIMITS = WITH_LIMITS.replace(";3\n", ";3;0.5;90\n").replace(";4\n", ";4;0.5;90\n")
DILUTED = re.sub(r",[\d.]+,2000\n", ",0.01,2000\n", lab_files.msd().replace("Range,1,,", "Range,1:4,,"))
XPONENT_SAMPLES = lab_files.xponent()
NO_SAMPLES = "\n".join(line for line in XPONENT_SAMPLES.splitlines() if "ZX" not in line) + "\n"
NO_LOCATION = XPONENT_SAMPLES.replace('"DataType:","Count"\n"Location"', '"DataType:","Count"\n"Where"')
CONTROLS = "\n".join(lab_files.olink().splitlines()[:2]) + "\n"

ADVICE = [
    (
        R + "bioplex:read",
        "no wells of samples",
        lambda: panel(bioplex("S9"), "b.xlsx"),
        lambda: panel(bioplex("X1"), "b.xlsx"),
    ),
    (
        R + "decimals:find_mark",
        "could have a decimal point",
        lambda: panel(SHEET.replace("1.5", "0,55").replace("2.5", "1.234").replace("1.1", "7")),
        lambda: panel(SHEET.replace("1.5", "0,55").replace("2.5", "1.234").replace("1.1", "7"), decimal=","),
    ),
    (
        R + "decimals:find_mark",
        "or decimal = '.'",
        lambda: panel(SHEET.replace("1.5", "1,234").replace("2.5", "2").replace("1.1", "7")),
        lambda: panel(SHEET.replace("1.5", "1,234").replace("2.5", "2").replace("1.1", "7"), decimal="."),
    ),
    (
        R + "decimals:find_mark",
        "write all numbers with one",
        lambda: panel(SHEET.replace("1.5", "1,5")),
        lambda: panel(SHEET),
    ),
    (R + "decimals:find_mark", "is not understood", lambda: panel(decimal=";"), lambda: panel(decimal=".")),
    (
        R + "draft:read_covariates",
        "percent",
        lambda: panel(with_age("0%"), "l.xlsx"),
        lambda: panel(with_age("0"), "l.xlsx"),
    ),
    (
        R + "draft:read_labels",
        "leave the sample out",
        lambda: panel(SHEET.replace("P2;b", "P2;")),
        lambda: panel(SHEET.replace("P2;b", "P2;"), leave_out=["P2"]),
    ),
    (
        R + "draft:read_labels",
        "has no name of a person",
        lambda: panel(LONG.replace("P1;a;TNF", ";a;TNF")),
        lambda: panel(LONG.replace("P1;a;TNF", ";a;TNF"), fill_down=True),
    ),
    (
        R + "draft:_limit",
        "a number above zero is needed",
        lambda: panel(LONG.replace("Conc\n", "Conc;LOD\n").replace("1.5\n", "1.5;-1\n")),
        lambda: panel(LONG.replace("Conc\n", "Conc;LOD\n").replace("1.5\n", "1.5;\n")),
    ),
    (
        R + "draft:_value",
        "declare it missing",
        lambda: panel(SHEET.replace("1.5", "clotted")),
        lambda: panel(SHEET.replace("1.5", "clotted"), missing=["clotted"]),
    ),
    (
        R + "draft:_extrapolated",
        "say extrapolated",
        lambda: panel(STARRED),
        lambda: panel(STARRED, extrapolated="number"),
    ),
    (
        R + "draft:_extrapolated",
        "no end of the curve",
        lambda: panel(STARRED, extrapolated="censor"),
        lambda: panel(WITH_LIMITS, extrapolated="censor"),
    ),
    (
        R + "draft:_refuse_odd",
        "is the date",
        lambda: panel(book(datetime.datetime(2026, 5, 3)), "l.xlsx"),
        lambda: panel(book(3.5), "l.xlsx"),
    ),
    (
        R + "draft:_refuse_odd",
        "percent",
        lambda: panel(book(0.45, "0%"), "l.xlsx"),
        lambda: panel(book(0.45), "l.xlsx"),
    ),
    (
        R + "draft:read_concentrations",
        "are empty",
        lambda: panel("ID;IL-6 (pg/mL);Score\nP1;NA;1\nP2;NA;2\n", analytes=["IL-6"]),
        lambda: panel("ID;IL-6 (pg/mL);Score\nP1;1;1\nP2;NA;2\n"),
    ),
    (
        R + "draft:refuse_calibrators",
        "leave_out = []",
        lambda: panel(SHEET.replace("P3", "Standard 1")),
        lambda: panel(SHEET.replace("P3", "Standard 1"), leave_out=["Standard 1"]),
    ),
    (
        R + "draft:leave_out_samples",
        "leaves no sample",
        lambda: panel(leave_out=["P*"]),
        lambda: panel(leave_out=["P1"]),
    ),
    (R + "draft:_matching", "names no sample", lambda: panel(leave_out=["P9"]), lambda: panel(leave_out=["P1"])),
    (
        R + "files:choose_sheets",
        "is not in",
        lambda: panel(book(), "l.xlsx", sheet="Plate 9"),
        lambda: panel(book(), "l.xlsx", sheet="Plate 1"),
    ),
    (
        R + "files:choose_sheets",
        "hidden sheets only",
        lambda: panel(book(hidden=True), "l.xlsx"),
        lambda: panel(book(hidden=True), "l.xlsx", sheet="Plate 1"),
    ),
    (
        R + "files:choose_sheets",
        "say which with sheet",
        lambda: panel(book(sheets=2), "l.xlsx"),
        lambda: panel(book(sheets=2), "l.xlsx", sheet="Plate 1"),
    ),
    (R + "files:choose_sheets", "is no workbook", lambda: panel(sheet="Plate 1"), panel),
    (R + "files:choose_sheets", "is empty", lambda: panel(""), panel),
    (
        R + "files:open_file",
        "check that the file is whole",
        lambda: panel("no workbook", "l.xlsx"),
        lambda: panel(book(), "l.xlsx"),
    ),
    (R + "files:open_file", "'lab.csv': encoding", lambda: panel(encoding="utf-9"), lambda: panel(encoding="utf-8")),
    (
        R + "files:open_file",
        "say which with delimiter",
        lambda: panel("ID|IL-6 (pg/mL);x\nP1|1;2\nP2|3;4\n"),
        lambda: panel("ID|IL-6 (pg/mL);x\nP1|1;2\nP2|3;4\n", delimiter=";", subject="ID|IL-6", analytes=["x"]),
    ),
    (R + "files:open_file", "cannot be read", lambda: bd.read_panel(folder()), panel),
    (R + "files:open_file", "there is no file", lambda: bd.read_panel("nowhere.csv"), panel),
    (R + "files:open_file", "save the table as one of these", lambda: panel(SHEET, "lab.doc"), panel),
    (
        R + "joining:_plate_of",
        "which is no plate",
        lambda: panel(SHEET + "LOD batch 7;;0.2;0.3\n"),
        lambda: panel(SHEET + "LOD;;0.2;0.3\n"),
    ),
    (
        R + "joining:spread_limits",
        "keep one such row",
        lambda: panel(SHEET + "LOD;;0.2;0.3\nLOD;;0.2;0.3\n"),
        lambda: panel(SHEET + "LOD;;0.2;0.3\n"),
    ),
    (
        R + "joining:join_limits",
        "the file has too",
        lambda: panel(SHEET + "LOD;;0.2;0.3\n", limits={"IL-6": 0.1, "TNF": 0.1}),
        lambda: panel(SHEET, limits={"IL-6": 0.1, "TNF": 0.1}),
    ),
    (
        R + "joining:join_people",
        "leave one out",
        lambda: panel(people=place("ID;Group\nP1;a\nP2;b\nP3;a\n", "p.csv")),
        lambda: panel(people=place("ID;Age\nP1;1\nP2;2\nP3;3\n", "p.csv")),
    ),
    (
        R + "joining:join_people",
        "lacks 1 of",
        lambda: panel(lab_files.xponent(), people=place(PEOPLE.replace("ZX104;b;33\n", ""), "p.csv")),
        lambda: panel(lab_files.xponent(), people=place(PEOPLE, "p.csv")),
    ),
    (
        R + "joining:join_people",
        "keep one of them",
        lambda: panel(lab_files.xponent(), people=place(PEOPLE + "ZX104;b;33\n", "p.csv")),
        lambda: panel(lab_files.xponent(), people=place(PEOPLE, "p.csv")),
    ),
    (
        R + "joining:join_people",
        "has no column of samples",
        lambda: panel(lab_files.xponent(), people=place(PEOPLE.replace("Sample", "Code"), "p.csv")),
        lambda: panel(lab_files.xponent(), people=place(PEOPLE, "p.csv")),
    ),
    (
        R + "layout:_find_header",
        "tables, with headers",
        lambda: panel(SHEET + ";;;\nID;Sex;CRP (mg/L);IL-8 (pg/mL)\nP1;f;1;2\n"),
        lambda: panel(SHEET + ";;;\nID;Sex;CRP (mg/L);IL-8 (pg/mL)\nP1;f;1;2\n", header=1, last_row=4),
    ),
    (R + "layout:_find_header", "has no row of names", lambda: panel("1;2\n3;4\n"), panel),
    (
        R + "layout:_refuse_two_rows",
        "in two rows, 1 and 2",
        lambda: panel("ID;IL-6;;TNF;\n;T0;T1;T0;T1\nP1;1.5;2;3;4\nP2;2.5;3;4;5\n"),
        lambda: panel("ID;Time;IL-6;TNF\nP1;T0;1.5;3\nP1;T1;2;4\nP2;T0;2.5;4\nP2;T1;3;5\n"),
    ),
    (R + "layout:_names", "no name in row", lambda: panel(SHEET.replace("TNF (pg/mL)", "")), panel),
    (
        R + "layout:_names",
        "twice",
        lambda: panel("ID;IL-6 (pg/mL);IL-6\nP1;1;2\nP2;3;4\n"),
        lambda: panel("ID;IL-6 (pg/mL);IL-8\nP1;1;2\nP2;3;4\n"),
    ),
    (R + "layout:_stated", "nothing in that row", lambda: panel(header=99), lambda: panel(header=1)),
    (R + "layout:find_table", "no rows below", lambda: panel(header=4), lambda: panel(header=1)),
    (
        R + "layout:find_table",
        "end the table with last_row",
        lambda: panel(SHEET + ";;;\n;;7;\nkit;;8;\n"),
        lambda: panel(SHEET + ";;;\n;;7;\nkit;;8;\n", last_row=4),
    ),
    (R + "msd:_scale_limits", "multiply the columns", lambda: panel(DILUTED), lambda: panel(lab_files.msd())),
    (
        R + "msd:_dilution",
        "no dilution",
        lambda: panel(DILUTED.replace(",1:4,", ",neat,")),
        lambda: panel(lab_files.msd()),
    ),
    (
        R + "msd:_flag",
        "detection ranges",
        lambda: panel(lab_files.msd().replace("B01,1,In Detection Range", "B01,1,beneath")),
        lambda: panel(lab_files.msd()),
    ),
    (
        R + "msd:_without_standards",
        "standards and excluded",
        lambda: panel("\n".join(lab_files.msd().splitlines()[:3]) + "\n"),
        lambda: panel(lab_files.msd()),
    ),
    (
        R + "olink:read_logs",
        "log2 scale",
        lambda: panel(lab_files.olink().replace("PASS;-2.5", "PASS;999")),
        lambda: panel(lab_files.olink()),
    ),
    (
        R + "olink:read_logs",
        "is no number",
        lambda: panel(lab_files.olink().replace("PASS;-2.5", "PASS;low")),
        lambda: panel(lab_files.olink().replace("PASS;-2.5", "PASS;")),
    ),
    (R + "olink:_without_controls", "control samples only", lambda: panel(CONTROLS), lambda: panel(lab_files.olink())),
    (
        R + "olink_wide:_is_npx",
        "NPX or Quantified",
        lambda: panel(wide_olink(A2="data"), "w.xlsx"),
        lambda: panel(wide_olink(A2="NPX data"), "w.xlsx"),
    ),
    (
        R + "olink_wide:_limits",
        "names a plate",
        lambda: panel(wide_olink(F17="P9"), "w.xlsx"),
        lambda: panel(wide_olink(F17="P2"), "w.xlsx"),
    ),
    (
        R + "olink_wide:_sheet",
        "no assays",
        lambda: panel(wide_olink(B6=None, C6=None, D6=None), "w.xlsx"),
        lambda: panel(wide_olink(), "w.xlsx"),
    ),
    (
        R + "olink_wide:read",
        "control samples only",
        lambda: panel(wide_olink(**{f"A{row}": f"CONTROL_SAMPLE_{row}" for row in range(8, 14)}), "w.xlsx"),
        lambda: panel(wide_olink(), "w.xlsx"),
    ),
    (
        R + "panel:_settle_replicates",
        "stands in",
        lambda: panel(SHEET.replace("P3", "P1")),
        lambda: panel(SHEET.replace("P3", "P1"), replicates=True),
    ),
    (R + "panel:_settle_replicates", "leave replicates out", lambda: panel(replicates=True), panel),
    (
        R + "panel:_columns_of_people",
        "subject = 'Code'",
        lambda: panel(SHEET.replace("ID;Group", "Code;Ward").replace("P2;b", "P1;a")),
        lambda: panel(SHEET.replace("ID;Group", "Code;Ward"), subject="Code"),
    ),
    (R + "panel:_plain", "leave layout out", lambda: panel(layout="long"), panel),
    (
        R + "draft:_matching",
        "names no analyte",
        lambda: panel(LONG, analytes=["CRP"]),
        lambda: panel(LONG, analytes=["TNF"]),
    ),
    (
        R + "panel:_merge",
        "differ in their columns",
        lambda: panels(SHEET, SHEET.replace("Group", "Age").replace(";a", ";1").replace(";b", ";2").replace("P", "Q")),
        lambda: panels(SHEET, SHEET.replace("P", "Q")),
    ),
    (R + "panel:_merge", "different layouts", lambda: panels(SHEET, LONG), panel),
    (R + "panel:_draft_of", "leave block out", lambda: panel(block="Result"), panel),
    (R + "panel:_draft_of", "not of the form", lambda: panel(layout="olink"), panel),
    (
        R + "panel:_refuse_unknown",
        "write 'number' or 'censor'",
        lambda: panel(extrapolated="drop"),
        lambda: panel(extrapolated="number"),
    ),
    (R + "panel:_refuse_unknown", "is not known", lambda: panel(layout="wode"), lambda: panel(layout="wide")),
    (R + "panel:_each", "name one", lambda: bd.read_panel([]), panel),
    (
        R + "result:model_settings",
        "add reference",
        lambda: read_in(IN_GROUPS).model_settings(),
        lambda: read_in(IN_GROUPS).model_settings(reference="a"),
    ),
    (R + "roles:_matching", "names no column", lambda: panel(analytes=["IL9*"]), lambda: panel(analytes=["IL*"])),
    (
        R + "roles:choose_analytes",
        "no column that is known as an analyte",
        lambda: panel("ID;Age;Sex\nP1;30;f\nP2;31;m\n"),
        lambda: panel("ID;Age;Sex\nP1;30;f\nP2;31;m\n", analytes=["Age"]),
    ),
    (
        R + "roles:choose_analytes",
        "name the analytes",
        lambda: panel(SHEET.replace("TNF (pg/mL)", "Xyz")),
        lambda: panel(SHEET.replace("TNF (pg/mL)", "Xyz"), covariates=["Xyz"]),
    ),
    (R + "roles:stated_column", "is no column of", lambda: panel(group="Ward"), lambda: panel(group="Group")),
    (
        R + "roles:pick",
        "say which with subject",
        lambda: panel(SHEET.replace("Group", "Patient")),
        lambda: panel(SHEET.replace("Group", "Patient"), subject="ID"),
    ),
    (
        R + "text_files:_delimiter",
        "say which with delimiter",
        lambda: panel("ID|IL-6 (pg/mL);x\nP1|1;2\nP2|3;4\n"),
        panel,
    ),
    (
        R + "text_files:_decoded",
        "leave encoding out",
        lambda: read_text(b"a;\xff", "f.csv", encoding="utf-8"),
        lambda: read_text(b"a;\xff", "f.csv"),
    ),
    (
        R + "text_files:_decoded",
        "is not known",
        lambda: read_text(b"a;b", "f.csv", encoding="utf-9"),
        lambda: read_text(b"a;b", "f.csv", encoding="utf-8"),
    ),
    (
        R + "text_files:read_text",
        "is not understood",
        lambda: read_text(b"a;b", "f.csv", delimiter="-"),
        lambda: read_text(b"a;b", "f.csv", delimiter=";"),
    ),
    (R + "trial:_settle_baseline", "second baseline", lambda: trial(VISITS + "P1;a;0;25\n"), lambda: trial(VISITS)),
    (
        R + "trial:_settle_baseline",
        "the only visit",
        lambda: trial("ID;Arm;Visit;HAMD\nP1;a;0;25\nP2;b;0;24\n"),
        lambda: trial(VISITS),
    ),
    (
        R + "trial:_settle_baseline",
        "at time zero",
        lambda: trial(VISITS + "P1;a;baseline;25\n"),
        lambda: trial(VISITS + "P1;a;baseline;25\n", baseline="0"),
    ),
    (
        R + "trial:_settle_baseline",
        "no column and no visit",
        lambda: trial(baseline="w9"),
        lambda: trial(baseline="w0"),
    ),
    (
        R + "trial:_read_numbers",
        "declare it missing",
        lambda: trial(TRIAL.replace("20", "missed")),
        lambda: trial(TRIAL.replace("20", "missed"), missing=["missed"]),
    ),
    (
        R + "trial:_read_numbers",
        "percent",
        lambda: trial(visits_book("0%"), "t.xlsx"),
        lambda: trial(visits_book("0"), "t.xlsx"),
    ),
    (
        R + "trial:_visits_of",
        "neither a column of visits",
        lambda: trial("ID;Arm;Alpha;Beta\nP1;a;1;2\nP2;b;2;3\n"),
        lambda: trial("ID;Arm;Alpha;Beta\nP1;a;1;2\nP2;b;2;3\n", visits=["Alpha", "Beta"]),
    ),
    (
        R + "trial:_visits_of",
        "2 outcomes",
        lambda: trial("ID;Arm;A_w0;A_w2;B_w0;B_w2\nP1;a;1;2;3;4\nP2;b;2;3;4;5\n"),
        lambda: trial("ID;Arm;A_w0;A_w2;B_w0;B_w2\nP1;a;1;2;3;4\nP2;b;2;3;4;5\n", outcome="A"),
    ),
    (R + "trial:_visits_of", "begins the names", lambda: trial(outcome="MADRS"), lambda: trial(outcome="HAMD")),
    (
        R + "trial:_outcome_of",
        "is not certain",
        lambda: trial(VISITS.replace("HAMD", "X")),
        lambda: trial(VISITS.replace("HAMD", "X"), outcome="X"),
    ),
    (
        R + "trial:_needed",
        "that of arms",
        lambda: trial(TRIAL.replace("Arm", "Ward")),
        lambda: trial(TRIAL.replace("Arm", "Ward"), arm="Ward"),
    ),
    (
        R + "trial:_needed",
        "that of patients",
        lambda: trial(TRIAL.replace("ID", "Code")),
        lambda: trial(TRIAL.replace("ID", "Code"), subject="Code"),
    ),
    (
        R + "trial:read_trial",
        "from one sheet",
        lambda: trial(visits_book("0", 2), "t.xlsx", sheet="all"),
        lambda: trial(visits_book("0", 2), "t.xlsx", sheet="Visits 1"),
    ),
    (
        R + "xponent:_choose",
        "block = 'Median'",
        lambda: panel(lab_files.xponent("Count")),
        lambda: panel(lab_files.xponent("Count"), block="Median"),
    ),
    (
        R + "xponent:_choose",
        "is not in",
        lambda: panel(lab_files.xponent(), block="Resalt"),
        lambda: panel(lab_files.xponent(), block="Result"),
    ),
    (R + "xponent:read", "export the samples", lambda: panel(NO_SAMPLES), lambda: panel(lab_files.xponent())),
    (
        R + "xponent:read",
        "no columns Location",
        lambda: panel(NO_LOCATION, block="Count"),
        lambda: panel(NO_LOCATION, block="Median"),
    ),
]
