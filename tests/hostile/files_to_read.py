"""Files given to `bayesdep read`: damaged, hostile or absurd workbooks and text; settings that fit nothing."""

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hostile.harness import DONE, REFUSED, Attempt

EITHER = (REFUSED, DONE)
SHEET = "ID;Group;IL-6 (pg/mL);TNF (pg/mL)\nP1;a;1.5;2\nP2;b;2.5;3\nP3;a;1.1;4\nP4;b;2;6\n"
WORDS = ("--out", "out/tidy.csv", "--plan", "out/plan.toml", "--reference", "a")
_SHEET_XML = "xl/worksheets/sheet1.xml"


def _book(change: Callable[[Any], None] = lambda sheet: None) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    for line in SHEET.splitlines():
        book.active.append([float(c) if c[:1].isdigit() else c for c in line.split(";")])
    change(book.active)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _with_part(name: str, content: bytes) -> bytes:
    """A workbook one part of which is something else."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_book())) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, content if part == name else old.read(part))
        if name not in old.namelist():
            new.writestr(name, content)
    return stream.getvalue()


def _large(name: str) -> Callable[[Path], object]:
    """A workbook of some kilobytes, one part of which has 500 MB when unpacked."""

    def write(path: Path) -> None:
        with (
            zipfile.ZipFile(io.BytesIO(_book())) as old,
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
        ):
            for part in old.namelist():
                if part != name:
                    new.writestr(part, old.read(part))
            with new.open(name, "w") as stream:
                for _ in range(500):
                    stream.write(b" " * 2**20)

    return write


def _part(name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(_book())) as old:
        return old.read(name)


def _entities(coding: str) -> bytes:
    """Entities that name one another ten times each, nine deep."""
    names = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    head = f'<?xml version="1.0" encoding="{coding}"?><!DOCTYPE x [<!ENTITY e0 "ha">{names}]>'
    body = _part(_SHEET_XML).decode().split("?>")[-1].replace("<v>1.5</v>", "<v>&e9;</v>")
    return (head + body).encode(coding)


def _outside() -> bytes:
    head = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    return (head + _part(_SHEET_XML).decode().split("?>")[-1].replace("<v>1.5</v>", "<v>&e;</v>")).encode()


def _far(sheet: Any) -> None:
    sheet["XFD1048576"] = 1


def _macro(sheet: Any) -> None:
    sheet["C2"] = "=cmd|'/c calc'!A1"
    sheet["D2"] = '=WEBSERVICE("http://localhost:9/")'


def _attempt(name: str, file: str, content: Any, words: tuple[str, ...] = WORDS, **how: Any) -> Attempt:
    lies = {file: content, "out/earlier.txt": "not of the package\n"}
    return Attempt(f"read: {name}", lies, ("read", file, *words), **{"codes": (REFUSED,)} | how)


def workbooks() -> Iterator[Attempt]:
    """Workbooks: bombs, declarations, damage, cells far away."""
    good = _book()
    yield _attempt("a good workbook", "l.xlsx", good, codes=(DONE,))
    for name, content in {
        "500 MB of spaces as a sheet": _large(_SHEET_XML),
        "500 MB beside its sheets": _large("xl/media/image1.png"),
        "ten thousand parts": lambda path: path.write_bytes(_many(10_000)),
        "entities, UTF-8": _with_part(_SHEET_XML, _entities("utf-8")),
        "entities, UTF-16": _with_part(_SHEET_XML, _entities("utf-16")),
        "an entity of another file": _with_part(_SHEET_XML, _outside()),
        "a cell in its last corner": _book(_far),
        "formulas that call": _book(_macro),
        "XML that is none": _with_part(_SHEET_XML, b"<worksheet><sheetData><row><c>"),
        "no content types": _with_part("[Content_Types].xml", b"<Types/>"),
        "shared strings of another index": _with_part(
            _SHEET_XML, _part(_SHEET_XML).replace(b't="s"><v>0</v>', b't="s"><v>99999</v>')
        ),
        "an old workbook": b"\xd0\xcf\x11\xe0" + b"\0" * 600,
        "text": SHEET.encode(),
        "nothing": b"",
    }.items():
        yield _attempt(name, "l.xlsx", content, codes=EITHER if "strings" in name else (REFUSED,), seconds=60.0)
    for at in (4, 30, 200, len(good) // 2, len(good) - 30):
        yield _attempt(f"a workbook cut at {at} bytes", "l.xlsx", good[:at])
    rng = np.random.default_rng(3)
    for trial in range(12):
        flipped = bytearray(good)
        for at in rng.integers(0, len(good), 6):
            flipped[at] ^= 0xFF
        yield _attempt(f"a workbook flipped {trial}", "l.xlsx", bytes(flipped), codes=EITHER)
    for value in (2**70, 1e308, -1e308, 5e-324, "=1+", "\u202eabc", "x" * 30_000, "$x^{$ \\frac", True):
        yield _attempt(
            f"a cell of {str(value)[:20]!r}",
            "l.xlsx",
            _book(lambda sheet, value=value: sheet.__setitem__("C3", value)),
            codes=EITHER,
        )


def _many(parts: int) -> bytes:
    stream = io.BytesIO(_book())
    with zipfile.ZipFile(stream, "a") as book:
        for at in range(parts):
            book.writestr(f"x/{at}", b"")
    return stream.getvalue()


def texts() -> Iterator[Attempt]:
    """Text files: no text, endless lines, absurd tables, names and cells that are more than they seem."""
    yield _attempt("a good sheet", "l.csv", SHEET, codes=(DONE,))
    for name, content in {
        "random bytes": np.random.default_rng(5).bytes(20_000),
        "zeros": b"\0" * 100_000,
        "one quotation mark": SHEET.replace(";", ';"', 1),
        "one line of a million cells": ";" * 1_000_000 + "\n" + "1;" * 1_000_000,
        "a hundred thousand lines of text": "a;b;c\n" * 100_000,
        "a hundred thousand empty lines": SHEET + "\n" * 100_000 + "x;y;1;2\n",
        "half a surrogate": SHEET.encode("utf-16")[:-1],
        "a cell of a million digits": SHEET.replace("1.5", "9" * 1_000_000),
        "a control character in an analyte": SHEET.replace("TNF", "T\x1b[31mNF"),
        "a formula as an analyte": SHEET.replace("TNF", "=cmd|'/c calc'!A1"),
        "a formula as a person": SHEET.replace("P1", "=cmd|'/c calc'!A1"),
        "a script as a group": SHEET.replace(";a;", ";<script>alert(1)</script>;"),
        "a plan in an analyte": SHEET.replace("TNF", 'x"\n[model]\nfamily = "y'),
        "a plan in a group": SHEET.replace(";a;", ';x\\"]#;'),
        "patterns as names": SHEET.replace("IL-6", "[!" + "*" * 5000),
        "every column a person": "ID;Patient;Subject;Sample\n1;2;3;4\n",
        "xPONENT's first line alone": '"DataType:","Result"\n',
        "xPONENT's blocks without end": '"DataType:","Result"\n' * 20_000,
        "Olink's header alone": "SampleID;OlinkID;Assay;NPX\n",
        "Olink's values beyond any": "SampleID;OlinkID;Assay;NPX\na;b;c;1e300\n",
        "Olink's wide head alone": "x\nNPX data\nPanel;a\nAssay;b\nOlinkID;OID1\n",
        "Olink's wide head without a word on its values": "Panel;a\nAssay;b\nOlinkID;OID1\np1;1\n",
        "Olink's wide limits without a plate": "NPX\nPanel;a\nAssay;b\nOlinkID;O\np1;1\nPlate LOD;0\nPlate LOD;1\n",
        "Olink's wide values beyond any": "NPX\nPanel;a\nAssay;b\nOlinkID;O\np1;-1e300\nLOD;1e300\n",
        "Olink's wide columns without end": "NPX\nPanel"
        + ";a" * 20_000
        + "\nAssay;b\nOlinkID"
        + ";O" * 20_000
        + "\np1;1\n",
        "columns named in two rows": "ID;IL-6;;TNF;\n;T0;T1;T0;T1\np1;1;2;3;4\np2;1;2;3;4\n",
        "columns named in two rows without end": ";".join(["ID", *["a", "b"] * 9000])
        + "\n"
        + ";T" * 18_001
        + "\n1;2\n",
        "MSD's dilutions of a hostile kind": (
            "Sample,Assay,Well,Detection Range,Dilution,Calc. Concentration,Detection Limits: Calc. Low\n"
            "a,b,A1,In Detection Range,-4,1,1\nb,b,A2,In Detection Range,nan,1,1\nc,b,A3,,1e400,1,1\n"
        ),
        "MSD's header alone": "Sample,Assay,Well,Calc. Concentration\n",
    }.items():
        yield _attempt(name, "l.csv", content, codes=EITHER, seconds=60.0)


def settings() -> Iterator[Attempt]:
    """Settings that fit nothing; outputs that must not be written; places that are no files."""
    for words in (
        (),
        ("--out", "out/tidy.xlsx"),
        ("--out", "l.csv"),
        ("--out", "out/tidy.csv", "--plan", "l.csv"),
        ("--out", "out/tidy.csv", "--plan", "out/plan.txt"),
        ("--out", "/dev/full.csv"),
        ("--out", "thesis"),
        ("--out", "out/tidy.csv", "--plan", "thesis/manifest.json"),
        ("--out", "out/tidy.csv", "--plan", "out/plan.toml"),  # of groups without a reference
        ("--out", "out/tidy.csv", "--plan", "out/plan.toml", "--reference", "nobody"),
        *(("--out", "out/tidy.csv", f"--{option}", value) for option in
          ("sheet", "layout", "delimiter", "decimal", "encoding", "subject", "group", "time", "plate", "analytes",
           "covariates", "people", "limits", "block", "leave-out", "extrapolated", "header", "last-row")
          for value in ("", "\x1b[31m", "../../etc/passwd", "9" * 400, "*" * 3000)),
    ):  # fmt: skip
        yield _attempt(f"with {' '.join(words)[:70]!r}", "l.csv", SHEET, words, codes=EITHER)
    for name, content in {
        "a folder": lambda path: path.mkdir(),
        "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
        "a sparse file of 1 TB": lambda path: path.open("wb").truncate(2**40),
    }.items():
        for suffix in (".csv", ".xlsx", ".parquet"):
            yield _attempt(f"{name} as {suffix}", f"l{suffix}", content)
    yield Attempt("read: no such file", {}, ("read", "nowhere.xlsx", *WORDS))
    yield Attempt(
        "read: a trial of two files", {"l.csv": SHEET}, ("read", "l.csv", "l.csv", "--trial", "--out", "out/t.csv")
    )


ATTEMPTS = [*workbooks(), *texts(), *settings()]
