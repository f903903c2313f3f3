"""Export of tables in the formats that journals, R and spreadsheets read."""

import csv
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.files import whole_files
from bayesdep.data.labels import shortly
from bayesdep.designs.register import Simulated
from bayesdep.inference.fit import Fit
from bayesdep.numerics.rounding import as_text, decimals, decimals_of_each, probability_as_text
from bayesdep.reporting.documents import DOCUMENTS, Printed
from bayesdep.reporting.estimands import COLUMNS, in_words, is_probability, summarise


def export(
    what: Fit | pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    spreadsheet_safe: bool = False,
) -> Path:
    """Write the estimands of a fit, or any table that this package made, to one file.

    A table from a fit says whether the fit passed its convergence check (gate), whether the model agrees with the data,
    and whether the data are synthetic. In csv, parquet and xlsx files, which programs read, the first two columns say
    so: ``verdict`` (``"passed"``, or the problem) and ``synthetic``. In the other formats, if there is a problem, it
    stands first: above the table (latex, html, docx) or as the first key (json). The metadata of a file say it too,
    where its format has any: parquet, xlsx and docx (properties) and html (``meta``).

    Parameters
    ----------
    what
        A fit, whose estimands are summarised, or a table.
    path
        The file; an existing one is replaced only by a complete one.
    format
        ``"csv"``, ``"parquet"``, ``"json"``, ``"latex"``, ``"html"``, ``"docx"`` or ``"xlsx"``; by default the
        path's suffix.
    spreadsheet_safe
        Whether texts of a .csv file that a spreadsheet would take for formulas get an apostrophe in front (as do texts
        that begin with one, so that removing it restores the text). By default all texts are written unchanged, in
        quotation marks, and a warning says so. The other formats distinguish text from formulas.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    BadInput
        When the format is unknown, or the file cannot be written.

    Examples
    --------
    >>> import bayesdep as bd
    >>> schools = bd.load("eight_schools_rubin1981")
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> fit = bd.fit(model, schools, draws=100, seed=1)
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bd.export(fit, Path(folder) / "estimands.csv").name
    'estimands.csv'
    """
    table = summarise(what) if isinstance(what, Fit) else what
    written = write_table(table, path, format=format, spreadsheet_safe=spreadsheet_safe)
    if written.suffix.lower() == ".csv" and not spreadsheet_safe and (said := formula_note(table)):
        warnings.warn(said, stacklevel=2)
    return written


def write_table(
    table: pd.DataFrame, path: str | os.PathLike[str], *, format: str | None = None, spreadsheet_safe: bool = False
) -> Path:
    """Write a table as :func:`export` does, without the warning of :func:`formula_note`, which the caller gives.

    Parameters
    ----------
    table, path, format, spreadsheet_safe
        As in :func:`export`.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    BadInput
        As :func:`export`.
    """
    path = Path(path)
    name = format or {"tex": "latex", "htm": "html"}.get(path.suffix[1:].lower(), path.suffix[1:].lower())
    if name not in FORMATS:
        raise BadInput(f"there is no export format '{name}'; {did_you_mean(name, FORMATS)}")
    if spreadsheet_safe and name == "csv":
        table = _escaped(table)
    try:
        with whole_files(path) as (partial,):
            _WRITERS[name](table, partial)
    except UnicodeEncodeError as problem:
        raise BadInput(f"a text of the table holds an incomplete character ({problem.reason}); correct it") from None
    return path


def formula_note(*tables: pd.DataFrame) -> str:
    """Return a warning of texts that a spreadsheet would take for formulas in a .csv file.

    Parameters
    ----------
    *tables
        The tables written.

    Returns
    -------
    str
        One sentence; empty where there is no such text.

    Examples
    --------
    >>> formula_note(pd.DataFrame({"study": ["Smith", "-1.5"]}))
    ''
    """
    texts = list(dict.fromkeys(text for table in tables for text in _texts(table) if _like_formula(text)))
    if not texts:
        return ""
    several = len(texts) > 1
    return (
        f"{len(texts)} text{'s begin' if several else ' begins'} with a sign by which a spreadsheet knows formulas in "
        f"a .csv file (the first is {shortly(texts[0])}); they are written as they are, in quotation marks: ask for "
        "--spreadsheet-safe (spreadsheet_safe=True in Python) to have them escaped, or for .xlsx"
    )


def _texts(table: pd.DataFrame) -> Iterator[str]:
    """Every text of a table, names of columns first."""
    yield from map(str, table.columns)
    for at in range(table.shape[1]):
        cells = table.iloc[:, at]
        if not pd.api.types.is_numeric_dtype(cells):
            yield from (cell for cell in pd.unique(cells.astype(object)) if isinstance(cell, str))


def _like_formula(text: str) -> bool:
    """Whether a spreadsheet would evaluate a text; a number with or without its interval is not evaluated."""
    if not text.startswith(_FORMULA) or _WITH_INTERVAL.fullmatch(text):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return False


