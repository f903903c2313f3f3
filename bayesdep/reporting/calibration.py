"""The report of a calibration: verdict, figures of ranks and intervals, tables; and its directory."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bayesdep.criticism.calibration import LEVEL, STRICT, Calibration
from bayesdep.data.files import whole_files
from bayesdep.numerics.uniform_bands import band, points_of
from bayesdep.reporting.figures.composing import BLUE, GREY, INK, RED, plain_figure
from bayesdep.reporting.figures.layout import legend_below
from bayesdep.reporting.figures.register import png
from bayesdep.reporting.places import Place
from bayesdep.reporting.simulated import page_of, write_directory

_NAMED = 5  # quantities that lie furthest outside, drawn in colour and named
_MOST = 40  # rows of the figure of intervals
_WHERE = {
    "prior": "Parameters were drawn from the prior, data from the model given them, and each data set was analysed "
    "with the same model.",
    "data": "Parameters were drawn from the posterior of the data at hand, new data from the model given them, and new "
    "data analysed together with those at hand: calibration where these data lie.",
    "design": "Tables were drawn from a simulator with one stated truth, and each was analysed as any table is. Ranks "
    "are not uniform around one truth, so intervals alone are described.",
}


def plot_calibration_ranks(calibration: Calibration) -> Figure:
    """Draw how the distribution of every quantity's ranks differs from the uniform one, with simultaneous bands.

    Parameters
    ----------
    calibration
        As :func:`bayesdep.calibrate` returns it, around the prior or the data.

    Returns
    -------
    matplotlib.figure.Figure
        Grey: one line a quantity. Coloured and named: those outside the 95% band, the furthest five. Bands: 95%
        (filled), and 0.01 over the number of quantities (dashed).
    """
    table = calibration.table
    fits = int(table["fits"].iloc[0])
    z = np.concatenate([[0.0], points_of(fits), [1.0]])
    with plain_figure(7.2, 4.2) as figure:
        axes = figure.add_subplot()
        low, high = (np.concatenate([[0.0], ends, [1.0]]) - z for ends in band(fits, LEVEL))
        axes.fill_between(z, low, high, color=BLUE, alpha=0.15, lw=0, label="95% band")
        for ends in band(fits, 1 - STRICT / len(table)):
            axes.plot(z, np.concatenate([[0.0], ends, [1.0]]) - z, "--", color=INK, lw=0.8)
        axes.plot([], [], "--", color=INK, lw=0.8, label=f"band at {STRICT:g} / {len(table)}")
        outside = table[table["outside"]].sort_values("p_uniform")["quantity"].tolist()[:_NAMED]
        places = calibration.values.groupby("quantity")["place"]
        for name in table["quantity"]:
            if name not in outside:
                axes.plot(z, _difference(places.get_group(name).to_numpy(), z), color=GREY, lw=0.6, alpha=0.7)
        for name, look in zip(outside, (RED, "#7a4f00", "#2b6331", "#6a3d9a", INK), strict=False):
            axes.plot(z, _difference(places.get_group(name).to_numpy(), z), color=look, lw=1.6, label=name)
        axes.axhline(0, color=INK, lw=0.6)
        axes.set_xlabel("rank of the truth among independent posterior draws, as a share")
        axes.set_ylabel("share of fits below, less the uniform's")
        legend_below(figure, axes.get_legend_handles_labels(), 3)
    return figure


def _difference(places: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.asarray(np.searchsorted(np.sort(places), z, side="right") / len(places) - z)


def plot_coverage(calibration: Calibration) -> Figure:
    """Draw the coverage of every quantity's 95% and 50% intervals, with two standard errors around the nominal ones.

    Parameters
    ----------
    calibration
        As :func:`bayesdep.calibrate` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        One row a quantity; of more than 40, those furthest from 95%.
    """
    table = calibration.table.dropna(subset=["coverage"])
    every = len(table)
    far = (table["coverage"] - LEVEL).abs().sort_values(ascending=False, kind="stable").index[:_MOST]
    table = table.loc[[k for k in table.index if k in set(far)]].iloc[::-1]
    y, fits = np.arange(len(table)), int(table["fits"].iloc[0])
    with plain_figure(7.2, 1.2 + 0.19 * len(table)) as figure:
        figure.says_shown(len(table), every, "quantities are shown, those furthest from 95%")
        axes = figure.add_subplot()
        for level, column, look in ((LEVEL, "coverage", BLUE), (0.5, "coverage_half", GREY)):
            error = 2 * np.sqrt(level * (1 - level) / fits)
            axes.axvspan(level - error, min(level + error, 1), color=look, alpha=0.15, lw=0)
            axes.plot(table[column], y, "o", ms=4, color=look, label=f"{level:.0%} intervals")
        axes.set_yticks(y, table["quantity"])
        axes.set_ylim(-0.7, len(table) - 0.3)
        axes.set_xlim(0, 1.01)
        axes.set_xlabel("share of fits whose interval contains the truth (bands: two standard errors)")
        legend_below(figure, axes.get_legend_handles_labels(), 2)
    return figure


def figures_of_calibration(calibration: Calibration) -> dict[str, Figure]:
    """Draw the figures of a calibration.

    Parameters
    ----------
    calibration
        As :func:`bayesdep.calibrate` returns it.

    Returns
    -------
    dict of matplotlib.figure.Figure
        ``ranks`` (not around a stated truth) and ``coverage``.
    """
    found = {} if calibration.around == "design" else {"ranks": plot_calibration_ranks(calibration)}
    if calibration.table["coverage"].notna().any():
        found["coverage"] = plot_coverage(calibration)
    return found


def calibration_table(calibration: Calibration) -> pd.DataFrame:
    """Return the table of quantities in words, as the report prints it.

    Parameters
    ----------
    calibration
        As :func:`bayesdep.calibrate` returns it.

    Returns
    -------
    pandas.DataFrame
        All text.
    """
    rows = []
    row: Any  # a named tuple, whose fields pandas does not type
    for row in calibration.table.itertuples():
        mark = " (far outside)" if row.far_outside else " (outside)" if row.outside else ""
        excludes = not np.isnan(row.excludes_null)
        rows.append(
            {
                "Quantity": row.quantity,
                "P, uniform": "" if np.isnan(row.p_uniform) else _p(row.p_uniform) + mark,
                "95% interval": _share(row.coverage),
                "50% interval": _share(row.coverage_half),
                "95%, passed the gate": _share(row.coverage_passed),
                "Bias (sd)": "" if np.isnan(row.bias) else f"{row.bias:.2f}",
                "Width": f"{row.width:.3g}" + (f" {row.units}" if row.units else ""),
                "Excludes no effect": _share(row.excludes_null),
                "Wrong sign": f"{row.wrong_sign:.0f}" if excludes else "",
                "Few draws": str(row.few_draws) if row.few_draws else "",
            }
        )
    return pd.DataFrame(rows)


def _p(value: float) -> str:
    return "< 0.000001" if value < 1e-6 else f"{value:.2g}"


def _share(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


_CAPTIONS = {
    "ranks": "Distribution of the truth's ranks, less the uniform one. Each grey line is a quantity; coloured ones "
    "leave the 95% band.",
    "coverage": "How often intervals contain the truth.",
}


def calibration_page(calibration: Calibration, title: str, command: str, images: Mapping[str, bytes]) -> str:
    """Return the report of a calibration, a page of HTML that needs nothing else.

    Parameters
    ----------
    calibration
        As :func:`bayesdep.calibrate` returns it.
    title
        Of the page.
    command
        What repeats it.
    images
        PNG files of its figures, by name.

    Returns
    -------
    str
        HTML.
    """
    table = calibration_table(calibration)
    gates = calibration.fits.loc[~calibration.fits["passed"], ["fit", "gate"]]
    return page_of(
        "calibration.html.jinja",
        images,
        _CAPTIONS,
        calibration.about,
        title=title,
        passed=calibration.passed,
        verdict=calibration.verdict,
        sentences=calibration.sentences,
        where=_WHERE[calibration.around],
        table=table,
        numeric=tuple(table.columns[1:]),
        left_out=calibration.left_out,
        gates=gates.rename(columns={"fit": "Fit", "gate": "Verdict"}).astype(str),
        timing=calibration.timing,
        command=command,
    )


def report_calibration(
    calibration: Calibration, path: str | os.PathLike[str], *, title: str = "Calibration", command: str = ""
) -> Path:
    """Write the report of a calibration, a page of HTML that needs nothing else.

    Parameters
    ----------
    calibration
        As :func:`bayesdep.calibrate` returns it.
    path
        The file to write.
    title, command
        Of the page, and what repeats it.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    BadInput
        When it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import bayesdep as bd
    >>> model = bd.Meta(measure="difference", units="points", scale=100, study="school")
    >>> found = bd.calibrate(
    ...     model, bd.load("eight_schools_rubin1981"), fits=20, draws=100, workers=1, store=tempfile.mkdtemp()
    ... )
    >>> bd.report_calibration(found, Path(tempfile.mkdtemp()) / "calibration.html").name
    'calibration.html'
    """
    images = {name: png(figure) for name, figure in figures_of_calibration(calibration).items()}
    with whole_files(path) as (partial,):
        partial.write_text(calibration_page(calibration, title, command, images), encoding="utf-8")
    return Path(path)


def write_calibration(
    calibration: Calibration, place: Place, *, title: str, command: str, spreadsheet_safe: bool = False
) -> None:
    """Write ``report.html``, ``quantities.csv``, ``fits.csv``, ``values.csv``, the figures and ``manifest.json``.

    Parameters
    ----------
    calibration
        As :func:`bayesdep.calibrate` returns it.
    place
        The directory; an earlier calibration there is replaced once these files are complete.
    title, command
        As :func:`calibration_page` takes them.
    spreadsheet_safe
        As in :func:`bayesdep.export`.
    """
    images = {name: png(figure) for name, figure in figures_of_calibration(calibration).items()}
    tables = {"quantities": calibration.table, "fits": calibration.fits, "values": calibration.values}
    about = {"sentences": calibration.sentences, "passed": calibration.passed, "about": dict(calibration.about)}
    page = calibration_page(calibration, title, command, images)
    write_directory(place, page, tables, images, about, spreadsheet_safe=spreadsheet_safe)
