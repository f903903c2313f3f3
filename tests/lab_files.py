"""Synthetic files as laboratories write them; `python tests/lab_files.py` writes those that lie in `tests/data/` anew.

The layouts of instruments follow the sources that `docs/howto/reading.md` names; every number here is made up.
"""

from pathlib import Path

import numpy as np
import openpyxl

DATA = Path(__file__).parent / "data"
ANALYTES = {"IL-6": 0.1, "TNF-alpha": 2.4, "IL-8": 3.0, "IL-10": 0.3, "MCP-1": 4.9, "IL-1beta": -0.8}
LIMITS = {"IL-6": 0.64, "TNF-alpha": 1.2, "IL-8": 1.1, "IL-10": 0.98, "MCP-1": 2.1, "IL-1beta": 0.31}
RAISED = {"IL-6": 0.6, "MCP-1": 0.4}  # log ratio of patients to controls
PEOPLE = 36


def people() -> list[dict]:
    """Synthetic people: labels, groups, plates, ages, log levels."""
    rng = np.random.default_rng(17)
    found = []
    for i in range(PEOPLE):
        ill = i % 2 == 1
        level = rng.normal(0, 0.3)
        values = {
            name: float(np.exp(mean + RAISED.get(name, 0) * ill + level + rng.normal(0, 0.6)))
            for name, mean in ANALYTES.items()
        }
        found.append(
            {
                "id": f"ZX{i + 101}",
                "group": "MDD" if ill else "HC",
                "plate": i // 18 + 1,
                "age": 25 + int(rng.integers(0, 30)),
                "values": values,
            }
        )
    return found


def wide_workbook() -> openpyxl.Workbook:
    """A laboratory's workbook: lines above the header, a hidden sheet, OOR <, a row of limits and notes below."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Cytokines"
    sheet.append(["SYNTHETIC DATA - core laboratory, multiplex panel"])
    sheet.append(["Report", "2026-03-04", None, "Operator", "N. N."])
    sheet.append([])
    sheet.append(["", "", "", "", *["Concentration"] * len(ANALYTES)])
    sheet.merge_cells(start_row=4, start_column=5, end_row=4, end_column=4 + len(ANALYTES))
    sheet.append(["Patient ID", "Group", "Plate", "Age", *(f"{name} (pg/mL)" for name in ANALYTES)])
    for person in people():
        cells = ["OOR <" if value < LIMITS[name] else round(value, 2) for name, value in person["values"].items()]
        sheet.append([person["id"], person["group"], person["plate"], person["age"], *cells])
    sheet.append([])
    sheet.append(["LOD", None, None, None, *LIMITS.values()])
    sheet.append(["OOR < = below the limit of detection; values are means of two wells"])
    old = book.create_sheet("old")
    old.append(["ID", "IL-6 (pg/mL)"])
    old.append(["ZX101", 99])
    old.sheet_state = "hidden"
    return book


def wide_text() -> bytes:
    """The same as a German spreadsheet's text: semicolons, decimal commas, Windows-1252, limits in the cells."""
    lines = [
        "Zytokine, synthetic data;;;;;;;;;",
        "Auswertung: Mehrfachbestimmung (Mittelwerte), Größe in pg/mL;;;;;;;;;",
        ";;;;;;;;;",
        ";".join(["Patient", "Gruppe", "Platte", "Alter", *ANALYTES]),
        ";".join(["", "", "", "", *["pg/mL"] * len(ANALYTES)]),
    ]
    for person in people():
        cells = [
            f"<{LIMITS[name]}" if value < LIMITS[name] else f"{value:.2f}" for name, value in person["values"].items()
        ]
        text = ";".join([person["id"], person["group"], str(person["plate"]), str(person["age"]), *cells])
        lines.append(text.replace(".", ","))
    return "\r\n".join([*lines, ""]).encode("cp1252")