_COUNTED = ("rank", "analytes")  # units of what is counted
_PROBABILITY = 3  # decimals of a probability at most
_WITH_INTERVAL = re.compile(
    r"-[0-9.]+ \(-?[0-9.]+, -?[0-9.]+\)"
)  # as the ledger writes it; no spreadsheet evaluates it


def _escaped(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before every text that is like a formula or begins with an apostrophe."""

    def escape(cell: Any) -> Any:
        return f"'{cell}" if isinstance(cell, str) and (_like_formula(cell) or cell.startswith("'")) else cell

    escaped = table.map(escape)
    escaped.columns = [escape(column) for column in table.columns]
    escaped.attrs = table.attrs
    return escaped


def journal_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return estimands as a manuscript shows them: one line each, rounded according to the interval's width.

    Parameters
    ----------
    table
        As :func:`bayesdep.summarise` returns it; any other table is returned as it is, rounded.

    Returns
    -------
    pandas.DataFrame
        Columns ``Estimand``, ``Median``, ``95% interval``, ``P(> null)`` and ``Units``, all text; before the last two
        ``Exact 95% interval`` if there are probabilities with their own counts. For an estimand whose draws are zeros
        and ones, the interval's column has its probability with Monte Carlo error.
    """
    if "estimand" not in table or "prob_gt_null" not in table:
        return table.map(lambda v: f"{v:.4g}" if isinstance(v, float) else v)
    dims = [c for c in table.columns[1:] if c not in COLUMNS]
    level = f"{100 * table['level'].iloc[0]:g}%"
    has_exact = "exact_lower" in table and bool(table["exact_lower"].notna().any())
    rows = []
    for _, row in table.iterrows():
        at = ", ".join(str(row[d]) for d in dims if row[d] != "")
        median, lower, upper = _in_print(row)
        interval = row["interval"] or f"{lower} to {upper}"
        if is_probability(row):
            median, interval = "", in_words(row)
        elif np.isnan(row["median"]):
            median, interval = "not known", ""
        rows.append(
            {
                "Estimand": f"{row['estimand']}[{at}]" if at else row["estimand"],
                "Median": median,
                f"{level} interval": interval,
                **({f"Exact {level} interval": _exact(row)} if has_exact else {}),
                "P(> null)": probability_as_text(row["prob_gt_null"], 0.0) if _has_null(row) else "",
                "Units": row["units"],
            }
        )
    return pd.DataFrame(rows)


def write_simulated(made: Simulated, path: str | os.PathLike[str]) -> list[Path]:
    """Write a synthetic table as CSV, and its true parameters beside it as JSON.

    Parameters
    ----------
    made
        As :func:`bayesdep.simulate` returns it.
    path
        The CSV file; the parameters are written to the same name with ``.truth.json``.

    Returns
    -------
    list of pathlib.Path
        The two files; existing ones are replaced only by complete ones.

    Raises
    ------
    BadInput
        When one cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise BadInput(f"--out '{path}' is not a .csv file; simulated tables are written as CSV")
    truth = path.with_suffix(".truth.json")
    about = {"synthetic": True, "title": made.table.attrs["title"], "truth": made.truth}
    with whole_files(path, truth) as (table_file, truth_file):
        made.table.to_csv(table_file, index=False)  # its column `origin` says that it is synthetic
        truth_file.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return [path, truth]


def _in_print(row: "pd.Series[Any]") -> list[str]:
    """The median and both ends of an estimand, rounded; counts are whole, and probabilities end at 0.001."""
    numbers = [float(row[word]) for word in ("median", "lower", "upper")]
    digits = decimals_of_each(numbers, [row["mcse"]] * 3, row["null"])
    if row["units"] in _COUNTED:
        digits = [0] * 3
    if row["units"] != "probability":
        return [as_text(number, d) for number, d in zip(numbers, digits, strict=True)]
    least = 10.0**-_PROBABILITY
    return [
        f"< {least:g}" if 0 < number < least / 2 else as_text(number, min(d, _PROBABILITY))
        for number, d in zip(numbers, digits, strict=True)
    ]


def _has_null(row: "pd.Series[Any]") -> bool:
    """Whether the estimand can lie on both sides of its null value; a risk or an sd cannot."""
    return bool(0 < row["prob_gt_null"] < 1 or (row["null"] != 0 and not np.isnan(row["prob_gt_null"])))


def _exact(row: "pd.Series[Any]") -> str:
    if np.isnan(row["exact_lower"]):
        return ""
    digits = decimals(row["exact_lower"], row["exact_upper"])
    return f"{as_text(row['exact_lower'], digits)} to {as_text(row['exact_upper'], digits)}"


def _verdict(table: pd.DataFrame) -> str:
    """The problems of the fit that a table is from; empty if there are none."""
    attrs = table.attrs
    wrong = (not attrs.get(f"{part}_passed", True) for part in ("gate", "model"))
    return "; ".join(attrs[part] for part, is_wrong in zip(("gate", "model"), wrong, strict=True) if is_wrong)


def warning_of(table: pd.DataFrame) -> str:
    """Return the warnings about a fit that a reader must see, in one line.

    Parameters
    ----------
    table
        Its ``attrs`` say what is wrong with the fit, and whether the data are synthetic.

    Returns
    -------
    str
        Empty if there are none.
    """
    parts = [_verdict(table), "SYNTHETIC DATA" if table.attrs.get("synthetic", False) else ""]
    return " ".join("; ".join(part for part in parts if part).split())


def _with_verdict(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the verdict on its fit in two columns; a table that is not from a fit is returned unchanged."""
    if "gate" not in table.attrs:
        return table
    result = table.copy()
    result.insert(0, "verdict", _verdict(table) or "passed")
    result.insert(1, "synthetic", bool(table.attrs.get("synthetic", False)))
    return result


def _csv(table: pd.DataFrame, path: Path) -> None:
    written = _with_verdict(table).copy()
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if any(map(_like_formula, _texts(written))) else csv.QUOTE_MINIMAL
    for name in written.select_dtypes(bool).columns:  # R reads TRUE as a truth value, and True as text
        written[name] = written[name].map({True: "TRUE", False: "FALSE"})
    path.write_text(written.to_csv(index=False, quoting=quoting), encoding="utf-8", newline="")


def _parquet(table: pd.DataFrame, path: Path) -> None:
    _with_verdict(table).to_parquet(path, index=False)  # the attrs, gate included, are stored in the file's metadata


def _json(table: pd.DataFrame, path: Path) -> None:
    warning = warning_of(table)
    first = {"warning": warning} if warning else {}
    rows = [{k: _plain(v) for k, v in row.items()} for row in table.to_dict("records")]
    text = json.dumps({**first, **table.attrs, "rows": rows}, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: null, and text."""
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None if np.isnan(value) else str(float(value))
    return value.item() if isinstance(value, np.generic) else value


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", *"\uff1d\uff0b\uff0d\uff20")  # plain and full width


def _document(format: str) -> Callable[[pd.DataFrame, Path], None]:
    """The writer of a table as a document."""
    return lambda table, path: DOCUMENTS[format](Printed.of(_shown(table), warning_of(table)), path)


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    shown = journal_table(table)
    shown.attrs = table.attrs
    return shown


def _xlsx(table: pd.DataFrame, path: Path) -> None:
    written = _with_verdict(table)
    if any(len(text) > _LONGEST_CELL for text in _texts(written)):
        raise BadInput(f"a text is longer than the {_LONGEST_CELL:,} characters that a cell of .xlsx holds; use csv")
    if max(len(table) + 2, 64 * table.shape[1]) > _MOST_XLSX_ROWS:
        raise BadInput(f"{len(table):,} rows of {table.shape[1]} columns are more than a sheet of .xlsx holds; use csv")
    shown = written.replace([np.inf, -np.inf], ["inf", "-inf"]).map(_as_xlsx)
    shown.columns = [_as_xlsx(column) for column in written.columns]
    with pd.ExcelWriter(path, engine="openpyxl") as writer:
        shown.to_excel(writer, sheet_name="estimands", index=False)
        properties = writer.book.properties
        properties.creator, properties.description = "", _as_xlsx(Printed.of(table.iloc[:0]).verdict) or None
        properties.keywords = "synthetic data" if table.attrs.get("synthetic") else None
        for row in writer.sheets["estimands"].iter_rows():
            for cell in row:
                if isinstance(cell.value, str):  # a name that begins with "=" stays text, even after editing
                    cell.data_type = "s"
                    cell.quotePrefix = _like_formula(cell.value) or cell.value.startswith("_x00")


_LONGEST_CELL, _MOST_XLSX_ROWS = 32_767, 1_048_576  # of Excel; 64 times its 16,384 columns are as many
_NOT_IN_XML = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")


def _as_xlsx(value: Any) -> Any:
    """A text as .xlsx files write it: characters that XML cannot hold, and texts that look like their codes, escaped.

    ISO/IEC 29500-1, 22.9.2.19 (``ST_Xstring``); spreadsheets show the character itself.
    """
    if not isinstance(value, str):
        return value
    return _NOT_IN_XML.sub(lambda found: f"_x{ord(found[0]):04X}_", value)


_WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "csv": _csv,
    "parquet": _parquet,
    "json": _json,
    "latex": _document("latex"),
    "html": _document("html"),
    "docx": _document("docx"),
    "xlsx": _xlsx,
}
FORMATS = tuple(_WRITERS)
SUFFIXES = {name: {"latex": "tex"}.get(name, name) for name in FORMATS}
