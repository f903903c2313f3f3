"""Tables in the formats that journals, R and spreadsheets read."""

import html
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesdep.data.errors import BadInput, did_you_mean
from bayesdep.data.files import whole_files
from bayesdep.data.simulate import Simulated
from bayesdep.inference.fit import Fit
from bayesdep.reporting.estimands import in_words, is_probability, summarise


def export(what: Fit | pd.DataFrame, path: str | os.PathLike[str], *, format: str | None = None) -> Path:
    """Write the estimands of a fit, or any table that this package made, to one file.

    A table from a fit says whether it passed the gate, whether its model agrees with the data, and whether these are
    synthetic: csv and parquet, which programs read as they are, in their first two columns, ``verdict`` (``"passed"``,
    or what is wrong) and ``synthetic``; the others, where there is something to warn of, in the first thing that their
    format lets a reader see, a first line (latex, html), a first key (json) or a first row (xlsx).

    Parameters
    ----------
    what
        A fit, whose estimands are summarised, or a table.
    path
        The file; an existing one is replaced only by a complete one.
    format
        ``"csv"``, ``"parquet"``, ``"json"``, ``"latex"``, ``"html"`` or ``"xlsx"``; by default the path's suffix.

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
    name = format or {"tex": "latex", "htm": "html"}.get(path.suffix[1:].lower(), path.suffix[1:].lower())
    if name not in FORMATS:
        raise BadInput(f"there is no export format '{name}'; {did_you_mean(name, FORMATS)}")
    table = summarise(what) if isinstance(what, Fit) else what
    try:
        with whole_files(path) as (partial,):
            _WRITERS[name](table, partial)
    except ModuleNotFoundError as problem:
        raise BadInput(f"format '{name}' needs the package {problem.name}; install bayesdep[excel]") from None
    return path


def journal_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return estimands as a manuscript shows them: one line each, rounded to what the interval can carry.

    Parameters
    ----------
    table
        As :func:`bayesdep.summarise` returns it; any other table is returned as it is, rounded.

    Returns
    -------
    pandas.DataFrame
        Columns ``Estimand``, ``Median``, ``95% interval``, ``P(> null)`` and ``Units``, all text; before the last two
        ``Exact 95% interval`` where there are probabilities with counts of their own. A probability of zeros and ones
        stands in the interval's place, with its Monte Carlo error.
    """
    if "estimand" not in table or "prob_gt_null" not in table:
        return table.map(lambda v: f"{v:.4g}" if isinstance(v, float) else v)
    dims = [c for c in table.columns[1:] if c not in _NUMBERS]
    level = f"{100 * table['level'].iloc[0]:g}%"
    has_exact = "exact_lower" in table and bool(table["exact_lower"].notna().any())
    rows = []
    for _, row in table.iterrows():
        at = ", ".join(str(row[d]) for d in dims if row[d] != "")
        digits = _digits(row["lower"], row["upper"])
        median = "not known" if np.isnan(row["median"]) else _round(row["median"], digits)
        interval = row["interval"] or f"{_round(row['lower'], digits)} to {_round(row['upper'], digits)}"
        if is_probability(row):
            median, interval = "", in_words(row)
        elif np.isnan(row["median"]):
            interval = ""
        rows.append(
            {
                "Estimand": f"{row['estimand']}[{at}]" if at else row["estimand"],
                "Median": median,
                f"{level} interval": interval,
                **({f"Exact {level} interval": _exact(row)} if has_exact else {}),
                "P(> null)": _probability(row["prob_gt_null"]) if _has_null(row) else "",
                "Units": row["units"],
            }
        )
    return pd.DataFrame(rows)


def write_simulated(made: Simulated, path: str | os.PathLike[str]) -> list[Path]:
    """Write a synthetic table as CSV and its truth beside it as JSON.

    Parameters
    ----------
    made
        As :func:`bayesdep.simulate` returns it.
    path
        The CSV file; the truth goes to the same name with ``.truth.json``.

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


_NUMBERS = {
    *(
        "mean",
        "sd",
        "median",
        "lower",
        "upper",
        "level",
        "prob_gt_0",
        "units",
        "hdi_lower",
        "hdi_upper",
        "null",
    ),
    *("prob_gt_null", "interval", "false_sign_rate", "prob_in_rope", "mcse", "exact_lower", "exact_upper"),
    *("prior_p", "description"),
}


def _has_null(row: "pd.Series[Any]") -> bool:
    """Whether the posterior has any business on both sides of the null: a risk or a spread has none."""
    return bool(0 < row["prob_gt_null"] < 1 or (row["null"] != 0 and not np.isnan(row["prob_gt_null"])))


def _digits(lower: float, upper: float) -> int:
    """Decimals such that the interval's width shows two significant digits."""
    width = abs(upper - lower)
    if not np.isfinite(width) or width == 0:
        return 2
    return int(np.clip(1 - np.floor(np.log10(width)), 0, 6))


