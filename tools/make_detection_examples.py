"""Write the same synthetic cytokine measurements in five forms of reporting non-detects (seed 20260).

Run `python tools/make_detection_examples.py` to write the files in tests/data. Both ends of every interval
are the same numbers in every form. How each is to be read is in tests/test_detection.py.
"""

import csv
import sys
from pathlib import Path

import numpy as np

SEED = 20260
ORIGIN = f"synthetic: tools/make_detection_examples.py, seed {SEED}"
UNIT = "pg/mL"
# Per analyte: limit of detection on plates P1 and P2, upper limit on each, roughly the share below the limit.
ASSAYS = {
    "IL-6": ((0.64, 0.8), (10000.0, 9000.0), 0.4),
    "IL-8": ((1.28, 1.1), (5000.0, 5000.0), 0.3),
    "TNF-alpha": ((2.5, 3.2), (8000.0, 10000.0), 0.25),
    "FGF-2": ((8.4, 7.1), (12000.0, 12000.0), 0.4),
    "MCP-1": ((12.5, 10.0), (250.0, 240.0), 0.05),
    "IL-2": ((0.32, 0.4), (6000.0, 6000.0), 0.87),
}
QUANTIFIED = {"IL-8": 2.0}  # reported as numbers only above this many times the limit of detection
Z = {0.05: -1.645, 0.25: -0.674, 0.3: -0.524, 0.4: -0.253, 0.87: 1.126}  # normal quantiles
PEOPLE = [("HC", f"HC{i:02d}") for i in range(1, 13)] + [("TRD", f"TRD{i:02d}") for i in range(1, 15)]


def limits(analyte, plate):
    """Return the limit of detection, the lower limit of quantification ("" where there is none) and the upper limit."""
    lods, uloqs, _ = ASSAYS[analyte]
    at = int(plate == "P2")
    return lods[at], lods[at] * QUANTIFIED[analyte] if analyte in QUANTIFIED else "", uloqs[at]


def measure():
    """Return one dict per measurement: who, what, the concentration, its kind and its limits."""
    rng = np.random.default_rng(SEED)
    rows = []
    for at, (group, subject) in enumerate(PEOPLE):
        plate = ("P1", "P2")[at % 2]
        for analyte, (lods, _, share) in ASSAYS.items():
            centre = np.log(np.mean(lods)) - Z[share] + (0.2 if group == "TRD" else 0.0)
            x = round(float(np.exp(centre + rng.normal())), 4)
            lod, lloq, uloq = limits(analyte, plate)
            kind = "left" if x < lod else "right" if x > uloq else "interval" if lloq and x < lloq else "none"
            who = {"subject": subject, "group": group, "plate": plate, "analyte": analyte}
            rows.append({**who, "x": x, "kind": kind, "lod": lod, "lloq": lloq, "uloq": uloq})
    return rows


def as_flag(row, _):
    """A flag, and the limit in place of the concentration; both limits only where it lies between them."""
    value = {"none": row["x"], "left": row["lod"], "right": row["uloq"], "interval": ""}[row["kind"]]
    between = row["kind"] == "interval"
    return {
        "concentration": value,
        "flag": row["kind"],
        "lod": row["lod"] if between else "",
        "lloq": row["lloq"] if between else "",
    }


def as_text(row, at):
    """Text with the limit, or without it beside the limit's column; some decimal commas."""
    bare = at % 3 == 0
    lod, uloq = row["lod"], row["uloq"]
    written = {
        "none": comma(row["x"]) if at % 4 == 0 else row["x"],
        "left": "OOR <" if bare else f"< {comma(lod)}" if at % 3 == 1 else f"<{lod}",
        "right": "OOR >" if bare else f">{uloq}",
        "interval": f"{lod}-{row['lloq']}" if at % 2 else f"{lod} – {row['lloq']}",
    }
    return {"concentration": written[row["kind"]], "lod": lod if bare else "", "uloq": uloq if bare else ""}


def as_columns(row, _):
    """Numbers beside the limits: half the limit where nothing was detected, extrapolated above the curve."""
    value = {"left": row["lod"] / 2, "right": row["uloq"] * 1.5}.get(row["kind"], row["x"])
    return {"concentration": value, "lod": row["lod"], "lloq": row["lloq"], "uloq": row["uloq"]}


def as_words(row, _):
    """Words without limits, which are in a file of their own."""
    between = f"{row['lod']}-{row['lloq']}"
    return {"concentration": {"none": row["x"], "left": "ND", "right": "OOR >", "interval": between}[row["kind"]]}


def as_mixed(row, at):
    """Every form in turn, in one table."""
    form = (as_flag, as_text, as_columns)[at % 3]
    cells = {"concentration": "", "flag": "", "lod": "", "lloq": "", "uloq": ""} | form(row, at // 3)
    if form is as_columns and row["kind"] == "left" and at % 2:  # nothing but a flag and the limit's column
        cells |= {"concentration": "", "flag": "below"}
    return cells


def comma(number):
    """Write a decimal comma where it cannot be taken for thousands."""
    whole, _, decimals = str(number).partition(".")
    return str(number) if len(decimals) == 3 and whole != "0" else f"{whole},{decimals}"


def write(folder):
    """Write the files into a folder."""
    forms = {"flag": as_flag, "text": as_text, "columns": as_columns, "limits": as_words, "mixed": as_mixed}
    turns = [(at + at // len(ASSAYS), row) for at, row in enumerate(measure())]  # every analyte gets every form
    who = ("subject", "group", "plate", "analyte")
    for name, form in forms.items():
        table = [{**{k: row[k] for k in who}, **form(row, turn), "unit": UNIT, "origin": ORIGIN} for turn, row in turns]
        write_csv(folder / f"detection_{name}.csv", table)
    keys = [(analyte, plate) for analyte in ASSAYS for plate in ("P1", "P2")]
    named = [dict(zip(("analyte", "plate", "lod", "lloq", "uloq"), (*key, *limits(*key)), strict=True)) for key in keys]
    write_csv(folder / "limits.csv", [{**row, "unit": UNIT, "origin": ORIGIN} for row in named])


def write_csv(path, rows):
    """Write dicts of equal keys."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "tests" / "data")
