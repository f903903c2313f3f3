"""The report of a planned study's assurance: figures, tables, a page of HTML, and its directory."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bayesdep.criticism.assurance import Assurance
from bayesdep.reporting.figures.composing import BLUE, GREY, INK, plain_figure
from bayesdep.reporting.figures.layout import legend_below
from bayesdep.reporting.figures.register import png
from bayesdep.reporting.places import Place
from bayesdep.reporting.simulated import page_of, write_directory

_COLOURS = (BLUE, "#7a4f00", "#2b6331", "#6a3d9a", INK)
_CAPTIONS = {
    "assurance": "Share of simulated studies that reach the decision, by the number of patients, with 95% intervals. "
    "Hollow: of studies without effect. Dotted: 80%.",
    "widths": "Width of 95% intervals: mean over simulated studies, and the range of 95% of studies.",
}


def plot_assurance(found: Assurance) -> Figure:
    """Draw the share of studies that reach each decision, by the number of patients.

    Parameters
    ----------
    found
        As :func:`bayesdep.assurance` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        Points with 95% intervals; hollow ones are of studies without effect.
    """
    with plain_figure(6.4, 4.0) as figure:
        axes = figure.add_subplot()
        for k, decision in enumerate(found.decisions):
            rows, colour = found.table[found.table["decision"] == decision], _COLOURS[k % len(_COLOURS)]
            n, share = rows["n"].to_numpy(), rows["assurance"].to_numpy()
            bars = np.abs(np.stack([rows["lower"], rows["upper"]]) - share)
            axes.errorbar(n, share, yerr=bars, fmt="o-", ms=5, lw=1.2, color=colour, label=decision)
            if rows["no_effect"].notna().any():
                none = rows["no_effect"].to_numpy()
                bars = np.abs(np.stack([rows["no_effect_lower"], rows["no_effect_upper"]]) - none)
                look: dict[str, Any] = {"fmt": "o--", "ms": 5, "lw": 0.8, "mfc": "white", "color": colour}
                axes.errorbar(n, none, yerr=bars, label="the same, without effect", **look)
        axes.axhline(0.8, color=GREY, lw=0.8, ls=":")
        axes.set_ylim(-0.03, 1.03)
        axes.set_xticks(sorted(set(found.table["n"])))
        axes.set_xlabel("patients")
        axes.set_ylabel("share of studies that reach the decision")
        legend_below(figure, axes.get_legend_handles_labels(), 1)
    return figure


def plot_widths(found: Assurance) -> Figure:
    """Draw how wide 95% intervals are, by the number of patients.

    Parameters
    ----------
    found
        As :func:`bayesdep.assurance` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        Means over studies, and the range of 95% of studies.
    """
    with plain_figure(6.4, 3.4) as figure:
        axes = figure.add_subplot()
        for k, (value, rows) in enumerate(found.widths.groupby("value", sort=False)):
            mean = rows["mean"].to_numpy()
            bars = np.abs(np.stack([rows["lower"], rows["upper"]]) - mean)
            axes.errorbar(
                rows["n"], mean, yerr=bars, fmt="o-", ms=5, lw=1.2, color=_COLOURS[k % len(_COLOURS)], label=str(value)
            )
        axes.set_ylim(bottom=0)
        axes.set_xticks(sorted(set(found.widths["n"])))
        axes.set_xlabel("patients")
        axes.set_ylabel("width of the 95% interval")
        legend_below(figure, axes.get_legend_handles_labels(), 1)
    return figure


def assurance_table(found: Assurance) -> pd.DataFrame:
    """Return the table of sizes and decisions in words, as the report prints it.

    Parameters
    ----------
    found
        As :func:`bayesdep.assurance` returns it.

    Returns
    -------
    pandas.DataFrame
        All text.
    """
    rows = []
    row: Any  # a named tuple, whose fields pandas does not type
    for row in found.table.itertuples():
        ends = f"({row.no_effect_lower:.1%} to {row.no_effect_upper:.1%})"
        none = "" if np.isnan(row.no_effect) else f"{row.no_effect:.1%} {ends}"
        rows.append(
            {
                "Patients": str(row.n),
                "Decision": row.decision,
                "Studies": str(row.studies),
                "Assurance": f"{row.assurance:.1%}",
                "Monte Carlo error": f"{row.error:.1%}",
                "95% interval": f"{row.lower:.1%} to {row.upper:.1%}",
                "Wrongly": "" if np.isnan(row.wrong) else f"{row.wrong:.1%}",
                "Without effect": none,
                "Failed the gate": str(row.failed),
            }
        )
    return pd.DataFrame(rows)


def assurance_page(found: Assurance, title: str, command: str, images: Mapping[str, bytes]) -> str:
    """Return the report of an assurance, a page of HTML that needs nothing else.

    Parameters
    ----------
    found
        As :func:`bayesdep.assurance` returns it.
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
    table = assurance_table(found)
    numbers = ("mean", "lower", "upper")
    widths = found.widths.astype({"n": str}).assign(
        **{name: found.widths[name].map("{:.3g}".format) for name in numbers}
    )
    names = {"n": "Patients", "value": "Value", "mean": "Mean width", "lower": "2.5%", "upper": "97.5%"}
    gates = found.fits.loc[~found.fits["passed"], ["n", "effects", "fit", "gate"]].astype(str)
    return page_of(
        "assurance.html.jinja",
        images,
        _CAPTIONS,
        found.about,
        title=title,
        sentences=found.sentences,
        prior=[f"{name} ~ {value}" for name, value in found.about["prior"].items()],
        no_effect=found.about["no_effect"],
        table=table,
        numeric=tuple(name for name in table.columns if name != "Decision"),
        widths=widths.rename(columns=names),
        gates=gates.rename(columns={"n": "Patients", "effects": "Effects", "fit": "Study", "gate": "Verdict"}),
        command=command,
    )


def write_assurance(
    found: Assurance, place: Place, *, title: str, command: str, spreadsheet_safe: bool = False
) -> None:
    """Write ``report.html``, tables as CSV, the figures and ``manifest.json``.

    Parameters
    ----------
    found
        As :func:`bayesdep.assurance` returns it.
    place
        The directory; an earlier one there is replaced once these files are complete.
    title, command
        As :func:`assurance_page` takes them.
    spreadsheet_safe
        As in :func:`bayesdep.export`.
    """
    images = {"assurance": png(plot_assurance(found)), "widths": png(plot_widths(found))}
    tables = {
        "assurance": found.table, "widths": found.widths, "fits": found.fits, "reached": found.reached,
        "values": found.values,
    }  # fmt: skip
    about = {"sentences": found.sentences, "passed": found.passed, "about": dict(found.about)}
    page = assurance_page(found, title, command, images)
    write_directory(place, page, tables, images, about, spreadsheet_safe=spreadsheet_safe)