def xponent(block: str = "Result") -> str:
    """An export of xPONENT: header, then blocks of one statistic each."""
    names = list(ANALYTES)
    lines = [
        '"Program","xPONENT","","MAGPIX"', '"Build","4.2.1"', '"Date","03/04/2026","10:00 AM"', '""',
        '"SN","SYNTHETIC"', '"Batch","Panel1"', '""',
        '"Samples","8","Min Events","50","Per Bead"', '""', '"Results"', '""',
    ]  # fmt: skip

    def one(name: str, cell) -> list[str]:
        rows = [f'"DataType:","{name}"', ",".join(f'"{c}"' for c in ["Location", "Sample", *names, "Total Events"])]
        wells = ["Background0", "Standard1", "Standard2", *[p["id"] for p in people()[:4] for _ in range(2)]]
        for at, sample in enumerate(wells):
            cells = [cell(sample, name, at) for name in names]
            where = f"{at + 1}(1,{'ABCDEFGH'[at % 8]}{at // 8 + 1})"
            rows.append(",".join(f'"{c}"' for c in [where, sample, *cells, "412"]))
        return [*rows, ""]

    values = {p["id"]: p["values"] for p in people()}

    def concentration(sample: str, name: str, at: int) -> str:
        if sample not in values:
            return "100"
        value = values[sample][name] * (1 + 0.02 * (at % 2))
        return f"<{LIMITS[name]}" if value < LIMITS[name] else f"{value:.3f}"

    blocks = ["Median", "Net MFI", "Count"] + ([block] if block not in ("Median", "Net MFI", "Count") else [])
    for name in blocks:
        lines += one(name, concentration if name == "Result" else lambda s, n, a: str(50 + 3 * a + len(n)))
    lines += ['"DataType:","Units"', ",".join(f'"{c}"' for c in ["Analyte:", *names]),
              ",".join(f'"{c}"' for c in ["BeadID:", *range(12, 12 + len(names))]),
              ",".join(f'"{c}"' for c in ["Units:", *["pg/mL"] * len(names)]), "", '"-- CRC --"']  # fmt: skip
    return "\n".join(lines) + "\n"


def msd() -> str:
    """An export of MSD Discovery Workbench: a row per well."""
    lines = [
        "Plate_2SYNTHETIC,,,,,,,,,,,",
        "Sample,Assay,Well,Spot,Detection Range,Dilution,Concentration,Signal,CV,Calc. Concentration (pg/mL),"
        "Detection Limits: Calc. Low,Detection Limits: Calc. High",
    ]
    for name in list(ANALYTES)[:3]:
        lines.append(f"S001,{name},A01,1,In Detection Range,1,500,90000,2.1,498.2,{LIMITS[name]},2000")
        for at, person in enumerate(people()[:6]):
            value = person["values"][name]
            low = value < LIMITS[name]
            flag = "Below Fit Curve Range" if low else "In Detection Range"
            cell = "NaN" if low else f"{value:.3f}"
            lines.append(f"{person['id']},{name},B{at + 1:02d},1,{flag},1,,400,3.0,{cell},{LIMITS[name]},2000")
    return "\n".join(lines) + "\n"


def olink() -> str:
    """A long Olink NPX file: semicolons, log2 values, control samples."""
    lines = [
        "SampleID;Index;OlinkID;UniProt;Assay;MissingFreq;Panel;Panel_Lot_Nr;PlateID;QC_Warning;LOD;NPX;"
        "Normalization;"  # no spelling check
        "Assay_Warning;Sample_Type"
    ]
    for at, name in enumerate(list(ANALYTES)[:3]):
        lines.append(
            f"CONTROL_SAMPLE_1;1;OID2{at};P0{at};{name};0;Synthetic;L1;P1;PASS;-2.5;1.0;Plate control;PASS;CONTROL"
        )
        for k, person in enumerate(people()[:6]):
            npx = np.log2(person["values"][name]) - 3
            warn = "WARN" if k == 2 else "PASS"
            lines.append(
                f"{person['id']};{k + 2};OID2{at};P0{at};{name};0.1;Synthetic;L1;P1;{warn};-2.5;{npx:.4f};"
                "Plate control;PASS;SAMPLE"
            )
    return "\n".join(lines) + "\n"


def olink_wide(kind: str = "NPX") -> openpyxl.Workbook:
    """A wide Olink workbook of two plates: names above the values, limits and shares below; log2 or concentrations."""
    book = openpyxl.Workbook()
    sheet = book.active
    names = list(ANALYTES)[:3]
    is_log = kind == "NPX"
    sheet.append(["Project name: SYNTHETIC"])
    sheet.append([f"{kind} data"])
    sheet.append(["Panel", *["Olink Synthetic(v.1)"] * (len(names) + 3)])
    sheet.append(["Assay", *names, "Det Ctrl", "Plate ID", "QC Warning"])
    sheet.append(["Uniprot ID", *(f"P0{k}" for k in range(len(names)))])
    sheet.append(["OlinkID", *(f"OID2{k}" for k in range(len(names)))])
    if not is_log:
        sheet.append(["Unit", *["pg/mL"] * len(names)])
    sheet.append([])

    def cell(name: str, value: float, k: int):
        if is_log:
            number = round(float(np.log2(value)) - 3, 4)
            return f"#{number}" if k == 2 else number
        return "< LLOQ" if value < 2 * LIMITS[name] else round(value, 3)

    for k, person in enumerate(people()[:6]):
        warn = "Warning" if k == 2 else "Pass"
        values = [cell(name, person["values"][name], k) for name in names]
        sheet.append([person["id"], *values, 12.5, f"P{k % 2 + 1}", warn])
    sheet.append(["CONTROL_SAMPLE_1", *[1.0] * len(names), 12.4, "P1", "Pass"])
    sheet.append([])
    if not is_log:
        sheet.append(["LLOQ", *(2 * LIMITS[name] for name in names)])
        sheet.append(["ULOQ", *[10_000] * len(names)])
    for plate, shift in (("P1", 0.0), ("P2", 0.5)):
        limits = [
            round(float(np.log2(LIMITS[n])) - 3 + shift, 4) if is_log else LIMITS[n] / 2 + shift / 10 for n in names
        ]
        sheet.append(["Plate LOD", *limits, None, plate])
    sheet.append(["Missing Data freq.", *[0.1] * len(names)])
    sheet.append(["Normalization", *["Plate control"] * len(names)])  # no spelling check
    return book


