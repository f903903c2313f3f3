"""Write a model comparison: its table and its figure."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from bayesdep.criticism.compare import Comparison
from bayesdep.data.files import whole_directory
from bayesdep.reporting.export import write_table
from bayesdep.reporting.figures.composing import BLUE, GREY, plain_figure
from bayesdep.reporting.figures.register import png
from bayesdep.reporting.places import Place, write_manifest
from bayesdep.reporting.ranges import MOST_ROWS


def plot_comparison(comparison: Comparison) -> Figure:
    """Draw each fit's difference from the best, with two standard errors of that difference.

    Parameters
    ----------
    comparison
        As :func:`bayesdep.compare` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        Best on top.
    """
    table = comparison.table.iloc[:MOST_ROWS]
    with plain_figure(6.4, 0.9 + 0.32 * len(table)) as figure:
        figure.says_shown(len(table), len(comparison.table), "fits are shown, the best")
        axes = figure.add_subplot()
        y = np.arange(len(table))[::-1]
        difference = -table["elpd_diff"].abs()
        axes.axvline(0, color=GREY, lw=0.8)
        axes.errorbar(difference, y, xerr=2 * table["diff_se"], fmt="o", ms=4, color=BLUE)
        axes.set_yticks(y, table["model"])
        axes.set_ylim(-0.6, len(table) - 0.4)
        axes.set_xlabel(
            f"expected log predictive density against the best (2 SE), leaving out one {comparison.left_out}"
        )
    return figure


def write_comparison(
    comparison: Comparison, plans: Mapping[str, str], place: Place, *, spreadsheet_safe: bool = False
) -> None:
    """Write ``loo.csv``, ``loo.png`` and ``manifest.json``.

    Parameters
    ----------
    comparison
        The ranking.
    plans
        Hash of each plan's text, by name.
    place
        The directory; an earlier comparison is replaced once these files are complete.
    spreadsheet_safe
        As in :func:`bayesdep.export`.
    """
    earlier = place.manifest
    with place.held(), whole_directory(place.path, earlier.replaceable if earlier else ()) as partial:
        write_table(comparison.table, partial / "loo.csv", spreadsheet_safe=spreadsheet_safe)
        (partial / "loo.png").write_bytes(png(plot_comparison(comparison)))
        about = {"plans": dict(plans), "sentence": comparison.sentence, "reliable": comparison.reliable}
        write_manifest(partial, place.what, about)