def _exact(row: "pd.Series[Any]") -> str:
    if np.isnan(row["exact_lower"]):
        return ""
    digits = _digits(row["exact_lower"], row["exact_upper"])
    return f"{_round(row['exact_lower'], digits)} to {_round(row['exact_upper'], digits)}"


def _round(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) and abs(value) < 1e6 else f"{value:.3g}"


def _probability(p: float) -> str:
    return "> 0.999" if p > 0.999 else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _verdict(table: pd.DataFrame) -> str:
    """What is wrong with the fit that a table is of; empty where nothing is."""
    attrs = table.attrs
    wrong = (not attrs.get(f"{part}_passed", True) for part in ("gate", "model"))
    return "; ".join(attrs[part] for part, is_wrong in zip(("gate", "model"), wrong, strict=True) if is_wrong)


def _warning(table: pd.DataFrame) -> str:
    parts = [_verdict(table), "SYNTHETIC DATA" if table.attrs.get("synthetic", False) else ""]
    return "; ".join(part for part in parts if part)


def _with_verdict(table: pd.DataFrame) -> pd.DataFrame:
    """The table with what must be known of its fit in two columns; a table of no fit as it is."""
    if "gate" not in table.attrs:
        return table
    found = table.copy()
    found.insert(0, "verdict", _verdict(table) or "passed")
    found.insert(1, "synthetic", bool(table.attrs.get("synthetic", False)))
    return found


def _csv(table: pd.DataFrame, path: Path) -> None:
    path.write_text(_with_verdict(table).to_csv(index=False), encoding="utf-8")


def _parquet(table: pd.DataFrame, path: Path) -> None:
    _with_verdict(table).to_parquet(path, index=False)  # the attrs, gate included, travel in the file's metadata


def _json(table: pd.DataFrame, path: Path) -> None:
    warning = _warning(table)
    first = {"warning": warning} if warning else {}
    rows = [{k: _plain(v) for k, v in row.items()} for row in table.to_dict("records")]
    text = json.dumps({**first, **table.attrs, "rows": rows}, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: null, and text."""
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None if np.isnan(value) else str(float(value))
    return value.item() if isinstance(value, np.generic) else value


# Characters that LaTeX takes for commands, or prints as others in its default font encoding.
_TEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {c: f"${c}$" for c in "<>"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "∞": r"$\infty$"}
)


def _latex(table: pd.DataFrame, path: Path) -> None:
    warning = _warning(table)
    shown = journal_table(table).map(lambda v: str(v).translate(_TEX))
    shown.columns = [str(c).translate(_TEX) for c in shown.columns]
    text = shown.style.hide(axis="index").to_latex(hrules=True, column_format="l" * shown.columns.size)
    if warning:
        text = f"% {warning}\n\\textbf{{{warning.translate(_TEX)}}}\\par\n{text}"
    path.write_text(text, encoding="utf-8")


def _html(table: pd.DataFrame, path: Path) -> None:
    warning = _warning(table)
    body = journal_table(table).to_html(index=False, border=0, classes="bayesdep")
    notice = f'<p class="warning"><strong>{html.escape(warning)}</strong></p>\n' if warning else ""
    path.write_text(notice + body + "\n", encoding="utf-8")


def _xlsx(table: pd.DataFrame, path: Path) -> None:
    warning = _warning(table)
    with pd.ExcelWriter(path, engine="openpyxl") as writer:
        table.replace([np.inf, -np.inf], ["inf", "-inf"]).to_excel(
            writer, sheet_name="estimands", index=False, startrow=1 if warning else 0
        )
        for row in writer.sheets["estimands"].iter_rows():
            for cell in row:
                if cell.data_type == "f":  # a name that begins with "=" is a name, and nothing to work out
                    cell.data_type = "s"
        if warning:
            writer.sheets["estimands"].cell(1, 1, warning)


_WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "csv": _csv,
    "parquet": _parquet,
    "json": _json,
    "latex": _latex,
    "html": _html,
    "xlsx": _xlsx,
}
FORMATS = tuple(_WRITERS)
SUFFIXES = {name: {"latex": "tex"}.get(name, name) for name in FORMATS}
