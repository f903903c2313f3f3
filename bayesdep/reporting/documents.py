"""Tables in documents: Word, HTML and LaTeX."""

import html
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.files import whole_files
from bayesdep.data.html_text import piece

if TYPE_CHECKING:
    from docx.document import Document
    from docx.table import Table


@dataclass(frozen=True)
class Printed:
    """A table as it is printed: texts alone.

    Parameters
    ----------
    title
        The caption; may be empty.
    head
        Two lines of headings for every column: a heading over several columns (or nothing), and the column's own.
    rows
        Cells, a list for every row.
    notes
        Sentences below the table.
    warning
        What a reader must see first; empty if there is nothing.
    about
        Verdict on the fit and whether the data are synthetic, for the file's metadata; empty where it is of no fit.
    """

    title: str
    head: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    warning: str = ""
    about: Mapping[Any, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, table: pd.DataFrame, warning: str = "") -> "Printed":
        """Take a table of texts as it is."""
        head = [("", str(column)) for column in table.columns]
        return cls("", head, [[str(cell) for cell in row] for row in table.to_numpy()], (), warning, table.attrs)

    @property
    def verdict(self) -> str:
        """The verdict on the fit, and whether the data are synthetic, in one line; empty where it is of no fit."""
        if "gate" not in self.about:
            return ""
        parts = (self.about["gate"], self.about.get("model", ""), "SYNTHETIC DATA" * bool(self.about.get("synthetic")))
        return " ".join("; ".join(part for part in parts if part).split())

    def as_text(self) -> str:
        """Return the table as plain text, for a terminal."""
        names = [f"{over}: {own}" if over else own for over, own in self.head]
        body = pd.DataFrame(list(self.rows), columns=pd.Index(names)).to_string(index=False)
        return "\n".join(part for part in (self.warning, self.title, body, *self.notes) if part)

    def frame(self, escape: Callable[[str], str]) -> pd.DataFrame:
        """Return headings and cells escaped; headings in two lines where one stands over several columns."""
        rows = [[escape(cell) for cell in row] for row in self.rows]
        two = any(over for over, _ in self.head)
        head = [(escape(over), escape(own)) for over, own in self.head]
        columns = pd.MultiIndex.from_tuples(head) if two else pd.Index([own for _, own in head])
        return pd.DataFrame(rows, columns=columns)


