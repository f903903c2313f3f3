"""Pieces of HTML for notebooks and pages: every text escaped, in the colours of the page that they stand on."""

import html
from collections.abc import Sequence

CSS = """\
.bayesdep table { border-collapse: collapse; border-top: 1.5px solid; border-bottom: 1.5px solid; margin: .3rem 0; }
.bayesdep caption { text-align: left; font-weight: 600; padding: .2rem 0; color: inherit; }
.bayesdep th, .bayesdep td { text-align: left; padding: .2rem .9rem .2rem 0; border: 0; background: none; \
vertical-align: top; font-variant-numeric: tabular-nums; }
.bayesdep th.over { border-bottom: 1px solid; }
.bayesdep thead tr:last-child th { border-bottom: 1px solid; vertical-align: bottom; }
.bayesdep p { margin: .2rem 0; max-width: 46rem; }
.bayesdep pre { margin: .3rem 0; background: none; color: inherit; white-space: pre-wrap; }
.bayesdep .warning { font-weight: 700; border-left: 4px solid #c0392b; padding-left: .6rem; }
"""


def piece(*parts: str) -> str:
    """Return parts of HTML as one piece that a notebook shows.

    Parameters
    ----------
    *parts
        HTML; empty ones are left out.

    Returns
    -------
    str
        HTML with its style.
    """
    body = "\n".join(part for part in parts if part)
    return f'<div class="bayesdep">\n<style>\n{CSS}</style>\n{body}\n</div>\n'


def paragraph(text: str, *, warning: bool = False) -> str:
    """Return a paragraph; nothing of an empty text.

    Examples
    --------
    >>> paragraph("p < 0.05")
    '<p>p &lt; 0.05</p>'
    """
    kind = ' class="warning"' if warning else ""
    return f"<p{kind}>{html.escape(text)}</p>" if text else ""


def preformatted(text: str) -> str:
    """Return text whose lines and spaces stay as they are; MathJax must not change its names."""
    return f'<pre class="tex2jax_ignore mathjax_ignore">{html.escape(text)}</pre>'


def rows_of_cells(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table.

    Parameters
    ----------
    title
        The caption; may be empty.
    head
        The headings.
    rows
        Cells, a list for every row.

    Returns
    -------
    str
        HTML.
    """
    caption = f"<caption>{html.escape(title)}</caption>" if title else ""
    line = "".join(f'<th scope="col">{html.escape(cell)}</th>' if cell else "<td></td>" for cell in head)
    body = "\n".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<table class="tex2jax_ignore mathjax_ignore">{caption}<thead><tr>{line}</tr></thead>\n'
        f"<tbody>{body}</tbody></table>"
    )