def bioplex() -> openpyxl.Workbook:
    """A workbook of Bio-Plex Manager with a sheet per analyte: lines above, wells, the curve below."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    header = ["Type", "Well", "Outlier", "Description", "FI", "FI - Bkgd", "Std Dev", "Exp Conc", "Obs Conc",
              "(Obs/Exp) * 100", "Conc in Range", "Dilution"]  # fmt: skip
    for at, name in enumerate(list(ANALYTES)[:3]):
        sheet = book.create_sheet(f"{name} ({34 + at})")
        sheet.append(["File Name: SYNTHETIC.rbx"])
        sheet.append(["Conc. Units: pg/ml"])
        sheet.append([])
        sheet.append(header)
        for k in range(6):
            given = 4 ** (4 - k) * LIMITS[name]
            recovery = 40 if k == 5 else 98 + k
            sheet.append([f"S{k + 1}", f"{'ABCDEF'[k]}1", 0, None, 900, 890, 3, given, given * recovery / 100, recovery,
                          given, None])  # fmt: skip
        sheet.append(["B", "G1", 0, None, 10, 0, 1, None, None, None, None, None])
        for k, person in enumerate(people()[:5]):
            value = person["values"][name]
            cell = "OOR <" if value < LIMITS[name] else round(value, 3)
            outlier = 1 if k == 4 else 0
            sheet.append([f"X{k + 1}", f"B{k + 2}", outlier, person["id"], 70, 60, 2, None, cell, None, "***", None])
        sheet.append([])
        sheet.append(["Std. Curve: FI = 1 + (2 - 1) / ((1 + (Conc / 3)^-4))^0.5"])
        sheet.append(["Recovery range: 70-130%"])
    return book


def bioplex_summary() -> openpyxl.Workbook:
    """A workbook of Bio-Plex Manager with a sheet per statistic, a column per analyte."""
    book = openpyxl.Workbook()
    for title in ("FI", "Obs Conc"):
        sheet = book.active if title == "FI" else book.create_sheet(title)
        sheet.title = title
        sheet.append(["File Name: SYNTHETIC.rbx"])
        sheet.append([])
        sheet.append(["Type", "Well", "Description", *(f"{name} ({20 + k})" for k, name in enumerate(ANALYTES))])
        sheet.append(["S1", "A1", None, *["100,5"] * len(ANALYTES)])
        for k, person in enumerate(people()[:4]):
            cells = ["OOR <" if v < LIMITS[n] else f"{v:.2f}".replace(".", ",") for n, v in person["values"].items()]
            sheet.append([f"X{k + 1}", f"B{k + 1}", person["id"], *cells])
    return book


def trial_wide() -> str:
    """A clinic's table with a column per visit."""
    rng = np.random.default_rng(5)
    lines = ["Synthetic data,,,,,,", "Patient,Arm,Age,HAMD_w0,HAMD_w2,HAMD_w4,HAMD_w8"]
    for i in range(30):
        base = int(rng.integers(18, 30))
        scores = [base, *(max(0, base - int(rng.integers(0, 4)) * k - 2 * (i % 2) * k) for k in (1, 2, 3))]
        cells = ["" if rng.random() < 0.08 and k > 0 else str(s) for k, s in enumerate(scores)]
        lines.append(",".join([f"ZT{i + 1:02d}", ("placebo", "drug")[i % 2], str(20 + i), *cells]))
    return "\n".join(lines) + "\n"


def save(book: openpyxl.Workbook, path: Path) -> Path:
    """Save a workbook."""
    book.save(path)
    return path


FILES = {
    "lab_sheet.xlsx": lambda path: save(wide_workbook(), path),
    "lab_sheet_commas.csv": lambda path: path.write_bytes(wide_text()),
    "xponent.csv": lambda path: path.write_text(xponent()),
    "msd.csv": lambda path: path.write_text(msd()),
    "olink_wide.xlsx": lambda path: save(olink_wide(), path),
    "olink.csv": lambda path: path.write_text(olink()),
    "bioplex.xlsx": lambda path: save(bioplex(), path),
    "bioplex_summary.xlsx": lambda path: save(bioplex_summary(), path),
    "trial_wide.csv": lambda path: path.write_text(trial_wide()),
}

if __name__ == "__main__":
    for name, write in FILES.items():
        write(DATA / name)