def write_printed(printed: Printed, path: str | os.PathLike[str], *, format: str | None = None) -> Path:
    """Write a table as a document.

    Parameters
    ----------
    printed
        The table.
    path
        The file; an existing one is replaced only by a complete one.
    format
        ``"docx"``, ``"html"`` or ``"latex"``; by default the path's suffix.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    BadInput
        When the format is unknown, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix[1:].lower()
    name = format or {"tex": "latex", "htm": "html"}.get(suffix, suffix)
    if name not in DOCUMENTS:
        raise BadInput(f"'{path.name}' is of no format of tables; {did_you_mean(suffix, _SUFFIXES)}")
    try:
        with whole_files(path) as (partial,):
            DOCUMENTS[name](printed, partial)
    except UnicodeEncodeError as problem:
        raise BadInput(f"a text of the table holds an incomplete character ({problem.reason}); correct it") from None
    return path


# LaTeX

# Characters that LaTeX reads as commands, or prints as other characters in its default font encoding.
_TEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {c: f"${c}$" for c in "<>"}
    | {
        "|": r"\textbar{}",
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "∞": r"$\infty$",
        "\N{MINUS SIGN}": "$-$",
    }
)


def _tex(value: str) -> str:
    """A value as LaTeX text; ``[`` and ``*`` at the beginning of a row and double dashes are escaped as well."""
    text = " ".join(value.split()).translate(_TEX).replace("--", "-{}-").replace("``", "`{}`").replace("''", "'{}'")
    return f"{{}}{text}" if text.startswith(("[", "*")) else text


def _latex(printed: Printed, path: Path) -> None:
    shown = printed.frame(_tex)
    text = shown.style.hide(axis="index").to_latex(
        environment="longtable",
        caption=_tex(printed.title) or None,
        hrules=True,
        column_format="l" * len(printed.head),
        multicol_align="c",
    )
    if printed.warning:
        text = f"% {printed.warning}\n\\textbf{{{_tex(printed.warning)}}}\\par\n{text}"
    elif printed.verdict:
        text = f"% {printed.verdict}\n{text}"
    notes = "".join(f"\\noindent {_tex(note)}\\par\n" for note in printed.notes)
    path.write_text(text + notes, encoding="utf-8")


# HTML


def as_html(printed: Printed) -> str:
    """Return a table as a piece of a page, in the page's own colours.

    Parameters
    ----------
    printed
        The table.

    Returns
    -------
    str
        HTML with every text escaped.
    """
    return piece(_fragment(printed))


def _fragment(printed: Printed) -> str:
    style = printed.frame(html.escape).style.hide(axis="index")
    # mathjax_ignore: MathJax must not change names
    body = style.to_html(
        caption=html.escape(printed.title) or None, table_attributes='class="tex2jax_ignore mathjax_ignore"',
        cell_ids=False, table_uuid="bayesdep",
    )  # fmt: skip
    body = re.sub(r' (?:id="T_bayesdep[^"]*"|class="(?:col_heading|data|blank|index_name)[^"]*")', "", body)
    body = re.sub(r"<(t[hd]) +>", r"<\1>", body)
    body = re.sub(r"<th *colspan=\"(\d+)\" *>(?=[^<])", r'<th class="over" colspan="\1">', body[body.index("<table") :])
    notice = f'<p class="warning">{html.escape(printed.warning)}</p>\n' if printed.warning else ""
    notes = "".join(f"<p>{html.escape(note)}</p>\n" for note in printed.notes)
    return f"{notice}{body}{notes}"


def _html(printed: Printed, path: Path) -> None:
    about = f'<meta name="bayesdep:verdict" content="{html.escape(printed.verdict)}">\n' if printed.verdict else ""
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{about}<title>{html.escape(printed.title) or 'Estimates'}</title>\n<style>\n"
        ":root { color-scheme: light dark; }\n"  # no spelling check
        "body { font: 15px/1.45 sans-serif; margin: 1rem; overflow-x: auto; }\n"
        f"</style>\n</head>\n<body>\n{as_html(printed)}</body>\n</html>\n"
    )
    path.write_text(page, encoding="utf-8")


# Word

_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_WIDE = 7  # columns from which the page lies on its side


def _docx(printed: Printed, path: Path) -> None:
    import docx
    from docx.enum.section import WD_ORIENT

    document = docx.Document()
    section = document.sections[0]
    if len(printed.head) >= _WIDE:
        section.orientation = WD_ORIENT.LANDSCAPE
        section.page_width, section.page_height = section.page_height, section.page_width
    _describe(document, printed)
    if printed.warning:
        document.add_paragraph().add_run(_xml(printed.warning)).bold = True
    if printed.title:
        document.add_paragraph(_xml(printed.title), style="Caption").paragraph_format.keep_with_next = True
    _fill(document, printed)
    for note in printed.notes:
        _small(document.add_paragraph(_xml(note)))
    document.save(str(path))


def _describe(document: "Document", printed: Printed) -> None:
    """Put title and verdict into the file's properties, and nothing on who made it."""
    properties = document.core_properties
    properties.title, properties.author = _xml(printed.title)[:255], ""
    properties.comments = _xml(printed.verdict)[:255]
    properties.keywords = "synthetic data" if printed.about.get("synthetic") else ""


def _fill(document: "Document", printed: Printed) -> None:
    """Add the table: headings repeated on every page, rows kept whole, rules above, below and under the headings."""
    two = any(over for over, _ in printed.head)
    lines = [[over for over, _ in printed.head]] * two + [[own for _, own in printed.head]]
    cells = [*lines, *printed.rows]
    table = document.add_table(rows=len(cells), cols=len(printed.head))
    for at, (row, texts) in enumerate(zip(table.rows, cells, strict=True)):
        _set_flag(row, "w:cantSplit")
        if at < len(lines):
            _set_flag(row, "w:tblHeader")
        for cell, text in zip(row.cells, texts, strict=True):
            paragraph = cell.paragraphs[0]
            paragraph.add_run(_xml(text)).bold = at < len(lines)
            _small(paragraph)
    if two:
        _merge_alike(table, lines[0])
    last = len(cells) - 1
    for at, row in enumerate(table.rows):
        edges = {"top": at == 0, "bottom": at in (len(lines) - 1, last)}
        for cell in row._tr.tc_lst:  # row.cells has a merged one several times
            _rule(cell, [edge for edge, there in edges.items() if there])


def _merge_alike(table: "Table", heads: Sequence[str]) -> None:
    """Merge neighbouring cells of the first line that have the same heading."""
    start = 0
    for at in range(1, len(heads) + 1):
        if at < len(heads) and heads[at] == heads[start]:
            continue
        if heads[start] and at - start > 1:
            for k in range(start + 1, at):
                table.cell(0, k).text = ""
            merged = table.cell(0, start).merge(table.cell(0, at - 1))
            for paragraph in merged.paragraphs[1:]:
                paragraph._element.getparent().remove(paragraph._element)
        start = at


def _set_flag(row: Any, name: str) -> None:
    from docx.oxml.shared import OxmlElement

    row._tr.get_or_add_trPr().append(OxmlElement(name))


def _rule(cell: Any, edges: Sequence[str]) -> None:
    """Draw lines at edges of a cell."""
    from docx.oxml.ns import qn
    from docx.oxml.shared import OxmlElement

    if not edges:
        return
    properties = cell.get_or_add_tcPr()
    borders = properties.find(qn("w:tcBorders"))
    if borders is None:
        borders = OxmlElement("w:tcBorders")
        properties.append(borders)
    for edge in edges:
        line = OxmlElement(f"w:{edge}")
        for key, value in (("val", "single"), ("sz", "6"), ("space", "0"), ("color", "auto")):
            line.set(qn(f"w:{key}"), value)
        borders.append(line)


def _small(paragraph: Any) -> None:
    from docx.shared import Pt

    paragraph.paragraph_format.space_after = Pt(2)
    for run in paragraph.runs:
        run.font.size = Pt(9)


def _xml(text: str) -> str:
    """A text without characters that XML cannot hold."""
    text.encode("utf-8")  # half a character is refused as elsewhere
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)


DOCUMENTS: dict[str, Callable[[Printed, Path], None]] = {"docx": _docx, "html": _html, "latex": _latex}
_SUFFIXES = ("docx", "html", "tex", "csv", "xlsx", "parquet", "json")
